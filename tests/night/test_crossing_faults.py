"""What becomes of files that doors copy from site to site when a door, the line between them or the one to them fails.

Each fault of FAULTS happens once to a run, and for ever to another one, between simulated dCache and StoRM, where the
target's door fetches or the source's brings, and to a real XRootD, which fetches. Afterwards every file under its name
is whole, nothing else is there but what grid_uploads.csv names, the status is that of the table, and a run without the
fault completes and copies nothing twice. docs/reliability.md has the same table.
"""

from __future__ import annotations

import csv
import os
import random
import shutil
import signal
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import Popen
from typing import Any, NamedTuple, Optional, Union

import pytest

from gridsync_parts.disk import MARK
from gridsync_parts.pull import noted_of
from tests.grid import CHOSEN, Grid
from tests.grid.door import Door, kindly
from tests.grid.faults import Fault
from tests.grid.propfind import content
from tests.grid.tape import Robot
from tests.grid.tree import Tree
from tests.grid.xrootd import SCRATCH
from tests.support import TOP
from tests.support.ships import Real
from tests.support.user import Result, User, a_minute_later, wait_until

PAGE = TOP / "docs" / "reliability.md"
HEAD = "| fault of a copy from site to site |"
DCACHE, STORM, BROUGHT, REAL = WAYS = (
    "dCache fetches from StoRM", "StoRM fetches from dCache", "StoRM brings to dCache", "XRootD fetches from dCache",
)  # fmt: skip
SIZES = {"empty": 0, "small": 20_000, "sub/medium": 1_000_003, "big/large": 5_000_011}
THEIRS = b"what others have there"
RATE = 5_000_000  # bytes a second of a copy, so that it has a middle
LIMIT = 150  # seconds of a command line; none takes nearly as long, unless it hangs
# What fails is tried again soon, and what a door may be at work on is not waited for as long as in earnest.
CHANGED = "CONNECT = 1; PAUSE = 1; pool = Backoff(1, 60); STILL = 2.0"
PATIENT = 3  # seconds that the user's Grid.conf waits for a door


