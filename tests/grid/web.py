"""A small HTTPS server: one thread a connection, HTTP/1.1 keep-alive, loopback only, every request noted in a log."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from io import IOBase
from urllib.parse import parse_qsl, unquote_to_bytes

IDLE = 300  # seconds until a silent connection is cut
LINE = 65536
MAX_HEADERS = 100
SMALL = 64 * 1024  # up to here headers and body go out in one write
CHUNK = 32 * 1024  # of a chunked body


@dataclass
class Record:
    """One request in the log; noted when it comes, `status` and `sent` before the bytes go out."""

    role: str
    method: str
    path: str
    range: str | None = None
    client: str | None = None
    status: int = 0
    sent: int = 0


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


@dataclass
class Request:
    method: str
    target: str  # the path as the client wrote it
    path: str
    query: dict[str, str]
    headers: dict[str, str]  # names in lower case
    body: bytes
    connection: ssl.SSLSocket
    record: Record

    @property
    def origin(self) -> str:
        return "https://" + self.headers.get("host", "localhost")


@dataclass
class Stream:
    """A body that is produced while it is sent."""

    length: int
    pieces: Iterable[bytes | memoryview]


@dataclass
class Reply:
    status: int
    body: bytes | Stream = b""
    headers: dict[str, str] = field(default_factory=dict)
    reason: str = ""
    chunked: bool = False


class Server:
    """A listener of one role; `answer` turns a request into a reply, `closed` hears of each ended connection."""

    def __init__(
        self,
        role: str,
        tls: ssl.SSLContext,
        log: Log,
        answer: Callable[[Request], Reply],
        closed: Callable[[ssl.SSLSocket], None] = lambda connection: None,
    ) -> None:
        self.role = role
        self._tls = tls
        self._log = log
        self._answer = answer
        self._closed = closed
        self._connections: set[ssl.SSLSocket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.url = f"https://localhost:{self._listener.getsockname()[1]}"

    def start(self) -> None:
        threading.Thread(target=self._accept, daemon=True, name=self.role).start()

    def stop(self) -> None:
        """Close the port and every connection."""
        _shut(self._listener)
        for connection in list(self._connections):
            _shut(connection)

    def _accept(self) -> None:
        with self._listener:
            while True:
                try:
                    raw, _ = self._listener.accept()
                except OSError:  # stop()
                    return
                threading.Thread(target=self._serve, args=(raw,), daemon=True).start()

    def _serve(self, raw: socket.socket) -> None:
        # OSError covers what clients do to connections: refused handshakes, resets, silence.
        with contextlib.suppress(OSError), raw:
            raw.settimeout(IDLE)
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._tls.wrap_socket(raw, server_side=True, do_handshake_on_connect=False) as connection:
                self._converse(connection)

    def _converse(self, connection: ssl.SSLSocket) -> None:
        self._connections.add(connection)
        try:
            connection.do_handshake()
            stream = connection.makefile("rb", LINE)
            while self._exchange(connection, stream):
                pass
        finally:
            self._connections.discard(connection)
            self._closed(connection)

    def _exchange(self, connection: ssl.SSLSocket, stream: IOBase) -> bool:
        """Answer one request; may there be another on this connection?"""
        request = self._read(connection, stream)
        if request is None:
            return False
        self._log.add(request.record)
        last = request.headers.get("connection", "").lower() == "close"
        self._send(request, self._answer(request), last)
        return not last

    def _read(self, connection: ssl.SSLSocket, stream: IOBase) -> Request | None:
        words = stream.readline(LINE).split()
        if len(words) != 3:
            return None
        headers = {}
        for _ in range(MAX_HEADERS):
            name, colon, value = stream.readline(LINE).decode("latin-1").partition(":")
            if not colon:
                break
            headers[name.strip().lower()] = value.strip()
        body = stream.read(int(headers.get("content-length", 0)))
        method, target, query = words[0].decode("latin-1"), *_split(words[1])
        path = unquote_to_bytes(target).decode("utf-8", "surrogateescape")
        record = Record(self.role, method, path, headers.get("range"))
        return Request(method, target.decode("latin-1"), path, query, headers, body, connection, record)

    def _send(self, request: Request, reply: Reply, last: bool) -> None:
        record, send = request.record, request.connection.sendall
        body = _stream(reply)
        head = self._head(reply, body.length, last)
        record.status = reply.status
        if request.method == "HEAD":
            send(head)
        elif body.length <= SMALL:
            record.sent = body.length
            send(head + b"".join(body.pieces))
        else:
            send(head)
            for piece in body.pieces:
                record.sent += len(piece)
                send(piece)

    def _head(self, reply: Reply, length: int, last: bool) -> bytes:
        lines = [f"HTTP/1.1 {reply.status} {reply.reason or HTTPStatus(reply.status).phrase}"]
        lines += [f"Date: {formatdate(usegmt=True)}", "Server: dCache/10.2.25"]
        lines += [f"{name}: {value}" for name, value in reply.headers.items()]
        lines.append("Transfer-Encoding: chunked" if reply.chunked else f"Content-Length: {length}")
        if last:
            lines.append("Connection: close")
        return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape")


def _split(target: bytes) -> tuple[bytes, dict[str, str]]:
    path, _, query = target.partition(b"?")
    return path, dict(parse_qsl(query.decode("latin-1")))


def _stream(reply: Reply) -> Stream:
    if isinstance(reply.body, Stream):
        return reply.body
    return Stream(len(reply.body), _chunks(reply.body) if reply.chunked else (reply.body,))


def _chunks(body: bytes) -> Iterator[bytes]:
    for at in range(0, len(body), CHUNK):
        chunk = body[at : at + CHUNK]
        yield b"%x\r\n%s\r\n" % (len(chunk), chunk)
    yield b"0\r\n\r\n"


def _shut(sock: socket.socket) -> None:
    """Wake whoever waits at a socket; past ssl's own shutdown, which another thread may not see coming."""
    with contextlib.suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
