"""What Python programs are given, from a site in memory."""

from __future__ import annotations

import pickle
import threading
import time
from pathlib import Path

import pytest

from gridsync_parts.doors import MAX_PATHS, Body
from gridsync_parts.errors import (
    BadName,
    CredentialError,
    DoorError,
    FileError,
    GridError,
    Incomplete,
    NotFound,
    OnTape,
    UsageError,
)
from gridsync_parts.face import OpenSite, open_site
from gridsync_parts.table import Settings, Site
from gridsync_parts.telling import IN_PYTHON
from gridsync_parts.values import Entry, Locality, Row, Staging
from tests.support import TOP
from tests.support.memory import Memory, break_off, call_after, fall_silent
from tests.support.user import wait_until

SITE = Site("LYON", "memory:", "", "http", "auto", "", "", "", 30, 10)
FILES = {"a/1": b"one" * 1000, "a/2": b"two" * 1000, "a/b/3": b"three" * 1000, "c/4": b""}


@pytest.fixture
def memory() -> Memory:
    return Memory(FILES)


@pytest.fixture
def site(memory: Memory) -> OpenSite:
    return OpenSite(Settings(SITE, threads=2, retries=0), memory.place)


def paths(rows: list[Row]) -> list[str]:
    return [row.path for row in rows]


def test_files_are_meant_by_path_by_entry_by_row_or_by_several_of_them(site):
    entries = site.ls("a")
    rows = site.find("a/1")
    assert paths(site.find("")) == paths(site.find("/")) == list(FILES)
    assert paths(site.find(["c", "a/b", *rows, *entries])) == list(FILES)
    assert paths(site.find(entries)) == ["a/1", "a/2", "a/b/3"]
    assert site.find(rows) == rows


def test_rows_of_another_site_are_refused(site):
    (row,) = site.find("a/1")
    with pytest.raises(UsageError, match="a/1 is a file of CNAF, not of LYON"):
        site.find(row._replace(site="CNAF"))


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda site: site.ls(None), "None is not a path on the grid; give a text"),
        (lambda site: site.ls(Path("a")), r"PosixPath\('a'\) is not a path on the grid"),
        (lambda site: site.ls("\ud800"), "is not a path on the grid"),
        (lambda site: site.find(None), r"None names no files; give paths, or what ls\(\) and find\(\) give"),
        (lambda site: site.get(["a/1", 5], "here"), "5 names no files"),
        (lambda site: site.status(b"a"), "97 names no files"),
        (lambda site: site.release("a/1"), "'a/1' is no row; give rows that"),
        (lambda site: site.release(None), "None names no files"),
        (lambda site: site.find("a", include=["x"]), r"include=\['x'\] is not a text; separate patterns by ':'"),
        (lambda site: site.find("a", exclude=5), "exclude=5 is not a text"),
        (lambda site: site.put("/etc/hostname", None), "None is not a path on the grid"),
        (lambda site: site.put(5), "5 is not a path of this machine; give a text or a pathlib.Path"),
        (lambda site: site.get("a/1", None), "None is not a path of this machine"),
        (lambda site: site.open(None), "None is not a path on the grid"),
        (lambda site: site.open("a/1", block=0), "block=0 is not a whole number from 1 on; correct it"),
        (lambda site: site.open("a/1", block=1.5), "block=1.5 is not"),
        (lambda site: site.stage("a/1", days=0), "days=0 is not a whole number from 1 on"),
        (lambda site: site.stage("a/1", days="x"), "days='x' is not"),
        (lambda site: open_site(""), "'' is not the name of a site; give one that stands in Grid.conf"),
        (lambda site: open_site(None), "None is not the name of a site"),
        (lambda site: open_site("LYON", 5), "5 is not a path of this machine"),
        (lambda site: open_site("LYON", proxy=5), "5 is not a path of this machine"),
        (
            lambda site: open_site("LYON", token=5),
            "a token of the type int is not a text; name the",
        ),
    ],
)
def test_what_makes_no_sense_is_one_sentence(site, tmp_path, monkeypatch, call, says):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=says) as caught:
        call(site)
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


