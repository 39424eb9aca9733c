"""SFTP as servers may speak it that are no OpenSSH: in pieces, out of order, short, or not at all."""

from __future__ import annotations

import contextlib
import os
import struct
import threading
from collections.abc import Iterator
from typing import Callable

import pytest

from gridsync_parts.doors.channels import Channels, Extensions, Line
from gridsync_parts.doors.remote import Remote
from gridsync_parts.doors.sftp import (
    ATTRS,
    CLOSE,
    DATA,
    EOF,
    FSTAT,
    HAS_MORE,
    HAS_SIZE,
    HAS_TIMES,
    READ,
    STATUS,
    Attributes,
    Channel,
    Refused,
    attributes_at,
    check_status,
    text,
)
from gridsync_parts.doors.sftpin import Incoming
from gridsync_parts.errors import Changed, FileError
from gridsync_parts.table import Site

SITE = Site("SSH", "sftp://me@door", first_byte=5, silence=5)
CONTENT = bytes(range(256)) * 40
Answer = Callable[[int, int, bytes], bytes]


def packet(kind: int, number: int, data: bytes) -> bytes:
    return struct.pack(">IBI", 5 + len(data), kind, number) + data


def status(number: int, code: int, said: bytes = b"said") -> bytes:
    return packet(STATUS, number, struct.pack(">I", code) + text(said) + text(b""))


class Wire:
    """A line to a server that is a function of a request: its number, kind and what is behind."""

    def __init__(self, answer: Answer, piece: int = 1 << 20) -> None:
        self.answer = answer
        self.piece = piece  # bytes that come at once
        requests, self.to_server = os.pipe()
        self.from_server, replies = os.pipe()
        self.said, self.silent = os.pipe()
        self.requests = os.fdopen(requests, "rb")
        self.replies = replies
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self) -> None:
        with contextlib.suppress(OSError, struct.error, ValueError):
            while True:
                (length,) = struct.unpack(">I", self.requests.read(4))
                kind, number = struct.unpack(">BI", self.requests.read(5))
                reply = self.answer(number, kind, self.requests.read(length - 5))
                for at in range(0, len(reply), self.piece):
                    os.write(self.replies, reply[at : at + self.piece])

    def hear(self) -> None:
        """It says nothing."""

    def failure(self, error: Exception) -> Exception:
        return FileError(f"{type(error).__name__}: {error}")

    def close(self) -> None:
        os.close(self.to_server)
        self.thread.join(10)
        for descriptor in (self.from_server, self.replies, self.said, self.silent):
            with contextlib.suppress(OSError):
                os.close(descriptor)


@pytest.fixture
def wired() -> Iterator[Callable[..., tuple[Channel, Wire]]]:
    wires: list[Wire] = []

    def make(answer: Answer, piece: int = 1 << 20, silence: float = 5) -> tuple[Channel, Wire]:
        wires.append(Wire(answer, piece))
        return Channel(wires[-1], silence), wires[-1]

    yield make
    for wire in wires:
        wire.close()


def server(most: int = 1 << 20, mtimes: tuple[int, ...] = ()) -> Answer:
    """It has one file, and sends so many of its bytes at the most; of a closed file it sends none."""
    closed: list[bool] = []
    times = iter(mtimes)

    def answer(number: int, kind: int, about: bytes) -> bytes:
        if kind == FSTAT:
            found = struct.pack(">IQII", HAS_SIZE | HAS_TIMES, len(CONTENT), 1, next(times, 7))
            return packet(ATTRS, number, found)
        if kind == READ and not closed:
            at, count = struct.unpack(">QI", about[-12:])
            data = CONTENT[at : at + min(count, most)]
            return packet(DATA, number, text(data)) if data else status(number, EOF)
        if kind == CLOSE:
            closed.append(True)
            return status(number, 0)
        return status(number, 4)

    return answer


def incoming(channel: Channel, is_greedy: bool = True, most: int = 1000) -> Incoming:
    """The file on its way, in requests of so many bytes."""
    remote = Remote.__new__(Remote)
    remote.site, remote.root, remote.server = SITE, "", "sftp://door"
    channels = Channels.__new__(Channels)
    channels.extensions, channels.lock, channels.lines = Extensions({}), threading.Lock(), []
    channels.extensions.read, channels.extensions.waits_for_close = most, not is_greedy
    remote.channels = channels
    line = Line.__new__(Line)
    line.channel, line.users = channel, 1
    return Incoming(remote, "a", line, text(b"handle"))


def read(file: Incoming, start: int = 0, stop: int = len(CONTENT)) -> bytes:
    try:
        return b"".join(map(bytes, file.chunks(file.begin(start, stop))))
    finally:
        file.close()


