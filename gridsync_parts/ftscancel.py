"""The end of the jobs of an FTS3 server that are under way."""

from __future__ import annotations

from gridsync_parts.across import Across, Crosses
from gridsync_parts.errors import FileError, NotFound
from gridsync_parts.fts import Server, endpoint_in, plain_url, web_url
from gridsync_parts.ftsfiles import Book, Checker, Noted
from gridsync_parts.ftsjobs import opened
from gridsync_parts.uploads import Upload
from gridsync_parts.values import Locality, Row, sentence_about, with_error

ENDED = "cancelled"
AGAIN = "the same line without --cancel copies it"


class Cancelling:
    """The end of jobs that are under way."""

    def __init__(self, run: Crosses, across: Across, server: Server):
        self.run = run
        self.across = across
        self.server = server
        self.book = Book(run, across)
        self.checker = Checker(run.place(), across.place, across.target)
        self.copied = self.ended = self.failed = 0

    def end(self, noted: Noted, uploads: list[Upload]) -> None:
        """End a job, and see what has come of its files."""
        run = self.run
        run.call(self.server.cancel, noted.id)
        try:
            told = {plain_url(file.target): file for file in run.call(self.server.files, noted.id)}
        except NotFound:
            told = {}
        for upload in uploads:
            row = run.catalog().by_path(self.across.name).get(upload.target) or self.row_of(upload)
            file = told.get(plain_url(web_url(self.across.target, upload.target)))
            if file and file.state == "FINISHED":
                self.compare(row)
            elif file and file.state == "FAILED":
                self.leave(row, f"the FTS3 server could not copy it: {file.reason}")
                self.failed += 1
            else:
                self.leave(row, f"{ENDED} at {self.server.url}; {AGAIN}")
                self.ended += 1

    def row_of(self, upload: Upload) -> Row:
        """The row of a file that the catalog has no more."""
        known = upload.size, upload.mtime, upload.checksum
        return Row(upload.target, *known, Locality.UNKNOWN, False, "", "", self.across.name, "")

    def compare(self, row: Row) -> None:
        """Take in a file that was copied before."""
        try:
            self.book.put([self.run.call(self.checker.check, row)])
            self.copied += 1
        except FileError as error:
            self.leave(row, sentence_about(row, error))
            self.failed += 1

    def leave(self, row: Row, reason: str) -> None:
        """Note why a file has not come."""
        self.book.put([with_error(row, reason if row.path in reason else f"{row.path}: {reason}")])


def cancel(run: Crosses, across: Across) -> int:
    """End the jobs that are under way there; the status."""
    url = endpoint_in(run.wishes.fts)
    jobs = {noted: uploads for noted, uploads in Book(run, across).jobs().items() if noted.server == url}
    if not jobs or run.wishes.dry_run:
        said = f"(DRY RUN) would end {len(jobs)} job(s) at" if jobs else "No job is under way at"
        run.report.line(f" {said} {url}")
        return 0
    with opened(run, across) as server:
        cancelling = Cancelling(run, across, server)
        for noted, uploads in jobs.items():
            cancelling.end(noted, uploads)
    counts = f"{cancelling.copied} file(s) were copied before, {cancelling.ended} cancelled"
    failed = f", {cancelling.failed} failed" if cancelling.failed else ""
    run.report.put(cancelled={"jobs": len(jobs), "copied": cancelling.copied, "ended": cancelling.ended})
    run.report.line(f" ** {len(jobs)} job(s) ended at {url}: {counts}{failed} **")
    return 1 if cancelling.failed else 0
