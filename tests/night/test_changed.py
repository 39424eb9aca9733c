"""Files that change at a site whose door knows no checksums: never half of the one and half of the other."""

from __future__ import annotations

import os

import pytest

from gridsync_parts.disk import MARK, disk_usage
from gridsync_parts.segments import SHORTEST
from tests.support.user import User, count_rows, find_wrong, wait_for, wait_until

MB = 1 << 20
SIZE = 2 * SHORTEST + 5


@pytest.fixture(params=["http", "gfal2"])
def bare(request: pytest.FixtureRequest, user: User, folder: str) -> User:
    """A user with a list of one large file of a door that sends no redirects and knows no checksums."""
    user.set("ENGINE", request.param, "CNAF")
    put(user, folder, day=1)
    assert user(f"--from CNAF --input_dir {folder} --build_list").status == 0
    return user


def put(user: User, folder: str, day: int) -> None:
    """Another file of the same name and size, of another day."""
    user.grid.tree.add(f"agata/{folder}/x", SIZE, mtime=86400 * day, checksums=()).start += day


def is_right(user: User, folder: str) -> bool:
    return (user.data / folder / "x").read_bytes() == user.grid.tree.expected(f"agata/{folder}/x")


@pytest.mark.long
@pytest.mark.parametrize("streams", [1, 2])
def test_what_is_here_of_an_older_version_is_not_gone_on_from(bare, folder, streams):
    bare.grid.storm.switches.bandwidth = 20 * MB
    try:
        with bare.running(f"--start --streams {streams}", "NOTE = 1 << 20") as run:
            part = bare.data / folder / f"x{MARK}"
            wait_until(lambda: part.exists() and disk_usage(str(part)) > 6 * MB)
            run.kill()
    finally:
        bare.grid.storm.switches.bandwidth = 0
    put(bare, folder, day=2)
    assert bare(f"--start --streams {streams}").status == 0
    assert is_right(bare, folder)


@pytest.mark.long
def test_nor_is_what_one_stream_has_brought_before_another_was_repeated(bare, folder):
    bare.grid.storm.switches.bandwidth = 20 * MB
    bare.grid.storm.faults.add("*/x", "truncate", count=1)  # half a stream later than the file changes
    try:
        with bare.running("--start --streams 2") as run:
            part = bare.data / folder / f"x{MARK}"
            wait_until(lambda: part.exists() and disk_usage(str(part)) > 6 * MB)
            put(bare, folder, day=2)
            bare.grid.storm.switches.bandwidth = 0
            _, err = run.communicate(timeout=60)
    finally:
        bare.grid.storm.switches.bandwidth = 0
        bare.grid.storm.faults.clear()
    assert run.returncode in (0, 1), err
    if run.returncode:
        assert "changed at the site while" in err or "bytes now" in err
        assert bare("--start").status == 0
    content = (bare.data / folder / "x").read_bytes()
    versions = [content == bare.grid.tree.expected(f"agata/{folder}/x")]
    put(bare, folder, day=1)
    versions.append(content == bare.grid.tree.expected(f"agata/{folder}/x"))
    assert any(versions)


@pytest.mark.parametrize("option", ["", "--nochecksum"])
def test_a_copy_of_an_older_version_is_not_adopted_by_its_size(bare, folder, option):
    assert bare("--start").status == 0
    put(bare, folder, day=2)
    status, out, err = bare(f"--build_list --start {option}")
    assert status == 1 and "a different local file has this name" in err and "skipped: 0, failed: 1" in out
    assert bare("--start --overwrite").status == 0 and is_right(bare, folder)


def test_a_file_of_another_time_is_adopted_by_its_size_only_if_it_is_wished_so(bare, folder):
    """As other programs leave them, with the time of the copy."""
    there = bare.data / folder / "x"
    there.parent.mkdir(parents=True)
    there.write_bytes(bare.grid.tree.expected(f"agata/{folder}/x"))
    assert bare("--start").status == 1
    assert bare("--start --nochecksum").status == 0 and os.stat(there).st_mtime == 86400


def test_a_file_that_changes_while_sync_copies_it_is_not_taken_for_the_new_one(mixed, folder):
    door, path = mixed.grid.door, f"{folder}/disk/3"
    fault = door.faults.add(f"*/{path}", "drip", role="pool", speed=800_000, count=1)
    try:
        with mixed.running("--sync", "list = 1; file = Backoff(1, 1, 60)") as process:
            wait_until(lambda: fault.hits and count_rows(mixed, "downloaded") == 8)
            old = mixed.grid.tree.file(f"agata/{path}")
            new = mixed.grid.tree.add(f"agata/{path}", old.size + 500_000, mtime=old.mtime + 5)
            new.start = old.start + 7
            wait_until(lambda: mixed.catalog()[path]["mtime"].endswith("05Z"))
            door.down()  # the old one can't come to its end any more
            door.up()
            status, _, err = wait_for(process)
    finally:
        door.faults.clear()
    assert status == 0 and find_wrong(mixed, folder) == [], err
