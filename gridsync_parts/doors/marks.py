"""What a door says of a copy from door to door: marks, and how it went.

Which of the two doors has failed, its words tell alone.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from gridsync_parts.doors import TOO_LARGE
from gridsync_parts.doors.drip import Drip
from gridsync_parts.doors.plain import NO_ROOM
from gridsync_parts.doors.urls import netloc_of
from gridsync_parts.doors.writing import place_of
from gridsync_parts.errors import (
    DoorError,
    Exists,
    FileError,
    Forbidden,
    Full,
    GridError,
    Mismatch,
    NotFound,
    OnTape,
    Saying,
    brief,
)
from gridsync_parts.secrets import secrets
from gridsync_parts.table import Site

MAX_STRIPES = 1000
QUEUED = 7200  # seconds to wait for others to come first: by then the key has ended
SUMMED = 3600  # seconds for which a door may look at what is there,
SUMS = 10_000_000  # and one more for so many bytes
HERE = "--via_here copies through this machine"

# What a door says of the other one, and what it means. Of the status that the other one gave:
STATUSES = {
    401: Saying("", FileError, "{place}: {far} does not accept the key that {acts} shows it ({said}); if this "
                "continues, {here}", passing=True),
    403: Saying("", Forbidden, "{place}: {far} refuses what {acts} asks for ({said}); have you the right to it at both "
                "sites? {here}"),
    404: Saying("", NotFound, "{place}: {far} does not find {there} ({said}); {look}"),
    405: Saying("", Exists, "{far_place}: there is something of this name already"),
    409: Saying("", NotFound, "{far_place}: the folder for it is not there"),
    412: Saying("", Exists, "{far_place}: there is something of this name already"),
    413: Saying("", FileError, "{far_place}: the door takes no file of this size ({said}); ask the site for its limit"),
    415: Saying("", OnTape, "{far_place}: is on tape only; --bring_online brings it to disk"),
    507: Saying("", Full, "{far_place}: the door has no room for it, or your quota is used up ({said}); ask the site"),
}  # fmt: skip
STRANGE_KEY = Saying("", DoorError, "{place}: {far} fails, or does not know the key that {acts} shows it ({said}); if "
                     "this continues, {here}", passing=True)  # StoRM and XRootD say 500 to some
FAR_FAILS = Saying("", DoorError, "{place}: {far} fails, says {acts} ({said})", passing=True)
TARGET_FULL = NO_ROOM.replace("place", "target")
# And otherwise:
SAYINGS = (
    Saying(r"checksum", Mismatch, "{place}: {acts} says that what has come is not what {far} has ({said})",
           passing=True),
    Saying(r"certificat|\bCA\b|PKIX|self.signed|peer.*not OK", DoorError,
           "{place}: {acts} does not accept the certificate of {far} ({said}); tell the two sites; {here}"),
    Saying(r"no space|not enough space|quota|insufficient storage|disk_?full", Full, TARGET_FULL),
    Saying(r"partial file|reset by|broken pipe|premature|sent \d+ bytes of|stall|too slow|(?<!connection )timed out",
           FileError, "{place}: the line between {acts} and {far} broke off or stands still ({said})", passing=True),
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
        elif name == "stripe bytes transferred" and number is not None and len(self.stripes) < MAX_STRIPES:
            self.stripes[self.stripe] = number
            return True
        return False

    def end(self) -> None:
        """There is no more: a last line may lack its end."""
        self.take_line(self.rest)
        self.rest = b""


class Pace:
    """How long nothing may move: marks come, but they may say the same for ever."""

    def __init__(self, site: Site, size: int, now: float):
        self.site = site
        self.size = size
        self.began = self.last = now
        self.whole = 0.0  # when all of it was there
        self.queued = 0.0  # since when the door says that others come first
        self.over = 0.0  # when it was said how it went
        self.drip = Drip(site)
        self.moved = 0

    def check(self, told: Told, now: float) -> None:
        """TimeoutError where too little moves: whoever waits for its turn may, and whoever looks at what came."""
        if told.is_success or told.failure:
            self.over = self.over or now
            if now - self.over > self.site.first_byte:
                raise TimeoutError("timed out")
            return
        before = self.moved
        self.moved = max(before, told.moved())
        if self.moved >= self.size:
            self.whole = self.whole or now
            if now - self.whole > SUMMED + self.size / SUMS:
                raise TimeoutError("timed out")
        elif not self.site.min_rate:
            self.began = now
        elif re.search("request|queue|wait", told.state, re.IGNORECASE):
            self.began, self.queued = now, self.queued or now
            if now - self.queued > QUEUED:
                raise TimeoutError("timed out")
        elif before:
            self.drip.take(self.moved - before, now - self.last)
        elif not self.moved and now - self.began > self.site.first_byte:
            raise TimeoutError("timed out")
        self.last = now


def plain(said: str) -> str:
    """What a door says, as far as it fits a sentence and may be shown: not what it repeats of a key, nor a page."""
    said = re.sub(r"<[^>]*>", " ", said) if said.lstrip().startswith("<") else said
    return brief(secrets.masked(" ".join(said.split()))) or "no reason"


def host_of(url: str) -> str:
    """Host and port of a URL, for people."""
    return "{}:{}".format(*netloc_of(url))


class Ends(NamedTuple):
    """The two doors of a copy, as sentences name them."""

    url: str  # of the file at the door that acts,
    far_url: str  # and at the other one
    is_pull: bool

    @property
    def place(self) -> str:
        """The file at the door that acts."""
        return place_of(self.url)

    @property
    def acts(self) -> str:
        """The door that acts."""
        return host_of(self.url)

    def words(self, said: str) -> dict[str, str]:
        """What sentences need."""
        look = "run --build_list again" if self.is_pull else "run it again"
        there = "the file" if self.is_pull else "the folder for it"
        words = {"place": self.place, "acts": self.acts, "far": host_of(self.far_url), "here": HERE}
        far_place = place_of(self.far_url)
        words.update(far_place=far_place, target=self.place if self.is_pull else far_place)
        return {**words, "look": look, "there": there, "said": plain(said)}

    def error(self, saying: Saying, said: str = "") -> GridError:
        """The error that a saying stands for."""
        return saying.kind(saying.sentence.format(**self.words(said)), saying.passing)

    def failure(self, said: str) -> GridError:
        """The error for a verdict that is a failure."""
        status = re.search(REMOTE, said)
        saying = STATUSES.get(int(status[1])) if status else None
        if status and status[1].startswith("5"):
            saying = saying or (STRANGE_KEY if status[1] == "500" else FAR_FAILS)
        return self.error(saying or next(one for one in SAYINGS if re.search(one.pattern, said, re.IGNORECASE)), said)
