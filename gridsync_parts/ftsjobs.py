"""The jobs of an FTS3 server: which files are in them, and what became of each."""

from __future__ import annotations

from gridsync_parts.across import Across
from gridsync_parts.errors import UsageError
from gridsync_parts.runs import Runs
from gridsync_parts.values import Action, Row


def follow(run: Runs, across: Across, plan: dict[Action, list[Row]]) -> int:
    """Have an FTS3 server copy what is planned, and follow its jobs; the status."""
    raise UsageError("--fts is not there yet")


def cancel(run: Runs, across: Across) -> int:
    """End the jobs that are under way there; the status."""
    raise UsageError("--fts is not there yet")
