"""Large catalogs: many files listed, staged, released and taken over, and many rows in one work folder.

FILES=100000 ROWS=1000000 /usr/bin/python3 -m pytest -rP -n 0 tests/night/test_large.py      in full, some minutes
"""

from __future__ import annotations

import itertools
import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from gridsync_parts.catalog import Catalog, Lock
from gridsync_parts.disk import MARK
from gridsync_parts.values import Locality, Row
from tests.grid import Grid
from tests.grid.door import Switches
from tests.grid.web import Log, Record, Reply, Request, Server, Stream
from tests.support.user import Result, User, wait_until

pytestmark = pytest.mark.long

FILES, EACH = int(os.environ.get("FILES", "30000")), 50
FOLDERS = FILES // EACH
ROWS = int(os.environ.get("ROWS", "300000"))
MEMORY = 70 + FILES / 550  # MB that a run on so many files may take,
ROWS_MEMORY = 70 + ROWS / 1600  # and one beside so many rows, in MB,
CROWDED_MEMORY = 70 + ROWS / 1100  # or one that lists so many, all in one folder
LIMIT = 900  # seconds for one command, so that one that hangs ends
STAGE = "/api/v1/tape/stage"


def measured(user: User, line: str, memory: float = MEMORY) -> Result:
    """Run a command line; too much memory is a failure, and what it took is printed for pytest -rP."""
    began = time.monotonic()
    result, most = user.measure(line)
    print(f"{line}: {time.monotonic() - began:.1f} s, {most:.0f} MB")
    assert most < memory
    return result


# == Many files =========================================================================================


class Listed(NamedTuple):
    """A user who has listed the files, what was printed then, and what the door was asked for."""

    user: User
    result: Result
    asked: list[Record]
    at_once: int


@pytest.fixture(scope="module")
def listing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listed]:
    """Files on tape, listed once; on a grid of their own, as its robot has to be quick."""
    with Grid(drives=FILES, seconds=0) as grid:
        for number in range(FILES):
            grid.tree.add(f"agata/many/{number % FOLDERS:04d}/{number // FOLDERS:02d}", 10 + number % 7, tape=True)
        user = User(grid, tmp_path_factory.mktemp("many"))
        user.limit = LIMIT
        grid.door.switches.latency = 0.01  # so that requests would meet, were there too many at once
        result = measured(user, "--input_dir many --build_list")
        grid.door.switches.latency = 0
        log = grid.door.log
        shutil.copy(user.folder / "grid_summary.csv", user.folder / "listed.csv")
        yield Listed(user, result, list(log), log.most_at_once(method="PROPFIND"))
        shutil.rmtree(user.data, ignore_errors=True)


@pytest.fixture
def many(listing: Listed) -> User:
    """The user as after the listing, and an empty log."""
    shutil.copy(listing.user.folder / "listed.csv", listing.user.folder / "grid_summary.csv")
    listing.user.grid.door.log.clear()
    return listing.user


def test_listing_many_folders_asks_once_for_each_and_for_eight_at_a_time(listing):
    listed = Counter(record.path.rstrip("/") for record in listing.asked if record.method == "PROPFIND")
    assert listed == Counter(["/agata/many", *(f"/agata/many/{number:04d}" for number in range(FOLDERS))])
    assert listing.at_once == 8


def test_a_listing_of_many_files_has_each_once_and_shows_how_far_it_is(listing):
    assert listing.result.status == 0 and f"[catalog] rows: {FILES}\n" in listing.result.out
    rows = list(Catalog(str(listing.user.folder)).all())
    assert len(rows) == len({row.path for row in rows}) == FILES
    assert re.search(r"^Listing: \d+ folders, \d+ files, [\d.]+ [kM]?B", listing.result.err, re.MULTILINE)


def test_where_many_files_are_is_asked_for_500_at_a_time(many):
    assert measured(many, "--check_status").status == 0
    assert many.grid.door.log.count(role="tape") == FILES / 500


