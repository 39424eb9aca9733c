"""--files_from: the paths of a list in place of a folder."""

from __future__ import annotations

import json
import re
import subprocess
import time

import pytest

from tests.support.user import User, flip

NAMES = ("run/a", "run/b", "run/sub/c", "run/sub/d", "other/e")


@pytest.fixture
def tree(user: User, folder: str) -> User:
    """A user at a site with five files."""
    for number, name in enumerate(NAMES):
        user.grid.tree.add(f"agata/{folder}/{name}", 1000 + number, tape=name == "run/b")
    return user


def write_list(user: User, *lines: str) -> str:
    """A list; its name."""
    (user.folder / "list").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return str(user.folder / "list")


def listed(user: User, folder: str) -> list[str]:
    """The files in the catalog."""
    return sorted(path[len(folder) + 1 :] for path in user.catalog())


def propfinds(user: User) -> list[str]:
    """What the door was asked to list."""
    return sorted(entry.path for entry in user.grid.door.log if entry.method == "PROPFIND")


def test_what_the_list_names_comes_and_nothing_else(tree: User, folder):
    before = (tree.folder / "Grid.conf").read_bytes()
    name = write_list(tree, f"{folder}/run/a", "", f"{folder}/run/b", f"{folder}/run/sub", "   ")
    status, out, err = tree(f"--files_from={name} --sync")
    assert (status, err.count("remembered")) == (0, 0), err
    assert tree.files() == [f"{folder}/run/{name}" for name in ("a", "b", "sub/c", "sub/d")]
    assert f"INPUTDIR            : the list {name}\n" in out
    assert (tree.folder / "Grid.conf").read_bytes() == before


@pytest.mark.long
def test_it_goes_step_by_step_as_a_folder_does(tree: User, folder):
    assert tree(f"--input_dir {folder} --build_list").status == 0
    name = write_list(tree, f"{folder}/run/a", f"{folder}/run/b")
    assert tree(f"--files_from {name} --build_list --bring_online").status == 0
    while "NEARLINE=1" in (out := tree(f"--files_from {name} --check_status").out):
        time.sleep(0.1)
    assert "rows: 2\n" in out
    assert "Copied: 2, " in tree(f"--files_from {name} --start").out
    flip(tree.data / folder / "run/a", 7)
    assert "Verified: 1, damaged: 1;" in tree(f"--files_from {name} --verify").out
    assert "Copied: 1, skipped: 0, " in tree(f"--files_from {name} --repair").out
    assert tree.files() == [f"{folder}/run/a", f"{folder}/run/b"]


def test_urls_and_the_standard_input(tree: User, folder):
    lines = f"{tree.grid.door.url}/agata/{folder}/run/a\r\n{folder}//other/./e\r\n"
    status, out, _ = tree("--files_from=- --build_list", typed=lines)
    assert status == 0 and "[catalog] Catalog built from the list -\n" in out
    assert listed(tree, folder) == ["other/e", "run/a"]


def test_a_pipe_of_the_shell(tree: User, folder):
    command = " ".join(tree.command("--build_list"))
    line = f"{command} --files_from <(echo {folder}/run/a)"
    assert subprocess.run(["bash", "-c", line], env=tree.env, capture_output=True, check=False).returncode == 0
    assert listed(tree, folder) == ["run/a"]


@pytest.mark.parametrize("action", ["build_list", "sync"])
def test_what_is_not_at_the_site_is_named_and_the_others_come(tree: User, folder, action):
    name = write_list(tree, f"{folder}/run/a", f"{folder}/run/z", f"{folder}/gone/y", f"{folder}/run/a/x")
    status, _, err = tree(f"--files_from={name} --{action}")
    assert status == 1 and listed(tree, folder) == ["run/a"]
    assert re.findall(r"(?m)^gridsync.py: (\S+): is not at the site; --ls_dir shows what there is$", err) == [
        f"{folder}/gone/y", f"{folder}/run/a/x", f"{folder}/run/z"
    ]  # fmt: skip


def test_of_many_files_of_a_folder_one_that_is_not_there_is_named_too(tree: User, folder):
    name = write_list(tree, *(f"{folder}/run/{name}" for name in ("a", "b", "sub", "v", "w", "x")))
    status, _, err = tree(f"--files_from={name} --build_list")
    assert status == 1 and listed(tree, folder) == ["run/a", "run/b", "run/sub/c", "run/sub/d"]
    assert err.count("is not at the site") == 3


def test_a_folder_of_many_that_is_not_there(tree: User, folder):
    name = write_list(tree, f"{folder}/run/a", *(f"{folder}/gone/{number}" for number in range(9)))
    status, _, err = tree(f"--files_from={name} --build_list")
    assert status == 1 and err.count("is not at the site") == 9 and listed(tree, folder) == ["run/a"]


@pytest.mark.parametrize("action", ["start", "check_status", "verify", "repair", "bring_online"])
def test_what_is_not_in_the_catalog_is_named_and_the_others_go_on(tree: User, folder, action):
    assert tree(f"--input_dir {folder} --build_list").status == 0
    name = write_list(tree, f"{folder}/run/a", f"{folder}/run/sub", f"{folder}/run/z")
    status, _, err = tree(f"--files_from={name} --{action}")
    assert status == 1 and f"gridsync.py: {folder}/run/z: is not in the catalog; --build_list with " in err
    assert tree.files() == ([f"{folder}/run/{name}" for name in ("a", "sub/c", "sub/d")] if action == "start" else [])