@pytest.mark.parametrize("piece", [1, 3, 9, 1000, 1 << 20])
def test_packets_come_in_whatever_pieces(wired, piece):
    channel, _ = wired(server(), piece)
    assert read(incoming(channel, most=7000)) == CONTENT
    assert channel.replies == {}  # nobody waits for anything any more


@pytest.mark.parametrize(("start", "stop"), [(0, 1), (0, 999), (1, 1001), (5000, len(CONTENT)), (0, len(CONTENT))])
def test_a_range_comes_in_several_requests(wired, start, stop):
    channel, _ = wired(server())
    assert read(incoming(channel), start, stop) == CONTENT[start:stop]


def test_a_server_that_sends_less_is_asked_for_the_rest(wired):
    channel, _ = wired(server(most=300))
    file = incoming(channel, is_greedy=False)
    assert read(file) == CONTENT


def test_a_server_that_was_not_known_to_send_less_is_known_from_then_on(wired):
    channel, _ = wired(server(most=300))
    file = incoming(channel, most=20_000)
    assert CONTENT.startswith(read(file))  # the file is tried again, from there on
    assert file.remote.channels.extensions.waits_for_close


def test_a_file_that_became_shorter_ends(wired):
    channel, _ = wired(server())
    found = read(incoming(channel), 0, len(CONTENT) + 5000)
    assert found == CONTENT


def test_a_file_that_changes_meanwhile_is_noticed_before_its_last_bytes(wired):
    channel, _ = wired(server(mtimes=(7, 8)))
    file, got = incoming(channel), b""
    with pytest.raises(Changed, match="changed at the site"):
        for data in file.chunks(file.begin(0, len(CONTENT))):
            got += bytes(data)
    file.close()
    assert len(got) < len(CONTENT)


def test_replies_come_in_whatever_order_to_whoever_waits(wired):
    held: list[bytes] = []

    def answer(number: int, kind: int, about: bytes) -> bytes:
        held.append(status(number, number % 100))
        if len(held) < 8:
            return b""
        return b"".join(reversed(held))

    channel, _ = wired(answer)
    codes: dict[int, int] = {}

    def ask() -> None:
        (number,) = channel.ask((READ, b"about", b""))
        try:
            check_status(channel.reply(number, 10))
            codes[number] = 0
        except Refused as error:
            codes[number] = error.code

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert codes == {number: number for number in range(1, 9)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("said", "fails"),
    [
        (b"Welcome to the machine\n", "ValueError: Welcome"),
        (struct.pack(">I", 1 << 31) + bytes(100), "ValueError"),
        (struct.pack(">I", 2) + b"ab", "ValueError"),
        (b"Hi\n", "TimeoutError"),  # it may still say more
    ],
)
def test_what_is_no_packet_ends_the_channel_for_all(wired, said, fails):
    channel, _ = wired(lambda number, kind, about: said)
    for _ in range(2):
        with pytest.raises(FileError, match=fails):
            (number,) = channel.ask((READ, b"", b""))
            channel.reply(number, 0.5)


@pytest.mark.slow
def test_a_server_that_takes_nothing_is_left(wired):
    event = threading.Event()

    def answer(number: int, kind: int, about: bytes) -> bytes:
        event.wait(20)
        return b""

    channel, wire = wired(answer, silence=0.5)
    os.set_blocking(wire.to_server, False)
    with pytest.raises(FileError, match="TimeoutError"):
        for _ in range(10):
            channel.ask((READ, b"", bytes(100_000)))
    event.set()


def test_who_is_not_waited_for_any_more_hangs_nobody_up(wired):
    event = threading.Event()

    def answer(number: int, kind: int, about: bytes) -> bytes:
        event.wait(20)
        return status(number, 0)

    channel, _ = wired(answer)
    first, second = channel.ask((READ, b"", b""), (READ, b"", b""))
    with pytest.raises(OSError, match="hung up"):
        channel.reply(first, 10, is_over=lambda: True)
    event.set()
    check_status(channel.reply(second, 10))


def test_attributes_are_read_as_far_as_they_go():
    data = struct.pack(">IQIII", 1 | 2 | 4, 5, 0, 0, 0o100644)
    assert attributes_at(memoryview(data), 0) == (Attributes(5, 0o100644, 0), len(data))
    with pytest.raises(struct.error):
        attributes_at(memoryview(struct.pack(">II", HAS_MORE, 0xFFFFFFFF)), 0)
    with pytest.raises(struct.error):
        attributes_at(memoryview(struct.pack(">II", HAS_SIZE, 1)), 0)
