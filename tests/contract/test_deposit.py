"""The verbs and the writer of a repository at a real Invenio, with files that are large for real."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gridsync_parts.doors import Sent, Stored
from gridsync_parts.doors.deposit import DepositWriter
from gridsync_parts.doors.drafts import WHOLE, Drafts
from gridsync_parts.doors.repository import Service
from gridsync_parts.errors import BadRequest, Exists, FileError, Forbidden, Full, NotFound
from gridsync_parts.pool import Stop
from gridsync_parts.put import Deliverer, Put
from gridsync_parts.table import Site
from gridsync_parts.values import Locality, Row
from tests.grid import Grid
from tests.grid.invenio import Invenio
from tests.support.constants import replace
from tests.support.places import Given

pytestmark = pytest.mark.long
KEY = "gridsync-{:032x}"
DELPHI = {"person_or_org": {"type": "organizational", "name": "DELPHI"}}
METADATA = {"title": "Title", "publication_date": "2020", "creators": [DELPHI], "resource_type": {"id": "dataset"}}
BODY = {"metadata": METADATA}


class Shop:
    """The server, and the door to it as a user."""

    def __init__(self, grid: Grid, invenio: Invenio, user: str = "alice"):
        self.site = Site("RDM", invenio.base, "", "invenio", "none", first_byte=60, silence=30)
        self.service = Service(self.site, Given(invenio.tokens[user]), grid.env["X509_CERT_DIR"])
        self.drafts = Drafts(self.service)
        self.writer = DepositWriter(self.drafts)

    def draft(self) -> str:
        record = self.drafts.create(KEY.format(0)).id
        assert self.drafts.describe(record, BODY) == {}
        return record

    def send(self, path: str, data: bytes) -> Stored:
        step = 1 << 20
        chunks = [memoryview(data)[at : at + step] for at in range(0, len(data), step)]
        return self.writer.write(path, Sent(len(data), lambda: iter(chunks)))


def md5(data: bytes) -> str:
    return f"md5:{hashlib.md5(data).hexdigest()}"


def large(size: int) -> bytes:
    return bytes(range(256)) * (size // 256) + b"x" * (size % 256)


@pytest.fixture
def shop(grid: Grid, invenio: Invenio) -> Iterator[Shop]:
    shop = Shop(grid, invenio)
    yield shop
    shop.service.close()


def test_a_record_is_made_filled_and_published(shop):
    draft = shop.drafts.create(KEY.format(1))
    assert [one.id for one in shop.drafts.find(KEY.format(1))] == [draft.id]
    assert shop.drafts.find(KEY.format(2)) == []
    said = shop.drafts.describe(draft.id, {"metadata": {"title": "Title", "bad": 1}})
    assert {"metadata.creators", "metadata.bad"} <= said.keys() and "files.enabled" not in said
    assert shop.drafts.describe(draft.id, BODY) == {}
    names = {"a b#?%.txt": b"hello", "dir/b": b"", "ü": b"x", "large": large(WHOLE + 5)}
    shop.drafts.announce(draft.id, {name: len(data) for name, data in names.items()})
    with pytest.raises(BadRequest, match="files: One or more files have not completed"):
        shop.drafts.publish(draft.id)
    for name, data in names.items():
        assert shop.send(f"{draft.id}/{name}", data).checksum == md5(data)
        assert shop.writer.stored(f"{draft.id}/{name}")[:2] == (len(data), md5(data))
    found = shop.drafts.look(draft.id)
    assert {name: file.checksum for name, file in found.files.items()} == {n: md5(data) for n, data in names.items()}
    assert found.title == "Title" and not found.is_published
    done = shop.drafts.publish(draft.id)
    assert done.is_published and done.page.endswith(draft.id)
    assert shop.drafts.publish(draft.id).is_published
    with pytest.raises(FileError, match="is published, and never changed"):
        shop.send(f"{draft.id}/more", b"x")
    version = shop.drafts.renew(draft.id)
    assert {name: file.checksum for name, file in version.files.items()} == {n: md5(d) for n, d in names.items()}
    assert shop.drafts.renew(draft.id).id == version.id != draft.id
    assert shop.writer.remove(f"{version.id}/ü") and shop.send(f"{version.id}/ü", b"other").checksum == md5(b"other")


@pytest.mark.parametrize("size", [(50 << 20) + 1, 100_000_000])
def test_a_large_file_comes_in_parts_of_50_mib(shop, invenio, size):
    record, data = shop.draft(), large(size)
    lines = len(invenio.log.read_text().splitlines())
    assert shop.send(f"{record}/a", data).checksum == md5(data)
    asked = "\n".join(invenio.log.read_text().splitlines()[lines:])
    assert "/content/1" in asked and "/content/2" in asked and "/content/3" not in asked
    assert shop.drafts.publish(record).is_published


def test_a_quota_that_is_used_up_is_named(shop, monkeypatch):
    replace(monkeypatch, "WHOLE", 10**9)
    with pytest.raises(Full, match="quota is used up"):
        shop.send(f"{shop.draft()}/a", large(101_000_000))


def test_what_is_awaited_in_another_way_is_announced_anew(shop):
    record = shop.draft()
    shop.drafts.announce(record, {"a": 5, "b": WHOLE + 5, "c": 3})
    shop.drafts.announce(record, {"a": WHOLE + 5, "b": 5, "c": 3})
    for name, data in {"a": large(WHOLE + 5), "b": b"hello", "c": b"abc"}.items():
        assert shop.send(f"{record}/{name}", data).checksum == md5(data)
        with pytest.raises(Exists):
            shop.send(f"{record}/{name}", data)
    assert len(shop.drafts.look(record).files) == 3


def test_who_may_not_write_is_told_which_right_is_missing(grid, invenio, shop):
    record = shop.draft()
    reader, bob = Shop(grid, invenio, "reader"), Shop(grid, invenio, "bob")
    for call in (
        lambda: reader.drafts.create(KEY.format(3)),
        lambda: reader.drafts.describe(record, BODY),
        lambda: reader.send(f"{record}/a", b"x"),
        lambda: reader.send(f"{record}/a", large(WHOLE + 1)),
    ):
        with pytest.raises(Forbidden, match="scope deposit:write"):
            call()
    with pytest.raises(Forbidden, match="refuses"):
        bob.drafts.look(record)


def test_a_draft_that_somebody_has_deleted_is_named(shop):
    record = shop.draft()
    shop.service.ask("DELETE", shop.drafts.url(record))
    for call in (
        lambda: shop.drafts.look(record),
        lambda: shop.drafts.describe(record, BODY),
        lambda: shop.drafts.announce(record, {"a": 5}),
        lambda: shop.send(f"{record}/a", b"x"),
        lambda: shop.drafts.publish(record),
    ):
        with pytest.raises(NotFound, match="perhaps somebody has deleted it"):
            call()


@pytest.mark.parametrize("size", [5, WHOLE + 5])
def test_bytes_that_were_spoilt_on_their_way_are_sent_again(shop, tmp_path, monkeypatch, size):
    record, data, file, left = shop.draft(), large(size), tmp_path / "a", [1]
    file.write_bytes(data)
    send = shop.service.send

    def spoil(url: str, sent: Sent, place: str) -> Any:
        """Have the server get other bytes, once."""
        if left and (left.pop() or True):
            return send(url, Sent(sent.size, lambda: (bytes(len(piece)) for piece in sent.chunks())), place)
        return send(url, sent, place)

    monkeypatch.setattr(shop.service, "send", spoil)
    assert deliver(shop, record, file, 2) == ("sent", "md5", md5(data))
    assert shop.drafts.look(record).files["a"].checksum == md5(data)


def deliver(shop: Shop, record: str, file: Path, attempts: int) -> tuple[str, str, str]:
    """Have a file there, in just so many attempts; what was done, and what it is verified by."""
    deliverer = Deliverer(shop.writer, False, Stop(), True, "md5")
    row = Row(f"{record}/a", file.stat().st_size, 0, "", Locality.ONLINE, False, "", "", "RDM", "", "")
    for _ in range(attempts - 1):
        with pytest.raises(FileError) as error:
            deliverer.deliver(Put(row, str(file), row.path, row.path in deliverer.open), lambda here, came: None)
        assert error.value.passing
    new, done = deliverer.deliver(Put(row, str(file), row.path, row.path in deliverer.open), lambda here, came: None)
    return done, new.verified, new.checksum