class Campaign:
    """Four files at a site, and a user who copies them into a folder of another one, where there are others."""

    def __init__(self, grid: Grid, work: Path, way: str) -> None:
        self.grid, self.way = grid, way
        kinds = {DCACHE: "storm dcache", STORM: "dcache storm", BROUGHT: "storm dcache", REAL: "dcache"}[way].split()
        doors = [Door(tree, grid.pki, Robot(tree, 1, 0.05), CHOSEN[kind], kindly(CHOSEN[kind]))
                 for kind, tree in zip(kinds, (Tree(), Tree()))]  # fmt: skip
        self.source, self.target = doors[0], doors[1] if way != REAL else None
        self.folder = f"faults-{uuid.uuid4().hex[:8]}"
        self.data = {name: os.urandom(size) for name, size in SIZES.items()}
        self.user = User(grid, work)
        self.user.limit = LIMIT
        self.timers: list[threading.Timer] = []
        self.user.set("THREADS", "2", "gridsync")
        self.disk = grid.copier.folder / "data" / SCRATCH / self.folder

    @property
    def doors(self) -> list[Door]:
        return [self.source, *([self.target] if self.target else [])]

    @property
    def acts(self) -> Door | None:
        """The door that copies."""
        return self.source if self.way == BROUGHT else self.target

    @property
    def far(self) -> Door:
        """The other one."""
        other = self.target if self.way == BROUGHT else self.source
        assert other
        return other

    def __enter__(self) -> Campaign:
        for door in self.doors:
            door.start()
        self.mend()
        urls = {"LYON": self.source.url, "CNAF": self.target.url if self.target else self.grid.copier.url}
        for name, url in urls.items():
            self.user.set("SERVER", f"{url}/", name)
            for key in ("FIRST_BYTE", "SILENCE"):
                self.user.set(key, str(PATIENT), name)
        for name, data in self.data.items():
            self.source.uploads.put(f"agata/{self.folder}/{name}", data, 1_600_000_000)
        if self.target:
            self.target.uploads.put(f"agata/{self.folder}/theirs", THEIRS)
        else:
            self.user.set("BASE_DIR_ON_GRID", SCRATCH, "CNAF")
            self.user.set("FIRST_BYTE", "15", "CNAF")  # a real one is slow at times, or ends a connection
            self.user.set("RETRIES", "3", "gridsync")
            self.disk.mkdir()
            (self.disk / "theirs").write_bytes(THEIRS)
            owner = self.disk.parent.stat()
            for path in (self.disk, self.disk / "theirs"):
                os.chown(path, owner.st_uid, owner.st_gid)
        return self

    def __exit__(self, *_: object) -> None:
        for door in self.doors:
            door.stop()
        shutil.rmtree(self.disk, ignore_errors=True)

    def run(self) -> Result:
        trust = "--trust_target" if self.way == DCACHE else ""
        line = f"--from=LYON --input_dir={self.folder} --to=CNAF --build_list --start {trust}"
        return self.user(line, changed=CHANGED)

    def happens_soon(self, what: Callable[[], object]) -> None:
        """Have something happen in the middle of a copy."""
        self.timers.append(threading.Timer(0.4, what))
        self.timers[-1].start()

    def mend(self) -> None:
        """Let nothing go wrong any more."""
        for timer in self.timers:
            timer.join()
        for door in self.doors:
            door.faults.clear()
            for name, value in vars(kindly(door.profile)).items():
                setattr(door.switches, name, value)
            door.switches.marker_interval = 0.1
            door.switches.copy_rate = RATE
        if self.way == REAL:
            self.source.switches.bandwidth = RATE

    def nodes(self) -> dict[str, tuple[bytes, object]]:
        """The files in the folder of the target, and which ones they are."""
        if not self.target:
            paths = [path for path in self.disk.rglob("*") if path.is_file()]
            return {str(path.relative_to(self.disk)): (path.read_bytes(), path.stat().st_ino) for path in paths}
        tree, top = self.target.tree, f"agata/{self.folder}"
        files = {path[len(top) + 1 :]: tree.file(path) for path in tree.files(top)}
        return {name: (b"".join(content(file, 0, file.size)), file) for name, file in files.items()}

    def there(self) -> dict[str, bytes]:
        """What is there, without those of others."""
        found = {name: data for name, (data, _) in self.nodes().items()}
        assert found.pop("theirs") == THEIRS
        return found

    def noted(self) -> dict[str, dict[str, str]]:
        """grid_uploads.csv, by the names of files."""
        path = self.user.folder / "grid_uploads.csv"
        if not path.exists():
            return {}
        with path.open(newline="") as file:
            return {row["target"][len(self.folder) + 1 :]: row for row in csv.DictReader(file)}

    def be_quiet(self) -> None:
        """Wait until no door is at work any more."""
        wait_until(lambda: not any(door.copies.running for door in self.doors), 60)


def ending(campaign: Campaign, result: Result) -> str:
    """How a run has ended, as in the table: the status and, after 1, what is absent.

    Whatever has gone wrong, each file is whole under its name, or absent with its reason; what else there is is noted.
    """
    status, _, err = result
    assert "Traceback" not in err and "a fault of gridsync" not in err, err
    assert status in (0, 1, 2, 3, 4), err
    there, noted = campaign.there(), campaign.noted()
    left = {name for name in there if name.endswith(MARK)}
    named = {row["temp"].partition("/")[2] for row in noted.values()}
    assert {noted_of(name) for name in left} <= named, (left, named)
    for name in there.keys() - left:
        assert there[name] == campaign.data[name], name
    absent = [name for name in SIZES if name not in there]
    rows = {row["path"].partition("/")[2]: row for row in campaign.user.catalog().values()} if status != 2 else {}
    for name, row in rows.items():
        assert name in there or (row["downloaded"], row["verified"]) == ("no", ""), row
        assert status != 1 or name in there or row["error"], row
    assert "gridsync.py: " in err if status else not absent, err
    return " ".join([str(status), *absent]) if status == 1 else str(status)


def completes(campaign: Campaign) -> None:
    """A run without the fault copies what is missing, and that alone, and leaves nothing behind."""
    campaign.mend()
    for door in campaign.doors:
        door.restart()
    campaign.be_quiet()
    before = {name: which for name, (_, which) in campaign.nodes().items() if not name.endswith(MARK)}
    a_minute_later(campaign.user.folder)
    result = campaign.run()
    assert result.status == 0, result
    campaign.be_quiet()
    assert campaign.there() == campaign.data
    after = campaign.nodes()
    assert [name for name, which in before.items() if after[name][1] is not which and after[name][1] != which] == []
    assert [row for row in campaign.noted().values() if not row["verified"] or row["temp"] or row["error"]] == []


# == The faults =========================================================================================

