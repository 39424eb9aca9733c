"""Files of a Python program on their way, here or there, for one call."""

from __future__ import annotations

import itertools
import math
import time
from typing import Any, Callable, NamedTuple

from gridsync_parts.disk import Target, check_free, make_writable
from gridsync_parts.doors import Lister
from gridsync_parts.errors import DoorError, FileError, GridError
from gridsync_parts.fetching import Work
from gridsync_parts.gauge import Gauge
from gridsync_parts.loop import Again, Answer, Loop
from gridsync_parts.mover import Mover
from gridsync_parts.pace import PACE, Tries
from gridsync_parts.plans import plan_requests
from gridsync_parts.pool import Pool, Settling
from gridsync_parts.table import Settings
from gridsync_parts.telling import in_python
from gridsync_parts.values import Action, Outcome, Row, sentence_about, with_error
from gridsync_parts.walk import DOORS_SHUT, Walk, list_folder

UNSETTLED = 64  # files that wait to be made durable; the limit on open ones is the program's own affair
ON_TAPE = "is on tape; stage() asks for it"
LEFT_ALONE = {
    Action.KEEP: "a different local file has this name; overwrite=True replaces it",
    Action.WAIT: ON_TAPE,
    Action.UNSURE: "the site does not say whether it is on disk; try again later",
    Action.LOST: Action.LOST.value,
}


def list_all(walks: list[Walk], lister: Lister, retries: int) -> None:
    """List folders and all below them, several at once."""
    loop = Loop(retries, PACE, Pool())
    try:
        for walk in walks:
            while walk.todo or loop.pending("folders"):
                while walk.todo:
                    folder = walk.todo.popleft()
                    loop.ask("folders", folder, list_folder, lister, folder)
                for event in loop.round():
                    if not isinstance(event, Answer):
                        continue
                    if event.error:
                        walk.fail(event.about, event.error)
                    else:
                        walk.take(event.about, event.value)
    finally:
        loop.pool.close()


def stage_all(
    rows: list[Row], stage: Callable[[list[str], int], str], days: int, by_record: bool = False
) -> dict[str, Row]:
    """Ask for files to be brought to disk; their rows, by path.

    What goes wrong is raised only if there is no request yet: those that were made must be known.
    """
    known: dict[str, Row] = {}
    for some in plan_requests(rows, by_record):
        try:
            request = stage([row.path for row in some], days)
            known.update((row.path, row._replace(request=request)) for row in some)
        except GridError as error:
            if not known and not isinstance(error, FileError):
                raise
            is_all = not isinstance(error, FileError)
            left = [row for row in rows if row.path not in known] if is_all else some
            known.update((row.path, with_error(row, sentence_about(row, error))) for row in left)
            if is_all:
                break
    return known


def prepare(folder: str, rows: list[Row]) -> None:
    """Have a folder that can take files."""
    make_writable(folder)
    check_free(folder, sum(map(Target(folder).missing, rows)))


class Found(NamedTuple):
    """Files that are to be copied, as whoever copies looks them up."""

    rows: dict[str, dict[str, Row]]


class Haul:
    """Files on their way, for one call."""

    def __init__(self, mover: Mover, settings: Settings, gauge: Gauge | None, settling: Settling | None = None):
        self.mover = mover
        self.settings = settings
        self.settling = settling  # makes durable what comes here; None where files are sent
        self.gauge = gauge
        self.pool = Pool()
        self.compared: set[str] = set()  # files that may be there already
        self.came: dict[str, Row] = {}
        self.size = 0  # bytes of these
        self.doors_shut = 0  # failures of the door, one after the other

    def bring(self, work: Work) -> Any:
        """A file, as often as it is worth trying; this thread may wait."""
        while isinstance(item := self.mover.bring(work), Again):
            self.mover.stop.wait(item.pause)
            work = work._replace(tries=item.tries)
        return item

    def add(self, row: Row, is_here: bool) -> None:
        """Have a file moved, or compared first."""
        self.compared |= {row.path} if is_here else set()
        tries = Tries(time.monotonic())
        self.pool.add("copy", Work(row, is_here, math.inf, tries, self.settings.retries, PACE, 1 << 30))

    def take(self, outcome: Outcome) -> None:
        """Take in what became of a file; when the door fails again and again, that is the end."""
        row, fault = outcome.row, outcome.fault
        if not outcome.is_here():
            if self.settling and row.path not in self.compared and self.find(row):
                self.add(row, True)  # another program has brought it meanwhile
                return
            row = with_error(row, in_python(row.error or f"{row.path}: {ON_TAPE}"))
        self.size += row.size
        self.came[row.path] = row
        self.doors_shut = self.doors_shut + 1 if isinstance(fault, DoorError) else 0
        if fault and self.doors_shut >= DOORS_SHUT:
            raise fault

    def find(self, row: Row) -> bool:
        """Whether a local file may be the one of a row."""
        here = Target(self.settings.output_dir).find(row)
        return here is not None and here.is_file and here.size == row.size

    def show(self) -> None:
        """Move the bar."""
        if self.gauge:
            self.gauge.show(len(self.came), self.size + sum(list(self.mover.flying.values())))

    def go(self, rows: list[tuple[Row, bool]]) -> dict[str, Row]:
        """Move files, some of which are to be compared as they may be there; their rows then, by path."""
        pool = self.pool
        pool.open("copy", self.bring, min(self.settings.threads, len(rows)), self.settling)
        try:
            for row, is_here in rows:
                self.add(row, is_here)
            while pool.pending("copy"):
                for outcome in itertools.chain.from_iterable(came for _, came in pool.collect(PACE.tick)):
                    self.take(outcome)
                pool.check()
                self.show()
            return self.came
        finally:  # whatever ends it, what has arrived is kept
            self.mover.stop.set()
            pool.shut("copy")
            if self.gauge:
                self.gauge.close()