def test_a_list_of_which_the_catalog_has_nothing(tree: User, folder):
    assert tree(f"--input_dir {folder} --build_list").status == 0
    name = write_list(tree, f"{folder}/run/z")
    status, _, err = tree(f"--files_from={name} --start")
    says = f"the catalog has no file of the list {name}; run --build_list to look for new ones"
    assert (status, err) == (2, f"gridsync.py: {says}\n")


def test_a_file_that_has_gone_from_the_site_leaves_the_list(tree: User, folder):
    name = write_list(tree, f"{folder}/run/a", f"{folder}/other")
    assert tree(f"--files_from={name} --build_list").status == 0
    tree.grid.tree.remove(f"agata/{folder}/run/a")
    assert tree(f"--files_from={name} --build_list").status == 1
    assert listed(tree, folder) == ["other/e"]


def test_patterns_hold_for_it_and_json_has_it(tree: User, folder):
    name = write_list(tree, f"{folder}/run")
    status, out, _ = tree(f"--files_from={name} --exc sub --build_list --json")
    document = json.loads(out)
    assert status == 0 and [file["path"] for file in document["files"]] == [f"{folder}/run/a", f"{folder}/run/b"]


def test_only_what_is_needed_is_asked(tree: User, folder):
    for number in range(1000):
        tree.grid.tree.add(f"agata/{folder}/many/{number % 10}/{number}", 10)
    half = [f"{folder}/many/{number % 10}/{number}" for number in range(500)]
    name = write_list(tree, f"{folder}/run/a", f"{folder}/other/e", *half)
    tree.grid.door.log.clear()
    assert tree(f"--files_from={name} --build_list").status == 0
    wanted = [f"many/{number}" for number in range(10)] + ["other/e", "run/a"]
    assert propfinds(tree) == [f"/agata/{folder}/{path}" for path in wanted]
    assert len(tree.catalog()) == 502


def test_a_door_that_is_down_is_one_sentence(tree: User, folder):
    tree.set("SERVER", "https://localhost:1/")
    name = write_list(tree, f"{folder}/run/a", f"{folder}/other/e")
    status, _, err = tree(f"--files_from={name} --build_list")
    assert status == 4 and err.count("\n") == 1


def test_below_a_url(tree: User, folder):
    name = write_list(tree, "a", "sub/c", f"{tree.grid.door.url}/agata/{folder}/run/sub/d")
    status, _, err = tree(f"{tree.grid.door.url}/agata/{folder}/run {tree.folder}/here --files_from={name}")
    assert status == 0, err
    found = sorted(str(path.relative_to(tree.folder / "here")) for path in (tree.folder / "here").rglob("?"))
    assert found == [f"{folder}/run/{name}" for name in ("a", "sub/c", "sub/d")]


LINES = {
    b"a\n../b\n": "line 2: '../b' is not a path on the grid; leave out '..'",
    b"/agata/a\n": "line 1: '/agata/a' is an absolute path; paths begin in the folder BASE_DIR_ON_GRID, without",
    b"a\x01b\n": r"line 1: 'a\x01b' has a control character; a path stands alone in its line",
    b"a\0b\0": r"line 1: 'a\x00b\x00' has a control character; a path stands alone in its line",
    b"ok\na\xff\n": "line 2: not UTF-8; save the file as UTF-8",
    b".\n": "line 1: '.' means the whole folder; leave it out, as a list says what of it is wanted",
    b"https://elsewhere.org/a\n": "line 1: https://elsewhere.org/a belongs to no site in Grid.conf",
    b"x" * 70_000: "line 1: the line is too long to be a path",
}


@pytest.mark.parametrize("data", LINES, ids=lambda data: repr(data[:20]))
def test_a_line_that_is_no_path(user: User, data):
    (user.folder / "list").write_bytes(data)
    before = (user.folder / "Grid.conf").read_bytes()
    status, out, err = user(f"--files_from={user.folder}/list --build_list")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"gridsync.py: {user.folder}/list, {LINES[data]}")
    assert (user.folder / "Grid.conf").read_bytes() == before


CAN_NOT_BE_READ = "--files_from={} cannot be read: {}; give a file with one path a line"
ONE = "--files_from and --input_dir both say which files are meant; give one of the two"
ALONE = "--files_from says which files an action is for; add one, such as --build_list or --sync"
REFUSED = {
    "--files_from nowhere --build_list": CAN_NOT_BE_READ.format("nowhere", "No such file or directory"),
    "--files_from / --build_list": CAN_NOT_BE_READ.format("/", "Is a directory"),
    "--files_from= --build_list": CAN_NOT_BE_READ.format("", "No such file or directory"),
    "--files_from /dev/null --sync": "--files_from=/dev/null names no file; give a file with one path a line",
    "--files_from - --sync": "--files_from=- names no file; give a file with one path a line",
    "--files_from x --input_dir a --sync": ONE,
    "--files_from x --input_dir a": ONE,
    "--files_from x": ALONE,
    "--files_from x --release": ALONE,
    "--files_from --sync": "--files_from has no value: --sync is an option; --files_from=--sync makes it the value",
}


@pytest.mark.parametrize("line", REFUSED)
def test_a_list_that_is_none(user: User, line):
    assert user(line) == (2, "", f"gridsync.py: {REFUSED[line]}\n")
