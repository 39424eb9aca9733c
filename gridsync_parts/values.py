"""What all hand to each other: files, sites, settings, and what became of a file."""

from __future__ import annotations

import enum
import itertools
import re
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Callable, NamedTuple, TypeVar

from gridsync_parts.errors import Changed, GridError, drop_frames
from gridsync_parts.secrets import make_printable

T = TypeVar("T")
Seen = Callable[[int, int], None]  # is told how many bytes of a file are there, and how many moved in this attempt


class Locality(enum.Enum):
    """Where a file is."""

    ONLINE = "ONLINE"  # on disk
    NEARLINE = "NEARLINE"  # on tape only
    OFFLINE = "OFFLINE"  # out of reach: lost, or its pool is down
    UNKNOWN = "unknown"


# The words of WebDAV doors (from SRM) and of tape services for the same four things.
LOCALITIES = {
    **dict.fromkeys(("ONLINE", "ONLINE_AND_NEARLINE", "DISK", "DISK_AND_TAPE"), Locality.ONLINE),
    **dict.fromkeys(("NEARLINE", "TAPE"), Locality.NEARLINE),
    **dict.fromkeys(("UNAVAILABLE", "LOST"), Locality.OFFLINE),
}

UNFINISHED = -1  # the size of a file that is still being written at the site


class Entry(NamedTuple):
    """A file or folder as a door lists it; the path is below BASE_DIR_ON_GRID."""

    path: str
    is_folder: bool
    size: int
    mtime: int
    checksum: str = ""
    locality: Locality = Locality.UNKNOWN


class Row(NamedTuple):
    """A file of the catalog; the fields are the columns of grid_summary.csv."""

    path: str
    size: int
    mtime: int
    checksum: str
    locality: Locality
    downloaded: bool
    verified: str  # adler32, md5, ... or size; empty while not downloaded, unless --verify found it damaged
    request: str  # the staging requests that hold a pin
    site: str
    error: str  # why the last attempt failed
    computed: str = ""  # the checksum made of its bytes on their way, where the door names none

    def is_staging(self) -> bool:
        """Whether a request is to bring it to disk, which has not happened yet."""
        return bool(self.request) and self.locality is not Locality.ONLINE

    def is_damaged(self) -> bool:
        """Whether --verify has found that the local file is not any more what it was verified to be."""
        return bool(self.verified) and not self.downloaded


class Wishes(NamedTuple):
    """What one command line wants of its commands, and no other remembers."""

    ls_dir: str = ""
    stats: str = ""
    report: str = ""
    files_from: str = ""
    url: str = ""  # what is copied without being remembered
    verbose: bool = False
    nochecksum: bool = False
    overwrite: bool = False
    force: bool = False
    dry_run: bool = False
    build_list: bool = False
    start: bool = False
    sync: bool = False
    repair: bool = False
    put: str = ""
    metadata: str = ""  # a file or folder
    publish: bool = False
    new_version: bool = False
    bwlimit: str = ""
    sample: str = ""  # per cent
    to: str = ""  # the site that files are copied to, in place of OUTPUTDIR
    via_here: bool = False
    trust_target: bool = False
    fts: str = ""  # the address of an FTS3 server
    cancel: bool = False
    workers: str = ""  # an address, or local:N, slurm:N, htcondor:N


def is_below(path: str, folders: Collection[str]) -> bool:
    """Whether a path is one of these, or below one; the empty one is above all."""
    if not folders:
        return False
    end = len(path)
    while end > 0:
        if path[:end] in folders:
            return True
        end = path.rfind("/", 0, end)
    return "" in folders


class Scope(NamedTuple):
    """The rows that commands act on: a site, a folder or what a list names, and the patterns."""

    site: str
    folder: str
    include: tuple[re.Pattern[str], ...]
    exclude: tuple[re.Pattern[str], ...]
    names: frozenset[str] | None = None  # files, and folders with all that is below them
    missing: Mapping[str, GridError] | None = None  # of a portal: words that name no record, and why

    def holds(self, path: str) -> bool:
        """Whether a file of the site belongs to it."""
        if self.folder and path != self.folder and not path.startswith(self.folder + "/"):
            return False
        if self.names is not None and not is_below(path, self.names):
            return False
        if self.include and not any(pattern.search(path) for pattern in self.include):
            return False
        return not (self.exclude and any(pattern.search(path) for pattern in self.exclude))


class Staging(NamedTuple):
    """How far a staging request is with one file."""

    done: bool
    failure: str = ""  # the door's reason, when it gave up
    since: float = 0  # when the site has begun with it

    def is_waiting(self) -> bool:
        """Whether the request is still at work on it."""
        return not self.done and not self.failure


WAITING = Staging(False)
FORGOTTEN = Staging(True)  # the request is not known any more: what it has done, the locality shows


