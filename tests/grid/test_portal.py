"""The portal of open data, alone: its shapes, its limits and what goes wrong at it, with a plain client."""

from __future__ import annotations

import http.client
import json
import os
import ssl
import subprocess
import time
import zlib
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import pytest

from tests.grid.portal import ODD, WRONG, Portal
from tests.grid.shelf import plant

PYTHON = "/usr/bin/python3"
TEXT = b"Ten bytes\n"
ROOT = b"root" * 1000


class Client:
    """A reader of the portal, who follows nothing."""

    def __init__(self, portal: Portal):
        self.portal = portal
        self.context = ssl.create_default_context(capath=str(portal.pki.certificates))

    def ask(self, method: str, path: str, body: object = None, base: str = "", **headers: str) -> Any:
        """Status, headers and body of an answer."""
        place = urlsplit(base or self.portal.base)
        assert place.hostname
        if place.scheme == "http":
            line = http.client.HTTPConnection(place.hostname, place.port, timeout=60)
        else:
            line = http.client.HTTPSConnection(place.hostname, place.port, timeout=60, context=self.context)
        try:
            text = json.dumps(body) if body is not None else None
            line.request(method, path, text, {"Content-Type": "application/json", **headers})
            answer = line.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            line.close()

    def json(self, path: str, **asked: object) -> Any:
        """The document at a place."""
        status, _, body = self.ask("GET", f"{path}?{urlencode(asked)}" if asked else path)
        assert status == 200, body
        return json.loads(body)

    def metadata(self, recid: str) -> Any:
        return self.json(f"/api/records/{recid}")["metadata"]

    def search(self, q: str = "", **asked: object) -> list[str]:
        """The recids that a search finds, and the slugs of pages."""
        hits = self.json("/api/records", q=q, **asked)["hits"]["hits"]
        return [hit["metadata"].get("recid") or hit["metadata"]["slug"] for hit in hits]


@pytest.fixture
def client(portal: Portal) -> Iterator[Client]:
    yield Client(portal)


def test_a_record_has_the_shape_of_today(client, portal):
    files = {"a.txt": TEXT, "one/b.root": ROOT, "two/b.root": b""}
    portal.add(
        "cms-8886", files, aliases=["8886"], doi="10.7483/X", title="T", on_demand=["two/b.root"],
        index={"X_file_index.json": ["one/b.root", "two/b.root"]}, distribution={"number_events": 9},
    )  # fmt: skip
    record = client.json("/api/records/cms-8886")
    assert record.keys() == {"id", "created", "updated", "links", "metadata"} and record["id"] == "cms-8886"
    metadata = record["metadata"]
    assert (metadata["recid"], metadata["title"], metadata["doi"]) == ("cms-8886", "T", "10.7483/X")
    assert metadata["availability"] == "partial"
    assert metadata["_availability_details"] == {"online": 2, "on demand": 1}
    assert metadata["distribution"] == {
        "formats": ["root", "txt"], "number_files": 3, "size": 4010, "availability": "online", "number_events": 9,
    }  # fmt: skip
    uri = "root://eospublic.cern.ch//eos/opendata/cms/cms-8886"
    (file,) = metadata["_files"]
    assert (file["key"], file["uri"], file["size"]) == ("a.txt", f"{uri}/a.txt", 10)
    assert file["checksum"] == f"adler32:{zlib.adler32(TEXT):08x}" and file["availability"] == "online"
    (index,) = metadata["_file_indices"]
    assert (index["key"], index["number_files"], index["size"]) == ("X_file_index.json", 2, 4000)
    assert index["availability"] == {"online": 1, "on demand": 1}
    first, second = index["files"]
    assert (first["key"], first["filename"], first["uri"]) == ("X_file_index.json_0", "b.root", f"{uri}/one/b.root")
    assert first["tags"] == {} and {"uri_cold", "hot_deleted"} == second["tags"].keys()
    alias = client.json("/api/records/8886")
    assert (alias["id"], alias["metadata"]) == ("8886", metadata)
    assert client.json("/record/cms-8886/file_index/X_file_index.json") == index
    assert client.ask("GET", "/record/8886/file_index/X_file_index.txt")[2].decode().split() == [
        f"{uri}/one/b.root", f"{uri}/two/b.root",
    ]  # fmt: skip


