"""One stats file of many writers, some of which are killed at any moment; and one on a disk that is full.

KILLS=300 SEED=1 /usr/bin/python3 -m pytest tests/night/test_stats.py kills as often as one likes.
"""

from __future__ import annotations

import csv
import json
import os
import random
import re
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from gridsync_parts.stats import FIELDS, HEADER, lines_of
from tests.grid import Grid
from tests.support import SCRIPT
from tests.support.disk import Disk
from tests.support.user import User

KILLS = int(os.environ.get("KILLS", "24"))
SEED = int(os.environ.get("SEED", "1"))
WRITERS = 8
ENDINGS = pytest.mark.parametrize("ending", ["jsonl", "csv"])
# A writer says on its own line what it has written, once it has done so.
WRITER = """
import random, sys
sys.path.insert(0, sys.argv[4])
from gridsync_parts.stats import Line, Stats
path, name, seed = sys.argv[1:4]
stats, dice, number = Stats(path), random.Random(seed), 0
while True:
    lines = []
    for _ in range(dice.choice((1, 1, 3, 30, 500))):
        number += 1
        odd = dice.choice(("", ' "quoted", and "more', "=1+1", "caf\u00e9", "x" * 300))
        key = f"{odd}{name}-{number}"
        lines.append(Line(key, "LYON", "get", "failed", 0, 1, "", "", 0.5, 0.0, 1, odd, "", "", "h"))
    stats.write(lines)
    print(number, flush=True)
"""


class Writer:
    """A process that adds lines until it is killed."""

    def __init__(self, folder: Path, path: Path, name: str):
        self.name = name
        self.note = folder / f"{name}.out"
        command = ["/usr/bin/python3", "-c", WRITER, str(path), name, name, str(SCRIPT.parent)]
        with self.note.open("w") as note:
            self.process = subprocess.Popen(command, stdout=note)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(60)

    def reported(self) -> int:
        """How many lines it has said that it has written."""
        numbers = re.findall(r"(?m)^(\d+)\n", self.note.read_text())
        return int(numbers[-1]) if numbers else 0


def check_whole(path: Path, killed: int) -> list[str]:
    """See that all lines but those that were being written are whole, in whatever way they are read; their keys."""
    lines = lines_of(str(path))
    keys = [line.key for line in lines]
    assert lines.left_out <= killed
    raw = path.read_text()
    if path.suffix == ".csv":
        assert raw.startswith(HEADER) and raw.count(HEADER) == 1
        rows = list(csv.reader(path.open(newline="")))
        assert sum(len(row) != len(FIELDS) for row in rows if row) <= lines.left_out
        assert len([row for row in rows if len(row) == len(FIELDS)]) == len(keys) + 1
    else:
        good = 0
        for text in filter(None, raw.split("\n")):
            try:
                good += tuple(json.loads(text)) == FIELDS
            except ValueError:
                continue
        assert good == len(keys)
    return keys


@pytest.mark.long
@ENDINGS
def test_eight_writers_of_which_some_are_killed_lose_no_line_that_they_have_reported(tmp_path, ending):
    dice, path = random.Random(SEED), tmp_path / f"s.{ending}"
    writers = [Writer(tmp_path, path, f"w{number}") for number in range(WRITERS)]
    ended: list[Writer] = []
    try:
        for number in range(KILLS):
            time.sleep(dice.uniform(0, 0.2))
            victim = writers.pop(dice.randrange(len(writers)))
            victim.kill()
            ended.append(victim)
            writers.append(Writer(tmp_path, path, f"w{WRITERS + number}"))
        ends = time.monotonic() + 60
        while not all(writer.reported() for writer in writers):
            assert time.monotonic() < ends, "a writer waits for a lock that nobody holds"
            time.sleep(0.05)
    finally:
        for writer in writers:
            writer.kill()
    found: dict[str, list[int]] = {}
    for key in check_whole(path, KILLS + WRITERS):
        name, number = re.findall(r"(w\d+)-(\d+)$", key)[0]
        found.setdefault(name, []).append(int(number))
    for writer in ended + writers:
        numbers = found.get(writer.name, [])
        # In their order, each once, and none is missing; what it was just about to report may be there, too.
        assert numbers == list(range(1, len(numbers) + 1)) and len(numbers) >= writer.reported()
    assert sum(writer.reported() > 0 for writer in ended) > KILLS // 4, "they were killed before they had begun"


FILES = 60  # of each run


@pytest.mark.long
@ENDINGS
def test_eight_runs_of_which_some_are_killed_share_one_file(grid: Grid, folder: str, tmp_path: Path, ending: str):
    dice, path = random.Random(SEED), tmp_path / f"s.{ending}"
    for number in range(FILES):
        grid.tree.add(f"agata/{folder}/{number:02}", dice.choice((10, 2000, 400_000)))
    users = []
    for number in range(WRITERS):
        (tmp_path / str(number)).mkdir()
        users.append(User(grid, tmp_path / str(number)))
        users[-1].set("INPUTDIR", folder, "gridsync")
    runs: dict[int, tuple[subprocess.Popen[bytes], Path]] = {}
    outs: list[Path] = []

    def begin(number: int) -> None:
        user = users[number]
        outs.append(tmp_path / f"out{len(outs)}")
        command = user.command(f"--sync --verbose --overwrite --stats={path}")
        env = {**user.env, "PYTHONUNBUFFERED": "1"}
        with outs[-1].open("w") as out:
            runs[number] = subprocess.Popen(command, env=env, stdout=out, stderr=out), outs[-1]

    kills = 0
    try:
        for number in range(WRITERS):
            begin(number)
        for _ in range(KILLS):
            number = dice.randrange(WRITERS)
            if runs[number][0].poll() is not None:
                begin(number)
            time.sleep(dice.uniform(0.05, 0.4))
            kills += runs[number][0].poll() is None
            runs[number][0].kill()
            runs[number][0].wait(60)
            begin(number)
        for run, out in runs.values():
            assert run.wait(300) == 0, out.read_text()
    finally:
        for run, _ in runs.values():
            run.kill()
            run.wait(60)
    told = Counter(check_whole(path, kills))
    reported = Counter(key for out in outs for key in re.findall(r"(?m)^=> copied: \S+ \S+ (\S+) \(", out.read_text()))
    assert kills > KILLS // 4 and len(reported) == FILES
    assert not reported - told


@pytest.mark.long
@ENDINGS
def test_a_full_disk_takes_no_half_line_and_holds_up_no_file(user: User, disk: Disk, folder: str, ending: str):
    for number in range(3):
        user.grid.tree.add(f"agata/{folder}/{number}", 20_000)
    user.before = disk.before
    path = disk.inside / f"s.{ending}"
    line = f"--input_dir {folder} --sync --stats={disk.folder}/s.{ending}"
    assert user(line).status == 0
    before = path.read_bytes()
    disk.fill()
    with path.open("ab") as file:  # up to the end of its page
        file.write(b"\n" * (-len(before) % 4096))
    full = path.read_bytes()
    done = user(f"{line} --overwrite")
    assert done.status == 1 and "Copied: 3, skipped: 0, failed: 0" in done.out, done
    assert "cannot be written: No space left on device; make room or name another file; meanwhile" in done.err
    assert "lacks 3 line(s) of this run" in done.err and path.read_bytes() == full
    disk.make_room()
    assert user(line).status == 0
    assert [line.status for line in lines_of(str(path))] == ["ok"] * 3 + ["skipped"] * 3


