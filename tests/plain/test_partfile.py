"""A file while it is copied."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import threading
import zlib
from pathlib import Path

import pytest

from gridsync_parts.disk import MARK, part_name
from gridsync_parts.errors import Changed, DiskError, FileError
from gridsync_parts.home import Home, rename_new
from gridsync_parts.partfile import PartFile
from gridsync_parts.segments import MAGIC, OLD_END, OLD_MAGIC, TABLE_END, TABLE_ROW, Segment
from tests.support.constants import replace
from tests.support.parts import finish, open_files, part_file, part_of, row_of

SHORTEST, NOTE = 1 << 16, 1 << 15  # of segments here; the real ones are large
BLOCK = b"x" * (SHORTEST // 16)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Segments that are soon written."""
    replace(monkeypatch, "SHORTEST", SHORTEST)
    replace(monkeypatch, "NOTE", NOTE)


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
    part.rest()
    os.close(part.file.fd)  # and nothing else, as after kill -9
    with part_of(tmp_path / "a", len(data), kind, 2) as part:
        assert [segment.done for segment in part.segments] == [SHORTEST, 0, NOTE + 77]
        for segment in reversed(part.segments):
            part.add(segment, data[segment.at() : segment.stop])
        expected = f"{zlib.adler32(data):08x}" if kind == "adler32" else hashlib.new(kind, data).hexdigest()
        assert part.checksum(kind) == f"{kind}:{expected}"
        finish(part)
    assert (tmp_path / "a").read_bytes() == data


def test_bytes_are_durable_before_a_table_speaks_of_them(tmp_path, monkeypatch):
    size, written, durable, told = 2 * SHORTEST, 0, 0, []

    def pwrite(fd: int, data: bytes, at: int, real=os.pwrite) -> int:
        nonlocal written
        count = real(fd, data, at)
        if at < size:
            written += count
        else:
            rows = TABLE_ROW.iter_unpack(data[: 2 * TABLE_ROW.size])
            told.append((sum(done for _, _, done in rows), durable))
        return count

    def fdatasync(fd: int, real=os.fdatasync) -> None:
        nonlocal durable
        before = written
        real(fd)
        durable = before

    monkeypatch.setattr(os, "pwrite", pwrite)
    replace(monkeypatch, "DATA_SYNC", fdatasync)
    with part_of(tmp_path / "a", size, "size", 2) as part:
        for _ in range(12):
            for segment in part.segments:
                part.add(segment, BLOCK)
        part.tell('"an ETag"')
    assert told[0] == (0, 0) and len(told) > 3 and told[-1] == (24 * len(BLOCK), 24 * len(BLOCK))
    assert all(speaks_of <= here for speaks_of, here in told)


def test_bytes_do_not_wait_for_the_disk(tmp_path, monkeypatch):
    is_free = threading.Event()
    replace(monkeypatch, "DATA_SYNC", lambda fd: is_free.wait(60))
    size = 4 * NOTE
    with part_of(tmp_path / "a", size, "size") as part:
        for _ in range(4):
            part.add(part.segments[0], b"x" * NOTE)
        is_free.set()
        finish(part)
    assert (tmp_path / "a").stat().st_size == size


@pytest.mark.parametrize("comes", [2, 4])
def test_nothing_is_trusted_of_a_file_of_which_the_disk_has_lost_bytes(tmp_path, monkeypatch, comes):
    """The kernel tells of it once: a second synchronisation would seem to be well."""
    failures = [OSError(errno.EIO, "Input/output error")]

    def fail_once(fd: int) -> None:
        if failures:
            raise failures.pop()

    replace(monkeypatch, "DATA_SYNC", fail_once)
    with part_of(tmp_path / "a", 4 * NOTE, "size") as part:
        with pytest.raises(DiskError, match="check the disk"):
            for _ in range(comes):
                part.add(part.segments[0], b"x" * NOTE)
            part.arrive()
        assert part.received() < 4 * NOTE
    assert os.listdir(tmp_path) == []


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


def test_what_has_taken_the_place_of_a_part_file_does_not_get_the_name(tmp_path):
    with part_of(tmp_path / "a", 6, "size") as part:
        part.add(part.segments[0], b"whole ")
        (tmp_path / f"a{MARK}").unlink()
        (tmp_path / f"a{MARK}").write_bytes(b"half")
        with pytest.raises(FileError, match="someone else moved its folder or changed"):
            finish(part)
    assert not (tmp_path / "a").exists() and (tmp_path / f"a{MARK}").read_bytes() == b"half"


