"""Python programs: sites of the grid opened, looked at, read and copied from, in a process that stays as it was."""

from __future__ import annotations

import contextlib
import doctest
import gc
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

import gridsync
from gridsync_parts.conf import with_setting
from tests.grid import Grid, agata, guests
from tests.support import TOP
from tests.support.user import contents, wait_until, write_secret

RUN = f"e680_1to64/{agata.RUN}"
BLOCK = 1 << 20
MIDDLE = 3 * BLOCK + 17  # bytes
DOORS = ["LYON", "CNAF", "XROOTD", "ROOT", "GFAL"]  # the last two through gfal2


@pytest.fixture
def conf(grid: Grid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Grid.conf with the grid's doors, for whoever has Alice's proxy."""
    for name, value in grid.env.items():
        if name.startswith("X509"):
            monkeypatch.setenv(name, value)
    text = grid.conf(tmp_path / "data").replace("[gridsync]\n", "[gridsync]\nRETRIES = 1\n")
    root = f"root://localhost:{grid.xrootd.ports[1]}/"
    text += f"\n[ROOT]\nSERVER = {root}\nBASE_DIR_ON_GRID = agata/\n"
    text += f"\n[GFAL]\nSERVER = {grid.door.url}/\nBASE_DIR_ON_GRID = agata/\nENGINE = gfal2\n"
    path = tmp_path / "Grid.conf"
    path.write_text(text)
    return path


def open_files() -> list[str]:
    """What this process has open."""
    found = []
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # that of the folder itself
            found.append(os.readlink(f"/proc/self/fd/{descriptor}"))
    return found


@pytest.fixture(autouse=True)
def experiment_is_as_before(grid: Grid) -> Iterator[None]:
    """What a test brings to disk or sends is not there for others."""
    top, before = {*grid.tree.folder("agata").children}, [grid.tree.file(path) for path in grid.tree.files("agata")]
    localities = [file.locality for file in before]
    yield
    for file, locality in zip(before, localities):
        file.locality = locality
    for name in {*grid.tree.folder("agata").children} - top - {"tests"}:
        grid.tree.remove(f"agata/{name}")


@pytest.fixture
def lyon(conf: Path) -> Iterator[gridsync.OpenSite]:
    with gridsync.open_site("LYON", conf) as site:
        yield site


def plant(grid: Grid, folder: str, count: int = 3, tape: bool = False) -> dict[str, bytes]:
    """Files of a folder, and their bytes by path."""
    for number in range(count):
        grid.tree.add(f"agata/{folder}/{number % 2}/{number}", (0, 20_000, MIDDLE)[number % 3], tape=tape)
    paths = sorted(grid.tree.files(f"agata/{folder}"))
    return {path[len("agata/") :]: grid.tree.expected(path) for path in paths}


@contextlib.contextmanager
def running(code: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A program while it runs; killed in the end if it still does."""
    env = {**os.environ, "PYTHONPATH": str(TOP)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], cwd=folder, env=env, text=True, **pipes) as program:
        try:
            yield program
        finally:
            program.kill()


# What is there.


def test_a_folder_is_listed_and_searched(lyon, grid, folder):
    files = plant(grid, folder)
    assert [entry[:2] for entry in lyon.ls(folder)] == [(f"{folder}/0", True), (f"{folder}/1", True)]
    assert [row.path for row in lyon.find(folder)] == list(files)
    assert [row.path for row in lyon.find(folder, include="/1/")] == [f"{folder}/1/1"]
    found = lyon.find(folder, include="/0/:/1/", exclude="2$")
    assert [row.path for row in found] == [f"{folder}/0/0", f"{folder}/1/1"]
    assert lyon.ls(f"{grid.door.url}/agata/{folder}") == lyon.ls(folder)
    row = lyon.find(f"{folder}/1/1")[0]
    assert (row.size, row.site, row.downloaded) == (20_000, "LYON", False) and row.checksum.startswith("adler32:")


# Its files.


@pytest.mark.parametrize("name", DOORS)
def test_a_folder_is_copied_and_verified(conf, grid, tmp_path, name):
    folder = f"{RUN}/Conf"
    for path in grid.tree.files(f"agata/{folder}"):
        grid.tree.file(path).locality = "ONLINE"
    expected = {path[len("agata/") :]: grid.tree.expected(path) for path in grid.tree.files(f"agata/{folder}")}
    with gridsync.open_site(name, conf) as site:
        rows = site.get(folder, tmp_path / "here", include="/03./")
        wanted = {path: data for path, data in expected.items() if "/03" in path}
        assert contents(tmp_path / "here") == wanted
        assert {row.path: (row.downloaded, row.verified, row.error) for row in rows} == {
            path: (True, "adler32", "") for path in wanted
        }
        assert all((tmp_path / "here" / row.path).stat().st_mtime == row.mtime for row in rows)


