"""Answers, whichever library brings them: each wait has an end, and so has each answer."""

from __future__ import annotations

import contextlib
import functools
import io
import math
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Callable
from urllib.parse import unquote

from gridsync_parts.doors import BITE
from gridsync_parts.doors.drip import Drip
from gridsync_parts.doors.urls import mask_url, netloc_of
from gridsync_parts.errors import CredentialError, DoorError, FileError, GridError, Saying, Unreached, error_for
from gridsync_parts.keys import CA_REMEDY
from gridsync_parts.table import Site
from gridsync_parts.words import moment_text

if TYPE_CHECKING:
    import socket


LOOK = 1.0  # seconds of a read after which what came is counted, however little it is
SOON = 0.01  # seconds in which an answer comes that is there already
MAX_JSON = 4 << 20  # bytes of an answer in JSON; of 500 files 8 kB each, and objects take 30 times as much
MAX_HEAD = 1 << 20  # bytes of what comes before a body, interim answers too, and around a bite of it

# What the libraries say of a request without answer.
CONNECTION_ERRORS = (
    Saying(r"(hostname|ip address) mismatch|doesn't match", DoorError,
           "the certificate of {host} is for another host; check SERVER in Grid.conf"),
    Saying(r"verify failed.*(expired|not yet valid)", DoorError,
           "the certificate of {host} is not valid now; is this machine's clock right ({clock})?"),
    Saying(r"verify failed", DoorError, "the certificate of {host} is not signed by any CA in {ca}; "
           f"{CA_REMEDY}; or set CA_DIR"),
    Saying(r"alert.*certificate|certificate.*alert", CredentialError,
           "{host} does not accept your proxy; make a new one with --new_proxy"),
    Saying(r"name or service not known|name resolution|nodename nor servname", Unreached,
           "no address is known for {host}; check SERVER in Grid.conf and your network", passing=True),
    Saying(r"refused", Unreached,
           "{host} refuses the connection: down, or blocked by a firewall", passing=True),
    Saying(r"unreachable|no route", Unreached, "there is no route to {host}; check your network", passing=True),
    Saying(r"too slow", DoorError,
           "{host} sends more slowly than MIN_RATE in Grid.conf; the host or the network is overloaded", passing=True),
    Saying(r"no end", DoorError, "{host} sends an endless answer; ask the site", passing=True),
    Saying(r"timed out", DoorError,
           "{host} does not answer: overloaded, or blocked by a firewall", passing=True),
    Saying(r"wrong version number|badstatusline: (?!h|$)|unknown protocol", DoorError,
           "{host} is not an https door; check SERVER in Grid.conf, also its scheme and port"),
    Saying(r"ssl|eof occurred", DoorError,
           "{host} ended the TLS handshake; is your proxy valid (--proxy_status)?", passing=True),
    Saying(r"", DoorError, "the connection to {host} broke off ({error}); try again", passing=True),
)  # fmt: skip


def connection_error(error: Exception, url: str, ca: str | None) -> GridError:
    """The sentence for a request that got no answer."""
    text = f"{type(error).__name__}: {error}".replace("_", " ")
    words = {"host": "{}:{}".format(*netloc_of(url)), "ca": ca or "the system", "error": type(error).__name__}
    return error_for(CONNECTION_ERRORS, text, **words, clock=moment_text(time.time()))


def is_timeout(error: OSError) -> bool:
    """Whether a wait has lasted as long as it may; TLS has words of its own for it."""
    return not error.errno and "timed out" in str(error)


class Watch(io.RawIOBase):
    """What comes over a line, and an end to it: to each wait, to a head, to what drips, to what goes on and on."""

    def __init__(self, sock: socket.socket, site: Site):
        self.socket = sock
        self.site = site
        self.ends = time.monotonic() + site.first_byte  # of the head; then of nothing
        self.tick = min(site.first_byte, site.silence) / 2  # of each wait at the socket: to set another one takes time
        self.room = MAX_HEAD  # bytes that may still come
        self.is_begun = False
        self.fills = False  # what is asked for in one piece is wanted in one
        self.is_ended = False  # by the server, as far as a glance has shown
        self.drip = Drip(site)
        self.hold: io.RawIOBase | None = None  # what keeps the socket open when a library closes it in front of a body
        self.limit_waits(self.tick)

    def makefile(self, _mode: str) -> io.BufferedReader:
        """As of the socket, for which http.client takes it."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        """What it is there for."""
        return True

    def close(self) -> None:
        """Nothing more is to be read."""
        super().close()
        if self.hold:
            self.hold.close()

    def readinto(self, buffer: Any) -> int | None:
        """More bytes, or an error when there is to be an end."""
        if self.socket.gettimeout() == 0:
            return self.glance(buffer)
        began = time.monotonic()
        if self.fills and len(buffer) > io.DEFAULT_BUFFER_SIZE:  # else it is for that of BufferedReader
            count = self.fill(memoryview(buffer))
        else:
            seconds = self.site.silence if self.ends == math.inf else self.ends - began
            count = self.receive(buffer, seconds if self.is_begun else max(seconds, SOON))
        self.room -= count
        if self.room < 0:
            raise OSError("no end")
        self.drip.take(count, time.monotonic() - began if self.is_begun else 0)
        self.is_begun = True
        return count

    def fileno(self) -> int:
        """What can be waited for."""
        return self.socket.fileno()

    def hang_up(self) -> None:
        """End the connection under a thread that reads from it."""
        import socket

        with contextlib.suppress(OSError):
            # TLS's own would pull the rug from the reader.
            socket.socket.shutdown(self.socket, socket.SHUT_RDWR)

    def limit_waits(self, seconds: float) -> None:
        """Have each wait at the socket last so long at the most."""
        if self.socket.gettimeout() != seconds:
            self.socket.settimeout(seconds)

    def receive(self, buffer: Any, seconds: float) -> int:
        """More bytes within so many seconds."""
        while seconds > 0:
            wait = min(seconds, self.tick)
            self.limit_waits(wait)
            try:
                return self.socket.recv_into(buffer)
            except OSError as error:
                if not is_timeout(error):
                    raise
            seconds -= wait
        raise TimeoutError("timed out")

    def fill(self, buffer: memoryview) -> int:
        """Bytes until there is room for no more, or no more come, or it is time to look how many came.

        TLS gives 16 kB at a time: looks at the clock and frames around each were a seventh of a large file's CPU.
        """
        ends, silence, count = time.monotonic() + LOOK, self.site.silence, 0
        self.limit_waits(self.tick)
        while count < len(buffer) and time.monotonic() < ends:
            try:
                came = self.socket.recv_into(buffer[count:])
            except OSError as error:
                if not is_timeout(error):
                    raise
                came = self.receive(buffer[count:], silence - self.tick)
                self.limit_waits(self.tick)
            if not came:
                break
            count += came
        return count

    def glance(self, buffer: Any) -> int | None:
        """The bytes that are there already; None if there are none yet."""
        import ssl

        try:
            count = self.socket.recv_into(buffer)
        except (BlockingIOError, ssl.SSLWantReadError):
            return None
        self.is_ended = not count
        return count


@functools.cache
def response_class() -> Any:
    """http.client's, for which each interim answer is one that another follows, as for HTTP itself."""
    import http.client

    class Response(http.client.HTTPResponse):
        sending: Any = None  # what goes to the server before its answer

        def _read_status(self) -> tuple[str, int, str]:
            if self.sending:
                self.sending.go(self.fp)
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if self.sending and status == 100:
                self.sending.is_wanted = True
            return version, 100 if 101 < status < 200 else status, reason

    return Response


