"""Disks that are full, that somebody fills, or that can't be written: real ones, a few MB in memory."""

from __future__ import annotations

import os
import signal
import time

import pytest

from gridsync_parts.catalog import Catalog
from gridsync_parts.disk import MARK
from tests.support.disk import MB, Disk
from tests.support.user import User, find_pinned, wait_until

LARGE = 40 * MB + 17


DATA = pytest.param("data", marks=pytest.mark.long)


@pytest.fixture(params=["all", DATA])
def there(request: pytest.FixtureRequest, user: User, disk: Disk) -> User:
    """A user who has OUTPUTDIR, the work folder, or all on that disk."""
    conf = (user.folder / "Grid.conf").read_text()
    if request.param != "work":
        conf = conf.replace(str(user.data), str(disk.folder / "data"))
        user.data = disk.inside / "data"
    if request.param != "data":
        user.folder = disk.inside
        user.env["GRIDSYNC_DIR"] = str(disk.folder)
    (user.folder / "Grid.conf").write_text(conf)
    user.before = disk.before
    return user


def sentences(err: str) -> list[str]:
    """What went wrong; each said once, and by no traceback."""
    said = [line for line in err.splitlines() if not line.startswith(("Copied files: ", "Listing: ", "remembered: "))]
    assert all(line.startswith("gridsync.py: ") for line in said) and len(set(said)) == len(said), err
    return said


def planted(user: User, folder: str, **sizes: int) -> None:
    for name, size in sizes.items():
        user.grid.tree.add(f"agata/{folder}/{name}", size)
    assert user(f"--input_dir {folder} --build_list").status == 0
    user.grid.door.log.clear()


def fetched(user: User, folder: str) -> int:
    """Bytes of files of the folder that the door has sent since they were listed."""
    return sum(r.sent for r in user.grid.door.log.matching(method="GET") if f"/{folder}/" in r.path)


def listed(user: User) -> list[str]:
    """The paths of the catalog, whose last line may be cut."""
    return [row.path for row in Catalog(str(user.folder)).of("LYON")]


def assert_right(user: User, folder: str, *names: str) -> None:
    assert user.files() == sorted(f"{folder}/{name}" for name in names)
    for name in names:
        assert (user.data / folder / name).read_bytes() == user.grid.tree.expected(f"agata/{folder}/{name}")
    assert [row["downloaded"] for row in user.catalog().values()] == ["yes"] * len(names)


@pytest.mark.long
def test_what_is_known_not_to_fit_is_refused_before_the_copy(there, disk, folder):
    planted(there, folder, small=10, large=60 * MB)
    status, _, err = there("--start")
    (said,) = sentences(err)
    assert status == 5 and "free, but 60.0 MB are needed; make room" in said
    assert fetched(there, folder) == 0
    disk.remount("size=70m")
    assert there("--start").status == 0
    assert_right(there, folder, "small", "large")


@pytest.mark.long
def test_what_is_here_of_a_file_needs_no_room_again(there, disk, folder):
    planted(there, folder, large=LARGE)
    part = there.data / folder / f"large{MARK}"
    part.parent.mkdir(parents=True)
    part.write_bytes(there.grid.tree.expected(f"agata/{folder}/large")[: 30 * MB])
    disk.fill(leave=11 * MB)
    assert there("--start").status == 0
    assert fetched(there, folder) == LARGE - 30 * MB
    assert_right(there, folder, "large")


@pytest.mark.parametrize("streams", [1, pytest.param(2, marks=pytest.mark.long)])
def test_a_disk_that_somebody_fills_ends_the_copy_and_it_goes_on_when_there_is_room(there, disk, folder, streams):
    door = there.grid.door
    planted(there, folder, first=5 * MB, large=LARGE)
    assert there("--start --inc first").status == 0
    assert there("--inc none").status == 0
    door.switches.bandwidth = 30 * MB / streams
    try:
        with there.running(f"--start --threads 1 --streams {streams}") as run:
            wait_until(lambda: fetched(there, folder) > 20 * MB)
            disk.fill()
            _, err = run.communicate(timeout=30)
    finally:
        door.switches.bandwidth = 0
    assert run.returncode == 5
    assert "full; make room and start again, nothing is lost" in sentences(err)[0]
    assert listed(there) == [f"{folder}/first", f"{folder}/large"] and not (there.data / folder / "large").exists()
    before = fetched(there, folder)
    assert there("--start").status == 5  # it is full still
    disk.make_room()
    assert there("--start").status == 0
    assert fetched(there, folder) < 45 * MB + 17 + streams * 16 * MB and fetched(there, folder) - before < 41 * MB
    assert len([r for r in door.log.matching(role="pool") if r.path.endswith("/first")]) == 1
    assert_right(there, folder, "first", "large")


@pytest.mark.long
@pytest.mark.parametrize("there", ["all", "work"], indirect=True)
def test_a_full_disk_is_a_sentence_for_every_command_that_writes(there, disk, folder):
    planted(there, folder, small=10)
    rows = there.catalog()
    disk.fill()
    for line in ("--build_list", "--threads 7"):
        status, _, err = there(line)
        assert status == 5 and len(sentences(err)) == 1, err
    for line in ("--ls_dir", "--show_conf", "--check_status --dry_run"):
        assert there(line).status == 0
    assert there.catalog() == rows
    assert {path.name for path in disk.inside.iterdir()} <= {
        "Grid.conf", "Grid.conf.lock", "grid_folders.txt", "grid_summary.csv", "grid_summary.csv.lock", "hog", "data",
    }  # fmt: skip
    disk.make_room()
    assert there("--build_list --start").status == 0
    assert_right(there, folder, "small")