def test_a_copy_leaves_no_file_open_even_where_no_garbage_is_collected(lyon, grid, folder, tmp_path):
    plant(grid, folder, 6)
    gc.disable()
    try:
        for _ in range(3):
            lyon.get(folder, tmp_path / "here")
        wait_until(lambda: [path for path in open_files() if str(tmp_path / "here") in path] == [])
    finally:
        gc.enable()


def test_what_is_here_is_compared_and_not_fetched_again(lyon, grid, folder, tmp_path):
    plant(grid, folder, 6)
    before = lyon.get(folder, tmp_path / "here")
    grid.door.log.clear()
    again = lyon.get(folder, tmp_path / "here")
    assert again == before and not grid.door.log.count(method="GET", role="door")


def test_a_file_goes_on_where_it_was_interrupted(lyon, grid, folder, tmp_path):
    files = plant(grid, folder)
    fault = grid.door.faults.add(f"*/{folder}/0/2", "reset_in_body", at=2 * BLOCK, count=1)
    grid.door.log.clear()
    lyon.get(folder, tmp_path / "here")
    ranges = [record.range for record in grid.door.log.matching(role="pool", path=f"/agata/{folder}/0/2")]
    assert fault.hits == 1 and ranges[0] is None and re.fullmatch(r"bytes=[1-9]\d+-\d+", ranges[1])
    assert contents(tmp_path / "here") == files


def test_failures_are_told_together_at_the_end(lyon, grid, folder, tmp_path):
    files = plant(grid, folder)
    grid.door.faults.add(f"*/{folder}/1/1", 403, role="door", method="GET")
    with pytest.raises(gridsync.Incomplete, match=r"^1 of 3 files failed: .*/1/1") as caught:
        lyon.get(folder, tmp_path / "here")
    grid.door.faults.clear()
    failed = {row.path: row.error for row in caught.value.rows if row.error}
    assert list(failed) == [f"{folder}/1/1"] and caught.value.status == 1
    assert {path: data for path, data in files.items() if path not in failed} == contents(tmp_path / "here")


def test_another_local_file_is_left_alone_unless_wished(lyon, grid, folder, tmp_path):
    files = plant(grid, folder)
    mine = tmp_path / "here" / f"{folder}/1/1"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(gridsync.Incomplete, match="a different local file has this name; overwrite=True replaces it"):
        lyon.get(folder, tmp_path / "here")
    assert mine.read_text() == "mine"
    lyon.get(folder, tmp_path / "here", overwrite=True)
    assert contents(tmp_path / "here") == files


def test_ctrl_c_ends_a_copy_and_the_next_one_goes_on(conf, lyon, grid, folder, tmp_path):
    grid.tree.add(f"agata/{folder}/big", 40 * BLOCK)
    code = f"import gridsync; gridsync.open_site('LYON', {str(conf)!r}).get({folder!r}, 'here')"
    grid.door.faults.add(f"*/{folder}/big", "drip", speed=1_000_000)
    try:
        with running(code, tmp_path) as program:
            part = tmp_path / "here" / folder / "big.gridsync-part"
            wait_until(lambda: part.exists() and part.stat().st_blocks > 200)
            program.send_signal(signal.SIGINT)
            _, said = program.communicate(timeout=10)
    finally:
        grid.door.faults.clear()
    assert program.returncode == -signal.SIGINT and said.strip().endswith("KeyboardInterrupt") and part.exists()
    grid.door.log.clear()
    lyon.get(folder, tmp_path / "here")
    (record,) = grid.door.log.matching(role="pool")
    assert record.range and (tmp_path / "here" / folder / "big").stat().st_size == 40 * BLOCK


# Tape.


def test_files_on_tape_are_told_staged_copied_and_released(lyon, grid, folder, tmp_path):
    files = plant(grid, folder, tape=True)
    with pytest.raises(gridsync.Incomplete, match=r"^2 of 3 files are on tape, stage\(\) asks for them$") as caught:
        lyon.get(folder, tmp_path / "here")
    assert [row.locality for row in caught.value.rows if row.error] == [gridsync.Locality.NEARLINE] * 2
    rows = lyon.stage(folder, days=2)
    assert [bool(row.request) for row in rows] == [False, True, True]  # an empty file is nowhere on tape
    wait_until(lambda: all(row.locality is gridsync.Locality.ONLINE for row in lyon.status(rows)[1:]))
    rows = lyon.get(rows, tmp_path / "here")
    assert contents(tmp_path / "here") == files and all(row.verified for row in rows)
    assert [row.request for row in lyon.release(rows)] == [""] * 3
    assert not any(request.targets for request in getattr(grid.door, "requests", []))


