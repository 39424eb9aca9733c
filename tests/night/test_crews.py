"""Workers in virtual time: whatever befalls them and the site, in many worlds; and a day with 50 of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings

from gridsync_parts.pace import HOUR
from tests.support.day import play as play_day
from tests.support.properties import PROPERTY
from tests.support.simulation import World
from tests.support.worlds import CREWED, play

FILES = int(os.environ.get("FILES", "30000"))


@pytest.mark.long
@settings(PROPERTY, max_examples=50)
@given(CREWED)
def test_whatever_befalls_workers_in_many_worlds(tmp_path_factory: pytest.TempPathFactory, world: World) -> None:
    play(tmp_path_factory.getbasetemp(), world)


@pytest.mark.long
def test_a_day_with_many_files_and_fifty_workers(tmp_path: Path) -> None:
    """All come but those that can't, whatever befalls the workers."""
    day = play_day(tmp_path, FILES)
    assert len(day.disk.files) >= FILES - 2
    assert 16 * HOUR < day.clock.now < 26 * HOUR
