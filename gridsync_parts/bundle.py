"""The files of a deposit as one zip beside its folder: stored, read back, and removed once the record has it."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Iterator, Sequence

from gridsync_parts.disk import COARSE, MARK, NAME_MAX, disk_error, free_space, open_regular
from gridsync_parts.errors import Changed, FileError, Mismatch, NoRoom
from gridsync_parts.home import rename_new
from gridsync_parts.outbox import ATTRIBUTE, BUNDLE, Local, sign_of
from gridsync_parts.pool import Stop
from gridsync_parts.source import refuse_stopped
from gridsync_parts.values import Seen
from gridsync_parts.words import size_text
from gridsync_parts.zipped import Growing, Member, changed_error, comment_of, counted, fill, look, size_of, verify

ATTEMPTS = 3  # at a zip of files that change meanwhile
PAUSE = 0.2  # seconds between two looks at whether there is room now
BUSY = "another run is at work on it; start again when that is over"


def path_of(name: str, folder: str) -> str:
    """Where the zip of a deposit is built."""
    return os.path.join(os.path.dirname(os.path.abspath(folder)), name + BUNDLE)


def needs_bundle(files: Sequence[Local], above: int) -> bool:
    """Whether a deposit has more files than go by themselves; 0 is no bound."""
    return 0 < above < len(counted(files))


# Room, and who is at work.


def lock(fd: int, shared: bool = False) -> bool:
    """Whether no other run uses it, or, for a shared lock, removes it; from now on none does.

    Where nothing can be locked, it counts as if it was.
    """
    import fcntl

    try:
        fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def no_room(path: str, what: str, needed: int) -> NoRoom:
    """The sentence for a disk that can't hold a zip."""
    return NoRoom(
        f"{what}, but {size_text(needed)} are needed for {os.path.basename(path)}; make room there, have the deposit "
        "on another disk, or send its files by themselves with ZIP_ABOVE = 0"
    )


class Room:
    """The room on the disks where zips are built: one for all builders, and the zips that wait to be sent."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.owed: dict[str, int] = {}  # bytes that are still to be written, by zip
        self.held: dict[str, int] = {}  # descriptors of finished zips, locked as long as this run needs them

    def beside(self, path: str) -> list[str]:
        """The other zips on its disk."""
        device = os.stat(os.path.dirname(path)).st_dev
        others = [other for other in (*self.owed, *self.held) if other != path]
        return [other for other in others if os.stat(os.path.dirname(other)).st_dev == device]

    def take(self, path: str, needed: int, stop: Stop) -> None:
        """Have room for a zip, once others are sent and gone if need be; NoRoom if that will not do."""
        folder = os.path.dirname(path)
        while True:
            with self.lock:
                others = self.beside(path)
                free = free_space(folder) - sum(self.owed.get(other, 0) for other in others)
                if needed <= free:
                    self.owed[path] = needed
                    return
            if not others:
                raise no_room(path, f"{folder} has {size_text(max(0, free))} free", needed)
            stop.wait(PAUSE)
            refuse_stopped(stop)

    def hold(self, path: str, fd: int) -> None:
        """Keep a finished zip from being removed by other runs."""
        with self.lock:
            self.owed.pop(path, None)
            self.held[path] = fd

    def free(self, path: str) -> None:
        """A zip is not needed by this run any more, sent or not."""
        with self.lock:
            self.owed.pop(path, None)
            fd = self.held.pop(path, -1)
        if fd >= 0:
            os.close(fd)


def build_error(path: str, error: OSError, needed: int) -> FileError:
    """The sentence for a zip that could not be written."""
    folder = os.path.dirname(path)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return no_room(path, f"the disk of {folder} is full", needed)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return FileError(
            f"{folder} cannot be written: {error.strerror}, but {os.path.basename(path)} is built there; allow it, "
            "have the deposit elsewhere, or send its files by themselves with ZIP_ABOVE = 0"
        )
    return FileError(str(disk_error(path, error)))


def in_the_way(path: str) -> FileError:
    """The sentence for another one's file."""
    return FileError(f"{path}: is not a zip that gridsync has built, and is in the way of one; move it away")


def is_named(path: str, fd: int) -> bool:
    """Whether an open file has this name."""
    with contextlib.suppress(OSError):
        return os.path.samestat(os.lstat(path), os.fstat(fd))
    return False


# The file under both its names.


def sweep_one(part: str) -> None:
    """Remove what a killed run has left under the name of an unfinished zip."""
    try:
        fd = open_regular(part, os.O_NOFOLLOW)
    except (OSError, ValueError):
        return
    try:
        if lock(fd) and is_named(part, fd):
            os.unlink(part)
    finally:
        os.close(fd)


