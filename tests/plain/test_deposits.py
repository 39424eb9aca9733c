"""What there is to deposit, and what grid_uploads.csv says of it."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest

from gridsync_parts.deposits import Deposits, collect, put_in_order
from gridsync_parts.doors import Draft
from gridsync_parts.errors import BadName, DoorError, GridError, Unreached, UsageError
from gridsync_parts.intents import DRAFT, KEY, PUBLISHED, Creation, Intents
from gridsync_parts.pool import Stop
from gridsync_parts.table import Site
from gridsync_parts.uploads import Uploads
from gridsync_parts.values import Scope
from tests.support.constants import replace

SCOPE = Scope("NRP", "", (), ())
SITE = Site("NRP", "https://x.example.org/", zip_above=0, max_files=3)


@pytest.fixture
def top(tmp_path: Path) -> Path:
    return tmp_path / "data"


def fill(folder: Path, *names: str, record: bool = True) -> Path:
    """A folder with files."""
    for name in [*names, *(["record.json"] if record else [])]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text('{"title": "T"}')
    return folder


def found(deposits: Deposits) -> dict[str, list[str]]:
    return {deposit.name: [local.path for local in deposit.files] for deposit in deposits.found}


# What there is.


def test_a_folder_with_a_record_is_one_deposit(top):
    fill(top, "b", "sub/a")
    assert found(collect(str(top), "", SCOPE)) == {"data": ["b", "record.json", "sub/a"]}


def test_else_each_folder_with_one_is_and_the_others_are_named(top):
    fill(top / "1", "a")
    fill(top / "2", "b", record=False)
    (top / "loose").write_text("x")
    (top / "3").symlink_to(top / "1")
    deposits = collect(str(top), "", SCOPE)
    assert found(deposits) == {"1": ["a", "record.json"]}
    assert deposits.remarks == [f"{top}/2: has no record.json and becomes no record; describe it with --metadata"]


def test_a_folder_of_metadata_describes_folders_by_their_names(top, tmp_path):
    for name, has_record in (("1", False), ("2", True), ("3", False)):
        fill(top / name, "a", record=has_record)
    fill(tmp_path / "metadata", "1.json", "9.json", record=False)
    deposits = collect(str(top), str(tmp_path / "metadata"), SCOPE)
    assert found(deposits) == {"1": ["a"], "2": ["a", "record.json"]}
    assert [deposit.source for deposit in deposits.found] == [f"{tmp_path}/metadata/1.json", f"{top}/2/record.json"]
    assert list(deposits.faults) == ["3"] and "3.json" in str(deposits.faults["3"])
    assert deposits.remarks == [f"{tmp_path}/metadata/9.json: describes no folder of {top}"]


def test_a_file_is_a_record_of_one_file(top, tmp_path):
    fill(top, "a.root", record=False)
    fill(tmp_path, "m.json", record=False)
    assert found(collect(str(top / "a.root"), str(tmp_path / "m.json"), SCOPE)) == {"a": ["a.root"]}


def test_patterns_are_tried_below_what_was_named_and_the_record_goes_along(top):
    fill(top / "1", "a.root", "b.txt")
    fill(top / "2", "a.root")
    scope = SCOPE._replace(include=(re.compile("^1/.*root$"),))
    deposits = collect(str(top), "", scope)
    assert found(deposits) == {"1": ["a.root", "record.json"]}
    assert list(deposits.faults) == ["2"]


@pytest.mark.parametrize(
    ("names", "put", "metadata", "said"),
    [
        (["1/a"], "", "", "no folder in .* has a record.json"),
        (["a"], "/a", "", "needs metadata: put a record.json into the folder"),
        (["a"], "", "/nothing.json", "there is no such file"),
        (["a", "m/1.json"], "/a", "/m", "--put names no folder"),
        (["a"], "/none", "", "No such file"),
    ],
)
def test_what_makes_no_sense_is_refused(top, names, put, metadata, said):
    fill(top, *names, record=False)
    with pytest.raises(UsageError, match=said):
        collect(f"{top}{put}", f"{top}{metadata}" if metadata else "", SCOPE)


def test_a_file_that_cannot_be_sent_keeps_its_deposit_back_and_no_other(top):
    fill(top / "1", "a")
    os.mkfifo(fill(top / "2", "a") / "pipe")
    deposits = collect(str(top), "", SCOPE)
    assert list(found(deposits)) == ["1"]
    assert "without it nothing of 2 is sent" in str(deposits.faults["2"])


def test_too_many_files_and_bad_metadata_are_named_and_a_single_one_is_refused(top):
    fill(top / "1", "a")
    fill(top / "2", "a", "b", "c")
    (fill(top / "3", "a") / "record.json").write_text("{")
    deposits = collect(str(top), "", SCOPE)
    put_in_order(deposits, SITE)
    assert list(found(deposits)) == ["1"] and sorted(deposits.faults) == ["2", "3"]
    assert "4 files are to be sent, but a record may have 3; with ZIP_ABOVE = 2" in str(deposits.faults["2"])
    single = collect(str(top / "2"), "", SCOPE)
    with pytest.raises(UsageError, match="ZIP_ABOVE"):
        put_in_order(single, SITE)


@pytest.mark.parametrize("name", ["sub/content", "sub/commit", "a/container/b", "a/content/1"])
def test_a_name_that_means_something_else_at_a_repository_is_refused(top, name):
    (top / name).parent.mkdir(parents=True)
    fill(top, name, "content", "commit.txt")
    deposits = collect(str(top), "", SCOPE)
    with pytest.raises(BadName, match=f"{name}: a repository would take this name for something else"):
        put_in_order(deposits, SITE._replace(max_files=0))
    deposits = collect(str(top), "", SCOPE)
    put_in_order(deposits, SITE._replace(zip_above=1))
    assert len(deposits.found) == 1


def test_where_they_go_as_a_zip_there_are_not_too_many(top):
    fill(top, "a", "b", "c", "d")
    deposits = collect(str(top), "", SCOPE)
    put_in_order(deposits, SITE._replace(zip_above=2))
    assert deposits.found[0].names(SITE._replace(zip_above=2)) == ["record.json", "data_bundle.zip"]


# What is noted.


def test_an_intent_is_known_to_the_next_run_and_the_last_one_counts(tmp_path):
    intents = Intents(Uploads(str(tmp_path)), "NRP", lambda: 1000.0)
    first = intents.begin("data/1", 10)
    assert KEY.fullmatch(first.target) and first.record == first.verified == "" and first.mtime == 1000
    intents.put(first._replace(record="a", verified=PUBLISHED))
    second = intents.begin("data/1", 10)
    assert second.mtime == 1001 and second.target != first.target
    intents.put(second._replace(record="b", verified=DRAFT))
    again = Intents(Uploads(str(tmp_path)), "NRP")
    latest, published = again.latest("data/1"), again.published("data/1")
    assert latest and published and (latest.record, published.record) == ("b", "a")
    assert again.latest("data/2") is None and Intents(Uploads(str(tmp_path)), "CNAF").latest("data/1") is None


def test_a_record_that_the_user_names_is_noted_once(tmp_path):
    intents = Intents(Uploads(str(tmp_path)), "NRP")
    intents.adopt("data/1", "a")
    intents.adopt("data/1", "a")
    assert [row.record for row in intents.known[os.path.abspath("data/1")]] == ["a"]


class Maker:
    """A repository of which the answers are written down beforehand."""

    def __init__(self, *answers: object):
        self.answers = list(answers)
        self.asked: list[str] = []

    def answer(self, verb: str) -> object:
        self.asked.append(verb)
        found = self.answers.pop(0)
        if isinstance(found, GridError):
            raise found
        return found

    def create(self, key: str) -> object:
        return self.answer("create")

    def find(self, key: str) -> object:
        return self.answer("find")


def test_a_draft_that_was_never_asked_for_is_not_looked_for():
    maker = Maker(Draft("a"))
    assert Creation(maker, "key", Stop())().id == "a" and maker.asked == ["create"]


def test_after_an_answer_that_was_lost_it_is_looked_for():
    maker = Maker(DoorError("lost", passing=True), [Draft("a"), Draft("b")])
    creation = Creation(maker, "key", Stop())
    with pytest.raises(DoorError):
        creation()
    assert creation().id == "a" and maker.asked == ["create", "find"]
    assert [draft.id for draft in creation.others] == ["b"]


def test_what_has_not_come_to_the_site_left_nothing_there():
    maker = Maker(Unreached("down", passing=True), Draft("a"))
    creation = Creation(maker, "key", Stop())
    with pytest.raises(Unreached):
        creation()
    assert creation().id == "a" and maker.asked == ["create", "create"]


def test_a_young_one_is_looked_for_several_times_and_may_be_there_all_the_same(monkeypatch):
    replace(monkeypatch, "LOOKS", (0.0, 0.0, 0.0))
    maker = Maker([], [], [], Draft("a"))
    creation = Creation(maker, "key", Stop(), asked=time.time())
    assert creation().id == "a" and maker.asked == ["find", "find", "find", "create"]
    assert creation.doubt.startswith("a search does not know yet")


@pytest.mark.parametrize(("answer", "doubt"), [(None, "the site cannot be searched for drafts"), ([], "")])
def test_an_old_intent_without_a_draft_gets_one_after_one_look(answer, doubt):
    maker = Maker(answer, Draft("a"))
    creation = Creation(maker, "key", Stop(), asked=1000.0)
    assert creation().id == "a" and maker.asked == ["find", "create"] and creation.doubt == doubt
