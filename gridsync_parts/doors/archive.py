"""What a repository of Invenio's kind is asked by readers: its records, each once a run, and few at a time."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from gridsync_parts.doors import BITE
from gridsync_parts.doors.answers import Answer
from gridsync_parts.doors.entries import (
    WHOLE,
    Members,
    Record,
    dict_in,
    entries_in,
    has_files,
    id_in,
    link_in,
    members_of,
    record_of,
    senseless,
)
from gridsync_parts.doors.hubwire import words_of
from gridsync_parts.doors.portal import AT_ONCE, no_number
from gridsync_parts.doors.record import RECID, text_in
from gridsync_parts.doors.refused import message_in, pause_of, refusal
from gridsync_parts.doors.repository import ACCEPT, WELL_KNOWN, NoJson, Service, models_in
from gridsync_parts.doors.urls import mask_url, netloc_of
from gridsync_parts.errors import BadRequest, DoorError, FileError, Forbidden, GridError, NotFound, brief

LONGEST = 64 << 20  # bytes of an answer
KEPT = 64  # records, and zips, that are remembered
BROKEN = 999  # the status of what is said of a zip that is none, or has names that lead elsewhere
MOST_PAGES = 1000  # of a list of files
NOT_THERE = "{place}: the repository has no such record{hint}; look for it at {server}, or correct the id"
UNSEEN = ", nor may others than its owner see a draft"
REFUSES = "{place}: is restricted, or nobody's to see ({said}); {way}"
PAGE = "{place}: the repository sends a page ({said}) and no JSON; is SERVER right in Grid.conf? else try later"


def said_in(content: bytes) -> str:
    """What an answer says: its message, or the words of a page."""
    return brief(message_in(content)) or words_of(content)


def tomb_in(content: bytes) -> str:
    """Why and when a record was removed, as its tombstone tells."""
    try:
        tomb = dict_in(json.loads(content), "tombstone")
    except (ValueError, RecursionError, AttributeError):
        return ""
    reason = tomb.get("removal_reason")
    word = text_in(reason, "id") if isinstance(reason, dict) else text_in(tomb, "removal_reason")
    told = (text_in(tomb, "removal_date")[:10], word, text_in(tomb, "note"))
    return brief(", ".join(filter(None, told)))


def embargo_in(document: Mapping[str, Any]) -> str:
    """Until when files are kept back, and why."""
    embargo = dict_in(dict_in(document, "access"), "embargo")
    if not embargo.get("active"):
        return ""
    reason = text_in(embargo, "reason")
    return brief(f"under embargo until {text_in(embargo, 'until') or 'later'}" + (f" ({reason})" if reason else ""))


class Archive:
    """A repository, and what it has said of records."""

    def __init__(self, service: Service, lack: str):
        self.site = service.site
        self.server = service.root
        self.lack = lack  # why no token is shown, though TOKEN names one
        self.rest = service.rest
        self.turn = threading.BoundedSemaphore(AT_ONCE)
        self.lock = threading.Lock()
        self.locks: dict[str, threading.Lock] = {}  # of those that are asked for now
        self.known: dict[str, Record | Members] = {}  # records by their ids, and zips by their paths
        self.found_roots: list[str] = []

    # Asking.

    def way(self) -> str:
        """What to do where a record is not for all."""
        if self.rest.token:
            return "may the owner of your token see it, and is reading in its scope? see --proxy_status"
        if self.lack:
            return f"a token may open it: {self.lack}"
        return f"a token may open it: set TOKEN in [{self.site.name}] of Grid.conf"

    def link(self, url: str) -> str:
        """An address that the repository names, which must be encrypted."""
        made = urljoin(f"{self.server}/", url)
        netloc_of(made)
        if urlsplit(made).scheme != "https":
            raise Forbidden(f"{mask_url(made)} is not encrypted, but the repository links to it; ask the repository")
        return made

    def ask(self, url: str, place: str) -> Any:
        """What the repository answers in JSON; refusals are about a place."""
        with self.turn:
            answer = self.rest.ask("GET", url, headers=ACCEPT)
            if answer.status != 200:
                raise self.refusal(answer, url, place)
            content = answer.content(LONGEST)
        try:
            return json.loads(content, parse_constant=no_number)
        except (ValueError, RecursionError):
            raise NoJson(PAGE.format(place=place, said=words_of(content[:BITE])), passing=True) from None

    def refusal(self, answer: Answer, url: str, place: str) -> GridError:
        """The sentence for an answer that is an error."""
        content = answer.drain()
        said = said_in(content)
        if answer.status == 404:
            hint = "" if self.rest.token else UNSEEN
            return NotFound(NOT_THERE.format(place=place, hint=hint, server=self.server))
        if answer.status == 410:
            return NotFound(f"{place}: the repository has removed it ({tomb_in(content) or said})")
        if answer.status == 403 or (answer.status == 401 and not self.rest.token):
            return Forbidden(REFUSES.format(place=place, said=said, way=self.way()))
        if answer.status in (400, BROKEN):
            return BadRequest(f"{place}: the repository answers {answer.status} ({said})")
        if answer.status >= 500 or answer.status == 429:
            return DoorError(f"{place}: the repository answers {answer.status} ({said})", True, pause_of(answer))
        return refusal(answer, url)

    def roots(self) -> list[str]:
        """Where records are, by their ids: one address for each model, or that of a plain Invenio."""
        with self.lock:
            if not self.found_roots:
                self.found_roots = self.look_around() or [f"{self.server}/api/records"]
            return self.found_roots

    def look_around(self) -> list[str]:
        """What the repository says of its models, that of MODEL first; nothing at a plain Invenio."""
        try:
            told = self.ask(f"{self.server}{WELL_KNOWN}", self.site.name)
            models, links = models_in(told, lambda url: self.ask(self.link(url), self.site.name))
        except (NotFound, Forbidden, BadRequest, NoJson):
            return []
        models.sort(key=lambda model: self.site.model not in (model.get("type"), model.get("name")))
        found = [next(filter(None, (link_in(model, name) for name in ("records", "api", "deposit"))), "")
                 for model in models]  # fmt: skip
        return list(dict.fromkeys(self.link(url).rstrip("/") for url in [*found, text_in(links, "records")] if url))

    # Records.

    def document(self, id: str) -> tuple[Any, bool]:
        """What the repository says of a record, and whether it is a draft, which its owner alone can see."""
        if not re.fullmatch(RECID, id, re.ASCII):
            raise NotFound(NOT_THERE.format(place=brief(id), hint="", server=self.server))
        failures: list[GridError] = []
        for draft in ("", "/draft") if self.rest.token else ("",):
            for root in self.roots():
                try:
                    return self.ask(f"{root}/{quote(id)}{draft}", id), bool(draft)
                except (NotFound, Forbidden) as error:
                    failures.append(error)
        telling = [error for error in failures if isinstance(error, Forbidden) or "has removed" in str(error)]
        raise (telling or failures)[0]

    def record(self, id: str, fresh: bool = False) -> Record:
        """A record by its id; asked for once, unless it is to be fresh."""
        with self.lock:
            lock = self.locks.setdefault(id, threading.Lock())
        with lock:
            known = self.known.get(id)
            if isinstance(known, Record) and not fresh:
                return known
            found = self.fetch(*self.document(id), id)
            for name in {id, found.id}:  # another one, if that is the id of all its versions
                self.keep(name, found)
            return found

    def keep(self, name: str, found: Record | Members) -> None:
        """Remember it, and forget the oldest."""
        with self.lock:
            self.known.pop(name, None)
            self.known[name] = found
            while len(self.known) > KEPT:
                oldest = next(iter(self.known))
                del self.known[oldest]
                self.locks.pop(oldest, None)

    def fetch(self, document: Any, is_draft: bool, id: str) -> Record:
        """A record with its files, of which the repository has said so much."""
        try:
            own = id_in(document)
        except ValueError as error:
            raise senseless(id, error) from error
        where = self.link(link_in(document, "self") or f"{self.roots()[0]}/{own}{'/draft' * is_draft}")
        files = self.link(link_in(document, "files") or f"{where}/files")
        try:
            entries = list(self.entries(files, id)) if has_files(document) else []
        except Forbidden as error:
            if not (embargo := embargo_in(document)):
                raise
            raise Forbidden(f"{id}: its files are {embargo}; {self.way()}") from error

        def url(facts: Mapping[str, Any], name: str) -> str:
            return self.link(link_in(facts, "content") or f"{files}/{quote(name)}/content")

        return record_of(document, entries, id, url, is_draft)

    def entries(self, url: str, place: str) -> Iterator[dict[str, Any]]:
        """All files that are listed at an address, and at those that it names as the next ones."""
        for _ in range(MOST_PAGES):
            answer = self.ask(url, place)
            try:
                yield from entries_in(answer)
                following = link_in(answer, "next")
            except (ValueError, AttributeError) as error:
                raise senseless(place, error) from error
            if not following:
                return
            url = self.link(following)
        raise senseless(place, f"its list of files has more than {MOST_PAGES} pages")

    def members(self, id: str, name: str, address: str) -> Members:
        """What is in a zip of a record; asked for once."""
        place = f"{id}/{name}"
        with self.lock:
            lock = self.locks.setdefault(place, threading.Lock())
        with lock:
            known = self.known.get(place)
            if isinstance(known, Members):
                return known
            address = self.link(address)

            def url(facts: Mapping[str, Any], member: str) -> str:
                return self.link(link_in(facts, "content") or f"{address}/{quote(member)}")

            try:
                found = members_of(self.ask(address, place), place, url)
            except BadRequest as error:
                said = str(error).removeprefix(f"{place}: ")
                raise FileError(f"{place}: is not to be looked into, {said}; {WHOLE}") from error
            self.keep(place, found)
            return found

    def page_of(self, id: str) -> str:
        """The page of a record, for people."""
        return f"{self.server}/records/{quote(id)}"
