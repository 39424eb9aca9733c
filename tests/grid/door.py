"""A simulated dCache 10.2: the WebDAV door, a pool it redirects reads to, and the Tape REST frontend.

Three HTTPS listeners on loopback answer as the real ones do, over a Tree and a Robot. The switches, which a test
may turn at any time (`door.switches.mover_timeout = 0.1`), are the fields of Switches:

    anonymous_listing   may a client without a certificate list folders?
    mover_timeout       seconds a GET waits for a file on tape before the door answers 500
    mover_life          seconds the address of a redirect waits for its first connection
    stage_limit         files in one staging or release request; more give 413
    pin_lifetime        seconds of a pin whose request names no diskLifetime

How tape behaves is turned at the robot: `door.robot.hold()`, `.go(3)`, `.fail`, `.stuck`, `.evict` (see tape.py).
"""

from __future__ import annotations

import html
import json
import random
import re
import ssl
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import quote

from tests.grid.pki import VO, Pki
from tests.grid.propfind import HEADERS, Resource, encode, etag, http_date, multistatus
from tests.grid.tape import Robot, StageRequest, Staging, Target
from tests.grid.tree import BOTH, DISK, TAPE, File, Folder, Node, Tree, checksum, content
from tests.grid.web import Log, Reply, Request, Server, Stream

ALLOW_PROXY_CERTS = 0x40  # X509_V_FLAG_ALLOW_PROXY_CERTS; the ssl module has no name for it
WELL_KNOWN = "/.well-known/wlcg-tape-rest-api"
TAPE_API = "/api/v1/tape"
INFINITY_LIMIT = 200_000  # entries of a PROPFIND without Depth; a real door is cut by its idle time
ARCHIVEINFO_LIMIT = 10_000  # paths; the rest is dropped without a word
POOL_BUSY = "Request to [>PoolManager@local] timed out."
BOUNDARY = "__AAAAAAAAAAAAAAAA__"
TAPE_WORDS = {DISK: "DISK", TAPE: "TAPE", BOTH: "DISK_AND_TAPE"}


@dataclass
class Switches:
    anonymous_listing: bool = False
    mover_timeout: float = 2.0
    mover_life: float = 300.0
    stage_limit: int = 500
    pin_lifetime: float = 2 * 86400


class Guest(NamedTuple):
    """Who is behind a client certificate, and until when the VO vouches for him (0: not at all)."""

    dn: str
    member_until: float


class Guests:
    """Reads client certificates, each once, with voms-proxy-info."""

    def __init__(self, pki: Pki) -> None:
        self._pki = pki
        self._known: dict[bytes, Guest] = {}
        self._lock = threading.Lock()

    def of(self, request: Request) -> Guest | None:
        """The guest of a request; None without a certificate."""
        # The leaf alone is the key: a resumed TLS session no longer has the rest of the chain.
        leaf = request.connection.getpeercert(binary_form=True)
        if not leaf:
            return None
        with self._lock:
            if leaf not in self._known:
                self._known[leaf] = self._read(request.connection)
        request.record.client = self._known[leaf].dn
        return self._known[leaf]

    def _read(self, connection: ssl.SSLSocket) -> Guest:
        chain = connection._sslobj.get_unverified_chain()  # type: ignore[attr-defined]  # public from 3.13 on
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
            file.write("".join(certificate.public_bytes() for certificate in chain))
            file.flush()
            command = ["voms-proxy-info2", "-file", file.name, "-identity", "-vo", "-actimeleft"]
            run = subprocess.run(command, env=self._pki.environment(), capture_output=True, text=True, timeout=30)
        dn, vo, left = [*run.stdout.splitlines(), "", "", ""][:3]
        return Guest(dn, time.time() + int(left) if vo == VO else 0)


class Door:
    """The three listeners together; `url` is what goes into Grid.conf."""

    def __init__(self, tree: Tree, pki: Pki, robot: Robot) -> None:
        self.switches = Switches()
        self.robot = robot
        self.staging = Staging(robot)
        self.log = Log()
        guests, known, unknown = Guests(pki), _tls(pki), _tls(pki)
        known.verify_mode = ssl.CERT_OPTIONAL
        known.verify_flags |= ALLOW_PROXY_CERTS
        known.load_verify_locations(capath=str(pki.certificates))
        pool = Pool(tree, self.switches)
        self._pool = Server("pool", unknown, self.log, pool.answer, pool.closed)
        tape = TapeFrontend(tree, guests, self.staging, self.switches)
        self._tape = Server("tape", known, self.log, tape.answer)
        tape.url = self._tape.url + TAPE_API
        webdav = WebDav(tree, guests, self.staging, self.switches, pool, self._pool.url, tape.url)
        self._door = Server("door", known, self.log, webdav.answer)
        self.url, self.pool_url, self.tape_url = self._door.url, self._pool.url, tape.url

    def start(self) -> None:
        self.robot.start()
        for server in (self._pool, self._tape, self._door):
            server.start()

    def stop(self) -> None:
        for server in (self._door, self._tape, self._pool):
            server.stop()
        self.robot.stop()