def test_an_old_record_has_a_number_and_no_word_of_tape(client, portal):
    portal.add("5500", {"a.txt": TEXT, "b.root": ROOT}, index=["b.root"], shape="old")
    metadata = client.metadata("5500")
    assert metadata["recid"] == 5500 and "_files" not in metadata and "availability" not in metadata
    entries = [*metadata["files"], *metadata["_file_indices"][0]["files"]]
    assert len(entries) == 2 and not any("availability" in entry for entry in entries)


def test_files_tell_what_tape_does_and_the_list_of_files_stays_as_it_was_written(client, portal):
    portal.add("cms-1", {"a.root": ROOT, "b.txt": TEXT}, on_demand=["a.root"])
    path = "/eos/opendata/cms/cms-1/a.root"
    assert client.ask("GET", path)[0] == 404
    assert {file["availability"] for file in client.metadata("cms-1")["files"]} == {"online"}
    before = client.json("/api/records/cms-1")["updated"]
    assert client.ask("POST", "/record/cms-1/stage", {"email": ""})[::2] == (200, b"OK")
    assert client.metadata("cms-1")["availability"] == "requested"
    (row,) = client.json("/transfer_requests_content", record="cms-1", action="stage")["details"]
    assert (row["recid"], row["status"], row["num_hot_files"], row["num_cold_files"]) == ("cms-1", "submitted", 1, 1)
    portal.finish("cms-1")
    metadata = client.metadata("cms-1")
    assert metadata["availability"] == "online" and metadata["_files"][0]["availability"] == "online"
    assert client.ask("GET", path)[::2] == (200, ROOT)
    answer = client.json("/transfer_requests_content", record="cms-1")
    assert answer["details"][0]["status"] == "completed" and answer["pagination"]["total"] == 1
    portal.evict("cms-1", ["a.root"])
    assert client.ask("GET", path)[0] == 404 and client.json("/api/records/cms-1")["updated"] > before
    assert portal.stagings("cms-1") == portal.stagings() == 1


@pytest.mark.parametrize(("completes", "is_there"), [("right", True), ("cold", False)])
def test_a_request_ends_by_itself_and_may_be_completed_with_files_on_tape(client, portal, completes, is_there):
    portal.add("cms-1", {"a.root": ROOT}, on_demand=["a.root"])
    portal.switches.completes = completes
    client.ask("POST", "/record/cms-1/stage", {})
    portal.switches.stage_seconds = 0
    (row,) = client.json("/transfer_requests_content", record="cms-1")["details"]
    assert row["status"] == "completed"
    assert client.metadata("cms-1")["availability"] == ("online" if is_there else "on demand")


def test_one_index_can_be_asked_for_alone_and_somebody_else_may_have_asked(client, portal):
    portal.add("cms-1", {"a": TEXT, "b": ROOT}, on_demand=["a", "b"], index={"X.json": ["a"], "Y.json": ["b"]})
    client.ask("POST", "/record/cms-1/stage", {"file": "Y.json"})
    portal.switches.stage_seconds = 0
    indices = client.metadata("cms-1")["_file_indices"]
    assert [index["availability"] for index in indices] == [{"on demand": 1}, {"online": 1}]
    portal.asked_by_other("cms-1", "started", age=3600)
    rows = client.json("/transfer_requests_content", record="cms-1")["details"]
    assert [row["status"] for row in rows] == ["completed", "started"]
    ages = [datetime.now(timezone.utc) - datetime.fromisoformat(f"{row['created_at']}+00:00") for row in rows]
    assert ages[0] < timedelta(minutes=10) < timedelta(minutes=59) < ages[1] < timedelta(minutes=70)
    assert rows[1]["started_at"] and not rows[1]["completed_at"]
    assert len(client.json("/transfer_requests_content", status="started")["details"]) == 1
    assert client.json("/transfer_requests_content", record="cms-2")["details"] == []
    portal.switches.may_stage = False
    status, headers, _ = client.ask("POST", "/record/cms-1/stage", {})
    assert status == 403 and headers["Content-Type"].startswith("text/html")


