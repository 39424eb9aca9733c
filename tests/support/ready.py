"""Waiting for a descriptor, whatever its number: select() of C takes those below 1,024 alone."""

from __future__ import annotations

import select
from typing import Any


def is_readable(file: Any, seconds: float) -> bool:
    """Whether there is something to read, or the end of it, within that time."""
    poll = select.poll()
    poll.register(file, select.POLLIN)
    return bool(poll.poll(max(seconds, 0) * 1000))
