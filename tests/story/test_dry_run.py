"""--dry_run: what would come, go or be asked for, what would be skipped and why, and nothing is changed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.support.user import User, flip

TOTALS = r"\(DRY RUN\) would (\w+)(?: for)? (\d+) files, [\d.]+ [kMG]?B"


def totals(out: str) -> dict[str, int]:
    """How many files would be listed, asked for, copied, sent or skipped."""
    return {verb: int(count) for verb, count in re.findall(TOTALS, out)}


def everything(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """All that is below a folder, with the time of each."""
    found = {}
    for path in [folder, *folder.rglob("*")]:
        about = path.lstat()
        data = path.read_bytes() if path.is_file() else b""
        found[str(path)] = about.st_mtime_ns, about.st_mode, data
    return found


@pytest.fixture
def mixture(user: User, folder: str) -> User:
    """A user who has some of the files of a folder, in which each has its own reason to come or not."""
    tree, top = user.grid.tree, f"agata/{folder}"
    tree.add(f"{top}/same", 1000)
    assert user(f"--input_dir {folder} --build_list --start").status == 0
    for name in ("sub/new", "sub/deep/new", "left/a.log", "x/Grid.conf"):
        tree.add(f"{top}/{name}", 2000)
    tree.add(f"{top}/tape/a", 3000, tape=True)
    tree.add(f"{top}/equal", 4000)
    tree.add(f"{top}/other", 5000)
    (user.data / folder / "equal").write_bytes(tree.expected(f"{top}/equal"))
    (user.data / folder / "other").write_bytes(b"mine")
    results = user.folder / "results"
    (results / "sub").mkdir(parents=True)
    for name in ("a", "b.log", "odd?", "odd\n", "sub/c"):
        (results / name).write_bytes(b"12345")
    (results / "link").symlink_to("a")
    return user


WOULD = (
    r"(?s)\(DRY RUN\) would copy {} files, {}, and make {} folder\(s\); free disk: [\d.]+ .B\n"
    r"\(DRY RUN\) would skip {} files, {} \({}\)\n$"
)
REFUSED = "x/Grid.conf: the name is that of one of gridsync's own files and is refused; ask the site\n"


def test_a_dry_sync_ends_with_what_would_come_and_what_would_not(mixture, folder):
    status, out, err = mixture("--sync --exc log$ --dry_run")
    assert "(DRY RUN) would ask for 1 files, 2.9 kB, in 1 request(s)\n" in out
    why = "there already: 1; to be compared: 1; another file has the name: 1; excluded by --inc and --exc: 1; "
    assert re.search(WOULD.format(3, "6.8 kB", 3, 5, "13.7 kB", re.escape(f"{why}refused names: 1")), out)
    assert (status, err.count("gridsync.py: ")) == (1, 1) and err.endswith(REFUSED)  # as without --dry_run


def test_a_dry_start_goes_by_the_catalog_and_leaves_what_is_on_tape(mixture, folder):
    mixture("--build_list")
    status, out, _ = mixture("--start --exc log$ --dry_run")
    assert status == 1 and re.search(WOULD.format(2, "3.9 kB", 2, 6, "16.6 kB", ".*on tape, not staged: 1; .*"), out)


def test_urls_and_lists_end_alike(mixture, folder, tmp_path):
    url = f"{mixture.grid.door.url}/agata/{folder}"
    status, out, _ = mixture(f"{url} {tmp_path}/here --inc same:equal:tape --dry_run")
    assert status == 0 and totals(out) == {"ask": 1, "copy": 3, "skip": 5}
    names = tmp_path / "names"
    names.write_text(f"{folder}/sub/new\n{folder}/tape\n{folder}/same\n{folder}/nothing\n")
    status, out, err = mixture(f"--sync --files_from {names} --dry_run")
    assert totals(out) == {"ask": 1, "copy": 2, "skip": 2}
    assert status == 1 and "(there already: 1; could not be listed: 1)\n" in out and ": is not at the site" in err


def test_where_there_is_no_tape_service_what_is_on_tape_would_not_come(mixture, folder):
    mixture.set("TAPE_API", "none")
    for action in ("--sync", "--start"):
        out = mixture(f"--build_list {action} --exc log$:Grid --dry_run").out
        assert totals(out)["copy"] == 2 and "on tape, and no tape service: 1" in out and "ask" not in totals(out)
    status, out, err = mixture("--build_list --bring_online --dry_run")
    assert status == 1 and "on tape, but the site names no tape service" in err
    assert "would ask for 0 files, 0.0 B, in 0 request(s)\n" in out
    assert "(there already: 1; on tape, and no tape service: 1; on disk at the site: 6)\n" in out


def test_a_dry_request_says_what_would_not_be_asked_for(mixture, folder):
    mixture.grid.tree.add(f"agata/{folder}/tape/b", 10, tape=True)
    mixture.grid.robot.hold()
    try:
        assert mixture("--build_list --inc tape/b --bring_online").status == 0
        status, out, _ = mixture("--build_list --bring_online --inc none --exc log$ --dry_run")
    finally:
        mixture.grid.robot.go()
    assert status == 0 and "would ask for 4 files, 8.8 kB, in 1 request(s)\n" in out
    why = "there already: 1; to be compared: 1; another file has the name: 1; asked for before: 1"
    assert f"(DRY RUN) would skip 4 files, 9.8 kB ({why})\n" in out


def test_a_dry_put_says_what_would_go_and_what_would_not(mixture, folder):
    mixture.grid.tree.add(f"agata/{folder}/me/a", 5)
    put = f"--put {mixture.folder}/results --input_dir {folder}/me --dry_run"
    status, out, err = mixture(f"{put} --exc log$")
    assert status == 1 and "(DRY RUN) would send 1 files, 5.0 B, and make 1 folder(s)\n" in out
    why = "to be compared: 1; excluded by --inc and --exc: 1; refused names: 2; links: 1"
    assert out.endswith(f"(DRY RUN) would skip 5 files, 15.0 B ({why})\n")
    assert err.count("gridsync.py: ") == 2 and "odd?: the door takes no file of this name" in err
    document = json.loads(mixture(f"{put} --json").out)
    counts = {"copy": 2, "bytes": 10, "folders": 1, "adopt": 1, "refused": 2, "links": 1, "excluded": 0}
    assert counts.items() <= document["dry_run"].items() and document["status"] == 1


@pytest.mark.parametrize(
    "line",
    [
        "--build_list", "--bring_online", "--check_status", "--start", "--sync", "--verify", "--repair", "--release",
        "--start --overwrite", "--sync --overwrite", "--repair --start --exc log$ --threads 2", "{url} {here}",
        "--put {results}", "--put {results} --overwrite", "--build_list --files_from {names}",
        "--build_list --bring_online --start --release",
    ],
)  # fmt: skip
def test_a_dry_run_makes_nothing(mixture, folder, tmp_path, line):
    assert mixture("--build_list --bring_online --inc tape").status == 0
    flip(mixture.data / folder / "same", 7)
    assert mixture("--verify --inc same").status == 1 and mixture("--inc none").status == 0
    (tmp_path / "names").write_text(f"{folder}/same\n")
    words = {name: tmp_path / name for name in ("here", "names", "results")}
    words["url"] = f"{mixture.grid.door.url}/agata/{folder}"
    before, there = everything(tmp_path), sorted(mixture.grid.tree.files(f"agata/{folder}"))
    mixture.grid.door.log.clear()
    status, _, err = mixture(f"{line.format(**words)} --dry_run")
    assert status in (0, 1) and "Traceback" not in err
    assert everything(tmp_path) == before and sorted(mixture.grid.tree.files(f"agata/{folder}")) == there
    changing = {"PUT", "MKCOL", "MOVE", "DELETE", "COPY"}
    assert not {record.method for record in mixture.grid.door.log} & changing
    assert not mixture.grid.door.log.matching(role="pool")
    assert len(mixture.grid.door.staging.pins(f"agata/{folder}/tape/a")) == 1
