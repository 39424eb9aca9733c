"""SIGKILL at random moments of whole command lines, again and again in one work folder; and a system without locks.

KILLS=300 SEED=1 /usr/bin/python3 -m pytest -rP tests/night/test_crashes.py kills as often as one likes, and prints what
came of it.
"""

from __future__ import annotations

import csv
import os
import random
import subprocess
import time
from collections import Counter

import pytest

from gridsync_parts.catalog import Catalog
from gridsync_parts.conf import GENERAL, with_setting
from gridsync_parts.disk import MARK
from gridsync_parts.home import Home
from gridsync_parts.partfile import PartFile
from gridsync_parts.values import Locality, Row
from tests.support import SCRIPT
from tests.support.constants import script_with
from tests.support.user import User, wait_until

KILLS = int(os.environ.get("KILLS", "30"))
SEED = int(os.environ.get("SEED", "1"))
MB = 1 << 20
AGAIN = 16 * MB  # what may be fetched again for each stream after a kill
SPEED = 40 * MB  # bytes a second of each connection, so that there is a moment to hit
SMALL, LARGE = 100_000, 50 * MB + 17
COPYING = ("--sync", "--build_list --bring_online --start", "--threads {} --build_list --start")
SETTING = ("--threads {}", "--threads {} --build_list")
# When to kill: within so many seconds, about as long as the lines take, or while one of the files is written.
MOMENTS: tuple[tuple[float | str, tuple[str, ...]], ...] = (
    (2.5, COPYING), (2.5, COPYING), (0.5, SETTING), ("grid_summary.csv", COPYING), ("Grid.conf", SETTING),
)  # fmt: skip


class Night:
    """A user whose runs are killed, and what must be true after each of them."""

    def __init__(self, user: User, folder: str, dice: random.Random) -> None:
        self.user, self.folder, self.dice = user, folder, dice
        tree = user.grid.tree
        sizes = {f"small/{number:02d}": SMALL + number for number in range(40)}
        sizes.update({"large/0": LARGE, "large/1": LARGE, "empty": 0})
        for name, size in sizes.items():
            tree.add(f"agata/{folder}/{name}", size)
        for number in range(10):
            tree.add(f"agata/{folder}/tape/{number}", SMALL, tape=True)
        self.paths = sorted(path.removeprefix("agata/") for path in tree.files(f"agata/{folder}"))
        self.expected = {path: tree.expected(f"agata/{path}") for path in self.paths}
        assert user(f"--input_dir {folder} --streams 1 --build_list").status == 0
        other = Row("", 10, 0, "", Locality.NEARLINE, True, "size", "r1 r2", "CNAF", "a reason, why")
        self.others = [other._replace(path=f"elsewhere/{number:04d}") for number in range(3000)]
        kept = Catalog(str(user.folder))
        kept.put(self.others)
        kept.save()
        self.here: dict[str, int] = {}  # bytes of each file that need not come again
        self.done: set[str] = set()  # what the catalog says is here
        self.again = 0  # bytes of a file that came twice, at the most
        self.threads = 4
        self.hits: Counter[str] = Counter()

    def killed(self, line: str, moment: float | str) -> None:
        """One run that is killed, unless it is over before."""
        folder, conf = self.user.folder, (self.user.folder / "Grid.conf").read_text()
        threads = self.threads = self.threads % 8 + 1
        self.user.grid.door.log.clear()
        with self.user.running(line.format(threads)) as run:
            ends = time.monotonic() + (30 if isinstance(moment, str) else self.dice.uniform(0, moment))
            beside = folder / f"{moment}.{run.pid}{MARK}"  # what is to take the place of the file
            while run.poll() is None and time.monotonic() < ends and not beside.exists():
                time.sleep(0.0001)
            ends = time.monotonic() + (self.dice.uniform(0, 0.002) if isinstance(moment, str) else 0)
            while time.monotonic() < ends:
                pass
            self.hits["over before" if run.poll() is not None else "killed"] += 1
            assert self.hits["over before"] <= KILLS  # else the moments are ill chosen
            run.kill()
            _, err = run.communicate(timeout=30)
        self.hits["while a file was written"] += bool(list(folder.glob(f"*.{run.pid}{MARK}")))
        assert run.returncode in (-9, 0, 1) and "Traceback" not in err, err
        self.look(conf, with_setting(conf, GENERAL, "THREADS", str(threads)))

    def look(self, *confs: str) -> None:
        """Nothing under its real name is wrong, and nothing is lost."""
        user = self.user
        assert (user.folder / "Grid.conf").read_text() in confs
        catalog = Catalog(str(user.folder))
        assert set(catalog.rows) == {"LYON", "CNAF"} and catalog.of("CNAF") == self.others
        rows = catalog.by_path("LYON")
        assert sorted(rows) == self.paths
        sent: Counter[str] = Counter()
        for record in user.grid.door.log.matching(method="GET"):
            sent[record.path.removeprefix("/agata/")] += record.sent
        done = {path for path, row in rows.items() if row.downloaded}
        assert done >= self.done
        for path in self.paths:
            final = user.data / path
            if final.exists():
                assert final.read_bytes() == self.expected[path] and int(final.stat().st_mtime) == rows[path].mtime
            assert final.exists() or path not in done
            here = rows[path].size if final.exists() else at_hand(user, rows[path])
            twice = self.here.get(path, 0) + sent[path] - here
            assert twice <= AGAIN, f"{path}: {twice} bytes will come again"
            assert not sent[path] or self.here.get(path, 0) < max(rows[path].size, 1), f"{path} was here"
            self.again = max(self.again, twice)
            self.here[path] = here
        self.done = done

    def is_over(self) -> bool:
        return len(self.done) == len(self.paths)

    def begin_again(self) -> None:
        """Somebody has taken all files away."""
        for path in self.user.data.rglob("*"):
            if path.is_file():
                path.unlink()
        assert self.user("--check_status").status == 0
        self.here, self.done = {}, set()

    def ends_well(self) -> None:
        """A run that nobody kills brings what is missing and leaves no litter of catalogs behind."""
        self.user.grid.door.log.clear()
        assert self.user("--sync").status == 0
        assert self.user.files() == self.paths
        self.look((self.user.folder / "Grid.conf").read_text())
        assert self.is_over()
        assert not list(self.user.folder.glob(f"grid_summary.csv.*{MARK}"))


