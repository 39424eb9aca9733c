"""Small files, many at once in the hands of one thread.

Threads that wait for a small file each are in each other's way at Python's lock. So one of them runs for all: it sends
requests ahead, and goes on with whichever is answered. The others lend it their places, and have them back when there
is something for them to do. When it is held up, by a disk say, the next one runs; and when that is usual, none does.
"""

from __future__ import annotations

import contextlib
import os
import queue
import select
import threading
import time
from collections.abc import Generator
from typing import Any, Callable, Protocol

GLANCE = 0.02  # seconds between looks at whether the runner gets on
PATIENCE = 0.05  # seconds after which it is held up
TRIED = 64  # steps after which it is known whether running pays:
MUCH = 0.001  # seconds of waiting in a step, which others could do at the same time,
MOST = 0.01  # and how many of one step count, as a disk that stalls once stalls all
REST = 60.0  # seconds until that is tried again


class Asked(Protocol):
    """A request whose answer is waited for."""

    ends: float  # when it is too late

    def fileno(self) -> int: ...

    def hang_up(self) -> None: ...


Steps = Generator[Asked, None, Any]  # what is done for an item, from one wait to the next; it gives the result


def result_of(steps: Steps) -> Any:
    """What steps come to, for a thread that may wait."""
    try:
        while True:
            next(steps)
    except StopIteration as end:
        return end.value


def alone(call: Callable[..., Any], *arguments: Any) -> Steps:
    """A call that waits by itself, as steps: there is one."""
    return call(*arguments)
    yield


class Workshop(Protocol):
    """Where items come from, and results go to."""

    todo: queue.SimpleQueue[Any]

    def bring_out(self, result: Any) -> None: ...

    def fail(self, error: BaseException) -> None: ...


NOTHING = object()  # no item


class Runner:
    """A thread while it runs."""

    def __init__(self) -> None:
        self.poll = select.poll()
        self.bell, self.button = os.pipe()  # for others that hand it something while it waits
        self.poll.register(self.bell, select.POLLIN)
        self.since = 0.0  # when it has begun with a step; 0 while it waits
        self.looked = time.monotonic()  # for requests that have no answer in time

    def ring(self) -> None:
        """Wake it."""
        os.write(self.button, b"!")

    def answered(self, begun: dict[int, tuple[Asked, Steps]]) -> list[int]:
        """What has been waited for is there, or has become too late."""
        found = [number for number, _ in self.poll.poll(1000)]
        if self.bell in found:
            found.remove(self.bell)
            os.read(self.bell, 64)
        now = time.monotonic()
        if now > self.looked + 1:
            self.looked = now
            found += [number for number, (asked, _) in list(begun.items()) if now > asked.ends and number not in found]
        return found

    def is_held_up(self) -> bool:
        """Whether it does not get on."""
        return 0 < self.since < time.monotonic() - PATIENCE

    def close(self) -> None:
        """It runs no more."""
        os.close(self.bell)
        os.close(self.button)


class Trial:
    """Whether running pays: steps are to be work, more than waiting for a disk. It rests for a while if not."""

    def __init__(self) -> None:
        self.count, self.waited = 0, 0.0  # steps, and seconds of waiting in them
        self.due = 0.0  # when somebody may run

    def is_resting(self) -> bool:
        """Whether nobody is to run."""
        return time.monotonic() < self.due

    def add(self, waited: float) -> None:
        """One step more."""
        self.count, self.waited = self.count + 1, self.waited + min(waited, MOST)
        if self.count >= TRIED:
            if self.waited >= self.count * MUCH:
                self.due = time.monotonic() + REST
            self.count, self.waited = 0, 0.0


