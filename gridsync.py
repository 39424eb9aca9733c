#!/usr/bin/python3
"""gridsync: a folder of Grid data on a local disk, complete and verified.

State: Grid.conf (settings) and grid_summary.csv (the catalog, one row a file), both in the work folder.
Flow:  Grid.conf + grid_summary.csv -> plan -> Place -> Outcome -> grid_summary.csv + report + exit status

What it works with is in gridsync_parts/, whose __init__.py lists the parts; none of them knows this script.

Sections, each using only those above it:

  Report        everything that is printed
  Steps         what commands are made of
  Sync          everything until it is done, side by side
  Commands      one function an action
  Command line  the option table, the parser, main

Exit status: 0 all that was asked is done, 1 some files failed, wait on tape or remain, 2 wrong usage or configuration,
3 no valid credentials, 4 the door cannot be reached or refuses, 5 the local disk or catalog,
6 another run holds the work folder, 70 a fault of gridsync's own, 130 interrupted.
"""

from __future__ import annotations

import contextlib
import functools
import io
import itertools
import math
import optparse
import os
import random
import re
import signal
import sys
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

if (python := sys.version_info) < (3, 9):  # gridsync needs Python 3.9 or later
    # 3.8 comes here; what is older shows the line above, as it does not know the sign in it.
    sys.stderr.write(f"gridsync needs Python 3.9 or later; this is {sys.version.split()[0]} ({sys.executable})\n")
    sys.exit(2)

try:
    from gridsync_parts import __version__
except ImportError:
    if __name__ != "__main__":
        raise
    print(
        "gridsync: gridsync.py cannot find its folder gridsync_parts; copy dist/gridsync.py instead (make one-file "
        "builds it)",
        file=sys.stderr,
    )
    sys.exit(2)

from gridsync_parts.bars import FileBars
from gridsync_parts.catalog import CATALOG, Catalog, Folders, Lock
from gridsync_parts.crew import DOORS_SHUT, Aside, Crew, Patience
from gridsync_parts.disk import (
    LocalFile,
    check_copies,
    check_free,
    check_writable,
    free_space,
    is_gone,
    local_file,
    missing_of,
    set_aside,
    unfit_error,
)
from gridsync_parts.doors import MAX_PATHS, MAX_QUERY, NO_TAPE, Listing, Place, Tape
from gridsync_parts.doors.opening import open_place
from gridsync_parts.errors import (
    BadName,
    CredentialError,
    DiskError,
    DoorError,
    FileError,
    Forbidden,
    GridError,
    LockedError,
    Mismatch,
    NotFound,
    OnTape,
    UsageError,
)
from gridsync_parts.keys import ca_folder
from gridsync_parts.keys.proxy import Proxy, ask_pass_phrase, new_proxy, proxy_file, read_proxy, valid_proxy
from gridsync_parts.keys.token import Token, token_left
from gridsync_parts.kinds import needs_proxy
from gridsync_parts.log import log, nothing, start_logging
from gridsync_parts.machine import files_to_spare, unforeseen_error
from gridsync_parts.plans import (
    NOT_ASKED,
    copy_action,
    is_refused,
    is_same_file,
    is_tape_slower,
    plan_calls,
    plan_catalog,
    plan_copies,
    plan_staged,
    plan_staging,
    plan_vanished,
    plan_wave,
    totals_of,
    without_request,
)
from gridsync_parts.screen import (
    Colour,
    Output,
    Progress,
    Rate,
    program_name,
    staging_text,
    stuck_text,
    walk_text,
)
from gridsync_parts.secrets import make_printable
from gridsync_parts.settings import MOST_UNKNOWN, Config, scope_of, settings_of
from gridsync_parts.table import GENERAL_KEYS, Settings
from gridsync_parts.values import (
    FORGOTTEN,
    TICK,
    UNFINISHED,
    WAITING,
    Action,
    Choice,
    Entry,
    Finding,
    Locality,
    Outcome,
    Polled,
    Row,
    Staging,
    T,
    Tally,
    Wishes,
    batches,
    place_row,
    why_left,
    with_error,
)
from gridsync_parts.waits import POLL, Chore, Later, Polls
from gridsync_parts.words import (
    day_text,
    duration_text,
    grid_path,
    has_scheme,
    left_text,
    moment_text,
    nearest,
    size_text,
    time_text,
)

if TYPE_CHECKING:
    from gridsync_parts.walk import Walk

# == Report ===================================================================
# What is said, in the words of the manual. Data goes to stdout, progress and errors to stderr, as Output has it.

FIRST = 20  # files of a new list that a terminal shows
COLOURS = {Locality.ONLINE: Colour.GREEN, Locality.NEARLINE: Colour.YELLOW, Locality.OFFLINE: Colour.RED}
VERDICTS = {True: ("ok", Colour.GREEN), False: ("FAIL", Colour.RED), None: ("--", Colour.NONE)}


def plain(record: Entry | Row) -> dict[str, Any]:
    """A record as JSON has it."""
    return {**record._asdict(), "mtime": time_text(record.mtime), "locality": record.locality.value}


class Report(Output):
    """Says what happens, as the manual words it."""

    def configuration(self, settings: Settings) -> None:
        """The banner and the block below it."""
        rows = [
            ("SERVER", f"{settings.site.server}/"),
            ("BASE_DIR_ON_GRID", f"{settings.site.base}/" if settings.site.base else ""),
            ("INPUTDIR", settings.input_dir),
            ("OUTPUTDIR", settings.output_dir),
            ("Include pattern", settings.include),
            ("Exclude pattern", settings.exclude),
        ]
        always = ("SERVER", "BASE_DIR_ON_GRID", "OUTPUTDIR")
        more = [("SITE", settings.site.name), ("ENGINE", settings.site.engine), ("THREADS", str(settings.threads))]
        more += [("STREAMS", str(settings.streams)), ("VO", settings.vo)]
        self.put(configuration=dict(rows + more))
        rows += more if self.verbose else []
        stars = "*" * 32
        for text in (stars, "** GridDataSync configuration **", stars, ""):
            self.line(text)
        for name, value in rows:
            if value or name in always:
                self.line(f"{name:<20}: {value}")
        self.line()

    def new_proxy(self, proxy: Proxy, server: str) -> None:
        """The manual's lines for a new proxy."""
        self.line(f"Contacting {server}...")
        self.line("Remote VOMS server contacted succesfully.")
        self.line()
        self.line()
        self.line(f"Created proxy in {proxy.path}.")
        self.line()
        self.line(f"Your proxy is valid until {moment_text(proxy.ends)}")

    def proxy(self, proxy: Proxy, now: float) -> None:
        """What a proxy is, and how long."""
        subject = re.sub(r"(/CN=\d+)+$", "", proxy.subject)  # a proxy adds numbers to its owner's name
        left = {"proxy_left": int(proxy.ends - now), "attribute_left": int(proxy.attribute_ends - now)}
        self.put(proxy={"subject": subject, "vo": proxy.vo, "file": proxy.path, **left})
        for name, value in (
            ("subject", subject),
            ("VO", proxy.vo or "none"),
            ("file", proxy.path),
            ("proxy", left_text(proxy.ends, now)),
            ("attribute", left_text(proxy.attribute_ends, now) if proxy.vo else "none"),
        ):
            self.data(f"{name:<20}: {value}")

    def token(self, token: Token, now: float) -> None:
        """Where a token comes from, and until when it is."""
        self.put(token={"from": token.source, "token_left": int(token.ends - now) if token.ends else None})
        self.data(f"{'token from':<20}: {token.source}")
        self.data(f"{'token':<20}: {token_left(token, now)}")

    def finding(self, finding: Finding) -> None:
        """What the doctor has found; with --quiet only what is to be done."""
        finding = finding._replace(text=make_printable(finding.text))
        if self.document is not None:
            self.document.setdefault("doctor", []).append(finding._asdict())
        label, colour = VERDICTS[finding.ok]
        say = self.data if finding.ok is False else self.line
        say(f"{label:<6}{finding.name:<14}{finding.text}", colour)

    def sites(self, choices: list[Choice]) -> None:
        """The sites there are, and whether what they want to be shown is at hand."""
        self.put(sites=[choice._asdict() for choice in choices])
        width = max(len(choice.name) for choice in choices) + 2
        for choice in choices:
            colour = Colour.GREEN if choice.at_hand else Colour.NONE
            self.data(f"{choice.name:<{width}}{choice.kind:<10}{choice.text}", colour)

    def listing(self, url: str, entries: list[Entry]) -> None:
        """The content of a folder: files first, then folders, oldest first."""
        self.data(f" -- List content of folder: {url}")
        entries = sorted(entries, key=lambda entry: (entry.is_folder, entry.mtime, entry.path))
        self.put(listing=map(plain, entries))
        for entry in entries:
            size = "Folder" if entry.is_folder else "?" if entry.size == UNFINISHED else size_text(entry.size)
            line = f"{size:<10} {day_text(entry.mtime)} {entry.path.rpartition('/')[2]}"
            self.data(line, Colour.BLUE if entry.is_folder else Colour.NONE)

    def adding(self, rows: list[Row]) -> None:
        """The files of a new list."""
        self.put(files=map(plain, rows))
        first = len(rows) if self.verbose or not sys.stdout.isatty() else FIRST
        for number, row in enumerate(rows):
            stream = sys.stdout if number < first and not self.quiet else None  # the log has them all
            self.say(stream, f"=> adding: {size_text(row.size)} {row.path}")
        if more := rows[first:]:
            size = size_text(sum(row.size for row in more))
            self.line(f"=> adding: ... and {len(more):,} more, {size} (--verbose shows all)")

    def statuses(self, rows: list[Row]) -> None:
        """Where each file is."""
        self.put(files=map(plain, rows))
        for row in rows:
            self.data(f"{row.locality.value:<20}: {row.path}", COLOURS.get(row.locality, Colour.NONE))

    def catalog(self, title: str, rows: list[Row]) -> None:
        """The counts of the catalog."""
        total = totals_of(rows)
        localities = {locality.value: count for locality, count in total.localities.items()}
        self.put(catalog={**total._asdict(), "localities": localities})
        remaining = ", ".join(f"{locality}={count}" for locality, count in localities.items())
        for text in (
            title,
            "scope: all entries",
            f"rows: {total.rows}",
            f"counts: total: {total.rows}, downloaded: {total.downloaded}, remaining: {total.rows - total.downloaded}",
            f"remaining status: {remaining}",
            f"sizes: total={size_text(total.size)}, downloaded={size_text(total.downloaded_size)}, "
            f"remaining={size_text(total.size - total.downloaded_size)}",
        ):
            self.line(f"[catalog] {text}")

    def going_on(self, kept: list[int]) -> None:
        """That so many bytes of unfinished files need not come again."""
        if kept:
            self.note(f"{len(kept)} unfinished file(s) are here already: going on from {size_text(sum(kept))}")

    def starting(self, work: list[tuple[Row, Action]], settings: Settings) -> None:
        """That a copy begins."""
        if there := sum(action is Action.ADOPT for _, action in work):
            self.note(f"{there} file(s) are already here and are compared, not fetched")
        self.line(
            f"...starting to download the {len(work)} requested files using {settings.threads} threads "
            f"and {settings.streams} streams per file..."
        )

    def tell_landed(self, outcome: Outcome) -> None:
        """A file that is here now."""
        if self.verbose:
            row = outcome.row
            self.line(f"=> {outcome.done}: {size_text(row.size)} {row.path} (verified by {row.verified})")

    def would(self, verb: str, rows: list[Row], requests: int) -> None:
        """What a dry run would ask the site for."""
        size = sum(row.size for row in rows)
        self.put_dry(**{verb.split()[0]: {"files": len(rows), "bytes": size, "requests": requests}})
        self.line(f"(DRY RUN) would {verb} {len(rows)} files, {size_text(size)}, in {requests} request(s)")

    def would_copy(self, plan: dict[Action, list[Row]], free: int) -> None:
        """What a dry run would copy."""
        counts = {action.name.lower(): len(rows) for action, rows in plan.items()}
        size = sum(row.size for row in plan[Action.COPY])
        self.put_dry(**counts, bytes=size, free=free)
        self.line(
            f"(DRY RUN) would copy {counts['copy']} files, {size_text(size)}; already here: {counts['skip']}, "
            f"to compare: {counts['adopt']}, blocked by another local file: {counts['keep']}, "
            f"waiting on tape: {counts['wait']}, missing at the site: {counts['lost']}; free disk: {size_text(free)}"
        )

    def waiting(self, rows: list[Row], has_tape: bool) -> None:
        """What helps with files on tape."""
        if rows and not has_tape:
            self.note(f"{len(rows)} file(s) are {NO_TAPE}")
            return
        if asked := sum(row.is_staging() for row in rows):
            self.note(f"{asked} file(s) are on their way from tape: start again later, or let --sync wait for them")
        if left := len(rows) - asked:
            self.note(f"{left} file(s) are on tape: --bring_online asks for them, --sync also waits for them")

    def totals(self, tally: Tally) -> None:
        """The last line of a run that copies."""
        rate = tally.received / max(time.monotonic() - tally.began, 0.001)
        self.put(copy={name: value for name, value in {**vars(tally), "rate": rate}.items() if name != "began"})
        self.line(
            f"Copied: {tally.copied}, skipped: {tally.skipped}, failed: {tally.failed}, "
            f"waiting on tape: {tally.waiting}; {size_text(tally.received)} at {size_text(rate)}/s; "
            f"verified by checksum: {tally.checked}, by size only: {tally.sized}",
            Colour.RED if tally.failed else Colour.YELLOW if tally.waiting else Colour.GREEN,
        )

    def verified(self, tally: Tally) -> None:
        """The last line of a run that reads files again."""
        rate = tally.received / max(time.monotonic() - tally.began, 0.001)
        good = tally.checked + tally.sized
        self.put(verify={"good": good, "damaged": tally.failed, "checked": tally.checked, "sized": tally.sized})
        self.line(
            f"Verified: {good}, damaged: {tally.failed}; {size_text(tally.received)} at {size_text(rate)}/s; "
            f"verified by checksum: {tally.checked}, by size only: {tally.sized}",
            Colour.RED if tally.failed else Colour.GREEN,
        )


