"""How fast a run may move files, and how long it may take, as a command line has it."""

from __future__ import annotations

import math
import re
from collections.abc import Collection

from gridsync_parts.errors import UsageError, brief
from gridsync_parts.pacing import timetable_of

MOVING = ("start", "sync", "put", "repair")  # actions that move files
LASTING = (*MOVING, "build_list", "bring_online", "check_status", "verify", "release")  # and others that take long
DURATION = "([0-9]{1,4}d)?([0-9]{1,6}h)?([0-9]{1,7}m)?([0-9]{1,9}s?)?"


def seconds_in(text: str) -> float:
    """The seconds that a text like 11h, 90m, 1d, 2h30m or 600 means."""
    found = re.fullmatch(DURATION, text.lower())
    parts = [int((part or "0").rstrip("dhms")) for part in found.groups()] if found else [0]
    if not any(parts):
        raise UsageError(f"--max_duration: {brief(repr(text))} is no time; write it like 11h, 90m, 1d or 2h30m")
    days, hours, minutes, seconds = parts
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)


def seconds_for(bwlimit: str | None, max_duration: str | None, actions: Collection[str]) -> float:
    """Refuse bounds that make no sense, or bound nothing; how many seconds the run may take."""
    for name, value, bounded in (("bwlimit", bwlimit, MOVING), ("max_duration", max_duration, LASTING)):
        if value is not None and not set(bounded).intersection(actions):
            raise UsageError(f"--{name} bounds nothing on this line; it goes with --start, --sync or --put, say")
    if bwlimit is not None:
        timetable_of(bwlimit)
    return math.inf if max_duration is None else seconds_in(max_duration)
