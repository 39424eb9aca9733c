"""Workers that stand still for long, as on a machine that swaps: real processes, stopped at any moment."""

from __future__ import annotations

import contextlib
import os
import pickle
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gridsync_parts.copy import Copy
from gridsync_parts.disk import MARK
from gridsync_parts.farm.loads import Load, Returned, Setting
from gridsync_parts.farm.marking import lay_mark, lift_mark, machine, setting_for
from gridsync_parts.settings import Config
from gridsync_parts.table import Site
from gridsync_parts.values import Row
from tests.support import TOP
from tests.support.memory import adler32
from tests.support.standing import READY, data, site_of
from tests.support.user import wait_until

LONG = 60  # seconds after which what should come never will


class Farm:
    """A folder, and processes that bring a file into it."""

    def __init__(self, folder: Path, checksums: bool, streams: int):
        self.folder = folder
        folder.mkdir()
        self.checksums = checksums
        self.streams = streams
        site = Site("LYON", "file:///nowhere", "", "gfal2", credential="none")
        self.setting: Setting = setting_for(site, "", Config(str(folder.parent)), str(folder), writes=False)
        lay_mark(self.setting)

    def row(self) -> Row:
        return site_of(self.checksums).row("run/a", adler32(data()) if self.checksums else "")

    def begin(self, is_lost: bool, pause: float = 0) -> subprocess.Popen[bytes]:
        """A worker that has begun."""
        job = Copy(self.row(), str(self.folder), self.streams, self.checksums, is_far=True, is_lost=is_lost)
        command = [sys.executable, "-m", "tests.support.standing"]
        pipe = subprocess.PIPE
        worker = subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=TOP)
        assert worker.stdin and worker.stdout
        pickle.dump((Load(1, self.setting, (job,), 1), self.checksums, pause), worker.stdin)
        worker.stdin.close()
        assert worker.stdout.readline() == READY
        return worker

    def end(self, worker: subprocess.Popen[bytes]) -> Returned:
        assert worker.stdout
        said = worker.stdout.read()
        assert worker.wait(LONG) == 0
        returned: Returned = pickle.loads(said)
        return returned

    def check(self) -> None:
        assert (self.folder / "run/a").read_bytes() == data()
        assert os.listdir(self.folder / "run") == ["a"]


def play(farm: Farm, moment: float, later: float | None) -> bool:
    """A worker is stopped at a moment, and goes on when another one is at it, or done; whether it had begun.

    Moment 0 is when it just has.
    """
    lost = farm.begin(False, pause=0.002)
    try:
        if moment:
            time.sleep(moment)
        else:
            wait_until((farm.folder / "run").exists)
        lost.send_signal(signal.SIGSTOP)
        has_begun = (farm.folder / "run").exists()
        heir = farm.begin(True, pause=0 if later is None else 0.002)
        if later is not None:
            time.sleep(later)
            lost.send_signal(signal.SIGCONT)
        for _ in range(3):
            (done,) = farm.end(heir).done
            if done.outcome and done.outcome.done == "copied":
                break
            assert done.error and done.error.passing, done
            heir = farm.begin(True)
        else:
            pytest.fail("it does not succeed")
        lost.send_signal(signal.SIGCONT)
        farm.end(lost)
        farm.check()
        return has_begun
    finally:
        with contextlib.suppress(ProcessLookupError):
            lost.kill()
            lost.wait()
        lift_mark(farm.setting)


@pytest.mark.long
@pytest.mark.parametrize("checksums", [True, False], ids=["checksum", "size"])
def test_a_worker_that_was_stopped_harms_nothing(tmp_path, checksums):
    assert play(Farm(tmp_path / "one", checksums, 1), 0, None)
    assert play(Farm(tmp_path / "two", checksums, 4), 0, 0.1)


@pytest.mark.long
@pytest.mark.parametrize("checksums", [True, False], ids=["checksum", "size"])
def test_at_no_moment(tmp_path, checksums):
    moments, count = random.Random(checksums), 0
    for number in range(20):
        later = moments.choice([None, moments.uniform(0, 0.4)])
        farm = Farm(tmp_path / f"{number}", checksums, moments.choice([1, 4]))
        count += play(farm, moments.uniform(0, 0.5), later)
    assert count > 10


def test_a_run_without_workers_minds_those_of_one_that_was_killed(mixed):
    """It does not write to what they may still write to, whether locks say so or not."""
    with subprocess.Popen([sys.executable, "-c", ""]) as killed:
        pass
    mark = mixed.data / f"workers-0123456789abcdef{MARK}"
    mixed.data.mkdir(exist_ok=True)
    mark.write_text(f"0123456789abcdef\n{machine()} {killed.pid} 1\n")
    assert mixed("--build_list").status == 0
    (path,) = [path for path in mixed.catalog() if path.endswith("disk/3")]
    part = mixed.data / f"{path}{MARK}"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"")
    with open(part, "rb") as theirs:
        assert mixed("--start").status == 1  # some are on tape
        assert os.fstat(theirs.fileno()).st_nlink == 0 and theirs.read() == b""
    assert (part.parent / "3").stat().st_size == 3_000_000 and not part.exists()
    assert mark.read_text().startswith("over")
