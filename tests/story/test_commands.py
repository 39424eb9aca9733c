"""What a user sees and finds after each command: on the screen, in OUTPUTDIR and in the catalog."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

import gridsync
from gridsync_parts import __version__
from gridsync_parts.catalog import Catalog, Lock
from gridsync_parts.disk import MARK, part_name
from gridsync_parts.home import Home
from gridsync_parts.partfile import PartFile
from gridsync_parts.segments import SHORTEST
from gridsync_parts.walk import DOORS_SHUT
from gridsync_parts.words import seconds_of, size_text
from tests.grid.words import MOVER_BUSY, POOL_GONE
from tests.support import SCRIPT
from tests.support.terminal import on_terminal
from tests.support.user import BIG, Result, User, flip, move_to_tape, read_copy, wait_until, wait_until_online


def test_start_copies_verifies_and_keeps_times(three, folder):
    status, out, err = three("--start")
    assert (status, err.count("gridsync.py:")) == (0, 0)
    assert "...starting to download the 3 requested files using 4 threads and 1 streams per file...\n" in out
    totals = "Copied: 3, skipped: 0, failed: 0, waiting on tape: 0; 3.0 MB at "
    assert totals in out and "verified by checksum: 2, by size only: 1\n" in out
    for path, row in three.catalog().items():
        assert read_copy(three, path) == three.grid.tree.expected(f"agata/{path}")
        assert int((three.data / path).stat().st_mtime) == seconds_of(row["mtime"])
        assert (row["downloaded"], row["verified"]) == ("yes", "adler32" if int(row["size"]) else "size")
    assert three.files() == sorted(three.catalog())


def test_a_verbose_start_has_a_line_for_each_file_that_has_come(three, folder):
    (three.data / folder).mkdir(parents=True)
    (three.data / folder / "small").write_bytes(three.grid.tree.expected(f"agata/{folder}/small"))
    out = three("--start --verbose").out
    assert f"=> copied: 3.0 MB {folder}/sub/big (verified by adler32)\n" in out
    assert f"=> copied: 0.0 B {folder}/empty (verified by size)\n" in out
    assert f"=> skipped: 19.5 kB {folder}/small (verified by adler32)\n" in out
    assert "=>" not in three("--start").out


def test_folders_that_listings_show_are_kept_for_the_tab_key(three, folder, monkeypatch):
    tree, noted = three.grid.tree, three.folder / "grid_folders.txt"
    assert noted.read_text() == f"LYON\t{folder}\nLYON\t{folder}/sub\n"
    for name in ("a b", "evil\x1b[2J"):
        tree.add(f"agata/{folder}/{name}/file", 1)
    three(f"--ls_dir {folder}")
    three(f"--ls_dir {folder}/sub")
    assert noted.read_text() == f"LYON\t{folder}\nLYON\t{folder}/a b\nLYON\t{folder}/sub\n"
    tree.remove(f"agata/{folder}/a b")
    before = noted.read_text()
    three("--build_list --dry_run")
    three(f"--ls_dir {folder}/small")
    assert noted.read_text() == before
    three(f"--from CNAF --ls_dir {folder}")
    gone = f"LYON\t{folder}/a b\n"
    assert noted.read_text() == f"CNAF\t{folder}/sub\n" + before and gone in before
    three("--from LYON --build_list")
    assert gone not in noted.read_text() and f"LYON\t{folder}/sub\n" in noted.read_text()


@pytest.mark.parametrize(("name", "at"), [("small", 0), ("sub/big", BIG // 2), ("sub/big", BIG - 1)])
def test_verify_finds_a_flipped_byte_and_repair_mends_that_file_alone(three, folder, name, at):
    three("--start")
    path, log = f"{folder}/{name}", three.grid.door.log
    log.clear()
    assert "Verified: 3, damaged: 0; 3.0 MB at " in three("--verify").out
    flip(three.data / path, at)
    status, out, err = three("--verify")
    assert status == 1 and "Verified: 2, damaged: 1; " in out and "by checksum: 1, by size only: 1\n" in out
    assert err.count("\n") == 1 and f"gridsync.py: {path}: is damaged: its checksum is not adler32:" in err
    assert log.count() == 0
    assert three("--start").status == 1
    log.clear()
    status, out, _ = three("--repair")
    assert status == 0 and "Copied: 1, skipped: 0, failed: 0" in out
    assert {entry.path for entry in log.matching(method="GET") if folder in entry.path} == {f"/agata/{path}"}
    assert three("--verify --quiet") == (0, "", "")
    assert read_copy(three, path) == three.grid.tree.expected(f"agata/{path}")
    assert "Copied: 3, skipped: 0" in three("--start --overwrite").out


def test_verify_names_what_is_gone_and_start_fetches_it_again(three, folder):
    three("--start")
    (three.data / folder / "small").unlink()
    status, _, err = three("--verify")
    assert status == 1 and f"{folder}/small: is no longer here, or has another size; --repair" in err
    assert "Copied: 1, skipped: 2" in three("--start").out
    assert three("--verify").status == 0


def test_verify_says_what_it_can_know_by_size_only(user, folder):
    user.grid.tree.add(f"agata/{folder}/file", 1000, checksums=())
    user(f"--input_dir {folder} --build_list --start --nochecksum")
    assert user.catalog()[f"{folder}/file"]["computed"] == ""
    assert "verified by checksum: 0, by size only: 1\n" in user("--verify").out


def test_verify_on_a_terminal_shows_how_far_it_is(three):
    three("--start")
    assert "Verified files: 3/3, current: 0.0 B, total: 3.0 MB/3.0 MB, rate=" in on_a_terminal(three, "--verify")


def test_the_log_file_has_everything_with_its_time(three, folder):
    log = three.folder / "run.log"
    assert three(f"--start --quiet --log_file={log}") == (0, "", "")
    assert three(f"--ls_dir {folder}/nothing --log_file={log}").status == 2
    lines = log.read_text().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ", line) for line in lines)
    said = [line[24:] for line in lines]
    assert f"OUTPUTDIR           : {three.data}" in said and any(line.startswith("Copied: 3, ") for line in said)
    assert said[-1].startswith("gridsync.py: ") and "there is no such file or folder" in said[-1]


def test_a_log_file_that_can_not_be_made_is_said_before_anything_is_done(three):
    status, out, err = three("--start --log_file=/nonexistent/run.log")
    assert (status, out) == (5, "")
    assert err.startswith("gridsync.py: the log file /nonexistent/run.log cannot be written")


@pytest.mark.parametrize("line", ["--ls_dir", "--build_list --input_dir"])
def test_a_misspelt_folder_gets_a_suggestion(three, folder, line):
    status, _, err = three(f"{line} {folder}/sup")
    assert status == 2 and err.endswith(f"--ls_dir shows what there is; did you mean {folder}/sub\n")
    assert "did you mean" not in three(f"{line} {folder}/quite_another").err


def test_a_suggestion_can_be_pasted(user, folder):
    """It is the name of a folder at the site, and whoever has made it may have thought of a shell."""
    name = "it's ${x:-$(date)}"
    user.grid.tree.add(f"agata/{folder}/{name}/a", 1)
    _, _, err = user(f"--ls_dir '{folder}/it'")
    pasted = err.rpartition("did you mean ")[2].strip()
    assert shlex.split(pasted) == [f"{folder}/{name}"]
    assert subprocess.run(["bash", "-c", f"printf %s {pasted}"], capture_output=True, text=True, check=True).stdout == (
        f"{folder}/{name}"
    )


def test_an_output_dir_is_remembered_as_it_was_given(user):
    for given, shown in (("/data/", "/data/"), ("/data", "/data"), ("there/", f"{os.getcwd()}/there/")):
        assert f"OUTPUTDIR           : {shown}\n" in user(f"--output_dir {given}").out


def test_a_second_start_copies_nothing(three):
    three("--start")
    three.grid.door.log.clear()
    status, out, _ = three("--start")
    assert status == 0 and "Copied: 0, skipped: 3, failed: 0" in out and "starting to download" not in out
    assert three.grid.door.log.count() == 0


def test_an_interrupted_copy_goes_on_where_it_was(three, folder):
    path = f"{folder}/sub/big"
    part = three.data / f"{path}{MARK}"
    part.parent.mkdir(parents=True)
    part.write_bytes(three.grid.tree.expected(f"agata/{path}")[:1_000_000])
    three.grid.door.log.clear()
    assert three("--start").status == 0
    assert read_copy(three, path) == three.grid.tree.expected(f"agata/{path}")
    asked = [record.range for record in three.grid.door.log.matching(role="pool") if record.path.endswith("big")]
    assert asked == [f"bytes=1000000-{BIG - 1}"]


def test_a_part_file_of_other_content_does_not_end_up_in_the_file(three, folder):
    part = three.data / f"{folder}/sub/big{MARK}"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * 1_000_000)
    assert three("--start").status == 0
    assert read_copy(three, f"{folder}/sub/big") == three.grid.tree.expected(f"agata/{folder}/sub/big")


def test_wrong_bytes_never_get_the_real_name(three, folder):
    three.grid.tree.file(f"agata/{folder}/small").start += 1  # other content than was listed, of the same size
    status, out, err = three("--start")
    assert status == 1 and "Copied: 2, skipped: 0, failed: 1" in out
    assert f"gridsync.py: {folder}/small: the door says adler32:" in err and "--nochecksum" in err
    assert three.files() == [f"{folder}/empty", f"{folder}/sub/big"]
    row = three.catalog()[f"{folder}/small"]
    assert row["downloaded"] == "no" and "the door says" in row["error"]


def test_nochecksum_takes_them_and_says_so(three, folder):
    three.grid.tree.file(f"agata/{folder}/small").start += 1
    status, out, _ = three("--start --nochecksum")
    assert status == 0 and "verified by checksum: 0, by size only: 3\n" in out
    assert three.catalog()[f"{folder}/small"]["verified"] == "size"


@contextmanager
def faulty(user: User, *fault: object, **options: object) -> Iterator[None]:
    """The simulated door with a fault."""
    user.grid.door.faults.add(*fault, **options)
    try:
        yield
    finally:
        user.grid.door.faults.clear()


LARGE = 3 * SHORTEST + 11


@pytest.mark.parametrize("engine", ["http", "gfal2"])
def test_streams_share_a_large_file_and_go_on_after_a_kill(user, folder, engine):
    user.grid.tree.add(f"agata/{folder}/large", LARGE)
    content = user.grid.tree.expected(f"agata/{folder}/large")
    user.set("ENGINE", engine)
    user(f"--input_dir {folder} --build_list --streams 3")
    (row,) = Catalog(str(user.folder)).all()
    user.data.mkdir()
    part = PartFile(Home(str(user.data)), row, "adler32")
    with part:  # what a run that was killed may have left
        part.resume(3)
        for segment in part.segments[:2]:
            part.add(segment, content[segment.start : segment.start + 9_000_000])
    user.grid.door.log.clear()
    status, out, _ = user("--start")
    assert status == 0 and "verified by checksum: 1" in out
    assert read_copy(user, f"{folder}/large") == content
    assert sum(record.sent for record in user.grid.door.log.matching(role="pool")) < LARGE - 17_000_000
    if engine == "http":
        asked = [record.range for record in user.grid.door.log.matching(role="pool")]
        starts = [LARGE * number // 3 for number in range(4)]
        expected = [f"bytes={at + 9_000_000}-{stop - 1}" for at, stop in zip(starts[:2], starts[1:])]
        assert sorted(asked) == sorted([*expected, f"bytes={starts[2]}-{LARGE - 1}"])


@pytest.mark.parametrize("options", ["--streams 2", "--streams 2 --nochecksum", "--nochecksum"])
def test_a_door_that_knows_no_ranges_still_gives_the_right_bytes(user, folder, options):
    user.grid.tree.add(f"agata/{folder}/large", LARGE)
    content = user.grid.tree.expected(f"agata/{folder}/large")
    user(f"--input_dir {folder} --build_list")
    (row,) = Catalog(str(user.folder)).all()
    user.data.mkdir()
    with PartFile(Home(str(user.data)), row, "size") as part:
        part.resume(1)
        part.add(part.segments[0], content[:9_000_000])
    with faulty(user, "*", "ignore_range"):
        assert user(f"--start {options}").status == 0
    assert read_copy(user, f"{folder}/large") == content


def test_a_file_without_checksum_at_the_door_is_counted_by_size(user, folder):
    user.grid.tree.add(f"agata/{folder}/bare", 5000, checksums=())
    out = user(f"--input_dir {folder} --build_list --start").out
    assert "verified by checksum: 0, by size only: 1\n" in out


def test_an_unknown_local_file_is_adopted_when_it_is_the_same(three, folder):
    path = three.data / folder / "small"
    path.parent.mkdir(parents=True)
    path.write_bytes(three.grid.tree.expected(f"agata/{folder}/small"))
    three.grid.door.log.clear()
    status, out, _ = three("--start")
    assert status == 0 and "Copied: 2, skipped: 1" in out
    assert not [r for r in three.grid.door.log.matching(method="GET") if r.path.endswith("small")]
    assert three.catalog()[f"{folder}/small"]["downloaded"] == "yes"


@pytest.mark.parametrize("mine", [b"mine", b"x" * 20_000], ids=["shorter", "other"])
def test_an_unknown_local_file_that_differs_is_named_and_left_alone(three, folder, mine):
    path = three.data / folder / "small"
    path.parent.mkdir(parents=True)
    path.write_bytes(mine)
    status, _, err = three("--start")
    assert status == 1 and f"{folder}/small: a different local file has this name; --overwrite replaces it" in err
    assert path.read_bytes() == mine
    assert three("--start --overwrite").status == 0
    assert path.read_bytes() == three.grid.tree.expected(f"agata/{folder}/small")


def test_files_on_tape_wait_and_are_not_asked_for_by_a_get(user, folder):
    user.grid.tree.add(f"agata/{folder}/tape", 10, tape=True)
    user.grid.tree.add(f"agata/{folder}/disk", 10)
    user(f"--input_dir {folder} --build_list")
    user.grid.door.log.clear()
    status, out, _ = user("--start")
    assert status == 1 and "Copied: 1, skipped: 0, failed: 0, waiting on tape: 1" in out
    assert [record.path for record in user.grid.door.log.matching(role="pool")] == [f"/agata/{folder}/disk"]
    assert user.grid.door.log.count(path=f"/agata/{folder}/tape") == 0


def test_what_is_verified_is_released_and_the_rest_stays_pinned(user, folder):
    user.grid.tree.add(f"agata/{folder}/good", 10, tape=True)
    user.grid.tree.add(f"agata/{folder}/bad", 10, tape=True)
    user(f"--input_dir {folder} --build_list --bring_online")
    wait_until_online(user)
    user.grid.tree.file(f"agata/{folder}/bad").start += 1
    assert user("--start").status == 1
    pins = user.grid.door.staging.pins
    assert (len(pins(f"agata/{folder}/good")), len(pins(f"agata/{folder}/bad"))) == (0, 1)
    assert [row["request"] != "" for row in user.catalog().values()] == [True, False]


def test_bring_online_asks_for_200_at_a_time_and_once(user, folder):
    for number in range(201):
        user.grid.tree.add(f"agata/{folder}/{number:03d}", 10, tape=True)
    user.grid.door.log.clear()
    assert user(f"--input_dir {folder} --build_list --bring_online").status == 0
    assert user("--bring_online").status == 0
    assert user.grid.door.log.count(role="tape", path="/api/v1/tape/stage") == 2
    assert len({row["request"] for row in user.catalog().values()}) == 2


def on_a_terminal(user: User, line: str, status: int = 0) -> str:
    """What a terminal shows of a command, each state of a redrawn line on a line of its own."""
    found, text = on_terminal(["/usr/bin/python3", str(SCRIPT), *line.split()], user.env)
    assert found == status, text
    return text


def test_the_spinner_waits_on_a_terminal_until_all_is_online(user, folder):
    for number in range(4):
        user.grid.tree.add(f"agata/{folder}/{number}", 10, tape=True)
    user(f"--input_dir {folder} --build_list")
    screen = on_a_terminal(user, "--bring_online")
    assert "4 files ONLINE over 4, 0 remaining ..." in screen
    assert [row["locality"] for row in user.catalog().values()] == ["ONLINE"] * 4


def test_a_terminal_shows_the_progress_line_from_the_first_second(three):
    screen = on_a_terminal(three, "--start")
    assert "Copied files: 3/3, current: 0.0 B, total: 3.0 MB/3.0 MB, rate=" in screen


def test_a_failed_staging_is_named_with_the_doors_reason(user, folder):
    path = f"agata/{folder}/broken"
    user.grid.tree.add(path, 10, tape=True)
    user.grid.robot.fail[path] = "tape 007 is torn"
    user(f"--input_dir {folder} --build_list")
    screen = on_a_terminal(user, "--bring_online", 1)
    assert "could not be brought online: " in screen and "tape 007 is torn" in screen
    assert "torn" in user.catalog()[f"{folder}/broken"]["error"]


def staged(user: User, folder: str, *names: str) -> list[str]:
    """Files that were on tape and are on disk now, pinned by a request of the user."""
    paths = [f"{folder}/{name}" for name in names]
    for path in paths:
        user.grid.tree.add(f"agata/{path}", 10, tape=True)
    user(f"--input_dir {folder} --build_list --bring_online")
    wait_until_online(user)
    return paths


ASKED = ("bring_online", "bring_online")


def test_a_file_whose_pin_has_ended_is_asked_for_again(user, folder):
    (path,) = staged(user, folder, "a")
    before = user.catalog()[path]["request"]
    move_to_tape(user, path)
    out = user("--bring_online").out
    assert " ** Staging launched for 1 file(s) **" in out
    assert user.catalog()[path]["request"] not in ("", before)


def test_a_request_that_the_site_has_forgotten_is_made_again(user, folder):
    (path,) = staged(user, folder, "a")
    move_to_tape(user, path)
    user.grid.door.staging.requests.clear()
    status, out, err = user("--bring_online")
    assert (status, err) == (0, "") and " ** Staging launched for 1 file(s) **" in out


def test_a_request_that_is_forgotten_while_the_spinner_turns_is_made_again(user, folder):
    user.grid.tree.add(f"agata/{folder}/a", 10, tape=True)
    user(f"--input_dir {folder} --build_list")
    staging = user.grid.door.staging
    staging.requests.clear()  # of other tests
    user.grid.door.log.clear()
    user.grid.robot.hold()

    def forget() -> None:
        try:
            wait_until(lambda: staging.requests)
            time.sleep(1)  # the spinner turns
            staging.requests.clear()
            wait_until(lambda: staging.requests)
        finally:
            user.grid.robot.go()

    forgetting = threading.Thread(target=forget)
    forgetting.start()
    try:
        assert "1 files ONLINE over 1, 0 remaining" in on_a_terminal(user, "--bring_online")
    finally:
        forgetting.join()
    assert user.grid.door.log.count(role="tape", path="/api/v1/tape/stage") == 2
    assert user.catalog()[f"{folder}/a"]["request"] in staging.requests


def test_a_staging_that_has_failed_is_named_without_a_terminal_too(user, folder):
    path = f"{folder}/broken"
    user.grid.tree.add(f"agata/{path}", 10, tape=True)
    user.grid.robot.fail[f"agata/{path}"] = "tape 007 is torn"
    user(f"--input_dir {folder} --build_list --bring_online")
    ends = time.monotonic() + 20
    while "tape 007 is torn" not in (result := user("--check_status")).err:
        assert time.monotonic() < ends
    assert result.status == 1 and user.catalog()[path]["request"] == ""
    assert " ** Staging launched for 1 file(s) **" in user("--bring_online").out


@pytest.mark.long
def test_a_refused_staging_is_told_each_time_until_the_site_allows_it(user, folder, monkeypatch):
    path = f"{folder}/a"
    user.grid.tree.add(f"agata/{path}", 10, tape=True)
    with monkeypatch.context() as patch:
        patch.setattr(user.grid.door.switches, "may_stage", False)
        user(f"--input_dir {folder} --build_list --bring_online")
        for line in ("check_status", "check_status", "check_status --verbose", "build_list --check_status", *ASKED):
            status, _, err = user(f"--{line}")
            assert (status, err.count("Staging not allowed")) == (1, 1), line
            assert err.startswith(f"gridsync.py: {path}: could not be brought online: ")
    user("--bring_online")
    wait_until_online(user)
    assert user("--check_status")[::2] == (0, "")


@pytest.mark.long
def test_a_file_that_storm_has_sent_back_to_tape_has_left_the_disk_again(user, folder):
    path = f"{folder}/a"
    user.grid.tree.add(f"agata/{path}", 10, tape=True)
    user(f"--from CNAF --input_dir {folder} --build_list --bring_online")
    wait_until_online(user)
    move_to_tape(user, path)
    for _ in range(2):
        said = f"gridsync.py: {path}: has left the disk again; --bring_online asks for it again\n"
        assert user("--check_status")[::2] == (1, said)
    assert user.catalog()[path]["request"] == ""
    assert " ** Staging launched for 1 file(s) **" in user("--bring_online").out
    wait_until_online(user)
    assert user("--start")[::2] == (0, "")


@pytest.mark.parametrize("is_on_tape", [True, False])
def test_a_file_of_no_bytes_is_not_counted_among_those_to_bring(mixed, folder, is_on_tape):
    mixed.grid.tree.add(f"agata/{folder}/nothing", 0, tape=is_on_tape)
    status, out, _ = mixed("--build_list --bring_online")
    counts = " Number of files to bring online: 8\n ** Staging launched for 8 file(s) **\n"
    assert status == 0 and counts in out


def test_a_restore_that_fails_again_and_again_in_silence_is_said_to_hang(user, folder, monkeypatch):
    path, robot = f"{folder}/a", user.grid.robot
    user.grid.tree.add(f"agata/{path}", 10, tape=True)
    user(f"--input_dir {folder} --build_list")
    monkeypatch.setattr(robot, "again", 0.05)
    monkeypatch.setitem(robot.fail, f"agata/{path}", "tape 007 is torn")
    user("--bring_online")
    for line in ("--check_status", "--bring_online"):
        status, _, err = user(line, changed="stuck = 0")
        assert status == 1 and f"{path}: stuck on the way from tape since" in err
    robot.fail.clear()
    wait_until_online(user)
    assert user("--check_status")[::2] == (0, "")


@pytest.mark.parametrize("line", ["--start", "--start --overwrite"])
def test_what_went_back_to_tape_after_the_copy_is_not_fetched_from_there(user, folder, line):
    (path,) = staged(user, folder, "a")
    user("--start")
    move_to_tape(user, path)
    if "--overwrite" not in line:
        (user.data / path).unlink()
        assert "downloaded: 0, remaining: 1" in user("--check_status").out
    user.grid.door.log.clear()
    status, out, _ = user(line)
    assert status == 1 and "waiting on tape: 1" in out
    assert user.grid.door.log.count(path=f"/agata/{path}") == 0


def test_a_pin_that_an_interrupted_run_has_left_is_released_by_the_next(user, folder):
    (path,) = staged(user, folder, "a")
    request = user.catalog()[path]["request"]
    (user.data / path).parent.mkdir(parents=True)
    (user.data / path).write_bytes(user.grid.tree.expected(f"agata/{path}"))
    catalog = Catalog(str(user.folder))
    mtime = int(user.grid.tree.file(f"agata/{path}").mtime)
    os.utime(user.data / path, (mtime, mtime))
    catalog.put([row._replace(downloaded=True, verified="adler32") for row in catalog.all()])
    assert user.grid.door.staging.pins(f"agata/{path}") == [request]
    assert user("--start").status == 0
    assert user.grid.door.staging.pins(f"agata/{path}") == [] and user.catalog()[path]["request"] == ""


def test_no_redrawn_line_is_wider_than_the_terminal(three):
    _, text = on_terminal(["/usr/bin/python3", str(SCRIPT), "--start"], three.env, (24, 60))
    states = [state for line in text.split("\n") for state in line.split("\r")[:-1]]
    assert states and max(map(len, states)) < 60


def test_one_file_that_the_door_can_not_give_stops_no_other(three, folder):
    with faulty(three, "*/small", 500, role="door", method="GET", text="Internal problem: unreadable"):
        status, out, err = three("--start")
    assert status == 1 and "Copied: 2, skipped: 0, failed: 1" in out and "the door answers 500" in err
    assert "Copied: 1, skipped: 2, failed: 0" in three("--start").out


def test_a_door_that_gives_nothing_at_all_ends_the_run_with_4(user, folder):
    for number in range(30):
        user.grid.tree.add(f"agata/{folder}/{number}", 10)
    user(f"--input_dir {folder} --build_list")
    with faulty(user, f"*/{folder}/*", 503, role="door", method="GET"):
        status, out, _ = user("--start")
    assert status == 4 and "Copied: 0" in out
    assert "Copied: 30, skipped: 0, failed: 0" in user("--start").out


def test_a_release_that_fails_stops_no_copy_and_is_tried_again(user, folder):
    paths = staged(user, folder, "a", "b")
    with faulty(user, "*/release/*", 500, role="tape"):
        status, out, err = user("--start")
    assert status == 1 and "Copied: 2" in out and "a pin remains, and --release will try again" in err
    assert user("--release").status == 0
    assert [user.grid.door.staging.pins(f"agata/{path}") for path in paths] == [[], []]


def test_one_row_that_is_not_of_its_request_keeps_no_other_from_being_released(user, folder):
    for name in ("a", "b", "c"):
        user.grid.tree.add(f"agata/{folder}/{name}", 10, tape=name != "c")
    user(f"--from_CNAF --input_dir {folder} --inc '[ab]$' --build_list --bring_online")
    user("--inc none --build_list")
    catalog = Catalog(str(user.folder))
    (request,) = {row.request for row in catalog.all()} - {""}
    catalog.put([row._replace(request=request) for row in catalog.all()])  # StoRM refuses a foreign path with 400
    assert user("--release").status == 0
    assert {row["request"] for row in user.catalog().values()} == {""}


def test_a_closed_pipe_stops_the_words_and_not_the_work(three):
    command = f"set -o pipefail; /usr/bin/python3 {SCRIPT} --build_list --start | head -1"
    done = subprocess.run(["bash", "-c", command], env=three.env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "") and len(three.files()) == 3


def test_a_full_disk_stops_the_words_and_not_the_work(user):
    live = "from gridsync_parts import screen; live = screen.LiveLine(False, False); live.due = 0; live.show('Copied')"
    for command in (f"{SCRIPT} --show_conf --json >/dev/full", f'-c "{live}" 2>/dev/full'):
        env = {**user.env, "PYTHONPATH": str(SCRIPT.parent)}
        done = subprocess.run(["bash", "-c", f"/usr/bin/python3 {command}"], env=env, capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b"")


def test_a_local_file_is_compared_by_the_checksum_that_the_door_alone_knows(user):
    path = "e680_1to64/e680/run_0003.dat.11-05-15_09h55m42s/Conf/03A/SRM_AGATA_small_files.tar"
    (user.data / path).parent.mkdir(parents=True)
    (user.data / path).write_bytes(b"?" * 1280)  # XRootD lists no checksums
    status, _, err = user(f"--from XROOTD --input_dir {path} --build_list --start")
    assert status == 1 and "a different local file has this name" in err
    (user.data / path).write_bytes(user.grid.tree.expected(f"agata/{path}"))
    assert "Copied: 0, skipped: 1, failed: 0" in user("--start").out
    assert user.catalog()[path]["verified"] == "adler32"


def test_a_folder_that_is_empty_all_of_a_sudden_is_named_and_its_files_stay(three, folder, monkeypatch):
    monkeypatch.setattr(three.grid.door.switches, "silent_empty_dir", {f"agata/{folder}/sub"})
    status, _, err = three("--build_list")
    assert status == 1 and f"{folder}/sub: is empty now; the catalog keeps" in err
    assert f"{folder}/sub/big" in three.catalog()


@pytest.mark.parametrize("engine", ["http", "gfal2"])
def test_a_name_that_can_not_be_right_is_named_and_costs_only_itself(three, folder, engine):
    three.set("ENGINE", engine)
    before = three.catalog()
    children = three.grid.tree.folder(f"agata/{folder}").children
    for name in ("..", "a/b"):
        children[name] = replace(children["small"], name=name)
    for line in (f"--ls_dir {folder}", "--build_list", "--build_list --start"):
        status, out, err = three(line)
        assert status == 1 and err.count("cannot be right; it is left out") == err.count("gridsync.py:") == 2
        assert f"agata/{folder}: " in err and f"{folder}/.. cannot be right" in err and "small" in out + err
    assert "Copied: 3, skipped: 0, failed: 0" in out and list(three.catalog()) == list(before)
    status, out, err = three("--sync")
    assert status == 1 and "Copied: 0, skipped: 3" in out
    assert err.count("it is left out") == err.count("gridsync.py:") == 2
    del children["small"]  # at the site: what is left out is not taken for it
    (three.data / folder / "small").unlink()
    assert (three("--check_status").status, three("--build_list").status) == (0, 1)
    assert sorted(three.catalog()) == [f"{folder}/empty", f"{folder}/sub/big"]
    assert len(json.loads(three(f"--ls_dir {folder} --json").out)["errors"]) == 2


SOON = "pool = Backoff(0.5, 1)"
DOWN = "the pool of this file is down"


def started(user: User, changed: str = SOON) -> Result:
    """What becomes of --start when pools are waited for less long."""
    return user("--start", changed=changed)


@pytest.mark.long
@pytest.mark.parametrize("engine", ["http", "gfal2"])
def test_a_pool_that_comes_back_is_waited_for(three, engine):
    door = three.grid.door
    three.set("ENGINE", engine)
    three.set("RETRIES", "3", "gridsync")
    door.log.clear()
    door.down("pool")
    try:
        with three.running("--start", SOON) as run:
            wait_until(lambda: door.log.count(role="door", method="GET", status=500) > 8)  # more than are tried at once
            door.up("pool")
            out, err = run.communicate(timeout=60)
    finally:
        door.up("pool")
    assert run.returncode == 0 and "Copied: 3, skipped: 0, failed: 0" in out
    assert engine == "gfal2" or ("2 file(s) will be tried again soon: " in err and DOWN in err)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (POOL_GONE, DOWN),
        (MOVER_BUSY[500], "the pool of this file already serves too many readers"),
        ("Internal problem: File has been removed", "its copy on disk is being removed"),
    ],
)
def test_files_of_a_pool_that_fails_hold_up_no_others(user, folder, text, says):
    for number in range(2 * DOORS_SHUT):
        user.grid.tree.add(f"agata/{folder}/dead/{number}", 20_000)
        user.grid.tree.add(f"agata/{folder}/live/{number}", 10_000)
    user(f"--input_dir {folder} --build_list")
    user.grid.door.faults.add("*/dead/*", 500, method="GET", role="door", text=f"{text}\n")
    try:
        status, out, err = started(user)
    finally:
        user.grid.door.faults.clear()
    assert status == 1 and "Copied: 16, skipped: 0, failed: 16" in out
    assert says in err and "Internal problem" not in err
    assert all(says in row["error"] for path, row in user.catalog().items() if "/dead/" in path)
    assert started(user)[0] == 0


def test_a_door_without_a_place_for_a_reader_says_so(three, monkeypatch):
    switches = three.grid.door.switches
    monkeypatch.setattr(switches, "mover_timeout", 0.1)
    with monkeypatch.context() as patch:
        patch.setattr(switches, "mover_slots", 0)
        status, _, err = started(three)
    assert status == 1 and "the pool of this file already serves too many readers" in err
    assert started(three)[0] == 0


def test_a_file_whose_place_nobody_knows_is_not_fetched(user, folder):
    user.grid.tree.add(f"agata/{folder}/a", 10).locality = "NONE"
    user(f"--input_dir {folder} --build_list")
    user.grid.door.log.clear()
    status, _, err = user("--start")
    assert status == 1 and "the site does not say whether it is on disk" in err
    assert user.grid.door.log.count(path=f"/agata/{folder}/a") == 0


def test_a_file_and_one_with_part_behind_its_name_do_not_meet(user, folder):
    for name in ("x", "x.part"):
        user.grid.tree.add(f"agata/{folder}/{name}", 50_000)
    user(f"--input_dir {folder} --build_list")
    for _ in range(2):
        assert user("--start --threads 2").status == 0
    for name in ("x", "x.part"):
        assert read_copy(user, f"{folder}/{name}") == user.grid.tree.expected(f"agata/{folder}/{name}")


def test_a_line_that_breaks_again_and_again_still_brings_the_file(user, folder):
    user.grid.tree.add(f"agata/{folder}/a", 4 << 20)
    user(f"--input_dir {folder} --build_list")
    with faulty(user, "*/a", "truncate", role="pool", at=900_000):  # with RETRIES = 1
        assert user("--start").status == 0


def test_a_door_that_sends_next_to_nothing_is_not_asked_for_ever(user, folder):
    user.grid.tree.add(f"agata/{folder}/a", 1 << 20)
    user(f"--input_dir {folder} --build_list")
    user.grid.door.log.clear()
    with faulty(user, "*/a", "truncate", role="pool", at=1):
        assert user("--start").status == 1
    assert user.grid.door.log.count(role="pool") == 2  # RETRIES = 1


def test_dry_runs_change_nothing_and_say_what_would_be_done(user, folder):
    paths = staged(user, folder, "a", "b")
    user.grid.tree.add(f"agata/{folder}/c", 10, tape=True)
    conf, catalog = (user.folder / "Grid.conf").read_bytes(), (user.folder / "grid_summary.csv").read_bytes()
    user.grid.door.log.clear()
    status, out, err = user("--threads 2 --build_list --bring_online --start --release --dry_run")
    assert (status, err) == (0, "")
    assert "=> adding: 10.0 B " in out and "rows: 3" in out
    assert "(DRY RUN) would ask for 1 files, 10.0 B, in 1 request(s)" in out
    assert "(DRY RUN) would list 3 files, 30.0 B\n(DRY RUN) would skip 0 files, 0.0 B\n" in out
    assert "(DRY RUN) would skip 2 files, 20.0 B (asked for before: 2)\n" in out
    assert "(DRY RUN) would copy 2 files, 20.0 B, and make 2 folder(s); free disk: " in out
    assert "(DRY RUN) would skip 1 files, 10.0 B (on tape, not staged: 1)\n" in out
    assert "(DRY RUN) would release 2 files, 20.0 B, in 1 request(s)" in out
    assert (user.folder / "Grid.conf").read_bytes() == conf and user.files() == []
    assert (user.folder / "grid_summary.csv").read_bytes() == catalog
    assert [len(user.grid.door.staging.pins(f"agata/{path}")) for path in paths] == [1, 1]


def test_json_is_one_document_with_all_that_was_asked_for(three, folder):
    result = three("--show_conf --ls_dir / --build_list --check_status --start --json")
    document = json.loads(result.out)
    assert result.status == document["status"] == 0
    assert document["configuration"]["BASE_DIR_ON_GRID"] == "agata/"
    assert {"host_adler32": 158}.items() <= {entry["path"]: entry["size"] for entry in document["listing"]}.items()
    assert [row["path"] for row in document["files"]] == sorted(three.catalog())
    assert document["catalog"]["rows"] == 3 and document["copy"]["copied"] == 3
    assert json.loads(three("--ls_dir nowhere --json").out)["errors"]


@pytest.mark.parametrize("engine", ["http", "gfal2"])
def test_a_tape_service_that_is_down_lets_nothing_be_fetched_from_tape(user, folder, engine):
    user.grid.tree.add(f"agata/{folder}/a", 10, tape=True)
    user.set("ENGINE", engine)
    user(f"--input_dir {folder} --build_list")
    user.grid.door.log.clear()
    with faulty(user, "*well-known*", 503):
        assert user("--start").status == 4
    assert user.grid.door.log.count(path=f"/agata/{folder}/a", method="GET") == 0


@pytest.mark.parametrize("engine", ["http", "gfal2"])
def test_staging_fewer_at_a_time_when_the_door_takes_no_more(user, folder, engine, monkeypatch):
    monkeypatch.setattr(user.grid.door.switches, "stage_limit", 2)
    for number in range(5):
        user.grid.tree.add(f"agata/{folder}/{number}", 10, tape=True)
    user.set("ENGINE", engine)
    status, out, _ = user(f"--input_dir {folder} --build_list --bring_online")
    assert status == 0 and "Staging launched for 5 file(s)" in out
    assert len({row["request"] for row in user.catalog().values()}) == 3


def test_a_file_without_any_checksum_goes_on_where_it_has_broken_off(user, folder, monkeypatch):
    size, door = 4 << 20, user.grid.door
    monkeypatch.setattr(door.switches, "checksum_prop", "absent")
    user.grid.tree.add(f"agata/{folder}/a", size)
    torn = door.faults.add("*/a", "reset_in_body", role="pool", count=3, at=1 << 20)
    door.faults.add("*", "digest", value="")
    try:
        status, out, err = user(f"--input_dir {folder} --build_list --start")
    finally:
        door.faults.clear()
    assert status == 0, err
    assert "Copied: 1, skipped: 0, failed: 0, waiting on tape: 0; 4.0 MB at" in out and torn.hits == 3
    assert (user.data / folder / "a").read_bytes() == user.grid.tree.expected(f"agata/{folder}/a")


def test_a_fault_is_said_of_each_file_and_not_again_of_the_run(capsys):
    report = gridsync.Report()
    for error in ("a/b: the disk is full", "b: the disk is full", "the disk is full", "the disk is full"):
        report.error(error)
    name = gridsync.program_name()
    assert capsys.readouterr().err == f"{name}: a/b: the disk is full\n{name}: b: the disk is full\n"


def test_an_expired_proxy_is_seen_before_the_door_is(user):
    user.grid.door.log.clear()
    status, _, err = user("--ls_dir", X509_USER_PROXY=str(user.grid.pki.proxy("expired")))
    assert status == 3 and "expired" in err and user.grid.door.log.count() == 0


@pytest.mark.every(1)
@pytest.mark.parametrize(
    ("line", "status", "says"),
    [
        ("--ver", 2, "no such option: --ver"),
        ("--threads 0", 2, "--threads is '0'; expected a whole number, 1 or more"),
        ("--from XROOTD --from_LYON", 2, "the command line names two sites: LYON and XROOTD"),
        ("--ls_dir ../..", 2, "is not a path on the grid"),
        ("--inc --build_list", 2, "--inc has no value: --build_list is an option; --inc=--build_list makes it"),
        ("--input_dir e680 --exc --dry-run", 2, "--exc has no value: --dry-run is an option"),
        ("--sync --to", 2, "--to has no value; give one, as in --to=SITE (--help)"),
        ("--log_file --sync", 2, "--log_file has no value: --sync is an option"),
        ("--output_dir -h", 2, "--output_dir has no value: -h is an option"),
        (f"--threads {'9' * 5000}", 2, "9...; expected a whole number, 1 or more"),
        ("--streams ٣", 2, "--streams is '٣'; expected a whole number"),
        ("--input_dir 'e680 '", 2, "'e680 ' cannot be a value of INPUTDIR: Grid.conf keeps no blanks around it"),
        ("--input_dir 'e680 /'", 2, "'e680 ' cannot be a value of INPUTDIR"),
        ("--exc ' '", 2, "' ' cannot be a value of EXCLUDE"),
        ("-start", 2, "no such option: -start; did you mean --start"),
        ("-ls-dir=e680", 2, "no such option: -ls-dir; did you mean --ls_dir"),
        ("-7", 2, "no such option: -7; --help lists the options"),
    ],
)
def test_bad_input_gets_one_sentence_and_its_status(user, line, status, says):
    before = (user.folder / "Grid.conf").read_text()
    result = user(line)
    assert result.status == status
    assert result.err.startswith("gridsync.py: ") and result.err.count("\n") == 1 and says in result.err
    assert (user.folder / "Grid.conf").read_text() == before


def test_what_looks_like_an_option_can_be_a_value_all_the_same(user):
    assert user("--inc=--build_list --exc -raw").status == 0
    text = (user.folder / "Grid.conf").read_text()
    assert "INCLUDE = --build_list\n" in text and "EXCLUDE = -raw\n" in text


@pytest.mark.parametrize("name", ["gridsync.py", "GridDataSync.py", "gridsync"])
def test_help_and_errors_begin_with_the_name_that_was_typed(user, name, tmp_path):
    (tmp_path / name).symlink_to(SCRIPT)
    env = {**user.env, "PATH": f"{tmp_path}:{user.env['PATH']}"}
    done = subprocess.run([name, "--star"], env=env, capture_output=True, text=True, check=False)
    assert done.stderr == f"{name}: no such option: --star; did you mean --start\n"
    done = subprocess.run([name], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"Usage: {name} [options]\n")


def test_a_wrong_option_is_told_in_the_json_document_too(user):
    status, out, err = user("--json --ver")
    assert status == 2 and json.loads(out) == {"errors": [err.strip()[len("gridsync.py: ") :]], "status": 2}


@pytest.mark.parametrize("line", ["--workdir=~/e680 --show_conf", "--show_conf"])
def test_a_work_folder_below_home_is_found_whoever_expands_the_tilde(user, line, tmp_path):
    (tmp_path / "e680").mkdir()
    assert user(line, HOME=str(tmp_path), GRIDSYNC_DIR="~/e680").status == 0
    assert (tmp_path / "e680" / "Grid.conf").exists()


def heard(user: User, line: str, changed: str = "") -> str:
    """The first line on stderr that is no progress; the run, which would still wait for long, is ended after it."""
    with user.running(line, changed) as run:
        late = threading.Timer(20, run.kill)
        late.start()
        said = next((said for said in run.stderr or () if not said.startswith(("Listing", "Copied"))), "")
        late.cancel()
    return said


@pytest.mark.parametrize("line", ["--ls_dir {}", "--build_list", "--start"])
@pytest.mark.parametrize("status", [503, 429])
def test_a_long_pause_is_told_with_its_reason(three, folder, line, status):
    three.set("RETRIES", "4", "gridsync")
    with faulty(three, "*", status, role="door", retry_after=900):
        said = heard(three, line.format(folder))
        assert re.search(rf"^Waiting 15m00s before the next attempt: https://.*: the door answers {status} \(", said)


def test_a_server_that_does_not_answer_is_told(three, folder):
    with faulty(three, "*", "stall", role="door", seconds=30):
        said = heard(three, f"--ls_dir {folder}", "slow = 0.5")
    assert said == f"No answer yet from {three.grid.door.url}/ (Ctrl-C ends the wait)\n"


def test_nothing_is_told_of_waits_that_are_short_or_with_quiet(three, folder):
    with faulty(three, "*", 503, role="door", retry_after=1, count=1):
        assert three(f"--ls_dir {folder}").err == ""
    with faulty(three, "*", 503, role="door", retry_after=6, count=1):
        assert three("--build_list --quiet") == (0, "", "")


def test_a_second_writer_leaves_at_once_with_6(three):
    with Lock(str(three.folder)):
        status, _, err = three("--start")
    assert status == 6 and f"(process {os.getpid()}, since" in err


def test_no_option_prints_the_help(user):
    assert user("") == (0, user("--help").out, "")
    assert user("--version").out == f"gridsync {__version__}\n"


def test_names_may_be_written_with_dashes_and_values_behind_a_blank(user):
    assert user("--ls-dir=e680").out == user("--ls_dir e680").out


def test_debug_shows_requests_but_no_secret(three):
    err = three("--start --debug").err
    assert "GET https://localhost:" in err and "uuid=" not in err


def test_a_reader_that_has_seen_enough_is_no_error(user):
    command = f"/usr/bin/python3 {SCRIPT} --ls_dir | head -1"
    done = subprocess.run(["bash", "-c", command], env=user.env, capture_output=True, text=True, check=False)
    assert done.stderr == ""


def test_help_needs_neither_grid_nor_gfal2():
    code = "import gridsync, sys\nassert not {'gfal2', 'requests', 'tqdm', 'ssl'} & set(sys.modules)"
    subprocess.run(["/usr/bin/python3", "-c", code], cwd=SCRIPT.parent, check=True)


def test_what_is_gone_at_the_site_but_here_stays_in_the_catalog(three, folder):
    three("--start")
    three.grid.tree.remove(f"agata/{folder}/sub")
    assert three("--build_list").status == 0
    assert three.catalog()[f"{folder}/sub/big"]["downloaded"] == "yes"


@pytest.mark.parametrize(("option", "verified"), [("", "adler32"), ("--nochecksum", "size")])
def test_files_of_another_programs_catalog_are_taken_over_and_none_is_fetched(user, folder, option, verified):
    paths = [f"{folder}/{number % 20:02d}/{number:03d}" for number in range(400)]
    for number, path in enumerate(paths):
        user.grid.tree.add(f"agata/{path}", 100 + number, tape=number % 2 == 0)
        (user.data / path).parent.mkdir(parents=True, exist_ok=True)
        (user.data / path).write_bytes(user.grid.tree.expected(f"agata/{path}"))
    foreign = "filename;size;status\n" + "".join(f"{path};100;DOWNLOADED\n" for path in paths)
    (user.folder / "grid_summary.csv").write_text(foreign)
    user.grid.door.log.clear()
    status, out, err = user(f"--input_dir {folder} --build_list --start {option}")
    assert status == 0 and "Copied: 0, skipped: 400, failed: 0, waiting on tape: 0" in out
    old = user.folder / "grid_summary.csv.old"
    assert err.splitlines()[0] == f"{old.with_suffix('')} was made by another program; it is now {old}"
    assert old.read_text() == foreign
    assert not [record for record in user.grid.door.log.matching(method="GET") if f"/{folder}/" in record.path]
    assert {(row["downloaded"], row["verified"]) for row in user.catalog().values()} == {("yes", verified)}
    user.grid.door.log.clear()
    assert "Copied: 0, skipped: 400" in user("--start").out and user.grid.door.log.count() == 0


def sites_of(user: User) -> dict[str, set[str]]:
    """The paths of the catalog by site."""
    rows = Catalog(str(user.folder)).rows
    return {site: set(of) for site, of in rows.items() if of}


@pytest.mark.long
def test_sites_and_folders_one_after_the_other_lose_nothing_of_each_other(user, folder):
    one, two = f"{folder}/one", f"{folder}/two"
    for path in (f"{one}/x", f"{one}/y", f"{two}/x", f"{two}/y"):
        user.grid.tree.add(f"agata/{path}", 1000, tape=True)
    xrootd = "e680_1to64/e680/run_0003.dat.11-05-15_09h55m42s/Conf/03A/SRM_AGATA_small_files.tar"
    assert user(f"--from XROOTD --input_dir {xrootd} --build_list --start").status == 0
    assert user(f"--from LYON --input_dir {one} --build_list --bring_online").status == 0
    wait_until_online(user)
    assert user(f"--input_dir {two} --inc x$ --build_list --bring_online").status == 0
    wait_until_online(user)
    lyon = {f"{one}/x", f"{one}/y", f"{two}/x"}
    assert sites_of(user) == {"XROOTD": {xrootd}, "LYON": lyon}

    assert user(f"--from CNAF --input_dir {one} --inc none --build_list --bring_online --start").status == 0
    assert sites_of(user) == {"XROOTD": {xrootd}, "LYON": lyon, "CNAF": {f"{one}/x", f"{one}/y"}}
    user.grid.door.log.clear()
    assert "Copied: 0, skipped: 2" in user("--from LYON --start").out  # CNAF's are the same
    assert user.grid.door.log.count(role="pool") == 0

    pins = user.grid.door.staging.pins
    assert [len(pins(f"agata/{path}")) for path in sorted(lyon)] == [0, 0, 1]
    assert "Release accepted for 1 file(s)" in user("--release").out
    assert not any(pins(f"agata/{path}") for path in lyon)

    user.grid.tree.remove(f"agata/{two}/x")
    assert user(f"--input_dir {two} --build_list").status == 0  # what is neither here nor pinned is gone
    assert sites_of(user)["LYON"] == {f"{one}/x", f"{one}/y", f"{two}/y"}
    assert (sites_of(user)["CNAF"], sites_of(user)["XROOTD"]) == ({f"{one}/x", f"{one}/y"}, {xrootd})


# == Checksums =========================================================================================

def test_a_door_whose_checksums_are_in_the_words_of_rfc_9530_alone_has_its_files_verified(user, folder, monkeypatch):
    monkeypatch.setattr(user.grid.door.switches, "digest_words", "rfc9530")
    monkeypatch.setattr(user.grid.door.switches, "checksum_prop", "absent")
    for name, stored in {"a": ("adler32",), "b": ("sha-256",)}.items():
        user.grid.tree.add(f"agata/{folder}/{name}", 1000, checksums=stored)
    assert user(f"--input_dir {folder} --build_list --start").status == 0
    assert [row["verified"] for row in user.catalog().values()] == ["adler32", "sha256"]


@pytest.mark.parametrize("streams", [1, 3])
def test_a_stronger_checksum_that_a_door_has_already_is_what_files_are_verified_by(user, folder, streams):
    path = f"agata/{folder}/a"
    user.grid.tree.add(path, 3_000_000, checksums=("adler32", "sha-256"))
    line = f"--input_dir {folder} --streams {streams} --build_list --start"
    assert user(line, changed="SHORTEST = 1 << 20").status == 0
    assert [row["verified"] for row in user.catalog().values()] == ["sha256"]
    assert (user.data / folder / "a").read_bytes() == user.grid.tree.expected(path)
    assert user("--verify").status == 0


@pytest.mark.parametrize("line", ["--start", "--sync"])
def test_a_file_of_which_the_door_learns_another_checksum_is_no_other_file(user, folder, line):
    file = user.grid.tree.add(f"agata/{folder}/a", 1000)
    assert user(f"--input_dir {folder} --build_list --start").status == 0
    user.grid.door.log.clear()
    for stored in (("adler32", "sha-256"), ("adler32",)):
        file.checksums = stored
        assert user(f"--build_list {line} --verify").status == 0
        assert not user.grid.door.log.count(method="GET", role="pool")
        (row,) = user.catalog().values()
        assert (row["downloaded"], row["checksum"].partition(":")[0]) == ("yes", max(stored).replace("-", ""))


@pytest.mark.parametrize("more", ["", " --json"])
def test_a_fault_of_our_own_is_not_taken_for_files_that_have_failed(user, more):
    status, out, err = user(f"--ls_dir e680{more}", changed="PROPFIND = 5")  # of what no request can be made
    assert status == 70 and "a fault of gridsync, please report it" in err and "Traceback" not in err
    assert not more or json.loads(out)["status"] == 70


def test_what_is_printed_and_what_goes_wrong_keep_their_order_in_one_file(mixed):
    done = subprocess.run(
        mixed.command("--build_list --start"), env={**mixed.env, "PYTHONUNBUFFERED": ""},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=mixed.limit, check=False,
    )  # fmt: skip
    said = ["=> adding: ", "...starting to download", "5 file(s) are on tape", "Copied: 4"]
    at = [done.stdout.index(words) for words in said]
    assert at == sorted(at), done.stdout


@pytest.mark.parametrize("action", ["--start --dry_run", "--sync --dry_run", "--start", "--sync"])
def test_a_run_says_from_where_it_goes_on(mixed, folder, action):
    for number, size in ((2, 50_000), (3, 1_000_000)):
        part = mixed.data / folder / "disk" / part_name(str(number))
        part.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(b"".join(mixed.grid.tree.read(f"agata/{folder}/disk/{number}", 0, size)))
    mixed("--build_list")
    assert "unfinished" not in mixed("--start --dry_run --quiet").err
    _, out, err = mixed(action)
    assert err.count("2 unfinished file(s) are here already: going on from 1.0 MB\n") == 1
    if "dry" not in action:
        sizes = [int(row["size"]) for row in mixed.catalog().values() if row["downloaded"] == "yes"]
        assert f"; {size_text(sum(sizes) - 1_050_000)} at " in out
        assert "unfinished" not in mixed(action).err


def test_a_pattern_that_later_pythons_may_read_otherwise_makes_no_noise(user):
    assert user("--inc [[a] --quiet").err == ""
