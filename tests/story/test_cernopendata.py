"""The portal's own client beside gridsync, at one portal: that shows the portal of the tests to be right, both list and
fetch the same from it, and what the client gets wrong, gridsync gets right.

Each of these tests says first what the client (1.0.2) does, so that it fails when the client is mended."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from gridsync_parts.conf import with_setting
from tests.grid import Grid
from tests.grid.portal import TOP, Portal
from tests.grid.shelf import plant
from tests.support.user import Result, User, contents

pytestmark = pytest.mark.long
REPOSITORY = Path(__file__).resolve().parents[2]
VENV = REPOSITORY / "build/cernopendata"
LARGE = bytes(range(256)) * 20_000


class Theirs:
    """The client in a folder; its words go to the portal's http, as it does by itself."""

    def __init__(self, portal: Portal, folder: Path):
        self.portal = portal
        self.folder = folder
        folder.mkdir()

    def __call__(self, line: str) -> Result:
        """What a line gives; progress is left out."""
        command = [str(VENV / "bin/cernopendata-client"), *shlex.split(line), "--server", self.portal.plain]
        env = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "LC_ALL": "C.UTF-8"}
        done = subprocess.run(
            command, cwd=self.folder, env=env, capture_output=True, text=True, timeout=120, check=False
        )  # fmt: skip
        return Result(done.returncode, re.sub(r"[^\n]*Progress:[^\r\n]*[\r\n]", "", done.stdout), done.stderr)

    def got(self, recid: str) -> dict[str, bytes]:
        """What it has fetched of a record."""
        return without_record(self.folder / recid)

    def locations(self, recid: str) -> set[tuple[str, int, str]]:
        """Path, size and checksum of a record's files, as it lists them."""
        rows = [line.split("\t") for line in self(f"get-file-locations --recid {recid} --verbose").out.splitlines()]
        return {(uri.partition(TOP)[2], int(size), checksum) for uri, size, checksum in rows}


@pytest.fixture
def theirs(portal: Portal, tmp_path: Path) -> Theirs:
    if not (VENV / "done").exists():
        pytest.skip("the venv is not there; make build/cernopendata/done makes it")
    return Theirs(portal, tmp_path / "theirs")


@pytest.fixture
def ours(grid: Grid, portal: Portal, tmp_path: Path) -> User:
    """Somebody whose site is the portal, and who has nothing to show."""
    user = User(grid, tmp_path)
    conf = (tmp_path / "Grid.conf").read_text().replace("SITE = LYON", "SITE = CERN_OPENDATA")
    for key, value in {"SERVER": portal.server, "ENGINE": "opendata"}.items():
        conf = with_setting(conf, "CERN_OPENDATA", key, value)
    (tmp_path / "Grid.conf").write_text(conf)
    del user.env["X509_USER_PROXY"]
    return user


def without_record(folder: Path) -> dict[str, bytes]:
    """The files below a folder, without the record itself."""
    found = contents(folder)
    found.pop("record.json", None)
    return found


def got(user: User, recid: str) -> dict[str, bytes]:
    """What gridsync has fetched of a record."""
    return without_record(user.data / recid)


def ranges(portal: Portal) -> int:
    """How often gridsync has asked for the rest of a file."""
    return sum("range" in asked.headers for asked in portal.asked(role="portal", method="GET"))


@pytest.mark.parametrize(("number", "recid"), [("5500", "cms-5500"), ("16", "cms-16"), ("15006", "atlas-15006")])
def test_both_list_and_fetch_the_same(theirs, ours, portal, number, recid):
    plant(portal)
    record = portal.records[recid]
    listed = {(held.path, held.size, held.checksum) for held in record.held.values()}
    assert theirs.locations(number) == listed
    uris = theirs(f"get-file-locations --recid {number} --protocol xrootd").out.split()
    assert set(uris) == {f"{portal.eos}{TOP}{held.path}" for held in record.held.values()}
    assert theirs(f"download-files --recid {number}").status == 0
    result = ours(f"--input_dir {number} --build_list --start")
    assert result.status == 0, result.out + result.err
    rows = {path: row for path, row in ours.catalog().items() if not path.endswith("/record.json")}
    assert {(path, int(row["size"]), row["checksum"]) for path, row in rows.items()} == {
        (f"{recid}/{held.name}", held.size, held.checksum) for held in record.held.values()
    }
    assert {row["verified"] for row in rows.values()} == {"adler32"}
    right = {name: portal.data(recid, name) for name in record.held}
    assert theirs.got(recid) == got(ours, recid) == right


def test_a_doi_and_the_metadata_are_the_same_for_both(theirs, ours, portal):
    plant(portal)
    doi = "10.7483/OPENDATA.CMS.JKB8.RR42"
    told = json.loads(theirs(f"get-metadata --doi {doi}").out)
    assert ours(f"--input_dir {doi} --build_list --start").status == 0
    record = json.loads((ours.data / "cms-5500/record.json").read_text())
    metadata = record.get("metadata", record)
    same = ("recid", "title", "doi", "experiment", "type", "date_created", "categories", "collision_information")
    assert {name: metadata[name] for name in same} == {name: told[name] for name in same}


def test_their_check_of_what_gridsync_has_fetched_passes(theirs, ours, portal):
    plant(portal)
    assert ours("--input_dir cms-5500 --build_list --start").status == 0
    shutil.copytree(ours.data / "cms-5500", theirs.folder / "cms-5500")
    (theirs.folder / "cms-5500/record.json").unlink()  # a file more than it expects
    result = theirs("verify-files --recid 5500")
    assert result.status == 0 and result.out.count("Expected checksum adler32:") == 5 and "Success!" in result.out