def test_bytes_come_in_ranges_and_from_an_xrootd(client, portal, tmp_path):
    portal.add("cms-1", {"a b#.root": ROOT})
    path = quote("/eos/opendata/cms/cms-1/a b#.root")
    status, headers, body = client.ask("GET", path, Range="bytes=3990-")
    assert (status, headers["Content-Range"], body) == (206, "bytes 3990-3999/4000", ROOT[3990:])
    assert client.ask("HEAD", path)[1]["Content-Length"] == "4000"
    assert client.ask("GET", path, Range="bytes=4000-")[0] == 416
    assert client.ask("GET", "/eos/opendata/cms/../cms/cms-1/a")[0] == 404
    assert client.ask("GET", path, base=portal.plain)[::2] == (200, ROOT)
    portal.eos = portal.xrootd.root_url
    portal.add("cms-2", {"b.root": ROOT})
    uri = client.metadata("cms-2")["_files"][0]["uri"]
    assert uri == f"{portal.xrootd.root_url}/eos/opendata/cms/cms-2/b.root"
    program = "import gfal2, sys; gfal2.creat_context().filecopy(*sys.argv[1:])"
    bare = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}  # nothing to show
    subprocess.run([PYTHON, "-c", program, uri, f"file://{tmp_path}/b.root"], env=bare, check=True, timeout=120)
    assert (tmp_path / "b.root").read_bytes() == ROOT


@pytest.mark.long
def test_a_search_has_pages_a_limit_and_a_total(client, portal):
    portal.many(25_000)
    answer = client.json("/api/records", size=3, page=2)
    assert answer["hits"]["total"] == 25_000 and len(answer["hits"]["hits"]) == 3
    assert len(client.json("/api/records")["hits"]["hits"]) == 10
    assert client.ask("GET", "/api/records?page=10&size=1000")[0] == 200
    status, _, body = client.ask("GET", "/api/records?page=11&size=1000")
    assert status == 400
    assert json.loads(body) == {"status": 400, "message": "Maximum number of 10000 results have been reached."}
    (hit,) = client.json("/api/records", q='doi:"10.7483/OPENDATA.CMS.100002"')["hits"]["hits"]
    recid = hit["metadata"]["recid"]
    assert recid == "cms-100002" and client.metadata(recid)["files"] == hit["metadata"]["files"]
    (file,) = hit["metadata"]["_files"]
    path = file["uri"].partition("cern.ch/")[2]
    assert client.ask("GET", path)[2] == portal.data(recid, "data.txt")


@pytest.fixture
def library(client, portal) -> Client:
    """A portal with a few records to search for."""
    for recid, year, title in (("cms-1", 2011, "/BTau/Run2011A"), ("cms-2", 2012, "Muons"), ("atlas-3", 2012, "Muon")):
        words = {"title": f"{title} of {year}", "keywords": ["heavy flavour"]}
        portal.add(recid, {}, doi=f"10.7483/{recid}", date_created=[str(year)], **words)
    software = {"primary": "Software", "secondary": []}
    portal.add("cms-4", {}, title="A program", type=software, date_created=None, date_published="2020")
    portal.add("cms-5", {"a.root": ROOT}, on_demand=["a.root"], title="On tape", date_created=["2011", "2012"])
    portal.add_page("cms-guide", title="A guide")
    return client


