"""The checksum that is made of a file as it comes, where the door names none: the column `computed`."""

from __future__ import annotations

import csv
import json
import os
import re
import time
import zlib
from pathlib import Path

import pytest

from tests.grid import Grid
from tests.support.ftp import Member, folder_of
from tests.support.user import User, flip, read_copy


def test_a_file_without_checksum_at_the_door_is_verified_by_that_of_its_bytes_as_they_came(user: User, folder: str):
    path, bare = f"{folder}/file", (f"{folder}/file", f"{folder}/sub/large")
    for name, size in zip(bare, (1000, 40_000_000)):
        user.grid.tree.add(f"agata/{name}", size, checksums=())
    user.grid.tree.add(f"agata/{folder}/known", 1000)
    assert user(f"--input_dir {folder} --build_list --start --streams 2").status == 0
    rows, data = user.catalog(), user.grid.tree.expected(f"agata/{path}")
    assert [rows[name]["computed"] for name in bare] == [
        f"adler32:{zlib.adler32(user.grid.tree.expected(f'agata/{name}')):08x}" for name in bare
    ]
    assert {(rows[name]["checksum"], rows[name]["verified"]) for name in bare} == {("", "size")}
    assert rows[f"{folder}/known"]["computed"] == ""
    assert "verified by checksum: 1, by computed checksum: 2, by size only: 0\n" in user("--verify").out
    counts = json.loads(user("--verify --json").out)["verify"]
    assert {name: counts[name] for name in ("good", "checked", "computed", "sized")} == {
        "good": 3, "checked": 1, "computed": 2, "sized": 0,
    }  # fmt: skip
    flip(user.data / path, 7)
    status, _, err = user("--verify")
    assert status == 1 and re.search(
        rf"{path}: is damaged: its checksum is not adler32:\w+, as when it came; --rep", err
    )
    user.grid.door.log.clear()
    assert "Copied: 1, skipped: 0, failed: 0" in user("--repair").out and read_copy(user, path) == data
    asked = user.grid.door.log.matching(method="GET", role="door")
    assert [record.path for record in asked if folder in record.path] == [f"/agata/{path}"]
    assert user.catalog()[path]["computed"] == rows[path]["computed"] and user("--verify").status == 0


def test_a_file_that_changes_at_the_site_loses_what_was_computed_of_it(user: User, folder: str):
    path = f"{folder}/file"
    user.grid.tree.add(f"agata/{path}", 1000, checksums=())
    assert user(f"--input_dir {folder} --build_list --start").status == 0
    user.grid.tree.add(f"agata/{path}", 1001, checksums=())
    user("--build_list")
    assert (user.catalog()[path]["computed"], user.catalog()[path]["downloaded"]) == ("", "no")
    assert "a different local file has this name" in user("--start").err
    assert user("--start --overwrite").status == 0
    content = user.grid.tree.expected(f"agata/{path}")
    assert user.catalog()[path]["computed"] == f"adler32:{zlib.adler32(content):08x}"


def test_a_catalog_from_before_there_was_such_a_column_goes_on(user: User, folder: str):
    path, catalog = f"{folder}/file", user.folder / "grid_summary.csv"
    user.grid.tree.add(f"agata/{path}", 1000, checksums=())
    assert user(f"--input_dir {folder} --build_list --start").status == 0
    with open(catalog, newline="") as file:
        lines = [line[:-1] for line in csv.reader(file)]
    catalog.write_text("".join(",".join(line) + "\n" for line in lines))
    assert "verified by checksum: 0, by size only: 1\n" in user("--verify").out
    assert user.catalog()[path]["computed"] == "" and user("--start").status == 0
    (user.data / path).unlink()
    assert user("--start").status == 0 and user.catalog()[path]["computed"]


def site_at(grid: Grid, kind: str, home: Path, name: str) -> tuple[User, str]:
    """A user of the site PLAIN, at a real server without checksums, and a folder for them there."""
    if kind.endswith("ftpd"):
        user = Member(grid, home, grid.ftpd(kind), folder_of(name))
        conf = home / "Grid.conf"
        conf.write_text(conf.read_text().replace("BEAM", "PLAIN"))
        return user, "new"
    user = User(grid, home)
    keys = {"SERVER": grid.wsgidav.url, "BASE_DIR_ON_GRID": "/", "CREDENTIAL": "none"}
    if kind == "ssh":
        keys = {"SERVER": grid.sshd.url, "BASE_DIR_ON_GRID": "scratch"}
        user.env = {**user.env, **grid.sshd.client.env}
    for key, value in keys.items():
        user.set(key, value, "PLAIN")
    return user, folder_of(name)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["ssh", "proftpd", "vsftpd", pytest.param("wsgidav", marks=pytest.mark.long)])
def test_a_real_server_without_checksums_is_sent_what_is_newer_and_what_comes_is_still_known(
    grid: Grid, tmp_path: Path, request: pytest.FixtureRequest, kind: str
):
    user, folder = site_at(grid, kind, tmp_path, request.node.name)
    results = user.folder / "results"
    (results / "sub").mkdir(parents=True)
    for name in ("a", "sub/b"):
        (results / name).write_bytes(name.encode() * 5000)
    put = f"--put {results} --from=PLAIN --input_dir {folder}"
    status, out, err = user(put)
    assert status == 0 and re.search(r"Sent: 2, skipped: 0, failed: 0.*checksum: 0, by size only: 2\n", out), err
    (user.folder / "grid_uploads.csv").unlink()  # as if another machine had sent it
    assert "Sent: 0, skipped: 2, failed: 0" in user(put).out
    data = (results / "a").read_bytes().replace(b"a", b"c")
    (results / "a").write_bytes(data)
    later = time.time() + 100
    os.utime(results / "a", (later, later))
    (user.folder / "grid_uploads.csv").unlink()
    status, out, err = user(put)
    assert (status, err.count("another file has this name at the site; --overwrite replaces it")) == (1, 1)
    assert "Sent: 0, skipped: 1, failed: 1" in out and user(f"{put} --overwrite").status == 0

    assert user(f"--from=PLAIN --input_dir {folder} --sync").status == 0
    row = user.catalog()[f"{folder}/a"]
    assert (row["checksum"], row["verified"], row["computed"]) == ("", "size", f"adler32:{zlib.adler32(data):08x}")
    assert "by computed checksum: 2, by size only: 0\n" in user("--verify").out
    flip(user.data / folder / "a", 7)
    assert user("--verify").status == 1 and user("--repair").status == 0
    assert read_copy(user, f"{folder}/a") == data
