"""What a target site has, as plans see it."""

from __future__ import annotations

import pytest

from gridsync_parts.doors import Listing
from gridsync_parts.errors import DoorError, FileError, GridError, NotFound
from gridsync_parts.plans import copy_action
from gridsync_parts.there import There
from gridsync_parts.values import Action, Entry, Locality, Row

SUM = "adler32:00000001"
ROW = Row("top/a", 5, 1000, SUM, Locality.ONLINE, False, "", "", "A>B", "")
DONE = ROW._replace(downloaded=True, verified="adler32")


class Site:
    """A site that lists what it is told to, or fails."""

    def __init__(self, **folders: list[Entry] | GridError):
        self.folders = {name.replace("_", "/"): what for name, what in folders.items()}
        self.asked: list[str] = []

    def folder(self, path: str) -> Listing:
        self.asked.append(path)
        what = self.folders.get(path, NotFound(f"{path}: is not there"))
        if isinstance(what, GridError):
            raise what
        listing = Listing()
        listing.extend(what)
        return listing


def looked(site: Site, *folders: str) -> There:
    there = There(site, "B")  # type: ignore[arg-type]
    there.look(folders or ("top",))
    return there


def action(there: There, row: Row, overwrite: bool = False) -> Action:
    return copy_action(row, there.find(row), overwrite, force=False)


@pytest.mark.parametrize(
    ("entry", "row", "expected", "replaced"),
    [
        (None, ROW, Action.COPY, Action.COPY),
        (None, DONE, Action.COPY, Action.COPY),
        (Entry("top/a", False, 5, 9), ROW, Action.ADOPT, Action.COPY),
        (Entry("top/a", False, 5, 9, SUM), ROW, Action.ADOPT, Action.COPY),
        (Entry("top/a", False, 5, 9, SUM), DONE, Action.SKIP, Action.COPY),
        (Entry("top/a", False, 5, 9), DONE, Action.ADOPT, Action.COPY),  # the door's listing tells too little
        (Entry("top/a", False, 5, 9, "adler32:00000002"), DONE, Action.ADOPT, Action.COPY),
        (Entry("top/a", False, 5, 9, SUM), DONE._replace(checksum="", computed=SUM), Action.SKIP, Action.COPY),
        (Entry("top/a", False, 6, 9), ROW, Action.KEEP, Action.COPY),
        (Entry("top/a", False, 6, 9), DONE, Action.KEEP, Action.COPY),
        (Entry("top/a", True, 5, 9), ROW, Action.KEEP, Action.KEEP),
    ],
)
def test_what_is_there_decides(entry, row, expected, replaced):
    there = looked(Site(top=[entry] if entry else []))
    assert (action(there, row), action(there, row, overwrite=True)) == (expected, replaced)


def test_below_a_folder_that_is_missing_nothing_is_asked():
    site = Site(top=[])
    there = looked(site, "top", "top/new", "top/new/below", "top/new/below/it", "other/deep")
    assert sorted(site.asked) == ["other/deep", "top", "top/new"]
    assert there.missing_folders == {"top/new", "top/new/below", "top/new/below/it", "other/deep"}
    there.look(["top", "top/new/below"])
    assert len(site.asked) == 3


def test_a_file_in_place_of_a_folder_blocks_what_is_below_it():
    site = Site(top=[Entry("top", False, 5, 9)])
    there = looked(site, "top", "top/deep")
    assert site.asked == ["top"] and there.block("top/deep/x") == there.block("top/x") == "top" != there.block("topx")
    for row in (ROW, DONE, ROW._replace(path="top/deep/x")):
        assert action(there, row) is action(there, row, overwrite=True) is Action.KEEP


def test_of_a_folder_that_can_not_be_listed_the_catalog_knows_best():
    there = looked(Site(top=[], top_b=FileError("no")), "top", "top/b")
    row = DONE._replace(path="top/b/x")
    assert action(there, row) is Action.SKIP and action(there, row._replace(downloaded=False)) is Action.COPY
    assert list(there.faults) == ["top/b"]


def test_a_door_that_fails_at_once_or_again_and_again_ends_it():
    with pytest.raises(DoorError):
        looked(Site(top=DoorError("no")))
    folders = {f"top_{number}": DoorError("no") for number in range(8)}
    with pytest.raises(DoorError):
        looked(Site(top=[], **folders), "top", *(name.replace("_", "/") for name in folders))
    folders.popitem()
    there = looked(Site(top=[], **folders), "top", *(name.replace("_", "/") for name in folders))
    assert len(there.faults) == 7


def test_what_was_copied_is_there():
    there = looked(Site())
    there.add([DONE])
    assert action(there, DONE) is Action.SKIP
