"""The manual's example on the exact sizes: what the screen shows, line by line."""

from __future__ import annotations

import pytest

from gridsync import printable
from tests.conftest import User
from tests.grid.corner import MANY, plant_many

BANNER = """\
********************************
** GridDataSync configuration **
********************************

SERVER              : {server}/
BASE_DIR_ON_GRID    : agata/
"""
RUN = "e680/e680/run_0003.dat.11-05-15_09h55m42s"

LISTINGS = {
    "": """\
80.6 MB    31 Mar 2011 test_small_file_johan.tar
158.0 B    15 Oct 2013 host_adler32
Folder     02 Sep 2010 lschwarz
Folder     08 Sep 2010 pietro_test
Folder     21 Sep 2010 2010_week19
Folder     22 Oct 2010 Milano
Folder     25 Oct 2010 2010_week28
Folder     24 Mar 2011 2010_week48
Folder     01 Apr 2011 252Cf
Folder     22 Feb 2013 generated
Folder     26 Apr 2013 kaci-test
""",
    "e680": """\
Folder     09 Jun 2015 e680
Folder     09 Jun 2015 ReadATCA
Folder     15 Jun 2015 e680_NoTraces
""",
    "e680/e680": """\
Folder     09 Jun 2015 ReplayFromAnalysisServer
Folder     09 Jun 2015 Vamos
Folder     09 Jun 2015 NarvalAGATAsolo
Folder     09 Jun 2015 Replay
Folder     09 Jun 2015 run_0001.dat.07-05-15_14h17m05s
Folder     09 Jun 2015 run_0002.dat.07-05-15_14h22m27s
Folder     09 Jun 2015 run_0003.dat.11-05-15_09h55m42s
""",
}

ADDING = f"""\
=> adding: 80.0 kB {RUN}/Conf/03A/SRM_AGATA_small_files.tar
=> adding: 80.0 kB {RUN}/Conf/03B/SRM_AGATA_small_files.tar
=> adding: 80.0 kB {RUN}/Conf/03C/SRM_AGATA_small_files.tar
=> adding: 1020.0 MB {RUN}/Data/03A/SRM_AGATA_event_mezzdata.cdat.0000
=> adding: 64.5 MB {RUN}/Data/03A/SRM_AGATA_small_files.tar
=> adding: 895.0 MB {RUN}/Data/03B/SRM_AGATA_event_mezzdata.cdat.0000
=> adding: 68.8 MB {RUN}/Data/03B/SRM_AGATA_small_files.tar
=> adding: 890.0 MB {RUN}/Data/03C/SRM_AGATA_event_mezzdata.cdat.0000
=> adding: 40.4 MB {RUN}/Data/03C/SRM_AGATA_small_files.tar
"""

COUNTS = """\
[catalog] scope: all entries
[catalog] rows: 9
[catalog] counts: total: 9, downloaded: 0, remaining: 9
[catalog] remaining status: ONLINE={online}, NEARLINE={nearline}, OFFLINE=0, unknown=0
[catalog] sizes: total=2.9 GB, downloaded=0.0 B, remaining=2.9 GB
"""

STAGING = """\
 ... Start staging files from tape to disk ...
     -> press CTRL+C to skip display (staging continues in background)
 Number of files to bring online: 9
 ** Staging launched for 9 file(s) **
"""


@pytest.fixture
def at_run_3(user: User) -> User:
    """A user who has chosen the folder and the patterns of the manual's example."""
    for line in (f"--input_dir {RUN}", "--exc .*.adf", "--inc .*/03./.*"):
        assert user(line).status == 0
    return user


def banner(user: User, chosen: str = "") -> str:
    return BANNER.format(server=user.grid.door.url) + f"{chosen}OUTPUTDIR           : {user.data}\n"


def example(user: User) -> str:
    """The configuration block of the example."""
    chosen = f"INPUTDIR            : {RUN}\n"
    return banner(user, chosen) + "Include pattern     : .*/03./.*\nExclude pattern     : .*.adf\n\n"


