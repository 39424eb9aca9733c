"""What newcomers bring along: pasted URLs, empty folders, an old Python, a Grid.conf of another program or encoding."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import threading
import time

import pytest

import gridsync
from gridsync import Config, Run
from tests.conftest import SCRIPT, User, wait_until

# == An empty folder ====================================================================================

NOTHING = "There is no file in {} yet\n"


@pytest.fixture
def empty(user: User, folder: str) -> User:
    """A user who has chosen a folder with nothing in it, but for an empty folder."""
    user.grid.tree.folder(f"agata/{folder}/deeper")
    assert user(f"--input_dir {folder}").status == 0
    return user


def test_an_empty_folder_is_listed_as_such(empty: User, folder):
    assert empty(f"--ls_dir {folder}/deeper")[::2] == (0, f"The door shows nothing in {folder}/deeper\n")
    assert empty(f"--ls_dir {folder}/deeper --quiet").err == ""


@pytest.mark.parametrize("line", ["--build_list", "--sync", "--build_list --bring_online --check_status --start"])
@pytest.mark.parametrize("more", ["", "--dry_run", "--inc x --verify --repair --release"])
def test_an_empty_folder_is_no_error(empty: User, folder, line, more):
    line = f"{line} {more}"
    status, out, err = empty(line)
    assert status == 0 and NOTHING.format(folder) in err and "gridsync:" not in err, err
    assert "INPUTDIR" in out
    assert empty(f"{line} --quiet") == (0, "", "")


@pytest.mark.parametrize(
    "line", ["--start", "--check_status", "--bring_online", "--verify", "--repair", "--start --dry_run"]
)
def test_commands_on_a_list_without_files_say_how_it_grows(empty: User, folder, line):
    assert empty(line).err == (
        "gridsync: there is no list of files yet; choose a folder with --input_dir and run --build_list\n"
    )
    assert empty("--build_list").status == 0
    says = f"gridsync: the catalog has no file of {folder}; run --build_list to look for new ones\n"
    for _ in range(2):
        assert empty(line)[::2] == (2, says)
    assert empty("--release")[::2] == (0, "")


@pytest.mark.parametrize("line", ["--build_list", "--sync", "--build_list --dry_run"])
def test_patterns_that_keep_nothing_are_named_and_only_where_there_are_some(one: User, folder, line):
    status, _, err = one(f"--input_dir {folder} --exc file {line}")
    assert status == 2 and f"none of the 1 files of {folder} passes --inc and --exc" in err
    assert one(f"--input_dir {folder} --build_list").status == 0
    status, _, err = one("--exc file --start")
    assert status == 2 and f"the catalog has no file of {folder} that --inc and --exc keep; run --build_list, or" in err
    status, _, err = one(f"--input_dir {folder}/nowhere --start")
    assert status == 2 and f"the catalog has no file of {folder}/nowhere; run --build_list to" in err


# == --check_status beside another run ==================================================================

BESIDE = "another gridsync (process {}, since "


def everything(user: User) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in user.folder.iterdir() if path.is_file()}


def test_check_status_beside_another_run_says_whose_state_it_shows(user: User, folder):
    for number in range(8):
        user.grid.tree.add(f"agata/{folder}/{number}", 200_000)
    assert user(f"--input_dir {folder} --build_list --inc '[0-5]$'").status == 0
    user.grid.door.faults.add(f"*/{folder}/5", "stall_in_body", role="pool", at=1000)
    with user.running("--start") as run:
        wait_until(lambda: (user.folder / "grid_summary.csv").read_text().count(",yes,") == 5)
        before = everything(user)
        user.grid.door.log.clear()
        status, out, err = user("--check_status --threads 3")
        assert status == 0 and "counts: total: 6, downloaded: 5, remaining: 1\n" in out
        assert err.startswith(BESIDE.format(run.pid))
        assert err.endswith(f") is at work in {user.folder}; this is the state of its catalog\n")
        assert user("--check_status --verbose").out.count("ONLINE ") == 6
        assert user("--check_status --quiet") == (0, "", "")
        document = json.loads(user("--check_status --json").out)
        assert document["catalog"]["downloaded"] == 5 and document["status"] == 0 and "errors" not in document
        assert document["state_of"].startswith(BESIDE.format(run.pid))
        # Whatever follows it on the line is another matter.
        status, _, err = user("--check_status --start")
        assert status == 6 and err.endswith("; try again later\n")
        assert user("--check_status --start --quiet") == (6, "", "")
        assert everything(user) == before and run.poll() is None
        assert user.grid.door.log.count() == 0
    user.grid.door.faults.clear()
    assert user("--check_status --threads 3").status == 0
    assert "THREADS = 3" in (user.folder / "Grid.conf").read_text()


def test_it_ends_with_1_when_the_other_runs_files_could_not_be_staged(user: User, folder):
    user.grid.tree.add(f"agata/{folder}/a", 10, tape=True)
    user(f"--input_dir {folder} --build_list")
    kept = gridsync.Catalog(str(user.folder))
    says = f"{folder}/a: {gridsync.NOT_BROUGHT}: tape 007 is torn"
    kept.put([row._replace(error=says) for row in kept.all()])
    kept.save()
    with gridsync.Lock(str(user.folder)):
        status, out, err = user("--check_status")
    assert status == 1 and f"gridsync: {says}\n" in err and "NEARLINE=1" in out


def test_beside_a_run_that_has_no_list_yet_it_says_so(user: User):
    with gridsync.Lock(str(user.folder)):
        status, _, err = user("--check_status")
    assert status == 2 and "there is no list of files yet" in err


def test_a_catalog_can_be_looked_at_while_lines_are_appended(user: User):
    path = user.folder / "grid_summary.csv"
    line = "run/a,10,2015-06-09T08:22:00Z,adler32:00000001,ONLINE,no,,,LYON,\n"
    path.write_text(",".join(gridsync.Row._fields) + "\n" + line)
    ended = threading.Event()

    def append() -> None:
        with path.open("a", buffering=1) as file:
            while not ended.is_set():
                file.write(line[:20])
                file.flush()
                time.sleep(0.0003)
                file.write(line[20:])
                file.flush()

    writer = threading.Thread(target=append)
    writer.start()
    try:
        for _ in range(200):
            run = Run(str(user.folder), Config(str(user.folder)), gridsync.Wishes(), gridsync.Report(quiet=True))
            run.look()
            assert run.loaded and len(list(run.loaded.all())) == 1
    finally:
        ended.set()
        writer.join()


# == An old Python ======================================================================================

FIRST = "# gridsync needs Python 3.9 or later"


def test_nothing_before_the_line_that_names_the_version_is_too_new_for_an_older_python():
    """3.8 runs that line; what is older shows it as the place of a SyntaxError."""
    lines = SCRIPT.read_text(encoding="utf-8").splitlines(keepends=True)
    (at,) = (number for number, line in enumerate(lines) if FIRST in line)
    ast.parse("".join(lines), feature_version=(3, 8))
    ast.parse("".join(lines[:at]), feature_version=(3, 5))
    with pytest.raises(SyntaxError):
        ast.parse("".join([*lines[: at + 1], "    pass\n"]), feature_version=(3, 7))


def test_python_3_8_gets_a_sentence():
    """By a Python that says it is one, up to where 3.8 itself would fail."""
    code = (
        "import runpy, sys; sys.version_info = (3, 8, 10, 'final', 0); sys.version = '3.8.10 (default)'; "
        "sys.executable = '/opt/python3.8'; runpy.run_path(sys.argv[1], run_name='__main__')"
    )
    command = ["/usr/bin/python3", "-c", code, str(SCRIPT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "gridsync needs Python 3.9 or later; this is 3.8.10 (/opt/python3.8)\n"


OLDER = [found for name in ("3.8", "3.7", "3.6", "2.7") if (found := shutil.which(f"python{name}"))]


@pytest.mark.parametrize("python", OLDER)
def test_a_really_older_python_says_which_is_needed(python: str):
    version = [python, "-c", "import sys; sys.stdout.write('%d.%d' % sys.version_info[:2])"]
    found = subprocess.run(version, capture_output=True, text=True, check=False)
    if found.returncode:
        pytest.skip("it is only the name of one")
    done = subprocess.run([python, str(SCRIPT), "--version"], capture_output=True, text=True, check=False)
    assert "gridsync needs Python 3.9 or later" in done.stderr
    if found.stdout == "3.8":
        assert done.returncode == 2 and done.stderr.count("\n") == 1
