"""docs/stats.md: what it says to type into pandas, tried on the lines of real runs."""

from __future__ import annotations

import os
import re
import subprocess

import pytest

from tests.story.notebook import VENV
from tests.support import TOP
from tests.support.user import User

pytestmark = pytest.mark.long


@pytest.fixture(scope="module", autouse=True)
def venv() -> None:
    subprocess.run(["make", "-s", "build/notebook/done"], cwd=TOP, check=True)


@pytest.mark.parametrize("ending", ["jsonl", "csv"])
def test_pandas_finds_rates_failures_and_further_attempts(three: User, ending: str):
    path = three.folder / f"transfers.{ending}"
    three.grid.door.faults.add("*/sub/big", 503, method="GET", count=1)
    three.grid.door.faults.add("*/small", 503, method="GET")
    try:
        assert three(f"--start --stats={path}").status == 1
    finally:
        three.grid.door.faults.clear()
    with path.open("a") as file:
        file.write('{"key": "half' if ending == "jsonl" else 'half,"')
    assert three(f"--check_status --start --stats={path}").status == 0
    examples = re.findall(r"(?s)```python\n(.*?)```", (TOP / "docs/stats.md").read_text())
    code = "".join(examples).replace("transfers.jsonl", path.name)
    done = subprocess.run(
        [VENV / "bin/python", "-W", "error", "-c", code], cwd=three.folder, env={**os.environ, "PYTHONPATH": str(TOP)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert re.search(r"(?m)^LYON +ok +3 +\d+$", done.stdout) and "skipped" not in done.stdout  # by the second run
    assert "503" in done.stdout
    assert "Empty DataFrame" in done.stdout  # nothing is still missing
