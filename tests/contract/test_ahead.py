"""Requests about small files that go ahead of their answers, at each kind of WebDAV door."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest

from gridsync_parts.convoy import Asked, Steps
from gridsync_parts.doors import At, Body, Place, Sent
from gridsync_parts.errors import Changed, CredentialError, DoorError, Exists, GridError, PoolError
from gridsync_parts.table import Site
from gridsync_parts.values import UNFINISHED
from tests.grid import Grid
from tests.grid.door import Door
from tests.support.places import door_of, new_home, opened, place_at, received, site_of, site_to_write
from tests.support.raw import Raw

SIZE = 20_000


@pytest.fixture
def storm(grid: Grid) -> Iterator[Door]:
    door = door_of(grid, "http storm")
    yield door
    door.faults.clear()


def taken(steps: Steps) -> tuple[Any, list[Asked]]:
    """What steps come to, and what was waited for on the way."""
    asked = []
    while True:
        try:
            asked.append(next(steps))
        except StopIteration as end:
            return end.value, asked


def read(place: Place, path: str) -> tuple[bytes, list[Asked]]:
    """The bytes of a file, and what was waited for on the way to them."""
    assert place.ahead
    body: Body
    body, asked = taken(place.ahead.read_ahead(At(path, SIZE), 0, SIZE))
    data = b"".join(map(bytes, body.chunks))
    body.close()
    return data, asked


def sent_of(size: int = SIZE, told: int = SIZE) -> Sent:
    """A file that is sent, in pieces of which each takes the place of the last."""
    buffer = memoryview(bytearray(7001))

    def chunks() -> Iterator[memoryview]:
        for at in range(0, size, len(buffer)):
            buffer[:] = bytes([at % 251]) * len(buffer)
            yield buffer[: size - at]

    return Sent(told, chunks)


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


# Files that are sent.


def writer_at(grid: Grid, pair: str, folder: str) -> tuple[Place, str]:
    """A door that has taken a file into a new folder, so that there are connections to go on with; and the folder."""
    place = place_at(grid, site_to_write(grid, pair))
    home = new_home(place, folder.rpartition("/")[2])
    assert place.writer
    place.writer.write(f"{home}/first", sent_of())
    return place, home


@pytest.mark.parametrize(
    ("pair", "of_write", "of_rename"), [("http dcache", 1, 1), ("http storm", 1, 1), ("http xrootd", 2, 1)]
)
def test_each_answer_to_what_is_sent_is_waited_for_by_whoever_wants(grid, folder, pair, of_write, of_rename):
    place, home = writer_at(grid, pair, folder)
    ahead = place.ahead_writer
    stored, asked = taken(ahead.write_ahead(f"{home}/part", sent_of()))
    assert len(asked) == of_write and stored.size in (SIZE, UNFINISHED)
    data = b"".join(map(bytes, sent_of().chunks()))
    assert received(place, f"{home}/part", 0, SIZE) == data
    stored, asked = taken(ahead.stored_ahead(f"{home}/part"))
    assert asked and stored[:2] == place.writer.stored(f"{home}/part")[:2] and stored.size == SIZE
    _, asked = taken(ahead.rename_ahead(f"{home}/part", f"{home}/whole", replace=False))
    assert len(asked) == of_rename
    assert {entry.path for entry in place.lister.folder(home)} == {f"{home}/first", f"{home}/whole"}
    with pytest.raises(Exists):
        taken(ahead.write_ahead(f"{home}/whole", sent_of()))


@pytest.mark.parametrize("odd", [401, 429, "reset"])
@pytest.mark.parametrize("method", ["PUT", "HEAD"])
def test_what_is_answered_oddly_goes_once_more_in_the_ordinary_way(grid, storm, folder, method, odd):
    place, home = writer_at(grid, "http storm", folder)
    fault = storm.faults.add("*/b", odd, method=method, count=1)
    stored, _ = taken(place.ahead_writer.write_ahead(f"{home}/b", sent_of()))
    stored, _ = taken(place.ahead_writer.stored_ahead(f"{home}/b"))
    assert stored.size == SIZE and fault.hits == 1


def test_a_new_name_whose_answer_is_lost_is_not_asked_for_twice(grid, storm, folder):
    place, home = writer_at(grid, "http storm", folder)
    fault = storm.faults.add("*/first", "reset", method="MOVE")
    with pytest.raises(DoorError) as caught:
        taken(place.ahead_writer.rename_ahead(f"{home}/first", f"{home}/whole", replace=False))
    assert caught.value.passing and fault.hits == 1


@pytest.mark.parametrize("status", [403, 409, 500, 507])
@pytest.mark.parametrize("method", ["PUT", "MOVE"])
def test_a_refusal_to_take_it_is_the_same_as_ever(grid, storm, folder, method, status):
    place, home = writer_at(grid, "http storm", folder)
    storm.faults.add("*", status, method=method)

    def ask(writer: Any, ending: str = "") -> GridError:
        words = (f"{home}/x", sent_of()) if method == "PUT" else (f"{home}/first", f"{home}/x", False)
        call = getattr(writer, {"PUT": "write", "MOVE": "rename"}[method] + ending)
        with pytest.raises(GridError) as caught:
            taken(call(*words)) if ending else call(*words)
        return caught.value

    ahead = ask(place.ahead_writer, "_ahead")
    place.writer.http.due = math.inf  # none goes ahead from now on
    ordinary = ask(place.writer)
    assert (type(ahead), str(ahead), ahead.passing) == (type(ordinary), str(ordinary), ordinary.passing)


@pytest.mark.parametrize("size", [SIZE - 1, SIZE + 1])
def test_a_source_of_another_size_has_changed(grid, storm, folder, size):
    place, home = writer_at(grid, "http storm", folder)
    with pytest.raises(Changed):
        taken(place.ahead_writer.write_ahead(f"{home}/b", sent_of(size)))
    assert storm.log.matching(path=f"*/{home}/b") == [] and place.ahead.is_ready()


@pytest.mark.parametrize("login", ["right", "way", "page"])
def test_the_login_page_of_a_hub_is_no_answer_to_what_goes_ahead(grid, folder, monkeypatch, login):
    place, home = writer_at(grid, "hub alone", folder)
    monkeypatch.setattr(grid.hub.switches, "login", login)
    monkeypatch.setattr(grid.hub, "who", lambda token: None)
    with pytest.raises(CredentialError):
        place.writer.write(f"{home}/b", sent_of())
