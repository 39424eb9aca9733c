"""Local files: whose they are, what is here under a name, and replacing one in one step."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import stat
import sys
import time
from collections.abc import Iterable, Iterator
from typing import BinaryIO, NamedTuple, TextIO

from gridsync_parts.errors import DiskError, FileError, GridError
from gridsync_parts.machine import scarcity
from gridsync_parts.values import Row
from gridsync_parts.words import size_text

LOCK_LIMIT = 30.0  # seconds to wait for who changes Grid.conf just now
MARK = ".gridsync-part"  # ends the name of every file of ours that is not finished


def moment() -> int:
    """A number that stands for a tenth of a second: what many look at is looked at once in it."""
    return int(time.monotonic() * 10)


def sync_file(fd: int) -> None:
    """See to it that a file or folder outlives a power failure; macOS needs more for that than fsync."""
    if sys.platform == "darwin":
        import fcntl

        with contextlib.suppress(OSError):  # of a filesystem that has no such call
            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
            return
    os.fsync(fd)


def read_into(fd: int, buffer: memoryview, at: int) -> int:
    """Read from a place of a file; how many bytes. Some systems have no call that needs no copy."""
    if hasattr(os, "preadv"):
        return os.preadv(fd, [buffer], at)
    data = os.pread(fd, len(buffer), at)
    buffer[: len(data)] = data
    return len(data)


def sync_names(folder: str) -> None:
    """See to it that the names in a folder outlive a power failure; some filesystems can't be told."""
    fd = os.open(folder or os.curdir, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            sync_file(fd)
    finally:
        os.close(fd)


def create_anew(path: str) -> int:
    """The descriptor of a new file; what a killed run has left under its name goes, and no link is followed."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)


def is_open(file: os.stat_result) -> bool:
    """Whether others can write a file or folder of the user's; a group that is the user's alone is no others."""
    import grp
    import pwd

    if file.st_mode & 0o002 or not (file.st_mode & 0o020 and file.st_uid):
        return bool(file.st_mode & 0o022)
    try:
        name, group = pwd.getpwuid(file.st_uid).pw_name, grp.getgrgid(file.st_gid)
    except KeyError:
        return True
    return group.gr_name != name or bool({*group.gr_mem} - {name})


def target_of(path: str) -> str:
    """Where a file of the work folder is; links lead there that only the user can have made, and no others."""
    for _ in range(20):
        folder = os.path.dirname(path) or os.curdir
        try:
            leads = os.readlink(path)
        except OSError:
            if os.path.exists(path) and not os.path.isfile(path):
                raise DiskError(f"{path} is not a regular file; remove it") from None
            return os.path.join(os.path.realpath(folder), os.path.basename(path))
        link, home, user = os.lstat(path), os.stat(folder), os.getuid()
        if link.st_uid != user or home.st_uid not in (user, 0) or (is_open(home) and not home.st_mode & stat.S_ISVTX):
            raise DiskError(f"{path} is a link to {leads} that others may have made; remove it")
        path = os.path.join(folder, leads)
    raise DiskError(f"{path} cannot be used: {os.strerror(errno.ELOOP)}; remove it")


@contextlib.contextmanager
def replacing(path: str) -> Iterator[TextIO]:
    """A text file to write, put in place of another in one step; a reader sees the old or the new one."""
    path = target_of(path)
    beside = f"{path}.{os.getpid()}{MARK}"
    try:
        with open(create_anew(beside), "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            with contextlib.suppress(FileNotFoundError):  # it stays as private as it was
                os.fchmod(file.fileno(), stat.S_IMODE(os.stat(path).st_mode))
            yield file
            file.flush()
            sync_file(file.fileno())
        os.replace(beside, path)
        sync_names(os.path.dirname(path))
    except OSError as error:
        raise DiskError(f"{path} cannot be written: {error.strerror}") from error
    finally:  # after Ctrl-C too: what stays would take the room of a whole catalog
        with contextlib.suppress(OSError):
            os.unlink(beside)


def open_regular(path: str, flags: int = 0, folder: int | None = None) -> int:
    """A descriptor to read a file by; ValueError for all that is none, and no FIFO holds it up."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | flags, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ValueError(f"{path} is not a regular file")
    return descriptor


def wait_for_lock(path: str) -> BinaryIO:
    """A lock that is waited for, and held until the file is closed."""
    import fcntl

    ends = time.monotonic() + LOCK_LIMIT
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        file = open(descriptor, "rb", buffering=0)  # noqa: SIM115 - whoever gets it closes it
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return file
            except BlockingIOError:
                if time.monotonic() > ends:
                    raise
                time.sleep(0.02)
    except OSError as error:
        raise DiskError(f"{path} cannot be locked: {error.strerror}; choose another --workdir") from error


def doubt_of(name: str, file: os.stat_result) -> str:
    """Why somebody else may have written a file that was opened, or put it there, and what to do; or nothing."""
    import shlex

    path, user = os.path.realpath(name), os.getuid()
    if file.st_uid != user:
        return f"{path} belongs to another user; copy it into a folder of your own"
    if is_open(file):
        return f"others can write {path}; check what is in it, then chmod go-w {shlex.quote(path)}"
    for folder in (os.path.dirname(path), os.path.dirname(os.path.abspath(name))):
        home = os.stat(folder)
        # In a sticky folder, as /tmp is, others can't give this name to another file of the user's: they can
        # neither take the name away nor move such a file there. Links, though, they could have made.
        is_sticky = home.st_mode & stat.S_ISVTX and file.st_nlink == 1 and not os.path.islink(name)
        if home.st_uid not in (user, 0):
            return f"its folder {folder} belongs to another user; copy it into a folder of your own"
        if is_open(home) and not is_sticky:
            return f"others can write its folder {folder}; check the file, then chmod go-w {shlex.quote(folder)}"
    return ""


def set_aside(path: str) -> str:
    """Move another program's file out of the way, and no other one for it; where to."""
    names = itertools.chain([f"{path}.old"], (f"{path}.old{count}" for count in itertools.count(2)))
    kept = next(name for name in names if not os.path.lexists(name))
    try:
        os.rename(path, kept)
    except OSError as error:
        raise DiskError(f"{path} cannot be set aside: {error.strerror}") from error
    return kept


CHUNK = 1 << 20
GONE = (errno.EIO, errno.ESTALE, errno.ENXIO, errno.ENODEV, errno.ENOTCONN, errno.ETIMEDOUT)  # of a whole disk
NO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS)  # of a filesystem that can't be told to be durable
NAME_MAX = 255  # bytes of a name
COARSE = 2  # seconds that a disk may be wrong in the time of a file, as FAT is


