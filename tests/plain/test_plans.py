"""Decisions: tables of facts and what is to be done."""

from __future__ import annotations

import inspect
import re
import sys

import pytest

from gridsync_parts import plans
from gridsync_parts.disk import COARSE, LocalFile
from gridsync_parts.plans import (
    NOT_ASKED,
    NOT_BROUGHT,
    copy_action,
    is_across,
    is_refused,
    is_same_file,
    is_tape_slower,
    new_row,
    plan_calls,
    plan_catalog,
    plan_copies,
    plan_requests,
    plan_staged,
    plan_staging,
    plan_vanished,
    plan_wave,
    relist_row,
    subject_of,
    totals_of,
    without_request,
)
from gridsync_parts.values import FORGOTTEN, LEFT, Action, Entry, Locality, Row, Scope, Staging

ROW = Row("run/a", 10, 1000, "adler32:00000001", Locality.ONLINE, False, "", "", "LYON", "")
ENTRY = Entry("run/a", False, 10, 1000, "adler32:00000001", Locality.NEARLINE)
SAME, OTHER_TIME, SHORTER = LocalFile(10, 1000, True), LocalFile(10, 2000, True), LocalFile(9, 1000, True)
FOLDER = LocalFile(10, 1000, False)
SCOPE = Scope("LYON", "run", (), ())
TAPE, DISK, AWAY, UNKNOWN = Locality.NEARLINE, Locality.ONLINE, Locality.OFFLINE, Locality.UNKNOWN


def test_each_decision_has_a_test_here():
    names = {
        name for name, found in vars(plans).items() if inspect.isfunction(found) and found.__module__ == plans.__name__
    }
    text = inspect.getsource(sys.modules[__name__])
    assert len(names) > 10 and {name for name in names if not re.search(rf"\b{name}\(", text)} == set()


@pytest.mark.parametrize(
    ("locality", "downloaded", "here", "overwrite", "action"),
    [
        ("ONLINE", False, None, False, Action.COPY),
        ("NEARLINE", False, None, False, Action.WAIT),
        ("OFFLINE", False, None, False, Action.LOST),
        ("unknown", False, None, False, Action.UNSURE),
        ("ONLINE", True, SAME, False, Action.SKIP),
        ("NEARLINE", True, SAME, False, Action.SKIP),
        ("ONLINE", True, SAME, True, Action.COPY),
        ("NEARLINE", True, SAME, True, Action.WAIT),
        ("ONLINE", True, None, False, Action.COPY),  # somebody has removed it
        ("ONLINE", True, OTHER_TIME, False, Action.ADOPT),  # somebody has touched it
        ("ONLINE", True, LocalFile(10, 1000 + COARSE, True), False, Action.SKIP),  # some disks know times no better
        ("ONLINE", True, SHORTER, False, Action.KEEP),
        ("ONLINE", False, SAME, False, Action.ADOPT),
        ("ONLINE", False, SHORTER, False, Action.KEEP),
        ("ONLINE", False, SHORTER, True, Action.COPY),
        ("ONLINE", False, FOLDER, False, Action.KEEP),
        ("ONLINE", False, FOLDER, True, Action.KEEP),
    ],
)
def test_what_start_does_with_a_file(locality, downloaded, here, overwrite, action):
    row = ROW._replace(locality=Locality(locality), downloaded=downloaded)
    assert copy_action(row, here, overwrite, False) is action


def test_overwrite_concerns_all():
    rows = [ROW._replace(path=path, downloaded=path != "run/c") for path in ("run/a", "run/b", "run/c", "run/d")]
    found = {"run/a": SAME, "run/b": OTHER_TIME, "run/c": SHORTER}
    plan = plan_copies(rows, lambda row: found.get(row.path), True, False)
    assert plan == {**{action: [] for action in Action}, Action.COPY: rows}


@pytest.mark.parametrize("locality", Locality)
def test_an_empty_file_is_made_wherever_it_is(locality):
    assert copy_action(ROW._replace(size=0, locality=locality), None, False, False) is Action.COPY


