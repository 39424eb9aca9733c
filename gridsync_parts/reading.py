"""A file at a site, read as if it were here: block by block, the next one ahead of who reads one after the other."""

from __future__ import annotations

import io
import threading
import time
from concurrent.futures import Future
from typing import Any, Callable

from gridsync_parts.checksums import Checksum, checksum_kind
from gridsync_parts.doors import At, Place, read_twice
from gridsync_parts.errors import FileError, GridError, Mismatch, NoRanges
from gridsync_parts.pace import insist
from gridsync_parts.telling import speaking_plainly
from gridsync_parts.values import Entry

BLOCK = 4 << 20  # bytes of one range
KEPT = 8  # blocks of a file


class Source:
    """A file at a site, of which ranges are read, all of one version."""

    def __init__(self, use: Callable[[], Place], entry: Entry, retries: int):
        self.use = use  # gives the place, or says why it can't be used any more
        self.entry = entry
        self.retries = retries
        self.tag = ""  # of the version that is read
        self.said = entry.checksum  # of the whole, as far as the door has said it

    def read(self, start: int, stop: int) -> bytes:
        """The bytes from start up to stop."""
        return insist(self.fetch, start, stop, retries=self.retries) if start < stop else b""

    def fetch(self, start: int, stop: int) -> bytes:
        """The same, once."""
        path, size = self.entry.path, self.entry.size
        body = read_twice(self.use().reader, At(path, size, self.tag), start, stop, time.sleep)
        found = bytearray()
        try:
            if body.start != start:
                raise NoRanges(f"{path}: the door sends the whole file instead of a range; get() brings it here")
            self.tag, self.said = self.tag or body.tag, self.said or body.checksum
            for piece in body.chunks:
                found += piece
                if len(found) >= stop - start:
                    return bytes(found[: stop - start])
        finally:
            body.close()
        raise FileError(f"{path}: {len(found)} of {stop - start} bytes arrived", passing=True)

    def checksum(self) -> str:
        """What the door says of the whole file; empty if it knows no checksum."""
        if not self.said:
            at = At(self.entry.path, self.entry.size)
            self.said = insist(self.use().reader.checksum, at, retries=self.retries)
        return self.said


class Blocks:
    """The blocks of a file that are here, or on their way: each is one range."""

    def __init__(self, source: Source, length: int):
        self.source = source
        self.length = length
        self.blocks: dict[int, Future[bytes]] = {}  # the one that was used last comes last
        self.before = -2  # the one that was wanted before

    def get(self, number: int) -> bytes:
        """A block; whoever reads one after the other does not wait for the next."""
        wanted = self.blocks.pop(number, None)
        if wanted is None:
            wanted = Future()
            self.fetch(number, wanted)
        self.blocks[number] = wanted
        following = number + 1
        if number == self.before + 1 and following not in self.blocks and following * self.length < self.size:
            ahead: Future[bytes] = Future()
            self.blocks[following] = ahead
            threading.Thread(target=self.fetch, args=[following, ahead], daemon=True).start()
        self.before = number
        while len(self.blocks) > KEPT:
            del self.blocks[next(iter(self.blocks))]
        try:
            return wanted.result()
        except GridError:  # the next one to ask may have more luck
            self.blocks.pop(number, None)
            raise

    @property
    def size(self) -> int:
        return self.source.entry.size

    def fetch(self, number: int, wanted: Future[bytes]) -> None:
        """Read a block for whoever waits for it."""
        start = number * self.length
        try:
            wanted.set_result(self.source.read(start, min(start + self.length, self.size)))
        except BaseException as error:  # raised again where it is wanted
            wanted.set_exception(error)


class RawFile(io.RawIOBase):
    """The bytes of a file at a site; when all were read from start to end, its checksum is compared."""

    def __init__(self, source: Source, block: int):
        super().__init__()
        self.name = source.entry.path
        self.source = source
        self.blocks = Blocks(source, block)
        self.at = 0
        self.running = Checksum("adler32")  # of the bytes so far, in their order
        self.known = 0  # how many these are
        self.verified = "" if source.entry.size else "size"  # by what, once that has happened

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        size = self.source.entry.size
        origins = {io.SEEK_SET: 0, io.SEEK_CUR: self.at, io.SEEK_END: size}
        if whence not in origins or origins[whence] + offset < 0:
            raise ValueError(f"{offset}, {whence} is no place in a file of {size} bytes")
        self.at = origins[whence] + offset
        return self.at

    def readinto(self, buffer: Any) -> int:
        """Bytes up to the end of a block."""
        with speaking_plainly():
            data = self.next(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        found = []
        with speaking_plainly():
            while data := self.next(self.blocks.length):
                found.append(bytes(data))
        return b"".join(found)

    def next(self, most: int) -> memoryview:
        """The bytes from here on, so many at the most, and none of the next block."""
        if self.closed:
            raise ValueError("the file is closed")
        if self.at >= self.source.entry.size or not most:
            return memoryview(b"")
        number, offset = divmod(self.at, self.blocks.length)
        data = memoryview(self.blocks.get(number))[offset : offset + most]
        self.compare(data)
        self.at += len(data)
        return data

    def compare(self, data: memoryview) -> None:
        """Take bytes into the checksum, and compare it at the end."""
        entry, stop = self.source.entry, self.at + len(data)
        if not self.at <= self.known < stop:
            return
        if not self.known and self.source.said:
            self.running = Checksum(checksum_kind(self.source.said, True))
        self.running.update(data[self.known - self.at :])
        self.known = stop
        if stop < entry.size:
            return
        expected, found = self.source.checksum(), self.running.text()
        if checksum_kind(expected, True) != self.running.kind:  # there is none, or not of a kind that could be foreseen
            self.verified = "size"
        elif expected != found:
            raise Mismatch(f"{entry.path}: the door says {expected}, but what was read has {found}; read it again, "
                           "and ask the site if this continues")  # fmt: skip
        else:
            self.verified = self.running.kind


class RemoteFile(io.BufferedReader):
    """A file at a site that is open for reading."""

    def __init__(self, source: Source, block: int = BLOCK):
        self.file = RawFile(source, block)
        super().__init__(self.file, min(block, 64 << 10))
        self.size = source.entry.size  # as users of fsspec want to know

    @property
    def verified(self) -> str:
        """By what it was verified: adler32, md5, ... or size; empty until it was read whole from start to end."""
        return self.file.verified
