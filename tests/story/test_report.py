"""--report: what the page and the screen tell of a run, and what is refused before it begins."""

from __future__ import annotations

import json
import shlex

import pytest

from tests.support.user import User

MADE = '<meta name="generator" content="gridsync --report'


@pytest.fixture
def line(three: User) -> str:
    """A line that copies, keeps statistics and makes a page."""
    return f"--start --stats={three.folder}/s.jsonl --report={three.folder}/p.html"


def test_one_line_copies_and_makes_a_page(three: User, line: str):
    done = three(line)
    assert done.status == 0 and MADE in (three.folder / "p.html").read_text()
    assert "  Files moved                    3   0 more were there\n" in done.out
    assert done.out.endswith(f"Page: {three.folder}/p.html\n")
    again = three(line)
    assert again.status == 0 and "  Files moved                    3   0 more were there\n" in again.out


@pytest.mark.long
def test_a_page_alone_needs_no_site_and_nothing_else_is_told(three: User, line: str):
    three(line)
    done = three(line.replace("--start ", ""), X509_USER_PROXY="/nonexistent")
    assert done.status == 0 and done.out.startswith("Transfers in s.jsonl: 3 lines\n") and not done.err
    assert len(done.out.splitlines()) <= 24 and max(map(len, done.out.splitlines()[:-1])) < 80
    assert three(line.replace("--start ", "") + " --quiet") == (0, "", "")
    found = json.loads(three(line.replace("--start ", "") + " --json").out)
    assert found["status"] == 0 and found["report"]["ok"] == 3 and found["report"]["sites"][0]["site"] == "LYON"
    assert found["report"]["page"] == f"{three.folder}/p.html"


def test_what_has_failed_is_on_the_page_of_the_same_line(three: User, line: str):
    three.grid.door.faults.add("*/small", 403)
    done = three(line)
    three.grid.door.faults.clear()
    assert done.status == 1 and "Failures by reason" in done.out
    assert "Failures by reason" in (three.folder / "p.html").read_text()


def test_a_line_that_fails_altogether_has_its_page(three: User, line: str):
    done = three(line, X509_USER_PROXY="/nonexistent")
    assert done.status == 3 and "no line has a time" in (three.folder / "p.html").read_text()


def test_a_run_whose_time_is_over_has_its_page(three: User, line: str):
    three.grid.door.switches.bandwidth = 2e5
    done = three(f"{line} --max_duration=2")
    three.grid.door.switches.bandwidth = 0
    assert done.status == 1 and "goes on from here" in done.err and f"Page: {three.folder}/p.html\n" in done.out


@pytest.mark.long
def test_a_dry_run_writes_no_page(three: User, line: str):
    three(line)
    (three.folder / "p.html").unlink()
    done = three(line.replace("--start", "--dry_run"))
    assert done.status == 0 and not (three.folder / "p.html").exists()
    assert done.out.endswith(f"Page: would be {three.folder}/p.html\n")


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        ("--report={}/p.html", 2, "name it with --stats=FILE on the same line"),
        ("--stats={0}/s.jsonl --report={0}", 2, "is a folder; name a file in it, such as"),
        ("--stats={0}/s.jsonl --report={0}/none/p.html", 2, "there is no folder"),
        ("--stats={0}/s.jsonl --report={0}/s.jsonl", 2, "is the stats file itself"),
        ("--stats={0}/s.jsonl --report={0}/p.pdf", 2, "ends neither in .html nor in .htm"),
        ("--stats={0}/s.jsonl --report={0}/mine.html", 2, "is there and is no page of --report"),
    ],
)
def test_what_can_be_no_page_is_refused_before_anything_is_done(three: User, words: str, status: int, sentence: str):
    (three.folder / "mine.html").write_text("<html>")
    done = three("--start " + words.format(shlex.quote(str(three.folder))))
    assert done.status == status and sentence in done.err and done.err.count("\n") == 1
    assert not three.files() and (three.folder / "mine.html").read_text() == "<html>"
    assert not list(three.folder.glob("*part*"))


@pytest.mark.long
def test_a_stats_file_that_is_none_makes_no_page(three: User):
    (three.folder / "s.jsonl").write_text('{"name": "another program"}\n')
    for name, status in (("s.jsonl", 2), ("none.jsonl", 5), ("s.txt", 2)):
        done = three(f"--stats={three.folder}/{name} --report={three.folder}/p.html")
        assert done.status == status and done.err.count("\n") == 1
    assert not (three.folder / "p.html").exists() and not (three.folder / "none.jsonl").exists()


@pytest.mark.long
def test_a_page_beside_put_and_of_a_url(three: User, line: str):
    (three.folder / "mine").mkdir()
    (three.folder / "mine/a").write_text("a")
    folder = three.folder
    done = three(f"--put={folder}/mine --input_dir=users/me --stats={folder}/s.csv --report={folder}/p.html")
    assert done.status == 0 and "  Files moved                    1 " in done.out
    url = f"{three.grid.door.url}/agata/{next(iter(three.catalog())).split('/')[0]}"
    done = three(f"{url} {folder}/other --stats={folder}/t.csv --report={folder}/t.html")
    assert done.status == 0 and "  Files moved                    3 " in done.out
