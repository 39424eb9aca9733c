"""Small files, many at once in the hands of one thread: places, answers, whoever is held up, and the end."""

from __future__ import annotations

import math
import os
import random
import threading
import time
from collections.abc import Generator, Iterator
from typing import Any, Callable

import pytest

from gridsync_parts import convoy
from gridsync_parts.convoy import Steps, result_of
from gridsync_parts.pool import Lane, News
from tests.support.user import wait_until


class Call:
    """A request at a server that answers when it is told to."""

    def __init__(self, ends: float = math.inf):
        self.here, self.there = os.pipe()
        self.is_answered = False
        self.ends = ends

    def fileno(self) -> int:
        return self.here

    def hang_up(self) -> None:
        self.answer()

    def answer(self) -> None:
        if not self.is_answered:
            self.is_answered = True
            os.write(self.there, b"!")

    def close(self) -> None:
        os.close(self.here)
        os.close(self.there)


class Server:
    """What is asked of it, and by which threads items are done."""

    def __init__(self) -> None:
        self.calls: dict[int, Call] = {}  # that have no answer yet, by the item
        self.most = 0  # of them at once
        self.by: dict[int, int] = {}  # item: thread
        self.slow: dict[int, Callable[[], Any]] = {}  # what holds an item up

    def steps(self, item: int) -> Steps | None:
        return self.ask(item) if item >= 0 else None  # those below 0 are for a thread of their own

    def ask(self, item: int) -> Generator[Call, None, int]:
        call = self.calls[item] = Call()
        self.most = max(self.most, len(self.calls))
        yield call
        self.calls.pop(item).close()
        return self.work(item)

    def work(self, item: int) -> int:
        self.slow.get(item, lambda: None)()
        self.by[item] = threading.get_ident()
        return item

    def answer(self, *items: int) -> None:
        for call in [self.calls.get(item) for item in items]:
            if call:
                call.answer()


class Played:
    """A lane that is given items, and what has come of it."""

    def __init__(self, threads: int):
        self.server = Server()
        self.lane = Lane(self.server.work, threads, News(), None, self.server.steps)
        self.came: list[int] = []

    def give(self, *items: int) -> None:
        for item in items:
            self.lane.add(item)

    def has(self, *items: int) -> bool:
        """Whether just these have come."""
        self.came += self.lane.collect()
        return sorted(self.came) == sorted(items)

    def serves(self, *items: int) -> bool:
        """The same, when what is asked for is answered."""
        self.server.answer(*list(self.server.calls))
        return self.has(*items)

    def is_asked(self, *items: int) -> bool:
        return sorted(self.server.calls) == sorted(items)

    def end(self) -> None:
        self.lane.end()
        for thread in self.lane.threads:
            thread.join(20)
        assert not any(thread.is_alive() for thread in self.lane.threads)


@pytest.fixture(params=[2, 4])
def played(request: pytest.FixtureRequest) -> Iterator[Played]:
    lane = Played(request.param)
    yield lane
    lane.end()


@pytest.fixture
def four() -> Iterator[Played]:
    lane = Played(4)
    yield lane
    lane.end()


def test_as_many_are_asked_for_as_there_are_threads_and_one_does_them_all(four: Played):
    four.give(*range(10))
    wait_until(lambda: four.is_asked(0, 1, 2, 3))
    four.server.answer(2, 0)
    wait_until(lambda: four.is_asked(1, 3, 4, 5) and four.has(0, 2))
    for wave in ((1, 3), (4, 5), (6, 7), (8, 9)):
        wait_until(lambda wave=wave: set(wave) <= four.server.calls.keys())
        four.server.answer(*wave)
    wait_until(lambda: four.has(*range(10)))
    assert four.server.most == 4 and len(set(four.server.by.values())) == 1
    four.give(20)  # it goes on when there was nothing to do
    wait_until(lambda: four.is_asked(20))
    four.server.answer(20)
    wait_until(lambda: four.has(*range(10), 20))


