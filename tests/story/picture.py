"""docs/run.svg: a terminal in the middle of a real --sync on a test grid: /usr/bin/python3 -m tests.story.picture."""

from __future__ import annotations

import html
import re
import subprocess
import tempfile
import time
from pathlib import Path

from tests.grid import Grid
from tests.story.demo import SMALL
from tests.support import SCRIPT

PICTURE = SCRIPT.with_name("docs") / "run.svg"
WIDTH, HEIGHT = 112, 28  # columns and lines
CELL, LINE = 8.4, 18  # pixels, of a font of 14
COLOURS = {"31": "#f38ba8", "32": "#a6e3a1", "33": "#f9e2af", "34": "#89b4fa", "39": "#cdd6f4", "": "#cdd6f4"}
COMMANDS = ("gridsync.py --build_list", "gridsync.py --sync")
MIDDLE = re.compile(r"Tape: \d+ waiting, [1-9] staging.*\nCopied files: [4-6]/9, current: [1-9]\d*\.\d MB")


def drawn(lines: list[str]) -> str:
    """Lines with the colours of a terminal as a picture."""
    texts = []
    for number, line in enumerate(lines, 1):
        spans, at = "", 0
        for colour, text in re.findall(r"(?:\x1b\[(\d*)m)?([^\x1b]+)", line):
            if text.strip():
                place = f'x="{12 + at * CELL:.1f}" textLength="{len(text.rstrip()) * CELL:.1f}"'
                spans += f'<tspan {place} fill="{COLOURS[colour]}">{html.escape(text.rstrip())}</tspan>'
            at += len(text)
        texts.append(f'<text y="{34 + number * LINE}" xml:space="preserve">{spans}</text>' if spans else "")
    width, height = round(24 + WIDTH * CELL), 50 + len(lines) * LINE
    dots = "".join(
        f'<circle cx="{18 + 18 * n}" cy="16" r="6" fill="{fill}"/>'
        for n, fill in enumerate(("#f38ba8", "#f9e2af", "#a6e3a1"))
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-size="14" '
        f'font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, DejaVu Sans Mono, monospace">\n'
        f'<rect width="{width}" height="{height}" rx="8" fill="#1e1e2e"/>{dots}\n' + "\n".join(texts) + "\n</svg>\n"
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as name, Grid(drives=3, seconds=2) as grid:
        folder = Path(name)
        chosen = f"INPUTDIR = {SMALL}\nEXCLUDE = .*.adf\nINCLUDE = .*/03./.*\n"
        conf = grid.conf("./data/").replace("OUTPUTDIR", f"{chosen}OUTPUTDIR")
        (folder / "Grid.conf").write_text(conf)
        (folder / "gridsync.py").write_text(f'#!/bin/sh\nexec /usr/bin/python3 {SCRIPT} "$@"\n')
        (folder / "gridsync.py").chmod(0o755)
        env = {**grid.env, "PATH": f"{folder}:{grid.env['PATH']}", "LC_ALL": "C.UTF-8"}
        env.pop("NO_COLOR", None)
        grid.door.switches.bandwidth = 3e6
        tmux = ["tmux", "-f", "/dev/null", "-S", str(folder / "tmux")]
        size = ["-x", str(WIDTH), "-y", str(HEIGHT)]
        shell = "PS1='$ ' exec bash --norc"
        subprocess.run([*tmux, "new-session", "-d", "-c", name, *size, shell], env=env, check=True)
        try:
            subprocess.run([*tmux, "set-option", "status", "off"], check=True)
            for command in COMMANDS:
                waited_for(tmux, r"\$ *\Z")
                subprocess.run([*tmux, "send-keys", command, "Enter"], check=True)
            waited_for(tmux, MIDDLE)
            shown = subprocess.check_output([*tmux, "capture-pane", "-p", "-e"], text=True)
        finally:
            subprocess.run([*tmux, "kill-server"], check=True)
        shown = shown.replace(grid.door.url, "https://ccdavegee.in2p3.fr:2880").rstrip("\n")
    PICTURE.write_text(drawn(shown.split("\n")), encoding="utf-8")


def waited_for(tmux: list[str], pattern: str | re.Pattern[str]) -> None:
    """Wait until the screen shows something."""
    ends = time.monotonic() + 60
    while True:
        text = subprocess.check_output([*tmux, "capture-pane", "-p"], text=True)
        if re.search(pattern, text.rstrip("\n")):
            return
        assert time.monotonic() < ends, text
        time.sleep(0.05)


if __name__ == "__main__":
    main()
