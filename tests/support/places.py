"""The grid's doors, each by an engine, as a site of the user's."""

from __future__ import annotations

from gridsync_parts.doors import Storage
from gridsync_parts.doors.gfal import Gfal2Storage
from gridsync_parts.doors.webdav import HttpStorage
from gridsync_parts.doors.wire import Http
from gridsync_parts.table import Site
from tests.grid import CHOSEN, Grid
from tests.grid.door import Door


def door_of(grid: Grid, pair: str) -> Door:
    """The simulated door of a pair: of its kind, or of its profile."""
    name = pair.split()[-1]
    return grid.at(CHOSEN.get(name, name))


def site_of(grid: Grid, pair: str) -> Site:
    """The site of an engine and a door."""
    engine, door = pair.split()
    if door.startswith(("dcache", "storm")):
        return Site("LYON", door_of(grid, pair).url, "agata", engine, "auto", "", "", "", 30, 10)
    server = {
        "sftp": grid.sshd.url if door == "sftp" else "",
        "xrootd": grid.xrootd.url,
        "root": f"root://localhost:{grid.xrootd.ports[1]}",
        "file": f"file://{grid.xrootd.folder / 'data'}",
    }[door]
    return Site("LYON", server, "agata", engine, "auto", "", "", "", 30, 10)


def storage_at(grid: Grid, site: Site, proxy: str = "good", ca: str | None = None, path: str = "") -> Storage:
    path, ca = path or str(grid.pki.proxy(proxy)), ca or grid.env["X509_CERT_DIR"]
    if site.engine == "gfal2":
        return Gfal2Storage(site, path, ca)
    return HttpStorage(Http(site, path, None, ca), site)
