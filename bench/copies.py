"""The rows about copies: of small files, of large ones, of both, far and near, and the memory that many take."""

from __future__ import annotations

import re
import shlex
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from bench.measure import (
    FEWER,
    LIMIT,
    PART,
    ROUNDS,
    Failed,
    Goal,
    Runs,
    best,
    goals,
    ratio,
    side_by_side,
    table,
    used,
)
from bench.relay import Relay
from bench.site import EACH, TOP, Site, refuse_unless_same
from bench.tools import CHECKSUM, TOOLS, Job, copying, fresh

HELD = 2  # rounds: where a line is held to its rate, times are the same each time


def compared(job: Job, folder: Path, *tools: str) -> dict[str, Runs]:
    """gridsync and other tools, in turns."""
    sides = [copying(tool, job) for tool in ("gridsync", *tools)]
    return side_by_side(sides, folder, FEWER if sides[0].writes else ROUNDS)


def short(site: Site) -> dict[str, str]:
    """Names for places that are others at each run."""
    gridsync = f"{site.gridsync.parent}/"
    return {gridsync: "", site.proxy: "PROXY", site.ca: "CA", str(site.folder): "DIR", f"{TOP}/": ""}


def beside(done: dict[str, Runs], where: str, bound: float, peer: str = "", verifies: str = "") -> Goal:
    """How many times as long a peer takes; if none is named the best of all, or of those that verify so."""
    other = done[peer] if peer else best(done, verifies)
    what = peer or f"the best peer{' that verifies' if verifies else ''}, {other.side.name}"
    return Goal(f"{where}: times as fast as {what}", ratio(other, done["gridsync"]), bound)


def requests(line: str, site: Site, folder: Path) -> Counter[str]:
    """How many requests of each method gridsync makes; TLS hides them from others, so it is asked itself."""
    done = subprocess.run(
        ["/bin/sh", "-c", f"{line} --debug"], env=site.env, cwd=folder, capture_output=True, text=True,
        timeout=LIMIT, check=False,
    )  # fmt: skip
    return Counter(re.findall(r"(?m)^([A-Z]+) https://\S+ -> \d+", done.stderr))


def small(site: Site, folder: Path) -> str:
    """2,000 files of 20 kB, over 4 and over 16 connections"""
    text, all_goals = "", []
    peers = ("aria2c", "curl", "rclone", "gfal-copy", "xrdcp", "xrdcp --cksum", "xrdclient", "bare Python")
    for files in (4, 16):
        job, where = Job(site, "small", site.xrootd.url, files), f"{files} connections"
        done = compared(job, folder / str(files), *peers)
        own = (done["gridsync"].cpu - done["bare Python"].cpu) / len(job.paths())
        text += f"\n{where} (xrdcp: 4 at the most):\n\n" + table(done, short(site))
        all_goals += [
            beside(done, where, 1.1, verifies=CHECKSUM),
            beside(done, where, 2.0, "aria2c"),
            beside(done, f"{where} (0.75 is wished for)", 0.6, "curl"),
            Goal(f"{where}: microseconds of CPU a file more than bare Python", 1e6 * own, 120, at_most=True),
        ]
    return text + goals(*all_goals)


def small_far(site: Site, folder: Path) -> str:
    """2,000 files of 20 kB, a round trip of 30 ms, 16 connections"""
    files = 16
    with Relay(port_of(site), delay=0.03) as relay:
        job = Job(site, "small", f"https://localhost:{relay.port}", files)
        done = compared(job, folder, "aria2c", "curl", "rclone")
        (folder / "counted").mkdir()
        fresh(job, folder / "counted")
        asked = requests(TOOLS["gridsync"].command(job, folder / "counted"), site, folder)
    others = ", ".join(f"{count} {method}" for method, count in asked.items() if method != "GET") or "none"
    text = f"\n{files} connections:\n\n" + table(done, short(site)) + f"\nRequests other than GET: {others}.\n"
    return text + goals(
        beside(done, f"{files} connections", 1.0, "curl"),
        Goal("GETs for each file", asked["GET"] / len(job.paths()), 1.0, at_most=True),
    )  # fmt: skip


def large(site: Site, folder: Path) -> str:
    """one file of 2 GiB"""
    one, four = Job(site, "large", site.xrootd.url, 1), Job(site, "large", site.xrootd.url, 1, 4)
    peers = ("curl", "rclone", "davix-get", "gfal-copy", "xrdcp", "xrdcp --cksum", "xrdclient", "bare Python")
    alone = compared(one, folder / "1", *peers)
    split = compared(four, folder / "4", "aria2c", "rclone", "xrdcp --cksum", "xrdclient", "curl")
    text, all_goals = "", []
    for done, where in ((alone, "1 connection"), (split, "4 connections")):
        text += f"\n{where}{' (curl: 1)' if done is split else ''}:\n\n" + table(done, short(site))
        all_goals += [
            beside(done, where, 1.1, verifies=CHECKSUM),
            beside(done, where, 1.0),
            Goal(f"{where}: CPU seconds, times curl's", ratio(done["gridsync"], done["curl"], used), 1.0, at_most=True),
        ]
    return text + goals(*all_goals)


