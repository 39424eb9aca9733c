"""What the lines of a stats file come to: numbers that stay few, however many lines there are."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from gridsync_parts.report.reasons import Reason, Reasons
from gridsync_parts.report.times import Spans, Timeline, moment_of
from gridsync_parts.stats import Line, Lines

# What a line says of a file; else the number of the reason why it has failed.
OK, SKIPPED, INTERRUPTED = -1, -2, -3
UNVERIFIED, BY_SIZE, BY_CHECKSUM = range(3)
MOST_SITES = 40
MOST_POINTS = 1500  # files that are shown one by one
MOST_SLOW = 12
MOST_RECORDS = 100_000
OTHERS = "other sites", ""
ADDED = "ok", "skipped", "missing", "by_checksum", "by_size", "attempts", "interrupted", "bytes"  # of all sites
STOPPED = "interrupted"  # the error of an attempt that Ctrl-C or a time limit has ended
PER_DECADE = 6  # cells of the density of durations and sizes


def middle(counts: Counter[int]) -> int:
    """The value that half of all are not above."""
    value, left = 0, sum(counts.values()) / 2
    for value in sorted(counts):
        left -= counts[value]
        if left <= 0:
            break
    return value


class Moved(NamedTuple):
    """A file that was moved."""

    key: str
    site: str
    size: int
    bytes: int  # over the line: fewer where it was gone on with
    seconds: float
    rate: float
    start: str


class Sums:
    """Counts of one site and direction, or of all."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.ok = self.skipped = self.missing = 0  # files, by what became of them in the end
        self.by_checksum = self.by_size = 0  # of them, how they were verified
        self.attempts = self.interrupted = 0  # that have failed, and that Ctrl-C or a time limit has ended
        self.bytes = 0  # over the line
        self.spans = Spans()

    def rate(self, width: float) -> float:
        """Bytes a second while something moved, where a figure has bins so long."""
        seconds = self.spans.seconds(width)
        return self.spans.bytes / seconds if seconds > 0 else 0.0


class When:
    """The times of lines."""

    def __init__(self) -> None:
        self.timeline, self.spans = Timeline(), Spans()
        self.first, self.last = math.inf, -math.inf
        self.senseless = self.backwards = 0  # lines with times that make no sense, and those that end before they begin

    def add(self, line: Line, sums: Sums) -> None:
        """One line more, and the sums of its site."""
        start, end = moment_of(line.start), moment_of(line.end)
        if not (start and end):
            self.senseless += 1
            return
        if end < start:
            self.backwards += 1
            start = end
        self.first, self.last = min(self.first, start), max(self.last, end)
        if line.status == "failed" and line.error != STOPPED:
            self.timeline.fail(end)
        if line.bytes:
            self.timeline.add(start, end, line.bytes)
            for spans in (self.spans, sums.spans):
                spans.add(start, end)
                spans.bytes += line.bytes


class Sizes:
    """Files by size and duration: one by one while they are few, and then how many are alike."""

    def __init__(self) -> None:
        self.by_size: Counter[int] = Counter()  # by the number of bits of the size
        self.bytes: Counter[int] = Counter()
        self.points: list[Moved] = []
        self.cells: Counter[tuple[int, int]] = Counter()  # by the logarithms of size and duration
        self.timed = 0  # files in these

    def add(self, file: Moved) -> None:
        """One file more."""
        bits = file.size.bit_length()
        self.by_size[bits] += 1
        self.bytes[bits] += file.size
        if file.size <= 0 or file.seconds <= 0:
            return
        self.timed += 1
        if len(self.points) < MOST_POINTS:
            self.points.append(file)
        cell = math.floor(math.log10(file.size) * PER_DECADE), math.floor(math.log10(file.seconds) * PER_DECADE)
        self.cells[cell] += 1

    def has_points(self) -> bool:
        """Whether each file can be shown."""
        return self.timed <= MOST_POINTS


class Fate(NamedTuple):
    """What is known of a file after some of its lines."""

    site: int
    last: int  # what the last line says
    was_moved: bool  # by any line
    verified: int  # how; a later look at its size takes back nothing

    def is_here(self) -> bool:
        """Whether the file is where it should be."""
        return self.last in (OK, SKIPPED)


