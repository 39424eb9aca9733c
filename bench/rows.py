"""The rows: what is measured, against whom, and what is to be reached."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from bench.measure import Goal, Runs, Side, best, goals, ratio, side_by_side, table
from bench.relay import Relay
from bench.site import Site
from bench.tools import CHECKSUM, SCRIPT, TOOLS, Job, copying


def sides(job: Job, *tools: str) -> list[Side]:
    return [copying(tool, job) for tool in ("gridsync", *tools)]


def short(site: Site) -> dict[str, str]:
    """Names for places that are others at each run."""
    return {site.proxy: "PROXY", site.ca: "CA", str(site.folder): "DIR", f"{SCRIPT.parent}/": ""}


def times(done: dict[str, Runs], peer: str = "") -> float:
    """How many times as long a peer takes; the best, if none is named."""
    return ratio(done[peer] if peer else best(done), done["gridsync"])


# == Copies =============================================================================================


def small(site: Site, folder: Path) -> str:
    """2,000 files of 20 kB, over 4 and over 16 connections"""
    text, all_goals = "", []
    for files, bound in ((4, 1.2), (16, 1.1)):
        job = Job(site, "small", site.xrootd.url, files)
        done = side_by_side(sides(job, "aria2c", "curl", "rclone", "gfal-copy", "xrdcp"), folder / str(files))
        text += f"\n{files} connections (xrdcp: 4 at the most):\n\n" + table(done, short(site))
        all_goals.append(Goal(f"{files} connections: times the best peer, {best(done).side.name}", times(done), bound))
        all_goals += [
            Goal(f"{files} connections: times {peer}", times(done, peer), 10) for peer in ("gfal-copy", "rclone")
        ]
    return text + goals(*all_goals)


def small_far(site: Site, folder: Path) -> str:
    """2,000 files of 20 kB, a round trip of 30 ms, 16 connections"""
    trip, files = 0.03, 16
    with Relay(port_of(site), delay=trip) as relay:
        job = Job(site, "small", f"https://localhost:{relay.port}", files)
        done = side_by_side(sides(job, "aria2c", "curl", "rclone"), folder)
    trips = done["gridsync"].seconds * files / trip / len(job.paths())
    return f"\n{files} connections:\n\n" + table(done, short(site)) + goals(
        Goal(f"times the best peer, {best(done).side.name}", times(done), 1.0),
        Goal("round trips that would fit into the time of a file", trips, 2, at_most=True),
    )  # fmt: skip


def large(site: Site, folder: Path) -> str:
    """one file of 2 GiB"""
    one, four = Job(site, "large", site.xrootd.url, 1), Job(site, "large", site.xrootd.url, 1, 4)
    alone = side_by_side(sides(one, "curl", "rclone", "davix-get", "gfal-copy", "xrdcp", "xrdcp --cksum"), folder / "1")
    text = "\n1 connection:\n\n" + table(alone, short(site))
    split = side_by_side(sides(four, "aria2c", "rclone"), folder / "4")
    text += "\n4 connections:\n\n" + table(split, short(site))
    lean = min(
        (some for name, some in alone.items() if name != "gridsync" and TOOLS[name].verifies == CHECKSUM),
        key=lambda some: some.cpu,
    )
    return text + goals(
        Goal("1 connection: times curl", times(alone, "curl"), 1.5),
        Goal("4 connections: times aria2c", times(split, "aria2c"), 1.5),
        Goal(f"1 connection: times the fastest of all, {best(alone).side.name}", times(alone), 1.0),
        Goal(f"4 connections: times the fastest of all, {best(split).side.name}", times(split), 1.0),
        Goal(
            f"CPU seconds, as those of the leanest that verifies, {lean.side.name}",
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
    return "\n16 connections:\n\n" + table(done, short(site)) + goals(
        Goal(f"times the best peer, {best(done).side.name}", times(done), 1.0)
    )  # fmt: skip


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
