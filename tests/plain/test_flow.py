"""What a flow counts and ends, with threads that do what a test wants."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gridsync_parts.bringing import Bringing
from gridsync_parts.catalog import Catalog
from gridsync_parts.disk import Target
from gridsync_parts.doors import Listing
from gridsync_parts.errors import CredentialError, DiskError, DoorError, FileError
from gridsync_parts.fetching import Work
from gridsync_parts.flow import START, Flow
from gridsync_parts.jobs import Where
from gridsync_parts.log import nothing
from gridsync_parts.loop import Again, Answer, Came, Event, Loop
from gridsync_parts.orders import Order, What
from gridsync_parts.pace import PACE, Tries
from gridsync_parts.pool import Pool, Stop
from gridsync_parts.screen import Progress
from gridsync_parts.table import Site
from gridsync_parts.values import Action, Locality, Outcome, Row, Scope, Wishes
from tests.support.constants import replace
from tests.support.user import wait_until

SITE = Site("LYON", "https://door", token="env:NONE")
ROW = Row("", 1000, 0, "", Locality.ONLINE, False, "", "", "LYON", "")
SOON = 5  # seconds after which what should happen at once never will


class Worker:
    """Brings some bytes of each file, then waits until it is to stop."""

    def __init__(self) -> None:
        self.stop = Stop()
        self.flying: dict[str, int] = {}
        self.received: dict[str, int] = {}
        self.strange: set[str] = set()
        self.begun = threading.Event()

    def bring(self, work: Work) -> Outcome | Again:
        path = work.row.path
        self.received[path] = 300
        if path == "paused":
            return Again(work.row, Tries(0.0, 1), 3600, FileError("odd", passing=True))
        self.begun.set()
        if path == "hangs":
            time.sleep(SOON)
        self.stop.wait(SOON)
        return Outcome(work.row, "interrupted", self.received.pop(path))


def flow_of(folder: Path, *names: str) -> tuple[Flow, Worker]:
    """A flow that has given some files to threads."""
    live = SimpleNamespace(show=nothing, close=nothing, is_seen=lambda: True)
    run: Any = SimpleNamespace(
        loop=Loop(0, PACE, Pool()), settings=SimpleNamespace(retries=0, site=SITE), wishes=Wishes(), opened=None,
        stats=None, target=lambda: Target(str(folder)), scope=Scope("LYON", "", (), ()),
        report=SimpleNamespace(error=nothing, note=nothing, say=nothing, tell_landed=nothing),
    )  # fmt: skip
    catalog = Catalog(str(folder), is_frozen=True)
    run.catalog = lambda: catalog
    flow, worker, now = Flow(run, START), Worker(), run.loop.clock()
    plan: dict[Action, list[Row]] = {action: [] for action in Action}
    plan[Action.COPY] = [ROW._replace(path=name) for name in names]
    flow.fetch.plan(plan, now)
    run.loop.pool.open("files", worker.bring, 2)
    progress = Progress(live, flow.tally, worker)
    flow.bringing = Bringing(flow.fetch, worker, run.loop.pool.lanes["files"], 2, progress)
    flow.bringing.feed(now)
    return flow, worker


def test_what_has_come_of_files_that_are_broken_off_counts(tmp_path):
    """Of those on their way, and of those between two attempts."""
    flow, worker = flow_of(tmp_path, "flying", "paused")
    assert worker.begun.wait(SOON)
    while not flow.fetch.jobs.count(Where.PAUSED):
        for event in flow.run.loop.round():
            flow.take(event, flow.run.loop.clock())
    flow.break_off(KeyboardInterrupt())
    assert flow.tally.received == 600 and flow.count().failed == 0


def test_one_that_hangs_holds_no_run_and_what_it_got_counts(tmp_path, monkeypatch):
    replace(monkeypatch, "FAREWELL", 0.02)
    flow, worker = flow_of(tmp_path, "hangs")
    assert worker.begun.wait(SOON)
    began = time.monotonic()
    flow.break_off(KeyboardInterrupt())
    assert time.monotonic() - began < 0.5 and flow.tally.received == 300


@pytest.mark.parametrize("error", [KeyboardInterrupt(), FileError("no")])
def test_threads_are_told_to_stop_when_a_run_is_broken_off_and_not_else(tmp_path, error):
    flow, worker = flow_of(tmp_path)
    threads = flow.run.loop.pool.lanes["files"].threads
    flow.break_off(error)
    assert worker.stop.is_set()
    wait_until(lambda: not any(thread.is_alive() for thread in threads))
    flow, worker = flow_of(tmp_path)
    flow.close()
    assert not worker.stop.is_set() and "files" not in flow.run.loop.pool.lanes


@pytest.mark.parametrize("error", [CredentialError("expired"), DoorError("down"), FileError("odd")])
def test_what_came_together_with_what_ends_a_run_counts(tmp_path, monkeypatch, error):
    flow, _ = flow_of(tmp_path, "a", "b")
    flow.bringing.lane.end()
    flow.asked = Order(What.LOOK, [])
    copied = Outcome(ROW._replace(path="a", downloaded=True, verified="size"), "copied", 1000)
    events: list[Event] = [Answer(flow.asked, error=error), Came("files", [copied])]
    monkeypatch.setattr(flow.run.loop, "round", lambda: events)
    with pytest.raises(type(error)) as caught:
        flow.go()
    assert caught.value is error
    assert (flow.tally.copied, flow.tally.received) == (1, 1000) and flow.run.catalog().row(copied.row).downloaded


def test_so_does_what_came_together_with_a_failure_of_a_thread(monkeypatch):
    """The disk is full for one file; others are here."""
    loop, go = Loop(0, PACE, Pool()), threading.Event()

    def work(name: str) -> str:
        assert go.wait(SOON)
        if name == "bad":
            raise DiskError("full")
        return name

    lane = loop.pool.open("files", work, 1)
    for name in ("good", "bad", "other"):
        loop.pool.add("files", name)
    collect = loop.pool.collect

    def collect_all(seconds: float) -> Any:
        go.set()
        wait_until(lambda: lane.done.qsize() == lane.pending)
        return collect(seconds)

    monkeypatch.setattr(loop.pool, "collect", collect_all)
    assert loop.round() == [Came("files", ["good", "other"])]
    with pytest.raises(DiskError):
        loop.round()
    loop.pool.close()


def test_nothing_is_waited_for_when_nothing_is_left(tmp_path):
    """The list that has just been applied was all that there was to do."""
    flow, _ = flow_of(tmp_path)
    flow.close()
    flow.bringing, flow.run.loop.pace = None, PACE._replace(tick=SOON)
    flow.run.report.follow = lambda: SimpleNamespace(show=nothing, close=nothing, is_seen=lambda: True)
    flow.run.place = lambda: SimpleNamespace(lister=SimpleNamespace(folder=lambda _folder: Listing()))
    flow.run.folders = lambda: SimpleNamespace(remember=nothing)
    began = time.monotonic()
    flow.walk()
    assert time.monotonic() - began < SOON / 2
