"""The files of a run on their way here: what is known of all of them, and one attempt at each."""

from __future__ import annotations

from typing import Any, Protocol

from gridsync_parts.convoy import Steps, result_of
from gridsync_parts.copy import Arrived, Copy, bring_in_steps, give_up, settle
from gridsync_parts.disk import moment
from gridsync_parts.doors import AheadReader, Place
from gridsync_parts.errors import FileError, NoRanges
from gridsync_parts.fetching import Work
from gridsync_parts.home import Home
from gridsync_parts.loop import Again
from gridsync_parts.mover import Mover
from gridsync_parts.namesakes import Namesakes
from gridsync_parts.pool import Stop
from gridsync_parts.table import Settings
from gridsync_parts.values import Locality, Outcome, Row, Wishes, failed_outcome

SMALL = 256 << 10  # bytes of a file that takes more work than time on a line
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
        self.looked = -1  # the moment in which OUTPUTDIR was looked for last
        self.strange = self.home.strange
        self.catalog = catalog
        self.namesakes = Namesakes(self.home.path, (row for rows in catalog.rows.values() for row in rows.values()))
        self.how = (self.home.path, settings.streams, not wishes.nochecksum, wishes.overwrite)  # all are copied
        self.whole: set[str] = set()  # files of which the door sends no ranges
        self.are_lost = False  # workers of a run that was killed may still be at any of the files

    def bring(self, work: Work) -> Outcome | Arrived | Again:
        """One attempt at a file, up to where it is verified."""
        item: Outcome | Arrived | Again = result_of(self.attempt(work))
        return item

    def steps(self, work: Work) -> Steps | None:
        """The same step by step, for a small file whose request can go ahead of its answer."""
        ahead = self.place.ahead
        is_small = work.row.size <= SMALL and not work.is_here
        return self.attempt(work, ahead) if is_small and ahead and ahead.is_ready() else None

    def attempt(self, work: Work, ahead: AheadReader | None = None) -> Steps:
        """One attempt, step by step."""
        row = work.row
        if outcome := self.put_back(work):
            return outcome
        if self.looked != (now := moment()):
            self.home.check()
            self.looked = now
        try:
            try:
                seen = self.watch(row.path)
                item = yield from bring_in_steps(self.job(work), self.place, seen, self.stop, self.home, ahead)
            except Exception as error:
                return self.fail(work, error)
        except BaseException:  # which ends the run
            self.let_go(row)
            raise
        self.paused.discard(row.path)
        return item if isinstance(item, Arrived) else item._replace(received=self.let_go(row))

    def put_back(self, work: Work) -> Outcome | None:
        """A file that is not tried now, or never, as another one has its name on this disk."""
        if outcome := super().put_back(work):
            return outcome
        fault = self.namesakes.fault(work.row.path)
        return failed_outcome(work.row, FileError(fault)) if fault else None

    def job(self, work: Work) -> Copy:
        """What an attempt is to do."""
        path = work.row.path
        twin = path + ".part"
        has_twin = any(twin in rows for rows in list(self.catalog.rows.values()))
        lost = self.are_lost
        return Copy(work.row, *self.how, path not in self.whole, work.is_here, has_twin, is_far=lost, is_lost=lost)

    def fail(self, work: Work, error: Exception) -> Outcome | Again:
        """What follows when an attempt has failed."""
        if isinstance(error, NoRanges):
            self.whole.add(work.row.path)
        return super().fail(work, error)

    def give_up(self, row: Row, error: Exception) -> Outcome:
        """Say what became of a file that is not tried again."""
        return give_up(row, self.place, error, self.stop, self.home)

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
