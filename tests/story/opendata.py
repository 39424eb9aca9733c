"""Records of open data from a search to a page that one can look at, on a portal of its own: make demo-open-data."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
import webbrowser
from pathlib import Path

from tests.grid import Grid
from tests.grid.shelf import plant
from tests.support import TOP
from tests.support.demo import play
from tests.support.stage import CONFIGURATION
from tests.support.terminal import last_states, on_terminal

PAGE = TOP / "build/open-data.html"
BROWSER = Path("/usr/bin/chromium")
ADDED = re.compile(r"(?m)(?:^=> adding: .*\n)+")
STORY = (
    ("Search: which collision data of CMS are there? Each record brings its files, and itself as record.json.",
     "--from CERN_OPENDATA --input_dir '?experiment=CMS&type=Dataset::Collision' --output_dir data --build_list"),
    ("Copy two records. Most files of 14 are on demand: they are asked for once, and waited for.",
     "--input_dir 5500:14 --sync --stats=transfers.jsonl"),
    ("Copy all that is there of 13 TeV. The portal spoils some answers on purpose; each file is verified.",
     "--input_dir '?collision_energy=13TeV' --sync --stats=transfers.jsonl"),
    ("How did it go?", f"--stats=transfers.jsonl --report={shlex.quote(str(PAGE))}"),
)  # fmt: skip
ON_DEMAND = ("cms-14", "atlas-80000")
WANTED = ("cms-5500", "cms-30512", "atlas-15006", *ON_DEMAND)


def main() -> int:
    """Tell the story, check its end, and open the page."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="gridsync-open-data-") as folder, Grid() as grid:
        portal = grid.portal
        plant(portal)
        portal.switches.stage_seconds = 3
        portal.goes_wrong("502 once", path="/eos/*/2016/*", count=3)
        portal.goes_wrong("cut in the middle", path="/eos/*/2016/*", count=2)
        site = f"[CERN_OPENDATA]\nSERVER = {portal.server}\nENGINE = opendata\n"
        Path(folder, "Grid.conf").write_text(f"[gridsync]\nRETRIES = 2\n\n{site}")
        print(f"A portal of open data is up, with {len(portal.records)} records: {portal.base}\n")
        PAGE.parent.mkdir(exist_ok=True)
        for text, line in STORY:
            print(f"# {text}")
            show(line, {**grid.env, "GRIDSYNC_DIR": folder})
        wrong = faults(grid, Path(folder))
        records = len([*Path(folder, "data").glob("*/record.json")])
        files = len([path for path in Path(folder, "data").rglob("*") if path.is_file()])
    for fault in wrong:
        print(f"WRONG: {fault}", file=sys.stderr)
    if wrong:
        return 1
    seconds = time.monotonic() - began
    print(f"{files} files of {records} records, each record.json among them, are verified, in {seconds:.0f} s.")
    print(opened(PAGE))
    print("Next: docs/open-data.md, and docs/transfers.ipynb for pandas.")
    return 0


def show(line: str, env: dict[str, str]) -> None:
    """Run a command line as a user would, on a terminal."""
    print(f"$ gridsync.py {line}", flush=True)
    command = ["env", "-C", env["GRIDSYNC_DIR"], sys.executable, str(TOP / "gridsync.py"), *shlex.split(line)]
    if sys.stdout.isatty() and "--sync" in line:  # the line that moves is worth seeing
        status = subprocess.run(command, env=env, check=False).returncode
    else:
        colours = {} if sys.stdout.isatty() else {"NO_COLOR": "1"}
        status, text = on_terminal(command, {**env, **colours})
        print(ADDED.sub(few, CONFIGURATION.sub("", last_states(text))).strip("\n"))
    print(flush=True)
    if status:
        raise SystemExit(f"gridsync.py {line} ended with status {status}")


def few(added: re.Match[str]) -> str:
    """Only the first lines of a long list."""
    lines = added[0].splitlines(keepends=True)
    return "".join(lines[:3]) + ("...\n" if len(lines) > 3 else "")


def faults(grid: Grid, folder: Path) -> list[str]:
    """What is not as it should be in the end."""
    portal, wrong = grid.portal, []
    for recid in WANTED:
        record = folder / "data" / recid / "record.json"
        if not record.is_file() or json.loads(record.read_text())["metadata"]["recid"] != recid:
            wrong.append(f"{recid}/record.json is not that of the record")
        for name in portal.records[recid].held:
            path = folder / "data" / recid / name
            if not path.is_file() or path.read_bytes() != portal.data(recid, name):
                wrong.append(f"{recid}/{name} is not here, or differs")
        if portal.stagings(recid) != (recid in ON_DEMAND):
            wrong.append(f"{recid} was brought from tape {portal.stagings(recid)} times")
    if not PAGE.is_file() or PAGE.stat().st_size < 1_000_000:
        wrong.append(f"{PAGE} is no page with its script inside")
    return wrong


def opened(page: Path) -> str:
    """Open a page for the user; where there is no display, what a browser without one makes of it."""
    if any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")) and webbrowser.open(page.as_uri()):
        return f"Your browser shows the page: {page}"
    if BROWSER.exists():
        command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", page.as_uri()]
        shown = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60).stdout
        if title := re.search("<title>(.*?)</title>", shown):
            return f"There is no display; Chromium has opened the page without one, with the title {title[1]!r}: {page}"
    return f"Open this page: {page}"


if __name__ == "__main__":
    play(main)
