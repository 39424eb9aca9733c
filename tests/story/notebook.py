"""docs/notebook.png: a real JupyterLab in a browser, in which a notebook copies from a test grid.

/usr/bin/python3 -m tests.story.notebook       draws it anew, which takes a minute
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.grid import Grid, agata
from tests.support import TOP

PICTURE = TOP / "docs/notebook.png"
VENV = TOP / "build/notebook"
BROWSER = Path("/usr/bin/chromium")
LIMIT = 180  # seconds for a step in the browser
CELLS = (
    'import gridsync\n\nsite = gridsync.open_site("LYON")\n'
    f'rows = site.find("e680_1to64/{agata.RUN}", include="/03./", exclude="[.]adf")\n'
    'print(len(rows), "files,", sum(row.size for row in rows) // 1_000_000, "MB")',
    'rows = site.get(rows, "data/", progress=True)',
    'import pandas\n\ntable = pandas.DataFrame(rows)\ntable["file"] = table["path"].str[-55:]\n'
    'table[["file", "size", "verified"]]',
)  # fmt: skip
# What the browser does; the first picture is taken while the bar moves.
DRIVE = """
import sys
from playwright.sync_api import sync_playwright

browser, url, picture, limit = sys.argv[1], sys.argv[2], sys.argv[3], 1000 * int(sys.argv[4])
with sync_playwright() as play:
    window = play.chromium.launch(executable_path=browser, args=["--no-sandbox"])
    page = window.new_page(viewport={"width": 1000, "height": 520})
    page.set_default_timeout(limit)
    page.goto(url)
    page.wait_for_selector(".jp-Notebook .jp-CodeCell >> nth=2")
    page.keyboard.press("Control+B")  # the side bar only takes room
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()  # before that nothing runs, and nothing says so
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()
    try:
        page.wait_for_function("() => /LYON: +[1-9]\\\\d%/.test(document.body.innerText)", timeout=limit)
    except Exception:
        print(page.inner_text("body"), file=sys.stderr)
        raise
    page.screenshot(path=picture)
    moving = page.inner_text(".jp-Notebook")
    page.wait_for_function("() => /9\\\\/9 files/.test(document.body.innerText)", timeout=limit)
    page.wait_for_selector(".jp-OutputArea-output table")
    print(moving, "=" * 9, page.inner_text(".jp-Notebook"), sep="\\n")
    window.close()
"""


def missing() -> str:
    """What it needs and is not there, and how to get it."""
    if not BROWSER.exists():
        return "chromium is not installed; on Debian: apt install chromium"
    return "" if (VENV / "done").exists() else "the venv is not there; make build/notebook/done makes it"


def written(folder: Path) -> Path:
    """The notebook."""
    empty = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
    cells = [{**empty, "id": f"c{number}", "source": source} for number, source in enumerate(CELLS)]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path = folder / "agata.ipynb"
    whole = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(whole))
    return path


@contextmanager
def lab(folder: Path, env: dict[str, str]) -> Iterator[str]:
    """A JupyterLab for a folder, and its URL."""
    command = [
        VENV / "bin/python", "-m", "jupyterlab", "--no-browser", "--allow-root", "--port=0", "--ip=127.0.0.1",
        f"--notebook-dir={folder}",
    ]  # fmt: skip
    names = ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_SETTINGS_DIR", "IPYTHONDIR")
    own = {name: str(folder / "jupyter") for name in names}
    news = folder / "jupyter/@jupyterlab/apputils-extension/notification.jupyterlab-settings"
    news.parent.mkdir(parents=True)
    news.write_text('{"fetchNews": "false", "checkForUpdates": false}')
    env = {**env, **own, "PYTHONPATH": str(TOP), "HOME": str(folder)}
    server = subprocess.Popen(command, cwd=folder, env=env, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr
        said = ""
        for line in server.stderr:
            said += line
            if found := re.search(r"http://127\.0\.0\.1:\d+/lab\?token=\w+", line):
                break
        else:
            raise RuntimeError(said)
        subprocess.Popen(["cat"], stdin=server.stderr, stdout=subprocess.DEVNULL)
        yield found[0]
    finally:
        server.terminate()
        server.wait(20)


def play(grid: Grid, folder: Path, picture: Path) -> tuple[str, str]:
    """Run the notebook in a browser, and draw it; its text while the bar moves, and at the end."""
    for path in grid.tree.files(f"agata/e680_1to64/{agata.RUN}"):
        grid.tree.file(path).locality = "ONLINE"
    (folder / "Grid.conf").write_text(grid.conf(folder / "data") + "\n")
    written(folder)
    grid.door.switches.bandwidth = 1e6  # so that there is something to see
    try:
        with lab(folder, {**os.environ, **grid.env}) as url:
            place = url.replace("/lab?", "/lab/tree/agata.ipynb?")
            words = [VENV / "bin/python", "-c", DRIVE, BROWSER, place, picture, str(LIMIT)]
            done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=5 * LIMIT)
    finally:
        grid.door.switches.bandwidth = 0
    if done.returncode:
        raise RuntimeError(done.stderr)
    moving, _, ended = done.stdout.partition("=" * 9)
    return moving, ended


if __name__ == "__main__":
    if reason := missing():
        raise SystemExit(reason)
    with Grid() as own_grid, tempfile.TemporaryDirectory() as here:
        print(play(own_grid, Path(here), PICTURE)[1])
