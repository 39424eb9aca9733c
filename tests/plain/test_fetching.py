"""Files that are tried again when all others are done, with a clock of the test's own."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from gridsync_parts.disk import Target
from gridsync_parts.errors import PoolError
from gridsync_parts.fetching import Fetch
from gridsync_parts.jobs import Aim, Fed, Where
from gridsync_parts.pace import PACE
from gridsync_parts.values import Action, Locality, Outcome, Row, Wishes, with_error
from tests.support.clock import Clock

ROW = Row("", 1, 0, "", Locality.ONLINE, False, "", "", "LYON", "")


class Start:
    """Files of pools that fail, in a run that does not wait for more."""

    def __init__(self, folder: Path, names: str, retries: int):
        self.clock = Clock()
        self.fetch = Fetch(Aim(copies=True, retries=retries), PACE, Target(str(folder)), Wishes())
        plan: dict[Action, list[Row]] = {action: [] for action in Action}
        plan[Action.COPY] = [ROW._replace(path=name) for name in names]
        self.fetch.plan(plan, self.clock())

    def given(self) -> list[Row]:
        """The files of which an attempt begins now."""
        self.fetch.jobs.fed = Fed(threads=9, depth=9)
        return [work.row for work in self.fetch.feed(self.clock())]

    def fail(self, rows: list[Row]) -> None:
        """Their pools fail."""
        for row in rows:
            fault = PoolError(f"{row.path}: fails", passing=True)
            self.fetch.land(Outcome(with_error(row, str(fault)), "late", fault=fault), self.clock())

    def wait(self) -> float:
        """Until it is the turn of some again; how many seconds that takes."""
        began = self.clock()
        while not (self.fetch.awake(self.clock()) or self.fetch.jobs.count(Where.READY)):
            assert self.fetch.jobs.count(Where.LATE)
            self.clock.wait(1)
        return self.clock() - began


def test_what_fails_comes_back_all_at_once_and_later_each_time(tmp_path, monkeypatch):
    monkeypatch.setattr(random, "uniform", max)
    run, pauses = Start(tmp_path, "abc", 5), []
    for _ in range(5):
        run.fail(rows := run.given())
        assert len(rows) == 3
        pauses.append(run.wait())
    assert pauses == [8, 16, 32, 60, 60]
    assert run.fetch.ledger.notes == ["3 file(s) will be tried again soon: a: fails"] * 5
    run.fail(run.given())
    assert run.fetch.jobs.count(Where.LEFT) == 3 and run.fetch.jobs.count(Where.LATE) == 0
    assert run.fetch.ledger.errors == ["a: fails", "b: fails", "c: fails"]


def test_they_do_so_whatever_the_dice_say(tmp_path):
    run = Start(tmp_path, "abcdefgh", 4)
    for _ in range(4):
        run.fail(rows := run.given())
        assert len(rows) == 8
        run.wait()
    assert len(run.fetch.ledger.notes) == 4


def test_many_wait_no_longer_than_one(tmp_path):
    """The dice are thrown once for all of them, not until the last is due."""
    pauses = []
    for number in range(20):
        (folder := tmp_path / str(number)).mkdir()
        run = Start(folder, "abcdefgh", 1)
        run.fail(run.given())
        pauses.append(run.wait())
    assert min(pauses) < 7 and max(pauses) <= 8


def test_patience_with_a_pool_bridges_its_restart(tmp_path, monkeypatch):
    monkeypatch.setattr(random, "uniform", min)
    run = Start(tmp_path, "a", 4)
    waited = 0.0
    for _ in range(4):
        run.fail(run.given())
        waited += run.wait()
    assert 2 * 28 <= waited <= 130


def test_nobody_waits_for_them_while_others_are_on_their_way(tmp_path):
    run = Start(tmp_path, "ab", 4)
    a, b = run.given()
    run.fail([a])
    run.clock.wait(500)
    assert run.fetch.awake(run.clock()) == [] and not run.given() and not run.fetch.ledger.notes
    run.fail([b])
    assert run.wait() >= 0 and run.given()


@pytest.mark.parametrize("retries", [0, 1])
def test_a_file_is_given_up_when_its_pool_fails_too_often(tmp_path, retries):
    run = Start(tmp_path, "a", retries)
    for _ in range(retries):
        run.fail(run.given())
        run.wait()
    run.fail(run.given())
    assert run.fetch.ledger.errors == ["a: fails"] and run.fetch.jobs.count(Where.LEFT) == 1


@pytest.mark.parametrize(("paused", "begins"), [(0, 12), (1, 2), (2, 1), (3, 0)])
def test_who_waits_for_another_attempt_takes_the_place_of_one_that_comes(tmp_path, paused, begins):
    """Three threads: while a door fails it is not asked for more files than there are."""
    run = Start(tmp_path, "abcdefghijklmno", 5)
    jobs = run.fetch.jobs
    jobs.make_ready(15)
    for name in "abc"[:paused]:
        jobs.by_path[name].due = run.clock() + 9
        jobs.move(jobs.by_path[name], Where.PAUSED)
    jobs.fed = Fed(threads=3, depth=12)
    assert len(run.fetch.feed(run.clock())) == begins


class Full(Target):
    """A disk that has little room."""

    def free(self) -> int:
        return 100


@pytest.mark.parametrize("coming", [0, 5000])
def test_a_file_that_is_here_is_compared_on_a_full_disk_too(tmp_path, coming):
    """It needs no room, even if others take more than there is."""
    fetch, clock = Fetch(Aim(copies=True, is_patient=True), PACE, Full(str(tmp_path)), Wishes()), Clock()
    (tmp_path / "here").write_bytes(bytes(300))
    os.utime(tmp_path / "here", (0, 0))
    for name, size in (("coming", coming), ("far", 300), ("here", 300)):
        job = fetch.jobs.add(ROW._replace(path=name, size=size))
        job.seen = clock()
        fetch.place(job, clock())
    fetch.jobs.move(fetch.jobs.by_path["coming"], Where.COPYING)
    fetch.jobs.fed = Fed(threads=9, depth=9)
    assert [(work.row.path, work.is_here) for work in fetch.feed(clock())] == [("here", True)]
