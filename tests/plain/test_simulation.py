"""--sync in virtual time: worlds with faults of all kinds, and after each turn what must always hold."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings

from gridsync_parts.pace import HOUR, MINUTE, PACE
from tests.support.properties import PROPERTY
from tests.support.simulation import Fault, Simulation, World
from tests.support.worlds import WORLD, play

pytestmark = pytest.mark.slow


@settings(PROPERTY, max_examples=10)
@given(WORLD)
def test_whatever_fails_each_file_is_in_one_place_and_comes_or_has_a_reason(
    tmp_path_factory: pytest.TempPathFactory, world: World
) -> None:
    play(tmp_path_factory.getbasetemp(), world)


@pytest.mark.long
def test_ten_thousand_files_come_in_spite_of_outages(tmp_path: Path) -> None:
    faults = Fault("door", 2 * HOUR, HOUR), Fault("tape", 5 * HOUR, HOUR), Fault("release", 1000, HOUR)
    world = World(10_000, 0.7, 20, drives=40, tape_seconds=30, threads=8, faults=faults)
    sim = Simulation(tmp_path, world, PACE._replace(tick=30), every=3 * HOUR)
    status = sim.sync(3)
    sim.check_end(status)
    assert (status, len(sim.disk.files)) == (0, 10_000)


def test_a_file_that_arrives_damaged_is_given_up_however_long_it_takes(tmp_path: Path) -> None:
    """The site is asked again where it is between two attempts, which must not make the next one the first."""
    sim = play(tmp_path, World(2, 0.0, rate=1e6, damaged=frozenset({1})), days=1)
    assert [row.error for row in sim.catalog.all()] == ["", "agata/1/0000001: arrived damaged"]


@pytest.mark.long
def test_pins_go_while_there_is_always_a_request_to_ask_for(tmp_path: Path) -> None:
    """As with thousands of requests, or a slow service: what is due the longest has its turn."""
    pace = PACE._replace(poll_most=10.0)
    sim = Simulation(tmp_path, World(10, 1.0, drives=1, tape_seconds=HOUR, call_seconds=20.0), pace)
    status = sim.sync(2)
    sim.check_end(status)
    assert status == 0


def test_a_door_that_is_dead_for_a_day_is_left_alone(tmp_path: Path) -> None:
    sim = play(tmp_path, World(20, 0.5, faults=(Fault("door", MINUTE, 20 * HOUR), Fault("tape", MINUTE, 20 * HOUR))))
    assert len(sim.disk.files) == 20
    assert sum(day["failures"] for day in sim.site.spans.values()) < 1500  # calls and copies
