"""What a target site has, as whoever decides sees it: what OUTPUTDIR is for a copy to this machine."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from gridsync_parts.disk import LocalFile
from gridsync_parts.doors import LISTINGS, Lister, Listing
from gridsync_parts.errors import FileError, NotFound
from gridsync_parts.values import Entry, Row, is_below
from gridsync_parts.walk import list_folder

OLDER = 86400  # seconds: its own time is that of the copy, and tells nothing


def is_noted(row: Row, entry: Entry) -> bool:
    """Whether a file there is the one that was copied, as its listing tells; else it is compared."""
    is_known = bool(entry.checksum) and entry.checksum in (row.checksum, row.computed)
    return row.downloaded and entry.size == row.size and is_known


def depth_of(folder: str) -> int:
    """How many folders are above a folder."""
    return folder.count("/")


class There:
    """A target site; it has what its folders have shown."""

    def __init__(self, lister: Lister, site: str):
        self.lister = lister
        self.folder = site
        self.folders: dict[str, dict[str, Entry]] = {}  # what is in those that were listed, by path
        self.missing_folders: set[str] = set()  # that are not there yet
        self.faults: dict[str, FileError] = {}  # why others could not be listed

    def look(self, folders: Iterable[str]) -> None:
        """See what is in folders, from the upper ones on; those that were listed before are not listed again."""
        from concurrent import futures

        todo = sorted({folder for folder in folders if folder not in self.folders and folder not in self.faults})
        threads = futures.ThreadPoolExecutor(LISTINGS)
        try:
            for _, some in itertools.groupby(sorted(todo, key=depth_of), depth_of):
                asked = [(folder, threads.submit(self.listing, folder)) for folder in some if self.may_be(folder)]
                for folder, listing in asked:
                    try:
                        self.folders[folder] = {entry.path: entry for entry in listing.result()}
                    except NotFound:
                        self.missing_folders.add(folder)
                    except FileError as error:
                        self.faults[folder] = error
            missing = [folder for folder in todo if not self.may_be(folder)]
            self.missing_folders.update(missing)
            self.folders.update((folder, {}) for folder in missing)
        finally:
            threads.shutdown(wait=False, cancel_futures=True)

    def may_be(self, folder: str) -> bool:
        """Whether a folder may be there, as far as those above it tell."""
        return not is_below(folder, self.missing_folders)

    def listing(self, folder: str) -> Listing:
        """What is in a folder."""
        return list_folder(self.lister, folder)

    def find(self, row: Row) -> LocalFile | None:
        """What is there under a file's name; whether it is the same file is seen when it is compared.

        Of a folder that could not be listed nobody knows better than the catalog.
        """
        folder = row.path.rpartition("/")[0]
        if folder not in self.folders:
            return LocalFile(row.size, row.mtime, True) if row.downloaded else None
        entry = self.folders[folder].get(row.path)
        if entry is None:
            return None
        return LocalFile(entry.size, row.mtime if is_noted(row, entry) else row.mtime - OLDER, not entry.is_folder)

    def add(self, rows: Iterable[Row]) -> None:
        """Files are there now."""
        for row in rows:
            entry = Entry(row.path, False, row.size, row.mtime, row.checksum or row.computed)
            self.folders.setdefault(row.path.rpartition("/")[0], {})[row.path] = entry

    def free(self) -> int:
        """More than enough: how much room there is, the site does not tell."""
        return 1 << 62

    def missing(self, row: Row) -> int:
        """How many bytes of a file are still to come: all, as no part of one is gone on with."""
        return row.size
