"""A clock of a test's own."""

from __future__ import annotations


class Clock:
    """Seconds that pass when the test wants it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds
