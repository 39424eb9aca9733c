"""What an FTS3 server is asked, and its answers.

The name of a job is known before the server hears of it: the server makes it of a word that comes along, and takes the
same word no second time. So a submission whose answer was lost can be made again, and is one job all the same.
"""

from __future__ import annotations

import calendar
import contextlib
import json
import math
import re
import time
import uuid
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit

from gridsync_parts.doors.answers import Answer
from gridsync_parts.doors.hubwire import words_of
from gridsync_parts.doors.refused import pause_of
from gridsync_parts.doors.rest import Rest
from gridsync_parts.doors.urls import netloc_of
from gridsync_parts.errors import (
    CredentialError,
    DoorError,
    Exists,
    GridError,
    NotFound,
    UsageError,
    brief,
)
from gridsync_parts.keys import ca_folder
from gridsync_parts.keys.proxy import read_proxy, valid_proxy
from gridsync_parts.keys.shown import settled, token_of
from gridsync_parts.keys.signing import sign
from gridsync_parts.keys.token import Token
from gridsync_parts.secrets import secrets
from gridsync_parts.settings import Config
from gridsync_parts.table import Settings, Site, url_in
from gridsync_parts.values import Locality, Row
from gridsync_parts.words import scheme_of

FILES = 1000  # of a job at the most
ENOUGH = 4 * 3600.0  # seconds that a delegated proxy is to be good for; of one with less than an hour no job is taken
LOOK = 1800.0  # seconds between two looks at it
TAPE = 3 * 86400  # seconds that a file may take to come from tape
FLOOD = 256 << 20  # bytes of an answer
BASE = "01874efb-4735-4595-bc9c-591aef8240c9"  # of which servers make names, if they do not say so
JOB = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
OVER = ("FINISHED", "FAILED", "CANCELED")  # what becomes of a file
STAGING = ("STAGING", "STARTED", "ON_HOLD_STAGING")  # it is on its way from tape
SENSELESS = "{}: the FTS3 server's answer makes no sense; is the address right?"


class Undelegated(CredentialError):
    """The server has no proxy to act with."""


class File(NamedTuple):
    """How far a job is with a file."""

    target: str  # its URL there
    state: str
    reason: str = ""  # why it has failed
    seconds: float = 0.0  # that its bytes took


class User(NamedTuple):
    """Who we are to the server."""

    delegation: str  # the name of the proxy that it has of us
    vo: uuid.UUID  # of which it makes names of jobs


def endpoint_in(text: str) -> str:
    """The address of an FTS3 server, without its last slash; UsageError if it can be none."""
    try:
        url = url_in(text)
        parts = urlsplit(url)
        is_plain = not (parts.query or parts.fragment or parts.username) and netloc_of(url)[0]
    except (ValueError, GridError) as error:
        raise UsageError(
            f"--fts {secrets.masked(str(error))}; give an address like https://fts3.example.org:8446"
        ) from error
    if parts.scheme != "https":
        raise UsageError(f"--fts={url} must be an https address, as your proxy or tokens go there")
    if not is_plain:
        raise UsageError(
            f"--fts={url.partition('?')[0]} is no address of a server; give one like https://fts3.example.org:8446"
        )
    return url


def check_sites(text: str, *sites: Site) -> None:
    """Refuse an FTS3 server that can be none, and sites that it would not be told of."""
    endpoint_in(text)
    for site in sites:
        if scheme_of(site.server) not in ("https", "davs"):
            raise UsageError(
                f"an FTS3 server is told of files at https doors, and {site.name} has SERVER {site.server}; --via_here "
                "copies through this machine"
            )


def web_url(site: Site, path: str) -> str:
    """A file of a site, as an FTS3 server is told of it."""
    server = re.sub("^davs://", "https://", site.server)
    return server + quote(f"/{site.base}/{path}" if site.base else f"/{path}", safe="/", errors="surrogateescape")


def plain_url(url: str) -> str:
    """A URL whose path stands as it is; servers may write it otherwise than they were told."""
    return unquote(url, errors="surrogateescape")


def said_in(answer: Answer) -> str:
    """What an answer says that is an error."""
    content = answer.drain()
    try:
        document = json.loads(content)
        said = str(document["message"] if isinstance(document, dict) else "")
    except (ValueError, KeyError, RecursionError):
        said = words_of(content)
    return brief(" ".join(secrets.masked(said).split())) or answer.response.reason


