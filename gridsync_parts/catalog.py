"""grid_summary.csv, a row a file.

While a command runs, changed rows are appended to it and the last one of a path counts; when it ends the file is
rewritten in one step. So a crash costs at most the row being written.
"""

from __future__ import annotations

import contextlib
import csv
import functools
import io
import os
import re
import stat
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, Callable, TextIO

from gridsync_parts.disk import MARK, doubt_of, open_regular, replacing, target_of
from gridsync_parts.errors import DiskError, LockedError
from gridsync_parts.values import Locality, Row, Scope
from gridsync_parts.words import is_path, seconds_of, time_text

CATALOG = "grid_summary.csv"
LOCALITY_WORDS = {locality.value: locality for locality in Locality}
YES_NO = {"yes": True, "no": False}

CHECKSUM = re.compile(r"(?:adler32:[0-9a-f]{8}|(?:md5|sha1|sha256|sha512):[0-9a-f]+)?")


def reading(is_right: Callable[[str], object], value: Callable[[str], Any] = str) -> Callable[[str], Any]:
    """A reader that takes only what is right."""

    def read(cell: str) -> Any:
        if not is_right(cell):
            raise ValueError(cell)
        return value(cell)

    return read


# How each column of a line is read, in the order of Row.
READERS: tuple[Callable[[str], Any], ...] = (
    reading(is_path), reading(re.compile("[0-9]{1,18}").fullmatch, int), seconds_of, reading(CHECKSUM.fullmatch),
    LOCALITY_WORDS.__getitem__, YES_NO.__getitem__, str, sys.intern, sys.intern, str,
)  # fmt: skip
LONGEST_LINE = 1 << 24  # characters
PROMISED = Row._fields[:9]  # the columns that every catalog has


def cells_of(row: Row) -> list[str]:
    """A row as the cells of a line."""
    return [
        row.path, str(row.size), time_text(row.mtime), row.checksum, row.locality.value,
        "yes" if row.downloaded else "no", row.verified, row.request, row.site, row.error,
    ]  # fmt: skip


def write_rows(file: TextIO, rows: Iterable[Row]) -> None:
    """Write rows as lines."""
    writer = csv.writer(file, lineterminator="\n")
    quoting = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for row in rows:  # csv leaves a lone carriage return without the quotes that its reader wants
        (quoting if "\r" in row.path + row.site else writer).writerow(cells_of(row))


def fault_of(cells: list[str]) -> str:
    """The first column of a line that can't be read."""
    for number, (name, reader) in enumerate(zip(Row._fields, READERS), 1):
        if number > len(cells):
            return f"column {number} ({name}) is missing"
        try:
            reader(cells[number - 1])
        except (ValueError, KeyError):
            return f"column {number} ({name}) is {cells[number - 1][:100]!r}"
    return "the line cannot be read"


def row_of(cells: list[str]) -> Row:
    """A line's cells as a row; ValueError names the column that is wrong."""
    try:
        return Row(*[reader(cell) for reader, cell in zip(READERS, [*cells, ""] if len(cells) == 9 else cells)])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(fault_of(cells)) from error


