"""A deposit on its way: what is known of it, and whether what the repository has is what was meant."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any, Callable, NamedTuple, Optional

from gridsync_parts.deposits import Deposit
from gridsync_parts.doors import Deposited, Draft, Listing, Repository
from gridsync_parts.errors import FileError, NotFound
from gridsync_parts.intents import PUBLISHED
from gridsync_parts.outbox import Local
from gridsync_parts.pool import Stop
from gridsync_parts.source import Source
from gridsync_parts.uploads import Upload
from gridsync_parts.values import Entry, Locality
from gridsync_parts.words import names_text

DISK = "zips"  # the lane of threads that read local files, and build zips of them
CALLS = "folders"  # that of calls to the site


class Ask(NamedTuple):
    """A step: a call that a thread makes."""

    lane: str
    verb: Callable[..., Any]
    arguments: tuple[Any, ...] = ()


Asking = Generator[Optional[Ask], Any, Any]  # None: its files are on their way


class Meant(NamedTuple):
    """What a record is to be, besides files."""

    body: dict[str, Any]
    sign: str  # a checksum of it, and of what goes into a zip
    zip: str = ""  # where that is built; empty if there is none


class Load:
    """The files of a deposit on their way."""

    def __init__(self) -> None:
        self.waiting: set[str] = set()  # paths at the site of files that are still to come,
        self.sums: dict[str, str] = {}  # checksums of those that are there,
        self.lost: list[str] = []  # and paths of those that were given up
        self.moved = 0  # bytes
        self.is_sending = False  # the next step waits for them
        self.has_joined = False  # they count among those that are sent


class Case:
    """A deposit on its way."""

    def __init__(self, deposit: Deposit):
        self.deposit = deposit
        self.asking: Asking | None = None
        self.row: Upload | None = None  # what is noted of it
        self.meant = Meant({}, "")
        self.draft = Draft("")
        self.files: dict[str, Local] = {}  # by their names in the record
        self.load = Load()
        self.state = ""  # in the end: draft, published, skipped or failed
        self.error = ""
        self.began = time.time()

    def size(self) -> int:
        """How many bytes the files of its record have."""
        return sum(local.size for local in self.files.values())

    def target(self, name: str) -> str:
        """The path of a file at the site."""
        return f"{self.draft.id}/{name}"


def differences(case: Case, there: dict[str, Deposited], known: dict[str, str], stop: Stop) -> list[str]:
    """The names of files that differ between a deposit and a record."""
    found = [name for name in {*case.files, *there} if name not in there or name not in case.files]
    for name in case.files.keys() & there.keys():
        local, other = case.files[name], there[name]
        if local.size == other.size and not other.checksum and name in known:
            case.load.sums[name] = known[name]  # the site tells none, as of files in parts, and this one was sent
            continue
        if local.size == other.size and other.checksum:
            own = known.get(name) or local.checksum
            if not own:
                with Source(local.file) as source:
                    own = source.checksum("md5", lambda here, came: None, stop)
            if own == other.checksum:
                case.load.sums[name] = own
                continue
        found.append(name)
    return found


def check_draft(case: Case, draft: Draft) -> None:
    """Refuse a draft whose files are not just those that were sent."""
    where = f"the draft {draft.id}"
    if others := [name for name in draft.files if name not in case.files]:
        raise FileError(
            f"{where} has files that are none of {case.deposit.folder}: {names_text(sorted(others))}; "
            "nothing is published, remove them there and run again"
        )
    for name in case.files:
        found, own = draft.files.get(name), case.load.sums.get(case.target(name), "")
        if found is None or not found.is_whole:
            raise FileError(f"{where} does not have {name} any more; nothing is published, run again to send it")
        if own.startswith("md5:") and found.checksum.startswith("md5:") and found.checksum != own:
            raise FileError(f"{where} has {found.checksum} of {name}, not {own}; nothing is published, run again")


def check_free(deposit: Deposit, known: Upload | None, base: str) -> None:
    """Refuse to make a version of some record out of a folder that has a draft already."""
    if known and known.verified != PUBLISHED and known.mtime:
        raise FileError(
            f"{deposit.name}: has the draft {known.record or known.target}, which is no version of {base}; publish "
            "it without --input_dir, or delete it there and remove its row from grid_uploads.csv"
        )


def base_of(repository: Repository, deposit: Deposit, known: Upload | None, base: str) -> Draft:
    """The published record that a user names for a folder, of which this is known."""
    check_free(deposit, known, base)
    try:
        found = repository.look(base)
    except NotFound:
        raise FileError(f"{deposit.name}: there is no record {base} at the site; correct --input_dir") from None
    if not found.is_published:
        raise FileError(f"{deposit.name}: {base} is a draft and has no versions; name a published record")
    return found


def listing_of(case: Case) -> Listing:
    """What is whole in a draft, as a listing of a folder."""
    found = Listing()
    for name, one in case.draft.files.items():
        if one.is_whole:
            found.append(Entry(case.target(name), False, one.size, 0, one.checksum, Locality.ONLINE))
    return found
