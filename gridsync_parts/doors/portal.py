"""What the CERN Open Data portal is asked: its records above all, each once a run, and few at a time."""

from __future__ import annotations

import json
import math
import re
import threading
import time
from collections.abc import Callable, Iterable
from concurrent import futures
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

from gridsync_parts.doors import BITE
from gridsync_parts.doors.answers import Answer
from gridsync_parts.doors.guest import Guest
from gridsync_parts.doors.hubwire import words_of
from gridsync_parts.doors.record import RECID, Record, lacking, record_of, senseless
from gridsync_parts.doors.refused import pause_of, refusal
from gridsync_parts.doors.rest import Rest
from gridsync_parts.doors.urls import mask_url
from gridsync_parts.doors.wire import Http
from gridsync_parts.errors import (
    BadRequest,
    DoorError,
    FileError,
    Forbidden,
    GridError,
    NotFound,
    brief,
    drop_frames,
)
from gridsync_parts.table import Site
from gridsync_parts.values import Locality

if TYPE_CHECKING:
    import ssl

AT_ONCE = 4  # requests to the portal, or to a repository
LONGEST = 256 << 20  # bytes of an answer, of which a file takes 500
KEPT = 192 << 20  # bytes of records, more or less; beyond that the oldest are asked for again when they are needed
COST = 1000  # bytes of a file in memory, more or less
NOT_THERE = "{place}: the portal has no such record; look for it at {server}/search, or correct the number"
REFUSES = "{place}: the portal refuses ({said}); see what {page} says of it"
PAGE = "{place}: the portal sends a page ({said}) and no record; is SERVER in Grid.conf the portal? else try later"


def no_number(text: str) -> None:
    """Refuse what Python takes for a number in JSON."""
    raise ValueError(f"{text} is no number")


def whereabouts(
    paths: Iterable[str], record: Callable[[str], Any], place: Callable[[Any, str], Locality | None]
) -> dict[str, Locality]:
    """Where files are, as their records say; what some of these tell is good, whatever becomes of the others."""
    found: dict[str, Locality] = {}
    failure: DoorError | None = None
    ids = {path: path.partition("/")[0] for path in paths}
    with futures.ThreadPoolExecutor(AT_ONCE) as threads:
        asked = {id: threads.submit(record, id) for id in dict.fromkeys(ids.values())}
    for path, id in ids.items():
        try:
            locality = place(asked[id].result(), path)
        except DoorError as error:
            failure = failure or error
        except FileError:
            continue
        else:
            if locality:
                found[path] = locality
    if failure and not found:
        raise failure
    return found


def cost_of(record: Record) -> int:
    """How much memory a record takes, more or less."""
    return len(record.text) + COST * len(record.files)


class Browser(Guest):
    """A guest who shows nothing, and trusts the CAs of browsers as well as those of the grid."""

    def context(self, with_proxy: bool) -> ssl.SSLContext:
        """What TLS trusts: pages are made for browsers, and what has the files may be of the grid."""
        context = super().context(with_proxy)
        if not self.site.ca_dir:
            context.load_default_certs()
        return context


class PortalRest(Browser, Rest):
    """One who asks the portal."""


class PortalHttp(Browser, Http):
    """One who fetches files."""


