"""An end to everything: what a server may draw out, it can't draw out for ever."""

from __future__ import annotations

import contextlib
import gc
import itertools
import random
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gridsync_parts.doors import BITE, At, Late, Place, Sent
from gridsync_parts.errors import DoorError, FileError, GridError
from gridsync_parts.machine import CONNECTIONS
from gridsync_parts.table import Site
from gridsync_parts.walk import Walk, list_folder
from tests.support.constants import replace
from tests.support.places import opened
from tests.support.properties import OFTEN
from tests.support.raw import Raw
from tests.support.user import wait_until

OK = b"HTTP/1.1 200 OK\r\n"
SIZE = 1000
SOON = 8  # seconds, several times of what each of these answers is allowed


def place_at(url: str, min_rate: int = 0, first_byte: int = 30) -> Place:
    silence = 1 if min_rate else 10  # a rate is not looked at before
    site = Site("LYON", url, "agata", "http", url, "", "", "", first_byte, silence, min_rate)
    return opened(site)


def read(place: Place, start: int = 0, stop: int = SIZE, size: int = SIZE) -> bytes:
    body = place.reader.read(At("run/a", size), start, stop)
    try:
        return b"".join(map(bytes, body.chunks))
    finally:
        body.close()


VERBS: dict[str, Callable[[Place], object]] = {
    "read": read,
    "entries": lambda place: place.lister.folder("run"),
    "localities": lambda place: place.locate(["run/a"]),
    "checksum": lambda place: place.reader.checksum(At("run/a", 0)),
}


def drips(data: bytes, pause: float = 0.05) -> Iterator[bytes]:
    """A byte at a time."""
    for byte in data:
        yield bytes([byte])
        time.sleep(pause)


def ending(verb: Callable[[], object]) -> str:
    """The sentence with which it ends, in good time; in a thread, as what has no end would hold up all tests."""
    found: list[GridError] = []

    def call() -> None:
        try:
            verb()
        except GridError as error:
            found.append(error)

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(SOON)
    assert not thread.is_alive(), "it has no end"
    return str(*found)


