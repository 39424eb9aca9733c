"""--verify --sample: some of the files are read again."""

from __future__ import annotations

import json
import re

import pytest

from tests.support.user import User, flip


@pytest.fixture
def twenty(user: User, folder: str) -> User:
    """A user who has copied twenty files, ten in each of two folders."""
    for number in range(20):
        user.grid.tree.add(f"agata/{folder}/{number % 2}/{number}", 1000 + number)
    assert user(f"--input_dir {folder} --build_list --start").status == 0
    return user


def test_it_says_how_many_of_how_many_were_read(twenty, folder):
    before = twenty.catalog()
    for sample, count in (("5", 1), ("50%", 10), ("100", 20), ("0.5", 1)):
        status, out, err = twenty(f"--verify --sample={sample}")
        assert (status, err) == (0, "") and f"Verified: {count}, damaged: 0, read: {count} of 20 files; " in out
    document = json.loads(twenty("--verify --sample 10 --json").out)["verify"]
    assert (document["good"], document["damaged"], document["of"]) == (2, 0, 20)
    assert twenty.catalog() == before and "SAMPLE" not in (twenty.folder / "Grid.conf").read_text().upper()
    assert "of 20 files" not in twenty("--verify").out


def test_the_patterns_choose_of_which_files(twenty, folder):
    assert "read: 1 of 10 files" in twenty("--verify --sample=10 --inc 0/").out
    twenty("--inc none")
    (twenty.folder / "names").write_text(f"{folder}/1/3\n{folder}/0\n")
    assert "read: 2 of 11 files" in twenty(f"--verify --sample=10 --files_from {twenty.folder}/names").out


def test_what_is_damaged_is_found_in_the_end_and_repaired(twenty, folder):
    path = f"{folder}/1/7"
    flip(twenty.data / path, 3)
    for _ in range(60):  # by chance it is not among them in one of 1,000,000 such tests
        status, out, err = twenty("--verify --sample=20 --inc 1/")
        if status:
            break
        assert "Verified: 2, damaged: 0, read: 2 of 10 files" in out
    assert status == 1 and f"gridsync.py: {path}: is damaged" in err
    assert "Verified: 1, damaged: 1, read: 2 of 10 files" in out
    assert twenty("--repair").status == 0 and twenty("--verify").status == 0


def test_other_files_are_not_read(twenty, folder):
    for path in twenty.files():
        if not path.endswith("/1/7"):
            flip(twenty.data / path, 3)
    status, out, _ = twenty("--verify --sample=5 --inc 1/7$")
    assert status == 0 and "read: 1 of 1 files" in out
    damaged = len(re.findall("is damaged", twenty("--verify --sample=5 --inc none").err))
    assert damaged <= 1 and sum(row["downloaded"] == "no" for row in twenty.catalog().values()) == damaged


@pytest.mark.every(1)
@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("--verify --sample=0", "--sample: '0' is no part of 100; give a number above 0, like 5 or 0.5"),
        ("--start --verify --sample=much", "--sample: 'much' is no part of 100; give a number above 0, like 5 or 0.5"),
        ("--verify --sample", "--sample has no value; give one, as in --sample=PERCENT"),
        ("--start --sample=5", "--sample means nothing without --verify; add it, or leave --sample out"),
        ("--sample=5", "--sample means nothing without --verify; add it, or leave --sample out"),
        ("--put x --sample=5", "--sample means nothing without --verify; add it, or leave --sample out"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(user, line, says):
    status, out, err = user(line)
    assert (status, out, err.count("\n")) == (2, "", 1) and re.search(f"gridsync.py: ({says})", err)
