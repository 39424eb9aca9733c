"""What a night brings to --sync: things that fail for a moment or for ever, beside others that go on."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest

import gridsync
from gridsync_parts.errors import DoorError
from gridsync_parts.waits import Chore
from tests.support.constants import replace
from tests.support.user import User, count_rows, find_pinned, find_wrong, wait_for, wait_until


def from_tape(user: User) -> int:
    """How many files have come from tape."""
    rows = user.catalog().items() if (user.folder / "grid_summary.csv").exists() else ()
    return sum("/tape/" in path and row["downloaded"] == "yes" for path, row in rows)


def has_passed(seconds: float) -> Callable[[], bool]:
    """A condition that comes true after so long."""
    ends = time.monotonic() + seconds
    return lambda: time.monotonic() > ends


@pytest.fixture(autouse=True)
def mended(grid):
    """Afterwards nothing fails any more."""
    yield
    grid.robot.fail.clear()
    grid.robot.stuck.clear()
    grid.robot.go()
    grid.door.faults.clear()
    grid.storm.faults.clear()


def test_a_listing_whose_localities_fail_is_sorted_all_the_same(mixed, folder):
    storm, tree = mixed.grid.storm, mixed.grid.tree
    new = f"{folder}/disk/new"
    mixed.grid.robot.hold()
    tree.add(f"agata/{new}", 1000)
    storm.faults.add(f"*/{new}", 503, method="GET")

    def happens():
        tree.remove(f"agata/{new}")
        storm.faults.add("*archiveinfo", 503, role="tape", count=2)

    with mixed.running("--sync --from CNAF", "HOUR = 5; AGAIN = 4") as process:
        wait_until(lambda: count_rows(mixed, "downloaded") == 4 and count_rows(mixed, "request") == 5)
        wait_until(lambda: mixed.catalog()[new]["error"])
        storm.faults.add(f"*/{folder}", "meanwhile", method="PROPFIND", count=1, happens=happens)
        wait_until(lambda: new not in mixed.catalog())
        mixed.grid.robot.go()
        status, _, err = wait_for(process)
    assert status == 0 and "a fault of gridsync" not in err
    assert find_wrong(mixed, folder) == []


def test_a_file_that_fails_again_and_again_does_not_keep_a_stuck_one_waiting_for_ever(mixed, folder):
    mixed.grid.robot.fail[f"agata/{folder}/tape/3"] = "tape is broken"
    mixed.grid.robot.stuck.add(f"agata/{folder}/tape/4")
    with mixed.running("--sync", "HOUR = 2; PATIENCE = 6; AGAIN = 0.5") as process:
        status, _, err = wait_for(process)
    assert status == 1 and "tape/4: stuck on the way from tape since" in err and "tape is broken" in err
    assert find_wrong(mixed, folder) == [f"{folder}/tape/3", f"{folder}/tape/4"]


def test_a_request_that_can_never_be_asked_how_far_it_is_ends_after_a_day(mixed, folder):
    mixed.grid.door.faults.add("*/stage/*", 500, role="tape", method="GET")
    with mixed.running("--sync", "PATIENCE = 5; AGAIN = 0.5; POLL = 2") as process:
        assert wait_for(process).status == 1
    assert len(find_wrong(mixed, folder)) == 5


def test_what_was_staged_comes_while_the_service_takes_no_requests(mixed, folder):
    mixed.grid.robot.hold()
    assert mixed("--build_list --bring_online").status == 0
    mixed.grid.tree.add(f"agata/{folder}/tape/new", 1000, tape=True)
    fault = mixed.grid.door.faults.add("*/stage", 500, role="tape", method="POST")
    with mixed.running("--sync", "AGAIN = 300"):
        wait_until(lambda: fault.hits)
        mixed.grid.robot.go()
        wait_until(lambda: count_rows(mixed, "downloaded") == 9)
        assert not count_rows(mixed, "error")


def test_a_hung_tape_holds_no_others_up_on_a_small_disk(mixed, folder):
    mixed.grid.robot.stuck.add(f"agata/{folder}/tape/0")
    with mixed.running("--sync", "free_space = lambda folder: 310_000; POLL = 1; GATHER = 2"):
        wait_until(lambda: from_tape(mixed) == 4)


def test_neither_do_a_file_larger_than_the_disk_and_a_dead_pool(mixed, folder):
    mixed.grid.door.faults.add(f"*/{folder}/disk/2", 503)
    with mixed.running("--sync", "free_space = lambda folder: 310_000; AGAIN = 100"):
        wait_until(lambda: from_tape(mixed) == 5)


def test_what_is_here_already_needs_no_room(mixed, folder):
    path = mixed.data / folder / "disk" / "3"
    path.parent.mkdir(parents=True)
    path.write_bytes(mixed.grid.tree.expected(f"agata/{folder}/disk/3"))
    assert mixed(f"--input_dir {folder}/disk --inc 3$").status == 0
    with mixed.running("--sync", "free_space = lambda folder: 1_000_000") as process:
        assert wait_for(process).status == 0


@pytest.mark.parametrize("grown", [0, 500_000])
def test_a_file_that_changes_while_it_is_copied_is_not_taken_for_the_new_one(mixed, folder, grown):
    door, path = mixed.grid.door, f"{folder}/disk/3"
    door.faults.add(f"*/{path}", "drip", role="pool", speed=800_000, count=1)
    with mixed.running("--sync", "HOUR = 1; AGAIN = 1") as process:
        wait_until(lambda: count_rows(mixed, "downloaded") == 8)
        old = mixed.grid.tree.file(f"agata/{path}")
        new = mixed.grid.tree.add(f"agata/{path}", old.size + grown, mtime=old.mtime + 5)
        new.start = old.start + 7
        wait_until(lambda: mixed.catalog()[path]["mtime"].endswith("05Z"))
        if grown:  # the old one can't come to its end any more
            door.down()
            door.up()
        status, _, err = wait_for(process)
    if grown:
        assert status == 0 and find_wrong(mixed, folder) == []
    else:  # it is here under the name, and --overwrite was not said
        assert status == 1 and f"{path}: a different local file has this name" in err
        assert mixed("--sync --overwrite").status == 0 and find_wrong(mixed, folder) == []


def test_a_folder_that_can_not_be_listed_for_a_moment_joins_in(mixed, folder):
    mixed.grid.door.faults.add(f"*/{folder}/disk*", 500, role="door", method="PROPFIND", count=2)
    with mixed.running("--sync", "HOUR = 1000; AGAIN = 1") as process:
        assert wait_for(process).status == 0
    assert find_wrong(mixed, folder) == []


def test_a_poll_that_is_refused_once_costs_no_pin(mixed, folder):
    mixed.grid.robot.hold()
    with mixed.running("--sync", "AGAIN = 1") as process:
        wait_until(lambda: count_rows(mixed, "request") == 5)
        refusal = mixed.grid.door.faults.add("*/stage/*", 403, role="tape", method="GET", count=1)
        wait_until(lambda: refusal.hits)
        mixed.grid.robot.go()
        assert wait_for(process).status == 0
    assert (find_wrong(mixed, folder), find_pinned(mixed, folder)) == ([], [])


def test_a_request_of_which_the_site_tells_us_nothing_is_made_anew(mixed, folder):
    mixed.grid.door.faults.add("*/stage/*", 403, role="tape", method="GET", count=3)
    with mixed.running("--sync", "AGAIN = 0.5; POLL = 1") as process:
        assert wait_for(process).status == 0
    assert find_wrong(mixed, folder) == []


def test_a_file_that_leaves_the_disk_twice_is_staged_twice(mixed, folder):
    mixed.grid.storm.faults.add(f"*/{folder}/tape/2", 415, method="GET", count=2)
    with mixed.running("--sync --from CNAF", "AGAIN = 1") as process:
        assert wait_for(process).status == 0
    assert find_wrong(mixed, folder) == []


def test_a_file_that_was_well_for_long_has_a_new_day(mixed, folder):
    """It fails, is staged for longer than a day, and fails once more."""
    door, robot, path = mixed.grid.door, mixed.grid.robot, f"{folder}/disk/2"
    first = door.faults.add(f"*/{path}", 503, count=2)
    robot.hold()
    with mixed.running("--sync", "AGAIN = 1; HOUR = 3; PATIENCE = 6; POLL = 0.5; FRESH = 1") as process:
        wait_until(lambda: first.hits == 2)
        mixed.grid.tree.file(f"agata/{path}").locality = "NEARLINE"
        for count in range(1, 5):  # something moves all the time, and a day goes by
            robot.go(1)
            wait_until(lambda count=count: from_tape(mixed) >= count)
            wait_until(has_passed(2))
        second = door.faults.add(f"*/{path}", 503, count=2)
        robot.go()
        status, _, err = wait_for(process)
    assert (status, second.hits) == (0, 2), err
    assert find_wrong(mixed, folder) == []


def test_a_proxy_that_is_just_being_written_ends_no_run(mixed, folder, tmp_path):
    proxy = tmp_path / "proxy"
    shutil.copy(mixed.grid.pki.proxy("good"), proxy)
    text = proxy.read_bytes()
    mixed.grid.robot.hold()
    with mixed.running("--sync", "CHECK = 0.1", X509_USER_PROXY=str(proxy)) as process:
        wait_until(lambda: count_rows(mixed, "downloaded") == 4)
        with open(proxy, "wb", buffering=0) as file:
            file.write(text[:500])
            wait_until(has_passed(0.4))
            file.write(text[500:])
        mixed.grid.robot.go()
        assert wait_for(process).status == 0


def test_a_pattern_that_later_pythons_may_read_otherwise_makes_no_noise(mixed):
    assert mixed("--inc [[a] --quiet").err == ""


def test_two_dead_files_keep_no_run_going(mixed, folder):
    """Two files that fail for ever, the second one half a day later."""
    mixed.grid.door.faults.add(f"*/{folder}/disk/2", 503)
    mixed.grid.door.faults.add(f"*/{folder}/disk/new", 503, method="GET")
    with mixed.running("--sync --quiet", "HOUR = 1; PATIENCE = 4; AGAIN = 0.3") as process:
        wait_until(lambda: count_rows(mixed, "downloaded") == 8)
        wait_until(has_passed(1))
        mixed.grid.tree.add(f"agata/{folder}/disk/new", 1000)
        status, _, err = wait_for(process, 40)
    assert status == 1, err


def test_neither_do_two_stuck_ones(mixed, folder):
    robot = mixed.grid.robot
    robot.stuck.update({f"agata/{folder}/tape/4", f"agata/{folder}/tape/new"})
    with mixed.running("--sync --quiet", "HOUR = 2; PATIENCE = 6; AGAIN = 0.3; GATHER = 0.1; POLL = 1") as process:
        wait_until(lambda: count_rows(mixed, "downloaded") == 8)
        wait_until(has_passed(3))
        mixed.grid.tree.add(f"agata/{folder}/tape/new", 1000, tape=True)
        status, _, err = wait_for(process, 40)
    assert status == 1, err


def test_two_bad_moments_of_the_tape_service_give_no_file_up(mixed, folder):
    storm = mixed.grid.storm
    mixed.grid.robot.hold()

    def happens():
        storm.faults.add("*archiveinfo", 503, role="tape", count=2)

    with mixed.running("--sync --from CNAF", "HOUR = 3; AGAIN = 1") as process:
        wait_until(lambda: count_rows(mixed, "downloaded") == 4 and count_rows(mixed, "request") == 5)
        for _ in range(2):
            fault = storm.faults.add(f"*/{folder}", "meanwhile", method="PROPFIND", count=1, happens=happens)
            wait_until(lambda fault=fault: fault.hits)
            wait_until(has_passed(1))
        mixed.grid.robot.go()
        status, _, err = wait_for(process)
    assert status == 0, err
    assert find_wrong(mixed, folder) == []


def test_three_refusals_in_a_week_lose_no_request(mixed, folder):
    door = mixed.grid.door
    mixed.grid.robot.hold()
    with mixed.running("--sync", "AGAIN = 0.5; POLL = 0.5") as process:
        wait_until(lambda: count_rows(mixed, "request") == 5)
        requests = {row["request"] for row in mixed.catalog().values() if row["request"]}
        for _ in range(3):
            refusal = door.faults.add("*/stage/*", 403, role="tape", method="GET", count=1)
            wait_until(lambda refusal=refusal: refusal.hits)
            wait_until(has_passed(3))
        now = {row["request"] for row in mixed.catalog().values() if row["request"]}
        mixed.grid.robot.go()
        assert wait_for(process).status == 0
    assert find_pinned(mixed, folder) == []
    assert requests == now


def test_a_folder_that_can_not_be_listed_holds_up_no_other_where_there_is_no_tape_service(user, folder):
    tree, door = user.grid.tree, user.grid.door
    user.set("TAPE_API", "none")
    user.set("THREADS", "1", "gridsync")
    for number in range(6):
        tree.add(f"agata/{folder}/{number}/file", 1_000_000)
    door.switches.bandwidth = 1_000_000
    try:
        with user.running(f"--input_dir {folder} --sync", "DEPTH = 0; FRESH = 0.5; AGAIN = 100"):
            wait_until(lambda: count_rows(user, "downloaded") >= 1)
            door.faults.add(f"*/{folder}/5", 500, role="door", method="PROPFIND")
            wait_until(lambda: count_rows(user, "downloaded") >= 5)
    finally:
        door.switches.bandwidth = 0


def test_a_refused_request_is_forgotten_in_the_catalog_too(mixed, folder):
    door = mixed.grid.door
    mixed.grid.robot.hold()
    with mixed.running("--sync --quiet", "AGAIN = 0.5; POLL = 1") as process:
        wait_until(lambda: count_rows(mixed, "request") == 5)
        old = next(row["request"] for row in mixed.catalog().values() if row["request"])
        door.faults.add("*/stage", 500, role="tape", method="POST", count=2)  # one time, with its repetition
        door.faults.add(f"*/stage/{old}", 403, role="tape", method="GET")
        wait_until(has_passed(15))
        mixed.grid.robot.go()
        status, _, err = wait_for(process)
    assert status == 0, err


def test_a_folder_that_can_not_be_listed_later_on_is_listed_again_soon(mixed, folder):
    door = mixed.grid.door
    mixed.grid.robot.hold()
    with mixed.running("--sync", "HOUR = 12; AGAIN = 1") as process:
        wait_until(lambda: count_rows(mixed, "downloaded") == 4)
        fault = door.faults.add(f"*/{folder}/disk*", 500, role="door", method="PROPFIND", count=2)
        wait_until(lambda: fault.hits == 2)
        mixed.grid.robot.go()
        wait_until(lambda: count_rows(mixed, "downloaded") == 9)
        began = time.monotonic()
        status, _, err = wait_for(process)
    assert time.monotonic() - began < 6
    assert status == 0, err


def test_a_request_that_can_not_be_asked_keeps_no_others_waiting(mixed, folder):
    mixed.grid.robot.hold()
    door = mixed.grid.door
    with mixed.running("--sync", "MAX_PATHS = 1; AGAIN = 6; TICK = 0.1"):
        wait_until(lambda: count_rows(mixed, "request") >= 1)
        first = next(row["request"] for row in mixed.catalog().values() if row["request"])
        fault = door.faults.add(f"*/stage/{first}", 500, role="tape", method="GET")
        wait_until(lambda: count_rows(mixed, "request") == 5)
        mixed.grid.robot.go()
        wait_until(lambda: fault.hits)
        wait_until(lambda: from_tape(mixed) == 4, 20)


def test_a_release_that_has_failed_is_tried_again(mixed, folder):
    door = mixed.grid.door
    mixed.grid.robot.hold()
    fault = door.faults.add("*/release/*", 503, role="tape", method="POST", count=2)
    with mixed.running("--sync", "AGAIN = 1"):
        wait_until(lambda: count_rows(mixed, "request") == 5)
        mixed.grid.robot.go(4)
        wait_until(lambda: from_tape(mixed) == 4)
        wait_until(lambda: fault.hits == 2)
        wait_until(lambda: count_rows(mixed, "request") == 1, 20)


def test_nor_two_that_arrive_damaged(mixed, folder):
    door, tree = mixed.grid.door, mixed.grid.tree
    door.faults.add(f"*/{folder}/disk/3", "wrong_bytes")
    door.faults.add(f"*/{folder}/disk/new", "wrong_bytes")
    door.switches.bandwidth = 1_000_000
    try:
        with mixed.running("--sync --quiet", "HOUR = 1") as process:
            wait_until(has_passed(3))
            tree.add(f"agata/{folder}/disk/new", 3_000_000)
            status = wait_for(process).status
    finally:
        door.switches.bandwidth = 0
    assert status == 1


def test_a_chore_that_failed_for_a_moment_days_ago_may_fail_again(monkeypatch):
    for name, value in (("PATIENCE", 0.5), ("HOUR", 0.1), ("AGAIN", 0.01)):
        replace(monkeypatch, name, value)
    sync = gridsync.Sync.__new__(gridsync.Sync)
    sync.run = SimpleNamespace(check_credential=lambda: None, report=SimpleNamespace(note=lambda text: None))
    sync.noted = set()
    fails = True

    def call(now: float) -> bool:
        if fails:
            raise DoorError("503", passing=True)
        return False  # there was nothing to do

    chore = Chore(call, 0.05)
    sync.do(chore)
    fails = False
    over = has_passed(1)
    while not over():
        sync.do(chore)
    fails = True
    sync.do(chore)
    assert chore.failures == 1
