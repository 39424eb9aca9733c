"""The verbs of a repository and the bytes that it is sent, at the stand-in: what goes well, and what went wrong."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest

from gridsync_parts import source
from gridsync_parts.doors import Sent, Stored
from gridsync_parts.doors.archive import Archive
from gridsync_parts.doors.deposit import DepositWriter
from gridsync_parts.doors.drafts import MOST_PARTS, PART, Drafts, part_size_of
from gridsync_parts.doors.repository import Service
from gridsync_parts.errors import (
    BadName,
    BadRequest,
    Changed,
    CredentialError,
    DoorError,
    Exists,
    FileError,
    Forbidden,
    Full,
    GridError,
    NotFound,
    TooMany,
    UsageError,
)
from gridsync_parts.pace import PACE, Backoff
from gridsync_parts.pool import Stop
from gridsync_parts.put import Deliverer, Put
from gridsync_parts.table import Site
from gridsync_parts.values import Locality, Row
from tests.grid import Grid
from tests.grid.repository import Repository
from tests.grid.web import Reply, json_reply
from tests.support.constants import replace
from tests.support.places import Given

KEY = "gridsync-0123456789abcdef0123456789abcdef"
BODY = {"metadata": {"title": "T", "publication_date": "2020", "creators": ["a"]}}
SMALL, LARGE = b"hello", bytes(range(250)) * 10  # with the limits of these tests
STEP = 1000  # bytes of a part


class Shop:
    """The stand-in, and the door to it."""

    def __init__(self, grid: Grid, repository: Repository, token: str | None = "", **keys: Any):
        self.repository = repository
        self.site = Site("NRP", repository.base, "", "invenio", "none", first_byte=30, silence=10)._replace(**keys)
        given = None if token is None else Given(token or repository.token)
        self.service = Service(self.site, given, grid.env["X509_CERT_DIR"])
        self.drafts = Drafts(self.service)
        self.writer = DepositWriter(self.drafts)

    def draft(self) -> str:
        """A new draft with all that it needs to be published, but for files."""
        draft = self.drafts.create(KEY)
        self.drafts.describe(draft.id, BODY)
        return draft.id

    def send(self, path: str, data: bytes) -> Stored:
        return self.writer.write(path, sent_of(data))

    def asked(self, method: str, end: str) -> list[Any]:
        """The requests that came for paths with this end."""
        return [one for one in self.repository.requests if one.method == method and one.path.endswith(end)]

    def has(self, record: str) -> dict[str, bytes | None]:
        """The files that the repository has whole."""
        return {name: held.data for name, held in self.repository.records[record].files.items() if held.is_whole}


def sent_of(data: bytes, piece: int = 300) -> Sent:
    """Bytes in pieces that do not fit the parts."""
    return Sent(len(data), lambda: iter([memoryview(data)[at : at + piece] for at in range(0, len(data), piece)]))


def md5(data: bytes) -> str:
    return f"md5:{hashlib.md5(data).hexdigest()}"


@pytest.fixture(autouse=True)
def limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small files, and short waits."""
    replace(monkeypatch, "WHOLE", 1000)
    replace(monkeypatch, "part_size_of", lambda size: STEP)
    replace(monkeypatch, "LOOKS", Backoff(0.05, 0.05))
    replace(monkeypatch, "STUCK", 0.5)
    replace(monkeypatch, "UNSUMMED", 0.3)
    replace(monkeypatch, "PACE", PACE._replace(call=Backoff(0.05, 0.05)))


@pytest.fixture
def shop(grid: Grid, repository: Repository) -> Iterator[Shop]:
    shop = Shop(grid, repository)
    yield shop
    shop.service.close()


# Records.


@pytest.mark.parametrize("kind", ["nrp", "rdm"])
def test_a_record_is_made_filled_and_published(shop, repository, kind):
    repository.switches.kind = kind
    draft = shop.drafts.create(KEY)
    assert (draft.is_published, draft.title) == (False, KEY)
    said = shop.drafts.describe(draft.id, {"metadata": {"title": "T", "publication_date": "2020"}})
    assert said == {"metadata.creators": "Missing data for required field."}
    assert shop.drafts.describe(draft.id, BODY) == {}
    names = {"a b#?%.txt": b"hello", "dir/b": b"", "ü": b"x"}
    shop.drafts.announce(draft.id, {name: len(data) for name, data in names.items()})
    assert len(shop.asked("POST", "/draft/files")) == 1
    for name, data in names.items():
        assert shop.send(f"{draft.id}/{name}", data) == shop.writer.stored(f"{draft.id}/{name}")
    found = shop.drafts.look(draft.id)
    assert {name: file.checksum for name, file in found.files.items()} == {n: md5(data) for n, data in names.items()}
    done = shop.drafts.publish(draft.id)
    assert done.is_published and done.page.endswith(draft.id)
    assert shop.drafts.look(draft.id)._replace(complaints={}) == done._replace(files=found.files)
    assert repository.records[draft.id].metadata == BODY["metadata"]


