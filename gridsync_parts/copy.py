"""One file, from its first byte until it is verified, durable and has its name: the same in each process."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
from collections.abc import Generator, Iterator
from typing import Callable, NamedTuple

from gridsync_parts.checksums import checksum_kind, checksum_of
from gridsync_parts.convoy import Asked, Steps, result_of
from gridsync_parts.disk import COARSE, disk_error, local_file, part_name
from gridsync_parts.doors import AheadReader, At, Body, Place, read_twice
from gridsync_parts.errors import (
    Changed,
    DiskError,
    DoorError,
    FileError,
    GridError,
    Mismatch,
    NoRanges,
    NotFound,
    OnTape,
    PoolError,
    drop_frames,
)
from gridsync_parts.home import Folder, Home
from gridsync_parts.ownfile import unmark
from gridsync_parts.partfile import LARGE, PartFile
from gridsync_parts.pool import Stop
from gridsync_parts.segments import Segment
from gridsync_parts.values import Action, Locality, Outcome, Row, Seen, failed_outcome, place_row, why_left, with_error
from gridsync_parts.walk import judge


class Copy(NamedTuple):
    """What is to be done for one file: plain values, for whatever process does it."""

    row: Row
    folder: str  # OUTPUTDIR
    streams: int = 1
    checked: bool = True  # by a checksum, where there is one
    overwrite: bool = False
    has_ranges: bool = True  # the door sends parts of it
    is_here: bool = False  # a local file may be it, and is to be compared
    has_twin: bool = False  # NAME.part is the name of another file of the catalog
    is_far: bool = False  # a worker does it, on a disk that others write to: locks prove nothing there
    is_lost: bool = False  # a worker that is not heard of any more may still write to its part file


class Arrived(NamedTuple):
    """A file that is here and verified, and has still to be made durable."""

    job: Copy
    row: Row
    done: str  # copied, skipped
    fd: int
    place: str  # its folder
    part: PartFile | None = None  # which is to have its name then


# Fetching.


def open_ahead(reader: AheadReader, at: At, stop: Stop) -> Generator[Asked, None, Body | None]:
    """A whole file whose request goes ahead of the answer; None if it is to be asked for once more."""
    steps = reader.read_ahead(at, 0, at.size)
    while True:
        try:
            asked = next(steps)
        except StopIteration as opened:
            body: Body = opened.value
            return body
        except NotFound:
            return None
        stop.bodies.add(asked)
        try:
            yield asked
        finally:
            stop.bodies.discard(asked)
        if stop.is_set():
            raise FileError("interrupted")


def open_body(place: Place, part: PartFile, segment: Segment, stop: Stop) -> Body:
    """What is missing of a segment."""
    at = At(part.row.path, part.row.size, part.tag)
    return read_twice(place.reader, at, segment.at(), segment.stop, stop.wait)


def receive(
    job: Copy, body: Body, part: PartFile, segment: Segment, failures: list[BaseException], seen: Seen, stop: Stop
) -> str:
    """Take in what comes of a segment, unless another one fails; the checksum that the door sends along, or empty."""
    row = job.row
    stop.bodies.add(body)
    try:
        part.tell(body.tag)
        if body.start != segment.at():
            raise NoRanges(f"{row.path}: the door sends the whole file instead of a range", passing=True)
        for data in body.chunks:
            part.add(segment, data[: segment.stop - segment.at()])
            here = part.received()
            seen(here, here - part.earlier)
            if failures or segment.at() == segment.stop:
                break
            if stop.is_set():
                raise FileError("interrupted")
    finally:
        stop.bodies.discard(body)
        body.close()
    if segment.at() < segment.stop and not failures:
        raise FileError(f"{row.path}: {part.received()} of {row.size} bytes arrived", passing=True)
    return body.checksum


def receive_all(job: Copy, place: Place, part: PartFile, seen: Seen, stop: Stop, opened: Body | None = None) -> str:
    """Fetch what is missing of a file, its segments at once; the checksum that the door sends along, or empty."""
    missing = [segment for segment in part.segments if segment.at() < segment.stop]
    said: list[str] = []
    failures: list[BaseException] = []

    def receive_one(segment: Segment) -> None:
        try:
            body = opened or open_body(place, part, segment, stop)
            said.append(receive(job, body, part, segment, failures, seen, stop))
        except BaseException as failure:  # raised again below
            failures.append(failure)

    others = [threading.Thread(target=receive_one, args=[segment], daemon=True) for segment in missing[1:]]
    alone = [missing[0]]  # those for this thread
    for thread, segment in zip(others, missing[1:]):
        try:
            thread.start()
        except RuntimeError:  # the machine has none left; the others write on
            alone.append(segment)
    for segment in alone:
        receive_one(segment)
    for thread in others:
        if thread.ident:
            thread.join()
    if failures:
        if not job.has_ranges or any(isinstance(failure, (Changed, NoRanges)) for failure in failures):
            part.restart(1)
        raise failures[0]
    return next(filter(None, said), "")


def compare(row: Row, part: PartFile, expected: str) -> None:
    """Refuse bytes whose checksum is not the door's; the next attempt begins anew."""
    received = part.checksum(checksum_kind(expected, True))
    if received != expected:
        part.restart(1)
        raise Mismatch(
            f"{row.path}: the door says {expected}, but what arrived has {received}; "
            "if this continues ask the site, or take it unverified with --nochecksum",
            passing=True,
        )


