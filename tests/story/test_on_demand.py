"""Files on demand at the Open Data portal: asked for once a record, whoever asks, and believed by the files alone."""

from __future__ import annotations

import json
import math
import re
import signal
import time
from collections import Counter

import pytest

from gridsync_parts.doors import recall
from gridsync_parts.plans import NOT_ASKED
from tests.support.reader import Reader, last
from tests.support.terminal import CTRL_C, ctrl_c, dialogue
from tests.support.user import wait_for, wait_until

FAST = "LEAST = 0.2; poll_most = 0.3; ask = 0.2"  # whoever waits here waits for no real tape
A, B, C, D = (bytes([65 + number]) * (3000 + number) for number in range(4))
MOMENT = r"\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d UTC \d{4}"
FILES = {"a.root": A, "b.root": B, "c.root": C, "d.root": D}
COLD = ("a.root", "b.root", "c.root")
ON_TAPE = ": is on demand, and not on disk; --bring_online asks the portal for it"
LAUNCHED = " ** Staging launched for {} file(s), {} in {} record(s) **\n"


@pytest.fixture
def reader(grid, portal, tmp_path) -> Reader:
    """Somebody whose record has three files on tape, two of them in an index, and one on disk."""
    portal.add("cms-1", FILES, on_demand=COLD, index=["a.root", "b.root"])
    reader = Reader(grid, tmp_path, portal)
    assert reader("--input_dir=cms-1 --build_list").status == 0
    return reader


def posts(reader: Reader) -> list[dict[str, str]]:
    """What was asked of the portal's tape."""
    asked = [one for one in reader.portal.requests if one.method == "POST"]
    assert all(re.fullmatch("/record/[^/]+/stage", one.path) for one in asked)
    return [json.loads(one.body) for one in asked]


def beside(reader: Reader, name: str) -> Reader:
    """The same person in another work folder."""
    folder = reader.folder / name
    folder.mkdir()
    other = Reader(reader.grid, folder, reader.portal)
    other.env["HOME"] = reader.env["HOME"]
    assert other("--input_dir=cms-1 --build_list").status == 0
    return other


# One after the other.


def test_the_steps_of_the_manual(reader):
    assert "remaining status: ONLINE=2, NEARLINE=3, OFFLINE=0, unknown=0\n" in reader("--check_status").out
    status, out, err = reader("--bring_online")
    assert (status, err) == (0, "") and LAUNCHED.format(3, "8.8 kB", 1) in out
    assert " Number of files to bring online: 3\n" in out
    assert posts(reader) == [{"email": ""}]
    assert {row["request"] for row in reader.catalog().values() if row["locality"] == "NEARLINE"} == {"record/cms-1"}
    said = rf"(?m)^cms-1: asked for at {MOMENT}, 0m\d\ds ago; 3 file\(s\), 8.8 kB, are on their way from tape$"
    assert re.search(said, reader("--check_status").out)
    status, out, err = reader("--start")
    assert (status, last(copied=2, waiting=3) in out) == (1, True), out + err
    assert "3 file(s) are on their way from tape" in err
    reader.portal.finish("cms-1")
    out = reader("--check_status").out
    assert "ONLINE=3, NEARLINE=0" in out and "asked for" not in out
    status, out, err = reader("--start")
    assert (status, last(copied=3, skipped=2) in out) == (0, True), out + err
    assert reader.here() == {f"cms-1/{name}": data for name, data in FILES.items()}
    assert not any(row["request"] for row in reader.catalog().values())
    assert len(posts(reader)) == 1


@pytest.mark.long
def test_the_status_says_of_each_record_since_when_it_is_asked_for(reader):
    for number in range(2, 24):
        reader.portal.add(f"cms-{number}", {"e.root": A, "f.root": B}, on_demand=["e.root", "f.root"])
    chosen = "--input_dir=" + ":".join(f"cms-{number}" for number in range(1, 24))
    assert reader(f"{chosen} --build_list").status == 0
    reader.portal.asked_by_other("cms-2", "started", age=7500)
    assert reader("--bring_online").status == 0
    out = reader("--check_status").out
    said = rf"(?m)^cms-2: asked for at {MOMENT}, 2h0\dm ago; 2 file\(s\), 5.9 kB, are on their way from tape$"
    assert re.search(said, reader("--check_status --verbose").out)
    assert len(re.findall("(?m)^cms-[0-9]+: asked for at ", out)) == 20
    assert "\n... and 3 more record(s) with 6 file(s) (--verbose shows all)\n[catalog] Files status\n" in out
    coming = {one["record"]: one for one in json.loads(reader("--check_status --json").out)["coming"]}
    assert len(coming) == 23 and coming["cms-1"]["files"] == 3 and coming["cms-2"]["size"] == len(A + B)
    assert 7400 < time.time() - coming["cms-2"]["since"] < 7700
    assert time.time() - coming["cms-3"]["since"] < 200


