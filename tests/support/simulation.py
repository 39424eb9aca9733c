"""Whole runs of --sync in virtual time: the program as it is, but for the threads, the site and the disk.

A week takes as long as what the program itself does in it. The site has a robot that brings files from tape, pins that
end, and faults at moments that a test wants; the pool gives each item to one of its virtual threads, and the clock goes
on to the moment when something comes that the main thread wants to know.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import random
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable, NamedTuple
from unittest import mock

import gridsync
from gridsync_parts import errors
from gridsync_parts.catalog import Catalog
from gridsync_parts.copy import Copy
from gridsync_parts.disk import LocalFile
from gridsync_parts.doors import MAX_PATHS, MAX_QUERY, Listing, Place
from gridsync_parts.errors import DoorError, FileError, GridError, NotFound, OnTape, PoolError
from gridsync_parts.fetching import Work
from gridsync_parts.flow import Flow
from gridsync_parts.jobs import Where
from gridsync_parts.kinds import Can
from gridsync_parts.loop import WIDTHS, Again, Call, Loop
from gridsync_parts.mover import Mover
from gridsync_parts.orders import Order
from gridsync_parts.pace import DAY, HOUR, MINUTE, PACE, Pace
from gridsync_parts.pool import Stop
from gridsync_parts.settings import Config
from gridsync_parts.values import (
    Action,
    Entry,
    Locality,
    Outcome,
    Row,
    Staging,
    Wishes,
    place_row,
    sentence_about,
    why_left,
    with_error,
)
from tests.support.farm import Ill, SimFarLane

EPOCH = 1_800_000_000.0  # of the virtual clock's zero
GIB = 1 << 30
TOP = "agata"  # the folder that is fetched

SERVICE = ("door", "tape", "release", "credential")  # faults that hold up what is asked of the service
SILENT = 30.0  # seconds of a call to a door that is dead


class Clock:
    """Seconds that pass when something happens in them."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def time(self) -> float:
        """As time.time gives it."""
        return EPOCH + self.now

    def monotonic(self) -> float:
        """As time.monotonic gives it."""
        return self.now


class SimLane:
    """Virtual threads for one kind of items."""

    def __init__(self, pool: SimPool, name: str, work: Callable[[Any], Any], threads: int):
        self.pool = pool
        self.name = name
        self.work = work
        self.threads = threads
        self.pending = 0
        self.low = 0
        self.failure: BaseException | None = None
        self.todo: deque[Any] = deque()
        self.running = 0
        self.most = 0  # that were running at once
        self.done: list[list[Any]] = []

    def add(self, item: Any) -> None:
        """Give it one more item; it begins now, if a thread is free."""
        self.pending += 1
        self.todo.append(item)
        self.begin()

    def ahead(self) -> int:
        """How many items no thread has begun."""
        return len(self.todo)

    @property
    def width(self) -> int:
        """How many items may be under way."""
        return self.threads

    def busy(self) -> int:
        return self.threads

    def says(self) -> str:
        return ""

    def begin(self) -> None:
        """Have free threads begin."""
        while self.todo and self.running < self.threads:
            item = self.todo.popleft()
            self.running += 1
            self.most = max(self.most, self.running)
            self.pool.begin(self, item)

    def end(self, item: Any) -> None:
        """A thread is done with an item: what comes of it is made now."""
        self.running -= 1
        try:
            self.done.append([self.work(item)])
        except BaseException as error:
            self.done.append([])
            self.failure = self.failure or error
        self.begin()
        if self.failure or len(self.todo) < self.low or len(self.done) >= self.pending:
            self.pool.news.set()

    def stop(self, left: list[Any]) -> None:
        """End what is left of the items that its threads are at."""
        self.todo.clear()
        for item in left:
            self.end(item)

    def collect(self) -> list[Any]:
        """The results that have come."""
        came, self.done = self.done, []
        self.pending -= len(came)
        return list(itertools.chain.from_iterable(came))


