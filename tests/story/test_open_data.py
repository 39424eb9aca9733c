"""The CERN Open Data portal as a site: what a user types, sees and finds, and what its own client gets wrong."""

from __future__ import annotations

import json
import re
import zlib
from pathlib import Path

import pytest

from tests.grid import Grid
from tests.grid.portal import Portal
from tests.support import reader as support
from tests.support.reader import last

SMALL, LARGE = b"small\n" * 20, bytes(range(256)) * 12_000
FILES = {"a.txt": SMALL, "b.root": LARGE, "c.root": b"", "list/d.txt": b"d"}


class Reader(support.Reader):
    """One whose questions are counted."""

    def asked(self, recid: str) -> int:
        """How often a record was asked for."""
        return len(self.portal.asked(method="GET", path=f"/api/records/{recid}"))


@pytest.fixture
def reader(grid: Grid, portal: Portal, tmp_path: Path) -> Reader:
    return Reader(grid, tmp_path, portal)


def adler(data: bytes) -> str:
    return f"adler32:{zlib.adler32(data):08x}"


# Fetching.


def test_a_record_comes_with_its_metadata_and_is_verified(reader):
    reader.portal.add("cms-5500", FILES, index=["b.root", "c.root"], doi="10.7483/X")
    status, out, err = reader("--input_dir=cms-5500 --sync")
    assert (status, last(copied=5) in out) == (0, True), out + err
    names = {"cms-5500/" + name.rpartition("/")[2]: data for name, data in FILES.items()}
    assert reader.here() == names
    rows = reader.catalog()
    assert {path: rows[path]["checksum"] for path in names} == {path: adler(data) for path, data in names.items()}
    assert {path for path, row in rows.items() if row["verified"] != "adler32"} == {"cms-5500/c.root"}  # it is empty
    text = (reader.data / "cms-5500/record.json").read_bytes()
    assert rows["cms-5500/record.json"]["checksum"] == adler(text)
    assert json.loads(text)["metadata"]["doi"] == "10.7483/X"
    assert reader.asked("cms-5500") == 1
    reader.portal.requests.clear()
    assert last(skipped=5) in reader("--sync").out
    assert len(reader.portal.requests) == 1


def test_the_first_line_needs_nothing_but_a_place_for_files(reader):
    """No Grid.conf, no certificate, and the number that the portal had for the record before."""
    reader.portal.add("cms-5500", {"a.txt": SMALL}, aliases=["5500"])
    (reader.folder / "Grid.conf").unlink()
    keys = f"{{**KNOWN['CERN_OPENDATA'].keys, 'SERVER': {reader.portal.server!r}}}"
    known = f"KNOWN = {{**KNOWN, 'CERN_OPENDATA': KNOWN['CERN_OPENDATA']._replace(keys={keys})}}"
    line = f"--from=CERN_OPENDATA --input_dir=5500 --output_dir={reader.data} --sync"
    status, out, err = reader(line, changed=known, GRIDSYNC_DIR=str(reader.folder))
    assert (status, last(copied=2) in out) == (0, True), out + err
    assert reader.here() == {"cms-5500/a.txt": SMALL}
    assert f"SERVER of [CERN_OPENDATA] = {reader.portal.server}" in err


def test_an_older_record_comes_too(reader):
    reader.portal.add("400", FILES, shape="old", index=["b.root"])
    reader.portal.odd("400", "a.txt", "short checksum")
    reader.portal.alter("400", "a.txt", checksum=f"adler32:{zlib.adler32(SMALL):x}")
    status, out, err = reader("--input_dir=400 --sync")
    assert (status, last(copied=5) in out) == (0, True), out + err
    assert reader.catalog()["400/a.txt"]["checksum"] == adler(SMALL)


def test_names_that_clash_have_folders(reader):
    reader.portal.add("cms-1", {"x/a": b"1", "y/a": b"2", "z/record.json": b"3", "b": b"4"})
    assert reader("--input_dir=cms-1 --sync").status == 0
    assert reader.here() == {"cms-1/x/a": b"1", "cms-1/y/a": b"2", "cms-1/b": b"4"}
    assert (reader.data / "cms-1/z/record.json").read_bytes() == b"3"
    assert {"id", "created", "metadata"} == json.loads((reader.data / "cms-1/record.json").read_text()).keys()


