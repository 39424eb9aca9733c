"""Local files and disks."""

from __future__ import annotations

import errno
import fcntl
import grp
import os
import pwd
import re
import stat
import sys
import threading
from types import SimpleNamespace

import pytest

from gridsync_parts.disk import (
    MARK,
    LocalFile,
    check_copies,
    check_free,
    check_writable,
    disk_error,
    disk_usage,
    doubt_of,
    fatal_error,
    free_space,
    is_gone,
    is_open,
    local_file,
    missing_of,
    open_regular,
    part_name,
    read_into,
    replacing,
    set_aside,
    sync_file,
    target_of,
    wait_for_lock,
)
from gridsync_parts.errors import DiskError, FileError
from tests.support.constants import replace
from tests.support.parts import row_of


def test_free_space_is_looked_for_in_vain_but_not_for_ever(monkeypatch):
    def unreachable(*_: object) -> bool:
        return False

    monkeypatch.setattr(os.path, "isdir", unreachable)
    for folder in ("./data/", "data", "/nowhere/data", ""):
        assert free_space(folder) > 0  # of the folder where the search ends


@pytest.mark.parametrize("number", [13, 40, 127])
def test_who_may_not_look_does_not_know_whether_a_file_is_here(monkeypatch, number):
    def refused(path: str) -> None:
        raise OSError(number, os.strerror(number), path)

    monkeypatch.setattr(os, "lstat", refused)
    with pytest.raises(DiskError, match="cannot be used"):
        local_file("data/run/a")


# Whose a file is.


@pytest.fixture
def owned(tmp_path, monkeypatch):
    """A folder of the user's, who is not root."""
    monkeypatch.setattr(os, "getuid", lambda: os.stat(tmp_path).st_uid)
    tmp_path.chmod(0o755)
    return tmp_path


def of_another(found: os.stat_result) -> os.stat_result:
    """The same, of another user's."""
    return os.stat_result((*found[:4], found.st_uid + 7, *found[5:]))


@pytest.mark.parametrize(
    ("mode", "uid", "group", "members", "others"),
    [
        (0o644, 1000, "users", [], False),
        (0o664, 1000, "users", [], True),
        (0o666, 1000, "me", [], True),
        (0o602, 1000, "me", [], True),
        (0o664, 1000, "me", [], False),  # a group that is the user's alone, as umask 002 goes with
        (0o664, 1000, "me", ["me"], False),
        (0o664, 1000, "me", ["me", "you"], True),
        (0o664, 1000, None, [], True),  # nobody knows
        (0o664, 0, "me", [], True),
        (0o644, 0, "me", [], False),
    ],
)
def test_who_else_can_write_a_file(monkeypatch, mode, uid, group, members, others):
    def group_of(number: int) -> SimpleNamespace:
        if group is None:
            raise KeyError(number)
        return SimpleNamespace(gr_name=group, gr_mem=members)

    monkeypatch.setattr(pwd, "getpwuid", lambda number: SimpleNamespace(pw_name="me"))
    monkeypatch.setattr(grp, "getgrgid", group_of)
    assert is_open(os.stat_result((stat.S_IFREG | mode, 1, 1, 1, uid, uid, 0, 0, 0, 0))) is others


def test_a_file_of_the_work_folder_is_where_links_of_the_users_lead(owned):
    (owned / "real").mkdir()
    (owned / "real/a").write_text("x")
    (owned / "link").symlink_to("real/a")
    (owned / "folder").symlink_to("real")
    for name in ("real/a", "link", "folder/a"):
        assert target_of(str(owned / name)) == str(owned / "real/a")
    assert target_of(str(owned / "folder/new")) == str(owned / "real/new")
    assert target_of("new") == os.path.abspath("new")


def test_links_that_others_may_have_made_are_not_followed(owned):
    shared = owned / "shared"
    shared.mkdir()
    (shared / "link").symlink_to("../a")
    for mode, is_followed in ((0o755, True), (0o777, False), (0o1777, True)):
        shared.chmod(mode)
        if is_followed:
            assert target_of(str(shared / "link")) == str(owned / "a")
        else:
            with pytest.raises(DiskError, match=r"link is a link to \.\./a that others may have made; remove it"):
                target_of(str(shared / "link"))


