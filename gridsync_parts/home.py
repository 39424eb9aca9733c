"""OUTPUTDIR. What is written below it goes through descriptors of folders, one below the other: no link is followed."""

from __future__ import annotations

import contextlib
import errno
import functools
import math
import os
import re
import sys
import threading
import time
from collections.abc import Iterable
from typing import Any, Callable, cast

from gridsync_parts.disk import MARK, NAME_MAX, NO_SYNC, disk_error, fatal_error, sync_file
from gridsync_parts.errors import DiskError, FileError, UsageError
from gridsync_parts.machine import FOLDERS_HELD, scarcity
from gridsync_parts.words import is_path

NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EACCES)  # of one without hard links
STATE_NAMES = {  # of a work folder: what a site puts there would be obeyed
    "grid.conf", "grid.conf.lock", "grid_summary.csv", "grid_summary.csv.lock", "grid_folders.txt",
    "grid_uploads.csv", "grid_records.txt",
}  # fmt: skip
RENAME_NOREPLACE = 1
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
MANY = 8  # files that are worth a synchronisation of the whole disk, which may be busy with other things


def refuse_state(option: str, path: str) -> None:
    """Refuse a name that gridsync itself has for something else, whether such a file is there yet or not."""
    if os.path.basename(path).lower() in STATE_NAMES:
        raise UsageError(f"{option}={path}: the name is that of one of gridsync's own files; name another file")


class Folder:
    """A folder that is held open: what somebody puts in its place is another one."""

    def __init__(self, fd: int):
        self.fd = fd

    def __del__(self) -> None:
        os.close(self.fd)


@functools.cache
def whole_sync(device: int) -> Callable[[int], int] | None:
    """What makes a whole filesystem durable in one call that tells of each write that has failed, if there is such."""
    release = re.match(r"(\d+)\.(\d+)", os.uname().release)
    if sys.platform != "linux" or not release or (int(release[1]), int(release[2])) < (5, 8):
        return None
    place = f"{os.major(device)}:{os.minor(device)}"
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as file:
            mounts = [line.split() for line in file]
    except OSError:
        return None
    if not {mount[mount.index("-") + 1] for mount in mounts if mount[2] == place} & {"ext3", "ext4", "xfs"}:
        return None
    import ctypes

    call: Callable[[int], int] = ctypes.CDLL(None, use_errno=True).syncfs
    return call


def place_of(path: str) -> tuple[str, str]:
    """Folder and name of a file of the catalog; never outside OUTPUTDIR, whatever the door says."""
    if not is_path(path):
        raise FileError(f"{path}: the name leads out of OUTPUTDIR and is refused")
    if MARK in path and any(part.endswith(MARK) for part in path.split("/")):
        raise FileError(f"{path}: the name ends like that of an unfinished copy and is refused; ask the site")
    folder, _, name = path.rpartition("/")
    if name.lower() in STATE_NAMES:
        raise FileError(f"{path}: the name is that of one of gridsync's own files and is refused; ask the site")
    if len(os.fsencode(name)) > NAME_MAX:
        raise FileError(f"{path}: the name is longer than {NAME_MAX} bytes, too long for any disk; ask the site")
    return folder, name


def names_in(folder: int) -> list[str]:
    """The names in a folder, by a descriptor of its own: of threads that list by one, each goes on where another is."""
    own = os.open(".", FOLDER, dir_fd=folder)
    try:
        return os.listdir(own)
    finally:
        os.close(own)


