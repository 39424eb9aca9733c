"""What becomes of files that are sent when a door, its pools or the line fail.

Each fault of FAULTS happens once to a --put, and for ever to another one, at doors of dCache, with pools and without,
and of StoRM. Afterwards every file under its name is whole, nothing else is there but what grid_uploads.csv names, the
status is that of the table, and a run without the fault completes and sends nothing twice. docs/reliability.md has the
same table.
"""

from __future__ import annotations

import csv
import os
import random
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, Optional, Union

import pytest

from gridsync_parts.disk import MARK
from gridsync_parts.uploads import Uploads
from tests.grid import CHOSEN, Grid
from tests.grid.door import Door, kindly
from tests.grid.faults import Fault
from tests.grid.propfind import content
from tests.grid.tape import Robot
from tests.grid.xrootd import SCRATCH
from tests.support import TOP
from tests.support.line import Line
from tests.support.user import Result, User

PAGE = TOP / "docs" / "reliability.md"
HEAD = "| fault of an upload |"
WAYS = ("dCache", "dCache without pools", "StoRM")
SIZES = {"empty": 0, "small": 20_000, "sub/medium": 1_000_003, "big/large": 5_000_011}
THEIRS = b"what others have there"
LIMIT = 120  # seconds of a command line; none takes nearly as long, unless it hangs
CHANGED = "CONNECT = 1; PAUSE = 1; pool = Backoff(1, 60)"  # what fails is tried again soon
LATE = 8  # seconds of a stall; the user's Grid.conf waits for
PATIENT = 3


class Campaign:
    """Four files, and a user who sends them into a folder where there are others, of a door of their own."""

    def __init__(self, grid: Grid, folder: str, work: Path, way: str) -> None:
        profile = CHOSEN[way.split()[0].lower()]
        self.way, self.profile = way, profile
        self.tree, self.top = grid.tree, f"agata/{folder}"
        self.door = Door(grid.tree, grid.pki, Robot(grid.tree, 1, 0.05), profile, kindly(profile))
        self.door.uploads.put(f"{self.top}/theirs", THEIRS)
        self.results = work / "results"
        for name, size in SIZES.items():
            (self.results / name).parent.mkdir(parents=True, exist_ok=True)
            (self.results / name).write_bytes(os.urandom(size))
        self.user = User(grid, work)
        self.user.limit = LIMIT
        self.set(SERVER=f"{self.door.url}/", FIRST_BYTE=PATIENT, SILENCE=PATIENT)
        self.user.set("THREADS", "2", "gridsync")
        self.line = f"--put {self.results} --input_dir {folder}"
        self.mend()

    def set(self, **keys: object) -> None:
        """Change keys of the site."""
        for key, value in keys.items():
            self.user.set(key, str(value))

    def run(self) -> Result:
        return self.user(self.line, changed=CHANGED)

    def mend(self) -> None:
        """Let nothing go wrong any more."""
        self.door.faults.clear()
        for name, value in vars(kindly(self.profile)).items():
            setattr(self.door.switches, name, value)
        if "without" in self.way:
            self.door.switches.redirect = "proxy"

    def there(self) -> dict[str, bytes]:
        """The files in the folder of the site, without those of others."""
        files = {path[len(self.top) + 1 :]: self.tree.file(path) for path in self.tree.files(self.top)}
        found = {name: b"".join(content(file, 0, file.size)) for name, file in files.items()}
        assert found.pop("theirs") == THEIRS
        return found

    def noted(self) -> dict[str, dict[str, str]]:
        """grid_uploads.csv, by the paths of the local files."""
        path = self.user.folder / "grid_uploads.csv"
        if not path.exists():
            return {}
        with path.open(newline="") as file:
            return {os.path.relpath(row["path"], self.results): row for row in csv.DictReader(file)}

    def __enter__(self) -> Campaign:
        self.door.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.door.stop()


