"""A small Grid on loopback: a CA, a simulated dCache with tape, a real XRootD door, and AGATA's tree behind both."""

from __future__ import annotations

import os
import shutil
import tempfile
from functools import cached_property
from pathlib import Path

from tests.grid import agata, corner
from tests.grid.door import PROFILES, Door, kindly
from tests.grid.ftpd import Ftpd
from tests.grid.fts import Fts
from tests.grid.hub import Hub
from tests.grid.iam import Iam
from tests.grid.invenio import Invenio
from tests.grid.jupyter import Jupyter
from tests.grid.machines import GATES
from tests.grid.openid import OpenId
from tests.grid.pki import Pki
from tests.grid.portal import Portal
from tests.grid.repository import Repository
from tests.grid.sshd import Sshd
from tests.grid.tape import Robot
from tests.grid.tree import Tree
from tests.grid.voms import Voms
from tests.grid.wsgidav import WsgiDav
from tests.grid.xrootd import SPARSE_ABOVE, XRootD

# Servers that most tests need not.
LAZY = {"voms", "iam", "sshd", "copier", "openid", "guarded", "public", "wsgidav", "hub", "jupyter", "portal"}
LAZY |= {"invenio", "repository", "second", "fts"}


# Which software the grid's two doors are: GRID_PROFILE="dcache-12.0 storm-1.6" names others.
USUAL = "dcache-10.2 storm-1.9"
CHOSEN = {name.partition("-")[0]: name for name in f"{USUAL} {os.environ.get('GRID_PROFILE', '')}".split()}


