"""Deposits on their way to a repository: a few at a time, and what has come of each."""

from __future__ import annotations

from collections import deque
from typing import Any, Callable

from gridsync_parts.attempts import Recorded
from gridsync_parts.case import DISK, Case
from gridsync_parts.course import Course, fail
from gridsync_parts.deposits import Deposits
from gridsync_parts.doors import Listing
from gridsync_parts.errors import DoorError, FileError, Forbidden, GridError, UsageError
from gridsync_parts.intents import DRAFT, PUBLISHED
from gridsync_parts.jobs import Job, Next, Where
from gridsync_parts.loop import Answer
from gridsync_parts.runs import Runs
from gridsync_parts.sending import Sending
from gridsync_parts.service import Service
from gridsync_parts.survey import Survey
from gridsync_parts.values import Outcome
from gridsync_parts.walk import DOORS_SHUT
from gridsync_parts.words import size_text

STATUS = {"published": "ok", "draft": "ok", "interrupted": "failed"}  # in the stats file, by what came of a deposit
OPEN = 4  # deposits on their way at once: what a run leaves unfinished is to be little


def done_text(case: Case) -> str:
    """The line about a record that is there."""
    count, size = len(case.files), case.size()
    what = {PUBLISHED: "is published", DRAFT: "is a draft", "skipped": "was published before"}[case.state]
    return f"{case.deposit.name}: {what}: {case.draft.id}, {count} files, {size_text(size)}: {case.draft.page}"


class Depositing(Sending):
    """The files of deposits, and which of these are complete."""

    cases: dict[str, Case] = {}  # by the paths of their files at the site
    counted: Callable[[], str] | None = None  # says how many of the deposits are done

    def beside(self) -> str:
        """What else the line of progress counts."""
        return self.counted() if self.counted else ""

    def take(self, job: Job, found: Next) -> None:
        """Do what is next with a file; one that is there, or is given up, is no more waited for."""
        super().take(job, found)
        if found.where in (None, Where.LEFT) and (case := self.cases.pop(job.row.path, None)):
            case.load.waiting.discard(job.row.path)
            if found.where is None:
                case.load.sums[job.row.path] = job.row.checksum
            else:
                case.load.lost.append(job.row.path)

    def land(self, outcome: Outcome, now: float) -> None:
        """Take in what became of a file."""
        if case := self.cases.get(outcome.row.path):
            case.load.moved += outcome.received
        super().land(outcome, now)

    def expect_case(self, case: Case, listing: Listing, now: float) -> None:
        """Take in the files of a deposit whose draft is there."""
        files = [(local, case.target(name)) for name, local in case.files.items()]
        case.load.waiting = {target for _, target in files}
        self.cases = {**self.cases, **dict.fromkeys(case.load.waiting, case)}
        self.count_in(case)
        self.putter.fresh |= case.load.waiting - {entry.path for entry in listing}
        before = len(self.ledger.outcomes)
        self.plan_folder(files, listing, now)
        for outcome in self.ledger.outcomes[before:]:  # what is there
            self.cases.pop(outcome.row.path, None)
            case.load.waiting.discard(outcome.row.path)
            case.load.sums[outcome.row.path] = outcome.row.checksum

    def count_in(self, case: Case) -> None:
        """Count the files of a deposit as they are sent, and no more as they lie here."""
        deposit, files = case.deposit, case.files
        count, size = len(files) - len(deposit.files), case.size() - deposit.size()
        self.beyond, case.load.has_joined = (self.beyond[0] + count, self.beyond[1] + size), True

    def count_out(self, case: Case) -> None:
        """Expect the files of a deposit no more."""
        if not case.load.has_joined:
            deposit, case.load.has_joined = case.deposit, True
            self.beyond = self.beyond[0] - len(deposit.files), self.beyond[1] - deposit.size()

    def skip_case(self, case: Case) -> None:
        """Count the files of a record that was published before."""
        for name, local in case.files.items():
            row = local.row(case.target(name), self.site)
            row = row._replace(checksum=case.load.sums.get(name, ""), verified="md5", downloaded=True)
            self.ledger.outcomes.append(Outcome(row, "skipped"))