class SimPool:
    """gridsync's Pool without threads: an item takes as many seconds as the world says."""

    def __init__(self, clock: Clock, seconds: Callable[[str, Any], float], longest: float = MINUTE):
        self.clock = clock
        self.seconds = seconds
        self.longest = longest  # that is waited for at once when nothing happens
        self.limit = float("inf")  # no run may last longer
        self.news = threading.Event()
        self.lanes: dict[str, SimLane | SimFarLane] = {}
        self.ends: list[tuple[float, int, SimLane | SimFarLane, Any]] = []
        self.numbers = itertools.count()
        self.most: Counter[str] = Counter()  # items of a lane that were under way at once
        self.idle = 0  # times, one after the other, that nothing came
        self.turns = 0
        self.spent = 0.0  # CPU seconds of the world

    def open(self, lane: str, work: Callable[[Any], Any], threads: int, *_: object) -> SimLane:
        """Have virtual threads for one kind of items."""
        opened = self.lanes[lane] = SimLane(self, lane, work, threads)
        return opened

    def hold(self, lane: str, far: SimFarLane) -> SimFarLane:
        """Have a lane of another kind among the others."""
        self.lanes[lane] = far
        return far

    def begin(self, lane: SimLane, item: Any) -> None:
        """A thread begins with an item."""
        self.most[lane.name] = max(self.most[lane.name], lane.most)
        self.plan(self.clock.now + self.seconds(lane.name, item), lane, item)

    def plan(self, at: float, lane: SimLane | SimFarLane, item: Any) -> None:
        """Something ends then."""
        heapq.heappush(self.ends, (at, next(self.numbers), lane, item))

    def add(self, lane: str, item: Any) -> None:
        """Give a lane one more item."""
        self.lanes[lane].add(item)

    def pending(self, lane: str) -> int:
        """How many items of a lane are under way, or wait."""
        return self.lanes[lane].pending if lane in self.lanes else 0

    def go_on(self, until: float) -> None:
        """Let time pass until there is news, or to some moment."""
        began = time.process_time()
        while not self.news.is_set() and self.ends and self.ends[0][0] <= until:
            self.clock.now, _, lane, item = heapq.heappop(self.ends)
            lane.end(item)
        if not self.news.is_set():
            self.clock.now = max(self.clock.now, until)
        self.news.clear()
        self.spent += time.process_time() - began

    def collect(self, seconds: float) -> list[tuple[str, list[Any]]]:
        """What has come of each lane; the longer nothing happens the longer is waited."""
        assert self.clock.now < self.limit, f"the run goes on for {self.clock.now / DAY:.1f} days"
        self.turns += 1
        self.go_on(self.clock.now + max(seconds, min(self.longest, seconds * 2.0 ** min(self.idle, 30))))
        came = [(name, some) for name, lane in self.lanes.items() if (some := lane.collect())]
        self.idle = 0 if came else self.idle + 1
        return came

    def check(self) -> None:
        """Raise what the work has failed with."""
        for lane in self.lanes.values():
            if lane.failure:
                raise lane.failure

    def settle(self, lane: str, seconds: float) -> list[Any]:
        """What comes of a lane until nothing more is to come."""
        came, ends = [], self.clock.now + seconds
        while self.pending(lane) and self.clock.now < ends:
            self.go_on(min(ends, self.ends[0][0] if self.ends else ends))
            came += self.lanes[lane].collect()
        return came

    def shut(self, name: str) -> list[Any]:
        """End the threads of a lane once they have done what they are at; what has come of it."""
        lane = self.lanes.pop(name)
        mine = sorted(end for end in self.ends if end[2] is lane)
        self.ends = [end for end in self.ends if end[2] is not lane]
        heapq.heapify(self.ends)
        lane.stop([item for _, _, _, item in mine])
        return lane.collect()

    def close(self) -> None:
        """Nothing runs."""


class Fault(NamedTuple):
    """Something that fails for a while."""

    kind: str  # door, tape, stage, release, pool, credential; forget: a moment in which requests are forgotten
    start: float
    seconds: float = 0.0
    share: float = 1.0  # of the files, where it is a matter of files
    passing: bool = True  # what is said of it


class Change(NamedTuple):
    """Something happens to a file at the site."""

    kind: str  # change, vanish, appear, or evict
    at: float
    number: int  # of the file


class World(NamedTuple):
    """What there is, and what goes wrong."""

    files: int = 20
    on_tape: float = 0.7  # share of the files
    folders: int = 3
    size: int = GIB  # of a file on average
    is_told: bool = True  # a listing says where files are
    has_tape: bool = True
    drives: int = 2
    tape_seconds: float = 60.0  # for a file,
    tape_rate: float = 300e6  # and bytes a second
    order: str = "fifo"  # in which the robot brings files: fifo, lifo or random
    call_seconds: float = 0.2  # that the service takes
    linger: float = HOUR  # that a file stays on disk at the site without a pin
    pin_days: int = 2
    rate: float = 100e6  # bytes a second of each copy
    threads: int = 4
    room: int = 1 << 60  # bytes of the local disk
    faults: tuple[Fault, ...] = ()
    changes: tuple[Change, ...] = ()
    broken: frozenset[int] = frozenset()  # files whose copies fail for ever
    damaged: frozenset[int] = frozenset()  # whose bytes are not those of the checksum
    unstaged: frozenset[int] = frozenset()  # that the robot can't read
    hung: frozenset[int] = frozenset()  # that it never comes to
    denied: frozenset[int] = frozenset()  # that the service does not take in a request
    workers: int = 0  # who copy, in place of threads,
    hands: int = 2  # of each,
    ills: tuple[Ill, ...] = ()  # and what befalls them
    seed: int = 0