def refusal_of(answer: Answer, place: str, path: str) -> GridError:
    """The sentence for an answer that is an error."""
    status, said = answer.status, said_in(answer)
    if status in (401, 403):
        remedy = "does it serve your VO? --proxy_status shows what it sees of you"
        return CredentialError(f"{place}: the FTS3 server refuses ({said}); {remedy}")
    if status == 404 and not path.startswith("/jobs/"):
        return DoorError(f"{place}: answers 404 ({said}); is it the address of an FTS3 server?")
    if status == 404:
        return NotFound(f"{place}: the FTS3 server has no such job ({said})")
    if status == 409:
        return Exists(f"{place}: the FTS3 server has this job already ({said})")
    if status == 419:
        return Undelegated(
            f"{place}: the FTS3 server has no proxy of yours that is good for an hour ({said}); renew yours"
        )
    if status == 413:
        return DoorError(f"{place}: the FTS3 server takes no job of this size ({said}); ask who runs it")
    if status == 429 or status >= 500:
        return DoorError(f"{place}: the FTS3 server answers {status} ({said})", True, pause_of(answer))
    return DoorError(f"{place}: the FTS3 server answers {status} ({said})")


def ends_of(document: Any) -> float:
    """When a delegated proxy ends, by what is said of it; 0 if there is none."""
    text = document.get("termination_time") if isinstance(document, dict) else None
    with contextlib.suppress(TypeError, ValueError):
        return float(calendar.timegm(time.strptime(str(text)[:19], "%Y-%m-%dT%H:%M:%S")))
    return 0.0


def file_of(document: Any) -> File:
    """What is said of a file of a job."""
    seconds = document.get("tx_duration")
    reason = brief(" ".join(secrets.masked(str(document.get("reason") or "")).split()))
    return File(document["dest_surl"], document["file_state"], reason, float(seconds or 0))


