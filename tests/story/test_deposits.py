"""--put to a repository: each folder becomes a record, once, whatever happens on the way."""

from __future__ import annotations

import csv
import json
import os
import random
import re
import signal
import ssl
import time
import uuid
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import Request, urlopen

import pytest

from tests.grid import Grid
from tests.grid.invenio import Invenio
from tests.grid.repository import Record, Repository
from tests.support.user import HASTY, Result, User, contents, wait_until

METADATA = {"title": "Hits", "creators": [{"person_or_org": {"type": "organizational", "name": "DELPHI"}}]}
METADATA = {**METADATA, "publication_date": "2026", "resource_type": {"id": "dataset"}}
LOST = ("init", "content", "commit", "describe")
KEY = "gridsync-[0-9a-f]{32}"


class Depositor(User):
    """A user with folders that are to become records."""

    def __init__(self, grid: Grid, folder: Path, base: str, token: str):
        super().__init__(grid, folder)
        self.changed = HASTY
        self.env["NRP_TOKEN"] = token
        for key, value in {"SERVER": base, "ENGINE": "invenio", "TOKEN": "env:NRP_TOKEN"}.items():
            self.set(key, value, "NRP")
        self.set("CA_DIR", grid.env["X509_CERT_DIR"], "NRP")
        self.data.mkdir()

    def fill(self, name: str, count: int = 2, size: int = 1000, **metadata: object) -> Path:
        """A folder with some files and a record.json."""
        folder = self.data / name
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            (folder / f"f{number}.root").write_bytes(os.urandom(size))
        self.describe(folder / "record.json", **{"title": f"Run {name}", **metadata})
        return folder

    def describe(self, path: Path, **metadata: object) -> None:
        """A file of metadata."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"metadata": {**METADATA, **metadata}}))

    def put(self, more: str = "", what: str = "data") -> Result:
        """Deposit it."""
        return self(self.line(more, what))

    def line(self, more: str = "", what: str = "data") -> str:
        return f"--put={self.folder / what} --from=NRP {more}"

    def noted(self) -> list[dict[str, str]]:
        """The rows of records in grid_uploads.csv."""
        with (self.folder / "grid_uploads.csv").open(newline="") as file:
            return [row for row in csv.DictReader(file) if re.fullmatch(KEY, row["target"])]

    def bytes(self, name: str) -> dict[str, bytes]:
        """The files of a folder."""
        return contents(self.data / name)


def bytes_of(record: Record) -> dict[str, bytes]:
    """The files that the repository has of a record, all of them whole."""
    assert all(held.is_whole for held in record.files.values())
    return {name: held.data for name, held in record.files.items()}


@pytest.fixture
def user(grid: Grid, repository: Repository, tmp_path: Path) -> Depositor:
    return Depositor(grid, tmp_path, repository.base, repository.token)


def counts(text: str) -> dict[str, int]:
    """What the line about records counts."""
    (line,) = re.findall("^Records: (.*)$", text, re.M)
    return {name: int(number) for name, number in re.findall(r"(\w+): (\d+)", line)}


# One record.


def test_a_folder_becomes_a_draft_and_is_published_only_if_asked(user, repository):
    user.fill("5500")
    status, out, err = user.put("--verbose", "data/5500")
    assert status == 0, out + err
    (draft,) = repository.drafts
    assert not repository.published and bytes_of(draft) == user.bytes("5500") and draft.title == "Run 5500"
    (row,) = user.noted()
    assert (row["record"], row["verified"], row["path"]) == (draft.id, "draft", str(user.data / "5500"))
    assert counts(out) == {"published": 0, "draft": 1, "skipped": 0, "failed": 0}
    assert f"5500: is a draft: {draft.id}, 3 files, " in out and f"/uploads/{draft.id}" in out
    sent = len(repository.asked(method="PUT"))
    status, out, err = user.put("--publish", "data/5500")
    assert (status, counts(out)["published"]) == (0, 1), out + err
    assert [record.id for record in repository.published] == [draft.id] and not repository.drafts
    assert len(repository.asked(method="PUT")) == sent  # nothing was sent again, not even what describes it
    status, out, err = user.put("--publish", "data/5500")
    assert (status, counts(out)) == (0, {"published": 0, "draft": 0, "skipped": 1, "failed": 0})
    assert len(repository.records) == 1


def test_what_was_sent_and_is_here_no_more_is_taken_out_of_the_draft(user, repository):
    folder = user.fill("5500", count=4)
    assert user.put("", "data/5500")[0] == 0
    (folder / "f0.root").unlink()
    assert user.put("", "data/5500")[0] == 0
    (draft,) = repository.drafts
    assert bytes_of(draft) == user.bytes("5500")
    user.set("ZIP_ABOVE", "2", "NRP")
    status, out, err = user.put("--publish", "data/5500")
    assert status == 0, out + err
    assert list(bytes_of(repository.published[0])) == ["record.json", "5500_bundle.zip"]


def test_a_model_that_is_none_is_a_matter_of_the_settings(user, repository):
    user.fill("5500")
    user.set("MODEL", "nothing", "NRP")
    status, _, err = user.put("", "data/5500")
    assert status == 2 and "makes no records of the kind nothing; set MODEL" in err and not repository.drafts


def test_zenodo_is_asked_for_the_form_that_all_have(user, repository):
    repository.switches.kind, repository.switches.old_form = "rdm", True
    user.fill("5500")
    status, out, err = user.put("--publish", "data/5500")
    assert status == 0, out + err
    (record,) = repository.published
    status, out, err = user(f"--from=NRP --input_dir={record.id} --output_dir={user.folder}/back --sync")
    assert status == 0, out + err
    assert (user.folder / "back" / record.id / "f0.root").read_bytes() == (user.data / "5500/f0.root").read_bytes()


def test_what_describes_it_may_lie_elsewhere_and_a_file_may_be_a_record(user, repository):
    path = user.data / "one.root"
    path.write_bytes(b"1234")
    user.describe(user.folder / "one.json", title="One")
    status, out, err = user.put(f"--metadata={user.folder}/one.json --publish", "data/one.root")
    assert status == 0, out + err
    (record,) = repository.published
    assert bytes_of(record) == {"one.root": b"1234"} and record.title == "One"


def test_the_intent_is_noted_before_the_draft_is_asked_for_and_its_id_before_its_first_byte(user, repository):
    user.fill("5500", size=200_000)
    repository.switches.create_seconds = 1.0
    with user.running(user.line("", "data/5500")) as run:
        wait_until(lambda: any(one.method == "POST" for one in repository.requests))
        (row,) = user.noted()
        assert row["record"] == "" and re.fullmatch(KEY, row["target"])
        run.kill()
    repository.switches.create_seconds = 0
    wait_until(lambda: repository.drafts)
    assert repository.drafts[0].title == row["target"]
    status, out, err = user.put("", "data/5500")
    assert status == 0, out + err
    (draft,) = repository.drafts
    assert draft.title == "Run 5500" and bytes_of(draft) == user.bytes("5500")


@pytest.mark.parametrize("what", ["draft", "publish", *(pytest.param(one, marks=pytest.mark.long) for one in LOST)])
def test_an_answer_that_is_lost_makes_no_second_record(user, repository, what):
    user.fill("5500")
    repository.goes_wrong(f"{what} lost")
    user.put("--publish", "data/5500")
    status, out, err = user.put("--publish", "data/5500")
    assert status == 0, out + err
    assert [bytes_of(record) for record in repository.published] == [user.bytes("5500")] and not repository.drafts


@pytest.mark.parametrize("what", ["missing", pytest.param("forbidden", marks=pytest.mark.long)])
def test_where_drafts_cannot_be_searched_the_orphan_that_may_be_is_named(user, repository, what):
    user.fill("5500")
    repository.switches.search = what
    repository.switches.create_seconds = 1.0
    with user.running(user.line("", "data/5500")) as run:
        wait_until(lambda: any(one.method == "POST" for one in repository.requests))
        run.kill()
    repository.switches.create_seconds = 0
    wait_until(lambda: repository.drafts)
    (row,) = user.noted()
    status, out, err = user.put("", "data/5500")
    assert status == 0 and f"one with the title {row['target']} may be left there" in err, out + err
    assert len(repository.drafts) == 2


def test_a_spoilt_file_is_sent_again_and_never_published(user, repository):
    user.fill("5500")
    repository.switches.spoils = 1
    status, out, err = user.put("--publish", "data/5500")
    assert status == 0, out + err
    assert [bytes_of(record) for record in repository.published] == [user.bytes("5500")]
    user.fill("5501")
    repository.switches.spoils = 1000
    status, out, err = user.put("--publish", "data/5501")
    assert status == 1 and len(repository.published) == 1, out + err


def test_files_of_others_in_a_draft_are_named_and_nothing_is_published(user, repository):
    user.fill("5500")
    user.put("", "data/5500")
    (draft,) = repository.drafts
    draft.files["alien.txt"] = type(next(iter(draft.files.values())))("alien.txt", data=b"x", is_whole=True)
    status, out, err = user.put("--publish", "data/5500")
    assert status == 1 and "alien.txt" in err and not repository.published, out + err


def test_a_draft_that_somebody_has_deleted_is_named_and_the_next_run_makes_a_new_one(user, repository):
    user.fill("5500")
    user.put("", "data/5500")
    repository.delete(repository.drafts[0].id)
    status, out, err = user.put("--publish", "data/5500")
    assert status == 1 and "is gone: somebody else has deleted it" in err and not repository.published, out + err
    status, out, err = user.put("--publish", "data/5500")
    assert status == 0 and len(repository.published) == 1, out + err


@pytest.mark.long
def test_what_has_changed_here_goes_into_the_draft(user, repository):
    folder = user.fill("5500")
    user.put("", "data/5500")
    (folder / "f0.root").write_bytes(b"other")
    user.describe(folder / "record.json", title="Other")
    status, out, err = user.put("", "data/5500")
    assert status == 0, out + err
    (draft,) = repository.drafts
    assert bytes_of(draft) == user.bytes("5500") and draft.title == "Other"


# Versions.


def test_a_published_record_is_never_touched(user, repository):
    folder = user.fill("5500")
    user.put("--publish", "data/5500")
    before = bytes_of(repository.published[0])
    (folder / "f0.root").write_bytes(b"other")
    status, out, err = user.put("--publish", "data/5500")
    assert status == 1 and "--new_version makes a new version" in err, out + err
    assert bytes_of(repository.published[0]) == before and not repository.drafts


@pytest.mark.parametrize("told", [None, "multipart"])
def test_where_no_md5_is_told_what_was_sent_has_not_changed_since(user, repository, told):
    folder = user.fill("5500")
    repository.switches.checksum = told
    assert user.put("--publish", "data/5500").status == 0
    status, out, err = user.put("--publish", "data/5500")
    assert (status, counts(out)["skipped"]) == (0, 1), out + err
    (folder / "f0.root").write_bytes(os.urandom(1000))
    status, _, err = user.put("--publish", "data/5500")
    assert status == 1 and "has changed since: f0.root; --new_version" in err


def test_a_new_version_keeps_what_is_the_same(user, repository):
    folder = user.fill("5500", count=3)
    user.put("--publish", "data/5500")
    (first,) = repository.published
    before = bytes_of(first)
    (folder / "f0.root").write_bytes(b"other")
    (folder / "f1.root").unlink()
    (folder / "new.root").write_bytes(b"new")
    repository.requests.clear()
    status, out, err = user.put("--publish --new_version", "data/5500")
    assert status == 0, out + err
    assert bytes_of(first) == before
    (second,) = [record for record in repository.published if record is not first]
    assert bytes_of(second) == user.bytes("5500") and second.parent == first.parent
    sent = {one.path.rpartition("/files/")[2] for one in repository.asked(method="PUT") if "/content" in one.path}
    assert sent == {"f0.root/content", "new.root/content"}
    status, out, err = user.put("--publish --new_version", "data/5500")  # nothing has changed since
    assert (status, counts(out)["skipped"], len(repository.records)) == (0, 1, 2), out + err


def test_other_metadata_of_a_published_record_are_told_of_and_go_into_a_new_version_alone(user, repository):
    folder = user.fill("5500")
    assert user.put(f"--metadata={user.folder}/m.json --publish", "data/5500")[0] == 2  # there is no such file
    user.describe(user.folder / "m.json", title="One")
    line = f"--metadata={user.folder}/m.json --publish"
    assert user.put(line, f"data/{folder.name}")[0] == 0
    (record,) = repository.published
    user.describe(user.folder / "m.json", title="Two")
    status, _, err = user.put(line, "data/5500")
    assert status == 0 and f"5500: its metadata are others than those published as {record.id}; --new_version" in err
    assert [one.title for one in repository.published] == ["One"]
    assert user.put(f"{line} --new_version", "data/5500")[0] == 0
    assert sorted(one.title for one in repository.published) == ["One", "Two"]


def test_records_that_others_may_have_written_down_are_not_gone_on_with(user, repository):
    user.fill("5500")
    assert user.put("", "data/5500")[0] == 0
    (draft,) = repository.drafts
    stranger = repository.add("Somebody's", {"theirs": b"1"})
    path = user.folder / "grid_uploads.csv"
    path.write_text(path.read_text().replace(draft.id, stranger.id))
    path.chmod(0o666)
    sent = len(repository.requests)
    status, _, err = user.put("--publish", "data/5500")
    assert status == 2 and "no record is gone on with, as others can write" in err and err.count("\n") == 1
    assert {one.method for one in repository.requests[sent:]} <= {"GET"} and not draft.is_published


@pytest.mark.long
def test_a_record_of_elsewhere_is_named_for_its_new_version(user, repository):
    user.fill("5500")
    old = repository.add("Old", {"f0.root": b"old"})
    status, out, err = user.put(f"--publish --new_version --input_dir={old.id}", "data/5500")
    assert status == 0, out + err
    (new,) = [record for record in repository.published if record is not old]
    assert new.parent == old.parent and bytes_of(new) == user.bytes("5500")


@pytest.mark.parametrize("named", ["a/b", "no-such", "draft"])
def test_a_record_that_is_named_wrongly_is_not_noted(user, repository, named):
    user.fill("5499")
    user.fill("5500")
    assert user.put("", "data/5499").status == 0
    (other,) = repository.drafts
    line = f"--publish --new_version --input_dir={other.id if named == 'draft' else named}"
    status, out, err = user.put(line, "data/5500")
    assert status == 1 and ("is a draft" if named == "draft" else "correct --input_dir") in err, out + err
    assert [row["path"] for row in user.noted()] == [str(user.data / "5499")] and not repository.published
    status, _, err = user.put(line.replace(other.id, "x"), "data/5499")
    assert status == 1 and f"5499: has the draft {other.id}" in err
    assert user.put("--publish", "data/5499").status == 0 and [one.id for one in repository.published] == [other.id]


def test_a_folder_has_one_record_by_whatever_links_it_is_named(user, repository):
    user.fill("5500")
    (user.folder / "way").symlink_to(user.data)
    (user.folder / "alias").symlink_to(user.data / "5500")
    for what in ("data/5500", "way/5500", "alias", "way"):
        assert user.put("--publish", what).status == 0
    assert len(repository.records) == 1


OTHER, NOT_YET = '{"id": "other", "is_published": true}', '{"id": "ID", "is_published": false}'


@pytest.mark.parametrize("said", [OTHER, NOT_YET, "", "null"])
def test_a_record_counts_as_published_once_the_repository_has_it_so(user, repository, said):
    user.fill("5500")
    assert user.put("", "data/5500").status == 0
    (draft,) = repository.drafts
    repository.faults.add("*/actions/publish", 202, method="POST", text=said.replace("ID", draft.id), count=1)
    status, out, err = user.put("--publish", "data/5500")
    assert status == 1 and f"{draft.id}: the repository was asked to publish it, but has not done so" in err, out + err
    assert [row["verified"] for row in user.noted()] == ["draft"]
    assert user.put("--publish", "data/5500").status == 0 and len(repository.published) == 1


DEEP, TORN = "[" * 50_000, '"http://[x"'
ENTRY = '"key": "f0.root", "status": "pending"'
TRANSFERS = ('"M"', '{"type": "M"}', '{"type": "M", "part_size": 0}', '{"type": "M", "part_size": "x"}')
SENSELESS = [
    ("/api/particles", 400, DEEP),
    ("/.well-known/repository", 200, '{"links": "x"}'),
    ("/.well-known/repository", 200, f'{{"links": {{"models": {TORN}}}}}'),
    ("*/draft/files", 200, f'{{"entries": [{{"key": "f0.root"}}], "links": {{"next": {TORN}}}}}'),
    *(("*/draft/files", 201, f'{{"entries": [{{{ENTRY}, "transfer": {one}, "links": [7]}}]}}') for one in TRANSFERS),
]


@pytest.mark.parametrize(("path", "status", "text"), SENSELESS, ids=range(len(SENSELESS)))
def test_answers_that_make_no_sense_are_no_fault_of_gridsync(user, repository, path, status, text):
    user.fill("5500")
    repository.faults.add(path, status, text=text)
    done = user.put("--publish", "data/5500")
    assert done.status in (1, 4) and "a fault of gridsync" not in done.err and not repository.published, done.err


def test_without_a_published_record_there_is_no_new_version(user, repository):
    user.fill("5500")
    status, out, err = user.put("--new_version", "data/5500")
    assert status == 1 and "--input_dir=ID" in err and not repository.records, out + err


# Bad input, before anything is asked of the site.


@pytest.mark.parametrize(
    ("text", "said"),
    [("{", "no JSON"), ("[1]", "no JSON object"), ('{"a": 1, "a": 2}', "twice"), (None, "no such file")],
)
def test_metadata_that_cannot_be_read_are_refused(user, repository, text, said):
    user.fill("5500")
    if text:
        (user.folder / "m.json").write_text(text)
    status, out, err = user.put(f"--metadata={user.folder}/m.json", "data/5500")
    assert status == 2 and said in err and not repository.requests, out + err


def test_too_many_files_are_refused_with_the_remedy(user, repository):
    user.set("ZIP_ABOVE", "0", "NRP")
    user.fill("5500", count=100, size=1)
    status, out, err = user.put("", "data/5500")
    assert status == 2 and "101 files" in err and "ZIP_ABOVE = 20" in err and not repository.requests, out + err


def test_a_hook_that_raises_is_named(user, repository):
    user.fill("5500")
    (user.folder / "hook.py").write_text("def fill(source, name):\n    raise KeyError('x')\n")
    user.set("METADATA_HOOK", "hook.py:fill", "NRP")
    status, out, err = user.put("", "data/5500")
    assert status == 2 and "KeyError" in err and not repository.requests, out + err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--put=data/5500 --from=LYON --input_dir=x --publish", "the site LYON is none"),
        ("--from=NRP --metadata=m.json --ls_dir=1", "means nothing without --put"),
        ("--put=data --from=NRP", "needs metadata"),
        ("--put=data/5500 --from=NRP --input_dir=abc", "--new_version"),
    ],
)
def test_options_that_make_no_sense_are_refused(user, repository, line, said):
    user.fill("5500")
    if said == "needs metadata":
        (user.data / "5500/record.json").unlink()
    status, out, err = user(re.sub(r"\bdata\b", str(user.data), line))
    assert status == 2 and said in err and not repository.requests, out + err


def test_what_the_repository_says_against_metadata_is_shown_by_field(user, repository):
    user.fill("5500", title="")
    repository.switches.refuses = {"metadata.title": "Missing data for required field."}
    status, out, err = user.put("--publish", "data/5500")
    assert status == 1 and "metadata.title: Missing data for required field." in err, out + err
    assert not repository.published and not [one for one in repository.requests if "/files" in one.path]


def test_a_token_without_the_scope_is_one_sentence(user, repository):
    user.fill("5500")
    user.env["NRP_TOKEN"] = repository.reader
    status, out, err = user.put("", "data/5500")
    assert status in (3, 4) and not repository.records, out + err
    assert sum(line.startswith("gridsync.py: ") for line in err.splitlines()) == 1


def test_a_full_quota_leaves_nothing_published(user, repository):
    user.fill("5500", count=3, size=100_000)
    repository.switches.quota = 150_000
    status, out, err = user.put("--publish", "data/5500")
    assert status in (1, 4) and not repository.published and "quota" in err.lower(), out + err
    assert "5500: " in err


# Many records.


def test_folders_go_in_the_order_of_the_hook_and_a_bad_one_is_named(user, repository):
    for name in ("1", "2", "3", "4"):
        user.fill(name)
    (user.data / "3/record.json").write_text("{")
    (user.data / "bare").mkdir()
    hook = "def fill(source, name):\n    return source\ndef order(source, name):\n    return -int(name)\n"
    (user.folder / "hook.py").write_text(hook)
    user.set("METADATA_HOOK", "hook.py:fill", "NRP")
    status, out, err = user.put("--publish --json")
    assert status == 1 and "data/3/record.json" in err, out + err
    said = json.loads(out)
    assert {one["name"]: one["state"] for one in said["records"]} == {
        "1": "published", "2": "published", "3": "failed", "4": "published",
    }  # fmt: skip
    assert sorted(record.title for record in repository.published) == ["Run 1", "Run 2", "Run 4"]


@pytest.mark.long
def test_metadata_may_lie_in_a_folder_of_their_own(user, repository):
    user.fill("1")
    user.fill("2")
    for name in ("1", "9"):
        user.describe(user.folder / f"metadata/{name}.json", title=f"Told {name}")
    status, out, err = user.put(f"--metadata={user.folder}/metadata --publish")
    assert status == 0 and "9.json: describes no folder" in err, out + err
    assert sorted(record.title for record in repository.published) == ["Run 2", "Told 1"]


def test_more_files_than_zip_above_go_as_one_zip(user, repository):
    user.set("ZIP_ABOVE", "5", "NRP")
    folder = user.fill("5500", count=8)
    before = user.bytes("5500")
    status, out, err = user.put("", "data/5500")
    assert status == 0, out + err
    (draft,) = repository.drafts
    files = bytes_of(draft)
    assert sorted(files) == ["5500_bundle.zip", "record.json"]
    with zipfile.ZipFile(BytesIO(files["5500_bundle.zip"])) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {
            name: data for name, data in before.items() if name != "record.json"
        }
    assert user.bytes("5500") == before and sorted(path.name for path in user.data.iterdir()) == ["5500"]
    sent = len(repository.asked(method="PUT"))
    status, out, err = user.put("--publish", "data/5500")
    assert (status, len(repository.published)) == (0, 1), out + err
    assert len(repository.asked(method="PUT")) == sent
    (folder / "f1.root").write_bytes(b"other")
    assert user.put("--publish", "data/5500").status == 1
    status, out, err = user.put("--publish --new_version", "data/5500")
    assert status == 0 and len(repository.published) == 2, out + err


def test_a_zip_that_was_fetched_is_not_taken_for_one_that_was_built(user, repository):
    try:
        os.setxattr(user.data, "user.any", b"x")
    except OSError:
        pytest.skip("the disk of the tests has no attributes of files")
    user.set("ZIP_ABOVE", "2", "NRP")
    user.fill("5500", count=4)
    assert user.put("--publish", "data/5500").status == 0
    (record,) = repository.published
    assert user(f"--from=NRP --input_dir={record.id} --output_dir={user.folder}/back --sync").status == 0
    top = user.folder / "back" / record.id
    fetched = top / "5500_bundle.zip"
    with zipfile.ZipFile(fetched) as archive:
        archive.extractall(top / "5500")
    before = fetched.read_bytes()
    line = f"--put={top}/5500 --metadata={top}/record.json --from=NRP"
    status, out, err = user(line)
    assert fetched.read_bytes() == before
    assert status == 1 and "is not a zip that gridsync has built" in err, out + err


def test_a_dry_run_tells_what_would_be_sent_and_changes_nothing(user, repository):
    user.set("ZIP_ABOVE", "5", "NRP")
    user.fill("1")
    user.fill("2", count=8)
    status, out, err = user.put("--dry_run --publish")
    assert status == 0 and not repository.requests, out + err
    assert '"title": "Run 1"' in out and "2_bundle.zip, a zip of 8 files" in out
    assert "(DRY RUN) would make 2 record(s) of 12 files" in out and "publish" in out
    assert not (user.folder / "grid_uploads.csv").exists()


@pytest.mark.long
def test_the_stats_file_has_a_line_for_each_record(user, repository):
    user.fill("1")
    user.fill("2")
    (user.data / "2/record.json").write_text("{")
    user.put(f"--stats={user.folder}/s.jsonl --publish")
    lines = [json.loads(line) for line in (user.folder / "s.jsonl").read_text().splitlines()]
    (record,) = [line for line in lines if line["file_count"] is not None and line["status"] == "ok"]
    assert record["key"] == repository.published[0].id and record["file_count"] == 3 and record["zip_used"] is False
    assert record["bytes"] == sum(line["bytes"] for line in lines if line["file_count"] is None) > 2000
    (failed,) = [line for line in lines if line["status"] == "failed"]
    assert failed["key"] == "2" and "record.json" in failed["error"]
    report = user(f"--stats={user.folder}/s.jsonl --report={user.folder}/p.html").out
    assert re.search(r"Files moved +3 ", report) and re.search(r"Records deposited +1 +1 failed", report), report
    assert re.search(r"Failures by reason.*\n +1 .*cannot be used", report), report


@pytest.mark.long
def test_two_runs_at_once_are_kept_apart(user, repository):
    user.fill("5500")
    repository.switches.create_seconds = 3.0
    with user.running(user.line("", "data/5500")) as run:
        wait_until(lambda: repository.requests)
        assert user.put("", "data/5500").status == 6
        run.wait(60)
    assert len(repository.drafts) == 1


# Kills.


def complete(user: Depositor, repository: Repository, names: list[str]) -> None:
    """Run once more, and find one published record of each folder."""
    status, out, err = user.put("--publish")
    assert status == 0, out + err
    titles = {record.title: bytes_of(record) for record in repository.published}
    assert titles == {f"Run {name}": user.bytes(name) for name in names}
    assert len(repository.published) == len(names) and not repository.drafts
    assert sorted(path.name for path in user.data.iterdir()) == sorted(names)


KILLED = [pytest.param(count, marks=[] if count in (5, 9) else pytest.mark.long) for count in range(1, 20)]


@pytest.mark.long
@pytest.mark.parametrize("count", KILLED)
def test_killed_at_any_request_one_record_is_there_in_the_end(user, repository, count):
    user.fill("5500")
    repository.switches.latency = 0.05
    with user.running(user.line("--publish")) as run:
        wait_until(lambda: len(repository.requests) >= count or run.poll() is not None)
        run.kill()
    repository.switches.latency = 0.0
    time.sleep(0.1)  # the server may still be at it
    complete(user, repository, ["5500"])


@pytest.mark.long
@pytest.mark.parametrize("count", range(1, 18))
def test_killed_at_any_request_of_a_new_version_there_is_one_in_the_end(user, repository, count):
    folder = user.fill("5500")
    assert user.put("--publish").status == 0
    old = bytes_of(repository.published[0])
    (folder / "f0.root").write_bytes(b"other")
    (folder / "f1.root").unlink()
    repository.requests.clear()
    repository.switches.latency = 0.05
    with user.running(user.line("--publish --new_version")) as run:
        wait_until(lambda: len(repository.requests) >= count or run.poll() is not None)
        run.kill()
    repository.switches.latency = 0.0
    time.sleep(0.1)  # the server may still be at it
    status, out, err = user.put("--publish --new_version")
    assert status == 0, out + err
    first, second = repository.published
    assert (bytes_of(first), bytes_of(second)) == (old, user.bytes("5500")) and first.parent == second.parent
    assert len(repository.records) == 2 and not repository.drafts


@pytest.mark.long
def test_killed_again_and_again_no_record_is_there_twice(user, repository):
    names = [str(number) for number in range(12)]
    user.set("ZIP_ABOVE", "5", "NRP")
    for name in names:
        user.fill(name, count=2 + 6 * (name in "37"), size=50_000)
    chance = random.Random(1)
    for _ in range(12):
        with user.running(user.line("--publish")) as run:
            time.sleep(0.3 + chance.random() * 1.5)
            run.send_signal(chance.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGINT]))
            run.wait(30)
        time.sleep(0.2)
    status, out, err = user.put("--publish")
    assert status == 0, out + err
    assert sorted(record.title for record in repository.published) == sorted(f"Run {name}" for name in names)
    assert not repository.drafts and sorted(path.name for path in user.data.iterdir()) == sorted(names)


@pytest.mark.long
def test_two_hundred_records_with_two_thousand_files(user, repository):
    user.limit = 300
    for number in range(200):
        user.fill(str(number), count=9, size=1000)
    user.set("PER_MINUTE", "0", "NRP")
    user.set("PER_HOUR", "0", "NRP")
    (user.data / "77/record.json").write_text("{")
    with user.running(user.line("--publish")) as run:
        wait_until(lambda: len(repository.published) > 20, 120)
        assert len(repository.drafts) <= 4
        run.kill()
    status, out, err = user.put("--publish")
    assert status == 1 and counts(out)["failed"] == 1, out[-2000:] + err[-2000:]
    assert len(repository.published) == 199 and not repository.drafts


@pytest.mark.long
def test_a_folder_without_metadata_is_named(user, repository):
    user.fill("1")
    (user.data / "bare").mkdir()
    status, out, err = user.put()
    assert (status, len(repository.drafts)) == (0, 1) and "bare: has no record.json" in err, out + err


# At a real Invenio.


class Shelf(NamedTuple):
    """Alice's records at the real one."""

    invenio: Invenio
    context: ssl.SSLContext

    def get(self, url: str) -> bytes:
        """What is at an address."""
        headers = {"Authorization": f"Bearer {self.invenio.tokens['alice']}"}
        with urlopen(Request(url, headers=headers), context=self.context) as answer:
            return bytes(answer.read())

    def records(self, title: str) -> list[dict[str, Any]]:
        """Those of a title."""
        found = json.loads(self.get(f"{self.invenio.base}/api/user/records?size=1000"))["hits"]["hits"]
        return [one for one in found if one["metadata"].get("title") == title]

    def bytes_of(self, record: dict[str, Any]) -> dict[str, bytes]:
        """The files of a record."""
        entries = json.loads(self.get(record["links"]["files"]))["entries"]
        return {entry["key"]: self.get(entry["links"]["content"]) for entry in entries}


