"""A worker that nobody hears from may still write: stopped before any of its calls to the disk, it harms nothing.

A thread stands for it, which stops where the test says. Meanwhile another worker gets the file; then it goes on.
"""

from __future__ import annotations

import fcntl
import functools
import itertools
import os
import random
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gridsync_parts import ownfile
from gridsync_parts.copy import Arrived, Copy, bring, copy, settle
from gridsync_parts.errors import Changed
from gridsync_parts.home import Home
from gridsync_parts.partfile import PartFile
from gridsync_parts.pool import Stop
from gridsync_parts.values import Outcome
from tests.support.constants import replace
from tests.support.memory import Fault, Memory, adler32, break_off

SIZE, SHORTEST, NOTE = 12_345, 4_000, 1_500
DATA, OLD = random.Random(1).randbytes(SIZE), b"as it was before"
CALLS = (
    "open stat fstat lstat pread pwrite ftruncate unlink link replace rename utime fsync fdatasync listdir mkdir "
    "copy_file_range fchmod"
).split()
SOON = 60  # seconds after which what should come never will
LOST, HEIR = "lost", "heir"
SAMPLE = 100  # moments of two workers, of some thousand


class Case(NamedTuple):
    """What a file, and who is lost, are like."""

    checksum: bool = True  # there is one to compare with
    overwrite: bool = False
    left: int = 0  # bytes of each segment that an earlier run has left
    is_heir: bool = False  # who is lost has taken over from another one that is
    is_wrong: bool = False  # what comes to it is wrong at first, so it begins anew
    is_changed: bool = False  # the site tells it at once that the file has changed, with the same end


CASES = {
    "new": Case(), "sized": Case(checksum=False), "left": Case(left=1700), "left, sized": Case(False, left=1700),
    "overwritten": Case(overwrite=True), "heir": Case(is_heir=True, left=1700),
    "heir, sized": Case(False, is_heir=True, left=1700), "heir, overwritten": Case(overwrite=True, is_heir=True),
    "wrong": Case(is_wrong=True, left=1700), "changed": Case(False, left=1700, is_changed=True),
}  # fmt: skip