class Portal:
    """The portal, and what it has said of records."""

    def __init__(self, site: Site, ca: str | None):
        self.site = site
        self.server = site.server
        self.host = urlsplit(site.server).hostname or ""
        self.rest = PortalRest(site, "", None, ca)
        self.turn = threading.BoundedSemaphore(AT_ONCE)
        self.lock = threading.Lock()
        self.records: dict[str, tuple[Record, float]] = {}  # by what the portal calls them, and when that was said
        self.names: dict[str, str] = {}  # what it calls those that it was asked for
        self.awaited: dict[str, futures.Future[Record]] = {}  # those that are being asked for
        self.held = 0  # bytes, more or less

    def page_of(self, recid: str) -> str:
        """The page of a record, for people."""
        return f"{self.server}/record/{quote(recid, safe='')}"

    def ask(self, method: str, path: str, data: Any = None, recid: str = "") -> Any:
        """What the portal answers to a request for a path: JSON, or the text that it sends in its place.

        What is sent along is sent as JSON. Refusals name the page of the record that it is about.
        """
        url = f"{self.server}/{path.lstrip('/')}"
        headers, body = {"Accept": "application/json"}, b""
        if data is not None:
            headers["Content-Type"], body = "application/json", json.dumps(data).encode()
        with self.turn:
            answer = self.rest.ask(method, url, headers=headers, data=body)
            if answer.status not in (200, 201, 202):
                raise self.refusal(answer, url, recid)
            content = answer.content(LONGEST)
        try:
            return json.loads(content, parse_constant=no_number)
        except (ValueError, RecursionError):
            if content.lstrip()[:1] == b"<":  # of whatever type: it calls a mere OK a page, too
                said = words_of(content[:BITE])
                raise DoorError(PAGE.format(place=mask_url(unquote(url)), said=said), passing=True) from None
            return content.decode("utf-8", "replace")

    def refusal(self, answer: Answer, url: str, recid: str) -> GridError:
        """The sentence for an answer that is an error."""
        said = words_of(answer.drain())
        place = f"{self.site.name}: {recid}" if recid else mask_url(unquote(url))
        if answer.status in (404, 410) and recid:
            return NotFound(NOT_THERE.format(place=recid, server=self.server))
        if answer.status == 403:
            return Forbidden(REFUSES.format(place=place, said=said, page=self.page_of(recid) if recid else url))
        if answer.status == 400:
            return BadRequest(f"{place}: the portal answers 400 ({said})")
        if answer.status >= 500 or answer.status == 429:
            return DoorError(f"{place}: the portal answers {answer.status} ({said})", True, pause_of(answer))
        return refusal(answer, url)

    # Records.

    def record(self, recid: str, fresh: bool = False, younger: float = math.inf) -> Record:
        """A record by what the portal calls it, or has called it; asked for once, unless what is known is too old.

        It is to be fresh, or younger than so many seconds.
        """
        if not re.fullmatch(RECID, recid, re.ASCII):
            raise NotFound(NOT_THERE.format(place=brief(recid), server=self.server))
        with self.lock:
            known, since = self.records.get(self.names.get(recid, recid), (None, 0.0))
            if known and not fresh and time.monotonic() - since < younger:
                return known
            waited = self.awaited.get(recid)
            mine = waited or self.awaited.setdefault(recid, futures.Future())
        if waited:  # somebody asks just now
            return waited.result()
        try:
            found = self.fetch(recid)
            with self.lock:
                self.keep(recid, found)
            mine.set_result(found)
        except BaseException as error:
            mine.set_exception(drop_frames(error) if isinstance(error, GridError) else error)
            raise
        finally:
            with self.lock:
                del self.awaited[recid]
        return found

    def fetch(self, recid: str) -> Record:
        """A record as it is now."""
        answer = self.ask("GET", f"api/records/{recid}", recid=recid)
        try:
            keys = lacking(answer)
        except (ValueError, TypeError) as error:
            raise senseless(recid, error) from error
        found = record_of(answer, self.host, {key: self.index(recid, key) for key in keys}, recid)
        if recid not in (found.recid, str(answer.get("id"))):  # the id is what was asked for, an old number, say
            raise senseless(recid, f"it is about {found.recid}")
        return found

    def index(self, recid: str, key: str) -> Any:
        """A file index of a record, which has not come with it."""
        try:
            return self.ask("GET", f"record/{recid}/file_index/{quote(key, safe='')}", recid=recid)
        except NotFound as error:
            raise senseless(recid, f"it has a file index {key}, which is not there") from error

    def keep(self, recid: str, found: Record) -> None:
        """Remember a record, and let go of the oldest ones where there are too many."""
        if found.recid in self.records:
            self.held -= cost_of(self.records.pop(found.recid)[0])
        self.names[recid] = found.recid
        self.records[found.recid] = (found, time.monotonic())
        self.held += cost_of(found)
        while self.held > KEPT and len(self.records) > 1:
            self.held -= cost_of(self.records.pop(next(iter(self.records)))[0])
