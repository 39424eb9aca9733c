"""What is asked of a server that speaks SFTP, about one path each time, and what it means when it refuses."""

from __future__ import annotations

import contextlib
import stat
import struct
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

from gridsync_parts.doors.channels import Channels
from gridsync_parts.doors.plain import NO_NAME, NOT_THERE, REFUSED
from gridsync_parts.doors.sftp import (
    ATTRS,
    BAD_MESSAGE,
    HANDLE,
    NO_SUCH_FILE,
    PERMISSION_DENIED,
    STAT,
    Attributes,
    Channel,
    Refused,
    attributes_at,
    check_status,
    path_bytes,
    text_at,
)
from gridsync_parts.errors import BadRequest, DoorError, FileError, Forbidden, GridError, NotFound
from gridsync_parts.log import log
from gridsync_parts.table import Site

FAILS = "{place}: the server fails ({said}); if this continues, ask the site"
SENSELESS = "{place}: the server's answer makes no sense; ask the site"
Request = tuple[int, bytes, bytes]  # what is wanted, what it is about, bytes that belong to it


def refusal(error: Refused, place: str) -> GridError:
    """The sentence for what a server refuses."""
    words = {"place": place, "said": error.said}
    if error.code == NO_SUCH_FILE:
        return NotFound(NOT_THERE.format(**words))
    if error.code == PERMISSION_DENIED:
        return Forbidden(REFUSED.format(**words))
    if error.code == BAD_MESSAGE:
        return BadRequest(NO_NAME.format(**words))
    return FileError(FAILS.format(**words), passing=True)


class Remote:
    """The files of a site that is reached by ssh."""

    def __init__(self, site: Site):
        self.site = site
        self.channels = Channels(site)
        parts = urlsplit(site.server)
        self.server = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self.root = f"{unquote(parts.path, errors='surrogateescape').rstrip('/')}/{site.base}".rstrip("/")

    def path(self, path: str) -> str:
        """Where a path is at the server."""
        return f"{self.root}/{path}".rstrip("/") or "/"

    def bytes_of(self, path: str) -> bytes:
        """The same as a request has it."""
        return path_bytes(self.path(path))

    def place(self, path: str) -> str:
        """The same for people."""
        return f"{self.server}{self.path(path)}"

    @contextlib.contextmanager
    def errors(self, path: str) -> Iterator[None]:
        """Every error as a GridError."""
        try:
            yield
        except Refused as error:
            log.debug("sftp: %s: %s", self.path(path), error.said)
            raise refusal(error, self.place(path)) from error
        except struct.error as error:
            raise DoorError(SENSELESS.format(place=self.place(path)), passing=True) from error

    def reply(self, channel: Channel, number: int, kind: int) -> memoryview:
        """The reply to a request, which must be of some kind; a status says that it was done, or Refused."""
        packet = channel.reply(number, self.site.first_byte)
        check_status(packet)
        if packet[0] != kind:
            raise struct.error("another kind of reply")
        return packet

    def attributes(self, channel: Channel, number: int) -> Attributes:
        """What a reply says of a file."""
        return attributes_at(self.reply(channel, number, ATTRS), 5)[0]

    def handle(self, channel: Channel, number: int) -> bytes:
        """What an open file or folder is called from now on, as a request has it."""
        found = text_at(self.reply(channel, number, HANDLE), 5)[0]
        return struct.pack(">I", len(found)) + found

    def look(self, path: str, kind: int = STAT) -> Attributes:
        """What is there under a name."""
        with self.errors(path), self.channels.shared() as channel:
            (number,) = channel.ask((kind, self.bytes_of(path), b""))
            return self.attributes(channel, number)

    def do(self, path: str, what: str, kind: int, about: bytes) -> None:
        """Have something done; Refused if it is not."""
        log.debug("sftp: %s %s", what, self.path(path))
        with self.channels.shared() as channel:
            (number,) = channel.ask((kind, about, b""))
            check_status(channel.reply(number, self.site.first_byte))


def is_file(found: Attributes) -> bool:
    """Whether it is a regular file, as far as the server tells."""
    return not stat.S_IFMT(found.mode) or stat.S_ISREG(found.mode)
