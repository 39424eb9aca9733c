"""A simulated dCache or StoRM: the WebDAV door, the pools it redirects readers to, and the Tape REST service.

Listeners on loopback answer as the real ones do, over a Tree and a Robot. `Door(..., profile="storm-1.9")` sets the
switches below as that software has them (PROFILES); a test turns any of them at any time: `door.switches.bounce = 400`.

Who may come in
    anonymous_listing     may a client without certificate or token list folders? What else it may not, odd words tell
    turn_away             everybody is taken for: "anonymous" or "stranger" (401), "forbidden" (403), "" (for what
                          they are)
    unreadable            paths that nobody may read; a reader gets 403, and who lists such a folder
                          unreadable_status: 403, 500, or 207, which is an empty folder
    junk_token_status     what a token that is none gives to all but GET and HEAD
    requests_a_second     of a client; more give 429 with Retry-After, at door and tape service each
    failures_allowed      how often within 20 s it may fail to log in before all its requests are 429, for 10 s
Words
    server                the header of that name
    words                 "dcache" or "storm": the texts of errors, the shape of answers, what writing does
    names                 "right"; "composed": redirects have accents and letters in one (dCache), which costs a mover;
                          "storm-1.6", "storm-1.9": some names are refused, or listed and not given (words.py)
Listing
    checksum_prop         "dcache" (a list), "storm" (bare hex), "empty", "absent"
    adler_no_padding      does adler32 lose the zeros in front?
    locality_props        does a listing tell where files are?
    ns_prefix_shuffle     may a namespace have another prefix each time?
    unprefixed_404_props  are unknown properties in no namespace when no known one shares theirs?
    listing_is_sorted     ... or in no order?
    silent_empty_dir      paths of folders whose children are not shown, for no reason given
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
    may_stage             may users have files brought from tape? If not: 403, and FAILED targets
Writing
    quota                 bytes that may be uploaded; more give 507
    copy_status           of the answer to a third-party copy: 202, or 201, as XRootD says it
    marker_interval       seconds between the marks of such a copy
    copy_marks            after how many of them nothing more is said, how it went neither
    copy_rate             bytes a second of such a copy (0: no limit)
    copy_grows            is there what has come so far? Then what is removed meanwhile stays removed
    copy_fails            why such a copy fails in the middle; "" if it does not
    copy_leaves           what one that has failed leaves under its name: "nothing", "empty" (a file of 0 bytes), "part"
                          (what came), "whole" (as long as the right one, zeros at its end)
    copies_outlive        does one go on when its client has left?
    gives_macaroons       does it give out keys for third-party copies?
    copies_are_verified   are checksums compared, and is it a failure if there is none?
    delegation            "2" or "1", the version of GridSite's that dCache speaks; "2 named", where the client has to
                          name a delegation; "2 refused"; "none"
    delegate_to           where a proxy is to be delegated to, if not here
Lines
    handshake             what becomes of new connections: "served", "reset", "silent" (accepted, but no more)
    idle_close            seconds until a silent connection is closed
    latency, bandwidth    seconds before each answer and each handshake; bytes a second of a connection (0: no limit)
Tape
    tape_asks_who         does the tape service want to know who asks? If not, everybody may do everything
    tape_slash            what a slash at the end of its addresses gives: 200 or 404
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
    started_at_once       is a file STARTED before a drive is free for it?
    release_unknown       200 or 404 for requests that are not known, and 400 for files that are not of the request
    release_delay         seconds until a release has an effect (math.inf: never)
    cancel_foreign        a file that is not of the request: 400 with "headers" or with a "problem" document
    cancel_empty          an empty list cancels "all" or "none"
    archiveinfo_order     "shuffled" and without duplicates, "kept"
    archiveinfo_limit     paths; the rest is dropped without a word
    archiveinfo_reads     does it tell only who may read a file, not all who may list it?
    empty_file_is_none    is the locality of a file of 0 bytes NONE?

What goes wrong is added to `door.faults` (faults.py). How tape behaves is turned at the robot: `door.robot.hold()`,
`.go(3)`, `.fail`, `.again`, `.disable()`, `.stuck`, `.evict` (tape.py); requests are forgotten with
`door.staging.requests.clear()`. `door.down("pool")` is a pool that has died, `door.pool.leaked` counts lost movers.
"""

