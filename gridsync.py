#!/usr/bin/python3
"""gridsync: a folder of Grid data on a local disk, complete and verified.

State: Grid.conf (settings) and grid_summary.csv (the catalog, one row a file), both in the work folder.
Flow:  Grid.conf + grid_summary.csv -> plan -> Place -> Outcome -> grid_summary.csv + report + exit status

What it works with is in gridsync_parts/, whose __init__.py lists the parts; none of them knows this script.

Sections, each using only those above it:

  Report        everything that is printed
  Steps         what commands are made of
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
import re
import signal
import sys
import threading
import time
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

from gridsync_parts.disk import Target, check_copies, check_free, is_gone, make_writable, set_aside
from gridsync_parts.errors import (
    Changed,
    CredentialError,
    DiskError,
    DoorError,
    FileError,
    Forbidden,
    GridError,
    Incomplete,
    LockedError,
    Mismatch,
    NotFound,
    OnTape,
    OutOfTime,
    UsageError,
)
from gridsync_parts.kinds import asks_by_record, is_portal, is_repository, kind_of, needs_proxy, needs_token
from gridsync_parts.log import log, nothing, start_logging
from gridsync_parts.machine import files_to_spare, unforeseen_error
from gridsync_parts.screen import (
    Colour,
    Output,
    program_name,
    staging_text,
)
from gridsync_parts.secrets import make_printable
from gridsync_parts.settings import MOST_UNKNOWN, Config, name_across, name_of_rows, scope_of, settings_of
from gridsync_parts.table import GENERAL_KEYS, Settings, Site
from gridsync_parts.values import (
    UNFINISHED,
    Action,
    Choice,
    Entry,
    Finding,
    Locality,
    Row,
    Scope,
    T,
    Tally,
    Wishes,
)
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
    from gridsync_parts.across import Across
    from gridsync_parts.attempts import Attempts
    from gridsync_parts.catalog import Catalog, Folders, Lock
    from gridsync_parts.doors import Listing, Place
    from gridsync_parts.face import OpenSite, open_site
    from gridsync_parts.fetching import Goal
    from gridsync_parts.flow import Flow
    from gridsync_parts.jobs import Aim
    from gridsync_parts.keys.proxy import Proxy
    from gridsync_parts.keys.token import Token
    from gridsync_parts.loop import Loop
    from gridsync_parts.mover import Mover
    from gridsync_parts.pacing import Pacing
    from gridsync_parts.pool import Hands, Settling
    from gridsync_parts.rereader import Rereader
    from gridsync_parts.uploads import Upload, Uploads
    from gridsync_parts.walk import Walk
else:

    def __getattr__(name: str) -> Any:
        """What only Python programs want is loaded when they do."""
        if name not in ("OpenSite", "Upload", "open_site"):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from gridsync_parts import face

        return getattr(face, name)


__all__ = [  # for them; docs/python.md shows how
    "Changed", "CredentialError", "DiskError", "DoorError", "Entry", "FileError", "Forbidden", "GridError",
    "Incomplete", "Locality", "Mismatch", "NotFound", "OnTape", "OpenSite", "Row", "Upload", "UsageError", "open_site",
]  # fmt: skip
if "fsspec" in sys.modules:  # where gridsync came by pip, fsspec finds it by itself
    sys.modules["fsspec"].register_implementation("grid", "gridsync_parts.fs.GridFileSystem", clobber=True)

# == Report ===================================================================
# What is said, in the words of the manual. Data goes to stdout, progress and errors to stderr, as Output has it.

FIRST = 20  # files of a new list that a terminal shows
COLOURS = {Locality.ONLINE: Colour.GREEN, Locality.NEARLINE: Colour.YELLOW, Locality.OFFLINE: Colour.RED}
NO_NOTES: Mapping[str, str] = {}
VERDICTS = {True: ("ok", Colour.GREEN), False: ("FAIL", Colour.RED), None: ("--", Colour.NONE)}


def plain(record: Entry | Row) -> dict[str, Any]:
    """A record as JSON has it."""
    return {**record._asdict(), "mtime": time_text(record.mtime), "locality": record.locality.value}


class Report(Output):
    """Says what happens, as the manual words it."""

    def configuration(self, settings: Settings, target: str = "") -> None:
        """The banner and the block below it; files go to OUTPUTDIR, or to another site."""
        rows = [
            ("SERVER", f"{settings.site.server}/"),
            ("BASE_DIR_ON_GRID", f"{settings.site.base}/" if settings.site.base else ""),
            ("INPUTDIR", settings.input_dir),
            ("Copied to", target) if target else ("OUTPUTDIR", settings.output_dir),
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
        """Where a token comes from, what it says of itself, and until when it is good."""
        from gridsync_parts.keys.token import claims_of, token_left

        claims = claims_of(token.value())
        self.put(token={
            "from": token.source, "issuer": claims.issuer, "subject": claims.subject, "scopes": claims.scopes.split(),
            "audience": claims.audience.split(), "token_left": int(token.ends - now) if token.ends else None,
        })  # fmt: skip
        for name, value in (
            ("token from", token.source),
            ("issuer", claims.issuer),
            ("subject", claims.subject),
            ("scopes", claims.scopes),
            ("audience", claims.audience),
            ("token", token_left(token, now)),
        ):
            self.data(f"{name:<20}: {value or 'does not say'}")

    def shown(self, why: str) -> None:
        """Why it is this that is shown at the door."""
        self.put(shown_because=why)
        if why:
            self.data(f"{'shown because':<20}: {why}")

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

    def listing(
        self, url: str, entries: list[Entry], notes: Mapping[str, str] = NO_NOTES, facts: Mapping[str, Any] = NO_NOTES
    ) -> None:
        """The content of a folder: files first, then folders, oldest first; of a portal with notes, such as titles."""
        self.data(f" -- List content of folder: {url}")
        entries = sorted(entries, key=lambda entry: (entry.is_folder, entry.mtime, entry.path))
        self.put(listing=[{**plain(entry), **facts.get(entry.path, {})} for entry in entries])
        for entry in entries:
            size = "Folder" if entry.is_folder else "?" if entry.size == UNFINISHED else size_text(entry.size)
            line = f"{size:<10} {day_text(entry.mtime)} {entry.path.rpartition('/')[2]}"
            note = f"  {notes[entry.path]}" if notes.get(entry.path) else ""
            self.data(line + note, Colour.BLUE if entry.is_folder else Colour.NONE)

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
        from gridsync_parts.plans import totals_of

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

    def starting(self, there: int, others: int, settings: Settings, target: str = "") -> None:
        """That a copy begins, here or to another site, and that some of the files are there."""
        if there:
            self.note(f"{there} file(s) are already {'there' if target else 'here'} and are compared, not fetched")
        if target:
            sites = f"from {settings.site.name} to {target}"
            self.line(
                f"...starting to copy the {there + others} requested files {sites} using {settings.threads} threads..."
            )
            return
        self.line(
            f"...starting to download the {there + others} requested files using {settings.threads} threads "
            f"and {settings.streams} streams per file..."
        )

    def waiting(self, rows: list[Row], has_tape: bool, target: str = "") -> None:
        """What helps with files on tape that are to come here, or to another site."""
        if rows and not has_tape:
            from gridsync_parts.doors import NO_TAPE

            self.note(f"{len(rows)} file(s) are {NO_TAPE}")
            return
        if asked := sum(row.is_staging() for row in rows):
            self.note(f"{asked} file(s) are on their way from tape: start again later, or let --sync wait for them")
        to = f" --to={target}" if target else ""
        if left := len(rows) - asked:
            self.note(f"{left} file(s) are on tape: --bring_online{to} asks for them, --sync also waits for them")

    def totals(self, tally: Tally) -> None:
        """The last line of a run that copies."""
        values = {name: value for name, value in vars(tally).items() if name not in ("began", "again")}
        counts = f"skipped: {tally.skipped}, failed: {tally.failed}, waiting on tape: {tally.waiting}"
        self.end("copy", values, f"Copied: {tally.copied}, {counts}", tally)

    def shared(self, path: str, readers: str) -> None:
        """What others need to have what was sent, and who they may be, where that is not plain."""
        if readers:
            self.put(shared=path)
            self.line(f"To share it, name {path}; it can be read by {readers}")

    def sent(self, tally: Tally) -> None:
        """The last line of a run that sends."""
        values = {"sent": tally.copied, "skipped": tally.skipped, "failed": tally.failed, "bytes": tally.received}
        values |= {"checked": tally.checked, "sized": tally.sized}
        text = f"Sent: {tally.copied}, skipped: {tally.skipped}, failed: {tally.failed}"
        self.end("put", values, text, tally)

    def verified(self, tally: Tally, of: int) -> None:
        """The last line of a run that reads files again, a sample of so many or, if of none, all of them."""
        good = tally.checked + tally.again + tally.sized
        values = {"good": good, "damaged": tally.failed, "checked": tally.checked, "sized": tally.sized}
        values |= {"computed": tally.again, **({"of": of} if of else {})}
        sample = f", read: {good + tally.failed} of {of} files" if of else ""
        self.end("verify", values, f"Verified: {good}, damaged: {tally.failed}{sample}", tally)

    def end(self, part: str, values: dict[str, Any], text: str, tally: Tally) -> None:
        """The last line of a run: counts, speed, and what the files were verified by."""
        rate = tally.received / max(time.monotonic() - tally.began, 0.001)
        again = f" by computed checksum: {tally.again}," if tally.again else ""
        self.put(**{part: {**values, "rate": rate}})
        self.line(
            f"{text}; {size_text(tally.received)} at {size_text(rate)}/s; "
            f"verified by checksum: {tally.checked},{again} by size only: {tally.sized}",
            Colour.RED if tally.failed else Colour.YELLOW if tally.waiting else Colour.GREEN,
        )


# == Steps ====================================================================
# What commands are made of.

SOON = 12 * 3600.0  # a credential that ends within so many seconds is announced


class Run:
    """What the commands of one command line work with."""

    stats: Attempts | None = None  # what --stats is told of

    def __init__(self, config: Config, wishes: Wishes, report: Report, names: frozenset[str] | None = None):
        from gridsync_parts.keys.shown import settled

        self.config = config
        self.wishes = wishes
        self.report = report
        settings = settings_of(config)
        site, self.why = settled(settings.site, config)  # why a proxy or a token is shown, where there is a choice
        self.settings = settings._replace(site=site)
        self.chosen = scope_of(self.settings, names)
        if wishes.url:
            self.chosen = self.chosen._replace(site=name_of_rows(config, self.settings))
        self.held = contextlib.ExitStack()
        self.opened: Place | None = None
        self.loaded: Catalog | None = None
        self.accepted: Callable[[], None] = nothing  # remembers the settings that the action goes by
        if self.across:
            self.chosen = self.chosen._replace(site=self.across.name)
            self.settings = self.settings._replace(on_done="")  # no file comes here

    @functools.cached_property
    def across(self) -> Across | None:
        """What is to be known of another site that files are copied to; None where they come here."""
        if not self.wishes.to:
            return None
        from gridsync_parts.across import across_of
        from gridsync_parts.keys.shown import settled

        site, _ = settled(self.config.site(self.config.name_of(self.wishes.to)), self.config)
        return across_of(self, site)

    @functools.cached_property
    def scope(self) -> Scope:
        """The files that it is about; at a portal, those of records that are looked for once."""
        if not is_portal(self.settings.site.engine):
            return self.chosen
        from gridsync_parts.finding import found_scope

        return found_scope(self, self.chosen)

    @functools.cached_property
    def loop(self) -> Loop:
        """Where it waits; --help and TAB never do."""
        from gridsync_parts.loop import Loop
        from gridsync_parts.pace import PACE
        from gridsync_parts.pool import Pool

        return Loop(self.settings.retries, PACE, Pool())

    def target(self) -> Goal:
        """OUTPUTDIR, or what stands for it at another site, as whoever decides sees it."""
        return self.across.there if self.across else Target(self.settings.output_dir)

    @functools.cached_property
    def pacing(self) -> Pacing | None:
        """What holds back the bytes of all files; None where there is no limit."""
        from gridsync_parts.pacing import pacing_of

        return pacing_of(self.wishes.bwlimit, self.report.note)

    def copier(self, wishes: Wishes) -> tuple[Mover, Settling | None]:
        """What brings files to OUTPUTDIR, and what makes them durable together; or to another site."""
        if self.across:
            return self.across.ferry, None
        from gridsync_parts.copier import Copier
        from gridsync_parts.copy import Arrived
        from gridsync_parts.farm.marking import sweep
        from gridsync_parts.pacing import paced
        from gridsync_parts.pool import Settling, Stop

        stop = Stop()
        copier = Copier(paced(self.place(), self.pacing, stop), self.settings, wishes, self.catalog(), stop)
        copier.are_lost = not self.wishes.workers and sweep(copier.home.path)
        return copier, Settling(copier.settle, files_to_spare(self.settings), Arrived)

    def far_lane(self, worker: Mover | Rereader) -> Hands | None:
        """Workers that move the files, if there are to be any; what is here is read again by this machine alone."""
        from gridsync_parts.mover import Mover

        if not self.wishes.workers or not isinstance(worker, Mover):
            return None
        from gridsync_parts.farm.start import lane_of

        return lane_of(self, worker)

    def call(self, verb: Callable[..., T], *arguments: Any) -> T:
        """What a verb of the site gives, when nothing else is under way."""
        return self.loop.result(verb, *arguments, note=self.report.note, note_slow=self.note_slow)  # type: ignore[no-any-return]

    def call_target(self, verb: Callable[..., T], *arguments: Any) -> T:
        """The same of the site that files are copied to."""
        slow = functools.partial(self.note_slow, self.across.target if self.across else None)
        return self.loop.result(verb, *arguments, note=self.report.note, note_slow=slow)  # type: ignore[no-any-return]

    def note_slow(self, site: Site | None = None) -> None:
        """Say that the site takes long to answer, or another one."""
        self.report.note(f"No answer yet from {(site or self.settings.site).server}/ (Ctrl-C ends the wait)")

    def list_folder(self, folder: str) -> Listing:
        """What is in a folder of the site."""
        return self.call(self.place().lister.folder, folder)

    def has_tape(self) -> bool:
        """Whether the site has a tape service."""
        return self.call(self.place().find_tape) is not None

    def announce_end(self) -> None:
        """Say before a long run when what is shown at the door ends, if that is soon."""
        across, site = self.across, self.settings.site
        self.announce_end_at(site, self.place(), f" for {site.name}" if across else "")
        if across and not (needs_proxy(site) and needs_proxy(across.target)):
            self.announce_end_at(across.target, across.place, f" for {across.target.name}")

    def announce_end_at(self, site: Site, place: Place, where: str) -> None:
        """The same for one site."""
        from gridsync_parts.keys.proxy import valid_proxy

        now, ends = time.time(), 0.0
        if needs_proxy(site):
            proxy = valid_proxy(self.settings.vo, now)
            ends, what = min(proxy.ends, proxy.attribute_ends), "proxy"
        else:
            ends, what = place.expires(), f"token{where}"
        if ends and ends - now < SOON:
            left = f"{moment_text(ends)} ({duration_text(ends - now)})"
            is_fixed = site.token.startswith("env:")
            way = "this run sees no other: it ends then" if is_fixed else "renew it in time, even during a run"
            self.report.note(f"Your {what} is valid until {left}; {way}")

    def open(self, site: Site) -> Place:
        """A site, once there is a proxy to show it; it is closed at the end of the run."""
        from gridsync_parts.doors.opening import open_place

        files_to_spare(self.settings)  # else it would seem that the door fails
        place = open_place(site, self.settings.vo, self.config)
        self.held.callback(place.close)
        return place

    def place(self) -> Place:
        """The site that the run is about, opened."""
        if self.opened is None:
            self.opened = self.open(self.settings.site)
        return self.opened

    @functools.cached_property
    def lock(self) -> Lock:
        """The work folder's, which this run holds from now on."""
        from gridsync_parts.catalog import Lock

        return self.held.enter_context(Lock(self.config.folder))

    def catalog(self) -> Catalog:
        """The catalog, which no other run changes from now on."""
        if self.loaded is None and self.wishes.dry_run:
            self.look()
        if self.loaded is None:
            from gridsync_parts.catalog import Catalog

            _ = self.lock
            self.loaded = Catalog(self.config.folder)
            self.held.callback(self.loaded.save)
            if self.loaded.is_foreign:
                kept = set_aside(self.loaded.path)
                self.report.note(f"{self.loaded.path} was made by another program; it is now {kept}")
        return self.loaded

    def uploads(self) -> Uploads:
        """What was sent before; no other run changes it from now on."""
        from gridsync_parts.uploads import Uploads

        if self.wishes.dry_run:
            return Uploads(self.config.folder, is_frozen=True)
        _ = self.lock
        uploads = Uploads(self.config.folder)
        self.held.callback(uploads.save)
        if uploads.is_foreign:
            kept = set_aside(uploads.path)
            self.report.note(f"{uploads.path} was made by another program; it is now {kept}")
        return uploads

    def folders(self) -> Folders:
        """The remote folders that are known."""
        from gridsync_parts.catalog import Folders

        return Folders(self.config.folder, self.settings.site.name)

    def pinned_across(self) -> dict[str, int]:
        """How many files of the site are pinned for copies to others, by their names."""
        sites = {} if self.across else self.catalog().rows
        held = {name: sum(bool(row.request) for row in rows.values()) for name, rows in sites.items()}
        prefix = name_across(self.settings.site.name, "")
        return {name[len(prefix) :]: count for name, count in held.items() if count and name.startswith(prefix)}

    def has_list(self) -> bool:
        """Whether a list of files was built before."""
        from gridsync_parts.catalog import CATALOG

        return self.loaded is not None or os.path.exists(os.path.join(self.config.folder, CATALOG))

    def look(self) -> None:
        """Take the catalog as another run has it, to be looked at and not saved."""
        from gridsync_parts.catalog import Catalog

        self.loaded = Catalog(self.config.folder, is_frozen=True)

    def rows(self) -> list[Row]:
        """The files that the command is about."""
        rows = self.catalog().matching(self.scope)
        if not rows and not self.catalog().is_listed:
            if self.catalog().is_new:
                raise UsageError("there is no list of files yet; choose a folder with --input_dir and run --build_list")
            folder = self.settings.input_dir or "this site"
            if any(map(self.scope._replace(include=(), exclude=()).holds, self.catalog().by_path(self.scope.site))):
                raise UsageError(
                    f"the catalog has no file of {folder} that --inc and --exc keep; run --build_list, or change them"
                )
            prefix = name_across(self.settings.site.name, "")
            others = [] if self.across else [name for name in self.catalog().rows if name.startswith(prefix)]
            way = f", or add --to={others[0][len(prefix) :]} for the copies there" if others else ""
            raise UsageError(f"the catalog has no file of {folder}; run --build_list to look for new ones{way}")
        return rows


