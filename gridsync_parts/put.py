"""One local file, from its first byte until it has its name at the site, verified: the same in each process."""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

from gridsync_parts.checksums import checksum_kind
from gridsync_parts.convoy import Steps, alone, result_of
from gridsync_parts.disk import COARSE, MARK
from gridsync_parts.doors import AheadWriter, Lister, Sent, Stored, Writer
from gridsync_parts.errors import Exists, FileError, GridError, Mismatch, NotFound
from gridsync_parts.kinds import Can
from gridsync_parts.pool import Stop
from gridsync_parts.source import Source
from gridsync_parts.values import UNFINISHED, Row, Seen

NO_FILE = "what has this name at the site is not a file; move it away"
TAKEN = "another file has this name at the site; --overwrite replaces it"
STAYS = "another file, or some of this one, has its name at the site; --overwrite replaces it"
FURTHER = rf"(?:\.[0-9a-f]{{8}})?{re.escape(MARK)}"  # how the name of any attempt at a file ends
LEFT_OVER = "; some of it may be left at the site as {}"


class Put(NamedTuple):
    """What is to be done for one file: plain values, for whatever process does it."""

    row: Row  # at the site
    source: str  # the local file
    temp: str  # its path there until it is verified; that of the row, where a door can't rename
    is_open: bool = False  # some of it may be there under that name
    is_there: bool = False  # a file of its name and size is there, and is to be compared
    overwrite: bool = False
    is_lost: bool = False  # a worker that is not heard of any more may still write under that name


class Origin(Protocol):
    """A file that is to be at a site: a local one, or one at another site."""

    size: int
    mtime: int
    sums: dict[str, str]  # its checksums, by their kinds

    def __enter__(self) -> Origin: ...

    def __exit__(self, *_: object) -> None: ...

    def check(self) -> None:
        """Refuse a file that is not any more as it was looked at."""

    def checksum(self, kind: str, seen: Seen, stop: Stop) -> str:
        """Its checksum of some kind; empty if nobody can tell it."""

    def chunks(self, kind: str, seen: Seen, stop: Stop) -> Iterator[bytes | memoryview]:
        """Its bytes, of which a checksum is made on the way; each piece takes the place of the last."""


def make_folder(writer: Writer, path: str) -> None:
    """Make a folder, and those above it that are missing."""
    try:
        writer.folder(path)
    except NotFound:
        if not path:
            raise
        make_folder(writer, path.rpartition("/")[0])
        writer.folder(path)


def temp_name(path: str, token: str, number: int) -> str:
    """The path of a file at the site until it is verified."""
    folder, slash, _ = path.rpartition("/")
    return f"{folder}{slash}{token}-{number}{MARK}"


def further_name(noted: str) -> str:
    """The name of a further attempt at a file, made of the one that is noted."""
    return f"{noted.removesuffix(MARK)}.{secrets.token_hex(4)}{MARK}"


def noted_of(temp: str) -> str:
    """The name that is noted of a file, of one that was made of it for a further attempt."""
    return re.sub(f"{FURTHER}$", MARK, temp)


def unfinished(lister: Lister, folder: str) -> dict[str, list[str]]:
    """What has the name of something unfinished in a folder, by the name that is noted of it."""
    found: dict[str, list[str]] = {}
    with contextlib.suppress(NotFound):
        for entry in lister.folder(folder):
            if entry.path.endswith(MARK) and not entry.is_folder:
                found.setdefault(noted_of(entry.path), []).append(entry.path)
    return found


def kind_at(can: Can) -> str:
    """The kind of checksum that a site is likely to name, as far as its kind tells."""
    return can.checksums[0] if can.checksums and "adler32" not in can.checksums else "adler32"


class Waited:
    """A writer whose answers are waited for, as one whose are not."""

    def __init__(self, writer: Writer):
        self.writer = writer

    def write_ahead(self, path: str, sent: Sent) -> Steps:
        """Send a file."""
        return alone(self.writer.write, path, sent)

    def stored_ahead(self, path: str) -> Steps:
        """What is there."""
        return alone(self.writer.stored, path)

    def rename_ahead(self, path: str, target: str, replace: bool) -> Steps:
        """Give a file its name."""
        return alone(self.writer.rename, path, target, replace)