class Catalog:
    """The rows of grid_summary.csv, kept by site and path."""

    def __init__(self, folder: str, is_frozen: bool = False):
        self.path = os.path.join(folder, CATALOG)
        self.is_frozen = is_frozen  # changes stay in memory
        self.rows: dict[str, dict[str, Row]] = {}
        self.is_foreign = False  # another tool's catalog
        self.is_stale = False  # the file differs from the rows, or says some of them twice
        self.is_new = False  # no list was built yet; no file stands for one
        self.is_listed = False  # a list was built just now
        self.doubt = ""  # somebody else may have written it: why, and what to do
        self.tail: TextIO | None = None
        try:
            self.read()
        except FileNotFoundError:
            self.is_new = self.is_stale = True
        except ValueError as error:
            raise DiskError(f"{error}; move it away") from error
        except OSError as error:
            raise DiskError(f"{self.path} cannot be read: {error.strerror}") from error

    def read(self) -> None:
        """Take in the file, but for a last line that a crash has cut."""
        csv.field_size_limit(LONGEST_LINE)
        with open(open_regular(self.path), "rb") as whole_file:
            raw: BinaryIO = whole_file
            found = os.fstat(raw.fileno())
            self.doubt = doubt_of(self.path, found)
            is_cut = os.pread(raw.fileno(), 1, max(found.st_size - 1, 0)) not in (b"\n", b"")
            if self.is_frozen:  # another run may append while this one reads
                raw = io.BytesIO(raw.read(found.st_size))
            file = io.TextIOWrapper(raw, encoding="utf-8-sig", errors="surrogateescape", newline="")
            lines = csv.reader(iter(functools.partial(file.readline, LONGEST_LINE), ""), strict=True)
            try:
                header = next(lines, None)
            except csv.Error:
                header = []
            self.is_stale = header != list(Row._fields)  # what is appended to must be of our columns
            if header is None or header[: len(PROMISED)] != list(PROMISED):
                self.is_foreign = self.is_new = header is not None
                return
            whole = lines.line_num
            try:
                for cells in lines:
                    if len(cells) < len(header):  # cut in its site, it would be read as another one's
                        raise ValueError(fault_of(cells))
                    self.hold(row_of(cells))
                    whole = lines.line_num
            except (ValueError, csv.Error) as error:
                if not is_cut or next(file, "") or lines.line_num > whole + 2:
                    raise DiskError(
                        f"{self.path}, line {lines.line_num}: {error}; correct the line or move the file away"
                    ) from error
            self.is_stale = self.is_stale or is_cut
        if found.st_uid != os.getuid():  # what others say of the user's files takes none of them away
            for row in filter(Row.is_damaged, list(self.all())):
                self.hold(row._replace(verified=""))

    def hold(self, row: Row) -> None:
        """Take in a row; an earlier one of the same file gives way."""
        rows = self.rows.setdefault(row.site, {})
        self.is_stale = self.is_stale or row.path in rows
        rows[row.path] = row

    def row(self, row: Row) -> Row:
        """The present state of a row."""
        return self.rows[row.site][row.path]

    def by_path(self, site: str) -> dict[str, Row]:
        """The files of a site."""
        return self.rows.setdefault(site, {})

    def all(self) -> Iterator[Row]:
        """All rows of all sites."""
        for rows in self.rows.values():
            yield from rows.values()

    def of(self, site: str) -> list[Row]:
        """All rows of a site, in path order."""
        return sorted(self.rows.get(site, {}).values())

    def matching(self, scope: Scope) -> list[Row]:
        """The rows in a scope, in path order."""
        return [row for row in self.of(scope.site) if scope.holds(row.path)]

    def put(self, rows: Iterable[Row], durable: bool = False) -> None:
        """Change rows, here and at once in the file; durable ones outlive a power failure."""
        rows = list(rows)
        if not rows:
            return
        if self.is_frozen:
            for row in rows:
                self.hold(row)
            return
        try:
            if self.tail is None:
                self.is_new = False
                self.save()  # what is appended to must be whole
                fd = os.open(target_of(self.path), os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW)
                self.tail = open(fd, "a", encoding="utf-8", errors="surrogateescape", newline="")  # noqa: SIM115
            for row in rows:
                self.hold(row)
            write_rows(self.tail, rows)
            self.tail.flush()
            if durable:
                os.fsync(self.tail.fileno())
        except OSError as error:
            self.is_stale = True  # half of the line may stand there
            raise DiskError(f"{self.path} cannot be written: {error.strerror}") from error

    def replace(self, rows: Iterable[Row]) -> None:
        """Hold these rows and no others."""
        new: dict[str, dict[str, Row]] = {}
        for row in rows:
            new.setdefault(row.site, {})[row.path] = row
        self.rows, self.is_stale = new, True  # at once, as Ctrl-C would leave half of them to be saved
        self.is_new, self.is_listed = False, True
        self.save()

    def save(self) -> None:
        """Make the file whole again: a row a file, in path order."""
        if self.tail is not None:
            tail, self.tail = self.tail, None
            with contextlib.suppress(OSError):  # what a full disk did not take comes with the whole
                tail.close()
        if not self.is_stale or self.is_frozen or self.is_new:
            return
        with replacing(self.path) as file:
            file.write(",".join(Row._fields) + "\n")
            for site in sorted(self.rows):
                write_rows(file, self.of(site))
        self.is_stale = False


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
            if re.fullmatch(r"grid_summary\.csv\.\d+" + re.escape(MARK), name):
                with contextlib.suppress(OSError):
                    os.unlink(os.path.join(folder, name))

    def __exit__(self, *_: object) -> None:
        self.file.close()