def find_copies(run: Run, rows: list[Row]) -> list[Row]:
    """Those of the rows that were copied, which are looked for."""
    if not (run.wishes.overwrite or run.wishes.url or run.across):  # of a URL they may be in another folder
        check_copies(run.settings.output_dir, rows)
    return [row for row in rows if row.downloaded]


def reconcile(run: Run, rows: list[Row]) -> list[Row]:
    """The rows as they are now; those whose local file is gone, or another one, are to be copied again."""
    find = run.target().find
    found = ((row, find(row)) for row in find_copies(run, rows))
    gone = [(row, local) for row, local in found if is_gone(row, local)]
    # One that is not here at all stays known to --verify and --repair; another one may be the user's own.
    run.catalog().put(row._replace(downloaded=False, verified="" if local else row.verified) for row, local in gone)
    return [run.catalog().row(row) for row in rows]


def plan_for(run: Run, rows: Iterable[Row]) -> dict[Action, list[Row]]:
    """What to do with each file, as the command line wants it."""
    from gridsync_parts.plans import plan_copies

    return plan_copies(rows, run.target().find, run.wishes.overwrite, run.wishes.force)


def forget_copies(run: Run, rows: list[Row]) -> None:
    """Call what is here and is to be overwritten still to come, or its pins would be given back before."""
    from gridsync_parts.plans import plan_copies

    plan = plan_copies(rows, run.target().find, True, run.wishes.force)
    again = [row for row in plan[Action.COPY] + plan[Action.WAIT] if row.downloaded]
    run.catalog().put(row._replace(downloaded=False, verified="") for row in again)


