"""The same verbs through gfal2, for whatever it speaks.

What it can't do on https: tell the tape service how long a pin is to last, say where many files are in one request,
keep a proxy from hosts that a redirect names, and end a read that hangs before OPERATION_TIMEOUT, which also limits
every open file as a whole.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import time
from collections.abc import Collection, Iterator
from typing import Any, Callable
from urllib.parse import quote, unquote, urlsplit

from gridsync_parts.doors import (
    MISNAMED,
    MISSIZED,
    TOO_LARGE,
    At,
    Body,
    Listing,
    Place,
    Tape,
    is_request,
    resized_error,
)
from gridsync_parts.doors.contexts import Contexts
from gridsync_parts.doors.refused import UNREACHABLE, gfal_error
from gridsync_parts.doors.throttle import WINDOW, Throttle, Welcome
from gridsync_parts.errors import (
    BadRequest,
    CredentialError,
    DoorError,
    FileError,
    GridError,
    NotFound,
    TooFast,
    brief,
)
from gridsync_parts.keys.token import Token
from gridsync_parts.kinds import WEB, Can
from gridsync_parts.table import Site
from gridsync_parts.values import LOCALITIES, Entry, Locality, Staging, check_tag
from gridsync_parts.words import LONGEST, is_name, sane_time

PIECE = 4 << 20  # bytes of one read, which is a request
STREAMED = 256 << 10  # the same of an https file from its beginning, which comes in one request; more is slower
BREATH = 10.0  # seconds for which a door with too many requests is left alone: gfal2 does not say for how long
NOT_YET = 11  # EAGAIN, of a file that is still on tape
POLL_FAILED = "call failed:|Malformed served response|Request ID missing"  # said of each file, meant of the request


class Gfal2Tape:
    """The tape service that such a door names."""

    def __init__(self, door: Gfal2Door):
        self.door = door

    def localities(self, paths: list[str]) -> dict[str, Locality]:
        """Where files are."""

        def look(_path: str, url: str) -> Locality:
            word = self.door.contexts.get().getxattr(url, "user.status").strip()
            return LOCALITIES.get(word, Locality.UNKNOWN)

        return self.door.locate(paths, look)

    def stage(self, paths: list[str], days: int) -> str:
        """Ask for files to be brought to disk; the request's id."""
        urls, seconds = [self.door.url(path) for path in paths], days * 86400
        with self.door.errors(urls[0]):
            errors, request = self.door.contexts.get().bring_online(urls, seconds, seconds, True)
        if not request:
            raise gfal_error(next(filter(None, errors), RuntimeError("no id for a staging request")), urls[0])
        if not is_request(str(request)):
            raise DoorError(f"{urls[0]}: {brief(repr(request))} is not a valid name for a request; ask the site")
        return str(request)

    def stagings(self, request: str, paths: list[str]) -> dict[str, Staging]:
        """How far a request is with these files."""
        urls = [self.door.url(path) for path in paths]
        with self.door.errors(urls[0]):
            errors = self.door.contexts.get().bring_online_poll(urls, request)
        found = {}
        for path, error in zip(paths, errors):
            if error is not None and (error.code in UNREACHABLE or re.search(POLL_FAILED, error.message)):
                raise gfal_error(error, urls[0])
            waits = error is not None and error.code == NOT_YET
            found[path] = Staging(error is None, "" if error is None or waits else brief(error.message.strip()))
        return found

    def release(self, request: str, paths: list[str]) -> None:
        """Give back the pins of a request."""
        urls = [self.door.url(path) for path in paths]
        with self.door.errors(urls[0]):
            errors = [error for error in self.door.contexts.get().release(urls, request) if error is not None]
        if errors:
            raise gfal_error(errors[0], urls[0])