def _tls(pki: Pki) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(str(pki.folder / "host.pem"), str(pki.folder / "host.key"))
    return context


# == WebDAV =============================================================================================


class WebDav:
    """The door: lists, knows checksums and sends readers to the pool."""

    def __init__(
        self,
        tree: Tree,
        guests: Guests,
        staging: Staging,
        switches: Switches,
        pool: Pool,
        pool_url: str,
        tape_url: str,
    ) -> None:
        self.tree = tree
        self.guests = guests
        self.staging = staging
        self.switches = switches
        self.pool = pool
        self.pool_url = pool_url
        self.tape_url = tape_url

    def answer(self, request: Request) -> Reply:
        if request.path == WELL_KNOWN:
            return _json(200, _well_known(self.tape_url))
        methods = {"PROPFIND": self._propfind, "HEAD": self._get, "GET": self._get}
        method = methods.get(request.method)
        if not method:
            return _text(405, f"Method {request.method} is not allowed.")
        refusal = self._refusal(request)
        if refusal:
            return refusal
        self.staging.sweep()
        node = self.tree.find(request.path)
        return method(request, node) if node else _text(404, f"Path not found: {request.path}")

    def _refusal(self, request: Request) -> Reply | None:
        guest = self.guests.of(request)
        if guest and time.time() < guest.member_until:
            return None
        if self.switches.anonymous_listing and request.method == "PROPFIND":
            return None
        if guest:
            return _text(403, f"Permission denied for {request.method} on path {request.path}")
        text = f"You are not unauthorised for {request.method} on path {request.path}"  # the door's own words
        return _text(401, text, {"WWW-Authenticate": 'Basic realm="AGATA test grid"'})

    def _propfind(self, request: Request, node: Node) -> Reply:
        """List; a missing or odd Depth means the whole subtree."""
        depth = {"0": 0, "1": 1}.get(request.headers.get("depth", ""), 1000)
        href = request.origin + request.target.replace("&", "%26")
        if isinstance(node, Folder):
            href = href.rstrip("/") + "/"
        resources = []
        for resource in _walk(Resource(href, request.path.rstrip("/"), node), depth):
            resources.append(resource)
            if len(resources) > INFINITY_LIMIT:
                raise ConnectionAbortedError("listing too long")
        return Reply(207, multistatus(resources, request.body), HEADERS, "Multi-status", chunked=True)

    def _get(self, request: Request, node: Node) -> Reply:
        if isinstance(node, Folder):
            return _folder(request, node)
        if request.method == "HEAD":
            return _head(request, node)
        if node.locality in (DISK, BOTH) or self._staged(request.path):
            return self._to_pool(request)
        return _text(500, f"Internal problem: {POOL_BUSY}")

    def _staged(self, path: str) -> bool:
        """Wait for a file on tape, as long as the door waits for a mover; the restore goes on after that."""
        self.staging.robot.restore(path).wait(self.switches.mover_timeout)
        return self.tree.file(path).locality in (DISK, BOTH)

    def _to_pool(self, request: Request) -> Reply:
        mover = self.pool.open(request.path, request.origin, "want-digest" in request.headers)
        path = quote(request.path, errors="surrogateescape")
        query = f"dcache-http-uuid={mover}&dcache-http-ref={quote(request.origin, safe='')}"
        return Reply(302, b"", {"Location": f"{self.pool_url}{path}?{query}"})


def _walk(resource: Resource, depth: int) -> Iterator[Resource]:
    yield resource
    if not isinstance(resource.node, Folder) or depth == 0:
        return
    for child in list(resource.node.children.values()):
        slash = "/" if isinstance(child, Folder) else ""
        href = resource.href + encode(child.name) + slash
        yield from _walk(Resource(href, f"{resource.path}/{child.name}", child), depth - 1)