class LocalFile(NamedTuple):
    """What is here under a name."""

    size: int
    mtime: int
    is_file: bool


def disk_error(path: str, error: OSError) -> GridError:
    """The sentence for a write or read that failed; only what concerns the whole disk ends a run."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskError(f"the disk of {os.path.dirname(path)} is full; make room and start again, nothing is lost")
    if error.errno in GONE or error.errno == errno.EROFS:
        return DiskError(f"{path} cannot be used: {error.strerror}; check the disk, then start again")
    return scarcity(error) or FileError(f"{path} cannot be used: {error.strerror}")


def fatal_error(path: str, error: OSError) -> DiskError:
    """The sentence for what ends a run, whatever the disk says."""
    found = disk_error(path, error)
    if isinstance(found, DiskError):
        return found
    return DiskError(f"{path} cannot be used: {error.strerror}; check it, then start again")


def local_file(path: str) -> LocalFile | None:
    """What is here under a name, or None; who can't look there does not know."""
    try:
        found = os.lstat(path)
    except ValueError:
        return None
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
            return None
        raise fatal_error(path, error) from error
    return LocalFile(found.st_size, int(found.st_mtime), stat.S_ISREG(found.st_mode))


def part_name(name: str) -> str:
    """The name of a file while it is copied; one that would be too long is cut, with a digest of all of it."""
    whole = os.fsencode(name)
    if len(whole) + len(MARK) > NAME_MAX:
        import hashlib

        digest = hashlib.sha256(whole).hexdigest()[:16]
        name = whole[: NAME_MAX - len(MARK) - 17].decode("utf-8", "ignore") + f"~{digest}"
    return name + MARK