# == Steps ====================================================================
# What commands are made of: each does one thing with the site, and notes in the catalog what came of it.

SLOW = 20.0  # seconds without an answer, when nothing else is on the screen
STUCK = 12 * 3600.0  # seconds after which a file that still is on its way from tape is called stuck
LAST_WORD = 30.0  # seconds that a site has to say which number a request has, when the run ends
CHECK = 60.0  # seconds between two looks at the credential
SOON = 12 * 3600.0  # a credential that ends within so many seconds is announced


class Run:
    """What the commands of one command line work with."""

    def __init__(self, folder: str, config: Config, wishes: Wishes, report: Report):
        self.folder = folder
        self.wishes = wishes
        self.report = report
        self.settings = settings_of(config)
        self.scope = scope_of(self.settings)
        self.patience = Patience(self.settings.retries)
        self.aside = Aside()
        self.tick: Callable[[], None] = nothing  # what is done while a verb of the site takes its time
        self.held = contextlib.ExitStack()
        self.opened: Place | None = None
        self.config = config
        self.accepted: Callable[[], None] = nothing  # remembers the settings that the action goes by
        self.loaded: Catalog | None = None
        self.will_list = False  # one of the actions does
        self.is_listed = False  # so that a folder without files is known to be one

    def call(self, verb: Callable[..., T], *arguments: Any) -> T:
        """What a verb of the site gives, tried again where that may help."""
        due = time.monotonic() + SLOW

        def tick() -> None:
            nonlocal due
            self.tick()
            if self.patience.tell(self.report.note) or self.tick is not nothing:
                due = math.inf
            elif time.monotonic() > due:
                due = math.inf
                self.report.note(f"No answer yet from {self.settings.site.server}/ (Ctrl-C ends the wait)")

        return self.aside.result(lambda: self.patience.call(verb, *arguments), tick)

    def list_folder(self, folder: str) -> Listing:
        """What is in a folder of the site."""
        return self.call(self.place().lister.folder, folder)

    def check_credential(self) -> None:
        """Raise CredentialError when the proxy has ended; a token is looked at with each request."""
        if needs_proxy(self.settings.site):
            with contextlib.suppress(CredentialError):
                valid_proxy(self.settings.vo, time.time())
                return
            time.sleep(1)  # perhaps a new one is just being written
            valid_proxy(self.settings.vo, time.time())

    def announce_end(self) -> None:
        """Say before a long run when the credential ends, if that is soon."""
        place, now, ends = self.place(), time.time(), 0.0
        if needs_proxy(self.settings.site):
            proxy = valid_proxy(self.settings.vo, now)
            ends, what = min(proxy.ends, proxy.attribute_ends), "proxy"
        else:
            ends, what = place.expires(), "token"
        if ends and ends - now < SOON:
            left = f"{moment_text(ends)} ({duration_text(ends - now)})"
            self.report.note(f"Your {what} is valid until {left}; renew it in time, even during a run")

    def place(self) -> Place:
        """The site, once there is a proxy to show it."""
        if self.opened is None:
            files_to_spare(self.settings)  # else it would seem that the door fails
            self.opened = open_place(self.settings.site, self.settings.vo, self.config)
        return self.opened

    def tape(self) -> Tape:
        """The tape service of the site, without which what is wanted can't be done."""
        if tape := self.call(self.place().find_tape):
            return tape
        raise DoorError(f"the site {self.settings.site.name} names no tape service to ask; see TAPE_API in Grid.conf")

    def catalog(self) -> Catalog:
        """The catalog, which no other run changes from now on."""
        if self.loaded is None and self.wishes.dry_run:
            self.look()
        if self.loaded is None:
            self.held.enter_context(Lock(self.folder))
            self.loaded = Catalog(self.folder)
            self.held.callback(self.loaded.save)
            if self.loaded.is_foreign:
                kept = set_aside(self.loaded.path)
                self.report.note(f"{self.loaded.path} was made by another program; it is now {kept}")
        return self.loaded

    def folders(self) -> Folders:
        """The remote folders that are known."""
        return Folders(self.folder, self.settings.site.name)

    def has_list(self) -> bool:
        """Whether a list of files was built before."""
        return self.loaded is not None or os.path.exists(os.path.join(self.folder, CATALOG))

    def look(self) -> None:
        """Take the catalog as another run has it, to be looked at and not saved."""
        self.loaded = Catalog(self.folder, is_frozen=True)

    def size_of(self, path: str) -> int:
        """How many bytes a file of the list has; 0 if it is not there any more."""
        row = self.catalog().by_path(self.scope.site).get(path)
        return row.size if row else 0

    def rows(self) -> list[Row]:
        """The files that the command is about."""
        rows = self.catalog().matching(self.scope)
        if not rows and not self.is_listed:
            if self.catalog().is_new:
                raise UsageError("there is no list of files yet; choose a folder with --input_dir and run --build_list")
            folder = self.settings.input_dir or "this site"
            if any(map(self.scope._replace(include=(), exclude=()).holds, self.catalog().by_path(self.scope.site))):
                raise UsageError(
                    f"the catalog has no file of {folder} that --inc and --exc keep; run --build_list, or change them"
                )
            raise UsageError(f"the catalog has no file of {folder}; run --build_list to look for new ones")
        return rows


def find_local(run: Run, row: Row) -> LocalFile | None:
    """What is here under a file's name."""
    folder = run.settings.output_dir
    return local_file(folder + "/" * (not folder.endswith("/")) + row.path)  # os.path.join takes half of lstat's time


def find_copies(run: Run, rows: list[Row]) -> list[Row]:
    """Those of the rows that were copied, which are looked for."""
    if not run.wishes.overwrite:
        check_copies(run.settings.output_dir, rows)
    return [row for row in rows if row.downloaded]


def reconcile(run: Run, rows: list[Row]) -> list[Row]:
    """The rows as they are now; those whose local file is gone, or another one, are to be copied again."""
    found = ((row, find_local(run, row)) for row in find_copies(run, rows))
    gone = [(row, local) for row, local in found if is_gone(row, local)]
    # One that is not here at all stays known to --verify and --repair; another one may be the user's own.
    run.catalog().put(row._replace(downloaded=False, verified="" if local else row.verified) for row, local in gone)
    return [run.catalog().row(row) for row in rows]


