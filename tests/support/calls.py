"""Calls to a site as a run makes them, and its folders listed, without a run."""

from __future__ import annotations

from typing import Any, Callable

from gridsync_parts.doors import Lister
from gridsync_parts.errors import GridError
from gridsync_parts.log import nothing
from gridsync_parts.loop import Loop
from gridsync_parts.pace import PACE
from gridsync_parts.pool import Pool
from gridsync_parts.walk import Walk, list_folder


def call(verb: Callable[..., Any], *arguments: Any, retries: int = 4) -> Any:
    """What a call gives in the end."""
    loop = Loop(retries, PACE, Pool())
    try:
        return loop.result(verb, *arguments, note=nothing, note_slow=nothing)
    finally:
        loop.pool.close()


def walk_all(lister: Lister, top: str = "run") -> Walk:
    """All that there is below a folder, listed folder after folder."""
    walk = Walk(top)
    while walk.todo:
        folder = walk.todo.popleft()
        try:
            found = list_folder(lister, folder)
        except GridError as error:
            walk.fail(folder, error)
        else:
            walk.take(folder, found)
    return walk