@pytest.mark.long
@pytest.mark.parametrize("there", ["work"], indirect=True)
@pytest.mark.parametrize("line", ["--bring_online", pytest.param("--sync", marks=pytest.mark.long)])
@pytest.mark.parametrize("is_ended", [False, True])
def test_a_request_that_can_not_be_noted_does_not_stay(there, disk, folder, line, is_ended):
    door = there.grid.door
    for number in range(200):  # their rows take more than the rest of a block
        there.grid.tree.add(f"agata/{folder}/{number}", 1000, tape=True)
    assert there(f"--input_dir {folder} --build_list").status == 0
    door.log.clear()

    def happens() -> None:
        disk.fill()
        if is_ended:
            run.send_signal(signal.SIGINT)
            time.sleep(0.3)

    with there.running(line) as run:
        door.faults.add("*/stage", "meanwhile", role="tape", method="POST", happens=happens)
        try:
            _, err = run.communicate(timeout=30)
        finally:
            door.faults.clear()
    assert run.returncode == 5 and "cannot be written: No space left on device" in err and "Traceback" not in err, err
    assert ("A staging request is under way" in err) == is_ended
    assert len([record for record in door.log if "/release/" in record.path]) == 1
    assert find_pinned(there, folder) == []
    disk.make_room()
    assert there("--sync").status == 0 and len(there.files()) == 200 and find_pinned(there, folder) == []


@pytest.mark.long
@pytest.mark.parametrize("there", ["all", "work", DATA], indirect=True)
def test_many_small_files_on_a_disk_that_gets_full_are_all_right_in_the_end(there, disk, folder):
    names = [f"{number:03d}" for number in range(200)]
    planted(there, folder, **dict.fromkeys(names, 100_000))
    there.grid.door.switches.latency = 0.01
    try:
        with there.running("--start") as run:
            wait_until(lambda: fetched(there, folder) > 3 * MB)
            disk.fill()
            _, err = run.communicate(timeout=30)
    finally:
        there.grid.door.switches.latency = 0
    assert run.returncode == 5 and sentences(err), err
    whole = [path for path in there.files() if not path.endswith(MARK)]
    assert 20 < len(whole) < 200 and listed(there) == [f"{folder}/{name}" for name in names]
    disk.make_room()
    there.grid.door.log.clear()
    assert there("--start").status == 0
    assert not [r for r in there.grid.door.log.matching(method="GET") if r.path.removeprefix("/agata/") in whole]
    assert_right(there, folder, *names)


@pytest.mark.long
@pytest.mark.parametrize("there", ["all", "work", DATA], indirect=True)
def test_a_disk_that_can_not_be_written_gets_a_sentence(there, disk, folder):
    planted(there, folder, small=10)
    rows = there.catalog()
    disk.remount("ro")
    for line in ["--start"] if there.folder != disk.inside else ["--start", "--build_list", "--release", "--threads 7"]:
        status, _, err = there(line)
        assert status == 5 and len(sentences(err)) == 1, (line, err)
    for line in ("--ls_dir", "--show_conf", "--check_status --dry_run"):
        assert there(line).status == 0
    assert there.catalog() == rows and there.files() == []
    disk.remount("rw")
    assert there("--start").status == 0
    assert_right(there, folder, "small")


@pytest.mark.parametrize("closed", ["data", "."])
def test_a_folder_that_the_user_may_not_write_gets_a_sentence(user, folder, closed):
    planted(user, folder, one=10, other=10)
    user.data.mkdir()
    (user.folder / closed).chmod(0o555)
    if os.geteuid() == 0:  # who may write everywhere, unless told otherwise
        user.before = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search")
    status, _, err = user("--start")
    (said,) = sentences(err)
    assert status == 5 and "ermission denied" in said
    (user.folder / closed).chmod(0o755)
    assert user("--start").status == 0


@pytest.mark.long
@pytest.mark.parametrize("there", ["data"], indirect=True)
def test_a_disk_that_is_pulled_out_ends_the_run_and_nothing_goes_to_where_it_was(there, disk, folder):
    """No file goes where the disk was: not of this run, and not of the next."""
    names = [f"{number:02d}" for number in range(60)]
    planted(there, folder, **dict.fromkeys(names, 100_000))
    there.grid.door.switches.latency = 0.02
    try:
        with there.running("--start --threads 2") as run:
            wait_until(lambda: fetched(there, folder) > 1 * MB)
            disk.pull()
            _, err = run.communicate(timeout=30)
    finally:
        there.grid.door.switches.latency = 0
    (said,) = sentences(err)
    assert run.returncode == 5 and said.endswith("is gone; mount it and start again, nothing is lost")
    there.grid.door.log.clear()
    for line in ("--start", "--sync", "--check_status", "--verify"):
        status, _, err = there(f"{line} --quiet")
        assert status == 5 and sentences(err)[0].endswith("--overwrite copies them again"), (line, err)
    assert fetched(there, folder) == 0 and not there.files()
