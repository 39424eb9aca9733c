"""A day of --sync in virtual time, hour by hour: a tape robot, 50 workers, and what goes wrong with all of it.

    python3 -m tests.support.day 1000000

The program is real, but for its threads, the site, the disk and Dask. CPU seconds are those of the program alone,
without the world around it; memory is that of both.
"""

from __future__ import annotations

import gc
import os
import random
import sys
import tempfile
import time
from pathlib import Path

from gridsync_parts.flow import Flow
from gridsync_parts.jobs import Where
from gridsync_parts.pace import DAY, HOUR, MINUTE, PACE
from tests.support.farm import Ill
from tests.support.simulation import GIB, Fault, Simulation, World

WORKERS, HANDS, THREADS = 50, 2, 64
# A turn a minute, and few looks at a request, or the turns of a day would be all that it takes.
FAST = PACE._replace(tick=60, list=8 * HOUR, polls=0.1)
FAULTS = (
    ("door", 2, 1 / 6, 1.0), ("pool", 4, 2, 0.1), ("tape", 7, 1, 1.0), ("release", 10, 1, 1.0),
    ("door", 13, 1 / 6, 1.0),
)  # fmt: skip
ILLS = (
    ("die", 10 * MINUTE), ("part", 20 * MINUTE), ("freeze", 5 * MINUTE), ("cut", 10 * MINUTE), ("slow", HOUR),
    ("unmount", 30 * MINUTE),
)  # fmt: skip
HEADS = "hour came GiB staged tape staging ready copying later left failed workers ills CPU_s MB".split()


def ills_of(count: int, seed: int) -> tuple[Ill, ...]:
    """What befalls workers in a day, by chance."""
    chance = random.Random(seed)
    kinds = [chance.choice(ILLS) for _ in range(count)]
    return tuple(Ill(kind, chance.uniform(60, DAY), chance.randrange(WORKERS), lasts) for kind, lasts in kinds)


def world_of(files: int) -> World:
    """A site whose robot and lines bring so many files in some 20 hours."""
    faults = tuple(Fault(kind, hour * HOUR, hours * HOUR, share) for kind, hour, hours, share in FAULTS)
    on_tape, busy = 0.5, 18 * HOUR
    size = 10 << 20
    return World(
        files, on_tape, max(10, files // 1000), size=size, drives=200, tape_seconds=200 * busy / (files * on_tape),
        tape_rate=1e12, threads=THREADS, workers=WORKERS, hands=HANDS, rate=1.2 * files * size / busy / THREADS,
        linger=DAY, faults=faults, ills=ills_of(300, 7), unstaged=frozenset({33}), broken=frozenset({44}),
    )  # fmt: skip


class Day(Simulation):
    """What happened, hour by hour."""

    def __init__(self, folder: Path, files: int):
        super().__init__(folder, world_of(files), FAST, every=6 * HOUR)
        self.site.span = HOUR
        self.lines: dict[int, list[str]] = {}
        self.began = time.process_time()

    def cpu(self) -> float:
        """CPU seconds of the program so far: all, but for those of the world."""
        return time.process_time() - self.began - self.pool.spent + (self.far.spent if self.far else 0.0)

    def note(self, span: int, flow: Flow) -> None:
        """How things are in this hour, so far; printed once the next one begins."""
        if span not in self.lines:
            self.tell()
        counts, jobs = self.site.spans[span], flow.fetch.jobs
        there = [
            jobs.count(Where.TAPE, Where.ORDERED), jobs.count(Where.STAGING), jobs.count(Where.READY, Where.LOOKING),
            jobs.count(Where.COPYING, Where.PAUSED), jobs.count(Where.LATE), jobs.count(Where.LEFT),
        ]  # fmt: skip
        ills = sum(counts[kind] for kind, _ in ILLS)
        workers = self.far.crew.there() if self.far else 0
        with open("/proc/self/statm", encoding="ascii") as file:
            memory = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20
        cells = [
            span, counts["landed"], counts["bytes"] // GIB, counts["staged"], *there, counts["failures"], workers, ills,
            round(self.cpu()), memory,
        ]  # fmt: skip
        self.lines[span] = [str(cell) for cell in cells]

    def tell(self) -> None:
        """Print the hour that is over, or the heads of the columns."""
        last = list(self.lines.values())[-1:]
        for cells in last or [HEADS]:
            print(" ".join(cell.rjust(8) for cell in cells), flush=True)


def play(folder: Path, files: int) -> Day:
    """A day, printed as it goes; all that must hold is looked at."""
    began = time.monotonic()
    day = Day(folder, files)
    gc.freeze()  # the world's files are not looked through again and again
    status = day.sync(3)
    day.tell()
    day.check_end(status)
    cells = day.lines[max(day.lines)]
    print(
        f"\n{len(day.disk.files):,} of {files:,} files came in {day.clock.now / HOUR:.1f} hours, status {status}. "
        f"The program took {cells[-2]} CPU seconds, {day.cpu() / files * 1e6:.0f} microseconds a file; with its world "
        f"{time.monotonic() - began:.0f} seconds and {cells[-1]} MB."
    )
    return day


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="day-") as place:
        play(Path(place), int(sys.argv[1]) if sys.argv[1:] else 1_000_000)