@pytest.mark.parametrize("server", ["", "/", "/api", "/api/"])
def test_server_may_be_the_page_or_the_api(grid, repository, server):
    assert Shop(grid, repository, server=repository.base + server).drafts.create(KEY).title == KEY


def test_without_a_token_nothing_is_made(grid, repository):
    shop = Shop(grid, repository, None)
    for call in (lambda: shop.drafts.create(KEY), lambda: shop.send("a/b", SMALL), lambda: shop.drafts.find(KEY)):
        with pytest.raises(CredentialError, match="set TOKEN in its section"):
            call()
    assert not repository.requests


@pytest.mark.parametrize("token", ["reader", "guest"])
def test_who_may_not_write_is_told_which_right_is_missing(grid, repository, shop, token):
    record = shop.draft()
    other = Shop(grid, repository, getattr(repository, token))
    other.drafts.state[record] = False
    calls = [lambda: other.drafts.create(KEY), lambda: other.send(f"{record}/a", SMALL)] * (token == "reader")
    for call in [*calls, lambda: other.drafts.describe(record, BODY)]:
        with pytest.raises(Forbidden, match=r"Permission denied.*may that token write \(scope deposit:write\)"):
            call()
    with pytest.raises(Forbidden, match=r"may that token publish \(scope deposit:actions\)"):
        other.drafts.publish(record)


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_that_is_nobodys_is_no_riddle(grid, repository, status):
    repository.switches.unknown_token = status
    with pytest.raises((CredentialError, Forbidden), match=r"token|TOKEN"):
        Shop(grid, repository, "nobodys-token-0123456789").drafts.create(KEY)


# Where its records are.


def well_known(repository: Repository, monkeypatch: pytest.MonkeyPatch, document: Any, models: Any = None) -> None:
    """Have it say something else of itself."""

    def answer(path: str) -> Reply:
        return json_reply(200, models if path.endswith("/models") else document)

    monkeypatch.setattr(repository, "_well_known", answer)


def model(repository: Repository, name: str, type: str = "") -> dict[str, Any]:
    links = {"records": f"{repository.base}/api/{name}", "drafts": f"{repository.base}/api/user/{name}"}
    return {"name": name, "type": type or name, "links": links}


def test_one_of_several_models_is_chosen(grid, repository, monkeypatch):
    links = {"models": f"{repository.base}/.well-known/repository/models"}
    several = [model(repository, "particles", "particle-type"), model(repository, "stars")]
    well_known(repository, monkeypatch, {"links": links}, several)
    with pytest.raises(UsageError, match=r"several kinds; set MODEL .* to one of particles, stars"):
        Shop(grid, repository).drafts.create(KEY)
    with pytest.raises(UsageError, match=r"no records of the kind planets; set MODEL .* to one of particles, stars"):
        Shop(grid, repository, model="planets").drafts.create(KEY)
    for name in ("particles", "particle-type"):
        assert Shop(grid, repository, model=name).drafts.create(KEY).id


@pytest.mark.first
@pytest.mark.parametrize("shape", ["list", "by name", "hits", "inside"])
def test_models_are_found_however_they_are_listed(grid, repository, monkeypatch, shape):
    one = model(repository, "particles")
    shapes = {"list": [one], "by name": {"particles": one}, "hits": {"hits": {"hits": [one]}}}
    links = {"models": "/.well-known/repository/models"}
    document = {"links": links} if shape != "inside" else {"models": [one]}
    well_known(repository, monkeypatch, document, shapes.get(shape))
    shop = Shop(grid, repository)
    assert shop.drafts.create(KEY).id
    assert Archive(shop.service, "").roots() == [f"{repository.base}/api/particles"]


