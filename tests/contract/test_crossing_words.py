"""What is said of copies from door to door that fail, tried at real and simulated doors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gridsync_parts.doors import At, Place, Puller, Sent
from gridsync_parts.errors import GridError
from gridsync_parts.table import Site
from tests.grid import Grid
from tests.grid.xrootd import SCRATCH, XRootD
from tests.support.client import Client
from tests.support.places import place_at

D, S, X = "dcache-10.2", "storm-1.9", "xrootd"
DATA = b"some bytes" * 10_000


class End(NamedTuple):
    """A door with a folder of a test's own."""

    place: Place
    url: str
    door: Any = None  # of a simulated one

    @property
    def puller(self) -> Puller:
        assert self.place.puller
        return self.place.puller

    def put(self, name: str, data: bytes = DATA) -> At:
        assert self.place.writer
        self.place.writer.write(name, Sent(len(data), lambda: iter([data])))
        return At(name, len(data))

    def size(self, name: str) -> int:
        assert self.place.writer
        return self.place.writer.stored(name).size


@pytest.fixture(scope="session")
def copiers(grid: Grid, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[XRootD, XRootD]]:
    """Two real XRootD servers that copy."""
    other = XRootD(grid.folder / "copier2", grid.pki, "copier")
    try:
        other.start()
        other.ready()
        yield grid.copier, other
    finally:
        other.stop()


@pytest.fixture
def end(grid: Grid, at: Callable[..., Client], copiers: tuple[XRootD, XRootD], tmp_path: Path) -> Callable[..., End]:
    made: list[str] = []

    def make(kind: str) -> End:
        made.append(kind)
        if kind == X:
            server = copiers[made.count(X) % 2]
            site = Site("HERE", server.url, f"{SCRATCH}/{tmp_path.name}{len(made)}", "http", first_byte=30, silence=10)
            place = place_at(grid, site)
            assert place.writer
            base = place_at(grid, site._replace(base=SCRATCH)).writer
            assert base
            base.folder(f"{tmp_path.name}{len(made)}")
            return End(place, server.url)
        client = at(kind)
        client.door.switches.marker_interval = 0.05
        site = Site("HERE", client.door.url, "agata", "http", first_byte=30, silence=10)
        return End(place_at(grid, site), client.door.url, client)

    return make


def crossed(acts: End, call: Callable[[], Any]) -> tuple[list[int], GridError | None]:
    """The marks of a copy, and what is said in the end."""
    seen: list[int] = []
    try:
        seen.extend(call().marks)
    except GridError as error:
        return seen, error
    return seen, None


PAIRS = [(X, X), (D, S), (S, D), (D, D), (X, D), (S, X)]


@pytest.mark.parametrize(("acts", "far"), PAIRS)
def test_a_door_fetches_from_another_and_brings_to_another(end, acts, far):
    here, there = end(acts), end(far)
    first, second = ("a+b", "c=d") if S in (acts, far) else ("a b#1", "c d#%1")  # as StoRM does not find such names
    at = there.put(first)
    seen, error = crossed(here, lambda: here.puller.pull(second, there.puller.far(first, False), at))
    assert (error, here.size(second)) == (None, len(DATA)), error
    assert all(0 <= count <= len(DATA) for count in seen)
    seen, error = crossed(here, lambda: here.puller.push(At(second, len(DATA)), there.puller.far("back", True)))
    assert (error, there.size("back")) == (None, len(DATA)), error
