"""A lane of the pool whose files are in the hands of workers."""

from __future__ import annotations

import contextlib
import math
import queue
import threading
import time
from typing import Callable

from gridsync_parts.errors import GridError
from gridsync_parts.farm.field import Crew, Field, Result, Way
from gridsync_parts.farm.loads import News
from gridsync_parts.farm.marking import lay_mark, lift_mark
from gridsync_parts.fetching import Work
from gridsync_parts.loop import Said
from gridsync_parts.mover import Mover
from gridsync_parts.pool import Settling, start_threads

TICK = 0.3  # seconds between two looks at who is silent
MUSTER = 0.5  # seconds from the first worker on in which others come: else it would get all of a few large files
FAREWELL = 10.0  # seconds in which loads come back when the run ends
JUDGES = 4  # threads that see what follows from failures
Hire = Callable[[Callable[[News], None]], Crew]  # a crew that tells such a function what happens


def is_said(result: Result) -> bool:
    """Whether it is a sentence for the user."""
    return isinstance(result, Said)


class FarLane:
    """What the main thread adds files to, and collects results from; a thread of its own has the field."""

    settling: Settling | None = None  # workers make durable what they bring
    farewell = FAREWELL + 5

    def __init__(self, mover: Mover, hire: Hire, way: Way, wake: Callable[[], None]):
        self.pending = 0  # files that the main thread has not got back
        self.low = 0  # files that no worker has, of which it wants to know
        self.failure: BaseException | None = None  # the first that ends the run
        self.wake = wake
        self.news: queue.SimpleQueue[News | None] = queue.SimpleQueue()  # None: there are new files, or it is the end
        self.results: queue.SimpleQueue[Result] = queue.SimpleQueue()
        self.failed: queue.SimpleQueue[tuple[Work, GridError] | None] = queue.SimpleQueue()
        self.is_ending = False
        self.field = Field(mover, hire(self.news.put), way, self.land, self.judge)
        hands = [self.labour, *[self.see_failures] * JUDGES]
        self.threads = start_threads(threading.Thread(target=self.live, args=[hand], daemon=True) for hand in hands)

    # The main thread.

    def add(self, work: Work) -> None:
        """Give it one more file."""
        self.pending += 1
        self.field.todo.append(work)
        self.news.put(None)

    def ahead(self) -> int:
        """How many files no worker has."""
        return len(self.field.todo)

    @property
    def width(self) -> int:
        """How many files may be under way at once: loads, of as many files as they have now."""
        roster = self.field.roster
        return roster.hands * max(1, roster.usual)

    def busy(self) -> int:
        """How many files are under way, at the most: of each load one."""
        return self.field.roster.under_way()

    def says(self) -> str:
        """How many workers there are, once there are to be any."""
        if not self.field.since:
            return ""
        count = len(self.field.roster.fit())
        return f"{count} worker{'s' * (count != 1)}"

    def collect(self) -> list[Result]:
        """The results that have come."""
        came: list[Result] = []
        with contextlib.suppress(queue.Empty):
            while True:
                came.append(self.results.get_nowait())
        self.pending -= sum(not isinstance(result, Said) for result in came)
        return came

    def end(self) -> None:
        """Have workers end what they are at, and let go of them."""
        self.is_ending = True
        self.field.todo.clear()
        self.news.put(None)

    # The others.

    def live(self, labour: Callable[[], None]) -> None:
        """Labour to the end; what a thread dies of ends the run."""
        try:
            labour()
        except BaseException as error:
            self.fail(error)

    def fail(self, error: BaseException) -> None:
        """End the run with an error."""
        self.failure = self.failure or error
        self.wake()

    def land(self, results: list[Result]) -> None:
        """Hand results over; the main thread is told when it is to bring more, or has all."""
        for result in results:
            self.results.put(result)
        if self.ahead() < self.low or self.results.qsize() >= self.pending or any(map(is_said, results)):
            self.wake()

    def judge(self, work: Work, error: GridError) -> None:
        """Have it seen what follows from a failure."""
        self.failed.put((work, error))

    def see_failures(self) -> None:
        """See what follows from failures, one after the other."""
        while (item := self.failed.get()) is not None:
            work, error = item
            try:
                self.land([self.field.mover.fail(work, error)])
            except BaseException as fault:
                self.fail(fault)

    def labour(self) -> None:
        """Hand out files until the run ends, and wait for what is still with workers then."""
        field, is_started, begins = self.field, False, math.inf
        try:
            while not self.is_ending:
                self.listen(TICK)
                if field.roster.members:
                    begins = min(begins, time.monotonic() + MUSTER)
                if field.todo and not is_started:
                    field.since, is_started = time.monotonic(), True
                    field.roster.are_lost = lay_mark(field.way.setting)
                    field.crew.start()
                if is_started and not self.failure and (time.monotonic() >= begins or not field.roster.members):
                    field.turn(time.monotonic())
        except GridError as error:
            self.fail(error)
        finally:
            self.wind_up(is_started)

    def listen(self, seconds: float) -> None:
        """Apply what has happened; if that is nothing, so long is waited for it."""
        with contextlib.suppress(queue.Empty):
            news = self.news.get(timeout=seconds)
            while True:
                if news is not None:
                    self.field.take(news, time.monotonic())
                news = self.news.get_nowait()

    def wind_up(self, is_started: bool) -> None:
        """Have all come back that can, and let go of the workers."""
        field, ends = self.field, time.monotonic() + FAREWELL
        try:
            if is_started and field.roster.loads:
                field.crew.halt()
                while field.roster.loads and time.monotonic() < ends:
                    self.listen(TICK)
        except GridError:  # the scheduler is gone, say: nothing comes back
            pass
        finally:
            are_gone = field.crew.close()
            may_be = not are_gone and bool(field.roster.lost or field.roster.loads)  # the next run has to know
            lift_mark(field.way.setting, may_be)
            for _ in range(JUDGES):
                self.failed.put(None)