NO_PINS: Mapping[str, float] = {}  # a dict for each of a million files would be dear


class SimFile:
    """A file at the site."""

    __slots__ = ("disk_until", "entry", "mtime", "number", "path", "pins", "queued", "size", "tape", "version")

    def __init__(self, number: int, path: str, size: int, tape: bool):
        self.number, self.path, self.size, self.tape = number, path, size, tape
        self.version, self.mtime = 1, 1_000_000
        self.disk_until = -1.0 if tape else float("inf")
        self.pins: Mapping[str, float] = NO_PINS  # until when, by request
        self.queued = False  # for the robot
        self.entry: Entry | None = None

    def checksum(self) -> str:
        """That of its bytes."""
        return f"adler32:{(self.number * 1000 + self.version) & 0xFFFFFFFF:08x}"

    def locality(self, now: float) -> Locality:
        """Where it is."""
        return Locality.ONLINE if now < self.disk_until else Locality.NEARLINE

    def pin(self, request: str, until: float, linger: float) -> None:
        """A request keeps it on disk until then."""
        self.pins = {**self.pins, request: until}
        if self.tape:
            self.disk_until = max(self.disk_until, until + linger)

    def unpin(self, request: str, until: float, linger: float) -> None:
        """A pin ends at some moment."""
        self.pins = {name: ends for name, ends in self.pins.items() if name != request} or NO_PINS
        last = max(self.pins.values(), default=until)
        if self.tape:
            self.disk_until = min(self.disk_until, max(last, until) + linger)


class SimRequest:
    """A staging request."""

    def __init__(self, began: float, days: int):
        self.began, self.days = began, days
        self.waiting: set[str] = set()
        self.failed: dict[str, str] = {}
        self.done: set[str] = set()
        self.is_forgotten = False


