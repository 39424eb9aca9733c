"""A small HTTP(S) server: one thread a connection, HTTP/1.1 keep-alive, loopback only, every request noted in a log."""

from __future__ import annotations

import collections
import contextlib
import json
import math
import re
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import cached_property
from http import HTTPStatus
from io import BufferedIOBase
from itertools import accumulate
from typing import Any, NoReturn, Protocol, Union
from urllib.parse import parse_qsl, unquote_to_bytes

PATIENCE = 300  # seconds for anything that a client or a fault may draw out
LINE = 65536
MAX_HEADERS = 100
MAX_BODY = 64 << 20  # of what stands in memory at once; uploads may be longer
SMALL = 64 * 1024  # up to here headers and body go out in one write
CHUNK = 32 * 1024  # of a chunked body
WRITES = 50  # writes a second to a connection of limited bandwidth
BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
BOUNDARY = "__AAAAAAAAAAAAAAAA__"

Connection = Union[ssl.SSLSocket, socket.socket]
Pieces = Iterable[Union[bytes, memoryview]]
Spans = list[tuple[int, int]]


class Wire(Protocol):
    """What may be turned about a server's connections at any time; Switches has these fields."""

    server: str
    handshake: str
    idle_close: float
    latency: float
    bandwidth: float


@dataclass
class Record:
    """One request in the log; noted when it comes, `status`, `answered` and `sent` before the bytes go out."""

    role: str
    method: str
    path: str
    range: str | None = None
    client: str | None = None
    certificate: bool = False  # was one shown?
    token: bool = False  # the same; the token itself is never kept
    port: int = 0  # the client's, one for each of its connections
    fault: str | None = None
    status: int = 0
    sent: int = 0
    came: float = field(default_factory=time.monotonic)
    answered: float = math.inf  # when the reply was made; the client can't ask anew before


class Log:
    """The requests of all listeners in the order of their arrival."""

    def __init__(self) -> None:
        self._records: list[Record] = []  # append and copy are atomic

    def __iter__(self) -> Iterator[Record]:
        return iter(list(self._records))

    def add(self, record: Record) -> None:
        self._records.append(record)

    def matching(self, **wanted: object) -> list[Record]:
        """The records whose fields have these values: matching(role="pool", method="GET")."""
        return [r for r in self if all(getattr(r, name) == value for name, value in wanted.items())]

    def count(self, **wanted: object) -> int:
        return len(self.matching(**wanted))

    def clear(self) -> None:
        self._records = []

    def most_at_once(self, **wanted: object) -> int:
        """How many of the matching requests were being answered at one moment, at the most."""
        matching = self.matching(**wanted)
        turns = sorted([(r.answered, -1) for r in matching] + [(r.came, 1) for r in matching])
        return max(accumulate((turn for _, turn in turns), initial=0))


class Cut(ConnectionError):
    """A client has left in the middle of its body."""


@dataclass
class Request:
    method: str
    target: str  # the path as the client wrote it
    path: str
    query: dict[str, str]
    headers: dict[str, str]  # names in lower case
    connection: Connection
    record: Record
    stream: BufferedIOBase
    is_read: bool = False  # has anybody asked for the body?
    asked: str = ""  # what stands behind the question mark; `query` has one value of each name

    @property
    def origin(self) -> str:
        return "https://" + self.headers.get("host", "localhost")

    @property
    def expects(self) -> bool:
        """Does the client wait for a word before it sends the body?"""
        return self.headers.get("expect", "").lower() == "100-continue"

    @cached_property
    def body(self) -> bytes:
        """All of it."""
        return b"".join(self.pieces(MAX_BODY))

    def pieces(self, limit: float = math.inf) -> Iterator[bytes]:
        """The body as it comes; a client that waits with it is told to go on when somebody first looks at it."""
        self.is_read = True
        if self.expects:
            self.connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self.headers.get("transfer-encoding", "").lower() != "chunked":
            yield from self._next(int(min(int(self.headers.get("content-length", 0)), limit)))
            return
        while size := int(self._line().partition(b";")[0], 16):
            yield from self._next(size)
            self.stream.readline(LINE)
        while self.stream.readline(LINE).strip():  # trailers
            pass

    def _line(self) -> bytes:
        """The line before a chunk."""
        line = self.stream.readline(LINE)
        if not line:
            raise Cut("the body ends early")
        return line

    def _next(self, size: int) -> Iterator[bytes]:
        while size:
            piece = self.stream.read1(min(size, LINE))
            if not piece:
                raise Cut("the body ends early")
            size -= len(piece)
            yield piece


