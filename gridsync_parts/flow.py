"""One loop for all that takes long.

Calls to the site and copies are made by threads; what comes back is an event, which is applied once: to the files
still to come, to the catalog, to the counts, to the screen. Nothing else waits.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Callable

from gridsync_parts.bars import FileBars
from gridsync_parts.bringing import Bringing, Wheel, lost_of, todo_of
from gridsync_parts.convoy import Steps
from gridsync_parts.endings import Credential, Heed
from gridsync_parts.errors import CredentialError, DiskError, GridError
from gridsync_parts.fetching import Fetch, Ledger, Work
from gridsync_parts.hooks import LANE, Hooks, hooks_of
from gridsync_parts.jobs import Aim, Job, Where
from gridsync_parts.kinds import asks_by_record
from gridsync_parts.loop import Answer, Came, Event, Said, Slow
from gridsync_parts.orders import Order, What, ask
from gridsync_parts.pool import Hands, Settling
from gridsync_parts.runs import Book, Runs, online_rows, unpin_rows
from gridsync_parts.screen import Progress
from gridsync_parts.service import Service
from gridsync_parts.survey import Survey
from gridsync_parts.values import Action, Outcome, Row, Tally, Wishes, is_owed
from gridsync_parts.walk import DOORS_SHUT, Walk

if TYPE_CHECKING:
    from gridsync_parts.mover import Mover
    from gridsync_parts.rereader import Rereader

LOOK = Aim()
STATUS = Aim(polls=True)
BRING = Aim(stages=True, enough=1)
WAIT = BRING._replace(polls=True, waits=True)
START = Aim(copies=True)
SEND = Aim(copies=True)
SYNC = Aim(copies=True, stages=True, polls=True, waits=True, is_patient=True)


def await_number(flow: Flow, order: Order) -> None:
    """Wait for what is said to a staging request: after Ctrl-C, say, it may still be made, and must be known."""
    loop, report = flow.run.loop, flow.run.report
    report.note("A staging request is under way; waiting for its number, so that it can be released")
    for call, request, failure in loop.pool.settle("site", loop.pace.last_word):
        if not failure and call.about is order:
            flow.take(Answer(call.about, request), loop.clock())
    if loop.pool.pending("site"):
        days = flow.run.settings.pin_days
        report.error(f"a staging request got no number; its pins end by themselves in {days} days")


# With --stats.


def watched(flow: Flow, worker: Mover | Rereader) -> Callable[[Work], Any]:
    """What threads do with a file; attempts to move one are watched."""
    return flow.run.stats.watching(worker) if flow.run.stats and flow.fetch.aim.copies else worker.bring


def steps_of(flow: Flow, worker: Mover | Rereader) -> Callable[[Work], Steps | None] | None:
    """What threads do with a small file step by step, if they do; watched, too."""
    steps: Callable[[Work], Steps | None] | None = getattr(worker, "steps", None)
    return flow.run.stats.watching_steps(worker, steps) if steps and flow.run.stats else steps


def lane_for(flow: Flow, worker: Mover | Rereader, settling: Settling | None) -> Hands:
    """Who moves files, or reads them: workers, or threads of this process."""
    run, pool = flow.run, flow.run.loop.pool
    if far := run.far_lane(worker):
        return pool.hold("files", far)
    return pool.open("files", watched(flow, worker), run.settings.threads, settling, steps_of(flow, worker))


def count_skipped(flow: Flow, rows: list[Row]) -> None:
    """Count files that were here."""
    for row in rows:
        flow.tally.count(Outcome(row, "skipped"))
    if flow.run.stats:
        flow.run.stats.skip(rows)


def tell_stats(flow: Flow, ledger: Ledger, is_last: bool) -> None:
    """Tell the stats file what has come of files."""
    if flow.run.stats and flow.fetch.aim.copies:
        flow.run.stats.note(ledger)
        if is_last:
            flow.run.stats.close()


class Flow:
    """What a command wants, in one loop."""

    def __init__(self, run: Runs, aim: Aim, wishes: Wishes | None = None, fetch: Fetch | None = None):
        pace = run.loop.pace
        self.run = run
        aim = aim._replace(retries=run.settings.retries, by_record=asks_by_record(run.settings.site))
        self.fetch = fetch or Fetch(aim, pace, run.target(), wishes or run.wishes)
        self.book: Callable[[], Book] = run.catalog  # where it is noted what comes of files
        self.service = Service(self.fetch, run.loop.clock())
        self.survey = Survey(run, self.service)
        self.credential = Credential(run.settings, pace)
        self.tally = Tally()
        self.bringing: Bringing | None = None
        self.wheel: Wheel | None = None
        self.hooks = Hooks(run, None)  # what runs for each file that comes

    # What is to be done.

    def look(self, rows: list[Row]) -> None:
        """Have the site asked where files are."""
        self.fetch.has_tape = bool(rows) and self.run.has_tape()
        self.service.look(rows)

    def begin(self, plan: dict[Action, list[Row]], until: float) -> None:
        """Take in files for which it was planned what to do; what is here is taken to be on disk until then."""
        run, pace, count = self.run, self.fetch.pace, len(plan[Action.COPY]) + len(plan[Action.ADOPT])
        self.hooks, self.fetch.aim = hooks_of(run), self.fetch.aim._replace(owes=bool(run.settings.on_done))
        count_skipped(self, plan[Action.SKIP])
        self.hooks.add(filter(is_owed, plan[Action.SKIP]))
        self.fetch.has_tape = bool(count or plan[Action.WAIT]) and run.has_tape()
        self.fetch.plan(plan, until - pace.fresh)
        self.write(run.loop.clock())
        if count or self.fetch.aim.is_patient:
            bringing = self.bring(*run.copier(self.fetch.wishes))
            bringing.door.enough = math.inf if self.fetch.aim.is_patient else min(DOORS_SHUT, count)

    def bring(self, worker: Mover | Rereader, settling: Settling | None = None, verb: str = "Copied") -> Bringing:
        """Have files brought here, or read again."""
        threads, bars = self.run.settings.threads, FileBars(worker.flying, self.fetch.jobs.size_of)
        lane = lane_for(self, worker, settling)
        progress = Progress(self.run.report.follow(bars), self.tally, worker, verb)
        self.bringing = Bringing(self.fetch, worker, lane, threads, progress)
        self.rule_off()
        return self.bringing

    def rule_off(self) -> None:
        """Count no more in the progress what is given up so far."""
        if self.bringing:
            self.bringing.lost = lost_of(self.fetch)

    # The loop.

    def go(self) -> None:
        """Go round until nothing is left that waiting would bring."""
        loop = self.run.loop
        with Heed(loop.pool.news.set) as heed:
            try:
                while self.is_open():
                    heed.check()
                    self.give(loop.clock())
                    self.take_all(loop.round() if self.is_open() else [])  # else nothing is to come
                    self.write(loop.clock())
                    if self.bringing:
                        self.bringing.door.check()
                    self.show()
                loop.pool.check()  # a fault leaves no answer that would be missed
            except BaseException as error:
                heed.close()
                reason = self.credential.blame(error) if self.run.opened else error
                self.break_off(reason)
                if reason is error:
                    raise
                raise reason from error
            self.close()

    def is_open(self) -> bool:
        """Whether something is left to do."""
        return self.is_busy() or self.hooks.is_open()

    def is_busy(self) -> bool:
        """Whether it is about the site, or files on their way."""
        aim, jobs = self.fetch.aim, self.fetch.jobs
        places = [Where.READY, Where.COPYING, Where.PAUSED, Where.LOOKING, Where.ORDERED, Where.LATE]
        places += [Where.TAPE] * aim.stages + [Where.STAGING] * aim.polls
        is_asking = self.service.asked or self.service.is_open() or self.survey.is_open(self.run.loop.clock())
        return bool(jobs.count(*places) or jobs.planned.rows or is_asking or self.fetch.ledger.errors)

    def give(self, now: float) -> None:
        """Give the threads what is next."""
        run, loop, survey = self.run, self.run.loop, self.survey
        if self.fetch.aim.copies and (not self.hooks.owed or self.is_busy()):
            self.credential.is_good(now)
        walk = survey.walk
        if survey.give(self.service.asked is not None, now) and walk and self.fetch.aim.is_patient:
            self.join(walk, now)
        if not self.service.asked and not survey.is_waited_for() and (order := self.service.next(now)):
            self.service.asked = order
            loop.ask("site", order, ask, run.place(), order, run.settings.pin_days)
        if self.bringing:
            self.bringing.feed(now)

    def take_all(self, events: list[Event]) -> None:
        """Apply what has come together, all of it, though some of it may end the run."""
        failures: list[GridError] = []
        for event in events:
            try:
                self.take(event, self.run.loop.clock())
            except GridError as error:
                failures.append(error)
        if failures:
            raise failures[0]

    def take(self, event: Event, now: float) -> None:
        """Apply what has come."""
        if isinstance(event, Said):
            self.run.report.note(event.sentence)
        elif isinstance(event, Slow):
            if not (self.bringing or self.wheel or self.survey.live):
                self.run.note_slow()
        elif isinstance(event, Came):
            if event.lane == LANE:
                self.hooks.note(event.results)
            elif self.bringing:
                self.bringing.land(event.results, now)
        elif isinstance(event.about, Order):
            self.service.asked = None
            self.service.came(event.about, event.value, event.error, now)
            if event.about.what is What.STAGE and not event.error:
                self.keep(event.about, event.value, now)
        else:
            self.survey.take(event, now)

    def keep(self, order: Order, request: str, now: float) -> None:
        """Have a request on our disk before the next one; what can't be noted must not stay."""
        try:
            self.write(now)
        except DiskError:
            loop, release = self.run.loop, order._replace(what=What.RELEASE, request=request)
            loop.ask("site", release, ask, self.run.place(), release, 0)
            loop.pool.settle("site", loop.pace.last_word)
            raise

    def write(self, now: float, is_last: bool = False) -> None:
        """Note what has come of files, in the catalog and on the screen."""
        ledger, report = self.fetch.ledger, self.run.report
        if not (ledger.is_new() or is_last):
            return
        self.fetch.ledger = Ledger()
        for outcome in ledger.outcomes:
            self.tally.count(outcome)
            if self.bringing:
                self.bringing.progress.count(outcome)
        self.book().put(ledger.rows, ledger.is_durable)  # before the pins go
        unpin_rows(self.run, ledger.unpinned)
        tell_stats(self, ledger, is_last)
        for outcome in filter(Outcome.is_here, ledger.outcomes):
            report.tell_landed(outcome)
            self.hooks.add([outcome.row])
        for remark in ledger.remarks:
            report.say(None, remark)
        self.tell(ledger, now, is_last)

    def tell(self, ledger: Ledger, now: float, is_last: bool) -> None:
        """Tell the user what went wrong, unless it is what is shown at the door."""
        if self.run.opened and not is_last and (ledger.errors or ledger.notes or ledger.is_refused):
            self.credential.suspect()
            if not self.credential.is_good(now):
                self.fetch.ledger.errors[:0] = ledger.errors
                self.fetch.ledger.notes[:0] = ledger.notes
                return
        for error in ledger.errors:
            self.run.report.error(error)
        for note in ledger.notes:
            self.run.report.note(note)

    def break_off(self, error: BaseException) -> None:
        """End what is under way, and keep what comes of it."""
        loop, asked = self.run.loop, self.service.asked
        if isinstance(error, CredentialError):
            self.fetch.ledger.errors.clear()  # it is the reason
        if self.bringing:
            self.bringing.worker.stop.set()
        try:
            if asked and asked.what is What.STAGE and not asked.is_whole and loop.pool.pending("site"):
                await_number(self, asked)
        finally:
            loop.forget()
            self.close(is_broken=True)

    def close(self, is_broken: bool = False) -> None:
        """End the threads that bring files, and the lines on the screen."""
        loop, bringing = self.run.loop, self.bringing
        if bringing:
            bringing.end(loop.pool.shut("files"), loop.clock())
        try:
            self.write(loop.clock(), is_last=True)
            self.hooks.close()
        finally:
            if bringing:
                if not is_broken:
                    bringing.progress.show(todo_of(self.fetch, self.service, bringing, loop.clock()))
                bringing.progress.close()
            for live in filter(None, (self.survey.live, self.wheel and self.wheel.live)):
                live.close()

    # The folder.

    def walk(self) -> Walk:
        """List it, and have the catalog say what is there."""
        walk, self.survey.live = self.survey.begin(), self.run.report.follow()
        self.go()
        return walk

    def join(self, walk: Walk, now: float) -> None:
        """Have new files of another list join in."""
        run, catalog = self.run, self.run.catalog()
        for error in self.survey.note(walk, now):
            run.report.error(error)
        rows = [row for row in catalog.matching(run.scope) if not row.downloaded]
        rows = rows if self.fetch.has_tape else online_rows(run, rows)
        self.service.look(self.fetch.expect(rows, now))
        self.rule_off()

    # The screen.

    def show(self) -> None:
        """Redraw the lines."""
        self.hooks.tell_wait(self.is_busy)
        if self.bringing and self.bringing.progress.live.is_seen():
            self.bringing.progress.show(todo_of(self.fetch, self.service, self.bringing, self.run.loop.clock()))
        elif self.wheel:
            waiting = self.fetch.jobs.count(Where.STAGING, Where.TAPE, Where.ORDERED, Where.LOOKING)
            self.wheel.show(waiting, self.run.loop.clock(), self.fetch.pace.tick)
        else:
            self.survey.show()

    def count(self) -> Tally:
        """The counts of the run so far."""
        jobs, tally = self.fetch.jobs, self.tally
        tally.failed, tally.waiting = jobs.count(Where.LEFT), jobs.count(Where.TAPE, Where.ORDERED, Where.STAGING)
        return tally

    def left(self) -> list[Job]:
        """The files that were given up."""
        return list(self.fetch.jobs.at(Where.LEFT))

    def on_tape(self) -> list[Row]:
        """The files that are on tape, or on their way from there."""
        return [job.row for job in self.fetch.jobs.at(Where.TAPE, Where.ORDERED, Where.STAGING)]
