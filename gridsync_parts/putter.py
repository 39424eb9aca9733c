"""The files of a run on their way to a site: what is known of all of them, and one attempt at each."""

from __future__ import annotations

from collections.abc import Iterable

from gridsync_parts.convoy import Steps, alone, result_of
from gridsync_parts.doors import HASTE, Place, Writer
from gridsync_parts.errors import DoorError, FileError, PoolError, UsageError
from gridsync_parts.fetching import Work
from gridsync_parts.kinds import KINDS
from gridsync_parts.loop import Again
from gridsync_parts.mover import Mover
from gridsync_parts.pool import Stop
from gridsync_parts.put import Deliverer, Put, kind_at
from gridsync_parts.table import Site
from gridsync_parts.values import Outcome, Row, failed_outcome

HOW_TO_SEND = " or ".join(f"at {kind.schemes[0]}:// with ENGINE = {kind.engine}" for kind in KINDS if kind.can.writes)


def no_writer(site: Site) -> UsageError:
    """The sentence for a site that takes no files."""
    return UsageError(
        f"gridsync cannot send files to the site {site.name} with ENGINE = {site.engine} and SERVER {site.server}; "
        f"it can {HOW_TO_SEND}"
    )


def writer_of(site: Site, place: Place) -> Writer:
    """What takes files at a site."""
    if place.writer is None:
        raise no_writer(site)
    return place.writer


class Putter(Mover):
    """Sends files, an attempt at a time."""

    def __init__(self, place: Place, writer: Writer, stop: Stop, overwrite: bool):
        super().__init__(place, stop)
        kind = kind_at(place.can)  # else it is read twice
        self.deliverer = Deliverer(writer, place.can.renames, stop, place.can.removes, kind)
        self.overwrite = overwrite
        self.fresh: set[str] = set()  # paths where nothing was found that would have to give way
        self.sources: dict[str, str] = {}  # the local files, by their paths at the site
        self.temps: dict[str, str] = {}  # their paths there until they are verified
        self.lost: set[str] = set()  # those under which a lost worker may still write

    def bring(self, work: Work) -> Outcome | Again:
        """One attempt at a file."""
        steps = alone(self.deliverer.deliver, self.job(work), self.watch(work.row.path))
        item: Outcome | Again = result_of(self.carry_out(work, steps))
        return item

    def steps(self, work: Work) -> Steps | None:
        """The same step by step, for a small file whose requests can go ahead of their answers."""
        path, place = work.row.path, self.place
        is_small = work.row.size <= HASTE and not work.is_here and self.temps[path] not in self.deliverer.open
        if not (is_small and place.ahead and place.ahead_writer and place.ahead.is_ready()):
            return None
        return self.carry_out(work, self.deliverer.steps(self.job(work), self.watch(path), place.ahead_writer))

    def job(self, work: Work) -> Put:
        """What an attempt is to do."""
        row, temp = work.row, self.temps[work.row.path]
        overwrite = self.overwrite and row.path not in self.fresh
        return Put(row, self.sources[row.path], temp, temp in self.deliverer.open, work.is_here, overwrite)

    def goes_out(self, job: Put) -> None:
        """Note that some of it may be there from now on."""
        self.deliverer.open.add(job.temp)
        if job.is_lost:
            self.lost.add(job.temp)

    def came_back(self, path: str, is_open: bool) -> None:
        """Note whether some of it may be there still."""
        if not is_open:
            self.deliverer.open.discard(self.temps[path])

    def give_up(self, row: Row, error: Exception) -> Outcome:
        """Say what became of a file that could not be sent; what concerns all files is raised."""
        if not isinstance(error, (FileError, DoorError)):
            raise error
        temp = self.temps[row.path]
        error.args = (str(error).replace(temp, row.path),)
        left = self.deliverer.clear(temp, error)
        self.deliverer.open.update({temp} & self.lost)
        if self.stop.is_set():
            return Outcome(row, "interrupted")
        done = "late" if isinstance(error, PoolError) and error.passing else "failed"
        return failed_outcome(row, error, left)._replace(done=done)

    def tidy(self, noted: Iterable[str]) -> None:
        """Look once more for what lost workers may have gone on with; what is gone is no longer open."""
        self.deliverer.tidy_up(self.place.lister, noted)
