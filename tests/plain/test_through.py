"""A file on its way through this machine: read as it is sent, and nothing else of it is kept."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator

import pytest

from gridsync_parts import through
from gridsync_parts.disk import CHUNK
from gridsync_parts.doors import BITE, Body
from gridsync_parts.errors import Changed, DoorError, FileError, GridError, Mismatch, NotFound
from gridsync_parts.pool import Stop
from gridsync_parts.through import PAUSES, Pipe, Stream
from tests.support.memory import Memory, adler32, break_off, call_after, fall_silent

SIZES = (0, 1, BITE, BITE + 1, CHUNK, 3 * CHUNK + 7, 10 * CHUNK)
LOST = FileError("the line broke", passing=True)


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pauses between two looks at a file."""
    monkeypatch.setattr(through, "PAUSES", (0.0,) * len(PAUSES))


def data_of(size: int) -> bytes:
    """Bytes of which no two pieces are the same."""
    return random.Random(size).randbytes(size)


class Way:
    """A file at a site, and the pipe that it goes through."""

    def __init__(self, size: int, piece: int = 50_000):
        self.data = data_of(size)
        self.site = Memory({"in/a": self.data})
        self.site.piece = piece
        self.stop = Stop()
        self.seen: list[tuple[int, int]] = []
        self.pipe = self.new()

    def new(self, kinds: tuple[str, ...] = ("adler32",), expected: str | None = None) -> Pipe:
        """A pipe that nothing has gone through yet."""
        stream = Stream(self.site, "in/a", len(self.data))
        return Pipe(stream, kinds, adler32(self.data) if expected is None else expected, self.stop)

    def pieces(self) -> Iterator[memoryview]:
        """What comes, piece by piece."""
        yield from self.pipe.chunks(lambda here, came: self.seen.append((here, came)))

    def drain(self) -> bytes:
        """All that comes."""
        try:
            return b"".join(bytes(piece) for piece in self.pieces())
        finally:
            self.pipe.close()
            assert not self.site.open and not self.stop.bodies


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("piece", [1 << 10, BITE, 3 * CHUNK])
def test_the_bytes_come_as_they_are_and_their_checksums_with_them(size, piece):
    way = Way(size, piece)
    way.pipe = way.new(("adler32", "md5"))
    assert way.drain() == way.data
    assert way.pipe.sums["adler32"] == adler32(way.data) and way.pipe.sums["md5"].startswith("md5:")
    assert not size or way.seen[-1] == (size, size)
    assert [here for here, _ in way.seen] == sorted(here for here, _ in way.seen)


@pytest.mark.slow
def test_no_more_is_read_than_is_sent():
    way = Way(20 * CHUNK, CHUNK)
    read: list[int] = []
    way.site.order("read", "in/a", lambda body: body._replace(chunks=counted(body.chunks, read)))
    sent = 0
    for piece in way.pieces():
        sent += len(piece)
        assert sent == sum(read)
    assert sent == len(way.data)
    way.pipe.close()


def counted(pieces: Iterator[bytes], read: list[int]) -> Iterator[bytes]:
    """Pieces, and how long those are that were taken."""
    for piece in pieces:
        read.append(len(piece))
        yield piece


@pytest.mark.parametrize("size", [BITE, 2 * CHUNK])
def test_one_that_waits_for_bytes_gets_those_that_there_are(size):
    way = Way(size, 1000)
    silent = threading.Event()
    way.site.order("read", "in/a", fall_silent(3000, silent))
    pieces = way.pieces()
    came = 0
    while came < 3000:
        came += len(next(pieces))
    assert came == 3000
    way.stop.set()
    with pytest.raises(GridError):
        next(pieces)
    way.pipe.close()


# A line that breaks.