def test_paths_of_this_machine_may_be_bytes_too(site, tmp_path):
    assert [row.verified for row in site.get("a/1", bytes(tmp_path / "here"))] == ["adler32"]


def test_a_program_may_go_to_another_folder_and_fetch_into_that(site, tmp_path, monkeypatch):
    for number in range(5):
        (tmp_path / str(number)).mkdir()
        monkeypatch.chdir(tmp_path / str(number))
        assert [row.verified for row in site.get("a/1", ".")] == ["adler32"]


def test_no_error_holds_the_frames_that_it_came_through(memory, site):
    """Of which notebooks and test runners show all values: a token, where a door has refused it."""
    memory.order("folder", "a", CredentialError("refused"))
    with pytest.raises(CredentialError) as caught:
        site.ls("a")
    frames = [(frame.path.name, frame.name) for frame in caught.traceback]
    assert frames[-2:] == [("face.py", "ls"), ("telling.py", "__exit__")]
    assert caught.value.__cause__ is caught.value.__context__ is None


def test_an_empty_file_is_verified_by_its_size(site):
    with site.open("c/4") as file:
        assert (file.read(), file.verified) == (b"", "size")


def test_a_folder_that_can_not_be_listed_is_told_with_what_was_found(memory, site, tmp_path):
    memory.order("folder", "a/b", FileError("a/b: closed"))
    with pytest.raises(Incomplete, match=r"^1 folders or files could not be read: a/b: closed$") as caught:
        site.get("a", tmp_path)
    assert paths(caught.value.rows) == ["a/1", "a/2"] and (tmp_path / "a/1").exists()


def test_what_a_listing_leaves_out_is_told(memory, site):
    memory.order("folder", "a", lambda found: (found.leave_out("a/x", "a", "its size makes no sense"), found)[1])
    with pytest.raises(Incomplete, match="its size makes no sense"):
        site.find("a")


def test_one_that_fails_does_not_stop_the_others(memory, site, tmp_path):
    memory.order("read", "a/2", break_off(100), FileError("a/2: broken"))
    with pytest.raises(Incomplete, match=r"^1 of 4 files failed: a/2") as caught:
        site.get("", tmp_path)
    assert [(row.path, bool(row.error), row.verified) for row in caught.value.rows] == [
        ("a/1", False, "adler32"), ("a/2", True, ""), ("a/b/3", False, "adler32"), ("c/4", False, "size"),
    ]  # fmt: skip


def test_a_door_that_is_down_is_not_asked_for_each_file(site, memory, tmp_path):
    def fail_slowly(body: Body) -> Body:
        time.sleep(0.02)
        raise DoorError("the door is down")

    for number in range(100):
        memory.put(f"d/{number}", b"x")
        memory.order("read", f"d/{number}", fail_slowly)
    with pytest.raises(DoorError, match="the door is down"):
        site.get("d", tmp_path)
    assert len(memory.calls("read")) < 80


def test_what_ends_a_call_ends_its_threads(memory, site, tmp_path):
    is_silent = threading.Event()

    def fail_meanwhile(body: Body) -> Body:
        assert is_silent.wait(5)
        body.close()
        raise CredentialError("your proxy ended")

    memory.order("read", "a/1", fall_silent(1000, is_silent))
    memory.order("read", "a/2", fail_meanwhile)
    before = set(threading.enumerate())  # of other tests, too, which may end meanwhile
    with pytest.raises(CredentialError):
        site.get("a", tmp_path)
    assert memory.open == 0
    wait_until(lambda: set(threading.enumerate()) <= before)
    assert site.get("a", tmp_path)[0].verified == "adler32"


@pytest.mark.parametrize("error", [CredentialError("your proxy ended"), GridError("a fault")])
def test_what_concerns_all_files_is_raised_itself(memory, site, tmp_path, error):
    memory.order("read", "a/1", error)
    with pytest.raises(type(error), match=str(error)):
        site.get("", tmp_path)


