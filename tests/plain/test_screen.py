"""What is drawn on a terminal, with a clock of the test's own."""

from __future__ import annotations

import io

import pytest

from gridsync_parts.chores import stuck_text
from gridsync_parts.log import log
from gridsync_parts.screen import (
    Colour,
    LiveLine,
    Progress,
    Rate,
    Todo,
    colour_word,
    fit,
    percent_text,
    staging_text,
    walk_text,
)
from gridsync_parts.values import Locality, Outcome, Row, Tally
from tests.support.clock import Clock

MB = 1 << 20


def row(name: str, size: int = 10 * MB) -> Row:
    return Row(f"run/{name}", size, 0, "", Locality.ONLINE, False, "adler32", "", "LYON", "")


class Copies:
    """Files on their way, and the progress that tells of them."""

    def __init__(self, *rows: Row, verb: str = "Copied"):
        self.clock = Clock()
        self.tally = Tally()
        self.flying: dict[str, int] = {}
        self.received: dict[str, int] = {}
        self.coming = {row.path: row for row in rows}
        self.lost: list[Row] = []  # that were given up
        self.more = Todo()  # whatever else is to be told
        live = LiveLine(is_terminal=False, quiet=True, clock=self.clock)
        self.progress = Progress(live, self.tally, self, verb, self.clock)

    def receive(self, row: Row, size: int, seconds: float = 1) -> None:
        """Some seconds later so many bytes more of a file are here."""
        self.flying[row.path] = self.flying.get(row.path, 0) + size
        self.received[row.path] = self.received.get(row.path, 0) + size
        self.clock.wait(seconds)

    def land(self, row: Row, done: str = "copied") -> None:
        """What became of a file."""
        self.flying.pop(row.path, None)
        outcome = Outcome(row, done, self.received.pop(row.path, 0))
        if done not in ("late", "interrupted"):
            del self.coming[row.path]
            self.lost += [] if outcome.is_here() else [row]
        self.tally.count(outcome)
        self.progress.count(outcome)

    def todo(self) -> Todo:
        """What is still to come."""
        size, lost = (sum(row.size for row in rows) for rows in (self.coming.values(), self.lost))
        return self.more._replace(files=len(self.coming), size=size, lost_files=len(self.lost), lost=lost)

    def line(self) -> str:
        self.progress.show(self.todo())
        return self.progress.texts[-1]


def test_the_line_of_the_manual():
    one, two = row("one"), row("two")
    copies = Copies(one, two)
    assert copies.line() == "Copied files: 0/2, current: 0.0 B, total: 0.0 B/20.0 MB, rate=0.0 B/s, ETA=? (0%)"
    copies.receive(one, 5 * MB)
    assert copies.line() == "Copied files: 0/2, current: 5.0 MB, total: 5.0 MB/20.0 MB, rate=5.0 MB/s, ETA=0m03s (25%)"
    copies.receive(one, 5 * MB)
    copies.land(one)
    assert copies.line() == "Copied files: 1/2, current: 0.0 B, total: 10.0 MB/20.0 MB, rate=5.0 MB/s, ETA=0m02s (50%)"
    copies.receive(two, 10 * MB, seconds=2)
    assert copies.line().endswith(", ETA=0m00s (99%)")  # it is being verified
    copies.land(two)
    assert copies.line() == "Copied files: 2/2, current: 0.0 B, total: 20.0 MB/20.0 MB, rate=5.0 MB/s, ETA=0m00s (100%)"


def test_files_that_are_read_again_have_a_line_with_another_verb():
    assert Copies(row("one"), verb="Verified").line().startswith("Verified files: 0/1, ")


def test_what_was_here_before_is_no_part_of_the_rate():
    one = row("one")
    copies = Copies(one)
    copies.flying[one.path] = 8 * MB  # of an earlier run
    copies.receive(one, 1 * MB)
    assert copies.line() == "Copied files: 0/1, current: 9.0 MB, total: 9.0 MB/10.0 MB, rate=1.0 MB/s, ETA=0m01s (90%)"


