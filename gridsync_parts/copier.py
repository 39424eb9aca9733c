"""The files of a run on their way here: what is known of all of them, and one attempt at each."""

from __future__ import annotations

import time
from typing import Any, Protocol

from gridsync_parts.copy import Arrived, Copy, bring, give_up, settle
from gridsync_parts.doors import Place
from gridsync_parts.errors import NoRanges
from gridsync_parts.fetching import Work
from gridsync_parts.home import Home
from gridsync_parts.loop import Again
from gridsync_parts.mover import Mover
from gridsync_parts.pool import Stop
from gridsync_parts.table import Settings
from gridsync_parts.values import Locality, Outcome, Row, Wishes

TAPE_RETRIES = 200  # of a copy straight from tape: half a day or more


class Known(Protocol):
    """The files that there are, as the catalog keeps them."""

    @property
    def rows(self) -> dict[str, dict[str, Row]]: ...  # by site and path


class Copier(Mover):
    """Brings files, an attempt at a time, and gives them their names together once they are verified and durable."""

    def __init__(self, place: Place, settings: Settings, wishes: Wishes, catalog: Known, stop: Stop):
        super().__init__(place, stop)
        self.home = Home(settings.output_dir)
        self.strange = self.home.strange
        self.catalog = catalog
        self.how = (self.home.path, settings.streams, not wishes.nochecksum, wishes.overwrite)  # all are copied
        self.whole: set[str] = set()  # files of which the door sends no ranges

    def bring(self, work: Work) -> Outcome | Arrived | Again:
        """One attempt at a file, up to where it is verified; none begins when the file may be on tape again."""
        row, now = work.row, time.monotonic()
        if now > work.until:
            return Outcome(row, "stale", self.let_go(row))
        if len(self.paused) >= work.places and row.path not in self.paused:
            return Outcome(row, "held")
        self.home.check()
        self.choose_processor(row)
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

    def retries(self, work: Work) -> int:
        """A GET of a file on tape blocks for minutes, fails, and has to be repeated until the tape was read."""
        is_from_tape = work.row.locality is Locality.NEARLINE and not work.is_here
        return TAPE_RETRIES if is_from_tape else work.retries

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
