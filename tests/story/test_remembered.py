"""When settings of the command line get into Grid.conf, and what is said of it."""

from __future__ import annotations

import fcntl
import subprocess
from pathlib import Path

import pytest

from gridsync_parts.settings import Config
from tests.support.user import User, wait_until, write_secret

GIVEN = {
    "SITE": "--from=CNAF",
    "INPUTDIR": "--input_dir=somewhere",
    "OUTPUTDIR": "--output_dir=/tmp/else",
    "INCLUDE": "--inc=a.*",
    "EXCLUDE": "--exc=b.*",
    "THREADS": "--threads=3",
    "STREAMS": "--streams=2",
}


def value(user: User, key: str) -> str:
    return Config(str(user.folder)).general(key, "")


@pytest.fixture
def listed(user: User, folder: str) -> User:
    """A user who has a list of two files."""
    for name in ("a", "b"):
        user.grid.tree.add(f"agata/{folder}/{name}", 1000)
    assert user(f"--input_dir {folder} --build_list").status == 0
    return user


REFUSED = {
    "--input_dir {folder}/nothing --build_list": 2,
    "--input_dir {folder}/nothing --threads 3 --build_list --start": 2,
    "--input_dir {folder}/nothing --sync": 2,
    "--exc .* --build_list": 2,
    "--exc .* --sync": 2,
    "--inc ^zz --start": 2,
    "--inc ^zz --verify": 2,
    "--inc ^zz --bring_online": 2,
    "--inc ^zz --check_status": 2,
    "--from CNAF --ls_dir {folder}/nothing": 2,
    "--threads 3 --ls_dir {folder}/nothing": 2,
    "--threads 3 --show_conf --inc [": 2,
    "--threads 33 --streams 2": 2,
    "--from CNAF --threads 3 --start": 2,
    "--output_dir /proc/nothing --overwrite --start": 5,
    "--output_dir /proc/nothing --sync": 5,
    "--threads 3 --dry_run --start": 0,
    "--threads 3 --dry_run": 0,
}


@pytest.mark.parametrize("line", REFUSED)
def test_a_refused_line_changes_nothing(listed: User, folder, line):
    before = (listed.folder / "Grid.conf").read_bytes()
    status, _, err = listed(line.format(folder=folder))
    assert status == REFUSED[line], err
    assert (listed.folder / "Grid.conf").read_bytes() == before
    assert "remembered" not in err


def test_without_a_proxy_nothing_is_remembered(listed: User, folder, tmp_path):
    before = (listed.folder / "Grid.conf").read_bytes()
    expired = str(listed.grid.pki.proxy("expired"))
    for line in ("--from CNAF --ls_dir", "--inc a --build_list", "--threads 3 --sync", "--threads 3 --proxy_status"):
        assert listed(line, X509_USER_PROXY=expired).status == 3
    assert (listed.folder / "Grid.conf").read_bytes() == before


def test_of_a_door_that_is_down_nothing_is_remembered(listed: User, folder):
    listed.set("SERVER", "https://localhost:1/", "CNAF")
    before = (listed.folder / "Grid.conf").read_bytes()
    assert listed("--from CNAF --ls_dir").status == 4
    assert (listed.folder / "Grid.conf").read_bytes() == before


