"""What may happen while a file is sent: answers before its end, lines that die, doors that are slow to say anything."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gridsync_parts.doors import Place, Sent
from gridsync_parts.errors import (
    CredentialError,
    DoorError,
    Exists,
    FileError,
    Forbidden,
    Full,
    GridError,
    PoolError,
)
from gridsync_parts.keys.token import Token
from gridsync_parts.settings import Config
from gridsync_parts.table import Site
from tests.grid import Grid
from tests.support.constants import replace
from tests.support.places import opened, place_at, site_of
from tests.support.user import write_secret

SIZE = 8_000_000  # bytes; more than any socket takes without a reader
GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"
MADE = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"
MISSING = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


def zeros(size: int = SIZE) -> Sent:
    def chunks() -> Iterator[bytes]:
        for at in range(0, size, 256 << 10):
            yield bytes(min(256 << 10, size - at))

    return Sent(size, chunks)


def length_of(head: str) -> int:
    """How many bytes a request announces."""
    return int(re.findall(r"(?i)content-length: (\d+)", head)[0])


class Odd:
    """A stand-in for a door whose words at a PUT are a test's; `puts` are the heads that it was sent."""

    def __init__(self, grid: Grid, is_secure: bool):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(str(grid.pki.folder / "host.pem"), str(grid.pki.folder / "host.key"))
        self.is_secure = is_secure
        self.before = GO_ON  # what is said to one who asks
        self.takes = SIZE  # bytes of the body that are read
        self.pause = 0.0  # seconds after 64 KiB of it
        self.after = MADE
        self.stays = False  # does it keep the connection then, and read no more?
        self.puts: list[str] = []
        self.over = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)  # what waits is with who sends
        url = f"{'https' if is_secure else 'http'}://localhost:{self.listener.getsockname()[1]}"
        site = Site("LYON", url, "agata", "http", "none", "", "", "", 5, 2)
        self.place: Place = opened(site, ca=grid.env["X509_CERT_DIR"])
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                line = self.listener.accept()[0]
                threading.Thread(target=self.serve, args=[line], daemon=True).start()

    def serve(self, line: socket.socket) -> None:
        with contextlib.suppress(OSError), line:
            line.settimeout(10)
            wrapped = self.context.wrap_socket(line, server_side=True) if self.is_secure else line
            with wrapped, wrapped.makefile("rb") as file:
                while head := self.head(file):
                    if head.startswith("PUT"):
                        self.take(wrapped, file, head)
                    else:
                        file.read(length_of(head))
                        wrapped.sendall(MISSING)

    def head(self, file) -> str:
        lines = []
        while (line := file.readline().decode()).strip():
            lines.append(line)
        return "".join(lines)

    def take(self, line: socket.socket, file, head: str) -> None:
        self.puts.append(head)
        if "expect" in head.lower() and self.before:
            line.sendall(self.before)
            if not self.before.startswith(b"HTTP/1.1 10"):
                raise OSError("it hangs up")
        takes, left = self.takes, min(self.takes, length_of(head))
        while left:
            left -= len(file.read(min(65536, left)))
            time.sleep(self.pause)
        line.sendall(self.after)
        if self.stays:
            self.over.wait(10)
        if takes < SIZE:
            raise OSError("it hangs up")

    def send(self, size: int = SIZE) -> None:
        assert self.place.writer
        self.place.writer.write("a", zeros(size))

    def expects(self) -> list[bool]:
        """Which of the PUTs have asked whether they may go on."""
        return ["expect: 100-continue" in head.lower() for head in self.puts]


@pytest.fixture(params=["plain", "TLS"])
def odd(grid: Grid, request: pytest.FixtureRequest) -> Iterator[Odd]:
    door = Odd(grid, request.param == "TLS")
    yield door
    door.over.set()
    door.listener.close()


# An answer before the end of the body.