def test_a_request_that_has_just_ended_is_not_called_at_work(reader):
    reader.portal.asked_by_other("cms-1", "started")
    assert reader("--bring_online").status == 0
    reader.portal.transfers[-1].started = reader.portal.transfers[-1].completed = time.time()
    out = reader("--check_status").out
    assert "\ncms-1: asked for; 3 file(s), 8.8 kB, have not come from tape yet\n" in out


def test_one_line_of_cron_asks_once_until_all_is_here(reader):
    for _ in range(3):
        assert reader("--build_list --bring_online --start --quiet").status == 1
    reader.portal.finish("cms-1")
    assert reader("--build_list --bring_online --start --quiet").status == 0
    assert len(posts(reader)) == 1 and len(reader.here()) == 4


def test_a_dry_run_counts_records_and_asks_nothing(reader):
    out = reader("--bring_online --dry_run").out
    assert "(DRY RUN) would ask for 3 files, 8.8 kB, in 1 request(s)\n" in out and "on disk at the site: 2" in out
    assert "(DRY RUN) would ask for 3 files, 8.8 kB, in 1 request(s)\n" in reader("--sync --dry_run").out
    assert not posts(reader) and not any("requests" in one.path for one in reader.portal.requests)


def test_there_is_nothing_to_release(reader):
    reader("--bring_online")
    before, asked = reader.catalog(), len(reader.portal.requests)
    status, out, err = reader("--release")
    assert (status, err) == (0, "") and out.endswith(": there is nothing to release\n")
    assert reader.catalog() == before and len(reader.portal.requests) == asked


def test_only_the_index_is_asked_for_if_no_more_is_wanted(reader):
    assert reader("--inc=[ab].root --bring_online").status == 0
    assert posts(reader) == [{"email": "", "file": "CMS-1_file_index.json"}]
    assert reader("--inc=c.root --bring_online").status == 0
    assert posts(reader)[1:] == [{"email": ""}]  # c stands in no index


@pytest.mark.long
def test_many_files_of_many_records_take_a_request_a_record(reader):
    names = {f"{number:03}.root": bytes([number % 256]) for number in range(450)}
    for number in range(3):
        reader.portal.add(f"many-{number}", names, on_demand=list(names), index=list(names))
    (reader.folder / "list").write_text("".join(f"many-{number}\n" for number in range(3)))
    chosen = f"--files_from={reader.folder}/list"
    assert reader(f"{chosen} --build_list").status == 0
    reader.portal.requests.clear()
    status, out, err = reader(f"{chosen} --bring_online")
    assert (status, err) == (0, "") and LAUNCHED.format(1350, "1.3 kB", 3) in out
    assert len(posts(reader)) == 3 and len(reader.portal.asked(method="GET")) == 6  # each record, and its requests
    assert reader.portal.log.most_at_once(role="portal") <= 4


@pytest.mark.long
def test_ten_thousand_files_of_three_hundred_records_take_three_requests_a_record(reader):
    """To look, to see who has asked, and to ask."""
    portal, names = reader.portal, [f"{number}.root" for number in range(34)]
    for number in range(300):
        portal.add(f"lhcb-{number}", {name: b"%d" % number for name in names}, on_demand=names, index=names)
    (reader.folder / "list").write_text("".join(f"lhcb-{number}\n" for number in range(300)))
    chosen, reader.limit = f"--files_from={reader.folder}/list", 600
    reader.changed = "LEAST = 600"  # seconds for which an answer is good, which a slow machine takes
    counts = []
    for line in ("--build_list --quiet", "--bring_online", "--check_status"):
        portal.requests.clear()
        assert reader(f"{chosen} {line}").status == 0
        counts.append(Counter((one.method, one.path.split("/")[1]) for one in portal.requests))
        assert max(one.in_flight for one in portal.requests) <= 4
    looks, asks = {("GET", "api"): 300}, {("GET", "transfer_requests_content"): 300}
    assert counts == [looks, {**looks, **asks, ("POST", "record"): 300}, {**looks, **asks}]


