"""Faults on demand: what goes wrong at a door, its pools or its tape service, on which paths and how often.

    door.faults.add("*/big", "truncate", count=2)                        the first two readings of big end early
    door.faults.add("*", 503, role="door", method="GET", retry_after=1)  every GET at the door, until clear()
    door.faults.add("*", "reset", rate=0.01, seed=1)                     one request in a hundred, by dice

The path is a pattern for the decoded path of the request; role is door, pool, plain (a pool without TLS) or tape. The
kind is a status or one of these functions below, whose options it takes: repeat, reset, stall, interim, meanwhile,
moved, cut, other_bytes; lost; truncate, reset_in_body, stall_in_body, wrong_bytes, drip; ignore_range, refuse_range,
other_range, empty_206, digest, redirect; garbage, other_json, null_error. One that spoils a body happens only where
there is a body, and so on. The first fault that fits takes the request, and the log names it.
"""

from __future__ import annotations

import base64
import inspect
import json
import math
import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from itertools import chain
from typing import Any, NamedTuple

from tests.grid.web import PATIENCE, Pieces, Reply, Request, Stream, break_off, json_reply, left
from tests.grid.words import MOVER_BUSY

Answer = Callable[[Request], Reply]
Fits = Callable[[Request, Reply], bool]
TICK = 0.02  # seconds between two drops of a drip
CHECKSUM = re.compile(rb"(Checksums?>)(adler32=|)[^<\s]+")  # in a listing
TEXTS = {
    500: f"{MOVER_BUSY[500]}\n",
    503: "Service Unavailable\n",
    507: "Insufficient storage: SER_DISK_FULL\n",
}


class Hit(NamedTuple):
    """A fault that happens to a request."""

    request: Request
    answer: Answer  # how the right reply is made
    reply: Reply  # the right one; for faults before the answer, none
    places: dict[str, str]  # where redirects may lead


class Kind(NamedTuple):
    fits: Fits | None  # which answers it spoils; None: it comes before the answer
    act: Callable[..., Reply]


KINDS: dict[str, Kind] = {}
NONE = Reply(500)  # stands for the answer that is not made yet


def kind(fits: Fits | None) -> Callable[[Callable[..., Reply]], Callable[..., Reply]]:
    """Enter a function into KINDS."""

    def enter(act: Callable[..., Reply]) -> Callable[..., Reply]:
        KINDS[act.__name__] = Kind(fits, act)
        return act

    return enter


@dataclass
class Fault:
    """One that was asked for; `count` says how often it may still happen (None: for ever), `hits` how often it did."""

    path: str
    name: str
    role: str | None
    method: str | None
    count: int | None
    rate: float
    dice: random.Random
    options: dict[str, Any]
    hits: int = 0

    def fits(self, request: Request, reply: Reply) -> bool:
        fits = KINDS[self.name].fits
        return (
            self.count != 0
            and self.role in (None, request.record.role)
            and self.method in (None, request.method)
            and fnmatchcase(request.path, self.path)
            and (reply is NONE if fits is None else reply is not NONE and fits(request, reply))
            and self.dice.random() < self.rate
        )


@dataclass
class Faults:
    """The faults of one door; `places` are URLs that its redirects may lead to, by name."""

    places: dict[str, str] = field(default_factory=dict)
    _faults: list[Fault] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(
        self,
        path: str,
        what: str | int,
        *,
        role: str | None = None,
        method: str | None = None,
        count: int | None = None,
        rate: float = 1.0,
        seed: int = 0,
        **options: Any,
    ) -> Fault:
        """Let something go wrong from now on."""
        if isinstance(what, int):
            what, options = "status", {"code": what, **options}
        inspect.signature(KINDS[what].act).bind(None, **options)  # else a test would fail far from its mistake
        fault = Fault(path, what, role, method, count, rate, random.Random(seed), options)
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Let nothing go wrong from now on."""
        with self._lock:
            self._faults = []

    def around(self, answer: Answer) -> Answer:
        """A server's answers, spoilt: the one place where faults are looked up."""

        def spoilt(request: Request) -> Reply:
            instead = self._act(request, NONE, answer)
            if instead:
                return instead
            reply = answer(request)
            return self._act(request, reply, answer) or reply

        return spoilt

    def _act(self, request: Request, reply: Reply, answer: Answer) -> Reply | None:
        with self._lock:
            fault = next((fault for fault in self._faults if fault.fits(request, reply)), None)
            if fault is None:
                return None
            fault.hits += 1
            fault.count = fault.count and fault.count - 1
        request.record.fault = fault.name
        return KINDS[fault.name].act(Hit(request, answer, reply, self.places), **fault.options)


# == Instead of the answer, or before it ================================================================


@kind(None)
def status(hit: Hit, code: int, retry_after: int | None = None, text: str | None = None, reason: str = "") -> Reply:
    """This status, and the request is not carried out."""
    body = TEXTS.get(code, "") if text is None else text
    return Reply(code, body.encode(), {} if retry_after is None else {"Retry-After": str(retry_after)}, reason)


