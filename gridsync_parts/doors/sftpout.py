"""Files that are sent by SFTP."""

from __future__ import annotations

import stat
import struct
from collections import deque

from gridsync_parts.doors import Sent, Stored
from gridsync_parts.doors.channels import Line
from gridsync_parts.doors.plain import NO_FOLDER, NO_ROOM, TAKEN
from gridsync_parts.doors.remote import Remote, is_file
from gridsync_parts.doors.sftp import (
    CLOSE,
    EXTENDED,
    FAILURE,
    FSETSTAT,
    HAS_TIMES,
    LSTAT,
    MKDIR,
    NO_SUCH_FILE,
    OPEN,
    REMOVE,
    RENAME,
    TO_MAKE,
    WRITE,
    Attributes,
    Refused,
    check_status,
    text,
)
from gridsync_parts.errors import Changed, Exists, FileError, Full, NotFound
from gridsync_parts.log import log

UNANSWERED = 32  # pieces that are under way
NO_FILE = "{place}: what has this name is not a file; move it away"


class Outgoing:
    """An open file on its way there."""

    def __init__(self, remote: Remote, path: str, line: Line, handle: bytes):
        self.remote = remote
        self.path = path
        self.channel = line.channel
        self.handle = handle
        self.asked: deque[int] = deque()  # requests without an answer yet
        self.at = 0  # bytes that were sent

    def heed(self, left: int) -> None:
        """Wait for answers, until so many are left."""
        while len(self.asked) > left:
            try:
                check_status(self.channel.reply(self.asked.popleft(), self.remote.site.silence))
            except Refused as error:
                if error.code != FAILURE:
                    raise
                # That is all which version 3 has for a full disk, a quota and a limit of the size.
                raise Full(NO_ROOM.format(place=self.remote.place(self.path), said=error.said)) from error

    def ask(self, kind: int, about: bytes, data: bytes | memoryview = b"") -> None:
        """Have something done with it."""
        self.asked += self.channel.ask((kind, about, data))

    def send(self, sent: Sent) -> None:
        """Send its bytes, which must be as many as they were to be."""
        most = self.remote.channels.extensions.write
        for chunk in sent.chunks():
            piece = memoryview(chunk)
            if self.at + len(piece) > sent.size:
                raise self.changed()
            for start in range(0, len(piece), most):
                data = piece[start : start + most]
                self.ask(WRITE, self.handle + struct.pack(">QI", self.at, len(data)), data)
                self.at += len(data)
                self.heed(UNANSWERED)
        if self.at != sent.size:
            raise self.changed()

    def changed(self) -> Changed:
        """The sentence for a source that has other bytes than it had."""
        return Changed(f"{self.remote.place(self.path)}: its source has changed while it was being sent", passing=True)

    def finish(self, mtime: int) -> None:
        """Give it its time, have it on the server's disk, and close it."""
        self.heed(0)
        if 0 < mtime < 1 << 32:  # version 3 knows no other
            times = struct.pack(">III", HAS_TIMES, mtime, mtime)
            (number,) = self.channel.ask((FSETSTAT, self.handle + times, b""))
            self.channel.forget([number])  # a server that can't has the file all the same
        if self.remote.channels.extensions.has("fsync@openssh.com"):
            self.ask(EXTENDED, text(b"fsync@openssh.com") + self.handle)
        handle, self.handle = self.handle, b""
        self.ask(CLOSE, handle)
        self.heed(0)

    def leave(self) -> None:
        """Close it as far as it came."""
        self.channel.forget(list(self.asked))
        if self.handle and not self.channel.error:
            self.channel.forget(self.channel.ask((CLOSE, self.handle, b"")))


class SftpWriter:
    """A machine that is reached by ssh, as it takes files."""

    def __init__(self, remote: Remote):
        self.remote = remote

    def found(self, path: str) -> Attributes | None:
        """What has a name, a link too; None if nothing."""
        try:
            return self.remote.look(path, LSTAT)
        except NotFound:
            return None

    def folder(self, path: str) -> bool:
        """Make a folder in one that is there; whether it was not there yet."""
        place = self.remote.place(path)
        with self.remote.errors(path):
            try:
                self.remote.do(path, "make", MKDIR, self.remote.bytes_of(path) + struct.pack(">I", 0))
                return True
            except Refused as error:
                if error.code == NO_SUCH_FILE:
                    raise NotFound(NO_FOLDER.format(place=place)) from error
                refused = error
        try:
            found = self.remote.look(path)
        except NotFound:
            with self.remote.errors(path):
                raise refused from None
        if not stat.S_ISDIR(found.mode):
            raise Exists(TAKEN.format(place=place))
        return False

    def write(self, path: str, sent: Sent) -> Stored:
        """Send a new file; Exists if something has its name. When it fails, some of it may be there."""
        remote, about = self.remote, self.remote.bytes_of(path) + struct.pack(">II", TO_MAKE, 0)
        log.debug("sftp: write %s, %d bytes", remote.path(path), sent.size)
        line = remote.channels.take(is_long=True)
        try:
            with remote.errors(path):
                (number,) = line.channel.ask((OPEN, about, b""))
                try:
                    file = Outgoing(remote, path, line, remote.handle(line.channel, number))
                except Refused as error:
                    raise self.unopened(path, error) from error
                try:
                    file.send(sent)
                    file.finish(sent.mtime)
                except BaseException:
                    file.leave()
                    raise
        finally:
            remote.channels.give_back(line)
        return Stored(sent.size)

    def unopened(self, path: str, error: Refused) -> Exception:
        """Why a new file can't be made."""
        words = {"place": self.remote.place(path), "said": error.said}
        if error.code == NO_SUCH_FILE:
            return NotFound(NO_FOLDER.format(**words))
        if error.code != FAILURE:
            return error
        return Exists(TAKEN.format(**words)) if self.found(path) else Full(NO_ROOM.format(**words))

    def stored(self, path: str) -> Stored:
        """What is there under a name; NotFound if nothing."""
        found = self.remote.look(path)
        if not is_file(found):
            raise FileError(NO_FILE.format(place=self.remote.place(path)))
        return Stored(found.size, mtime=found.mtime)

    def rename(self, path: str, target: str, replace: bool) -> None:
        """Give a file its name; Exists if something has it that is not to be replaced."""
        there = self.found(target)
        if there and (not replace or stat.S_ISDIR(there.mode)):
            raise Exists(TAKEN.format(place=self.remote.place(target)))
        both = self.remote.bytes_of(path) + self.remote.bytes_of(target)
        is_at_once = replace and self.remote.channels.extensions.has("posix-rename@openssh.com")
        if there and not is_at_once:
            self.remove(target)  # as version 3 replaces nothing
        with self.remote.errors(path):
            try:
                if is_at_once:
                    self.remote.do(target, "rename to", EXTENDED, text(b"posix-rename@openssh.com") + both)
                else:
                    self.remote.do(target, "rename to", RENAME, both)
            except Refused as error:
                if error.code == FAILURE and self.found(target) and self.found(path):  # somebody was faster
                    raise Exists(TAKEN.format(place=self.remote.place(target))) from error
                raise

    def remove(self, path: str) -> bool:
        """Remove a file; whether it was there."""
        with self.remote.errors(path):
            try:
                self.remote.do(path, "remove", REMOVE, self.remote.bytes_of(path))
            except Refused as error:
                if error.code == NO_SUCH_FILE:
                    return False
                raise
        return True