def _folder(request: Request, folder: Folder) -> Reply:
    """A page for people; without the slash at the end, the way to it."""
    if not request.target.endswith("/"):
        return Reply(302, b"", {"Location": f"{request.origin}{request.target}/"})
    names = [name + "/" * isinstance(node, Folder) for name, node in folder.children.items()]
    rows = [f'<li><a href="{encode(name.rstrip("/"))}">{html.escape(name)}</a></li>' for name in names]
    page = f"<html><body><h1>{html.escape(request.path)}</h1><ul>{''.join(rows)}</ul></body></html>\n"
    return Reply(200, page.encode("utf-8", "surrogateescape"), {"Content-Type": "text/html;charset=utf-8"})


def _head(request: Request, file: File) -> Reply:
    """All about a file without touching pool or tape."""
    headers = {"Accept-Ranges": "bytes", "ETag": etag(request.path, file.mtime), "Last-Modified": http_date(file.mtime)}
    return Reply(200, Stream(file.size, ()), {**headers, **_digest(request, file)})


def _digest(request: Request, file: File) -> dict[str, str]:
    """The one stored checksum that Want-Digest prefers; with equal q the door takes md5 before adler32."""
    best = (0.0, "")
    for wish in request.headers.get("want-digest", "").lower().split(","):
        kind, _, q = wish.partition(";q=")
        kind, weight = kind.strip(), float(q or 1)
        if kind in file.checksums and weight > 0:
            best = max(best, (weight, kind))
    return {"Digest": f"{best[1]}={checksum(file, best[1])}"} if best[1] else {}


def _text(status: int, text: str, headers: dict[str, str] | None = None) -> Reply:
    body = f"{text}\n".encode("utf-8", "surrogateescape")
    return Reply(status, body, {"Content-Type": "text/plain;charset=utf-8", **(headers or {})})


def _well_known(tape_url: str) -> dict[str, Any]:
    endpoint = {"uri": tape_url, "version": "v1", "metadata": {}}
    return {"sitename": "AGATA-TEST", "description": "Tape of the AGATA test grid", "endpoints": [endpoint]}


# == Pool ===============================================================================================


@dataclass
class Mover:
    """One permission to read one file, whose UUID is all the credential the pool wants."""

    path: str
    digest_wanted: bool
    opened: float = field(default_factory=time.time)
    connections: set[ssl.SSLSocket] = field(default_factory=set)


class Pool:
    """Where the bytes come from."""

    def __init__(self, tree: Tree, switches: Switches) -> None:
        self.tree = tree
        self.switches = switches
        self._movers: dict[str, Mover] = {}
        self._lock = threading.Lock()

    def open(self, path: str, origin: str, digest_wanted: bool) -> str:
        """A new mover; its UUID."""
        name = str(uuid.uuid4())
        with self._lock:
            self._movers[name] = Mover(path, digest_wanted)
        return name

    def closed(self, connection: ssl.SSLSocket) -> None:
        """A mover that was read in ranges ends with its last connection."""
        with self._lock:
            for name, mover in list(self._movers.items()):
                if connection in mover.connections:
                    mover.connections.remove(connection)
                    if not mover.connections:
                        del self._movers[name]

    def answer(self, request: Request) -> Reply:
        if request.method not in ("GET", "HEAD"):
            return Reply(501)
        name = request.query.get("dcache-http-uuid", "")
        if not name:
            return _refused(400, "Request is not valid. Please resubmit to door.")
        mover = self._join(name, request)
        if mover is None:
            return _back_to_door(request)
        if mover.path != request.path:
            return _refused(400, "The file you specified does not match the UUID you specified!")
        return self._send(request, name, mover)

    def _join(self, name: str, request: Request) -> Mover | None:
        with self._lock:
            mover = self._movers.get(name)
            if mover and not mover.connections and time.time() > mover.opened + self.switches.mover_life:
                mover = self._movers.pop(name) and None
            if mover:
                mover.connections.add(request.connection)
            return mover

    def _send(self, request: Request, name: str, mover: Mover) -> Reply:
        file = self.tree.file(mover.path)
        headers = {
            "Accept-Ranges": "bytes",
            "Content-Disposition": f'attachment;filename="{file.name}"',
            "Content-Location": request.query.get("dcache-http-ref", "") + request.target,
            **(_digest(request, file) if mover.digest_wanted else {}),
        }
        wish = request.headers.get("range")
        if wish is None:
            return Reply(200, Stream(file.size, self._whole(file, name)), headers)
        spans = _spans(wish, file.size)
        if spans is None:
            return _refused(400, f"Bad range: {wish}")
        if not spans:
            return _refused(416, "None of the ranges can be satisfied")
        return _partial(file, spans, headers)

    def _whole(self, file: File, name: str) -> Iterator[memoryview]:
        """All of a file; sending it completely ends the mover."""
        yield from content(file, 0, file.size)
        with self._lock:
            self._movers.pop(name, None)


