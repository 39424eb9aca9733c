"""Requests over http.client: it speaks to one server, and which connections are kept is decided here.

requests, which would decide it by itself, was most of a small file's time.
"""

from __future__ import annotations

import functools
import re
import threading
import time
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, NamedTuple

from gridsync_parts.convoy import Asked
from gridsync_parts.doors import BITE, HASTE, Sent
from gridsync_parts.doors.answers import Answer, Watch, connection_error, response_class
from gridsync_parts.doors.guest import HOPS, MAX_HOPS, REDIRECTS, Data, Guest
from gridsync_parts.doors.refused import redirect_target
from gridsync_parts.doors.sending import ASK, Sending, pieces_of
from gridsync_parts.doors.urls import mask_url, netloc_of, target_of
from gridsync_parts.errors import DoorError, FileError, PoolError
from gridsync_parts.keys.token import Token
from gridsync_parts.log import log
from gridsync_parts.machine import CONNECTIONS
from gridsync_parts.table import Site

if TYPE_CHECKING:
    import http.client


# A head with nothing odd in it, as comes with nearly each answer: http.client takes five times as long over it.
PLAIN = re.compile(rb"HTTP/1\.1 (20[0146]) ([ -~]*)\r\n((?:[!-9;-~]+:[\t -~]*\r\n)+)\r\n")
ODD = 60.0  # seconds for which no request goes ahead after an odd answer
AGAIN = ("GET", "HEAD", "OPTIONS", "PROPFIND", "PUT", "DELETE", "MKCOL")  # twice does no more than once
ENDED = ("BrokenPipeError", "ConnectionResetError", "RemoteDisconnected", "SSLEOFError", "SSLZeroReturnError")


def head_of(method: str, url: str, host: str, headers: dict[str, str]) -> bytes:
    """What begins a request; ValueError for what would not be one line each."""
    first, others = f"{method} {target_of(url)} HTTP/1.1", [f"{name}: {value}" for name, value in headers.items()]
    lines = [first, f"Host: {host}", "Accept-Encoding: identity", *others]
    text = "".join(lines)
    if not (text.isascii() and text.isprintable()) or first.count(" ") > 2:
        raise ValueError(f"a request to {host} has characters in it that none may have")
    return "\r\n".join([*lines, "", ""]).encode()


def plain_headers(text: bytes) -> dict[str, str]:
    """The headers of an answer by their names in lower case; none, if http.client is to look at them."""
    found, lines = {}, text.decode().split("\r\n")[:-1]
    for line in lines:
        name, _, value = line.partition(":")
        found[name.lower()] = value.strip()
    is_plain = len(found) == len(lines) and "transfer-encoding" not in found
    is_kept = found.get("connection", "keep-alive").lower() == "keep-alive"
    return found if is_plain and is_kept and re.fullmatch("[0-9]{1,18}", found.get("content-length", "")) else {}


def whole(sent: Sent) -> bytes:
    """All bytes of a small file; each piece takes the place of the last."""
    return b"".join(map(bytes, pieces_of(sent)))


@functools.cache
def quick_class() -> Any:
    """http.client's response, but a plain head is taken in at one glance."""

    class Quick(response_class()):  # type: ignore[misc]
        def begin(self) -> None:
            head = None if self.sending else PLAIN.match(self.fp.peek())
            headers = plain_headers(head[3]) if head else {}
            if not head or not headers:
                super().begin()
                return
            self.fp.read(head.end())
            self.status, self.reason, self.version = int(head[1]), head[2].decode().strip(), 11
            self.headers = self.msg = headers
            self.chunked = self.will_close = False
            is_bare = self._method == "HEAD" or self.status == 204
            self.length = 0 if is_bare else int(headers["content-length"])

    return Quick


def pool_error(error: DoorError) -> PoolError:
    """The same of a server that the door leads to."""
    reason = re.sub("check SERVER in Grid.conf.*", "ask the site", str(error))
    return PoolError(f"its pool cannot be reached: {reason}", error.passing)


class Line(NamedTuple):
    """A connection to a server, which is kept when an answer was read to its end."""

    connection: http.client.HTTPConnection
    place: object  # where it leads, and what was shown there
    host: str  # as the server is called
    is_used: bool = False  # it has brought an answer before

    def is_dead(self) -> bool:
        """Whether the server has ended it: nothing else is to be read before a request."""
        import select

        poll = select.poll()
        poll.register(self.connection.sock, select.POLLIN)
        return bool(poll.poll(0))


class Ahead(NamedTuple):
    """A request that has gone ahead of its answer."""

    line: Line
    watch: Watch
    method: str
    url: str
    headers: dict[str, str]


