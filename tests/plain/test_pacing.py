"""How fast bytes may go by --bwlimit, by clocks of the test's own; and what a command line may say of it."""

from __future__ import annotations

import math
import pickle
import time
from collections.abc import Iterator
from datetime import datetime

import pytest

from gridsync_parts.bounds import seconds_for, seconds_in
from gridsync_parts.doors import At, Place, Sent
from gridsync_parts.errors import UsageError
from gridsync_parts.pacing import SMALLEST, SPARE, Pacing, Timetable, minute_of, paced, pacing_of, timetable_of
from gridsync_parts.pool import Stop
from tests.support.clock import Clock
from tests.support.memory import Memory

M = 1 << 20
PARIS = "CET-1CEST,M3.5.0,M10.5.0/3"


class Waits(Stop):
    """A run whose threads wait on the clock of a test."""

    def __init__(self, clock: Clock):
        super().__init__()
        self.clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        self.clock.wait(timeout or 0)
        return False


class Line:
    """A line that brings whatever is asked for at once, and what holds it back."""

    def __init__(self, text: str, wall: float = 0.0):
        self.clock = Clock()
        self.began, self.ahead = self.clock(), wall - self.clock()
        self.stop = Waits(self.clock)
        self.pacing = Pacing(timetable_of(text), self.clock, lambda: self.clock() + self.ahead)

    def move(self, *pieces: int) -> list[int]:
        """Move pieces of these sizes; the sizes that came at once."""
        return [len(piece) for piece in self.pacing.paced((bytes(size) for size in pieces), self.stop)]

    def seconds(self) -> float:
        return self.clock() - self.began