@dataclass
class Stream:
    """A body that is produced while it is sent; it may end before its length, as a fault. None: nobody knows it yet,
    which needs a chunked reply."""

    length: int | None
    pieces: Pieces


@dataclass
class Reply:
    status: int
    body: bytes | Stream = b""
    headers: dict[str, str] = field(default_factory=dict)
    reason: str = ""
    chunked: bool = False
    dated: bool = True
    delivery: Callable[[Stream], Pieces] | None = None  # a fault between the body and the line


class Server:
    """A listener of one role: `tls` gives the context of a new connection (None: no TLS), `answer` turns a request into
    a reply, `closed` hears of each ended connection."""

    def __init__(
        self,
        role: str,
        tls: Callable[[], ssl.SSLContext] | None,
        log: Log,
        wire: Wire,
        answer: Callable[[Request], Reply],
        closed: Callable[[Connection], None] = lambda connection: None,
    ) -> None:
        self.role = role
        self._tls = tls
        self._log = log
        self._wire = wire
        self._answer = answer
        self._closed = closed
        self._connections: set[Connection] = set()
        self._listener = _bound(0)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://localhost:{self.port}"

    def start(self) -> None:
        self._listener.listen(256)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True, name=self.role).start()

    def stop(self) -> None:
        """Close the port and every connection."""
        _shut(self._listener)
        self._listener.close()
        for connection in list(self._connections):
            _shut(connection)

    def down(self) -> None:
        """Refuse connections until the next start; the port stays ours."""
        self.stop()
        self._listener = _bound(self.port)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                raw, _ = listener.accept()
            except OSError:  # stop()
                return
            threading.Thread(target=self._serve, args=(raw,), daemon=True).start()

    def _serve(self, raw: socket.socket) -> None:
        # OSError covers what clients do to connections: refused handshakes, resets, silence; and what faults do.
        with contextlib.suppress(OSError), raw:
            raw.settimeout(PATIENCE)
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            time.sleep(self._wire.latency)
            if self._wire.handshake == "reset":
                break_off(raw)
            if self._wire.handshake == "silent":
                left(raw, PATIENCE)
                return
            if not self._tls:
                self._converse(raw)
                return
            with self._tls().wrap_socket(raw, server_side=True, do_handshake_on_connect=False) as connection:
                self._converse(connection)

    def _converse(self, connection: Connection) -> None:
        self._connections.add(connection)
        try:
            if isinstance(connection, ssl.SSLSocket):
                connection.do_handshake()
            with connection.makefile("rb", LINE) as stream:
                while self._exchange(connection, stream):
                    pass
            _say_goodbye(connection)
        finally:
            self._connections.discard(connection)
            self._closed(connection)

    def _exchange(self, connection: Connection, stream: BufferedIOBase) -> bool:
        """Answer one request; may there be another on this connection?"""
        connection.settimeout(self._wire.idle_close)
        try:
            request = self._read(connection, stream)
        except TimeoutError:
            return False
        if request is None:
            return False
        connection.settimeout(PATIENCE)
        self._log.add(request.record)
        time.sleep(self._wire.latency)
        reply = self._answer(request)
        is_left = request.expects and not request.is_read  # the body, with the client
        if not request.is_read and not is_left:
            collections.deque(request.pieces(), maxlen=0)  # else it would be taken for the next request
        last = request.headers.get("connection", "").lower() == "close" or is_left
        connection.settimeout(min(PATIENCE, self._wire.idle_close))  # who stops reading is silent, too
        return self._send(request, reply, last) and not last

    def _read(self, connection: Connection, stream: BufferedIOBase) -> Request | None:
        start = stream.read(2)
        if b"<" in start:  # the old protocol of VOMS, which ends no line
            connection.sendall(BAD_REQUEST)
            return None
        words = (start + stream.readline(LINE)).split()
        if len(words) != 3:
            return None
        headers = {}
        for _ in range(MAX_HEADERS):
            name, colon, value = stream.readline(LINE).decode("latin-1").partition(":")
            if not colon:
                break
            headers[name.strip().lower()] = value.strip()
        method, target, query = words[0].decode("latin-1"), *_split(words[1])
        path = unquote_to_bytes(target).decode("utf-8", "surrogateescape")
        if words[2] == b"HTTP/1.0":
            headers.setdefault("connection", "close")
        record = Record(self.role, method, path, headers.get("range"), token="authorization" in headers)
        record.port = connection.getpeername()[1]
        record.certificate = isinstance(connection, ssl.SSLSocket) and bool(connection.getpeercert(binary_form=True))
        asked = words[1].partition(b"?")[2].decode("latin-1")
        return Request(method, target.decode("latin-1"), path, query, headers, connection, record, stream, asked=asked)

    def _send(self, request: Request, reply: Reply, last: bool) -> bool:
        """Send all of a reply; False if its body ends too early."""
        record, send = request.record, request.connection.sendall
        body = _stream(reply)
        head = self._head(reply, body.length, last)
        record.status, record.answered = reply.status, time.monotonic()
        if request.method == "HEAD":
            send(head)
            return True
        if body.length is not None and body.length <= SMALL and not reply.delivery and not self._wire.bandwidth:
            data = b"".join(body.pieces)
            record.sent = len(data)
            send(head + data)
            return record.sent == body.length
        send(head)
        for piece in self._throttled(reply.delivery(body) if reply.delivery else body.pieces):
            record.sent += len(piece)
            send(piece)
        return body.length in (None, record.sent)

    def _throttled(self, pieces: Pieces) -> Pieces:
        """The pieces no faster than the bandwidth, which may be turned meanwhile."""
        for piece in pieces:
            at = 0
            while self._wire.bandwidth and at < len(piece):
                share = max(int(self._wire.bandwidth / WRITES), 1)
                yield piece[at : at + share]
                at += share
                time.sleep(share / self._wire.bandwidth if self._wire.bandwidth else 0)
            if at < len(piece):
                yield piece[at:]

    def _head(self, reply: Reply, length: int | None, last: bool) -> bytes:
        lines = [f"HTTP/1.1 {reply.status} {reply.reason or HTTPStatus(reply.status).phrase}"]
        if reply.dated:
            lines.append(f"Date: {formatdate(usegmt=True)}")
        if self._wire.server:
            lines.append(f"Server: {self._wire.server}")
        lines += [f"{name}: {value}" for name, value in reply.headers.items()]
        if reply.status != HTTPStatus.NOT_MODIFIED:
            lines.append("Transfer-Encoding: chunked" if reply.chunked else f"Content-Length: {length}")
        if last:
            lines.append("Connection: close")
        return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape")