@pytest.mark.parametrize("stays", [False, True])
@pytest.mark.parametrize(
    ("status", "kind", "says"),
    [
        ("403 Forbidden", Forbidden, "the door refuses"),
        ("413 Content Too Large", FileError, "takes no file of this size"),
        ("507 Insufficient Storage", Full, "has no room for it, or your quota is used up"),
        ("412 Precondition Failed", Exists, "something of this name already"),
        ("503 Busy", DoorError, "503"),
    ],
)
def test_an_answer_in_the_middle_of_the_body_is_told(odd, stays, status, kind, says):
    odd.takes, odd.stays = 1_000_000, stays
    odd.after = f"HTTP/1.1 {status}\r\nContent-Length: 2\r\nRetry-After: 7\r\n\r\nno".encode()
    began = time.monotonic()
    with pytest.raises(kind, match=says) as caught:
        odd.send()
    assert time.monotonic() - began < 2, "not as soon as it was there"
    assert caught.value.pause == (7 if kind is DoorError else 0)
    odd.takes, odd.stays, odd.after = SIZE, False, MADE
    odd.send()  # on another connection


@pytest.mark.parametrize("status", ["403 Forbidden", "507 Insufficient Storage"])
def test_a_refusal_before_the_body_costs_none_of_it(odd, status):
    odd.before = f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno".encode()
    with pytest.raises(GridError, match=r"the door (refuses|has no room)"):
        odd.send()
    assert odd.expects() == [True]


@pytest.mark.parametrize("takes", [0, 1_000_000, SIZE - 1])
def test_a_line_that_dies_in_the_middle_is_tried_again(odd, takes):
    odd.takes, odd.after = takes, b""
    with pytest.raises(DoorError, match=r"broke off|ended the TLS handshake") as caught:
        odd.send()
    assert caught.value.passing


@pytest.mark.every(2)
def test_a_door_that_takes_no_more_bytes_is_given_up(odd):
    odd.takes, odd.after, odd.stays = 1_000_000, b"", True
    began = time.monotonic()
    with pytest.raises(DoorError, match="does not answer") as caught:
        odd.send()
    assert caught.value.passing and 1 < time.monotonic() - began < 5  # SILENCE is 2


@pytest.mark.every(2)
def test_what_is_still_on_the_way_is_not_taken_for_a_silent_door(odd):
    odd.pause = 0.05
    odd.place.writer.http.site = odd.place.writer.http.site._replace(first_byte=1)
    began = time.monotonic()
    odd.send(4_000_000)
    assert time.monotonic() - began > 2


@pytest.mark.every(2)
def test_a_door_that_says_nothing_in_the_end_is_given_up(odd):
    odd.after, odd.stays = b"", True
    with pytest.raises(DoorError, match="does not answer"):
        odd.send()


# Whether the body may go.


def test_a_small_file_asks_nothing_and_a_large_one_does(odd):
    odd.send(1000)
    odd.send()
    odd.send(0)
    assert odd.expects() == [False, True, False]


def test_a_door_that_never_says_that_it_wants_the_body_is_asked_once(odd, monkeypatch):
    replace(monkeypatch, "PAUSE", 0.5)
    odd.before = b""
    began = time.monotonic()
    odd.send()
    assert 0.4 < time.monotonic() - began < 3
    odd.send()
    assert odd.expects() == [True, False]


def test_a_door_that_does_not_know_what_is_asked_gets_the_body_at_once(odd):
    odd.before = b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n"
    odd.send()
    odd.send()
    assert odd.expects() == [True, False, False]


def test_other_words_before_the_answer_are_no_answer(odd):
    odd.before = b"HTTP/1.1 102 Processing\r\n\r\n" + GO_ON
    odd.after = b"HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n" + MADE
    odd.send()


def test_connections_are_kept_for_the_next_file(odd):
    for _ in range(3):
        odd.send(1000)
        odd.send()
    assert len({head for head in odd.puts}) == 2
    assert len(odd.place.writer.http.idle.lines) == 1


# The grid's doors.


@pytest.fixture
def store(grid: Grid, folder: str) -> Iterator[tuple[Place, str]]:
    """A dCache that is told what goes wrong."""
    grid.door.log.clear()
    yield place_at(grid, site_of(grid, "http dcache")), f"{folder}/a"
    grid.door.faults.clear()


def test_a_large_file_goes_to_a_pool_which_sees_no_credential(grid, store, monkeypatch):
    monkeypatch.setattr(grid.door.switches, "pool_asks", True)
    place, path = store
    told = place.writer.write(path, zeros()._replace(mtime=1433851200))
    assert told.checksum == place.writer.stored(path).checksum != ""
    puts = [(r.role, r.status, r.certificate, r.token) for r in grid.door.log.matching(method="PUT")]
    assert puts == [("door", 307, True, False), ("pool", 201, False, False)]
    assert grid.tree.file(f"agata/{path}").mtime == 1433851200


