"""Workers in virtual time: what befalls them, with the real roster and field; after each turn what must always hold."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings

from gridsync_parts.pace import HOUR
from tests.support.farm import Ill
from tests.support.properties import PROPERTY
from tests.support.simulation import Simulation, World
from tests.support.worlds import CREWED, play

pytestmark = pytest.mark.slow

KINDS = ("die", "part", "freeze", "cut", "slow", "unmount")


@settings(PROPERTY, max_examples=15)
@given(CREWED)
def test_whatever_befalls_workers_each_file_is_in_one_place_and_comes_or_has_a_reason(
    tmp_path_factory: pytest.TempPathFactory, world: World
) -> None:
    play(tmp_path_factory.getbasetemp(), world)


def test_files_come_though_everything_befalls_the_workers(tmp_path: Path) -> None:
    ills = [Ill(kind, 300 + 40 * number, number % 6, 100 * (number % 5 + 1)) for number, kind in enumerate(KINDS * 8)]
    sim = play(tmp_path, World(500, 0.3, threads=8, workers=6, ills=tuple(ills), tape_seconds=1, rate=2e7), days=2)
    assert len(sim.disk.files) == 500
    assert all(sim.site.spans[0][kind] for kind in KINDS)


@pytest.mark.parametrize(("kind", "size", "seconds"), [("freeze", 64, 100), ("cut", 256, 130)])
def test_who_is_given_up_and_goes_on_does_not_write_where_another_one_writes(
    tmp_path: Path, kind: str, size: int, seconds: float
) -> None:
    """It comes to the next of its files when the other worker has begun with that."""
    world = World(40, 0.0, size=size << 20, threads=2, hands=1, workers=2, rate=4e6, seed=2)
    sim = play(tmp_path, world._replace(ills=(Ill(kind, 100, 0, seconds),)), days=1)
    assert len(sim.disk.files) == 40


@pytest.mark.long
def test_workers_share_the_files_as_fast_as_each_is(tmp_path: Path) -> None:
    """Eight of them need little more than what they would if none had ever to wait."""
    world = World(400, 0.0, threads=16, hands=2, workers=8, rate=2e7)
    sim = Simulation(tmp_path, world, every=HOUR)
    assert sim.sync(2) == 0
    assert sim.far
    speeds = [2 * worker.rate * world.rate for worker in sim.far.crew.workers.values()]
    least = sum(file.size for file in sim.site.files.values()) / sum(speeds)
    assert sim.clock.now < 1.1 * least
