"""A copy as a worker makes it: what it is to do comes as plain values, and what came of it goes back so."""

from __future__ import annotations

import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from gridsync_parts.copy import Copy, copy
from gridsync_parts.disk import MARK
from gridsync_parts.errors import DoorError, FileError, Forbidden, Mismatch, OnTape
from gridsync_parts.pool import Stop
from gridsync_parts.values import Locality, Outcome
from tests.support.memory import Memory, break_off

DATA = bytes(range(256)) * 40
ERRORS = [
    DoorError("run/a: busy", passing=True, pause=3), FileError("run/a: odd"), Forbidden("run/a: no"),
    OnTape("run/a: is on tape"), Mismatch("run/a: differs", passing=True),
]  # fmt: skip


def job_of(site: Memory, folder: Path, **more: object) -> Copy:
    folder.mkdir(exist_ok=True)
    return Copy(site.row("run/a"), str(folder))._replace(**more)


def copied(job: Copy) -> tuple[Outcome, list[tuple[int, int]]]:
    """What a worker does, at its own site in memory."""
    site, told = Memory({"run/a": DATA}), []
    return copy(job, site.place, lambda *seen: told.append(seen), Stop()), told


@pytest.mark.slow
def test_another_process_copies_what_it_is_told_in_plain_values(tmp_path):
    job = job_of(Memory({"run/a": DATA}), tmp_path / "data")
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as workers:
        outcome, told = workers.submit(copied, job).result(timeout=60)
    assert (tmp_path / "data/run/a").read_bytes() == DATA and not list(tmp_path.rglob(f"*{MARK}"))
    assert outcome == Outcome(job.row._replace(downloaded=True, verified="adler32"), "copied")
    assert told == [(count, count) for count in (*range(1000, 10_001, 1000), len(DATA))]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_why_it_did_not_come_crosses_too(tmp_path, error):
    site = Memory({"run/a": DATA})
    site.order("read", "run/a", error)
    outcome = copy(job_of(site, tmp_path / "data"), site.place, lambda here, came: None, Stop())
    back = pickle.loads(pickle.dumps(outcome))
    assert back._replace(fault=None) == outcome._replace(fault=None)
    assert (type(back.fault), str(back.fault), back.fault.__dict__) == (type(error), str(error), error.__dict__)


def test_a_copy_is_one_attempt_and_the_next_goes_on(tmp_path):
    site = Memory({"run/a": DATA})
    site.order("read", "run/a", break_off(3500))
    told: list[tuple[int, int]] = []
    for done in ("failed", "copied"):
        assert copy(job_of(site, tmp_path), site.place, lambda *seen: told.append(seen), Stop()).done == done
    assert [asked[1] for asked in site.calls("read")] == [0, 3500]
    assert told[3:5] == [(3500, 3500), (4500, 1000)]
    assert (tmp_path / "run/a").read_bytes() == DATA


def test_what_is_here_already_is_compared_and_not_replaced_unless_so_wished(tmp_path):
    site = Memory({"run/a": DATA})
    (tmp_path / "run").mkdir()
    (tmp_path / "run/a").write_bytes(b"mine")
    for job, done in (
        (job_of(site, tmp_path, is_here=True), "failed"),
        (job_of(site, tmp_path), "failed"),
        (job_of(site, tmp_path, overwrite=True), "copied"),
        (job_of(site, tmp_path, is_here=True), "skipped"),
    ):
        assert (tmp_path / "run/a").read_bytes() == (b"mine" if done == "failed" else DATA) or done == "copied"
        assert copy(job, site.place, lambda here, came: None, Stop()).done == done
    assert (tmp_path / "run/a").read_bytes() == DATA


def test_a_file_that_left_the_disk_waits(tmp_path):
    site = Memory({"run/a": DATA})
    site.order("read", "run/a", OnTape("run/a: is on tape"))
    outcome = copy(job_of(site, tmp_path), site.place, lambda here, came: None, Stop())
    assert (outcome.done, outcome.row.locality) == ("waiting", Locality.NEARLINE)


def test_who_is_told_to_stop_leaves_what_has_come(tmp_path):
    site, stop = Memory({"run/a": DATA}), Stop()
    outcome = copy(job_of(site, tmp_path), site.place, lambda here, came: stop.set() if here >= 3000 else None, stop)
    assert (outcome.done, outcome.row) == ("interrupted", site.row("run/a"))
    assert (tmp_path / f"run/a{MARK}").read_bytes() == DATA[:3000] and not stop.bodies


def test_what_is_not_said_of_a_copy_is_what_is_usual(tmp_path):
    row = Memory({"run/a": DATA}).row("run/a")
    usual = {"streams": 1, "checked": True, "overwrite": False, "has_ranges": True, "is_here": False, "has_twin": False}
    known = {"is_far": False, "is_lost": False}
    assert Copy(row, "/d")._asdict() == {"row": row, "folder": "/d", **usual, **known}
