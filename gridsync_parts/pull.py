"""One file from site to site, from its first byte until it has its name there, verified.

What put.py promises of a local file is so of one at another site: the same code decides. How its bytes come there is
what differs: through this machine, or by a door that fetches it, or brings it.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import threading
import time
from collections.abc import Iterator

from gridsync_parts.checksums import checksum_kind
from gridsync_parts.disk import MARK
from gridsync_parts.doors import At, Crossing, Far, Place, Puller, Stored, Writer, resized_error
from gridsync_parts.errors import (
    DoorError,
    FileError,
    Forbidden,
    GridError,
    Mismatch,
    NoCrossing,
    NotFound,
    Unfinished,
    UsageError,
)
from gridsync_parts.pool import Stop
from gridsync_parts.put import LEFT_OVER, Deliverer, Origin, Put, kind_at, make_folder, refuse_stopped
from gridsync_parts.through import Pipe, Stream
from gridsync_parts.values import UNFINISHED, Row, Seen

LOOK = 2.0  # seconds between two looks at what a door may still be at work on,
STILL = 10.0  # and how long it does not grow when it is taken to be given up
MOST = 3600.0  # seconds that it may take to grow
HERE = "add --via_here, and it goes through this machine"


class FarFile:
    """A file at another site, of which the catalog tells, and its door if it must."""

    def __init__(self, place: Place, row: Row):
        self.place = place
        self.row = row
        self.path = row.path
        self.size = row.size
        self.mtime = row.mtime
        self.named = row.checksum  # its checksum as its site says it,
        self.is_asked = False  # as far as it was asked
        self.sums = {checksum_kind(self.named, True): self.named} if self.named else {}

    def __enter__(self) -> FarFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of what is open."""

    def check(self) -> None:
        """Nothing is asked before it is needed."""

    def ask(self) -> None:
        """Have its site name a checksum, once."""
        if self.is_asked:
            return
        self.is_asked = True
        if named := self.place.reader.checksum(At(self.path, self.size)):
            self.named = self.named or named
            self.sums.setdefault(checksum_kind(named, True), named)

    def checksum(self, kind: str, seen: Seen, stop: Stop) -> str:
        """Its checksum of some kind; empty if its site knows none of it."""
        if kind not in self.sums:
            self.ask()
        return self.sums.get(kind, "")

    def chunks(self, kind: str, seen: Seen, stop: Stop) -> Iterator[bytes | memoryview]:
        """Doors move its bytes by themselves."""
        raise NotImplementedError

    def check_listed(self) -> None:
        """Refuse a file that is another one than the catalog says, as its site lists it now."""
        for entry in self.place.lister.folder(self.path):
            if entry.path != self.path or entry.is_folder:
                continue
            if entry.size not in (self.size, UNFINISHED):
                raise resized_error(self.path, entry.size, self.size)
            kind = checksum_kind(entry.checksum, True)
            if entry.checksum and checksum_kind(self.row.checksum, True) == kind and entry.checksum != self.named:
                said = f"has {entry.checksum} now, but {self.row.checksum} in the catalog; run --build_list again"
                raise FileError(f"{self.path}: {said}")


class Passing(FarFile):
    """One that goes through this machine."""

    def __init__(self, place: Place, row: Row, kinds: set[str], stop: Stop):
        super().__init__(place, row)
        self.kinds = kinds  # of checksums that sites name
        self.stop = stop
        self.stream: Stream | None = None  # that nobody has drained yet
        self.pipe: Pipe | None = None

    def begin(self) -> None:
        """Open it, and know its checksum, before anything is there: it may be on tape, or gone."""
        self.close()
        if not self.size:
            return
        self.stream = Stream(self.place.reader, self.path, self.size)
        self.stream.open()
        self.named = self.named or self.stream.said
        if self.named:
            self.sums.setdefault(checksum_kind(self.named, True), self.named)
        else:
            self.ask()

    def chunks(self, kind: str, seen: Seen, stop: Stop) -> Iterator[bytes | memoryview]:
        """Its bytes, as they come from its site."""
        stream, self.stream = self.stream, None
        self.close()
        own = checksum_kind(self.named, True)
        kinds = {*self.kinds, kind, own} - {"size"}
        stream = stream or Stream(self.place.reader, self.path, self.size)
        self.pipe = pipe = Pipe(stream, kinds, self.named, self.stop)
        pipe.start()
        yield from pipe.chunks(seen)
        self.sums.update(pipe.sums)

    def checksum(self, kind: str, seen: Seen, stop: Stop) -> str:
        """Its checksum of some kind, for which it is read again if need be."""
        if not super().checksum(kind, seen, stop):
            self.kinds.add(kind)  # from now on it is made on the way
            for _ in self.chunks(kind, lambda here, came: seen(here, 0), stop):
                pass
        return self.sums.get(kind, "")

    def close(self) -> None:
        """Let go of its bytes."""
        if self.stream:
            self.stream.close()
        if self.pipe:
            self.pipe.close()
        self.stream = self.pipe = None


