"""Files that are here, read again."""

from __future__ import annotations

import errno
import hashlib
import math
import os
import threading
import zlib

import pytest

from gridsync_parts.disk import MARK
from gridsync_parts.errors import DiskError, FileError
from gridsync_parts.fetching import Work
from gridsync_parts.pace import PACE, Tries
from gridsync_parts.rereader import Rereader
from gridsync_parts.values import REPAIR, Locality, Outcome, Row
from tests.support.parts import open_files

DATA = b"0123456789" * 1000
GONE = "is no longer here, or has another size"
ADLER, MD5 = f"adler32:{zlib.adler32(DATA):08x}", f"md5:{hashlib.md5(DATA).hexdigest()}"


def row_of(checksum: str = ADLER, size: int = len(DATA), path: str = "run/a") -> Row:
    """A file that was copied once."""
    return Row(path, size, 1000, checksum, Locality.NEARLINE, True, "adler32", "r1", "LYON", "an old error")


@pytest.fixture
def here(tmp_path):
    """Where the file is."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run/a").write_bytes(DATA)
    return tmp_path / "run/a"


def reread(rereader: Rereader, row: Row) -> Outcome:
    """What it says of a file that it is given."""
    return rereader.bring(Work(row, True, math.inf, Tries(0.0), 0, PACE))


@pytest.fixture
def rereader(tmp_path):
    return Rereader(str(tmp_path), threading.Event())


@pytest.mark.parametrize(
    ("data", "checksum", "verified"),
    [(DATA, ADLER, "adler32"), (DATA, MD5, "md5"), (DATA, "", "size"), (b"", "", "size"),
     (b"", "adler32:00000001", "size"), (b"", "md5:wrong", "size")],
)  # fmt: skip
def test_a_file_that_is_as_it_came_is_verified(rereader, here, data, checksum, verified):
    here.write_bytes(data)
    row = row_of(checksum, len(data))._replace(downloaded=False, verified="")
    outcome = reread(rereader, row)
    assert (outcome.done, outcome.received, outcome.fault) == ("verified", len(data), None)
    assert outcome.row == row._replace(downloaded=True, verified=verified, error="")


@pytest.mark.parametrize("computed", [ADLER, MD5])
def test_where_the_door_has_no_checksum_that_of_its_bytes_as_they_came_counts(rereader, here, computed):
    row = row_of("")._replace(computed=computed, verified="size")
    outcome = reread(rereader, row)
    assert (outcome.done, outcome.row) == ("verified", row._replace(error=""))  # by no more than its size still
    here.write_bytes(b"x" + DATA[1:])
    outcome = reread(rereader, row)
    reason = f"run/a: is damaged: its checksum is not {computed}, as when it came; {REPAIR}"
    assert outcome.row == row._replace(downloaded=False, error=reason) and outcome.row.is_damaged()


def test_the_doors_checksum_counts_before_it(rereader, here):
    outcome = reread(rereader, row_of()._replace(computed="adler32:00000001"))
    assert (outcome.done, outcome.row.verified) == ("verified", "adler32")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: path.unlink(), GONE),
        (lambda path: path.write_bytes(DATA[1:]), GONE),
        (lambda path: path.write_bytes(DATA + b"x"), GONE),
        (lambda path: (path.unlink(), path.mkdir()), GONE),
        (lambda path: (path.rename(path.with_name("b")), path.symlink_to("b")), GONE),
        (lambda path: path.write_bytes(b"x" + DATA[1:]), f"is damaged: its checksum is not {ADLER}"),
        (lambda path: path.write_bytes(DATA[:-1] + b"x"), f"is damaged: its checksum is not {ADLER}"),
    ],
)
def test_one_that_is_not_is_damaged_and_keeps_its_row_for_the_repair(rereader, here, spoil, reason):
    spoil(here)
    outcome = reread(rereader, row_of())
    assert (outcome.done, outcome.received) == ("failed", 0)
    assert outcome.row == row_of()._replace(downloaded=False, error=f"run/a: {reason}; {REPAIR}")
    assert outcome.row.is_damaged()


def test_without_a_checksum_only_the_size_tells(rereader, here):
    here.write_bytes(b"x" * len(DATA))
    assert reread(rereader, row_of("")).done == "verified"


def test_one_that_can_not_be_read_may_be_as_it_was(rereader, here, tmp_path):
    (tmp_path / f"a{MARK}").write_bytes(DATA)
    outcome = reread(rereader, row_of(path=f"a{MARK}"))
    assert outcome.done == "failed" and isinstance(outcome.fault, FileError)
    assert outcome.row.error == str(outcome.fault) and f"a{MARK}: the name ends like" in outcome.row.error
    assert not outcome.row.downloaded


@pytest.mark.parametrize(
    ("number", "ends"), [(errno.EIO, True), (errno.ESTALE, True), (errno.EACCES, False), (errno.EBADMSG, False)]
)
def test_a_disk_that_fails_ends_the_run_and_one_file_does_not(rereader, here, monkeypatch, number, ends):
    def fail(*_: object) -> bytes:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "pread", fail)
    if ends:
        with pytest.raises(DiskError, match="run/a cannot be used"):
            reread(rereader, row_of())
    else:
        outcome = reread(rereader, row_of())
        assert outcome.done == "failed" and "run/a cannot be used" in outcome.row.error


def test_it_stops_in_mid_file_and_nothing_is_said_of_it(rereader, here):
    rereader.stop.set()
    outcome = reread(rereader, row_of())
    assert (outcome.done, outcome.row) == ("interrupted", row_of())
    assert rereader.flying == {}


def test_how_far_it_is_is_seen_meanwhile(rereader, here, monkeypatch):
    seen: list[dict[str, int]] = []

    def read(fd: int, count: int, at: int, real=os.pread) -> bytes:
        assert rereader.received == rereader.flying  # what is read counts as it comes
        seen.append(dict(rereader.flying))
        return real(fd, min(count, 4000), at)

    monkeypatch.setattr(os, "pread", read)
    assert reread(rereader, row_of()).done == "verified"
    assert seen == [{}, {"run/a": 4000}, {"run/a": 8000}]
    assert rereader.flying == {}


@pytest.mark.slow
def test_no_file_stays_open(rereader, here, tmp_path):
    reread(rereader, row_of(""))  # OUTPUTDIR is open from here on
    before = open_files(tmp_path)
    for checksum in (ADLER, MD5, "md5:no", ""):
        reread(rereader, row_of(checksum))
    assert open_files(tmp_path) == before


def test_without_an_outputdir_there_is_nothing_to_read(tmp_path):
    rereader = Rereader(str(tmp_path / "nowhere"), threading.Event())
    with pytest.raises(DiskError, match="nowhere cannot be used"):
        reread(rereader, row_of())