@kind(None)
def repeat(hit: Hit, code: int = 403, said: Callable[[str], str] = str) -> Reply:
    """An error whose body and reason say which token and query were sent."""
    text = said(" ".join([hit.request.headers.get("authorization", ""), *hit.request.query.values()]).strip())
    return Reply(code, text.encode(), reason=text)


@kind(None)
def reset(hit: Hit) -> Reply:
    """The connection is reset before the answer, and the request is not carried out."""
    break_off(hit.request.connection)


@kind(None)
def stall(hit: Hit, seconds: float = PATIENCE) -> Reply:
    """Nothing comes for so long; then the answer, if anybody still waits."""
    if left(hit.request.connection, seconds):
        raise ConnectionAbortedError("nobody waits")
    return hit.answer(hit.request)


@kind(None)
def interim(hit: Hit) -> Reply:
    """The client is told to go on, again and again, as long as it is there."""
    while not left(hit.request.connection, TICK):
        hit.request.connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)
    raise ConnectionAbortedError("nobody waits")


@kind(None)
def meanwhile(hit: Hit, happens: Callable[[], object]) -> Reply:
    """Something else happens in the moment before the answer: a file changes, a server restarts."""
    happens()
    return hit.answer(hit.request)


@kind(None)
def moved(hit: Hit, code: int = 307, to: str = "itself") -> Reply:
    """Whatever was asked is to be asked again, of the same server or of another."""
    where = hit.request.origin if to == "itself" else hit.places.get(to, to)
    return Reply(code, headers={"Location": where + hit.request.target})


def uploaded(hit: Hit, change: Callable[[Iterator[bytes], int], Iterator[bytes]]) -> Reply:
    """The answer to an upload whose bytes arrive otherwise; change is told how many there are."""
    length = int(hit.request.headers.get("content-length", 0))
    pieces = hit.request.pieces
    hit.request.pieces = lambda limit=math.inf: change(pieces(limit), length)  # type: ignore[method-assign]
    return hit.answer(hit.request)


@kind(None)
def cut(hit: Hit, at: int | None = None, seconds: float = 0) -> Reply:
    """Of an upload no more arrives than so much, by default half of it, a negative number from its end; nothing is read
    for so long, and then the connection is reset."""

    def change(pieces: Iterator[bytes], length: int) -> Iterator[bytes]:
        rest = length // 2 if at is None else at % max(length, 1)
        for piece in pieces:
            yield piece[:rest]
            rest -= len(piece)
            if rest <= 0:
                left(hit.request.connection, seconds)
                break_off(hit.request.connection)

    return uploaded(hit, change)


@kind(None)
def other_bytes(hit: Hit) -> Reply:
    """The first byte of an upload arrives as another."""

    def change(pieces: Iterator[bytes], length: int) -> Iterator[bytes]:
        for i, piece in enumerate(pieces):
            yield bytes([piece[0] ^ 0xFF]) + piece[1:] if i == 0 else piece

    return uploaded(hit, change)


# == After it ===========================================================================================


@kind(lambda request, reply: True)
def lost(hit: Hit) -> Reply:
    """What was asked is done, and instead of the answer the connection is reset."""
    break_off(hit.request.connection)


# == While the body is sent =============================================================================


def has_body(request: Request, reply: Reply) -> bool:
    length = reply.body.length if isinstance(reply.body, Stream) else len(reply.body)
    return request.method != "HEAD" and length != 0


def is_file(request: Request, reply: Reply) -> bool:
    return request.method == "GET" and isinstance(reply.body, Stream) and bool(reply.body.length)


def broken_at(hit: Hit, at: int | None, change: Callable[[Pieces], Pieces]) -> Reply:
    """The body with its bytes changed from a place on, by default the middle."""

    def delivery(body: Stream) -> Pieces:
        before = (body.length or 0) // 2 if at is None else at
        pieces = iter(body.pieces)
        for piece in pieces:
            if len(piece) > before:
                yield piece[:before]
                yield from change(chain([piece[before:]], pieces))
                return
            before -= len(piece)
            yield piece

    return replace(hit.reply, delivery=delivery)


@kind(has_body)
def truncate(hit: Hit, at: int | None = None) -> Reply:
    """The body ends early, and the connection with it."""
    return broken_at(hit, at, lambda pieces: ())


@kind(has_body)
def reset_in_body(hit: Hit, at: int | None = None) -> Reply:
    """The connection is reset in the body; with at=0 right after the headers."""
    return broken_at(hit, at, lambda pieces: break_off(hit.request.connection))


@kind(has_body)
def stall_in_body(hit: Hit, at: int | None = None, seconds: float = PATIENCE) -> Reply:
    """Nothing more comes for so long; then the rest."""
    return broken_at(hit, at, lambda pieces: () if left(hit.request.connection, seconds) else pieces)


