"""One file fetched at each kind of site, and one sent where that can be done, on a grid of its own: make demo-doors."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from gridsync_parts.errors import GridError
from gridsync_parts.kinds import KINDS, is_tried, kind_of
from gridsync_parts.table import Site
from tests.grid import Grid
from tests.support import TOP
from tests.support.demo import play
from tests.support.ftp import home_with_login
from tests.support.places import place_at, received, site_of, site_to_write

FOLDER = "e680_1to64/ReadATCA"
FILE = f"{FOLDER}/ReadATCA.tar"
RESULTS, SPECTRUM = "results", bytes(range(256)) * 512
VISITS = {  # by a site's name: which Place of the test grid it is, and what the user should know of it
    "DCACHE": ("http dcache", "dCache over https, simulated; a proxy is shown"),
    "STORM": ("http storm", "StoRM over https, simulated; a proxy is shown"),
    "XROOTD": ("http xrootd", "a real XRootD over https; a proxy is shown, and another one takes files"),
    "GFAL2": ("gfal2 dcache", "dCache again, through gfal2"),
    "ROOT": ("gfal2 root", "a real XRootD by root://; a proxy is shown"),
    "ROOT_TOKEN": ("gfal2 token", "the same; a token is shown"),
    "ROOT_PUBLIC": ("gfal2 public", "the same with public data; nothing is shown"),
    "FOLDER": ("gfal2 file", "a folder of this machine"),
    "SSH": ("ssh sftp", "a real OpenSSH; a key is shown"),
    "FTPS": ("ftps proftpd", "a real proftpd with TLS; user name and password are shown"),
    "HUB": ("hub alone", "CTA's service on a hub, simulated; a token is shown"),
    "OPEN_DATA": ("opendata https", "the CERN Open Data portal, simulated; nothing is shown"),
    "REPOSITORY": ("invenio nrp", "a repository of Invenio's kind, simulated; a token is shown"),
    "OPEN_ROOT": ("opendata root", "the same, its bytes from a real XRootD by root://"),
}
SET_UPS: dict[str, Callable[[Grid, Path], dict[str, str]]] = {  # by the engine or door: what a user has there
    "hub": lambda grid, home: {"JUPYTERHUB_API_TOKEN": grid.hub.token},
    "invenio": lambda grid, home: {"REPOSITORY_TOKEN": grid.repository.token},
    "sftp": lambda grid, home: grid.sshd.client.env,
    "ftps": lambda grid, home: home_with_login(home),
}
METADATA = {
    "title": "A spectrum",
    "publication_date": "2026-11-28",
    "creators": [{"person_or_org": {"type": "organizational", "name": "AGATA"}}],
}
LAST = re.compile(r"(?ms)^(Copied|Sent): .*")


def section(name: str, site: Site) -> str:
    """A site's section of Grid.conf."""
    credential = site.credential if kind_of(site).module == "gfal" and site.credential == "none" else ""
    keys = {
        "SERVER": f"{site.server}/", "BASE_DIR_ON_GRID": site.base, "ENGINE": site.engine,
        "TOKEN": site.token, "CREDENTIAL": credential, "BYTES": site.bytes_by if site.bytes_by == "root" else "",
    }  # fmt: skip
    return f"\n[{name}]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items() if value)


