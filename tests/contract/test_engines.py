"""What sets the two engines apart on https: docs/doors.md has a table of it, and each of its rows is tried here."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest

from gridsync_parts.doors import At, Place
from gridsync_parts.errors import CredentialError, FileError, GridError, UsageError
from gridsync_parts.keys.token import Token
from gridsync_parts.settings import Config
from gridsync_parts.table import Site
from tests.grid import Grid
from tests.support import TOP
from tests.support.places import opened, place_at, received, site_of
from tests.support.user import write_secret

DOORS = TOP / "docs/doors.md"
ENGINES = ("http", "gfal2")


def claims() -> dict[str, tuple[str, str]]:
    """The rows of its table: what, at http, at gfal2."""
    text = DOORS.read_text().partition("| on https |")[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]
    return {what: (http, gfal2) for what, http, gfal2 in rows}


def pin(grid: Grid, place: Place, folder: str) -> str:
    grid.tree.add(f"agata/{folder}/tape", 10, tape=True)
    request = place.find_tape().stage([f"{folder}/tape"], 3)
    (target,) = grid.door.staging.requests[request].targets.values()
    return "yes" if target.lifetime == 3 * 86400 else "no, the site's default holds"


def where(grid: Grid, place: Place, folder: str) -> str:
    paths = [f"{folder}/{number}" for number in range(20)]
    for path in paths:
        grid.tree.add(f"agata/{path}", 10)
    place.find_tape()
    grid.door.log.clear()
    place.locate(paths)
    count = grid.door.log.count(role="tape", method="POST")
    return {1: "500 in a request", 20: "one in a request"}[count]


def redirect(grid: Grid, place: Place, folder: str) -> str:
    grid.tree.add(f"agata/{folder}/a", 10)
    grid.door.log.clear()
    grid.door.switches.pool_asks = True
    try:
        b"".join(map(bytes, place.reader.read(At(f"{folder}/a", 10), 0, 10).chunks))
    finally:
        grid.door.switches.pool_asks = False
    return "no" if any(record.certificate for record in grid.door.log.matching(role="pool")) else "yes"


def hang(grid: Grid, place: Place, folder: str) -> str:
    size = 10 << 20
    grid.tree.add(f"agata/{folder}/hangs", size)
    fault = grid.door.faults.add("*/hangs", "stall_in_body", role="pool", at=1 << 20, seconds=30)
    began = time.monotonic()
    try:
        with pytest.raises(GridError):
            b"".join(map(bytes, place.reader.read(At(f"{folder}/hangs", size), 0, size).chunks))
    finally:
        grid.door.faults.clear()
    assert fault.hits
    return "after SILENCE seconds" if time.monotonic() - began < 2.5 else "after FIRST_BYTE seconds"


def encoding(grid: Grid, place: Place, folder: str) -> str:
    path = f"{folder}/two words"
    grid.tree.add(f"agata/{path}", 10, tape=True)
    request = place.find_tape().stage([path], 1)
    ends = time.monotonic() + 10
    while (found := place.find_tape().stagings(request, [path])[path]).is_waiting():
        assert time.monotonic() < ends
        time.sleep(0.02)
    return "wrong, so such files can't be staged" if found.failure else "right"


def checksum(grid: Grid, place: Place, folder: str) -> str:
    grid.tree.add(f"agata/{folder}/a", 10)
    body = place.reader.read(At(f"{folder}/a", 10), 0, 10)
    body.close()
    return "yes" if body.checksum else "no"


TRIALS = {
    "tells the tape service how long a pin is to last": pin,
    "asks where files are": where,
    "keeps a proxy from hosts that a redirect names": redirect,
    "ends a read that hangs in mid-file": hang,
    "names that need encoding, at the tape service": encoding,
    "a checksum without a request of its own": checksum,
}
ELSEWHERE = {"bearer tokens", "works without gfal2 installed"}  # in test_sentences.py


def test_every_row_of_the_table_is_tried():
    assert set(claims()) == set(TRIALS) | ELSEWHERE


@pytest.mark.every(5)
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("what", TRIALS)
def test_the_table_says_what_is(grid, folder, what, engine):
    site = site_of(grid, f"{engine} dcache")._replace(first_byte=3, silence=1)
    assert TRIALS[what](grid, place_at(grid, site), folder) == claims()[what][ENGINES.index(engine)]


# Tokens, which the http engine alone takes.


@pytest.fixture
def with_token(grid: Grid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("MY_TOKEN", grid.door.token(600))
    site: Site = site_of(grid, "http dcache")
    token = Token("env:MY_TOKEN", Config(str(tmp_path)))
    return opened(site, token=token, ca=grid.env["X509_CERT_DIR"])


def test_a_token_opens_door_and_tape_service_and_no_pool_sees_it(grid, with_token, folder):
    path = f"{folder}/a"
    grid.tree.add(f"agata/{path}", 10, tape=True)
    grid.door.log.clear()
    with_token.lister.folder(folder)
    request = with_token.find_tape().stage([path], 1)
    ends = time.monotonic() + 10
    while with_token.find_tape().stagings(request, [path])[path].is_waiting():
        assert time.monotonic() < ends
        time.sleep(0.02)
    assert received(with_token, path, 0, 10) == grid.tree.expected(f"agata/{path}")
    seen = {(record.role, record.token) for record in grid.door.log}
    assert {("door", True), ("tape", True), ("pool", False)} <= seen and ("pool", True) not in seen


def test_a_token_that_the_door_refuses_is_read_again_once(grid, tmp_path, folder):
    write_secret(tmp_path / "token", grid.door.token(600, iss="https://nobody.example"))
    site = site_of(grid, "http dcache")
    token = Token(f"file:{tmp_path / 'token'}", Config(str(tmp_path)))
    place = opened(site, token=token, ca=grid.env["X509_CERT_DIR"])
    with pytest.raises(CredentialError, match="does not accept your proxy or token"):
        place.lister.folder(folder)
    (tmp_path / "token").write_text(grid.door.token(600))
    assert place.lister.folder(folder) == []


@pytest.mark.parametrize("engine", ["with proxy", "with token"])
def test_another_host_that_a_redirect_names_sees_no_credential(grid, folder, with_token, engine):
    place = with_token if engine == "with token" else place_at(grid, site_of(grid, "http dcache"))
    path = f"agata/{folder}/a"
    grid.tree.add(path, 10)
    grid.storm.log.clear()
    grid.door.faults.add("*/a", "redirect", role="door", to=f"{grid.storm.url}/{path}")
    try:
        with pytest.raises(FileError, match="the pool answers 401"):  # the other door wants to see one
            b"".join(map(bytes, place.reader.read(At(f"{folder}/a", 10), 0, 10).chunks))
    finally:
        grid.door.faults.clear()
    (record,) = grid.storm.log.matching(method="GET")
    assert not record.token and not record.certificate


@pytest.mark.parametrize("to", ["itself", "http", "dead"])
def test_redirects_that_lead_nowhere_are_a_matter_of_the_file(grid, folder, to):
    place = place_at(grid, site_of(grid, "http dcache"))
    grid.tree.add(f"agata/{folder}/a", 10)
    grid.door.faults.add("*/a", "redirect", role="door", to=to)
    try:
        with pytest.raises(FileError) as caught:
            b"".join(map(bytes, place.reader.read(At(f"{folder}/a", 10), 0, 10).chunks))
    finally:
        grid.door.faults.clear()
    assert re.search("redirects|refuses the connection|not encrypted", str(caught.value))


@pytest.mark.first
@pytest.mark.parametrize("status", [401, 429, 503])
@pytest.mark.parametrize("engine", ["http", "gfal2"])
def test_a_door_that_refuses_to_name_a_checksum_is_not_one_that_has_none(user, folder, engine, status):
    """Else the file would be called right by its size alone."""
    user.set("ENGINE", engine)
    user.grid.tree.add(f"agata/{folder}/a", 5000)
    assert user(f"--input_dir {folder} --build_list").status == 0
    user.grid.tree.file(f"agata/{folder}/a").start += 1  # other content, of the same size
    user.grid.door.faults.add("*/a", status, method="HEAD")
    try:
        with user.running("--start", "HELD = held = 2; BREATH = 0.5") as run:
            out, _ = run.communicate(timeout=60)
    finally:
        user.grid.door.faults.clear()
    assert run.returncode and "by size only: 0" in out and user.files() == []


@pytest.mark.parametrize("engine", ["http", "gfal2"])
def test_the_cas_may_be_one_file(grid, engine, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", os.devnull)  # which gfal2 sets for the whole process, and others would trust
    ca = str(grid.pki.folder / "ca.pem")
    assert place_at(grid, site_of(grid, f"{engine} dcache"), ca=ca).lister.folder("e680_1to64")


def test_where_gfal2_needs_a_folder_of_cas_that_is_said(grid):
    with pytest.raises(UsageError, match=r"CA_DIR of LYON is the file .*; for this SERVER gfal2 needs a folder of CAs"):
        place_at(grid, site_of(grid, "gfal2 root"), ca=str(grid.pki.folder / "ca.pem"))
