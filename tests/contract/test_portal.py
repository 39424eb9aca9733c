"""The portal of open data as a Place: how often it is asked, what is remembered of it, and where its files are read."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import pytest

from gridsync_parts.doors import At
from gridsync_parts.doors.opendata import OpenDataDoor
from gridsync_parts.doors.portal import AT_ONCE
from gridsync_parts.errors import DoorError, FileError, NoRanges, NotFound, OnTape
from gridsync_parts.table import Site
from gridsync_parts.values import Locality
from tests.grid import Grid
from tests.grid.portal import Portal
from tests.support import constants

DATA = b"data" * 100


@pytest.fixture
def door(grid: Grid, portal: Portal) -> Iterator[OpenDataDoor]:
    site = Site("PORTAL", portal.base, "", "opendata", first_byte=30, silence=10)
    door = OpenDataDoor(site, grid.env["X509_CERT_DIR"])
    yield door
    door.close()


def asked(portal: Portal, recid: str) -> int:
    return len(portal.asked(method="GET", path=f"/api/records/{recid}"))


def at_once(count: int, call: Callable[[int], Any]) -> list[Any]:
    """What calls give that are made at the same time."""
    start = threading.Barrier(count)

    def go(number: int) -> Any:
        start.wait(30)
        return call(number)

    with futures.ThreadPoolExecutor(count) as threads:
        return list(threads.map(go, range(count)))


def all_of(door: OpenDataDoor, path: str, size: int = len(DATA), start: int = 0) -> bytes:
    body = door.read(At(path, size), start, size)
    try:
        assert body.start == start
        return b"".join(map(bytes, body.chunks))
    finally:
        body.close()


# How often it is asked.


def test_who_wants_the_same_record_waits_for_one_answer(door, portal):
    portal.add("cms-1", {"a": DATA})
    portal.switches.latency = 0.3
    found = at_once(8, lambda _: door.portal.record("cms-1"))
    assert {id(record) for record in found} == {id(found[0])} and asked(portal, "cms-1") == 1
    assert door.folder("cms-1") and all_of(door, "cms-1/a") == DATA
    assert all_of(door, "cms-1/record.json", len(found[0].text)) == found[0].text
    assert door.localities(["cms-1/a", "cms-1/record.json", "cms-1/no"]) == dict.fromkeys(
        ["cms-1/a", "cms-1/record.json"], Locality.ONLINE
    )
    assert asked(portal, "cms-1") == 1


def test_no_more_than_four_are_asked_for_at_once(door, portal):
    for number in range(12):
        portal.add(f"cms-{number}", {"a": DATA})
    portal.switches.latency = 0.2
    at_once(12, lambda number: door.folder(f"cms-{number}"))
    asking = [one for one in portal.requests if one.path.startswith("/api/")]
    assert len(asking) == 12
    assert portal.log.most_at_once(role="portal") == AT_ONCE


def test_a_record_is_known_by_its_old_number_too(door, portal):
    portal.add("cms-5500", {"a": DATA}, aliases=["5500"])
    assert door.portal.record("5500") is door.portal.record("cms-5500")
    assert [entry.path for entry in door.folder("5500")] == ["5500/a", "5500/record.json"]
    assert len(portal.requests) == 1


def test_it_is_asked_anew_where_that_is_wanted(door, portal):
    portal.add("cms-1", {"a": DATA})
    first = door.portal.record("cms-1")
    assert door.portal.record("cms-1", younger=60) is first
    assert door.portal.record("cms-1", fresh=True) is not first
    time.sleep(0.02)
    assert door.portal.record("cms-1", younger=0.01) and asked(portal, "cms-1") == 3


def test_what_has_failed_is_asked_again_by_who_comes_later(door, portal):
    portal.add("cms-1", {"a": DATA})
    portal.goes_wrong("html instead of JSON", count=1)
    with pytest.raises(DoorError, match=r"sends a page \(CERN Open Data\) and no record") as caught:
        door.folder("cms-1")
    assert caught.value.passing
    assert door.folder("cms-1")
    portal.faults.add("/api/records/cms-1", 503)
    before = door.portal.record("cms-1")
    with pytest.raises(DoorError, match="the portal answers 503"):
        door.portal.record("cms-1", fresh=True)
    assert door.portal.record("cms-1") is before


def test_the_oldest_records_are_let_go_of_where_there_are_too_many(door, portal, monkeypatch):
    for number in range(3):
        portal.add(f"cms-{number}", {"a": DATA})
    constants.replace(monkeypatch, "KEPT", 6000)
    for number in (0, 1, 2, 2, 0):
        assert door.folder(f"cms-{number}")
    assert [asked(portal, f"cms-{number}") for number in range(3)] == [2, 1, 1]
    constants.replace(monkeypatch, "KEPT", 0)  # one is held, however large
    assert door.folder("cms-0") and door.folder("cms-0") and asked(portal, "cms-0") == 2


@pytest.mark.parametrize("recid", ["..", "a b", "x" * 200, "%2e", "é", "a?b", "-"])
def test_what_is_no_recid_is_asked_of_nobody(door, portal, recid):
    with pytest.raises(NotFound, match="the portal has no such record"):
        door.folder(recid)
    assert not portal.requests


def test_a_portal_that_has_moved_is_told_and_nobody_else_is_asked(door, portal):
    portal.add("cms-1", {"a": DATA})
    portal.faults.add("/api/*", "moved", to=portal.elsewhere)
    with pytest.raises(DoorError, match=r"redirects to another server, https://127.0.0.1:\d+/\S+; ask the site$"):
        door.folder("cms-1")
    assert not portal.asked(role="elsewhere")


# Files that are on tape.


@pytest.mark.parametrize("name", ["a", "b"])
def test_a_file_that_has_gone_to_tape_is_found_so_by_asking_once(door, portal, name):
    portal.add("cms-1", {"a": DATA, "b": DATA}, index=["b"])
    assert all_of(door, f"cms-1/{name}") == DATA
    portal.evict("cms-1")
    for _ in range(3):
        with pytest.raises(OnTape, match=f"cms-1/{name}: is on demand, and not on disk; --bring_online asks"):
            all_of(door, f"cms-1/{name}")
    assert asked(portal, "cms-1") == 2


def test_a_file_that_is_nowhere_is_not_found_and_its_record_is_not_asked_for_each_time(door, portal):
    portal.add("cms-1", {"a": DATA})
    portal.goes_wrong("404 page")
    for _ in range(3):
        with pytest.raises(NotFound, match="its record lists it, but the portal does not have it"):
            all_of(door, "cms-1/a")
    assert asked(portal, "cms-1") == 2


# Bytes.


def test_who_goes_on_in_mid_file_is_told_that_there_are_no_ranges(door, portal):
    portal.add("cms-1", {"a": DATA})
    portal.goes_wrong("range refused")
    assert all_of(door, "cms-1/a") == DATA
    with pytest.raises(NoRanges, match="sends the whole file instead of a range"):
        all_of(door, "cms-1/a", start=10)
    body = door.read(At("cms-1/a", len(DATA)), 0, 50)
    assert body.start == 0 and bytes(next(body.chunks)).startswith(DATA[:50])
    body.close()


def test_a_page_that_is_a_file_is_one(door, portal):
    page = b"<!DOCTYPE html><title>A page</title>"
    portal.add("cms-1", {"index.html": page, "a": DATA})
    assert all_of(door, "cms-1/index.html", len(page)) == page
    portal.goes_wrong("404 page under 200")
    with pytest.raises(FileError, match=r"the portal sends a page \(404\) and not the file") as caught:
        all_of(door, "cms-1/a")
    assert caught.value.passing


def test_connections_are_kept(door, portal):
    portal.add("cms-1", {f"{number}": DATA for number in range(5)})
    for number in range(5):
        assert all_of(door, f"cms-1/{number}") == DATA
    assert len(door.http.idle.lines) == 1


def test_another_host_is_shown_nothing_and_its_failures_are_its_own(door, portal):
    portal.add("cms-1", {"a": DATA})
    portal.switches.bytes_at = "elsewhere"
    assert all_of(door, "cms-1/a") == DATA
    assert portal.secrets_elsewhere() == []
    portal.faults.add("/eos/*", 503, role="elsewhere")
    with pytest.raises(FileError, match=r"127.0.0.1, which has the file, answers 503") as caught:
        all_of(door, "cms-1/a")
    assert caught.value.passing and not isinstance(caught.value, DoorError)


def test_of_a_file_without_a_checksum_the_portals_word_is_asked_for(door, portal):
    portal.add("cms-1", {"a": DATA, "b": DATA})
    portal.odd("cms-1", "a", "no checksum")
    assert door.checksum(At("cms-1/a", len(DATA))) in ("", door.checksum(At("cms-1/b", len(DATA))))
    assert [one.headers.get("want-digest") for one in portal.asked(method="HEAD")] == ["adler32"]