# Whoever has asked.


@pytest.mark.parametrize("state", ["submitted", "started"])
def test_another_users_request_is_followed(reader, state):
    reader.portal.asked_by_other("cms-1", state)
    status, out, err = reader("--bring_online")
    assert (status, err) == (0, "") and LAUNCHED.format(3, "8.8 kB", 1) in out
    assert not posts(reader)
    reader.portal.finish("cms-1")
    assert last(copied=5) in reader("--sync").out and not posts(reader)


def test_another_users_request_for_an_index_does_not_bring_the_rest(reader):
    reader.portal.asked_by_other("cms-1", "started", file="CMS-1_file_index.json")
    assert reader("--bring_online").status == 0
    assert posts(reader) == [{"email": ""}]


@pytest.mark.long
def test_two_runs_at_the_same_time_ask_once(reader):
    others = [beside(reader, f"other{number}") for number in range(2)]
    three = others[1].running("--sync", FAST)
    with reader.running("--bring_online") as one, others[0].running("--bring_online") as two, three as waiting:
        assert wait_for(one).status == wait_for(two).status == 0
        wait_until(lambda: len(others[1].here()) == 1)
        reader.portal.finish("cms-1")
        assert wait_for(waiting).status == 0
    assert len(posts(reader)) == 1
    for other in others:
        assert other("--sync").status == 0
    assert len(posts(reader)) == 1


def test_a_run_that_was_killed_after_it_has_asked_is_not_repeated(reader):
    reader.portal.faults.add("/record/cms-1/stage", "stall_in_body", count=1, seconds=3)  # its answer comes too late
    with reader.running("--bring_online") as run:
        wait_until(lambda: reader.portal.transfers)
        run.send_signal(signal.SIGKILL)
        run.wait()
    assert not any(row["request"] for row in reader.catalog().values())
    assert reader("--bring_online").status == 0
    assert len(posts(reader)) == 1 and sum(bool(row["request"]) for row in reader.catalog().values()) == 3


def test_an_answer_that_is_lost_is_not_taken_for_none(reader):
    reader.portal.faults.add("/record/cms-1/stage", "reset_in_body", count=1, at=0)
    assert reader("--bring_online").status == 0
    assert len(posts(reader)) == 1


# --sync.


def test_sync_copies_what_is_on_disk_while_the_rest_is_staged(reader):
    with reader.running("--sync", FAST) as run:
        wait_until(lambda: list(reader.here()) == ["cms-1/d.root"] and posts(reader))
        reader.portal.finish("cms-1", ["b.root"])
        wait_until(lambda: "cms-1/b.root" in reader.here())
        reader.portal.finish("cms-1")
        status, out, err = wait_for(run)
    assert (status, last(copied=5) in out) == (0, True), out + err
    assert reader.here() == {f"cms-1/{name}": data for name, data in FILES.items()} and len(posts(reader)) == 1


@pytest.mark.long
def test_sync_asks_anew_for_what_has_gone_back_to_tape(reader):
    """As the portal's own pin ends after 18 hours."""
    portal = reader.portal
    portal.faults.add(
        "/eos/opendata/cms/cms-1/a.root", "meanwhile", count=1, happens=lambda: portal.evict("cms-1", ["a.root"])
    )
    with reader.running("--sync", FAST + "; AGAIN = 1") as run:
        wait_until(lambda: posts(reader))
        portal.finish("cms-1")
        wait_until(lambda: len(posts(reader)) == 2)
        portal.finish("cms-1")
        status, out, err = wait_for(run)
    assert (status, last(copied=5) in out) == (0, True), out + err
    assert posts(reader) == [{"email": ""}, {"email": "", "file": "CMS-1_file_index.json"}]
    assert reader.here() == {f"cms-1/{name}": data for name, data in FILES.items()}

