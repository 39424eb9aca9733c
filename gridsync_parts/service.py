"""What is asked of a site about files still to come, and when: one call after the other."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable
from typing import Any, Callable

from gridsync_parts.chores import Chore, Told
from gridsync_parts.doors import MAX_PATHS, MAX_QUERY
from gridsync_parts.errors import DoorError, FileError, Forbidden, GridError, NotFound
from gridsync_parts.fetching import Fetch
from gridsync_parts.jobs import Where
from gridsync_parts.log import log
from gridsync_parts.orders import Order, What
from gridsync_parts.pace import Trouble
from gridsync_parts.plans import plan_calls
from gridsync_parts.polls import Polls
from gridsync_parts.values import Locality, Row, place_row
from gridsync_parts.waves import Waves


class Service:
    """The tape service of a site, or its door where it has none: it gets one call after the other."""

    def __init__(self, fetch: Fetch, now: float):
        self.fetch = fetch
        self.asked: Order | None = None  # of the site, which has not answered yet
        self.began = now
        self.todo: deque[Order] = deque()  # before all that is due
        self.unlooked: deque[Row] = deque()  # files of which the site is to be asked then
        pauses = {What.LOOK: "turn", What.POLL: "turn", What.RELEASE: "release", What.STAGE: "ask"}
        self.chores = {what: Chore(getattr(fetch.pace, name)) for what, name in pauses.items()}
        self.told = Told(fetch)
        self.polls = Polls(fetch, self.told, self.todo, now)
        self.waves = Waves(fetch, self.todo, now)

    # What is to be asked next.

    def next(self, now: float) -> Order | None:
        """The next call, if there is one to make."""
        if self.todo:
            return self.todo.popleft()
        if self.unlooked:
            return self.order_look()
        if order := self.plan_stale(now):
            return order
        plans: dict[What, Callable[[float], Order | None]] = {
            What.LOOK: self.plan_look, What.POLL: self.polls.plan,
            What.RELEASE: self.plan_release, What.STAGE: lambda now: self.waves.plan(self.polls.moved_at, now),
        }  # fmt: skip
        for what, chore in list(self.chores.items()):  # which had its turn longest ago first
            if now >= chore.due:
                order = plans[what](now)
                if order is None or what in (What.RELEASE, What.STAGE):
                    chore.due = now + chore.pause
                if order:
                    self.chores[what] = self.chores.pop(what)
                    return order
        return None

    def look(self, rows: Iterable[Row]) -> None:
        """Have the site asked where files are."""
        self.unlooked.extend(rows)
        if self.fetch.aim.is_patient:  # in other runs no file needs a place before its turn
            while self.unlooked:
                self.todo.append(self.order_look())

    def order_look(self) -> Order:
        """The question about the next of them; without a tape service one listing of each folder is enough."""
        count = MAX_QUERY if self.fetch.has_tape else len(self.unlooked)
        rows = [self.unlooked.popleft() for _ in range(min(count, len(self.unlooked)))]
        for row in rows if self.fetch.aim.is_patient else ():
            self.fetch.jobs.move(self.fetch.jobs.add(row), Where.LOOKING)
        return Order(What.LOOK, rows)

    def is_open(self) -> bool:
        """Whether there is something to ask at once."""
        return bool(self.todo or self.unlooked)

    def plan_look(self, now: float) -> Order | None:
        """Files whose turn comes again."""
        awake = self.fetch.awake(now)
        if not awake:
            return None
        self.look(job.row for job in awake)
        return self.todo.popleft()

    def plan_stale(self, now: float) -> Order | None:
        """Files whose turn is near and that were on disk long ago; threads may have nothing to do until it is known."""
        fetch, ready = self.fetch, self.fetch.jobs.places[Where.READY]
        first = next(iter(ready.values()), None)
        if not first or fetch.is_fresh(first, now) or not fetch.jobs.fed.is_short():
            return None
        if now < self.chores[What.LOOK].trouble.until:
            return None
        fetch.jobs.make_ready(MAX_QUERY)  # they were seen when the others were
        front = list(itertools.islice(ready.values(), MAX_QUERY))
        stale = [job for job in front if not fetch.is_fresh(job, now)]
        for job in stale:
            fetch.jobs.move(job, Where.LOOKING)
        return Order(What.LOOK, [job.row for job in stale], is_first=True)

    def plan_release(self, now: float) -> Order | None:
        """Pins of files that are here."""
        pins, least = self.fetch.pins, 1 if self.fetch.aim.is_patient else MAX_PATHS
        if len(pins) < least:
            return None
        self.release(pins.values())
        return self.todo.popleft()

    def release(self, rows: Iterable[Row]) -> None:
        """Have all pins on some files given back."""
        self.told.failures = []
        self.todo.extend(Order(What.RELEASE, some, request) for request, some in plan_calls(rows))

    # What has come of it.

    def came(self, order: Order, value: Any, error: GridError | None, now: float) -> None:
        """Take in an answer, or why there is none."""
        takes: dict[What, Callable[..., bool]] = {
            What.LOOK: self.take_look, What.POLL: self.polls.take,
            What.RELEASE: self.take_release, What.STAGE: self.waves.take,
        }  # fmt: skip
        if error and not isinstance(error, (DoorError, FileError)):
            raise error
        if error and order.is_divided(error):
            self.todo.extendleft(reversed(order.halves()))
            return
        chore = self.chores[order.what]
        if takes[order.what](order, value, error, now):
            if not error:
                chore.trouble = Trouble()
                self.forget()
        elif error:
            chore.trouble = self.told.rest(chore.trouble, error, now)
            chore.due = chore.trouble.until

    def forget(self) -> None:
        """What the user was told may be told again, once nothing fails any more."""
        ones: Iterable[Any] = itertools.chain(self.chores.values(), self.polls.requests.values())
        if self.told.noted and not any(one.trouble.failures for one in ones):
            self.told.noted.clear()

    def take_look(self, order: Order, value: dict[str, Locality], error: GridError | None, now: float) -> bool:
        """Where files are."""
        fetch, jobs = self.fetch, self.fetch.jobs
        for row in reversed(order.rows) if order.is_first else order.rows:
            job = jobs.by_path.get(row.path)
            if job is None:
                fetch.look_at(row, value.get(row.path, row.locality) if value else row.locality, now)
            elif not error:
                fetch.change(job, place_row(job.row, value.get(row.path, job.row.locality)))
                job.seen = now
                fetch.place(job, now, is_first=order.is_first)
            elif order.is_first:
                jobs.move(job, Where.READY, is_first=True)
            else:
                jobs.move(job, Where.LATE)
        return not error

    def take_release(self, order: Order, value: None, error: GridError | None, now: float) -> bool:
        """Pins were given back, or why not; that is for another try."""
        if error and not isinstance(error, NotFound):  # then it has ended by itself
            if isinstance(error, (DoorError, Forbidden)) or error.passing:
                self.told.failures.append(error)
                chore = self.chores[What.RELEASE]
                chore.trouble = chore.trouble.after(self.fetch.pace.pins, now)
                chore.due = chore.trouble.until
                return True
            log.debug("%s holds no pin of %s: %s", order.request, order.rows[0].path, error)
        self.fetch.unpin(order.rows, order.request)
        return True
