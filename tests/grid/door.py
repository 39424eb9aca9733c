"""A simulated dCache or StoRM: the WebDAV door, the pools it redirects readers to, and the Tape REST service.

Listeners on loopback answer as the real ones do, over a Tree and a Robot. `Door(..., profile="storm-1.9")` sets the
switches below as that software has them (PROFILES); a test turns any of them at any time: `door.switches.bounce = 400`.

Who may come in
    anonymous_listing     may a client without certificate or token list folders?
    turn_away             everybody is taken for: "anonymous" (401 in dCache's odd words), "stranger" (401 for a bad
                          login, without a body), "forbidden" (403), "" (for what they are)
    unreadable            paths that nobody may read; unreadable_status is what they give
Words
    server                the header of that name
    words                 "dcache" or "storm": the texts of errors, and the shape of the tape service's errors
Listing
    checksum_prop         "dcache" (a list), "storm" (bare hex), "empty", "absent"
    adler_no_padding      does adler32 lose the zeros in front?
    locality_props        does a listing tell where files are?
    ns_prefix_shuffle     may a namespace have another prefix each time?
    unprefixed_404_props  are unknown properties in no namespace when no known one shares theirs?
    silent_empty_dir      paths of folders whose children are not shown, for no reason given
    weak_etag             W/"..."
Reading
    redirect              "pool302", "pool302-http" (a pool without TLS), "proxy" (the door reads it), "none"
    bounce                what the pool says to an address that is used up: 307 back to the door, or 400
    mover_life            seconds the address of a redirect waits for its first connection
    mover_once            does any read use an address up, or only one of the whole file?
    mover_slots           readers a pool serves at once, the last to come first
    mover_busy            what the door says to the others after mover_timeout: 500 or 507
    pool_asks             does the pool ask for a certificate, which it needs not? The log says if one was shown
    mover_timeout         seconds a GET waits for a file on tape or a slot before the door gives up
    proxy_open_range_empty  does a proxying door give nothing for bytes=5- and bytes=-5?
    digest_needs_want     do door and pool tell a checksum only who asks?
    digest_words          "old" (Want-Digest, Digest), "rfc9530" (Want-Repr-Digest, Repr-Digest), "both"
    digest_list_fails     does a wish for one of several checksums end in 500?
    if_range              does a range of another version than If-Range names become the whole file? Else it is ignored
    locality_header       does HEAD say where the file is?
    nearline_get          a GET of a file on tape: "block" (fetches, at most mover_timeout, then 500), "hang" (fetches,
                          however long it takes), "500", "403", "415" (at once)
Lines
    handshake             what becomes of new connections: "served", "reset", "silent" (accepted, but no more)
    idle_close            seconds until a silent connection is closed
    latency, bandwidth    seconds before each answer and each handshake; bytes a second of a connection (0: no limit)
Tape
    tape_root             what stands before the door's paths in those of the tape service
    wellknown             "present", "404", or the URL that it names instead of the right one
    pin_lifetime          seconds of a pin whose request names no diskLifetime
    lifetime_ignored      ... or whatever it names
    stage_limit           files in one staging or release request; more give over_limit_status
    max_requests          unfinished requests of one user; more give 429
    request_retention     seconds until a request is forgotten
    tape_time_unit        "ms", "s"
    tape_unset            a time that is not yet: "omitted", "null", "0"
    tape_error_text       do files of a request have times and errors, or only path and state?
    skipped_is_failed     is a file that is on disk alone FAILED without an error?
    state_at_poll         is a state what the file itself looks like just now?
    release_unknown       200 or 404 for requests that are not known, and 400 for files that are not of the request
    release_delay         seconds until a release has an effect (math.inf: never)
    cancel_foreign        a file that is not of the request: 400 with "headers" or with a "problem" document
    cancel_empty          an empty list cancels "all" or "none"
    archiveinfo_order     "shuffled" and without duplicates, "kept"
    archiveinfo_limit     paths; the rest is dropped without a word
    empty_file_is_none    is the locality of a file of 0 bytes NONE?

What goes wrong is added to `door.faults` (faults.py). How tape behaves is turned at the robot: `door.robot.hold()`,
`.go(3)`, `.fail`, `.stuck`, `.evict` (tape.py); requests are forgotten with `door.staging.requests.clear()`.
"""

from __future__ import annotations

