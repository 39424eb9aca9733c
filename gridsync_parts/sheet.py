"""A file of rows in CSV, in the work folder.

While a command runs, changed rows are appended to it and the last one of a key counts; when it ends the file is
rewritten in one step. So a crash costs at most the row being written.
"""

from __future__ import annotations

import contextlib
import csv
import functools
import io
import itertools
import os
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, Callable, Generic, NamedTuple, TextIO, TypeVar

from gridsync_parts.disk import doubt_of, open_regular, replacing, sync_file, target_of
from gridsync_parts.errors import DiskError

R = TypeVar("R", bound=tuple[Any, ...])
LONGEST_LINE = 1 << 24  # characters


def reading(is_right: Callable[[str], object], value: Callable[[str], Any] = str) -> Callable[[str], Any]:
    """A reader that takes only what is right."""

    def read(cell: str) -> Any:
        if not is_right(cell):
            raise ValueError(cell)
        return value(cell)

    return read


class Columns(NamedTuple):
    """How rows are written as lines, and read."""

    kind: Any  # the class of the rows, whose fields are the columns,
    readers: tuple[Callable[[str], Any], ...]  # how each is read,
    promised: int  # how many of them every file has; the others are empty where they are missing,
    cells_of: Callable[[Any], list[str]]  # a row as the cells of a line,
    place_of: Callable[[Any], tuple[str, str]]  # and its key: the site, and what it is there

    def fault_of(self, cells: list[str]) -> str:
        """The first column of a line that can't be read."""
        for number, (name, reader) in enumerate(zip(self.kind._fields, self.readers), 1):
            if number > len(cells):
                return f"column {number} ({name}) is missing"
            try:
                reader(cells[number - 1])
            except (ValueError, KeyError):
                return f"column {number} ({name}) is {cells[number - 1][:100]!r}"
        return "the line cannot be read"

    def row_of(self, cells: list[str]) -> Any:
        """A line's cells as a row; ValueError names the column that is wrong."""
        if self.promised <= len(cells) < len(self.readers):
            cells = cells + [""] * (len(self.readers) - len(cells))
        try:
            return self.kind(*[reader(cell) for reader, cell in zip(self.readers, cells)])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(self.fault_of(cells)) from error

    def write(self, file: TextIO, rows: Iterable[Any]) -> None:
        """Write rows as lines."""
        writer = csv.writer(file, lineterminator="\n")
        quoting = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
        for row in rows:  # csv leaves a lone carriage return without the quotes that its reader wants
            cells = self.cells_of(row)
            (quoting if "\r" in "".join(cells) else writer).writerow(cells)


class Sheet(Generic[R]):
    """The rows of such a file, kept by site and by what they are there."""

    def __init__(self, path: str, columns: Columns, is_frozen: bool = False):
        self.path = path
        self.columns = columns
        self.is_frozen = is_frozen  # changes stay in memory
        self.rows: dict[str, dict[str, R]] = {}
        self.is_foreign = False  # another tool's file
        self.is_stale = False  # the file differs from the rows, or says some of them twice
        self.is_new = False  # nothing was noted yet; no file stands for nothing
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
            self.read_lines(file, is_cut)
        if found.st_uid != os.getuid():
            self.distrust()

    def read_lines(self, file: TextIO, is_cut: bool) -> None:
        """Take in its lines."""
        columns, names = self.columns, list(self.columns.kind._fields)
        lines = csv.reader(iter(functools.partial(file.readline, LONGEST_LINE), ""), strict=True)
        try:
            header = next(lines, None)
        except csv.Error:
            header = []
        self.is_stale = header != names  # what is appended to must be of our columns
        if header is None or header[: columns.promised] != names[: columns.promised]:
            self.is_foreign = self.is_new = header is not None
            return
        pairs = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(header, names))
        known = len(list(pairs))  # columns; what follows is another program's
        has_more = known < len(header)
        whole = lines.line_num
        try:
            for cells in lines:
                if len(cells) < len(header):  # cut in one column, it would be read as another value
                    raise ValueError(columns.fault_of(cells))
                self.hold(columns.row_of(cells[:known] if has_more else cells))
                whole = lines.line_num
        except (ValueError, csv.Error) as error:
            if not is_cut or next(file, "") or lines.line_num > whole + 2:
                raise DiskError(
                    f"{self.path}, line {lines.line_num}: {error}; correct the line or move the file away"
                ) from error
        self.is_stale = self.is_stale or is_cut

    def distrust(self) -> None:
        """The file is another user's."""

    def hold(self, row: R) -> None:
        """Take in a row; an earlier one of the same key gives way."""
        site, path = self.columns.place_of(row)
        rows = self.rows.setdefault(site, {})
        self.is_stale = self.is_stale or path in rows
        rows[path] = row

    def by_path(self, site: str) -> dict[str, R]:
        """The rows of a site."""
        return self.rows.setdefault(site, {})

    def all(self) -> Iterator[R]:
        """All rows of all sites."""
        for rows in self.rows.values():
            yield from rows.values()

    def of(self, site: str) -> list[R]:
        """All rows of a site, in their order."""
        return sorted(self.rows.get(site, {}).values())

    def put(self, rows: Iterable[R], durable: bool = False) -> None:
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
            self.columns.write(self.tail, rows)
            self.tail.flush()
            if durable:
                sync_file(self.tail.fileno())
        except OSError as error:
            self.is_stale = True  # half of the line may stand there
            raise DiskError(f"{self.path} cannot be written: {error.strerror}") from error

    def save(self) -> None:
        """Make the file whole again: each row once, in their order."""
        if self.tail is not None:
            tail, self.tail = self.tail, None
            with contextlib.suppress(OSError):  # what a full disk did not take comes with the whole
                tail.close()
        if not self.is_stale or self.is_frozen or self.is_new:
            return
        with replacing(self.path) as file:
            file.write(",".join(self.columns.kind._fields) + "\n")
            for site in sorted(self.rows):
                self.columns.write(file, self.of(site))
        self.is_stale = False