@pytest.mark.parametrize("streams", [1, 2])
def test_a_part_file_that_is_cut_in_mid_copy_is_begun_again(tmp_path, streams):
    size, block = 2 * SHORTEST, BLOCK
    with part_of(tmp_path / "a", size, "adler32", streams) as part:
        part.add(part.segments[0], block)
        os.truncate(tmp_path / f"a{MARK}", 0)
        with pytest.raises(FileError, match="changed by someone else"):
            for segment in part.segments:
                while segment.at() < segment.stop:
                    part.add(segment, block)
            finish(part)
    assert not (tmp_path / "a").exists()


def test_without_locks_a_second_run_leaves_alone_what_the_first_has_finished(tmp_path, monkeypatch):
    def no_locks(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    size, block = 2 * SHORTEST, BLOCK
    first = part_file(tmp_path / "a", row_of(size), "size").__enter__()
    first.resume(2)
    with part_of(tmp_path / "a", size, "size", 2) as second:
        second.add(second.segments[0], block)
        for segment in first.segments:
            while segment.at() < segment.stop:
                first.add(segment, block)
        finish(first)
        with pytest.raises(FileError, match="another run"):
            second.restart(2)
    assert (tmp_path / "a").read_bytes() == b"x" * size


def test_a_folder_that_is_removed_in_mid_run_is_made_again(tmp_path):
    home = Home(str(tmp_path))
    for _ in range(2):
        with PartFile(home, row_of(3, path="sub/a"), "size") as part:
            part.resume(1)
            part.add(part.segments[0], b"abc")
            finish(part)
        assert (tmp_path / "sub/a").read_bytes() == b"abc"
        shutil.rmtree(tmp_path / "sub")


# What stands where a part file is to be.


def old_part(folder: Path, data: bytes, size: int = 6, mtime: int = 1000, magic: bytes = OLD_MAGIC) -> Path:
    """What an earlier version has left of a file of this size and time."""
    rows = TABLE_ROW.pack(0, size, len(data))
    path = folder / "a.part"
    path.write_bytes(data.ljust(size, b"-") + rows + OLD_END.pack(size, mtime, 1, magic))
    return path


def test_what_an_earlier_version_has_left_is_gone_on_from(tmp_path):
    old_part(tmp_path, b"old")
    with part_of(tmp_path / "a", 6, "size") as part:
        assert (part.received(), part.file.home.strange) == (3, set())
        assert os.listdir(tmp_path) == [f"a{MARK}"]
        part.add(part.segments[0], b"new")
        finish(part)
    assert (tmp_path / "a").read_bytes() == b"oldnew"


@pytest.mark.parametrize("spoil", [
    lambda path: path.write_bytes(b""),
    lambda path: path.write_bytes(b"the user's own file, that has nothing to do with any copy"),
    lambda path: path.write_bytes(path.read_bytes()[-OLD_END.size - 5 :]),  # shorter than the file
    lambda path: old_part(path.parent, b"old", size=7),
    lambda path: old_part(path.parent, b"old", mtime=1001),
    lambda path: old_part(path.parent, b"old", magic=b"gridsynC"),
    lambda path: os.link(path, path.with_name("other")),
    lambda path: (path.rename(path.with_name("other")), path.symlink_to("other")),
    lambda path: (path.unlink(), os.mkfifo(path)),
    lambda path: (path.unlink(), path.mkdir()),
])  # fmt: skip
def test_what_may_be_the_users_is_left_alone_and_named(tmp_path, spoil):
    spoil(path := old_part(tmp_path, b"old"))
    before = path.lstat()
    with part_of(tmp_path / "a", 6, "size") as part:
        assert (part.received(), part.file.home.strange) == (0, {str(path)})
    del part
    assert os.path.samestat(path.lstat(), before) and open_files(tmp_path) == []


def test_a_file_of_the_catalog_is_no_earlier_versions(tmp_path):
    path = old_part(tmp_path, b"old")
    part = PartFile(Home(str(tmp_path)), row_of(6), "size", has_twin=True)
    with part:
        part.resume(1)
        assert (part.received(), part.file.home.strange) == (0, set())
    assert path.exists()


def test_a_table_without_rows_is_taken_and_begun_anew(tmp_path):
    (tmp_path / "a.part").write_bytes(b"123456" + OLD_END.pack(6, 1000, 0, OLD_MAGIC))
    with part_of(tmp_path / "a", 6, "size") as part:
        assert (part.received(), part.file.home.strange) == (0, set()) and os.listdir(tmp_path) == [f"a{MARK}"]


@pytest.mark.parametrize("make", [
    lambda path: path.symlink_to("precious"),
    lambda path: path.symlink_to("nowhere"),
    lambda path: os.link(path.with_name("precious"), path),
    lambda path: path.mkdir(),
    os.mkfifo,
])  # fmt: skip
def test_nothing_else_is_written_to(tmp_path, make):
    (tmp_path / "precious").write_bytes(b"precious")
    make(tmp_path / f"a{MARK}")
    with pytest.raises(FileError, match=r"gridsync-part is a link or not a regular file; remove it"):
        part_file(tmp_path / "a", row_of(8)).__enter__()
    assert (tmp_path / "precious").read_bytes() == b"precious" and os.path.lexists(tmp_path / f"a{MARK}")


def test_what_has_the_real_name_already_gives_the_other_one_back(tmp_path):
    (tmp_path / "a").write_bytes(b"whole")
    os.link(tmp_path / "a", tmp_path / f"a{MARK}")
    with part_of(tmp_path / "a", 5, "size") as part:
        assert part.received() == 0
        part.add(part.segments[0], b"other")
        assert (tmp_path / "a").read_bytes() == b"whole"
        finish(part, overwrite=True)
    assert (tmp_path / "a").read_bytes() == b"other"


def test_what_belongs_to_somebody_else_is_begun_anew(tmp_path, monkeypatch):
    with part_of(tmp_path / "a", 10, "size") as part:
        part.add(part.segments[0], b"half")
    user = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: user)
    with open(tmp_path / f"a{MARK}", "rb") as theirs, part_of(tmp_path / "a", 10, "size") as part:
        assert part.received() == 0 and not os.path.sameopenfile(part.file.fd, theirs.fileno())
    del part
    assert open_files(tmp_path) == []


