"""Records of a repository that are fetched: what a user types, sees and finds."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from pathlib import Path

import pytest

import gridsync
from gridsync_parts.errors import GridError
from tests.grid import Grid
from tests.grid.drafts import Held, Record
from tests.grid.repository import Repository
from tests.support.reader import last
from tests.support.user import HASTY, Result, User, contents

SMALL, LARGE = b"small\n" * 20, bytes(range(256)) * 12_000
FILES = {"a.txt": SMALL, "run 1/b.root": LARGE, "c.root": b""}


def md5(data: bytes) -> str:
    return f"md5:{hashlib.md5(data).hexdigest()}"


def zipped(members: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return made.getvalue()


class Visitor(User):
    """Who fetches records of the stand-in, with a token or without."""

    def __init__(self, grid: Grid, folder: Path, repository: Repository):
        super().__init__(grid, folder)
        self.changed = HASTY
        self.repository = repository
        (folder / "Grid.conf").write_text(
            f"[gridsync]\nSITE = NRP\nRETRIES = 1\nOUTPUTDIR = {self.data}\n"
            f"[NRP]\nSERVER = {repository.server}\nENGINE = invenio\nTOKEN = env:INVENIO_TOKEN\n"
        )

    def as_alice(self, line: str) -> Result:
        return self(line, INVENIO_TOKEN=self.repository.token)

    def here(self) -> dict[str, bytes]:
        """What has come, but for the records themselves."""
        return {name: data for name, data in contents(self.data).items() if not name.endswith("/record.json")}


@pytest.fixture
def visitor(grid: Grid, repository: Repository, tmp_path: Path) -> Visitor:
    return Visitor(grid, tmp_path, repository)


def draft_of(repository: Repository, title: str, files: dict[str, bytes]) -> Record:
    """A draft of Alice's."""
    body = {"metadata": {"title": title}, "files": {"enabled": True}}
    draft = repository.shelf.create("alice", repository.model, body)
    draft.files = {key: Held(key, data=data, is_whole=True) for key, data in files.items()}
    return draft


# Fetching.


@pytest.mark.parametrize("kind", ["nrp", "rdm"])
def test_a_public_record_comes_without_a_token_and_is_verified(visitor, kind):
    visitor.repository.switches.kind = kind
    record = visitor.repository.add("Run 5500", FILES)
    status, out, err = visitor(f"--input_dir={record.id} --sync")
    assert (status, last(copied=4) in out) == (0, True), out + err
    assert visitor.here() == {f"{record.id}/{name}": data for name, data in FILES.items()}
    rows = visitor.catalog()
    assert rows[f"{record.id}/a.txt"]["checksum"] == md5(SMALL)
    assert {row["verified"] for row in rows.values() if row["size"] != "0"} == {"md5"}
    asked = [one.path for one in visitor.repository.requests]
    assert sum(path.endswith(record.id) for path in asked) == 1 and sum(path.endswith("/files") for path in asked) == 1
    assert last(skipped=4) in visitor("--sync").out
    assert not [one for one in visitor.repository.requests if "authorization" in one.headers]


def test_the_record_itself_comes_with_it_and_stays_the_same(visitor):
    record = visitor.repository.add("Run 5500", {"a.txt": SMALL}, description="a run")
    assert visitor(f"--input_dir={record.id} --sync").status == 0
    path = visitor.data / record.id / "record.json"
    text = path.read_bytes()
    told = json.loads(text)
    assert told["metadata"]["description"] == "a run" and told["id"] == record.id
    assert told.keys() == {"id", "created", "metadata", "access", "files", "parent"}
    assert told["files"] == {"enabled": True}
    record.revision, record.updated = 7, record.updated + 1000
    assert last(skipped=2) in visitor("--sync").out and path.read_bytes() == text


def test_a_file_of_that_name_keeps_it(visitor):
    own = b'{"metadata": {"recid": "5500"}}'
    record = visitor.repository.add("Run 5500", {"record.json": own})
    assert visitor(f"--input_dir={record.id} --sync").status == 0
    folder = visitor.data / record.id
    assert (folder / "record.json").read_bytes() == own
    assert json.loads((folder / "repository.json").read_text())["metadata"]["title"] == "Run 5500"


