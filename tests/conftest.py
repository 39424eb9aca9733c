"""The one grid that all tests share, and a user with a work folder for each."""

from __future__ import annotations

import csv
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from gridsync import with_setting
from tests.grid import Grid

SCRIPT = Path(__file__).resolve().parents[1] / "gridsync.py"
RUN_LIMIT = 60  # seconds; nothing here takes nearly as long, unless it hangs


class Result(NamedTuple):
    """What a command line gave."""

    status: int
    out: str
    err: str


class User:
    """Somebody at a shell of the grid, with a work folder of their own."""

    def __init__(self, grid: Grid, folder: Path):
        self.grid = grid
        self.folder = folder
        self.data = folder / "data"
        self.env = {**grid.env, "GRIDSYNC_DIR": str(folder)}
        # A failure that stays would be waited for; once is enough to see that it is tried again.
        conf = grid.conf(self.data).replace("[gridsync]\n", "[gridsync]\nRETRIES = 1\n")
        (folder / "Grid.conf").write_text(conf)

    def __call__(self, line: str, typed: str = "", **env: str) -> Result:
        """Run gridsync.py with the words of a line, as in a shell, and with what is typed into it."""
        done = subprocess.run(
            ["/usr/bin/python3", str(SCRIPT), *shlex.split(line)], input=typed,
            env={**self.env, **env}, capture_output=True, text=True, timeout=RUN_LIMIT, check=False,
        )  # fmt: skip
        return Result(done.returncode, done.stdout, done.stderr)

    def set(self, key: str, value: str, site: str = "LYON") -> None:
        """Change a key of a site in Grid.conf."""
        path = self.folder / "Grid.conf"
        path.write_text(with_setting(path.read_text(), site, key, value))

    def catalog(self) -> dict[str, dict[str, str]]:
        """The rows of the catalog by path."""
        with open(self.folder / "grid_summary.csv", newline="", encoding="utf-8") as file:
            return {row["path"]: row for row in csv.DictReader(file)}

    def files(self) -> list[str]:
        """All that is below OUTPUTDIR, by the path of the catalog."""
        return sorted(str(path.relative_to(self.data)) for path in self.data.rglob("*") if path.is_file())


@pytest.fixture(scope="session")
def grid() -> Iterator[Grid]:
    with Grid() as grid:
        yield grid


@pytest.fixture
def user(grid: Grid, tmp_path: Path) -> User:
    return User(grid, tmp_path)


@pytest.fixture
def folder(grid: Grid, request: pytest.FixtureRequest) -> Iterator[str]:
    """A folder on the simulated door for one test alone; its path is below agata/."""
    name = "tests/" + re.sub(r"\W", "_", request.node.name)  # gfal2 tells tape services awkward names wrong
    grid.tree.folder(f"agata/{name}")
    yield name
    grid.tree.remove(f"agata/{name}")
