"""A zip of a deposit's files: its bytes, its place on the disk, and what interrupts it."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import subprocess
import threading
import time
import zipfile
from pathlib import Path

import pytest

from gridsync_parts import bundle as bundles
from gridsync_parts.bundle import Room, bundle, clear, needs_bundle, sweep
from gridsync_parts.disk import MARK, NAME_MAX
from gridsync_parts.errors import BadName, FileError, Mismatch, NoRoom
from gridsync_parts.outbox import Outbox, is_bundle
from gridsync_parts.pool import Stop
from gridsync_parts.zipped import Growing, look, size_of
from tests.support.bundles import ALL, CONTENTS, OLD, Deposit, kill_builders
from tests.support.constants import replace


@pytest.fixture
def deposit(tmp_path: Path) -> Deposit:
    return Deposit(tmp_path / "data/5500")


# Its bytes.


def test_a_zip_has_all_files_but_the_record_stored_and_its_md5_is_known(deposit):
    seen: list[int] = []
    local = deposit.make(lambda here, came: seen.append(here))
    data = deposit.file.read_bytes()
    assert local == ("5500_bundle.zip", str(deposit.file), len(data), OLD, f"md5:{hashlib.md5(data).hexdigest()}")
    assert local.row("id/5500_bundle.zip", "NRP").checksum == local.checksum
    assert deposit.members() == CONTENTS and list(deposit.members()) == sorted(CONTENTS)
    assert seen == sorted(seen) and seen[-1] == len(data) and deposit.beside() == ["5500", "5500_bundle.zip"]
    with zipfile.ZipFile(deposit.file) as archive:
        for info in archive.infolist():
            assert info.compress_type == zipfile.ZIP_STORED and info.date_time[:5] == (2020, 9, 13, 12, 26)
            assert info.external_attr >> 16 == 0o100644


def test_unzip_reads_it_and_gives_files_their_times(deposit, tmp_path):
    deposit.add("late", b"x", OLD + 1)  # a zip by itself tells two seconds
    deposit.make()
    line = ["unzip", "-q", str(deposit.file), "-d", str(tmp_path / "out")]
    said = subprocess.run(line, capture_output=True, text=True, check=False)
    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")
    for name, data in CONTENTS.items():
        assert (tmp_path / "out" / name).read_bytes() == data
        assert (tmp_path / "out" / name).stat().st_mtime == OLD
    assert (tmp_path / "out/late").stat().st_mtime == OLD + 1


@pytest.mark.parametrize("mtime", [-5, 0, 2**31, 2**33])
def test_times_that_a_zip_can_not_name_are_the_nearest(deposit, mtime):
    deposit.add("odd", b"x", mtime)
    deposit.make()
    assert deposit.members()["odd"] == b"x"


def test_the_same_files_make_the_same_zip_wherever_they_are_and_whoever_has_them(deposit, tmp_path, monkeypatch):
    first = deposit.make()
    (tmp_path / "else/5500").mkdir(parents=True)
    other = Deposit(tmp_path / "else/5500")
    (other.folder / "a").chmod(0o600)
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        second = other.make()
    finally:
        monkeypatch.undo()
        time.tzset()
    assert second.checksum == first.checksum and other.file.read_bytes() == deposit.file.read_bytes()


def test_nothing_is_larger_than_was_asked_for(deposit):
    for number in range(300):
        deposit.add(f"many/{number}", b"x")
    deposit.make()
    needed = size_of(look(deposit.files()))
    assert needed * 0.9 < deposit.file.stat().st_size <= needed


def test_a_system_without_the_calls_of_linux_makes_the_same_zip(deposit, monkeypatch):
    deposit.make()
    before = deposit.file.read_bytes()
    deposit.file.unlink()
    replace(monkeypatch, "SETTLED", 1)
    for name in ("preadv", "posix_fadvise", "setxattr", "getxattr"):
        monkeypatch.delattr(os, name)
    deposit.make()
    assert deposit.file.read_bytes() == before


def test_names_that_differ_by_case_alone_are_both_in_it(deposit):
    deposit.add("A", b"capital")
    deposit.make()
    assert deposit.members()["A"] == b"capital" and deposit.members()["a"] == b"one"


@pytest.mark.parametrize(("name", "reason"), [("a\\b", "a backslash"), (os.fsdecode(b"caf\xe9"), "not UTF-8")])
def test_names_that_other_systems_take_for_others_are_refused(deposit, name, reason):
    deposit.add(name, b"x")
    with pytest.raises(BadName, match=f"{reason}.*; rename it"):
        deposit.make()
    assert deposit.beside() == ["5500"]


@pytest.mark.parametrize("path", ["/etc/passwd", "../a", "in/../../a", ""])
def test_nor_does_a_place_outside_come_in(deposit, path):
    with pytest.raises(BadName):
        bundle("5500", str(deposit.folder), [deposit.files()[0]._replace(path=path)], Room(), Stop(), print)
    assert deposit.beside() == ["5500"]


# Whether there is one.


@pytest.mark.parametrize(("above", "needed"), [(0, False), (3, True), (4, False), (5, False)])
def test_a_zip_is_for_more_files_than_go_by_themselves(deposit, above, needed):
    assert needs_bundle(deposit.files(), above) is needed  # four, and the record


def test_a_zip_is_nobodys_data_beside_its_folder_and_somebodys_elsewhere(deposit):
    deposit.make()
    outbox = Outbox(str(deposit.folder.parent), ALL)
    outbox.collect()
    assert outbox.own == [str(deposit.file)] and outbox.files() == 5
    kept = deposit.add("in/5500_bundle.zip", deposit.file.read_bytes())
    theirs = deposit.folder.with_name("a_bundle.zip")
    theirs.write_bytes(b"PK, and what else")
    (deposit.folder.parent / "a").mkdir()
    assert is_bundle(str(deposit.file)) and not is_bundle(str(kept)) and not is_bundle(str(theirs))


# A further run.


def test_a_finished_zip_is_taken_up_with_its_md5(deposit, monkeypatch):
    first = deposit.make()
    monkeypatch.setattr(bundles, "build", None)
    assert deposit.again() == first


@pytest.mark.slow
@pytest.mark.parametrize("change", ["content", "size", "added", "removed", "time", "spoilt"])
def test_a_zip_that_is_not_of_the_files_any_more_is_made_anew(deposit, change):
    first = deposit.make()
    if change in ("content", "time"):
        deposit.add("a", b"two" if change == "content" else b"one", OLD + 1)
    elif change == "size":
        deposit.add("a", b"longer")
    elif change == "added":
        deposit.add("in/new", b"new")
    elif change == "removed":
        (deposit.folder / "B").unlink()
    else:
        data = bytearray(deposit.file.read_bytes())
        data[1000] ^= 1
        deposit.file.write_bytes(data)
    second = deposit.again()
    assert deposit.members() == {
        local.path: Path(local.file).read_bytes() for local in deposit.files() if local.path != "record.json"
    }
    assert (second.checksum == first.checksum) == (change == "spoilt")
    assert deposit.beside() == ["5500", "5500_bundle.zip"]


def test_a_file_that_has_changed_in_the_moment_in_which_it_was_read_is_read_again(deposit, monkeypatch):
    now = int(time.time())
    deposit.add("a", b"one", now)
    deposit.make()
    deposit.add("a", b"two", now)
    deposit.again()
    assert deposit.members()["a"] == b"two"


def test_what_was_sent_is_removed_and_nothing_else(deposit):
    local = deposit.make()
    assert clear(local.file, deposit.room) == "" and deposit.beside() == ["5500"] and not deposit.room.held
    deposit.file.write_bytes(b"another's")
    assert clear(local.file, deposit.room) == "" and deposit.file.exists()
    deposit.file.unlink()
    assert clear(local.file, deposit.room) == ""
    deposit.make()
    deposit.room.free(local.file)
    assert clear(local.file, Room()) == "" and deposit.beside() == ["5500"]


# What comes between.


def test_a_file_that_changes_while_it_is_read_has_the_zip_made_anew(deposit):
    changed: list[int] = []

    def meddle(here: int, came: int) -> None:
        if here > 1_500_000 and not changed:
            changed.append(here)
            deposit.add("a", b"uno", OLD + 7)  # which is in it already

    local = deposit.make(meddle)
    assert deposit.members() == {**CONTENTS, "a": b"uno"} and local.mtime == OLD + 7
    assert deposit.beside() == ["5500", "5500_bundle.zip"]


@pytest.mark.slow
def test_one_that_changes_again_and_again_is_named(deposit):
    def meddle(here: int, came: int) -> None:
        if here > 1_500_000:
            deposit.add("in/deep/é", b"x" * 3_000_001, int(here))

    with pytest.raises(FileError, match="has changed while it was read, 3 times; start again when nobody writes"):
        deposit.make(meddle)
    assert deposit.beside() == ["5500"] and not deposit.room.owed


def test_a_link_that_was_put_in_place_of_a_file_is_not_followed(deposit):
    files = deposit.files()
    (deposit.folder / "a").unlink()
    (deposit.folder / "a").symlink_to("/etc/hostname")
    with pytest.raises(FileError, match="not a regular file any more"):
        bundle("5500", str(deposit.folder), files, Room(), Stop(), lambda here, came: None)
    assert deposit.beside() == ["5500"]


def test_a_file_that_has_gone_is_named(deposit):
    files = deposit.files()
    (deposit.folder / "a").unlink()
    with pytest.raises(FileError, match="5500/a: cannot be read: No such file"):
        bundle("5500", str(deposit.folder), files, Room(), Stop(), lambda here, came: None)


def test_a_stop_ends_it_and_nothing_stays(deposit):
    with pytest.raises(FileError, match="interrupted"):
        deposit.make(lambda here, came: deposit.stop.set() if here > 1_500_000 else None)
    assert deposit.beside() == ["5500"] and not deposit.room.owed and not deposit.room.held


def test_bytes_that_the_disk_does_not_give_back_are_noticed(deposit, monkeypatch):
    def spoil(stream: Growing) -> None:
        os.pwrite(stream.fd, b"spoilt", 1_000_000)

    monkeypatch.setattr(Growing, "settle", spoil)
    with pytest.raises(Mismatch, match="not on the disk as it was written: in/deep/é has another CRC; check the disk"):
        deposit.make()
    assert deposit.beside() == ["5500"]


def refused_by_the_disk(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Only so much is written."""
    real = os.write

    def write(fd: int, data: memoryview) -> int:
        if len(data) > 100_000:
            raise OSError(number, os.strerror(number))
        return real(fd, data)

    monkeypatch.setattr(os, "write", write)


