"""The file of --stats: a line for each attempt that has failed, and for each file that was moved or was there.

Several runs may write to one at once: each appends whole lines in one call, under a lock that ends with its process.
"""

# Annotations are values here, so they must not be put off as in other parts.
import contextlib
import csv
import errno
import functools
import io
import json
import os
import re
import stat
import time
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, NamedTuple, Optional, get_type_hints

from gridsync_parts.disk import open_regular, target_of
from gridsync_parts.errors import DiskError, UsageError

ENDINGS = (".jsonl", ".csv")
LOCK_LIMIT = 30.0  # seconds to wait for another writer, which may be stopped
LONGEST = 1 << 20  # characters of a line
RISKY = re.compile(r"'*[=+\-@\t\r\uff1d\uff0b\uff0d\uff20]")  # a spreadsheet takes what begins so for a formula
BREAKS = {10: "\\n", 13: "\\r", 0: "\\x00"}
WORD_OF = {"True": True, "False": False, "true": True, "false": False}


class Line(NamedTuple):
    """A line of the file; the fields are the keys of JSON and the columns of CSV."""

    key: Annotated[str, "path of the file at the site; of a whole record its id"]
    site: Annotated[str, "section of Grid.conf, as `--from` names it"]
    direction: Annotated[str, "`get` here, `put` to the site, `copy` from site to site (site is then `LYON>CNAF`)"]
    status: Annotated[str, "`ok`, `skipped` (it was there, and the same) or `failed`"]
    bytes: Annotated[int, "that went over the line in this attempt"]
    size: Annotated[int, "of the file, in bytes"]
    start: Annotated[str, "when the attempt began, in UTC: `2026-11-27T22:18:03.123Z`"]
    end: Annotated[str, "when it ended"]
    duration_s: Annotated[float, "seconds from start to end"]
    rate_Bps: Annotated[float, "bytes a second; 0 where none went over the line"]
    attempts: Annotated[int, "number of this attempt in its run: 1 for the first, 0 where none was needed"]
    error: Annotated[str, "why it has failed, as gridsync says it; else empty"]
    checksum: Annotated[str, "of the file, as `adler32:0a1b2c3d`; empty where none is known"]
    verified: Annotated[str, "how the file was verified: `adler32`, `md5`, ... or `size`; empty if it was not"]
    host: Annotated[str, "name of the machine that has moved it"]
    file_count: Annotated[Optional[int], "files of a whole record; empty in lines about files"] = None
    zip_used: Annotated[Optional[bool], "whether they went as one zip; empty in lines about files"] = None


FIELDS = Line._fields
HEADER = ",".join(FIELDS) + "\n"
PROMISED = {"key", "site", "direction", "status"}  # without these a line is none of ours
ENCODER = json.JSONEncoder(ensure_ascii=False)  # to make one takes as long as a line
FIRST = '{"key": "'  # with which each line in JSON begins


def meanings() -> dict[str, str]:
    """The fields, and what each says, for pages."""
    hints = get_type_hints(Line, include_extras=True)
    return {name: hints[name].__metadata__[0] for name in FIELDS}


def is_csv(path: str) -> bool:
    """Whether a stats file is in CSV, by its ending; any other than the two is refused."""
    if not path.endswith(ENDINGS):
        raise UsageError(f"--stats={path}: ends neither in .jsonl nor in .csv; name it FILE.jsonl or FILE.csv")
    return path.endswith(".csv")


