"""The jobs of an FTS3 server: which files are in them, and what became of each."""

from __future__ import annotations

import collections
import contextlib
import heapq
import secrets
from collections.abc import Iterable, Iterator
from typing import Any, Callable

from gridsync_parts.across import Across, Crosses
from gridsync_parts.errors import FileError, GridError, Mismatch, NotFound
from gridsync_parts.fts import (
    FILES,
    OVER,
    STAGING,
    File,
    Server,
    endpoint_in,
    open_server,
    plain_url,
    transfer_of,
    web_url,
)
from gridsync_parts.ftsfiles import Book, Checker, Job, Noted, Results
from gridsync_parts.ftsnews import News, Relist, params_of, sift
from gridsync_parts.loop import Answer, Event, Said, Slow
from gridsync_parts.put import TAKEN
from gridsync_parts.values import (
    Action,
    Locality,
    Row,
    Tally,
    batches,
    sentence_about,
)

GONE = "the FTS3 server has no job {} any more; what is missing at {} is submitted anew"
UNSEEN = "the FTS3 server says that it is copied, but {} has no such file, or cannot serve its name; ask that site"
FAILED = "the FTS3 server could not copy it:"


def tell_end(run: Crosses, url: str, jobs: Iterable[Job]) -> None:
    """Say what goes on without us."""
    doubts = [bool(job.noted.word) for job in jobs]
    if count := doubts.count(False):
        run.report.warn(f"{count} job(s) go on at {url}; the same line follows them, and --cancel ends them")
    if count := doubts.count(True):
        what = f"{count} job(s) may have come to be at {url}"
        run.report.warn(f"{what}; the same line asks, and submits none of them twice")


