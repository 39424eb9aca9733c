"""The CERN Open Data portal: records are folders, and bytes come over https, or by root from where they lie."""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections.abc import Collection
from typing import TYPE_CHECKING
from urllib.parse import quote

from gridsync_parts.doors import At, Body, Listing, Place, Tape, resized_error
from gridsync_parts.doors.answers import Answer
from gridsync_parts.doors.digests import WANTED, digest_in
from gridsync_parts.doors.hubwire import is_page, words_of
from gridsync_parts.doors.portal import Portal, PortalHttp, whereabouts
from gridsync_parts.doors.recall import Recall
from gridsync_parts.doors.record import NAME, Held, Record, listing_in, path_of, tree_of
from gridsync_parts.doors.refused import pause_of
from gridsync_parts.doors.searching import Searching
from gridsync_parts.doors.urls import netloc_of
from gridsync_parts.doors.webdav import WebDavDoor, wish_of
from gridsync_parts.errors import (
    DoorError,
    FileError,
    Forbidden,
    GridError,
    NoRanges,
    NotFound,
    OnTape,
    Unreached,
    UsageError,
)
from gridsync_parts.keys.token import Token
from gridsync_parts.kinds import Can
from gridsync_parts.table import Site
from gridsync_parts.values import Entry, Locality

if TYPE_CHECKING:
    from gridsync_parts.doors.gfal import Gfal2Door

BITE = 1 << 20  # bytes of a record that are given at once
TREES = 16  # records whose folders are remembered
DOUBT = 600  # seconds for which a record is not asked for again because of its files
NO_RECORD = "a portal has records and no folder above them; name one, as in --input_dir=5500"
ON_DEMAND = "{place}: is on demand, and not on disk; --bring_online asks the portal for it"
MISSING = "{place}: its record lists it, but the portal does not have it ({said}); ask the portal, see {page}"
REFUSED = "{place}: the portal refuses ({said}); see what {page} says of it"
PAGE = "{place}: the portal sends a page ({said}) and not the file; try again later"


