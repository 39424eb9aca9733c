"""How long a run waits, and for what: every waiting time is one value, and what fails waits by one law."""

from __future__ import annotations

import math
import random
import time
from typing import Any, Callable, NamedTuple, TypeVar

from gridsync_parts.errors import CredentialError, GridError, PoolError, TooFast

T = TypeVar("T")
WORTH = 64 << 10  # bytes that have to come for a failure not to count
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0


class Backoff(NamedTuple):
    """How long something is left alone after it has failed: twice as long each time."""

    first: float  # seconds
    most: float
    long: float = math.inf  # seconds from its first failure after which it is given up

    def pause(self, failures: int) -> float:
        """The seconds after so many failures; by chance, so that what has failed together does not come together."""
        return min(self.most, self.first * 2.0 ** min(failures - 1, 60)) * random.uniform(0.5, 1)


class Trouble(NamedTuple):
    """How something has failed so far."""

    since: float = 0.0
    failures: int = 0
    until: float = 0.0  # when it is tried again
    is_lasting: bool = False  # the last failure was of a kind that does not pass by itself

    def after(self, backoff: Backoff, now: float, well: float = math.inf) -> Trouble:
        """One failure more; the first one, if all was well for so long in between."""
        is_new = not self.failures or now - self.until > well
        since, failures = (now, 1) if is_new else (self.since, self.failures + 1)
        return Trouble(since, failures, now + backoff.pause(failures))

    def is_over(self, backoff: Backoff, now: float) -> bool:
        """Whether it has failed for so long that waiting helps no more."""
        return bool(self.failures) and now - self.since > backoff.long


class Pace(NamedTuple):
    """The waiting times of a run in seconds, and what bounds them."""

    tick: float = 0.1  # between two looks at what has come
    slow: float = 20.0  # without an answer, until that is told
    command: float = HOUR  # that the command of ON_DONE may take for a file
    check: float = MINUTE  # between two looks at the credential
    last_word: float = 30.0  # that a site has to name a request, when the run ends
    call: Backoff = Backoff(2, MINUTE)  # a call to the site, after a second attempt at once
    pool: Backoff = Backoff(8, MINUTE)  # files whose pool fails, for a run that does not wait for more
    file: Backoff = Backoff(30, HOUR, DAY)  # a file, for a run that does
    chore: Backoff = Backoff(15, 10 * MINUTE, DAY)  # what is to be done with the site again and again
    pins: Backoff = Backoff(10, 10 * MINUTE)  # pins that can't be given back
    blind: Backoff = Backoff(30, HOUR, HOUR)  # a folder that can't be listed
    well: float = HOUR  # after which a failure is no longer one of those before
    list: float = HOUR  # between two listings
    ask: float = 5.0  # between two looks at what is to be asked for,
    release: float = 5.0  # or given back
    turn: float = 0.5  # between two looks at what is due
    held: float = 2 * MINUTE  # for which a site may say that it was asked too fast
    fresh: float = 10 * MINUTE  # for which a file that was on disk is taken to be there still
    here: float = MINUTE  # for which a local file is taken to be as it was seen
    gather: float = 10 * MINUTE  # in which a small wave may grow, as a few at a time would be no way to ask a tape
    poll_first: float = 1.0  # until a request is asked how far it is, at the least;
    poll_share: float = 1 / 20  # then this part of its age,
    poll_most: float = 5 * MINUTE  # and so much at the most
    polls: float = 10.0  # a second, of all requests together
    stuck: float = DAY / 2  # after which a file on its way from tape is called stuck,
    idle: float = DAY  # and after which it is given up, when nothing else has moved

    def poll(self, age: float, others: int) -> float:
        """Until a request of that age, of so many, is asked again."""
        alone = min(max(self.poll_first, age * self.poll_share), self.poll_most)
        return max(alone, others / self.polls) * random.uniform(0.8, 1.2)


PACE = Pace()


class Tries(NamedTuple):
    """The attempts at one call."""

    began: float
    failures: int = 0
    had: int = 0  # bytes that were here at the last failure

    def having(self, here: int) -> Tries:
        """Those of a file of which so much is here; failures do not count when enough has come since."""
        return Tries(self.began, 0, here) if here >= self.had + WORTH else self

    def pause(self, error: GridError, retries: int, pace: Pace, now: float) -> float | None:
        """Seconds until it is tried again; None if that would not help."""
        if isinstance(error, TooFast) and now - self.began < pace.held:
            return 0.0  # the door holds it back by itself
        # A proxy or token may just be renewed, but who waits for that a second time waits in vain. And a pool is waited
        # for by all of its files together.
        most = min(retries, 1) if isinstance(error, (CredentialError, PoolError)) else retries
        if not error.passing or self.failures >= most:
            return None
        # The first time at once: often a kept connection has just died of old age.
        return max(error.pause, pace.call.pause(self.failures) if self.failures else 0.0)

    def after(self, error: GridError, pace: Pace, now: float) -> Tries:
        """Those after one more."""
        is_held = isinstance(error, TooFast) and now - self.began < pace.held
        return self if is_held else self._replace(failures=self.failures + 1)


def insist(verb: Callable[..., T], *arguments: Any, retries: int, pace: Pace = PACE) -> T:
    """What a call gives, tried again where that may help: for whoever has a thread that may wait."""
    tries = Tries(time.monotonic())
    while True:
        try:
            return verb(*arguments)
        except GridError as error:
            now = time.monotonic()
            pause = tries.pause(error, retries, pace, now)
            if pause is None:
                raise
            tries = tries.after(error, pace, now)
        time.sleep(pause)