class Server:
    """An FTS3 server; each verb is a request or two."""

    def __init__(self, url: str, rest: Rest, tokens: tuple[Token, Token] | None):
        self.url = url
        self.rest = rest
        self.tokens = tokens  # those of the two sites; None where it acts with a proxy
        self.user: User | None = None
        self.due = 0.0  # when to look again at the proxy that it has

    def close(self) -> None:
        """Let go of the connections."""
        self.rest.close()

    def ask(self, method: str, path: str, data: bytes = b"", kind: str = "application/json") -> bytes:
        """What it answers."""
        headers = {"Accept": "application/json", **({"Content-Type": kind} if data else {})}
        answer = self.rest.ask(method, self.url + path, headers=headers, data=data)
        if answer.status >= 300 or answer.status == 207:
            raise refusal_of(answer, self.url, path)
        return answer.content(FLOOD)

    def ask_json(self, method: str, path: str, document: Any = None) -> Any:
        """What it answers, which is JSON."""
        content = self.ask(method, path, b"" if document is None else json.dumps(document).encode())
        try:
            return json.loads(content)
        except (ValueError, RecursionError) as error:
            raise DoorError(SENSELESS.format(self.url)) from error

    def whoami(self) -> User:
        """Who we are to it; it is asked once."""
        if self.user is None:
            found = self.ask_json("GET", "/whoami")
            try:
                names, base = found.get("vos_id") or [], found.get("base_id") or BASE
                vo = uuid.UUID(names[0]) if names else uuid.uuid5(uuid.UUID(str(base)), found["vos"][0])
                self.user = User(quote(str(found["delegation_id"]), safe=""), vo)
            except (AttributeError, LookupError, TypeError, ValueError) as error:
                raise DoorError(SENSELESS.format(self.url)) from error
        return self.user

    def id_of(self, word: str) -> str:
        """The name of the job that is submitted with a word."""
        return str(uuid.uuid5(self.whoami().vo, word))

    # What it acts with.

    def delegate(self, is_forced: bool = False) -> None:
        """Have it hold a proxy of ours that lasts, unless it acts with tokens."""
        now = time.time()
        if self.tokens or (now < self.due and not is_forced):
            return
        path = f"/delegation/{self.whoami().delegation}"
        ends = 0.0 if is_forced else ends_of(self.ask_json("GET", path))
        own = self.ends()
        if ends < min(now + ENOUGH, own - 600):
            request = self.ask("GET", f"{path}/request")
            chain = sign(request, self.rest.proxy, max(own - now, 60) / 3600)
            self.ask("PUT", f"{path}/credential", chain, "application/x-pem-file")
        self.due = now + LOOK

    def ends(self) -> float:
        """When our proxy ends."""
        try:
            proxy = read_proxy(self.rest.proxy)
        except (OSError, ValueError) as error:
            raise CredentialError(f"{self.rest.proxy} cannot be handed on: {error}; --new_proxy makes one") from error
        return proxy.ends

    # Jobs.

    def submit(self, id: str, document: dict[str, Any], is_again: bool = False) -> None:
        """Have a job made; there is never a second one of its name."""
        if is_again:
            with contextlib.suppress(NotFound):
                self.files(id)
                return
        self.delegate()
        with contextlib.suppress(Exists):
            try:
                found = self.ask_json("POST", "/jobs", document)
            except Undelegated:
                self.delegate(is_forced=True)
                found = self.ask_json("POST", "/jobs", document)
            named = found.get("job_id") if isinstance(found, dict) else None
            if named != id:  # what is left of it could not be found again
                if named:
                    self.cancel(quote(str(named), safe=""))
                raise DoorError(f"{self.url}: the FTS3 server gives jobs names of its own; it is too old for gridsync")

    def files(self, id: str) -> list[File]:
        """How far a job is with its files; NotFound if there is none."""
        self.delegate()
        found = self.ask_json("GET", f"/jobs/{id}/files")
        try:
            return [file_of(one) for one in found]
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise DoorError(SENSELESS.format(self.url), passing=True) from error

    def cancel(self, id: str) -> bool:
        """End a job; whether there was one."""
        with contextlib.suppress(NotFound):
            self.ask("DELETE", f"/jobs/{id}")
            return True
        return False

    def document(self, word: str, files: list[dict[str, Any]], more: dict[str, Any]) -> dict[str, Any]:
        """What a job is, as it is submitted."""
        for file in files if self.tokens else ():
            source, target = (token.value() for token in self.tokens or ())
            secrets.note(source)
            secrets.note(target)
            file.update(source_tokens=[source], destination_tokens=[target])
        params = {"id_generator": "deterministic", "sid": word, "job_metadata": {"issuer": "gridsync"}, **more}
        return {"files": files, "params": params}


def count_jobs(rows: list[Row]) -> int:
    """How many jobs files would be in: those on tape are in jobs of their own."""
    on_tape = sum(row.locality is Locality.NEARLINE and bool(row.size) for row in rows)
    return math.ceil(on_tape / FILES) + math.ceil((len(rows) - on_tape) / FILES)


def transfer_of(source: Site, target: Site, row: Row) -> dict[str, Any]:
    """A file, as a job has it."""
    kind, _, value = row.checksum.partition(":")
    known = {"checksum": f"{kind.upper()}:{value}"} if kind == "adler32" else {}
    return {
        "sources": [web_url(source, row.path)], "destinations": [web_url(target, row.path)], "filesize": row.size,
        **known,
    }  # fmt: skip


def open_server(url: str, source: Site, target: Site, settings: Settings, conf: Config) -> Server:
    """An FTS3 server, which is shown what both sites are: the user's proxy, or the token of the first."""
    shown = [settled(site, conf)[0] for site in (source, target)]
    tokens = [token for token in (token_of(site, conf) for site in shown) if token]
    if len(tokens) == 1:
        other = target if shown[0].token else source
        raise UsageError(
            f"an FTS3 server acts with a proxy at both sites, or with tokens, and {other.name} is shown no token; set "
            f"TOKEN in its section of Grid.conf, or CREDENTIAL = proxy in that of the other site"
        )
    proxy = "" if tokens else valid_proxy(settings.vo, time.time()).path
    for token in tokens:
        token.value()
    site = source._replace(name=f"FTS3 server {netloc_of(url)[0]}", server=url, token=shown[0].token)
    rest = Rest(site, proxy, tokens[0] if tokens else None, ca_folder(site))
    return Server(url, rest, (tokens[0], tokens[1]) if tokens else None)
