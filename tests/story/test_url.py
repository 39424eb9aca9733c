"""gridsync.py URL DIR: what comes, where it goes to, and that nothing is remembered."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.user import HASTY, Result, User, find_pinned

SIZES = {"Conf/setup.tar": 20_000, "Data/03A/traces.cdat": 30_000, "Data/03B/traces.cdat": 40_000}


@pytest.fixture
def run_1(user: User, folder: str) -> str:
    """The URL of a folder with three files, one of them on tape."""
    user.changed = HASTY
    for name, size in SIZES.items():
        user.grid.tree.add(f"agata/{folder}/run_1/{name}", size, tape=name.startswith("Data/03B"))
    return f"{user.grid.door.url}/agata/{folder}/run_1"


@pytest.fixture
def stranger(user: User) -> Iterator[User]:
    """A user whose Grid.conf knows no site of the grid."""
    conf = (user.folder / "Grid.conf").read_text().replace("localhost", "elsewhere.example.org")
    (user.folder / "Grid.conf").write_text(conf)
    yield user


def files(folder: Path) -> dict[str, int]:
    """All files below a folder, with their sizes."""
    return {str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*") if path.is_file()}


def conf_of(user: User) -> bytes:
    return (user.folder / "Grid.conf").read_bytes()


def test_a_folder_at_a_known_site_comes_as_sync_would_bring_it(user: User, folder, run_1):
    before, here = conf_of(user), user.folder / "here"
    status, out, err = user(f"{run_1} {here}")
    assert status == 0, err
    assert files(here) == {f"{folder}/run_1/{name}": size for name, size in SIZES.items()}
    assert "waiting on tape: 0;" in out and "verified by checksum: 3, by size only: 0" in out
    assert "remembered" not in err and conf_of(user) == before and user.files() == []
    rows = user.catalog()
    assert {row["site"] for row in rows.values()} == {f"{user.grid.door.url}/agata"}
    assert {row["downloaded"] for row in rows.values()} == {"yes"} and find_pinned(user, folder) == []


@pytest.mark.long
def test_what_came_to_another_folder_is_not_taken_for_what_is_in_outputdir(user: User, folder, run_1):
    assert user(f"{run_1} {user.folder}/here").status == 0
    status, out, err = user(f"--sync --input_dir {folder}")
    assert status == 0 and "Copied: 3, skipped: 0, " in out, err
    assert user.files() == sorted(f"{folder}/run_1/{name}" for name in SIZES)
    assert user(f"{run_1} {user.folder}/there").status == user("--sync --verify").status == 0
    for line in ("--sync", f"{run_1} {user.folder}/there"):
        assert "Copied: 0, skipped: 3, " in user(line).out


def test_into_outputdir_it_is_one_with_what_came_there(user: User, folder, run_1):
    assert user(f"--sync --input_dir {folder}").status == 0
    assert "Copied: 0, skipped: 3, " in user(f"{run_1} {user.data}/").out
    rows = (user.folder / "grid_summary.csv").read_text().splitlines()[1:]
    assert len(rows) == 3 and user("--verify").status == 0
    assert {row["site"] for row in user.catalog().values()} == {"LYON"}


def test_a_folder_at_an_unknown_door_comes_by_its_name(stranger: User, folder, run_1):
    before, here = conf_of(stranger), stranger.folder / "here"
    status, _, err = stranger(f"{run_1}/ {here}")
    assert (status, conf_of(stranger)) == (0, before), err
    assert files(here) == {f"run_1/{name}": size for name, size in SIZES.items()}
    rows = stranger.catalog()
    assert {row["site"] for row in rows.values()} == {run_1.rpartition("/")[0]}
    assert set(rows) == {f"run_1/{name}" for name in SIZES} and find_pinned(stranger, folder) == []


def test_no_grid_conf_is_made(user: User, run_1, tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    status, _, err = user(f"{run_1}/Conf {tmp_path}/here --workdir {work}")
    assert (status, files(tmp_path / "here")) == (0, {"Conf/setup.tar": 20_000}), err
    made = ["grid_folders.txt", "grid_summary.csv", "grid_summary.csv.lock"]
    assert sorted(path.name for path in work.iterdir()) == made


def test_a_single_file_comes(user: User, folder, run_1):
    assert user(f"{run_1}/Data/03B/traces.cdat {user.folder}/here").status == 0
    assert files(user.folder / "here") == {f"{folder}/run_1/Data/03B/traces.cdat": 40_000}


def test_a_single_file_of_an_unknown_door_comes(stranger: User, run_1):
    assert stranger(f"{run_1}/Data/03B/traces.cdat {stranger.folder}/here").status == 0
    assert files(stranger.folder / "here") == {"traces.cdat": 40_000}


def test_what_is_here_does_not_come_again_and_another_folder_gets_its_own(user: User, run_1):
    for name in ("one", "two"):
        assert "Copied: 3, skipped: 0, " in user(f"{run_1} {user.folder}/{name}").out
    assert files(user.folder / "one") == files(user.folder / "two")
    assert "Copied: 0, skipped: 3, " in user(f"{run_1} {user.folder}/two").out
    assert "Copied: 0, skipped: 3, " in user(f"{run_1} {user.folder}/one").out


def test_folders_of_one_name_at_one_door_are_not_taken_for_each_other(stranger: User, folder):
    for name in ("a", "b"):
        stranger.grid.tree.add(f"agata/{folder}/{name}/run/file", 1000 + ord(name))
        url = f"{stranger.grid.door.url}/agata/{folder}/{name}/run"
        assert stranger(f"{url} {stranger.folder}/{name}").status == 0
    rows = (stranger.folder / "grid_summary.csv").read_text().splitlines()[1:]
    assert sorted(row.split(",")[:2] for row in rows) == [["run/file", "1097"], ["run/file", "1098"]]


def test_the_folder_and_patterns_of_grid_conf_are_not_used_and_the_other_settings_are(user: User, folder, run_1):
    assert user(f"--input_dir {folder}/nothing --inc zzz --exc Data --threads 2").status == 0
    status, out, _ = user(f"{run_1} {user.folder}/here --inc Data/ --streams 2")
    assert status == 0 and len(files(user.folder / "here")) == 2
    assert "using" not in out and f"INPUTDIR            : {folder}/run_1\n" in out
    assert "Include pattern     : Data/\n" in out and "Exclude pattern" not in out
    assert "STREAMS" not in conf_of(user).decode().replace("STREAMS = 1", "")


def test_a_dry_run_changes_nothing(user: User, run_1):
    before = sorted(user.folder.iterdir())
    status, out, _ = user(f"{run_1} {user.folder}/here --dry_run")
    assert status == 0 and "(DRY RUN) would copy 3 files, 87.9 kB, and make " in out
    assert sorted(user.folder.iterdir()) == before


def test_json_and_quiet(user: User, run_1):
    status, out, err = user(f"{run_1} {user.folder}/here --json")
    document = json.loads(out)
    assert (status, err, document["status"], document["copy"]["copied"]) == (0, "", 0, 3)
    assert user(f"{run_1} {user.folder}/here --quiet --overwrite --nochecksum --force") == Result(0, "", "")


def test_blanks_and_escapes_are_decoded_once(user: User, folder):
    for name in ("my run/a b", "my run/100%25"):
        user.grid.tree.add(f"agata/{folder}/{name}", 100)
    url = f"{user.grid.door.url}/agata/{folder}"
    for written in (f"'{url}/my run'", f"{url}/my%20run"):
        assert user(f"{written} {user.folder}/here").status == 0
        assert set(files(user.folder / "here")) == {f"{folder}/my run/a b", f"{folder}/my run/100%25"}
        shutil.rmtree(user.folder / "here")
    assert user(f"{url}/my%20run/100%2525 {user.folder}/here").status == 0
    assert set(files(user.folder / "here")) == {f"{folder}/my run/100%25"}


@pytest.mark.parametrize("kind", ["https", "davs", "root", "file", "sftp"])
def test_every_kind_of_door(stranger: User, kind):
    user, grid, lesson = stranger, stranger.grid, "agata/e680_1to64/e680/run_0003.dat.11-05-15_09h55m42s/Conf"
    url = {
        "https": grid.xrootd.url,
        "davs": grid.xrootd.url.replace("https", "davs"),
        "root": f"root://localhost:{grid.xrootd.ports[1]}/",
        "file": f"file://{grid.xrootd.folder / 'data'}",
        "sftp": grid.sshd.url if kind == "sftp" else "",
    }[kind]
    env = grid.sshd.client.env if kind == "sftp" else {}
    status, _, err = user(f"{url}/{lesson} {user.folder}/here", **env)
    wanted = [path[len(lesson) - 4 :] for path in grid.tree.files(lesson)]
    assert status == 0 and sorted(files(user.folder / "here")) == sorted(wanted), err


def test_the_site_with_the_longest_base_is_the_one(user: User, folder, run_1):
    conf = conf_of(user).decode() + f"\n[NEAR]\nSERVER = {user.grid.door.url}/\nBASE_DIR_ON_GRID = agata/{folder}\n"
    (user.folder / "Grid.conf").write_text(conf)
    assert user(f"{run_1}/Conf {user.folder}/here").status == 0
    assert files(user.folder / "here") == {"run_1/Conf/setup.tar": 20_000}


def test_what_is_known_of_the_server_holds_for_all_of_it(user: User, folder, run_1):
    user.set("BASE_DIR_ON_GRID", "elsewhere/")
    user.set("TAPE_API", "none")
    status, _, err = user(f"{run_1} {user.folder}/here")
    assert status == 1 and "on tape, but the site names no tape service" in err
    assert set(files(user.folder / "here")) == {"run_1/Conf/setup.tar", "run_1/Data/03A/traces.cdat"}


def test_pins_are_not_lost_when_it_ends_early(user: User, folder, run_1):
    user.grid.door.faults.add("*/traces.cdat", 403, method="GET")
    try:
        assert user(f"{run_1} {user.folder}/here").status == 1
    finally:
        user.grid.door.faults.clear()
    held = [row["path"] for row in user.catalog().values() if row["request"]]
    assert held == [f"{folder}/run_1/Data/03B/traces.cdat"] and find_pinned(user, folder)
    assert user(f"{run_1} {user.folder}/here").status == 0
    assert find_pinned(user, folder) == []


def test_pins_at_an_unknown_door_can_be_given_back(stranger: User, folder, run_1):
    stranger.grid.door.faults.add("*/traces.cdat", 403, method="GET")
    try:
        assert stranger(f"{run_1} {stranger.folder}/here").status == 1
    finally:
        stranger.grid.door.faults.clear()
    assert find_pinned(stranger, folder)
    before = files(stranger.folder / "here")
    assert "would release 1 files" in stranger(f"{run_1} {stranger.folder}/here --release --dry_run").out
    done = stranger(f"{run_1} {stranger.folder}/here --release")
    assert done.status == 0 and " ** Release accepted for 1 file(s) **\n" in done.out, done
    assert find_pinned(stranger, folder) == [] and files(stranger.folder / "here") == before


REFUSED = {
    "{url}": "{url}: say where to copy it; give a folder behind the URL: URL DIR",
    "{url} ''": "{url}: say where to copy it; give a folder behind the URL: URL DIR",
    "{url} {url}": "{url}: is a URL; the second word is a folder of this machine: URL DIR",
    "{url} here b.adf": "'b.adf': unexpected argument behind URL DIR (did you forget to quote a pattern?)",
    "{url} here --start": "URL DIR does what --sync does for that URL and folder; leave out --start",
    "{url} here --ls_dir": "URL DIR does what --sync does for that URL and folder; leave out --ls_dir",
    "{url} here --doctor": "URL DIR does what --sync does for that URL and folder; leave out --doctor",
    "{url} here --from=CNAF": "URL DIR does what --sync does for that URL and folder; leave out --from",
    "{url} here --from=list": "URL DIR does what --sync does for that URL and folder; leave out --from",
    "{url} here --input_dir=a": "URL DIR does what --sync does for that URL and folder; leave out --input_dir",
    "{url} here --output_dir=a": "URL DIR does what --sync does for that URL and folder; leave out --output_dir",
    "{url}?authz=secret here": "{url}: behind it stands ? or #; leave that out, or write %3F or %23 if it is in a name",
    "{url}#x here": "{url}: behind it stands ? or #; leave that out, or write %3F or %23 if it is in a name",
    "https://me:secret@h/a here": "https://h/a: the URL contains a password or an unused user name; remove it",
    "https://me@h/a here": "https://h/a: the URL contains a password or an unused user name; remove it",
    "sftp://me:secret@h/a here": "sftp://h/a: the URL contains a password or an unused user name; remove it",
    "htps://h/a here": "htps://h/a: htps:// is not known; did you mean https",
    "scp://h/a here": "scp://h/a: scp:// is not known; did you mean sftp://",
    "https://[h/a here": "'https://[h/a' is not a URL like https://door.example.org:2880/path/of/a/folder",
    "https:///a here": "'https:///a' is not a URL like https://door.example.org:2880/path/of/a/folder",
    "{url}/../b here": "'agata/a/../b' is not a path on the grid; leave out '..'",
    "{url}/a%0Ab here": "'{url}/a%0Ab' has a control character in a name; ask the site to rename it",
    "https://zenodo.org/help here": "https://zenodo.org/help is no page of a record or a search; give one like https",
    "folder {url}": "'folder': unexpected argument (did you forget to quote a pattern?)",
    "5500 here": "'5500': unexpected argument; records of open data are named with --input_dir=5500, or as URL DIR",
    "cms-5500": "'cms-5500': unexpected argument; records of open data are named with --input_dir=cms-5500, or as",
    "'?q=muon' here": "'?q=muon': unexpected argument; records of open data are named with --input_dir='?q=muon', or",
    "10.7483/A.B here": "'10.7483/A.B': unexpected argument; records of open data are named with --input_dir=10.7483/A",
    "5500.dat here": "'5500.dat': unexpected argument (did you forget to quote a pattern?)",
    "--exc a.adf b.adf": "'b.adf': unexpected argument (did you forget to quote a pattern?)",
    "{url} here --exc [": "--exc: '[' is not a regular expression",
    "{url} here --threads 65": "65 threads with 1 streams each are too many for one site",
}


@pytest.mark.every(1)
@pytest.mark.parametrize("line", REFUSED)
def test_what_makes_no_sense_is_one_sentence_and_changes_nothing(user: User, line):
    before = {path.name: path.stat().st_mtime_ns for path in user.folder.iterdir()}
    url = f"{user.grid.door.url}/agata/a"
    status, _, err = user(line.replace("{url}", url))
    assert status == 2 and err.count("\n") == 1 and "secret" not in err
    assert err.startswith(f"gridsync.py: {REFUSED[line].replace('{url}', url)}")
    after = {path.name: path.stat().st_mtime_ns for path in user.folder.iterdir()}
    after = {name: when for name, when in after.items() if not name.startswith("grid_summary")}
    assert after == before


def test_a_folder_that_is_not_there(stranger: User, run_1):
    status, _, err = stranger(f"{run_1}9 {stranger.folder}/here")
    assert (status, err.count("\n")) == (2, 1) and f"{run_1}9: there is no such file or folder" in err
    assert "Grid.conf" not in err and err.endswith("; did you mean run_1\n")
    status, _, err = stranger(f"{stranger.grid.door.url}/agata/nowhere/run_1 {stranger.folder}/here")
    assert (status, err.count("\n")) == (2, 1) and "Grid.conf" not in err


def test_whose_vo_the_proxy_must_be_of_an_unknown_door_says(stranger: User, run_1):
    stranger.set("VO", "vo.example.org", "gridsync")
    assert stranger(f"{run_1} {stranger.folder}/here").status == 0
    other = str(stranger.grid.pki.proxy("other_vo"))
    status, _, err = stranger(f"{run_1} {stranger.folder}/here", X509_USER_PROXY=other)
    assert status == 3 and "the door does not accept" in err


@pytest.mark.parametrize("scheme", ["https", "root"])
def test_public_data_need_no_proxy(stranger: User, scheme):
    http, root = stranger.grid.public.ports
    url = f"{scheme}://localhost:{http if scheme == 'https' else root}//agata/e680_1to64/ReadATCA"
    status, _, err = stranger(f"{url} {stranger.folder}/here", X509_USER_PROXY="/nowhere/proxy")
    says = "There is no proxy at /nowhere/proxy, so the door is shown nothing; --new_proxy makes one\n"
    assert (status, err, len(files(stranger.folder / "here"))) == (0, says, 1)


def test_without_a_proxy_other_data_do_not_come(stranger: User, run_1):
    status, _, err = stranger(f"{run_1} {stranger.folder}/here", X509_USER_PROXY="/nowhere/proxy")
    assert status == 3 and err.count("\n") == 2 and "so the door is shown nothing; --new_proxy makes one" in err


def test_at_a_known_site_it_must_be_that_of_grid_conf(user: User, run_1):
    user.set("VO", "vo.example.org", "gridsync")
    status, _, err = user(f"{run_1} {user.folder}/here")
    assert status == 3 and "is for vo.agata.org, not vo.example.org" in err


def test_a_folder_of_this_machine_that_can_not_be_written(user: User, run_1):
    (user.folder / "taken").touch()
    status, _, err = user(f"{run_1} {user.folder}/taken")
    assert (status, err.count("\n")) == (5, 1) and "taken cannot be made: File exists; choose another" in err