def _split(target: bytes) -> tuple[bytes, dict[str, str]]:
    path, _, query = target.partition(b"?")
    return path, dict(parse_qsl(query.decode("latin-1")))


def _stream(reply: Reply) -> Stream:
    if isinstance(reply.body, Stream):
        return Stream(None, _framed(reply.body.pieces)) if reply.chunked else reply.body
    pieces = list(_chunks(reply.body)) if reply.chunked else [reply.body]
    return Stream(sum(map(len, pieces)), pieces)


def _chunks(body: bytes) -> Iterator[bytes]:
    for at in range(0, len(body), CHUNK):
        chunk = body[at : at + CHUNK]
        yield b"%x\r\n%s\r\n" % (len(chunk), chunk)
    yield b"0\r\n\r\n"


def _framed(pieces: Pieces) -> Iterator[bytes]:
    """Chunks as they become known, each sent on its own."""
    for piece in pieces:
        yield b"%x\r\n%s\r\n" % (len(piece), bytes(piece))
    yield b"0\r\n\r\n"


def _bound(port: int) -> socket.socket:
    """A socket on a port that does not listen yet: connections are refused, and nobody else can have the port."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", port))
    return sock


def _shut(sock: socket.socket) -> None:
    """Wake whoever waits at a socket; past ssl's own shutdown, which another thread may not see coming."""
    with contextlib.suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


