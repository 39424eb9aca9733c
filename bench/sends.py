"""The rows about uploads, to a real XRootD that lets members write; each run has a folder of its own there."""

from __future__ import annotations

import filecmp
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench.copies import short
from bench.measure import PART, Goal, Refused, Runs, Side, best, cpu_of, goals, ratio, side_by_side, table
from bench.site import SETS, Site
from bench.tools import CHECKSUM
from tests.grid.xrootd import SCRATCH, XRootD

Line = Callable[[Path, Path, int], str]  # a line for sh: a local folder, the folder of the run, and files at once


class Sink:
    """A server that takes files; it keeps them in memory, as a site's disks are not those of its users."""

    def __init__(self, site: Site):
        self.site = site
        self.memory = tempfile.TemporaryDirectory(dir="/dev/shm")
        self.xrootd = XRootD(Path(self.memory.name), site.pki, "copier")
        self.there = self.xrootd.folder / "data" / SCRATCH
        self.keys = f"--cert {site.proxy} --key {site.proxy} --cacert {site.ca}"  # of curl

    def __enter__(self) -> Sink:
        self.xrootd.start()
        self.xrootd.ready()
        return self

    def __exit__(self, *_: object) -> None:
        self.xrootd.stop()
        self.memory.cleanup()

    def gridsync(self, source: Path, folder: Path, files: int) -> str:
        work, target = folder / "work", target_of(folder)
        work.mkdir()
        text = f"[gridsync]\nSITE = SINK\nTHREADS = {files}\n\n[SINK]\nSERVER = {self.xrootd.url}\nFIRST_BYTE = 15\n"
        (work / "Grid.conf").write_text(f"{text}BASE_DIR_ON_GRID = {SCRATCH}\nTAPE_API = none\n")
        return self.site.line(work, f"--put {source} --input_dir {target} --quiet")

    def rclone(self, source: Path, folder: Path, files: int) -> str:
        keys = f"--client-cert {self.site.proxy} --client-key {self.site.proxy} --ca-cert {self.site.ca}"
        door = f"--webdav-url {self.xrootd.scratch} --webdav-vendor other"
        target = f":webdav:{target_of(folder)}"
        return f"rclone copy -q --transfers {files} --checkers {files} {keys} {door} {source} {target}"

    def curl(self, source: Path, folder: Path, files: int) -> str:
        """It makes no folders, but XRootD does."""
        config = folder / "curl"
        url = f"{self.xrootd.scratch}/{target_of(folder)}"
        paths = [path for path in sorted(source.rglob("*")) if path.is_file()]
        config.write_text(
            "".join(f'upload-file = "{path}"\nurl = "{url}/{path.relative_to(source)}"\n' for path in paths)
        )
        return f"curl -s -Z --parallel-max {files} {self.keys} -K {config} >{config}.out 2>&1"

    def curl_digest(self, source: Path, folder: Path, _: int) -> str:
        """curl with one file, of which it then asks the door for the checksum, as gridsync does, but compares none."""
        (path,) = (path for path in source.rglob("*") if path.is_file())
        url = f"{self.xrootd.scratch}/{target_of(folder)}/{path.relative_to(source)}"
        wanted = '-I -H "Want-Digest: adler32"'
        sends, asks = f"curl -s {self.keys} -T {path} {url} >{folder}/sent", f"curl -s {self.keys} {wanted} {url}"
        return f"{sends} && {asks} | grep -qi ^digest:"

    def side(self, tool: str, name: str, files: int, part: int = 1) -> Side:
        """A tool that sends a set of files, or a part of them."""
        line: Line = getattr(self, tool.replace("+", "_"))
        source = self.site.source(name)
        if part > 1:
            source = self.site.folder / f"{name}-{part}"
            for path in self.site.paths(name)[::part]:
                (source / path).parent.mkdir(parents=True, exist_ok=True)
                if not (source / path).exists():
                    shutil.copy(self.site.source(name) / path, source / path)

        def command(folder: Path) -> str:
            return line(source, folder, files)

        def check(folder: Path) -> None:
            self.refuse_unless_same(source, target_of(folder), tool)
            shutil.rmtree(self.there / target_of(folder))

        is_many = part == 1 and tool != "gridsync" and len(SETS[name]) > PART
        smaller = self.side(tool, name, files, PART) if is_many else None
        verifies = {"gridsync": CHECKSUM, "curl+digest": "nothing, but asks", "rclone": "size"}.get(tool, "nothing")
        server = lambda: cpu_of(self.xrootd.pid)  # noqa: E731
        return Side(tool, command, self.site.env, check=check, verifies=verifies, part=smaller, server=server)

    def refuse_unless_same(self, source: Path, target: str, tool: str) -> None:
        """A tool whose files are not those that were sent has no time."""
        wanted = {path.relative_to(source) for path in source.rglob("*") if path.is_file()}
        found = {path.relative_to(self.there / target) for path in (self.there / target).rglob("*") if path.is_file()}
        wrong = sorted(wanted ^ found) + [
            path for path in sorted(wanted & found) if not filecmp.cmp(source / path, self.there / target / path, False)
        ]
        if wrong:
            raise Refused(f"{tool}: {len(wrong)} of {len(wanted)} files are not those that were sent, as {wrong[0]}")


def target_of(folder: Path) -> str:
    """The folder at the server that belongs to a run."""
    return f"{folder.parent.name}-{folder.name}"


def times(done: dict[str, Runs]) -> float:
    """How many times as long the best peer takes."""
    return ratio(best(done), done["gridsync"])


def put_small(site: Site, folder: Path) -> str:
    """2,000 files of 20 kB sent over 4 connections"""
    with Sink(site) as sink:
        done = side_by_side([sink.side(tool, "small", 4) for tool in ("gridsync", "rclone", "curl")], folder / "small")
    rclone = ratio(done["rclone"], done["gridsync"])
    return "\n4 connections:\n\n" + table(done, short(site)) + goals(Goal("times as fast as rclone", rclone, 1.0))


def put_large(site: Site, folder: Path) -> str:
    """one file of 2 GiB sent over 1 connection"""
    tools = ("gridsync", "curl+digest", "curl", "rclone")
    with Sink(site) as sink:
        done = side_by_side([sink.side(tool, "large", 1) for tool in tools], folder / "large")
    memory = max(run.memory for run in done["gridsync"].runs)
    return "\n1 connection:\n\n" + table(done, short(site)) + goals(
        Goal("times as fast as curl+digest", ratio(done["curl+digest"], done["gridsync"]), 1.0),
        Goal(f"times as fast as the best peer, which verifies less, {best(done).side.name}", times(done), 1.0),
        Goal("peak MB", memory, 100, at_most=True),
    )  # fmt: skip
