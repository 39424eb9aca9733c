"""An FTP server: what it says of names, and what it means when it refuses."""

from __future__ import annotations

import email.utils
import re
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from gridsync_parts.doors.ftplines import Lines
from gridsync_parts.doors.ftplist import moment_of
from gridsync_parts.doors.ftpwire import Line, Reply
from gridsync_parts.doors.plain import NO_NAME, NO_ROOM, NOT_THERE, REFUSED, TAKEN
from gridsync_parts.errors import (
    BadName,
    DoorError,
    Exists,
    FileError,
    Forbidden,
    Full,
    GridError,
    NotFound,
    Saying,
    error_for,
)
from gridsync_parts.table import Site

ASKED = 50  # names that are asked about together
FOLDER = "{place}: is a folder"

# What servers say of what they refuse, each in its own words.
REFUSALS = (
    Saying(r"^(425|522)", DoorError,
           "{place}: the server makes no channel for data ({said}); ask the site", passing=True),
    Saying(r"^(452|552)|no space|quota|disk (is )?full|not enough", Full, NO_ROOM),
    Saying(r"no such|not found|does ?n.?t exist|check for file existence|not a directory", NotFound, NOT_THERE),
    Saying(r"file exists|already exists", Exists, TAKEN),
    Saying(r"name too long|invalid (file)?name|prohibited|not allowed|^553.*(dot|name)", BadName, NO_NAME),
    Saying(r"denied|not permitted|permission", Forbidden, REFUSED),
    Saying(r"failure writing|during write", DoorError,
           "{place}: the server could not write it ({said}); its disk may be full", passing=True),
    Saying(r"^4", DoorError, "{place}: the server cannot do it now ({said})", passing=True),
    Saying(r"", FileError, "{place}: the server refuses ({said}); if this continues, ask the site"),
)  # fmt: skip


class Found(NamedTuple):
    """What has a name at the server."""

    is_folder: bool
    size: int = 0
    mtime: int = 0


def refusal(place: str, reply: Reply) -> GridError:
    """The sentence for a reply that refuses something."""
    return error_for(REFUSALS, reply.text, place=place, said=reply.said)


def tag_of(mtime: int) -> str:
    """What tells this version of a file from others."""
    return email.utils.formatdate(mtime, usegmt=True) if mtime else ""


def file_of(size: Reply, mtime: Reply) -> Found | None:
    """A file, from the replies to SIZE and MDTM; None if it is none."""
    digits = size.text[4:].strip()
    if size.code != 213 or not re.fullmatch(r"[0-9]{1,18}", digits):
        return None
    return Found(False, int(digits), moment_of(mtime.text[4:].strip()) if mtime.code == 213 else 0)


class Server:
    """A server."""

    def __init__(self, site: Site, ca: str | None):
        self.site = site
        parts = urlsplit(site.server)
        self.server = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self.root = f"{unquote(parts.path, errors='surrogateescape').rstrip('/')}/{site.base}".rstrip("/")
        self.lines = Lines(site, ca)

    def path(self, path: str) -> str:
        """A path as the server knows it."""
        return f"{self.root}/{path}".rstrip("/") or "/"

    def place(self, path: str) -> str:
        """The same for sentences."""
        return self.server + self.path(path)

    def close(self) -> None:
        """Let go of the connections."""
        self.lines.close()

    def look(self, line: Line, path: str) -> Found | None:
        """What has a name; None if nothing has."""
        full = self.path(path)
        size, mtime, here = line.say_all(f"SIZE {full}", f"MDTM {full}", f"CWD {full}")
        return file_of(size, mtime) or (Found(True) if here.code == 250 else None)

    def facts_about(self, line: Line, paths: list[str]) -> list[Found | None]:
        """Size and time of some files, each None if it is no file; they are asked for together."""
        found: list[Found | None] = []
        for at in range(0, len(paths), ASKED):
            some = [self.path(path) for path in paths[at : at + ASKED]]
            replies = line.say_all(*(f"{verb} {path}" for path in some for verb in ("SIZE", "MDTM")))
            found += [file_of(size, mtime) for size, mtime in zip(replies[::2], replies[1::2])]
        return found

    def no_file(self, line: Line, path: str, reply: Reply) -> GridError:
        """The sentence for what is no file that can be read."""
        place = self.place(path)
        if reply.code // 100 == 4:
            return refusal(place, reply)
        if self.look(line, path):
            return FileError(FOLDER.format(place=place))
        return NotFound(NOT_THERE.format(place=place))
