"""What the JSON of a repository says of records, of their files and of zips, and what of that can't be right."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gridsync_parts.doors.entries import (
    OWN_NAME,
    Members,
    Record,
    checksum_in,
    crc_in,
    dois_of,
    entries_in,
    id_in,
    members_of,
    record_of,
)
from gridsync_parts.doors.record import NAME
from gridsync_parts.errors import DoorError, FileError
from gridsync_parts.kinds import INVENIO, OPEN_DATA
from gridsync_parts.recids import portal_of, word_of

MD5 = "md5:" + "0a" * 16
TOLD = {"id": "ab-12", "created": "2026-11-28T02:00:00.123+00:00", "metadata": {"title": "Run"}}


def made(*entries: dict[str, Any], **more: Any) -> Record:
    return record_of({**TOLD, **more}, entries, "ab-12", lambda facts, name: f"https://r/{name}", False)


def members(**answer: Any) -> Members:
    return members_of(answer, "ab-12/x.zip", lambda facts, name: f"https://r/{name}")


def test_a_record_has_its_files_and_itself():
    record = made({"key": "a/b.root", "size": 3, "checksum": MD5.upper().replace("MD5", "md5"), "status": "completed"})
    assert list(record.files) == ["a/b.root", NAME] and not record.odd
    assert record.files["a/b.root"][:4] == ("a/b.root", "https://r/a/b.root", 3, MD5)
    assert (record.id, record.title, record.mtime) == ("ab-12", "Run", 1_795_831_200)
    assert record.files[NAME].size == len(record.text)


@pytest.mark.parametrize(
    ("changed", "is_kept"),
    [
        ({"links": {"self": "https://r"}}, False),
        ({"stats": {"views": 3}}, False),
        ({"revision_id": 4}, False),
        ({"updated": "2027"}, False),
        ({"files": {"enabled": True, "count": 3, "entries": {}}}, False),
        ({"parent": {"id": "cd-34", "access": {}}}, True),
        ({"custom_fields": {"x": 1}}, True),
        ({"metadata": {"title": "Other"}}, True),
        ({"files": {"enabled": False}}, True),
    ],
)
def test_what_changes_by_itself_is_not_in_the_text(changed, is_kept):
    assert (made(**changed).text != made().text) == is_kept
    assert json.loads(made(**changed).text)["files"] in ({"enabled": True}, {"enabled": False})


def test_half_of_a_character_is_written_as_json_has_it():
    text = made(metadata={"title": "\ud800"}).text
    assert json.loads(text)["metadata"]["title"] == "\ud800"


@pytest.mark.parametrize(
    ("own", "name"), [([], NAME), ([NAME], OWN_NAME), ([f"{NAME}/a"], OWN_NAME), ([NAME, OWN_NAME], "")]
)
def test_a_file_that_has_its_name_keeps_it(own, name):
    record = made(*({"key": key, "size": 1} for key in own))
    assert record.files.keys() - own == ({name} if name else set())


ODD = ["..", "../a", "/a", "a//b", "a/./b", "a/../../b", "a/", "\0", "\ud800", "x" * 1001, "", None]


@pytest.mark.parametrize("key", ODD)
def test_a_name_that_cannot_be_right_is_named(key):
    record = made({"key": key, "size": 1}, {"key": "good", "size": 1})
    assert list(record.files) == ["good", NAME] and len(record.odd) == 1
    assert "cannot be right; it is left out, ask the repository" in str(next(iter(record.odd.values())))
    assert next(iter(record.odd)).startswith("/")


@pytest.mark.parametrize("size", [-1, "3", None, True, 10**18, 1.5])
def test_so_is_a_size(size):
    record = made({"key": "a", "size": size})
    assert list(record.files) == [NAME] and "the size of a cannot be right" in str(record.odd["a"])


def test_a_file_that_is_listed_twice_or_is_a_folder_of_others_is_left_out():
    record = made(*({"key": key, "size": 1} for key in ("a", "a", "b", "b/c")))
    assert list(record.files) == ["b/c", NAME]
    assert [str(error).partition(";")[0] for error in record.odd.values()] == [
        "ab-12: a is listed twice",
        "ab-12: b is a file, and a folder of other files as well",
    ]


def test_where_nothing_makes_sense_it_is_one_error():
    with pytest.raises(DoorError, match="and so on"):
        made(*({"key": f"../{number}", "size": 1} for number in range(200)))


@pytest.mark.parametrize("document", [None, [], {}, {"id": True}, {"id": "../a"}, {"id": ""}])
def test_what_has_no_id_is_no_record(document):
    with pytest.raises(ValueError, match="it has no id"):
        id_in(document)


def test_older_forms_are_read_too():
    assert id_in({"id": 17}) == "17"
    assert list(entries_in({"entries": {"a": {"size": 1}}})) == [{"key": "a", "size": 1}]
    assert list(entries_in({"enabled": False})) == []


@pytest.mark.parametrize("checksum", ["multipart:abc-5", None, "md5:xyz", "crc:1", 5])
def test_what_is_no_checksum_of_the_whole_is_none(checksum):
    assert checksum_in({"checksum": checksum}) == ""


@pytest.mark.parametrize(("crc", "text"), [(0, "crc32:00000000"), (3710266248, "crc32:dd262b88"), (-1, ""), (None, "")])
def test_a_crc_is_a_checksum(crc, text):
    assert crc_in({"crc": crc}) == text


def test_members_of_a_zip_are_judged_as_any_name():
    found = members(entries=[{"key": "a/b", "size": 1, "crc": 7}, {"key": "../x", "size": 1}], truncated=False, total=2)
    assert found.files["a/b"].checksum == "crc32:00000007" and list(found.files) == ["a/b"] and len(found.odd) == 1


def test_a_list_of_members_that_is_cut_short_is_refused():
    says = "has 1500 members, of which the repository lists 1; fetch the whole zip, as one of the files of its record"
    with pytest.raises(FileError, match=says):
        members(entries=[{"key": "a", "size": 1}], truncated=True, total=1500)


def test_dois_are_those_of_the_record_and_of_all_versions():
    told = {
        "pids": {"doi": {"identifier": "10.1/A"}}, "parent": {"pids": {"doi": {"identifier": "10.1/p"}}},
        "metadata": {"doi": "10.1/m"}, "conceptdoi": "10.1/c", "doi": 5,
    }  # fmt: skip
    assert dois_of(told) == {"10.1/a", "10.1/p", "10.1/m", "10.1/c"}


# Pages.

ZENODO = "https://zenodo.org"


@pytest.mark.parametrize(
    ("page", "word"),
    [
        ("/records/17", "17"),
        ("/record/17", "17"),
        ("/uploads/ab-12", "ab-12"),
        ("/deposit/17", "17"),
        ("/records/17/files/a b.root?download=1", "17/a b.root"),
        ("/records/17/preview/a.md", "17/a.md"),
        ("/api/records/17", "17"),
        ("/api/records/ab-12/draft", "ab-12"),
        ("/api/records/17/files/d/a.root/content", "17/d/a.root"),
        ("/api/particles/ab-12", "ab-12"),
        ("/particles/records/ab-12", "ab-12"),
        ("/search?q=run", "?q=run"),
    ],
)
def test_a_page_of_a_repository_is_a_word(page, word):
    assert word_of(ZENODO + page.replace(" ", "%20"), INVENIO) == word


def test_a_doi_belongs_to_the_site_that_it_has_the_name_of_else_to_the_chosen_one():
    sections = {
        "CERN": {"SERVER": "https://opendata.cern.ch/", "ENGINE": OPEN_DATA},
        "ZENODO": {"SERVER": f"{ZENODO}/", "ENGINE": INVENIO},
    }
    assert portal_of(sections, "https://doi.org/10.5281/zenodo.17", "LYON") == "ZENODO"
    assert portal_of(sections, "https://doi.org/10.7483/OPENDATA.CMS.AB", "LYON") == "CERN"
    assert portal_of(sections, "https://doi.org/10.5281/zenodo.17", "CERN") == "CERN"
    assert portal_of(sections, f"{ZENODO}/records/17", "CERN") == "ZENODO"
