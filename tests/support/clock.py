"""A clock of a test's own."""

from __future__ import annotations

from collections import deque
from types import SimpleNamespace
from typing import Any, Callable


class Clock:
    """Seconds that pass when the test wants it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds


class Hands:
    """A pool without threads: all work is done when it is asked for, and a wait passes on the clock."""

    def __init__(self, clock: Clock):
        self.clock = clock
        self.lanes: dict[str, Callable[[Any], Any]] = {}
        self.widths: dict[str, int] = {}
        self.todo: deque[tuple[str, Any]] = deque()
        self.held: set[str] = set()  # lanes that get nothing done

    def open(self, lane: str, work: Callable[[Any], Any], threads: int) -> SimpleNamespace:
        self.lanes[lane], self.widths[lane] = work, threads
        return SimpleNamespace(low=0)

    def add(self, lane: str, item: Any) -> None:
        self.todo.append((lane, item))

    def pending(self, lane: str) -> int:
        return sum(lane == other for other, _ in self.todo)

    def collect(self, seconds: float) -> list[tuple[str, list[Any]]]:
        now = [(lane, item) for lane, item in self.todo if lane not in self.held]
        if not now:
            self.clock.wait(seconds)
        self.todo = deque((lane, item) for lane, item in self.todo if lane in self.held)
        return [(lane, [self.lanes[lane](item)]) for lane, item in now]

    def check(self) -> None:
        """Nothing is kept for later."""