@pytest.mark.parametrize("done", ["failed", "waiting"])
def test_a_file_that_is_given_up_is_not_waited_for_and_keeps_100_percent_away(done):
    one, two = row("one"), row("two")
    copies = Copies(one, two)
    copies.receive(one, 10 * MB)
    copies.land(one)
    copies.land(two, done)
    assert copies.line() == "Copied files: 1/2, current: 0.0 B, total: 10.0 MB/10.0 MB, rate=10.0 MB/s, ETA=0m00s (50%)"


def test_a_file_that_is_tried_again_is_waited_for():
    copies = Copies(row("one"))
    copies.land(row("one"), "late")
    assert "total: 0.0 B/10.0 MB" in copies.line()


def test_silence_is_told_from_half_a_minute_on():
    one = row("one")
    copies = Copies(one)
    copies.receive(one, 5 * MB)
    assert "ETA=0m01s (50%)" in copies.line()
    copies.clock.wait(30)
    assert "nothing has come" not in copies.line()
    copies.clock.wait(1)
    assert copies.line().endswith(", ETA=? (50%, nothing has come for 0m31s)")
    copies.receive(one, 1 * MB)
    assert "nothing has come" not in copies.line()


def test_while_no_file_is_on_its_way_nobody_speaks_of_silence():
    copies = Copies(row("one"))
    copies.line()
    copies.clock.wait(100)
    assert copies.line().endswith(", ETA=? (0%)")


def test_while_the_tape_decides_nothing_is_foretold():
    one = row("one")
    copies = Copies(one)
    copies.more = Todo(tape=3)
    copies.receive(one, 5 * MB)
    assert copies.line().endswith(", rate=5.0 MB/s, ETA=? (50%, 3 still on tape)")


def test_a_line_may_stand_above_it():
    copies = Copies(row("one"))
    below = copies.line()
    copies.more = Todo(above="Tape: 1 waiting")
    assert copies.line() == below and copies.progress.texts == ("Tape: 1 waiting", below)


@pytest.mark.parametrize(
    ("todo", "said"),
    [
        (Todo(), "0/0, current: 0.0 B, total: 0.0 B/0.0 B, rate=0.0 B/s, ETA=0m00s (100%)"),
        (Todo(2, 20 * MB), "0/2, current: 0.0 B, total: 0.0 B/20.0 MB, rate=0.0 B/s, ETA=? (0%)"),
        (Todo(1, 0), "0/1, current: 0.0 B, total: 0.0 B/0.0 B, rate=0.0 B/s, ETA=0m00s (0%)"),  # an empty one
        (Todo(2, 20 * MB, 1, 9 * MB), "0/3, current: 0.0 B, total: 0.0 B/20.0 MB, rate=0.0 B/s, ETA=? (0%)"),
        (Todo(0, 0, 1, 9 * MB), "0/1, current: 0.0 B, total: 0.0 B/0.0 B, rate=0.0 B/s, ETA=0m00s (0%)"),
        (Todo(1, MB, tape=1), "0/1, current: 0.0 B, total: 0.0 B/1.0 MB, rate=0.0 B/s, ETA=? (0%, 1 still on tape)"),
    ],
)
def test_what_is_still_to_come_is_told_as_it_is_now(todo, said):
    copies = Copies()
    copies.todo = lambda: todo
    assert copies.line() == f"Copied files: {said}"


def test_a_file_that_came_is_counted_also_if_nobody_knew_that_it_would():
    copies, one = Copies(), row("one")
    copies.progress.count(Outcome(one, "skipped"))
    copies.progress.count(Outcome(one, "verified"))
    copies.progress.count(Outcome(one, "failed"))
    assert (copies.progress.done, copies.progress.bytes) == (2, 20 * MB)
    assert copies.line().startswith("Copied files: 2/2, current: 0.0 B, total: 20.0 MB/20.0 MB, ")


def test_new_files_join_in():
    one, two = row("one"), row("two")
    copies = Copies(one)
    copies.receive(one, 10 * MB)
    copies.land(one)
    assert copies.line().endswith("(100%)")
    copies.coming[two.path] = two
    assert copies.line().startswith("Copied files: 1/2, ") and copies.line().endswith("(50%)")


def test_a_line_that_is_closed_stays_as_it_was_last_seen(monkeypatch):
    one, closed = row("one"), []
    copies = Copies(one)
    copies.more = Todo(above="Tape: 1 waiting")
    copies.receive(one, 5 * MB)
    before = copies.line()
    copies.land(one, "interrupted")
    monkeypatch.setattr(copies.progress.live, "close", lambda *texts: closed.append(texts))
    copies.progress.close()
    assert closed == [("Tape: 1 waiting", before)]


