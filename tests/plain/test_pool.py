"""Threads that work and hand over what came of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from gridsync_parts.pool import ENDS, GATHERING, Pool, Settling, Stop, start_threads
from tests.support import TOP
from tests.support.constants import replace
from tests.support.user import wait_until

SOON = 5  # seconds after which what should happen at once never will


@pytest.fixture
def pool() -> Iterator[Pool]:
    pool = Pool()
    yield pool
    pool.close()


def all_of(pool: Pool, lane: str = "lane") -> list[Any]:
    """What a lane brings of all that it was given."""
    came, ends = [], time.monotonic() + SOON
    while pool.pending(lane):
        for name, some in pool.collect(SOON):
            came += some if name == lane else []
        assert time.monotonic() < ends
    return came


@pytest.mark.parametrize("threads", [1, 4])
def test_a_lane_works_on_all_that_it_is_given(pool, threads):
    pool.open("lane", lambda number: number * number, threads)
    for number in range(50):
        pool.add("lane", number)
    assert sorted(all_of(pool)) == [number * number for number in range(50)]
    assert pool.pending("lane") == 0
    pool.check()


def test_a_thread_that_can_hand_over_nothing_ends_the_run_and_is_not_waited_for(pool):
    lane = pool.open("lane", str, 1)

    def put(result: object) -> None:
        raise MemoryError

    lane.done = SimpleNamespace(put=put, qsize=lambda: 0)
    pool.add("lane", 1)
    assert pool.news.wait(SOON)
    with pytest.raises(MemoryError):
        pool.check()


def test_one_thread_keeps_the_order(pool):
    pool.open("lane", str, 1)
    for number in range(20):
        pool.add("lane", number)
    assert all_of(pool) == [str(number) for number in range(20)]


def test_a_lane_takes_more_while_it_works(pool):
    pool.open("lane", lambda number: number, 2)
    pool.add("lane", 5)
    seen = []
    while pool.pending("lane"):
        for _, numbers in pool.collect(SOON):
            seen += numbers
            for number in filter(None, numbers):
                pool.add("lane", number - 1)
    assert seen == [5, 4, 3, 2, 1, 0]


def test_items_are_worked_on_at_once_as_many_as_there_are_threads(pool):
    together = threading.Barrier(3, timeout=SOON)
    pool.open("lane", lambda _: together.wait(), 3)
    for number in range(3):
        pool.add("lane", number)
    assert sorted(all_of(pool)) == [0, 1, 2]
    assert not together.broken


def test_what_comes_of_each_lane_is_named_and_a_lane_that_is_not_open_has_nothing(pool):
    go = threading.Event()
    pool.open("slow", lambda item: go.wait(SOON), 1)
    pool.open("quick", str, 1)
    pool.add("slow", 1)
    pool.add("quick", 2)
    wait_until(lambda: pool.lanes["quick"].done.qsize())
    assert pool.collect(0) == [("quick", ["2"])]
    assert [pool.pending(name) for name in ("slow", "quick", "shut")] == [1, 0, 0]
    go.set()
    assert all_of(pool, "slow") == [True]


def test_what_the_work_fails_with_is_raised_in_the_main_thread_and_the_others_go_on(pool):
    def work(number: int) -> int:
        if number % 2:
            raise ZeroDivisionError(number)
        return number

    pool.open("lane", work, 1)
    for number in range(5):
        pool.add("lane", number)
    assert all_of(pool) == [0, 2, 4]
    with pytest.raises(ZeroDivisionError, match=r"^1$"):  # the first one
        pool.check()


@pytest.mark.parametrize("failure", [KeyboardInterrupt, SystemExit, MemoryError])
def test_not_even_what_is_no_error_of_ours_is_lost_in_a_thread(pool, failure):
    def work(_: int) -> None:
        raise failure

    pool.open("lane", work, 1)
    pool.add("lane", 1)
    assert all_of(pool) == []
    with pytest.raises(failure):
        pool.check()


def test_a_failure_wakes_the_main_thread_though_others_are_under_way(pool):
    go = threading.Event()
    pool.open("lane", lambda item: go.wait(SOON) if item else 1 / 0, 2)
    pool.add("lane", 1)
    pool.add("lane", 0)
    began = time.monotonic()
    assert pool.collect(SOON) == [] and time.monotonic() - began < 1
    with pytest.raises(ZeroDivisionError):
        pool.check()
    go.set()


# When the main thread is woken.


def test_it_waits_until_all_is_done(pool):
    pool.open("lane", lambda go: go.wait(SOON), 2)
    began = time.monotonic()
    for count in (2, 1):
        events = [threading.Event() for _ in range(count)]
        for number, event in enumerate(events):
            pool.add("lane", event)
            threading.Timer(0.01 * (number + 1), event.set).start()
        assert pool.collect(SOON) == [("lane", [True] * count)]
    assert time.monotonic() - began < 0.5


def test_it_waits_no_longer_than_it_may(pool):
    go, began = threading.Event(), time.monotonic()
    pool.open("lane", lambda _: go.wait(SOON), 1)
    pool.add("lane", 1)
    assert pool.collect(0.001) == [] and pool.pending("lane") == 1
    assert time.monotonic() - began < 0.5
    go.set()


def test_it_is_woken_when_fewer_items_wait_than_it_wants_to_know_of(pool):
    gate = threading.Semaphore(0)
    pool.open("lane", lambda _: gate.acquire(timeout=SOON), 1)
    lane = pool.lanes["lane"]
    for number in range(10):
        pool.add("lane", number)
    lane.low = 5
    for done in range(1, 6):
        gate.release()
        wait_until(lambda done=done: lane.done.qsize() == done)
        wait_until(lambda done=done: lane.todo.qsize() == 9 - done)  # it is at the next one
        assert not pool.news.is_set() and lane.ahead() == 9 - done
    gate.release()
    assert pool.news.wait(SOON) and pool.pending("lane") == 10
    gate.release(10)


def test_without_such_a_wish_it_is_not(pool):
    gate = threading.Semaphore(0)
    pool.open("lane", lambda _: gate.acquire(timeout=SOON), 1)
    for number in range(3):
        pool.add("lane", number)
    gate.release(2)
    wait_until(lambda: pool.lanes["lane"].done.qsize() == 2)
    assert not pool.news.wait(0.01)
    gate.release()
    assert pool.news.wait(SOON)


SIGNALLED = """
import signal
from gridsync_parts.pool import Pool

