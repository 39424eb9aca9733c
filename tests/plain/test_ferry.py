"""The files of a run from a site in memory to another one: what becomes of an attempt, and how often there is one."""

from __future__ import annotations

import time

import pytest

from gridsync_parts import pull
from gridsync_parts.disk import MARK
from gridsync_parts.errors import (
    BadName,
    CredentialError,
    DoorError,
    FileError,
    Forbidden,
    NoCrossing,
    NotFound,
    OnTape,
    PoolError,
    Unfinished,
    UsageError,
)
from gridsync_parts.ferry import Ferry
from gridsync_parts.fetching import Work
from gridsync_parts.loop import Again
from gridsync_parts.pace import PACE, Tries
from gridsync_parts.pool import Stop
from gridsync_parts.table import Settings, Site
from gridsync_parts.values import Locality, Outcome, Row, Wishes
from tests.support.crossings import MemoryPuller
from tests.support.memory import Memory, adler32

DATA = bytes(range(256)) * 40
NAME, TEMP = "in/a", f"in/0a1b2c3d-7{MARK}"
SITE = Site("A", "memory:", "", "http", "none", "", "", "", 30, 10)
LOST = FileError("the line broke", passing=True)


class Crew:
    """A run from site to site, without a flow around it."""

    def __init__(self, retries: int = 0, **wishes: bool):
        self.source, self.target = Memory({NAME: DATA}), Memory()
        others = {"A": self.source, "B": self.target}
        self.brings, self.fetches = MemoryPuller(self.source, others, "A"), MemoryPuller(self.target, others, "B")
        self.retries = retries
        self.stop = Stop()
        self.pauses: list[float] = []
        ends = self.source.place._replace(puller=self.brings), self.target.place._replace(puller=self.fetches)
        settings = Settings(SITE, output_dir="", threads=1, streams=1, vo="", retries=retries)
        self.ferry = Ferry(*ends, settings, Wishes(to="B", **wishes), self.stop, ("A", "B"))
        self.ferry.temps[NAME] = TEMP

    def there(self) -> dict[str, bytes]:
        """What there is at the target."""
        return {path: file.data for path, file in self.target.files.items()}

    def work(self, row: Row | None = None, is_here: bool = False, until: float = 60) -> Work:
        """An attempt."""
        now = time.monotonic()
        return Work(row or self.source.row(NAME), is_here, now + until, Tries(now), self.retries, PACE)

    def bring(self, row: Row | None = None, is_here: bool = False) -> Outcome:
        """Copy a file, as often as it takes."""
        work = self.work(row, is_here)
        while isinstance(item := self.ferry.bring(work), Again):
            self.pauses.append(item.pause)
            work = work._replace(tries=item.tries)
        assert not self.ferry.flying and not self.ferry.received and not self.ferry.paused
        return item


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """No long looks."""
    monkeypatch.setattr(pull, "LOOK", 0.001)
    monkeypatch.setattr(pull, "STILL", 0.05)


