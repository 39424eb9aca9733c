"""OUTPUTDIR and the folders below it."""

from __future__ import annotations

import ctypes
import errno
import io
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from gridsync_parts.disk import MARK
from gridsync_parts.errors import DiskError, FileError
from gridsync_parts.home import MANY, Home, rename_new, whole_sync
from gridsync_parts.machine import FOLDERS_HELD
from tests.support.constants import replace
from tests.support.parts import open_files


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


def test_threads_that_look_into_a_folder_at_once_see_all_that_others_have_left(tmp_path):
    left = frozenset(f"{number}.part" for number in range(5))
    for name in left:
        (tmp_path / name).touch()
    home = Home(str(tmp_path))
    with ThreadPoolExecutor(4) as threads:
        found = {*threads.map(lambda _: home.left_names("", home.top.fd, age=0), range(2000))}
    assert found == {left}


def test_a_folder_on_a_disk_that_has_gone_ends_the_run(tmp_path, monkeypatch):
    home = Home(str(tmp_path))
    home.folder("sub")
    home.held.clear()
    home.devices["sub"] += 1  # as if another disk had been mounted there
    with pytest.raises(DiskError, match=r"the disk of .*/sub is gone"):
        home.folder("sub")


@pytest.mark.parametrize(
    ("path", "place"),
    [("a", ("", "a")), ("run/sub/a", ("run/sub", "a")), ("x" * 255, ("", "x" * 255)), ("run/a.part", ("run", "a.part")),
     ("Grid.conf/a", ("Grid.conf", "a")),
     (f"a{MARK}.txt", ("", f"a{MARK}.txt"))],
)  # fmt: skip
def test_folder_and_name_of_a_file(tmp_path, path, place):
    assert Home(str(tmp_path)).place(path) == place


OWN = ["Grid.conf", "grid.CONF", "Grid_summary.csv", "grid_folders.txt", "grid_records.txt", "grid.conf.lock"]


@pytest.mark.parametrize("name", OWN)
def test_a_site_gives_nothing_that_would_be_obeyed(tmp_path, name):
    for path in (name, f"run/{name}"):
        with pytest.raises(FileError, match="is that of one of gridsync's own files and is refused"):
            Home(str(tmp_path)).place(path)


@pytest.mark.parametrize("name", ["x" * 256, "ä" * 128])
def test_nor_what_no_disk_takes(tmp_path, name):
    with pytest.raises(FileError, match="the name is longer than 255 bytes"):
        Home(str(tmp_path)).place(name)


def test_an_outputdir_that_is_none_is_named(tmp_path):
    (tmp_path / "file").touch()
    for name, says in {"nowhere": "No such file or directory", "file": "Not a directory"}.items():
        with pytest.raises(DiskError, match=rf"OUTPUTDIR .*{name} cannot be used: {says}; choose another"):
            Home(str(tmp_path / name))


@pytest.mark.parametrize("comes", [None, "another", "file"])
def test_one_that_has_gone_ends_the_run(tmp_path, comes):
    (tmp_path / "data").mkdir()
    home = Home(str(tmp_path / "data"))
    home.check()
    (tmp_path / "data").rename(tmp_path / "gone")
    if comes:
        (tmp_path / "data").mkdir() if comes == "another" else (tmp_path / "data").touch()
    with pytest.raises(DiskError, match=r"the disk of .*data is gone; mount it and start again, nothing is lost"):
        home.check()


def test_folders_are_made_when_they_are_written_to_and_not_when_they_are_read(tmp_path):
    home = Home(str(tmp_path))
    with pytest.raises(FileNotFoundError):
        home.opened("run/sub")
    assert os.listdir(tmp_path) == []
    home.folder("run/sub")
    assert (tmp_path / "run/sub").is_dir() and home.grown == {"", "run"}
    assert os.path.samestat(os.fstat(home.opened("run/sub").fd), (tmp_path / "run/sub").stat())
    assert os.path.samestat(os.fstat(home.folder("").fd), tmp_path.stat())


