"""A WebDAV door: dCache, StoRM, XRootD over https."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Collection, Generator
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from gridsync_parts.convoy import Asked
from gridsync_parts.doors import LISTINGS, NO_TAPE, At, Body, Listing, Place, Puller, Tape, late, resized_error
from gridsync_parts.doors.answers import Answer
from gridsync_parts.doors.digests import ANY_WANTED, WANTED, digest_in
from gridsync_parts.doors.listing import PROPFIND, listing_of, path_of
from gridsync_parts.doors.refused import OTHER_FILE, read_refusal, refusal
from gridsync_parts.doors.tape import TapeRest
from gridsync_parts.doors.urls import mask_url, netloc_of
from gridsync_parts.doors.wire import Http
from gridsync_parts.errors import DoorError, FileError, Forbidden, GridError, NotFound, OnTape, brief
from gridsync_parts.keys.token import Token
from gridsync_parts.kinds import Can
from gridsync_parts.table import Site
from gridsync_parts.values import LOCALITIES, Locality, check_tag

if TYPE_CHECKING:
    from gridsync_parts.doors.writing import WebDavWriter

MAX_LISTING = 4 << 30  # bytes of one folder's listing; 1,000,000 files are about 1 GB
TAG = re.compile('"[!#-~]{1,200}"|[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} GMT')


def wish_of(at: At, start: int, stop: int) -> dict[str, str]:
    """The headers that ask for a part of a file, and for its checksum."""
    return {**WANTED, "Range": f"bytes={start}-{stop - 1}", **({"If-Range": at.tag} if at.tag else {})}


def headers_for(at: At, start: int, stop: int) -> dict[str, str]:
    """The headers for bytes of a file. No range of a whole one: it keeps its mover busy on the pool."""
    return wish_of(at, start, stop) if (start, stop) != (0, at.size) else dict(WANTED)


class WebDavDoor:
    """A WebDAV door, and beside it the tape service of its site."""

    def __init__(self, http: Http, site: Site):
        self.http = http
        self.site = site
        parts = urlsplit(site.server)
        self.server = f"{parts.scheme.replace('dav', 'http')}://{parts.netloc}"
        self.root = f"{parts.path.rstrip('/')}/{site.base}".rstrip("/")
        self.tape = TapeRest(http, site, self.server)

    def expires(self) -> float:
        """When the token that it is shown ends, unless its source makes others."""
        token = self.http.token
        return token.ends if token and token.kind in ("env", "file") else 0.0

    def close(self) -> None:
        """Let go of the connections, and of those to the tape service."""
        self.http.idle.close()
        self.tape.rest.close()

    def url(self, path: str) -> str:
        """Where a path is at the door."""
        return self.server + quote(f"{self.root}/{path}", safe="/", errors="surrogateescape")

    def folder(self, path: str) -> Listing:
        """What is in a folder; for a file, the file itself."""
        url = self.url(path)
        headers = {"Depth": "1", "Content-Type": "application/xml"}
        answer = self.http.ask("PROPFIND", url, headers=headers, data=PROPFIND)
        if answer.status == 200 and not f"{self.root}/{path}".strip("/"):  # StoRM's for what is above its areas
            answer.close()
            raise NotFound(f"{mask_url(unquote(url))}: the door does not list it")
        if answer.status != 207:
            raise refusal(answer, url)
        try:
            root = path_of(answer.url).removesuffix(path).rstrip("/")  # another one if the door has moved it
            return listing_of(answer.whole(MAX_LISTING), root, path, url)
        finally:
            answer.close()

    def read(self, at: At, start: int, stop: int) -> Body:
        """The bytes from start up to stop of a file of this size."""
        url, headers = self.url(at.path), headers_for(at, start, stop)
        answer = self.http.follow("GET", url, headers=headers)
        if answer.status == 500 and b"checksum" in answer.drain():  # XRootD can't make one; perhaps it sends the bytes
            headers = {name: value for name, value in headers.items() if name not in WANTED}
            answer = self.http.follow("GET", url, headers=headers)
        return self.body(answer, at, start, stop)

    def is_ready(self) -> bool:
        """Whether a request can go at once."""
        return self.http.can_send_ahead(self.server)

    def read_ahead(self, at: At, start: int, stop: int) -> Generator[Asked, None, Body]:
        """The bytes from start up to stop of a file, step by step."""
        answer = yield from self.http.follow_ahead("GET", self.url(at.path), headers_for(at, start, stop))
        if answer and answer.status == 500 and b"checksum" in answer.drain():
            self.http.due = math.inf  # each file takes two requests here
            answer = None
        return self.body(answer, at, start, stop) if answer else self.read(at, start, stop)

    def body(self, answer: Answer, at: At, start: int, stop: int) -> Body:
        """The bytes that an answer brings, which are to be those from start up to stop."""
        url = self.url(at.path)
        place = mask_url(unquote(url))
        if answer.status not in (200, 206):
            if netloc_of(answer.url) in self.http.trusted:
                error = read_refusal(answer, url)
                raise OnTape(f"{place}: is {NO_TAPE}") if isinstance(error, OnTape) and self.tape.found == "" else error
            answer.drain()
            said = brief(answer.response.reason)
            if OTHER_FILE in said:
                reason = "its pool takes it for another file, and each try would cost the site a mover; ask the site"
                raise FileError(f"{place}: {reason}")
            raise FileError(f"{place}: the pool answers {answer.status} ({said})", passing=True)
        try:
            begins, ends = self.check_range(answer, place, start, at.size)
            found = self.tag_of(answer)
            check_tag(place, found, at.tag)
        except GridError:
            answer.close()
            raise
        # Else there is more than was asked for.
        surplus = functools.partial(resized_error, place, "more", at.size) if ends <= stop else None
        chunks = answer.file_chunks(min(stop, ends) - begins, surplus)
        return Body(chunks, begins, digest_in(answer), found, answer.close, answer.hang_up)

    def check_range(self, answer: Answer, place: str, start: int, size: int) -> tuple[int, int]:
        """Where the bytes of an answer begin and end; they are those of the file that is in the catalog, as it is."""
        coding, length = answer.header("Content-Encoding").strip().lower(), answer.header("Content-Length")
        if coding not in ("", "identity"):
            raise FileError(f"{place}: the door sends it encoded as {coding[:20]}; ask the site")
        if answer.status == 200:
            if length and length != str(size):
                raise resized_error(place, length, size)
            return 0, size
        found = re.fullmatch(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})", answer.header("Content-Range"))
        count = int(found[2]) + 1 - start if found and found[1] == str(start) else 0
        if not found or count <= 0 or length not in ("", str(count)):
            raise FileError(f"{place}: the door sends a different range than requested", passing=True)
        if found[3] != str(size):
            raise resized_error(place, found[3], size)
        return start, start + count

    def tag_of(self, answer: Answer) -> str:
        """What the door calls this version of a file; a pool's word, which may be another on the next one, is none."""
        found = next(filter(TAG.fullmatch, (answer.header("ETag"), answer.header("Last-Modified"))), "")
        return found if found and netloc_of(answer.url) == netloc_of(self.server) else ""

    def checksum(self, at: At) -> str:
        """The checksum of one file, or empty when the door knows none."""
        url = self.url(at.path)
        for wanted in (ANY_WANTED, WANTED):  # XRootD fails at a list of which it can't make each
            answer = self.http.follow("HEAD", url, headers=wanted)
            if answer.status != 500:
                break
            answer.drain()
        else:  # it can't make one
            return ""
        if answer.status != 200:
            raise refusal(answer, url)
        answer.drain()
        return digest_in(answer)

    def find_tape(self) -> Tape | None:
        """The tape service, if there is one."""
        return self.tape if self.tape.is_there() else None

    def localities(self, paths: list[str], on_tape: Collection[str] = ()) -> dict[str, Locality]:
        """Where files are, as each listing says, if the first tells anything."""
        from concurrent import futures

        found: dict[str, Locality] = {}
        failure: DoorError | None = None
        folders = sorted({path.rpartition("/")[0] for path in paths})
        with futures.ThreadPoolExecutor(LISTINGS) as threads:
            for some in (folders[:1], folders[1:]):
                for listing in [threads.submit(self.folder, folder) for folder in some]:
                    try:
                        entries = listing.result()
                    except (NotFound, Forbidden):
                        continue
                    except DoorError as error:
                        failure = failure or error  # what others tell is good all the same
                        continue
                    found.update((entry.path, entry.locality) for entry in entries if not entry.is_folder)
                if some == folders[:1] and set(found.values()) == {Locality.UNKNOWN}:  # this door has disk alone
                    found.update((path, Locality.UNKNOWN) for path in paths if path.rpartition("/")[0] not in some)
                    break
            asked = [path for path in on_tape if found.get(path) is Locality.UNKNOWN]
            found.update(zip(asked, threads.map(self.locality, asked)))
        if failure and not found:
            raise failure
        where = {Locality.UNKNOWN: Locality.ONLINE}  # as there is no tape service
        return {path: where.get(found[path], found[path]) for path in paths if path in found}

    def locality(self, path: str) -> Locality:
        """Where a file is that was on tape, as far as the door tells."""
        answer = self.http.follow("HEAD", self.url(path))
        answer.drain()
        return LOCALITIES.get(answer.header("Locality"), Locality.NEARLINE)


def make_place(door: WebDavDoor, can: Can) -> Place:
    """A site behind such a door."""

    def make_writer() -> WebDavWriter:
        from gridsync_parts.doors.writing import WebDavWriter

        return WebDavWriter(door.http, door.url, door.folder)

    def make_puller() -> Puller:
        from gridsync_parts.doors.crossing import WebDavPuller

        return WebDavPuller(door.http, door.url, writer)

    writer = late(make_writer)
    place = Place(can, door, door, door.find_tape, door.expires, door.close, writer, ahead=door, ahead_writer=writer)
    place = place._replace(check_name=lambda path: writer.check_name(path))
    return place._replace(puller=late(make_puller) if can.copies else None)


def open_place(site: Site, can: Can, proxy: str, token: Token | None, ca: str | None) -> Place:
    """A site that is shown a proxy or a token."""
    return make_place(WebDavDoor(Http(site, proxy, token, ca), site), can)