def test_but_not_while_a_run_of_theirs_is_at_work_on_it(tmp_path, monkeypatch):
    with part_of(tmp_path / "a", 10, "size") as part:
        part.add(part.segments[0], b"half")
        user = os.geteuid() + 1
        monkeypatch.setattr(os, "geteuid", lambda: user)
        with pytest.raises(FileError, match="remove it"):
            part_file(tmp_path / "a", row_of(10)).__enter__()
        assert part.file.is_in(part.file.folder)


@pytest.mark.slow
def test_another_runs_may_be_free_soon_and_leaves_nothing_open(tmp_path):
    with part_of(tmp_path / "a", 10):
        before = open_files(tmp_path)
        second = part_file(tmp_path / "a", row_of(10))
        with pytest.raises(FileError, match="another run is copying it") as caught:
            second.__enter__()
        assert caught.value.passing
        del second, caught
        assert open_files(tmp_path) == before


def test_others_may_read_it_as_the_umask_says(tmp_path):
    before = os.umask(0o027)
    try:
        with part_of(tmp_path / "a", 10):
            assert (tmp_path / f"a{MARK}").stat().st_mode & 0o777 == 0o640
    finally:
        os.umask(before)


def test_a_folder_that_is_none_is_a_matter_of_the_file(tmp_path):
    (tmp_path / "sub").write_text("a file")
    with pytest.raises(FileError, match="sub/a cannot be used: Not a directory"):
        PartFile(Home(str(tmp_path)), row_of(6, path="sub/a"), "size").__enter__()


def test_who_has_the_lock_has_the_file_whatever_becomes_of_its_name(tmp_path):
    with part_of(tmp_path / "a", 10, "size") as part:
        (tmp_path / f"a{MARK}").unlink()
        part.restart(1)
        part.add(part.segments[0], b"more")


def test_a_file_whose_name_is_another_ones_by_now_is_not_the_one(tmp_path, monkeypatch):
    def renamed(fd: int, how: int, real=fcntl.flock) -> None:
        real(fd, how)
        os.replace(tmp_path / f"a{MARK}", tmp_path / "a")  # another run has just finished

    monkeypatch.setattr(fcntl, "flock", renamed)
    with pytest.raises(FileError, match="another run is copying it"):
        part_file(tmp_path / "a", row_of(10)).__enter__()


def test_without_locks_what_another_run_has_begun_anew_is_not_written_to(tmp_path, monkeypatch):
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with part_of(tmp_path / "a", 10, "size") as part:
        part.file.check_ours()
        (tmp_path / f"a{MARK}").unlink()
        for _ in range(2):
            with pytest.raises(FileError, match="another run is copying it") as caught:
                part.file.check_ours()
            assert caught.value.passing
            (tmp_path / f"a{MARK}").unlink(missing_ok=True)
            (tmp_path / f"a{MARK}").write_bytes(b"another one")


