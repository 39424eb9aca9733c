"""Command lines side by side: how long they take, how they compare, and whether what was to be reached is."""

from __future__ import annotations

import contextlib
import mmap
import os
import re
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

PYTHON = "/usr/bin/python3"
ROUNDS = 5
SLOW = 10  # times as long as gridsync: such a peer runs on a part of the work
PART = 20
LIMIT = 300  # seconds for one run; what takes longer hangs
# A process counts the memory of the one that it was forked from as its own, so a small one stands between.
MEASURED = """
import os, sys, time
began = time.perf_counter()
pid = os.posix_spawn("/bin/sh", ["sh", "-c", sys.argv[2]], os.environ)
_, status, usage = os.wait4(pid, 0)
seconds = time.perf_counter() - began
with open(sys.argv[1], "w") as file:
    print(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, file=file)
sys.exit(os.waitstatus_to_exitcode(status) & 255)
"""


class Failed(Exception):
    """A command that ended badly, or not at all."""


class Refused(Exception):
    """A tool that did not bring what it should have brought; it has no time."""


class Run(NamedTuple):
    """What a line for sh took, with all that it waited for."""

    line: str
    seconds: float
    cpu: float
    memory: float  # MB, of its largest process
    server: float = 0.0  # CPU seconds that the server took meanwhile, where that is looked at