from __future__ import annotations

import html
import math
import re
import ssl
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from tests.grid.copies import Copies
from tests.grid.delegation import PATH as DELEGATION
from tests.grid.faults import Faults
from tests.grid.guests import Guests, token
from tests.grid.limits import Limiter
from tests.grid.pki import Pki
from tests.grid.pool import Mover, Pool
from tests.grid.propfind import (
    DAV_HEADER,
    Resource,
    content,
    digest_header,
    encode,
    etag,
    http_date,
    multistatus,
    walk,
    wishes,
)
from tests.grid.tape import WELL_KNOWN, WORDS, Robot, Staging, TapeService
from tests.grid.tree import BOTH, DISK, File, Folder, Node, Tree
from tests.grid.uploads import Uploads
from tests.grid.web import PATIENCE, Connection, Log, Reply, Request, Server, Stream, left, ranged, spans_of
from tests.grid.words import (
    BASIC,
    MOVER_BUSY,
    NOT_ASKED,
    POOL_BUSY,
    POOL_GONE,
    composed,
    encoded,
    error,
    gives,
    login_failed,
    stumbles,
)  # fmt: skip

ALLOW_PROXY_CERTS = 0x40  # X509_V_FLAG_ALLOW_PROXY_CERTS; the ssl module has no name for it
INFINITY_LIMIT = 200_000  # entries of a PROPFIND without Depth; a real door is cut by its idle time
TAPE_API = {"dcache": "/api/v1/tape", "storm": "/api/v1"}
TICK = 0.02  # seconds between two looks at a restore
ALLOW = {
    "folder": "GET, HEAD, MKCOL, PROPFIND, OPTIONS, PUT, DELETE, MOVE, GET, HEAD, PROPPATCH",
    "file": "GET, HEAD, PROPFIND, OPTIONS, PUT, DELETE, MOVE, PROPPATCH",
}
SCOPES = {
    "PROPFIND": "storage.list", "HEAD": "storage.list", "GET": "storage.read", "OPTIONS": "storage.list",
    "PUT": "storage.create", "MKCOL": "storage.create", "MOVE": "storage.modify", "DELETE": "storage.modify",
    "COPY": "storage.create", "POST": "storage.read",
}  # fmt: skip
WRITING = ("PUT", "MKCOL", "MOVE", "DELETE")
MACAROON_REQUEST = "application/macaroon-request"
OWN_TOKENS = {"storm-1.6": "/oauth/token", "storm-1.9": "/.storm-webdav/oauth/token"}  # by the switch names


@dataclass
class Switches:
    """As of dCache 10.2.25, but for a shorter mover_timeout and releases without delay."""

    anonymous_listing: bool = False
    turn_away: str = ""
    unreadable: Collection[str] = ()
    unreadable_status: int = 207
    junk_token_status: int = 401
    requests_a_second: float = math.inf
    failures_allowed: float = math.inf
    server: str = "dCache/10.2.25"
    words: str = "dcache"
    names: str = "composed"
    checksum_prop: str = "dcache"
    adler_no_padding: bool = False
    locality_props: bool = True
    ns_prefix_shuffle: bool = True
    unprefixed_404_props: bool = True
    silent_empty_dir: Collection[str] = ()
    listing_is_sorted: bool = False
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
    may_stage: bool = True
    quota: float = math.inf
    copy_status: int = 202
    marker_interval: float = 5.0
    copy_marks: float = math.inf
    copy_rate: float = 0.0
    copy_grows: bool = False
    copy_fails: str = ""
    copy_leaves: str = "nothing"
    copies_outlive: bool = False
    delegation: str = "2"
    delegate_to: str = ""
    gives_macaroons: bool = True
    copies_are_verified: bool = True
    handshake: str = "served"
    idle_close: float = 300.0
    latency: float = 0.0
    bandwidth: float = 0.0
    tape_asks_who: bool = True
    tape_slash: int = 200
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
    started_at_once: bool = True
    release_unknown: int = 200
    release_delay: float = 0.0
    cancel_foreign: str = "headers"
    cancel_empty: str = "all"
    archiveinfo_order: str = "shuffled"
    archiveinfo_limit: int = 10_000
    archiveinfo_reads: bool = True
    empty_file_is_none: bool = False

    def __setattr__(self, name: str, value: object) -> None:
        if name not in self.__dataclass_fields__:
            raise AttributeError(f"there is no switch {name}")
        super().__setattr__(name, value)


