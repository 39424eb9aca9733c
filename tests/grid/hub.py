"""CTA's services on a JupyterHub, made anew: downloadservice before a dCache, and certificateservice.

What they take and answer was read in the source of downloadservice 0.7.11 and certificateservice 0.4.11; the real ones
were never met. Behind the service stands a simulated dCache of its own, with AGATA's tree: what is below BASE there is
below `webdav/` here. Alone it knows two tokens; behind a real hub (jupyter.py) it asks that.

    url/list/PATH          a folder as JSON, itself first
    url/fetch/PATH         in chunks, without Range and length; of what dCache says, the status is not passed on
    url/upload/PATH        POST of a file into <lst or cta>/users/<me>/, which is made
    url/webdav/PATH        dCache itself, with the methods of WEBDAV: each answer is first read into memory, no redirect
                           followed, no length passed on (so HEAD says 0)
    certificates/certificate, certificates/main-certificate     a proxy for the dCache, at most seven days long

Switches
    login             who is not known gets 401 if the Content-Type is JSON, else the way to the hub's login page
                      ("right"), always the way ("way"), or that page itself under 200 ("page")
    swaps             are `:href>/BASE/` replaced in files, too, as in listings?
    mangles           does a path with #, ? or %xx become another one on its way to the dCache?
    length_of_head    what HEAD says of the length: "0", "" (nothing) or "right"
    pools             what clients are told of pools: "right", "dead" (a port that nobody has), "silent" (nothing comes)
    makes_folders     is a file taken whose folder is not there? dCache makes it; else 409
    server, handshake, idle_close, latency, bandwidth      as at a door

What else goes wrong is added to `hub.faults` (faults.py), or behind it to `hub.dcache.faults`. The dCache sends readers
to its pools, unless `hub.dcache.switches.redirect = "proxy"`; `hub.dcache.down("pool")` is a pool that nobody reaches.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import json
import re
import ssl
import subprocess
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import quote, unquote, urljoin, urlsplit

from tests.grid.door import Door, kindly
from tests.grid.faults import Faults
from tests.grid.pki import Pki
from tests.grid.tape import Robot
from tests.grid.tree import Tree
from tests.grid.web import CHUNK, Log, Reply, Request, Server, Stream, json_reply

BASE = "agata"  # what the dCache has above all that the service shows
PREFIX = "/services/downloadservice"
CERTIFICATES = "/services/certificateservice"
UPLOADS = ("lst", "cta")  # where users have their folders
KEYS = ("cta", "lst", "arc")  # of certificates
WEBDAV = ("GET", "HEAD", "MKCOL", "OPTIONS", "PROPFIND", "PROPPATCH", "PUT", "TRACE")
HOP_BY_HOP = {
    "content-encoding", "content-length", "transfer-encoding", "connection", "keep-alive", "proxy-authenticate",
    "proxy-authorization", "te", "trailers", "upgrade",
}  # fmt: skip
LONGEST = 7  # days of a certificate
LOGIN = "/hub/login"
OF_HUB = {"X-JupyterHub-Version": "6.1.1"}
PAGE = "<!DOCTYPE HTML>\n<html><head><title>JupyterHub</title></head><body><form>Sign in</form></body></html>\n"
REFUSED = "Access denied, token scopes are insufficient. If you need access to this service, contact the DC team."
# Of the two of the service alone; that of a guest is good for something else.
TOKENS = {"alices-token-0123456789abcdef": "alice", "guests-token-0123456789abcdef": ""}


@dataclass
class Switches:
    """As the services are."""

    login: str = "right"
    swaps: bool = True
    mangles: bool = True
    length_of_head: str = "0"
    pools: str = "right"
    makes_folders: bool = True
    server: str = "Cheroot/10.0.1"
    handshake: str = "served"
    idle_close: float = 60.0
    latency: float = 0.0
    bandwidth: float = 0.0


class Guest(NamedTuple):
    """Who a token is of."""

    name: str = ""
    may_enter: bool = True
    is_admin: bool = False


Who = Callable[[str], "Guest | None"]


def known_here(token: str) -> Guest | None:
    """Who a token is of, where there is no hub to ask."""
    name = TOKENS.get(token)
    return None if name is None else Guest(name, bool(name))


def fragment(user: str) -> str:
    """The name of a user's folder: nine digits of ten are none to the service."""
    return re.sub("[^0-1a-z]", "_", user.lower())


def mangled(path: str) -> str:
    """A path as the library requests sends it that was given it decoded."""
    path = re.split("[#?]", path, maxsplit=1)[0]
    return re.sub("%([0-9A-Fa-f]{2})", lambda found: chr(int(found[1], 16)), path)


