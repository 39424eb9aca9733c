"""A repository of Invenio's kind, such as Zenodo or NRP's: records are folders, and zips are folders where it can look
into them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from urllib.parse import unquote

from gridsync_parts.doors import At, Body, Listing, Place, resized_error
from gridsync_parts.doors.answers import Answer
from gridsync_parts.doors.archive import Archive, said_in
from gridsync_parts.doors.deposit import DepositWriter
from gridsync_parts.doors.drafts import Drafts
from gridsync_parts.doors.entries import Members, Record
from gridsync_parts.doors.hubwire import is_page, words_of
from gridsync_parts.doors.portal import whereabouts
from gridsync_parts.doors.record import Held, listing_in, tree_of
from gridsync_parts.doors.refused import pause_of
from gridsync_parts.doors.repository import Service
from gridsync_parts.doors.seeking import Seeking
from gridsync_parts.doors.urls import mask_url, netloc_of
from gridsync_parts.doors.webdav import WebDavDoor, wish_of
from gridsync_parts.errors import (
    DoorError,
    FileError,
    Forbidden,
    GridError,
    NoRanges,
    NotFound,
    UsageError,
)
from gridsync_parts.keys.shown import usable
from gridsync_parts.keys.token import Token
from gridsync_parts.kinds import Can
from gridsync_parts.table import Site
from gridsync_parts.values import Entry, Locality

BITE = 1 << 20  # bytes of a record that are given at once
NO_RECORD = "a repository has records and no folder above them; name one, as in --input_dir=ID"
MISSING = "{place}: there is no such file in the record; --ls_dir={id} shows what there is"
GONE = "{place}: its record lists it, but the repository does not have it ({said}); ask the repository, see {page}"
REFUSED = "{place}: the repository refuses ({said}); {way}"
PAGE = "{place}: the repository sends a page ({said}) and not the file; try again later"


class InvenioDoor(WebDavDoor):
    """The repository as its readers see it; of WebDAV it has what is said of an answer with bytes."""

    def __init__(self, service: Service, lack: str):
        super().__init__(service.http, service.site)
        self.service = service
        self.archive = Archive(service, lack)
        self.trees: dict[str, tuple[Record | Members, dict[str, list[Entry]]]] = {}  # the last ones, by their tops

    def close(self) -> None:
        """Let go of the connections."""
        self.service.close()

    # Listing.

    def shelf(self, path: str, is_fresh: bool = False) -> tuple[str, Record | Members]:
        """What a path is in, a record or a zip in it, and what of the path leads there."""
        id, _, name = path.partition("/")
        if not id:
            raise UsageError(f"{self.site.name}: {NO_RECORD}")
        record = self.archive.record(id)
        if record.is_draft and is_fresh:  # it changes
            record = self.archive.record(id, fresh=True)
        parts = name.split("/")
        for count in range(1, len(parts) + 1):
            above = "/".join(parts[:count])
            if above in record.zips:
                return f"{id}/{above}", self.archive.members(id, above, record.zips[above])
        return id, record

    def tree(self, top: str, shelf: Record | Members, mtime: int) -> dict[str, list[Entry]]:
        """What is in each folder of it."""
        known = self.trees.get(top)
        if known and known[0] is shelf:
            return known[1]
        tree = tree_of(top, shelf.files.values(), mtime)
        self.trees = {**dict(list(self.trees.items())[-7:]), top: (shelf, tree)}
        return tree

    def folder(self, path: str) -> Listing:
        """What is in a record, in a folder of it or in a zip; for another file, the file itself."""
        top, shelf = self.shelf(path, is_fresh=True)
        id = path.partition("/")[0]
        listing = listing_in(self.tree(top, shelf, self.archive.record(id).mtime), path, top, shelf.odd)
        if path != top and not listing:
            raise NotFound(MISSING.format(place=path, id=id))
        return listing

    def localities(self, paths: list[str], on_tape: Collection[str] = ()) -> dict[str, Locality]:
        """Where files are: on disk, if their records have them."""

        def place(record: Record, path: str) -> Locality:
            if path.partition("/")[2] not in record.files:
                self.held(path)  # or it is nowhere
            return Locality.ONLINE

        return whereabouts(paths, self.archive.record, place)

    # Reading.

    def held(self, path: str) -> tuple[Held, bool]:
        """A file, and whether it is in a zip."""
        id, _, name = path.partition("/")
        record = self.archive.record(id)
        if record.is_draft and name not in record.files:
            record = self.archive.record(id, fresh=True)
        if name in record.files:
            return record.files[name], False
        top, shelf = self.shelf(path)
        held = shelf.files.get(path[len(top) + 1 :])
        if not held or top == id:
            raise NotFound(MISSING.format(place=path, id=id))
        return held, True

    def read(self, at: At, start: int, stop: int) -> Body:
        """The bytes from start up to stop of a file of this size."""
        held, is_member = self.held(at.path)
        if held.size != at.size:
            raise resized_error(at.path, held.size, at.size)
        if not held.uri:
            text = self.archive.record(at.path.partition("/")[0]).text
            pieces = (text[begin : min(begin + BITE, stop)] for begin in range(start, stop, BITE))
            return Body(pieces, start, held.checksum)
        if is_member and start:
            raise NoRanges(f"{at.path}: the repository sends the whole file instead of a range", passing=True)
        wish = wish_of(at, start, stop) if not is_member and (start, stop) != (0, at.size) else {}
        headers = {name: value for name, value in wish.items() if name in ("Range", "If-Range")}
        answer = self.http.follow("GET", held.uri, headers=headers)
        if answer.status == 416 and headers:
            answer.drain()
            raise NoRanges(f"{at.path}: the repository gives no part of it", passing=True)
        if answer.status not in (200, 206):
            raise self.unread(answer, at)
        if answer.status == 200 and is_page(answer) and answer.header("Content-Length") != str(at.size):
            said = words_of(answer.drain())
            if not (is_member or at.path.endswith((".html", ".htm"))):
                raise FileError(PAGE.format(place=at.path, said=said), passing=True)
        return self.body(answer, at, start, stop)

    def unread(self, answer: Answer, at: At) -> GridError:
        """The sentence for an answer without the file."""
        said, id = said_in(answer.drain()), at.path.partition("/")[0]
        if netloc_of(answer.url) not in self.http.trusted:
            who = netloc_of(answer.url)[0]
            sentence = f"{at.path}: {who}, which has the file, answers {answer.status} ({said})"
            return FileError(sentence, passing=True, pause=pause_of(answer))
        if answer.status in (404, 410):
            return NotFound(GONE.format(place=at.path, said=said, page=self.archive.page_of(id)))
        if answer.status in (401, 403):
            return Forbidden(REFUSED.format(place=at.path, said=said, way=self.archive.way()))
        is_passing = answer.status >= 500 or answer.status == 429
        kind = DoorError if is_passing else FileError
        return kind(f"{at.path}: the repository answers {answer.status} ({said})", is_passing, pause_of(answer))

    def url(self, path: str) -> str:
        """Where a file is, for people."""
        with contextlib.suppress(GridError):
            return mask_url(unquote(self.held(path)[0].uri)) or self.archive.page_of(path.partition("/")[0])
        return self.archive.page_of(path.partition("/")[0])

    def checksum(self, at: At) -> str:
        """The checksum that the record has of a file; empty if none."""
        return self.held(at.path)[0].checksum

    def find_tape(self) -> None:
        """It has none."""


def open_place(site: Site, can: Can, proxy: str, token: Token | None, ca: str | None) -> Place:
    """The repository, which is shown a token where there is one."""
    if site.base:
        raise UsageError(
            f"BASE_DIR_ON_GRID of the site {site.name} is {site.base}, but a repository has records and no folders; "
            "remove it from Grid.conf, and name records with --input_dir"
        )
    shown, lack = usable(token)
    service = Service(site, shown, ca)
    door = InvenioDoor(service, lack)
    drafts = Drafts(Service(site, token, ca) if lack else service)  # which says what the token lacks

    def close() -> None:
        """Let go of the connections of both."""
        door.close()
        drafts.service.close()

    return Place(
        can, door, door, door.find_tape, door.expires, close, DepositWriter(drafts),
        find=Seeking(door.archive).find, repository=drafts,
    )  # fmt: skip
