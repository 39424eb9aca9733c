"""What --verify finds damaged, --repair fetches again, and nothing else; --overwrite concerns all."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from gridsync_parts.disk import MARK
from tests.grid.tree import TAPE
from tests.support.user import (
    User,
    count_rows,
    find_wrong,
    flip,
    move_to_tape,
    read_copy,
    wait_for,
    wait_until,
    wait_until_online,
)

DAMAGED = "--repair fetches it again"


def asked_for(user: User, folder: str) -> list[str]:
    """The files of the folder that the door was asked to give."""
    records = user.grid.door.log.matching(method="GET", role="door")
    return sorted(record.path.rpartition("/")[2] for record in records if folder in record.path)


@pytest.fixture
def damaged(three: User, folder: str) -> User:
    """A user whose small file is damaged, which --verify has found."""
    assert three("--start").status == 0
    flip(three.data / folder / "small", 7)
    status, _, err = three("--verify")
    assert status == 1 and err.count("\n") == 1 and err.endswith(f"; {DAMAGED}\n")
    three.grid.door.log.clear()
    return three


def test_repair_fetches_what_verify_has_found_and_nothing_else(damaged, folder):
    (damaged.data / folder / "empty").write_bytes(b"mine")  # of which --verify does not know
    status, out, err = damaged("--repair")
    assert (status, err.count("gridsync.py:")) == (0, 0) and "Copied: 1, skipped: 0, failed: 0" in out
    assert asked_for(damaged, folder) == ["small"]
    assert read_copy(damaged, f"{folder}/small") == damaged.grid.tree.expected(f"agata/{folder}/small")
    assert read_copy(damaged, f"{folder}/empty") == b"mine"
    row = damaged.catalog()[f"{folder}/small"]
    assert (row["downloaded"], row["verified"], row["error"]) == ("yes", "adler32", "")


def test_what_is_gone_or_shorter_is_fetched_too(three, folder):
    three("--start")
    (three.data / folder / "small").unlink()
    os.truncate(three.data / folder / "sub/big", 1000)
    status, _, err = three("--verify")
    assert status == 1 and err.count(f"is no longer here, or has another size; {DAMAGED}") == 2
    assert "Copied: 2, skipped: 0, failed: 0" in three("--repair").out
    assert find_wrong(three, folder) == []


def test_what_is_damaged_is_named_until_it_is_repaired(damaged, folder):
    for _ in range(2):
        status, out, err = damaged("--verify")
        assert status == 1 and f"gridsync.py: {folder}/small: is damaged: " in err and "damaged: 1;" in out
    assert damaged("--repair").status == 0
    assert damaged("--verify").status == 0


def test_what_a_look_has_found_gone_is_known_to_verify_and_repair(three, folder):
    three("--start")
    (three.data / folder / "small").unlink()
    assert "downloaded: 2, remaining: 1" in three("--check_status").out
    status, _, err = three("--verify")
    assert status == 1 and f"{folder}/small: is no longer here, or has another size; --repair fetches it again" in err
    assert three("--repair").status == 0 and (three.data / folder / "small").is_file()


@pytest.mark.parametrize("line", ["--start", "--sync"])
def test_no_other_command_replaces_a_damaged_file_and_each_says_what_does(damaged, folder, line):
    before = read_copy(damaged, f"{folder}/small")
    status, _, err = damaged(line)
    assert status == 1 and f"{folder}/small: is damaged, as --verify found; {DAMAGED}\n" in err
    assert read_copy(damaged, f"{folder}/small") == before and asked_for(damaged, folder) == []
    assert damaged("--build_list --repair").status == 0
    assert damaged("--verify").status == 0
    assert find_wrong(damaged, folder) == []


def test_one_line_verifies_and_repairs(three, folder):
    three("--start")
    flip(three.data / folder / "small", 0)
    status, out, _ = three("--repair --verify")
    assert status == 1 and out.index("Verified: 2, damaged: 1") < out.index("Copied: 1, skipped: 0, failed: 0")
    assert three("--verify --repair --quiet") == (0, "", "")


def test_a_file_that_has_been_put_back_meanwhile_is_not_fetched(damaged, folder):
    (damaged.data / folder / "small").write_bytes(damaged.grid.tree.expected(f"agata/{folder}/small"))
    status, out, _ = damaged("--repair")
    assert status == 0 and "Copied: 0, skipped: 1, failed: 0" in out and "by checksum: 1" in out
    assert asked_for(damaged, folder) == []
    assert damaged("--start").status == 0 and damaged.catalog()[f"{folder}/small"]["downloaded"] == "yes"


def test_a_file_of_somebody_else_in_the_way_of_a_copy_is_not_replaced(three, folder):
    (three.data / folder).mkdir(parents=True)
    (three.data / folder / "small").write_bytes(b"mine")
    assert three("--start").status == 1
    assert three("--verify --repair").status == 0
    assert read_copy(three, f"{folder}/small") == b"mine"


def test_a_folder_in_the_place_of_a_file_is_left_alone(damaged, folder):
    (damaged.data / folder / "small").unlink()
    (damaged.data / folder / "small").mkdir()
    status, _, err = damaged("--repair")
    assert status == 1 and f"{folder}/small: what has this name here is not a regular file; move it away" in err
    assert asked_for(damaged, folder) == []


def test_what_can_not_be_read_is_not_called_damaged(damaged, folder, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    for name in ("empty", "small"):
        os.replace(damaged.data / folder / name, tmp_path / "elsewhere" / name)
    os.rename(damaged.data / folder / "sub", tmp_path / "elsewhere/sub")
    (damaged.data / folder).rmdir()
    (damaged.data / folder).symlink_to(tmp_path / "elsewhere")
    for line in ("--repair", "--verify", "--repair"):
        _, _, err = damaged(line)
        assert DAMAGED not in err and asked_for(damaged, folder) == []
    assert "a link in OUTPUTDIR leads to" in damaged("--verify --start").err


def test_where_nothing_is_damaged_the_site_is_not_asked(three):
    three("--start")
    three.grid.door.log.clear()
    status, out, err = three("--repair")
    assert (status, err) == (0, "") and out.endswith(" No file is known to be damaged; --verify checks all of them\n")
    assert three.grid.door.log.count() == 0


def test_a_dry_repair_says_what_would_be_fetched_and_changes_nothing(damaged, folder):
    catalog, files = (damaged.folder / "grid_summary.csv").read_bytes(), damaged.files()
    before = read_copy(damaged, f"{folder}/small")
    status, out, _ = damaged("--repair --dry_run")
    assert status == 0 and "(DRY RUN) would copy 1 files, 19.5 kB, and make 0 folder(s); " in out
    assert json.loads(damaged("--repair --dry_run --json").out)["dry_run"]["copy"] == 1
    assert (damaged.folder / "grid_summary.csv").read_bytes() == catalog and damaged.files() == files
    assert read_copy(damaged, f"{folder}/small") == before and asked_for(damaged, folder) == []


def test_json_has_what_both_have_found_and_done(three, folder):
    three("--start")
    flip(three.data / folder / "small", 0)
    document = json.loads(three("--verify --repair --json").out)
    assert document["status"] == 1 and document["verify"]["damaged"] == 1 and document["copy"]["copied"] == 1


def test_a_damaged_file_that_is_on_tape_waits_for_it(damaged, folder):
    move_to_tape(damaged, f"{folder}/small")
    status, out, err = damaged("--repair")
    assert status == 1 and "Copied: 0, skipped: 0, failed: 0, waiting on tape: 1" in out
    assert "1 file(s) are on tape: --bring_online asks for them" in err and asked_for(damaged, folder) == []
    damaged.grid.robot.hold()
    try:
        status, out, err = damaged("--bring_online --repair")
    finally:
        damaged.grid.robot.go()
    assert " ** Staging launched for 1 file(s) **" in out and "waiting on tape: 1" in out
    assert status == 1 and "1 file(s) are on their way from tape" in err
    wait_until_online(damaged)
    status, out, _ = damaged("--repair")
    assert status == 0 and "Copied: 1, skipped: 0, failed: 0" in out and find_wrong(damaged, folder) == []
    assert damaged.grid.door.staging.pins(f"agata/{folder}/small") == []


def test_force_takes_it_from_there(damaged, folder):
    move_to_tape(damaged, f"{folder}/small")
    assert damaged("--repair --force").status == 0 and find_wrong(damaged, folder) == []


def test_the_mark_outlives_a_path_of_any_length_and_another_error(user, folder):
    path = "/".join([folder, *["x" * 200] * 4, "file"])
    user.grid.tree.add(f"agata/{path}", 1000)
    user(f"--input_dir {folder} --build_list --start")
    flip(user.data / path, 0)
    user("--verify")
    user.grid.door.faults.add("*/file", 503, method="GET")
    try:
        assert user("--repair").status == 4
    finally:
        user.grid.door.faults.clear()
    assert user("--repair").status == 0 and find_wrong(user, folder) == []


def test_a_mark_is_no_excuse_for_start_to_overwrite(damaged, folder):
    """What was gone when --start looked, and has come back while its copy was on its way."""
    path = damaged.data / folder / "small"
    path.unlink()
    faults = damaged.grid.door.faults
    faults.add("*/small", "meanwhile", method="GET", count=1, happens=lambda: path.write_bytes(b"mine"))
    try:
        assert damaged("--start").status == 1
    finally:
        faults.clear()
    assert path.read_bytes() == b"mine"


# == --overwrite ========================================================================================


@pytest.mark.parametrize("line", ["--start", "--sync"])
def test_overwrite_concerns_all_also_where_a_file_is_in_the_way(three, folder, line):
    three("--start")
    (three.folder / "grid_summary.csv").unlink()
    (three.data / folder / "small").write_bytes(b"mine")
    assert three("--build_list --start").status == 1
    three.grid.door.log.clear()
    status, out, _ = three(f"{line} --overwrite")
    assert status == 0 and "Copied: 3, skipped: 0, failed: 0" in out and find_wrong(three, folder) == []
    assert asked_for(three, folder) == ["big", "small"]  # the empty one is made


@pytest.mark.long
def test_a_sync_that_overwrites_does_so_once_a_run(mixed, folder):
    path = f"{folder}/disk/2"
    assert mixed("--sync").status == 0
    for number in range(5):
        move_to_tape(mixed, f"{folder}/tape/{number}")
    mixed.grid.robot.hold()
    mixed.grid.door.log.clear()
    broken = mixed.grid.door.faults.add("*/disk/3", 503, method="GET", count=3)
    try:
        with mixed.running("--sync --overwrite", "list = 1; file = Backoff(0.5, 1)") as process:
            wait_until(lambda: count_rows(mixed, "downloaded") == 4)
            assert broken.hits == 3  # and it was tried again
            new = mixed.grid.tree.add(f"agata/{path}", 200_000, mtime=1_500_000_000)
            new.start += 1
            wait_until(lambda: mixed.catalog()[path]["mtime"].startswith("2017"))
            time.sleep(1)
            mixed.grid.robot.go()
            status, out, err = wait_for(process)
    finally:
        mixed.grid.robot.go()
        mixed.grid.door.faults.clear()
    assert asked_for(mixed, folder).count("2") == 2, "one of disk/, one of tape/"
    assert status == 1 and f"{path}: a different local file has this name; --overwrite replaces it" in err
    assert "Copied: 9, " in out and find_wrong(mixed, folder) == [path]
    assert "Copied: 9, " in mixed("--sync --overwrite").out and find_wrong(mixed, folder) == []


def test_an_interrupted_overwrite_begins_again(mixed, folder):
    assert mixed("--sync").status == 0
    mixed.grid.door.faults.add("*/disk/3", "stall", role="pool", count=1)
    try:
        with mixed.running("--sync --overwrite") as process:
            wait_until(lambda: mixed.grid.door.log.count(role="pool") and count_rows(mixed, "downloaded") == 8)
            process.send_signal(signal.SIGINT)
            assert wait_for(process).err.endswith("what is done is kept, and the same command begins again\n")
    finally:
        mixed.grid.door.faults.clear()
    assert "Copied: 9, skipped: 0, failed: 0" in mixed("--sync --overwrite").out and find_wrong(mixed, folder) == []


# == A file that leaves the disk while it waits =========================================================


def evict(user: User, path: str) -> None:
    """Its pin ends, and the site takes it from disk."""
    for request in list(user.grid.door.staging.pins(path)):
        user.grid.door.staging.release(request, [path])
    user.grid.tree.file(path).locality = TAPE


@pytest.fixture
def waiting(user: User, folder: str) -> User:
    """A user with five files that have come from tape, behind a large one that takes five seconds."""
    for number in range(5):
        user.grid.tree.add(f"agata/{folder}/small/{number}", 1000, tape=True)
    user.grid.tree.add(f"agata/{folder}/large", 5_000_000)
    assert user(f"--input_dir {folder} --threads 1 --build_list --bring_online").status == 0
    wait_until_online(user)
    user.grid.door.faults.add("*/large", "drip", role="pool", speed=1_000_000)
    yield user
    user.grid.door.faults.clear()


def part(user: User, folder: str) -> Path:
    return user.data / folder / f"large{MARK}"


@pytest.mark.long
@pytest.mark.parametrize("line", ["--start", "--start --overwrite"])
def test_a_file_that_left_the_disk_while_it_waited_is_not_asked_for(waiting, folder, line):
    waiting.grid.door.log.clear()
    with waiting.running(line, "fresh = 1") as process:
        wait_until(part(waiting, folder).exists)
        for number in range(5):
            evict(waiting, f"agata/{folder}/small/{number}")
        status, out, err = wait_for(process)
    assert status == 1 and "Copied: 1, skipped: 0, failed: 0, waiting on tape: 5" in out and "gridsync.py:" not in err
    assert asked_for(waiting, folder) == ["large"]
    rows = waiting.catalog()
    assert {rows[f"{folder}/small/{number}"]["locality"] for number in range(5)} == {"NEARLINE"}
    assert waiting("--bring_online").status == 0
    wait_until_online(waiting)
    assert waiting("--start").status == 0 and find_wrong(waiting, folder) == []


@pytest.mark.long
def test_one_that_is_there_still_is_copied_after_any_number_of_looks(waiting, folder):
    waiting.grid.door.log.clear()
    with waiting.running("--start", "fresh = 0.2; MAX_QUERY = 2") as process:
        assert "Copied: 6, skipped: 0, failed: 0" in wait_for(process).out
    assert find_wrong(waiting, folder) == []
    asked = waiting.grid.door.log.count(role="tape", path="/api/v1/tape/archiveinfo")
    assert 3 + 3 <= asked <= 3 + 15  # of six files before, and of five again, in pairs; more often if they come slowly


@pytest.mark.long
def test_force_asks_for_it_and_a_short_run_looks_once(waiting, folder):
    waiting.grid.door.faults.clear()
    waiting.grid.door.log.clear()
    assert waiting("--start").status == 0
    assert waiting.grid.door.log.count(role="tape", path="/api/v1/tape/archiveinfo") == 1
    for number in range(5):
        move_to_tape(waiting, f"{folder}/small/{number}")
    with waiting.running("--start --force --overwrite", "fresh = 0") as process:
        assert "Copied: 6, skipped: 0, failed: 0" in wait_for(process).out


@pytest.mark.long
def test_one_that_waits_in_front_of_the_threads_of_sync_is_looked_at_again_too(waiting, folder):
    waiting.grid.door.log.clear()
    with waiting.running("--sync", "fresh = 1") as process:
        wait_until(part(waiting, folder).exists)
        time.sleep(1)  # by then it has been given all of them
        waiting.grid.robot.hold()
        for number in range(5):
            evict(waiting, f"agata/{folder}/small/{number}")
        wait_until(lambda: count_rows(waiting, "downloaded") == 1)
        assert asked_for(waiting, folder) == ["large"]
        waiting.grid.robot.go()
        assert wait_for(process).status == 0
    assert find_wrong(waiting, folder) == []


@pytest.mark.parametrize("engine", ["http", "gfal2"])
def test_one_of_which_the_door_says_so_waits_on_tape(user, folder, engine):
    """StoRM's 415, for a file that is said to be on disk."""
    user.set("ENGINE", engine, "CNAF")
    user.grid.tree.add(f"agata/{folder}/a", 1000)
    user.grid.tree.add(f"agata/{folder}/b", 1000)
    user(f"--from CNAF --input_dir {folder} --build_list")
    user.grid.storm.faults.add("*/a", 415, method="GET")
    try:
        status, out, err = user("--start")
    finally:
        user.grid.storm.faults.clear()
    assert status == 1 and "Copied: 1, skipped: 0, failed: 0, waiting on tape: 1" in out
    assert err.startswith("1 file(s) are on tape") and "gridsync.py:" not in err
    row = user.catalog()[f"{folder}/a"]
    assert (row["locality"], row["downloaded"], row["error"]) == ("NEARLINE", "no", "")