class Told(NamedTuple):
    """What the dCache has answered."""

    status: int
    reason: str
    headers: dict[str, str]
    body: bytes


class Hub:
    """Both services on one port of loopback."""

    def __init__(self, tree: Tree, pki: Pki, robot: Robot, who: Who = known_here, secure: bool = True) -> None:
        self.pki = pki
        self.who = who
        self.switches, self.log, self.faults = Switches(), Log(), Faults()
        self.tree = Tree()
        self.tree.folder(BASE).children.update(tree.folder(BASE).children)
        for top in UPLOADS:
            self.tree.folder(f"{BASE}/{top}/users")
        self.dcache = Door(self.tree, pki, robot, "dcache-10.2", kindly("dcache-10.2"))
        self.largest = 0  # bytes of an answer that was held in memory
        self.in_queries = 0  # requests that had a token in the query, where proxies write it down
        self.certificates: dict[str, str] = {}  # that were taken, by the names of their files
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*map(str, pki.host()))
        answer = self.faults.around(self._answer)
        self._server = Server("hub", (lambda: tls) if secure else None, self.log, self.switches, answer)
        self._silent = Server("silent", lambda: tls, Log(), Switches(handshake="silent"), answer)
        self.root = self._server.url
        self.port = self._server.port

    @property
    def url(self) -> str:
        """Of the downloadservice."""
        return self.root + PREFIX

    @property
    def server(self) -> str:
        """What goes into Grid.conf."""
        return f"{self.url}/webdav/"

    @property
    def certificates_url(self) -> str:
        return self.root + CERTIFICATES

    @property
    def token(self) -> str:
        """Alice's, where it stands alone."""
        return next(iter(TOKENS))

    def start(self) -> None:
        self.dcache.start()
        self._server.start()
        self._silent.start()

    def stop(self) -> None:
        self._server.stop()
        self._silent.stop()
        self.dcache.stop()

    def down(self) -> None:
        """Refuse all connections, until `up`."""
        self._server.down()

    def up(self) -> None:
        self._server.start()

    def reset(self) -> None:
        """Be as at first, with nothing in the log."""
        for name, value in vars(Switches()).items():
            setattr(self.switches, name, value)
        for name, value in vars(kindly("dcache-10.2")).items():
            setattr(self.dcache.switches, name, value)
        for one in (self.faults, self.dcache.faults, self.log, self.dcache.log, self.certificates):
            one.clear()
        for top in UPLOADS:
            self.tree.folder(f"{BASE}/{top}/users").children.clear()
        self.largest = self.in_queries = 0

    # Who asks.

    def _answer(self, request: Request) -> Reply:
        self.in_queries += "token" in request.query
        for prefix, answer in ((PREFIX, self._download), (CERTIFICATES, self._certificate)):
            if request.path == prefix or request.path.startswith(f"{prefix}/"):
                return answer(request, request.path[len(prefix) :].lstrip("/"))
        return self._of_hub(request)

    def _of_hub(self, request: Request) -> Reply:
        """What the hub says by itself, as JupyterHub 6.1 does: also of what is none of its services."""
        if request.path == "/hub/api/user":
            guest = self._guest(request)
            name = guest.name if isinstance(guest, Guest) else ""
            return (
                json_reply(200, {"name": name}, OF_HUB) if name else json_reply(403, {"message": "Forbidden"}, OF_HUB)
            )
        if request.path == LOGIN:
            return _hubs_page(200)
        if request.path.startswith("/hub/"):
            return _hubs_page(404)
        if request.method not in ("GET", "HEAD"):
            return _hubs_page(405)
        return Reply(302, b"", {"Location": f"/hub{request.target}", **OF_HUB})

    def _guest(self, request: Request) -> Guest | Reply:
        """Who asks, or what is said to somebody who is nobody."""
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        token = token if kind == "Bearer" else ""
        guest = self.who(request.query.get("token") or token) if request.query.get("token") or token else None
        if guest and guest.may_enter:
            return guest
        if guest:
            return Reply(403, REFUSED.encode(), {"Content-Type": "text/html; charset=utf-8"})
        if self.switches.login == "page":
            return _hubs_page(200)
        if self.switches.login == "right" and request.headers.get("content-type", "").lower() == "application/json":
            return json_reply(401, {"message": "Invalid or missing Bearer token"})
        return Reply(302, b"", {"Location": f"{LOGIN}?next={quote(request.path)}"})

    # The downloadservice.

    def _download(self, request: Request, rest: str) -> Reply:
        verb, _, path = rest.partition("/")
        if verb == "health":
            return Reply(200, b"OK - DownloadService is up and running")
        methods = {"list": ("GET", "POST"), "fetch": ("GET", "POST"), "upload": ("POST",), "webdav": WEBDAV}
        if verb not in methods:
            return _page(404)
        if request.method not in methods[verb]:
            return _page(405)
        guest = self._guest(request)
        if isinstance(guest, Reply):
            return guest
        if verb in ("fetch", "upload") and ".." in path:
            return Reply(400, b"Error: path cannot contain '..'")
        return getattr(self, f"_{verb}")(request, guest, path)

    def _list(self, request: Request, guest: Guest, path: str) -> Reply:
        told = self._ask("PROPFIND", path, {"Depth": "1"})
        if told.status not in (200, 207):
            return Reply(told.status, f"Error: {told.status} ".encode() + told.body)
        entries = []
        for response in ET.fromstring(told.body).iter("{DAV:}response"):
            found = {element.tag.rpartition("}")[2]: element.text for element in response.iter()}
            entry = {"href": re.sub(f"^/*{BASE}/", "", found.get("href") or "")}
            names = {"size": "getcontentlength", "mtime": "getlastmodified"}
            entry.update({name: found[tag] for name, tag in names.items() if found.get(tag)})
            entry["url"] = f"{request.origin}{PREFIX}/list/{entry['href']}"
            entry["type"] = "directory" if entry["href"].endswith("/") or not entry["href"] else "file"
            entries.append(entry)
        return json_reply(200, entries)

    def _fetch(self, request: Request, guest: Guest, path: str) -> Reply:
        name = path.rpartition("/")[2]
        kind = {"Content-Type": "application/octet-stream", "Content-Disposition": f"attachment; filename={name}"}
        return Reply(200, Stream(None, self._streamed(path)), kind, chunked=True)

    def _streamed(self, path: str) -> Iterator[bytes]:
        """What the dCache and its pools send, whatever the status."""
        url = self._upstream(path)
        for _ in range(5):
            with self._line(url) as line:
                line.request("GET", _target(url))
                answer = line.getresponse()
                if answer.status not in (301, 302, 303, 307, 308):
                    while piece := answer.read(CHUNK):
                        yield piece
                    return
                url = urljoin(url, answer.getheader("Location", ""))

    def _upload(self, request: Request, guest: Guest, path: str) -> Reply:
        home = f"{UPLOADS[0]}/users/{fragment(guest.name)}"
        self._ask("MKCOL", home)
        written = 0

        def pieces() -> Iterator[bytes]:
            nonlocal written
            for piece in request.pieces():
                written += len(piece)
                yield piece

        told = self._ask("PUT", f"{home}/{path}", {}, pieces())
        if told.status not in (200, 201):
            return Reply(told.status, f"Error: {told.status} ".encode() + told.body)
        return json_reply(200, {"status": "uploaded", "path": f"{home}/{path}", "total_written": written})

    def _webdav(self, request: Request, guest: Guest, path: str) -> Reply:
        method = request.method
        homes = tuple(f"{top}/users/{fragment(guest.name)}/" for top in UPLOADS)
        if method not in ("GET", "HEAD", "OPTIONS", "PROPFIND", "TRACE") and not path.startswith(homes):
            shown = re.sub("[^ -~]", "?", path)
            reason = f"Missing rights to write in : {shown}, you are not allowed to write in this folder"
            return Reply(403, b"Access denied", {"Content-Type": "text/html; charset=utf-8"}, reason)
        kept = {"host", "authorization", *HOP_BY_HOP}
        headers = {name: value for name, value in request.headers.items() if name not in kept}
        told = self._ask(method, path, headers, request.pieces() if method in ("PUT", "PROPFIND", "PROPPATCH") else ())
        body = told.body
        if self.switches.swaps or method in ("PROPFIND", "PROPPATCH"):
            body = body.replace(f":href>/{BASE}/".encode(), f":href>{PREFIX}/webdav/".encode())
        kept = HOP_BY_HOP | {"server", "date"}  # the last two are said here
        passed = {name: value for name, value in told.headers.items() if name.lower() not in kept}
        if "Location" in passed and self.switches.pools != "right":
            place = {"dead": "localhost:1", "silent": f"localhost:{self._silent.port}"}[self.switches.pools]
            passed["Location"] = urlsplit(passed["Location"])._replace(netloc=place).geturl()
        if method == "HEAD":
            return self._head(told, passed)
        return Reply(told.status, body, passed, told.reason)

    def _head(self, told: Told, passed: dict[str, str]) -> Reply:
        """The answer to a HEAD: its body is empty, and that is what the length says."""
        right = told.headers.get("Content-Length", "0")
        if self.switches.length_of_head == "right":
            return Reply(told.status, Stream(int(right), ()), passed, told.reason)
        return Reply(told.status, b"", passed, told.reason, chunked=self.switches.length_of_head == "")

    # The dCache behind it.

    def _upstream(self, path: str) -> str:
        """Where a path is at the dCache, as the library that asks it makes a URL of it."""
        path = "/".join(filter(None, (BASE, mangled(path).strip("/") if self.switches.mangles else path.strip("/"))))
        return f"{self.dcache.url}/{quote(path, errors='surrogateescape')}"

    @functools.cached_property
    def _context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(capath=str(self.pki.certificates))
        context.load_cert_chain(str(self.pki.proxy("good")))
        return context

    def _line(self, url: str) -> contextlib.closing[http.client.HTTPConnection]:
        """A connection for one request."""
        place = urlsplit(url)
        assert place.hostname
        if place.scheme == "http":
            return contextlib.closing(http.client.HTTPConnection(place.hostname, place.port, timeout=60))
        secure = http.client.HTTPSConnection(place.hostname, place.port, timeout=60, context=self._context)
        return contextlib.closing(secure)

    def _ask(self, method: str, path: str, headers: dict[str, str] | None = None, body: Iterable[bytes] = ()) -> Told:
        """One request to the dCache, whose answer is held in memory."""
        url = self._upstream(path)
        if method == "PUT" and not self.switches.makes_folders:
            folder = urlsplit(url).path.rpartition("/")[0]
            if not self.tree.find(unquote(folder)):
                return Told(409, "Conflict", {}, b"Conflict: the parent is missing")
        with self._line(url) as line:
            has_body = method in ("PUT", "PROPFIND", "PROPPATCH")
            line.request(method, _target(url), body if has_body else None, headers or {}, encode_chunked=has_body)
            answer = line.getresponse()
            data = answer.read()
        self.largest = max(self.largest, len(data))
        return Told(answer.status, answer.reason, dict(answer.getheaders()), data)

    # The certificateservice.

    def _certificate(self, request: Request, rest: str) -> Reply:
        if rest == "health":
            return Reply(200, b"OK")
        if rest not in ("certificate", "main-certificate"):
            return _page(404)
        if request.method != "POST":
            return _page(405)
        guest = self._guest(request)
        if isinstance(guest, Reply):
            return guest
        asked = json.loads(request.body)
        is_main = rest == "main-certificate"
        if is_main and not guest.is_admin:
            return Reply(401, b"access denied")
        key = asked.get("certificate_key", "")
        if not is_main and key not in KEYS:
            return _page(500)
        validity = self._judge(str(asked.get("certificate") or ""))
        if isinstance(validity, Reply):
            return validity
        if isinstance(validity, str):
            name = "main" if is_main else f"{fragment(asked.get('user') or guest.name)}__{key}"
            self.certificates[f"{name}.crt"] = asked["certificate"]
        return json_reply(200, {"message": "Certificate stored", "validity": validity})

    def _judge(self, certificate: str) -> Reply | str | list[object]:
        """Until when a certificate is good, why it is not taken, or the answer to something that is none."""
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
            file.write(certificate)
            file.flush()
            ends = _openssl("x509", "-noout", "-enddate", "-in", file.name)
            if ends.returncode:
                return Reply(400, b"invalid certificate : no start line")
            end = datetime.strptime(ends.stdout.strip(), "notAfter=%b %d %H:%M:%S %Y GMT").replace(tzinfo=timezone.utc)
            now = datetime.now(timezone.utc)
            if end <= now:
                return ["certificate expired", 400]
            chain = ["-allow_proxy_certs", "-CApath", str(self.pki.certificates), "-untrusted", file.name, file.name]
            if _openssl("verify", *chain).returncode:
                return Reply(400, b"invalid certificate verification chain")
        if end.date() > (now + timedelta(days=LONGEST)).date():
            return ["certificate validity too long, please generate a short-lived (max 7 day) proxy certificate", 400]
        return format_datetime(end, usegmt=True)


def _openssl(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["openssl", *words], capture_output=True, text=True, check=False)


def _target(url: str) -> str:
    return urlsplit(url)._replace(scheme="", netloc="", fragment="").geturl()


def _page(status: int) -> Reply:
    """What the framework of a service says to people."""
    page = f"<!doctype html>\n<html lang=en>\n<title>{status} {HTTPStatus(status).phrase}</title>\n"
    return Reply(status, page.encode(), {"Content-Type": "text/html; charset=utf-8"})


def _hubs_page(status: int) -> Reply:
    """What the hub says to people: who they may be, or that there is no such page."""
    return Reply(status, PAGE.encode(), {"Content-Type": "text/html", **OF_HUB})