@pytest.mark.parametrize("size", [BITE, 3 * CHUNK])
@pytest.mark.parametrize("error", [LOST, DoorError("the door is away", passing=True), None])
def test_after_a_cut_it_is_read_on_from_there(size, error):
    way = Way(size, 1000)
    way.site.order("read", "in/a", break_off(1500, error), break_off(0, error), break_off(70_000, error))
    assert way.drain() == way.data
    starts = [start for _, start, _ in way.site.calls("read")]
    assert starts == [0, 1500, 1500, 71_500]


def test_it_is_read_on_from_the_same_version_alone():
    way = Way(3 * CHUNK, 1000)
    changes = call_after(4000, lambda: way.site.put("in/a", way.data[::-1]))
    way.site.order("read", "in/a", lambda body: break_off(5000, LOST)(changes(body)))
    with pytest.raises(Changed):
        way.drain()
    assert len(way.site.calls("read")) == 2


def test_another_version_ends_it():
    way = Way(3 * CHUNK, 1000)
    way.site.order("read", "in/a", break_off(5000, LOST), Changed("in/a: changed", passing=True))
    with pytest.raises(Changed):
        way.drain()
    assert len(way.site.calls("read")) == 2


def test_a_door_without_ranges_sends_what_is_known_again():
    way = Way(3 * CHUNK, 1000)
    way.site.has_ranges = False
    way.site.order("read", "in/a", break_off(5500, LOST))
    assert way.drain() == way.data


@pytest.mark.parametrize("error", [LOST, FileError("it is damaged")])
def test_a_line_that_only_breaks_ends_it(error):
    way = Way(3 * CHUNK, 1000)
    way.site.order("read", "in/a", break_off(5000, error), *[error] * 20)
    with pytest.raises(FileError) as caught:
        way.drain()
    assert caught.value is error
    assert len(way.site.calls("read")) == (1 + len(PAUSES) if error.passing else 1)


def test_what_fails_at_its_first_byte_fails():
    way = Way(3 * CHUNK)
    way.site.order("read", "in/a", DoorError("the door is away", passing=True))
    with pytest.raises(DoorError):
        way.drain()
    assert len(way.site.calls("read")) == 1


def test_a_file_that_is_not_found_is_looked_for_once_more(monkeypatch):
    way = Way(10)
    monkeypatch.setattr(way.pipe.stream.is_over, "wait", lambda seconds: False)
    way.site.order("read", "in/a", NotFound("XRootD says so now and then"))
    assert way.drain() == way.data


# What is not as its site says.


@pytest.mark.parametrize("size", [10, 3 * CHUNK])
def test_the_last_bytes_of_what_is_wrong_never_come(size):
    way = Way(size)
    way.pipe = way.new(expected="adler32:00000001")
    came = b""
    with pytest.raises(Mismatch) as caught:
        for piece in way.pieces():
            came += bytes(piece)
    assert len(came) < size and caught.value.passing
    way.pipe.close()


def test_a_checksum_that_nobody_makes_says_nothing():
    way = Way(3 * CHUNK)
    way.pipe = way.new(expected="md5:00")
    assert way.drain() == way.data


# An end before the end.


@pytest.mark.parametrize("size", [BITE, 10 * CHUNK])
def test_a_run_that_ends_wakes_it(size):
    way = Way(size, 1000)
    silent = threading.Event()
    way.site.order("read", "in/a", fall_silent(2000, silent))
    threading.Thread(target=lambda: (silent.wait(5), way.stop.set())).start()
    with pytest.raises(GridError):
        way.drain()


def test_who_stops_sending_stops_the_reading():
    way = Way(20 * CHUNK, 1000)
    pieces = way.pieces()
    next(pieces)
    way.pipe.close()
    assert not way.site.open and not way.stop.bodies


def test_a_checksum_that_comes_along_is_known():
    way = Way(10)
    stream = way.pipe.stream
    stream.open()
    assert isinstance(stream.body, Body) and stream.said == adler32(way.data)
    stream.close()
    assert not way.site.open
