"""Threads that make calls and hand over what comes of them; the main thread alone touches catalog and screen."""

from __future__ import annotations

import contextlib
import functools
import queue
import signal
import threading
import time
from collections.abc import Iterable
from typing import Any, Callable, Protocol

from gridsync_parts.convoy import NOTHING, Convoy, Steps
from gridsync_parts.machine import UNSETTLED

GATHERING = 0.05  # seconds in which what has arrived gathers
FAREWELL = 2.0  # seconds that threads have to end
ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # signals that end a run


class News:
    """Wakes the main thread; also from a signal's handler, where an Event would wait for the thread it interrupts."""

    def __init__(self) -> None:
        self.tokens: queue.SimpleQueue[None] = queue.SimpleQueue()

    def set(self) -> None:
        """There is something to do."""
        if self.tokens.empty():
            self.tokens.put(None)

    def is_set(self) -> bool:
        """Whether there is."""
        return not self.tokens.empty()

    def wait(self, seconds: float) -> bool:
        """Whether there is, or comes to be in so many seconds; from now on it is known."""
        try:
            self.tokens.get(timeout=max(0.0, seconds))
        except queue.Empty:
            return False
        return True


class Arriving(Protocol):
    """What a thread waits for: the bytes of a file, or what a door says of a copy."""

    @property
    def hang_up(self) -> Callable[[], None]: ...


class Stop(threading.Event):
    """Tells threads to end, and wakes those that wait for bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.bodies: set[Arriving] = set()  # that arrive just now

    def set(self) -> None:
        super().set()
        for body in list(self.bodies):
            body.hang_up()


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


class Hands(Protocol):
    """What works on one kind of items: threads of this process, or others."""

    pending: int  # items that the main thread has not got back
    low: int  # items that nobody has begun, of which it wants to know
    failure: BaseException | None  # the first of the work
    threads: list[threading.Thread]  # which end after end()
    settling: Settling | None
    farewell: float  # seconds that they have to end, if more than usual

    @property
    def width(self) -> int: ...  # items that may be under way at once

    def add(self, item: Any) -> None: ...

    def ahead(self) -> int: ...

    def collect(self) -> list[Any]: ...

    def end(self) -> None: ...

    def busy(self) -> int: ...  # how many items are under way, at the most

    def says(self) -> str: ...  # what is to be said of it beside the progress


class Lane:
    """Threads that work on one kind of items. They never hold the exit, whatever they hang in."""

    farewell = 0.0

    def __init__(
        self, work: Callable[[Any], Any], threads: int, news: News, settling: Settling | None,
        steps: Callable[[Any], Steps | None] | None = None,
    ):  # fmt: skip
        self.work = work
        self.news = news  # is set when there is something to do for the main thread
        self.pending = 0  # items that it has not got back
        self.low = 0  # items in front of the threads, of which the main thread wants to know
        self.failure: BaseException | None = None  # the first of the work
        self.todo: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.done: queue.SimpleQueue[list[Any]] = queue.SimpleQueue()  # a list an item, empty when it has failed
        self.settling = settling
        self.convoy = Convoy(steps, self) if steps else None
        if settling:
            settling.start(self)
        hands = (threading.Thread(target=self.live, args=[self.labour], daemon=True) for _ in range(threads))
        self.threads = start_threads(hands)

    def live(self, labour: Callable[[], None]) -> None:
        """Labour to the end; what a thread dies of, as it has no memory to hand over anything, ends the run."""
        try:
            labour()
        except BaseException as error:
            self.failure = self.failure or error
            self.news.set()

    def labour(self) -> None:
        """What each thread does."""
        while (item := self.todo.get()) is not None:
            left = self.convoy.take(item) if self.convoy else item
            if left is not NOTHING:
                self.do(left)

    def do(self, item: Any) -> None:
        """Do what there is to do for an item."""
        try:
            result = self.work(item)
        except BaseException as error:
            self.fail(error)
            return
        self.bring_out(result)

    def fail(self, error: BaseException) -> None:
        """An item's work has failed; that is raised in the main thread."""
        self.land([[]], error)

    def bring_out(self, result: Any) -> None:
        """Hand over what came of an item, or have it settled."""
        if self.settling and isinstance(result, self.settling.kind):
            self.settling.add(result)
        else:
            self.land([[result]])
        if self.todo.qsize() < self.low:
            self.news.set()

    def land(self, results: list[list[Any]], failure: BaseException | None = None) -> None:
        """Hand results over; to wake the main thread for each of them would hold up the others."""
        self.failure = self.failure or failure
        for result in results:
            self.done.put(result)
        if failure or self.done.qsize() >= self.pending:
            self.news.set()

    def add(self, item: Any) -> None:
        """Give it one more item, at any time."""
        self.pending += 1
        self.todo.put(item)

    def ahead(self) -> int:
        """How many items no thread has begun yet."""
        return self.todo.qsize()

    @property
    def width(self) -> int:
        """How many items may be under way at once."""
        return len(self.threads)

    def busy(self) -> int:
        """How many items are under way, at the most; the others wait in front of the threads."""
        return len(self.threads)

    def says(self) -> str:
        """What is to be said of it: nothing."""
        return ""

    def collect(self) -> list[Any]:
        """The results that have come."""
        came: list[Any] = []
        with contextlib.suppress(queue.Empty):
            while True:
                came += self.done.get_nowait()
                self.pending -= 1
        return came

    def end(self) -> None:
        """Have its threads end once they have done what they are at; what none has begun is dropped."""
        with contextlib.suppress(queue.Empty):
            while True:
                self.todo.get_nowait()
        for _thread in self.threads:
            self.todo.put(None)