class Halting:
    """Stops a thread of a name before one of its calls to the disk, by its number."""

    def __init__(self, patch: pytest.MonkeyPatch, folder: Path):
        self.folder = folder
        self.final = folder / "run/a"
        self.count: dict[str, int] = {}  # of calls so far, by the name of the thread
        self.stops: dict[str, int] = {}  # before which each stops
        self.halted = {name: threading.Event() for name in (LOST, HEIR)}
        self.may_go = {name: threading.Event() for name in (LOST, HEIR)}
        self.wrong: list[str] = []  # what had the name of the file, and was not it
        for name in CALLS:
            patch.setattr(os, name, self.wrapped(name, getattr(os, name)))
        patch.setattr(ownfile, "rename_new", self.wrapped("rename", ownfile.rename_new))
        start = threading.Thread.start

        def refuse(thread: threading.Thread) -> None:
            if threading.current_thread().name in self.halted:
                raise RuntimeError("can't start new thread")  # so it does all by itself, one after the other
            start(thread)

        patch.setattr(threading.Thread, "start", refuse)

    def wrapped(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """A call of the system that stops whoever is to be stopped."""

        def wrapper(*arguments: Any, **more: Any) -> Any:
            who = threading.current_thread().name
            if who in self.halted:
                number = self.count[who] = self.count.get(who, -1) + 1
                if number == self.stops.get(who):
                    self.halted[who].set()
                    assert self.may_go[who].wait(SOON)
            try:
                return call(*arguments, **more)
            finally:
                if name in ("link", "replace", "rename"):
                    self.look(f"{name} by {who}")

        return wrapper

    def look(self, what: str) -> None:
        """Whether what has the name of the file is the file."""
        if self.final.exists() and self.final.read_bytes() not in (DATA, OLD):
            self.wrong.append(what)


class Play:
    """Two workers and a file."""

    def __init__(self, folder: Path, case: Case, patch: pytest.MonkeyPatch):
        self.folder = folder
        self.case = case
        (folder / "run").mkdir(parents=True)
        self.before = {"a"} if case.overwrite else set()
        if case.overwrite:
            (folder / "run/a").write_bytes(OLD)
        if case.left:
            self.leave()
        self.halting = Halting(patch, folder)
        self.outcomes: dict[str, Outcome | BaseException] = {}
        self.threads: list[threading.Thread] = []

    def site(self) -> Memory:
        site = Memory({"run/a": DATA})
        site.knows_checksums = self.case.checksum
        return site

    def job(self, is_lost: bool) -> Copy:
        row = self.site().row("run/a", adler32(DATA) if self.case.checksum else "")
        return Copy(row, str(self.folder), 3, self.case.checksum, self.case.overwrite, is_far=True, is_lost=is_lost)

    def leave(self) -> None:
        """What an earlier run has left, in three segments."""
        row = self.job(False).row
        with PartFile(Home(str(self.folder)), row, "adler32" if self.case.checksum else "size") as part:
            part.resume(3)
            for segment in part.segments:
                part.add(segment, DATA[segment.start : segment.start + self.case.left])

    def work(self, who: str, is_lost: bool, *faults: Fault) -> None:
        """One attempt."""
        site = self.site()
        site.order("read", "run/a", *faults)
        try:
            self.outcomes[who] = copy(self.job(is_lost), site.place, lambda here, came: None, Stop())
        except BaseException as error:
            self.outcomes[who] = error

    def begin(self, who: str, stop: int, is_lost: bool, *faults: Fault) -> bool:
        """Have a worker begin, which stops before a call, if it makes so many; whether it has."""
        self.halting.stops[who] = stop
        thread = threading.Thread(target=self.work, args=[who, is_lost, *faults], name=who, daemon=True)
        self.threads.append(thread)
        thread.start()
        while thread.is_alive() and not self.halting.halted[who].wait(0.001):
            pass
        return self.halting.halted[who].is_set()

    def go_on(self, who: str) -> None:
        """Have it go on, to its end."""
        self.halting.may_go[who].set()
        (thread,) = [thread for thread in self.threads if thread.name == who]
        thread.join(SOON)
        assert not thread.is_alive()

    def lose(self, stop: int) -> bool:
        """Have the worker that gets lost begin; whether it has stopped before its end."""
        wrong: Fault = lambda body: body._replace(chunks=iter([bytes(SIZE)]))  # noqa: E731
        faults = [wrong] * 3 * self.case.is_wrong + [Changed("run/a: changed", passing=True)] * self.case.is_changed
        return self.begin(LOST, stop, self.case.is_heir, *faults)

    def has_come(self, who: str) -> bool:
        """Whether a worker has brought the file; else it is tried again."""
        outcome = self.outcomes[who]
        assert isinstance(outcome, Outcome), outcome
        assert outcome.done == "copied" or (outcome.fault and outcome.fault.passing), outcome
        return outcome.done == "copied"

    def finish(self) -> None:
        """Another worker gets the file, as often as the run tries it."""
        for _ in range(3):
            self.work("another", is_lost=True)
            if self.has_come("another"):
                return
        pytest.fail("it does not succeed")

    def check(self) -> None:
        """The file is there and right, and nothing else."""
        assert not self.halting.wrong
        assert (self.folder / "run/a").read_bytes() == DATA
        assert sorted(os.listdir(self.folder / "run")) == ["a"]
        assert not os.stat(self.folder / "run/a").st_mode & 0o111


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments that are soon written, to a disk that is not waited for, and where locks prove nothing."""
    monkeypatch.setattr(fcntl, "flock", lambda fd, how: None)
    monkeypatch.setattr(os, "fsync", lambda fd: None)
    replace(monkeypatch, "DATA_SYNC", lambda fd: None)
    replace(monkeypatch, "FRESH", 0.0)
    replace(monkeypatch, "SHORTEST", SHORTEST)
    replace(monkeypatch, "NOTE", NOTE)


def played(tmp_path: Path, case: Case, act: Callable[[Play], bool]) -> bool:
    """One play in a folder of its own."""
    with pytest.MonkeyPatch.context() as patch:
        return act(Play(tmp_path, case, patch))


@pytest.mark.first
@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_whenever_it_stopped_the_file_is_right_and_stays_so(tmp_path, name):
    def act(play: Play) -> bool:
        has_stopped = play.lose(stop)
        if has_stopped:
            play.finish()
            play.check()
            play.go_on(LOST)
            play.check()
        return has_stopped

    for stop in itertools.count():
        if not played(tmp_path / f"{stop}", CASES[name], act):
            break
    assert stop > 20


def both(play: Play, first: int, second: int) -> bool:
    """One worker is lost, and goes on while its heir is in the middle of it; whether there were such moments."""
    if not (play.lose(first) and play.begin(HEIR, second, True)):
        for thread in play.threads:
            play.go_on(thread.name)
        return False
    play.go_on(LOST)
    play.go_on(HEIR)
    if not play.has_come(HEIR):
        play.finish()
    play.check()
    return True


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_whenever_it_goes_on_while_its_heir_is_at_it_the_file_is_right(tmp_path, name):
    moments, count = random.Random(name), 0
    for number in range(SAMPLE):
        act = functools.partial(both, first=moments.randrange(90), second=moments.randrange(90))
        count += played(tmp_path / f"{number}", CASES[name], act)
    assert count > SAMPLE // 10


@pytest.mark.first
@pytest.mark.slow
@pytest.mark.parametrize("name", ["new", "left", "sized", "overwritten"])
def test_who_was_lost_before_it_has_begun_with_a_file_does_not_write_to_that_of_its_heir(tmp_path, name):
    for second in itertools.count():
        if not played(tmp_path / f"{second}", CASES[name], functools.partial(both, first=0, second=second)):
            break
    assert second > 20


@pytest.mark.parametrize("is_far", [True, False])
@pytest.mark.parametrize("checksum", [True, False])
def test_what_an_heir_has_left_is_gone_on_with(tmp_path, is_far, checksum):
    with pytest.MonkeyPatch.context() as patch:
        play = Play(tmp_path / "data", Case(checksum, left=1700), patch)
        job, site = play.job(is_lost=True), play.site()
        site.order("read", "run/a", *[break_off(900)] * 3)
        assert copy(job, site.place, lambda here, came: None, Stop()).done == "failed"
        (name,) = os.listdir(play.folder / "run")
        left = os.stat(play.folder / "run" / name)
        assert left.st_mode & ownfile.HEIR
        came: list[int] = []
        job = job._replace(is_lost=False, is_far=is_far)
        assert copy(job, play.site().place, lambda _, moved: came.append(moved), Stop()).done == "copied"
        assert max(came) <= SIZE - 3 * 1700
        play.check()


def test_a_folder_is_not_listed_for_each_of_its_files(tmp_path, monkeypatch):
    replace(monkeypatch, "FRESH", 60.0)
    site, listed = Memory({f"run/{number}": DATA for number in range(20)}), []

    def listdir(folder: int, real: Callable[..., Any] = os.listdir) -> list[str]:
        listed.append(folder)
        return list(real(folder))

    monkeypatch.setattr(os, "listdir", listdir)
    home, stop = Home(str(tmp_path)), Stop()
    jobs = [Copy(site.row(path), str(tmp_path), is_far=True, is_lost=True) for path in site.files]
    came = [bring(job, site.place, lambda here, came: None, stop, home) for job in jobs]
    arrived = [item for item in came if isinstance(item, Arrived)]
    assert [outcome.done for outcome in settle(arrived, home)] == ["copied"] * 20
    assert len(listed) == 1 and len(os.listdir(tmp_path / "run")) == 20


@pytest.mark.long
@pytest.mark.parametrize("name", CASES)
def test_so_it_is_at_any_moment_of_the_heir_and_every_eighth_of_who_was_lost(tmp_path, name):
    for first in itertools.count(step=8):
        for second in itertools.count():
            folder = tmp_path / f"{first}-{second}"
            has_been = played(folder, CASES[name], functools.partial(both, first=first, second=second))
            shutil.rmtree(folder)
            if not has_been:
                break
        if not second:
            break
    assert first > 20
