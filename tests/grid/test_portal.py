"""The portal of open data, alone: its shapes, its limits and what goes wrong at it, with a plain client."""

from __future__ import annotations

import http.client
import json
import ssl
import zlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import pytest

from tests.grid.portal import Portal

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
    assert client.ask("GET", path)[0] == 404
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
    portal.asked_by_other("cms-1", "started")
    rows = client.json("/transfer_requests_content", record="cms-1")["details"]
    assert [row["status"] for row in rows] == ["started", "completed"]
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