@pytest.mark.parametrize(
    ("q", "found"),
    [
        ("", {"cms-1", "cms-2", "atlas-3", "cms-4", "cms-guide"}),
        ("experiment:CMS", {"cms-1", "cms-2", "cms-4", "cms-guide"}),
        ("experiment:cms", set()),
        ("experiment:CMS date_created:2011", {"cms-1"}),
        ("experiment:CMS AND date_created:2012", {"cms-2"}),
        ("experiment:ATLAS OR date_created:2011", {"cms-1", "atlas-3"}),
        ("date_created:[2011 TO 2012]", {"cms-1", "cms-2", "atlas-3"}),
        ("date_created:{2011 TO *]", {"cms-2", "atlas-3"}),
        ("date_created:>=2012", {"cms-2", "atlas-3"}),
        ("date_created:<2012", {"cms-1"}),
        ("NOT _exists_:date_created", {"cms-4", "cms-guide"}),
        ("_exists_:recid -type.primary:Dataset", {"cms-4"}),
        ("experiment:(ATLAS OR ALICE)", {"atlas-3"}),
        ("(experiment:ATLAS OR experiment:CMS) AND date_created:2012", {"cms-2", "atlas-3"}),
        ('doi:"10.7483/cms-1"', {"cms-1"}),
        ("doi:10.7483/cms-1", {"cms-1"}),
        ("doi:10.7483*", {"cms-1", "cms-2", "atlas-3"}),
        ("recid:cms-2", {"cms-2"}),
        ("muon", {"atlas-3"}),
        ("Muon*", {"cms-2", "atlas-3"}),
        ('title:"muons of"', set()),
        ('title:"Muons of 2012"', {"cms-2"}),
        ('title.tokens:"muons of"', {"cms-2"}),
        ('"of muons"', set()),
        ("/BTau", {"cms-1"}),
        ("flavour", set()),
        ('"heavy flavour"', {"cms-1", "cms-2", "atlas-3"}),
        ('keywords:"heavy flavour"', {"cms-1", "cms-2", "atlas-3"}),
        ("type.secondary:Collision experiment:CMS", {"cms-1", "cms-2"}),
        ("collision", {"cms-1", "cms-2", "atlas-3"}),
        ("doi:10.7483/CMS-1", set()),
    ],
)  # fmt: skip
def test_a_query_string_is_understood(library, q, found):
    assert set(library.search(q)) == found


@pytest.mark.parametrize("q", ["(experiment:CMS", "experiment:CMS AND", 'title:"muon', "OR muon", "muon)"])
def test_a_query_that_makes_no_sense_is_refused(library, q):
    status, _, body = library.ask("GET", f"/api/records?q={quote(q)}")
    assert (status, json.loads(body)["message"]) == (400, "Invalid query syntax.")


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("experiment=ATLAS", {"atlas-3"}),
        ("experiment=CMS&year=2012--2012", {"cms-2"}),
        ("year=2011--2012", {"cms-1", "cms-2", "atlas-3"}),
        ("year=2012--", {"cms-2", "atlas-3"}),
        ("type=Software&type=Documentation", {"cms-4", "cms-guide"}),
        ("type=Dataset::Collision&experiment=CMS", {"cms-1", "cms-2"}),
        ("experiment=CMS&ondemand=true&year=2011--2011", {"cms-1", "cms-5"}),
        ("experiment=CMS&q=muons", {"cms-2"}),
    ],
)
def test_facets_are_parameters_and_what_is_all_on_tape_is_found_only_on_demand(library, asked, found):
    hits = library.json(f"/api/records?{asked}")["hits"]
    assert {hit["metadata"].get("recid", hit["id"]) for hit in hits["hits"]} == found
    assert hits["total"] == len(found)


