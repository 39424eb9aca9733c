"""Local files that are to be sent: which there are below a folder, and what of it can't be or is not meant to go."""

from __future__ import annotations

import errno
import os
import stat
from typing import NamedTuple

from gridsync_parts.disk import MARK, open_regular
from gridsync_parts.errors import BadName, FileError, UsageError
from gridsync_parts.home import STATE_NAMES
from gridsync_parts.values import Locality, Row, Scope
from gridsync_parts.words import bare, has_scheme, is_path

CONTROLS = {*map(chr, range(32)), "\x7f"}  # doors leave them out, or fail at them
BUNDLE = "_bundle.zip"  # ends the name of the zip that is built of a folder, beside it
SIGN = b"gridsync bundle 1 "  # begins its comment, which ends in a digest of what was put in
SIGN_SIZE = len(SIGN) + 64
ATTRIBUTE = "user.gridsync"  # of a zip that was built here, and is to be removed when it is sent


class Local(NamedTuple):
    """A local file; its path below what was named is its path below INPUTDIR, too."""

    path: str
    file: str  # how it is opened here
    size: int
    mtime: int
    checksum: str = ""  # as it was made, where gridsync has made the file itself

    def row(self, target: str, site: str) -> Row:
        """It as it will be at the site."""
        return Row(target, self.size, self.mtime, self.checksum, Locality.ONLINE, False, "", "", site, "")


def is_own(name: str) -> bool:
    """Whether a file is one of gridsync's own, by its name: at the site it would be taken for what it is not."""
    return name.lower() in STATE_NAMES or name.endswith(MARK)


def is_made_here(fd: int) -> bool:
    """Whether a file has the attribute that a fetched zip lacks; where there are none, any file counts so."""
    try:
        return bool(os.getxattr(fd, ATTRIBUTE))
    except AttributeError:  # a system without
        return True
    except OSError as error:
        return error.errno != errno.ENODATA


def sign_of(fd: int) -> bytes:
    """What the end of a zip says of how gridsync has made it here; empty for any other file."""
    size = os.fstat(fd).st_size
    end = os.pread(fd, SIGN_SIZE, max(0, size - SIGN_SIZE))
    return end if end.startswith(SIGN) and len(end) == SIGN_SIZE and is_made_here(fd) else b""


def is_bundle(path: str) -> bool:
    """Whether a file is the zip that gridsync has built of the folder beside it; elsewhere such a zip is data."""
    folder = path[: -len(BUNDLE)]
    if not path.endswith(BUNDLE) or os.path.islink(folder) or not os.path.isdir(folder):
        return False
    try:
        fd = open_regular(path, os.O_NOFOLLOW)
    except (OSError, ValueError):
        return False
    try:
        return bool(sign_of(fd))
    finally:
        os.close(fd)