LIMITED = {"requests_a_second": 250, "failures_allowed": 3, "archiveinfo_reads": False}
STORM: dict[str, Any] = {
    "server": "", "words": "storm", "checksum_prop": "storm", "locality_props": False, "ns_prefix_shuffle": False,
    "listing_is_sorted": True, "junk_token_status": 500, "redirect": "none", "digest_needs_want": False,
    "idle_close": 30.0, "copies_outlive": True, "copies_are_verified": False, "copy_leaves": "empty",
    "tape_asks_who": False, "tape_slash": 404, "lifetime_ignored": True, "stage_limit": math.inf,
    "max_requests": math.inf, "request_retention": math.inf, "tape_time_unit": "s", "tape_unset": "0",
    "tape_error_text": False, "state_at_poll": True, "started_at_once": False, "release_unknown": 404,
    "release_delay": math.inf, "cancel_foreign": "problem", "cancel_empty": "none", "archiveinfo_order": "kept",
    "archiveinfo_limit": 10**9, "empty_file_is_none": True,
}  # fmt: skip
PROFILES: dict[str, dict[str, Any]] = {
    "dcache-9.2": {
        "server": "dCache/9.2.12", "proxy_open_range_empty": True, "over_limit_status": 403,
        "skipped_is_failed": True, "empty_file_is_none": True,
    },
    "dcache-10.2": {},
    "dcache-11.2": {"server": "dCache/11.2.5", **LIMITED},
    "dcache-12.0": {"server": "dCache/12.0.3", **LIMITED, "digest_words": "both"},
    "storm-1.6": {**STORM, "names": "storm-1.6", "nearline_get": "hang", "unreadable_status": 500},
    "storm-1.9": {
        **STORM, "names": "storm-1.9", "nearline_get": "415", "locality_header": True, "unreadable_status": 403,
    },
}  # fmt: skip
# What gridsync.py can't take yet: until it can, the doors that its tests talk to are kinder than their profiles. An
# entry goes with the defect that it stands for. That of StoRM's slash stays: gfal2 has no tape there unless the site
# takes it off on the way, and test_storm.py has what is said then.
KINDLY: dict[str, dict[str, Any]] = {
    "dcache": {"failures_allowed": math.inf},
    "storm": {"tape_slash": 200},
}


def kindly(profile: str) -> Switches:
    """The switches of a profile, but for what gridsync.py can't take yet."""
    return Switches(**{**PROFILES[profile], **KINDLY[profile.partition("-")[0]]})


# == The door as a whole ================================================================================