def test_force_takes_a_file_from_tape():
    assert copy_action(ROW._replace(locality=Locality.NEARLINE), None, False, True) is Action.COPY


STRONG = f"sha256:{'0' * 64}"
HERE = ROW._replace(downloaded=True, verified="adler32", request="r1")


@pytest.mark.parametrize(
    ("known", "listed", "after"),
    [
        ([], ENTRY, ROW._replace(locality=Locality.NEARLINE)),
        ([HERE], ENTRY, HERE._replace(locality=Locality.NEARLINE)),
        # Only the time is new: the checksum says that the content is not.
        ([HERE], ENTRY._replace(mtime=2000), HERE._replace(mtime=2000, locality=Locality.NEARLINE)),
        # New content: what is here is old, but the pin is still held.
        (
            [HERE],
            ENTRY._replace(checksum="adler32:00000002"),
            ROW._replace(checksum="adler32:00000002", locality=Locality.NEARLINE, request="r1"),
        ),
        ([HERE], ENTRY._replace(size=11), ROW._replace(size=11, locality=Locality.NEARLINE, request="r1")),
        # A stronger checksum than was known: the time decides, and from now on the stronger one.
        ([HERE], ENTRY._replace(checksum=STRONG), HERE._replace(checksum=STRONG, locality=Locality.NEARLINE)),
        ([HERE._replace(checksum=STRONG)], ENTRY, HERE._replace(locality=Locality.NEARLINE)),
        (
            [HERE],
            ENTRY._replace(checksum=STRONG, mtime=2000),
            ROW._replace(checksum=STRONG, mtime=2000, locality=Locality.NEARLINE, request="r1"),
        ),
        # Without a checksum the time decides.
        ([HERE], ENTRY._replace(checksum=""), HERE._replace(locality=Locality.NEARLINE)),
        (
            [HERE],
            ENTRY._replace(checksum="", mtime=2000),
            ROW._replace(checksum="", mtime=2000, locality=Locality.NEARLINE, request="r1"),
        ),
    ],
)
def test_a_new_listing_keeps_what_is_known_of_unchanged_files(known, listed, after):
    assert plan_catalog(known, [listed], SCOPE, []) == [after]
    assert [relist_row(row, listed) for row in known or [new_row(listed, "LYON")]] == [after]


@pytest.mark.parametrize(
    ("row", "stays"),
    [
        (ROW, False),
        (ROW._replace(downloaded=True), True),
        (ROW._replace(request="r1"), True),
        (ROW._replace(path="elsewhere/b"), False),
        (ROW._replace(path="elsewhere/b", downloaded=True), True),
        (ROW._replace(site="CNAF", request="r1"), True),
        (ROW._replace(verified="adler32"), False),  # damaged, and not at the site any more
        (ROW._replace(path="elsewhere/b", verified="adler32"), True),
        (ROW._replace(site="CNAF", verified="adler32"), True),
        (ROW._replace(path="run/closed/b"), True),  # a folder that could not be read
        (ROW._replace(path="run/closed2/b"), False),
    ],
)
def test_rows_that_are_not_listed_stay_while_they_are_here_or_pinned(row, stays):
    assert (row in plan_catalog([row], [], SCOPE, ["run/closed"])) is stays


def test_rows_of_a_topmost_folder_that_could_not_be_read_stay():
    assert plan_catalog([ROW], [], SCOPE._replace(folder=""), [""]) == [ROW]


def test_lists_for_this_machine_and_for_another_site_stay_apart():
    there = ROW._replace(site="LYON>CNAF")
    assert is_across(there.site) and not is_across(ROW.site)
    assert plan_catalog([ROW, there], [], SCOPE, []) == [there]
    assert plan_catalog([ROW, there], [], SCOPE._replace(site="LYON>CNAF"), []) == [ROW]


def test_a_listing_counts_only_in_scope():
    scope = Scope("LYON", "run", (re.compile("/03./"),), (re.compile(r".*\.adf"),))
    paths = ["run/03A/a.cdat", "run/03A/a.adf", "run/00A/a.cdat", "run2/03A/a.cdat"]
    rows = plan_catalog([], [ENTRY._replace(path=path) for path in paths], scope, [])
    assert [row.path for row in rows] == ["run/03A/a.cdat"]


