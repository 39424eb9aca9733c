"""A proxy that a door gets to act with: GridSite's delegation."""

from __future__ import annotations

from gridsync_parts.doors.wire import Http


def delegate(http: Http, where: str) -> None:
    """Have a door make a key, and sign a proxy for it."""
    raise NotImplementedError
