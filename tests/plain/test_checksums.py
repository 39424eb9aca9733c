"""Checksums that grow with the bytes."""

from __future__ import annotations

import hashlib
import os
import zlib

import pytest

from gridsync_parts.checksums import Checksum, adler_maker, checksum_kind, checksum_of
from tests.support.constants import replace


def test_adler32_is_that_of_zlib_whatever_makes_it(monkeypatch):
    def absent(name: str) -> None:
        raise OSError(name)

    data = os.urandom(300_001)
    pieces = [data[:1], memoryview(bytearray(data[1:200_000])), memoryview(data)[200_000:], memoryview(bytearray())]
    for missing in (False, True):
        if missing:
            monkeypatch.setattr("ctypes.PyDLL", absent)
        adler_maker.cache_clear()
        assert (adler_maker() is zlib.adler32) == missing  # libdeflate is there in the tests
        checksum = Checksum("adler32")
        for piece in pieces:
            checksum.update(piece)
        assert checksum.text() == f"adler32:{zlib.adler32(data):08x}"
    adler_maker.cache_clear()


@pytest.mark.parametrize("sizes", [(0, 5), (5, 0), (1, 1), (70_000, 3), (3, 70_000), (1 << 20, 1 << 20)])
def test_adler32_of_two_stretches_is_that_of_both(sizes):
    one, other = (os.urandom(size) for size in sizes)
    first, second = Checksum("adler32"), Checksum("adler32")
    first.update(one)
    second.update(other)
    first.append(second, len(other))
    assert first.text() == f"adler32:{zlib.adler32(one + other):08x}"


@pytest.mark.parametrize("kind", ["adler32", "md5", "sha256"])
def test_checksums_are_those_of_the_libraries(tmp_path, kind):
    data = os.urandom(3 << 20)
    (tmp_path / "a").write_bytes(data)
    expected = f"{zlib.adler32(data):08x}" if kind == "adler32" else hashlib.new(kind, data).hexdigest()
    with open(tmp_path / "a", "rb") as file:
        assert checksum_of(file.fileno(), kind, len(data)) == f"{kind}:{expected}"
    running = Checksum(kind)
    for start in range(0, len(data), 100_000):
        running.update(data[start : start + 100_000])
    assert running.text() == f"{kind}:{expected}"


@pytest.mark.parametrize(
    ("checksum", "wanted", "kind"),
    [("adler32:00000001", True, "adler32"), ("md5:00", True, "md5"), ("adler32:", True, "adler32"), ("", True, "size"),
     ("md5:00", False, "size")],
)  # fmt: skip
def test_what_a_file_is_verified_by(checksum, wanted, kind):
    assert checksum_kind(checksum, wanted) == kind


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "seen"), [(0, []), (4, [0]), (7, [3, 0]), (8, [4, 0]), (10, [6, 2, 0]), (99, [95, 91, 89])]
)
def test_a_file_is_read_as_far_as_it_goes_and_it_is_told_how_much_is_left(tmp_path, monkeypatch, size, seen):
    replace(monkeypatch, "CHUNK", 4)
    (tmp_path / "a").write_bytes(b"0123456789")
    told: list[int] = []
    with open(tmp_path / "a", "rb") as file:
        found = checksum_of(file.fileno(), "adler32", size, told.append)
    assert (found, told) == (f"adler32:{zlib.adler32(b'0123456789'[:size]):08x}", seen)


def test_a_size_has_nothing_to_grow():
    checksum = Checksum("size")
    checksum.update(b"x")
    assert checksum.text() == "size:00000001"
