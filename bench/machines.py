"""The rows about machines with ssh and FTP servers: real ones, and other tools for them beside gridsync."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from bench.copies import beside, short
from bench.measure import AFTERWARDS, Side, goals, side_by_side, table
from bench.site import Site, refuse_unless_same
from bench.tools import TOOLS
from tests.grid.ftpd import PASSWORD, USER, Ftpd
from tests.grid.sshd import Sshd
from tests.grid.tree import Tree
from tests.support.ftp import home_with_login

FILES = 4  # at once; OpenSSH's sftp has one after the other
TLS = "set ftp:ssl-force yes; set ftp:ssl-protect-data yes"
SETS = ("small", "far")  # the site's folders that such a server has


class Source:
    """A server of its own, with some of the site's folders, and how tools fetch one of them."""

    server: Any
    tools: tuple[str, ...]  # methods: the command lines
    keys = ""  # of gridsync's site, beside SERVER

    def __init__(self, site: Site) -> None:
        self.site = site
        self.folder = Path(tempfile.mkdtemp(prefix="gridsync-bench-"))
        self.folder.chmod(0o755)
        self.env: dict[str, str] = {}

    def __exit__(self, *_: object) -> None:
        self.server.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def fill(self) -> None:
        """Lay the folders where the server looks."""
        for name in SETS:
            shutil.copytree(self.site.source(name), self.server.data / name)

    def gridsync(self, name: str, folder: Path) -> str:
        text = f"[gridsync]\nSITE = THERE\nOUTPUTDIR = {folder}/data\nTHREADS = {FILES}\n\n[THERE]\n"
        (folder / "Grid.conf").write_text(f"{text}SERVER = {self.server.url}/\n{self.keys}")
        return self.site.line(folder, f"--input_dir {name} --build_list --start --quiet")

    def mirror(self, name: str, folder: Path, opens: str) -> str:
        """The line of lftp, whose commands lie in a file, as there may be a password among them."""
        mirror = f"mirror --parallel={FILES} {self.server.data}/{name} {folder}/data/{name}"
        (folder / "commands").write_text(f"set cmd:fail-exit yes\n{opens}\n{mirror}\n")
        return f"lftp -f {folder}/commands"

    def side(self, tool: str, name: str) -> Side:
        """A tool that fetches a folder."""
        line = getattr(self, tool)

        def check(folder: Path) -> None:
            refuse_unless_same(tool, (self.site.source(name) / path for path in self.site.paths(name)), folder)
            if name != "small":
                shutil.rmtree(folder / "data")

        verifies, durable = ("size", TOOLS[tool].durable) if tool == "gridsync" else ("nothing", AFTERWARDS)
        return Side(tool, lambda folder: line(name, folder), self.env, check=check, verifies=verifies, durable=durable)

    def measure(self, folder: Path, small: str, large: str) -> str:
        """Both folders by each tool; gridsync is to be as fast as the best of the others."""
        text, some = "", []
        for name, what in zip(SETS, (small, large)):
            done = side_by_side([self.side(tool, name) for tool in self.tools], folder / name)
            some.append(beside(done, what, 1.0))
            text += f"\n{what}:\n\n" + table(done, {**short(self.site), str(self.folder): "SERVER"})
        return text + goals(*some)


class Ssh(Source):
    """An OpenSSH."""

    tools = ("gridsync", "sftp", "lftp")

    def __enter__(self) -> Ssh:
        self.server = Sshd(self.folder / "sshd")
        self.env = {**self.site.env, **self.server.client.env}
        self.server.start(Tree(), (), 0)
        self.fill()
        self.server.own()
        return self

    def sftp(self, name: str, folder: Path) -> str:
        (folder / "data").mkdir()
        (folder / "commands").write_text(f"get -r {self.server.data}/{name} {folder}/data\n")
        return f"sftp -S ssh -q -b {folder}/commands -P {self.server.port} {self.server.user}@localhost >/dev/null"

    def lftp(self, name: str, folder: Path) -> str:
        return self.mirror(name, folder, f"open -u {self.server.user}, sftp://localhost:{self.server.port}")


class Ftp(Source):
    """A proftpd with TLS."""

    tools = ("gridsync", "lftp")

    def __enter__(self) -> Ftp:
        self.server = Ftpd(self.folder / "server", self.site.pki, "proftpd")
        self.env = {**self.site.env, **home_with_login(self.folder / "home")}
        self.keys = f"CA_DIR = {self.site.ca}\n"
        self.fill()
        self.server.start()
        return self

    def lftp(self, name: str, folder: Path) -> str:
        opens = f"open -u {USER},'{PASSWORD}' ftp://localhost:{self.server.port}"
        return self.mirror(name, folder, f"set ssl:ca-file {self.site.ca}; {TLS}\n{opens}")


def sftp(site: Site, folder: Path) -> str:
    """2,000 files of 20 kB, and one of 1 GiB, by ssh"""
    with Ssh(site) as source:
        small = "2,000 files of 20 kB, 4 at once; sftp one after the other"
        return source.measure(folder, small, "1 GiB")


def ftps(site: Site, folder: Path) -> str:
    """2,000 files of 20 kB, and one of 1 GiB, by FTP with TLS"""
    with Ftp(site) as source:
        return source.measure(folder, "2,000 files of 20 kB, 4 connections", "1 GiB, 1 connection")
