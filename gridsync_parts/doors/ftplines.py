"""The lines to an FTP server: one login for all, and each has one thread at a time."""

from __future__ import annotations

import re
import ssl
import threading
import time
from typing import Callable, TypeVar

from gridsync_parts.doors.answers import CONNECTION_ERRORS
from gridsync_parts.doors.ftpwire import BROKEN, Crowded, Line
from gridsync_parts.doors.urls import netloc_of
from gridsync_parts.errors import CredentialError, DoorError, GridError, Saying, Unreached, brief, error_for
from gridsync_parts.keys import trust
from gridsync_parts.keys.password import find_login, forget_typed
from gridsync_parts.machine import CONNECTIONS, scarcity
from gridsync_parts.table import Site
from gridsync_parts.words import moment_text

T = TypeVar("T")
FTP_ERRORS = (
    Saying(r"^(?!.*(verify failed|mismatch|doesn't match)).*alert", DoorError,
           "{host} ended the TLS handshake ({error}); ask the site"),
    Saying(r"no greeting", DoorError,
           "{host} is not an FTP server that gridsync can use; check SERVER in Grid.conf: ftps:// is FTP on port 21, "
           "where TLS begins at a command"),
    Saying(r"^(?!.*(verify failed|mismatch|doesn't match)).*(ssl|eof occurred)", DoorError,
           "{host} broke off the TLS connection ({error})", passing=True),
    *CONNECTION_ERRORS,
)  # fmt: skip


class Visitor:
    """Who the user is, for all lines: one logs in at a time, as nobody must follow who is refused."""

    def __init__(self, site: Site):
        self.site = site
        self.login = find_login(site)
        self.refused = ""  # why it is not shown any more
        self.turn = threading.Lock()

    def log_in(self, line: Line) -> None:
        """Log in, unless that was refused."""
        with self.turn:
            if self.refused:
                raise CredentialError(self.refused)
            try:
                line.log_in(self.login)
            except CredentialError as error:
                self.refused = str(error)
                forget_typed(self.site)
                raise


class Lines:
    """All lines to a server, those that wait for something to do in the order in which they came."""

    def __init__(self, site: Site, ca: str | None):
        self.site = site
        self.visitor = Visitor(site)
        self.ca = ca
        self.context = trust(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ca, not site.ca_dir)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.idle: list[Line] = []
        self.open, self.most = 0, CONNECTIONS  # lines, and how many the server takes
        self.moved = 0.0  # when the last bytes of a file came or went
        self.turn = threading.Condition()
        self.facts: frozenset[str] | None = None  # what the server can

    def failure(self, error: BaseException) -> GridError:
        """The sentence for a line that broke."""
        if isinstance(error, GridError):
            return error
        host, said = "{}:{}".format(*netloc_of(self.site.server)), str(error)
        if said.startswith("421"):
            return DoorError(f"{host}: the server ends the connection ({brief(said)})", passing=True)
        text = f"{type(error).__name__}: {error}".replace("_", " ")
        clock, ca = moment_text(time.time()), self.ca or "the system"
        name = getattr(error, "reason", None) or type(error).__name__
        return scarcity(error) or error_for(FTP_ERRORS, text, host=host, ca=ca, clock=clock, error=name)

    def new(self) -> Line:
        """A further line, logged in."""
        line = Line(self.site, self.context)
        try:
            line.open()
            self.visitor.log_in(line)
            ready = line.say_all("PBSZ 0", "PROT P", "TYPE I", *([] if self.facts else ["FEAT"]))
            if ready[1].code != 200:
                raise DoorError(
                    f"{line.host}: the server does not protect data by TLS ({ready[1].said}); ask the site"
                )
            if not self.facts:
                told = ready[3].text if ready[3].code == 211 else ""
                self.facts = frozenset(word.strip().upper() for word in re.findall(r"(?m)^ *(\w+)", told)) | {"FEAT"}
            return line
        except BaseException:
            line.end()
            raise

    def take(self) -> Line:
        """A line with nothing to do, or a new one; if there are too many, as soon as a file is over that moves."""
        began = time.monotonic()
        while True:
            with self.turn:
                while self.idle:
                    line = self.idle.pop()
                    if not line.is_dead():
                        line.is_silent = True
                        return line
                    self.open -= 1
                    line.end()
                if self.open >= self.most:
                    if time.monotonic() > max(began, self.moved) + self.site.first_byte:
                        raise DoorError(f"{self.site.server}: no connection has become free", passing=True)
                    self.turn.wait(1)
                    continue
                self.open += 1
            if line := self.made():  # type: ignore[assignment]
                return line

    def made(self) -> Line | None:
        """A new line; None if the server takes no more than there are."""
        try:
            return self.new()
        except BaseException as error:
            with self.turn:
                self.open -= 1
                is_crowded = isinstance(error, Crowded) or str(error).startswith("421")
                if is_crowded and self.open:
                    self.most = self.open
                    return None
                self.turn.notify_all()
            if isinstance(error, Crowded):
                said = f"{self.site.server}: the server takes no more connections ({error})"
                raise Unreached(said, passing=True) from error
            if isinstance(error, BROKEN):
                raise self.failure(error) from error
            raise

    def keep(self, line: Line) -> None:
        """Let a line wait for something to do; one with replies still to come is of no use."""
        if line.owed or line.is_spent:
            self.drop(line)
            return
        with self.turn:
            self.idle.append(line)
            self.turn.notify()

    def drop(self, line: Line) -> None:
        """Let go of a line."""
        line.end()
        with self.turn:
            self.open -= 1
            self.turn.notify()

    def ask(self, verb: Callable[[Line], T], holds: bool = False) -> T:
        """What a verb gives, which is done again if its line has died before; it may hold the line."""
        while True:
            line = self.take()
            try:
                value = verb(line)
            except BROKEN as error:
                self.drop(line)
                if line.is_silent:  # of old age
                    continue
                raise self.failure(error) from error
            except BaseException:
                self.keep(line)
                raise
            if not holds:
                self.keep(line)
            return value

    def close(self) -> None:
        """Let go of all that wait."""
        with self.turn:
            lines, self.idle = self.idle, []
            self.open -= len(lines)
        for line in lines:
            line.end()
