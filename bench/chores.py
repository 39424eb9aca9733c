"""The rows about what is not a copy: listing, asking, staging, starting, and having nothing to do."""

from __future__ import annotations

import csv
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from bench.copies import beside, port_of, requests, short
from bench.measure import LIMIT, PYTHON, ROUNDS, Goal, Refused, Runs, Side, goals, ratio, side_by_side, table, timed
from bench.relay import Relay
from bench.site import TOP, Site
from bench.tools import Job, conf
from tests.grid import Grid

WALKERS = 8  # folders that gridsync lists at once
WALKS = 3  # rounds: they take long, and vary little
STAGED, ASKED = 10_000, 50  # files; gfal-xattr is asked for so many of them
SOON = 0.8  # seconds; the shortest interval between two polls of a request
# What a program can't do without that looks whether all of a catalog is here.
BARE = (
    "import csv, os, sys; any(os.stat(os.path.join(sys.argv[2], row[0])) is None "
    "for row in csv.reader(open(sys.argv[1], newline='')) if row[0] != 'path')"
)
BEFORE = "the first gridsync"
COMPLETION = TOP / "do_grid_completion.sh"
TAB = "COMP_LINE='gridsync.py --in' COMP_POINT=16; _gridsync_bash gridsync.py --in gridsync.py; echo ${COMPREPLY[*]}"


def not_slower(done: dict[str, Runs], where: str) -> Goal:
    """As it was at first, give or take."""
    return Goal(f"{where}: times as long as the first", ratio(done["gridsync"], done[BEFORE]), 1.05, at_most=True)


# == Listing ============================================================================================


def walk(site: Site, folder: Path) -> str:
    """a listing of 100,000 files in 2,000 folders, a round trip of 10 ms, 8 folders at once"""
    paths = site.paths("many")
    folders = sorted({path.partition("/")[0] for path in paths})
    with Relay(port_of(site), delay=0.01) as relay:
        job = Job(site, "many", f"https://localhost:{relay.port}", WALKERS)
        keys = site.shown("--client-cert", "--client-key", "--ca-cert")

        def gridsync(place: Path, at: Site = site) -> str:
            conf(job, place, place / "data")
            return at.line(place, "--build_list --quiet")

        def rclone(place: Path) -> str:
            source = f"--webdav-url {job.door}/agata --webdav-vendor other :webdav:many"
            return f"rclone lsf -q -R --files-only --checkers {WALKERS} {keys} {source} > {place}/names"

        def gfal_ls(place: Path, step: int = 1) -> str:
            urls = [f"{job.url()}/{name}" for name in folders[::step]]
            (place / "urls").write_text("\n".join([*([job.url()] if step == 1 else []), *urls, ""]))
            return f"xargs -P {WALKERS} -n 1 gfal-ls < {place}/urls > {place}/names"

        def has_all(place: Path, step: int = 1) -> None:
            wanted = {Path(path).name for path in paths if path.partition("/")[0] in set(folders[::step])}
            if (place / "names").exists():
                found = [Path(name.strip()).name for name in (place / "names").read_text().split()]
            else:
                with open(place / "grid_summary.csv", newline="") as file:
                    found = [Path(row["path"]).name for row in csv.DictReader(file)]
            if {name for name in found if name.endswith(".cdat")} != wanted:
                raise Refused(f"{place.name}: {len(wanted)} files are there, {len(found)} names were found")

        part = Side("gfal-ls", lambda place: gfal_ls(place, 20), site.env, check=lambda place: has_all(place, 20))
        done = side_by_side(
            [
                Side("gridsync", gridsync, site.env, check=has_all, verifies="all names"),
                Side(BEFORE, lambda place: gridsync(place, site.first), site.env, check=has_all, is_peer=False),
                Side("rclone", rclone, site.env, check=has_all, verifies="all names"),
                Side("gfal-ls", gfal_ls, site.env, check=has_all, verifies="all names", part=part),
            ],
            folder, WALKS, warm=False,
        )  # fmt: skip
        counted = folder / "counted"
        counted.mkdir()
        asked = requests(gridsync(counted).replace("--quiet", ""), site, folder)
    return f"\n{WALKERS} connections:\n\n" + table(done, short(site)) + goals(
        not_slower(done, "walk"),
        beside(done, "walk", 1.0),
        Goal("requests for each folder", asked.total() / (len(folders) + 1), 1.0, at_most=True),
    )  # fmt: skip


# == Tape ===============================================================================================


