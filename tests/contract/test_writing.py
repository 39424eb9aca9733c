"""What every Place promises that takes files, tried at each of them."""

from __future__ import annotations

import errno
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Callable, NamedTuple, TypeVar

import pytest

from gridsync_parts.checksums import Checksum
from gridsync_parts.doors import Place, Sent, Stored, Writer
from gridsync_parts.doors.record import NAME
from gridsync_parts.errors import BadName, Changed, DoorError, Exists, FileError, NotFound
from gridsync_parts.pacing import Pacing, Timetable, paced
from gridsync_parts.pool import Stop
from gridsync_parts.values import UNFINISHED, Entry
from tests.grid import Grid
from tests.grid.xrootd import SCRATCH
from tests.support.memory import Memory
from tests.support.places import WRITERS, new_home, place_at, received, site_to_write
from tests.support.user import wait_until

T = TypeVar("T")
LARGE = 3_000_000  # bytes


class Store(NamedTuple):
    """A Place, and a folder of a test's own there."""

    place: Place
    home: str
    disk: Path | None = None  # of a server that may crash if it is asked for new files with their checksums

    @property
    def writer(self) -> Writer:
        assert self.place.writer
        return self.place.writer

    def send(self, name: str, data: bytes = b"some bytes") -> Stored:
        return self.writer.write(f"{self.home}/{name}", sent_of(data))

    def content(self, name: str) -> bytes:
        path = f"{self.home}/{name}"
        size = self.writer.stored(path).size
        if self.disk:
            return (self.disk / path).read_bytes()
        return received(self.place, path, 0, size) if size else b""

    def names(self) -> list[str]:
        return sorted(entry.path.rpartition("/")[2] for entry in self.listing())

    def listing(self) -> list[Entry]:
        """All but what a repository has of its own."""
        found = self.place.lister.folder(self.home)
        return [entry for entry in found if not (self.place.repository and entry.path == f"{self.home}/{NAME}")]


def patiently(call: Callable[[], T]) -> T:
    """What may pass is tried again: XRootD now and then ends other connections, too, when an upload was cut off."""
    for _ in range(50):
        try:
            return call()
        except DoorError as error:
            if not error.passing:
                raise
        time.sleep(0.1)
    return call()


def sent_of(data: bytes, piece: int = 256 << 10, size: int | None = None) -> Sent:
    """Bytes that are to be sent, in pieces."""

    def chunks() -> Iterator[memoryview]:
        for at in range(0, len(data), piece):
            yield memoryview(data)[at : at + piece]

    return Sent(len(data) if size is None else size, chunks)


