"""What a real terminal shows: tmux draws it, and tells what stands on it."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from signal import SIGTERM

import pytest

from tests.support import SCRIPT
from tests.support.constants import script_with
from tests.support.user import User, wait_until

MB = 1 << 20
WIDTH = 80
PERCENT = r"\(\d+%\)"
FILES = r"Copied files: \d+/9"
SHORT = rf"{FILES}, ETA=\S+ {PERCENT}"
COPIED = rf"{FILES}, (current: [^,]+, )?total: [^,]+/9\.0 MB, rate=[\d.]+ .?B/s, ETA=\S+ {PERCENT}"
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
        self.ask("new-session", "-d", "-c", str(user.folder), *size, "PS1='$ ' exec bash --norc", env=env)
        self.ask("set-option", "status", "off")
        self.ask("pipe-pane", f"cat > '{self.raw}'")
        wait_until(lambda: self.lines() == ["$"])

    def ask(self, *words: str, env: dict[str, str] | None = None) -> str:
        done = subprocess.run([*self.tmux, *words], env=env, stdout=subprocess.PIPE, check=True, timeout=20)
        return done.stdout.decode()

    def type(self, line: str) -> None:
        self.ask("send-keys", "-l", line)
        self.ask("send-keys", "Enter")

    def lines(self, *options: str) -> list[str]:
        """What stands on it, without the empty rest."""
        return self.ask("capture-pane", "-p", *options).rstrip("\n").split("\n")

    def resize(self, columns: int, lines: int = 24) -> None:
        self.ask("resize-window", "-x", str(columns), "-y", str(lines))

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
    screen.ask("kill-server")


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
    "Copied files: 9/9, total: 9.0 MB/9.0 MB, rate=RATE, ETA=0m00s (100%)",
    "Copied: 9, skipped: 0, failed: 0, waiting on tape: 0; 9.0 MB at RATE; verified by checksum: 9, by size only: 0",
]


def test_progress_is_one_line_that_fits_and_leaves_no_trace(screen, nine):
    shown = [line for (line,) in screen.watched("gridsync.py --start", COPIED)]
    assert len(set(shown)) > 5
    assert masked(screen.left())[-2:] == END
    drawn = re.findall(rb"\x1b\[\?7l\r(.*?)\r\x1b\[\?7h", screen.raw.read_bytes())
    assert len(drawn) > 5
    # No line is wiped out before the next one is there; the first and last are.
    assert all(re.fullmatch(rb"Copied files[^\x1b]*\x1b\[K", line) for line in drawn[2:-2]), drawn


def progress(screen: Screen) -> list[str]:
    """The rows of all that can be seen, and was, that are of progress or were left of it."""
    return [line for line in screen.lines("-S", "-") if re.search("Copied files|Tape: |total:|ETA=|; disk:", line)]


@pytest.mark.long
@pytest.mark.parametrize("action", ["--start", "--sync"])
def test_a_window_that_changes_its_width_keeps_no_leftovers(screen, nine, action):
    shapes = {
        120: COPIED,
        60: rf"{FILES}, rate=[^,]+, ETA=\S+ {PERCENT}",
        40: SHORT,
        100: COPIED,
    }
    above = {120: [TAPE], 60: [TAPE], 40: [r"Tape: \d waiting, \d staging"], 100: [TAPE]}
    screen.type(f"gridsync.py {action}")
    wait_until(lambda: progress(screen))
    for columns, shape in shapes.items():
        screen.resize(columns)
        wanted = [*(above[columns] if action == "--sync" else []), shape]
        wait_until(lambda wanted=wanted: re.fullmatch(wanted[-1], screen.lines()[-1]))
        rows = progress(screen)
        assert len(rows) == len(wanted) and all(map(re.fullmatch, wanted, rows)), (columns, rows)
    assert not any(line.startswith("Copied: ") for line in screen.lines()), "it was over too soon"
    assert masked(screen.left())[-1] == END[-1]
    assert len(progress(screen)) == len(wanted)


@pytest.mark.parametrize("key", ["C-c", "C-z"])
def test_a_terminal_wraps_lines_again_when_progress_is_over_or_stands_still(screen, nine, key):
    screen.type("gridsync.py --start")
    wait_until(lambda: progress(screen))
    screen.ask("send-keys", key)
    wait_until(lambda: screen.lines()[-1] == "$")
    assert screen.ask("display-message", "-p", "#{wrap_flag}").strip() == "1"


@pytest.mark.parametrize(("columns", "copied"), [(20, r"\d/9, ETA=\S+ \(\d+%\)?"), (40, SHORT), (120, COPIED)])
def test_a_narrow_terminal_shows_when_it_ends(screen, nine, columns, copied):
    screen.resize(columns)
    screen.type("gridsync.py --start")
    wait_until(lambda: re.fullmatch(copied, screen.lines()[-1]))
    assert re.match(r"\.\.\.starting to .* 1 streams per file", screen.lines("-J")[-2])  # and nothing else above it


@pytest.mark.parametrize(
    ("columns", "spinner"),
    [(30, r"0 over 9"), (40, r"0 files ONLINE over 9"), (80, r"0 files ONLINE over 9, 9 remaining \.\.\.")],
)
def test_a_narrow_terminal_shows_how_far_the_tape_is(screen, user, nine, columns, spinner):
    for number in range(9):
        user.grid.tree.file(f"agata/{nine}/{number}").locality = "NEARLINE"
    user.grid.robot.hold()
    spinner = rf" \[.\] \.\.\. {spinner}"
    screen.resize(columns)
    try:
        screen.type("gridsync.py --build_list --bring_online")
        wait_until(lambda: re.fullmatch(spinner, screen.lines()[-1]))
        screen.resize(columns + 40)
        wait_until(lambda: screen.lines()[-1].endswith("0 files ONLINE over 9, 9 remaining ..."))  # drawn again: wider
        screen.resize(columns)
        wait_until(lambda: re.fullmatch(spinner, screen.lines()[-1]))
        assert sum(" over 9" in line for line in screen.lines("-S", "-")) == 1
    finally:
        user.grid.robot.go()
    wait_until(lambda: screen.lines()[-1] == "$")


@pytest.mark.long
def test_nothing_is_foretold_while_the_tape_decides(screen, user, nine):
    for number in range(4):
        user.grid.tree.file(f"agata/{nine}/{number}").locality = "NEARLINE"
    user.grid.robot.hold()
    screen.resize(120)
    try:
        screen.type("gridsync.py --sync")
        wait_until(lambda: re.fullmatch(rf"{FILES}, .* ETA=\? \(\d+%, 4 still on tape\)", screen.lines()[-1]))
        screen.resize(80)
        wait_until(lambda: re.fullmatch(rf"{FILES}, .* ETA=\? {PERCENT}", screen.lines()[-1]))
    finally:
        user.grid.robot.go()
    wait_until(lambda: screen.lines()[-1] == "$")
    assert masked(screen.left())[-2:] == END


def test_a_terminal_gets_the_first_files_of_a_long_list(screen, user, folder):
    for number in range(1300):
        user.grid.tree.add(f"agata/{folder}/{number:04d}", 10)
    user(f"--input_dir {folder}")
    adding = [f"=> adding: 10.0 B {folder}/{number:04d}" for number in range(1300)]
    for line, told in (
        ("gridsync.py --build_list", [*adding[:20], "=> adding: ... and 1,280 more, 12.5 kB (--verbose shows all)"]),
        ("gridsync.py --build_list --verbose", adding),
        ("gridsync.py --build_list | cat", adding),
    ):
        screen.type("clear")
        wait_until(lambda: screen.lines() == ["$"])
        screen.ask("clear-history")
        screen.type(line)
        wait_until(lambda: any(line.startswith("[catalog] sizes") for line in screen.lines()))
        wait_until(lambda: screen.lines()[-1] == "$")
        found = [line for line in screen.lines("-S", "-", "-J") if line.startswith("=> adding")]
        assert [line.rstrip() for line in found] == told, line


def test_a_narrower_window_gets_a_shorter_line(screen, nine):
    for turn, _ in enumerate(screen.watched("gridsync.py --start", COPIED)):
        if turn == 3:
            screen.resize(78)
            break
    wait_until(lambda: re.fullmatch(COPIED, screen.lines()[-1]) and "current" not in screen.lines()[-1])
    assert len(screen.lines()[-1]) < 78
    assert masked(screen.left())[-1] == END[-1]


@pytest.mark.long
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
        screen.ask("send-keys", "C-c")
        break
    *_, copied, totals, sentence = screen.left()
    assert re.fullmatch(COPIED, copied) and re.match("Copied: [0-8], ", totals)
    assert sentence == "gridsync.py: interrupted; what is done is kept, and the same command goes on from here"
    screen.type("gridsync.py --start")
    wait_until(lambda: masked(screen.left())[-1].startswith("Copied: "))
    assert masked(screen.left())[-2] == END[0]


def colours(screen: Screen) -> list[str]:
    """The words that have a colour."""
    return re.findall(r"\x1b\[3\dm\w+(?=\x1b\[39m)", "\n".join(screen.lines("-e", "-S", "-")))


@pytest.mark.long
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
        screen.ask("clear-history")
        screen.type(f"clear; {setting} {line}; {setting} gridsync.py --ls_dir nowhere")
        wait_until(lambda: "gridsync.py: https" in "".join(screen.lines()) and screen.lines()[-1] == "$")
        assert colours(screen) == [] and "ONLINE" in "".join(screen.lines("-S", "-")), setting


def test_a_file_gets_neither_colours_nor_carriage_returns(screen, user, nine):
    screen.type("gridsync.py --check_status --verbose --start > out 2> err; gridsync.py --ls_dir nowhere 2>> err")
    wait_until(lambda: screen.lines()[-1] == "$" and (user.folder / "err").exists())
    wait_until(lambda: b"nowhere" in (user.folder / "err").read_bytes())
    told = (user.folder / "out").read_bytes() + (user.folder / "err").read_bytes()
    assert b"ONLINE" in told and b"Copied files" in told and b"\r" not in told and b"\x1b" not in told


def test_without_tqdm_a_terminal_gets_plain_lines(screen, user, nine):
    (user.folder / "tqdm.py").write_text("raise ImportError('not here')")
    screen.type(f"PYTHONPATH={user.folder} gridsync.py --sync")
    wait_until(lambda: any(line.startswith("Copied: 9,") for line in screen.lines()), 60)
    assert b"\x1b[?7l" not in screen.raw.read_bytes()
    assert "Traceback" not in "\n".join(screen.lines("-S", "-"))


@pytest.fixture
def large(user: User, folder: str) -> Iterator[str]:
    """A folder of six files of 3 MB, which take long, and forty small ones."""
    for number in range(6):
        user.grid.tree.add(f"agata/{folder}/run_0003/Conf/03A/event_mezzdata.cdat.000{number}", 3 * MB)
    for number in range(40):
        user.grid.tree.add(f"agata/{folder}/small/{number:02d}", 1000)
    assert user(f"--input_dir {folder} --build_list").status == 0
    user.grid.door.switches.bandwidth = 0.4 * MB
    yield folder
    user.grid.door.switches.bandwidth = 0


RATE = r"[\d.?]+[kM]?B/s"
BARS = {  # by the columns of the window
    120: rf"\S*/Conf/03A/event_mezzdata\.cdat\.000\d +\d+%\|.{{10,}}\| +[\d.]+[kM]?/3\.00M \[\d\d:\d\d<.*, {RATE}\]",
    80: rf"\.\.\.\S+/event_mezzdata\.cdat\.000\d +\d+%\|.{{10,}}\| [\d.]+[kM]?/3\.00M {RATE}",
    40: rf"\.\.\.\S+nt_mezzdata\.cdat\.000\d +\d+% {RATE}",
}
LANDED = r"=> copied: (3\.0 M|1000\.0 )B \S+ \(verified by adler32\)"


def bars(screen: Screen) -> list[str]:
    """All rows that can be seen, and were, that are of a bar or were left of it."""
    return [line for line in screen.lines("-S", "-") if re.search(r"\d%( |\||$)|[\dkM?]B/s[ \]]*$", line)]


def wait_for_bars(screen: Screen, count: int, columns: int = WIDTH) -> None:
    """Until so many bars stand below the line, each as it should be, and nothing of any is elsewhere."""

    def is_so() -> bool:
        last, all_bars = screen.lines()[-count:], bars(screen)
        return last == all_bars and len(last) == count and all(re.fullmatch(BARS[columns], bar) for bar in last)

    wait_until(is_so)


@pytest.mark.parametrize("action", ["--start", "--sync"])
def test_with_verbose_each_file_that_takes_longer_has_a_bar(screen, user, large, action):
    user.grid.door.switches.bandwidth = MB
    screen.type(f"gridsync.py {action} --verbose")
    wait_for_bars(screen, 4)
    assert len({line.split()[0] for line in bars(screen)}) == 4
    wait_until(lambda: any(re.search(r"cdat.* \(verified", line) for line in screen.lines("-J", "-S", "-")))
    wait_for_bars(screen, 2)  # those of the next files
    user.grid.door.switches.bandwidth = 0
    wait_until(lambda: screen.lines()[-1] == "$", 60)
    told = [line.rstrip() for line in screen.lines("-J", "-S", "-")]
    assert bars(screen) == [] and sum("Copied files" in line for line in told) == 1
    assert len({line for line in told if re.fullmatch(LANDED, line)}) == 46
    assert len([line for line in told if line.startswith("=> copied")]) == 46
    assert re.match(r"Copied files: 46/46, .* \(100%\)", told[-3])


@pytest.mark.long
def test_bars_follow_the_window(screen, user, large):
    screen.resize(120)
    screen.type("gridsync.py --start --verbose")
    for columns in (120, 40, 80):
        screen.resize(columns)
        wait_for_bars(screen, 4, columns)
    user.grid.door.switches.bandwidth = 0
    wait_until(lambda: screen.lines()[-1] == "$", 60)
    assert bars(screen) == []


@pytest.mark.long
def test_a_low_window_has_as_many_bars_as_fit(screen, user, large):
    screen.resize(80, 4)
    screen.type("gridsync.py --start --verbose")
    wait_for_bars(screen, 2)
    assert len(screen.lines()) == 4  # a line is left for what is said
    screen.resize(80)
    wait_for_bars(screen, 4)
    screen.resize(80, 4)
    wait_until(lambda: len([line for line in screen.lines() if "%|" in line]) == 2)
    user.grid.door.switches.bandwidth = 0
    wait_until(lambda: screen.lines()[-1] == "$", 60)
    assert "%|" not in "".join(screen.lines())


@pytest.mark.long
@pytest.mark.parametrize("signal", ["C-c", "kill"])
def test_an_interrupted_run_takes_its_bars_away(screen, user, large, signal):
    screen.type("gridsync.py --start --verbose" + (" & echo $! > pid; wait" if signal == "kill" else ""))
    wait_for_bars(screen, 4)
    if signal == "kill":  # from elsewhere, as what is typed beside bars moves them
        os.kill(int((user.folder / "pid").read_text()), SIGTERM)
    else:
        screen.ask("send-keys", signal)
    wait_until(lambda: "gridsync.py: interrupted; what is done" in "".join(screen.lines()))
    assert bars(screen) == [] and screen.ask("display-message", "-p", "#{wrap_flag}").strip() == "1"
    assert sum("Copied files" in line for line in screen.lines("-S", "-")) == 1


@pytest.mark.long
def test_what_is_said_above_bars_is_whole(screen, user, large):
    user.grid.tree.remove(f"agata/{large}/run_0003/Conf/03A/event_mezzdata.cdat.0005")
    screen.type("gridsync.py --start --verbose --debug")
    wait_for_bars(screen, 4)
    user.grid.door.switches.bandwidth = 0
    wait_until(lambda: any(line.startswith("Copied: 45") for line in screen.lines()), 60)
    wait_until(lambda: screen.lines()[-1] == "$")
    assert bars(screen) == []
    assert any(re.match(r"gridsync\.py: \S+cdat\.0005: .*", line) for line in screen.lines("-J", "-S", "-"))


@pytest.mark.long
@pytest.mark.parametrize(
    "line", ["--start", "--start --verbose --quiet", "--start --verbose --json", "--start --verbose 2>&1 | cat"]
)
def test_there_are_no_bars(screen, user, large, line):
    user.grid.door.switches.bandwidth = 3 * MB  # a second for each
    screen.type(f"gridsync.py {line}; echo 'that was all'")
    wait_until(lambda: "that was all" in screen.lines(), 60)
    assert b"%|" not in screen.raw.read_bytes()


@pytest.mark.long
@pytest.mark.parametrize("setting", ["TERM=dumb", "PYTHONPATH=."])
def test_a_terminal_without_cursor_or_tqdm_has_no_bars(screen, user, large, setting):
    user.grid.door.switches.bandwidth = 3 * MB
    (user.folder / "tqdm.py").write_text("raise ImportError('not here')")
    screen.type(f"{setting} gridsync.py --start --verbose; echo 'that was all'")
    wait_until(lambda: "that was all" in screen.lines(), 60)
    raw = screen.raw.read_bytes()
    assert b"%|" not in raw and b"Copied files: " in raw and b"Traceback" not in raw


@pytest.mark.long
def test_bars_are_ascii_where_nothing_else_can_be_shown_and_have_no_colours(screen, large):
    screen.type("NO_COLOR=1 LC_ALL=C PYTHONIOENCODING=ascii gridsync.py --start --verbose")
    wait_for_bars(screen, 4)
    assert all(re.search(r"%\|\d?#*\d? *\|", bar) for bar in bars(screen))
    assert not re.search(rb"\x1b\[\d*m", screen.raw.read_bytes().partition(b"Copied files")[2])


@pytest.mark.long
def test_small_files_have_no_bars(screen, user, folder):
    for number in range(300):
        user.grid.tree.add(f"agata/{folder}/{number:03d}", 10)
    user(f"--input_dir {folder} --build_list")
    late = user.folder / "late.py"  # no file is long on its way, however slow the machine is
    late.write_text(f"import sys; sys.path.insert(0, {str(SCRIPT.parent)!r})\n{script_with('LONG = 20.0')}")
    screen.type("/usr/bin/python3 late.py --start --verbose")
    wait_until(lambda: any(line.startswith("Copied: 300") for line in screen.lines()), 60)
    assert b"%|" not in screen.raw.read_bytes()


@pytest.mark.long
def test_files_that_are_read_again_have_bars(screen, user, folder):
    for number in range(4):
        user.grid.tree.add(f"agata/{folder}/run_0003/Conf/03A/event_mezzdata.cdat.000{number}", 50 * MB)
    assert user(f"--input_dir {folder} --threads 1 --build_list --start").status == 0
    soon = user.folder / "soon.py"  # they are read in a moment
    soon.write_text(f"import sys; sys.path.insert(0, {str(SCRIPT.parent)!r})\n")
    with soon.open("a") as file:
        file.write(script_with("LONG = REDRAW = 0.0; tick = 0.01"))
    screen.type("/usr/bin/python3 soon.py --verify --verbose")
    wait_until(lambda: any(line.startswith("Verified: 4") for line in screen.lines()), 60)
    assert re.search(rb"cdat\.000\d +\d+%\|.*/50\.0M ", screen.raw.read_bytes())
    assert bars(screen) == []
