"""The bars of files, with a clock of the test's own, on a terminal that nobody looks at."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import sys
import termios
from collections.abc import Iterator

import pytest

from gridsync_parts.bars import LONG, FileBars, shorten
from gridsync_parts.screen import REDRAW, LiveLine
from tests.support.clock import Clock
from tests.support.ready import is_readable
from tests.support.terminal import last_states

MB = 1 << 20
FILE = "run_0003/Conf/03A/event_mezzdata.cdat.0000"


class Window:
    """A terminal's window, with the bars of files in it below one line."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.patch = patch
        self.ours, self.theirs = pty.openpty()
        self.stderr = open(self.theirs, "w", encoding="utf-8")  # noqa: SIM115 - it is closed below
        self.clock = Clock()
        self.flying: dict[str, int] = {}
        self.sizes: dict[str, int] = {}
        self.drawn = ""
        self.resize(80, 24)

    def resize(self, columns: int, lines: int) -> None:
        self.columns, self.lines = columns, lines
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def open(self) -> FileBars:
        self.patch.setattr(sys, "stderr", self.stderr)  # here, as pytest sets its own when a test begins
        return FileBars(self.flying, self.sizes.__getitem__, self.clock)

    def fly(self, *names: str, done: int = 0, size: int = 4 * MB) -> None:
        """Files begin, or are so far."""
        self.flying.update(dict.fromkeys(names, done))
        self.sizes.update(dict.fromkeys(names, size))

    def show(self, bars: FileBars, seconds: float = 0.1) -> list[str]:
        """What stands below the line when some time has passed."""
        self.clock.wait(seconds)
        self.drawn += bars.draw(1, self.lines, self.columns)
        return last_states(self.drawn).rstrip("\n").split("\n")[1:]

    def seen(self) -> list[str]:
        """What stands in it, if the first line is where all began."""
        self.stderr.flush()
        while is_readable(self.ours, 0.05):
            self.drawn += os.read(self.ours, 65536).decode()
        return last_states(self.drawn.replace("\r\n", "\n")).rstrip("\n").split("\n")

    def close(self) -> None:
        self.stderr.close()
        os.close(self.ours)


@pytest.fixture
def window(monkeypatch: pytest.MonkeyPatch) -> Iterator[Window]:
    window = Window(monkeypatch)
    yield window
    monkeypatch.undo()
    window.close()


@pytest.mark.parametrize(
    ("name", "width", "shown"),
    [
        (FILE, 42, FILE),
        (FILE, 41, "...0003/Conf/03A/event_mezzdata.cdat.0000"),
        (FILE, 24, "...nt_mezzdata.cdat.0000"),
        (FILE, 8, "....0000"),
        ("a", 8, "a"),
        ("語" * 30, 20, "..." + "語" * 8),  # of two columns each
    ],
)
def test_a_name_is_shortened_from_the_left(name, width, shown):
    assert shorten(name, width) == shown


