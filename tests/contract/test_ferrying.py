"""Files from site to site, by the doors of the grid and through this machine, whichever two they are."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Iterator

import pytest

from gridsync_parts.disk import MARK
from gridsync_parts.doors import At, Place, Sent
from gridsync_parts.errors import DoorError, NotFound
from gridsync_parts.ferry import Ferry
from gridsync_parts.fetching import Work
from gridsync_parts.loop import Again
from gridsync_parts.pace import PACE, Tries, insist
from gridsync_parts.pool import Stop
from gridsync_parts.pull import Crosser
from gridsync_parts.table import Settings, Site
from gridsync_parts.values import Locality, Outcome, Row, Wishes
from tests.grid import Grid, agata
from tests.grid.xrootd import XRootD
from tests.support.places import RECORD, place_at, site_of, site_to_write

SIZE = 3_000_000


@pytest.fixture
def second(grid: Grid) -> XRootD:
    """A second XRootD that copies."""
    return grid.second


def site_at(grid: Grid, second: XRootD, pair: str) -> Site:
    """One of the sites."""
    site = site_to_write(grid, "http xrootd" if pair == "http second" else pair)
    return site._replace(server=second.url) if pair == "http second" else site


def place_below(grid: Grid, site: Site) -> Place:
    """A new folder of a site: some doors of the grid have the same files."""
    name = f"at-{uuid.uuid4().hex[:8]}"
    writer = place_at(grid, site).writer
    assert writer
    writer.folder(name)
    return place_at(grid, site._replace(base=f"{site.base}/{name}".strip("/")))


class Line:
    """Two sites, and files that go from one to the other."""

    def __init__(self, grid: Grid, second: XRootD, ends: str, **wishes: bool):
        source, target = ends.split(">")
        self.source = place_at(grid, site_at(grid, second, source))
        self.target = place_below(grid, site_at(grid, second, target))
        self.folder = uuid.uuid4().hex[:8]
        self.stop = Stop()
        settings = Settings(Site("A", "", ""), output_dir="", threads=1, streams=1, vo="", retries=3)
        self.names = source.split()[-1], target.split()[-1]
        self.how = settings, Wishes(to="B", **wishes), self.stop, self.names
        self.ferry = Ferry(self.source, self.target, *self.how)

    def give(self, name: str, data: bytes) -> Row:
        """A file at the source, as a catalog has it."""
        assert self.source.writer
        path = f"{self.folder}/{name}"
        self.source.writer.folder(self.folder)
        self.source.writer.write(path, Sent(len(data), lambda: iter([data] if data else []), 1_600_000_000))
        (entry,) = self.source.lister.folder(path)
        row = Row(path, len(data), entry.mtime, entry.checksum, Locality.ONLINE, False, "", "", "A>B", "")
        temp = f"{self.folder}/{uuid.uuid4().hex[:8]}-{len(self.ferry.temps)}{MARK}"
        self.ferry.temps[path] = temp if self.target.can.renames else path
        return row

    def bring(self, row: Row, is_here: bool = False) -> Outcome:
        """Copy one."""
        now = time.monotonic()
        work = Work(row, is_here, now + 600, Tries(now), 3, PACE)
        while isinstance(item := self.ferry.bring(work), Again):
            work = work._replace(tries=item.tries)
            time.sleep(item.pause)
        return item

    def there(self) -> list[str]:
        """What is in the folder at the target."""
        try:
            listing = insist(self.target.lister.folder, self.folder, retries=3)
            return sorted(entry.path.rpartition("/")[2] for entry in listing)
        except NotFound:
            return []

    def content(self, row: Row) -> bytes:
        """A file as the target has it; it is asked twice if need be, as XRootD 5.5 sometimes cannot read a new file."""
        try:
            body = self.target.reader.read(At(row.path, row.size), 0, row.size)
        except DoorError as error:
            if not error.passing:
                raise
            body = self.target.reader.read(At(row.path, row.size), 0, row.size)
        try:
            return b"".join(map(bytes, body.chunks))
        finally:
            body.close()


DIRECT = ["http xrootd>http second", "http dcache>http storm", "http storm>http dcache", "http xrootd>http dcache"]
DIRECT += ["http storm>http xrootd"]
THROUGH = [*DIRECT[:3], "ssh sftp>http dcache", "http xrootd>ssh sftp", "ftps proftpd>http storm"]
THROUGH += ["http dcache>hub alone", "hub alone>http storm"]
WAYS = [*((ends, False) for ends in DIRECT), *((ends, True) for ends in THROUGH)]


@pytest.fixture(params=WAYS, ids=[f"{ends}{', here' if via_here else ''}" for ends, via_here in WAYS])
def line(request: pytest.FixtureRequest, grid: Grid, second: XRootD) -> Line:
    ends, via_here = request.param
    return Line(grid, second, ends, via_here=via_here, trust_target=True)


def data_of(size: int) -> bytes:
    """Bytes of which no two pieces are the same."""
    return random.Random(size).randbytes(size)


def further_run(line: Line) -> None:
    """Another run, which knows what was noted."""
    temps, is_open = line.ferry.temps, set(line.ferry.open)
    line.stop = Stop()
    line.ferry = Ferry(line.source, line.target, *line.how[:2], line.stop, line.how[3])
    line.ferry.temps.update(temps)
    line.ferry.open |= is_open


@pytest.mark.first
@pytest.mark.parametrize("size", [0, 10, SIZE])
def test_a_file_goes_from_site_to_site(line, size):
    row = line.give("a", data_of(size))
    outcome = line.bring(row)
    assert (outcome.done, outcome.row.error) == ("copied", "")
    assert line.there() == ["a"] and not line.ferry.open
    assert not size or line.content(row) == data_of(size)
    has_one = bool(line.target.can.checksums) and bool(outcome.row.checksum or outcome.row.computed)
    assert outcome.row.verified == ("adler32" if has_one else "size")


@pytest.mark.first
def test_what_is_there_is_compared(line):
    row = line.give("a", data_of(SIZE))
    assert line.bring(row).done == "copied"
    assert line.bring(row, is_here=True).done == "skipped"
    other = line.give("b", data_of(SIZE))
    assert line.target.writer
    line.target.writer.write(other.path, Sent(SIZE, lambda: iter([data_of(SIZE)[::-1]]), 1_500_000_000))
    outcome = line.bring(other, is_here=True)
    assert outcome.done == "failed" and "--overwrite" in outcome.row.error
    assert line.there() == ["a", "b"] and line.content(other) == data_of(SIZE)[::-1]
    settings, wishes, *more = line.how
    line.how = settings, wishes._replace(overwrite=True), *more
    further_run(line)
    assert line.bring(other, is_here=True).done == "copied"
    assert line.there() == ["a", "b"] and line.content(other) == data_of(SIZE) and not line.ferry.open


# What goes wrong.


@pytest.fixture
def slow(grid: Grid) -> Iterator[None]:
    """StoRM copies slowly, and so does who copies from dCache; all that has come so far is there."""
    storm, before = grid.storm.switches, vars(grid.storm.switches).copy()
    storm.marker_interval, storm.copy_rate, storm.copy_grows = 0.2, SIZE / 2, True
    fault = grid.door.faults.add("*/slow", "drip", speed=SIZE / 2)
    yield
    for name, value in before.items():
        setattr(storm, name, value)
    assert fault.hits
    grid.door.faults.clear()


@pytest.mark.long
@pytest.mark.parametrize("target", ["http storm", "http second"])
def test_what_a_door_goes_on_with_leaves_nothing(grid, second, slow, target):
    line = Line(grid, second, f"http dcache>{target}", trust_target=True)
    row = line.give("slow", data_of(SIZE))
    threading.Thread(target=lambda: (time.sleep(0.7), line.stop.set()), daemon=True).start()
    outcome = line.bring(row)
    assert outcome.done == "interrupted"
    noted = line.ferry.temps[row.path]
    assert noted in line.ferry.open
    further_run(line)
    outcome = line.bring(row)
    assert (outcome.done, outcome.row.verified) == ("copied", "adler32")
    assert line.content(row) == data_of(SIZE)
    line.ferry.tidy([])
    assert line.there() == ["slow"]


@pytest.mark.parametrize("target", ["http storm", pytest.param("http second", marks=pytest.mark.long)])
def test_what_a_door_is_still_at_work_on_is_waited_for(grid, second, slow, target):
    line = Line(grid, second, f"http dcache>{target}", trust_target=True)
    row = line.give("slow", data_of(SIZE))
    fetches, brings, writer = line.target.puller, line.source.puller, line.target.writer
    assert fetches and brings and writer
    writer.folder(line.folder)
    noted = line.ferry.temps[row.path]
    crossing = fetches.pull(noted, brings.far(row.path, False), At(row.path, SIZE))
    threading.Thread(target=lambda: list(crossing.marks), daemon=True).start()
    assert any(line.there() or time.sleep(0.1) for _ in range(300))
    line.ferry.source = line.source._replace(puller=None)  # nothing more is to be asked of a door
    line.ferry.carrier.target = line.target._replace(puller=None)
    line.ferry.open.add(noted)
    outcome = line.bring(row)
    assert (outcome.done, outcome.row.verified) == ("copied", "adler32"), outcome
    assert line.content(row) == data_of(SIZE) and line.there() == ["slow"] and not line.ferry.open


def test_a_copy_that_fails_in_the_middle_leaves_nothing(grid, second):
    line = Line(grid, second, "http dcache>http storm", trust_target=True)
    row = line.give("a", data_of(SIZE))
    grid.storm.switches.copy_fails = "the disk is full of sand"
    try:
        outcome = line.bring(row)
    finally:
        grid.storm.switches.copy_fails = ""
    assert outcome.done == "failed" and "the disk is full of sand" in outcome.row.error
    assert MARK not in outcome.row.error
    assert line.there() == [] and not line.ferry.open
    assert line.bring(row).done == "copied" and line.there() == ["a"]


@pytest.mark.parametrize("via_here", [True, False])
def test_a_source_that_has_changed_is_named(grid, second, via_here):
    line = Line(grid, second, "http dcache>http storm", via_here=via_here)
    row = line.give("a", data_of(SIZE))
    for changed in (row._replace(size=SIZE - 1), row._replace(checksum="adler32:00000001")):
        outcome = line.bring(changed)
        assert outcome.done == "failed" and "in the catalog; run --build_list again" in outcome.row.error
        assert line.there() == []


def test_a_line_that_breaks_at_the_source_is_not_noticed(grid, second):
    line = Line(grid, second, "http dcache>http second", via_here=True)
    row = line.give("a", data_of(SIZE))
    fault = grid.door.faults.add("*/a", "truncate", count=2)
    try:
        assert line.bring(row).done == "copied" and line.content(row) == data_of(SIZE)
    finally:
        grid.door.faults.clear()
    assert fault.hits == 2


def test_where_the_key_of_the_source_opens_more_the_source_brings(grid, second):
    line = Line(grid, second, "http storm>http dcache")
    row = line.give("a", data_of(SIZE))
    line.ferry.check(row)
    outcome = line.bring(row)
    assert (outcome.done, outcome.row.verified) == ("copied", "adler32")
    assert line.content(row) == data_of(SIZE) and line.there() == ["a"]
    assert isinstance(line.ferry.carrier, Crosser) and line.ferry.carrier.pushes


@pytest.mark.parametrize("source", ["opendata https", "gfal2 dcache", "invenio nrp"])
def test_what_can_only_be_read_goes_through_here(grid, second, source):
    line = Line(grid, second, "http dcache>http storm", via_here=True)
    line.ferry = Ferry(place_at(grid, site_of(grid, source)), line.target, *line.how)
    path = f"{RECORD}/{agata.RUN}/Data/03A/{agata.SMALL}"
    (entry,) = (entry for entry in line.ferry.source.lister.folder(path.rpartition("/")[0]) if entry.path == path)
    row = Row(path, entry.size, entry.mtime, entry.checksum, Locality.ONLINE, False, "", "", "A>B", "")
    line.ferry.temps[path] = f"{path.rpartition('/')[0]}/0a1b2c3d-0{MARK}"
    outcome = line.bring(row)
    assert (outcome.done, outcome.row.error, outcome.row.verified) == ("copied", "", "adler32"), outcome
    assert line.content(row) == grid.tree.expected(f"agata/{path}")
