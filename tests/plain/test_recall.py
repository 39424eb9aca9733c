"""Files on demand: what is asked of the portal, how often, and what its answers mean."""

from __future__ import annotations

import math
import re
import threading
import time
from typing import Any

import pytest

from gridsync_parts.doors import recall
from gridsync_parts.doors.recall import AGAIN, MOST, Recall, Request, moment, plan_asking, requests_of, staging_of
from gridsync_parts.doors.record import Held, Record
from gridsync_parts.errors import DoorError, FileError, Forbidden, GridError, NotFound, Unreached
from gridsync_parts.values import Locality
from tests.support.clock import Clock

NOW = 1_700_000_000.0


def held(name: str, online: bool = False, index: str = "") -> Held:
    return Held(name, f"root://eospublic.cern.ch//eos/opendata/cms/{name}", 10, "adler32:00620062", online, index)


def record(*files: Held, text: bytes = b"{}") -> Record:
    own = {"record.json": Held("record.json", "", 2, "", True, "")}
    return Record("cms-1", "", "", 0, {**own, **{one.name: one for one in files}}, {}, text)


def request(key: str = "", is_open: bool = True, age: float = 60, failed: int = 0) -> Request:
    """A request that was made, or has ended, so many seconds ago."""
    return Request(key, is_open, NOW - age, NOW - age, failed)


def item(status: str, **more: Any) -> dict[str, Any]:
    times = {"created_at": "2026-11-27T22:18:03.123456", "started_at": None, "completed_at": None}
    counts = {"num_hot_files": None, "num_cold_files": None, "num_failed_transfers": 0}
    return {"id": "7", "recid": "1", "action": "stage", "status": status, "file": None, **times, **counts, **more}


# What the portal says of requests.


def test_requests_are_at_work_until_they_are_completed():
    items = [item("submitted"), item("started", file="X.json"), item("completed", completed_at="2026-11-28T00:00:00")]
    began = moment("2026-11-27T22:18:03Z")
    assert requests_of({"details": items}) == [
        Request("", True, began, began), Request("X.json", True, began, began),
        Request("", False, began, moment("2026-11-28T00:00:00")),
    ]  # fmt: skip


def test_requests_to_archive_a_record_bring_nothing():
    assert requests_of({"details": [item("started", action="archive")]}) == []


@pytest.mark.parametrize("said", ["OK", [], {}, {"details": None}, {"details": ["a"]}, {"details": [{"id": 1}]}, None])
def test_what_makes_no_sense_is_said_to_make_none(said):
    with pytest.raises(DoorError, match="makes no sense") as found:
        requests_of(said)
    assert found.value.passing


@pytest.mark.parametrize("said", [None, "", "yesterday", "2026-13-01T00:00:00", 7])
def test_a_time_that_is_none_is_long_ago(said):
    assert moment(said) == 0


# What is asked.

FOUR = record(held("a", index="X"), held("b", index="X"), held("c", index="Y"), held("d"))


@pytest.mark.parametrize(
    ("names", "requests", "asked"),
    [
        ("a", [], ["X"]),  # not for the others, which nobody wants
        ("a b", [], ["X"]),
        ("a c", [], ["X", "Y"]),
        ("a d", [], [""]),  # what stands in no index comes with the record alone
        ("a b c d", [], [""]),
        ("record.json", [], []),
        ("no", [], []),
        ("a d", [request()], []),  # somebody has asked
        ("a", [request("X")], []),
        ("a c", [request("X")], ["Y"]),
        ("a b c d", [request("X")], [""]),
        ("a", [request(is_open=False, age=AGAIN - 1)], []),  # the portal may not have noticed yet
        ("a", [request(is_open=False, age=AGAIN)], ["X"]),
        ("a", [request("Y")], ["X"]),
    ],
)
def test_no_more_is_asked_than_is_wanted_and_not_on_its_way(names, requests, asked):
    assert plan_asking(FOUR, names.split(), requests, AGAIN, NOW) == asked


