"""One file, from its first byte until it is verified, from a site in memory."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import math
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from gridsync_parts.catalog import Catalog
from gridsync_parts.copier import Copier
from gridsync_parts.copy import Arrived
from gridsync_parts.disk import MARK
from gridsync_parts.errors import (
    BadName,
    CredentialError,
    DiskError,
    DoorError,
    FileError,
    Forbidden,
    Mismatch,
    NotFound,
    OnTape,
    PoolError,
    Unreached,
)
from gridsync_parts.fetching import Work
from gridsync_parts.home import rename_new
from gridsync_parts.loop import Again
from gridsync_parts.pace import PACE, WORTH, Tries
from gridsync_parts.pool import Stop
from gridsync_parts.table import Settings, Site
from gridsync_parts.values import Locality, Outcome, Row, Wishes
from tests.support.constants import replace
from tests.support.memory import Memory, adler32, break_off, call_after, fall_silent, go_on
from tests.support.parts import list_open, open_files

DATA = bytes(range(256)) * 40  # 10,240 bytes, in eleven pieces
OTHER = DATA[::-1]
SITE = Site("LYON", "memory:", "", "http", "none", "", "", "", 30, 10)
SEGMENT = 4096  # of several streams, here


class Moments(Stop):
    """What a thread waits for in vain passes at once, and is written down."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds.append(timeout or 0)
        return self.is_set()


class Fetch:
    """A run that copies from a site, and what there is here afterwards."""

    def __init__(self, folder: Path, site: Memory, retries: int = 0, streams: int = 1, **wishes: bool):
        self.folder = folder / "data"
        self.folder.mkdir(exist_ok=True)
        self.site = site
        self.retries = retries
        self.stop = Moments()
        self.pauses: list[float] = []  # between two attempts, which pass at once
        settings = Settings(SITE, output_dir=str(self.folder), threads=1, streams=streams, vo="", retries=retries)
        self.copier = Copier(site.place, settings, Wishes(**wishes), Catalog(str(folder)), self.stop)

    def bring(self, row: Row, is_here: bool = False, fresh: bool = True) -> Outcome | Arrived:
        """Copy a file, without its name, as often as it takes."""
        work = Work(row, is_here, time.monotonic() + (60 if fresh else -1), Tries(time.monotonic()), self.retries, PACE)
        while isinstance(item := self.copier.bring(work), Again):
            self.pauses.append(item.pause)
            work = work._replace(tries=item.tries)
        return item

    def __call__(self, row: Row | str, is_here: bool = False, fresh: bool = True) -> Outcome:
        """Copy a file, up to its name."""
        row = self.site.row(row) if isinstance(row, str) else row
        (outcome,) = self.copier.settle([self.bring(row, is_here, fresh)])
        return outcome

    def files(self) -> dict[str, bytes]:
        """What there is here."""
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in self.folder.rglob("*")
                if path.is_file()}  # fmt: skip

    def reads(self) -> list[tuple[int, int]]:
        """The ranges that the site was asked for."""
        return [(start, stop) for _, start, stop in self.site.calls("read")]


@pytest.fixture
def site():
    site = Memory({"run/a": DATA})
    yield site
    assert site.open == 0


@pytest.fixture
def fetch(tmp_path, site):
    """Run after run, in the same folder."""

    def make(retries: int = 0, streams: int = 1, **wishes: bool) -> Fetch:
        return Fetch(tmp_path, site, retries, streams, **wishes)

    return make


def raise_it(error: Exception) -> None:
    """For expressions."""
    raise error


