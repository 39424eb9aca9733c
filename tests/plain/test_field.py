"""Files in the hands of workers: what each news means, and what is next. Workers are played, the copier is not."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import pytest

from gridsync_parts import namesakes
from gridsync_parts.catalog import Catalog
from gridsync_parts.copier import Copier
from gridsync_parts.errors import CrewError, DiskError, FileError, GridError
from gridsync_parts.farm.field import ALONE, NO_WORKER, Field, Way
from gridsync_parts.farm.loads import Back, Beat, Done, Greeting, Heard, Joined, Left, Load, Lost, Returned, Setting
from gridsync_parts.farm.roster import GRACE, SILENT
from gridsync_parts.fetching import Work
from gridsync_parts.loop import Said
from gridsync_parts.pace import PACE, Tries
from gridsync_parts.pacing import timetable_of
from gridsync_parts.pool import Stop
from gridsync_parts.table import Settings, Site
from gridsync_parts.values import Outcome, Wishes
from tests.support.memory import Memory

SITE = Site("LYON", "memory:", "", "http", "none", "", "", "", 30, 10)
FAULT = CrewError("worker old has another gridsync; install the same one there")


class Played:
    """A crew of nobody: what it is told is kept."""

    def __init__(self) -> None:
        self.loads: list[tuple[str, Load]] = []
        self.dropped: list[str] = []

    def give(self, worker: str, load: Load) -> None:
        self.loads.append((worker, load))

    def drop(self, worker: str) -> None:
        self.dropped.append(worker)

    def start(self) -> None: ...

    def halt(self) -> None: ...

    def close(self) -> bool:
        return True


class Farm:
    """A field with files of a site in memory."""

    def __init__(self, folder: Path, files: int = 6, hands: int = 2, **way: Any):
        self.site = Memory({f"run/{number}": b"x" * (number + 1) for number in range(files)})
        settings = Settings(SITE, output_dir=str(folder), threads=hands, streams=1, vo="", retries=1)
        self.mover = Copier(self.site.place, settings, Wishes(), Catalog(str(folder)), Stop())
        self.crew = Played()
        self.results: list[Any] = []
        self.judged: list[tuple[str, str]] = []
        setting = Setting("run", "1", SITE, "", str(folder), "")
        self.field = Field(
            self.mover, self.crew, Way(setting, hands, **way), self.results.extend,
            lambda work, error: self.judged.append((work.row.path, str(error))),
        )  # fmt: skip
        for path in self.site.files:
            self.field.todo.append(Work(self.site.row(path), False, math.inf, Tries(0.0), 1, PACE, files))

    def join(self, worker: str, now: float = 0.0, fault: GridError | None = None, threads: int = 1) -> None:
        self.field.take(Joined(worker, threads, Greeting(f"host-{worker}", "m", 1, fault)), now)

    def turn(self, now: float = 0.0) -> list[tuple[str, list[str]]]:
        """What workers are given now."""
        self.crew.loads.clear()
        self.field.turn(now)
        self.field.roster.check()
        return [(worker, [job.row.path for job in load.jobs]) for worker, load in self.crew.loads]

    def back(self, worker: str, *errors: str | None, now: float = 0.0, **returned: Any) -> None:
        """The first load of a worker comes back; of each file what went wrong, if anything."""
        number = min(self.field.roster.members[worker].loads)
        works = self.field.roster.loads[number].works
        done = [
            Done(work.row.path, None, FileError(error, passing=True), 1, 1, time.time(), 0.1) if error
            else Done(work.row.path, Outcome(work.row._replace(downloaded=True), "copied"), None, 1, 1, 9.0, 0.1)
            for work, error in zip(works, errors)
        ]  # fmt: skip
        self.field.take(Back(worker, Returned(number, tuple(done), **returned)), now)

    def said(self) -> list[str]:
        return [result.sentence for result in self.results if isinstance(result, Said)]

    def came(self) -> list[str]:
        return [result.row.path for result in self.results if isinstance(result, Outcome)]

    def left(self) -> list[str]:
        return [work.row.path for work in self.field.todo]


@pytest.fixture
def farm(tmp_path: Path) -> Farm:
    return Farm(tmp_path)


def test_nobody_gets_anything_before_somebody_comes(farm):
    assert farm.turn() == []
    farm.join("a")
    assert farm.turn() == [("a", ["run/0", "run/1"]), ("a", ["run/2"])]


def test_what_comes_back_is_handed_over_and_counted(farm):
    farm.join("a")
    farm.turn()
    farm.field.take(Heard("a", Beat({"run/0": (1, 1), "gone": (5, 5)})), 0.0)
    assert farm.mover.flying["run/0"] == farm.mover.received["run/0"] == 1
    farm.back("a", None, None)
    assert farm.came() == ["run/0", "run/1"] and [result.received for result in farm.results] == [1, 1]
    assert farm.mover.flying == {"run/2": 0} and not farm.mover.received


def test_a_failure_is_judged_by_the_run(farm):
    farm.join("a")
    farm.turn()
    farm.back("a", "run/0: it broke off", None)
    assert farm.judged == [("run/0", "run/0: it broke off")] and farm.came() == ["run/1"]


OTHERS = {
    "of a file that it did not have": lambda done: done._replace(path="run/5"),
    "of another row": lambda done: done._replace(outcome=Outcome(done.outcome.row._replace(path="run/5"), "copied")),
    "of another site": lambda done: done._replace(outcome=Outcome(done.outcome.row._replace(site="CNAF"), "copied")),
    "of another version": lambda done: done._replace(outcome=Outcome(done.outcome.row._replace(size=99), "copied")),
    "neither well nor badly": lambda done: done._replace(outcome=None),
    "in no time that there is": lambda done: done._replace(seconds=math.nan),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_a_worker_that_answers_what_can_not_be_is_left_out(farm, other):
    farm.join("a")
    farm.turn()
    number, works = next((number, handed.works) for number, handed in farm.field.roster.loads.items())
    row = works[0].row
    done = Done(row.path, Outcome(row._replace(downloaded=True), "copied"), seconds=0.1)
    farm.field.take(Back("a", Returned(number, (other(done),))), 0.0)
    assert farm.came() == [] and farm.left()[0] == "run/0" and not farm.field.roster.fit()
    assert "worker host-a says what can't be so of its files" in str(farm.field.roster.fault) and not farm.said()
    farm.join("b")
    farm.turn()
    assert farm.said() == [f"{farm.field.roster.fault}; the others go on without it"]


def test_a_file_that_comes_back_twice_is_taken_from_nobody(farm):
    farm.join("a")
    farm.turn()
    number, works = next((number, handed.works) for number, handed in farm.field.roster.loads.items())
    done = Done(works[0].row.path, Outcome(works[0].row, "copied"), seconds=0.1)
    farm.field.take(Back("a", Returned(number, (done, done))), 0.0)
    assert farm.came() == [] and farm.left()[0] == "run/0"


def test_files_that_a_load_says_nothing_of_come_next(farm):
    farm.join("a")
    farm.turn()
    farm.back("a", None)
    assert farm.left()[0] == "run/1"


def test_files_of_a_worker_that_is_gone_go_to_another_and_are_known_to_be_lost(farm):
    farm.join("a")
    farm.turn()
    farm.field.take(Left("a", has_ended=False), 1.0)
    assert farm.left()[:3] == ["run/0", "run/1", "run/2"] and not farm.mover.flying
    assert farm.said() == ["worker host-a: it is gone; other workers copy its files"]
    farm.join("b")
    farm.turn()
    jobs = {job.row.path: job for _, load in farm.crew.loads for job in load.jobs}
    assert jobs["run/0"].is_lost and jobs["run/0"].is_far and not jobs["run/0"].is_here
    farm.back("b", "run/0: it broke off", None)
    farm.field.todo.appendleft(Work(farm.site.row("run/0"), False, math.inf, Tries(0.0), 1, PACE, 9))
    assert farm.turn() and farm.crew.loads[0][1].jobs[0].is_lost  # whoever is not heard may come back at any time


def test_who_surely_has_ended_writes_nothing_any_more(farm):
    farm.join("a")
    farm.turn()
    farm.field.take(Left("a", has_ended=True), 1.0)
    farm.join("b")
    farm.turn()
    assert not any(job.is_lost for _, load in farm.crew.loads for job in load.jobs)


def test_what_comes_of_a_load_that_others_have_counts_no_more(farm):
    farm.join("a")
    farm.turn()
    number = min(farm.field.roster.loads)
    farm.field.take(Left("a", has_ended=False), 1.0)
    farm.field.take(Back("a", Returned(number, (Done("run/0", None, FileError("late")),))), 2.0)
    assert farm.came() == farm.judged == []


def test_who_says_nothing_is_dropped(farm):
    farm.join("a")
    farm.join("b")
    farm.turn()
    farm.field.take(Heard("b", Beat({})), SILENT)
    farm.turn(SILENT + 1)
    assert farm.crew.dropped == ["a"] and farm.said() == [
        "worker host-a: nothing is heard of it; other workers copy its files"
    ]
    assert list(farm.field.roster.members) == ["b"]


def test_the_others_go_on_without_one_that_is_unfit(farm):
    farm.join("old", fault=FAULT)
    farm.join("older", fault=FAULT)
    farm.join("a")
    assert [worker for worker, _ in farm.turn()] == ["a", "a"]
    assert farm.said() == [f"{FAULT}; the others go on without it"]
    farm.turn(GRACE * 2)


def test_a_worker_that_loses_its_folder_gets_no_more(farm):
    farm.join("a", threads=2)
    farm.turn()
    farm.back("a", unfit=DiskError("worker host-a does not see it"))
    assert "run/0" in farm.left() and farm.turn() == []


def test_when_all_are_unfit_the_run_ends_with_what_the_last_one_says(farm):
    farm.join("old", fault=FAULT)
    farm.turn(GRACE)
    with pytest.raises(CrewError, match="another gridsync"):
        farm.turn(GRACE + 1)


def test_a_run_without_workers_waits_and_says_so_once(farm):
    farm.turn(ALONE)
    assert farm.said() == []
    for now in (1, 2, 100):
        farm.turn(ALONE * now + 1)
    assert farm.said() == [NO_WORKER]
    farm.join("a", ALONE * 101)
    farm.field.take(Left("a", has_ended=True), ALONE * 102)
    farm.turn(ALONE * 104)
    assert farm.said() == [NO_WORKER] * 2


def test_a_scheduler_that_is_gone_ends_the_run(farm):
    with pytest.raises(CrewError, match="gone"):
        farm.field.take(Lost(CrewError("it is gone")), 0.0)


def test_a_disk_that_is_gone_here_ends_the_run(farm, tmp_path):
    farm.join("a")
    tmp_path.rename(tmp_path.with_name("elsewhere"))
    with pytest.raises(DiskError, match="is gone"):
        farm.turn()


def test_all_workers_together_keep_within_a_limit(tmp_path):
    farm = Farm(tmp_path, timetable=timetable_of("10M"))
    farm.join("a")
    farm.join("b")
    farm.turn()
    assert {load.timetable.at(0) for _, load in farm.crew.loads} == {5 << 20}


def test_workers_are_told_what_they_need_and_no_more(farm):
    farm.join("a")
    farm.turn()
    (_, load), *_ = farm.crew.loads
    assert (load.hands, load.timetable, load.setting.run) == (1, None, "run")
    assert load.jobs[0].folder == load.setting.folder


def test_files_that_wait_for_another_attempt_hold_back_others(farm):
    farm.mover.paused.update(f"other/{number}" for number in range(6))
    farm.join("a")
    assert farm.turn() == []
    assert {result.done for result in farm.results} == {"held"} and not farm.left()


def test_the_time_and_the_place_of_attempts_are_noted(tmp_path):
    class Kept:
        made: dict[str, Any] = {}

    farm = Farm(tmp_path, stats=Kept())
    farm.join("a")
    farm.turn()
    farm.back("a", None, None)
    assert Kept.made["run/0"] == (9.0, 0.1, 1, "host-a")


def test_files_of_which_it_is_not_clear_whose_they_are_are_known(farm):
    farm.join("a")
    farm.turn()
    farm.back("a", None, None, strange=("/x/y.part",))
    assert farm.mover.strange == {"/x/y.part"}


def test_of_two_names_that_the_disk_takes_for_one_no_worker_gets_the_second(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr(namesakes, "ignored_by", lambda _: (True, False))
    farm = Farm(tmp_path, 0)
    farm.site = Memory(dict.fromkeys(("run/a", "run/A", "run/b"), b"x"))
    for path in farm.site.files:
        farm.field.todo.append(Work(farm.site.row(path), False, math.inf, Tries(0.0), 1, PACE, 3))
    farm.join("a", threads=3)
    given = [path for _ in range(3) for _, paths in farm.turn() for path in paths]
    assert given == ["run/a", "run/b"]
    (refused,) = farm.results
    assert refused.row.path == "run/A" and refused.done == "failed" and "its name is that of run/a" in refused.row.error
