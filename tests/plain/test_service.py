"""What --sync asks of a site, and when, and what its answers mean: with a clock of its own, and answers made up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gridsync_parts.disk import Target
from gridsync_parts.doors import MAX_QUERY
from gridsync_parts.fetching import Fetch
from gridsync_parts.jobs import Aim, Fed, Where
from gridsync_parts.orders import What
from gridsync_parts.pace import PACE
from gridsync_parts.plans import plan_copies
from gridsync_parts.service import Service
from gridsync_parts.values import Locality, Row, Wishes

SYNC = Aim(copies=True, stages=True, polls=True, waits=True, is_patient=True, retries=5)


def row_of(path: str, locality: Locality = Locality.NEARLINE, request: str = "") -> Row:
    """A file of 100 bytes that is still to come."""
    return Row(path, 100, 1000, "", locality, False, "", request, "LYON", "")


class Night:
    """A --sync without site: a test says what comes of each call, and when."""

    def __init__(self, folder: Path, *rows: Row):
        self.now = 1000.0
        self.fetch = Fetch(SYNC, PACE, Target(str(folder)), Wishes())
        self.service = Service(self.fetch, self.now)
        self.fetch.plan(plan_copies(rows, self.fetch.target.find, overwrite=False, force=False), self.now)

    def places(self) -> dict[str, str]:
        """The files by where they are."""
        jobs = self.fetch.jobs
        return {where.name: "".join(jobs.places[where]) for where in Where if jobs.places[where]}


@pytest.fixture
def night(tmp_path: Path) -> Callable[..., Night]:
    return lambda *rows: Night(tmp_path, *rows)


def test_a_file_that_was_asked_for_stays_so_when_a_listing_does_not_say_where_it_is(night):
    """Its request tells that; so two bad moments of the service after listings give no file up."""
    run = night(row_of("a", request="r1"))
    assert run.fetch.expect([row_of("a", Locality.UNKNOWN, "r1"), row_of("b", Locality.UNKNOWN)], run.now) == [
        row_of("b", Locality.UNKNOWN)
    ]
    assert run.places()["STAGING"] == "a"


def test_threads_without_work_wait_for_no_turn_until_the_site_is_asked_again(night):
    run = night(row_of("a", Locality.ONLINE))
    run.fetch.jobs.fed = Fed(threads=1)
    assert run.service.next(run.now + PACE.fresh - PACE.turn / 4) is None  # nothing is due
    order = run.service.next(run.now + PACE.fresh + PACE.turn / 4)
    assert order and order.what is What.LOOK and [row.path for row in order.rows] == ["a"]


def test_a_run_that_takes_long_asks_of_many_files_at_once(tmp_path):
    """Few of them are in front of the threads, as these are slow."""
    fetch = Fetch(Aim(copies=True), PACE, Target(str(tmp_path)), Wishes())
    service = Service(fetch, 0.0)
    rows = [row_of(f"{number:04}", Locality.ONLINE) for number in range(2 * MAX_QUERY)]
    fetch.plan(plan_copies(rows, fetch.target.find, overwrite=False, force=False), 0.0)
    fetch.jobs.fed = Fed(threads=2, depth=2)
    assert len(fetch.feed(0.0)) == 2
    order = service.next(PACE.fresh + 1)
    assert order and [row.path for row in order.rows] == [row.path for row in rows[2 : 2 + MAX_QUERY]]