def test_a_file_without_a_checksum_is_fetched_and_never_called_more_than_it_is(reader):
    reader.portal.add("cms-1", {"a": SMALL, "b": SMALL})
    reader.portal.odd("cms-1", "a", "no checksum")
    reader.portal.odd("cms-1", "b", "md5")
    status, out, err = reader("--input_dir=cms-1 --sync")
    assert status == 0 and "verified by checksum: 1, by size only: 2" in out, out + err
    row = reader.catalog()["cms-1/a"]
    assert (row["verified"], row["checksum"], row["computed"]) == ("size", "", adler(SMALL))


def test_a_record_that_has_changed_is_left_alone_as_any_file_is(reader):
    reader.portal.add("cms-1", {"a": SMALL})
    assert reader("--input_dir=cms-1 --sync").status == 0
    reader.portal.records["cms-1"].metadata["title"] = "Another title"
    status, out, err = reader("--sync")
    assert (status, last(skipped=1, failed=1) in out) == (1, True), out + err
    assert "record.json: a different local file has this name; --overwrite replaces it" in err
    assert reader("--sync --overwrite").status == 0
    assert json.loads((reader.data / "cms-1/record.json").read_text())["metadata"]["title"] == "Another title"


def test_a_record_stays_the_same_while_its_files_go_to_tape(reader):
    reader.portal.add("cms-1", {"a": SMALL, "b": SMALL}, index=["b"])
    assert reader("--input_dir=cms-1 --sync").status == 0
    before = (reader.data / "cms-1/record.json").read_bytes()
    reader.portal.evict("cms-1")
    status, out, err = reader("--sync")
    assert (status, last(skipped=3) in out) == (0, True), out + err
    assert (reader.data / "cms-1/record.json").read_bytes() == before


def test_the_names_of_a_list_are_looked_for_in_their_records(reader):
    reader.portal.add("cms-1", FILES)
    reader.portal.add("cms-2", FILES)
    (reader.folder / "list").write_text("cms-1/a.txt\ncms-2\n")
    status, out, err = reader(f"--files_from={reader.folder}/list --sync")
    assert (status, last(copied=6) in out) == (0, True), out + err
    assert (reader.asked("cms-1"), reader.asked("cms-2")) == (1, 1)


# What went wrong in production.


@pytest.mark.parametrize(
    "what", ["502 once", "cut in the middle", "reset in the middle", "429", "404 page under 200", "404 page"]
)
def test_what_passes_is_tried_again(reader, what):
    reader.portal.add("cms-1", FILES)
    reader.portal.goes_wrong(what, count=1)
    status, out, err = reader("--input_dir=cms-1 --sync")
    assert (status, last(copied=5) in out) == (0, True), out + err
    assert reader.here()["cms-1/b.root"] == LARGE and reader.here()["cms-1/a.txt"] == SMALL


@pytest.mark.parametrize("what", ["404 page under 200", "404 page", "wrong bytes"])
def test_a_page_or_wrong_bytes_are_never_data(reader, what):
    """As such a page is for cernopendata-client, which says Success."""
    reader.portal.add("cms-1", {"a.txt": SMALL, "b.root": LARGE}, index=["b.root"])
    reader.portal.goes_wrong(what)
    status, out, err = reader("--input_dir=cms-1 --build_list --start")
    assert status == 1 and last(copied=1, failed=2) in out, out + err
    assert reader.files() == ["cms-1/record.json"]
    assert "cms-1/a.txt: " in err and "cms-1/b.root: " in err and "Traceback" not in err


@pytest.mark.parametrize("what", ["range refused", "no range"])
def test_a_gateway_without_ranges_sends_the_whole(reader, what):
    """Which cernopendata-client then appends to what it has."""
    reader.portal.add("cms-1", {"b.root": LARGE})
    reader.portal.goes_wrong(what)
    reader.portal.goes_wrong("cut in the middle")
    status, out, err = reader("--input_dir=cms-1 --streams=3 --sync")
    assert (status, last(copied=2) in out) == (0, True), out + err
    assert reader.here() == {"cms-1/b.root": LARGE}