@functools.lru_cache(maxsize=100)
def second_text(second: int) -> str:
    """A whole second, of which a fast run has many lines."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def moment_text(seconds: float) -> str:
    """Seconds since the epoch as a line has them."""
    whole, rest = divmod(int(seconds * 1000), 1000)
    return f"{second_text(whole)}.{rest:03d}Z"


# As text, and back.


def clean(value: Any) -> Any:
    """A value without halves of characters, which names on a disk may have and no reader takes."""
    if isinstance(value, str) and not value.isascii():
        return value.encode("utf-8", "backslashreplace").decode()
    return value


def cell_of(value: Any) -> Any:
    """A value as a cell: one line, and nothing that a spreadsheet would compute."""
    if not isinstance(value, str):
        return value
    return ("'" if RISKY.match(value) else "") + value.translate(BREAKS)


def plain_of(cell: str) -> str:
    """What a cell of text says."""
    return cell[1:] if cell.startswith("'") and RISKY.match(cell) else cell


def json_of(line: Line) -> str:
    """A line in JSON; most need not be looked at character by character."""
    text = ENCODER.encode(dict(zip(FIELDS, line)))
    return text if text.isascii() else ENCODER.encode(dict(zip(FIELDS, map(clean, line))))


def text_of(lines: Iterable[Line], as_csv: bool) -> str:
    """Lines as the file has them, each in one line."""
    if not as_csv:
        return "".join(json_of(line) + "\n" for line in lines)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([cell_of(clean(value)) for value in line] for line in lines)
    return text.getvalue()


def at_least_none(number: Any) -> Any:
    """A number as lines have them; ValueError for what is negative, endless or none."""
    if not 0 <= number < 1e18:
        raise ValueError(number)
    return number


def as_kind(name: str, value: Any) -> Any:
    """A value of a field; ValueError or TypeError for what is none."""
    if name in ("file_count", "zip_used"):
        if value in (None, ""):
            return None
        return WORD_OF[str(value)] if name == "zip_used" else int(value)
    if name in ("bytes", "size", "attempts"):
        return at_least_none(int(value or 0))
    if name in ("duration_s", "rate_Bps"):
        return at_least_none(float(value or 0))
    if not isinstance(value, (str, type(None))):
        raise TypeError(value)
    return value or ""


def line_of(values: dict[str, Any]) -> Line:
    """A line of what was read; ValueError if it is none of ours."""
    if not values.keys() >= PROMISED:
        raise ValueError("not a line of a stats file")
    try:
        return Line(*[as_kind(name, values.get(name)) for name in FIELDS])
    except (TypeError, KeyError, OverflowError) as error:
        raise ValueError(str(error)) from error


def line_in(text: str, columns: list[str]) -> Line:
    """The line that a text is, in JSON or, with columns, in CSV; ValueError if it is none."""
    if columns:
        try:
            cells = next(csv.reader([text], strict=True), [])
        except csv.Error as error:
            raise ValueError(str(error)) from error
        if len(cells) != len(columns):
            raise ValueError("not as many cells as columns")
        return line_of(dict(zip(columns, map(plain_of, cells))))
    try:
        values = json.loads(text)
    except RecursionError as error:
        raise ValueError("too deep") from error
    if not isinstance(values, dict):
        raise ValueError("not an object")
    return line_of(values)


def foreign_error(path: str) -> UsageError:
    """The sentence for a file that another program has written."""
    return UsageError(f"--stats={path}: is a file of another program; name a new one, or one that --stats has written")


def columns_of(path: str, first: str) -> list[str]:
    """The columns that the first line of a file names, none for JSON; a file of another program is refused."""
    first = first.removeprefix("\ufeff").rstrip("\r\n")
    if is_csv(path):
        names = first.split(",")
        if not {*names} >= PROMISED and not HEADER.startswith(first):  # of which a killed run has written some
            raise foreign_error(path)
        return names
    is_begun = first.startswith(FIRST) or FIRST.startswith(first)
    try:
        line_in(first, [])
    except ValueError as error:
        if not (is_begun and isinstance(error, json.JSONDecodeError)):
            raise foreign_error(path) from error
    return []


# Writing.


class Stats:
    """A stats file to which lines are added."""

    def __init__(self, path: str):
        self.path = path
        self.folder = os.path.dirname(path) or os.curdir
        self.is_csv = is_csv(path)
        self.fd = -1
        self.is_ours = False  # which was looked at

    def check(self) -> None:
        """Refuse a file that can't be written, or is none of ours."""
        try:
            with self.held():
                pass
        except OSError as error:
            raise self.error(error) from error

    def look(self) -> None:
        """The same as far as it can be seen without making the file."""
        if os.path.lexists(self.path) or not os.path.isdir(self.folder):
            self.check()

    def error(self, error: OSError) -> DiskError:
        """The sentence for what the disk says."""
        if not os.path.isdir(self.folder):
            return DiskError(f"--stats={self.path}: there is no folder {self.folder}; make it, or name another one")
        return DiskError(f"--stats={self.path} cannot be written: {error.strerror}; make room or name another file")

    def judge(self) -> None:
        """Refuse a file to which lines of ours can't be added."""
        head = os.pread(self.fd, LONGEST, 0).decode("utf-8", "replace")
        first = head.split("\n", 1)[0]
        if self.is_csv and first.removeprefix("\ufeff").rstrip("\r") != HEADER[:-1] and not HEADER.startswith(head):
            raise foreign_error(self.path)
        columns_of(self.path, first)

    def found(self) -> Optional[os.stat_result]:
        """What the disk says of it."""
        with contextlib.suppress(OSError):
            return os.stat(self.path)
        return None

    def open(self) -> None:
        """Open the file, unless that has been done and it has still its name."""
        if self.fd >= 0:
            with contextlib.suppress(OSError):
                if os.path.samestat(os.fstat(self.fd), os.stat(self.path)):
                    return
            self.close()
        path = target_of(self.path) if os.path.islink(self.path) else self.path  # others may have made it
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        self.fd, self.is_ours = os.open(path, flags, 0o666), False
        if not stat.S_ISREG(os.fstat(self.fd).st_mode):
            self.close()
            raise OSError(errno.EINVAL, "it is not a regular file")

    def close(self) -> None:
        """Close it."""
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1

    @contextlib.contextmanager
    def held(self) -> Iterator[int]:
        """The file, opened and with nobody else at work on it: how long it is."""
        import fcntl

        ends = time.monotonic() + LOCK_LIMIT
        self.open()
        while True:
            try:
                fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > ends:
                    raise OSError(errno.EAGAIN, "another program holds its lock") from None
                time.sleep(0.002)
        try:
            if (size := os.fstat(self.fd).st_size) and not self.is_ours:
                self.judge()
            self.is_ours = True
            yield size
        finally:
            fcntl.flock(self.fd, fcntl.LOCK_UN)

    def before(self, size: int) -> str:
        """What is to stand before the next line: the columns, or the end of what a killed run has begun."""
        if self.is_csv and size < len(HEADER):
            return HEADER[size:]
        if not size or os.pread(self.fd, 1, size - 1) == b"\n":
            return ""
        begun = os.pread(self.fd, min(size, LONGEST), max(size - LONGEST, 0)).rpartition(b"\n")[2]
        return ('"' if self.is_csv and begun.count(b'"') % 2 else "") + "\n"  # an open cell would take in what follows

    def write(self, lines: Iterable[Line]) -> None:
        """Add lines, all of them or none."""
        text = text_of(lines, self.is_csv)
        try:
            with self.held() as size:
                data = (self.before(size) + text).encode()
                if (written := os.write(self.fd, data)) < len(data):
                    os.ftruncate(self.fd, size)
                    raise OSError(errno.ENOSPC, f"only {written} of {len(data)} bytes were taken")
        except OSError as error:
            raise self.error(error) from error


