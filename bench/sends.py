"""The rows about uploads, to a real XRootD and a real WsgiDAV; each run has a folder of its own there."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench.copies import beside, short
from bench.measure import FEWER, PART, Goal, Side, cpu_of, goals, side_by_side, table
from bench.site import SETS, Site, refuse_unless_same
from bench.tools import CHECKSUM
from tests.grid.wsgidav import WsgiDav
from tests.grid.xrootd import SCRATCH, XRootD

CURL = ("--cert", "--key", "--cacert")
Line = Callable[[Path, Path, int], str]  # a line for sh: a local folder, the folder of the run, and files at once


class Sink:
    """A server that takes files; it keeps them in memory, as a site's disks are not those of its users."""

    def __init__(self, site: Site, kind: type[XRootD | WsgiDav] = XRootD):
        self.site = site
        self.memory = tempfile.TemporaryDirectory(dir="/dev/shm")
        folder = Path(self.memory.name)
        self.server = XRootD(folder, site.pki, "copier") if kind is XRootD else WsgiDav(folder, site.pki)
        self.top = SCRATCH if kind is XRootD else ""  # where all may write
        self.there = folder / "data" / self.top
        self.key = site.proxy if kind is XRootD else ""

    def __enter__(self) -> Sink:
        self.server.start()
        if isinstance(self.server, XRootD):
            self.server.ready()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.stop()
        self.memory.cleanup()

    @property
    def url(self) -> str:
        return f"{self.server.url}/{self.top}".rstrip("/")

    def keys(self, options: tuple[str, str, str]) -> str:
        """What a tool shows and believes, by its names for certificate, key and CA."""
        return " ".join(f"{option} {file}" for option, file in zip(options, (self.key, self.key, self.site.ca)) if file)

    def gridsync(self, source: Path, folder: Path, files: int) -> str:
        work, target = folder / "work", target_of(folder)
        work.mkdir()
        text = f"[gridsync]\nSITE = SINK\nTHREADS = {files}\n\n[SINK]\nSERVER = {self.server.url}\nFIRST_BYTE = 15\n"
        text += f"BASE_DIR_ON_GRID = /{self.top}\nTAPE_API = none\n"
        (work / "Grid.conf").write_text(text if self.key else f"{text}CREDENTIAL = none\n")
        return self.site.line(work, f"--put {source} --input_dir {target} --quiet")

    def rclone(self, source: Path, folder: Path, files: int) -> str:
        keys = self.keys(("--client-cert", "--client-key", "--ca-cert"))
        door = f"--webdav-url {self.url} --webdav-vendor other"
        target = f":webdav:{target_of(folder)}"
        return f"rclone copy -q --transfers {files} --checkers {files} {keys} {door} {source} {target}"

    def curl(self, source: Path, folder: Path, files: int) -> str:
        """It makes no folders, so they are there before its clock runs; if it asked first, XRootD would hang up."""
        config = folder / "curl"
        url = f"{self.url}/{target_of(folder)}"
        paths = [path for path in sorted(source.rglob("*")) if path.is_file()]
        for parent in ("", *sorted({path.relative_to(source).parent for path in paths})):
            (self.there / target_of(folder) / parent).mkdir(exist_ok=True)
            (self.there / target_of(folder) / parent).chmod(0o777)
        config.write_text(
            "".join(f'upload-file = "{path}"\nurl = "{url}/{path.relative_to(source)}"\n' for path in paths)
        )
        return f'curl -s -Z --parallel-max {files} -H "Expect:" {self.keys(CURL)} -K {config} >{config}.out 2>&1'

    def curl_digest(self, source: Path, folder: Path, _: int) -> str:
        """curl with one file, of which it then asks the door for the checksum, as gridsync does, but compares none."""
        (path,) = (path for path in source.rglob("*") if path.is_file())
        url = f"{self.url}/{target_of(folder)}/{path.relative_to(source)}"
        wanted = '-I -H "Want-Digest: adler32"'
        sends = f"curl -s {self.keys(CURL)} -T {path} {url} >{folder}/sent"
        return f"{sends} && curl -s {self.keys(CURL)} {wanted} {url} | grep -qi ^digest:"

    def side(self, tool: str, name: str, files: int, part: int = 1) -> Side:
        """A tool that sends a set of files, or a part of them."""
        line: Line = getattr(self, tool.replace("+", "_"))
        source, whole = self.site.source(name), self.site.source(name)
        if part > 1:
            source = self.site.folder / f"{name}-{part}"
            for path in self.site.paths(name, part):
                (source / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(whole / path, source / path)

        def command(folder: Path) -> str:
            return line(source, folder, files)

        def check(folder: Path) -> None:
            refuse_unless_same(tool, source.rglob("*.cdat"), self.there / target_of(folder))
            shutil.rmtree(self.there / target_of(folder))

        is_many = part == 1 and tool == "rclone" and len(SETS[name]) > PART
        smaller = self.side(tool, name, files, PART) if is_many else None
        compares = CHECKSUM if self.key else "size"  # a door without keys is one without checksums here
        verifies = {"gridsync": compares, "curl+digest": "nothing, but asks", "rclone": "size"}.get(tool, "nothing")
        server = lambda: cpu_of(self.server.pid)  # noqa: E731
        return Side(tool, command, self.site.env, check=check, verifies=verifies, part=smaller, server=server)


def target_of(folder: Path) -> str:
    """The folder at the server that belongs to a run."""
    return f"{folder.parent.name}-{folder.name}"


def put_small(site: Site, folder: Path) -> str:
    """10,000 files of 20 kB sent over 4 connections"""
    with Sink(site) as sink:
        done = side_by_side([sink.side(tool, "sent", 4) for tool in ("gridsync", "rclone", "curl")], folder / "small")
    return "\n4 connections:\n\n" + table(done, short(site)) + goals(beside(done, "4 connections", 1.0))


def put_large(site: Site, folder: Path) -> str:
    """one file of 2 GiB sent over 1 connection"""
    tools = ("gridsync", "curl+digest", "curl", "rclone")
    with Sink(site) as sink:
        done = side_by_side([sink.side(tool, "large", 1) for tool in tools], folder / "large", FEWER)
    text = "\nto XRootD, which reads a file once more for its checksum:\n\n" + table(done, short(site))
    text += goals(
        beside(done, "to XRootD", 1.0),
        beside(done, "to XRootD, both asking for the checksum", 1.0, "curl+digest"),
        Goal("peak MB", max(run.memory for run in done["gridsync"].runs), 100, at_most=True),
    )
    with Sink(site, WsgiDav) as sink:
        sides = [sink.side(tool, "large", 1) for tool in ("gridsync", "curl", "rclone")]
        done = side_by_side(sides, folder / "plain", FEWER)
    text += "\nto WsgiDAV, which knows no checksums:\n\n" + table(done, short(site))
    return text + goals(beside(done, "to WsgiDAV", 1.0))
