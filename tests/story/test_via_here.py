"""--to with --via_here: files from any site that can be read to any that takes files, through this machine."""

from __future__ import annotations

import csv
import os
import random
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gridsync_parts.disk import MARK
from tests.grid import Grid
from tests.grid.hub import BASE
from tests.grid.propfind import content
from tests.support.user import BIG, Result, User, a_minute_later, contents, wait_for, wait_until

SIZES = {"empty": 0, "small": 20_000, "sub/mid": 300_000, "sub/deep/big": BIG}
HOME = "lst/users/alice"
LAST = r"Copied: {}, skipped: {}, failed: {}, waiting on tape: 0; "


class Passer(User):
    """Somebody who copies a folder from one site to another one."""

    def __init__(self, grid: Grid, home: Path, folder: str, pair: str):
        super().__init__(grid, home)
        self.source, self.target = pair.split(">")
        self.top = "run"
        self.mirror = f"agata/{folder}/there"
        self.limit = 120
        grid.tree.folder(self.mirror)
        self.set("BASE_DIR_ON_GRID", f"agata/{folder}", "LYON")
        self.set("BASE_DIR_ON_GRID", self.mirror, "CNAF")
        if "BOX" in pair:
            self.box = grid.sshd.data / "scratch" / home.name
            self.box.mkdir()
            self.env.update(grid.sshd.client.env)
            self.set("SERVER", grid.sshd.url, "BOX")
            self.set("BASE_DIR_ON_GRID", f"scratch/{home.name}", "BOX")
        if "HUB" in pair:
            self.env["JUPYTERHUB_API_TOKEN"] = grid.hub.token
            grid.hub.tree.folder(f"{BASE}/{HOME}/{home.name}")
            self.set("SERVER", grid.hub.server, "HUB")
            self.set("ENGINE", "hub", "HUB")
            self.set("BASE_DIR_ON_GRID", f"{HOME}/{home.name}", "HUB")
        self.set("SITE", self.source, "gridsync")
        self.set("INPUTDIR", self.top, "gridsync")
        self.data_there = {name: random.Random(name).randbytes(size) for name, size in SIZES.items()}
        for name, data in self.data_there.items():
            self.add(name, data)
        if "BOX" in pair:
            grid.sshd.own()

    def add(self, name: str, data: bytes) -> None:
        """A file at the source."""
        path = f"{self.top}/{name}"
        if self.source == "BOX":
            (self.box / path).parent.mkdir(parents=True, exist_ok=True)
            (self.box / path).write_bytes(data)
        else:
            top = {"LYON": self.mirror.rpartition("/")[0], "CNAF": self.mirror}[self.source]
            self.grid.door.uploads.put(f"{top}/{path}", data)

    def there(self) -> dict[str, bytes]:
        """What is at the target."""
        if self.target == "BOX":
            return contents(self.box / self.top)
        tree, top = self.grid.tree, f"{self.mirror}/{self.top}"
        if self.target == "HUB":
            tree, top = self.grid.hub.tree, f"{BASE}/{HOME}/{self.folder.name}/{self.top}"
        found = {path: tree.file(path) for path in tree.files(top)} if tree.find(top) else {}
        return {path[len(top) + 1 :]: b"".join(content(file, 0, file.size)) for path, file in found.items()}

    def line(self, words: str) -> str:
        return f"{words} --to={self.target} --via_here"

    def pass_on(self, words: str = "--start") -> Result:
        """Do something with the files on their way."""
        return self(self.line(words))

    def rows(self) -> list[dict[str, str]]:
        """The rows of the catalog of these two sites."""
        rows = self.catalog().values()
        return [row for row in rows if row["site"] == f"{self.source}>{self.target}"]

    def noted(self) -> list[dict[str, str]]:
        with (self.folder / "grid_uploads.csv").open(newline="") as file:
            return list(csv.DictReader(file))


Pass = Callable[[str], Passer]


@pytest.fixture
def passer(grid: Grid, tmp_path: Path, folder: str) -> Pass:
    return lambda pair: Passer(grid, tmp_path, folder, pair)


@pytest.fixture
def faults(grid: Grid) -> Iterator[Grid]:
    """Doors at which something may go wrong."""
    yield grid
    for door in (grid.door, grid.storm):
        door.faults.clear()


PAIRS = ["LYON>CNAF", "BOX>LYON", *(pytest.param(pair, marks=pytest.mark.long) for pair in ("LYON>BOX", "LYON>HUB"))]


