"""The files of a run on their way here: what is known of all of them, and one attempt at each."""

from __future__ import annotations

import contextlib
import os
import random
import time
from typing import Any

from gridsync_parts.catalog import Catalog
from gridsync_parts.copy import Arrived, Copy, Seen, bring, give_up, settle
from gridsync_parts.doors import BITE, Place
from gridsync_parts.errors import GridError, NoRanges, drop_frames
from gridsync_parts.fetching import Work
from gridsync_parts.home import Home
from gridsync_parts.loop import Again
from gridsync_parts.pool import Stop
from gridsync_parts.table import Settings
from gridsync_parts.values import Locality, Outcome, Row, Wishes

TAPE_RETRIES = 200  # of a copy straight from tape: half a day or more


class Copier:
    """Brings files, an attempt at a time, and gives them their names together once they are verified and durable."""

    def __init__(self, place: Place, settings: Settings, wishes: Wishes, catalog: Catalog, stop: Stop):
        self.place = place
        self.home = Home(settings.output_dir)
        self.catalog = catalog
        self.how = (self.home.path, settings.streams, not wishes.nochecksum, wishes.overwrite)  # all are copied
        self.stop = stop
        processors: set[int] = getattr(os, "sched_getaffinity", lambda _: {0})(0)
        # Python's lock changes hands at each call of the system; from processor to processor that takes longest.
        self.processors = {random.choice(sorted(processors))} if place.can.holds_lock else processors, processors
        self.flying: dict[str, int] = {}  # bytes so far of the files being copied
        self.received: dict[str, int] = {}  # bytes that came over the line for them
        self.whole: set[str] = set()  # files of which the door sends no ranges
        self.paused: set[str] = set()  # files between two attempts

    def bring(self, work: Work) -> Outcome | Arrived | Again:
        """One attempt at a file, up to where it is verified; none begins when the file may be on tape again."""
        row, now = work.row, time.monotonic()
        if now > work.until:
            return Outcome(row, "stale", self.let_go(row))
        if len(self.paused) >= work.places and row.path not in self.paused:
            return Outcome(row, "held")
        self.home.check()
        with contextlib.suppress(AttributeError, OSError):  # only Linux lets threads choose
            os.sched_setaffinity(0, self.processors[row.size > BITE])
        try:
            try:
                item = self.attempt(row, work.is_here)
                self.paused.discard(row.path)
            except Exception as error:
                if again := self.again(work, error):
                    return again
                self.paused.discard(row.path)
                item = give_up(row, self.place, error, self.stop, self.home)
        except BaseException:  # which ends the run
            self.let_go(row)
            raise
        return item if isinstance(item, Arrived) else item._replace(received=self.let_go(row))

    def attempt(self, row: Row, is_here: bool) -> Outcome | Arrived:
        """The attempt."""
        path, has_ranges = row.path, row.path not in self.whole
        twin = path + ".part"
        has_twin = any(twin in rows for rows in list(self.catalog.rows.values()))
        job = Copy(row, *self.how, has_ranges, is_here, has_twin)
        try:
            return bring(job, self.place, self.watch(path), self.stop, self.home)
        except NoRanges:
            self.whole.add(path)
            raise

    def again(self, work: Work, error: Exception) -> Again | None:
        """When there is another attempt; failures do not count when enough has come since."""
        if not isinstance(error, GridError) or self.stop.is_set():
            return None
        row, now = work.row, time.monotonic()
        tries = work.tries.having(self.flying.get(row.path, 0))
        # A GET of a file on tape blocks for minutes, fails, and has to be repeated until the tape was read.
        is_from_tape = row.locality is Locality.NEARLINE and not work.is_here
        retries = TAPE_RETRIES if is_from_tape else work.retries
        pause = tries.pause(error, retries, work.pace, now)
        if pause is None:
            return None
        self.paused.add(row.path)
        return Again(row, tries.after(error, work.pace, now), pause, drop_frames(error))

    def watch(self, path: str) -> Seen:
        """What is told how far a file is, in an attempt that comes after others."""
        before = self.received.get(path, 0)

        def seen(here: int, came: int) -> None:
            self.flying[path] = here
            if came:
                self.received[path] = before + came

        return seen

    def let_go(self, row: Row) -> int:
        """Take a file off the list of those on their way; how many bytes of it came over the line."""
        self.flying.pop(row.path, None)
        return self.received.pop(row.path, 0)

    def settle(self, items: list[Any]) -> list[Outcome | Again]:
        """Make what has arrived durable together, and give it its names."""
        arrived = [item for item in items if isinstance(item, Arrived)]
        others = [item for item in items if not isinstance(item, Arrived)]
        if not arrived:
            return others
        try:
            ended = settle(arrived, self.home, self.let_go)
        except BaseException:
            for item in arrived:
                self.let_go(item.row)
            raise
        return others + ended