@pytest.mark.parametrize(
    ("number", "kind", "said"),
    [
        (errno.ENOSPC, NoRoom, "is full, but 2.9 MB are needed for 5500_bundle.zip; make room there"),
        (errno.EDQUOT, NoRoom, "is full, but 2.9 MB are needed for 5500_bundle.zip; make room there"),
        (errno.EIO, FileError, "5500_bundle.zip cannot be used: Input/output error"),
        (errno.EFBIG, FileError, "5500_bundle.zip cannot be used: File too large"),
    ],
)
def test_what_the_disk_says_is_a_sentence_and_nothing_stays(deposit, monkeypatch, number, kind, said):
    refused_by_the_disk(monkeypatch, number)
    with pytest.raises(kind, match=said):
        deposit.make()
    monkeypatch.undo()
    assert deposit.beside() == ["5500"] and not deposit.room.owed
    assert deposit.make() and deposit.members() == CONTENTS


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_named(deposit):
    deposit.folder.parent.chmod(0o555)
    try:
        with pytest.raises(FileError, match=r"data cannot be written: Permission denied, but 5500_bundle.zip"):
            deposit.make()
    finally:
        deposit.folder.parent.chmod(0o755)


def test_so_is_one_of_which_the_disk_is_read_only(deposit, monkeypatch):
    def refuse(*_: object, **__: object) -> int:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(bundles, "part_of", refuse)
    with pytest.raises(FileError, match=r"data cannot be written: Read-only.*; allow it, .* ZIP_ABOVE = 0"):
        deposit.make()


