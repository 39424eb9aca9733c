"""Version 1 of the WLCG Tape REST API, as dCache and StoRM speak it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from urllib.parse import quote

from gridsync_parts.doors import MAX_QUERY, is_request
from gridsync_parts.doors.answers import Answer
from gridsync_parts.doors.refused import refusal
from gridsync_parts.doors.rest import Rest
from gridsync_parts.doors.urls import netloc_of
from gridsync_parts.doors.wire import Http
from gridsync_parts.errors import DoorError, Unreached, brief
from gridsync_parts.table import Site
from gridsync_parts.values import LOCALITIES, Locality, Staging, batches
from gridsync_parts.words import is_url

STAGED = ("COMPLETED",)
GIVEN_UP = ("FAILED", "CANCELLED", "CANCELED")
MILLISECONDS = 1e11  # a time above is in them


@contextlib.contextmanager
def making_sense(url: str) -> Iterator[None]:
    """An answer whose parts are not those of the API is a DoorError."""
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise DoorError(
            f"the answer of {url} makes no sense ({brief(str(error))}); "
            "set TAPE_API in Grid.conf to another service, or to none",
            passing=True,
        ) from error


class TapeRest:
    """The tape service of a site, which its door names."""

    def __init__(self, http: Http, site: Site, door: str):
        self.http = http  # for the door, which says where the service is; so nobody loads requests where there is none
        self.rest = Rest.beside(http)
        self.site = site
        self.door = door  # its URL
        self.root = f"{site.tape_base}/{site.base}".rstrip("/")
        self.found: str | None = None  # the URL of the service, empty where there is none, None before it is asked

    def url(self) -> str:
        """The URL of the tape service, or empty; asked of the door once."""
        if self.found is None:
            named = "" if self.site.tape_api == "none" else re.sub("(?i)^dav", "http", self.site.tape_api)
            tape = (self.discover() if named == "auto" else named).rstrip("/")
            self.http.trusted.add(netloc_of(tape))
            self.found = tape
        return self.found

    def discover(self) -> str:
        """What the door names as its tape service."""
        url = f"{self.door}/.well-known/wlcg-tape-rest-api"
        answer = self.http.ask("GET", url)
        if answer.status in (400, 403, 404, 405):  # XRootD forbids what it does not know, or wants a macaroon request
            answer.drain()
            return ""
        if answer.status != 200:
            raise refusal(answer, url)
        with making_sense(url):
            found = [str(endpoint["uri"]) for endpoint in answer.json()["endpoints"] if endpoint["version"] == "v1"]
            if not found[0].startswith("https://"):
                raise ValueError(f"{found[0]} is not encrypted")
            if not is_url(found[0]):
                raise ValueError(f"{found[0]} is not a URL")
        return found[0]

    def is_there(self) -> bool:
        """Whether there is such a service."""
        return self.url() != ""

    def ask(self, method: str, verb: str, body: object = None) -> Answer:
        """One call of the tape service."""
        import json

        url = f"{self.url()}/{verb}"
        data = b"" if body is None else json.dumps(body).encode()
        try:
            answer = self.rest.ask(method, url, headers={"Content-Type": "application/json"}, data=data)
        except DoorError as error:
            sentence = f"the tape service cannot be reached: {error}; to do without it set TAPE_API = none in Grid.conf"
            raise type(error)(sentence, error.passing, error.pause) from error
        if answer.status == 404 and "/" not in verb:  # it is no request of ours that is missing
            answer.drain()
            raise DoorError(f"there is no {url}; set TAPE_API in Grid.conf to another service, or to none")
        if answer.status >= 300:
            raise refusal(answer, url)
        return answer

    def paths(self, paths: list[str]) -> dict[str, str]:
        """Paths as the tape service calls them, and as we do."""
        return {f"{self.root}/{path}": path for path in paths}

    def localities(self, paths: list[str]) -> dict[str, Locality]:
        """Where files are, 500 a request."""
        found: dict[str, Locality] = {}
        for some in batches(paths, MAX_QUERY):
            ours = self.paths(some)
            answer = self.ask("POST", "archiveinfo", {"paths": list(ours)})
            with making_sense(self.url()):
                for item in answer.json():
                    if item["path"] in ours and item.get("locality"):
                        found[ours[item["path"]]] = LOCALITIES.get(item["locality"], Locality.UNKNOWN)
        return found

    def stage(self, paths: list[str], days: int) -> str:
        """Ask for files to be brought to disk and kept there; the request's id."""
        files = [{"path": path, "diskLifetime": f"P{days}D"} for path in self.paths(paths)]
        try:
            answer = self.ask("POST", "stage", {"files": files})
            with making_sense(self.url()):
                named = answer.json()["requestId"]
                request = str(named) if isinstance(named, (str, int)) and not isinstance(named, bool) else ""
                if not is_request(request):
                    raise ValueError(f"{brief(repr(named))} is not a valid name for a request")
        except DoorError as error:  # asked again after it has arrived, a request would hold its pins unknown to us
            error.passing = error.passing and (isinstance(error, Unreached) or error.pause > 0)
            raise
        return request

    def stagings(self, request: str, paths: list[str]) -> dict[str, Staging]:
        """How far a request is with these of its files; the answer always has all of them."""
        ours = self.paths(paths)
        found = {}
        answer = self.ask("GET", f"stage/{quote(request, safe='')}")
        with making_sense(self.url()):
            whole = answer.json()
            for item in whole["files"]:
                if item["path"] in ours:
                    state = str(item.get("state"))
                    failure = brief(str(item.get("error") or state.lower())) if state in GIVEN_UP else ""
                    since = float(item.get("startedAt") or whole.get("startedAt") or 0)
                    since /= 1000 if since > MILLISECONDS else 1  # dCache counts in them
                    found[ours[item["path"]]] = Staging(state in STAGED or item.get("onDisk") is True, failure, since)
        return found

    def release(self, request: str, paths: list[str]) -> None:
        """Give back the pins of a request."""
        self.ask("POST", f"release/{quote(request, safe='')}", {"paths": list(self.paths(paths))}).drain()