@pytest.mark.parametrize("ranges", [True, False])
def test_what_was_cut_off_is_gone_on_with_or_comes_anew(visitor, ranges):
    visitor.repository.switches.ranges = ranges
    record = visitor.repository.add("Large", {"b.root": LARGE})
    visitor.repository.faults.add("*/content", "truncate", count=1)
    status, out, err = visitor(f"--input_dir={record.id} --sync")
    assert (status, last(copied=2) in out) == (0, True), out + err
    assert visitor.here() == {f"{record.id}/b.root": LARGE}
    again = [one.headers.get("range", "") for one in visitor.repository.requests if one.path.endswith("/content")]
    assert any(again) and (len(again) == 2 or not ranges)


def test_spoilt_bytes_are_never_taken(visitor):
    record = visitor.repository.add("Run", {"b.root": LARGE})
    visitor.repository.goes_wrong("wrong bytes", count=20)
    status, _, err = visitor(f"--input_dir={record.id} --sync")
    assert status == 1 and f"the door says {md5(LARGE)}, but what arrived has md5:" in err
    assert visitor.here() == {}


def test_bytes_from_another_host_come_without_the_token(visitor):
    visitor.repository.switches.bytes_at = "elsewhere"
    record = visitor.repository.add("Run", FILES, access="restricted")
    status, out, err = visitor.as_alice(f"--input_dir={record.id} --sync --streams=2")
    assert (status, last(copied=4) in out) == (0, True), out + err
    assert visitor.here() == {f"{record.id}/{name}": data for name, data in FILES.items()}
    assert visitor.repository.asked(role="storage") and not visitor.repository.secrets_elsewhere()
    assert "Signature" not in out + err


def test_a_token_is_not_sent_where_a_link_leads(visitor):
    """What the repository names as the address of a record may be anything."""
    record = visitor.repository.add("Run", {"a.txt": SMALL})
    visitor.repository.faults.add("*/files", "moved", to=visitor.repository.storage)
    status, _, err = visitor.as_alice(f"--input_dir={record.id} --sync")
    assert status != 0 and "your credentials are not sent there" in err
    assert not visitor.repository.secrets_elsewhere()


# Who may see what.


def test_a_restricted_record_wants_a_token(visitor):
    record = visitor.repository.add("Secret", {"a.txt": SMALL}, access="restricted")
    status, _, err = visitor(f"--input_dir={record.id} --sync")
    assert (status, err.count("\n")) == (4, 1) and "is restricted" in err and "INVENIO_TOKEN is not set" in err
    other = visitor(f"--ls_dir={record.id}", INVENIO_TOKEN=visitor.repository.guest)
    assert "may the owner of your token see it" in other.err
    assert visitor.as_alice(f"--input_dir={record.id} --sync").status == 0
    assert visitor.here() == {f"{record.id}/a.txt": SMALL}


def test_without_token_in_grid_conf_it_is_said_where_to_put_it(visitor):
    conf = visitor.folder / "Grid.conf"
    conf.write_text(conf.read_text().replace("TOKEN = env:INVENIO_TOKEN\n", ""))
    record = visitor.repository.add("Secret", {"a.txt": SMALL}, access="restricted")
    assert "a token may open it: set TOKEN in [NRP] of Grid.conf" in visitor(f"--ls_dir={record.id}").err


def test_a_token_that_is_none_ends_it_with_the_words_of_the_repository(visitor):
    visitor.repository.switches.unknown_token = 401
    record = visitor.repository.add("Run", {"a.txt": SMALL})
    status, _, err = visitor(f"--ls_dir={record.id}", INVENIO_TOKEN="nonsense")
    assert (status, err.count("\n")) == (3, 1) and "The server could not verify that you are authorized" in err
    assert '{"' not in err and "nonsense" not in err


