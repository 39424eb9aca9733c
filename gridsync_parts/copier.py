"""The files of a run on their way here: what is known of all of them, and the patience with each."""

from __future__ import annotations

import contextlib
import os
import random
import time

from gridsync_parts.catalog import Catalog
from gridsync_parts.copy import Arrived, Copy, Seen, bring, give_up, settle
from gridsync_parts.crew import Patience
from gridsync_parts.doors import BITE, Place
from gridsync_parts.errors import DoorError, Forbidden, GridError, NoRanges
from gridsync_parts.home import Home
from gridsync_parts.table import Settings
from gridsync_parts.values import Action, Locality, Outcome, Row, Wishes

REFUSED = 16  # files that the door refuses before it has given any, which end one too
TAPE_RETRIES = 200  # of a copy straight from tape: half a day or more


class Copier:
    """Copies files, each with patience, and gives them their names together once they are verified and durable."""

    def __init__(self, place: Place, settings: Settings, patience: Patience, wishes: Wishes, catalog: Catalog):
        self.place = place
        self.home = Home(settings.output_dir)
        self.catalog = catalog
        self.patience = patience
        # A GET of a file on tape blocks for minutes, fails, and has to be repeated until the tape was read.
        self.tape_patience = Patience(TAPE_RETRIES, patience.stopping)
        self.checked = not wishes.nochecksum
        self.overwrite = wishes.overwrite
        self.streams = settings.streams
        self.processors: set[int] = getattr(os, "sched_getaffinity", lambda _: {0})(0)
        self.shared = {random.choice(sorted(self.processors))} if place.can.holds_lock else self.processors
        self.flying: dict[str, int] = {}  # bytes so far of the files being copied
        self.received: dict[str, int] = {}  # bytes that came over the line for them
        self.whole: set[str] = set()  # files of which the door sends no ranges
        self.is_given = False  # has the door given any bytes?
        self.refused: set[str] = set()  # files that it has refused before it gave any

    def copy(self, work: tuple[Row, Action, float]) -> Outcome | Arrived:
        """One file, from the first byte until it is verified, or why not; none begins when it may be on tape again."""
        row, action, fresh_until = work
        if self.is_shut():
            return Outcome(row, "interrupted")
        if time.monotonic() > fresh_until:
            return Outcome(row, "stale")
        self.home.check()
        with contextlib.suppress(AttributeError, OSError):  # only Linux lets threads choose
            # Python's lock changes hands at each call of the system; from processor to processor that takes longest.
            os.sched_setaffinity(0, self.shared if row.size <= BITE else self.processors)
        is_here = action is Action.ADOPT
        patience = self.tape_patience if row.locality is Locality.NEARLINE and not is_here else self.patience
        try:
            try:
                item = patience.call(self.attempt, row, is_here, progress=lambda: self.flying.get(row.path, 0))
            except Exception as error:
                item = give_up(row, self.place, error, self.patience.stopping, self.home)
        except BaseException:  # which ends the run
            self.let_go(row)
            raise
        if isinstance(item, Arrived):
            return item
        if isinstance(item.fault, Forbidden) and not self.is_given:
            self.refused.add(row.path)
        return item._replace(received=self.let_go(row))

    def attempt(self, row: Row, is_here: bool) -> Outcome | Arrived:
        """One attempt at it."""
        path, has_ranges = row.path, row.path not in self.whole
        twin = path + ".part"
        has_twin = any(twin in rows for rows in list(self.catalog.rows.values()))
        job = Copy(row, self.home.path, self.streams, self.checked, self.overwrite, has_ranges, is_here, has_twin)
        try:
            return bring(job, self.place, self.watch(path), self.patience.stopping, self.home)
        except NoRanges:
            self.whole.add(path)
            raise

    def watch(self, path: str) -> Seen:
        """What is told how far a file is, in an attempt that comes after others."""
        before = self.received.get(path, 0)

        def seen(here: int, came: int) -> None:
            self.flying[path] = here
            if came:
                self.is_given = True
                self.received[path] = before + came

        return seen

    def is_shut(self) -> bool:
        """Whether the door refuses everything, as it seems."""
        return not self.is_given and len(self.refused) >= REFUSED

    def shut_error(self, fault: GridError | None) -> DoorError:
        """What ends the run then."""
        return DoorError(f"the door refused the first {REFUSED} files and delivered none: {fault}")

    def let_go(self, row: Row) -> int:
        """Take a file off the list of those on their way; how many bytes of it came over the line."""
        self.flying.pop(row.path, None)
        return self.received.pop(row.path, 0)

    def settle(self, items: list[Outcome | Arrived]) -> list[Outcome]:
        """Make what has arrived durable together, and give it its names."""
        outcomes = [item for item in items if isinstance(item, Outcome)]
        arrived = [item for item in items if isinstance(item, Arrived)]
        if not arrived:
            return outcomes
        try:
            ended = settle(arrived, self.home, self.let_go)
        except BaseException:
            for item in arrived:
                self.let_go(item.row)
            raise
        return outcomes + ended
