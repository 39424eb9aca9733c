"""--stats: what the file says of each file that was moved, at every door and both ways."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gridsync_parts.stats import Line, lines_of
from tests.support.user import BIG, User

NUMBERS = ("bytes", "size", "duration_s", "rate_Bps", "attempts")


def said(user: User, name: str = "s.jsonl") -> list[Line]:
    """The lines of the user's stats file."""
    lines = lines_of(str(user.folder / name))
    found = list(lines)
    assert not lines.left_out
    return found


def test_each_file_has_a_line_and_a_second_run_says_that_they_were_here(three: User):
    line = f"--start --stats={three.folder}/s.jsonl"
    assert three(line).status == 0
    lines = said(three)
    rows = three.catalog()
    assert {l.key for l in lines} == set(rows)
    print(*lines, sep="\n")
    assert three(line).status == 0
    print(*said(three)[3:], sep="\n")
    assert 0
