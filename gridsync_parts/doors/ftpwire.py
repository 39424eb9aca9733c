"""A line to an FTP server: TLS on it, what is said on it, and the channels for data.

Which server the data come from is not for the server to say: it is always itself.
"""

from __future__ import annotations

import contextlib
import errno
import ftplib
import itertools
import os
import re
import select
import selectors
import socket
import ssl
import time
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeVar

from gridsync_parts.doors.relay import CONNECT
from gridsync_parts.doors.urls import netloc_of
from gridsync_parts.errors import BadName, CredentialError, DoorError, brief
from gridsync_parts.keys.password import Login
from gridsync_parts.log import log
from gridsync_parts.secrets import secrets
from gridsync_parts.table import Site

T = TypeVar("T")
STAGGER = 0.25  # seconds after which a further address of the server is tried beside those before
KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 30, "TCP_KEEPCNT": 6}  # else a firewall forgets a line that is idle
FAREWELL = 5  # seconds for the last word about data that nobody wants any more
NO_CHANNEL = (425, 522)  # says who wants to see another session of TLS
MOST_LINES = 10_000  # of a reply
CROWDED = r"too many|maximum (number|allowed)|connection limit|limit (reached|exceeded)|try again later"
BROKEN = (OSError, EOFError, ValueError, ftplib.Error)  # what a line that is no use any more raises


class Reply(NamedTuple):
    """What the server answers to a command."""

    code: int
    text: str  # the code, too

    @property
    def said(self) -> str:
        """The same for a sentence: of several lines the first, which says what has failed, or else the last."""
        lines = self.text.splitlines()
        return brief(lines[0 if self.code >= 400 else -1].strip())


class Crowded(Exception):
    """The server takes no more lines just now."""


def raw(command: str) -> bytes:
    """A command as it goes to the server."""
    return command.encode("utf-8", "surrogateescape") + b"\r\n"


def begin(found: tuple[Any, ...]) -> socket.socket:
    """A connection to an address that begins; OSError if it can't even do that."""
    family, kind, proto, _, address = found
    sock = socket.socket(family, kind, proto)
    sock.setblocking(False)
    number = sock.connect_ex(address)
    if number not in (0, errno.EINPROGRESS):
        sock.close()
        raise OSError(number, os.strerror(number))
    return sock