class Fates:
    """What has become of each file, by all its lines: a file that once came stays one that was moved."""

    def __init__(self) -> None:
        self.files: dict[int, Fate] = {}  # by a hash of the name: a million names would take 200 MB
        self.alike: dict[Fate, Fate] = {}  # one of each, for the same reason

    def note(self, line: Line, site: int, last: int) -> None:
        """Note what a line says."""
        name = hash((line.site, line.direction, line.key))
        verified = BY_SIZE if line.verified == "size" else BY_CHECKSUM if line.verified else UNVERIFIED
        before = self.files.get(name)
        if before and last != OK:
            verified = max(verified, before.verified)
        fate = Fate(site, last, last == OK or bool(before and before.was_moved), verified)
        self.files[name] = self.alike.setdefault(fate, fate)

    def counts(self) -> Counter[Fate]:
        """How many files have each."""
        return Counter(self.files.values())


class Gathered:
    """All that a page and a summary tell."""

    def __init__(self) -> None:
        self.lines = self.left_out = 0
        self.sites: dict[tuple[str, str], Sums] = {}
        self.fates = Fates()
        self.when = When()
        self.sizes = Sizes()
        self.reasons = Reasons()
        self.slow: list[tuple[float, int, Moved]] = []  # a heap
        self.records: dict[str, None] = {}  # ids that records may have, in the order in which they came
        self.deposits: dict[int, str] = {}  # what the last line says of each whole record, by a hash of its name

    def take(self, lines: Iterable[Line]) -> None:
        """Take in lines."""
        for line in lines:
            self.lines += 1
            if line.file_count is not None:  # its files have lines of their own
                self.deposits[hash((line.site, line.key))] = line.status
                if line.status == "failed":
                    self.fate(line, self.sums_of(line))
                continue
            sums = self.sums_of(line)
            sums.bytes += line.bytes
            self.when.add(line, sums)
            self.fates.note(line, sums.number, self.fate(line, sums))
            if line.status != "failed" and len(self.records) < MOST_RECORDS:
                self.records[line.key.partition("/")[0]] = None

    def sums_of(self, line: Line) -> Sums:
        """Where a line is counted."""
        name = (line.site, line.direction)
        if name not in self.sites:
            name = name if len(self.sites) < MOST_SITES - 1 else OTHERS
            self.sites.setdefault(name, Sums(len(self.sites)))
        return self.sites[name]

    def fate(self, line: Line, sums: Sums) -> int:
        """Count what has become of a file in a line; which that is."""
        if line.status == "failed":
            if line.error == STOPPED:
                sums.interrupted += 1
                return INTERRUPTED
            sums.attempts += 1
            return self.reasons.add(line.error, line.key)
        if line.status != "ok":
            return SKIPPED
        file = Moved(line.key, line.site, line.size, line.bytes, line.duration_s, line.rate_Bps, line.start)
        self.sizes.add(file)
        slow = (file.seconds, -self.lines, file)  # of two alike the first one
        if len(self.slow) < MOST_SLOW:
            heapq.heappush(self.slow, slow)
        elif slow > self.slow[0]:
            heapq.heapreplace(self.slow, slow)
        return OK

    def settle(self) -> None:
        """Say of each site how many files are here, now that all lines are known."""
        by_number = {sums.number: sums for sums in self.sites.values()}
        for fate, files in self.fates.counts().items():
            sums = by_number[fate.site]
            if not fate.is_here():
                sums.missing += files
                continue
            sums.ok += files * fate.was_moved
            sums.skipped += files * (not fate.was_moved)
            sums.by_checksum += files * (fate.verified == BY_CHECKSUM)
            sums.by_size += files * (fate.verified == BY_SIZE)

    def slowest(self) -> list[Moved]:
        """The files that took longest, the longest first."""
        return [file for _, _, file in sorted(self.slow, reverse=True)]

    def failures(self) -> list[Reason]:
        """Why attempts have failed."""
        last = Counter[int]()
        for fate, files in self.fates.counts().items():
            last[fate.last] += files
        return self.reasons.found(last)

    def all(self) -> Sums:
        """Sums of all sites; the time is that in which anything moved."""
        sums = Sums(0)
        sums.spans = self.when.spans
        for one in self.sites.values():
            for name in ADDED:
                setattr(sums, name, getattr(sums, name) + getattr(one, name))
        return sums


def gather(lines: Lines) -> Gathered:
    """What a stats file comes to."""
    gathered = Gathered()
    gathered.take(lines)
    gathered.left_out = lines.left_out
    gathered.settle()
    return gathered
