"""docs/doors.md: how a site of each kind is set up, played line by line; the screen shows what stands there.

A section of the page is played if it has lines to type; SET_UPS has a function for it, by its heading. The work folder
is empty at its beginning. What is in a block `ini` is written into Grid.conf; a block `console` is a transcript, see
tests/support/stage.py. The page has the names of real sites, and the function says which server of the grid stands for
each, so nothing here talks to a real one.

`/usr/bin/python3 -m tests.story.test_doors_page` writes what the screen shows now into the page, to be compared.
"""

from __future__ import annotations

import configparser
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from gridsync_parts.conf import with_setting
from gridsync_parts.sites import KNOWN
from tests.grid import Grid
from tests.grid.hub import BASE
from tests.support import SCRIPT
from tests.support.ftp import home_with_login
from tests.support.stage import LESSON, MANUALS_DOOR, PROVIDER, Stage, difference, live_at, on_stage, played
from tests.support.user import write_secret

PAGE = SCRIPT.with_name("docs") / "doors.md"
INI = re.compile(r"(?s)(```ini\n.*?```\n)")


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


# By the heading of the section: what is set up for it, and which address of the page is which one of the grid.
SET_UPS: dict[str, Callable[[Stage], dict[str, str]]] = {
    "https, with a proxy": lyon,
    "https, with a token": cta_dcache,
    "root": root,
    "Machines with ssh": diamond,
    "FTPS": desy,
    "CTA's hub": hub,
}


def sections() -> list[str]:
    """The page, cut at its headings."""
    return re.split(r"(?m)^(?=## )", PAGE.read_text(encoding="utf-8"))


def title(section: str) -> str:
    return section.partition("\n")[0].strip("# ")


def is_played(section: str) -> bool:
    return "```console" in section


def translated(text: str, addresses: dict[str, str]) -> str:
    for there in sorted(addresses, key=len, reverse=True):
        text = text.replace(there, addresses[there])
    return text


def take_over(stage: Stage, addresses: dict[str, str]) -> None:
    """Have the grid's servers stand for those of the page, and for those that gridsync knows by itself."""
    stage.typed.update(addresses)
    stage.places.update({here: there for there, here in addresses.items()})
    servers = {name: translated(known.keys["SERVER"], addresses) for name, known in KNOWN.items()}
    away = {name: url for name, url in servers.items() if url != KNOWN[name].keys["SERVER"]}
    stage.install(
        'KNOWN = {name: known._replace(keys={**known.keys, "SERVER": '
        f'{away!r}.get(name, known.keys["SERVER"])}}) for name, known in KNOWN.items()}}'
    )


def write_down(stage: Stage, block: str, addresses: dict[str, str]) -> None:
    """Have in Grid.conf what a block of the page says."""
    conf = stage.work / "Grid.conf"
    text = conf.read_text() if conf.exists() else ""
    lines = configparser.ConfigParser(interpolation=None, delimiters="=")
    lines.optionxform = str  # type: ignore[assignment,method-assign]  # as the documentation has it
    lines.read_string(translated(block.replace("```ini", "").replace("```", ""), addresses))
    for section in lines.sections():
        for key, value in lines.items(section):
            text = with_setting(text, section, key, value)
    conf.write_text(text)


def played_anew(grid: Grid, folder: Path, section: str) -> str:
    """A section as it really goes."""
    with on_stage(grid, folder) as stage:
        addresses = SET_UPS[title(section)](stage)
        take_over(stage, addresses)
        parts = []
        for part in INI.split(section):
            if part.startswith("```ini"):
                write_down(stage, part, addresses)
            parts.append(part if part.startswith("```ini") else played(stage, part, "http"))
        return "".join(parts)


PLAYED = [pytest.param(section, id=title(section)) for section in filter(is_played, sections())]


@pytest.mark.parametrize("section", PLAYED)
def test_the_screen_shows_what_the_page_says(grid: Grid, tmp_path: Path, section: str) -> None:
    if found := difference(section, played_anew(grid, tmp_path, section), "docs/doors.md", "now"):
        pytest.fail(found, pytrace=False)


def test_every_set_up_has_its_section():
    assert sorted(SET_UPS) == sorted(map(title, filter(is_played, sections())))


def main() -> None:
    with Grid() as grid:
        parts = []
        for section in sections():
            with tempfile.TemporaryDirectory() as folder:
                parts.append(played_anew(grid, Path(folder), section) if is_played(section) else section)
                print(title(section), file=sys.stderr)
        PAGE.write_text("".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
