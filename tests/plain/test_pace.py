"""What waits how long, by the one law of failures, without any waiting."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import NamedTuple

import pytest

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
from gridsync_parts.pace import HOUR, PACE, WORTH, Backoff, Pace, Tries, Trouble


@pytest.fixture
def longest(monkeypatch: pytest.MonkeyPatch) -> None:
    """All pauses are as long as they may be."""
    monkeypatch.setattr(random, "uniform", max)


# Backoff.


@pytest.mark.parametrize(("chance", "share"), [(max, 1), (min, 0.5)])
@pytest.mark.parametrize(
    ("backoff", "pauses"),
    [
        (Backoff(2, 60), [2, 4, 8, 16, 32, 60, 60]),
        (Backoff(60, 60), [60, 60]),
        (PACE.file, [30, 60, 120, 240, 480, 960, 1920, HOUR, HOUR]),
        (PACE.chore, [15, 30, 60, 120, 240, 480, 600, 600]),
        (PACE.pins, [10, 20, 40, 80, 160, 320, 600, 600]),
        (PACE.blind, [30, 60, 120, 240, 480, 960, 1920, HOUR, HOUR]),
        (PACE.pool, [8, 16, 32, 60, 60]),
    ],
)
def test_pauses_double_up_to_the_longest(monkeypatch, backoff, pauses, chance, share):
    monkeypatch.setattr(random, "uniform", chance)
    assert [backoff.pause(failures) for failures in range(1, len(pauses) + 1)] == [share * pause for pause in pauses]


def test_no_number_of_failures_is_too_large(longest):
    assert Backoff(2, 60).pause(100_000) == 60


def test_what_failed_together_does_not_come_together():
    assert len({Backoff(8, 60).pause(1) for _ in range(20)}) > 1


def test_a_run_that_waits_for_no_more_bridges_the_restart_of_a_pool(monkeypatch):
    for chance in (min, max):
        monkeypatch.setattr(random, "uniform", chance)
        assert 2 * 28 <= sum(PACE.pool.pause(failures) for failures in range(1, 5)) <= 130


# Trouble.

BACKOFF = Backoff(10, 1000, 3000)


def test_what_never_failed_is_in_no_trouble():
    assert Trouble() == Trouble(0.0, 0, 0.0) and not Trouble().is_over(BACKOFF, 1e9)


def test_failures_are_counted_from_the_first(longest):
    trouble, now, seen = Trouble(), 100.0, []
    for _ in range(4):
        trouble = trouble.after(BACKOFF, now)
        seen.append(trouble)
        now = trouble.until
    assert seen == [Trouble(100, 1, 110), Trouble(100, 2, 130), Trouble(100, 3, 170), Trouble(100, 4, 250)]


@pytest.mark.parametrize(("since", "is_new"), [(0, False), (500, False), (501, True)])
def test_after_all_was_well_for_long_a_failure_is_the_first_again(longest, since, is_new):
    before = Trouble(100, 3, 170)
    now = 170.0 + since
    after = before.after(BACKOFF, now, well=500)
    assert after == (Trouble(now, 1, now + 10) if is_new else Trouble(100, 4, now + 80))
    assert before.after(BACKOFF, now) == Trouble(100, 4, now + 80)  # if that is of no matter


@pytest.mark.parametrize(("age", "is_over"), [(0, False), (3000, False), (3000.1, True)])
def test_it_is_over_when_it_has_lasted_too_long(age, is_over):
    assert Trouble(100, 2, 170).is_over(BACKOFF, 100 + age) is is_over
    assert not Trouble(100, 2, 170).is_over(Backoff(10, 1000), 100 + age)  # which goes on for ever


# Tries.


class Played(NamedTuple):
    """What came of a call."""

    calls: int
    pauses: list[float]
    error: GridError | None  # that it has failed with in the end


def play(
    errors: Iterable[GridError], retries: int, pace: Pace = PACE, here: Callable[[int], int] = lambda calls: 0,
    lasts: float = 0,
) -> Played:  # fmt: skip
    """Make a call that fails with some errors, one after the other, and then succeeds."""
    tries, now, pauses = Tries(1000.0), 1000.0, []
    for error in errors:
        now += lasts
        tries = tries.having(here(len(pauses) + 1))
        pause = tries.pause(error, retries, pace, now)
        if pause is None:
            return Played(len(pauses) + 1, pauses, error)
        tries = tries.after(error, pace, now)
        pauses.append(pause)
        now += pause
    return Played(len(pauses) + 1, pauses, None)


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
def test_how_often_a_call_is_made(errors, retries, calls, succeeds):
    played = play(errors, retries)
    assert played.calls == calls and played.error is (None if succeeds else errors[-1])


@pytest.mark.parametrize(("chance", "share"), [(max, 1), (min, 0.5)])
def test_pauses_grow_up_to_a_minute_and_the_first_is_none(monkeypatch, chance, share):
    monkeypatch.setattr(random, "uniform", chance)
    assert play([passing()] * 9, 9).pauses == [share * pause for pause in (0, 2, 4, 8, 16, 32, 60, 60, 60)]


@pytest.mark.parametrize(("asked", "least"), [(0, 0), (7, 7), (600, 600)])
def test_a_door_that_says_when_is_asked_no_sooner(asked, least):
    assert min(play([passing(pause=asked)] * 2, 2).pauses) == least


def test_a_pause_that_was_asked_for_does_not_shorten_a_longer_one():
    assert play([passing(pause=1)] * 9, 9).pauses[-1] >= 30


def test_who_asks_too_fast_is_held_back_elsewhere_but_not_for_ever():
    played = play([passing(TooFast)] * 100, 1, lasts=PACE.held / 10)
    assert played.calls == 11 and played.pauses == [0] * 10 and played.error  # ten within the time, then one more
    assert play([TooFast("for good")] * 100, 0, lasts=PACE.held / 10).calls == 10


def test_a_door_is_given_the_time_for_which_it_holds_back():
    assert PACE.held == HELD


@pytest.mark.parametrize(
    ("step", "calls"), [(WORTH, 21), (WORTH // 2, 21), (WORTH // 2 - 1, 5), (WORTH // 3, 3), (0, 3)]
)
def test_failures_do_not_count_while_enough_comes(step, calls):
    played = play([passing()] * 20, 2, here=lambda calls: calls * step)
    assert played.calls == calls and (played.error is None) is (calls == 21)


def test_after_enough_has_come_the_next_attempt_is_made_at_once():
    tries = Tries(1000.0, 3, WORTH)
    assert tries.having(2 * WORTH - 1) == tries
    assert tries.having(2 * WORTH) == Tries(1000.0, 0, 2 * WORTH)
    assert tries.having(2 * WORTH).pause(passing(), 1, PACE, 1000.0) == 0


# Pace.


def test_a_request_is_asked_less_and_less_often(longest):
    pauses, age = [], 0.0
    while age < 4 * HOUR:
        pauses.append(PACE.poll(age, 1))
        age += pauses[-1]
    assert pauses[0] == 1.2 and pauses == sorted(pauses) and pauses[-1] == PACE.poll_most * 1.2


@pytest.mark.parametrize(
    ("age", "others", "pause"),
    [(0, 1, 1), (20, 1, 1), (100, 1, 5), (100, 100, 10), (100, 1000, 100), (1e9, 1, 300), (0, 100_000, 10_000)],
)
def test_many_requests_have_to_share(monkeypatch, age, others, pause):
    monkeypatch.setattr(random, "uniform", lambda low, high: 1)
    assert PACE.poll(age, others) == pause