import base64
import hmac
import html
import json
import math
import os
import re
import ssl
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import quote

from tests.grid.faults import Faults
from tests.grid.pki import VO, Pki, dn
from tests.grid.propfind import (
    HEADERS,
    Resource,
    UnknownProperty,
    Upload,
    checksum,
    content,
    encode,
    etag,
    http_date,
    multistatus,
    walk,
)
from tests.grid.tape import WELL_KNOWN, WORDS, Robot, Staging, TapeService
from tests.grid.tree import BOTH, DISK, File, Folder, Node, Tree
from tests.grid.web import PATIENCE, Connection, Log, Pieces, Reply, Request, Server, Stream, left, ranged

ALLOW_PROXY_CERTS = 0x40  # X509_V_FLAG_ALLOW_PROXY_CERTS; the ssl module has no name for it
INFINITY_LIMIT = 200_000  # entries of a PROPFIND without Depth; a real door is cut by its idle time
POOL_BUSY = "Internal problem: Request to [>PoolManager@local] timed out."
MOVER_BUSY = {500: "Internal problem: Server is busy (internal timeout)", 507: "Insufficient storage: SER_DISK_FULL"}
ISSUER = "https://tokens.agata-test.org/"
SCOPES = "storage.read:/ storage.stage:/ storage.create:/"
TAPE_API = {"dcache": "/api/v1/tape", "storm": "/api/v1"}
TICK = 0.02  # seconds between two looks at a restore
ERRORS = {
    "dcache": {
        401: "You are not unauthorised for {method} on path {path}",  # the door's own words
        403: "Permission denied for {method} on path {path}",
        404: "Path not found: {path}",
        405: "Method {method} is not allowed.",
        500: "Internal problem: unreadable",
    },
    "storm": {403: "Permission denied."},
}  # what is missing is a page in HTML
SECRET = os.urandom(32)  # the issuer's, known to all doors of this process


@dataclass
class Switches:
    """As of dCache 10.2.25, but for a shorter mover_timeout and a closed door for the anonymous."""

    anonymous_listing: bool = False
    turn_away: str = ""
    unreadable: Collection[str] = ()
    unreadable_status: int = 403
    server: str = "dCache/10.2.25"
    words: str = "dcache"
    checksum_prop: str = "dcache"
    adler_no_padding: bool = False
    locality_props: bool = True
    ns_prefix_shuffle: bool = True
    unprefixed_404_props: bool = True
    silent_empty_dir: Collection[str] = ()
    weak_etag: bool = False
    redirect: str = "pool302"
    bounce: int = 307
    mover_life: float = 300.0
    mover_once: bool = False
    mover_slots: float = math.inf
    mover_busy: int = 500
    pool_asks: bool = False
    mover_timeout: float = 2.0
    proxy_open_range_empty: bool = False
    digest_needs_want: bool = True
    digest_words: str = "old"
    digest_list_fails: bool = False
    if_range: bool = False
    locality_header: bool = False
    nearline_get: str = "block"
    handshake: str = "served"
    idle_close: float = 300.0
    latency: float = 0.0
    bandwidth: float = 0.0
    tape_root: str = ""
    wellknown: str = "present"
    pin_lifetime: float = 2 * 86400
    lifetime_ignored: bool = False
    stage_limit: float = 500
    over_limit_status: int = 413
    max_requests: float = 5000
    request_retention: float = 14 * 86400
    tape_time_unit: str = "ms"
    tape_unset: str = "omitted"
    tape_error_text: bool = True
    skipped_is_failed: bool = False
    state_at_poll: bool = False
    release_unknown: int = 200
    release_delay: float = 0.0
    cancel_foreign: str = "headers"
    cancel_empty: str = "all"
    archiveinfo_order: str = "shuffled"
    archiveinfo_limit: int = 10_000
    empty_file_is_none: bool = False

    def __setattr__(self, name: str, value: object) -> None:
        if name not in self.__dataclass_fields__:
            raise AttributeError(f"there is no switch {name}")
        super().__setattr__(name, value)