def bytes_of(count: int) -> bytes:
    return (bytes(range(251)) * (count // 251 + 1))[:count]


def fits(checksum: str, data: bytes) -> bool:
    """Whether a checksum is that of some bytes, or none is named."""
    made = Checksum(checksum.partition(":")[0] or "adler32")
    made.update(data)
    return checksum in ("", made.text())


@pytest.fixture(params=[*WRITERS, "memory"])
def store(grid: Grid, request: pytest.FixtureRequest, folder: str) -> Store:
    place = Memory().place if request.param == "memory" else place_at(grid, site_to_write(grid, request.param))
    disk = grid.copier.folder / "data" / SCRATCH if request.param.endswith("xrootd") else None
    return Store(place, patiently(lambda: new_home(place, folder.rpartition("/")[2])), disk)


def need(store: Store, *abilities: str) -> None:
    """Leave a test out at a place that lacks one of these."""
    for ability in abilities:
        if not getattr(store.place.can, ability):
            pytest.skip(f"it has no {ability}")


def need_folders(store: Store) -> None:
    """Leave a test out at a repository, where folders are just names."""
    if store.place.repository:
        pytest.skip("it has no folders")


# A new file.


@pytest.mark.every(7)
@pytest.mark.parametrize("size", [0, 1, 20_000, LARGE])
def test_a_file_is_there_as_it_was_sent(store, size):
    data = bytes_of(size)
    told = store.send("a", data)
    assert told.size in (size, UNFINISHED) and fits(told.checksum, data)
    found = store.writer.stored(f"{store.home}/a")
    assert found.size == size and fits(found.checksum, data)
    assert found.checksum or not store.place.can.checksums or "wsgidav" in str(store)
    assert found.checksum or abs(found.mtime - time.time()) < 600  # which tells it from an older one
    assert store.content("a") == data


@pytest.mark.parametrize(("size", "is_asked"), [(1 << 20, False), (3 << 20, True)])
def test_a_new_file_at_xrootd_is_read_back_if_it_is_small(grid, folder, monkeypatch, size, is_asked):
    place, data = place_at(grid, site_to_write(grid, "http xrootd")), bytes_of(size)
    store = Store(place, folder.rpartition("/")[2])
    store.writer.folder(store.home)
    store.send("a", data)
    http, asked = place.writer.http, []
    steps = http.steps

    def spy(method, url, headers):
        asked.extend(headers)
        return steps(method, url, headers)

    monkeypatch.setattr(http, "steps", spy)
    assert store.writer.stored(f"{store.home}/a")[:2] == (size, f"adler32:{zlib.adler32(data):08x}")
    assert ("Want-Digest" in asked) is is_asked


@pytest.mark.every(5)
def test_bytes_go_no_faster_than_they_may(store):
    data = bytes_of(200_000)
    pacing = Pacing(Timetable(((0, len(data)),)))  # in a second
    writer = paced(store.place, pacing, Stop()).writer
    began = time.monotonic()
    writer.write(f"{store.home}/a", sent_of(data))
    assert time.monotonic() - began > 0.85
    assert writer.stored(f"{store.home}/a").size == len(data) and store.content("a") == data


@pytest.mark.every(3)
def test_what_something_has_is_not_written_over(store):
    for size in (20_000, LARGE):
        name = f"a{size}"
        store.send(name, bytes_of(size))
        with pytest.raises(Exists, match=f"{name}.*already"):
            store.send(name, b"other")
        with pytest.raises(Exists):
            store.send(name, bytes_of(LARGE + 1))
        assert store.content(name) == bytes_of(size)


@pytest.mark.every(3)
def test_a_folder_is_not_written_over(store):
    need_folders(store)
    store.writer.folder(f"{store.home}/a")
    for size in (5, LARGE):
        with pytest.raises(Exists):
            store.send("a", bytes_of(size))
    assert store.names() == ["a"]


def test_a_file_that_is_not_there_is_not_found(store):
    with pytest.raises(NotFound, match="a"):
        store.writer.stored(f"{store.home}/a")
    need(store, "renames")
    with pytest.raises(NotFound):
        store.writer.rename(f"{store.home}/a", f"{store.home}/b", replace=False)


@pytest.mark.every(7)
@pytest.mark.parametrize("size", [20_000, LARGE])
@pytest.mark.parametrize("error", [OSError(errno.EIO, "the disk fails"), FileError("stop"), KeyError("a fault")])
def test_what_the_source_raises_ends_the_request_and_comes_out(store, size, error):
    def chunks() -> Iterator[bytes]:
        yield bytes_of(size // 2)
        raise error

    with pytest.raises(type(error)) as caught:
        store.writer.write(f"{store.home}/a", Sent(size, chunks))
    assert caught.value is error

    def gone() -> bool:
        """A server may make the file only now: it hears later than we that the request has ended."""
        store.writer.remove(f"{store.home}/a")
        return store.names() == []

    wait_until(lambda: patiently(gone))
    patiently(lambda: store.send("b", bytes_of(size)))
    assert patiently(lambda: store.content("b")) == bytes_of(size)


@pytest.mark.every(7)
@pytest.mark.parametrize("size", [20_000, LARGE])
@pytest.mark.parametrize("more", [-1, 1])
def test_a_source_of_another_size_has_changed(store, size, more):
    with pytest.raises(Changed, match="has changed") as caught:
        store.writer.write(f"{store.home}/a", sent_of(bytes_of(size + more), size=size))
    assert caught.value.passing


# Folders.


def test_a_folder_is_made_or_there(store):
    need_folders(store)
    assert store.writer.folder(f"{store.home}/new") is True
    assert store.writer.folder(f"{store.home}/new") is False
    assert store.writer.folder(f"{store.home}/new/newer") is True
    assert store.names() == ["new"]


@pytest.mark.every(3)
def test_a_folder_in_none_is_not_made(store):
    need_folders(store)
    with pytest.raises(NotFound, match="missing"):
        store.writer.folder(f"{store.home}/missing/new")


@pytest.mark.every(3)
def test_a_folder_with_the_name_of_a_file_is_not_made(store):
    need_folders(store)
    store.send("a")
    with pytest.raises(Exists):
        store.writer.folder(f"{store.home}/a")
    assert store.content("a") == b"some bytes"


# Names.


@pytest.mark.every(3)
@pytest.mark.parametrize("replace", [False, True])
def test_a_file_gets_another_name(store, replace):
    need(store, "renames")
    store.send("a", b"mine")
    store.writer.rename(f"{store.home}/a", f"{store.home}/b", replace=replace)
    assert store.names() == ["b"] and store.content("b") == b"mine"
    found = store.writer.stored(f"{store.home}/b")
    assert found.size == 4 and fits(found.checksum, b"mine")


@pytest.mark.every(3)
def test_a_name_that_is_taken_is_given_only_where_that_is_wanted(store):
    need(store, "renames")
    store.send("a", b"mine")
    store.send("b", b"theirs")
    with pytest.raises(Exists, match=r"b.*already"):
        store.writer.rename(f"{store.home}/a", f"{store.home}/b", replace=False)
    assert store.content("b") == b"theirs" and store.content("a") == b"mine"
    store.writer.rename(f"{store.home}/a", f"{store.home}/b", replace=True)
    assert store.names() == ["b"] and store.content("b") == b"mine"


@pytest.mark.every(3)
def test_a_folder_is_not_replaced_by_a_file(store):
    need(store, "renames")
    store.writer.folder(f"{store.home}/folder")
    store.send("folder/theirs", b"theirs")
    store.send("a", b"mine")
    for replace in (False, True):
        with pytest.raises(Exists, match=r"folder.*already"):
            store.writer.rename(f"{store.home}/a", f"{store.home}/folder", replace=replace)
    for name in ("folder/theirs", "a"):
        assert patiently(lambda name=name: store.content(name)) == (b"mine" if name == "a" else b"theirs")


ODD = ["two words", "9%", "semi;colon", "hash#mark", "what?", "c=d&e+f", "-rf", "[x]", "back\\slash", 'q"', "'s", "<&>"]
ACCENTS = ["caf\u00e9", "cafe\u0301"]


def is_refused(place: Place, path: str) -> bool:
    """Whether a door would take no file at a path, as it shows beforehand."""
    try:
        place.check_name(path)
    except BadName as error:
        assert "takes no file of this name" in str(error) and "rename it" in str(error)
        return True
    return False


@pytest.mark.every(7)
@pytest.mark.parametrize("name", ODD + ACCENTS)
def test_a_name_is_given_as_it_is_or_refused_and_nothing_is_left_of_the_file(store, name):
    need(store, "renames")
    if is_foreseen := is_refused(store.place, f"{store.home}/{name}"):
        assert store.names() == []
    store.send("temp", b"mine")
    try:
        store.writer.rename(f"{store.home}/temp", f"{store.home}/{name}", replace=False)
    except BadName as error:
        assert is_foreseen or "would not find it again" in str(error)
        assert "takes no file of this name" in str(error) and "rename it" in str(error)
        store.writer.remove(f"{store.home}/temp")
        assert store.names() == []
    else:
        assert not is_foreseen
        if not ("#" in name and getattr(store.writer, "is_heedless", False)):  # XRootD lists it as what is before that
            assert store.names() == [name]
        assert fits(store.writer.stored(f"{store.home}/{name}").checksum, b"mine")


@pytest.mark.every(7)
@pytest.mark.parametrize("name", ["two words", "100%", "caf\u00e9", "cafe\u0301", "what?", "c=d&e+f"])
@pytest.mark.parametrize("size", [100, LARGE])
def test_a_file_is_sent_under_a_name_that_is_odd_or_the_name_is_refused(store, name, size):
    try:
        store.send(name, bytes_of(size))
    except BadName as error:
        assert "takes no file of this name" in str(error) and store.names() == []
    else:
        assert store.names() == [name]
        entry = store.listing()[0]
        assert entry.size == size and fits(entry.checksum, bytes_of(size))


def test_a_file_is_removed_once_and_for_all(store):
    need(store, "removes")
    store.send("a")
    store.writer.remove(f"{store.home}/a")
    assert store.names() == []
    store.writer.remove(f"{store.home}/a")


# Many.


@pytest.mark.first
def test_several_threads_send_side_by_side(store):
    failures: list[BaseException] = []

    def send(thread: int) -> None:
        try:
            for number in range(5):
                store.send(f"{thread}-{number}", bytes_of(10_000 + number))
            store.send(f"{thread}-large", bytes_of(LARGE))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=send, args=[number]) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures and len(store.names()) == 36
    assert all(store.content(f"{thread}-large") == bytes_of(LARGE) for thread in range(6))
