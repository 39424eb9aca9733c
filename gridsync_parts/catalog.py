"""grid_summary.csv, a row a file; the folders that listings have shown; the lock of the work folder."""

from __future__ import annotations

import contextlib
import operator
import os
import re
import stat
import sys
import time
from collections.abc import Iterable

from gridsync_parts.disk import MARK, open_regular, replacing
from gridsync_parts.errors import DiskError, LockedError
from gridsync_parts.sheet import Columns, Sheet, reading
from gridsync_parts.values import Locality, Row, Scope
from gridsync_parts.words import is_path, seconds_of, time_text

CATALOG = "grid_summary.csv"
LOCALITY_WORDS = {locality.value: locality for locality in Locality}
YES_NO = {"yes": True, "no": False}

CHECKSUM = re.compile(r"(?:(?:adler32|crc32):[0-9a-f]{8}|(?:md5|sha1|sha256|sha512):[0-9a-f]+)")
SIZE = re.compile("[0-9]{1,18}")


def checksum_in(cell: str) -> str:
    """A checksum, or none; a million rows are read in no more time than they need."""
    if cell and not CHECKSUM.fullmatch(cell):
        raise ValueError(cell)
    return cell


def cells_of(row: Row) -> list[str]:
    """A row as the cells of a line."""
    return [
        row.path, str(row.size), time_text(row.mtime), row.checksum, row.locality.value,
        "yes" if row.downloaded else "no", row.verified, row.request, row.site, row.error,
        row.computed,
    ]  # fmt: skip


COLUMNS = Columns(
    Row,
    (
        reading(is_path), reading(SIZE.fullmatch, int), seconds_of, checksum_in,
        LOCALITY_WORDS.__getitem__, YES_NO.__getitem__, sys.intern, sys.intern, sys.intern, str,
        checksum_in,
    ),
    9,
    cells_of,
    operator.attrgetter("site", "path"),
)  # fmt: skip


class Catalog(Sheet[Row]):
    """The rows of grid_summary.csv, kept by site and path."""

    def __init__(self, folder: str, is_frozen: bool = False):
        self.is_listed = False  # a list was built just now
        super().__init__(os.path.join(folder, CATALOG), COLUMNS, is_frozen)

    def distrust(self) -> None:
        """What others say of the user's files takes none of them away."""
        for row in filter(Row.is_damaged, list(self.all())):
            self.hold(row._replace(verified=""))

    def row(self, row: Row) -> Row:
        """The present state of a row."""
        return self.rows[row.site][row.path]

    def matching(self, scope: Scope) -> list[Row]:
        """The rows in a scope, in path order."""
        return [row for row in self.of(scope.site) if scope.holds(row.path)]

    def replace(self, rows: Iterable[Row]) -> None:
        """Hold these rows and no others."""
        new: dict[str, dict[str, Row]] = {}
        for row in rows:
            new.setdefault(row.site, {})[row.path] = row
        self.rows, self.is_stale = new, True  # at once, as Ctrl-C would leave half of them to be saved
        self.is_new, self.is_listed = False, True
        self.save()


class Folders:
    """The remote folders that listings have shown, in grid_folders.txt: for the TAB key."""

    def __init__(self, work_folder: str, site: str):
        self.path = os.path.join(work_folder, "grid_folders.txt")
        self.site = site
        self.lines: set[str] = set()  # each a site, a tab and a folder
        with contextlib.suppress(OSError, ValueError), open(
            open_regular(self.path), encoding="utf-8", errors="surrogateescape"
        ) as file:
            self.lines.update(filter(re.compile("[^\t]+\t[^\t]+").fullmatch, file.read(1 << 28).split("\n")[:-1]))

    def remember(self, listed: Iterable[str], found: Iterable[str]) -> None:
        """Note the folders that listings have found; what they no more find goes."""
        parents = {f"{self.site}\t{folder}".rstrip("\t") for folder in listed}
        lines = {line for line in self.lines if line.rpartition("/" if "/" in line else "\t")[0] not in parents}
        lines.update(f"{self.site}\t{folder}" for folder in found if folder and folder.isprintable())
        if lines != self.lines:
            with contextlib.suppress(DiskError), replacing(self.path) as file:
                file.writelines(f"{line}\n" for line in sorted(lines))


class Lock:
    """The work folder for one writer at a time: a kernel lock, which ends with its process."""

    def __init__(self, folder: str):
        self.path = os.path.join(folder, f"{CATALOG}.lock")

    def check(self, found: os.stat_result) -> None:
        """Refuse what is no file of its own: what is written there would go to another's."""
        if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
            reason = "it is a link or not a regular file"
            raise DiskError(f"{self.path} cannot be locked: {reason}; choose another --workdir")

    def __enter__(self) -> Lock:
        import fcntl

        try:
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
            try:
                self.check(os.fstat(fd))
            except DiskError:
                os.close(fd)
                raise
            self.file = open(fd, "r+", encoding="utf-8", errors="replace")
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.file.seek(0)
            holder = self.file.read(200).strip() or "unknown"
            folder = os.path.dirname(os.path.abspath(self.path))
            raise LockedError(f"another gridsync ({holder}) is at work in {folder}") from error
        except OSError as error:
            raise DiskError(f"{self.path} cannot be locked: {error.strerror}; choose another --workdir") from error
        with contextlib.suppress(OSError):  # a full disk takes no word, and the lock holds without
            self.file.truncate(0)
            self.file.write(f"process {os.getpid()}, since {time.strftime('%H:%M:%S')}\n")
            self.file.flush()
        self.sweep()
        return self

    def sweep(self) -> None:
        """Remove what killed runs have left of catalogs; only who holds the lock writes any."""
        folder = os.path.dirname(self.path) or os.curdir
        for name in os.listdir(folder):
            if re.fullmatch(r"grid_(summary|uploads)\.csv\.\d+" + re.escape(MARK), name):
                with contextlib.suppress(OSError):
                    os.unlink(os.path.join(folder, name))

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # what a full disk has not taken is tried once more, and then closed
            self.file.close()
