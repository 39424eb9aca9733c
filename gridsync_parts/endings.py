"""What ends a run before it is done: a signal, a credential that has ended, a door that gives nothing."""

from __future__ import annotations

import math
import signal
import threading
import time
from typing import Any, Callable

from gridsync_parts.errors import CredentialError, DoorError, FileError, Forbidden, GridError
from gridsync_parts.keys.proxy import valid_proxy
from gridsync_parts.kinds import needs_proxy
from gridsync_parts.pace import Pace
from gridsync_parts.pool import ENDS
from gridsync_parts.table import Settings
from gridsync_parts.values import Outcome

ONCE = 1.0  # seconds in which signals that end a run count as one
REFUSED = 16  # files that the door refuses before it has given any, which end a run


class Heed:
    """While what has come is applied, a signal that ends the run waits; who says it again later is heard at once."""

    def __init__(self, wake: Callable[[], None]):
        self.wake = wake
        self.until = math.inf  # others count as the same one
        self.before: dict[int, Any] = {}

    def hear(self, number: int, frame: object) -> None:
        """A signal has come."""
        now = time.monotonic()
        if now > self.until:
            raise KeyboardInterrupt
        self.until = min(self.until, now + ONCE)
        self.wake()

    def check(self) -> None:
        """Raise what has come."""
        if self.until < math.inf:
            raise KeyboardInterrupt

    def close(self) -> None:
        """Hear nothing more: the run ends."""
        for number in self.before:
            signal.signal(number, signal.SIG_IGN)

    def __enter__(self) -> Heed:
        if threading.current_thread() is threading.main_thread():
            for number in ENDS:
                if signal.getsignal(number) is signal.default_int_handler:  # else somebody wants it otherwise
                    self.before[number] = signal.signal(number, self.hear)
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)
        if kind is None:
            self.check()


class Credential:
    """What is shown at the door, as long as it lasts; a token is looked at with each request."""

    def __init__(self, settings: Settings, pace: Pace):
        self.settings = settings
        self.pace = pace
        self.due = 0.0
        self.doubt: CredentialError | None = None  # it has ended; but perhaps a new one is just being written

    def is_good(self, now: float) -> bool:
        """Whether it has not ended; raised if that is sure."""
        if not needs_proxy(self.settings.site):
            return True
        if now >= self.due:
            try:
                valid_proxy(self.settings.vo, time.time())
                self.doubt, self.due = None, now + self.pace.check
            except CredentialError as error:
                if self.doubt:
                    raise
                self.doubt, self.due = error, now + 1
        return self.doubt is None

    def suspect(self) -> None:
        """Something went wrong: it is looked at now, if it was good so far."""
        if not self.doubt:
            self.due = 0.0

    def blame(self, error: BaseException) -> BaseException:
        """What has ended a run, or that the credential has."""
        if needs_proxy(self.settings.site) and isinstance(error, (FileError, DoorError, CredentialError)):
            try:
                valid_proxy(self.settings.vo, time.time())
            except CredentialError as ended:
                return ended
        return error


class Door:
    """Whether a door gives anything at all, or takes anything."""

    def __init__(self) -> None:
        self.takes = False  # it is sent files: bytes go before it says whether it takes one
        self.enough = math.inf  # failures, one after the other, that end the run
        self.failures: list[GridError] = []  # those that there are
        self.held: list[Outcome] = []  # files that were refused, of which nothing is told while it may be so with all
        self.is_given = False  # it has given some bytes, or taken a file

    def see(self, received: dict[str, int]) -> None:
        """Take down what files on their way have got so far."""
        self.is_given = self.is_given or (not self.takes and any(list(received.values())))

    def judge(self, outcome: Outcome) -> list[Outcome]:
        """The files of which may be told now."""
        self.is_given = self.is_given or (outcome.done == "sent" if self.takes else outcome.received > 0)
        if isinstance(outcome.fault, DoorError):
            self.failures.append(outcome.fault)
        elif not outcome.is_put_back():
            self.failures.clear()
        if isinstance(outcome.fault, Forbidden) and not self.is_given:
            self.held.append(outcome)
            return []
        return [outcome]

    def depth(self, most: int, pending: int) -> int:
        """How many files may wait in front of the threads: no more than it takes to see that it refuses them all."""
        return min(most, REFUSED - len(self.held) - pending) if self.held and not self.is_given else most

    def tell(self, is_last: bool) -> list[Outcome]:
        """Those that were held back, once it is not so with all, or no other is left."""
        is_told = self.is_given or (is_last and not self.is_shut())
        held, self.held = (self.held, []) if is_told else ([], self.held)
        return held

    def is_shut(self) -> bool:
        """Whether it refuses everything, as it seems."""
        return not self.is_given and len(self.held) >= REFUSED

    def check(self) -> None:
        """Raise what ends the run when it gives nothing at all."""
        if len(self.failures) >= self.enough:
            raise self.failures[-1]
        if self.is_shut():
            done = "took" if self.takes else "delivered"
            raise DoorError(f"the door refused the first {REFUSED} files and {done} none: {self.held[0].fault}")
