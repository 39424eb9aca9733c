"""When what has failed is tried again, and a request asked, with a clock of the test's own."""

from __future__ import annotations

import random

import pytest

from gridsync_parts.values import Locality, Outcome, Row
from gridsync_parts.waits import POLL, Later, Polls
from tests.support.clock import Clock

ROW = Row("a", 1, 0, "", Locality.ONLINE, False, "", "", "LYON", "a: fails")


@pytest.fixture(autouse=True)
def dice(monkeypatch: pytest.MonkeyPatch) -> None:
    """All pauses are as long as they may be."""
    monkeypatch.setattr(random, "uniform", lambda low, high: high)


def test_patience_with_a_pool_bridges_its_restart(monkeypatch):
    monkeypatch.setattr(random, "uniform", lambda low, high: low)
    clock = Clock()
    later, began = Later(4, clock), clock()
    while later.rounds:
        later.add(Outcome(ROW, "late"))
        while not later.taken(lambda text: None):
            clock.wait(1)
    assert 2 * 28 <= clock() - began <= 130


def test_what_fails_comes_back_all_at_once_and_later_each_time():
    clock, said = Clock(), []
    later, pauses = Later(5, clock), []
    for _ in range(5):
        for _ in range(3):
            later.add(Outcome(ROW, "late"))
        began = clock()
        while not (some := later.taken(said.append)):
            clock.wait(1)
        assert len(some) == 3 and later.outcomes == []
        pauses.append(clock() - began)
    assert pauses == [8, 16, 32, 60, 60]
    assert said == ["3 file(s) will be tried again soon: a: fails"] * 5
    later.add(Outcome(ROW, "late"))
    assert later.taken(said.append) and len(said) == 5  # after the last round nobody waits


def asked_at(polls: Polls, clock: Clock, requests: list[str], seconds: int) -> list[float]:
    """When the first of some requests is asked, while so many seconds pass."""
    began, times = clock(), []
    while clock() - began < seconds:
        for request in polls.due(requests, clock()):
            polls.asked(request, len(requests), clock())
            times += [clock() - began] if request == requests[0] else []
        clock.wait(0.5)
    return times


def test_a_request_is_asked_less_and_less_often():
    times = asked_at(Polls(), Clock(), ["r1"], 4 * 3600)
    pauses = [after - before for before, after in zip(times, times[1:])]
    assert times[0] == 0 and pauses[0] == 1.5 and pauses == sorted(pauses)
    assert pauses[-1] == POLL * 1.2


def test_many_requests_have_to_share():
    requests = [f"r{number}" for number in range(100)]
    polls, clock = Polls(), Clock()
    assert asked_at(polls, clock, requests, 60) == [0, 12, 24, 36, 48]


def test_a_request_that_is_over_and_comes_back_begins_anew():
    polls = Polls()
    assert polls.due(["r1", "r2"], 0) == ["r1", "r2"]
    polls.asked("r1", 2, 0)
    assert polls.due(["r1", "r2"], 0.5) == ["r2"]  # r1 has had its turn
    assert polls.due(["r2"], 1000) == ["r2"]
    assert polls.due(["r1", "r2"], 2000) == ["r2", "r1"] and polls.began == {"r1": 2000, "r2": 0}


def test_a_site_may_say_twice_that_it_tells_nothing_of_a_request():
    polls = Polls()
    assert [polls.is_refused("r1") for _ in range(3)] == [False, False, True]
    assert not polls.is_refused("r2")
