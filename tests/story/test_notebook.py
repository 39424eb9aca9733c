"""A notebook in a real JupyterLab, and what pandas and uproot read of the grid."""

from __future__ import annotations

import os
import re
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.grid import Grid
from tests.grid.xrootd import keep_checksum
from tests.story.notebook import VENV, missing, play
from tests.support import TOP

pytestmark = pytest.mark.long
# A table, and a file of ROOT, as an analysis leaves them.
RESULTS = """
import sys
import numpy, uproot

with open(sys.argv[1] + "/rates.csv", "w") as file:
    file.write("crystal,rate\\n" + "".join(f"{n:03},{n * 1.5}\\n" for n in range(100_000)))
with uproot.recreate(sys.argv[1] + "/run.root") as file:
    file["events"] = {"energy": numpy.arange(500_000, dtype="f8"), "crystal": numpy.arange(500_000) % 45}
"""
ASKED = """
import sys
print(len(rates), rates["rate"].sum(), len(energies), energies[499_999], "gfal2" in sys.modules)
"""


@pytest.fixture(scope="module", autouse=True)
def venv() -> None:
    subprocess.run(["make", "-s", "build/notebook/done"], cwd=TOP, check=True)
    if reason := missing():
        pytest.skip(reason)


def test_a_bar_moves_in_a_notebook_and_all_is_here(grid: Grid, tmp_path: Path):
    moving, ended = play(grid, tmp_path, tmp_path / "picture.png")
    assert re.search(r"LYON: +[1-9]\d%\s+[\d.]+M/46\.5M \[.*, [0-8]/9 files\]", moving)
    assert re.search(r"LYON: 100%\s+46\.5M/46\.5M \[.*, 9/9 files\]", ended)
    assert ended.count("adler32") == 9 and "Traceback" not in ended and "Warning" not in ended
    assert len([path for path in (tmp_path / "data").rglob("*") if path.is_file()]) == 9
    assert (tmp_path / "picture.png").stat().st_size > 10_000


@pytest.fixture
def results(grid: Grid) -> Iterator[None]:
    """What an analysis has left in a folder that others look at, too."""
    folder = grid.xrootd.folder / "data/agata/e680"
    subprocess.run([VENV / "bin/python", "-c", RESULTS, folder], check=True)
    paths = list(filter(Path.is_file, folder.iterdir()))
    for path in paths:
        keep_checksum(path, zlib.adler32(path.read_bytes()))
    yield
    for path in paths:
        path.unlink()


@pytest.mark.parametrize("name", ["XROOTD", "ROOT"])
def test_pandas_and_uproot_read_as_the_page_says(grid: Grid, results, tmp_path: Path, name: str):
    root = f"\n[ROOT]\nSERVER = root://localhost:{grid.xrootd.ports[1]}/\nBASE_DIR_ON_GRID = agata/\n"
    (tmp_path / "Grid.conf").write_text(grid.conf("data") + root)
    (example,) = re.findall(r"(?s)```python\n(import pandas.*?)```", (TOP / "docs/python.md").read_text())
    code = "import fsspec, gridsync\n" + example.replace("grid://LYON", f"grid://{name}") + ASKED
    env = {**os.environ, **grid.env, "PYTHONPATH": str(TOP)}
    run = {"cwd": tmp_path, "env": env, "capture_output": True, "text": True, "check": False}
    done = subprocess.run([VENV / "bin/python", "-c", code], **run)
    assert done.stdout == f"100000 {sum(n * 1.5 for n in range(100_000))} 500000 499999.0 False\n", done.stderr
