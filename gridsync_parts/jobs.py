"""Files still to come: where each is, and what is next with it, as a pure function of facts."""

from __future__ import annotations

import enum
from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import NamedTuple

from gridsync_parts.doors import MAX_PATHS, NO_TAPE
from gridsync_parts.errors import BadName, Mismatch, OnTape
from gridsync_parts.pace import Pace, Tries, Trouble
from gridsync_parts.plans import is_refused, is_same_file, plan_wave
from gridsync_parts.values import Action, Outcome, Row, why_left

ENOUGH = 10  # times that a file is asked for
REFUSALS = 3  # answers in a row that a request is not for us, after which it is forgotten


class Where(enum.Enum):
    """Where a file is that is still to come."""

    READY = "on disk at the site"
    COPYING = "on its way here, or in front of those that are"
    PAUSED = "between two attempts to copy it"
    TAPE = "on tape, to be asked for"
    STAGING = "asked for"
    LOOKING = "the site is being asked where"
    ORDERED = "the site is being asked to bring it"
    LATE = "has failed, and is tried again later"
    LEFT = "given up"

    __hash__ = object.__hash__  # that of enum.Enum takes a call in Python


class Aim(NamedTuple):
    """What a command wants."""

    copies: bool = False  # files are to come here,
    stages: bool = False  # and from tape to disk at the site before;
    polls: bool = False  # requests are asked how far they are,
    waits: bool = False  # until they are done
    is_patient: bool = False  # what fails is tried for a day, and what is new at the site joins in
    enough: int = ENOUGH  # times that a file is asked for
    retries: int = 0  # of a call that fails
    is_silent: bool = False  # nothing is told of files that are given up
    by_record: bool = False  # files on tape are asked for a record at a time
    owes: bool = False  # ON_DONE is to run for each file that comes


class Facts(NamedTuple):
    """What is known where a file is placed, besides the file itself."""

    action: Action  # what its row, the local file and the wishes call for
    overwrites: bool = False
    has_tape: bool = True


class Job:
    """A file still to come."""

    __slots__ = ("asked", "due", "final", "is_here", "reason", "row", "seen", "tries", "trouble", "where")

    def __init__(self, row: Row):
        self.row = row
        self.where: Where | None = None
        self.is_here = False  # a local file may be it, and is to be compared
        self.due = 0.0  # when it is tried again
        self.seen = 0.0  # when the site has last said that it is on disk
        self.tries: Tries | None = None  # to copy it
        self.trouble = Trouble()
        self.asked = 0  # how often it was asked for
        self.reason = ""  # why it was given up, as the user knows
        self.final: Row | None = None  # given up until it changes at the site, else two would keep each other going


class Next(NamedTuple):
    """What is next with a file."""

    where: Where | None  # None: it is here
    reason: str = ""  # why it failed, or is given up
    is_final: bool = False  # it is given up until it changes at the site
    is_here: bool = False
    due: float = 0.0
    trouble: Trouble | None = None
    is_first: bool = False  # it goes before the others


def next_failed(job: Job, reason: str, passing: bool, aim: Aim, pace: Pace, now: float) -> Next:
    """After a failure: again later, for a day if it may get better, else once, as the site may have moved the file."""
    if not aim.is_patient:
        return Next(Where.LEFT, reason)
    trouble = job.trouble.after(pace.file, now, pace.well if passing else float("inf"))
    if trouble.is_over(pace.file, now) or (job.trouble.is_lasting and not passing):
        return Next(Where.LEFT, reason, is_final=True)
    trouble = trouble._replace(is_lasting=not passing)
    return Next(Where.LATE, reason, due=trouble.until, trouble=trouble)


def next_fetch(job: Job, facts: Facts, aim: Aim, pace: Pace, now: float) -> Next:
    """Where a file belongs now."""
    row, action = job.row, facts.action
    if job.final and is_same_file(job.final, row) and job.final.locality is row.locality:
        return Next(Where.LEFT, job.reason, is_final=True)
    if action is Action.SKIP:
        return Next(None)
    if action in (Action.ADOPT, Action.COPY):
        return Next(Where.READY, is_here=action is Action.ADOPT)
    if action is not Action.WAIT:
        reason = why_left(row, action, facts.overwrites)
        if action in (Action.LOST, Action.UNSURE) and job.reason != reason and aim.is_patient:
            return next_failed(job, reason, False, aim, pace, now)
        return Next(Where.LEFT, reason)
    if row.request:
        return Next(Where.STAGING)
    if aim.stages and not facts.has_tape:
        return Next(Where.LEFT, f"{row.path}: is {NO_TAPE}")
    if job.asked >= aim.enough:
        sentence = f"was requested {aim.enough} times and is on tape only again; ask the site"
        return Next(Where.LEFT, f"{row.path}: {sentence}", is_final=True)
    return Next(Where.TAPE)


def next_online(job: Job, aim: Aim) -> Next:
    """Where a file belongs that is only to be on disk at the site, or is only looked after."""
    row = job.row
    if aim.polls and row.is_staging():
        return Next(Where.STAGING)
    if aim.polls and is_refused(row):
        return Next(Where.LEFT, row.error)
    is_wanted = aim.stages and not row.request and row.size and not row.downloaded
    return Next(Where.TAPE if is_wanted and job.asked < aim.enough else None)