def kept_of(run: Run, rows: Iterable[Row]) -> list[int]:
    """How many bytes are here of each of the files that are unfinished."""
    target = run.target()
    return [kept for row in target.begun(rows) if (kept := row.size - target.missing(row))]


def check_folder(run: Run) -> str:
    """OUTPUTDIR, which is there and can be written to."""
    from gridsync_parts.hooks import hooks_of

    folder = run.settings.output_dir
    if not run.across:
        run.config.check_output_dir(folder)
        hooks_of(run)  # it may name none that can run
    if run.wishes.overwrite and run.catalog().doubt:
        raise UsageError(f"files are not replaced because {run.catalog().doubt}")
    if run.across:
        return run.across.target.name
    make_writable(folder)
    return folder


def check_room(run: Run, rows: list[Row], kept: int) -> None:
    """Refuse to begin where files can't go; so many bytes of them are there already."""
    if run.across:
        check_folder(run)
        run.across.begin(rows)
    elif rows:
        check_free(check_folder(run), sum(row.size for row in rows) - kept)


def flow_for(run: Run, aim: Aim) -> Flow:
    """What copies files, to OUTPUTDIR or to another site."""
    from gridsync_parts.endings import Credential
    from gridsync_parts.flow import Flow

    across = run.across
    if not across:
        return Flow(run, aim)
    flow = Flow(run, aim, fetch=across.fetch(aim))
    flow.book = lambda: across
    flow.credential = Credential(across.shown(run.settings), run.loop.pace)
    return flow


def look_there(run: Run, rows: list[Row]) -> list[Row]:
    """The same rows, once it is known what another site has of them."""
    if run.across:
        run.across.look(rows)
    return rows