class Deliverer:
    """Brings files to a site: local ones, unless another kind of them says where they are."""

    def __init__(self, writer: Writer, renames: bool, stop: Stop, removes: bool = True, kind: str = "adler32"):
        self.writer = writer
        self.waited = Waited(writer)
        self.renames = renames
        self.removes = removes
        self.stop = stop
        self.top = ""  # the local folder below which no link is followed
        self.kind = kind  # of the checksums that the door names, as far as it has done so
        self.open: set[str] = set()  # paths where some of a file may be that is not whole
        self.made: set[str] = set()  # what was taken under its own name by a door that removes nothing

    def origin(self, job: Put) -> Origin:
        """What is to be brought, opened."""
        return Source(job.source, self.top)

    def deliver(self, job: Put, seen: Seen) -> tuple[Row, str]:
        """Have a file there; its new row, and what was done."""
        if job.is_lost and self.renames:
            return self.deliver_anew(job, seen)
        done: tuple[Row, str] = result_of(self.steps(job, seen, self.waited))
        return done

    def steps(self, job: Put, seen: Seen, ahead: AheadWriter) -> Steps:
        """The same step by step."""
        with self.origin(job) as source:
            source.check()
            row = job.row._replace(size=source.size, mtime=source.mtime)
            if row[:3] == job.row[:3] and row.checksum:  # it was read before, and has not changed since
                kind = checksum_kind(row.checksum, True)
                source.sums[kind] = row.checksum
            if job.is_there and (kind := self.named(job, source, seen)):
                if job.is_open and job.temp != row.path:
                    self.remove(job.temp)
                self.open.discard(job.temp)
                return self.done(row, source, kind), "skipped"
            if job.is_there and not job.overwrite:
                raise FileError(f"{row.path}: {TAKEN}")
            kind, is_named = self.left_over(job, source, seen) if job.is_open else ("", False)
            if is_named:
                return self.done(row, source, kind), "sent"
            kind = kind or (yield from self.send(job, source, seen, ahead))
            done = yield from self.name_it(job, source, seen, ahead)
            return self.done(row, source, kind), done

    def deliver_anew(self, job: Put, seen: Seen) -> tuple[Row, str]:
        """Have a file there under a name that who is lost does not know; what that one leaves may come yet."""
        temp = further_name(job.temp)
        anew = job._replace(temp=temp, is_open=False, is_lost=False)
        try:
            with self.origin(job) as source:
                kind = "" if job.is_there else self.named(job, source, seen)
                row = job.row._replace(size=source.size, mtime=source.mtime)
                done = (self.done(row, source, kind), "sent") if kind else self.deliver(anew, seen)
        except GridError as error:
            error.args = (str(error).replace(temp, job.row.path),)
            self.clear(temp, error)
            raise
        finally:
            self.open.discard(temp)
            self.open.add(job.temp)
        with contextlib.suppress(GridError):  # what can't be removed stays noted
            self.writer.remove(job.temp)
        return done

    def tidy_up(self, lister: Lister, noted: Iterable[str]) -> None:
        """Remove what is left of files that are done; a name stays noted until nothing was there at a look."""
        names = set(noted)
        there = {folder: unfinished(lister, folder) for folder in {name.rpartition("/")[0] for name in names}}
        for name in sorted(names):
            found = there[name.rpartition("/")[0]].get(name, ())
            for temp in found:
                self.writer.remove(temp)
            if not found:
                self.open.discard(name)

    def done(self, row: Row, source: Origin, kind: str) -> Row:
        """The row of a file that is there."""
        checksum = source.sums.get(kind) or next(iter(source.sums.values()), "")
        return row._replace(checksum=checksum, downloaded=True, verified=kind, error="")

    def send(self, job: Put, source: Origin, seen: Seen, ahead: AheadWriter) -> Steps:
        """Send it; what it is verified by."""
        if not self.renames and job.overwrite and self.removes:
            self.writer.remove(job.temp)
        over = not self.removes and (job.overwrite or job.temp in self.made)
        self.open.add(job.temp)
        try:
            stored = yield from self.move(job, source, seen, over, ahead)
        except Exists as error:
            if not self.renames:
                self.open.discard(job.temp)  # it is another one's, or an attempt's whose answer was lost
                if kind := self.named(job, source, seen):
                    return kind
                raise FileError(f"{job.row.path}: {TAKEN if self.removes else STAYS}") from error
            # It is from an attempt whose answer was lost, as nobody else has such names.
            raise FileError(str(error), passing=True) from error
        self.made.update([] if self.removes else [job.temp])
        stored = stored if stored.checksum else (yield from self.taken(job, ahead))
        return self.verify(job.row.path, stored, source, seen)

    def move(self, job: Put, source: Origin, seen: Seen, over: bool, ahead: AheadWriter) -> Steps:
        """Have its bytes go there; what the door says of them."""
        kind = self.kind
        sent = Sent(source.size, lambda: source.chunks(kind, seen, self.stop), source.mtime, over)
        return (yield from ahead.write_ahead(job.temp, sent))

    def taken(self, job: Put, ahead: AheadWriter) -> Steps:
        """What is there of a file that the door has just taken, as it says."""
        try:
            return (yield from ahead.stored_ahead(job.temp))
        except NotFound as error:
            said = "the door says that it has taken the file, but does not have it; ask the site"
            raise FileError(f"{job.row.path}: {said}", passing=True) from error

    def verify(self, path: str, stored: Stored, source: Origin, seen: Seen) -> str:
        """What it is verified by; Mismatch if it is not what was sent."""
        if stored.size not in (UNFINISHED, source.size):
            raise Mismatch(f"{path}: the door has {stored.size} bytes of {source.size}", passing=True)
        if not stored.checksum:
            if stored.size == UNFINISHED:
                raise FileError(f"{path}: the door tells neither size nor checksum; nobody knows whether it is whole")
            return "size"
        self.kind = kind = checksum_kind(stored.checksum, True)
        own = source.checksum(kind, seen, self.stop)
        if not own and stored.size != UNFINISHED:  # nobody knows one that the two can be compared by
            return "size"
        if stored.checksum != own:
            raise Mismatch(f"{path}: the door has {stored.checksum}, but {own} was sent", passing=True)
        return kind

    def same(self, path: str, source: Origin, seen: Seen, sent: str = "") -> str:
        """What a file there is verified to be the local one by; empty if it is another one, or none.

        Where that is its size, the checksum of what was sent once tells more, and else which of them is older.
        """
        try:
            stored = self.writer.stored(path)
            kind = self.verify(path, stored, source, seen)
        except (NotFound, Mismatch):
            return ""
        if kind != "size" or not source.size:
            return kind
        if sent:
            return kind if source.checksum(checksum_kind(sent, True), seen, self.stop) == sent else ""
        is_older = 0 < stored.mtime < source.mtime - COARSE
        return "" if is_older else kind  # it may be what the local file was then

    def named(self, job: Put, source: Origin, seen: Seen) -> str:
        """What the file with its name is verified by, if it is this one, and not perhaps one that is to be replaced."""
        kind = self.same(job.row.path, source, seen, job.row.computed if job.is_there else "")
        return "" if job.overwrite and kind == "size" and source.size else kind

    def left_over(self, job: Put, source: Origin, seen: Seen) -> tuple[str, bool]:
        """See what an earlier attempt has left: what it is verified by, if it is whole, and whether it has its name."""
        if self.renames:
            kind = self.same(job.temp, source, seen)
            if kind and kind != "size":  # else it may be what the local file was then
                return kind, False
            if kind := self.named(job, source, seen):
                self.remove(job.temp)
                return kind, True
        elif not self.removes:
            if kind := self.named(job, source, seen):
                self.open.discard(job.temp)
            return kind, bool(kind)
        self.remove(job.temp)
        return "", False

    def remove(self, temp: str) -> None:
        """Have nothing there any more."""
        self.writer.remove(temp)
        self.open.discard(temp)

    def name_it(self, job: Put, source: Origin, seen: Seen, ahead: AheadWriter) -> Steps:
        """Give a verified file its name; what was done."""
        try:
            if self.renames:
                yield from ahead.rename_ahead(job.temp, job.row.path, job.overwrite)
        except (Exists, NotFound) as error:  # somebody was faster, or an attempt whose answer was lost
            if job.overwrite and isinstance(error, Exists):
                raise FileError(f"{job.row.path}: {NO_FILE}") from None
            if not self.named(job, source, seen):
                raise FileError(f"{job.row.path}: {TAKEN}") if isinstance(error, Exists) else error from None
            self.remove(job.temp)
            return "skipped" if isinstance(error, Exists) else "sent"
        self.open.discard(job.temp)
        return "sent"

    def clear(self, temp: str, error: GridError) -> str:
        """Remove what is left of a file that was given up; a sentence if that fails."""
        try:
            # From a line that broke the door may still read: what is not there yet stays noted, as it may come.
            has_broken = error.passing or isinstance(error.__cause__, OSError) or self.stop.is_set()
            if temp in self.open and (self.writer.remove(temp) or not has_broken):
                self.open.discard(temp)
        except GridError:
            return LEFT_OVER.format(temp)
        return ""
