"""Local files of a Python program on their way to a site, for one call."""

from __future__ import annotations

import os
import secrets

from gridsync_parts.disk import MARK
from gridsync_parts.doors import Listing, Place
from gridsync_parts.errors import DoorError, FileError
from gridsync_parts.gauge import Gauge
from gridsync_parts.ground import Prepared, prepare
from gridsync_parts.haul import Haul
from gridsync_parts.loop import Answer, Loop
from gridsync_parts.outbox import Local, Outbox
from gridsync_parts.pace import PACE
from gridsync_parts.pool import Pool, Stop
from gridsync_parts.put import NO_FILE, TAKEN, temp_name
from gridsync_parts.putter import Putter, writer_of
from gridsync_parts.sending import put_action
from gridsync_parts.table import Settings
from gridsync_parts.telling import in_python
from gridsync_parts.uploads import Upload
from gridsync_parts.values import Action, Row, with_error
from gridsync_parts.walk import DOORS_SHUT


class Uploaded(list[Upload]):
    """Files that are at a site now, or failed; and what was not to be sent."""

    def __init__(self, uploads: list[Upload], left_out: list[str], unfinished: list[str]):
        super().__init__(uploads)
        self.left_out = left_out  # links, and gridsync's own files
        self.unfinished = unfinished  # what other runs have left at the site, or are at work on


class Parcel:
    """What is to be sent, and where to."""

    def __init__(self, place: Place, settings: Settings, outbox: Outbox, top: str, overwrite: bool):
        self.place = place
        self.settings = settings
        self.outbox = outbox
        self.top = top
        self.overwrite = overwrite
        self.putter = Putter(place, writer_of(settings.site, place), Stop(), overwrite)
        self.putter.deliverer.top = outbox.top
        self.token = secrets.token_hex(4)  # no other call has the same names
        self.rows: dict[str, Row] = {}
        self.work: list[tuple[Row, bool]] = []
        self.unfinished: list[str] = []

    def target(self, path: str) -> str:
        """Where a path is at the site."""
        return f"{self.top}/{path}".strip("/")

    def prepare(self) -> None:
        """Have all folders there, several at once, and plan what is to be done with their files."""
        loop, doors_shut = Loop(self.settings.retries, PACE, Pool()), 0
        ends = self.place.lister, self.place.writer
        below = self.outbox.below()
        todo = [("", False)]  # folders, and whether they can't be there yet
        try:
            while todo or loop.pending("folders"):
                for folder, is_new in todo:
                    loop.ask("folders", folder, prepare, *ends, self.target(folder), is_new)
                todo = []
                for event in loop.round():
                    if not isinstance(event, Answer):
                        continue
                    folder, error = event.about, event.error
                    doors_shut = doors_shut + 1 if isinstance(error, DoorError) else 0
                    is_one = folder and doors_shut < DOORS_SHUT and isinstance(error, (DoorError, FileError))
                    if error and not is_one:
                        raise error
                    found: Prepared = event.value or Prepared(Listing(), False)
                    self.take(self.outbox.folders[folder], found.listing, str(error or ""))
                    todo += [(path, found.is_new) for path in below.get(folder, ())]
        finally:
            loop.pool.close()

    def take(self, files: list[Local], listing: Listing, fault: str = "") -> None:
        """Take in the files of a folder, by what is there."""
        there = {entry.path: entry for entry in listing}
        self.unfinished += [path for path in there if path.endswith(MARK)]
        for local in files:
            path = self.target(local.path)
            row = local.row(path, self.settings.site.name)
            self.putter.sources[path] = local.file
            temp = temp_name(path, self.token, len(self.putter.temps))
            self.putter.temps[path] = temp if self.place.can.renames else path
            action = put_action(row, there.get(path), self.overwrite)
            if action is Action.KEEP and not fault:
                row = with_error(row, f"{path}: {NO_FILE if there[path].is_folder else TAKEN}")
            elif fault:
                row = with_error(row, fault)
            else:
                self.work.append((row, action is Action.ADOPT))
            self.rows[path] = row

    def send(self, is_shown: bool) -> Uploaded:
        """Send them; what became of each."""
        self.prepare()
        if self.work:
            size = sum(row.size for row, _ in self.work)
            gauge = Gauge(self.settings.site.name, len(self.work), size) if is_shown else None
            self.work.sort(key=lambda one: -one[0].size)
            self.rows.update(Haul(self.putter, self.settings, gauge).go(self.work))
        uploads = [self.upload(self.rows[path]) for path in sorted(self.rows)]
        return Uploaded(uploads, [*self.outbox.links, *self.outbox.own], self.unfinished)

    def upload(self, row: Row) -> Upload:
        """A file as grid_uploads.csv would have it."""
        temp = self.putter.temps[row.path]
        left = temp if temp in self.putter.deliverer.open else ""
        source, error = os.path.abspath(self.putter.sources[row.path]), in_python(row.error)
        return Upload(source, row.size, row.mtime, row.checksum, row.verified, row.site, row.path, error, left)
