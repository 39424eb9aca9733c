"""Pure decisions from rows, local facts and options: without disk, network or clock."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Callable, NamedTuple

from gridsync_parts.checksums import checksum_kind
from gridsync_parts.disk import COARSE, LocalFile
from gridsync_parts.doors import MAX_PATHS
from gridsync_parts.values import (
    LEFT,
    Action,
    Entry,
    Locality,
    Row,
    Scope,
    Staging,
    batches,
    is_below,
    place_row,
    with_error,
)

# What to do with one that is not on disk at the site.
ELSEWHERE = {Locality.OFFLINE: Action.LOST, Locality.NEARLINE: Action.WAIT, Locality.UNKNOWN: Action.UNSURE}


def copy_action(row: Row, here: LocalFile | None, overwrite: bool, force: bool) -> Action:
    """What to do with one file."""
    if here and not (here.is_file and overwrite):
        if not here.is_file or here.size != row.size:
            return Action.KEEP
        return Action.SKIP if row.downloaded and abs(here.mtime - row.mtime) <= COARSE else Action.ADOPT
    action = ELSEWHERE.get(row.locality, Action.COPY) if row.size else Action.COPY
    return Action.COPY if force and action is not Action.LOST else action


def plan_copies(
    rows: Iterable[Row], here: Callable[[Row], LocalFile | None], overwrite: bool, force: bool
) -> dict[Action, list[Row]]:
    """What to do with each file."""
    plan: dict[Action, list[Row]] = {action: [] for action in Action}
    for row in rows:
        plan[copy_action(row, here(row), overwrite, force)].append(row)
    return plan


def new_row(entry: Entry, site: str) -> Row:
    """The row of a file that is listed for the first time."""
    return Row(entry.path, entry.size, entry.mtime, entry.checksum, entry.locality, False, "", "", site, "")


NOT_BROUGHT = "could not be brought online"
NOT_ASKED = "cannot be requested"


def relist_row(row: Row, entry: Entry) -> Row:
    """The row of a file that is listed again."""
    if (row.size, row.mtime, row.locality) == (entry.size, entry.mtime, entry.locality) and (
        row.checksum == entry.checksum or not entry.checksum
    ):
        return row  # nothing is new, as of most files each hour
    if row.checksum and checksum_kind(row.checksum, True) == checksum_kind(entry.checksum, True):
        is_same = (row.size, row.checksum) == (entry.size, entry.checksum)
    else:
        is_same = (row.size, row.mtime) == (entry.size, entry.mtime)
    if not is_same:
        return new_row(entry, row.site)._replace(request=row.request)
    return place_row(row, entry.locality)._replace(mtime=entry.mtime, checksum=entry.checksum or row.checksum)


def is_same_file(row: Row, other: Row) -> bool:
    """Whether two rows of one path are of the same version of the file at the site, as far as they tell."""
    kind, others = row.checksum.partition(":")[0], other.checksum.partition(":")[0]
    is_told = kind == others and row.checksum != other.checksum
    return (row.size, row.mtime) == (other.size, other.mtime) and not is_told


def is_across(site: str) -> bool:
    """Whether rows are of files that are copied from site to site."""
    return ">" in site


def plan_catalog(rows: Iterable[Row], entries: Iterable[Entry], scope: Scope, unread: Iterable[str]) -> list[Row]:
    """The catalog after a listing: what is known of unchanged files stays, and so does all that is here or pinned.

    The rows of folders that could not be read stay too, elsewhere those of damaged files, and of files for this machine
    when a list is made of those for another site, or the other way round.
    """
    listed = {entry.path: entry for entry in entries if scope.holds(entry.path)}
    unread = set(unread)
    kept = []
    for row in rows:
        is_of_site, is_of_others = row.site == scope.site, is_across(row.site) != is_across(scope.site)
        entry = listed.pop(row.path, None) if is_of_site else None
        if entry:
            kept.append(relist_row(row, entry))
        elif row.downloaded or row.request or is_of_others or (is_of_site and is_below(row.path, unread)):
            kept.append(row)
        elif row.is_damaged():
            kept += [] if is_of_site and scope.holds(row.path) else [row]
    return kept + [new_row(entry, scope.site) for entry in listed.values()]


def plan_vanished(rows: Iterable[Row], entries: Iterable[Entry], unread: Iterable[str]) -> list[Row]:
    """The files that are pinned, still to come, and not at the site any more."""
    listed = {entry.path for entry in entries}
    unread = set(unread)
    pinned = (row for row in rows if row.request and not row.downloaded)
    return [row for row in pinned if row.path not in listed and not is_below(row.path, unread)]


def plan_wave(rows: Iterable[Row], room: int) -> list[Row]:
    """Those of the files, from the first on, that the disk can hold together."""
    wave = []
    for row in rows:
        if row.size <= room:
            wave.append(row)
            room -= row.size
    return wave


def plan_staging(rows: Iterable[Row], by_record: bool = False) -> list[Row]:
    """The files to ask for: all still to be copied that no request holds, so that none leaves the disk again.

    Where files are asked for by record nothing keeps them there, so none that is on disk is asked for.
    """
    wanted = (row for row in rows if not row.downloaded and not row.request and row.size)
    return [row for row in wanted if not (by_record and row.locality is Locality.ONLINE)]


def subject_of(row: Row, by_record: bool) -> str:
    """What a request that fails is about: a file, or the record that it is of."""
    return row.path.partition("/")[0] if by_record else row.path


def plan_requests(rows: Iterable[Row], by_record: bool) -> list[list[Row]]:
    """The files of each staging request: all of one record, or else as many as go into one."""
    if not by_record:
        return list(batches(rows, MAX_PATHS))
    records: dict[str, list[Row]] = {}
    for row in rows:
        records.setdefault(subject_of(row, by_record), []).append(row)
    return list(records.values())


def plan_staged(row: Row, staging: Staging, by_record: bool = False) -> Row:
    """A row, with its present locality, after its staging has ended; without a request it is to be asked for anew."""
    if row.locality is Locality.ONLINE:
        return row._replace(error="")
    if row.locality is not Locality.NEARLINE and not staging.failure:
        return row  # out of reach for a while, and pinned all the same
    subject = subject_of(row, by_record)
    error = row.error if row.error.endswith(LEFT) else f"{subject}: {NOT_BROUGHT}: {staging.failure}"
    return with_error(row._replace(request=""), error if staging.failure else "")


def is_refused(row: Row) -> bool:
    """Whether the site would not or could not bring a file to disk, or keep it there, and nothing is under way."""
    is_left = row.locality is Locality.NEARLINE and not (row.request or row.downloaded)
    return is_left and any(reason in row.error for reason in (NOT_BROUGHT, NOT_ASKED, LEFT))


def is_tape_slower(tape: int, staged: int, seconds: float, left: int, rate: float) -> bool:
    """Whether the tape decides when all is here: at its speed so far it takes longer than the line, or it has none yet.

    So many bytes are still on tape, so many it has brought in so many seconds, so many are left to copy at that rate.
    """
    return tape > 0 and (not staged or rate < 1 or tape * seconds / staged > left / rate)


def plan_calls(rows: Iterable[Row]) -> list[tuple[str, list[Row]]]:
    """Which pins to give back: for each request, the files of one call."""
    held: dict[str, list[Row]] = {}
    for row in rows:
        for request in row.request.split():
            held.setdefault(request, []).append(row)
    return [(request, some) for request, pinned in held.items() for some in batches(pinned, MAX_PATHS)]


def without_request(row: Row, request: str) -> Row:
    """The row once a request no longer holds it."""
    return row._replace(request=" ".join(held for held in row.request.split() if held != request))


class Totals(NamedTuple):
    """The counts of the [catalog] lines."""

    rows: int
    downloaded: int
    size: int
    downloaded_size: int
    localities: dict[Locality, int]  # of what remains


def totals_of(rows: list[Row]) -> Totals:
    """The counts of some rows."""
    localities = dict.fromkeys(Locality, 0)
    for row in rows:
        if not row.downloaded:
            localities[row.locality] += 1
    here = [row.size for row in rows if row.downloaded]
    return Totals(len(rows), len(here), sum(row.size for row in rows), sum(here), localities)