def is_done(job: Copy, home: Home) -> bool:
    """Whether another worker has finished a file meanwhile, as far as its size and time tell."""
    if not job.is_far or job.overwrite:
        return False
    found = local_file(home.full(job.row.path))
    return found is not None and found == (job.row.size, job.row.mtime, True)


@contextlib.contextmanager
def giving_way(job: Copy, part: PartFile, home: Home) -> Iterator[None]:
    """Leave nothing of a file that another worker has finished, and do not begin with it."""
    try:
        if is_done(job, home):
            raise FileError(f"{job.row.path}: another worker has finished it", passing=True)
        yield
    except BaseException:
        if is_done(job, home):
            part.file.remove()
        raise


def fetch(job: Copy, place: Place, seen: Seen, stop: Stop, home: Home, ahead: AheadReader | None = None) -> Steps:
    """Have a file come into its part file, and verify it; it has arrived then. A small one is asked for ahead."""
    row, kind = job.row, checksum_kind(job.row.checksum or "adler32:", job.checked)
    with PartFile(home, row, kind, job.has_twin, job.is_far, job.is_lost) as part, giving_way(job, part, home):
        part.resume(job.streams if job.has_ranges else 1)
        said, opened = "", None
        if ahead and row.size and not part.received():
            opened = yield from open_ahead(ahead, At(row.path, row.size), stop)
        if part.received() < row.size:
            said = receive_all(job, place, part, seen, stop, opened)
        expected = computed = ""
        if part.kind != "size":
            expected = row.checksum or said or place.reader.checksum(At(row.path, row.size))
        if expected:
            compare(row, part, expected)
        elif part.kind != "size":
            computed = part.checksum(part.kind)
        part.arrive()
    known, verified = row.checksum or expected, checksum_kind(expected, True)
    new = row._replace(checksum=known, downloaded=True, verified=verified, error="", computed=computed)
    return Arrived(job, new, "copied", part.file.fd, part.file.place, part)


# Adopting.


def is_same(job: Copy, fd: int, kind: str, expected: str, seen: Seen) -> bool:
    """Whether a file that is here is that of the catalog; by its size alone only if it is not an older one."""
    row = job.row
    if kind != "size":
        return checksum_of(fd, kind, row.size, lambda remaining: seen(row.size - remaining, 0)) == expected
    later = int(os.fstat(fd).st_mtime) - row.mtime
    return not row.size or abs(later) <= COARSE or (later > 0 and not job.checked)


def leave_alone(row: Row) -> Outcome:
    """Leave what is here and another file: what the catalog has said of it counts no more."""
    old = row._replace(downloaded=False, verified="") if row.downloaded else row
    return Outcome(with_error(old, why_left(row, Action.KEEP, overwrite=False)), "failed")


def clear(row: Row, home: Home, is_lost: bool) -> None:
    """Remove what an interrupted run has left of a file that is here now; a lost worker may write on, to no name."""
    place, name = home.place(row.path)
    folder = home.folder(place)
    with contextlib.suppress(FileNotFoundError, FileError):  # FileError: another run has it, or it is none
        os.stat(part_name(name), dir_fd=folder.fd, follow_symlinks=False)
        if is_lost:
            os.unlink(part_name(name), dir_fd=folder.fd)
            return
        with PartFile(home, row, "size") as left:
            left.restart(1)


def adopt(job: Copy, place: Place, seen: Seen, home: Home) -> Arrived | Outcome:
    """Take a file that is here already for the one of the catalog, if it is."""
    row, expected = job.row, job.row.checksum
    if job.checked and row.size and not expected:
        expected = place.reader.checksum(At(row.path, row.size))
    kind = checksum_kind(expected, job.checked and row.size > 0)
    computed = row.computed if job.checked and kind == "size" else ""
    fd = home.reading(row.path)
    try:
        if not is_same(job, fd, checksum_kind(computed, True) if computed else kind, computed or expected, seen):
            os.close(fd)
            return leave_alone(row)
        with contextlib.suppress(PermissionError):  # somebody else's file can still be the right one
            os.utime(fd, (row.mtime, row.mtime))
        clear(row, home, job.is_lost)
        if not job.is_here:  # another worker has just finished it, and may never come to this
            unmark(fd)
    except BaseException:
        os.close(fd)
        raise
    same = row._replace(checksum=expected, downloaded=True, verified=kind, error="", computed=computed)
    return Arrived(job, same, "skipped" if job.is_here else "copied", fd, home.place(row.path)[0])