STORM: dict[str, Any] = {
    "server": "", "words": "storm", "checksum_prop": "storm", "locality_props": False, "ns_prefix_shuffle": False,
    "unprefixed_404_props": False, "weak_etag": True, "redirect": "none", "digest_needs_want": False,
    "lifetime_ignored": True, "stage_limit": math.inf, "max_requests": math.inf, "request_retention": math.inf,
    "tape_time_unit": "s", "tape_unset": "0", "tape_error_text": False, "state_at_poll": True, "release_unknown": 404,
    "release_delay": math.inf, "cancel_foreign": "problem", "cancel_empty": "none", "archiveinfo_order": "kept",
    "archiveinfo_limit": 10**9, "empty_file_is_none": True,
}  # fmt: skip
PROFILES: dict[str, dict[str, Any]] = {
    "dcache-9.2": {
        "server": "dCache/9.2.12", "proxy_open_range_empty": True, "over_limit_status": 403,
        "skipped_is_failed": True, "empty_file_is_none": True,
    },
    "dcache-10.2": {},
    "storm-1.4": {
        **STORM, "adler_no_padding": True, "nearline_get": "hang", "wellknown": "404", "unreadable_status": 500,
    },
    "storm-1.9": {**STORM, "nearline_get": "415", "locality_header": True},
}  # fmt: skip


# == Who comes in =======================================================================================


class Guest(NamedTuple):
    """Who is behind a certificate or a token, until when the VO vouches for him, and what the token is good for."""

    dn: str
    member_until: float
    scopes: str = SCOPES


class BadToken(Exception):
    """One that is not of the grid's issuer, or over."""


def token(seconds: float, **claims: Any) -> str:
    """A bearer token of Alice's that is good for so many seconds; other claims on demand."""
    now = int(time.time())
    mine = {"iss": ISSUER, "sub": "alice", "aud": "https://wlcg.cern.ch/jwt/v1/any", "wlcg.ver": "1.0", "scope": SCOPES}
    head, body = ({"alg": "HS256", "typ": "JWT"}, {**mine, "iat": now, "exp": now + seconds, **claims})
    text = ".".join(_base64(json.dumps(part).encode()) for part in (head, body))
    return f"{text}.{_signature(text)}"


def _guest(token: str) -> Guest:
    """Whom a token stands for; the site knows whose certificate is its subject's."""
    text, _, signature = token.rpartition(".")
    if not hmac.compare_digest(signature.encode(), _signature(text).encode()):
        raise BadToken("Not a token of a known issuer")
    claims = json.loads(base64.urlsafe_b64decode(text.partition(".")[2] + "=="))
    if claims["iss"] != ISSUER:
        raise BadToken(f"Unknown issuer {claims['iss']}")
    if claims["exp"] < time.time():
        raise BadToken("Token has expired")
    return Guest(dn(claims["sub"]), claims["exp"], claims["scope"])


def _signature(text: str) -> str:
    return _base64(hmac.digest(SECRET, text.encode(), "sha256"))


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class Guests:
    """Reads tokens and client certificates, these once each for all doors, with voms-proxy-info."""

    _known: dict[bytes, Guest] = {}
    _lock = threading.Lock()

    def __init__(self, pki: Pki, switches: Switches) -> None:
        self._pki = pki
        self._switches = switches

    def standing(self, request: Request, scope: str) -> tuple[Guest, str]:
        """Who asks, and why they may not, as in the switch turn_away; empty if they may."""
        guest, objection = Guest("", 0), self._switches.turn_away
        kind, _, value = request.headers.get("authorization", "").partition(" ")
        try:
            guest = _guest(value.strip()) if kind.lower() == "bearer" else self._by_certificate(request)
        except BadToken as error:
            return guest, f"stranger: {error}"
        request.record.client = guest.dn or None
        if not objection and not guest.dn:
            objection = "anonymous"
        if not objection and (time.time() >= guest.member_until or f"{scope}:" not in guest.scopes):
            objection = "forbidden"
        return guest, objection

    def _by_certificate(self, request: Request) -> Guest:
        # The leaf alone is the key: a resumed TLS session no longer has the rest of the chain.
        assert isinstance(request.connection, ssl.SSLSocket)
        leaf = request.connection.getpeercert(binary_form=True)
        if not leaf:
            return Guest("", 0)
        with self._lock:
            if leaf not in self._known:
                self._known[leaf] = self._read(request.connection)
        return self._known[leaf]

    def _read(self, connection: ssl.SSLSocket) -> Guest:
        chain = connection._sslobj.get_unverified_chain()  # type: ignore[attr-defined]  # public from 3.13 on
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
            file.write("".join(certificate.public_bytes() for certificate in chain))
            file.flush()
            command = ["voms-proxy-info2", "-file", file.name, "-identity", "-vo", "-actimeleft"]
            run = subprocess.run(command, env=self._pki.environment(), capture_output=True, text=True, timeout=30)
        subject, vo, left = [*run.stdout.splitlines(), "", "", ""][:3]
        return Guest(subject, time.time() + int(left) if vo == VO else 0)


