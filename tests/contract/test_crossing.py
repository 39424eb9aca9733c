"""What every Place promises that copies files from and to other doors, tried at each of them, with each as the other.

test_crossing_words.py has what is said when a door refuses or fails, and how that is told from what may pass.
"""

from __future__ import annotations

import os
import threading
import time
import uuid
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gridsync_parts.doors import At, Crossing, Far, Key, Place, Puller, Sent, Writer
from gridsync_parts.errors import Exists, GridError, NotFound, Unfinished
from tests.grid import CHOSEN, Grid
from tests.grid.door import PROFILES
from tests.grid.xrootd import SCRATCH, XRootD, keep_checksum
from tests.support.places import door_of, place_at, received, site_to_write

LARGE = 3_000_000  # bytes
SECOND = "http second"  # another XRootD
# Each door as the one that acts, and as the other one; a door copies nothing from itself.
SHORT = [
    ("http dcache", "http storm"), ("http storm", "http dcache"), ("http xrootd", SECOND),
    ("http dcache", "http xrootd"),
]  # fmt: skip
LONG = [("http storm", "http xrootd"), ("http xrootd", "http dcache"), ("http xrootd", "http storm")]
OTHERS = [f"http {name}" for name in PROFILES if name not in CHOSEN.values()]
LONG += [pair for other in OTHERS for pair in ((other, "http dcache"), ("http storm", other), (other, SECOND))]
LONG += [("http dcache-12.0", "http dcache-9.2"), ("http storm-1.6", "http storm")]
PAIRS = [*SHORT, *(pytest.param(pair, marks=pytest.mark.long) for pair in LONG)]
JUNK = Key("not-the-key-of-anybody")


class End(NamedTuple):
    """A Place, and a folder of a test's own there."""

    place: Place
    name: str  # in lists of Places
    disk: Path | None = None  # of XRootD, which now and then knows nothing of a file that has just come, or crashes

    @property
    def puller(self) -> Puller:
        assert self.place.puller
        return self.place.puller

    @property
    def writer(self) -> Writer:
        assert self.place.writer
        return self.place.writer

    def put(self, name: str, data: bytes) -> At:
        if self.disk:
            (self.disk / name).write_bytes(data)
            owner = self.disk.stat()
            os.chown(self.disk / name, owner.st_uid, owner.st_gid)
            keep_checksum(self.disk / name, zlib.adler32(data))
            return At(name, len(data))
        self.writer.write(name, Sent(len(data), lambda: iter([data] if data else []), 1_600_000_000))
        return At(name, len(data))

    def content(self, name: str) -> bytes:
        if self.disk:
            return (self.disk / name).read_bytes()
        size = self.writer.stored(name).size
        return received(self.place, name, 0, size) if size else b""


class Pair(NamedTuple):
    """The door that acts, and the other one."""

    acts: End
    far: End
    slow: Callable[[float], None]  # has a large file take so many seconds, until the test is over

    def fetch(self, name: str, at: At, to: str = "") -> Crossing:
        return self.acts.puller.pull(to or name, self.far.puller.far(name, False), at)

    def bring(self, at: At, to: str = "") -> Crossing:
        return self.acts.puller.push(at, self.far.puller.far(to or at.path, True))


def end_at(grid: Grid, name: str) -> End:
    server = {"http xrootd": "copier", SECOND: "second"}.get(name)
    real: XRootD | None = getattr(grid, server) if server else None
    site = site_to_write(grid, "http xrootd" if real else name)
    site = site._replace(server=real.url) if real else site
    folder = f"crossing-{uuid.uuid4().hex[:8]}"
    writer = place_at(grid, site).writer
    assert writer
    writer.folder(folder)
    place = place_at(grid, site._replace(base=f"{site.base}/{folder}".strip("/")))
    return End(place, name, real.folder / "data" / SCRATCH / folder if real else None)


@pytest.fixture
def pair(grid: Grid, request: pytest.FixtureRequest) -> Iterator[Pair]:
    acts, far = request.param
    doors = [door_of(grid, name) for name in (acts, far) if "xrootd" not in name and name != SECOND]

    def slow(seconds: float) -> None:
        for door in doors:
            door.switches.marker_interval = 0.02
            door.switches.copy_rate = door.switches.bandwidth = LARGE / seconds

    before = [(door, dict(vars(door.switches))) for door in doors]
    yield Pair(end_at(grid, acts), end_at(grid, far), slow)
    for door, switches in before:
        for name, value in switches.items():
            setattr(door.switches, name, value)


pytestmark = pytest.mark.parametrize("pair", PAIRS, indirect=True, ids=lambda pair: " < ".join(pair))


