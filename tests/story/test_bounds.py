"""--bwlimit and --max_duration: how fast files move, how long a run takes, and what it leaves."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator

import pytest

from tests.support.user import User, find_pinned, find_wrong, wait_for

LIMIT = 4 << 20  # bytes a second
TIMES = 10  # that a busy machine may keep a run below it

SHAPES = {  # sizes, options and the limit: many files a second are too many for a busy machine
    "one large file": ([12 << 20], "", LIMIT),
    "streams": ([12 << 20], "--threads 2 --streams 4", LIMIT),
    "several files": ([3 << 20] * 4, "--threads 4", LIMIT),
    "small files": ([10_000] * 300, "--threads 8", LIMIT // 4),
}


def check_rate(move: Callable[[], float], limit: int) -> None:
    """Moving files is never faster than the limit by a tenth, nor slower, if the machine has time for it."""
    for _ in range(TIMES):
        rate = move()
        assert rate < 1.1 * limit
        if rate > 0.9 * limit:
            return
    pytest.fail(f"{rate / limit:.2f} of the limit")


@pytest.fixture
def away(user: User, folder: str) -> Callable[[list[int]], None]:
    """Files at the site, of which a list is built."""

    def fill(sizes: list[int]) -> None:
        for number, size in enumerate(sizes):
            user.grid.tree.add(f"agata/{folder}/{number}", size)
        assert user(f"--input_dir {folder} --build_list --quiet").status == 0

    return fill


@pytest.mark.parametrize(
    ("engine", "shape"),
    [("http", shape) for shape in SHAPES] + [("gfal2", shape) for shape in SHAPES if shape != "small files"],
)  # for small files gfal2 takes longer than it may
def test_files_come_as_fast_as_they_may(user: User, folder, away, engine, shape):
    sizes, more, limit = SHAPES[shape]
    user.set("ENGINE", engine)
    away(sizes)

    def come() -> float:
        status, out, err = user(f"--start --overwrite --json --bwlimit {limit} {more}")
        assert status == 0, err
        copy = json.loads(out)["copy"]
        assert (copy["copied"], copy["received"]) == (len(sizes), sum(sizes))
        return copy["rate"]

    check_rate(come, limit)
    assert find_wrong(user, folder) == []


@pytest.mark.parametrize(
    ("sizes", "limit"), [([12 << 20], LIMIT), ([20_000] * 100, LIMIT // 4)], ids=["one large file", "small files"]
)
def test_files_go_as_fast_as_they_may(user: User, folder, sizes, limit):
    results, turns = user.folder / "results", iter(range(TIMES))
    results.mkdir()
    for number, size in enumerate(sizes):
        (results / str(number)).write_bytes(os.urandom(size))

    def go() -> float:
        line = f"--put {results} --input_dir {folder}/{next(turns)} --json --threads 8 --bwlimit {limit}"
        status, out, err = user(line)
        assert status == 0, err
        put = json.loads(out)["put"]
        assert (put["sent"], put["bytes"]) == (len(sizes), sum(sizes))
        return put["rate"]

    check_rate(go, limit)


def test_a_limit_is_said_and_not_remembered(user: User, away):
    away([1000])
    before = (user.folder / "Grid.conf").read_bytes()
    status, _, err = user("--start --bwlimit '08:00,10M 19:00,off'")
    assert status == 0 and "--bwlimit: from 08:00 on at most 10.0 MB/s, from 19:00 on no limit\n" in err
    assert (user.folder / "Grid.conf").read_bytes() == before
    assert user("--start --bwlimit 1M --quiet").err == ""


def test_who_moves_little_is_not_taken_for_a_site_that_is_silent(user: User, away, folder):
    for key in ("SILENCE", "FIRST_BYTE"):
        user.set(key, "1")
    user.set("MIN_RATE", "100000")
    away([200_000, 100_000])
    with user.running("--start --bwlimit 50K --threads 2", "RATED = 1.0") as run:
        status, _, err = wait_for(run)
    assert status == 0 and "slowly" not in err and "answer" not in err
    assert find_wrong(user, folder) == []


ENDED = "gridsync.py: the time that --max_duration gives is over"
OVER = f"{ENDED}; what is done is kept, and the same command goes on from here\n"
NOTHING = "bounds nothing on this line; it goes with --start, --sync or --put, say"


@pytest.fixture
def stalled(user: User) -> Iterator[Callable[..., None]]:
    """Requests that the site of the user never ends."""

    def stall(path: str, what: str = "stall", **more: object) -> None:
        user.grid.door.faults.add(path, what, **more)

    yield stall
    user.grid.door.faults.clear()


@pytest.mark.parametrize("action", ["--start", "--sync"])
@pytest.mark.parametrize("engine", ["http", "gfal2"])
def test_a_copy_that_hangs_is_left_and_goes_on_from_there(user: User, folder, away, stalled, engine, action):
    user.set("ENGINE", engine)
    away([10 << 20, 1000])
    stalled(f"*/{folder}/0", "stall_in_body", role="pool", at=9 << 20)
    status, out, err = user(f"{action} --max_duration 3s")
    assert (status, err.count(OVER), err.endswith(OVER)) == (1, 1, True)
    assert "Copied: 1, skipped: 0, failed: 0, waiting on tape: 0; " in out
    user.grid.door.faults.clear()
    user.grid.door.log.clear()
    assert user(action).status == 0 and find_wrong(user, folder) == []
    assert sum(record.sent for record in user.grid.door.log.matching(path=f"/agata/{folder}/0")) < 7 << 20


def test_what_waits_for_tape_stays_pinned_and_the_next_run_goes_on(user: User, folder):
    for number in range(3):
        user.grid.tree.add(f"agata/{folder}/{number}", 1000, tape=True)
    user.grid.door.robot.hold()
    try:
        status, out, err = user(f"--sync --input_dir {folder} --max_duration=3s")
        assert (status, err.endswith(OVER)) == (1, True) and "waiting on tape: 3; " in out
        assert all(row["request"] for row in user.catalog().values())
    finally:
        user.grid.door.robot.go()
    assert user("--sync --max_duration 1h").status == 0
    assert find_wrong(user, folder) == find_pinned(user, folder) == []


@pytest.mark.parametrize("action", ["--build_list", "--sync", "--build_list --start"])
def test_a_listing_that_hangs_is_left(user: User, folder, stalled, action):
    user.grid.tree.add(f"agata/{folder}/a", 1000)
    stalled(f"*/{folder}*", method="PROPFIND")
    status, _, err = user(f"{action} --input_dir {folder} --max_duration 1s")
    assert (status, err.endswith(OVER)) == (1, True)
    user.grid.door.faults.clear()
    assert user(f"{action} --input_dir {folder} --max_duration 1m").status == 0


def test_a_request_to_the_tape_that_hangs_is_left(user: User, folder, stalled):
    user.grid.tree.add(f"agata/{folder}/a", 1000, tape=True)
    assert user(f"--build_list --input_dir {folder}").status == 0
    stalled("*", role="tape", method="POST")
    with user.running("--bring_online --start --max_duration 1s", "last_word = 0.5") as run:
        status, out, err = wait_for(run)
    assert (status, err.endswith(OVER)) == (1, True) and "starting to download" not in out


def test_an_upload_is_ended_and_the_next_run_goes_on(user: User, folder):
    results = user.folder / "results"
    results.mkdir()
    for name, size in (("large", 2 << 20), ("small", 10)):
        (results / name).write_bytes(os.urandom(size))
    line = f"--put {results} --input_dir {folder}"
    status, out, err = user(f"{line} --bwlimit 100K --max_duration 2s")
    assert (status, err.endswith(OVER)) == (1, True) and "Sent: 1, skipped: 0, failed: 0; " in out
    assert [path.rpartition("/")[2] for path in user.grid.tree.files(f"agata/{folder}")] == ["small"]
    status, out, _ = user(line)
    assert status == 0 and "Sent: 1, skipped: 1, failed: 0; " in out


@pytest.mark.parametrize("action", ["--verify", "--check_status", "--release", "--repair"])
def test_no_action_begins_once_the_time_is_over(user: User, folder, away, action):
    away([1000, 1000])
    assert user("--start").status == 0
    with user.running(f"--verify --start {action} --max_duration 1h", "seconds_in = lambda text: 0.0") as run:
        status, _, err = wait_for(run)
    assert (status, err) == (1, OVER)
    assert user("--verify --max_duration 1h").status == 0


def test_the_end_comes_with_what_was_said_so_far(user: User, folder, stalled, away):
    away([1000])
    stalled(f"*/{folder}/0", role="pool")
    status, out, err = user("--start --json --max_duration 1s")
    document = json.loads(out)
    assert (status, document["status"], err) == (1, 1, OVER) and document["copy"]["copied"] == 0


@pytest.mark.every(1)
@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("--max_duration 1h", f"--max_duration {NOTHING}"),
        ("--show_conf --bwlimit 1M", f"--bwlimit {NOTHING}"),
        ("--verify --bwlimit 1M", f"--bwlimit {NOTHING}"),
        ("--start --max_duration soon", "--max_duration: 'soon' is no time; write it like 11h, 90m, 1d or 2h30m"),
        ("--start --max_duration=", "--max_duration: '' is no time; write it like 11h, 90m, 1d or 2h30m"),
        ("--start --bwlimit 25:00,1M", "--bwlimit: '25:00' is no time of day; write it like 20M (K, M, G or T bytes a "
         'second), off, or by the time of day "08:00,10M 19:00,off"'),
    ],
)  # fmt: skip
def test_a_bound_that_makes_no_sense_is_one_sentence(user: User, line, says):
    before = sorted((path.name, path.read_bytes()) for path in user.folder.iterdir())
    assert user(f"{line} --input_dir elsewhere") == (2, "", f"gridsync.py: {says}\n")
    assert sorted((path.name, path.read_bytes()) for path in user.folder.iterdir()) == before
