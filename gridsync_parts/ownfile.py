"""A file that one process alone writes to, under a name that ends in MARK until it takes its own."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator

from gridsync_parts.disk import CHUNK, MARK, disk_error, part_name
from gridsync_parts.errors import FileError
from gridsync_parts.home import NO_LINKS, Folder, Home, rename_new
from gridsync_parts.segments import OLD_END, is_old_table
from gridsync_parts.takeover import take_over
from gridsync_parts.values import Row

# A part file that has this bit was made by who has taken over another one: nobody else ever writes to it, not even who
# was lost and comes to the file now. Whoever finds it copies it once more.
HEIR = stat.S_IXUSR
FRESH = 10.0  # seconds for which what a folder has is known
WRITTEN = 96 << 10  # bytes of one write; why, write() says
READING = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@contextlib.contextmanager
def reading(name: str, folder: int) -> Iterator[int]:
    """A descriptor to read a file in a folder by."""
    fd = os.open(name, READING, dir_fd=folder)
    try:
        yield fd
    finally:
        os.close(fd)


def own_stem(name: str) -> str:
    """What begins each name that a worker gives the part file of a file for a moment."""
    import hashlib

    return hashlib.sha256(os.fsencode(name)).hexdigest()[:16]


def own_name(name: str) -> str:
    """Such a name, which no other worker has; as it ends in two of MARK it is no file's part name."""
    import secrets

    return f"{own_stem(name)}.{secrets.token_hex(4)}{MARK}{MARK}"


def unmark(fd: int) -> None:
    """Take away from a file what only a part file has."""
    with contextlib.suppress(OSError):
        mode = os.fstat(fd).st_mode
        if mode & HEIR:
            os.fchmod(fd, stat.S_IMODE(mode & ~HEIR))


