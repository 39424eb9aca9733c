"""What a real terminal shows: tmux draws it, and tells what stands on it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator

import pytest

from tests.conftest import SCRIPT, User, wait_until

MB = 1 << 20
WIDTH = 80
COPIED = r"Copied files: \d+/9, (current: [^,]+, )?total: [^,]+/9\.0 MB, rate=[\d.]+ .?B/s, ETA=\S+"
TAPE = r"Tape: \d waiting, \d staging( at [^;]+)?; disk: \d to copy, \d copying"


class Screen:
    """A terminal of 80 columns and 24 lines with a shell in it, for which gridsync.py is a command."""

    def __init__(self, user: User) -> None:
        self.raw = user.folder / "raw"  # all bytes that come to the terminal
        self.tmux = ["tmux", "-f", "/dev/null", "-S", str(user.folder / "tmux")]
        command = user.folder / "gridsync.py"
        command.write_text(f'#!/bin/sh\nexec /usr/bin/python3 {SCRIPT} "$@"\n')
        command.chmod(0o755)
        env = {name: value for name, value in user.env.items() if name != "NO_COLOR"}
        env.update(PATH=f"{user.folder}:{env['PATH']}", LC_ALL="C.UTF-8")
        size = ["-x", str(WIDTH), "-y", "24"]
        self.told("new-session", "-d", "-c", str(user.folder), *size, "PS1='$ ' exec bash --norc", env=env)
        self.told("set-option", "status", "off")
        self.told("pipe-pane", f"cat > '{self.raw}'")
        wait_until(lambda: self.lines() == ["$"])

    def told(self, *words: str, env: dict[str, str] | None = None) -> str:
        done = subprocess.run([*self.tmux, *words], env=env, stdout=subprocess.PIPE, check=True, timeout=20)
        return done.stdout.decode()

    def type(self, line: str) -> None:
        self.told("send-keys", "-l", line)
        self.told("send-keys", "Enter")

    def lines(self, *options: str) -> list[str]:
        """What stands on it, without the empty rest."""
        return self.told("capture-pane", "-p", *options).rstrip("\n").split("\n")

    def watched(self, line: str, *formats: str) -> Iterator[list[str]]:
        """What the last lines show while a command redraws them; they are as many, and as long, as they should be."""
        self.type(line)
        while True:
            lines = self.lines()
            if any(line.startswith("Copied: ") for line in lines):
                return
            if any(re.fullmatch(formats[0], line) for line in lines):
                last = lines[-len(formats) :]
                assert all(re.fullmatch(*both) for both in zip(formats, last)), lines
                assert len([line for line in lines if line.startswith(("Copied files", "Tape"))]) == len(formats), lines
                yield last

    def left(self) -> list[str]:
        """What stands below the command in the end; a line longer than the screen is one."""
        wait_until(lambda: self.lines()[-1] == "$")
        lines = self.lines("-J", "-S", "-")
        at = max(number for number, line in enumerate(lines) if line.startswith("$ gridsync.py"))
        return [line.rstrip() for line in lines[at + 1 : -1]]


@pytest.fixture
def screen(user: User) -> Iterator[Screen]:
    screen = Screen(user)
    yield screen
    screen.told("kill-server")


@pytest.fixture
def nine(user: User, folder: str) -> Iterator[str]:
    """A folder of nine files of 1 MB, which take some seconds."""
    for number in range(9):
        user.grid.tree.add(f"agata/{folder}/{number}", MB)
    assert user(f"--input_dir {folder} --build_list").status == 0
    user.grid.door.switches.bandwidth = 1.2 * MB
    yield folder
    user.grid.door.switches.bandwidth = 0


def masked(lines: list[str]) -> list[str]:
    """Without the words that differ each time."""
    return [re.sub(r"(rate=|at )[\d.]+ .?B/s", r"\1RATE", line) for line in lines]


END = [
    "Copied files: 9/9, total: 9.0 MB/9.0 MB, rate=RATE, ETA=0m00s",
    "Copied: 9, skipped: 0, failed: 0, waiting on tape: 0; 9.0 MB at RATE; verified by checksum: 9, by size only: 0",
]


def test_progress_is_one_line_that_fits_and_leaves_no_trace(screen, nine):
    shown = [line for (line,) in screen.watched("gridsync.py --start", COPIED)]
    assert len(set(shown)) > 5
    assert masked(screen.left())[-2:] == END
    drawn = re.findall(rb"\rCopied files[^\r]*(?=\rCopied files)", screen.raw.read_bytes())
    assert len(drawn) > 5, "the line is empty between two of its texts"
    assert not re.search(rb"Copied files[^\r\n]*\r +\r(?!\x1b|Copied files: 9)", screen.raw.read_bytes())


def test_a_narrower_window_gets_a_shorter_line(screen, nine):
    for turn, _ in enumerate(screen.watched("gridsync.py --start", COPIED)):
        if turn == 3:
            screen.told("resize-window", "-x", "72")
            break
    wait_until(lambda: re.fullmatch(COPIED, screen.lines()[-1]) and "current" not in screen.lines()[-1])
    assert len(screen.lines()[-1]) < 72
    assert masked(screen.left())[-1] == END[-1]


def test_both_flows_of_a_sync_have_a_line(screen, user, nine):
    for number in range(4):
        user.grid.tree.file(f"agata/{nine}/{number}").locality = "NEARLINE"
    user.grid.robot.hold()
    try:
        for turn, _ in enumerate(screen.watched("gridsync.py --sync", TAPE, COPIED)):
            if turn == 5:
                user.grid.robot.go()
    finally:
        user.grid.robot.go()
    assert turn > 5
    assert masked(screen.left())[-3:] == ["Tape: 0 waiting, 0 staging; disk: 0 to copy, 0 copying", *END]


def test_ctrl_c_says_what_goes_on_and_how_to_resume(screen, nine):
    for _ in screen.watched("gridsync.py --start", COPIED):
        screen.told("send-keys", "C-c")
        break
    *_, copied, totals, sentence = screen.left()
    assert re.fullmatch(rf"{COPIED} *\^C", copied) and re.match("Copied: [0-8], ", totals)
    assert sentence == "gridsync: interrupted; what is done is kept, and the same command goes on from here"
    screen.type("gridsync.py --start")
    wait_until(lambda: masked(screen.left())[-1].startswith("Copied: "))
    assert masked(screen.left())[-2] == END[0]


def colours(screen: Screen) -> list[str]:
    """The words that have a colour."""
    return re.findall(r"\x1b\[3\dm\w+(?=\x1b\[39m)", "\n".join(screen.lines("-e", "-S", "-")))


def test_colours_are_for_terminals_whose_user_likes_them(screen, user, folder):
    user.grid.tree.add(f"agata/{folder}/run/there", 10)
    user.grid.tree.add(f"agata/{folder}/run/far", 10, tape=True)
    line = f"gridsync.py --input_dir {folder}/run --ls_dir {folder} --build_list --check_status --verbose --start"
    screen.type(f"{line}; gridsync.py --ls_dir nowhere")
    wait_until(lambda: "nowhere" in "".join(screen.lines()) and screen.lines()[-1] == "$")
    assert set(colours(screen)) == {
        "\x1b[34mFolder", "\x1b[32mONLINE", "\x1b[33mNEARLINE", "\x1b[33mCopied", "\x1b[31mgridsync",
    }  # fmt: skip
    for setting in ("NO_COLOR=1", "TERM=dumb"):
        screen.told("clear-history")
        screen.type(f"clear; {setting} {line}; {setting} gridsync.py --ls_dir nowhere")
        wait_until(lambda: "gridsync: https" in "".join(screen.lines()) and screen.lines()[-1] == "$")
        assert colours(screen) == [] and "ONLINE" in "".join(screen.lines("-S", "-")), setting


def test_a_file_gets_neither_colours_nor_carriage_returns(screen, user, nine):
    screen.type("gridsync.py --check_status --verbose --start > out 2> err; gridsync.py --ls_dir nowhere 2>> err")
    wait_until(lambda: screen.lines()[-1] == "$" and (user.folder / "err").exists())
    wait_until(lambda: b"nowhere" in (user.folder / "err").read_bytes())
    told = (user.folder / "out").read_bytes() + (user.folder / "err").read_bytes()
    assert b"ONLINE" in told and b"Copied files" in told and b"\r" not in told and b"\x1b" not in told
