"""grid_uploads.csv, a row a file that was sent, or was to be."""

from __future__ import annotations

import operator
import os
import re
import sys
from typing import NamedTuple

from gridsync_parts.catalog import SIZE, checksum_in
from gridsync_parts.disk import COARSE, MARK
from gridsync_parts.doors.record import RECID
from gridsync_parts.sheet import Columns, Sheet, reading
from gridsync_parts.words import is_path, seconds_of, time_text

UPLOADS = "grid_uploads.csv"


class Upload(NamedTuple):
    """A file that was sent, or was to be; the fields are the columns of grid_uploads.csv."""

    path: str  # of the local file
    size: int
    mtime: int
    checksum: str
    verified: str  # adler32, md5, ... or size; empty while it is not there
    site: str
    target: str  # its path at the site
    error: str  # why the last attempt failed
    temp: str  # the path under which some of it may be at the site; empty if none is
    record: str = ""  # of a folder that becomes a record (target is its key): its id, once there is one
    job: str = ""  # of an FTS3 server that copies it: its URL

    def is_of(self, path: str, size: int, mtime: int) -> bool:
        """Whether it is a local file as it is now that was sent."""
        return bool(self.verified) and (self.path, self.size, self.mtime) == (path, size, mtime)


def is_temp(path: str) -> bool:
    """Whether nothing is left over, or what may be removed, as its name says."""
    return not path or (is_path(path) and path.endswith(MARK))


def is_record(record: str) -> bool:
    """Whether there is no record, or an id that one may have: it is a part of URLs, and the name of a folder."""
    return not record or bool(re.fullmatch(RECID, record, re.ASCII))


def folder_of(path: str) -> str:
    """The folder at the site that a file is in."""
    return path.rpartition("/")[0]


def cells_of(upload: Upload) -> list[str]:
    """A row as the cells of a line."""
    return [
        upload.path, str(upload.size), time_text(upload.mtime), upload.checksum, upload.verified,
        upload.site, upload.target, upload.error, upload.temp, upload.record, upload.job,
    ]  # fmt: skip


COLUMNS = Columns(
    Upload,
    (
        str, reading(SIZE.fullmatch, int), seconds_of, checksum_in, sys.intern, sys.intern,
        reading(is_path), str, reading(is_temp), reading(is_record), str,
    ),
    8,
    cells_of,
    operator.attrgetter("site", "target"),
)  # fmt: skip


class Uploads(Sheet[Upload]):
    """The rows of grid_uploads.csv, kept by site and path there."""

    def __init__(self, folder: str, is_frozen: bool = False):
        path = os.path.join(folder, UPLOADS)
        # A file that has changed since it was sent, but in the same second, would look as it was.
        self.noted = os.stat(path).st_mtime - COARSE if os.path.exists(path) else 0.0
        super().__init__(path, COLUMNS, is_frozen)

    def hold(self, row: Upload) -> None:
        """Take in a row; what this run may remove stands where it sends a file, and nowhere else."""
        if row.temp and folder_of(row.temp) != folder_of(row.target):
            raise ValueError("column 9 (temp) is in another folder than column 7 (target)")
        super().hold(row)

    def distrust(self) -> None:
        """What others say was sent is compared, and what they say is left over is nobody's to remove."""
        for upload in list(self.all()):
            self.hold(upload._replace(verified="", temp="", job=""))