def test_boxes_count_what_there_is_and_their_own_choice_leaves_the_others_in(library):
    boxes = library.json("/api/records?experiment=CMS")["aggregations"]
    counted = {name: {one.get("key_as_string", one["key"]): one["doc_count"] for one in box["buckets"]}
               for name, box in boxes.items()}  # fmt: skip
    assert counted["experiment"] == {"ATLAS": 1, "CMS": 4}
    assert counted["year"] == {"2011": 1, "2012": 1}
    assert counted["type"] == {"Dataset": 2, "Documentation": 1, "Software": 1}
    assert library.ask("GET", "/api/records?year=2012")[0] == 400


def test_a_search_has_an_order_and_may_leave_out_files(library, portal):
    assert library.search("", sort="title")[:2] == ["cms-1", "cms-guide"]
    assert library.search("", sort="mostrecent")[0] == "cms-4"
    assert library.search("", sort="-mostrecent")[-1] == "cms-4"
    metadata = library.json("/api/records", q="recid:cms-1", skip_files=1)["hits"]["hits"][0]["metadata"]
    assert not {"files", "_files", "_file_indices"} & metadata.keys()
    portal.many(1000)
    portal.switches.ties = "shuffled"
    assert library.search("experiment:CMS") != library.search("experiment:CMS")
    assert library.search("experiment:CMS", sort="mostrecent") == library.search("experiment:CMS", sort="mostrecent")


@pytest.mark.long
def test_many_records_are_of_all_kinds(client, portal):
    portal.many(25_000)

    def total(**asked: object) -> int:
        return client.json("/api/records", size=1, **asked)["hits"]["total"]

    cms, atlas = total(experiment="CMS"), total(experiment="ATLAS")
    assert cms > 10_000 and cms + atlas + total(experiment="ALICE") > 25_000
    assert total(q="NOT _exists_:date_created") == 500
    years = [total(year=f"{year}--<{year + 1}") for year in range(2010, 2017)]
    assert max(years) < 10_000 and sum(years) > 24_500
    assert total(year="2011--2011") < years[1]  # its first day alone, which is what a bare year means
    portal.many(12_000, first=500_000, experiment=["LHCb"], date_created=["2018"], type={"primary": "Dataset"})
    assert total(experiment="LHCb", year="2018--2018", type="Dataset") == 12_000


# == What goes wrong ====================================================================================


@pytest.mark.parametrize("what", ODD)
def test_what_the_portal_says_of_a_file_can_be_odd(client, portal, what):
    portal.add("cms-1", {"a.root": ROOT, "b.root": ROOT}, index=["b.root"])
    for name in ("a.root", "b.root"):
        portal.odd("cms-1", name, what)
    metadata = client.metadata("cms-1")
    for file in (metadata["files"][0], metadata["_files"][0], metadata["_file_indices"][0]["files"][0]):
        assert {name: file.get(name) for name in ODD[what]} == ODD[what]


def outcome(client: Client, what: str) -> tuple[object, ...]:
    """What a client meets that asks for a record, and goes on with its file."""
    is_of_bytes = WRONG[what]["path"].startswith("/eos")
    path = "/eos/opendata/cms/cms-1/a.root" if is_of_bytes else "/api/records/cms-1"
    path = "/api/records" if what == "slow search" else path
    before = time.monotonic()
    try:
        shown = {"Range": "bytes=10-"} if "range" in what else {}
        status, headers, body = client.ask("GET", path, base=client.portal.plain, **shown)  # TLS hides a reset
    except (OSError, http.client.HTTPException) as error:
        return (type(error).__name__,)
    kind = "html" if body.startswith(b"<!DOCTYPE") else "right" if body == ROOT else len(body)
    if what == "slow search":
        return (status, time.monotonic() - before >= 3)
    return (status, kind if is_of_bytes or kind == "html" else headers.get("Retry-After") or "cut")