def reach(host: str, port: int) -> socket.socket:
    """A connection to whichever address of a host answers first: they are tried one beside the other."""
    all_found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    kinds = [[one for one in all_found if one[0] == family] for family in dict.fromkeys(one[0] for one in all_found)]
    found = [one for some in itertools.zip_longest(*kinds) for one in some if one]  # the kinds by turns
    failure: OSError = OSError(f"no address is known for {host}")
    trying, ends, due = selectors.DefaultSelector(), time.monotonic() + CONNECT, 0.0
    try:
        while found or trying.get_map():
            now = time.monotonic()
            if now >= ends:
                raise TimeoutError("timed out")
            if found and (now >= due or not trying.get_map()):
                try:
                    trying.register(begin(found.pop(0)), selectors.EVENT_WRITE)
                    due = now + STAGGER
                except OSError as error:  # there is no way to it from here, or none of its kind
                    failure = error
                    continue
            for key, _ in trying.select(max(0.0, min(ends, due if found else ends) - now)):
                trying.unregister(key.fileobj)
                sock: socket.socket = key.fileobj  # type: ignore[assignment]
                if number := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                    sock.close()
                    failure, due = OSError(number, os.strerror(number)), 0.0
                    continue
                sock.settimeout(CONNECT)
                return sock
        raise failure
    finally:
        for key in list(trying.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        trying.close()


def wait_for_room(data: socket.socket, seconds: float) -> None:
    """Wait until more can be sent, whatever the number of its descriptor: select() takes those below 1,024 alone."""
    poll = select.poll()
    poll.register(data, select.POLLOUT)
    poll.poll(max(seconds, 0) * 1000)


def end_data(data: ssl.SSLSocket, seconds: float) -> None:
    """Say that all has been sent. What the server says of that is not waited for."""
    data.settimeout(0)
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        try:
            data.unwrap()
        except ssl.SSLWantWriteError:
            wait_for_room(data, ends - time.monotonic())
            continue
        except (OSError, ValueError):  # it has said nothing yet
            pass
        break
    # It stays open until the server's last word: with bytes in it that nobody has read a reset would go out.
    with contextlib.suppress(OSError):  # it has gone already
        socket.socket.shutdown(data, socket.SHUT_WR)


@contextlib.contextmanager
def ending(data: ssl.SSLSocket) -> Iterator[None]:
    """A channel that is closed in the end, and not without a word: OpenSSL would use its session no more."""
    try:
        yield
    finally:
        end_data(data, FAREWELL)
        data.close()


class Line(ftplib.FTP_TLS):
    """A control connection."""

    sock: Any
    file: Any  # of bytes, so that one can see whether there are some

    def __init__(self, site: Site, context: ssl.SSLContext):
        super().__init__(context=context)
        self.site = site
        self.is_silent = False  # it was kept, and the server has said nothing since: it may have died of old age
        self.owed = 0  # replies that are still to come
        self.is_spent = False  # of no use any more: the server gives it no channel for data
        self.hidden = ""  # what the server may repeat and nobody else may see

    def open(self) -> None:
        """Reach the server, and begin TLS."""
        self.host, self.port = netloc_of(self.site.server)
        self.sock = reach(self.host, self.port)
        self.sock.settimeout(min(CONNECT, self.site.first_byte))
        self.af = self.sock.family
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in KEEPALIVE.items():
            if hasattr(socket, name):
                self.sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.sock.makefile("rb")
        self.owed = 1
        greeting = self.reply()
        if greeting.code // 100 == 4:
            raise Crowded(greeting.said)
        if greeting.code != 220:
            raise ValueError("no greeting")
        reply = self.say("AUTH TLS")
        if reply.code != 234:
            raise DoorError(
                f"{self.host}:{self.port}: the server does not begin TLS ({reply.said}), so no password is sent there; "
                "ask the site for a server that does, or for sftp://"
            )
        self.sock = self.context.wrap_socket(self.sock, server_hostname=self.host)
        self.file = self.sock.makefile("rb")  # what came before TLS is not believed
        self.sock.settimeout(self.site.first_byte)

    def getline(self) -> str:
        """The next line; a character is a byte."""
        line = self.file.readline(self.maxline + 1)
        if len(line) > self.maxline:
            raise ftplib.Error(f"got more than {self.maxline} bytes")
        if not line:
            raise EOFError
        return str(line.rstrip(b"\r\n"), "latin-1")

    def reply(self) -> Reply:
        """The next reply."""
        ends, lines = time.monotonic() + self.site.first_byte, [self.getline()]
        code = lines[0][:3]
        if not re.fullmatch("[1-5][0-9]{2}", code):
            raise ValueError(f"no greeting: {code!r}")
        is_open = lines[0][3:4] == "-"
        while is_open:
            lines.append(self.getline())
            is_open = lines[-1][:3] != code or lines[-1][3:4] == "-"
            if len(lines) > MOST_LINES or time.monotonic() > ends:
                raise OSError("no end")
        text = "\n".join(lines).encode("latin-1").decode("utf-8", "replace")
        if self.hidden:  # short ones are not known by their letters
            text = text[:4] + text[4:].replace(self.hidden, "...")
        log.debug("%s:%d < %s", self.host, self.port, text)
        self.is_silent = False
        if code[0] != "1":
            self.owed -= 1
        self.is_spent = self.is_spent or int(code) in NO_CHANNEL
        if code == "421":
            raise EOFError(text)
        return Reply(int(code), text)

    def say(self, command: str) -> Reply:
        """What the server answers to a command."""
        return self.say_all(command)[0]

    def say_all(self, *commands: str) -> list[Reply]:
        """What it answers to some, which go together: that takes the time of one."""
        for command in commands:
            if "\r" in command or "\n" in command:
                name = command.partition(" ")[2]
                raise BadName(f"{name!r}: FTP cannot ask for a name with a line end in it; rename it")
            log.debug("%s:%d > %s", self.host, self.port, "PASS ..." if command.startswith("PASS ") else command)
        for command in commands:  # in a record of TLS each: of one that is too long proftpd forgets the rest
            self.sock.sendall(raw(command))
            self.owed += 1
        return [self.reply() for _ in commands]

    def log_in(self, login: Login) -> None:
        """Show who the user is."""
        if {"\r", "\n"} & {*login.password}:
            raise CredentialError(
                f"{self.host}: the password of {login.source} for {login.user} has a line end in it, which FTP cannot "
                "send; correct it"
            )
        reply = self.say(f"USER {login.user}")
        if reply.code == 331:
            secrets.note(login.password)
            self.hidden = login.password
            reply = self.say(f"PASS {login.password}")
            self.hidden = ""
        if reply.code // 100 == 2:
            return
        if re.search(CROWDED, reply.text, re.IGNORECASE):
            raise Crowded(reply.said)
        raise CredentialError(
            f"{self.host}: the server refuses the login of {login.user} with the password of {login.source} "
            f"({reply.said}); it was tried once, as accounts lock after a few tries: correct it, or renew your "
            "registration at the site (at DESY it lasts 7 days)"
        )

    def passive(self) -> str:
        """The command that opens a channel for data."""
        return "EPSV" if self.af == socket.AF_INET6 else "PASV"

    def channel(self, opened: Reply, *commands: str) -> tuple[ssl.SSLSocket | None, Reply]:
        """The channel of a reply to passive(), once commands have begun a transfer; or the reply that refuses."""
        peer = self.sock.getpeername()
        if opened.code not in (227, 229):
            return None, opened
        port = ftplib.parse229(opened.text, peer)[1] if opened.code == 229 else ftplib.parse227(opened.text)[1]
        if not 0 < port < 1 << 16:
            raise DoorError(f"{self.host}: the server names a port for data that cannot be; ask the site", passing=True)
        try:
            data = socket.create_connection((peer[0], port), CONNECT)
        except OSError as error:
            said = error.strerror or str(error)
            raise DoorError(
                f"{self.host}: its port {port} for data cannot be reached ({said}); a firewall may be in the way: "
                "ask the site for the range of these ports", passing=True,
            ) from error  # fmt: skip
        try:
            data.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            reply = self.say_all(*commands)[-1]
            if reply.code // 100 != 1:
                data.close()
                return None, reply
            data.settimeout(self.site.first_byte)
            try:  # servers want to see the session of the control connection
                secure = self.context.wrap_socket(data, server_hostname=self.host, session=self.sock.session)
            except ssl.SSLCertVerificationError:
                raise
            except OSError:
                data.close()
                reply = self.reply()
                self.is_spent = True
                return None, reply
            secure.settimeout(self.site.silence)
            return secure, reply
        except BaseException:
            data.close()
            raise

    def is_dead(self) -> bool:
        """Whether the server has ended it, or says something that nobody has asked for."""
        self.sock.settimeout(0)
        try:
            self.file.peek()  # a line may have come with the one before
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        except OSError:
            return True
        finally:
            self.sock.settimeout(self.site.first_byte)
        return True

    def hang_up(self) -> None:
        """End it under a thread that reads from it."""
        with contextlib.suppress(OSError, AttributeError):
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)

    def end(self) -> None:
        """Let go of it."""
        with contextlib.suppress(*BROKEN, AttributeError):
            self.close()
