"""Plain tests: no grid, no server, no network, and all of them in less time than it takes to think of the next line."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def grid() -> None:
    """There is none."""
    pytest.fail("a plain test has no grid; one that needs it belongs into tests/contract, tests/story or tests/night")