class OwnFile:
    """A file that only this run writes to, under a name that ends in MARK until it takes its own."""

    def __init__(self, home: Home, row: Row, has_twin: bool, is_far: bool = False, is_lost: bool = False):
        self.home = home
        self.row = row
        self.place, self.name = home.place(row.path)
        self.has_twin = has_twin  # NAME.part is the name of another file of the catalog
        self.is_far = is_far  # it is a worker's, and locks prove nothing
        self.is_lost = is_lost  # another worker may still write to the one that has its name
        self.folder: Folder | None = None
        self.fd = -1
        self.is_locked = True  # else another run may write to it, too

    @property
    def final(self) -> str:
        """The whole name that it is to have, for sentences."""
        return self.home.full(self.row.path)

    def open(self) -> None:
        """Have it open, made if it is not there, and locked."""
        try:
            self.folder = self.home.folder(self.place)
            how = self.taken if self.is_lost else self.opened
            try:
                self.fd = how(self.folder.fd)
            except FileNotFoundError:  # the folder is not there any more
                self.home.held.clear()
                self.folder = self.home.folder(self.place)
                self.fd = how(self.folder.fd)
        except OSError as error:
            raise disk_error(self.final, error) from error
        if not self.is_ours():
            os.close(self.fd)
            raise FileError(f"{self.final}: another run is copying it", passing=True)

    def opened(self, folder: int) -> int:
        """The descriptor of the file, which is no link and no device."""
        name, flags = part_name(self.name), os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK
        for _ in range(2):
            with contextlib.suppress(FileExistsError):
                if f"{self.name}.part" in self.home.left_names(self.place, folder):
                    self.take_over(name)
                return os.open(name, flags | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=folder)
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if found.st_nlink > 1 and not self.is_named(found):
                self.home.passing.clear()
                self.sweep(folder)
                found = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if not stat.S_ISREG(found.st_mode) or (found.st_nlink > 1 and not self.is_named(found)):
                break
            fd = os.open(name, flags, dir_fd=folder)
            if os.path.samestat(os.fstat(fd), found) and found.st_nlink == 1 and found.st_uid == os.geteuid():
                return self.taken(folder, fd) if found.st_mode & HEIR else fd
            # A run was killed between its two names, or it is somebody else's, whose time could not be set.
            self.drop(fd, found, name)
        raise self.wrong_kind(name)

    def wrong_kind(self, name: str) -> FileError:
        """The sentence for what is in its place."""
        path = os.path.join(os.path.dirname(self.final), name)
        return FileError(f"{path} is a link or not a regular file; remove it")

    def taken(self, folder: int, found: int = -1) -> int:
        """The descriptor of a new file with what a lost worker's has, which has no name from then on."""
        if found >= 0:
            os.close(found)
        self.is_far = self.is_lost = True
        self.sweep(folder)
        name, own = part_name(self.name), own_name(self.name)
        fd = os.open(own, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666, dir_fd=folder)
        try:
            os.fchmod(fd, stat.S_IMODE(os.fstat(fd).st_mode | HEIR))
            with contextlib.suppress(FileNotFoundError):
                if not stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                    raise self.wrong_kind(name)
                with contextlib.suppress(PermissionError), reading(name, folder) as old:
                    take_over(old, fd, self.row)
            os.replace(own, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            os.close(fd)
            with contextlib.suppress(OSError):
                os.unlink(own, dir_fd=folder)
            raise
        return fd

    def sweep(self, folder: int) -> None:
        """Remove names that other workers had for a moment; who still needs one is lost, and fails."""
        for name in self.home.left_names(self.place, folder, FRESH):
            if name.startswith(f"{own_stem(self.name)}.") and name.endswith(MARK + MARK):
                with contextlib.suppress(OSError):
                    os.unlink(name, dir_fd=folder)

    def is_named(self, found: os.stat_result) -> bool:
        """Whether it already is the file of the real name, too."""
        with contextlib.suppress(OSError):
            return os.path.samestat(os.lstat(self.final), found)
        return False

    def drop(self, fd: int, found: os.stat_result, name: str) -> None:
        """Take the name from what can't be gone on from, unless a run is at work on it."""
        import fcntl

        try:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self.folder and os.path.samestat(os.fstat(fd), found):
                    os.unlink(name, dir_fd=self.folder.fd)
        finally:
            os.close(fd)

    def take_over(self, name: str) -> None:
        """Give what an earlier version has left as NAME.part our name, if its table says that it is of this file."""
        old, folder = f"{self.name}.part", self.folder.fd if self.folder else -1
        try:
            found = os.stat(old, dir_fd=folder, follow_symlinks=False)
        except OSError:
            return
        if self.has_twin:
            return
        end = b""
        if stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and found.st_size >= self.row.size + OLD_END.size:
            fd = os.open(old, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
            end = os.pread(fd, OLD_END.size, found.st_size - OLD_END.size)
            os.close(fd)
        if is_old_table(end, self.row):
            os.link(old, name, src_dir_fd=folder, dst_dir_fd=folder)
            os.unlink(old, dir_fd=folder)
        else:
            self.home.strange.add(f"{self.final}.part")

    def is_ours(self) -> bool:
        """Whether no other run, from another work folder, copies this file; from now on none does."""
        import fcntl

        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a filesystem without locks
            self.is_locked = False
        self.is_locked = self.is_locked and not self.is_far
        return self.folder is not None and self.is_in(self.folder)

    def is_in(self, folder: Folder) -> bool:
        """Whether it has its name there still."""
        with contextlib.suppress(OSError):
            there = os.stat(part_name(self.name), dir_fd=folder.fd, follow_symlinks=False)
            return os.path.samestat(os.fstat(self.fd), there)
        return False

    def check_ours(self) -> None:
        """Where nothing can be locked, leave alone what another run has finished, or begun anew."""
        if not (self.is_locked or (self.folder and self.is_in(self.folder))):
            raise FileError(f"{self.final}: another run is copying it", passing=True)

    def remove(self, folder: Folder | None = None) -> None:
        """Take it away, unless its name is that of another file by now."""
        folder = folder or self.folder
        if folder and self.is_in(folder):
            with contextlib.suppress(OSError):
                os.unlink(part_name(self.name), dir_fd=folder.fd)

    def write(self, data: bytes | memoryview, at: int) -> None:
        """Write bytes where they belong.

        Not all at once: Linux takes memory for a file in blocks of 2, 4, 8... pages, up to the size of a write, and
        large ones can be slow to come; on a virtual machine 2 GiB took twice the kernel's time.
        """
        left = memoryview(data)
        try:
            while left:
                count = os.pwrite(self.fd, left[:WRITTEN], at)
                left, at = left[count:], at + count
        except OSError as error:
            raise disk_error(self.final, error) from error

    def name_it(self, folder: Folder, overwrite: bool) -> None:
        """Give it its name, once it is durable; another file of that name is replaced only if so wished."""
        name = part_name(self.name)
        try:
            if self.is_far and self.link_it(folder, overwrite):
                return
            there, mine = os.stat(name, dir_fd=folder.fd, follow_symlinks=False), os.fstat(self.fd)
            if not os.path.samestat(there, mine) or mine.st_size != self.row.size:
                raise FileError(f"{self.final}: someone else moved its folder or changed its {MARK}", passing=True)
            if overwrite:
                os.replace(name, self.name, src_dir_fd=folder.fd, dst_dir_fd=folder.fd)
            else:
                rename_new(folder.fd, name, self.name)
            if self.is_lost:
                unmark(self.fd)
        except FileNotFoundError as error:
            raise FileError(f"{self.final}: someone else moved its folder or its {MARK}", passing=True) from error
        except FileExistsError as error:
            sentence = f"{self.final} appeared in the meantime and is left alone; --overwrite replaces it"
            raise FileError(sentence) from error
        except OSError as error:
            if error.errno == errno.ESTALE and self.is_far:  # so says NFS of a file without a name
                raise FileError(f"{self.final}: someone else moved its {MARK}", passing=True) from error
            raise disk_error(self.final, error) from error

    def link_it(self, folder: Folder, overwrite: bool) -> bool:
        """Give it its name by what it is, as another file may have its part name; False where there are no links."""
        source, here = f"/proc/self/fd/{self.fd}", {"src_dir_fd": folder.fd, "dst_dir_fd": folder.fd}
        if not os.path.exists(source):
            return False
        if os.fstat(self.fd).st_size != self.row.size:
            raise FileError(f"{self.final}: someone else changed its {MARK}", passing=True)
        own = own_name(self.name) if overwrite else self.name
        try:
            os.link(source, own, dst_dir_fd=folder.fd)
        except FileExistsError:
            if not self.is_same(folder):
                raise
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            return False
        if overwrite:
            try:
                os.replace(own, self.name, **here)
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(own, dir_fd=folder.fd)
        self.remove(folder)
        if self.is_lost:
            self.sweep(folder.fd)
            unmark(self.fd)  # now that nobody finds it as a part file any more
        return True

    def is_same(self, folder: Folder) -> bool:
        """Whether the file that has its name already has its bytes, too: a worker that was lost has been faster."""
        with contextlib.suppress(OSError), reading(self.name, folder.fd) as other:
            found = os.fstat(other)
            if not stat.S_ISREG(found.st_mode) or found.st_size != self.row.size:
                return False
            places = range(0, self.row.size, CHUNK)
            if all(os.pread(self.fd, CHUNK, at) == os.pread(other, CHUNK, at) for at in places):
                unmark(other)  # as that worker may never come to it
                return True
        return False