def test_nor_is_it_by_a_link_in_its_place(tmp_path):
    with part_of(tmp_path / "a", 10, "size") as part:
        (tmp_path / f"a{MARK}").rename(tmp_path / "b")
        (tmp_path / f"a{MARK}").symlink_to("b")
        assert part.file.folder and not part.file.is_in(part.file.folder)


# Tables: what a part file says of itself.

SIZE = 100  # of a file in two segments


def lay(folder: Path, rows: list[tuple[int, int, int]], size: int = SIZE, mtime: int = 1000, tag: bytes = b"",
        count: int | None = None, more: bytes = b"") -> None:  # fmt: skip
    """A part file with a table."""
    end = TABLE_END.pack(size, mtime, len(rows) if count is None else count, len(tag), MAGIC)
    table = b"".join(TABLE_ROW.pack(*row) for row in rows)
    (folder / f"a{MARK}").write_bytes(b"x" * SIZE + table + tag + more + end)


HALF = [(0, 50, 20), (50, 100, 30)]


@pytest.mark.parametrize(
    ("table", "done"),
    [
        ({"rows": HALF}, [20, 30]),
        ({"rows": HALF, "tag": b'"an ETag"'}, [20, 30]),
        ({"rows": [(0, 100, 7)]}, [7]),
        ({"rows": [(0, 50, 50), (50, 100, 50)]}, [50, 50]),
        ({"rows": [(0, 50, 51), (50, 100, 30)]}, [0]),  # more than there is room for
        ({"rows": [(0, 40, 20), (50, 100, 30)]}, [0]),  # there is a gap
        ({"rows": [(0, 60, 20), (50, 100, 30)]}, [0]),
        ({"rows": [(10, 50, 20), (50, 100, 30)]}, [0]),
        ({"rows": [(0, 50, 20), (50, 99, 30)]}, [0]),
        ({"rows": [(50, 100, 30), (0, 50, 20)]}, [0]),
        ({"rows": []}, [0]),
        ({"rows": HALF, "size": SIZE + 1}, [0]),  # it is of another file
        ({"rows": HALF, "mtime": 1001}, [0]),
        ({"rows": HALF, "more": b"?"}, [0]),  # something stands between
        ({"rows": HALF, "count": 1}, [0]),
        ({"rows": HALF, "count": 3}, [0]),
    ],
)
@pytest.mark.parametrize("kind", ["size", "adler32"])
def test_a_table_counts_if_it_is_of_this_file_and_makes_sense(tmp_path, kind, table, done):
    lay(tmp_path, **table)
    with part_of(tmp_path / "a", SIZE, kind) as part:
        assert [segment.done for segment in part.segments] == done
        assert part.tag == table.get("tag", b"").decode() and part.segments[-1].stop == SIZE
        assert part.has_table is (done != [0])
        if sum(done) == SIZE:
            expected = f"adler32:{zlib.adler32(b'x' * SIZE):08x}"
            assert kind == "size" or part.checksum("adler32") == expected


@pytest.mark.parametrize(
    "data",
    [
        MAGIC,
        OLD_MAGIC,
        b"x" + OLD_MAGIC,
        OLD_END.pack(SIZE, 1000, 0, OLD_MAGIC),
        TABLE_END.pack(SIZE, 1000, 0, 0, MAGIC),
    ],
)
def test_what_only_looks_like_the_end_of_a_table_is_none(tmp_path, data):
    (tmp_path / f"a{MARK}").write_bytes(data)
    with part_of(tmp_path / "a", SIZE, "size") as part:
        assert part.received() == 0 and not part.has_table


def test_what_was_of_another_file_is_gone(tmp_path):
    lay(tmp_path, HALF, mtime=2000, tag=b"old")
    with part_of(tmp_path / "a", SIZE, "size") as part:
        assert os.fstat(part.file.fd).st_size == 0 and part.tag == "" and not part.has_table


def test_an_older_table_is_written_anew_at_once(tmp_path):
    old_part(tmp_path, b"old")
    with part_of(tmp_path / "a", 6, "size"):
        assert (tmp_path / f"a{MARK}").read_bytes().endswith(MAGIC)