def test_what_is_for_a_thread_of_its_own_has_one(four: Played):
    gate = threading.Event()
    four.server.slow[-1] = gate.wait
    four.give(1, 2, -1, 3, 4, -2)
    wait_until(lambda: four.serves(1, 2, 3, 4, -2))
    gate.set()
    wait_until(lambda: four.has(1, 2, 3, 4, -1, -2))


def test_one_that_holds_the_runner_up_holds_up_no_other(played: Played):
    gate = threading.Event()
    played.server.slow[0] = gate.wait
    played.give(*range(6))
    wait_until(lambda: 0 in played.server.calls and len(played.server.calls) > 1)
    played.server.answer(0)
    for item in range(1, 6):
        wait_until(lambda item=item: item in played.server.calls)
        played.server.answer(item)
    wait_until(lambda: played.has(1, 2, 3, 4, 5))
    gate.set()
    wait_until(lambda: played.has(*range(6)))


@pytest.mark.slow
def test_where_each_is_held_up_all_have_their_threads(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(convoy, "TRIED", 4)
    played, at_once, most = Played(4), 0, 0
    lock = threading.Lock()

    def hold() -> None:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.01)
        with lock:
            at_once -= 1

    played.server.slow = dict.fromkeys(range(60), hold)
    played.give(*range(60))

    wait_until(lambda: played.serves(*range(60)))
    assert most == 4 and len(set(played.server.by.values())) == 4
    played.end()


@pytest.mark.parametrize(
    ("waits", "rests"), [([], False), ([0.7], False), ([0.7] * 5, False), ([0.004] * 32, True), ([0.001] * 64, True)]
)
def test_a_disk_that_stalls_now_and_then_is_no_reason_to_rest(waits: list[float], rests: bool):
    trial = convoy.Trial()
    for number in range(convoy.TRIED):
        trial.add(waits[number] if number < len(waits) else 0.0)
    assert trial.is_resting() == rests


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_whatever_holds_up_whom_each_is_done_once(monkeypatch: pytest.MonkeyPatch, seed: int):
    dice, items = random.Random(seed), range(-100, 400)
    monkeypatch.setattr(convoy, "REST", 0.05)
    monkeypatch.setattr(convoy, "PATIENCE", 0.005)
    monkeypatch.setattr(convoy, "GLANCE", 0.002)
    played = Played(8)
    played.server.slow = {item: lambda: time.sleep(0.01) for item in items if dice.random() < 0.05}
    given = dice.sample(items, len(items))

    def goes_on() -> bool:
        played.give(*given[:10])
        del given[:10]
        return played.serves(*items)

    wait_until(goes_on)
    assert played.server.most <= 8 and sorted(played.server.by) == list(items)
    played.end()


@pytest.mark.slow
def test_a_request_without_answer_in_time_goes_on(four: Played):
    late = Call(time.monotonic() + 0.5)

    def ask(item: int) -> Steps:
        yield late
        return item

    assert four.lane.convoy
    four.lane.convoy.steps = ask
    four.give(1)
    wait_until(lambda: four.has(1))
    late.close()


@pytest.mark.parametrize("when", ["asked", "answered"])
def test_what_fails_is_raised_in_the_main_thread_and_the_others_go_on(four: Played, when: str):
    def fail() -> None:
        raise ValueError("broken")

    if when == "asked":
        asked = four.server.ask
        four.server.ask = lambda item: asked(item) if item else fail()  # type: ignore[assignment,method-assign]
    four.server.slow[0] = fail
    four.give(0, 1)
    wait_until(lambda: 1 in four.server.calls and (when == "asked" or 0 in four.server.calls))
    four.server.answer(*four.server.calls)
    wait_until(lambda: four.has(1))
    wait_until(lambda: str(four.lane.failure) == "broken")


def test_steps_of_a_thread_that_waits_by_itself_give_their_result():
    def steps() -> Steps:
        yield Call()
        yield Call()
        return 7

    assert result_of(steps()) == 7
