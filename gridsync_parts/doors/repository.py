"""A repository of Invenio's kind: what it is asked, its answers, and what they mean.

NRP's say themselves where their records are, by model; of others it is known. The token is shown to SERVER alone.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urljoin, urlsplit

from gridsync_parts.doors import BITE, Sent
from gridsync_parts.doors.answers import Answer
from gridsync_parts.doors.budget import Budget, Load
from gridsync_parts.doors.entries import dict_in
from gridsync_parts.doors.guest import Data
from gridsync_parts.doors.hubwire import words_of
from gridsync_parts.doors.plain import NO_ROOM
from gridsync_parts.doors.portal import Browser
from gridsync_parts.doors.refused import pause_of, refusal
from gridsync_parts.doors.rest import Rest
from gridsync_parts.doors.sending import UnreadError, unread
from gridsync_parts.doors.urls import KEPT, mask_url, netloc_of
from gridsync_parts.doors.wire import Http
from gridsync_parts.errors import (
    BadRequest,
    CredentialError,
    DoorError,
    Exists,
    FileError,
    Forbidden,
    Full,
    GridError,
    NotFound,
    TooMany,
    UsageError,
    brief,
)
from gridsync_parts.keys.token import Token
from gridsync_parts.table import Site

WELL_KNOWN = "/.well-known/repository"
LONGEST = 64 << 20  # bytes of an answer
WRITE, ACTIONS = "deposit:write", "deposit:actions"  # scopes
# Zenodo has an older form of its records for who does not name the one that all others have.
ACCEPT = {"Accept": "application/vnd.inveniordm.v1+json, application/json"}
BYTES = {"Content-Type": "application/octet-stream", **ACCEPT}
PAGE = "{place}: the repository sends a page ({said}) and no answer; is SERVER in Grid.conf right? else try later"
LACKS = (
    "{place}: the repository refuses ({said}); is TOKEN of Grid.conf still good, is the record yours, and may that "
    "token {do} (scope {scope})?"
)
HIDDEN = "{place}: the repository refuses ({said}); is TOKEN of Grid.conf still good, and may you see the record?"
GONE = "{place}: the repository has no such draft or file ({said}); perhaps somebody has deleted it"
NO_TOKEN = "the site {} takes records from those alone who show a token; set TOKEN in its section of Grid.conf"


class NoJson(DoorError):
    """It sends a page in place of an answer."""


def models_in(document: Any, read: Callable[[str], Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The kinds of records of which a repository tells, each with its links, and what it links to itself.

    It may tell of them elsewhere, which is read.
    """
    document = document if isinstance(document, dict) else {}
    links = dict_in(document, "links")
    listed = document.get("models") or links.get("models")
    listed = read(listed) if isinstance(listed, str) else listed
    if isinstance(listed, dict):
        hits = listed.get("hits")
        listed = hits.get("hits") if isinstance(hits, dict) else list(listed.values())
    listed = listed if isinstance(listed, list) else []
    return [one for one in listed if isinstance(one, dict) and isinstance(one.get("links"), dict)], links


class Home(NamedTuple):
    """Where a repository has its records."""

    records: str  # of its model
    mine: str  # those of the user, drafts among them


def complaints_in(document: Any) -> dict[str, str]:
    """What an answer says against metadata or files, by field."""
    found: dict[str, str] = {}
    errors = document.get("errors") if isinstance(document, dict) else None
    for error in errors if isinstance(errors, list) else []:
        if isinstance(error, dict):
            said = error.get("messages") or error.get("message") or "is refused"
            words = [str(word) for word in (said if isinstance(said, list) else [said])]
            field = str(error.get("field") or "?")
            found[field] = "; ".join(filter(None, [found.get(field, ""), *words]))
        else:
            found["?"] = "; ".join(filter(None, [found.get("?", ""), str(error)]))
    return found


def complaints_text(complaints: dict[str, str]) -> str:
    """The same in a line."""
    return "; ".join(said if field == "?" else f"{field}: {said}" for field, said in complaints.items())


def said_in(answer: Answer) -> tuple[str, dict[str, str]]:
    """What an answer says that is an error: in words, and by field."""
    content = answer.drain()
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return words_of(content), {}
    message = str(document.get("message") or "") if isinstance(document, dict) else ""
    complaints = complaints_in(document)
    return brief(" ".join(message.split())) or answer.response.reason, complaints


