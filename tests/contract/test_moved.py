"""A door or tape service that moves what is asked of it: to another place of its own, or to another server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gridsync_parts.doors import Place
from gridsync_parts.doors.wire import MAX_HOPS
from gridsync_parts.errors import DoorError
from tests.grid import Grid
from tests.grid.door import Door
from tests.grid.faults import AT, Fault
from tests.support.places import place_at, site_of


def staged(place: Place, folder: str) -> str:
    """A request for the file."""
    return place.find_tape().stage([f"{folder}/a"], 1)


VERBS: dict[str, Callable[[Place, str], object]] = {
    "listing": lambda place, folder: [entry.path for entry in place.lister.folder(folder)],
    "discovery": lambda place, folder: place.find_tape(),
    "locality": lambda place, folder: list(place.locate([f"{folder}/a"])),
    "staging": lambda place, folder: bool(staged(place, folder)),
    "poll": lambda place, folder: list(place.find_tape().stagings(staged(place, folder), [f"{folder}/a"])),
    "release": lambda place, folder: place.find_tape().release(staged(place, folder), [f"{folder}/a"]),
}


class Mover:
    """A site with a file on tape, whose door and tape service can be made to move what is asked."""

    def __init__(self, grid: Grid, kind: str, folder: str):
        self.door: Door = grid.door if kind == "dcache" else grid.storm
        self.folder = folder
        self.place = place_at(grid, site_of(grid, f"http {kind}"))
        grid.tree.add(f"agata/{folder}/a", 10, tape=True)

    def move(self, verb: str, count: int | None = 1, **options: Any) -> Fault:
        """From now on, requests of a verb are moved."""
        where = {"path": "*", **AT[verb], **options}
        return self.door.faults.add(where.pop("path"), "moved", count=count, **where)

    def do(self, verb: str) -> object:
        self.door.log.clear()
        return VERBS[verb](self.place, self.folder)


@pytest.fixture(params=["dcache", "storm"])
def mover(request: pytest.FixtureRequest, grid: Grid, folder: str) -> Iterator[Mover]:
    mover = Mover(grid, request.param, folder)
    yield mover
    mover.door.faults.clear()


@pytest.mark.parametrize("code", [301, 302, 307, 308])
@pytest.mark.parametrize("verb", VERBS)
def test_what_a_door_moves_within_itself_is_asked_again_as_it_was(mover, verb, code):
    """Method and body too: what else comes of a POST behind 301 is a GET, for browsers alone."""
    expected = mover.do(verb)
    if verb == "discovery":
        mover.place.find_tape().found = None  # as it is asked for once
    fault = mover.move(verb, code=code)
    assert mover.do(verb) == expected and fault.hits == 1
    records = list(mover.door.log)
    (at,) = [at for at, record in enumerate(records) if record.fault]
    first, again = records[at : at + 2]
    assert (first.status, first.method, first.path) == (code, again.method, again.path)


@pytest.mark.parametrize("verb", VERBS)
def test_a_door_that_moves_without_end_is_a_sentence(mover, verb):
    fault = mover.move(verb, count=None)
    with pytest.raises(DoorError, match=f"more than {MAX_HOPS} redirects in a row"):
        mover.do(verb)
    assert fault.hits == MAX_HOPS


@pytest.mark.parametrize("verb", VERBS)
def test_another_server_is_asked_nothing_of_that(grid, mover, verb):
    other = grid.storm if mover.door is grid.door else grid.door
    mover.move(verb, to=other.url)
    other.log.clear()
    with pytest.raises(DoorError, match=r"redirects to another server, https://localhost:[0-9]+/") as caught:
        mover.do(verb)
    assert list(other.log) == [] and not caught.value.passing and caught.value.status == 4


@pytest.mark.parametrize("verb", VERBS)
def test_plain_http_is_asked_nothing_either(mover, verb):
    mover.move(verb, to="http")
    with pytest.raises(DoorError, match="which is not encrypted"):
        mover.do(verb)
    assert mover.door.log.count(role="plain") == 0


def test_303_is_not_the_way_to_ask_for_something_again(mover):
    """It says that all is done: a second POST would stage twice."""
    mover.move("staging", code=303)
    with pytest.raises(DoorError, match="answers 303"):
        mover.do("staging")
    mover.move("poll", code=303)
    assert mover.do("poll") == [f"{mover.folder}/a"]


def test_a_folder_that_is_now_elsewhere_at_the_door_is_listed_as_before(grid, mover):
    grid.tree.add(f"agata/{mover.folder}/there/agata/{mover.folder}/b", 10)
    there = f"{mover.door.url}/agata/{mover.folder}/there"
    mover.move("listing", path=f"/agata/{mover.folder}*", to=there)
    assert mover.do("listing") == [f"{mover.folder}/b"]


@pytest.mark.first
@pytest.mark.parametrize("line", ["--ls_dir", "--build_list --bring_online --check_status --start", "--sync"])
def test_a_user_notices_nothing(mixed, line):
    for method in ("PROPFIND", "GET", "POST"):
        mixed.grid.door.faults.add("*", "moved", role="door", method=method, count=3)
        mixed.grid.door.faults.add("*", "moved", role="tape", method=method, count=3, code=302)
    try:
        result = mixed(line)
    finally:
        mixed.grid.door.faults.clear()
    assert result.status == 0 or "failed: 0, waiting on tape: " in result.out, result
