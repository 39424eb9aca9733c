"""The row about copies from site to site, between two real XRootD: by the doors themselves and through this machine."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench.copies import beside, short
from bench.measure import FEWER, PART, Goal, Runs, Side, cpu_of, goals, ratio, side_by_side, table, timed
from bench.site import Site, refuse_unless_same
from bench.tools import CHECKSUM, shared_out
from tests.grid.xrootd import SCRATCH, XRootD

FILES = 4  # at once
SMALL, LARGE = "small", "crossed"
WHAT = {SMALL: "2,000 files of 20 kB", LARGE: "4 files of 512 MiB"}


class Pair:
    """Two sites that copy from door to door; they keep their files in memory, as a site's disks are not ours."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.memory = tempfile.TemporaryDirectory(dir="/dev/shm")
        self.top = Path(self.memory.name)
        self.servers = [XRootD(self.top / name, site.pki, "copier") for name in ("source", "target")]
        self.source, self.target = (server.folder / "data" / SCRATCH for server in self.servers)

    def __enter__(self) -> Pair:
        mask = os.umask(0o022)
        self.top.chmod(0o755)
        for server in self.servers:
            server.start()
            server.ready()
        for name in (SMALL, LARGE):  # with the checksums that the door has ready
            shutil.copytree(self.site.source(name), self.source / name)
        os.umask(mask)
        return self

    def __exit__(self, *_: object) -> None:
        for server in self.servers:
            server.stop()
        self.memory.cleanup()

    def cpu(self) -> float:
        """CPU seconds that both servers have taken."""
        return sum(cpu_of(server.pid) for server in self.servers)

    def begin(self, folder: Path) -> None:
        """A folder of the run at the target and one in memory here; gfal-copy makes none for a list of files."""
        for there in (self.target / folder.name, self.top / "here" / folder.name):
            there.mkdir(parents=True)
            there.chmod(0o777)

    def short(self) -> dict[str, str]:
        """Names for places that are others at each run."""
        doors = {server.url: name for server, name in zip(self.servers, ("https://A", "https://B"))}
        return {**doors, str(self.top): "MEMORY", **short(self.site)}

    def side(self, tool: str, name: str, part: int = 1) -> Side:
        """A tool that copies a set of files, or a part of them."""
        line: Callable[[str, Path, int], str] = getattr(self, tool.replace("-", "_"))
        wanted = [self.site.source(name) / path for path in self.site.paths(name, part)]

        def check(folder: Path) -> None:
            there = (self.top / "here" if tool == "get" else self.target) / folder.name
            refuse_unless_same(tool, wanted, there)
            for place in (self.top / "here", self.target):
                shutil.rmtree(place / folder.name)

        def before(folder: Path) -> None:
            self.begin(folder)
            if tool != "gfal-copy":
                self.set_up(tool, name, folder)

        smaller = self.side(tool, name, PART) if tool == "gfal-copy" and part == 1 and len(wanted) > PART else None
        return Side(
            TITLES.get(tool, tool), lambda folder: line(name, folder, part), self.site.env, before, check, CHECKSUM,
            part=smaller, server=self.cpu,
        )  # fmt: skip

    # What is run.

    def set_up(self, tool: str, name: str, folder: Path) -> None:
        """A work folder of gridsync, with the catalog that it begins with."""
        text = f"[gridsync]\nSITE = A\nINPUTDIR = {name}\nOUTPUTDIR = {self.top / 'here' / folder.name}\n"
        text += f"THREADS = {FILES}\n"
        for site, server, base in zip("AB", self.servers, (SCRATCH, f"{SCRATCH}/{folder.name}")):
            text += f"\n[{site}]\nSERVER = {server.url}\nBASE_DIR_ON_GRID = /{base}\nTAPE_API = none\nFIRST_BYTE = 15\n"
        (folder / "Grid.conf").write_text(text)
        if tool != "put":
            to = "" if tool == "get" else "--to=B "
            timed(self.site.line(folder, f"{to}--build_list --quiet"), self.site.env, folder)

    def gridsync(self, _: str, folder: Path, __: int) -> str:
        return self.site.line(folder, "--to=B --start --quiet")

    def via_here(self, _: str, folder: Path, __: int) -> str:
        return self.site.line(folder, "--to=B --start --via_here --quiet")

    def get(self, _: str, folder: Path, __: int) -> str:
        """The one direction alone."""
        return self.site.line(folder, "--start --quiet")

    def put(self, name: str, folder: Path, _: int) -> str:
        """The other one: the same files from this machine, where they are in memory, too."""
        return self.site.line(folder, f"--from=B --put={self.source / name} --input_dir={name} --quiet")

    def gfal_copy(self, name: str, folder: Path, part: int) -> str:
        """As many processes as files at once; the files land in one folder."""
        urls = [f"{self.servers[0].scratch}/{name}/{path}" for path in self.site.paths(name, part)]
        copy = f"gfal-copy -K ADLER32 --copy-mode pull --from-file FILE {self.servers[1].scratch}/{folder.name}"
        return shared_out(urls, FILES, folder, copy)


TITLES = {"via_here": "gridsync --via_here", "get": "gridsync, from A alone", "put": "gridsync, to B alone"}


def site_to_site(site: Site, folder: Path) -> str:
    """2,000 files of 20 kB, and 4 of 512 MiB, from one XRootD to another"""
    text, some = "", []
    with Pair(site) as pair:
        for name, what in WHAT.items():
            done = side_by_side([pair.side(tool, name) for tool in ("gridsync", "gfal-copy")], folder / name, FEWER)
            text += f"\n{what}, copied by the doors, 4 at once:\n\n" + table(done, pair.short())
            some.append(beside(done, what, 1.0))
        for name, what in WHAT.items():
            sides = [pair.side(tool, name) for tool in ("via_here", "get", "put")]
            here, *alone = side_by_side(sides, folder / f"{name}-here", FEWER).values()
            text += f"\n{what}, copied through this machine, 4 at once:\n\n"
            text += table({one.side.name: one for one in (here, *alone)}, pair.short())
            some.append(Goal(f"speed of the slower direction alone, {what}", slower(here, *alone), 0.8))
    return text + goals(*some)


def slower(here: Runs, *alone: Runs) -> float:
    """How fast files go through this machine, beside the slower of the two directions."""
    return max(ratio(one, here) for one in alone)
