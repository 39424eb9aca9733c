"""A file on its way from site to site through this machine; nothing of it is kept.

Who sends it reads it, a bite at a time: that is all that there is of it here, besides what the system holds for both
lines, so that neither waits for the other. (A thread of its own that reads takes more time than it wins.) When the
line breaks that it comes by, it is read on from there, and the upload does not notice.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator

from gridsync_parts.checksums import Checksum, checksum_kind
from gridsync_parts.doors import At, Body, Place, Reader, read_twice, resized_error
from gridsync_parts.errors import Changed, FileError, GridError, Mismatch
from gridsync_parts.pool import Stop
from gridsync_parts.source import refuse_stopped
from gridsync_parts.values import UNFINISHED, Row, Seen

PAUSES = (0.0, 1.0, 2.0, 4.0, 8.0)  # seconds before it is read on from where its line broke; who takes it waits so long


class Stream:
    """The bytes of a file at a site, from the first to the last, however often its line breaks."""

    def __init__(self, reader: Reader, path: str, size: int):
        self.reader = reader
        self.path = path
        self.size = size
        self.here = 0  # bytes that have come
        self.tag = ""  # of this version of it
        self.said = ""  # its checksum, as the door has sent it along
        self.is_over = threading.Event()  # nobody wants more of it
        self.body: Body | None = None

    def open(self) -> None:
        """Ask for what is still to come."""
        at = At(self.path, self.size, self.tag)
        body = read_twice(self.reader, at, self.here, self.size, self.is_over.wait)
        self.tag = body.tag or self.tag
        self.said = body.checksum or self.said
        self.body = body

    def rest(self) -> Iterator[bytes | memoryview]:
        """What comes of it before it ends, or breaks off; a door without ranges begins anew."""
        if self.body is None:
            self.open()
        body = self.body
        assert body
        known = self.here - body.start
        try:
            for data in body.chunks:
                if self.is_over.is_set():
                    raise FileError("interrupted")
                piece = data[known:][: self.size - self.here] if known else data[: self.size - self.here]
                known = max(0, known - len(data))
                self.here += len(piece)
                if piece:
                    yield piece
                if self.here == self.size:
                    return
        finally:
            self.body = None
            body.close()
        raise FileError(f"{self.path}: {self.here} of {self.size} bytes arrived", passing=True)

    def pieces(self) -> Iterator[bytes | memoryview]:
        """All of them."""
        failures = 0
        while self.here < self.size:
            before = self.here
            try:
                yield from self.rest()
            except GridError as error:
                failures = 1 if self.here > before else failures + 1
                lasts = not error.passing or isinstance(error, Changed) or failures > len(PAUSES)
                if lasts or not self.here or self.is_over.wait(max(error.pause, PAUSES[failures - 1])):
                    raise

    def hang_up(self) -> None:
        """Have a thread end that waits for more."""
        self.is_over.set()
        if body := self.body:
            body.hang_up()

    def close(self) -> None:
        """Let go of what was asked for."""
        if body := self.body:
            self.body = None
            body.close()


class Pipe:
    """A stream that is read while what has come of it is sent."""

    def __init__(self, stream: Stream, kinds: Collection[str], expected: str, stop: Stop):
        self.stream = stream
        self.expected = expected  # the checksum of the site, if it names one
        self.stop = stop
        self.running = {kind: Checksum(kind) for kind in kinds}
        self.sums: dict[str, str] = {}  # of all of it, once it has come

    def right(self) -> Iterator[bytes | memoryview]:
        """What is read, the last of it once all of it is known to be what the site says."""
        for piece in self.stream.pieces():
            for running in self.running.values():
                running.update(piece)
            if self.stream.here == self.stream.size:  # else the door that takes it would take what is wrong for whole
                self.finish()
            yield piece

    def finish(self) -> None:
        """Refuse what is not as the site says that it is."""
        self.sums = {kind: running.text() for kind, running in self.running.items()}
        received = self.sums.get(checksum_kind(self.expected, True), self.expected)
        if received != self.expected:
            raise Mismatch(
                f"{self.stream.path}: the door says {self.expected}, but what arrived has {received}; "
                "if this continues ask the site",
                passing=True,
            )

    def chunks(self, seen: Seen) -> Iterator[bytes | memoryview]:
        """Its bytes, as they are to be sent; each piece is used before the next."""
        self.stop.bodies.add(self)
        size, gone = self.stream.size, 0
        if not size:
            self.finish()
        for piece in self.right():
            refuse_stopped(self.stop)
            yield piece
            gone += len(piece)
            seen(gone, gone)

    def hang_up(self) -> None:
        """Wake a thread that waits for bytes."""
        self.stream.hang_up()

    def close(self) -> None:
        """Have nothing left of it."""
        self.stop.bodies.discard(self)
        self.stream.close()


class FarFile:
    """A file at another site, of which the catalog tells, and its door if it must."""

    def __init__(self, place: Place, row: Row):
        self.place = place
        self.row = row
        self.path = row.path
        self.size = row.size
        self.mtime = row.mtime
        self.named = row.checksum  # its checksum as its site says it,
        self.is_asked = False  # as far as it was asked
        # What was made of its bytes once counts as long as its size and time are the same.
        self.sums = {checksum_kind(known, True): known for known in (row.computed, row.checksum) if known}

    def __enter__(self) -> FarFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of what is open."""

    def check(self) -> None:
        """Nothing is asked before it is needed."""

    def ask(self) -> None:
        """Have its site name a checksum, once."""
        if self.is_asked:
            return
        self.is_asked = True
        if named := self.place.reader.checksum(At(self.path, self.size)):
            self.named = self.named or named
            self.sums.setdefault(checksum_kind(named, True), named)

    def checksum(self, kind: str, seen: Seen, stop: Stop) -> str:
        """Its checksum of some kind; empty if its site knows none of it."""
        if kind not in self.sums:
            self.ask()
        return self.sums.get(kind, "")

    def chunks(self, kind: str, seen: Seen, stop: Stop) -> Iterator[bytes | memoryview]:
        """Doors move its bytes by themselves."""
        raise NotImplementedError

    def check_listed(self) -> None:
        """Refuse a file that is another one than the catalog says, as its site lists it now."""
        for entry in self.place.lister.folder(self.path):
            if entry.path != self.path or entry.is_folder:
                continue
            if entry.size not in (self.size, UNFINISHED):
                raise resized_error(self.path, entry.size, self.size)
            kind = checksum_kind(entry.checksum, True)
            if entry.checksum and checksum_kind(self.row.checksum, True) == kind and entry.checksum != self.named:
                said = f"has {entry.checksum} now, but {self.row.checksum} in the catalog; run --build_list again"
                raise FileError(f"{self.path}: {said}")


