"""Staging requests: when each is asked how far it is, and what its answers mean."""

from __future__ import annotations

import time
from collections import deque

from gridsync_parts.chores import Told, stuck_text
from gridsync_parts.errors import DoorError, GridError, Unreached
from gridsync_parts.fetching import Fetch
from gridsync_parts.jobs import REFUSALS, Job, Next, Where
from gridsync_parts.orders import Order, Polled, What
from gridsync_parts.pace import Trouble
from gridsync_parts.plans import plan_calls, plan_staged, subject_of
from gridsync_parts.values import WAITING, Locality, Row, Staging, place_row, with_error


class Request:
    """A staging request: when it is asked how far it is."""

    def __init__(self, now: float):
        self.began = now
        self.due = 0.0
        self.refusals = 0  # one after the other
        self.trouble = Trouble()


class Polls:
    """The staging requests that files are waited for with."""

    def __init__(self, fetch: Fetch, told: Told, todo: deque[Order], now: float):
        self.fetch = fetch
        self.told = told
        self.todo = todo  # what is to be asked at once
        self.requests: dict[str, Request] = {}
        self.moved_at = now  # when a file has come from tape last
        self.staged = 0  # bytes that came from tape

    def silent(self, now: float) -> float:
        """For how long nothing has come of the requests that are waited for."""
        return now - max(self.moved_at, min((request.began for request in self.requests.values()), default=now))

    def plan(self, now: float) -> Order | None:
        """The request that is due first."""
        fetch, staging = self.fetch, self.fetch.jobs.staging
        if not fetch.aim.polls:
            return None
        self.requests = {name: self.requests.get(name) or Request(now) for name in staging}
        if not self.requests:
            return None
        name, request = min(self.requests.items(), key=lambda item: item[1].due)
        if now < request.due:
            self.give_up_stuck(now)  # now that all have been asked
            return None
        request.due = now + fetch.pace.poll(now - request.began, len(self.requests))
        return Order(What.POLL, [job.row for job in staging[name].values()], name)

    def give_up_stuck(self, now: float) -> None:
        """Wait no more for requests of which nothing has come for very long, while nothing else has moved either."""
        fetch = self.fetch
        for name, request in list(self.requests.items()):
            idle = now - max(self.moved_at, request.began)
            if fetch.aim.is_patient and idle > fetch.pace.idle:
                since = time.time() - idle
                for job in list(fetch.jobs.staging.get(name, {}).values()):
                    reason = stuck_text([job.row], since, fetch.aim.by_record)
                    fetch.take(job, Next(Where.LEFT, reason, is_final=True))

    def take(self, order: Order, value: Polled, error: GridError | None, now: float) -> bool:
        """How far a request is."""
        fetch, request = self.fetch, self.requests[order.request]
        if error:
            return self.take_refusal(order, error, now)
        request.refusals, request.trouble = 0, Trouble()
        for row in order.rows:
            job, answer = fetch.jobs.by_path[row.path], value.answers.get(row.path, WAITING)
            if answer.is_waiting():
                self.wait(job, answer)
                continue
            there = place_row(job.row, value.localities.get(row.path, job.row.locality))
            self.end(job, plan_staged(there, answer, fetch.aim.by_record), now)
        if fetch.aim.waits and (stuck := self.told.stuck_text()):  # whoever looks on is told at each look
            fetch.ledger.errors.append(stuck)
        return True

    def wait(self, job: Job, answer: Staging) -> None:
        """A request is still at work on a file; whoever only looks does not wait for it."""
        fetch = self.fetch
        is_stuck = 0 < answer.since < time.time() - fetch.pace.stuck
        if is_stuck and not fetch.aim.is_patient:  # which has its own end for it
            self.told.stuck.append((job.row, answer.since))
        if not fetch.aim.waits:
            if fetch.aim.by_record:  # the manual has no such line for other sites
                self.told.note_coming(job.row, answer.since)
            fetch.jobs.move(job, None)

    def end(self, job: Job, row: Row, now: float) -> None:
        """A request is done with a file."""
        fetch = self.fetch
        fetch.change(job, row)
        if row.locality is Locality.ONLINE:
            self.moved_at = now
            self.staged += row.size
        is_failed = row.error and not row.request
        if is_failed and fetch.aim.by_record and fetch.aim.is_patient:
            fetch.note_once(f"{row.error}; it is asked for again, later each time")
        if is_failed and job.asked >= (fetch.aim.enough if fetch.aim.by_record else 2):
            fetch.take(job, Next(Where.LEFT, row.error, is_final=True))
        else:
            job.seen = now
            fetch.place(job, now)

    def take_refusal(self, order: Order, error: GridError, now: float) -> bool:
        """Nothing is told of a request; whether it is a matter of this one alone."""
        request, aim = self.requests[order.request], self.fetch.aim
        if aim.by_record and not (aim.is_patient or isinstance(error, Unreached) or error.pause):
            subject = subject_of(order.rows[0], aim.by_record)
            reason = f"{subject}: nothing is told of it: {str(error).partition(f'{subject}: ')[2] or error}"
            for row in order.rows:  # of others more may be told
                self.fetch.take(self.fetch.jobs.by_path[row.path], Next(Where.LEFT, reason))
            return True
        if isinstance(error, DoorError) or not aim.is_patient:
            request.trouble = request.trouble.after(self.fetch.pace.chore, now, self.fetch.pace.well)
            self.give_up_stuck(now)
            return not self.fetch.jobs.staging  # the others would wait as long
        request.refusals += not error.passing
        if error.passing or request.refusals < REFUSALS:
            request.trouble = self.told.rest(request.trouble, error, now)
            request.due = request.trouble.until
            return True
        self.todo.extend(Order(What.RELEASE, some, held) for held, some in plan_calls(order.rows))
        for row in order.rows:
            job = self.fetch.jobs.by_path[row.path]
            self.end(job, with_error(job.row._replace(request=""), f"{row.path}: {error}"), now)
        return True
