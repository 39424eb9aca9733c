"""When a staging request is asked how far it is, with a clock of the test's own."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from gridsync_parts.disk import Target
from gridsync_parts.fetching import Fetch
from gridsync_parts.jobs import Aim, Where
from gridsync_parts.pace import HOUR, PACE
from gridsync_parts.service import Service
from gridsync_parts.values import Locality, Row, Wishes
from tests.support.clock import Clock

ROW = Row("", 1, 0, "", Locality.NEARLINE, False, "", "", "LYON", "")


@pytest.fixture(autouse=True)
def longest(monkeypatch: pytest.MonkeyPatch) -> None:
    """All pauses are as long as they may be."""
    monkeypatch.setattr(random, "uniform", max)


class Staging:
    """Requests for a file each, at a site that answers when the test wants it."""

    def __init__(self, folder: Path, *requests: str, polls: bool = True):
        self.clock = Clock()
        self.fetch = Fetch(Aim(polls=polls, waits=True), PACE, Target(str(folder)), Wishes())
        self.service = Service(self.fetch, self.clock())
        self.begin(*requests)

    def begin(self, *requests: str) -> None:
        """Some more are made."""
        for request in requests:
            job = self.fetch.jobs.add(ROW._replace(path=request, request=request))
            self.fetch.jobs.move(job, Where.STAGING)

    def end(self, request: str) -> None:
        """One is over."""
        self.fetch.jobs.move(self.fetch.jobs.by_path[request], None)

    def asked(self) -> list[str]:
        """Those that are asked now, one after the other."""
        asked = []
        while order := self.service.polls.plan(self.clock()):
            assert [row.path for row in order.rows] == [order.request]
            asked.append(order.request)
        return asked

    def asked_at(self, request: str, seconds: float) -> list[float]:
        """When one is asked, while so many seconds pass."""
        began, times = self.clock(), []
        while self.clock() - began < seconds:
            times += [self.clock() - began] * self.asked().count(request)
            self.clock.wait(0.5)
        return times


@pytest.fixture
def staging(tmp_path):
    return lambda *requests, **more: Staging(tmp_path, *requests, **more)


def test_a_request_is_asked_less_and_less_often(staging):
    times = staging("r1").asked_at("r1", 4 * HOUR)
    pauses = [after - before for before, after in zip(times, times[1:])]
    assert times[0] == 0 and pauses[0] == 1.5 and pauses == sorted(pauses)
    assert pauses[-1] == PACE.poll_most * 1.2


def test_many_requests_have_to_share(staging):
    requests = [f"r{number}" for number in range(100)]
    assert staging(*requests).asked_at("r0", 60) == [0, 12, 24, 36, 48]


def test_the_one_that_is_due_first_is_asked_first(staging):
    site = staging("r1")
    site.asked()
    site.clock.wait(0.5)
    site.begin("r2")
    assert site.asked() == ["r2"]  # r1 has had its turn
    site.clock.wait(1000)
    assert site.asked() == ["r1", "r2"]


def test_a_request_that_is_over_and_comes_back_begins_anew(staging):
    site = staging("r1", "r2")
    site.clock.wait(1000)
    site.asked()
    site.end("r1")
    site.clock.wait(1000)
    assert site.asked() == ["r2"] and list(site.service.polls.requests) == ["r2"]
    site.begin("r1")
    site.clock.wait(1)
    assert site.asked() == ["r1"]
    assert {name: request.began for name, request in site.service.polls.requests.items()} == {"r1": 3001, "r2": 2000}


def test_who_does_not_want_to_know_asks_none(staging):
    assert staging("r1", polls=False).asked() == []
