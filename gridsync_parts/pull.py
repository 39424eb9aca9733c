"""One file from site to site, from its first byte until it has its name there, verified.

What put.py promises of a local file is so of one at another site: the same code decides. How its bytes come there is
what differs: through this machine, or by a door that fetches it, or brings it.
"""

from __future__ import annotations

import collections
import contextlib
import math
import re
import threading
import time
from collections.abc import Iterable

from gridsync_parts.convoy import Steps
from gridsync_parts.disk import MARK
from gridsync_parts.doors import AheadWriter, At, Crossing, Far, Place, Puller, Stored, Writer
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
from gridsync_parts.put import (
    FURTHER,
    LEFT_OVER,
    Deliverer,
    Origin,
    Put,
    further_name,
    kind_at,
    make_folder,
    noted_of,
    unfinished,
)
from gridsync_parts.source import refuse_stopped
from gridsync_parts.through import FarFile, Passing
from gridsync_parts.values import UNFINISHED, Row, Seen

LOOK = 2.0  # seconds between two looks at what a door may still be at work on,
STILL = 10.0  # and how long it does not grow when it is taken to be given up
MOST = 3600.0  # seconds that it may take to grow
SETTLED = 60.0  # seconds after which it has begun to, if it ever does
HERE = "add --via_here, and it goes through this machine"


class Carrier(Deliverer):
    """Brings files of one site to another one, through this machine."""

    def __init__(self, source: Place, target: Place, writer: Writer, stop: Stop):
        super().__init__(writer, target.can.renames, stop, target.can.removes, kind_at(target.can))
        self.source = source
        self.target = target
        self.kinds: set[str] = set()  # of checksums that had to be made of bytes that had gone
        self.folders: set[str] = {""}  # that are known to be there
        # One thread asks about a folder for all; others are not held up by it.
        self.making: dict[str, threading.Lock] = collections.defaultdict(threading.Lock)

    def origin(self, job: Put) -> Origin:
        """The file at the other site."""
        return Passing(self.source, job.row, self.kinds, self.stop)

    def have_folder(self, path: str) -> None:
        """Have a folder there, which one thread makes for all."""
        with self.making[path]:
            if path in self.folders:
                return
            try:
                make_folder(self.writer, path)
            except Forbidden as error:  # it may be there all the same, and then this is all that a door says of it
                try:
                    self.target.lister.folder(path)
                except NotFound:
                    raise error from None
            self.folders.add(path)

    def send(self, job: Put, source: Origin, seen: Seen, ahead: AheadWriter) -> Steps:
        """Have its bytes go there; what they are verified by."""
        if isinstance(source, Passing):
            source.begin()
        self.target.check_name(job.row.path)  # before all of it has gone under another one
        self.have_folder(job.row.path.rpartition("/")[0])
        try:
            return (yield from super().send(job, source, seen, ahead))
        except Mismatch:
            if isinstance(source, FarFile):
                source.check_listed()
            raise

    def done(self, row: Row, source: Origin, kind: str) -> Row:
        """The row of a file that is there: with the checksum that its own site names, if it does."""
        assert isinstance(source, FarFile)
        made = "" if source.named else source.sums.get(kind) or next(iter(source.sums.values()), "")
        return row._replace(checksum=source.named, computed=made, downloaded=True, verified=kind, error="")

    def tidy(self, noted: Iterable[str]) -> None:
        """Remove what is left of files that are done; a name stays noted until nothing was there at a look."""
        self.tidy_up(self.target.lister, noted)

    def by_name(self, said: str, job: Put) -> str:
        """What was said of a file, by the name that it is to have."""
        stem = re.escape(job.temp.removesuffix(MARK))
        return re.sub(stem + FURTHER, lambda _: job.row.path, said)


