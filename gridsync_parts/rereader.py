"""Files that are here, read again and compared with the catalog."""

from __future__ import annotations

import functools
import os
import threading
from typing import Callable

from gridsync_parts.checksums import checksum_kind, checksum_of
from gridsync_parts.disk import disk_error, is_gone, local_file
from gridsync_parts.errors import FileError, drop_frames
from gridsync_parts.fetching import Work
from gridsync_parts.home import Home
from gridsync_parts.values import REPAIR, Outcome, Row, is_owed, sentence_about, with_error


class Rereader:
    """Reads files that are here again, and compares them with the catalog."""

    def __init__(self, output_dir: str, stop: threading.Event):
        self.output_dir = output_dir
        self.stop = stop
        self.flying: dict[str, int] = {}  # bytes so far of the files being read
        self.received = self.flying
        self.strange: set[str] = set()  # it finds none

    @functools.cached_property
    def home(self) -> Home:
        """Where the files are."""
        return Home(self.output_dir)

    def bring(self, work: Work) -> Outcome:
        """Whether a file still is what it was when it came."""
        row = work.row
        expected = row.checksum or row.computed if row.size else ""

        def seen(remaining: int) -> None:
            self.flying[row.path] = row.size - remaining
            if self.stop.is_set():
                raise FileError("interrupted")

        try:
            if is_gone(row, local_file(self.home.full(row.path))):
                return self.damaged_outcome(row, "is no longer here, or has another size")
            if expected and self.checksum(row, expected, seen) != expected:
                came = "" if row.checksum else ", as when it came"
                return self.damaged_outcome(row, f"is damaged: its checksum is not {expected}{came}")
        except FileError as error:  # perhaps it is as it was
            if self.stop.is_set():
                return Outcome(row, "interrupted")
            doubtful = row._replace(downloaded=False)
            return Outcome(with_error(doubtful, sentence_about(row, error)), "failed", fault=drop_frames(error))
        finally:
            self.flying.pop(row.path, None)
        verified = checksum_kind(row.checksum, row.size > 0)
        owed = row.error if is_owed(row) else ""  # which no look at the file settles
        return Outcome(row._replace(downloaded=True, verified=verified, error=owed), "verified", row.size)

    def checksum(self, row: Row, expected: str, seen: Callable[[int], None]) -> str:
        """The checksum that a file has now."""
        fd = self.home.reading(row.path)
        try:
            return checksum_of(fd, checksum_kind(expected, True), row.size, seen)
        except OSError as error:
            raise disk_error(self.home.full(row.path), error) from error
        finally:
            os.close(fd)

    def damaged_outcome(self, row: Row, reason: str) -> Outcome:
        """A file that is to be fetched again."""
        return Outcome(with_error(row._replace(downloaded=False), f"{row.path}: {reason}; {REPAIR}"), "failed")
