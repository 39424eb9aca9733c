"""Which worker has which files."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridsync_parts.errors import FileError
from gridsync_parts.farm.roster import AIM, FIRST, MOST, SILENT, Roster, cost
from gridsync_parts.fetching import Work
from gridsync_parts.pace import PACE, Tries
from gridsync_parts.values import Locality, Row
from tests.support.properties import PROPERTY


def work(path: str, size: int = 1000, is_here: bool = False) -> Work:
    row = Row(path, size, 1, "adler32:00000001", Locality.ONLINE, False, "", "", "LYON", "")
    return Work(row, is_here, math.inf, Tries(0.0), 3, PACE)


def works(count: int, size: int = 1000) -> list[Work]:
    return [work(f"run/{number}", size) for number in range(count)]


def roster(hands: int, *threads: int) -> Roster:
    made = Roster(hands)
    for number, count in enumerate(threads):
        made.join(f"w{number}", f"host{number}", count, 0.0)
    return made


def shares(of: Roster) -> list[int]:
    return [member.share for member in of.members.values()]


@pytest.mark.parametrize(
    ("hands", "threads", "expected"),
    [
        (4, (2, 2), [2, 2]),
        (4, (4, 4), [2, 2]),
        (5, (4, 4), [3, 2]),
        (4, (1, 8), [1, 3]),
        (8, (1, 2), [1, 2]),
        (2, (1, 1, 1), [1, 1, 0]),
        (3, (), []),
    ],
)
def test_what_may_be_under_way_is_divided_among_workers(hands, threads, expected):
    assert shares(roster(hands, *threads)) == expected


def test_who_leaves_or_is_unfit_has_no_share():
    made = roster(4, 4, 4)
    made.dismiss("w0", FileError("old"))
    assert shares(made) == [0, 4] and [member.host for member in made.fit()] == ["host1"]
    made.join("w2", "host2", 4, 0.0)
    made.leave("w1", has_ended=True)
    assert shares(made) == [0, 4]


def give_all(made: Roster, todo: list[Work]) -> list[tuple[str, int]]:
    """Hand out what can be handed out now."""
    given = []
    while todo and (worker := made.next(len(todo))):
        size = made.size(worker, todo[:MOST], len(todo))
        made.hand(worker, todo[:size], 0.0)
        del todo[:size]
        made.check()
        given.append((worker, size))
    return given


def test_workers_get_loads_in_turn_and_one_more_waits_where_there_is_enough():
    made = roster(2, 2, 2)
    assert [worker for worker, _ in give_all(made, works(100))] == ["w0", "w1", "w0", "w1"]
    assert [worker for worker, _ in give_all(roster(2, 2, 2), works(2))] == ["w0", "w1"]


def test_who_has_no_share_gets_nothing():
    assert {worker for worker, _ in give_all(roster(1, 1, 1), works(100))} == {"w0"}


def test_first_loads_are_small_and_later_ones_take_as_long_as_they_should():
    made = roster(1, 1)
    (number,) = [made.hand("w0", works(4), 0.0)]
    assert made.size("w0", works(MOST), 10_000) == FIRST // cost(work("a"))
    made.take_back(number, 1.0)
    rate = 4 * cost(work("a"))
    assert made.size("w0", works(MOST), 10_000) == int(rate * AIM) // cost(work("a"))
    assert made.size("w0", [work("large", 1 << 40), *works(9)], 10_000) == 1


def test_near_the_end_loads_are_small_so_that_all_end_together():
    made = roster(4, 4)
    assert made.size("w0", works(8), 8) == 1 and made.size("w0", works(16), 16) == 2


def test_files_of_who_is_gone_come_back_and_may_be_written_on():
    made = roster(1, 1)
    some = works(3)
    number = made.hand("w0", some, 0.0)
    assert made.leave("w0", has_ended=False) == some
    assert made.lost == {"run/0", "run/1", "run/2"} and made.take_back(number, 1.0) is None
    made.join("w1", "host", 1, 0.0)
    made.hand("w1", works(1), 0.0)
    assert made.leave("w1", has_ended=True) and made.leave("w1", has_ended=True) == []
    assert made.lost == {"run/0", "run/1", "run/2"}


def test_who_has_files_and_says_nothing_is_silent():
    made = roster(2, 1, 1)
    made.hand("w0", works(1), 10.0)
    assert made.silent(10.0 + SILENT) == [] and made.silent(10.1 + SILENT) == ["w0"]
    made.hear("w0", 50.0)
    made.hear("nobody", 50.0)
    assert made.silent(50.0 + SILENT) == []


def test_fewer_are_under_way_at_once_when_shares_shrink():
    made = roster(4, 4)
    todo = works(1000)
    give_all(made, todo)
    assert made.members["w0"].under_way() == 4
    made.join("w1", "host1", 4, 0.0)
    assert [worker for worker, _ in give_all(made, todo)] == []
    for number in list(made.loads)[:3]:
        made.take_back(number, 0.1)
        give_all(made, todo)
        made.check()
    assert made.members["w1"].loads


@pytest.mark.slow
@settings(PROPERTY)
@given(st.integers(1, 9), st.integers(0, 1 << 30))
def test_whatever_happens_each_file_is_with_one_worker_and_no_more_are_under_way(hands: int, seed: int) -> None:
    dice, made, todo, done, names = random.Random(seed), Roster(hands), works(200), 0, 0
    for now in range(300):
        what = dice.random()
        if what < 0.1 or not made.members:
            made.join(f"w{names}", "host", dice.randint(1, 4), now)
            names += 1
        elif what < 0.15:
            todo = made.leave(dice.choice(list(made.members)), dice.random() < 0.5) + todo
        elif what < 0.18:
            made.dismiss(dice.choice(list(made.members)), FileError("old"))
        elif what < 0.6 and made.loads:
            handed = made.take_back(dice.choice(list(made.loads)), dice.random())
            assert handed
            done += len(handed.works)
        give_all(made, todo)
        assert done + len(todo) + sum(len(handed.works) for handed in made.loads.values()) == 200