# Reading.


class Lines:
    """The lines of a stats file, in their order; what is none is left out and counted."""

    def __init__(self, path: str):
        self.path = path
        self.is_csv = is_csv(path)
        self.left_out = 0
        self.lines = self.read()

    def __iter__(self) -> Iterator[Line]:
        return self

    def __next__(self) -> Line:
        return next(self.lines)

    def read(self) -> Iterator[Line]:
        """Read it, line by line."""
        csv.field_size_limit(LONGEST)
        try:
            with open(open_regular(self.path), encoding="utf-8-sig", errors="backslashreplace", newline="\n") as file:
                first = file.readline(LONGEST)
                if not first:
                    return
                columns = columns_of(self.path, first)
                if not self.is_csv:
                    yield from self.lines_in(first, columns)
                while text := file.readline(LONGEST):
                    yield from self.lines_in(text, columns)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it is not a regular file"
            raise DiskError(f"--stats={self.path} cannot be read: {reason}; name another file") from error

    def lines_in(self, text: str, columns: list[str]) -> Iterator[Line]:
        """The line that a text is, if it is one."""
        text = text.rstrip("\r\n")
        try:
            if text:
                yield line_in(text, columns)
        except ValueError:
            self.left_out += 1


def lines_of(path: str) -> Lines:
    """The lines of a stats file; once all are read, `left_out` says how many were none."""
    return Lines(path)
