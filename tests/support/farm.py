"""Virtual workers for runs in virtual time: the real roster and field, a crew that is none, and what befalls it.

A worker has hands, each with a load, and a speed of its own. It may die, be out of reach, stand still or go on unheard,
be slow, or lose the shared folder. Two hands never write one inode: that is looked at whenever one begins.
"""

from __future__ import annotations

import itertools
import random
import time
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

from gridsync_parts.copy import Copy
from gridsync_parts.errors import DiskError, DoorError, FileError, GridError
from gridsync_parts.farm.field import Field, Result, Way
from gridsync_parts.farm.loads import Back, Beat, Done, Greeting, Heard, Joined, Left, Load, News, Returned, Setting
from gridsync_parts.fetching import Work
from gridsync_parts.jobs import Where
from gridsync_parts.loop import Said
from gridsync_parts.table import Site

if TYPE_CHECKING:
    from gridsync_parts.flow import Flow
    from tests.support.simulation import Begun, Simulation

WAY = 0.02  # seconds to a worker, or back
BEAT = 20.0  # between two signs of life; a real one each second would tell no more here
TICK = 5.0  # between two looks at who is silent
WAKE = 5.0  # after which the main thread looks what has come; the real one does so ten times a second
SAMPLED = 50  # one in so many calls of the field is timed, as a look at that clock takes longer than most calls
NOTICED = 30.0  # until it is known that nothing comes from a worker any more


class Ill(NamedTuple):
    """Something befalls a worker."""

    kind: str  # die, part, freeze, cut, slow, unmount
    at: float
    number: int  # of the worker
    seconds: float  # until it is over, or another one is there in its place


class Labour:
    """A load in a hand of a worker."""

    def __init__(self, load: Load):
        self.load = load
        self.todo = deque(load.jobs)
        self.job: Copy | None = None  # it is at
        self.at = self.ends = 0.0  # when that has begun, and ends
        self.done: list[Done] = []


