"""What a worker does with the loads that it is given: a process that is a worker for a run at a site in memory."""

from __future__ import annotations

import errno
import os
import pickle
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gridsync_parts.copy import Copy
from gridsync_parts.disk import MARK
from gridsync_parts.errors import (
    CredentialError,
    CrewError,
    DiskError,
    DoorError,
    FileError,
    GridError,
    Mismatch,
    NoRanges,
    OnTape,
)
from gridsync_parts.farm import shops as shops_part
from gridsync_parts.farm.hand import greet, halt, labour
from gridsync_parts.farm.loads import Beat, Load, Returned, Setting
from gridsync_parts.farm.marking import host, lay_mark, version_of_code
from gridsync_parts.farm.shops import shops
from gridsync_parts.pacing import Timetable
from gridsync_parts.put import Put
from gridsync_parts.table import Site
from tests.support.constants import replace
from tests.support.memory import Memory, break_off, call_after, fall_silent
from tests.support.parts import list_open, open_files

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

    def load(
        self, *jobs: Copy | Put | str, hands: int = 4, timetable: Timetable | None = None, number: int = 7
    ) -> Load:
        made = tuple(self.job(job) if isinstance(job, str) else job for job in jobs)
        return Load(number, self.setting, made, hands, timetable)

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


# What is wrong with this worker alone, and what with all.


def refuse_without(path: Path, error: GridError) -> None:
    """Something fails, as a file has gone."""
    path.unlink()
    raise error


def test_without_its_mark_nothing_is_begun(worker):
    os.unlink(worker.setting.mark)
    returned = worker.labour("run/a", "run/b")
    assert returned.done == () and isinstance(returned.unfit, DiskError)
    assert str(returned.unfit).startswith(f"worker {host()} does not see {worker.folder} as this run does; ")
    assert not worker.there() and not worker.site.asked


def test_the_mark_of_another_run_is_none(worker):
    Path(worker.setting.mark).write_text("another\n")
    assert worker.labour("run/a").unfit


def test_a_worker_that_has_lost_the_folder_gives_no_names(worker):
    worker.site.order("read", "run/b", call_after(3000, lambda: os.unlink(worker.setting.mark)))
    returned = worker.labour("run/a", "run/b", "run/c")
    assert returned.unfit and returned.done == ()
    assert sorted(worker.there()) == [f"run/{name}{MARK}" for name in "abc"]  # small ones get theirs in the end


def test_what_fails_as_the_folder_is_gone_is_this_worker_s_fault(worker):
    worker.site.order("read", "run/a", lambda _body: refuse_without(Path(worker.setting.mark), FileError("odd")))
    returned = worker.labour("run/a", "run/b")
    assert returned.done == () and "does not see" in str(returned.unfit) and not worker.there()


def test_a_full_disk_ends_the_run_and_the_rest_is_not_begun(worker, monkeypatch):
    def pwrite(fd: int, data: bytes, at: int, real: Callable[..., int] = os.pwrite) -> int:
        if "run/b" in os.readlink(f"/proc/self/fd/{fd}"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(fd, data, at)

    monkeypatch.setattr(os, "pwrite", pwrite)
    returned = worker.labour("run/a", "run/b", "run/c")
    by_path = {done.path: done for done in returned.done}
    assert returned.unfit is None and sorted(by_path) == ["run/a", "run/b"]
    assert by_path["run/a"].outcome.done == "copied"
    assert isinstance(by_path["run/b"].error, DiskError) and "is full" in str(by_path["run/b"].error)
    assert ("read", "run/c", 0, len(DATA) + 1) not in worker.site.asked


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EROFS, errno.EMFILE, errno.ENOMEM])
def test_a_disk_that_fails_otherwise_is_this_worker_s(worker, monkeypatch, number):
    def pwrite(fd: int, data: bytes, at: int) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "pwrite", pwrite)
    returned = worker.labour("run/a", "run/b")
    assert returned.done == () and isinstance(returned.unfit, DiskError)
    assert str(returned.unfit).startswith(f"worker {host()}: ")
    assert not [asked for asked in worker.site.asked if "run/b" in asked]