class Following:
    """The jobs of a run, from their submission to the last of their files."""

    def __init__(self, run: Crosses, across: Across, server: Server, relist: Relist | None):
        self.run = run
        self.across = across
        self.server = server
        self.news = News(run, relist)
        self.checker = Checker(run.place(), across.place, across.target)
        self.waiting: collections.deque[tuple[list[Row], bool]] = collections.deque()  # jobs to come; are they on tape?
        self.jobs: dict[str, Job] = {}
        self.calls = collections.Counter[str]()  # without an answer, by lane; those of `folders` compare a file each
        self.resting: list[tuple[float, str]] = []  # when files that have failed are submitted again
        self.results = Results(run, Book(run, across))

    # What there is to do.

    def begin(self, plan: dict[Action, list[Row]]) -> None:
        """Take up the jobs that there are; what is in none of them is for new ones, as planned."""
        self.results.skip(plan[Action.SKIP])
        todo = {
            row.path: row for action, rows in self.news.new(plan).items() for row in rows if action is not Action.SKIP
        }
        clock = self.run.loop.clock
        taken: set[str] = set()
        for noted, uploads in self.results.book.jobs().items():
            ours = [todo[upload.target] for upload in uploads if upload.target in todo]
            taken.update(row.path for row in ours)
            if noted.server == self.server.url and ours:
                self.jobs[noted.id] = Job(noted, ours, clock())
            for row in ours if noted.server != self.server.url else ():
                way = f"follow it with --fts={noted.server}, or end it with --cancel besides"
                self.results.refuse(row, f"{row.path}: is in a job of another FTS3 server; {way}")
        if self.jobs:
            self.run.report.note(f"{len(self.jobs)} job(s) of an earlier run are followed at {self.server.url}")
        self.join({action: [row for row in rows if row.path not in taken] for action, rows in plan.items()})

    def join(self, plan: dict[Action, list[Row]]) -> None:
        """Files that are in no job yet; no answer is awaited, as the question about tape would take it."""
        self.submit(*sift(self.run, self.across, self.results, plan))
        for row in plan.get(Action.ADOPT, ()):
            self.ask("folders", ("compared", row), self.checker.check, row)

    def submit(self, on_disk: Iterable[Row], on_tape: Iterable[Row]) -> None:
        """Have new jobs for files."""
        self.waiting.extend((rows, False) for rows in batches(on_disk, FILES))
        self.waiting.extend((rows, True) for rows in batches(on_tape, FILES))

    def is_busy(self) -> bool:
        """Whether there is anything still to come."""
        return bool(self.waiting or self.jobs or any(self.calls.values()) or self.resting)

    # The server.

    def ask(self, lane: str, about: Any, verb: Callable[..., Any], *arguments: Any) -> None:
        """Have a call made, in a thread."""
        self.calls[lane] += 1
        self.run.loop.ask(lane, about, verb, *arguments)

    def turn(self, now: float) -> None:
        """Ask for what is due; before the folder is listed anew all answers are awaited, as it takes the loop."""
        if self.news.is_due(now):
            if not any(self.calls.values()):
                self.join(self.news.look())
            return
        while self.resting and self.resting[0][0] <= now:
            row = self.run.catalog().by_path(self.across.name)[heapq.heappop(self.resting)[1]]
            is_here = row.locality is Locality.ONLINE or not row.size
            self.submit([row] if is_here else (), () if is_here else [row])
        if self.waiting and not self.calls["site"]:  # one job after the other
            self.make(*self.waiting.popleft())
        for job in self.jobs.values():
            if job.due <= now and not job.is_asked:
                job.is_asked = True
                if job.noted.word:
                    self.send(job, is_again=True)
                else:
                    self.ask("site", ("files", job), self.server.files, job.noted.id)

    def make(self, rows: list[Row], on_tape: bool) -> None:
        """Note a new job, and have it submitted."""
        word = secrets.token_hex(16)
        noted = Noted(self.server.url, self.server.id_of(word), word)
        job = self.jobs[noted.id] = Job(noted, rows, self.run.loop.clock())
        job.is_asked = True
        self.results.book.put(rows, noted, durable=True)
        self.send(job)

    def send(self, job: Job, is_again: bool = False) -> None:
        """Submit a job."""
        rows = list(job.rows.values())
        more = params_of(self.run, self.across, any(row.locality is Locality.NEARLINE and row.size for row in rows))
        files = [transfer_of(self.across.source, self.across.target, row) for row in rows]
        self.ask("site", ("sent", job), self.submitted, job.noted, files, more, is_again)

    def submitted(self, noted: Noted, files: list[dict[str, Any]], more: dict[str, Any], is_again: bool) -> None:
        """Have a job submitted; in a thread."""
        self.server.submit(noted.id, self.server.document(noted.word, files, more), is_again)

    # What has come.

    def take(self, event: Event) -> None:
        """Heed what has come."""
        if isinstance(event, Said):
            self.run.report.note(event.sentence)
        elif isinstance(event, Slow):
            self.run.report.note("No answer yet from the FTS3 server or a site (Ctrl-C ends the wait)")
        elif isinstance(event, Answer):
            what, about = event.about
            self.calls["site" if what in ("sent", "files") else "folders"] -= 1
            getattr(self, f"take_{what}")(about, event)

    def take_sent(self, job: Job, answer: Answer) -> None:
        """A job is there, or was refused."""
        job.is_asked = False
        if answer.error:
            if not answer.error.passing:  # it was heard, and is not there
                self.results.book.put(list(job.rows.values()))
                del self.jobs[job.noted.id]
            self.bear(job, answer.error)
            return
        job.noted = job.noted._replace(word="")
        self.results.book.put(list(job.rows.values()), job.noted)
        job.due = self.run.loop.clock() + self.run.loop.pace.poll_first

    def take_files(self, job: Job, answer: Answer) -> None:
        """How far a job is."""
        now, pace = self.run.loop.clock(), self.run.loop.pace
        job.is_asked, job.due = False, now + pace.poll(now - job.began, len(self.jobs))
        if isinstance(answer.error, NotFound):
            self.run.report.note(GONE.format(job.noted.id, self.across.target.name))
            self.seek(job, list(job.rows.values()))
            return
        if answer.error:
            self.bear(job, answer.error)
            return
        paths = {plain_url(web_url(self.across.target, path)): path for path in job.rows}
        told = {paths[url]: file for file in answer.value if (url := plain_url(file.target)) in paths}
        for path, file in told.items():
            self.heed(job, job.rows[path], file)
        self.seek(job, [row for path, row in list(job.rows.items()) if path not in told])

    def bear(self, job: Job, error: GridError) -> None:
        """A request about a job has failed; a run that waits for more asks again, if that may help."""
        if not (error.passing and self.run.wishes.sync):
            raise error
        job.due = self.run.loop.clock() + self.run.loop.pace.chore.first
        self.run.report.error(error)

    def heed(self, job: Job, row: Row, file: File) -> None:
        """What a job says of a file."""
        before, job.states[row.path] = job.states.get(row.path, ""), file.state
        if row.locality is not Locality.ONLINE and file.state not in STAGING and before in STAGING:
            row = job.rows[row.path] = row._replace(locality=Locality.ONLINE)
            self.run.catalog().put([row])
        if file.state not in OVER:
            return
        self.leave(job, row)
        if file.state == "FINISHED":
            self.results.seconds[row.path] = file.seconds
            self.ask("folders", ("copied", row), self.checker.check, row)
        elif file.state == "CANCELED":
            self.results.give_up(row, FileError(f"{row.path}: was cancelled at {self.server.url} ({file.reason})"))
        else:
            self.fail(row, FileError(f"{row.path}: {FAILED} {file.reason or 'it says no reason'}"))

    def leave(self, job: Job, row: Row) -> None:
        """A file is in a job no longer."""
        del job.rows[row.path]
        job.states.pop(row.path, None)
        if not job.rows:
            self.jobs.pop(job.noted.id, None)

    def seek(self, job: Job, rows: list[Row]) -> None:
        """Look for files that no job knows of; they may have come all the same."""
        for row in rows:
            self.leave(job, row)
            self.ask("folders", ("sought", row), self.checker.check, row)

    def take_copied(self, row: Row, answer: Answer) -> None:
        """A file that was copied has been compared."""
        if not answer.error:
            self.results.done(answer.value._replace(locality=Locality.ONLINE), "copied")
        elif isinstance(answer.error, Mismatch):
            self.results.refuse(row, f"{sentence_about(row, answer.error)}; --overwrite copies it again")
        elif isinstance(answer.error, NotFound):
            self.results.refuse(row, f"{row.path}: {UNSEEN.format(self.across.target.name)}")
        else:
            self.fail(row, answer.error)

    def take_compared(self, row: Row, answer: Answer) -> None:
        """A file that was there has been compared."""
        if isinstance(answer.error, Mismatch):
            self.results.give_up(row, FileError(f"{row.path}: {TAKEN}"))
        elif answer.error:
            self.results.give_up(row, answer.error)
        else:
            self.results.done(answer.value, "skipped")

    def take_sought(self, row: Row, answer: Answer) -> None:
        """A file that no job knows of is there, or is to be submitted anew."""
        is_other = isinstance(answer.error, Mismatch) and self.run.wishes.overwrite
        if isinstance(answer.error, NotFound) or is_other:
            is_tape = row.locality is Locality.NEARLINE and row.size
            self.submit(() if is_tape else [row], [row] if is_tape else ())
        else:
            self.take_compared(row, answer)

    def fail(self, row: Row, error: GridError) -> None:
        """A file has failed; it is tried again if the run waits for more, and that may help."""
        until = self.results.pause(row, error)
        if until is None:
            self.results.give_up(row, error)
            return
        self.results.note(row, error)
        heapq.heappush(self.resting, (until, row.path))

    # The screen, and the end.

    def show(self) -> None:
        """Redraw the line."""
        rows = [row for some, _ in self.waiting for row in some]
        rows += [row for job in self.jobs.values() for row in job.rows.values()]
        count = len(rows) + self.calls["folders"] + len(self.resting)
        self.results.show(self.jobs.values(), count, sum(row.size for row in rows))

    def go(self) -> None:
        """Follow all jobs to their ends."""
        loop = self.run.loop
        while self.is_busy():
            self.turn(loop.clock())
            for event in loop.round():
                self.take(event)
            if self.results.is_time(loop.clock()):
                self.show()

    def close(self) -> None:
        """End the line, and say what goes on without us."""
        self.show()
        self.run.loop.forget()
        self.results.close()
        tell_end(self.run, self.server.url, self.jobs.values())


