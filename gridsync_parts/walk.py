"""All files below a folder, listed folder by folder."""

from __future__ import annotations

import contextlib
from collections import deque
from typing import Callable

from gridsync_parts.doors import Lister, Listing
from gridsync_parts.errors import (
    BadName,
    BadRequest,
    DoorError,
    FileError,
    Forbidden,
    GridError,
    NotFound,
    UsageError,
    drop_frames,
)
from gridsync_parts.values import UNFINISHED, Entry, Row
from gridsync_parts.words import nearest

DOORS_SHUT = 8  # failures of the door, one after the other, that end a listing, or a run
# A door that lists a folder in itself would have no end, and with two such links no machine would see 100 folders down.
DEEPEST = 100  # folders in folders
ROUND = 6  # folders, each in the one before, that all look the same: then they are one
MOST_FOLDERS = 1_000_000  # of one listing; experiments have some hundred thousand
MOST_FILES = 10_000_000  # the same


def judge(lister: Lister, path: str, error: GridError) -> GridError:
    """The error of what a listing has named, or that the door can't serve such names: it still lists it, or can't."""
    from urllib.parse import quote

    if not isinstance(error, (NotFound, BadRequest)) or quote(path, errors="surrogateescape") == path:
        return error
    try:
        is_listed = any(entry.path == path for entry in lister.folder(path))
    except GridError as failure:
        is_listed = isinstance(failure, BadRequest)
    sentence = f"{path}: the door lists this name but cannot serve it; ask the site to rename it"
    return BadName(sentence) if is_listed else error


def list_folder(lister: Lister, folder: str) -> Listing:
    """What is in a folder."""
    try:
        return lister.folder(folder)
    except (NotFound, BadRequest) as error:
        raise judge(lister, folder, error) from None


class Walk:
    """All files below a folder, listed folder by folder: which are to be listed next, and what was found."""

    def __init__(self, top: str):
        self.top = top
        self.todo = deque([top])  # folders that are to be listed
        self.entries: list[Entry] = []
        self.size = 0  # of all files so far
        self.folders: set[str] = set()  # those that were listed
        self.looks: dict[str, int] = {}  # of folders with folders in them: a number that two have if they list the same
        self.rounds: set[int] = set()  # the looks of those that are in themselves
        self.failures: dict[str, GridError] = {}
        self.doors_shut = 0  # failures of the door, one after the other
        self.empty: list[str] = []

    def is_vital(self, folder: str) -> bool:
        """Whether nothing can be listed without this folder."""
        return folder == self.top

    def chosen(self, _folder: str, found: Listing) -> Listing:
        """What of a folder is wanted."""
        return found

    def faults(self) -> dict[str, GridError]:
        """What the user is told of, by path."""
        return self.failures

    def fail(self, folder: str, error: GridError) -> None:
        """A folder can't be listed, which is noted; the top folder must be, and some must be if it is the door."""
        self.doors_shut = self.doors_shut + 1 if isinstance(error, DoorError) else 0
        is_one = isinstance(error, (FileError, DoorError))
        if self.is_vital(folder) or self.doors_shut >= DOORS_SHUT or not is_one:
            raise error
        self.failures[folder] = drop_frames(error)

    def take(self, folder: str, found: Listing) -> None:
        """Keep what is in a folder; the folders in it are to be listed too."""
        self.doors_shut = 0
        self.folders.add(folder)
        wanted = self.chosen(folder, found)
        self.failures.update(wanted.odd)
        self.empty += [] if found else [folder]
        below: list[str] = []
        if self.goes_round(folder, found):
            return
        for entry in wanted:
            if not entry.path:
                raise UsageError("BASE_DIR_ON_GRID is a file at the site; correct it in Grid.conf")
            if entry.path.count("/") >= DEEPEST:
                reason = f"{entry.path[:100]}...: is more than {DEEPEST} folders deep; ask the site"
                self.failures[entry.path] = FileError(reason)
            elif entry.is_folder:
                below.append(entry.path)
            elif entry.size == UNFINISHED:
                self.failures[entry.path] = FileError(f"{entry.path}: is still being written; list it later")
            else:
                self.entries.append(entry)
                self.size += entry.size
        self.todo += below
        if len(self.folders) + len(self.todo) > MOST_FOLDERS or len(self.entries) > MOST_FILES:
            raise DoorError(
                f"{folder or '/'}: there are more than {MOST_FOLDERS:,} folders or {MOST_FILES:,} files so far; "
                "choose a smaller folder with --input_dir, or ask the site whether links form a loop there"
            )

    def goes_round(self, folder: str, found: list[Entry]) -> bool:
        """Whether a folder is one of those above it once more, again and again; said once of each."""
        if not any(entry.is_folder for entry in found):
            return False
        start = len(folder)
        look = hash(frozenset((entry.path[start:], entry.is_folder, entry.size, entry.mtime) for entry in found))
        self.looks[folder] = look
        parts = folder.split("/") if folder else []
        above = ("/".join(parts[:count]) for count in range(len(parts)))
        if look not in self.rounds and sum(self.looks.get(path) == look for path in above) < ROUND:
            return False
        if look not in self.rounds:
            self.failures[folder] = FileError(f"{folder}: contains itself through a link; its files are already listed")
        self.rounds.add(look)
        return True

    def note_emptied(self, rows: list[Row]) -> None:
        """Count folders of files still to come as failures: dCache lists as empty what it can't read."""
        awaited = {row.path.rpartition("/")[0] for row in rows if not row.downloaded} if self.empty else set()
        for folder in awaited.intersection(self.empty):
            self.failures[folder] = FileError(
                f"{folder or '/'}: is empty now; the catalog keeps its earlier files, "
                "see --ls_dir or ask the site"
            )


def misspelt_error(
    list_folder: Callable[[str], Listing], base: str, option: str, folder: str, error: NotFound | Forbidden
) -> GridError:
    """The error for a folder that is not given, with what is nearest to it where the path goes astray.

    A URL, which is no option's value, does not begin at BASE_DIR_ON_GRID.
    """
    if option and base and isinstance(error, NotFound) and f"{folder}/".startswith(f"{base}/"):
        import shlex

        below = folder[len(base) + 1 :]
        with contextlib.suppress(GridError):
            list_folder(below)
            there = f"there is no {folder} below BASE_DIR_ON_GRID {base}/"
            return NotFound(f"{there}; paths begin below it: {option} {shlex.quote(below or '/')}")
    known = ""
    with contextlib.suppress(GridError):
        for part in folder.split("/"):
            names = {entry.path.rpartition("/")[2] for entry in list_folder(known.rstrip("/"))}
            if part not in names:
                return NotFound(f"{error}{nearest(part, names, known)}")
            known += f"{part}/"
    if known or not option:
        return error
    more = " And" if str(error).endswith("?") else ";"
    return type(error)(f"{error}{more} is BASE_DIR_ON_GRID in Grid.conf right?")
