"""Every rule of what comes next with a file: the table of tests/support/rules.py, played with a clock of its own."""

from __future__ import annotations

import functools
import random
import time
from collections import deque
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

import gridsync
from gridsync_parts.catalog import Catalog
from gridsync_parts.copier import Copier
from gridsync_parts.doors import Place
from gridsync_parts.errors import GridError, drop_frames
from gridsync_parts.kinds import Can
from gridsync_parts.log import nothing
from gridsync_parts.screen import Progress
from gridsync_parts.values import Action, Outcome, Row, Scope, Staging, Tally, Wishes, place_row, with_error
from tests.support import rules
from tests.support.clock import Clock
from tests.support.constants import replace
from tests.support.rules import COPYING, DONE, FAULTS, GONE, LATE, LEFT, READY, STAGING, TABLES, TAPE, Case, Job, Then

HERE = ("copied", "skipped")


def row_of(job: Job) -> Row:
    """A file as the catalog has it."""
    checksum = "adler32:00000001"
    state = job.downloaded, job.verified, job.request, "LYON", job.error
    return Row(job.path, job.size, 1000, checksum, job.locality, *state)


def outcome_of(how: str, row: Row) -> Outcome:
    """What a copy gives, in a word."""
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
    """A crew whose work a case does."""

    def __init__(self, clock: Clock, pending: int):
        self.clock = clock
        self.pending = pending
        self.given: list[tuple[Row, Action, float]] = []
        self.hows: dict[str, deque[str]] = {}
        self.came: list[Outcome] = []
        self.check = nothing

    def add(self, item: tuple[Row, Action, float]) -> None:
        self.given.append(item)
        self.pending += 1
        if words := self.hows.get(item[0].path):
            self.came.append(outcome_of(words.popleft(), item[0]))

    def rest(self, seconds: float) -> None:
        self.clock.wait(0 if self.came else seconds)

    def collect(self) -> list[Outcome]:
        came, self.came = self.came, []
        self.pending -= len(came)
        return came

    def __exit__(self, *_: object) -> None:
        """Nobody works."""