class OpenDataDoor(WebDavDoor):
    """The portal; of WebDAV it has what is said of an answer with bytes."""

    def __init__(self, site: Site, ca: str | None):
        super().__init__(PortalHttp(site, "", None, ca), site)
        self.ca = ca
        self.portal = Portal(site, ca)
        self.portal.rest.contexts, self.portal.rest.throttles = self.http.contexts, self.http.throttles
        self.recall = None if site.tape_api == "none" else Recall(self.portal)
        self.trees: dict[str, tuple[Record, dict[str, list[Entry]]]] = {}
        self.doubts: dict[str, float] = {}  # records that were asked for again, and when
        self.stores: dict[str, Gfal2Door] = {}  # by host
        self.lock = threading.Lock()

    def close(self) -> None:
        """Let go of the connections."""
        super().close()
        self.portal.rest.close()

    # Listing.

    def tree(self, recid: str) -> dict[str, list[Entry]]:
        """What is in each folder of a record, which is called what it was asked for."""
        record = self.portal.record(recid)
        known = self.trees.get(recid)
        if known and known[0] is record:
            return known[1]
        tree = tree_of(recid, record.files.values(), record.mtime)
        with self.lock:
            self.trees[recid] = (record, tree)
            while len(self.trees) > TREES:
                del self.trees[next(iter(self.trees))]
        return tree

    def folder(self, path: str) -> Listing:
        """What is in a record, or in a folder of it; for a file, the file itself."""
        recid, _, name = path.partition("/")
        if not recid:
            raise UsageError(f"{self.site.name}: {NO_RECORD}")
        listing = listing_in(self.tree(recid), path, recid, self.portal.record(recid).odd)
        if name and not listing:
            raise NotFound(f"{path}: there is no such file in the record; --ls_dir={recid} shows what there is")
        return listing

    def localities(self, paths: list[str], on_tape: Collection[str] = ()) -> dict[str, Locality]:
        """Where files are, as their records say."""

        def place(record: Record, path: str) -> Locality | None:
            held = record.files.get(path.partition("/")[2])
            return held and (Locality.ONLINE if held.online else Locality.NEARLINE)

        return whereabouts(paths, self.portal.record, place)

    def find_tape(self) -> Tape | None:
        """What brings files that are on demand, unless Grid.conf wants to do without it."""
        return self.recall

    # Reading.

    def held(self, path: str) -> tuple[Record, Held]:
        """A file, and its record."""
        recid, _, name = path.partition("/")
        record = self.portal.record(recid)
        held = record.files.get(name)
        if not held:
            raise NotFound(f"{path}: there is no such file in the record; --ls_dir={recid} shows what there is")
        return record, held

    def read(self, at: At, start: int, stop: int) -> Body:
        """The bytes from start up to stop of a file of this size."""
        record, held = self.held(at.path)
        if held.size != at.size:
            raise resized_error(at.path, held.size, at.size)
        if held.name == NAME:
            pieces = (record.text[begin : min(begin + BITE, stop)] for begin in range(start, stop, BITE))
            return Body(pieces, start, held.checksum)
        try:
            if self.site.bytes_by == "root":
                return self.read_by_root(held, at, start, stop)
            return self.read_by_https(record, held, at, start, stop)
        except (NotFound, Forbidden, DoorError) as error:
            is_failing = isinstance(error, DoorError)  # which says nothing of a file that is on disk
            if isinstance(error, Unreached) or (held.online if is_failing else self.is_on_disk(at.path, held)):
                raise
            raise OnTape(ON_DEMAND.format(place=at.path)) from error

    def is_on_disk(self, path: str, held: Held) -> bool:
        """Whether a file that could not be read is on disk, as its record says now."""
        recid, now = path.partition("/")[0], time.monotonic()
        is_asked = now < self.doubts.get(recid, -DOUBT) + DOUBT
        if not held.online or is_asked:
            return held.online
        self.doubts[recid] = now
        with contextlib.suppress(GridError):
            self.portal.record(recid, fresh=True)
            return self.held(path)[1].online
        return True

    def address(self, held: Held) -> str:
        """Where the bytes of a file are at the portal."""
        return f"{self.server}/{quote(path_of(held.uri), safe='/')}"

    def read_by_https(self, record: Record, held: Held, at: At, start: int, stop: int) -> Body:
        """The same over https, wherever the portal sends who reads."""
        url, is_part = self.address(held), (start, stop) != (0, at.size)
        wanted = {} if held.checksum else WANTED
        part = wish_of(at, start, stop)
        headers = {name: value for name, value in part.items() if name not in WANTED and is_part}
        answer = self.http.follow("GET", url, headers={**headers, **wanted})
        if answer.status == 416 and is_part:  # an old gateway knows no ranges
            answer.drain()
            if start:
                raise NoRanges(f"{at.path}: the portal sends the whole file instead of a range", passing=True)
            answer = self.http.follow("GET", url, headers=wanted)
        if answer.status not in (200, 206):
            raise self.unread(answer, at, record)
        length = answer.header("Content-Length")
        is_wanted = length == str(at.size) or (not length and at.path.endswith((".html", ".htm")))
        if answer.status == 200 and is_page(answer) and not is_wanted:
            said = words_of(answer.drain())
            raise FileError(PAGE.format(place=at.path, said=said), passing=True)
        return self.body(answer, at, start, stop)

    def unread(self, answer: Answer, at: At, record: Record) -> GridError:
        """The sentence for an answer without the file."""
        said, page = words_of(answer.drain()), self.portal.page_of(record.recid)
        if answer.status in (404, 410):
            return NotFound(MISSING.format(place=at.path, said=said, page=page))
        if answer.status in (401, 403):
            return Forbidden(REFUSED.format(place=at.path, said=said, page=page))
        is_portal = netloc_of(answer.url) in self.http.trusted
        who = "the portal" if is_portal else f"{netloc_of(answer.url)[0]}, which has the file,"
        is_passing = answer.status >= 500 or answer.status == 429
        kind = DoorError if is_portal and is_passing else FileError
        return kind(f"{at.path}: {who} answers {answer.status} ({said})", is_passing, pause_of(answer))

    def url(self, path: str) -> str:
        """Where a file is, for people; the portal's own page of what has no address."""
        recid, _, name = path.partition("/")
        held = self.portal.record(recid).files.get(name)
        return self.address(held) if held and held.uri else self.portal.page_of(recid)

    def checksum(self, at: At) -> str:
        """The checksum that the record has, or else the one that the portal tells of the file; empty if none."""
        _, held = self.held(at.path)
        if held.checksum or self.site.bytes_by == "root":
            return held.checksum or self.store_of(held).checksum(At(path_of(held.uri), at.size))
        answer = self.http.follow("HEAD", self.address(held), headers=WANTED)
        answer.drain()
        found = digest_in(answer) if answer.status == 200 else ""
        return found if found.startswith("adler32:") else ""

    # From where it lies.

    def store_of(self, held: Held) -> Gfal2Door:
        """The server that a uri names, which is shown nothing."""
        from gridsync_parts.doors.gfal import Gfal2Door

        found = re.match("x?roots?://([^/]*)/", held.uri, re.IGNORECASE)
        if not found:
            raise FileError(f"{held.name}: is not there by root; set BYTES = https in Grid.conf")
        with self.lock:
            if found[1] not in self.stores:
                is_folder = bool(self.ca) and os.path.isdir(self.ca or "")
                site = self.site._replace(server=f"root://{found[1]}", engine="gfal2", credential="none")
                can = Can(("adler32",), tape=False)
                self.stores[found[1]] = Gfal2Door(site, can, "", None, self.ca if is_folder else None)
            return self.stores[found[1]]

    def read_by_root(self, held: Held, at: At, start: int, stop: int) -> Body:
        """The bytes from the server that has them."""
        return self.store_of(held).read(at._replace(path=path_of(held.uri)), start, stop)


def open_place(site: Site, can: Can, proxy: str, token: Token | None, ca: str | None) -> Place:
    """The portal, which is shown nothing."""
    if site.base:
        raise UsageError(
            f"BASE_DIR_ON_GRID of the site {site.name} is {site.base}, but a portal has records and no folders; "
            "remove it from Grid.conf, and name records with --input_dir"
        )
    door = OpenDataDoor(site, ca)
    return Place(can, door, door, door.find_tape, close=door.close, find=Searching(door.portal).find)
