"""A door with the limiters of dCache 11.2 in front: too many requests, or too many failures, and it answers 429."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator

import pytest

from gridsync_parts.doors.throttle import Throttle
from tests.grid import Grid
from tests.grid.door import PROFILES, Door, Switches
from tests.grid.tape import Robot
from tests.support.user import User

PROFILE = "dcache-11.2"
FILES, THREADS = 2000, 16
SLOW = 100  # requests a second: less than even a slow machine asks for
TOO_FAST = 429


@pytest.fixture(scope="module")
def limited(grid: Grid) -> Iterator[Door]:
    """Such a door, just as it is."""
    robot = Robot(grid.tree, drives=4, seconds=0.05)  # its own, as it ends with the door
    door = Door(grid.tree, grid.pki, robot, PROFILE, Switches(**PROFILES[PROFILE]))
    door.start()
    yield door
    door.stop()


@pytest.fixture
def door(limited: Door) -> Iterator[Door]:
    limited.log.clear()
    yield limited
    limited.faults.clear()
    limited.switches.__dict__.update(PROFILES[PROFILE])
    limited.let_in_again()


@pytest.fixture
def hasty(user: User, folder: str, door: Door) -> User:
    """A user who wants many small files from it, as fast as they may come."""
    user.set("SERVER", f"{door.url}/")
    for number in range(FILES):
        user.grid.tree.add(f"agata/{folder}/{number % 10}/{number}", 1000)
    assert user(f"--input_dir {folder} --threads {THREADS} --build_list").status == 0
    door.log.clear()
    return user


@pytest.mark.long
@pytest.mark.parametrize("line", ["--start", "--sync"])
def test_many_small_files_come_more_slowly_and_none_fails(hasty, door, line):
    door.switches.requests_a_second = SLOW
    result = hasty(line)
    assert result.status == 0 and f"Copied: {FILES}, skipped: 0, failed: 0, " in result.out, result
    assert door.log.count(status=TOO_FAST) <= 2 * THREADS  # as each thread may have had a request on its way


@pytest.mark.long
def test_gfal2_slows_down_too(hasty, door):
    hasty.set("ENGINE", "gfal2")
    hasty.limit = 150
    door.switches.requests_a_second = SLOW
    result = hasty("--inc '/[01]/' --start")
    assert result.status == 0 and f"Copied: {FILES // 5}, skipped: 0, failed: 0, " in result.out, result
    assert door.log.count(status=TOO_FAST) <= 3 * THREADS


@pytest.mark.long
def test_a_door_that_shuts_out_an_address_for_what_others_did_is_waited_for(hasty, door):
    """And is asked no more slowly then: its limit is another one."""
    shut = [door.faults.add("*", TOO_FAST, role="door", count=count, retry_after=2) for count in (1, 1)]
    door.switches.requests_a_second = math.inf
    began = time.monotonic()
    result = hasty("--start")
    assert result.status == 0 and f"Copied: {FILES}, skipped: 0, failed: 0, " in result.out, result
    assert all(fault.hits for fault in shut) and 4 < time.monotonic() - began < 4 + FILES / 150
    assert door.log.count(status=TOO_FAST) == 2


@pytest.mark.parametrize("line", ["--ls_dir", "--build_list", "--start"])
def test_a_door_that_takes_nothing_for_ever_is_given_up(hasty, door, line):
    door.faults.add("*", TOO_FAST, role="door", retry_after=1)
    status, _, err = hasty(line, changed="HELD = held = 2")
    assert status in (1, 4) and "the door answers 429 (" in err, err
    assert door.log.count(status=TOO_FAST) < 6 * THREADS


def test_a_wait_is_one_of_all_threads_and_one_request_goes_ahead():
    throttle, gone = Throttle(), []
    began = time.monotonic()
    for _ in range(100):
        throttle.take()
    throttle.slow(throttle.go(), 0.5)
    threads = [threading.Thread(target=lambda: gone.append(throttle.go()), daemon=True) for _ in range(8)]
    for thread in threads:
        thread.start()
    threads[0].join(0.7)
    time.sleep(0.2)
    assert len(gone) == 1 and gone[0] - began >= 0.5
    throttle.take()
    for thread in threads:
        thread.join(5)
    gaps = [later - earlier for earlier, later in zip(sorted(gone)[1:], sorted(gone)[2:])]
    assert len(gone) == 8 and min(gaps) >= 0.9 / (0.8 * 100)
