"""Calls to a site about files: where they are, to bring them to disk, how far that is, to let go of them."""

from __future__ import annotations

import enum
from typing import NamedTuple

from gridsync_parts.doors import Place, Tape
from gridsync_parts.errors import DoorError, FileError, GridError, NotFound
from gridsync_parts.log import log
from gridsync_parts.plans import plan_calls, plan_staged
from gridsync_parts.values import FORGOTTEN, WAITING, Locality, Row, Staging, place_row


class What(enum.Enum):
    """What is asked of the site."""

    LOOK = "where files are"
    POLL = "how far a request is"
    RELEASE = "to let go of files"
    STAGE = "to bring files to disk"


class Order(NamedTuple):
    """One call to the site."""

    what: What
    rows: list[Row]
    request: str = ""
    is_first: bool = False  # the files go before the others
    is_whole: bool = False  # it is about a record, whatever files it names

    def is_divided(self, error: GridError) -> bool:
        """Whether halves may be taken: it has too many files (dCache before 10.2.25 says 403), or a wrong one."""
        is_ended = self.what is What.RELEASE and isinstance(error, NotFound)
        is_refused = isinstance(error, FileError) and not error.passing and not is_ended
        is_divisible = len(self.rows) > 1 and not self.is_whole
        return is_refused and is_divisible and self.what in (What.RELEASE, What.STAGE)

    def halves(self) -> list[Order]:
        """The same in two calls."""
        half = len(self.rows) // 2
        return [self._replace(rows=self.rows[:half]), self._replace(rows=self.rows[half:])]


class Polled(NamedTuple):
    """What staging requests say of their files, and where those are that they are done with."""

    answers: dict[str, Staging]
    localities: dict[str, Locality]


def tape_of(place: Place, site: str) -> Tape:
    """The tape service of a site, without which what is wanted can't be done."""
    if tape := place.find_tape():
        return tape
    raise DoorError(f"the site {site} names no tape service to ask; see TAPE_API in Grid.conf")


def look(place: Place, rows: list[Row]) -> dict[str, Locality]:
    """Where files are."""
    if not rows:
        return {}
    on_tape = {row.path for row in rows if row.locality is Locality.NEARLINE}
    return place.locate([row.path for row in rows], on_tape)


def poll(place: Place, order: Order) -> Polled:
    """Ask how far requests are; what one has brought, and is not there, may still be pinned by it: that is let go."""
    tape = tape_of(place, order.rows[0].site)
    answers: dict[str, Staging] = {}
    for request, held in plan_calls(order.rows):
        paths = [row.path for row in held]
        try:
            found = tape.stagings(request, paths)
        except NotFound:
            found = dict.fromkeys(paths, FORGOTTEN)
        # Of several requests the one that still is at work counts.
        answers.update({path: new for path, new in found.items() if path not in answers or new.is_waiting()})
    ended = [row for row in order.rows if not answers.get(row.path, WAITING).is_waiting()]
    localities = look(place, ended)
    lapsed = []
    for row in ended:
        answer, there = answers[row.path], place_row(row, localities.get(row.path, row.locality))
        if answer.done and answer is not FORGOTTEN and not plan_staged(there, answer).request:
            lapsed.append(row)
    for request, held in plan_calls(lapsed):
        try:
            tape.release(request, [row.path for row in held])
        except (FileError, DoorError) as error:
            log.debug("%s may still pin %s: %s", request, held[0].path, error)
    return Polled(answers, localities)


def ask(place: Place, order: Order, days: int) -> object:
    """Make the call."""
    if order.what is What.LOOK:
        return look(place, order.rows)
    if order.what is What.POLL:
        return poll(place, order)
    tape, paths = tape_of(place, order.rows[0].site), [row.path for row in order.rows]
    if order.what is What.STAGE:
        return tape.stage(paths, days)
    tape.release(order.request, paths)
    return None