@pytest.mark.parametrize(("length", "done"), [(99, 99), (100, 100), (101, 0)])
def test_bytes_without_a_table_count_if_a_checksum_will_tell(tmp_path, length, done):
    (tmp_path / f"a{MARK}").write_bytes(b"x" * length)
    with part_of(tmp_path / "a", SIZE, "adler32") as part:
        assert part.received() == done


@pytest.mark.parametrize(("kind", "done"), [("adler32", 3), ("size", 8)])
def test_a_disk_that_has_kept_less_than_the_table_says_is_believed_if_it_is_read(tmp_path, kind, done):
    with part_of(tmp_path / "a", 10, kind) as part:
        os.pwrite(part.file.fd, b"abc", 2)
        part.segments = [Segment(2, 10, 8, kind)]
        part.reread(part.segments[0])
        assert part.segments[0].done == done
        assert kind == "size" or part.segments[0].checksum.text() == f"adler32:{zlib.adler32(b'abc'):08x}"


def test_to_begin_anew_is_to_forget_everything(tmp_path):
    lay(tmp_path, HALF, tag=b"tag")
    with part_of(tmp_path / "a", SIZE, "size") as part:
        part.restart(1)
        assert (part.tag, part.has_table, part.received(), os.fstat(part.file.fd).st_size) == ("", False, 0, 0)
        part.add(part.segments[0], b"y")


# The version that arrives.


@pytest.mark.parametrize("has_table", [True, False])
def test_what_the_door_calls_a_version_is_taken_down_once(tmp_path, has_table):
    size = NOTE + 1 if has_table else 10
    with part_of(tmp_path / "a", size, "size") as part:
        part.add(part.segments[0], b"x")
        assert part.has_table is has_table
        for tag in ("", '"1"', "", '"1"'):
            part.tell(tag)
        with pytest.raises(Changed):
            part.tell('"2"')
        assert part.tag == '"1"'
        if has_table:  # even a kill leaves it
            assert (tmp_path / f"a{MARK}").read_bytes()[-TABLE_END.size - 3 : -TABLE_END.size] == b'"1"'
    with part_of(tmp_path / "a", size, "size") as part:
        assert (part.tag, part.received()) == ('"1"', 1)


def test_a_strange_tag_is_kept_as_far_as_it_can_be(tmp_path):
    with part_of(tmp_path / "a", 10, "size") as part:
        part.add(part.segments[0], b"x")
        part.tell('"\u2026"')
    with part_of(tmp_path / "a", 10, "size") as part:
        assert part.tag == '"?"'


# How it is left.


def test_one_that_was_not_even_looked_at_is_left_as_it_was(tmp_path):
    (tmp_path / f"a{MARK}").write_bytes(b"half")
    with part_file(tmp_path / "a", row_of(10)):
        pass
    assert (tmp_path / f"a{MARK}").read_bytes() == b"half"


def test_another_ones_is_not_removed(tmp_path):
    with part_of(tmp_path / "a", 10):
        (tmp_path / f"a{MARK}").unlink()
        (tmp_path / f"a{MARK}").write_bytes(b"another one")
    assert (tmp_path / f"a{MARK}").read_bytes() == b"another one"


def test_a_disk_that_takes_no_table_takes_no_run_down(tmp_path, monkeypatch):
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with part_of(tmp_path / "a", 10, "size") as part:
        part.add(part.segments[0], b"half")
        monkeypatch.setattr(os, "pwrite", full)
    with part_of(tmp_path / "a", 10, "size") as part:
        assert part.received() == 0  # what was it of?


# Bytes that come.


