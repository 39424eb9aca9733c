"""What all hand to each other, and the small questions that it answers."""

from __future__ import annotations

import re

import pytest

from gridsync_parts.errors import Changed, FileError, GridError, Saying, Unreached, UsageError, brief, error_for
from gridsync_parts.values import (
    FORGOTTEN,
    LEFT,
    LOCALITIES,
    REPAIR,
    WAITING,
    Action,
    Locality,
    Outcome,
    Row,
    Scope,
    Staging,
    Tally,
    Wishes,
    check_tag,
    place_row,
    sentence_about,
    why_left,
    with_error,
)

ROW = Row("run/a", 10, 1000, "adler32:00000001", Locality.ONLINE, False, "", "", "LYON", "")
HERE = ROW._replace(downloaded=True, verified="adler32")


@pytest.mark.parametrize("locality", Locality)
@pytest.mark.parametrize("request_id", ["", "r1"])
def test_a_file_is_staging_while_a_request_has_not_brought_it(locality, request_id):
    row = ROW._replace(locality=locality, request=request_id)
    assert row.is_staging() is (request_id == "r1" and locality is not Locality.ONLINE)


@pytest.mark.parametrize(("downloaded", "verified", "is_damaged"),
                         [(True, "md5", False), (False, "md5", True), (False, "", False)])  # fmt: skip
def test_a_file_is_damaged_that_was_verified_and_is_not_here(downloaded, verified, is_damaged):
    assert ROW._replace(downloaded=downloaded, verified=verified).is_damaged() is is_damaged


@pytest.mark.parametrize(
    ("folder", "include", "exclude", "path", "holds"),
    [
        ("", "", "", "a", True),
        ("run", "", "", "run/a", True),
        ("run", "", "", "run", True),  # a file
        ("run", "", "", "run2/a", False),
        ("run", "", "", "a/run", False),
        ("", "b|/x", "", "a/b", True),
        ("", "b|/x", "", "a/c", False),
        ("", "b|/x", "", "a/x", True),  # one is enough
        ("", "", "b|/x", "a/b", False),
        ("", "", "b|/x", "a/x", False),
        ("", "", "b|/x", "a/c", True),
        ("", "a", "b", "a/b", False),  # who is excluded is not included
        ("run", "a", "", "a", False),
    ],
)
def test_what_a_scope_holds(folder, include, exclude, path, holds):
    patterns = [tuple(re.compile(part) for part in text.split("|") if part) for text in (include, exclude)]
    assert Scope("LYON", folder, *patterns).holds(path) is holds


@pytest.mark.parametrize(
    ("staging", "is_waiting"),
    [(WAITING, True), (FORGOTTEN, False), (Staging(True), False), (Staging(False, "lost"), False),
     (Staging(False, since=7), True)],
)  # fmt: skip
def test_a_request_waits_until_it_is_done_or_has_failed(staging, is_waiting):
    assert staging.is_waiting() is is_waiting


@pytest.mark.parametrize(
    ("done", "verified", "counts"),
    [
        ("copied", "adler32", {"copied": 1, "checked": 1}),
        ("copied", "size", {"copied": 1, "sized": 1}),
        ("skipped", "md5", {"skipped": 1, "checked": 1}),
        ("verified", "size", {"skipped": 1, "sized": 1}),
        ("verified", "size computed", {"skipped": 1, "again": 1}),
        ("verified", "md5 computed", {"skipped": 1, "checked": 1}),
        ("copied", "size computed", {"copied": 1, "sized": 1}),  # nobody has read it again
        ("failed", "", {"failed": 1}),
        ("waiting", "", {"waiting": 1}),
        ("late", "", {}),
        ("stale", "", {}),
        ("interrupted", "", {}),
    ],
)
def test_what_is_counted_of_an_outcome(done, verified, counts):
    kind, _, more = verified.partition(" ")
    row = ROW._replace(verified=kind, computed="adler32:00000001" if more else "")
    tally, outcome = Tally(), Outcome(row, done, 7)
    tally.count(outcome)
    names = ("copied", "skipped", "failed", "waiting", "checked", "sized", "again")
    found = {name: getattr(tally, name) for name in names}
    assert {name: count for name, count in found.items() if count} == counts
    assert tally.received == 7
    assert outcome.is_here() is (done in ("copied", "skipped", "verified"))
    tally.count(outcome)
    assert tally.received == 14 and sum(vars(tally)[name] for name in counts) == 2 * len(counts)


def test_nobody_wishes_for_anything_and_nothing_has_come():
    assert not any(Wishes())
    assert (Outcome(ROW, "failed").received, Outcome(ROW, "failed").fault, WAITING.since) == (0, None, 0)


STRONG, OTHER, TIME, LATER = '"1"', '"2"', "Tue, 09 Jun 2015 12:00:00 GMT", "Tue, 09 Jun 2015 12:00:01 GMT"