@pytest.mark.parametrize(
    ("what", "met"),
    [
        ("html instead of JSON", (200, "html")),
        ("502 once", (502, "html")),
        ("404 page", (404, "html")),
        ("404 page under 200", (200, "html")),
        ("range refused", (416, 0)),
        ("no range", (200, "right")),
        ("truncated JSON", (200, "cut")),
        ("cut JSON", ("IncompleteRead",)),
        ("slow search", (200, True)),
        ("429", (429, "1")),
        ("cut in the middle", ("IncompleteRead",)),
        ("reset in the middle", ("ConnectionResetError",)),
        ("wrong bytes", (200, 4000)),
    ],
)
def test_what_went_wrong_in_production_goes_wrong_here(client, portal, what, met):
    portal.add("cms-1", {"a.root": ROOT})
    portal.goes_wrong(what)
    assert outcome(client, what) == met
    if "once" in what or "middle" in what or what == "429":
        assert outcome(client, "404 page" if "middle" in what else "429")[0] == 200


def test_each_name_of_what_went_wrong_is_tested():
    tested = next(mark for mark in test_what_went_wrong_in_production_goes_wrong_here.pytestmark if mark.args)
    assert [what for what, _ in tested.args[1]] == list(WRONG)


def test_bytes_may_be_at_another_host_which_notes_what_it_is_shown(client, portal):
    portal.add("cms-1", {"a.root": ROOT})
    portal.switches.bytes_at = "elsewhere"
    path = "/eos/opendata/cms/cms-1/a.root"
    status, headers, _ = client.ask("GET", path)
    assert status == 302 and headers["Location"] == f"{portal.elsewhere}{path}" and "session=" in headers["Set-Cookie"]
    assert urlsplit(portal.elsewhere).hostname != urlsplit(portal.base).hostname
    assert client.ask("GET", path, base=portal.elsewhere)[::2] == (200, ROOT)
    assert portal.secrets_elsewhere() == []
    client.ask("GET", path, base=portal.elsewhere, Cookie="session=0badcafe")
    assert portal.secrets_elsewhere() == ["cookie"]


def test_requests_are_noted(client, portal):
    portal.add("cms-1", {"a.root": ROOT})
    client.ask("GET", "/api/records/cms-1?x=1", Accept="application/json")
    (asked,) = portal.asked(path="/api/records/cms-1")
    assert (asked.method, asked.query, asked.in_flight) == ("GET", {"x": "1"}, 1)
    assert asked.headers["accept"] == "application/json"
    portal.reset()
    assert not portal.requests and client.ask("GET", "/api/records/cms-1")[0] == 404


def test_a_file_that_was_evicted_is_gone_from_the_xrootd_too_and_a_reset_leaves_none(client, portal):
    portal.add("cms-1", {"a.root": ROOT})
    data = portal.xrootd.folder / "data/eos/opendata/cms/cms-1/a.root"
    assert data.read_bytes() == ROOT
    portal.evict("cms-1")
    assert not data.exists() and portal.data("cms-1", "a.root") == ROOT
    portal.finish("cms-1")
    portal.reset()
    assert not data.exists()


def test_people_find_twelve_records_with_what_they_look_for(client, portal):
    plant(portal)
    assert client.json("/api/records", ondemand="true", size=1)["hits"]["total"] == 12
    assert client.metadata("5500")["recid"] == "cms-5500"
    (recid,) = client.search('doi:"10.7483/OPENDATA.CMS.JKB8.RR42"')
    assert recid == "cms-5500"
    kinds = set()
    for recid in portal.records:
        metadata = client.metadata(recid)
        kinds |= {metadata["availability"], *metadata["date_created"], metadata["collision_information"]["energy"]}
        assert metadata["distribution"]["size"] and metadata["categories"]["primary"] and metadata["type"]["secondary"]
    assert {"online", "partial", "on demand", "1998", "2016", "189GeV", "13TeV"} <= kinds
    assert sum(record.fields()["distribution"]["size"] for record in portal.records.values()) < 40 << 20