def test_a_copy_goes_on_where_it_was_cut(reader):
    reader.portal.add("cms-1", {"b.root": LARGE})
    reader.portal.goes_wrong("cut in the middle", count=2)
    assert reader("--input_dir=cms-1 --sync").status == 0
    ranges = [one.headers.get("range", "") for one in reader.portal.requests if one.path.endswith("/b.root")]
    assert ranges[0] == "" and ranges[-1].startswith("bytes=") and not ranges[-1].startswith("bytes=0-")
    assert reader.here() == {"cms-1/b.root": LARGE}


def test_an_index_that_has_not_come_with_its_record_is_asked_for(reader):
    reader.portal.add("cms-1", FILES, index=["b.root", "c.root"])
    said = {"id": "cms-1", "metadata": reader.portal.records["cms-1"].document(reader.portal.eos)}
    (index,) = said["metadata"]["_file_indices"]
    del index["files"]
    reader.portal.faults.add("/api/records/cms-1", "garbage", text=json.dumps(said))
    status, out, err = reader("--input_dir=cms-1 --sync")
    assert (status, last(copied=5) in out) == (0, True), out + err
    assert len(reader.portal.asked(path=f"/record/cms-1/file_index/{index['key']}")) == 1
    reader.portal.faults.add("/record/*", 404)
    status, _, err = reader("--ls_dir=cms-1")
    assert status == 4 and f"it has a file index {index['key']}, which is not there" in err


@pytest.mark.parametrize("what", ["html instead of JSON", "truncated JSON", "cut JSON"])
def test_what_is_no_record_is_one_sentence(reader, what):
    reader.portal.add("cms-1", FILES)
    reader.portal.goes_wrong(what)
    status, out, err = reader("--input_dir=cms-1 --build_list")
    assert status == 4 and "Traceback" not in err, out + err
    (line,) = [line for line in err.splitlines() if line.startswith("gridsync.py: ")]
    assert "portal" in line
    reader.portal.faults.clear()
    assert reader("--input_dir=cms-1 --sync").status == 0


@pytest.mark.parametrize(
    "what", ["uri outside", "uri above", "uri of another host", "no uri", "size no number", "no size", "negative size"]
)
def test_what_cannot_be_right_is_left_out_and_named_and_the_others_come(reader, what):
    reader.portal.add("cms-1", {"a.txt": SMALL, "b.root": LARGE}, index=["b.root"])
    reader.portal.odd("cms-1", "b.root", what)
    status, out, err = reader("--input_dir=cms-1 --sync")
    assert status == 1 and last(copied=2) in out, out + err
    (line,) = [line for line in err.splitlines() if "it is left out, ask the portal" in line]
    assert line.startswith("gridsync.py: cms-1: the ")
    assert reader.here() == {"cms-1/a.txt": SMALL}
    assert {one.path for one in reader.portal.requests if "/eos/" in one.path} == {"/eos/opendata/cms/cms-1/a.txt"}


def test_a_record_that_is_not_there_is_told_with_a_remedy(reader):
    here = reader.folder / "here"
    url = f"{reader.portal.base}/record/cms-9 {here}"
    for action in ("--ls_dir=cms-9", "--input_dir=cms-9 --build_list", "--input_dir=cms-9 --sync", url):
        status, _, err = reader(action)
        assert status == 2, err
        (line,) = [line for line in err.splitlines() if line.startswith("gridsync.py: ")]
        assert line.endswith(f"cms-9: the portal has no such record; look for it at {reader.portal.base}/search, or "
                             "correct the number")  # fmt: skip