@pytest.fixture(params=[True, False], ids=["via_here", "direct"])
def via_here(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def test_a_file_is_copied_and_its_bytes_are_counted(via_here):
    crew = Crew(via_here=via_here)
    outcome = crew.bring()
    assert (outcome.done, outcome.received, outcome.fault) == ("copied", len(DATA), None)
    assert (outcome.row.downloaded, outcome.row.verified, outcome.row.checksum) == (True, "adler32", adler32(DATA))
    assert crew.there() == {NAME: DATA} and not crew.ferry.open


def test_what_is_there_is_skipped_or_named(via_here):
    crew = Crew(via_here=via_here)
    crew.target.put(NAME, DATA)
    assert crew.bring(is_here=True).done == "skipped"
    crew.target.put(NAME, DATA[::-1])
    outcome = crew.bring(is_here=True)
    assert outcome.done == "failed" and "--overwrite replaces it" in outcome.row.error
    assert Crew(via_here=via_here, overwrite=True).bring().done == "copied"


def test_a_failure_that_may_pass_is_tried_again(via_here):
    crew = Crew(3, via_here=via_here)
    crew.target.order("rename", TEMP, DoorError("the door is away", passing=True))
    assert crew.bring().done == "copied" and crew.pauses == [0.0]
    assert crew.there() == {NAME: DATA} and not crew.ferry.open


def test_bytes_of_attempts_that_fail_are_counted_too():
    crew = Crew(3)
    crew.fetches.left, crew.fetches.error = 3000, LOST
    crew.target.order("remove", TEMP, lambda was: setattr(crew.fetches, "error", None) or was)
    assert crew.bring().received == len(DATA) + 3000


def test_a_file_that_was_given_up_leaves_nothing(via_here):
    crew = Crew(via_here=via_here)
    crew.target.order("rename", TEMP, Forbidden(f"https://b/{TEMP}: denied"))
    outcome = crew.bring()
    assert (outcome.done, outcome.row.error) == ("failed", "https://b/in/a: denied")
    assert isinstance(outcome.fault, Forbidden) and crew.there() == {} and not crew.ferry.open


def test_what_cannot_be_removed_is_named(via_here):
    crew = Crew(via_here=via_here)
    crew.target.order("rename", TEMP, Forbidden("denied"))
    crew.target.order("remove", TEMP, Forbidden("denied"))
    assert crew.bring().row.error == f"in/a: denied; some of it may be left at the site as {TEMP}"
    assert TEMP in crew.ferry.open


def test_what_a_door_may_go_on_with_stays_noted():
    crew = Crew()
    crew.fetches.left, crew.fetches.error = 3000, Unfinished("nothing moves", passing=True)
    assert crew.bring().done == "failed" and crew.there() == {} and TEMP in crew.ferry.open


def test_a_file_that_is_on_tape_again_waits():
    crew = Crew(via_here=True)
    crew.source.order("read", NAME, OnTape("on tape"))
    outcome = crew.bring()
    assert (outcome.done, outcome.row.locality) == ("waiting", Locality.NEARLINE)
    crew = Crew()
    crew.target.order("pull", TEMP, OnTape("on tape"))
    assert crew.bring().done == "waiting" and not crew.ferry.open


def test_a_file_on_tape_is_asked_for_until_it_was_read():
    row = Memory({NAME: DATA}).row(NAME)._replace(locality=Locality.NEARLINE)
    assert Crew(via_here=True).ferry.retries(Crew().work(row)) > 100
    assert Crew(5).ferry.retries(Crew(5).work(row)) == 5


def test_a_pool_that_fails_makes_it_late():
    crew = Crew(via_here=True)
    crew.source.order("read", NAME, PoolError("the pool is down", passing=True))
    assert crew.bring().done == "late"


@pytest.mark.slow
def test_a_name_that_the_door_cannot_serve_is_said_to_be_so():
    crew = Crew(via_here=True)
    crew.source.put("in/a b", DATA)
    crew.ferry.temps["in/a b"] = TEMP
    crew.source.order("read", "in/a b", NotFound("no such file"), NotFound("no such file"))
    outcome = crew.bring(crew.source.row("in/a b"))
    assert outcome.done == "failed" and isinstance(outcome.fault, BadName)


@pytest.mark.parametrize("error", [CredentialError("over"), UsageError("no"), NoCrossing("never")])
def test_what_concerns_all_files_ends_the_run(error):
    crew = Crew(via_here=True)
    crew.target.order("write", TEMP, error)
    with pytest.raises(type(error)):
        crew.bring()
    assert not crew.ferry.flying


def test_no_attempt_begins_when_the_file_may_be_on_tape_again(via_here):
    crew = Crew(via_here=via_here)
    outcome = crew.ferry.bring(crew.work(until=-1))
    assert isinstance(outcome, Outcome) and outcome.done == "stale" and not crew.source.asked + crew.target.asked


def test_others_are_held_while_one_waits_for_another_attempt(via_here):
    crew = Crew(via_here=via_here)
    crew.ferry.paused.add("in/b")
    outcome = crew.ferry.bring(crew.work())
    assert isinstance(outcome, Outcome) and outcome.done == "held"


def test_a_run_that_ends_says_so(via_here):
    crew = Crew(3, via_here=via_here)
    crew.stop.set()
    assert crew.bring().done == "interrupted" and crew.there() == {}


def test_a_wide_key_is_refused_beforehand():
    crew = Crew()
    crew.brings.wider = crew.fetches.wider = "everything of yours"
    with pytest.raises(UsageError, match="--trust_target"):
        crew.ferry.check(crew.source.row(NAME))
    with pytest.raises(UsageError, match="--via_here"):
        crew.bring()
    for wishes in ({"trust_target": True}, {"via_here": True}):
        crew = Crew(**wishes)
        crew.brings.wider = "everything of yours"
        crew.ferry.check(crew.source.row(NAME))
        assert crew.bring().done == "copied"