class World:
    """What a case is about, as the classes of gridsync have it."""

    def __init__(self, case: Case, patch: pytest.MonkeyPatch):
        self.case, self.facts, self.patch = case, case.facts, patch
        self.jobs = {job.path: job for job in ([case.jobs] if isinstance(case.jobs, Job) else case.jobs)}
        self.clock, self.said, self.seen = Clock(), [], {}
        self.site = Site(self.jobs)
        self.run = self.make_run()
        for name, value in (("monotonic", self.clock), ("time", lambda: rules.TODAY), ("sleep", self.clock.wait)):
            patch.setattr(time, name, value)
        patch.setattr(random, "uniform", lambda low, high: low if self.facts.is_short else high)
        for name, value in (
            ("find_local", lambda run, row: self.jobs[row.path].here),
            ("free_space", lambda folder: self.facts.free),
            ("missing_of", lambda folder, row: row.size - self.jobs[row.path].kept),
            ("check_copies", nothing),
            ("Copying", self.make_copying),
            ("Later", functools.partial(gridsync.Later, clock=self.clock)),
        ):
            patch.setattr(gridsync, name, value)
        self.run.loaded.replace(row_of(job) for job in self.jobs.values() if job.is_listed)
        self.sync = gridsync.Sync(self.run)
        self.copying = self.sync.copying
        for job in self.jobs.values():
            self.put(job)
        facts, now = self.facts, self.clock()
        self.sync.moved_at = now - facts.moved
        self.sync.asked_at = now - (facts.moved if facts.asked is None else facts.asked)
        requests = {job.request for job in self.jobs.values() if job.place == STAGING}
        self.sync.polls.began = {request: now - facts.ages.get(request, 0) for request in requests}
        self.sync.polls.dues = {request: now + due for request, due in facts.dues.items()}
        self.sync.polls.refusals = dict(facts.denials)
        self.size = self.copying.progress.size

    def make_run(self) -> gridsync.Run:
        """A run whose site is the case's."""
        run = gridsync.Run.__new__(gridsync.Run)
        site, facts = self.site, self.facts
        run.wishes = Wishes(overwrite=facts.overwrite, force=facts.force)
        run.settings = SimpleNamespace(output_dir="/data", threads=facts.threads, retries=5, pin_days=7)
        run.settings.site = SimpleNamespace(name="LYON", server="https://door")
        run.scope = Scope("LYON", "", (), ())
        run.loaded = Catalog("/no/such/folder", is_frozen=True)
        run.tick = nothing
        run.patience = SimpleNamespace(tell=nothing, stopping=SimpleNamespace(set=nothing))
        run.opened = Place(Can((), True, True), site, site, lambda: site if facts.has_tape else None)
        run.call = lambda verb, *arguments: verb(*arguments)
        run.report = SimpleNamespace(
            error=lambda error: self.said.append(str(error)),
            note=self.said.append,
            say=lambda stream, text: self.said.extend([text] if stream else []),
            starting=nothing, tell_landed=nothing, line=nothing,
            follow=lambda *_: SimpleNamespace(show=nothing, close=nothing),
        )  # fmt: skip
        run.check_credential = lambda: None if facts.has_proxy else self.site.fail("expired")
        return run

    def make_copying(self, run: Any, tally: Tally, landed: Any, enough: float = float("inf")) -> gridsync.Copying:
        """Files on their way, with a crew that waits for the case."""
        copying = self.real_copying.__new__(self.real_copying)
        copying.run, copying.tally, copying.landed, copying.enough = run, tally, landed, enough
        copying.failures, copying.held, copying.pinned, copying.check_at = [], [], [], float("inf")
        copying.copier = copier = Copier.__new__(Copier)
        copier.flying, copier.received, copier.home = {}, {}, SimpleNamespace(strange=[])
        copier.is_given, copier.refused = self.facts.is_given, set(map(str, range(self.facts.refused)))
        copying.progress = Progress(run.report.follow(), tally, copier.flying, copier.received, clock=self.clock)
        copying.crew = Team(self.clock, self.facts.pending)
        return copying

    real_copying = gridsync.Copying

    def put(self, job: Job) -> None:
        """Put a file where it is before, and into the memory of the run."""
        sync, now, path, row = self.sync, self.clock(), job.path, row_of(job)
        sync.seen[path] = now - job.seen
        if job.place == READY:
            sync.ready[path] = row
        elif job.place == COPYING:
            sync.flying[path] = row
            sync.copying.copier.flying[path] = job.kept
            sync.copying.crew.pending += 1
        elif job.place == TAPE:
            sync.tape[path] = row
        elif job.place == STAGING:
            sync.staging.setdefault(job.request, {})[path] = row
        elif job.place == LATE:
            sync.late[path] = now + job.due
        elif job.place == LEFT:
            sync.lost.add(path)
        if job.failures:
            sync.troubles[path] = (now - job.since, job.failures, now - job.until)
        if job.asked:
            sync.times_asked[path] = job.asked
        if job.reason:
            sync.reasons[path] = job.reason
        if job.final is not None:
            sync.final[path] = row._replace(**job.final)
        sync.came |= {path} if job.came else set()
        sync.adoptable |= {path} if job.adopt else set()

    # What happens.

    def placed(self, event: rules.Placed) -> None:
        for job in self.jobs.values():
            self.sync.place(row_of(job), event.is_first, event.is_told)
        self.seen["skipped"] = self.sync.tally.skipped

    def failed(self, event: rules.Failed) -> None:
        self.sync.fail(row_of(self.jobs["a"]), "a: fails", event.is_passing)

    def landed(self, event: rules.Landed) -> None:
        rows = list(self.sync.flying.values())
        self.copying.crew.came = [outcome_of(event.how, row) for row in rows]
        if any(outcome.fault and event.how == "refused" for outcome in self.copying.crew.came):
            self.copying.copier.refused.update([] if self.facts.is_given else [row.path for row in rows])
        known = {row.path: row._replace(mtime=event.version) for row in rows if event.version}
        self.run.loaded.by_path("LYON").clear()
        self.run.loaded.put([*known.values(), *(row_of(job) for job in self.jobs.values() if job.place != COPYING)])
        self.copying.tick()
        self.seen["came"] = "".join(self.sync.came)

    def woken(self, event: rules.Woken) -> None:
        replace(self.patch, "MAX_QUERY", event.most)
        self.site.fault = event.fault
        self.seen["did"] = self.sync.wake(self.clock())

    def looked(self, event: rules.Looked) -> None:
        replace(self.patch, "MAX_QUERY", event.most)
        self.seen["did"] = self.sync.look_again(self.clock())

    def fed(self, event: rules.Fed) -> None:
        self.sync.feed()
        ends = [until - self.clock() for _, _, until in self.copying.crew.given]
        self.seen["fresh"] = [None if end == float("inf") else end for end in ends]

    def asked(self, event: rules.Asked) -> None:
        replace(self.patch, "MAX_PATHS", event.most)
        self.site.faults = event.faults
        try:
            self.seen["did"] = self.sync.ask(self.clock())
        except GridError as error:
            self.seen["passing"] = error.passing
            raise
        finally:
            self.seen.update(times=self.sync.times_asked.get("a", 0), asked_ago=self.clock() - self.sync.asked_at)

    def polled(self, event: rules.Polled) -> None:
        self.site.answers = {request: deque([word] * 9) for request, word in event.answers.items()}
        try:
            self.seen["did"] = self.sync.poll(self.clock())
        finally:
            polls, now = self.sync.polls, self.clock()
            self.seen.update(moved=now - self.sync.moved_at, denials=polls.refusals.get("r1", 0))
            self.seen["next"] = polls.dues.get("r1", now) - now

    def timed(self, event: rules.Timed) -> None:
        polls, now = self.sync.polls, self.clock()
        polls.began["r1"] = now - event.age
        polls.asked("r1", event.of, now)
        self.seen["pause"] = polls.dues["r1"] - now

    def listed(self, event: rules.Listed) -> None:
        walk = SimpleNamespace(failures={folder: FAULTS[how] for folder, how in event.unread.items()})
        self.sync.unread = {folder: FAULTS[how] for folder, how in event.before.items()}
        self.sync.blind_since = self.clock() - event.blind if event.before else 0.0
        self.patch.setattr(gridsync, "update_list", lambda run: walk)
        self.site.fault = event.fault
        if event.is_first:
            self.sync.sort(walk, is_first=True)
        else:
            self.seen["did"] = self.sync.relist(self.clock())
        self.seen.update(due=self.sync.listing.due - self.clock(), skipped=self.sync.tally.skipped)
        self.size = self.copying.progress.size  # is counted anew

    def called(self, event: rules.Called) -> None:
        def call(now: float) -> bool:
            self.site.fail(event.how)
            return event.how == "done"

        chore, now = gridsync.Chore(call, 1), self.clock()
        chore.failures, chore.since, chore.until = event.failures, now - event.since, now - event.until
        self.sync.noted = set(event.noted)
        self.sync.do(chore)
        self.seen.update(pause=chore.due - now, failures=chore.failures, noted=len(self.sync.noted))
        self.seen["until"] = chore.until - now

    def released(self, event: rules.Released) -> None:
        self.site.fault = event.fault
        self.sync.releasing.pause = event.pause
        self.copying.pinned = [row_of(job) for job in self.jobs.values()]
        self.seen["did"] = self.sync.release_due(self.clock())
        self.seen["pause"] = self.sync.releasing.pause

    def goes(self, event: rules.Goes) -> None:
        class Going(Exception):
            """It goes on."""

        def tick(timeout: float = 0) -> None:
            raise Going

        chore = gridsync.Chore(lambda now: bool(done.append(now)), 1)
        chore.due, done = self.clock() + event.due, []
        self.sync.chores, self.sync.tick = [chore], tick
        self.sync.blind_since = self.clock() - event.blind if event.blind else 0.0
        try:
            self.sync.run_to_end()
            self.seen["goes"] = False
        except Going:
            self.seen["goes"] = True
        self.seen["chores"] = len(done)

    def started(self, event: rules.Started) -> None:
        self.run.settings.retries = event.retries
        makes = self.make_copying

        def make(*arguments: Any) -> gridsync.Copying:
            self.copying = makes(*arguments)
            self.copying.crew.hows = {path: deque(words.split()) for path, words in event.hows.items()}
            refused = [path for path, words in event.hows.items() if words == "refused"]
            self.copying.copier.refused.update([] if self.facts.is_given else refused)
            return self.copying

        self.patch.setattr(gridsync, "Copying", make)
        plan = gridsync.plan_for(self.run, map(row_of, self.jobs.values()))
        work = [(row, action) for action in (Action.ADOPT, Action.COPY) for row in plan[action]]
        began, waiting = self.clock(), []
        gridsync.copy_all(self.run, work, Tally(), waiting, began + 600)
        self.seen["took"] = int(self.clock() - began)
        self.sync.tape = {row.path: row for row in waiting}
        failed = {row.path for row in self.run.loaded.all() if row.error and not row.downloaded}
        self.sync.lost = failed - {*self.sync.tape}

    def watched(self, event: rules.Watched) -> None:
        self.site.answers = {path: deque(words.split()) for path, words in event.answers.items()}
        times, began = [], self.clock()
        poll = gridsync.poll

        def seen(run: gridsync.Run, rows: list[Row]) -> Any:
            times.append(self.clock() - began)
            return poll(run, rows)

        self.patch.setattr(gridsync, "poll", seen)
        self.seen["failed"] = gridsync.wait_for_tape(self.run, [row_of(job) for job in self.jobs.values()])
        self.seen["pauses"] = [after - before for before, after in zip(times, times[1:])]
        self.seen["longest"] = max(self.seen["pauses"], default=0)

    # What came of it.

    def places(self) -> dict[str, str]:
        """The letters of the files that are in each place, in their order where it counts."""
        sync, rows = self.sync, self.run.loaded.by_path("LYON")
        given = [row.path for row, _, _ in self.copying.crew.given if row.path in sync.flying]
        found = {
            READY: list(sync.ready),
            COPYING: [path for path in sync.flying if path not in given] + given,
            TAPE: list(sync.tape),
            STAGING: sorted(path for held in sync.staging.values() for path in held),
            LATE: sorted(sync.late),
            LEFT: sorted(sync.lost),
        }
        nowhere = [path for path in sorted(self.jobs) if not any(path in paths for paths in found.values())]
        found[DONE] = [path for path in nowhere if path in rows and rows[path].downloaded]
        found[GONE] = [path for path in nowhere if path not in found[DONE]]
        return {place: "".join(paths) for place, paths in found.items() if paths}

    def check(self) -> None:
        """See to what holds whatever happens."""
        sync, rows = self.sync, self.run.loaded.by_path("LYON")
        held = [path for paths in sync.staging.values() for path in paths]
        paths = [*sync.ready, *sync.flying, *sync.tape, *held, *sync.late, *sync.lost]
        assert len(paths) == len({*paths}), "a file is in two places"
        for path in sync.lost - {path for path, job in self.jobs.items() if job.place == LEFT}:
            assert rows[path].error == sync.reasons[path], "a file is given up for no reason"

    def seen_now(self) -> dict[str, Any]:
        """All else that is seen."""
        sync, now = self.sync, self.clock()
        return {
            "seen": {path: now - sync.seen[path] for path in sync.ready},
            "located": self.site.located,
            "requested": self.site.requested,
            "polled": self.site.polled,
            "released": self.site.released,
            "held": "".join(row.path for row in self.run.loaded.all() if row.request),
            "final": "".join(sorted(sync.final)),
            "pinned": "".join(row.path for row in self.copying.pinned),
            "given": "".join(row.path for row, _, _ in self.copying.crew.given),
            "files": self.copying.progress.files,
            "bytes": self.copying.progress.size,
            "pause": sync.listing.pause,
            "blind": now - sync.blind_since if sync.blind_since else None,
            **self.seen,
        }

    def one(self, job: Job) -> Then:
        """What came of one file."""
        sync, now, path = self.sync, self.clock(), job.path
        since, failures, _ = sync.troubles.get(path, (now, 0, now))
        place = next(place for place, paths in self.places().items() if path in paths)
        size = self.copying.progress.size - self.size
        return Then(
            place,
            max(0, sync.late[path] - now) if place == LATE else None,
            path in sync.final and path in sync.lost,
            failures,
            now - since,
            sync.times_asked.get(path, 0),
            place == READY and path in sync.adoptable,
            size,
        )


