"""The folders at a site in memory that files are sent into."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gridsync_parts.doors import Listing
from gridsync_parts.errors import CredentialError, DoorError, FileError, Forbidden, GridError, NotFound
from gridsync_parts.ground import Ground, Prepared, prepare
from gridsync_parts.loop import Answer
from gridsync_parts.outbox import Outbox
from gridsync_parts.pace import PACE
from gridsync_parts.put import make_folder
from gridsync_parts.values import Scope
from gridsync_parts.walk import DOORS_SHUT
from tests.support.memory import Memory

SCOPE = Scope("LYON", "in", (), ())


@pytest.fixture
def site() -> Memory:
    return Memory({"in/a": b"1"})


def ready(site: Memory, path: str, is_new: bool = False) -> bool:
    return prepare(site, site.place.writer, path, is_new).is_new


def test_a_folder_that_is_there_is_listed_and_no_more(site):
    found = prepare(site, site.place.writer, "in", False)
    assert not found.is_new and [entry.path for entry in found.listing] == ["in/a"]
    assert not site.calls("mkdir")


def test_a_folder_that_is_missing_is_made_with_those_above_it(site):
    assert ready(site, "in/x/y/z")
    assert site.calls("mkdir") == [("in/x/y/z",), ("in/x/y",), ("in/x",), ("in/x/y",), ("in/x/y/z",)]
    assert "in/x/y/z" in site.folders and not ready(site, "in/x/y/z")


def test_one_in_a_new_folder_is_not_looked_for(site):
    assert ready(site, "in/x") and ready(site, "in/x/y", is_new=True)
    assert site.calls("folder") == [("in/x",)]


def test_one_that_somebody_makes_meanwhile_is_there(site):
    site.order("folder", "in/x", NotFound("in/x"))
    site.make("in/x")
    assert ready(site, "in/x")


def test_without_a_writer_a_folder_is_only_looked_at(site):
    assert prepare(site, None, "in/x", False).is_new and "in/x" not in site.folders and not site.calls("mkdir")


def test_a_file_in_its_place_is_named(site):
    with pytest.raises(FileError, match="in/a: is a file at the site, and a folder here; move one of them away"):
        ready(site, "in/a")


def test_a_site_without_its_own_folder_says_so(site):
    site.order("mkdir", "", NotFound("there is no agata/"))
    assert site.place.writer
    with pytest.raises(NotFound, match="agata"):
        make_folder(site.place.writer, "")


class Trip:
    """Folders with a file each, of which the site says what a test wants."""

    def __init__(self, folder: Path, *folders: str):
        for name in ("", *folders):
            (folder / name).mkdir(exist_ok=True)
            (folder / name / "f").touch()
        outbox = Outbox(str(folder), SCOPE._replace(folder=""))
        outbox.collect()
        self.asked: list[tuple[str, bool]] = []
        self.pending = 0  # of which the site has not said anything yet
        self.planned: list[str] = []
        self.refused: list[tuple[list[str], str]] = []
        loop = SimpleNamespace(ask=self.ask, pending=lambda _lane: self.pending, pace=PACE, clock=lambda: 0.0)
        run: Any = SimpleNamespace(scope=SCOPE, loop=loop, place=lambda: Memory().place, settings=None)
        sending: Any = SimpleNamespace(
            beyond=(0, 0),
            plan_folder=lambda files, _listing, _now: self.planned.extend(target for _, target in files),
            refuse_folder=lambda files, error: self.refused.append(([t for _, t in files], str(error))),
        )
        self.ground = Ground(run, SimpleNamespace(), sending, outbox)  # type: ignore[arg-type]

    def ask(self, _lane: str, _folder: str, _verb: object, *arguments: Any) -> None:
        self.asked.append((arguments[2], arguments[3]))
        self.pending += 1

    def answer(self, folder: str, error: GridError | None = None, is_new: bool = False) -> None:
        """The site has said something of a folder; the next ones are asked for."""
        self.pending -= 1
        self.ground.take(Answer(folder, Prepared(Listing(), is_new), error), 0)
        self.ground.give(False, 0)


@pytest.fixture
def trip(tmp_path: Path) -> Trip:
    trip = Trip(tmp_path, "x", "x/y", "z")
    trip.ground.give(False, 0)
    return trip


def test_folders_come_after_the_one_that_they_are_in(trip):
    assert trip.asked == [("in", False)] and trip.ground.is_open(0)
    trip.answer("")
    trip.answer("x", is_new=True)
    trip.answer("z")
    trip.answer("x/y", is_new=True)
    assert trip.asked == [("in", False), ("in/x", False), ("in/z", False), ("in/x/y", True)]
    assert trip.planned == ["in/f", "in/x/f", "in/z/f", "in/x/y/f"] and not trip.ground.is_open(0)


def test_one_that_cannot_be_had_takes_along_what_is_in_it(trip):
    trip.answer("")
    trip.answer("x", Forbidden("in/x: denied"))
    trip.answer("z")
    assert trip.refused == [(["in/x/f", "in/x/y/f"], "in/x: denied")] and trip.planned == ["in/f", "in/z/f"]
    assert not trip.ground.is_open(0)


@pytest.mark.parametrize("error", [Forbidden("denied"), NotFound("in"), DoorError("away"), CredentialError("over")])
def test_without_the_first_one_nothing_can_be_sent(trip, error):
    with pytest.raises(type(error)) as caught:
        trip.answer("", error)
    assert caught.value is error


def test_a_credential_that_is_over_is_nothing_of_one_folder(trip):
    trip.answer("")
    with pytest.raises(CredentialError):
        trip.answer("x", CredentialError("over"))


def test_a_door_that_fails_again_and_again_ends_the_run(tmp_path):
    names = [f"{number:02}" for number in range(DOORS_SHUT)]
    trip = Trip(tmp_path, *names)
    trip.answer("")
    for name in names[:-1]:
        trip.answer(name, DoorError("away"))
    with pytest.raises(DoorError, match="away"):
        trip.answer(names[-1], DoorError("away"))
    trip.ground.trouble = trip.ground.trouble._replace(failures=0)
    trip.answer(names[-1], FileError("this one alone"))