def test_a_draft_comes_too_and_is_said_to_be_one(visitor):
    draft = draft_of(visitor.repository, "Soon", {"a.txt": SMALL})
    assert "no such record" in visitor(f"--ls_dir={draft.id}").err
    status, out, err = visitor.as_alice(f"--input_dir={draft.id} --sync")
    assert (status, last(copied=2) in out) == (0, True), out + err
    assert f"{draft.id} is a draft of yours, which is not published" in out + err
    assert visitor.here() == {f"{draft.id}/a.txt": SMALL}
    draft.files["b.txt"] = Held("b.txt", data=SMALL)
    status, _, err = visitor.as_alice("--sync")
    assert status == 1 and "b.txt has not come to the repository wholly" in err


@pytest.mark.parametrize(
    ("status", "text", "gives", "says"),
    [
        (410, '{"message": "gone", "tombstone": {"removal_reason": {"id": "spam"}, "removal_date": "2026-01-02T"}}', 2,
         "the repository has removed it (2026-01-02, spam)"),
        (404, "<html><title>404 Not Found</title></html>", 2, "the repository has no such record"),
        (503, '{"message": "Down for now"}', 4, "the repository answers 503 (Down for now)"),
        (200, "<html><title>Maintenance</title></html>", 4, "the repository sends a page (Maintenance) and no JSON"),
        (200, "[]", 4, "the repository's answer makes no sense (it has no id)"),
    ],
)  # fmt: skip
def test_what_the_repository_refuses_is_one_sentence(visitor, status, text, gives, says):
    record = visitor.repository.add("Run", {"a.txt": SMALL})
    visitor.repository.faults.add(f"*/{record.id}*", status, text=text)
    found, _, err = visitor(f"--input_dir={record.id} --build_list")
    assert (found, err.count("\n")) == (gives, 1) and says in err, err


def test_files_under_embargo_say_until_when(visitor):
    record = visitor.repository.add("Later", {"a.txt": SMALL})
    embargo = {"active": True, "until": "2030-01-01", "reason": "espionage"}
    record.published["access"] = {"record": "public", "files": "restricted", "embargo": embargo}
    status, _, err = visitor(f"--input_dir={record.id} --sync")
    assert (status, err.count("\n")) == (4, 1)
    assert "its files are under embargo until 2030-01-01 (espionage); a token may open it" in err


def test_a_rate_that_is_used_up_is_waited_for(visitor):
    record = visitor.repository.add("Run", {"a.txt": SMALL})
    visitor.repository.goes_wrong("429")
    assert visitor(f"--input_dir={record.id} --sync").status == 0


# Words.


@pytest.mark.long
def test_pages_and_several_records_are_names_too(visitor):
    one, other = visitor.repository.add("One", {"a.txt": SMALL}), visitor.repository.add("Other", {"b.txt": SMALL})
    base = visitor.repository.base
    for page in ("particles/records/{}", "records/{}", "uploads/{}", "api/particles/{}", "records/{}/files"):
        status, out, err = visitor(f"--ls_dir={base}/{page.format(one.id)}")
        assert (status, "a.txt" in out) == (0, True), out + err
    found = visitor(f"--ls_dir={base}/records/{one.id}/files/a.txt?download=1")
    assert found.status == 0 and "record.json" not in found.out
    assert visitor(f"--input_dir={one.id}:{other.id} --sync").status == 0
    assert visitor.here() == {f"{one.id}/a.txt": SMALL, f"{other.id}/b.txt": SMALL}
    status, out, _ = visitor(f"--ls_dir={one.id}:{other.id}")
    assert status == 0 and "Other (1 file(s)" in out
    assert "give one like" in visitor(f"--ls_dir={base}/help").err


def test_a_page_and_a_folder_are_a_whole_line(visitor):
    record = visitor.repository.add("One", {"a.txt": SMALL})
    status, out, err = visitor(f"{visitor.repository.base}/records/{record.id} {visitor.folder}/here")
    assert (status, last(copied=2) in out) == (0, True), out + err
    assert (visitor.folder / "here" / record.id / "a.txt").read_bytes() == SMALL