def test_a_site_without_tape_says_so(conf, grid):
    with gridsync.open_site("XROOTD", conf) as site:
        rows = site.stage(f"{RUN}/Conf")
        assert rows and not any(row.request for row in rows)
        assert {row.locality for row in site.status(rows)} == {gridsync.Locality.ONLINE}


# The way back.


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Local files to send."""
    here = tmp_path / "results"
    for name, size in (("a", 0), ("sub/b", 20_000), ("sub/deep/c", MIDDLE)):
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_bytes(os.urandom(size))
    return here


@pytest.mark.parametrize("name", ["LYON", "CNAF"])
def test_results_are_sent_verified_and_come_back(conf, grid, folder, results, tmp_path, name):
    with gridsync.open_site(name, conf) as site:
        sent = site.put(results, f"{folder}/me")
        assert {upload.target: (upload.path, upload.verified, upload.error) for upload in sent} == {
            f"{folder}/me/{path}": (str(results / path), "adler32", "") for path in contents(results)
        }
        site.get(f"{folder}/me", tmp_path / "back")
        assert contents(tmp_path / "back" / folder / "me") == contents(results)
        door = grid.door if name == "LYON" else grid.storm
        door.log.clear()
        assert [upload.verified for upload in site.put(results, f"{folder}/me")] == ["adler32"] * 3
        assert not door.log.count(method="PUT")


def test_what_is_there_and_another_one_is_left_alone_unless_wished(lyon, folder, results):
    lyon.put(results, folder)
    (results / "sub/b").write_bytes(b"new")
    with pytest.raises(gridsync.Incomplete, match="another file has this name at the site; overwrite=True") as caught:
        lyon.put(results, folder)
    assert [upload.target for upload in caught.value.rows if upload.error] == [f"{folder}/sub/b"]
    lyon.put(results, folder, overwrite=True)
    with lyon.open(f"{folder}/sub/b") as file:
        assert file.read() == b"new"


def test_one_file_goes_into_a_folder_and_patterns_choose(lyon, folder, results):
    lyon.put(results / "sub/b", folder)
    lyon.put(results, f"{folder}/more", include="^sub/", exclude="deep")
    assert [row.path for row in lyon.find(folder)] == [f"{folder}/b", f"{folder}/more/sub/b"]


def test_what_can_not_or_is_not_to_be_sent_is_named_and_the_others_go(lyon, folder, results):
    for number in range(30):
        (results / f"more/{number}").mkdir(parents=True)
        (results / f"more/{number}/file").write_text("small")
    assert len(lyon.put(results, f"{folder}/many")) == 33
    shutil.rmtree(results / "more")
    (results / "link").symlink_to("a")
    (results / "grid_summary.csv").write_text("ours")
    os.mkfifo(results / "pipe")
    with pytest.raises(gridsync.Incomplete, match=r"could not be read: .*pipe: is not a regular file") as caught:
        lyon.put(results, folder)
    assert len(caught.value.rows) == 3 and not any(upload.error for upload in caught.value.rows)
    (results / "pipe").unlink()
    assert lyon.put(results, folder).left_out == [str(results / "link"), str(results / "grid_summary.csv")]


def test_a_failed_file_leaves_nothing_at_the_site(lyon, grid, folder, results):
    grid.door.faults.add(f"*/{folder}/sub/*", 507, method="PUT")
    grid.door.faults.add(f"*/{folder}/sub/deep/*", 403, method="PUT")
    try:
        with pytest.raises(gridsync.GridError):
            lyon.put(results, folder)
    finally:
        grid.door.faults.clear()
    assert {row.path for row in lyon.find(folder)} <= {f"{folder}/a"}


def test_ctrl_c_ends_what_is_sent_and_leaves_nothing_unfinished(conf, lyon, grid, folder, tmp_path):
    with open(tmp_path / "big", "wb") as file:
        file.truncate(2000 * BLOCK)
    grid.door.log.clear()
    code = f"import gridsync; gridsync.open_site('LYON', {str(conf)!r}).put('big', {folder!r})"
    with running(code, tmp_path) as program:
        wait_until(lambda: grid.door.log.count(method="PUT"))
        program.send_signal(signal.SIGINT)
        _, said = program.communicate(timeout=20)
    assert program.returncode == -signal.SIGINT and said.strip().endswith("KeyboardInterrupt")
    assert not lyon.ls(folder)
    os.truncate(tmp_path / "big", BLOCK)
    assert lyon.put(tmp_path / "big", folder)[0].verified == "adler32"


def test_what_a_killed_program_has_left_is_named(conf, lyon, grid, folder, tmp_path):
    with open(tmp_path / "big", "wb") as file:
        file.truncate(2000 * BLOCK)
    grid.door.log.clear()
    code = f"import gridsync; gridsync.open_site('LYON', {str(conf)!r}).put('big', {folder!r})"
    with running(code, tmp_path) as program:
        wait_until(lambda: grid.door.log.count(method="PUT"))
        program.kill()
    (tmp_path / "small").write_text("small")
    left = [entry.path for entry in lyon.ls(folder)]
    assert not any(path.endswith("big") for path in left)
    sent = lyon.put(tmp_path / "small", folder)
    assert sent.unfinished == left and sent[0].verified == "adler32"
    assert {*left, f"{folder}/small"} == {entry.path for entry in lyon.ls(folder)}


@pytest.mark.every(1)
@pytest.mark.parametrize(
    ("call", "kind", "says"),
    [
        (lambda site: site.put("/nowhere"), "UsageError", "/nowhere: No such file or directory"),
        (lambda site: site.put("/dev/null"), "UsageError", "is not a regular file or folder"),
        (lambda site: site.put("/etc/hostname", "../up"), "UsageError", "not a path on the grid"),
        (lambda site: site.put("/etc/hostname", "host_adler32"), "(FileError|Incomplete)", "is a file at the site"),
    ],
)  # fmt: skip
def test_what_can_not_be_sent_at_all_is_one_sentence(lyon, call, kind, says):
    with pytest.raises(gridsync.GridError, match=says) as caught:
        call(lyon)
    assert re.fullmatch(kind, type(caught.value).__name__)


def test_a_site_that_takes_no_files_says_so(conf, results):
    says = "gridsync cannot send files to the site ROOT"
    with gridsync.open_site("ROOT", conf) as site, pytest.raises(gridsync.UsageError, match=says):
        site.put(results)


# One file, read where it is.


@pytest.mark.parametrize("name", DOORS)
def test_a_file_is_read_from_start_to_end_and_verified(conf, grid, name):
    path = f"{RUN}/Data/03A/{agata.SMALL}"
    grid.tree.file(f"agata/{path}").locality = "ONLINE"
    data = grid.tree.expected(f"agata/{path}")
    with gridsync.open_site(name, conf) as site, site.open(path, block=256 << 10) as file:
        assert file.verified == ""
        assert file.read(10) == data[:10] and file.readline()
        file.seek(0)
        assert file.read() == data
        assert file.verified == "adler32"
        assert file.seek(-7, os.SEEK_END) == len(data) - 7 and file.read() == data[-7:]


def test_each_block_is_one_range_and_the_next_comes_ahead(lyon, grid, folder):
    grid.tree.add(f"agata/{folder}/file", 6 * BLOCK)
    data = grid.tree.expected(f"agata/{folder}/file")
    with lyon.open(f"{folder}/file", block=BLOCK) as file:
        grid.door.log.clear()
        file.seek(4 * BLOCK + 5)
        assert file.read(100) == data[4 * BLOCK + 5 :][:100]
        file.seek(4 * BLOCK + 500_000)
        assert file.read(100) == data[4 * BLOCK + 500_000 :][:100]
        ranges = [record.range for record in grid.door.log.matching(role="pool")]
        assert ranges == [f"bytes={4 * BLOCK}-{5 * BLOCK - 1}"]
        file.seek(0)
        file.read(10)
        file.seek(BLOCK)
        file.read(10)
        wait_until(lambda: grid.door.log.count(role="pool", range=f"bytes={2 * BLOCK}-{3 * BLOCK - 1}"))
        assert grid.door.log.count(role="pool") == 4


def test_damaged_bytes_are_told_when_all_was_read(lyon, grid, folder):
    grid.tree.add(f"agata/{folder}/file", MIDDLE)
    with lyon.open(f"{folder}/file") as file:
        grid.door.faults.add(f"*/{folder}/file", "wrong_bytes")
        try:
            with pytest.raises(gridsync.Mismatch, match=r"the door says adler32:.*, but what was read has adler32:"):
                file.read()
        finally:
            grid.door.faults.clear()


def test_a_file_that_changes_while_it_is_read_is_not_mixed(lyon, grid, folder):
    grid.tree.add(f"agata/{folder}/file", 4 * BLOCK)
    with lyon.open(f"{folder}/file", block=BLOCK) as file:
        file.read(10)
        grid.tree.add(f"agata/{folder}/file", 4 * BLOCK + 1)
        file.seek(3 * BLOCK)
        with pytest.raises(gridsync.FileError, match=r"has .* bytes now"):
            file.read(10)


def test_a_file_on_tape_is_not_waited_for(lyon, grid, folder):
    grid.tree.add(f"agata/{folder}/file", 100, tape=True)
    with pytest.raises(gridsync.OnTape, match=r"is on tape; stage\(\) asks for it"):
        lyon.open(f"{folder}/file")


# Whoever comes in.


@pytest.mark.long
def test_two_sites_with_other_credentials_do_not_mix(conf, grid, folder, tmp_path):
    plant(grid, folder, 6)
    write_secret(tmp_path / "token", guests.token(600))
    conf.write_text(with_setting(conf.read_text(), "CNAF", "SERVER", f"{grid.door.url}/"))
    with (
        gridsync.open_site("LYON", conf, proxy=grid.pki.proxy("short")) as by_proxy,
        gridsync.open_site("CNAF", conf, token=f"file:{tmp_path}/token") as by_token,
    ):
        grid.door.log.clear()
        threads = [
            threading.Thread(target=site.get, args=[folder, tmp_path / f"{site.name}{number}"])
            for site in (by_proxy, by_token)
            for number in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        kinds = {(record.certificate, record.token) for record in grid.door.log.matching(role="door")}
        assert kinds == {(True, False), (False, True)}
        found = [contents(tmp_path / f"{site}{number}") for site in ("LYON", "CNAF") for number in range(3)]
        assert found[0] and all(some == found[0] for some in found)


@pytest.mark.long
def test_two_sites_through_gfal2_are_shown_their_own(conf, grid, tmp_path):
    """gfal2 takes what it shows from the environment of its process."""
    write_secret(tmp_path / "token", grid.openid.token())
    root = f"root://localhost:{grid.guarded.ports[1]}/"
    conf.write_text(f"{conf.read_text()}\n[GUARDED]\nSERVER = {root}\nBASE_DIR_ON_GRID = agata/\n")
    path = "e680_1to64/ReadATCA/ReadATCA.tar"
    with (
        gridsync.open_site("GUARDED", conf, token=f"file:{tmp_path}/token") as by_token,
        gridsync.open_site("ROOT", conf, proxy=grid.pki.proxy("short")) as by_proxy,
    ):
        for _ in range(2):
            for site in (by_token, by_proxy):
                with site.open(path) as file:
                    assert file.read() == grid.tree.expected(f"agata/{path}") and file.verified == "adler32"
        refused = gridsync.open_site("ROOT", conf, token=f"file:{tmp_path}/token")
        with refused, pytest.raises(gridsync.CredentialError, match="accepts nothing of what it can be shown"):
            refused.ls("e680_1to64")
        assert by_proxy.ls("e680_1to64")


@pytest.mark.parametrize("kind", ["expired", "other_vo", "plain"])
def test_a_bad_proxy_is_told_for_its_site_alone(conf, grid, kind):
    with pytest.raises(gridsync.CredentialError, match="your proxy"):
        gridsync.open_site("LYON", conf, proxy=grid.pki.proxy(kind))
    with gridsync.open_site("LYON", conf) as site:
        assert site.ls("e680")


def test_no_error_shows_a_token(conf, grid, folder, tmp_path):
    token = guests.token(600, aud="somewhere else")
    write_secret(tmp_path / "token", token)
    code = f"import gridsync; gridsync.open_site('LYON', {str(conf)!r}, token='file:{tmp_path}/token').ls('e680')"
    grid.door.faults.add("*", "repeat", code=400)
    try:
        with running(code, tmp_path) as program:
            _, said = program.communicate(timeout=30)
    finally:
        grid.door.faults.clear()
    assert "the door answers 400" in said and token.split(".")[1][:30] not in said


# The process that it is in.


SAME = """
import os, resource, signal, sys, threading, time
import gridsync

