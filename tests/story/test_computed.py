"""The checksum that is made of a file as it comes, where the door names none: the column `computed`."""

from __future__ import annotations

import csv
import json
import re
import zlib

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