# == The door as a whole ================================================================================


class Door:
    """The listeners together; `url` is what goes into Grid.conf."""

    def __init__(self, tree: Tree, pki: Pki, robot: Robot, profile: str = "dcache-10.2") -> None:
        self.switches = Switches(**PROFILES[profile])
        self.faults = Faults()
        self.robot = robot
        self.staging = Staging(robot)
        self.log = Log()
        self.token = token
        guests = Guests(pki, self.switches)
        silent, asking = _tls(pki), _tls(pki)
        asking.verify_mode = ssl.CERT_OPTIONAL
        asking.verify_flags |= ALLOW_PROXY_CERTS
        asking.load_verify_locations(capath=str(pki.certificates))
        self.pool = Pool(tree, self.switches)
        service = TapeService(tree, guests, self.staging, self.switches)
        webdav = WebDav(tree, guests, self.staging, self.switches, self.pool, service)
        self._servers = {
            "door": self._server("door", lambda: asking, webdav.answer),
            "pool": self._server(
                "pool", lambda: asking if self.switches.pool_asks else silent, self.pool.answer, self.pool.closed
            ),
            "plain": self._server("plain", None, self.pool.answer, self.pool.closed),
            "tape": self._server("tape", lambda: asking, service.answer),
        }
        self.url, self.pool_url, self.plain_url, tape_url = (server.url for server in self._servers.values())
        service.api = TAPE_API[self.switches.words]
        self.tape_url = service.url = tape_url + service.api
        self.pool.urls = {"pool302": self.pool_url, "pool302-http": self.plain_url.replace("localhost", "127.0.0.1")}
        elsewhere = self.pool_url.replace("localhost", "127.0.0.1")
        self.faults.places = {"http": self.plain_url, "elsewhere": elsewhere, "dead": "https://localhost:1"}

    def _server(
        self,
        role: str,
        tls: Callable[[], ssl.SSLContext] | None,
        answer: Callable[[Request], Reply],
        closed: Callable[[Connection], None] = lambda connection: None,
    ) -> Server:
        return Server(role, tls, self.log, self.switches, self.faults.around(answer), closed)

    def start(self) -> None:
        self.robot.start()
        self.up()

    def stop(self) -> None:
        for server in self._servers.values():
            server.stop()
        self.robot.stop()

    def down(self, *roles: str) -> None:
        """Break off and refuse all connections, of these roles or of all; requests for tape are kept."""
        for role in roles or self._servers:
            self._servers[role].down()
        self.pool.forget()

    def up(self, *roles: str) -> None:
        """Come back on the same ports."""
        for role in roles or self._servers:
            self._servers[role].start()

    def restart(self) -> None:
        self.down()
        self.up()


def _tls(pki: Pki) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(str(pki.folder / "host.pem"), str(pki.folder / "host.key"))
    return context


# == WebDAV =============================================================================================