class Convoy:
    """What the threads of a lane have begun together."""

    def __init__(self, steps: Callable[[Any], Steps | None], lane: Workshop):
        self.steps = steps  # for an item; None for one that a thread of its own is to do
        self.lane = lane
        self.lock = threading.Lock()  # of what follows
        self.runner: Runner | None = None
        self.places = 0  # how many items it may have begun
        self.begun: dict[int, tuple[Asked, Steps]] = {}  # by what is waited for
        self.handed: queue.SimpleQueue[Any] = queue.SimpleQueue()  # items that others have taken, each with its place
        self.returned: queue.SimpleQueue[Any] = queue.SimpleQueue()  # places that they have back, each with an item
        self.deputy = threading.Lock()  # whoever has it looks after the runner
        self.trial = Trial()

    def take(self, item: Any) -> Any:
        """Have an item done by whoever runs, if it is one for that; what is still to be done by this thread itself."""
        if self.trial.is_resting() or (steps := self.steps(item)) is None:
            return item
        with self.lock:
            other = self.runner
            if other:
                self.places += 1
                self.handed.put(item)
                other.ring()
            else:
                try:
                    runner = self.runner = Runner()
                except OSError:  # too many open files
                    return item
                self.places = 1
        return self.wait() if other else self.run(runner, steps)

    def wait(self) -> Any:
        """What comes back with the place that was lent; or this thread runs, as the one that did is held up."""
        with self.deputy:
            while True:
                with contextlib.suppress(queue.Empty):
                    return self.returned.get(timeout=GLANCE)
                with self.lock, contextlib.suppress(OSError):  # too many open files
                    if self.returned.empty() and self.runner and self.runner.is_held_up():
                        runner = self.runner = Runner()
                        self.places -= 1  # which stays with the one that is held up
                        for number in self.begun:
                            runner.poll.register(number, select.POLLIN)
                        break
        return self.run(runner)

    def run(self, runner: Runner, steps: Steps | None = None) -> Any:
        """Go on with whatever is answered, until nothing is begun; what is still to be done by this thread itself."""
        try:
            if steps and not self.step(runner, steps):
                return NOTHING
            while True:
                left = self.fill(runner)
                if self.is_over(runner, has_item=left is not NOTHING):
                    return left
                for number in runner.answered(self.begun):
                    if (going := self.taken_up(runner, number)) and not self.step(runner, going):
                        return NOTHING
        except BaseException:
            with self.lock:
                if self.runner is runner:  # else others would ring at what is closed
                    self.runner = None
            raise
        finally:
            runner.close()

    def taken_up(self, runner: Runner, number: int) -> Steps | None:
        """What goes on now."""
        with self.lock:
            if self.runner is not runner:
                return None
            runner.poll.unregister(number)
            return self.begun.pop(number)[1]

    def step(self, runner: Runner, steps: Steps) -> bool:
        """Go on with something up to its next wait; whether the thread still runs."""
        began, worked_by_then = time.monotonic(), time.thread_time()
        runner.since = began
        asked = self.go_on(steps)
        runner.since = 0.0
        waited = time.monotonic() - began - (time.thread_time() - worked_by_then)
        with self.lock:
            self.trial.add(waited)
            if self.runner is runner:
                if asked:
                    self.begun[asked.fileno()] = asked, steps
                    runner.poll.register(asked.fileno(), select.POLLIN)
                return True
        while asked:  # another one runs by now: the place is this thread's own
            asked = self.go_on(steps)
        return False

    def go_on(self, steps: Steps) -> Asked | None:
        """Go on with something; what is to be waited for. What comes of it in the end is brought out."""
        try:
            return next(steps)
        except StopIteration as end:
            self.lane.bring_out(end.value)
        except BaseException as error:
            self.lane.fail(error)
        return None

    def fill(self, runner: Runner) -> Any:
        """Begin as much as there are places for; an item that is for the thread itself, which runs no more then."""
        while self.runner is runner and len(self.begun) < self.places and not self.trial.is_resting():
            try:
                item = self.handed.get_nowait() if self.handed.qsize() else self.lane.todo.get_nowait()
            except queue.Empty:
                break
            if item is None:  # the end, of which each thread is told
                self.lane.todo.put(None)
                break
            if steps := self.steps(item):
                if not self.step(runner, steps):
                    break
                continue
            with self.lock:
                if self.places == 1:
                    return item
                self.places -= 1
                self.returned.put(item)
        return NOTHING

    def is_over(self, runner: Runner, has_item: bool) -> bool:
        """Whether nothing is left to run for, or another one runs; places that are not needed go back."""
        with self.lock:
            if self.runner is not runner:
                return True
            coming = 0 if has_item or self.trial.is_resting() else self.handed.qsize()
            while self.places > max(1, len(self.begun) + coming):
                self.places -= 1
                self.returned.put(self.handed.get_nowait() if self.handed.qsize() > coming else NOTHING)
            if not self.begun and not coming:
                self.runner = None
            return self.runner is None
