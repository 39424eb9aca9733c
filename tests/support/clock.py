"""A clock of a test's own."""

from __future__ import annotations

from gridsync_parts.crew import Stop


class Clock:
    """Seconds that pass when the test wants it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds


class Pauses(Stop):
    """Ends pauses, which pass at once and are written down."""

    def __init__(self, clock: Clock, stops_in: int = 0):
        super().__init__()
        self.clock = clock
        self.seconds: list[float] = []
        self.stops_in = stops_in  # the pause, from 1, in which it is set

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds.append(timeout or 0)
        self.clock.wait(timeout or 0)
        if len(self.seconds) == self.stops_in:
            self.set()
        return self.is_set()