LARGE, ALL = "*/big/*", "/agata/*"
Plant = Callable[[Campaign, Optional[int]], Optional[Fault]]


def door_of(campaign: Campaign, end: str) -> Door:
    """The door of an end: acts, far, source, target."""
    door = getattr(campaign, end)
    assert isinstance(door, Door)
    return door


def at(end: str, method: str, what: str | int, path: str = LARGE, **options: Any) -> Plant:
    """A fault of some requests at one of the doors; what concerns bytes happens where they come from, or go."""

    def plant(campaign: Campaign, count: int | None) -> Fault:
        door = door_of(campaign, end)
        spoils = method in ("GET", "PUT") and what in ("wrong_bytes", "reset_in_body", "truncate", "cut", "other_bytes")
        role = "pool" if spoils and door.switches.words == "dcache" else "door"
        return door.faults.add(path, what, method=method, role=role, count=count, **options)

    return plant


def bytes_are(fetched: str, brought: str) -> Plant:
    """What becomes of the bytes between the doors: of those that are fetched, and of those that are brought."""

    def plant(campaign: Campaign, count: int | None) -> Fault | None:
        is_brought = campaign.way == BROUGHT
        return at("far", "PUT" if is_brought else "GET", brought if is_brought else fetched)(campaign, count)

    return plant


def other_says(code: int) -> Plant:
    """What the other door says to the one that acts."""
    return lambda campaign, count: at("far", "PUT" if campaign.way == BROUGHT else "GET", code)(campaign, count)


def when(end: str, method: str, happens: Callable[[Campaign], object], path: str = LARGE) -> Plant:
    """Something happens just before such a request is answered, once or each time."""
    return lambda campaign, count: at(end, method, "meanwhile", path, happens=lambda: happens(campaign))(
        campaign, count
    )


def both(*plants: Plant) -> Plant:
    """Two faults; whether the last one happens counts."""
    return lambda campaign, count: [plant(campaign, count) for plant in plants][-1]


def site(happens: Callable[[Campaign], object]) -> Plant:
    """The site is so from the beginning."""

    def plant(campaign: Campaign, count: int | None) -> None:
        happens(campaign)

    return plant


def turned(end: str, **switches: object) -> Plant:
    """One of the doors is like this."""

    def happens(campaign: Campaign) -> None:
        for name, value in switches.items():
            setattr(door_of(campaign, end).switches, name, value)

    return site(happens)


def soon(end: str) -> Callable[[Campaign], None]:
    """A door is away for a moment, in the middle of the copy."""

    def happens(campaign: Campaign) -> None:
        campaign.happens_soon(door_of(campaign, end).restart)

    return happens


def be_patient(campaign: Campaign, count: int | None) -> None:
    """Try again as often as users do."""
    campaign.user.set("RETRIES", "4", "gridsync")


def appear(campaign: Campaign) -> None:
    """The same file comes from elsewhere."""
    door_of(campaign, "target").uploads.put(f"agata/{campaign.folder}/big/large", campaign.data["big/large"])


def vanish(campaign: Campaign) -> None:
    """The file is gone at the source."""
    if campaign.source.tree.find(path := f"agata/{campaign.folder}/big/large"):
        campaign.source.tree.remove(path)


def fill(campaign: Campaign) -> None:
    door = door_of(campaign, "target")
    door.switches.quota = door.uploads.used + 2_000_000


def die(campaign: Campaign) -> None:
    """The other door does not come back."""
    campaign.happens_soon(campaign.far.down)


Ends = Union[str, dict[str, str]]


class Row(NamedTuple):
    """A fault as a reader says it, how it is planted, and how runs end: with it once, and for ever.

    An end is the status and, after 1, what is absent; "-" where the fault can't happen, "" what is not tried, "|"
    between ends that depend on who is faster. Where they differ: by way.
    """

    fault: str
    plant: Plant
    once: Ends
    ever: Ends
    is_real: bool = False  # it is tried with the real one, too


def end(row: Row, is_once: bool, way: str) -> str:
    """How a run ends, one way."""
    ends = row.once if is_once else row.ever
    if way == REAL and not row.is_real:
        return "-"
    return ends if isinstance(ends, str) else ends.get(way, ends["else"])