def state():
    return {
        "environment": dict(os.environ), "folder": os.getcwd(), "mask": os.umask(os.umask(0o022) or 0o022),
        "signals": [str(signal.getsignal(number)) for number in range(1, 60) if number not in (9, 19, 32, 33)],
        "limits": resource.getrlimit(resource.RLIMIT_NOFILE), "blocked": sorted(signal.pthread_sigmask(0, ())),
        "threads": threading.active_count(), "gfal2": "gfal2" in sys.modules,
        "affinity": sorted(os.sched_getaffinity(0)),
    }

resource.setrlimit(resource.RLIMIT_NOFILE, (256, 4096))
before = state()
for name in sys.argv[3].split():
    with gridsync.open_site(name, sys.argv[1]) as site:
        site.ls("e680")
        site.get(sys.argv[2], "here")
        site.status(sys.argv[2])
        with site.open(sys.argv[2] + "/03A/SRM_AGATA_small_files.tar") as file:
            file.read()
        if name in ("LYON", "CNAF"):
            site.put("here", sys.argv[4] + "/" + name)
ends = time.monotonic() + 10  # in which threads may end
while (after := state()) != before and time.monotonic() < ends:
    time.sleep(0.05)
assert after == before, [(key, before[key], after[key]) for key in before if before[key] != after[key]]
"""


@pytest.mark.parametrize("names", ["LYON CNAF", "GFAL ROOT"])
def test_nothing_of_the_process_changes(conf, grid, folder, tmp_path, names):
    for path in grid.tree.files(f"agata/{RUN}/Conf"):
        grid.tree.file(path).locality = "ONLINE"
    words = [sys.executable, "-c", SAME, str(conf), f"{RUN}/Conf", names, folder]
    env = {**os.environ, "PYTHONPATH": str(TOP)}
    done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), done.stderr


def children() -> set[int]:
    """The processes that this one has started."""
    return {int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}


def is_alive(process: int) -> bool:
    """Whether a process is still there; nobody may have asked yet how it has ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_the_process_of_a_gfal2_site_ends_with_the_site(conf, grid):
    before = children()
    site = gridsync.open_site("ROOT", conf)
    (child,) = children() - before
    assert site.ls("e680_1to64") and os.getpgid(child) != os.getpgid(0)  # Ctrl-C is not for it
    site.close()
    assert children() == before and not is_alive(child)
    site.close()