def test_all_indices_together_are_the_record():
    both = record(held("a", index="X"), held("c", index="Y"), held("d", online=True))
    assert plan_asking(both, ["a", "c"], [], AGAIN, NOW) == [""]


# How far a file is.


def test_a_file_on_disk_is_there_whatever_its_request_says():
    for requests in ([], [request()], [request(is_open=False)]):
        assert staging_of(held("a", online=True), requests, 0, AGAIN, NOW) == (True, "", 0)


def test_a_request_at_work_is_waited_for_and_tells_since_when():
    assert staging_of(held("a"), [request(age=60), request(age=90)], 0, AGAIN, NOW) == (False, "", NOW - 90)


def test_completed_is_not_believed():
    """It is waited for a while, as the portal may lag behind; then the file was not brought."""
    assert staging_of(held("a"), [request(is_open=False, age=AGAIN - 1)], 0, AGAIN, NOW).is_waiting()
    found = staging_of(held("a"), [request(is_open=False, age=AGAIN)], 0, AGAIN, NOW)
    assert found.done and found.failure == "the portal calls its request finished, and files are on tape still"
    found = staging_of(held("a"), [request(is_open=False, age=AGAIN, failed=3)], 0, AGAIN, NOW)
    assert found.failure.endswith("; 3 of its transfers have failed so far")


def test_a_request_for_another_index_brings_nothing():
    assert staging_of(held("a", index="X"), [request("Y")], 0, AGAIN, NOW) == (True, "", 0)


def test_a_request_that_the_portal_does_not_name_yet_is_waited_for():
    assert staging_of(held("a"), [], NOW - 1, AGAIN, NOW).is_waiting()
    assert not staging_of(held("a"), [], NOW - AGAIN, AGAIN, NOW).is_waiting()


def test_a_file_that_the_record_has_no_longer_is_not_waited_for():
    assert not staging_of(None, [request()], 0, AGAIN, NOW).is_waiting()


# A portal that counts.


class Portal:
    """A portal of one kind of record, which writes down what it is asked."""

    def __init__(self, *files: Held, text: bytes = b"{}"):
        self.files = files
        self.text = text
        self.details: list[dict[str, Any]] = []
        self.log: list[str] = []
        self.since: dict[str, float] = {}  # when a record was asked for last
        self.fault: GridError | None = None  # of each POST
        self.hides: GridError | None = None  # what it says instead of the requests that there are
        self.said: Any = "OK"
        self.is_open = True  # requests that are made are at work until it is not

    def page_of(self, recid: str) -> str:
        return f"https://portal/record/{recid}"

    def record(self, recid: str, younger: float) -> Record:
        if recid == "gone":
            raise NotFound("gone: the portal has no such record")
        if recid == "bad":
            raise DoorError("bad: the portal answers 500", passing=True)
        if time.monotonic() - self.since.get(recid, -math.inf) >= younger:
            self.log.append(f"GET {recid}")
            self.since[recid] = time.monotonic()
        return record(*self.files, text=self.text)

    def ask(self, method: str, path: str, data: Any = None, recid: str = "") -> Any:
        if method == "GET":
            self.log.append(f"LIST {re.split('[=&]', path)[1]}")
            if self.hides:
                raise self.hides
            return {"details": list(self.details)}
        self.log.append(f"POST {path} {data.get('file', '')}".strip())
        if self.fault:
            raise self.fault
        self.details.insert(0, item("submitted", file=data.get("file")))
        return self.said

    def count(self, word: str) -> int:
        return sum(line.startswith(word) for line in self.log)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time of the test's own."""
    clock = Clock()
    monkeypatch.setattr(recall.time, "monotonic", clock)
    monkeypatch.setattr(recall.time, "time", lambda: NOW + clock())
    return clock


def test_a_record_is_asked_for_once_however_many_files_are_wanted(clock):
    portal = Portal(*(held(f"f{number}", index="X") for number in range(900)))
    tape = Recall(portal)
    for start in range(0, 900, 200):
        paths = [f"cms-1/f{number}" for number in range(start, min(start + 200, 900))]
        assert tape.stage(paths, 7) == "record/cms-1"
    assert portal.count("POST") == 1 and portal.count("GET") == 1
    assert Recall(portal).stage(["cms-1/f1"], 7) == "record/cms-1"  # another run
    assert portal.count("POST") == 1


