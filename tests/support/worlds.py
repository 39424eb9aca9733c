"""Worlds for --sync in virtual time, by chance: files, a robot, pins, and what fails."""

from __future__ import annotations

from pathlib import Path

from hypothesis import strategies as st

from gridsync_parts.pace import DAY, HOUR, MINUTE
from tests.support.farm import Ill
from tests.support.simulation import GIB, Change, Fault, Simulation, World

HOURS = st.integers(0, 12 * 60).map(lambda minutes: minutes * 60.0)  # no fault begins later
KINDS = ("door", "tape", "stage", "release", "pool", "offline", "forget", "credential")
NUMBERS = st.integers(0, 39)
SOME = st.frozensets(NUMBERS, max_size=3)
FAULT = st.builds(
    Fault,
    kind=st.sampled_from(KINDS),
    start=HOURS,
    seconds=st.sampled_from([1.0, MINUTE, HOUR, 6 * HOUR, 18 * HOUR]),
    share=st.sampled_from([0.1, 0.5, 1.0]),
    passing=st.booleans(),
)
CHANGE = st.builds(
    Change,
    kind=st.sampled_from(("change", "vanish", "appear", "evict")),
    at=HOURS,
    number=NUMBERS,
)
ILL = st.builds(
    Ill,
    kind=st.sampled_from(("die", "part", "freeze", "cut", "slow", "unmount")),
    at=st.integers(1, 3 * 60).map(lambda minutes: minutes * 60.0),
    number=st.integers(0, 3),
    seconds=st.sampled_from([1.0, 45.0, 5 * MINUTE, 6 * HOUR]),
)
WORLD = st.builds(
    World,
    files=st.integers(1, 40),
    on_tape=st.sampled_from([0.0, 0.3, 1.0]),
    folders=st.integers(1, 4),
    size=st.just(GIB),
    tape_rate=st.just(300e6),
    has_tape=st.sampled_from([True, True, True, False]),
    is_told=st.booleans(),
    drives=st.integers(1, 4),
    tape_seconds=st.sampled_from([1.0, 60.0, 2 * HOUR]),
    order=st.sampled_from(["fifo", "lifo", "random"]),
    call_seconds=st.just(0.2),
    linger=st.sampled_from([0.0, HOUR, DAY]),
    pin_days=st.integers(1, 3),
    rate=st.sampled_from([1e6, 1e8]),
    threads=st.integers(1, 4),
    room=st.sampled_from([5 * GIB, 100 * GIB]),
    faults=st.lists(FAULT, max_size=4).map(tuple),
    changes=st.lists(CHANGE, max_size=4).map(tuple),
    broken=SOME, damaged=SOME, unstaged=SOME, denied=SOME, hung=SOME,
    workers=st.just(0),
    hands=st.just(1),
    ills=st.just(()),
    seed=st.integers(0, 3),
)  # fmt: skip
CREWED = st.builds(
    lambda world, workers, hands, ills: world._replace(workers=workers, hands=hands, ills=tuple(ills)),
    WORLD, st.integers(1, 4), st.integers(1, 3), st.lists(ILL, max_size=8),
)  # fmt: skip


def play(folder: Path, world: World, days: float = 40) -> Simulation:
    """A run in a world, and what must hold after it; whoever is told that it ended for a passing reason runs again."""
    sim = Simulation(folder, world)
    for _ in range(6):
        status = sim.sync(days)
        sim.check_end(status)
        if status in (0, 1):
            break
        sim.clock.now += 4 * HOUR
    return sim
