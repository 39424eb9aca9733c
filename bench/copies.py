"""The rows about copies: of small files, of large ones, of both, far and near, and the memory that many take."""

from __future__ import annotations

import re
import shlex
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

from bench.measure import (
    LIMIT,
    PART,
    ROUNDS,
    Failed,
    Goal,
    Runs,
    Side,
    best,
    figure,
    goals,
    ratio,
    side_by_side,
    table,
    timed,
)
from bench.relay import Relay
from bench.site import EACH, TOP, Site
from bench.tools import CHECKSUM, TOOLS, Job, copying, fresh, refuse_unless_same


def sides(job: Job, *tools: str) -> list[Side]:
    return [copying(tool, job) for tool in ("gridsync", *tools)]


def short(site: Site) -> dict[str, str]:
    """Names for places that are others at each run."""
    gridsync = f"{site.gridsync.parent}/"
    return {gridsync: "", site.proxy: "PROXY", site.ca: "CA", str(site.folder): "DIR", f"{TOP}/": ""}


def times(done: dict[str, Runs], peer: str = "") -> float:
    """How many times as long a peer takes; the best, if none is named."""
    return ratio(done[peer] if peer else best(done), done["gridsync"])


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
    for files, bound in ((4, 1.2), (16, 1.1)):
        job = Job(site, "small", site.xrootd.url, files)
        done = side_by_side(sides(job, "aria2c", "curl", "rclone", "gfal-copy", "xrdcp"), folder / str(files))
        text += f"\n{files} connections (xrdcp: 4 at the most):\n\n" + table(done, short(site))
        text += floor(job, folder / str(files))
        all_goals.append(
            Goal(f"{files} connections: times as fast as the best peer, {best(done).side.name}", times(done), bound)
        )
        all_goals += [
            Goal(f"{files} connections: times as fast as {peer}", times(done, peer), 10)
            for peer in ("gfal-copy", "rclone")
        ]
    return text + goals(*all_goals)


def small_far(site: Site, folder: Path) -> str:
    """2,000 files of 20 kB, a round trip of 30 ms, 16 connections"""
    files = 16
    with Relay(port_of(site), delay=0.03) as relay:
        job = Job(site, "small", f"https://localhost:{relay.port}", files)
        done = side_by_side(sides(job, "aria2c", "curl", "rclone"), folder)
        (folder / "counted").mkdir()
        fresh(job, folder / "counted")
        asked = requests(TOOLS["gridsync"].command(job, folder / "counted"), site, folder)
        refuse_unless_same(job, folder / "counted", "gridsync")
    others = ", ".join(f"{count} {method}" for method, count in asked.items() if method != "GET") or "none"
    text = f"\n{files} connections:\n\n" + table(done, short(site)) + f"\nRequests other than GET: {others}.\n"
    return text + goals(
        Goal(f"times as fast as the best peer, {best(done).side.name}", times(done), 1.0),
        Goal("GETs for each file", asked["GET"] / len(job.paths()), 1.0, at_most=True),
    )  # fmt: skip


def floor(job: Job, folder: Path) -> str:
    """How long Python alone takes; it is no peer."""
    (done,) = side_by_side([copying("bare Python", job)._replace(part=None)], folder / "bare").values()
    return f"\nBare Python (`bench/bare.py`), which fetches and writes, and no more, takes {figure(done.seconds)} s.\n"


def unwritten(job: Job, folder: Path) -> str:
    """How long the same takes when nothing is written."""
    (path,) = job.paths()
    keys = f"--cert {job.site.proxy} --key {job.site.proxy} --cacert {job.site.ca}"
    runs = [timed(f"curl -s -o /dev/null {keys} {job.url()}/{path}", job.site.env, folder) for _ in range(ROUNDS)]
    return f"\nWithout writing (`curl -o /dev/null`) it takes {figure(median(run.seconds for run in runs))} s.\n"


def large(site: Site, folder: Path) -> str:
    """one file of 2 GiB"""
    one, four = Job(site, "large", site.xrootd.url, 1), Job(site, "large", site.xrootd.url, 1, 4)
    alone = side_by_side(sides(one, "curl", "rclone", "davix-get", "gfal-copy", "xrdcp", "xrdcp --cksum"), folder / "1")
    text = "\n1 connection:\n\n" + table(alone, short(site)) + floor(one, folder / "1")
    split = side_by_side(sides(four, "aria2c", "rclone"), folder / "4")
    text += "\n4 connections:\n\n" + table(split, short(site)) + unwritten(one, folder)
    lean = min(
        (some for name, some in alone.items() if name != "gridsync" and TOOLS[name].verifies == CHECKSUM),
        key=lambda some: some.cpu,
    )
    return text + goals(
        Goal("1 connection: times as fast as curl", times(alone, "curl"), 1.5),
        Goal("4 connections: times as fast as aria2c", times(split, "aria2c"), 1.5),
        Goal(f"1 connection: times as fast as the best of all, {best(alone).side.name}", times(alone), 1.0),
        Goal(f"4 connections: times as fast as the best of all, {best(split).side.name}", times(split), 1.0),
        Goal(
            f"CPU seconds, times those of the leanest that verifies, {lean.side.name}",
            alone["gridsync"].cpu / lean.cpu, 1.3, at_most=True,
        ),
    )  # fmt: skip


