"""What --stats says of a run: a line for each attempt that has failed, and for each file that is here or was."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Collection, Iterable
from typing import Any, Callable, NamedTuple

from gridsync_parts.bounds import MOVING
from gridsync_parts.convoy import Steps, alone, result_of
from gridsync_parts.errors import GridError, UsageError
from gridsync_parts.fetching import Ledger, Work
from gridsync_parts.home import refuse_state
from gridsync_parts.mover import Mover
from gridsync_parts.rereader import Rereader
from gridsync_parts.stats import Line, Stats, moment_text
from gridsync_parts.values import Outcome, Row, Wishes, batches, error_text, failed_outcome

BATCH = 1000  # lines that are written together
KEPT = 10_000  # lines that wait for a file which can't be written just now
AGAIN = 60.0  # seconds until it is tried again


class Attempt(NamedTuple):
    """An attempt at a file, as its thread has seen it."""

    ended: float  # seconds since the epoch
    seconds: float
    moved: int = 0  # bytes
    host: str = ""  # of the worker that has made it; empty for this one


class Recorded(NamedTuple):
    """What came of a whole record."""

    key: str  # its id, or the name of the folder that was to become one
    status: str
    error: str
    began: float  # seconds since the epoch
    moved: int  # bytes
    size: int
    file_count: int
    zip_used: bool


class Attempts:
    """The attempts of a run, and what its stats file is told of them."""

    def __init__(self, stats: Stats, site: str, direction: str, tell: Callable[[str], None]):
        self.stats = stats
        self.about = site, direction, socket.gethostname()
        self.tell = tell
        self.made: dict[str, Attempt] = {}  # the last one at each file, until a line says what came of it
        self.failures: dict[str, int] = {}  # of each file so far
        self.broken: list[Outcome] = []  # attempts that have ended the run
        self.lines: list[Line] = []  # that the file has not taken yet
        self.lost = 0  # lines that it has not taken at all
        self.due = 0.0  # when it is tried again, once it has failed

    def watching(self, worker: Mover | Rereader) -> Callable[[Work], Any]:
        """What a worker does, with an eye on when, and how many bytes it has moved."""
        return lambda work: result_of(self.watched(worker, work, alone(worker.bring, work)))

    def watched(self, worker: Mover | Rereader, work: Work, steps: Steps) -> Steps:
        """The same of what it does step by step."""
        path, received = work.row.path, worker.received
        before, began = received.get(path, 0), time.monotonic()
        try:
            result = yield from steps
        except GridError as error:
            self.made[path] = Attempt(time.time(), time.monotonic() - began)
            self.broken.append(failed_outcome(work.row, error))
            raise
        moved = result.received if isinstance(result, Outcome) else received.get(path, 0)
        self.made[path] = Attempt(time.time(), time.monotonic() - began, max(0, moved - before))
        return result

    def watching_steps(self, worker: Mover | Rereader, steps_of: Callable[[Work], Steps | None]) -> Any:
        """What it does step by step, watched."""
        return lambda work: self.watched(worker, work, steps) if (steps := steps_of(work)) else None

    # What is said.

    def add(self, row: Row, status: str, error: str = "") -> None:
        """Say what came of a file, or of an attempt at it."""
        site, direction, host = self.about
        attempt, failures = self.made.pop(row.path, None), self.failures.get(row.path, 0)
        if status == "failed" and attempt:
            self.failures[row.path] = failures + 1
        ended, seconds, moved, there = attempt or Attempt(time.time(), 0.0)
        self.lines.append(Line(
            row.path, site, direction, status, moved, row.size, moment_text(ended - seconds), moment_text(ended),
            round(seconds, 6), round(moved / seconds, 1) if seconds > 0 else 0.0, failures + (attempt is not None),
            error, row.checksum or row.computed, "" if status == "failed" else row.verified, there or host,
        ))  # fmt: skip

    def add_record(self, record: Recorded) -> None:
        """Say what came of a whole record."""
        site, direction, host = self.about
        now = time.time()
        seconds = now - record.began
        self.lines.append(Line(
            record.key, site, direction, record.status, record.moved, record.size, moment_text(record.began),
            moment_text(now), round(seconds, 6), round(record.moved / seconds, 1) if seconds > 0 else 0.0,
            int(record.status != "skipped"), error_text(record.error), "", "", host, record.file_count, record.zip_used,
        ))  # fmt: skip
        self.flush()

    def skip(self, rows: Iterable[Row]) -> None:
        """Say of files that they were here."""
        for some in batches(rows, BATCH):
            for row in some:
                self.add(row, "skipped")
            self.flush()

    def note(self, ledger: Ledger) -> None:
        """Say what came of files."""
        for again in ledger.failed:
            outcome = failed_outcome(again.row, again.fault)
            self.add(outcome.row, "failed", outcome.row.error)
        told = set()
        for outcome in ledger.outcomes:
            row = outcome.row
            if outcome.is_here():
                self.add(row, "skipped" if outcome.done == "skipped" else "ok")
            elif outcome.done == "interrupted":
                self.add(row, "failed", outcome.done)
            elif outcome.done in ("failed", "late"):
                told.add(row.path)
                self.add(row, "failed", row.error)
            else:
                self.made.pop(row.path, None)
        for row in ledger.left:
            if row.path not in told:
                self.add(row, "failed", row.error)
        self.flush()

    def close(self) -> None:
        """Say what is still to be said at the end of a flow."""
        for outcome in self.broken:
            self.add(outcome.row, "failed", outcome.row.error)
        self.broken.clear()
        self.flush(is_last=True)
        self.lost, self.lines = self.lost + len(self.lines), []
        if self.lost:
            self.tell(f"--stats={self.stats.path} lacks {self.lost} line(s) of this run; the files are not concerned")

    def flush(self, is_last: bool = False) -> None:
        """Have the file take the lines; when it can't be written, the files go on and the lines wait."""
        now = time.monotonic()
        if self.lines and (is_last or now >= self.due):
            try:
                self.stats.write(self.lines)
                self.lines.clear()
            except GridError as error:
                if not self.due:
                    self.tell(f"{error}; meanwhile this run goes on")
                self.due = now + AGAIN
        self.lost += len(self.lines[KEPT:])
        del self.lines[KEPT:]


def attempts_for(
    path: str, actions: Collection[str], wishes: Wishes, site: str, tell: Callable[[str], None]
) -> Attempts | None:
    """What tells a stats file of the attempts of a run; what can't be one, or would be told nothing, is refused."""
    stats = Stats(os.path.expanduser(path))
    if not {*MOVING, "report"}.intersection(actions):
        raise UsageError(f"--stats={path}: no file is moved on this line; add --start, --sync, --repair or --put")
    if not set(MOVING).intersection(actions):
        return None  # it is only read
    refuse_state("--stats", path)
    if wishes.dry_run:
        stats.look()
        return None
    stats.check()
    direction = "put" if wishes.put else "copy" if wishes.to else "get"
    return Attempts(stats, site, direction, tell)