def locate(run: Run, rows: list[Row]) -> list[Row]:
    """The rows where their files are now; noted in the catalog."""
    from gridsync_parts.flow import LOOK, Flow

    flow = Flow(run, LOOK)
    flow.look(rows)
    flow.go()
    return [run.catalog().row(row) for row in rows]


def locate_unknown(run: Run) -> None:
    """Ask of files that the listing says nothing of; where nobody can be asked they are on disk."""
    unknown = [row for row in run.catalog().matching(run.scope) if row.locality is Locality.UNKNOWN]
    unknown = [row for row in unknown if run.wishes.overwrite or not row.downloaded]
    if run.has_tape():
        locate(run, unknown)
    else:
        from gridsync_parts.runs import online_rows

        online_rows(run, unknown)


def update_list(run: Run) -> Walk:
    """Bring the catalog up to date with what the site has in the folder."""
    from gridsync_parts.flow import LOOK, Flow
    from gridsync_parts.walk import misspelt_error

    is_at_portal = is_portal(run.settings.site.engine)
    if not (run.settings.input_dir or is_at_portal):
        raise UsageError("no folder is chosen; give one with --input_dir=path (--input_dir=/ takes everything)")
    try:
        walk = Flow(run, LOOK).walk()
    except (NotFound, Forbidden) as error:
        if is_at_portal:
            raise
        folder, option = run.scope.folder, "" if run.wishes.url else "--input_dir"
        raise misspelt_error(run.list_folder, run.settings.site.base, option, folder, error) from error
    locate_unknown(run)
    return walk


def release(run: Run, rows: list[Row]) -> tuple[int, list[GridError]]:
    """Give back all pins on some files; how many files, and what went wrong; that is for another try."""
    from gridsync_parts.flow import LOOK, Flow

    flow = Flow(run, LOOK)
    flow.service.release(rows)
    flow.go()
    left = [row for row in rows if run.catalog().row(row).request]
    return len(rows) - len(left), flow.service.told.failures


def release_copied(run: Run) -> list[GridError]:
    """Give back all pins on what is here; what went wrong was said."""
    pinned = (row for row in run.catalog().of(run.scope.site) if row.downloaded and row.request)
    _, failures = release(run, [row for row in pinned if run.scope.holds(row.path)])
    for failure in failures:
        run.report.error(f"a pin remains, and --release will try again: {failure}")
    return failures


def refresh(run: Run, is_asked: bool = False) -> int:
    """Bring the catalog up to date with disk, localities and requests; how many files could not be staged, or hang."""
    from gridsync_parts.bringing import tell_coming
    from gridsync_parts.flow import STATUS, Flow

    flow = Flow(run, STATUS)
    flow.look([row for row in reconcile(run, look_there(run, run.rows())) if not row.downloaded])
    flow.go()
    if stuck := flow.service.told.stuck_text():
        run.report.error(stuck)
    if is_asked:
        tell_coming(run.report, flow.service.told)
    return flow.count().failed + bool(stuck)


# == Commands =================================================================
# A command loads, plans, has the flow do it and reports; its docstring is its line in the help.

GRACE = 600  # seconds that a lifetime may fall short of what was asked


def do_new_proxy(run: Run) -> int:
    """create a new proxy"""
    from gridsync_parts.keys import folder_for_proxies
    from gridsync_parts.keys.client import ask_pass_phrase, new_proxy

    settings, now = run.settings, time.time()
    cas = folder_for_proxies(settings.site)
    proxy, server = new_proxy(settings.vo, settings.proxy_hours, ask_pass_phrase, cas, now)
    run.report.new_proxy(proxy, server)
    wanted = now + settings.proxy_hours * 3600 - GRACE
    if proxy.ends < wanted:
        run.report.note("It is shorter than PROXY_HOURS: your certificate expires then; ask your CA for a new one")
    elif proxy.attribute_ends < wanted:
        left = duration_text(proxy.attribute_ends - now)
        run.report.note(f"Its {proxy.vo} membership lasts {left}: the server allows no more, whatever PROXY_HOURS says")
    return 0


def do_new_token(run: Run) -> int:
    """create an account of oidc-agent, which gives tokens for the site"""
    from gridsync_parts.keys.client import ask_pass_phrase
    from gridsync_parts.keys.login import log_in

    site = run.settings.site
    account = log_in(site, run.config, ask_pass_phrase, run.report.warn)
    run.accepted()
    run.report.line(f"Created the account {account} of oidc-agent.")
    run.report.note(run.config.save_token(site.name, f"oidc:{account}"))
    return 0


def do_proxy_status(run: Run) -> int:
    """print the proxy status"""
    from gridsync_parts.choices import look_for
    from gridsync_parts.keys.proxy import proxy_file, read_proxy, valid_proxy
    from gridsync_parts.keys.shown import token_of, usable

    site, now, why = run.settings.site, time.time(), run.why
    token = token_of(site, run.config)
    if token and not needs_token(site):
        token, lack = usable(token)
        why = "" if lack else why
    if token:
        token.value()
        run.report.token(token, now)
    elif not needs_proxy(site):
        at_hand, text = look_for(site, kind_of(site).credential, run.config, now)
        if at_hand is False:
            raise CredentialError(text)
        run.report.line(f"The site {site.name} is shown {text}")
    else:
        with contextlib.suppress(OSError, ValueError):  # of which valid_proxy tells
            run.report.proxy(read_proxy(proxy_file()), now)
        valid_proxy(run.settings.vo, now)
    run.report.shown(why)
    return 0


def examine(folder: str, given: Mapping[str, str], report: Report) -> int:
    """Say what the doctor finds; 1 if there is something to do."""
    from gridsync_parts.doctor import findings
    from gridsync_parts.pace import PACE
    from gridsync_parts.patient import Patient
    from gridsync_parts.pool import Pool

    patient, status = Patient(folder, given), 0
    steps, live, pool = findings(patient), report.follow(), Pool()
    pool.open("looks", lambda _: next(steps, None), 1)
    try:
        while True:
            pool.add("looks", True)
            while not (came := pool.collect(PACE.tick)):
                live.show(f"Looking at: {patient.name} ...")
                pool.check()
            finding: Finding | None = came[0][1][0]
            if finding is None:
                return status
            report.finding(finding)
            status = 1 if finding.ok is False else status
    finally:
        live.close()
        pool.close()


def do_doctor(run: Run) -> int:
    """look at everything a run needs, a line each: ok, or what to do"""
    return examine(run.config.folder, run.config.given, run.report)


def do_show_conf(run: Run) -> int:
    """show the current configuration (paths, patterns)"""
    return 0  # the block stands above every command


def do_ls_dir(run: Run) -> int:
    """list the content of the given folder"""
    from gridsync_parts.walk import misspelt_error

    site = run.settings.site
    if is_portal(site.engine):
        from gridsync_parts.finding import list_records

        return list_records(run, run.report.listing)
    folder = grid_path(run.wishes.ls_dir)
    try:
        entries = run.list_folder(folder)
    except (NotFound, Forbidden) as error:
        raise misspelt_error(run.list_folder, site.base, "--ls_dir", folder, error) from error
    if not any(entry.path == folder for entry in entries):  # else it is a file
        run.folders().remember([folder], [entry.path for entry in entries if entry.is_folder])
    run.report.listing("/".join(filter(None, (site.server, site.base, folder))) + "/" * (not folder), entries)
    if not entries and not entries.odd:
        run.report.note(f"The door shows nothing in {folder or '/'}")
    for left_out in entries.odd.values():
        run.report.error(left_out)
    return 1 if entries.odd else 0