class Drafting(Survey):
    """The deposits of a run."""

    def __init__(self, run: Runs, service: Service, sending: Depositing, deposits: Deposits, course: Course):
        super().__init__(run, service)
        self.sending = sending
        self.course = course
        self.todo = deque(deposits.found)
        self.count = len(deposits.found)
        self.open: list[Case] = []
        self.done: list[Case] = []
        self.sending.beyond = deposits.files(), deposits.size()
        course.plan = lambda case, listing: sending.expect_case(case, listing, run.loop.clock())
        course.note = lambda sentence: sending.ledger.notes.append(sentence)
        sending.counted = self.progress_text

    def progress_text(self) -> str:
        """How many records there are, and which zips are being built."""
        done = sum(case.state != "failed" for case in self.done)
        return f"{done}/{self.count} records{self.course.zips_text()}"

    def is_open(self, now: float) -> bool:
        """Whether deposits are still on their way, or to come."""
        return bool(self.todo or self.open)

    def is_waited_for(self) -> bool:
        """Whether the site is to be asked nothing else just now."""
        return False

    def give(self, is_asked: bool, now: float) -> bool:
        """Begin with deposits, and go on with those whose files are there."""
        while self.todo and len(self.open) < min(OPEN, self.run.settings.threads):
            case = Case(self.todo.popleft())
            case.asking = self.course.go(case)
            self.open.append(case)
            self.step(case)
        for case in [case for case in self.open if case.load.is_sending and not case.load.waiting]:
            case.load.is_sending = False
            self.step(case)
        return False

    def take(self, answer: Answer, now: float) -> None:
        """Take in what came of a step; what is wrong with Grid.conf concerns all deposits."""
        if isinstance(answer.error, UsageError):
            raise answer.error
        if not answer.error:
            self.trouble = self.trouble._replace(failures=0)
        self.step(answer.about, answer.value, answer.error)

    def step(self, case: Case, value: Any = None, error: GridError | None = None) -> None:
        """Make the next step of a deposit."""
        assert case.asking
        try:
            ask = case.asking.throw(error) if error else case.asking.send(value)
        except StopIteration:
            self.end_case(case)
        except (FileError, DoorError, UsageError) as fault:
            self.refuse(case, fault)
        else:
            case.load.is_sending = ask is None
            if ask:
                self.run.loop.ask(ask.lane, case, ask.verb, *ask.arguments)

    def refuse(self, case: Case, error: GridError) -> None:
        """Leave a deposit; when it is the door, or nothing may be made there, nothing can be deposited."""
        failures = self.trouble.failures + 1 if isinstance(error, DoorError) else 0
        self.trouble = self.trouble._replace(failures=failures)
        sentence = fail(case, self.course, error)
        is_barred = isinstance(error, Forbidden) and case.row and not case.row.record  # it takes no drafts at all
        if failures >= min(DOORS_SHUT, self.count) or is_barred:
            self.close_case(case)
            if case.draft.id:
                error.args = (sentence,)
            raise error
        self.sending.ledger.errors.append(sentence)
        self.close_case(case)

    def end_case(self, case: Case) -> None:
        """Take in that a deposit is a record now, or was one."""
        if case.state == "skipped":
            self.sending.skip_case(case)
        self.close_case(case)
        self.run.report.line(done_text(case))

    def tell_stats(self, case: Case) -> None:
        """Tell the stats file what has come of a deposit."""
        if stats := self.run.stats:
            files = list(case.files.values()) or case.deposit.files
            size, status = sum(local.size for local in files), STATUS.get(case.state, case.state)
            key = case.draft.id or case.deposit.name
            zip_used = bool(case.meant.zip)
            stats.add_record(Recorded(key, status, case.error, case.began, case.load.moved, size, len(files), zip_used))

    def close_case(self, case: Case) -> None:
        """Have done with a deposit."""
        self.tell_stats(case)
        self.open.remove(case)
        if case.meant.zip:
            self.course.room.free(case.meant.zip)  # others may wait for its place
        self.done.append(case)
        self.sending.count_out(case)

    def cases(self) -> list[Case]:
        """All that have begun."""
        return self.done + self.open

    def close(self) -> None:
        """End what is under way."""
        self.course.stop.set()
        self.run.loop.pool.shut(DISK)
        for case in self.open:
            case.state, case.error = case.state or "interrupted", case.error or "interrupted"
            self.tell_stats(case)
        for path in list(self.course.room.held):
            self.course.room.free(path)

    def show(self) -> None:
        """It has no line of its own."""
