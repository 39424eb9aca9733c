"""docs/transfers.ipynb: each cell is run by nbclient on what a real run has written, and shows what is in it."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gridsync_parts.stats import lines_of
from tests.grid import Grid
from tests.grid.portal import Portal
from tests.story.transfers import NOTEBOOK, VENV, bare, copy_records, play
from tests.support import TOP

LARGEST = 200_000  # bytes; GitHub shows a notebook of this size at once


def texts(notebook: dict[str, Any]) -> str:
    """What its cells show as text."""
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    return "\n".join("".join(one.get("text") or one["data"].get("text/plain", "")) for one in outputs)


def pictures(notebook: dict[str, Any]) -> int:
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    return sum("image/png" in output.get("data", {}) for output in outputs)


@pytest.mark.long
@pytest.mark.parametrize("name", ["transfers.jsonl", "transfers.csv"])
def test_it_shows_what_a_run_has_written(grid: Grid, portal: Portal, tmp_path: Path, name: str):
    subprocess.run(["make", "-s", "build/notebook/done"], cwd=TOP, check=True)
    if not (VENV / "done").exists():
        pytest.skip("the venv is not there; make build/notebook/done makes it")
    copy_records(grid, tmp_path, name)
    with (tmp_path / name).open("a") as file:
        file.write("delphi-1,CERN_O" if name.endswith("csv") else '{"key": "delphi-1')  # as a killed run leaves it
    lines = [*lines_of(str(tmp_path / name))]
    shown = texts(play(tmp_path, name))
    here = [path for path in (tmp_path / "data").rglob("*") if path.is_file()]
    assert len([path for path in here if path.name == "record.json"]) == 11
    assert re.search(rf"(?m)^{len(here) + 1} files; \d", shown)
    failed = {line.key for line in lines if line.status == "failed"}
    assert len(failed) > 2 and f"{len(failed)} files failed at least once, 1 are still not here" in shown
    moved = sum(line.bytes for line in lines) / 2**20
    assert f"; {moved:.1f} MB moved in " in shown
    assert re.search(r"(?m)^2016 +Exotica +Collision +49916849 +\d+ +1$", shown)
    assert "Traceback" not in shown and "Warning" not in shown


def test_it_is_kept_with_what_it_shows_and_is_small():
    kept = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert NOTEBOOK.stat().st_size < LARGEST and kept == bare(json.loads(json.dumps(kept)))
    assert pictures(kept) == 3 and "files failed at least once" in texts(kept)
    links = re.findall(r"\]\(([^)#]+)", "".join("".join(cell["source"]) for cell in kept["cells"]))
    assert links and [link for link in links if not NOTEBOOK.with_name(link).exists()] == []
    assert not re.search(r"/tmp/|/root/|localhost", NOTEBOOK.read_text(encoding="utf-8"))