def test_a_gfal2_site_that_is_closed_is_listened_to_no_more(conf, monkeypatch):
    """A descriptor that is closed under who reads from it is soon that of another file."""
    before, check = {*threading.enumerate()}, Connection._check_readable  # type: ignore[attr-defined]
    with gridsync.open_site("ROOT", conf) as site:
        monkeypatch.setattr(Connection, "_check_readable", lambda one: (time.sleep(0.5), check(one)))
        assert site.ls("e680_1to64")
    assert not {*threading.enumerate()} - before


def test_the_process_of_a_gfal2_site_ends_when_the_program_is_killed(conf, tmp_path):
    code = f"import gridsync, os, time; s = gridsync.open_site('ROOT', {str(conf)!r}); print(1, flush=True)"
    with running(f"{code}; time.sleep(60)", tmp_path) as program:
        assert program.stdout and program.stdout.readline() == "1\n"
        (child,) = Path(f"/proc/{program.pid}/task/{program.pid}/children").read_text().split()
        program.kill()
        wait_until(lambda: not is_alive(int(child)), 5)


def test_a_gfal2_site_whose_process_was_killed_says_so(conf):
    before = children()
    with gridsync.open_site("ROOT", conf) as site:
        (child,) = children() - before
        os.kill(child, signal.SIGKILL)
        with pytest.raises(gridsync.DoorError, match="the process that speaks to ROOT has ended; open the site again"):
            site.ls("e680_1to64")


