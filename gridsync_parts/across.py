"""A run from site to site: what it is made of.

Its files are rows of their own in the catalog, of a site called `LYON>CNAF`: they are on tape or on disk at the one,
and copied or not to the other. What may be there of each stands in grid_uploads.csv before its first byte goes.
"""

from __future__ import annotations

import functools
import secrets
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Callable, Protocol

from gridsync_parts.dry import left_out, tell, tell_asking
from gridsync_parts.errors import CredentialError, DoorError, FileError, GridError, NotFound, UsageError
from gridsync_parts.ferry import Ferry
from gridsync_parts.fetching import Fetch, Work
from gridsync_parts.forecast import Forecast, new_folders, refuse_names
from gridsync_parts.fts import check_sites, count_jobs
from gridsync_parts.jobs import Aim, Job
from gridsync_parts.keys.shown import token_of
from gridsync_parts.kinds import asks_by_record, is_repository, kind_of, needs_proxy
from gridsync_parts.log import log
from gridsync_parts.pacing import Pacing, paced
from gridsync_parts.pool import Stop
from gridsync_parts.pull import SETTLED
from gridsync_parts.put import NO_FILE, TAKEN, temp_name
from gridsync_parts.putter import no_writer, writer_of
from gridsync_parts.runs import Runs
from gridsync_parts.settings import name_across
from gridsync_parts.there import There
from gridsync_parts.uploads import Upload, Uploads
from gridsync_parts.values import Action, Row, T, why_left
from gridsync_parts.words import bare, grid_path, names_text, scheme_of

if TYPE_CHECKING:
    from gridsync_parts.doors import Place
    from gridsync_parts.table import Settings, Site
    from gridsync_parts.walk import Walk

SECURE = ("https", "davs")  # where keys may go


def crossed(row: Row, source: Site, target: Site, temp: str = "", job: str = "") -> Upload:
    """A file as grid_uploads.csv has it."""
    url = "/".join(filter(None, (source.server, source.base, row.path)))
    checksum, verified = row.checksum or row.computed, row.verified if row.downloaded else ""
    return Upload(url, row.size, row.mtime, checksum, verified, target.name, row.path, row.error, temp, "", job)


class Crosses(Runs, Protocol):
    """A run that can copy from site to site."""

    @property
    def pacing(self) -> Pacing | None: ...

    def uploads(self) -> Uploads: ...

    def open(self, site: Site) -> Place: ...

    def call_target(self, verb: Callable[..., T], *arguments: object) -> T: ...


class Crossings(Fetch):
    """The files on their way; their names are noted before a thread gets them."""

    def __init__(self, aim: Aim, run: Crosses, there: There, note: Callable[[list[Row]], None]):
        super().__init__(aim, run.loop.pace, there, run.wishes)
        self.there = there
        self.note = note

    def feed(self, now: float) -> list[Work]:
        """Attempts at files."""
        work = super().feed(now)
        self.note([one.row for one in work])
        return work

    def give_up(self, job: Job, reason: str, is_final: bool) -> None:
        """Leave a file for another run; what has its name is not on this machine."""
        if reason == why_left(job.row, Action.KEEP, self.wishes.overwrite):
            found, block = self.target.find(job.row), self.there.block(job.row.path)
            reason = f"{job.row.path}: {TAKEN if found and found.is_file else NO_FILE}"
            if block:
                reason = f"{job.row.path}: {block} is a file at {self.there.folder}; move it away"
        super().give_up(job, reason, is_final)