def ending(campaign: Campaign, result: Result) -> str:
    """How a run has ended, as in the table: the status and, after 1, what is absent.

    Whatever has gone wrong, each file is whole under its name, or absent with its reason; what else there is is named.
    """
    status, _, err = result
    assert "Traceback" not in err and "a fault of gridsync" not in err, err
    assert status in (0, 1, 3, 4), err
    there, noted = campaign.there(), campaign.noted()
    left = {name for name in there if name.endswith(MARK)}
    named = {row["temp"].removeprefix(campaign.top.partition("/")[2] + "/") for row in noted.values()}
    assert left <= named, (left, named)
    for name in there.keys() - left:
        assert there[name] == (campaign.results / name).read_bytes(), name
    absent = [name for name in SIZES if name not in there]
    for name, row in noted.items():
        assert name in there or not row["verified"], row
        assert status != 1 or name in there or row["error"], row
    for name in left if status == 1 else ():
        assert name in err, (left, err)
    assert "gridsync.py: " in err if status else not absent and not left, err
    return " ".join([str(status), *absent]) if status == 1 else str(status)


def completes(campaign: Campaign) -> None:
    """A run without the fault sends what is missing, and that alone, and leaves nothing behind."""
    campaign.mend()
    campaign.door.restart()
    campaign.door.log.clear()
    before = {name for name in campaign.there() if not name.endswith(MARK)}
    result = campaign.run()
    assert result.status == 0, result.err
    assert campaign.there() == {name: (campaign.results / name).read_bytes() for name in SIZES}
    sent = [record for record in campaign.door.log.matching(method="PUT") if record.status in (201, 204)]
    assert len(sent) <= len(SIZES) - len(before), (sent, before)
    assert all(row["verified"] and not row["temp"] and not row["error"] for row in campaign.noted().values())


# == The faults =========================================================================================

ALL, LARGE = "/agata/*", "*/big/*"
Plant = Callable[[Campaign, Optional[int]], Optional[Fault]]


def at(method: str, what: str | int, path: str = LARGE, **options: Any) -> Plant:
    """A fault of some requests; that of an upload happens where the bytes go."""

    def plant(campaign: Campaign, count: int | None) -> Fault:
        role = "pool" if (method, campaign.way, path) == ("PUT", "dCache", LARGE) else "door"
        return campaign.door.faults.add(path, what, method=method, role=role, count=count, **options)

    return plant


def when(method: str, happens: Callable[[Campaign], object], path: str = LARGE) -> Plant:
    """Something happens to the site just before such a request is answered, once or each time."""
    return lambda campaign, count: at(method, "meanwhile", path, happens=lambda: happens(campaign))(campaign, count)


def be_patient(campaign: Campaign, count: int | None) -> None:
    """Try again as often as users do."""
    campaign.user.set("RETRIES", "4", "gridsync")


def restart(campaign: Campaign) -> None:
    """The door is away for a moment."""
    campaign.door.restart()


def both(*plants: Plant) -> Plant:
    """Two faults; whether the last one happens counts."""
    return lambda campaign, count: [plant(campaign, count) for plant in plants][-1]


def site(happens: Callable[[Campaign], object]) -> Plant:
    """The site is so from the beginning."""

    def plant(campaign: Campaign, count: int | None) -> None:
        happens(campaign)

    return plant


def appear(campaign: Campaign) -> None:
    """The same file comes from elsewhere."""
    campaign.door.uploads.put(f"{campaign.top}/big/large", (campaign.results / "big/large").read_bytes())


def vanish(campaign: Campaign) -> None:
    campaign.tree.remove(f"{campaign.top}/big")


def fill(campaign: Campaign) -> None:
    campaign.door.switches.quota = campaign.door.uploads.used + 2_000_000


def grow(campaign: Campaign) -> None:
    with (campaign.results / "big/large").open("ab") as file:
        file.write(b"and more")


Ends = Union[str, dict[str, str]]