@pytest.mark.parametrize("theirs", ["file", "zip", "link", "folder", "fifo"])
def test_a_file_of_somebody_elses_is_named_and_stays(deposit, theirs):
    if theirs == "file":
        deposit.file.write_bytes(b"theirs")
    elif theirs == "zip":
        with zipfile.ZipFile(deposit.file, "w") as archive:
            archive.writestr("a", "b")
    elif theirs == "link":
        deposit.file.symlink_to(deposit.folder / "a")
    elif theirs == "folder":
        deposit.file.mkdir()
    else:
        os.mkfifo(deposit.file)
    found = deposit.file.lstat()
    with pytest.raises(FileError, match=r"5500_bundle.zip: is not a zip that gridsync has built.*; move it away"):
        deposit.make()
    assert deposit.file.lstat() == found and deposit.beside() == ["5500", "5500_bundle.zip"]
    assert clear(str(deposit.file), deposit.room) == "" and deposit.file.lstat() == found


def test_one_that_comes_meanwhile_stays_too(deposit):
    with pytest.raises(FileError, match="in the way of one; move it away"):
        deposit.make(lambda here, came: deposit.file.write_bytes(b"theirs"))
    assert deposit.file.read_bytes() == b"theirs" and deposit.beside() == ["5500", "5500_bundle.zip"]


@pytest.mark.parametrize("theirs", ["link", "folder", "fifo"])
def test_what_is_no_file_is_not_written_to(deposit, theirs):
    target = deposit.folder.with_name("precious")
    target.write_bytes(b"precious")
    if theirs == "link":
        deposit.part.symlink_to(target)
    elif theirs == "folder":
        deposit.part.mkdir()
    else:
        os.mkfifo(deposit.part)
    with pytest.raises(FileError, match=f"{MARK}: is a link or not a regular file; remove it"):
        deposit.make()
    assert target.read_bytes() == b"precious" and os.path.lexists(deposit.part)