def bytes_of(count: int) -> bytes:
    return (bytes(range(251)) * (count // 251 + 1))[:count]


def is_whole(end: End, name: str, data: bytes) -> bool:
    """Whether a file is there, as it should be."""
    try:
        return end.content(name) == data
    except (NotFound, FileNotFoundError):
        return False


def patiently(end: End, name: str, call: Callable[[], Crossing]) -> None:
    """Copy a file to a door; what may pass is tried again: XRootD now and then ends a connection of several."""
    for rest in range(5, -1, -1):
        try:
            list(call().marks)
            return
        except GridError as error:
            if not error.passing or not rest:
                raise
            end.writer.remove(name)
        time.sleep(0.2)


def failed(call: Any) -> GridError:
    """The error that a copy ends with, at once or in its last line."""
    with pytest.raises(GridError) as caught:
        list(call().marks)
    assert "\n" not in str(caught.value)
    return caught.value


# A copy.


@pytest.mark.every(5)
@pytest.mark.parametrize("size", [0, 1, LARGE])
def test_the_bytes_arrive_either_way(pair, size):
    data = bytes_of(size)
    at = pair.far.put("a", data)
    seen = list(pair.fetch("a", at).marks)
    assert pair.acts.content("a") == data == pair.far.content("a")
    assert seen == sorted(seen) and all(0 <= count <= size for count in seen)
    seen = list(pair.bring(at, "back").marks)
    assert pair.far.content("back") == data == pair.acts.content("a")
    assert seen == sorted(seen) and all(0 <= count <= size for count in seen)


@pytest.mark.first
def test_both_doors_name_the_same_checksum_or_none(pair):
    at = pair.far.put("a", bytes_of(LARGE))
    list(pair.fetch("a", at).marks)
    told = {pair.acts.writer.stored("a").checksum, pair.far.place.reader.checksum(at)}
    assert len(told - {""}) == 1


@pytest.mark.first
def test_marks_grow_where_doors_tell_how_far_they_are(pair):
    if "http xrootd" in (pair.acts.name,):
        pytest.skip("a real one tells how far it is after five seconds, too long for a test")
    at = pair.far.put("a", bytes_of(LARGE))
    pair.slow(1)
    seen = list(pair.fetch("a", at).marks)
    assert len({*seen} - {0}) > 1 and seen == sorted(seen) and seen[-1] <= LARGE


@pytest.mark.first
def test_several_copies_at_once_are_apart(pair):
    files = {f"f{number}": bytes_of(100_000 + number) for number in range(6)}
    ats = {name: pair.far.put(name, data) for name, data in files.items()}
    with ThreadPoolExecutor(6) as pool:
        done = [pool.submit(patiently, pair.acts, n, lambda at=at: pair.fetch(at.path, at)) for n, at in ats.items()]
        mine = {f"m{name}": pair.acts.put(f"m{name}", b"x") for name in files}
        done += [pool.submit(patiently, pair.far, n, lambda at=at: pair.bring(at)) for n, at in mine.items()]
    assert [one.exception() for one in done if one.exception()] == []
    assert {name: pair.acts.content(name) for name in files} == files
    assert {pair.far.content(f"m{name}") for name in files} == {b"x"}


@pytest.mark.first
@pytest.mark.parametrize("name", ["a+b&c=d", "a b", "a#b?c caf\u00e9", "a%41"])
def test_a_difficult_name_arrives_or_is_refused(pair, name):
    """Some doors take such names and don't give what has them."""
    data = bytes_of(1000)
    try:
        at = pair.far.put(name, data)
        assert pair.far.content(name) == data
    except GridError:
        pytest.skip("it gives no file of such a name")
    try:
        list(pair.fetch(name, at).marks)
        assert pair.acts.content(name) == data
    except GridError as error:
        assert "\n" not in str(error)
        assert name != "a+b&c=d"
    assert {entry.path for entry in pair.acts.place.lister.folder("")} <= {name}


# What is there, or is not.


@pytest.mark.first
def test_what_has_the_name_is_left_alone(pair):
    at = pair.far.put("a", bytes_of(1000))
    pair.acts.put("a", b"older")
    assert isinstance(failed(lambda: pair.fetch("a", at)), Exists)
    assert pair.acts.content("a") == b"older"


@pytest.mark.first
def test_what_is_not_there_is_not_fetched(pair):
    error = failed(lambda: pair.fetch("gone", At("gone", 10)))
    assert not is_whole(pair.acts, "gone", bytes_of(10))
    assert not error.passing, error


@pytest.mark.first
def test_what_is_not_there_is_not_brought(pair):
    assert isinstance(failed(lambda: pair.bring(At("gone", 10))), NotFound)
    assert not is_whole(pair.far, "gone", bytes_of(10))


@pytest.mark.first
def test_a_folder_that_is_missing_is_made_or_said(pair):
    data = bytes_of(1000)
    at, mine = pair.far.put("a", data), pair.acts.put("mine", data)
    ways = [(pair.acts, lambda: pair.fetch("a", at, "no/such/a"), "no/such/a")]
    ways += [(pair.far, lambda: pair.bring(mine, "no/such/b"), "no/such/b")]
    for end, way, where in ways:
        try:
            list(way().marks)
        except NotFound:
            assert not is_whole(end, where, data)
        else:
            assert is_whole(end, where, data)
    for folder in ("no", "no/such"):
        pair.acts.writer.folder(folder)
    list(pair.fetch("a", at, "no/such/again").marks)
    assert pair.acts.content("no/such/again") == data


# What fails.


@pytest.mark.first
def test_a_copy_that_fails_says_so_and_what_it_leaves_can_be_removed(pair):
    data = bytes_of(LARGE)
    pair.far.put("a", data)
    far = pair.far.puller.far("a", False)
    error = failed(lambda: pair.acts.puller.pull("a", Far(far.url, JUNK), At("a", LARGE)))
    assert JUNK.bearer not in str(error)
    assert not is_whole(pair.acts, "a", data)
    pair.acts.writer.remove("a")
    assert pair.acts.place.lister.folder("") == []
    list(pair.fetch("a", At("a", LARGE)).marks)
    assert pair.acts.content("a") == data


@pytest.mark.first
def test_a_thread_that_waits_for_a_mark_is_woken(pair):
    if pair.far.name == SECOND:
        pytest.skip("nothing is slow between two real ones")
    at = pair.far.put("a", bytes_of(LARGE))
    far = pair.far.puller.far("a", False)
    pair.slow(60)
    crossing = pair.acts.puller.pull("a", far, at)
    timer = threading.Timer(0.5, crossing.hang_up)
    began = time.monotonic()
    timer.start()
    assert isinstance(failed(lambda: crossing), Unfinished)
    assert time.monotonic() - began < 30
