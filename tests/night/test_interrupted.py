"""Copies that end before their time: by Ctrl-C, by kill -9, by a network that is lost; and two runs in one folder."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from gridsync_parts.catalog import Catalog
from gridsync_parts.disk import MARK
from gridsync_parts.home import Home
from gridsync_parts.partfile import PartFile
from gridsync_parts.segments import SHORTEST
from gridsync_parts.settings import Config
from tests.grid.door import Door
from tests.support import SCRIPT
from tests.support.terminal import ctrl_c
from tests.support.user import User, find_pinned, find_wrong, read_copy, wait_until

MB = 1 << 20
AGAIN = 16 * MB  # what may be fetched again for each stream after an interruption
SIZE = 200 * MB + 17
SPEED = 80 * MB  # bytes a second of all streams together, so that there is a moment to hit
KINDS = ("Ctrl-C", "kill -9", "lost network")
INTERRUPTED = "gridsync.py: interrupted; what is done is kept, and the same command goes on from here\n"


class Copy:
    """A user, a large file at a site, and what its door has sent of it."""

    def __init__(self, user: User, path: str, site: str, size: int) -> None:
        self.user = user
        self.path = path
        self.size = size
        self.door: Door = {"LYON": user.grid.door, "CNAF": user.grid.storm}[site]
        self.final = user.data / path
        user.grid.tree.add(f"agata/{path}", size)

    def sent(self) -> int:
        """Bytes of the file that the door has sent since the log was cleared."""
        return sum(record.sent for record in self.door.log.matching(method="GET", path=f"/agata/{self.path}"))

    def at_hand(self) -> int:
        """Bytes of the file that the next run need not fetch."""
        (row,) = Catalog(str(self.user.folder)).all()
        if not self.final.parent.is_dir():
            return 0
        with PartFile(Home(str(self.user.data)), row, "adler32") as part:
            part.resume(1)
            return part.received()

    def has_come(self, run: subprocess.Popen[str], count: float) -> None:
        """Wait until the door has sent so much; the file must not have its name before it is whole."""

        def is_so() -> bool:
            assert run.poll() is None, f"the run has ended: {run.communicate()}"
            assert not self.final.exists()
            return self.sent() > count

        wait_until(is_so)

    def interrupted(self, how: str, count: float) -> None:
        """A run that comes to a bad end after so many bytes."""
        self.door.log.clear()
        with self.user.running("--start") as run:
            self.has_come(run, count)
            if how == "lost network":
                self.door.down()
            else:
                run.send_signal(signal.SIGINT if how == "Ctrl-C" else signal.SIGKILL)
            _, err = run.communicate(timeout=30)
        if how == "lost network":
            self.door.up()
            assert (run.returncode, err.count("gridsync.py:")) == (4, 1), err
        elif how == "Ctrl-C":
            assert run.returncode == 130 and err.endswith(INTERRUPTED) and "Traceback" not in err, err
        assert not self.final.exists()
        (row,) = self.user.catalog().values()
        assert (row["downloaded"], row["verified"]) == ("no", "")

    def ends_well(self) -> None:
        """The next run brings the right bytes."""
        self.door.switches.bandwidth = 0
        status, out, err = self.user("--start")
        assert (status, err.count("gridsync.py:")) == (0, 0) and "verified by checksum: 1, by size only: 0" in out
        assert self.final.read_bytes() == self.user.grid.tree.expected(f"agata/{self.path}")
        assert self.user.files() == [self.path]
        (row,) = self.user.catalog().values()
        assert (row["downloaded"], row["verified"], row["error"]) == ("yes", "adler32", "")


@pytest.fixture
def copy(user: User, folder: str, request: pytest.FixtureRequest) -> Iterator[Copy]:
    """A file of which the list is made, at a door that takes its time; the parameters: site, engine, streams, size."""
    site, engine, streams, size = request.param
    copy = Copy(user, f"{folder}/large", site, size)
    user.set("ENGINE", engine, site)
    assert user(f"--from {site} --input_dir {folder} --streams {streams} --build_list").status == 0
    copy.door.switches.bandwidth = SPEED / streams
    yield copy
    copy.door.switches.bandwidth = 0
    shutil.rmtree(user.data, ignore_errors=True)  # pytest would keep it


WAYS = [
    pytest.param((site, engine, streams, SIZE), id=f"{site}-{engine}-{streams}")
    for site in ("LYON", "CNAF")
    for engine in ("http", "gfal2")
    for streams in (1, 4)
]


@pytest.mark.long
@pytest.mark.parametrize("how", KINDS)
@pytest.mark.parametrize("copy", WAYS, indirect=True)
def test_a_copy_goes_on_after_each_interruption_with_little_fetched_again(copy, how):
    streams = Config(str(copy.user.folder)).settings().streams
    for share in (0.01, 0.45, 0.45):
        before = copy.at_hand()
        copy.interrupted(how, share * (SIZE - before))
        assert copy.at_hand() >= before + copy.sent() - AGAIN * streams
    left = SIZE - copy.at_hand()
    copy.door.log.clear()
    copy.ends_well()
    assert copy.sent() == left


QUICK = 3 * SHORTEST + 11


@pytest.mark.parametrize("how", KINDS)
@pytest.mark.parametrize("copy", [("LYON", "http", 2, QUICK)], indirect=True, ids=["2-streams"])
def test_a_copy_goes_on_after_an_interruption(copy, how):
    copy.interrupted(how, QUICK * 0.8)
    left = QUICK - copy.at_hand()
    assert left < QUICK * 0.2 + 2 * AGAIN
    copy.door.log.clear()
    copy.ends_well()
    assert copy.sent() == left


@pytest.mark.long
@pytest.mark.parametrize("copy", [("LYON", "http", 1, QUICK)], indirect=True, ids=["http"])
def test_a_network_that_comes_back_in_time_is_no_interruption(copy):
    copy.user.set("RETRIES", "4", "gridsync")  # as it is by default; the first is at once, while nobody answers
    with copy.user.running("--start") as run:
        copy.has_come(run, QUICK / 3)
        copy.door.down()
        time.sleep(0.2)
        copy.door.up()
        out, err = run.communicate(timeout=30)
    assert (run.returncode, err.count("gridsync.py:")) == (0, 0) and "Copied: 1" in out
    assert copy.final.read_bytes() == copy.user.grid.tree.expected(f"agata/{copy.path}")
    assert copy.sent() < QUICK + AGAIN


ENGINES = pytest.mark.parametrize(
    "copy",
    [
        pytest.param(("LYON", "http", 1, QUICK), id="http"),
        pytest.param(("LYON", "gfal2", 1, QUICK), id="gfal2", marks=pytest.mark.long),
    ],
    indirect=True,
)


@ENGINES
def test_a_line_that_falls_silent_is_given_up_and_the_copy_goes_on(copy):
    for limit in ("FIRST_BYTE", "SILENCE"):
        copy.user.set(limit, "1")
    copy.door.switches.bandwidth = 0
    copy.door.faults.add("*/large", "stall_in_body", role="pool", at=QUICK // 2, count=1)
    copy.door.log.clear()
    try:
        copy.ends_well()
    finally:
        copy.door.faults.clear()
    assert "stall_in_body" in {record.fault for record in copy.door.log}
    assert copy.sent() < QUICK + AGAIN


@ENGINES
def test_ctrl_c_at_a_terminal_ends_a_copy_with_a_sentence(copy):
    command = ["/usr/bin/python3", str(SCRIPT), "--start"]
    status, screen = ctrl_c(command, copy.user.env, lambda: copy.sent() > QUICK / 2)
    assert status == 130 and screen.endswith(INTERRUPTED) and "Traceback" not in screen
    assert "Copied: 0, skipped: 0, failed: 0" in screen
    assert not copy.final.exists() and copy.at_hand() > QUICK / 2 - AGAIN
    copy.ends_well()


@pytest.mark.long
@pytest.mark.parametrize("copy", [("LYON", "http", 1, QUICK)], indirect=True, ids=["http"])
def test_who_presses_ctrl_c_again_and_again_means_the_same(copy):
    for pause in (0.01, 0.03, 0.1, 0.2):
        copy.door.log.clear()
        with copy.user.running("--start") as run:
            copy.has_come(run, MB)
            while run.poll() is None:
                run.send_signal(signal.SIGINT)
                time.sleep(pause)
            _, err = run.communicate(timeout=30)
        assert run.returncode == 130 and INTERRUPTED in err and "Traceback" not in err, err
        assert len(Catalog(str(copy.user.folder)).of("LYON")) == 1 and not copy.final.exists()


# == Many files =========================================================================================


@pytest.mark.long
@pytest.mark.parametrize("how", ["Ctrl-C", "kill -9"])
def test_files_that_were_whole_before_an_interruption_are_not_fetched_again(user, folder, how):
    door, tree = user.grid.door, user.grid.tree
    for number in range(60):
        tree.add(f"agata/{folder}/{number:02d}", MB)
    assert user(f"--input_dir {folder} --threads 3 --build_list").status == 0
    door.switches.bandwidth = 20 * MB
    door.log.clear()
    try:
        with user.running("--start") as run:
            wait_until(lambda: sum(record.sent for record in door.log) > 30 * MB)
            run.send_signal(signal.SIGINT if how == "Ctrl-C" else signal.SIGKILL)
            run.communicate(timeout=30)
    finally:
        door.switches.bandwidth = 0
    whole = [path for path in user.files() if not path.endswith(MARK)]
    assert 5 < len(whole) < 60
    for path in whole:
        assert (user.data / path).read_bytes() == tree.expected(f"agata/{path}")
    door.log.clear()
    status, out, _ = user("--start")
    assert status == 0 and f"Copied: {60 - len(whole)}, skipped: {len(whole)}, failed: 0" in out
    assert not [record for record in door.log if record.path.removeprefix("/agata/") in whole]
    assert len(user.files()) == 60 and {row["verified"] for row in user.catalog().values()} == {"adler32"}


# == Wherever a run is ==================================================================================

TOLD = {
    "Ctrl-C twice": (signal.SIGINT, signal.SIGINT),
    "Ctrl-C": (signal.SIGINT,),
    "SIGTERM twice": (signal.SIGTERM, signal.SIGTERM),
    "a terminal that is closed": (signal.SIGHUP, signal.SIGHUP),
}
# The command line, and what is slow or fails while it is told to end; RETRIES is 9.
STALL = {"what": "stall", "seconds": 20}
PHASES = {
    "listing": ("--build_list", {**STALL, "path": "*/{}*", "method": "PROPFIND"}),
    "locating": ("--build_list --check_status", {**STALL, "path": "*archiveinfo"}),
    "asking for files": ("--sync", {**STALL, "path": "*/stage", "method": "POST", "seconds": 2}),
    "copying": ("--build_list --start", {"what": "drip", "path": "*/{}/disk/*", "role": "pool", "speed": 100_000}),
    "between two attempts": ("--build_list --start", {"what": 503, "path": "*/{}/disk/2", "method": "GET"}),
    "waiting for tape": ("--sync", {**STALL, "path": "*/stage/*", "method": "GET"}),
    "releasing": ("--sync", {**STALL, "path": "*/release/*"}),
}


LONG = [pytest.param(how, marks=[pytest.mark.long] * (how != "Ctrl-C twice")) for how in TOLD]


@pytest.mark.parametrize("told", LONG)
@pytest.mark.parametrize("phase", PHASES)
def test_wherever_a_run_is_told_to_end_it_does_and_forgets_nothing(mixed, folder, phase, told):
    line, options = PHASES[phase]
    mixed.set("RETRIES", "9", "gridsync")
    door = mixed.grid.door
    fault = door.faults.add(**{**options, "path": options["path"].format(folder)})
    try:
        with mixed.running(line) as run:
            wait_until(lambda: fault.hits)
            time.sleep(0.2)
            began = time.monotonic()
            for number in TOLD[told]:
                run.send_signal(number)
                time.sleep(0.1)
            _, err = run.communicate(timeout=30)
    finally:
        door.faults.clear()
    assert run.returncode == 130 and time.monotonic() - began < 4 and err.endswith(INTERRUPTED), err
    rows = mixed.catalog() if (mixed.folder / "grid_summary.csv").exists() else {}
    here, pinned = mixed.files(), [path.removeprefix("agata/") for path in find_pinned(mixed, folder)]
    assert all(rows[path]["downloaded"] == "yes" for path in rows if path in here)
    assert all(rows[path]["request"] for path in pinned)
    assert mixed("--sync").status == 0 and find_wrong(mixed, folder) == find_pinned(mixed, folder) == []


def test_what_has_landed_when_a_run_is_told_to_end_is_noted(user, folder):
    for number in range(300):
        user.grid.tree.add(f"agata/{folder}/{number:03}", 3000)
    with user.running(f"--input_dir {folder} --threads 2 --build_list --start") as run:
        wait_until(lambda: len(user.files()) > 30)
        for _ in range(2):
            run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=30)
    assert run.returncode == 130 and err.endswith(INTERRUPTED), err
    here = {path for path in user.files() if not path.endswith(MARK)}
    assert {path for path, row in user.catalog().items() if row["verified"] == "adler32"} == here
    assert f"Copied: {len(here)}, skipped: 0, failed: 0" in out


# == Two runs ===========================================================================================


@pytest.mark.long
@pytest.mark.parametrize("copy", [("LYON", "http", 1, QUICK)], indirect=True, ids=["http"])
def test_while_one_run_copies_others_look_and_leave(copy):
    user = copy.user
    copy.door.switches.bandwidth = 2 * MB
    with user.running("--start") as run:
        copy.has_come(run, MB)
        before = (user.folder / "grid_summary.csv").read_bytes()
        for line in ("--start", "--build_list", "--bring_online", "--release"):
            status, _, err = user(line)
            assert status == 6 and f"(process {run.pid}, since " in err and err.count("\n") == 1
        assert user("--start --quiet") == (6, "", "")
        status, out, _ = user("--check_status")
        assert status == 0 and "counts: total: 1, downloaded: 0, remaining: 1" in out
        for line in ("--ls_dir", "--show_conf", "--proxy_status"):
            status, out, err = user(line)
            assert (status, err) == (0, "") and out
        assert run.poll() is None
        assert (user.folder / "grid_summary.csv").read_bytes() == before
        run.kill()
        run.wait(10)
        copy.ends_well()


def find_wrong_names(user: User) -> list[str]:
    """Files that have their real names, and not the bytes of the site."""
    here = [path for path in user.files() if not path.endswith(MARK)]
    return [path for path in here if read_copy(user, path) != user.grid.tree.expected(f"agata/{path}")]


@pytest.mark.long
@pytest.mark.parametrize("engine", ["http", "gfal2"])
def test_a_night_in_pieces_ends_with_all_of_it(user: User, folder: str, engine: str):
    """A batch system gives each job less than a large file takes: each goes on where the one before was ended."""
    sizes = {"large": 30 * MB, "other": 8 * MB, **{f"small/{number}": 20_000 for number in range(100)}}
    for name, size in sizes.items():
        user.grid.tree.add(f"agata/{folder}/{name}", size, tape=name == "other")
    user.set("ENGINE", engine)
    line = f"--sync --input_dir {folder} --streams 2 --bwlimit 4M --quiet"
    statuses = []
    while not statuses or statuses[-1] != 0:
        assert len(statuses) < 100, "nothing moves on"
        statuses.append(user(f"{line} --max_duration 4s").status)
        assert statuses[-1] in (0, 1) and find_wrong_names(user) == []
    assert len(statuses) > 2, "a large file takes longer than a job"
    assert find_wrong(user, folder) == find_pinned(user, folder) == []
