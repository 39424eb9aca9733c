"""--workers: Dask workers copy, real ones; the run has the catalog and says what it would say without them."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path

import pytest

from gridsync_parts.farm.marking import is_running
from tests.grid import Grid
from tests.support.crew import dask_of
from tests.support.sender import Sender, last_line
from tests.support.user import User, find_pinned, find_wrong, wait_until

BIG = 3 << 20
FILES = 40


@pytest.fixture
def master(user: User, folder: str) -> User:
    """Somebody with a folder of 40 files on disk and on tape, one of them large."""
    user.limit = 120
    for number in range(FILES):
        size, is_on_tape = BIG if number == 7 else 2000 * number, number % 10 == 3
        user.grid.tree.add(f"agata/{folder}/sub{number % 3}/file{number:02d}", size, tape=is_on_tape)
    user.set("INPUTDIR", folder, "gridsync")
    return user


def test_workers_bring_a_folder(master: User, folder: str) -> None:
    status, out, err = master("--sync --workers=local:2")
    assert status == 0, out + err
    assert find_wrong(master, folder) == find_pinned(master, folder) == []
    assert re.search(r"Copied: 40, skipped: 0, failed: 0", out), out
    assert len(master.files()) == FILES
    status, out, err = master("--sync --workers=local:2")
    assert status == 0 and "Copied: 0, skipped: 40" in out, out + err


@pytest.mark.parametrize(
    ("line", "status", "words"),
    [
        ("--build_list --workers=local:2", 2, "add --start, --sync, --repair or --put"),
        ("--sync --to=CNAF --workers=local:2", 2, "means nothing for copies from site to site"),
        ("--sync --workers=", 2, "--workers= names no workers"),
        ("--sync --workers=local:0", 2, "names no workers"),
        ("--sync --workers=nobody", 2, "names no workers"),
        ("--sync --workers=tcp://example.org:8786", 2, "has no TLS"),
        ("--sync --workers=tls://localhost:1", 2, "names no keys for tls://localhost:1; write those of its scheduler"),
        ("--sync --dry_run --workers=local:2", 0, ""),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_sentence(master: User, line: str, status: int, words: str) -> None:
    result = master(line)
    assert result.status == status and words in result.err, result
    assert result.err.count("gridsync.py: ") == (status > 0)
    assert not master.files()


@pytest.mark.long
@pytest.mark.parametrize("door", ["dcache", "storm"])
def test_workers_send(grid: Grid, tmp_path: Path, folder: str, door: str) -> None:
    sender = Sender(grid, tmp_path, folder, door)
    for number in range(12):
        sender.fill(f"many/{number}", bytes([number]) * 5000)
    status, out, err = sender.put("--workers=local:2")
    assert status == 0 and re.search(last_line(sent=16), out), out + err
    assert sender.there() == sender.here()
    assert re.search(last_line(skipped=16), sender.put("--workers=local:2").out)


@pytest.mark.long
def test_statistics_and_json_are_as_without_workers(master: User, folder: str) -> None:
    stats = master.folder / "stats.jsonl"
    status, out, err = master(f"--sync --json --workers=local:2 --stats={stats}")
    assert status == 0 and json.loads(out)["copy"]["copied"] == FILES, out + err
    lines = [json.loads(line) for line in stats.read_text().splitlines()]
    assert {line["status"] for line in lines} == {"ok"} and len(lines) == FILES
    assert sum(line["size"] for line in lines) == sum(line["bytes"] for line in lines)


@pytest.mark.long
def test_ctrl_c_ends_the_run_and_keeps_what_is_here(master: User, folder: str) -> None:
    with master.running("--sync --workers=local:2 --bwlimit=500K") as run:
        wait_until(lambda: len(master.files()) > 5, 60)
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=30)
    assert run.returncode == 130 and "Traceback" not in err, err
    assert not [path for path in master.files() if "workers-" in path]
    status, out, err = master("--sync")
    assert status == 0 and find_wrong(master, folder) == [], out + err


@pytest.mark.long
def test_a_worker_that_dies_loses_nothing(master: User, folder: str) -> None:
    with master.running("--sync --workers=local:2 --bwlimit=1M") as run:
        wait_until(lambda: len(master.files()) > 5, 60)
        workers = dask_of(run.pid, "worker")
        os.kill(workers[0], signal.SIGKILL)
        out, err = run.communicate(timeout=60)
    assert run.returncode == 0 and find_wrong(master, folder) == [], out + err
    assert "Copied: 40, skipped: 0, failed: 0" in out, out + err


@pytest.mark.long
def test_without_its_scheduler_a_run_ends_with_a_sentence(master: User, folder: str) -> None:
    with master.running("--sync --workers=local:2 --bwlimit=500K") as run:
        wait_until(lambda: len(master.files()) > 5, 60)
        (scheduler,), workers = dask_of(run.pid, "scheduler"), dask_of(run.pid, "worker")
        os.kill(scheduler, signal.SIGKILL)
        _, err = run.communicate(timeout=60)
    assert run.returncode == 4 and "scheduler" in err and err.count("gridsync.py: ") == 1, err
    wait_until(lambda: not any(map(is_running, workers)))
    assert master("--sync --workers=local:2").status == 0 and find_wrong(master, folder) == []
