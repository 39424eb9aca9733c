"""docs/site-to-site.md: each line of it is typed at the grid's doors; tests/support/sections.py tells how.

`/usr/bin/python3 -m tests.story.test_site_to_site_page` writes what the screen shows now into the page, to be compared.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.grid import Grid
from tests.support import SCRIPT
from tests.support.sections import INI, SetUp, played_anew, played_sections, write_anew, write_down
from tests.support.stage import FTS, LESSON, MANUALS_DOOR, STORMS, Stage, difference

BOLOGNA, BARI = (f"https://{place}" for place in STORMS.values())
PAGE = SCRIPT.with_name("docs") / "site-to-site.md"
PARTS = SCRIPT.with_name("gridsync_parts").rglob("*.py")


def two_sites(stage: Stage) -> dict[str, str]:
    """A dCache with files, and a StoRM with an empty folder."""
    tree = stage.grid.tree
    tree.add(f"{LESSON}/run_1/setup.tar", 20 << 10)
    tree.add(f"{LESSON}/run_1/03/hits.cdat", 300 << 10)
    tree.folder(f"{LESSON}/copies")
    for here, there in ((stage.grid.storm.url, BOLOGNA), (stage.door.url, MANUALS_DOOR)):
        stage.places[here.partition("//")[2]] = there.partition("//")[2]  # as sentences name a door
    return {MANUALS_DOOR: stage.door.url, BOLOGNA: stage.grid.storm.url, "agata/copies": f"{LESSON}/copies"}


def known(stage: Stage) -> dict[str, str]:
    """The same, and Grid.conf has both sites."""
    addresses = two_sites(stage)
    write_down(stage, INI.findall(PAGE.read_text(encoding="utf-8"))[0], {**addresses, "agata/lesson": LESSON})
    return addresses


def with_tape(stage: Stage) -> dict[str, str]:
    """The same, and one of the files is on tape."""
    addresses = known(stage)
    stage.grid.tree.add(f"{LESSON}/run_1/traces.cdat", 100 << 10, tape=True)
    return addresses


def with_another(stage: Stage) -> dict[str, str]:
    """The same, and a file of that name is at the target already."""
    addresses = known(stage)
    stage.grid.tree.add(f"{LESSON}/copies/run_1/setup.tar", 10 << 10)
    return addresses


def from_storm(stage: Stage) -> dict[str, str]:
    """The same the other way round: the files are at the StoRM; and there is a second one."""
    addresses = known(stage)
    stage.grid.tree.add(f"{LESSON}/copies/run_2/fit.root", 300 << 10)
    stage.grid.tree.folder(f"{LESSON}/more")
    other = stage.grid.at("storm-1.6" if stage.grid.storm.profile != "storm-1.6" else "storm-1.9")
    return {**addresses, BARI: other.url, "agata/more": f"{LESSON}/more"}


def from_portal(stage: Stage) -> dict[str, str]:
    """The same, and a portal with a record."""
    portal = stage.grid.portal
    portal.reset()
    stage.closing.callback(portal.reset)
    portal.add("cms-5500", {"notes.txt": bytes(457), "2011/events.root": bytes(300 << 10)}, aliases=["5500"])
    return {**known(stage), "https://opendata.cern.ch": portal.base}


def with_fts(stage: Stage) -> dict[str, str]:
    """The same, and an FTS3 server."""
    addresses, fts = known(stage), stage.grid.fts
    fts.reset()
    stage.closing.callback(fts.reset)
    return {**addresses, FTS: fts.url}


SET_UPS: dict[str, SetUp] = {
    "The first copy": two_sites,
    "From tape": with_tape,
    "Another file there": with_another,
    "Keys": from_storm,
    "Through this machine": from_portal,
    "Many files: an FTS3 server": with_fts,
}
PLAYED = played_sections(PAGE)


@pytest.mark.long
@pytest.mark.parametrize("name", PLAYED)
def test_the_screen_shows_what_the_page_says(grid: Grid, tmp_path: Path, name: str):
    now = played_anew(grid, tmp_path, PLAYED[name], SET_UPS[name])
    if found := difference(PLAYED[name], now, "docs/site-to-site.md", "now"):
        pytest.fail(found, pytrace=False)


def test_the_sentences_are_those_of_the_screen():
    table = PAGE.read_text(encoding="utf-8").partition("## When it fails")[2]
    told = re.findall(r"`([^`]+)`", "\n".join(row.split("|")[1] for row in table.splitlines() if row.startswith("| `")))
    source = re.sub(r'"\s+f?"', "", "".join(map(Path.read_text, [SCRIPT, *PARTS])))
    assert len(told) > 12 and [text for text in told if text not in source] == []


def test_every_set_up_has_its_section():
    assert sorted(SET_UPS) == sorted(PLAYED)


if __name__ == "__main__":
    with Grid() as new_grid:
        write_anew(PAGE, new_grid, SET_UPS)
