"""What each row of KINDS says that it can, and what it says that it can't: all of it tried at its Places.

test_contract.py and test_writing.py have how well they do it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from gridsync_parts.doors import At, Place, Sent, Writer
from gridsync_parts.doors.record import NAME
from gridsync_parts.errors import GridError
from gridsync_parts.kinds import KINDS, Kind, is_tried, kind_of
from gridsync_parts.table import Site
from tests.grid import Grid, agata
from tests.support.places import PLACES, WRITERS, new_home, place_at, received, site_of, site_to_write
from tests.support.user import User

FOLDER = f"e680_1to64/{agata.RUN}/Data/03A"
FILE = f"{FOLDER}/{agata.SMALL}"
MINE = b"mine"


def names(places: list[Any]) -> list[str]:
    """Those of a list of Places that are tried each time."""
    return [entry if isinstance(entry, str) else entry.values[0] for entry in places if not getattr(entry, "marks", ())]


class Tried(NamedTuple):
    """A site of the grid, and the row that it is of."""

    kind: Kind
    site: Site
    place: Place
    data: bytes  # of FILE


@pytest.fixture(params=PLACES)
def tried(grid: Grid, request: pytest.FixtureRequest) -> Tried:
    grid.tree.file(f"agata/{FILE}").locality = "ONLINE"
    site = site_of(grid, request.param)
    return Tried(kind_of(site), site, place_at(grid, site), grid.tree.expected(f"agata/{FILE}"))


class Store(NamedTuple):
    """A Place that takes files, and one that was sent there."""

    place: Place
    writer: Writer
    path: str

    def names(self) -> list[str]:
        found = self.place.lister.folder(self.path.rpartition("/")[0])
        names = [entry.path.rpartition("/")[2] for entry in found]
        return [name for name in names if not (name == NAME and self.place.repository)]  # which is its own


@pytest.fixture(params=WRITERS)
def store(grid: Grid, request: pytest.FixtureRequest, folder: str) -> Store:
    place = place_at(grid, site_to_write(grid, request.param))
    home = new_home(place, folder.rpartition("/")[2])
    assert place.writer
    place.writer.write(f"{home}/sent", Sent(len(MINE), lambda: iter([MINE])))
    return Store(place, place.writer, f"{home}/sent")


# The table.


@pytest.mark.first
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.engine}-{kind.schemes[0]}")
def test_each_row_is_tried_or_says_that_it_is_not(grid, kind):
    assert is_tried(kind) == (kind in {kind_of(site_of(grid, name)) for name in names(PLACES)})


def test_of_each_row_with_tape_one_place_has_it(grid):
    """That there may be a tape service is said of rows alone where there is one at times."""
    sites = [site for site in (site_of(grid, name) for name in names(PLACES)) if kind_of(site).can.tape]
    having = {kind_of(site) for site in sites if place_at(grid, site).find_tape()}
    assert having == {kind for kind in KINDS if kind.can.tape and is_tried(kind)}


def test_each_row_that_takes_files_is_tried_and_no_other(grid):
    kinds = {kind_of(site_to_write(grid, name)) for name in names(WRITERS)}
    assert kinds == {kind for kind in KINDS if kind.can.writes}


def test_each_row_that_copies_from_door_to_door_can_send_there_too(grid):
    """What is left of a copy has to be looked at, named and removed."""
    assert all(kind.can.writes and kind.can.renames and kind.can.removes for kind in KINDS if kind.can.copies)


# What it looks like.


def test_a_place_can_what_its_row_says(tried):
    assert tried.place.can == tried.kind.can


@pytest.mark.every(3)
def test_it_lists(tried):
    assert FILE in [entry.path for entry in tried.place.lister.folder(FOLDER)]


@pytest.mark.every(3)
def test_it_reads_and_from_where_that_is_wished(tried):
    size = len(tried.data)
    assert received(tried.place, FILE, 0, size) == tried.data
    assert received(tried.place, FILE, size // 2, size, size) == tried.data[size // 2 :]


def test_it_names_a_checksum_of_the_kinds_that_it_says_or_none(tried):
    found = tried.place.reader.checksum(At(FILE, len(tried.data)))
    assert found.partition(":")[0] in (tried.kind.can.checksums or ("",))


def test_it_has_tape_only_where_it_says_so(tried):
    assert tried.kind.can.tape or tried.place.find_tape() is None


def test_it_copies_from_door_to_door_if_it_says_so(tried):
    assert (tried.place.puller is not None) == tried.kind.can.copies


# Files that are sent.


def test_it_takes_files_if_it_says_so(tried):
    assert (tried.place.writer is not None) == tried.kind.can.writes


def test_it_takes_a_file(store):
    assert store.place.can.writes and store.names() == ["sent"]
    assert store.writer.stored(store.path).size == len(MINE)


def test_it_gives_a_file_another_name_or_says_that_it_can_not(store):
    if store.place.can.renames:
        store.writer.rename(store.path, f"{store.path}_too", replace=False)
        assert store.names() == ["sent_too"]
        return
    with pytest.raises(GridError, match="sent"):
        store.writer.rename(store.path, f"{store.path}_too", replace=False)
    assert store.names() == ["sent"]


def test_it_takes_a_file_away_or_says_that_it_can_not(store):
    if store.place.can.removes:
        assert store.writer.remove(store.path) is True and store.names() == []
        return
    with pytest.raises(GridError, match="sent"):
        store.writer.remove(store.path)
    assert store.names() == ["sent"]


def test_where_it_takes_none_a_put_ends_with_one_sentence_that_says_where_one_can(user: User, tried):
    if tried.kind.can.writes:
        pytest.skip("it takes files")
    keys = {"SERVER": f"{tried.site.server}/", "BASE_DIR_ON_GRID": tried.site.base, "ENGINE": tried.site.engine}
    for key, value in {**keys, "TOKEN": tried.site.token, "CREDENTIAL": tried.site.credential}.items():
        user.set(key, value)
    (user.folder / "results").mkdir()
    (user.folder / "results/a").write_bytes(b"mine")
    for more in ("", " --dry_run"):
        status, _, err = user(f"--put {user.folder}/results --input_dir {FOLDER}{more}")
        assert (status, err.count("\n")) == (2, 1), err
        assert f"gridsync cannot send files to the site LYON with ENGINE = {tried.site.engine}" in err
    assert not (user.folder / "grid_uploads.csv").exists()