def test_where_many_files_are_is_seen_in_one_listing_of_each_folder_when_no_tape_service_tells(many, tmp_path):
    user = User(many.grid, tmp_path)
    user.set("TAPE_API", "none")
    shutil.copy(many.folder / "listed.csv", tmp_path / "grid_summary.csv")
    assert user("--input_dir many --exc 0000/00 --start --dry_run").status == 0  # 500 rows end within a folder
    listed = Counter(record.path for record in many.grid.door.log.matching(method="PROPFIND"))
    assert len(listed) == FOLDERS and set(listed.values()) == {1}


def test_many_files_are_staged_and_released_200_at_a_time_and_none_twice(many):
    door, staging, robot = many.grid.door, many.grid.door.staging, many.grid.robot
    paths = [path for path in many.grid.tree.files("agata/many")]
    robot.hold()
    assert f"launched for {FILES} file(s)" in measured(many, "--bring_online").out
    assert door.log.count(path=STAGE) == FILES / 200
    assert all(len(request.targets) <= 200 for request in staging.requests.values())
    assert {row["request"] for row in many.catalog().values()} == set(staging.requests)

    assert "launched for 0 file(s)" in measured(many, "--bring_online").out
    robot.go()
    wait_until(lambda: all(staging.pins(path) for path in paths), LIMIT)
    assert "launched for 0 file(s)" in measured(many, "--bring_online").out
    assert door.log.count(path=STAGE) == FILES / 200

    door.log.clear()
    assert f"accepted for {FILES} file(s)" in measured(many, "--release").out
    assert len([record for record in door.log if "/release/" in record.path]) == FILES / 200
    assert not any(staging.pins(path) for path in paths)
    assert {row["request"] for row in many.catalog().values()} == {""}


def test_many_files_that_are_here_are_taken_over_once_and_nothing_is_fetched(many):
    for path in many.grid.tree.files("agata/many"):
        here = many.data / path.removeprefix("agata/")
        here.parent.mkdir(parents=True, exist_ok=True)
        here.write_bytes(many.grid.tree.expected(path))
    result = measured(many, "--start")
    assert result.status == 0 and f"Copied: 0, skipped: {FILES}, failed: 0" in result.out
    assert not [record for record in many.grid.door.log.matching(method="GET") if "/many/" in record.path]

    many.grid.door.log.clear()
    result = measured(many, "--start")
    assert result.status == 0 and f"Copied: 0, skipped: {FILES}, failed: 0" in result.out
    assert many.grid.door.log.count() == 0


# == Many rows ==========================================================================================