class SimWorker:
    """A worker: what it does with its loads, and what befalls it."""

    def __init__(self, crew: SimCrew, number: int, name: str):
        self.crew, self.number, self.name = crew, number, name
        self.rate = 0.3 + 1.4 * random.Random(f"{crew.sim.world.seed} {number}").random()  # times the usual one
        self.waiting: deque[Load] = deque()
        self.busy: dict[int, Labour] = {}
        self.is_gone = self.is_beating = False
        self.is_blind = False  # it does not see the shared folder any more
        self.is_known = True  # the run has not been told that it has left
        self.still = self.unheard = self.slow = 0.0  # until when it stands still, nobody hears it, or it is slow

    # What it is told, and tells.

    def plan(self, seconds: float, act: Callable[[], None]) -> None:
        """It does something later, if it still is there; what stands still does it when it goes on."""

        def acts() -> None:
            if not self.is_gone:
                if self.still > self.crew.clock.now:
                    self.crew.plan(self.still, acts)
                else:
                    act()

        self.crew.plan(self.crew.clock.now + seconds, acts)

    def tell(self, news: News) -> None:
        """The run hears of it; what can't come through now comes later."""
        self.crew.plan(max(self.crew.clock.now, self.unheard) + WAY, lambda: self.crew.hear(self, news))

    def take(self, load: Load) -> None:
        """It is given a load."""
        if not self.is_beating:
            self.is_beating = True
            self.plan(BEAT, self.beat)
        self.waiting.append(load)
        self.begin()

    def beat(self) -> None:
        """It says how far its files are, as long as it has any."""
        self.is_beating = bool(self.busy or self.waiting)
        if self.is_beating:
            self.tell(Heard(self.name, Beat(dict(self.progress()))))
            self.plan(BEAT, self.beat)

    def progress(self) -> Iterator[tuple[str, tuple[int, int]]]:
        """How far each file is."""
        for labour in self.busy.values():
            if labour.job:
                share = (self.crew.clock.now - labour.at) / max(labour.ends - labour.at, 0.001)
                here = int(labour.job.row.size * min(share, 1.0))
                yield labour.job.row.path, (here, here)

    # Its work.

    def begin(self) -> None:
        """Free hands begin."""
        while self.waiting and len(self.busy) < self.waiting[0].hands:
            load = self.waiting.popleft()
            labour = self.busy[load.number] = Labour(load)
            self.go_on(labour)

    def go_on(self, labour: Labour) -> None:
        """A hand begins with the next file, or has done all."""
        if not labour.todo:
            self.finish(labour)
            return
        job = labour.todo.popleft()
        assert isinstance(job, Copy)
        copier, clock = self.crew.sim.copier, self.crew.clock
        begun = copier.begin(job.row.path)
        self.crew.take_up(self, job)
        seconds = copier.lasting(job.row, job.is_here or copier.is_done(job.row)) / self.rate
        seconds *= 20 if self.slow > clock.now else 1
        labour.job, labour.at, labour.ends = job, clock.now, clock.now + seconds
        self.plan(seconds, lambda: self.end(labour, job, begun))

    def end(self, labour: Labour, job: Copy, begun: Begun) -> None:
        """What came of a file."""
        path, now = job.row.path, self.crew.clock.now
        labour.job = None
        if self.is_blind:
            self.crew.let_go(self, path)
            self.finish(labour, DiskError(f"worker node-{self.number} does not see the folder of the run"))
            return
        outcome, error = None, None
        try:
            outcome = self.crew.sim.copier.attempt(job, begun)
        except GridError as failure:
            error = failure
        self.crew.let_go(self, path, is_named=outcome is not None and outcome.done == "copied")
        moved = outcome.received if outcome else 0
        labour.done.append(Done(path, outcome, error, moved, moved, self.crew.clock.time(), now - labour.at))
        if error and not isinstance(error, (FileError, DoorError)):  # it is so of all
            labour.todo.clear()
        self.go_on(labour)

    def finish(self, labour: Labour, unfit: GridError | None = None) -> None:
        """A load goes back."""
        del self.busy[labour.load.number]
        self.tell(Back(self.name, Returned(labour.load.number, tuple(labour.done), unfit)))
        self.begin()

    def drop(self) -> None:
        """What it has is called off, but for the files that it is at."""
        self.waiting.clear()
        for labour in self.busy.values():
            labour.todo.clear()

    def die(self) -> None:
        """It is no more."""
        self.is_gone = True
        for labour in self.busy.values():
            if labour.job:
                self.crew.let_go(self, labour.job.row.path)

    # What befalls it.

    def befall(self, ill: Ill) -> None:
        """Something happens to it."""
        crew, now = self.crew, self.crew.clock.now
        crew.sim.site.count(ill.kind)
        until = now + ill.seconds
        if ill.kind == "freeze":
            self.still = until
        elif ill.kind == "cut":
            self.unheard = until
        elif ill.kind == "slow":
            self.slow = until
        elif ill.kind == "die":
            self.die()
            crew.plan(now + 1.0, lambda: crew.miss(self, has_ended=True))
        elif ill.kind == "part":  # it works on, and the run takes it for lost
            self.unheard = until
            crew.plan(now + NOTICED, lambda: crew.miss(self, has_ended=False))
        elif ill.kind == "unmount":
            self.is_blind = True
        if ill.kind in ("die", "part", "unmount"):
            crew.plan(max(until, now + NOTICED) + 1.0, lambda: crew.replace(self))


