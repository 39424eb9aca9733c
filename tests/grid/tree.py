"""Files and folders of the test grid: names, sizes, times, places; the data is computed, not stored.

All content is one endless sequence, a block of pseudo-random bytes repeated; a file is a window of it that starts
at a place given by its path. So any range of a huge file costs nothing and its adler32 follows from running sums.
"""

from __future__ import annotations

import base64
import hashlib
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Union

# A prime: data put at a wrong offset (a multiple of some buffer size) is then never right by chance.
PERIOD = 65537
BLOCK = hashlib.shake_128(b"AGATA").digest(PERIOD)
WINDOW = memoryview(BLOCK * 17)  # so that a view of CHUNK bytes can start anywhere in the first block
CHUNK = 1 << 20
ADLER = 65521
DEFAULT_TIME = 1433851200  # 2015-06-09 12:00 UTC
DISK, TAPE, BOTH = "ONLINE", "NEARLINE", "ONLINE_AND_NEARLINE"


@dataclass
class File:
    """A file; `locality` is what dCache calls FileLocality and may be set to any of its words."""

    name: str
    size: int
    mtime: float
    locality: str
    checksums: tuple[str, ...]  # the kinds that the door has stored
    start: int  # where in the endless sequence its content begins


@dataclass
class Folder:
    """A folder; children stand in the order of their arrival."""

    name: str
    mtime: float
    children: dict[str, Node] = field(default_factory=dict)


Node = Union[File, Folder]


class Tree:
    """What the grid's doors serve; paths are relative to their root, slashes around them do not matter."""

    def __init__(self) -> None:
        self.root = Folder("", DEFAULT_TIME)

    def add(
        self,
        path: str,
        size: int,
        mtime: float = DEFAULT_TIME,
        tape: bool = False,
        checksums: tuple[str, ...] = ("adler32",),
    ) -> File:
        """Put a file, on tape or on disk, and the folders above it."""
        parent, _, name = path.strip("/").rpartition("/")
        start = zlib.crc32(path.strip("/").encode()) % PERIOD
        file = File(name, size, mtime, TAPE if tape else DISK, checksums, start)
        self.folder(parent).children[name] = file
        return file

    def folder(self, path: str, mtime: float | None = None) -> Folder:
        """The folder of this path, made if there is none."""
        node: Node = self.root
        for name in _names(path):
            if not isinstance(node, Folder):
                raise NotADirectoryError(path)
            node = node.children.get(name) or node.children.setdefault(name, Folder(name, DEFAULT_TIME))
        if not isinstance(node, Folder):
            raise NotADirectoryError(path)
        if mtime is not None:
            node.mtime = mtime
        return node

    def remove(self, path: str) -> None:
        """Take away a file, or a folder with all below it."""
        parent, _, name = path.strip("/").rpartition("/")
        del self.folder(parent).children[name]

    def find(self, path: str) -> Node | None:
        node: Node | None = self.root
        for name in _names(path):
            node = node.children.get(name) if isinstance(node, Folder) else None
        return node

    def file(self, path: str) -> File:
        node = self.find(path)
        if not isinstance(node, File):
            raise FileNotFoundError(path)
        return node

    def files(self, below: str = "") -> Iterator[str]:
        """The paths of all files below a folder."""
        for name, node in self.folder(below).children.items():
            path = f"{below.strip('/')}/{name}".lstrip("/")
            if isinstance(node, File):
                yield path
            else:
                yield from self.files(path)

    def read(self, path: str, start: int = 0, stop: int | None = None) -> Iterator[memoryview]:
        file = self.file(path)
        return content(file, start, file.size if stop is None else stop)

    def expected(self, path: str) -> bytes:
        """The whole content of a file, for comparing."""
        return b"".join(self.read(path))

    def write(self, target: Path, below: str, sparse_above: int) -> None:
        """Write a subtree as real files with their times; files above a size are holes of that size."""
        folder = self.folder(below)
        here = target / below.strip("/")
        here.mkdir(parents=True, exist_ok=True)
        for name, node in folder.children.items():
            if isinstance(node, Folder):
                self.write(target, f"{below}/{name}", sparse_above)
                continue
            with open(here / name, "wb") as out:
                if node.size > sparse_above:
                    out.truncate(node.size)
                else:
                    out.writelines(content(node, 0, node.size))
            os.utime(here / name, (node.mtime, node.mtime))
        os.utime(here, (folder.mtime, folder.mtime))


def content(file: File, start: int, stop: int) -> Iterator[memoryview]:
    """The bytes [start, stop) of a file in large pieces."""
    while start < stop:
        at = (file.start + start) % PERIOD
        piece = WINDOW[at : at + min(CHUNK, stop - start)]
        start += len(piece)
        yield piece


def checksum(file: File, kind: str) -> str:
    """A checksum as dCache writes it: adler32 in 8 hex digits, md5 and sha-256 in base64."""
    if kind == "adler32":
        return f"{adler32(file.start, file.size):08x}"
    return _hashed(kind.replace("-", ""), file.start, file.size)


def adler32(start: int, size: int) -> int:
    """adler32 of a window of the endless sequence, from two running sums at its ends."""
    sum_to_start, moment_to_start = _sums(start)
    sum_to_stop, moment_to_stop = _sums(start + size)
    total = sum_to_stop - sum_to_start
    # Each byte x at place i counts (stop - i) times in adler's second sum.
    weighted = (start + size) * total - (moment_to_stop - moment_to_start)
    return (size + weighted) % ADLER << 16 | (1 + total) % ADLER


SUMS = [0, *accumulate(BLOCK)]
MOMENTS = [0, *accumulate(i * x for i, x in enumerate(BLOCK))]


def _sums(n: int) -> tuple[int, int]:
    """The sum of the first n bytes x of the sequence and the sum of their i * x."""
    rounds, rest = divmod(n, PERIOD)
    moment = rounds * MOMENTS[-1] + PERIOD * SUMS[-1] * (rounds * (rounds - 1) // 2)
    return rounds * SUMS[-1] + SUMS[rest], moment + MOMENTS[rest] + rounds * PERIOD * SUMS[rest]


@cache
def _hashed(kind: str, start: int, size: int) -> str:
    digest = hashlib.new(kind)
    for piece in content(File("", size, 0, DISK, (), start), 0, size):
        digest.update(piece)
    return base64.b64encode(digest.digest()).decode()


def _names(path: str) -> list[str]:
    return [name for name in path.split("/") if name]