def test_when_files_can_not_be_made_durable_none_of_them_counts(worker, monkeypatch):
    def fsync(fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fsync)
    returned = worker.labour("run/a", "run/b")
    assert returned.done == () and isinstance(returned.unfit, DiskError)
    assert {*worker.there()} <= {f"run/a{MARK}", f"run/b{MARK}"} and not any(worker.there().values())


def test_a_file_that_can_not_be_written_here_is_that_file_s_matter(worker):
    (worker.folder / "run").write_text("a file where a folder is to be")
    returned = worker.labour("run/a")
    (done,) = returned.done
    assert returned.unfit is None and type(done.error) is FileError and "Not a directory" in str(done.error)


def test_a_fault_of_gridsync_is_said_and_ends_the_run(worker):
    worker.site.order("read", "run/a", KeyError("odd"))
    returned = worker.labour("run/a", "run/b")
    (done,) = returned.done
    assert type(done.error) is GridError and "a fault of gridsync" in str(done.error) and returned.unfit is None


def test_a_door_that_refuses_what_is_fine_here_ends_the_run(worker):
    worker.site.order("read", "run/a", CredentialError("the door refuses your proxy"))
    returned = worker.labour("run/a", "run/b")
    (done,) = returned.done
    assert isinstance(done.error, CredentialError) and returned.unfit is None


def test_what_can_not_be_shown_here_is_this_worker_s_fault(worker, tmp_path):
    token = tmp_path / "token"
    token.write_text("a.b.c")
    token.chmod(0o600)
    site = worker.setting.site._replace(engine="http", server="https://door", token=f"file:{token}")
    worker.setting = worker.setting._replace(site=site)
    worker.site.order("read", "run/b", lambda _body: refuse_without(token, CredentialError("no")))
    returned = worker.labour("run/a", "run/b", "run/c")
    assert words(returned) == ["copied"] and isinstance(returned.unfit, CredentialError)
    assert str(returned.unfit).startswith(f"worker {host()}: file:{token} gives no token")


def test_what_can_not_be_opened_is_this_worker_s_fault(worker, monkeypatch):
    def fail(setting: Setting) -> None:
        raise FileError("no such door")

    monkeypatch.setattr(shops_part, "opened", fail)
    returned = worker.labour("run/a")
    assert returned.done == () and str(returned.unfit) == f"worker {host()}: no such door"


def test_secrets_in_errors_are_not_handed_over(worker):
    error = FileError("the door says: Authorization: Bearer abcdefghijklmnopqrstuvwxyz")
    worker.site.order("read", "run/a", error)
    worker.site.order("read", "run/b", OSError(errno.EACCES, "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"))
    said = str(worker.labour("run/a", "run/b"))
    assert "Bearer ..." in said and "abcdefghij" not in said and "eyJ" not in said


# Several loads, and several runs.


def begun(worker: Worker, *loads: Load) -> tuple[list[threading.Thread], list[Returned]]:
    """Loads that are under way."""
    came: list[Returned] = []

    def work(load: Load) -> None:
        came.append(labour(load, worker.beats.append))

    threads = [threading.Thread(target=work, args=[load], daemon=True) for load in loads]
    for thread in threads:
        thread.start()
    return threads, came


def ended(threads: list[threading.Thread]) -> None:
    """They end."""
    for thread in threads:
        thread.join(LONG)
        assert not thread.is_alive()


def held(worker: Worker, *paths: str) -> threading.Event:
    """Files of which a first piece comes, and the rest once an event is set."""
    may_go = threading.Event()
    for path in paths:
        worker.site.order("read", path, call_after(1000, lambda: may_go.wait(LONG)))
    return may_go


def test_no_more_loads_are_under_way_than_it_has_hands(worker):
    may_go = held(worker, "run/a", "run/b", "run/c")
    threads, came = begun(worker, *(worker.load(f"run/{name}", hands=2) for name in "abc"))
    wait_until(lambda: len(worker.site.calls("read")) == 2)
    time.sleep(0.05)
    assert len(worker.site.calls("read")) == 2 and not came
    may_go.set()
    ended(threads)
    assert [words(returned) for returned in came] == [["copied"]] * 3
    assert len([1 for verb, *_ in worker.site.asked if verb == "close"]) == 0