class WebDav:
    """The door: lists, knows checksums, and sends the bytes itself or readers to a pool."""

    def __init__(
        self, tree: Tree, guests: Guests, staging: Staging, switches: Switches, pool: Pool, tape: TapeService
    ) -> None:
        self.tree = tree
        self.guests = guests
        self.staging = staging
        self.switches = switches
        self.pool = pool
        self.tape = tape

    def answer(self, request: Request) -> Reply:
        if request.path == WELL_KNOWN:
            return self.tape.well_known()
        methods = {"PROPFIND": self._propfind, "HEAD": self._get, "GET": self._get, "OPTIONS": _options}
        makers = {"PUT": self._put, "MKCOL": self._mkcol}
        if request.method not in {**methods, **makers}:
            return self._error(request, 405)
        refusal = self._refusal(request, "storage.create" if request.method in makers else "storage.read")
        if refusal:
            return refusal
        self.staging.sweep()
        node = self.tree.find(request.path)
        if request.method in makers:
            return makers[request.method](request, node)
        return methods[request.method](request, node) if node else self._error(request, 404)

    def _refusal(self, request: Request, scope: str) -> Reply | None:
        _, objection = self.guests.standing(request, scope)
        why, _, detail = objection.partition(": ")
        if why == "anonymous" and self.switches.anonymous_listing and request.method == "PROPFIND":
            why = ""
        if not why and request.path.strip("/") in self.switches.unreadable:
            return self._error(request, self.switches.unreadable_status)
        if not why:
            return None
        if why == "forbidden":
            return self._error(request, 403)
        if self.switches.words == "storm":
            bearer = f'Bearer error="invalid_token",error_description="{detail or "Unauthenticated"}"'
            return self._error(request, 401, {"WWW-Authenticate": bearer})
        if why == "stranger":
            return Reply(401, reason=detail or "Login failed")
        return self._error(request, 401, {"WWW-Authenticate": 'Basic realm="AGATA test grid"'})

    def _error(self, request: Request, status: int, headers: dict[str, str] | None = None, text: str = "") -> Reply:
        """An error in the words of dCache or StoRM."""
        phrase = HTTPStatus(status).phrase
        text = text or ERRORS[self.switches.words].get(status, f"<html><body><h1>{status} {phrase}</h1></body></html>")
        text = text.format(method=request.method, path=request.path)
        kind = "text/html" if text.startswith("<") else "text/plain"
        headers = {"Content-Type": f"{kind};charset=utf-8", **(headers or {})}
        return Reply(status, f"{text}\n".encode("utf-8", "surrogateescape"), headers)

    def _propfind(self, request: Request, node: Node) -> Reply:
        """List; a missing or odd Depth means the whole subtree."""
        depth = {"0": 0, "1": 1}.get(request.headers.get("depth", ""), 1000)
        href = request.origin + request.target.replace("&", "%26")
        if isinstance(node, Folder):
            href = href.rstrip("/") + "/"
        resources = []
        for resource in walk(Resource(href, request.path.rstrip("/"), node), depth, self.switches):
            resources.append(resource)
            if len(resources) > INFINITY_LIMIT:
                raise ConnectionAbortedError("listing too long")
        try:
            xml = multistatus(resources, request.body, self.switches)
        except UnknownProperty:
            return self._error(request, 500)
        return Reply(207, xml, HEADERS, "Multi-status", chunked=True)

    def _get(self, request: Request, node: Node) -> Reply:
        if isinstance(node, Folder):
            return _folder(request, node)
        if self.switches.digest_list_fails and "," in request.headers.get("want-digest", ""):
            return self._error(request, 500, text="Checksum calculation failed.")
        if request.method == "HEAD":
            return Reply(200, Stream(node.size, ()), self._about(request, node))
        if node.locality not in (DISK, BOTH):
            refusal = self._not_on_disk(request)
            if refusal:
                return refusal
        if self.switches.redirect in self.pool.urls:
            return self._to_pool(request)
        return self._from_here(request, node)

    def _about(self, request: Request, file: File) -> dict[str, str]:
        """All about a file without touching pool or tape."""
        headers = {"Accept-Ranges": "bytes", "Last-Modified": http_date(file.mtime)}
        headers["ETag"] = etag(request.path, file.mtime, self.switches)
        if self.switches.locality_header:
            headers["Locality"] = WORDS.get(file.locality, "UNAVAILABLE")
        return {**headers, **_digest(request, file, self.switches)}

    def _not_on_disk(self, request: Request) -> Reply | None:
        """The refusal to read a file on tape; None if it has come to disk. A restore goes on after a refusal."""
        way = self.switches.nearline_get
        if way not in ("block", "hang"):
            return self._error(request, int(way), text=POOL_BUSY if way == "500" else "")
        restore = self.staging.robot.restore(request.path)
        end = time.monotonic() + (self.switches.mover_timeout if way == "block" else PATIENCE)
        while not restore.finished and time.monotonic() < end:
            restore.wait(min(end - time.monotonic(), TICK))
            if way == "hang" and left(request.connection, 0):
                raise ConnectionAbortedError("nobody waits")
        on_disk = self.tree.file(request.path).locality in (DISK, BOTH)
        return None if on_disk else self._error(request, 500, text=POOL_BUSY)

    def _to_pool(self, request: Request, writes: bool = False) -> Reply:
        mover = self.pool.open(Mover(request.path, bool(wishes(request)), writes))
        if not mover:
            return self._error(request, self.switches.mover_busy, text=MOVER_BUSY[self.switches.mover_busy])
        path = quote(request.path, errors="surrogateescape")
        query = f"dcache-http-uuid={mover}&dcache-http-ref={quote(request.origin, safe='')}"
        pool = self.pool.urls[self.switches.redirect]
        return Reply(307 if writes else 302, headers={"Location": f"{pool}{path}?{query}"})

    def _from_here(self, request: Request, file: File) -> Reply:
        """The bytes by the door's own hand."""
        headers, wish = self._about(request, file), request.headers.get("range")
        version = request.headers.get("if-range")
        if self.switches.if_range and version not in (None, headers["ETag"], headers["Last-Modified"]):
            wish = None
        if request.headers.get("if-none-match") == headers["ETag"] and self.switches.redirect == "none":
            return Reply(304, headers=headers)
        reply = ranged(wish, file.size, lambda start, stop: content(file, start, stop), headers)
        is_open = wish and re.fullmatch(r"bytes=(\d+-|-\d+)", wish)
        if is_open and self.switches.redirect == "proxy" and self.switches.proxy_open_range_empty:
            reply.body = b""
        return reply

    def _put(self, request: Request, node: Node | None) -> Reply:
        if isinstance(node, Folder):
            return self._error(request, 405)
        if not isinstance(self.tree.find(request.path.rpartition("/")[0]), Folder):
            return Reply(409)
        if request.expects and self.switches.redirect in self.pool.urls:
            return self._to_pool(request, writes=True)
        return store(self.tree, request)

    def _mkcol(self, request: Request, node: Node | None) -> Reply:
        parent = self.tree.find(request.path.rstrip("/").rpartition("/")[0])
        if node or not isinstance(parent, Folder):
            return self._error(request, 405) if node else Reply(409)
        self.tree.folder(request.path, mtime=time.time())
        return Reply(201)