@pytest.mark.parametrize(
    "link", ["https://evil.example/api/particles", "http://localhost/api/particles", "//x.example/"]
)
def test_the_token_goes_to_no_other_server_that_a_link_names(grid, repository, monkeypatch, link):
    one = {"name": "particles", "links": {"records": link}}
    well_known(repository, monkeypatch, {"models": [one]})
    with pytest.raises(DoorError, match="names an address of another server"):
        Shop(grid, repository).drafts.create(KEY)


@pytest.mark.first
@pytest.mark.parametrize("document", [[], {}, {"links": {}}, {"links": {"models": 5}}, {"models": [{"links": {}}]}, 7])
def test_what_says_nothing_of_its_records_is_named(grid, repository, monkeypatch, document):
    well_known(repository, monkeypatch, document)
    with pytest.raises(DoorError, match="does not say where its records are"):
        Shop(grid, repository).drafts.create(KEY)


# A draft is found again.


def test_a_draft_is_found_by_its_key_among_all(shop, repository):
    ids = [shop.drafts.create(KEY).id for _ in range(3)]
    shop.drafts.create(f"{KEY}0")
    shop.drafts.create(f"more {KEY}")
    repository.add(KEY, {"a": b""}, owner="alice")
    assert sorted(draft.id for draft in shop.drafts.find(KEY)) == sorted(ids)
    assert shop.drafts.find(KEY.replace("0", "1")) == []


def test_pages_of_a_search_are_followed(shop, repository, monkeypatch):
    replace(monkeypatch, "HITS", 3)
    for _ in range(8):
        shop.drafts.create(KEY)
    assert len(shop.drafts.find(KEY)) == 8


@pytest.mark.parametrize("search", ["missing", "forbidden"])
def test_where_drafts_cannot_be_searched_that_is_said(shop, repository, search):
    repository.switches.search = search
    shop.drafts.create(KEY)
    assert shop.drafts.find(KEY) is None


def test_a_search_that_is_not_understood_is_none(shop, repository):
    repository.faults.add("/api/user/*", 400)
    assert shop.drafts.find(KEY) is None
    assert len(shop.asked("GET", "/api/user/particles")) == 1


@pytest.mark.parametrize("status", [500, 503])
def test_a_search_that_fails_does_not_say_that_there_is_no_draft(shop, repository, status):
    repository.faults.add("/api/user/*", status)
    with pytest.raises(DoorError, match=str(status)):
        shop.drafts.find(KEY)
    assert len(shop.asked("GET", "/api/user/particles")) == 4


# What is published is never touched.


def test_nothing_is_sent_to_a_published_record(shop, repository):
    record = repository.add("T", {"a": b"one"}, owner="alice").id
    before = len(repository.requests)
    calls = [
        lambda: shop.drafts.describe(record, BODY),
        lambda: shop.drafts.announce(record, {"b": 1}),
        lambda: shop.send(f"{record}/b", SMALL),
        lambda: shop.writer.remove(f"{record}/a"),
    ]
    for call in calls:
        with pytest.raises(FileError, match="is published, and never changed; --new_version"):
            call()
    repository.shelf.edit(repository.records[record])  # its owner edits it in a browser
    with pytest.raises(FileError, match="is published, and never changed"):
        Shop.send(shop, f"{record}/b", SMALL)
    assert {one.method for one in repository.requests[before:]} == {"GET"}
    assert shop.writer.stored(f"{record}/a").checksum == md5(b"one")


def test_an_edited_record_is_published_all_the_same(shop, repository):
    record = repository.add("T", {"a": b"one"}, owner="alice")
    repository.shelf.edit(record)
    assert shop.drafts.look(record.id).is_published
    with pytest.raises(FileError, match="is published"):
        shop.drafts.describe(record.id, BODY)


def test_a_new_version_has_the_files_of_the_one_before(shop, repository):
    record = repository.add("T", {"a": b"one", "b": b"two"}, owner="alice").id
    for _ in range(2):  # the second time it is the same draft
        draft = shop.drafts.renew(record)
        assert not draft.is_published and draft.id != record
        assert {name: file.checksum for name, file in draft.files.items()} == {"a": md5(b"one"), "b": md5(b"two")}
    assert len(repository.drafts) == 1
    assert shop.writer.remove(f"{draft.id}/a") and shop.send(f"{draft.id}/a", b"other").checksum == md5(b"other")
    shop.drafts.describe(draft.id, BODY)
    assert shop.drafts.publish(draft.id).is_published
    assert shop.has(record) == {"a": b"one", "b": b"two"}