class Gfal2Door:
    """A site through gfal2."""

    def __init__(self, site: Site, can: Can, proxy: str, token: Token | None, ca: str | None):
        self.contexts = Contexts(site, proxy, token, ca)
        self.site = site
        self.gfal2 = self.contexts.gfal2
        self.welcome = Welcome(WINDOW)
        self.throttle = Throttle()  # in verbs, each of which is some requests
        self.scheme = urlsplit(site.server).scheme
        self.is_web = self.scheme in WEB
        is_denied = site.tape_api == "none" or self.scheme in ("http", "dav")
        self.has_tape = False if is_denied or not can.tape else None  # None while it is not known
        slash = "//" if self.scheme in ("root", "xroot", "roots") else "/"
        self.server = f"{self.scheme}://{urlsplit(site.server).netloc}{slash}"
        self.root = f"{urlsplit(site.server).path}/{site.base}".strip("/")

    @contextlib.contextmanager
    def errors(self, url: str) -> Iterator[None]:
        """Every error of gfal2 as a GridError."""
        while not self.welcome.is_turn(shown := self.contexts.shown()):
            pass
        began = self.throttle.go()
        try:
            yield
            self.welcome.take(shown)
            self.throttle.take()
        except (self.gfal2.GError, RuntimeError, UnicodeDecodeError) as error:
            failure = gfal_error(error, url, self.site)
            if isinstance(failure, TooFast):
                self.throttle.slow(began, BREATH)
            else:
                self.throttle.take()
            was_taken = shown == self.welcome.taken
            if isinstance(failure, CredentialError) and self.welcome.refuse(shown, str(failure)) and not was_taken:
                self.welcome.words = str(failure)  # at once, as davix itself has asked twice
            if isinstance(failure, FileError):  # it was something else that was wrong
                self.welcome.take(shown)
            raise failure from error
        finally:
            self.welcome.leave()

    def url(self, path: str) -> str:
        """Where a path is; percent-encoded on the web alone, as other schemes take names as they are."""
        path = f"{self.root}/{path}".strip("/")
        if self.scheme not in (*WEB, "file") and re.search("[#?]", path):
            raise FileError(f"{path}: gfal2 cannot fetch names with # or ?; an https door can")
        return self.server + (quote(path, errors="surrogateescape") if self.is_web else path)

    def folder(self, path: str) -> Listing:
        """What is in a folder; for a file, the file itself."""
        url, entries = self.url(path), Listing()
        with self.errors(url):
            here = self.contexts.get().stat(url)
            if not stat.S_ISDIR(here.st_mode) and not self.is_folder(url):
                self.take(entries, path, here, url)
                return entries
            directory = self.contexts.get().opendir(url)
            while True:
                found, facts = directory.readpp()
                if found is None:
                    return entries
                try:
                    name = self.name_of(found.d_name, path)
                except UnicodeDecodeError as error:
                    odd = f"/{path}/{error.object.decode('utf-8', 'surrogateescape')}"
                    entries.leave_out(odd, unquote(url), f"gfal2 cannot ask for {odd}")
                    continue
                if name in (".", "..") and not self.is_web:
                    continue
                below = f"{path}/{name}".lstrip("/")
                if is_name(name):
                    self.take(entries, below, facts, url)
                else:
                    entries.leave_out(f"/{below}", unquote(url), MISNAMED.format(below[:LONGEST]))

    def take(self, entries: Listing, path: str, facts: Any, url: str) -> None:
        """Put what stat says of a file or folder into a listing."""
        is_folder = stat.S_ISDIR(facts.st_mode)
        size = 0 if is_folder else facts.st_size
        if 0 <= size < TOO_LARGE:
            entries.append(Entry(path, is_folder, size, sane_time(facts.st_mtime)))
        else:
            entries.leave_out(path, unquote(url), MISSIZED.format(path, size))

    def is_folder(self, url: str) -> bool:
        """Whether what seems to be a file is a folder: davix takes it for one whenever its PROPFIND has failed."""
        if not self.is_web:
            return False
        try:
            self.contexts.get().opendir(url)
        except self.gfal2.GError as error:
            if error.code == errno.ENOTDIR:
                return False
            if url == self.server and "Invalid read" in str(error):  # StoRM breaks off what is above its areas
                raise NotFound(f"{url}: the door does not list it") from error
            raise
        return True

    def name_of(self, name: str, folder: str) -> str:
        """A listed name; doors that send no displayname make gfal2 give it percent-encoded."""
        if not self.is_web or "%" not in name:
            return name
        try:
            self.contexts.get().stat(self.url(f"{folder}/{name}"))
        except self.gfal2.GError as error:
            if error.code == errno.ENOENT:
                return unquote(name, errors="surrogateescape")
            if error.code in UNREACHABLE and "HTTP 400" not in str(error):  # StoRM's word for all names with % in them
                raise
        return name

    def read(self, at: At, start: int, stop: int) -> Body:
        """The bytes from start up to stop of a file of this size; who waits for them can't be woken."""
        url = self.url(at.path)
        found = self.tag_of(url, at.size, at.tag)
        return Body(self.chunks(url, start, stop, at.size, found), start, tag=found)

    def tag_of(self, url: str, size: int, tag: str) -> str:
        """What tells this version of a file from others; it must be of this size, and have this tag if there is one."""
        import email.utils

        with self.errors(url):
            here = self.contexts.get().stat(url)
        if here.st_size != size:
            raise resized_error(unquote(url), here.st_size, size)
        mtime = sane_time(here.st_mtime)
        found = email.utils.formatdate(mtime, usegmt=True) if mtime else ""  # as http says it
        check_tag(unquote(url), found, tag)
        return found

    def chunks(self, url: str, at: int, stop: int, size: int, tag: str) -> Iterator[bytes]:
        """The bytes of one open file, and of a new one before its time is over; it ends with its last reference."""
        file, opened, reads = None, 0.0, 0
        while at < stop:
            with self.errors(url):
                if file is None or time.monotonic() - opened > self.contexts.timeout / 2:
                    file, opened = self.contexts.get().open(url, "r"), time.monotonic()
                    piece = STREAMED if self.is_web and not at else PIECE
                    if at:
                        file.lseek(at, os.SEEK_SET)
                data: bytes = file.read_bytes(min(piece, stop - at))
            if not data:
                return
            at, reads = at + len(data), reads + 1
            if at >= stop and reads > 1:  # it may have changed in between: davix asks again by itself, too
                self.tag_of(url, size, tag)
            yield data

    def checksum(self, at: At) -> str:
        """The checksum of one file, or empty when the door knows none."""
        url = self.url(at.path)
        for kind, digits in (("ADLER32", 8), ("MD5", 32)):
            try:
                with self.errors(url):
                    found = self.contexts.get().checksum(url, kind).lower().rjust(8, "0")
                if re.fullmatch(f"[0-9a-f]{{{digits}}}", found):
                    return f"{kind.lower()}:{found}"
            except GridError as failure:
                code, text = getattr(failure.__cause__, "code", 0), str(failure.__cause__)
                is_refused = re.search(r"HTTP (4|50[1-9])", text)  # 500 is said by who can't make one
                if is_refused or code in (0, errno.ENOENT, errno.EPERM, *UNREACHABLE):
                    raise
        return ""

    def find_tape(self) -> Tape | None:
        """The tape service, if there is one."""
        if self.has_tape is None:
            self.has_tape = not self.is_web or self.names_tape()
        return Gfal2Tape(self) if self.has_tape else None

    def names_tape(self) -> bool:
        """Whether an https door names a tape service."""
        try:
            return bool(self.contexts.get().getxattr(self.url(""), "taperestapi.uri"))
        except self.gfal2.GError as error:
            if re.search(r"\b40[0345]\b", str(error)):  # the same
                return False
            raise gfal_error(error, self.url("")) from error

    def localities(self, paths: list[str], on_tape: Collection[str] = ()) -> dict[str, Locality]:
        """Where files are: on disk, if they were not known to be on tape; of others it is not told."""

        def look(path: str, url: str) -> Locality:
            self.contexts.get().stat(url)
            return Locality.NEARLINE if path in on_tape else Locality.ONLINE

        return self.locate(paths, look, Locality.ONLINE)

    def locate(
        self, paths: list[str], look: Callable[[str, str], Locality], unasked: Locality = Locality.UNKNOWN
    ) -> dict[str, Locality]:
        """Where files are, one look at a time; of some names the door can't be asked."""
        found: dict[str, Locality] = {}
        for path in paths:
            began = self.throttle.go()
            try:
                url = self.url(path)
                found[path] = look(path, url)
                self.throttle.take()
            except self.gfal2.GError as error:
                failure = gfal_error(error, url, self.site)
                if isinstance(failure, TooFast):
                    self.throttle.slow(began, BREATH)
                else:
                    self.throttle.take()
                # The others would be refused, too; or there may be nobody who answers.
                is_all = isinstance(failure, (CredentialError, TooFast))
                if is_all or (isinstance(failure, DoorError) and not found):
                    raise failure from error
                if isinstance(failure, BadRequest) and unasked is not Locality.UNKNOWN:
                    found[path] = unasked
                elif error.code != errno.ENOENT:
                    found[path] = Locality.OFFLINE if error.code == NOT_YET else Locality.UNKNOWN
            except (FileError, RuntimeError):  # gfal2 before 2.23.3 stumbles over "error": null
                found[path] = Locality.UNKNOWN
        return found


def open_place(site: Site, can: Can, proxy: str, token: Token | None, ca: str | None) -> Place:
    """A site that is shown a proxy or a token, if anything; a token for https was refused before."""
    door = Gfal2Door(site, can, proxy, token, ca)
    return Place(can, door, door, door.find_tape)
