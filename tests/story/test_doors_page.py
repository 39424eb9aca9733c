"""docs/doors.md: how a site of each kind is set up, played line by line; the screen shows what stands there.

A section of the page is played if it has lines to type; SET_UPS has a function for it, by its heading, which says which
server of the grid stands for the real one. tests/support/sections.py tells how.

`/usr/bin/python3 -m tests.story.test_doors_page` writes what the screen shows now into the page, to be compared.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.grid import Grid
from tests.grid.hub import BASE
from tests.support import SCRIPT
from tests.support.ftp import home_with_login
from tests.support.sections import SetUp, played_anew, played_sections, write_anew
from tests.support.stage import LESSON, MANUALS_DOOR, PROVIDER, Stage, difference, live_at
from tests.support.user import write_secret

PAGE = SCRIPT.with_name("docs") / "doors.md"


def lyon(stage: Stage) -> dict[str, str]:
    """A dCache, and a proxy for it."""
    stage.grid.tree.add(f"{LESSON}/run_1/setup.tar", 20 << 10)
    stage.grid.tree.add(f"{LESSON}/run_1/traces.cdat", 300 << 10, tape=True)
    return {MANUALS_DOOR: stage.door.url}


def cta_dcache(stage: Stage) -> dict[str, str]:
    """A dCache, and a token for it."""
    live_at(stage, "alice")
    write_secret(stage.home / ".cta_token", stage.door.token(2 * 86400))
    stage.grid.tree.add(f"{LESSON}/run_1/setup.tar", 20 << 10)
    return {"davs://dcache.cta.cscs.ch:2880": stage.door.url.replace("https:", "davs:")}


def root(stage: Stage) -> dict[str, str]:
    """An XRootD that takes tokens, and one for everybody."""
    stage.env["MY_TOKEN"] = stage.grid.openid.token(2 * 86400)
    stage.places[stage.grid.openid.url] = PROVIDER
    return {
        "root://xrootd.example.org": stage.grid.guarded.root_url.rstrip("/"),
        "root://open.example.org": stage.grid.public.root_url.rstrip("/"),
    }


def desy(stage: Stage) -> dict[str, str]:
    """A pure-ftpd, as DESY had one, and the password for it."""
    server = stage.grid.ftpd("pure-ftpd")
    stage.env.update(home_with_login(stage.home), PYTHON_KEYRING_BACKEND="none")
    for name, size in (("scan.nxs", 300 << 10), ("notes.txt", 457)):
        file = server.data / "raw/run_1" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(bytes(size))
        os.utime(file, (1_773_669_480, 1_773_669_480))
    shutil.rmtree(server.data / "processed", ignore_errors=True)
    (server.data / "processed").mkdir()
    server.give(server.data)
    (stage.work / "results").mkdir()
    (stage.work / "results/fit.txt").write_bytes(bytes(20 << 10))
    return {"ftps://psftp.desy.de": f"ftps://localhost:{server.port}"}


def diamond(stage: Stage) -> dict[str, str]:
    """An OpenSSH, and a key for it."""
    sshd = stage.grid.sshd
    path = f"{sshd.client.folder}/bin:{stage.env['PATH']}"
    stage.env.update(HOME=sshd.client.env["HOME"], PATH=path, XDG_RUNTIME_DIR=str(stage.home))
    visit = sshd.data / "dls/i12/data/2021/mg25682-2"
    shutil.rmtree(visit, ignore_errors=True)
    for name, size in (("rawdata/scan.nxs", 300 << 10), ("notes.txt", 457)):
        file = visit / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(bytes(size))
        os.utime(file, (1_773_669_480, 1_773_669_480))
    (visit / "processing").mkdir()
    os.utime(visit / "rawdata", (1_773_669_480, 1_773_669_480))
    os.utime(visit / "processing", (1_773_669_480, 1_773_669_480))
    sshd.own()
    (stage.work / "results").mkdir()
    (stage.work / "results/fit.txt").write_bytes(bytes(20 << 10))
    return {"sftp://alice@ssh.diamond.ac.uk": sshd.url}


def hub(stage: Stage) -> dict[str, str]:
    """CTA's service on a hub, and a token of Alice."""
    grid_hub = stage.grid.hub
    grid_hub.reset()
    for name, size in (("events.h5", 3 << 20), ("log", 2000)):
        grid_hub.tree.add(f"{BASE}/cta/DL1/run_1/{name}", size)
    (stage.work / "results/plots").mkdir(parents=True)
    for name in ("spectrum.csv", "plots/sky.png"):
        (stage.work / "results" / name).write_bytes(bytes(10_000))
    stage.env["JUPYTERHUB_API_TOKEN"] = grid_hub.token
    return {"https://platform.cta.cscs.ch/services/downloadservice/webdav": grid_hub.server.rstrip("/")}


def open_data(stage: Stage) -> dict[str, str]:
    """The portal with two records, and no certificate of the user's."""
    portal = stage.grid.portal
    portal.reset()
    portal.eos = portal.xrootd.root_url
    files = {"notes.txt": bytes(457), "2011/events.root": bytes(300 << 10), "2012/events.root": bytes(20 << 10)}
    portal.add("cms-5500", files, aliases=["5500"], index=["2011/events.root", "2012/events.root"])
    portal.add("cms-5501", {"more.root": bytes(50 + (100 << 10))})
    stage.env.pop("X509_USER_PROXY", None)
    return {"https://opendata.cern.ch": portal.base}


# By the heading of the section: what is set up for it, and which address of the page is which one of the grid.
SET_UPS: dict[str, SetUp] = {
    "https, with a proxy": lyon,
    "https, with a token": cta_dcache,
    "root": root,
    "Machines with ssh": diamond,
    "FTPS": desy,
    "CTA's hub": hub,
    "Open data": open_data,
}


PLAYED = played_sections(PAGE)


@pytest.mark.long
@pytest.mark.parametrize("name", PLAYED)
def test_the_screen_shows_what_the_page_says(grid: Grid, tmp_path: Path, name: str) -> None:
    now = played_anew(grid, tmp_path, PLAYED[name], SET_UPS[name])
    if found := difference(PLAYED[name], now, "docs/doors.md", "now"):
        pytest.fail(found, pytrace=False)


def test_every_set_up_has_its_section():
    assert sorted(SET_UPS) == sorted(PLAYED)


if __name__ == "__main__":
    with Grid() as new_grid:
        write_anew(PAGE, new_grid, SET_UPS)