@pytest.mark.slow
def test_few_folders_are_held_open(tmp_path):
    home = Home(str(tmp_path))
    first = home.folder("0")
    assert home.folder("0") is first
    for number in range(FOLDERS_HELD):
        home.folder(str(number))
    assert len(home.held) == FOLDERS_HELD
    home.folder("more")
    assert len(home.held) == 1
    before = open_files(tmp_path)
    del first
    assert len(open_files(tmp_path)) == len(before) - 1  # what is in use stays open until it is not


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: None, "No such file or directory"),
        (lambda path: path.symlink_to("/etc/passwd"), "Too many levels of symbolic links"),
    ],
)
def test_what_can_not_be_read_is_named(tmp_path, make, says):
    make(tmp_path / "a")
    with pytest.raises(FileError, match=rf"a cannot be used: {says}"):
        Home(str(tmp_path)).reading("a")


def test_a_file_is_read_where_it_is(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/a").write_bytes(b"x")
    fd = Home(str(tmp_path)).reading("sub/a")
    assert os.pread(fd, 10, 0) == b"x"
    os.close(fd)


def test_a_file_in_the_place_of_a_folder_is_not_called_a_link(tmp_path):
    (tmp_path / "sub").touch()
    with pytest.raises(NotADirectoryError):
        Home(str(tmp_path)).folder("sub/a")


# What outlives a power failure.


@pytest.fixture
def synced(monkeypatch):
    """What was made durable, by its name; and what comes of it."""
    names: list[str] = []

    def fsync(fd: int) -> None:
        names.append(os.path.basename(os.readlink(f"/proc/self/fd/{fd}")))

    monkeypatch.setattr(os, "fsync", fsync)
    return names


def test_folders_are_durable_with_those_that_they_were_made_in(tmp_path, synced):
    home = Home(str(tmp_path))
    home.folder("run/sub")
    home.keep_folders(["run/sub"])
    assert sorted(synced) == sorted([tmp_path.name, "run", "sub"]) and not home.grown and not home.held
    synced.clear()
    home.keep_folders(["run/sub"])
    assert synced == ["sub"]


def test_a_folder_that_has_gone_needs_no_more_care(tmp_path, synced):
    home = Home(str(tmp_path))
    home.folder("run")
    (tmp_path / "run").rmdir()
    home.keep_folders(["run"])
    assert synced == [tmp_path.name]


@pytest.mark.parametrize(
    ("count", "works", "whole", "single"),
    [(MANY - 1, True, 0, MANY - 1), (MANY, True, 1, 0), (MANY, False, 1, MANY), (MANY, None, 0, MANY)],
)
def test_many_files_are_made_durable_in_one_step_where_it_can_be_done(tmp_path, synced, count, works, whole, single):
    home, calls = Home(str(tmp_path)), []

    def sync_all(fd: int) -> int:
        calls.append(fd)
        return 0 if works else -1

    home.sync_all = None if works is None else sync_all
    files = [open(tmp_path / str(number), "wb") for number in range(count)]  # noqa: SIM115 - they are closed below
    for _ in range(2):
        home.make_durable([file.fileno() for file in files])
    assert len(calls) == (whole if works is not True else 2 * whole)  # what has failed once is not tried again
    assert len(synced) == 2 * single
    for file in files:
        file.close()


def test_many_folders_are_too(tmp_path, synced):
    home, calls = Home(str(tmp_path)), []
    home.sync_all = lambda fd: calls.append(fd) or 0
    paths = [str(number) for number in range(MANY)]
    for path in paths:
        home.folder(path)
    for some, count in ((paths, 1), (paths, 2), (paths[1:], 2)):
        home.keep_folders(some)
        assert len(calls) == count
    assert sorted(synced) == paths[1:]  # one by one, as they were too few


MOUNTS = "36 1 8:1 / / rw shared:1 - {} /dev/sda1 rw\n40 1 0:20 / /tmp rw - tmpfs tmpfs rw\n"


@pytest.mark.parametrize(
    ("platform", "release", "kind", "can_be"),
    [
        ("linux", "6.1.0-18-amd64", "ext4", True),
        ("linux", "5.8.0", "xfs", True),
        ("linux", "5.8", "ext3", True),
        ("linux", "5.10.0", "ext4", True),
        ("linux", "5.7.9", "ext4", False),  # it did not tell of failures yet
        ("linux", "4.19.0", "ext4", False),
        ("linux", "unknown", "ext4", False),
        ("linux", "6.1.0", "nfs", False),
        ("linux", "6.1.0", "overlay", False),
        ("darwin", "23.1.0", "ext4", False),
    ],
)
def test_a_whole_disk_is_made_durable_where_failures_are_told(monkeypatch, platform, release, kind, can_be):
    def opened(*names: object, real=open, **more: object) -> object:
        return io.StringIO(MOUNTS.format(kind)) if names[0] == "/proc/self/mountinfo" else real(*names, **more)

    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(release=release))
    monkeypatch.setattr("builtins.open", opened)
    assert bool(whole_sync.__wrapped__(os.makedev(8, 1))) is can_be
    assert whole_sync.__wrapped__(os.makedev(0, 20)) is None  # another one, as /proc says


