"""The limiters in front of dCache's door and tape service, from 11.2 on; all of loopback is one client."""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.grid.web import Reply, Request

if TYPE_CHECKING:
    from tests.grid.door import Switches

WINDOW = 20  # seconds in which failures add up
LOCK_OUT = 10  # seconds
TEXT = b"Server is busy. Please try again later."


class Limiter:
    """Requests above a rate, and whoever has failed to log in too often, get 429 and a time to come back."""

    def __init__(self, switches: Switches) -> None:
        self._switches = switches
        self._free = math.inf  # requests that may come at once; after a quiet second, those of a second
        self._seen = 0.0
        self._failures: list[float] = []
        self._locked_until = 0.0
        self._lock = threading.Lock()

    def reset(self) -> None:
        """Forget everybody, as an administrator can let it."""
        with self._lock:
            self._free, self._locked_until, self._failures = math.inf, 0.0, []

    def around(self, answer: Callable[[Request], Reply]) -> Callable[[Request], Reply]:
        """A server's answers, limited."""

        def limited(request: Request) -> Reply:
            pause = self._pause()
            if pause:
                return Reply(429, TEXT, {"Retry-After": str(pause)})
            reply = answer(request)
            if reply.status == 401:
                self._fail()
            return reply

        return limited

    def _pause(self) -> int:
        """Seconds that a client should stay away; 0 if it may come in."""
        with self._lock:
            now = time.monotonic()
            if now < self._locked_until:
                return max(int(self._locked_until - now), 1)
            rate = self._switches.requests_a_second
            self._free = min(self._free + (now - self._seen) * rate, rate) if rate < math.inf else math.inf
            self._seen = now
            if self._free < 1:
                return random.randint(1, 9)
            self._free -= 1
            return 0

    def _fail(self) -> None:
        with self._lock:
            now = time.monotonic()
            self._failures = [*(when for when in self._failures if when > now - WINDOW), now]
            if len(self._failures) >= self._switches.failures_allowed:
                self._locked_until, self._failures = now + LOCK_OUT, []
