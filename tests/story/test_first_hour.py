"""docs/first-hour.md and docs/certificate.md: their sections are played, and the screen shows what stands there.

`/usr/bin/python3 -m tests.story.test_first_hour` writes what the screen shows now into them, to be compared.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path

import pytest

from tests.grid import Grid
from tests.support import SCRIPT
from tests.support.stage import PAIR, difference, live_at, on_stage, played

DOCUMENT = SCRIPT.with_name("docs") / "first-hour.md"
DOCUMENTS = (DOCUMENT, DOCUMENT.with_name("certificate.md"))


def sections(document: Path) -> list[str]:
    """A document, cut at its headings."""
    return re.split(r"(?m)^(?=## )", document.read_text(encoding="utf-8"))


def is_played(section: str) -> bool:
    return section.startswith("## ") and "```console" in section


def title(section: str) -> str:
    return section.partition("\n")[0].strip("# ")


def played_anew(grid: Grid, folder: Path, section: str) -> str:
    with on_stage(grid, folder) as stage:
        stage.configure("http")
        live_at(stage, "alice", *PAIR)
        return played(stage, section, "http")


PLAYED = [
    pytest.param(document.name, section, id=title(section))
    for document in DOCUMENTS
    for section in filter(is_played, sections(document))
]


@pytest.mark.long
@pytest.mark.parametrize(("name", "section"), PLAYED)
def test_the_screen_shows_what_the_document_says(grid: Grid, tmp_path: Path, name: str, section: str) -> None:
    if difference_found := difference(section, played_anew(grid, tmp_path, section), name, "now"):
        pytest.fail(difference_found, pytrace=False)


def test_a_section_with_a_disk_is_skipped_where_users_can_mount_none(
    grid: Grid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "unshare").write_text("#!/bin/sh\necho unshare failed: Operation not permitted >&2; exit 1\n")
    (tmp_path / "unshare").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (section,) = (section for section in sections(DOCUMENT) if title(section) == "The disk is pulled out")
    with pytest.raises(pytest.skip.Exception, match="no mounts of their own"):
        played_anew(grid, tmp_path, section)


def main() -> None:
    with Grid() as grid:
        for document in DOCUMENTS:
            parts = []
            for section in sections(document):
                with tempfile.TemporaryDirectory() as folder:
                    parts.append(played_anew(grid, Path(folder), section) if is_played(section) else section)
                    print(title(section), file=sys.stderr)
            document.write_text("".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