@pytest.fixture
def shelf(invenio: Invenio) -> Shelf:
    return Shelf(invenio, ssl.create_default_context(capath=invenio.pki.environment()["X509_CERT_DIR"]))


@pytest.mark.long
def test_a_real_one_gets_a_draft_that_is_published_and_a_new_version(grid, tmp_path, shelf):
    user, title = Depositor(grid, tmp_path, shelf.invenio.base, shelf.invenio.tokens["alice"]), f"Real {uuid.uuid4()}"
    folder = user.fill("1", title=title)
    (folder / "large.root").write_bytes(os.urandom(11 << 20))  # goes in parts
    status, out, err = user.put("", "data/1")
    assert status == 0, out + err
    (draft,) = shelf.records(title)
    assert not draft["is_published"] and shelf.bytes_of(draft) == user.bytes("1")
    status, out, err = user.put("--publish", "data/1")
    (record,) = shelf.records(title)
    assert status == 0 and record["is_published"] and record["id"] == draft["id"], out + err
    (folder / "f0.root").write_bytes(b"other")
    (folder / "f1.root").unlink()
    assert user.put("--publish", "data/1").status == 1
    status, out, err = user.put("--publish --new_version", "data/1")
    assert status == 0, out + err
    new, old = sorted(shelf.records(title), key=lambda one: one["id"] == record["id"])
    assert new["parent"] == old["parent"] and new["is_published"] and shelf.bytes_of(new) == user.bytes("1")
    assert counts(user.put("--publish --new_version", "data/1").out)["skipped"] == 1


