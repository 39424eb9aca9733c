"""A long night by hand: --sync of many small files, where one request in a hundred goes wrong.

    /usr/bin/python3 -m tests.night.soak 3600    # for about so many seconds; ends with what docs/reliability.md quotes

Every answer of the door takes a while, so that the time goes by without the simulated door being what is measured.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from statistics import median
from typing import NamedTuple

from tests.grid import Grid
from tests.support.user import User

LATENCY = 0.05  # seconds of each answer
SPEED = 45  # files a second, more or less, that four threads get at this latency
SIZE = 20_000
FAULTS: tuple[tuple[str | int, dict[str, object]], ...] = (
    ("truncate", {"role": "pool"}),
    ("reset", {}),
    ("reset_in_body", {"role": "pool"}),
    ("wrong_bytes", {"role": "pool"}),
    (503, {}),
    (500, {"role": "pool"}),
)


class Look(NamedTuple):
    """What the process holds at a moment."""

    memory: float  # MB
    files: int  # open descriptors


def look(process: int) -> Look:
    """Look at a process from outside."""
    status = Path(f"/proc/{process}/status").read_text()
    memory = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))
    return Look(memory / 1024, len(list(Path(f"/proc/{process}/fd").iterdir())))


def main(seconds: int) -> int:
    """Plant, sync, look on, and say how it went."""
    names = [f"soak/{number // 100:05d}/{number % 100:02d}" for number in range(seconds * SPEED)]
    with tempfile.TemporaryDirectory(prefix="gridsync-soak-") as folder, Grid() as grid:
        for number, name in enumerate(names):
            grid.tree.add(f"agata/{name}", SIZE + number % 1000)
        user = User(grid, Path(folder))
        user.set("RETRIES", "4", "gridsync")
        assert user("--input_dir soak").status == 0
        grid.door.switches.latency = LATENCY
        for seed, (kind, options) in enumerate(FAULTS):
            grid.door.faults.add("*/soak/*", kind, rate=0.01 / len(FAULTS), seed=seed, **options)
        looks: list[Look] = []
        began = time.monotonic()
        with subprocess.Popen(user.command("--sync --quiet"), env=user.env, stderr=subprocess.PIPE, text=True) as run:
            while run.poll() is None:
                looks.append(look(run.pid))
                time.sleep(min(10, seconds / 100))
            errors = run.stderr.read() if run.stderr else ""
        took = time.monotonic() - began
        asked = [record for record in grid.door.log if "/soak" in record.path]
        spoiled = Counter(record.fault for record in asked if record.fault)
        wrong = [name for name in names if not is_right(user.data / name, grid.tree.expected(f"agata/{name}"))]
    print(f"{len(names)} files of {SIZE // 1000} kB in {took:.0f} s; status {run.returncode}; not right: {len(wrong)}")
    print(f"requests: {len(asked)}, {len(asked) / len(names):.2f} a file; spoiled: {sum(spoiled.values())}")
    for name in Look._fields:
        seen = [getattr(moment, name) for moment in looks]
        tenth = max(len(seen) // 10, 1)
        early, late = median(seen[tenth : 2 * tenth]), median(seen[-tenth:])
        print(f"{name}: {early:.0f} in the second tenth of the time, {late:.0f} in the last; at most {max(seen):.0f}")
    print("stderr:", errors[:2000] or "empty")
    return 1 if wrong or run.returncode else 0


def is_right(path: Path, content: bytes) -> bool:
    return path.exists() and path.read_bytes() == content


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 60))
