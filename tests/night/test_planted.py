"""What somebody may have put where gridsync.py writes: links, devices, files of the user's that look like its own."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from gridsync_parts.catalog import Catalog
from gridsync_parts.disk import MARK
from gridsync_parts.segments import OLD_END, OLD_MAGIC, SHORTEST, TABLE_ROW
from tests.support.user import User, wait_until

MB = 1 << 20
STRANGER = 65534


@pytest.fixture
def three(user: User, folder: str) -> User:
    """A user with a list of three files."""
    for name, size in (("small", 10), ("sub/a", 70_000), ("sub/b", 2 * MB)):
        user.grid.tree.add(f"agata/{folder}/{name}", size)
    assert user(f"--input_dir {folder} --build_list").status == 0
    return user


def is_right(user: User, path: str) -> bool:
    return (user.data / path).read_bytes() == user.grid.tree.expected(f"agata/{path}")


def test_a_folder_that_becomes_a_link_in_mid_run_takes_nothing_outside(user, folder, tmp_path):
    for number in range(40):
        user.grid.tree.add(f"agata/{folder}/sub/{number:02d}", 30_000)
    assert user(f"--input_dir {folder} --build_list").status == 0
    outside, sub = tmp_path / "outside", user.data / folder / "sub"
    outside.mkdir()
    user.grid.door.switches.bandwidth = MB
    try:
        with user.running("--start --threads 2") as run:
            wait_until(lambda: sub.is_dir() and len(list(sub.iterdir())) > 5)
            sub.rename(user.data / "aside")
            sub.symlink_to(outside)
            _, err = run.communicate(timeout=60)
            status = run.returncode
    finally:
        user.grid.door.switches.bandwidth = 0
    assert list(outside.iterdir()) == []
    assert status == 1 and f"a link in OUTPUTDIR leads to {outside}; remove it" in err
    sub.unlink()
    (user.data / "aside").rename(sub)
    assert user("--start").status == 0
    assert all(is_right(user, f"{folder}/sub/{number:02d}") for number in range(40))


@pytest.mark.parametrize("name", ["grid_summary.csv.lock", f"grid_summary.csv.PID{MARK}", "grid_summary.csv.PID"])
@pytest.mark.parametrize("how", ["symlink_to", "hardlink_to"])
def test_links_in_the_work_folder_harm_nothing(three, tmp_path, name, how):
    victim = tmp_path / "victim"
    victim.write_text("precious\n")
    (three.folder / "grid_summary.csv.lock").unlink(missing_ok=True)
    for pid in range(os.getpid(), os.getpid() + 2000) if "PID" in name else [0]:  # one of them will be its own
        getattr(three.folder / name.replace("PID", str(pid)), how)(victim)
    status, _, err = three("--start")
    assert victim.read_text() == "precious\n"
    if "PID" in name:
        assert status == 0, err
    else:
        assert status == 5 and "grid_summary.csv.lock cannot be locked: " in err


@pytest.mark.long
def test_nor_do_links_in_the_place_of_a_new_grid_conf(three, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious\n")
    for pid in range(os.getpid(), os.getpid() + 2000):
        for end in ("", MARK):
            (three.folder / f"Grid.conf.{pid}{end}").symlink_to(victim)
    assert three("--threads 2").status == 0
    assert victim.read_text() == "precious\n" and "THREADS = 2" in (three.folder / "Grid.conf").read_text()


def test_a_pipe_in_the_place_of_the_lock_holds_up_nothing(three):
    (three.folder / "grid_summary.csv.lock").unlink()
    os.mkfifo(three.folder / "grid_summary.csv.lock")
    status, _, err = three("--start")
    assert status == 5 and "it is a link or not a regular file" in err


@pytest.mark.parametrize("kind", ["symlink", "dangling", "hard link", "pipe", "folder", "device"])
def test_what_is_no_file_of_ours_is_no_part_file(three, folder, tmp_path, kind):
    victim = tmp_path / "victim"
    victim.write_text("precious\n")
    part = three.data / folder / f"small{MARK}"
    part.parent.mkdir(parents=True)
    if kind == "symlink":
        part.symlink_to(victim)
    elif kind == "dangling":
        part.symlink_to(tmp_path / "new")
    elif kind == "hard link":
        part.hardlink_to(victim)
    elif kind == "pipe":
        os.mkfifo(part)
    elif kind == "folder":
        part.mkdir()
    else:
        if os.geteuid():
            pytest.skip("only root can make a device")
        os.mknod(part, 0o600 | 0o020000, os.makedev(1, 3))
    status, out, err = three("--start")
    assert status == 1 and "Copied: 2, skipped: 0, failed: 1" in out
    assert f"{part} is a link or not a regular file; remove it" in err
    assert victim.read_text() == "precious\n" and not (tmp_path / "new").exists()


def test_files_of_the_users_keep_what_they_have_whatever_their_names(three, folder):
    sub = three.data / folder / "sub"
    sub.mkdir(parents=True)
    mine = {
        sub / "a.part": b"mine", sub / "b.part": b"m" * 100_000, three.folder / "grid_summary.csv.20251126": b"backup",
        three.folder / "Grid.conf.1": b"old", sub / "other.part": OLD_MAGIC,
    }  # fmt: skip
    for path, content in mine.items():
        path.write_bytes(content)
    status, _, err = three("--start")
    assert status == 0
    assert {path: path.read_bytes() for path in mine} == mine
    assert err.count("may come from an earlier gridsync") == 2 and f"{sub / 'a.part'} may come" in err
    assert is_right(three, f"{folder}/sub/a") and is_right(three, f"{folder}/sub/b")
    assert "may come from" not in three("--start").err


def test_a_file_of_another_site_is_no_part_file(user, folder):
    """Of the file x at LYON, of whose name another one is that CNAF has."""
    user.grid.tree.add(f"agata/{folder}/x", 2 * MB)
    other = user.data / folder / "x.part"
    other.parent.mkdir(parents=True)
    table = OLD_END.pack(2 * MB, user.grid.tree.file(f"agata/{folder}/x").mtime, 1, OLD_MAGIC)
    other.write_bytes(bytes(2 * MB) + TABLE_ROW.pack(0, 2 * MB, MB) + table)
    assert user(f"--input_dir {folder} --build_list").status == 0
    rows = (user.folder / "grid_summary.csv").read_text()
    (user.folder / "grid_summary.csv").write_text(
        f"{rows}{folder}/x.part,{other.stat().st_size},2020-01-01T00:00:00Z,,ONLINE,yes,size,,CNAF,,\n"
    )
    before = other.read_bytes()
    assert user("--start").status == 0
    assert other.read_bytes() == before and is_right(user, f"{folder}/x")


def test_what_an_earlier_version_has_left_is_gone_on_from_if_its_table_says_whose_it_is(user, folder):
    size = 2 * SHORTEST
    user.grid.tree.add(f"agata/{folder}/x", size)
    content = user.grid.tree.expected(f"agata/{folder}/x")
    assert user(f"--input_dir {folder} --build_list").status == 0
    (row,) = Catalog(str(user.folder)).all()
    old = user.data / folder / "x.part"
    old.parent.mkdir(parents=True)
    half = size // 2
    rows = TABLE_ROW.pack(0, half, 9 * MB) + TABLE_ROW.pack(half, size, 0)
    old.write_bytes(content[: 9 * MB] + bytes(size - 9 * MB) + rows + OLD_END.pack(
        size, row.mtime, 2, OLD_MAGIC
    ))  # fmt: skip
    user.grid.door.log.clear()
    assert user("--start --streams 2").status == 0
    assert is_right(user, f"{folder}/x") and user.files() == [f"{folder}/x"]
    assert sum(record.sent for record in user.grid.door.log.matching(role="pool")) == size - 9 * MB


def test_a_site_may_not_name_files_as_ours_are_named_while_they_are_copied(user, folder):
    user.grid.tree.add(f"agata/{folder}/x", 50_000)
    user.grid.tree.add(f"agata/{folder}/x{MARK}", 50_000)
    status, out, err = user(f"--input_dir {folder} --build_list --start")
    assert status == 1 and "Copied: 1, skipped: 0, failed: 1" in out
    assert f"{folder}/x{MARK}: the name ends like that of an unfinished copy" in err
    assert user.files() == [f"{folder}/x"] and is_right(user, f"{folder}/x")


@pytest.mark.parametrize("length", [240, 255])
def test_names_of_any_length_that_a_disk_takes_are_copied(user, folder, length):
    names = ["a" * length, "a" * (length - 1) + "b"]
    for name in names:
        user.grid.tree.add(f"agata/{folder}/{name}", 2 * MB, checksums=())
    user.grid.door.faults.add(f"*/{names[0]}", "truncate", role="pool", at=MB, count=1)
    assert user(f"--input_dir {folder} --build_list --start").status == 0
    assert all(is_right(user, f"{folder}/{name}") for name in names)


# == Links, pipes and floods in place of what is in a work folder =======================================


def plant(link: Path, target: Path) -> None:
    """Make a link as another user would."""
    if os.getuid():
        pytest.skip("only root can make a link that is another user's")
    link.unlink(missing_ok=True)
    link.symlink_to(target)
    os.chown(link, STRANGER, STRANGER, follow_symlinks=False)


def plant_in_open_folder(link: Path, target: Path) -> None:
    """Make a link where others can give any name to what is there."""
    link.unlink(missing_ok=True)
    link.symlink_to(target)
    link.parent.chmod(0o777)


PLANTED = pytest.mark.parametrize("planted", [plant, plant_in_open_folder])
FILES = pytest.mark.parametrize(
    "name, line, expected",
    [("grid_folders.txt", "--ls_dir {}", 0), ("grid_summary.csv", "--build_list", 5), ("Grid.conf", "--threads 3", 5)],
)


@PLANTED
@FILES
@pytest.mark.parametrize("content", ["of its kind", "any", None])
def test_none_of_the_users_is_changed_through_a_link(three, folder, tmp_path, planted, name, line, expected, content):
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    victim, path = home / "victim", three.folder / name
    assert three(f"--ls_dir {folder}").status == 0
    kept = {"of its kind": path.read_text(), "any": "b\na[touch x #]\tb\na\n", None: None}[content]
    if kept is not None:
        victim.write_text(kept)
    planted(path, victim)
    status, _, err = three(line.format(folder), GRIDSYNC_DIR=str(three.folder))
    assert {path.name: path.read_text() for path in home.iterdir()} == ({} if kept is None else {"victim": kept}), err
    assert status == expected or content == "any", err


@pytest.mark.parametrize("name", ["grid_folders.txt", "grid_summary.csv", "Grid.conf"])
def test_a_link_that_only_the_user_can_have_made_is_followed(three, folder, tmp_path, name):
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    assert three(f"--ls_dir {folder}").status == 0
    (three.folder / name).rename(home / name)
    (three.folder / name).symlink_to(Path("home", name))
    before = (home / name).read_text()
    three.grid.tree.add(f"agata/{folder}/new/x", 10)
    assert three(f"--ls_dir {folder}").status == 0 and three("--threads 3 --build_list").status == 0
    assert (three.folder / name).is_symlink() and (home / name).read_text() != before


def make_device(path: Path) -> None:
    """Make a device without end, such as /dev/zero is; not that one itself, which root could replace."""
    if os.geteuid():
        pytest.skip("only root can make a device")
    os.mknod(path, 0o600 | 0o020000, os.makedev(1, 5))


@pytest.mark.parametrize("kind", [os.mkfifo, make_device])
@pytest.mark.parametrize("is_link", [False, True])
@pytest.mark.parametrize("name", ["grid_folders.txt", "grid_summary.csv", "Grid.conf"])
def test_what_is_no_file_holds_nothing_up_and_stays(three, folder, tmp_path, kind, is_link, name):
    path, other = three.folder / name, tmp_path / "other"
    path.unlink(missing_ok=True)
    kind(other if is_link else path)
    if is_link:
        path.symlink_to(other)
    three.limit = 20
    status, _, err = three(f"--ls_dir {folder}" if name == "grid_folders.txt" else "--start")
    assert (status, f"{name} is not a regular file" in err) == {
        "grid_folders.txt": (0, False), "grid_summary.csv": (5, True), "Grid.conf": (2, True)
    }[name]  # fmt: skip
    assert path.exists() and not path.is_file()


@pytest.mark.parametrize("name", ["grid_summary.csv", "grid_summary.csv.lock", "Grid.conf"])
def test_a_flood_takes_no_memory(three, name):
    with open(three.folder / name, "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.truncate(1 << 30)
        three.limit = 20
        (status, _, _), memory = three.measure("--start")
    assert status == {"grid_summary.csv": 2, "grid_summary.csv.lock": 6, "Grid.conf": 2}[name]
    assert memory < 300
