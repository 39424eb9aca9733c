"""Every rule of what comes next with a file: the table of tests/support/rules.py, played with a clock of its own."""

from __future__ import annotations

import math
import random
import threading
import time
from collections import deque
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, Callable

import pytest

import gridsync
from gridsync_parts import endings
from gridsync_parts.bringing import Bringing, todo_of
from gridsync_parts.catalog import Catalog
from gridsync_parts.chores import Chore, Told
from gridsync_parts.doors import Place
from gridsync_parts.errors import GridError, drop_frames
from gridsync_parts.fetching import Work
from gridsync_parts.flow import START, SYNC, Flow
from gridsync_parts.jobs import Fed, Where, next_failed
from gridsync_parts.jobs import Job as Coming
from gridsync_parts.kinds import Can
from gridsync_parts.log import nothing
from gridsync_parts.loop import Again, Answer, Came
from gridsync_parts.orders import Order, What, ask
from gridsync_parts.pace import PACE, Tries, Trouble
from gridsync_parts.polls import Request
from gridsync_parts.screen import Progress
from gridsync_parts.values import Action, Entry, Outcome, Row, Scope, Staging, Wishes, place_row, with_error
from gridsync_parts.walk import Walk
from tests.support import rules, rules_once
from tests.support.clock import Clock
from tests.support.constants import replace
from tests.support.rules import DONE, FAULTS, GONE, LATE, LEFT, READY, STAGING, TAPE, Case, Job, Then

HERE = ("copied", "skipped")


def row_of(job: Job) -> Row:
    """A file as the catalog has it; it was on tape, if it is asked for."""
    checksum = "adler32:00000001"
    locality = rules.NEARLINE if job.place in (TAPE, STAGING) else job.locality
    state = job.downloaded, job.verified, job.request, "LYON", job.error
    return Row(job.path, job.size, 1000, checksum, locality, *state)


def outcome_of(how: str, row: Row) -> Outcome | Again:
    """What a copy gives, in a word."""
    if how == "again":
        return Again(row, Tries(0, 1), 2, drop_frames(FAULTS["passing"]))
    if how == "kept":
        return Outcome(with_error(row, f"{row.path}: {Action.KEEP.value}"), "failed")
    if how not in FAULTS:
        return Outcome(row._replace(downloaded=how in HERE, verified="adler32" if how in HERE else ""), how)
    fault = drop_frames(FAULTS[how])
    if how == "evicted":
        return Outcome(place_row(row, rules.NEARLINE), "waiting", fault=fault)
    return Outcome(with_error(row, str(fault)), "late" if how == "pool" else "failed", fault=fault)


class Site:
    """A site that says what the case wants."""

    def __init__(self, jobs: Mapping[str, Job]):
        self.jobs = jobs
        self.fault = ""  # of any question
        self.faults: Mapping[str, str] = {}  # of requests that hold a path
        self.answers: dict[str, deque[str]] = {}  # of a request or a file, one after the other
        self.located: list[str] = []
        self.requested: list[str] = []
        self.polled: list[str] = []
        self.released: list[str] = []

    def fail(self, how: str) -> None:
        if how in FAULTS:
            raise type(FAULTS[how])(str(FAULTS[how]), FAULTS[how].passing)

    def localities(self, paths: list[str], on_tape: object = ()) -> dict[str, gridsync.Locality]:
        self.located += ["".join(paths)] if paths else []
        self.fail(self.fault if paths else "")
        return {path: self.jobs[path].now or self.jobs[path].locality for path in paths}

    def stage(self, paths: list[str], days: int) -> str:
        self.requested.append("".join(paths))
        for path in paths:
            self.fail(self.faults.get(path, ""))
        return f"n{len(self.requested)}"

    def stagings(self, request: str, paths: list[str]) -> dict[str, Staging]:
        self.polled.append(request)
        self.fail(self.answers.get(request, [""])[0])
        return {path: self.staging(self.answers.get(request) or self.answers[path]) for path in paths}

    def staging(self, words: deque[str]) -> Staging:
        word = words.popleft()
        hours = {"slow": 11, "stuck": 13}.get(word)
        since = rules.TODAY - hours * 3600 if hours else 0
        return Staging(word == "brought", "tape is broken" * (word == "broken"), since)

    def release(self, request: str, paths: list[str]) -> None:
        self.released.append(f"{request} {''.join(paths)}")
        self.fail(self.fault)


