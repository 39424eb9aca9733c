"""Workers, reached through Dask: those of this machine, and those of a scheduler. Their work is played."""

from __future__ import annotations

import os
import queue
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from gridsync_parts.farm.crew import Crew
from gridsync_parts.farm.loads import Back, Heard, Joined, Load, News, Setting
from gridsync_parts.table import Site
from tests.support import hands

pytest.importorskip("distributed")

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

    def next(self, kind: type[N], holds: Callable[[N], bool] = lambda news: True) -> N:
        """The next news of a kind."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            news = self.news.get(timeout=PATIENCE)
            if isinstance(news, kind) and holds(news):
                return news
        raise AssertionError(f"no {kind.__name__}")

    def give(self, worker: str, what: str = "0") -> int:
        """A load for a worker."""
        self.number += 1
        self.crew.give(worker, Load(self.number, setting(what), (), 2))
        return self.number


@pytest.fixture
def team() -> Iterator[Callable[..., Team]]:
    """Makes crews, and lets go of them."""
    teams: list[Team] = []

    def make(where: str = "local:1", *arguments: object) -> Team:
        teams.append(Team(where, *arguments))
        teams[-1].crew.start()
        return teams[-1]

    yield make
    for one in teams:
        one.crew.close()


def is_there(pid: int) -> bool:
    """Whether a process is."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "(zombie)" not in Path(f"/proc/{pid}/status").read_text()


def test_workers_of_this_machine_come_work_tell_how_far_they_are_and_end(team):
    crew = team("local:2", "0", 5)
    workers = [crew.next(Joined), crew.next(Joined)]
    assert [worker.threads for worker in workers] == [3, 3]
    pids = [worker.greeting.pid for worker in workers]
    for worker in workers:
        number = crew.give(worker.worker, "1")
        assert crew.next(Heard).beat.files == {"näme\udcff": (1, 2)}
        back = crew.next(Back)
        assert (back.worker, back.returned.number, back.returned.unfit) == (worker.worker, number, None)
    folder = crew.crew.hired.keys.folder
    crew.crew.close()
    assert not any(map(is_there, [*pids, crew.crew.hired.scheduler.child.process.pid]))
    assert not os.path.exists(folder)
