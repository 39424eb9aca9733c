"""The row about machines with ssh: a real OpenSSH, and its own sftp and lftp beside gridsync."""

from __future__ import annotations

import filecmp
import shutil
import tempfile
from pathlib import Path

from bench.copies import short
from bench.measure import Goal, Refused, Side, goals, ratio, side_by_side, table
from bench.site import Site
from tests.grid.sshd import Sshd
from tests.grid.tree import Tree

FILES = 4  # at once; sftp itself fetches one after the other


class Source:
    """An OpenSSH with some of the site's folders."""

    def __init__(self, site: Site, *names: str) -> None:
        self.site = site
        self.folder = Path(tempfile.mkdtemp(prefix="gridsync-bench-"))
        self.folder.chmod(0o755)
        self.server = Sshd(self.folder / "sshd")
        self.names = names
        self.env = {**site.env, **self.server.client.env}

    def __enter__(self) -> Source:
        self.server.start(Tree(), (), 0)
        for name in self.names:
            shutil.copytree(self.site.source(name), self.server.data / name)
        self.server.own()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def login(self) -> str:
        return f"{self.server.user}@localhost"

    def gridsync(self, name: str, folder: Path) -> str:
        text = f"[gridsync]\nSITE = SSH\nOUTPUTDIR = {folder}/data\nTHREADS = {FILES}\n\n[SSH]\n"
        (folder / "Grid.conf").write_text(f"{text}SERVER = {self.server.url}/\n")
        return self.site.line(folder, f"--input_dir {name} --build_list --start --quiet")

    def sftp(self, name: str, folder: Path) -> str:
        (folder / "data").mkdir()
        (folder / "commands").write_text(f"get -r {self.server.data}/{name} {folder}/data\n")
        return f"sftp -S ssh -q -b {folder}/commands -P {self.server.port} {self.login} >/dev/null"

    def lftp(self, name: str, folder: Path) -> str:
        opens = f"open -u {self.server.user}, sftp://localhost:{self.server.port}"
        mirror = f"mirror --parallel={FILES} {self.server.data}/{name} {folder}/data/{name}"
        (folder / "commands").write_text(f"set cmd:fail-exit yes\n{opens}\n{mirror}\n")
        return f"lftp -f {folder}/commands"

    def side(self, tool: str, name: str) -> Side:
        """A tool that fetches a folder."""
        line = {"gridsync": self.gridsync, "sftp": self.sftp, "lftp": self.lftp}[tool]

        def check(folder: Path) -> None:
            for path in self.site.paths(name):
                found = folder / "data" / name / path
                if not found.exists() or not filecmp.cmp(found, self.site.source(name) / path, False):
                    raise Refused(f"{tool}: {path} is not the file that is there")
            shutil.rmtree(folder / "data")

        verifies = "size" if tool == "gridsync" else "nothing"
        return Side(tool, lambda folder: line(name, folder), self.env, check=check, verifies=verifies)


def sftp(site: Site, folder: Path) -> str:
    """2,000 files of 20 kB, and one of 1 GiB, by ssh"""
    text, times = "", {}
    with Source(site, "small", "far") as source:
        for name, what in (("small", "2,000 files of 20 kB, 4 at once; sftp one after the other"), ("far", "1 GiB")):
            done = side_by_side([source.side(tool, name) for tool in ("gridsync", "sftp", "lftp")], folder / name)
            times[name] = ratio(done["sftp"], done["gridsync"])
            text += f"\n{what}:\n\n" + table(done, {**short(site), str(source.folder): "SERVER"})
    return text + goals(
        Goal("times as fast as OpenSSH's sftp, small files", times["small"], 1.0),
        Goal("times as fast as OpenSSH's sftp, 1 GiB", times["far"], 0.8),
    )