@pytest.mark.slow
def test_it_is_told_how_far_files_are_also_when_nothing_moves(worker):
    may_go = held(worker, "run/a")
    threads, _ = begun(worker, worker.load("run/a"), worker.load("run/b"))
    wait_until(lambda: any(beat.files.get("run/a") == (1000, 1000) for beat in list(worker.beats)))
    count = len(worker.beats)
    wait_until(lambda: len(worker.beats) > count + 5)
    may_go.set()
    ended(threads)
    wait_until(lambda: not shops.by_run[worker.setting.run].loads)
    time.sleep(0.05)
    count = len(worker.beats)
    time.sleep(0.1)
    assert len(worker.beats) == count and pickle.loads(pickle.dumps(worker.beats)) == worker.beats


def test_of_files_that_are_done_nothing_more_is_told(worker, monkeypatch):
    replace(monkeypatch, "TOGETHER", 1)
    may_go = held(worker, "run/b")
    threads, came = begun(worker, worker.load("run/a", "run/b"))
    wait_until(lambda: any(set(beat.files) == {"run/b"} for beat in list(worker.beats)))
    may_go.set()
    ended(threads)
    assert [done.moved for done in came[0].done] == [len(DATA) + 1] * 2


def test_nobody_who_hears_is_no_reason_to_stop(worker):
    def deaf(_beat: Beat) -> None:
        raise OSError("nobody is there")

    may_go = held(worker, "run/a")
    threads, _ = begun(worker, worker.load("run/a"))
    returned: list[Returned] = []
    deaf_one = threading.Thread(target=lambda: returned.append(labour(worker.load("run/b"), deaf)), daemon=True)
    deaf_one.start()
    ended([deaf_one])
    may_go.set()
    ended(threads)
    assert words(returned[0]) == ["copied"]


def test_halt_hangs_up_and_nothing_more_is_begun(worker):
    silent = threading.Event()
    worker.site.order("read", "run/a", fall_silent(3000, silent))
    threads, came = begun(worker, worker.load("run/a", "run/b", hands=1), worker.load("run/c", hands=1))
    assert silent.wait(LONG)
    halt(worker.setting.run)
    ended(threads)
    assert [asked[0] for asked in worker.site.calls("read")] == ["run/a"]
    by_count = {len(returned.done): returned for returned in came}
    assert sorted(by_count) == [0, 1] and by_count[1].done[0].error and by_count[1].unfit is by_count[0].unfit is None
    wait_until(lambda: ("close",) in worker.site.asked)
    assert not {*worker.there()} & {"run/a", "run/b", "run/c"}
    assert worker.labour("run/b") == Returned(7, ())


def test_a_run_that_is_over_stays_so(worker):
    halt(worker.setting.run)
    halt(worker.setting.run, 6)
    assert worker.labour("run/a") == Returned(7, ()) and not worker.there()


def test_halt_before_anything_was_heard_of_a_run_counts(worker):
    halt(worker.setting.run)
    assert worker.labour("run/a") == Returned(7, ()) and not worker.there()


def test_who_was_called_off_does_what_it_is_given_later(worker):
    silent = threading.Event()
    worker.site.order("read", "run/a", fall_silent(3000, silent))
    threads, came = begun(worker, worker.load("run/a"))
    assert silent.wait(LONG)
    halt(worker.setting.run, 8)
    ended(threads)
    assert words(came[0]) != ["copied"]
    assert worker.labour("run/b", number=8) == Returned(8, ()) and "run/b" not in worker.there()
    assert words(worker.labour("run/b", number=9)) == ["copied"]


def test_what_is_called_off_late_leaves_new_loads_alone(worker):
    may_go = held(worker, "run/a")
    halt(worker.setting.run, 7)
    threads, came = begun(worker, worker.load("run/a", number=8))
    wait_until(lambda: worker.site.calls("read"))
    halt(worker.setting.run, 7)
    may_go.set()
    ended(threads)
    assert words(came[0]) == ["copied"] and words(worker.labour("run/b", number=9)) == ["copied"]


