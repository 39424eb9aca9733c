"""A site in memory: folders and files, and what goes wrong there, which a test orders beforehand."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Callable, Union

from gridsync_parts.doors import At, Body, Listing, Place, Sent, Stored, resized_error
from gridsync_parts.errors import Changed, Exists, NotFound
from gridsync_parts.kinds import Can
from gridsync_parts.values import Entry, Locality, Row, Staging, check_tag

SOON = 5  # seconds after which what should happen at once never will
Fault = Union[BaseException, Callable[[Any], Any]]  # raised instead of an answer, or what makes another one of it


def adler32(data: bytes) -> str:
    """The checksum of bytes, as the catalog writes it."""
    return f"adler32:{zlib.adler32(data):08x}"


@dataclass
class File:
    """A file of the site."""

    data: bytes
    mtime: int = 1000
    locality: Locality = Locality.ONLINE
    version: int = 1

    @property
    def tag(self) -> str:
        """What the site calls this version of it."""
        return f'"{self.version}"'


class Memory:
    """The site; every verb of it can be told to fail."""

    def __init__(self, files: Mapping[str, bytes] | None = None):
        self.files: dict[str, File] = {}
        self.folders = {""}
        self.links: dict[str, str] = {}  # folders, and which other ones they lead to
        self.faults: dict[tuple[str, str], list[Fault]] = {}  # of the next calls of a verb on a path
        self.asked: list[tuple[Any, ...]] = []  # each call of a verb
        self.requests: dict[str, dict[str, int]] = {}  # what staging requests are for, and for how many days
        self.open = 0  # bodies that nobody has let go
        self.piece = 1000  # bytes that come at once
        self.has_ranges = True
        self.knows_checksums = True
        self.sends_checksums = True  # with the bytes
        self.has_tags = True
        self.tells_times = True  # of what it has taken
        self.is_robot_held = False
        for path, data in (files or {}).items():
            self.put(path, data)

    # What there is.

    def put(self, path: str, data: bytes = b"", **more: Any) -> File:
        """A file, new or changed, and the folders that it is in."""
        version = self.files[path].version + 1 if path in self.files else 1
        self.files[path] = File(data, version=version, **more)
        self.make(path.rpartition("/")[0])
        return self.files[path]

    def make(self, folder: str) -> None:
        """A folder, and those that it is in."""
        while folder not in self.folders:
            self.folders.add(folder)
            folder = folder.rpartition("/")[0]

    def link(self, path: str, target: str) -> None:
        """A folder that is another one."""
        self.make(path)
        self.links[path] = target

    def row(self, path: str, checksum: str | None = None) -> Row:
        """A file as a catalog has it; with its checksum, unless it is given as another one or none."""
        file = self.files[path]
        known = adler32(file.data) if checksum is None else checksum
        return Row(path, len(file.data), file.mtime, known, file.locality, False, "", "", "LYON", "")

    # What goes wrong.

    def order(self, verb: str, path: str, *faults: Fault) -> None:
        """Let the next calls of a verb on a path go wrong, each in its way."""
        self.faults.setdefault((verb, path), []).extend(faults)

    def answer(self, verb: str, path: str, make: Callable[[], Any]) -> Any:
        """What the site answers, or what was ordered instead."""
        ordered = self.faults.get((verb, path))
        fault = ordered.pop(0) if ordered else None
        if isinstance(fault, BaseException):
            raise fault
        return fault(make()) if fault else make()

    def calls(self, verb: str) -> list[tuple[Any, ...]]:
        """What a verb was asked for."""
        return [asked[1:] for asked in self.asked if asked[0] == verb]

    def file(self, path: str) -> File:
        """A file that there has to be."""
        if path not in self.files:
            raise NotFound(f"{path}: there is no such file or folder")
        return self.files[path]

    # The verbs of every door.

    @property
    def place(self) -> Place:
        """It as a Place."""
        can = Can(("adler32",), tape=True, writes=True, renames=True)
        return Place(can, self, self, lambda: self, writer=MemoryWriter(self))

    def folder(self, path: str) -> Listing:
        self.asked.append(("folder", path))
        return self.answer("folder", path, lambda: self.listing(path))

    def listing(self, asked: str) -> Listing:
        """What is in a folder, which may be in itself; for a file, the file itself."""
        folder, found = asked, Listing()
        while way := next((link for link in self.links if f"{folder}/".startswith(f"{link}/")), ""):
            folder = (self.links[way] + folder[len(way) :]).strip("/")
        there = [path.rpartition("/") for path in sorted({*self.folders, *self.files} - {""})]
        if folder in self.files:
            found.append(self.entry(folder, asked))
        elif folder not in self.folders:
            raise NotFound(f"{asked}: there is no such file or folder")
        else:
            names = [name for above, _, name in there if above == folder]
            found += [self.entry(f"{folder}/{name}".strip("/"), f"{asked}/{name}".strip("/")) for name in names]
        return found

    def entry(self, path: str, name: str) -> Entry:
        """A file or folder as a listing shows it."""
        if path not in self.files:
            return Entry(name, True, 0, 1000)
        file = self.files[path]
        checksum = adler32(file.data) if self.knows_checksums else ""
        return Entry(name, False, len(file.data), file.mtime, checksum, file.locality)

    def read(self, at: At, start: int, stop: int) -> Body:
        self.asked.append(("read", at.path, start, stop))
        return self.answer("read", at.path, lambda: self.body(at, start, stop))

    def body(self, at: At, start: int, stop: int) -> Body:
        """The bytes of a file from a start up to a stop, or all of them if there are no ranges."""
        path, size, tag = at
        file = self.file(path)
        if len(file.data) != size:
            raise resized_error(path, len(file.data), size)
        own = file.tag if self.has_tags else ""
        check_tag(path, own, tag)
        start, stop = (start, stop) if self.has_ranges else (0, size)
        checksum = adler32(file.data) if self.knows_checksums and self.sends_checksums else ""
        pieces = (file.data[begin : min(begin + self.piece, stop)] for begin in range(start, stop, self.piece))
        self.open += 1
        return Body(pieces, start, checksum, own, self.let_go)

    def let_go(self) -> None:
        """A body is not read any more."""
        self.open -= 1

    def checksum(self, at: At) -> str:
        path = at.path
        self.asked.append(("checksum", path))
        known = adler32(self.file(path).data) if self.knows_checksums else ""
        return str(self.answer("checksum", path, lambda: known))

    # Its tape.

    def localities(self, paths: list[str], on_tape: Collection[str] = ()) -> dict[str, Locality]:
        self.asked.append(("localities", *paths))
        return {path: self.files[path].locality for path in paths if path in self.files}

    def stage(self, paths: list[str], days: int) -> str:
        self.asked.append(("stage", *paths))
        request = f"r{len(self.requests) + 1}"
        self.requests[request] = dict.fromkeys(paths, days)
        return request

    def stagings(self, request: str, paths: list[str]) -> dict[str, Staging]:
        self.asked.append(("stagings", request, *paths))
        if not self.is_robot_held:
            for path in {*self.requests[request]}.intersection(self.files):
                self.files[path].locality = Locality.ONLINE
        missing = Staging(False, "No such file or directory")
        known = {path: Staging(file.locality is Locality.ONLINE) for path, file in self.files.items()}
        return {path: known.get(path, missing) for path in paths}

    def release(self, request: str, paths: list[str]) -> None:
        self.asked.append(("release", request, *paths))
        for path in paths:
            self.requests[request].pop(path, None)


class MemoryWriter:
    """How it takes files."""

    def __init__(self, site: Memory):
        self.site = site

    def check_free(self, path: str) -> None:
        """Refuse a name that something has."""
        if path in self.site.files or path in self.site.folders:
            raise Exists(f"{path}: there is something of this name already")

    def folder(self, path: str) -> bool:
        self.site.asked.append(("mkdir", path))
        return bool(self.site.answer("mkdir", path, lambda: self.made(path)))

    def made(self, path: str) -> bool:
        """Whether a folder was not there yet; it is now."""
        if path in self.site.folders:
            return False
        self.check_free(path)
        if path.rpartition("/")[0] not in self.site.folders:
            raise NotFound(f"{path}: the folder for it is not there")
        self.site.folders.add(path)
        return True

    def write(self, path: str, sent: Sent) -> Stored:
        self.site.asked.append(("write", path, sent.size))
        return self.site.answer("write", path, lambda: self.taken(path, sent))  # type: ignore[no-any-return]

    def taken(self, path: str, sent: Sent) -> Stored:
        """A file as it is once it has come; what came before it was cut off stays."""
        if not sent.over:
            self.check_free(path)
        data = b""
        for chunk in sent.chunks():
            data += chunk
            self.site.put(path, data, mtime=sent.mtime or 1000)
        if len(data) != sent.size:
            raise Changed(f"{path}: its source has changed while it was being sent", passing=True)
        self.site.files.pop(path, None)
        self.site.put(path, data, mtime=sent.mtime or 1000)
        return Stored(-1, adler32(data) if self.site.sends_checksums else "")

    def stored(self, path: str) -> Stored:
        self.site.asked.append(("stored", path))
        return self.site.answer("stored", path, lambda: self.known(path))  # type: ignore[no-any-return]

    def known(self, path: str) -> Stored:
        """What there is of a file."""
        file = self.site.file(path)
        checksum = adler32(file.data) if self.site.knows_checksums else ""
        return Stored(len(file.data), checksum, file.mtime if self.site.tells_times else 0)

    def rename(self, path: str, target: str, replace: bool) -> None:
        self.site.asked.append(("rename", path, target, replace))
        self.site.answer("rename", path, lambda: self.moved(path, target, replace))

    def moved(self, path: str, target: str, replace: bool) -> None:
        """A file has another name."""
        self.site.file(path)
        if not replace or target in self.site.folders:
            self.check_free(target)
        self.site.files[target] = self.site.files.pop(path)

    def remove(self, path: str) -> bool:
        self.site.asked.append(("remove", path))
        return self.site.answer("remove", path, lambda: self.site.files.pop(path, None)) is not None


# Faults of reading, for `order("read", path, ...)`.


def break_off(after: int, error: BaseException | None = None) -> Fault:
    """The bytes end after so many, or fail there."""

    def cut(pieces: Iterator[bytes]) -> Iterator[bytes]:
        left = after
        for piece in pieces:
            yield piece[:left]
            left -= len(piece[:left])
            if not left:
                break
        if error:
            raise error

    return lambda body: body._replace(chunks=cut(body.chunks))


def go_on(surplus: bytes) -> Fault:
    """More bytes come than there are."""

    def more(pieces: Iterator[bytes]) -> Iterator[bytes]:
        yield from pieces
        yield surplus

    return lambda body: body._replace(chunks=more(body.chunks))


def call_after(count: int, change: Callable[[], object]) -> Fault:
    """Something happens once so many bytes have come."""

    def seen(pieces: Iterator[bytes]) -> Iterator[bytes]:
        came = 0
        for piece in pieces:
            if came >= count > came - len(piece):
                change()
            yield piece
            came += len(piece)

    return lambda body: body._replace(chunks=seen(body.chunks))


def fall_silent(after: int, is_silent: threading.Event) -> Fault:
    """Nothing comes any more after so many bytes, until somebody hangs up."""
    woken = threading.Event()

    def wait(pieces: Iterator[bytes]) -> Iterator[bytes]:
        left = after
        for piece in pieces:
            if left <= 0:
                is_silent.set()
                assert woken.wait(SOON), "nobody hangs up"
                raise Changed("hung up", passing=True)
            yield piece
            left -= len(piece)

    return lambda body: body._replace(chunks=wait(body.chunks), hang_up=woken.set)