@pytest.mark.parametrize(
    ("found", "expected", "is_changed"),
    [
        ("", "", False),
        (STRONG, "", False),
        ("", STRONG, False),
        (STRONG, STRONG, False),
        (STRONG, OTHER, True),
        (TIME, TIME, False),
        (LATER, TIME, True),
        (TIME, STRONG, False),  # they are of two kinds
        (STRONG, TIME, False),
    ],
)
def test_two_tags_of_one_kind_are_two_versions(found, expected, is_changed):
    if not is_changed:
        check_tag("run/a", found, expected)
        return
    with pytest.raises(Changed, match="run/a: changed at the site") as caught:
        check_tag("run/a", found, expected)
    assert caught.value.passing


DAMAGED = ROW._replace(verified="md5")


@pytest.mark.parametrize(
    ("row", "action", "overwrite", "reason"),
    [
        (ROW, Action.KEEP, False, Action.KEEP.value),
        (ROW, Action.KEEP, True, "what has this name here is not a regular file; move it away"),
        (DAMAGED, Action.KEEP, False, f"is damaged, as --verify found; {REPAIR}"),
        (DAMAGED, Action.KEEP, True, "what has this name here is not a regular file; move it away"),
        (DAMAGED, Action.LOST, False, Action.LOST.value),
        (ROW, Action.UNSURE, True, Action.UNSURE.value),
    ],
)
def test_why_a_file_is_left_alone(row, action, overwrite, reason):
    assert why_left(row, action, overwrite) == f"run/a: {reason}"


@pytest.mark.parametrize(
    ("row", "locality", "has_left"),
    [
        (ROW._replace(request="r1"), Locality.NEARLINE, True),
        (ROW, Locality.NEARLINE, False),  # nobody has asked for it
        (HERE._replace(request="r1"), Locality.NEARLINE, False),  # it is here
        (ROW._replace(request="r1", locality=Locality.UNKNOWN), Locality.NEARLINE, False),  # it was not there
        (ROW._replace(request="r1"), Locality.OFFLINE, False),
        (ROW._replace(request="r1"), Locality.ONLINE, False),
    ],
)
def test_a_file_that_has_left_the_disk_again_says_so(row, locality, has_left):
    error = f"run/a: {LEFT}" if has_left else row.error
    assert place_row(row, locality) == row._replace(locality=locality, error=error)


def test_the_reason_of_a_failure_is_short_and_has_no_odd_characters():
    assert with_error(ROW, "a\x1b[31mb\n").error == "a\\x1b[31mb\\n"
    assert with_error(ROW, "x" * 501).error == "x" * 500
    assert with_error(ROW, "x").error == "x" and with_error(ROW, "x")._replace(error="") == ROW


@pytest.mark.parametrize(("said", "sentence"), [("no", "run/a: no"), ("run/a: no", "run/a: no"),
                                                ("https://door/run/a: no", "https://door/run/a: no"),
                                                ("run/a is gone", "run/a: run/a is gone")])  # fmt: skip
def test_a_sentence_names_its_file_once(said, sentence):
    assert sentence_about(ROW, FileError(said)) == sentence


def test_every_word_for_where_a_file_is_means_one_of_four_places():
    assert set(LOCALITIES.values()) == set(Locality) - {Locality.UNKNOWN}
    assert LOCALITIES["ONLINE_AND_NEARLINE"] is LOCALITIES["DISK_AND_TAPE"] is Locality.ONLINE
    assert LOCALITIES["TAPE"] is Locality.NEARLINE and LOCALITIES["LOST"] is Locality.OFFLINE


# Errors.


@pytest.mark.parametrize(("said", "shown"), [("", ""), ("x" * 200, "x" * 200), ("x" * 201, "x" * 200 + "...")])
def test_what_others_say_is_shown_in_part(said, shown):
    assert brief(said) == shown


@pytest.mark.parametrize(("length", "kept"), [(5000, 5000), (5001, 5003)])
def test_no_sentence_is_endless(length, kept):
    error = GridError("x" * length, passing=True, pause=3)
    assert (len(str(error)), error.passing, error.pause) == (kept, True, 3)


SAYINGS = (
    Saying("no route", Unreached, "{host} is out of reach", True),
    Saying("usage", UsageError, "{host} is asked in a wrong way"),
    Saying("", FileError, "{host} says no"),
)


@pytest.mark.parametrize(
    ("said", "kind", "sentence", "passing"),
    [
        ("No Route to host", Unreached, "door is out of reach", True),
        ("usage: no route", Unreached, "door is out of reach", True),  # the first one that fits
        ("usage", UsageError, "door is asked in a wrong way", False),
        ("", FileError, "door says no", False),
    ],
)
def test_what_others_say_has_a_meaning(said, kind, sentence, passing):
    error = error_for(SAYINGS, said, host="door")
    assert (type(error), str(error), error.passing) == (kind, sentence, passing)
