"""A small Grid on loopback: a CA, a simulated dCache with tape, a real XRootD door, and AGATA's tree behind both."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from tests.grid import agata
from tests.grid.door import Door
from tests.grid.pki import Pki
from tests.grid.tape import Robot
from tests.grid.tree import Tree
from tests.grid.xrootd import XRootD


class Grid:
    """The whole grid: `with Grid() as grid:`. It lives in a temporary folder unless one is named."""

    def __init__(self, folder: Path | None = None, drives: int = 4, seconds: float = 0.05) -> None:
        """Tape has so many drives, each taking so many seconds for a file."""
        self._temporary = folder is None
        self.folder = folder or Path(tempfile.mkdtemp(prefix="grid-"))
        self.tree = Tree()
        agata.plant(self.tree)
        self.pki = Pki(self.folder / "pki")
        self.robot = Robot(self.tree, drives, seconds)
        self.xrootd = XRootD(self.folder / "xrootd", self.pki)
        self.door: Door

    def __enter__(self) -> Grid:
        mask = os.umask(0o022)  # XRootD may run as another user and reads the CA folder
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        finally:
            os.umask(mask)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _start(self) -> None:
        self.folder.chmod(0o755)
        self.pki.create()
        self.door = Door(self.tree, self.pki, self.robot)
        self.door.start()
        self.xrootd.fill(self.tree)
        self.xrootd.start()
        self.env = {**self.pki.environment(), "X509_USER_PROXY": str(self.pki.proxy("good"))}
        self.xrootd.ready()

    def stop(self) -> None:
        """End all servers and remove the temporary folder."""
        if hasattr(self, "door"):
            self.door.stop()
        self.xrootd.stop()
        if self._temporary:
            shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def open_ports(self) -> tuple[int, int]:
        """The ports that other machines can reach: XRootD's, which cannot be told to stay on loopback."""
        return self.xrootd.ports

    def conf(self, output: Path | str) -> str:
        """A Grid.conf for this grid: the simulated dCache is LYON, XRootD is XROOTD."""
        sites = {"LYON": self.door.url, "XROOTD": self.xrootd.url}
        text = f"[gridsync]\nSITE = LYON\nOUTPUTDIR = {output}\n"
        for site, url in sites.items():
            text += f"\n[{site}]\nSERVER = {url}/\nBASE_DIR_ON_GRID = agata/\n"
        return text
