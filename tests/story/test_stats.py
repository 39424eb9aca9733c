"""--stats: what the file says of each file that was moved, at every door and both ways."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import socket
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from gridsync_parts.conf import with_setting
from gridsync_parts.stats import FIELDS, Line, lines_of
from tests.grid import Grid
from tests.story.doors import FILE, FOLDER, SET_UPS, VISITS, section
from tests.support.places import REPOSITORIES, WRITERS, hub_of, site_of, site_to_write
from tests.support.user import BIG, User, wait_for, wait_until

ENDINGS = pytest.mark.parametrize("name", ["s.jsonl", "s.csv"])


class Teller(User):
    """A user whose runs say what they do."""

    name = "s.jsonl"

    @property
    def stats(self) -> Path:
        return self.folder / self.name

    def said(self) -> list[Line]:
        """What the file says; each line has its times and its speed."""
        lines = lines_of(str(self.stats))
        found = list(lines)
        assert not lines.left_out
        for line in found:
            start, end = (datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ") for text in (line.start, line.end))
            assert (end - start).total_seconds() == pytest.approx(line.duration_s, abs=0.0021)
            assert line.host == socket.gethostname()
            assert line.rate_Bps == pytest.approx(line.bytes / line.duration_s if line.bytes else 0, rel=0.01)
            assert (line.error != "") is (line.status == "failed") and line.file_count is line.zip_used is None
        return found

    def told(self, *fields: str) -> list[tuple[object, ...]]:
        """The same, as far as a test wants it, and in one order."""
        return sorted(tuple(getattr(line, field) for field in fields) for line in self.said())


@pytest.fixture
def teller(grid: Grid, tmp_path: Path, folder: str) -> Teller:
    """One with three files at dCache."""
    teller = Teller(grid, tmp_path)
    for name, size in (("empty", 0), ("small", 20_000), ("sub/big", BIG)):
        grid.tree.add(f"agata/{folder}/{name}", size)
    teller.set("INPUTDIR", folder, "gridsync")
    return teller


def visitor(grid: Grid, folder: Path, pair: str, writes: bool) -> Teller:
    """One at a site of another kind."""
    user = Teller(grid, folder)
    site = (site_to_write if writes else site_of)(grid, pair)
    conf = (folder / "Grid.conf").read_text() + section("THERE", site)
    (folder / "Grid.conf").write_text(with_setting(conf, "gridsync", "SITE", "THERE"))
    user.limit = 200
    for word in pair.split():
        if word in SET_UPS:
            user.env.update(SET_UPS[word](grid, folder / "home"))
    if site.engine == "hub":
        user.env["JUPYTERHUB_API_TOKEN"] = hub_of(grid, site).token
    if "ftps" in pair:
        user.env.update(SET_UPS["ftps"](grid, folder / "home"))
    return user


@pytest.fixture
def file(grid: Grid) -> Iterator[str]:
    """A file that is on disk at each site."""
    for tree in (grid.tree, grid.hub.tree):
        with_tape = tree.file(f"agata/{FILE}")
        with_tape.locality = "ONLINE"
    yield FILE
    grid.tree.file(f"agata/{FILE}").locality = "NEARLINE"


# At every door.


@pytest.mark.parametrize("pair", [pair for pair, _ in VISITS.values() if not pair.startswith("opendata")])
def test_at_every_door_it_says_what_came_what_was_here_and_what_did_not_come(grid, tmp_path, file, pair):
    user = visitor(grid, tmp_path, pair, writes=False)
    assert user(f"--input_dir {FOLDER} --build_list").status == 0
    rows = [row for row in csv.reader((tmp_path / "grid_summary.csv").open()) if row[0] in ("path", file)]
    gone = [f"{FOLDER}/gone", *rows[1][1:]]
    with (tmp_path / "grid_summary.csv").open("w") as summary:
        csv.writer(summary).writerows([*rows, gone])
    for _ in range(2):
        done = user(f"--start --stats={user.stats}")
        assert done.status == 1 and "failed: 1" in done.out, done
    size, how = int(rows[1][1]), user.catalog()[file]["verified"]
    lines = user.said()
    assert [(line.status, line.attempts) for line in lines if line.key == file] == [("ok", 1), ("skipped", 0)]
    came = next(line for line in lines if line.status == "ok")
    assert (came.site, came.direction, came.bytes, came.size, came.verified) == ("THERE", "get", size, size, how)
    assert came.checksum.partition(":")[0] == (how if how != "size" else "adler32")
    failed = [line for line in lines if line.key == gone[0]]
    assert {(line.status, line.bytes, line.verified) for line in failed} == {("failed", 0, "")}
    assert failed[-1].error == user.catalog()[gone[0]]["error"]
    assert len(lines) == 2 + len(failed)


@pytest.mark.parametrize("pair", [pair for pair in WRITERS if pair not in REPOSITORIES])
def test_so_it_does_of_what_is_sent(grid, tmp_path, folder, pair):
    user = visitor(grid, tmp_path, pair, writes=True)
    for name, size in (("a", 10), ("sub/b", 300_000)):
        (tmp_path / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mine" / name).write_bytes(os.urandom(size))
    target = folder.replace("/", "_")
    for _ in range(2):
        done = user(f"--put {tmp_path}/mine --input_dir {target} --stats={user.stats}")
        assert done.status == 0, done
    (tmp_path / "mine/a").write_bytes(b"another one")
    assert user(f"--put {tmp_path}/mine --input_dir {target} --stats={user.stats}").status == 1
    of_a = [line for line in user.said() if line.key == f"{target}/a"]
    of_b = [line for line in user.said() if line.key == f"{target}/sub/b"]
    assert [line.status for line in of_a] == ["ok", "skipped", "failed"]
    assert [line.status for line in of_b] == ["ok", "skipped", "skipped"]
    assert {line.direction for line in of_a} == {"put"} and (of_b[0].bytes, of_b[0].size) == (300_000, 300_000)
    assert "another file has this name" in of_a[2].error and not of_a[2].bytes
    assert of_b[0].verified == ("size" if re.match("ssh|ftps|http wsgidav", pair) else of_b[0].checksum.split(":")[0])


@pytest.mark.parametrize("carrier", ["https", "root"])
def test_and_of_the_files_of_records(grid, tmp_path, portal, carrier):
    """At a portal the record itself is a file, too; one that is damaged there is fetched again in vain."""
    portal.add("5500", {"a.root": b"a" * 1000, "b.root": b"b" * 2000})
    portal.eos = portal.xrootd.root_url
    portal.alter("5500", "b.root", checksum="adler32:00000001")
    user = Teller(grid, tmp_path)
    keys = f"[OPEN]\nSERVER = {portal.server}\nENGINE = opendata\nBYTES = {carrier}\nSILENCE = 10\n"
    conf = f"[gridsync]\nSITE = OPEN\nINPUTDIR = 5500\nOUTPUTDIR = {user.data}\nRETRIES = 1\n\n{keys}"
    (tmp_path / "Grid.conf").write_text(conf)
    done = user(f"--build_list --start --stats={user.stats}")
    assert done.status == 1, done
    assert user.told("key", "site", "status", "attempts") == [
        ("5500/a.root", "OPEN", "ok", 1), ("5500/b.root", "OPEN", "failed", 1), ("5500/b.root", "OPEN", "failed", 2),
        ("5500/record.json", "OPEN", "ok", 1),
    ]  # fmt: skip
    failed = [line.error for line in user.said() if line.status == "failed"]
    assert all(error.startswith("5500/b.root: the door says adler32:00000001, but") for error in failed)
    assert {line.verified for line in user.said() if line.status == "ok"} == {"adler32"}


# What becomes of attempts.


@pytest.mark.parametrize("engine", ["http", "gfal2"])
def test_an_attempt_that_fails_has_a_line_of_its_own(teller, engine):
    teller.set("ENGINE", engine)
    teller.set("RETRIES", "2", "gridsync")
    teller.grid.door.faults.add("*/small", 503, method="GET", count=2)
    try:
        done = teller(f"--sync --stats={teller.stats}")
    finally:
        teller.grid.door.faults.clear()
    assert done.status == 0, done
    lines = [line for line in teller.said() if line.key.endswith("/small")]
    assert [(line.status, line.attempts) for line in lines] == [("failed", 1), ("failed", 2), ("ok", 3)]
    assert lines[0].key in lines[0].error and lines[0].end <= lines[1].start <= lines[2].start
    assert lines[2].bytes == lines[2].size == 20_000


def test_what_a_broken_attempt_has_brought_counts_and_only_the_rest_comes_in_the_next(teller):
    teller.grid.door.faults.add("*/big", "truncate", role="pool", count=1)
    try:
        assert teller(f"--sync --stats={teller.stats}").status == 0
    finally:
        teller.grid.door.faults.clear()
    first, second = [line for line in teller.said() if line.key.endswith("/big")]
    assert (first.status, second.status) == ("failed", "ok") and "bytes arrived" in first.error
    assert 0 < first.bytes < BIG and first.bytes + second.bytes == BIG


def test_a_file_that_is_given_up_is_failed_and_its_last_line_says_why(teller):
    teller.grid.door.faults.add("*/small", 503, method="GET")
    try:
        done = teller(f"--build_list --start --stats={teller.stats}")
    finally:
        teller.grid.door.faults.clear()
    assert done.status == 1 and "failed: 1" in done.out
    lines = [line for line in teller.said() if line.key.endswith("/small")]
    assert [line.attempts for line in lines] == [1, 2] and {line.status for line in lines} == {"failed"}
    assert lines[-1].error == teller.catalog()[lines[-1].key]["error"]
    assert teller.told("status").count(("ok",)) == 2


@pytest.mark.parametrize("door", ["dcache", "hub"])
def test_an_attempt_to_send_that_fails_has_one_too(grid, tmp_path, folder, door):
    user = visitor(grid, tmp_path, "hub alone" if door == "hub" else "http dcache", writes=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/a").write_bytes(b"a" * 1000)
    faults = grid.hub.faults if door == "hub" else grid.door.faults
    faults.add("*/a*", 503, method="PUT", count=1)
    try:
        done = user(f"--put {tmp_path}/mine --input_dir {folder.replace('/', '_')} --stats={user.stats}")
    finally:
        faults.clear()
    assert done.status == 0, done
    assert user.told("status", "attempts", "direction") == [("failed", 1, "put"), ("ok", 2, "put")]


def test_what_stays_on_tape_has_no_line_and_what_comes_from_there_has_one(mixed):
    stats = mixed.folder / "s.jsonl"
    assert mixed(f"--build_list --start --stats={stats}").status == 1
    assert {line.key.split("/")[-2] for line in lines_of(str(stats))} == {"disk"}
    assert mixed(f"--sync --stats={stats}").status == 0
    lines = list(lines_of(str(stats)))[4:]
    assert sorted((line.key.split("/")[-2], line.status) for line in lines) == [("disk", "skipped")] * 4 + [
        ("tape", "ok")
    ] * 5


def test_a_file_that_is_left_alone_is_failed_without_an_attempt(teller):
    assert teller("--build_list").status == 0
    (path,) = [path for path in teller.catalog() if path.endswith("/small")]
    other = teller.data / path
    other.parent.mkdir(parents=True)
    other.write_bytes(b"mine")
    assert teller(f"--start --stats={teller.stats}").status == 1
    (line,) = [line for line in teller.said() if line.status == "failed"]
    assert (line.key, line.attempts, line.bytes) == (path, 0, 0)
    assert "a different local file has this name" in line.error


def test_a_local_file_that_is_the_one_of_the_site_is_skipped(teller):
    assert teller("--sync").status == 0
    (teller.folder / "grid_summary.csv").unlink()
    assert teller(f"--sync --stats={teller.stats}").status == 0
    assert {(line.status, line.attempts, line.bytes) for line in teller.said()} == {("skipped", 1, 0)}


@pytest.mark.parametrize("how", ["Ctrl-C", "--max_duration=3"])
def test_an_attempt_that_is_ended_is_failed_with_what_it_has_brought(teller, how):
    teller.grid.door.faults.add("*/big", "drip", role="pool", speed=200_000)
    try:
        with teller.running(f"--sync --stats={teller.stats} {how.replace('Ctrl-C', '')}") as run:
            wait_until(lambda: any(path.stat().st_blocks > 100 for path in teller.data.rglob("big.*")))
            if how == "Ctrl-C":
                run.send_signal(signal.SIGINT)
            assert wait_for(run).status == (130 if how == "Ctrl-C" else 1)
    finally:
        teller.grid.door.faults.clear()
    (line,) = [line for line in teller.said() if line.key.endswith("/big")]
    assert (line.status, line.error) == ("failed", "interrupted") and 0 < line.bytes < BIG
    assert teller(f"--sync --stats={teller.stats}").status == 0
    assert sum(line.bytes for line in teller.said() if line.key.endswith("/big")) == BIG


def test_repair_and_a_url_say_what_they_fetch(teller):
    assert teller("--sync").status == 0
    (path,) = teller.data.rglob("small")
    path.write_bytes(bytes(20_000))
    assert teller(f"--verify --repair --stats={teller.stats}").status == 1
    assert teller.told("status", "bytes") == [("ok", 20_000)]
    teller.stats.unlink()
    folder = teller.grid.door.url + f"/agata/{path.parent.relative_to(teller.data)}"
    assert teller(f"{folder} {teller.folder}/other --stats={teller.stats}").status == 0
    assert teller.told("site", "status") == [("LYON", "ok")] * 3


# The file itself.


@ENDINGS
def test_json_on_the_screen_and_the_catalog_are_as_without_it(teller, name):
    teller.name = name
    plain = teller("--sync --json")
    (teller.folder / "grid_summary.csv").unlink()
    for path in teller.data.rglob("*"):
        path.is_file() and path.unlink()
    told = teller(f"--sync --json --stats={teller.stats}")

    def without_rates(text: str) -> object:
        document = json.loads(text)
        document["copy"].pop("rate")
        return document

    assert without_rates(told.out) == without_rates(plain.out) and told.err == plain.err
    assert teller.told("status") == [("ok",)] * 3
    first = teller.stats.read_text().splitlines()[0]
    assert first == ",".join(FIELDS) if name == "s.csv" else tuple(json.loads(first)) == FIELDS


@pytest.mark.parametrize(
    ("name", "text", "status", "says"),
    [
        ("s.txt", None, 2, "ends neither in .jsonl nor in .csv; name it FILE.jsonl or FILE.csv"),
        ("none/s.csv", None, 5, "none; make it, or name another one"),
        ("data.jsonl", None, 5, "cannot be written: Is a directory"),
        ("s.csv", "a,b\n1,2\n", 2, "is a file of another program; name a new one, or one that --stats has written"),
        ("s.jsonl", '{"a": 1}\n', 2, "is a file of another program"),
        ("grid_summary.csv", None, 2, "the name is that of one of gridsync's own files; name another file"),
    ],
)
def test_what_can_not_be_its_file_is_refused_before_anything_is_done(teller, name, text, status, says):
    (teller.folder / "data.jsonl").mkdir()
    conf = (teller.folder / "Grid.conf").read_text()
    if text:
        (teller.folder / name).write_text(text)
    done = teller(f"--sync --output_dir {teller.folder}/new --stats={teller.folder}/{name}")
    assert done.status == status and f"--stats={teller.folder}/{name}" in done.err and says in done.err, done
    assert done.err.count("\n") == 1 and not (teller.folder / "grid_summary.csv").exists()
    assert (teller.folder / "Grid.conf").read_text() == conf and not (teller.folder / "new").exists()
    assert not text or (teller.folder / name).read_text() == text


def test_a_dry_run_names_a_missing_folder_too(teller):
    done = teller(f"--sync --dry_run --stats={teller.folder}/none/s.csv")
    folder = teller.folder / "none"
    says = f"--stats={folder}/s.csv: there is no folder {folder}; make it, or name another one\n"
    assert (done.status, done.err) == (5, f"gridsync.py: {says}") and not folder.exists()


@pytest.mark.parametrize("line", ["--build_list", "--verify", "--check_status", "--ls_dir /", ""])
def test_it_makes_no_sense_where_nothing_is_moved(teller, line):
    done = teller(f"{line} --stats={teller.stats}")
    assert done.status == 2 and "no file is moved on this line; add --start, --sync, --repair or --put" in done.err
    assert not teller.stats.exists()


def test_a_dry_run_writes_nothing_but_looks_at_it(teller):
    assert teller(f"--sync --dry_run --stats={teller.stats}").status == 0 and not teller.stats.exists()
    teller.stats.write_text("mine\n")
    assert teller(f"--sync --dry_run --stats={teller.stats}").status == 2
    assert teller.stats.read_text() == "mine\n"


def test_the_file_may_lie_in_outputdir_and_half_a_line_at_its_end_is_passed_over(teller):
    teller.data.mkdir()
    teller.name = "data/s.jsonl"
    assert teller(f"--sync --stats={teller.stats}").status == 0
    teller.stats.write_bytes(teller.stats.read_bytes()[:-9])
    assert teller(f"--sync --stats={teller.stats}").status == 0
    lines = lines_of(str(teller.stats))
    assert [line.status for line in lines] == ["ok"] * 2 + ["skipped"] * 3 and lines.left_out == 1
    assert teller("--verify").status == 0


@ENDINGS
def test_the_growing_file_is_not_sent_with_the_folder_in_which_it_lies(grid, tmp_path, folder, name):
    user = visitor(grid, tmp_path, "http dcache", writes=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/a").write_bytes(b"a")
    (tmp_path / f"mine/old-{name}").write_bytes(b"of another day")
    user.name = f"mine/{name}"
    line = f"--put {tmp_path}/mine --input_dir {folder.replace('/', '_')} --stats={user.stats}"
    done = user(line)
    assert done.status == 0 and f"{user.stats}: is one of gridsync's own files and is not sent\n" in done.err
    assert user.told("key", "status") == [(f"{folder.replace('/', '_')}/{n}", "ok") for n in ("a", f"old-{name}")]
    alone = user(line.replace(f"{tmp_path}/mine ", f"{user.stats} "))
    assert alone.status == 2 and "is one of gridsync's own files" in alone.err


@pytest.mark.parametrize("wrong", ["a folder", "another program's"])
def test_when_it_can_no_longer_be_written_the_files_come_all_the_same(teller, wrong):
    teller.grid.door.faults.add("*/big", "drip", role="pool", speed=1_500_000)
    try:
        with teller.running(f"--sync --stats={teller.stats}") as run:
            wait_until(lambda: teller.stats.exists() and teller.stats.read_text().count("\n") == 2)
            teller.stats.rename(teller.folder / "before.jsonl")
            teller.stats.mkdir() if wrong == "a folder" else teller.stats.write_text("hello\n")
            done = wait_for(run)
    finally:
        teller.grid.door.faults.clear()
    assert done.status == 1 and "Copied: 3, skipped: 0, failed: 0" in done.out, done
    assert done.err.count(f"gridsync.py: --stats={teller.stats}") == 2, done.err  # when it happens, and in the end
    assert "meanwhile this run goes on\n" in done.err and "lacks 1 line(s) of this run" in done.err
    assert teller.stats.is_dir() or teller.stats.read_text() == "hello\n"