def _refused(status: int, reason: str) -> Reply:
    """The pool says its errors in the reason phrase."""
    return Reply(status, reason=reason)


def _back_to_door(request: Request) -> Reply:
    door = request.query.get("dcache-http-ref")
    if not door:
        return _refused(400, "Request is no longer valid. Please resubmit to door.")
    return Reply(307, headers={"Location": door + request.target}, reason="Request is no longer valid")


def _spans(wish: str, size: int) -> list[tuple[int, int]] | None:
    """The ranges [start, stop) of a Range header that lie in the file; None if it cannot be understood."""
    unit, _, sets = wish.partition("=")
    spans = []
    for text in sets.split(","):
        match = re.fullmatch(r"\s*(\d*)-(\d*)\s*", text)
        if unit.strip() != "bytes" or not match or match.groups() == ("", ""):
            return None
        first, last = match.groups()
        if not first:
            start, stop = max(size - int(last), 0), size
        else:
            start, stop = int(first), min(int(last) + 1, size) if last else size
        if last and first and int(last) < int(first):
            return None
        if start < stop:
            spans.append((start, stop))
    return spans


def _partial(file: File, spans: list[tuple[int, int]], headers: dict[str, str]) -> Reply:
    marks = [f"bytes {start}-{stop - 1}/{file.size}" for start, stop in spans]
    if len(spans) == 1:
        start, stop = spans[0]
        body = Stream(stop - start, content(file, start, stop))
        return Reply(206, body, {**headers, "Content-Range": marks[0]})
    parts = [f"\r\n--{BOUNDARY}\r\nContent-Range: {mark}\r\n\r\n".encode() for mark in marks]
    end = f"\r\n--{BOUNDARY}--\r\n".encode()
    length = sum(map(len, parts)) + sum(stop - start for start, stop in spans) + len(end)
    kind = {"Content-Type": f'multipart/byteranges; boundary="{BOUNDARY}"'}
    return Reply(206, Stream(length, _multipart(file, spans, parts, end)), {**headers, **kind})


def _multipart(
    file: File, spans: list[tuple[int, int]], parts: list[bytes], end: bytes
) -> Iterator[bytes | memoryview]:
    for part, (start, stop) in zip(parts, spans):
        yield part
        yield from content(file, start, stop)
    yield end


# == Tape REST API ======================================================================================