class Team:
    """Threads whose work a case does: a loop that makes calls at once, and a lane of files."""

    def __init__(self, clock: Clock, pending: int):
        self.clock = clock
        self.pace, self.pool, self.lanes = PACE, self, {"files": self}
        self.news = threading.Event()
        self.pending, self.low, self.width = pending, 0, 0
        self.given: list[Work] = []
        self.hows: dict[str, deque[str]] = {}
        self.events: list[Any] = []

    def forget(self) -> None:
        """Nothing is under way any more."""

    def check(self) -> None:
        """It has no faults."""

    def ahead(self) -> int:
        return 0

    def busy(self) -> int:
        return self.width

    def says(self) -> str:
        return ""

    def add(self, work: Work) -> None:
        self.given.append(work)
        if words := self.hows.get(work.row.path):
            self.pending += 1
            how = words.popleft()
            self.clock.wait(601 * (how == "stale"))  # it has waited for too long
            self.events.append(Came("files", [outcome_of(how, work.row)]))

    def ask(self, lane: str, about: Any, verb: Callable[..., Any], *arguments: Any) -> None:
        try:
            self.events.append(Answer(about, verb(*arguments)))
        except GridError as error:
            self.events.append(Answer(about, error=error))

    def round(self) -> list[Any]:
        events, self.events = self.events, []
        self.pending -= sum(isinstance(event, Came) for event in events)
        self.clock.wait(0 if events else 0.1)
        return events

    def shut(self, lane: str) -> list[Any]:
        return []


