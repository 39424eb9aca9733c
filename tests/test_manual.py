"""The manual's example on the exact sizes: what the screen shows, line by line."""

from __future__ import annotations

import pytest

from tests.conftest import User

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
