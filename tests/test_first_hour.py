"""docs/first-hour.md: each of its sections is played, and the screen shows what stands there.

`/usr/bin/python3 -m tests.test_first_hour` writes what the screen shows now into it, for a look at the difference.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

import pytest

from tests.conftest import SCRIPT
from tests.grid import Grid
from tests.stage import PAIR, difference, live_at, on_stage, played

DOCUMENT = SCRIPT.with_name("docs") / "first-hour.md"


def sections() -> list[str]:
    """The document, cut at its headings."""
    return re.split(r"(?m)^(?=## )", DOCUMENT.read_text(encoding="utf-8"))


def title(section: str) -> str:
    return section.partition("\n")[0].strip("# ")


def played_anew(grid: Grid, folder: Path, section: str) -> str:
    with on_stage(grid, folder) as stage:
        stage.configure("http")
        live_at(stage, "alice", *PAIR)
        return played(stage, section, "http")


@pytest.mark.parametrize("section", [pytest.param(section, id=title(section)) for section in sections()[1:]])
def test_the_screen_shows_what_the_document_says(grid: Grid, tmp_path: Path, section: str) -> None:
    if difference_found := difference(section, played_anew(grid, tmp_path, section), DOCUMENT.name, "now"):
        pytest.fail(difference_found, pytrace=False)


def main() -> None:
    with Grid() as grid:
        parts = []
        for section in sections():
            with tempfile.TemporaryDirectory() as folder:
                parts.append(played_anew(grid, Path(folder), section) if section.startswith("## ") else section)
                print(title(section), file=sys.stderr)
    DOCUMENT.write_text("".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
