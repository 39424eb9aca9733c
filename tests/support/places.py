"""The sites of the test grid as Places: each engine at each door."""

from __future__ import annotations

import functools
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from gridsync_parts.doors import At, Place
from gridsync_parts.doors.apart import open_apart
from gridsync_parts.keys.token import Token
from gridsync_parts.kinds import kind_of
from gridsync_parts.settings import Config
from gridsync_parts.table import Site
from tests.grid import CHOSEN, Grid, agata
from tests.grid.door import PROFILES, Door
from tests.grid.ftpd import KINDS
from tests.grid.hub import Hub
from tests.support.memory import Memory

# Of doors, the grid's two; the other profiles are left to the long tests.
OTHERS = [pytest.param(profile, marks=pytest.mark.long) for profile in PROFILES if profile not in CHOSEN.values()]
OPENED: list[Place] = []  # by a test: an error that it has seen may keep them, so they are closed when it is over
DCACHES = ["dcache", *(other for other in OTHERS if str(other.values[0]).startswith("dcache"))]


def with_engines(*doors: Any) -> list[Any]:
    """Each door with both engines."""
    params = [pytest.param(door) if isinstance(door, str) else door for door in doors]
    return [pytest.param(f"{e} {p.values[0]}", marks=p.marks) for p in params for e in ("http", "gfal2")]


WITH_TAPE = with_engines("dcache", "storm", *OTHERS)
APART = ["gfal2 token", "gfal2 public"]  # root:// that is shown a token, and nothing
FTPS = [f"ftps {kind}" for kind in KINDS]
WITHOUT_TAPE = ["http xrootd", "gfal2 xrootd", "gfal2 root", *APART, "gfal2 file", "ssh sftp", *FTPS]
HUBS = ["hub alone", pytest.param("hub jupyter", marks=pytest.mark.long)]
PORTALS = ["opendata https", "opendata root"]  # by what brings the bytes
REPOSITORIES = ["invenio nrp", "invenio rdm"]  # of models of their own, and a plain one
PLACES = WITH_TAPE + WITHOUT_TAPE + HUBS + PORTALS + REPOSITORIES
WITH_CREDENTIALS = [*WITH_TAPE, "http xrootd", "gfal2 xrootd"]


PLAIN = pytest.param("http wsgidav", marks=pytest.mark.long)
WRITERS = [*with_engines("dcache", "storm", *OTHERS)[::2], "http xrootd", "ssh sftp", *FTPS, PLAIN, *HUBS]
WRITERS += ["invenio nrp"]


RECORD = "e680_1to64"  # of the portal
HOME = "lst/users/alice"  # where Alice may write, on a hub


def door_of(grid: Grid, pair: str) -> Door:
    """The simulated door of a pair: of its kind, or of its profile."""
    name = pair.split()[-1]
    return grid.at(CHOSEN.get(name, name))


def site_of(grid: Grid, pair: str) -> Site:
    """The site of an engine and a door."""
    engine, door = pair.split()
    if engine == "ftps":
        return Site("DESY", grid.ftpd(door).url, "agata", engine, "auto", "", "", "", 30, 10)
    if door in ("token", "public"):
        return root_site(grid, door)
    if door.startswith(("dcache", "storm")):
        return Site("LYON", door_of(grid, pair).url, "agata", engine, "auto", "", "", "", 30, 10)
    if engine == "opendata":
        return portal_site(grid, door)
    if engine == "invenio":
        return repository_site(grid, door)
    if engine == "hub":
        hub = grid.jupyter if door == "jupyter" else grid.hub
        return Site("LYON", hub.server.rstrip("/"), "", engine, "none", "", "", "", 30, 10)
    server = {
        "sftp": grid.sshd.url if door == "sftp" else "",
        "xrootd": grid.xrootd.url,
        "root": grid.xrootd.root_url.rstrip("/"),
        "file": f"file://{grid.xrootd.folder / 'data'}",
    }[door]
    return Site("LYON", server, "agata", engine, "auto", "", "", "", 30, 10)


def portal_site(grid: Grid, carrier: str) -> Site:
    """The portal, with two files of the tree in a record, and others that have the same names in other folders."""
    portal, paths = grid.portal, [f"{agata.RUN}/Data/03A/{agata.SMALL}", "ReadATCA/ReadATCA.tar"]
    if RECORD not in portal.records:
        files = {path: grid.tree.expected(f"agata/{RECORD}/{path}") for path in paths}
        portal.add(RECORD, {**files, **{f"other/{path.partition('/')[2]}": b"" for path in paths}})
    portal.eos = portal.xrootd.root_url
    site = Site("PORTAL", portal.base, "", "opendata", "auto", first_byte=30, silence=10)
    return site._replace(ca_dir=grid.env["X509_CERT_DIR"], bytes_by=carrier)


