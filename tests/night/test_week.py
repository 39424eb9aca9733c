"""A week of --sync in virtual time: many files, a robot, pins that end, doors that die; FILES=100000 takes a minute."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import given, settings

from gridsync_parts.pace import DAY, HOUR, PACE
from tests.support.properties import PROPERTY
from tests.support.simulation import GIB, Fault, Simulation, World
from tests.support.worlds import WORLD, play

# A turn a minute, a listing each quarter of a day, and few looks at a request: the program's own time is what counts.
FAST = PACE._replace(tick=60, list=6 * HOUR, polls=0.04)
FILES = int(os.environ.get("FILES", "30000"))
FAULTS = [
    ("door", 0, 9, 2), ("door", 2, 3, 5), ("door", 4, 20, 0.3), ("tape", 1, 4, 3), ("tape", 3, 8, 8),
    ("release", 5, 2, 4), ("pool", 4, 1, 6), ("offline", 6, 1, 2),
]  # fmt: skip


@pytest.mark.long
def test_a_week_with_many_files(tmp_path: Path) -> None:
    """The robot brings them all week, which is longer than a pin lasts."""
    faults = tuple(Fault(kind, day * DAY + hour * HOUR, hours * HOUR, 0.5) for kind, day, hour, hours in FAULTS)
    world = World(
        FILES, 0.9, 200, size=4 * GIB, drives=10, tape_seconds=4_500_000 / FILES, threads=16, rate=500 * FILES,
        linger=2 * HOUR, faults=faults, broken=frozenset({11, 22}), unstaged=frozenset({33}), denied=frozenset({44}),
    )  # fmt: skip
    sim = Simulation(tmp_path, world, FAST, every=6 * HOUR)
    began = time.process_time()
    status = sim.sync(9)
    took = time.process_time() - began
    print(sim.table(), f"{took:.0f} s", sep="\n")
    sim.check_end(status)
    assert status == 1 and len(sim.disk.files) >= FILES - 4
    assert sim.clock.now > 6 * DAY


@pytest.mark.long
@settings(PROPERTY, max_examples=50)
@given(WORLD)
def test_whatever_fails_in_many_worlds(tmp_path_factory: pytest.TempPathFactory, world: World) -> None:
    play(tmp_path_factory.getbasetemp(), world)