def free_space(folder: str) -> int:
    """Bytes that the user can still write below a folder, which need not exist yet."""
    while not os.path.isdir(folder) and folder not in ("/", os.curdir):
        folder = os.path.dirname(folder.rstrip("/")) or os.curdir
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def unfit_error(folder: str, done: str, reason: str) -> DiskError:
    """The sentence for an OUTPUTDIR that can't be used."""
    return DiskError(f"OUTPUTDIR {folder} cannot be {done}: {reason}; choose another --output_dir")


def check_writable(folder: str) -> None:
    """Refuse an OUTPUTDIR that can't be written to, or made if it is not there yet."""
    above = folder
    while not os.path.isdir(above):
        if os.path.lexists(above):
            raise unfit_error(folder, "made", os.strerror(errno.ENOTDIR))
        above = os.path.dirname(above.rstrip("/")) or os.curdir
    if not os.access(above, os.W_OK | os.X_OK):
        reason = os.strerror(errno.EROFS if os.statvfs(above).f_flag & os.ST_RDONLY else errno.EACCES)
        raise unfit_error(folder, "written" if above == folder else "made", reason)


def make_writable(folder: str) -> None:
    """Have an OUTPUTDIR that can be written to."""
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise unfit_error(folder, "made", error.strerror or type(error).__name__) from error
    check_writable(folder)


def check_free(folder: str, needed: int) -> None:
    """Refuse what the disk of OUTPUTDIR can't hold."""
    free = free_space(folder)
    if needed > free:
        raise DiskError(
            f"{folder} has {size_text(free)} free, but {size_text(needed)} are needed; "
            "make room, choose another --output_dir, or fetch less with --inc"
        )


def disk_usage(path: str) -> int:
    """Bytes of a file that take up disk; it may have holes."""
    try:
        found = os.lstat(path)
        return min(found.st_size, found.st_blocks * 512)
    except (OSError, ValueError):
        return 0


def part_names(folder: str) -> frozenset[str]:
    """The names in a folder that files have while they are copied."""
    try:
        return frozenset(name for name in os.listdir(folder) if name.endswith(MARK))
    except (OSError, ValueError):
        return frozenset()


def missing_of(output_dir: str, row: Row) -> int:
    """How many bytes of a file are still to come."""
    folder, name = os.path.split(os.path.join(output_dir, row.path))
    return max(0, row.size - disk_usage(os.path.join(folder, part_name(name))))


class Target(NamedTuple):
    """OUTPUTDIR, as whoever decides sees it."""

    folder: str

    def find(self, row: Row) -> LocalFile | None:
        """What is here under a file's name."""
        # os.path.join takes half of lstat's time.
        return local_file(self.folder + "/" * (not self.folder.endswith("/")) + row.path)

    def begun(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Those of the files of which something is here; a folder is looked at once for all that are in it."""
        parts: dict[str, frozenset[str]] = {}
        for row in rows:
            place, _, name = row.path.rpartition("/")
            if place not in parts:
                parts[place] = part_names(os.path.join(self.folder, place))
            if parts[place] and part_name(name) in parts[place]:
                yield row

    def free(self) -> int:
        """Bytes that can still be written."""
        return free_space(self.folder)

    def missing(self, row: Row) -> int:
        """How many bytes of a file are still to come."""
        return missing_of(self.folder, row)


def is_gone(row: Row, here: LocalFile | None) -> bool:
    """Whether what was copied is not here any more."""
    return here is None or not here.is_file or here.size != row.size


def check_copies(folder: str, rows: list[Row]) -> None:
    """Refuse to look for what was copied where there is no folder, or nothing in it."""
    there = [row for row in rows if row.downloaded and row.size]
    if there and not (os.path.isdir(folder) and os.listdir(folder)):
        raise DiskError(
            f"{len(there)} files were copied, but there is nothing in {folder}: is a disk not mounted, or are they "
            "elsewhere (--output_dir)? --overwrite copies them again"
        )