class Across:
    """The other site, and what is known of the files there."""

    def __init__(self, run: Crosses, target: Site):
        self.run = run
        self.source = run.settings.site
        self.target = target
        self.name = name_across(self.source.name, target.name)
        self.url = "/".join(filter(None, (target.server, target.base))) + f"/ ({target.name})"
        self.token = secrets.token_hex(4)  # no other run has the same names
        self.earlier: set[str] = set()  # names that earlier runs have noted: a door may begin with a copy of theirs yet

    # The two ends.

    def check(self) -> None:
        """Refuse two sites between which nothing can be copied, as far as their kinds tell."""
        source, target, wishes = self.source, self.target, self.run.wishes
        if (source.server, source.base) == (target.server, target.base):
            raise UsageError(f"--to={target.name} is where the files are; choose another site with --from or --to")
        folder = grid_path(self.run.settings.input_dir)
        top, into = (f"/{grid_path(f'{site.base}/{folder}')}/".replace("//", "/") for site in (source, target))
        if target.server == source.server and into != top and into.startswith(top):
            raise UsageError(f"{into} of {target.name} is in the folder that is copied, {top}; choose another site")
        if is_repository(target):
            raise UsageError(f"--to={target.name} is a repository, whose records --put makes; choose another site")
        if not kind_of(target).can.writes:
            raise no_writer(target)
        if wishes.fts:
            check_sites(wishes.fts, source, target)
        if wishes.via_here or wishes.fts:
            return
        for site in (source, target):
            if not kind_of(site).can.copies or scheme_of(site.server) not in SECURE:
                what = f"{site.name} with SERVER {site.server} and ENGINE = {site.engine}"
                raise UsageError(f"{what} copies nothing from door to door; add --via_here, and it goes through here")

    @functools.cached_property
    def place(self) -> Place:
        """The target, opened."""
        return self.run.open(self.target)

    @functools.cached_property
    def there(self) -> There:
        """What it has."""
        return There(self.place.lister, self.target.name)

    @functools.cached_property
    def uploads(self) -> Uploads:
        """What was copied before, and what may be left of it."""
        return self.run.uploads()

    @functools.cached_property
    def ferry(self) -> Ferry:
        """What copies the files."""
        run, stop = self.run, Stop()
        writer_of(self.target, self.place)  # which says that it takes no files
        source = paced(run.place(), run.pacing, stop)
        return Ferry(source, self.place, run.settings, run.wishes, stop, (self.source.name, self.target.name))

    def shown(self, settings: Settings) -> Settings:
        """The settings with the site whose proxy is to last."""
        is_other = needs_proxy(self.target) and not needs_proxy(self.source)
        return settings._replace(site=self.target) if is_other else settings

    def named(self, error: GridError) -> GridError:
        """An error, with the site whose token is no good, where it is about one of the two."""
        if not isinstance(error, CredentialError):
            return error
        for site in (self.source, self.target):
            try:
                if token := token_of(site, self.run.config):
                    token.value()
            except CredentialError as failure:
                return CredentialError(f"{site.name}: {failure}")
        return error

    def look(self, rows: Iterable[Row]) -> None:
        """See what is there of files, before it is planned what to do."""
        folders = {row.path.rpartition("/")[0] for row in rows}
        known = len(self.there.faults)
        self.run.call_target(self.there.look, folders)
        for fault in list(self.there.faults.values())[known:]:
            self.run.report.note(f"{fault}; what {self.target.name} has there is seen when each file is copied")
        self.ferry.folders.update(self.there.folders.keys() - self.there.missing_folders)

    def begin(self, rows: list[Row]) -> None:
        """Refuse what can't be done before anything is sent, and name what earlier runs have left of other files."""
        run, rest = self.run, self.run.catalog().by_path(self.name)
        self.refuse_jobs({row.path for row in rows})
        if rows:
            self.check_base()
            self.check_key(max(rows, key=lambda row: row.size))
        open_ones = (upload for upload in self.uploads.of(self.target.name) if upload.temp and not upload.verified)
        left = [one.temp for one in open_ones if run.scope.holds(one.target) and one.target not in rest]
        if left:
            run.report.note(f"an earlier run may have left unfinished at {self.target.name}: {names_text(left)}")

    def check_base(self) -> None:
        """Refuse a target where nothing can be, as the folder that all is below is not there."""
        if self.there.folders.keys() - self.there.missing_folders:
            return
        try:
            self.run.call_target(self.place.lister.folder, "")
        except NotFound as error:
            what = f"BASE_DIR_ON_GRID of {self.target.name} is not there: {self.url.partition(' ')[0]}"
            raise UsageError(f"{what}; correct it in Grid.conf, or ask the site to make it") from error
        except (FileError, DoorError) as error:
            log.debug("%s", error)  # it may be there, and not be listed

    def check_key(self, row: Row) -> str:
        """Refuse to hand on a key that opens more than its file, as one file shows; what it opens if it may be."""
        run, puller = self.run, self.run.place().puller
        try:
            run.call(self.ferry.check, row)
            if puller and run.wishes.trust_target and run.wishes.dry_run:
                return run.call(puller.far, row.path, False).key.wider
        except FileError as error:
            log.debug("%s", error)  # it may be about this file alone
        return ""

    def refuse_jobs(self, paths: set[str]) -> None:
        """Refuse files that an FTS3 server is at work on."""
        jobs = [upload.job for upload in self.uploads.of(self.target.name) if upload.job and upload.target in paths]
        if jobs:
            way = f"--fts={min(jobs).partition('/jobs/')[0]} follows them, and with --cancel ends them"
            raise UsageError(f"{len(jobs)} of the files are in jobs of an FTS3 server; {way}")

    # The files.

    def fetch(self, aim: Aim) -> Crossings:
        """The files that a command wants."""
        run = self.run
        aim = aim._replace(retries=run.settings.retries, by_record=asks_by_record(run.settings.site))
        return Crossings(aim, run, self.there, self.note)

    def name_of(self, path: str) -> str:
        """The path of a file there until it is verified; what an earlier run has noted is taken up."""
        known = self.uploads.by_path(self.target.name).get(path)
        if known and known.temp:
            self.ferry.open.add(known.temp)
            self.earlier.add(known.temp)
            return known.temp
        if not self.place.can.renames:
            return path
        return temp_name(path, self.token, len(self.ferry.temps))

    def note(self, rows: list[Row]) -> None:
        """Note the names of files before their first bytes go."""
        new = [row for row in rows if row.path not in self.ferry.temps]
        for row in new:
            self.ferry.temps[row.path] = self.name_of(row.path)
        if new:
            self.uploads.put([self.upload_of(row, is_begun=True) for row in new], durable=True)

    def upload_of(self, row: Row, is_begun: bool = False) -> Upload:
        """A file as grid_uploads.csv has it."""
        temp = self.ferry.temps[row.path]
        is_open = is_begun or temp in self.ferry.open or temp in self.earlier
        is_over = (row.downloaded or row.error) and not is_open
        return crossed(row, self.source, self.target, temp="" if is_over or temp == row.path else temp)

    def put(self, rows: Iterable[Row], durable: bool = False) -> None:
        """Note what has come of files: what is there, and then what is to be done."""
        rows = list(rows)
        self.there.add(row for row in rows if row.downloaded)
        self.uploads.put([self.upload_of(row) for row in rows if row.path in self.ferry.temps], durable)
        self.run.catalog().put(rows, durable)

    def end(self) -> None:
        """Note what is left of no file any more: it was not begun, or removed; of those that are there it is now.

        What an earlier run has just asked a door for may come later; it stays noted, for another run.
        """
        uploads, ferry = self.uploads, self.ferry
        known = [one for one in uploads.of(self.target.name) if one.temp and self.run.scope.holds(one.target)]
        self.earlier.update(one.temp for one in known if one.verified)
        if not ferry.stop.is_set():
            ferry.open.update(self.earlier)
            try:
                self.run.call_target(ferry.tidy, self.earlier)
            except GridError as error:
                log.debug("%s", error)  # it stays noted
        if ferry.stop.is_set() or time.time() - uploads.noted < SETTLED:
            ferry.open.update(self.earlier)
        mine = [one for one in known if one.verified or one.target in ferry.temps]
        uploads.put(one._replace(temp="") for one in mine if one.temp not in ferry.open)

    # A dry run.

    def tell(self, plan: dict[Action, list[Row]], walk: Walk | None = None) -> int:
        """Say what would be copied, and which way; the status. What is on tape is, too, if it is for --sync."""
        run, on_tape = self.run, plan.pop(Action.WAIT)
        has_tape = bool(on_tape) and run.has_tape()
        is_whole = bool(walk or run.wishes.fts) and has_tape
        if is_whole and not run.wishes.fts:
            tell_asking(run, on_tape)
        if is_whole:
            plan[Action.COPY] += on_tape
        if plan[Action.COPY]:
            self.check_base()
        refused, errors = refuse_names(plan, self.place.check_name)
        folders = new_folders(plan[Action.COPY], lambda folder: folder not in self.there.missing_folders)
        forecast = Forecast("copy", plan[Action.COPY], folders=folders)
        forecast.skip_plan(plan)
        forecast.skip("wait" if has_tape else "no_tape", () if is_whole else on_tape)
        forecast.skip("refused", refused)
        forecast.skip("excluded", left_out(run, walk))
        forecast.skip_some("unlisted", len(walk.faults()) if walk else 0)
        way = self.way(plan[Action.COPY])
        run.report.line(f"(DRY RUN) from {self.source.name} to {self.target.name}, {way}")
        return tell(run, forecast, errors)

    def way(self, rows: list[Row]) -> str:
        """How files would be copied; UsageError where they can't be."""
        wishes = self.run.wishes
        if wishes.fts:
            return f"in {count_jobs(rows)} job(s) of the FTS3 server {bare(wishes.fts)}"
        if wishes.via_here:
            return "through this machine"
        wider = self.check_key(rows[0]) if rows else ""
        return "from door to door" + (f"; {self.target.name} would get a key that opens {wider}" if wider else "")


def across_of(run: Crosses, target: Site) -> Across:
    """What a run to another site is made of; UsageError if it can't be."""
    across = Across(run, target)
    across.check()
    return across