def filled(folder: Path) -> str:
    """A catalog of several sites and input folders, all of it here, in the order in which gridsync.py writes it."""
    lines = [",".join(Row._fields)]
    for number in range(ROWS):
        site, rest = divmod(number, ROWS // 2)
        lines.append(
            f"run_{rest // 50_000:02d}/{rest // 100 % 500:03d}/event_{rest % 100:02d}.cdat,{1000 + rest},"
            f"2015-06-09T08:22:00Z,adler32:{number:08x},NEARLINE,yes,adler32,,{('CNAF', 'LYON')[site]},,"
        )
    text = "\n".join([*lines, ""])
    (folder / "grid_summary.csv").write_text(text)
    return text


def test_a_small_folder_in_a_large_catalog_leaves_all_others_as_they_are(user, folder):
    for name in "abc":
        user.grid.tree.add(f"agata/{folder}/{name}", 10)
    before = filled(user.folder)
    user.limit = LIMIT
    for _ in range(2):
        result = measured(user, f"--input_dir {folder} --build_list", ROWS_MEMORY)
        assert result.status == 0 and "[catalog] rows: 3\n" in result.out
    result = measured(user, "--start", ROWS_MEMORY)
    assert result.status == 0 and "Copied: 3, skipped: 0, failed: 0" in result.out
    lines = (user.folder / "grid_summary.csv").read_text().splitlines(keepends=True)
    mine = [line for line in lines if line.startswith(f"{folder}/")]
    assert len(mine) == 3 and all(",yes,adler32,,LYON," in line for line in mine)
    assert "".join(line for line in lines if not line.startswith(f"{folder}/")) == before
    (user.folder / "grid_summary.csv").unlink()  # pytest would keep it


LISTED = """<d:response>
<d:href>/agata/run/event_mezzdata_with_a_name_as_long_as_they_are_at_times_{0:07d}.adf</d:href>
<d:propstat><d:prop>
<d:resourcetype/><d:getcontentlength>{0}</d:getcontentlength><d:getlastmodified>Tue, 09 Jun 2015 12:{1:02d}:{2:02d} GMT\
</d:getlastmodified><s:FileLocality>ONLINE</s:FileLocality><c:Checksums>adler32={0:08x}</c:Checksums>
</d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat>
<d:propstat><d:prop>
<Checksum/>
</d:prop><d:status>HTTP/1.1 404 Not Found</d:status></d:propstat>
</d:response>
"""
LISTING = """<?xml version="1.0"?><d:multistatus xmlns:d="DAV:" xmlns:s="http://srm.lbl.gov/StorageResourceManager"
xmlns:c="http://www.dcache.org/2013/webdav"><d:response><d:href>/agata/run/</d:href><d:propstat><d:prop><d:resourcetype>
<d:collection/></d:resourcetype></d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response>"""


def crowded(request: Request) -> Reply:
    """A door with ROWS files in one folder, and nothing else."""
    if request.method != "PROPFIND":
        return Reply(404)
    some = range(0, ROWS, 1000)
    files = ("".join(LISTED.format(n, n // 60 % 60, n % 60) for n in range(at, at + 1000)).encode() for at in some)
    pieces = itertools.chain([LISTING.encode()], files, [b"</d:multistatus>"])
    return Reply(207, Stream(10**12, pieces), chunked=True)


def test_a_folder_of_many_files_is_listed(user):
    server = Server("crowded", None, Log(), Switches(), crowded)
    server.start()
    user.set("SERVER", server.url)
    user.limit = LIMIT
    try:
        result = measured(user, "--input_dir run --build_list", CROWDED_MEMORY)
    finally:
        server.stop()
    assert result.status == 0 and f"[catalog] rows: {ROWS}\n" in result.out
    (user.folder / "grid_summary.csv").unlink()


# == Killed while the catalog is written ================================================================

KEPT, CHANGED = 30_000, 500
WRITER = """
import sys
from gridsync_parts.catalog import Catalog
catalog = Catalog(sys.argv[1])
rows = list(catalog.all())
for turn in range(1, 10**6):
    for at in range(0, len(rows), int(sys.argv[2])):
        catalog.put(row._replace(request=f"r{turn}") for row in rows[at : at + int(sys.argv[2])])
        print(turn, at, flush=True)
    catalog.save()
"""
MOMENTS = [random.Random(seed).uniform(0, 1.2) for seed in range(20)]  # seconds; a turn takes about one


def test_a_kill_at_any_moment_of_writing_the_catalog_loses_no_row_and_no_change(tmp_path):
    row = Row("", 10, 0, "", Locality.NEARLINE, True, "size", "r0", "LYON", "a reason, in quotes")
    paths = [f"run/{number:06d}" for number in range(KEPT)]
    Catalog(str(tmp_path)).replace(row._replace(path=path) for path in paths)
    command = [sys.executable, "-c", WRITER, str(tmp_path), str(CHANGED)]
    for moment in MOMENTS:
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout and writer.stdout.readline()
            with pytest.raises(subprocess.TimeoutExpired):
                writer.wait(moment)
            writer.kill()
            said = [line for line in writer.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
        rows = Catalog(str(tmp_path)).of("LYON")
        assert [row.path for row in rows] == paths
        assert list(Catalog(str(tmp_path)).rows) == ["LYON"]
        turn, at = map(int, said[-1].split()) if said else (1, 0)
        assert all(int(row.request[1:]) >= turn for row in rows[: at + CHANGED])


def test_a_catalog_that_was_being_written_leaves_no_litter_behind(tmp_path):
    """A file beside it is as large as the catalog; every kill would leave one more."""
    (tmp_path / f"grid_summary.csv.4194305{MARK}").write_text("path,size")  # a process of this number can't be
    (tmp_path / "grid_summary.csv.old").write_text("kept")
    with Lock(str(tmp_path)):
        Catalog(str(tmp_path)).replace([])
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["grid_summary.csv", "grid_summary.csv.lock", "grid_summary.csv.old"]