@pytest.mark.parametrize("whose", ["link", "folder"])
def test_nor_are_those_of_others(owned, monkeypatch, whose):
    (owned / "link").symlink_to("a")

    call = "lstat" if whose == "link" else "stat"
    real = getattr(os, call)
    monkeypatch.setattr(os, call, lambda path, **more: of_another(real(path, **more)))
    with pytest.raises(DiskError, match="others may have made"):
        target_of(str(owned / "link"))


def test_what_is_no_file_is_refused(owned):
    (owned / "folder").mkdir()
    (owned / "link").symlink_to("folder")
    (owned / "round").symlink_to("round")
    for name, says in {"folder": "not a regular", "link": "not a regular", "round": "Too many levels"}.items():
        with pytest.raises(DiskError, match=rf"{says}.*; remove it"):
            target_of(str(owned / name))


@pytest.mark.parametrize(
    ("mode", "folder", "says"),
    [
        (0o644, 0o755, ""),
        (0o666, 0o755, r"others can write .*/a; check what is in it, then chmod go-w"),
        (0o644, 0o777, "others can write its folder .*; check the file, then chmod go-w"),
        (0o644, 0o1777, ""),  # there nobody can move it away
    ],
)
def test_why_others_may_have_written_a_file(owned, mode, folder, says):
    path = owned / "work/a"
    path.parent.mkdir()
    path.touch(mode=0o600)
    path.chmod(mode)
    path.parent.chmod(folder)
    doubt = doubt_of(str(path), path.stat())
    assert re.fullmatch(says + ".*", doubt) if says else doubt == ""


def test_in_a_folder_of_all_links_and_second_names_are_doubted(owned):
    path = owned / "a"
    path.touch()
    owned.chmod(0o1777)
    (owned / "link").symlink_to("a")
    assert "others can write its folder" in doubt_of(str(owned / "link"), path.stat())
    os.link(path, owned / "second")
    assert "others can write its folder" in doubt_of(str(path), path.stat())


def test_a_file_of_another_user_or_in_anothers_folder_is_doubted(owned, monkeypatch):
    (owned / "a").touch()
    found = (owned / "a").stat()
    assert doubt_of(str(owned / "a"), found) == ""
    says = "belongs to another user; copy it into a folder of your own"
    assert doubt_of(str(owned / "a"), of_another(found)) == f"{owned}/a {says}"
    monkeypatch.setattr(os, "stat", lambda path, real=os.stat, **more: of_another(real(path, **more)))
    monkeypatch.setattr(os, "getuid", lambda: found.st_uid)
    assert doubt_of(str(owned / "a"), found) == f"its folder {owned} {says}"


# Replacing a file in one step.


def test_a_file_is_replaced_in_one_step(tmp_path):
    path = tmp_path / "a"
    path.write_text("old")
    path.chmod(0o640)
    with replacing(str(path)) as file:
        file.write("new")
        file.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new" and os.listdir(tmp_path) == ["a"]
    assert path.stat().st_mode & 0o777 == 0o640  # as private as it was


def test_a_new_one_is_as_the_umask_says(tmp_path):
    before = os.umask(0o027)
    try:
        with replacing(str(tmp_path / "a")):
            pass
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_what_breaks_off_leaves_the_old_one_and_no_litter(tmp_path, error):
    (tmp_path / "a").write_text("old")
    with pytest.raises(error), replacing(str(tmp_path / "a")) as file:
        file.write("half")
        raise error
    assert (tmp_path / "a").read_text() == "old" and os.listdir(tmp_path) == ["a"]


def test_what_a_killed_run_has_left_is_no_obstacle_and_no_way_out(tmp_path):
    (tmp_path / "precious").write_text("precious")
    (tmp_path / f"a.{os.getpid()}{MARK}").symlink_to("precious")
    with replacing(str(tmp_path / "a")) as file:
        file.write("new")
    assert (tmp_path / "precious").read_text() == "precious" and (tmp_path / "a").read_text() == "new"


def test_it_is_durable_before_it_has_its_name_and_the_name_is_then(tmp_path, monkeypatch):
    calls: list[str] = []

    def fsync(fd: int) -> None:
        calls.append("folder" if os.path.isdir(f"/proc/self/fd/{fd}") else "file")

    def rename(old: str, new: str, real=os.replace) -> None:
        calls.append("name")
        real(old, new)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", rename)
    with replacing(str(tmp_path / "a")):
        pass
    assert calls == ["file", "name", "folder"]