def test_a_refusal_names_the_page_of_the_record(reader):
    reader.portal.add("cms-1", {"a.txt": SMALL, "b.root": LARGE})
    page = "<!DOCTYPE html><title>403 Forbidden</title>"
    reader.portal.faults.add("*/b.root", 403, text=page)
    status, _, err = reader("--input_dir=cms-1 --sync")
    assert status == 1
    assert "gridsync.py: cms-1/b.root: the portal refuses (403 Forbidden); see what " in err
    assert f"{reader.portal.base}/record/cms-1 says of it" in err
    reader.portal.faults.clear()
    reader.portal.faults.add("/api/records/cms-1", 403, text=page)
    status, _, err = reader("--ls_dir=cms-1")
    assert status == 4 and f"{reader.portal.base}/record/cms-1 says of it" in err


def test_a_file_that_is_gone_is_told_with_the_page_of_its_record(reader):
    reader.portal.add("cms-1", {"a.txt": SMALL})
    assert reader("--input_dir=cms-1 --build_list").status == 0
    (reader.portal.folder / "eos/data/eos/opendata/cms/cms-1/a.txt").unlink()
    status, _, err = reader("--start")
    assert status == 1 and "but the portal does not have it (404 Page not found); ask the portal, see " in err
    assert f"{reader.portal.base}/record/cms-1\n" in err


# Other hosts.


def test_a_redirect_to_another_host_is_followed_and_shown_nothing(reader):
    reader.portal.add("cms-1", FILES)
    reader.portal.switches.bytes_at = "elsewhere"
    netrc = reader.folder / ".netrc"
    netrc.touch(mode=0o600)
    netrc.write_text("default login me password hush\n")
    status, out, err = reader("--input_dir=cms-1 --streams=2 --sync", BEARER_TOKEN="abc.def.ghi")
    assert (status, last(copied=5) in out) == (0, True), out + err
    assert reader.here()["cms-1/b.root"] == LARGE
    assert any(one.role == "elsewhere" for one in reader.portal.requests)
    assert reader.portal.secrets_elsewhere() == []
    shown = {name for one in reader.portal.requests for name in one.headers}
    assert shown.isdisjoint({"authorization", "cookie", "proxy-authorization"})


def test_bytes_come_from_where_they_lie_by_root(reader):
    reader.portal.eos = reader.portal.xrootd.root_url
    reader.portal.add("cms-1", FILES, index=["b.root"])
    reader.set("BYTES", "root", "OPEN")
    status, out, err = reader("--input_dir=cms-1 --sync", BEARER_TOKEN="abc.def.ghi")
    assert (status, last(copied=5) in out) == (0, True), out + err
    assert reader.here()["cms-1/b.root"] == LARGE
    assert reader.catalog()["cms-1/b.root"]["verified"] == "adler32"
    assert not [one for one in reader.portal.requests if one.path.startswith("/eos/")]


@pytest.mark.long
def test_without_gfal2_bytes_by_root_are_told_with_the_remedy(reader):
    reader.set("BYTES", "root", "OPEN")
    (reader.folder / "gfal2.py").write_text("raise ImportError('none')")
    status, _, err = reader("--input_dir=cms-1 --sync", PYTHONPATH=str(reader.folder))
    assert (status, err.count("\n")) == (2, 1), err
    assert "the site OPEN needs gfal2, which is not installed; on Debian: apt install python3-gfal2" in err


def test_a_server_that_is_not_reached_by_root_is_told(reader):
    reader.portal.eos = "root://localhost:1/"
    reader.portal.add("cms-1", {"a": SMALL})
    reader.set("BYTES", "root", "OPEN")
    status, _, err = reader("--input_dir=cms-1 --build_list --start")
    assert status in (1, 4) and "root://localhost:1//eos/opendata/cms/cms-1/a" in err


# Looking.


def test_records_are_listed_without_their_bytes(reader):
    reader.portal.add("cms-1", {"x/a": b"1", "y/a": b"22", "b": b""})
    status, out, err = reader("--ls_dir=cms-1")
    assert (status, err) == (0, "") and " b\n" in out and "record.json\n" in out and "Folder " in out
    assert [one.path for one in reader.portal.requests if "/eos/" in one.path] == []


