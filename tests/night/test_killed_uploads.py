"""SIGKILL at any moment of runs that send files, again and again from one work folder, to dCache, StoRM and XRootD.

KILLS=300 SEED=1 /usr/bin/python3 -m pytest -rP tests/night/test_killed_uploads.py kills as often as one likes, and
prints what came of it.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import subprocess
import time
import zlib
from collections import Counter

import pytest

from gridsync_parts.disk import MARK
from gridsync_parts.uploads import Uploads
from tests.grid.propfind import content
from tests.grid.xrootd import SCRATCH
from tests.support.user import User

KILLS = int(os.environ.get("KILLS", "30"))
SEED = int(os.environ.get("SEED", "1"))
SIZES = {**{f"small/{number:02}": 20_000 + number for number in range(20)}, "empty": 0, "sub/deep/one": 300_000}
SIZES.update({f"large/{number}": 8_000_000 + number for number in range(3)})
RUN = 1.5  # seconds that a run takes, or more
WHILE_WRITTEN = "grid_uploads.csv"  # is written anew
# When to kill: at any time, while the file is written, or just before the door does what it is asked.
MOMENTS = ("", "", "", WHILE_WRITTEN, "PROPFIND", "MKCOL", "PUT", "PUT", "PUT", "HEAD", "MOVE", "MOVE", "DELETE")
TIMES = 8  # requests of a kind that may pass before


def name_of(data: bytes) -> str:
    """What some bytes are known by."""
    return hashlib.sha256(data).hexdigest()


class Goal:
    """A folder of a site that files are sent into."""

    def __init__(self, user: User, site: str, folder: str):
        self.grid = user.grid
        self.site, self.folder = site, f"{folder.replace('/', '_')}/{site}"
        self.door = {"LYON": user.grid.door, "CNAF": user.grid.storm}.get(site)
        self.disk = user.grid.copier.folder / "data" / SCRATCH / self.folder
        self.finished: dict[str, int] = {}  # what is there as it is here, and which one it is

    def there(self) -> dict[str, tuple[bytes, int]]:
        """The files that are there, and which ones they are."""
        if not self.door:
            paths = [path for path in self.disk.rglob("*") if path.is_file()]
            return {str(path.relative_to(self.disk)): (path.read_bytes(), path.stat().st_ino) for path in paths}
        top, tree = f"agata/{self.folder}", self.grid.tree
        files = {path[len(top) + 1 :]: tree.file(path) for path in tree.files(top)}
        return {name: (b"".join(content(file, 0, file.size)), id(file)) for name, file in files.items()}

    def look(self, versions: dict[str, list[str]]) -> None:
        """See what is there as it is here."""
        there = self.there().items()
        self.finished = {n: which for n, (data, which) in there if name_of(data) == versions.get(n, [""])[-1]}

    def clear(self) -> None:
        """Somebody takes all of it away."""
        if self.door:
            self.grid.tree.remove(f"agata/{self.folder}")
        else:
            shutil.rmtree(self.disk)
        self.finished = {}


class Night:
    """A user whose runs are killed, and what must be true after each of them."""

    def __init__(self, user: User, folder: str, dice: random.Random) -> None:
        self.user, self.grid, self.dice = user, user.grid, dice
        self.results = user.folder / "results"
        user.set("SERVER", f"{user.grid.copier.url}/", "XROOTD")
        user.set("BASE_DIR_ON_GRID", f"{SCRATCH}/", "XROOTD")
        self.goals = [Goal(user, site, folder) for site in ("LYON", "CNAF", "XROOTD")]
        self.versions: dict[str, list[str]] = {}  # of each file, all that there ever were
        for name, size in SIZES.items():
            self.change(name, size)
        self.hits: Counter[str] = Counter()

    def change(self, name: str, size: int) -> None:
        """A local file has other bytes."""
        path = self.results / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data := self.dice.randbytes(size))
        self.versions.setdefault(name, []).append(name_of(data))

    def line(self, goal: Goal, more: str = "") -> str:
        return f"--put {self.results} --from={goal.site} --input_dir {goal.folder} {more}"

    def killed(self, goal: Goal, moment: str) -> None:
        """One run that is killed, unless it is over before."""
        more = f"--threads {self.dice.randint(1, 8)} {self.dice.choice(['--overwrite', ''])}"
        for name in self.dice.sample(sorted(SIZES), self.dice.choice([0, 0, 3])):
            self.change(name, max(0, SIZES[name] + self.dice.choice([0, 0, 1, -1])))
        goal.look(self.versions)
        with self.user.running(self.line(goal, more)) as run:
            if goal.door and moment not in ("", WHILE_WRITTEN):
                self.wait_for_request(goal, run, moment)
            else:
                self.wait_for_time(run, moment)
            run.kill()
            _, err = run.communicate(timeout=30)
        self.hits[goal.site if run.returncode == -9 else "over before"] += 1
        is_crashed = not goal.door and self.grid.copier.mend()
        self.hits["XRootD crashed"] += is_crashed
        assert run.returncode in (-9, 0, 1, 4 * is_crashed) and "Traceback" not in err, err
        self.look(goal)

    def wait_for_request(self, goal: Goal, run: subprocess.Popen[str], method: str) -> None:
        """Have the door kill it itself, before it does what it is asked."""
        left = [None] * self.dice.randrange(TIMES)
        assert goal.door
        goal.door.faults.add("*", "meanwhile", method=method, happens=lambda: left.pop() if left else run.kill())
        while run.poll() is None:
            time.sleep(0.005)
        goal.door.faults.clear()
        self.hits[f"at a {method}"] += run.returncode == -9

    def wait_for_time(self, run: subprocess.Popen[str], moment: str) -> None:
        """Wait for so long, or until the file is written."""
        ends = time.monotonic() + (30 if moment else self.dice.uniform(0, RUN))
        beside = self.user.folder / f"{WHILE_WRITTEN}.{run.pid}{MARK}"
        while run.poll() is None and time.monotonic() < ends and not (moment and beside.exists()):
            time.sleep(0.0001)
        self.hits["while a file was written"] += beside.exists()

    def look(self, goal: Goal) -> None:
        """Nothing under its real name is wrong, all else is noted, and nothing was sent twice."""
        there, top = goal.there(), f"{goal.folder}/"
        rows = Uploads(str(self.user.folder)).by_path(goal.site)
        noted = {upload.temp for upload in rows.values() if upload.temp}
        left = {f"{top}{name}" for name in there if name.endswith(MARK)}
        assert left <= noted, f"nobody knows of {left - noted}"
        self.hits["left something"] += bool(left)
        for name, (data, _) in there.items():
            assert name.endswith(MARK) or name_of(data) in self.versions[name], f"{name} is wrong"
        for target, upload in rows.items():
            if upload.verified and (found := there.get(target[len(top) :])):
                assert upload.checksum == f"adler32:{zlib.adler32(found[0]):08x}", target
        again = [name for name, which in goal.finished.items() if there[name][1] != which]
        self.hits["sent twice to XRootD"] += 0 if goal.door else len(again)  # which now and then has no checksum
        assert not (again and goal.door), f"{again} were sent twice"
        goal.look(self.versions)
        self.hits["files finished"] = max(self.hits["files finished"], len(goal.finished))

    def begin_again(self, goal: Goal) -> None:
        """Nothing is there any more, and nobody is told."""
        self.ends_well(goal)
        goal.clear()
        self.hits["rounds"] += 1

    def ends_well(self, goal: Goal) -> None:
        """A run that nobody kills sends what is missing, and leaves nothing behind."""
        goal.look(self.versions)
        for _ in range(1 if goal.door else 3):  # after many kills XRootD may forget an answer, too
            self.grid.copier.mend()
            try:
                status, out, err = self.user(self.line(goal, "--overwrite"))
            except subprocess.TimeoutExpired:  # it hangs as a whole
                assert not goal.door
                status, out, err = 4, "", "not done"
            if status == 0 or goal.door:
                break
            self.grid.copier.renew()  # it may answer others, and for ever not for one of the files
        assert status == 0, (out, err)
        there = {name: name_of(data) for name, (data, _) in goal.there().items()}
        assert there == {name: versions[-1] for name, versions in self.versions.items()}
        self.look(goal)
        assert not any(upload.temp for upload in Uploads(str(self.user.folder)).by_path(goal.site).values())
        assert not list(self.user.folder.glob(f"*.csv.*{MARK}"))


@pytest.mark.long
def test_kills_at_any_moment_leave_nothing_that_looks_finished_and_is_not(user, folder):
    dice = random.Random(SEED)
    night = Night(user, folder, dice)
    while sum(night.hits[goal.site] for goal in night.goals) < KILLS:
        goal = dice.choice(night.goals)
        night.killed(goal, dice.choice(MOMENTS))
        assert night.hits["over before"] <= KILLS  # else the moments are ill chosen
        if len(goal.finished) == len(SIZES):
            night.begin_again(goal)
    print(f"KILLS={KILLS} SEED={SEED}: {dict(night.hits)}")
    for goal in night.goals:
        night.ends_well(goal)
