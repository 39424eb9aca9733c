"""Local names and part files."""

from __future__ import annotations

import errno
import hashlib
import os
import zlib

import pytest

from gridsync_parts.checksums import Checksum, adler_maker, checksum_of
from gridsync_parts.disk import MARK, disk_error, part_name
from gridsync_parts.errors import DiskError, FileError
from gridsync_parts.home import Home, rename_new
from gridsync_parts.partfile import NOTE, SHORTEST, PartFile
from tests.support.constants import replace
from tests.support.parts import finish, part_file, part_of, row_of


@pytest.mark.parametrize(
    "path", ["../a", "a/../../b", "/etc/passwd", "", "a//b", "a/./b", "..", "a\0b", "a/", f"a{MARK}", f"a{MARK}/b"]
)
def test_a_name_that_leaves_outputdir_or_is_like_ours_is_refused(tmp_path, path):
    with pytest.raises(FileError, match="refused"):
        Home(str(tmp_path)).place(path)


def test_a_planted_link_is_refused_and_a_linked_outputdir_is_not(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "out").symlink_to("real")
    home = Home(str(tmp_path / "out"))
    assert os.path.samestat(os.fstat(home.folder("a/b").fd), os.stat(tmp_path / "real/a/b"))
    (tmp_path / "real/c").symlink_to("/etc")
    with pytest.raises(FileError, match="a link in OUTPUTDIR leads to /etc"):
        home.folder("c/d")


def test_a_part_file_grows_resumes_and_takes_its_name_last(tmp_path):
    final, home = tmp_path / "sub/a", Home(str(tmp_path))
    with PartFile(home, row_of(12, path="sub/a"), "adler32") as part:
        part.resume(1)
        part.add(part.segments[0], b"first ")
    assert not final.exists() and (tmp_path / f"sub/a{MARK}").read_bytes() == b"first "
    with PartFile(home, row_of(12, path="sub/a"), "adler32") as part:
        part.resume(1)
        assert part.received() == 6
        part.add(part.segments[0], b"second")
        assert part.checksum("adler32") == f"adler32:{zlib.adler32(b'first second'):08x}"
        finish(part)
    assert final.read_bytes() == b"first second" and final.stat().st_mtime == 1000
    assert os.listdir(tmp_path / "sub") == ["a"]


@pytest.mark.parametrize("kind", ["adler32", "md5"])
def test_segments_arrive_in_any_order_and_outlive_a_kill(tmp_path, kind):
    data = os.urandom(3 * SHORTEST + 5)
    part = part_file(tmp_path / "a", row_of(len(data)), kind).__enter__()
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
        finish(part)
    assert (tmp_path / "a").read_bytes() == data


def test_bytes_are_durable_before_a_table_speaks_of_them(tmp_path, monkeypatch):
    calls: list[int | str] = []

    def pwrite(fd: int, data: bytes, at: int, real=os.pwrite) -> int:
        calls.append(at)
        return real(fd, data, at)

    def fdatasync(fd: int, real=os.fdatasync) -> None:
        calls.append("sync")
        real(fd)

    monkeypatch.setattr(os, "pwrite", pwrite)
    replace(monkeypatch, "DATA_SYNC", fdatasync)
    size, block = 2 * SHORTEST, b"x" * (1 << 20)
    with part_of(tmp_path / "a", size, "size", 2) as part:
        for _ in range(12):
            for segment in part.segments:
                part.add(segment, block)
        part.tell('"an ETag"')
    tables = [number for number, call in enumerate(calls) if call != "sync" and call >= size]
    assert len(tables) > 4 and calls[tables[0] + 1] == 0, "the first is of a file without bytes"
    assert all(calls[number - 1] == "sync" for number in tables[1:])


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
    later = part_file(tmp_path / "a", row_of(100, mtime=2000), "size")
    with later:
        later.resume(1)
        assert later.received() == 0
    (tmp_path / f"b{MARK}").write_bytes(b"who knows what")
    with part_of(tmp_path / "b", 100, "size") as part:
        assert part.received() == 0


@pytest.mark.parametrize(("mtime", "here"), [(1000, 30), (2000, 0)])
def test_nor_does_one_whose_checksum_no_listing_tells(tmp_path, mtime, here):
    untold = row_of(100)._replace(checksum="")
    with part_file(tmp_path / "a", untold, "adler32") as part:
        part.resume(1)
        part.add(part.segments[0], b"x" * 30)
    with part_file(tmp_path / "a", untold._replace(mtime=mtime), "adler32") as part:
        part.resume(1)
        assert part.received() == here


def test_two_runs_never_copy_one_file(tmp_path):
    with part_of(tmp_path / "a", 100), pytest.raises(FileError, match="another run is copying it"):
        part_file(tmp_path / "a", row_of(100), "adler32").__enter__()


@pytest.mark.parametrize("name", ["a", "a" * 240, "a" * 241, "a" * 255, "\u00e4" * 127, "a\udcff" * 127])
def test_a_part_file_has_a_name_that_the_disk_takes(tmp_path, name):
    found = part_name(name)
    assert found.endswith(MARK) and len(os.fsencode(found)) <= 255
    (tmp_path / found).write_bytes(b"")
    assert len({part_name(f"{name[:-1]}{end}") for end in "xyz"}) == 3


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
            finish(part)
        assert final.read_bytes() == b"mine"
        finish(part, True)
    assert final.read_bytes() == b"new"


@pytest.mark.parametrize("in_steps", [False, True])
def test_nor_is_one_that_appears_at_the_very_last_moment(tmp_path, monkeypatch, in_steps):
    final = tmp_path / "a"

    def just_before(call):
        def called(*names, **options):
            final.write_bytes(b"mine")
            return call(*names, **options)

        return called

    for name in ("link", "replace"):
        monkeypatch.setattr(os, name, just_before(getattr(os, name)))
    if in_steps:
        replace(monkeypatch, "renamer", lambda: None)
    else:
        replace(monkeypatch, "rename_new", just_before(rename_new))
    with part_of(final, 3, "size") as part:
        part.add(part.segments[0], b"new")
        with pytest.raises(FileError, match="left alone"):
            finish(part)
    assert final.read_bytes() == b"mine"


def test_a_disk_without_hard_links_gives_names_all_the_same(tmp_path, monkeypatch):
    def refused(*_, **__):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    replace(monkeypatch, "renamer", lambda: None)
    with part_of(tmp_path / "a", 3, "size") as part:
        part.add(part.segments[0], b"new")
        finish(part)
    assert os.listdir(tmp_path) == ["a"]


def test_a_part_file_never_writes_through_a_link(tmp_path):
    (tmp_path / "target").write_bytes(b"precious")
    (tmp_path / f"a{MARK}").symlink_to("target")
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
    with open(tmp_path / "a", "rb") as file:
        assert checksum_of(file.fileno(), kind, len(data)) == f"{kind}:{expected}"
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
