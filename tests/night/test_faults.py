"""What becomes of a small campaign when a door, its pools, its tape service or the network fail.

Each fault of FAULTS happens once to an unattended run, and for ever to one that is made step by step, at doors of
dCache and of StoRM, with both engines: gfal2 at one of the two, in turn, where both are to end alike. Afterwards every
file is verified under its name or absent with its reason, the status is that of the table, and a run without the fault
completes. docs/reliability.md has the same table.
"""

from __future__ import annotations

import math
import random
import socket
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, Optional, Union

import pytest

from gridsync_parts.disk import MARK
from tests.grid import CHOSEN, Grid
from tests.grid.door import Door, kindly
from tests.grid.faults import AT, Fault
from tests.grid.tape import Robot
from tests.grid.tree import TAPE
from tests.support import TOP
from tests.support.user import Result, User

PAGE = TOP / "docs" / "reliability.md"
WAYS = [f"{engine} {kind}" for engine in ("http", "gfal2") for kind in ("dCache", "StoRM")]
PROFILE = {"dCache": CHOSEN["dcache"], "StoRM": CHOSEN["storm"]}
SIZES = {"empty": 0, "small": 20_000, "medium": 1_000_003, "large": 5_000_011}
TAPES = {f"tape/{number}": 300_000 + number for number in range(4)}
LIMIT = 120  # seconds of a command line; none takes nearly as long, unless it hangs
# 5 MB are enough for three streams then, and a dead address is given up soon, and what fails is tried again soon.
CHANGED = "SHORTEST = 1 << 20; CONNECT = 1; RATED = 1; pool = Backoff(1, 60)"
DAY = "file = Backoff(3, 60, 10); chore = Backoff(2, 60, 10); idle = 10"  # of ten seconds
LATE = 8  # seconds of a stall; the user's Grid.conf waits for
PATIENT = 3


class Campaign:
    """Eight files, four of them on tape, behind a door of their own, and a user who wants them."""

    def __init__(self, grid: Grid, folder: str, work: Path, way: str) -> None:
        engine, self.kind = way.split()
        self.folder = folder
        self.tree = grid.tree
        for name, size in {**SIZES, **TAPES}.items():
            self.tree.add(self.place(name), size, tape=name in TAPES)
        self.robot = Robot(grid.tree, drives=4, seconds=0.05)
        self.door = Door(grid.tree, grid.pki, self.robot, PROFILE[self.kind], kindly(PROFILE[self.kind]))
        self.forgets_pins = self.hides_checksums = False
        self.sockets: list[socket.socket] = []
        work.mkdir(parents=True)
        self.user = User(grid, work)
        self.user.limit = LIMIT
        self.set(SERVER=f"{self.door.url}/", ENGINE=engine, FIRST_BYTE=PATIENT, SILENCE=PATIENT)
        for key, value in {"INPUTDIR": folder, "STREAMS": "3", "THREADS": "2"}.items():
            self.user.set(key, value, "gridsync")

    def set(self, **keys: object) -> None:
        """Change keys of the site."""
        for key, value in keys.items():
            self.user.set(key, str(value))

    def place(self, name: str) -> str:
        """Where a file is in the tree."""
        return f"agata/{self.folder}/{name}"

    def names(self) -> list[str]:
        """The files that the door has."""
        return [path[len(self.place("")) :] for path in self.tree.files(self.place(""))]

    def run(self, line: str, changed: str = CHANGED) -> Result:
        return self.user(line, changed=changed)

    def step_by_step(self) -> Result:
        """The commands of the manual one after the other, the last one when no tape is turning any more."""
        first = self.run("--build_list --bring_online")
        ends = time.monotonic() + 2
        while time.monotonic() < ends and any(not request.completed for request in self.requests()):
            time.sleep(0.02)
        last = self.run("--check_status --start")
        return Result(max(first.status, last.status), first.out + last.out, first.err + last.err)

    def requests(self) -> list[Any]:
        return list(self.door.staging.requests.values())

    def mend(self) -> None:
        """Let nothing go wrong any more."""
        self.door.faults.clear()
        for name, value in vars(kindly(PROFILE[self.kind])).items():
            setattr(self.door.switches, name, value)
        self.door.let_in_again()
        self.robot.fail.clear()
        self.robot.go()
        self.door.restart()
        self.set(SERVER=f"{self.door.url}/")
        self.user.before = ()

    def __enter__(self) -> Campaign:
        self.door.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.door.stop()
        for sock in self.sockets:
            sock.close()


