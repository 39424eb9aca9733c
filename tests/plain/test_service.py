"""What --sync asks of a site, and when, and what its answers mean: with a clock of its own, and answers made up."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from gridsync_parts.chores import Coming, stuck_text
from gridsync_parts.disk import Target
from gridsync_parts.doors import MAX_QUERY
from gridsync_parts.errors import DoorError, FileError, Forbidden, Unreached
from gridsync_parts.fetching import Fetch
from gridsync_parts.jobs import Aim, Fed, Where
from gridsync_parts.orders import Order, Polled, What
from gridsync_parts.pace import PACE
from gridsync_parts.plans import NOT_ASKED, NOT_BROUGHT, plan_copies
from gridsync_parts.service import Service
from gridsync_parts.values import Locality, Row, Staging, Wishes

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


# A site whose files on tape are asked for a record at a time.


@pytest.fixture
def records(tmp_path: Path) -> Callable[..., Night]:
    """A night at such a site."""

    def make(*rows: Row, **more: object) -> Night:
        night = Night(tmp_path, *rows)
        night.fetch.aim = night.fetch.aim._replace(by_record=True, **more)
        return night

    return make


def asked_for(night: Night) -> list[Order]:
    """The calls that ask for files, until there are no more."""
    orders = []
    while (order := night.service.next(night.now)) and order.what is What.STAGE:
        orders.append(order)
        night.service.came(order, f"record/{order.rows[0].path[0]}", None, night.now)
    return orders


def test_a_record_is_asked_for_with_one_call(records):
    night = records(*(row_of(f"{record}/{number}") for number in range(400) for record in "ab"))
    orders = asked_for(night)
    assert [len(order.rows) for order in orders] == [400, 400]
    assert {len({row.path[0] for row in order.rows}) for order in orders} == {1}
    assert night.fetch.jobs.count(Where.STAGING) == 800 and set(night.fetch.jobs.staging) == {"record/a", "record/b"}


def test_a_record_that_is_refused_is_told_once_and_the_others_go_on(records):
    night = records(*(row_of(f"{record}/{number}") for number in range(300) for record in "abcde"))
    for record in "abcd":
        order = night.service.next(night.now)
        assert order and {row.path[0] for row in order.rows} == {record}
        night.service.came(order, None, Forbidden("the portal refuses"), night.now)
    assert len(asked_for(night)) == 1
    assert night.fetch.ledger.errors == [f"{record}: {NOT_ASKED}: the portal refuses" for record in "abcd"]
    assert night.fetch.jobs.count(Where.LEFT) == 1200 and night.fetch.jobs.count(Where.STAGING) == 300


def test_a_record_for_which_the_site_fails_is_asked_for_again_later(records):
    night = records(row_of("a/1"), row_of("a/2"), row_of("b/1"))
    order = night.service.next(night.now)
    night.service.came(order, None, FileError("the portal answers 500", passing=True), night.now)
    assert len(asked_for(night)) == 1 and night.fetch.jobs.count(Where.LATE) == 2
    assert night.fetch.ledger.errors == []


def test_a_run_that_does_not_wait_gives_such_a_record_up(records):
    night = records(row_of("a/1"), row_of("b/1"), is_patient=False)
    order = night.service.next(night.now)
    night.service.came(order, None, FileError("the portal answers 500", passing=True), night.now)
    assert len(asked_for(night)) == 1 and night.fetch.jobs.count(Where.LEFT) == 1


def test_what_was_not_brought_is_noted_once_a_record_and_asked_for_often(records):
    """Its files fail together."""
    night = records(*(row_of(f"a/{number}") for number in range(300)))
    for turn in range(1, night.fetch.aim.enough + 1):
        assert len(asked_for(night)) == 1
        night.now += PACE.ask + PACE.turn
        order = Order(What.POLL, [job.row for job in night.fetch.jobs.at(Where.STAGING)], "record/a")
        night.service.polls.plan(night.now)
        answers = dict.fromkeys((row.path for row in order.rows), Staging(True, "it is on tape still"))
        night.service.came(order, Polled(answers, {}), None, night.now)
        assert len(night.fetch.ledger.notes) == 1
        assert bool(night.fetch.ledger.errors) == (turn == night.fetch.aim.enough)
        night.now += PACE.ask + PACE.turn
    assert night.fetch.ledger.errors == [f"a: {NOT_BROUGHT}: it is on tape still"]
    assert night.fetch.jobs.count(Where.LEFT) == 300


def test_a_record_of_which_nothing_is_told_does_not_end_a_look_at_the_others(records):
    rows = [row_of(f"{record}/{number}", request=f"record/{record}") for number in range(3) for record in "ab"]
    night = records(*rows)
    night.fetch.aim = Aim(polls=True, by_record=True)
    order = night.service.polls.plan(night.now)
    night.service.came(order, None, DoorError("the portal answers 500", passing=True), night.now)
    assert night.fetch.ledger.errors == ["a: nothing is told of it: the portal answers 500"]
    assert night.fetch.jobs.count(Where.LEFT) == 3 and night.fetch.jobs.count(Where.STAGING) == 3
    order = night.service.polls.plan(night.now)
    with pytest.raises(DoorError):
        night.service.came(order, None, Unreached("it is down", passing=True), night.now)


def test_a_record_that_is_stuck_is_told_once(records):
    night = records(*(row_of(f"a/{number}") for number in range(30)))
    asked_for(night)
    for _ in range(400):
        night.now += PACE.poll_most
        if order := night.service.polls.plan(night.now):
            night.service.polls.take(order, Polled({}, {}), None, night.now)
    assert len(night.fetch.ledger.errors) == 1
    assert re.match("a: stuck on the way from tape since .* on its page", night.fetch.ledger.errors[0])
    assert night.fetch.jobs.count(Where.LEFT) == 30


def test_files_of_a_record_on_their_way_from_tape_are_one_sentence(night):
    told = night(row_of("a", request="r1")).service.told
    for path, since in (("r1/a", 0.0), ("r1/b", 900.0), ("r1/c", 600.0)):
        told.note_coming(row_of(path), since)
    assert told.coming == {"r1": Coming("r1", 3, 300, 600.0)}
    begun = "r1: asked for at Thu Jan  1 00:10:00 UTC 1970, 1h40m ago"
    assert told.coming["r1"].text(6600.0) == f"{begun}; 3 file(s), 300.0 B, are on their way from tape"
    assert Coming("r2", 2, 300, 0).text(6600.0) == "r2: asked for; 2 file(s), 300.0 B, have not come from tape yet"


def test_silence_counts_from_the_first_request_or_the_last_file_that_has_come(night):
    run = night(row_of("a", request="r1"), row_of("b", request="r2"))
    polls, began = run.service.polls, run.now + 500
    assert polls.silent(began) == 0  # nothing is waited for
    assert polls.plan(began) and polls.plan(began + 60) and polls.silent(began + 100) == 100
    answers = Polled({"a": Staging(True)}, {"a": Locality.ONLINE})
    polls.take(Order(What.POLL, [row_of("a", request="r1")], "r1"), answers, None, began + 160)
    assert polls.silent(began + 200) == 40


def test_many_records_that_are_stuck_are_one_sentence():
    text = stuck_text([row_of(f"{record}/{number}") for record in "cab" for number in range(3)], 0.0, by_record=True)
    assert text.startswith("a and 2 more: stuck on the way from tape since Thu Jan  1 00:00:00 UTC 1970; look what")
