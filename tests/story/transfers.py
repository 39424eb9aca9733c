"""docs/transfers.ipynb: what --stats has written of a run at the portal of the grid, and its records, in pandas.

/usr/bin/python3 -m tests.story.transfers      writes what its cells show now into it
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.grid import Grid
from tests.grid.shelf import plant
from tests.support import TOP

NOTEBOOK = TOP / "docs/transfers.ipynb"
VENV = TOP / "build/notebook"
FILE = "transfers.jsonl"  # as the notebook calls it
SEARCH = "?*"
LIMIT = 120  # seconds for all of its cells
PLAY = """
import sys, nbclient, nbformat

notebook = nbformat.read(sys.argv[1], 4)
nbclient.NotebookClient(notebook, timeout=int(sys.argv[2]), kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[1])
"""


def copy_records(grid: Grid, folder: Path, name: str) -> None:
    """Fetch records into a folder, all but one file of them, and write a stats file of it."""
    portal = grid.portal
    portal.reset()
    plant(portal)
    portal.odd("alice-1106", "AliESDs_2.root", "wrong checksum")
    portal.goes_wrong("502 once", path="/eos/*", count=4)
    portal.goes_wrong("cut in the middle", count=4)
    conf = f"[gridsync]\nRETRIES = 2\n\n[CERN_OPENDATA]\nSERVER = {portal.server}\nENGINE = opendata\n"
    (folder / "Grid.conf").write_text(conf)
    words = ["--from=CERN_OPENDATA", f"--input_dir={SEARCH}", "--output_dir=data", "--build_list", "--start"]
    command = [sys.executable, TOP / "gridsync.py", *words, f"--stats={name}", "--bwlimit=8M"]
    try:
        done = subprocess.run(command, cwd=folder, env=grid.env, capture_output=True, text=True, check=False)
    finally:
        portal.reset()
    if done.returncode != 1:
        raise RuntimeError(f"status {done.returncode}, not 1 for the file that stays wrong\n{done.stdout}{done.stderr}")


def play(folder: Path, name: str) -> dict[str, Any]:
    """The notebook with what its cells show, played beside the stats file."""
    path = folder / NOTEBOOK.name
    path.write_text(NOTEBOOK.read_text(encoding="utf-8").replace(f'\\"{FILE}\\"', f'\\"{name}\\"'), encoding="utf-8")
    names = ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "MPLCONFIGDIR")
    env = {**os.environ, **{name: str(folder / "jupyter") for name in names}}
    command = [VENV / "bin/python", "-c", PLAY, path.name, str(LIMIT)]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=2 * LIMIT)
    if done.returncode:
        raise RuntimeError(done.stderr)
    played: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return played


def bare(notebook: dict[str, Any]) -> dict[str, Any]:
    """The notebook without what differs each time for nothing."""
    for cell in notebook["cells"]:
        cell["metadata"] = {}
    notebook["metadata"].pop("widgets", None)
    notebook["metadata"]["language_info"] = {"name": "python"}
    return notebook


if __name__ == "__main__":
    with Grid() as own_grid, tempfile.TemporaryDirectory() as here:
        copy_records(own_grid, Path(here), FILE)
        text = json.dumps(bare(play(Path(here), FILE)), indent=1, ensure_ascii=False)
        NOTEBOOK.write_text(text + "\n", encoding="utf-8")