@pytest.fixture
def paris(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The clock on the wall is that of Paris."""
    monkeypatch.setenv("TZ", PARIS)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def utc(text: str) -> float:
    return datetime.fromisoformat(f"{text}+00:00").timestamp()


# What is written.


@pytest.mark.parametrize(
    ("text", "limit"),
    [("20M", 20 * M), ("1.5k", 1536), ("2G", 2 << 30), ("1T", 1 << 40), ("4096", 4096), ("off", math.inf),
     ("0", math.inf)],
)  # fmt: skip
def test_a_limit_counts_in_1024(text, limit):
    assert timetable_of(text) == Timetable(((0, limit),))


@pytest.mark.parametrize(
    ("minute", "limit"),
    [(0, math.inf), (479, math.inf), (480, 10 * M), (1139, 10 * M), (1140, math.inf), (1439, math.inf)],
)
def test_a_timetable_begins_with_what_the_evening_before_has_left(minute, limit):
    for text in ("08:00,10M 19:00,off", "19:00,off  8:00,10M"):
        assert timetable_of(text).at(minute) == limit


BAD = {
    "": "--bwlimit is empty; write it like 20M",
    " ": "--bwlimit is empty; write it like 20M",
    "fast": "--bwlimit: 'fast' is no limit; write it like 20M",
    "-5M": "--bwlimit: '-5M' is no limit",
    "20X": "--bwlimit: '20X' is no limit",
    "20MB": "--bwlimit: '20MB' is no limit",
    "nan": "--bwlimit: 'nan' is no limit",
    "500": "--bwlimit: 500 is less than 1K bytes a second; did you mean 500K",
    "10M 20M": "--bwlimit: '10M' is not a time and a limit; write it like 20M",
    "24:00,10M": "--bwlimit: '24:00' is no time of day",
    "08:60,10M": "--bwlimit: '08:60' is no time of day",
    "8,10M": "--bwlimit: '8' is no time of day",
    "08:00,": "--bwlimit: '' is no limit",
    "08:00,1M 8:00,2M": "--bwlimit: 8:00 stands there twice; leave one out",
    "Mon-08:00,1M": "--bwlimit: 'Mon-08:00' is no time of day",
}


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_limit_is_a_sentence(text):
    with pytest.raises(UsageError) as caught:
        timetable_of(text)
    assert str(caught.value).startswith(BAD[text])


def test_a_timetable_is_a_plain_value_that_several_processes_can_share():
    whole = timetable_of("08:00,10M 19:00,off")
    assert pickle.loads(pickle.dumps(whole.share(4))) == timetable_of("08:00,2.5M 19:00,off")
    assert str(whole) == "from 08:00 on at most 10.0 MB/s, from 19:00 on no limit"
    assert str(timetable_of("20M")) == "at most 20.0 MB/s"


# What goes.


PIECES = [M] * 20, [100] * 50_000, [4 * M] * 5, [128 << 10] * 40


@pytest.mark.slow
@pytest.mark.parametrize("pieces", PIECES, ids=lambda pieces: pieces[0])
def test_bytes_take_as_long_as_the_limit_says_whatever_their_pieces(pieces):
    line = Line("1M")
    line.move(*pieces)
    assert line.seconds() == pytest.approx(sum(pieces) / M, rel=0.01)


def test_small_files_count_as_large_ones_do():
    line = Line("1M")
    for _ in range(100):
        line.move(50_000)
    assert line.seconds() == pytest.approx(5_000_000 / M, rel=0.01)


def test_large_pieces_are_cut_as_servers_do_not_like_long_pauses():
    line = Line("100K")
    sizes = line.move(M)
    assert sum(sizes) == M and max(sizes) == 25 << 10
    assert max(Line("1K").move(M)) == SMALLEST


def test_what_nobody_had_a_use_for_is_not_made_up_for():
    line = Line("1M")
    line.clock.wait(3600)
    before = line.clock()
    line.move(*[M // 10] * 50)
    assert line.clock() - before == pytest.approx(5 - SPARE, rel=0.01)


def test_without_a_limit_nobody_waits():
    line = Line("off")
    line.move(*[M] * 100)
    assert line.seconds() == 0
    place = Memory().place
    assert pacing_of("", pytest.fail) is None and paced(place, None, Stop()) is place


def test_who_ends_waits_no_more():
    line = Line("1K")
    line.stop.set()
    assert line.move(M) and line.seconds() == 0


def test_the_limit_changes_while_bytes_wait(paris):
    line = Line("00:00,1K 12:00,off", utc("2026-11-27T10:59:50"))
    line.move(*[M] * 50)  # at 1K it would take 14 hours
    assert 10 <= line.seconds() <= 11
    line = Line("00:00,off 12:00,1M", utc("2026-11-27T10:59:59"))
    line.move(*[M] * 50)
    assert line.seconds() == 0
    line.clock.wait(1)
    line.move(*[M] * 50)
    assert line.seconds() == pytest.approx(51, abs=0.5)


def test_midnight_is_the_end_of_a_day(paris):
    line = Line("00:00,2M 23:00,1M", utc("2026-11-27T22:59:50"))  # in Paris it is one hour later
    line.move(*[M] * 30)
    assert line.seconds() == pytest.approx(20, abs=1)  # 10 at 1M, then 10 at 2M


@pytest.mark.parametrize(
    ("when", "limit"),
    [
        ("2026-03-29T00:59:59", 1), ("2026-03-29T01:00:00", 2),  # 02:30 does not come: at 3:00 it has been
        ("2026-10-25T00:29:59", 1), ("2026-10-25T00:30:00", 2),  # it comes for the first time
        ("2026-10-25T01:00:00", 1), ("2026-10-25T01:30:00", 2),  # and again after an hour
        ("2026-07-01T00:29:59", 1), ("2026-07-01T00:30:00", 2),
        ("2026-01-01T01:29:59", 1), ("2026-01-01T01:30:00", 2),
    ],
)  # fmt: skip
def test_summer_time_is_that_of_the_clock_on_the_wall(paris, when, limit):
    assert timetable_of("00:00,1K 02:30,2K").at(minute_of(utc(when))) == limit * 1024


def test_all_that_a_site_reads_and_writes_is_held_back_and_nothing_else():
    clock = Clock()
    site, stop = Memory({"a": bytes(5 * 1024)}), Waits(clock)
    place: Place = paced(site.place, Pacing(timetable_of("1K"), clock, clock), stop)
    body = place.reader.read(At("a", 5 * 1024), 0, 5 * 1024)
    assert sum(map(len, body.chunks)) == 5 * 1024 and body.checksum == place.reader.checksum(At("a", 5 * 1024))
    assert clock() == pytest.approx(1005, abs=0.2)
    assert place.writer
    assert place.writer.folder("b")
    place.writer.write("b/c", Sent(3000, lambda: iter([bytes(2000), bytes(1000)])))
    assert clock() == pytest.approx(1005 + 3000 / 1024, abs=0.3)
    place.writer.rename("b/c", "b/d", False)
    assert place.writer.stored("b/d").size == 3000 and place.writer.remove("b/d")
    assert site.files.keys() == {"a"} and clock() == pytest.approx(1005 + 3000 / 1024, abs=0.3)


# How long a run may take.


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("11h", 39600), ("90m", 5400), ("1d", 86400), ("2h30m", 9000), ("600", 600), ("45s", 45), ("1D2H3M4S", 93784)],
)
def test_a_duration_is_seconds(text, seconds):
    assert seconds_in(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "0h", "soon", "-1h", "1.5h", "30m2h", "h", "1h 30m", "11 h"])
def test_what_is_no_duration_is_a_sentence(text):
    with pytest.raises(UsageError, match=r"--max_duration: .* is no time; write it like 11h, 90m, 1d or 2h30m$"):
        seconds_in(text)


@pytest.mark.parametrize(
    ("bounds", "actions", "name"),
    [(("1M", None), ["verify", "build_list"], "bwlimit"), ((None, "1h"), ["show_conf"], "max_duration"),
     (("1M", "1h"), [], "bwlimit"), ((None, "1h"), ["ls_dir"], "max_duration")],
)  # fmt: skip
def test_what_bounds_nothing_is_refused(bounds, actions, name):
    with pytest.raises(UsageError, match=f"^--{name} bounds nothing on this line; it goes with "):
        seconds_for(*bounds, actions)


def test_bounds_go_with_what_they_bound():
    assert seconds_for("1M", "2h", ["put"]) == 7200 and seconds_for(None, "1m", ["build_list"]) == 60
    assert seconds_for("1M", None, ["sync"]) == math.inf
