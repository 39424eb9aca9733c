"""A worker at real doors: what it brings and sends, with what it finds by a path."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gridsync_parts.copy import Copy
from gridsync_parts.disk import MARK
from gridsync_parts.doors import Sent
from gridsync_parts.errors import CredentialError
from gridsync_parts.farm.hand import greet, halt, labour
from gridsync_parts.farm.loads import Load, Returned
from gridsync_parts.farm.marking import lay_mark, setting_for
from gridsync_parts.farm.shops import shops
from gridsync_parts.put import Put
from gridsync_parts.settings import Config
from gridsync_parts.table import Site
from gridsync_parts.values import Locality, Row
from tests.grid import Grid, agata
from tests.support.places import (
    RECORD,
    WRITERS,
    hub_of,
    new_home,
    place_at,
    received,
    site_of,
    site_to_write,
    token_file,
)
from tests.support.user import wait_until

READERS = [
    "http dcache", "gfal2 dcache", "http storm", "http xrootd", "gfal2 root", "gfal2 token", "gfal2 public",
    "gfal2 file", "ssh sftp", "ftps proftpd", "hub alone", "opendata https", "opendata root", "invenio rdm",
]  # fmt: skip
SENDERS = [pair for pair in WRITERS if isinstance(pair, str) and not pair.startswith("invenio")]
FILE = f"{RECORD}/{agata.RUN}/Data/03A/{agata.SMALL}"
DATA = bytes(range(256)) * 5000


@pytest.fixture(autouse=True)
def environment(grid: Grid, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the user of the grid has."""
    for name in ("X509_USER_PROXY", "X509_CERT_DIR", "X509_VOMS_DIR"):
        monkeypatch.setenv(name, grid.env[name])
    monkeypatch.setenv("X509_USER_PROXY", str(grid.pki.proxy("good")))


class Crew:
    """A run with workers in this process."""

    def __init__(self, site: Site, folder: Path, writes: bool = False):
        self.folder = folder
        folder.mkdir()
        self.setting = setting_for(site, "vo.agata.org", Config(str(folder)), str(folder), writes)
        lay_mark(self.setting)

    def labour(self, *jobs: Copy | Put) -> Returned:
        return labour(Load(1, self.setting, jobs, 2), lambda beat: None)


def with_token(grid: Grid, site: Site, folder: Path) -> Site:
    """The site with its token in a file."""
    text = {"hub": lambda: hub_of(grid, site).token, "invenio": lambda: grid.repository.token}.get(site.engine)
    if not text:
        return site
    path = folder / "token"
    path.touch(mode=0o600)
    path.write_text(text())
    return site._replace(token=f"file:{path}")


@pytest.fixture
def crew(grid: Grid, tmp_path: Path) -> Iterator[Callable[..., Crew]]:
    crews: list[Crew] = []

    def make(site: Site, **more: bool) -> Crew:
        crews.append(Crew(with_token(grid, site, tmp_path), tmp_path / f"{len(crews)}", **more))
        return crews[-1]

    yield make
    for one in crews:
        halt(one.setting.run)
    wait_until(lambda: not shops.by_run)


def row_of(path: str, data: bytes, mtime: float = 1000) -> Row:
    return Row(path, len(data), int(mtime), "", Locality.ONLINE, False, "", "", "LYON", "")


def brought(grid: Grid, crew: Crew, **more: bool) -> None:
    """A file comes."""
    assert greet(crew.setting).fault is None
    data = grid.tree.expected(f"agata/{FILE}")
    row = row_of(FILE, data, grid.tree.file(f"agata/{FILE}").mtime)
    returned = crew.labour(Copy(row, str(crew.folder), is_far=True, **more))
    assert returned.unfit is None, returned.unfit
    (done,) = returned.done
    assert done.outcome and done.outcome.done == "copied" and done.moved == len(data), done
    assert (crew.folder / FILE).read_bytes() == data


@pytest.mark.every(5)
@pytest.mark.parametrize("pair", READERS)
def test_a_file_is_brought_from_each_kind_of_site(grid, crew, pair):
    brought(grid, crew(site_of(grid, pair)))


@pytest.mark.long
def test_a_process_works_for_runs_that_show_different_things(grid, crew):
    """Also through gfal2, which has one environment for all of its process."""
    crews = [crew(site_of(grid, pair)) for pair in ("gfal2 dcache", "gfal2 token", "gfal2 public", "gfal2 root")]
    before = dict(os.environ)
    for one in [*crews, *crews]:
        for file in filter(Path.is_file, one.folder.rglob("*.*")):
            if not file.name.endswith(MARK):
                file.unlink()
        brought(grid, one)
    assert dict(os.environ) == before


def test_what_ends_while_it_works_is_said(grid, crew, tmp_path):
    token = tmp_path / "mine"
    token.touch(mode=0o600)
    token.write_text(token_file(grid).read_text())
    one = crew(site_of(grid, "gfal2 token")._replace(token=f"file:{token}"))
    brought(grid, one)
    halt(one.setting.run)
    token.unlink()
    one.setting = one.setting._replace(run=one.setting.run[::-1])
    Path(one.setting.mark).write_text(f"{one.setting.run}\n")
    returned = one.labour(Copy(row_of("x", b"1"), str(one.folder), is_far=True))
    assert isinstance(returned.unfit, CredentialError) and not returned.done
    assert f"file:{token} gives no token" in str(greet(one.setting).fault)


# Files that are sent.


@pytest.mark.every(5)
@pytest.mark.parametrize("is_lost", [False, True])
@pytest.mark.parametrize("pair", SENDERS)
def test_a_file_is_sent_to_each_kind_of_site(grid, crew, pair, is_lost):
    site = site_to_write(grid, pair)
    place = place_at(grid, site)
    home = new_home(place, f"hand-{pair.replace(' ', '-')}-{is_lost}")
    one = crew(site, writes=True)
    assert greet(one.setting).fault is None
    source = one.folder / "a"
    source.write_bytes(DATA)
    name = f"{home}/a"
    temp = f"{home}/0a-1{MARK}" if place.can.renames else name
    job = Put(row_of(name, DATA, source.stat().st_mtime), str(source), temp, is_lost=is_lost)
    if is_lost and place.can.renames:  # who was lost has sent some of it
        assert place.writer
        place.writer.write(temp, Sent(4, lambda: iter([b"some"])))
    returned = one.labour(job)
    assert returned.unfit is None, returned.unfit
    (done,) = returned.done
    assert done.outcome and done.outcome.done == "sent" and done.outcome.row.downloaded, done.error
    assert done.moved == len(DATA) and done.is_open == (is_lost and place.can.renames)
    if place.can.checksums and not pair.startswith("hub"):
        assert received(place, name, 0, len(DATA)) == DATA
    assert sorted(entry.path for entry in place.lister.folder(home)) == [name]
    assert place.writer and place.writer.remove(name) if place.can.removes else True
