"""What newcomers bring along: pasted URLs, empty folders, an old Python, a Grid.conf of another program or encoding."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import threading
import time
from pathlib import Path

import pytest

import gridsync
from gridsync import Run
from gridsync_parts.catalog import Catalog, Lock
from gridsync_parts.errors import UsageError
from gridsync_parts.plans import NOT_BROUGHT
from gridsync_parts.settings import Config
from gridsync_parts.values import Row, Wishes
from tests.support import SCRIPT
from tests.support.user import User, wait_until

# == A folder as it stands elsewhere ====================================================================


@pytest.fixture
def one(user: User, folder: str) -> User:
    """A user whose folder has one file."""
    user.grid.tree.add(f"agata/{folder}/a b/file", 1000)
    return user


URLS = {
    "https": "{server}/agata/{folder}/a%20b",
    "davs": "davs://{place}/agata/{folder}/a%20b/",
    "with doubled slashes and a query": "{server}//agata//{folder}/a%20b?authz=abcdef",
    "in capitals": "HTTPS://{place}/agata/{folder}/a%20b",
}


@pytest.mark.parametrize("kind", URLS)
def test_a_url_of_the_site_is_taken_for_its_path(one: User, folder, kind):
    server = one.grid.door.url
    url = URLS[kind].format(server=server, place=server.partition("//")[2], folder=folder)
    status, out, err = one(f"--input_dir '{url}' --build_list")
    assert status == 0 and f"INPUTDIR            : {folder}/a b\n" in out
    assert f"--input_dir is taken as {folder}/a b, below BASE_DIR_ON_GRID of LYON\n" in err
    assert list(one.catalog()) == [f"{folder}/a b/file"]
    status, out, err = one(f"--ls_dir '{url}'")
    assert status == 0 and out.endswith(" file\n") and err == f"--ls_dir is taken as {folder}/a b, below {BASE}\n"
    assert one(f"--ls_dir '{url}' --quiet").err == ""


BASE = "BASE_DIR_ON_GRID of LYON"


@pytest.mark.parametrize(
    ("name", "says"),
    [("a%0AVO%20=%20x", "contains a control character"), ("a%20", "keeps no blanks around"), ("..", "is not a path")],
)
def test_what_a_url_means_is_checked_as_a_path_is(user: User, name, says):
    before = (user.folder / "Grid.conf").read_bytes()
    status, _, err = user(f"--input_dir '{user.grid.door.url}/agata/{name}'")
    assert status == 2 and says in err and err.count("\n") == 1
    assert (user.folder / "Grid.conf").read_bytes() == before


def test_the_url_of_base_dir_is_all_of_it(user: User):
    assert " e680\n" in user(f"--ls_dir {user.grid.door.url}/agata").out
    assert "INPUTDIR            : /\n" in user(f"--input_dir {user.grid.door.url}/agata/").out


SITES = """[gridsync]
SITE = A
INPUTDIR = {}
[A]
SERVER = https://a.example.org/
BASE_DIR_ON_GRID = agata/
[B]
SERVER = davs://b.example.org:2880/dav/
BASE_DIR_ON_GRID = vo/agata/
[A2]
SERVER = https://A.example.org:443
BASE_DIR_ON_GRID = other
[broken]
SERVER = https://b.example.org:port/
BASE_DIR_ON_GRID = ../
"""


@pytest.mark.every(1)
@pytest.mark.parametrize(
    ("site", "url", "path"),
    [
        ("A", "https://a.example.org:443/agata/e680", "e680"),
        ("a", "https://a.example.org/agata", "/"),
        ("A2", "https://a.example.org/other/e680/", "e680"),
        ("B", "https://b.example.org:2880/dav/vo/agata/e680", "e680"),
        ("A", "agata/e680", "agata/e680"),
        ("A", "", ""),
    ],
)
def test_where_a_url_leads_below_base_dir(tmp_path, site, url, path):
    (tmp_path / "Grid.conf").write_text(SITES.format(""))
    assert Config(str(tmp_path)).path_of(url, site) == path


@pytest.mark.every(1)
@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("https://b.example.org:2880/dav/vo/agata/e680", "belongs to the site B; use --from B"),
        ("https://a.example.org/other/e680", "belongs to the site A2; use --from A2"),
        ("https://me:secret@a.example.org/agatha/e680", "is not below BASE_DIR_ON_GRID of A; give a path below it"),
        ("https://a.example.org/agata2/e680", "is not below BASE_DIR_ON_GRID of A"),
        ("https://a.example.org:2880/agata", "belongs to no site in Grid.conf, which has A (a.example.org:443)"),
        ("https://c.example.org/agata/e680?authz=secret", "2 (a.example.org:443)"),
        ("https://me:sec/ret@c.example.org/agata#secret", "https://c.example.org/agata is neither a URL"),
        ("https://[c.example.org/agata", "is neither a URL nor a path below BASE_DIR_ON_GRID"),
    ],
)
def test_a_url_that_is_not_of_the_site_is_told_where_it_belongs(tmp_path, url, says):
    (tmp_path / "Grid.conf").write_text(SITES.format(""))
    with pytest.raises(UsageError) as caught:
        Config(str(tmp_path)).path_of(url, "A")
    assert says in str(caught.value) and "secret" not in str(caught.value) and "ret@" not in str(caught.value)


def test_a_url_that_stands_in_grid_conf_is_understood_too(tmp_path):
    (tmp_path / "Grid.conf").write_text(SITES.format("https://a.example.org/agata/e680"))
    assert Config(str(tmp_path)).settings().input_dir == "e680"


@pytest.mark.parametrize("line", ["--ls_dir {}", "--input_dir {} --build_list", "--input_dir {} --sync"])
@pytest.mark.parametrize(("kind", "slash"), [("dcache", ""), ("storm", "/")])
def test_base_dir_in_front_of_a_path_is_explained(one: User, folder, line, slash, kind):
    if kind == "storm":
        one.set("SERVER", one.grid.storm.url)
    before = (one.folder / "Grid.conf").read_bytes()
    status, _, err = one(line.format(f"'{slash}agata/{folder}/a b'"))
    option = line.split()[0]
    assert status == 2 and err.count("\n") == 1
    assert f"there is no agata/{folder}/a b below BASE_DIR_ON_GRID agata/" in err
    assert err.endswith(f"paths begin below it: {option} '{folder}/a b'\n")
    assert (one.folder / "Grid.conf").read_bytes() == before


def test_base_dir_alone_is_explained_too(user: User):
    assert user("--ls_dir agata").err.endswith("paths begin below it: --ls_dir /\n")


def test_a_folder_that_really_is_called_as_base_dir_is_found(user: User):
    user.grid.tree.add("agata/agata/here", 10)
    try:
        assert "here\n" in user("--ls_dir agata").out
        err = user("--ls_dir agata/nowhere").err
        assert "there is no such file or folder" in err and "paths begin below" not in err
    finally:
        user.grid.tree.remove("agata/agata")


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
    assert status == 0 and NOTHING.format(folder) in err and "gridsync.py:" not in err, err
    assert "INPUTDIR" in out
    assert empty(f"{line} --quiet") == (0, "", "")


@pytest.mark.parametrize(
    "line", ["--start", "--check_status", "--bring_online", "--verify", "--repair", "--start --dry_run"]
)
def test_commands_on_a_list_without_files_say_how_it_grows(empty: User, folder, line):
    assert empty(line).err == (
        "gridsync.py: there is no list of files yet; choose a folder with --input_dir and run --build_list\n"
    )
    assert empty("--build_list").status == 0
    says = f"gridsync.py: the catalog has no file of {folder}; run --build_list to look for new ones\n"
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


@pytest.mark.long
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
    kept = Catalog(str(user.folder))
    says = f"{folder}/a: {NOT_BROUGHT}: tape 007 is torn"
    kept.put([row._replace(error=says) for row in kept.all()])
    kept.save()
    with Lock(str(user.folder)):
        status, out, err = user("--check_status")
    assert status == 1 and f"gridsync.py: {says}\n" in err and "NEARLINE=1" in out


def test_beside_a_run_that_has_no_list_yet_it_says_so(user: User):
    with Lock(str(user.folder)):
        status, out, err = user("--check_status")
    assert status == 0 and err.endswith("it has none of these files yet\n") and "[catalog] rows: 0\n" in out


@pytest.mark.long
def test_a_catalog_can_be_looked_at_while_lines_are_appended(user: User):
    path = user.folder / "grid_summary.csv"
    line = "run/a,10,2015-06-09T08:22:00Z,adler32:00000001,ONLINE,no,,,LYON,,\n"
    path.write_text(",".join(Row._fields) + "\n" + line)
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
            run = Run(Config(str(user.folder)), Wishes(), gridsync.Report(quiet=True))
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


# == Grid.conf as editors and other programs write it ===================================================

MINE = "[gridsync]\nSITE = A\n# é\n[A]\nSERVER = https://a.example.org/\nBASE_DIR_ON_GRID = agata/\n"


@pytest.mark.every(1)
@pytest.mark.parametrize(
    ("data", "says"),
    [
        (MINE.encode("latin-1"), "Grid.conf, line 3: not UTF-8; save the file as UTF-8"),
        (MINE.encode("utf-16"), "Grid.conf, line 1: not UTF-8; save the file as UTF-8"),
        (MINE.replace("é", "e").encode("utf-16-le"), "Grid.conf, line 1: a NUL character; save the file as plain"),
        (MINE.replace("agata/", "aga\0ta/").encode(), "line 6: a NUL character; save the file as plain text in UTF-8"),
    ],
)
def test_an_encoding_that_is_not_ours_is_refused_with_its_line(user: User, data, says):
    (user.folder / "Grid.conf").write_bytes(data)
    status, _, err = user("--show_conf")
    assert status == 2 and err.count("\n") == 1 and says in err
    assert (user.folder / "Grid.conf").read_bytes() == data


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_what_windows_editors_write_is_read_and_kept(user: User, end, mark):
    path = user.folder / "Grid.conf"
    path.write_bytes((mark + MINE.replace("\n", end)).encode())
    status, out, err = user("--threads 3 --show_conf")
    assert status == 0 and "SERVER              : https://a.example.org/\n" in out and "remembered: THREADS = 3" in err
    assert path.read_bytes().decode("utf-8-sig") == MINE.replace("# é\n", "# é\nTHREADS = 3\n").replace("\n", end)


FOREIGN = {
    "no section": "SERVER = https://x.example.org:2880/\nBASE_DIR_ON_GRID = agata/\nINPUTDIR =\nOUTPUTDIR = /data/\n",
    "one section for all": "[DEFAULT]\nserver = https://x.example.org/\nbase_dir_on_grid = agata/\n",
    "another name": "[Grid]\nSERVER = https://x.example.org/\nINPUTDIR = e680\nOUTPUTDIR = /data/\nthreads = 4\n",
    "colons": "SERVER: https://x.example.org/\nOUTPUTDIR: /data/\n",
    "json": '{"SERVER": "https://x.example.org/"}\n',
    "other words": "[main]\nurl = https://x.example.org/\n",
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_another_programs_grid_conf_is_set_aside_and_a_new_one_made(user: User, kind):
    path, old = user.folder / "Grid.conf", user.folder / "Grid.conf.old"
    path.write_text(FOREIGN[kind])
    status, _, err = user("--show_conf --dry_run")
    assert (status, err) == (0, f"{path} was made by another program and is not used\n")
    assert path.read_text() == FOREIGN[kind] and not old.exists()
    status, out, err = user("--show_conf")
    assert status == 0 and "SERVER              : https://ccdavegee.in2p3.fr:2880/\n" in out
    assert err.startswith(f"{path} was made by another program; it is now {old}") and err.count("\n") == 1
    assert err.endswith(f"{old}\n") == (kind == "other words")
    assert (", and its values were not taken over: SERVER" in err) == ("SERVER" in FOREIGN[kind].upper())
    assert old.read_text() == FOREIGN[kind] and "SITE = LYON\n" in path.read_text()
    assert user("--show_conf").err == ""


def test_what_was_set_aside_is_never_overwritten(user: User):
    path = user.folder / "Grid.conf"
    for number, name in enumerate(("Grid.conf.old", "Grid.conf.old2", "Grid.conf.old3")):
        path.write_text(f"INPUTDIR = {number}\n")
        status, _, err = user("--threads 3 --quiet")
        assert status == 0 and f"was made by another program; it is now {user.folder / name}, and" in err
        assert (user.folder / name).read_text() == f"INPUTDIR = {number}\n"
        assert "THREADS = 3\n" in path.read_text()


def test_a_refused_line_sets_nothing_aside(user: User):
    path = user.folder / "Grid.conf"
    path.write_text(FOREIGN["another name"])
    assert user("--threads 64 --streams 2 --show_conf").status == 2
    assert path.read_text() == FOREIGN["another name"] and not (user.folder / "Grid.conf.old").exists()


TYPOS = {
    "[gridsync\nSITE = A\n[A]\nSERVER = https://a/\n": "Grid.conf, line 1: expected a [section]",
    "[gridsnyc]\nSITE = A\n[A]\nSERVER = https://a/\n": "Grid.conf, line 1: [gridsnyc] must be [gridsync]",
    "# mine\n[GridSync]\nINPUTDIR = e680\n[A]\nSERVER = https://a/\n": "line 2: [GridSync] must be [gridsync]",
    "SITE = A\n[A]\nSERVER = https://a/\n": "Grid.conf, line 1: expected a [section]",
    "[LYON]\nSERVER https://a/\n": "Grid.conf, line 2: expected KEY = value",
    "[gridsync]\nSITE: A\n": "Grid.conf, line 2: expected KEY = value",
}


@pytest.mark.parametrize("text", TYPOS)
def test_a_slip_of_the_users_own_is_refused_and_not_set_aside(user: User, text):
    path = user.folder / "Grid.conf"
    path.write_text(text)
    status, _, err = user("--show_conf")
    assert status == 2 and err.count("\n") == 1 and TYPOS[text] in err
    assert path.read_text() == text and not (user.folder / "Grid.conf.old").exists()


@pytest.mark.parametrize("header", ["[gridsync] # mine", "[gridsync]; mine", "  [gridsync]\t"])
def test_a_comment_behind_the_section_makes_it_no_other_programs(user: User, header):
    path, text = user.folder / "Grid.conf", f"{header}\nINPUTDIR = e680\nTHREADS = 8\n[LYON]\nSERVER = https://a/\n"
    path.write_text(text)
    user("--show_conf")
    assert path.read_text() == text and not (user.folder / "Grid.conf.old").exists()


def test_json_says_that_it_was_set_aside(user: User):
    (user.folder / "Grid.conf").write_text(FOREIGN["another name"])
    assert "it is now" in json.loads(user("--show_conf --json").out)["warnings"][0]


def test_the_password_in_an_old_input_dir_is_not_repeated(tmp_path):
    (tmp_path / "Grid.conf").write_text(SITES.format("https://me:secret@a.example.org/agata/e680"))
    (change,) = Config(str(tmp_path)).save({"INPUTDIR": "e681"})
    assert str(change) == "INPUTDIR = e681 (was https://a.example.org/agata/e680)"


@pytest.mark.parametrize("text", ["[LYON]\nSERVER = https://a/\n", "# mine\n[LYON]\nserver=https://a/\nSILENCE = 9\n"])
def test_a_grid_conf_of_sites_alone_is_the_users_own(user: User, text):
    path = user.folder / "Grid.conf"
    path.write_text(text)
    status, out, _ = user("--show_conf --threads 3")
    assert status == 0 and "SERVER              : https://a/\n" in out
    assert path.read_text() == f"{text.rstrip()}\n\n[gridsync]\nTHREADS = 3\n"


@pytest.mark.long
def test_two_runs_that_find_it_set_it_aside_once(user: User):
    path = user.folder / "Grid.conf"
    path.write_text(FOREIGN["another name"])
    runs = [subprocess.Popen(user.command("--show_conf --quiet"), env=user.env) for _ in range(4)]
    assert [run.wait(20) for run in runs] == [0] * 4
    olds = sorted(found.name for found in Path(user.folder).glob("Grid.conf.old*"))
    assert olds == ["Grid.conf.old"] and "[gridsync]" in path.read_text()


def test_each_command_names_unknown_keys_once_and_does_what_it_is_asked_for(user: User):
    user.set("THREAD", "8", "gridsync")
    user.set("TUNE", "fine")
    for line in ("--show_conf", "--ls_dir e680", "--input_dir e680/e680"):
        status, _, err = user(line)
        assert status == 0
        assert err.count("unknown key THREAD in [gridsync] is ignored; did you mean THREADS\n") == 1
        assert err.count("unknown key TUNE in [LYON] is ignored\n") == 1
    assert user("--show_conf --quiet").err == user("--show_conf --json").err == ""
    assert "THREAD = 8\n" in (user.folder / "Grid.conf").read_text()