def test_nor_is_it_where_nobody_knows_what_is_mounted(monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr("builtins.open", refuse)
    assert whole_sync.__wrapped__(os.makedev(8, 1)) is None


def test_an_outputdir_is_asked_what_its_disk_can(tmp_path, monkeypatch):
    replace(monkeypatch, "whole_sync", lambda device: device)
    assert Home(str(tmp_path)).sync_all == tmp_path.stat().st_dev


def test_too_many_open_files_are_no_fault_of_outputdir(tmp_path, monkeypatch):
    def refuse(*_: object, **__: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(DiskError, match="too many files are open; lower --threads"):
        Home(str(tmp_path))


@pytest.mark.parametrize(("number", "ends"), [(errno.EINVAL, False), (errno.ENOTSUP, False), (errno.EIO, True),
                                              (errno.EACCES, True)])  # fmt: skip
def test_a_disk_that_can_not_be_told_is_trusted_and_one_that_fails_is_not(tmp_path, monkeypatch, number, ends):
    def fail(fd: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    home = Home(str(tmp_path))
    if ends:
        with pytest.raises(DiskError, match="cannot be used"):
            home.make_durable([home.top.fd])
    else:
        home.make_durable([home.top.fd])


# A name that no other file has.


@pytest.mark.parametrize("call", ["one", "none", "refused", "no links"])
def test_a_file_gets_a_name_unless_another_one_has_it(tmp_path, monkeypatch, call):
    if call != "one":
        replace(monkeypatch, "renamer", lambda: None if call != "refused" else refuse)
    if call == "no links":
        monkeypatch.setattr(os, "link", no_links)
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        (tmp_path / "a").write_text("a")
        rename_new(folder, "a", "b")
        assert os.listdir(tmp_path) == ["b"]
        (tmp_path / "a").write_text("other")
        with pytest.raises(FileExistsError):
            rename_new(folder, "a", "b")
        assert (tmp_path / "a").read_text() == "other" and (tmp_path / "b").read_text() == "a"
        (tmp_path / "a").unlink()
        with pytest.raises(FileNotFoundError):
            rename_new(folder, "a", "c")
    finally:
        os.close(folder)


def refuse(*_: object) -> int:
    """A kernel that has the call, on a filesystem that has it not."""
    ctypes.set_errno(errno.EINVAL)
    return -1


def no_links(*_: object, **__: object) -> None:
    """A filesystem without them."""
    raise OSError(errno.EPERM, "Operation not permitted")
