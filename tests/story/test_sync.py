"""--sync: everything until it is done, and what it does when the site or the disk does not play along."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gridsync_parts.disk import MARK
from gridsync_parts.keys.proxy import read_proxy
from gridsync_parts.words import moment_text
from tests.grid import Grid
from tests.grid.tree import TAPE
from tests.support.terminal import on_terminal
from tests.support.user import User, count_rows, find_pinned, find_wrong, wait_for, wait_until, write_secret

ENGINES_AND_SITES = [(engine, site) for engine in ("http", "gfal2") for site in ("LYON", "CNAF")]


@pytest.mark.parametrize(("engine", "site"), ENGINES_AND_SITES)
def test_sync_lists_stages_copies_verifies_and_releases(mixed, folder, engine, site):
    mixed.set("ENGINE", engine, site)
    status, out, err = mixed(f"--sync --from {site}")
    assert (status, err.count("gridsync.py:")) == (0, 0)
    assert "Copied: 9, skipped: 0, failed: 0, waiting on tape: 0; 3.5 MB at " in out
    assert "verified by checksum: 8, by size only: 1\n" in out
    assert (find_wrong(mixed, folder), find_pinned(mixed, folder)) == ([], [])
    assert all(row["downloaded"] == "yes" and not row["request"] for row in mixed.catalog().values())
    door = mixed.grid.door if site == "LYON" else mixed.grid.storm
    door.log.clear()
    assert "Copied: 0, skipped: 9, failed: 0" in mixed("--sync").out
    assert not [record for record in door.log.matching(method="GET") if folder in record.path]


def test_cron_hears_nothing_when_nothing_is_wrong(mixed, folder):
    assert mixed("--sync --quiet") == (0, "", "")
    assert mixed("--sync --quiet") == (0, "", "")


def test_a_second_sync_leaves_without_a_word_while_one_is_at_work(mixed, folder):
    mixed.grid.robot.hold()
    try:
        with mixed.running("--sync --quiet") as first:
            wait_until(lambda: len(mixed.files()) == 4)
            assert mixed("--sync --quiet") == (6, "", "")
            status, _, err = mixed("--sync")
            assert status == 6 and f"another gridsync (process {first.pid}, since " in err
            mixed.grid.robot.go()
            assert wait_for(first) == (0, "", "")
    finally:
        mixed.grid.robot.go()
    assert find_wrong(mixed, folder) == []


def test_what_is_on_disk_is_copied_while_the_rest_is_staged(mixed, folder):
    mixed.grid.robot.hold()
    try:
        with mixed.running("--sync") as process:
            wait_until(lambda: len([path for path in mixed.files() if not path.endswith(MARK)]) == 4)
            wait_until(lambda: count_rows(mixed, "request") == 5)
            mixed.grid.robot.go(2)
            wait_until(lambda: len(mixed.files()) == 6)
            mixed.grid.robot.go()
            assert wait_for(process).status == 0
    finally:
        mixed.grid.robot.go()
    assert (find_wrong(mixed, folder), find_pinned(mixed, folder)) == ([], [])


@pytest.mark.parametrize("site", ["LYON", pytest.param("CNAF", marks=pytest.mark.long)])
def test_a_file_that_can_not_be_staged_is_named_and_the_others_come(mixed, folder, site):
    bad = f"agata/{folder}/tape/3"
    mixed.grid.robot.fail[bad] = "tape is broken"
    try:
        status, out, err = mixed(f"--sync --from {site}")
    finally:
        del mixed.grid.robot.fail[bad]
    assert status == 1 and "Copied: 8, skipped: 0, failed: 1, " in out
    assert err.count("gridsync.py:") == 1 and f"{folder}/tape/3: could not be brought online: " in err
    assert find_wrong(mixed, folder) == [f"{folder}/tape/3"]
    assert "tape is broken" in mixed.catalog()[f"{folder}/tape/3"]["error"] or site == "CNAF"
    assert mixed("--sync").status == 0 and find_wrong(mixed, folder) == []


def test_a_forgotten_request_is_made_again(mixed, folder):
    mixed.grid.robot.hold()
    try:
        with mixed.running("--sync") as process:
            wait_until(lambda: count_rows(mixed, "request") == 5)
            mixed.grid.door.staging.requests.clear()
            mixed.grid.robot.go()
            assert wait_for(process).status == 0
    finally:
        mixed.grid.robot.go()
    assert find_wrong(mixed, folder) == []


def test_a_door_that_restarts_holds_nothing_up_for_good(mixed, folder):
    mixed.grid.robot.hold()
    try:
        with mixed.running("--sync", "chore = Backoff(0.5, 1)") as process:
            wait_until(lambda: count_rows(mixed, "request") == 5)
            mixed.grid.door.down()
            mixed.grid.robot.go()
            time.sleep(2)
            mixed.grid.door.up()
            result = wait_for(process)
            assert result.status == 0, result.err
    finally:
        mixed.grid.robot.go()
        mixed.grid.door.up()
    assert find_wrong(mixed, folder) == []


def test_a_local_file_in_the_way_is_named_and_overwritten_only_if_so_wished(mixed, folder):
    path = mixed.data / folder / "disk" / "2"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"mine")
    status, _, err = mixed("--sync")
    assert status == 1 and f"{folder}/disk/2: a different local file has this name; --overwrite replaces it" in err
    assert find_wrong(mixed, folder) == [f"{folder}/disk/2"] and path.read_bytes() == b"mine"
    status, out, _ = mixed("--sync --overwrite")
    assert status == 0 and "Copied: 9, skipped: 0" in out and find_wrong(mixed, folder) == []


def test_a_forbidden_folder_is_named_and_the_others_come(mixed, folder, monkeypatch):
    monkeypatch.setattr(mixed.grid.storm.switches, "unreadable", {f"agata/{folder}/tape"})
    monkeypatch.setattr(mixed.grid.storm.switches, "unreadable_status", 403)
    status, out, err = mixed("--sync --from CNAF")
    assert status == 1 and "Copied: 4, " in out and f"agata/{folder}/tape: the door refuses" in err


@pytest.mark.long
def test_a_folder_that_can_not_be_listed_for_a_moment_joins_in(mixed, folder):
    mixed.grid.door.faults.add(f"*/{folder}/disk*", 500, role="door", method="PROPFIND", count=2)
    with mixed.running("--sync", "list = 1000; blind = Backoff(1, 1000, 1000)") as process:
        assert wait_for(process).status == 0
    assert find_wrong(mixed, folder) == []


@pytest.mark.long
def test_a_folder_that_can_not_be_listed_holds_up_no_other_where_there_is_no_tape_service(user, folder):
    tree, door = user.grid.tree, user.grid.door
    user.set("TAPE_API", "none")
    user.set("THREADS", "1", "gridsync")
    for number in range(6):
        tree.add(f"agata/{folder}/{number}/file", 300_000)
    door.switches.bandwidth = 1_000_000
    try:
        with user.running(f"--input_dir {folder} --sync", "chore = Backoff(50, 600); fresh = 0.2; DEPTH = 0"):
            wait_until(lambda: count_rows(user, "downloaded") >= 1)
            door.faults.add(f"*/{folder}/5", 500, role="door", method="PROPFIND")
            wait_until(lambda: count_rows(user, "downloaded") >= 5)
    finally:
        door.switches.bandwidth = 0
        door.faults.clear()


@pytest.mark.long
def test_a_poll_that_is_refused_once_costs_no_pin(mixed, folder):
    mixed.grid.robot.hold()
    with mixed.running("--sync", "chore = Backoff(0.5, 600)") as process:
        wait_until(lambda: count_rows(mixed, "request") == 5)
        refusal = mixed.grid.door.faults.add("*/stage/*", 403, role="tape", method="GET", count=1)
        wait_until(lambda: refusal.hits)
        mixed.grid.robot.go()
        assert wait_for(process).status == 0
    assert (find_wrong(mixed, folder), find_pinned(mixed, folder)) == ([], [])


def test_what_is_here_already_needs_no_room(mixed, folder):
    path = mixed.data / folder / "disk" / "3"
    path.parent.mkdir(parents=True)
    path.write_bytes(mixed.grid.tree.expected(f"agata/{folder}/disk/3"))
    assert mixed(f"--input_dir {folder}/disk --inc 3$").status == 0
    with mixed.running("--sync", "free_space = lambda folder: 1_000_000") as process:
        assert wait_for(process).status == 0


@pytest.mark.long
def test_a_file_that_was_evicted_before_its_turn_is_staged_again(mixed, folder, monkeypatch):
    # Files wait in front of the threads while one that takes long is copied; by then their pins have ended.
    mixed.set("THREADS", "1", "gridsync")
    mixed.set("ENGINE", "http")
    monkeypatch.setattr(mixed.grid.door.switches, "bandwidth", 1_000_000)
    tree = mixed.grid.tree
    with mixed.running("--sync", "DEPTH = 0; fresh = 0.5") as process:
        staged = [f"agata/{folder}/tape/{number}" for number in range(5)]
        wait_until(lambda: all(tree.file(path).locality != TAPE for path in staged))
        for path in staged[2:]:
            for request in list(mixed.grid.door.staging.pins(path)):
                mixed.grid.door.staging.release(request, [path])
            tree.file(path).locality = TAPE
        assert "Copied: 9, skipped: 0, failed: 0" in wait_for(process).out
    assert find_wrong(mixed, folder) == []


@pytest.mark.parametrize(
    ("engine", "number"),
    [
        *[("http", number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)],
        ("gfal2", signal.SIGTERM),
    ],
)
def test_a_signal_ends_it_soon_with_everything_saved(mixed, folder, engine, number):
    mixed.set("ENGINE", engine)
    mixed.grid.door.faults.add(f"*/{folder}/disk/3", "stall", role="pool")
    try:
        with mixed.running("--sync") as process:
            wait_until(lambda: count_rows(mixed, "downloaded") == 8)
            began = time.monotonic()
            process.send_signal(number)
            status, out, err = wait_for(process)
            assert time.monotonic() - began < 5
    finally:
        mixed.grid.door.faults.clear()
    assert status == 130 and "Copied: 8, " in out
    assert err.endswith("gridsync.py: interrupted; what is done is kept, and the same command goes on from here\n")
    assert mixed("--sync").status == 0 and find_wrong(mixed, folder) == []


def test_an_ended_proxy_stops_it_with_3_and_a_new_one_goes_on(mixed, folder, tmp_path):
    proxy = tmp_path / "proxy"
    shutil.copy(mixed.grid.pki.proxy("good"), proxy)
    proxy.chmod(0o600)
    mixed.grid.robot.hold()
    try:
        with mixed.running("--sync", "check = 0.2", X509_USER_PROXY=str(proxy)) as process:
            wait_until(lambda: count_rows(mixed, "downloaded") == 4)
            os.replace(shutil.copy(mixed.grid.pki.proxy("expired"), tmp_path / "new"), proxy)
            status, _, err = wait_for(process)
    finally:
        mixed.grid.robot.go()
    assert status == 3 and err.count("gridsync.py:") == 1 and f"your proxy {proxy} expired " in err
    assert mixed("--sync").status == 0 and find_wrong(mixed, folder) == []


@pytest.mark.long
def test_a_proxy_that_is_just_being_written_ends_no_run(mixed, folder, tmp_path):
    proxy = tmp_path / "proxy"
    shutil.copy(mixed.grid.pki.proxy("good"), proxy)
    text = proxy.read_bytes()
    mixed.grid.robot.hold()
    with mixed.running("--sync", "check = 0.1", X509_USER_PROXY=str(proxy)) as process:
        wait_until(lambda: count_rows(mixed, "downloaded") == 4)
        with open(proxy, "wb", buffering=0) as file:
            file.write(text[:500])
            time.sleep(0.4)
            file.write(text[500:])
        mixed.grid.robot.go()
        assert wait_for(process).status == 0


@pytest.mark.parametrize("engine", ["http", "gfal2"])
@pytest.mark.parametrize(("kind", "expected"), [("good", 0), ("other_vo", 3)])
def test_another_proxy_in_the_same_place_is_taken_up(mixed, folder, tmp_path, engine, kind, expected):
    # That the new one is really shown can be seen only of one that the door refuses.
    mixed.set("ENGINE", engine)
    proxy = tmp_path / "proxy"
    shutil.copy(mixed.grid.pki.proxy("good"), proxy)
    mixed.grid.robot.hold()
    try:
        with mixed.running("--sync", X509_USER_PROXY=str(proxy)) as process:
            wait_until(lambda: count_rows(mixed, "downloaded") == 4)
            os.replace(shutil.copy(mixed.grid.pki.proxy(kind), tmp_path / "new"), proxy)
            mixed.grid.robot.go()
            status, _, err = wait_for(process)
    finally:
        mixed.grid.robot.go()
    assert status == expected, err
    assert (find_wrong(mixed, folder) == []) is (kind == "good")


@pytest.mark.parametrize("line", ["--sync", "--build_list --bring_online", "--build_list --start"])
def test_a_proxy_that_ends_soon_is_announced_with_the_hour(mixed, line):
    proxy = mixed.grid.pki.proxy("short")
    says = read_proxy(str(proxy))
    err = mixed(line, X509_USER_PROXY=str(proxy)).err
    when = moment_text(min(says.ends, says.attribute_ends))
    assert f"Your proxy is valid until {when} (1h5" in err and "; renew it in time, even during a run" in err
    assert "valid until" not in mixed(f"{line} --quiet", X509_USER_PROXY=str(proxy)).err
    assert "valid until" not in mixed(line).err


@pytest.mark.parametrize("is_renewed", [True, False])
def test_a_token_that_ends_is_read_again_or_ends_the_run_with_3(mixed, folder, tmp_path, is_renewed):
    token = tmp_path / "token"
    write_secret(token, mixed.grid.door.token(4))
    mixed.set("TOKEN", f"file:{token}")
    mixed.grid.robot.hold()
    try:
        with mixed.running("--sync") as process:
            wait_until(lambda: count_rows(mixed, "downloaded") == 4)
            if is_renewed:
                token.write_text(mixed.grid.door.token(600))
                time.sleep(4)
                mixed.grid.robot.go()
            status, _, err = wait_for(process)
    finally:
        mixed.grid.robot.go()
    assert "Your token is valid until " in err
    assert status == (0 if is_renewed else 3), err
    assert is_renewed or f"gridsync.py: the token from file:{token} expired 0m0" in err


def test_both_flows_are_on_the_screen(mixed, folder):
    staging, robot = mixed.grid.door.staging, mixed.grid.robot
    staging.requests.clear()  # of other tests
    robot.hold()

    def let_go() -> None:
        try:
            wait_until(lambda: staging.requests)
            time.sleep(1)  # in which it is shown
        finally:
            robot.go()

    going = threading.Thread(target=let_go)
    going.start()
    status, text = on_terminal(mixed.command("--sync"), mixed.env)
    going.join()
    assert status == 0
    assert "Tape: 0 waiting, 5 staging at " in text
    assert "Copied files: 9/9, current: 0.0 B, total: 3.5 MB/3.5 MB, rate=" in text


def test_a_dry_sync_changes_nothing_and_says_what_would_be_done(mixed, folder):
    status, out, _ = mixed("--sync --dry_run")
    assert status == 0 and "(DRY RUN) would ask for 5 files" in out and "(DRY RUN) would copy 9 files" in out
    assert mixed.files() == [] and not (mixed.folder / "grid_summary.csv").exists()
    assert not mixed.grid.door.staging.pins(f"agata/{folder}/tape/0")


def test_sync_without_a_folder_says_how_to_choose_one(user):
    status, _, err = user("--sync")
    assert status == 2 and "no folder is chosen; give one with --input_dir=path" in err


@pytest.mark.long
def test_a_name_that_appears_at_the_site_joins_in(mixed, folder):
    mixed.grid.robot.hold()
    late = threading.Timer(2, lambda: mixed.grid.robot.go())
    try:
        with mixed.running("--sync", "list = 1") as process:
            wait_until(lambda: count_rows(mixed, "downloaded") == 4)
            mixed.grid.tree.add(f"agata/{folder}/new", 1000)
            wait_until(lambda: f"{folder}/new" in mixed.files())
            late.start()
            assert "Copied: 10, " in wait_for(process).out
    finally:
        mixed.grid.robot.go()
    assert find_wrong(mixed, folder) == []


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[User]:
    """A user of a grid whose tape takes as long for 30 files as the line does: 30 seconds."""
    with Grid(drives=1, seconds=1.0) as grid:
        for number in range(60):
            grid.tree.add(f"agata/{'tape' if number < 30 else 'disk'}/{number:02d}", 1_000_000, tape=number < 30)
        grid.door.switches.bandwidth = 1_000_000
        user = User(grid, tmp_path)
        user.limit = 120
        user.set("THREADS", "1", "gridsync")
        yield user


@pytest.mark.long
def test_tape_and_line_together_take_as_long_as_one_of_them(slow):
    began = time.monotonic()
    assert slow("--input_dir disk --build_list --start").status == 0
    line = time.monotonic() - began
    began = time.monotonic()
    assert slow("--input_dir tape --sync").status == 0
    together = time.monotonic() - began
    tape = 30 * slow.grid.robot.seconds
    ratio = together / max(tape, line)
    print(f"tape {tape:.1f} s, line {line:.1f} s, both {together:.1f} s: {ratio:.2f} times the longer")
    assert ratio <= 1.2
