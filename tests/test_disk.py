"""Local names and part files."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import zlib
from collections.abc import Iterator

import pytest

from gridsync import (
    NOTE,
    SHORTEST,
    Checksum,
    DiskError,
    FileError,
    Locality,
    PartFile,
    Row,
    adler_maker,
    checksum_of,
    disk_error,
    local_path,
    part_name,
)


@pytest.mark.parametrize("path", ["../a", "a/../../b", "/etc/passwd", "", "a//b", "a/./b", "..", "a\0b", "a/"])
def test_a_name_that_leaves_outputdir_is_refused(tmp_path, path):
    with pytest.raises(FileError):
        local_path(str(tmp_path), path)


def test_a_planted_link_is_refused_and_a_linked_outputdir_is_not(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "out").symlink_to("real")
    assert local_path(str(tmp_path / "out"), "a/b") == str(tmp_path / "real/a/b")
    (tmp_path / "real/a").symlink_to("/etc")
    with pytest.raises(FileError, match="a link in OUTPUTDIR leads to /etc"):
        local_path(str(tmp_path / "out"), "a/b")


def row_of(size: int, mtime: int = 1000) -> Row:
    return Row("a", size, mtime, "adler32:00000001", Locality.ONLINE, False, "", "", "LYON", "")


@contextlib.contextmanager
def part_of(final, size: int, kind: str = "adler32", streams: int = 1) -> Iterator[PartFile]:
    with PartFile(str(final), row_of(size), kind) as part:
        part.resume(streams)
        yield part


def test_a_part_file_grows_resumes_and_takes_its_name_last(tmp_path):
    final = tmp_path / "sub/a"
    with part_of(final, 12) as part:
        part.add(part.segments[0], b"first ")
    assert not final.exists() and (tmp_path / "sub/a.part").read_bytes() == b"first "
    with part_of(final, 12) as part:
        assert part.received() == 6
        part.add(part.segments[0], b"second")
        assert part.checksum("adler32") == f"adler32:{zlib.adler32(b'first second'):08x}"
        part.finish(False)
    assert final.read_bytes() == b"first second" and final.stat().st_mtime == 1000
    assert os.listdir(tmp_path / "sub") == ["a"]


@pytest.mark.parametrize("kind", ["adler32", "md5"])
def test_segments_arrive_in_any_order_and_outlive_a_kill(tmp_path, kind):
    data = os.urandom(3 * SHORTEST + 5)
    part = PartFile(str(tmp_path / "a"), row_of(len(data)), kind).__enter__()
    part.resume(8)
    assert len(part.segments) == 3
    for segment, share in zip(part.segments, (SHORTEST, 0, NOTE + 77)):
        part.add(segment, data[segment.start : segment.start + share])
    os.close(part.fd)  # and nothing else, as after kill -9
    with part_of(tmp_path / "a", len(data), kind, 2) as part:
        assert [segment.done for segment in part.segments] == [SHORTEST, 0, NOTE + 77]
        for segment in reversed(part.segments):
            part.add(segment, data[segment.at() : segment.stop])
        expected = f"{zlib.adler32(data):08x}" if kind == "adler32" else hashlib.new(kind, data).hexdigest()
        assert part.checksum(kind) == f"{kind}:{expected}"
        part.finish(False)
    assert (tmp_path / "a").read_bytes() == data


@pytest.mark.parametrize("size", [SHORTEST * 2 - 1, SHORTEST * 5, SHORTEST * 2 + 9])
def test_a_table_of_another_file_counts_for_nothing(tmp_path, size):
    with part_of(tmp_path / "a", SHORTEST * 4, "size", 4) as part:
        part.add(part.segments[1], b"x" * 100)
    with part_of(tmp_path / "a", size, "size") as part:
        assert [segment.done for segment in part.segments] == [0]


def test_a_part_file_without_a_checksum_goes_on_only_if_it_is_of_this_file(tmp_path):
    with part_of(tmp_path / "a", 100, "size") as part:
        part.add(part.segments[0], b"x" * 30)
    with part_of(tmp_path / "a", 100, "size") as part:
        assert part.received() == 30
    later = PartFile(str(tmp_path / "a"), row_of(100, mtime=2000), "size")
    with later:
        later.resume(1)
        assert later.received() == 0
    (tmp_path / "b.part").write_bytes(b"who knows what")
    with part_of(tmp_path / "b", 100, "size") as part:
        assert part.received() == 0


@pytest.mark.parametrize(("mtime", "here"), [(1000, 30), (2000, 0)])
def test_nor_does_one_whose_checksum_no_listing_tells(tmp_path, mtime, here):
    untold = row_of(100)._replace(checksum="")
    with PartFile(str(tmp_path / "a"), untold, "adler32") as part:
        part.resume(1)
        part.add(part.segments[0], b"x" * 30)
    with PartFile(str(tmp_path / "a"), untold._replace(mtime=mtime), "adler32") as part:
        part.resume(1)
        assert part.received() == here


def test_two_runs_never_copy_one_file(tmp_path):
    with part_of(tmp_path / "a", 100), pytest.raises(FileError, match="another run is copying it"):
        PartFile(str(tmp_path / "a"), row_of(100), "adler32").__enter__()


def test_a_part_file_never_has_the_name_of_another_file():
    taken = {"d/x", "d/x.part", "d/x.part~", "d/y"}
    names = {path: part_name(path, taken) for path in taken}
    assert names["d/y"] == "y.part" and not {f"d/{name}" for name in names.values()} & taken
    assert len(set(names.values())) == len(taken)


def test_a_part_file_without_a_byte_leaves_nothing(tmp_path):
    with part_of(tmp_path / "a", 10):
        pass
    assert os.listdir(tmp_path) == []


def test_a_file_that_has_appeared_meanwhile_is_left_alone(tmp_path):
    final = tmp_path / "a"
    with part_of(final, 3, "size") as part:
        part.add(part.segments[0], b"new")
        final.write_bytes(b"mine")
        with pytest.raises(FileError, match="left alone"):
            part.finish(False)
        assert final.read_bytes() == b"mine"
        part.finish(True)
    assert final.read_bytes() == b"new"


def test_a_part_file_never_writes_through_a_link(tmp_path):
    (tmp_path / "target").write_bytes(b"precious")
    (tmp_path / "a.part").symlink_to("target")
    with pytest.raises(FileError), part_of(tmp_path / "a", 8, "size"):
        pass
    assert (tmp_path / "target").read_bytes() == b"precious"


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
    assert checksum_of(str(tmp_path / "a"), kind, len(data)) == f"{kind}:{expected}"
    running = Checksum(kind)
    for start in range(0, len(data), 100_000):
        running.update(data[start : start + 100_000])
    assert running.text() == f"{kind}:{expected}"


@pytest.mark.parametrize("number", [errno.EEXIST, errno.ENOTDIR, errno.EACCES, errno.ENAMETOOLONG])
def test_what_is_wrong_with_one_file_ends_no_run(number):
    assert type(disk_error("/d/a", OSError(number, "x"))) is FileError


def test_a_full_disk_is_a_matter_of_the_disk_and_a_long_name_of_the_file():
    assert type(disk_error("/d/a", OSError(errno.ENOSPC, "x"))) is DiskError
    assert type(disk_error("/d/a", OSError(errno.ENAMETOOLONG, "x"))) is FileError