def store(tree: Tree, request: Request) -> Reply:
    """Keep the body of an upload as a file on disk."""
    parent, _, name = request.path.rpartition("/")
    file = Upload(name, len(request.body), int(time.time()), DISK, ("adler32",), 0, request.body)
    tree.folder(parent).children[name] = file
    return Reply(201)


def _options(request: Request, node: Node) -> Reply:
    allowed = "GET,HEAD,PUT,OPTIONS,MKCOL,PROPFIND"
    return Reply(200, headers={"DAV": "1,2", "MS-Author-Via": "DAV", "Allow": allowed})


def _folder(request: Request, folder: Folder) -> Reply:
    """A page for people; without the slash at the end, the way to it."""
    if not request.target.endswith("/"):
        return Reply(302, b"", {"Location": f"{request.origin}{request.target}/"})
    names = [name + "/" * isinstance(node, Folder) for name, node in folder.children.items()]
    rows = [f'<li><a href="{encode(name.rstrip("/"))}">{html.escape(name)}</a></li>' for name in names]
    page = f"<html><body><h1>{html.escape(request.path)}</h1><ul>{''.join(rows)}</ul></body></html>\n"
    return Reply(200, page.encode("utf-8", "surrogateescape"), {"Content-Type": "text/html;charset=utf-8"})


def wishes(request: Request) -> dict[str, dict[str, float]]:
    """The checksums that a reader wants, by our names, and how much: in the old words and in those of RFC 9530."""
    found: dict[str, dict[str, float]] = {}
    for words, header, mark in (("old", "want-digest", ";q="), ("rfc9530", "want-repr-digest", "=")):
        for wish in filter(None, request.headers.get(header, "").lower().split(",")):
            kind, _, weight = wish.strip().partition(mark)
            found.setdefault(words, {})["adler32" if kind == "adler" else kind] = float(weight or 1)
    return found


def _digest(request: Request, file: File, switches: Switches) -> dict[str, str]:
    """The one stored checksum that is wanted most, of several md5 before adler32; StoRM asks for no wish."""
    headers = {}
    for words in ("old", "rfc9530") if switches.digest_words == "both" else (switches.digest_words,):
        wanted = wishes(request).get(words, {}) if switches.digest_needs_want else {"adler32": 1.0}
        stored = [(weight, kind) for kind, weight in wanted.items() if kind in file.checksums and weight]
        if not stored:
            continue
        kind = max(stored)[1]
        value = checksum(file, kind, switches)
        if words == "old":
            headers["Digest"] = f"{kind}={value}"
        elif kind == "adler32":
            headers["Repr-Digest"] = f"adler=:{base64.b64encode(int(value, 16).to_bytes(4, 'big')).decode()}:"
        else:
            headers["Repr-Digest"] = f"{kind}=:{value}:"
    return headers