class Answer:
    """A response whose errors are GridErrors; each library has its own kind."""

    def __init__(self, response: Any, status: int, watch: Watch, url: str):
        self.response = response  # the library's
        self.status = status
        self.watch = watch
        watch.ends = math.inf
        self.url = url
        self.headers: dict[str, str] = {}  # those that came, in lower case
        self.beginning: bytes | None = None  # of a drained body

    def read_into(self, buffer: memoryview) -> int:
        """Bytes of the body, as many as fit; an error of Python's own if they do not come."""
        raise NotImplementedError

    def some(self) -> bytes:
        """Bytes of the body as soon as there are any, none at its end; an error of Python's own if it breaks off."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of the connection."""
        raise NotImplementedError

    def header(self, name: str) -> str:
        """A header, or empty; of several of one name all."""
        if not self.headers:  # one pass, as libraries look through all of them each time
            for key, value in self.response.headers.items():
                key = key.lower()
                self.headers[key] = f"{self.headers[key]}, {value}" if key in self.headers else value
        return self.headers.get(name.lower(), "")

    def bite(self, buffer: memoryview) -> int:
        """Bytes of the body, as many as fit; what is around them in chunks may take as many again."""
        self.watch.room = 2 * len(buffer) + MAX_HEAD
        self.watch.fills = True
        return self.read_into(buffer)

    def chunks(self, awaited: int, surplus: Callable[[], GridError] | None = None) -> Iterator[memoryview]:
        """The body as it arrives, each piece in the place of the last, up to what is awaited: it may have no end.

        If it must have one there, the last piece comes once it was seen; else the surplus is an error, made then.
        """
        import http.client

        buffer = memoryview(bytearray(min(BITE, awaited)))
        try:
            # In small bites: of what a dying connection has brought, only a bite that is full counts.
            while awaited > 0 and (count := self.bite(buffer[: min(BITE, awaited)])):
                awaited -= count
                if surplus and not awaited and self.bite(memoryview(bytearray(1))):
                    raise surplus()
                yield buffer[:count]
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise connection_error(error, self.url, None) from error

    def arriving(self) -> Iterator[bytes]:
        """The body as it comes, however little that is, and however long it goes on."""
        import http.client

        try:
            while True:
                self.watch.room, self.watch.fills = 2 * BITE + MAX_HEAD, False
                if not (data := self.some()):
                    return
                yield data
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise connection_error(error, self.url, None) from error

    def file_chunks(self, awaited: int, surplus: Callable[[], GridError] | None) -> Iterator[memoryview]:
        """The same of a file: what fails is of this one alone, as others may come from other pools."""
        try:
            yield from self.chunks(awaited, surplus)
        except DoorError as error:
            raise FileError(str(error), error.passing) from error

    def whole(self, limit: int) -> Iterator[memoryview]:
        """The whole body, which must not be longer."""
        try:
            for chunk in self.chunks(limit + 1):
                limit -= len(chunk)
                if limit < 0:
                    raise DoorError(f"{mask_url(unquote(self.url))}: the answer is much too long; ask the site")
                yield chunk
        finally:
            self.close()

    def content(self, limit: int) -> bytes:
        """The same in one piece."""
        return b"".join(map(bytes, self.whole(limit)))

    def json(self) -> Any:
        """The body as JSON; ValueError if it is none."""
        import json

        return json.loads(self.content(MAX_JSON))

    def hang_up(self) -> None:
        """End the connection under a thread that reads from it."""
        self.watch.hang_up()

    def drain(self) -> bytes:
        """The beginning of a body that is not wanted; if that was all, the connection can be used again."""
        if self.beginning is None:
            try:
                self.beginning = bytes(next(self.chunks(BITE), b""))
            finally:
                self.close()
        return self.beginning
