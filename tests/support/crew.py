"""A crew whose hands play, and what it tells."""

from __future__ import annotations

import queue
import time
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
