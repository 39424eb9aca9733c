"""The row about FTP with TLS: a real proftpd, and lftp beside gridsync."""

from __future__ import annotations

import filecmp
import shutil
import tempfile
from pathlib import Path

from bench.copies import short
from bench.measure import Goal, Refused, Side, goals, ratio, side_by_side, table
from bench.site import Site
from tests.grid.ftpd import PASSWORD, USER, Ftpd
from tests.support.ftp import home_with_login

FILES = 4  # at once
TLS = "set ftp:ssl-force yes; set ftp:ssl-protect-data yes; set cmd:fail-exit yes"


class Source:
    """A proftpd with some of the site's folders."""

    def __init__(self, site: Site, *names: str) -> None:
        self.site = site
        self.folder = Path(tempfile.mkdtemp(prefix="gridsync-bench-"))
        self.server = Ftpd(self.folder / "server", site.pki, "proftpd")
        self.env = {**site.env, **home_with_login(self.folder / "home")}
        self.folder.chmod(0o755)
        for name in names:
            shutil.copytree(site.source(name), self.server.data / name)

    def __enter__(self) -> Source:
        self.server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def gridsync(self, name: str, folder: Path) -> str:
        text = f"[gridsync]\nSITE = FTPS\nOUTPUTDIR = {folder}/data\nTHREADS = {FILES}\n\n[FTPS]\n"
        (folder / "Grid.conf").write_text(f"{text}SERVER = {self.server.url}/\nCA_DIR = {self.site.ca}\n")
        return self.site.line(folder, f"--input_dir {name} --build_list --start --quiet")

    def lftp(self, name: str, folder: Path) -> str:
        """Its commands lie in a file, as there is a password among them."""
        opens = f"open -u {USER},'{PASSWORD}' ftp://localhost:{self.server.port}"
        mirror = f"mirror --parallel={FILES} {self.server.data}/{name} {folder}/data/{name}"
        (folder / "commands").write_text(f"set ssl:ca-file {self.site.ca}; {TLS}\n{opens}\n{mirror}\n")
        return f"lftp -f {folder}/commands"

    def side(self, tool: str, name: str) -> Side:
        """A tool that fetches a folder."""
        line = {"gridsync": self.gridsync, "lftp": self.lftp}[tool]

        def check(folder: Path) -> None:
            for path in self.site.paths(name):
                found = folder / "data" / name / path
                if not found.exists() or not filecmp.cmp(found, self.site.source(name) / path, False):
                    raise Refused(f"{tool}: {path} is not the file that is there")
            shutil.rmtree(folder / "data")

        verifies = "size" if tool == "gridsync" else "nothing"
        return Side(tool, lambda folder: line(name, folder), self.env, check=check, verifies=verifies)


def ftps(site: Site, folder: Path) -> str:
    """2,000 files of 20 kB, and one of 1 GiB, by FTP with TLS"""
    text, times = "", {}
    with Source(site, "small", "far") as source:
        for name, what in (("small", "2,000 files of 20 kB, 4 connections"), ("far", "1 GiB, 1 connection")):
            done = side_by_side([source.side(tool, name) for tool in ("gridsync", "lftp")], folder / name)
            times[name] = ratio(done["lftp"], done["gridsync"])
            text += f"\n{what}:\n\n" + table(done, {**short(site), str(source.folder): "SERVER"})
    return text + goals(
        Goal("times as fast as lftp, small files", times["small"], 1.0),
        Goal("times as fast as lftp, 1 GiB", times["far"], 0.8),
    )
