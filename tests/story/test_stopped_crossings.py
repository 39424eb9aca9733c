"""Copies from door to door that are stopped: what the user is told, and what a further run makes of what is left."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from gridsync_parts.disk import MARK
from tests.grid import Grid
from tests.support.ships import SIZES, Simulated
from tests.support.user import a_minute_later, wait_for, wait_until

LARGE = 6_000_000


@pytest.fixture
def slow(grid: Grid, tmp_path: Path, folder: str, busy_marks: None) -> Iterator[Simulated]:
    """Somebody whose target copies slowly, and shows what has come so far."""
    ship = Simulated(grid, tmp_path, folder)
    ship.add("large", LARGE)
    storm = grid.storm.switches
    before = storm.copy_rate, storm.copy_grows
    storm.copy_rate, storm.copy_grows = LARGE / 4, True
    yield ship
    storm.copy_rate, storm.copy_grows = before


def unfinished(ship: Simulated) -> list[str]:
    """What is at the target under another name than its own."""
    return [name for name in ship.there() if name.endswith(MARK)]


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long)])
def test_a_run_that_is_stopped_ends_at_once_and_a_further_one_copies_the_rest(slow, number):
    with slow.running(f"--sync --to=CNAF {slow.more}") as run:
        wait_until(lambda: unfinished(slow) or run.poll() is not None)
        os.kill(run.pid, number)
        done = wait_for(run, 20)
    assert done.status == 130 and "Traceback" not in done.err, done
    assert "large" not in slow.there()
    slow.grid.storm.switches.copy_rate = 0
    a_minute_later(slow.folder)
    done = slow.ship("--sync")
    assert (done.status, done.err) == (0, ""), done
    assert slow.there() == slow.sent() and len(slow.sent()) == len(SIZES) + 1
    assert not slow.open()


@pytest.mark.long
def test_time_that_is_over_is_an_end_like_any_other(slow):
    done = slow.ship("--sync", "--max_duration=3s")
    assert done.status == 1 and "Traceback" not in done.err, done
    slow.grid.storm.switches.copy_rate = 0
    assert slow.ship("--sync").status == 0 and slow.there() == slow.sent()