class Crosser(Carrier):
    """Has a door fetch them, or the other one bring them.

    A door may go on with a copy that nobody waits for any more. So each attempt has a name of its own, made of that
    which is noted, and what is left of an earlier one is looked at: it may grow still, or be whole by now.
    """

    def __init__(
        self,
        source: Place,
        target: Place,
        writer: Writer,
        stop: Stop,
        trust: bool,  # a key may be handed on that opens more than its file
        streams: int,
        names: tuple[str, str],
    ):
        super().__init__(source, target, writer, stop)
        self.trust = trust
        self.streams = streams
        self.names = names
        self.pushes = False  # the target's door does not fetch,
        self.wide: UsageError | None = None  # as the key to do so opens too much
        self.has_begun = False  # a door has taken one up
        # By the name that is noted of a file: those under which some of it may be there, and since when.
        self.tried: dict[str, dict[str, float]] = {}
        self.lists: dict[str, dict[str, list[str]]] = {}  # what earlier runs have left, by folder and name noted
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
        temp = whole or (further_name(noted) if noted in self.tried else noted)
        self.tried.setdefault(noted, {})
        try:
            done = super().deliver(job._replace(temp=temp, is_open=bool(whole)), seen)
        finally:
            self.open.difference_update({temp} - {noted})
        self.tried[noted].pop(temp, None)
        self.ended.discard(temp)
        with contextlib.suppress(GridError):  # what can't be removed stays noted
            self.sweep(noted)
        if not self.tried[noted] and not job.is_open:  # most are done at once, and there may be a million
            del self.tried[noted]
        return done

    # How it is copied.

    def check(self, row: Row) -> None:
        """Refuse to hand on a key that opens more than this file."""
        fetches, brings = self.ends()
        try:
            with contextlib.suppress(FileError):  # which is said of each file
                self.far(brings, row.path, row.path, self.names)
        except UsageError as error:
            with contextlib.suppress(FileError):  # each file is asked for again
                self.narrow(fetches, row.path, row.path, error)
                self.pushes, self.wide = True, error

    def move(self, job: Put, source: Origin, seen: Seen, over: bool, ahead: AheadWriter) -> Steps:
        """Have a door copy it."""
        self.tried[noted_of(job.temp)][job.temp] = time.monotonic()
        try:
            crossing = self.begin(job.temp, At(job.row.path, source.size))
            self.has_begun = True
            self.follow(crossing, seen)
            seen(source.size, source.size)  # of what is copied at once there is no mark
        except GridError as error:
            goes_on = isinstance(error, (Unfinished, DoorError)) and error.passing  # as far as anybody knows
            self.ended.update([] if goes_on or self.stop.is_set() else [job.temp])
            raise
        self.ended.add(job.temp)
        return Stored(UNFINISHED)
        yield  # a door's own copy is waited for by its thread

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

    def ends(self) -> tuple[Puller, Puller]:
        """The door that fetches, and the one that brings."""
        assert self.target.puller and self.source.puller
        return self.target.puller, self.source.puller

    def begin(self, temp: str, at: At) -> Crossing:
        """Have one of the two doors begin: the target's fetches, and if it never does, the other one brings.

        So it does where the key that the source gives out opens more than the file, and that of the target does not.
        """
        fetches, brings = self.ends()
        if not self.pushes:
            try:
                return fetches.pull(temp, self.far(brings, at.path, at.path, self.names), at, self.streams)
            except NoCrossing:
                self.pushes = True
            except UsageError as error:
                self.wide = error
        try:
            crossing = brings.push(at, self.narrow(fetches, temp, at.path, self.wide))
        except NoCrossing as error:
            said = f"neither {self.names[0]} nor {self.names[1]} copies files from door to door; {HERE}"
            raise self.wide or (NoCrossing(said) if self.has_begun else UsageError(said)) from error
        self.pushes = True
        return crossing

    def narrow(self, fetches: Puller, path: str, named: str, wide: UsageError | None) -> Far:
        """A file at the target, as the source is told of it; what is wrong with the other way is said first."""
        try:
            return self.far(fetches, path, named, self.names[::-1], writes=True)
        except UsageError as error:
            raise wide or error from None

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

    def listed(self, noted: str) -> dict[str, float]:
        """The names under which an earlier run has left something of a file; a folder is listed once for all."""
        folder = noted.rpartition("/")[0]
        with self.making[folder]:
            if folder not in self.lists:
                self.lists[folder] = unfinished(self.target.lister, folder)
        return {name: -math.inf for name in self.lists[folder].get(noted, ())}

    def is_whole(self, temp: str, source: Origin, seen: Seen) -> bool:
        """Whether all of a file is there, by its checksum; as long as it grows, somebody is at work on it.

        What comes by several streams has its size before all of it is there.
        """
        last: tuple[object, ...] = ()
        began = grown = time.monotonic()
        while True:
            try:
                stored = self.writer.stored(temp)
            except NotFound:
                return False
            if stored.checksum and stored.size in (UNFINISHED, source.size):
                with contextlib.suppress(Mismatch):
                    return self.verify(temp, stored, source, seen) != "size"
            now = time.monotonic()
            if stored[:2] != last:
                last, grown = stored[:2], now
                seen(max(0, min(stored.size, source.size)), 0)
            is_over = temp in self.ended or now - grown >= STILL or now - began >= MOST
            if is_over or stored.size > source.size:
                return False
            self.stop.wait(LOOK)
            refuse_stopped(self.stop)

    def sweep(self, noted: str, whole: str = "") -> None:
        """Remove what is left; what a door may still be at work on stays noted."""
        for temp in sorted(self.tried[noted].keys() - {whole}):
            self.writer.remove(temp)
            if temp in self.ended:
                del self.tried[noted][temp]
                self.ended.discard(temp)

    def tidy(self, noted: Iterable[str]) -> None:
        """The same of what may come yet of this run's own attempts."""
        now = time.monotonic()
        super().tidy({*noted, *self.tried})
        for name, tried in self.tried.items():
            self.tried[name] = {temp: since for temp, since in tried.items() if now - since < SETTLED}
            self.open.update([name] if self.tried[name] else [])

    def note(self, noted: str) -> None:
        """Know whether any of a file may be there."""
        if self.tried.get(noted):
            self.open.add(noted)
        else:
            self.open.discard(noted)

    def clear(self, temp: str, error: GridError) -> str:
        """Remove what is left of a file that was given up; a sentence if that fails."""
        tried = self.tried.get(temp, {})
        for name in sorted(tried):
            try:
                self.writer.remove(name)
            except GridError:
                return LEFT_OVER.format(name)
            if name in self.ended:  # else it may come yet
                del tried[name]
                self.ended.discard(name)
        self.note(temp)
        return ""
