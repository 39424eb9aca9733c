"""How often a repository is asked, how much it is sent at once, and a rest for one that fails."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Callable, NamedTuple

from gridsync_parts.errors import FileError
from gridsync_parts.log import log
from gridsync_parts.pace import HOUR, MINUTE
from gridsync_parts.words import duration_text

PRUDENCE = 1.0  # seconds that a request may be longer on its way than another
FAILING = 20  # requests that have failed in a minute, half of all or more, after which it is left alone
REST = MINUTE  # for so long; then one request goes ahead of all others
LONG = 20.0  # seconds of a wait that is worth a line in the log
SINCE_1970 = 1_000_000_000  # a number above it is a time, and no span of seconds


class Wakeable:
    """What threads wait for, until it is closed; whoever comes later waits again."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self.clock = clock
        self.turn = threading.Condition()
        self.closings = 0

    def pause(self, since: int, seconds: float | None = None) -> None:
        """Wait for that long, or until something has changed, by who holds the turn; it may be closed meanwhile."""
        self.turn.wait(seconds)
        if self.closings != since:
            raise FileError("interrupted")

    def wait(self, seconds: float) -> None:
        """Wait for that long."""
        with self.turn:
            since, ends = self.closings, self.clock() + seconds
            while (left := ends - self.clock()) > 0:
                self.pause(since, left)

    def close(self) -> None:
        """Wake all who wait."""
        with self.turn:
            self.closings += 1
            self.turn.notify_all()


class Told(NamedTuple):
    """What a repository says of its own budget."""

    left: float = math.inf  # requests
    ends: float = 0.0  # when there are more
    reset: str = ""  # the same as it says it


class Budget(Wakeable):
    """How many requests a repository is sent in any minute and any hour, by all threads together."""

    def __init__(self, per_minute: int, per_hour: int, clock: Callable[[], float] = time.monotonic):
        super().__init__(clock)
        limits = (("PER_MINUTE", per_minute, MINUTE), ("PER_HOUR", per_hour, HOUR))
        self.limits = [limit for limit in limits if limit[1]]  # 0 is none
        self.gone: deque[float] = deque(maxlen=max(per_minute, per_hour, 1))  # when requests went
        self.results: deque[tuple[float, bool]] = deque()  # of the last minute: when, and whether all was well
        self.failures = 0  # of these
        self.until = 0.0  # when it may be asked again,
        self.why = ""
        self.is_resting = False  # it has failed too often, and has answered none since
        self.is_probed = False  # one request is on its way to see whether it does
        self.told = Told()
        self.under_way = 0

    def ready(self) -> tuple[float, str]:
        """When the next request may go, and what it waits for."""
        waits = [(self.until, self.why)]
        if self.told.left <= 0:
            waits.append((self.told.ends, "the repository takes no more requests now"))
        for name, count, seconds in self.limits:
            if len(self.gone) >= count:
                waits.append((self.gone[-count] + seconds + PRUDENCE, f"{name} = {count} requests have gone"))
        return max(waits)

    def go(self) -> None:
        """Wait until a request may go."""
        with self.turn:
            is_told, since = False, self.closings
            while True:
                now, (when, why) = self.clock(), self.ready()
                if now >= when and not (self.is_resting and self.is_probed):
                    break
                if when - now > LONG and not is_told:
                    log.info("%s; the next one goes in %s", why, duration_text(when - now))
                    is_told = True
                self.pause(since, when - now if now < when else None)
            self.gone.append(now)
            self.told = self.told._replace(left=self.told.left - 1) if now < self.told.ends else Told()
            self.under_way += 1
            self.is_probed = self.is_resting

    def note(self, is_well: bool) -> None:
        """A request has come to its end."""
        with self.turn:
            now = self.clock()
            self.under_way -= 1
            self.results.append((now, is_well))
            self.failures += not is_well
            while self.results[0][0] < now - MINUTE:
                self.failures -= not self.results.popleft()[1]
            if is_well:
                self.is_resting = False
            elif self.is_resting or (self.failures >= FAILING and 2 * self.failures >= len(self.results)):
                self.is_resting, self.is_probed = True, False
                self.hold(now + REST, "the repository fails too often")
                self.results.clear()
                self.failures = 0
            self.turn.notify_all()

    def heed(self, remaining: str, reset: str) -> None:
        """What it says of its own budget with an answer: how many requests are left, and when there are more."""
        if not (remaining.isdecimal() and reset.isdecimal()):
            return
        seconds = float(reset) - (time.time() if float(reset) > SINCE_1970 else 0)
        with self.turn:
            left = float(remaining) - (self.under_way - 1)  # others may be among those that it has counted, or not
            if reset == self.told.reset:
                left = min(left, self.told.left)
            self.told = Told(left, self.clock() + min(max(seconds, 0), HOUR), reset)

    def hold(self, until: float, why: str) -> None:
        """Ask nothing before that."""
        if until > self.until:
            self.until, self.why = until, why


class Load(Wakeable):
    """How much a repository is sent at once, in weights; who has come first goes first."""

    def __init__(self, most: int):
        super().__init__()
        self.left = most
        self.queue: deque[object] = deque()

    @contextlib.contextmanager
    def hold(self, weight: int) -> Iterator[None]:
        """Have a part of it while a file is sent."""
        ticket = object()
        with self.turn:
            since = self.closings
            self.queue.append(ticket)
            try:
                while self.queue[0] is not ticket or self.left < weight:
                    self.pause(since)
            finally:
                self.queue.remove(ticket)
                self.turn.notify_all()
            self.left -= weight
        try:
            yield
        finally:
            with self.turn:
                self.left += weight
                self.turn.notify_all()
