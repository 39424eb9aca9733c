"""The segments of a file that arrives, and the table of them behind the bytes of a part file."""

from __future__ import annotations

import os
import struct
from typing import NamedTuple

from gridsync_parts.checksums import Checksum
from gridsync_parts.values import Row

# A file that comes in one segment grows at its end. Behind the bytes of one that comes in several, or that has no
# checksum to tell in the end whether it is one file, stand rows, each with a segment's start, its stop and how much of
# it is here, and what the door calls this version of the file, its tag; then, at the very end, size and time of the
# remote file, the number of rows, the length of the tag and a magic word.
TABLE_ROW = struct.Struct("<QQQ")
TABLE_END = struct.Struct("<QQQQ8s")
MAGIC = b"gridsyn2"
OLD_END = struct.Struct("<QQQ8s")  # of a .part, as versions before 0.2 had it
OLD_MAGIC = b"gridsync"
SHORTEST = 16 << 20  # bytes of a segment, at least


class Segment:
    """A stretch of a file that arrives from its first byte to its last."""

    def __init__(self, start: int, stop: int, done: int, kind: str):
        self.start = start
        self.stop = stop
        self.done = done
        self.noted = done  # when the part file was last told of it
        self.checksum = Checksum(kind)

    def at(self) -> int:
        """Where the next byte goes."""
        return self.start + self.done

    def row(self) -> bytes:
        """Its row of the table."""
        return TABLE_ROW.pack(self.start, self.stop, self.done)


class Table(NamedTuple):
    """What a part file says of itself; without segments if it is of another file, or makes no sense."""

    segments: list[Segment]
    tag: str = ""
    is_old: bool = False  # as versions before 0.2 had it


def split(size: int, streams: int, kind: str) -> list[Segment]:
    """The segments of a file of which nothing is here, as many as are worth it."""
    count = max(1, min(streams, size // SHORTEST))
    borders = [size * number // count for number in range(count + 1)]
    return [Segment(start, stop, 0, kind) for start, stop in zip(borders, borders[1:])]


def pack_table(row: Row, segments: list[Segment], tag: str) -> bytes:
    """The table of a file."""
    text = tag.encode("latin-1", "replace")
    end = TABLE_END.pack(row.size, row.mtime, len(segments), len(text), MAGIC)
    return b"".join([*(segment.row() for segment in segments), text, end])


def read_table(fd: int, length: int, row: Row, kind: str) -> Table | None:
    """The table at the end of a part file, if there seems to be one."""
    end = os.pread(fd, TABLE_END.size, max(0, length - TABLE_END.size))
    if len(end) == TABLE_END.size and end.endswith(MAGIC):
        size, mtime, count, tag, _ = TABLE_END.unpack(end)
        is_old = False
    elif end.endswith(OLD_MAGIC) and len(end) >= OLD_END.size:
        (size, mtime, count, _), tag = OLD_END.unpack(end[-OLD_END.size :]), 0
        is_old = True
    else:
        return None
    length -= OLD_END.size if is_old else TABLE_END.size
    if (size, mtime) != (row.size, row.mtime) or length != size + count * TABLE_ROW.size + tag:
        return Table([])
    rows = os.pread(fd, count * TABLE_ROW.size, size)
    if len(rows) < count * TABLE_ROW.size:  # it is cut off just now
        return Table([])
    segments = [Segment(start, stop, done, kind) for start, stop, done in TABLE_ROW.iter_unpack(rows)]
    starts, stops = [segment.start for segment in segments], [segment.stop for segment in segments]
    if [0, *stops] != [*starts, size] or any(segment.at() > segment.stop for segment in segments):
        return Table([])
    return Table(segments, os.pread(fd, tag, length - tag).decode("latin-1"), is_old)


def is_old_table(end: bytes, row: Row) -> bool:
    """Whether the last bytes of a .part say that an earlier version has left it of this file."""
    return end.endswith(OLD_MAGIC) and OLD_END.unpack(end)[:2] == (row.size, row.mtime)


def whole_checksum(segments: list[Segment]) -> str:
    """The checksum of a whole file, of those that grew with the bytes of its segments."""
    whole = segments[0].checksum
    for segment in segments[1:]:
        whole.append(segment.checksum, segment.stop - segment.start)
    return whole.text()
