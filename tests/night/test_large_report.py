"""--report of many lines: 100,000 make a page that a browser still likes, and more take little memory.

ROWS=1000000 has it read a million.
"""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

import pytest

from gridsync_parts.stats import text_of
from tests.support.lines import week, write_records
from tests.support.user import User

pytestmark = pytest.mark.long
LINES, OK = 100_000, '"status": "ok"'
PARTS = int(os.environ.get("ROWS", "300000")) // LINES
PAGE_LIMIT = 12 << 20  # bytes, of which plotly's script has 8.7 million
MEMORY_LIMIT = 250  # MB for however many lines: a million are a file of 410 MB, and 155 are taken
FACTOR = 40  # times as long as reading the lines as JSON and no more, which is about a tenth of it


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The lines of many files."""
    return text_of(week(LINES), as_csv=False)


def plain_pass(path: Path) -> float:
    """Seconds to read the lines and do nothing with them."""
    began = time.monotonic()
    with path.open() as file:
        for line in file:
            json.loads(line)
    return time.monotonic() - began


def test_a_hundred_thousand_lines_make_a_page_of_less_than_12_mb(user: User, lines: str):
    write_records(user.data)
    (user.folder / "s.jsonl").write_text(lines)
    plain, began = plain_pass(user.folder / "s.jsonl"), time.monotonic()
    done, peak = user.measure(f"--stats={user.folder}/s.jsonl --report={user.folder}/p.html")
    seconds, size = time.monotonic() - began, (user.folder / "p.html").stat().st_size
    assert done.status == 0, done.err
    print(f"\n{lines.count(chr(10)):,} lines: {seconds:.1f} s, {size / 1e6:.1f} MB, {peak:.0f} MB of memory")
    assert size < PAGE_LIMIT and seconds < FACTOR * plain + 5


def test_many_lines_take_little_memory(user: User, lines: str):
    user.limit = 600
    with (user.folder / "s.jsonl").open("w") as file:
        for part in range(PARTS):
            file.write(lines.replace('{"key": "cms-', f'{{"key": "part{part}-'))
    began = time.monotonic()
    done, peak = user.measure(f"--stats={user.folder}/s.jsonl --report={user.folder}/p.html")
    assert done.status == 0, done.err
    print(f"\n{PARTS * lines.count(chr(10)):,} lines: {time.monotonic() - began:.1f} s, {peak:.0f} MB of memory")
    assert peak < MEMORY_LIMIT and (user.folder / "p.html").stat().st_size < PAGE_LIMIT
    assert re.search(rf"Files moved +{PARTS * lines.count(OK):,} ", done.out), done.out
