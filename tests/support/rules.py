"""Every rule of what comes next with a file, as a table: what there is, what happens, and what comes of it.

Nothing here knows the program's classes of a run: tests/plain/test_rules.py plays the table. Times are seconds; those
of the past are how long ago. Pauses are as long as chance may make them, unless a case says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Union

from gridsync_parts import errors
from gridsync_parts.disk import LocalFile
from gridsync_parts.errors import DiskError, DoorError, FileError, GridError
from gridsync_parts.values import Locality
from gridsync_parts.words import moment_text

# Where a file is. LEFT is given up, DONE needs nothing more, GONE is of no place any more.
EACH = COPYING, READY, TAPE, STAGING, LATE, LEFT = "COPYING READY TAPE STAGING LATE LEFT".split()
PAUSED, LOOKING, ORDERED = "PAUSED LOOKING ORDERED".split()  # those of which an answer or another attempt is near
DONE, GONE = "DONE", "GONE"
HOUR, DAY, GIB = 3600, 24 * 3600, 1 << 30
TODAY = 1_700_000_000  # seconds since the epoch
ONLINE, NEARLINE, OFFLINE, UNKNOWN = Locality.ONLINE, Locality.NEARLINE, Locality.OFFLINE, Locality.UNKNOWN
SAME, OTHER, FOLDER = LocalFile(100, 1000, True), LocalFile(99, 1000, True), LocalFile(100, 1000, False)

# What goes wrong, in a word.
FAULTS: dict[str, GridError] = {
    "passing": FileError("a: fails", passing=True),
    "failing": FileError("a: fails for good"),
    "door": DoorError("the door fails", passing=True),
    "shut": DoorError("the door is shut"),
    "pool": errors.PoolError("a: its pool fails", passing=True),
    "evicted": errors.OnTape("a: is on tape"),
    "refused": errors.Forbidden("a: is forbidden"),
    "damaged": errors.Mismatch("a: arrived damaged", passing=True),
    "misnamed": errors.BadName("a: has a bad name"),
    "unknown": errors.NotFound("there is no such request"),
    "full": DiskError("the disk is full"),
    "expired": errors.CredentialError("the proxy has ended"),
    "renewed": errors.CredentialError("the proxy is being written", passing=True),
    "held": errors.TooFast("the door takes no more just now", passing=True),
}


class Job(NamedTuple):
    """A file before something happens: in the catalog, here, at the site, and in the memory of this run."""

    path: str = "a"
    place: str = ""  # if it is in one already
    locality: Locality = ONLINE
    size: int = 100
    request: str = ""
    downloaded: bool = False
    verified: str = ""
    error: str = ""  # that the catalog has of it
    is_listed: bool = True  # the site still has it
    here: LocalFile | None = None
    kept: int = 0  # bytes of it that are here of an earlier try
    now: Locality | None = None  # where the site says it is when it is asked again; None: no other place
    seen: float = 0  # it was known to be on disk
    due: float = 0  # LATE: in so many seconds
    since: float = 0  # it fails since then,
    failures: int = 0  # so often,
    until: float = 0  # and was tried again after the last one,
    might_pass: bool = False  # which was of the kind that may pass
    asked: int = 0  # times it was asked for
    reason: str = ""  # that the user was told
    final: Mapping[str, Any] | None = None  # it was given up for good, when it was like this
    came: bool = False  # this run has overwritten it
    adopt: bool = False  # READY: it is here, and to be compared


class Facts(NamedTuple):
    """The rest of the world."""

    overwrite: bool = False
    force: bool = False
    has_tape: bool = True
    has_proxy: bool = True  # that is valid
    free: int = 1 << 50  # bytes on the local disk
    threads: int = 2
    pending: int = 0  # files that the threads have besides those of the case
    moved: float = 0  # a file came from tape last,
    asked: float | None = None  # or was asked for; None: then, too
    ages: Mapping[str, float] = {}  # of requests
    dues: Mapping[str, float] = {}  # in how many seconds a request is to be asked
    denials: Mapping[str, int] = {}  # how often in a row the site refused to tell of a request
    is_given: bool = True  # the door has given bytes
    refused: int = 0  # files that it refused before
    is_short: bool = False  # pauses are as short as chance may make them


# What happens.


class Placed(NamedTuple):
    """A file is found by a listing, or taken up again."""

    is_first: bool = False


class Failed(NamedTuple):
    """Something of it has failed."""

    is_passing: bool = True


class Landed(NamedTuple):
    """The threads are done with all the files that are copied."""

    how: str  # copied, skipped, stale, interrupted, again, kept (another local file has the name), or a fault
    version: int = 1000  # the time that the catalog has of it by then; 0: a listing no longer has it


class Woken(NamedTuple):
    """It is looked whether files that have failed are due."""

    fault: str = ""
    most: int = 500  # of one question


class Looked(NamedTuple):
    """It is looked whether files that are on disk are there still."""

    most: int = 500  # of one question


class Fed(NamedTuple):
    """The threads are given what is ready."""

    depth: int = 50  # files that may wait in front of them


class Asked(NamedTuple):
    """It is time to ask for files on tape."""

    faults: Mapping[str, str] = {}  # of requests that hold this path
    most: int = 200  # of one request


class Polled(NamedTuple):
    """It is time to ask requests: what each says of its files (waiting, brought, broken) or its fault."""

    answers: Mapping[str, str]
    times: int = 1


class Timed(NamedTuple):
    """A request of this age was asked, one of so many: when next?"""

    age: float
    of: int = 1


class Listed(NamedTuple):
    """All was listed; but for these folders, and perhaps it could not be asked where files are."""

    unread: Mapping[str, str] = {}
    before: Mapping[str, str] = {}  # those of the listing before
    blind: float = 0  # the first of them,
    blinds: int = 0  # and how often it was so
    is_first: bool = False
    fault: str = ""


class Called(NamedTuple):
    """A chore is done that is due every second."""

    how: str  # done, idle, or a fault
    failures: int = 0
    since: float = 0
    until: float = 0
    noted: tuple[str, ...] = ()
    others: int = 0  # failures of another chore


class Released(NamedTuple):
    """Pins of what is here are given back; it has failed so often."""

    fault: str = ""
    failures: int = 0


class Goes(NamedTuple):
    """Does the run go on? It does its chore."""

    blind: float = 0
    due: float = 0  # the chore


class Tried(NamedTuple):
    """A call has failed: when is it made again?"""

    how: str
    failures: int = 0  # before
    age: float = 0  # of the first attempt
    had: int = 0  # bytes that were here at the last failure,
    here: int = 0  # and now
    retries: int = 5


class Started(NamedTuple):
    """--start copies all files of the case: what becomes of each, one time after the other."""

    hows: Mapping[str, str]
    retries: int = 5


class Watched(NamedTuple):
    """--bring_online waits: what the requests say of each file, one time after the other."""

    answers: Mapping[str, str]


Event = Union[
    Placed, Failed, Landed, Woken, Looked, Fed, Asked, Polled, Timed, Listed, Called, Released, Goes, Tried,
    Started, Watched,
]


class Then(NamedTuple):
    """What comes of one file; None: as before."""

    place: str
    due: float | None = None  # in so many seconds
    is_final: bool = False  # LEFT: until it changes at the site
    failures: int | None = None
    since: float | None = None
    asked: int | None = None
    adopt: bool = False
    size: int | None = None  # bytes more that are to come; None: none, and less when it is given up


class Case(NamedTuple):
    """A rule."""

    name: str
    jobs: Job | tuple[Job, ...]
    event: Event
    then: Then | Mapping[str, Any]  # of several files: by place, their letters; in small letters, what else is seen
    facts: Facts = Facts()
    said: str | tuple[str, ...] = ()  # begins of what the user is told
    raised: str = ""  # what ends the run, or for a while the chore: its class, and how its sentence begins
    doubt: str = ""  # why the rule may be wrong


def many(letters: str, place: str = "", locality: Locality = ONLINE, **more: Any) -> tuple[Job, ...]:
    """Files that differ in their names alone."""
    return tuple(Job(letter, place, locality, **more) for letter in letters)


def tape(letters: str) -> tuple[Job, ...]:
    """Files that are to be asked for."""
    return many(letters, TAPE, NEARLINE)


COPIED, ON_TAPE = Job(here=SAME, downloaded=True), Job(locality=NEARLINE)
LOST = "a: the site cannot deliver it: its pool is down, or it is lost; ask the site"
UNSURE = "a: the site does not say whether it is on disk; --check_status asks again, --force fetches it"
KEPT = "a: a different local file has this name; --overwrite replaces it"
NO_TAPE = "a: is on tape, but the site names no tape service; ask the site, or see TAPE_API"
TEN_TIMES = "a: was requested 10 times and is on tape only again; ask the site"
SOON, GIVEN_UP = Then(LATE, 30, failures=1), Then(LEFT, is_final=True)
FIRST, OVER, FORCE = Placed(is_first=True), Facts(overwrite=True), Facts(force=True)

PLACING = [
    # What is here.
    Case("a file that is here and unchanged needs nothing", COPIED, Placed(), Then(DONE)),
    Case("it counts as skipped the first time", COPIED, FIRST, {DONE: "a", "skipped": 1}),
    Case("it does not count again later", COPIED, Placed(), {DONE: "a", "skipped": 0}),
    Case("a local file of that size is compared", Job(here=SAME), Placed(), Then(READY, adopt=True)),
    Case("it is compared though the site has it on tape", ON_TAPE._replace(here=SAME), Placed(),
         Then(READY, adopt=True)),
    Case("a copied file whose local time is another is compared", Job(here=SAME._replace(mtime=2000), downloaded=True),
         Placed(), Then(READY, adopt=True)),
    Case("another local file is kept, and the file left for now", Job(here=OTHER), Placed(), Then(LEFT), said=KEPT),
    Case("a local file is kept before it counts that the file is on tape or lost", Job(here=OTHER, locality=OFFLINE),
         Placed(), Then(LEFT), said=KEPT),
    Case("a damaged file is left to --repair", Job(here=OTHER, verified="adler32"), Placed(), Then(LEFT),
         said="a: is damaged, as --verify found; --repair fetches it again"),
    Case("--overwrite fetches a file in place of a local one", Job(here=OTHER), Placed(), Then(READY), OVER),
    Case("--overwrite fetches it even if it seems the same", Job(here=SAME), Placed(), Then(READY), OVER),
    Case("--overwrite waits for tape too", ON_TAPE._replace(here=SAME), Placed(), Then(TAPE), OVER),
    Case("--overwrite fetches nothing twice in one run", Job(here=SAME, came=True), Placed(), Then(READY, adopt=True),
         OVER),
    Case("a file that changes after it was overwritten is kept", Job(here=OTHER, came=True), Placed(), Then(LEFT), OVER,
         said=KEPT, doubt="the sentence advises --overwrite, which was given; only a new run overwrites"),
    Case("--overwrite leaves what it has copied", COPIED, Placed(), Then(DONE), OVER),
    Case("--overwrite replaces no folder", Job(here=FOLDER), Placed(), Then(LEFT), OVER,
         said="a: what has this name here is not a regular file; move it away"),
    # Where it is at the site.
    Case("a file on disk is ready", Job(), Placed(), Then(READY)),
    Case("a file on disk is ready though a request pins it", Job(request="r1"), Placed(), Then(READY)),
    Case("it is to be fetched, once what was to be compared is gone", Job(adopt=True), Placed(), Then(READY)),
    Case("an empty file is made wherever it is", Job(size=0, locality=OFFLINE), Placed(), Then(READY)),
    Case("a file on tape is to be asked for", ON_TAPE, Placed(), Then(TAPE)),
    Case("a file that was asked for is waited for", ON_TAPE._replace(request="r1"), Placed(), Then(STAGING)),
    Case("--force fetches from tape", ON_TAPE._replace(request="r1"), Placed(), Then(READY), FORCE),
    Case("--force fetches where the site does not say", Job(locality=UNKNOWN), Placed(), Then(READY), FORCE),
    Case("--force does not fetch what is lost", Job(locality=OFFLINE), Placed(), SOON, FORCE),
    Case("a lost file is looked for once more, as the site may have moved it", Job(locality=OFFLINE), Placed(), SOON),
    Case("a request does not help a lost file", Job(locality=OFFLINE, request="r1"), Placed(), SOON),
    Case("a file that is lost twice is given up for good", Job(locality=OFFLINE, failures=1), Placed(),
         GIVEN_UP, said=LOST),
    Case("a lost file of which the user knows is left, and not looked for", Job(locality=OFFLINE, reason=LOST),
         Placed(), Then(LEFT)),
    Case("one that was left for another reason is", Job(locality=OFFLINE, reason=KEPT), Placed(), SOON),
    Case("a site that does not say where a file is, is asked once more", Job(locality=UNKNOWN), Placed(), SOON),
    Case("it is given up when the site says it twice", Job(locality=UNKNOWN, failures=1), Placed(), GIVEN_UP,
         said=UNSURE),
    # Tape.
    Case("without a tape service a file on tape is left for now", ON_TAPE, Placed(), Then(LEFT), Facts(has_tape=False),
         said=NO_TAPE),
    Case("a request is waited for even where no tape service is named", ON_TAPE._replace(request="r1"), Placed(),
         Then(STAGING), Facts(has_tape=False), doubt="to ask the request then ends the run with exit status 4"),
]

GIVING_UP = [
    Case("what fails the first time is tried again after half a minute", Job(), Failed(), SOON),
    Case("the second time after a minute", Job(failures=1), Failed(), Then(LATE, 60, failures=2)),
    Case("and so on", Job(failures=6), Failed(), Then(LATE, 1920, failures=7)),
    Case("after an hour at the most", Job(failures=7), Failed(), Then(LATE, HOUR, failures=8)),
    Case("for a day", Job(failures=30, since=DAY), Failed(), Then(LATE, HOUR, failures=31)),
    Case("after a day it is given up for good", Job(failures=30, since=DAY + 1), Failed(), GIVEN_UP, said="a: fails"),
    Case("a day counts from the first failure, though it was under way meanwhile",
         Job(failures=1, since=DAY + 1, until=HOUR), Failed(), GIVEN_UP, said="a: fails"),
    Case("whoever was well for more than an hour begins anew", Job(failures=30, since=DAY + 1, until=HOUR + 1),
         Failed(), Then(LATE, 30, failures=1, since=0)),
    Case("not after an hour exactly", Job(failures=2, since=DAY, until=HOUR), Failed(), Then(LATE, 120, failures=3)),
    Case("chance makes a pause shorter, down to half", Job(), Failed(), Then(LATE, 15, failures=1),
         Facts(is_short=True)),
    Case("a failure that will not pass has one more try", Job(), Failed(False), SOON),
    Case("then it is given up for good", Job(failures=1), Failed(False), GIVEN_UP, said="a: fails"),
    Case("not after one that might have passed", Job(failures=5, might_pass=True), Failed(False),
         Then(LATE, 960, failures=6)),
    Case("even if it was well for long in between", Job(failures=1, since=DAY - 1, until=2 * HOUR), Failed(False),
         GIVEN_UP, said="a: fails", doubt="only what may pass begins anew"),
    Case("what is given up for good is told once", Job(failures=1, reason="a: fails"), Failed(False), GIVEN_UP),
    # What was given up before.
    Case("a file that was given up for good stays so, without a word", Job(final={}, reason="a: bad"), Placed(),
         GIVEN_UP),
    Case("it comes back with another time", Job(final={"mtime": 999}, reason="a: bad"), Placed(), Then(READY)),
    Case("it comes back with another size", Job(final={"size": 99}, reason="a: bad"), Placed(), Then(READY)),
    Case("it comes back with another checksum", Job(final={"checksum": "adler32:00000002"}, reason="a: bad"), Placed(),
         Then(READY)),
    Case("one checksum more does not bring it back", Job(final={"checksum": ""}, reason="a: bad"), Placed(), GIVEN_UP),
    Case("it comes back when it is elsewhere at the site",
         Job(locality=NEARLINE, final={"locality": ONLINE}, reason="a: bad"), Placed(), Then(TAPE)),
    Case("it stays given up though it is here by now", Job(here=SAME, final={}, reason="a: bad"), Placed(), GIVEN_UP,
         doubt="it could be compared; but one that is another file would be read again each hour"),
    Case("a file that was left for now has another chance", Job(reason=KEPT), Placed(), Then(READY)),
    Case("the same reason is told once", Job(here=OTHER, reason=KEPT), Placed(), Then(LEFT)),
    Case("another reason is told", Job(here=OTHER, reason=LOST), Placed(), Then(LEFT), said=KEPT),
    Case("nothing is given up when it may be for a proxy that has ended: that ends the run", Job(here=OTHER), Placed(),
         {}, Facts(has_proxy=False), raised="CredentialError"),
]

FLYING = Job(place=COPYING)
SOME_FAILURES = FLYING._replace(failures=3, since=HOUR)
LANDING = [
    Case("a file that was copied is done", FLYING, Landed("copied"), Then(DONE)),
    Case("its failures are forgotten", SOME_FAILURES, Landed("copied"), Then(DONE, failures=0, since=0)),
    Case("so they are when it was only compared", SOME_FAILURES, Landed("skipped"), Then(DONE, failures=0, since=0)),
    Case("--overwrite notes what has come", FLYING, Landed("copied"), {DONE: "a", "came": "a"}, OVER),
    Case("without it nothing is noted", FLYING, Landed("copied"), {DONE: "a", "came": ""}),
    Case("a file that waited for too long is in front again, and to be looked for",
         (FLYING._replace(seen=601), Job("b", READY)), Landed("stale"), {READY: "ab", "seen": {"a": 601, "b": 0}}),
    Case("even if it has changed at the site", FLYING, Landed("stale", version=2000), Then(READY)),
    Case("unless a listing has it no more", FLYING, Landed("stale", version=0), Then(GONE)),
    Case("the pin of what is here is to be given back", FLYING._replace(request="r1"), Landed("copied"),
         {DONE: "a", "pinned": "a"}),
    Case("a file that is tried again pauses", SOME_FAILURES, Landed("again"), Then(PAUSED, 2)),
    Case("it does though a listing has it no more", FLYING, Landed("again", version=0), Then(PAUSED, 2)),
    Case("an interrupted file is to be taken up at once", FLYING, Landed("interrupted"), Then(LATE, 0)),
    Case("a failure that may pass is tried again", FLYING, Landed("passing"), SOON),
    Case("it is tried again less and less often", SOME_FAILURES, Landed("passing"), Then(LATE, 240, failures=4)),
    Case("a failure that will not pass is tried once more", FLYING, Landed("failing"), SOON),
    Case("then it is given up", SOME_FAILURES, Landed("failing"), GIVEN_UP, said="a: fails for good"),
    Case("a failure of the door is one of the file", FLYING, Landed("door"), SOON),
    Case("so is one of the door that will not pass", FLYING, Landed("shut"), SOON),
    Case("a pool that fails is tried again as any other", FLYING, Landed("pool"), Then(LATE, 30, failures=1)),
    Case("damaged bytes are not fetched again", FLYING, Landed("damaged"), GIVEN_UP, said="a: arrived damaged"),
    Case("nor is a name that the door can not serve", FLYING, Landed("misnamed"), GIVEN_UP, said="a: has a bad name"),
    Case("nor one that has another local file meanwhile", FLYING, Landed("kept"), GIVEN_UP, said=KEPT,
         doubt="one of another size could be left for now, but one of that size would be read each hour"),
    Case("a file that has changed at the site meanwhile has failed for a while", FLYING, Landed("copied", version=2000),
         SOON),
    Case("one that failed has too, for that reason", FLYING._replace(failures=1), Landed("failing", version=2000),
         Then(LATE, 60, failures=2)),
    Case("one of which the listing knows nothing more is done all the same", FLYING, Landed("copied", version=0),
         Then(DONE)),
    # A door that refuses.
    Case("a refusal is one of the file, once the door has given something", FLYING, Landed("refused"), SOON),
    Case("before that, it is known when nothing more is under way", FLYING, Landed("refused"), SOON,
         Facts(is_given=False)),
    Case("until then it may be so with all", FLYING, Landed("refused"), {COPYING: "a"},
         Facts(is_given=False, pending=1)),
    Case("any other failure is known at once", FLYING, Landed("failing"), SOON, Facts(is_given=False, pending=1)),
    Case("the file that was refused twice is given up", FLYING._replace(failures=1), Landed("refused"), GIVEN_UP,
         said="a: is forbidden"),
    Case("a door that refuses 16 files before it gives any ends the run", FLYING, Landed("refused"), {},
         Facts(is_given=False, refused=15, pending=1),
         raised="DoorError: the door refused the first 16 files and delivered none: a: is forbidden"),
    Case("it does not once it has given something", FLYING, Landed("refused"), SOON, Facts(refused=15, pending=1)),
    Case("after a refusal the credential is looked at, and its end ends the run", FLYING, Landed("refused"), {},
         Facts(has_proxy=False), raised="CredentialError"),
    Case("after any other failure it is not", FLYING, Landed("failing"), SOON, Facts(has_proxy=False)),
    Case("failures of the door do not end --sync, however many", many("abcdefghij", COPYING), Landed("door"),
         {LATE: "abcdefghij"}),
]

WAKING = [
    Case("a file that has failed waits until it is due", Job(place=LATE, due=1), Woken(),
         {LATE: "a", "located": [], "did": False}),
    Case("then it is looked where it is", Job(place=LATE), Woken(), {READY: "a", "located": ["a"], "did": True}),
    Case("all that are due are looked for together", (*many("ab", LATE), Job("c", LATE, due=1)), Woken(),
         {READY: "ab", LATE: "c", "located": ["ab"]}),
    Case("in as many questions as it takes", many("abc", LATE), Woken(most=2),
         {READY: "abc", "located": ["ab", "c"]}),
    Case("listings tell it where there is no tape service, of all at once", many("abc", LATE), Woken(most=2),
         {READY: "abc", "located": ["abc"]}, Facts(has_tape=False)),
    Case("one that is on tape by now is to be asked for", Job(place=LATE, now=NEARLINE), Woken(), Then(TAPE)),
    Case("one that is on tape by now, and has a request, is waited for", Job(place=LATE, now=NEARLINE, request="r1"),
         Woken(), Then(STAGING)),
    Case("one that is lost by now is given up, as it has failed before", Job(place=LATE, now=OFFLINE, failures=1),
         Woken(), GIVEN_UP, said=LOST),
    Case("one that is here by now is compared", Job(place=LATE, here=SAME), Woken(), Then(READY, adopt=True)),
    Case("its failures are remembered", Job(place=LATE, failures=3), Woken(), Then(READY)),
    Case("one that nobody could be asked of is looked for once more", Job(place=LATE, locality=UNKNOWN), Woken(), SOON),
    Case("nothing is asked twice at a time", (Job("a", LOOKING, seen=601), Job("b", PAUSED, seen=601)), Woken(),
         {LOOKING: "a", PAUSED: "b", "located": [], "did": False}),
    Case("when the site can not be asked all stay where they are", many("ab", LATE), Woken("door"), {LATE: "ab"},
         raised="DoorError"),
]

STALE = [
    Case("a file that was on disk ten minutes ago is not looked for", Job(place=READY, seen=600), Looked(),
         {READY: "a", "located": [], "seen": {"a": 600}, "did": False}),
    Case("a little later it is", Job(place=READY, seen=601), Looked(),
         {READY: "a", "located": ["a"], "seen": {"a": 0}, "did": True}),
    Case("files keep their turn when they are looked for", (*many("ab", READY, seen=601), Job("c", READY)), Looked(),
         {READY: "abc", "located": ["ab"]}),
    Case("only those whose turn is near are looked for", many("abc", READY, seen=601), Looked(most=2),
         {READY: "abc", "located": ["ab"]}),
    Case("nothing is looked for while the threads have enough", Job(place=READY, seen=601), Looked(),
         {READY: "a", "located": [], "did": False}, Facts(pending=27)),
    Case("it is once half of that is begun", Job(place=READY, seen=601), Looked(), {READY: "a", "located": ["a"]},
         Facts(pending=26)),
    Case("a few in front of the threads are enough, as they may wait there for long", Job(place=READY, seen=601),
         Looked(), {READY: "a", "located": []}, Facts(pending=4)),
    Case("fewer files than threads are not", Job(place=READY, seen=601), Looked(), {READY: "a", "located": ["a"]},
         Facts(pending=1)),
]

EVICTION = [
    Case("a file that has left the disk is looked for at once the first time", FLYING, Landed("evicted"),
         Then(LATE, 0, failures=1)),
    Case("later it is looked for with a pause", FLYING._replace(failures=1), Landed("evicted"),
         Then(LATE, 60, failures=2)),
    Case("at once, if it was well for more than an hour", FLYING._replace(failures=3, since=DAY, until=HOUR + 1),
         Landed("evicted"), Then(LATE, 0, failures=1, since=0)),
    Case("a file that leaves the disk for a day is given up", FLYING._replace(failures=1, since=DAY + 1),
         Landed("evicted"), GIVEN_UP, said="a: is on tape"),
    Case("a file that has left the disk is to be asked for again",
         (Job("a", READY, seen=601, now=NEARLINE), Job("b", READY)), Looked(), {READY: "b", TAPE: "a"}),
    Case("it is waited for if it has a request", Job(place=READY, seen=601, now=NEARLINE, request="r1"), Looked(),
         Then(STAGING)),
]

FEEDING = [
    Case("the threads are given all that is ready, in its order", many("bac", READY), Fed(), {COPYING: "bac"}),
    Case("50 files wait in front of the threads", many("abc", READY), Fed(),
         {COPYING: "ab", READY: "c"}, Facts(pending=50)),
    Case("or 1 GiB and one file a thread", many("abc", READY, size=GIB), Fed(), {COPYING: "ab", READY: "c"},
         Facts(pending=3)),
    Case("though fewer files a thread are more than that", many("abcd", READY, size=GIB + 1), Fed(),
         {COPYING: "ab", READY: "cd"}, Facts(pending=0)),
    Case("what the local disk can not hold waits behind the others", (Job("a", READY, size=300), *many("bc", READY)),
         Fed(), {COPYING: "bc", READY: "a"}, Facts(free=200)),
    Case("what is under way takes room", (Job("a", COPYING, size=150), *many("bc", READY)), Fed(),
         {COPYING: "ab", READY: "c"}, Facts(free=250)),
    Case("what is under way takes only the room that is still missing",
         (Job("a", COPYING, size=150, kept=50), *many("bc", READY)), Fed(), {COPYING: "abc"}, Facts(free=300)),
    Case("what is here of a file needs no room", Job(place=READY, size=300, kept=200), Fed(), Then(COPYING),
         Facts(free=100)),
    Case("what is to be compared needs none", Job(place=READY, here=SAME, adopt=True), Fed(), Then(COPYING),
         Facts(free=0)),
    Case("a file that pauses has its next attempt when it is due", (Job("a", PAUSED), Job("b", PAUSED, due=1)), Fed(),
         {COPYING: "a", PAUSED: "b", "tries": [1]}),
    Case("it has it before all others, and however many wait", (Job("a", READY), Job("b", PAUSED)), Fed(),
         {COPYING: "b", READY: "a"}, Facts(pending=99)),
    Case("until then it takes a place", (Job("a", PAUSED, due=9), *many("bc", READY)), Fed(depth=2),
         {COPYING: "b", READY: "c", PAUSED: "a"}),
    Case("and room", (Job("a", PAUSED, due=9, size=150), *many("bc", READY)), Fed(),
         {COPYING: "b", READY: "c", PAUSED: "a"}, Facts(free=250)),
    Case("a file that was not looked for lately holds up all behind it", (Job("a", READY, seen=601), Job("b", READY)),
         Fed(), {READY: "ab"}),
    Case("one that is only to be compared does not, wherever it is",
         (Job("a", READY, seen=601, here=SAME, adopt=True), Job("b", READY)), Fed(),
         {COPYING: "ab", "fresh": [None, 600]}),
    Case("a file that has another local one meanwhile is left", (Job("a", READY, here=OTHER, seen=61), Job("b", READY)),
         Fed(), {COPYING: "b", LEFT: "a"}, said=KEPT),
    Case("one that came meanwhile is compared", Job(place=READY, here=SAME, seen=61), Fed(),
         {COPYING: "a", "fresh": [None]}),
    Case("that is looked for once a minute", Job(place=READY, here=SAME, seen=60), Fed(),
         {COPYING: "a", "fresh": [540]}),
    Case("after ten minutes exactly it is given, and the thread looks", Job(place=READY, seen=600), Fed(),
         {COPYING: "a", "fresh": [0]}),
    Case("a file is not begun ten minutes after it was known to be on disk", Job(place=READY, seen=100), Fed(),
         {COPYING: "a", "fresh": [500]}),
]

WAVES = [
    Case("each request is counted", Job("a", TAPE, NEARLINE, asked=4), Asked(), Then(STAGING, asked=5)),
    Case("its time is noted", ON_TAPE._replace(place=TAPE), Asked(), {STAGING: "a", "asked_ago": 0, "did": True},
         Facts(moved=DAY)),
    Case("all files that fit are asked for together", tape("abc"), Asked(),
         {STAGING: "abc", "requested": ["abc"], "times": 1}),
    Case("in as many requests as it takes", tape("abc"), Asked(most=2), {STAGING: "abc", "requested": ["ab", "c"]}),
    Case("what does not fit waits, what is smaller goes before it", (Job("a", TAPE, NEARLINE, 300), *tape("bc")),
         Asked(), {STAGING: "bc", TAPE: "a"}, Facts(free=200)),
    Case("files that are copied or ready or asked for have a claim to the room",
         (Job("x", COPYING), Job("y", READY), Job("z", STAGING, NEARLINE, request="r1"), *tape("ab")), Asked(),
         {STAGING: "az", TAPE: "b", COPYING: "x", READY: "y"}, Facts(free=400, moved=600)),
    Case("a file that pauses has a claim", (Job("x", PAUSED), *tape("ab")), Asked(),
         {STAGING: "a", TAPE: "b", PAUSED: "x"}, Facts(free=200, moved=600)),
    Case("what is here of a file that is copied has its room already",
         (Job("x", COPYING, size=150, kept=50), *tape("a")), Asked(), {STAGING: "a", COPYING: "x"},
         Facts(free=200, moved=600)),
    Case("and no more than that", (Job("x", COPYING, size=150, kept=49), *tape("a")), Asked(),
         {TAPE: "a", COPYING: "x"}, Facts(free=200, moved=600)),
    Case("one that is to be compared has none",
         (Job("w", COPYING), Job("x", READY, adopt=True, here=SAME), *tape("a")), Asked(),
         {STAGING: "a", COPYING: "w", READY: "x"}, Facts(free=200, moved=600)),
    Case("nor has one that the disk can not hold", (Job("w", COPYING), Job("x", READY, size=201), *tape("a")), Asked(),
         {STAGING: "a", COPYING: "w", READY: "x"}, Facts(free=200, moved=600)),
    Case("one that it just can hold has", (Job("w", COPYING), Job("x", READY, size=200), *tape("a")), Asked(),
         {TAPE: "a", COPYING: "w", READY: "x"}, Facts(free=200, moved=600)),
    Case("while nothing is under way claims count if something fits beside them", (Job("x", READY), *tape("ab")),
         Asked(), {STAGING: "a", TAPE: "b", READY: "x"}, Facts(free=200)),
    Case("claims of ready files do not count when nothing else fits and nothing is under way",
         (Job("x", READY), Job("a", TAPE, NEARLINE)), Asked(), {STAGING: "a", READY: "x"}, Facts(free=100)),
    Case("when nothing fits and nothing is under way the run ends and says what is needed",
         (Job("x", READY, size=300), Job("a", TAPE, NEARLINE, 300)), Asked(), {}, Facts(free=200),
         raised="DiskError: /data has 200.0 B free, but 600.0 B are still needed; make room, and the same command"),
    Case("so it does when only ready files are left", Job(place=READY, size=300), Asked(), {}, Facts(free=200),
         raised="DiskError"),
    Case("it waits for those that are tried again", (Job("x", LATE, due=9), Job("a", TAPE, NEARLINE, 300)), Asked(),
         {TAPE: "a", LATE: "x"}, Facts(free=200)),
    Case("and for those that are looked for", (Job("x", LOOKING), Job("a", TAPE, NEARLINE, 300)), Asked(),
         {TAPE: "a", LOOKING: "x"}, Facts(free=200)),
    Case("it waits for a ready file that fits", (Job("x", READY, size=200), Job("a", TAPE, NEARLINE, 300)), Asked(),
         {TAPE: "a", READY: "x"}, Facts(free=200)),
    Case("it waits for one that is to be compared",
         (Job("x", READY, here=SAME, adopt=True), Job("a", TAPE, NEARLINE, 300)), Asked(), {TAPE: "a", READY: "x"},
         Facts(free=200)),
    Case("it waits for one of which enough is here", Job(place=READY, size=300, kept=200), Asked(), Then(READY),
         Facts(free=200)),
    Case("it waits for what is under way", (Job("x", STAGING, NEARLINE, request="r1"), Job("a", TAPE, NEARLINE, 300)),
         Asked(), {TAPE: "a", STAGING: "x"}, Facts(free=200, moved=DAY)),
    Case("nothing is asked, and nothing amiss, when nothing is on tape or ready", (), Asked(),
         {"requested": [], "did": False}, Facts(free=0)),
]

GATHERING = [
    Case("a few of many wait for more while something is under way", (Job("x", COPYING), *tape("ab")), Asked(),
         {TAPE: "ab", COPYING: "x"}, Facts(free=200, moved=599)),
    Case("for ten minutes at the most", (Job("x", COPYING), *tape("ab")), Asked(),
         {STAGING: "a", TAPE: "b", COPYING: "x"}, Facts(free=200, moved=600)),
    Case("since something moved or was asked for", (Job("x", COPYING), *tape("ab")), Asked(),
         {TAPE: "ab", COPYING: "x", "did": False}, Facts(free=200, moved=DAY, asked=1)),
    Case("since the later of the two", (Job("x", COPYING), *tape("ab")), Asked(), {TAPE: "ab", COPYING: "x"},
         Facts(free=200, moved=1, asked=DAY)),
    Case("all there are do not wait", (Job("x", COPYING), *tape("ab")), Asked(), {STAGING: "ab", COPYING: "x"}),
    Case("one that can never fit makes none wait", (Job("x", COPYING), Job("a", TAPE, NEARLINE, 999), *tape("b")),
         Asked(), {TAPE: "a", STAGING: "b", COPYING: "x"}, Facts(free=500)),
    Case("nor does as much as fills a request", (Job("x", COPYING), *tape("abc")), Asked(most=2),
         {STAGING: "ab", TAPE: "c", COPYING: "x"}, Facts(free=300)),
    Case("nor do a few when nothing is under way", tape("ab"), Asked(), {STAGING: "a", TAPE: "b"}, Facts(free=100)),
]

WAITS = Job(place=STAGING, locality=NEARLINE, request="r1", asked=1)
BROKEN = "a: could not be brought online: tape is broken"
STUCK = "a: stuck on the way from tape since {}; the site's pools may be full"
POLLING = [
    Case("a file that is on its way is waited for", WAITS, Polled({"r1": "waiting"}), Then(STAGING)),
    Case("its request is asked again a second later", WAITS, Polled({"r1": "waiting"}), {STAGING: "a", "next": 1.2}),
    Case("not before it is due", WAITS, Polled({"r1": "waiting"}), {STAGING: "a", "polled": [], "did": False},
         Facts(dues={"r1": 1})),
    Case("a file that was brought is ready", WAITS._replace(now=ONLINE), Polled({"r1": "brought"}), Then(READY)),
    Case("it stays pinned until it is copied", WAITS._replace(now=ONLINE), Polled({"r1": "brought"}),
         {READY: "a", "held": "a", "released": []}),
    Case("that something has moved is noted", WAITS._replace(now=ONLINE), Polled({"r1": "brought"}),
         {READY: "a", "moved": 0}, Facts(moved=HOUR)),
    Case("what has not come is no movement", WAITS, Polled({"r1": "brought"}), {TAPE: "a", "moved": HOUR},
         Facts(moved=HOUR)),
    Case("a file that is on disk is ready, whatever the request says", WAITS._replace(now=ONLINE),
         Polled({"r1": "broken"}), Then(READY)),
    Case("of several requests that hold a file the one that is at work counts", WAITS._replace(request="r1 r2"),
         Polled({"r1": "brought", "r2": "waiting"}), {STAGING: "a", "polled": ["r1", "r2"]}),
    Case("each request is asked that is due", (WAITS, WAITS._replace(path="b", request="r2")),
         Polled({"r1": "waiting", "r2": "waiting"}), {STAGING: "ab", "polled": ["r1", "r2"], "did": True}),
    Case("those that are due for longest are asked first", (WAITS, WAITS._replace(path="b", request="r2")),
         Polled({"r1": "waiting", "r2": "waiting"}), {STAGING: "ab", "polled": ["r2", "r1"]},
         Facts(dues={"r1": 0, "r2": -1})),
    # How often: a fifth more by chance.
    Case("a new request is asked every second", (), Timed(0), {"pause": 1.2}),
    Case("or by chance sooner", (), Timed(0), {"pause": 0.8}, Facts(is_short=True)),
    Case("an older one after a twentieth of its age", (), Timed(100), {"pause": 6}),
    Case("every five minutes at the least", (), Timed(DAY), {"pause": 360}),
    Case("many requests are asked ten times a second together", (), Timed(0, of=100), {"pause": 12}),
    Case("however many there are", (), Timed(0, of=100_000), {"pause": 12_000}),
]

RE_ASKING = [
    Case("a file may be asked for ten times", ON_TAPE._replace(asked=9), Placed(), Then(TAPE)),
    Case("then it is given up for good", ON_TAPE._replace(asked=10), Placed(), GIVEN_UP, said=TEN_TIMES),
    Case("the tenth request is waited for", ON_TAPE._replace(asked=10, request="r1"), Placed(), Then(STAGING)),
    Case("the missing tape service counts before ten requests", ON_TAPE._replace(asked=10), Placed(), Then(LEFT),
         Facts(has_tape=False), said=NO_TAPE),
    Case("a file that could not be brought is asked for again, without a word", WAITS, Polled({"r1": "broken"}),
         Then(TAPE)),
    Case("it has no pin to be given back", WAITS, Polled({"r1": "broken"}), {TAPE: "a", "held": "", "released": []}),
    Case("the second time it is given up for good", WAITS._replace(asked=2), Polled({"r1": "broken"}), GIVEN_UP,
         said=BROKEN),
    Case("a request of an earlier run does not count", WAITS._replace(asked=0), Polled({"r1": "broken"}), Then(TAPE)),
    Case("a file that was brought and is not there is asked for again, as often as ten times", WAITS._replace(asked=9),
         Polled({"r1": "brought"}), Then(TAPE)),
    Case("then it is given up", WAITS._replace(asked=10), Polled({"r1": "brought"}), GIVEN_UP, said=TEN_TIMES),
    Case("its pin is given back before", WAITS, Polled({"r1": "brought"}), {TAPE: "a", "released": ["r1 a"]}),
    Case("a request that the site has forgotten is made anew", WAITS, Polled({"r1": "unknown"}), Then(TAPE)),
    Case("nothing of it is given back", WAITS, Polled({"r1": "unknown"}), {TAPE: "a", "released": []}),
    Case("what it has brought is ready", WAITS._replace(now=ONLINE), Polled({"r1": "unknown"}), Then(READY)),
    Case("a file that was brought and is out of reach is looked for once more", WAITS._replace(now=OFFLINE),
         Polled({"r1": "brought"}), SOON),
    Case("so it is however often it was asked for, and failed before",
         WAITS._replace(now=OFFLINE, asked=2, error="a: failed"), Polled({"r1": "brought"}), SOON),
]

REFUSED = [
    # What the service refuses.
    Case("a request that is refused is tried with half of the files, and the one it is for is left for now",
         tape("abcd"), Asked({"c": "failing"}),
         {STAGING: "abd", LEFT: "c", "requested": ["abcd", "ab", "cd", "c", "d"], "final": ""},
         said="c: cannot be requested: a: fails"),
    Case("a service that refuses all files has them left for now", tape("ab"), Asked({"a": "failing", "b": "failing"}),
         {LEFT: "ab", "final": ""}, said=("a: a: fails for good", "b: a: fails for good")),
    Case("after three of many it is the service", tape("abcdefgh"), Asked(dict.fromkeys("abcdefgh", "failing")),
         {LEFT: "abcdefgh", "requested": ["abcdefgh", "abcd", "ab", "a", "b", "cd", "c"]},
         said=tuple(f"{letter}: a: fails for good" for letter in "abcdefgh")),
    Case("unless it has taken one", tape("abcdefgh"), Asked(dict.fromkeys("bcdefgh", "failing")),
         {STAGING: "a", LEFT: "bcdefgh"}, said=tuple(f"{letter}: cannot be requested: a: " for letter in "bcdefgh")),
    Case("a refusal that may pass is for another try", tape("ab"), Asked({"a": "passing"}), {TAPE: "ab", "times": 0},
         raised="FileError"),
    Case("a failure of the door is for another try, whatever it is", tape("ab"), Asked({"a": "shut"}),
         {TAPE: "ab", "passing": True}, raised="DoorError"),
    Case("they keep their turn", (*tape("a"), Job("b", TAPE, NEARLINE, 999), *tape("c")), Asked({"a": "door"}),
         {TAPE: "acb"}, Facts(free=250), raised="DoorError"),
    Case("what was asked for before the failure is waited for", tape("abc"), Asked({"c": "door"}, most=2),
         {STAGING: "ab", TAPE: "c"}, raised="DoorError"),
    # A site that does not tell.
    Case("a refusal to tell is the first of three", WAITS, Polled({"r1": "failing"}), Then(STAGING),
         raised="FileError"),
    Case("so is the second", WAITS, Polled({"r1": "failing"}), Then(STAGING), Facts(denials={"r1": 1}),
         raised="FileError"),
    Case("after the third in a row the request is forgotten", WAITS, Polled({"r1": "failing"}), Then(TAPE),
         Facts(denials={"r1": 2})),
    Case("its pins are given back, as far as the site lets us", WAITS, Polled({"r1": "failing"}),
         {TAPE: "a", "released": ["r1 a"]}, Facts(denials={"r1": 2})),
    Case("in the catalog too", WAITS, Polled({"r1": "failing"}), {TAPE: "a", "held": ""}, Facts(denials={"r1": 2})),
    Case("a file that was asked for twice is given up then", WAITS._replace(asked=2), Polled({"r1": "failing"}),
         GIVEN_UP, Facts(denials={"r1": 2}), said="a: a: fails for good"),
    Case("an answer in between begins anew", WAITS, Polled({"r1": "waiting"}), {STAGING: "a", "denials": 0},
         Facts(denials={"r1": 2})),
    Case("a failure that may pass is no refusal", WAITS, Polled({"r1": "passing"}), {STAGING: "a", "denials": 2},
         Facts(denials={"r1": 2}), raised="FileError"),
    Case("nor is one of the door", WAITS, Polled({"r1": "shut"}), {STAGING: "a", "denials": 2},
         Facts(denials={"r1": 2}), raised="DoorError"),
    Case("after a failure of one the others are asked, as it is this request's alone",
         (WAITS, WAITS._replace(path="b", request="r2")), Polled({"r1": "passing", "r2": "waiting"}),
         {STAGING: "ab", "polled": ["r1", "r2"], "next": 15}, raised="FileError"),
    Case("after a failure of the door they are not", (WAITS, WAITS._replace(path="b", request="r2")),
         Polled({"r1": "door", "r2": "waiting"}), {STAGING: "ab", "polled": ["r1"]}, raised="DoorError"),
    Case("it is one of the door, though another request was told before",
         (WAITS, WAITS._replace(path="b", request="r2")), Polled({"r1": "waiting", "r2": "door"}),
         {STAGING: "ab", "polled": ["r1", "r2"]}, raised="DoorError"),
    Case("what the user knows of it is not told again for that", (WAITS, WAITS._replace(path="b", request="r2")),
         Polled({"r1": "waiting", "r2": "door"}, times=3),
         {STAGING: "ab", "polled": ["r1", "r2"] * 3, "notes": 1}, Facts(dues={"r1": -1}), raised="DoorError"),
]

STUCK_TAPE = [
    Case("what has not moved for a day is given up for good", WAITS, Polled({"r1": "waiting"}), GIVEN_UP,
         Facts(moved=DAY + 1, ages={"r1": DAY + 1}), said=STUCK.format(moment_text(TODAY - DAY - 1))),
    Case("not after a day exactly", WAITS, Polled({"r1": "waiting"}), Then(STAGING),
         Facts(moved=DAY, ages={"r1": DAY})),
    Case("not while others come", WAITS, Polled({"r1": "waiting"}), Then(STAGING), Facts(ages={"r1": 9 * DAY})),
    Case("not before its request is a day old", WAITS, Polled({"r1": "waiting"}), Then(STAGING), Facts(moved=9 * DAY)),
    Case("it is so if the site can not be asked, too", WAITS, Polled({"r1": "door"}), GIVEN_UP,
         Facts(moved=DAY + 1, ages={"r1": DAY + 1}), said=STUCK.format(moment_text(TODAY - DAY - 1))),
    Case("a file that has just come keeps the others",
         (WAITS._replace(now=ONLINE), WAITS._replace(path="b", request="r2")),
         Polled({"r1": "brought", "r2": "waiting"}), {READY: "a", STAGING: "b"},
         Facts(moved=DAY + 1, ages={"r1": DAY + 1, "r2": DAY + 1})),
]

LISTING = [
    Case("what is under way or late keeps its place, all else is placed anew",
         (Job("a", COPYING), Job("b", LATE, due=99), Job("c", READY), *tape("d"), Job("e", READY, NEARLINE),
          Job("f", STAGING, NEARLINE, request="r1"), Job("g", STAGING, request="r1"), Job("h", LEFT, reason=KEPT),
          Job("i", LEFT, final={}, reason="i: bad"), Job("j")), Listed(),
         {COPYING: "a", LATE: "b", READY: "cghj", TAPE: "de", STAGING: "f", LEFT: "i", "files": 9, "bytes": 900}),
    Case("what has come here meanwhile is compared, wherever the site has it", (*many("a", TAPE, NEARLINE, here=SAME),
         Job("b", STAGING, NEARLINE, request="r1", here=SAME)), Listed(), {READY: "ab"}),
    Case("what is no more at the site is of no place, but what is under way comes to its end",
         tuple(Job(letter, place, is_listed=False) for letter, place in zip("abcdef", EACH)),
         Listed(), {COPYING: "a", GONE: "bcdef"}),
    Case("so does what pauses, or the site is being asked about",
         tuple(Job(letter, place, is_listed=False) for letter, place in zip("abc", (PAUSED, LOOKING, ORDERED))),
         Listed(), {PAUSED: "a", LOOKING: "b", ORDERED: "c"}),
    Case("a copy that was taken away in the first place is fetched again", Job(downloaded=True), Listed(is_first=True),
         {READY: "a", "files": 1}),
    Case("one that is taken away later is not", Job(downloaded=True), Listed(), Then(DONE)),
    Case("another local file in its place is kept", Job(downloaded=True, here=OTHER),
         Listed(is_first=True), {LEFT: "a"}, said=KEPT),
    Case("--overwrite begins with all that was copied",
         (Job("a", here=SAME, downloaded=True), Job("b", locality=NEARLINE, here=SAME, downloaded=True)),
         Listed(is_first=True), {READY: "a", TAPE: "b"}, OVER),
    Case("it does not fetch it again later", COPIED, Listed(), Then(DONE), OVER),
    Case("pins of what is here are given back from the first, and it counts as skipped",
         (COPIED._replace(request="r1"), COPIED._replace(path="b"), Job("c", request="r1")), Listed(is_first=True),
         {DONE: "ab", READY: "c", "pinned": "a", "skipped": 2, "files": 1}),
    Case("no more than once", COPIED._replace(request="r1"), Listed(), {"pinned": ""}),
    Case("where files are is asked when the listing does not say it", Job(locality=UNKNOWN, now=NEARLINE), Listed(),
         Then(TAPE)),
    Case("when it can not be asked, the listing counts all the same",
         (Job("a", locality=UNKNOWN, failures=1), Job("b")), Listed(fault="door"), {LATE: "a", READY: "b"},
         raised="DoorError"),
    Case("without a tape service what is not said is on disk", Job(locality=UNKNOWN), Listed(), Then(READY),
         Facts(has_tape=False)),
]

BLIND = [
    Case("the next listing is in an hour", (), Listed(), {"pause": HOUR, "blind": None}),
    Case("after half a minute, if a folder could not be listed for a while", (), Listed({"f": "passing"}),
         {"pause": 30, "blind": 0}, said="a: fails"),
    Case("then less and less often", (), Listed({"f": "passing"}, {"f": "passing"}, 300, 3),
         {"pause": 240, "blind": 300}),
    Case("for an hour, then as all others", (), Listed({"f": "passing"}, {"f": "passing"}, HOUR + 1, 9),
         {"pause": HOUR, "blind": HOUR + 1}),
    Case("a folder that will not be listed is told, and not waited for", (), Listed({"f": "failing"}),
         {"pause": HOUR, "blind": None}, said="a: fails for good"),
    Case("one that may be listed is enough to list again", (), Listed({"f": "failing", "g": "passing"}),
         {"pause": 30, "blind": 0}, said=("a: fails for good", "a: fails")),
    Case("another reason is told", (), Listed({"f": "passing"}, {"f": "failing"}), {"pause": 30}, said="a: fails"),
    Case("when all can be listed again, the next time begins anew", (), Listed({}, {"f": "passing"}, 300, 3),
         {"pause": HOUR, "blind": None}),
    Case("the run goes on while a folder may be listed soon", (), Goes(blind=HOUR - 1), {"goes": True}),
    Case("for an hour", (), Goes(blind=HOUR + 1), {"goes": False}),
]

CHORES = [
    Case("what was done is due again after its pause", (), Called("done"), {"pause": 1, "failures": 0}),
    Case("what fails is tried again after 15 seconds", (), Called("door"), {"pause": 15, "until": 15, "failures": 1},
         said="the door fails; next try in 0m15s, then less often"),
    Case("or by chance sooner", (), Called("door"), {"pause": 7.5}, Facts(is_short=True), said="the door fails"),
    Case("as if it never had, if it has worked since", (), Called("door", 0, DAY + 1, 0), {"pause": 15, "failures": 1},
         said="the door fails"),
    Case("the second time after 30", (), Called("door", 1, 20, 0, ("the door fails",)), {"pause": 30, "failures": 2}),
    Case("after ten minutes at the most", (), Called("door", 6, 900, 0, ("the door fails",)),
         {"pause": 600, "failures": 7}),
    Case("the sentence is told once, another one too", (), Called("passing", 1, 20, 0, ("the door fails",)),
         {"pause": 30, "failures": 2, "noted": 2}, said="a: fails; next try in 0m30s"),
    Case("that it works ends the count, and what was told may be told again", (),
         Called("done", 3, 99, 0, ("the door fails",)), {"pause": 1, "failures": 0, "noted": 0}),
    Case("that there was nothing to do does not", (), Called("idle", 3, 99, 0, ("the door fails",)),
         {"pause": 1, "failures": 3, "noted": 1}),
    Case("a chore that did not fail makes no others do so", (),
         Called("done", noted=("another chore fails",), others=1), {"noted": 1}),
    Case("that one chore works again does not make others tell their failures again", (),
         Called("done", 1, 9, 0, ("another chore fails",), others=1), {"noted": 1}),
    Case("a refusal is waited for as a failure of the door is", (), Called("failing"), {"pause": 15, "failures": 1},
         said="a: fails for good; next try"),
    Case("a door that will not come back ends the run", (), Called("shut"), {}, raised="DoorError"),
    Case("what fails for a day ends the run", (), Called("door", 99, DAY + 1), {}, raised="DoorError"),
    Case("not before", (), Called("door", 9, DAY, HOUR, ("the door fails",)), {"pause": 600, "failures": 10}),
    Case("a refusal for a day ends the run too", (), Called("failing", 99, DAY + 1), {}, raised="FileError"),
    Case("a day begins anew after an hour without failure", (), Called("door", 9, DAY + 1, HOUR + 1),
         {"pause": 15, "failures": 1}, said="the door fails; next try in 0m15s"),
    Case("a full disk ends the run", (), Called("full"), {}, raised="DiskError"),
    Case("a failure for which a proxy has ended ends the run", (), Called("door"), {}, Facts(has_proxy=False),
         raised="CredentialError"),
    # Pins.
    Case("pins of what is here are given back every five seconds", Job(downloaded=True, request="r1"), Released(),
         {"pause": 5, "pinned": "", "released": ["r1 a"], "did": True}),
    Case("after twice as long when that fails", Job(downloaded=True, request="r1"), Released("door"),
         {"pause": 10, "pinned": "a"}),
    Case("then after ten minutes at the most", Job(downloaded=True, request="r1"), Released("passing", 6),
         {"pause": 600, "pinned": "a"}),
    Case("pins that are refused are tried in halves, and then held for none", many("ab", downloaded=True, request="r1"),
         Released("failing"), {"pause": 5, "pinned": "", "released": ["r1 ab", "r1 a", "r1 b"]}),
    Case("what fails for a while is not", many("ab", downloaded=True, request="r1"), Released("passing"),
         {"pause": 10, "pinned": "ab", "released": ["r1 ab"]}),
    Case("as often as before when it works again", Job(downloaded=True, request="r1"), Released(failures=6),
         {"pause": 5, "pinned": ""}),
    Case("a file that is still to come is held no more, too", Job(place=LATE, request="r1"), Released(),
         {LATE: "a", "released": ["r1 a"], "held": "", "requests": [""]}),
    Case("a request that has ended holds no pin", Job(downloaded=True, request="r1"), Released("unknown"),
         {"pause": 5, "pinned": ""}),
    Case("nor does one that knows nothing of the file", Job(downloaded=True, request="r1"), Released("failing"),
         {"pause": 5, "pinned": ""}),
    Case("one that may be forbidden for a while is tried again", Job(downloaded=True, request="r1"),
         Released("refused"), {"pause": 10, "pinned": "a"}),
    # The end.
    *(Case(f"the run goes on while a file is {place}", Job(place=place, request="r1"), Goes(), {"goes": True})
      for place in (READY, COPYING, PAUSED, LOOKING, TAPE, ORDERED, STAGING, LATE)),
    Case("the line says how many files are where", tuple(Job(place[:2], place, request="r1") for place in
         (READY, COPYING, PAUSED, LOOKING, TAPE, ORDERED, STAGING, LATE, LEFT)), Goes(),
         {"line": "Tape: 2 waiting, 1 staging at 0.0 B/s; disk: 2 to copy, 2 copying, 1 to try again"}),
    Case("it does a chore that is due", Job(place=LATE), Goes(), {"chores": 1}),
    Case("not one that is due later", Job(place=LATE), Goes(due=1), {"chores": 0}),
    Case("it ends when all others are given up", Job(place=LEFT), Goes(), {"goes": False}),
]

TRYING = [
    Case("a call that fails is made again at once, as a kept connection may just have died", (), Tried("passing"),
         {"pause": 0, "failures": 1}),
    Case("then after two seconds", (), Tried("passing", 1), {"pause": 2, "failures": 2}),
    Case("after a minute at the most", (), Tried("door", 9, retries=10), {"pause": 60}),
    Case("as often as RETRIES says", (), Tried("passing", 5), {"pause": None}),
    Case("what will not pass is not tried again", (), Tried("failing"), {"pause": None}),
    Case("failures do not count when enough has come since", (), Tried("passing", 5, had=9, here=9 + (64 << 10)),
         {"pause": 0, "failures": 1}),
    Case("a proxy that may just be renewed is waited for once", (), Tried("renewed"), {"pause": 0}),
    Case("and no more", (), Tried("renewed", 1), {"pause": None}),
    Case("so is a pool, for which all of its files wait together", (), Tried("pool", 1), {"pause": None}),
    Case("whom the door holds back has not failed", (), Tried("held", 5), {"pause": 0, "failures": 5}),
    Case("for two minutes", (), Tried("held", 5, age=120), {"pause": None}),
]

TABLES = {
    "placing": PLACING, "giving up for good and for now": GIVING_UP, "landing": LANDING, "eviction": EVICTION,
    "waking": WAKING, "stale localities": STALE, "feeding": FEEDING, "waves that fit the room": WAVES,
    "gathering": GATHERING, "polling": POLLING, "re-asking": RE_ASKING, "refused requests": REFUSED,
    "stuck tape": STUCK_TAPE, "listing": LISTING, "blind folders": BLIND, "chores": CHORES, "trying": TRYING,
}  # fmt: skip
