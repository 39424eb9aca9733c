"""What brings files here, and how that is shown."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from gridsync_parts.chores import Told
from gridsync_parts.endings import REFUSED, Door
from gridsync_parts.fetching import DEPTH, Fetch
from gridsync_parts.jobs import Fed, Where
from gridsync_parts.loop import Again, Said
from gridsync_parts.plans import is_tape_slower
from gridsync_parts.polls import Polls
from gridsync_parts.pool import Hands
from gridsync_parts.screen import LiveLine, Output, Progress, Rate, Todo, silence_text, staging_text
from gridsync_parts.service import Service
from gridsync_parts.values import Outcome
from gridsync_parts.words import size_text

if TYPE_CHECKING:
    from gridsync_parts.mover import Mover
    from gridsync_parts.rereader import Rereader

PATIENCE = "Files come from tape in hours, or days; Ctrl-C is safe: the portal goes on, the same line finds them later"
SHOWN = 20  # records on their way from tape, each with a line


class Bringing:
    """What brings files here, or reads them: what it is given, what comes of it, and the line about it."""

    def __init__(self, fetch: Fetch, worker: Mover | Rereader, lane: Hands, threads: int, progress: Progress):
        self.fetch = fetch
        self.worker = worker
        self.lane = lane
        self.threads = threads
        self.depth = min(DEPTH, REFUSED)  # files that may wait in front of them
        self.progress = progress
        self.door = Door()
        self.lost = 0, 0  # files that were given up before, and bytes
        self.tape = Rate()  # of what comes from tape

    def feed(self, now: float) -> None:
        """Give the threads files, as many as they can soon take."""
        fetch, lane, door = self.fetch, self.lane, self.door
        here = sum(list(self.worker.flying.values()))
        door.see(self.worker.received)
        fetch.jobs.fed = Fed(lane.pending, lane.ahead(), here, lane.width, door.depth(self.depth, lane.pending))
        for item in fetch.feed(now):
            lane.add(item)
        is_more = bool(fetch.jobs.places[Where.READY] or fetch.jobs.planned.rows)
        lane.low = lane.ahead() // 2 if is_more else 0
        is_last = not (lane.pending or is_more or fetch.jobs.count(Where.PAUSED) or fetch.beyond[0])
        for outcome in door.tell(is_last):
            fetch.land(outcome, now)

    def land(self, results: list[Outcome | Again | Said], now: float) -> None:
        """Take in what became of files."""
        came = 0
        self.door.see(self.worker.received)
        self.name_strange()
        for result in results:
            if isinstance(result, Again):
                self.fetch.pause(result, now)
                continue
            if isinstance(result, Said):
                self.fetch.ledger.notes.append(result.sentence)
                continue
            came += result.is_here()
            for outcome in self.door.judge(result):
                self.fetch.land(outcome, now)
        self.depth = min(DEPTH, self.threads + 2 * came)  # as many as will soon be done

    def name_strange(self) -> None:
        """Have the user told of files that nobody can tell the owner of."""
        while self.worker.strange:
            path = self.worker.strange.pop()
            self.fetch.ledger.notes.append(f"{path} may come from an earlier gridsync or be yours; it is left alone")

    def end(self, results: list[Outcome | Again | Said], now: float) -> None:
        """Take in what came last."""
        self.land([result for result in results if not isinstance(result, Again)], now)
        if self.door.is_shut():  # one sentence says it of all
            self.fetch.aim = self.fetch.aim._replace(is_silent=True)
        for outcome in self.door.held:
            self.fetch.land(outcome, now)
        self.progress.tally.received += sum(list(self.worker.received.values()))  # of files between two attempts, say
        self.worker.received.clear()


class Wheel(NamedTuple):
    """What turns while files come from tape."""

    live: LiveLine
    files: int
    polls: Polls

    def show(self, waiting: int, now: float, tick: float) -> None:
        """Redraw it."""
        self.live.show(staging_text(int(now / tick), self.files - waiting, self.files, self.polls.silent(now)))


def lost_of(fetch: Fetch) -> tuple[int, int]:
    """How many files are given up, or left on tape, and their bytes."""
    places = (Where.LEFT,) if fetch.aim.stages else (Where.LEFT, Where.TAPE, Where.STAGING)
    return fetch.jobs.count(*places), fetch.jobs.size(*places)


def flow_text(fetch: Fetch, service: Service, bringing: Bringing, now: float) -> str:
    """The line above the progress: how many files are where."""
    jobs, staging = fetch.jobs, fetch.jobs.count(Where.STAGING)
    flying = jobs.count(Where.COPYING, Where.PAUSED)
    copying = min(flying, bringing.lane.busy())
    rate, late = bringing.tape.at(service.polls.staged), jobs.count(Where.LATE)
    speed = f" at {size_text(rate)}/s"
    if silence := silence_text(service.polls.silent(now)):
        speed = f", {silence}"
    return (
        f"Tape: {jobs.count(Where.TAPE, Where.ORDERED)} waiting, "
        f"{staging} staging{speed if staging else ''}; "
        f"disk: {jobs.count(Where.READY, Where.LOOKING) + flying - copying} to copy, {copying} copying"
        f"{f', {late} to try again' if late else ''}"
    )


def todo_of(fetch: Fetch, service: Service, bringing: Bringing, now: float) -> Todo:
    """What is still to come, for the line of progress."""
    jobs, (files, size) = fetch.jobs, lost_of(fetch)
    coming = len(jobs.by_path) + len(jobs.planned.rows) + fetch.beyond[0] - files
    left = jobs.size(*Where) + jobs.planned.size + fetch.beyond[1] - size
    lost = files - bringing.lost[0], size - bringing.lost[1]
    beside = ", ".join(filter(None, (fetch.beside(), bringing.lane.says())))
    if not fetch.aim.stages:
        return Todo(coming, left, *lost, beside=beside)
    tape = (Where.TAPE, Where.ORDERED, Where.STAGING)
    seconds = now - service.began
    here = sum(list(bringing.worker.flying.values()))
    speed = bringing.progress.rate.last
    is_slower = is_tape_slower(jobs.size(*tape), service.polls.staged, seconds, left - here, speed)
    on_tape = jobs.count(*tape) if is_slower else 0
    return Todo(coming, left, *lost, on_tape, flow_text(fetch, service, bringing, now), beside)


def tell_coming(report: Output, told: Told) -> None:
    """Say what is on its way from tape, and since when."""
    coming, now = [told.coming[record] for record in sorted(told.coming)], time.time()
    report.put(coming=[{**one._asdict(), "since": int(one.since) or None} for one in coming])
    shown = coming if report.verbose else coming[:SHOWN]
    for one in shown:
        report.line(one.text(now))
    if others := coming[len(shown) :]:
        files = sum(one.files for one in others)
        report.line(f"... and {len(others):,} more record(s) with {files:,} file(s) (--verbose shows all)")


def tell_patience(report: Output, fetch: Fetch) -> None:
    """Say, before the user waits for the tape of a portal, how long that may be."""
    if fetch.aim.by_record and fetch.jobs.count(Where.TAPE, Where.ORDERED, Where.STAGING):
        report.note(PATIENCE)
