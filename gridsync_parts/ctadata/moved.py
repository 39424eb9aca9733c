"""Files that come or go under names that a program chooses, verified as all others are."""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import NamedTuple

from gridsync_parts.disk import Target
from gridsync_parts.doors import At, Body, Listing, Place
from gridsync_parts.errors import Incomplete, UsageError
from gridsync_parts.face import FilePath, OpenSite, local_path
from gridsync_parts.outbox import CONTROLS, Outbox
from gridsync_parts.parcel import Parcel
from gridsync_parts.plans import new_row
from gridsync_parts.telling import speaking_plainly
from gridsync_parts.uploads import Upload
from gridsync_parts.values import Locality, Row, Scope


class Renamed:
    """Lists and reads files of a site by the names that they get here."""

    def __init__(self, place: Place, paths: dict[str, str]):
        self.place = place
        self.paths = paths  # at the site, by the names here

    def read(self, at: At, start: int, stop: int) -> Body:
        """The bytes of one."""
        return self.place.reader.read(at._replace(path=self.paths[at.path]), start, stop)

    def checksum(self, at: At) -> str:
        """The checksum of one."""
        return self.place.reader.checksum(at._replace(path=self.paths[at.path]))

    def folder(self, path: str) -> Listing:
        """One, as its site lists it."""
        found, there = Listing(), self.paths[path]
        found += [entry._replace(path=path) for entry in self.place.lister.folder(there) if entry.path == there]
        return found

    def localities(self, paths: list[str], on_tape: Collection[str] = ()) -> dict[str, Locality]:
        """Where some are."""
        there, taped = ([self.paths[path] for path in some] for some in (paths, on_tape))
        known = self.place.lister.localities(there, taped)
        return {path: known[self.paths[path]] for path in paths if self.paths[path] in known}


def get_rows(site: OpenSite, rows: list[Row], folder: str, overwrite: bool, progress: bool) -> list[Row]:
    """Rows of files that are here then, or have an error."""
    try:
        return site.get(rows, folder, overwrite=overwrite, progress=progress) if rows else []
    except Incomplete as error:
        return error.rows


def bring(site: OpenSite, wanted: dict[str, Row], folder: FilePath, progress: bool = False) -> list[Row]:
    """Have files in a folder under these names: what is the same is kept, and what is not is replaced."""
    place, top = site.use(), local_path(folder) or os.curdir
    names = Renamed(place, {name: row.path for name, row in wanted.items()})
    place = place._replace(lister=names, reader=names, find_tape=lambda: None, close=lambda: None)
    here = OpenSite(site.settings, place)
    rows = {name: row._replace(path=name) for name, row in wanted.items()}
    found = {name: Target(top).find(row) for name, row in rows.items()}
    same = [rows[name] for name, file in found.items() if file and file.is_file and file.size == rows[name].size]
    kept = {row.path: row for row in get_rows(here, same, top, False, progress) if row.downloaded}
    others = [row for name, row in rows.items() if name not in kept]
    kept.update((row.path, row) for row in get_rows(here, others, top, True, progress))
    return [kept[name] for name in rows]


def bring_file(site: OpenSite, path: str, here: FilePath | None, progress: bool = False) -> Row:
    """Have one file here, in the current folder under its own name unless another one is given."""
    entry = site.entry(path)
    folder, name = os.path.split(local_path(here) if here else entry.path.rpartition("/")[2])
    if not name:
        raise UsageError(f"{os.fsdecode(here or '')!r} names no file; give the name that {entry.path} is to get")
    rows = bring(site, {name: new_row(entry, site.name)}, folder, progress)
    with speaking_plainly():
        site.judge(rows, [])
    return rows[0]


def bring_tree(site: OpenSite, path: str, cut: int = 0, progress: bool = False) -> list[Row]:
    """Have all files below a folder in the current one, at their paths, less so many of the folders above."""
    with speaking_plainly():
        rows, failures = site.walk(path, "", "")
        rows = site.locate(rows, site.ask(site.use().find_tape))
        come = bring(site, {"/".join(row.path.split("/")[cut:]): row for row in rows}, os.curdir, progress)
        site.judge(come, failures)
        return come


class Gone(NamedTuple):
    """Files that are at a site now, and what was not to be sent."""

    uploads: list[Upload]
    left_out: list[str]
    readers: str  # who can read them, where users should be told


def outbox_of(site: OpenSite, local: FilePath) -> Outbox:
    """What there is to send."""
    outbox = Outbox(local_path(local), Scope(site.name, "", (), ()))
    outbox.collect()
    return outbox


def send(site: OpenSite, outbox: Outbox, folder: str, progress: bool) -> Gone:
    """Send it; what has a name already is replaced."""
    sent = Parcel(site.use(), site.settings, outbox, folder, True).send(progress)
    site.judge(sent, list(outbox.faults))
    left_out = [f"{path}: is a link or one of gridsync's own files and is not sent" for path in sent.left_out]
    return Gone(list(sent), left_out, site.use().readers)


def send_file(site: OpenSite, local: FilePath, path: str, progress: bool = False) -> Gone:
    """Send one file to a path; to one that ends with a slash under its own name."""
    with speaking_plainly():
        outbox, target = outbox_of(site, local), site.below(path)
        if os.path.isdir(outbox.top):
            raise UsageError(f"{outbox.top} is a folder; upload_dir() sends all that is in it")
        folder, name = target, ""
        if target and not path.endswith("/"):
            folder, _, name = target.rpartition("/")
        if CONTROLS & {*name}:
            raise UsageError(f"{path!r} has a control character in it; choose another name")
        if name:
            outbox.folders[""] = [file._replace(path=name) for file in outbox.folders[""]]
        return send(site, outbox, folder, progress)


def send_tree(site: OpenSite, local: FilePath, path: str, progress: bool = False) -> Gone:
    """Send what is in a folder into another one."""
    with speaking_plainly():
        outbox = outbox_of(site, local)
        if not os.path.isdir(outbox.top):
            raise UsageError(f"{outbox.top} is not a folder; upload_file() sends a file")
        return send(site, outbox, site.below(path), progress)
