"""Part files, without what copies into them."""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Iterator
from pathlib import Path

from gridsync_parts.home import Home
from gridsync_parts.partfile import PartFile
from gridsync_parts.values import Locality, Row


def row_of(size: int, mtime: int = 1000, path: str = "a") -> Row:
    return Row(path, size, mtime, "adler32:00000001", Locality.ONLINE, False, "", "", "LYON", "")


def part_file(final: Path, row: Row, kind: str = "adler32") -> PartFile:
    """The part file of a file in the folder of the row's path."""
    return PartFile(Home(str(final.parent)), row._replace(path=final.name), kind)


def finish(part: PartFile, overwrite: bool = False) -> None:
    """Give a part file its name, as Copier.settle does with several."""
    part.arrive()
    part.is_arrived = False  # so that it is closed here
    part.file.folder = part.file.home.opened(part.file.place)
    part.synchronise(os.fsync)
    part.file.name_it(part.file.folder, overwrite)
    part.segments = []


@contextlib.contextmanager
def part_of(final, size: int, kind: str = "adler32", streams: int = 1) -> Iterator[PartFile]:
    with part_file(final, row_of(size), kind) as part:
        part.resume(streams)
        yield part


def list_open(folder: Path) -> list[str]:
    """What this process has open in a folder and below it, just now."""
    links = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
    names = [os.readlink(link) for link in links if os.path.lexists(link)]
    return sorted(name for name in names if name.startswith(str(folder)))


def open_files(folder: Path) -> list[str]:
    """The same when all has come to its end."""
    if list_open(folder):
        gc.collect()  # what has failed holds its frames, and they hold files
    return list_open(folder)
