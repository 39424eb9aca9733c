"""What there is to deposit: local folders, or a file, of which each is to become a record of a repository."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from gridsync_parts.bundle import needs_bundle, path_of
from gridsync_parts.errors import BadName, FileError, GridError, UsageError
from gridsync_parts.metadata import Hook, fill, order_of, read_source
from gridsync_parts.outbox import Local, Outbox
from gridsync_parts.table import Site
from gridsync_parts.values import Scope

if TYPE_CHECKING:
    from gridsync_parts.metadata import Filled

RECORD = "record.json"  # a record's own metadata, as it came from a portal; sent along
ROUTES = "/(content|commit|container)(/|$)"  # what stands behind a name in addresses
NO_METADATA = (
    "--put to a repository needs metadata: put a record.json into the folder, or name the file, or a folder of such, "
    "with --metadata=PATH"
)


class Deposit(NamedTuple):
    """A folder, or a file, that is to become one record."""

    name: str
    folder: str  # or the file
    source: str  # the file that describes it
    files: list[Local]

    def is_zipped(self, site: Site) -> bool:
        """Whether its files go as one zip."""
        return needs_bundle(self.files, site.zip_above)

    def names(self, site: Site) -> list[str]:
        """The names of the files that its record gets."""
        names = [local.path for local in self.files]
        zipped = os.path.basename(path_of(self.name, self.folder))
        return [*filter(RECORD.__eq__, names), zipped] if self.is_zipped(site) else names

    def size(self) -> int:
        """How many bytes its files have."""
        return sum(local.size for local in self.files)


class Deposits:
    """All of them, and what can't be one."""

    def __init__(self, top: str, scope: Scope, growing: os.stat_result | None = None):
        self.top = top
        self.scope = scope  # whose patterns count
        self.hook: Hook | None = None  # makes their metadata
        self.growing = growing
        self.found: list[Deposit] = []
        self.faults: dict[str, GridError] = {}  # by the names of what can't be deposited
        self.filled: list[Filled] = []  # what is to be said of their metadata
        self.remarks: list[str] = []
        self.left_out = 0  # files that the patterns leave out

    def files(self) -> int:
        """How many files there are."""
        return sum(len(deposit.files) for deposit in self.found)

    def size(self) -> int:
        """How many bytes they have."""
        return sum(map(Deposit.size, self.found))

    def add(self, name: str, folder: str, source: str, above: str = "") -> None:
        """Take in what is to be one; a fault of one concerns no other."""
        outbox = Outbox(folder, self.scope, self.growing, above)
        try:
            outbox.collect()
        except UsageError as error:
            self.faults[name] = error
            return
        self.remarks += [f"{path}: is a link and is not sent" for path in outbox.links]
        self.remarks += [f"{path}: is one of gridsync's own files and is not sent" for path in outbox.own]
        self.left_out += outbox.left_out
        files = [local for some in outbox.folders.values() for local in some]
        files += self.record_of(folder, files)
        if outbox.faults:
            more = f" (and {len(outbox.faults) - 1} more)" if len(outbox.faults) > 1 else ""
            self.faults[name] = FileError(f"{outbox.faults[0]}{more}; without it nothing of {name} is sent")
        elif not files:
            self.faults[name] = FileError(f"{folder}: has no file that could be sent; a record needs one")
        else:
            self.found.append(Deposit(name, folder, source, sorted(files)))

    def record_of(self, folder: str, files: list[Local]) -> list[Local]:
        """The record's own metadata, which go along whatever the patterns say."""
        path = os.path.join(folder, RECORD)
        if any(local.path == RECORD for local in files) or os.path.islink(path) or not os.path.isfile(path):
            return []
        found = os.stat(path)
        return [Local(RECORD, path, found.st_size, int(found.st_mtime))]

    def raise_single(self) -> None:
        """Raise what is wrong if nothing else was named."""
        if not self.found and len(self.faults) == 1:
            raise next(iter(self.faults.values()))


def folders_in(top: str) -> Iterator[os.DirEntry[str]]:
    """The folders in a folder, in the order of their names; links are none."""
    try:
        with os.scandir(top) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise UsageError(f"--put {top}: {error.strerror}; name a file or folder of this machine") from error
    return (entry for entry in found if entry.is_dir(follow_symlinks=False))


