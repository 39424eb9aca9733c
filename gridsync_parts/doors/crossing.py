"""Copies from door to door: a COPY, its marks and its verdict.

The door that acts answers at once that it has begun. Then come marks, and how it went is said by the last line alone.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Callable, NamedTuple

from gridsync_parts.doors import TOO_LARGE, At, Crossing, Far
from gridsync_parts.doors.answers import Answer
from gridsync_parts.doors.drip import Drip
from gridsync_parts.doors.handed import hand_out
from gridsync_parts.doors.plain import NO_ROOM, TAKEN
from gridsync_parts.doors.refused import read_refusal
from gridsync_parts.doors.urls import netloc_of
from gridsync_parts.doors.wire import Http
from gridsync_parts.doors.writing import WebDavWriter, check_name, place_of, write_refusal
from gridsync_parts.errors import (
    DoorError,
    Exists,
    FileError,
    Forbidden,
    Full,
    GridError,
    Mismatch,
    NoCrossing,
    NotFound,
    OnTape,
    Saying,
    Unfinished,
    brief,
    error_for,
)
from gridsync_parts.secrets import secrets
from gridsync_parts.table import Site

MAX_LINE = 64 << 10  # bytes of a mark, or of a verdict
HERE = "--via_here copies through this machine"
NO_SENSE = "{place}: what {acts} says of the copy makes no sense; ask the site"

# What a door says of the other one, and what it means. Of the status that the other one gave:
STATUSES = {
    401: Saying("", FileError, "{place}: {far} does not accept the key that {acts} shows it ({said}); if this "
                "continues, {here}", passing=True),
    403: Saying("", Forbidden, "{place}: {far} refuses the key that {acts} shows it ({said}); have you the right to "
                "it at both sites? {here}"),
    404: Saying("", NotFound, "{place}: {far} does not find {there} ({said}); {look}"),
    405: Saying("", Exists, TAKEN),
    409: Saying("", NotFound, "{place}: at {far} there is no folder for it ({said})"),
    412: Saying("", Exists, TAKEN),
    413: Saying("", FileError, "{place}: {far} takes no file of this size ({said}); ask the site for its limit"),
    415: Saying("", OnTape, "{place}: at {far} it is on tape only ({said}); --bring_online brings it to disk"),
    507: Saying("", Full, NO_ROOM),
}  # fmt: skip
# And otherwise:
SAYINGS = (
    Saying(r"checksum", Mismatch, "{place}: {acts} says that what has come is not what {far} has ({said})",
           passing=True),
    Saying(r"certificat|\bCA\b|PKIX|self.signed|peer.*not OK", DoorError,
           "{place}: {acts} does not accept the certificate of {far} ({said}); ask one of the two sites, or {here}"),
    Saying(r"no space|not enough space|quota|insufficient storage|disk_?full", Full, NO_ROOM),
    Saying(r"refused|connect|no route|unreachable|resolve|unknown ?host|name or service|handshake", DoorError,
           "{place}: {acts} cannot reach {far} ({said}); is there a firewall between the two? {here}", passing=True),
    Saying(r"permission denied|forbidden|not authori[sz]ed", Forbidden, "{place}: {far}, or {acts} itself, refuses "
           "({said}); have you the right to it at both sites? {here}"),
    Saying(r"", FileError, "{place}: {acts} has not copied it from door to door ({said})", passing=True),
)  # fmt: skip
REMOTE = r"(?:status code|rejected [A-Z]+|HTTP(?:/[0-9.]+)?|status|error)[ :=]{1,3}([1-5][0-9]{2})\b"


class Told:
    """What a door tells of a copy, as it comes: marks of several lines, and a verdict."""

    def __init__(self) -> None:
        self.rest = b""  # the beginning of a line whose end is still to come
        self.stripe = 0
        self.stripes: dict[int, int] = {}  # bytes of each
        self.state = ""  # as dCache says it
        self.is_success = False
        self.failure = ""  # the line that says so, and what follows

    def moved(self) -> int:
        """Bytes that are there so far, of all stripes."""
        return min(sum(self.stripes.values()), TOO_LARGE)

    def take(self, data: bytes) -> bool:
        """More of it; whether it says how many bytes are there."""
        *lines, self.rest = re.split(b"[\r\n]", self.rest + data)
        return any([self.take_line(line) for line in lines])

    def take_line(self, data: bytes) -> bool:
        """One line; whether it says how many bytes are there."""
        line = data.decode("utf-8", "replace").strip()
        name, _, value = (part.strip() for part in line.partition(":"))
        name = name.lower()
        number = int(value) if re.fullmatch("[0-9]{1,18}", value) else None
        if self.failure:
            self.failure = brief(f"{self.failure} {line}".strip())
        elif re.match("(failure|failed|aborted)\\b", name):
            self.failure = brief(value or line)
        elif re.match("success\\b", name):
            self.is_success = True
        elif name == "state":
            self.state = value
        elif name == "stripe index" and number is not None:
            self.stripe = number
        elif name == "stripe bytes transferred" and number is not None:
            self.stripes[self.stripe] = number
            return True
        return False

    def end(self) -> None:
        """There is no more: a last line may lack its end."""
        self.take_line(self.rest)
        self.rest = b""


class Pace:
    """How long nothing may move: marks come, but they may say the same for ever."""

    def __init__(self, site: Site, size: int):
        self.site = site
        self.size = size
        self.began = self.last = time.monotonic()
        self.drip = Drip(site)
        self.moved = 0

    def check(self, told: Told) -> None:
        """TimeoutError where too little moves: whoever waits for its turn may, and whoever looks at what came."""
        now, before = time.monotonic(), self.moved
        self.moved = max(before, told.moved())
        if not self.site.min_rate or self.moved >= self.size or re.search("request|queue|wait", told.state, re.I):
            self.began = now
        elif before:
            self.drip.take(self.moved - before, now - self.last)
        elif not self.moved and now - self.began > self.site.first_byte:
            raise TimeoutError("timed out")
        self.last = now


class Ends(NamedTuple):
    """The two doors of a copy, as sentences name them."""

    place: str  # the file at the door that acts
    acts: str  # that door,
    far: str  # and the other one
    is_pull: bool

    def words(self, said: str) -> dict[str, str]:
        """What sentences need."""
        look = "run --build_list again" if self.is_pull else "the folder for it may be gone"
        there = "the file" if self.is_pull else "the folder for it"
        words = {"place": self.place, "acts": self.acts, "far": self.far, "here": HERE, "look": look, "there": there}
        return {**words, "said": brief(secrets.masked(said))}

    def failure(self, said: str) -> GridError:
        """The sentence for a verdict that is a failure."""
        words = self.words(said)
        status = re.search(REMOTE, said)
        saying = STATUSES.get(int(status[1])) if status else None
        if status and status[1].startswith("5") and not saying:
            saying = Saying("", DoorError, "{place}: {far} fails, as {acts} says ({said})", passing=True)
        return error_for([saying] if saying else SAYINGS, said, **words)


def host_of(url: str) -> str:
    """Host and port of a URL, for people."""
    return "{}:{}".format(*netloc_of(url))


class WebDavPuller:
    """A WebDAV door that copies from and to other ones."""

    def __init__(self, http: Http, url_of: Callable[[str], str], writer: WebDavWriter):
        self.http = http
        self.url_of = url_of
        self.writer = writer

    def far(self, path: str, writes: bool) -> Far:
        """A file of this site as another door is told of it, with a key to read it, or to write it."""
        url = self.url_of(path)
        return Far(url, hand_out(self.http, url, writes))

    def pull(self, path: str, far: Far, at: At) -> Crossing:
        """Fetch a file from another door; Exists if something has its name."""
        url = self.url_of(path)
        check_name(url)
        self.writer.names.note(path, True)  # whatever becomes of it
        ends = Ends(place_of(url), host_of(url), host_of(far.url), is_pull=True)
        answer = self.ask(url, far, {"Source": far.url, "Overwrite": "F"}, ends)
        if answer.status not in (201, 202):
            raise self.pull_refusal(answer, path, ends)
        return self.crossing(answer, ends, at.size)

    def push(self, at: At, far: Far) -> Crossing:
        """Bring a file to another door, where nothing has its name."""
        url = self.url_of(at.path)
        check_name(far.url)
        ends = Ends(place_of(url), host_of(url), host_of(far.url), is_pull=False)
        answer = self.ask(url, far, {"Destination": far.url, "Overwrite": "F"}, ends)
        if answer.status not in (201, 202):
            raise self.push_refusal(answer, url, ends)
        return self.crossing(answer, ends, at.size)

    def ask(self, url: str, far: Far, headers: dict[str, str], ends: Ends) -> Answer:
        """Ask for a copy, wherever the door sends that."""
        # Both checksums are compared when it is done; dCache would refuse what has none.
        headers = {**headers, "Credential": "none", "RequireChecksumVerification": "false"}
        if far.key.bearer:
            secrets.note(far.key.bearer)
            headers["TransferHeaderAuthorization"] = f"Bearer {far.key.bearer}"
        return self.http.ask("COPY", url, headers=headers)

    def pull_refusal(self, answer: Answer, path: str, ends: Ends) -> GridError:
        """The sentence for an answer that is an error, for who wants a file fetched."""
        if error := self.never(answer, ends):
            return error
        refused = write_refusal(answer, self.url_of(path))
        return refused

    def push_refusal(self, answer: Answer, url: str, ends: Ends) -> GridError:
        """The same for who wants one brought."""
        return self.never(answer, ends) or read_refusal(answer, url)

    def never(self, answer: Answer, ends: Ends) -> GridError | None:
        """The sentence for a door that makes no such copies; None if it may."""
        said = answer.drain().decode("utf-8", "replace")
        if answer.status in (405, 501):
            return NoCrossing(f"{ends.place}: {ends.acts} copies nothing from or to other sites ({said}); {HERE}")
        return None

    def crossing(self, answer: Answer, ends: Ends, size: int) -> Crossing:
        """A copy that has begun."""
        answer.watch.drip = Drip(answer.watch.site._replace(min_rate=0))  # marks are few bytes
        return Crossing(self.marks(answer, ends, size), answer.hang_up)

    def marks(self, answer: Answer, ends: Ends, size: int) -> Iterator[int]:
        """How many bytes are there, mark for mark; the verdict is raised if it is a failure."""
        told, pace = Told(), Pace(answer.watch.site, size)
        try:
            for data in answer.arriving():
                if told.take(data):
                    pace.check(told)
                    yield min(told.moved(), size)
                if len(told.rest) > MAX_LINE:
                    raise DoorError(NO_SENSE.format(**ends.words("")), passing=True)
        except TimeoutError as error:
            reason = f"nothing moves any more, or less than MIN_RATE in Grid.conf, as {ends.acts} says"
            raise Unfinished(f"{ends.place}: {reason}; given up", passing=True) from error
        except DoorError as error:
            raise Unfinished(f"{ends.place}: {error}; the copy may go on", error.passing) from error
        finally:
            answer.close()
        told.end()
        if told.failure:
            raise ends.failure(told.failure)
        if not told.is_success:
            reason = f"{ends.acts} has hung up without saying how the copy went"
            raise Unfinished(f"{ends.place}: {reason}; the copy may go on", passing=True)
