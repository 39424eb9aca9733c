"""--workers: Dask workers copy, real ones; the run has the catalog and says what it would say without them."""

from __future__ import annotations

import json
import re
import signal

import pytest

from gridsync_parts.disk import MARK
from tests.support.user import User, find_pinned, find_wrong, wait_until

BIG = 3 << 20
FILES = 40


@pytest.fixture
def master(user: User, folder: str) -> User:
    """Somebody with a folder of 40 files on disk and on tape, one of them large."""
    user.limit = 120
    for number in range(FILES):
        size, is_on_tape = BIG if number == 7 else 2000 * number, number % 10 == 3
        user.grid.tree.add(f"agata/{folder}/sub{number % 3}/file{number:02d}", size, tape=is_on_tape)
    user.set("INPUTDIR", folder, "gridsync")
    return user


def test_workers_bring_a_folder(master: User, folder: str) -> None:
    status, out, err = master("--sync --workers=local:2")
    assert status == 0, out + err
    assert find_wrong(master, folder) == find_pinned(master, folder) == []
    assert re.search(r"Copied: 40, skipped: 0, failed: 0", out), out
    assert len(master.files()) == FILES
    status, out, err = master("--sync --workers=local:2")
    assert status == 0 and "Copied: 0, skipped: 40" in out, out + err