def ending(campaign: Campaign, result: Result) -> str:
    """How a run has ended, as in the table: the status and, after 1, what is absent.

    Whatever has gone wrong, each file is verified under its name, or absent with its reason.
    """
    status, _, err = result
    assert "Traceback" not in err and "a fault of gridsync" not in err, err
    assert status in (0, 1, 3, 4), err
    catalog = campaign.user.catalog() if (campaign.user.folder / "grid_summary.csv").exists() else {}
    paths = {f"{campaign.folder}/{name}": name for name in campaign.names()}
    paths.update({path: path[len(campaign.folder) + 1 :] for path in catalog})
    assert {path.removesuffix(MARK) for path in campaign.user.files()} <= set(paths)
    absent = []
    for path, name in paths.items():
        row = catalog.get(path, {"size": "", "downloaded": "no", "verified": "", "error": "", "locality": "unknown"})
        if (campaign.user.data / path).exists():
            assert (campaign.user.data / path).read_bytes() == campaign.tree.expected(f"agata/{path}"), name
            by = "adler32" if int(row["size"]) and not campaign.hides_checksums else "size"
            assert (row["downloaded"], row["verified"], row["error"]) == ("yes", by, ""), row
        else:
            absent.append(name)
            assert (row["downloaded"], row["verified"]) == ("no", ""), row
            if status == 1:
                assert row["locality"] == "NEARLINE" or (row["error"] and path in err), (row, err)
    assert "gridsync.py: " in err if status > 1 else status or not absent, err
    if status == 1 and not absent:
        assert "a pin remains, and --release will try again: " in err, err
        return "1 pins"
    return " ".join([str(status), *absent]) if status == 1 else str(status)


def completes(campaign: Campaign) -> None:
    """A run without the fault brings what is missing, and leaves nothing behind."""
    campaign.mend()
    result = campaign.run("--sync")
    assert result.status == 0, result.err
    assert ending(campaign, result) == "0"
    assert campaign.user.files() == sorted(campaign.user.catalog()), "part files, or rows of what is no file"
    assert not any(row["request"] for row in campaign.user.catalog().values())
    if campaign.kind == "dCache" and not campaign.forgets_pins:  # StoRM does nothing at a release
        assert not [name for name in campaign.names() if campaign.door.staging.pins(campaign.place(name))]


# == The faults =========================================================================================

LARGE, ALL = "*/large", "/agata/*"
UNKNOWN = "https://no.invalid:2880"  # a name that is reserved for having no address
Plant = Callable[[Campaign, Optional[int]], Optional[Fault]]


class At(NamedTuple):
    """A fault of some requests: where, what, on which files, with which options."""

    where: str
    what: str | int
    path: str = ALL
    options: dict[str, Any] = {}

    def __call__(self, campaign: Campaign, count: int | None, **more: Any) -> Fault:
        at = AT["reading" if (self.where, campaign.kind) == ("bytes", "StoRM") else self.where]
        keys = {"path": self.path, **at, **self.options, **more}
        if self.where == "poll" and count is None and "rate" not in more:
            campaign.robot.hold()  # else no request would be left to be asked
        if (self.where, self.what) == ("staging", "garbage"):
            campaign.forgets_pins = True  # those of requests whose names never came
        return campaign.door.faults.add(keys.pop("path"), self.what, count=count, **keys)


def when(where: str, happens: Callable[[Campaign], object], path: str = ALL) -> Plant:
    """Something happens to the site just before such a request is answered, once or each time."""
    return lambda campaign, count: At(where, "meanwhile", path)(campaign, count, happens=lambda: happens(campaign))


def site(happens: Callable[[Campaign], object]) -> Plant:
    """The site is so from the beginning."""

    def plant(campaign: Campaign, count: int | None) -> None:
        happens(campaign)

    return plant


def turned(**switches: object) -> Plant:
    """Switches of the door stand otherwise."""
    return site(lambda campaign: [setattr(campaign.door.switches, *switch) for switch in switches.items()])


def grow(campaign: Campaign) -> None:
    campaign.tree.file(campaign.place("large")).size = SIZES["large"] + 1000


def remove(campaign: Campaign) -> None:
    campaign.tree.remove(campaign.place("large"))


def evict(campaign: Campaign) -> None:
    for request in campaign.door.staging.pins(campaign.place("tape/1")):
        campaign.door.staging.release(request, [campaign.place("tape/1")])
    campaign.tree.file(campaign.place("tape/1")).locality = TAPE


def forget(campaign: Campaign) -> None:
    campaign.forgets_pins = True
    campaign.door.staging.requests.clear()