@kind(is_file)
def wrong_bytes(hit: Hit, at: int | None = None) -> Reply:
    """One byte of a file is another."""

    def change(pieces: Pieces) -> Pieces:
        for i, piece in enumerate(pieces):
            yield bytes([piece[0] ^ 0xFF]) + bytes(piece[1:]) if i == 0 else piece

    return broken_at(hit, at, change)


@kind(has_body)
def drip(hit: Hit, speed: float = 1000) -> Reply:
    """The body comes with so many bytes a second."""
    share = max(int(speed * TICK), 1)

    def delivery(body: Stream) -> Pieces:
        for piece in body.pieces:
            for at in range(0, len(piece), share):
                yield piece[at : at + share]
                time.sleep(share / speed)

    return replace(hit.reply, delivery=delivery)


# == Another range, checksum, place =====================================================================


def is_range(request: Request, reply: Reply) -> bool:
    return reply.status == 206


@kind(is_range)
def ignore_range(hit: Hit) -> Reply:
    """The whole file with 200 instead of a range."""
    del hit.request.headers["range"]
    return hit.answer(hit.request)


@kind(is_range)
def refuse_range(hit: Hit) -> Reply:
    """416 for any range."""
    return Reply(416)


@kind(is_range)
def other_range(hit: Hit) -> Reply:
    """206 with a range that begins one byte earlier, or at the beginning one later."""
    first, _, rest = hit.request.headers["range"].partition("=")[2].partition("-")
    hit.request.headers["range"] = f"bytes={int(first or 0) - 1 if int(first or 0) else 1}-{rest}"
    return hit.answer(hit.request)


@kind(is_range)
def empty_206(hit: Hit) -> Reply:
    """206 without bytes."""
    return replace(hit.reply, body=b"")


def has_digest(request: Request, reply: Reply) -> bool:
    is_said = bool({"Digest", "Repr-Digest"} & reply.headers.keys())
    return is_said or (reply.status == 207 and bool(CHECKSUM.search(bytes(reply.body))))


@kind(has_digest)
def digest(hit: Hit, value: str = "0badc0de") -> Reply:
    """Another checksum in the header or the listing; an empty one: none at all."""
    said = {"Digest": f"adler32={value}"}
    is_one = re.fullmatch("(?:[0-9a-f]{8})?", value)
    said["Repr-Digest"] = f"adler=:{base64.b64encode(bytes.fromhex(value)).decode() if is_one else value}:"
    headers = {name: said.get(name, text) for name, text in hit.reply.headers.items() if value or name not in said}
    body = hit.reply.body
    if isinstance(body, bytes):
        body = CHECKSUM.sub(rb"\g<1>\g<2>" + value.encode() if value else rb"\g<1>", body)
    return replace(hit.reply, headers=headers, body=body)


def is_read(request: Request, reply: Reply) -> bool:
    return request.method == "GET" and request.record.role == "door" and reply.status in (200, 206, 302)


@kind(is_read)
def redirect(hit: Hit, to: str) -> Reply:
    """The door sends readers to itself, to http, elsewhere (the pool under another name), dead (a port) or to a URL."""
    if to == "itself":
        return Reply(302, headers={"Location": hit.request.origin + hit.request.target})
    right = re.fullmatch(r"https?://[^/]+(/.*)", hit.reply.headers.get("Location", ""))
    path = right[1] if right else hit.request.target
    return Reply(302, headers={"Location": hit.places.get(to, to) + path})


# == Documents ==========================================================================================


def is_json(request: Request, reply: Reply) -> bool:
    return "json" in reply.headers.get("Content-Type", "")


@kind(lambda request, reply: reply.status == 207 or is_json(request, reply))
def garbage(hit: Hit, text: str = '<d:multistatus xmlns:d="DAV:"><d:response><d:href>{"files": [') -> Reply:
    """Neither XML nor JSON where one of them should be."""
    return replace(hit.reply, body=text.encode("utf-8", "surrogateescape"))


@kind(is_json)
def other_json(hit: Hit, document: Any = None) -> Reply:
    """Any JSON where another should be."""
    return json_reply(hit.reply.status, document)


@kind(is_json)
def null_error(hit: Hit) -> Reply:
    """Everything that the JSON lists has an "error", which is null."""
    document = json.loads(bytes(hit.reply.body))
    for row in document.get("files", ()) if isinstance(document, dict) else document:
        row["error"] = None
    return json_reply(hit.reply.status, document)


# At which requests of a run something goes wrong. What sends the bytes is a pool of dCache, or StoRM's door itself.
AT: dict[str, dict[str, str]] = {
    "listing": {"role": "door", "method": "PROPFIND"},
    "reading": {"role": "door", "method": "GET"},
    "bytes": {"role": "pool"},
    "discovery": {"role": "door", "path": "/.well-known/*"},
    "locality": {"role": "tape", "path": "*/archiveinfo*"},
    "staging": {"role": "tape", "method": "POST", "path": "*/stage*"},
    "poll": {"role": "tape", "method": "GET", "path": "*/stage/*"},
    "release": {"role": "tape", "path": "*/release/*"},
    "checksum": {"method": "HEAD"},
}