class Home:
    """OUTPUTDIR, which may be a link, and the folders below it, which may not."""

    def __init__(self, path: str):
        self.path = path
        try:
            self.top = Folder(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        except OSError as error:
            other = DiskError(f"OUTPUTDIR {path} cannot be used: {error.strerror}; choose another --output_dir")
            raise scarcity(error) or other from error
        self.stat = os.fstat(self.top.fd)
        self.devices: dict[str, int] = {}  # on which the folders are
        self.held: dict[str, Folder] = {}  # as one file follows another in the same folder
        self.strange: set[str] = set()  # files of which it is not clear whose they are
        self.passing: dict[str, tuple[float, frozenset[str]]] = {}  # names that others have left, by folder, and when
        self.grown: set[str] = set()  # folders in which others were made, which is not durable yet
        self.sync_all = whole_sync(self.stat.st_dev)
        self.syncing = threading.Lock()  # a failure is told once, and concerns all that wait

    def check(self) -> None:
        """End the run when OUTPUTDIR is no more what it was: without its disk, files would fill that of the system."""
        with contextlib.suppress(OSError):
            if os.path.samestat(os.stat(self.path), self.stat):
                return
        raise DiskError(f"the disk of {self.path} is gone; mount it and start again, nothing is lost")

    def place(self, path: str) -> tuple[str, str]:
        """Folder and name of a file of the catalog."""
        return place_of(path)

    def folder(self, path: str) -> Folder:
        """A folder to write into, made if it is not there."""
        held = self.held.get(path)
        if held is None:
            held = self.opened(path, is_made=True)
            if len(self.held) >= FOLDERS_HELD:
                self.held.clear()
            self.held[path] = held
        return held

    def left_names(self, path: str, folder: int, age: float = math.inf) -> frozenset[str]:
        """Names in a folder that other workers had for a moment, or earlier versions have left; so old at the most.

        A folder may be large, and have many files that this is asked of.
        """
        listed, names = self.passing.get(path, (-math.inf, frozenset()))
        if time.monotonic() - listed >= age:
            names = frozenset(name for name in names_in(folder) if name.endswith((MARK + MARK, ".part")))
            if len(self.passing) >= FOLDERS_HELD:
                self.passing.clear()
            self.passing[path] = time.monotonic(), names
        return names

    def opened(self, path: str, is_made: bool = False) -> Folder:
        """A folder as it is now, opened step by step."""
        here, above = self.top, ""
        for name in filter(None, path.split("/")):
            here, above = self.step(here, above, name, is_made), f"{above}/{name}"
        device = os.fstat(here.fd).st_dev
        if self.devices.setdefault(path, device) != device:
            raise DiskError(f"the disk of {self.full(path)} is gone; mount it and start again, nothing is lost")
        return here

    def step(self, here: Folder, above: str, name: str, is_made: bool) -> Folder:
        """A folder in a folder."""
        try:
            if is_made:
                with contextlib.suppress(FileNotFoundError):
                    return Folder(os.open(name, FOLDER, dir_fd=here.fd))
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, dir_fd=here.fd)
                self.grown.add(above.strip("/"))
            return Folder(os.open(name, FOLDER, dir_fd=here.fd))
        except NotADirectoryError as error:
            place = f"{self.path.rstrip('/')}{above}/{name}"
            if os.path.islink(place):
                raise FileError(
                    f"{place}: a link in OUTPUTDIR leads to {os.path.realpath(place)}; "
                    "remove it, or fetch into that folder"
                ) from error
            raise

    def reading(self, path: str) -> int:
        """The descriptor of a file that is here."""
        place, name = self.place(path)
        try:
            folder = self.opened(place)
            return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder.fd)
        except OSError as error:
            raise disk_error(self.full(path), error) from error

    def full(self, path: str) -> str:
        """The whole name of a file of the catalog, for sentences."""
        return os.path.join(self.path, path)

    def keep_folders(self, paths: Iterable[str]) -> None:
        """Make durable which files and folders are in these folders, and in those in which others were made."""
        there = {*paths, *(self.grown.pop() for _ in range(len(self.grown)))}
        self.held.clear()
        devices = {self.devices[path] for path in there.intersection(self.devices)}
        if len(there) >= MANY and self.is_synced_whole(devices):
            return
        for path in there:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError, FileError):  # it has gone, with all in it
                folder = self.opened(path)
                self.make_durable([folder.fd])

    def is_synced_whole(self, devices: set[int]) -> bool:
        """Whether all of the disk has been made durable in one step, as can be done if it is the one of these files."""
        with self.syncing:
            if self.sync_all and devices == {self.stat.st_dev} and self.sync_all(self.top.fd):
                self.sync_all = None  # now each file has to say whether it is the one
            return bool(self.sync_all) and devices == {self.stat.st_dev}

    def make_durable(self, fds: list[int]) -> None:
        """See to it that files or folders outlive a power failure."""
        if len(fds) >= MANY and self.is_synced_whole({os.fstat(fd).st_dev for fd in fds}):
            return
        for fd in fds:
            try:
                sync_file(fd)
            except OSError as error:
                if error.errno not in NO_SYNC:
                    raise fatal_error(self.path, error) from error


@functools.cache
def renamer() -> Callable[[int, bytes, int, bytes, int], int] | None:
    """What gives a file another name unless there is one of it, in one step; some systems have no such call."""
    import ctypes

    call: Any = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call:
        call.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
    return cast("Callable[[int, bytes, int, bytes, int], int] | None", call)


def rename_new(folder: int, old: str, new: str) -> None:
    """Give a file in a folder a name that no other file has; FileExistsError if one has."""
    import ctypes

    if call := renamer():
        if not call(folder, os.fsencode(old), folder, os.fsencode(new), RENAME_NOREPLACE):
            return
        if ctypes.get_errno() not in (errno.EINVAL, errno.ENOSYS):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    here = {"src_dir_fd": folder, "dst_dir_fd": folder}
    try:
        os.link(old, new, follow_symlinks=False, **here)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        with contextlib.suppress(FileNotFoundError):  # neither way: then a moment remains in which one may appear
            os.stat(new, dir_fd=folder, follow_symlinks=False)
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from error
        os.replace(old, new, **here)
    else:
        os.unlink(old, dir_fd=folder)