class World:
    """What a case is about, as the classes of gridsync have it."""

    def __init__(self, case: Case, patch: pytest.MonkeyPatch):
        self.case, self.facts, self.patch = case, case.facts, patch
        self.jobs = {job.path: job for job in ([case.jobs] if isinstance(case.jobs, Job) else case.jobs)}
        self.clock, self.said, self.seen, self.failed = Clock(), [], {}, []
        self.site, self.team = Site(self.jobs), Team(self.clock, self.facts.pending)
        self.run = self.make_run()
        chance = 0 if self.facts.is_short else 1
        for owner, name, value in (
            (time, "monotonic", self.clock),
            (time, "time", lambda: rules.TODAY),
            (random, "uniform", lambda *span: span[chance]),
            (endings, "needs_proxy", lambda site: True),
            (endings, "valid_proxy", lambda vo, now: None if self.facts.has_proxy else self.site.fail("expired")),
            (gridsync, "check_copies", nothing),
        ):
            patch.setattr(owner, name, value)
        self.catalog.replace(row_of(job) for job in self.jobs.values() if job.is_listed)
        self.flow = self.make_flow(SYNC)
        self.fetch, self.service, self.places = self.flow.fetch, self.flow.service, self.flow.fetch.jobs
        for job in self.jobs.values():
            self.put(job)
        facts, now = self.facts, self.clock()
        self.service.polls.moved_at = now - facts.moved
        self.service.waves.asked_at = now - (facts.moved if facts.asked is None else facts.asked)
        for name in {job.request for job in self.jobs.values() if job.place == STAGING}:
            request = self.service.polls.requests[name] = Request(now - facts.ages.get(name, 0))
            request.due, request.refusals = now + facts.dues.get(name, 0), facts.denials.get(name, 0)
        self.size = self.size_now()

    def target(self) -> SimpleNamespace:
        """OUTPUTDIR, as the case has it."""
        return SimpleNamespace(
            folder="/data", free=lambda: self.facts.free, find=lambda row: self.jobs[row.path].here,
            begun=lambda rows: filter(lambda row: self.jobs[row.path].kept, rows),
            missing=lambda row: row.size - self.jobs[row.path].kept,
        )  # fmt: skip

    def make_run(self) -> Any:
        """A run whose site is the case's."""
        run = gridsync.Run.__new__(gridsync.Run)
        site, facts = self.site, self.facts
        run.wishes = Wishes(overwrite=facts.overwrite, force=facts.force)
        run.settings = SimpleNamespace(output_dir="/data", threads=facts.threads, retries=5, pin_days=7, vo="")
        run.settings.on_done, run.config = "", None
        run.settings.site = SimpleNamespace(name="LYON", server="https://door", engine="auto")
        run.scope = Scope("LYON", "", (), ())
        run.loaded = self.catalog = Catalog("/no/such/folder", is_frozen=True)
        run.loop, self.team.width = self.team, facts.threads
        run.opened = Place(Can((), True, True), site, site, lambda: site if facts.has_tape else None)
        run.call = lambda verb, *arguments: verb(*arguments)
        run.has_tape = lambda: facts.has_tape
        run.copier = lambda wishes: (None, None)
        run.target = self.target
        run.report = SimpleNamespace(
            error=lambda error: self.said.append(str(error)), note=self.said.append,
            say=nothing, tell_landed=nothing, line=nothing, going_on=nothing,
            follow=lambda *_: SimpleNamespace(show=nothing, close=nothing, is_seen=lambda: True),
        )  # fmt: skip
        return run

    def make_flow(self, aim: Any) -> Flow:
        """A flow whose threads wait for the case."""
        flow = Flow(self.run, aim)
        worker = SimpleNamespace(flying={}, received={}, stop=threading.Event(), strange=set())
        progress = Progress(self.run.report.follow(), flow.tally, worker, clock=self.clock)
        flow.bringing = bringing = Bringing(flow.fetch, worker, self.team, self.facts.threads, progress)
        flow.bring = lambda *_: bringing
        flow.fetch.has_tape = self.facts.has_tape
        bringing.depth, bringing.door.is_given = 50, self.facts.is_given
        flow.credential.due = math.inf
        before = Outcome(with_error(row_of(Job("z")), "z"), "failed", fault=FAULTS["refused"])
        bringing.door.held = [] if self.facts.is_given else [before] * self.facts.refused
        return flow

    def put(self, job: Job) -> None:
        """Put a file where it is before, and into the memory of the run."""
        now, row, coming = self.clock(), row_of(job), self.places.add(row_of(job))
        coming.seen, coming.is_here, coming.asked, coming.reason = now - job.seen, job.adopt, job.asked, job.reason
        coming.due = now + job.due
        if job.failures:
            coming.trouble = Trouble(now - job.since, job.failures, now - job.until, not job.might_pass)
        if job.final is not None:
            coming.final = row._replace(**job.final)
        if job.place:
            self.places.move(coming, Where[job.place])
        if job.place == rules.PAUSED:
            coming.tries = Tries(now, 1)
        if job.place == rules.COPYING:
            self.flow.bringing.worker.flying[job.path] = job.kept
            self.team.pending += 1
        self.places.came |= {job.path} if job.came else set()

    def size_now(self) -> int:
        """Bytes of all files, as the progress has them."""
        return self.flow.bringing.progress.bytes + self.todo().size

    def todo(self) -> Any:
        """What is still to come, as the progress has it."""
        return todo_of(self.fetch, self.service, self.flow.bringing, self.clock())

    # What happens.

    def drive(self, *chores: What) -> bool:
        """Make all calls that are due now of some kinds; whether there was any."""
        rest, calls = Told.rest.__get__(self.service.told), 0

        def fail(trouble: Trouble, error: GridError, now: float) -> Trouble:
            notes = self.fetch.ledger.notes
            self.fetch.ledger.notes = []
            trouble = rest(trouble, error, now)
            self.seen["notes"] = self.seen.get("notes", 0) + len(self.fetch.ledger.notes)
            self.fetch.ledger.notes = notes
            self.failed.append(error)
            return trouble

        self.service.told.rest = fail
        for what, chore in self.service.chores.items():
            chore.due = chore.due if what in chores else math.inf
        while order := self.service.next(self.clock()):
            calls += 1
            self.flow.asked = order
            self.team.ask("site", order, ask, self.run.opened, order, 7)
            self.flow.take(self.team.events.pop(), self.clock())
        return calls > 0

    def settle(self) -> None:
        """Write and tell what came of it; twice, as a credential that has ended is looked at twice."""
        for _ in range(2):
            self.flow.write(self.clock())
            self.flow.credential.is_good(self.clock())
            self.clock.wait(self.flow.credential.doubt is not None)
        self.flow.bringing.door.check()

    def fed_now(self, depth: int) -> Fed:
        """What the threads have."""
        pending, threads = self.team.pending, self.facts.threads
        here = sum(self.flow.bringing.worker.flying.values())
        return Fed(pending, max(0, pending - threads), here, threads, depth)

    def placed(self, event: rules.Placed) -> None:
        if event.is_first:
            self.flow.begin(gridsync.plan_for(self.run, map(row_of, self.jobs.values())), self.clock() + PACE.fresh)
        for job in () if event.is_first else self.jobs.values():
            self.fetch.place(self.places.by_path[job.path], self.clock())
        self.seen["skipped"] = self.flow.tally.skipped

    def failed_once(self, event: rules.Failed) -> None:
        coming = self.places.by_path["a"]
        found = next_failed(coming, "a: fails", event.is_passing, self.fetch.aim, PACE, self.clock())
        self.fetch.take(coming, found)

    def landed(self, event: rules.Landed) -> None:
        flying = list(self.places.at(Where.COPYING))
        results = [outcome_of(event.how, coming.row) for coming in flying]
        others = [row_of(job) for job in self.jobs.values() if job.place != rules.COPYING]
        if event.version != 1000:  # a listing has found it otherwise
            known = [coming.row._replace(mtime=event.version) for coming in flying if event.version]
            self.catalog.replace(others + known)
            self.fetch.expect(others + known, self.clock())
        self.team.pending = self.facts.pending
        self.flow.bringing.land(results, self.clock())
        if not self.places.count(Where.READY):
            self.flow.bringing.feed(self.clock())
        self.flow.bringing.worker.flying.clear()
        self.seen["came"] = "".join(self.places.came)

    def woken(self, event: rules.Woken) -> None:
        replace(self.patch, "MAX_QUERY", event.most)
        self.site.fault = event.fault
        self.seen["did"] = self.drive(What.LOOK)

    def looked(self, event: rules.Looked) -> None:
        replace(self.patch, "MAX_QUERY", event.most)
        self.places.fed = self.fed_now(50)
        self.seen["did"] = self.drive(What.LOOK)

    def fed(self, event: rules.Fed) -> None:
        self.places.fed = self.fed_now(event.depth)
        self.team.given = self.fetch.feed(self.clock())
        self.seen["tries"] = [work.tries.failures for work in self.team.given]
        ends = [work.until - self.clock() for work in self.team.given]
        self.seen["fresh"] = [None if end == math.inf else end for end in ends]

    def asked(self, event: rules.Asked) -> None:
        replace(self.patch, "MAX_PATHS", event.most)
        self.site.faults = event.faults
        self.places.fed = self.fed_now(50)
        first = self.places.by_path.get("a", Coming(row_of(Job())))
        self.seen["did"] = self.drive(What.STAGE)
        self.seen.update(times=first.asked, asked_ago=self.clock() - self.service.waves.asked_at)
        self.seen["passing"] = all(error.passing for error in self.failed)

    def polled(self, event: rules.Polled) -> None:
        self.site.answers = {request: deque([word] * 9) for request, word in event.answers.items()}
        request, now = self.service.polls.requests.get("r1", Request(0)), self.clock()
        try:
            self.seen["did"] = self.drive(What.POLL)
            for _ in range(event.times - 1):
                self.clock.wait(PACE.chore.most)
                self.drive(What.POLL)
            if self.failed:  # a moment later
                self.clock.wait(PACE.turn)
                self.service.chores[What.POLL].due = 0
                self.service.polls.plan(self.clock())
        finally:
            self.seen.update(moved=now - self.service.polls.moved_at, denials=request.refusals, next=request.due - now)

    def timed(self, event: rules.Timed) -> None:
        self.seen["pause"] = PACE.poll(event.age, event.of)

    def listed(self, event: rules.Listed) -> None:
        survey, now = self.flow.survey, self.clock()
        survey.unread = {folder: FAULTS[how] for folder, how in event.before.items()}
        survey.blind = Trouble(now - event.blind, event.blinds, now) if event.blinds else Trouble()
        walk = Walk("")
        walk.failures = {folder: FAULTS[how] for folder, how in event.unread.items()}
        listed = [row_of(job._replace(place="")) for job in self.jobs.values() if job.is_listed]
        walk.entries = [Entry(row.path, False, *row[1:5]) for row in listed]
        self.site.fault = event.fault
        if event.is_first:
            self.places.by_path.clear()
            survey.note(walk, now)
            gridsync.plan_sync(self.run, self.flow)
        else:
            survey.apply(walk)
            self.flow.join(walk, now)
            self.drive(What.LOOK)
        todo = self.todo()
        self.seen.update(pause=survey.due - now, skipped=self.flow.tally.skipped, files=todo.files, bytes=todo.size)
        self.seen["blind"] = now - survey.blind.since if survey.blind.failures else None
        self.size = self.size_now()  # is counted anew

    def called(self, event: rules.Called) -> None:
        chore, now, order = Chore(1), self.clock(), Order(What.STAGE, [])
        chore.trouble = Trouble(now - event.since, event.failures, now - event.until)
        self.service.chores = {**self.service.chores, What.STAGE: chore}
        if event.others:
            self.service.chores[What.POLL].trouble = Trouble(now, event.others, now)
        self.service.told.noted = set(event.noted)
        self.service.waves = SimpleNamespace(
            plan=lambda moved_at, now: None if event.how == "idle" else order,
            take=lambda order, value, error, now: not error,
        )
        if order := self.service.next(now):
            self.service.came(order, None, FAULTS.get(event.how), now)
        self.seen.update(pause=chore.due - now, failures=chore.trouble.failures, noted=len(self.service.told.noted))
        self.seen["until"] = chore.trouble.until - now

    def released(self, event: rules.Released) -> None:
        chore, now, self.site.fault = self.service.chores[What.RELEASE], self.clock(), event.fault
        chore.trouble = Trouble(now, event.failures, now) if event.failures else Trouble()
        self.fetch.pins = {path: row_of(job) for path, job in self.jobs.items()}
        self.seen["did"] = self.drive(What.RELEASE)
        self.seen["pause"] = chore.due - now

    def goes(self, event: rules.Goes) -> None:
        done, now = [], self.clock()
        for chore in self.service.chores.values():
            chore.due = math.inf
        self.service.chores[What.STAGE].due = now + event.due
        self.service.waves = SimpleNamespace(plan=lambda moved_at, now: done.append(now))
        self.flow.survey.blind = Trouble(now - event.blind, 1, now) if event.blind else Trouble()
        self.seen.update(goes=self.flow.is_open(), line=self.todo().above)
        self.service.next(now)
        self.seen["chores"] = len(done)

    def tried(self, event: rules.Tried) -> None:
        tries = Tries(self.clock() - event.age, event.failures, event.had).having(event.here)
        self.seen["pause"] = tries.pause(FAULTS[event.how], event.retries, PACE, self.clock())
        self.seen["failures"] = tries.after(FAULTS[event.how], PACE, self.clock()).failures

    def started(self, event: rules.Started) -> None:
        self.run.settings.retries = event.retries
        self.team.hows = {path: deque(words.split()) for path, words in event.hows.items()}
        self.flow = flow = self.make_flow(START)
        self.fetch, self.service, self.places = flow.fetch, flow.service, flow.fetch.jobs
        began = self.clock()
        flow.begin(gridsync.plan_for(self.run, map(row_of, self.jobs.values())), began + PACE.fresh)
        flow.go()
        self.seen["took"] = int(self.clock() - began)

    def watched(self, event: rules.Watched) -> None:
        self.site.answers = {path: deque(words.split()) for path, words in event.answers.items()}
        times, began, stagings = [], self.clock(), self.site.stagings

        def seen(*arguments: Any) -> Any:
            times.append(self.clock() - began)
            return stagings(*arguments)

        self.patch.setattr(self.site, "stagings", seen)
        self.seen["failed"] = gridsync.wait_for_tape(self.run, [row_of(job) for job in self.jobs.values()])
        self.seen["pauses"] = [after - before for before, after in zip(times, times[1:])]
        self.seen["longest"] = max(self.seen["pauses"], default=0)

    # What came of it.

    def found(self) -> dict[str, str]:
        """The letters of the files that are in each place, in their order where it counts."""
        rows, keeps = self.catalog.by_path("LYON"), (Where.READY, Where.COPYING, Where.TAPE)
        found = {where.name: list(self.places.places[where]) for where in Where}
        found = {place: paths if Where[place] in keeps else sorted(paths) for place, paths in found.items()}
        nowhere = [path for path in sorted(self.jobs) if not any(path in paths for paths in found.values())]
        found[DONE] = [path for path in nowhere if path in rows and rows[path].downloaded]
        found[GONE] = [path for path in nowhere if path not in found[DONE]]
        return {place: "".join(paths) for place, paths in found.items() if paths}

    def check(self) -> None:
        """See to what holds whatever happens."""
        rows, jobs = self.catalog.by_path("LYON"), self.places
        for coming in jobs.at(*Where):
            assert jobs.by_path[coming.row.path] is coming, "a file is known twice"
            assert jobs.places[coming.where][coming.row.path] is coming, "a file is not where it seems to be"
        assert sum(map(len, jobs.staging.values())) == jobs.count(Where.STAGING)
        for where in Where:
            assert jobs.size(where) == sum(coming.row.size for coming in jobs.at(where)), "bytes are counted wrong"
        for coming in jobs.at(Where.LEFT):
            if self.jobs[coming.row.path].place != LEFT:
                assert rows[coming.row.path].error == coming.reason, "a file is given up for no reason"

    def seen_now(self) -> dict[str, Any]:
        """All else that is seen."""
        now, jobs = self.clock(), self.places
        return {
            "seen": {coming.row.path: now - coming.seen for coming in jobs.at(Where.READY)},
            "located": self.site.located,
            "requested": self.site.requested,
            "polled": self.site.polled,
            "released": self.site.released,
            "held": "".join(row.path for row in self.catalog.all() if row.request),
            "final": "".join(sorted(path for path, coming in jobs.by_path.items() if coming.final)),
            "requests": [coming.row.request for coming in jobs.by_path.values()],
            "pinned": "".join(self.fetch.pins),
            "given": "".join(work.row.path for work in self.team.given),
            **self.seen,
        }

    def one(self, job: Job) -> Then:
        """What came of one file."""
        now, path = self.clock(), job.path
        coming = self.places.by_path.get(path) or Coming(row_of(job))
        place = next(place for place, paths in self.found().items() if path in paths)
        trouble = coming.trouble
        return Then(
            place,
            max(0, coming.due - now) if place in (LATE, rules.PAUSED) else None,
            coming.final is not None and place == LEFT,
            trouble.failures,
            now - trouble.since if trouble.failures else 0,
            coming.asked,
            place == READY and coming.is_here,
            self.size_now() - self.size if job.place and place != GONE else None,
        )