class Grid:
    """The whole grid: `with Grid() as grid:`. It lives in a temporary folder unless one is named."""

    def __init__(self, folder: Path | None = None, drives: int = 4, seconds: float = 0.05) -> None:
        """Tape has so many drives, each taking so many seconds for a file."""
        if set(CHOSEN.values()) - PROFILES.keys():
            raise ValueError(f"GRID_PROFILE names other doors than {', '.join(PROFILES)}")
        self._temporary = folder is None
        self.folder = folder or Path(tempfile.mkdtemp(prefix="grid-"))
        self.tree = Tree()
        agata.plant(self.tree)
        corner.plant_awkward(self.tree)
        self.pki = Pki(self.folder / "pki", *GATES)
        self.robot = Robot(self.tree, drives, seconds)
        self.xrootd = XRootD(self.folder / "xrootd", self.pki)
        self.ftpds: dict[str, Ftpd] = {}  # by kind
        self.doors: dict[str, Door] = {}  # by profile, all over the same tree and robot

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
        self.door, self.storm = (self.at(CHOSEN[kind]) for kind in ("dcache", "storm"))
        self.xrootd.fill(self.tree)
        self.xrootd.start()
        self.env = {**self.pki.environment(), "X509_USER_PROXY": str(self.pki.proxy("good"))}
        self.xrootd.ready()

    def stop(self) -> None:
        """End all servers and remove the temporary folder."""
        for door in self.doors.values():
            door.stop()
        self.xrootd.stop()
        for ftpd in self.ftpds.values():
            ftpd.stop()
        for server in LAZY & self.__dict__.keys():
            getattr(self, server).stop()
        if self._temporary:
            shutil.rmtree(self.folder, ignore_errors=True)

    def at(self, profile: str) -> Door:
        """The door of a profile, started when first asked for; it is kind to what gridsync.py can't take yet."""
        if profile not in self.doors:
            self.doors[profile] = Door(self.tree, self.pki, self.robot, profile, kindly(profile))
            self.doors[profile].start()
        return self.doors[profile]

    def ftpd(self, kind: str) -> Ftpd:
        """An FTP server with the manual's experiment at 1/64 and the awkward names, started when first asked for."""
        if kind not in self.ftpds:
            ftpd = Ftpd(self.folder / kind, self.pki, kind)
            ftpd.start(self.tree, ("agata/e680_1to64", corner.AWKWARD), SPARSE_ABOVE)
            self.ftpds[kind] = ftpd
        return self.ftpds[kind]

    @cached_property
    def voms(self) -> Voms:
        """The VOMS server, started when first asked for."""
        voms = Voms(self.folder / "voms", self.pki)
        voms.start()
        return voms

    @cached_property
    def iam(self) -> Iam:
        """A stand-in of INDIGO IAM's VOMS endpoint, started when first asked for."""
        iam = Iam(self.pki)
        iam.start()
        return iam

    @cached_property
    def sshd(self) -> Sshd:
        """An sftp server with the manual's experiment at 1/64 and the awkward names, started when first asked for."""
        sshd = Sshd(self.folder / "sshd")
        sshd.start(self.tree, ("agata/e680_1to64", corner.AWKWARD), SPARSE_ABOVE)
        return sshd

    @cached_property
    def copier(self) -> XRootD:
        """An XRootD with nothing in it that makes third-party copies, started when first asked for."""
        copier = XRootD(self.folder / "copier", self.pki, "copier")
        copier.start()
        copier.ready()
        return copier

    @cached_property
    def second(self) -> XRootD:
        """Another one, with data, ports and a secret of its own: the two copy from and to each other."""
        second = XRootD(self.folder / "second", self.pki, "copier")
        second.start()
        second.ready()
        return second

    @cached_property
    def openid(self) -> OpenId:
        """A provider of tokens, started when first asked for."""
        openid = OpenId(self.folder / "openid", self.pki)
        openid.start()
        return openid

    @cached_property
    def guarded(self) -> XRootD:
        """An XRootD with the manual's experiment at 1/64, which takes tokens; started when first asked for."""
        guarded = XRootD(self.folder / "guarded", self.pki, "guarded", self.openid)
        guarded.fill(self.tree)
        guarded.start()
        guarded.ready()
        return guarded

    @cached_property
    def public(self) -> XRootD:
        """An XRootD for everybody, with the manual's experiment at 1/64; started when first asked for."""
        public = XRootD(self.folder / "public", self.pki, "public")
        public.fill(self.tree)
        public.start()
        public.ready()
        return public

    @cached_property
    def wsgidav(self) -> WsgiDav:
        """A plain WebDAV server with nothing in it, started when first asked for."""
        wsgidav = WsgiDav(self.folder / "wsgidav", self.pki)
        wsgidav.start()
        return wsgidav

    @cached_property
    def hub(self) -> Hub:
        """CTA's download service without a hub around it; started when first asked for."""
        hub = Hub(self.tree, self.pki, self.robot)
        hub.start()
        return hub

    @cached_property
    def jupyter(self) -> Jupyter:
        """The same behind a real JupyterHub, started when first asked for."""
        jupyter = Jupyter(self.folder / "jupyter", self.tree, self.pki, self.robot)
        jupyter.start()
        return jupyter

    @cached_property
    def portal(self) -> Portal:
        """The CERN Open Data portal with nothing in it, started when first asked for."""
        portal = Portal(self.folder / "portal", self.pki)
        portal.start()
        return portal

    @cached_property
    def invenio(self) -> Invenio:
        """A real Invenio with nothing in it, started when first asked for; its venv must be built."""
        invenio = Invenio(self.folder / "invenio", self.pki)
        invenio.start()
        return invenio

    @cached_property
    def repository(self) -> Repository:
        """A stand-in for a repository of Invenio's kind, with nothing in it, started when first asked for."""
        repository = Repository(self.pki)
        repository.start()
        return repository

    @cached_property
    def fts(self) -> Fts:
        """A stand-in for an FTS3 server, started when first asked for."""
        fts = Fts(self.pki, self.folder / "fts")
        fts.start()
        return fts

    @property
    def open_ports(self) -> tuple[int, ...]:
        """The ports that other machines can reach: those of servers that cannot be told to stay on loopback."""
        started = self.__dict__
        names = {"copier", "second", "guarded", "public"} & started.keys()
        others = [port for name in sorted(names) for port in started[name].ports]
        if "portal" in started and "xrootd" in self.portal.__dict__:
            others += self.portal.xrootd.ports
        return (*self.xrootd.ports, *others, *([self.voms.port] if "voms" in started else []))

    def conf(self, output: Path | str) -> str:
        """A Grid.conf for this grid: the simulated dCache is LYON, the StoRM is CNAF, XRootD is XROOTD."""
        sites = {"LYON": self.door.url, "CNAF": self.storm.url, "XROOTD": self.xrootd.url}
        text = f"[gridsync]\nSITE = LYON\nOUTPUTDIR = {output}\n"
        for site, url in sites.items():
            text += f"\n[{site}]\nSERVER = {url}/\nBASE_DIR_ON_GRID = agata/\n"
        return f"{text}FIRST_BYTE = 15\n"  # XRootD, the last, now and then forgets an answer when it makes checksums