def repository_site(grid: Grid, kind: str) -> Site:
    """The repository, with two files of the tree in a record, whose own folders they have."""
    repository, paths = grid.repository, [f"{agata.RUN}/Data/03A/{agata.SMALL}", "ReadATCA/ReadATCA.tar"]
    repository.switches.kind, repository.switches.ranges = kind, True
    known = repository.records.get(RECORD)
    if known is None:
        known = repository.add(RECORD, {path: grid.tree.expected(f"agata/{RECORD}/{path}") for path in paths})
        del repository.records[known.id]
        known.id, known.created = RECORD, grid.tree.file(f"agata/{RECORD}/{paths[0]}").mtime
        repository.records[RECORD] = known
    known.model = repository.model
    token = "env:REPOSITORY_TOKEN"
    return Site("REPOSITORY", repository.base, "", "invenio", "auto", token=token, first_byte=30, silence=10)


def root_site(grid: Grid, door: str) -> Site:
    """One that is not shown a proxy."""
    site = Site("ROOT", "", "agata", "gfal2", ca_dir=grid.env["X509_CERT_DIR"], first_byte=30, silence=10)
    if door == "public":
        return site._replace(server=grid.public.root_url.rstrip("/"), credential="none")
    return site._replace(server=grid.guarded.root_url.rstrip("/"), token=f"file:{token_file(grid)}")


@functools.cache
def token_file(grid: Grid) -> Path:
    """Where a token of the grid's provider lies."""
    path = grid.folder / "token"
    path.touch(mode=0o600)
    path.write_text(grid.openid.token())
    return path


@functools.cache
def apart(site: Site) -> Place:
    """A site that a process of its own speaks to, as Python programs have it: in one gfal2 shows one thing alone.

    The process ends with this one, and where gfal2 is here, there is nothing to close either.
    """
    no_conf = Config(site.ca_dir)
    return open_apart(site, "", no_conf, "")._replace(close=lambda: None)


def site_to_write(grid: Grid, pair: str) -> Site:
    """The same, where members may write."""
    if pair.endswith("wsgidav"):
        return Site("LYON", grid.wsgidav.url, "", "http", "none", "", "", "", 30, 10)
    site = site_of(grid, pair)
    if site.engine == "hub":
        hub_of(grid, site).tree.folder(f"agata/{HOME}")
        return site._replace(base=HOME)
    if pair.startswith("ftps"):
        return site._replace(base="")
    if pair.endswith("sftp"):
        return site._replace(base="scratch")
    return site._replace(server=grid.copier.url, base="scratch") if pair.endswith("xrootd") else site


def opened(site: Site, proxy: str = "", token: Token | None = None, ca: str | None = None) -> Place:
    """A site that is shown just these, or what it says itself."""
    kind = kind_of(site)
    if site.name == "ROOT" or site.bytes_by == "root":
        return apart(site)
    place: Place = import_module(f"gridsync_parts.doors.{kind.module}").open_place(site, kind.can, proxy, token, ca)
    OPENED.append(place)
    return place


def hub_of(grid: Grid, site: Site) -> Hub:
    """The hub of a site."""
    hubs: list[Hub] = [grid.__dict__[name] for name in ("hub", "jupyter") if name in grid.__dict__]
    return next(hub for hub in hubs if hub.server.rstrip("/") == site.server)


class Given(Token):
    """A token that a test has."""

    def __init__(self, text: str):
        self.source, self.kind, self.text, self.ends = "env:A", "env", text, 0.0

    def value(self) -> str:
        return self.text

    def renew(self, refused: str) -> str:
        return ""


def place_at(grid: Grid, site: Site, proxy: str = "good", ca: str | None = None, path: str = "") -> Place:
    """A site that is shown one of the grid's proxies, or the one at a path; a hub, the token of Alice."""
    if site.engine == "invenio":
        return opened(site, token=Given(grid.repository.token), ca=ca or grid.env["X509_CERT_DIR"])
    if site.engine == "hub":
        return opened(site, token=Given(hub_of(grid, site).token), ca=ca or grid.env["X509_CERT_DIR"])
    return opened(site, path or str(grid.pki.proxy(proxy)), ca=ca or grid.env["X509_CERT_DIR"])


def received(place: Place, path: str, start: int, stop: int, size: int | None = None) -> bytes:
    """Bytes of a file."""
    body = place.reader.read(At(path, stop if size is None else size), start, stop)
    try:
        assert body.start == start
        return b"".join(map(bytes, body.chunks))
    finally:
        body.close()


def new_home(place: Place, name: str) -> str:
    """A folder of a test's own at a Place, or a draft."""
    if place.repository:
        return place.repository.create(name).id
    assert place.writer
    place.writer.folder(name)
    return name


def memory_of(grid: Grid, folder: str) -> Memory:
    """The files of a folder at a site in memory."""
    site = Memory()
    for path in grid.tree.files(f"agata/{folder}"):
        site.put(path[len("agata/") :], grid.tree.expected(path), mtime=int(grid.tree.file(path).mtime))
    return site