def test_one_that_was_never_seen_leaves_nothing():
    copies = Copies(row("one"))
    copies.progress.close()
    assert copies.progress.texts == ()


def test_a_rate_is_that_of_the_last_half_minute():
    clock = Clock()
    rate = Rate(clock)
    assert rate.at(0) == 0
    for second in range(1, 101):
        clock.wait(1)
        assert rate.at(100 * second) == pytest.approx(100)
    for _ in range(10):
        clock.wait(1)
        assert 0 < rate.at(10000) < 100
    for _ in range(22):
        clock.wait(1)
        rate.at(10000)
    assert rate.at(10000) == 0
    clock.wait(1)
    assert rate.at(9000) == 0  # a copy has begun anew


def test_a_rate_of_long_ago_counts_when_nobody_has_asked_since():
    clock = Clock()
    rate = Rate(clock)
    clock.wait(3600)
    assert rate.at(3600) == pytest.approx(1)


def test_elsewhere_than_on_a_terminal_there_is_a_line_after_a_second_and_then_each_half_minute(capsys):
    clock = Clock()
    live = LiveLine(is_terminal=False, quiet=False, clock=clock)
    for second in range(70):
        live.show(f"after {second} s", "and more")
        clock.wait(1)
    live.close("in the end")
    assert capsys.readouterr() == ("", "".join(f"after {second} s\nand more\n" for second in (1, 31, 61)))


def test_who_wants_quiet_gets_no_line(capsys):
    clock = Clock()
    for is_terminal in (False, True):
        live = LiveLine(is_terminal, quiet=True, clock=clock)
        clock.wait(100)
        live.show("a word")
        live.close("the last word")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("quiet", [False, True])
def test_the_log_has_the_lines_after_a_second_and_then_each_half_minute(monkeypatch, quiet):
    logged: list[str] = []
    monkeypatch.setattr(log, "info", lambda form, text: logged.append(form % text))
    clock = Clock()
    live = LiveLine(is_terminal=False, quiet=quiet, clock=clock)
    for second in range(70):
        live.show(f"after {second} s")
        clock.wait(1)
    assert logged == ["after 1 s", "after 31 s", "after 61 s"]


class Stream(io.StringIO):
    """A terminal, or none."""

    def __init__(self, is_terminal: bool):
        super().__init__()
        self.isatty = lambda: is_terminal