def test_nothing_is_asked_for_what_is_on_disk_by_then(clock):
    portal = Portal(held("a", online=True))
    Recall(portal).stage(["cms-1/a", "cms-1/record.json"], 7)
    assert portal.log == ["GET cms-1"]


def test_a_refusal_names_the_page_and_is_not_asked_for_again(clock):
    portal = Portal(held("a"))
    portal.fault = Forbidden("no")
    tape = Recall(portal)
    for _ in range(3):
        with pytest.raises(Forbidden, match="by hand at https://portal/record/cms-1"):
            tape.stage(["cms-1/a"], 7)
    assert portal.count("POST") == 1
    portal.fault = None
    assert tape.stage(["cms-2/a"], 7) == "record/cms-2"


def test_a_record_for_which_the_portal_fails_does_not_keep_others_waiting(clock):
    portal = Portal(held("a"))
    portal.fault, tape = DoorError("the portal answers 500", passing=True), Recall(portal)
    for recid in ("cms-1", "cms-2", "cms-2"):
        with pytest.raises(FileError, match="500") as found:
            tape.stage([f"{recid}/a"], 7)
        assert found.value.passing
    with pytest.raises(DoorError):  # then it is the portal
        tape.stage(["cms-3/a"], 7)


@pytest.mark.parametrize("fault", [Unreached("down", passing=True), DoorError("busy", passing=True, pause=60)])
def test_a_portal_that_cannot_be_asked_now_fails_for_all(clock, fault):
    portal = Portal(held("a"))
    portal.fault = fault
    with pytest.raises(DoorError):
        Recall(portal).stage(["cms-1/a"], 7)


@pytest.mark.parametrize("said", ["<html>", {"a": 1}, "", None])
def test_an_answer_that_is_not_ok_is_none(clock, said):
    portal = Portal(held("a"))
    portal.said, tape = said, Recall(portal)
    with pytest.raises(FileError, match="https://portal/record/cms-1 shows whether it was made") as found:
        tape.stage(["cms-1/a"], 7)
    assert found.value.passing
    assert tape.stage(["cms-1/a"], 7) and portal.count("POST") == 1  # it was, as the list shows


def test_localities_take_one_request_a_record(clock):
    portal = Portal(held("a"), held("b", online=True))
    tape = Recall(portal)
    paths = [f"cms-{number}/{name}" for number in range(5) for name in ("a", "b", "record.json", "no")]
    found = tape.localities(paths)
    assert found == {
        f"cms-{number}/{name}": Locality.NEARLINE if name == "a" else Locality.ONLINE
        for number in range(5) for name in ("a", "b", "record.json")
    }  # fmt: skip
    assert tape.localities(paths) == found and len(portal.log) == 5
    clock.wait(recall.LEAST)
    tape.localities(paths)
    assert len(portal.log) == 10


def test_a_record_that_is_gone_or_fails_says_nothing_of_the_others(clock):
    tape = Recall(Portal(held("a")))
    assert tape.localities(["bad/a", "gone/a", "cms-1/a"]) == {"cms-1/a": Locality.NEARLINE}
    assert tape.localities(["gone/a"]) == {}
    with pytest.raises(DoorError, match="bad"):
        tape.localities(["bad/a", "gone/a"])


def test_a_portal_that_does_not_say_who_has_asked_is_not_asked_to_stage(clock):
    portal = Portal(held("a"))
    portal.hides = NotFound("there is no such page")
    with pytest.raises(FileError, match="does not say who has asked for it already: there is no such page") as found:
        Recall(portal).stage(["cms-1/a"], 7)
    assert type(found.value) is FileError and portal.count("POST") == 0


def test_release_asks_nothing(clock):
    portal = Portal(held("a"))
    Recall(portal).release("record/cms-1", ["cms-1/a"])
    assert portal.log == []


