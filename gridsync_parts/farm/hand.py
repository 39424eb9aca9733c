"""What a worker does: it knows no Dask, and keeps nothing of a run but what it is told."""

from __future__ import annotations

from typing import Callable

from gridsync_parts.farm.loads import Beat, Greeting, Load, Returned, Setting


def greet(setting: Setting) -> Greeting:
    """Say who this is, and what keeps it from the work: another gridsync, another folder, no proxy or token."""
    raise NotImplementedError


def labour(load: Load, tell: Callable[[Beat], None]) -> Returned:
    """Do what a load says, file by file; it never raises."""
    raise NotImplementedError


def halt(run: str) -> None:
    """End what is under way for a run, and forget it."""
    raise NotImplementedError
