"""What --stats is told of a run: which outcomes are lines, and what becomes of those that the file does not take."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gridsync_parts import attempts
from gridsync_parts.attempts import Attempts, attempts_for
from gridsync_parts.errors import DiskError, FileError, OnTape, UsageError
from gridsync_parts.fetching import Ledger
from gridsync_parts.loop import Again
from gridsync_parts.pace import Tries
from gridsync_parts.stats import Line, Stats, lines_of
from gridsync_parts.values import OWED, Locality, Outcome, Row, Wishes, failed_outcome
from tests.support.constants import replace

ROW = Row("run/a", 1000, 0, "adler32:00000001", Locality.ONLINE, False, "", "", "LYON", "")
HERE = ROW._replace(downloaded=True, verified="adler32")
BROKEN = FileError("run/a: the door says 503", passing=True)
AGAIN = Again(ROW, Tries(0.0, 1), 1.0, BROKEN)


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def kept(tmp_path: Path, told: list[str]) -> Attempts:
    return Attempts(Stats(str(tmp_path / "s.jsonl")), "LYON", "get", told.append)


def lines(kept: Attempts) -> list[Line]:
    return list(lines_of(kept.stats.path))


def ledger(*outcomes: Outcome, failed: tuple[Again, ...] = (), left: tuple[Row, ...] = ()) -> Ledger:
    made = Ledger()
    made.outcomes, made.failed, made.left = list(outcomes), list(failed), list(left)
    return made


def attempt(kept: Attempts, result: Any, moved: int = 0) -> None:
    """One attempt at the file, which moves some bytes and ends so."""
    worker: Any = SimpleNamespace(received={}, bring=None)

    def bring(work: Any) -> Any:
        worker.received[ROW.path] = moved
        if isinstance(result, Exception):
            raise result
        return result

    worker.bring = bring
    kept.watching(worker)(SimpleNamespace(row=ROW))


@pytest.mark.parametrize(
    ("outcome", "status", "error"),
    [
        (Outcome(HERE, "copied", 1000), "ok", ""),
        (Outcome(HERE, "sent", 1000), "ok", ""),
        (Outcome(HERE._replace(error=OWED), "copied", 1000), "ok", ""),
        (Outcome(HERE, "skipped"), "skipped", ""),
        (Outcome(ROW, "interrupted", 10), "failed", "interrupted"),
        (failed_outcome(ROW, BROKEN), "failed", str(BROKEN)),
        (failed_outcome(ROW, BROKEN)._replace(done="late"), "failed", str(BROKEN)),
        (Outcome(ROW, "waiting", fault=OnTape("it is on tape")), None, ""),
        (Outcome(ROW, "stale"), None, ""),
        (Outcome(ROW, "held"), None, ""),
    ],
)
def test_each_way_in_which_an_attempt_ends(kept, outcome, status, error):
    attempt(kept, outcome)
    kept.note(ledger(outcome))
    assert not kept.made
    if status is None:
        assert not kept.lines and not Path(kept.stats.path).exists()
        return
    (line,) = lines(kept)
    assert (line.status, line.error, line.bytes, line.attempts) == (status, error, outcome.received, 1)
    assert line.verified == ("" if status == "failed" else "adler32") and line.checksum == "adler32:00000001"


def test_attempts_are_counted_and_each_has_the_bytes_that_it_has_moved_itself(kept):
    received = {ROW.path: 0}
    results = [AGAIN, AGAIN, Outcome(HERE, "copied", 1000)]
    worker: Any = SimpleNamespace(received=received, bring=None)

    def bring(_: Any) -> Any:
        received[ROW.path] += 300
        return results[0]

    worker.bring = bring
    watched = kept.watching(worker)
    for _ in range(3):
        watched(SimpleNamespace(row=ROW))
        result = results.pop(0)
        kept.note(ledger(failed=(result,)) if isinstance(result, Again) else ledger(result))
    found = [(line.status, line.attempts, line.bytes, line.error) for line in lines(kept)]
    assert found == [("failed", 1, 300, str(BROKEN)), ("failed", 2, 300, str(BROKEN)), ("ok", 3, 400, "")]


def test_a_file_that_is_given_up_after_an_attempt_has_one_line_and_without_one_it_has_one_too(kept):
    failed = failed_outcome(ROW, BROKEN)
    attempt(kept, failed)
    other = ROW._replace(path="run/b", error="run/b: another file has this name")
    kept.note(ledger(failed, left=(failed.row, other)))
    assert [(line.key, line.attempts, line.error) for line in lines(kept)] == [
        ("run/a", 1, str(BROKEN)), ("run/b", 0, other.error),
    ]  # fmt: skip


def test_an_attempt_that_ends_the_run_is_said_in_the_end(kept):
    with pytest.raises(DiskError):
        attempt(kept, DiskError("the disk of data is full"))
    kept.note(ledger())
    assert not Path(kept.stats.path).exists()
    kept.close()
    (line,) = lines(kept)
    assert (line.status, line.error) == ("failed", "run/a: the disk of data is full") and kept.lost == 0


@pytest.mark.slow
def test_times_are_of_the_attempt_alone_and_not_of_what_waits(kept):
    attempt(kept, Outcome(HERE, "copied", 1000))
    time.sleep(0.2)  # until it is durable, say
    kept.note(ledger(Outcome(HERE, "copied", 1000)))
    assert lines(kept)[0].duration_s < 0.2


@pytest.mark.slow
def test_lines_that_the_file_does_not_take_wait_for_another_try(kept, told, monkeypatch):
    replace(monkeypatch, "AGAIN", 0.0)
    path = Path(kept.stats.path)
    path.mkdir()
    for _ in range(3):
        kept.skip([HERE])
    assert len(told) == 1 and "Is a directory" in told[0] and "meanwhile this run goes on" in told[0]
    path.rmdir()
    kept.skip([HERE])
    assert len(lines(kept)) == 4
    kept.close()
    assert kept.lost == 0 and len(told) == 1


def test_what_is_not_taken_to_the_end_is_counted_and_memory_has_an_end(kept, told, monkeypatch):
    monkeypatch.setattr(attempts, "KEPT", 5)
    Path(kept.stats.path).mkdir()
    for _ in range(8):
        kept.skip([HERE])
    assert len(kept.lines) == 5
    kept.close()
    assert kept.lost == 8 and "lacks 8 line(s) of this run" in told[-1]


def test_skipped_files_are_said_in_batches(kept, monkeypatch):
    monkeypatch.setattr(attempts, "BATCH", 10)
    kept.skip(HERE._replace(path=str(number)) for number in range(35))
    assert [line.key for line in lines(kept)] == [str(number) for number in range(35)]


@pytest.mark.parametrize("action", ["start", "sync", "repair", "put"])
def test_it_goes_with_what_moves_files(tmp_path, action):
    path = str(tmp_path / "s.csv")
    made = attempts_for(path, {action}, Wishes(put="x" if action == "put" else ""), "LYON", print)
    assert made and made.about[:2] == ("LYON", "put" if action == "put" else "get")
    assert attempts_for(path, {action}, Wishes(dry_run=True), "LYON", print) is None


def test_beside_report_alone_it_is_only_read(tmp_path):
    path = str(tmp_path / "s.csv")
    assert attempts_for(path, {"report"}, Wishes(), "LYON", print) is None and not Path(path).exists()
    with pytest.raises(UsageError, match="no file is moved on this line"):
        attempts_for(path, {"verify"}, Wishes(), "LYON", print)
