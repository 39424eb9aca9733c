"""Files that are sent to a WebDAV door: dCache, StoRM, XRootD over https, and others.

None of them takes a part of a file. Of an upload that was cut off, StoRM and XRootD keep what came, under its name.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
import zlib
from collections.abc import Generator, Iterable
from typing import Callable
from urllib.parse import unquote

from gridsync_parts.convoy import Asked, result_of
from gridsync_parts.doors import Listing, Sent, Stored
from gridsync_parts.doors.answers import Answer
from gridsync_parts.doors.digests import ANY_WANTED, WANTED, digest_in
from gridsync_parts.doors.listing import PROPFIND, listing_of, path_of, time_of
from gridsync_parts.doors.plain import NO_FOLDER, NO_NAME, NO_ROOM, TAKEN
from gridsync_parts.doors.refused import OTHER_FILE, pause_of, refusal
from gridsync_parts.doors.sending import ASK, UnreadError, unread
from gridsync_parts.doors.urls import compose, mask_url, netloc_of
from gridsync_parts.doors.wire import Http
from gridsync_parts.errors import (
    BadName,
    DoorError,
    Exists,
    FileError,
    Full,
    GridError,
    NotFound,
    PoolError,
    Saying,
    brief,
    error_for,
)
from gridsync_parts.values import UNFINISHED

HEEDLESS = "xrootd"  # in the header Server of what writes over things whatever the headers of a request say
FRESH = 30  # seconds for which the names in a folder are believed,
WORTH = 20  # or so many times as long as it took to list them
FOLDERS = 32  # whose names are kept
SMALL = 2 << 20  # bytes of a new file; XRootD 5.5 may crash when it has its checksum ready before it waits for it
MAX_LOOK = 1 << 20  # bytes of what a door says of one file
OTHER = "it could become another one"

# What doors say of what they can't take, with whatever status.
PROBLEMS = (
    Saying(r"no space|not enough space|quota|insufficient storage|disk_?full", Full, NO_ROOM),
    Saying(r"not a directory", NotFound, NO_FOLDER),
    Saying(r"is a directory|already exists", Exists, TAKEN),
    Saying(r"no redirect from mover|failed to deliver pool|route for .* not found|no write pool", PoolError,
           "{place}: the pool that is to take it does not answer ({said}); try again later", passing=True),
    Saying(r"", DoorError, "{sentence}", passing=True),
)  # fmt: skip


def place_of(url: str) -> str:
    """A URL for people."""
    return unquote(mask_url(url))


def check_name(url: str) -> None:
    """Refuse a name with what ends one in a URL: XRootD and WsgiDAV make another name of it, in spite of its coding."""
    if re.search("[?;]", unquote(url)):
        raise BadName(NO_NAME.format(place=place_of(url), said=OTHER))


def write_refusal(answer: Answer, url: str) -> GridError:
    """The sentence for an answer that is an error, for who sends a file."""
    refused = refusal(answer, url)
    place, status, said = place_of(url), answer.status, brief(answer.response.reason)
    words = {"place": place, "said": said, "sentence": str(refused)}
    if status == 413:
        return FileError(f"{place}: the door takes no file of this size ({said}); ask the site for its limit")
    if status == 507:
        return Full(NO_ROOM.format(**words))
    if status in (405, 412):
        return Exists(TAKEN.format(**words))
    if status == 400:
        return BadName(NO_NAME.format(place=place, said=said))
    if status in (409, 500):
        error = error_for(PROBLEMS, answer.drain().decode("utf-8", "replace"), **words)
        return NotFound(NO_FOLDER.format(**words)) if status == 409 and isinstance(error, DoorError) else error
    return refused


class Names:
    """What has a name, as folders were lately.

    XRootD is not asked for each name, as it ends a connection with each answer that there is no such thing.
    """

    def __init__(self, listed: Callable[[str], Listing]):
        self.listed = listed
        self.known: dict[str, set[str]] = {}  # by folder
        self.ends: dict[str, float] = {}  # when they have to be listed again
        self.lock = threading.Lock()

    def has(self, path: str) -> bool:
        """Whether something has this name."""
        folder, _, name = path.rpartition("/")
        with self.lock:  # one lists, and the others wait for that
            began = time.monotonic()
            if began >= self.ends.get(folder, 0):
                if len(self.known) >= FOLDERS:
                    self.known.clear()
                    self.ends.clear()
                self.known[folder] = {entry.path.rpartition("/")[2] for entry in self.listed(folder)}
                now = time.monotonic()
                self.ends[folder] = now + max(FRESH, WORTH * (now - began))
            return name in self.known[folder]

    def note(self, path: str, is_there: bool) -> None:
        """Something has a name from now on, or has it no longer."""
        folder, _, name = path.rpartition("/")
        with self.lock:
            names = self.known.get(folder, set())
            (names.add if is_there else names.discard)(name)


class WebDavWriter:
    """A WebDAV door that takes files."""

    def __init__(self, http: Http, url_of: Callable[[str], str], listed: Callable[[str], Listing]):
        self.http = http
        self.url_of = url_of
        self.names = Names(listed)
        self.one_digest = threading.Lock()
        self.is_heedless: bool | None = None  # it writes over things though it is told not to; None: not known yet

    def is_folder(self, path: str) -> bool | None:
        """Whether what has a name is a folder; None if nothing has it."""
        url = self.url_of(path)
        headers = {"Depth": "0", "Content-Type": "application/xml"}
        answer = self.http.ask("PROPFIND", url, headers=headers, data=PROPFIND)
        if answer.status < 500:  # else it may be somebody who stands before the door
            self.is_heedless = HEEDLESS in answer.header("Server").lower()
        if answer.status == 404:
            answer.drain()
            return None
        if answer.status != 207:
            raise write_refusal(answer, url)
        root = path_of(answer.url).removesuffix(path).rstrip("/")
        return not listing_of(answer.whole(MAX_LOOK), root, path, url)

    def is_taken(self, path: str) -> bool:
        """Whether something has a name, at a door that would write over it."""
        if self.is_heedless is None:
            self.is_folder(path.rpartition("/")[0])
        return bool(self.is_heedless) and self.names.has(path)

    def check_free(self, path: str) -> None:
        """Refuse a name that something has, where the door would not."""
        if self.is_taken(path):
            raise Exists(TAKEN.format(place=place_of(self.url_of(path))))

    def folder(self, path: str) -> bool:
        """Make a folder in one that is there; whether it was not there yet."""
        url = self.url_of(path)
        if self.is_taken(path) and self.is_folder(path):
            return False
        answer = self.http.ask("MKCOL", url)
        if answer.status == 201:
            answer.drain()
            self.names.note(path, True)
            return True
        error = write_refusal(answer, url)
        if isinstance(error, Exists) and self.is_folder(path):
            return False
        raise error

    def write(self, path: str, sent: Sent) -> Stored:
        """Send a new file; Exists if something has its name. When it fails, some of it may be there."""
        stored: Stored = result_of(self.write_ahead(path, sent))
        return stored

    def write_ahead(self, path: str, sent: Sent) -> Generator[Asked, None, Stored]:
        """The same step by step."""
        url = self.url_of(path)
        check_name(url)
        if not sent.over:
            self.check_free(path)
        self.names.note(path, True)  # whatever becomes of it
        headers = {"Content-Type": "application/octet-stream", **ANY_WANTED}
        headers.update({} if sent.over else {"If-None-Match": "*"})
        headers.update({"X-OC-Mtime": str(sent.mtime)} if sent.mtime else {})
        headers.update(ASK if compose(path) != path else {})  # dCache's pools take such names, its doors do not
        try:
            answer = yield from self.http.steps("PUT", url, headers, sent)
        except UnreadError as error:
            raise unread(error, place_of(url)) from None
        if answer.status in (200, 201, 204):
            answer.drain()
            digest = digest_in(answer)
            if self.is_heedless and not digest and sent.size <= SMALL:
                with contextlib.suppress(NotFound):
                    return (yield from self.read_back(path))
            return Stored(UNFINISHED, digest)
        raise write_refusal(answer, url) if netloc_of(answer.url) in self.http.trusted else self.pool_error(answer, url)

    def pool_error(self, answer: Answer, url: str) -> GridError:
        """The sentence for what a pool says that does not take a file."""
        error = write_refusal(answer, url)
        if isinstance(error, (Full, Exists)) or answer.status == 413:
            return error
        said = brief(answer.response.reason)
        is_other = OTHER_FILE in said  # a pool of dCache takes it for another one, and would do so again
        reason = f"{place_of(url)}: the pool answers {answer.status} ({said})"
        return FileError(f"{reason}; ask the site" if is_other else reason, not is_other, pause_of(answer))

    def stored(self, path: str) -> Stored:
        """What is there under a name; NotFound if nothing."""
        stored: Stored = result_of(self.stored_ahead(path))
        return stored

    def stored_ahead(self, path: str) -> Generator[Asked, None, Stored]:
        """The same step by step."""
        if self.is_heedless is None:  # XRootD loses answers to many who ask for checksums at once
            self.is_folder(path.rpartition("/")[0])
        if not self.is_heedless:
            return (yield from self.told(path))
        found = yield from self.told(path, [{}])
        if 0 <= found.size <= SMALL:
            return (yield from self.read_back(path))
        with self.one_digest:  # else it loses answers, or ends
            told: Stored = result_of(self.told(path))
            return told

    def told(
        self, path: str, wishes: Iterable[dict[str, str]] = (ANY_WANTED, WANTED, {})
    ) -> Generator[Asked, None, Stored]:
        """What the door says of a file. XRootD fails at a list of checksums of which it can't make each, or at all."""
        url = self.url_of(path)
        for wanted in wishes:
            answer = yield from self.http.steps("HEAD", url, wanted)
            if answer.status != 500:
                break
            answer.drain()
        if answer.status != 200:
            raise refusal(answer, url)
        answer.drain()
        length = answer.header("Content-Length")
        size = int(length) if length.isdecimal() else UNFINISHED
        return Stored(size, digest_in(answer), time_of(answer.header("Last-Modified")))

    def read_back(self, path: str) -> Generator[Asked, None, Stored]:
        """A small file by the bytes that the door sends."""
        url = self.url_of(path)
        answer = yield from self.http.steps("GET", url, {})
        if answer.status != 200:
            raise refusal(answer, url)
        with contextlib.suppress(AttributeError):  # 0.04 s, as the door waits for it; Linux alone has it
            answer.watch.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        data = answer.content(SMALL)
        return Stored(len(data), f"adler32:{zlib.adler32(data):08x}")

    def rename(self, path: str, target: str, replace: bool) -> None:
        """Give a file its name; Exists if something has it that is not to be replaced."""
        result_of(self.rename_ahead(path, target, replace))

    def rename_ahead(self, path: str, target: str, replace: bool) -> Generator[Asked, None, None]:
        """The same step by step."""
        url, goal = self.url_of(path), self.url_of(target)
        check_name(goal)
        if not replace:
            self.check_free(target)
        elif not self.is_heedless and self.is_folder(target):  # it would go with all that is in it
            raise Exists(TAKEN.format(place=place_of(goal)))
        told = self.destination(goal)
        how = {"Destination": told, "Overwrite": "T" if replace else "F"}
        answer = yield from self.http.ask_steps("MOVE", url, how)
        if answer.status in (405, 501):
            raise FileError(f"{place_of(url)}: the door cannot rename files; ask the site")
        if answer.status not in (201, 204):  # 200 comes with a page of who stands before the door
            raise write_refusal(answer, url if answer.status == 404 else goal)
        answer.drain()
        self.names.note(path, False)
        self.names.note(target, True)
        if "%" in goal and self.status(goal) == 404:
            self.remove(target)
            raise BadName(NO_NAME.format(place=place_of(goal), said="it would not find it again"))

    def destination(self, goal: str) -> str:
        """A new name as the door is told it; BadName if it would not take it."""
        # StoRM refuses some such names, or does not find the file again.
        if "%" in goal and not self.is_heedless and self.status(goal) == 400:
            raise BadName(NO_NAME.format(place=place_of(goal), said="it answers 400"))
        told = unquote(goal, errors="surrogateescape") if self.is_heedless else goal
        if not (told.isascii() and told.isprintable()):  # XRootD takes what it is told as it is, up to others
            raise BadName(NO_NAME.format(place=place_of(goal), said=OTHER))
        return told

    def check_name(self, path: str) -> None:
        """Raise BadName where the door takes no file of this name, as far as it shows that beforehand."""
        goal = self.url_of(path)
        check_name(goal)
        if "%" not in goal:
            return
        with contextlib.suppress(GridError):  # who may not look there may still send
            if self.is_heedless is None:
                self.is_folder("")
        self.destination(goal)

    def status(self, url: str) -> int:
        """What the door answers to who asks for a file."""
        answer = self.http.follow("HEAD", url)
        answer.drain()
        return answer.status

    def remove(self, path: str) -> bool:
        """Remove a file; whether it was there."""
        url = self.url_of(path)
        answer = self.http.ask("DELETE", url)
        if answer.status not in (200, 202, 204, 404):
            raise refusal(answer, url)
        answer.drain()
        self.names.note(path, False)
        return answer.status != 404
