"""A local file that is sent: what is read of it is what was looked at."""

from __future__ import annotations

import os
from collections.abc import Iterator

from gridsync_parts.checksums import Checksum, checksum_of
from gridsync_parts.disk import CHUNK, open_regular, read_into
from gridsync_parts.errors import Changed, FileError
from gridsync_parts.home import FOLDER
from gridsync_parts.pool import Stop
from gridsync_parts.values import Seen


class Reading:
    """Where a local file is read: what the disk says against it concerns this file alone."""

    def __init__(self, path: str):
        self.path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, (OSError, ValueError)):
            reason = getattr(error, "strerror", None) or str(error)
            raise FileError(f"{self.path}: cannot be read: {reason}") from error


def refuse_stopped(stop: Stop) -> None:
    """End the work on a file when the run ends."""
    if stop.is_set():
        raise FileError("interrupted")


def open_below(top: str, path: str) -> int:
    """A descriptor to read a file by; below a folder, no link is followed that somebody has put there meanwhile."""
    inside = top.rstrip("/") + "/"
    below = path[len(inside) :].strip("/") if top and path.startswith(inside) else ""
    if not below:
        return open_regular(path, os.O_NOFOLLOW)
    *folders, name = below.split("/")
    here = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for folder in folders:
            inner = os.open(folder, FOLDER, dir_fd=here)
            os.close(here)
            here = inner
        return open_regular(name, os.O_NOFOLLOW, here)
    finally:
        os.close(here)


class Source:
    """The local file, held open: what is sent is what was looked at."""

    def __init__(self, path: str, top: str = ""):
        self.path = path
        with self.reading():
            self.fd = open_below(top, path)
            self.found = os.fstat(self.fd)
        self.size = self.found.st_size
        self.mtime = int(self.found.st_mtime)
        self.sums: dict[str, str] = {}

    def reading(self) -> Reading:
        """What can't be read is a matter of this file."""
        return Reading(self.path)

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)

    def check(self) -> None:
        """Refuse a file that is not any more as it was looked at, or never was, as those of /proc."""
        with self.reading():
            now = os.fstat(self.fd)
        if (now.st_size, now.st_mtime_ns) != (self.size, self.found.st_mtime_ns):
            raise Changed(f"{self.path}: has changed while it was read", passing=True)
        with self.reading():
            is_more = os.pread(self.fd, 1, self.size)
        if is_more:
            raise self.wrong_size()

    def wrong_size(self) -> FileError:
        """The sentence for a file of which the disk does not tell the size."""
        return FileError(f"{self.path}: has another size than its disk says; send a copy of it from another disk")

    def checksum(self, kind: str, seen: Seen, stop: Stop) -> str:
        """Its checksum of some kind, for which it is read if need be."""

        def told(remaining: int) -> None:
            seen(self.size - remaining, 0)
            refuse_stopped(stop)

        if kind not in self.sums:
            with self.reading():
                self.sums[kind] = checksum_of(self.fd, kind, self.size, told)
            self.check()
        return self.sums[kind]

    def chunks(self, kind: str, seen: Seen, stop: Stop) -> Iterator[memoryview]:
        """Its bytes, of which a checksum is made on the way; each piece takes the place of the last."""
        running, buffer, at = Checksum(kind), memoryview(bytearray(min(CHUNK, max(1, self.size)))), 0
        while at < self.size:
            refuse_stopped(stop)
            with self.reading():
                count = read_into(self.fd, buffer[: min(CHUNK, self.size - at)], at)
            if not count:
                self.check()
                raise self.wrong_size()
            piece = buffer[:count]
            running.update(piece)
            at += count
            if at == self.size:
                self.check()  # before the last bytes go: the door must not take what has changed for whole
            yield piece
            seen(at, at)
        self.sums[kind] = running.text()
