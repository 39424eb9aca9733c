"""The files of a run on their way from site to site, and one attempt at each."""

from __future__ import annotations

from collections.abc import Iterable

from gridsync_parts.convoy import alone, result_of
from gridsync_parts.copier import TAPE_RETRIES
from gridsync_parts.doors import Place
from gridsync_parts.errors import DoorError, FileError, NoCrossing, OnTape, PoolError, drop_frames
from gridsync_parts.fetching import Work
from gridsync_parts.loop import Again
from gridsync_parts.mover import Mover
from gridsync_parts.pool import Stop
from gridsync_parts.pull import Carrier, Crosser
from gridsync_parts.put import Put
from gridsync_parts.table import Settings
from gridsync_parts.values import Locality, Outcome, Row, Wishes, failed_outcome, place_row
from gridsync_parts.walk import judge


class Ferry(Mover):
    """Copies files from site to site, an attempt at a time."""

    def __init__(
        self, source: Place, target: Place, settings: Settings, wishes: Wishes, stop: Stop, names: tuple[str, str]
    ):
        super().__init__(target, stop)
        self.source = source
        self.overwrite = wishes.overwrite
        self.via_here = wishes.via_here
        assert target.writer
        ends = source, target, target.writer, stop
        how = wishes.trust_target, settings.streams, names
        self.carrier = Carrier(*ends) if wishes.via_here else Crosser(*ends, *how)
        self.open = self.carrier.open  # names noted before, of which something may be there
        self.folders = self.carrier.folders  # that are known to be there
        self.temps: dict[str, str] = {}  # the paths of files there until they are verified

    def check(self, row: Row) -> None:
        """Refuse to hand on a key that opens more than its file, before anything is sent."""
        if isinstance(self.carrier, Crosser):
            self.carrier.check(row)

    def tidy(self, noted: Iterable[str]) -> None:
        """Look once more for what doors may have gone on with, of files that are done; what is gone is no longer open.

        What an earlier run has noted of such files may be named.
        """
        self.carrier.tidy(noted)

    def bring(self, work: Work) -> Outcome | Again:
        """One attempt at a file."""
        steps = alone(self.carrier.deliver, self.job(work), self.watch(work.row.path))
        item: Outcome | Again = result_of(self.carry_out(work, steps))
        return item._replace(done="copied") if isinstance(item, Outcome) and item.done == "sent" else item

    def job(self, work: Work) -> Put:
        """What an attempt is to do."""
        temp = self.temps[work.row.path]
        return Put(work.row, "", temp, temp in self.open, work.is_here, self.overwrite)

    def retries(self, work: Work) -> int:
        """A file on tape is asked for until the tape was read, where its bytes go through this machine."""
        is_from_tape = self.via_here and work.row.locality is Locality.NEARLINE and not work.is_here
        return TAPE_RETRIES if is_from_tape else work.retries

    def give_up(self, row: Row, error: Exception) -> Outcome:
        """Say what became of a file that could not be copied; what concerns all files is raised."""
        if not isinstance(error, (FileError, DoorError)) or isinstance(error, NoCrossing):
            raise error
        job = Put(row, "", self.temps[row.path])
        error.args = (self.carrier.by_name(str(error), job),)
        left = self.carrier.clear(job.temp, error)
        if self.stop.is_set():
            return Outcome(row, "interrupted")
        if isinstance(error, OnTape) and row.locality is not Locality.NEARLINE:
            return Outcome(place_row(row, Locality.NEARLINE), "waiting", fault=drop_frames(error))
        done = "late" if isinstance(error, PoolError) and error.passing else "failed"
        judged = judge(self.source.lister, row.path, error)
        return failed_outcome(row, judged, left)._replace(done=done)
