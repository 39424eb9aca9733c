"""The transcripts in cases/: what the screen shows; tests/support/stage.py has their notation and plays them."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

from gridsync import OPTIONS
from tests.grid import Grid
from tests.support import SCRIPT
from tests.support.stage import difference, expression, on_stage, played, steps

CASES = Path(__file__).parent / "cases"
README = SCRIPT.with_name("README.md")
HTTP_DCACHE, HTTP_STORM, GFAL2_DCACHE, GFAL2_STORM = itertools.product(("http", "gfal2"), ("dcache", "storm"))
PLAYED = {  # where each case is; by default once with each engine and at each kind of door
    "manual": [HTTP_DCACHE, HTTP_STORM, GFAL2_DCACHE, GFAL2_STORM],
    "force_dcache": [HTTP_DCACHE, GFAL2_DCACHE],
    "force_storm": [HTTP_STORM, GFAL2_STORM],
    "deposits": [HTTP_DCACHE],
    "put": [HTTP_DCACHE, HTTP_STORM],
    "to": [HTTP_DCACHE],
    "fts": [HTTP_DCACHE],
    "iam": [HTTP_DCACHE],  # neither engine nor door has a part in this and those below
    "json": [HTTP_DCACHE],
    "settings": [HTTP_DCACHE],
    "tokens": [HTTP_DCACHE],
    "usage": [HTTP_DCACHE],
    "workers": [HTTP_DCACHE],
}
PLAYS = [
    (case.stem, *where)
    for case in sorted(CASES.glob("*.txt"))
    for where in PLAYED.get(case.stem, [HTTP_DCACHE, GFAL2_STORM])
]


@pytest.mark.parametrize(("case", "engine", "door"), PLAYS)
def test_the_screen_shows_what_the_case_says(grid: Grid, tmp_path: Path, case: str, engine: str, door: str) -> None:
    told = (CASES / f"{case}.txt").read_text(encoding="utf-8")
    for step in steps(told):
        assert step.kind == "$" or not told[step.shows].strip(), f"{step.words}: only a command can show something"
    with on_stage(grid, tmp_path, door) as stage:
        stage.configure(engine)
        text = played(stage, told, engine)
    if text != told:
        pytest.fail(difference(told, text, f"tests/story/cases/{case}.txt", f"{engine} at {door}"), pytrace=False)


def test_every_option_is_shown_by_a_case():
    lines = re.findall(r"^\$ gridsync.py (.*)$", "\n".join(path.read_text() for path in CASES.glob("*.txt")), re.M)
    shown = set(re.findall(r"--(\w+)", " ".join(lines)))
    assert sorted(option.name for option in OPTIONS if option.name not in shown) == []


def test_the_readme_shows_what_a_case_does():
    told = (CASES / "manual.txt").read_text(encoding="utf-8").splitlines()
    shown = re.findall(r"^    (Copied.*)$", README.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(shown) == 2
    assert all(any(expression(line).fullmatch(text) for line in told) for text in shown)