class Visitor:
    """Somebody who goes from site to site with one Grid.conf."""

    def __init__(self, grid: Grid, folder: Path) -> None:
        self.grid = grid
        self.folder = folder
        self.env = {**grid.env, "GRIDSYNC_DIR": str(folder), "NO_COLOR": "1"}
        self.own: dict[str, str] = {}  # of the environment, for the site that is visited
        self.wrong: list[str] = []
        (folder / RESULTS).mkdir()
        (folder / RESULTS / "spectrum.root").write_bytes(SPECTRUM)
        (folder / "metadata.json").write_text(json.dumps({"metadata": METADATA}))
        (folder / "Grid.conf").write_text("[gridsync]\nRETRIES = 2\n")

    def visit(self, name: str, pair: str) -> Iterator[str]:
        """Fetch a file there and send one; which of it was done."""
        own = [SET_UPS[word](self.grid, self.folder) for word in pair.split() if word in SET_UPS]
        self.own = dict(item for env in own for item in env.items())
        site = site_of(self.grid, pair)
        self.add(name, site)
        self.run(f"--from {name} --input_dir {FOLDER} --output_dir {name.lower()}/ --build_list --start")
        if self.found(name.lower()) != self.grid.tree.expected(f"agata/{FILE}"):
            self.wrong.append(f"{name}: the file that has come is not the one of the site")
        yield "fetched"
        if not kind_of(site).can.writes:
            return
        target = site_to_write(self.grid, pair)
        there = name if target == site else f"{name}_TO_WRITE"
        if there != name:
            self.add(there, target)
        folder = f"demo_{name.lower()}"
        if site.engine == "invenio":
            self.run(f"--from {there} --put {RESULTS} --metadata metadata.json")
            folder = self.grid.repository.drafts[-1].id
        else:
            self.run(f"--from {there} --put {RESULTS} --input_dir {folder}")
        if self.content(target, f"{folder}/spectrum.root") != SPECTRUM:
            self.wrong.append(f"{name}: what was sent is not what is there")
        yield "sent"

    def content(self, site: Site, path: str) -> bytes:
        """What is there under the name of the file that was sent."""
        os.environ.update(self.own)
        try:
            return received(place_at(self.grid, site), path, 0, len(SPECTRUM))
        except GridError as error:
            return str(error).encode()

    def add(self, name: str, site: Site) -> None:
        """Have one more site."""
        with (self.folder / "Grid.conf").open("a") as conf:
            conf.write(section(name, site))

    def run(self, line: str) -> None:
        """Show a command line and how it ends."""
        print(f"$ gridsync.py {line}", flush=True)
        command = [sys.executable, str(TOP / "gridsync.py"), *shlex.split(line)]
        env = {**self.env, **self.own}
        done = subprocess.run(command, env=env, cwd=self.folder, capture_output=True, text=True, check=False)
        last = LAST.search(done.stdout)
        print(last[0].rstrip("\n") if last and not done.returncode else done.stdout + done.stderr)
        if done.returncode:
            self.wrong.append(f"gridsync.py {line} ended with status {done.returncode}")

    def found(self, name: str) -> bytes:
        path = self.folder / name / FILE
        return path.read_bytes() if path.is_file() else b""


def main() -> int:
    """Visit all of them."""
    began = time.monotonic()
    print("A test grid starts; then a file is fetched at each kind of site, and one sent where that can be done.\n")
    with tempfile.TemporaryDirectory(prefix="gridsync-doors-") as folder, Grid() as grid:
        grid.tree.file(f"agata/{FILE}").locality = "ONLINE"
        visitor, done, kinds = Visitor(grid, Path(folder)), [], set()
        for name, (pair, says) in VISITS.items():
            print(f"# {name}: {says}.")
            done += visitor.visit(name, pair)
            kinds.add(kind_of(site_of(grid, pair)))
            print(flush=True)
        missing = [kind for kind in KINDS if is_tried(kind) and kind not in kinds]
        visitor.wrong += [f"{kind.engine} {kind.schemes[0]}:// was not visited" for kind in missing]
    for wrong in visitor.wrong:
        print(f"WRONG: {wrong}", file=sys.stderr)
    if visitor.wrong:
        return 1
    seconds = time.monotonic() - began
    print(f"{len(VISITS)} sites: {done.count('fetched')} files fetched, {done.count('sent')} sent, in {seconds:.0f} s.")
    print("docs/doors.md says how to set up each kind of site.")
    return 0


if __name__ == "__main__":
    play(main)
