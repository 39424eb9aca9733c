"""When what has failed is tried again, and when a request is asked how far it is."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable
from typing import Callable

from gridsync_parts.values import Outcome

POLL = 300.0  # seconds between two looks at a staging request, at the most
AWAY = 8.0  # seconds after which files are tried again whose pool fails, and then after twice as many


class Chore:
    """What is to be done with the site again and again; when it fails it is left alone for a while."""

    def __init__(self, call: Callable[[float], bool], pause: float):
        self.call = call  # does it, if there is something to do, and tells whether there was
        self.pause = pause  # seconds until it is due again
        self.due = 0.0
        self.since = 0.0  # when it has begun to fail
        self.failures = 0
        self.until = 0.0  # when it is tried again after the last failure


class Polls:
    """When each staging request is to be asked how far it is: the longer it lasts, the less often."""

    def __init__(self) -> None:
        self.began: dict[str, float] = {}
        self.dues: dict[str, float] = {}
        self.refusals: dict[str, int] = {}

    def due(self, requests: Iterable[str], now: float) -> list[str]:
        """Those to ask now."""
        self.began = {request: self.began.get(request, now) for request in requests}
        due = [request for request in self.began if now >= self.dues.get(request, 0)]
        return sorted(due, key=lambda request: self.dues.get(request, 0))

    def asked(self, request: str, others: int, now: float) -> None:
        """Take down that one was asked; all together are not asked more than ten times a second."""
        pause = min(max(1.0, (now - self.began[request]) / 20, others / 10), POLL)
        self.dues[request] = now + pause * random.uniform(0.8, 1.2)

    def is_refused(self, request: str) -> bool:
        """Take down that the site tells us nothing of one, and whether that is so for good."""
        self.refusals[request] = self.refusals.get(request, 0) + 1
        return self.refusals[request] >= 3


class Later:
    """Files whose pools fail: they are tried again when all others are done, after growing pauses."""

    def __init__(self, rounds: int, clock: Callable[[], float] = time.monotonic):
        self.outcomes: list[Outcome] = []
        self.rounds = rounds  # how often still
        self.clock = clock
        self.pause, self.due = AWAY, 0.0

    def add(self, outcome: Outcome) -> None:
        """One more of them."""
        self.outcomes.append(outcome)

    def taken(self, note: Callable[[str], None]) -> list[Outcome]:
        """All of them, once it is time; nothing else is left to do."""
        if not self.due and self.rounds:
            pause = self.pause * random.uniform(0.5, 1)
            self.due, self.pause = self.clock() + pause, min(60, 2 * self.pause)
            note(f"{len(self.outcomes)} file(s) will be tried again soon: {self.outcomes[0].row.error}")
        if self.clock() < self.due:
            return []
        outcomes, self.outcomes = self.outcomes, []
        self.rounds, self.due = max(0, self.rounds - 1), 0.0
        return outcomes
