"""What is done with local files, by what is at the site, and what grid_uploads.csv says of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gridsync_parts.disk import MARK
from gridsync_parts.doors import Listing
from gridsync_parts.errors import FileError, Forbidden
from gridsync_parts.flow import SEND
from gridsync_parts.jobs import Where
from gridsync_parts.outbox import Local
from gridsync_parts.pace import PACE
from gridsync_parts.pool import Stop
from gridsync_parts.put import NO_FILE
from gridsync_parts.putter import Putter
from gridsync_parts.sending import Sending, put_action
from gridsync_parts.uploads import Upload, Uploads
from gridsync_parts.values import Action, Entry, Locality, Row, Wishes, with_error
from tests.support.memory import Memory

ROW = Row("in/a", 10, 1000, "adler32:00000001", Locality.ONLINE, False, "adler32", "", "LYON", "")
THERE = Entry("in/a", False, 10, 1000, "adler32:00000001")
TEMP = f"in/0a-1{MARK}"


@pytest.mark.parametrize(
    ("there", "row", "plain", "overwrite"),
    [
        (None, {}, Action.COPY, Action.COPY),
        (THERE, {}, Action.SKIP, Action.SKIP),
        (THERE._replace(checksum="adler32:00000002"), {}, Action.ADOPT, Action.ADOPT),
        (THERE._replace(checksum="md5:00"), {}, Action.ADOPT, Action.ADOPT),
        (THERE._replace(checksum=""), {"checksum": ""}, Action.ADOPT, Action.ADOPT),
        (THERE, {"verified": ""}, Action.ADOPT, Action.ADOPT),  # nobody has read it here
        (THERE._replace(size=9), {}, Action.KEEP, Action.COPY),
        (THERE._replace(size=-1), {}, Action.KEEP, Action.COPY),  # somebody is sending it
        (THERE._replace(is_folder=True), {}, Action.KEEP, Action.KEEP),
        (THERE._replace(is_folder=True, size=9), {}, Action.KEEP, Action.KEEP),
    ],
)
def test_what_is_done_with_a_file(there, row, plain, overwrite):
    assert put_action(ROW._replace(**row), there, False) is plain
    assert put_action(ROW._replace(**row), there, True) is overwrite


class Desk:
    """A run that sends files, without a flow around it."""

    def __init__(self, folder: Path, **wishes: bool):
        self.folder = folder
        place = Memory().place
        assert place.writer
        self.putter = Putter(place, place.writer, Stop(), False)
        self.uploads = Uploads(str(folder))
        self.sending = Sending(SEND, PACE, Wishes(**wishes), self.uploads, "LYON", self.putter)

    def local(self, name: str, mtime: int = 1000) -> tuple[Local, str]:
        """A local file of ten bytes, and its path at the site."""
        return Local(name, f"{self.folder}/{name}", 10, mtime), f"in/{name}"

    def known(self, name: str, **more: object) -> Upload:
        """What an earlier run has noted of it."""
        path = os.path.abspath(f"{self.folder}/{name}")
        upload = Upload(path, 10, 1000, "adler32:00000001", "adler32", "LYON", f"in/{name}", "", "")
        self.uploads.put([upload._replace(**more)])
        return self.uploads.by_path("LYON")[f"in/{name}"]

    def note(self) -> dict[str, Upload]:
        """What is noted now."""
        self.sending.put(self.sending.ledger.rows)
        return self.uploads.by_path("LYON")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def listing_of(*entries: Entry) -> Listing:
    listing = Listing()
    listing += entries
    return listing


# What an earlier run knows.


def test_a_file_that_is_new_gets_a_name_of_its_own(desk):
    first, second = (desk.sending.row_of(*desk.local(name)) for name in "ab")
    assert first == ROW._replace(checksum="", verified="")
    names = [desk.putter.temps[row.path] for row in (first, second)]
    assert all(name.startswith("in/") and name.endswith(MARK) for name in names) and len(set(names)) == 2
    assert desk.putter.sources["in/a"] == f"{desk.folder}/a" and not desk.putter.deliverer.open


def test_the_name_is_short_whatever_that_of_the_file(desk):
    desk.sending.row_of(*desk.local("é" * 127))
    (name,) = desk.putter.temps.values()
    assert len(os.fsencode(name)) < 60


@pytest.mark.parametrize(
    ("known", "mtime", "checksum"),
    [
        ({}, 1000, "adler32:00000001"),
        ({}, 1001, ""),
        ({"size": 11}, 1000, ""),
        ({"path": "/elsewhere/a"}, 1000, ""),
        ({"site": "CNAF"}, 1000, ""),
        ({"verified": ""}, 1000, ""),
    ],
)
def test_what_was_read_counts_as_long_as_the_file_is_the_same(tmp_path, known, mtime, checksum):
    desk = Desk(tmp_path)
    (tmp_path / "grid_uploads.csv").touch()
    desk.known("a")
    if known:
        desk.uploads.rows.clear()
        path = os.path.abspath(f"{tmp_path}/a")
        upload = Upload(path, 10, 1000, "adler32:00000001", "adler32", "LYON", "in/a", "", "")
        desk.uploads.put([upload._replace(**known)])
    desk.uploads.noted = 5000.0
    assert desk.sending.row_of(*desk.local("a", mtime)).checksum == checksum


@pytest.mark.parametrize(("known", "computed"), [({}, "adler32:00000001"), ({"verified": ""}, "")])
@pytest.mark.parametrize("mtime", [1000, 2000])
def test_what_was_sent_once_is_known_of_a_file_that_has_changed_since(desk, known, computed, mtime):
    desk.known("a", **known)
    assert desk.sending.row_of(*desk.local("a", mtime)).computed == computed


def test_a_file_as_young_as_what_is_noted_of_it_is_read_again(desk):
    desk.known("a")
    desk.uploads.noted = 1000.0
    assert desk.sending.row_of(*desk.local("a")).checksum == ""


def test_what_an_earlier_run_has_left_is_taken_up_under_its_name(desk):
    desk.known("a", verified="", temp=TEMP)
    desk.sending.plan_folder([desk.local("a")], listing_of(THERE._replace(path=TEMP)), 0)
    assert desk.putter.temps["in/a"] == TEMP and desk.putter.deliverer.open == {TEMP}


def test_where_the_folder_shows_that_nothing_is_left_the_name_alone_is_kept(desk):
    desk.known("a", verified="", temp=TEMP)
    desk.sending.plan_folder([desk.local("a")], listing_of(), 0)
    assert desk.putter.temps["in/a"] == TEMP and not desk.putter.deliverer.open
    assert desk.note()["in/a"].temp == TEMP  # before its first byte


def test_what_a_listing_cannot_say_rightly_is_there(desk):
    desk.known("a", verified="", temp=TEMP)
    listing = listing_of()
    listing.leave_out(TEMP, TEMP, "its size is -1")
    desk.sending.plan_folder([desk.local("a")], listing, 0)
    assert desk.putter.deliverer.open == {TEMP}


def test_what_runs_have_left_of_other_files_is_named(desk):
    for name, more in (("a", {"temp": TEMP}), ("b", {"temp": f"in/b{MARK}"}), ("c", {})):
        desk.known(name, verified="", **more)
    desk.uploads.put([desk.uploads.by_path("LYON")["in/b"]._replace(site="CNAF", target="in/d")])
    assert desk.sending.strangers(["in/a"]) == [f"in/b{MARK}"]
    assert desk.sending.strangers([]) == [TEMP, f"in/b{MARK}"]


# A folder that is there.


def test_the_files_of_a_folder_are_planned_and_noted_before_their_first_bytes(desk):
    files = [desk.local(name) for name in "abcd"]
    entries = [THERE._replace(path="in/b"), THERE._replace(path="in/c", size=9), Entry("in/d", True, 0, 0)]
    desk.sending.plan_folder(files, listing_of(*entries), 0)
    jobs, ledger = desk.sending.jobs, desk.sending.ledger
    assert [row.path for row in jobs.planned.rows] == ["in/a", "in/b"] and jobs.planned.compared == {"in/b"}
    assert [job.row.path for job in jobs.at(Where.LEFT)] == ["in/c", "in/d"] and ledger.is_durable
    assert ledger.errors == [
        "in/c: another file has this name at the site; --overwrite replaces it",
        f"in/d: {NO_FILE}",
    ]
    noted = desk.note()
    assert {path: bool(upload.temp) for path, upload in noted.items()} == {
        "in/a": True, "in/b": True, "in/c": False, "in/d": False,
    }  # fmt: skip
    assert noted["in/c"].error == ledger.errors[0] and not any(upload.verified for upload in noted.values())


def test_what_is_left_of_a_file_that_is_left_alone_is_named(desk):
    desk.known("a", verified="", temp=TEMP)
    desk.sending.plan_folder([desk.local("a")], listing_of(THERE._replace(size=9), THERE._replace(path=TEMP)), 0)
    (error,) = desk.sending.ledger.errors
    assert error.endswith(f"replaces it; some of it may be left at the site as {TEMP}")
    assert desk.note()["in/a"].temp == TEMP


def test_what_is_there_as_it_was_sent_is_not_even_compared(desk):
    desk.known("a")
    desk.uploads.noted = 5000.0
    desk.sending.plan_folder([desk.local("a")], listing_of(THERE), 0)
    assert not desk.sending.jobs.planned.rows and [o.done for o in desk.sending.ledger.outcomes] == ["skipped"]
    assert desk.note()["in/a"].verified == "adler32"


def test_of_a_folder_that_cannot_be_listed_one_sentence_is_said(desk):
    desk.known("a", verified="", temp=TEMP)
    desk.sending.refuse_folder([desk.local(name) for name in "abc"], Forbidden("in: denied"))
    assert desk.sending.ledger.errors == ["in: denied"]
    assert desk.sending.jobs.count(Where.LEFT) == 3
    noted = desk.note()
    assert [noted[f"in/{name}"].error for name in "abc"] == ["in: denied"] * 3
    assert [noted[f"in/{name}"].temp for name in "abc"] == [TEMP, "", ""]  # nobody has looked


# What is noted.


@pytest.mark.parametrize(
    ("row", "is_open", "verified", "temp"),
    [
        ({}, False, "", True),  # it is to be sent
        ({}, True, "", True),
        ({"downloaded": True, "verified": "md5"}, False, "md5", False),
        ({"verified": "md5"}, False, "", True),
        ({"error": "failed"}, False, "", False),
        ({"error": "failed"}, True, "", True),
    ],
)
def test_what_is_noted_of_a_file(desk, row, is_open, verified, temp):
    found = desk.sending.row_of(*desk.local("a"))
    if is_open:
        desk.putter.deliverer.open.add(desk.putter.temps["in/a"])
    upload = desk.sending.upload_of(found._replace(checksum="md5:00", **row))
    expected = (os.path.abspath(f"{desk.folder}/a"), 10, 1000, "md5:00", verified, "LYON", "in/a")
    assert upload[:7] == expected and upload.error == row.get("error", "")
    assert upload.temp == (desk.putter.temps["in/a"] if temp else "")


def test_of_a_run_that_was_ended_only_what_may_be_left_stays_noted(desk):
    desk.known("z", verified="", temp=f"in/z{MARK}")
    desk.sending.plan_folder([desk.local(name) for name in "abc"], listing_of(), 0)
    desk.note()
    desk.putter.deliverer.open.add(desk.putter.temps["in/b"])
    desk.sending.put([with_error(desk.sending.jobs.planned.rows[2], "c: failed")])
    desk.sending.forget_idle()
    noted = Uploads(str(desk.folder)).by_path("LYON")
    assert {path for path, upload in noted.items() if upload.temp} == {"in/b", "in/z"}


def test_a_door_that_cannot_rename_gets_files_under_their_names(desk):
    desk.putter.place = desk.putter.place._replace(can=desk.putter.place.can._replace(renames=False))
    row = desk.sending.row_of(*desk.local("a"))
    assert desk.putter.temps == {"in/a": "in/a"} and desk.sending.upload_of(row).temp == ""


# One attempt.


def test_what_becomes_of_an_attempt(desk):
    fault = FileError("elsewhere: failed")
    found = desk.sending.row_of(*desk.local("a"))
    desk.putter.deliverer.open.add(temp := desk.putter.temps["in/a"])
    outcome = desk.putter.give_up(found, fault)
    assert (outcome.done, outcome.row.error) == ("failed", "in/a: elsewhere: failed")
    assert not desk.putter.deliverer.open
    outcome = desk.putter.give_up(found, FileError(f"https://door/{temp}: failed"))
    assert outcome.row.error == "https://door/in/a: failed"  # our own names mean nothing to a user
    desk.putter.stop.set()
    assert desk.putter.give_up(found, FileError("interrupted")).done == "interrupted"
