"""A server that speaks FTP with TLS: proftpd, pure-ftpd, vsftpd and others."""

from __future__ import annotations

import contextlib
import io
import socket
import ssl
import time
from collections.abc import Iterator
from typing import Callable

from gridsync_parts.doors import MAX_ENTRIES, MISNAMED, MISSIZED, TOO_LARGE, At, Body, Listing, Place, resized_error
from gridsync_parts.doors.drip import Drip
from gridsync_parts.doors.ftplist import Named, Unknown, What, moment_of, read_listing
from gridsync_parts.doors.ftpnames import Server, file_of, refusal, tag_of
from gridsync_parts.doors.ftpput import FtpsWriter
from gridsync_parts.doors.ftpwire import BROKEN, FAREWELL, Line, Reply, end_data, ending
from gridsync_parts.doors.plain import NOT_THERE, PlainDoor
from gridsync_parts.errors import DoorError, FileError, NotFound, brief
from gridsync_parts.keys.token import Token
from gridsync_parts.kinds import Can
from gridsync_parts.table import Site
from gridsync_parts.values import Entry, check_tag
from gridsync_parts.words import LONGEST, is_name

PIECE = 256 << 10  # bytes that are handed on together, of which TLS brings 16 kB at a time,
GATHERING = 0.2  # or what has come in so many seconds
LONG = 4 << 20  # bytes of a read in which the file may change
LINE_END = "{} has a line end in its name, which FTP cannot ask for"
LINE = 10_000  # bytes of a line of a listing


class Stream:
    """The bytes of a file as they arrive; it holds its line until it is closed."""

    def __init__(self, server: Server, line: Line, data: ssl.SSLSocket, place: str):
        self.server = server
        self.line: Line | None = line
        self.data = data
        self.place = place
        self.drip = Drip(line.site)

    def broken(self, error: BaseException) -> FileError:
        """The sentence for a file whose bytes do not come."""
        return FileError(str(self.server.lines.failure(error)), passing=True)

    def bite(self, buffer: memoryview) -> tuple[int, BaseException | None]:
        """Bytes, as many as fit or as come in a moment; and what has ended them."""
        began = now = time.monotonic()
        ends, count = began + GATHERING, 0
        try:
            while count < len(buffer):
                some = self.data.recv_into(buffer[count:])
                count += some
                now = self.server.lines.moved = time.monotonic()
                if not some or now > ends:
                    break
            self.drip.take(count, now - began)
        except (OSError, ValueError) as error:
            return count, error
        return count, None

    def chunks(self, awaited: int, check: Callable[[], None] | None) -> Iterator[memoryview]:
        """So many bytes; the last of them once it was seen that the server has sent all, if they are to be the last."""
        buffer = memoryview(bytearray(min(PIECE, awaited)))
        while awaited > 0:
            count, error = self.bite(buffer[: min(PIECE, awaited)])
            awaited -= count
            if not awaited and check:
                self.finish()
                check()
            if count:
                yield buffer[:count]
            if error:
                raise self.broken(error) from error
            if not count:
                self.lost()

    def lost(self) -> None:
        """Say why there are no more bytes than these."""
        try:
            assert self.line
            end_data(self.data, FAREWELL)  # else servers wait
            reply = self.line.reply()
        except BROKEN as error:
            raise self.broken(error) from error
        if reply.code // 100 != 2:
            raise FileError(str(refusal(self.place, reply)), passing=True)

    def finish(self) -> None:
        """See that there are no more bytes, and that the server says so."""
        try:
            if self.data.recv(1):
                raise FileError(f"{self.place}: the server sends more bytes than the file has; ask the site", True)
            assert self.line
            end_data(self.data, self.line.site.silence)  # vsftpd waits for that
            reply = self.line.reply()
        except BROKEN as error:
            raise self.broken(error) from error
        if reply.code // 100 != 2:
            raise FileError(f"{self.place}: the server could not send all of it ({reply.said})", passing=True)

    def close(self) -> None:
        """Let go of the line, once the server knows that nobody wants more."""
        line, self.line = self.line, None
        if line is None:
            return
        end_data(self.data, FAREWELL)
        self.data.close()
        with contextlib.suppress(*BROKEN):
            if line.owed:
                line.sock.settimeout(FAREWELL)
                line.reply()
            line.sock.settimeout(line.site.first_byte)
        self.server.lines.keep(line)

    def hang_up(self) -> None:
        """Wake a thread that waits for bytes, or for a word."""
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self.data, socket.SHUT_RDWR)  # TLS's own would pull the rug from the reader
        if line := self.line:
            line.hang_up()


