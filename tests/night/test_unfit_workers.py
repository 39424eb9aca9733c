"""Workers of a scheduler that can't work for a run, lose what they need, have no room or are slow; the others go on."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gridsync_parts import __version__
from tests.grid import Grid
from tests.grid.farm import Farm
from tests.support import TOP
from tests.support.disk import Disk
from tests.support.user import Result, User, find_wrong, wait_until

pytest.importorskip("distributed")
pytestmark = pytest.mark.long

SHOWN = ("X509_CERT_DIR", "X509_USER_PROXY")
FILES = 60
SLOWLY = "--bwlimit=300K"  # so that a worker is asked before all is done
GO_ON = "the others go on without it"


class Owner(User):
    """A user with a scheduler."""

    farm: Farm

    def hire(self, before: tuple[str, ...] = (), **env: str) -> int:
        """A worker; its pid."""
        shown = {name: self.env[name] for name in SHOWN}
        return self.farm.hire(2, prefix=before, **{**shown, **env}).pid

    def sync(self, more: str = "") -> Result:
        return self(f"--sync --threads=4 --workers={self.farm.address} {more}", **self.farm.environment)


@pytest.fixture
def owner(grid: Grid, tmp_path: Path, folder: str) -> Iterator[Owner]:
    (tmp_path / "farm").mkdir()
    owner = Owner(grid, tmp_path)
    for number in range(FILES):
        grid.tree.add(f"agata/{folder}/{number:02d}", 400_000 if number % 10 == 3 else 9000 + number)
    owner.set("INPUTDIR", folder, "gridsync")
    owner.limit = 300
    owner.data.mkdir()
    with Farm(tmp_path / "farm") as owner.farm:
        yield owner


def hide(disk: Disk, folder: Path | str) -> None:
    """Have something else there in the place of a folder."""
    subprocess.run([*disk.before, "mount", "-t", "tmpfs", "tmpfs", str(folder)], check=True)


def older(folder: Path) -> str:
    """Another gridsync; where it is."""
    shutil.copytree(TOP / "gridsync_parts", folder / "gridsync_parts", ignore=shutil.ignore_patterns("__pycache__"))
    with open(folder / "gridsync_parts" / "copy.py", "a") as file:
        file.write("# It is another one.\n")
    return str(folder)


def is_said(result: Result, *words: str) -> None:
    """It stands in one line, with what follows from it."""
    lines = (result.out + result.err).splitlines()
    assert any(all(word in line for word in words) for line in lines), result
    assert "Traceback" not in result.out + result.err


def test_one_that_does_not_see_the_folder(owner, disk, folder):
    hide(disk, owner.data)
    owner.hire()
    owner.hire(disk.before)
    result = owner.sync(SLOWLY)
    assert result.status == 0 and find_wrong(owner, folder) == [], result
    is_said(result, "does not see", str(owner.data), GO_ON)
    assert not list(Path(f"/proc/{disk.holder.pid}/root{owner.data}").iterdir())
    owner.farm.workers[0].stop()
    (owner.data / folder / "05").unlink()
    result = owner.sync()
    assert result.status == 5 and result.err.count("gridsync.py: ") == 1, result
    is_said(result, "gridsync.py: worker", "does not see", "mount it there under the same name")


def test_one_that_loses_the_folder_in_the_middle(owner, disk, folder):
    owner.hire()
    owner.hire(disk.before)
    line = f"--sync --threads=4 --bwlimit=200K --workers={owner.farm.address}"
    with owner.running(line, **owner.farm.environment) as run:
        wait_until(lambda: len(list((owner.data / folder).glob("??"))) > 10, 60)
        hide(disk, owner.data)
        out, err = run.communicate(timeout=300)
    result = Result(run.returncode, out, err)
    assert result.status == 0 and find_wrong(owner, folder) == [], result
    is_said(result, "does not see", GO_ON)
    named = [path for path in Path(f"/proc/{disk.holder.pid}/root{owner.data}").rglob("*") if path.is_file()]
    assert not named, "it gave names elsewhere"


def test_one_with_another_gridsync(owner, tmp_path, folder):
    owner.hire(PYTHONPATH=older(tmp_path / "older"))
    result = owner.sync()
    assert result.status == 4 and not owner.files() and result.err.count("gridsync.py: ") == 1, result
    words = f"has gridsync {__version__}", f"but this run {__version__}", "install the same there"
    is_said(result, "gridsync.py: worker", *words)
    owner.hire()
    result = owner.sync(SLOWLY)
    assert result.status == 0 and find_wrong(owner, folder) == [], result
    is_said(result, f"has gridsync {__version__}", GO_ON)


def test_one_without_the_proxy(owner, disk, folder):
    hide(disk, Path(owner.env["X509_USER_PROXY"]).parent)
    owner.hire(disk.before)
    result = owner.sync()
    assert result.status == 3 and not owner.files() and result.err.count("gridsync.py: ") == 1, result
    is_said(result, "gridsync.py: worker", "proxy", owner.env["X509_USER_PROXY"])
    owner.hire()
    result = owner.sync(SLOWLY)
    assert result.status == 0 and find_wrong(owner, folder) == [], result
    is_said(result, "proxy", GO_ON)


def test_a_disk_that_is_full_ends_the_run_and_it_is_gone_on_with_once_there_is_room(owner, tmp_path, folder):
    disk = Disk(owner.data)
    try:
        disk.expect()
        disk.fill(leave=300_000)
        owner.before = disk.before
        owner.hire(disk.before)
        owner.hire(disk.before)
        result = owner.sync()
        assert result.status == 5 and result.err.count("gridsync.py: ") == 1, result
        is_said(result, "gridsync.py: ", "make room")  # says who writes, or the look at what is free
        disk.make_room()
        result = owner.sync()
        assert result.status == 0 and re.search("Copied: [1-9].*, failed: 0", result.out), result
        tree, there = owner.grid.tree, disk.inside / folder
        assert all((there / path[-2:]).read_bytes() == tree.expected(path) for path in tree.files(f"agata/{folder}"))
        assert not list(disk.inside.glob("*.gridsync-part"))
    finally:
        disk.close()


def test_one_that_is_slow_is_given_less_and_holds_nobody_up(owner, folder):
    slow = owner.hire()
    owner.hire()
    is_over = threading.Event()

    def hold_back() -> None:
        while not is_over.is_set():
            os.kill(slow, signal.SIGSTOP)
            time.sleep(0.9)
            os.kill(slow, signal.SIGCONT)
            time.sleep(0.1)

    thread = threading.Thread(target=hold_back)
    thread.start()
    try:
        stats = owner.folder / "stats.csv"
        result = owner.sync(f"--stats={stats}")
    finally:
        is_over.set()
        thread.join()
    assert result.status == 0 and find_wrong(owner, folder) == [], result
    assert f"Copied: {FILES}, skipped: 0, failed: 0" in result.out
