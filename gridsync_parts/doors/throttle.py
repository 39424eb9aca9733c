"""What a door takes of what it is shown, and how fast it may be asked."""

from __future__ import annotations

import math
import threading
import time
from collections import deque

from gridsync_parts.errors import CredentialError

WINDOW = 21  # seconds in which dCache 11.2 stands no third 401
FORGOTTEN = 60  # seconds after which a door that takes nothing is asked again, by a program that is still there
TURN = 11  # seconds after which one more may ask, if the one before has no answer yet
FASTEST = 5000  # requests a second, of which a server takes no more
PRUDENCE = 0.8  # of what a server has taken in a second until it was too much,
LEAST = 10  # if that was more than so many,
REMEMBERED = 600  # for so many seconds
PROBE = 1.0  # seconds between two requests while it has taken none since
HELD = 120  # seconds for which a request is held back


class Welcome:
    """What a door takes: as a few 401 make dCache shut out a whole address, one asks before all others do.

    It may be a moment of weakness, or something new may be there to show: so after a 401 there is one more request.
    """

    def __init__(self, pause: float):
        self.pause = pause  # seconds after which what was refused is shown once more, if it ever is
        self.taken: object = None  # what the door has taken last: that everybody may show
        self.refused: object = None  # and what it has not
        self.refusals: deque[float] = deque(maxlen=2)  # when
        self.strikes = 0  # refusals without anything taken in between
        self.words = ""  # why there is no use in asking any more
        self.askers: set[int] = set()  # the threads that go ahead
        self.due = 0.0  # when the next one may
        self.turn = threading.Condition()

    def is_turn(self, shown: object) -> bool:
        """Whether a request may go; if not it has waited for a while, and there may be something else to show."""
        if shown == self.taken:
            return True
        with self.turn:
            now, ready = time.monotonic(), self.due
            if self.words and now >= self.refusals[-1] + FORGOTTEN:
                self.strikes, self.refused, self.words = 0, None, ""
            if len(self.refusals) > 1:
                ready = max(ready, self.refusals[0] + WINDOW)
            if self.words and (shown == self.refused or now < ready):
                raise CredentialError(self.words)
            if shown == self.refused:
                ready = max(ready, self.refusals[-1] + self.pause)
            if now >= ready:
                self.due = now + TURN
                self.askers.add(threading.get_ident())
                return True
            self.turn.wait(min(ready - now, 1))
            return False

    def take(self, shown: object) -> None:
        """What was shown is good."""
        if threading.get_ident() in self.askers:
            with self.turn:
                self.taken, self.strikes, self.words = shown, 0, ""

    def refuse(self, shown: object, words: str) -> bool:
        """What was shown is not; whether the caller is the one to look for something else."""
        with self.turn:
            self.refusals.append(time.monotonic())
            if shown != self.taken and threading.get_ident() not in self.askers:
                return False  # it was under way when another one was refused
            self.strikes = 1 if shown == self.taken else self.strikes + 1
            self.taken, self.refused = None, shown
            if self.strikes > 1:
                self.words = words
            return self.strikes == 1

    def note_refusal(self) -> None:
        """One that went ahead of its answer was refused; it goes once more."""
        with self.turn:
            self.refusals.append(time.monotonic())

    def leave(self) -> None:
        """Let the others have their turn."""
        if threading.get_ident() in self.askers:
            with self.turn:
                self.askers.discard(threading.get_ident())
                self.due = 0.0
                self.turn.notify_all()


class Throttle:
    """How fast a server may be asked, by all threads together: it says when that was too fast, and how long to wait.

    What it has taken in the last second before is what it takes in a second; a little less is asked from then on. After
    a wait one request goes ahead.
    """

    def __init__(self) -> None:
        self.taken: deque[float] = deque(maxlen=FASTEST)  # when
        self.gap = 0.0  # seconds between two requests
        self.next = 0.0  # when one may go
        self.slowed = -math.inf  # when it has last said so
        self.is_open = True  # it has taken one since
        self.turn = threading.Condition()

    def go(self) -> float:
        """Wait until a request may go; when that is."""
        if not self.gap and self.is_open:
            return time.monotonic()
        with self.turn:
            while (now := time.monotonic()) < self.next:
                self.turn.wait(self.next - now)
            if now - self.slowed > REMEMBERED:
                self.gap = 0.0
            self.next = now + (self.gap if self.is_open else PROBE)
            return now

    def take(self) -> None:
        """It has taken a request."""
        now = time.monotonic()
        self.taken.append(now)
        if not self.is_open:
            with self.turn:
                self.is_open, self.next = True, now
                self.turn.notify_all()

    def slow(self, began: float, pause: float) -> float:
        """It has not taken a request that went then, and wants to be left alone; until when."""
        with self.turn:
            now = time.monotonic()
            if began >= self.slowed:  # else it was on its way when another one was not taken
                count = sum(when > now - 1 for when in list(self.taken))
                if count > LEAST:  # else it was not for our speed
                    self.gap = 1 / (PRUDENCE * count)
                self.slowed, self.is_open = now, False
            self.next = max(self.next, now + pause)
            return self.next
