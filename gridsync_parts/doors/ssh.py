"""A machine that is reached by ssh: SFTP through OpenSSH's own client.

A link counts as what it leads to, as at other doors; what is neither file nor folder is named and left out.
"""

from __future__ import annotations

import email.utils
import stat
import struct
from collections.abc import Iterable

from gridsync_parts.doors import MAX_ENTRIES, MISNAMED, MISSIZED, TOO_LARGE, At, Body, Listing, Place, resized_error
from gridsync_parts.doors.plain import PlainDoor
from gridsync_parts.doors.remote import Remote, is_file
from gridsync_parts.doors.sftp import (
    CLOSE,
    EOF,
    FAILURE,
    NAME,
    NO_SUCH_FILE,
    OPEN,
    OPENDIR,
    READDIR,
    STAT,
    TO_READ,
    Attributes,
    Channel,
    Refused,
    attributes_at,
    text_at,
)
from gridsync_parts.doors.sftpin import Incoming
from gridsync_parts.doors.sftpout import SftpWriter
from gridsync_parts.errors import FileError, NotFound
from gridsync_parts.keys.token import Token
from gridsync_parts.kinds import Can
from gridsync_parts.log import log
from gridsync_parts.table import Site
from gridsync_parts.values import Entry, Locality, check_tag
from gridsync_parts.words import LONGEST, is_name, sane_time

MOST = 10_000_000  # names in a folder
LISTED = 4  # requests of a listing that are under way
NO_FILE = "{}: is not a file; --ls_dir shows what there is"
STRAY = "{} is neither file nor folder"
LEADS_NOWHERE = "{} is a link that leads nowhere"


def names_in(packet: memoryview) -> Iterable[tuple[str, Attributes]]:
    """What a part of a listing names."""
    (count,), at = struct.unpack_from(">I", packet, 5), 9
    if not count:
        raise struct.error("no names")
    for _ in range(count):
        name, at = text_at(packet, at)
        _, at = text_at(packet, at)
        found, at = attributes_at(packet, at)
        yield name.decode("utf-8", "surrogateescape"), found


class SshDoor(PlainDoor):
    """Such a machine, as far as one looks and reads."""

    def __init__(self, site: Site):
        self.remote = Remote(site)

    # What there is.

    def folder(self, path: str) -> Listing:
        """What is in a folder; for a file, the file itself."""
        remote, listing = self.remote, Listing()
        log.debug("sftp: list %s", remote.path(path))
        with remote.errors(path), remote.channels.shared() as channel:
            looked, opened = channel.ask((STAT, remote.bytes_of(path), b""), (OPENDIR, remote.bytes_of(path), b""))
            try:
                handle = remote.handle(channel, opened)
            except Refused as error:
                if error.code not in (NO_SUCH_FILE, FAILURE):  # which are said of a file, too
                    channel.forget([looked])
                    raise
                found = remote.attributes(channel, looked)
                if stat.S_ISDIR(found.mode):
                    raise
                self.take(listing, path, found)
                return listing
            channel.forget([looked])
            found_all = self.read_folder(channel, handle, remote.place(path))
            self.follow(channel, path, found_all)
        for name, found in found_all.items():
            below = f"{path}/{name}".lstrip("/")
            if is_name(name):
                self.take(listing, below, found)
            else:
                listing.leave_out(f"/{below}", remote.place(path), MISNAMED.format(below[:LONGEST]))
        return listing

    def read_folder(self, channel: Channel, handle: bytes, place: str) -> dict[str, Attributes]:
        """What is in an open folder, which is closed then."""
        found: dict[str, Attributes] = {}
        asked: list[int] = []
        count = 0
        try:
            while True:
                asked += channel.ask(*[(READDIR, handle, b"")] * (LISTED - len(asked)))
                names = list(names_in(self.remote.reply(channel, asked.pop(0), NAME)))
                found.update(names)
                count += len(names)
                if count > MAX_ENTRIES:
                    raise struct.error("no end")
        except Refused as error:
            if error.code != EOF:
                raise
        finally:
            if not channel.error:
                channel.forget([*asked, *channel.ask((CLOSE, handle, b""))])
        return {name: entry for name, entry in found.items() if name not in (".", "..")}

    def follow(self, channel: Channel, path: str, found: dict[str, Attributes]) -> None:
        """See what links lead to; one that leads nowhere stays a link."""
        links = [name for name, entry in found.items() if stat.S_ISLNK(entry.mode)]
        for at in range(0, len(links), 100):
            some = links[at : at + 100]
            asked = channel.ask(*((STAT, self.remote.bytes_of(f"{path}/{name}".lstrip("/")), b"") for name in some))
            for name, number in zip(some, asked):
                try:
                    found[name] = self.remote.attributes(channel, number)
                except Refused:
                    continue

    def take(self, listing: Listing, path: str, found: Attributes) -> None:
        """Put what is there into a listing; what nobody can fetch is named."""
        is_folder = stat.S_ISDIR(found.mode)
        place = self.remote.place(path)
        if not is_folder and not is_file(found):
            reason = (LEADS_NOWHERE if stat.S_ISLNK(found.mode) else STRAY).format(path)
            listing.odd[path] = FileError(f"{place}: {reason}; it is left out")  # there may be many of them
        elif is_folder or 0 <= found.size < TOO_LARGE:
            size = 0 if is_folder else found.size
            listing.append(Entry(path, is_folder, size, sane_time(found.mtime), "", Locality.ONLINE))
        else:
            listing.leave_out(path, place, MISSIZED.format(path, found.size))

    # Bytes.

    def read(self, at: At, start: int, stop: int) -> Body:
        """The bytes from start up to stop of a file of this size."""
        remote, place = self.remote, self.remote.place(at.path)
        log.debug("sftp: read %s from %d to %d", remote.path(at.path), start, stop)
        line = remote.channels.take(is_long=True)
        try:
            with remote.errors(at.path):
                (number,) = line.channel.ask((OPEN, remote.bytes_of(at.path) + struct.pack(">II", TO_READ, 0), b""))
                file = Incoming(remote, at.path, line, remote.handle(line.channel, number))
        except BaseException:
            remote.channels.give_back(line)
            raise
        try:
            with remote.errors(at.path):
                found = file.begin(start, stop)
            if not is_file(found):
                raise NotFound(NO_FILE.format(place)) if stat.S_ISDIR(found.mode) else FileError(NO_FILE.format(place))
            if found.size != at.size:
                raise resized_error(place, found.size, at.size)
            tag = email.utils.formatdate(found.mtime, usegmt=True) if found.mtime else ""  # as http says it
            check_tag(place, tag, at.tag)
        except BaseException:
            file.close()
            raise
        return Body(file.chunks(found), start, tag=tag, close=file.close, hang_up=file.hang_up)


def open_place(site: Site, can: Can, proxy: str, token: Token | None, ca: str | None) -> Place:
    """A site that is shown what ssh itself is set up to show."""
    door = SshDoor(site)
    writer = SftpWriter(door.remote)
    return Place(can, door, door, door.find_tape, close=door.remote.channels.close, writer=writer)