class SimCrew:
    """Workers, as the field sees them."""

    def __init__(self, sim: Simulation, lane: SimFarLane):
        self.sim, self.lane, self.clock = sim, lane, sim.clock
        self.workers: dict[int, SimWorker] = {}  # those that the run knows, by their numbers
        self.names = itertools.count()
        self.inodes = itertools.count()
        self.parts: dict[str, tuple[int, bool]] = {}  # which inode has the name of a part file; whether it is an heir
        self.hands: dict[str, dict[SimWorker, int]] = {}  # who writes a file, and to which inode

    # For the field.

    def start(self) -> None:
        """Have workers, and plan what befalls them."""
        world, now = self.sim.world, self.clock.now
        for number in range(world.workers):
            self.plan(now + 1 + 0.1 * number, lambda number=number: self.hire(number))  # type: ignore[misc]
        for ill in world.ills:
            if ill.at > now:
                self.plan(ill.at, lambda ill=ill: self.befall(ill))  # type: ignore[misc]

    def give(self, worker: str, load: Load) -> None:
        """Give a worker some files; if it can't be reached, they reach it later."""
        if there := self.named(worker):
            self.plan(max(self.clock.now, there.unheard) + WAY, lambda: there.plan(0.0, lambda: there.take(load)))

    def drop(self, worker: str) -> None:
        """Have nothing more to do with a worker until it has heard that, and has called off what it had."""
        if there := self.named(worker):
            there.is_known = False
            self.plan(max(self.clock.now, there.unheard) + WAY, lambda: there.plan(0.0, lambda: self.greet(there)))

    def halt(self) -> None:
        """Have all that can be reached hand over what they have done."""
        for worker in self.workers.values():
            if not worker.is_gone and max(worker.unheard, worker.still) <= self.clock.now:
                for labour in list(worker.busy.values()):
                    self.hear(worker, Back(worker.name, Returned(labour.load.number, tuple(labour.done))))

    def close(self) -> bool:
        """Let go of them."""
        return True

    # Among themselves.

    def plan(self, at: float, act: Callable[[], None]) -> None:
        """Something is to happen."""
        self.sim.pool.plan(at, self.lane, act)

    def named(self, name: str) -> SimWorker | None:
        """The worker of a name."""
        return next((worker for worker in self.workers.values() if worker.name == name), None)

    def hire(self, number: int) -> None:
        """A worker comes."""
        self.workers[number] = SimWorker(self, number, "")
        self.greet(self.workers[number])

    def greet(self, worker: SimWorker) -> None:
        """A worker is new to the run, which knows nothing of what it may have of earlier loads."""
        if self.workers.get(worker.number) is worker:
            host = f"node-{worker.number}"
            worker.drop()
            worker.name, worker.is_known = f"{host}/{next(self.names)}", True
            worker.tell(Joined(worker.name, self.sim.world.hands, Greeting(host, host, worker.number)))

    def hear(self, worker: SimWorker, news: News) -> None:
        """The run hears of a worker; not of one that it was told has left, but of its loads."""
        if worker.is_known or isinstance(news, Back):
            self.lane.take(news)

    def miss(self, worker: SimWorker, has_ended: bool) -> None:
        """The run is told that a worker has left."""
        if worker.is_known:
            worker.is_known = False
            self.lane.take(Left(worker.name, has_ended))

    def replace(self, worker: SimWorker) -> None:
        """Another worker comes where one was."""
        self.miss(worker, has_ended=False)
        if self.workers.get(worker.number) is worker:
            self.hire(worker.number)

    def befall(self, ill: Ill) -> None:
        """Something befalls a worker, if there is one."""
        if (worker := self.workers.get(ill.number)) and not worker.is_gone:
            worker.befall(ill)

    # Whose hands are on which file.

    def take_up(self, worker: SimWorker, job: Copy) -> None:
        """A worker opens a part file, in which nobody else writes; of an heir, and of who is lost, it makes another."""
        path = job.row.path
        is_heir = job.is_lost or (path in self.parts and self.parts[path][1])
        if is_heir or path not in self.parts:
            self.parts[path] = next(self.inodes), is_heir
        inode, hands = self.parts[path][0], self.hands.setdefault(path, {})
        others = [other.name for other, theirs in hands.items() if theirs == inode]
        assert not others or job.is_here, f"{path}: {worker.name} writes to it, and so does {others[0]}"
        hands[worker] = inode

    def let_go(self, worker: SimWorker, path: str, is_named: bool = False) -> None:
        """A worker is done with a file, which may have its name now."""
        hands = self.hands.get(path, {})
        inode = hands.pop(worker, None)
        if not hands:
            self.hands.pop(path, None)
        if is_named and path in self.parts and self.parts[path][0] == inode:
            del self.parts[path]

    def there(self) -> int:
        """How many workers do something, or can."""
        return sum(not worker.is_gone and worker.is_known for worker in self.workers.values())


