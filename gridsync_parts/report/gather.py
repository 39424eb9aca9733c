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

OK, SKIPPED = -1, -2  # what became of a file; else the number of the reason why it has failed
MOST_SITES = 40
MOST_POINTS = 1500  # files that are shown one by one
MOST_SLOW = 12
MOST_RECORDS = 100_000
OTHERS = "other sites", ""
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
    seconds: float
    rate: float
    start: str


class Sums:
    """Counts of one site and direction, or of all."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.ok = self.skipped = self.failed = 0  # files, by what became of them in the end
        self.attempts = 0  # that have failed
        self.bytes = 0  # over the line
        self.spans = Spans()

    def rate(self) -> float:
        """Bytes a second while something moved; 0 where that took no time."""
        seconds = self.spans.seconds()
        return self.bytes / seconds if seconds > 0 else 0.0


class When:
    """The times of lines."""

    def __init__(self) -> None:
        self.timeline, self.spans = Timeline(), Spans()
        self.first, self.last = math.inf, -math.inf
        self.senseless = self.backwards = 0  # lines with times that make no sense, and those that end before they begin

    def add(self, line: Line, spans: Spans) -> None:
        """One line more, and the spans of its site."""
        start, end = moment_of(line.start), moment_of(line.end)
        if not (start and end):
            self.senseless += 1
            return
        if end < start:
            self.backwards += 1
            start = end
        self.first, self.last = min(self.first, start), max(self.last, end)
        if line.status == "failed":
            self.timeline.fail(end)
        if line.bytes:
            self.timeline.add(start, end, line.bytes)
            self.spans.add(start, end)
            spans.add(start, end)


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


class Fates:
    """What has become of each file: what its last line says."""

    def __init__(self) -> None:
        self.files: dict[int, int] = {}  # by a hash of the name: a million names would take 200 MB
        self.numbers: dict[int, int] = {}  # one of each that is alike, for the same reason

    def note(self, line: Line, site: int, fate: int) -> None:
        """Note what a line says."""
        number = (fate - SKIPPED) * MOST_SITES + site
        self.files[hash((line.site, line.direction, line.key))] = self.numbers.setdefault(number, number)

    def counts(self) -> Counter[tuple[int, int]]:
        """How many files of a site have one."""
        found = Counter(self.files.values())
        return Counter({(number % MOST_SITES, number // MOST_SITES + SKIPPED): n for number, n in found.items()})


class Gathered:
    """All that a page and a summary tell."""

    def __init__(self) -> None:
        self.lines = self.left_out = 0
        self.sites: dict[tuple[str, str], Sums] = {}
        self.fates = Fates()
        self.when = When()
        self.sizes = Sizes()
        self.reasons = Reasons()
        self.verified: Counter[str] = Counter()
        self.slow: list[tuple[float, int, Moved]] = []  # a heap
        self.records: dict[str, None] = {}  # ids that records may have, in the order in which they came

    def take(self, lines: Iterable[Line]) -> None:
        """Take in lines."""
        for line in lines:
            self.lines += 1
            sums = self.sums_of(line)
            sums.bytes += line.bytes
            self.when.add(line, sums.spans)
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
            sums.attempts += 1
            return self.reasons.add(line.error, line.key)
        self.verified[line.verified] += 1
        if line.status != "ok":
            return SKIPPED
        file = Moved(line.key, line.site, line.size, line.duration_s, line.rate_Bps, line.start)
        self.sizes.add(file)
        slow = (file.seconds, -self.lines, file)  # of two alike the first one
        if len(self.slow) < MOST_SLOW:
            heapq.heappush(self.slow, slow)
        elif slow > self.slow[0]:
            heapq.heapreplace(self.slow, slow)
        return OK

    def settle(self) -> None:
        """Say of each site how many files are here, now that all lines are known."""
        counts = self.fates.counts()
        for sums in self.sites.values():
            found = {fate: n for (site, fate), n in counts.items() if site == sums.number}
            sums.ok, sums.skipped = found.pop(OK, 0), found.pop(SKIPPED, 0)
            sums.failed = sum(found.values())

    def slowest(self) -> list[Moved]:
        """The files that took longest, the longest first."""
        return [file for _, _, file in sorted(self.slow, reverse=True)]

    def failures(self) -> list[Reason]:
        """Why attempts have failed."""
        last = Counter[int]()
        for (_, fate), n in self.fates.counts().items():
            last[fate] += n
        return self.reasons.found(last)

    def all(self) -> Sums:
        """Sums of all sites; the time is that in which anything moved."""
        sums = Sums(0)
        sums.spans = self.when.spans
        for one in self.sites.values():
            for name in ("ok", "skipped", "failed", "attempts", "bytes"):
                setattr(sums, name, getattr(sums, name) + getattr(one, name))
        return sums


def gather(lines: Lines) -> Gathered:
    """What a stats file comes to."""
    gathered = Gathered()
    gathered.take(lines)
    gathered.left_out = lines.left_out
    gathered.settle()
    return gathered