class FtpsDoor(Server, PlainDoor):
    """A server, as a site that is looked at and read."""

    # What there is.

    def folder(self, path: str) -> Listing:
        """What is in a folder; for a file, the file itself."""

        def verb(line: Line) -> Listing:
            found = self.listed(line, path)
            if isinstance(found, Reply):
                it = self.look(line, path)
                if it and not it.is_folder:
                    listing = Listing()
                    self.take(listing, path, Named("", What.FILE, it.size, it.mtime), self.place(path))
                    return listing
                refused = refusal(self.place(path), found)
                if type(refused) is FileError and not it:
                    refused = NotFound(NOT_THERE.format(place=self.place(path)))
                raise refused
            return self.listing_of(line, path, found)

        return self.lines.ask(verb)

    def listed(self, line: Line, path: str) -> Reply | list[Named | str]:
        """The lines about a folder, understood; or the reply that refuses."""
        assert self.lines.facts
        by_mlsd = bool({"MLSD", "MLST"} & self.lines.facts)
        here, opened = line.say_all(f"CWD {self.path(path)}", line.passive())
        if here.code // 100 != 2:
            return here
        data, reply = line.channel(opened, "MLSD" if by_mlsd else "LIST -a")
        if data is None and not by_mlsd and reply.code // 100 == 5:
            data, reply = line.channel(line.say(line.passive()), "LIST")
        if data is None:
            return reply
        found: list[Named | str] = []
        with ending(data), data.makefile("rb") as file:
            try:
                found += read_listing(self.text_lines(file), by_mlsd)
            except Unknown as error:
                raise DoorError(
                    f"{self.place(path)}: the server lists it in a format that gridsync does not know "
                    f"({brief(repr(str(error)))}); ask the site for another door"
                ) from error
        ended = line.reply()
        if "truncated" in ended.text.lower():
            raise DoorError(
                f"{self.place(path)}: the server lists only the first {len(found)} of what is there ({ended.said}); "
                "ask the site to raise its limit"
            )
        return found if ended.code // 100 == 2 else ended

    def text_lines(self, file: io.BufferedIOBase) -> Iterator[str]:
        """The lines of a listing."""
        for _ in range(MAX_ENTRIES):
            if not (line := file.readline(LINE)):
                return
            yield line.decode("utf-8", "surrogateescape").rstrip("\r\n")
        raise Unknown("more than could be there")

    def listing_of(self, line: Line, path: str, found: list[Named | str]) -> Listing:
        """What is in a folder, once what the lines leave open was asked for."""
        place, listing = self.place(path), Listing()
        below = f"{path}/" if path else ""
        named = [item for item in found if isinstance(item, Named) and item.what is not What.SELF]
        for item in found:
            if isinstance(item, str):
                listing.leave_out(f"/{below}{item}", place, LINE_END.format(repr(item)))
        asked = [item for item in named if item.what is What.LINK or (item.what is What.FILE and not item.mtime)]
        facts = dict(zip((item.name for item in asked), self.facts_about(line, [below + item.name for item in asked])))
        for item in named:
            full = f"{below}{item.name}"
            it = facts.get(item.name)
            if not is_name(item.name):
                listing.leave_out(f"/{full}", place, MISNAMED.format(full[:LONGEST]))
            elif item.what is What.FOLDER or (item.what is What.FILE and item.mtime):
                self.take(listing, full, item, place)
            elif it:
                self.take(listing, full, Named(item.name, What.FILE, it.size, it.mtime), place)
            else:
                what = "a link to a folder, or to nothing" if item.what is What.LINK else "no file that it gives"
                listing.leave_out(full, place, f"{full} is {what}")
        return listing

    def take(self, listing: Listing, path: str, item: Named, place: str) -> None:
        """Put a file or folder into a listing."""
        if item.size < TOO_LARGE:
            listing.append(Entry(path, item.what is What.FOLDER, item.size, item.mtime))
        else:
            listing.leave_out(path, place, MISSIZED.format(path, item.size))

    # Its bytes.

    def read(self, at: At, start: int, stop: int) -> Body:
        """The bytes from start up to stop of a file of this size."""
        return self.lines.ask(lambda line: self.body(line, at, start, stop), holds=True)

    def body(self, line: Line, at: At, start: int, stop: int) -> Body:
        """The same over a line."""
        full, place = self.path(at.path), self.place(at.path)
        size, mtime, opened = line.say_all(f"SIZE {full}", f"MDTM {full}", line.passive())
        it = file_of(size, mtime)
        if not it:
            raise self.no_file(line, at.path, size)
        if it.size != at.size:
            raise resized_error(place, it.size, at.size)
        tag = tag_of(it.mtime)
        check_tag(place, tag, at.tag)
        data, reply = line.channel(opened, *([f"REST {start}"] if start else []), f"RETR {full}")
        if data is None:
            raise refusal(place, reply)
        stream = Stream(self, line, data, place)

        def check() -> None:
            if stop - start > LONG and tag:
                again = line.say(f"MDTM {full}")
                check_tag(place, tag_of(moment_of(again.text[4:].strip())), tag)

        chunks = stream.chunks(stop - start, check if stop == at.size else None)
        return Body(chunks, start, "", tag, stream.close, stream.hang_up)


def open_place(site: Site, can: Can, proxy: str, token: Token | None, ca: str | None) -> Place:
    """A site that is shown a login."""
    door = FtpsDoor(site, ca)
    writer = FtpsWriter(door)
    return Place(can, door, door, door.find_tape, close=door.close, writer=writer, check_name=writer.check_name)