# == Pool ===============================================================================================


@dataclass
class Mover:
    """One permission to read or write one file, whose UUID is all the credential the pool wants."""

    path: str
    digest_wanted: bool
    writes: bool
    opened: float = field(default_factory=time.time)
    connections: set[Connection] = field(default_factory=set)


class Pool:
    """Where the bytes come from."""

    def __init__(self, tree: Tree, switches: Switches) -> None:
        self.tree = tree
        self.switches = switches
        self.urls: dict[str, str] = {}  # by what the switch redirect says
        self._movers: dict[str, Mover] = {}
        self._waiting: list[str] = []
        self._free = threading.Condition()

    def open(self, mover: Mover) -> str:
        """A new mover's UUID; empty if no slot gets free in time. Who came last is served first."""
        name = str(uuid.uuid4())
        with self._free:
            self._waiting.append(name)
            if self._free.wait_for(lambda: self._is_next(name), self.switches.mover_timeout):
                mover.opened = time.time()
                self._movers[name] = mover
            self._waiting.remove(name)
            self._free.notify_all()
            return name if name in self._movers else ""

    def _is_next(self, name: str) -> bool:
        for old, mover in list(self._movers.items()):
            if not mover.connections and time.time() > mover.opened + self.switches.mover_life:
                del self._movers[old]
        return self._waiting[-1] == name and len(self._movers) < self.switches.mover_slots

    def forget(self) -> None:
        """End all movers, as a restart does."""
        with self._free:
            self._movers.clear()
            self._free.notify_all()

    def _end(self, name: str) -> None:
        with self._free:
            self._movers.pop(name, None)
            self._free.notify_all()

    def closed(self, connection: Connection) -> None:
        """A mover that was read in ranges ends with its last connection."""
        with self._free:
            mine = {name: mover for name, mover in self._movers.items() if connection in mover.connections}
            for mover in mine.values():
                mover.connections.remove(connection)
        for name, mover in mine.items():
            if not mover.connections:
                self._end(name)

    def answer(self, request: Request) -> Reply:
        if request.method not in ("GET", "HEAD", "PUT"):
            return Reply(501)
        name = request.query.get("dcache-http-uuid", "")
        if not name:
            return Reply(400, reason="Request is not valid. Please resubmit to door.")
        mover = self._join(name, request)
        if mover is None:
            return self._back_to_door(request)
        if mover.path != request.path or mover.writes != (request.method == "PUT"):
            return Reply(400, reason="The file you specified does not match the UUID you specified!")
        return self._receive(request, name) if mover.writes else self._send(request, name, mover)

    def _join(self, name: str, request: Request) -> Mover | None:
        with self._free:
            mover = self._movers.get(name)
            if mover and not mover.connections and time.time() > mover.opened + self.switches.mover_life:
                mover = self._movers.pop(name) and None
            if mover:
                mover.connections.add(request.connection)
            return mover

    def _back_to_door(self, request: Request) -> Reply:
        door = request.query.get("dcache-http-ref")
        if not door or self.switches.bounce == 400:
            return Reply(400, reason="Request is no longer valid. Please resubmit to door.")
        return Reply(307, headers={"Location": door + request.target}, reason="Request is no longer valid")

    def _receive(self, request: Request, name: str) -> Reply:
        reply = store(self.tree, request)
        self._end(name)
        return reply

    def _send(self, request: Request, name: str, mover: Mover) -> Reply:
        file = self.tree.file(mover.path)
        wish = request.headers.get("range")
        headers = {
            "Accept-Ranges": "bytes",
            "Content-Disposition": f'attachment;filename="{file.name}"',
            "Content-Location": request.query.get("dcache-http-ref", "") + request.target,
            **(_digest(request, file, self.switches) if mover.digest_wanted else {}),
        }

        def pieces(start: int, stop: int) -> Pieces:
            yield from content(file, start, stop)
            if wish is None or self.switches.mover_once:
                self._end(name)

        return ranged(wish, file.size, pieces, headers)