class Carrier(Deliverer):
    """Brings files of one site to another one, through this machine."""

    def __init__(self, source: Place, target: Place, writer: Writer, stop: Stop):
        super().__init__(writer, target.can.renames, stop, target.can.removes, kind_at(target.can))
        self.source = source
        self.target = target
        self.kinds: set[str] = set()  # of checksums that had to be made of bytes that had gone
        self.folders: set[str] = {""}  # that are known to be there
        self.making = threading.Lock()

    def origin(self, job: Put) -> Origin:
        """The file at the other site."""
        return Passing(self.source, job.row, self.kinds, self.stop)

    def have_folder(self, path: str) -> None:
        """Have a folder there, which one thread makes for all."""
        with self.making:
            if path in self.folders:
                return
            try:
                make_folder(self.writer, path)
            except Forbidden:  # it may be there all the same, and then this is all that a door says of it
                self.target.lister.folder(path)
            self.folders.add(path)

    def send(self, job: Put, source: Origin, seen: Seen) -> str:
        """Have its bytes go there; what they are verified by."""
        if isinstance(source, Passing):
            source.begin()
        self.have_folder(job.row.path.rpartition("/")[0])
        try:
            return super().send(job, source, seen)
        except Mismatch:
            if isinstance(source, FarFile):
                source.check_listed()
            raise

    def done(self, row: Row, source: Origin, kind: str) -> Row:
        """The row of a file that is there: with the checksum that its own site names, if it does."""
        assert isinstance(source, FarFile)
        made = "" if source.named else source.sums.get(kind) or next(iter(source.sums.values()), "")
        return row._replace(checksum=source.named, computed=made, downloaded=True, verified=kind, error="")

    def by_name(self, said: str, job: Put) -> str:
        """What was said of a file, by the name that it is to have."""
        stem = re.escape(job.temp.removesuffix(MARK))
        return re.sub(f"{stem}(\\.[0-9a-f]{{4}})?{re.escape(MARK)}", lambda _: job.row.path, said)


def noted_of(temp: str) -> str:
    """The name that is noted of a file, of one that was made of it for a further attempt."""
    return re.sub(f"\\.[0-9a-f]{{4}}(?={re.escape(MARK)}$)", "", temp)