@pytest.mark.parametrize("verb", VERBS)
def test_interim_answers_without_end_come_to_one(raw, verb):
    server = raw(lambda: itertools.repeat(b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\n" * 100))
    assert "an endless answer" in ending(lambda: VERBS[verb](place_at(server.url, first_byte=300)))
    assert server.sent < 32 << 20


@pytest.mark.every(3)
@pytest.mark.parametrize("verb", VERBS)
def test_a_head_that_drips_ends_after_first_byte_seconds(raw, verb):
    server = raw(lambda: drips(OK + b"X: y\r\n" * 1000))
    assert "does not answer" in ending(lambda: VERBS[verb](place_at(server.url, first_byte=1)))


def test_interim_answers_that_drip_end_after_first_byte_seconds(raw):
    server = raw(lambda: itertools.chain.from_iterable(drips(b"HTTP/1.1 100 Continue\r\n\r\n") for _ in range(1000)))
    assert "does not answer" in ending(lambda: read(place_at(server.url, first_byte=1)))


HEADS = {
    "length": OK + b"Content-Length: 1000\r\n\r\n",
    "until the end": OK + b"\r\n",
    "chunked": OK + b"Transfer-Encoding: chunked\r\n\r\n3e8\r\n",
}


@pytest.mark.every(3)
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("verb", ["read", "localities"])
def test_a_body_that_drips_ends_after_a_while(raw, monkeypatch, head, verb):
    replace(monkeypatch, "RATED", 1.0)
    server = raw(lambda: itertools.chain([HEADS[head]], drips(b"[" * SIZE)))
    assert "MIN_RATE" in ending(lambda: VERBS[verb](place_at(server.url, 100)))


LARGE = 4 * BITE  # it comes in pieces that are filled, without a look at the clock for each
LARGE_HEADS = {
    name: head.replace(b"1000", b"%d" % LARGE).replace(b"3e8", b"%x" % LARGE) for name, head in HEADS.items()
}


@pytest.mark.every(1)
@pytest.mark.parametrize("head", HEADS)
def test_a_large_body_that_drips_ends_after_a_while(raw, monkeypatch, head):
    replace(monkeypatch, "RATED", 1.0)
    replace(monkeypatch, "LOOK", 0.2)
    server = raw(lambda: itertools.chain([LARGE_HEADS[head]], drips(b"[" * SIZE)))
    assert "MIN_RATE" in ending(lambda: read(place_at(server.url, 100), 0, LARGE, LARGE))


@pytest.mark.every(1)
@pytest.mark.parametrize("head", HEADS)
def test_a_large_body_that_falls_silent_ends_after_a_while(raw, head):
    def part() -> Iterator[bytes]:
        yield LARGE_HEADS[head] + b"x" * (BITE * 3 // 2)
        time.sleep(2 * SOON)

    assert "does not answer" in ending(lambda: read(place_at(raw(part).url, 1), 0, LARGE, LARGE))


def test_a_listing_that_drips_ends_after_a_while(raw, monkeypatch):
    replace(monkeypatch, "RATED", 1.0)
    head = b"HTTP/1.1 207 Multi-Status\r\n\r\n"
    server = raw(lambda: itertools.chain([head], drips(b'<multistatus xmlns="DAV:">' + b"<x/>" * 1000)))
    assert "MIN_RATE" in ending(lambda: place_at(server.url, 100).lister.folder("run"))


@pytest.mark.every(2)
@pytest.mark.parametrize("min_rate", [0, 10])
def test_a_body_that_is_fast_enough_comes_to_its_end(raw, monkeypatch, min_rate):
    replace(monkeypatch, "RATED", 0.5)
    body = b"x" * 60  # at 20 bytes a second
    server = raw(lambda: itertools.chain([OK + b"Content-Length: 60\r\n\r\n"], drips(body)))
    place = place_at(server.url, min_rate)
    assert b"".join(map(bytes, place.reader.read(At("run/a", 60), 0, 60).chunks)) == body


def test_time_in_which_nobody_asks_for_more_does_not_count(raw, monkeypatch):
    replace(monkeypatch, "RATED", 0.3)
    size = 4 * BITE
    server = raw(lambda: [OK + b"Content-Length: %d\r\n\r\n" % size, b"x" * size])
    came = 0
    for chunk in place_at(server.url, 10**6).reader.read(At("run/a", size), 0, size).chunks:
        came += len(chunk)
        time.sleep(0.5)  # a disk that is slow
    assert came == size


def test_the_first_byte_may_come_late_whatever_the_rate(raw, monkeypatch):
    replace(monkeypatch, "RATED", 0.2)

    def late() -> Iterator[bytes]:
        time.sleep(1.2)
        yield OK + b"Content-Length: 1000\r\n\r\n" + b"x" * SIZE

    assert read(place_at(raw(late).url, 10**5)) == b"x" * SIZE


ENDLESS = {
    "extensions of chunks": (b"", b"1;" + b"x" * 60_000 + b"\r\n[\r\n"),
    "a trailer": (b"0\r\n", b"X: y\r\n" * 1000),
}


@pytest.mark.parametrize("what", ENDLESS)
@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("status", [b"200 OK", b"207 Multi-Status", b"404 Not Found"])
def test_chunks_with_something_endless_about_them_come_to_an_end(raw, what, verb, status):
    head = b"HTTP/1.1 " + status + b"\r\nTransfer-Encoding: chunked\r\n\r\n"
    first, ever = ENDLESS[what]
    server = raw(lambda: itertools.chain([head, first], itertools.repeat(ever)))
    ending(lambda: VERBS[verb](place_at(server.url)))
    assert server.sent < 64 << 20


@pytest.mark.parametrize("early", [b"103 Early Hints", b"102 Processing", b"100 Continue", b"199 x"])
def test_the_answer_behind_interim_ones_is_the_one_that_counts(raw, early):
    right = b"HTTP/1.1 200 OK\r\nDigest: adler32=00000001\r\nContent-Length: 0\r\n\r\n"
    server = raw(lambda: [b"HTTP/1.1 " + early + b"\r\nLink: x\r\n\r\n"] * 2 + [right])
    place = place_at(server.url)
    for _ in range(3):
        assert place.reader.checksum(At("run/a", 0)) == "adler32:00000001"
    assert server.connections == 1


def test_what_follows_a_change_of_protocols_is_not_taken_for_the_answer_to_the_next_request(raw):
    other = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"
    server = raw(lambda: [other, b"HTTP/1.1 200 OK\r\nDigest: adler32=00000001\r\nContent-Length: 0\r\n\r\n"])
    place = place_at(server.url)
    for _ in range(3):
        with pytest.raises(GridError, match="101"):
            place.reader.checksum(At("run/a", 0))
    assert server.connections == 3


def test_the_fragment_of_a_redirect_stays_here(raw):
    server = raw(lambda: [
        OK + b"Digest: adler32=00000001\r\nContent-Length: 0\r\n\r\n" if b"/there?x=1" in server.heard
        else b"HTTP/1.1 302 Found\r\nLocation: /there?x=1#part\r\nContent-Length: 0\r\n\r\n"
    ])  # fmt: skip
    assert place_at(server.url).reader.checksum(At("run/a", 0)) == "adler32:00000001"
    assert b" /there?x=1 HTTP" in server.heard and b"#" not in server.heard


def test_a_head_as_long_as_heads_are_is_read(raw):
    lines = b"".join(b"X-%d: %s\r\n" % (number, b"y" * 2000) for number in range(90))
    server = raw(lambda: [b"HTTP/1.1 100 Continue\r\n\r\n", OK + lines + b"Content-Length: 1000\r\n\r\n" + b"x" * SIZE])
    assert read(place_at(server.url)) == b"x" * SIZE


def test_a_door_that_is_too_slow_is_a_matter_of_the_door_and_may_pass(raw, monkeypatch):
    replace(monkeypatch, "RATED", 0.5)
    server = raw(lambda: itertools.chain([b"HTTP/1.1 207 x\r\n\r\n"], drips(b"<" + b"x" * SIZE)))
    with pytest.raises(DoorError, match="MIN_RATE") as caught:
        place_at(server.url, 100).lister.folder("run")
    assert caught.value.passing


def framed(*pieces: bytes) -> bytes:
    """A body in chunks."""
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (*pieces, b""))


CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
PART = b"HTTP/1.1 206 x\r\nContent-Range: bytes 10-109/1000\r\n"
LONGER = {
    "in chunks": (0, OK + CHUNKED + framed(b"x" * 999, b"yz")),
    "in the same chunk": (0, OK + CHUNKED + framed(b"x" * 1001)),
    "until the end": (0, OK + b"Connection: close\r\n\r\n" + b"x" * 1001),
    "as it says": (0, OK + b"Content-Length: 1001\r\n\r\n" + b"x" * 1001),
    "of a range": (10, PART + CHUNKED + framed(b"x" * 101)),
    "of a range, as it says": (10, PART + b"Content-Length: 101\r\n\r\n" + b"x" * 101),
    "of a range that ends before it begins": (
        10, PART.replace(b"109", b"5") + b"Content-Length: 100\r\n\r\n" + b"x" * 100
    ),
}  # fmt: skip


@pytest.mark.parametrize("longer", LONGER)
def test_a_body_longer_than_listed_is_refused_before_its_last_byte(raw, longer):
    start, answer = LONGER[longer]
    place, came = place_at(raw(lambda: [answer] if b"close" not in answer else once(answer)).url), 0
    with pytest.raises(FileError, match=r"bytes now, but 1000 in the catalog|a different range"):
        for chunk in place.reader.read(At("run/a", 1000), start, 110 if start else 1000).chunks:
            came += len(chunk)
    assert came < (100 if start else 1000)


def once(answer: bytes) -> Iterator[bytes]:
    """An answer with which the connection ends."""
    yield answer
    raise OSError


def test_a_body_in_chunks_that_is_as_long_as_listed_comes_and_its_connection_is_kept(raw):
    answers = itertools.cycle([OK + CHUNKED + framed(b"x" * 600, b"x" * 400), PART + CHUNKED + framed(b"x" * 100)])
    server = raw(lambda: [next(answers)])
    place = place_at(server.url)
    for _ in range(2):
        assert read(place) == b"x" * 1000
        assert read(place, 10, 110) == b"x" * 100
    assert server.connections == 1


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "deflate, gzip", "br", "x\x1b[2J"])
def test_a_body_that_is_coded_is_refused(raw, coding):
    server = raw(lambda: [OK + f"Content-Encoding: {coding}\r\nContent-Length: 1000\r\n\r\n".encode() + b"x" * SIZE])
    with pytest.raises(FileError, match="sends it encoded as"):
        read(place_at(server.url))