class Outcome(NamedTuple):
    """What became of one file: its new row, and in one word what was done."""

    row: Row
    done: str  # copied, sent, skipped, verified; waiting (on tape), stale (the site is asked again), held (others
    # fail), interrupted; failed, late (so far: its pool may be back soon)
    received: int = 0
    fault: GridError | None = None

    def is_put_back(self) -> bool:
        """Whether nothing was tried."""
        return self.done in ("stale", "held")

    def is_here(self) -> bool:
        """Whether the file is here, as it should be."""
        return self.done in ("copied", "sent", "skipped", "verified")


class Choice(NamedTuple):
    """A site that can be chosen."""

    name: str
    kind: str  # as SERVER or ENGINE calls it
    server: str
    at_hand: bool | None  # what it wants to be shown; None: only the site can tell
    text: str


class Finding(NamedTuple):
    """What became of one look at what a run needs."""

    name: str
    ok: bool | None  # None: it was not looked at
    text: str  # what there is, or what is wrong and what to do


class Tally:
    """The counts of a run that copies."""

    def __init__(self) -> None:
        self.copied = self.skipped = self.failed = self.waiting = 0
        self.began = time.monotonic()
        self.received = 0  # bytes
        self.checked = self.sized = 0  # files here that were verified by checksum, and by size alone
        self.again = 0  # those of the latter that were read again, and are as they came

    def count(self, outcome: Outcome) -> None:
        """Add one file."""
        self.received += outcome.received
        self.failed += outcome.done == "failed"
        self.waiting += outcome.done == "waiting"
        if not outcome.is_here():
            return
        self.copied += (is_new := outcome.done in ("copied", "sent"))
        self.skipped += not is_new
        is_again = outcome.done == "verified" and outcome.row.verified == "size" and bool(outcome.row.computed)
        self.again += is_again
        self.sized += outcome.row.verified == "size" and not is_again
        self.checked += outcome.row.verified != "size"


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items, so many at a time."""
    items = iter(items)
    while some := list(itertools.islice(items, size)):
        yield some


def check_tag(place: str, found: str, expected: str) -> None:
    """Refuse another version of a file than the expected one, as far as their tags are of one kind."""
    if found and expected and found != expected and (found[0] == '"') == (expected[0] == '"'):
        raise Changed(f"{place}: changed at the site while it was being copied", passing=True)


class Action(enum.Enum):
    """What to do with a file at --start."""

    SKIP = "it is here and unchanged"
    ADOPT = "a local file may be the same"
    COPY = "it is to be fetched"
    WAIT = "it is on tape"
    KEEP = "a different local file has this name; --overwrite replaces it"
    UNSURE = "the site does not say whether it is on disk; --check_status asks again, --force fetches it"
    LOST = "the site cannot deliver it: its pool is down, or it is lost; ask the site"


SAME_NAME = "on the disk of OUTPUTDIR its name is that of"
REPAIR = "--repair fetches it again"


def why_left(row: Row, action: Action, overwrite: bool) -> str:
    """The sentence for a file that is left alone."""
    if action is Action.KEEP and SAME_NAME in row.error:
        return row.error
    reason = action.value
    if action is Action.KEEP and overwrite:
        reason = "what has this name here is not a regular file; move it away"
    elif action is Action.KEEP and row.is_damaged():
        reason = f"is damaged, as --verify found; {REPAIR}"
    return f"{row.path}: {reason}"


def error_text(error: str) -> str:
    """A reason as it is noted, which must not swell the catalog."""
    return make_printable(error[:5000])[:500]


def with_error(row: Row, error: str) -> Row:
    """The row with the reason of its last failure."""
    return row._replace(error=error_text(error))


OWED = "ON_DONE has not run yet"


def is_owed(row: Row) -> bool:
    """Whether a file is here for which ON_DONE has not succeeded."""
    return row.downloaded and row.error.startswith("ON_DONE ")


LEFT = "has left the disk again; --bring_online asks for it again"


def place_row(row: Row, locality: Locality) -> Row:
    """The row with where its file is now; StoRM would call it a failed staging that one has left the disk again."""
    was_here = row.request and not row.downloaded and row.locality is Locality.ONLINE
    row = row._replace(locality=locality)
    return with_error(row, f"{row.path}: {LEFT}") if was_here and locality is Locality.NEARLINE else row


def sentence_about(row: Row, error: GridError) -> str:
    """The sentence of an error, with the file that it is about."""
    return str(error) if f"{row.path}:" in str(error) else f"{row.path}: {error}"


def failed_outcome(row: Row, error: GridError, more: str = "") -> Outcome:
    """A file that has failed, and why."""
    return Outcome(with_error(row, sentence_about(row, error) + more), "failed", fault=drop_frames(error))