def test_a_name_that_leads_out_of_the_folder_is_refused(site, tmp_path):
    row = Row("../out", 3, 0, "", Locality.ONLINE, False, "", "", "LYON", "")
    with pytest.raises(Incomplete, match="leads out of OUTPUTDIR"):
        site.get(row, tmp_path / "here")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_two_that_fetch_the_same_files_into_one_folder_both_have_them(tmp_path):
    memory = Memory({f"a/{number}": b"x" * 20_000 for number in range(100)})
    site = OpenSite(Settings(SITE, threads=2, retries=4), memory.place)
    found: list[list[Row]] = []
    threads = [threading.Thread(target=lambda: found.append(site.get("a", tmp_path))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [{row.verified for row in rows} for rows in found] == [{"adler32"}] * 3
    assert len(list(tmp_path.rglob("*"))) == 101  # and nothing unfinished


def test_another_file_that_appears_meanwhile_is_left_alone(memory, site, tmp_path):
    def appear() -> None:
        (tmp_path / "a/1").write_bytes(b"two" * 1000)

    memory.order("read", "a/1", call_after(1500, appear))
    with pytest.raises(Incomplete, match="a different local file has this name; overwrite=True replaces it"):
        site.get("a/1", tmp_path)
    assert (tmp_path / "a/1").read_bytes() == b"two" * 1000


def test_rows_that_were_copied_are_not_read_again(memory, site, tmp_path):
    rows = site.get("a", tmp_path)
    calls = len(memory.calls("read"))
    assert site.get(rows, tmp_path) == rows and len(memory.calls("read")) == calls
    (tmp_path / "a/1").unlink()
    assert site.get(rows, tmp_path) == rows and (tmp_path / "a/1").read_bytes() == FILES["a/1"]


def test_a_request_that_the_site_refuses_leaves_the_others(memory, site, monkeypatch):
    for number in range(MAX_PATHS + 1):
        memory.put(f"t/{number:03}", b"x", locality=Locality.NEARLINE)
    stage = memory.stage

    def refuse_few(paths: list[str], days: int) -> str:
        if len(paths) == 1:
            raise FileError("the site takes no more")
        return stage(paths, days)

    monkeypatch.setattr(memory, "stage", refuse_few)
    with pytest.raises(Incomplete, match=f"^1 of {MAX_PATHS + 1} files failed: .*takes no more") as caught:
        site.stage("t")
    assert [bool(row.request) for row in caught.value.rows] == [True] * MAX_PATHS + [False]


@pytest.mark.parametrize("first", [0, 1, 2])
def test_no_request_that_was_made_is_lost_when_the_proxy_ends(memory, site, monkeypatch, first):
    for number in range(3 * MAX_PATHS):
        memory.put(f"t/{number:03}", b"x", locality=Locality.NEARLINE)
    stage, calls = memory.stage, []

    def end_after_some(paths: list[str], days: int) -> str:
        calls.append(len(paths))
        if len(memory.requests) == first:
            raise CredentialError("your proxy ended")
        return stage(paths, days)

    monkeypatch.setattr(memory, "stage", end_after_some)
    with pytest.raises(Incomplete if first else CredentialError, match="your proxy ended") as caught:
        site.stage("t")
    assert len(calls) == first + 1
    if first:
        rows = caught.value.rows
        assert sum(bool(row.request) for row in rows) == first * MAX_PATHS
        assert all(bool(row.request) != bool(row.error) for row in rows)


def test_pins_that_have_ended_by_themselves_are_no_failure(memory, site, monkeypatch):
    def has_ended(request: str, paths: list[str]) -> None:
        raise NotFound(f"{request}: no such request")

    rows = site.stage("a")
    monkeypatch.setattr(memory, "release", has_ended)
    assert [row.request for row in site.release(rows)] == ["", "", ""]


@pytest.mark.slow
def test_the_site_is_asked_only_of_files_that_are_not_here(memory, site, tmp_path):
    site.get("a", tmp_path)
    memory.asked.clear()
    site.get("", tmp_path)
    assert [set(asked) for asked in memory.calls("localities")] == []  # the other one is empty
    memory.put("a/1", b"new", locality=Locality.NEARLINE)
    (tmp_path / "a/1").unlink()
    with pytest.raises(Incomplete, match="on tape"):
        site.get("a", tmp_path)
    assert [set(asked) for asked in memory.calls("localities")] == [{"a/1"}]


def test_what_was_on_tape_when_it_was_listed_is_asked_for_again_before_it_is_read(memory, site):
    memory.put("t", b"x" * 10, locality=Locality.NEARLINE)
    (entry,) = site.ls("t")
    with pytest.raises(OnTape, match=r"t: is on tape; stage\(\) asks for it"):
        site.open(entry)
    memory.files["t"].locality = Locality.ONLINE
    assert site.open(entry).read() == b"x" * 10
    memory.files["t"].locality = Locality.OFFLINE
    with pytest.raises(FileError, match="its pool is down"):
        site.open("t")


def test_a_staging_that_fails_is_in_its_row(memory, site, monkeypatch):
    memory.put("t", b"x", locality=Locality.NEARLINE)
    memory.is_robot_held = True
    rows = site.stage("t", days=3)
    assert memory.requests == {"r1": {"t": 3}} and rows[0].request == "r1"
    assert site.status(rows) == rows
    monkeypatch.setattr(memory, "stagings", lambda request, paths: {"t": Staging(False, "tape is broken")})
    (row,) = site.status(rows)
    assert (row.request, row.locality) == ("", Locality.NEARLINE)
    assert row.error == "t: could not be brought online: tape is broken"


def test_what_is_on_disk_is_pinned_too_and_a_request_is_not_made_twice(memory, site):
    rows = site.stage("a")
    assert {row.request for row in rows} == {"r1"}
    assert site.stage(rows) == rows and len(memory.requests) == 1
    assert [row.request for row in site.release(rows)] == ["", "", ""]
    assert memory.requests == {"r1": {}}


def test_it_can_be_read_in_place(memory, site):
    (entry,) = [entry for entry in site.ls("a") if entry.path == "a/1"]
    for wanted in ("a/1", entry, site.find("a/1")[0]):
        with site.open(wanted, block=100) as file:
            assert file.read() == FILES["a/1"] and file.verified == "adler32" and file.name == "a/1"


def test_what_is_said_otherwise_in_programs_is_said_somewhere():
    parts = [path.read_text() for path in (TOP / "gridsync_parts").rglob("*.py") if path.name != "telling.py"]
    assert [option for option in IN_PYTHON if not any(option in part for part in parts)] == []


def test_errors_cross_to_other_processes():
    row = Row("a", 3, 0, "", Locality.ONLINE, False, "", "", "LYON", "it failed")
    error = pickle.loads(pickle.dumps(Incomplete("1 of 1 files failed", [row])))
    assert (str(error), error.rows, error.status) == ("1 of 1 files failed", [row], 1)
    passing = pickle.loads(pickle.dumps(DoorError("busy", passing=True, pause=3)))
    assert (passing.passing, passing.pause) == (True, 3)


def test_a_folder_that_can_not_be_written_is_said_before_anything_is_asked(memory, site, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(GridError, match="cannot be made"):
        site.get("a", tmp_path / "file")
    assert not memory.calls("read")


def test_a_name_that_the_door_can_not_serve_is_told(memory, site, tmp_path):
    memory.put("a/100%", b"x")
    memory.order("read", "a/100%", BadName("a/100%: the door lists this name but cannot serve it"))
    with pytest.raises(Incomplete, match="cannot serve it"):
        site.get("a/100%", Path(tmp_path))
    assert isinstance(site.ls("a")[0], Entry)