def test_a_record_without_files_has_a_new_version_without(shop, repository):
    record = repository.add("T", {}, owner="alice")
    record.body["files"] = record.published["files"] = {"enabled": True}
    assert shop.drafts.renew(record.id).files == {}


# What it says against a record.


def test_what_is_missing_when_it_is_published_is_said_by_field(shop):
    record = shop.drafts.create(KEY).id
    shop.drafts.announce(record, {"a": 5})
    with pytest.raises(BadRequest, match=r"metadata.creators: Missing data .*; files: One or more files have not"):
        shop.drafts.publish(record)


def test_a_draft_that_somebody_has_deleted_is_named(shop, repository):
    record = shop.draft()
    repository.delete(record)
    for call in (
        lambda: shop.drafts.look(record),
        lambda: shop.drafts.describe(record, BODY),
        lambda: shop.drafts.announce(record, {"a": 5}),
        lambda: shop.send(f"{record}/a", SMALL),
        lambda: shop.drafts.publish(record),
    ):
        with pytest.raises(NotFound, match=r"no such draft or file .*perhaps somebody has deleted it"):
            call()


@pytest.mark.first
@pytest.mark.parametrize("when", ["init", "content", "part", "commit", "publish"])
def test_a_draft_that_is_deleted_in_the_middle_ends_in_a_sentence(shop, repository, when):
    record = shop.draft()
    repository.switches.deletes_at = when
    with pytest.raises(FileError, match="somebody has deleted it"):
        shop.send(f"{record}/a", LARGE if when == "part" else SMALL)
        shop.drafts.publish(record)
    assert not repository.published


def test_an_answer_that_is_lost_makes_no_second_publishing(shop, repository):
    record = shop.draft()
    shop.send(f"{record}/a", SMALL)
    repository.goes_wrong("publish lost")
    with pytest.raises(DoorError) as lost:
        shop.drafts.publish(record)
    assert lost.value.passing
    assert shop.drafts.publish(record).is_published


@pytest.mark.parametrize("what", ["503", "500s", "html instead of JSON", "429 without a time"])
def test_what_may_pass_says_so(shop, repository, what):
    record = shop.draft()
    repository.goes_wrong(what, count=1)
    with pytest.raises(DoorError) as error:
        shop.drafts.look(record)
    assert error.value.passing and "\n" not in str(error.value) and "<" not in str(error.value)


def test_more_files_than_a_record_may_have_are_named(shop, repository):
    repository.switches.max_files = 3
    with pytest.raises(TooMany, match=r"takes fewer files in a record .*see ZIP_ABOVE"):
        shop.drafts.announce(shop.draft(), {str(number): 5 for number in range(4)})


# Announcements.


def test_what_is_announced_already_is_not_announced_again(shop, repository):
    record = shop.draft()
    shop.drafts.announce(record, {"a": 5, "b": 2500})
    shop.send(f"{record}/a", SMALL)
    shop.drafts.announce(record, {"a": 7, "b": 2500, "c": 1})
    rows = [json.loads(one.body) for one in shop.asked("POST", "/draft/files")]
    assert [[row["key"] for row in some] for some in rows] == [["a", "b"], ["c"]]
    shop.drafts.announce(record, {"b": 2500})
    assert len(shop.asked("POST", "/draft/files")) == 2 and not shop.asked("DELETE", "b")


@pytest.mark.parametrize(("before", "after"), [(5, 6), (5, 2500), (2500, 5), (2500, 2501)])
def test_what_is_awaited_in_another_way_is_announced_anew(shop, repository, before, after):
    record = shop.draft()
    shop.drafts.announce(record, {"a": before})
    shop.drafts.announce(record, {"a": after})
    data = bytes(after)
    assert shop.send(f"{record}/a", data).checksum == md5(data) and shop.has(record) == {"a": data}


def test_an_announcement_whose_answer_was_lost_holds(shop, repository):
    record = shop.draft()
    repository.goes_wrong("init lost")
    with pytest.raises(DoorError):
        shop.drafts.announce(record, {"a": 5})
    shop.drafts.announce(record, {"a": 5, "b": 5})
    assert sorted(repository.records[record].files) == ["a", "b"]


