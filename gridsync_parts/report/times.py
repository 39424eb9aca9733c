"""When something moved: bytes by time, in as few bins as a figure can show, and for how long in all."""

from __future__ import annotations

import bisect
from collections import Counter

from gridsync_parts.words import seconds_of

TICK = 0.1  # seconds
# How long a bin may be, in ticks; each of these is so many of the one before.
LADDER = (
    1, 5, 10, 20, 100, 300, 600, 1200, 6000, 18000, 36000, 72000, 216000, 432000, 864000, 6048000, 24192000, 290304000,
)  # fmt: skip
MOST_BINS = 240
MOST_SPANS = 5000
PAUSE = 10.0  # seconds: so short a time in which nothing moves counts as well
SANE = 631152000.0, 4102444800.0  # from 1990 to 2100: what a clock that was set can say


def moment_of(text: str) -> float:
    """A time of a line as seconds, or 0 for one that makes no sense."""
    try:
        found = seconds_of(text[:19] + "Z") + (float(text[19:-1]) if text[19:20] == "." else 0.0)
    except ValueError:
        return 0.0
    return found if SANE[0] < found < SANE[1] else 0.0


class Timeline:
    """Bytes, and attempts that have failed, by time; bins get longer as they become too many."""

    def __init__(self) -> None:
        self.step = 0
        self.bytes: Counter[int] = Counter()
        self.failed: Counter[int] = Counter()
        self.ends = 0, -1  # the first and the last bin

    def width(self) -> float:
        """Seconds of a bin."""
        return LADDER[self.step] * TICK

    def reach(self, start: float, end: float) -> tuple[int, int]:
        """The bins in which a time begins and ends; longer ones if it would be too many."""
        while True:
            width, (low, high) = self.width(), self.ends
            first, last = int(start // width), int(end // width)
            low, high = (min(low, first), max(high, last)) if low <= high else (first, last)
            if high - low < MOST_BINS or self.step == len(LADDER) - 1:
                self.ends = low, high
                return first, last
            self.lengthen()

    def lengthen(self) -> None:
        """Put bins together."""
        many = LADDER[self.step + 1] // LADDER[self.step]
        for name in ("bytes", "failed"):
            before, after = getattr(self, name), Counter[int]()
            for bin_, amount in before.items():
                after[bin_ // many] += amount
            setattr(self, name, after)
        if self.ends[0] <= self.ends[1]:
            self.ends = self.ends[0] // many, self.ends[1] // many
        self.step += 1

    def add(self, start: float, end: float, amount: int) -> None:
        """Bytes that have come in a time, as if evenly."""
        first, last = self.reach(start, end)
        if first == last:
            self.bytes[first] += amount
            return
        width, rate = self.width(), amount / (end - start)
        self.bytes[first] += rate * ((first + 1) * width - start)  # type: ignore[assignment]
        self.bytes[last] += rate * (end - last * width)  # type: ignore[assignment]
        for between in range(first + 1, last):
            self.bytes[between] += rate * width  # type: ignore[assignment]

    def fail(self, when: float) -> None:
        """An attempt that has failed."""
        self.failed[self.reach(when, when)[1]] += 1

    def bins(self) -> list[tuple[float, float, int]]:
        """When each begins, its bytes a second, and how many attempts have failed in it."""
        width, (low, high) = self.width(), self.ends
        return [(n * width, self.bytes[n] / width, self.failed[n]) for n in range(low, high + 1)]


class Spans:
    """The time in which at least one file moved, with short pauses."""

    def __init__(self) -> None:
        self.spans: list[tuple[float, float]] = []  # that do not touch, in order
        self.gap = PAUSE
        self.bytes = 0  # that have come in it

    def add(self, start: float, end: float) -> None:
        """One file more."""
        spans, gap = self.spans, self.gap
        if spans and spans[-1][0] <= start <= spans[-1][1] + gap:  # as nearly all do
            if end > spans[-1][1]:
                spans[-1] = (spans[-1][0], end)
            return
        first = bisect.bisect_left(spans, (start,))
        while first and spans[first - 1][1] + gap >= start:
            first -= 1
        last = first
        while last < len(spans) and spans[last][0] <= end + gap:
            start, end = min(start, spans[last][0]), max(end, spans[last][1])
            last += 1
        spans[first:last] = [(start, end)]
        if len(spans) > MOST_SPANS:
            self.close_gaps()

    def close_gaps(self) -> None:
        """Make fewer spans of them, where the gaps are short."""
        gaps = sorted(after[0] - before[1] for before, after in zip(self.spans, self.spans[1:]))
        self.gap = gaps[len(gaps) // 2]
        spans, self.spans = self.spans, []
        for start, end in spans:
            self.add(start, end)

    def seconds(self, width: float = TICK) -> float:
        """How long that is in all; in whole bins of a figure, so that no mean is above its highest bar.

        Bins that are longer than a pause count in part: else a run of a minute would count as a day.
        """
        unit = width if width <= PAUSE else TICK
        bins = 0
        for start, end in self.spans:
            first, last = int(start // unit), int(end // unit)
            bins += max(1, last - first + (end > last * unit))
        return unit * bins