class Outbox:
    """What there is to send."""

    def __init__(self, top: str, scope: Scope, growing: os.stat_result | None = None, above: str = ""):
        self.top = top
        self.above = above  # stands before all paths where patterns are tried
        self.growing = growing  # a file of gridsync's own under any name, to which it is adding
        self.scope = scope  # whose patterns count, and nothing else of it
        self.folders: dict[str, list[Local]] = {}  # those that are there, each after the one it is in, and their files
        self.left_out = 0  # files that the patterns leave out,
        self.left_size = 0  # and bytes of them
        self.links: list[str] = []
        self.own: list[str] = []  # gridsync's own files
        self.faults: list[FileError] = []  # what can't be sent

    def is_own(self, name: str, found: os.stat_result) -> bool:
        """Whether a file is one of gridsync's own."""
        return is_own(name) or (self.growing is not None and os.path.samestat(self.growing, found))

    def below(self) -> dict[str, list[str]]:
        """The folders in each folder."""
        found: dict[str, list[str]] = {}
        for folder in filter(None, self.folders):
            found.setdefault(folder.rpartition("/")[0], []).append(folder)
        return found

    def files(self) -> int:
        """How many files it has."""
        return sum(map(len, self.folders.values()))

    def size(self) -> int:
        """How many bytes they have."""
        return sum(local.size for some in self.folders.values() for local in some)

    def name_below(self, folder: str) -> str:
        """What is to be named at the site for it: the folder that it goes into, or the one file there."""
        files = self.folders.get("", [])
        is_file = len(files) == 1 and files[0].path == os.path.basename(os.path.abspath(self.top))
        return f"{folder}/{files[0].path}".strip("/") if is_file and not os.path.isdir(self.top) else folder

    def remarks(self) -> list[str]:
        """What is not sent, and is nobody's fault."""
        told = [f"{path}: is a link and is not sent; name what it leads to with --put" for path in self.links]
        told += [f"{path}: is one of gridsync's own files and is not sent" for path in self.own]
        if self.scope.include or self.scope.exclude:
            told.append(f"--inc and --exc leave out {self.left_out} file(s)")
        return told

    def collect(self) -> None:
        """Find all of it."""
        if has_scheme(self.top):
            raise UsageError(f"--put {bare(self.top)}: is a URL; name a file or folder of this machine")
        try:
            found = os.stat(self.top)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise UsageError(f"--put {self.top}: {reason}; name a file or folder of this machine") from error
        if stat.S_ISREG(found.st_mode):
            name = os.path.basename(os.path.abspath(self.top))
            if self.is_own(name, found):
                raise UsageError(f"--put {self.top}: is one of gridsync's own files and is not sent; name another one")
            self.folders[""] = []
            file = os.path.realpath(self.top) if os.path.islink(self.top) else self.top  # the user has named the link
            self.add(name, file, found)
        elif stat.S_ISDIR(found.st_mode):
            self.collect_folder("")
        else:
            raise UsageError(f"--put {self.top}: is not a regular file or folder; name one")
        if self.left_out and not self.files():
            raise UsageError(f"none of the {self.left_out} files of {self.top} passes --inc and --exc; change them")
        self.drop_empty()

    def collect_folder(self, folder: str) -> None:
        """Find what is in a folder, and in those below."""
        todo = [folder]
        while todo:
            folder = todo.pop()
            self.folders[folder] = []
            here = os.path.join(self.top, folder) if folder else self.top
            try:
                with os.scandir(here) as entries:
                    names = sorted(entry.name for entry in entries)
            except OSError as error:
                self.faults.append(FileError(f"{here}: cannot be read: {error.strerror}; nothing in it is sent"))
                continue
            below = [path for name in names if (path := self.take(folder, name))]
            todo += reversed(below)

    def take(self, folder: str, name: str) -> str:
        """Take in what has a name in a folder; its path, if it is a folder itself."""
        path = f"{folder}/{name}" if folder else name
        file = os.path.join(self.top, path)
        try:
            found = os.lstat(file)
        except OSError as error:  # it has just gone
            self.faults.append(FileError(f"{file}: cannot be read: {error.strerror}"))
            return ""
        if stat.S_ISDIR(found.st_mode):
            return path
        if stat.S_ISLNK(found.st_mode):
            self.links.append(file)
        elif not stat.S_ISREG(found.st_mode):
            self.faults.append(FileError(f"{file}: is not a regular file and cannot be sent"))
        elif self.is_own(name, found) or is_bundle(file):
            self.own.append(file)
        else:
            self.add(path, file, found)
        return ""

    def add(self, path: str, file: str, found: os.stat_result) -> None:
        """Take in a file, if the patterns keep it."""
        if not is_path(path) or CONTROLS & {*path}:
            sentence = f"{file}: has a control character in its name, which doors change or refuse; rename it"
            self.faults.append(BadName(sentence))
        elif self.scope.holds(self.above + path):
            self.folders[path.rpartition("/")[0]].append(Local(path, file, found.st_size, int(found.st_mtime)))
        else:
            self.left_out += 1
            self.left_size += found.st_size

    def drop_empty(self) -> None:
        """Forget folders without a file in them or below, which are not made at the site."""
        needed = {""}
        for folder in [folder for folder, files in self.folders.items() if files]:
            while folder not in needed:
                needed.add(folder)
                folder = folder.rpartition("/")[0]
        self.folders = {folder: files for folder, files in self.folders.items() if folder in needed}