def threads_now() -> int:
    """How many threads this process has."""
    return threading.active_count()


def test_runs_that_are_over_leave_nothing(workers, tmp_path):
    before = threads_now()
    for _ in range(30):
        worker = workers()
        returned = worker.labour("run/a", "run/b", "run/c")
        assert returned.unfit is None and len(returned.done) == 3
        halt(worker.setting.run)
    wait_until(lambda: threads_now() <= before and worker.site.asked.count(("close",)) == 30)
    assert worker.site.open == 0
    assert not shops.by_run and open_files(tmp_path) == []


@pytest.mark.slow
def test_a_run_of_which_nothing_is_heard_is_forgotten(worker, tmp_path, monkeypatch):
    replace(monkeypatch, "IDLE", 0.05)
    before = threads_now()
    may_go = held(worker, "run/a")
    threads, _ = begun(worker, worker.load("run/a"))
    wait_until(lambda: worker.site.calls("read"))
    time.sleep(0.2)
    assert worker.setting.run in shops.by_run and list_open(tmp_path)  # it is at work
    may_go.set()
    ended(threads)
    wait_until(lambda: not shops.by_run and threads_now() <= before)
    assert worker.site.asked.count(("close",)) == 1 and open_files(tmp_path) == []
    assert words(worker.labour("run/b")) == ["copied"]  # it was only slow
    wait_until(lambda: not shops.by_run)


@pytest.mark.slow
def test_the_bandwidth_is_that_of_each_load(worker):
    began = time.monotonic()
    assert words(worker.labour("run/a", timetable=Timetable(((0, 20_000.0),)))) == ["copied"]
    slow = time.monotonic() - began
    assert slow > 0.3  # 10 KB at 20 KB/s
    (pacing,) = [shop.tools.pacing for shop in shops.by_run.values()]
    worker.labour("run/b")
    assert pacing.limit() == float("inf")


# Greeting.


def test_a_fit_worker_says_who_it_is(worker):
    greeting = greet(worker.setting)
    assert greeting.fault is None and greeting.pid == os.getpid() and greeting.host == host()
    assert pickle.loads(pickle.dumps(greeting)) == greeting and greeting.machine


@pytest.mark.parametrize(
    ("change", "kind", "says"),
    [
        ({"version": "0.0.9 (abc)"}, CrewError, r"has gridsync \S+ \(\w{12}\), but this run 0.0.9 \(abc\); install"),
        ({"mark": f"/nonexistent/x{MARK}"}, DiskError, "does not see"),
        ({"mark": "", "writes": True, "folder": "/nonexistent"}, DiskError, "does not see /nonexistent; mount it"),
        ({"proxy": "/nonexistent/p"}, CredentialError, "can't read your proxy /nonexistent/p; have X509_USER_PROXY"),
        ({"token": "file:/nonexistent/t"}, CredentialError, "file:/nonexistent/t gives no token"),
        ({"server": "ftps://door.example"}, CredentialError, "there is no password for door.example in ~/.netrc"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)  # fmt: skip
def test_what_keeps_a_worker_from_the_work_is_a_sentence_that_names_it(
    worker, monkeypatch, tmp_path, change, kind, says
):
    monkeypatch.setenv("HOME", str(tmp_path))
    setting = worker.setting
    if about := {name: change[name] for name in ("token", "server") if name in change}:
        engine = "ftps" if "server" in about else "http"
        new = {"engine": engine, "server": "https://door.example", "credential": "auto", **about}
        setting = setting._replace(site=setting.site._replace(**new))
    setting = setting._replace(**{name: change[name] for name in change if name in Setting._fields})
    fault = greet(setting).fault
    assert type(fault) is kind and f"worker {host()}" in str(fault) and re.search(says, str(fault)), fault
    assert pickle.loads(pickle.dumps(fault)).args == fault.args


def test_a_package_that_is_missing_is_said(worker, monkeypatch):
    monkeypatch.setitem(sys.modules, "gfal2", None)
    fault = greet(worker.setting).fault
    assert fault.status == 2 and "needs gfal2, which is not installed" in str(fault) and host() in str(fault)