class Row(NamedTuple):
    """A fault as a reader says it, how it is planted, and how runs end: with it once, and for ever.

    An end is the status and, after 1, what is absent; "-" where the fault can't happen, "" what is not tried. Where
    they differ: by kind of door.
    """

    fault: str
    plant: Plant
    once: Ends
    ever: Ends
    is_quick: bool = False


def end(ends: Ends, way: str) -> str:
    """How a run ends at a kind of door."""
    if isinstance(ends, str):
        return ends
    return ends.get(way, ends["else"])


BIG, TO_POOL = "1 big/large", "1 sub/medium big/large"
WHOLE = {"StoRM": "", "else": "0"}  # StoRM may begin to write what was given up and removed
NO_DIGEST = {"StoRM": "-", "else": "0"}  # it is asked for it afterwards
FAULTS = [
    Row("reset: when a folder is listed", at("PROPFIND", "reset", ALL), "0", "4"),
    Row("reset: when a folder is made", at("MKCOL", "reset", "*/sub"), "0", "1 sub/medium"),
    Row("a folder is made, and the answer is lost", at("MKCOL", "lost", "*/sub"), "0", "0"),
    Row("403 when a folder is made", at("MKCOL", 403, "*/sub"), "1 sub/medium", "1 sub/medium"),
    Row("reset: before the first byte", at("PUT", "reset"), "0", BIG),
    Row("reset: in the middle of a file", at("PUT", "cut"), "0", BIG, True),
    Row("reset: before the last byte", at("PUT", "cut", at=-1), "0", BIG),
    Row("a file is taken, and the answer is lost", at("PUT", "lost"), "0", "0"),
    Row("stall: before the first byte", at("PUT", "stall", seconds=2 * LATE), "0", BIG),
    Row("stall: in the middle of a file", at("PUT", "cut", seconds=LATE), "0", BIG),
    Row("one byte arrives as another", at("PUT", "other_bytes"), "0", BIG),
    Row("a wrong checksum in the answer", at("PUT", "digest"), NO_DIGEST, NO_DIGEST),
    *[Row(f"{code} for a file", at("PUT", code), "0", BIG) for code in (500, 503)],
    Row("403 for a file", at("PUT", 403), {"dCache": "0", "else": BIG}, BIG),
    *[Row(f"{code} for a file", at("PUT", code), BIG, BIG) for code in (413, 507)],
    Row("503 for all files", at("PUT", 503, ALL), "0", "4"),
    Row("401 in mid-run", at("PUT", 401), "0", {"dCache": BIG, "else": "3"}),
    Row("a quota that is used up", site(fill), "", BIG),
    Row("reset: when a file gets its name", at("MOVE", "reset"), "0", BIG),
    Row("a file gets its name, and the answer is lost", at("MOVE", "lost"), "0", "0", True),
    Row("500 when a file gets its name", at("MOVE", 500), "0", BIG),
    Row("403 when a file gets its name", at("MOVE", 403), BIG, BIG),
    Row("401 when a file gets its name", at("MOVE", 401), "0", "3"),
    Row("the same file appears before that", when("MOVE", appear), "0", "0"),
    Row("its folder disappears before that", when("MOVE", vanish), BIG, BIG),
    Row("what is left over can't be removed", both(at("DELETE", 403), at("PUT", "cut")), "", BIG),
    Row("the file grows while it is sent", when("PUT", grow), WHOLE, {**WHOLE, "else": BIG}),
    Row("the door restarts in mid-run", both(be_patient, when("PUT", restart)), "0", ""),
    Row("the door restarts when a file gets its name", both(be_patient, when("MOVE", restart)), "0", ""),
    Row("the pool is down", site(lambda campaign: campaign.door.down("pool")), "", {"dCache": TO_POOL, "else": ""}),
]  # fmt: skip


# == Campaigns ==========================================================================================


def how_it_ends(grid: Grid, folder: str, work: Path, way: str, is_once: bool, row: Row) -> str:
    """One campaign with a fault, and the run that completes it."""
    with Campaign(grid, folder, work, way) as campaign:
        fault = row.plant(campaign, 1 if is_once else None)
        found = ending(campaign, campaign.run())
        if found != "0":
            completes(campaign)
        return found if fault is None or fault.hits else "-"


