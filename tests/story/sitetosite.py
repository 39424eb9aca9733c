"""Files from site to site, on a grid of its own: make demo-site-to-site."""

from __future__ import annotations

import csv
import os
import random
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.grid import Grid
from tests.grid.propfind import content
from tests.grid.xrootd import SCRATCH, XRootD
from tests.story.opendata import show
from tests.support import TOP
from tests.support.demo import play
from tests.support.user import contents

RUN = "run_1"
SIZES = {"setup.tar": 20 << 10, "03/hits.cdat": 6 << 20, "07/hits.cdat": 9 << 20}  # at the one XRootD
TAPED = {"lesson/traces.cdat": 300 << 10, "lesson/setup.tar": 20 << 10}  # at the dCache, the first on tape
LARGE = {"large/first.cdat": 20 << 20, "large/second.cdat": 90 << 20}
DIRECT = (
    ("What is there? The list is that of a copy to your disk, but for the site: NORTH>SOUTH.",
     f"--from=NORTH --input_dir={RUN} --to=SOUTH --build_list"),
    ("What would happen?", "--to=SOUTH --start --dry_run"),
    ("Copy. SOUTH fetches from NORTH by itself; the bytes do not pass through this program.",
     "--to=SOUTH --start"),
    ("The same line again copies nothing: all is there, and the same.", "--to=SOUTH --start"),
    ("From tape: LYON, a simulated dCache, brings the files to disk first, and gets the room back.",
     "--from=LYON --input_dir=lesson --to=SOUTH --sync"),
)  # fmt: skip
KILLED = "--from=NORTH --input_dir=large --to=SOUTH --via_here --bwlimit=40M --build_list --start"
PATIENCE = 60  # seconds until a file has come
AGAIN = "--to=SOUTH --via_here --sync"


def main() -> int:
    """Tell the story, and check its end."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="gridsync-sites-") as name, Grid() as grid:
        folder = Path(name)
        set_up(grid, folder)
        env = {**grid.env, "GRIDSYNC_DIR": name}
        for text, line in DIRECT:
            print(f"# {text}")
            show(line, env)
        print("# Through this machine, not faster than 40 MB/s; the program is killed after the first file.")
        killed(KILLED, env, grid.second)
        print("# The next run copies what is missing, and nothing that is not its own is left over.")
        show(AGAIN, env)
        wrong = faults(grid, folder)
    for fault in wrong:
        print(f"WRONG: {fault}", file=sys.stderr)
    if wrong:
        return 1
    print(f"7 files copied from site to site, all verified, nothing left over, in {time.monotonic() - began:.0f} s.")
    print("Next: docs/site-to-site.md.")
    return 0


def set_up(grid: Grid, folder: Path) -> None:
    """Two XRootD, of which one has files, and a dCache with some on tape."""
    for path, size in {**{f"{RUN}/{name}": size for name, size in SIZES.items()}, **LARGE}.items():
        give(grid.copier, path, random.Random(path).randbytes(size))
    for number, (path, size) in enumerate(TAPED.items()):
        grid.tree.add(f"agata/{path}", size, tape=number == 0)
    sites = {"LYON": (grid.door.url, "agata"), "NORTH": (grid.copier.url, SCRATCH), "SOUTH": (grid.second.url, SCRATCH)}
    text = "".join(
        f"\n[{name}]\nSERVER = {url}/\nBASE_DIR_ON_GRID = {base}/\nFIRST_BYTE = 15\n"
        for name, (url, base) in sites.items()
    )
    (folder / "Grid.conf").write_text(f"[gridsync]\nRETRIES = 3\n{text}")
    print(f"Two real XRootD are up, NORTH {grid.copier.url} and SOUTH {grid.second.url},")
    print(f"and a simulated dCache with tape, LYON {grid.door.url}; all end with what they have.\n")


def give(server: XRootD, path: str, data: bytes) -> None:
    """Have a file at a server, as if it had come by the door."""
    top = server.folder / "data" / SCRATCH
    folder = (top / path).parent
    for one in [*reversed(folder.relative_to(top).parents), folder.relative_to(top)]:
        if not (top / one).exists():
            (top / one).mkdir()
            os.chown(top / one, top.stat().st_uid, top.stat().st_gid)
    server.add(f"{SCRATCH}/{path}", data)


def killed(line: str, env: dict[str, str], target: XRootD) -> None:
    """Run a command line, and kill it once one of its files has come, and the other one not yet."""
    print(f"$ gridsync.py {line}", flush=True)
    command = [sys.executable, str(TOP / "gridsync.py"), "--quiet", *shlex.split(line)]
    running = subprocess.Popen(command, env=env, cwd=env["GRIDSYNC_DIR"])
    ends = time.monotonic() + PATIENCE
    while running.poll() is None and not (target.folder / "data" / SCRATCH / next(iter(LARGE))).exists():
        if time.monotonic() > ends:
            running.kill()
            raise SystemExit("nothing comes through this machine")
        time.sleep(0.05)
    if running.poll() is not None:
        raise SystemExit(f"gridsync.py {line} ended with status {running.returncode} before it was killed")
    running.kill()
    running.wait()
    print("Killed\n", flush=True)


def faults(grid: Grid, folder: Path) -> list[str]:
    """What is not as it should be in the end."""
    top, wanted = grid.second.folder / "data" / SCRATCH, {}
    for path in [*(f"{RUN}/{name}" for name in SIZES), *LARGE]:
        wanted[path] = (grid.copier.folder / "data" / SCRATCH / path).read_bytes()
    for path in TAPED:
        file = grid.tree.file(f"agata/{path}")
        wanted[path] = b"".join(content(file, 0, file.size))
    found = contents(top)
    wrong = [f"{path} is not at SOUTH, or differs" for path in wanted if found.get(path) != wanted[path]]
    wrong += [f"{path} is at SOUTH, and should not be" for path in found if path not in wanted]
    with (folder / "grid_uploads.csv").open(newline="") as file:
        wrong += [f"{row['target']} is not verified" for row in csv.DictReader(file) if row["verified"] != "adler32"]
    if grid.door.staging.pins(f"agata/{next(iter(TAPED))}"):
        wrong.append("LYON still keeps a file on disk for us")
    return wrong


if __name__ == "__main__":
    play(main)