def expected(then: Then, job: Job) -> Then:
    """What is to come of one file, with all that stays as it was."""
    size = -job.size * (then.place == LEFT) if then.size is None else then.size
    return then._replace(
        failures=job.failures if then.failures is None else then.failures,
        since=job.since if then.since is None else then.since,
        asked=job.asked if then.asked is None else then.asked,
        size=size if job.place and then.place != GONE else None,
    )


def about(value: Any) -> Any:
    """A value, and times as exact as looks at the screen let them be."""
    is_time = isinstance(value, (int, float)) or (isinstance(value, list) and {float} == {*map(type, value)})
    return pytest.approx(value, abs=0.15, rel=0.01) if is_time else value


TABLES = {**rules.TABLES, **rules_once.TABLES}
ALL = [(f"{title}: {case.name}", case) for title, table in TABLES.items() for case in table]


def test_each_rule_has_a_name_of_its_own():
    assert len(dict(ALL)) == len(ALL) > 200


@pytest.mark.every(1)
@pytest.mark.parametrize("case", [case for _, case in ALL], ids=[name for name, _ in ALL])
def test_rule(case, monkeypatch):
    world, raised = World(case, monkeypatch), ""
    play = {"Failed": "failed_once"}.get(type(case.event).__name__, type(case.event).__name__.lower())
    try:
        getattr(world, play)(case.event)
        world.settle()
    except GridError as error:
        raised = f"{type(error).__name__}: {error}"
    else:
        world.check()
    for error in world.failed:
        raised = raised or f"{type(error).__name__}: {error}"
    assert raised.startswith(case.raised) and bool(raised) == bool(case.raised), raised
    said = (case.said,) if isinstance(case.said, str) else case.said
    assert len(world.said) == len(said) and all(map(str.startswith, world.said, said)), world.said
    if isinstance(case.then, Then):
        assert world.one(case.jobs) == expected(case.then, case.jobs)
        return
    if places := {place: paths for place, paths in case.then.items() if place.isupper()}:
        assert world.found() == places
    seen = world.seen_now()
    for what, value in case.then.items():
        assert what.isupper() or seen[what] == about(value), what