def test_completed_is_not_believed_and_asked_again_with_patience(reader):
    """portal#378."""
    reader.portal.switches.completes, reader.portal.switches.stage_seconds = "cold", 0
    with reader.running("--sync", FAST + "; AGAIN = 1.5") as run:
        wait_until(lambda: len(posts(reader)) == 3, 60)
        times = [one.time for one in reader.portal.requests if one.method == "POST"]
        reader.portal.switches.completes = "right"
        status, out, err = wait_for(run)
    assert times[1] - times[0] > 1.2 and times[2] - times[1] > 1.8 * (times[1] - times[0]) * 0.7
    assert (status, last(copied=5) in out) == (0, True), out + err
    sentence = "cms-1: could not be brought online: the portal calls its request finished, and files are on tape still"
    assert err.count(sentence) == 1 and "; it is asked for again, later each time" in err


@pytest.mark.long
def test_what_is_never_brought_is_named_once_in_the_end(reader):
    reader.portal.switches.completes, reader.portal.switches.stage_seconds = "cold", 0
    with reader.running("--sync", FAST + "; AGAIN = 0.1; MOST = 0.2") as run:
        status, out, err = wait_for(run)
    assert (status, last(copied=2, failed=3) in out) == (1, True), out + err
    assert len(posts(reader)) == 10
    assert len([line for line in err.splitlines() if "gridsync.py: cms-1: could not be brought online" in line]) == 1
    assert all("could not be brought online" in reader.catalog()[f"cms-1/{name}"]["error"] for name in COLD)


def test_failed_transfers_are_told(reader):
    other = reader.portal.asked_by_other("cms-1", "completed", age=3600)
    other.failed = 3
    reader("--bring_online")
    transfer = reader.portal.transfers[-1]
    transfer.failed, transfer.created = 5, time.time() - 7200
    transfer.started = transfer.completed = time.time() - 3600
    status, _, err = reader("--check_status")
    assert status == 1 and err.count("gridsync.py: ") == 1
    assert "cms-1: could not be brought online: " in err and "; 5 of its transfers have failed so far" in err
    assert not any(row["request"] for row in reader.catalog().values())
    assert reader("--bring_online").status == 1  # it tells that, and asks again
    assert len(posts(reader)) == 2


def test_what_could_not_be_asked_for_is_no_failure_once_it_is(reader):
    reader.portal.goes_wrong("502 once", path="/record/cms-1/stage", count=9)
    status, _, err = reader("--bring_online")
    assert (status, f"gridsync.py: cms-1: {NOT_ASKED}: the portal answers 502" in err) == (1, True), err
    reader.portal.faults.clear()
    status, out, err = reader("--bring_online")
    assert (status, err) == (0, "") and LAUNCHED.format(3, "8.8 kB", 1) in out


@pytest.mark.long
def test_a_stage_that_never_ends_is_told_and_given_up(reader):
    reader.portal.asked_by_other("cms-1", "started", age=24 * 3600)
    assert reader("--bring_online").status == 0
    status, _, err = reader("--check_status")
    assert status == 1 and err.count("gridsync.py: ") == 1
    assert "gridsync.py: cms-1: stuck on the way from tape since " in err
    with reader.running("--sync", FAST + "; idle = 2") as run:
        status, out, err = wait_for(run)
    assert (status, last(copied=2, failed=3) in out) == (1, True), out + err
    assert err.count("cms-1: stuck on the way from tape since ") == 1 and not posts(reader)
    reader.portal.finish("cms-1")
    assert reader("--sync").status == 0


@pytest.mark.parametrize(
    ("verb", "seen_last", "ends"),
    [("--sync", "3 still on tape", 130), ("--bring_online", "0 files ONLINE over 3, 3 remaining", 0)],
)
def test_ctrl_c_loses_nothing(reader, verb, seen_last, ends):
    status, seen = dialogue(reader.command(verb), reader.env, [(seen_last, CTRL_C)])
    assert seen.count("Files come from tape in hours, or days; Ctrl-C is safe") == 1
    assert status == ends and "number" not in seen.partition(seen_last)[2], seen
    reader.portal.finish("cms-1")
    assert reader("--sync").status == 0 and len(posts(reader)) == 1


