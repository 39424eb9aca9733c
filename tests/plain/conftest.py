"""Plain tests: no grid, no server, no network, and all of them in less time than it takes to think of the next line."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session")
def grid() -> None:
    """There is none."""
    pytest.fail("a plain test has no grid; one that needs it belongs into tests/contract, tests/story or tests/night")


@pytest.fixture(autouse=True)
def processors_are_given_back() -> Iterator[None]:
    """A copy chooses the processors of its thread, which here is that of all tests and of what they start."""
    before = os.sched_getaffinity(0)
    yield
    os.sched_setaffinity(0, before)
