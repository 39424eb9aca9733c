"""Files that the portal has on tape only, or on demand, as it calls that: asked for a record at a time.

No number comes back, and nothing can be given back: the portal keeps what it has brought to disk for about 18 hours.
Of requests, anybody's, it is believed that they are at work; what they have brought, the files alone tell.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from gridsync_parts.doors.record import Held, Record
from gridsync_parts.errors import DoorError, FileError, Forbidden, GridError, NotFound, Unreached, brief
from gridsync_parts.values import WAITING, Locality, Staging
from gridsync_parts.words import seconds_of

if TYPE_CHECKING:
    from gridsync_parts.doors.portal import Portal

AT_ONCE = 4  # records that are asked for at once
LEAST = 15.0  # seconds for which what the portal has said of a record, or of requests for it, holds;
EACH = 1.0  # and so many for each record that is waited for
RATE = 50 << 10  # bytes a second that all records may take together while they are waited for
RECENT = 900.0  # seconds after which a record that nobody has asked about is not waited for any more
AGAIN = 900.0  # after the end of a request, in which nothing is asked for once more; twice as many each time,
MOST = 4 * 3600.0  # and so many at the most
PATIENCE = 10.0  # that other runs of this user may take to ask
BROKEN = 2  # records in a row for which it may fail; with more it is the portal that fails
LISTED = 10  # requests of a record that are looked at, the last ones
REFUSES = "the portal refuses to bring its files from tape; ask for them by hand at {}"
UNSAID = "the portal does not say who has asked for it already: {}"
UNBROUGHT = "the portal calls its request finished, and files are on tape still"
GONE = "the record has no such file any more"


class Request(NamedTuple):
    """A request for files of a record, whoever has made it."""

    key: str  # of the file index that it is about, or empty: the whole record
    is_open: bool  # it is at work
    began: float
    ended: float
    failed: int = 0  # transfers of the record that have failed, by this request or earlier ones

    def is_about(self, held: Held) -> bool:
        """Whether it is to bring a file."""
        return self.key in ("", held.index)


def moment(said: object) -> float:
    """A time of the portal, which is in UTC and does not say so; 0 for none."""
    try:
        return float(seconds_of(f"{str(said)[:19]}Z"))
    except ValueError:
        return 0.0


def requests_of(answer: Any) -> list[Request]:
    """The requests that the portal names; DoorError for what makes no sense."""
    try:
        found = []
        for item in answer["details"]:
            if item.get("action") not in (None, "stage"):
                continue
            is_open, index = item["status"] in ("submitted", "started"), item.get("file")
            began, ended, failed = moment(item.get("created_at")), moment(item.get("completed_at")), 0
            if isinstance(item.get("num_failed_transfers"), int):
                failed = item["num_failed_transfers"]
            found.append(Request(str(index or ""), is_open, began, max(began, ended), failed))
        return found
    except (AttributeError, LookupError, TypeError) as error:
        said = brief(repr(answer))
        raise DoorError(f"what the portal says of requests makes no sense ({said}); try again later", True) from error


def plan_asking(record: Record, names: Iterable[str], requests: list[Request], wait: float, now: float) -> list[str]:
    """What to ask of a record to have some of its files: the keys of file indices, or the empty one for all of it.

    Nothing that is on its way already, nor what was so until just now: the portal may not have noticed yet.
    """
    busy = [request for request in requests if request.is_open or now - request.ended < wait]
    cold = [held for held in record.files.values() if not held.online]
    cold = [held for held in cold if not any(request.is_about(held) for request in busy)]
    wanted: set[str] = set()
    others: set[str] = set()
    names = set(names)
    for held in cold:
        (wanted if held.name in names else others).add(held.index)
    if "" in wanted or (len(wanted) > 1 and not busy and not others - wanted):
        return [""]
    return sorted(wanted)


def staging_of(held: Held | None, requests: list[Request], asked: float, wait: float, now: float) -> Staging:
    """How far a file is that was asked for, last by us at such a time."""
    if held is None:
        return Staging(True, GONE)
    if held.online:
        return Staging(True)
    ours = [request for request in requests if request.is_about(held)]
    if at_work := [request.began for request in ours if request.is_open]:
        return Staging(False, "", min(at_work))
    if now - max([asked, *(request.ended for request in ours)]) < wait:
        return WAITING
    if not ours:
        return Staging(True)  # nobody knows of a request: it is to be asked for
    failed = max(request.failed for request in ours)
    return Staging(True, UNBROUGHT + (f"; {failed} of its transfers have failed so far" if failed else ""))


def by_record(paths: Iterable[str]) -> dict[str, list[str]]:
    """Names of files, by the records that they are of."""
    found: dict[str, list[str]] = {}
    for path in paths:
        recid, _, name = path.partition("/")
        found.setdefault(recid, []).append(name)
    return found


@contextlib.contextmanager
def asking_alone() -> Iterator[None]:
    """While no other run of this user asks: two that look for requests at the same time would both find none.

    The home is what they have in common; where it can't be locked, or somebody holds it for long, it goes without.
    """
    import fcntl

    ends = time.monotonic() + PATIENCE
    try:
        home = os.open(os.path.expanduser("~"), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        yield
        return
    try:
        with contextlib.suppress(OSError):
            while time.monotonic() < ends:
                try:
                    fcntl.flock(home, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    time.sleep(0.05)
        yield
    finally:
        os.close(home)


class Asked(NamedTuple):
    """What was asked of a record in this run."""

    times: int = 0
    at: float = 0.0  # the last time


class Recall:
    """Brings files of the portal from tape."""

    def __init__(self, portal: Portal):
        self.portal = portal
        self.sizes: dict[str, int] = {}  # bytes of the portal's answers about records, more or less
        self.told: dict[str, tuple[float, list[Request]]] = {}  # what it has last said of their requests, and when
        self.ended: dict[str, list[Request]] = {}  # those that had ended when the record was last looked at
        self.waited: dict[str, float] = {}  # when somebody has last asked how far a record is
        self.asked: dict[str, Asked] = {}
        self.refused: dict[str, Forbidden] = {}  # records that the portal does not bring
        self.broken: set[str] = set()  # records for which it failed, one after the other

    # What the portal says.

    def record(self, recid: str, hold: float) -> Record:
        """A record, as it is or was so many seconds ago."""
        record = self.portal.record(recid, younger=hold)
        self.sizes[recid] = len(record.text)
        return record

    def long(self, recid: str, others: int = 1) -> float:
        """For how many seconds an answer about a record is good, if so many are asked for again and again."""
        return max(LEAST, others * self.sizes.get(recid, 0) / RATE)

    def requests(self, recid: str, hold: float) -> list[Request]:
        """The last requests for files of a record, as they are or were so many seconds ago."""
        now = time.monotonic()
        at, found = self.told.get(recid, (now - hold, []))
        if now - at >= hold:
            query = f"record={quote(recid, safe='')}&action=stage&page=1&per_page={LISTED}"
            try:
                found = requests_of(self.portal.ask("GET", f"transfer_requests_content?{query}"))
            except FileError as error:
                raise FileError(UNSAID.format(error)) from error
            self.told[recid] = now, found
        return found

    def wait(self, recid: str) -> float:
        """For how long after a request nothing is asked for anew."""
        return min(MOST, AGAIN * 2.0 ** max(0, self.asked.get(recid, Asked()).times - 1))

    # The verbs.

    def localities(self, paths: list[str]) -> dict[str, Locality]:
        """Where files are, one request a record; what others tell is good though one of them fails."""
        from concurrent import futures

        found: dict[str, Locality] = {}
        failure: GridError | None = None
        records = by_record(paths)
        with futures.ThreadPoolExecutor(AT_ONCE) as threads:
            asked = {recid: threads.submit(self.record, recid, self.long(recid)) for recid in records}
        for recid, answer in asked.items():
            try:
                files = answer.result().files
            except NotFound:
                continue
            except GridError as error:
                failure = failure or error
                continue
            for held in filter(None, map(files.get, records[recid])):
                found[f"{recid}/{held.name}"] = Locality.ONLINE if held.online else Locality.NEARLINE
        if failure and not found:
            raise failure
        return found

    def stage(self, paths: list[str], days: int) -> str:
        """Have files of a record brought to disk, unless somebody has asked for them; how long, the portal decides."""
        records = by_record(paths)
        for recid, names in records.items():
            if recid in self.refused:
                raise Forbidden(str(self.refused[recid]))
            try:
                self.ask_for(recid, names)
            except Forbidden as error:
                self.refused[recid] = Forbidden(REFUSES.format(self.portal.page_of(recid)))
                raise self.refused[recid] from error
            except DoorError as error:
                if isinstance(error, Unreached) or error.pause or len(self.broken | {recid}) > BROKEN:
                    raise
                self.broken.add(recid)
                raise FileError(str(error), error.passing) from error  # others may go well
            self.broken.clear()
        return f"record/{next(iter(records))}"

    def ask_for(self, recid: str, names: list[str]) -> None:
        """Ask for what is on tape of some files of a record, and on its way by nobody."""
        record = self.record(recid, self.long(recid))
        if all(held.online for held in filter(None, map(record.files.get, names))):
            return
        with asking_alone():
            requests = self.requests(recid, 0)
            self.ended[recid] = [request for request in requests if not request.is_open]
            for index in plan_asking(record, names, requests, self.wait(recid), time.time()):
                self.post(recid, index)

    def post(self, recid: str, index: str) -> None:
        """One request. Where its answer is lost another try finds it in the list."""
        body = {"email": "", **({"file": index} if index else {})}
        said = self.portal.ask("POST", f"record/{quote(recid, safe='')}/stage", body, recid=recid)
        self.told.pop(recid, None)
        if not isinstance(said, str) or said.strip() != "OK":
            raise DoorError(
                f"{recid}: the portal answers {brief(repr(said))} to a request for files on tape; "
                f"{self.portal.page_of(recid)} shows whether it was made",
                passing=True,
            )
        self.asked[recid] = Asked(self.asked.get(recid, Asked()).times + 1, time.time())

    def stagings(self, request: str, paths: list[str]) -> dict[str, Staging]:
        """How far files are: by what they say themselves, and whether a request for them is at work."""
        found: dict[str, Staging] = {}
        for recid, names in by_record(paths).items():
            record, requests = self.progress(recid)
            wait, asked, now = self.wait(recid), self.asked.get(recid, Asked()).at, time.time()
            for name in names:
                found[f"{recid}/{name}"] = staging_of(record.files.get(name), requests, asked, wait, now)
        return found

    def progress(self, recid: str) -> tuple[Record, list[Request]]:
        """A record and its requests, asked for no more often than is fair; the record at once when a request ends."""
        now = time.monotonic()
        self.waited[recid] = now
        others = sum(now - at < RECENT for at in self.waited.values())
        requests = self.requests(recid, max(LEAST, others * EACH))
        ended = [request for request in requests if not request.is_open]
        is_news = self.ended.get(recid, ended) != ended
        record = self.record(recid, 0.0 if is_news else self.long(recid, others))
        self.ended[recid] = ended
        return record, requests

    def release(self, request: str, paths: list[str]) -> None:
        """Nothing: the portal takes files from disk when it likes."""