def test_a_site_is_refused_after_a_fork_and_the_other_process_keeps_it(lyon):
    process = os.fork()
    if not process:
        try:
            lyon.ls("e680")
        except gridsync.UsageError as error:
            os._exit(7 if "was opened in another process" in str(error) else 8)
        os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 7
    assert lyon.ls("e680")


def test_import_loads_nothing_that_only_programs_want():
    code = "import gridsync, sys; print(*[name for name in sys.modules if name.endswith(('.face', '.haul', '.loop'))])"
    done = subprocess.run([sys.executable, "-c", code], cwd=TOP, capture_output=True, text=True, check=True)
    assert done.stdout == "\n"


# What goes wrong.


@pytest.mark.parametrize(
    ("call", "kind", "says"),
    [
        (lambda conf: gridsync.open_site("LION", conf), "UsageError", "there is no site LION in .*LYON"),
        (lambda conf: gridsync.open_site("", conf), "UsageError", "is not the name of a site; give one"),
        (lambda conf: gridsync.open_site("LYON", conf).stage("e680", days=0), "UsageError", "days=0 is not a"),
        (lambda conf: gridsync.open_site("LYON", conf).ls("https://a.org/b"), "UsageError", "belongs to no site"),
        (lambda conf: gridsync.open_site("LYON", "/nowhere"), "UsageError", "/nowhere is neither a Grid.conf nor"),
        (lambda conf: gridsync.open_site("LYON", conf, proxy="a", token="b"), "UsageError", "give one of them"),
        (lambda conf: gridsync.open_site("LYON", conf, proxy="/nowhere"), "CredentialError", "no proxy at /nowhere"),
        (lambda conf: gridsync.open_site("LYON", conf, token="eyJ"), "UsageError", "TOKEN must name"),
        (lambda conf: gridsync.open_site("LYON", conf, token=b"hush"), "UsageError", "a token of the type bytes is"),
        (lambda conf: gridsync.open_site("LYON", conf).ls("../up"), "UsageError", "not a path on the grid"),
        (lambda conf: gridsync.open_site("LYON", conf).ls("nowhere"), "NotFound", r"nowhere.*; ls\(\) shows what"),
        (lambda conf: gridsync.open_site("LYON", conf).get("nowhere", "here"), "NotFound", "nowhere"),
        (lambda conf: gridsync.open_site("LYON", conf).open("nowhere"), "NotFound", "nowhere"),
        (lambda conf: gridsync.open_site("LYON", conf).open("e680"), "FileError", "e680: is a folder; ls"),
        (lambda conf: gridsync.open_site("LYON", conf).find("e680", "("), "UsageError", "not a regular expression"),
        (lambda conf: gridsync.open_site("LYON", conf).get("host_adler32", "/proc/x"), "(DiskError|Incomplete)", ""),
        (lambda conf: gridsync.open_site("ROOT", conf).ls("nowhere"), "NotFound", "nowhere"),
        (lambda conf: gridsync.open_site("ROOT", conf, token="env:X"), "CredentialError", "no usable token"),
    ],
)  # fmt: skip
def test_what_goes_wrong_is_one_sentence(conf, grid, call: Callable[[Path], object], kind, says):
    grid.tree.file("agata/host_adler32").locality = "ONLINE"
    with pytest.raises(gridsync.GridError, match=says) as caught:
        call(conf)
    assert re.fullmatch(kind, type(caught.value).__name__) and "\n" not in str(caught.value)