@contextlib.contextmanager
def part_of(path: str) -> Iterator[int]:
    """A new file of ours alone under the name that a zip has while it grows; what killed runs have left goes.

    It is gone in the end, unless it has another name by then.
    """
    part, flags = path + MARK, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    if len(os.fsencode(os.path.basename(part))) > NAME_MAX:
        raise FileError(f"{os.path.basename(path)} would be too long a name; give the deposit a shorter one")
    while True:
        sweep_one(part)
        try:
            fd = os.open(part, flags | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            if os.path.islink(part) or not os.path.isfile(part):
                raise FileError(f"{part}: is a link or not a regular file; remove it") from None
            raise FileError(f"{path}: {BUSY}", passing=True) from None
        if lock(fd) and is_named(part, fd):
            break
        os.close(fd)  # another run was faster
    try:
        yield fd
    except BaseException:
        if is_named(part, fd):
            with contextlib.suppress(OSError):
                os.unlink(part)
        os.close(fd)
        raise


def sweep(folder: str) -> None:
    """Remove what killed runs have left of unfinished zips in a folder, of whatever deposits."""
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            if name.endswith(BUNDLE + MARK):
                with contextlib.suppress(OSError):
                    sweep_one(os.path.join(folder, name))


def open_own(path: str) -> int:
    """The descriptor of a finished zip of ours, -1 if there is none; a file of somebody else's is in the way."""
    try:
        fd = open_regular(path, os.O_NOFOLLOW)
    except FileNotFoundError:
        return -1
    except (OSError, ValueError):
        raise in_the_way(path) from None
    if sign_of(fd):
        return fd
    os.close(fd)
    raise in_the_way(path)


def remove_own(path: str, fd: int) -> bool:
    """Remove a finished zip, unless another run needs it."""
    if not lock(fd):
        return False
    if is_named(path, fd):
        os.unlink(path)
    return True


def clear(path: str, room: Room) -> str:
    """Remove a zip of ours that nobody needs any more; a sentence if that fails."""
    try:
        fd = room.held.get(path, -1)
        if fd >= 0:
            remove_own(path, fd)
        elif (fd := open_own(path)) >= 0:
            try:
                remove_own(path, fd)
            finally:
                os.close(fd)
    except OSError as error:
        return f"{path} cannot be removed: {error.strerror}; it is not needed any more"
    except FileError:
        pass  # it is none of ours
    finally:
        room.free(path)
    return ""


# The whole of it.


def local_of(path: str, fd: int, checksum: str) -> Local:
    """The zip as a file that is to be sent."""
    found = os.fstat(fd)
    return Local(os.path.basename(path), path, found.st_size, int(found.st_mtime), checksum)


def take_up(path: str, members: Sequence[Member], room: Room, stop: Stop) -> Local | None:
    """The finished zip of an earlier run, if it is of these files as they are now; another one of ours goes."""
    if (fd := open_own(path)) < 0:
        return None
    is_kept = False
    try:
        if not lock(fd, shared=True) or not is_named(path, fd):
            raise FileError(f"{path}: {BUSY}", passing=True)
        # A file that has changed since it was read, but in the same moment of a coarse disk, would look as it was.
        last = os.fstat(fd).st_ctime_ns - COARSE * 10**9
        if sign_of(fd) == comment_of(members) and all(member.mtime < last for member in members):
            with contextlib.suppress(Mismatch):
                found = local_of(path, fd, verify(fd, members, stop))
                room.hold(path, fd)
                is_kept = True
                return found
        if not remove_own(path, fd):
            raise FileError(f"{path}: {BUSY}", passing=True)
        return None
    except OSError as error:
        raise build_error(path, error, 0) from error
    finally:
        if not is_kept:
            os.close(fd)


def finish(path: str, fd: int, members: Sequence[Member]) -> None:
    """Give a verified zip its name."""
    newest = max((member.mtime for member in members), default=0)
    os.utime(fd, ns=(newest, newest))
    with contextlib.suppress(OSError, AttributeError):  # there are disks and systems without
        os.setxattr(fd, ATTRIBUTE, b"bundle")
    folder, name = os.path.split(path)
    place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        rename_new(place, name + MARK, name)
    except FileExistsError:
        raise in_the_way(path) from None
    finally:
        os.close(place)
    lock(fd, shared=True)


def build(path: str, folder: str, files: Sequence[Local], room: Room, stop: Stop, seen: Seen) -> Local:
    """Build the zip anew."""
    members = look(files)
    needed = size_of(members)

    def written(count: int) -> None:
        room.owed[path] = max(0, needed - count)
        seen(count, count)

    try:
        with part_of(path) as fd:
            room.take(path, needed, stop)
            stream = Growing(fd, written)
            fill(stream, members, folder, stop)
            stream.settle()
            if look(files) != members:
                raise changed_error(folder)
            found = verify(fd, members, stop)
            if found != stream.sum.text():
                raise Mismatch("it has another md5")
            finish(path, fd, members)
            room.hold(path, fd)
            return local_of(path, fd, found)
    except Mismatch as error:
        said = f"is not on the disk as it was written: {error}; check the disk"
        raise Mismatch(f"{path}: {said}", passing=True) from error
    except OSError as error:
        raise build_error(path, error, needed) from error
    finally:
        if path not in room.held:
            room.free(path)


def bundle(name: str, folder: str, files: Sequence[Local], room: Room, stop: Stop, seen: Seen) -> Local:
    """The zip of a deposit, built or taken up, which is this run's until `clear` or `Room.free` says otherwise."""
    path = path_of(name, folder)
    for attempt in range(ATTEMPTS):
        try:
            return take_up(path, look(files), room, stop) or build(path, folder, files, room, stop, seen)
        except Changed as error:
            if attempt == ATTEMPTS - 1:
                raise FileError(f"{error}, {ATTEMPTS} times; start again when nobody writes to {folder}") from error
    raise AssertionError  # it has returned, or raised
