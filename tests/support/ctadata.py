"""A user of ctadata, who has changed the import: the hub and the dCache of the grid, and what is there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.grid import Grid
from tests.grid.hub import BASE, Hub
from tests.grid.propfind import content
from tests.support import TOP
from tests.support.user import Result, contents, write_secret

HOME = "lst/users/alice"
RUN = "cta/DL1/20241114/v0.1"
DATA = "dl1_LST-1.Run11111.0100.h5"
FILES = {
    f"{RUN}/{DATA}": b"HDF5 dl1 " + b"*" * 700_000,
    f"{RUN}/datacheck_dl1_LST-1.Run11111.0100.h5": b"HDF5 check",
    f"{RUN}/dl1_LST-1.Run11112.0100.h5": b"HDF5 other",
    "lst/some-data-dir/some-data-file": b"s" * 3000,
    "lst/some-data-dir/more/another-data-file": b"a" * 3_000_000,
}
LOCAL = {"latest": b"l" * 60098, "latest.txt": b"t" * 60098, "latest-file-list": b"f" * 60, "example.txt": b"example"}


class Member:
    """Somebody with a token of the hub, in a work folder."""

    def __init__(self, grid: Grid, hub: Hub, folder: Path):
        self.grid, self.hub, self.folder = grid, hub, folder
        self.python = [sys.executable]
        own = {name: value for name, value in grid.env.items() if not name.startswith(("CTA", "JUPYTERHUB"))}
        self.env = {
            **own, "PYTHONPATH": str(TOP), "GRIDSYNC_DIR": str(folder), "CTADS_URL": f"{hub.url}/",
            "CTACS_URL": f"{hub.certificates_url}/", "JUPYTERHUB_API_TOKEN": hub.token,
        }  # fmt: skip
        for path, data in FILES.items():
            hub.dcache.uploads.put(f"{BASE}/{path}", data, mtime=1_700_000_000)
        for name, data in LOCAL.items():
            (folder / name).write_bytes(data)
        shutil.copy(grid.pki.proxy("good"), folder / "yourcertificate.crt")
        write_secret(folder / "token", hub.dcache.token(3600))
        section = f"[CTA_DCACHE]\nSERVER = {hub.dcache.url}\nBASE_DIR_ON_GRID = {BASE}\nTOKEN = file:{folder}/token\n"
        (folder / "Grid.conf").write_text(f"[gridsync]\nRETRIES = 1\n\n{section}")
        self.before = {*hub.tree.folder(BASE).children}

    def leave(self) -> None:
        """Have nothing there that was not before."""
        top = self.hub.tree.folder(BASE).children
        for name in {*top} - self.before:
            del top[name]
        self.hub.tree.remove(f"{BASE}/cta/DL1")
        self.hub.tree.remove(f"{BASE}/lst/some-data-dir")
        self.hub.dcache.up("pool")
        self.hub.reset()

    def run(self, *words: str, **env: str) -> Result:
        """A program of Python's, whose output comes as it is."""
        run = {"cwd": self.folder, "env": {**self.env, **env}, "capture_output": True, "text": True, "timeout": 100}
        done = subprocess.run([*self.python, *words], check=False, **run)
        return Result(done.returncode, done.stdout, done.stderr)

    def __call__(self, line: str, **env: str) -> Result:
        """A line of ctadata's in the shell."""
        return self.run("-m", "gridsync_parts.ctadata", *line.split(), **env)

    def here(self) -> dict[str, bytes]:
        """The files that are here and were not before, or are others now."""
        given = ("yourcertificate.crt", "token", "Grid.conf")
        found = contents(self.folder).items()
        return {name: data for name, data in found if name not in given and data != LOCAL.get(name)}

    def there(self, folder: str = HOME) -> dict[str, bytes]:
        """The files in a folder of the hub."""
        top = f"{BASE}/{folder}".rstrip("/")
        files = {path: self.hub.tree.file(path) for path in self.hub.tree.files(top)}
        return {path[len(top) + 1 :]: b"".join(content(file, 0, file.size)) for path, file in files.items()}


def set_environment(member: Member, monkeypatch: object) -> None:
    """Have a test's own process in the place of the member's."""
    for name in {*os.environ} - {*member.env}:
        if name.startswith(("CTA", "JUPYTERHUB", "X509")):
            monkeypatch.delenv(name)  # type: ignore[attr-defined]
    for name, value in member.env.items():
        if name.startswith(("CTA", "JUPYTERHUB", "X509", "GRIDSYNC")):
            monkeypatch.setenv(name, value)  # type: ignore[attr-defined]
    monkeypatch.chdir(member.folder)  # type: ignore[attr-defined]