class Passing(FarFile):
    """One that goes through this machine."""

    def __init__(self, place: Place, row: Row, kinds: set[str], stop: Stop):
        super().__init__(place, row)
        self.kinds = kinds  # of checksums that sites name
        self.stop = stop
        self.stream: Stream | None = None  # that nobody has drained yet
        self.pipe: Pipe | None = None

    def begin(self) -> None:
        """Open it, and know its checksum, before anything is there: it may be on tape, or gone."""
        self.close()
        if not self.size:
            return
        self.stream = Stream(self.place.reader, self.path, self.size)
        self.stream.open()
        self.named = self.named or self.stream.said
        if self.named:
            self.sums.setdefault(checksum_kind(self.named, True), self.named)
        else:
            self.ask()

    def chunks(self, kind: str, seen: Seen, stop: Stop) -> Iterator[bytes | memoryview]:
        """Its bytes, as they come from its site."""
        stream, self.stream = self.stream, None
        self.close()
        own = checksum_kind(self.named, True)
        kinds = {*self.kinds, kind, own} - {"size"}
        stream = stream or Stream(self.place.reader, self.path, self.size)
        self.pipe = pipe = Pipe(stream, kinds, self.named, self.stop)
        yield from pipe.chunks(seen)
        self.sums.update(pipe.sums)

    def checksum(self, kind: str, seen: Seen, stop: Stop) -> str:
        """Its checksum of some kind, for which it is read again if need be."""
        if not super().checksum(kind, seen, stop):
            self.kinds.add(kind)  # from now on it is made on the way
            for _ in self.chunks(kind, lambda here, came: seen(here, 0), stop):
                pass
        return self.sums.get(kind, "")

    def close(self) -> None:
        """Let go of its bytes."""
        if self.stream:
            self.stream.close()
        if self.pipe:
            self.pipe.close()
        self.stream = self.pipe = None