def next_landed(job: Job, outcome: Outcome, aim: Aim, pace: Pace, now: float) -> Next:
    """What is next with a file that was to come here, after what became of it."""
    row, fault = outcome.row, outcome.fault
    reason = row.error or str(fault)
    if outcome.is_here():
        return Next(None)
    if outcome.is_put_back():
        return Next(Where.READY, is_here=job.is_here, is_first=True)
    if outcome.done == "interrupted":
        return Next(Where.LATE)
    if outcome.done == "waiting" and not aim.stages:
        return Next(Where.STAGING if row.request else Where.TAPE)
    if fault is None or isinstance(fault, (Mismatch, BadName)):
        return Next(Where.LEFT, reason, is_final=True)
    if outcome.done == "late" and not aim.is_patient and job.trouble.failures < aim.retries:
        trouble = job.trouble.after(pace.pool, now)
        return Next(Where.LATE, reason, due=trouble.until, trouble=trouble)
    is_evicted = isinstance(fault, OnTape)
    found = next_failed(job, reason, fault.passing or is_evicted, aim, pace, now)
    if is_evicted and found.trouble and found.trouble.failures == 1:
        return found._replace(due=0.0)  # it is to be staged again at once
    return found


def plan_ask(tape: list[Row], room: int, free: int, busy_for: float | None, gather: float) -> list[Row]:
    """The files to ask a tape for: as many as the disk can hold besides what is on its way, which has room for so much.

    While others are on their way, for so long since the last of them has moved, a small wave may grow for a while; when
    none is, what the disk can hold at all is asked for.
    """
    wave = plan_wave(tape, room)
    if busy_for is None:
        return wave or plan_wave(tape, free)
    fit = sum(row.size <= free for row in tape)  # no others can join in
    return wave if len(wave) >= min(fit, MAX_PATHS) or busy_for >= gather else []


class Fed(NamedTuple):
    """What the threads have of the files."""

    pending: int = 0  # files of which nothing has come back yet,
    ahead: int = 0  # those of them that none has begun,
    here: int = 0  # and bytes of them that are here
    threads: int = 1
    depth: int = 1  # files that may wait in front of them

    def is_short(self) -> bool:
        """Whether they will soon have nothing to do; few files in front of a few threads may wait for long there."""
        return self.pending < self.threads or 2 * self.threads < 2 * self.ahead < self.depth


class Planned:
    """Files that are on disk at the site, in front of those that are given to threads: many, and none has a job yet."""

    def __init__(self) -> None:
        self.rows: deque[Row] = deque()
        self.size = 0  # bytes of them
        self.compared: set[str] = set()  # those that may be here
        self.seen = 0.0  # when the site has said that they are on disk

    def add(self, rows: list[Row], seen: float) -> None:
        """Some more of them."""
        self.rows.extend(rows)
        self.size += sum(row.size for row in rows)
        self.seen = seen


class Jobs:
    """The files still to come, each in one place."""

    def __init__(self) -> None:
        self.by_path: dict[str, Job] = {}
        self.places: dict[Where, OrderedDict[str, Job]] = {where: OrderedDict() for where in Where}
        self.sizes = dict.fromkeys(Where, 0)  # bytes of the files in each
        self.gone: set[str] = set()  # files that the last listing did not have
        self.came: set[str] = set()  # files that were overwritten, and are not to be so again
        self.said: set[str] = set()  # what was told of records, and is so of all of their files
        self.staging: dict[str, dict[str, Job]] = {}  # those asked for, by the requests that hold them
        self.fed = Fed()
        self.planned = Planned()

    def add(self, row: Row) -> Job:
        """The job of a file, with the row as it is now; it may have no place yet."""
        job = self.by_path.get(row.path)
        if job is None:
            job = self.by_path[row.path] = Job(row)
        else:
            self.change(job, row)
        return job

    def change(self, job: Job, row: Row) -> None:
        """Take a new row of a file."""
        where = job.where
        if where is Where.STAGING and row.request != job.row.request:
            self.move(job, None)
            job.row = row
            self.by_path[row.path] = job
            self.move(job, where)
            return
        if where:
            self.sizes[where] += row.size - job.row.size
        job.row = row

    def move(self, job: Job, where: Where | None, is_first: bool = False) -> None:
        """Put a file where it belongs; nowhere, if it is here now or no longer at the site."""
        row, before = job.row, job.where
        path, size = row.path, row.size
        if before:
            del self.places[before][path]
            self.sizes[before] -= size
            if before is Where.STAGING:
                held = self.staging[row.request]
                del held[path]
                if not held:
                    del self.staging[row.request]
        job.where = where
        if where is None:
            self.by_path.pop(path, None)
            return
        self.places[where][path] = job
        self.sizes[where] += size
        if where is Where.STAGING:
            self.staging.setdefault(row.request, {})[path] = job
        if is_first:
            self.places[where].move_to_end(path, last=False)

    def size_of(self, path: str) -> int:
        """How many bytes a file still to come has."""
        job = self.by_path.get(path)
        return job.row.size if job else 0

    def make_ready(self, count: int) -> None:
        """Have so many files ready, as far as there are planned ones."""
        planned, ready = self.planned, self.places[Where.READY]
        while planned.rows and len(ready) < count:
            row = planned.rows.popleft()
            planned.size -= row.size
            job = self.add(row)
            job.seen, job.is_here = planned.seen, row.path in planned.compared
            self.move(job, Where.READY)

    def at(self, *places: Where) -> Iterator[Job]:
        """Those in some places."""
        for where in places:
            yield from self.places[where].values()

    def count(self, *places: Where) -> int:
        """How many those are."""
        return sum(len(self.places[where]) for where in places)

    def size(self, *places: Where) -> int:
        """How many bytes they have."""
        return sum(self.sizes[where] for where in places)