@pytest.fixture
def short(monkeypatch):
    """Files that come in several streams though they are short."""
    replace(monkeypatch, "SHORTEST", SEGMENT)
    replace(monkeypatch, "NOTE", SEGMENT // 2)


def check_copied(run: Fetch, outcome: Outcome, data: bytes = DATA, verified: str = "adler32") -> None:
    """A file is here, whole and alone."""
    assert outcome.fault is None and outcome.row.error == ""
    assert (outcome.done, outcome.row.downloaded, outcome.row.verified) == ("copied", True, verified)
    assert run.files() == {"run/a": data}
    assert int((run.folder / "run/a").stat().st_mtime) == outcome.row.mtime


def test_a_file_comes_with_its_time_and_is_verified(fetch, site):
    run = fetch()
    outcome = run("run/a")
    check_copied(run, outcome)
    assert outcome.row == site.row("run/a")._replace(downloaded=True, verified="adler32")
    assert outcome.received == len(DATA) and run.reads() == [(0, len(DATA))]


def test_an_old_error_and_an_old_name_of_it_are_forgotten(fetch, site):
    run = fetch()
    outcome = run(site.row("run/a")._replace(error="failed", request="r1"))
    assert (outcome.row.error, outcome.row.request) == ("", "r1")


def test_an_empty_file_is_made_without_asking(fetch, site):
    site.put("run/a", b"")
    run = fetch()
    outcome = run("run/a")
    check_copied(run, outcome, b"", "size")
    assert site.asked == [] and outcome.received == 0


# Its checksum.

MD5 = f"md5:{hashlib.md5(DATA).hexdigest()}"


@pytest.mark.parametrize(
    ("listed", "knows", "sends", "unwanted", "verified", "kept", "asks"),
    [
        (adler32(DATA), True, True, False, "adler32", adler32(DATA), 0),
        (MD5, True, True, False, "md5", MD5, 0),
        ("", True, True, False, "adler32", adler32(DATA), 0),  # it comes along
        ("", True, False, False, "adler32", adler32(DATA), 1),
        ("", False, False, False, "size", "", 1),  # there is none
        (adler32(DATA), True, True, True, "size", adler32(DATA), 0),
        ("", True, True, True, "size", "", 0),
    ],
)
def test_what_a_file_is_verified_by(fetch, site, listed, knows, sends, unwanted, verified, kept, asks):
    site.knows_checksums, site.sends_checksums = knows, sends
    run = fetch(nochecksum=unwanted)
    outcome = run(site.row("run/a", listed))
    check_copied(run, outcome, verified=verified)
    assert outcome.row.checksum == kept and len(site.calls("checksum")) == asks


@pytest.mark.parametrize(
    ("knows", "unwanted", "computed"), [(False, False, adler32(DATA)), (False, True, ""), (True, False, "")]
)
@pytest.mark.parametrize("before", ["", adler32(OTHER)])
def test_where_the_door_names_none_the_checksum_of_what_came_is_kept_apart(
    fetch, site, knows, unwanted, computed, before
):
    site.knows_checksums = knows
    run = fetch(nochecksum=unwanted)
    outcome = run(site.row("run/a", "")._replace(computed=before))
    check_copied(run, outcome, verified="adler32" if knows else "size")
    assert (outcome.row.computed, outcome.row.checksum) == (computed, adler32(DATA) if knows else "")


def test_an_empty_file_has_no_checksum_of_what_came(fetch, site):
    site.knows_checksums = False
    site.put("run/a", b"")
    assert fetch()(site.row("run/a", "")).row.computed == ""


def test_it_is_of_all_that_has_come_in_one_run_or_another_and_in_any_order(fetch, site, short):
    site.knows_checksums, site.piece = False, 100
    site.order("read", "run/a", break_off(300), break_off(4000))
    first = fetch(streams=2)(site.row("run/a", ""))
    assert (first.done, first.row.computed) == ("failed", "")
    for streams in (1, 2):
        run = fetch(streams=streams)
        outcome = run(site.row("run/a", ""))
        check_copied(run, outcome, verified="size")
        assert outcome.row.computed == adler32(DATA)
        (run.folder / "run/a").unlink()


@pytest.mark.parametrize("streams", [1, 2])
@pytest.mark.parametrize("listed", [adler32(DATA), MD5, ""])
def test_a_checksum_grows_with_the_bytes_and_they_are_not_read_again(fetch, site, monkeypatch, short, listed, streams):
    read: list[int] = []

    def pread(fd: int, count: int, at: int, real=os.pread) -> bytes:
        read.append(len(data := real(fd, count, at)))
        return data

    monkeypatch.setattr(os, "pread", pread)
    site.knows_checksums = site.sends_checksums = bool(listed)
    run = fetch(streams=streams)
    is_read = streams > 1 and listed == MD5  # which does not grow in pieces
    assert run(site.row("run/a", listed)).done == "copied" and sum(read) < 100 + is_read * len(DATA)


WRONG = [adler32(OTHER), MD5.replace("md5:", "md5:00")[: len(MD5)], "sha256:00"]


@pytest.mark.parametrize("listed", WRONG)
def test_bytes_with_another_checksum_are_not_kept(fetch, site, listed):
    run = fetch()
    outcome = run(site.row("run/a", listed))
    assert outcome.done == "failed" and isinstance(outcome.fault, Mismatch)
    assert f"run/a: the door says {listed}, but what arrived has " in outcome.row.error
    assert not outcome.row.downloaded and run.files() == {} and outcome.received == len(DATA)


def test_a_checksum_that_comes_along_counts_as_well(fetch, site):
    site.order("read", "run/a", lambda body: body._replace(checksum=adler32(OTHER)))
    run = fetch()
    assert isinstance(run(site.row("run/a", "")).fault, Mismatch) and run.files() == {}


def test_bytes_that_were_wrong_are_fetched_again(fetch, site):
    site.order("read", "run/a", lambda body: body._replace(chunks=iter([OTHER])))
    run = fetch(1)
    outcome = run("run/a")
    check_copied(run, outcome)
    assert run.reads() == [(0, len(DATA))] * 2 and outcome.received == 2 * len(DATA)


# Less or more than it should be, or another one.


@pytest.mark.parametrize("error", [None, FileError("cut", passing=True), DoorError("cut", passing=True)])
def test_what_broke_off_goes_on_where_it_was(fetch, site, error):
    site.order("read", "run/a", break_off(3500, error))
    run = fetch(1)
    outcome = run("run/a")
    check_copied(run, outcome)
    assert run.reads() == [(0, len(DATA)), (3500, len(DATA))] and outcome.received == len(DATA)


def test_another_run_goes_on_where_one_has_ended(fetch, site):
    site.order("read", "run/a", break_off(3500))
    first = fetch()
    outcome = first("run/a")
    assert (outcome.done, outcome.received) == ("failed", 3500)
    assert outcome.row.error == "run/a: 3500 of 10240 bytes arrived"
    assert first.files() == {f"run/a{MARK}": DATA[:3500]}
    site.asked.clear()
    second = fetch()
    outcome = second("run/a")
    check_copied(second, outcome)
    assert second.reads() == [(3500, len(DATA))] and outcome.received == len(DATA) - 3500


def test_what_was_left_of_another_version_is_not_gone_on_from(fetch, site):
    site.knows_checksums = False
    site.order("read", "run/a", break_off(3500))
    fetch()(site.row("run/a", ""))
    site.put("run/a", OTHER)  # as large and as old
    run = fetch(1)
    check_copied(run, run(site.row("run/a", "")), OTHER, "size")
    assert run.reads()[-1] == (0, len(DATA))


@pytest.mark.parametrize("knows", [True, False])
def test_bytes_of_two_versions_are_never_one_file(fetch, site, knows):
    site.knows_checksums = knows
    site.order("read", "run/a", lambda body: break_off(3500)(call_after(3000, change)(body)))

    def change() -> None:
        site.put("run/a", OTHER)

    run = fetch(3)
    outcome = run(site.row("run/a", ""))
    check_copied(run, outcome, OTHER, "adler32" if knows else "size")


def test_a_file_of_another_size_is_a_matter_of_the_list(fetch, site):
    row = site.row("run/a")
    site.put("run/a", DATA[1:])
    run = fetch(3)
    outcome = run(row)
    assert outcome.row.error == "run/a: has 10239 bytes now, but 10240 in the catalog; run --build_list again"
    assert len(run.reads()) == 1 and run.files() == {}


def test_what_comes_beyond_its_end_is_not_taken(fetch, site):
    site.order("read", "run/a", go_on(b"more"))
    run = fetch()
    check_copied(run, run("run/a"))


def test_nor_is_anything_waited_for_there(fetch, site):
    site.order("read", "run/a", break_off(len(DATA), AssertionError("it was asked for more")))
    run = fetch()
    check_copied(run, run("run/a"))


def test_nor_what_comes_beyond_the_end_in_one_piece(fetch, site):
    site.order("read", "run/a", lambda body: body._replace(chunks=iter([DATA[:3000], DATA[3000:] + b"more"])))
    run = fetch()
    outcome = run("run/a")
    check_copied(run, outcome)
    assert outcome.received == len(DATA)


def test_a_door_without_ranges_sends_all_of_it_again(fetch, site):
    site.has_ranges = False
    site.order("read", "run/a", break_off(3500))
    run = fetch(2)
    outcome = run("run/a")
    check_copied(run, outcome)
    assert run.reads() == [(0, len(DATA)), (3500, len(DATA)), (0, len(DATA))]


def test_and_from_then_on_is_not_asked_for_ranges(fetch, site):
    site.has_ranges = False
    site.order("read", "run/a", break_off(3500), lambda body: body, break_off(3500))
    run = fetch(3)
    check_copied(run, run("run/a"))
    assert [start for start, _ in run.reads()] == [0, 3500, 0, 0]


# Several streams.


def test_segments_come_at_once(fetch, site, short):
    together = threading.Barrier(2, timeout=5)
    site.order("read", "run/a", *[lambda body: call_after(1000, together.wait)(body)] * 2)
    run = fetch(streams=2)
    outcome = run("run/a")
    check_copied(run, outcome)
    assert sorted(run.reads()) == [(0, 5120), (5120, 10240)] and outcome.received == len(DATA)
    assert not together.broken


@pytest.mark.parametrize(("streams", "count"), [(1, 1), (2, 2), (9, 2)])
def test_no_segment_is_shorter_than_is_worth_it(fetch, short, streams, count):
    run = fetch(streams=streams)
    check_copied(run, run("run/a"))
    assert len(run.reads()) == count


@pytest.mark.parametrize("failing", [0, 1])
def test_the_others_go_on_from_where_they_were_when_one_fails(fetch, site, short, failing):
    site.piece = 100
    faults = [lambda body: body, lambda body: body]
    faults[failing] = break_off(300, FileError("cut", passing=True))
    site.order("read", "run/a", *faults)
    run = fetch(3, 2)
    outcome = run("run/a")
    check_copied(run, outcome)
    assert outcome.received == len(DATA)
    again = run.reads()[2:]
    assert 0 < len(again) <= 2 and all(start not in (0, 5120) for start, _ in again)


def test_segments_of_two_versions_are_never_one_file(fetch, site, short):
    versions = iter([DATA, OTHER])

    def other(body: Any) -> Any:
        data = next(versions)
        start = body.start
        return body._replace(chunks=iter([data[start : start + 5120]]), tag=f'"{adler32(data)}"', checksum="")

    site.knows_checksums = False
    site.order("read", "run/a", other, other)
    run = fetch(1, 2)
    check_copied(run, run(site.row("run/a", "")), DATA, "size")
    assert len(run.reads()) == 4  # both once more


def test_a_door_without_ranges_has_one_stream(fetch, site, short):
    site.has_ranges = False
    run = fetch(1, 2)
    check_copied(run, run("run/a"))
    assert run.reads()[-1] == (0, len(DATA)) and len(run.reads()) == 3


def test_a_machine_without_another_thread_fetches_one_after_the_other(fetch, site, short, monkeypatch):
    monkeypatch.setattr(threading.Thread, "start", lambda thread: raise_it(RuntimeError("no more threads")))
    site.order("read", "run/a", lambda body: body, break_off(300))
    run = fetch(1, 2)
    check_copied(run, run("run/a"))
    assert run.reads() == [(0, 5120), (5120, 10240), (5420, 10240)]  # what is whole is not asked for again


def test_when_one_fails_the_others_end_with_what_they_have_just_got(fetch, site, short, monkeypatch):
    monkeypatch.setattr(threading.Thread, "start", lambda thread: raise_it(RuntimeError("no more threads")))
    site.order("read", "run/a", break_off(300))
    run = fetch(streams=2)
    outcome = run("run/a")
    assert (outcome.done, outcome.received) == ("failed", 300 + site.piece)


def test_failures_that_are_kept_hold_no_folders_open(fetch, site, tmp_path):
    run = fetch()
    kept = []
    for number in range(20):
        path = f"run/{number}/a"
        site.put(path, DATA)
        site.order("read", path, break_off(300))
        kept.append(run(path))
    run.copier.home.held.clear()  # what is held for the next file
    assert {outcome.done for outcome in kept} == {"failed"} and list_open(tmp_path) == [str(run.folder)]


# What goes wrong at the door.


@pytest.mark.parametrize(
    ("error", "done", "locality"),
    [
        (FileError("odd"), "failed", Locality.ONLINE),
        (Forbidden("no"), "failed", Locality.ONLINE),
        (DoorError("down", passing=True), "failed", Locality.ONLINE),
        (Unreached("down"), "failed", Locality.ONLINE),
        (OnTape("run/a: is on tape"), "waiting", Locality.NEARLINE),
        (PoolError("restarts", passing=True), "late", Locality.ONLINE),
        (PoolError("lost it"), "failed", Locality.ONLINE),
    ],
)
def test_what_becomes_of_a_file_that_does_not_come(fetch, site, error, done, locality):
    site.order("read", "run/a", *[error] * 3)
    run = fetch()
    outcome = run("run/a")
    assert (outcome.done, outcome.row.locality, outcome.fault) == (done, locality, error)
    assert outcome.row.error == ("" if done == "waiting" else f"run/a: {error}") and run.files() == {}


@pytest.mark.parametrize("error", [CredentialError("expired"), DiskError("full"), MemoryError(), KeyboardInterrupt()])
def test_what_concerns_all_files_ends_the_run(fetch, site, error):
    site.order("read", "run/a", break_off(3000, error))
    run = fetch()
    with pytest.raises(type(error)):
        run("run/a")
    assert run.copier.flying == run.copier.received == {}


def test_a_name_that_the_door_can_not_serve_is_a_matter_for_the_site(fetch, site):
    site.put("run/ä", b"x")
    site.order("read", "run/ä", *[NotFound("no")] * 2)
    assert isinstance(fetch()("run/ä").fault, BadName)


def test_a_file_that_is_missing_for_a_moment_is_asked_for_twice(fetch, site):
    site.order("read", "run/a", NotFound("no"))
    run = fetch()
    check_copied(run, run("run/a"))
    assert run.stop.seconds == [1] and not run.pauses
    site.order("read", "run/a", NotFound("no"), NotFound("no"))
    assert isinstance(fetch(overwrite=True)("run/a").fault, NotFound)


@pytest.mark.parametrize(("locality", "tries"), [(Locality.NEARLINE, 6), (Locality.ONLINE, 3)])
def test_a_file_on_tape_is_asked_for_until_it_has_been_read(fetch, site, monkeypatch, locality, tries):
    replace(monkeypatch, "TAPE_RETRIES", 5)
    site.order("read", "run/a", *[DoorError("not yet", passing=True)] * (tries - 1))
    site.files["run/a"].locality = locality
    run = fetch(2)
    check_copied(run, run("run/a"))
    assert len(run.reads()) == tries
    site.order("read", "run/a", *[DoorError("not yet", passing=True)] * tries)
    assert fetch(2, overwrite=True)("run/a").done == "failed"


def test_one_on_tape_that_is_still_there_is_a_failure_and_no_news(fetch, site):
    site.files["run/a"].locality = Locality.NEARLINE
    site.order("read", "run/a", OnTape("run/a: is on tape"))
    assert fetch()("run/a").done == "failed"


# When there is another attempt.


@pytest.mark.parametrize(
    ("error", "retries", "is_again"),
    [
        (FileError("odd", passing=True), 1, True),
        (FileError("odd", passing=True), 0, False),
        (FileError("odd"), 9, False),
        (Mismatch("differs", passing=True), 1, True),
        (PoolError("restarts", passing=True), 9, True),
        (OnTape("run/a: is on tape"), 9, False),
        (DiskError("full"), 9, False),
        (ValueError("ours"), 9, False),
        (MemoryError(), 9, False),
    ],
)
def test_what_may_pass_is_for_another_attempt_and_the_thread_waits_for_none(fetch, site, error, retries, is_again):
    site.order("read", "run/a", break_off(3000, error))
    run = fetch()
    work = Work(site.row("run/a"), False, math.inf, Tries(time.monotonic()), retries, PACE)
    if not is_again:
        with pytest.raises(type(error)) if isinstance(error, (DiskError, MemoryError)) else contextlib.nullcontext():
            assert str(run.copier.bring(work).fault) == str(error)
        assert run.copier.flying == run.copier.received == {}
        return
    again = run.copier.bring(work)
    assert again == Again(work.row, Tries(work.tries.began, 1, 0), 0, error) and error.__traceback__ is None
    assert run.copier.flying == run.copier.received == {"run/a": 3000}  # as the next one goes on from there


def test_while_as_many_wait_for_another_attempt_as_may_come_none_begins(fetch, site):
    run = fetch()
    for name in "abc":
        site.put(f"run/{name}", DATA)
    works = [Work(site.row(f"run/{name}"), False, math.inf, Tries(time.monotonic()), 1, PACE, 2) for name in "abc"]
    for work in works[:2]:
        site.order("read", work.row.path, break_off(0, FileError("odd", passing=True)))
    begun = [run.copier.bring(work) for work in works]
    assert [type(item) for item in begun[:2]] == [Again, Again] and begun[2] == Outcome(works[2].row, "held")
    assert len(run.reads()) == 2
    assert isinstance(run.copier.bring(works[0]._replace(tries=begun[0].tries)), Arrived)
    assert isinstance(run.copier.bring(works[2]), Arrived)


def test_pauses_grow_from_attempt_to_attempt(fetch, site, monkeypatch):
    monkeypatch.setattr("random.uniform", max)
    site.order("read", "run/a", *[FileError("odd", passing=True)] * 3, DoorError("busy", passing=True, pause=60))
    run = fetch(4)
    check_copied(run, run("run/a"))
    assert run.pauses == [0, 2, 4, 60] and run.stop.seconds == []


def test_a_file_that_fails_too_often_is_given_up(fetch, site):
    site.order("read", "run/a", *[FileError("odd", passing=True)] * 3)
    run = fetch(2)
    assert run("run/a").done == "failed" and len(run.reads()) == 3 and len(run.pauses) == 2


@pytest.mark.parametrize(("step", "reads"), [(WORTH, 10), (WORTH - 1000, 3), (1000, 2)])
def test_failures_do_not_count_while_enough_comes(fetch, site, step, reads):
    site.put("run/a", bytes(9 * WORTH + 500))
    site.order("read", "run/a", *[break_off(step)] * 9)
    run = fetch(1)
    assert run("run/a").done == ("copied" if reads == 10 else "failed")
    assert len(run.reads()) == reads


def test_what_was_here_before_is_no_progress_a_second_time(fetch, site):
    site.put("run/a", bytes(3 * WORTH))
    site.order("read", "run/a", break_off(2 * WORTH), *[break_off(0)] * 9)
    run = fetch(1)
    assert run("run/a").done == "failed"
    assert [start for start, _ in run.reads()] == [0, 2 * WORTH]


def test_once_told_to_stop_there_is_no_other_attempt(fetch, site):
    run = fetch(9)

    def stop(body: Any) -> None:
        body.close()
        run.stop.set()
        raise FileError("odd", passing=True)

    site.order("read", "run/a", stop)
    assert run("run/a").done == "interrupted" and len(run.reads()) == 1


# When it is time to stop.


def test_what_may_be_on_tape_again_is_not_begun(fetch, site):
    run = fetch()
    assert run("run/a", fresh=False).done == "stale" and site.asked == [] and run.files() == {}


def test_nor_is_another_attempt_and_what_has_come_counts(fetch, site):
    site.order("read", "run/a", break_off(3000))
    run = fetch(1)
    work = Work(site.row("run/a"), False, math.inf, Tries(time.monotonic()), 1, PACE)
    again = run.copier.bring(work)
    outcome = run.copier.bring(work._replace(tries=again.tries, until=-math.inf))
    assert (outcome.done, outcome.received) == ("stale", 3000) and len(run.reads()) == 1
    assert run.copier.flying == run.copier.received == {}


def test_it_stops_in_mid_file_and_goes_on_next_time(fetch, site):
    run = fetch(3)
    site.order("read", "run/a", call_after(3000, run.stop.set))
    outcome = run("run/a")
    assert (outcome.done, outcome.row, outcome.received) == ("interrupted", site.row("run/a"), 4000)
    assert run.files() == {f"run/a{MARK}": DATA[:4000]} and len(run.reads()) == 1
    again = fetch()
    check_copied(again, again("run/a"))
    assert again.reads()[-1] == (4000, len(DATA))


def test_who_waits_for_bytes_is_woken(fetch, site):
    run, is_silent = fetch(3), threading.Event()
    site.order("read", "run/a", fall_silent(2000, is_silent))

    def stop() -> None:
        assert is_silent.wait(5)
        run.stop.set()

    threading.Thread(target=stop, daemon=True).start()
    assert run("run/a").done == "interrupted"


def test_how_far_it_is_is_seen_meanwhile(fetch, site):
    run = fetch(1)
    seen: list[tuple[int, int]] = []

    def look() -> None:
        seen.append((run.copier.flying["run/a"], run.copier.received["run/a"]))

    first, second = lambda body: break_off(3000)(call_after(1000, look)(body)), call_after(4000, look)
    site.order("read", "run/a", first, second)
    check_copied(run, run("run/a"))
    assert seen == [(1000, 1000), (7000, 7000)]
    assert run.copier.flying == run.copier.received == {} and not run.stop.bodies


# What is here already.


def put_here(run: Fetch, data: bytes, mtime: int = 1000) -> Path:
    """A file that is here."""
    path = run.folder / "run/a"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    os.utime(path, (mtime, mtime))
    return path


def test_a_file_that_has_appeared_is_left_alone_unless_it_is_to_be_overwritten(fetch, site):
    run = fetch()
    put_here(run, OTHER)
    outcome = run("run/a")
    assert outcome.done == "failed" and outcome.row.error.endswith("is left alone; --overwrite replaces it")
    assert run.files() == {"run/a": OTHER, f"run/a{MARK}": DATA}
    again = fetch(overwrite=True)
    check_copied(again, again("run/a"))


@pytest.mark.parametrize(
    ("data", "mtime", "listed", "knows", "unwanted", "verified"),
    [
        (DATA, 5000, None, True, False, "adler32"),  # its time is of no matter
        (DATA, 5000, MD5, True, False, "md5"),
        (DATA, 5000, "", True, False, "adler32"),  # the door is asked
        (OTHER, 1000, None, True, False, ""),
        (OTHER, 1000, MD5, True, False, ""),
        (OTHER, 1000, "", True, False, ""),
        (DATA, 1000, "", False, False, "size"),  # nobody knows one: its time has to be right
        (DATA, 1002, "", False, False, "size"),
        (DATA, 998, "", False, False, "size"),  # as far as a disk knows it
        (DATA, 1003, "", False, False, ""),
        (DATA, 997, "", False, False, ""),
        (OTHER, 5000, None, True, True, "size"),  # nobody wants to know: it has to be no older
        (OTHER, 997, None, True, True, ""),
        (OTHER, 5000, "", True, True, "size"),  # so nobody is asked
        (b"", 5000, None, False, False, "size"),
        (b"", 5000, "", True, False, "size"),
    ],
)
def test_a_file_that_is_here_is_taken_for_the_sites_if_it_is(
    fetch, site, data, mtime, listed, knows, unwanted, verified
):
    site.knows_checksums = knows
    if not data:
        site.put("run/a", b"")
    run = fetch(nochecksum=unwanted)
    path = put_here(run, data, mtime)
    outcome = run(site.row("run/a", listed), is_here=True)
    assert site.calls("read") == [] and run.files() == {"run/a": data} and outcome.received == 0
    assert len(site.calls("checksum")) == (listed == "" and len(data) > 0 and not unwanted)
    if verified:
        assert (outcome.done, outcome.row.downloaded, outcome.row.verified) == ("skipped", True, verified)
        assert int(path.stat().st_mtime) == 1000
    else:
        assert outcome.done == "failed" and not outcome.row.downloaded
        assert outcome.row.error == "run/a: a different local file has this name; --overwrite replaces it"
        assert int(path.stat().st_mtime) == mtime


@pytest.mark.parametrize(
    ("data", "mtime", "computed", "unwanted", "is_same", "kept"),
    [
        (DATA, 5000, adler32(DATA), False, True, adler32(DATA)),  # its time is of no matter then
        (DATA, 1000, MD5, False, True, MD5),
        (OTHER, 1000, adler32(DATA), False, False, adler32(DATA)),
        (OTHER, 1000, "", False, True, ""),
        (OTHER, 1000, adler32(DATA), True, True, ""),  # nobody wants to know
    ],
)
def test_a_file_that_is_here_is_compared_with_what_once_came(
    fetch, site, data, mtime, computed, unwanted, is_same, kept
):
    site.knows_checksums = False
    run = fetch(nochecksum=unwanted)
    put_here(run, data, mtime)
    row = site.row("run/a", "")._replace(computed=computed)
    outcome = run(row, is_here=True)
    assert outcome.done == ("skipped" if is_same else "failed") and run.files() == {"run/a": data}
    assert (outcome.row.verified, outcome.row.checksum, outcome.row.computed) == ("size" if is_same else "", "", kept)


def test_the_doors_checksum_counts_before_that_of_what_once_came(fetch, site):
    run = fetch()
    put_here(run, DATA)
    outcome = run(site.row("run/a")._replace(computed=adler32(OTHER)), is_here=True)
    assert (outcome.done, outcome.row.verified, outcome.row.computed) == ("skipped", "adler32", "")


def test_only_reading_waits_for_the_tape(fetch, site):
    site.files["run/a"].locality = Locality.NEARLINE
    site.order("checksum", "run/a", *[DoorError("busy", passing=True)] * 9)
    run = fetch(2)
    put_here(run, DATA)
    assert run(site.row("run/a", ""), is_here=True).done == "failed"
    assert len(site.calls("checksum")) == 3


def test_how_far_it_is_compared_is_seen_meanwhile(fetch, site, monkeypatch):
    seen: list[int] = []

    def read(fd: int, count: int, at: int, real=os.pread) -> bytes:
        seen.append(run.copier.flying.get("run/a", 0))
        return real(fd, min(count, 4000), at)

    run = fetch()
    put_here(run, DATA)
    monkeypatch.setattr(os, "pread", read)
    assert run("run/a", is_here=True).done == "skipped"
    assert seen == [0, 4000, 8000] and run.copier.flying == {}


def test_a_file_that_was_copied_once_and_is_another_one_now_counts_as_none(fetch, site):
    run = fetch()
    put_here(run, OTHER)
    row = site.row("run/a")._replace(downloaded=True, verified="adler32")
    assert run(row, is_here=True).row[5:7] == (False, "")


def test_what_is_left_of_a_file_that_is_here_is_removed(fetch, site):
    run = fetch()
    put_here(run, DATA)
    (run.folder / f"run/a{MARK}").write_bytes(b"half")
    assert run("run/a", is_here=True).done == "skipped"
    assert run.files() == {"run/a": DATA}


@pytest.mark.parametrize("error", [DoorError("down"), FileError("odd")])
def test_a_door_that_can_not_tell_the_checksum_of_a_file_that_is_here(fetch, site, error):
    site.order("checksum", "run/a", lambda _: raise_it(error))
    run = fetch()
    put_here(run, DATA)
    assert run(site.row("run/a", ""), is_here=True).fault is error


# The disk.


@pytest.mark.parametrize(
    ("number", "ends"), [(errno.ENOSPC, True), (errno.EDQUOT, True), (errno.EIO, True), (errno.EFBIG, False)]
)
def test_a_disk_that_takes_no_more_ends_the_run_and_one_file_does_not(fetch, site, monkeypatch, number, ends):
    def fail(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    run = fetch()
    monkeypatch.setattr(os, "pwrite", fail)
    if ends:
        with pytest.raises(DiskError):
            run("run/a")
    else:
        assert "run/a cannot be used: " in run("run/a").row.error
    assert run.copier.flying == run.copier.received == {}


@pytest.mark.parametrize(
    ("path", "reason"),
    [("../a", "the name leads out of OUTPUTDIR"), (f"run/a{MARK}", "the name ends like"),
     ("Grid.conf", "the name is that of one of"), ("x" * 256, "the name is longer than 255 bytes")],
)  # fmt: skip
def test_no_name_leads_elsewhere_or_is_one_of_ours(fetch, site, path, reason):
    outcome = fetch()(site.row("run/a")._replace(path=path))
    assert outcome.done == "failed" and outcome.row.error.startswith(f"{path}: {reason}")
    assert site.calls("read") == []


@pytest.mark.parametrize("when", ["before", "meanwhile", "after"])
def test_an_outputdir_that_has_gone_ends_the_run(fetch, site, when):
    def go(body: Any = None) -> Any:
        run.folder.rename(run.folder.with_name("gone"))
        run.folder.mkdir()
        return body

    run = fetch()
    if when == "before":
        go()
    if when == "meanwhile":
        site.order("read", "run/a", lambda body: break_off(100)(go(body)))
    with pytest.raises(DiskError, match=r"the disk of .*data is gone"):
        work = run.bring(site.row("run/a"))
        assert when == "after"
        go()
        run.copier.settle([work])
    assert len(site.asked) == (when != "before")


@pytest.mark.parametrize(
    ("number", "ends"), [(errno.EIO, True), (errno.ENOMEM, True), (errno.EBADMSG, False), (errno.EACCES, False)]
)
def test_a_disk_that_gives_no_bytes_back_ends_the_run_and_one_file_does_not(fetch, site, monkeypatch, number, ends):
    def fail(*_: object) -> bytes:
        raise OSError(number, os.strerror(number))

    run = fetch()
    put_here(run, DATA)
    monkeypatch.setattr(os, "pread", fail)
    if ends:
        with pytest.raises(DiskError):
            run("run/a", is_here=True)
    else:
        assert "run/a cannot be used: " in run("run/a", is_here=True).row.error
    assert run.copier.flying == run.copier.received == {}


def test_what_another_run_is_copying_is_left_to_it(fetch, site):
    run = fetch()
    work = run.bring(site.row("run/a"))  # it has no name yet
    outcome = fetch()("run/a")
    assert outcome.done == "failed" and outcome.row.error.endswith("another run is copying it")
    run.copier.settle([work])
    assert run.files() == {"run/a": DATA}


def test_an_earlier_versions_part_of_which_nothing_is_known_is_named(fetch, site):
    run = fetch()
    put_here(run, DATA).rename(run.folder / "run/a.part")
    assert run("run/a").done == "copied"
    assert run.copier.home.strange == {str(run.folder / "run/a.part")}


def test_it_is_named_even_if_the_file_does_not_come(fetch, site):
    site.order("read", "run/a", Forbidden("no"))
    run = fetch()
    put_here(run, DATA).rename(run.folder / "run/a.part")
    assert run("run/a").done == "failed"
    assert run.copier.home.strange == {str(run.folder / "run/a.part")}


def test_unless_it_is_a_file_of_the_site(fetch, site):
    run = fetch()
    put_here(run, DATA).rename(run.folder / "run/a.part")
    run.copier.catalog.hold(site.row("run/a")._replace(path="run/a.part"))
    assert run("run/a").done == "copied" and not run.copier.home.strange


# Several files that get their names together.


def arrived(run: Fetch, *paths: str) -> list[Outcome | Arrived]:
    """Files that are here and have no names yet."""
    return [run.bring(run.site.row(path)) for path in paths]


def test_files_get_their_names_together_and_those_that_failed_are_passed_on(fetch, site):
    for path in ("run/b", "run/sub/c"):
        site.put(path, DATA)
    run = fetch()
    site.order("read", "run/b", FileError("odd"))
    work = arrived(run, "run/a", "run/b", "run/sub/c")
    assert not {"run/a", "run/sub/c"} & set(run.files())
    found = {outcome.row.path: outcome.done for outcome in run.copier.settle(work)}
    assert found == {"run/a": "copied", "run/b": "failed", "run/sub/c": "copied"}
    assert run.files() == {"run/a": DATA, "run/sub/c": DATA}


def test_bytes_are_durable_before_names_and_names_before_they_are_told(fetch, site, monkeypatch):
    calls: list[str] = []

    def fsync(fd: int, real=os.fsync) -> None:
        calls.append("folder" if os.path.isdir(f"/proc/self/fd/{fd}") else "file")
        real(fd)

    site.put("run/b", DATA)
    run = fetch()
    work = arrived(run, "run/a", "run/b")
    monkeypatch.setattr(os, "fsync", fsync)
    replace(monkeypatch, "rename_new", lambda *_, real=rename_new: (calls.append("name"), real(*_)))
    run.copier.settle(work)
    assert calls[:4] == ["file", "file", "name", "name"] and set(calls[4:]) == {"folder"}


@pytest.mark.parametrize(
    ("size", "is_here", "synced"), [(999, False, 1), (1000, False, 1), (1001, False, 0), (1001, True, 1)]
)
def test_a_large_file_that_has_come_is_durable_already(fetch, site, monkeypatch, size, is_here, synced):
    replace(monkeypatch, "LARGE", 1000)
    site.put("run/a", DATA[:size])
    run = fetch()
    if is_here:
        put_here(run, DATA[:size])
    work = run.bring(site.row("run/a"), is_here)
    calls: list[bool] = []
    monkeypatch.setattr(os, "fsync", lambda fd: calls.append(os.path.isdir(f"/proc/self/fd/{fd}")))
    run.copier.settle([work])
    assert calls.count(False) == synced


def test_a_folder_that_is_moved_away_meanwhile_costs_the_files_in_it(fetch, site):
    site.put("run/sub/b", DATA)
    run = fetch()
    work = arrived(run, "run/a", "run/sub/b")
    (run.folder / "run/sub").rename(run.folder / "elsewhere")
    found = {outcome.row.path: outcome for outcome in run.copier.settle(work)}
    assert found["run/a"].done == "copied" and found["run/sub/b"].done == "failed"
    assert "its folder was moved during the copy" in found["run/sub/b"].row.error
    assert not found["run/sub/b"].row.downloaded and found["run/sub/b"].fault.passing


@pytest.mark.parametrize("is_linked", [False, True])
def test_a_file_that_is_moved_away_while_it_is_compared_is_not_here(fetch, site, is_linked):
    run = fetch()
    path = put_here(run, DATA)
    work = run.bring(site.row("run/a"), is_here=True)
    path.rename(path.with_name("b"))
    if is_linked:
        path.symlink_to("b")
    (outcome,) = run.copier.settle([work])
    assert outcome.done == "failed" and "was moved away while it was being compared" in outcome.row.error
    assert outcome.fault.passing


def test_a_disk_that_loses_bytes_is_not_trusted(fetch, site, monkeypatch):
    def fail(fd: int) -> None:
        if not os.path.isdir(f"/proc/self/fd/{fd}"):
            raise OSError(errno.EIO, "Input/output error")

    run = fetch()
    work = arrived(run, "run/a")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(DiskError):
            run.copier.settle(work)
    assert run.files() == {f"run/a{MARK}": b""}
    assert run.copier.flying == run.copier.received == {}


@pytest.mark.slow
def test_nothing_stays_open_whatever_happens(fetch, site, short, monkeypatch, tmp_path):
    run = fetch(1, 2)
    for path in ("run/b", "run/c", "run/d"):
        site.put(path, DATA)
    site.order("read", "run/b", *[FileError("odd")] * 2)
    site.order("read", "run/c", *[break_off(100)] * 9)
    row = site.row("run/d", adler32(OTHER))
    before = open_files(tmp_path)
    for work in ("run/a", "run/b", "run/c", row):
        run(work)
    put_here(run, OTHER)
    run("run/a", is_here=True)
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(os, "pread", lambda *_: 1 / 0)
        run("run/a", is_here=True)
    run.copier.home.held.clear()
    assert open_files(tmp_path) == before
