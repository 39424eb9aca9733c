"""What a zip of local files consists of: members that are as their files are, bytes in a row, and a look at them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import struct
import time
from collections.abc import Callable, Sequence
from typing import IO, NamedTuple, cast
from zipfile import BadZipFile, ZipFile, ZipInfo
from zlib import crc32

from gridsync_parts.checksums import Checksum
from gridsync_parts.disk import CHUNK, read_into
from gridsync_parts.errors import BadName, Changed, FileError, Mismatch
from gridsync_parts.outbox import SIGN, Local
from gridsync_parts.pool import Stop
from gridsync_parts.source import Source, refuse_stopped
from gridsync_parts.takeover import DATA_SYNC
from gridsync_parts.words import is_path, is_utf8

RECORD = "record.json"  # is sent along by itself
SETTLED = 64 << 20  # bytes after which they are made durable: a stop need not wait for more
YEARS = 315532800, 4354819198  # the times that a zip can name: 1980 to 2107
AROUND = 30 + 46 + 24 + 48  # bytes of a member besides its data, its name and its time, at the most
TIME = struct.Struct("<HHBi")
TIME_ID, SECONDS = 0x5455, 1 << 31
LOCAL_HEADER, LENGTHS = 30, struct.Struct("<HH")
ENDS = 22 + 56 + 20 + 100  # bytes of the end of a zip, with its comment


class Member(NamedTuple):
    """A file that goes into the zip, as it is now."""

    path: str  # there
    file: str  # here
    size: int
    mtime: int  # in ns


def counted(files: Sequence[Local]) -> list[Local]:
    """The files that go into a zip."""
    return [local for local in files if local.path != RECORD]


# What goes in.


def check_name(member: Member) -> None:
    """Refuse a name that other systems would take for another one, or for a place outside."""
    reason = ""
    if not is_utf8(member.path):
        reason = "has a name that is not UTF-8"
    elif "\\" in member.path or not is_path(member.path):
        reason = "has a backslash in its name, which begins a folder on other systems"
    if reason:
        raise BadName(f"{member.file}: {reason}, and cannot go into a zip; rename it")


def look(files: Sequence[Local]) -> list[Member]:
    """The files as they are now, in the order in which they go in."""
    members = []
    for local in counted(files):
        try:
            found = os.lstat(local.file)
        except OSError as error:
            raise FileError(f"{local.file}: cannot be read: {error.strerror}") from error
        if not stat.S_ISREG(found.st_mode):
            raise FileError(f"{local.file}: is not a regular file any more and cannot be sent")
        members.append(Member(local.path, local.file, found.st_size, found.st_mtime_ns))
        check_name(members[-1])
    return sorted(members)


def comment_of(members: Sequence[Member]) -> bytes:
    """What tells whether a zip is of these files as they are now."""
    digest = hashlib.sha256()
    for member in members:
        digest.update(f"{member.path}\0{member.size}\0{member.mtime}\n".encode())
    return SIGN + digest.hexdigest().encode()


def size_of(members: Sequence[Member]) -> int:
    """How large the zip of them is at the most."""
    return ENDS + sum(member.size + AROUND + 2 * (len(member.path.encode()) + TIME.size) for member in members)


def info_of(member: Member) -> ZipInfo:
    """What the zip says of a member: the same for the same file, whoever has it and wherever it lies."""
    seconds = member.mtime // 10**9
    year, month, day, hour, minute, second = time.gmtime(min(max(seconds, YEARS[0]), YEARS[1]))[:6]
    info = ZipInfo(member.path, (year, month, day, hour, minute, second))
    info.create_system = 3  # as Unix names files
    info.external_attr = (stat.S_IFREG | 0o644) << 16
    info.file_size = member.size
    if -SECONDS <= seconds < SECONDS:
        info.extra = TIME.pack(TIME_ID, TIME.size - 4, 1, seconds)
    return info


# Its bytes.


class Growing:
    """The zip while it is written, a byte after the other, so that its md5 needs no second look at them."""

    def __init__(self, fd: int, seen: Callable[[int], None]):
        self.fd = fd
        self.seen = seen  # is told how many bytes there are
        self.sum = Checksum("md5")
        self.size = self.settled = 0
        self.is_over = False  # what still comes does so because the work has failed

    def write(self, data: bytes | memoryview) -> int:
        """Take more bytes."""
        if self.is_over:
            return len(data)
        self.sum.update(data)
        left = memoryview(data)
        try:
            while left:
                left = left[os.write(self.fd, left) :]
        except OSError:
            self.is_over = True
            raise
        self.size += len(data)
        if self.size - self.settled >= SETTLED:
            self.settle()
        self.seen(self.size)
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def settle(self) -> None:
        """Have it on the disk and not in memory, from which it would be read back untried."""
        DATA_SYNC(self.fd)
        with contextlib.suppress(AttributeError):  # macOS has no such call
            os.posix_fadvise(self.fd, 0, 0, os.POSIX_FADV_DONTNEED)
        self.settled = self.size


def changed_error(path: str) -> Changed:
    """The error that has the zip made anew."""
    return Changed(f"{path}: has changed while it was read", passing=True)


def fill(stream: Growing, members: Sequence[Member], folder: str, stop: Stop) -> None:
    """Write the zip."""
    with ZipFile(cast("IO[bytes]", stream), "w") as archive:
        archive.comment = comment_of(members)
        for member in members:
            with archive.open(info_of(member), "w") as out:
                try:
                    refuse_stopped(stop)
                    with Source(member.file, folder) as source:
                        if (source.size, source.found.st_mtime_ns) != member[2:]:
                            raise changed_error(member.file)
                        for piece in source.chunks("size", lambda here, came: None, stop):
                            out.write(piece)
                except BaseException:
                    stream.is_over = True  # the end of a zip that is none needs no room
                    raise


class Reread:
    """The zip, read from its first byte to its last."""

    def __init__(self, fd: int, stop: Stop):
        self.fd = fd
        self.stop = stop
        self.sum = Checksum("md5")
        self.at = 0
        self.buffer = memoryview(bytearray(CHUNK))

    def read(self, end: int) -> int:
        """The CRC of what comes up to some place."""
        value = 0
        while self.at < end:
            refuse_stopped(self.stop)
            count = read_into(self.fd, self.buffer[: min(CHUNK, end - self.at)], self.at)
            if not count:
                raise Mismatch("it is cut short")
            piece = self.buffer[:count]
            self.sum.update(piece)
            value = crc32(piece, value)
            self.at += count
        return value


def verify(fd: int, members: Sequence[Member], stop: Stop) -> str:
    """The md5 of a zip on the disk, in which each member is there with the CRC that it had; else Mismatch."""
    whole = Reread(fd, stop)
    try:
        with open(fd, "rb", closefd=False) as file, ZipFile(file) as archive:
            infos = archive.infolist()
        if [(info.filename, info.file_size) for info in infos] != [(member.path, member.size) for member in members]:
            raise Mismatch("it has other members")
        for info in infos:
            lengths = LENGTHS.unpack(os.pread(fd, LENGTHS.size, info.header_offset + LOCAL_HEADER - LENGTHS.size))
            whole.read(info.header_offset + LOCAL_HEADER + sum(lengths))
            if whole.read(whole.at + info.file_size) != info.CRC:
                raise Mismatch(f"{info.filename} has another CRC")
        whole.read(os.fstat(fd).st_size)
    except (BadZipFile, NotImplementedError, struct.error, UnicodeError, ValueError) as error:
        raise Mismatch(f"it is no zip any more: {error}") from error
    return whole.sum.text()
