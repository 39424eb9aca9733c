"""A crew whose hands play, and what it tells; and the processes of a crew of this machine."""

from __future__ import annotations

import queue
import time
from contextlib import suppress
from pathlib import Path
from typing import Callable, TypeVar

from gridsync_parts.farm.crew import Crew
from gridsync_parts.farm.loads import Joined, Load, News, Setting
from gridsync_parts.table import Site
from tests.support import hands

PATIENCE = 60  # seconds for anything that has to happen
LONG = "600"  # seconds of work, which nobody waits for
N = TypeVar("N")


def setting(what: str = "0") -> Setting:
    """A run whose loads take so many seconds."""
    return Setting("a-run", "1", Site("HERE", "davs://localhost", "/"), "", what, "")


class Team:
    """A crew whose hands play, and the news of it."""

    def __init__(self, where: str, what: str = "0", threads: int = 4):
        self.news: queue.Queue[News] = queue.Queue()
        self.crew = Crew(where, setting(what), threads, self.news.put, hands=hands)
        self.number = 0
        self.here: list[Joined] = []  # its workers, where tests share it

    def next(self, kind: type[N], holds: Callable[[N], bool] = lambda news: True) -> N:
        """The next news of a kind."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            news = self.news.get(timeout=PATIENCE)
            if isinstance(news, kind) and holds(news):
                return news
        raise AssertionError(f"no {kind.__name__}")

    def heard(self) -> list[News]:
        """What it has told until now."""
        return [self.news.get() for _ in range(self.news.qsize())]

    def give(self, worker: str, what: str = "0") -> int:
        """A load for a worker."""
        self.number += 1
        self.crew.give(worker, Load(self.number, setting(what), (), 2))
        return self.number


def dask_of(pid: int, program: str) -> list[int]:
    """The processes that a run has started as Dask's scheduler or worker; their numbers may come in any order."""
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # the thread has ended
            for child in path.read_text().split():
                with suppress(OSError):
                    if f"serve({program!r}, ".encode() in Path(f"/proc/{child}/cmdline").read_bytes():
                        found.append(int(child))
    return sorted(found)
