"""Requests over http.client: it speaks to one server, and which connections are kept is decided here.

requests, which would decide it by itself, was most of a small file's time.
"""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from gridsync_parts.doors import BITE, Sent
from gridsync_parts.doors.answers import Answer, Watch, response_class
from gridsync_parts.doors.guest import HOPS, MAX_HOPS, REDIRECTS, Data, Guest
from gridsync_parts.doors.refused import redirect_target
from gridsync_parts.doors.sending import ASK, HASTE, Sending
from gridsync_parts.doors.urls import mask_url, netloc_of
from gridsync_parts.errors import DoorError, FileError, PoolError
from gridsync_parts.keys.token import Token
from gridsync_parts.machine import CONNECTIONS
from gridsync_parts.table import Site

if TYPE_CHECKING:
    import http.client


def target_of(url: str) -> str:
    """What a URL asks its server for."""
    return urlsplit(url)._replace(scheme="", netloc="", fragment="").geturl()


AGAIN = ("GET", "HEAD", "OPTIONS", "PROPFIND", "PUT", "DELETE", "MKCOL")  # twice does no more than once
ENDED = ("BrokenPipeError", "ConnectionResetError", "RemoteDisconnected", "SSLEOFError", "SSLZeroReturnError")


class Line(NamedTuple):
    """A connection to a server, which is kept when an answer was read to its end."""

    connection: http.client.HTTPConnection
    place: object  # where it leads, and what was shown there
    is_used: bool = False  # it has brought an answer before

    def is_dead(self) -> bool:
        """Whether the server has ended it: nothing else is to be read before a request."""
        import select

        poll = select.poll()
        poll.register(self.connection.sock, select.POLLIN)
        return bool(poll.poll(0))


class Idle:
    """The connections that wait for a next request, the oldest first; where there are too many it is let go."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.lock = threading.Lock()

    def take(self, place: object) -> Line | None:
        """The one that was kept last of those that lead to a place, and still do."""
        while True:
            with self.lock:
                line = next((line for line in reversed(self.lines) if line.place == place), None)
                if line is None:
                    return None
                self.lines.remove(line)
            if not line.is_dead():
                return line
            line.connection.close()

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

    def __init__(self, line: Line, idle: Idle, url: str, watch: Watch, sending: Sending | None = None):
        def response(_: object, method: str) -> Any:
            # Of an answer that is the connection's last, http.client would forget the socket.
            made = response_class()(watch, method=method)
            made.sending = sending
            return made

        line.connection.response_class = response  # type: ignore[assignment]
        came = line.connection.getresponse()
        super().__init__(came, came.status, watch, url)
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
        # No socket is left where the server has ended it with the answer; behind an interim one comes another.
        is_asked_all = not self.sending or self.sending.is_over
        if self.response.isclosed() and line.connection.sock and self.status >= 200 and is_asked_all:
            self.idle.keep(line._replace(is_used=True))
        else:
            self.response.close()
            line.connection.close()


class Http(Guest):
    """A guest whose requests go over http.client."""

    def __init__(self, site: Site, proxy: str, token: Token | None, ca: str | None):
        super().__init__(site, proxy, token, ca)
        self.idle = Idle()
        self.silent: set[tuple[str, int]] = set()  # servers that do not say that they want a body

    def line(self, url: str, is_new: bool = False) -> Line:
        """A connection to the server of a URL, which sees the proxy if it is meant to; a new one for a new proxy."""
        netloc, is_secure = netloc_of(url), urlsplit(url).scheme == "https"
        shown = self.shown_to(netloc)
        place = (netloc, is_secure, shown)
        kept = None if is_new else self.idle.take(place)
        return kept or Line(self.connection(netloc, is_secure, shown), place)

    def carry(self, method: str, url: str, headers: dict[str, str], data: Data) -> Answer:
        """One request over a connection that was kept, or a new one.

        A server may end one that was kept just when it is used again; then the request goes once more, over a new one.
        """
        line = self.line(url)
        try:
            return self.carry_over(line, method, url, headers, data)
        except OSError as error:
            if not line.is_used or method not in AGAIN or type(error).__name__ not in ENDED:
                raise
        return self.carry_over(self.line(url, is_new=True), method, url, headers, data)

    def carry_over(self, line: Line, method: str, url: str, headers: dict[str, str], data: Data) -> Answer:
        """One request over a connection."""
        if isinstance(data, Sent):
            return self.carry_file(line, method, url, headers, data)
        try:
            line.connection.request(method, target_of(url), data or None, headers)
            return WireAnswer(line, self.idle, url, Watch(line.connection.sock, self.site))
        except BaseException:
            line.connection.close()
            raise

    def carry_file(self, line: Line, method: str, url: str, headers: dict[str, str], sent: Sent) -> Answer:
        """The same with the bytes of a file, which go once they are wanted."""
        headers = {"Content-Length": str(sent.size), **headers}
        if sent.size > HASTE:
            headers.update(ASK)
        if netloc_of(url) in self.silent:
            headers = {name: value for name, value in headers.items() if name not in ASK}
        try:
            line.connection.request(method, target_of(url), None, headers)
            watch = Watch(line.connection.sock, self.site)
            sending = Sending(sent, watch, is_asked=bool(ASK.keys() & headers.keys()))
            answer = WireAnswer(line, self.idle, url, watch, sending)
        except BaseException:
            line.connection.close()
            raise
        if answer.status == 417 or (sending.is_unanswered and answer.status < 300):
            self.silent.add(netloc_of(url))
        if answer.status == 417 and ASK.keys() & headers.keys():
            answer.drain()
            return self.carry_file(self.line(url), method, url, headers, sent)
        return answer

    def follow(self, method: str, url: str, *, headers: dict[str, str] | None = None, data: Data = b"") -> Answer:
        """One request to wherever the door sends it."""
        for hop in range(MAX_HOPS):
            try:
                answer = self.send(method, url, headers=headers, data=data)
            except DoorError as error:
                if not hop:
                    raise
                reason = re.sub("check SERVER in Grid.conf.*", "ask the site", str(error))
                raise PoolError(f"its pool cannot be reached: {reason}", error.passing) from error
            if answer.status not in REDIRECTS:
                return answer
            url = redirect_target(answer, url)
        raise FileError(HOPS.format(mask_url(url)), passing=True)