@pytest.mark.parametrize("what", ["404 page", "404 page under 200"])
def test_a_page_in_place_of_a_file_is_no_file(theirs, ours, portal, what):
    portal.add("cms-1", {"a.root": LARGE}, aliases=["1"])
    portal.goes_wrong(what)
    result = theirs("download-files --recid 1")
    assert result.status == 0 and "Success!" in result.out
    assert theirs.got("cms-1")["a.root"].startswith(b"<!DOCTYPE html>")
    result = ours("--input_dir cms-1 --build_list --start")
    says = {"404 page": "does not have it (404)", "404 page under 200": "sends a page (404) and not the file"}[what]
    assert result.status == 1 and says in result.err and got(ours, "cms-1") == {}
    assert says in ours.catalog()["cms-1/a.root"]["error"]
    portal.faults.clear()
    assert ours("--start").status == 0 and got(ours, "cms-1") == {"a.root": LARGE}


def test_a_file_on_demand_is_not_fetched(theirs, ours, portal):
    portal.add("cms-1", {"a.root": LARGE, "b.root": b"b"}, aliases=["1"], on_demand=["a.root"])
    result = theirs("download-files --recid 1")
    assert result.status == 0 and "Success!" in result.out
    assert theirs.got("cms-1")["a.root"].startswith(b"<!DOCTYPE html>")
    result = ours("--input_dir cms-1 --build_list --start")
    assert result.status == 1 and got(ours, "cms-1") == {"b.root": b"b"}
    assert ours.catalog()["cms-1/a.root"]["locality"] == "NEARLINE"
    assert not [asked for asked in portal.asked(role="portal") if asked.path.endswith("a.root")]


def test_a_rest_that_comes_as_the_whole_is_not_appended(theirs, ours, portal):
    portal.add("cms-1", {"a.root": LARGE}, aliases=["1"])
    portal.goes_wrong("no range")
    (theirs.folder / "cms-1").mkdir()
    (theirs.folder / "cms-1/a.root").write_bytes(LARGE[:200_000])
    result = theirs("download-files --recid 1")
    assert result.status == 0 and "Success!" in result.out
    assert theirs.got("cms-1")["a.root"] == LARGE[:200_000] + LARGE
    portal.goes_wrong("cut in the middle", role="portal")
    ours.set("RETRIES", "3", site="gridsync")
    assert ours("--input_dir cms-1 --build_list --start").status == 0 and got(ours, "cms-1") == {"a.root": LARGE}
    assert ranges(portal) > 0


def test_a_refused_range_is_no_end(theirs, ours, portal):
    portal.add("cms-1", {"a.root": LARGE}, aliases=["1"])
    portal.goes_wrong("range refused")
    (theirs.folder / "cms-1").mkdir()
    (theirs.folder / "cms-1/a.root").write_bytes(LARGE[:200_000])
    result = theirs("download-files --recid 1")
    assert result.status == 0 and "Success!" in result.out
    assert theirs.got("cms-1")["a.root"] == LARGE[:200_000]
    portal.goes_wrong("cut in the middle", role="portal")
    ours.set("RETRIES", "3", site="gridsync")
    assert ours("--input_dir cms-1 --build_list --start").status == 0 and got(ours, "cms-1") == {"a.root": LARGE}
    assert ranges(portal) > 0


def test_files_of_an_index_are_verified(theirs, ours, portal):
    portal.add("cms-1", {"a.root": LARGE}, aliases=["1"], index=["a.root"])
    portal.goes_wrong("wrong bytes")
    result = theirs("download-files --recid 1 --verify")
    assert result.status == 0 and "Success!" in result.out and "Verifying" not in result.out
    assert len(theirs.got("cms-1")["a.root"]) == len(LARGE) and theirs.got("cms-1")["a.root"] != LARGE
    result = ours("--input_dir cms-1 --build_list --start")
    assert result.status == 1 and got(ours, "cms-1") == {}
    assert "adler32" in ours.catalog()["cms-1/a.root"]["error"]
    portal.faults.clear()
    assert ours("--start").status == 0 and got(ours, "cms-1") == {"a.root": LARGE}
    result = theirs("verify-files --recid 1")
    assert result.status == 1 and "Expected 0, found 1" in result.out


def test_two_files_of_one_name_are_two(theirs, ours, portal):
    portal.add("cms-1", {"one/a.root": b"one", "two/a.root": b"two", "b.root": b"b"}, aliases=["1"])
    result = theirs("download-files --recid 1")
    assert result.status == 0 and "Success!" in result.out
    assert theirs.got("cms-1") == {"a.root": b"two", "b.root": b"b"}
    assert ours("--input_dir cms-1 --build_list --start").status == 0
    assert sorted(got(ours, "cms-1").values()) == [b"b", b"one", b"two"]


def test_html_in_place_of_the_record_is_named(theirs, ours, portal):
    portal.add("cms-1", {"a.root": LARGE}, aliases=["1"])
    portal.goes_wrong("html instead of JSON")
    result = theirs("download-files --recid 1")
    assert result.status == 1 and "Traceback" in result.err
    result = ours("--input_dir cms-1 --build_list --start")
    assert result.status == 4 and "sends a page (CERN Open Data)" in result.err and ours.files() == []