class Idle:
    """The connections that wait for a next request, the oldest first; where there are too many it is let go."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.lock = threading.Lock()

    def take(self, place: object, is_looked_at: bool) -> Line | None:
        """The one that was kept last of those that lead to a place, and still do, as far as they are looked at."""
        while True:
            with self.lock:
                line = next((line for line in reversed(self.lines) if line.place == place), None)
                if line is None:
                    return None
                self.lines.remove(line)
            if not (is_looked_at and line.is_dead()):
                return line
            line.connection.close()

    def has(self, place: object) -> bool:
        """Whether there is one that leads to a place."""
        return any(line.place == place for line in reversed(self.lines.copy()))

    def keep(self, line: Line) -> None:
        """Let one wait."""
        with self.lock:
            self.lines.append(line)
            oldest = self.lines.pop(0) if len(self.lines) > CONNECTIONS else None
        if oldest:
            oldest.connection.close()

    def close(self) -> None:
        """Let go of all."""
        with self.lock:
            lines, self.lines = self.lines, []
        for line in lines:
            line.connection.close()


class WireAnswer(Answer):
    """A response of http.client."""

    def __init__(
        self, line: Line, idle: Idle, method: str, url: str, watch: Watch, sending: Sending | None = None
    ):
        came = quick_class()(watch, method=method)
        came.sending = sending
        came.begin()
        super().__init__(came, came.status, watch, url)
        if isinstance(came.headers, dict):
            self.headers = came.headers
        self.line: Line | None = line
        self.idle = idle
        self.sending = sending

    def read_into(self, buffer: memoryview) -> int:
        """Bytes of the body, as many as fit."""
        return int(self.response.readinto(buffer))

    def some(self) -> bytes:
        """Bytes of the body as soon as there are any; none at its end."""
        return bytes(self.response.read1(BITE))

    def close(self) -> None:
        """Let go of the connection."""
        line, self.line = self.line, None
        if line is None:
            return
        # Behind an interim answer comes another.
        is_asked_all = not self.sending or self.sending.is_over
        is_last = self.response.will_close or self.status < 200
        if self.response.isclosed() and not is_last and is_asked_all:
            self.idle.keep(line._replace(is_used=True))
        else:
            self.response.close()
            line.connection.close()


class Http(Guest):
    """A guest whose requests go over http.client."""

    def __init__(self, site: Site, proxy: str, token: Token | None, ca: str | None):
        super().__init__(site, proxy, token, ca)
        self.idle = Idle()
        self.due = 0.0  # when requests may go ahead
        self.silent: set[tuple[str, int]] = set()  # servers that do not say that they want a body

    def line(self, url: str, method: str, is_new: bool = False) -> Line:
        """A connection to the server of a URL, which sees the proxy if it is meant to; a new one for a new proxy."""
        place = netloc, is_secure, shown = self.place_of(url)
        kept = None if is_new else self.idle.take(place, method != "GET")  # which just goes again
        if kept:
            return kept
        name, port = f"[{netloc[0]}]" if ":" in netloc[0] else netloc[0], netloc[1]
        host = name if port == (443 if is_secure else 80) else f"{name}:{port}"
        return Line(self.connection(netloc, is_secure, shown), place, host)

    def carry(self, method: str, url: str, headers: dict[str, str], data: Data) -> Answer:
        """One request over a connection that was kept, or a new one.

        A server may end one that was kept just when it is used again; then the request goes once more, over a new one.
        """
        line = self.line(url, method)
        try:
            return self.carry_over(line, method, url, headers, data)
        except OSError as error:
            if not line.is_used or method not in AGAIN or type(error).__name__ not in ENDED:
                raise
        return self.carry_over(self.line(url, method, is_new=True), method, url, headers, data)

    def carry_over(self, line: Line, method: str, url: str, headers: dict[str, str], data: Data) -> Answer:
        """One request over a connection."""
        if isinstance(data, Sent):
            return self.carry_file(line, method, url, headers, data)
        if data or method in ("PUT", "POST"):
            headers = {"Content-Length": str(len(data)), **headers}
        try:
            watch = self.begin(line, method, url, headers, data)
            return WireAnswer(line, self.idle, method, url, watch)
        except BaseException:
            line.connection.close()
            raise

    def begin(self, line: Line, method: str, url: str, headers: dict[str, str], data: bytes = b"") -> Watch:
        """Send a request, over a connection that may still have to be made; who watches over its answer."""
        if line.connection.sock is None:
            line.connection.connect()
        line.connection.sock.sendall(head_of(method, url, line.host, headers) + data)
        return Watch(line.connection.sock, self.site)

    def carry_file(self, line: Line, method: str, url: str, headers: dict[str, str], sent: Sent) -> Answer:
        """The same with the bytes of a file, which go once they are wanted."""
        headers = {"Content-Length": str(sent.size), **headers}
        if sent.size > HASTE:
            headers.update(ASK)
        if netloc_of(url) in self.silent:
            headers = {name: value for name, value in headers.items() if name not in ASK}
        try:
            watch = self.begin(line, method, url, headers)
            sending = Sending(sent, watch, is_asked=bool(ASK.keys() & headers.keys()))
            answer = WireAnswer(line, self.idle, method, url, watch, sending)
        except BaseException:
            line.connection.close()
            raise
        if answer.status == 417 or (sending.is_unanswered and answer.status < 300):
            self.silent.add(netloc_of(url))
        if answer.status == 417 and ASK.keys() & headers.keys():
            answer.drain()
            return self.carry_file(self.line(url, method), method, url, headers, sent)
        return answer

    def can_send_ahead(self, url: str) -> bool:
        """Whether a request can go to a server at once, and be answered as most are."""
        return time.monotonic() >= self.due and self.idle.has(self.place_of(url))

    def place_of(self, url: str) -> tuple[tuple[str, int], bool, object]:
        """Where a connection leads, and what is shown there."""
        netloc = netloc_of(url)
        return netloc, url[:6].lower() == "https:", self.shown_to(netloc)

    def send_ahead(self, method: str, url: str, headers: dict[str, str], data: Data = b"") -> Ahead | None:
        """A request whose answer is taken later; None where it would have to wait, or what is shown may not be taken.

        A file goes along in one piece.
        """
        accepted = self.accepted_headers(url, headers)
        if accepted and isinstance(data, Sent):
            accepted = {"Content-Length": str(data.size), **accepted}
        body = data if isinstance(data, bytes) else whole(data) if accepted else b""
        line = self.idle.take(self.place_of(url), method != "GET") if accepted else None
        if not accepted or not line:
            return None
        try:
            return Ahead(line, self.begin(line, method, url, accepted, body), method, url, accepted)
        except (OSError, ValueError):
            line.connection.close()
            return None

    def answer_to(self, ahead: Ahead) -> Answer | None:
        """Its answer; None if there is none that counts, and it is to be asked for once more."""
        try:
            answer: Answer = WireAnswer(ahead.line, self.idle, ahead.method, ahead.url, ahead.watch)
        except Exception as error:
            ahead.line.connection.close()
            if isinstance(error, TimeoutError) or "timed out" in str(error) or ahead.method not in AGAIN:
                raise connection_error(error, ahead.url, self.ca) from error
            return None
        log.debug("%s %s -> %d", ahead.method, mask_url(ahead.url), answer.status)
        if token := ahead.headers.get("Authorization", "").removeprefix("Bearer "):
            answer = self.verdict(answer, ahead.method, ahead.url, token)
        if answer.status in (401, 429):  # what is to be done then takes its time
            self.due = max(self.due, time.monotonic() + ODD)
            welcome = self.welcomes.get(netloc_of(ahead.url))
            if answer.status == 401 and welcome:
                welcome.note_refusal()
            answer.drain()
            return None
        self.throttles[netloc_of(ahead.url)].take()
        return answer

    def follow_ahead(
        self, method: str, url: str, headers: dict[str, str], data: Data = b""
    ) -> Generator[Asked, None, Answer | None]:
        """A request to wherever the door sends it, step by step; None if it is to go again, as something is odd."""
        for hop in range(MAX_HOPS):
            ahead = self.send_ahead(method, url, headers, data)
            if ahead is None:
                return self.follow(method, url, headers=headers, data=data, hops=hop) if hop else None
            yield ahead.watch
            try:
                answer = self.answer_to(ahead)
            except DoorError as error:
                if not hop:
                    raise
                raise pool_error(error) from error
            if answer is None or answer.status not in REDIRECTS:
                return answer
            url = redirect_target(answer, url)
        return None

    def steps(
        self, method: str, url: str, headers: dict[str, str], data: Data = b""
    ) -> Generator[Asked, None, Answer]:
        """A request to wherever the door sends it, of which the answer can be waited for by others if it is small."""
        is_small = not isinstance(data, Sent) or (data.size <= HASTE and not ASK.keys() & headers.keys())
        answer = None
        if is_small and self.can_send_ahead(url):
            answer = yield from self.follow_ahead(method, url, headers, data)
        return answer or self.follow(method, url, headers=headers, data=data)

    def ask_steps(self, method: str, url: str, headers: dict[str, str]) -> Generator[Asked, None, Answer]:
        """A request to the door, in the same way."""
        if self.can_send_ahead(url) and (ahead := self.send_ahead(method, url, headers)):
            yield ahead.watch
            answer = self.answer_to(ahead)
            if answer and answer.status not in REDIRECTS:
                return answer
            if answer:
                answer.drain()
        return self.ask(method, url, headers=headers)

    def follow(
        self, method: str, url: str, *, headers: dict[str, str] | None = None, data: Data = b"", hops: int = 0
    ) -> Answer:
        """One request to wherever the door sends it, or has sent it in so many hops."""
        for hop in range(hops, MAX_HOPS):
            try:
                answer = self.send(method, url, headers=headers, data=data)
            except DoorError as error:
                if not hop:
                    raise
                raise pool_error(error) from error
            if answer.status not in REDIRECTS:
                return answer
            url = redirect_target(answer, url)
        raise FileError(HOPS.format(mask_url(url)), passing=True)