class SimSite:
    """The door and the tape service of a site."""

    def __init__(self, world: World, clock: Clock):
        self.world, self.clock = world, clock
        self.random = random.Random(world.seed)
        self.files: dict[str, SimFile] = {}
        self.folders: dict[str, dict[str, SimFile]] = {f"{TOP}/{number}": {} for number in range(world.folders)}
        self.requests: dict[str, SimRequest] = {}
        self.waiting: dict[str, list[str]] = defaultdict(list)  # requests for what the robot is to bring
        self.queue: deque[str] = deque()
        self.busy = 0  # drives
        self.agenda: list[tuple[float, int, Callable[[], None]]] = []
        self.numbers = itertools.count()
        self.span = DAY  # of a line in the table
        self.spans: dict[int, Counter[str]] = defaultdict(Counter)
        self.release_check: Callable[[str], None] = lambda path: None
        for number in range(world.files):
            self.create(number)
        for change in world.changes:
            self.plan(change.at, lambda change=change: self.change(change))
        for fault in world.faults:
            if fault.kind == "forget":
                self.plan(fault.start, self.forget)

    # The world goes on.

    def plan(self, at: float, act: Callable[[], None]) -> None:
        """Something is to happen."""
        heapq.heappush(self.agenda, (at, next(self.numbers), act))

    def catch_up(self) -> None:
        """All that was to happen by now."""
        now = self.clock.now
        while self.agenda and self.agenda[0][0] <= now:
            self.clock.now, _, act = heapq.heappop(self.agenda)
            act()
        self.clock.now = now

    def count(self, what: str, files: int = 1) -> None:
        """For the table."""
        self.spans[int(self.clock.now // self.span)][what] += files

    def create(self, number: int) -> None:
        """A file appears."""
        folder = f"{TOP}/{number % self.world.folders}"
        path = f"{folder}/{number:07d}"
        size = int(self.world.size * self.random.uniform(0.2, 1.8)) if number % 50 else 0
        file = SimFile(number, path, size, self.random.random() < self.world.on_tape)
        self.files[path] = self.folders[folder][path] = file

    def change(self, change: Change) -> None:
        """Something happens to a file."""
        if change.kind == "appear":
            self.create(self.world.files + change.number)
            return
        file = next((file for file in self.files.values() if file.number == change.number), None)
        if file is None:
            return
        if change.kind == "vanish":
            del self.files[file.path], self.folders[file.path.rpartition("/")[0]][file.path]
        elif change.kind == "evict" and file.tape:
            file.pins = NO_PINS
            file.disk_until = self.clock.now
        elif change.kind == "change":
            file.version += 1
            file.size += file.version % 2  # not every time
            file.mtime += 1000
            file.entry = None

    def forget(self) -> None:
        """The service loses what it knows of requests, and its pins with them."""
        for name, request in self.requests.items():
            request.is_forgotten = True
            for path in request.done:
                if (file := self.files.get(path)) and name in file.pins:
                    file.unpin(name, self.clock.now, self.world.linger)
            request.waiting.clear()
        self.waiting.clear()

    def is_on(self, kind: str, file: SimFile | None = None, since: float | None = None) -> Fault | None:
        """A fault that there is now, or was since some moment; of a file, if it concerns that."""
        now = self.clock.now
        since = now if since is None else since
        for fault in self.world.faults:
            is_now = fault.kind == kind and fault.start <= now and since < fault.start + fault.seconds
            if is_now and (file is None or (file.number * 7919 % 100) < fault.share * 100):
                return fault
        return None

    def fail(self, kind: str, what: str) -> None:
        """Raise a fault that there is now."""
        if self.is_on("credential"):
            raise errors.CredentialError("the door does not accept your token", passing=True)
        if self.is_on(kind):
            self.count("failures")
            raise DoorError(f"{what} fails", passing=True)

    # The robot.

    def turn(self) -> None:
        """Have free drives read the next files."""
        while self.queue and self.busy < self.world.drives:
            if self.world.order == "random":
                self.queue.rotate(self.random.randrange(len(self.queue)))
            path = self.queue.pop() if self.world.order == "lifo" else self.queue.popleft()
            file = self.files.get(path)
            if file is None or not self.waiting.get(path):
                if file:
                    file.queued = False
                continue
            if file.number in self.world.hung:
                continue
            self.busy += 1
            seconds = self.world.tape_seconds * self.random.uniform(0.5, 1.5) + file.size / self.world.tape_rate
            self.plan(self.clock.now + seconds, lambda path=path: self.brought(path))

    def brought(self, path: str) -> None:
        """A file is read from tape."""
        self.busy -= 1
        file, names = self.files.get(path), self.waiting.pop(path, [])
        if file:
            file.queued = False
            is_read = file.number not in self.world.unstaged
            if is_read:
                self.count("staged")
                file.disk_until = max(file.disk_until, self.clock.now + self.world.linger)
            for name in names:
                self.end(self.requests[name], name, file, is_read)
        self.turn()

    def end(self, request: SimRequest, name: str, file: SimFile, is_read: bool) -> None:
        """A request is done with a file, which it pins."""
        request.waiting.discard(file.path)
        if not is_read:
            request.failed[file.path] = "the tape cannot be read"
            return
        request.done.add(file.path)
        file.pin(name, self.clock.now + request.days * DAY, self.world.linger)

    # The verbs of a Place.

    def folder(self, path: str) -> Listing:
        """What is in a folder."""
        self.catch_up()
        self.count("listings")
        self.fail("door", "the door")
        listing, now = Listing(), self.clock.now
        if path == TOP:
            listing += [Entry(folder, True, 0, 0) for folder in self.folders]
            return listing
        for file in self.folders[path].values():
            locality = file.locality(now) if self.world.is_told else Locality.UNKNOWN
            entry = file.entry
            if entry is None or entry.locality is not locality:
                entry = file.entry = Entry(file.path, False, file.size, file.mtime, file.checksum(), locality)
            listing.append(entry)
        return listing

    def localities(self, paths: list[str], on_tape: Collection[str] = ()) -> dict[str, Locality]:
        """Where files are."""
        self.catch_up()
        self.count("looks")
        assert len(paths) <= MAX_QUERY or not self.world.has_tape
        self.fail("tape" if self.world.has_tape else "door", "the service")
        now, found = self.clock.now, {}
        for path in paths:
            if file := self.files.get(path):
                found[path] = Locality.OFFLINE if self.is_on("offline", file) else file.locality(now)
        return found

    def stage(self, paths: list[str], days: int) -> str:
        """Ask for files."""
        self.catch_up()
        self.count("requests")
        assert 0 < len(paths) <= MAX_PATHS
        self.fail("tape", "the service")
        if fault := self.is_on("stage"):
            self.count("failures")
            raise FileError("the service takes no requests", passing=fault.passing)
        if any((file := self.files.get(path)) and file.number in self.world.denied for path in paths):
            raise errors.Forbidden("the service refuses")
        name = f"request-{next(self.numbers)}"
        request = self.requests[name] = SimRequest(self.clock.now, days)
        self.count("asked", len(paths))
        for path in paths:
            file = self.files.get(path)
            if file is None:
                request.failed[path] = "there is no such file"
            elif file.locality(self.clock.now) is Locality.ONLINE:
                self.end(request, name, file, True)
            else:
                request.waiting.add(path)
                self.waiting[path].append(name)
                if not file.queued:
                    file.queued = True
                    self.queue.append(path)
        self.turn()
        return name

    def stagings(self, request: str, paths: list[str]) -> dict[str, Staging]:
        """How far a request is."""
        self.catch_up()
        self.count("polls")
        self.fail("tape", "the service")
        held = self.requests[request]
        if held.is_forgotten:
            raise NotFound(f"there is no request {request}")
        failed = held.failed
        return {path: Staging(path in held.done, failed.get(path, "")) for path in paths}

    def release(self, request: str, paths: list[str]) -> None:
        """Let go of files."""
        self.catch_up()
        self.count("releases")
        assert 0 < len(paths) <= MAX_PATHS
        self.fail("tape", "the service")
        if fault := self.is_on("release"):
            self.count("failures")
            raise errors.Forbidden("no pin is given back", passing=fault.passing)
        held = self.requests[request]
        if held.is_forgotten:
            raise NotFound(f"there is no request {request}")
        for path in paths:
            self.release_check(path)
            if request in self.waiting.get(path, ()):
                self.waiting[path].remove(request)
                held.waiting.discard(path)
            if file := self.files.get(path):
                file.unpin(request, self.clock.now, self.world.linger)

    def pins(self, file: SimFile) -> list[str]:
        """The requests that pin a file now."""
        return [name for name, until in file.pins.items() if until > self.clock.now]

    def place(self) -> Place:
        """The site, opened."""
        can = Can(("adler32",), self.world.has_tape, True)
        return Place(can, self, None, lambda: self if self.world.has_tape else None)  # type: ignore[arg-type]


class SimDisk:
    """The local disk, as a Target."""

    folder = "data"

    def __init__(self, room: int):
        self.room = room
        self.files: dict[str, LocalFile] = {}
        self.checksums: dict[str, str] = {}
        self.came: dict[str, float] = {}  # when each has come, where workers bring them
        self.flying: dict[str, int] = {}  # bytes of files that are on their way

    def find(self, row: Row) -> LocalFile | None:
        """What is here under a file's name."""
        return self.files.get(row.path)

    def begun(self, _rows: Iterable[Row]) -> Iterator[Row]:
        """Those of the files of which something is here: none."""
        return iter(())

    def free(self) -> int:
        """Bytes that can still be written: none of a full disk, on which lost workers may write more than it holds."""
        return max(0, self.room - sum(here for path, here in self.flying.items() if path not in self.files))

    def missing(self, row: Row) -> int:
        """How many bytes of a file are still to come."""
        return row.size

    def keep(self, row: Row, checksum: str) -> None:
        """A file has come."""
        self.room -= row.size
        self.files[row.path] = LocalFile(row.size, row.mtime, True)
        self.checksums[row.path] = row.checksum if checksum == row.checksum else checksum  # one text for both


class Begun(NamedTuple):
    """An attempt at a file, under way."""

    at: float
    version: int  # of the file


class SimCopier(Mover):
    """Brings files as Copier does, from the simulated site to the simulated disk."""

    def __init__(self, site: SimSite, disk: SimDisk, pace: Pace):
        super().__init__(site.place(), Stop())
        disk.flying = self.flying
        self.site, self.disk, self.pace = site, disk, pace
        self.begun: dict[str, Begun] = {}

    def begin(self, path: str) -> Begun:
        """An attempt begins now."""
        self.site.catch_up()
        file = self.site.files.get(path)
        return Begun(self.site.clock.now, file.version if file else 0)

    def seconds(self, work: Work) -> float:
        """How long an attempt takes, that begins now."""
        begun = self.begun[work.row.path] = self.begin(work.row.path)
        return 0.0 if begun.at > work.until else self.lasting(work.row, work.is_here)

    def lasting(self, row: Row, is_here: bool) -> float:
        """The seconds of a copy that begins now."""
        return SILENT if self.site.is_on("door") else 0.05 + (0 if is_here else row.size / self.site.world.rate)

    def bring(self, work: Work) -> Outcome | Again:
        """What came of an attempt, which ends now."""
        row = work.row
        self.site.catch_up()
        begun = self.begun.pop(row.path)
        if begun.at > work.until:
            return Outcome(row, "stale")
        if self.stop.is_set():
            return Outcome(row, "interrupted")
        try:
            return self.compare(row) if work.is_here else self.fetched(row, begun)
        except (FileError, DoorError) as error:
            return self.fail(work, error)

    def fail(self, work: Work, error: Exception) -> Outcome | Again:
        """What follows when an attempt has failed; what concerns all files is raised."""
        row, now = work.row, self.site.clock.now
        self.site.count("failures")
        if not isinstance(error, (FileError, DoorError)):
            raise error
        if error.passing and (pause := work.tries.pause(error, work.retries, self.pace, now)) is not None:
            return Again(row, work.tries.after(error, self.pace, now), pause, error)
        if isinstance(error, OnTape) and row.locality is not Locality.NEARLINE:
            return Outcome(place_row(row, Locality.NEARLINE), "waiting", fault=error)
        done = "late" if isinstance(error, PoolError) and error.passing else "failed"
        return Outcome(with_error(row, sentence_about(row, error)), done, fault=error)

    def fetched(self, row: Row, begun: Begun) -> Outcome:
        """A file that has come."""
        checksum = self.read(row, begun)
        self.disk.keep(row, checksum)
        if self.site.world.workers:
            self.disk.came[row.path] = self.site.clock.now
        self.site.count("landed")
        self.site.count("bytes", row.size)
        new = row._replace(checksum=row.checksum or checksum, downloaded=True, verified="adler32", error="")
        return Outcome(new, "copied", row.size)

    # For workers.

    def job(self, work: Work) -> Copy:
        """What an attempt is to do."""
        return Copy(work.row, self.disk.folder, is_here=work.is_here)

    def is_done(self, row: Row) -> bool:
        """Whether another worker has finished a file."""
        return self.disk.files.get(row.path) == LocalFile(row.size, row.mtime, True)

    def attempt(self, job: Copy, begun: Begun) -> Outcome:
        """What came of an attempt of a worker, which ends now; what may pass is raised."""
        self.site.catch_up()
        row = job.row
        if job.is_here:
            return self.compare(row)
        if row.path not in self.disk.files:
            return self.fetched(row, begun)
        if not self.is_done(row):
            raise FileError(f"{row.path} appeared in the meantime and is left alone; --overwrite replaces it")
        if begun.at < self.disk.came[row.path]:
            raise FileError(f"{row.path}: another worker has finished it", passing=True)
        return self.compare(row)._replace(done="copied")

    def compare(self, row: Row) -> Outcome:
        """Take a file that is here for the one of the catalog, if it is."""
        if self.disk.checksums[row.path] != row.checksum:
            return Outcome(with_error(row, why_left(row, Action.KEEP, False)), "failed")
        return Outcome(row._replace(downloaded=True, verified="adler32", error=""), "skipped")

    def read(self, row: Row, begun: Begun) -> str:
        """The checksum of the bytes that have come, or why none have."""
        site, path, (began, version) = self.site, row.path, begun
        file = site.files.get(path)
        assert path not in self.disk.files, f"{path}: is copied over what is here"
        if site.is_on("credential"):
            raise errors.CredentialError("the door does not accept your token", passing=True)
        if site.is_on("door", since=began):
            raise DoorError("the door cannot be reached", passing=True)
        if file is None:
            raise NotFound(f"{path}: there is no such file")
        if site.is_on("pool", file, began) or site.is_on("offline", file, began):
            raise PoolError(f"{path}: its pool is down", passing=True)
        if file.number in site.world.broken:
            raise FileError(f"{path}: cannot be read at the site")
        if file.locality(began) is not Locality.ONLINE and row.size:
            raise OnTape(f"{path}: is on tape")
        if file.version != version:
            raise errors.Changed(f"{path}: changed at the site while it was being copied", passing=True)
        if file.size != row.size:
            raise FileError(f"{path}: has another size now")
        if row.checksum != file.checksum() or file.number in site.world.damaged:
            raise errors.Mismatch(f"{path}: arrived damaged", passing=True)
        return file.checksum()


class Words(gridsync.Report):
    """What the user was told, and when."""

    def __init__(self, clock: Clock):
        super().__init__(quiet=True)
        self.clock = clock
        self.said: list[tuple[float, str]] = []

    def say(self, stream: object, text: str, colour: object = None) -> None:
        """Write it down."""
        self.said.append((self.clock.now, text))


class SimRun(gridsync.Run):
    """A run at the simulated site, whose catalog outlives it in memory."""

    def __init__(self, sim: Simulation):
        config = Config(str(sim.folder))
        config.change({
            "SITE": "LYON", "INPUTDIR": TOP, "THREADS": str(sim.world.threads),
            "PIN_DAYS": str(sim.world.pin_days), "OUTPUTDIR": "data",
        })  # fmt: skip
        super().__init__(config, Wishes(sync=True), sim.words)
        self.loop = Loop(4, sim.pace, sim.pool, sim.clock)  # type: ignore[arg-type]
        site = self.settings.site._replace(token="env:TOKEN")  # which nobody looks at
        self.settings = self.settings._replace(site=site)
        self.opened, self.loaded = sim.site.place(), sim.catalog
        self.sim = sim

    def target(self) -> Any:
        """The simulated disk."""
        return self.sim.disk

    def far_lane(self, worker: Any) -> SimFarLane | None:
        """Workers, if there are any."""
        self.sim.far = SimFarLane(self.sim, self.settings.site) if self.sim.world.workers else None
        return self.sim.far

    def copier(self, wishes: Wishes) -> Any:
        """What brings files there."""
        return self.sim.copier, None

    def folders(self) -> Any:
        """Those for the TAB key are none of this."""
        return SimpleNamespace(remember=lambda listed, found: None)


class Watched(Flow):
    """A flow that is looked at after each turn."""

    def show(self) -> None:
        """Nobody looks at the screen, but it must be drawn without a fault."""
        self.run.sim.look(self)  # type: ignore[attr-defined]


class Simulation:
    """One world, and what --sync does in it."""

    def __init__(self, folder: Path, world: World, pace: Pace = PACE, every: float = 0.0):
        self.folder, self.world, self.pace = folder, world, pace
        self.every = every  # seconds between two looks at all files; 0: at each turn in which something came
        self.clock = Clock()
        self.site = SimSite(world, self.clock)
        self.site.release_check = self.check_release
        self.disk = SimDisk(world.room)
        self.copier = SimCopier(self.site, self.disk, pace)
        self.pool = SimPool(self.clock, self.seconds)
        self.far: SimFarLane | None = None  # the workers, if there are any
        self.catalog = Catalog(str(folder), is_frozen=True)
        self.words = Words(self.clock)
        self.due = 0.0
        self.sign_at = 0.0  # something has moved, or was told
        self.signs: Any = None
        self.pinned: dict[str, float] = {}  # what is here and still pinned, and since when the service was well
        self.last: dict[int, dict[str, int]] = {}  # how many files were where at the end of each line of the table

    def seconds(self, lane: str, item: Any) -> float:
        """How long an item takes."""
        if lane == "files":
            return self.copier.seconds(item)
        call: Call = item
        is_dead = self.site.is_on("door") or (lane == "site" and self.site.is_on("tape"))
        rows = len(call.about.rows) if isinstance(call.about, Order) else 0
        return SILENT if is_dead else self.world.call_seconds + rows * 0.001

    @contextlib.contextmanager
    def patched(self) -> Iterator[None]:
        """The program in this world."""
        (self.folder / "data").mkdir(exist_ok=True)
        (self.folder / "data/mounted").touch()
        chance = random.Random(self.world.seed)
        with contextlib.ExitStack() as stack:
            for place, value in {
                "gridsync_parts.flow.Flow": Watched,
                "gridsync_parts.mover.time": self.clock,
                "gridsync_parts.polls.time": self.clock,
                "gridsync_parts.pace.random": chance,
            }.items():
                stack.enter_context(mock.patch(place, value))
            yield

    def sync(self, days: float) -> int:
        """The status of a run that may last so many days."""
        self.pool.limit = self.clock.now + days * DAY
        self.pool.lanes.clear()
        self.pool.ends.clear()
        self.copier.stop.clear()
        self.copier.flying.clear()
        self.far = None
        self.sign_at = self.clock.now
        self.pinned.clear()
        with self.patched():
            try:
                return gridsync.do_sync(SimRun(self))
            except GridError as error:
                self.words.error(error)
                return error.status

    def note(self, span: int, flow: Flow) -> None:
        """How things are, for the table."""
        self.last[span] = {where.name: len(flow.fetch.jobs.places[where]) for where in Where}

    # What must always hold.

    def look(self, flow: Flow) -> None:
        """After a turn."""
        now, jobs = self.clock.now, flow.fetch.jobs
        if flow.fetch.aim.copies:
            self.note(int(now // self.site.span), flow)
        signs = len(self.words.said), [len(jobs.places[where]) for where in Where]
        if signs != self.signs:
            self.signs, self.sign_at = signs, now
        assert now - self.sign_at < DAY + 2 * HOUR, "nothing moves, and nothing was told"
        if now < self.due or (self.pool.idle and not self.every):
            return
        self.due = now + self.every
        self.check_jobs(flow)
        self.check_catalog(flow)
        self.check_lanes()
        if self.far:
            self.far.check(flow)
        if flow.fetch.aim.copies:
            self.check_pins()

    def check_jobs(self, flow: Flow) -> None:
        """Each file is in one place, and every index says the same."""
        jobs = flow.fetch.jobs
        count, staging = 0, 0
        for where, there in jobs.places.items():
            count += len(there)
            size = 0
            for path, job in there.items():
                assert jobs.by_path.get(path) is job and job.where is where and job.row.path == path, (path, where)
                size += job.row.size
            assert size == jobs.sizes[where], where
        assert count == len(jobs.by_path), "a file is in two places, or in none"
        for request, held in jobs.staging.items():
            assert held, request
            staging += len(held)
            for path, job in held.items():
                assert job.where is Where.STAGING and job.row.request == request and jobs.by_path[path] is job, path
        assert staging == len(jobs.places[Where.STAGING])

    def check_catalog(self, flow: Flow) -> None:
        """The catalog knows of each file what its job knows."""
        if flow.fetch.ledger.is_new():  # it is about to be told
            return
        rows = self.catalog.by_path("LYON")
        away = (Where.COPYING, Where.PAUSED, Where.LOOKING, Where.ORDERED)
        for path, job in flow.fetch.jobs.by_path.items():
            assert rows.get(path) == job.row or (path not in rows and job.where in away), (job.row, rows.get(path))

    def check_lanes(self) -> None:
        """No more calls and copies at once than allowed."""
        most = {**WIDTHS, "files": self.world.threads}
        assert all(count <= most[lane] for lane, count in self.pool.most.items()), self.pool.most
        assert self.pool.pending("site") <= 1

    def check_pins(self) -> None:
        """What is here is let go of soon, unless the service has trouble."""
        now, site = self.clock.now, self.site
        faults = [fault for fault in self.world.faults if fault.start <= now and fault.kind in SERVICE]
        last = max((fault.start + fault.seconds for fault in faults), default=0.0)
        for path in self.disk.files:
            if (file := site.files.get(path)) and site.pins(file):
                since = max(self.pinned.setdefault(path, now), last)
                if now - since < HOUR + self.every:
                    continue
                is_known = self.catalog.by_path("LYON")[path].downloaded  # else a worker died before it told of it
                assert not is_known, f"{path}: is here since {now - since:.0f} s, and still pinned"
                self.pinned[path] = now
            else:
                self.pinned.pop(path, None)

    def check_release(self, path: str) -> None:
        """What is here is let go of once that is noted."""
        if path in self.disk.files:
            assert self.catalog.by_path("LYON")[path].downloaded, path

    def check_end(self, status: int) -> None:
        """After a run: every file is here and right, or the catalog has the reason; and no pin is forgotten."""
        rows, site = self.catalog.by_path("LYON"), self.site
        for path, row in rows.items():
            if row.downloaded:
                here = self.disk.files[path]
                assert (here.size, here.mtime) == (row.size, row.mtime), path
                assert self.disk.checksums[path] == row.checksum, path
            elif status in (0, 1):
                assert row.error, f"{path}: is not here, and nobody says why"
                assert status == 1, path
        for path, file in site.files.items():
            for request in site.pins(file):
                row = rows.get(path)
                assert row and request in row.request.split(), f"{path}: is pinned by {request}, which is forgotten"
                assert not row.downloaded or status != 0, f"{path}: is here and pinned"

    # What happened.

    def table(self) -> str:
        """A line for each day."""
        heads = "day landed GiB staged asked requests polls looks releases listings failures".split()
        places = ("TAPE", "STAGING", "READY", "COPYING", "LATE", "LEFT")
        lines = [heads + [place.lower() for place in places]]
        for day in sorted({*self.site.spans, *self.last}):
            counts, there = self.site.spans[day], self.last.get(day, {})
            cells = [day, counts["landed"], counts["bytes"] // GIB, *(counts[head] for head in heads[3:])]
            lines.append([str(cell) for cell in [*cells, *(there.get(place, 0) for place in places)]])
        return "\n".join(" ".join(cell.rjust(9) for cell in line) for line in lines)