def test_what_a_killed_run_has_left_goes(deposit):
    for left in (deposit.part, deposit.folder.with_name(f"77_bundle.zip{MARK}")):
        left.write_bytes(b"left")
    (precious := deposit.folder.with_name(f"run.dat{MARK}")).write_bytes(b"a copy on its way")
    deposit.make()
    assert deposit.members() == CONTENTS and not deposit.part.exists()
    sweep(str(deposit.folder.parent))
    assert deposit.beside() == ["5500", "5500_bundle.zip", precious.name]


def test_a_name_that_is_too_long_is_a_sentence(deposit):
    with pytest.raises(FileError, match="too long a name"):
        bundle("x" * (NAME_MAX - 20), str(deposit.folder), deposit.files(), Room(), Stop(), lambda here, came: None)


# Several at once.


def test_a_zip_that_another_run_builds_is_left_to_it(deposit):
    said: list[str] = []

    def meet(here: int, came: int) -> None:
        if said:
            return
        with pytest.raises(FileError, match="another run is at work on it") as raised:
            bundle("5500", str(deposit.folder), deposit.files(), Room(), Stop(), lambda here, came: None)
        said.append(str(raised.value))
        sweep(str(deposit.folder.parent))

    deposit.make(meet)
    assert said and deposit.members() == CONTENTS


def test_a_zip_that_another_run_sends_is_neither_removed_nor_made_anew(deposit):
    local = deposit.make()
    other = Room()
    again = bundle("5500", str(deposit.folder), deposit.files(), other, Stop(), lambda here, came: None)
    assert again == local
    assert clear(local.file, other) == "" and deposit.file.exists()
    deposit.add("a", b"two", OLD + 1)
    with pytest.raises(FileError, match="another run is at work on it"):
        bundle("5500", str(deposit.folder), deposit.files(), other, Stop(), lambda here, came: None)
    assert deposit.members() == CONTENTS and not other.held
    clear(local.file, deposit.room)
    assert deposit.beside() == ["5500"]


def test_where_nothing_can_be_locked_it_is_built_all_the_same(deposit, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    deposit.make()
    assert deposit.members() == CONTENTS and clear(str(deposit.file), deposit.room) == ""


def test_what_can_not_fit_is_refused_before_a_byte_is_written(deposit, monkeypatch):
    monkeypatch.setattr(bundles, "free_space", lambda folder: 1_000_000)
    with pytest.raises(NoRoom, match=r"data has 976.6 kB free, but 2.9 MB are needed for 5500_bundle.zip; make room"):
        deposit.make(lambda here, came: pytest.fail("it has begun"))
    assert NoRoom.status == 5 and deposit.beside() == ["5500"]


@pytest.mark.slow
def test_all_builders_share_the_room_and_one_waits_for_what_will_be_gone(deposit, monkeypatch, tmp_path):
    monkeypatch.setattr(bundles, "free_space", lambda folder: 5_000_000)
    (tmp_path / "data/77").mkdir()
    others = Deposit(tmp_path / "data/77").files()
    room, stop, done = deposit.room, Stop(), []
    first, second = str(deposit.file), str(tmp_path / "data/77_bundle.zip")

    def work() -> None:
        done.append(bundle("77", str(tmp_path / "data/77"), others, room, stop, lambda here, came: None))

    room.take(first, 3_000_000, stop)
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(0.5)
    assert thread.is_alive() and not os.path.exists(second)
    room.free(first)  # it was sent
    thread.join(60)
    assert not thread.is_alive() and [local.path for local in done] == ["77_bundle.zip"]
    clear(second, room)


def test_one_that_waits_for_room_ends_when_the_run_does(deposit, monkeypatch):
    monkeypatch.setattr(bundles, "free_space", lambda folder: 5_000_000)
    deposit.room.take(str(deposit.folder.with_name("77_bundle.zip")), 4_000_000, deposit.stop)
    threading.Timer(0.1, deposit.stop.set).start()
    with pytest.raises(FileError, match="interrupted"):
        deposit.make()
    assert deposit.beside() == ["5500"]


# Killed.


@pytest.mark.long
@pytest.mark.slow
def test_killed_at_any_moment_it_is_finished_or_gone_in_the_next_run(deposit):
    kill_builders(deposit, 12)

def test_settling_again_and_again_does_no_harm(deposit, monkeypatch):
    replace(monkeypatch, "SETTLED", 100_000)
    deposit.make()
    assert deposit.members() == CONTENTS
