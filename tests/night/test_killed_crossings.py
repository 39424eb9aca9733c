"""SIGKILL at any moment of runs from site to site, again and again from one work folder: by doors, and through here.

KILLS=300 SEED=1 /usr/bin/python3 -m pytest -rP tests/night/test_killed_crossings.py kills as often as one likes, and
prints what came of it.
"""

from __future__ import annotations

import csv
import os
import random
import shutil
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from gridsync_parts.disk import MARK
from tests.grid.propfind import content
from tests.grid.xrootd import SCRATCH, XRootD
from tests.support.user import User, a_minute_later

KILLS = int(os.environ.get("KILLS", "20"))
SEED = int(os.environ.get("SEED", "1"))
SIZES = {**{f"small/{number:02}": 20_000 + number for number in range(12)}, "empty": 0, "sub/deep/one": 300_000}
SIZES.update({f"large/{number}": 6_000_000 + number for number in range(3)})
RUN = 2.5  # seconds that a run takes, or more
WHILE_WRITTEN = "grid_uploads.csv"  # is written anew
# When to kill: at any time, while the file is written, or just before a door does what it is asked.
MOMENTS = ("", "", "", WHILE_WRITTEN, "COPY", "COPY", "PUT", "PUT", "HEAD", "MOVE", "MOVE", "DELETE", "MKCOL")


class Way:
    """Two sites, and a folder that goes from one to the other."""

    def __init__(self, user: User, pair: str, more: str):
        self.grid, self.pair, self.more = user.grid, pair, more
        self.source, self.target = pair.split(">")
        self.top = f"killed-{self.target.lower()}{more.strip('-')}"
        self.finished: dict[str, int] = {}  # what is there, and which one it is
        self.data = {name: random.Random(f"{self.top}{name}").randbytes(size) for name, size in SIZES.items()}

    def line(self) -> str:
        return f"--from={self.source} --input_dir={self.top} --to={self.target} --sync {self.more}"

    def give(self) -> None:
        """The files at the source."""
        for name, data in self.data.items():
            self.grid.tree.remove(path) if self.grid.tree.find(path := f"agata/from/{self.top}/{name}") else None
            self.grid.door.uploads.put(path, data)

    def there(self) -> dict[str, tuple[bytes, int]]:
        """What is at the target, and which files they are."""
        tree, top = self.grid.tree, f"agata/to/{self.top}"
        files = {path[len(top) + 1 :]: tree.file(path) for path in tree.files(top)} if tree.find(top) else {}
        return {name: (b"".join(content(file, 0, file.size)), id(file)) for name, file in files.items()}

    def clear(self) -> None:
        """Somebody takes all of it away."""
        self.grid.tree.remove(f"agata/to/{self.top}")
        self.finished = {}


class RealWay(Way):
    """The same between two real XRootD."""

    def disk(self, server: XRootD) -> Path:
        return server.folder / "data" / SCRATCH / self.top

    def give(self) -> None:
        top = self.disk(self.grid.copier)
        owner = top.parent.stat()
        for name, data in self.data.items():
            path = top / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        for path in (top, *top.rglob("*")):
            os.chown(path, owner.st_uid, owner.st_gid)

    def there(self) -> dict[str, tuple[bytes, int]]:
        top = self.disk(self.grid.second)
        paths = [path for path in top.rglob("*") if path.is_file()]
        return {str(path.relative_to(top)): (path.read_bytes(), path.stat().st_ino) for path in paths}

    def clear(self) -> None:
        shutil.rmtree(self.disk(self.grid.second))
        self.finished = {}