def test_a_closed_site_says_so(lyon):
    lyon.close()
    with pytest.raises(gridsync.UsageError, match="the site LYON is closed; open it again"):
        lyon.ls("e680")


def test_progress_is_a_bar_of_text(conf, grid, folder, tmp_path):
    plant(grid, folder)
    code = f"import gridsync; gridsync.open_site('LYON', {str(conf)!r}).get({folder!r}, 'here', progress=True)"
    with running(code, tmp_path) as program:
        out, said = program.communicate(timeout=30)
    assert (program.returncode, out) == (0, "") and re.search(r"LYON: 100%\|.*3/3 files", said), said


# fsspec.


@pytest.fixture
def grid_fs(conf):
    fsspec = pytest.importorskip("fsspec", reason="python3-fsspec is not installed; on Debian: apt install it")
    fsspec.register_implementation("grid", "gridsync_parts.fs.GridFileSystem", clobber=True)
    return fsspec.filesystem("grid", conf=str(conf), skip_instance_cache=True)


def test_fsspec_finds_files(grid_fs, grid, folder):
    files = plant(grid, folder)
    assert sorted(grid_fs.find(f"grid://LYON/{folder}")) == [f"LYON/{path}" for path in files]
    assert grid_fs.glob(f"grid://LYON/{folder}/*/1") == [f"LYON/{folder}/1/1"]
    assert grid_fs.isdir(f"LYON/{folder}") and grid_fs.isfile(f"LYON/{folder}/1/1")
    assert grid_fs.size(f"LYON/{folder}/1/1") == 20_000
    assert not grid_fs.exists(f"LYON/{folder}/nothing")
    with pytest.raises(FileNotFoundError):
        grid_fs.open(f"LYON/{folder}/nothing")