def left(connection: Connection, seconds: float) -> bool:
    """Wait; does the client leave meanwhile?"""
    poll = select.poll()
    poll.register(connection, select.POLLRDHUP)
    return bool(poll.poll(min(seconds, PATIENCE) * 1000))


def break_off(connection: Connection) -> NoReturn:
    """End a connection by a reset: it will be closed without care for what is still on the way."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raise ConnectionAbortedError("reset")


def _say_goodbye(connection: Connection) -> None:
    """Tell TLS that this is the end, without waiting for an answer; a bare end would look like an attack."""
    if isinstance(connection, ssl.SSLSocket):
        connection.settimeout(0)
        with contextlib.suppress(OSError):
            connection.unwrap()


# == Replies ============================================================================================


def json_reply(status: int, document: Any, headers: dict[str, str] | None = None) -> Reply:
    return Reply(status, json.dumps(document).encode(), {"Content-Type": "application/json", **(headers or {})})


def ranged(spans: Spans | None, size: int, content: Callable[[int, int], Pieces], headers: dict[str, str]) -> Reply:
    """The bytes of some ranges, of which there is one at least, or all."""
    if spans is None:
        return Reply(200, Stream(size, content(0, size)), headers)
    marks = [f"bytes {start}-{stop - 1}/{size}" for start, stop in spans]
    if len(spans) == 1:
        start, stop = spans[0]
        return Reply(206, Stream(stop - start, content(start, stop)), {**headers, "Content-Range": marks[0]})
    parts = [f"\r\n--{BOUNDARY}\r\nContent-Range: {mark}\r\n\r\n".encode() for mark in marks]
    end = f"\r\n--{BOUNDARY}--\r\n".encode()
    length = sum(map(len, parts)) + sum(stop - start for start, stop in spans) + len(end)
    pieces = _multipart(zip(parts, [content(*span) for span in spans]), end)
    kind = {"Content-Type": f'multipart/byteranges; boundary="{BOUNDARY}"'}
    return Reply(206, Stream(length, pieces), {**headers, **kind})


def spans_of(wish: str, size: int) -> Spans | None:
    """The ranges [start, stop) of a Range header that lie in the file; None if it cannot be understood."""
    unit, _, sets = wish.partition("=")
    spans = []
    for text in sets.split(","):
        match = re.fullmatch(r"\s*(\d*)-(\d*)\s*", text)
        if unit.strip() != "bytes" or not match or match.groups() == ("", ""):
            return None
        first, last = match.groups()
        if not first:
            start, stop = max(size - int(last), 0), size
        else:
            start, stop = int(first), min(int(last) + 1, size) if last else size
        if start < stop:
            spans.append((start, stop))
    return spans


def _multipart(parts: Iterable[tuple[bytes, Pieces]], end: bytes) -> Pieces:
    for head, pieces in parts:
        yield head
        yield from pieces
    yield end