def forget_copies(run: Run, rows: list[Row]) -> None:
    """Call what is here and is to be overwritten still to come, or its pins would be given back before."""
    plan = plan_copies(rows, functools.partial(find_local, run), True, run.wishes.force)
    again = [row for row in plan[Action.COPY] + plan[Action.WAIT] if row.downloaded]
    run.catalog().put(row._replace(downloaded=False, verified="") for row in again)


def locate(run: Run, rows: list[Row]) -> list[Row]:
    """The rows where their files are now; noted in the catalog."""
    found: dict[str, Locality] = {}
    is_asked = bool(rows) and run.call(run.place().find_tape)
    for some in batches(rows, MAX_QUERY if is_asked else len(rows)):  # one listing of each folder is enough
        on_tape = {row.path for row in some if row.locality is Locality.NEARLINE}
        found.update(run.call(run.place().locate, [row.path for row in some], on_tape))
    rows = [run.catalog().row(row) for row in rows]  # some may have landed meanwhile
    moved = [place_row(row, found.get(row.path, row.locality)) for row in rows]
    run.catalog().put(new for old, new in zip(rows, moved) if new != old)
    return moved


def request_staging(run: Run, rows: list[Row]) -> list[Row]:
    """One staging request, noted as soon as it is made."""
    made: list[str] = []

    def pinned() -> list[Row]:
        pinned = [row._replace(request=request, error="") for request in made for row in rows]
        try:
            run.catalog().put(pinned, durable=True)
        except DiskError:  # what can't be noted must not stay
            for request in made:
                with contextlib.suppress(GridError):
                    run.call(tape.release, request, paths)
            raise
        return pinned

    tape, paths, days = run.tape(), [row.path for row in rows], run.settings.pin_days
    try:
        run.call(lambda: made.append(tape.stage(paths, days)))
    except BaseException as error:  # after Ctrl-C, say, the request may still be made, and must not be forgotten
        if not isinstance(error, GridError):
            run.report.note("A staging request is under way; waiting for its number, so that it can be released")
            run.aside.settle(LAST_WORD)
        if not (made or isinstance(error, GridError)):
            run.report.error(f"a staging request got no number; its pins end by themselves in {days} days")
        pinned()
        raise
    return pinned()