def cpu_of(pid: int) -> float:
    """CPU seconds that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def timed(line: str, env: dict[str, str], folder: Path, limit: float = LIMIT) -> Run:
    """Run a line for sh."""
    note, errors = folder / "measured", folder / "errors"
    command = [PYTHON, "-I", "-S", "-c", MEASURED, str(note), line]
    with open(errors, "wb") as file:
        process = subprocess.Popen(
            command, env=env, cwd=folder, stdin=subprocess.DEVNULL, stderr=file, start_new_session=True
        )
    try:
        status = process.wait(limit)
    except subprocess.TimeoutExpired:
        raise Failed(f"not done after {limit:.0f} s: {line}") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if status:
        raise Failed(f"status {status}: {line}\n{errors.read_text(errors='replace')[-500:]}")
    return Run(line, *map(float, note.read_text().split()))


def touch(size: int) -> None:
    """Have so much free memory at hand, or half of what is free.

    A virtual machine may have given it to its host, and gets it back page by page: whatever writes first then takes up
    to three times as long.
    """
    size = min(size, os.sysconf("SC_AVPHYS_PAGES") * mmap.PAGESIZE // 2)
    mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE).close()


def nothing(_: Path) -> None:
    """There is nothing to do."""


def nobody() -> float:
    """There is no server to look at."""
    return 0.0


class Side(NamedTuple):
    """One of those that are compared. Each run has a folder of its own, new and empty."""

    name: str  # in the table
    command: Callable[[Path], str]  # a line for sh
    env: dict[str, str]
    before: Callable[[Path], None] = nothing  # the clock runs
    check: Callable[[Path], None] = nothing  # refuses what is not as it should be, and tidies up
    verifies: str = "-"
    part: Side | None = None  # the same on a part of the work, if that can be
    scale: int = PART  # how much larger the whole is
    always_part: bool = False  # it is known to be slow
    writes: int = 0  # bytes, if they are many
    server: Callable[[], float] = nobody  # CPU seconds that it has taken so far
    limit: float = LIMIT

    def run(self, folder: Path, number: int) -> Run:
        place = folder / f"{self.name.replace(' ', '_')}-{number}"
        place.mkdir(parents=True)
        self.before(place)
        line = self.command(place)
        os.sync()  # what others have written is not to be written now
        if self.writes:
            touch(2 * self.writes)  # what is given back is not what is taken first
        before = self.server()
        run = timed(line, self.env, folder, self.limit)
        run = run._replace(server=self.server() - before)
        self.check(place)
        return run


class Runs(NamedTuple):
    """How a side did."""

    side: Side
    runs: list[Run]
    scale: int = 1

    @property
    def seconds(self) -> float:
        return median(run.seconds for run in self.runs) * self.scale

    @property
    def cpu(self) -> float:
        return median(run.cpu for run in self.runs) * self.scale


def ratio(one: Runs, other: Runs) -> float:
    """How many times as long one takes: the median round by round, so that a slow minute does not count."""
    if one.scale == other.scale and len(one.runs) == len(other.runs):
        return median(a.seconds / b.seconds for a, b in zip(one.runs, other.runs))
    return one.seconds / other.seconds


def side_by_side(sides: Sequence[Side], folder: Path, rounds: int = ROUNDS, warm: bool = True) -> dict[str, Runs]:
    """Each in turn, and so on, gridsync being the first of them; a slow one only at first, on a part of the work."""
    ours, *peers = sides
    done = {side.name: Runs(side, []) for side in sides}
    for number in range(0 if warm else 1, rounds + 1):
        order = [ours, *(peers if number % 2 else reversed(peers))]
        turn = number % len(order) if number > 1 else 0  # at first ours, whose time says who is slow; then each in turn
        for side in order[turn:] + order[:turn]:
            if done[side.name].scale > 1:
                continue
            if number < 2 and side.part and not done[side.name].runs:
                limit = SLOW * done[ours.name].runs[0].seconds / side.scale
                run = side.part.run(folder, 1000 + number)
                if run.seconds > limit and not side.always_part:  # it may have had bad luck
                    run = min(run, side.part.run(folder, 2000 + number), key=lambda some: some.seconds)
                if run.seconds > limit or side.always_part:
                    done[side.name] = Runs(side, [run], side.scale)
                    print(f"  {side.name}: {run.seconds:.2f} s for 1/{side.scale} of the work", flush=True)
                    continue
            run = side.run(folder, number)
            print(f"  {side.name}: {run.seconds:.2f} s", flush=True)
            done[side.name].runs.append(run)
    # The first round was to warm up.
    return {name: some._replace(runs=some.runs[warm if some.scale == 1 else 0 :]) for name, some in done.items()}


def best(done: dict[str, Runs], names: Sequence[str] = ()) -> Runs:
    """The fastest of those named, or of all peers."""
    return min((done[name] for name in names or list(done)[1:]), key=lambda some: some.seconds)


def figure(number: float, digits: int = 3) -> str:
    """So many digits, more for large numbers; never as 1e+03."""
    return f"{number:.0f}" if number >= 1000 else f"{number:.{digits}g}"


def table(done: dict[str, Runs], short: dict[str, str]) -> str:
    """A row for each side, then the lines as they were run, with short names for places."""
    head = "| tool | seconds, median | least to most | CPU s | peak MB | verified | times as long as gridsync |"
    ours = next(iter(done.values()))
    with_server = ours.side.server is not nobody
    head += " CPU s of the server |" if with_server else ""
    lines = [head, re.sub("[^|]+", "---", head)]
    for some in done.values():
        seconds = [run.seconds for run in some.runs]
        spread = f"{figure(min(seconds))} to {figure(max(seconds))}"
        if some.scale > 1:
            spread = f"1/{some.scale} of the work, scaled"
        lines.append(
            f"| {some.side.name} | {figure(some.seconds)} | {spread} | {figure(some.cpu)} "
            f"| {median(run.memory for run in some.runs):.0f} | {some.side.verifies} | {ratio(some, ours):.2f} |"
            + (f" {figure(median(run.server for run in some.runs) * some.scale)} |" if with_server else "")
        )
    commands = ["", *(f"    {some.runs[-1].line}" for some in done.values()), ""]
    text = "\n".join(lines + commands)
    for place, name in short.items():
        text = text.replace(place, name)
    return text


class Goal(NamedTuple):
    """What is to be reached, and what was."""

    what: str
    figure: float
    bound: float
    at_most: bool = False

    def row(self) -> str:
        met = self.figure <= self.bound if self.at_most else self.figure >= self.bound
        bound = f"{'≤' if self.at_most else '≥'} {self.bound:g}"
        # A digit more than the bounds have, or 3.799 would seem to be 3.8.
        return f"| {self.what} | {bound} | {figure(self.figure, 4)} | {'reached' if met else '**not reached**'} |"


def goals(*some: Goal) -> str:
    head = "| to reach | bound | measured | |"
    return "\n".join(["", head, re.sub("[^|]+", "---", head), *(goal.row() for goal in some), ""])
