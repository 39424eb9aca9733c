"""The channels to a server that is reached by ssh: one login carries all of them."""

from __future__ import annotations

import contextlib
import os
import struct
import threading
import time
from collections.abc import Iterator

from gridsync_parts.doors.openssh import (
    ASKING,
    LAST_WORDS,
    Client,
    Part,
    Way,
    command_of,
    server_of,
    terminal,
    way_to,
)
from gridsync_parts.doors.relay import CONNECT
from gridsync_parts.doors.sftp import (
    EXTENDED,
    EXTENDED_REPLY,
    LEAST,
    MOST,
    Channel,
    Refused,
    check_status,
    text,
)
from gridsync_parts.errors import DoorError, GridError
from gridsync_parts.table import Site

CHANNELS = 8  # of one connection; servers open ten, of which some are left to the user's other programs


class Extensions:
    """What a server can do beyond version 3."""

    def __init__(self, names: dict[str, bytes]):
        self.names = names
        self.read = self.write = LEAST  # bytes of one request
        self.waits_for_close = False  # it has once sent less than was asked for, so more may have to be asked for

    def has(self, name: str) -> bool:
        """Whether there is one of this name."""
        return name in self.names

    def learn(self, channel: Channel, seconds: float) -> None:
        """How long requests may be, as far as the server says it."""
        if not self.has("limits@openssh.com"):
            return
        (number,) = channel.ask((EXTENDED, text(b"limits@openssh.com"), b""))
        packet = channel.reply(number, seconds)
        with contextlib.suppress(Refused, struct.error):
            check_status(packet)
            if packet[0] == EXTENDED_REPLY:
                _, read, write, _ = struct.unpack_from(">QQQQ", packet, 5)
                self.read = max(LEAST, min(read, MOST - 1024))
                self.write = max(LEAST, min(write, MOST - 1024))


class Line:
    """A channel, and what carries it."""

    def __init__(self, client: Client, channel: Channel):
        self.client = client
        self.channel = channel
        self.users = 0

    def is_well(self) -> bool:
        """Whether it can be used."""
        return self.channel.error is None and self.client.process.poll() is None

    def hang_up(self) -> None:
        """Use it no more, whoever does."""
        self.channel.error = self.channel.error or DoorError("the connection was closed", passing=True)
        with self.channel.sending:  # else others could write into what comes to have its descriptor
            self.client.hang_up()


class Channels:
    """The channels of a site: who needs one for long has it alone, as long as there are enough."""

    def __init__(self, site: Site):
        self.site = site
        self.server = server_of(site)
        self.way: Way | None = None  # to it, once somebody has looked
        self.most = CHANNELS
        self.lines: list[Line] = []
        self.greeting: Client | None = None  # one that does not take requests yet
        self.refusal: GridError | None = None  # why there is no use in another login
        self.lock = threading.Lock()
        self.opening = threading.Lock()  # one at a time: the first one may ask, the others use its connection
        self.extensions = Extensions({})

    @contextlib.contextmanager
    def shared(self) -> Iterator[Channel]:
        """A channel for a short while; others may use it, too."""
        line = self.take(is_long=False)
        try:
            yield line.channel
        finally:
            self.give_back(line)

    def take(self, is_long: bool) -> Line:
        """A channel, which has to be given back."""
        if line := self.found(is_long):
            return line
        with self.opening:
            if line := self.found(is_long):
                return line
            try:
                line = self.open()
            except GridError as error:
                with self.lock:
                    if self.lines and error.passing:  # the server opens no more; what there is can be shared
                        self.most = len(self.lines)
                if not (error.passing and (line := self.found(is_long))):
                    raise
                return line
            with self.lock:
                self.lines.append(line)
                line.users += 1
            return line

    def found(self, is_long: bool) -> Line | None:
        """One that is there, and may be used; else one is to be opened."""
        with self.lock:
            dead = []
            while best := min(self.lines, key=lambda line: line.users, default=None):
                if best.is_well():
                    break
                self.lines.remove(best)
                dead.append(best)
            if best and is_long and best.users and len(self.lines) < self.most:
                best = None
            if best:
                best.users += 1
        for line in dead:
            line.hang_up()
            line.client.end(0)
        return best

    def give_back(self, line: Line) -> None:
        """Nobody of this user's needs it any more."""
        with self.lock:
            line.users -= 1

    def open(self) -> Line:
        """A new channel: over the connection that there is, or with a login."""
        if self.refusal:
            raise self.refusal
        is_first = not any(line.is_well() for line in self.lines)
        tty = terminal() if is_first else None
        try:
            if is_first and self.way:
                self.way.leave()
            if is_first or not self.way:
                self.way, self.most = way_to(self.server), CHANNELS
            part = Part.FURTHER if not is_first else Part.GUEST if self.way.is_theirs else Part.MASTER
            return self.greeted(Client(self.server, command_of(self.server, self.way, part, tty), tty))
        except GridError as error:
            if is_first and not error.passing:
                self.refusal = error  # once more would be an attempt more of those that an account stands
            if is_first:
                raise
            raise DoorError(str(error), passing=True) from error
        finally:
            if tty is not None:
                os.close(tty)

    def greeted(self, client: Client) -> Line:
        """A channel that takes requests."""
        self.greeting, channel = client, Channel(client, self.site.silence)
        ends = time.monotonic() + (min(CONNECT, self.site.first_byte) if client.tty is None else ASKING)

        def is_over() -> bool:
            client.show()
            return time.monotonic() > ends

        try:
            extensions = Extensions(channel.greet(is_over))
            extensions.learn(channel, self.site.first_byte)
            extensions.waits_for_close = self.extensions.waits_for_close
            self.extensions = extensions
        except BaseException:
            client.end(0)
            client.hang_up()
            raise
        finally:
            self.greeting = None
        return Line(client, channel)

    def close(self) -> None:
        """Let go of all; the first one, which carries the others, last."""
        with self.lock:
            lines, self.lines = self.lines, []
        ends = time.monotonic() + LAST_WORDS
        if client := self.greeting:
            client.end(0)
        for line in lines:
            line.hang_up()
        for line in reversed(lines):
            line.client.end(ends - time.monotonic())
        if self.way:
            self.way.leave()