def refuse_nothing(run: Run, walk: Walk) -> None:
    """Say when there is no file, or none that the patterns keep."""
    if run.catalog().matching(run.scope) or walk.faults():
        return
    if walk.entries:
        raise UsageError(
            f"none of the {len(walk.entries)} files of {run.settings.input_dir} passes --inc and --exc; change them, "
            "or reset them with none"
        )
    run.report.note(f"There is no file in {run.settings.input_dir} yet")


def tell_list(run: Run, walk: Walk) -> int:
    """Say what was listed; the status."""
    rows = run.catalog().matching(run.scope)
    run.report.adding(rows)
    run.report.catalog(f"Catalog built from {run.settings.input_dir}", rows)
    refuse_nothing(run, walk)
    for failure in walk.faults().values():
        run.report.error(failure)
    return 1 if walk.faults() else 0


def do_build_list(run: Run) -> int:
    """build the list of files to be downloaded (mandatory before start)"""
    walk = update_list(run)
    status = tell_list(run, walk)
    if run.wishes.dry_run:
        from gridsync_parts import dry

        dry.tell_list(run, walk)
    return status


def wait_for_tape(run: Run, rows: list[Row]) -> int:
    """Show how far the staging is until it has ended, or the user has seen enough; how many files have failed."""
    from gridsync_parts.bringing import Wheel, tell_patience
    from gridsync_parts.flow import WAIT, Flow

    flow = Flow(run, WAIT)
    flow.fetch.expect([row for row in rows if row.is_staging()], run.loop.clock())
    tell_patience(run.report, flow.fetch)
    flow.wheel = Wheel(run.report.follow(), len(rows), flow.service.polls)
    try:
        flow.go()
        online = sum(run.catalog().row(row).locality is Locality.ONLINE for row in rows)
        flow.wheel.live.close(staging_text(0, online, len(rows)))
    except KeyboardInterrupt:
        run.report.note("The staging goes on at the site; --check_status shows how far it is")
    return flow.count().failed


def launch_staging(run: Run, rows: list[Row]) -> int:
    """Ask for files to be brought from tape; how many could not be."""
    from gridsync_parts.flow import BRING, Flow
    from gridsync_parts.plans import plan_requests, plan_staging

    flow = Flow(run, BRING)
    flow.fetch.expect(plan_staging(rows), run.loop.clock())
    flow.go()
    rows, more = flow.on_tape(), ""
    if flow.fetch.aim.by_record:
        records = len(plan_requests(rows, by_record=True))
        more = f", {size_text(sum(row.size for row in rows))} in {records} record(s)"
    run.report.line(f" ** Staging launched for {len(rows)} file(s){more} **")
    return flow.count().failed


def say_no_tape(run: Run) -> int:
    """Say what there is to bring online where there is no tape; the status."""
    from gridsync_parts.doors import NO_TAPE

    rows = [row for row in run.catalog().matching(run.scope) if not row.downloaded]
    if on_tape := sum(row.locality is Locality.NEARLINE for row in rows):
        run.report.error(f"{on_tape} file(s) are {NO_TAPE}")
    else:
        run.report.line(f"The site {run.settings.site.name} has no tape: its files are on disk already")
    if run.wishes.dry_run:
        from gridsync_parts import dry

        dry.tell_no_tape(run)
    return 1 if on_tape else 0


def do_bring_online(run: Run) -> int:
    """move files from tape to disks (make the copy of files faster)"""
    from gridsync_parts.plans import NOT_ASKED

    if not run.has_tape():
        return say_no_tape(run)
    run.announce_end()
    if run.wishes.overwrite:
        forget_copies(run, run.rows())
    again = [row for row in run.rows() if NOT_ASKED in row.error]  # an old failure says nothing of this run
    run.catalog().put(row._replace(error="") for row in again)
    failed = refresh(run)
    # What --start would adopt, or leave alone for good, needs no place on disk at the site.
    rows, find = [row for row in run.rows() if not row.downloaded and row.size], run.target().find
    rows = [row for row in rows if run.wishes.overwrite or row.is_damaged() or not find(row)]
    if asks_by_record(run.settings.site):
        rows = [row for row in rows if row.request or row.locality is not Locality.ONLINE]  # nothing keeps it
    run.accepted()
    run.report.line(" ... Start staging files from tape to disk ...")
    run.report.line("     -> press CTRL+C to skip display (staging continues in background)")
    run.report.line(f" Number of files to bring online: {len(rows)}")
    if run.wishes.dry_run:
        from gridsync_parts import dry

        dry.tell_staging(run, rows)
        return 1 if failed else 0
    failed += launch_staging(run, rows)
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
    from gridsync_parts.plans import is_refused

    try:
        run.catalog()
        failed = refresh(run, is_asked=True)
        rows = run.rows()
    except LockedError as error:
        rows = rows_beside(run, error)
        failed = len(refused := list(filter(is_refused, rows)))
        for row in refused:
            run.report.error(row.error)
    if run.wishes.verbose:
        run.report.statuses(rows)
    run.report.catalog("Files status", rows)
    return 1 if failed else 0


def fresh_until(run: Run) -> float:
    """Until when a file that is on disk now is taken to be there still."""
    return run.loop.clock() + run.loop.pace.fresh


def plan_start(run: Run) -> dict[Action, list[Row]]:
    """What to do with each file; the site is asked only of those that are not here as they should be."""
    rows = look_there(run, run.rows())
    if find_copies(run, rows) and not run.wishes.dry_run:
        check_folder(run)  # before any of them is looked for in vain
    plan = plan_for(run, rows)
    done = plan.pop(Action.SKIP)
    todo = reconcile(run, sorted(itertools.chain(*plan.values())))
    locate(run, [row for row in todo if run.wishes.overwrite or not row.downloaded])
    plan = plan_for(run, map(run.catalog().row, todo))
    plan[Action.SKIP] += done
    return plan


def fetch(run: Run, plan: dict[Action, list[Row]], until: float, failed: int = 0) -> int:
    """Copy and adopt files as planned, besides some that have failed before; the status."""
    from gridsync_parts.flow import START

    kept, counts = kept_of(run, plan[Action.COPY]), (len(plan[Action.ADOPT]), len(plan[Action.COPY]))
    check_room(run, plan[Action.COPY], sum(kept))
    run.accepted()
    run.report.going_on(kept)
    plan[Action.COPY].sort(key=lambda row: -row.size)  # at the end all threads have something to do
    flow = flow_for(run, START)
    try:
        flow.begin(plan, until)
        plan.clear()  # else it would keep the rows as they were, beside what becomes of them
        if any(counts):
            run.report.starting(*counts, run.settings, run.wishes.to)
        flow.go()
        failures = release_copied(run)
    finally:
        flow.count().failed += failed
        run.report.waiting(flow.on_tape(), flow.fetch.has_tape, run.wishes.to)
        run.report.totals(flow.tally)
        if run.across:
            run.across.end()
    return 1 if flow.tally.failed or flow.tally.waiting or flow.hooks.owed or failures else 0


def tell_copies(run: Run, plan: dict[Action, list[Row]], walk: Walk | None = None) -> int:
    """Say what a dry run would copy; the status."""
    from gridsync_parts import dry

    if run.across:
        return run.across.tell(plan, walk)
    run.report.going_on(kept_of(run, plan[Action.COPY]))
    return dry.tell_copies(run, plan, walk)