def expected(then: Then, job: Job) -> Then:
    """What is to come of one file, with all that stays as it was."""
    return then._replace(
        failures=job.failures if then.failures is None else then.failures,
        since=job.since if then.since is None else then.since,
        asked=job.asked if then.asked is None else then.asked,
        size=-job.size * (then.place == LEFT) if then.size is None else then.size,
    )


def about(value: Any) -> Any:
    """A value, and times as exact as looks at the screen let them be."""
    is_time = isinstance(value, (int, float)) or (isinstance(value, list) and {float} == {*map(type, value)})
    return pytest.approx(value, abs=0.15) if is_time else value


ALL = [(f"{title}: {case.name}", case) for title, table in TABLES.items() for case in table]


def test_each_rule_has_a_name_of_its_own():
    assert len(dict(ALL)) == len(ALL) > 200


@pytest.mark.parametrize("case", [case for _, case in ALL], ids=[name for name, _ in ALL])
def test_rule(case, monkeypatch):
    world, raised = World(case, monkeypatch), ""
    try:
        getattr(world, type(case.event).__name__.lower())(case.event)
    except GridError as error:
        raised = f"{type(error).__name__}: {error}"
    assert raised.startswith(case.raised) and bool(raised) == bool(case.raised), raised
    if not isinstance(case.event, rules.Started):
        world.check()
    said = (case.said,) if isinstance(case.said, str) else case.said
    assert len(world.said) == len(said) and all(map(str.startswith, world.said, said)), world.said
    if isinstance(case.then, Then):
        assert world.one(case.jobs) == expected(case.then, case.jobs)
        return
    if places := {place: paths for place, paths in case.then.items() if place.isupper()}:
        assert world.places() == places
    seen = world.seen_now()
    for what, value in case.then.items():
        assert what.isupper() or seen[what] == about(value), what
