"""Records of a repository that are made: drafts, until they are published. Nothing is sent to one that is."""

from __future__ import annotations

import math
import re
import threading
from typing import Any
from urllib.parse import quote, urlencode

from gridsync_parts.doors import Deposited, Draft
from gridsync_parts.doors.record import RECID
from gridsync_parts.doors.repository import Service, complaints_in
from gridsync_parts.errors import BadRequest, DoorError, Exists, FileError, Forbidden, NotFound
from gridsync_parts.log import log
from gridsync_parts.pace import PACE, insist
from gridsync_parts.values import UNFINISHED

WHOLE = 10 << 20  # bytes of a file that is sent in one piece
PART = 50 << 20  # bytes of a part of a larger one, at the least
MOST_PARTS = 10_000
MEBIBYTE = 1 << 20
PAGES = 1000  # of a list
HITS = 100  # of a page of it
SEARCH_TRIES = 3  # of one that fails
AGAIN = 3  # inits, if somebody else makes some, too
PUBLISHED = "{}: is published, and never changed; --new_version makes a new version of it"
UNPUBLISHED = (
    "{}: the repository was asked to publish it, but has not done so yet; perhaps somebody there has to allow it, look "
    "at its page, or run again later"
)
NO_FILES = "missing uploaded files"  # a complaint that goes away with the first of them
Entry = dict[str, Any]  # a file, as the repository tells it


def part_size_of(size: int) -> int:
    """How large the parts of a file are, all but the last."""
    return max(PART, math.ceil(size / MOST_PARTS / MEBIBYTE) * MEBIBYTE)


def deposited(entry: Entry) -> Deposited:
    """A file as the repository tells it."""
    size, checksum = entry.get("size"), entry.get("checksum")
    is_whole = entry.get("status", "completed") == "completed"
    is_md5 = isinstance(checksum, str) and re.fullmatch("md5:[0-9a-f]{32}", checksum)
    return Deposited(size if isinstance(size, int) else UNFINISHED, str(checksum) if is_md5 else "", is_whole)


def sound(entry: Entry) -> Entry:
    """The same, without what is not as it should be in how it is to be sent."""
    for name in ("transfer", "links"):
        if not isinstance(entry.get(name), dict):
            entry.pop(name, None)
    step = (entry.get("transfer") or {}).get("part_size")
    if step is not None and not (type(step) is int and step > 0):
        del entry["transfer"]["part_size"]
    return entry


def entries_in(document: Any) -> dict[str, Entry]:
    """The files of an answer, by name."""
    rows = document.get("entries") if isinstance(document, dict) else document
    rows = rows if isinstance(rows, list) else []
    return {row["key"]: sound(row) for row in rows if isinstance(row, dict) and isinstance(row.get("key"), str)}


def complaints_of(document: Any) -> dict[str, str]:
    """What is said against the metadata of a draft, by field; that it has no files yet is none."""
    found = complaints_in(document)
    return {field: said for field, said in found.items() if not said.lower().startswith(NO_FILES)}


def draft_of(document: Any, is_published: bool = False, files: dict[str, Entry] | None = None) -> Draft:
    """A record as the repository tells it."""
    record = document.get("id") if isinstance(document, dict) else None
    if not isinstance(record, str) or not re.fullmatch(RECID, record, re.ASCII):
        raise DoorError("the repository's answer makes no sense: a record without an id that can be one; ask the site")
    links, metadata = document.get("links"), document.get("metadata")
    page = links.get("self_html") if isinstance(links, dict) else ""
    title = metadata.get("title") if isinstance(metadata, dict) else ""
    return Draft(
        record, bool(document.get("is_published", is_published)), page if isinstance(page, str) else "",
        {name: deposited(entry) for name, entry in (files or {}).items()}, complaints_of(document),
        title if isinstance(title, str) else "",
    )  # fmt: skip


