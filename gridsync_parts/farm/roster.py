"""Which worker has which files: no threads, no clock, no Dask."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from gridsync_parts.errors import GridError
from gridsync_parts.fetching import Work

AIM = 2.0  # seconds that a load is to take: the way to a worker and back takes some hundredths
FIRST = 4 << 20  # bytes of a worker's first load, and what a file costs beside its own:
FIXED = 256 << 10
MOST = 200  # files of a load
LEARNING = 0.5  # how much the last load counts for the speed of a worker
SILENT = 60.0  # seconds without any beat after which a worker that has files is given up
GRACE = 10.0  # seconds in which a worker may come that is fit, after one that is not


def cost(work: Work) -> int:
    """What a file costs, in bytes."""
    return FIXED + (0 if work.is_here else work.row.size)


class Handed(NamedTuple):
    """A load as the run knows it."""

    worker: str
    works: tuple[Work, ...]
    began: float


class Member:
    """A worker."""

    def __init__(self, host: str, threads: int, now: float):
        self.host = host
        self.threads = threads
        self.share = 0  # loads that may be under way there at once
        self.loads: dict[int, int] = {}  # by number: how many may be under way there once it has begun
        self.rate = 0.0  # bytes that a hand does in a second, as `cost` counts them; 0 while it is not known
        self.heard = now
        self.is_fit = True

    def under_way(self, *more: int) -> int:
        """How many of its loads may be under way, with one more perhaps."""
        count = 0
        for most in sorted([*self.loads.values(), *more]):  # each begins once fewer are under way than it says
            count += most > count
        return count

    def room(self) -> int:
        """What a load for it may cost."""
        return int(self.rate * AIM) if self.rate else FIRST


class Roster:
    """The workers of a run, and what each has. A file is with one of them at a time."""

    def __init__(self, hands: int):
        self.hands = hands  # loads that may be under way at once, of all workers
        self.members: dict[str, Member] = {}
        self.loads: dict[int, Handed] = {}
        self.lost: set[str] = set()  # files that a worker may write to, now or at any time, which nobody hears
        self.are_lost = False  # workers of an earlier run may be at any file
        self.fault: GridError | None = None  # why the last worker that can do nothing can't
        self.numbers = 0
        self.usual = 1  # files that a load can have, as far as its worker's speed decides

    # Workers come and go.

    def join(self, worker: str, host: str, threads: int, now: float) -> None:
        """A worker is there."""
        self.members[worker] = Member(host, threads, now)
        self.divide()

    def leave(self, worker: str, has_ended: bool) -> list[Work]:
        """A worker is not there any more, or nobody hears it; the files that it had."""
        member = self.members.pop(worker, None)
        self.divide()
        works = [work for number in member.loads for work in self.loads.pop(number).works] if member else []
        self.lost.update([] if has_ended else (work.row.path for work in works))
        return works

    def is_lost(self, path: str) -> bool:
        """Whether a worker that nobody hears may write to a file."""
        return self.are_lost or path in self.lost

    def dismiss(self, worker: str, fault: GridError) -> None:
        """Give a worker no more files, as it can do nothing; those that it has come back."""
        self.fault = fault
        if member := self.members.get(worker):
            member.is_fit = False
            self.divide()

    def hear(self, worker: str, now: float) -> None:
        """A worker is alive."""
        if member := self.members.get(worker):
            member.heard = now

    def silent(self, now: float) -> list[str]:
        """Workers that have files, and have said nothing for long."""
        return [name for name, member in self.members.items() if member.loads and now - member.heard > SILENT]

    def fit(self) -> list[Member]:
        """Those that can be given files."""
        return [member for member in self.members.values() if member.is_fit]

    def under_way(self) -> int:
        """How many loads may be under way."""
        return sum(member.under_way() for member in list(self.members.values()))

    def divide(self) -> None:
        """Divide what may be under way among the workers, one by one, as far as each has hands."""
        members, left = self.fit(), self.hands
        for member in self.members.values():
            member.share = 0
        while left and (some := [member for member in members if member.share < member.threads]):
            for member in some[:left]:
                member.share += 1
            left -= min(left, len(some))

    # Files go and come.

    def next(self, todo: int) -> str:
        """The worker that gets the next load; empty if none can take one now.

        When there is enough for all, each has one more waiting, so that none waits for the next one.
        """
        free = {
            name: len(member.loads) / member.share for name, member in self.members.items()
            if member.share and len(member.loads) < member.share + (todo > self.hands)
        }  # fmt: skip
        total = self.under_way() if free else 0  # mostly none is free, and counting is dear
        for name in sorted(free, key=lambda name: free[name]):
            member = self.members[name]
            if total - member.under_way() + member.under_way(member.share) <= self.hands:
                return name
        return ""

    def size(self, worker: str, first: Sequence[Work], todo: int) -> int:
        """How many of the next files a worker's next load has: fewer near the end, so that all end together."""
        room, count = self.members[worker].room() - cost(first[0]), 1
        while count < len(first) and (room := room - cost(first[count])) >= 0:
            count += 1
        if count < len(first) or count == MOST:
            self.usual = count
        return min(count, math.ceil(todo / (2 * self.hands)))

    def hand(self, worker: str, works: Sequence[Work], now: float) -> int:
        """A worker has files now; the number of the load."""
        self.numbers += 1
        member = self.members[worker]
        member.loads[self.numbers] = member.share
        member.heard = max(member.heard, now) if len(member.loads) == 1 else member.heard
        self.loads[self.numbers] = Handed(worker, tuple(works), now)
        return self.numbers

    def take_back(self, number: int, seconds: float) -> Handed | None:
        """A load is done, and has taken so long; None if its files are with others by now."""
        handed = self.loads.pop(number, None)
        if handed is None:
            return None
        member = self.members[handed.worker]
        del member.loads[number]
        if seconds > 0:
            rate = sum(map(cost, handed.works)) / seconds
            member.rate = rate if not member.rate else LEARNING * rate + (1 - LEARNING) * member.rate
        return handed

    def check(self) -> None:
        """Whether all that is kept here agrees; for tests."""
        numbers = [number for member in self.members.values() for number in member.loads]
        assert sorted(numbers) == sorted(self.loads), "a load is with nobody, or with two"
        paths = [work.row.path for handed in self.loads.values() for work in handed.works]
        assert len(paths) == len(set(paths)), "a file is in two loads"
        assert sum(member.share for member in self.members.values()) <= self.hands
        assert self.under_way() <= self.hands, "too many at once"