def test_a_body_that_says_that_it_is_not_coded_is_taken(raw):
    server = raw(lambda: [OK + b"Content-Encoding: identity\r\nContent-Length: 1000\r\n\r\n" + b"x" * SIZE])
    assert read(place_at(server.url)) == b"x" * SIZE
    assert b"\r\nAccept-Encoding: identity\r\n" in server.heard


WHOLE = OK + b"Content-Length: 1000\r\n\r\n" + b"x" * SIZE


ENTRY = (
    b'<d:multistatus xmlns:d="DAV:"><d:response><d:href>/agata/run</d:href><d:propstat><d:prop><d:resourcetype/>'
    b"</d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response></d:multistatus>"
)
LISTED = b"HTTP/1.1 207 Multi-Status\r\nContent-Length: %d\r\n\r\n%s" % (len(ENTRY), ENTRY)


def ends(*turns: bytes) -> Callable[[], Iterator[bytes]]:
    """A server that gives these answers one after the other, and ends the connection in place of one that is empty."""
    left = iter(turns)

    def answer() -> Iterator[bytes]:
        if not (turn := next(left)):
            raise ConnectionAbortedError("it was idle for too long")
        yield turn

    return answer


def test_a_connection_that_was_kept_and_is_ended_when_it_is_used_again_costs_no_request(raw):
    server = raw(ends(LISTED, b"", LISTED))
    place = place_at(server.url)
    for _ in range(2):
        assert [entry.path for entry in place.lister.folder("run")] == ["run"]
    assert server.connections == 2 and server.heard.count(b"PROPFIND") == 3


