"""A work folder of gridsync 0.1, in which this one goes on: with files as 0.1 has written them until it was killed."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest

from tests.support.user import User

CONF = """\
# Settings of gridsync. Those given on the command line are remembered here;
# comments and keys that gridsync does not know are kept.

[gridsync]
# The site to read from: the name of a section below.
SITE = LYON
INPUTDIR = {folder}
OUTPUTDIR = {data}
INCLUDE =
EXCLUDE = .*[.]adf
THREADS = 2
STREAMS = 1
VO = vo.agata.org
PROXY_HOURS = 72
PIN_DAYS = 7
RETRIES = 1

[LYON]
SERVER = {door}/
BASE_DIR_ON_GRID = agata/
FIRST_BYTE = 300
"""
HEADER = "path,size,mtime,checksum,locality,downloaded,verified,request,site,error\n"
AFTER_BUILD_LIST = ("ONLINE,no,,,LYON,", "ONLINE,no,,,LYON,", "ONLINE,no,,,LYON,", "NEARLINE,no,,,LYON,")
NAMES = {"a": 20_000, "big": 3_000_000, "sub/b": 5, "tape": 3_000}


@pytest.fixture
def earlier(user: User, folder: str) -> User:
    """Two of four files have come, one is halfway here, one on tape. The last row of a file counts."""
    rows = []
    for (name, size), known in zip(NAMES.items(), AFTER_BUILD_LIST):
        user.grid.tree.add(f"agata/{folder}/{name}", size, tape=known.startswith("NEARLINE"))
        digest = zlib.adler32(user.grid.tree.expected(f"agata/{folder}/{name}"))
        rows.append(f"{folder}/{name},{size},2015-06-09T12:00:00Z,adler32:{digest:08x},{known}\n")
    rows += [rows[number].replace(",no,,", ",yes,adler32,") for number in (0, 2)]
    (user.folder / "grid_summary.csv").write_text(HEADER + "".join(rows) + rows[1][:20])  # the last line is cut
    (user.folder / "grid_summary.csv.lock").write_text("12345 on thishost since today\n")
    (user.folder / "grid_folders.txt").write_text(f"LYON\t{folder}/sub\n")
    door = user.grid.door.url.rstrip("/")
    (user.folder / "Grid.conf").write_text(CONF.format(folder=folder, data=user.data, door=door))
    for name, part in (("a", ""), ("sub/b", ""), ("big", ".part")):
        path = user.data / folder / f"{name}{part}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(user.grid.tree.expected(f"agata/{folder}/{name}")[: 1_000_000 if part else None])
    return user


def test_what_is_here_stays_and_the_rest_comes(earlier: User, folder: str):
    settings = earlier("--show_conf --json")
    assert settings.status == 0 and settings.err == ""
    earlier.grid.door.log.clear()
    status, out, err = earlier("--sync")
    assert status == 0 and "Copied: 2, skipped: 2, failed: 0, waiting on tape: 0" in out, out + err
    left = earlier.data / folder / "big.part"
    assert f"{left} may come from an earlier gridsync or be yours; it is left alone" in err
    assert left.stat().st_size == 1_000_000
    fetched = {Path(record.path).name for record in earlier.grid.door.log.matching(role="pool", method="GET")}
    assert fetched == {"big", "tape"}
    for name in NAMES:
        assert (earlier.data / folder / name).read_bytes() == earlier.grid.tree.expected(f"agata/{folder}/{name}")
    rows = [(row["downloaded"], row["verified"], row["computed"]) for row in earlier.catalog().values()]
    assert rows == [("yes", "adler32", "")] * 4
    assert "Verified: 4, damaged: 0" in earlier("--verify").out


def test_its_settings_hold_and_its_comments_stay(earlier: User, folder: str):
    text = (earlier.folder / "Grid.conf").read_text()
    earlier.grid.tree.add(f"agata/{folder}/left.adf", 10)
    listed = earlier("--build_list")
    assert listed.status == 0 and listed.err == "" and "rows: 4" in listed.out
    assert (earlier.folder / "Grid.conf").read_text() == text
    assert earlier("--threads 3").status == 0
    assert (earlier.folder / "Grid.conf").read_text() == text.replace("THREADS = 2", "THREADS = 3")


def test_step_by_step_the_statuses_are_those_of_before(earlier: User):
    statuses = [earlier(line).status for line in ("--check_status", "--start", "--overwrit", "--sync")]
    assert statuses == [0, 1, 2, 0]
