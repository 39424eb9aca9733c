"""Requests for small files that go ahead of their answers, at each kind of WebDAV door."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gridsync_parts.convoy import Asked
from gridsync_parts.doors import At, Body, Place
from gridsync_parts.errors import GridError, PoolError
from gridsync_parts.table import Site
from tests.grid import Grid
from tests.grid.door import Door
from tests.support.places import door_of, opened, place_at, site_of
from tests.support.raw import Raw

SIZE = 20_000


@pytest.fixture
def storm(grid: Grid) -> Iterator[Door]:
    door = door_of(grid, "http storm")
    yield door
    door.faults.clear()


def read(place: Place, path: str) -> tuple[bytes, list[Asked]]:
    """The bytes of a file, and what was waited for on the way to them."""
    assert place.ahead
    asked, steps = [], place.ahead.read_ahead(At(path, SIZE), 0, SIZE)
    while True:
        try:
            asked.append(next(steps))
        except StopIteration as end:
            body: Body = end.value
            data = b"".join(map(bytes, body.chunks))
            body.close()
            return data, asked


def door_at(grid: Grid, pair: str, folder: str) -> Place:
    """A door with files, of which one was fetched, so that there are connections to go on with."""
    for name in "abc":
        grid.tree.add(f"agata/{folder}/{name}", SIZE)
    place = place_at(grid, site_of(grid, pair))
    assert place.ahead and not place.ahead.is_ready()
    assert len(read(place, f"{folder}/a")[0]) == SIZE and place.ahead.is_ready()
    return place


@pytest.mark.parametrize(("pair", "waits"), [("http dcache", 2), ("http storm", 1)])
def test_each_answer_is_waited_for_by_whoever_wants(grid: Grid, folder: str, pair: str, waits: int):
    place = door_at(grid, pair, folder)
    data, asked = read(place, f"{folder}/b")
    whole = place.reader.read(At(f"{folder}/b", SIZE), 0, SIZE)
    assert data == b"".join(map(bytes, whole.chunks)) and len(asked) == waits
    whole.close()


def test_what_is_asked_for_at_once_comes_in_any_order(grid: Grid, folder: str):
    place = door_at(grid, "http storm", folder)
    assert place.ahead
    first = place.ahead.read_ahead(At(f"{folder}/b", SIZE), 0, SIZE)
    next(first)
    assert not place.ahead.is_ready()
    read(place, f"{folder}/a")  # over a second connection
    assert read(place, f"{folder}/c")[1]
    with pytest.raises(StopIteration) as end:
        next(first)
    assert len(b"".join(map(bytes, end.value.value.chunks))) == SIZE
    end.value.value.close()


@pytest.mark.parametrize("odd", [401, 429, "reset"])
def test_an_odd_answer_is_asked_for_once_more_in_the_ordinary_way(grid: Grid, storm: Door, folder: str, odd):
    place = door_at(grid, "http storm", folder)
    assert place.ahead
    fault = storm.faults.add(f"/agata/{folder}/b", odd, method="GET", count=1)
    data, asked = read(place, f"{folder}/b")
    assert len(data) == SIZE and len(asked) == 1 and fault.hits == 1
    assert place.ahead.is_ready() == (odd == "reset"), "whoever answers so is not asked ahead for a while"


@pytest.mark.parametrize("status", [403, 404, 500, 503])
def test_a_refusal_is_the_same_as_ever(grid: Grid, storm: Door, folder: str, status: int):
    place = door_at(grid, "http storm", folder)
    storm.faults.add(f"/agata/{folder}/b", status, method="GET")
    with pytest.raises(GridError) as ordinary:
        place.reader.read(At(f"{folder}/b", SIZE), 0, SIZE)
    with pytest.raises(GridError) as ahead:
        read(place, f"{folder}/b")
    assert (type(ahead.value), str(ahead.value)) == (type(ordinary.value), str(ordinary.value))


def test_a_pool_that_does_not_answer_is_said_to_be_one(grid: Grid, folder: str):
    grid.tree.add(f"agata/{folder}/a", SIZE)
    grid.tree.add(f"agata/{folder}/b", SIZE)
    place = place_at(grid, site_of(grid, "http dcache")._replace(first_byte=1))
    read(place, f"{folder}/a")
    grid.door.faults.add(f"*/{folder}/b", "stall", role="pool", seconds=3)
    try:
        with pytest.raises(PoolError, match="its pool cannot be reached"):
            read(place, f"{folder}/b")
    finally:
        grid.door.faults.clear()


def test_a_pool_that_is_new_and_not_there_is_said_to_be_one(grid: Grid, folder: str):
    place = door_at(grid, "http dcache", folder)
    grid.door.faults.add(f"*/{folder}/b", "redirect", role="door", to="https://127.0.0.1:1")
    try:
        with pytest.raises(PoolError, match="its pool cannot be reached"):
            read(place, f"{folder}/b")
    finally:
        grid.door.faults.clear()


def test_a_connection_that_the_server_has_ended_is_made_anew(raw):
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n" + bytes(SIZE)
    server: Raw = raw(lambda: [answer])  # it ends each connection after one answer, without a word of that
    place = opened(Site("LYON", server.url, "agata", "http", "none", "", "", "", 5, 5))
    for _ in range(3):
        assert len(read(place, "run/a")[0]) == SIZE


def test_an_answer_that_does_not_come_in_time_is_said(raw):
    answers = iter([[b"HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n" + bytes(SIZE)]])
    server: Raw = raw(lambda: next(answers, []))  # it keeps silent then
    place = opened(Site("LYON", server.url, "agata", "http", "none", "", "", "", 1, 1))
    assert len(read(place, "run/a")[0]) == SIZE
    with pytest.raises(GridError, match="does not answer"):
        read(place, "run/a")


def test_a_door_that_does_not_answer_in_time_is_not_asked_again(grid: Grid, storm: Door, folder: str):
    for name in "ab":
        grid.tree.add(f"agata/{folder}/{name}", SIZE)
    place = place_at(grid, site_of(grid, "http storm")._replace(first_byte=1))
    read(place, f"{folder}/a")
    fault = storm.faults.add(f"/agata/{folder}/b", "stall", method="GET", seconds=3)
    with pytest.raises(GridError, match="does not answer"):
        read(place, f"{folder}/b")
    assert fault.hits == 1
