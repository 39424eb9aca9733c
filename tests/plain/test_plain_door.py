"""What doors without tape and checksums have in common, and bytes that drip."""

from __future__ import annotations

import pytest

from gridsync_parts.doors import At, Listing
from gridsync_parts.doors.drip import Drip
from gridsync_parts.doors.plain import PlainDoor
from gridsync_parts.errors import DoorError, Forbidden, GridError, NotFound
from gridsync_parts.table import Site
from gridsync_parts.values import Entry, Locality
from tests.support.constants import replace

SITE = Site("LYON", "sftp://door", first_byte=30, silence=10)


class Door(PlainDoor):
    """A door of some folders, of which some fail."""

    def __init__(self, **folders: GridError | list[str]):
        self.folders = folders

    def folder(self, path: str) -> Listing:
        found = self.folders.get(path, NotFound("gone"))
        if isinstance(found, GridError):
            raise found
        listing = Listing()
        listing += [Entry(f"{path}/{name}", name == "sub", 1, 1) for name in found]
        return listing


def test_what_is_listed_is_on_disk_and_of_the_rest_nothing_is_said():
    door = Door(a=["1", "2", "sub"], b=Forbidden("no"), c=DoorError("down"))
    found = door.localities(["a/1", "a/3", "a/sub", "b/1", "c/1", "d/1"], on_tape=["a/1"])
    assert found == {"a/1": Locality.ONLINE}
    assert door.checksum(At("a/1", 1)) == "" and door.find_tape() is None


def test_a_door_that_tells_nothing_at_all_has_failed():
    with pytest.raises(DoorError, match="down"):
        Door(c=DoorError("down"), d=[]).localities(["c/1", "d/1"])


def test_what_drips_ends(monkeypatch):
    drip = Drip(SITE)
    for _ in range(6):
        drip.take(1000, 10)
    drip.take(0, 59)
    with pytest.raises(TimeoutError, match="too slow"):
        drip.take(5999, 1)
    replace(monkeypatch, "RATED", 1.0)
    quick = Drip(SITE)
    quick.take(1, 9)  # SILENCE may be longer
    with pytest.raises(TimeoutError):
        quick.take(1, 1)
    Drip(SITE._replace(min_rate=0)).take(0, 1000)