@pytest.mark.parametrize(
    ("other", "is_same"),
    [
        (ROW, True),
        (ROW._replace(downloaded=True, locality=TAPE, request="r1", error="?", verified="adler32"), True),
        (ROW._replace(size=11), False),
        (ROW._replace(mtime=1001), False),
        (ROW._replace(checksum="adler32:00000002"), False),
        (ROW._replace(checksum=""), True),  # one of them does not tell
        (ROW._replace(checksum=STRONG), True),  # nobody can compare them
    ],
)
def test_which_rows_are_of_the_same_version_of_a_file(other, is_same):
    assert is_same_file(ROW, other) is is_same
    assert is_same_file(other, ROW) is is_same


@pytest.mark.parametrize(
    ("row", "is_vanished"),
    [
        (ROW._replace(path="run/b", request="r1"), True),
        (ROW._replace(path="run/b"), False),  # nothing holds it
        (ROW._replace(path="run/b", request="r1", downloaded=True), False),  # it is released as all that is here
        (ROW._replace(request="r1"), False),  # it is listed
        (ROW._replace(path="run/closed/b", request="r1"), False),  # a folder that could not be read
        (ROW._replace(path="run/closed", request="r1"), False),  # a file that could not be
        (ROW._replace(path="run/closed2/b", request="r1"), True),
    ],
)
def test_pinned_files_that_the_site_has_no_more_are_to_be_released(row, is_vanished):
    assert plan_vanished([row], [ENTRY], ["run/closed"]) == [row] * is_vanished


def test_nothing_has_vanished_while_the_topmost_folder_can_not_be_read():
    assert plan_vanished([ROW._replace(request="r1")], [], [""]) == []


@pytest.mark.parametrize(
    ("sizes", "room", "wave"),
    [
        ([], 10, []),
        ([4, 3, 3], 10, [4, 3, 3]),
        ([4, 3, 3], 9, [4, 3]),
        ([12, 4, 3], 9, [4, 3]),  # smaller ones need not wait for a large one
        ([1, 0], 1, [1, 0]),
        ([1], 0, []),
        ([0], -1, []),  # more is on its way than there is room for
    ],
)
def test_a_wave_is_what_the_disk_can_hold(sizes, room, wave):
    assert [row.size for row in plan_wave([ROW._replace(size=size) for size in sizes], room)] == wave


PINNED = ROW._replace(locality=TAPE, request="r1")
LOST = f"run/a: {LEFT}"


@pytest.mark.parametrize(
    ("row", "staging", "after"),
    [
        (PINNED._replace(locality=DISK, error="old"), Staging(True), PINNED._replace(locality=DISK)),
        (
            PINNED._replace(locality=DISK),
            Staging(True, "torn"),
            PINNED._replace(locality=DISK),
        ),  # it is there, after all
        (PINNED, Staging(True), PINNED._replace(request="")),  # it is to be asked for anew
        (PINNED, FORGOTTEN, PINNED._replace(request="")),
        (PINNED, Staging(False, "torn"), PINNED._replace(request="", error=f"run/a: {NOT_BROUGHT}: torn")),
        (PINNED._replace(error=LOST), Staging(True, "torn"), PINNED._replace(request="", error=LOST)),  # says more
        (PINNED._replace(locality=AWAY), Staging(True), PINNED._replace(locality=AWAY)),  # pinned all the same
        (PINNED._replace(locality=UNKNOWN), Staging(True), PINNED._replace(locality=UNKNOWN)),
        (
            PINNED._replace(locality=AWAY),
            Staging(False, "torn"),
            PINNED._replace(locality=AWAY, request="", error=f"run/a: {NOT_BROUGHT}: torn"),
        ),
    ],
)
def test_what_a_row_says_when_its_staging_has_ended(row, staging, after):
    assert plan_staged(row, staging) == after