pool, heard = Pool(), []
signal.signal(signal.SIGALRM, lambda *_: (heard.append(1), pool.news.set()))
signal.setitimer(signal.ITIMER_REAL, 0.0001, 0.0001)
while len(heard) < 5000:
    pool.collect(0.00001)
print("done")
"""


@pytest.mark.slow
def test_a_signal_may_come_at_any_moment():
    command = [sys.executable, "-c", SIGNALLED]
    done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "done\n", done.stderr


# The end.


def test_a_lane_that_is_shut_ends_its_threads_and_drops_what_none_has_begun(pool):
    begun, go = threading.Event(), threading.Event()

    def work(number: int) -> int:
        begun.set()
        assert go.wait(SOON)
        return number

    pool.open("lane", work, 1)
    threads = pool.lanes["lane"].threads
    for number in range(5):
        pool.add("lane", number)
    assert begun.wait(SOON)
    threading.Timer(0.01, go.set).start()
    assert pool.shut("lane") == [0]
    assert not any(thread.is_alive() for thread in threads) and "lane" not in pool.lanes


@pytest.mark.parametrize("where", ["work", "settle"])
def test_a_thread_that_hangs_does_not_hold_the_lane(pool, monkeypatch, where):
    replace(monkeypatch, "FAREWELL", 0.02)
    begun, go = threading.Event(), threading.Event()

    def hang(item: str) -> str:
        if item == where:
            begun.set()
            go.wait(SOON)
        return "settle"

    pool.open("lane", hang, 3, Settling(lambda some: [hang(item) for item in some]))
    lane = pool.lanes["lane"]
    pool.add("lane", "work")
    assert begun.wait(SOON)
    left = time.monotonic()
    assert pool.shut("lane") == []
    assert time.monotonic() - left < 0.5
    hanging = lane.threads if where == "work" else lane.settling.threads
    assert [thread.is_alive() for thread in hanging].count(True) == 1
    go.set()


HANGING = """
import threading
from gridsync_parts.pool import Pool, Settling
begun = threading.Event()
def hang(item):
    begun.set()
    threading.Event().wait()