def relisted(run: Run) -> dict[Action, list[Row]]:
    """What to do with each file of the folder as it is now; folders that can't be listed are named."""
    for error in update_list(run).faults().values():
        run.report.error(error)
    return plan_start(run)


def hand_over(run: Run, across: Across, plan: dict[Action, list[Row]], walk: Walk | None = None) -> int:
    """Have an FTS3 server copy what is planned, and follow that; the status."""
    from gridsync_parts.ftsjobs import follow

    faults = walk.faults() if walk else {}
    for error in faults.values():
        run.report.error(error)
    run.accepted()
    status = follow(run, across, plan, run.report.totals, functools.partial(relisted, run) if walk else None)
    return 1 if faults else status


def do_start(run: Run) -> int:
    """launch the download of the files from the Grid"""
    run.announce_end()
    until = fresh_until(run)
    plan = plan_start(run)
    if run.wishes.dry_run:
        return tell_copies(run, plan)
    if run.across and run.wishes.fts:
        return hand_over(run, run.across, plan)
    return fetch(run, plan, until)


def plan_sync(run: Run, flow: Flow) -> None:
    """Take in what the first listing has found."""
    rows = reconcile(run, run.catalog().matching(run.scope))
    if run.wishes.overwrite:
        forget_copies(run, rows)
    locate_unknown(run)  # also those that were here, and are gone
    rows = run.catalog().matching(run.scope)
    plan = plan_for(run, rows)
    flow.begin(plan, fresh_until(run))
    flow.fetch.pins.update((row.path, row) for row in rows if row.downloaded and row.request)
    run.report.going_on(kept_of(run, [job.row for job in flow.fetch.jobs.by_path.values()]))


def dry_sync(run: Run) -> int:
    """Show what would be done; the status."""
    run.announce_end()
    walk = update_list(run)
    return max(tell_list(run, walk), tell_copies(run, plan_start(run), walk))


def do_sync(run: Run) -> int:
    """list, stage, copy, verify and release, all in parallel, until everything is done"""
    from gridsync_parts.bringing import tell_patience
    from gridsync_parts.flow import SYNC

    if run.wishes.dry_run:
        return dry_sync(run)
    run.announce_end()
    find_copies(run, run.catalog().matching(run.scope))  # whose disk must be there
    check_folder(run)
    walk = update_list(run)
    refuse_nothing(run, walk)
    if run.across and run.wishes.fts:
        return hand_over(run, run.across, plan_start(run), walk)
    if run.across:
        plan = plan_for(run, look_there(run, run.catalog().matching(run.scope)))
        run.across.begin(plan[Action.COPY] + plan[Action.WAIT])
    run.accepted()
    flow = flow_for(run, SYNC)
    try:
        for error in flow.survey.note(walk, run.loop.clock()):
            run.report.error(error)
        walk.entries.clear()  # the catalog has them
        plan_sync(run, flow)
        tell_patience(run.report, flow.fetch)
        flow.go()
        failures = release_copied(run)
    finally:
        run.report.totals(flow.count())
        if run.across:
            run.across.end()
    return 1 if flow.tally.failed or flow.survey.unread or flow.hooks.owed or failures else 0


def reread(run: Run, rows: list[Row], is_told: bool) -> Flow:
    """Read local files again and note what they are; those that are not as they came are told, or not."""
    from gridsync_parts.flow import LOOK, Flow
    from gridsync_parts.pool import Stop
    from gridsync_parts.rereader import Rereader

    flow = Flow(run, LOOK._replace(is_silent=not is_told))
    flow.fetch.reread(rows)
    flow.bring(Rereader(run.settings.output_dir, Stop()), verb="Verified")
    return flow


def do_verify(run: Run) -> int:
    """read the local files again and compare them with the catalog"""
    rows = run.rows()
    find_copies(run, rows)  # whose disk must be there
    run.accepted()
    here = [row for row in rows if row.downloaded or row.is_damaged()]
    chosen, of = here, 0
    if run.wishes.sample:
        from gridsync_parts.sampling import sample_of

        chosen, of = sample_of(here, run.wishes.sample), len(here)
    flow = reread(run, chosen, is_told=True)
    try:
        flow.go()
    finally:
        run.report.verified(flow.count(), of)
    return 1 if flow.tally.failed else 0


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
    flow = reread(run, damaged, is_told=False)
    flow.go()
    run.wishes = run.wishes._replace(overwrite=True)  # but of these files alone
    until, failed = fresh_until(run), flow.left()
    doubtful = [job.row for job in failed if not job.final]  # nobody knows whether they differ
    plan = plan_for(run, locate(run, [job.row for job in failed if job.final]))
    plan[Action.SKIP] += [row for row in map(run.catalog().row, damaged) if row.downloaded]
    if run.wishes.dry_run:
        return tell_copies(run, plan)
    for row in doubtful:
        run.report.error(row.error)
    return fetch(run, plan, until, len(doubtful))


def deposit(run: Run) -> int:
    """Send local folders, or a file, to a repository, each as a record."""
    from gridsync_parts.depositing import begin_depositing, pack_deposits, tell_depositing, tell_end

    deposits = pack_deposits(run)
    if run.wishes.dry_run:
        return tell_depositing(run, deposits)
    run.announce_end()
    flow, drafting = begin_depositing(run, deposits)
    status = 1
    try:
        flow.go()
    finally:
        drafting.close()
        status = tell_end(run, deposits, drafting, flow.count())
        run.report.sent(flow.tally)
    return status


def do_put(run: Run) -> int:
    """send a local folder or file into input_dir of the site"""
    from gridsync_parts.outgoing import begin_sending, end_sending, pack, tell_sending

    if is_repository(run.settings.site):
        return deposit(run)
    outbox = pack(run)
    run.announce_end()
    if run.wishes.dry_run:
        return tell_sending(run, outbox)
    flow, sending = begin_sending(run, outbox)
    site, threads = run.settings.site, run.settings.threads
    folder = grid_path(f"{site.base}/{run.scope.folder}")
    where = f"{site.server}/{folder}"
    count = f"{outbox.files()} files, {size_text(outbox.size())}"
    run.report.line(f"...starting to send {count}, to {where} using {threads} threads...")
    try:
        flow.go()
    finally:
        flow.count().failed += len(outbox.faults)
        run.report.shared(outbox.name_below(folder), run.place().readers if flow.tally.copied else "")
        run.report.sent(flow.tally)
        end_sending(run, sending)
    return 1 if flow.tally.failed else 0


def do_cancel(run: Run) -> int:
    """with --fts: end the jobs that are under way there"""
    from gridsync_parts.ftscancel import cancel

    assert run.across
    return cancel(run, run.across)


def do_release(run: Run) -> int:
    """release all files from disk"""
    if asks_by_record(run.settings.site):
        run.report.line(f" The site {run.settings.site.name} pins no files for anybody: there is nothing to release")
        return 0
    pinned = [row for row in run.catalog().of(run.scope.site) if row.request]
    if run.wishes.dry_run:
        from gridsync_parts import dry

        dry.tell_release(run, pinned)
        return 0
    count, failures = release(run, pinned) if pinned else (0, [])
    for name, held in run.pinned_across().items():
        run.report.note(f"{held} file(s) stay pinned for copies to {name}; --release --to={name} releases them")
    run.report.line(f" ** Release accepted for {count} file(s) **" if pinned else " No file is pinned")
    for failure in failures:
        run.report.error(failure)
    return max((failure.status for failure in failures), default=0)


