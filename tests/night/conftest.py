"""What several tests of long runs stand on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.disk import Disk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A small disk, which can be full."""
    (tmp_path / "disk").mkdir()
    disk = Disk(tmp_path / "disk")
    try:
        disk.expect()
        yield disk
    finally:
        disk.close()