@pytest.mark.long
def test_a_doi_is_found_by_the_id_in_it(visitor):
    record = visitor.repository.add("One", {"a.txt": SMALL})
    doi = f"10.1234/repository.{record.id}"
    record.published["metadata"]["doi"] = doi
    for word in (doi, f"doi:{doi}", f"https://doi.org/{doi}"):
        status, out, err = visitor(f"--ls_dir={word}")
        assert (status, "a.txt" in out) == (0, True), out + err
    assert visitor(f"--input_dir={doi} --sync").status == 0
    assert visitor.here() == {f"{record.id}/a.txt": SMALL}
    status, _, err = visitor("--ls_dir=10.1234/none")
    assert (status, err.count("\n")) == (2, 1) and "10.1234/none: the repository has no record with this DOI" in err


def test_a_search_finds_records(visitor):
    records = [visitor.repository.add(f"Run {number}", {"a.txt": SMALL}) for number in range(30)]
    status, out, err = visitor("--ls_dir=?q=Run")
    assert (status, "30 record(s) are found by ?q=Run" in out + err) == (0, True), out + err
    assert all(record.id in out for record in records)
    assert "the search finds no record" in visitor("--ls_dir=?nothing").err
    assert "a repository is searched by words alone; leave out type" in visitor("--ls_dir=?q=Run&type=x").err


# Names.


def test_names_that_cannot_be_right_are_named_and_nothing_escapes(visitor):
    odd = {"../up": SMALL, "/etc/x": SMALL, "a/../b": SMALL, "c": SMALL, "c/d": SMALL}
    record = visitor.repository.add("Odd", {**odd, "good": SMALL})
    status, _, err = visitor(f"--input_dir={record.id} --sync")
    assert status == 1 and visitor.here() == {f"{record.id}/good": SMALL, f"{record.id}/c/d": SMALL}
    assert err.count("cannot be right; it is left out") == 3 and "c is a file, and a folder of other files" in err
    assert sorted(path.name for path in visitor.folder.iterdir() if path.is_dir()) == ["data"]


# Zips.

MEMBERS = {"a.txt": SMALL, "run 1/b#1.root": LARGE, "empty": b""}


def test_members_of_a_zip_come_one_by_one(visitor):
    record = visitor.repository.add("Zipped", {"x.zip": zipped(MEMBERS), "y.txt": SMALL})
    status, out, _ = visitor(f"--ls_dir={record.id}")
    assert status == 0 and "x.zip" in out and "Folder" not in out
    status, out, _ = visitor(f"--ls_dir={record.id}/x.zip")
    assert status == 0 and "a.txt" in out and "y.txt" not in out
    status, out, err = visitor(f"--input_dir={record.id}/x.zip --sync")
    assert (status, last(copied=3) in out) == (0, True), out + err
    assert visitor.here() == {f"{record.id}/x.zip/{name}": data for name, data in MEMBERS.items()}
    assert visitor.catalog()[f"{record.id}/x.zip/a.txt"]["checksum"] == f"crc32:{zlib.crc32(SMALL):08x}"
    assert {row["verified"] for row in visitor.catalog().values() if row["size"] != "0"} == {"crc32"}


def test_several_zips_are_folders_as_well(visitor):
    record = visitor.repository.add("Zipped", {f"{number}.zip": zipped({"a.txt": SMALL}) for number in range(6)})
    names = [f"{record.id}/{number}.zip" for number in range(6)]
    assert visitor(f"--input_dir={':'.join(names)} --sync").status == 0
    assert visitor.here() == {f"{name}/a.txt": SMALL for name in names}


def test_one_folder_of_a_zip_comes_alone(visitor):
    record = visitor.repository.add("Zipped", {"x.zip": zipped(MEMBERS)})
    assert visitor(f"--input_dir='{record.id}/x.zip/run 1' --sync").status == 0
    assert visitor.here() == {f"{record.id}/x.zip/run 1/b#1.root": LARGE}


def test_a_member_does_not_escape(visitor):
    record = visitor.repository.add("Evil", {"x.zip": zipped({"../../evil": SMALL, "/abs": SMALL, "good": SMALL})})
    status, _, err = visitor(f"--input_dir={record.id}/x.zip --sync")
    assert status == 1 and err.count("cannot be right; it is left out") == 2
    assert visitor.here() == {f"{record.id}/x.zip/good": SMALL}
    assert not list(visitor.folder.rglob("evil"))


