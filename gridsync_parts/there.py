"""What a target site has, as whoever decides sees it: what OUTPUTDIR is for a copy to this machine."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

from gridsync_parts.disk import LocalFile
from gridsync_parts.doors import LISTINGS, Lister, Listing
from gridsync_parts.errors import DoorError, FileError, GridError, NotFound
from gridsync_parts.values import Entry, Row, is_below
from gridsync_parts.walk import DOORS_SHUT, list_folder

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
        self.blocks: set[str] = set()  # that are files
        self.faults: dict[str, GridError] = {}  # why others could not be listed

    def look(self, folders: Iterable[str]) -> None:
        """See what is in folders, from the upper ones on; those that were listed before are not listed again."""
        from concurrent import futures

        known = self.folders.keys() | self.faults.keys() | self.blocks
        todo = sorted({*folders} - known, key=lambda folder: (depth_of(folder), folder))
        threads, shut = futures.ThreadPoolExecutor(LISTINGS), 0
        try:
            for _, some in itertools.groupby(todo, depth_of):
                asked = [(one, threads.submit(list_folder, self.lister, one)) for one in some if self.may_be(one)]
                for folder, listing in asked:
                    try:
                        self.take(folder, listing.result())
                        shut = 0
                    except NotFound:
                        self.missing_folders.add(folder)
                    except (FileError, DoorError) as error:
                        shut += isinstance(error, DoorError)
                        if shut >= DOORS_SHUT or (shut and not self.folders):
                            raise
                        self.faults[folder] = error
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
        missing = [folder for folder in todo if is_below(folder, self.missing_folders)]
        self.missing_folders.update(missing)
        self.folders.update((folder, {}) for folder in missing)

    def may_be(self, folder: str) -> bool:
        """Whether a folder may be there, as far as those above it tell."""
        return not is_below(folder, self.missing_folders) and not is_below(folder, self.blocks)

    def take(self, folder: str, listing: Listing) -> None:
        """Know what is in a folder; of a file the listing has the file itself."""
        if any(entry.path == folder and not entry.is_folder for entry in listing):
            self.blocks.add(folder)
        else:
            self.folders[folder] = {entry.path: entry for entry in listing}

    def block(self, path: str) -> str:
        """What is a file there, and would have to be a folder for a file; empty if nothing is."""
        return next((block for block in self.blocks if is_below(path, (block,))), "") if self.blocks else ""

    def find(self, row: Row) -> LocalFile | None:
        """What is there under a file's name; whether it is the same file is seen when it is compared.

        Of a folder that could not be listed nobody knows better than the catalog.
        """
        folder = row.path.rpartition("/")[0]
        if self.block(folder):
            return LocalFile(0, 0, False)
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

    def begun(self, _rows: Iterable[Row]) -> Iterator[Row]:
        """Those of the files of which something is there: none, as no part of one is gone on with."""
        return iter(())

    def free(self) -> int:
        """More than enough: how much room there is, the site does not tell."""
        return 1 << 62

    def missing(self, row: Row) -> int:
        """How many bytes of a file are still to come: all."""
        return row.size