def refusal_of(answer: Answer, place: str, scope: str) -> GridError:
    """The sentence for an answer that is an error."""
    status, (said, complaints) = answer.status, said_in(answer)
    words = {"place": place, "said": said}
    if status == 403 and scope:
        return Forbidden(LACKS.format(**words, do="publish" if scope == ACTIONS else "write", scope=scope))
    if status == 403:
        return Forbidden(HIDDEN.format(**words))
    if status in (404, 410):
        return NotFound(GONE.format(**words))
    if status == 413:
        return FileError(f"{place}: the repository takes no file of this size ({said}); ask the site for its limit")
    if status in (409, 412):
        return FileError(f"{place}: somebody else changes it just now ({said}); try again", passing=True)
    if re.search("quota|no space", said, re.IGNORECASE) or status == 507:
        return Full(NO_ROOM.format(**words))
    if status == 400 and re.search("already exists", said, re.IGNORECASE):
        return Exists(f"{place}: the repository has it already ({said})")
    if status == 400 and re.search("max amount", said, re.IGNORECASE):
        return TooMany(f"{place}: the repository takes fewer files in a record ({said}); see ZIP_ABOVE in Grid.conf")
    if status >= 500 or status == 429:
        return DoorError(f"{place}: the repository answers {status} ({said})", True, pause_of(answer))
    if 400 <= status < 500 and status != 401:
        kind = BadRequest if status == 400 else FileError
        return kind(f"{place}: the repository answers {status} ({complaints_text(complaints) or said})")
    return refusal(answer, answer.url)


class Member(Browser):
    """A guest of a repository, who keeps to its budget."""

    budget: Budget

    def carry(self, method: str, url: str, headers: dict[str, str], data: Data) -> Answer:
        """One request, when its turn has come."""
        import http.client

        if netloc_of(url) not in self.trusted:
            return super().carry(method, url, headers, data)
        self.budget.go()
        is_well = True
        try:
            answer = super().carry(method, url, headers, data)
            is_well = answer.status < 500
            self.budget.heed(answer.header("X-RateLimit-Remaining"), answer.header("X-RateLimit-Reset"))
            return answer
        except (OSError, http.client.HTTPException):
            is_well = False
            raise
        finally:
            self.budget.note(is_well)


class MemberRest(Member, Rest):
    """One who asks."""


class MemberHttp(Member, Http):
    """One who sends files."""


