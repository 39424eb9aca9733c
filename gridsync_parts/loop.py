"""Where a run waits: calls to its site are made by threads, and tried again where that may help."""

from __future__ import annotations

import heapq
import itertools
import math
import time
from collections.abc import Iterator
from typing import Any, Callable, NamedTuple, Union

from gridsync_parts.doors import LISTINGS
from gridsync_parts.errors import GridError, OutOfTime, drop_frames
from gridsync_parts.log import log
from gridsync_parts.pace import Pace, Tries
from gridsync_parts.pool import Pool
from gridsync_parts.values import Row
from gridsync_parts.words import duration_text

WONDER = 5.0  # seconds of a pause that is told,
NEWS = 30.0  # so often at the most
WIDTHS = {"site": 1, "folders": LISTINGS, "zips": 2}  # calls at once; those of `zips` are to the disk


class Call(NamedTuple):
    """A call to the site."""

    turn: int  # later calls have higher ones
    lane: str
    about: Any  # what its answer is about
    verb: Callable[..., Any]
    arguments: tuple[Any, ...]
    tries: Tries


class Answer(NamedTuple):
    """What came of a call."""

    about: Any
    value: Any = None
    error: GridError | None = None


class Came(NamedTuple):
    """What came of items of a lane that others have opened."""

    lane: str
    results: list[Any]


class Again(NamedTuple):
    """An attempt that has failed, when there is another one."""

    row: Row
    tries: Tries
    pause: float
    fault: GridError


class Said(NamedTuple):
    """A sentence for the user."""

    sentence: str


class Slow(NamedTuple):
    """The site has not answered for a while."""


Event = Union[Answer, Came, Said, Slow]


def make(call: Call) -> tuple[Call, Any, GridError | None]:
    """Make a call, in a thread."""
    try:
        return call, call.verb(*call.arguments), None
    except GridError as error:
        return call, None, error


class Loop:
    """Where a run waits."""

    def __init__(self, retries: int, pace: Pace, pool: Pool, clock: Callable[[], float] = time.monotonic):
        self.retries = retries
        self.pace = pace
        self.pool = pool
        self.clock = clock
        self.resting: list[tuple[float, int, Call]] = []  # calls that are made again, and when
        self.turns = itertools.count()
        self.forgotten = 0  # the first turn of which the answer is still wanted
        self.told_at = -math.inf  # when a pause was told
        self.slow_at = math.inf  # when an answer has taken too long
        self.ends = math.inf  # when the time of the run is over

    def ask(self, lane: str, about: Any, verb: Callable[..., Any], *arguments: Any) -> None:
        """Have a call made; its answer is an event."""
        if not self.pending(lane):
            self.slow_at = self.clock() + self.pace.slow
        if lane not in self.pool.lanes:
            self.open(lane, WIDTHS[lane])
        self.pool.add(lane, Call(next(self.turns), lane, about, verb, arguments, Tries(self.clock())))

    def open(self, lane: str, width: int) -> None:
        """Have threads for so many calls at once."""
        self.pool.open(lane, make, width).low = width

    def forget(self) -> None:
        """Want no more answers to what was asked so far, as whoever has asked was interrupted."""
        self.forgotten = next(self.turns)
        self.resting.clear()

    def result(
        self, verb: Callable[..., Any], *arguments: Any, note: Callable[[str], None], note_slow: Callable[[], None]
    ) -> Any:
        """What a call gives, when nothing else is under way; meanwhile its pauses are told."""
        self.ask("site", verb, verb, *arguments)
        try:
            while True:
                for event in self.round():
                    if isinstance(event, Said):
                        note(event.sentence)
                    elif isinstance(event, Slow):
                        note_slow()
                    elif isinstance(event, Answer) and event.about is verb:
                        if event.error:
                            raise event.error
                        return event.value
        except KeyboardInterrupt:
            self.forget()  # else its answer would be taken for that of the next call
            raise

    def pending(self, lane: str) -> int:
        """How many calls of a lane have no answer yet."""
        return self.pool.pending(lane) + sum(call.lane == lane for _, _, call in self.resting)

    def round(self, seconds: float | None = None) -> list[Event]:
        """What has come; if there is nothing, so long is waited for it."""
        self.pool.check()  # not at the end, as what has come is to be taken in first
        now, seconds = self.clock(), self.pace.tick if seconds is None else seconds
        if now >= self.ends:
            raise OutOfTime("the time that --max_duration gives is over")
        while self.resting and self.resting[0][0] <= now:
            call = heapq.heappop(self.resting)[2]
            self.pool.add(call.lane, call)
        if self.resting:
            seconds = min(seconds, self.resting[0][0] - now)
        events: list[Event] = []
        for lane, came in self.pool.collect(seconds):
            if lane in WIDTHS:
                events += itertools.chain.from_iterable(map(self.take, came))
                continue
            events.append(Came(lane, came))
            for result in came:
                if isinstance(result, Again):
                    events += self.tell(result.pause, result.fault)
        if self.clock() > self.slow_at:
            self.slow_at = math.inf
            events += [Slow()] if any(map(self.pending, WIDTHS)) else []
        return events

    def take(self, came: tuple[Call, Any, GridError | None]) -> Iterator[Event]:
        """The answer to a call, or it rests and is made again."""
        call, value, error = came
        if call.turn < self.forgotten:
            return
        now = self.clock()
        pause = call.tries.pause(error, self.retries, self.pace, now) if error else None
        if error is None or pause is None:
            yield Answer(call.about, value, error)
            return
        log.debug("attempt %d failed: %s", call.tries.failures + 1, error)
        drop_frames(error)
        call = call._replace(tries=call.tries.after(error, self.pace, now))
        heapq.heappush(self.resting, (now + pause, call.turn, call))
        yield from self.tell(pause, error)

    def tell(self, pause: float, error: GridError) -> Iterator[Said]:
        """Say what a long pause is for, but not too often."""
        now = self.clock()
        if pause >= WONDER and now >= self.told_at + NEWS:
            self.told_at, self.slow_at = now, math.inf
            yield Said(f"Waiting {duration_text(math.ceil(pause))} before the next attempt: {error}")
