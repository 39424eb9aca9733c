"""SFTP, version 3: requests over a channel, and their replies in whatever order they come.

Several threads may share a channel: whoever waits reads for all. So one that has a channel for itself is woken by
nothing but its own replies.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import select
import struct
import threading
import time
from typing import Callable, NamedTuple, Protocol

from gridsync_parts.doors.drip import Drip
from gridsync_parts.errors import brief

INIT, VERSION = 1, 2
OPEN, CLOSE, READ, WRITE, LSTAT, FSTAT, FSETSTAT = 3, 4, 5, 6, 7, 8, 10
OPENDIR, READDIR, REMOVE, MKDIR, STAT, RENAME = 11, 12, 13, 14, 17, 18
STATUS, HANDLE, DATA, NAME, ATTRS, EXTENDED, EXTENDED_REPLY = 101, 102, 103, 104, 105, 200, 201
OK, EOF, NO_SUCH_FILE, PERMISSION_DENIED, FAILURE, BAD_MESSAGE = 0, 1, 2, 3, 4, 5
TO_READ, TO_MAKE = 1, 2 | 8 | 32  # of OPEN; to make one means to write a file that is not there yet
HAS_SIZE, HAS_IDS, HAS_MODE, HAS_TIMES, HAS_MORE = 1, 2, 4, 8, 0x80000000  # in attributes

MOST = 256 << 10  # bytes of a packet
ROOM = 64 << 10  # bytes of what is read at once, but for what a long packet lacks
LEAST = 32 << 10  # bytes of one read or write that each server takes
TICK = 0.25  # seconds after which whoever waits looks whether it still is to
WAYS = 64  # pieces that go in one call


class Refused(Exception):
    """The server has refused a request."""

    def __init__(self, code: int, said: str):
        super().__init__(said)
        self.code = code
        self.said = said or f"status {code}"


class Attributes(NamedTuple):
    """What a server says of a file."""

    size: int  # -1 where it does not
    mode: int  # with its kind; 0 where it says none
    mtime: int


class Line(Protocol):
    """What carries a channel."""

    to_server: int  # descriptors
    from_server: int
    said: int  # what it says besides

    def hear(self) -> None:
        """Take in what it says."""

    def failure(self, error: Exception) -> Exception:
        """What the end of the channel means."""


def text(data: bytes) -> bytes:
    """Bytes as a packet has them."""
    return struct.pack(">I", len(data)) + data


def path_bytes(path: str) -> bytes:
    """A path as a packet has it: names are what their bytes are."""
    return text(path.encode("utf-8", "surrogateescape"))


def text_at(packet: memoryview, at: int) -> tuple[bytes, int]:
    """Bytes in a packet, and where they end."""
    (length,) = struct.unpack_from(">I", packet, at)
    at += 4
    if at + length > len(packet):
        raise struct.error("too short")
    return bytes(packet[at : at + length]), at + length


def attributes_at(packet: memoryview, at: int) -> tuple[Attributes, int]:
    """What a packet says of a file, and where that ends."""
    (flags,) = struct.unpack_from(">I", packet, at)
    at, size, mode, mtime = at + 4, -1, 0, 0
    if flags & HAS_SIZE:
        (size,) = struct.unpack_from(">Q", packet, at)
        at += 8
    at += 8 if flags & HAS_IDS else 0
    if flags & HAS_MODE:
        (mode,) = struct.unpack_from(">I", packet, at)
        at += 4
    if flags & HAS_TIMES:
        _, mtime = struct.unpack_from(">II", packet, at)
        at += 8
    if flags & HAS_MORE:
        (count,) = struct.unpack_from(">I", packet, at)
        at += 4
        for _ in range(2 * min(count, MOST)):
            _, at = text_at(packet, at)
    return Attributes(size, mode, mtime), at


def check_status(packet: memoryview) -> None:
    """Refused, if that is what a reply says."""
    if packet[0] == STATUS:
        (code,) = struct.unpack_from(">I", packet, 5)
        if code != OK:
            said = text_at(packet, 9)[0] if len(packet) > 9 else b""
            raise Refused(code, brief(" ".join(said.decode("utf-8", "replace").split())))


class Inflow:
    """Packets as they come."""

    def __init__(self, descriptor: int):
        self.descriptor = descriptor
        self.room = memoryview(bytearray(ROOM))
        self.filled = 0  # bytes of it
        self.packet = memoryview(b"")  # one that is too long for it, or of which the beginning was in it,
        self.came = 0  # and as much of it as is there
        self.total = 0  # bytes that have come
        self.spare: list[bytearray] = []  # for long ones

    def read(self) -> list[memoryview]:
        """The packets that are whole now; EOFError at the end."""
        lacking = self.packet[self.came :]
        room = self.room[self.filled :]
        count = os.readv(self.descriptor, [lacking, room] if lacking else [room])
        if not count and 0 < self.filled == self.total:
            raise ValueError(bytes(self.room[: self.filled]).decode("utf-8", "replace"))  # nothing else has come
        if not count:
            raise EOFError("end")
        self.total += count
        found = []
        if lacking:
            self.came += min(count, len(lacking))
            self.filled += max(0, count - len(lacking))
            if count < len(lacking):
                return []
            found.append(self.packet)
            self.packet, self.came = memoryview(b""), 0
        else:
            self.filled += count
        return found + self.split()

    def split(self) -> list[memoryview]:
        """The packets in the room; what begins there and does not end is moved."""
        found, at = [], 0
        while self.filled - at >= 4:
            (length,) = struct.unpack_from(">I", self.room, at)
            if not 5 <= length <= MOST:
                raise ValueError(bytes(self.room[at : min(self.filled, at + 200)]).decode("utf-8", "replace"))
            at += 4
            if self.filled - at >= length:
                found.append(memoryview(bytes(self.room[at : at + length])))
                at += length
                continue
            self.packet = memoryview(self.spare.pop() if self.spare else bytearray(MOST))[:length]
            self.came = self.filled - at
            self.packet[: self.came] = self.room[at : self.filled]
            at = self.filled
        rest = self.filled - at
        self.room[:rest] = bytes(self.room[at : self.filled])
        self.filled = rest
        return found

    def take_back(self, packet: memoryview) -> None:
        """Nobody needs a packet any more."""
        if isinstance(packet.obj, bytearray) and len(self.spare) < WAYS:
            self.spare.append(packet.obj)


class Channel:
    """SFTP over a line; it takes requests once it has greeted."""

    def __init__(self, line: Line, silence: float):
        self.line = line
        self.silence = silence  # seconds that it may say nothing while somebody waits
        self.inflow = Inflow(line.from_server)
        self.replies: dict[int, memoryview | None] = {}  # that somebody waits for, by the numbers of requests
        self.numbers = itertools.count(1)
        self.turn = threading.Lock()  # of who reads
        self.sending = threading.Lock()
        self.change = threading.Condition()
        self.waiting = 0  # threads that do not read
        self.error: Exception | None = None  # it is of no use any more

    def greet(self, is_over: Callable[[], bool]) -> dict[str, bytes]:
        """Agree on the version; the extensions that the server has. It may say nothing until that is over."""
        self.send(struct.pack(">IBI", 5, INIT, 3))
        packets: list[memoryview] = []
        while not packets:
            if is_over():
                raise self.fail(TimeoutError("timed out"))
            if self.can_read(TICK):
                packets = self.receive()
        packet = packets[0]
        if packet[0] != VERSION:
            raise self.fail(ValueError(bytes(packet[:200]).decode("utf-8", "replace")))
        found, at = {}, 5
        with contextlib.suppress(struct.error):
            while at < len(packet):
                name, at = text_at(packet, at)
                value, at = text_at(packet, at)
                found[name.decode("utf-8", "replace")] = value
        return found

    def fail(self, error: Exception) -> Exception:
        """It is of no use any more: for everybody the same error, whose sentence is the line's."""
        if self.error is None:
            self.error = self.line.failure(error)
        with self.change:
            self.change.notify_all()
        return self.error

    # There.

    def ask(self, *requests: tuple[int, bytes | memoryview, bytes | memoryview]) -> list[int]:
        """Send requests: what each wants, what it is about, and the bytes that belong to it; their numbers."""
        numbers: list[int] = []
        parts: list[bytes | memoryview] = []
        for kind, about, data in requests:
            number = next(self.numbers) & 0xFFFFFFFF
            head = struct.pack(">IBI", 5 + len(about) + len(data), kind, number)
            parts += [head + about, data] if data else [head + about]
            numbers.append(number)
        self.replies.update(dict.fromkeys(numbers))
        self.send(*parts)
        return numbers

    def send(self, *parts: bytes | memoryview) -> None:
        """Send bytes, and read meanwhile if nobody else does: a server may take no more before it is heard."""
        with self.sending:
            left, heard = [memoryview(part) for part in parts], time.monotonic()
            while left:
                if self.error:
                    raise self.error
                try:
                    count = os.writev(self.line.to_server, left[:WAYS])
                except BlockingIOError:
                    if time.monotonic() > heard + self.silence:
                        raise self.fail(TimeoutError("timed out")) from None
                    self.make_room()
                    continue
                except OSError as error:
                    raise self.fail(error) from error
                heard = time.monotonic()
                while left and count >= len(left[0]):
                    count -= len(left.pop(0))
                if count:
                    left[0] = left[0][count:]

    def make_room(self) -> None:
        """Wait until the line takes more."""
        is_reader = self.turn.acquire(blocking=False)
        try:
            poll = select.poll()
            poll.register(self.line.to_server, select.POLLOUT)
            if is_reader:
                poll.register(self.line.from_server, select.POLLIN)
                poll.register(self.line.said, select.POLLIN)
            ready = {descriptor for descriptor, _ in poll.poll(TICK * 1000)}
            if self.line.said in ready:
                self.line.hear()
            if self.line.from_server in ready:
                self.share(self.receive())
        finally:
            if is_reader:
                self.pass_on()

    # And back.

    def can_read(self, seconds: float) -> bool:
        """Whether there is something to read, or the end, in so many seconds; what the line says besides is heard."""
        poll = select.poll()
        poll.register(self.line.from_server, select.POLLIN)
        poll.register(self.line.said, select.POLLIN)
        ready = {descriptor for descriptor, _ in poll.poll(max(0.0, seconds) * 1000)}
        if self.line.said in ready:
            self.line.hear()
        return self.line.from_server in ready

    def receive(self) -> list[memoryview]:
        """The packets that have come."""
        try:
            return self.inflow.read()
        except (OSError, EOFError, ValueError) as error:
            raise self.fail(error) from error

    def share(self, packets: list[memoryview]) -> None:
        """Put replies where they are waited for."""
        for packet in packets:
            (number,) = struct.unpack_from(">I", packet, 1)
            if number in self.replies:
                self.replies[number] = packet
            else:  # nobody waits for it any more
                self.inflow.take_back(packet)

    def pass_on(self) -> None:
        """Let others read."""
        self.turn.release()
        if self.waiting:
            with self.change:
                self.change.notify_all()

    def reply(
        self, number: int, seconds: float, drip: Drip | None = None, is_over: Callable[[], bool] = bool
    ) -> memoryview:
        """The reply to a request, which is there or comes; the line may be silent for so many seconds."""
        heard, total = time.monotonic(), self.inflow.total
        while (packet := self.replies[number]) is None:
            if self.error:
                raise self.error
            began = time.monotonic()
            if is_over():
                raise OSError("hung up")
            if began >= heard + seconds:
                raise self.fail(TimeoutError("timed out"))
            self.wait(number)
            came, now = self.inflow.total - total, time.monotonic()
            if came:
                heard, total = now, self.inflow.total
            if drip:
                drip.take(came, now - began)
        del self.replies[number]
        return packet

    def wait(self, number: int) -> None:
        """Wait a little for a reply: read, or let the one read who does."""
        if self.turn.acquire(blocking=False):
            try:
                if self.replies[number] is None and self.can_read(TICK):
                    self.share(self.receive())
            finally:
                self.pass_on()
            return
        with self.change:
            self.waiting += 1
            if self.replies[number] is None and self.turn.locked() and not self.error:
                self.change.wait(TICK)
            self.waiting -= 1

    def forget(self, numbers: list[int]) -> None:
        """Nobody waits for these replies."""
        for number in numbers:
            packet = self.replies.pop(number, None)
            if packet is not None:
                self.inflow.take_back(packet)
