"""What days bring to --sync, in virtual time: what fails for ever beside what goes on, one thing after the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gridsync_parts.pace import DAY, HOUR, PACE
from gridsync_parts.values import Row
from tests.support.simulation import Change, Fault, Simulation, World

pytestmark = pytest.mark.slow

LATER = 12 * HOUR  # when another one joins in
EVER = 1000 * DAY
DEAD = Fault("pool", 0, EVER, share=0.05)  # of the numbers below 30 the files 0 and 16


class Night(Simulation):
    """A --sync that may take so many days, and then has left some files."""

    def __init__(self, folder: Path, days: float, **world: Any):
        super().__init__(folder, World(**world), PACE._replace(tick=1))
        self.came: dict[int, float] = {}  # when each file came, by its number
        keep = self.disk.keep

        def note(row: Row, checksum: str) -> None:
            self.came[int(row.path[-7:])] = self.clock.now
            keep(row, checksum)

        self.disk.keep = note  # type: ignore[method-assign]
        assert self.sync(days) == 1
        self.check_end(1)

    def left(self) -> set[int]:
        """The files that did not come."""
        return {file.number for file in self.site.files.values()} - set(self.came)

    def told(self, sentence: str) -> int:
        """How many files the user was told that of."""
        return sum(sentence in said and "before the next attempt" not in said for _, said in self.words.said)


def test_two_files_whose_pools_are_dead_keep_no_run_going(tmp_path):
    """Each is given up a day after its own first failure, and gets no other chance while the other one fails."""
    night = Night(tmp_path, 1.7, files=16, on_tape=0, faults=(DEAD,), changes=(Change("appear", LATER, 0),))
    assert night.left() == {0, 16} and night.clock.now > LATER + DAY


@pytest.mark.long
def test_nor_do_two_that_are_stuck_on_the_way_from_tape(tmp_path):
    hung, new = frozenset({3, 9}), Change("appear", LATER, 0)
    night = Night(tmp_path, 1.7, files=9, on_tape=1, hung=hung, changes=(new,))
    assert night.left() == {3, 9} and night.clock.now > LATER + DAY
    assert night.told("stuck on the way from tape since") == 2


def test_nor_do_two_that_arrive_damaged(tmp_path):
    """They are not fetched again, and so the run ends when what is on tape has come."""
    damaged, new = frozenset({3, 9}), Change("appear", LATER, 0)
    night = Night(tmp_path, 1.5, files=9, on_tape=0.5, drives=1, tape_seconds=4 * HOUR, damaged=damaged, changes=(new,))
    assert night.left() == {3, 9} and night.told("arrived damaged") == 2


def test_a_file_that_fails_again_and_again_keeps_no_stuck_one_waiting(tmp_path):
    night = Night(tmp_path, 1.2, files=16, on_tape=0.5, hung=frozenset({4}), faults=(DEAD,))
    assert night.left() == {0, 4} and night.told("stuck on the way from tape since") == 1


def test_what_was_asked_for_comes_while_the_service_takes_no_requests(tmp_path):
    world = {"files": 9, "on_tape": 1, "drives": 1, "tape_seconds": HOUR, "changes": (Change("appear", 60, 0),)}
    refused = Fault("stage", 60, 20 * HOUR)
    night = Night(tmp_path, 2, **world, faults=(refused,), unstaged=frozenset({3}))
    assert all(night.came[number] < refused.seconds for number in set(range(9)) - {3})
    assert night.came[9] > refused.seconds


def test_what_files_wait_for_between_two_attempts_is_told_but_not_for_each(tmp_path):
    sim = Simulation(tmp_path, World(files=8, on_tape=0, faults=(Fault("door", 5, 300),)), PACE._replace(tick=1))
    assert sim.sync(1) == 0
    pauses = [at for at, said in sim.words.said if "before the next attempt: the door cannot be reached" in said]
    assert pauses and all(later - at >= 30 for at, later in zip(pauses, pauses[1:]))
