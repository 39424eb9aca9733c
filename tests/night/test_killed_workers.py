"""Workers that are killed, again and again, are stopped and come back, or lose their run or their scheduler.

KILLED_FOR=1200 SEED=1 /usr/bin/python3 -m pytest -rP tests/night/test_killed_workers.py goes on for as many seconds as
one likes, and prints what came of it. Whatever happens, each file is right byte by byte, or not there.
"""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from gridsync_parts.farm.marking import is_running
from tests.grid import Grid
from tests.grid.farm import Farm
from tests.support.crew import dask_of
from tests.support.sender import Sender, last_line
from tests.support.user import Result, User, find_wrong, wait_until

pytest.importorskip("distributed")
pytestmark = pytest.mark.long

KILLED_FOR = int(os.environ.get("KILLED_FOR", "60"))
SEED = int(os.environ.get("SEED", "1"))
EVERY = 5.0  # seconds between two kills
MB = 1_000_000
RATE = MB  # bytes a second of all workers together
SMALL, LARGE = 15_000, 8 * MB + 17
PATIENCE = 600  # seconds for what a machine with much to do may take
SHOWN = ("X509_CERT_DIR", "X509_USER_PROXY")


class Night:
    """A user with small files and large ones, more than are copied in a while, and a temporary folder of their own."""

    def __init__(self, user: User, folder: str, seconds: int) -> None:
        self.user, self.folder = user, folder
        self.dice = random.Random(SEED)
        large = max(2, RATE * seconds // (3 * LARGE))
        small = max(400, (RATE * seconds - large * LARGE) // SMALL)
        names = {f"run{number % 20:02d}/{number:05d}": SMALL + number % 7 for number in range(small)}
        names.update({f"run{number % 20:02d}/0{number:02d}.large": LARGE + number for number in range(large)})
        names["run00/empty"] = 0
        for name, size in names.items():
            user.grid.tree.add(f"agata/{folder}/{name}", size)
        self.count = len(names)
        self.temporary = user.folder / "temporary"
        self.temporary.mkdir()
        user.env["TMPDIR"] = str(self.temporary)
        user.limit = PATIENCE
        user.set("INPUTDIR", folder, "gridsync")
        self.seen: set[int] = set()  # processes that runs have started

    @contextmanager
    def running(self, more: str, changed: str = "", **env: str) -> Iterator[subprocess.Popen[str]]:
        with self.user.running(f"--sync --threads=6 --bwlimit={RATE} {more}", changed, **env) as run:
            yield run

    def arrived(self) -> int:
        """How many files have their names."""
        return sum(path.suffix != ".gridsync-part" for path in self.user.data.rglob("*") if path.is_file())

    def wait_for(self, more: int) -> None:
        """Wait until so many more have."""
        before = self.arrived()
        wait_until(lambda: self.arrived() >= before + more, 120)

    def workers(self, run: subprocess.Popen[str]) -> list[int]:
        """Those that a run has started."""
        workers = dask_of(run.pid, "worker")
        self.seen.update(workers)
        return workers

    def is_complete(self, result: Result, copied: int, lost: Sequence[int] = (0,)) -> None:
        """All came, each once, and nothing is left but the marks of runs whose workers may be alive, for a day."""
        assert result.status == 0 and "Traceback" not in result.err, result
        line = re.search(r"Copied: (\d+), skipped: (\d+), failed: 0", result.out)
        assert line and int(line[1]) == copied and int(line[1]) + int(line[2]) == self.count, result.out[-500:]
        rows = self.user.catalog()
        assert len(rows) == self.count
        said = {(row["downloaded"], row["verified"], row["error"]) for row in rows.values() if row["size"] != "0"}
        assert said == {("yes", "adler32", "")}
        marks = [path for path in self.user.files() if re.fullmatch(r"workers-\w+\.gridsync-part", path)]
        assert len(marks) in lost and find_wrong(self.user, self.folder) == sorted(marks)
        wait_until(lambda: not any(map(is_running, self.seen)))
        assert list(self.temporary.iterdir()) == []

    def is_right_so_far(self) -> int:
        """What has its name is right; how many files these are."""
        tree, here = self.user.grid.tree, [path for path in self.user.files() if not path.endswith(".gridsync-part")]
        assert all((self.user.data / path).read_bytes() == tree.expected(f"agata/{path}") for path in here)
        return len(here)


@pytest.fixture
def night(user: User, folder: str) -> Night:
    return Night(user, folder, KILLED_FOR)


@pytest.fixture
def short(user: User, folder: str) -> Night:
    return Night(user, folder, 20)


@pytest.fixture
def farm(grid: Grid, tmp_path: Path) -> Iterator[Farm]:
    """A scheduler of the user's own, without workers as yet."""
    (tmp_path / "farm").mkdir()
    with Farm(tmp_path / "farm") as farm:
        yield farm


def hire(farm: Farm, grid: Grid) -> None:
    farm.hire(2, **{name: grid.env[name] for name in SHOWN})


def told(run: subprocess.Popen[str]) -> Result:
    """What a run gives in the end."""
    out, err = run.communicate(timeout=PATIENCE)
    return Result(run.returncode, out, err)


def test_a_worker_killed_every_five_seconds_loses_no_file(night):
    kills, ends = 0, time.monotonic() + KILLED_FOR
    with night.running("--workers=local:3") as run:
        night.wait_for(20)
        while run.poll() is None and time.monotonic() < ends:
            if workers := night.workers(run):
                os.kill(night.dice.choice(workers), signal.SIGKILL)
                kills += 1
            time.sleep(EVERY)
        result = told(run)
    print(f"local: {night.count} files, {kills} kills; {result.out.splitlines()[-1:]}")
    assert kills > KILLED_FOR / EVERY / 2
    night.is_complete(result, night.count)


def test_workers_of_a_scheduler_are_killed_and_others_join(night, farm, grid):
    for _ in range(3):
        hire(farm, grid)
    kills, ends = 0, time.monotonic() + KILLED_FOR
    with night.running(f"--workers={farm.address}", **farm.environment) as run:
        night.wait_for(20)
        while run.poll() is None and time.monotonic() < ends:
            night.dice.choice([worker for worker in farm.workers if worker.is_running()]).stop()
            kills += 1
            hire(farm, grid)
            time.sleep(EVERY)
        result = told(run)
    print(f"a scheduler: {night.count} files, {kills} kills; {result.out.splitlines()[-1:]}")
    assert kills > KILLED_FOR / EVERY / 3
    night.is_complete(result, night.count)


def test_a_worker_that_stops_and_comes_back_harms_nothing(short, farm, grid):
    for _ in range(3):
        hire(farm, grid)
    with short.running(f"--workers={farm.address}", "SILENT = 4.0", **farm.environment) as run:
        wait_until(lambda: list(short.user.data.rglob("*.large*")), 120)
        stopped = farm.workers[0].pid
        for seconds in (8, 2, 12, 1):
            os.kill(stopped, signal.SIGSTOP)
            time.sleep(seconds)
            os.kill(stopped, signal.SIGCONT)
            time.sleep(1)
        result = told(run)
    assert "nothing is heard of it; other workers copy its files" in result.out + result.err, result
    short.is_complete(result, short.count, lost=[0, 1])


def test_a_worker_that_comes_to_itself_works_again(short, farm, grid, tmp_path):
    for _ in range(2):
        hire(farm, grid)
    log = tmp_path / "run.log"
    with short.running(f"--workers={farm.address} --log_file={log}", "SILENT = 4.0", **farm.environment) as run:
        short.wait_for(20)
        first, other = farm.workers
        os.kill(first.pid, signal.SIGSTOP)
        wait_until(lambda: "nothing is heard of it" in log.read_text(), 120)
        os.kill(first.pid, signal.SIGCONT)
        time.sleep(3)
        other.stop()
        result = told(run)
    assert "it is gone" in result.out + result.err, result
    short.is_complete(result, short.count, lost=[0, 1])


def test_workers_of_a_run_that_stop_are_replaced(short):
    with short.running("--workers=local:3", "SILENT = 4.0") as run:
        short.wait_for(20)
        stopped = short.workers(run)[0]
        os.kill(stopped, signal.SIGSTOP)
        wait_until(lambda: len(set(short.workers(run)) - {stopped}) > 2 or run.poll() is not None, 60)
        result = told(run)
    assert "nothing is heard of it" in result.out + result.err, result
    short.is_complete(result, short.count)


def test_a_killed_run_is_gone_on_with_with_workers_and_without(short):
    for more in ("--workers=local:3", "--workers=local:2", ""):
        with short.running(more) as run:
            short.wait_for(50)
            short.workers(run)
            run.kill()
            run.communicate(timeout=60)
        assert short.is_right_so_far() >= 50
        wait_until(lambda: not any(map(is_running, short.seen)))
        assert list(short.temporary.iterdir()) == []
    here = short.arrived()
    result = short.user("--sync --workers=local:3")
    short.is_complete(result, short.count - here, lost=[2])


def test_a_killed_run_whose_workers_live_on_is_gone_on_with(short, farm, grid):
    for _ in range(2):
        hire(farm, grid)
    for _ in range(3):
        with short.running(f"--workers={farm.address}", **farm.environment) as run:
            short.wait_for(50)
            run.kill()
            run.communicate(timeout=60)
        assert short.is_right_so_far() >= 50
    with short.running(f"--workers={farm.address}", **farm.environment) as run:
        result = told(run)
    short.is_complete(result, int(re.findall(r"Copied: (\d+)", result.out)[-1]), lost=[3])


def test_without_its_scheduler_a_run_ends_and_another_one_completes_it(short, farm, grid):
    hire(farm, grid)
    with short.running(f"--workers={farm.address}", **farm.environment) as run:
        short.wait_for(50)
        farm.scheduler.stop()
        result = told(run)
    assert result.status == 4 and result.err.count("gridsync.py: ") == 1 and "scheduler" in result.err, result
    here = short.is_right_so_far()
    result = short.user("--sync --workers=local:2")
    copied = int(re.findall(r"Copied: (\d+)", result.out)[-1])
    assert copied <= short.count - here, "what had come does not come again"
    short.is_complete(result, copied, lost=[0, 1])  # it was at something when nobody heard it any more


def test_ctrl_c_leaves_workers_that_the_next_run_can_have(short, farm, grid):
    hire(farm, grid)
    hire(farm, grid)
    for _ in range(2):
        with short.running(f"--workers={farm.address}", **farm.environment) as run:
            short.wait_for(50)
            run.send_signal(signal.SIGINT)
            result = told(run)
        assert result.status == 130 and "Traceback" not in result.err, result
        here = short.is_right_so_far()
        time.sleep(3)
        assert short.arrived() == here, "nobody works for a run that has ended"
        assert not list(short.user.data.glob("*.gridsync-part")), "its mark is gone"
    result = short.user(f"--sync --workers={farm.address}", **farm.environment)
    short.is_complete(result, short.count - here)


@pytest.mark.parametrize("door", ["dcache", "storm"])
def test_workers_that_send_are_killed_and_nothing_is_lost(grid, tmp_path, folder, door):
    sender, dice, kills = Sender(grid, tmp_path, folder, door), random.Random(SEED), 0
    sender.limit = PATIENCE
    for number in range(600):
        sender.fill(f"many{number % 9}/{number:03d}", dice.randbytes(10_000 + number))
    for number in range(3):
        sender.fill(f"large/{number}", dice.randbytes(3 * MB + number))
    with sender.running(sender.line(f"--threads=4 --bwlimit={RATE // 2} --workers=local:3")) as run:
        wait_until(lambda: len(sender.there()) > 20, 120)
        while run.poll() is None and kills < 15:
            if workers := dask_of(run.pid, "worker"):
                os.kill(dice.choice(workers), signal.SIGKILL)
                kills += 1
            time.sleep(2)
        result = told(run)
    assert kills > 5 and result.status == 0, result
    assert sender.there() == sender.here(), sorted(sender.there().keys() ^ sender.here().keys())
    count = len(sender.here())
    assert re.search(last_line(skipped=count), sender.put("--workers=local:2").out)
