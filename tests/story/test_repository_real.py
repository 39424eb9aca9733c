"""Records of a real Invenio that are fetched: public and restricted ones, drafts, versions, and members of zips."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pytest

from tests.grid import Grid
from tests.grid.invenio import Invenio
from tests.support.rdm import Client
from tests.support.reader import last
from tests.support.user import User, contents

pytestmark = pytest.mark.long
SMALL, LARGE = b"small\n" * 20, bytes(range(256)) * 12_000
FILES = {"a.txt": SMALL, "run 1/b#1.root": LARGE}
MEMBERS = {"a.txt": SMALL, "run 1/b.root": LARGE}


def zipped(members: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return made.getvalue()


class Visitor(User):
    """Who fetches records of the real one, with Alice's token or without."""

    def __init__(self, grid: Grid, folder: Path, invenio: Invenio):
        super().__init__(grid, folder)
        self.token = invenio.tokens["alice"]
        self.reader = invenio.tokens["reader"]
        self.client = Client(invenio, str(grid.pki.folder / "ca.pem"))
        (folder / "Grid.conf").write_text(
            f"[gridsync]\nSITE = RDM\nRETRIES = 1\nOUTPUTDIR = {self.data}\n"
            f"[RDM]\nSERVER = {invenio.base}/\nENGINE = invenio\nTOKEN = env:INVENIO_TOKEN\n"
        )

    def draft(self, files: dict[str, bytes], **more: Any) -> str:
        draft = self.client.draft("Collisions", **more)
        for name, data in files.items():
            self.client.put(draft, name, data)
        return draft

    def record(self, files: dict[str, bytes], **more: Any) -> dict[str, Any]:
        """A published one, as it is told."""
        return dict(self.client.publish(self.draft(files, **more)))

    def here(self) -> dict[str, bytes]:
        """What has come, but for the records themselves."""
        return {name: data for name, data in contents(self.data).items() if not name.endswith("/record.json")}


@pytest.fixture
def visitor(grid: Grid, invenio: Invenio, tmp_path: Path) -> Visitor:
    return Visitor(grid, tmp_path, invenio)


def test_a_public_record_comes_without_a_token(visitor):
    id = visitor.record(FILES)["id"]
    status, out, err = visitor(f"--input_dir={id} --sync --streams=2")
    assert (status, last(copied=3) in out) == (0, True), out + err
    assert visitor.here() == {f"{id}/{name}": data for name, data in FILES.items()}
    assert {row["verified"] for row in visitor.catalog().values()} == {"md5"}
    assert json.loads((visitor.data / id / "record.json").read_text())["metadata"]["title"] == "Collisions"
    assert last(skipped=3) in visitor("--sync").out


def test_a_restricted_one_comes_with_a_token_that_may_only_read(visitor):
    id = visitor.record(FILES, access={"record": "restricted", "files": "restricted"})["id"]
    status, _, err = visitor(f"--input_dir={id} --sync")
    assert (status, err.count("\n")) == (4, 1) and "is restricted" in err and "INVENIO_TOKEN is not set" in err
    status, out, err = visitor(f"--input_dir={id} --sync", INVENIO_TOKEN=visitor.reader)
    assert (status, last(copied=3) in out) == (0, True), out + err
    assert visitor.here() == {f"{id}/{name}": data for name, data in FILES.items()}


def test_a_draft_is_its_owners_alone(visitor):
    draft = visitor.draft(FILES)
    assert visitor(f"--ls_dir={draft}").status == 2
    status, out, err = visitor(f"--input_dir={draft} --sync", INVENIO_TOKEN=visitor.token)
    assert (status, last(copied=3) in out) == (0, True), out + err
    assert "is a draft of yours, which is not published" in out + err
    assert visitor.here() == {f"{draft}/{name}": data for name, data in FILES.items()}


def test_the_id_of_all_versions_is_the_latest(visitor):
    first = visitor.record({"a.txt": SMALL})
    second = visitor.client("POST", f"/records/{first['id']}/versions", 201)["id"]
    visitor.client.put(second, "b.txt", SMALL)
    visitor.client.publish(second)
    parent = first["parent"]["id"]
    status, out, err = visitor(f"--input_dir={parent} --sync")
    assert (status, last(copied=2) in out) == (0, True), out + err
    assert f"{parent} stands for all versions of a record; {second} is the latest" in out + err
    assert visitor.here() == {f"{second}/b.txt": SMALL}
    assert last(skipped=2) in visitor("--sync").out


def test_members_of_a_zip_come_one_by_one(visitor):
    id = visitor.record({"x.zip": zipped(MEMBERS), "evil.zip": zipped({"../evil": SMALL}), "no.zip": b"no zip"})["id"]
    status, out, err = visitor(f"--input_dir={id}/x.zip --sync")
    assert (status, last(copied=2) in out) == (0, True), out + err
    assert visitor.here() == {f"{id}/x.zip/{name}": data for name, data in MEMBERS.items()}
    assert visitor.catalog()[f"{id}/x.zip/a.txt"]["checksum"] == f"crc32:{zlib.crc32(SMALL):08x}"
    status, _, err = visitor(f"--ls_dir={id}/evil.zip")
    assert (status, err.count("\n")) == (1, 1) and "is not to be looked into" in err and "fetch the whole zip" in err
    status, _, err = visitor(f"--ls_dir={id}/no.zip")
    assert status != 0 and err.count("\n") == 1 and "no.zip" in err


def test_a_record_that_is_not_there_is_one_sentence(visitor):
    for id in ("aaaaa-bbbbb", "5500"):
        status, _, err = visitor(f"--ls_dir={id}")
        assert (status, err.count("\n")) == (2, 1) and f"{id}: the repository has no such record" in err