@pytest.mark.parametrize("action", ["build_list", "start", "sync", "check_status", "verify", "bring_online", "release"])
def test_while_another_run_is_at_work_nothing_is_remembered(listed: User, action):
    before = (listed.folder / "Grid.conf").read_bytes()
    with open(listed.folder / "grid_summary.csv.lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "remembered" not in listed(f"--inc a --threads 3 --{action}").err
    assert (listed.folder / "Grid.conf").read_bytes() == before


def test_each_setting_waits_for_the_first_action_that_goes_by_it(user: User, folder):
    user.grid.tree.add(f"agata/{folder}/a", 1000)
    before = value(user, "OUTPUTDIR")
    status, _, err = user(f"--input_dir {folder} --output_dir /proc/nothing --threads 3 --build_list --start")
    assert status == 5 and f"remembered: INPUTDIR = {folder}\n" in err
    assert (value(user, "INPUTDIR"), value(user, "OUTPUTDIR"), value(user, "THREADS")) == (folder, before, "")


def test_a_setting_that_no_action_goes_by_is_remembered_with_the_first(listed: User, folder):
    status, _, err = listed(f"--threads 3 --ls_dir {folder}")
    assert (status, err, value(listed, "THREADS")) == (0, "remembered: THREADS = 3\n", "3")


@pytest.mark.parametrize("line", ["--start", "--sync"])
def test_what_was_accepted_is_remembered_while_it_lasts(listed: User, folder, line):
    listed.grid.tree.add(f"agata/{folder}/big", 30_000_000)
    assert listed("--build_list").status == 0
    listed.grid.door.faults.add("*/big", "drip", speed=1e6)
    try:
        with listed.running(f"{line} --threads 3"):
            wait_until(lambda: value(listed, "THREADS") == "3")
    finally:
        listed.grid.door.faults.clear()


def test_a_line_without_an_action_remembers_at_once_and_asks_no_site(user: User):
    user.grid.door.log.clear()
    status, _, err = user(" ".join(GIVEN.values()))
    assert status == 0
    told = {key: option.partition("=")[2] for key, option in GIVEN.items()}
    assert {key: value(user, key) for key in GIVEN} == told
    assert user.grid.door.log.count() == 0
    said = {key: f"remembered: {key} = {text}" for key, text in told.items()}
    said["SITE"] += " (was LYON)"
    said["OUTPUTDIR"] += f" (was {user.data})"
    assert sorted(err.splitlines()) == sorted(said.values())


def test_what_is_remembered_is_said_once(user: User):
    assert user("--threads 4").err == "remembered: THREADS = 4\n"
    assert user("--threads 3 --show_conf").err == "remembered: THREADS = 3 (was 4)\n"
    assert user("--threads 3").err == ""
    assert user("--inc a").err == "remembered: INCLUDE = a\n"
    assert user("--inc none").err == "remembered: INCLUDE = none (was a)\n"
    assert user("--inc none").err == ""
    assert user("--threads 5 --quiet").err == user("--threads 6 --json --show_conf").err == ""
    assert value(user, "THREADS") == "6"


def test_nothing_is_said_of_the_defaults(user: User, tmp_path):
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    assert user("--show_conf", GRIDSYNC_DIR=str(fresh)).err == ""
    assert (fresh / "Grid.conf").exists()


@pytest.mark.long
def test_runs_side_by_side_lose_no_setting_of_one_another(user: User):
    for _ in range(5):
        (user.folder / "Grid.conf").unlink()
        runs = [
            subprocess.Popen(user.command(option), env=user.env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            for option in GIVEN.values()
        ]
        errors = [run.communicate(timeout=60)[1].decode() for run in runs]
        assert [run.returncode for run in runs] == [0] * len(runs), errors
        told = {key: option.partition("=")[2] for key, option in GIVEN.items()}
        assert {key: value(user, key) for key in GIVEN} == told
    assert not [path for path in user.folder.iterdir() if path.name[-1].isdigit()]


def test_what_another_run_has_changed_meanwhile_stays(listed: User, folder):
    listed.grid.door.faults.add(f"/agata/{folder}", "stall", seconds=3, count=1)
    try:
        with listed.running("--inc a --build_list") as run:
            wait_until(lambda: (listed.folder / "grid_summary.csv.lock").stat().st_size > 0)
            assert listed("--threads 3").status == 0
            assert run.wait(30) == 0
    finally:
        listed.grid.door.faults.clear()
    assert (value(listed, "INCLUDE"), value(listed, "THREADS")) == ("a", "3")


def test_two_settings_that_do_not_go_together_are_not_both_remembered(user: User):
    late = Config(str(user.folder))
    assert user("--threads 33").status == 0
    with pytest.raises(Exception, match="at most 64 connections"):
        late.save({"STREAMS": "2"})
    assert (value(user, "THREADS"), value(user, "STREAMS")) == ("33", "")


def test_a_link_in_place_of_the_lock_is_not_followed(user: User, tmp_path: Path):
    victim = tmp_path / "victim"
    write_secret(victim, "mine")
    (user.folder / "Grid.conf.lock").symlink_to(victim)
    status, _, err = user("--threads 3")
    assert status == 5 and "Grid.conf.lock cannot be locked" in err
    assert victim.read_text() == "mine"


def test_other_patterns_want_another_list(listed, folder):
    said = "the list may lack files that these patterns keep; --build_list builds it anew"
    assert said not in listed("--inc a --build_list").err
    assert said in listed("--inc none").err
    assert said not in listed("--inc none --start").err  # nothing has changed
    assert said not in listed("--exc b --sync").err
    assert said in listed("--exc none --check_status").err
