"""Copies from door to door: a COPY, its marks and its verdict.

The door that acts answers at once that it has begun. Then come marks, and how it went is said by the last line alone.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Iterator
from typing import Callable
from urllib.parse import unquote

from gridsync_parts.doors import At, Crossing, Far, Key
from gridsync_parts.doors.answers import Answer
from gridsync_parts.doors.drip import Drip
from gridsync_parts.doors.guest import HOPS, MAX_HOPS, REDIRECTS
from gridsync_parts.doors.handed import hand_out
from gridsync_parts.doors.marks import STATUSES, Ends, Pace, Told
from gridsync_parts.doors.plain import NO_FOLDER, NOT_THERE, TAKEN
from gridsync_parts.doors.refused import read_refusal, redirect_target, refusal
from gridsync_parts.doors.urls import mask_url, netloc_of
from gridsync_parts.doors.wire import Http
from gridsync_parts.doors.writing import WebDavWriter, check_name, write_refusal
from gridsync_parts.errors import (
    BadName,
    CredentialError,
    DoorError,
    Exists,
    FileError,
    GridError,
    NoCrossing,
    NotFound,
    Saying,
    Unfinished,
    Unreached,
)
from gridsync_parts.secrets import secrets
from gridsync_parts.segments import SHORTEST

MAX_LINE = 64 << 10  # bytes of a mark, or of a verdict
BEGUN = (201, 202)
GIVEN_UP = 504  # says who stands before a door that has not answered
NEVER = (405, 501)  # of a door that makes no such copies,
PERHAPS = (400, 502)  # and of others that say
NEVER_SAID = "request unknown|not supported|credential|destination"
UNCLEAR = (400, 404, 405, 409, 412, 500)  # of what has its name already, of a folder that is not there, and more
# Both checksums are compared when it is done; dCache would refuse what has none.
COPY = {"Overwrite": "F", "RequireChecksumVerification": "false"}
IS_TAKEN = Saying("", Exists, TAKEN)
FOLDERLESS = Saying("", NotFound, NO_FOLDER)
TWICE = Saying("", BadName, "{place}: {acts} would take its name for another one in a copy from door to door; {here}")
COMES_AND_GOES = Saying("", FileError, "{place}: {acts} says that something has its name, but has nothing there",
                        passing=True)
ONE_DOOR = Saying("", NoCrossing, "{place}: both sites are at {acts}, and a door copies from and to others; {here}")
COPIES_NOTHING = Saying("", NoCrossing, "{place}: {acts} copies nothing from or to other sites ({said}); {here}")
NO_PROXY = Saying("", NoCrossing, "{place}: {acts} is shown a token, and would need a proxy to act with at {far}; "
                  "see CREDENTIAL in Grid.conf; {here}")
WANTS_PROXY = Saying("", NoCrossing, "{place}: {acts} wants a proxy to act with, whatever key it gets; {here}")
NOT_DELEGATED = Saying("", CredentialError, "{place}: {acts} does not act with the proxy that was made for it "
                       "({said}); see --proxy_status; {here}")
ELSEWHERE = Saying("", DoorError, "{place}: {acts} redirects to another server, {said}, which is not sent the key to "
                   "{far}; {here}")
NO_SENSE = Saying("", Unfinished, "{place}: what {acts} says of the copy makes no sense; the copy may go on",
                  passing=True)
STALLED = Saying("", Unfinished, "{place}: nothing moves any more, or less than MIN_RATE in Grid.conf, as {acts} says; "
                 "given up, but the copy may go on", passing=True)
BROKEN = Saying("", Unfinished, "{place}: {said}; the copy may go on", passing=True)
NO_VERDICT = Saying("", Unfinished, "{place}: {acts} has hung up without a word how the copy went; it may go on",
                    passing=True)


def never(status: int, said: str) -> bool:
    """Whether an answer is that of a door which makes no such copies, or none with such a key."""
    return status in NEVER or (status in PERHAPS and bool(re.search(NEVER_SAID, said, re.IGNORECASE)))


class WebDavPuller:
    """A WebDAV door that copies from and to other ones."""

    def __init__(self, http: Http, url_of: Callable[[str], str], writer: WebDavWriter):
        self.http = http
        self.url_of = url_of
        self.writer = writer
        self.delegated: dict[str, float] = {}  # when a proxy was given to the door, by where it takes it
        self.one_delegation = threading.Lock()

    def far(self, path: str, writes: bool) -> Far:
        """A file of this site as another door is told of it, with a key to read it, or to write it."""
        url = self.url_of(path)
        return Far(url, hand_out(self.http, url, writes))

    def pull(self, path: str, far: Far, at: At, streams: int = 1) -> Crossing:
        """Fetch a file from another door; Exists if something has its name."""
        ends = Ends(self.url_of(path), far.url, is_pull=True)
        check_name(ends.url)
        self.check_twice(ends)
        self.writer.names.note(path, True)  # whatever becomes of it
        streams = min(streams, at.size // SHORTEST)
        wish = {"X-Number-Of-Streams": str(streams)} if streams > 1 else {}  # which XRootD takes
        answer = self.ask(ends, far.key, {"Source": far.url, **wish})
        if answer.status not in BEGUN:
            raise self.pull_refusal(answer, path, ends)
        return self.crossing(answer, ends, at.size)

    def push(self, at: At, far: Far) -> Crossing:
        """Bring a file to another door, where nothing has its name."""
        ends = Ends(self.url_of(at.path), far.url, is_pull=False)
        check_name(far.url)
        self.check_twice(ends)
        answer = self.ask(ends, far.key, {"Destination": far.url})
        if answer.status not in BEGUN:
            raise self.push_refusal(answer, ends)
        return self.crossing(answer, ends, at.size)

    def check_twice(self, ends: Ends) -> None:
        """Refuse a name that becomes another one when it is decoded once more, as XRootD does with that of a COPY."""
        if re.search("%[0-9a-fA-F]{2}", unquote(ends.url)):
            if self.writer.is_heedless is None:
                self.writer.is_folder("")
            if self.writer.is_heedless:
                raise ends.error(TWICE)

    def ask(self, ends: Ends, key: Key, headers: dict[str, str]) -> Answer:
        """Ask for a copy, wherever the door sends that."""
        if netloc_of(ends.far_url) == netloc_of(ends.url):
            raise ends.error(ONE_DOOR)
        if key.is_proxy and not self.http.proxy:
            raise ends.error(NO_PROXY)
        headers = {**headers, **COPY, "Credential": "gridsite" if key.is_proxy else "none"}
        if key.bearer:
            secrets.note(key.bearer)
            headers["TransferHeaderAuthorization"] = f"Bearer {key.bearer}"
        url, began = ends.url, time.monotonic()
        for _hop in range(MAX_HOPS):
            answer = self.send(ends, url, headers)
            if answer.status not in REDIRECTS:
                return answer
            where, url = answer.header("X-Delegate-To"), redirect_target(answer, url)
            is_ours = netloc_of(url) in self.http.trusted
            if where and is_ours and key.is_proxy:
                return self.ask_with_proxy(ends, url, headers, where, began)
            if where:
                raise ends.error(WANTS_PROXY)
            # The machines of a cluster are sent the key, if it is good for this file alone; the user's own, none is.
            if not is_ours and (key.wider or key.is_proxy):
                raise ends.error(ELSEWHERE, mask_url(url))
        raise FileError(HOPS.format(ends.place), passing=True)

    def send(self, ends: Ends, url: str, headers: dict[str, str], acts: bool = False) -> Answer:
        """One request; without an answer, the copy may have begun. Of a door that acts, 401 is about its proxy."""
        try:
            if acts:  # what it is shown here is good
                answer = self.http.send_throttled("COPY", url, headers, b"", "")
            else:
                answer = self.http.send("COPY", url, headers=headers)
        except DoorError as error:
            if not error.passing or isinstance(error, Unreached):
                raise
            raise ends.error(BROKEN, str(error).replace("; try again", "")) from error
        if answer.status == GIVEN_UP:
            raise ends.error(BROKEN, str(refusal(answer, ends.url)))
        return answer

    def ask_with_proxy(self, ends: Ends, url: str, headers: dict[str, str], where: str, began: float) -> Answer:
        """Give the door a proxy to act with, and ask again."""
        from gridsync_parts.doors.delegation import delegate  # few doors ask for one

        with self.one_delegation:
            if self.delegated.get(where, 0) < began:  # else another thread has done so meanwhile
                delegate(self.http, where)
                self.delegated[where] = time.monotonic()
        answer = self.send(ends, url, headers, acts=True)
        if answer.status in (401, *REDIRECTS):
            answer.drain()
            raise ends.error(NOT_DELEGATED, answer.response.reason)
        return answer

    def pull_refusal(self, answer: Answer, path: str, ends: Ends) -> GridError:
        """The error for an answer that is one, for who wants a file fetched."""
        said = answer.drain().decode("utf-8", "replace")
        if answer.status in UNCLEAR:  # what it means is seen by looking
            with contextlib.suppress(GridError):
                if self.writer.is_folder(path) is not None:
                    return ends.error(IS_TAKEN)
                if not self.writer.is_folder(path.rpartition("/")[0]):
                    return ends.error(FOLDERLESS, answer.response.reason)
        if answer.status == 404 or never(answer.status, said):
            return ends.error(COPIES_NOTHING, said or answer.response.reason)
        return write_refusal(answer, ends.url) if answer.status != 412 else ends.error(COMES_AND_GOES)

    def push_refusal(self, answer: Answer, ends: Ends) -> GridError:
        """The same for who wants one brought."""
        said = answer.drain().decode("utf-8", "replace")
        if never(answer.status, said):
            return ends.error(COPIES_NOTHING, said or answer.response.reason)
        if answer.status == 412:
            return ends.error(STATUSES[412])
        if answer.status in (400, 409) and re.search("no such file", said, re.IGNORECASE):  # as XRootD says it
            return NotFound(NOT_THERE.format(place=ends.place))
        return read_refusal(answer, ends.url)

    def crossing(self, answer: Answer, ends: Ends, size: int) -> Crossing:
        """A copy that has begun."""
        answer.watch.drip = Drip(answer.watch.site._replace(min_rate=0))  # marks are few bytes
        return Crossing(self.marks(answer, ends, size), answer.hang_up)

    def marks(self, answer: Answer, ends: Ends, size: int) -> Iterator[int]:
        """How many bytes are there, mark for mark; the verdict is raised if it is a failure."""
        told, pace = Told(), Pace(answer.watch.site, size, time.monotonic())
        try:
            for data in answer.arriving():
                is_mark = told.take(data)
                pace.check(told, time.monotonic())  # also where it talks of other things for ever
                if is_mark:
                    yield min(told.moved(), size)
                if len(told.rest) > MAX_LINE:
                    raise ends.error(NO_SENSE)
        except TimeoutError as error:
            raise ends.error(STALLED) from error
        except DoorError as error:
            raise ends.error(BROKEN, str(error).replace("; try again", "")) from error
        finally:
            answer.close()
        told.end()
        if told.failure:
            raise ends.failure(told.failure)
        if not told.is_success:
            raise ends.error(NO_VERDICT)
