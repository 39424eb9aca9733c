"""Local names and part files."""

from __future__ import annotations

import errno
import hashlib
import os
import zlib

import pytest

from gridsync import Checksum, DiskError, FileError, PartFile, checksum_of, disk_error, local_path


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


def test_a_part_file_grows_resumes_and_takes_its_name_last(tmp_path):
    final = tmp_path / "sub/a"
    with PartFile(str(final), "adler32") as part:
        part.write(b"first ")
    assert not final.exists() and (tmp_path / "sub/a.part").read_bytes() == b"first "
    with PartFile(str(final), "adler32") as part:
        part.resume()
        assert part.size == 6
        part.write(b"second")
        assert part.checksum.text() == f"adler32:{zlib.adler32(b'first second'):08x}"
        part.finish(1000, False)
    assert final.read_bytes() == b"first second" and final.stat().st_mtime == 1000
    assert os.listdir(tmp_path / "sub") == ["a"]


def test_a_part_file_without_a_byte_leaves_nothing(tmp_path):
    with PartFile(str(tmp_path / "a"), "size"):
        pass
    assert os.listdir(tmp_path) == []


def test_a_file_that_has_appeared_meanwhile_is_left_alone(tmp_path):
    final = tmp_path / "a"
    with PartFile(str(final), "size") as part:
        part.write(b"new")
        final.write_bytes(b"mine")
        with pytest.raises(FileError, match="left alone"):
            part.finish(0, False)
        assert final.read_bytes() == b"mine"
        part.finish(0, True)
    assert final.read_bytes() == b"new"


def test_a_part_file_never_writes_through_a_link(tmp_path):
    (tmp_path / "target").write_bytes(b"precious")
    (tmp_path / "a.part").symlink_to("target")
    with pytest.raises(FileError), PartFile(str(tmp_path / "a"), "size"):
        pass
    assert (tmp_path / "target").read_bytes() == b"precious"


@pytest.mark.parametrize("kind", ["adler32", "md5", "sha256"])
def test_checksums_are_those_of_the_libraries(tmp_path, kind):
    data = os.urandom(3 << 20)
    (tmp_path / "a").write_bytes(data)
    expected = f"{zlib.adler32(data):08x}" if kind == "adler32" else hashlib.new(kind, data).hexdigest()
    assert checksum_of(str(tmp_path / "a"), kind) == f"{kind}:{expected}"
    running = Checksum(kind)
    for start in range(0, len(data), 100_000):
        running.update(data[start : start + 100_000])
    assert running.text() == f"{kind}:{expected}"


def test_a_full_disk_is_a_matter_of_the_disk_and_a_long_name_of_the_file():
    assert type(disk_error("/d/a", OSError(errno.ENOSPC, "x"))) is DiskError
    assert type(disk_error("/d/a", OSError(errno.ENAMETOOLONG, "x"))) is FileError