@pytest.mark.parametrize("turns", [(b"",), (LISTED, b"", b"")], ids=["at once", "twice"])
def test_a_new_connection_that_is_ended_is_a_failure(raw, turns):
    server = raw(ends(*turns))
    place = place_at(server.url)
    if len(turns) > 1:
        place.lister.folder("run")
    with pytest.raises(DoorError, match="broke off") as caught:
        place.lister.folder("run")
    assert caught.value.passing and server.heard.count(b"PROPFIND") == len(turns)


@pytest.mark.parametrize("is_sent", [True, False])
def test_what_would_do_something_twice_is_not_asked_again_by_itself(raw, is_sent):
    server = raw(ends(LISTED, b"", b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"))
    place = place_at(server.url)
    place.lister.folder("run")
    if is_sent:  # a file that is there as it was sent is as it was
        writer = place.writer.thing()
        writer.names.known, writer.is_heedless = {"": set()}, False
        place.writer.write("b", Sent(3, lambda: iter([b"abc"])))
    else:
        with pytest.raises(DoorError, match="broke off"):
            place.writer.http.ask("MOVE", f"{server.url}/a", headers={"Destination": "b"})
    assert server.heard.count(b"PUT") == (2 if is_sent else 0)


def test_of_idle_connections_to_many_pools_the_oldest_are_let_go(raw):
    pools = [raw(lambda: [WHOLE]) for _ in range(CONNECTIONS + 20)]
    http = place_at(pools[0].url).lister.http
    for pool in pools:
        http.send("GET", pool.url).content(SIZE)
    wait_until(lambda: sum(len(pool.open) for pool in pools) <= CONNECTIONS)
    assert [len(pool.open) for pool in pools] == [0] * 20 + [1] * CONNECTIONS
    for pool in (pools[0], pools[-1]):
        http.send("GET", pool.url).content(SIZE)
    assert (pools[0].connections, pools[-1].connections) == (2, 1)


@pytest.mark.long
def test_threads_that_share_few_idle_connections_each_get_their_answer(raw, monkeypatch):
    replace(monkeypatch, "CONNECTIONS", 3)

    def numbered(number: int) -> Callable[[], Iterable[bytes]]:
        return lambda: [OK + b"Content-Length: 3\r\n\r\n%03d" % number]

    pools = [raw(numbered(number)) for number in range(6)]
    http = place_at(pools[0].url).lister.http

    def ask(number: int) -> bool:
        return http.send("GET", pools[number].url).content(3) == b"%03d" % number

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(ask, random.Random(1).choices(range(6), k=2000)))
    wait_until(lambda: sum(len(pool.open) for pool in pools) <= 3)


def test_listings_that_make_no_sense_hold_neither_connections_nor_memory(raw):
    server = raw(lambda: [b"HTTP/1.1 207 x\r\nContent-Length: 999999\r\n\r\n" + b"<a>" * 100_000])
    gc.collect()  # what other tests have left
    names = [f"run/{number}" for number in range(40)]
    place = place_at(server.url)
    walk = Walk("")
    for name in names:
        try:
            list_folder(place.lister, name)
        except DoorError as error:
            walk.fail(name, error)
            walk.doors_shut = 0  # as if others were listed in between
    assert list(walk.failures) == names
    gc.disable()
    try:
        wait_until(lambda: not server.open)
        assert not [parser for parser in gc.get_objects() if "xmlparser" in type(parser).__name__]
    finally:
        gc.enable()


LINES = [
    "HTTP/1.1 200 OK", "HTTP/1.1 206 x", "HTTP/1.1 207 x", "HTTP/1.1 100 Continue", "HTTP/1.1 103 x", "HTTP/1.1 302 x",
    "HTTP/1.1 404 x", "HTTP/1.1 500 x", "HTTP/1.0 200 OK", "HTTP/0.9", "", "Content-Length: 10", "Content-Length: -1",
    "Content-Length: 99999999999999999999", "Transfer-Encoding: chunked", "Connection: close", "Connection: keep-alive",
    "Location: /x", "Content-Range: bytes 0-9/1000", "Digest: adler32=1", "a", "0123456789", "0", "-a", "f" * 17,
    "a;x=y", ": ", "x" * 70_000, "X: y\r\n" * 200,
]  # fmt: skip
WORDS = st.sampled_from([f"{line}\r\n".encode() for line in LINES])
ANSWERS = st.lists(st.lists(WORDS | st.binary(max_size=20), max_size=12).map(b"".join), max_size=5)


@OFTEN
@given(answers=ANSWERS)
@example([b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + WHOLE, WHOLE + WHOLE, WHOLE])
@example([OK + CHUNKED + b"-a\r\n0123456789\r\n0\r\n\r\n", WHOLE])
def test_any_bytes_on_the_line_are_an_answer_or_a_sentence(answers):
    left = iter(answers)
    server = Raw(lambda: [next(left, b"")], 0.02)
    place = place_at(server.url)
    try:
        for verb in (*VERBS.values(), read):
            with contextlib.suppress(GridError):
                verb(place)
    finally:
        server.stop()


# What is sent.


class Talking:
    """A stand-in for a server that says something more than once while a file comes to it; it keeps what came."""

    def __init__(self, words: bytes, seconds: float = 0) -> None:
        self.words = words
        self.seconds = seconds  # between two words behind the body; 0 for none there
        self.body = b""
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://localhost:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        line = self.listener.accept()[0]
        with contextlib.suppress(OSError), line, line.makefile("rb") as file:
            head = b"".join(iter(file.readline, b"\r\n"))
            length = int(re.search(rb"Content-Length: (\d+)", head)[1])
            line.sendall(CONTINUE)
            while len(self.body) < length:
                self.body += file.read(min(length - len(self.body), length // 4))
                line.sendall(self.words)
            while self.seconds:
                time.sleep(self.seconds)
                line.sendall(self.words)
            line.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")


CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
DATA = random.Random(1).randbytes(8_000_000)


def send(place: Place) -> None:
    assert isinstance(place.writer, Late)
    place.writer.thing().is_heedless = False  # else it would be asked what it is
    place.writer.write("run/a", Sent(len(DATA), lambda: (DATA[at : at + BITE] for at in range(0, len(DATA), BITE))))


@pytest.mark.parametrize(
    "words", [CONTINUE, b"HTTP/1.1 102 Processing\r\n\r\n", CONTINUE * 3], ids=["100", "102", "many"]
)
def test_an_interim_answer_in_mid_body_sends_no_byte_twice(words):
    server = Talking(words)
    assert ending(lambda: send(place_at(server.url))) == "" and server.body == DATA


def test_interim_answers_behind_the_body_end_after_first_byte_seconds():
    server = Talking(CONTINUE, seconds=0.2)
    assert "does not answer" in ending(lambda: send(place_at(server.url, first_byte=1)))