def test_a_disk_that_does_not_take_it_is_named(tmp_path, monkeypatch):
    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskError, match="a cannot be written: No space left on device"), replacing(str(tmp_path / "a")):
        pass
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_not_read(tmp_path, make):
    make(tmp_path / "a")
    with pytest.raises(ValueError, match="a is not a regular file"):
        open_regular(str(tmp_path / "a"))


def test_a_lock_is_waited_for_but_not_for_ever(tmp_path, monkeypatch):
    first = wait_for_lock(str(tmp_path / "lock"))
    replace(monkeypatch, "LOCK_LIMIT", 0.03)
    with pytest.raises(DiskError, match=r"lock cannot be locked: .*; choose another --workdir"):
        wait_for_lock(str(tmp_path / "lock"))
    replace(monkeypatch, "LOCK_LIMIT", 5)
    threading.Timer(0.02, first.close).start()
    wait_for_lock(str(tmp_path / "lock")).close()


def test_another_programs_file_is_moved_out_of_the_way_and_no_other_one_for_it(tmp_path):
    for number, name in enumerate(("a.old", "a.old2", "a.old3")):
        (tmp_path / "a").write_text(str(number))
        assert set_aside(str(tmp_path / "a")) == str(tmp_path / name)
        assert (tmp_path / name).read_text() == str(number) and not (tmp_path / "a").exists()
    with pytest.raises(DiskError, match="a cannot be set aside: No such file or directory"):
        set_aside(str(tmp_path / "a"))


ROOM = 255 - len(MARK)  # bytes of a name that can be a part file's as it is