class SimFarLane:
    """A lane of the pool whose files go to workers."""

    settling = None
    most = 0

    def __init__(self, sim: Simulation, site: Site):
        self.sim, self.pool, self.clock = sim, sim.pool, sim.clock
        self.pending = self.low = 0
        self.failure: BaseException | None = None
        self.results: list[list[Result]] = []
        self.is_started = self.is_called = self.is_waking = False
        self.spent = 0.0  # CPU seconds of the field
        self.counts = itertools.count()
        self.crew = SimCrew(sim, self)
        way = Way(Setting("run", "", site, "", "data", ""), sim.world.threads)
        self.field = Field(sim.copier, self.crew, way, self.land, self.judge)

    # For the flow.

    def add(self, work: Work) -> None:
        """Give it one more file."""
        self.pending += 1
        self.field.todo.append(work)
        self.call()

    def ahead(self) -> int:
        """How many files no worker has."""
        return len(self.field.todo)

    @property
    def width(self) -> int:
        """How many files may be under way."""
        return self.field.roster.hands * max(1, self.field.roster.usual)

    def busy(self) -> int:
        """How many files are under way, at the most."""
        return self.field.roster.under_way()

    def says(self) -> str:
        """What is said of it beside the progress."""
        return ""

    def collect(self) -> list[Result]:
        """The results that have come."""
        came = list(itertools.chain.from_iterable(self.results))
        self.results.clear()
        self.pending -= sum(not isinstance(result, Said) for result in came)
        return came

    # For the pool.

    def end(self, act: Callable[[], None]) -> None:
        """Something happens."""
        act()

    def stop(self, _left: list[Any]) -> None:
        """The run ends: what is still with workers comes back, as far as it can."""
        self.field.todo.clear()
        self.crew.halt()

    # For the field.

    def call(self) -> None:
        """Have it look what is next, once all has been said that comes now."""
        if not self.is_called:
            self.is_called = True
            self.pool.plan(self.clock.now, self, self.turn)

    def turn(self) -> None:
        """It looks what is next."""
        self.is_called = False
        if not self.is_started:
            self.is_started, self.field.since = True, self.clock.now
            self.crew.start()
            self.tick()
        self.do(lambda: self.field.turn(self.clock.now))

    def tick(self) -> None:
        """It looks who is silent, again and again."""
        self.call()
        self.pool.plan(self.clock.now + TICK, self, self.tick)

    def take(self, news: News) -> None:
        """It hears something."""
        self.do(lambda: self.field.take(news, self.clock.now))
        if not isinstance(news, Heard):
            self.call()

    def do(self, act: Callable[[], None]) -> None:
        """What it does is a part of the program."""
        is_timed = next(self.counts) % SAMPLED == 0
        began = time.process_time() if is_timed else 0.0
        try:
            act()
        except GridError as error:
            self.fail(error)
        if is_timed:
            self.spent += SAMPLED * (time.process_time() - began)

    def fail(self, error: BaseException) -> None:
        """End the run."""
        self.failure = self.failure or error
        self.pool.news.set()

    def land(self, results: list[Result]) -> None:
        """Hand results over."""
        self.results.append(results)
        is_said = any(isinstance(result, Said) for result in results)
        if self.ahead() < self.low or len(self.results) >= self.pending or is_said:
            self.pool.news.set()
        elif not self.is_waking:
            self.is_waking = True
            self.pool.plan(self.clock.now + WAKE, self, self.wake)

    def wake(self) -> None:
        """The main thread looks what has come."""
        self.is_waking = False
        self.pool.news.set()

    def judge(self, work: Work, error: GridError) -> None:
        """See what follows from a failure."""
        try:
            self.land([self.sim.copier.fail(work, error)])
        except GridError as fault:
            self.fail(fault)

    # What must always hold.

    def check(self, flow: Flow) -> None:
        """Each file is with one worker, in front of them, or on its way back; no more is under way than allowed."""
        roster = self.field.roster
        roster.check()
        paths = [work.row.path for work in self.field.todo]
        paths += [work.row.path for handed in roster.loads.values() for work in handed.works]
        paths += [result.row.path for some in self.results for result in some if not isinstance(result, Said)]
        assert len(paths) == len(set(paths)), "a file is in two places"
        assert set(paths) == flow.fetch.jobs.places[Where.COPYING].keys(), "a file is lost, or there is one too many"
        busy = sum(number in roster.loads for worker in self.crew.workers.values() for number in worker.busy)
        assert busy <= roster.hands, f"{busy} loads are under way"
