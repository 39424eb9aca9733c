"""A folder copied by several workers, of which one is killed, on a grid of its own: make demo-workers."""

from __future__ import annotations

import csv
import random
import sys
import tempfile
import threading
import time
from pathlib import Path

from gridsync_parts.disk import MARK
from tests.grid import Grid
from tests.grid.farm import Farm
from tests.grid.propfind import content
from tests.story.opendata import show
from tests.support.demo import play

RUN = "run_1"
WORKERS = 3
SIZES = [*[24 << 20] * 8, *[1 << 20] * 24, *[20 << 10] * 40]
TAPED = 12  # every so manyth file is on tape
RATE = "24M"
RESULT = "fit.root"
PATIENCE = 60  # seconds until the copies are under way


def main() -> int:
    """Tell the story, and check its end."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="gridsync-workers-") as name, Grid() as grid:
        folder, paths = Path(name), set_up(grid, Path(name))
        (folder / "farm").mkdir()
        with Farm(folder / "farm", python="/usr/bin/python3") as farm:
            env = {**grid.env, **farm.environment, "GRIDSYNC_DIR": name}
            print(f"# Dask's scheduler, and {WORKERS} workers as on so many machines. Only who has its key is let in.")
            print(f"$ dask scheduler --protocol tls\n$ dask worker {farm.address}    # {WORKERS} times\n", flush=True)
            for _ in range(WORKERS):
                farm.hire()
            print("# What is there?")
            show(f"--input_dir={RUN} --build_list", env)
            print(f"# Workers copy, together not faster than {RATE[:-1]} MB/s. One of them is killed in the middle.")
            killer = threading.Thread(target=kill, args=[farm, folder / "data"], daemon=True)
            killer.start()
            show(f"--workers={farm.address} --threads=6 --bwlimit={RATE} --sync --stats=transfers.csv", env)
            killer.join()
            was_killed = not farm.workers[0].is_running()
            print("# The same again copies nothing. So would a run on this machine alone.")
            show(f"--workers={farm.address} --sync", env)
        print("# Dask has ended. Results go back with processes of this machine, which end with the run.")
        show(f"--put results --input_dir={RUN}/results --workers=local:2", env)
        wrong = [*faults(grid, folder, paths), *([] if was_killed else ["no worker was killed"])]
    for fault in wrong:
        print(f"WRONG: {fault}", file=sys.stderr)
    if wrong:
        return 1
    seconds = time.monotonic() - began
    print(f"{len(paths)} files copied by {WORKERS} workers, of which one was killed, all verified, in {seconds:.0f} s.")
    print("Next: docs/workers.md.")
    return 0


def set_up(grid: Grid, folder: Path) -> list[str]:
    """A dCache with a folder, some of it on tape, and a result here; the paths of its files."""
    paths = [f"{RUN}/{number % 4:02d}/hits{number:02d}.cdat" for number in range(len(SIZES))]
    for number, (path, size) in enumerate(zip(paths, SIZES)):
        grid.tree.add(f"agata/{path}", size, tape=number % TAPED == TAPED - 1)
    (folder / "Grid.conf").write_text(grid.conf("./data/"))
    (folder / "results").mkdir()
    (folder / "results" / RESULT).write_bytes(random.Random(RESULT).randbytes(3 << 20))
    print(f"A simulated dCache with tape is up, LYON {grid.door.url}; it ends with all that it has.\n")
    return paths


def kill(farm: Farm, data: Path) -> None:
    """Kill a worker once all of them can be at something."""
    ends = time.monotonic() + PATIENCE
    while sum(1 for path in data.rglob("*.cdat")) < len(SIZES) // 2:
        if time.monotonic() > ends:
            return
        time.sleep(0.05)
    farm.workers[0].stop()


def faults(grid: Grid, folder: Path, paths: list[str]) -> list[str]:
    """What is not as it should be in the end."""
    wrong = []
    for path in paths:
        file, here = grid.tree.file(f"agata/{path}"), folder / "data" / path
        if not here.exists() or here.read_bytes() != b"".join(content(file, 0, file.size)):
            wrong.append(f"{path} is not here, or differs")
        if grid.door.staging.pins(f"agata/{path}"):
            wrong.append(f"LYON still keeps {path} on disk for us")
    left = (folder / "data").rglob(f"*{MARK}")
    wrong += [f"{path} is left over" for path in left]
    with (folder / "grid_summary.csv").open(newline="") as file:
        wrong += [f"{row['path']} is not verified" for row in csv.DictReader(file) if row["verified"] != "adler32"]
    sent = grid.tree.file(f"agata/{RUN}/results/{RESULT}")
    if b"".join(content(sent, 0, sent.size)) != (folder / "results" / RESULT).read_bytes():
        wrong.append(f"{RESULT} is not at LYON, or differs")
    return wrong


if __name__ == "__main__":
    play(main)
