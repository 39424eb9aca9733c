"""docs/workers.md: its lines are typed, with Dask's own scheduler and workers; tests/support/sections.py tells how.

`/usr/bin/python3 -m tests.story.test_workers_page` writes what the screen shows now into the page, to be compared.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from gridsync_parts.conf import with_setting
from tests.grid import Grid
from tests.grid.daemon import Daemon
from tests.support import SCRIPT, TOP
from tests.support.sections import SetUp, played_anew, played_sections, write_anew
from tests.support.stage import LESSON, MANUALS_DOOR, Stage, difference, on_stage

PAGE = SCRIPT.with_name("docs") / "workers.md"
PARTS = SCRIPT.with_name("gridsync_parts").rglob("*.py")
FARM = "tls://farm.example.org:8786"
TEXT = PAGE.read_text(encoding="utf-8")
SHELL = "\n".join(re.findall(r"(?s)```sh\n(.*?)```", TEXT)).splitlines()
UP = {"dask scheduler": r"Scheduler at: +(\S+)", "dask worker": "Registered to"}


def a_folder(stage: Stage) -> dict[str, str]:
    """A folder at LYON, some of it on tape."""
    for number in range(8):
        stage.grid.tree.add(f"{LESSON}/run_1/{number:02d}/hits.cdat", (number + 1) * 100 << 10, tape=number == 7)
    conf = stage.work / "Grid.conf"
    text = stage.grid.conf("./data/")
    for key, value in (("SERVER", f"{stage.door.url}/"), ("BASE_DIR_ON_GRID", f"{LESSON}/")):
        text = with_setting(text, "LYON", key, value)
    conf.write_text(text)
    return {MANUALS_DOOR: stage.door.url}


def with_scheduler(stage: Stage) -> dict[str, str]:
    """The same, and Dask runs as the page says, on this machine alone."""
    keys = stage.folder / "dask"
    stage.env["HOME"] = str(stage.home)
    settings = stage.home / ".config" / "dask"
    settings.mkdir(parents=True)
    (written,) = (block for block in re.findall(r"(?s)```yaml\n(.*?)```", TEXT) if "ca-file" in block)
    (settings / "gridsync.yaml").write_text(written.replace("/home/alice/dask", str(keys)))
    address = FARM
    for line in SHELL:
        line = line.replace("/home/alice/dask", str(keys)).replace(FARM, address).replace("--port 8786", "--port 0")
        if line.startswith(("mkdir ", "openssl ")):
            subprocess.run(["bash", "-ec", line], env=stage.env, check=True, capture_output=True)
        elif line.startswith(tuple(UP)):
            log = started(stage, line)
            address = found[1] if (found := re.search(UP["dask scheduler"], log)) else address
    assert keys.stat().st_mode & 0o077 == 0 == (keys / "key.pem").stat().st_mode & 0o077
    stage.typed[FARM] = address
    return a_folder(stage)


def started(stage: Stage, line: str) -> str:
    """Start what a line starts, which is to listen here alone; what it has said of that."""
    name = " ".join(line.split()[:2])
    folder = stage.folder / name.replace(" ", "-")
    folder.mkdir()
    env = {**stage.env, "PYTHONPATH": str(TOP), "TMPDIR": str(folder)}
    command = ["bash", "-c", f"exec {line} --host 127.0.0.1 --dashboard-address 127.0.0.1:0"]
    daemon = Daemon(folder, command, env, UP[name], "root")
    daemon.start()
    stage.closing.callback(daemon.stop)
    assert any(daemon.is_up() for _ in range(4) if daemon.is_running()), daemon.log.read_text()
    return daemon.log.read_text()


SET_UPS: dict[str, SetUp] = {"On this machine": a_folder, "A scheduler of your own": with_scheduler}
PLAYED = played_sections(PAGE)


@pytest.mark.long
@pytest.mark.parametrize("name", PLAYED)
def test_the_screen_shows_what_the_page_says(grid: Grid, tmp_path: Path, name: str):
    now = played_anew(grid, tmp_path, PLAYED[name], SET_UPS[name])
    if found := difference(PLAYED[name], now, "docs/workers.md", "now"):
        pytest.fail(found, pytrace=False)


def test_the_sentences_are_those_of_the_screen():
    table = TEXT.partition("## When something is wrong")[2].partition("\n## ")[0]
    told = re.findall(r"`([^`]+)`", "\n".join(row.split("|")[1] for row in table.splitlines() if row.startswith("| `")))
    source = re.sub(r'"\s+f?"', "", "".join(map(Path.read_text, [SCRIPT, *PARTS])))
    assert len(told) > 12 and [text for text in told if text not in source] == []


def test_every_set_up_has_its_section_and_every_line_is_typed():
    assert sorted(SET_UPS) == sorted(PLAYED)
    others = [line for line in SHELL if line and not line.startswith(("mkdir ", "openssl ", *UP))]
    assert others == ["apt install python3-distributed", "export X509_USER_PROXY=$HOME/.x509up"]


SBATCH = """#!/bin/bash
# A stand-in for SLURM's: it keeps the script, and runs it at once.
cp "$1" "$0.script" || exit 1
setsid bash "$0.script" >"$0.log" 2>&1 </dev/null &
echo $! >>"$0.pids"
echo "Submitted batch job $!"
"""
SCANCEL = """#!/bin/bash
for job in "$@"; do kill -- "-$job"; done
echo "$@" >"$0.log"
"""


@pytest.mark.long
def test_the_line_for_slurm_copies_with_jobs_as_the_page_says(grid: Grid, tmp_path: Path):
    python = TOP / "build" / "dask" / "bin" / "python"
    if not python.exists():
        pytest.skip("make build/dask/done was not made")
    (line,) = re.findall(r"(?m)^    gridsync.py (--workers=slurm:\S+ .*)$", TEXT)
    (jobs,) = re.findall(r"slurm:(\d+)", line)
    (written,) = (block for block in re.findall(r"(?s)```yaml\n(.*?)```", TEXT) if "jobqueue" in block)
    with on_stage(grid, tmp_path) as stage:
        a_folder(stage)
        stage.env["HOME"] = str(stage.home)
        (stage.home / ".config" / "dask").mkdir(parents=True)
        (stage.home / ".config" / "dask" / "jobqueue.yaml").write_text(written)
        for name, text in (("sbatch", SBATCH), ("scancel", SCANCEL)):
            (stage.programs / name).write_text(text)
            (stage.programs / name).chmod(0o755)
        command = [python, SCRIPT, "--input_dir=run_1", *shlex.split(line.replace(f"slurm:{jobs}", "slurm:2"))]
        done = subprocess.run(
            command, cwd=stage.work, env=stage.env, capture_output=True, text=True, timeout=120, check=False
        )
    assert done.returncode == 0 and "Copied: 8, skipped: 0, failed: 0" in done.stdout, done.stdout + done.stderr
    script = (stage.programs / "sbatch.script").read_text()
    assert [text for text in ("-p long", "-A agata", "-t 12:00:00") if f"#SBATCH {text}\n" not in script] == []
    pids = (stage.programs / "sbatch.pids").read_text().split()
    assert (stage.programs / "scancel.log").read_text().split() == pids and len(pids) == 2


if __name__ == "__main__":
    with Grid() as new_grid:
        write_anew(PAGE, new_grid, SET_UPS)
