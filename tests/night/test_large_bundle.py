"""Zips of deposits that are large, are killed often, or have no room."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

import pytest

from gridsync_parts.errors import GridError
from tests.support.bundles import CONTENTS, Deposit, kill_builders

pytestmark = pytest.mark.long


@pytest.fixture
def deposit(tmp_path: Path) -> Deposit:
    return Deposit(tmp_path / "data/5500")


def test_more_members_than_a_plain_zip_has(deposit):
    for number in range(66_000):
        (deposit.folder / f"{number:05d}").touch()
    deposit.make()
    with zipfile.ZipFile(deposit.file) as archive:
        assert len(archive.namelist()) == 66_000 + len(CONTENTS)
    assert subprocess.run(["unzip", "-tqq", str(deposit.file)], check=False).returncode == 0


def test_a_member_larger_than_a_plain_zip_has(deposit):
    large = (1 << 32) + 5
    with open(deposit.folder / "b", "wb") as file:
        file.truncate(large)
        file.seek(-3, 2)
        file.write(b"end")
    try:
        local = deposit.make()
        with zipfile.ZipFile(deposit.file) as archive:
            assert [archive.getinfo(name).file_size for name in ("a", "b")] == [3, large]
            assert archive.getinfo("in/b").header_offset > large
            assert archive.read("in/deep/é") == CONTENTS["in/deep/é"]
        assert subprocess.run(["unzip", "-tqq", str(deposit.file)], check=False).returncode == 0
        said = subprocess.run(["md5sum", str(deposit.file)], capture_output=True, text=True, check=True).stdout
        assert local.checksum == f"md5:{said.split()[0]}"
    finally:
        deposit.file.unlink(missing_ok=True)  # it is as large, and the folders of some runs are kept


def test_killed_at_many_moments_it_is_finished_or_gone_in_the_next_run(deposit):
    kill_builders(deposit, 60)


def test_a_disk_without_room_keeps_nothing_of_it(disk):
    deposit = Deposit(disk.inside / "data/5500")
    disk.fill(leave=1 << 20)
    with pytest.raises(GridError, match="room"):
        deposit.make()
    assert deposit.beside() == ["5500"]
    disk.make_room()
    deposit.make()
    assert deposit.members() == CONTENTS


def test_a_disk_that_fills_meanwhile_keeps_nothing_of_it(disk):
    deposit = Deposit(disk.inside / "data/5500")
    with pytest.raises(GridError, match=r"room|space"):
        deposit.make(lambda here, came: None if (disk.inside / "hog").exists() else disk.fill())
    assert deposit.beside() == ["5500"] and (disk.inside / "hog").exists()
    disk.make_room()
    deposit.again()
    assert deposit.members() == CONTENTS
