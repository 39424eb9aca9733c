"""gridsync.py and its peers, side by side on one machine, in alternation; bench/RESULTS.md is what comes of it.

make bench measures all rows, in at most an hour; make bench ROW=small one, and leaves the others as they are.
"""

from __future__ import annotations

import filecmp
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import NamedTuple
from urllib.parse import urlsplit

from bench.relay import Relay
from bench.site import Site
from bench.tools import TOOLS, Job, fresh
from tests.conftest import SCRIPT

RESULTS = Path(__file__).with_name("RESULTS.md")
ROUNDS = 5
SLOW = 10  # times as long as gridsync: such a peer runs once, on a part of the work
PART = 20


class Run(NamedTuple):
    """What one process and those that it has waited for took."""

    seconds: float
    cpu: float
    memory: float  # MB, of the largest of them


def timed(line: str, env: dict[str, str], folder: Path) -> Run:
    """Run a line for sh."""
    began = time.perf_counter()
    process = subprocess.Popen(["/bin/sh", "-c", line], env=env, cwd=folder)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"status {process.returncode}: {line}")
    return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def refuse_unless_same(job: Job, folder: Path, tool: str) -> None:
    """A tool whose files are not those of the source has no time."""
    source = job.site.source(job.name)
    found = {path.name: path for path in folder.rglob("*.cdat")}
    wanted = {Path(path).name: source / path for path in job.paths()}
    wrong = sorted(
        name for name in wanted.keys() | found.keys()
        if name not in found or name not in wanted or not filecmp.cmp(found[name], wanted[name], shallow=False)
    )  # fmt: skip
    if wrong:
        raise SystemExit(f"{tool}: {len(wrong)} of {len(wanted)} files are not those of the source, as {wrong[0]}")


class Side(NamedTuple):
    """One of those that are compared: a tool with its job."""

    tool: str
    job: Job
    name: str  # in the table

    def run(self, folder: Path) -> Run:
        place = folder / self.name.replace(" ", "_")
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        if self.tool == "gridsync":
            fresh(self.job, place)
        line = TOOLS[self.tool].command(self.job, place)
        os.sync()  # what others have written is not to be written now
        run = timed(line, self.job.site.env, folder)
        came = place.with_suffix(".work") / "data" if self.tool == "gridsync" else place
        refuse_unless_same(self.job, came, self.name)
        shutil.rmtree(came)
        return run


def side_by_side(sides: list[Side], folder: Path) -> dict[str, list[Run]]:
    """Each in turn, and so on; a slow one once, with a part of the work."""
    runs: dict[str, list[Run]] = {side.name: [] for side in sides}
    slow: set[str] = set()
    for number in range(ROUNDS + 1):
        for side in sides if number % 2 else [sides[0], *reversed(sides[1:])]:
            if side.name in slow:
                continue
            if number == 0 and side is not sides[0] and len(side.job.paths()) >= PART * 5:
                part = side._replace(job=side.job._replace(part=PART)).run(folder)
                ours = runs[sides[0].name][0].seconds
                if part.seconds * PART > SLOW * ours:
                    slow.add(side.name)
                    runs[side.name] = [part]
                    print(f"  {side.name}: {part.seconds:.2f} s for 1/{PART} of the work", flush=True)
                    continue
            run = side.run(folder)
            print(f"  {side.name}: {run.seconds:.2f} s", flush=True)
            runs[side.name].append(run)
    return {name: some if name in slow else some[1:] for name, some in runs.items()}  # the first was to warm up


def table(sides: list[Side], runs: dict[str, list[Run]]) -> str:
    """The rows of a table, and the ratio to the best peer."""
    ours, peers = sides[0], sides[1:]
    head = "| tool | seconds, median | least to most | CPU s | peak MB | verified | ratio to gridsync |"
    lines = [head, re.sub("[^|]+", "---", head)]
    for side in sides:
        some = runs[side.name]
        scale = PART if len(some) == 1 else 1
        seconds = [run.seconds * scale for run in some]
        pairs = [run.seconds / own.seconds for run, own in zip(some, runs[ours.name])] if scale == 1 else []
        ratio = median(pairs) if pairs else seconds[0] / median(run.seconds for run in runs[ours.name])
        spread = f"{min(seconds):.2f} to {max(seconds):.2f}" if scale == 1 else f"once, 1/{PART} of the work, scaled"
        lines.append(
            f"| {side.name} | {median(seconds):.2f} | {spread} | {median(run.cpu * scale for run in some):.2f} "
            f"| {median(run.memory for run in some):.0f} | {TOOLS[side.tool].verifies} | {ratio:.2f} |"
        )
    whole = {side.name: median(run.seconds for run in runs[side.name]) for side in peers if len(runs[side.name]) > 1}
    best = min(whole, key=lambda name: whole[name])
    ratio = median(run.seconds / own.seconds for run, own in zip(runs[best], runs[ours.name]))
    lines.append(f"\n**{ratio:.2f} × the best peer**, {best}: the median of the ratios, round by round.")
    return "\n".join(lines) + "\n" + commands(sides)


def commands(sides: list[Side]) -> str:
    """The lines as they were run, with short names for places."""
    text = "\n"
    for side in sides:
        line = TOOLS[side.tool].command(side.job, side.job.site.folder / "out" / side.name.replace(" ", "_"))
        line = line.replace(side.job.site.proxy, "PROXY").replace(side.job.site.ca, "CA")
        line = line.replace(str(side.job.site.folder), "DIR")
        text += f"    {line.replace(str(SCRIPT.parent) + '/', '')}\n"
    return text