def at_hand(user: User, row: Row) -> int:
    """Bytes of a file that the next run need not fetch."""
    if not os.path.exists(f"{user.data / row.path}{MARK}"):
        return 0
    with PartFile(Home(str(user.data)), row, "adler32") as part:
        part.resume(1)
        return part.received()


@pytest.mark.long
def test_kills_at_random_moments_lose_nothing_and_nothing_under_its_real_name_is_wrong(user, folder):
    dice = random.Random(SEED)
    user.grid.door.switches.bandwidth = SPEED
    night = Night(user, folder, dice)
    rounds = 0
    try:
        while night.hits["killed"] < KILLS:
            moment, lines = dice.choice(MOMENTS)
            night.killed(dice.choice(lines), moment)
            if night.is_over():
                night.ends_well()
                night.begin_again()
                rounds += 1
        night.ends_well()
    finally:
        user.grid.door.switches.bandwidth = 0
    print(
        f"KILLS={KILLS} SEED={SEED}: {dict(night.hits)}; all files came {rounds + 1} times; "
        f"at most {night.again} bytes twice"
    )


# == Without locks ======================================================================================

# The kernel itself says to flock() that there are no locks, as it does on some network filesystems: a filter of system
# calls ("is it flock? then ENOLCK") stands in for one, so that nothing has to be mounted.
NO_LOCKS = """
import ctypes, os, struct, sys
number = {"x86_64": 73, "aarch64": 32}[os.uname().machine]
code = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x50000 | 37), (0x06, 0, 0, 0x7FFF0000)]
rules = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *rule) for rule in code))
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("rules", ctypes.c_void_p)]
call = ctypes.CDLL(None, use_errno=True).prctl
program = Program(len(code), ctypes.addressof(rules))
if call(38, 1, 0, 0, 0) or call(22, 2, ctypes.byref(program)):
    sys.exit(77)
os.execv(sys.argv[1], sys.argv[1:])
"""
WITHOUT_LOCKS = ("/usr/bin/python3", "-c", NO_LOCKS)


@pytest.fixture
def unlocked(user: User, folder: str) -> User:
    """A user with a file to fetch, whose system knows no locks from then on."""
    trial = [*WITHOUT_LOCKS, "/usr/bin/python3", "-c", "import fcntl; fcntl.flock(0, fcntl.LOCK_SH)"]
    said = subprocess.run(trial, capture_output=True, text=True, check=False).stderr
    if "No locks available" not in said:
        pytest.skip("this system lets its users filter no system calls")
    user.grid.tree.add(f"agata/{folder}/a", 3 * MB)
    assert user(f"--input_dir {folder} --build_list").status == 0
    user.before = WITHOUT_LOCKS
    return user


@pytest.mark.long
def test_a_work_folder_that_can_not_be_locked_is_said_and_nothing_is_changed(unlocked):
    before = (unlocked.folder / "grid_summary.csv").read_bytes()
    for line in ("--start", "--build_list", "--sync", "--release"):
        status, _, err = unlocked(line)
        assert status == 5 and "cannot be locked: No locks available" in err and err.count("gridsync.py:") == 1, err
    assert (unlocked.folder / "grid_summary.csv").read_bytes() == before
    for line in ("--ls_dir", "--start --dry_run", "--check_status --dry_run"):
        assert unlocked(line).status == 0


@pytest.mark.long
def test_a_disk_without_locks_takes_the_files_all_the_same(unlocked, folder):
    """The work folder has a lock, OUTPUTDIR has none."""
    code = script_with("from contextlib import nullcontext as Lock")
    unlocked.grid.door.switches.bandwidth = 2 * MB
    try:
        command = [*WITHOUT_LOCKS, "/usr/bin/python3", "-c", code, "--start"]
        env = {**unlocked.env, "PYTHONPATH": str(SCRIPT.parent)}
        for _ in range(2):
            with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
                part = unlocked.data / folder / f"a{MARK}"
                wait_until(lambda part=part: part.exists() and part.stat().st_size > MB)
                run.kill()
        unlocked.grid.door.switches.bandwidth = 0
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    finally:
        unlocked.grid.door.switches.bandwidth = 0
    assert done.returncode == 0, done.stderr
    assert unlocked.files() == [f"{folder}/a"]
    assert (unlocked.data / folder / "a").read_bytes() == unlocked.grid.tree.expected(f"agata/{folder}/a")
    with open(unlocked.folder / "grid_summary.csv", newline="") as file:
        assert [row["verified"] for row in csv.DictReader(file)] == ["adler32"]
