"""A file on its way here by SFTP: some requests are always under way."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator

from gridsync_parts.doors.answers import connection_error
from gridsync_parts.doors.channels import Line
from gridsync_parts.doors.drip import Drip
from gridsync_parts.doors.remote import Remote
from gridsync_parts.doors.sftp import CLOSE, DATA, EOF, FSTAT, READ, Attributes, Refused, check_status
from gridsync_parts.errors import Changed, DoorError, FileError

AHEAD = 16  # requests that are under way


def data_of(packet: memoryview) -> memoryview:
    """The bytes in a reply; none at the end of a file."""
    try:
        check_status(packet)
    except Refused as error:
        if error.code == EOF:
            return packet[:0]
        raise
    (count,) = struct.unpack_from(">I", packet, 5)
    if packet[0] != DATA or count > len(packet) - 9:
        raise struct.error("no data")
    return packet[9 : 9 + count]


class Incoming:
    """An open file, and the channel that it comes by."""

    def __init__(self, remote: Remote, path: str, line: Line, handle: bytes):
        self.remote = remote
        self.path = path
        self.line: Line | None = line  # until it is given back
        self.channel = line.channel
        self.handle = handle
        self.asked: deque[tuple[int, int, int]] = deque()  # numbers of requests, and which bytes they are about
        self.next = self.stop = 0  # bytes that are still to be asked for
        self.last = 0  # the request that tells whether it is still the same at the end
        self.is_over = False  # nobody is to wait for it any more

    def order(self, *first: int) -> list[int]:
        """Ask for more, after what else is asked about it; behind its last bytes it is closed."""
        extensions, is_first = self.remote.channels.extensions, bool(first)
        requests = [(kind, self.handle, b"") for kind in first]
        pieces: list[tuple[int, int]] = []
        while self.next < self.stop and len(self.asked) + len(pieces) < AHEAD:
            count = min(extensions.read, self.stop - self.next)
            pieces.append((self.next, count))
            requests.append((READ, self.handle + struct.pack(">QI", self.next, count), b""))
            self.next += count
        is_last = self.next == self.stop
        if is_last and not (is_first and len(pieces) == 1):
            requests.append((FSTAT, self.handle, b""))
        is_closed = is_last and not extensions.waits_for_close
        numbers = self.channel.ask(*requests, *([(CLOSE, self.handle, b"")] if is_closed else []))
        if is_closed:
            self.handle = b""
            self.channel.forget(numbers[len(requests) :])
        behind = numbers[len(first) :]
        self.asked.extend((number, *piece) for number, piece in zip(behind, pieces))
        if len(requests) > len(first) + len(pieces):
            self.last = behind[len(pieces)]
        return numbers[: len(first)]

    def begin(self, start: int, stop: int) -> Attributes:
        """Ask for its first bytes, and what it is."""
        self.next, self.stop = start, stop
        (number,) = self.order(FSTAT)
        return self.remote.attributes(self.channel, number)

    def chunks(self, begun: Attributes) -> Iterator[memoryview]:
        """Its bytes as they come; what fails is a matter of this file, which is tried again."""
        drip, silence = Drip(self.remote.site), self.remote.site.silence
        try:
            with self.remote.errors(self.path):
                while self.asked:
                    number, at, count = self.asked.popleft()
                    packet = self.channel.reply(number, silence, drip, lambda: self.is_over)
                    data = data_of(packet)
                    if len(data) > count:
                        raise struct.error("more than was asked for")
                    if len(data) < count:
                        self.miss(data, at + len(data), count - len(data))
                    if self.next < self.stop and len(self.asked) <= AHEAD // 2:
                        self.order()
                    if not self.asked:
                        self.check(begun)
                    if data:
                        yield data
                    self.channel.inflow.take_back(packet)
        except OSError as error:  # it drips, or is to be waited for no more
            raise FileError(str(connection_error(error, self.remote.site.server, None)), passing=True) from error
        except DoorError as error:
            raise FileError(str(error), error.passing) from error

    def miss(self, data: memoryview, at: int, count: int) -> None:
        """Less has come than was asked for: the rest is asked for again, unless it was the end."""
        if data and self.handle:
            (number,) = self.channel.ask((READ, self.handle + struct.pack(">QI", at, count), b""))
            self.asked.appendleft((number, at, count))
            return
        # A server that sends less than it could is told to close a file only when all of it has come.
        self.remote.channels.extensions.waits_for_close = bool(data) or self.remote.channels.extensions.waits_for_close
        self.channel.forget([number for number, *_ in self.asked])
        self.asked.clear()
        self.next = self.stop

    def check(self, begun: Attributes) -> None:
        """Refuse what has changed since its first bytes were asked for."""
        if self.last:
            number, self.last = self.last, 0
            if self.remote.attributes(self.channel, number) != begun:
                place = self.remote.place(self.path)
                raise Changed(f"{place}: changed at the site while it was being copied", passing=True)

    def close(self) -> None:
        """Let go of the file, and of the channel."""
        line, self.line = self.line, None
        if line is None:
            return
        try:
            self.channel.forget([*(number for number, *_ in self.asked), self.last])
            self.asked.clear()
            if self.handle and not self.channel.error:
                self.channel.forget(self.channel.ask((CLOSE, self.handle, b"")))
        except DoorError:  # there is nothing left to let go of
            pass
        finally:
            self.remote.channels.give_back(line)

    def hang_up(self) -> None:
        """Whoever waits for its bytes waits no more."""
        self.is_over = True