class Service:
    """A repository, as requests reach it."""

    def __init__(self, site: Site, token: Token | None, ca: str | None):
        self.site = site
        self.token = token
        self.http = MemberHttp(site, "", token, ca)
        self.rest = MemberRest.beside(self.http)
        self.budget = self.http.budget = self.rest.budget = Budget(site.per_minute, site.per_hour)
        self.load = Load(site.weight)
        self.root = re.sub("(/api)?/*$", "", site.server)
        self.lock = threading.Lock()
        self.found: Home | None = None

    def close(self) -> None:
        """Let go of the connections, and of whoever waits for a turn."""
        self.budget.close()
        self.load.close()
        self.rest.close()
        self.http.idle.close()

    # Where things are.

    def home(self) -> Home:
        """Where its records are; it is asked once."""
        with self.lock:
            if self.found is None:
                self.found = self.find_home()
            return self.found

    def find_home(self) -> Home:
        """Ask it where its records are, if it is one that says so."""
        try:
            document = self.ask("GET", self.root + WELL_KNOWN)
        except (NotFound, Forbidden, BadRequest, NoJson):  # a plain InvenioRDM
            model = quote(self.site.model or "records", safe="")
            return Home(f"{self.root}/api/{model}", f"{self.root}/api/user/{model}")
        models, links = models_in(document, lambda url: self.ask("GET", self.own(url)))
        model_links = self.model_links(models, links)
        records = model_links.get("records") or model_links.get("deposit")
        if not isinstance(records, str):
            raise DoorError(f"{self.site.name}: the repository does not say where its records are; ask the site")
        records = self.own(records).rstrip("/")
        mine = model_links.get("drafts")
        top, _, name = records.rpartition("/")
        return Home(records, self.own(mine) if isinstance(mine, str) else f"{top}/user/{name}")

    def model_links(self, models: list[dict[str, Any]], links: dict[str, Any]) -> dict[str, Any]:
        """The links of the kind of records that are to be made."""
        names = sorted({str(one.get("name") or one.get("type")) for one in models})
        wanted = self.site.model
        chosen = [one for one in models if wanted in (one.get("name"), one.get("type"))] if wanted else models
        if not models and not wanted:
            return links
        if not chosen:
            raise UsageError(
                f"the repository {self.site.name} makes no records of the kind {wanted}; set MODEL in its section of "
                f"Grid.conf to one of {', '.join(names) or 'those that its pages name'}"
            )
        if len(chosen) > 1:
            raise UsageError(
                f"the repository {self.site.name} has records of several kinds; set MODEL in its section of Grid.conf "
                f"to one of {', '.join(names)}"
            )
        return dict(chosen[0]["links"])

    def own(self, link: str) -> str:
        """A link of an answer, which must lead to the repository itself."""
        try:
            url = quote(urljoin(f"{self.site.server}/", link), KEPT)
            is_own = self.is_own(url)
        except (ValueError, FileError) as error:
            said = f"an address that is none ({brief(ascii(link))})"
            raise DoorError(f"{self.site.name}: the repository names {said}; ask the site") from error
        if not is_own:
            raise DoorError(
                f"{self.site.name}: the repository names an address of another server, {mask_url(url)}, where your "
                "token is not sent; ask the site"
            )
        return url

    def is_own(self, url: str) -> bool:
        """Whether a URL leads to the repository itself."""
        return netloc_of(url) in self.http.trusted and urlsplit(url).scheme == urlsplit(self.site.server).scheme

    def need_token(self) -> None:
        """Refuse to make records without a token."""
        if self.token is None:
            raise CredentialError(NO_TOKEN.format(self.site.name))

    # Requests.

    def ask(self, method: str, url: str, data: Any = None, place: str = "") -> Any:
        """What it answers, which is JSON; what is sent along is sent as JSON."""
        headers, body = dict(ACCEPT), b""
        if data is not None:
            headers["Content-Type"], body = "application/json", json.dumps(data).encode()
        scope = "" if method == "GET" else ACTIONS if url.endswith("/actions/publish") else WRITE
        return self.read(self.rest.ask(method, url, headers=headers, data=body), place or mask_url(unquote(url)), scope)

    def send(self, url: str, sent: Sent, place: str) -> Any:
        """What it answers to bytes; another server, that it has named for them, is shown nothing."""
        if not self.is_own(url) and urlsplit(url).scheme != "https":
            raise Forbidden(f"{place}: the repository names {mask_url(url)}, which is not encrypted; ask the site")
        send = self.http.ask if self.is_own(url) else self.http.send
        try:
            return self.read(send("PUT", url, headers=BYTES, data=sent), place, WRITE, self.is_own(url))
        except UnreadError as error:
            raise unread(error, place) from None

    def read(self, answer: Answer, place: str, scope: str, is_json: bool = True) -> Any:
        """What an answer says; nothing is {}."""
        if answer.status not in (200, 201, 202, 204):
            raise refusal_of(answer, place, scope)
        content = answer.content(LONGEST)
        if not content.strip() or not is_json:
            return {}
        try:
            return json.loads(content)
        except (ValueError, RecursionError):
            raise NoJson(PAGE.format(place=place, said=words_of(content[:BITE])), passing=True) from None

    def pages(self, url: str, place: str, inside: Iterable[str], most: int) -> list[Any]:
        """What a list has, page after page, where it is inside its answers."""
        found: list[Any] = []
        for _page in range(most):
            document = self.ask("GET", url, place=place)
            rows: Any = document
            for key in inside:
                rows = rows.get(key) if isinstance(rows, dict) else None
            found += rows if isinstance(rows, list) else []
            links = document.get("links") if isinstance(document, dict) else None
            following = links.get("next") if isinstance(links, dict) else None
            if not rows or not isinstance(following, str) or self.own(following) == url:
                break
            url = self.own(following)
        return found
