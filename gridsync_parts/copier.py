"""Files on their way here: from the first byte until they are verified, durable and have their names."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import threading
import time
from collections.abc import Iterator
from typing import NamedTuple

from gridsync_parts.catalog import Catalog
from gridsync_parts.checksums import checksum_kind, checksum_of
from gridsync_parts.crew import Patience
from gridsync_parts.disk import COARSE, disk_error, part_name
from gridsync_parts.doors import BITE, At, Body, Place
from gridsync_parts.errors import (
    Changed,
    DiskError,
    DoorError,
    FileError,
    Forbidden,
    GridError,
    Mismatch,
    NotFound,
    OnTape,
    PoolError,
)
from gridsync_parts.home import Folder, Home
from gridsync_parts.partfile import LARGE, PartFile, Segment
from gridsync_parts.table import Settings
from gridsync_parts.values import Action, Locality, Outcome, Row, Wishes, about, placed, why_left, with_error
from gridsync_parts.walk import judged

REFUSED = 16  # files that the door refuses before it has given any, which end one too
TAPE_RETRIES = 200  # of a copy straight from tape: half a day or more


class Arrived(NamedTuple):
    """A file that is here and verified, and has still to be made durable."""

    before: Row  # as it was in the catalog, if it comes to nothing
    row: Row
    done: str  # copied, skipped
    fd: int
    place: str  # its folder
    part: PartFile | None = None  # which is to have its name then


def is_there(item: Arrived, folder: Folder) -> bool:
    """Whether a file that was compared still has its name."""
    with contextlib.suppress(OSError):
        there = os.stat(item.row.path.rpartition("/")[2], dir_fd=folder.fd, follow_symlinks=False)
        return os.path.samestat(os.fstat(item.fd), there)
    return False


class Copier:
    """Copies files, each to its part file, and gives them their names once they are verified and durable."""

    def __init__(self, place: Place, settings: Settings, patience: Patience, wishes: Wishes, catalog: Catalog):
        self.place = place
        self.home = Home(settings.output_dir)
        self.catalog = catalog
        self.strange: set[str] = set()  # files of which it is not clear whose they are
        self.patience = patience
        # A GET of a file on tape blocks for minutes, fails, and has to be repeated until the tape was read.
        self.tape_patience = Patience(TAPE_RETRIES, patience.stopping)
        self.checked = not wishes.nochecksum
        self.overwrite = wishes.overwrite
        self.streams = settings.streams
        self.processors: set[int] = getattr(os, "sched_getaffinity", lambda _: {0})(0)
        self.shared = {random.choice(sorted(self.processors))} if place.can.holds_lock else self.processors
        self.flying: dict[str, int] = {}  # bytes so far of the files being copied
        self.received: dict[str, int] = {}  # bytes that came over the line for them
        self.whole: set[str] = set()  # files of which the door sends no ranges
        self.bodies: set[Body] = set()  # that arrive just now
        self.is_given = False  # has the door given any bytes?
        self.refused: set[str] = set()  # files that it has refused before it gave any

    def copy(self, work: tuple[Row, Action, float]) -> Outcome | Arrived:
        """One file, from the first byte until it is verified, or why not; none begins when it may be on tape again."""
        row, action, fresh_until = work
        if self.is_shut():
            return Outcome(row, "interrupted")
        if time.monotonic() > fresh_until:
            return Outcome(row, "stale")
        self.home.check()
        with contextlib.suppress(AttributeError, OSError):  # only Linux lets threads choose
            # Python's lock changes hands at each call of the system; from processor to processor that takes longest.
            os.sched_setaffinity(0, self.shared if row.size <= BITE else self.processors)
        try:
            if action is Action.ADOPT:
                return self.adopt(row)
            patience = self.tape_patience if row.locality is Locality.NEARLINE else self.patience
            return patience.call(self.attempt, row, progress=lambda: self.flying.get(row.path, 0))
        except (FileError, DoorError) as error:
            if self.patience.stopping.is_set():
                return Outcome(row, "interrupted", self.came(row))
            self.home.check()
            if isinstance(error, OnTape) and row.locality is not Locality.NEARLINE:
                return Outcome(placed(row, Locality.NEARLINE), "waiting", self.came(row), error)
            done = "late" if isinstance(error, PoolError) and error.passing else "failed"
            return self.failed(row, judged(self.place.lister, row.path, error))._replace(done=done)
        except ValueError as error:  # a name, say, that the locale can't write
            return self.failed(row, FileError(str(error)))
        except OSError as error:
            found = disk_error(self.home.full(row.path), error)
            if not isinstance(found, FileError):
                self.came(row)
                raise found from error
            return self.failed(row, found)
        except BaseException:  # which ends the run
            self.came(row)
            raise

    def is_shut(self) -> bool:
        """Whether the door refuses everything, as it seems."""
        return not self.is_given and len(self.refused) >= REFUSED

    def came(self, row: Row) -> int:
        """How many bytes of a file came over the line; it is not on its way any more."""
        self.flying.pop(row.path, None)
        return self.received.pop(row.path, 0)

    def failed(self, row: Row, error: GridError) -> Outcome:
        """The outcome for a file that did not come."""
        if isinstance(error, Forbidden) and not self.is_given:
            self.refused.add(row.path)
        return Outcome(with_error(row, about(row, error)), "failed", self.came(row), error)

    def settle(self, items: list[Outcome | Arrived]) -> list[Outcome]:
        """Make what has arrived durable together: the files, then their names, then the folders that these are in."""
        outcomes = [item for item in items if isinstance(item, Outcome)]
        arrived = [item for item in items if isinstance(item, Arrived)]
        if not arrived:
            return outcomes
        places: dict[str, list[Arrived]] = {}
        for item in arrived:
            places.setdefault(item.place, []).append(item)
        try:
            self.home.check()
            self.keep([item for item in arrived if item.part is None or item.row.size <= LARGE])
            failed = list(itertools.chain.from_iterable(itertools.starmap(self.named, places.items())))
            self.home.keep_folders(places)
        except BaseException:
            for item in arrived:
                self.came(item.row)
            raise
        finally:
            for item in arrived:
                os.close(item.fd)
        lost = {outcome.row.path for outcome in failed}
        here = [item for item in arrived if item.row.path not in lost]
        return outcomes + failed + [Outcome(item.row, item.done, self.came(item.row)) for item in here]

    def named(self, place: str, arrived: list[Arrived]) -> Iterator[Outcome]:
        """Give what has arrived in a folder its names, and say what could have none."""
        try:
            folder = self.home.opened(place)
        except (OSError, FileError) as error:
            lost = FileError(f"its folder was moved during the copy ({error}); find out where it is now", passing=True)
            yield from (self.failed(item.before, lost) for item in arrived)
            return
        for item in arrived:
            try:
                if item.part:
                    item.part.name_it(folder, self.overwrite)
                elif not is_there(item, folder):
                    raise FileError("was moved away while it was being compared", passing=True)
            except FileError as error:
                yield self.failed(item.before, error)

    def keep(self, arrived: list[Arrived]) -> None:
        """Make the bytes of files durable; when that fails, none of them is trusted."""
        try:
            if arrived:
                self.home.make_durable([item.fd for item in arrived])
        except DiskError:
            for item in arrived:
                if item.part:
                    item.part.distrust()
            raise

    def hang_up(self) -> None:
        """Wake the threads that wait for bytes, once they are told to stop."""
        for body in list(self.bodies):
            body.hang_up()

    def adopt(self, row: Row) -> Outcome | Arrived:
        """Take a file that is here already for the one of the catalog, if it is."""
        expected = row.checksum
        if self.checked and row.size and not expected:
            expected = self.patience.call(self.place.reader.checksum, At(row.path, row.size))
        kind = checksum_kind(expected, self.checked and row.size > 0)
        fd = self.home.reading(row.path)
        try:
            if not self.is_same(row, fd, kind, expected):
                os.close(fd)
                return self.another(row)
            with contextlib.suppress(PermissionError):  # somebody else's file can still be the right one
                os.utime(fd, (row.mtime, row.mtime))
            self.clear(row)
        except BaseException:
            os.close(fd)
            raise
        same = row._replace(checksum=expected, downloaded=True, verified=kind, error="")
        return Arrived(row, same, "skipped", fd, self.home.place(row.path)[0])

    def clear(self, row: Row) -> None:
        """Remove what an interrupted run has left of a file that is here now."""
        place, name = self.home.place(row.path)
        folder = self.home.folder(place)
        with contextlib.suppress(FileNotFoundError, FileError):  # FileError: another run has it, or it is none
            os.stat(part_name(name), dir_fd=folder.fd, follow_symlinks=False)
            with PartFile(self.home, row, "size") as left:
                left.restart(1)

    def another(self, row: Row) -> Outcome:
        """The outcome for a file that is here and another one: what the catalog has said of it counts no more."""
        old = row._replace(downloaded=False, verified="") if row.downloaded else row
        return Outcome(with_error(old, why_left(row, Action.KEEP, overwrite=False)), "failed", self.came(row))

    def is_same(self, row: Row, fd: int, kind: str, expected: str) -> bool:
        """Whether a file that is here is that of the catalog; by its size alone only if it is not an older one."""

        def seen(remaining: int) -> None:
            self.flying[row.path] = row.size - remaining

        if kind != "size":
            return checksum_of(fd, kind, row.size, seen) == expected
        later = int(os.fstat(fd).st_mtime) - row.mtime
        return not row.size or abs(later) <= COARSE or (later > 0 and not self.checked)

    def attempt(self, row: Row) -> Arrived:
        """Copy once; the row with what is known then."""
        kind = checksum_kind(row.checksum or "adler32:", self.checked)
        with PartFile(self.home, row, kind, self.is_known) as part:
            if part.strange:
                self.strange.add(part.strange)
            part.resume(1 if row.path in self.whole else self.streams)
            earlier = self.received.get(row.path, 0) - part.received()
            said = self.receive_all(row, part, earlier) if part.received() < row.size else ""
            expected = ""
            if part.kind != "size":
                expected = row.checksum or said or self.place.reader.checksum(At(row.path, row.size))
            if expected:
                self.compare(row, part, expected)
            part.arrive()
        verified = checksum_kind(expected, True)
        new = row._replace(checksum=row.checksum or expected, downloaded=True, verified=verified, error="")
        return Arrived(row, new, "copied", part.fd, part.place, part)

    def is_known(self, path: str) -> bool:
        """Whether a path is that of a file of the catalog."""
        return any(path in rows for rows in list(self.catalog.rows.values()))

    def compare(self, row: Row, part: PartFile, expected: str) -> None:
        """Refuse bytes whose checksum is not the door's; the next attempt begins anew."""
        received = part.checksum(checksum_kind(expected, True))
        if received != expected:
            part.restart(1)
            raise Mismatch(
                f"{row.path}: the door says {expected}, but what arrived has {received}; "
                "if this continues ask the site, or take it unverified with --nochecksum",
                passing=True,
            )

    def receive_all(self, row: Row, part: PartFile, earlier: int) -> str:
        """Fetch what is missing of a file, its segments at once; the checksum that the door sends along, or empty.

        In earlier attempts so many bytes more came than the part file now has.
        """
        missing = [segment for segment in part.segments if segment.at() < segment.stop]
        said: list[str] = []
        failures: list[BaseException] = []

        def receive(segment: Segment) -> None:
            try:
                said.append(self.receive(row, part, segment, failures, earlier))
            except BaseException as failure:  # raised again below
                failures.append(failure)

        others = [threading.Thread(target=receive, args=[segment], daemon=True) for segment in missing[1:]]
        alone = [missing[0]]  # those for this thread
        for thread, segment in zip(others, missing[1:]):
            try:
                thread.start()
            except RuntimeError:  # the machine has none left; the others write on
                alone.append(segment)
        for segment in alone:
            receive(segment)
        for thread in others:
            if thread.ident:
                thread.join()
        if failures:
            if row.path in self.whole or any(isinstance(failure, Changed) for failure in failures):
                part.restart(1 if row.path in self.whole else self.streams)
            raise failures[0]
        return next(filter(None, said), "")

    def receive(self, row: Row, part: PartFile, segment: Segment, failures: list[BaseException], earlier: int) -> str:
        """Fetch what is missing of a segment, unless another one fails."""
        at = At(row.path, row.size, part.tag)
        try:
            body = self.place.reader.read(at, segment.at(), segment.stop)
        except NotFound:  # XRootD says so now and then of a file whose checksum it is just making
            self.patience.stopping.wait(1)
            body = self.place.reader.read(at, segment.at(), segment.stop)
        self.bodies.add(body)
        try:
            part.tell(body.tag)
            if body.start != segment.at():
                self.whole.add(row.path)
                raise FileError(f"{row.path}: the door sends the whole file instead of a range", passing=True)
            for data in body.chunks:
                self.is_given = True
                part.add(segment, data[: segment.stop - segment.at()])
                self.flying[row.path] = part.received()
                self.received[row.path] = earlier + part.received()
                if failures or segment.at() == segment.stop:
                    break
                if self.patience.stopping.is_set():
                    raise FileError("interrupted")
        finally:
            self.bodies.discard(body)
            body.close()
        if segment.at() < segment.stop and not failures:
            raise FileError(f"{row.path}: {part.received()} of {row.size} bytes arrived", passing=True)
        return body.checksum