def do_report(run: Run) -> int:
    """make one page of the --stats file: totals, rates, failures, sizes, slowest files, records"""
    from gridsync_parts.report.telling import tell_report

    tell_report(run)
    return 0


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


DESCRIPTION = "Browse and download AGATA data from the Grid, data of other sites, and open data"
EPILOG = (
    "{} URL DIR [options] does what --sync does for the folder or file of a URL, and remembers nothing. At portals of "
    "open data --input_dir and --ls_dir take records: 5500, several with : between them, a DOI, '?words' of a search."
)
CHOICE = ("SITE", "INPUTDIR", "INCLUDE", "EXCLUDE")  # the settings that choose files
LIST = "list"  # in place of a site
BARE = (do_new_proxy, do_new_token, do_proxy_status, do_doctor, do_report)  # the settings are not shown above these
LOOKS = (*BARE, do_show_conf)  # actions that may stand beside any other one
OPTIONS = (
    Option("from_LYON", "download data from CC Lyon (default)", key="SITE", value="LYON"),
    Option("from_CNAF", "download data from Bologna", key="SITE", value="CNAF"),
    *(Option(key.option, key.meaning, key.metavar, key=key.name) for key in GENERAL_KEYS.values() if key.option),
    Option("new_proxy", do=do_new_proxy),
    Option("new_token", do=do_new_token),
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
    Option("sample", "with --verify: read only so many per cent of the files, chosen anew each time", "PERCENT"),
    Option("repair", do=do_repair, by=(*CHOICE, "OUTPUTDIR", "THREADS", "STREAMS")),
    Option("release", do=do_release, by=("SITE",)),
    Option("put", metavar="PATH", do=do_put),
    Option("metadata", "with --put to a repository: the file that describes the record, or a folder of such", "PATH"),
    Option("publish", "with --put to a repository: publish each record once all its files are there"),
    Option("new_version", "with --put to a repository: make a new version of a record that is published"),
    Option("to", "copy to this site, door to door; with actions from --build_list to --release", "SITE"),
    Option("via_here", "with --to: copy through this machine, where the doors cannot copy themselves"),
    Option("trust_target", "with --to: hand a site a key of the other one even if it opens more than the file"),
    Option("fts", "with --to: have an FTS3 server copy, and follow its jobs", "URL"),
    Option("cancel", do=do_cancel, by=("SITE",)),
    Option("report", metavar="PAGE", do=do_report, by=("OUTPUTDIR",)),
    Option("files_from", "take the paths in this file, one a line, in place of --input_dir (- is stdin)", "FILE"),
    Option("workers", "have Dask workers copy or send: an address, local:N, slurm:N or htcondor:N", "WHERE"),
    Option("bwlimit", 'move at most so many bytes a second: 20M, or by the time of day "08:00,10M 19:00,off"', "RATE"),
    Option("max_duration", "end after so long (11h, 90m, 1d, 2h30m) with what is done; the next run goes on", "T"),
    Option("stats", "add a line to this file (.jsonl or .csv) for each file moved and each attempt that fails", "FILE"),
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
        name, form = program_name(), Formatter()
        epilog = EPILOG.format(name)
        super().__init__("%prog [options]", prog=name, description=DESCRIPTION, formatter=form, epilog=epilog)
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
    valued = {f"--{option.name}": option.metavar for option in OPTIONS if option.metavar}
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
    if words and (wanting := words[-1]) in valued and wanting != "--ls_dir":
        raise UsageError(f"{wanting} has no value; give one, as in {wanting}={valued[wanting]} (--help)")
    if sum(word.startswith("--put=") for word in words) > 1:
        raise UsageError("--put is given twice, and would send the last one only; run it once for each")
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
            base = config.section(config.name_of(site)).get("BASE_DIR_ON_GRID", "")
            yield f"--{option} is taken as {path}, " + (f"below BASE_DIR_ON_GRID of {site}" if base else f"of {site}")


def remember(run: Run, given: dict[str, str], by: Iterable[str]) -> None:
    """Save those of the given settings in Grid.conf, and say so; not what is looked at only."""
    settings = {key: given[key] for key in by if key in given}
    if settings and not run.wishes.dry_run:
        changes = run.config.save(settings)
        for change in changes:
            run.report.note(f"remembered: {change}")
        wider = any(change.key in ("INCLUDE", "EXCLUDE") and change.before for change in changes)
        if wider and not (run.wishes.build_list or run.wishes.sync) and run.has_list():
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


def make_run(options: optparse.Values, config: Config, actions: list[Option], report: Report) -> Run:
    """What the commands of this line work with."""
    wishes = Wishes(*[getattr(options, name) or default for name, default in Wishes._field_defaults.items()])
    if options.report is not None:
        from gridsync_parts.report import check_page

        check_page(wishes.stats, wishes.report)
    if options.files_from is None:
        return Run(config, wishes, report)
    from gridsync_parts.named import read_names

    if options.input_dir is not None:
        raise UsageError("--files_from and --input_dir both say which files are meant; give one of the two")
    if not any("INPUTDIR" in option.by for option in actions):
        raise UsageError("--files_from says which files an action is for; add one, such as --build_list or --sync")
    site, top = config.general("SITE", "LYON"), grid_path(config.general("INPUTDIR")) if options.url else ""
    comments = is_portal(config.section(config.name_of(site)).get("ENGINE", ""))  # elsewhere a name may begin with #
    names = read_names(options.files_from, top, lambda url: config.path_of(url, site), comments)
    config.change({**config.given, "INPUTDIR": top})
    run = Run(config, wishes, report, names)
    run.settings = run.settings._replace(input_dir=f"the list {options.files_from}")
    return run


def stats_for(path: str | None, run: Run, actions: list[Option]) -> Attempts | None:
    """What --stats is told of."""
    if path is None:
        return None
    from gridsync_parts.attempts import attempts_for

    named = {option.name for option in actions}
    site = run.across.name if run.across else run.settings.site.name
    return attempts_for(path, named, run.wishes, site, run.report.error)


def show_settings(run: Run, actions: list[Option], remarks: list[str]) -> None:
    """Show what the line goes by, unless it is about other things, and what is to be said of that."""
    if not actions or any(option.do not in BARE for option in actions):
        settings = run.config.settings()._replace(input_dir=run.settings.input_dir)
        run.report.configuration(settings, run.across.url if run.across else "")
    if run.config.file.foreign:
        run.report.warn(run.config.file.foreign_text())
    for remark in remarks:
        run.report.note(remark)


def run_actions(run: Run, actions: list[Option], given: dict[str, str]) -> int:
    """Do one after the other, unless one ends with 2 or above or the time is over, but --report; the highest status."""
    used = {key for option in actions for key in option.by}
    status, late = 0, None
    with run.held:
        for option in actions:
            by = [key for key in given if key in option.by or key not in used]
            run.accepted = functools.partial(remember, run, given, by)
            if option.do and ((status < 2 and not late) or option.do is do_report):
                try:
                    status = max(status, option.do(run))
                    if status < 2:
                        run.accepted()
                except OutOfTime as end:
                    late = end
                except GridError as error:
                    log.debug("", exc_info=True)
                    run.report.error(run.across.named(error) if run.across else error)
                    status = max(status, error.status)
        if late:
            raise late
        if run.loaded and run.wishes.files_from and status < 2:
            from gridsync_parts.named import tell_unlisted

            status = max(status, tell_unlisted(run))
    return max(status, 1) if run.stats and run.stats.lost else status


def list_sites(config: Config, others: list[str], report: Report) -> int:
    """Print the sites there are, and whether what they want to be shown is at hand."""
    from gridsync_parts.choices import choices_of

    if others:
        raise UsageError(f"--from={LIST} only prints the sites; leave out --{others[0]}, or name a site")
    report.sites(list(choices_of(config, time.time())))
    return 0


def refuse_beside_put(actions: list[Option], options: optparse.Values) -> None:
    """Refuse what would go by other settings than --put, or change nothing for it."""
    others = [option for option in actions if option.name != "put" and option.do not in LOOKS]
    if others:
        raise UsageError(f"--put remembers nothing and stands alone; run --{others[0].name} on a line of its own")
    for name in ("output_dir", "streams", "force", "nochecksum"):
        if getattr(options, name) not in (None, False):
            raise UsageError(f"--{name} means nothing for --put; leave it out")


def refuse_without_records(wishes: Wishes, site: Site) -> None:
    """Refuse what is about records where none is made."""
    for name in ("metadata", "publish", "new_version"):
        if getattr(wishes, name) and not wishes.put:
            raise UsageError(f"--{name} means nothing without --put; add --put=PATH, or leave it out")
        if getattr(wishes, name) and not is_repository(site):
            way = "leave it out, or choose one with --from"
            raise UsageError(f"--{name} is for repositories, and the site {site.name} is none; {way}")


def check_workers(where: str | None, run: Run, actions: list[Option]) -> None:
    """Refuse workers that make no sense on this line."""
    if where is not None:
        from gridsync_parts.farm.start import refuse_workers

        refuse_workers(run.wishes, {option.name for option in actions}, run.settings.site)


ACROSS = ("build_list", "bring_online", "check_status", "start", "sync", "release", "cancel")  # go with --to


def refuse_beside_to(options: optparse.Values, actions: list[Option]) -> None:
    """Refuse what means nothing for copies from site to site, or only for them."""
    if options.to is None:
        for name in ("via_here", "trust_target", "fts", "cancel"):
            if getattr(options, name):
                raise UsageError(f"--{name} means nothing without --to=SITE; add it, or leave --{name} out")
        return
    if not options.to.strip():
        raise UsageError("--to has no value; --to=SITE names the site that files are copied to")
    others = [option.name for option in actions if option.name not in ACROSS and option.do not in LOOKS]
    if others:
        raise UsageError(f"--to copies from site to site; run --{others[0]} on a line of its own")
    if not {option.name for option in actions}.intersection(ACROSS):
        raise UsageError("--to says where files are copied; add --build_list, --start or --sync")
    for name in ("output_dir", "nochecksum", "force"):
        if getattr(options, name) not in (None, False):
            raise UsageError(f"--{name} means nothing for copies from site to site; leave it out")
    for name in ("streams", "trust_target"):
        if options.via_here and getattr(options, name):
            raise UsageError(f"--{name} means nothing where files go through this machine; leave it out")
    if options.fts and options.via_here:
        raise UsageError("--fts and --via_here are two ways to copy; give one of the two")
    if options.fts and options.trust_target:
        raise UsageError("--trust_target is about doors, and means nothing with --fts; leave it out")
    if options.cancel and not options.fts:
        raise UsageError("--cancel ends jobs of an FTS3 server; say of which one with --fts=URL")
    if options.cancel and len(actions) > 1:
        raise UsageError("--cancel ends jobs that are under way; run it on a line of its own")
    if options.bwlimit is not None and not options.via_here:
        raise UsageError("--bwlimit holds back what goes through this machine; add --via_here, or leave it out")


def go_by(given: dict[str, str], options: optparse.Values, actions: list[Option], config: Config) -> dict[str, str]:
    """Have the settings be those of the command line; which of them are remembered."""
    config.change(given)
    if options.put is None:
        return {} if options.url else given
    refuse_beside_put(actions, options)
    config.change({"INCLUDE": "", "EXCLUDE": "", **given})  # remembered ones would leave files out in silence
    return {}


def bound(options: optparse.Values, actions: set[str]) -> float:
    """Refuse bounds that make no sense on this line; how many seconds the run may take."""
    if options.sample is not None:
        from gridsync_parts.sampling import check_sample

        check_sample(options.sample, actions)
    if options.bwlimit is None and options.max_duration is None:
        return math.inf
    from gridsync_parts.bounds import seconds_for

    return seconds_for(options.bwlimit, options.max_duration, actions)


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
    remarks: list[str] = []
    if options.url:
        from gridsync_parts.errand import errand_of

        given, remarks = errand_of(options.words, [option.name for option in actions], given, config)
    if given.get("SITE") == LIST:
        others = [option.name for option in actions] + [GENERAL_KEYS[key].option for key in given if key != "SITE"]
        return list_sites(config, others, report)
    remarks += take_urls(options, given, config)
    refuse_beside_to(options, actions)
    if is_look:
        return examine(folder, given, report)
    given = go_by(given, options, actions, config)
    name_unknown_keys(config, report)
    seconds = bound(options, {option.name for option in actions})
    run = make_run(options, config, actions, report)
    refuse_without_records(run.wishes, run.settings.site)
    check_workers(options.workers, run, actions)
    run.loop.ends = run.loop.clock() + seconds
    run.stats = stats_for(options.stats, run, actions)
    if given and not options.dry_run:
        config.file.check_saving()
    if not config.file.saved and not options.dry_run and not options.url:
        config.save({})
    show_settings(run, actions, remarks)
    if not actions:
        remember(run, given, list(given))
    return run_actions(run, actions, given)


def take_words(parser: Parser, options: optparse.Values, words: list[str]) -> None:
    """Take the words that are no options: URL DIR, which is synchronised, or else a mistake."""
    options.words, options.url = words, words[0] if words and has_scheme(words[0]) else ""
    if options.url and options.to is not None:
        parser.error("a URL and a folder are copied to this machine; leave out --to, or name the folder by --input_dir")
    options.sync = options.sync or bool(options.url and not options.release)
    if words and not options.url:
        from gridsync_parts.recids import hint_of

        hint = nearest(f"--{words[0]}", parser._long_opt) or hint_of(words[0])
        parser.error(f"{words[0]!r}: unexpected argument{hint}")


def mend_streams() -> None:
    """Have streams that take whatever is said, also where there are none."""
    sys.stdin, sys.stdout, sys.stderr = (  # whoever closed one of them does not want to hear of it
        stream or open(os.devnull, mode, encoding="utf-8")  # noqa: SIM115
        for stream, mode in ((sys.stdin, "r"), (sys.stdout, "w"), (sys.stderr, "w"))
    )
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def hear_no_more() -> None:
    """Ignore what ends a run: whoever says it again means the same."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


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
        take_words(parser, options, others)
        report = Report(options.quiet, options.verbose, options.json)
        if options.debug or options.log_file:
            start_logging(options.debug, options.log_file)
        log.debug("gridsync %s, Python %s, %s", __version__, sys.version.split()[0], sys.platform)
        status = run_commands(options, report)
    except (KeyboardInterrupt, OutOfTime) as end:
        try:
            hear_no_more()
        except KeyboardInterrupt:  # it was said again at this very moment
            hear_no_more()
        goes_on = "begins again" if "--overwrite" in arguments else "goes on from here"
        report.error(f"{str(end) or 'interrupted'}; what is done is kept, and the same command {goes_on}")
        status = end.status if isinstance(end, OutOfTime) else 130
    except GridError as error:
        log.debug("", exc_info=True)
        report.error(error)
        status = error.status
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
