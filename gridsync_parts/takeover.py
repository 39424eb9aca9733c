"""A part file that somebody may still write to: what of it can be had for another file.

Nobody can be kept from writing to a file that he has open; locks prove nothing on disks that several machines share.
So its bytes go into another file. What its table says is read first, as it speaks of no byte that was not there before
it; and once more in the end, as whoever writes may have begun anew meanwhile.
"""

from __future__ import annotations

import contextlib
import errno
import os
from typing import Callable, NamedTuple

from gridsync_parts.disk import CHUNK, NO_SYNC, sync_file
from gridsync_parts.segments import Segment, pack_table, read_table
from gridsync_parts.values import Row

LOOKS = 5  # at a table, until it says twice the same
STRETCH = 64 << 20  # bytes that the disk is asked to copy at once
NO_COPIES = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF, errno.EPERM)
DATA_SYNC: Callable[[int], None] = getattr(os, "fdatasync", sync_file)


class Held(NamedTuple):
    """What a part file says is here."""

    rows: tuple[tuple[int, int, int], ...]  # of each segment its start, its stop and how much of it is here
    tag: str
    has_table: bool

    def has_grown_from(self, other: Held) -> bool:
        """Whether nothing of it has gone since another look."""
        borders = [row[:2] for row in self.rows] == [row[:2] for row in other.rows]
        is_less = any(now[2] < then[2] for now, then in zip(self.rows, other.rows))
        return borders and not is_less and other.tag in ("", self.tag)


def look(fd: int, row: Row) -> Held | None:
    """What a part file says just now; None if that makes no sense."""
    length = os.fstat(fd).st_size
    table = read_table(fd, length, row, "size")
    if table is None and 0 < length <= row.size:
        return Held(((0, row.size, length),), "", has_table=False)
    if not table or not table.segments:
        return None
    rows = tuple((segment.start, segment.stop, segment.done) for segment in table.segments)
    return Held(rows, table.tag, has_table=True)


def held_by(fd: int, row: Row) -> Held | None:
    """What it says; a table that is being written just now is looked at again."""
    for _ in range(LOOKS):
        found = look(fd, row)
        if not (found and found.has_table) or found == look(fd, row):
            return found
    return None


def copy_bytes(old: int, new: int, start: int, stop: int) -> None:
    """Copy a stretch, by the disk itself where it can; EOFError if it is not there any more."""
    at = start
    call: Callable[..., int] | None = getattr(os, "copy_file_range", None)
    while at < stop:
        if call:
            try:
                count = call(old, new, min(STRETCH, stop - at), at, at)
            except OSError as error:
                if error.errno not in NO_COPIES:
                    raise
                call = None
                continue
        else:
            data = os.pread(old, min(CHUNK, stop - at), at)
            count = os.pwrite(new, data, at) if data else 0
        if not count:
            raise EOFError
        at += count


def take_over(old: int, new: int, row: Row) -> None:
    """Copy into an empty file what a part file has; nothing, if it is not certain, or the disk has no room for it."""
    try:
        first = held_by(old, row)
        if first is None:
            return
        for start, _, done in first.rows:
            copy_bytes(old, new, start, start + done)
        last = held_by(old, row)
        if last is None or not last.has_grown_from(first):
            raise EOFError
        if first.has_table:
            try:
                DATA_SYNC(new)
            except OSError as error:
                if error.errno not in NO_SYNC:
                    raise
            segments = [Segment(*found, "size") for found in first.rows]
            os.pwrite(new, pack_table(row, segments, first.tag), row.size)
    except (OSError, EOFError):
        with contextlib.suppress(OSError):
            os.ftruncate(new, 0)