def poll_for(tape: Recall, clock: Clock, recids: list[str], seconds: float, every: float) -> None:
    """Ask how far some records are, as a run does that waits."""
    began = clock()
    while clock() - began < seconds:
        for recid in recids:
            tape.stagings(f"record/{recid}", [f"{recid}/a"])
        clock.wait(every)


@pytest.mark.long
@pytest.mark.slow
def test_polls_of_many_records_are_gentle(clock):
    """Each is asked about once a minute here, by whoever waits; the portal hears far less of it."""
    portal = Portal(held("a"), text=b" " * 200_000)
    portal.details = [item("started")]
    poll_for(Recall(portal), clock, [f"cms-{number}" for number in range(300)], 3600, 60)
    assert portal.count("LIST") <= 3600 * 1.1
    assert portal.count("GET") * 200_000 <= 3600 * recall.RATE + 300 * 200_000


def test_the_end_of_a_request_is_seen_at_once(clock):
    portal = Portal(held("a"), text=b" " * 20_000_000)
    portal.details = [item("started")]
    tape = Recall(portal)
    poll_for(tape, clock, ["cms-1"], 60, 5)
    assert portal.count("GET") == 1
    portal.files, portal.details = (held("a", online=True),), [item("completed")]
    clock.wait(recall.LEAST)
    assert tape.stagings("record/cms-1", ["cms-1/a"])["cms-1/a"].done and portal.count("GET") == 2


def test_files_that_come_one_by_one_are_seen(clock):
    portal = Portal(held("a"))
    portal.details = [item("started")]
    tape = Recall(portal)
    assert tape.stagings("record/cms-1", ["cms-1/a"])["cms-1/a"].is_waiting()
    portal.files = (held("a", online=True), held("b"))
    clock.wait(recall.LEAST)
    found = tape.stagings("record/cms-1", ["cms-1/a", "cms-1/b"])
    assert found["cms-1/a"].done and found["cms-1/b"].is_waiting()


def test_what_is_never_brought_is_asked_for_less_and_less_often(clock):
    """A portal that completes each request at once and brings nothing."""
    portal, tape, times = Portal(held("a")), None, []
    tape = Recall(portal)
    while clock() < 12 * 3600:
        tape.stage(["cms-1/a"], 7)
        times.append(clock())
        when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(NOW + clock()))
        portal.details[0].update(status="completed", completed_at=when, created_at=when)
        while tape.stagings("record/cms-1", ["cms-1/a"])["cms-1/a"].is_waiting():
            clock.wait(60)
    pauses = [after - before for before, after in zip(times, times[1:])]
    assert portal.count("POST") == len(times)
    assert pauses[0] == pytest.approx(AGAIN, abs=60) and pauses[1] == pytest.approx(2 * AGAIN, abs=60)
    assert max(pauses) == pytest.approx(MOST, abs=60) and len(times) < 9


@pytest.mark.slow
def test_runs_of_one_user_ask_one_after_the_other(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    portal = Portal(held("a"))
    ask = portal.ask

    def slow(method: str, *more: Any, **others: Any) -> Any:
        found = ask(method, *more, **others)
        time.sleep(0.05)
        return found

    portal.ask = slow  # type: ignore[method-assign]
    runs = [threading.Thread(target=Recall(portal).stage, args=(["cms-1/a"], 7)) for _ in range(4)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert portal.count("POST") == 1


def test_a_home_that_cannot_be_locked_keeps_nobody_waiting(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "missing"))
    portal = Portal(held("a"))
    Recall(portal).stage(["cms-1/a"], 7)
    assert portal.count("POST") == 1


def test_a_run_that_holds_the_home_for_long_is_not_waited_for(tmp_path, monkeypatch):
    import fcntl
    import os

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(recall, "PATIENCE", 0.1)
    other = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    try:
        portal = Portal(held("a"))
        Recall(portal).stage(["cms-1/a"], 7)
    finally:
        os.close(other)
    assert portal.count("POST") == 1
