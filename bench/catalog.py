"""How long a catalog of many rows takes, and how much memory: each step in a process of its own.

    python3 -m bench.catalog 1000000

Files of no bytes are made for the last step, one a row; --no_files leaves it out. All is in TMPDIR, and removed at
the end.
"""

from __future__ import annotations

import argparse
import os
import pickle
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, NamedTuple

from bench.measure import PYTHON
from gridsync_parts.catalog import Catalog
from gridsync_parts.disk import Target
from gridsync_parts.fetching import Fetch
from gridsync_parts.flow import START, SYNC
from gridsync_parts.pace import PACE
from gridsync_parts.plans import plan_catalog, plan_copies
from gridsync_parts.values import Entry, Locality, Scope, Wishes

TOP = Path(__file__).parents[1]
SITE, TREE, MTIME = "BENCH", "run", 1433851200
FOLDER = 500  # files in one
EMPTY = "adler32:00000001"  # of no bytes
SCOPE = Scope(SITE, TREE, (), ())
HEADS = ("", "seconds", "CPU s", "peak MB", "bytes of memory a row")


class Step(NamedTuple):
    """What a step took."""

    seconds: float
    cpu: float
    memory: float  # MB, of all its process


def used() -> float:
    """CPU seconds of this process, and of those that it has waited for."""
    ours, theirs = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return ours.ru_utime + ours.ru_stime + theirs.ru_utime + theirs.ru_stime


def apart(prepare: Callable[[], Any], act: Callable[[Any], object]) -> Step:
    """What an act takes, after what has to be there before it; in a process of its own, whose memory is counted."""
    reading, writing = os.pipe()
    if not (pid := os.fork()):
        os.close(reading)
        status = 1
        try:
            there = prepare()
            began, cpu = time.perf_counter(), used()
            kept = act(there)
            took = time.perf_counter() - began, used() - cpu
            memory = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
            os.write(writing, pickle.dumps(Step(*took, memory / 1024)))
            status = 0
            del kept
        finally:
            os._exit(status)
    os.close(writing)
    with open(reading, "rb") as file:
        said = file.read()
    if os.waitpid(pid, 0)[1]:
        raise SystemExit("a step has failed")
    step: Step = pickle.loads(said)
    return step


class Bench:
    """A catalog of so many rows, in a work folder."""

    def __init__(self, folder: Path, rows: int):
        self.folder, self.rows = str(folder), rows
        self.data = folder / "data"

    def entries(self) -> Iterator[Entry]:
        """The files as a listing has them; none has bytes, or nobody could have so many here."""
        for number in range(self.rows):
            path = f"{TREE}/{number // FOLDER:06d}/{number % FOLDER:03d}_agata.cdat"
            yield Entry(path, False, 0, MTIME, f"adler32:{number or 1:08x}", Locality.ONLINE)

    def load(self) -> Catalog:
        """The catalog, from its file."""
        return Catalog(self.folder)

    def build(self, listed: list[Entry]) -> Catalog:
        """A catalog of what was listed, which is saved."""
        catalog = Catalog(self.folder)
        catalog.replace(plan_catalog(catalog.all(), listed, SCOPE, ()))
        return catalog

    def change(self, catalog: Catalog) -> Catalog:
        """One row changes, and all are saved."""
        row = next(catalog.all())
        catalog.put([row._replace(error="once")])
        catalog.save()
        return catalog

    def plan(self, catalog: Catalog, of: Any) -> Fetch:
        """Plan all files, of which none is here."""
        rows = catalog.matching(SCOPE)
        plan = plan_copies(rows, lambda row: None, False, False)
        fetch = Fetch(of, PACE, Target(str(self.data)), Wishes())
        fetch.plan(plan, 0.0)
        return fetch

    def fill(self) -> None:
        """Have all files here, and the catalog say so."""
        self.data.mkdir()
        catalog, done = Catalog(self.folder), []
        for number, row in enumerate(catalog.of(SITE)):
            here = f"{self.data}/{row.path}"
            if number % FOLDER == 0:
                os.makedirs(os.path.dirname(here))
            os.close(os.open(here, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))
            os.utime(here, (MTIME, MTIME))
            done.append(row._replace(downloaded=True, verified="adler32"))
        catalog.put(done)
        catalog.save()

    def start(self, _: None) -> None:
        """gridsync.py --start, with nothing to do."""
        line = [PYTHON, str(TOP / "gridsync.py"), "--workdir", self.folder, "--start", "--quiet"]
        subprocess.run(line, check=True)

    def conf(self) -> None:
        """Settings by which nobody is asked anything."""
        folder, token = Path(self.folder), Path(self.folder) / "token"
        token.touch(0o600)
        token.write_text("none")
        text = f"[gridsync]\nSITE = {SITE}\nINPUTDIR = {TREE}\nOUTPUTDIR = {self.data}\n\n[{SITE}]\n"
        text += f"SERVER = https://localhost:1\nBASE_DIR_ON_GRID = agata\nTAPE_API = none\nTOKEN = file:{token}\n"
        (folder / "Grid.conf").write_text(text)

    def measure(self, has_files: bool) -> None:
        """Print each step as it is done."""

        def listed() -> list[Entry]:
            return list(self.entries())

        def say(name: str, prepare: Callable[[], Any], act: Callable[[Any], object]) -> None:
            step = apart(prepare, act)
            figures = step.seconds, step.cpu, step.memory, step.memory * 2**20 / self.rows
            cells = [f"{figure:.{digits}f}" for figure, digits in zip(figures, (1, 1, 0, 0))]
            print(f"| {' | '.join([name, *cells])} |", flush=True)

        print(f"{self.rows:,} rows:\n\n| " + " | ".join(HEADS) + " |\n" + "|---" * len(HEADS) + "|")
        say("build from a listing, and save", listed, self.build)
        say("load", lambda: None, lambda _: self.load())
        say("list again: nothing is new", listed, self.build)
        say("change one row, and save", self.load, self.change)
        say("plan: all to be copied by --start", self.load, lambda catalog: self.plan(catalog, START))
        say("plan: all to be copied by --sync", self.load, lambda catalog: self.plan(catalog, SYNC))
        size = os.path.getsize(f"{self.folder}/grid_summary.csv")
        if has_files:
            self.conf()
            apart(lambda: None, lambda _: self.fill())
            say("gridsync.py --start, all is here", lambda: None, self.start)
        print(f"\ngrid_summary.csv: {size / 1e6:.0f} MB, {size / self.rows:.0f} bytes a row")


def main() -> None:
    """Measure a catalog of so many rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=int)
    parser.add_argument("--no_files", action="store_true", help="without the last step, which makes a file a row")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="catalog-"))
    try:
        Bench(folder, options.rows).measure(not options.no_files)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
