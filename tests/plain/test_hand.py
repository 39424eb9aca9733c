"""What a worker does with the loads that it is given: a process that is a worker for a run at a site in memory."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gridsync_parts.copy import Copy
from gridsync_parts.disk import MARK
from gridsync_parts.errors import (
    DoorError,
    FileError,
    Mismatch,
    NoRanges,
    OnTape,
)
from gridsync_parts.farm import shops as shops_part
from gridsync_parts.farm.hand import halt, labour
from gridsync_parts.farm.loads import Beat, Load, Returned, Setting
from gridsync_parts.farm.marking import lay_mark, version_of_code
from gridsync_parts.farm.shops import shops
from gridsync_parts.pacing import Timetable
from gridsync_parts.put import Put
from gridsync_parts.table import Site
from tests.support.constants import replace
from tests.support.memory import Memory, break_off

DATA = bytes(range(256)) * 40
LONG = 60  # seconds after which what should come never will


class Worker:
    """This process, at work for a run."""

    def __init__(self, site: Memory, folder: Path, number: int):
        self.site = site
        self.folder = folder
        folder.mkdir(exist_ok=True)
        run = f"{number:016x}"
        mark = str(folder / f"workers-{run}{MARK}")
        about = Site("LYON", "file:///nowhere", "", "gfal2", credential="none")
        self.setting = Setting(run, version_of_code(), about, "", str(folder), mark)
        lay_mark(self.setting)
        self.beats: list[Beat] = []

    def job(self, path: str, **more: object) -> Copy:
        return Copy(self.site.row(path), str(self.folder), is_far=True)._replace(**more)

    def load(self, *jobs: Copy | Put | str, hands: int = 4, timetable: Timetable | None = None) -> Load:
        made = tuple(self.job(job) if isinstance(job, str) else job for job in jobs)
        return Load(7, self.setting, made, hands, timetable)

    def labour(self, *jobs: Copy | Put | str, **more: Any) -> Returned:
        returned = labour(self.load(*jobs, **more), self.beats.append)
        return pickle.loads(pickle.dumps(returned))

    def there(self) -> dict[str, bytes]:
        """The files that are here, also those that are not finished."""
        paths = [path for path in self.folder.rglob("*") if path.is_file() and str(path) != self.setting.mark]
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in paths}


@pytest.fixture
def site() -> Memory:
    return Memory({f"run/{name}": DATA + name.encode() for name in "abc"})


@pytest.fixture
def workers(site: Memory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Worker]]:
    """Runs that this process works for, each at the site in memory."""
    replace(monkeypatch, "PATIENCE", 1)
    replace(monkeypatch, "BEAT", 0.01)
    place = site.place._replace(close=lambda: site.asked.append(("close",)))
    monkeypatch.setattr(shops_part, "opened", lambda setting: place)
    made: list[Worker] = []

    def make() -> Worker:
        made.append(Worker(site, tmp_path / "data", time.monotonic_ns() % 10**9 + len(made)))
        return made[-1]

    yield make
    for worker in made:
        halt(worker.setting.run)
    wait_until(lambda: not shops.by_run)


@pytest.fixture
def worker(workers: Callable[[], Worker]) -> Worker:
    return workers()


def wait_until(is_so: Callable[[], object]) -> None:
    """Wait until something is so; fail if it never is."""
    ends = time.monotonic() + LONG
    while not is_so():
        assert time.monotonic() < ends, "it never happened"
        time.sleep(0.005)


def words(returned: Returned) -> list[str]:
    """What became of each file, in a word."""
    return [done.outcome.done if done.outcome else type(done.error).__name__ for done in returned.done]


def test_all_files_of_a_load_come_with_their_names(worker):
    returned = worker.labour("run/a", "run/b", "run/c")
    assert returned.number == 7 and returned.unfit is None and sorted(words(returned)) == ["copied"] * 3
    assert worker.there() == {f"run/{name}": DATA + name.encode() for name in "abc"}
    for done in returned.done:
        assert done.path == done.outcome.row.path and done.outcome.row.downloaded
        assert done.outcome.row.verified == "adler32" and done.here == done.moved == len(DATA) + 1
        assert abs(done.ended - time.time()) < LONG and 0 < done.seconds < LONG and not done.is_open


@pytest.mark.parametrize(
    "error", [FileError("run/b: odd", passing=True), DoorError("busy", pause=3), OnTape("on tape"), NoRanges("all"),
              Mismatch("differs", passing=True)],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_others_go_on_after_a_failure_which_the_run_judges(worker, error):
    worker.site.order("read", "run/b", error)
    returned = worker.labour("run/a", "run/b", "run/c")
    by_path = {done.path: done for done in returned.done}
    assert by_path["run/a"].outcome.done == by_path["run/c"].outcome.done == "copied"
    failed = by_path["run/b"]
    assert failed.outcome is None and returned.unfit is None
    assert (type(failed.error), str(failed.error), failed.error.__dict__) == (type(error), str(error), error.__dict__)
    assert failed.error.__cause__ is failed.error.__context__ is failed.error.__traceback__ is None


def test_what_has_come_before_a_failure_is_told_and_stays(worker):
    worker.site.order("read", "run/a", break_off(3500))
    (done,) = worker.labour("run/a").done
    assert (done.moved, done.here) == (3500, 3500) and done.error.passing
    (done,) = worker.labour("run/a").done
    assert (done.moved, done.here, done.outcome.done) == (len(DATA) + 1 - 3500, len(DATA) + 1, "copied")