def test_show_conf(user):
    assert user("--show_conf") == (0, banner(user) + "\n", "")


@pytest.mark.parametrize("folder", LISTINGS)
def test_ls_dir(user, folder):
    status, out, err = user(f"--ls_dir {folder}")
    where = f"{user.grid.door.url}/agata/{folder}"
    assert (status, err) == (0, "")
    assert out.startswith(banner(user) + f"\n -- List content of folder: {where}\n" + LISTINGS[folder])


def listed(user: User, folder: str, rows: str) -> str:
    """What --ls_dir prints when it prints these rows."""
    return banner(user) + f"\n -- List content of folder: {user.grid.door.url}/agata/{folder}\n" + rows


def test_ls_dir_of_a_file_is_its_row(user):
    rows = "158.0 B    15 Oct 2013 host_adler32\n"
    assert user("--ls_dir host_adler32") == (0, listed(user, "host_adler32", rows), "")


def test_ls_dir_of_an_empty_folder_has_no_row(user, folder):
    assert user(f"--ls_dir {folder}") == (0, listed(user, folder, ""), "")


def test_ls_dir_of_a_forbidden_folder_says_so(user, folder, monkeypatch):
    monkeypatch.setattr(user.grid.storm.switches, "unreadable", {f"agata/{folder}"})
    status, _, err = user(f"--from_CNAF --ls_dir {folder}")
    assert status == 4 and f"agata/{folder}: the door refuses" in err and err.count("\n") == 1


@pytest.mark.parametrize("corner", ["awkward", "unprintable"])
def test_ls_dir_of_awkward_names_has_a_row_for_each_and_nothing_that_a_terminal_obeys(user, corner):
    files = sorted(path.rpartition("/")[2] for path in user.grid.tree.files(f"agata/{corner}") if path.count("/") == 2)
    status, out, err = user(f"--ls_dir {corner}")
    rows = out.partition(f"/agata/{corner}\n")[2].splitlines()
    shown = sorted(row[23:] for row in rows if not row.startswith("Folder"))
    assert (status, err) == (0, "") and shown == sorted(map(printable, files))
    assert all(char.isprintable() or char == "\n" for char in out)


def test_ls_dir_of_20000_files_has_20000_rows(user):
    plant_many(user.grid.tree)
    status, out, _ = user(f"--ls_dir {MANY[len('agata/') :]}")
    user.grid.tree.remove(MANY)
    assert status == 0 and out.count("\n") == 20_000 + banner(user).count("\n") + 2


def test_settings_alone_show_the_configuration(at_run_3):
    assert at_run_3("--exc .*.adf") == (0, example(at_run_3), "")
    assert at_run_3("--inc none --exc none").out == banner(at_run_3, f"INPUTDIR            : {RUN}\n") + "\n"


def test_the_list_the_staging_and_the_status(at_run_3):
    user, block = at_run_3, example(at_run_3)
    assert user("--build_list") == (
        0,
        block + ADDING + f"[catalog] Catalog built from {RUN}\n" + COUNTS.format(online=0, nearline=9),
        "",
    )
    user.grid.robot.hold()
    try:
        assert user("--bring_online") == (0, block + STAGING, "")
        paths = [line.rpartition(" ")[2] for line in ADDING.splitlines()]
        nearline = "".join(f"NEARLINE            : {path}\n" for path in paths)
        shown = user("--check_status --verbose").out
        assert shown.endswith(nearline + "[catalog] Files status\n" + COUNTS.format(online=0, nearline=9))
    finally:
        user.grid.robot.go()
    assert [row["request"] != "" for row in user.catalog().values()] == [True] * 9
    released = user("--release")
    assert released == (0, block + " ** Release accepted for 9 file(s) **\n", "")
    assert [row["request"] for row in user.catalog().values()] == [""] * 9