@pytest.mark.long
def test_a_real_one_says_by_field_what_it_wants(grid, tmp_path, shelf):
    user, title = Depositor(grid, tmp_path, shelf.invenio.base, shelf.invenio.tokens["alice"]), f"Real {uuid.uuid4()}"
    user.fill("1", title=title, publication_date="yesterday")
    status, out, err = user.put("--publish", "data/1")
    assert status == 1 and "metadata.publication_date: " in err, out + err
    user.fill("1", title=title)
    status, out, err = user.put("--publish", "data/1")
    (record,) = shelf.records(title)
    assert status == 0 and record["is_published"], out + err


@pytest.mark.long
def test_killed_again_and_again_a_real_one_has_each_record_once(grid, tmp_path, shelf):
    user, title = Depositor(grid, tmp_path, shelf.invenio.base, shelf.invenio.tokens["alice"]), f"Real {uuid.uuid4()}"
    for name in "1234":
        user.fill(name, size=100_000, title=f"{title} {name}")
    chance = random.Random(2)
    for _ in range(8):
        with user.running(user.line("--publish")) as run:
            time.sleep(0.4 + chance.random())
            run.kill()
    time.sleep(2)  # it may still be at what was asked last
    status, out, err = user.put("--publish")
    assert status == 0, out + err
    for name in "1234":
        (record,) = shelf.records(f"{title} {name}")
        assert record["is_published"] and shelf.bytes_of(record) == user.bytes(name)
    found = json.loads(shelf.get(f"{shelf.invenio.base}/api/user/records?size=1000"))["hits"]["hits"]
    assert not [one for one in found if re.fullmatch(KEY, one["metadata"].get("title", ""))]  # no orphan
