"""What others do to files, folders and catalogs while gridsync.py is at work, or between its runs."""

from __future__ import annotations

import os
import signal
import time

import pytest

from gridsync_parts.catalog import Catalog
from gridsync_parts.disk import MARK
from gridsync_parts.segments import OLD_END, OLD_MAGIC, TABLE_ROW
from tests.grid.tree import TAPE
from tests.support.user import User, wait_until, wait_until_online

MB = 1 << 20


def is_right(user: User, path: str) -> bool:
    return (user.data / path).read_bytes() == user.grid.tree.expected(f"agata/{path}")


# == Part files =========================================================================================


def test_a_part_file_of_an_earlier_version_with_one_row_ends_as_long_as_the_file(user, folder):
    user.grid.tree.add(f"agata/{folder}/x", 3 * MB)
    assert user(f"--input_dir {folder} --build_list").status == 0
    (row,) = Catalog(str(user.folder)).all()
    old = user.data / folder / "x.part"
    old.parent.mkdir(parents=True)
    table = TABLE_ROW.pack(0, 3 * MB, MB) + OLD_END.pack(3 * MB, row.mtime, 1, OLD_MAGIC)
    old.write_bytes(user.grid.tree.expected(f"agata/{folder}/x")[:MB] + bytes(2 * MB) + table)
    assert user("--start").status == 0
    assert is_right(user, f"{folder}/x") and user.files() == [f"{folder}/x"]


def test_a_run_that_was_killed_between_two_names_is_no_obstacle(user, folder):
    user.grid.tree.add(f"agata/{folder}/x", 70_000)
    assert user(f"--input_dir {folder} --build_list --start").status == 0
    for line in ("--start --overwrite", "--start"):
        os.link(user.data / folder / "x", user.data / folder / f"x{MARK}")
        status, _, err = user(line)
        assert status == 0, err
        (user.data / folder / f"x{MARK}").unlink(missing_ok=True)
    assert is_right(user, f"{folder}/x")


def test_what_is_left_of_a_file_that_is_here_by_now_is_removed(user, folder):
    user.grid.tree.add(f"agata/{folder}/x", 70_000)
    assert user(f"--input_dir {folder} --build_list").status == 0
    (user.data / folder).mkdir(parents=True)
    (user.data / folder / "x").write_bytes(user.grid.tree.expected(f"agata/{folder}/x"))
    (user.data / folder / f"x{MARK}").write_bytes(b"half")
    assert user("--start").status == 0 and user.files() == [f"{folder}/x"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file somebody else's")
def test_what_a_colleague_has_left_half_done_is_begun_anew(user, folder):
    user.grid.tree.add(f"agata/{folder}/x", 70_000)
    assert user(f"--input_dir {folder} --build_list").status == 0
    part = user.data / folder / f"x{MARK}"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"half")
    os.chown(part, 5601, 5601)
    assert user("--start").status == 0
    assert is_right(user, f"{folder}/x") and (user.data / folder / "x").stat().st_uid == 0


# == Folders ============================================================================================


@pytest.mark.long
def test_as_many_folders_as_files_need_no_more_open_ones_than_there_may_be(user, folder):
    for number in range(700):
        user.grid.tree.add(f"agata/{folder}/{number:03d}/a", 100)
    assert user(f"--input_dir {folder} --build_list").status == 0
    user.before = ("prlimit", "--nofile=256:256")
    status, out, err = user("--start --threads 16")
    assert status == 0 and "Copied: 700," in out, err


@pytest.mark.parametrize(
    "name", ["Grid.conf", "grid.CONF", "grid_summary.csv", "grid_folders.txt", "x" * 256], ids=lambda name: name[:20]
)
def test_a_site_gives_no_file_that_would_be_obeyed_or_that_no_disk_takes(user, folder, name):
    user.grid.tree.add(f"agata/{folder}/{name}", 100)
    user.grid.tree.add(f"agata/{folder}/good", 100)
    conf = (user.folder / "Grid.conf").read_text().replace(str(user.data), str(user.folder))
    (user.folder / "Grid.conf").write_text(conf)
    user.data = user.folder
    status, out, err = user(f"--input_dir {folder} --build_list --start --overwrite")
    assert status == 1 and "Copied: 1, skipped: 0, failed: 1" in out and f"{folder}/{name}: the name " in err
    assert not user.grid.door.log.count(method="GET", path=f"/agata/{folder}/{name}")
    assert not (user.folder / folder / name[:255]).exists()


