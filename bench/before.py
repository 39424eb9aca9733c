"""This gridsync beside an earlier one, in turns on one server: make bench BEFORE=REV, or with ROWS="small walk".

    python3 -m bench.before REV [ROW...]

Both are installed as README.md says at their time. A row is reached if the earlier one is at most 3 % faster.
"""

from __future__ import annotations

import math
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import NamedTuple

from bench.chores import complete
from bench.copies import port_of
from bench.measure import PYTHON, Failed, Refused, Run, Runs, Side, figure, side_by_side, took, used
from bench.relay import Relay
from bench.site import Site
from bench.tools import Job, conf, copying

BOUND = 1.03  # times as long as before
ATTEMPTS = 2  # at a row: a server that hangs is replaced once


class Row(NamedTuple):
    """What is measured: gridsync of a site, at a door, in a folder, and how often."""

    what: str
    side: Callable[[Site, str, Path], Side]
    rounds: int
    sets: tuple[str, ...] = ()
    delay: float = 0.0  # seconds of a round trip to the door


def copied(name: str, files: int, streams: int = 1) -> Callable[[Site, str, Path], Side]:
    return lambda site, door, _: copying("gridsync", Job(site, name, door, files, streams))


def walk(site: Site, door: str, _: Path) -> Side:
    job = Job(site, "many", door, 8)
    wanted = len(job.paths())

    def command(place: Path) -> str:
        conf(job, place, place / "data")
        return site.line(place, "--build_list --quiet")

    def check(place: Path) -> None:
        if (found := (place / "grid_summary.csv").read_text().count(".cdat,")) != wanted:
            raise Refused(f"{found} of {wanted} files are listed")

    return Side("gridsync", command, site.env, check=check)


def nothing_to_do(site: Site, _: str, folder: Path) -> Side:
    work = folder / "work"
    if not work.exists():  # one for both
        complete(Job(site, "nothing", "https://localhost:1", 4), work, 100_000)
    return Side("gridsync", lambda _: site.line(work, "--start --quiet"), site.env)


def start_up(site: Site, _: str, folder: Path) -> Side:
    env = {**os.environ, "GRIDSYNC_DIR": str(folder)}
    return Side("gridsync", lambda place: f"{PYTHON} {site.gridsync} --help > {place}/said", env)


ROWS = {
    "small": Row("2,000 files of 20 kB, 4 at once", copied("small", 4), 20, ("small",)),
    "large": Row("a file of 2 GiB", copied("large", 1), 10, ("large",)),
    "mixed": Row("222 files, small to 500 MB, 4 at once in 4 streams", copied("mixed", 4, 4), 8, ("mixed",)),
    "walk": Row("a listing of 100,000 files, a round trip of 10 ms", walk, 8, ("many",), 0.01),
    "memory": Row("100,000 files of 1 kB, 4 at once", copied("many", 4), 2, ("many",)),
    "start-up": Row("--help", start_up, 40),
    "nothing-to-do": Row("--start on a complete catalog of 100,000 rows", nothing_to_do, 12),
}


def middle(ratios: Sequence[float]) -> tuple[float, float]:
    """Two of them between which their median lies, whoever measures anew, 19 times of 20; all, if they are few."""
    ratios, out = sorted(ratios), 0
    while sum(math.comb(len(ratios), below) for below in range(out + 1)) / 2 ** len(ratios) <= 0.025:
        out += 1
    out = max(out - 1, 0)
    return ratios[out], ratios[-1 - out]


def compared(what: str, of: Callable[[Run], float], before: Runs, after: Runs, bound: float = BOUND) -> str:
    """A line of the table."""
    ratios = [of(new) / of(old) for old, new in zip(before.runs, after.runs)]
    least, most = middle(ratios)
    verdict = "yes" if median(ratios) <= bound else "**no**"
    if least <= bound < most:
        verdict += ", but it may be otherwise"
    then, now = (figure(median(map(of, some.runs))) for some in (before, after))
    spread = f"{least:.3f} to {most:.3f}"
    return f"| {what} | {then} | {now} | {median(ratios):.3f} | {spread} | {len(ratios)} | {bound:g} | {verdict} |"


def measured(name: str, earlier: Site, site: Site, folder: Path) -> list[str]:
    """The lines of a row."""
    row = ROWS[name]
    with ExitStack() as stack:
        door = site.xrootd.url
        if row.delay:
            door = f"https://localhost:{stack.enter_context(Relay(port_of(site), delay=row.delay)).port}"
        sides = [
            row.side(which, door, folder)._replace(name=which.gridsync.parent.name, is_peer=False)
            for which in (earlier, site)
        ]
        if name == "start-up":
            sides.append(Side("bare", lambda _: f'{PYTHON} -c "import optparse"', dict(os.environ), is_peer=False))
        before, after, *bare = side_by_side(sides, folder, row.rounds, warm=row.rounds > 2).values()
    lines = [compared(f"{name}: {row.what}; seconds", took, before, after)]
    if name != "start-up":  # for so short times the kernel's clock is too coarse
        lines.append(compared(f"{name}: CPU seconds", used, before, after))
    lines.append(compared(f"{name}: peak MB", lambda run: run.memory, before, after))
    return lines + [compared("start-up: `import optparse` alone, and now", took, some, after, 2.5) for some in bare]


def lines_of(name: str, earlier: Site, site: Site) -> list[str]:
    """The lines of a row, or why there are none."""
    for attempt in range(1, ATTEMPTS + 1):
        folder = site.folder / "out" / f"{name}-{attempt}"
        folder.mkdir(parents=True)
        try:
            return measured(name, earlier, site, folder)
        except (Failed, Refused) as error:
            print(f"  {error}", file=sys.stderr, flush=True)
            reason = str(error).splitlines()[0]
        site.restart()
    return [f"| {name} | | | | | | | **not measured**: {reason} |"]


def main(rev: str, *names: str) -> int:
    names = names or tuple(ROWS)
    if unknown := [name for name in names if name not in ROWS]:
        raise SystemExit(f"there is no row {unknown[0]}; there are {', '.join(ROWS)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # servers end, and what was written goes
    head = f"| | {rev} | now | times as much, median | the median is between | rounds | bound | within it |"
    lines = [head, "|---" * 8 + "|"]
    with Site({which for name in names for which in ROWS[name].sets}) as site:
        earlier = site.at(rev)
        for name in names:
            print(f"# {name}: {ROWS[name].what}", flush=True)
            began = time.monotonic()
            lines += lines_of(name, earlier, site)
            print(f"  in {time.monotonic() - began:.0f} s", flush=True)
        print("\n".join(["", *lines]), flush=True)  # to remove all the files takes its time
    return int(any("**" in line for line in lines))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
