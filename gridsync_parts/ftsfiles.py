"""Files that an FTS3 server copies: how they are noted, and compared in the end.

That a file is in a job stands in grid_uploads.csv before the server hears of the job; while it has not answered, with
the word that the job's name is made of. So whoever comes later asks for the same job, and there is no second one.
"""

from __future__ import annotations

import contextlib
import math
import re
import threading
import time
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from gridsync_parts.across import Across, Crosses, crossed
from gridsync_parts.attempts import Attempt
from gridsync_parts.doors import Place
from gridsync_parts.errors import FileError, GridError
from gridsync_parts.fts import JOB, STAGING
from gridsync_parts.pace import Trouble
from gridsync_parts.pool import Stop
from gridsync_parts.pull import Carrier
from gridsync_parts.putter import writer_of
from gridsync_parts.screen import Progress, Todo
from gridsync_parts.table import Site
from gridsync_parts.through import FarFile
from gridsync_parts.uploads import Upload
from gridsync_parts.values import Locality, Outcome, Row, Tally, failed_outcome

TAKEN_THERE = r"(?i)\bexists?\b|overwrite"  # in a reason: something has the name

RENEW = 1.0  # seconds between two looks at all files, for the line on the screen


class Noted(NamedTuple):
    """A job, as grid_uploads.csv names it."""

    server: str
    id: str
    word: str  # that its name is made of, as long as the server has not named it

    def text(self) -> str:
        """The same, as it is noted."""
        return f"{self.server}/jobs/{self.id}" + (f"#{self.word}" if self.word else "")


def noted_in(text: str) -> Noted | None:
    """The job that a cell names."""
    found = re.fullmatch(f"(https://.+)/jobs/({JOB})(?:#([0-9a-f]+))?", text)
    return Noted(found[1], found[2], found[3] or "") if found else None


class Job:
    """A job, and the files in it that are still to come."""

    def __init__(self, noted: Noted, rows: Iterable[Row], began: float):
        self.noted = noted
        self.rows = {row.path: row for row in rows}
        self.states: dict[str, str] = {}  # of those files, by path
        self.began = began
        self.due = began  # when it is asked for
        self.is_asked = False  # an answer is awaited


class Book:
    """What is noted of files: in the catalog, and in grid_uploads.csv."""

    def __init__(self, run: Crosses, across: Across):
        self.run = run
        self.across = across

    def upload_of(self, row: Row, job: str) -> Upload:
        """A file as grid_uploads.csv has it."""
        return crossed(row, self.across.source, self.across.target, job=job)

    def put(self, rows: list[Row], job: Noted | None = None, durable: bool = False) -> None:
        """Note rows, and which job they are in, if any."""
        text = job.text() if job else ""
        self.across.uploads.put([self.upload_of(row, text) for row in rows], durable)
        self.run.catalog().put(rows, durable)

    def jobs(self) -> dict[Noted, list[Upload]]:
        """The jobs that are under way from the one site to the other, as far as is known, and their files."""
        found: dict[Noted, list[Upload]] = {}
        top = self.upload_of(Row("", 0, 0, "", Locality.UNKNOWN, False, "", "", "", ""), "").path
        for upload in self.across.uploads.of(self.across.target.name):
            noted = noted_in(upload.job)
            if noted and upload.path.startswith(f"{top}/"):
                found.setdefault(noted, []).append(upload)
        return found


def unseen(here: int, moved: int) -> None:
    """Nobody looks at the bytes of a comparison."""


class Checker:
    """Compares what is at both sites."""

    def __init__(self, source: Place, target: Place, site: Site):
        self.source = source
        self.carrier = Carrier(source, target, writer_of(site, target), Stop())
        self.turn = threading.Lock()  # XRootD, which lists no checksums, loses answers when asked for many at once

    def check(self, row: Row) -> Row:
        """The row of a file that is there, and the same; NotFound if nothing is, Mismatch if something else."""
        with contextlib.nullcontext() if row.checksum else self.turn:
            return self.compare(row)

    def compare(self, row: Row) -> Row:
        """The same, whatever others ask for meanwhile."""
        stored = self.carrier.writer.stored(row.path)
        with FarFile(self.source, row._replace(computed="")) as source:
            kind = self.carrier.verify(row.path, stored, source, unseen)
            return self.carrier.done(source.row, source, kind)