class Tape(NamedTuple):
    """A simulated dCache whose files are all on tape, and a work folder with the list of them."""

    grid: Grid
    work: Path
    env: dict[str, str]


@contextmanager
def tape(site: Site, folder: Path) -> Iterator[Tape]:
    with Grid(drives=100, seconds=0.2) as grid:
        for number in range(STAGED):
            grid.tree.add(f"agata/bench/{number // 100:03d}/{number % 100:02d}", 10, tape=True)
        work = folder / "gridsync.work"
        work.mkdir()
        text = grid.conf(folder / "data").replace("[gridsync]\n", "[gridsync]\nINPUTDIR = bench\n", 1)
        (work / "Grid.conf").write_text(text)
        env = {**grid.env, "SSL_CERT_FILE": str(grid.pki.folder / "ca.pem"), "GFAL_PYTHONBIN": PYTHON, "NO_COLOR": "1"}
        timed(site.line(work, "--build_list --quiet"), env, folder)
        catalog = work / "grid_summary.csv"
        (work / "listed.csv").write_text(catalog.read_text().replace(",NEARLINE,", ",unknown,"))
        grid.door.log.clear()
        yield Tape(grid, work, env)


def status(site: Site, folder: Path) -> str:
    """where 10,000 files are, asked of a simulated dCache"""
    with tape(site, folder) as at:
        catalog = at.work / "grid_summary.csv"
        urls = [f"{at.grid.door.url}/{path}" for path in at.grid.tree.files("agata/bench")][:: STAGED // ASKED]

        def before(_: Path) -> None:
            shutil.copy(at.work / "listed.csv", catalog)
            at.grid.door.log.clear()

        def check(_: Path) -> None:
            if (found := catalog.read_text().count(",NEARLINE,")) != STAGED:
                raise Refused(f"gridsync: {found} of {STAGED} files are said to be on tape")

        def gfal_xattr(place: Path) -> str:
            (place / "urls").write_text("\n".join(urls))
            return f"xargs -I URL gfal-xattr URL user.status < {place}/urls > {place}/found"

        def check_xattr(place: Path) -> None:
            if (found := (place / "found").read_text().split()) != ["NEARLINE"] * ASKED:
                raise Refused(f"gfal-xattr: {len(found)} of {ASKED} files are said to be on tape")

        def asking(name: str, which: Site) -> Side:
            line = which.line(at.work, "--check_status --quiet")
            return Side(name, lambda _: line, at.env, before, check, "all files", is_peer=False)

        peer = Side("gfal-xattr", gfal_xattr, at.env, check=check_xattr)
        slow = peer._replace(verifies="all files", part=peer, scale=STAGED // ASKED)
        ours = asking("gridsync", site)
        done = side_by_side([ours, asking(BEFORE, site.first), slow], folder)
        before(folder)
        ours.run(folder, 99)
        asked = at.grid.door.log.count(role="tape")
    return "\none after the other:\n\n" + table(done, short(site)) + goals(
        Goal("requests for each 500 files", asked / (STAGED / 500), 1.0, at_most=True),
        not_slower(done, "status"),
        beside(done, "status", 50),
    )  # fmt: skip


def stage(site: Site, folder: Path) -> str:
    """10,000 files brought from tape to disk and copied, requests counted at a simulated dCache"""
    done, api = {}, "/api/v1/tape/stage"
    for name, which in ((BEFORE, site.first), ("gridsync", site)):
        place = folder / which.gridsync.parent.name
        place.mkdir()
        with tape(which, place) as at:
            line = which.line(at.work, "--sync --quiet")
            done[name] = Runs(Side(name, str, at.env), [timed(line, at.env, place)])
            log = at.grid.door.log
            asked = log.count(method="POST", path=api)
            polls: dict[str, list[float]] = {}
            for record in log.matching(method="GET"):
                if record.path.startswith(f"{api}/"):
                    polls.setdefault(record.path, []).append(record.came)
            here = sum(path.stat().st_size == 10 for path in (place / "data").rglob("*") if path.is_file())
            if here != STAGED:
                raise Refused(f"{name}: {here} of {STAGED} files are here")
    early = sum(later - one < SOON for times_of in polls.values() for one, later in pairwise(times_of))
    many = sum(map(len, polls.values()))
    done = dict(reversed(done.items()))
    text = f"\ngridsync --sync, {asked} staging requests, {many} polls of them:\n\n" + table(done, short(site))
    return text + goals(
        not_slower(done, "stage"),
        Goal("staging requests for each 200 files", asked / (STAGED / 200), 1.0, at_most=True),
        Goal(f"polls within {SOON} s of the one before", early, 0, at_most=True),
    )


# == Starting ===========================================================================================


def start_up(site: Site, folder: Path) -> str:
    """--help of the installed file and one TAB, beside Python with optparse alone"""
    env = {**os.environ, "GRIDSYNC_DIR": str(folder), "NO_COLOR": "1"}
    tab = f"bash --noprofile --norc -c {shlex.quote(f'. {COMPLETION}; {TAB}')}"
    done = side_by_side(
        [
            Side("gridsync", lambda place: f"{site.gridsync} --help > {place}/said", env),
            Side("TAB in bash", lambda place: f"{tab} > {place}/said", env, check=offers),
            Side("bare Python", lambda _: f'{PYTHON} -c "import optparse"', env, is_peer=False),
        ],
        folder, rounds=40,
    )  # fmt: skip
    command = [PYTHON, "-X", "importtime", str(site.gridsync), "--help"]
    loaded = subprocess.run(command, env=env, capture_output=True, text=True, timeout=LIMIT, check=True).stderr
    heavy = {name for name in ("gfal2", "requests", "tqdm", "ssl") if re.search(rf"\| +{name}$", loaded, re.MULTILINE)}
    bare = done["bare Python"]
    return "\none after the other:\n\n" + table(done, short(site)) + goals(
        Goal("--help: times as long as bare Python", ratio(done["gridsync"], bare), 2.5, at_most=True),
        Goal("TAB: times as long as bare Python", ratio(done["TAB in bash"], bare), 2.5, at_most=True),
        Goal("of gfal2, requests, tqdm and ssl are loaded", len(heavy), 0, at_most=True),
    )  # fmt: skip


def offers(place: Path) -> None:
    if set((said := (place / "said").read_text()).split()) != {"--inc=", "--input_dir="}:
        raise Refused(f"TAB offers {said}")


def nothing_to_do(site: Site, folder: Path) -> str:
    """--start on a complete catalog of 100,000 and of 1,000,000 rows"""
    text, all_goals, seconds = "", [], []
    for rows, megabytes in ((100_000, 120), (1_000_000, 700)):
        work = folder / f"{rows}.work"
        complete(Job(site, "nothing", "https://localhost:1", 4), work, rows)
        bare = shlex.join([PYTHON, "-c", BARE, f"{work}/grid_summary.csv", f"{work}/data"])
        lines = [which.line(work, "--start --quiet") for which in (site, site.first)]
        sides = [
            Side(name, lambda _, line=line: line, site.env)  # type: ignore[misc]
            for name, line in zip(("gridsync", BEFORE, "bare Python"), [*lines, bare])
        ]
        done = side_by_side(sides, folder / str(rows), ROUNDS if rows < 1_000_000 else 2)
        text += f"\n{rows:,} rows:\n\n" + table(done, short(site))
        gridsync = done["gridsync"]
        seconds.append(gridsync.seconds / rows)
        peak = max(run.memory for run in gridsync.runs)
        all_goals += [
            not_slower(done, f"{rows:,} rows"),
            Goal(f"{rows:,} rows: times as long as bare Python", ratio(gridsync, done["bare Python"]), 4, at_most=True),
            Goal(f"{rows:,} rows: peak MB", peak, megabytes, at_most=True),
        ]
    linear = Goal("a row of 1,000,000: times as long as one of 100,000", seconds[1] / seconds[0], 1.2, at_most=True)
    return text + goals(*all_goals, linear)


def complete(job: Job, work: Path, rows: int) -> None:
    """A work folder with a catalog of files of one byte, and these."""
    conf(job, work, work / "data")
    lines = ["path,size,mtime,checksum,locality,downloaded,verified,request,site,error,computed"]
    for number in range(rows):
        path = f"{job.name}/{number // 500:04d}/{number % 500:03d}.cdat"
        here = f"{work}/data/{path}"
        if number % 500 == 0:
            os.makedirs(os.path.dirname(here))
        with open(here, "wb", buffering=0) as file:
            file.write(b"x")
        os.utime(here, (1433851200, 1433851200))
        lines.append(f"{path},1,2015-06-09T12:00:00Z,adler32:00790079,ONLINE,yes,adler32,,BENCH,,")
    (work / "grid_summary.csv").write_text("\n".join([*lines, ""]))
