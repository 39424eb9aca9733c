"""Threads that work on single items and return; the main thread alone touches catalog and screen."""

from __future__ import annotations

import contextlib
import math
import queue
import random
import signal
import threading
import time
from collections.abc import Iterable
from typing import Any, Callable, Generic, TypeVar

from gridsync_parts.doors import Body
from gridsync_parts.doors.throttle import HELD
from gridsync_parts.errors import CredentialError, GridError, PoolError, TooFast
from gridsync_parts.log import log, nothing
from gridsync_parts.machine import UNSETTLED
from gridsync_parts.values import TICK, T
from gridsync_parts.words import duration_text

R = TypeVar("R")
DOORS_SHUT = 8  # failures of the door, one after the other, that end a run
GATHERING = 0.05  # seconds in which what has arrived gathers
WONDER = 5.0  # seconds of a pause that is told,
NEWS = 30.0  # so often at the most
WORTH = 64 << 10  # bytes that have to come for a failure not to count
FAREWELL = 2.0  # seconds that threads have to end


class Stop(threading.Event):
    """Tells threads to end, and wakes those that wait for bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.bodies: set[Body] = set()  # that arrive just now

    def set(self) -> None:
        super().set()
        for body in list(self.bodies):
            body.hang_up()


class Patience:
    """Calls again, after growing pauses, what failed in a way that may pass."""

    def __init__(
        self, retries: int, stopping: Stop | None = None, clock: Callable[[], float] = time.monotonic
    ):
        self.retries = retries
        self.stopping = stopping or Stop()
        self.clock = clock
        self.awaited = 0.0, ""  # until when there is a pause, and after what
        self.due = 0.0  # when the next one may be told

    def tell(self, note: Callable[[str], None]) -> bool:
        """Say what a long pause is for; whether there was something to say."""
        now, (until, failure) = self.clock(), self.awaited
        if until - now < WONDER or now < self.due:
            return False
        self.awaited, self.due = (0.0, ""), now + NEWS
        note(f"Waiting {duration_text(math.ceil(until - now))} before the next attempt: {failure}")
        return True

    def call(self, verb: Callable[..., T], *arguments: Any, progress: Callable[[], int] = lambda: 0) -> T:
        """The result of the first call that succeeds; failures do not count when enough has come meanwhile."""
        attempt, before, ends = 0, progress(), self.clock() + HELD
        while True:
            try:
                return verb(*arguments)
            except GridError as error:
                if isinstance(error, TooFast) and self.clock() < ends and not self.stopping.is_set():
                    continue  # it is the next call that waits
                if progress() >= before + WORTH:
                    attempt, before = 0, progress()
                # A proxy or token may just be renewed, but who waits for that a second time waits in vain. And a pool
                # is waited for by all of its files together.
                is_once = isinstance(error, (CredentialError, PoolError))
                retries = min(self.retries, 1) if is_once else self.retries
                if not error.passing or attempt >= retries:
                    raise
                log.debug("attempt %d failed: %s", attempt + 1, error)
                # The first time at once: often a kept connection has just died of old age.
                pause = 0 if attempt == 0 else min(60, 2**attempt) * random.uniform(0.5, 1)
                pause = max(pause, error.pause)
                self.awaited = self.clock() + pause, str(error)
                if self.stopping.wait(pause):
                    raise
                attempt += 1


class Aside:
    """A thread for the calls of the main thread, which gfal2 would keep from the screen and from Ctrl-C."""

    def __init__(self) -> None:
        from concurrent import futures

        self.thread = futures.ThreadPoolExecutor(1)
        self.wait = futures.wait

    def settle(self, seconds: float) -> None:
        """Wait for a call that nobody waits for any more, whoever says again that it is enough."""
        heard = [(number, signal.signal(number, signal.SIG_IGN)) for number in (signal.SIGINT, signal.SIGTERM)]
        try:
            self.wait([self.thread.submit(nothing)], seconds)
        finally:
            for number, handler in heard:
                signal.signal(number, handler)

    def result(self, call: Callable[[], T], tick: Callable[[], None]) -> T:
        """What a call gives; tick is called while it lasts."""
        future = self.thread.submit(call)
        while not self.wait([future], TICK).done:  # a wait without limit could not be interrupted
            tick()
        return future.result()


def start_threads(threads: Iterable[threading.Thread]) -> list[threading.Thread]:
    """Those of the threads that this machine can start, at least one."""
    running: list[threading.Thread] = []
    for thread in threads:
        try:
            thread.start()
        except RuntimeError:
            if not running:
                raise
            break  # those that there are can do it all
        running.append(thread)
    return running


class Crew(Generic[T, R]):
    """Threads that work on items. They never hold the exit, whatever they hang in."""

    def __init__(
        self, work: Callable[[T], Any], threads: int, patience: Patience,
        settle: Callable[[list[Any]], list[R]] | None = None, unsettled: int = UNSETTLED,
    ):  # fmt: skip
        self.work = work
        self.settle = settle  # ends the work on several items together; else a result of work is one of the crew
        self.unsettled = max(1, unsettled)
        self.places = threading.Semaphore(self.unsettled)  # for what is to be settled
        self.arrived: queue.SimpleQueue[Any] = queue.SimpleQueue()  # what is to be settled
        self.patience = patience  # of the work, which ends when it is told to stop
        self.pending = 0
        self.failure: BaseException | None = None  # the first of the work
        self.todo: queue.SimpleQueue[T | None] = queue.SimpleQueue()
        self.done: queue.SimpleQueue[list[R]] = queue.SimpleQueue()  # a list an item, empty when it has failed
        self.at_rest = threading.Event()  # nothing is pending, or so it seemed to the thread that was last
        self.threads = start_threads(threading.Thread(target=self.labour, daemon=True) for _ in range(threads))
        self.settler = start_threads([threading.Thread(target=self.settle_on, daemon=True)]) if settle else []

    def labour(self) -> None:
        """What each thread does."""
        while (item := self.todo.get()) is not None:
            try:
                result = self.work(item)
            except BaseException as error:  # it is raised in the main thread
                self.land([[]], error)
                continue
            if self.settle is None:
                self.land([[result]])
                continue
            self.places.acquire()
            self.arrived.put(result)

    def settle_on(self) -> None:
        """What the thread that settles does: all that has come while it was busy is done together."""
        while (first := self.arrived.get()) is not None:
            others = self.pending - self.done.qsize() - 1
            if others > self.arrived.qsize() < self.unsettled // 2:  # more may come soon
                time.sleep(GATHERING)
            some = [first]
            with contextlib.suppress(queue.Empty):
                while (item := self.arrived.get_nowait()) is not None:
                    some.append(item)
                self.arrived.put(None)  # it was the end
            self.settle_some(some)

    def settle_some(self, some: list[Any]) -> None:
        """Settle what has arrived."""
        try:
            self.land([[result] for result in self.settle(some)] if self.settle else [])
        except BaseException as error:
            self.land([[] for _ in some], error)
        self.places.release(len(some))

    def land(self, results: list[list[R]], failure: BaseException | None = None) -> None:
        """Hand results to the main thread."""
        self.failure = self.failure or failure
        for result in results:
            self.done.put(result)
        if self.done.qsize() >= self.pending:
            self.at_rest.set()

    def add(self, item: T) -> None:
        """Give it one more item, at any time."""
        self.pending += 1
        self.todo.put(item)

    def rest(self, seconds: float) -> None:
        """Let them work for so long, unless all is done before: to wake for each result would hold up the others."""
        self.at_rest.wait(seconds)
        self.at_rest.clear()

    def collect(self, timeout: float = 0) -> list[R]:
        """The results that have come; the first is waited for so long."""
        came: list[R] = []
        with contextlib.suppress(queue.Empty):
            while True:
                came += self.done.get(timeout=timeout)
                self.pending -= 1
                timeout = 0
        return came

    def check(self) -> None:
        """Raise what the work has failed with."""
        if self.failure:
            raise self.failure

    def __enter__(self) -> Crew[T, R]:
        return self

    def __exit__(self, broken: object, *_: object) -> None:
        if broken:
            self.patience.stopping.set()
        with contextlib.suppress(queue.Empty):
            while True:
                self.todo.get_nowait()
        for _thread in self.threads:
            self.todo.put(None)
        ends = time.monotonic() + FAREWELL
        for thread in self.threads:
            thread.join(max(0.0, ends - time.monotonic()))
        self.arrived.put(None)  # behind all that they have brought
        for thread in self.settler:
            thread.join(max(0.0, ends - time.monotonic()))