class BadRequest(Exception):
    """A request the frontend refuses with a status and a sentence."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class TapeFrontend:
    """The Tape REST API, version 1, as dCache's frontend speaks it."""

    def __init__(self, tree: Tree, guests: Guests, staging: Staging, switches: Switches) -> None:
        self.tree = tree
        self.guests = guests
        self.staging = staging
        self.switches = switches
        self.url = ""

    def answer(self, request: Request) -> Reply:
        if request.path == WELL_KNOWN:
            return _json(200, _well_known(self.url))
        guest = self.guests.of(request)
        if guest is None:
            return _problem(401, "Unauthorized", {"WWW-Authenticate": 'Basic realm="AGATA test grid"'})
        if time.time() >= guest.member_until:
            return _problem(403, "Forbidden")
        self.staging.sweep()
        call, arguments = self._route(request)
        try:
            return call(request, guest, *arguments) if call else _problem(404, "Not Found")
        except BadRequest as error:
            return _problem(error.status, str(error))

    def _route(self, request: Request) -> tuple[Callable[..., Reply] | None, list[str]]:
        """The call a request means, and the request id in its path."""
        if not request.path.startswith(TAPE_API + "/"):
            return None, []
        verb, *rest = request.path[len(TAPE_API) + 1 :].strip("/").split("/")
        one = "/{id}" if rest else ""
        calls: dict[str, Callable[..., Reply]] = {
            "POST stage": self._stage,
            "GET stage/{id}": self._show,
            "DELETE stage/{id}": self._delete,
            "POST stage/{id}/cancel": self._cancel,
            "POST release/{id}": self._release,
            "POST archiveinfo": self._archiveinfo,
        }
        return calls.get("/".join([f"{request.method} {verb}{one}", *rest[1:]])), rest[:1]

    def _stage(self, request: Request, guest: Guest) -> Reply:
        document = _document(request)
        if set(document) - {"files"}:
            raise BadRequest(400, "unrecognized payload element(s)")
        files = document.get("files")
        if not files:
            raise BadRequest(400, "request contains no files.")
        self._within_limit(files)
        lifetimes = [self._lifetime(i, file) for i, file in enumerate(files)]
        name = self.staging.stage(guest.dn, lifetimes)
        return _json(201, {"requestId": name}, {"location": f"{self.url}/stage/{name}"})

    def _lifetime(self, i: int, file: dict[str, str]) -> tuple[str, float]:
        if not file.get("path"):
            raise BadRequest(400, f"file object {i} has no path.")
        return file["path"], _seconds(file["diskLifetime"]) if "diskLifetime" in file else self.switches.pin_lifetime

    def _show(self, request: Request, guest: Guest, name: str) -> Reply:
        stage = self._own(guest, name)
        document: dict[str, Any] = {"id": name, "createdAt": _ms(stage.created), "startedAt": _ms(stage.created)}
        if stage.completed:
            document["completedAt"] = _ms(stage.completed)
        document["files"] = [_target(target) for target in stage.targets.values()]
        return _json(200, document)

    def _cancel(self, request: Request, guest: Guest, name: str) -> Reply:
        stage = self._own(guest, name)
        paths = _paths(request) or list(stage.targets)  # an empty list cancels everything
        foreign = [path for path in paths if path.strip("/") not in stage.targets]
        if foreign:
            return Reply(400, headers={"title": "Bad Request", "detail": f"{foreign[0]} is not part of the request"})
        self.staging.cancel(stage, paths)
        return Reply(200)

    def _delete(self, request: Request, guest: Guest, name: str) -> Reply:
        stage = self._own(guest, name)
        self.staging.cancel(stage, stage.targets)
        del self.staging.requests[name]
        return Reply(200)

    def _release(self, request: Request, guest: Guest, name: str) -> Reply:
        """Accept everything: unknown ids and foreign paths are passed over."""
        paths = _paths(request)
        self._within_limit(paths)
        self.staging.release(name, paths)
        return Reply(200)

    def _archiveinfo(self, request: Request, guest: Guest) -> Reply:
        paths = list(set(_paths(request)[:ARCHIVEINFO_LIMIT]))
        random.shuffle(paths)
        return _json(200, [self._locality(path) for path in paths])

    def _locality(self, path: str) -> dict[str, str]:
        node = self.tree.find(path)
        if node is None:
            return {"path": path, "error": f"CacheException(rc=10001;msg=No such file or directory {path})"}
        word = node.locality if isinstance(node, File) else "NONE"
        return {"path": path, "locality": TAPE_WORDS.get(word, word)}

    def _own(self, guest: Guest, name: str) -> StageRequest:
        stage = self.staging.requests.get(name)
        if stage is None:
            raise BadRequest(404, "Not Found")
        if stage.owner != guest.dn:
            raise BadRequest(403, "Forbidden")
        return stage

    def _within_limit(self, files: list[Any]) -> None:
        if len(files) > self.switches.stage_limit:
            raise BadRequest(413, "Request Entity Too Large")


def _target(target: Target) -> dict[str, Any]:
    """One file of a staging request; what is not set is left out."""
    restore = target.restore
    shown = {
        "path": target.path,
        "startedAt": restore.started and _ms(restore.started),
        "finishedAt": target.ended and _ms(target.ended),
        "state": target.state,
        "error": restore.error,
    }
    return {key: value for key, value in shown.items() if value is not None}


def _document(request: Request) -> dict[str, Any]:
    try:
        document = json.loads(request.body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise BadRequest(400, "Bad Request")
    return document


def _paths(request: Request) -> list[str]:
    paths = _document(request).get("paths")
    if paths is None:
        raise BadRequest(400, "request contains no paths.")
    return list(paths)


def _seconds(duration: str) -> float:
    """An ISO 8601 duration such as P7D or PT12H."""
    match = re.fullmatch(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?", duration)
    if not match or duration.endswith(("P", "T")):
        raise BadRequest(400, f"Text '{duration}' cannot be parsed to a Duration")
    days, hours, minutes, seconds = (int(number or 0) for number in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def _ms(seconds: float) -> int:
    return int(seconds * 1000)


def _json(status: int, document: Any, headers: dict[str, str] | None = None) -> Reply:
    return Reply(status, json.dumps(document).encode(), {"Content-Type": "application/json", **(headers or {})})


def _problem(status: int, detail: str, headers: dict[str, str] | None = None) -> Reply:
    """An error; its status is a string here, against the standard."""
    return _json(status, {"status": str(status), "title": HTTPStatus(status).phrase, "detail": detail}, headers)
