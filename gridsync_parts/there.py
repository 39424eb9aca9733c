"""What a target site has, as whoever decides sees it: what OUTPUTDIR is for a copy to this machine."""

from __future__ import annotations

from collections.abc import Iterable

from gridsync_parts.disk import LocalFile
from gridsync_parts.doors import LISTINGS, Lister
from gridsync_parts.errors import FileError, NotFound
from gridsync_parts.values import Entry, Row
from gridsync_parts.walk import list_folder

OLDER = 86400  # seconds: its own time is that of the copy, and tells nothing


def is_noted(row: Row, entry: Entry) -> bool:
    """Whether a file there is the one that was copied, as its listing tells; else it is compared."""
    return bool(row.downloaded and entry.checksum) and entry.checksum in (row.checksum, row.computed)


class There:
    """A target site; it has what its folders have shown."""

    def __init__(self, lister: Lister, site: str):
        self.lister = lister
        self.folder = site
        self.folders: dict[str, dict[str, Entry]] = {}  # what is in those that were listed, by path
        self.missing_folders: set[str] = set()  # that are not there yet
        self.faults: dict[str, FileError] = {}  # why others could not be listed

    def look(self, folders: Iterable[str]) -> None:
        """See what is in folders; those that were listed before are not listed again."""
        from concurrent import futures

        todo = [folder for folder in folders if folder not in self.folders and folder not in self.faults]
        if not todo:
            return
        threads = futures.ThreadPoolExecutor(LISTINGS)
        try:
            for some in (todo[:1], todo[1:]):  # the first tells whether the door lets us in at all
                for folder, listing in [(folder, threads.submit(list_folder, self.lister, folder)) for folder in some]:
                    try:
                        self.folders[folder] = {entry.path: entry for entry in listing.result()}
                    except NotFound:
                        self.folders[folder] = {}
                        self.missing_folders.add(folder)
                    except FileError as error:
                        self.faults[folder] = error
        finally:
            threads.shutdown(wait=False, cancel_futures=True)

    def find(self, row: Row) -> LocalFile | None:
        """What is there under a file's name; whether it is the same file is seen when it is compared."""
        entry = self.folders.get(row.path.rpartition("/")[0], {}).get(row.path)
        if entry is None:
            return None
        is_same = entry.size == row.size and is_noted(row, entry)
        return LocalFile(entry.size, row.mtime if is_same else row.mtime - OLDER, not entry.is_folder)

    def free(self) -> int:
        """More than enough: how much room there is, the site does not tell."""
        return 1 << 62

    def missing(self, row: Row) -> int:
        """How many bytes of a file are still to come: all, as no part of one is gone on with."""
        return row.size