@pytest.mark.parametrize(
    ("name", "kept"),
    [("a" * ROOM, ROOM), ("a" * (ROOM + 1), ROOM - 17), ("ä" * 127, (ROOM - 17) // 2), ("\udcff" * 255, 0)],
)
def test_a_name_that_is_too_long_for_a_part_file_is_cut(name, kept):
    found = part_name(name)
    assert found.endswith(MARK) and len(os.fsencode(found)) <= 255
    if len(os.fsencode(name)) <= ROOM:
        assert found == name + MARK
    else:
        assert found[:kept] == name[:kept] and re.fullmatch(rf"~[0-9a-f]{{16}}{re.escape(MARK)}", found[kept:])
        assert part_name(name[:-1] + "b") != found


# What is here, and what there is room for.


def test_what_is_here_under_a_name(tmp_path):
    (tmp_path / "a").write_bytes(b"123")
    os.utime(tmp_path / "a", (5, 1000.9))
    (tmp_path / "link").symlink_to("a")
    assert local_file(str(tmp_path / "a")) == (3, 1000, True)
    found = local_file(str(tmp_path))
    assert found and not found.is_file
    link = local_file(str(tmp_path / "link"))
    assert link and not link.is_file
    for name in ("b", "a/b", "x" * 256, "a\0"):
        assert local_file(str(tmp_path / name)) is None


ROW = row_of(10)


@pytest.mark.parametrize(
    ("here", "gone"),
    [(None, True), (LocalFile(10, 0, True), False), (LocalFile(9, 0, True), True), (LocalFile(10, 0, False), True)],
)
def test_what_was_copied_is_gone_when_it_is_another_one(here, gone):
    assert is_gone(ROW, here) is gone


@pytest.mark.parametrize(
    ("number", "kind", "says"),
    [
        (errno.ENOSPC, DiskError, "the disk of /d is full; make room and start again, nothing is lost"),
        (errno.EDQUOT, DiskError, "the disk of /d is full; make room and start again, nothing is lost"),
        (errno.EIO, DiskError, "/d/a cannot be used: no; check the disk, then start again"),
        (errno.ESTALE, DiskError, "/d/a cannot be used: no; check the disk, then start again"),
        (errno.EROFS, DiskError, "/d/a cannot be used: no; check the disk, then start again"),
        (errno.EMFILE, DiskError, "too many files are open; lower --threads, or raise the limit (ulimit -n)"),
        *(
            (number, FileError, "/d/a cannot be used: no")
            for number in (errno.EACCES, errno.EEXIST, errno.ENOTDIR, errno.ENAMETOOLONG)
        ),
    ],
)
def test_what_is_wrong_with_the_disk_ends_a_run_and_what_is_wrong_with_one_file_does_not(number, kind, says):
    found = disk_error("/d/a", OSError(number, "no"))
    assert (type(found), str(found)) == (kind, says)
    fatal = fatal_error("/d/a", OSError(number, "no"))
    assert str(fatal) == (says if kind is DiskError else "/d/a cannot be used: no; check it, then start again")


def test_room_is_looked_for_where_the_folder_will_be(tmp_path, monkeypatch):
    asked, look = [], os.statvfs
    monkeypatch.setattr(os, "statvfs", lambda folder: asked.append(folder) or look(folder))
    assert free_space(str(tmp_path / "not/yet/there")) > 0
    assert asked == [str(tmp_path)]


def test_what_does_not_fit_is_refused(monkeypatch):
    replace(monkeypatch, "free_space", lambda folder: 1000)
    check_free("/d", 1000)
    with pytest.raises(DiskError, match=r"/d has 1000\.0 B free, but 1001\.0 B are needed; make room,"):
        check_free("/d", 1001)


def test_what_is_still_to_come_of_a_file(tmp_path):
    assert missing_of(str(tmp_path), ROW) == 10
    (tmp_path / f"a{MARK}").write_bytes(b"x" * 4)
    assert missing_of(str(tmp_path), ROW) == 6
    (tmp_path / f"a{MARK}").write_bytes(b"x" * 40)
    assert missing_of(str(tmp_path), ROW) == 0
    os.truncate(tmp_path / f"a{MARK}", 0)
    os.truncate(tmp_path / f"a{MARK}", 1 << 20)  # a hole takes up nothing
    assert missing_of(str(tmp_path), row_of(1 << 20)) == 1 << 20
    assert disk_usage(str(tmp_path / "nothing")) == disk_usage("a\0") == 0


def test_an_outputdir_that_can_be_made_will_do(tmp_path):
    check_writable(str(tmp_path))
    check_writable(str(tmp_path / "not/yet/"))
    (tmp_path / "file").touch()
    for path in ("file", "file/below"):
        with pytest.raises(DiskError, match=rf"OUTPUTDIR .*{path} cannot be made: Not a directory; choose another"):
            check_writable(str(tmp_path / path))


@pytest.mark.parametrize(("path", "done"), [("", "written"), ("/not/yet", "made")])
def test_one_that_can_not_is_refused(tmp_path, monkeypatch, path, done):
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(DiskError, match=rf"OUTPUTDIR .* cannot be {done}: Permission denied; choose another"):
        check_writable(f"{tmp_path}{path}")


@pytest.mark.parametrize(
    ("downloaded", "size", "files", "is_refused"),
    [
        (True, 10, None, True),
        (True, 10, [], True),
        (True, 10, ["anything"], False),
        (False, 10, None, False),
        (True, 0, None, False),  # an empty one may be missed
    ],
)
def test_a_disk_that_is_not_mounted_costs_no_row(tmp_path, downloaded, size, files, is_refused):
    if files is not None:
        (tmp_path / "data").mkdir()
    for name in files or ():
        (tmp_path / "data" / name).touch()
    rows = [ROW._replace(downloaded=downloaded, size=size)]
    if is_refused:
        with pytest.raises(DiskError, match=r"1 files were copied, but there is nothing in .*: is a disk not mounted"):
            check_copies(str(tmp_path / "data"), rows)
    else:
        check_copies(str(tmp_path / "data"), rows)


def test_without_preadv_the_same_is_read(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(bytes(range(100)))
    with open(tmp_path / "a", "rb") as file:
        found = []
        for _ in range(2):
            buffer = bytearray(30)
            places = ((20, 5), (30, 90), (5, 100))
            counts = [read_into(file.fileno(), memoryview(buffer)[:count], at) for count, at in places]
            found.append((counts, bytes(buffer)))
            monkeypatch.delattr(os, "preadv", raising=False)
        assert found[0] == found[1] == ([20, 10, 0], bytes(range(90, 100)) + bytes(range(15, 25)) + bytes(10))


@pytest.mark.parametrize("fault", [None, OSError(errno.ENOTSUP, "no")])
def test_on_macos_a_file_is_synchronised_down_to_the_disk(tmp_path, monkeypatch, fault):
    calls: list[object] = []

    def fcntl_(fd: int, what: int) -> int:
        calls.append(what)
        if fault:
            raise fault
        return 0

    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", fcntl_)
    monkeypatch.setattr(os, "fsync", lambda fd: calls.append("fsync"))
    sync_file(0)
    assert calls == ([51, "fsync"] if fault else [51])