class Moving:
    """What a progress line asks for: the bytes go elsewhere, so none of them are seen on their way."""

    def __init__(self) -> None:
        self.flying: dict[str, int] = {}
        self.received: dict[str, int] = {}


class Results:
    """What has come of files."""

    def __init__(self, run: Crosses, book: Book):
        self.run = run
        self.book = book
        self.tally = Tally()
        self.progress = Progress(run.report.follow(), self.tally, Moving())
        self.lost = 0, 0  # files that were given up, and their bytes
        self.shown = -math.inf  # when the line was made last
        self.troubles: dict[str, Trouble] = {}
        self.seconds: dict[str, float] = {}  # that the bytes of files took

    def is_time(self, now: float) -> bool:
        """Whether the line is to be made anew: not each time that something comes, as it looks at all files."""
        if now < self.shown + RENEW:
            return False
        self.shown = now
        return True

    def show(self, jobs: Iterable[Job], count: int, size: int) -> None:
        """Redraw the line: so many files are still to come, and so many bytes of them that are in jobs."""
        states = Counter(job.states.get(path, "submitting") for job in jobs for path in job.rows)
        beside = ", ".join(f"{number} {state}" for state, number in states.most_common())
        tape = sum(states[state] for state in STAGING)
        self.progress.show(Todo(count, size, *self.lost, tape, beside=beside and f"FTS3: {beside}"))

    def skip(self, rows: list[Row]) -> None:
        """Files are there, and were before."""
        for row in rows:
            self.tally.count(Outcome(row, "skipped"))
            self.progress.count(Outcome(row, "skipped"))
        if self.run.stats:
            self.run.stats.skip(rows)

    def done(self, row: Row, how: str) -> None:
        """A file is there, as it should be."""
        outcome = Outcome(row, how, row.size if how == "copied" else 0)
        self.book.put([row])
        self.tally.count(outcome)
        self.progress.count(outcome)
        self.run.report.tell_landed(outcome)
        self.tell(row, "skipped" if how == "skipped" else "ok", outcome.received)

    def pause(self, row: Row, error: GridError) -> float | None:
        """When a file that has failed is submitted again; None if this run does not, or that would not help."""
        pace, now = self.run.loop.pace, self.run.loop.clock()
        trouble = self.troubles[row.path] = self.troubles.get(row.path, Trouble()).after(pace.file, now)
        is_final = re.search(TAKEN_THERE, str(error)) or trouble.is_over(pace.file, now)
        return trouble.until if self.run.wishes.sync and not is_final else None

    def note(self, row: Row, error: GridError) -> None:
        """Note why a file has failed, and say it."""
        row = failed_outcome(row, error).row
        self.book.put([row])
        self.run.report.error(row.error)
        self.tell(row, "failed", 0)

    def give_up(self, row: Row, error: GridError) -> None:
        """Leave a file for another run."""
        self.note(row, error)
        self.lost = self.lost[0] + 1, self.lost[1] + row.size
        self.tally.failed = self.lost[0]

    def refuse(self, row: Row, reason: str) -> None:
        """Leave a file that nothing was tried with."""
        self.give_up(row, FileError(reason))

    def tell(self, row: Row, status: str, moved: int) -> None:
        """Have the stats file say what came of a file."""
        if self.run.stats:
            if status != "skipped":
                self.run.stats.made[row.path] = Attempt(time.time(), self.seconds.pop(row.path, 0.0), moved)
            self.run.stats.add(row, status, row.error)
            self.run.stats.flush()

    def close(self) -> None:
        """End the line on the screen, and the stats file."""
        self.progress.close()
        if self.run.stats:
            self.run.stats.close()
