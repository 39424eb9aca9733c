"""docs/repositories.md: each line of it is typed at the stand-in for a repository; tests/support/sections.py tells how.

`/usr/bin/python3 -m tests.story.test_repositories_page` writes what the screen shows now into the page, to be compared.
"""

from __future__ import annotations

import io
import itertools
import re
import zipfile
from pathlib import Path

import pytest

from tests.grid import Grid
from tests.grid.portal import Portal
from tests.grid.repository import Repository
from tests.grid.shelf import plant
from tests.support import SCRIPT
from tests.support.sections import SetUp, played_anew, played_sections, write_anew
from tests.support.stage import Stage, difference

PAGE = SCRIPT.with_name("docs") / "repositories.md"
PARTS = SCRIPT.with_name("gridsync_parts").rglob("*.py")
PORTAL, REPOSITORY = "https://opendata.cern.ch", "https://repository.example.org"
MADE_BY = {"delphi-80505": "DELPHI Collaboration", "cms-1507": "CMS Collaboration"}  # of atlas-3824 nobody says it
NAME = re.compile(r"[a-z]+-\d+")  # of a folder in data/
RECORDS = re.compile(r"(?m)(?:^(?:gridsync\.py: )?[a-z]+-\d+: .*\n)+")


def both(stage: Stage) -> dict[str, str]:
    """A portal with records, and a repository with none."""
    portal, repository = stage.grid.portal, stage.grid.repository
    for server in (portal, repository):
        server.reset()
        stage.closing.callback(server.reset)
    vars(repository.shelf)["_numbers"] = itertools.count(1)  # the ids of the page
    plant(portal)
    for recid, name in MADE_BY.items():
        portal.records[recid].metadata["collaboration"] = {"name": name}
    stage.env["NRP_TOKEN"] = repository.token
    return {PORTAL: portal.base, REPOSITORY: repository.base}


def a_record(stage: Stage) -> dict[str, str]:
    """A repository with a record that has a zip."""
    addresses = both(stage)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as bundle:
        for number in range(1, 4):
            bundle.writestr(f"hits_{number}.csv", f"{number},2,3\n")
    stage.grid.repository.add("Run 1", {"gain.txt": b"0.1\n", "run_bundle.zip": made.getvalue()})
    return addresses


def in_order(text: str) -> str:
    """The same, with lines about records that were made side by side in the order of their names."""
    return RECORDS.sub(lambda lines: "".join(sorted(lines[0].splitlines(True), key=NAME.findall)), text)


SET_UPS: dict[str, SetUp] = {
    "The first record": both,
    "Many records": both,
    "A new version": both,
    "Out again": a_record,
    "Many files: one zip": both,
    "When it fails": both,
}
PLAYED = played_sections(PAGE)


@pytest.mark.long
@pytest.mark.parametrize("name", PLAYED)
def test_the_screen_shows_what_the_page_says(
    grid: Grid, portal: Portal, repository: Repository, tmp_path: Path, name: str
):
    now = played_anew(grid, tmp_path, PLAYED[name], SET_UPS[name])
    if found := difference(in_order(PLAYED[name]), in_order(now), "docs/repositories.md", "now"):
        pytest.fail(found, pytrace=False)


def test_every_set_up_has_its_section():
    assert sorted(SET_UPS) == sorted(PLAYED)


def test_the_sentences_are_those_of_the_screen():
    table = PAGE.read_text(encoding="utf-8").partition("## When it fails")[2].partition("\n## ")[0]
    told = re.findall(r"`([^`]+)`", "\n".join(row.split("|")[1] for row in table.splitlines() if row.startswith("| `")))
    source = re.sub(r'"\s+f?"', "", "".join(map(Path.read_text, PARTS)))
    assert len(told) > 8 and [text for text in told if text not in source] == []


if __name__ == "__main__":
    with Grid() as new_grid:
        write_anew(PAGE, new_grid, SET_UPS)