def test_no_token_goes_to_a_pool(grid, store, tmp_path):
    write_secret(tmp_path / "token", grid.door.token(600))
    token = Token(f"file:{tmp_path / 'token'}", Config(str(tmp_path)))
    place = opened(site_of(grid, "http dcache"), token=token, ca=grid.env["X509_CERT_DIR"])
    place.writer.write(store[1], zeros())
    puts = [(r.role, r.status, r.certificate, r.token) for r in grid.door.log.matching(method="PUT")]
    assert puts == [("door", 307, False, True), ("pool", 201, False, False)]


def test_a_small_file_is_taken_by_the_door_itself(grid, store):
    place, path = store
    place.writer.write(path, zeros(1000))
    assert [(r.role, r.status) for r in grid.door.log.matching(method="PUT")] == [("door", 201)]


@pytest.mark.parametrize("size", [1000, SIZE])
@pytest.mark.parametrize(
    ("what", "kind", "says"),
    [
        (403, Forbidden, "for the right VO"),
        (413, FileError, "takes no file of this size"),
        (507, Full, "has no room"),
        (500, PoolError, "the pool that is to take it does not answer"),
        (503, DoorError, "503"),
    ],
)
def test_what_the_door_says_is_told(grid, store, size, what, kind, says):
    place, path = store
    grid.door.faults.add("*", what, role="door", method="PUT")
    with pytest.raises(kind, match=says) as caught:
        place.writer.write(path, zeros(size))
    assert caught.value.passing is (what in (500, 503))


@pytest.mark.parametrize(
    ("what", "kind", "says"),
    [
        (403, FileError, "the pool answers 403"),
        (413, FileError, "takes no file of this size"),
        (507, Full, "has no room"),
        (503, FileError, "the pool answers 503"),
        ("reset", PoolError, "its pool cannot be reached"),
    ],
)
def test_what_a_pool_says_is_told_and_is_no_matter_of_credentials(grid, store, what, kind, says):
    place, path = store
    grid.door.faults.add("*", what, role="pool", method="PUT")
    with pytest.raises(kind, match=says) as caught:
        place.writer.write(path, zeros())
    assert "proxy" not in str(caught.value) and "uuid" not in str(caught.value)
    assert caught.value.passing is (what not in (413, 507))


def test_a_door_that_is_asked_too_fast_is_asked_again_when_it_says(grid, store):
    place, path = store
    fault = grid.door.faults.add("*", 429, role="door", method="PUT", count=1, retry_after=1)
    began = time.monotonic()
    place.writer.write(path, zeros())
    assert fault.hits == 1 and time.monotonic() - began >= 1


def test_a_token_that_is_over_is_renewed_before_the_body(grid, store, tmp_path):
    file = tmp_path / "token"
    write_secret(file, grid.door.token(600))
    place = opened(site_of(grid, "http dcache"), token=Token(f"file:{file}", Config(str(tmp_path))),
                   ca=grid.env["X509_CERT_DIR"])  # fmt: skip
    place.writer.folder(store[1])
    grid.door.faults.add("*", 401, role="door", method="PUT", count=1)
    Path(file).unlink()
    write_secret(file, grid.door.token(601))
    place.writer.write(f"{store[1]}/b", zeros())
    assert place.writer.stored(f"{store[1]}/b").size == SIZE


def test_a_door_that_takes_no_proxy_is_not_asked_on_and_on(grid, store):
    place, path = store
    fault = grid.door.faults.add("*", 401, role="door", method="PUT")
    with pytest.raises(CredentialError, match="does not accept your proxy"):
        place.writer.write(path, zeros())
    assert fault.hits <= 2


def test_an_upload_that_dies_at_the_pool_leaves_nothing_that_looks_finished(grid, store):
    place, path = store

    def chunks() -> Iterator[bytes]:
        yield bytes(1_000_000)
        grid.door.down("pool")
        yield bytes(SIZE - 1_000_000)

    try:
        with pytest.raises(PoolError, match="its pool cannot be reached") as caught:
            place.writer.write(path, Sent(SIZE, chunks))
    finally:
        grid.door.up("pool")
    assert caught.value.passing
    place.writer.remove(path)
    assert place.lister.folder(os.path.dirname(path)) == []