@pytest.mark.parametrize("line", ["--ls_dir", "--ls_dir=/", "--input_dir=/ --build_list", "--input_dir=/ --sync"])
def test_the_top_of_a_portal_is_no_folder_and_the_sentence_says_to_name_a_record(reader, line):
    status, _, err = reader(line)
    assert (status, err.count("\n")) == (2, 1) and "record" in err, err
    assert not reader.portal.requests


def test_nothing_can_be_sent_there(reader):
    (reader.folder / "results").mkdir()
    (reader.folder / "results/a").write_bytes(b"mine")
    status, _, err = reader(f"--put={reader.folder}/results --input_dir=cms-1")
    assert (status, err.count("\n")) == (2, 1) and "cannot send files to the site OPEN with ENGINE = opendata" in err


def test_a_base_is_refused(reader):
    reader.set("BASE_DIR_ON_GRID", "cms/", "OPEN")
    status, _, err = reader("--ls_dir=cms-1")
    assert (status, err.count("\n")) == (2, 1) and "BASE_DIR_ON_GRID of the site OPEN is cms, but a portal has" in err


@pytest.mark.parametrize(
    ("chosen", "says"),
    [
        ("", "its listing was not looked at: needs a record as INPUTDIR, such as --input_dir=5500"),
        ("?q=muon", "its listing was not looked at: needs a record as INPUTDIR, such as --input_dir=5500"),
        ("cms-5500", "3 entries in cms-5500"),
        ("5500:cms-2", "3 entries in cms-5500"),
    ],
)
def test_the_doctor_is_content_without_a_certificate(reader, chosen, says):
    reader.portal.add("cms-5500", {"a": SMALL, "b": b""}, aliases=["5500"])
    reader.set("INPUTDIR", chosen, "gridsync")
    status, out, err = reader("--doctor")
    assert status == 0 and "FAIL" not in out, out + err
    assert says in out and "proxy" not in out and "VOMS" not in out and "requests" in out
    assert (f"{len(SMALL)}.0 B of cms-5500/a came" in out) == ("5500" in chosen)


def test_the_doctor_names_a_record_that_is_not_there(reader):
    reader.set("INPUTDIR", "cms-9", "gridsync")
    status, out, _ = reader("--doctor")
    assert status == 1 and "FAIL  door" in out and "cms-9" in out and "BASE_DIR" not in out


def test_python_programs_have_records_too(reader, monkeypatch):
    import gridsync

    reader.portal.add("cms-1", {"a": SMALL})
    reader.portal.eos = reader.portal.xrootd.root_url
    monkeypatch.setenv("X509_CERT_DIR", reader.env["X509_CERT_DIR"])
    for carrier in ("https", "root"):
        reader.set("BYTES", carrier, "OPEN")
        with gridsync.open_site("OPEN", conf=str(reader.folder / "Grid.conf")) as site:
            assert [row.path for row in site.ls("cms-1")] == ["cms-1/a", "cms-1/record.json"]
            with site.open("cms-1/a") as file:
                assert file.read() == SMALL


# The page of --report.


@pytest.mark.long
def test_the_page_of_a_run_has_the_flow_of_its_records(reader):
    about = {"collision_information": {"energy": "7TeV"}, "date_created": ["2011"]}
    reader.portal.add("cms-1", {"a": SMALL}, type={"primary": "Dataset", "secondary": ["Simulated"]}, **about)
    reader.portal.add("cms-2", {"a": SMALL, "<script>": b"x"}, categories={"primary": "<b>Exotica</b>"}, **about)
    page = reader.folder / "p.html"
    line = f"--input_dir=cms-1:cms-2 --sync --stats={reader.folder}/s.csv --report={page}"
    status, out, err = reader(line)
    assert (status, "  Files moved                    5 " in out) == (0, True), out + err
    text = page.read_text()
    assert "2 records of which record.json is here" in text
    for word, records in (("2011", 2), ("7TeV", 2), ("Simulated", 1), ("&lt;b&gt;Exotica&lt;/b&gt;", 1)):
        assert re.search(rf">{word}</td><td[^>]*>{records}</td>", text), word
    assert text.count("<script") == 3