pool = Pool()
pool.open("lane", {})
pool.add("lane", 1)
assert begun.wait(5)
pool.close()
"""


@pytest.mark.parametrize("how", ["hang, 1", "str, 1, Settling(hang)"])
def test_a_call_that_hangs_never_holds_the_exit(how):
    done = subprocess.run([sys.executable, "-c", HANGING.format(how)], cwd=TOP, timeout=2 * SOON, check=False)
    assert done.returncode == 0


def test_all_threads_end_when_the_pool_is_closed(pool):
    pool.open("one", str, 2)
    pool.open("two", str, 1)
    threads = [thread for lane in pool.lanes.values() for thread in lane.threads]
    pool.close()
    wait_until(lambda: not any(thread.is_alive() for thread in threads))


def test_what_has_landed_is_not_kept(pool):
    class Thing:
        """Something that is seen to go."""

    pool.open("lane", lambda thing: thing, 2)
    there = []
    for _ in range(20):
        thing = Thing()
        there.append(weakref.ref(thing))
        pool.add("lane", thing)
    del thing
    assert len(all_of(pool)) == 20
    assert sum(found() is not None for found in there) <= 2  # each thread has its last one


class Unstartable(threading.Thread):
    """A thread that the machine has no room for."""

    def start(self) -> None:
        raise RuntimeError("can't start new thread")


def test_a_lane_does_with_the_threads_that_the_machine_has():
    good, more = threading.Thread(), threading.Thread()
    assert start_threads([good, Unstartable(), more]) == [good]
    assert not more.ident
    with pytest.raises(RuntimeError, match="new thread"):
        start_threads([Unstartable(), more])


# The thread that settles.


def test_what_comes_while_others_are_settled_is_settled_together(pool, monkeypatch):
    replace(monkeypatch, "GATHERING", 0)
    go, groups = threading.Event(), []

    def settle(some: list[int]) -> list[str]:
        groups.append(len(some))
        if len(groups) == 1:
            assert go.wait(SOON)
        return [str(number) for number in some]

    settling = Settling(settle)
    pool.open("lane", lambda number: number, 1, settling)
    pool.add("lane", 0)
    wait_until(lambda: groups)
    for number in range(1, 10):
        pool.add("lane", number)
    wait_until(lambda: settling.arrived.qsize() >= 9)
    go.set()
    assert all_of(pool) == [str(number) for number in range(10)]
    assert groups == [1, 9]


@pytest.mark.parametrize("most", [1, 3])
def test_no_more_wait_to_be_settled_than_may(pool, most):
    go = threading.Event()

    def settle(some: list[int]) -> list[int]:
        assert go.wait(SOON)
        return some

    worked = []

    def work(number: int) -> int:
        worked.append(number)
        return number

    pool.open("lane", work, 1, Settling(settle, most))
    for number in range(10):
        pool.add("lane", number)
    wait_until(lambda: len(worked) > most)
    pool.collect(0.01)
    assert len(worked) == most + 1  # the last one waits for its place
    go.set()
    assert len(all_of(pool)) == 10


@pytest.mark.parametrize("most", [0, -5])
def test_one_place_is_there_always(pool, most):
    pool.open("lane", str, 1, Settling(lambda some: some, most))
    pool.add("lane", 1)
    assert all_of(pool) == ["1"]


def test_what_the_settling_fails_with_is_raised_and_gives_the_places_back(pool):
    def settle(some: list[int]) -> list[int]:
        raise ZeroDivisionError

    pool.open("lane", lambda number: number, 1, Settling(settle, 1))
    for number in range(5):
        pool.add("lane", number)
    assert all_of(pool) == []
    with pytest.raises(ZeroDivisionError):
        pool.check()


def test_what_was_worked_on_is_settled_though_the_lane_is_shut(pool):
    worked = threading.Event()

    def work(number: int) -> int:
        worked.set()
        return number

    settling = Settling(lambda some: [-number for number in some])
    pool.open("lane", work, 1, settling)
    pool.add("lane", 1)
    assert worked.wait(SOON)
    assert pool.shut("lane") == [-1]
    assert not any(thread.is_alive() for thread in settling.threads)


@pytest.mark.parametrize(
    ("most", "others", "gathers"),
    [
        (200, [], False),
        (200, ["busy"], True),
        (200, ["failed"], False),  # nothing comes of it
        (200, ["failed", "busy"], True),
        (2, ["busy"], True),
        (1, ["busy"], False),  # it has its place only when this one is settled
    ],
)
def test_what_may_come_soon_is_waited_for(pool, monkeypatch, most, others, gathers):
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    go = threading.Event()

    def work(kind: str) -> str:
        assert kind != "failed"
        if kind == "busy":
            go.wait(SOON)
        return kind

    pool.open("lane", work, 2, Settling(lambda some: some, most))
    done = pool.lanes["lane"].done
    for kind in others:
        pool.add("lane", kind)
    wait_until(lambda: done.qsize() >= others.count("failed"))
    pool.add("lane", "quick")
    wait_until(lambda: done.qsize() > others.count("failed"))
    assert slept.count(GATHERING) == gathers
    go.set()


def test_the_end_may_come_with_the_last_items(pool):
    begun, go = threading.Event(), threading.Event()

    def settle(some: list[int]) -> list[int]:
        begun.set()
        assert go.wait(SOON)
        return some

    settling = Settling(settle)
    pool.open("lane", lambda number: number, 1, settling)
    pool.add("lane", 1)
    assert begun.wait(SOON)
    pool.add("lane", 2)
    wait_until(lambda: settling.arrived.qsize())
    threading.Timer(0.02, go.set).start()
    assert pool.shut("lane") == [1, 2]
    assert not any(thread.is_alive() for thread in settling.threads)


def test_only_what_there_is_something_to_end_for_is_settled_and_all_else_is_there_at_once(pool):
    go = threading.Event()

    def settle(some: list[Any]) -> list[Any]:
        go.wait(SOON)
        return some

    pool.open("lane", lambda item: item, 2, Settling(settle, kind=str))
    for item in ("settled", 1, 2):
        pool.add("lane", item)
    came: list[Any] = []
    wait_until(lambda: len(came.extend(pool.lanes["lane"].collect()) or came) == 2)
    assert sorted(came) == [1, 2]
    go.set()
    assert all_of(pool) == ["settled"]


# What is still to come when the run ends.


def test_what_is_under_way_is_waited_for_but_not_for_ever(pool):
    go = threading.Event()
    pool.open("lane", lambda item: go.wait(SOON), 1)
    pool.add("lane", 1)
    assert pool.settle("lane", 0.01) == [] and pool.pending("lane") == 1
    threading.Timer(0.02, go.set).start()
    assert pool.settle("lane", SOON) == [True] and pool.pending("lane") == 0
    assert pool.settle("lane", SOON) == pool.settle("shut", SOON) == []


@pytest.mark.parametrize("number", ENDS)
def test_who_says_twice_that_it_is_enough_is_not_heard_meanwhile(pool, number):
    def heard(*_: object) -> None:
        raise KeyboardInterrupt

    def call(_: object) -> str:
        wait_until(lambda: signal.getsignal(number) is not heard)
        os.kill(os.getpid(), number)
        return "done"

    pool.open("lane", call, 1)
    before = signal.signal(number, heard)
    try:
        pool.add("lane", 1)
        assert pool.settle("lane", SOON) == ["done"]
        assert signal.getsignal(number) is heard  # later ones are
    finally:
        signal.signal(number, before)


# Stop.


class Silent:
    """A body that somebody waits for."""

    is_woken = False

    def hang_up(self) -> None:
        self.is_woken = True


def test_who_is_told_to_stop_no_longer_waits_for_bytes():
    stop, bodies = Stop(), [Silent(), Silent()]
    stop.bodies.update(bodies)
    assert not stop.is_set()
    stop.set()
    assert stop.is_set() and all(body.is_woken for body in bodies)