class Night:
    """A user whose runs are killed, and what must be true after each of them."""

    def __init__(self, user: User, dice: random.Random) -> None:
        self.user, self.grid, self.dice = user, user.grid, dice
        for path in ("agata/from", "agata/to"):
            self.grid.tree.folder(path)
        sites = {"LYON": "agata/from", "CNAF": "agata/to", "ONE": SCRATCH, "TWO": SCRATCH}
        for name, server in (("ONE", self.grid.copier), ("TWO", self.grid.second)):
            user.set("SERVER", f"{server.url}/", name)
        for name, base in sites.items():
            user.set("BASE_DIR_ON_GRID", base, name)
        user.set("RETRIES", "3", "gridsync")
        simulated = [Way(user, "LYON>CNAF", more) for more in ("", "--via_here")]
        real = [RealWay(user, "ONE>TWO", more) for more in ("", "--via_here")]
        self.ways = [*simulated, *real]
        for way in self.ways:
            way.give()
        self.hits: Counter[str] = Counter()
        user.limit = 200

    def killed(self, way: Way, moment: str) -> None:
        """One run that is killed, unless it is over before."""
        self.look(way)
        with self.user.running(f"{way.line()} --threads {self.dice.randint(1, 6)}") as run:
            if moment not in ("", WHILE_WRITTEN) and not isinstance(way, RealWay):
                self.wait_for_request(run, moment)
            else:
                self.wait_for_time(run, moment)
            run.kill()
            _, err = run.communicate(timeout=30)
        self.hits[f"{way.pair}{way.more}" if run.returncode == -9 else "over before"] += 1
        assert run.returncode in (-9, 0, 1) and "Traceback" not in err, err
        self.look(way)

    def wait_for_request(self, run: subprocess.Popen[str], method: str) -> None:
        """Have a door kill it itself, before it does what it is asked."""
        left = [None] * self.dice.randrange(8)
        for door in (self.grid.door, self.grid.storm):
            door.faults.add("*", "meanwhile", method=method, happens=lambda: left.pop() if left else run.kill())
        ends = time.monotonic() + 60
        while run.poll() is None and time.monotonic() < ends:
            time.sleep(0.005)
        for door in (self.grid.door, self.grid.storm):
            door.faults.clear()
        self.hits[f"at a {method}"] += run.returncode == -9

    def wait_for_time(self, run: subprocess.Popen[str], moment: str) -> None:
        """Wait for so long, or until the file is written."""
        ends = time.monotonic() + (30 if moment else self.dice.uniform(0, RUN))
        beside = self.user.folder / f"{WHILE_WRITTEN}.{run.pid}{MARK}"
        while run.poll() is None and time.monotonic() < ends and not (moment and beside.exists()):
            time.sleep(0.0001)

    def noted(self, way: Way) -> dict[str, dict[str, str]]:
        """What grid_uploads.csv says of it, by name."""
        try:
            with (self.user.folder / WHILE_WRITTEN).open(newline="") as file:
                rows = [row for row in csv.DictReader(file) if row["target"].startswith(f"{way.top}/")]
        except FileNotFoundError:
            return {}
        return {row["target"][len(way.top) + 1 :]: row for row in rows}

    def look(self, way: Way) -> None:
        """Nothing under its real name is wrong, all else is noted, and nothing was copied twice."""
        there = way.there()
        temps = [row["temp"][len(way.top) + 1 :].removesuffix(MARK) for row in self.noted(way).values() if row["temp"]]
        left = [name for name in there if name.endswith(MARK)]
        lost = [name for name in left if not any(name.startswith(f"{temp}.") for temp in temps)]
        assert not lost, f"nobody knows of {lost}"
        self.hits["left something"] += bool(left)
        for name, (data, _) in there.items():
            assert name.endswith(MARK) or data == way.data[name], f"{name} is wrong"
        again = [name for name, which in way.finished.items() if there[name][1] != which]
        assert not again, f"{again} were copied twice"
        way.finished = {name: which for name, (_, which) in there.items() if not name.endswith(MARK)}

    def ends_well(self, way: Way) -> None:
        """A run that nobody kills copies what is missing, and leaves nothing behind."""
        self.look(way)
        status, out, err = self.user(way.line())
        assert status == 0, (out, err)
        assert {name: data for name, (data, _) in way.there().items() if not name.endswith(MARK)} == way.data
        ends = time.monotonic() + 30  # a door may be at work on something still, which a further run removes
        while time.monotonic() < ends and (any(name.endswith(MARK) for name in way.there()) or self.open(way)):
            a_minute_later(self.user.folder)
            assert self.user(way.line()).status == 0
        self.look(way)
        assert {name: data for name, (data, _) in way.there().items()} == way.data and not self.open(way)

    def open(self, way: Way) -> list[str]:
        """What is noted as left."""
        return [row["temp"] for row in self.noted(way).values() if row["temp"]]


@pytest.mark.long
def test_kills_at_any_moment_leave_nothing_that_looks_finished_and_is_not(user):
    dice = random.Random(SEED)
    night = Night(user, dice)
    while sum(night.hits[f"{way.pair}{way.more}"] for way in night.ways) < KILLS:
        way = dice.choice(night.ways)
        night.killed(way, dice.choice(MOMENTS))
        assert night.hits["over before"] <= KILLS  # else the moments are ill chosen
        if len(way.finished) == len(SIZES):
            night.ends_well(way)
            way.clear()
            night.hits["rounds"] += 1
    print(f"KILLS={KILLS} SEED={SEED}: {dict(night.hits)}")
    for way in night.ways:
        night.ends_well(way)