class Door:
    """The listeners together; `url` is what goes into Grid.conf."""

    def __init__(
        self, tree: Tree, pki: Pki, robot: Robot, profile: str = "dcache-10.2", switches: Switches | None = None
    ) -> None:
        self.tree = tree
        self.profile = profile
        self.switches = switches or Switches(**PROFILES[profile])
        self.faults = Faults()
        self.robot = robot
        self.staging = Staging(robot)
        self.log = Log()
        self.token = token
        self._limiters: list[Limiter] = []
        guests = Guests(pki, self.switches)
        silent, asking = _tls(pki), _tls(pki)
        asking.verify_mode = ssl.CERT_OPTIONAL
        asking.verify_flags |= ALLOW_PROXY_CERTS
        asking.load_verify_locations(capath=str(pki.certificates))
        self.uploads = uploads = Uploads(tree, self.switches)
        self.pool = Pool(tree, self.switches, uploads.keep)
        self.copies = Copies(tree, self.switches, uploads, pki, robot)
        service = TapeService(tree, guests, self.staging, self.switches)
        webdav = WebDav(tree, guests, self.staging, self.switches, self.pool, service)
        webdav.uploads, webdav.copies = uploads, self.copies
        uploads.to_pool = webdav.to_pool
        self._servers = {
            "door": self._server("door", lambda: asking, webdav.answer),
            "pool": self._server(
                "pool", lambda: asking if self.switches.pool_asks else silent, self.pool.answer, self.pool.closed
            ),
            "plain": self._server("plain", None, self.pool.answer, self.pool.closed),
            "tape": self._server("tape", lambda: asking, service.answer),
        }
        self.url, self.pool_url, self.plain_url, tape_url = (server.url for server in self._servers.values())
        guests.url = self.url
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
        answer = self.faults.around(answer)
        if role in ("door", "tape"):
            self._limiters.append(Limiter(self.switches))
            answer = self._limiters[-1].around(answer)
        return Server(role, tls, self.log, self.switches, answer, closed)

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
        self.pool.is_gone = "pool" in roles
        self.pool.forget()
        self.copies.end()

    def up(self, *roles: str) -> None:
        """Come back on the same ports."""
        for role in roles or self._servers:
            self._servers[role].start()
        self.pool.is_gone = self.pool.is_gone and bool(roles) and "pool" not in roles

    def let_in_again(self) -> None:
        """Forget whom the limiters have turned away."""
        for limiter in self._limiters:
            limiter.reset()

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

    uploads: Uploads
    copies: Copies

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
        reply = self._answer(request)
        if self.switches.words == "storm":  # which is Spring behind Jetty
            cookie = f"JSESSIONID=node0{abs(hash(request.connection)):x}; Path=/; Secure; HttpOnly"
            reply.headers = {"Set-Cookie": cookie, **reply.headers}
            reply.dated = request.method not in ("GET", "HEAD")
        return reply

    def _answer(self, request: Request) -> Reply:
        stumbled = stumbles(request, self.switches.names)
        if stumbled:
            return self._error(request, stumbled)
        if request.path == WELL_KNOWN:
            objection = self.guests.standing(request, "storage.list")[1] if self.switches.words == "storm" else ""
            is_bad = objection.startswith(("junk", "over"))
            return self._turned_away(request, objection) if is_bad else self.tape.well_known()
        if request.method not in SCOPES:
            return self._error(request, 405 if (self.switches.words, request.method) == ("storm", "TRACE") else 501)
        refusal = self._refusal(request)
        if refusal:
            return refusal
        self.staging.sweep()
        node = self.tree.find(request.path)
        if request.method in WRITING:
            return self.uploads.answer(request, node)
        methods = {"COPY": self.copies.answer, "POST": self._post}
        if request.method in methods:
            return methods[request.method](request, node)
        readers = {"PROPFIND": self._propfind, "HEAD": self._get, "GET": self._get, "OPTIONS": self._options}
        return readers[request.method](request, node) if node else self._error(request, 404)

    def _refusal(self, request: Request) -> Reply | None:
        scope = SCOPES[request.method]
        if request.method == "COPY" and "destination" in request.headers:
            scope = "storage.read"
        _, objection = self.guests.standing(request, scope, request.path)
        why = objection.partition(":")[0]
        if why == "anonymous" and self.switches.anonymous_listing and request.method == "PROPFIND":
            return None
        if why:
            return self._turned_away(request, objection)
        if self.switches.words == "storm" and not self._is_area(request):
            return self._error(request, 403)
        if request.path.strip("/") not in self.switches.unreadable:
            return None
        if request.method == "PROPFIND" and isinstance(self.tree.find(request.path), Folder):
            status = self.switches.unreadable_status
            return self._error(request, status) if status != 207 else None
        return self._error(request, 403) if request.method not in ("PROPFIND", "HEAD", "OPTIONS") else None

    def _is_area(self, request: Request) -> bool:
        """Does anything StoRM serves begin so?"""
        first = request.path.strip("/").partition("/")[0]
        return first in self.tree.root.children or request.path in ("/", OWN_TOKENS.get(self.switches.names))

    def _turned_away(self, request: Request, objection: str) -> Reply:
        why, _, detail = objection.partition(": ")
        if why == "forbidden":
            return self._error(request, 403)
        if self.switches.words == "dcache":
            if why == "anonymous" and self.switches.anonymous_listing:
                return self._error(request, 401, BASIC, NOT_ASKED)
            return login_failed()
        if why == "junk" and request.method not in ("GET", "HEAD"):
            return self._error(request, self.switches.junk_token_status)
        bearer = {"WWW-Authenticate": f'Bearer error="invalid_token", error_description="{detail}"'}
        return self._error(request, 401, bearer if why == "over" else None)

    def _error(self, request: Request, status: int, headers: dict[str, str] | None = None, text: str = "") -> Reply:
        return error(request, status, self.switches, headers, text)

    def _propfind(self, request: Request, node: Node) -> Reply:
        """List; a missing or odd Depth means the whole subtree."""
        depth = {"0": 0, "1": 1}.get(request.headers.get("depth", ""), 1000)
        storm = self.switches.words == "storm"
        if storm and node is self.tree.root:  # there is no folder above its areas
            return Reply(200, Stream(None, _nothing()), {"Content-Type": "application/xml"}, chunked=True)
        href = request.origin * storm + request.target.replace("&", "%26")
        if isinstance(node, Folder):
            href = href.rstrip("/") + "/"
        resources = []
        for resource in walk(Resource(href, request.path.rstrip("/"), node), depth, self.switches):
            resources.append(resource)
            if len(resources) > INFINITY_LIMIT:
                raise ConnectionAbortedError("listing too long")
        xml = multistatus(resources, request.body, self.switches)
        headers = {"Content-Type": "application/xml; charset=utf-8", "DAV": DAV_HEADER[self.switches.words]}
        return Reply(207, xml, headers, "Multi-status", chunked=not storm)

    def _get(self, request: Request, node: Node) -> Reply:
        if isinstance(node, Folder):
            return self._folder(request, node)
        status = gives(request.path, request.method, self.switches.names)
        if status != 200:
            return self._error(request, status, self._digest(request, node) if status == 404 else None)
        if self.switches.digest_list_fails and "," in request.headers.get("want-digest", ""):
            return self._error(request, 500, text="Checksum calculation failed.")
        if request.method == "HEAD":
            return Reply(200, Stream(node.size, ()), self._about(request, node))
        if node.locality not in (DISK, BOTH):
            refusal = self._not_on_disk(request, node)
            if refusal:
                return refusal
        if self.pool.is_gone and self.switches.redirect != "none":
            return self._error(request, 500, text=POOL_GONE)
        if self.switches.redirect in self.pool.urls:
            return self.to_pool(request)
        return self._from_here(request, node)

    def _digest(self, request: Request, file: File) -> dict[str, str]:
        return digest_header(request.headers, file, self.switches)

    def _about(self, request: Request, file: File) -> dict[str, str]:
        """All about a file without touching pool or tape."""
        headers = {"Accept-Ranges": "bytes", "Last-Modified": http_date(file.mtime)}
        if self.switches.words == "dcache":
            headers["ETag"] = etag(request.path, file.mtime, self.switches)
        elif request.method == "GET":
            headers["Vary"] = "Accept-Encoding"
        if self.switches.locality_header:
            headers["Locality"] = WORDS.get(file.locality, "UNAVAILABLE")
        return {**headers, **self._digest(request, file)}

    def _not_on_disk(self, request: Request, file: File) -> Reply | None:
        """The refusal to read a file on tape; None if it has come to disk. A restore goes on after a refusal."""
        way = self.switches.nearline_get if self.switches.may_stage else "403"
        if way not in ("block", "hang"):
            digest = self._digest(request, file) if way == "415" else None
            return self._error(request, int(way), digest, text=POOL_BUSY if way == "500" else "")
        restore = self.staging.robot.restore(request.path)
        end = time.monotonic() + (self.switches.mover_timeout if way == "block" else PATIENCE)
        while not restore.finished and time.monotonic() < end:
            restore.wait(min(end - time.monotonic(), TICK))
            if way == "hang" and left(request.connection, 0):
                raise ConnectionAbortedError("nobody waits")
        on_disk = self.tree.file(request.path).locality in (DISK, BOTH)
        return None if on_disk else self._error(request, 500, text=POOL_BUSY)

    def to_pool(self, request: Request) -> Reply:
        """The way to a mover; writers come with PUT."""
        writes = request.method == "PUT"
        mover = self.pool.open(Mover(request.path, bool(wishes(request.headers)), writes))
        if not mover:
            return self._error(request, self.switches.mover_busy, text=MOVER_BUSY[self.switches.mover_busy])
        path = encoded(composed(request.path, self.switches.names))
        query = f"dcache-http-uuid={mover}&dcache-http-ref={quote(request.origin, safe='')}"
        pool = self.pool.urls[self.switches.redirect]
        return Reply(307 if writes else 302, headers={"Location": f"{pool}{path}?{query}"})

    def _from_here(self, request: Request, file: File) -> Reply:
        """The bytes by the door's own hand."""
        headers, wish = self._about(request, file), request.headers.get("range")
        version = request.headers.get("if-range")
        if self.switches.if_range and version not in (None, headers.get("ETag"), headers["Last-Modified"]):
            wish = None
        if self.switches.redirect == "proxy" and wish is not None:
            return self._proxied(wish, file, headers)
        spans = spans_of(wish, file.size) if wish is not None else None
        if wish is not None and not spans:
            digest = self._digest(request, file)
            return self._error(request, 416, {"Content-Range": f"bytes */{file.size}", **digest})
        return ranged(spans, file.size, lambda start, stop: content(file, start, stop), headers)

    def _proxied(self, wish: str, file: File, headers: dict[str, str]) -> Reply:
        """A range from a dCache that reads its pools itself: right if it is one that begins and ends in the file."""
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", wish)
        if not asked or asked.groups() == ("", ""):
            return Reply(200, Stream(file.size, content(file, 0, file.size)), headers)
        first, last = asked.groups()
        if self.switches.proxy_open_range_empty and not (first and last):
            return Reply(206, headers=headers)
        if not first:  # the last N bytes are taken for those up to N, and one is missing
            mark = {"Content-Range": f"bytes 0-{last}/{file.size}"}
            return Reply(206, Stream(int(last) + 1, content(file, 0, min(int(last), file.size))), {**headers, **mark})
        start, stop = int(first), min(int(last) + 1, file.size) if last else file.size
        mark = {"Content-Range": f"bytes {start}-{stop - 1}/{file.size}"}  # whether there is such a range or not
        return Reply(206, Stream(max(stop - start, 0), content(file, start, stop)), {**headers, **mark})

    def _post(self, request: Request, node: Node | None) -> Reply:
        """What doors give out: macaroons, and StoRM's own tokens."""
        guest, _ = self.guests.standing(request, "storage.list")
        if request.path == DELEGATION and self.switches.words == "dcache":
            return self.copies.delegations.answer(request, guest)
        if request.headers.get("content-type") == MACAROON_REQUEST:
            return self.guests.macaroon(request, guest)
        if request.path == OWN_TOKENS.get(self.switches.names):
            return self.guests.own_token(request, guest)
        return self._error(request, 501 if self.switches.words == "dcache" else 405)

    def _options(self, request: Request, node: Node) -> Reply:
        allowed = ALLOW["folder" if isinstance(node, Folder) else "file"]
        dav = DAV_HEADER[self.switches.words]
        return Reply(200, headers={"DAV": dav, "MS-Author-Via": "DAV", "Allow": allowed})

    def _folder(self, request: Request, folder: Folder) -> Reply:
        """A page for people; at dCache without the slash at the end, the way to it."""
        if not request.target.endswith("/") and self.switches.words == "dcache":
            return Reply(302, b"", {"Location": f"{request.origin}{request.target}/"})
        names = [name + "/" * isinstance(node, Folder) for name, node in folder.children.items()]
        rows = [f'<li><a href="{encode(name.rstrip("/"))}">{html.escape(name)}</a></li>' for name in names]
        page = f"<html><body><h1>{html.escape(request.path)}</h1><ul>{''.join(rows)}</ul></body></html>\n"
        return Reply(200, page.encode("utf-8", "surrogateescape"), {"Content-Type": "text/html;charset=utf-8"})


def _nothing() -> Iterator[bytes]:
    """A body that breaks off before it has begun."""
    raise ConnectionAbortedError("cut off")
    yield b""
