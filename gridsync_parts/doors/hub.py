"""CTA's download service on a JupyterHub: WebDAV that passes through a service, which holds each answer in its memory.

So files come in pieces. Where the door behind it sends readers to a pool that is not reached from here, the service
fetches them itself: without ranges, in chunks, and errors look like files.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Callable
from urllib.parse import quote, unquote, urlsplit

from gridsync_parts.doors import At, Body, Listing, Place
from gridsync_parts.doors.answers import Answer
from gridsync_parts.doors.guest import REDIRECTS
from gridsync_parts.doors.hubsend import HubWriter, check_hub_name
from gridsync_parts.doors.hubwire import HubWire, is_page, words_of
from gridsync_parts.doors.refused import redirect_target, refusal
from gridsync_parts.doors.urls import mask_url, netloc_of
from gridsync_parts.doors.webdav import WebDavDoor, wish_of
from gridsync_parts.errors import BadName, DoorError, FileError, Forbidden, NoRanges, PoolError, UsageError
from gridsync_parts.keys.token import Token
from gridsync_parts.kinds import Can
from gridsync_parts.log import log
from gridsync_parts.table import Site

PIECE = 64 << 20  # bytes of one answer that the service has to hold
HELD = 64 << 10  # bytes of what it fetches that are kept back: errors are shorter
AROUND = 600  # seconds for which no pool is tried after one was not reached
READERS = "all CTAO members and all users of the hub"
SHORT = "{place}: the hub sends {count} bytes in place of {size}, and calls that a success: {said}; try again later"
LONG = "{place}: the hub sends more than the {size} bytes of the catalog, or says an error at length; run --build_list"
SWAPPED = "{place}: the hub changes bytes of this file on their way; it is fetched once more, another way"


class NoPool(PoolError):
    """The pool is not reached from here."""


class Swapped(FileError):
    """The service takes bytes of the file for a listing, and changes them."""


class Joined:
    """The bytes of a file, one piece after the other."""

    def __init__(self, body: Body, more: Callable[[int], Body], stop: int):
        self.body = body
        self.more = more
        self.stop = stop

    def chunks(self) -> Iterator[bytes | memoryview]:
        """All of them; less, if the site sends less."""
        at, before = self.body.start, -1
        while True:
            for chunk in self.body.chunks:
                at += len(chunk)
                yield chunk
            if at >= self.stop or at == before:
                return
            self.body.close()  # its connection serves the next piece
            before, self.body = at, self.more(at)

    def close(self) -> None:
        """Let go of the connection."""
        self.body.close()

    def hang_up(self) -> None:
        """Wake who waits for bytes."""
        self.body.hang_up()


class HubDoor(WebDavDoor):
    """The WebDAV of such a service."""

    def __init__(self, http: HubWire, site: Site):
        super().__init__(http, site)
        self.prefix, mark, below = urlsplit(site.server).path.partition("/webdav")
        if not mark:
            raise UsageError(
                f"SERVER of the site {site.name} is not the WebDAV of a hub's service; correct it in Grid.conf, as "
                "https://HUB/services/downloadservice/webdav/"
            )
        self.fetched_root = f"{self.prefix}/fetch{below}/{site.base}".rstrip("/")
        self.mark = f":href>{self.prefix}/webdav/".encode()  # what the service writes, in files too
        self.swapped: set[str] = set()  # files in which it does
        self.around = 0.0  # until when no pool is tried

    def place_of(self, path: str) -> str:
        """Where a path is, for people."""
        return mask_url(unquote(self.url(path)))

    def folder(self, path: str) -> Listing:
        """What is in a folder, but for the names of which the service makes others."""
        check_hub_name(path, self.place_of(path))
        found = super().folder(path)
        listing = Listing()
        listing.odd = found.odd
        for entry in found:
            try:
                check_hub_name(entry.path, entry.path)
                listing.append(entry)
            except BadName as error:
                listing.odd[entry.path] = error
        return listing

    # Reading.

    def read(self, at: At, start: int, stop: int) -> Body:
        """The bytes from start up to stop of a file of this size."""
        check_hub_name(at.path, self.place_of(at.path))
        if at.path in self.swapped or time.monotonic() < self.around:
            return self.fetch(at, start)
        try:
            body = self.piece(at, start, stop)
        except (NoPool, Swapped) as error:
            log.debug("%s; the service is to fetch it", error)
            return self.fetch(at, start)
        found = at._replace(tag=body.tag or at.tag)
        joined = Joined(body, lambda begin: self.next_piece(found, begin, stop), stop)
        return Body(joined.chunks(), body.start, body.checksum, body.tag, joined.close, joined.hang_up)

    def next_piece(self, at: At, start: int, stop: int) -> Body:
        """A piece that follows another one."""
        body = self.piece(at, start, stop)
        if body.start != start:
            body.close()
            raise NoRanges(f"{self.place_of(at.path)}: the hub sends the whole file instead of a range", passing=True)
        return body

    def piece(self, at: At, start: int, stop: int) -> Body:
        """As many bytes from start on as the service should hold, or all of them from a pool."""
        url = self.url(at.path)
        end = min(stop, start + PIECE)
        answer = self.http.send("GET", url, headers=wish_of(at, start, end) if at.size else {})
        if answer.status in REDIRECTS:
            end = stop
            answer = self.at_pool(answer, url, wish_of(at, start, stop))
        try:
            body = self.body(answer, at, start, end)
        except Swapped:
            self.swapped.add(at.path)
            raise
        if netloc_of(answer.url) in self.http.trusted:
            return body._replace(chunks=self.right_chunks(at.path, body))
        return body

    def at_pool(self, answer: Answer, url: str, headers: dict[str, str]) -> Answer:
        """What the pool says to which a reader is sent; it is shown nothing."""
        try:
            target = redirect_target(answer, url)
            if netloc_of(target) not in self.http.trusted:
                return self.http.send("GET", target, headers=headers)
        except (DoorError, Forbidden) as error:  # Forbidden: it is not encrypted
            self.around = time.monotonic() + AROUND
            raise NoPool(f"{mask_url(unquote(url))}: its pool cannot be reached: {error}", passing=True) from error
        raise FileError(f"{mask_url(unquote(url))}: the door sends it elsewhere, as if it was a folder; ask the site")

    def check_range(self, answer: Answer, place: str, start: int, size: int) -> tuple[int, int]:
        """Where the bytes of an answer begin and end; they are those of the file, and not changed on their way."""
        length = answer.header("Content-Length")
        found = re.fullmatch(r"bytes ([0-9]{1,18})-([0-9]{1,18})/[0-9]{1,18}", answer.header("Content-Range"))
        if answer.status == 200 and is_page(answer) and length != str(size):
            said = words_of(answer.drain())
            raise DoorError(f"{place}: the hub sends a page ({said}) and not the file; try again later", passing=True)
        is_hubs = netloc_of(answer.url) in self.http.trusted
        if is_hubs and answer.status == 206 and found and length not in ("", str(int(found[2]) - int(found[1]) + 1)):
            raise Swapped(SWAPPED.format(place=place), passing=True)
        return super().check_range(answer, place, start, size)

    def right_chunks(self, path: str, body: Body) -> Iterator[bytes | memoryview]:
        """The bytes of a piece, unless the service seems to have written some of them."""
        end, keep = b"", len(self.mark) - 1
        for chunk in body.chunks:
            seen = end + bytes(chunk)
            if self.mark in seen:
                body.close()
                self.swapped.add(path)
                raise Swapped(SWAPPED.format(place=self.place_of(path)), passing=True)
            end = seen[-keep:]
            yield chunk

    # The way round.

    def fetch(self, at: At, start: int) -> Body:
        """The bytes of a whole file, which the service fetches wherever they are."""
        place = self.place_of(at.path)
        if start:
            raise NoRanges(f"{place}: the hub sends the whole file instead of a range", passing=True)
        path = quote(f"{self.fetched_root}/{at.path}", safe="/", errors="surrogateescape")
        answer = self.http.send("GET", self.server + path)
        if answer.status != 200:
            raise refusal(answer, self.url(at.path))
        return Body(self.right_size(answer, at, place), 0, close=answer.close, hang_up=answer.hang_up)

    def right_size(self, answer: Answer, at: At, place: str) -> Iterator[bytes | memoryview]:
        """What the service fetches, if it can be the file; of an error, nothing."""
        held, count = b"", 0
        for chunk in answer.file_chunks(
            at.size, lambda: FileError(LONG.format(place=place, size=at.size), passing=True)
        ):
            if count <= HELD:
                held += bytes(chunk)
            count += len(chunk)
            if count <= HELD and count < at.size:
                continue
            yield held or chunk
            held = b""
        if count < at.size:
            said = words_of(held) if held else "it ends too early"
            raise FileError(SHORT.format(place=place, count=count, size=at.size, said=said), passing=True)


def open_place(site: Site, can: Can, proxy: str, token: Token | None, ca: str | None) -> Place:
    """A site that is shown a token."""
    door = HubDoor(HubWire(site, token, ca), site)
    writer = HubWriter(door.http, door.url, door.folder, door.server + door.prefix)
    return Place(can, door, door, lambda: None, door.expires, door.close, writer, READERS, writer.check_name)