# Both, and what follows.


def bring_in_steps(
    job: Copy, place: Place, seen: Seen, stop: Stop, home: Home, ahead: AheadReader | None = None
) -> Steps:
    """Have a file here, verified and without its name, or say why not; what may pass is raised."""
    if job.is_here or is_done(job, home):
        return adopt(job, place, seen, home)
    return (yield from fetch(job, place, seen, stop, home, ahead))


def bring(job: Copy, place: Place, seen: Seen, stop: Stop, home: Home) -> Arrived | Outcome:
    """The same in a thread of its own."""
    item: Arrived | Outcome = result_of(bring_in_steps(job, place, seen, stop, home))
    return item


def give_up(row: Row, place: Place, error: Exception, stop: Stop, home: Home) -> Outcome:
    """Say what became of a file that could not be brought; what concerns all files is raised."""
    if isinstance(error, (FileError, DoorError)):
        if stop.is_set():
            return Outcome(row, "interrupted")
        home.check()
        if isinstance(error, OnTape) and row.locality is not Locality.NEARLINE:
            return Outcome(place_row(row, Locality.NEARLINE), "waiting", fault=drop_frames(error))
        done = "late" if isinstance(error, PoolError) and error.passing else "failed"
        return failed_outcome(row, judge(place.lister, row.path, error))._replace(done=done)
    if isinstance(error, ValueError):  # a name, say, that the locale can't write
        return failed_outcome(row, FileError(str(error)))
    if isinstance(error, OSError):
        found = disk_error(home.full(row.path), error)
        if isinstance(found, FileError):
            return failed_outcome(row, found)
        raise found from error
    raise error


def is_there(item: Arrived, folder: Folder) -> bool:
    """Whether a file that was compared still has its name."""
    with contextlib.suppress(OSError):
        there = os.stat(item.row.path.rpartition("/")[2], dir_fd=folder.fd, follow_symlinks=False)
        return os.path.samestat(os.fstat(item.fd), there)
    return False


def name_all(place: str, arrived: list[Arrived], home: Home) -> Iterator[Outcome]:
    """Give what has arrived in a folder its names, and say what could have none."""
    try:
        folder = home.opened(place)
    except (OSError, FileError) as error:
        lost = FileError(f"its folder was moved during the copy ({error}); find out where it is now", passing=True)
        yield from (failed_outcome(item.job.row, lost) for item in arrived)
        return
    for item in arrived:
        try:
            if item.part:
                item.part.file.name_it(folder, item.job.overwrite)
            elif not is_there(item, folder):
                raise FileError("was moved away while it was being compared", passing=True)
        except FileError as error:
            yield failed_outcome(item.job.row, error)


def keep(arrived: list[Arrived], home: Home) -> None:
    """Make the bytes of files durable; when that fails, none of them is trusted."""
    try:
        if arrived:
            home.make_durable([item.fd for item in arrived])
    except DiskError:
        for item in arrived:
            if item.part:
                item.part.distrust()
        raise


def abandon(items: list[Arrived], home: Home) -> None:
    """Let go of what has arrived and is to have no name."""
    for item in items:
        with contextlib.suppress(OSError, GridError):
            if item.part and is_done(item.job, home):
                item.part.file.remove(home.opened(item.place))
        item.part.leave() if item.part else os.close(item.fd)


def settle(items: list[Arrived], home: Home, count: Callable[[Row], int] = lambda row: 0) -> list[Outcome]:
    """Make what has arrived durable together: the files, then their names, then the folders that these are in."""
    places: dict[str, list[Arrived]] = {}
    for item in items:
        places.setdefault(item.place, []).append(item)
    try:
        home.check()
        keep([item for item in items if item.part is None or item.row.size <= LARGE], home)
        lost = list(itertools.chain.from_iterable(name_all(place, some, home) for place, some in places.items()))
        home.keep_folders(places)
    finally:
        for item in items:
            os.close(item.fd)
    paths = {outcome.row.path for outcome in lost}
    return [outcome._replace(received=count(outcome.row)) for outcome in lost] + [
        Outcome(item.row, item.done, count(item.row)) for item in items if item.row.path not in paths
    ]


def copy(job: Copy, place: Place, seen: Seen, stop: Stop) -> Outcome:
    """Copy one file, once: whoever wants it tried again calls again."""
    home = Home(job.folder)
    try:
        item = bring(job, place, seen, stop, home)
    except Exception as error:
        return give_up(job.row, place, error, stop, home)
    return item if isinstance(item, Outcome) else settle([item], home)[0]