@pytest.mark.parametrize(
    ("colour", "env", "is_terminal", "is_coloured"),
    [
        (Colour.RED, {"TERM": "xterm"}, True, True),
        (Colour.NONE, {"TERM": "xterm"}, True, False),
        (Colour.RED, {"TERM": "xterm"}, False, False),
        (Colour.RED, {"TERM": "dumb"}, True, False),
        (Colour.RED, {}, True, False),
        (Colour.RED, {"TERM": "xterm", "NO_COLOR": "1"}, True, False),
        (Colour.RED, {"TERM": "xterm", "NO_COLOR": ""}, True, False),
    ],
)
def test_who_sees_colours(monkeypatch, colour, env, is_terminal, is_coloured):
    for name in ("TERM", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    told = "\033[31mCopied\033[m: 9, failed: 1" if is_coloured else "Copied: 9, failed: 1"
    assert colour_word("Copied: 9, failed: 1", colour, Stream(is_terminal)) == told


def test_the_other_lines():
    assert walk_text(12, 345, 6 * MB) == "Listing: 12 folders, 345 files, 6.0 MB"
    assert [staging_text(turn, 3, 9) for turn in (0, 5)] == [
        " [|] ... 3 files ONLINE over 9, 6 remaining ...",
        " [/] ... 3 files ONLINE over 9, 6 remaining ...",
    ]
    assert staging_text(0, 3, 9, 30.0) == staging_text(0, 3, 9)
    silent = " [|] ... 3 files ONLINE over 9, 6 remaining ... nothing has come for 2h05m"
    assert staging_text(0, 3, 9, 7500.0) == silent
    assert stuck_text([row("one")], 0).startswith("run/one: stuck on the way from tape since ")
    assert stuck_text([row("one"), row("two"), row("three")], 0).startswith("run/one and 2 more: stuck on the way from")


COPYING = "Copied files: 6/9, current: 40.4 MB, total: 173.9 MB/2.9 GB, rate=27.4 MB/s, ETA=1m42s (6%)"
STAGING = COPYING.replace("1m42s (6%)", "? (6%, 3 still on tape)")
SILENT = COPYING.replace("27.4 MB/s", "0.0 B/s").replace("1m42s (6%)", "? (6%, nothing has come for 1m02s)")
FLOW = "Tape: 1234 waiting, 200 staging at 27.4 MB/s; disk: 12 to copy, 4 copying"
WAITING = "Tape: 0 waiting, 5 staging, nothing has come for 2h05m; disk: 12 to copy, 4 copying"
SPINNER = " [|] ... 8 files ONLINE over 9, 1 remaining ..."
LISTING = "Listing: 12345 folders, 123456 files, 34.5 TB"


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        (COPYING, 119, COPYING),
        (COPYING, 79, "Copied files: 6/9, total: 173.9 MB/2.9 GB, rate=27.4 MB/s, ETA=1m42s (6%)"),
        (COPYING, 59, "Copied files: 6/9, rate=27.4 MB/s, ETA=1m42s (6%)"),
        (COPYING, 39, "Copied files: 6/9, ETA=1m42s (6%)"),
        (COPYING.replace("6/9", "12345/123456"), 39, "12345/123456, ETA=1m42s (6%)"),
        (COPYING, 19, "6/9, ETA=1m42s (6%)"),
        (COPYING, 15, "ETA=1m42s (6%)"),
        (COPYING, 5, "ETA=1"),
        (COPYING, 0, ""),
        (STAGING, 119, STAGING),
        (STAGING, 79, "Copied files: 6/9, total: 173.9 MB/2.9 GB, rate=27.4 MB/s, ETA=? (6%)"),
        (STAGING, 39, "Copied files: 6/9, ETA=? (6%)"),
        (SILENT, 79, "Copied files: 6/9, rate=0.0 B/s, ETA=? (6%, nothing has come for 1m02s)"),
        (SILENT, 39, "Copied files: 6/9, ETA=? (6%)"),
        (FLOW, 79, FLOW),
        (FLOW, 69, "Tape: 1234 waiting, 200 staging; disk: 12 to copy, 4 copying"),
        (FLOW, 39, "Tape: 1234 waiting, 200 staging"),
        (SPINNER, 79, SPINNER),
        (SPINNER, 39, " [|] ... 8 files ONLINE over 9"),
        (SPINNER, 19, " [|] ... 8 over 9"),
        (WAITING, 99, WAITING),
        (WAITING, 79, "Tape: 0 waiting, 5 staging, nothing has come for 2h05m"),
        (WAITING, 39, "Tape: 0 waiting, 5 staging"),
        (f"{SPINNER} nothing has come for 2h05m", 59, SPINNER),
        (LISTING, 79, LISTING),
        (LISTING, 39, "Listing: 123456 files, 34.5 TB"),
    ],
)
def test_what_a_line_of_progress_keeps_in_a_width(text, width, shown):
    assert fit(text, width) == shown


@pytest.mark.parametrize(
    ("part", "whole", "is_all", "text"),
    [
        (0, 100, False, "0%"),
        (669, 10000, False, "6%"),
        (9999, 10000, False, "99%"),
        (10000, 10000, False, "99%"),  # the last file is being verified
        (10000, 10000, True, "100%"),
        (12000, 10000, False, "99%"),
        (0, 0, False, "0%"),  # of empty files
        (0, 0, True, "100%"),
    ],
)
def test_a_percentage_is_100_when_all_is_here(part, whole, is_all, text):
    assert percent_text(part, whole, is_all) == text


@pytest.mark.parametrize(("quiet", "seconds", "seen"), [(False, 0, True), (True, 0, False), (True, 1, True)])
def test_a_line_that_nobody_sees_need_not_be_made(quiet, seconds, seen):
    """Not even with --quiet is it missing in the log."""
    clock = Clock()
    live = LiveLine(True, quiet, clock=clock)
    clock.wait(seconds)
    assert live.is_seen() is seen