def keep_pins(campaign: Campaign) -> None:
    campaign.forgets_pins = True
    campaign.door.switches.release_delay = math.inf


def hide_checksums(campaign: Campaign) -> None:
    campaign.hides_checksums = True
    campaign.door.switches.checksum_prop = "absent"
    campaign.door.faults.add("*", "digest", value="")


def tear(campaign: Campaign) -> None:
    campaign.robot.fail[campaign.place("tape/1")] = "tape 007 is torn"


def hold(campaign: Campaign) -> None:
    campaign.robot.hold()


def silent_ipv6(campaign: Campaign) -> None:
    """For the user alone, localhost has an IPv6 address too, the first one, where connections wait in a full queue."""
    port = int(campaign.door.url.rpartition(":")[2])
    hosts = campaign.user.folder / "hosts"
    hosts.write_text("::1 localhost\n127.0.0.1 localhost\n")
    inside = f'mount --bind "{hosts}" /etc/hosts && exec "$@"'
    campaign.user.before = ("unshare", "-rm", "sh", "-c", inside, "sh")
    if subprocess.run([*campaign.user.before, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody have another /etc/hosts")
    try:
        listener = socket.create_server(("::1", port), family=socket.AF_INET6, backlog=0)
    except OSError as error:
        pytest.skip(f"there is no IPv6 here: {error}")
    campaign.sockets.append(listener)
    for _ in range(4):
        waiting = socket.socket(socket.AF_INET6)
        waiting.setblocking(False)
        waiting.connect_ex(listener.getsockname())
        campaign.sockets.append(waiting)


Ends = Union[str, dict[str, str]]


class Row(NamedTuple):
    """A fault as a reader says it, how it is planted, and how runs end: with it once, and for ever.

    An end is the status and, after 1, what is absent; "-" where the fault can't happen, "" what is not tried. Where
    they differ: by engine, by kind of door, or by both.
    """

    fault: str
    plant: Plant
    once: Ends
    ever: Ends
    is_quick: bool = False


def end(ends: Ends, way: str) -> str:
    """How a run ends at an engine and a kind of door."""
    if isinstance(ends, str):
        return ends
    return next(ends[key] for key in (way, *way.split(), "else") if key in ends)


ON_TAPE = "1 tape/0 tape/1 tape/2 tape/3"
ALL_READ = "1 small medium large tape/0 tape/1 tape/2 tape/3"  # the empty one needs no bytes
FAULTS = [
    Row("reset: in the TLS handshake", turned(handshake="reset"), "", "4"),
    Row("reset: at a listing", At("listing", "reset"), "0", "4"),
    Row("a listing ends early", At("listing", "truncate"), "0", "4"),
    Row("reset: when the door is asked for a file", At("reading", "reset", LARGE), "0", "1 large"),
    Row("reset: at the pool, before the answer", At("bytes", "reset", LARGE), "0", "1 large", True),
    Row("reset: after the headers", At("bytes", "reset_in_body", LARGE, {"at": 0}), "0", "1 large"),
    Row("reset: in the middle of a file", At("bytes", "reset_in_body", LARGE), "0", "1 large"),
    Row("reset: when files are to be staged", At("staging", "reset"), "0", "4"),
    Row("reset: when a request is asked how far it is", At("poll", "reset"), "0", "4"),
    Row("reset: at a release", At("release", "reset"), "0", "1 pins"),
    Row("a file ends early", At("bytes", "truncate", LARGE), "0", "1 large"),
    Row("an answer of the tape service ends early", At("poll", "truncate"), "0", "4"),
    Row("stall: at a listing", At("listing", "stall", options={"seconds": LATE}), "0", "4"),
    Row("stall: before the first byte, at the door", At("reading", "stall", LARGE, {"seconds": LATE}), "0", "1 large"),
    Row("stall: before the first byte, at the pool", At("bytes", "stall", LARGE, {"seconds": LATE}), "0", "1 large"),
    Row("stall: in the middle of a file", At("bytes", "stall_in_body", LARGE, {"seconds": LATE}), "0", "1 large"),
    Row("stall: at the tape service", At("poll", "stall", options={"seconds": LATE}), "0", "4"),
    Row("connections are accepted, and no more", turned(handshake="silent"), "", {"http": "4", "gfal2": ""}),
    Row("a drip below MIN_RATE", At("bytes", "drip", LARGE, {"speed": 20}), "0", "1 large"),
    Row(
        "interim answers without end",
        At("bytes", "interim", LARGE),
        {"http": "0", "gfal2": ""},
        {"http": "1 large", "gfal2": ""},
    ),
    Row("a slow drip of 1 MB/s", At("bytes", "drip", LARGE, {"speed": 1_000_000}), "0", "0"),
    Row("500 at a listing", At("listing", 500), "0", "4"),
    *[Row(f"{code} for a file", At("reading", code, LARGE), "0", "1 large") for code in (500, 502, 503, 507)],
    Row("503 for all files", At("reading", 503), "0", ALL_READ, True),
    Row("503 from a pool", At("bytes", 503, LARGE), "0", "1 large"),
    Row("500 at the tape service, staging", At("staging", 500), "0", "4"),
    Row("500 at the tape service, release", At("release", 500), "0", "1 pins"),
    Row("401 in mid-run", At("reading", 401, LARGE), "0", "3"),
    Row("401 at the tape service", At("poll", 401), "0", "3"),
    Row("403 for a file", At("reading", 403, LARGE), "0", "1 large"),
    Row("403 at the tape service, staging", At("staging", 403), "0", "4"),
    Row("404 of a file that was listed", At("reading", 404, LARGE), "0", "1 large"),
    Row("416", At("bytes", 416, LARGE), "0", "1 large"),
    Row("200 instead of 206", At("bytes", "ignore_range", LARGE), "0", "0"),
    Row("206 with another range", At("bytes", "other_range", LARGE), "0", "1 large"),
    Row("206 without bytes", At("bytes", "empty_206", LARGE), "0", "1 large"),
    Row("wrong bytes", At("bytes", "wrong_bytes", LARGE), "0", "1 large", True),
    Row(
        "a wrong checksum in the listing",
        At("listing", "digest"),
        {"http": "1 small medium large", "gfal2": "-"},
        {"http": ALL_READ, "gfal2": "-"},
    ),
    Row(
        "a wrong checksum of a file",
        At("checksum", "digest", LARGE),
        {"http": "-", "gfal2": "0"},
        {"http": "-", "gfal2": "1 large"},
    ),
    Row("no checksum", site(hide_checksums), "", "0"),
    Row("a file grows between listing and copy", when("reading", grow, LARGE), "1 large", "1 large"),
    Row("a file is deleted between listing and copy", when("reading", remove, LARGE), "1 large", ""),
    Row("redirect in a loop", At("reading", "redirect", LARGE, {"to": "itself"}), "0", "1 large"),
    Row("redirect to a pool that has died", At("reading", "redirect", LARGE, {"to": "dead"}), "0", "1 large"),
    Row(
        "redirect to plain http",
        At("reading", "redirect", LARGE, {"to": "http"}),
        "0",
        {"gfal2 dCache": "0", "else": "1 large"},
    ),
    Row("redirect to a name without address", At("reading", "redirect", LARGE, {"to": UNKNOWN}), "0", "1 large"),
    Row(
        "redirect to a foreign host, which has the file of dCache only",
        At("reading", "redirect", LARGE, {"to": "elsewhere"}),
        "0",
        {"dCache": "0", "StoRM": "1 large"},
    ),
    Row("the address at the pool is used up", turned(mover_life=0.0), "", {"dCache": ALL_READ, "StoRM": ""}),
    Row("the door restarts in mid-run", when("reading", lambda campaign: campaign.door.restart()), "0", ""),
    Row("the pool is down", site(lambda campaign: campaign.door.down("pool")), "", {"dCache": ALL_READ, "StoRM": ""}),
    Row("the tape service is down", site(lambda campaign: campaign.door.down("tape")), "", "4"),
    Row("garbage instead of XML", At("listing", "garbage"), "0", "4"),
    Row("garbage instead of JSON: discovery", At("discovery", "garbage"), "0", "4"),
    Row("garbage instead of JSON: where files are", At("locality", "garbage"), "0", "4"),
    Row("garbage instead of JSON: staging", At("staging", "garbage"), "0", "4"),
    Row("garbage instead of JSON: how far it is", At("poll", "garbage"), "0", "4"),
    Row("null instead of JSON", At("poll", "other_json"), "0", "4"),
    Row('"error": null', At("poll", "null_error"), "0", ""),
    Row("a staging that fails", site(tear), "1 tape/1", "1 tape/1"),
    Row("a staging that hangs", site(hold), "", ON_TAPE),
    Row("a request that is forgotten", when("poll", forget), "0", ""),
    Row(
        "a pin that ends before the copy", when("reading", evict, "*/tape/1"), "0", {"dCache": "0", "StoRM": "1 tape/1"}
    ),
    Row("a release without effect", site(keep_pins), "0", "0"),
    Row("a door that no name server knows", site(lambda campaign: campaign.set(SERVER=UNKNOWN)), "", "4"),
    Row("IPv6 that does not answer, IPv4 that does", site(silent_ipv6), {"http": "0", "gfal2": ""}, ""),
]


# == Campaigns ==========================================================================================


def how_it_ends(grid: Grid, folder: str, work: Path, way: str, is_once: bool, row: Row) -> str:
    """One campaign with a fault, from the list to the run that completes it."""
    with Campaign(grid, folder, work, way) as campaign:
        fault = row.plant(campaign, 1 if is_once else None)
        found = ending(campaign, campaign.run("--sync") if is_once else campaign.step_by_step())
        if found != "0" or not is_once:
            completes(campaign)
        return found if fault is None or fault.hits else "-"


def ways_of(row: Row) -> list[str]:
    """How a fault is tried: gfal2, which takes long, at one kind of door where both are to end alike."""
    one, other = WAYS[2:]
    is_alike = all(end(ends, one) == end(ends, other) for ends in (row.once, row.ever))
    return [*WAYS[:2], WAYS[2 + FAULTS.index(row) % 2]] if is_alike else WAYS


@pytest.mark.parametrize(
    "row", [pytest.param(row, marks=[] if row.is_quick else pytest.mark.long, id=row.fault) for row in FAULTS]
)
def test_what_becomes_of_a_campaign(grid, folder, tmp_path, row):
    ways = ways_of(row)
    ends = {(way, "once"): end(row.once, way) for way in ways}
    ends.update({(way, "for ever"): end(row.ever, way) for way in ways})
    expected = {key: end for key, end in ends.items() if end}
    with ThreadPoolExecutor(len(expected)) as side_by_side:
        runs = {}
        for number, (way, how) in enumerate(expected):
            place = f"{folder}/{number}", tmp_path / str(number)
            runs[way, how] = side_by_side.submit(how_it_ends, grid, *place, way, how == "once", row)
    assert {key: run.result() for key, run in runs.items()} == expected


def survives(grid: Grid, folder: str, work: Path, way: str, seed: int) -> None:
    """One unattended campaign with several faults, by dice; and the run that completes it."""
    dice = random.Random(seed)
    with Campaign(grid, folder, work, way) as campaign:
        campaign.user.set("RETRIES", "3", "gridsync")
        plants = [row.plant for row in FAULTS if isinstance(row.plant, At) and end(row.ever, way)]
        for plant in dice.sample(plants, dice.randint(2, 5)):
            if dice.random() < 0.5:
                plant(campaign, dice.randint(1, 3))
            else:
                plant(campaign, None, rate=dice.choice([0.02, 0.1, 0.2]), seed=seed)
        ending(campaign, campaign.run("--sync", f"{CHANGED}; {DAY}"))
        completes(campaign)


@pytest.mark.long
@pytest.mark.parametrize("seed", [pytest.param(seed, marks=pytest.mark.long if seed else []) for seed in range(9)])
def test_a_random_mix_of_faults_leaves_files_verified_or_absent_with_their_reason(grid, folder, tmp_path, seed):
    with ThreadPoolExecutor(len(WAYS)) as side_by_side:
        runs = [
            side_by_side.submit(survives, grid, f"{folder}/{number}", tmp_path / str(number), way, seed)
            for number, way in enumerate(WAYS)
        ]
    for run in runs:
        run.result()


# == The page ===========================================================================================


def shown(ends: Ends, way: str) -> str:
    """How a run ends, in a cell of the table."""
    status, _, absent = end(ends, way).partition(" ")
    absent = {ALL_READ[2:]: "all but the empty one", ON_TAPE[2:]: "all on tape"}.get(absent, absent.replace(" ", ", "))
    return {"-": "–"}.get(status, status) + (f" ({absent})" if absent else "")


def table() -> str:
    """FAULTS as a table: once, for ever."""
    lines = ["| fault | " + " | ".join(WAYS) + " |", "|---" * (len(WAYS) + 1) + "|"]
    for row in FAULTS:
        cells = [f"{shown(row.once, way)} / {shown(row.ever, way)}".strip() for way in WAYS]
        lines.append(f"| {row.fault} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def page() -> str:
    """docs/reliability.md with the table as it should be."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition("| fault |")
    return before + table() + rest.partition("\n\n")[1] + rest.partition("\n\n")[2]


def test_the_page_has_the_table_that_is_tested():
    assert PAGE.read_text(encoding="utf-8") == page()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