BIG = "1 big/large"
SOME = "1 some files"  # which ones goes by the moment
# A door that gives no key to one file is shown another way, if a site may see the wider one, or gives a narrow one.
WIDE = {STORM: "2", BROUGHT: "2", "else": "0"}
# Once it has given one to another file, which the other thread may ask for first, nothing wider is shown.
KEYLESS = {**WIDE, DCACHE: f"0|{BIG}"}
LATE = {DCACHE: BIG, "else": f"0|{BIG}"}  # StoRM goes on, and is done before the run ends, or after
MANY = {BROUGHT: "1 sub/medium big/large", "else": "1 small sub/medium big/large"}
FAULTS = [
    Row("reset: when a key is asked for", at("far", "POST", "reset"), "0", "4", True),
    Row("500 when a key is asked for", at("far", "POST", 500), "0", KEYLESS, True),
    Row("403 when a key is asked for", at("far", "POST", 403), WIDE, KEYLESS, True),
    Row("reset: when a copy is asked for", at("acts", "COPY", "reset"), "0", BIG),
    Row("a copy is asked for, and the answer is lost", at("acts", "COPY", "lost"), "0", BIG),
    *[Row(f"{code} when a copy is asked for", at("acts", "COPY", code), "0", BIG) for code in (500, 503)],
    Row("403 when a copy is asked for", at("acts", "COPY", 403), BIG, BIG),
    Row("501 when a copy is asked for", at("acts", "COPY", 501, ALL), WIDE, WIDE),
    Row("reset: between the marks", at("acts", "COPY", "reset_in_body", at=300), "0", LATE),
    Row("... and what has come is there", both(turned("acts", copy_grows=True, copy_leaves="part"),
                                               at("acts", "COPY", "reset_in_body", at=300)), "0", LATE),
    Row("the marks end without a word", at("acts", "COPY", "truncate", at=300), "0", LATE),
    Row("the marks stop, and the copy goes on", turned("acts", copy_marks=3), "", "0"),
    Row("the verdict is not said", both(turned("acts", copy_marks=3, copy_rate=0, marker_interval=0.02)), "", "0"),
    Row("nothing moves", turned("acts", copy_rate=1), "", {**MANY, DCACHE: ""}),  # there it waits for its turn
    Row("a failure in the last line", turned("acts", copy_fails="why not"), "", MANY),
    Row("... and what is left looks whole", turned("acts", copy_fails="why not", copy_leaves="whole"), "", MANY),
    Row("reset: in the middle, between the doors", bytes_are("reset_in_body", "cut"), "0", BIG, True),
    Row("one byte arrives as another", bytes_are("wrong_bytes", "other_bytes"), "0", BIG, True),
    *[Row(f"{code} between the doors", other_says(code), "0", BIG, True) for code in (401, 500, 503)],
    Row("403 between the doors", other_says(403), BIG, BIG, True),
    Row("404 between the doors", other_says(404), BIG, BIG, True),
    Row("the target is full", site(fill), "", BIG),
    Row("the file is gone at the source", when("far", "POST", vanish), BIG, BIG, True),
    Row("a file gets its name, and the answer is lost", at("target", "MOVE", "lost"), "0", "0"),
    Row("500 when a file gets its name", at("target", "MOVE", 500), "0", BIG),
    Row("the same file appears before that", when("target", "MOVE", appear), "0", "0"),
    Row("what is left over can't be removed",
        both(turned("acts", copy_fails="why not", copy_leaves="whole"), at("target", "DELETE", 403)), "", MANY),
    Row("the door that acts restarts in the middle", both(be_patient, when("acts", "COPY", soon("acts"))), "0", ""),
    Row("the other door restarts in the middle", both(be_patient, when("far", "POST", soon("far"))), "0", "", True),
    Row("the other door dies in the middle", when("far", "POST", die), "", f"0|{SOME}|4", True),
]  # fmt: skip


# == Campaigns ==========================================================================================


def how_it_ends(grid: Grid, work: Path, way: str, is_once: bool, row: Row) -> str:
    """One campaign with a fault, and the run that completes it."""
    with Campaign(grid, work, way) as campaign:
        fault = row.plant(campaign, 1 if is_once else None)
        found = ending(campaign, campaign.run())
        if found != "0" or not is_once:
            if "gone" in row.fault:
                campaign.source.uploads.put(
                    f"agata/{campaign.folder}/big/large", campaign.data["big/large"], 1_600_000_000
                )
            completes(campaign)
        return found if fault is None or fault.hits else "-"