def tell_start(run: Crosses, across: Across, server: Server, plan: dict[Action, list[Row]]) -> None:
    """Say what begins, and what the server gets."""
    count = sum(len(plan[action]) for action in (Action.COPY, Action.WAIT, Action.ADOPT))
    source, target = across.source.name, across.target.name
    what = f"your tokens for {source} and {target}" if server.tokens else "your proxy"
    run.report.note(f"{server.url} acts for you with {what}")
    run.report.line(f"...starting to copy the {count} requested files from {source} to {target} by {server.url}...")


@contextlib.contextmanager
def opened(run: Crosses, across: Across) -> Iterator[Server]:
    """The server that the command line names."""
    url = endpoint_in(run.wishes.fts)
    server = open_server(url, across.source, across.target, run.settings, run.config)
    try:
        run.call(server.whoami)
        yield server
    finally:
        server.close()


def follow(
    run: Crosses, across: Across, plan: dict[Action, list[Row]], totals: Callable[[Tally], None], relist: Relist | None
) -> int:
    """Have an FTS3 server copy what is planned, and follow its jobs; the status."""
    if not any(rows for action, rows in plan.items() if action is not Action.SKIP):
        results = Results(run, Book(run, across))
        results.skip(plan[Action.SKIP])
        results.close()
        totals(results.tally)
        return 0
    with opened(run, across) as server:
        tell_start(run, across, server, plan)
        following = Following(run, across, server, relist)
        try:
            following.begin(plan)
            following.go()
        finally:
            following.close()
            totals(following.results.tally)
    return 1 if following.results.tally.failed else 0