@pytest.mark.parametrize(
    "row", [pytest.param(row, marks=[] if row.is_quick else pytest.mark.long, id=row.fault) for row in FAULTS]
)
def test_what_becomes_of_a_campaign(grid, folder, tmp_path, row):
    ends = {(way, "once"): end(row.once, way) for way in WAYS}
    ends.update({(way, "for ever"): end(row.ever, way) for way in WAYS})
    expected = {key: end for key, end in ends.items() if end}
    with ThreadPoolExecutor(3) as side_by_side:
        runs = {}
        for number, (way, how) in enumerate(expected):
            place = f"{folder}/{number}", tmp_path / str(number)
            runs[way, how] = side_by_side.submit(how_it_ends, grid, *place, way, how == "once", row)
    assert {key: run.result() for key, run in runs.items()} == expected


# == XRootD, a real one =================================================================================


@pytest.mark.long
@pytest.mark.parametrize("seed", range(6))
def test_a_line_to_xrootd_that_breaks_anywhere_leaves_nothing_wrong(user, folder, tmp_path, seed):
    dice, results = random.Random(seed), tmp_path / "results"
    for name, size in {**SIZES, **{f"many/{number}": 1000 * number for number in range(20)}}.items():
        (results / name).parent.mkdir(parents=True, exist_ok=True)
        (results / name).write_bytes(dice.randbytes(size))
    here = {str(path.relative_to(results)): path.read_bytes() for path in results.rglob("*") if path.is_file()}
    server, top = user.grid.copier, folder.replace("/", "_")
    server.mend()
    disk, line = server.folder / "data" / SCRATCH / top, Line(server.ports[0])
    user.set("SERVER", f"https://localhost:{line.port}/", "XROOTD")
    user.set("BASE_DIR_ON_GRID", f"{SCRATCH}/", "XROOTD")
    put = f"--put {results} --from XROOTD --input_dir {top} --threads 3"
    line.breaks = [int(10 ** dice.uniform(3.6, 6.8)) for _ in range(12)]
    statuses = []
    try:
        while line.breaks or not statuses or statuses[-1]:
            try:
                status, _, err = user(put)
            except subprocess.TimeoutExpired:  # XRootD hangs as a whole
                status, err = 4, ""
            statuses.append(status)
            server.mend()
            assert status in (0, 1, 4) and "Traceback" not in err and len(statuses) < 12, (statuses, err)
            there = {str(path.relative_to(disk)): path.read_bytes() for path in disk.rglob("*") if path.is_file()}
            noted = {row.temp for row in Uploads(str(user.folder)).by_path("XROOTD").values()}
            for name, data in there.items():
                assert here[name] == data if name in here else f"{top}/{name}" in noted, name
    finally:
        line.close()
    assert line.broken and there == here, statuses


# == The page ===========================================================================================


def shown(ends: Ends, way: str) -> str:
    """How a run ends, in a cell of the table."""
    status, _, absent = end(ends, way).partition(" ")
    return {"-": "–"}.get(status, status) + (f" ({absent.replace(' ', ', ')})" if absent else "")


def table() -> str:
    """FAULTS as a table: once, for ever."""
    lines = [f"{HEAD} {' | '.join(WAYS)} |", "|---" * (len(WAYS) + 1) + "|"]
    for row in FAULTS:
        cells = [f"{shown(row.once, way)} / {shown(row.ever, way)}".strip() for way in WAYS]
        lines.append(f"| {row.fault} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def page() -> str:
    """docs/reliability.md with the table as it should be."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(HEAD)
    return before + table() + rest.partition("\n\n")[1] + rest.partition("\n\n")[2]


def test_the_page_has_the_table_that_is_tested():
    assert PAGE.read_text(encoding="utf-8") == page()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