def test_what_a_record_could_not_be_brought_for_is_said_of_the_record():
    row, staging = ROW._replace(locality=TAPE, request="record/run"), Staging(True, "lost")
    assert plan_staged(row, staging).error == f"run/a: {NOT_BROUGHT}: lost"
    assert plan_staged(row, staging, by_record=True).error == f"run: {NOT_BROUGHT}: lost"
    assert (subject_of(row, True), subject_of(row, False)) == ("run", "run/a")


@pytest.mark.parametrize(("by_record", "sizes"), [(False, [200, 200, 100]), (True, [300, 200])])
def test_a_request_has_so_many_files_or_those_of_a_record(by_record, sizes):
    rows = [ROW._replace(path=f"{'a' if number % 5 < 3 else 'b'}/{number}") for number in range(500)]
    found = plan_requests(rows, by_record)
    assert [len(some) for some in found] == sizes
    assert sorted(row for some in found for row in some) == sorted(rows)
    assert not by_record or [{row.path[0] for row in some} for some in found] == [{"a"}, {"b"}]


REFUSED = ROW._replace(locality=TAPE, error=f"run/a: {NOT_BROUGHT}: torn")


@pytest.mark.parametrize(
    ("row", "refused"),
    [
        (REFUSED, True),
        (REFUSED._replace(error=f"run/a: {NOT_ASKED}: 403"), True),
        (REFUSED._replace(error=LOST), True),
        (REFUSED._replace(error="run/a: 503"), False),  # of a copy
        (REFUSED._replace(error=""), False),
        (REFUSED._replace(locality=DISK), False),
        (REFUSED._replace(request="r2"), False),  # it is on its way again
        (REFUSED._replace(downloaded=True), False),
    ],
)
def test_which_files_the_site_would_not_bring(row, refused):
    assert is_refused(row) is refused


@pytest.mark.parametrize(
    ("held", "given_back", "left"),
    [
        ("r1", "r1", ""),
        ("r1 r2", "r1", "r2"),
        ("r1 r2", "r2", "r1"),
        ("r1 r2", "r3", "r1 r2"),
        ("", "r1", ""),
        ("r11", "r1", "r11"),
    ],
)
def test_a_request_that_holds_a_file_no_more(held, given_back, left):
    assert without_request(ROW._replace(request=held), given_back) == ROW._replace(request=left)


def test_staging_asks_once_for_each_file_still_to_be_copied():
    tape = ROW._replace(locality=Locality.NEARLINE)
    asked = [tape, ROW._replace(path="run/on-disk")]
    others = [tape._replace(request="r1"), tape._replace(downloaded=True), tape._replace(size=0)]
    assert plan_staging(asked + others) == asked
    assert plan_staging(asked + others, by_record=True) == [row for row in asked if row.locality is not DISK]


def test_releases_go_by_request_and_at_most_200_files():
    rows = [ROW._replace(path=f"run/{number:03d}", request="r1 r2" if number == 7 else "r1") for number in range(201)]
    planned = plan_calls(rows)
    assert [(request, len(some)) for request, some in planned] == [("r1", 200), ("r1", 1), ("r2", 1)]


def test_totals_count_localities_of_what_remains():
    total = totals_of([ROW, ROW._replace(locality=Locality.NEARLINE), ROW._replace(downloaded=True, size=5)])
    assert total[:4] == (3, 1, 25, 5)
    assert [total.localities[where] for where in Locality] == [1, 1, 0, 0]


@pytest.mark.parametrize(
    ("tape", "staged", "seconds", "left", "rate", "is_slower"),
    [
        (0, 0, 10, 100, 10, False),  # nothing is on tape
        (50, 0, 10, 100, 10, True),  # it has brought nothing yet
        (50, 100, 10, 100, 10, False),  # 5 s of tape, 10 s of line
        (90, 50, 10, 100, 10, True),  # 18 s of tape, 10 s of line
        (50, 100, 10, 50, 0, True),  # nothing is left but on tape
    ],
)
def test_when_the_tape_decides_how_long_it_takes(tape, staged, seconds, left, rate, is_slower):
    assert is_tape_slower(tape, staged, seconds, left, rate) is is_slower
