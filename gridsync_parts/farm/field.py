"""The files of a run in the hands of workers: what threads are for a run on one machine."""

from __future__ import annotations

import itertools
import math
import os
from collections import deque
from typing import Callable, NamedTuple, Protocol, Union

from gridsync_parts.attempts import Attempt, Attempts
from gridsync_parts.copier import Copier
from gridsync_parts.copy import Copy
from gridsync_parts.errors import CrewError, GridError
from gridsync_parts.farm.loads import Back, Done, Heard, Job, Joined, Left, Load, Lost, News, Returned, Setting
from gridsync_parts.farm.roster import GRACE, MOST, Roster
from gridsync_parts.fetching import Work
from gridsync_parts.loop import Again, Said
from gridsync_parts.mover import Mover
from gridsync_parts.pacing import Timetable
from gridsync_parts.plans import is_same_file
from gridsync_parts.values import Outcome, Seen

ALONE = 30.0  # seconds without any worker after which that is said, once until one comes
NO_WORKER = "No worker is there; the files wait for one"
Result = Union[Outcome, Again, Said]


class Crew(Protocol):
    """Workers, as whoever hands out files sees them."""

    def start(self) -> None: ...

    def give(self, worker: str, load: Load) -> None: ...

    def drop(self, worker: str) -> None: ...

    def halt(self) -> None: ...

    def close(self) -> bool: ...  # whether surely none is left


class Way(NamedTuple):
    """How files are handed out."""

    setting: Setting
    hands: int  # loads that may be under way at once
    timetable: Timetable | None = None  # --bwlimit, of all workers together
    stats: Attempts | None = None


