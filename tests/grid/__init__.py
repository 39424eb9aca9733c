"""A small Grid on loopback: a CA, a simulated dCache with tape, a real XRootD door, and AGATA's tree behind both."""

from __future__ import annotations

import os
import shutil
import tempfile
from functools import cached_property
from pathlib import Path

from tests.grid import agata, corner
from tests.grid.door import Door
from tests.grid.pki import Pki
from tests.grid.sshd import Sshd
from tests.grid.tape import Robot
from tests.grid.tree import Tree
from tests.grid.voms import Voms
from tests.grid.xrootd import SPARSE_ABOVE, XRootD

LAZY = {"voms", "sshd"}  # servers that most tests need not


class Grid:
    """The whole grid: `with Grid() as grid:`. It lives in a temporary folder unless one is named."""

    def __init__(self, folder: Path | None = None, drives: int = 4, seconds: float = 0.05) -> None:
        """Tape has so many drives, each taking so many seconds for a file."""
        self._temporary = folder is None
        self.folder = folder or Path(tempfile.mkdtemp(prefix="grid-"))
        self.tree = Tree()
        agata.plant(self.tree)
        corner.plant_awkward(self.tree)
        self.pki = Pki(self.folder / "pki")
        self.robot = Robot(self.tree, drives, seconds)
        self.xrootd = XRootD(self.folder / "xrootd", self.pki)
        self.door: Door
        self.storm: Door  # over the same tree and robot

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
        self.storm = Door(self.tree, self.pki, self.robot, "storm-1.9")
        self.door.start()
        self.storm.start()
        self.xrootd.fill(self.tree)
        self.xrootd.start()
        self.env = {**self.pki.environment(), "X509_USER_PROXY": str(self.pki.proxy("good"))}
        self.xrootd.ready()

    def stop(self) -> None:
        """End all servers and remove the temporary folder."""
        for door in {"door", "storm"} & self.__dict__.keys():
            getattr(self, door).stop()
        self.xrootd.stop()
        for server in LAZY & self.__dict__.keys():
            getattr(self, server).stop()
        if self._temporary:
            shutil.rmtree(self.folder, ignore_errors=True)

    @cached_property
    def voms(self) -> Voms:
        """The VOMS server, started when first asked for."""
        voms = Voms(self.folder / "voms", self.pki)
        voms.start()
        return voms

    @cached_property
    def sshd(self) -> Sshd:
        """An sftp server with the manual's experiment at 1/64 and the awkward names, started when first asked for."""
        sshd = Sshd(self.folder / "sshd")
        sshd.start(self.tree, ("agata/e680_1to64", corner.AWKWARD), SPARSE_ABOVE)
        return sshd

    @property
    def open_ports(self) -> tuple[int, ...]:
        """The ports that other machines can reach: those of servers that cannot be told to stay on loopback."""
        return (*self.xrootd.ports, *([self.voms.port] if "voms" in self.__dict__ else []))

    def conf(self, output: Path | str) -> str:
        """A Grid.conf for this grid: the simulated dCache is LYON, the StoRM is CNAF, XRootD is XROOTD."""
        sites = {"LYON": self.door.url, "CNAF": self.storm.url, "XROOTD": self.xrootd.url}
        text = f"[gridsync]\nSITE = LYON\nOUTPUTDIR = {output}\n"
        for site, url in sites.items():
            text += f"\n[{site}]\nSERVER = {url}/\nBASE_DIR_ON_GRID = agata/\n"
        return f"{text}FIRST_BYTE = 15\n"  # XRootD, the last, now and then forgets an answer when it makes checksums
