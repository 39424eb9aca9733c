"""No more bytes a second over the line than --bwlimit allows, of all threads together and in each direction."""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Iterator
from typing import Callable, NamedTuple

from gridsync_parts.doors import At, Body, Place, Reader, Sent, Stored, Writer
from gridsync_parts.errors import UsageError, brief
from gridsync_parts.pool import Stop
from gridsync_parts.words import size_text

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
LEAST = 1 << 10  # bytes a second; fewer are a slip
SPARE = 0.1  # seconds whose bytes may be made up for, when nobody had anything to move
SLICE = 0.25  # seconds whose bytes go at once: servers do not like long pauses
SMALLEST = 16 << 10  # bytes of a slice, at the least
GLANCE = 1.0  # seconds between two looks at the clock on the wall, as the limit may be another one
TOO_SHORT = 0.002  # seconds that nobody waits: what is too much now is waited for later
FORM = '20M (K, M, G or T bytes a second), off, or by the time of day "08:00,10M 19:00,off"'


def limit_in(text: str) -> float:
    """The bytes a second that a text means; infinite if there is no limit."""
    if text.lower() in ("off", "0"):
        return math.inf
    found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)([KMGT]?)", text.upper())
    if not found:
        raise UsageError(f"--bwlimit: {brief(repr(text))} is no limit; write it like {FORM}")
    limit = float(found[1]) * UNITS[found[2]]
    if limit < LEAST:
        raise UsageError(f"--bwlimit: {text} is less than 1K bytes a second; did you mean {found[1]}K")
    return limit


def minute_in(text: str) -> int:
    """The minute of the day that a text like 08:00 means."""
    found = re.fullmatch("([0-9]{1,2}):([0-9]{2})", text)
    if not found or int(found[1]) > 23 or int(found[2]) > 59:
        raise UsageError(f"--bwlimit: {brief(repr(text))} is no time of day; write it like {FORM}")
    return int(found[1]) * 60 + int(found[2])


class Timetable(NamedTuple):
    """How many bytes a second may go, by the time of day: a plain value, good for any process."""

    steps: tuple[tuple[int, float], ...]  # minutes of the day in their order, and the limit from then on

    def at(self, minute: int) -> float:
        """The limit at a minute of the day; before the first step it is that of the evening before."""
        return next((limit for begins, limit in reversed(self.steps) if begins <= minute), self.steps[-1][1])

    def share(self, parts: int) -> Timetable:
        """What each of several processes may move, which know nothing of one another."""
        return Timetable(tuple((begins, limit / parts) for begins, limit in self.steps))

    def __str__(self) -> str:
        texts = ["no limit" if limit == math.inf else f"at most {size_text(limit)}/s" for _, limit in self.steps]
        if len(self.steps) == 1:
            return texts[0]
        times = [f"{begins // 60:02d}:{begins % 60:02d}" for begins, _ in self.steps]
        return ", ".join(f"from {begins} on {text}" for begins, text in zip(times, texts))


def timetable_of(text: str) -> Timetable:
    """The limits that a text means."""
    words = text.split()
    if len(words) == 1 and "," not in text:
        return Timetable(((0, limit_in(words[0])),))
    steps: dict[int, float] = {}
    for word in words:
        begins, comma, limit = word.partition(",")
        if not comma:
            raise UsageError(f"--bwlimit: {brief(repr(word))} is not a time and a limit; write it like {FORM}")
        if (minute := minute_in(begins)) in steps:
            raise UsageError(f"--bwlimit: {begins} stands there twice; leave one out")
        steps[minute] = limit_in(limit)
    if not steps:
        raise UsageError(f"--bwlimit is empty; write it like {FORM}")
    return Timetable(tuple(sorted(steps.items())))


def minute_of(when: float) -> int:
    """The minute of the day, as the clock on the wall shows it: whatever summer time makes of it."""
    shown = time.localtime(when)
    return shown.tm_hour * 60 + shown.tm_min