def test_a_table_is_brought_up_to_date_now_and_then(tmp_path):
    size = 4 * NOTE
    part = part_file(tmp_path / "a", row_of(size), "size").__enter__()
    part.resume(1)
    for _ in range(4):
        part.add(part.segments[0], b"x" * (NOTE // 2))
    part.rest()
    part.add(part.segments[0], b"x" * (NOTE // 2))
    os.close(part.file.fd)  # as a kill leaves it
    with part_of(tmp_path / "a", size, "size") as again:
        assert again.received() == 2 * NOTE  # what has come since is not known


def test_a_write_may_take_several_calls(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at, real=os.pwrite: real(fd, data[:3], at))
    with part_of(tmp_path / "a", 10) as part:
        part.add(part.segments[0], b"0123456789")
        finish(part)
    assert (tmp_path / "a").read_bytes() == b"0123456789"


def test_a_part_file_that_grows_behind_our_back_is_begun_again(tmp_path):
    with part_of(tmp_path / "a", 10) as part:
        part.add(part.segments[0], b"0123")
        with open(tmp_path / f"a{MARK}", "ab") as file:
            file.write(b"x")
        with pytest.raises(FileError, match="was changed by someone else; the copy starts again") as caught:
            part.add(part.segments[0], b"4567")
        assert caught.value.passing and part.received() == 0 and os.fstat(part.file.fd).st_size == 0


# Checksums.


@pytest.mark.parametrize("streams", [1, 2])
@pytest.mark.parametrize("grown", ["adler32", "md5", "size"])
@pytest.mark.parametrize("wanted", ["adler32", "md5"])
def test_a_checksum_is_that_of_the_whole_however_it_came(tmp_path, streams, grown, wanted):
    data = os.urandom(2 * SHORTEST)
    with part_of(tmp_path / "a", len(data), grown, streams) as part:
        assert len(part.segments) == streams
        for segment in part.segments:
            part.add(segment, data[segment.start : segment.stop])
        expected = f"{zlib.adler32(data):08x}" if wanted == "adler32" else hashlib.md5(data).hexdigest()
        assert part.checksum(wanted) == f"{wanted}:{expected}"


def test_one_that_grew_with_the_bytes_needs_no_reading(tmp_path, monkeypatch):
    data = os.urandom(2 * SHORTEST)
    for streams in (1, 2):
        with part_of(tmp_path / "a", len(data), "adler32", streams) as part:
            for segment in part.segments:
                part.add(segment, data[segment.start : segment.stop])
            with monkeypatch.context() as patch:
                patch.setattr(os, "pread", None)
                assert part.checksum("adler32") == f"adler32:{zlib.adler32(data):08x}"
            part.restart(1)


# The end.


def test_a_file_that_is_not_whole_does_not_arrive(tmp_path):
    with part_of(tmp_path / "a", 10) as part:
        part.add(part.segments[0], b"0123")
        with pytest.raises(FileError, match="a: 4 of 10 bytes are here"):
            part.arrive()


@pytest.mark.parametrize(("size", "is_large"), [(10, False), (1000, False), (1001, True)])
def test_a_large_file_is_durable_when_it_arrives(tmp_path, monkeypatch, size, is_large):
    replace(monkeypatch, "LARGE", 1000)
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    with part_of(tmp_path / "a", size, "size") as part:
        part.add(part.segments[0], b"x" * size)
        part.arrive()
        assert len(synced) == is_large and os.fstat(part.file.fd).st_size == size
        assert part.is_arrived and int(os.fstat(part.file.fd).st_mtime) == 1000
    os.fstat(part.file.fd)  # it stays open until it has its name
    os.close(part.file.fd)


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS])
def test_a_filesystem_that_knows_no_durability_is_trusted(tmp_path, number):
    def refuse(fd: int) -> None:
        raise OSError(number, "no")

    with part_of(tmp_path / "a", 10) as part:
        part.add(part.segments[0], b"0123456789")
        part.synchronise(refuse)
        assert part.received() == 10


def test_one_that_has_lost_bytes_is_not(tmp_path):
    def fail(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with part_of(tmp_path / "a", 10) as part:
        part.add(part.segments[0], b"0123456789")
        with pytest.raises(DiskError, match="check the disk"):
            part.synchronise(fail)
        assert part.received() == 0 and os.fstat(part.file.fd).st_size == 0 and not part.has_table


@pytest.mark.parametrize("spoil", [
    lambda path: path.unlink(),
    lambda path: path.parent.rename(path.parent.with_name("elsewhere")),
    lambda path: os.truncate(path, 9),
    lambda path: (path.rename(path.with_name("b")), path.write_bytes(b"0123456789")),
])  # fmt: skip
def test_what_was_moved_or_changed_in_the_last_moment_gets_no_name(tmp_path, spoil):
    path = tmp_path / "sub" / f"a{MARK}"
    with PartFile(Home(str(tmp_path)), row_of(10, path="sub/a"), "size") as part:
        part.resume(1)
        part.add(part.segments[0], b"0123456789")
        folder = part.file.home.opened("sub")
        spoil(path)
        if path.parent.exists():
            with pytest.raises(FileError, match=r"someone else moved its folder or (changed )?its") as caught:
                part.file.name_it(folder, overwrite=True)
            assert caught.value.passing and not (tmp_path / "sub/a").exists()
        else:  # wherever the folder is by now
            part.file.name_it(folder, overwrite=True)
            assert (tmp_path / "elsewhere/a").exists()