@pytest.mark.parametrize("name", DOORS)
def test_fsspec_reads_files(grid_fs, grid, name):
    path = f"{RUN}/Data/03A/{agata.SMALL}"
    grid.tree.file(f"agata/{path}").locality = "ONLINE"
    data = grid.tree.expected(f"agata/{path}")
    with grid_fs.open(f"grid://{name}/{path}") as file:
        assert file.read() == data and file.verified == "adler32"
    assert grid_fs.cat_file(f"{name}/{path}", 1000, 2000) == data[1000:2000]
    assert grid_fs.cat_file(f"{name}/{path}", -10) == data[-10:]


def test_fsspec_asks_for_one_range_and_looks_at_a_file_once(grid_fs, grid, folder):
    grid.tree.add(f"agata/{folder}/file", 2 * MIDDLE)
    grid.door.log.clear()
    for start in (0, 100, MIDDLE):
        grid_fs.cat_file(f"LYON/{folder}/file", start, start + 50)
    assert [record.range for record in grid.door.log.matching(role="pool")] == [
        f"bytes={start}-{start + 49}" for start in (0, 100, MIDDLE)
    ]
    assert grid.door.log.count(role="door", method="PROPFIND") == 1


def test_fsspec_goes_on_after_a_fork(grid_fs, grid, folder):
    """As workers of a data loader are made."""
    plant(grid, folder)
    assert grid_fs.size(f"LYON/{folder}/1/1") == 20_000
    process = os.fork()
    if not process:
        with contextlib.suppress(Exception):
            os._exit(7 if len(grid_fs.cat_file(f"LYON/{folder}/1/1")) == 20_000 else 8)
        os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 7
    assert len(grid_fs.cat_file(f"LYON/{folder}/1/1")) == 20_000


def test_fsspec_has_the_end_of_a_file_and_a_cache_takes_it(grid_fs, conf, grid, folder, tmp_path):
    import fsspec

    path = f"LYON/{folder}/0/2"
    data = plant(grid, folder)[f"{folder}/0/2"]
    assert grid_fs.tail(path, 10) == data[-10:]
    options = {"simplecache": {"cache_storage": str(tmp_path / "cache")}, "grid": {"conf": str(conf)}}
    with fsspec.open(f"simplecache::grid://{path}", **options) as file:
        assert file.read(100) == data[:100]


def test_fsspec_only_reads(grid_fs):
    path = "LYON/e680/new"
    verbs = [grid_fs.mkdir, grid_fs.makedirs, grid_fs.rmdir, grid_fs.rm, grid_fs.rm_file, grid_fs.touch]
    for change, *more in ([grid_fs.open, "wb"], [grid_fs.cp_file, path], *([verb] for verb in verbs)):
        with pytest.raises(gridsync.UsageError, match="LYON/e680/new: grid:// is for reading alone"):
            change(path, *more)
    with pytest.raises(gridsync.UsageError, match="grid:// needs the name of a site"):
        grid_fs.ls("grid://")


def test_fsspec_knows_the_grid_once_gridsync_is_imported(conf, grid, tmp_path):
    grid.tree.file("agata/host_adler32").locality = "ONLINE"
    url = "grid://LYON/host_adler32"
    code = f"import fsspec, gridsync; print(len(fsspec.open({url!r}, conf={str(conf)!r}).open().read()))"
    with running(code, tmp_path) as program:
        assert program.communicate(timeout=30) == ("158\n", "")


# Types.


def test_the_names_for_programs_are_those_of_the_types():
    stub = (TOP / "gridsync-stubs/__init__.pyi").read_text()
    assert re.findall(r'"(\w+)"', stub) == gridsync.__all__ == sorted(gridsync.__all__)
    assert all(hasattr(gridsync, name) for name in gridsync.__all__)


# docs/python.md.

PAGE = (TOP / "docs/python.md").read_text()


def test_the_examples_of_the_page_work(conf, grid, tmp_path, monkeypatch):
    examples = "".join(re.findall(r"(?s)```python\n(>>>.*?)```", PAGE))
    for path in grid.tree.files("agata/e680/e680"):
        grid.tree.file(path).locality = "NEARLINE"
    (tmp_path / "bob_proxy").write_bytes(grid.pki.proxy("short").read_bytes())
    (tmp_path / "bob_proxy").chmod(0o600)
    monkeypatch.chdir(tmp_path)
    test = doctest.DocTestParser().get_doctest(examples, {}, "docs/python.md", "docs/python.md", 0)
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    runner.run(test, out=said.append)
    assert len(test.examples) > 15 and not said, "".join(said)