# == The catalog ========================================================================================


def test_a_file_that_was_changed_here_is_not_called_downloaded_and_its_pin_stays(user, folder):
    user.grid.tree.add(f"agata/{folder}/x", 1000, tape=True)
    assert user(f"--input_dir {folder} --build_list --bring_online").status == 0
    wait_until_online(user)
    request = user.catalog()[f"{folder}/x"]["request"]
    user.grid.door.faults.add("*/release/*", 503, role="tape")
    user("--start")
    user.grid.door.faults.clear()
    changed = user.data / folder / "x"
    changed.write_bytes(b"y" * 1000)
    status, _, err = user("--start")
    row = user.catalog()[f"{folder}/x"]
    assert status == 1 and "a different local file has this name" in err
    assert (row["downloaded"], row["verified"], row["request"]) == ("no", "", request)
    assert changed.read_bytes() == b"y" * 1000


def test_a_disk_with_coarse_times_is_not_taken_for_one_with_other_files(user, folder):
    user.grid.tree.add(f"agata/{folder}/x", 1000, checksums=())
    assert user(f"--input_dir {folder} --build_list --start").status == 0
    here = user.data / folder / "x"
    os.utime(here, (here.stat().st_mtime - 1,) * 2)
    status, out, _ = user("--start")
    assert status == 0 and "skipped: 1, failed: 0" in out


# == Tape ===============================================================================================


def test_ctrl_c_while_the_site_takes_its_time_forgets_no_request(user, folder):
    user.grid.tree.add(f"agata/{folder}/x", 1000, tape=True)
    assert user(f"--input_dir {folder} --build_list").status == 0
    before = user.grid.door.log.count(path="/api/v1/tape/archiveinfo")
    user.grid.door.faults.add("*/stage", "stall", role="tape", seconds=4)
    try:
        with user.running("--bring_online") as run:
            wait_until(lambda: user.grid.door.log.count(path="/api/v1/tape/archiveinfo") > before)
            time.sleep(1)  # the answer to the next request is now waited for
            for _ in range(2):
                run.send_signal(signal.SIGINT)
            _, err = run.communicate(timeout=60)
    finally:
        user.grid.door.faults.clear()
    assert run.returncode == 130, err
    assert user.catalog()[f"{folder}/x"]["request"] and user("--release").status == 0


def test_a_request_whose_file_has_left_the_disk_again_is_released_before_the_next(user, folder):
    user.grid.tree.add(f"agata/{folder}/x", 1000, tape=True)
    assert user(f"--input_dir {folder} --build_list --bring_online").status == 0
    wait_until_online(user)
    request = user.catalog()[f"{folder}/x"]["request"]
    user.grid.tree.file(f"agata/{folder}/x").locality = TAPE
    user.grid.door.log.clear()
    assert user("--check_status").status == 0
    assert user.catalog()[f"{folder}/x"]["request"] == ""
    assert user.grid.door.log.count(method="POST", path=f"/api/v1/tape/release/{request}") == 1


def test_overwriting_what_is_on_tape_is_asked_for_and_comes(user, folder):
    user.grid.tree.add(f"agata/{folder}/x", 1000, tape=True)
    line = "--bring_online --start --overwrite"
    assert user(f"--input_dir {folder} --build_list --bring_online").status == 0
    wait_until_online(user)
    assert user("--start").status == 0
    user.grid.tree.file(f"agata/{folder}/x").locality = TAPE
    assert user("--build_list").status == 0
    user(line)
    wait_until_online(user)
    status, out, _ = user(line)
    assert status == 0 and "Copied: 1" in out
