"""A file while it is copied: its name ends in MARK until size and checksum are right and its bytes are on the disk."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from typing import Callable

from gridsync_parts.checksums import checksum_of
from gridsync_parts.disk import CHUNK, MARK, NO_SYNC, disk_error, fatal_error, sync_file
from gridsync_parts.errors import FileError, GridError
from gridsync_parts.home import Home
from gridsync_parts.ownfile import OwnFile
from gridsync_parts.segments import MAGIC, Segment, pack_table, read_table, split, whole_checksum
from gridsync_parts.takeover import DATA_SYNC
from gridsync_parts.values import Row, check_tag

NOTE = 8 << 20  # bytes of a segment after which what is here is made durable, and the table brought up to date
LARGE = 1 << 20  # bytes of a file that is made durable by itself; smaller ones are together


class Keeper:
    """A thread that makes durable what has come of a file while more of it comes; nobody waits for the disk."""

    def __init__(self, keep: Callable[[], None]):
        self.keep = keep
        self.failure: BaseException | None = None
        self.todo: queue.SimpleQueue[bool] = queue.SimpleQueue()  # False at the end
        self.thread = threading.Thread(target=self.labour, daemon=True)
        self.thread.start()

    def labour(self) -> None:
        """What the thread does."""
        while self.todo.get() and not self.failure:
            try:
                self.keep()
            except BaseException as error:  # raised by check()
                self.failure = error

    def check(self) -> None:
        """Raise what it has failed with."""
        if self.failure:
            raise self.failure

    def go(self) -> None:
        """There is more to keep."""
        self.check()
        if self.todo.empty():
            self.todo.put(True)

    def end(self) -> None:
        """Wait until it is done with all that there was."""
        self.todo.put(False)
        self.thread.join()
        self.check()


class PartFile:
    """A file while it is copied: what of it is here, and whether it is right."""

    def __init__(
        self, home: Home, row: Row, kind: str, has_twin: bool = False, is_far: bool = False, is_lost: bool = False
    ):
        self.file = OwnFile(home, row, has_twin, is_far, is_lost)
        self.row = row
        self.kind = kind if row.size else "size"
        self.segments: list[Segment] = []
        self.earlier = 0  # bytes that were here before
        self.has_table = False  # behind its bytes, just now
        self.tag = ""  # what the door calls this version of the file, if it does
        self.noting = threading.Lock()  # of the table, and the tag
        self.keeper: Keeper | None = None  # while bytes come
        self.is_arrived = False  # whole and verified: it stays open until it has its name

    def __enter__(self) -> PartFile:
        self.file.open()
        return self

    def __exit__(self, *_: object) -> None:
        if not self.is_arrived:
            self.leave()

    @property
    def is_told(self) -> bool:
        """Whether its checksum tells in the end if it is one file."""
        return self.kind != "size" and bool(self.row.checksum)

    def leave(self) -> None:
        """Let go of it as it is, for another time."""
        with contextlib.suppress(GridError):  # a disk that takes no more; then it begins again
            self.rest()
            if self.has_table:
                self.note()
            elif self.segments:
                self.lay_table()
        # Under its lock, else it may be another run's by now.
        if self.segments and not self.received():
            self.file.remove()
        os.close(self.file.fd)

    def received(self) -> int:
        """How many bytes are here."""
        return sum(segment.done for segment in self.segments)

    def resume(self, streams: int) -> None:
        """Go on from what an earlier run has left, else begin; from now on what comes is made durable."""
        self.find(streams)
        if self.row.size > NOTE:
            with contextlib.suppress(RuntimeError):  # the machine has no thread left
                self.keeper = Keeper(self.note)

    def rest(self) -> None:
        """Have nothing more written to it by itself."""
        keeper, self.keeper = self.keeper, None
        if keeper:
            keeper.end()

    def find(self, streams: int) -> None:
        """Take up what an earlier run has left, whose bytes are read for the checksum; else begin."""
        length = os.fstat(self.file.fd).st_size
        if not length:
            self.begin(streams)
            return
        if table := read_table(self.file.fd, length, self.row, self.kind):
            self.segments, self.tag = table.segments, table.tag
            self.has_table = bool(table.segments) and not table.is_old  # else it is written anew, as it is now
        elif length <= self.row.size and self.is_told:
            self.segments = [Segment(0, self.row.size, length, self.kind)]
        if not self.segments:
            self.restart(streams)
            return
        for segment in self.segments:
            self.reread(segment)
        self.earlier = self.received()
        if not self.has_table:
            self.lay_table()

    def reread(self, segment: Segment) -> None:
        """Take the bytes that are here into the checksum."""
        at = segment.start
        while at < segment.at() and self.kind != "size":
            data = os.pread(self.file.fd, min(CHUNK, segment.at() - at), at)
            if not data:
                segment.done = at - segment.start  # the table has promised more than the disk has kept
            segment.checksum.update(data)
            at += len(data)

    def restart(self, streams: int) -> None:
        """Begin anew, without the bytes that are here."""
        self.rest()
        self.file.check_ours()
        os.ftruncate(self.file.fd, 0)
        self.tag = ""
        self.begin(streams)

    def begin(self, streams: int) -> None:
        """Begin, in as many segments as are worth it."""
        self.segments = split(self.row.size, streams, self.kind)
        self.has_table = False
        if self.row.size > NOTE:  # that of a smaller file is only written if the file is left half done
            self.lay_table()

    def tell(self, tag: str) -> None:
        """Take down what the door calls the version that arrives; it must be the one that is here already."""
        with self.noting:
            if tag and not self.tag:
                self.tag = tag
                if self.has_table:
                    self.lay_table()
        check_tag(self.row.path, tag, self.tag)

    def lay_table(self) -> None:
        """Write the table, if one is needed."""
        if len(self.segments) == 1 and self.is_told:
            return
        table = pack_table(self.row, self.segments, self.tag)  # first, as other segments may grow meanwhile
        self.keep_bytes()
        self.file.write(table, self.row.size)
        self.has_table = True

    def add(self, segment: Segment, data: bytes | memoryview) -> None:
        """Append bytes to a segment."""
        # Of the first bytes name_it will tell; small files have no others.
        is_one = segment.done and not self.has_table and len(self.segments) == 1
        if is_one and os.fstat(self.file.fd).st_size != segment.at():
            raise self.meddled_error()
        self.file.write(data, segment.at())
        segment.checksum.update(data)
        segment.done += len(data)
        if segment.done - segment.noted >= NOTE:
            segment.noted = segment.done
            self.keeper.go() if self.keeper else self.note()

    def note(self) -> None:
        """Make durable what is here, and bring the table up to date."""
        with self.noting:
            rows = b"".join(segment.row() for segment in self.segments)  # first, as they grow meanwhile
            self.keep_bytes()
            if self.has_table:
                self.file.write(rows, self.row.size)

    def keep_bytes(self) -> None:
        """Make the bytes durable that a table is to speak of: else a power failure leaves zeros in their place."""
        self.file.check_ours()
        if self.received():
            self.synchronise(DATA_SYNC)

    def synchronise(self, call: Callable[[int], None]) -> None:
        """Make the file durable; what the disk has not taken is not trusted any more."""
        try:
            try:
                call(self.file.fd)
            except OSError as error:
                if error.errno not in NO_SYNC:
                    raise
            os.close(os.dup(self.file.fd))  # some filesystems speak of a failure only then
        except OSError as error:
            self.distrust()
            raise fatal_error(self.file.final, error) from error

    def meddled_error(self) -> FileError:
        """The error for a part file that somebody else has changed; nothing of it is trusted."""
        self.distrust()
        sentence = f"{self.file.final}: its {MARK} was changed by someone else; the copy starts again"
        return FileError(sentence, passing=True)

    def distrust(self) -> None:
        """Leave nothing of it: what a disk has lost, memory may still show, once."""
        with contextlib.suppress(OSError):
            os.ftruncate(self.file.fd, 0)
        self.segments, self.has_table = [Segment(0, self.row.size, 0, self.kind)], False

    def checksum(self, kind: str) -> str:
        """The checksum of the whole, which is read for it only if it did not grow with the bytes."""
        if kind != self.kind or (len(self.segments) > 1 and kind != "adler32"):
            try:
                return checksum_of(self.file.fd, kind, self.row.size)
            except OSError as error:
                raise disk_error(self.file.final, error) from error
        return whole_checksum(self.segments)

    def arrive(self) -> None:
        """It is whole and verified: give it the remote time; a large one is made durable at once."""
        self.rest()
        if self.received() != self.row.size:
            raise FileError(f"{self.file.final}: {self.received()} of {self.row.size} bytes are here")
        try:
            length = os.fstat(self.file.fd).st_size
            end = os.pread(self.file.fd, len(MAGIC), max(0, length - len(MAGIC))) if self.has_table else MAGIC
            if length < self.row.size or end != MAGIC:
                raise self.meddled_error()
            if length > self.row.size:
                os.ftruncate(self.file.fd, self.row.size)
                self.has_table = False
            os.utime(self.file.fd, (self.row.mtime, self.row.mtime))
        except OSError as error:
            raise disk_error(self.file.final, error) from error
        self.file.folder = None  # which is opened again for the name: others wait for theirs, too
        if self.row.size > LARGE:
            self.synchronise(sync_file)
        self.is_arrived = True
