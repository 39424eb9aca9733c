"""The stand-in for a repository does what it says, and says what the real Invenio of the grid says."""

from __future__ import annotations

import hashlib
import io
import math
import re
import threading
import time
import zipfile
from typing import Any

import pytest
import requests

from tests.grid import Grid
from tests.grid.repository import MODEL, WRONG, Repository

METADATA = {
    "title": "A record of the tests",
    "creators": [{"person_or_org": {"type": "organizational", "name": "DELPHI"}}],
    "publication_date": "2026",
    "resource_type": {"id": "dataset"},
}
STREAM = {"Content-Type": "application/octet-stream"}
MISSING = "The persistent identifier does not exist."


class Client:
    """Somebody with a token at a repository."""

    def __init__(self, base: str, ca: str, token: str, model: str = MODEL) -> None:
        self.base, self.model = base, model
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = ca
        if token:
            self.session.headers["Authorization"] = f"Bearer {token}"

    def ask(self, method: str, path: str, document: Any = None, **more: Any) -> requests.Response:
        url = path if path.startswith("https:") else f"{self.base}/api/{self.model}{path}"
        return self.session.request(method, url, json=document, timeout=60, allow_redirects=False, **more)

    def __call__(self, method: str, path: str, status: int, document: Any = None, **more: Any) -> Any:
        """The document of an answer that has this status."""
        answer = self.ask(method, path, document, **more)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    def mine(self, **query: Any) -> requests.Response:
        return self.ask("GET", f"{self.base}/api/user/{self.model}", params=query)

    def draft(self, **metadata: Any) -> str:
        return str(self("POST", "", 201, {"metadata": {**METADATA, **metadata}})["id"])

    def init(self, id: str, *files: dict[str, Any], status: int = 201) -> Any:
        return self("POST", f"/{id}/draft/files", status, list(files))

    def send(self, id: str, where: str, data: bytes, status: int = 200) -> Any:
        return self("PUT", f"/{id}/draft/files/{where}", status, data=data, headers=STREAM)

    def commit(self, id: str, key: str, status: int = 200) -> Any:
        return self("POST", f"/{id}/draft/files/{key}/commit", status)

    def put(self, id: str, key: str, data: bytes) -> Any:
        self.init(id, {"key": key})
        self.send(id, f"{key}/content", data)
        return self.commit(id, key)

    def publish(self, id: str, status: int = 202) -> Any:
        return self("POST", f"/{id}/draft/actions/publish", status)

    def made(self, **files: bytes) -> str:
        """A published record with files."""
        id = self.draft()
        for key, data in files.items():
            self.put(id, key, data)
        self.publish(id)
        return id


def certificate(grid: Grid) -> str:
    return str(grid.pki.folder / "ca.pem")


@pytest.fixture
def alice(grid: Grid, repository: Repository) -> Client:
    return Client(repository.base, certificate(grid), repository.token)


@pytest.fixture
def guest(grid: Grid, repository: Repository) -> Client:
    return Client(repository.base, certificate(grid), repository.guest)


def md5(data: bytes) -> str:
    return f"md5:{hashlib.md5(data).hexdigest()}"


