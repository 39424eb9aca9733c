"""The tree that the AGATA manual shows, with its sizes and dates, and the same tree at 1/64 for copying."""

from __future__ import annotations

from datetime import datetime, timezone

from tests.grid.tree import Tree

KB, MB = 1024, 1024 * 1024
RUN = "e680/run_0003.dat.11-05-15_09h55m42s"
SMALL = "SRM_AGATA_small_files.tar"
TRACES = "SRM_AGATA_event_mezzdata.cdat.0000"
PSA = "SRM_AGATA_psa.adf"

# path: (size, None for a folder; time). The manual prints days only; the hours make its order the only one.
TOP = {
    "agata/test_small_file_johan.tar": (int(80.6 * MB), "2011-03-31 14:02:11"),
    "agata/host_adler32": (158, "2013-10-15 09:40:27"),
    "agata/lschwarz": (None, "2010-09-02 12:31:45"),
    "agata/pietro_test": (None, "2010-09-08 16:05:52"),
    "agata/2010_week19": (None, "2010-09-21 10:17:03"),
    "agata/Milano": (None, "2010-10-22 08:55:30"),
    "agata/2010_week28": (None, "2010-10-25 13:44:19"),
    "agata/2010_week48": (None, "2011-03-24 17:20:08"),
    "agata/252Cf": (None, "2011-04-01 11:09:36"),
    "agata/generated": (None, "2013-02-22 15:33:57"),
    "agata/kaci-test": (None, "2013-04-26 09:12:44"),
    "agata/e680": (None, "2015-06-15 07:30:21"),
    "agata/e680_1to64": (None, "2015-06-16 08:00:00"),
}

# Below agata/e680 and agata/e680_1to64.
EXPERIMENT = {
    "e680": (None, "2015-06-09 08:11:27"),
    "ReadATCA": (None, "2015-06-09 08:40:02"),
    "e680_NoTraces": (None, "2015-06-15 07:29:50"),
    "e680/ReplayFromAnalysisServer": (None, "2015-06-09 08:12:05"),
    "e680/Vamos": (None, "2015-06-09 08:13:41"),
    "e680/NarvalAGATAsolo": (None, "2015-06-09 08:15:09"),
    "e680/Replay": (None, "2015-06-09 08:16:33"),
    "e680/run_0001.dat.07-05-15_14h17m05s": (None, "2015-06-09 08:20:10"),
    "e680/run_0002.dat.07-05-15_14h22m27s": (None, "2015-06-09 08:21:48"),
    "e680/run_0003.dat.11-05-15_09h55m42s": (None, "2015-06-09 08:25:00"),
    "e680/run_0004.dat.11-05-15_10h06m11s": (None, "2015-06-09 09:02:16"),
    "e680/run_0005.dat.11-05-15_10h21m38s": (None, "2015-06-09 09:31:54"),
    "ReadATCA/ReadATCA.tar": (int(2.3 * MB), "2015-06-09 08:39:12"),
    "e680_NoTraces/run_0003.tar": (int(310.7 * MB), "2015-06-15 07:28:31"),
    "e680/Replay/replay_0003.tar": (int(12.4 * MB), "2015-06-09 08:16:01"),
    "e680/run_0001.dat.07-05-15_14h17m05s/Data/03A/" + SMALL: (int(3.1 * MB), "2015-06-09 08:19:31"),
    "e680/run_0002.dat.07-05-15_14h22m27s/Data/03A/" + SMALL: (int(3.4 * MB), "2015-06-09 08:21:15"),
    "e680/run_0004.dat.11-05-15_10h06m11s/Data/03A/" + SMALL: (int(58.2 * MB), "2015-06-09 09:01:40"),
}

# The run of the manual's example: the nine files it copies, and what its two filters leave out.
COPIED = {
    f"{RUN}/Conf/03A/{SMALL}": 80 * KB,
    f"{RUN}/Conf/03B/{SMALL}": 80 * KB,
    f"{RUN}/Conf/03C/{SMALL}": 80 * KB,
    f"{RUN}/Data/03A/{TRACES}": 1020 * MB + 4711,
    f"{RUN}/Data/03A/{SMALL}": int(64.5 * MB),
    f"{RUN}/Data/03B/{TRACES}": 895 * MB + 1234,
    f"{RUN}/Data/03B/{SMALL}": int(68.8 * MB),
    f"{RUN}/Data/03C/{TRACES}": 890 * MB + 777,
    f"{RUN}/Data/03C/{SMALL}": int(40.4 * MB),
}
LEFT_OUT = {
    f"{RUN}/Conf/00A/{SMALL}": 80 * KB,
    f"{RUN}/Conf/02C/{SMALL}": 80 * KB,
    f"{RUN}/Data/00A/{SMALL}": int(51.9 * MB),
    f"{RUN}/Data/02C/{TRACES}": int(120.3 * MB),
    f"{RUN}/Data/03A/{PSA}": int(210.5 * MB),
    f"{RUN}/Data/03B/{PSA}": int(198.1 * MB),
    f"{RUN}/Data/03C/{PSA}": int(187.6 * MB),
}


def plant(tree: Tree) -> None:
    """Grow the manual's tree, all of it on tape."""
    _plant(tree, "", TOP, 1)
    for top, divisor in (("agata/e680/", 1), ("agata/e680_1to64/", 64)):
        _plant(tree, top, EXPERIMENT, divisor)
        run = {**COPIED, **LEFT_OUT}
        _plant(tree, top, {path: (size, _minute(i)) for i, (path, size) in enumerate(run.items())}, divisor)


def _plant(tree: Tree, top: str, entries: dict[str, tuple[int | None, str]], divisor: int) -> None:
    for path in sorted(entries):  # by name: a door does not list by date
        size, time = entries[path]
        if size is None:
            tree.folder(top + path, mtime=seconds(time))
        else:
            tree.add(top + path, max(size // divisor, 1), mtime=seconds(time), tape=True)


def _minute(i: int) -> str:
    return f"2015-06-09 08:{22 + i // 10}:{i % 10 * 6:02d}"


def seconds(time: str) -> float:
    """Seconds since 1970 of a UTC time."""
    return datetime.strptime(time, "%Y-%m-%d %H:%M:%S").replace(tzinfo=timezone.utc).timestamp()