@pytest.mark.parametrize("pair", PAIRS)
def test_a_folder_is_there_verified_and_nothing_of_it_is_here(passer, pair):
    user = passer(pair)
    if pair == "BOX>LYON":
        user.set("BASE_DIR_ON_GRID", user.mirror, "LYON")
    for words in ("--build_list", "--start"):
        done = user.pass_on(words)
        assert (done.status, done.err) == (0, ""), done
    assert re.search(LAST.format(len(SIZES), 0, 0), done.out), done
    assert user.there() == user.data_there and not user.data.exists()
    kind = "size" if user.target == "BOX" else "adler32"
    assert {(row["verified"], row["error"]) for row in user.rows()} == {(kind, "")}
    assert {row["temp"] for row in user.noted()} == {""}
    again = user.pass_on()
    assert again.status == 0 and re.search(LAST.format(0, len(SIZES), 0), again.out), again


def test_a_line_that_breaks_at_the_source_is_not_noticed(passer, faults):
    user = passer("LYON>CNAF")
    user.set("RETRIES", "0", "gridsync")
    fault = faults.door.faults.add("*/big", "truncate", at=1_000_000, count=2)
    faults.storm.log.clear()
    done = user.pass_on("--sync")
    assert (done.status, done.err) == (0, ""), done
    assert fault.hits == 2 and user.there() == user.data_there
    sent = [line for line in map(str, faults.storm.log) if "PUT" in line]
    assert 0 < len(sent) <= 2 * len(SIZES), sent  # at the door and at its pool


def test_after_a_cut_at_the_target_all_of_it_goes_again(passer, faults):
    user = passer("LYON>CNAF")
    fault = faults.storm.faults.add(f"*{MARK}", "cut", at=10_000, method="PUT", count=1)
    done = user.pass_on("--sync --threads=1")
    assert done.status == 0 and fault.hits == 1, done
    assert user.there() == user.data_there


def test_a_run_that_is_killed_leaves_nothing_that_a_further_one_does_not_mend(passer, faults):
    user = passer("LYON>CNAF")
    faults.door.faults.add("*/big", "drip", speed=BIG / 3, count=1)
    with user.running(user.line("--sync")) as run:
        wait_until(lambda: any(name.endswith(MARK) for name in user.there()) or run.poll() is not None)
        time.sleep(0.3)
        run.send_signal(signal.SIGKILL)
        run.wait()
    assert user.there() != user.data_there
    a_minute_later(user.folder)
    done = user.pass_on("--sync")
    assert (done.status, done.err) == (0, ""), done
    assert user.there() == user.data_there
    assert {row["temp"] for row in user.noted()} == {""}
    assert {row["downloaded"] for row in user.rows()} == {"yes"}


def test_ctrl_c_ends_it_at_once_and_leaves_nothing_that_is_not_noted(passer, faults):
    user = passer("LYON>CNAF")
    faults.door.faults.add("*/big", "drip", speed=BIG / 60)
    with user.running(user.line("--sync")) as run:
        ready = SIZES.keys() - {"sub/deep/big"}
        wait_until(lambda: ready < user.there().keys() or run.poll() is not None)
        os.kill(run.pid, signal.SIGINT)
        done = wait_for(run, 30)
    assert done.status == 130, done
    there, noted = set(user.there()), "\n".join(row["temp"] for row in user.noted())
    assert {name for name in there if name not in noted} == ready


@pytest.mark.long
def test_the_limit_holds_for_what_goes_through(passer):
    user = passer("LYON>CNAF")
    began = time.monotonic()
    done = user.pass_on("--sync --bwlimit=1M")
    assert done.status == 0 and "--bwlimit: at most 1.0 MB/s" in done.err, done
    assert time.monotonic() - began > 2.5 and user.there() == user.data_there  # 3.3 MB at 1 MB a second


def test_a_file_that_has_changed_since_it_was_listed_is_named(passer):
    user = passer("LYON>CNAF")
    assert user.pass_on("--build_list").status == 0
    user.add("small", b"another one")
    user.add("sub/mid", random.Random(1).randbytes(SIZES["sub/mid"]))
    done = user.pass_on()
    assert done.status == 1 and re.search(LAST.format(2, 0, 2), done.out), done
    assert done.err.count("in the catalog; run --build_list again") == 2, done
    assert set(user.there()) == {"empty", "sub/deep/big"}