def in_parts(key: str, size: int, part: int) -> dict[str, Any]:
    return {"key": key, "size": size, "transfer": {"type": "M", "parts": -(-size // part), "part_size": part}}


def zipped(**members: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.mkdir("dir")
        for name, data in members.items():
            archive.writestr(f"dir/{name}", data)
    return made.getvalue()


# == What it can ========================================================================================


def test_a_repository_says_where_its_models_are(alice, repository):
    said = alice("GET", f"{repository.base}/.well-known/repository", 200)
    assert said["links"]["api"] == f"{repository.base}/api"
    (model,) = alice("GET", said["links"]["models"], 200)
    assert (model["type"], model["links"]["records"]) == (MODEL, f"{repository.base}/api/{MODEL}")
    repository.switches.kind = "rdm"
    assert alice.ask("GET", f"{repository.base}/.well-known/repository").status_code == 404
    assert '<meta name="generator" content="InvenioRDM' in alice.ask("GET", f"{repository.base}/").text
    assert alice.ask("POST", f"{repository.base}/api/records", {}).status_code == 201


def test_a_record_is_made_and_read(alice, repository):
    id = alice.made(a=b"abc")
    assert repository.records[id].files["a"].data == b"abc" and repository.published and not repository.drafts
    (entry,) = alice("GET", f"/{id}/files", 200)["entries"]
    assert (entry["size"], entry["checksum"]) == (3, md5(b"abc"))
    assert alice.ask("GET", entry["links"]["content"]).content == b"abc"
    archive = alice.ask("GET", f"/{id}/files-archive").content
    assert zipfile.ZipFile(io.BytesIO(archive)).read("a") == b"abc"


def test_what_was_published_stays_as_it_is(alice, repository):
    id = alice.made(a=b"abc")
    alice("POST", f"/{id}/draft", 201)
    alice.init(id, {"key": "b"}, status=403)
    alice("DELETE", f"/{id}/draft/files/a", 403)
    new = alice("POST", f"/{id}/versions", 201)["id"]
    assert alice("POST", f"/{id}/versions", 201)["id"] == new
    (entry,) = alice("POST", f"/{new}/draft/actions/files-import", 201)["entries"]
    assert entry["checksum"] == md5(b"abc") and entry["status"] == "completed"
    alice("DELETE", f"/{new}/draft/files/a", 204)
    alice.put(new, "a", b"other")
    alice("PUT", f"/{new}/draft", 200, {"metadata": METADATA})
    alice.publish(new)
    assert [repository.records[one].files["a"].data for one in (id, new)] == [b"abc", b"other"]
    assert alice.ask("GET", f"/{id}/versions/latest").headers["Location"].endswith(new)
    repository.retract(id)
    assert alice.ask("GET", f"/{id}").status_code == 410


def test_members_of_a_zip_are_read(alice):
    id = alice.draft()
    alice.put(id, "x.zip", zipped(a=b"first", b=b"second"))
    alice.publish(id)
    listing = alice("GET", f"/{id}/files/x.zip/container", 200)
    assert [(one["key"], one["size"]) for one in listing["entries"]] == [("dir/a", 5), ("dir/b", 6)]
    assert alice.ask("GET", listing["entries"][1]["links"]["content"]).content == b"second"


def test_searches_are_paged(alice, guest, repository):
    ids = [alice.draft(title=f"Number {number}") for number in range(5)]
    found, url = [], f"{repository.base}/api/user/{MODEL}?size=2&sort=oldest"
    while url:
        said = alice("GET", url, 200)
        found += [one["id"] for one in said["hits"]["hits"]]
        url = said["links"].get("next", "")
    assert found == ids and said["hits"]["total"] == 5
    assert alice.mine(q='metadata.title:"Number 3"').json()["hits"]["hits"][0]["id"] == ids[3]
    assert guest.mine().json()["hits"]["total"] == 0


def test_a_restricted_record_is_for_its_owner(alice, guest, repository, grid):
    id = repository.add("Secret", {"a": b"abc"}, access="restricted").id
    for path in (f"/{id}", f"/{id}/files", f"/{id}/files/a/content"):
        assert alice.ask("GET", path).status_code == 200
        assert guest.ask("GET", path).status_code == 403
        assert Client(repository.base, certificate(grid), "").ask("GET", path).status_code == 403


def test_a_draft_is_for_its_owner_and_a_token_for_what_it_may(alice, guest, repository, grid):
    id = alice.draft()
    reader = Client(repository.base, certificate(grid), repository.reader)
    assert [one.ask("GET", f"/{id}/draft").status_code for one in (alice, reader, guest)] == [200, 200, 403]
    for somebody in (reader, guest):
        somebody.init(id, {"key": "a"}, status=403)
    reader("POST", "", 403, {})
    repository.switches.unknown_token = 401
    Client(repository.base, certificate(grid), "nobodys")("POST", "", 401, {})


def test_the_storage_gets_no_token(alice, repository):
    id = repository.add("Elsewhere", {"a": b"abcdef"}).id
    repository.switches.bytes_at = "elsewhere"
    where = alice.ask("GET", f"/{id}/files/a/content").headers["Location"]
    assert where.startswith(repository.storage)
    assert alice.ask("GET", where).status_code == 400 and repository.secrets_elsewhere() == ["authorization"]
    del alice.session.headers["Authorization"]
    assert alice.ask("GET", where, headers={"Range": "bytes=1-2"}).content == b"bc"


def test_the_log_knows_what_is_on_its_way(alice, repository):
    id = alice.draft()
    alice.init(id, {"key": "l"}, in_parts("m", 4, 2))
    repository.faults.add("*/content*", "stall", seconds=1)
    threads = [
        threading.Thread(target=alice.send, args=(id, where, b"ab"))
        for where in ("l/content", "m/content/1", "m/content/2")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(one.weight for one in repository.requests) == 6  # the two parts are one file
    assert max(one.in_flight for one in repository.requests) == 3


# == What goes wrong ====================================================================================


def test_what_is_declared_is_not_compared(alice):
    id = alice.draft()
    alice.init(id, {"key": "a", "size": 10, "checksum": f"md5:{'0' * 32}"})
    alice.send(id, "a/content", b"abc")
    said = alice.commit(id, "a")
    assert (said["size"], said["checksum"]) == (3, md5(b"abc"))


def test_parts_that_do_not_fit_are_told_under_200_and_become_zeros(alice):
    id = alice.draft()
    alice.init(id, in_parts("m", 5, 2))
    assert alice.send(id, "m/content/1", b"abc")["errors"] and alice.send(id, "m/content/4", b"ab")["errors"]
    assert alice.commit(id, "m")["checksum"] == md5(bytes(5))


def test_a_file_that_is_sent_again_is_gone(alice):
    id = alice.draft()
    alice.put(id, "a", b"abc")
    assert alice.send(id, "a/content", b"abc")["errors"]
    assert alice("GET", f"/{id}/draft/files", 200)["entries"] == []


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ([{"key": "b", "bad": 1}], "Unknown field."),
        ([{"key": "b"}, {"key": "a"}], "already exists"),
        ([{"key": str(number)} for number in range(100)], "max amount"),
        ([{"key": "b", "size": 5, "transfer": {"type": "M", "parts": 1}}], "requires part_size"),
        ([{"key": "b", "transfer": {"type": "X"}}], "Unsupported value: X"),
    ],
)
def test_an_init_is_refused_as_a_whole(alice, files, said):
    id = alice.draft()
    alice.init(id, {"key": "a"})
    assert said in str(alice.init(id, *files, status=400))
    assert [one["key"] for one in alice("GET", f"/{id}/draft/files", 200)["entries"]] == ["a"]


def test_what_is_not_whole_is_not_published(alice, repository):
    id = alice.draft(creators=[])
    alice.init(id, {"key": "a"})
    alice.commit(id, "a", 500)
    said = alice.publish(id, 400)["errors"]
    assert [one["field"] for one in said] == ["metadata.creators", "files"] and not repository.published


@pytest.mark.parametrize(("parts", "at_init", "at_part"), [
    ("refused", 201, 403), ("refused at init", 403, 404), ("unknown", 400, 404),
])  # fmt: skip
def test_parts_are_refused(alice, repository, parts, at_init, at_part):
    repository.switches.parts = parts
    id = alice.draft()
    alice.init(id, in_parts("m", 5, 2), status=at_init)
    alice.send(id, "m/content/1", b"ab", at_part)


def test_a_rate_is_counted_for_each_user(alice, guest, repository):
    repository.switches.rate, repository.switches.window = 3, 2.0
    answers = [alice.mine() for _ in range(4)]
    assert [one.status_code for one in answers] == [200, 200, 200, 429]
    assert [one.headers["X-RateLimit-Remaining"] for one in answers] == ["2", "1", "0", "0"]
    assert int(answers[3].headers["Retry-After"]) in (1, 2) and answers[3].text.startswith("<!DOCTYPE")
    assert guest.mine().status_code == 200
    time.sleep(2)
    assert alice.mine().status_code == 200
    repository.switches.says_when, repository.switches.rate = False, 1
    assert "Retry-After" not in alice.mine().headers


@pytest.mark.parametrize(("polls", "said"), [(2, ["pending", "pending", "completed"]), (math.inf, ["pending"] * 3)])
def test_a_file_is_stuck(alice, repository, polls, said):
    repository.switches.commit_polls = polls
    id = alice.draft()
    found = [alice.put(id, "a", b"abc")["status"]]
    assert found + [alice("GET", f"/{id}/draft/files/a", 200)["status"] for _ in range(2)] == said
    assert alice.ask("POST", f"/{id}/draft/actions/publish").status_code == (202 if polls == 2 else 400)


def test_room_ends(alice, repository):
    repository.switches.quota = 5
    id = alice.draft()
    alice.put(id, "a", b"abc")
    alice.init(id, {"key": "b"})
    assert alice.send(id, "b/content", b"abc", 400)["message"] == "Bucket quota exceeded."
    repository.switches.quota_at = "init"
    alice.init(id, {"key": "c", "size": 3}, status=400)
    repository.switches.max_size = 2
    assert alice.ask("PUT", f"/{id}/draft/files/b/content", data=b"abc", headers=STREAM).status_code == 413


def test_a_search_may_not_be_there_or_come_late(alice, repository):
    for search, status in (("missing", 404), ("forbidden", 403)):
        repository.switches.search = search
        assert alice.mine().status_code == status
    repository.switches.search, repository.switches.index_seconds = "right", 1.0
    alice.draft()
    assert alice.mine().json()["hits"]["total"] == 0
    time.sleep(1.1)
    assert alice.mine().json()["hits"]["total"] == 1


@pytest.mark.parametrize("when", ["init", "content", "commit", "publish"])
def test_somebody_deletes_a_draft(alice, repository, when):
    id = alice.draft()
    repository.switches.deletes_at = when
    steps = {
        "init": lambda status: alice.init(id, {"key": "a"}, status=status),
        "content": lambda status: alice.send(id, "a/content", b"abc", status),
        "commit": lambda status: alice.commit(id, "a", status),
        "publish": lambda status: alice.publish(id, status),
    }
    for name, step in steps.items():
        if name == when:
            assert step(404)["message"] == MISSING
            break
        step({"init": 201, "publish": 202}.get(name, 200))
    assert not repository.records


def test_files_are_spoilt_so_often(alice, repository):
    repository.switches.spoils = 1
    id = alice.draft()
    assert [alice.put(id, key, b"abc")["checksum"] == md5(b"abc") for key in "ab"] == [False, True]


@pytest.mark.parametrize(("checksum", "said"), [(None, None), ("multipart", f"multipart:{md5(b'abc')[4:]}-3")])
def test_a_commit_tells_another_checksum(alice, repository, checksum, said):
    repository.switches.checksum = checksum
    assert alice.put(alice.draft(), "a", b"abc")["checksum"] == said


def test_metadata_are_refused_by_field(alice, repository):
    repository.switches.refuses = {"metadata.title": "Too plain."}
    repository.switches.known = tuple(METADATA)
    id = alice.draft()
    alice.put(id, "a", b"abc")
    said = alice("PUT", f"/{id}/draft", 200, {"metadata": {**METADATA, "colour": "red"}})["errors"]
    assert [(one["field"], one["messages"]) for one in said] == [
        ("metadata.colour", ["Unknown field."]), ("metadata.title", ["Too plain."]),
    ]  # fmt: skip
    alice.publish(id, 400)
    assert not repository.published


def test_a_draft_takes_its_time(alice, repository):
    repository.switches.create_seconds = 0.5
    began = time.monotonic()
    alice.draft()
    assert time.monotonic() - began >= 0.5


LOST = {
    "draft lost": lambda alice, id: alice.draft(), "init lost": lambda alice, id: alice.init(id, {"key": "b"}),
    "content lost": lambda alice, id: alice.send(id, "a/content", b"abc"),
    "commit lost": lambda alice, id: alice.commit(id, "a"), "publish lost": lambda alice, id: alice.publish(id),
    "describe lost": lambda alice, id: alice("PUT", f"/{id}/draft", 200, {"metadata": {**METADATA, "title": "New"}}),
}  # fmt: skip


@pytest.mark.parametrize("what", LOST)
def test_answers_are_lost_and_the_work_is_done(alice, repository, what):
    id = alice.draft()
    alice.init(id, {"key": "a"})
    if what != "content lost":
        alice.send(id, "a/content", b"abc")
    if what == "publish lost":
        alice.commit(id, "a")
    repository.goes_wrong(what)
    with pytest.raises(requests.ConnectionError):
        LOST[what](alice, id)
    record = repository.records[id]
    assert {
        "draft lost": len(repository.drafts) == 2, "init lost": "b" in record.files,
        "content lost": record.files["a"].data == b"abc", "commit lost": record.files["a"].is_whole,
        "publish lost": record.is_published, "describe lost": record.title == "New",
    }[what]  # fmt: skip


@pytest.mark.parametrize("what", sorted(set(WRONG) - set(LOST)))
def test_what_went_wrong_in_production_happens(alice, repository, what):
    id = alice.draft()
    alice.put(id, "z", b"abc")
    alice.init(id, {"key": "a"})
    repository.goes_wrong(what)
    seen = []
    for ask in (
        lambda: alice.ask("PUT", f"/{id}/draft/files/a/content", data=b"abc", headers=STREAM),
        lambda: alice.ask("POST", f"/{id}/draft/files/a/commit"),
        lambda: alice.ask("GET", f"/{id}/draft/files/z/content"),
    ):
        try:
            answer = ask()
            seen.append((answer.status_code, answer.headers.get("Content-Type", "").partition(";")[0], answer.text[:3]))
        except requests.ConnectionError:
            seen.append(("cut", "", ""))
    right = [
        (200, "application/json", '{"c'),
        (200, "application/json", '{"c'),
        (200, "application/octet-stream", "abc"),
    ]
    assert seen != right or (what == "other bytes" and repository.records[id].files["a"].data != b"abc")
    repository.faults.clear()
    assert alice.ask("GET", f"/{id}/draft").status_code == 200


# == The same as the real one ===========================================================================


def shape(document: Any) -> Any:
    """A document without what is chance in it."""
    if isinstance(document, dict):
        return {name: shape(value) for name, value in document.items()} or "NoneType"
    if isinstance(document, list):
        return [shape(value) for value in document]
    return type(document).__name__


def more(ours: Any, real: Any, where: str = "") -> list[str]:
    """What one document has that the other one has not, or otherwise. Nothing may be built on that."""
    if isinstance(ours, dict) and isinstance(real, dict):
        return [
            line
            for name, value in ours.items()
            for line in (
                more(value, real[name], f"{where}.{name}") if name in real else [f"{where}.{name} is not there"]
            )
        ]
    if isinstance(ours, list) and isinstance(real, list):
        lines = [line for one, two in zip(ours, real) for line in more(one, two, f"{where}[]")]
        return lines + ([f"{where} has {len(ours)} for {len(real)}"] if len(ours) != len(real) else [])
    return [] if ours == real else [f"{where} is {ours} for {real}"]


def said(document: Any) -> str:
    """What an error says, without the number of the record."""
    return re.sub("[0-9a-z]{5}-[0-9a-z]{5}", "ID", str(document.get("errors") or document["message"]))


def talk(client: Client) -> dict[str, tuple[int, Any]]:
    """The same questions to a repository, and what it says: the status and the document."""
    told: dict[str, tuple[int, Any]] = {}

    def ask(what: str, method: str, path: str, document: Any = None, **others: Any) -> Any:
        answer = client.ask(method, path, document, **others)
        is_json = "json" in answer.headers.get("Content-Type", "")
        told[what] = (answer.status_code, answer.json() if is_json else None)
        return told[what][1]

    stream = {"headers": STREAM}
    id = ask("a draft", "POST", "", {"metadata": METADATA, "files": {"enabled": True}})["id"]
    draft = f"/{id}/draft"
    ask("a draft is read", "GET", draft)
    ask("a draft is no record", "GET", f"/{id}")
    ask("what lacks metadata", "POST", "", {})
    ask("metadata", "PUT", draft, {"metadata": {**METADATA, "creators": []}})
    ask("metadata again", "PUT", draft, {"metadata": METADATA})
    ask("no JSON", "PUT", draft, data=b"{", headers={"Content-Type": "application/json"})
    ask("an unknown key", "POST", f"{draft}/files", [{"key": "a", "bad": 1}])
    ask("an unknown transfer", "POST", f"{draft}/files", [{"key": "a", "transfer": {"type": "X"}}])
    ask("no parts", "POST", f"{draft}/files", [{"key": "a", "size": 5, "transfer": {"type": "M"}}])
    ask("no part_size", "POST", f"{draft}/files", [{"key": "a", "size": 5, "transfer": {"type": "M", "parts": 1}}])
    ask("files", "POST", f"{draft}/files", [{"key": "a"}, in_parts("dir/m", 5, 2), {"key": "x.zip"}, {"key": "no"}])
    ask("a file twice", "POST", f"{draft}/files", [{"key": "new"}, {"key": "a"}])
    ask("too many files", "POST", f"{draft}/files", [{"key": str(number)} for number in range(101)])
    ask("no content", "POST", f"{draft}/files/a/commit")
    ask("publish what is not whole", "POST", f"{draft}/actions/publish")
    ask("content", "PUT", f"{draft}/files/a/content", data=b"abc", **stream)
    ask("commit", "POST", f"{draft}/files/a/commit")
    ask("commit again", "POST", f"{draft}/files/a/commit")
    ask("a wrong part", "PUT", f"{draft}/files/dir/m/content/1", data=b"abc", **stream)
    ask("a part too many", "PUT", f"{draft}/files/dir/m/content/4", data=b"ab", **stream)
    for number, data in enumerate((b"ab", b"cd", b"e"), 1):
        ask(f"part {number}", "PUT", f"{draft}/files/dir/m/content/{number}", data=data, **stream)
    ask("commit of parts", "POST", f"{draft}/files/dir/m/commit")
    ask("a file", "GET", f"{draft}/files/dir/m")
    ask("no file", "GET", f"{draft}/files/nothing")
    ask("content of no file", "PUT", f"{draft}/files/nothing/content", data=b"abc", **stream)
    ask("commit of no file", "POST", f"{draft}/files/nothing/commit")
    ask("zip", "PUT", f"{draft}/files/x.zip/content", data=zipped(a=b"first"), **stream)
    ask("commit of zip", "POST", f"{draft}/files/x.zip/commit")
    ask("removed", "DELETE", f"{draft}/files/no")
    ask("removed again", "DELETE", f"{draft}/files/no")
    ask("files of a draft", "GET", f"{draft}/files")
    ask("published", "POST", f"{draft}/actions/publish")
    ask("published again", "POST", f"{draft}/actions/publish")
    ask("no draft", "GET", draft)
    ask("record", "GET", f"/{id}")
    ask("files of a record", "GET", f"/{id}/files")
    ask("content of a record", "GET", f"/{id}/files/a/content")
    ask("container", "GET", f"/{id}/files/x.zip/container")
    ask("member", "GET", f"/{id}/files/x.zip/container/dir/a")
    ask("no member", "GET", f"/{id}/files/x.zip/container/dir/b")
    ask("container of no zip", "GET", f"/{id}/files/a/container")
    new = ask("new version", "POST", f"/{id}/versions")["id"]
    ask("imported", "POST", f"/{new}/draft/actions/files-import")
    ask("latest", "GET", f"/{id}/versions/latest")
    ask("mine", "GET", f"{client.base}/api/user/records", params={"size": 1})
    ask("deleted", "DELETE", f"/{new}/draft")
    ask("what was deleted", "GET", f"/{new}/draft")
    ask("nothing", "GET", "/abcde-12345")
    twice = client.draft()
    client.put(twice, "a", b"abc")
    ask("sent again", "PUT", f"/{twice}/draft/files/a/content", data=b"abc", **stream)
    ask("what is left", "GET", f"/{twice}/draft/files")
    return told


@pytest.mark.long
def test_the_real_one_says_the_same(grid, repository, invenio):
    repository.switches.kind, repository.switches.required = "rdm", tuple(METADATA)
    ca = certificate(grid)
    ours = talk(Client(repository.base, ca, repository.token, "records"))
    real = talk(Client(invenio.base, ca, invenio.tokens["alice"], "records"))
    assert {what: status for what, (status, _) in ours.items()} == {what: status for what, (status, _) in real.items()}
    others = {what: more(shape(document), shape(real[what][1])) for what, (_, document) in ours.items()}
    assert {what: lines for what, lines in others.items() if lines} == {}
    refused = [what for what, (status, _) in ours.items() if status >= 400]
    assert {what: said(ours[what][1]) for what in refused} == {what: said(real[what][1]) for what in refused}
