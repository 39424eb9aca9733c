"""What moves the files of a run, whichever way: how far each is, and when it is tried again."""

from __future__ import annotations

import time
from typing import Any

from gridsync_parts.convoy import Steps
from gridsync_parts.doors import Place
from gridsync_parts.errors import GridError, drop_frames
from gridsync_parts.fetching import Work
from gridsync_parts.loop import Again
from gridsync_parts.pool import Stop
from gridsync_parts.values import Outcome, Row, Seen


class Mover:
    """Moves files, an attempt at a time."""

    def __init__(self, place: Place, stop: Stop):
        self.place = place
        self.stop = stop
        self.flying: dict[str, int] = {}  # bytes so far of the files on their way
        self.received: dict[str, int] = {}  # bytes that went over the line for them
        self.paused: set[str] = set()  # files between two attempts
        self.strange: set[str] = set()  # local files of which it is not clear whose they are

    def bring(self, work: Work) -> Any:
        """One attempt at a file: what became of it."""
        raise NotImplementedError

    def carry_out(self, work: Work, steps: Steps) -> Steps:
        """One attempt, step by step, by steps that give the file's new row and what was done."""
        row = work.row
        if outcome := self.put_back(work):
            return outcome
        try:
            try:
                new, done = yield from steps
            except GridError as error:
                return self.fail(work, error)
        except BaseException:  # which ends the run
            self.let_go(row)
            raise
        self.paused.discard(row.path)
        return Outcome(new, done, self.let_go(row))

    def put_back(self, work: Work) -> Outcome | None:
        """A file that is not tried now: it may be on tape again, or others wait for another attempt."""
        row = work.row
        if time.monotonic() > work.until:
            return Outcome(row, "stale", self.let_go(row))
        if len(self.paused) >= work.places and row.path not in self.paused:
            return Outcome(row, "held")
        return None

    def fail(self, work: Work, error: Exception) -> Outcome | Again:
        """What follows when an attempt has failed; what concerns all files is raised."""
        if again := self.again(work, error):
            return again
        self.paused.discard(work.row.path)
        outcome = self.give_up(work.row, error)
        return outcome._replace(received=self.let_go(work.row))

    def give_up(self, row: Row, error: Exception) -> Outcome:
        """Say what became of a file that is not tried again; what concerns all files is raised."""
        raise NotImplementedError

    def job(self, work: Work) -> Any:
        """What an attempt at a file is to do: a plain value, for whatever process does it."""
        raise NotImplementedError

    def goes_out(self, job: Any) -> None:
        """A worker does it now, before anything is sent."""

    def came_back(self, path: str, is_open: bool) -> None:
        """A worker is done with it; some of it may be at the site under its temporary name."""

    def retries(self, work: Work) -> int:
        """How often a file is tried again."""
        return work.retries

    def again(self, work: Work, error: Exception) -> Again | None:
        """When there is another attempt; failures do not count when enough has moved since."""
        if not isinstance(error, GridError) or self.stop.is_set():
            return None
        row, now = work.row, time.monotonic()
        tries = work.tries.having(self.flying.get(row.path, 0))
        pause = tries.pause(error, self.retries(work), work.pace, now)
        if pause is None:
            return None
        self.paused.add(row.path)
        return Again(row, tries.after(error, work.pace, now), pause, drop_frames(error))

    def watch(self, path: str) -> Seen:
        """What is told how far a file is, in an attempt that comes after others."""
        before = self.received.get(path, 0)

        def seen(here: int, came: int) -> None:
            self.flying[path] = here
            if came:
                self.received[path] = before + came

        return seen

    def let_go(self, row: Row) -> int:
        """Take a file off the list of those on their way; how many bytes of it went over the line."""
        self.flying.pop(row.path, None)
        return self.received.pop(row.path, 0)
