"""docs/open-data.md: each line of it is typed at the portal of the grid; tests/support/sections.py tells how.

`/usr/bin/python3 -m tests.story.test_open_data_page` writes what the screen shows now into the page, to be compared.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.grid import Grid
from tests.grid.portal import Portal
from tests.grid.shelf import plant
from tests.support import SCRIPT
from tests.support.sections import SetUp, played_anew, played_sections, take_over, write_anew
from tests.support.stage import Stage, difference, on_stage

PAGE = SCRIPT.with_name("docs") / "open-data.md"
PARTS = SCRIPT.with_name("gridsync_parts").rglob("*.py")
PORTAL, EOS = "https://opendata.cern.ch", "root://eospublic.cern.ch"


def records(stage: Stage) -> dict[str, str]:
    """A portal with twelve records, some of whose files are on demand."""
    portal = stage.grid.portal
    portal.reset()
    stage.closing.callback(portal.reset)
    plant(portal)
    portal.switches.stage_seconds = 1
    return {PORTAL: portal.base}


def records_at_xrootd(stage: Stage) -> dict[str, str]:
    """The same, with files that a real XRootD has, too."""
    addresses = records(stage)
    portal = stage.grid.portal
    portal.eos = portal.xrootd.root_url
    return {**addresses, EOS: portal.eos.rstrip("/")}


SET_UPS: dict[str, SetUp] = {
    "The first record": records,
    "What INPUTDIR means": records,
    "Only some files": records,
    "Files on demand": records,
    "Over root": records_at_xrootd,
    "Statistics and the page": records,
}
PLAYED = played_sections(PAGE)


@pytest.mark.long
@pytest.mark.parametrize("name", PLAYED)
def test_the_screen_shows_what_the_page_says(grid: Grid, portal: Portal, tmp_path: Path, name: str):
    now = played_anew(grid, tmp_path, PLAYED[name], SET_UPS[name])
    if found := difference(PLAYED[name], now, "docs/open-data.md", "now"):
        pytest.fail(found, pytrace=False)


@pytest.mark.long
def test_the_lines_that_install_work(tmp_path: Path):
    text = PAGE.read_text(encoding="utf-8")
    packages, copy = re.findall(r"(?m)^    (\S.*)$", text)
    assert packages.startswith("apt install ")
    done = subprocess.run(["apt-get", "--simulate", *packages.split()[1:]], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    command = ["bash", "-c", f"{copy} && ~/bin/gridsync.py --version"]
    run = {"cwd": SCRIPT.parent, "env": {**os.environ, "HOME": str(tmp_path)}}
    assert "gridsync" in subprocess.run(command, **run, capture_output=True, text=True, check=True).stdout


def test_the_sentences_are_those_of_the_screen():
    table = PAGE.read_text(encoding="utf-8").partition("## When something is wrong")[2].partition("\n## ")[0]
    told = re.findall(r"`([^`]+)`", "\n".join(row.split("|")[1] for row in table.splitlines() if row.startswith("| `")))
    source = re.sub(r'"\s+f?"', "", "".join(map(Path.read_text, PARTS)))
    assert len(told) > 10 and [text for text in told if text not in source] == []


@pytest.mark.long
def test_the_lines_for_those_who_come_from_another_client_work(grid: Grid, portal: Portal, tmp_path: Path):
    table = PAGE.read_text(encoding="utf-8").partition("## From cernopendata-client")[2].partition("\n## ")[0]
    cells = [row.split("|")[2] for row in table.splitlines() if row.startswith("|")]
    lines = [line for cell in cells for line in re.findall(r"`((?:gridsync\.py|cat) [^`]+)`", cell)]
    with on_stage(grid, tmp_path) as stage:
        take_over(stage, records(stage))
        for line in lines:
            shown = stage.run(line)
            assert "(status" not in shown, f"$ {line}\n{shown}"
        assert "Verified: 6, damaged: 0" in stage.run("gridsync.py --verify")
    assert len(lines) > 7


def test_every_set_up_has_its_section():
    assert sorted(SET_UPS) == sorted(PLAYED)


if __name__ == "__main__":
    with Grid() as new_grid:
        write_anew(PAGE, new_grid, SET_UPS)
