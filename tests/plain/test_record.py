"""What the Open Data portal says of a record: its files, their names, and what of it is kept."""

from __future__ import annotations

import copy
import json
import random
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridsync_parts.doors import ODDITIES
from gridsync_parts.doors.record import NAME, lacking, names_of, path_of, record_of
from gridsync_parts.errors import DoorError
from gridsync_parts.words import is_path
from tests.support.properties import PROPERTY

EOS = "root://eospublic.cern.ch//eos/opendata/"
INDEX = "X_file_index.json"


def file(path: str, size: Any = 10, **more: Any) -> dict[str, Any]:
    said = {"key": path.rpartition("/")[2], "uri": EOS + path, "size": size, "checksum": "adler32:00620062", **more}
    return {name: value for name, value in said.items() if value is not None}


def index(*files: dict[str, Any], **more: Any) -> dict[str, Any]:
    said = {"key": INDEX, "number_files": len(files), "files": list(files), **more}
    return {name: value for name, value in said.items() if value is not None}


def answer(*files: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    said = {"recid": "cms-1", "title": "T", "doi": "10.7483/X", "_files": list(files), **metadata}
    return {"id": "1", "created": "2026-06-01T10:00:00.123456+00:00", "updated": "now", "metadata": said}


def names(said: dict[str, Any], **more: Any) -> set[str]:
    return set(record_of(said, **more).files) - {NAME}


# A record and its files.


def test_a_record_is_what_the_portal_calls_it():
    record = record_of(answer(file("cms/a.txt")))
    assert (record.recid, record.title, record.doi, record.mtime) == ("cms-1", "T", "10.7483/X", 1780308000)
    held = record.files["a.txt"]
    assert held == ("a.txt", f"{EOS}cms/a.txt", 10, "adler32:00620062", True, "")


@pytest.mark.parametrize(
    ("recid", "id_", "found"), [("cms-1", 7, "cms-1"), (5500, "x", "5500"), (None, "ab-2", "ab-2"), (None, 7, "7")]
)
def test_its_name_is_a_text_whatever_it_was(recid, id_, found):
    assert record_of({"id": id_, "metadata": {"recid": recid}}).recid == found


@pytest.mark.parametrize("said", [
    None, 3, "text", [], {}, {"metadata": []}, {"metadata": {}}, {"metadata": {"recid": True}},
    {"metadata": {"recid": "../x"}}, {"metadata": {"recid": "a/b"}}, {"metadata": {"recid": ""}},
    answer(_files="none"), answer(_files=[3]), answer(_files=None, files={"a": 1}), answer(_file_indices=[[]]),
    answer(_file_indices=[index(file("a"), number_files=2)]), answer(_file_indices=[index(key=INDEX, files=["a"])]),
])  # fmt: skip
def test_what_makes_no_sense_is_told_and_may_pass(said):
    with pytest.raises(DoorError, match="the portal's answer about it makes no sense") as caught:
        record_of(said)
    assert caught.value.passing


def test_what_tape_changes_is_believed_and_not_what_was_written_once():
    said = answer(file("a", availability="on demand"), files=[file("a", availability="online"), file("b")])
    assert {held.name: held.online for held in record_of(said).files.values()} == {"a": False, NAME: True}


def test_a_record_without_those_lists_has_what_was_written_once():
    assert names(answer(_files=None, files=[file("a"), file("b")])) == {"a", "b"}
    assert names(answer(files=[file("a")])) == {"a"}


@pytest.mark.parametrize(
    ("said", "online"),
    [
        (answer(file("a", availability="online"), availability="on demand"), True),
        (answer(file("a"), availability="on demand"), False),
        (answer(file("a"), availability="ondemand"), False),
        (answer(file("a", availability=3), availability="partial"), True),
        (answer(file("a", availability="requested")), False),
        (answer(_file_indices=[index(file("a"), availability={"on demand": 1})]), False),
        (answer(_file_indices=[index(file("a"), availability={"online": 1})]), True),
        (answer(_file_indices=[index(file("a", availability="on demand"), availability={"online": 1})]), False),
        (answer(_file_indices=[index(file("a"))], availability="on demand"), False),
        (answer(file("a"), distribution={"availability": "ondemand"}), False),
        (answer(file("a"), distribution={"availability": "ondemand"}, availability="partial"), True),
        (answer(file("a", availability="online"), distribution={"availability": "ondemand"}), True),
        (answer(file("a"), distribution=["ondemand"]), True),
    ],
)
def test_a_file_is_on_disk_if_it_says_so_or_else_what_it_stands_in(said, online):
    assert record_of(said).files["a"].online is online


@pytest.mark.parametrize(("said", "meant"), [
    ("adler32:00620062", "adler32:00620062"), ("adler32:620062", "adler32:00620062"),
    ("ADLER32:ABC", "adler32:00000abc"),
    ("0badcafe", "adler32:0badcafe"), ("md5:d41d8cd98f00b204e9800998ecf8427e", ""), ("adler32:123456789", ""),
    ("adler32:", ""), ("", ""), (None, ""), (5, ""), ("sha1:00620062", ""),
])  # fmt: skip
def test_a_checksum_is_an_adler32_of_eight_digits_or_none(said, meant):
    assert record_of(answer(file("a", checksum=said))).files["a"].checksum == meant


# Indices.


def test_the_files_of_indices_are_files_by_the_names_in_their_uris():
    said = answer(file("cms/a.txt"), _file_indices=[index(file("cms/b.root", key=f"{INDEX}_0"))])
    record = record_of(said)
    assert record.files["b.root"].index == INDEX and names(said) == {"a.txt", "b.root"} and lacking(said) == []


def test_an_index_that_is_not_whole_is_asked_for():
    for short in (index(files=None), index(file("b.root"), number_files=2)):
        said = answer(file("a"), _file_indices=[short])
        assert lacking(said) == [INDEX]
        more = {INDEX: index(file("b.root", availability="on demand"), file("c.root"))}
        assert names(said, more=more) == {"a", "b.root", "c.root"}
        assert record_of(said, more=more).files["b.root"] == (
            "b.root", f"{EOS}b.root", 10, "adler32:00620062", False, INDEX,
        )  # fmt: skip


def test_an_index_whose_name_no_url_can_have_is_no_sense():
    with pytest.raises(ValueError, match=r"^a file index is called '\\ud800'$"):
        lacking(answer(_file_indices=[index(key="\ud800", files=None)]))


@pytest.mark.parametrize("more", [{}, {INDEX: "OK"}, {INDEX: {"files": None}}, {INDEX: index(file("b"))}])
def test_an_index_with_less_than_it_has_is_no_sense(more):
    with pytest.raises(DoorError, match=r"\(the file index X_file_index.json has [01] of 2 files\)"):
        record_of(answer(_file_indices=[index(number_files=2, files=None)]), more=more)


@pytest.mark.parametrize("listed", ["files", "_files", "index_files"])
def test_older_records_have_indices_among_their_files_which_are_no_data(listed):
    also = [file(f"cms/{INDEX}", type="index.json"), file("cms/X_file_index.txt", type="index.txt")]
    said = answer(**{"_files": None, "files": [file("a")], listed: [*also, *([file("a")] * (listed != "index_files"))]})
    assert lacking(said) == [INDEX]
    assert names(said, more={INDEX: index(file("b"))}) == {"a", "b"}
    said["metadata"]["_file_indices"] = [index(file("c"))]
    assert lacking(said) == [] and names(said) == {"a", "c"}


# Names.


@pytest.mark.parametrize(("paths", "found"), [
    (["x/a", "x/b"], ["a", "b"]),
    (["x/a", "y/a", "y/b"], ["x/a", "y/a", "b"]),
    (["p/x/a", "q/x/a"], ["p/x/a", "q/x/a"]),
    (["p/x/a", "q/x/a", "q/y/a"], ["p/x/a", "q/x/a", "q/y/a"]),
    (["a", "x/a"], ["a", "x/a"]),
    (["cms/record.json"], ["cms/record.json"]),
    (["cms/x/record.json", "cms/y/record.json"], ["x/record.json", "y/record.json"]),
    (["record.json", "cms/b"], ["", "b"]),
    (["p/record.json/a", "p/x/a"], ["p/record.json/a", "p/x/a"]),
    (["record.json/a", "x/a"], ["", "x/a"]),
    (["p/x", "x/a", "y/a"], ["p/x", "x/a", "y/a"]),
    (["x", "x/a", "y/a"], ["", "x/a", "y/a"]),
])
def test_files_have_short_names_and_folders_where_these_would_clash(paths, found):
    for _ in range(5):
        there = names_of([f"eos/opendata/{path}" for path in random.sample(paths, len(paths))])
        assert [there.get(f"eos/opendata/{path}", "") for path in paths] == found


def test_names_hang_on_no_order():
    files = [file(f"{folder}/{name}") for folder in ("p/x", "q/x", "q/y") for name in ("a", "b", NAME)]
    one, other = record_of(answer(*files)), record_of(answer(*reversed(files)))
    assert list(one.files) == list(other.files) and len(one.files) == 10 and "p/x/record.json" in one.files


@pytest.mark.parametrize("uri", [
    "root://eospublic.cern.ch//eos/user/secret", "root://eospublic.cern.ch//eos/opendata/../user/secret",
    "root://eospublic.cern.ch//eos/opendata/x/./a", "root://eospublic.cern.ch//eos/opendata/",
    "root://eospublic.cern.ch//eos/opendata", "root://eospublic.cern.ch//eos/opendatax/a", "/eos/opendata/a",
    "https://example.org/eos/opendata/a", "root://eospublic.cern.ch.example.org//eos/opendata/a", "",
    "root://me@eospublic.cern.ch//eos/opendata/a", "root://eospublic.cern.ch?x//eos/opendata/a",
    f"{EOS}a\0b", f"{EOS}{'x' * 1001}", f"{EOS}\ud800", "file:///eos/opendata/a", "ftp://eospublic.cern.ch/eos/opendata/a",
])
def test_a_uri_that_leads_elsewhere_is_left_out_and_named(uri):
    said = answer(file("a"), file("b", uri=uri))
    record = record_of(said, "portal.example.org")
    assert set(record.files) == {"a", NAME}
    ((name, error),) = record.odd.items()
    assert str(error).startswith("cms-1: the ") and str(error).endswith("; it is left out, ask the portal")
    assert name not in record.files and (is_path(name) or name.startswith("/"))


@pytest.mark.parametrize("uri", [
    "root://eospublic.cern.ch//eos/opendata/x/a", "root://eospublic.cern.ch:1094//eos/opendata//x/a",
    "https://opendata.cern.ch/eos/opendata/x/a", "ROOT://EOSPUBLIC.cern.ch//eos/opendata/x/a",
])
def test_a_uri_of_the_store_or_the_portal_is_a_path_there(uri):
    assert path_of(uri, ("eospublic.cern.ch", "opendata.cern.ch")) == "eos/opendata/x/a"
    assert names(answer(file("a", uri=uri)), host="opendata.cern.ch") == {"a"}


@pytest.mark.parametrize("size", ["1.2 GB", "10", -1, None, True, 1.5, 10**18, [], {}])
def test_a_size_that_is_no_number_is_left_out_and_named(size):
    record = record_of(answer(file("a", size=size), file("b")))
    assert set(record.files) == {"b", NAME} and list(record.odd) == ["a"]
    assert "the size of a cannot be right" in str(record.odd["a"])


def test_what_is_left_out_has_a_name_that_nothing_else_has():
    record = record_of(answer(file("x/a"), file("y/a", size=-1), file("z/a", size=-2)))
    assert set(record.files) == {"a", NAME}
    assert list(record.odd) == [f"/{EOS}y/a", f"/{EOS}z/a"]


def test_a_file_that_is_listed_twice_is_one_or_left_out():
    assert names(answer(file("a"), file("a"), _file_indices=[index(file("a"))])) == {"a"}
    for other in (file("a", size=11), file("a", checksum="adler32:1")):
        record = record_of(answer(file("a"), other))
        assert set(record.files) == {NAME} and "is listed twice" in str(record.odd["a"])


def test_with_too_many_of_them_all_of_it_makes_no_sense():
    assert len(record_of(answer(*[file(f"a{number}", size=-1) for number in range(ODDITIES)])).odd) == ODDITIES
    with pytest.raises(DoorError, match="makes no sense"):
        record_of(answer(*[file(f"a{number}", size=-1) for number in range(ODDITIES + 1)]))


# record.json.


def test_the_record_itself_is_a_file_with_what_the_portal_says():
    record = record_of(answer(file("a", extra="kept"), authors=["\u00c9"], half="\ud800"))
    held = record.files[NAME]
    assert held == (NAME, "", len(record.text), f"adler32:{zlib.adler32(record.text):08x}", True, "")
    said = json.loads(record.text)
    assert said["metadata"]["_files"][0]["extra"] == "kept" and said["metadata"]["half"] == "\ud800"
    assert said["id"] == "cms-1" and said["created"] and "\u00c9".encode() in record.text


def test_it_stays_the_same_while_files_go_to_tape_and_come_from_there():
    def at(where: str, counts: dict[str, int], updated: str, tags: dict[str, str]) -> dict[str, Any]:
        held = {"availability": where, "tags": tags}
        return {
            **answer(file("a", **held), availability=where, _availability_details=counts, _file_indices=[
                index(file("b", **held), availability=counts)
            ], distribution={"availability": where.replace(" ", ""), "size": 20}),
            "id": where, "updated": updated, "revision": len(where), "links": {"self": where},
        }  # fmt: skip

    here = at("online", {"online": 2}, "2026-01-01", {})
    gone = at("on demand", {"on demand": 2}, "2026-02-02", {"uri_cold": "root://x", "hot_deleted": "2026"})
    before = copy.deepcopy(here)
    assert record_of(here).text == record_of(gone).text and here == before
    assert b"distribution" in record_of(here).text
    other = {**gone, "metadata": {**gone["metadata"], "title": "Other"}}
    assert record_of(other).text != record_of(gone).text


# Whatever it says.

TEXTS = st.one_of(st.text(max_size=8), st.sampled_from(["online", "on demand", INDEX, "cms-1", "a", NAME, ".."]))
URIS = st.lists(st.sampled_from(["a", "b", NAME, "..", "", ".", "x", "\0", "\ud800", "%2f"]), max_size=4).map(
    lambda parts: EOS + "/".join(parts)
)
ANY = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS, URIS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=6,
)
SAID = st.fixed_dictionaries(
    {"uri": st.one_of(URIS, ANY), "size": st.one_of(st.integers(-1, 20), ANY)},
    optional={"key": ANY, "checksum": ANY, "availability": ANY, "type": ANY},
)
FILES = st.one_of(st.lists(SAID, max_size=6), ANY)
INDICES = st.lists(st.fixed_dictionaries(
    {"key": TEXTS}, optional={"files": FILES, "number_files": ANY, "availability": ANY}
), max_size=2)  # fmt: skip
METADATA = st.fixed_dictionaries(
    {"recid": st.one_of(st.just("cms-1"), ANY)},
    optional={"_files": FILES, "files": FILES, "_file_indices": st.one_of(INDICES, ANY), "availability": ANY},
)
ANSWERS = st.fixed_dictionaries({"metadata": st.one_of(METADATA, ANY)}, optional={"created": ANY, "id": ANY})


@pytest.mark.long
@pytest.mark.slow
@settings(PROPERTY, max_examples=200)
@given(ANSWERS, ANY)
def test_whatever_a_record_says_its_files_are_files_and_have_names_of_their_own(said, more):
    try:
        keys = lacking(said)
        record = record_of(said, more=dict.fromkeys(keys, more))
    except (DoorError, ValueError, TypeError) as error:
        assert not isinstance(error, UnicodeError)
        return
    assert NAME in record.files and isinstance(json.loads(record.text), dict)
    folders = {name[:end] for name in record.files for end, mark in enumerate(name) if mark == "/"}
    assert folders.isdisjoint(record.files)
    for name, held in record.files.items():
        assert name == held.name and is_path(name) and held.size >= 0
        assert name == NAME or name.encode() == path_of(held.uri).encode()[-len(name.encode()) :]
    assert record.files.keys().isdisjoint(record.odd)
    assert len(record.odd) <= ODDITIES