class Crosser(Carrier):
    """Has a door fetch them, or the other one bring them.

    A door may go on with a copy that nobody waits for any more. So each attempt has a name of its own, made of that
    which is noted, and what is left of an earlier one is looked at: it may grow still, or be whole by now.
    """

    def __init__(self, source: Place, target: Place, writer: Writer, stop: Stop, trust: bool, names: tuple[str, str]):
        super().__init__(source, target, writer, stop)
        self.trust = trust
        self.names = names
        self.pushes = False  # the target's door does not fetch
        self.has_begun = False  # a door has taken one up
        self.tried: dict[str, set[str]] = {}  # names under which some of a file may be there, by that which is noted
        self.ended: set[str] = set()  # those of them that no door is at work on any more

    def origin(self, job: Put) -> Origin:
        """The file at the other site."""
        return FarFile(self.source, job.row)

    def deliver(self, job: Put, seen: Seen) -> tuple[Row, str]:
        """Have a file there; its new row, and what was done."""
        try:
            return self.attempt(job._replace(row=job.row._replace(computed="")), seen)
        finally:
            self.note(job.temp)

    def attempt(self, job: Put, seen: Seen) -> tuple[Row, str]:
        """The same; what is under another name than the one that is noted is noted with it."""
        noted, whole = job.temp, ""
        if job.is_open:
            with self.origin(job) as source:
                whole = self.look(job, source, seen)
                if not whole and (kind := self.named(job, source, seen)):  # the answer to the last step was lost
                    return self.done(job.row, source, kind), "sent"
        temp = whole or (f"{noted.removesuffix(MARK)}.{secrets.token_hex(2)}{MARK}" if noted in self.tried else noted)
        self.tried.setdefault(noted, set())
        done = super().deliver(job._replace(temp=temp, is_open=bool(whole)), seen)
        self.tried[noted].discard(temp)
        with contextlib.suppress(GridError):  # what can't be removed stays noted
            self.sweep(noted)
        return done

    # How it is copied.

    def check(self, row: Row) -> None:
        """Refuse to hand on a key that opens more than this file."""
        assert self.source.puller
        self.far(self.source.puller, row.path, row.path, self.names)

    def move(self, job: Put, source: Origin, seen: Seen, over: bool) -> Stored:
        """Have a door copy it."""
        self.tried[noted_of(job.temp)].add(job.temp)
        try:
            crossing = self.begin(job.temp, At(job.row.path, source.size))
            self.has_begun = True
            self.follow(crossing, seen)
        except GridError as error:
            goes_on = isinstance(error, (Unfinished, DoorError)) and error.passing  # as far as anybody knows
            self.ended.update([] if goes_on or self.stop.is_set() else [job.temp])
            raise
        self.ended.add(job.temp)
        return Stored(UNFINISHED)

    def follow(self, crossing: Crossing, seen: Seen) -> None:
        """See how far it is, up to its end."""
        self.stop.bodies.add(crossing)
        try:
            for here in crossing.marks:
                seen(here, here)
                refuse_stopped(self.stop)
        except BaseException:
            crossing.hang_up()
            raise
        finally:
            self.stop.bodies.discard(crossing)

    def begin(self, temp: str, at: At) -> Crossing:
        """Have one of the two doors begin: the target's fetches, and if it never does, the other one brings."""
        fetches, brings = self.target.puller, self.source.puller
        assert fetches and brings
        if not self.pushes:
            with contextlib.suppress(NoCrossing):
                return fetches.pull(temp, self.far(brings, at.path, at.path, self.names), at)
            self.pushes = True
        try:
            return brings.push(at, self.far(fetches, temp, at.path, self.names[::-1], writes=True))
        except NoCrossing as error:
            said = f"neither {self.names[0]} nor {self.names[1]} copies files from door to door; {HERE}"
            raise NoCrossing(said) if self.has_begun else UsageError(said) from error

    def far(self, puller: Puller, path: str, named: str, names: tuple[str, str], writes: bool = False) -> Far:
        """A file at one of the sites, as the other one is told of it; UsageError if its key opens more."""
        far = puller.far(path, writes)
        if far.key.wider and not self.trust:
            raise UsageError(
                f"{named}: the key to it that {names[0]} gives out opens {far.key.wider}, and {names[1]} would get it; "
                f"add --trust_target if you trust that site so far, or {HERE.removeprefix('add ')}"
            )
        return far

    # What is left of earlier attempts.

    def look(self, job: Put, source: Origin, seen: Seen) -> str:
        """The one that is whole, once none of them grows any more; the others go. Empty if none is."""
        noted = job.temp
        if noted not in self.tried:
            self.tried[noted] = self.listed(noted)
        whole = next((temp for temp in sorted(self.tried[noted]) if self.is_whole(temp, source, seen)), "")
        self.sweep(noted, whole)
        return whole

    def listed(self, noted: str) -> set[str]:
        """The names under which an earlier run may have left something of a file."""
        stem = noted.removesuffix(MARK)
        with contextlib.suppress(NotFound):
            there = self.target.lister.folder(noted.rpartition("/")[0])
            return {noted, *(e.path for e in there if e.path.startswith(f"{stem}.") and e.path.endswith(MARK))}
        return {noted}

    def is_whole(self, temp: str, source: Origin, seen: Seen) -> bool:
        """Whether all of a file is there, by its checksum; as long as it grows, somebody is at work on it."""
        size, began = -1, time.monotonic()
        grown = began
        while True:
            try:
                stored = self.writer.stored(temp)
                if stored.checksum and stored.size in (UNFINISHED, source.size):
                    return self.verify(temp, stored, source, seen) != "size"
            except (NotFound, Mismatch):
                return False
            now = time.monotonic()
            if stored.size > size:
                size, grown = stored.size, now
                seen(min(size, source.size), 0)
            is_over = temp in self.ended or now - grown >= STILL or now - began >= MOST
            if is_over or size > source.size:
                return False
            self.stop.wait(LOOK)
            refuse_stopped(self.stop)

    def sweep(self, noted: str, whole: str = "") -> None:
        """Remove what is left; what a door may still be at work on stays noted until it is not there at a look."""
        for temp in sorted(self.tried[noted] - {whole}):
            was_there = self.writer.remove(temp)
            if temp in self.ended or not was_there:
                self.tried[noted].discard(temp)

    def note(self, noted: str) -> None:
        """Know whether any of a file may be there."""
        if self.tried.get(noted):
            self.open.add(noted)
        else:
            self.open.discard(noted)

    def clear(self, temp: str, error: GridError) -> str:
        """Remove what is left of a file that was given up; a sentence if that fails."""
        tried = self.tried.get(temp, set())
        for name in sorted(tried):
            try:
                self.writer.remove(name)
            except GridError:
                return LEFT_OVER.format(name)
            if name in self.ended:  # else it may come yet
                tried.discard(name)
        self.note(temp)
        return ""
