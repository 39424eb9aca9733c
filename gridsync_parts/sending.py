"""Files on their way to a site: what is there before, and what each event means for them."""

from __future__ import annotations

import math
import os
import secrets
from collections.abc import Collection, Iterable

from gridsync_parts.disk import Target
from gridsync_parts.doors import Listing
from gridsync_parts.errors import GridError
from gridsync_parts.fetching import Fetch
from gridsync_parts.jobs import Aim, Job, Next, Where
from gridsync_parts.outbox import Local
from gridsync_parts.pace import Pace
from gridsync_parts.put import LEFT_OVER, NO_FILE, TAKEN, temp_name
from gridsync_parts.putter import Putter
from gridsync_parts.uploads import Upload, Uploads
from gridsync_parts.values import Action, Entry, Outcome, Row, Wishes


def put_action(row: Row, there: Entry | None, overwrite: bool) -> Action:
    """What to do with a local file, by what has its name at the site."""
    if there is None:
        return Action.COPY
    if there.is_folder or (there.size != row.size and not overwrite):
        return Action.KEEP
    if there.size != row.size:
        return Action.COPY
    return Action.SKIP if row.verified and there.checksum and there.checksum == row.checksum else Action.ADOPT


class Sending(Fetch):
    """The files that are sent, and what has come of them; it notes that in grid_uploads.csv."""

    def __init__(self, aim: Aim, pace: Pace, wishes: Wishes, uploads: Uploads, site: str, putter: Putter):
        super().__init__(aim, pace, Target(""), wishes)
        self.uploads = uploads
        self.site = site
        self.putter = putter
        self.token = secrets.token_hex(4)  # no other run has the same names

    # What there is to do.

    def row_of(self, local: Local, target: str, there: Collection[str] | None = None) -> Row:
        """A local file as it will be at the site; what an earlier run knows of it counts as long as it is the same.

        What that run has left is there, unless the names in the folder say otherwise.
        """
        known = self.uploads.by_path(self.site).get(target)
        self.putter.sources[target] = local.file
        row = local.row(target, self.site)
        if known and known.temp and (there is None or known.temp in there):
            self.putter.deliverer.open.add(known.temp)
        self.putter.temps[target] = self.name_of(target, known)
        if known and known.verified:
            row = row._replace(computed=known.checksum)
        is_known = known and known.is_of(os.path.abspath(local.file), local.size, local.mtime)
        if known and is_known and local.mtime < self.uploads.noted:
            return row._replace(checksum=known.checksum, verified=known.verified)
        return row

    def name_of(self, target: str, known: Upload | None) -> str:
        """The path of a file until it is verified; what an earlier run has left is taken up."""
        if not self.putter.place.can.renames:
            return target
        if known and known.temp:
            return known.temp
        return temp_name(target, self.token, len(self.putter.temps))

    def sort(self, rows: Iterable[Row], listing: Listing) -> dict[Action, list[Row]]:
        """What to do with the files of a folder, by what is there."""
        there = {entry.path: entry for entry in listing}
        plan: dict[Action, list[Row]] = {action: [] for action in Action}
        for row in rows:
            plan[put_action(row, there.get(row.path), self.wishes.overwrite)].append(row)
        return plan

    def plan_folder(self, files: list[tuple[Local, str]], listing: Listing, now: float) -> None:
        """Take in the files of a folder that is there."""
        plan = self.sort(self.join(files, {*listing.odd, *(entry.path for entry in listing)}), listing)
        for row in plan[Action.SKIP]:
            self.ledger.outcomes.append(Outcome(row._replace(downloaded=True), "skipped"))
            self.ledger.rows.append(row._replace(downloaded=True))
        folders = {entry.path for entry in listing if entry.is_folder}
        for row in plan[Action.KEEP]:
            self.leave(row, f"{row.path}: {NO_FILE if row.path in folders else TAKEN}{self.left_over(row)}")
        todo = {action: plan[action] for action in (Action.COPY, Action.ADOPT)}
        for rows in todo.values():
            rows.sort(key=lambda row: -row.size)  # at the end all threads have something to do
            self.ledger.rows += [row._replace(verified="") for row in rows]
            self.ledger.is_durable = self.ledger.is_durable or bool(rows)  # names before their first bytes
        self.plan(todo, now)

    def refuse_folder(self, files: list[tuple[Local, str]], error: GridError) -> None:
        """Leave all files of a folder that can't be listed or made; it is told of once."""
        self.ledger.errors.append(str(error))
        for row in self.join(files):
            job = self.jobs.add(row)
            job.reason = str(error)
            self.leave(row, str(error))
            self.ledger.left.append(job.row)

    def join(self, files: list[tuple[Local, str]], there: Collection[str] | None = None) -> list[Row]:
        """Have files join in."""
        rows = [self.row_of(local, target, there) for local, target in files]
        self.beyond = self.beyond[0] - len(rows), self.beyond[1] - sum(row.size for row in rows)
        return rows

    def left_over(self, row: Row) -> str:
        """What is to be said of a file that is left alone, and of which some may be there."""
        temp = self.putter.temps[row.path]
        return LEFT_OVER.format(temp) if temp in self.putter.deliverer.open else ""

    def leave(self, row: Row, reason: str) -> None:
        """Leave a file alone, and say why, unless that was said."""
        self.take(self.jobs.add(row), Next(Where.LEFT, reason, is_final=True))

    # What comes of it.

    def place(self, job: Job, now: float, is_first: bool = False) -> None:
        """Have a file sent again; what is here does not go away by itself."""
        self.take(job, Next(Where.READY, is_here=job.is_here, is_first=is_first))

    def until(self, job: Job) -> float:
        """What is here stays."""
        return math.inf

    def is_as_planned(self, job: Job, outcome: Outcome) -> bool:
        """A file that has changed since it was found was sent as it is now."""
        return True

    def put(self, rows: Iterable[Row], durable: bool = False) -> None:
        """Note what has come of files."""
        self.uploads.put(map(self.upload_of, rows), durable)

    def upload_of(self, row: Row) -> Upload:
        """A file as grid_uploads.csv has it."""
        temp = self.putter.temps[row.path]
        is_open = temp in self.putter.deliverer.open
        is_over = (row.downloaded and not (is_open and temp in self.putter.lost)) or (row.error and not is_open)
        verified, temp = row.verified if row.downloaded else "", "" if is_over or temp == row.path else temp
        source = os.path.abspath(self.putter.sources[row.path])
        return Upload(source, *row[1:4], verified, row.site, row.path, row.error, temp)

    def left(self) -> set[str]:
        """Names under which some of a file may be at the site that has its own by now, or that is given up."""
        known = self.uploads.by_path(self.site)
        noted = [known[target] for target in self.putter.temps if target in known]
        done = {upload.temp for upload in noted if upload.temp and upload.verified}
        self.putter.deliverer.open.update(done)
        return done | self.putter.lost

    def forget_idle(self) -> None:
        """Note that nothing can be left of files that a run which was ended has not begun, or has removed again."""
        known, still = self.uploads.by_path(self.site), self.putter.deliverer.open
        noted = [known[target] for target in self.putter.temps if target in known]
        self.uploads.put(upload._replace(temp="") for upload in noted if upload.temp and upload.temp not in still)

    def strangers(self, targets: Iterable[str]) -> list[str]:
        """What other runs have left at the site, of files that this one does not send."""
        known = set(targets)
        return [upload.temp for upload in self.uploads.of(self.site) if upload.temp and upload.target not in known]