def test_who_else_announces_files_meanwhile_is_no_obstacle(shop, repository, monkeypatch):
    record = shop.draft()
    files = shop.drafts.files
    monkeypatch.setattr(shop.drafts, "files", lambda record, is_draft: {})
    shop.drafts.state[record] = False
    Shop.send(shop, f"{record}/a", SMALL)
    monkeypatch.setattr(
        shop.drafts,
        "files",
        lambda record, is_draft: files(record, is_draft) if shop.asked("POST", "/files")[1:] else {},
    )
    shop.drafts.announce(record, {"a": 5, "b": 5})
    assert sorted(repository.records[record].files) == ["a", "b"] and shop.has(record) == {"a": SMALL}


# Parts.


def test_the_parts_of_files_are_large_and_not_too_many(monkeypatch):
    for size in (PART + 1, MOST_PARTS * PART, MOST_PARTS * PART + 1, 10**13):
        step = part_size_of(size)
        assert step >= 50 << 20 and -(-size // step) <= 10_000


@pytest.mark.parametrize("size", [1001, 2000, 2500, 3001])
def test_large_files_come_in_parts_each_as_long_as_all_but_the_last(shop, size):
    record, data = shop.draft(), (LARGE * 2)[:size]
    told = shop.send(f"{record}/a", data)
    assert told.checksum == md5(data) and shop.has(record) == {"a": data}
    asked = [one for one in shop.repository.requests if "/content/" in one.path]
    assert [int(one.headers["content-length"]) for one in asked] == [
        min(STEP, size - at) for at in range(0, size, STEP)
    ]
    assert {one.weight for one in asked} == {5}


@pytest.mark.parametrize("parts", ["refused", "refused at init", "unknown"])
def test_where_parts_are_refused_all_is_sent_whole(shop, repository, parts):
    repository.switches.parts = parts
    record = shop.draft()
    shop.drafts.announce(record, {"a": 2500, "b": 2500, "c": 5})
    for name in "ab":
        assert shop.send(f"{record}/{name}", LARGE).checksum == md5(LARGE)
    assert shop.has(record) == {"a": LARGE, "b": LARGE}
    assert len([one for one in repository.requests if "/content/" in one.path]) == (parts == "refused")


def test_a_token_without_the_right_is_not_taken_for_parts_that_are_refused(grid, repository, shop):
    record = shop.draft()
    reader = Shop(grid, repository, repository.reader)
    reader.drafts.state[record] = False
    with pytest.raises(Forbidden, match="scope deposit:write"):
        reader.send(f"{record}/a", LARGE)
    assert reader.drafts.takes_parts


def test_a_part_whose_line_broke_goes_again_and_no_other(shop, repository):
    record = shop.draft()
    repository.faults.add("*/content/2", 503, count=2)
    assert shop.send(f"{record}/a", LARGE).checksum == md5(LARGE)
    numbers = [one.path.rpartition("/")[2] for one in repository.requests if "/content/" in one.path]
    assert numbers == ["1", "2", "2", "2", "3"]


def test_a_part_that_was_not_taken_is_no_success(shop, repository, monkeypatch):
    record = shop.draft()
    monkeypatch.setattr(repository.shelf, "take_part", lambda *_: False)
    with pytest.raises(FileError, match=r"has not taken it .*File upload transfer failed") as error:
        shop.send(f"{record}/a", LARGE)
    assert error.value.passing and not shop.asked("POST", "/commit")


def test_parts_may_go_to_another_server_which_is_shown_nothing(grid, shop, repository, monkeypatch):
    came: dict[str, bytes] = {}

    def store(request: Any) -> Reply:
        came[request.path.rpartition("/")[2]] = b"".join(request.pieces())
        held = repository.records[record].files["a"]
        held.data = b"".join(data for _, data in sorted(came.items()))
        return Reply(200, b"")

    record = shop.draft()
    shop.drafts.announce(record, {"a": 2500})
    monkeypatch.setattr(repository, "_stored", store)
    for part in shop.drafts.known[record]["a"]["links"]["parts"]:
        part["url"] = f"{repository.storage}/bucket/{part['part']}?X-Amz-Signature=1"
    assert shop.send(f"{record}/a", LARGE).checksum == md5(LARGE)
    assert b"".join(came.values()) == LARGE and not repository.secrets_elsewhere()


# Bytes, and what becomes of them.


def test_a_name_that_a_whole_file_has_is_taken(shop):
    record = shop.draft()
    shop.send(f"{record}/a", SMALL)
    with pytest.raises(Exists):
        shop.send(f"{record}/a", b"other")
    assert shop.has(record) == {"a": SMALL}


@pytest.mark.parametrize("path", ["", "a", "a/", "/a"])
def test_a_file_outside_a_record_is_refused(shop, path):
    with pytest.raises(BadName, match="name it as ID/NAME"):
        shop.send(path, SMALL)


def test_what_was_not_announced_is(shop):
    record = shop.draft()
    assert shop.send(f"{record}/a", SMALL).checksum == md5(SMALL)


@pytest.mark.parametrize("what", ["commit 404", "commit lost"])
def test_a_commit_without_a_good_answer_is_looked_at(shop, repository, what):
    record = shop.draft()
    repository.goes_wrong(what)
    assert shop.send(f"{record}/a", SMALL).checksum == md5(SMALL)
    assert len(shop.asked("PUT", "/content")) == 1


@pytest.mark.parametrize("status", [404, 500])
def test_a_commit_that_never_comes_to_anything_is_sent_again(shop, repository, status):
    record = shop.draft()
    repository.faults.add("*/commit", status)
    with pytest.raises(FileError) as error:
        shop.send(f"{record}/a", SMALL)
    assert error.value.passing and len(shop.asked("POST", "/commit")) == 3
    with pytest.raises(NotFound):
        shop.writer.stored(f"{record}/a")
    repository.faults.clear()
    assert shop.writer.remove(f"{record}/a") and not shop.writer.remove(f"{record}/a")
    assert shop.send(f"{record}/a", SMALL).checksum == md5(SMALL)


def test_a_file_that_takes_a_while_is_waited_for(shop, repository):
    repository.switches.commit_polls = 2
    assert shop.send(f"{shop.draft()}/a", SMALL).checksum == md5(SMALL)


def test_a_file_that_is_stuck_is_given_up_for_now(shop, repository):
    repository.switches.commit_polls = float("inf")
    with pytest.raises(FileError, match="does not get it ready") as error:
        shop.send(f"{shop.draft()}/a", SMALL)
    assert error.value.passing


@pytest.mark.parametrize("checksum", [None, "multipart"])
def test_a_file_without_an_md5_is_told_by_its_size(shop, repository, checksum):
    repository.switches.checksum = checksum
    record = shop.draft()
    told = shop.send(f"{record}/a", SMALL)
    assert told[:2] == (5, "") and told.mtime
    looks = len(shop.asked("GET", "/a"))
    assert looks > 2
    shop.send(f"{record}/b", SMALL)
    assert len(shop.asked("GET", "/b")) == 1  # whether it is there; nobody waits in vain a second time


@pytest.mark.parametrize("quota_at", ["content", "init"])
def test_a_quota_that_is_used_up_is_named(shop, repository, quota_at):
    repository.switches.quota, repository.switches.quota_at = 3, quota_at
    with pytest.raises(Full, match="no room for it, or your quota is used up") as error:
        shop.send(f"{shop.draft()}/a", SMALL)
    assert not error.value.passing


def test_a_file_that_is_too_large_is_named(shop, repository):
    repository.switches.max_size = 3
    with pytest.raises(FileError, match="takes no file of this size") as error:
        shop.send(f"{shop.draft()}/a", SMALL)
    assert not error.value.passing


def test_what_cannot_be_read_ends_it_at_once(shop):
    record = shop.draft()

    def broken() -> Iterator[bytes]:
        yield LARGE[:1200]
        raise FileError("cannot be read")

    with pytest.raises(FileError, match="cannot be read"):
        shop.writer.write(f"{record}/a", Sent(2500, broken))
    for size in (2499, 2501):
        with pytest.raises(Changed):
            shop.writer.write(f"{record}/{size}", Sent(size, lambda: iter([LARGE])))
    assert not shop.asked("POST", "/commit")


def test_it_renames_nothing_and_has_no_folders(shop):
    with pytest.raises(FileError, match="renames nothing"):
        shop.writer.rename("a/b", "a/c", True)
    assert shop.writer.folder("a") is False


# By the one who brings files.


def deliver(shop: Shop, folder: Path, data: bytes, attempts: int = 2) -> tuple[Row, str, Deliverer]:
    """Have a file there, in so many attempts."""
    file = folder / "a"
    file.write_bytes(data)
    record = shop.draft()
    deliverer = Deliverer(shop.writer, False, Stop(), True, "md5")
    row = Row(f"{record}/a", len(data), 0, "", Locality.ONLINE, False, "", "", "NRP", "", "")
    for attempt in range(1, attempts + 1):
        try:
            job = Put(row, str(file), row.path, row.path in deliverer.open)
            return (*deliverer.deliver(job, lambda here, came: None), deliverer)
        except GridError as error:
            if attempt == attempts or not error.passing:
                raise
    raise AssertionError


@pytest.mark.parametrize("data", [SMALL, LARGE, b""])
def test_a_file_is_verified_by_the_md5_and_read_once(shop, tmp_path, monkeypatch, data):
    def again(*_: Any) -> str:
        raise AssertionError("it is read a second time")

    monkeypatch.setattr(source, "checksum_of", again)
    row, done, _ = deliver(shop, tmp_path, data, 1)
    assert (done, row.verified, row.checksum) == ("sent", "md5", md5(data))


@pytest.mark.first
@pytest.mark.parametrize("data", [SMALL, LARGE])
@pytest.mark.parametrize("what", ["spoils", "other bytes", "content lost", "cut in the middle", "commit lost"])
def test_what_does_not_arrive_as_it_was_is_sent_again(shop, repository, tmp_path, data, what):
    if what == "spoils":
        repository.switches.spoils = 1
    else:
        repository.goes_wrong(what)
    row, done, deliverer = deliver(shop, tmp_path, data)
    assert (done, row.verified, row.checksum) == ("sent", "md5", md5(data))
    assert shop.has(row.path.partition("/")[0]) == {"a": data} and not deliverer.open


# A budget for all.


def together(threads: int, call: Callable[[], object]) -> None:
    """Have so many threads do the same, whatever comes of it."""

    def quietly() -> None:
        with contextlib.suppress(GridError):
            call()

    running = [threading.Thread(target=quietly) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join(60)
        assert not thread.is_alive()


@pytest.mark.parametrize("says_when", [True, False])
def test_threads_together_never_ask_more_than_the_server_says(grid, repository, says_when):
    switches = repository.switches
    switches.rate, switches.window, switches.says_when = 30, 1.0, says_when
    shop = Shop(grid, repository)
    record, names = shop.draft(), iter(range(100))
    shop.drafts.announce(record, {str(number): 5 for number in range(24)})
    together(6, lambda: [shop.send(f"{record}/{next(names)}", SMALL) for _ in range(4)])
    assert len(shop.has(record)) == 24 and len(repository.requests) > 50
    assert 429 not in [one.status for one in repository.log]


def test_a_repository_that_fails_too_often_is_left_alone_and_then_asked_by_one(shop, repository, monkeypatch):
    record = shop.draft()
    replace(monkeypatch, "FAILING", 8)
    replace(monkeypatch, "REST", 1.2)
    repository.faults.add("/api/*", 500)
    began = len(repository.requests)

    def insisting() -> None:
        for _ in range(4):
            try:
                shop.drafts.look(record)
                break
            except DoorError:
                if len(repository.requests) - began > 14:  # it has rested, and one has gone ahead in vain
                    repository.faults.clear()

    together(6, insisting)
    times = [one.time for one in repository.requests[began:]]
    rests = [at for at, (before, after) in enumerate(zip(times, times[1:]), 1) if after - before > 1.0]
    assert rests and 8 <= rests[0] <= 8 + 5  # those that were on their way then
    assert all(later - earlier == 1 for earlier, later in zip(rests, rests[1:]))  # one alone goes ahead each time
    assert shop.drafts.look(record).id == record


@pytest.mark.parametrize(("weight", "most"), [(5, 5), (12, 10)])
def test_no_more_is_on_its_way_than_it_may_weigh(grid, repository, weight, most):
    shop = Shop(grid, repository, weight=weight)
    record, names = shop.draft(), iter(range(100))

    def slow() -> Iterator[bytes]:
        for at in range(0, len(LARGE), 250):
            time.sleep(0.03)
            yield LARGE[at : at + 250]

    together(6, lambda: shop.writer.write(f"{record}/{next(names)}", Sent(len(LARGE), slow)))
    assert max(one.weight for one in repository.requests) == most and len(shop.has(record)) == 6


def test_a_file_takes_two_requests(shop, repository):
    record = shop.draft()
    shop.drafts.announce(record, {str(number): 5 for number in range(9)})
    before = len(repository.requests)
    for number in range(9):
        shop.send(f"{record}/{number}", SMALL)
    assert len(repository.requests) - before == 18