def large_far(site: Site, folder: Path) -> str:
    """one file of 1 GiB, a round trip of 30 ms, each connection held to 20 MB/s"""
    with Relay(port_of(site), delay=0.03, rate=20e6) as relay:
        job = Job(site, "far", f"https://localhost:{relay.port}", 1)
        streams = {number: f"{number} streams" if number > 1 else "1 stream" for number in (1, 4, 8)}
        sides = [copying("gridsync", job._replace(streams=number), name) for number, name in streams.items()]
        done = side_by_side(sides, folder, HELD, warm=False)
        relayed = relay.cpu
    seconds = sum(run.seconds for some in done.values() for run in some.runs)
    one = done[streams[1]]
    return (
        "\ngridsync alone:\n\n" + table(done, short(site))
        + f"\nThe relay took {relayed / seconds:.0%} of a processor.\n"
        + goals(
            Goal("4 streams: times as fast as 1", ratio(one, done[streams[4]]), 3.9),
            Goal("8 streams: times as fast as 1", ratio(one, done[streams[8]]), 7.6),
        )
    )  # fmt: skip


def mixed(site: Site, folder: Path) -> str:
    """200 files of 80 kB, 20 of 60 MB, 2 of 500 MB; 4 at once in 4 streams each"""
    job = Job(site, "mixed", site.xrootd.url, 4, 4)
    sides = [copying(tool, job) for tool in ("gridsync", "aria2c", "rclone", "xrdcp --cksum", "xrdclient")]
    done = side_by_side([*sides, copying("curl", job._replace(files=16, streams=1))], folder, FEWER)
    place, left = folder / "watched", []  # files to come, from one look to the next

    def look(_: Path) -> None:
        left.append(len(job.paths()) - sum(1 for _ in place.rglob("*.cdat")))

    watched(job, place, look, 0.02)
    idle = sum(count < job.files for count in left) / len(left)
    return "\n16 connections:\n\n" + table(done, short(site)) + goals(
        beside(done, "16 connections", 1.15),
        Goal("no idle tail: part of the time in which not all threads had a file", idle, 0.1, at_most=True),
    )  # fmt: skip


def gfal2(site: Site, folder: Path) -> str:
    """small (1/20 of it) and large through ENGINE = gfal2, without it, and gfal-copy with as many processes"""
    text, all_goals = "", []
    for files, job in (
        (4, Job(site, "small", site.xrootd.url, 4, part=PART, engine="gfal2")),
        (1, Job(site, "large", site.xrootd.url, 1, engine="gfal2")),
    ):
        without = copying("gridsync", job._replace(engine="http"), "ENGINE = http")
        sides = [copying("gridsync", job), copying("gfal-copy", job), without]
        done = side_by_side(sides, folder / job.name, warm=False)
        text += f"\n{job.name}, {files} at once:\n\n" + table(done, short(site))
        all_goals += [
            beside(done, job.name, 1.0, "gfal-copy"),
            Goal(f"{job.name}: times as fast without gfal2", ratio(done["gridsync"], done["ENGINE = http"]), 1.0),
        ]
    return text + goals(*all_goals)


def memory(site: Site, folder: Path) -> str:
    """100,000 files of 1 kB with 4 threads, looked at each second; gridsync as it is, and the first"""
    (peak, early, late, text), (before, *_) = (remembered(some, folder) for some in (site, site.first))
    return text + goals(
        Goal("peak MB", peak, 150, at_most=True),
        Goal("peak MB, times that of the first gridsync", peak / before, 1.05, at_most=True),
        Goal("the most MB after a tenth of the files, times those then", late / early, 1.1, at_most=True),
    )


def remembered(site: Site, folder: Path) -> tuple[float, float, float, str]:
    """How much memory a copy of many files takes: its peak, that after a tenth, the most from then on, and a table."""
    place = folder / site.gridsync.parent.name
    job, peak, seen = Job(site, "many", site.xrootd.url, 4), 0.0, []

    def look(process: Path) -> None:
        nonlocal peak
        if is_now := re.search(r"VmHWM:\s+(\d+)[^$]+?VmRSS:\s+(\d+)", (process / "status").read_text()):
            peak = max(peak, int(is_now[1]) / 1024)
            # A folder appears with the first of its files, and the files come in order.
            seen.append((len(list(place.glob("many/*"))) * EACH["many"], int(is_now[2]) / 1024))

    seconds = watched(job, place, look, 1.0)
    refuse_unless_same("gridsync", (site.source("many") / path for path in job.paths()), place)
    after = [size for files, size in seen if files >= len(job.paths()) // 10]
    lines = ["| files begun | MB |", "|---|---|"]
    lines += [f"| {files} | {size:.0f} |" for files, size in (seen[n * (len(seen) - 1) // 10] for n in range(11))]
    text = f"\n{site.gridsync.parent.name}, in {seconds:.0f} s:\n\n" + "\n".join([*lines, ""])
    return peak, after[0], max(after), text


def watched(job: Job, place: Path, look: Callable[[Path], None], every: float) -> float:
    """Copy with gridsync, and look at its folder in /proc every so many seconds; how long it took."""
    place.mkdir()
    fresh(job, place)
    began = time.monotonic()
    command = shlex.split(TOOLS["gridsync"].command(job, place))
    with subprocess.Popen(command, env=job.site.env, cwd=place, stdin=subprocess.DEVNULL) as process:
        while process.poll() is None:
            look(Path(f"/proc/{process.pid}"))
            if time.monotonic() - began > LIMIT:
                process.kill()
            time.sleep(every)
    if process.returncode:
        raise Failed(f"status {process.returncode}: {shlex.join(command)}")
    return time.monotonic() - began


def port_of(site: Site) -> int:
    return urlsplit(site.xrootd.url).port or 443
