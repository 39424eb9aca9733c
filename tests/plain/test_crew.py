"""Threads that work, patience with what may pass, and a thread aside for the main one."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from gridsync_parts.crew import GATHERING, NEWS, WONDER, WORTH, Aside, Crew, Patience, start_threads
from gridsync_parts.doors.throttle import HELD
from gridsync_parts.errors import (
    Changed,
    CredentialError,
    DiskError,
    DoorError,
    FileError,
    GridError,
    Mismatch,
    NotFound,
    PoolError,
    TooFast,
    Unreached,
)
from tests.support.clock import Clock, Pauses
from tests.support.constants import replace
from tests.support.user import wait_until

SOON = 5  # seconds after which what should happen at once never will


# Crew.


def all_of(crew: Crew[Any, Any]) -> list[Any]:
    """What a crew brings of all that it was given."""
    brought: list[Any] = []
    while crew.pending:
        came = crew.collect(SOON)
        assert came or not crew.pending or crew.failure
        brought += came
    return brought


@pytest.mark.parametrize("threads", [1, 4])
def test_a_crew_works_on_all_that_it_is_given(threads):
    with Crew(lambda number: number * number, threads, Patience(0)) as crew:
        for number in range(50):
            crew.add(number)
        assert sorted(all_of(crew)) == [number * number for number in range(50)]
        assert crew.pending == 0 and crew.failure is None


def test_one_thread_keeps_the_order():
    with Crew(str, 1, Patience(0)) as crew:
        for number in range(20):
            crew.add(number)
        assert all_of(crew) == [str(number) for number in range(20)]


def test_a_crew_takes_more_while_it_works():
    with Crew(lambda number: number, 2, Patience(0)) as crew:
        crew.add(5)
        seen = []
        while crew.pending:
            for number in crew.collect(SOON):
                seen.append(number)
                if number:
                    crew.add(number - 1)
        assert seen == [5, 4, 3, 2, 1, 0]


def test_items_are_worked_on_at_once_as_many_as_there_are_threads():
    together = threading.Barrier(3, timeout=SOON)
    with Crew(lambda _: together.wait(), 3, Patience(0)) as crew:
        for number in range(3):
            crew.add(number)
        assert sorted(all_of(crew)) == [0, 1, 2]
    assert not together.broken


def test_what_the_work_fails_with_is_raised_in_the_main_thread_and_the_others_go_on():
    def work(number: int) -> int:
        if number % 2:
            raise ZeroDivisionError(number)
        return number

    with Crew(work, 1, Patience(0)) as crew:
        for number in range(5):
            crew.add(number)
        assert all_of(crew) == [0, 2, 4]
        with pytest.raises(ZeroDivisionError, match=r"^1$"):  # the first one
            crew.check()


def test_a_crew_that_has_not_failed_has_nothing_to_raise():
    with Crew(str, 1, Patience(0)) as crew:
        crew.add(1)
        all_of(crew)
        crew.check()


@pytest.mark.parametrize("failure", [KeyboardInterrupt, SystemExit, MemoryError])
def test_not_even_what_is_no_error_of_ours_is_lost_in_a_thread(failure):
    def work(_: int) -> None:
        raise failure

    with Crew(work, 1, Patience(0)) as crew:
        crew.add(1)
        assert all_of(crew) == []
        with pytest.raises(failure):
            crew.check()


def test_a_crew_that_is_left_ends_its_threads_and_drops_what_none_has_begun():
    begun, go = threading.Event(), threading.Event()
    worked = []

    def work(number: int) -> None:
        begun.set()
        assert go.wait(SOON)
        worked.append(number)

    with Crew(work, 1, Patience(0)) as crew:
        for number in range(5):
            crew.add(number)
        assert begun.wait(SOON)
        threading.Timer(0.01, go.set).start()
    assert worked == [0]
    assert not any(thread.is_alive() for thread in crew.threads)


@pytest.mark.parametrize(("broken", "told"), [(None, False), (KeyboardInterrupt, True), (FileError("no"), True)])
def test_threads_are_told_to_stop_when_the_run_is_broken_off_and_not_else(broken, told):
    patience = Patience(0)
    try:
        with Crew(str, 2, patience):
            if broken:
                raise broken
    except (KeyboardInterrupt, FileError):
        pass
    assert patience.stopping.is_set() is told


@pytest.mark.parametrize("where", ["work", "settle"])
def test_a_thread_that_hangs_does_not_hold_the_crew(monkeypatch, where):
    replace(monkeypatch, "FAREWELL", 0.02)
    begun, go = threading.Event(), threading.Event()

    def hang(item: str) -> str:
        if item == where:
            begun.set()
            go.wait(SOON)
        return "settle"

    with Crew(hang, 3, Patience(0), lambda some: [hang(item) for item in some]) as crew:
        crew.add("work")
        assert begun.wait(SOON)
        left = time.monotonic()
    assert time.monotonic() - left < 0.5
    hanging = crew.threads if where == "work" else crew.settler
    assert [thread.is_alive() for thread in hanging].count(True) == 1
    assert all(thread.daemon for thread in [*crew.threads, *crew.settler])  # nor the exit
    go.set()


def test_a_rest_lasts_until_all_is_done():
    def work(go: threading.Event) -> bool:
        return go.wait(SOON)

    began = time.monotonic()
    with Crew(work, 2, Patience(0)) as crew:
        for count in (2, 1):
            events = [threading.Event() for _ in range(count)]
            for number, event in enumerate(events):
                crew.add(event)
                threading.Timer(0.01 * (number + 1), event.set).start()
            crew.rest(SOON)
            assert crew.collect() == [True] * count
    assert time.monotonic() - began < 0.5


def test_a_rest_ends_in_time_though_nothing_is_done():
    go, began = threading.Event(), time.monotonic()
    with Crew(lambda _: go.wait(SOON), 1, Patience(0)) as crew:
        crew.add(1)
        crew.rest(0.001)
        assert crew.collect() == [] and crew.pending == 1
        assert time.monotonic() - began < 0.5
        go.set()


def test_what_has_landed_is_not_kept():
    class Thing:
        """Something that is seen to go."""

    with Crew(lambda thing: thing, 2, Patience(0)) as crew:
        there = []
        for _ in range(20):
            thing = Thing()
            there.append(weakref.ref(thing))
            crew.add(thing)
        del thing
        assert len(all_of(crew)) == 20
        assert sum(found() is not None for found in there) <= len(crew.threads)  # each thread has its last one


class Unstartable(threading.Thread):
    """A thread that the machine has no room for."""

    def start(self) -> None:
        raise RuntimeError("can't start new thread")


def test_a_crew_does_with_the_threads_that_the_machine_has():
    good, more = threading.Thread(), threading.Thread()
    assert start_threads([good, Unstartable(), more]) == [good]
    assert not more.ident
    with pytest.raises(RuntimeError, match="new thread"):
        start_threads([Unstartable(), more])


# Its thread that settles.


def test_what_comes_while_others_are_settled_is_settled_together(monkeypatch):
    replace(monkeypatch, "GATHERING", 0)
    go, groups = threading.Event(), []

    def settle(some: list[int]) -> list[str]:
        groups.append(len(some))
        if len(groups) == 1:
            assert go.wait(SOON)
        return [str(number) for number in some]

    with Crew(lambda number: number, 1, Patience(0), settle) as crew:
        crew.add(0)
        wait_until(lambda: groups)
        for number in range(1, 10):
            crew.add(number)
        wait_until(lambda: crew.arrived.qsize() >= 9)
        go.set()
        assert all_of(crew) == [str(number) for number in range(10)]
    assert groups == [1, 9]


@pytest.mark.parametrize("unsettled", [1, 3])
def test_no_more_wait_to_be_settled_than_may(unsettled):
    go = threading.Event()

    def settle(some: list[int]) -> list[int]:
        assert go.wait(SOON)
        return some

    worked = []

    def work(number: int) -> int:
        worked.append(number)
        return number

    with Crew(work, 1, Patience(0), settle, unsettled) as crew:
        for number in range(10):
            crew.add(number)
        wait_until(lambda: len(worked) > unsettled)
        crew.rest(0.01)
        assert len(worked) == unsettled + 1  # the last one waits for its place
        go.set()
        assert len(all_of(crew)) == 10


@pytest.mark.parametrize("unsettled", [0, -5])
def test_one_place_is_there_always(unsettled):
    with Crew(str, 1, Patience(0), lambda some: some, unsettled) as crew:
        crew.add(1)
        assert all_of(crew) == ["1"]


def test_what_the_settling_fails_with_is_raised_and_gives_the_places_back():
    def settle(some: list[int]) -> list[int]:
        raise ZeroDivisionError

    with Crew(lambda number: number, 1, Patience(0), settle, 1) as crew:
        for number in range(5):
            crew.add(number)
        assert all_of(crew) == []
        with pytest.raises(ZeroDivisionError):
            crew.check()


def test_what_was_worked_on_is_settled_though_the_crew_is_left():
    settled = []

    def settle(some: list[int]) -> list[int]:
        settled.extend(some)
        return some

    worked = threading.Event()

    def work(number: int) -> int:
        worked.set()
        return number

    with Crew(work, 1, Patience(0), settle) as crew:
        crew.add(1)
        assert worked.wait(SOON)
    assert settled == [1]
    assert not any(thread.is_alive() for thread in crew.settler)


@pytest.mark.parametrize(
    ("unsettled", "others", "gathers"),
    [
        (200, [], False),
        (200, ["busy"], True),
        (200, ["failed"], False),  # nothing comes of it
        (200, ["failed", "busy"], True),
        (2, ["busy"], True),
        (1, ["busy"], False),  # it has its place only when this one is settled
    ],
)
def test_what_may_come_soon_is_waited_for(monkeypatch, unsettled, others, gathers):
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    go = threading.Event()

    def work(kind: str) -> str:
        assert kind != "failed"
        if kind == "busy":
            go.wait(SOON)
        return kind

    with Crew(work, 2, Patience(0), lambda some: some, unsettled) as crew:
        for kind in others:
            crew.add(kind)
        wait_until(lambda: crew.done.qsize() >= others.count("failed"))
        crew.add("quick")
        wait_until(lambda: crew.done.qsize() > others.count("failed"))
        assert slept.count(GATHERING) == gathers
        go.set()


def test_the_end_may_come_with_the_last_items():
    begun, go = threading.Event(), threading.Event()
    settled = []

    def settle(some: list[int]) -> list[int]:
        begun.set()
        assert go.wait(SOON)
        settled.extend(some)
        return some

    with Crew(lambda number: number, 1, Patience(0), settle) as crew:
        crew.add(1)
        assert begun.wait(SOON)
        crew.add(2)
        wait_until(lambda: crew.arrived.qsize())
        threading.Timer(0.02, go.set).start()
    assert settled == [1, 2]
    assert not any(thread.is_alive() for thread in crew.settler)


# Patience.


class Verb:
    """A call that fails with some errors, one after the other, then succeeds."""

    def __init__(self, errors: Iterable[BaseException]):
        self.errors = iter(errors)
        self.calls = 0

    def __call__(self, *arguments: Any) -> tuple[Any, ...]:
        self.calls += 1
        for error in self.errors:
            raise error
        return arguments


def patient(retries: int, stops_in: int = 0) -> tuple[Patience, Clock, list[float]]:
    """Patience for which no time passes, its clock, and the pauses that it makes."""
    clock = Clock()
    pauses = Pauses(clock, stops_in)
    return Patience(retries, pauses, clock), clock, pauses.seconds


def passing(kind: type[GridError] = FileError, pause: float = 0) -> GridError:
    """An error that may pass."""
    return kind("not now", passing=True, pause=pause)


@pytest.mark.parametrize(
    ("errors", "retries", "calls", "succeeds"),
    [
        ([], 4, 1, True),
        ([passing()], 4, 2, True),
        ([passing()] * 4, 4, 5, True),
        ([passing()] * 5, 4, 5, False),
        ([passing()], 0, 1, False),
        ([passing()], 1, 2, True),
        ([FileError("never")], 4, 1, False),
        ([passing(), FileError("never")], 4, 2, False),
        ([passing(DoorError), passing(Unreached), passing(Changed), passing(Mismatch)], 4, 5, True),
        ([NotFound("no")], 4, 1, False),
        ([DiskError("full")], 4, 1, False),
        ([ValueError("ours")], 4, 1, False),
        ([KeyboardInterrupt()], 4, 1, False),
        # One second chance: who waits for a new proxy twice waits in vain, and a pool is waited for elsewhere.
        ([passing(CredentialError)], 4, 2, True),
        ([passing(CredentialError)] * 2, 4, 2, False),
        ([passing(CredentialError)], 0, 1, False),
        ([passing(PoolError)], 4, 2, True),
        ([passing(PoolError)] * 2, 4, 2, False),
        ([passing(), passing(PoolError)], 4, 2, False),
        # These are held back elsewhere and do not count.
        ([passing(TooFast)] * 9, 0, 10, True),
        ([passing(TooFast)] * 9 + [passing()] * 2, 2, 12, True),
    ],
)
def test_how_often_patience_calls(errors, retries, calls, succeeds):
    patience, _, _ = patient(retries)
    verb = Verb(errors)
    if succeeds:
        assert patience.call(verb, "a", 1) == ("a", 1)
    else:
        with pytest.raises(type(errors[-1])) as caught:
            patience.call(verb, "a", 1)
        assert caught.value is errors[-1]
    assert verb.calls == calls


@pytest.mark.parametrize(("chance", "share"), [(max, 1), (min, 0.5)])
def test_pauses_grow_up_to_a_minute_and_the_first_is_none(monkeypatch, chance, share):
    monkeypatch.setattr("random.uniform", chance)
    patience, _, pauses = patient(9)
    patience.call(Verb([passing()] * 9))
    assert pauses == [share * pause for pause in (0, 2, 4, 8, 16, 32, 60, 60, 60)]


@pytest.mark.parametrize(("asked", "least"), [(0, 0), (7, 7), (600, 600)])
def test_a_door_that_says_when_is_asked_no_sooner(asked, least):
    patience, _, pauses = patient(2)
    patience.call(Verb([passing(pause=asked)] * 2))
    assert min(pauses) == least


def test_a_pause_that_was_asked_for_does_not_shorten_a_longer_one():
    patience, _, pauses = patient(9)
    patience.call(Verb([passing(pause=1)] * 9))
    assert pauses[-1] >= 30


def test_a_pause_ends_with_the_run_and_nothing_is_called_any_more():
    patience, _, pauses = patient(9, stops_in=3)
    verb = Verb([passing()] * 9)
    with pytest.raises(FileError, match="not now"):
        patience.call(verb)
    assert verb.calls == len(pauses) == 3


def test_all_that_have_patience_end_with_one_event():
    stopping = threading.Event()
    patience = Patience(9, stopping)
    assert patience.stopping is stopping
    assert not Patience(9).stopping.is_set()
    stopping.set()
    verb = Verb([passing()] * 9)
    with pytest.raises(FileError):
        patience.call(verb)
    assert verb.calls == 1


def test_who_asks_too_fast_is_held_back_elsewhere_but_not_for_ever():
    patience, clock, pauses = patient(1)
    calls = []

    def verb() -> None:
        calls.append(clock.now)
        clock.wait(HELD / 10)
        raise passing(TooFast)

    with pytest.raises(TooFast):
        patience.call(verb)
    assert len(calls) == 11 and len(pauses) == 1  # ten within the time, then one more, as for any other


def test_who_asks_too_fast_stops_with_the_run():
    patience, _, _ = patient(9)
    patience.stopping.set()
    verb = Verb([passing(TooFast)] * 100)
    with pytest.raises(TooFast):
        patience.call(verb)
    assert verb.calls == 1


@pytest.mark.parametrize(
    ("step", "calls"), [(WORTH, 21), (WORTH // 2, 21), (WORTH // 2 - 1, 5), (WORTH // 3, 3), (0, 3)]
)
def test_failures_do_not_count_while_enough_comes(step, calls):
    patience, _, _ = patient(2)
    verb = Verb([passing()] * 20)
    with pytest.raises(FileError) if calls < 20 else contextlib.nullcontext():
        patience.call(verb, progress=lambda: verb.calls * step)
    assert verb.calls == calls


def told(patience: Patience) -> list[str]:
    """What it says just now."""
    said: list[str] = []
    assert patience.tell(said.append) is bool(said)
    return said


def waiting(patience: Patience, pause: float, kind: Callable[..., GridError] = FileError) -> None:
    """Let it pause."""
    with pytest.raises(GridError):
        patience.call(Verb([kind("a: busy", True, pause), kind("b: never")]))


@pytest.mark.parametrize(
    ("pause", "said"),
    [
        (0, []),
        (WONDER - 0.1, []),
        (WONDER, ["Waiting 0m05s before the next attempt: a: busy"]),
        (61.5, ["Waiting 1m02s before the next attempt: a: busy"]),  # no less than it takes
    ],
)
def test_a_long_pause_is_told(pause, said):
    patience, clock, _ = patient(1)
    waiting(patience, pause)
    clock.now -= pause  # as it begins
    assert told(patience) == said


def test_what_a_pause_is_for_is_told_once_and_another_one_after_a_while():
    patience, clock, _ = patient(1)
    assert told(patience) == []
    began = clock.now
    for moment, pauses in {0: 1, 1: 0, NEWS - 1: 0, NEWS: 1, NEWS + 1: 0}.items():
        waiting(patience, 100)
        clock.now = began + moment
        assert len(told(patience)) == pauses, moment
        assert told(patience) == []


# A thread aside.


@pytest.fixture
def aside(monkeypatch):
    replace(monkeypatch, "TICK", 0.001)
    aside = Aside()
    yield aside
    aside.thread.shutdown()


def test_a_call_aside_gives_its_result_and_the_screen_lives_on_meanwhile(aside):
    ticks, enough = [], threading.Event()

    def tick() -> None:
        ticks.append(threading.current_thread())
        if len(ticks) == 3:
            enough.set()

    def call() -> str:
        assert enough.wait(SOON)
        return threading.current_thread().name

    assert aside.result(call, tick) != threading.current_thread().name
    assert set(ticks) == {threading.current_thread()}


def test_what_a_call_aside_fails_with_is_raised_here(aside):
    with pytest.raises(ZeroDivisionError):
        aside.result(lambda: 1 / 0, lambda: None)


def test_a_tick_that_breaks_off_leaves_the_call_to_itself(aside):
    go, ended = threading.Event(), threading.Event()

    def tick() -> None:
        raise KeyboardInterrupt

    def call() -> None:
        go.wait(SOON)
        ended.set()

    with pytest.raises(KeyboardInterrupt):
        aside.result(call, tick)
    assert not ended.is_set()
    aside.settle(0.01)  # it does not wait for longer
    assert not ended.is_set()
    threading.Timer(0.02, go.set).start()
    aside.settle(SOON)
    assert ended.is_set()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_says_twice_that_it_is_enough_is_not_heard_while_a_call_settles(aside, number):
    def heard(*_: object) -> None:
        raise KeyboardInterrupt

    def call() -> None:
        wait_until(lambda: signal.getsignal(number) is not heard)
        os.kill(os.getpid(), number)

    before = signal.signal(number, heard)
    try:
        aside.thread.submit(call)
        aside.settle(SOON)
        assert signal.getsignal(number) is heard  # later ones are
    finally:
        signal.signal(number, before)


def test_an_interrupted_call_leaves_its_answer_to_nobody():
    aside = Aside()
    late = threading.Event()

    def interrupted() -> str:
        late.wait(5)
        return "late"

    with pytest.raises(KeyboardInterrupt):
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        before = signal.signal(signal.SIGALRM, signal.default_int_handler)
        try:
            aside.result(interrupted, lambda: None)
        finally:
            signal.signal(signal.SIGALRM, before)
            late.set()
    assert aside.result(lambda: "mine", lambda: None) == "mine"