class Field:
    """Files that are brought by workers, a load at a time: what each news means, and what is next. It has no thread."""

    def __init__(
        self,
        mover: Mover,
        crew: Crew,
        way: Way,
        land: Callable[[list[Result]], None],
        judge: Callable[[Work, GridError], None],
    ):
        self.mover = mover
        self.crew = crew
        self.way = way
        self.land = land  # hands results over
        self.judge = judge  # sees, elsewhere, what follows from a failure, as the site may be asked about it
        self.roster = Roster(way.hands)
        self.todo: deque[Work] = deque()  # files that no worker has
        self.hearing: dict[str, Seen] = {}  # of files that workers have: what is told how far each is
        self.faults: dict[str, bool] = {}  # what is wrong with workers, and whether it is said
        self.since = 0.0  # when the last one came or went; infinite once it is said that there is none

    # What comes.

    def take(self, news: News, now: float) -> None:
        """Apply what has happened; what ends the run is raised."""
        if isinstance(news, Heard):
            self.roster.hear(news.worker, now)
            for path, (here, came) in news.beat.files.items():
                if seen := self.hearing.get(path):
                    seen(here, came)
        elif isinstance(news, Back):
            self.roster.hear(news.worker, now)
            self.take_back(news.worker, news.returned, now)
        elif isinstance(news, Joined):
            self.since = now
            self.roster.join(news.worker, news.greeting.host, news.threads, now)
            if news.greeting.fault:
                self.dismiss(news.worker, news.greeting.fault, now)
        elif isinstance(news, Left):
            self.since = now
            self.part_with(news.worker, news.has_ended, "it is gone")
        elif isinstance(news, Lost):
            raise news.error

    def dismiss(self, worker: str, fault: GridError, now: float) -> None:
        """Go on without a worker that can do nothing."""
        self.since = now
        self.faults.setdefault(str(fault), False)
        self.roster.dismiss(worker, fault)

    def name_faults(self) -> None:
        """Say what is wrong with some workers, once there are others: of none the end of the run says it."""
        for fault, is_said in self.faults.items():
            if not is_said:
                self.faults[fault] = True
                self.land([Said(f"{fault}; the others go on without it")])

    def part_with(self, worker: str, has_ended: bool, why: str) -> None:
        """Go on without a worker whose files, if it has any, come next."""
        host = self.roster.members[worker].host if worker in self.roster.members else ""
        if works := self.roster.leave(worker, has_ended):
            self.land([Said(f"worker {host}: {why}; other workers copy its files")])
        self.put_back(works)

    def put_back(self, works: list[Work] | tuple[Work, ...]) -> None:
        """Files are with no worker any more, and come next."""
        self.todo.extendleft(reversed(works))
        for work in works:
            self.hearing.pop(work.row.path, None)
            self.mover.flying.pop(work.row.path, None)

    def take_back(self, worker: str, returned: Returned, now: float) -> None:
        """A load is done, or as much of it as could be."""
        host = self.roster.members[worker].host if worker in self.roster.members else ""
        if not self.is_sound(returned):
            fault = CrewError(f"worker {host} says what can't be so of its files; see what is wrong with it")
            returned = Returned(returned.number, (), fault)
        if returned.unfit and (member := self.roster.members.get(worker)) and member.is_fit:
            self.dismiss(worker, returned.unfit, now)
        handed = self.roster.take_back(returned.number, sum(done.seconds for done in returned.done))
        if handed is None:  # its files are with others
            return
        self.mover.strange.update(returned.strange)
        works = {work.row.path: work for work in handed.works}
        outcomes = [self.end(works.pop(done.path), done, host) for done in returned.done]
        self.put_back(tuple(works.values()))
        self.land([outcome for outcome in outcomes if outcome])

    def is_sound(self, returned: Returned) -> bool:
        """Whether what is said of a load is of its files, each once; else wrong rows would come into the catalog."""
        handed = self.roster.loads.get(returned.number)
        works = {work.row.path: work for work in handed.works} if handed else {}
        return not handed or all(self.is_about(works.pop(done.path, None), done) for done in returned.done)

    def is_about(self, work: Work | None, done: Done) -> bool:
        """Whether what came of a file can have come of this one."""
        if work is None or not 0 <= done.seconds < math.inf:
            return False
        if done.outcome is None:
            return isinstance(done.error, GridError)
        row = done.outcome.row
        is_same = self.way.setting.writes or is_same_file(work.row, row)
        return is_same and (row.path, row.site) == (work.row.path, work.row.site)

    def end(self, work: Work, done: Done, host: str) -> Outcome | None:
        """What came of a file, unless that is still to be seen."""
        path = done.path
        if seen := self.hearing.pop(path, None):
            seen(done.here, done.moved)
        self.mover.came_back(path, done.is_open)
        if self.way.stats:
            self.way.stats.made[path] = Attempt(done.ended, done.seconds, done.moved, host)
        if done.outcome:
            self.mover.paused.discard(path)
            return done.outcome._replace(received=self.mover.let_go(work.row))
        assert done.error
        self.judge(work, done.error)
        return None

    # What is next.

    def turn(self, now: float) -> None:
        """Give workers what they can take; what ends the run is raised."""
        if isinstance(self.mover, Copier):
            self.mover.home.check()
        for worker in self.roster.silent(now):
            self.crew.drop(worker)
            self.part_with(worker, has_ended=False, why="nothing is heard of it")
        while self.todo and (worker := self.roster.next(len(self.todo))):
            self.give(worker, now)
        if self.roster.fit():
            self.name_faults()
        elif self.todo:
            self.wait(now)

    def wait(self, now: float) -> None:
        """Wait for a worker, but not for ever for one that is fit."""
        if self.roster.fault and now > self.since + GRACE and not self.roster.loads:
            raise self.roster.fault
        if now > self.since + ALONE:
            self.since = math.inf
            self.land([Said(NO_WORKER)])

    def give(self, worker: str, now: float) -> None:
        """Give a worker its next load, but no file that is to wait."""
        works: list[Work] = []
        size = self.roster.size(worker, list(itertools.islice(self.todo, MOST)), len(self.todo))
        while self.todo and len(works) < size:
            work = self.todo.popleft()
            if outcome := self.mover.put_back(work):
                self.land([outcome])
            else:
                works.append(work)
        if not works:
            return
        number, member = self.roster.hand(worker, works, now), self.roster.members[worker]
        jobs = tuple(map(self.job, works))
        for work in works:
            self.hearing[work.row.path] = self.mover.watch(work.row.path)
            self.mover.flying[work.row.path] = 0
        timetable = self.way.timetable.share(len(self.roster.fit())) if self.way.timetable else None
        self.crew.give(worker, Load(number, self.way.setting, jobs, member.share, timetable))

    def job(self, work: Work) -> Job:
        """What a worker is to do."""
        job: Job = self.mover.job(work)
        is_lost = self.roster.is_lost(work.row.path)
        self.mover.goes_out(job)
        if isinstance(job, Copy):
            return job._replace(folder=self.way.setting.folder, is_far=True, is_lost=is_lost)
        return job._replace(source=os.path.abspath(job.source), is_lost=is_lost)
