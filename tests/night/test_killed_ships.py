"""SIGKILL at any moment of runs from site to site: a further run copies nothing twice, loses nothing, leaves nothing.

KILLS=300 SEED=1 /usr/bin/python3 -m pytest -rP tests/night/test_killed_ships.py kills as often as one likes, and prints
what came of it.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from gridsync_parts.disk import MARK
from gridsync_parts.pull import noted_of
from tests.grid import Grid
from tests.grid.xrootd import XRootD
from tests.support.ships import Real, Shipper, Simulated, ThroughHere
from tests.support.user import a_minute_later

KILLS = int(os.environ.get("KILLS", "12"))  # of each pair
SEED = int(os.environ.get("SEED", "1"))
SIZES = {**{f"many/{number:02}": 20_000 + number for number in range(12)}, "large/1": 6_000_000, "large/2": 6_000_001}
RATE = 8_000_000  # bytes a second of a copy between simulated doors, so that there is a middle to kill in
RUN = 2.5  # seconds that a run takes, or more; between real doors until one has ended
# When to kill: at any time, or just before one of the doors does what it is asked.
MOMENTS = ("", "", "PROPFIND", "MKCOL", "COPY", "COPY", "POST", "HEAD", "MOVE", "MOVE", "DELETE", "PUT", "GET")
TIMES = 8  # requests of a kind that may pass before


class Night:
    """A user whose runs are killed, and what must be true after each of them."""

    def __init__(self, ship: Shipper, dice: random.Random):
        self.ship = ship
        self.dice = dice
        self.doors = [ship.grid.door, ship.grid.storm] if isinstance(ship, Simulated) else []
        self.hits: Counter[str] = Counter()
        self.took = 0.0  # seconds, the longest run between real doors that has ended
        self.finished: dict[str, object] = {}  # what is there as it is at the source, and which one it is
        for name, size in SIZES.items():
            ship.add(name, size)

    def which(self) -> dict[str, object]:
        """The files that are there, and which ones they are: one that is copied again is another one."""
        ship = self.ship
        if isinstance(ship, Real):
            top = ship.place(ship.pair[1])
            paths = [path for path in top.rglob("*") if path.is_file()]
            return {str(path.relative_to(top)): (path.stat().st_ino, path.stat().st_mtime_ns) for path in paths}
        assert isinstance(ship, Simulated)
        top_there = f"{ship.mirror}/{ship.top}"
        paths_there = ship.grid.tree.files(top_there)
        return {path[len(top_there) + 1 :]: ship.grid.tree.file(path) for path in paths_there}

    def run_killed(self) -> None:
        """One run that is killed, unless it is over before."""
        ship, dice = self.ship, self.dice
        line = f"--sync --to={ship.target} {ship.more} --threads={dice.randint(1, 8)}"
        with ship.running(line) as run:
            moment = dice.choice(MOMENTS) if self.doors else ""
            left = [None] * dice.randrange(TIMES)
            for door in self.doors if moment else ():
                door.faults.add("*", "meanwhile", method=moment, happens=lambda: left.pop() if left else run.kill())
            began = time.monotonic()
            ends = began + (30 if moment else dice.uniform(0, self.took or RUN))
            while run.poll() is None and time.monotonic() < ends:
                time.sleep(0.005)
            if run.poll() is not None and not self.doors:
                self.took = max(self.took, time.monotonic() - began)
            for door in self.doors:
                door.faults.clear()
            run.kill()
            _, err = run.communicate(timeout=30)
        self.hits[f"killed at {moment or 'any time'}" if run.returncode == -9 else "over before"] += 1
        assert run.returncode in (-9, 0) and "Traceback" not in err, err
        self.look()

    def look(self) -> None:
        """Nothing under its real name is wrong, all else is noted, and nothing was copied twice."""
        ship = self.ship
        sent, there, noted = ship.sent(), ship.there(), ship.open()
        left = {f"{ship.top}/{name}" for name in there if name.endswith(MARK)}
        self.hits["left something"] += bool(left)
        strange = {name for name in left if noted_of(name) not in noted}
        assert not strange, f"nobody knows of {strange}"
        wrong = [name for name, data in there.items() if not name.endswith(MARK) and data != sent[name]]
        assert not wrong, f"{wrong} are wrong"
        which = self.which()
        again = [name for name, one in self.finished.items() if which.get(name) != one]
        assert not again, f"{again} were copied twice, or are lost"
        self.finished = {name: one for name, one in which.items() if not name.endswith(MARK)}

    def ends_well(self) -> None:
        """A run that nobody kills copies what is missing, and leaves nothing behind."""
        ship = self.ship
        done = ship.ship("--sync")
        assert done.status == 0 and "Traceback" not in done.err, done
        ends = time.monotonic() + 60
        while ship.open() or any(name.endswith(MARK) for name in ship.there()):  # a door has gone on with a copy
            assert time.monotonic() < ends, (ship.open(), sorted(ship.there()))
            a_minute_later(ship.folder)
            assert ship.ship("--sync").status == 0
        self.look()
        assert ship.there() == ship.sent()
        assert all(row["downloaded"] == "yes" for row in ship.rows().values())
        assert not list(ship.folder.glob(f"*.csv.*{MARK}"))

    def clear(self) -> None:
        """Somebody takes away all that was copied."""
        self.finished = {}
        for name in self.ship.there():
            if isinstance(self.ship, Real):
                (self.ship.place(self.ship.pair[1]) / name).unlink()
            else:
                assert isinstance(self.ship, Simulated)
                self.ship.grid.tree.remove(f"{self.ship.mirror}/{self.ship.top}/{name}")


@pytest.fixture(params=["LYON", "CNAF", "through here", "xrootd"])
def ship(
    request: pytest.FixtureRequest, grid: Grid, tmp_path: Path, folder: str, copiers: tuple[XRootD, XRootD]
) -> Iterator[Shipper]:
    """A user who copies to another site, whose doors are slow."""
    doors = grid.door, grid.storm
    before = [(door.switches.marker_interval, door.switches.copy_rate, door.switches.copy_grows) for door in doors]
    for door in doors:
        door.switches.marker_interval, door.switches.copy_rate, door.switches.copy_grows = 0.1, RATE, True
    if request.param == "xrootd":
        yield Real(grid, tmp_path, folder, copiers)
    elif request.param == "through here":
        yield ThroughHere(grid, tmp_path, folder)
    else:
        yield Simulated(grid, tmp_path, folder, request.param)
    for door, (interval, rate, grows) in zip(doors, before):
        door.switches.marker_interval, door.switches.copy_rate, door.switches.copy_grows = interval, rate, grows


@pytest.mark.long
def test_kills_at_any_moment_leave_nothing_that_looks_finished_and_is_not(ship):
    night = Night(ship, random.Random(SEED))
    while sum(count for what, count in night.hits.items() if what.startswith("killed")) < KILLS:
        night.run_killed()
        assert night.hits["over before"] <= 2 * KILLS  # else the moments are ill chosen
        if len(night.finished) == len(ship.sent()):
            night.ends_well()
            night.clear()
    night.ends_well()
    print(f"KILLS={KILLS} SEED={SEED}: {dict(night.hits)}")