def small(site: Site, folder: Path) -> str:
    """2,000 files of 20 kB, over 4 and over 16 connections"""
    text = ""
    for files in (4, 16):
        job = Job(site, "small", site.xrootd.url, files)
        sides = [Side(tool, job, tool) for tool in ("gridsync", "aria2c", "curl", "rclone", "gfal-copy", "xrdcp")]
        text += f"\n{files} connections (xrdcp: 4 at the most):\n\n" + table(sides, side_by_side(sides, folder))
    return text


def small_far(site: Site, folder: Path) -> str:
    """2,000 files of 20 kB, a round trip of 30 ms, 16 connections"""
    with Relay(port_of(site), delay=0.03) as relay:
        job = Job(site, "small", f"https://localhost:{relay.port}", 16)
        sides = [Side(tool, job, tool) for tool in ("gridsync", "aria2c", "curl", "rclone")]
        return "\n" + table(sides, side_by_side(sides, folder))


def large(site: Site, folder: Path) -> str:
    """one file of 2 GiB"""
    text = ""
    one, four = Job(site, "large", site.xrootd.url, 1), Job(site, "large", site.xrootd.url, 1, 4)
    sides = [Side(tool, one, tool) for tool in ("gridsync", "curl", "rclone", "davix-get", "gfal-copy", "xrdcp")]
    text += "\nOne connection:\n\n" + table(sides, side_by_side(sides, folder))
    sides = [Side(tool, four, tool) for tool in ("gridsync", "aria2c", "rclone")]
    return text + "\nFour connections:\n\n" + table(sides, side_by_side(sides, folder))


def large_far(site: Site, folder: Path) -> str:
    """one file of 1 GiB, a round trip of 30 ms, each connection held to 20 MB/s"""
    with Relay(port_of(site), delay=0.03, rate=20e6) as relay:
        door = f"https://localhost:{relay.port}"
        sides = [Side("gridsync", Job(site, "far", door, 1, streams), f"{streams} streams") for streams in (8, 4, 1)]
        runs = {side.name: [side.run(folder) for _ in range(2)][1:] for side in sides}
        one = runs["1 streams"][0].seconds
        lines = ["| gridsync with | seconds | times as fast as 1 |", "|---|---|---|"]
        lines += [f"| {name} | {some[0].seconds:.1f} | {one / some[0].seconds:.2f} |" for name, some in runs.items()]
        return "\n" + "\n".join(lines) + "\n"


def mixed(site: Site, folder: Path) -> str:
    """200 files of 80 kB, 20 of 60 MB, 2 of 500 MB; 4 at once in 4 streams each, 16 connections"""
    job = Job(site, "mixed", site.xrootd.url, 4, 4)
    sides = [Side(tool, job, tool) for tool in ("gridsync", "aria2c", "rclone")]
    sides.append(Side("curl", job._replace(files=16, streams=1), "curl"))
    return "\n" + table(sides, side_by_side(sides, folder))


def port_of(site: Site) -> int:
    return urlsplit(site.xrootd.url).port or 443


class Row(NamedTuple):
    measure: Callable[[Site, Path], str]
    sets: tuple[str, ...]


ROWS = {
    "small": Row(small, ("small",)),
    "small-far": Row(small_far, ("small",)),
    "large": Row(large, ("large",)),
    "large-far": Row(large_far, ("far",)),
    "mixed": Row(mixed, ("mixed",)),
}


def machine() -> str:
    """What it was measured on, and with which versions."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    lines = [f"{os.cpu_count()} processors ({model[1] if model else '?'}), {platform.system()} {platform.release()}."]
    lines += [f"- {told(tool.version)}" for tool in TOOLS.values()]
    lines += [f"- server: {told('xrootd -v 2>&1 | head -1')} (XRootD)"]
    return "\n".join(lines)


def told(line: str) -> str:
    env = {**os.environ, "GFAL_PYTHONBIN": "/usr/bin/python3"}
    return subprocess.run(["/bin/sh", "-c", line], env=env, capture_output=True, text=True, check=False).stdout.strip()


def sections() -> dict[str, str]:
    """RESULTS.md as it is, by row."""
    if not RESULTS.exists():
        return {}
    parts = re.split(r"(?m)^## (\S+).*\n", RESULTS.read_text(encoding="utf-8"))
    return dict(zip(parts[1::2], parts[2::2]))


def main(names: list[str]) -> int:
    names = names or list(ROWS)
    if unknown := [name for name in names if name not in ROWS]:
        raise SystemExit(f"there is no row {unknown[0]}; there are {', '.join(ROWS)}")
    done = sections()
    with Site({which for name in names for which in ROWS[name].sets}) as site:
        out = site.folder / "out"
        for name in names:
            print(f"# {name}: {ROWS[name].measure.__doc__}", flush=True)
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir()
            done[name] = ROWS[name].measure(site, out)
    text = f"# Results\n\nMade by `make bench`; bench/README.md says how to read it.\n\n{machine()}\n"
    for name in ROWS:
        if name in done:
            text += f"\n## {name}: {ROWS[name].measure.__doc__}\n{done[name]}"
    RESULTS.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