class Pacing:
    """Who moves bytes takes a number, which is the count of all bytes so far, and waits until so many are allowed."""

    def __init__(
        self, timetable: Timetable, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
    ):
        self.timetable = timetable
        self.clock = clock
        self.wall = wall
        self.lock = threading.Lock()
        self.taken = 0.0  # bytes that have gone, or wait to go
        self.allowed = 0.0  # bytes that may have gone by now
        self.seen = clock()

    def limit(self) -> float:
        """The limit now."""
        return self.timetable.at(minute_of(self.wall()))

    def look(self) -> float:
        """Allow what the time since the last look brings; the limit now."""
        now, limit = self.clock(), self.limit()
        if limit == math.inf:
            self.allowed = self.taken
        else:  # what nobody had a use for is gone
            self.allowed = min(self.allowed + limit * (now - self.seen), self.taken + limit * SPARE)
        self.seen = now
        return limit

    def take(self, count: int) -> float:
        """Have so many bytes more; the number to wait for."""
        with self.lock:
            self.look()
            self.taken += count
            return self.taken

    def left(self, number: float) -> float:
        """Seconds until so many bytes are allowed, as the limit is now."""
        with self.lock:
            limit = self.look()
            return max(0.0, (number - self.allowed) / limit)

    def slice(self) -> int:
        """How many bytes go at once."""
        return int(min(1 << 30, max(SMALLEST, self.limit() * SLICE)))

    def paced(self, chunks: Iterator[bytes | memoryview], stop: Stop) -> Iterator[bytes | memoryview]:
        """Pieces of a file, each once its bytes are allowed; nobody waits in a run that ends."""
        for chunk in chunks:
            length = self.slice()
            for start in range(0, len(chunk), length):
                piece = chunk[start : start + length]
                number = self.take(len(piece))
                while (seconds := self.left(number)) > TOO_SHORT and not stop.is_set():
                    stop.wait(min(seconds, GLANCE))
                yield piece


def pacing_of(text: str, note: Callable[[str], None]) -> Pacing | None:
    """What holds files back as --bwlimit says, which is noted; None where there is no limit."""
    if not text:
        return None
    timetable = timetable_of(text)
    note(f"--bwlimit: {timetable}")
    return Pacing(timetable)


class PacedReader:
    """A reader whose bytes come no faster than they may."""

    def __init__(self, reader: Reader, pacing: Pacing, stop: Stop):
        self.reader = reader
        self.pacing = pacing
        self.stop = stop

    def read(self, at: At, start: int, stop: int) -> Body:
        """The bytes from start up to stop of a file of this size, and perhaps more."""
        body = self.reader.read(at, start, stop)
        return body._replace(chunks=self.pacing.paced(body.chunks, self.stop))

    def checksum(self, at: At) -> str:
        """The checksum of one file, or empty when the door knows none."""
        return self.reader.checksum(at)


class PacedWriter:
    """A writer whose bytes go no faster than they may."""

    def __init__(self, writer: Writer, pacing: Pacing, stop: Stop):
        self.writer = writer
        self.pacing = pacing
        self.stop = stop

    def folder(self, path: str) -> bool:
        """Make a folder in one that is there; whether it was not there yet."""
        return self.writer.folder(path)

    def write(self, path: str, sent: Sent) -> Stored:
        """Send a new file."""
        return self.writer.write(path, sent._replace(chunks=lambda: self.pacing.paced(sent.chunks(), self.stop)))

    def stored(self, path: str) -> Stored:
        """What is there under a name."""
        return self.writer.stored(path)

    def rename(self, path: str, target: str, replace: bool) -> None:
        """Give a file its name."""
        self.writer.rename(path, target, replace)

    def remove(self, path: str) -> bool:
        """Remove a file; whether it was there."""
        return self.writer.remove(path)


def paced(place: Place, pacing: Pacing | None, stop: Stop) -> Place:
    """A site whose files come and go no faster than they may; the same site where there is no limit."""
    if pacing is None:
        return place
    writer = PacedWriter(place.writer, pacing, stop) if place.writer else None
    return place._replace(reader=PacedReader(place.reader, pacing, stop), writer=writer, ahead=None, ahead_writer=None)