class Settling:
    """A thread that ends the work on several items together: all that have come while it was busy."""

    def __init__(self, settle: Callable[[list[Any]], list[Any]], most: int = UNSETTLED, kind: type = object):
        self.settle = settle
        self.kind = kind  # of the items that there is something to end for
        self.most = max(1, most)
        self.places = threading.Semaphore(self.most)
        self.arrived: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def start(self, lane: Lane) -> None:
        """Begin to take what a lane brings."""
        labour = functools.partial(self.labour, lane)  # of no more than the thread: what it brings to is let go with it
        self.threads = start_threads([threading.Thread(target=lane.live, args=[labour], daemon=True)])

    def add(self, item: Any) -> None:
        """Give it one more item, once there is a place for it."""
        self.places.acquire()
        self.arrived.put(item)

    def labour(self, lane: Lane) -> None:
        """What the thread does."""
        while (first := self.arrived.get()) is not None:
            others = lane.pending - lane.done.qsize() - 1
            if others > self.arrived.qsize() < self.most // 2:  # more may come soon
                time.sleep(GATHERING)
            some = [first]
            with contextlib.suppress(queue.Empty):
                while (item := self.arrived.get_nowait()) is not None:
                    some.append(item)
                self.arrived.put(None)  # it was the end
            try:
                lane.land([[result] for result in self.settle(some)])
            except BaseException as error:
                lane.land([[] for _ in some], error)
            self.places.release(len(some))


class Pool:
    """All threads of a run, in lanes."""

    def __init__(self) -> None:
        self.news = News()
        self.lanes: dict[str, Hands] = {}

    def open(
        self, name: str, work: Callable[[Any], Any], threads: int, settling: Settling | None = None,
        steps: Callable[[Any], Steps | None] | None = None,
    ) -> Lane:  # fmt: skip
        """Have threads for one kind of items; small ones are done in steps, if there are such."""
        lane = self.lanes[name] = Lane(work, threads, self.news, settling, steps)
        return lane

    def hold(self, name: str, lane: Hands) -> Hands:
        """Have a lane of another kind among the others."""
        self.lanes[name] = lane
        return lane

    def add(self, lane: str, item: Any) -> None:
        """Give a lane one more item."""
        self.lanes[lane].add(item)

    def pending(self, lane: str) -> int:
        """How many items of a lane are under way, or wait."""
        return self.lanes[lane].pending if lane in self.lanes else 0

    def collect(self, seconds: float) -> list[tuple[str, list[Any]]]:
        """What has come of each lane; if there is nothing to do, so long is waited for it."""
        self.news.wait(seconds)
        return [(name, came) for name, lane in self.lanes.items() if (came := lane.collect())]

    def check(self) -> None:
        """Raise what the work has failed with."""
        for lane in self.lanes.values():
            if lane.failure:
                raise lane.failure

    def settle(self, lane: str, seconds: float) -> list[Any]:
        """What comes of a lane until nothing more is to come, whoever says again that it is enough."""
        heard = [(number, signal.signal(number, signal.SIG_IGN)) for number in ENDS]
        came, ends = [], time.monotonic() + seconds
        try:
            while self.pending(lane) and (left := ends - time.monotonic()) > 0:
                self.news.wait(min(left, 0.1))
                came += self.lanes[lane].collect()
        finally:
            for number, handler in heard:
                signal.signal(number, handler)
        return came

    def shut(self, name: str) -> list[Any]:
        """End the threads of a lane, as far as they do end; what has come of it."""
        lane = self.lanes.pop(name)
        lane.end()
        ends = time.monotonic() + max(FAREWELL, lane.farewell)
        for thread in lane.threads:
            thread.join(max(0.0, ends - time.monotonic()))
        if lane.settling:
            lane.settling.arrived.put(None)  # behind all that they have brought
            for thread in lane.settling.threads:
                thread.join(max(0.0, ends - time.monotonic()))
        return lane.collect()

    def close(self) -> None:
        """Have all threads end when they can."""
        for lane in self.lanes.values():
            lane.end()
