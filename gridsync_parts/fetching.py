"""Files on their way here: what each event means for them, and which come next."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

from gridsync_parts.disk import LocalFile
from gridsync_parts.errors import FileError, Forbidden
from gridsync_parts.jobs import Aim, Facts, Job, Jobs, Next, Where, next_fetch, next_landed, next_online
from gridsync_parts.loop import Again
from gridsync_parts.pace import Pace, Tries
from gridsync_parts.plans import copy_action, is_same_file, subject_of, without_request
from gridsync_parts.values import OWED, Action, Locality, Outcome, Row, Wishes, place_row, with_error

DEPTH = 1000  # files that wait in front of the threads at the most,
AHEAD = 1 << 30  # and bytes of them


class Goal(Protocol):
    """Where files are to go: OUTPUTDIR, or another site."""

    @property
    def folder(self) -> str: ...  # as users call it

    def find(self, row: Row) -> LocalFile | None:
        """What is there under a file's name."""

    def begun(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Those of the files of which something is there."""

    def free(self) -> int:
        """Bytes that it can still take."""

    def missing(self, row: Row) -> int:
        """How many bytes of a file are still to come."""


class Work(NamedTuple):
    """One attempt at a file, for a thread."""

    row: Row
    is_here: bool  # a local file may be it
    until: float  # no attempt begins later, as the file may be on tape again
    tries: Tries
    retries: int
    pace: Pace
    places: int = 1  # files that may be under way; one that waits for another attempt takes the place of one


class Ledger:
    """What is to be noted in the catalog and told to the user, in the order in which it came."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.outcomes: list[Outcome] = []  # that count
        self.failed: list[Again] = []  # attempts that others follow
        self.left: list[Row] = []  # files that were given up
        self.errors: list[str] = []
        self.notes: list[str] = []
        self.remarks: list[str] = []  # for the log alone
        self.unpinned: list[tuple[str, str]] = []  # files, and requests that hold them no longer
        self.is_refused = False  # the door has refused a file
        self.is_durable = False  # it has to outlive a power failure

    def is_new(self) -> bool:
        """Whether there is anything in it."""
        files = self.rows or self.outcomes or self.failed or self.left
        return bool(files or self.errors or self.notes or self.remarks or self.unpinned)


class Fetch:
    """The files that a command wants, and what has come of them."""

    def __init__(self, aim: Aim, pace: Pace, target: Goal, wishes: Wishes):
        self.aim = aim
        self.pace = pace
        self.target = target
        self.wishes = wishes
        self.jobs = Jobs()
        self.ledger = Ledger()
        self.has_tape = True  # the site has a tape service
        self.pins: dict[str, Row] = {}  # files that are here, or no longer wanted, and still pinned
        self.is_waiting = False  # for files whose pools fail, and the user knows it
        self.beyond = 0, 0  # files that are still to join in, and their bytes

    def facts(self, row: Row) -> Facts:
        """What is known of a file here."""
        overwrites = self.wishes.overwrite and not row.downloaded and row.path not in self.jobs.came
        action = copy_action(row, self.target.find(row), overwrites, self.wishes.force)
        return Facts(action, overwrites, self.has_tape)

    def beside(self) -> str:
        """What else the line of progress counts."""
        return ""

    def place(self, job: Job, now: float, is_first: bool = False) -> None:
        """Put a file where it belongs now; perhaps before the others."""
        if self.aim.copies:
            found = next_fetch(job, self.facts(job.row), self.aim, self.pace, now)
        else:
            found = next_online(job, self.aim)
        self.take(job, found._replace(is_first=True) if is_first else found)

    def plan(self, plan: dict[Action, list[Row]], now: float) -> None:
        """Take in files for which it was decided just now what to do; with those that are here there is nothing."""
        planned = self.jobs.planned
        for action, rows in plan.items():
            facts = Facts(action, self.wishes.overwrite, self.has_tape)
            if action in (Action.ADOPT, Action.COPY) and not self.aim.is_patient:
                planned.add(rows, now)
                planned.compared.update(row.path for row in rows if action is Action.ADOPT)
                continue
            for row in rows if action is not Action.SKIP else ():
                job = self.jobs.add(row)
                job.seen = now
                self.take(job, next_fetch(job, facts, self.aim, self.pace, now))

    def take(self, job: Job, found: Next) -> None:
        """Do what is next with a file."""
        job.is_here, job.due, job.trouble = found.is_here, found.due, found.trouble or job.trouble
        if found.where is Where.LEFT:
            self.give_up(job, found.reason, found.is_final)
        elif found.reason:
            self.ledger.remarks.append(f"{found.reason}; trying again later")
        self.jobs.move(job, found.where, found.is_first)

    def give_up(self, job: Job, reason: str, is_final: bool) -> None:
        """Leave a file for another run and say why, but once; a listing gives it another chance if it is not final."""
        if is_final:
            job.final = job.row
        if job.reason != reason and reason not in self.jobs.said and not self.aim.is_silent:
            self.ledger.errors.append(reason)
            is_shared = self.aim.by_record and reason.startswith(f"{subject_of(job.row, True)}:")
            self.jobs.said.update([reason] if is_shared else ())
        is_new, job.reason = job.reason != reason, reason
        self.change(job, with_error(job.row, reason))
        self.ledger.left += [job.row] if is_new else []

    def note_once(self, sentence: str) -> None:
        """Tell of a record what is so of all of its files."""
        if sentence not in self.jobs.said:
            self.jobs.said.add(sentence)
            self.ledger.notes.append(sentence)

    def change(self, job: Job, row: Row) -> None:
        """Note a new row of a file."""
        if row != job.row:
            self.jobs.change(job, row)
            self.ledger.rows.append(row)

    def look_at(self, row: Row, locality: Locality, now: float) -> None:
        """Take in where a file of a run that only looks is; most need no job, as nothing more is to be done."""
        if locality is not row.locality:
            row = place_row(row, locality)
            self.ledger.rows.append(row)
        if self.aim.polls and row.locality is not Locality.ONLINE:
            self.place(self.jobs.add(row), now)

    def reread(self, rows: list[Row]) -> None:
        """Take in files that are here, to be read again."""
        self.jobs.planned.add(rows, math.inf)

    def expect(self, rows: Iterable[Row], now: float) -> list[Row]:
        """Take in the files of a listing: new ones join in, and those that are gone leave; those to be looked for."""
        paths = set()
        unknown = []
        for row in rows:
            paths.add(row.path)
            known = self.jobs.by_path.get(row.path)
            is_same = known is not None and known.row == row
            job = known if known and is_same else self.jobs.add(row)
            if job.where in (Where.COPYING, Where.PAUSED, Where.LATE, Where.LOOKING, Where.ORDERED):
                continue
            is_unsaid = self.has_tape and row.locality is Locality.UNKNOWN
            stays = job.where in (Where.TAPE, Where.STAGING) and (is_same or is_unsaid)  # its request will tell
            if is_unsaid and job.where is not Where.STAGING:
                unknown.append(row)
            elif not stays or self.target.find(row):
                job.seen = now
                self.place(job, now)
        self.jobs.gone = self.jobs.by_path.keys() - paths
        for job in [self.jobs.by_path[path] for path in self.jobs.gone]:
            if job.where not in (Where.COPYING, Where.PAUSED, Where.LOOKING, Where.ORDERED):
                self.jobs.move(job, None)
        return unknown

    def feed(self, now: float) -> list[Work]:
        """Attempts at files that are on disk, as long as the local disk can hold them; and those that are due again."""
        has = self.jobs.fed
        work = [self.attempt(job, now) for job in list(self.jobs.at(Where.PAUSED)) if now >= job.due]
        ready = self.jobs.places[Where.READY]
        self.jobs.make_ready(has.threads + has.depth)
        paused = self.jobs.count(Where.PAUSED)  # who waits for another attempt takes a place,
        depth = 0 if paused else has.depth  # and none waits in front of those who may fail, too
        pending, ahead = has.pending + len(work) + paused, has.ahead + len(work)
        coming = self.jobs.size(Where.COPYING, Where.PAUSED) - has.here
        room = math.inf
        if ready and self.aim.is_patient:
            room = max(0, self.target.free() - coming)  # on a full disk, too, a file that is here needs none
        for _ in range(len(ready)):
            job = next(iter(ready.values()))
            is_full = ahead >= depth or (ahead >= has.threads and coming > AHEAD)
            if (pending >= has.threads and is_full) or not self.is_fresh(job, now):
                break
            if self.aim.copies and now - job.seen > self.pace.here:  # a local file may have come meanwhile
                self.place(job, now, is_first=True)
                if job.where is not Where.READY:
                    continue
            needed = 0 if job.is_here else job.row.size
            if needed > room and (needed := self.target.missing(job.row)) > room:
                ready.move_to_end(job.row.path)  # behind the others, which may be smaller
                continue
            room, coming = room - needed, coming + needed
            pending, ahead = pending + 1, ahead + 1
            work.append(self.attempt(job, now))
        return work

    def until(self, job: Job) -> float:
        """Until when a file that was on disk may be taken to be there still."""
        return math.inf if job.is_here or self.wishes.force else job.seen + self.pace.fresh

    def is_fresh(self, job: Job, now: float) -> bool:
        """Whether it may be taken to be there still."""
        return now <= self.until(job)

    def attempt(self, job: Job, now: float) -> Work:
        """The next attempt at a file."""
        if job.tries is None:
            job.tries = Tries(now)
        self.jobs.move(job, Where.COPYING)
        until, retries, places = self.until(job), self.aim.retries, self.jobs.fed.threads
        return Work(job.row, job.is_here, until, job.tries, retries, self.pace, places)

    def pause(self, again: Again, now: float) -> None:
        """An attempt has failed, and another one follows."""
        if job := self.jobs.by_path.get(again.row.path):
            job.tries, job.due = again.tries, now + again.pause
            self.jobs.move(job, Where.PAUSED)
        self.ledger.failed.append(again)

    def land(self, outcome: Outcome, now: float) -> None:
        """Take in what became of a file."""
        job = self.jobs.by_path.get(outcome.row.path) or self.jobs.add(outcome.row)
        if not outcome.is_put_back() and not self.is_as_planned(job, outcome):
            fault = FileError(f"{outcome.row.path}: changed at the site while it was being copied", passing=True)
            outcome = Outcome(with_error(job.row, str(fault)), "failed", outcome.received, fault)
        if self.aim.owes and outcome.is_here():
            outcome = outcome._replace(row=outcome.row._replace(error=OWED))  # until it has run
        self.ledger.outcomes.append(outcome)
        if not outcome.is_put_back() and outcome.done != "interrupted":
            job.tries = None
            self.ledger.is_refused = self.ledger.is_refused or isinstance(outcome.fault, Forbidden)
            self.change(job, outcome.row)
        found = next_landed(job, outcome, self.aim, self.pace, now)
        if outcome.is_put_back() and outcome.row.path in self.jobs.gone:
            found = Next(None)
        if outcome.is_here() and self.aim.copies:
            self.ledger.is_durable = True  # before its pin goes
            if self.wishes.overwrite:
                self.jobs.came.add(outcome.row.path)
            if outcome.row.request:
                self.pins[outcome.row.path] = outcome.row
        self.take(job, found)

    def is_as_planned(self, job: Job, outcome: Outcome) -> bool:
        """Whether what came is of the version of the file that is wanted now."""
        return is_same_file(job.row, outcome.row)

    def awake(self, now: float) -> list[Job]:
        """Files whose turn comes again, of which the site is to be asked where they are now.

        A run that does not wait for more takes them up itself, once all others are done.
        """
        late = list(self.jobs.at(Where.LATE))
        if self.aim.is_patient:
            return [job for job in late if now >= job.due]
        if late and not self.is_busy():
            if not self.is_waiting:
                self.ledger.notes.append(f"{len(late)} file(s) will be tried again soon: {late[0].row.error}")
            self.is_waiting = now < late[0].due  # all come back with it, or each would be told of by itself
            for job in () if self.is_waiting else late:
                self.place(job, now)
        return []

    def is_busy(self) -> bool:
        """Whether files are on their way."""
        places = (Where.READY, Where.COPYING, Where.PAUSED, Where.LOOKING)
        return self.jobs.count(*places) > 0 or bool(self.jobs.planned.rows)

    def unpin(self, rows: Iterable[Row], request: str) -> None:
        """A request holds some files no longer."""
        for row in rows:
            self.ledger.unpinned.append((row.path, request))
            if job := self.jobs.by_path.get(row.path):
                self.jobs.change(job, without_request(job.row, request))
            if pinned := self.pins.pop(row.path, None):
                pinned = without_request(pinned, request)
                self.pins.update({row.path: pinned} if pinned.request else {})
