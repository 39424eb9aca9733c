"""Files on tape: which are asked for, when, and what the answers mean."""

from __future__ import annotations

from collections import deque

from gridsync_parts.errors import DiskError, FileError, GridError
from gridsync_parts.fetching import Fetch
from gridsync_parts.jobs import Job, Next, Where, next_failed, plan_ask
from gridsync_parts.orders import Order, What
from gridsync_parts.plans import NOT_ASKED, plan_requests, subject_of
from gridsync_parts.values import Row
from gridsync_parts.words import size_text


class Waves:
    """Files that are asked for together, in one request or several; no more at once than the local disk can hold."""

    def __init__(self, fetch: Fetch, todo: deque[Order], now: float):
        self.fetch = fetch
        self.todo = todo  # what is to be asked at once
        self.asked_at = now  # when files were asked for last
        self.is_asked = False  # some files of the present wave were
        self.refused: list[tuple[Job, str]] = []  # others of it, and why

    def plan(self, moved_at: float, now: float) -> Order | None:
        """Files to be brought from tape."""
        fetch, jobs = self.fetch, self.fetch.jobs
        if not fetch.aim.stages:
            return None
        tape = [job.row for job in jobs.at(Where.TAPE)]
        if fetch.aim.copies:
            tape = self.choose(tape, moved_at, now)
        self.is_asked, self.refused = False, []
        for row in tape:
            jobs.move(jobs.by_path[row.path], Where.ORDERED)
        requests = plan_requests(tape, fetch.aim.by_record)
        self.todo.extend(Order(What.STAGE, some, is_whole=fetch.aim.by_record) for some in requests)
        return self.todo.popleft() if tape else None

    def choose(self, tape: list[Row], moved_at: float, now: float) -> list[Row]:
        """Those of the files on tape that are asked for now."""
        fetch, jobs = self.fetch, self.fetch.jobs
        is_busy = jobs.count(Where.STAGING, Where.COPYING, Where.PAUSED)
        if not tape and (is_busy or jobs.count(Where.LATE, Where.LOOKING)):
            return []
        ready = [job for job in jobs.at(Where.READY) if not job.is_here]
        if not tape and not ready:
            return []
        free = fetch.target.free()
        claimed = jobs.size(Where.COPYING, Where.PAUSED, Where.STAGING) - jobs.fed.here
        claimed += sum(job.row.size for job in ready if job.row.size <= free)
        busy_for = now - max(moved_at, self.asked_at) if is_busy else None
        wave = plan_ask(tape, free - claimed, free, busy_for, fetch.pace.gather)
        if not wave and not is_busy and not jobs.count(Where.LATE, Where.LOOKING):
            too_big = [job.row for job in ready if fetch.target.missing(job.row) > free]
            if len(too_big) == jobs.count(Where.READY):
                needed = sum(row.size for row in [*tape, *too_big])
                raise DiskError(
                    f"{fetch.target.folder} has {size_text(free)} free, but {size_text(needed)} are still "
                    "needed; make room, and the same command goes on from here"
                )
        return wave

    def take(self, order: Order, value: str, error: GridError | None, now: float) -> bool:
        """Files are asked for, or why not."""
        jobs = self.fetch.jobs
        if not error:
            self.is_asked, self.asked_at = True, now
            self.fetch.ledger.is_durable = True  # a pin that is forgotten is never given back
            for row in order.rows:
                job = jobs.by_path[row.path]
                self.fetch.change(job, job.row._replace(request=value, error=""))
                job.asked += 1
                jobs.move(job, Where.STAGING)
        elif order.is_whole and isinstance(error, FileError):
            self.leave(order, error, now)
        elif error.passing or not isinstance(error, FileError):
            # By the next time, a request that has come through in spite of it does no harm.
            error.passing = True
            self.drop()
            for job in reversed(list(jobs.at(Where.ORDERED))):
                jobs.move(job, Where.TAPE, is_first=True)
            return False
        else:
            self.refuse(order, error)
        if self.is_over():
            for job, reason in self.refused:
                self.fetch.take(job, Next(Where.LEFT, reason))
            self.refused = []
        return True

    def refuse(self, order: Order, error: GridError) -> None:
        """A file can't be asked for; after some of them it is the service that refuses."""
        jobs, path = self.fetch.jobs, order.rows[0].path
        self.refused.append((jobs.by_path[path], f"{path}: {NOT_ASKED}: {error}"))
        if not self.is_asked and (len(self.refused) == 3 or self.is_over()):
            if not self.fetch.aim.is_patient:
                raise error
            self.drop()
            self.refused = [(job, f"{job.row.path}: {error}") for job in jobs.at(Where.ORDERED)]

    def leave(self, order: Order, error: GridError, now: float) -> None:
        """A record can't be asked for; others are all the same."""
        fetch = self.fetch
        subject = subject_of(order.rows[0], order.is_whole)
        said = str(error).partition(f"{subject}: ")[2] or str(error)
        reason = f"{subject}: {NOT_ASKED}: {said}"
        for row in order.rows:
            job, left = fetch.jobs.by_path[row.path], Next(Where.LEFT, reason)
            fetch.take(job, next_failed(job, reason, True, fetch.aim, fetch.pace, now) if error.passing else left)

    def is_over(self) -> bool:
        """Whether all of a wave was asked for, or refused."""
        return not any(order.what is What.STAGE for order in self.todo)

    def drop(self) -> None:
        """Ask for no more of the files of a wave."""
        others = [order for order in self.todo if order.what is not What.STAGE]
        self.todo.clear()
        self.todo.extend(others)
