"""A machine that gives too little: few open files, little memory, no more threads, a current folder that has gone."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from gridsync_parts.segments import SHORTEST
from tests.support import SCRIPT
from tests.support.user import User

MB = 1 << 20


@pytest.fixture
def some(user: User, folder: str) -> User:
    """A user with a list of files, of which one is worth several streams."""
    for number in range(12):
        user.grid.tree.add(f"agata/{folder}/{number}", 50_000)
    user.grid.tree.add(f"agata/{folder}/large", 4 * SHORTEST)
    assert user(f"--input_dir {folder} --build_list").status == 0
    return user


def said(user: User, line: str, *limits: str) -> tuple[int, str]:
    """The status of a run below limits, and its last sentence; a fault has none."""
    user.before = ("prlimit", *limits)
    status, _, err = user(line)
    user.before = ()
    assert "Traceback" not in err and "a fault of gridsync" not in err, err
    return status, err.strip().rpartition("\n")[2]


def assert_it_goes_on(user: User, folder: str) -> None:
    """Without the limit all comes, and is right."""
    assert user("--start").status == 0
    for path in user.catalog():
        assert (user.data / path).read_bytes() == user.grid.tree.expected(f"agata/{path}")


@pytest.mark.parametrize("line", ["--start", "--sync", "--build_list", "--ls_dir", "--start --threads 8 --streams 8"])
@pytest.mark.parametrize("limit", [7, 16])
def test_too_few_open_files_are_a_sentence(some, folder, line, limit):
    status, sentence = said(some, line, f"--nofile={limit}")
    assert status == 5 and "(ulimit -n)" in sentence, sentence
    assert_it_goes_on(some, folder)


@pytest.mark.long
def test_a_limit_on_open_files_that_the_user_may_raise_is_raised(some):
    assert said(some, "--start --threads 8 --streams 4", "--nofile=16:1000")[0] == 0


@pytest.mark.parametrize("limit", [200, 300])
def test_too_little_memory_is_a_sentence(some, folder, limit):
    status, sentence = said(some, "--start", f"--as={limit * 1000 * 1024}")
    assert status == 0 or (status == 5 and "this machine has no memory or threads left" in sentence), sentence
    assert_it_goes_on(some, folder)


NO_THREADS = """import itertools, threading
threading.Thread.start = (lambda real, count: lambda self: (_ for _ in ()).throw(RuntimeError(\
"can't start new thread")) if self._target.__name__ == "receive" and next(count) % 3 == 1 else real(self))(\
threading.Thread.start, itertools.count())"""


@pytest.mark.long
def test_streams_whose_threads_can_not_start_come_one_after_the_other(some, folder):
    for number in range(3):
        some.grid.tree.add(f"agata/{folder}/large{number}", 4 * SHORTEST)
    assert some("--build_list").status == 0
    status, _, err = some("--start --streams 4", changed=NO_THREADS)
    assert status == 0, err
    assert_it_goes_on(some, folder)


@pytest.mark.parametrize("line", ["--start", "--show_conf", "--output_dir x", "--ls_dir", "--threads 2", "--verify"])
def test_a_current_folder_that_has_gone_is_a_sentence(user, tmp_path, line):
    gone = tmp_path / "gone"
    gone.mkdir()
    unset = ("GRIDSYNC_DIR", "PYTHONPATH")  # the latter leads to coverage, which can begin there no more than gridsync
    environment = {name: value for name, value in user.env.items() if name not in unset}
    command = ["sh", "-c", f'rmdir "$PWD"; exec /usr/bin/python3 {SCRIPT} {line}']
    done = subprocess.run(command, cwd=gone, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 5
    assert done.stderr.startswith("gridsync.py: the current folder, or its disk, cannot be used")
    assert done.stderr.count("\n") == 1 and not os.path.exists(gone) and Path.cwd().exists()