def large_far(site: Site, folder: Path) -> str:
    """one file of 1 GiB, a round trip of 30 ms, each connection held to 20 MB/s"""
    with Relay(port_of(site), delay=0.03, rate=20e6) as relay:
        job = Job(site, "far", f"https://localhost:{relay.port}", 1)
        streams = {number: f"{number} streams" if number > 1 else "1 stream" for number in (1, 4, 8)}
        compared = [copying("gridsync", job._replace(streams=number), name) for number, name in streams.items()]
        done = side_by_side(compared, folder, warm=False)
        relayed = relay.cpu
    seconds = sum(run.seconds for some in done.values() for run in some.runs)
    one = done[streams[1]]
    return (
        "\ngridsync alone:\n\n" + table(done, short(site))
        + f"\nThe relay took {relayed / seconds:.0%} of a processor.\n"
        + goals(
            Goal("4 streams: times as fast as 1", ratio(one, done[streams[4]]), 3.8),
            Goal("8 streams: times as fast as 1", ratio(one, done[streams[8]]), 7.4),
        )
    )  # fmt: skip


def mixed(site: Site, folder: Path) -> str:
    """200 files of 80 kB, 20 of 60 MB, 2 of 500 MB; 4 at once in 4 streams each"""
    job = Job(site, "mixed", site.xrootd.url, 4, 4)
    compared = [*sides(job, "aria2c", "rclone"), copying("curl", job._replace(files=16, streams=1))]
    done = side_by_side(compared, folder)
    place, left = folder / "watched", []  # files to come, from one look to the next

    def look(_: Path) -> None:
        left.append(len(job.paths()) - sum(1 for _ in place.rglob("*.cdat")))

    watched(job, place, look, 0.02)
    idle = sum(count < job.files for count in left) / len(left)
    return "\n16 connections:\n\n" + table(done, short(site)) + goals(
        Goal(f"times as fast as the best peer, {best(done).side.name}", times(done), 1.0),
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
        done = side_by_side([*sides(job, "gfal-copy"), without], folder / job.name, warm=False)
        text += f"\n{job.name}, {files} at once:\n\n" + table(done, short(site))
        all_goals += [
            Goal(f"{job.name}: times as fast as gfal-copy", times(done, "gfal-copy"), 1.0),
            Goal(f"{job.name}: times as fast without gfal2", 1 / times(done, "ENGINE = http"), 1.0),
        ]
    return text + goals(*all_goals)


def memory(site: Site, folder: Path) -> str:
    """100,000 files of 1 kB with 4 threads, looked at each second"""
    job, place = Job(site, "many", site.xrootd.url, 4), folder / "gridsync"
    peak, seen = 0.0, []

    def look(process: Path) -> None:
        nonlocal peak
        if is_now := re.search(r"VmHWM:\s+(\d+)[^$]+?VmRSS:\s+(\d+)", (process / "status").read_text()):
            peak = max(peak, int(is_now[1]) / 1024)
            # A folder appears with the first of its files, and the files come in order.
            seen.append((len(list(place.glob("many/*"))) * EACH["many"], int(is_now[2]) / 1024))

    seconds = watched(job, place, look, 1.0)
    refuse_unless_same(job, place, "gridsync")
    tenth = len(job.paths()) // 10
    early = next(size for files, size in seen if files >= tenth)
    late = max(size for files, size in seen if files >= tenth)
    at = [seen[number * (len(seen) - 1) // 10] for number in range(11)]
    lines = ["| files begun | MB |", "|---|---|", *(f"| {files} | {size:.0f} |" for files, size in at)]
    return f"\ngridsync alone, in {seconds:.0f} s:\n\n" + "\n".join(lines) + "\n" + goals(
        Goal("peak MB", peak, 150, at_most=True),
        Goal(f"the most MB after {tenth:,} files, times those then", late / early, 1.1, at_most=True),
    )  # fmt: skip


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
