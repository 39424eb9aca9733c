"""The bytes of a file on their way to a server: it is asked first whether it wants them, and may say no at any time."""

from __future__ import annotations

import contextlib
import io
import select
import time
from array import array
from collections.abc import Iterator

from gridsync_parts.doors import Sent
from gridsync_parts.doors.answers import Watch
from gridsync_parts.errors import Changed

ASK = {"Expect": "100-continue"}
PAUSE = 10  # seconds for that word; dCache needs some, as it looks for a pool first, and some servers never say it
GLANCE = 0.1  # seconds between looks at what still waits here


class UnreadError(Exception):
    """What is to be sent can't be read, as its cause says, or has another size than it had."""


def pieces_of(sent: Sent) -> Iterator[bytes | memoryview]:
    """What is to be sent, and no byte more; UnreadError if it can't be read, or has another size."""
    left, chunks = sent.size, sent.chunks()
    while True:
        try:
            piece = next(chunks, None)
        except Exception as error:
            raise UnreadError from error
        left -= len(piece or b"")
        if left < 0 or (piece is None and left):
            raise UnreadError
        if piece is None:
            return
        yield piece


def unread(error: UnreadError, place: str) -> BaseException:
    """What is wrong with what was to be sent."""
    said = f"{place}: its source has changed while it was being sent"
    return error.__cause__ or Changed(said, passing=True)


class Sending:
    """The bytes of one request: they go once their server has said that it wants them, or nothing for too long."""

    def __init__(self, sent: Sent, watch: Watch, is_asked: bool):
        self.sent = sent
        self.watch = watch
        self.is_wanted = not is_asked
        self.wanted_by = time.monotonic() + PAUSE
        self.is_unanswered = False  # the server was asked, and has said nothing
        self.is_over = False  # all has been sent
        self.pieces = (memoryview(piece) for piece in pieces_of(sent))
        self.piece: memoryview | None = None  # one that waits while the server says something
        self.poll = select.poll()
        self.poll.register(watch.socket)

    def go(self, file: io.BufferedReader) -> None:
        """Send what is left of them, unless an answer is there already, which is to be read from that file."""
        if self.is_over:  # an interim answer has come, and gives no more time for the one that counts
            return
        site = self.watch.site
        self.watch.socket.settimeout(0)  # whoever waits to send does not hear what the server says
        self.poll.modify(self.watch.socket, select.POLLIN)
        if not self.is_wanted and not self.is_answered(file, self.wanted_by - time.monotonic()):
            self.is_wanted = self.is_unanswered = True
        if self.is_wanted:
            try:
                self.is_over = self.send(file)
                if self.is_over:
                    self.await_arrival(file)
            except OSError:
                if not self.is_answered(file, 0):  # that it will have no more of it
                    raise
        self.watch.ends = time.monotonic() + site.first_byte
        self.watch.limit_waits(self.watch.tick)

    def is_answered(self, file: io.BufferedReader, seconds: float) -> bool:
        """Whether the server says something in time, or has hung up; what TLS has to say by itself is no answer."""
        ends = time.monotonic() + seconds
        while not file.peek(1) and not self.watch.is_ended:
            left = ends - time.monotonic()
            if left <= 0:
                return False
            self.poll.poll(left * 1000)
        return True

    def send(self, file: io.BufferedReader) -> bool:
        """Send what is left; False if the server says something before that."""
        self.poll.modify(self.watch.socket, select.POLLIN | select.POLLOUT)
        while piece := self.piece or next(self.pieces, None):
            self.piece = piece
            events = self.poll.poll(self.watch.site.silence * 1000)
            if not events:
                raise TimeoutError("timed out")
            if events[0][1] & ~select.POLLOUT and self.is_answered(file, 0):
                return False
            self.piece = piece[self.hand_over(piece) :]
        return True

    def await_arrival(self, file: io.BufferedReader) -> None:
        """Wait until the server's machine has all, or an answer is there: its time to answer begins only then.

        On a slow line megabytes wait here when the last of them is handed over.
        """
        self.poll.modify(self.watch.socket, select.POLLIN)
        waiting, ends = self.waiting(), time.monotonic() + self.watch.site.silence
        while waiting and not self.is_answered(file, GLANCE):
            left = self.waiting()
            if left < waiting:
                waiting, ends = left, time.monotonic() + self.watch.site.silence
            elif time.monotonic() > ends:
                raise TimeoutError("timed out")

    def waiting(self) -> int:
        """Bytes that the server's machine has not acknowledged; 0 where the system does not say."""
        import fcntl
        import termios

        told = array("i", [0])
        with contextlib.suppress(OSError):
            fcntl.ioctl(self.watch.socket, termios.TIOCOUTQ, told)
        return told[0]

    def hand_over(self, piece: memoryview) -> int:
        """Give the line as many bytes as it has room for; TLS takes all or none, and then the same again."""
        import ssl

        try:
            return self.watch.socket.send(piece)
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            return 0