@pytest.mark.parametrize("columns", [*range(12, 130, 7), 200])
def test_a_bar_fits_its_window(window, columns):
    window.resize(columns, 24)
    bars = window.open()
    name = "x" * 300
    window.fly(name, done=1023 * MB // 10, size=1023 * MB)
    window.show(bars)
    for _ in range(5):
        (line,) = window.show(bars, LONG)
        assert len(line) <= columns and "x  10%" in line
    window.flying[name] = 1023 * MB
    (line,) = window.show(bars, LONG)
    assert len(line) <= columns and re.search("x+ 100%", line)
    assert re.search(r" [\d.]+[MGT]B/s\]?$", line) or columns < 30
    assert "| 1.00G/1.00G " in line or columns < 60


def test_a_bar_is_that_of_tqdm(window):
    bars = window.open()
    window.fly(FILE, done=MB)
    assert window.show(bars) == []
    assert window.show(bars, LONG - 0.1) == []
    assert window.show(bars, 0.1) == [f"...{FILE[5:]}  25%|████            | 1.00M/4.00M ?B/s"]
    window.fly(FILE, done=2 * MB)
    assert re.fullmatch(rf"\.\.\.{FILE[5:]}  50%\|█+[▏▎▍▌▋▊▉]? *\| 2\.00M/4\.00M [\d.]+[MGT]B/s", *window.show(bars))
    window.resize(120, 24)
    line = f"{FILE}  " + r"50%\|█+[▏▎▍▌▋▊▉]? *\| 2\.00M/4\.00M \[00:00<00:0\d, [\d.]+[MGT]B/s\]"
    assert re.fullmatch(line, *window.show(bars))
    window.resize(40, 24)
    window.drawn = ""  # who draws the lines above has wiped them
    assert re.fullmatch(r"\.\.\.ent_mezzdata\.cdat\.0000  50% [\d.]+[MGT]B/s", *window.show(bars))


def test_a_terminal_without_unicode_gets_ascii(window):
    window.stderr.reconfigure(encoding="ascii")
    bars = window.open()
    window.fly(FILE, done=2 * MB)
    window.show(bars)
    (line,) = window.show(bars, LONG)
    assert bars.canvas.encoding == "ascii" and line.isascii() and "|######" in line


def test_a_name_does_nothing_to_the_terminal(window):
    bars = window.open()
    window.fly("a\x1b[2J\n{desc}%s")
    window.show(bars)
    (line,) = window.show(bars, LONG)
    assert line.startswith(r"a\x1b[2J\n{desc}%s   0%|")


def names(lines: list[str]) -> list[str]:
    """Which file has each line."""
    return [line.split(" ")[0] for line in lines]


def test_a_file_that_is_done_leaves_its_place_to_the_next(window):
    bars = window.open()
    window.fly("a", "b", "c")
    window.show(bars)
    assert names(window.show(bars, LONG)) == ["a", "b", "c"]
    del window.flying["b"]
    window.fly("d")
    assert names(window.show(bars)) == ["a", "", "c"]
    window.fly("e")
    assert names(window.show(bars, LONG)) == ["a", "d", "c"]
    assert names(window.show(bars, LONG)) == ["a", "d", "c", "e"]
    del window.flying["a"], window.flying["d"]
    assert names(window.show(bars)) == ["e", "c"]  # no other will come
    window.flying.clear()
    assert window.show(bars) == [] and not bars.bars and not bars.since


def test_small_files_get_no_bar(window):
    bars = window.open()
    for number in range(1000):
        window.flying.clear()
        window.fly(*(f"{number + thread}" for thread in range(4)))
        assert window.show(bars) == []
    assert window.drawn == ""


def test_a_low_window_has_as_many_bars_as_fit_below_a_line_of_what_is_said(window):
    bars = window.open()
    window.fly(*"abcdef")
    window.show(bars)
    assert names(window.show(bars, LONG)) == list("abcdef")
    window.resize(80, 5)
    window.drawn = ""
    assert names(window.show(bars)) == list("abc")
    del window.flying["b"]
    assert names(window.show(bars)) == list("adc")
    window.resize(80, 2)
    window.drawn = ""
    assert names(window.show(bars)) == []
    window.resize(80, 24)
    assert sorted(names(window.show(bars))) == list("acdef")


def test_a_file_that_begins_anew_begins_anew(window):
    bars = window.open()
    window.fly("a", done=3 * MB)
    window.show(bars)
    assert " 75%|" in window.show(bars, LONG)[0]
    window.fly("a", done=MB)
    assert " 25%|" in window.show(bars)[0]


def test_a_file_of_which_is_told_once_a_second_has_the_rate_of_that_second(window):
    bars = window.open()
    window.fly("a", size=100 * MB)
    window.show(bars)
    window.show(bars, LONG)
    bar = bars.bars["a"]
    bar._time, bar.start_t, bar.last_print_t = window.clock, window.clock(), window.clock()
    for second in range(1, 21):
        window.flying["a"] = second * MB
        shown = [window.show(bars)[0] for _ in range(10)]
    assert all(re.search(r" 1\.0\dMB/s", line) for line in shown), shown


def test_a_file_that_the_list_has_no_more_has_no_percentage(window):
    bars = window.open()
    window.fly("a", done=MB, size=0)
    window.show(bars)
    assert "1.00M/" in window.show(bars, LONG)[0]


def test_closed_bars_leave_nothing_to_draw(window):
    bars = window.open()
    window.fly("a")
    window.show(bars)
    window.show(bars, LONG)
    bars.close()
    assert bars.canvas.take() == ""


def above(window: Window, live: LiveLine, text: str) -> None:
    """Something is said above the lines."""
    live.clear()
    print(text, file=window.stderr, flush=True)


@pytest.mark.slow
def test_bars_are_back_as_soon_as_something_was_said_above_them(window):
    bars = window.open()
    live = LiveLine(True, False, bars, window.clock)
    window.fly("a", "b")
    live.show("line")
    window.clock.wait(LONG)
    live.show("line")
    window.fly("a", done=4 * MB)
    live.show("line")  # not so soon
    line, *rows = window.seen()
    assert line == "line" and names(rows) == ["a", "b"] and "  0%|" in rows[0]
    above(window, live, "said")
    above(window, live, "and said")
    assert window.seen() == ["said", "and said"]
    live.show("line")
    said, more, line, *rows = window.seen()
    assert [said, more, line] == ["said", "and said", "line"] and names(rows) == ["a", "b"] and "100%|" in rows[0]
    live.close("last line")
    assert window.seen() == ["said", "and said", "last line"]


def test_lines_without_bars_are_back_when_it_is_time(window):
    window.open()
    live = LiveLine(True, False, None, window.clock)
    live.show("line")
    above(window, live, "said")
    live.show("line")
    assert window.seen() == ["said"]
    window.clock.wait(REDRAW)
    live.show("line")
    assert window.seen() == ["said", "line"]


@pytest.mark.slow
def test_a_run_that_breaks_leaves_its_last_line_and_no_bars_of_what_was_on_its_way(window):
    bars = window.open()
    live = LiveLine(True, False, bars, window.clock)
    window.fly("a")
    for _ in range(2):
        window.clock.wait(LONG)
        live.show("line", "another")
    assert names(window.seen()) == ["line", "another", "a"]
    live.close("line", "another")
    assert window.seen() == ["line", "another"]
    print("after it", file=window.stderr)
    assert window.seen() == ["line", "another", "after it"]


@pytest.mark.parametrize(("is_terminal", "quiet"), [(False, False), (True, True), (False, True)])
def test_there_are_bars_only_on_a_terminal_that_is_looked_at(window, is_terminal, quiet):
    bars = window.open()
    live = LiveLine(is_terminal, quiet, bars, window.clock)
    window.fly("a")
    for _ in range(2):
        window.clock.wait(LONG)
        live.show("line")
    live.close("line")
    assert not bars.since and "%|" not in "".join(window.seen())
