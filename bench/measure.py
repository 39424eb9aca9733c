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
TRIAL = int(os.environ.get("BENCH_ROUNDS", 0))  # so many rounds of each row, to try it; its times count for nothing
ROUNDS = 5
FEWER = 3  # rounds where gigabytes move
SLOW = 2  # times as long as gridsync in its first run: such a peer has no other
PART = 20  # what is known to take minutes runs on a part of the work
LIMIT = 300  # seconds for one run; what takes longer hangs
AFTERWARDS = "sync -f, after it"  # how files become durable that a tool leaves in memory
# A process counts the memory of the one that it was forked from as its own, so a small one stands between.
MEASURED = """
import os, sys, time
note, *lines = sys.argv[1:]
began, ends, cpu, memory = time.perf_counter(), [], 0.0, 0.0
for line in lines:
    _, status, usage = os.wait4(os.posix_spawn("/bin/sh", ["sh", "-c", line], os.environ), 0)
    if status:
        sys.exit(os.waitstatus_to_exitcode(status) & 255)
    ends.append(time.perf_counter() - began)
    cpu += usage.ru_utime + usage.ru_stime
    memory = max(memory, usage.ru_maxrss / 1024)
with open(note, "w") as file:
    print(ends[-1], cpu, memory, ends[0], file=file)
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
    alone: float = 0.0  # seconds until it ended, without the sync that followed
    server: float = 0.0  # CPU seconds that the server took meanwhile, where that is looked at


def cpu_of(pid: int) -> float:
    """CPU seconds that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def timed(line: str, env: dict[str, str], folder: Path, limit: float = LIMIT, sync: str = "") -> Run:
    """Run a line for sh, and then one that syncs, if there is one."""
    note, errors = folder / "measured", folder / "errors"
    lines = [line, sync] if sync else [line]
    command = [PYTHON, "-I", "-S", "-c", MEASURED, str(note), *lines]
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
    return Run(" && ".join(lines), *map(float, note.read_text().split()))


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
    durable: str = "-"
    is_peer: bool = True  # or it is there to be looked at
    part: Side | None = None  # the same on a part of the work, for one that is known to be slow
    scale: int = PART  # how much larger the whole is
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
        sync = f"sync -f {place}" if self.durable == AFTERWARDS else ""
        run = timed(line, self.env, folder, self.limit, sync)
        run = run._replace(server=self.server() - before)
        self.check(place)
        return run


class Runs(NamedTuple):
    """How a side did."""

    side: Side
    runs: list[Run]
    scale: int = 1
    is_slow: bool = False  # it was measured once

    def median(self, of: Callable[[Run], float]) -> float:
        return median(map(of, self.runs)) * self.scale

    @property
    def seconds(self) -> float:
        return self.median(took)

    @property
    def cpu(self) -> float:
        return self.median(used)


def took(run: Run) -> float:
    return run.seconds


def used(run: Run) -> float:
    return run.cpu


def ratio(one: Runs, other: Runs, of: Callable[[Run], float] = took) -> float:
    """How many times as long one takes: the median round by round, so that a slow minute does not count."""
    if len(one.runs) == len(other.runs) and one.scale == other.scale:
        return median(of(a) / of(b) for a, b in zip(one.runs, other.runs))
    return one.median(of) / other.median(of)


def side_by_side(sides: Sequence[Side], folder: Path, rounds: int = ROUNDS, warm: bool = True) -> dict[str, Runs]:
    """Each in turn, and so on, gridsync being the first of them; a slow one only once."""
    ours, *peers = sides
    rounds, warm = (TRIAL, False) if TRIAL else (rounds, warm)
    done = {side.name: Runs(side, []) for side in sides}
    for number in range(0 if warm else 1, rounds + 1):
        order = [ours, *(peers if number % 2 else reversed(peers))]
        turn = number % len(order) if number > 1 else 0  # at first ours, whose time says who is slow; then each in turn
        for side in order[turn:] + order[:turn]:
            some = done[side.name]
            if some.is_slow:
                continue
            if side.part:  # twice, or bad luck would be scaled
                run = min((side.part.run(folder, 1000 * turn) for turn in (1, 2)), key=took)
                done[side.name] = Runs(side, [run], side.scale, is_slow=True)
            else:
                some.runs.append(side.run(folder, number))
                is_slow = some.seconds > SLOW * done[ours.name].runs[0].seconds
                if is_slow and side.is_peer and len(some.runs) == 1:
                    done[side.name] = some._replace(is_slow=True)
            print(f"  {side.name}: {done[side.name].runs[-1].seconds:.2f} s", flush=True)
    # The first round was to warm up.
    return {name: some if some.is_slow else some._replace(runs=some.runs[warm:]) for name, some in done.items()}


def best(done: dict[str, Runs], verifies: str = "") -> Runs:
    """The fastest peer, or the fastest that verifies so."""
    _, *others = done.values()
    return min(
        (some for some in others if some.side.is_peer and verifies in some.side.verifies), key=lambda some: some.seconds
    )


def figure(number: float, digits: int = 3) -> str:
    """So many digits, more for large numbers; never as 1e+03."""
    return f"{number:.0f}" if number >= 10**digits else f"{number:.{digits}g}"


def spread(some: Runs) -> str:
    """From its fastest run to its slowest."""
    if some.scale > 1:
        return f"1/{some.scale} of the work, scaled"
    seconds = [run.seconds for run in some.runs]
    return f"{figure(min(seconds))} to {figure(max(seconds))}" if seconds[1:] else "once"


def table(done: dict[str, Runs], short: dict[str, str]) -> str:
    """A row for each side, then the lines as they were run, with short names for places."""
    ours = next(iter(done.values()))

    def words(some: Runs) -> dict[str, str]:
        return {
            "tool": some.side.name,
            "seconds, median": figure(some.seconds),
            "least to most": spread(some),
            "without sync": figure(some.median(lambda run: run.alone)) if some.side.durable == AFTERWARDS else "-",
            "CPU s": figure(some.cpu),
            "peak MB": f"{median(run.memory for run in some.runs):.0f}",
            "verified": some.side.verifies,
            "durable": some.side.durable,
            "times as long as gridsync": f"{ratio(some, ours):.2f}",
            "CPU s of the server": figure(some.median(lambda run: run.server)) if some.side.server != nobody else "-",
        }

    rows = [words(some) for some in done.values()]
    heads = [head for head in rows[0] if any(row[head] != "-" for row in rows)]
    words_of = [heads, ["---"] * len(heads), *([row[head] for head in heads] for row in rows)]
    lines = [f"| {' | '.join(line)} |" for line in words_of]
    text = "\n".join([*lines, "", *(f"    {some.runs[-1].line}" for some in done.values()), ""])
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