@pytest.mark.long
def test_who_waits_sees_for_how_long_nothing_has_come(reader):
    with reader.running("--sync", FAST + "; RATE_SPAN = 0.5; REPEAT = 0.3") as run:
        wait_until(lambda: posts(reader))
        time.sleep(3)
        reader.portal.finish("cms-1")
        status, out, err = wait_for(run)
    assert (status, last(copied=5) in out) == (0, True), out + err
    assert re.search(r"(?m)^Tape: 0 waiting, 3 staging, nothing has come for 0m0\ds; disk: 0 to copy, 0 copying$", err)
    assert err.count("Files come from tape in hours, or days; Ctrl-C is safe: the portal goes on, ") == 1
    assert "Ctrl-C is safe" not in reader("--sync").err  # nothing is on tape any more


# Refused.


@pytest.mark.long
def test_a_portal_that_refuses_is_named_with_the_page_and_others_go_on(reader):
    """portal#405."""
    reader.portal.add("cms-2", {"e.root": A}, on_demand=["e.root"])
    reader.portal.faults.add("/record/cms-1/stage", 403)
    (reader.folder / "list").write_text("cms-1\ncms-2\n")
    chosen = f"--files_from={reader.folder}/list"
    assert reader(f"{chosen} --build_list").status == 0
    status, out, err = reader(f"{chosen} --bring_online")
    assert status == 1 and LAUNCHED.format(1, "2.9 kB", 1) in out
    page = f"{reader.portal.base}/record/cms-1"
    sentence = f"cms-1: {NOT_ASKED}: the portal refuses to bring its files from tape; ask for them by hand at {page}"
    assert err == f"gridsync.py: {sentence}\n"
    assert len(posts(reader)) == 2
    with reader.running(f"{chosen} --sync", FAST) as run:
        wait_until(lambda: "cms-1/d.root" in reader.here())
        reader.portal.finish("cms-2")
        status, out, err = wait_for(run)
    assert (status, last(copied=4, failed=3) in out) == (1, True), out + err
    assert err.count(sentence) == 1
    reader.portal.finish("cms-1")  # somebody has asked by hand
    assert reader(f"{chosen} --sync").status == 0


def test_a_portal_that_refuses_everybody(reader):
    reader.portal.switches.may_stage = False
    status, out, err = reader("--bring_online")
    assert status == 1 and LAUNCHED.format(0, "0.0 B", 0) in out and err.count("gridsync.py: ") == 1


# Bytes, all the same.


def test_force_finds_that_it_is_on_tape(reader):
    status, out, err = reader("--start --force")
    assert (status, last(copied=2, failed=3) in out, err.count(ON_TAPE)) == (1, True, 3), out + err
    assert not posts(reader) and sorted(reader.here()) == ["cms-1/d.root"]


@pytest.mark.parametrize("code", [403, 404, 503])
def test_force_finds_the_same_whatever_the_portal_answers(reader, code):
    reader.portal.faults.add("/eos/opendata/cms/cms-1/a.root", code)
    status, out, err = reader("--start --force")
    assert (status, last(copied=2, failed=3) in out, err.count(ON_TAPE)) == (1, True, 3), out + err


def test_a_run_is_ended_while_it_asks(reader):
    """Nothing has to be known of the request to find it again."""
    reader.portal.faults.add("/record/cms-1/stage", "stall_in_body", count=1, seconds=3)
    began = time.monotonic()
    status, seen = ctrl_c(reader.command("--bring_online"), reader.env, lambda: reader.portal.transfers)
    assert status == 130 and "number" not in seen and "pins" not in seen and time.monotonic() - began < 60
    assert reader("--bring_online").status == 0 and len(posts(reader)) == 1


def test_without_its_tape_the_portal_is_not_asked(reader):
    reader.set("TAPE_API", "none", "OPEN")
    status, _, err = reader("--bring_online")
    assert status == 1 and "3 file(s) are on tape, but the site names no tape service" in err and not posts(reader)


def test_python_asks_once_a_record_too(reader, monkeypatch):
    import gridsync

    for name, value in reader.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("X509_USER_PROXY", raising=False)
    with gridsync.open_site("OPEN", conf=str(reader.folder / "Grid.conf")) as site:
        rows = site.stage("cms-1")
        assert {row.request for row in rows if row.path.endswith(COLD)} == {"record/cms-1"}
        assert not any(row.request for row in rows if not row.path.endswith(COLD)) and len(posts(reader)) == 1
        reader.portal.finish("cms-1")
        for name, value in {"LEAST": 0, "RATE": math.inf}.items():
            monkeypatch.setattr(recall, name, value)
        assert all(row.locality is gridsync.Locality.ONLINE for row in site.status(rows))
