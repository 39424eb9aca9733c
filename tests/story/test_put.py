"""--put: a local folder or file into a folder of the site, verified, and nothing there that was not meant."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
from pathlib import Path

import pytest

from gridsync_parts.catalog import Lock
from gridsync_parts.disk import MARK
from tests.grid import Grid
from tests.support.sender import DOORS, Sender, last_line
from tests.support.user import wait_for, wait_until

ROOT = os.geteuid() == 0


@pytest.fixture(params=DOORS)
def sender(request: pytest.FixtureRequest, grid: Grid, tmp_path: Path, folder: str) -> Sender:
    return Sender(grid, tmp_path, folder, request.param)


def noted(sender: Sender) -> dict[str, dict[str, str]]:
    """grid_uploads.csv, by the names of files."""
    with (sender.folder / "grid_uploads.csv").open(newline="") as file:
        return {row["target"].rpartition("/")[2]: row for row in csv.DictReader(file)}


def test_a_folder_is_there_verified_and_a_further_run_sends_nothing(sender):
    conf = (sender.folder / "Grid.conf").read_text()
    done = sender.put()
    assert (done.status, done.err) == (0, ""), done
    assert re.search(last_line(sent=4), done.out)
    assert sender.there() == sender.here()
    for row in noted(sender).values():
        assert (row["verified"], row["error"], row["temp"], row["site"]) == ("adler32", "", "", sender.site)
        assert row["target"] == f"{sender.target}/{Path(row['path']).relative_to(sender.results)}"
    assert (sender.folder / "Grid.conf").read_text() == conf
    sender.door.log.clear()
    again = sender.put()
    assert again.status == 0 and re.search(last_line(skipped=4), again.out)
    assert not sender.count(method="PUT") and sender.there() == sender.here()


def test_a_fault_in_the_last_call_is_no_success(sender):
    with sender.running(sender.line(), "prepare = lambda *_: 1 / 0") as run:
        done = wait_for(run)
    assert done.status == 70 and "ZeroDivisionError" in done.err and not sender.there()


def test_a_file_alone_goes_into_the_folder(sender):
    done = sender.put(what=str(sender.results / "sub/b"))
    assert done.status == 0 and re.search(last_line(sent=1), done.out)
    assert sender.there() == {"b": (sender.results / "sub/b").read_bytes()}


def test_patterns_count_on_the_line_alone_and_say_what_they_leave_out(sender):
    sender.set("INCLUDE", "nothing", "gridsync")
    sender.set("EXCLUDE", "b", "gridsync")
    assert sender.put().status == 0 and sender.there() == sender.here()
    sender.fill("sub/new", b"1")
    sender.fill("new", b"1")
    done = sender.put("--inc ^sub/ --exc deep")
    assert "--inc and --exc leave out 4 file(s)\n" in done.err and re.search(last_line(sent=1, skipped=1), done.out)
    assert "sub/new" in sender.there() and "new" not in sender.there()


def test_another_file_there_is_left_alone_unless_it_is_to_be_replaced(sender):
    sender.put()
    kept = sender.there()
    sender.fill("a", b"other")
    size = len(sender.fill("sub/b", os.urandom(200_000)).read_bytes())
    done = sender.put()
    assert done.status == 1 and re.search(last_line(skipped=2, failed=2), done.out)
    for name in ("a", "sub/b"):
        says = f"gridsync.py: {sender.target}/{name}: another file has this name at the site; --overwrite replaces it\n"
        assert says in done.err
    assert sender.there() == kept and noted(sender)["a"]["error"]
    done = sender.put("--overwrite")
    assert done.status == 0 and re.search(last_line(sent=2, skipped=2), done.out), done
    assert sender.there() == sender.here() and len(sender.there()["sub/b"]) == size
    assert {row["error"] for row in noted(sender).values()} == {""}


@pytest.mark.parametrize("later", [-1000, 1000])
def test_a_file_that_has_changed_is_not_taken_for_sent_where_the_door_knows_no_checksum(sender, later):
    sender.put()
    sent = sender.there()["a"]
    sender.grid.tree.file(f"agata/{sender.target}/a").checksums = ()
    assert re.search(r"Sent: 0, skipped: 4, failed: 0.*checksum: 3, by size only: 1\n", sender.put().out)
    when = sender.results.joinpath("a").stat().st_mtime + later
    os.utime(sender.results / "a", (when, when))
    assert sender.put().status == 0  # its bytes are those that were sent
    other = bytes([sent[0] ^ 1]) + sent[1:]  # turned round, one file in 3,000 has the same adler32
    sender.fill("a", other)
    os.utime(sender.results / "a", (when + 5, when + 5))
    done = sender.put()
    assert done.status == 1 and re.search("Sent: 0, skipped: 3, failed: 1", done.out)
    assert f"{sender.target}/a: another file has this name at the site; --overwrite replaces it" in done.err
    assert sender.there()["a"] == sent and sender.put("--overwrite").status == 0 and sender.there()["a"] == other


def test_a_folder_in_the_way_is_named_and_the_others_go_on(sender):
    sender.grid.tree.folder(f"agata/{sender.target}/a")
    sender.grid.tree.add(f"agata/{sender.target}/sub", 10)
    done = sender.put()
    assert done.status == 1 and re.search(last_line(sent=1, failed=3), done.out)
    assert f"{sender.target}/a: what has this name at the site is not a file; move it away\n" in done.err
    assert f"{sender.target}/sub: is a file at the site, and a folder here; move one of them away\n" in done.err
    assert done.err.count("\n") == 2


def test_a_folder_that_is_made_meanwhile_is_not_replaced(sender):
    def make() -> None:
        sender.grid.tree.add(f"agata/{sender.target}/a/theirs", 10)

    sender.door.faults.add(f"*{sender.target}/*{MARK}", "meanwhile", method="PUT", happens=make)
    done = sender.put("--overwrite", what=str(sender.results / "a"))
    sender.door.faults.clear()
    assert done.status == 1 and f"{sender.target}/a: what has this name at the site is not a file" in done.err, done
    assert list(sender.there()) == ["a/theirs"]


def test_what_is_no_file_is_named_and_not_sent(sender):
    (sender.results / "link").symlink_to("a")
    (sender.results / "broken").symlink_to("nowhere")
    shutil.copy(sender.folder / "Grid.conf", sender.results)
    os.mkfifo(sender.results / "pipe")
    done = sender.put()
    assert done.status == 1 and re.search(last_line(sent=4, failed=1), done.out)
    for name in ("link", "broken"):
        assert f"{sender.results}/{name}: is a link and is not sent; name what it leads to with --put\n" in done.err
    assert f"{sender.results}/Grid.conf: is one of gridsync's own files and is not sent\n" in done.err
    assert f"gridsync.py: {sender.results}/pipe: is not a regular file and cannot be sent\n" in done.err
    assert sorted(sender.there()) == ["a", "empty", "sub/b", "sub/deep/c"]


def test_a_dry_run_says_what_would_go_and_changes_nothing(sender):
    sender.grid.tree.add(f"agata/{sender.target}/a", 11)
    sender.grid.tree.add(f"agata/{sender.target}/empty", 0)
    sender.door.log.clear()
    done = sender.put("--dry_run")
    assert done.status == 0, done
    says = (
        "(DRY RUN) would send 2 files, 3.1 MB, and make 2 folder(s)\n"
        "(DRY RUN) would skip 2 files, 10.0 B (to be compared: 1; another file has the name: 1)\n"
    )
    assert says in done.out
    assert not {record.method for record in sender.door.log} & {"PUT", "MKCOL", "MOVE", "DELETE"}
    assert not (sender.folder / "grid_uploads.csv").exists()
    document = json.loads(sender.put("--dry_run --json").out)["dry_run"]
    assert (document["copy"], document["bytes"], document["folders"]) == (2, 3_200_000, 2)


def test_one_json_document_tells_what_was_sent(sender):
    document = json.loads(sender.put("--json").out)
    counts = {"sent": 4, "skipped": 0, "failed": 0, "bytes": 3_200_010, "checked": 4, "sized": 0}
    assert {name: document["put"][name] for name in counts} == counts and document["status"] == 0


@pytest.mark.every(1)
@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("--put nowhere --input_dir x", "--put nowhere: No such file or directory; name a file or folder of this"),
        ("--put /dev/null --input_dir x", "--put /dev/null: is not a regular file or folder; name one"),
        ("--put results", "no folder of the site is chosen; give one with --input_dir=path"),
        ("--put results --input_dir x --start", "--put remembers nothing and stands alone; run --start on a line of"),
        ("--put --input_dir x", "--put has no value: --input_dir is an option; --put=--input_dir makes it the value"),
        ("--put results --input_dir x --put y", "--put is given twice, and would send the last one only; run it once"),
        ("--put results --input_dir x --output_dir y", "--output_dir means nothing for --put; leave it out"),
        ("--put results --input_dir x --streams 2", "--streams means nothing for --put; leave it out"),
        ("--put results --input_dir x --force", "--force means nothing for --put; leave it out"),
        ("--put results --input_dir x --nochecksum", "--nochecksum means nothing for --put; leave it out"),
        ("--put results --input_dir x --inc (", "--inc: '(' is not a regular expression: missing )"),
    ],
)  # fmt: skip
def test_a_line_that_makes_no_sense_is_refused(user, line, says):
    (user.folder / "results").mkdir()
    user.set("INPUTDIR", "", "gridsync")
    done = user(line.replace("results", str(user.folder / "results")))
    assert (done.status, done.out.count("Sent")) == (2, 0) and says in done.err


def test_what_cannot_take_files_says_so(user):
    (user.folder / "a").touch()
    user.set("ENGINE", "gfal2")
    done = user(f"--put {user.folder / 'a'} --input_dir x")
    assert done.status == 2
    says = "gridsync cannot send files to the site LYON with ENGINE = gfal2"
    assert says in done.err and "it can at https:// with ENGINE = http" in done.err


def test_another_run_in_the_work_folder_is_waited_for_by_the_user(sender):
    with Lock(str(sender.folder)):
        assert sender.put().status == 6
    assert not sender.there()


# What fails.


def left(sender: Sender) -> list[str]:
    """What is there that is not finished."""
    return [name for name in sender.there() if name.endswith(MARK)]


def test_a_file_that_cannot_be_read_is_named_and_the_others_go_on(sender):
    (sender.results / "a").chmod(0)
    sender.before = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all") if ROOT else ()
    done = sender.put()
    assert done.status == 1 and re.search(last_line(sent=3, failed=1), done.out), done
    assert f"{sender.results}/a: cannot be read: Permission denied" in done.err and not left(sender)


@pytest.mark.parametrize("status", [403, 413, 500, 503])
def test_a_file_that_the_door_refuses_is_named_and_leaves_nothing(sender, status):
    sender.door.faults.add(f"*{MARK}", status, method="PUT")
    done = sender.put()
    assert done.status in (1, 4) and not left(sender)
    assert all(sender.target in line or "/" in line for line in done.err.splitlines())
    sender.door.faults.clear()
    done = sender.put()
    assert done.status == 0 and sender.there() == sender.here()


def test_a_door_without_room_says_so_and_is_not_asked_for_ever(sender):
    sender.door.switches.quota = sender.door.uploads.used + 250_000
    try:
        done = sender.put()
    finally:
        sender.door.switches.quota = float("inf")
    assert done.status == 1 and re.search(last_line(sent=3, failed=1), done.out), done
    assert "no room" in done.err and not left(sender) and len(sender.there()) == 3


def test_a_door_that_lets_nobody_write_is_not_asked_for_each_file(sender):
    for number in range(60):
        sender.fill(f"many/{number}", b"small")
    sender.door.faults.add("*", 403, method="PUT")
    done = sender.put()
    sender.door.faults.clear()
    assert done.status == 4 and done.err.count("\n") == 1, done
    assert "the door refused the first 16 files and took none: " in done.err and "right VO?" in done.err
    assert sender.count(method="PUT") < 40 and not sender.there()
    assert sender.put().status == 0 and sender.there() == sender.here()


def test_a_folder_that_nobody_may_write_to_costs_the_others_nothing(sender):
    for number in range(20):
        sender.fill(f"many/{number:02}", b"small")
    sender.door.faults.add("*/many/*", 403, method="PUT")
    done = sender.put()
    sender.door.faults.clear()
    assert done.status == 1 and re.search(last_line(sent=4, failed=20), done.out), done
    assert done.err.count("the door refuses") == 20


@pytest.mark.parametrize("status", [200, 201])
def test_a_page_in_place_of_an_upload_is_none(sender, status):
    sender.door.faults.add(f"*{MARK}", status, method="PUT", text="<html>Please log in</html>")
    done = sender.put()
    sender.door.faults.clear()
    assert done.status == 1 and re.search(last_line(failed=4), done.out), done
    assert done.err.count(": the door says that it has taken the file, but does not have it; ask the site\n") == 4
    assert not sender.there()


def test_a_page_in_place_of_a_new_name_is_no_new_name(sender):
    sender.door.faults.add(f"*{MARK}", 200, method="MOVE", text="<html>Please log in</html>")
    done = sender.put()
    sender.door.faults.clear()
    assert done.status == 4 and re.search(last_line(failed=4), done.out), done
    assert done.err.count("the door answers 200 (OK)") == 4 and not sender.there()


def test_a_line_that_breaks_in_mid_body_costs_one_more_attempt(sender):
    sender.door.faults.add(f"*{MARK}", "reset", method="PUT", count=2)
    done = sender.put()
    assert done.status == 0 and sender.there() == sender.here(), done


def test_a_file_that_changes_while_it_is_sent_is_sent_as_it_is_in_the_end(sender):
    big = sender.fill("big", os.urandom(40_000_000))
    with sender.running(sender.line()) as run:
        wait_until(lambda: sender.count(method="PUT") > 3 or run.poll() is not None)
        with big.open("ab") as file:
            file.write(b"and more")
        run.wait(60)
    sender.put()
    assert sender.there()["big"] == big.read_bytes() and not left(sender)