def collect_all(deposits: Deposits, metadata: str) -> None:
    """Find all folders of a folder that have metadata: there, or in a file of their names in another folder."""
    bare: list[str] = []
    names: set[str] = set()
    for entry in folders_in(deposits.top):
        names.add(entry.name)
        named, own = os.path.join(metadata, f"{entry.name}.json"), os.path.join(entry.path, RECORD)
        source = next(filter(os.path.isfile, [named, own] if metadata else [own]), "")
        if source:
            deposits.add(entry.name, entry.path, source, f"{entry.name}/")
        elif metadata:
            sentence = f"{entry.path}: there is neither {named} nor {own}; nothing of it is sent"
            deposits.faults[entry.name] = FileError(sentence)
        else:
            bare.append(entry.name)
    if metadata:
        lonely = [name for name in sorted(os.listdir(metadata)) if name.endswith(".json") and name[:-5] not in names]
        told = "describes no folder of"
        deposits.remarks += [f"{os.path.join(metadata, name)}: {told} {deposits.top}" for name in lonely]
    if not deposits.found and not deposits.faults:
        raise UsageError(f"no folder in {deposits.top} has a {RECORD}; {NO_METADATA}" if names else NO_METADATA)
    deposits.remarks += [
        f"{os.path.join(deposits.top, name)}: has no {RECORD} and becomes no record; describe it with --metadata"
        for name in bare
    ]


def collect(top: str, metadata: str, scope: Scope, growing: os.stat_result | None = None) -> Deposits:
    """Find all that --put and --metadata name."""
    deposits = Deposits(top, scope, growing)
    own = os.path.join(top, RECORD)
    if metadata and not os.path.exists(metadata):
        raise UsageError(f"--metadata={metadata}: there is no such file or folder; name one")
    if os.path.isdir(metadata) and os.path.isdir(top):
        collect_all(deposits, metadata)
    elif os.path.isdir(metadata):
        raise UsageError(f"--metadata={metadata}: is a folder, but --put names no folder; name one file for each")
    elif metadata or os.path.isfile(own):
        whole = os.path.abspath(top)
        name = os.path.basename(whole) or "record"
        deposits.add(name if os.path.isdir(top) else os.path.splitext(name)[0], top, metadata or own)
    elif os.path.isdir(top):
        collect_all(deposits, "")
    else:
        Outbox(top, scope).collect()  # which says what is wrong with it
        raise UsageError(NO_METADATA)
    deposits.raise_single()
    return deposits


# What is said of them.


def fill_one(deposit: Deposit, hook: Hook | None, site: Site) -> Filled:
    """The metadata of a deposit as the repository is to have them."""
    return fill(hook, read_source(deposit.source), deposit.name, deposit.source, deposit.names(site))


def check_count(deposit: Deposit, site: Site, count: int) -> None:
    """Refuse more files than a record may have."""
    if site.max_files and count > site.max_files:
        raise UsageError(
            f"{deposit.folder}: {count} files are to be sent, but a record may have {site.max_files}; with ZIP_ABOVE = "
            f"{min(20, site.max_files - 1)} in the section of the site {site.name} they go as one zip"
        )


def check_names(deposit: Deposit, names: list[str]) -> None:
    """Refuse names that are part of addresses of other things at a repository."""
    if odd := next((name for name in names if re.search(ROUTES, name)), ""):
        raise BadName(
            f"{deposit.folder}/{odd}: a repository would take this name for something else; rename the file, or set "
            f"ZIP_ABOVE to less than {len(names)}, so that all go as one zip"
        )


def put_in_order(deposits: Deposits, site: Site) -> None:
    """Have those that can be described and sent in the order of the hook; the others are faults."""
    hook = deposits.hook
    ordered: list[tuple[Any, Deposit]] = []
    for deposit in deposits.found:
        try:
            source = read_source(deposit.source)
            filled = fill(hook, source, deposit.name, deposit.source, deposit.names(site))
            check_count(deposit, site, len(deposit.names(site)))
            check_names(deposit, deposit.names(site))
            deposits.filled.append(filled._replace(body={}))
            ordered.append((order_of(hook, source, deposit.name), deposit))
        except GridError as error:
            deposits.faults[deposit.name] = error
    ordered.sort(key=lambda one: one[0])
    deposits.found = [deposit for _, deposit in ordered]
    deposits.raise_single()