class Drafts:
    """The records of a repository, and what is known of them."""

    def __init__(self, service: Service):
        self.service = service
        self.lock = threading.Lock()
        self.state: dict[str, bool] = {}  # whether a record is published, as far as known
        self.known: dict[str, dict[str, Entry]] = {}  # the files of drafts that are announced, or were there
        self.takes_parts = True

    # What there is.

    def url(self, record: str, is_draft: bool = True) -> str:
        """Where a record is, or its draft."""
        return f"{self.service.home().records}/{quote(record, safe='')}" + ("/draft" if is_draft else "")

    def file_url(self, record: str, name: str) -> str:
        """Where a file is."""
        return f"{self.url(record, not self.state.get(record, False))}/files/{quote(name)}"

    def take(self, draft: Draft, files: dict[str, Entry]) -> Draft:
        """Remember a record."""
        with self.lock:
            self.state[draft.id] = draft.is_published
            self.known[draft.id] = {} if draft.is_published else dict(files)
        return draft

    def look(self, record: str) -> Draft:
        """A record as it is now, with its files: its draft, if it has one; NotFound if there is none."""
        is_draft = True
        try:
            document = self.service.ask("GET", self.url(record), place=record)
        except (NotFound, Forbidden) as error:  # published, perhaps by somebody else
            is_draft = False
            try:
                document = self.service.ask("GET", self.url(record, is_draft), place=record)
            except NotFound:
                raise error from None
        files = self.files(record, is_draft)
        return self.take(draft_of(document, not is_draft, files), files)

    def files(self, record: str, is_draft: bool) -> dict[str, Entry]:
        """The files of a record, all pages of them."""
        place = f"{self.url(record, is_draft)}/files"
        return entries_in(self.service.pages(place, record, ["entries"], PAGES))

    def file(self, record: str, name: str) -> Entry:
        """A file as it is now; NotFound if there is none."""
        entry = self.service.ask("GET", self.file_url(record, name), place=f"{record}/{name}")
        return sound(entry) if isinstance(entry, dict) else {}

    def check_open(self, record: str) -> None:
        """Refuse to change a record that is published."""
        self.service.need_token()
        if record not in self.state:
            self.look(record)
        if self.state[record]:
            raise FileError(PUBLISHED.format(record))

    # Drafts.

    def create(self, key: str) -> Draft:
        """Make a draft, whose title is a key at first, by which it can be found."""
        self.service.need_token()
        body = {"metadata": {"title": key}, "files": {"enabled": True}}
        document = self.service.ask("POST", self.service.home().records, body, place=self.service.site.name)
        return self.take(draft_of(document), {})

    def find(self, key: str) -> list[Draft] | None:
        """The drafts of the user that have a key for their title; None where they can't be searched."""
        self.service.need_token()
        try:
            return insist(self.search, key, retries=SEARCH_TRIES, pace=PACE)
        except (NotFound, Forbidden, BadRequest):
            return None

    def search(self, key: str) -> list[Draft]:
        """What a search for a key finds."""
        url = f"{self.service.home().mine}?{urlencode({'q': f'{chr(34)}{key}{chr(34)}', 'size': HITS})}"
        hits = self.service.pages(url, self.service.site.name, ["hits", "hits"], PAGES)
        drafts = [draft_of(hit) for hit in hits]
        return [draft for draft in drafts if draft.title == key and not draft.is_published]

    def describe(self, record: str, body: dict[str, Any]) -> dict[str, str]:
        """Give a draft its metadata; what the repository says against them, by field."""
        self.check_open(record)
        files = body.get("files")
        body = {**body, "files": {**(files if isinstance(files, dict) else {}), "enabled": True}}
        document = self.service.ask("PUT", self.url(record), body, place=record)
        return complaints_of(document)

    def publish(self, record: str) -> Draft:
        """Publish a draft, whose files are there and verified."""
        self.service.need_token()
        try:
            document = self.service.ask("POST", f"{self.url(record)}/actions/publish", place=record)
        except NotFound:  # an attempt whose answer was lost has done it, or it is gone
            draft = self.look(record)
            if not draft.is_published:
                raise
            return draft
        if isinstance(document, dict) and document.get("id") == record and document.get("is_published") is True:
            return self.take(draft_of(document), {})
        draft = self.look(record)  # it may have been put to somebody who is to allow it
        if not draft.is_published:
            raise FileError(UNPUBLISHED.format(record))
        return draft

    def renew(self, record: str) -> Draft:
        """The draft of a new version of a published record, with the files of that."""
        self.service.need_token()
        document = self.service.ask("POST", f"{self.url(record, is_draft=False)}/versions", place=record)
        draft = self.look(draft_of(document).id)
        if draft.files or draft.is_published:
            return draft
        try:
            self.service.ask("POST", f"{self.url(draft.id)}/actions/files-import", place=record)
        except BadRequest as error:  # there are some already, or the record has none
            log.info("%s", error)
        return self.look(draft.id)

    # Files.

    def announce(self, record: str, files: dict[str, int]) -> None:
        """Say which files a draft is to have, by name, and their sizes: all in one request."""
        self.check_open(record)
        there = self.files(record, is_draft=True)
        with self.lock:
            self.known[record] = dict(there)
        missing: dict[str, int] = {}
        for name, size in files.items():
            if name not in there or not self.is_as_wanted(there[name], size):
                missing[name] = size
                if name in there:
                    self.remove(record, name)
        if missing:
            self.init(record, missing)

    def is_as_wanted(self, entry: Entry, size: int) -> bool:
        """Whether a file is there, or is awaited as it is to be sent."""
        if deposited(entry).is_whole:
            return True
        transfer, told = entry.get("transfer") or {}, entry.get("size")
        if told not in (None, size) or ((transfer.get("type") or "L") == "M") != self.is_in_parts(size):
            return False
        return not self.is_in_parts(size) or transfer.get("part_size", part_size_of(size)) == part_size_of(size)

    def is_in_parts(self, size: int) -> bool:
        """Whether a file of a size is sent in parts."""
        return self.takes_parts and size > WHOLE

    def init(self, record: str, files: dict[str, int]) -> None:
        """Announce files that are not there; all whole, if the repository refuses parts."""
        is_any = any(map(self.is_in_parts, files.values()))
        try:
            return self.post_init(record, files, self.takes_parts)
        except (Forbidden, BadRequest) as error:
            if not is_any or (isinstance(error, BadRequest) and not re.search("transfer|part", str(error), re.I)):
                raise
        self.post_init(record, files, False)
        self.refuse_parts()
        return None

    def refuse_parts(self) -> None:
        """Send all files whole from now on."""
        if self.takes_parts:
            self.takes_parts = False
            log.info("%s takes no files in parts; all are sent whole", self.service.site.name)

    def post_init(self, record: str, files: dict[str, int], takes_parts: bool) -> None:
        """Announce files in one request; those that have come there meanwhile are left out."""
        for attempt in range(AGAIN):
            rows = [self.row(name, size, takes_parts) for name, size in files.items()]
            try:
                document = self.service.ask("POST", f"{self.url(record)}/files", rows, place=record)
            except Exists:
                there = self.files(record, is_draft=True)
                files = {name: size for name, size in files.items() if name not in there}
                if files and attempt == AGAIN - 1:
                    raise
                if not files:
                    return
                continue
            made = {name: entry for name, entry in entries_in(document).items() if name in files}  # it tells of all
            with self.lock:
                self.known.setdefault(record, {}).update(made)
            return

    def row(self, name: str, size: int, takes_parts: bool) -> Entry:
        """What is said of a file that is to come."""
        if not takes_parts or size <= WHOLE:
            return {"key": name, "size": size}
        part = part_size_of(size)
        return {"key": name, "size": size, "transfer": {"type": "M", "parts": -(-size // part), "part_size": part}}

    def remove(self, record: str, name: str) -> bool:
        """Remove a file of a draft; whether it was there."""
        self.check_open(record)
        with self.lock:
            self.known.get(record, {}).pop(name, None)
        try:
            self.service.ask("DELETE", self.file_url(record, name), place=f"{record}/{name}")
        except NotFound:
            return False
        return True
