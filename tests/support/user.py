"""Somebody at a shell of the grid, and what their command lines give."""

from __future__ import annotations

import csv
import os
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from gridsync_parts.conf import with_setting
from gridsync_parts.pull import SETTLED
from tests.grid import Grid
from tests.support import SCRIPT
from tests.support.constants import script_with
from tests.support.starter import can_run, starter

BIG = 3 * (1 << 20) + 17  # bytes of the largest of `three` files
CLIENTS = {"C++": "voms-proxy-init2", "Java": "voms-proxy-init3"}
# For User.changed: what fails is soon tried again.
HASTY = "; ".join(f"{what} = Backoff(0.1, 60, 3600)" for what in ("pool", "call", "file"))
RUN_LIMIT = 60  # seconds; nothing here takes nearly as long, unless it hangs
# A process counts the memory of the one that it was forked from as its own, so a small one stands between.
MEASURED = """
import resource, subprocess, sys
status = subprocess.call(sys.argv[2:])
with open(sys.argv[1], "w") as file:
    print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=file)
sys.exit(status)
"""


class Result(NamedTuple):
    """What a command line gave."""

    status: int
    out: str
    err: str


class User:
    """Somebody at a shell of the grid, with a work folder of their own."""

    def __init__(self, grid: Grid, folder: Path):
        self.grid = grid
        self.folder = folder
        self.data = folder / "data"
        self.limit = RUN_LIMIT
        self.changed = ""  # values of constants that no user can set, for all runs: "check = 0.2"
        self.before: tuple[str, ...] = ()  # a program that gridsync.py is run by, with its arguments
        self.env = {**grid.env, "GRIDSYNC_DIR": str(folder), "NO_COLOR": "1"}
        # A failure that stays would be waited for; once is enough to see that it is tried again.
        conf = grid.conf(self.data).replace("[gridsync]\n", "[gridsync]\nRETRIES = 1\n")
        (folder / "Grid.conf").write_text(conf)

    def command(self, line: str, changed: str = "") -> list[str]:
        """gridsync.py with the words of a line, as in a shell."""
        changed = changed or self.changed
        program = ["-c", script_with(changed)] if changed else [str(SCRIPT)]
        return [*self.before, "/usr/bin/python3", *program, *shlex.split(line)]

    def __call__(self, line: str, typed: str = "", changed: str = "", **env: str) -> Result:
        """Run gridsync.py with the words of a line, and with what is typed into it.

        `changed` gives other values to constants, for this run alone.
        """
        env, changed = {**self.env, **env}, changed or self.changed
        if not self.before and can_run(env):
            return Result(*starter().run(shlex.split(line), changed, typed, env, self.limit))
        if changed:
            env["PYTHONPATH"] = f"{env.get('PYTHONPATH', '')}:{SCRIPT.parent}".lstrip(":")
        command = self.command(line, changed)
        done = subprocess.run(
            command, input=typed, env=env, capture_output=True, text=True, timeout=self.limit, check=False
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def measure(self, line: str) -> tuple[Result, float]:
        """Run it, and the MB of memory that it took at the most."""
        note = self.folder / "memory"
        self.before = ("/usr/bin/python3", "-c", MEASURED, str(note))
        result = self(line)
        self.before = ()
        return result, int(note.read_text()) / 1024

    @contextmanager
    def running(self, line: str, changed: str = "", **env: str) -> Iterator[subprocess.Popen[str]]:
        """gridsync.py while it runs, and is killed in the end if it still does."""
        ends = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        env = {**self.env, "PYTHONPATH": str(SCRIPT.parent), **env}
        with subprocess.Popen(self.command(line, changed), env=env, text=True, **ends) as run:
            try:
                yield run
            finally:
                run.kill()

    def set(self, key: str, value: str, site: str = "LYON") -> None:
        """Change a key of a site in Grid.conf."""
        path = self.folder / "Grid.conf"
        path.write_text(with_setting(path.read_text(), site, key, value))

    def catalog(self) -> dict[str, dict[str, str]]:
        """The rows of the catalog by path."""
        with open(self.folder / "grid_summary.csv", newline="", encoding="utf-8") as file:
            return {row["path"]: row for row in csv.DictReader(file)}

    def files(self) -> list[str]:
        """All that is below OUTPUTDIR, by the path of the catalog."""
        return sorted(str(path.relative_to(self.data)) for path in self.data.rglob("*") if path.is_file())


def contents(folder: Path) -> dict[str, bytes]:
    """The files below a folder, by their path there. What goes away or gets its name meanwhile is left out."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            with suppress(FileNotFoundError):
                found[str(path.relative_to(folder))] = path.read_bytes()
    return found


def write_secret(path: Path, text: str) -> None:
    """Write a file that nobody else can read."""
    path.touch(mode=0o600)
    path.write_text(text)


def wait_until(is_so: Callable[[], object], seconds: float = 30) -> None:
    """Wait for what must happen soon."""
    ends = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < ends, "it did not happen"
        time.sleep(0.005)


def a_minute_later(folder: Path) -> None:
    """A door has begun by now with all that a run has asked it for."""
    noted = folder / "grid_uploads.csv"
    if noted.exists():
        os.utime(noted, (noted.stat().st_mtime - SETTLED,) * 2)


def read_copy(user: User, path: str) -> bytes:
    """A file as it is here."""
    return (user.data / path).read_bytes()


def flip(path: Path, at: int) -> None:
    """Damage a byte of a file, behind the back of its size and time."""
    times = path.stat()
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def move_to_tape(user: User, path: str) -> None:
    """Do what a door does with a file whose pin has ended."""
    user.grid.tree.file(f"agata/{path}").locality = "NEARLINE"


def wait_until_online(user: User, seconds: float = 20) -> None:
    """Ask until nothing is on tape alone any more."""
    ends = time.monotonic() + seconds
    while "NEARLINE=0" not in user("--check_status").out:
        assert time.monotonic() < ends


def find_wrong(user: User, folder: str) -> list[str]:
    """Files of the folder that are not here, or not right; and files that are too many."""
    wanted = {path[len("agata/") :] for path in user.grid.tree.files(f"agata/{folder}")}
    found = set(user.files())
    return sorted(
        path
        for path in wanted | found
        if path not in wanted & found or (user.data / path).read_bytes() != user.grid.tree.expected(f"agata/{path}")
    )


def find_pinned(user: User, folder: str) -> list[str]:
    """Files of the folder that still are pinned at LYON; StoRM takes a release and does nothing."""
    return [path for path in user.grid.tree.files(f"agata/{folder}") if user.grid.door.staging.pins(path)]


def wait_for(process: subprocess.Popen[str], seconds: float = 60) -> Result:
    """What a run gives, once it has ended."""
    out, err = process.communicate(timeout=seconds)
    return Result(process.returncode, out, err)


def count_rows(user: User, column: str) -> int:
    """How many rows of the catalog say yes, or anything at all, in a column."""
    try:
        return sum(row[column] not in ("", "no") for row in user.catalog().values())
    except FileNotFoundError:  # it is not made yet
        return 0