def test_without_container_routes_a_zip_is_a_file(visitor):
    visitor.repository.switches.containers = False
    whole = zipped(MEMBERS)
    record = visitor.repository.add("Zipped", {"x.zip": whole, "y.txt": SMALL})
    assert visitor(f"--input_dir={record.id}/x.zip --sync").status == 0
    assert visitor.here() == {f"{record.id}/x.zip": whole}


def test_a_zip_that_cannot_be_looked_into_says_so(visitor):
    record = visitor.repository.add("Broken", {"x.zip": b"no zip"})
    said = '{"status": 400, "message": "No extractor found."}'
    visitor.repository.faults.add("*/container", 400, text=said)
    status, _, err = visitor(f"--ls_dir={record.id}/x.zip")
    says = "is not to be looked into, the repository answers 400 (No extractor found.); fetch the whole zip"
    assert (status, err.count("\n")) == (1, 1) and says in err


@pytest.mark.long
def test_a_zip_and_its_members_do_not_get_into_each_others_way(visitor):
    whole = zipped(MEMBERS)
    record = visitor.repository.add("Zipped", {"x.zip": whole})
    assert visitor(f"--input_dir={record.id} --sync").status == 0
    status, _, err = visitor(f"--input_dir={record.id}/x.zip --sync")
    assert status != 0 and "Traceback" not in err
    assert visitor.here() == {f"{record.id}/x.zip": whole}
    status, _, err = visitor(f"--input_dir={record.id}/x.zip --output_dir={visitor.folder}/other/ --overwrite --sync")
    assert "Traceback" not in err and (visitor.folder / "other" / record.id / "x.zip/a.txt").read_bytes() == SMALL
    status, _, err = visitor(f"--input_dir={record.id} --output_dir={visitor.folder}/other/ --overwrite --sync")
    assert status != 0 and "Traceback" not in err and "x.zip" in err
    assert (visitor.folder / "other" / record.id / "x.zip/a.txt").read_bytes() == SMALL


# Beside copying.


def test_python_reads_it_too(visitor, monkeypatch):
    record = visitor.repository.add("Run", {**FILES, "x.zip": zipped(MEMBERS)})
    monkeypatch.setenv("X509_CERT_DIR", visitor.env["X509_CERT_DIR"])
    monkeypatch.delenv("INVENIO_TOKEN", raising=False)
    with gridsync.open_site("NRP", conf=visitor.folder / "Grid.conf") as site:
        assert [entry.path for entry in site.ls(record.id)][:2] == [f"{record.id}/a.txt", f"{record.id}/c.root"]
        assert f"{record.id}/x.zip/a.txt" in [entry.path for entry in site.ls(f"{record.id}/x.zip")]
        site.get(f"{record.id}/a.txt", visitor.folder / "got")
        with site.open(f"{record.id}/a.txt") as file:
            assert file.read() == SMALL
        with pytest.raises(GridError, match="no such record"):
            site.ls("nowhere")
    assert [path.read_bytes() for path in (visitor.folder / "got").rglob("a.txt")] == [SMALL]


def test_the_doctor_and_the_status_know_that_no_token_is_needed(visitor):
    record = visitor.repository.add("Run", {"a.txt": SMALL})
    status, out, _ = visitor(f"--doctor --input_dir={record.id}")
    assert status == 0 and "token         none, which is enough for public records: env:INVENIO_TOKEN" in out
    assert f"2 entries in {record.id}" in out
    status, out, _ = visitor("--proxy_status")
    assert status == 0 and "The site NRP is shown nothing, for public records: env:INVENIO_TOKEN" in out
    assert "shown because" not in out
    status, out, _ = visitor.as_alice("--proxy_status")
    assert status == 0 and "token from          : env:INVENIO_TOKEN" in out
    assert "nothing, for public records" in visitor("--from=list").out


def test_a_folder_of_the_site_is_refused(visitor):
    conf = visitor.folder / "Grid.conf"
    conf.write_text(conf.read_text() + "BASE_DIR_ON_GRID = x\n")
    assert "a repository has records and no folders; remove it" in visitor("--ls_dir=a").err