def wrong(found: dict[tuple[str, str], str], row: Row) -> dict[tuple[str, str], tuple[str, str]]:
    """The ends that are not those of the table, with those that are."""
    expected = {(way, how): end(row, how == "once", way) for way, how in found}

    def is_right(found: str, right: list[str]) -> bool:
        return found in right or (SOME in right and found.startswith("1 "))

    return {key: (found[key], expected[key]) for key in found if not is_right(found[key], expected[key].split("|"))}


@pytest.mark.long
@pytest.mark.parametrize("row", FAULTS, ids=lambda row: row.fault)
def test_what_becomes_of_a_campaign(grid, tmp_path, copiers, row):
    keys = [(way, how) for way in WAYS for how in ("once", "for ever")]
    tried = [(way, how) for way, how in keys if end(row, how == "once", way) not in ("", "-")]
    with ThreadPoolExecutor(3) as side_by_side:
        runs = {}
        for number, (way, how) in enumerate(tried):
            (work := tmp_path / str(number)).mkdir()
            runs[way, how] = side_by_side.submit(how_it_ends, grid, work, way, how == "once", row)
    assert wrong({key: run.result() for key, run in runs.items()}, row) == {}


@pytest.mark.long
def test_one_of_them_each_time(grid, tmp_path):
    row = next(row for row in FAULTS if row.fault == "reset: in the middle, between the doors")
    assert wrong({(STORM, "for ever"): how_it_ends(grid, tmp_path, STORM, False, row)}, row) == {}


# == Two real ones ======================================================================================


def in_the_middle(run: Popen[str], ship: Real, count: int) -> bool:
    """Wait until more than so many new names are at the target; whether the run still goes on then."""
    place, come = ship.place(ship.pair[1]), set[Path]()
    before = set(place.rglob("*"))
    while run.poll() is None and len(come) <= count:
        time.sleep(0.005)
        come |= {path for path in place.rglob("*") if path not in before and path.is_file()}
    return run.poll() is None


@pytest.mark.long
@pytest.mark.parametrize("which", ["source", "target"])
def test_a_real_door_that_is_killed_and_comes_back_leaves_nothing_wrong(grid, tmp_path, copiers, which):
    """XRootD is killed by its number, again and again, in the middle of runs."""
    dice, ship = random.Random(which), Real(grid, tmp_path, "", copiers)
    for number in range(16):
        ship.add(f"many/{number}", 2_000_000 + number)
    for site in (ship.source, ship.target):
        ship.set("FIRST_BYTE", "5", site)
        ship.set("SILENCE", "5", site)
    server, sent, there, statuses, kills = copiers[which == "target"], ship.sent(), ship.there(), [], 0
    while kills < 6 or statuses[-1]:
        with ship.running(f"--sync --to={ship.target} --threads 3", CHANGED) as run:
            if kills < 6 and in_the_middle(run, ship, dice.randrange(len(sent.keys() - there.keys()))):
                os.kill(server.pid, signal.SIGKILL)
                kills += 1
                time.sleep(dice.uniform(0, 1))
                server.renew()
            _, err = run.communicate(timeout=LIMIT)
        statuses.append(run.returncode)
        assert run.returncode in (0, 1, 4) and "Traceback" not in err and len(statuses) < 20, (statuses, err)
        there, noted = ship.there(), ship.open()
        for name, data in there.items():
            assert data == sent[name] if name in sent else noted_of(f"{ship.top}/{name}") in noted, name
        if sent.keys() <= there.keys() and kills < 6:
            shutil.rmtree(ship.place(copiers[1]))  # somebody takes it all away
            there = {}
    assert ship.there() == sent, statuses
    a_minute_later(ship.folder)
    assert ship.ship("--sync").status == 0  # which sees that nothing has come of what was given up a moment ago
    assert not ship.open() and all(row["verified"] for row in ship.noted().values())


# == The page ===========================================================================================


def shown(ends: str) -> str:
    """How a run ends, in a cell of the table."""
    cells = []
    for one in ends.split("|"):
        status, _, absent = one.partition(" ")
        absent = absent if one == SOME else absent.replace(" ", ", ")
        cells.append({"-": "–"}.get(status, status) + (f" ({absent})" if absent else ""))
    return " or ".join(cells)


def table() -> str:
    """FAULTS as a table: once, for ever."""
    lines = [f"{HEAD} {' | '.join(WAYS)} |", "|---" * (len(WAYS) + 1) + "|"]
    for row in FAULTS:
        cells = [f"{shown(end(row, True, way))} / {shown(end(row, False, way))}".strip() for way in WAYS]
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