def stage(run: Run, rows: list[Row]) -> tuple[list[Row], list[Row]]:
    """Have files brought to disk, each request on our disk before the next; the files asked for, and those refused."""
    asked: list[Row] = []
    refused: list[Row] = []
    todo = list(batches(plan_staging(rows), MAX_PATHS))
    while todo:
        some = todo.pop(0)
        try:
            asked += request_staging(run, some)
        except FileError as error:  # they are too many (dCache before 10.2.25 says 403 then), or one of them is wrong
            if error.passing:
                raise
            if len(some) > 1:
                todo = [some[: len(some) // 2], some[len(some) // 2 :], *todo]
                continue
            refused.append(with_error(some[0], f"{some[0].path}: {NOT_ASKED}: {error}"))
            if not asked and (len(refused) == 3 or not todo):  # it is the service that refuses
                raise
    run.catalog().put(refused)
    return asked, refused


def release_pins(run: Run, rows: list[Row]) -> tuple[int, list[GridError]]:
    """Give back all pins on some files; how many files, and what went wrong; that is for another try."""
    catalog = run.catalog()
    released: set[str] = set()
    failures: list[GridError] = []
    todo = plan_calls(rows)
    while todo:
        request, some = todo.pop(0)
        paths = [row.path for row in some]
        try:
            run.call(run.tape().release, request, paths)
        except NotFound:
            pass  # the request has ended by itself
        except (FileError, DoorError) as error:
            if isinstance(error, FileError) and not error.passing and len(some) > 1:
                half = len(some) // 2  # they may be too many, or one of them not of this request
                todo = [(request, some[:half]), (request, some[half:]), *todo]
                continue
            if isinstance(error, (DoorError, Forbidden)) or error.passing:
                failures.append(error)
                continue
            log.debug("%s holds no pin of %s: %s", request, paths[0], error)
        catalog.put([without_request(catalog.row(row), request) for row in some])
        released.update(paths)
    return len(released), failures


def poll(run: Run, rows: list[Row]) -> Polled:
    """Ask the requests that hold these rows how far they are."""
    answers: dict[str, Staging] = {}
    for request, held in plan_calls(rows):
        paths = [row.path for row in held]
        try:
            found = run.call(run.tape().stagings, request, paths)
        except NotFound:
            found = dict.fromkeys(paths, FORGOTTEN)
        # Of several requests the one that still is at work counts.
        answers.update({path: new for path, new in found.items() if path not in answers or new.is_waiting()})
    ended = [row for row in rows if not answers.get(row.path, WAITING).is_waiting()]
    still = [row for row in rows if answers.get(row.path, WAITING).is_waiting()]
    there = locate(run, ended)
    planned = [plan_staged(row, answers[row.path]) for row in there]
    # What a request has brought and is not there may still be pinned by it: it is released before it is forgotten.
    lapsed = [row for row, new in zip(there, planned) if answers[row.path].done and not new.request]
    release_pins(run, [row for row in lapsed if answers[row.path] is not FORGOTTEN])
    run.catalog().put(planned)
    stuck = [row for row in still if 0 < answers.get(row.path, WAITING).since < time.time() - STUCK]
    return Polled(still, planned, stuck_text(stuck, answers[stuck[0].path].since) if stuck else "")


def tell_failures(run: Run, failed: list[Row]) -> int:
    """Say which files could not be staged; how many."""
    for row in failed:
        run.report.error(row.error)
    return len(failed)


def tell_polled(run: Run, polled: Polled) -> int:
    """The same after a poll, and that some files take too long."""
    count = tell_failures(run, [row for row in polled.ended if row.error and not row.request])
    if polled.stuck:
        run.report.error(polled.stuck)
    return count


def release_copied(run: Run) -> list[GridError]:
    """Give back all pins on what is here; what went wrong was said."""
    pinned = (row for row in run.catalog().of(run.scope.site) if row.downloaded and row.request)
    _, failures = release_pins(run, [row for row in pinned if run.scope.holds(row.path)])
    for failure in failures:
        run.report.error(f"a pin remains, and --release will try again: {failure}")
    return failures


def refresh(run: Run) -> int:
    """Bring the catalog up to date with disk, localities and requests; how many files could not be staged, or hang."""
    rows = locate(run, [row for row in reconcile(run, run.rows()) if not row.downloaded])
    polled = poll(run, [row for row in rows if row.is_staging()])
    count = tell_failures(run, [row for row in rows if is_refused(row)])  # as long as it is so
    return count + tell_polled(run, polled) + bool(polled.stuck)


def kept_of(run: Run, rows: Iterable[Row]) -> list[int]:
    """How many bytes are here of each of the files that are unfinished."""
    return [kept for row in rows if (kept := row.size - missing_of(run.settings.output_dir, row))]


def check_folder(run: Run) -> str:
    """OUTPUTDIR, which is there and can be written to."""
    folder = run.settings.output_dir
    run.config.check_output_dir(folder)
    if run.wishes.overwrite and run.catalog().doubt:
        raise UsageError(f"files are not replaced because {run.catalog().doubt}")
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise unfit_error(folder, "made", error.strerror or type(error).__name__) from error
    check_writable(folder)
    return folder


def update_list(run: Run) -> Walk:
    """Bring the catalog up to date with what the site has in the folder."""
    from gridsync_parts.walk import Walk, misspelt_error

    if not run.settings.input_dir:
        raise UsageError("no folder is chosen; give one with --input_dir=path (--input_dir=/ takes everything)")
    catalog, lister = run.catalog(), run.place().lister
    walk = Walk(lister, Patience(run.settings.retries))  # its own: the end of a listing is not that of the run
    live = run.report.follow() if run.tick is nothing else None

    def tick() -> None:
        run.tick()
        walk.patience.tell(run.report.note)
        if live:
            live.show(walk_text(len(walk.folders), len(walk.entries), walk.size))

    try:
        walk.run(run.scope.folder, tick)
    except (NotFound, Forbidden) as error:
        raise misspelt_error(run.list_folder, run.settings.site.base, "--input_dir", run.scope.folder, error) from error
    finally:
        if live:
            live.close()
    rows, top = catalog.matching(run.scope), run.scope.folder
    if any(entry.path == top for entry in walk.entries) and any(row.path != top for row in rows):
        # gfal2 says so of one that it may not list.
        raise FileError(f"{top}: is a file at the site now, no longer a folder; see --ls_dir", passing=True)
    walk.note_emptied(rows)
    if not run.wishes.dry_run:
        run.folders().remember(walk.folders, walk.folders)
        release_pins(run, plan_vanished(rows, walk.entries, walk.failures))
    catalog.replace(plan_catalog(catalog.all(), walk.entries, run.scope, walk.failures))
    run.is_listed = True
    return walk


def locate_unknown(run: Run) -> None:
    """Ask of files that the listing says nothing of; where nobody can be asked they are on disk."""
    unknown = [row for row in run.catalog().matching(run.scope) if row.locality is Locality.UNKNOWN]
    unknown = [row for row in unknown if run.wishes.overwrite or not row.downloaded]
    if run.call(run.place().find_tape):
        locate(run, unknown)
    else:
        run.catalog().put(row._replace(locality=Locality.ONLINE) for row in unknown)


class Copying:
    """Files on their way here: each is noted in the catalog as it lands, and its pin given back."""

    def __init__(self, run: Run, tally: Tally, landed: Callable[[Outcome], None], enough: float = math.inf):
        from gridsync_parts.copier import Copier

        self.run = run
        self.tally = tally
        self.landed = landed  # is told of each file
        self.enough = enough  # failures of the door, one after the other, that end the run
        self.failures: list[GridError] = []  # those that there are
        self.held: list[Outcome] = []  # files that were refused, of which nothing is told while it may be so with all
        self.copier = Copier(run.place(), run.settings, run.patience, run.wishes, run.catalog())
        bars = FileBars(self.copier.flying, run.size_of)
        self.progress = Progress(run.report.follow(bars), tally, self.copier.flying, self.copier.received)
        spare = files_to_spare(run.settings)
        self.crew = Crew(self.copier.copy, run.settings.threads, run.patience, self.copier.settle, spare)
        self.pinned: list[Row] = []
        self.check_at = 0.0  # when the credential is looked at again

    def tick(self, timeout: float = 0) -> None:
        """Note what has landed, and redraw the line."""
        self.crew.rest(timeout)
        self.note(self.crew.collect())
        if self.copier.is_given or not self.crew.pending:
            self.tell()
        self.run.patience.tell(self.run.report.note)
        self.progress.show()
        self.crew.check()
        if time.monotonic() >= self.check_at:
            self.check_at = time.monotonic() + CHECK
            self.run.check_credential()
        self.check_door()

    def current(self, outcome: Outcome) -> Outcome:
        """The outcome, unless a listing has meanwhile found another file in its place."""
        row = outcome.row
        known = self.run.catalog().by_path(row.site).get(row.path, row)
        if outcome.done == "stale" or is_same_file(known, row):
            return outcome
        fault = FileError(f"{row.path}: changed at the site while it was being copied", passing=True)
        return Outcome(with_error(known, str(fault)), "failed", outcome.received, fault)

    def note(self, outcomes: list[Outcome]) -> None:
        """Keep what became of files."""
        outcomes = [self.current(outcome) for outcome in outcomes]
        for outcome in outcomes:  # first, as Ctrl-C may come while the disk takes its time
            self.tally.count(outcome)
            self.progress.count(outcome)
        rows = [outcome.row for outcome in outcomes if outcome.done != "stale"]
        self.run.catalog().put(rows, durable=True)  # before their pins go
        while self.copier.home.strange:
            path = self.copier.home.strange.pop()
            self.run.report.note(f"{path} may come from an earlier gridsync or be yours; it is left alone")
        for outcome in outcomes:
            if outcome.is_here():
                self.run.report.tell_landed(outcome)
                self.pinned += [outcome.row] if outcome.row.request else []
            elif isinstance(outcome.fault, Forbidden):
                self.check_at = 0  # perhaps it is the credential
            if isinstance(outcome.fault, DoorError):
                self.failures.append(outcome.fault)
            elif outcome.done != "stale":
                self.failures.clear()
            if isinstance(outcome.fault, Forbidden) and not self.copier.is_given:
                self.held.append(outcome)
            else:
                self.landed(outcome)

    def tell(self) -> None:
        """Tell of the files that were refused, unless all are: then that is told."""
        if not self.copier.is_shut():
            held, self.held = self.held, []
            for outcome in held:
                self.landed(outcome)

    def check_door(self) -> None:
        """Raise what ends the run when the door gives nothing at all."""
        if len(self.failures) >= self.enough:
            raise self.failures[-1]
        if self.copier.is_shut():
            raise self.copier.shut_error(self.held[0].fault)

    def release_landed(self, least: int) -> None:
        """Give back the pins of what is here, when there are so many; what fails is for another try."""
        if len(self.pinned) >= least:
            some, self.pinned = self.pinned, []
            release_pins(self.run, some)

    def __enter__(self) -> Copying:
        self.run.tick = self.tick
        return self

    def __exit__(self, *broken: Any) -> None:
        self.run.tick = nothing
        if broken[0]:
            self.run.patience.stopping.set()
        self.crew.__exit__(*broken)
        self.progress.close(broken[0])
        self.note(self.crew.collect())
        self.tell()


# == Sync =====================================================================
# The unattended run. The main thread goes round: it lists, asks for tape, polls and releases, each when it is due, and
# whatever it waits for, files are fed to the crew and noted as they land.

HOUR = 3600.0
PATIENCE = 24 * HOUR  # seconds after which what does not get better is given up
AGAIN = 30.0  # seconds after which a file that has failed is tried again, and then after twice as many
DEPTH = 50  # files that wait in front of the crew at the most, besides one a thread,
AHEAD = 1 << 30  # and bytes of them
FRESH = 600.0  # seconds for which a file that was on disk is taken to be there still
GATHER = 600.0  # seconds in which a small wave may grow, as a few at a time would be no way to ask a tape
ENOUGH = 10  # times that a file is asked for


class Sync:
    """Everything until it is done. Each file that is still to come is in one place of the five."""

    def __init__(self, run: Run):
        self.run = run
        self.tally = Tally()
        self.tape: dict[str, Row] = {}  # on tape, to be asked for
        self.staging: dict[str, dict[str, Row]] = {}  # asked for, by request
        self.ready: OrderedDict[str, Row] = OrderedDict()  # on disk; the next ones in front
        self.flying: dict[str, Row] = {}  # with the crew
        self.late: dict[str, float] = {}  # has failed, and when it is tried again
        self.lost: set[str] = set()  # given up
        self.reasons: dict[str, str] = {}  # why, as the user knows
        self.final: dict[str, Row] = {}  # given up until it changes at the site, else two would keep each other going
        self.adoptable: set[str] = set()  # ready files that are here already, and need only be compared
        self.seen: dict[str, float] = {}  # when a ready file was last known to be on disk
        self.came: set[str] = set()  # files that this run has overwritten
        self.troubles: dict[str, tuple[float, int, float]] = {}  # since when, how often, and until when a file fails
        self.times_asked: dict[str, int] = {}  # how often a file was asked for
        self.unread: dict[str, GridError] = {}  # folders that could not be listed
        self.blind_since = 0.0  # when one of them was the first that may be listed later
        self.polls = Polls()
        self.has_tape = run.call(run.place().find_tape) is not None
        self.staged = 0  # bytes that came from tape
        self.staged_rate = Rate()
        self.is_tape_slower = False  # than the line
        self.moved_at = self.asked_at = time.monotonic()  # when a file has come from tape, or was asked for, last
        self.listing = Chore(self.relist, HOUR)
        often = [Chore(call, 0.5) for call in (self.wake, self.look_again, self.poll)]
        self.releasing = Chore(self.release_due, 5)
        self.chores = [self.listing, *often, self.releasing, Chore(self.ask, 5), Chore(self.weigh, 1)]
        self.noted: set[str] = set()  # what of their failures the user knows
        self.copying = Copying(run, self.tally, self.take_landed)

    def run_to_end(self) -> None:
        """Go round until nothing is left that waiting would bring."""
        with self.copying:
            self.run.tick = self.tick
            while self.tape or self.staging or self.ready or self.flying or self.late or self.is_blind():
                for chore in self.chores:
                    if time.monotonic() >= chore.due:
                        self.do(chore)
                self.tick(TICK)
            self.show_flow()

    def tick(self, timeout: float = 0) -> None:
        """Keep the crew busy, note what has landed, redraw the lines."""
        self.feed()
        self.show_flow()
        self.copying.tick(timeout)

    def show_flow(self) -> None:
        """Tell the progress how many files are where."""
        self.copying.progress.above = self.flow()
        self.copying.progress.tape = self.waiting() if self.is_tape_slower else 0

    def flow(self) -> str:
        """The line above the progress: how many files are where."""
        staging, rate = self.waiting() - len(self.tape), self.staged_rate.at(self.staged)
        copying = min(len(self.flying), self.run.settings.threads)  # the others wait in front of the crew
        return (
            f"Tape: {len(self.tape)} waiting, {staging} staging{f' at {size_text(rate)}/s' if staging else ''}; "
            f"disk: {len(self.ready) + len(self.flying) - copying} to copy, {copying} copying"
            f"{f', {len(self.late)} to try again' if self.late else ''}"
        )

    def waiting(self) -> int:
        """How many files still are to come from tape."""
        return len(self.tape) + sum(map(len, self.staging.values()))

    def is_blind(self) -> bool:
        """Whether there is a folder that could not be listed, and perhaps soon can."""
        return bool(self.blind_since) and time.monotonic() - self.blind_since < HOUR

    def do(self, chore: Chore) -> None:
        """Do one chore; for a day a failure is only noted."""
        now = time.monotonic()
        try:
            if chore.call(now) and chore.failures:
                chore.failures = 0
                self.noted.clear()
            pause = chore.pause
        except (DoorError, FileError) as error:
            self.run.check_credential()
            if not chore.failures or now - chore.until > HOUR:  # it was well in between, or had nothing to do
                chore.since, chore.failures = now, 0
            if (isinstance(error, DoorError) and not error.passing) or now - chore.since > PATIENCE:
                raise
            pause = min(600, AGAIN / 2 * 2**chore.failures) * random.uniform(0.5, 1)
            if str(error) not in self.noted:
                self.noted.add(str(error))
                self.run.report.note(f"{error}; next try in {duration_text(pause)}, then less often")
            chore.failures += 1
            chore.until = time.monotonic() + pause
        chore.due = time.monotonic() + pause

    def relist(self, _now: float) -> bool:
        """List the folder again, so that new files join in."""
        walk = update_list(self.run)
        try:
            locate_unknown(self.run)
        except (DoorError, FileError):
            self.sort(walk, is_told=False)
            raise
        self.sort(walk)
        return True

    def note_unread(self, walk: Walk) -> None:
        """Say which folders could not be listed, and list again sooner when that may pass."""
        now = time.monotonic()
        for folder, failure in walk.failures.items():
            if str(self.unread.get(folder)) != str(failure):
                self.run.report.error(failure)
        self.unread = walk.failures
        may_pass = any(failure.passing for failure in self.unread.values())
        self.blind_since = (self.blind_since or now) if may_pass else 0.0
        self.listing.pause = max(AGAIN, now - self.blind_since) if self.is_blind() else HOUR
        self.listing.due = now + self.listing.pause

    def sort(self, walk: Walk, is_first: bool = False, is_told: bool = True) -> None:
        """Put every file of a new listing into its place; were we told where all of them are?"""
        run = self.run
        self.note_unread(walk)
        rows = run.catalog().matching(run.scope)
        if is_first and rows:  # and only then: whoever takes files away meanwhile wants to have them elsewhere
            rows = reconcile(run, rows)
        if is_first and run.wishes.overwrite:
            forget_copies(run, rows)
            rows = run.catalog().matching(run.scope)
        self.copying.pinned += [row for row in rows if is_first and row.downloaded and row.request]
        self.tape, self.staging, self.ready, self.lost, self.adoptable = {}, {}, OrderedDict(), set(), set()
        paths = {row.path for row in rows}
        self.late = {path: due for path, due in self.late.items() if path in paths}
        for row in rows:
            if row.path not in self.flying and row.path not in self.late and (is_first or not row.downloaded):
                self.place(row, is_first, is_told)
        progress = self.copying.progress
        left = [row for row in rows if not row.downloaded and row.path not in self.lost]
        progress.files = progress.done + len(left)
        progress.size = progress.whole = progress.bytes + sum(row.size for row in left)

    def overwrites(self, row: Row) -> bool:
        """Whether a file is still to be overwritten."""
        return self.run.wishes.overwrite and not row.downloaded and row.path not in self.came

    def action(self, row: Row) -> Action:
        """What to do with a file."""
        return copy_action(row, find_local(self.run, row), self.overwrites(row), self.run.wishes.force)

    def place(self, row: Row, is_first: bool = False, is_told: bool = True) -> None:
        """Put a file where it belongs now."""
        action = self.action(row)
        final = self.final.get(row.path)
        if final and is_same_file(final, row) and final.locality is row.locality:
            self.give_up(row, self.reasons[row.path])
        elif action is Action.SKIP:
            if is_first:
                self.tally.count(Outcome(row, "skipped"))
        elif action in (Action.ADOPT, Action.COPY):
            self.ready[row.path] = row
            self.seen[row.path] = time.monotonic()
            self.adoptable.discard(row.path)
            if action is Action.ADOPT:
                self.adoptable.add(row.path)
        elif action is Action.UNSURE and not is_told:
            self.fail(row, f"{row.path}: {action.value}", is_passing=True)
        elif action in (Action.LOST, Action.UNSURE) and row.path not in self.reasons:
            self.fail(row, f"{row.path}: {action.value}", is_passing=False)
        elif action is not Action.WAIT:
            self.give_up(row, why_left(row, action, self.overwrites(row)), is_final=False)
        elif row.request:
            self.staging.setdefault(row.request, {})[row.path] = row
        elif not self.has_tape:
            self.give_up(row, f"{row.path}: is {NO_TAPE}", is_final=False)
        elif self.times_asked.get(row.path, 0) >= ENOUGH:
            self.give_up(row, f"{row.path}: was requested {ENOUGH} times and is on tape only again; ask the site")
        else:
            self.tape[row.path] = row

    def give_up(self, row: Row, reason: str, is_final: bool = True) -> None:
        """Leave a file for another run and say why, but once; a listing gives it another chance if it is not final."""
        self.run.check_credential()  # else it would be the reason
        if is_final:
            self.final[row.path] = row
        if self.reasons.get(row.path) != reason:
            self.run.report.error(reason)
        self.reasons[row.path] = reason
        self.lost.add(row.path)
        self.copying.progress.size -= row.size
        self.run.catalog().put([with_error(row, reason)])

    def fail(self, row: Row, reason: str, is_passing: bool) -> None:
        """Try a file again later: for a day if it may get better, else once, as the site may have moved it."""
        now = time.monotonic()
        since, count, until = self.troubles.get(row.path, (now, 0, now))
        if now - until > HOUR and is_passing:  # it was well in between
            since, count = now, 0
        if now - since > PATIENCE or (count and not is_passing):
            self.give_up(row, reason)
            return
        self.run.report.say(None, f"{reason}; trying again later")
        self.late[row.path] = now + min(HOUR, AGAIN * 2**count) * random.uniform(0.5, 1)
        self.troubles[row.path] = (since, count + 1, self.late[row.path])

    def feed(self) -> None:
        """Give the crew what is on disk, as long as the local disk can hold it."""
        now, threads = time.monotonic(), self.run.settings.threads
        done = self.copying.copier.flying
        coming = sum(row.size - done.get(path, 0) for path, row in self.flying.items())
        room = free_space(self.run.settings.output_dir) - coming
        for _ in range(min(len(self.ready), threads + DEPTH)):
            pending = self.copying.crew.pending
            path, row = next(iter(self.ready.items()))
            is_fed = pending >= threads + DEPTH or (pending >= 2 * threads and coming > AHEAD)
            if is_fed or now - self.seen[path] > FRESH:
                return
            del self.ready[path]
            action = self.action(row)
            if action not in (Action.ADOPT, Action.COPY):
                self.place(row)
                continue
            needed = 0 if action is Action.ADOPT else missing_of(self.run.settings.output_dir, row)
            if needed > room:
                self.ready[path] = row  # behind the others, which may be smaller
                continue
            room, coming = room - needed, coming + needed
            self.flying[path] = row
            self.copying.crew.add((row, action, self.seen[path] + FRESH if action is Action.COPY else math.inf))

    def take_landed(self, outcome: Outcome) -> None:
        """What became of a file that the crew had."""
        row, fault = outcome.row, outcome.fault
        self.flying.pop(row.path, None)
        if outcome.done == "stale":
            if known := self.run.catalog().by_path(row.site).get(row.path):
                self.ready[row.path] = known
                self.ready.move_to_end(row.path, last=False)  # where look_again finds it
            return
        self.seen.pop(row.path, None)
        if outcome.done == "interrupted":
            self.late[row.path] = 0
        elif outcome.is_here():
            self.troubles.pop(row.path, None)
            if self.run.wishes.overwrite:
                self.came.add(row.path)
        else:
            self.copying.progress.size += row.size  # it is still to come
            is_evicted = isinstance(fault, OnTape)
            if fault is None or isinstance(fault, (Mismatch, BadName)):
                self.give_up(row, row.error)
            else:
                self.fail(row, row.error or str(fault), fault.passing or is_evicted)
            if is_evicted and row.path in self.late and self.troubles[row.path][1] == 1:
                self.late[row.path] = 0  # it is to be staged again at once

    def wake(self, now: float) -> bool:
        """Take up again what has failed a while ago."""
        rows = self.run.catalog().by_path(self.run.scope.site)
        awake = [rows[path] for path, due in self.late.items() if now >= due]
        for row in locate(self.run, awake):
            del self.late[row.path]
            self.place(row)
        return bool(awake)

    def look_again(self, now: float) -> bool:
        """Ask where files are whose turn is near, if that was long ago: a pin may have ended."""
        if not self.ready or self.copying.crew.pending >= self.run.settings.threads + DEPTH:
            return False
        stale = [row for row in itertools.islice(self.ready.values(), MAX_QUERY) if now - self.seen[row.path] > FRESH]
        for row in reversed(locate(self.run, stale)):
            del self.ready[row.path]
            self.place(row)
            if row.path in self.ready:
                self.ready.move_to_end(row.path, last=False)  # else all others would be asked for before its turn
        return bool(stale)

    def release_due(self, _now: float) -> bool:
        """Give back the pins of what is here; what can't be given back is for a later try."""
        some = self.copying.pinned
        self.copying.release_landed(1)
        kept = [row for row in map(self.run.catalog().row, some) if row.request]
        self.copying.pinned += kept
        self.releasing.pause = min(2 * self.releasing.pause, 600) if kept else 5
        return True

    def room(self) -> tuple[int, int]:
        """What is free on the local disk, and what of it nothing that is on its way has a claim to."""
        free = free_space(self.run.settings.output_dir)
        claimed = [row for path, row in self.ready.items() if path not in self.adoptable and row.size <= free]
        claimed += [*self.flying.values(), *(row for rows in self.staging.values() for row in rows.values())]
        return free, free - sum(row.size for row in claimed)

    def ask(self, now: float) -> bool:
        """Have as many files brought from tape as the local disk can hold besides what is on its way."""
        if not self.tape and not self.ready:
            return False
        free, room = self.room()
        wave = plan_wave(self.tape.values(), room)
        is_busy = bool(self.staging or self.flying)
        if is_busy and len(wave) < min(len(self.tape), MAX_PATHS) and now - max(self.moved_at, self.asked_at) < GATHER:
            return False
        if not wave and not is_busy:
            wave = plan_wave(self.tape.values(), free)
            ready = [row for path, row in self.ready.items() if path not in self.adoptable]
            too_big = [row for row in ready if missing_of(self.run.settings.output_dir, row) > free]
            if not wave and not self.late and len(too_big) == len(self.ready):
                needed = sum(row.size for row in [*self.tape.values(), *too_big])
                raise DiskError(
                    f"{self.run.settings.output_dir} has {size_text(free)} free, but {size_text(needed)} are still "
                    "needed; make room, and the same command goes on from here"
                )
        refused: list[Row] = []
        try:
            _, refused = stage(self.run, wave)
        except FileError as error:  # the service takes no request of ours
            if error.passing:
                raise
            refused = [with_error(row, f"{row.path}: {error}") for row in wave]
        except DoorError as error:  # by the next time, a request that has come through in spite of it does no harm
            error.passing = True
            raise
        finally:  # of some it may know, even if it then has failed
            for row in map(self.run.catalog().row, wave):
                if row.request:
                    del self.tape[row.path]
                    self.asked_at = now
                    self.times_asked[row.path] = self.times_asked.get(row.path, 0) + 1
                    self.staging.setdefault(row.request, {})[row.path] = row
        for row in refused:
            if self.tape.pop(row.path, None):
                self.give_up(row, row.error, is_final=False)
        return bool(wave)

    def poll(self, now: float) -> bool:
        """Ask the requests that are due how far they are."""
        failure: GridError | None = None
        was_told = False
        for request in self.polls.due(list(self.staging), now):
            rows = self.staging[request]
            self.polls.asked(request, len(self.staging), now)
            try:
                self.sort_ended(poll(self.run, list(rows.values())).ended, rows)
                was_told = True
                self.polls.refusals.pop(request, None)
            except (DoorError, FileError) as error:
                failure = error
                if not error.passing and isinstance(error, FileError) and self.polls.is_refused(request):
                    unknown = [row._replace(request="") for row in rows.values()]
                    self.run.catalog().put(unknown)
                    self.sort_ended([with_error(row, f"{row.path}: {error}") for row in unknown], rows)
            if isinstance(failure, DoorError):
                break  # the others would wait as long, and have their turn next
        for request, rows in list(self.staging.items()):
            idle_since = max(self.moved_at, self.polls.began.get(request, now))
            if now - idle_since > PATIENCE:
                for row in rows.values():
                    self.give_up(row, stuck_text([row], time.time() - (now - idle_since)))
                rows.clear()
            if not rows:
                del self.staging[request]
        if failure and self.staging and not was_told:
            raise failure
        return was_told

    def weigh(self, now: float) -> bool:
        """Find out whether the tape decides when all is here."""
        progress = self.copying.progress
        tape = sum(row.size for rows in (self.tape, *self.staging.values()) for row in rows.values())
        seconds = now - self.tally.began
        self.is_tape_slower = is_tape_slower(tape, self.staged, seconds, progress.left, progress.speed)
        return False

    def sort_ended(self, ended: list[Row], rows: dict[str, Row]) -> None:
        """Put files that their request is done with where they belong now."""
        for row in ended:
            del rows[row.path]
            if row.locality is Locality.ONLINE:
                self.moved_at = time.monotonic()
                self.staged += row.size
            if row.error and not row.request and self.times_asked.get(row.path, 0) >= 2:
                self.give_up(row, row.error)
            else:
                self.place(row)


# == Commands =================================================================
# A command loads, plans, does, saves and reports; its docstring is its line in the help.

GRACE = 600  # seconds that a lifetime may fall short of what was asked


def do_new_proxy(run: Run) -> int:
    """create a new proxy"""
    settings, now = run.settings, time.time()
    proxy, server = new_proxy(settings.vo, settings.proxy_hours, ask_pass_phrase, ca_folder(settings.site), now)
    run.report.new_proxy(proxy, server)
    wanted = now + settings.proxy_hours * 3600 - GRACE
    if proxy.ends < wanted:
        run.report.note("It is shorter than PROXY_HOURS: your certificate expires then; ask your CA for a new one")
    elif proxy.attribute_ends < wanted:
        left = duration_text(proxy.attribute_ends - now)
        run.report.note(f"Its {proxy.vo} membership lasts {left}: the server allows no more, whatever PROXY_HOURS says")
    return 0


def do_proxy_status(run: Run) -> int:
    """print the proxy status"""
    site, now = run.settings.site, time.time()
    if site.token:
        token = Token(site.token, run.config)
        token.value()
        run.report.token(token, now)
        return 0
    with contextlib.suppress(OSError, ValueError):  # of which valid_proxy tells
        run.report.proxy(read_proxy(proxy_file()), now)
    valid_proxy(run.settings.vo, now)
    return 0


def examine(folder: str, given: Mapping[str, str], report: Report) -> int:
    """Say what the doctor finds; 1 if there is something to do."""
    from gridsync_parts.doctor import findings
    from gridsync_parts.patient import Patient

    patient, aside, status = Patient(folder, given), Aside(), 0
    steps, live = findings(patient), report.follow()

    def tick() -> None:
        live.show(f"Looking at: {patient.name} ...")

    try:
        while finding := aside.result(lambda: next(steps, None), tick):
            report.finding(finding)
            status = 1 if finding.ok is False else status
    finally:
        live.close()
    return status


def do_doctor(run: Run) -> int:
    """look at everything a run needs, a line each: ok, or what to do"""
    return examine(run.folder, run.config.given, run.report)


def do_show_conf(run: Run) -> int:
    """show the current configuration (paths, patterns)"""
    return 0  # the block stands above every command


def do_ls_dir(run: Run) -> int:
    """list the content of the given folder"""
    from gridsync_parts.walk import misspelt_error

    site = run.settings.site
    folder = grid_path(run.wishes.ls_dir)
    try:
        entries = run.list_folder(folder)
    except (NotFound, Forbidden) as error:
        raise misspelt_error(run.list_folder, site.base, "--ls_dir", folder, error) from error
    if not any(entry.path == folder for entry in entries):  # else it is a file
        run.folders().remember([folder], [entry.path for entry in entries if entry.is_folder])
    base = f"{site.server}/{site.base}"
    run.report.listing(f"{base}/{folder}" if folder else f"{base.rstrip('/')}/", entries)
    if not entries and not entries.odd:
        run.report.note(f"The door shows nothing in {folder or '/'}")
    for left_out in entries.odd.values():
        run.report.error(left_out)
    return 1 if entries.odd else 0


def refuse_nothing(run: Run, walk: Walk) -> None:
    """Say when there is no file, or none that the patterns keep."""
    if run.catalog().matching(run.scope) or walk.failures:
        return
    if walk.entries:
        raise UsageError(
            f"none of the {len(walk.entries)} files of {run.settings.input_dir} passes --inc and --exc; change them, "
            "or reset them with none"
        )
    run.report.note(f"There is no file in {run.settings.input_dir} yet")


def do_build_list(run: Run) -> int:
    """build the list of files to be downloaded (mandatory before start)"""
    walk = update_list(run)
    locate_unknown(run)
    rows = run.catalog().matching(run.scope)
    run.report.adding(rows)
    run.report.catalog(f"Catalog built from {run.settings.input_dir}", rows)
    refuse_nothing(run, walk)
    for failure in walk.failures.values():
        run.report.error(failure)
    return 1 if walk.failures else 0


def wait_for_tape(run: Run, rows: list[Row]) -> int:
    """Show how far the staging is until it has ended, or the user has seen enough; how many files have failed."""
    waiting = [row for row in rows if row.is_staging()]
    asked_again: set[str] = set()
    live = run.report.follow()
    pause, due, failed = 0.5, 0.0, 0
    turns = itertools.count()

    def show() -> None:
        live.show(staging_text(next(turns), len(rows) - len(waiting), len(rows)))

    run.tick = show
    try:
        while waiting:
            show()
            if time.monotonic() >= due:
                polled = poll(run, waiting)
                failed += tell_polled(run, polled)
                pause = min(pause * 1.5, POLL) if len(polled.still) == len(waiting) else 0.5
                lapsed = [row for row in plan_staging(polled.ended) if not row.error and row.path not in asked_again]
                asked_again.update(row.path for row in lapsed)
                asked, refused = stage(run, lapsed)
                failed += tell_failures(run, refused)
                waiting = polled.still + asked
                due = time.monotonic() + pause * random.uniform(0.8, 1.2)
            time.sleep(TICK)
        online = sum(run.catalog().row(row).locality is Locality.ONLINE for row in rows)
        live.close(staging_text(0, online, len(rows)))
    except KeyboardInterrupt:
        live.close()
        run.report.note("The staging goes on at the site; --check_status shows how far it is")
    finally:
        run.tick = nothing
    return failed


def do_bring_online(run: Run) -> int:
    """move files from tape to disks (make the copy of files faster)"""
    if not run.call(run.place().find_tape):
        rows = [row for row in run.catalog().matching(run.scope) if not row.downloaded]
        if on_tape := sum(row.locality is Locality.NEARLINE for row in rows):
            run.report.error(f"{on_tape} file(s) are {NO_TAPE}")
            return 1
        run.report.line(f"The site {run.settings.site.name} has no tape: its files are on disk already")
        return 0
    run.announce_end()
    if run.wishes.overwrite:
        forget_copies(run, run.rows())
    failed = refresh(run)
    # What --start would adopt, or leave alone for good, needs no place on disk at the site.
    rows = [row for row in run.rows() if not row.downloaded and row.size]
    rows = [row for row in rows if run.wishes.overwrite or row.is_damaged() or not find_local(run, row)]
    run.accepted()
    run.report.line(" ... Start staging files from tape to disk ...")
    run.report.line("     -> press CTRL+C to skip display (staging continues in background)")
    run.report.line(f" Number of files to bring online: {len(rows)}")
    if run.wishes.dry_run:
        wanted = plan_staging(rows)
        run.report.would("ask for", wanted, len(list(batches(wanted, MAX_PATHS))))
        return 1 if failed else 0
    asked, refused = stage(run, rows)
    failed += tell_failures(run, refused)
    run.report.line(f" ** Staging launched for {len(asked)} file(s) **")
    if run.report.is_terminal and not (run.wishes.start or run.wishes.sync or run.wishes.repair):
        failed += wait_for_tape(run, [run.catalog().row(row) for row in rows])
    return 1 if failed else 0


def rows_beside(run: Run, error: LockedError) -> list[Row]:
    """The files as the run that is at work has them; it alone asks the site, and nothing is saved or remembered."""
    run.report.note(f"{error.who}; this is the state of its catalog")
    run.report.put(state_of=error.who)
    run.accepted = nothing
    run.look()
    rows = run.catalog().matching(run.scope)
    run.loaded = None  # whatever comes next is to change it
    if not rows:
        run.report.note("it has none of these files yet")
    return rows


def do_check_status(run: Run) -> int:
    """check the status of the files to be downloaded (locality, downloaded...)"""
    try:
        run.catalog()
        failed = refresh(run)
        rows = run.rows()
    except LockedError as error:
        rows = rows_beside(run, error)
        failed = tell_failures(run, [row for row in rows if is_refused(row)])
    if run.wishes.verbose:
        run.report.statuses(rows)
    run.report.catalog("Files status", rows)
    return 1 if failed else 0


def fresh_until(run: Run) -> float:
    """Until when a file that is on disk now is taken to be there still."""
    return math.inf if run.wishes.force else time.monotonic() + FRESH


def plan_for(run: Run, rows: Iterable[Row]) -> dict[Action, list[Row]]:
    """What to do with each file, as the command line wants it."""
    return plan_copies(rows, functools.partial(find_local, run), run.wishes.overwrite, run.wishes.force)


def outcomes_without_copy(run: Run, plan: dict[Action, list[Row]]) -> Iterator[Outcome]:
    """What becomes of the files that a plan neither copies nor compares."""
    for action, rows in plan.items():
        for row in rows if action not in (Action.COPY, Action.ADOPT) else ():
            if action is Action.SKIP:
                yield Outcome(row, "skipped")
            elif action is Action.WAIT:
                yield Outcome(row, "waiting")
            else:
                yield Outcome(with_error(row, why_left(row, action, run.wishes.overwrite)), "failed")


def copy_all(run: Run, work: list[tuple[Row, Action]], tally: Tally, waiting: list[Row], until: float) -> None:
    """Copy or adopt files that are on disk until then, as is known now; a door that gives nothing at all ends it."""
    stale: deque[Row] = deque()  # of which the site is asked again where they are
    later = Later(run.settings.retries)

    def landed(outcome: Outcome) -> None:
        if outcome.done == "stale":
            stale.append(outcome.row)
            return
        if outcome.done == "waiting":
            waiting.append(outcome.row)
        if outcome.done == "late":
            later.add(outcome)
        if outcome.done == "failed":
            run.report.error(outcome.row.error)

    def look_again() -> None:
        take_up(locate(run, [stale.popleft() for _ in range(min(MAX_QUERY, len(stale)))]), fresh_until(run))

    def try_again() -> None:
        is_given_up = not later.rounds
        some = later.taken(run.report.note)
        if is_given_up:
            copying.note([outcome._replace(done="failed", received=0) for outcome in some])
        else:
            take_up([run.catalog().row(outcome.row) for outcome in some], until)

    def take_up(rows: list[Row], until: float) -> None:
        plan = plan_for(run, rows)
        copying.note(list(outcomes_without_copy(run, plan)))
        give(((row, action) for action in (Action.ADOPT, Action.COPY) for row in plan[action]), until)

    def give(work: Iterable[tuple[Row, Action]], until: float) -> None:
        for row, action in work:
            copying.crew.add((row, action, until if action is Action.COPY else math.inf))

    run.report.starting(work, run.settings)
    with Copying(run, tally, landed, min(DOORS_SHUT, len(work))) as copying:
        for row, _ in work:
            copying.progress.expect(row)
        give(work, until)
        work.clear()  # else it would keep the rows as they were, beside what becomes of them
        while copying.crew.pending or stale or later.outcomes:
            if not copying.crew.pending and not stale:
                try_again()
            if stale and copying.crew.pending <= run.settings.threads:
                look_again()
            copying.release_landed(MAX_PATHS)
            copying.tick(TICK)


def plan_start(run: Run) -> dict[Action, list[Row]]:
    """What to do with each file; the site is asked only of those that are not here as they should be."""
    rows = run.rows()
    if find_copies(run, rows) and not run.wishes.dry_run:
        check_folder(run)  # before any of them is looked for in vain
    plan = plan_for(run, rows)
    done = plan.pop(Action.SKIP)
    todo = reconcile(run, sorted(itertools.chain(*plan.values())))
    locate(run, [row for row in todo if run.wishes.overwrite or not row.downloaded])
    plan = plan_for(run, map(run.catalog().row, todo))
    plan[Action.SKIP] += done
    return plan


def fetch(run: Run, plan: dict[Action, list[Row]], tally: Tally, until: float) -> int:
    """Copy and adopt files as planned; the status."""
    kept = kept_of(run, plan[Action.COPY])
    if plan[Action.COPY]:
        check_free(check_folder(run), sum(row.size for row in plan[Action.COPY]) - sum(kept))
    run.accepted()
    run.report.going_on(kept)
    for outcome in outcomes_without_copy(run, plan):
        tally.count(outcome)
        if outcome.done == "failed":
            run.report.error(outcome.row.error)
            run.catalog().put([outcome.row])
    plan[Action.COPY].sort(key=lambda row: -row.size)  # at the end all threads have something to do
    work = [(row, action) for action in (Action.ADOPT, Action.COPY) for row in plan.pop(action)]
    has_tape = bool(work or plan[Action.WAIT]) and run.call(run.place().find_tape) is not None
    try:
        if work:
            copy_all(run, work, tally, plan[Action.WAIT], until)
        failures = release_copied(run)
    finally:
        run.report.waiting(plan[Action.WAIT], has_tape)
        run.report.totals(tally)
    return 1 if tally.failed or tally.waiting or failures else 0


def do_start(run: Run) -> int:
    """launch the download of the files from the Grid"""
    run.announce_end()
    until = fresh_until(run)
    plan = plan_start(run)
    if run.wishes.dry_run:
        run.report.going_on(kept_of(run, plan[Action.COPY]))
        run.report.would_copy(plan, free_space(run.settings.output_dir))
        return 0
    return fetch(run, plan, Tally(), until)


def do_sync(run: Run) -> int:
    """list, stage, copy, verify and release, all in parallel, until everything is done"""
    if run.wishes.dry_run:
        status = do_build_list(run)
        if not run.catalog().matching(run.scope):
            return status
        wanted = plan_staging(row for row in run.rows() if row.locality is Locality.NEARLINE)
        run.report.would("ask for", wanted, len(list(batches(wanted, MAX_PATHS))))
        return max(status, do_start(run))
    run.announce_end()
    find_copies(run, run.catalog().matching(run.scope))  # whose disk must be there
    check_folder(run)
    walk = update_list(run)
    locate_unknown(run)
    refuse_nothing(run, walk)
    run.accepted()
    sync = Sync(run)
    try:
        sync.sort(walk, is_first=True)
        left = (row for row in run.catalog().matching(run.scope) if not row.downloaded and row.path not in sync.lost)
        run.report.going_on(kept_of(run, left))
        walk.entries.clear()  # the catalog has them
        sync.run_to_end()
        failures = release_copied(run)
    finally:
        sync.tally.failed, sync.tally.waiting = len(sync.lost), sync.waiting()
        run.report.totals(sync.tally)
    return 1 if sync.lost or sync.unread or failures else 0


def reread(run: Run, rows: list[Row], tally: Tally, failed: Callable[[Outcome], None]) -> None:
    """Read local files again and note what they are; failed is told of those that are not as they came."""
    from gridsync_parts.rereader import Rereader

    rereader = Rereader(run.settings.output_dir, run.patience.stopping)
    live = run.report.follow(FileBars(rereader.flying, run.size_of))
    progress = Progress(live, tally, rereader.flying, rereader.flying, "Verified")
    crew: Crew[Row, Outcome] = Crew(rereader.reread, run.settings.threads, run.patience)
    try:
        with crew:
            for row in rows:
                progress.expect(row)
                crew.add(row)
            while crew.pending:
                outcomes = crew.collect(TICK)
                run.catalog().put(new.row for new in outcomes if new.row != run.catalog().row(new.row))
                for outcome in outcomes:
                    tally.count(outcome)
                    progress.count(outcome)
                    if outcome.done == "failed":
                        failed(outcome)
                progress.show()
                crew.check()
    finally:
        progress.close(sys.exc_info()[0])


def do_verify(run: Run) -> int:
    """read the local files again and compare them with the catalog"""
    rows, tally = run.rows(), Tally()
    find_copies(run, rows)  # whose disk must be there
    run.accepted()
    rows = [row for row in rows if row.downloaded or row.is_damaged()]
    try:
        reread(run, rows, tally, lambda outcome: run.report.error(outcome.row.error))
    finally:
        run.report.verified(tally)
    return 1 if tally.failed else 0


def do_repair(run: Run) -> int:
    """fetch again only the files that --verify found damaged"""
    rows = run.rows()
    find_copies(run, rows)  # whose disk must be there
    run.accepted()
    damaged = [row for row in rows if row.is_damaged()]
    if not damaged:
        run.report.line(" No file is known to be damaged; --verify checks all of them")
        return 0
    run.announce_end()
    failed: list[Outcome] = []
    reread(run, damaged, Tally(), failed.append)
    run.wishes = run.wishes._replace(overwrite=True)  # but of these files alone
    until, tally = fresh_until(run), Tally()
    plan = plan_for(run, locate(run, [outcome.row for outcome in failed if not outcome.fault]))
    plan[Action.SKIP] += [row for row in map(run.catalog().row, damaged) if row.downloaded]
    if run.wishes.dry_run:
        run.report.would_copy(plan, free_space(run.settings.output_dir))
        return 0
    for outcome in failed:
        if outcome.fault:  # nobody knows whether it differs
            run.report.error(outcome.row.error)
            tally.count(outcome)
    return fetch(run, plan, tally, until)


def do_release(run: Run) -> int:
    """release all files from disk"""
    pinned = [row for row in run.catalog().of(run.settings.site.name) if row.request]
    if run.wishes.dry_run:
        run.report.would("release", pinned, len(plan_calls(pinned)))
        return 0
    count, failures = release_pins(run, pinned) if pinned else (0, [])
    run.report.line(f" ** Release accepted for {count} file(s) **" if pinned else " No file is pinned")
    for failure in failures:
        run.report.error(failure)
    return max((failure.status for failure in failures), default=0)


# == Command line =============================================================
# Each option is written once, here or in the table of settings; actions run in this order, the help has its own.


class Option(NamedTuple):
    """A row of the option table."""

    name: str
    help: str = ""  # of an action: the docstring of its command; a line may be broken
    metavar: str = ""  # of an option with a value
    do: Callable[[Run], int] | None = None  # it is an action,
    by: tuple[str, ...] = ()  # which goes by these settings
    key: str = ""  # it is remembered under this key of Grid.conf
    value: str = ""  # what is remembered, where the option itself has no value


DESCRIPTION = "Browse and download AGATA data from the Grid"
CHOICE = ("SITE", "INPUTDIR", "INCLUDE", "EXCLUDE")  # the settings that choose files
LIST = "list"  # in place of a site
OPTIONS = (
    Option("from_LYON", "download data from CC Lyon (default)", key="SITE", value="LYON"),
    Option("from_CNAF", "download data from Bologna", key="SITE", value="CNAF"),
    *(Option(key.option, key.meaning, key.metavar, key=key.name) for key in GENERAL_KEYS.values() if key.option),
    Option("new_proxy", do=do_new_proxy),
    Option("proxy_status", do=do_proxy_status),
    Option("doctor", do=do_doctor),
    Option("show_conf", do=do_show_conf),
    Option("ls_dir", metavar="[folder]", do=do_ls_dir, by=("SITE",)),
    Option("build_list", do=do_build_list, by=CHOICE),
    Option("bring_online", do=do_bring_online, by=(*CHOICE, "OUTPUTDIR")),
    Option("check_status", do=do_check_status, by=(*CHOICE, "OUTPUTDIR")),
    Option("verbose", "increase verbosity"),
    Option("start", do=do_start, by=(*CHOICE, "OUTPUTDIR", "THREADS", "STREAMS")),
    Option("force", "force the download of offline files (much slower)"),
    Option("nochecksum", "remove the checksum on each downloaded file"),
    Option("overwrite", "overwrite already downloaded files"),
    Option("sync", do=do_sync, by=(*CHOICE, "OUTPUTDIR", "THREADS", "STREAMS")),
    Option("verify", do=do_verify, by=(*CHOICE, "OUTPUTDIR", "THREADS")),
    Option("repair", do=do_repair, by=(*CHOICE, "OUTPUTDIR", "THREADS", "STREAMS")),
    Option("release", do=do_release, by=("SITE",)),
    Option("dry_run", "show what would be done and change nothing, here or at the site"),
    Option("json", "print one JSON document instead of lines"),
    Option("workdir", "folder of Grid.conf and grid_summary.csv (default: $GRIDSYNC_DIR, else the current one)", "DIR"),
    Option("quiet", "no progress and no chatter; errors still go to stderr"),
    Option("log_file", "also write everything to this file, with time stamps", "FILE"),
    Option("debug", "show versions, tracebacks and every request"),
    Option("version", "show the version and exit"),
)
IN_MANUAL = (
    "new_proxy proxy_status from_LYON from_CNAF show_conf ls_dir input_dir output_dir exc inc build_list bring_online"
    " check_status verbose start force nochecksum overwrite release threads streams"
).split()
# AGATA's manual's first, in its order.
HELP = sorted(OPTIONS, key=lambda option: [*IN_MANUAL, option.name].index(option.name))


class Formatter(optparse.IndentedHelpFormatter):
    """optparse's help, where a value in brackets may be left out, and a line is broken where the text says so."""

    def format_option_strings(self, option: optparse.Option) -> str:
        return super().format_option_strings(option).replace("=[", " [")

    def expand_default(self, option: optparse.Option) -> str:
        return super().expand_default(option).partition("\n")[0]

    def format_option(self, option: optparse.Option) -> str:
        import textwrap

        more, indent = (option.help or "").split("\n")[1:], " " * self.help_position
        lines = [textwrap.fill(text, self.width, initial_indent=indent, subsequent_indent=indent) for text in more]
        return super().format_option(option) + "".join(f"{line}\n" for line in lines)


class Parser(optparse.OptionParser):
    """optparse with whole names only, and errors as sentences."""

    def __init__(self) -> None:
        super().__init__("%prog [options]", prog=program_name(), description=DESCRIPTION, formatter=Formatter())
        for option in HELP:
            text = option.help or (option.do.__doc__ or "" if option.do else "")
            if option.metavar:
                self.add_option(f"--{option.name}", dest=option.name, metavar=option.metavar, help=text)
            else:
                self.add_option(f"--{option.name}", dest=option.name, action="store_true", default=False, help=text)

    def _match_long_opt(self, opt: str) -> str:
        if opt not in self._long_opt:
            raise optparse.BadOptionError(opt + (nearest(opt, self._long_opt) or "; --help lists the options"))
        return opt

    def _process_short_opts(self, rargs: list[str], values: Any) -> None:
        if rargs[0] != "-h":
            word = rargs[0].partition("=")[0]
            near = nearest(f"--{word[1:].replace('-', '_')}", self._long_opt)
            raise optparse.BadOptionError(word + (near or "; --help lists the options"))
        super()._process_short_opts(rargs, values)

    def error(self, msg: str) -> Any:
        """A wrong command line."""
        raise UsageError(msg)


def spell_out(arguments: list[str]) -> list[str]:
    """Arguments as the parser wants them: `_` for `-` in names, values behind `=`; without it no option is a value."""
    words: list[str] = []
    valued = {f"--{option.name}" for option in OPTIONS if option.metavar}
    for word in arguments:
        wanting = words[-1] if words and words[-1] in valued else ""
        if wanting and word != "-h" and not word.startswith("--"):
            words[-1] += f"={word}"
            continue
        if wanting not in ("", "--ls_dir"):
            raise UsageError(f"{wanting} has no value: {word} is an option; {wanting}={word} makes it the value")
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            word = "--" + name.replace("-", "_") + equals + value
        words.append(word)
    return [word + "=" if word == "--ls_dir" else word for word in words]


def given_settings(options: optparse.Values, folder: str) -> dict[str, str]:
    """What the command line wants remembered, by the keys of Grid.conf."""
    given: dict[str, str] = {}
    for option in OPTIONS:
        value = getattr(options, option.name)
        if option.key and value not in (None, False):
            value = option.value or GENERAL_KEYS[option.key].kept(value, folder)
            if option.key in given:
                raise UsageError(f"the command line names two sites: {given[option.key]} and {value}")
            given[option.key] = value
    return given


def take_urls(options: optparse.Values, given: dict[str, str], config: Config) -> Iterator[str]:
    """Take a URL of the site for the path that it means; a line for each."""
    site = given.get("SITE") or config.general("SITE", "LYON")
    for option, texts, key in (("input_dir", given, "INPUTDIR"), ("ls_dir", vars(options), "ls_dir")):
        if has_scheme(texts.get(key) or ""):
            path = config.path_of(texts[key], site)
            texts[key] = GENERAL_KEYS[key].kept(path, config.folder) if texts is given else path
            yield f"--{option} is taken as {path}, below BASE_DIR_ON_GRID of {site}"


def remember(run: Run, given: dict[str, str], by: Iterable[str]) -> None:
    """Save those of the given settings in Grid.conf, and say so; not what is looked at only."""
    settings = {key: given[key] for key in by if key in given}
    if settings and not run.wishes.dry_run:
        changes = run.config.save(settings)
        for change in changes:
            run.report.note(f"remembered: {change}")
        wider = any(change.key in ("INCLUDE", "EXCLUDE") and change.before for change in changes)
        if wider and not run.will_list and run.has_list():
            run.report.note("the list may lack files that these patterns keep; --build_list builds it anew")
        for key in settings:
            del given[key]


def work_folder(options: optparse.Values) -> str:
    """Where Grid.conf and the catalog are."""
    folder = os.path.expanduser(options.workdir or os.environ.get("GRIDSYNC_DIR") or os.curdir)
    if not os.path.isdir(folder):
        what = "is not a folder; choose" if os.path.exists(folder) else "does not exist; make it, or choose"
        raise UsageError(f"the work folder {folder} {what} another with --workdir")
    return folder


def name_unknown_keys(config: Config, report: Report) -> None:
    """Say which keys of Grid.conf nobody reads."""
    unknown = config.unknown()
    for key in unknown[:MOST_UNKNOWN]:
        report.note(key.sentence)
    if len(unknown) > MOST_UNKNOWN:
        report.note(f"{config.path}: {len(unknown) - MOST_UNKNOWN} more unknown keys are ignored")


def run_actions(run: Run, actions: list[Option], given: dict[str, str]) -> int:
    """Do one after the other, unless one ends with 2 or above; the highest status."""
    used = {key for option in actions for key in option.by}
    status = 0
    with run.held:
        for option in actions:
            by = [key for key in given if key in option.by or key not in used]
            run.accepted = functools.partial(remember, run, given, by)
            if option.do and status < 2:
                try:
                    status = max(status, option.do(run))
                    if status < 2:
                        run.accepted()
                except GridError as error:
                    log.debug("", exc_info=True)
                    run.report.error(error)
                    status = max(status, error.status)
    return status


def list_sites(config: Config, others: list[str], report: Report) -> int:
    """Print the sites there are, and whether what they want to be shown is at hand."""
    from gridsync_parts.choices import choices_of

    if others:
        raise UsageError(f"--from={LIST} only prints the sites; leave out --{others[0]}, or name a site")
    report.sites(list(choices_of(config, time.time())))
    return 0


def run_commands(options: optparse.Values, report: Report) -> int:
    """Do all that the command line asks for; the highest status."""
    folder = work_folder(options)
    actions = [option for option in OPTIONS if option.do and getattr(options, option.name) not in (None, False)]
    is_look = [option.do for option in actions] == [do_doctor]  # also where no other action would begin
    try:
        config = Config(folder)
    except UsageError:
        if is_look:
            return examine(folder, given_settings(options, folder), report)
        raise
    given = given_settings(options, folder)
    if given.get("SITE") == LIST:
        others = [option.name for option in actions] + [GENERAL_KEYS[key].option for key in given if key != "SITE"]
        return list_sites(config, others, report)
    remarks = list(take_urls(options, given, config))
    if is_look:
        return examine(folder, given, report)
    config.change(given)
    name_unknown_keys(config, report)
    wishes = Wishes(*[getattr(options, name) or default for name, default in Wishes._field_defaults.items()])
    run = Run(folder, config, wishes, report)
    run.will_list = any(option.do in (do_build_list, do_sync) for option in actions)
    if given and not wishes.dry_run:
        config.file.check_saving()
    if not config.file.saved and not wishes.dry_run:
        config.save({})
    if not actions or any(option.do not in (do_new_proxy, do_proxy_status, do_doctor) for option in actions):
        report.configuration(config.settings())
    if config.file.foreign:
        report.warn(config.file.foreign_text())
    for remark in remarks:
        report.note(remark)
    if not actions:
        remember(run, given, list(given))
    return run_actions(run, actions, given)


def mend_streams() -> None:
    """Have streams that take whatever is said, also where there are none."""
    sys.stdin, sys.stdout, sys.stderr = (  # whoever closed one of them does not want to hear of it
        stream or open(os.devnull, mode, encoding="utf-8")  # noqa: SIM115
        for stream, mode in ((sys.stdin, "r"), (sys.stdout, "w"), (sys.stderr, "w"))
    )
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; its exit status."""
    if arguments is None:  # names on the grid are in UTF-8, whatever the locale is
        arguments = [os.fsencode(word).decode("utf-8", "surrogateescape") for word in sys.argv[1:]]
    mend_streams()
    report = Report(as_json="--json" in arguments)
    try:
        parser = Parser()
        options, others = parser.parse_args(spell_out(arguments))
        if not arguments:
            parser.print_help()
            return 0
        if options.version:
            print(f"gridsync {__version__}")
            return 0
        if others:
            hint = nearest(f"--{others[0]}", parser._long_opt) or " (did you forget to quote a pattern?)"
            parser.error(f"{others[0]!r}: unexpected argument{hint}")
        report = Report(options.quiet, options.verbose, options.json)
        if options.debug or options.log_file:
            start_logging(options.debug, options.log_file)
        log.debug("gridsync %s, Python %s, %s", __version__, sys.version.split()[0], sys.platform)
        status = run_commands(options, report)
    except GridError as error:
        log.debug("", exc_info=True)
        report.error(error)
        status = error.status
    except KeyboardInterrupt:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # whoever says it again means the same
            signal.signal(number, signal.SIG_IGN)
        goes_on = "begins again" if "--overwrite" in arguments else "goes on from here"
        report.error(f"interrupted; what is done is kept, and the same command {goes_on}")
        status = 130
    except Exception as error:
        log.debug("", exc_info=True)
        sentence, status = unforeseen_error(error)
        report.error(sentence)
    report.finish(status)
    return status


def script() -> None:
    """The program: main, and an end that no thread which hangs in a library holds up."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # else somebody wants it to be ignored
            signal.signal(number, signal.default_int_handler)
    try:
        status = main()
    except KeyboardInterrupt:  # before its first word or after its last
        status = 130
    if threading.active_count() > 1:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        os._exit(status)
    sys.exit(status)


if __name__ == "__main__":
    script()
