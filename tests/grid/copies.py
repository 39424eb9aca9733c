"""Third-party copies: a door fetches a file from another door (COPY with Source) or brings it there (Destination).

The answer is 202 and a stream of marks; only its last line says how it went. The bytes really go from door to door. A
client that leaves takes dCache's copy with it (at the next mark), StoRM's goes on. A failed fetch leaves nothing at
dCache, and an empty file at StoRM. Inferred: what is said of a full disk, and of bringing what is on tape.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple
from urllib.parse import unquote, urljoin, urlsplit

from tests.grid.delegation import PATH, Delegations
from tests.grid.pki import Pki
from tests.grid.propfind import Upload, checksum, content
from tests.grid.tape import Robot
from tests.grid.tree import BOTH, DISK, File, Folder, Node, Tree
from tests.grid.uploads import Uploads
from tests.grid.web import Connection, Reply, Request, Stream, left
from tests.grid.words import error

if TYPE_CHECKING:
    from tests.grid.door import Switches

PATIENCE = 30  # seconds for the other end
TICK = 0.02  # seconds between two looks at what a copy waits for
FULL = "No space left on device"
PIECE = 64 * 1024
HOPS = 5
HANDED_ON = "transferheader"  # how headers begin that are meant for the other end


class Failure(Exception):
    """Why a copy did not succeed, as the last line says it."""


class Task(NamedTuple):
    """What a client has asked for."""

    path: str
    url: str  # of the other end
    is_pull: bool
    headers: dict[str, str]  # for the other end
    verified: bool  # no checksum there is a failure
    proxy: Path | None = None  # that was delegated, to be shown at the other end


class Copies:
    """The copies of one door."""

    def __init__(self, tree: Tree, switches: Switches, uploads: Uploads, pki: Pki, robot: Robot) -> None:
        self.tree = tree
        self.switches = switches
        self.uploads = uploads
        self.pki = pki
        self.robot = robot
        self.delegations = Delegations(switches, pki)
        self.running: set[Copy] = set()

    def answer(self, request: Request, node: Node | None) -> Reply:
        ends = [request.headers.get(name, "") for name in ("source", "destination")]
        url = ends[0] or ends[1]
        place = urlsplit(url)
        if all(ends) or not url:
            count = "contains both" if all(ends) else "is missing both"
            return error(request, 400, self.switches, text=f"COPY request {count} Destination and Source headers")
        if self.switches.words == "storm" and place.netloc in ("", request.headers.get("host")):
            here, there = unquote(place.path), request.path
            here, there = (here, there) if ends[0] else (there, here)
            return self.uploads.copy(request, self.tree.find(here), there)
        if not place.netloc:
            return error(request, 501, self.switches)
        refusal = self._unauthorized(request) or self._refusal(request, node, bool(ends[0]))
        return refusal or self._begin(request, url, bool(ends[0]))

    def _unauthorized(self, request: Request) -> Reply | None:
        """dCache wants a proxy to act with, unless it is told that none is needed; it has none, so it asks."""
        credential = request.headers.get("credential", "none" if self.switches.words == "storm" else "gridsite")
        if credential == "none":
            return None
        if self.switches.words == "storm" or credential != "gridsite":
            text = f"HTTP header 'Credential' has unknown value \"{credential}\""
            return error(request, 400, self.switches, text=text)
        if request.record.client in self.delegations.held:
            return None
        if "asked-to-delegate" in request.query:
            return Reply(401, reason="client failed to delegate a credential")
        where = f"{request.origin}{request.target}?asked-to-delegate=true"
        service = self.switches.delegate_to or request.origin + PATH
        return Reply(302, headers={"Location": where, "X-Delegate-To": service})

    def _refusal(self, request: Request, node: Node | None, is_pull: bool) -> Reply | None:
        """What can be said before anything is copied; dCache's own are hard to tell apart."""
        storm = self.switches.words == "storm"
        if isinstance(node, Folder):
            return error(request, 405 if storm else 400, self.switches, text="" if storm else "Not a file")
        if not is_pull:
            status = 404 if not node else 415 if storm and node.locality not in (DISK, BOTH) else 0
            return error(request, status, self.switches) if status else None
        if node and request.headers.get("overwrite") == "F":
            return error(request, 412 if storm else 500, self.switches)
        if not self.uploads.has_parent(request.path):
            return error(request, 409 if storm else 400, self.switches)
        return None

    def _begin(self, request: Request, url: str, is_pull: bool) -> Reply:
        headers = {n[len(HANDED_ON) :].title(): v for n, v in request.headers.items() if n.startswith(HANDED_ON)}
        wish = request.headers.get("requirechecksumverification", "true").lower() == "true"
        acts = request.headers.get("credential", "gridsite") == "gridsite" and self.switches.words == "dcache"
        proxy = self.delegations.held.get(request.record.client or "") if acts else None
        task = Task(request.path, url, is_pull, headers, wish and self.switches.copies_are_verified, proxy)
        copy = Copy(self, task)
        self.running.add(copy)
        threading.Thread(target=copy.run, daemon=True).start()
        kind = {"Content-Type": "text/perf-marker-stream" if self.switches.words == "dcache" else "text/plain"}
        return Reply(self.switches.copy_status, Stream(None, copy.marks(request.connection)), kind, chunked=True)

    def end(self) -> None:
        """Let no copy go on, as when the door dies."""
        for copy in list(self.running):
            copy.cancel()


class Copy:
    """One copy under way."""

    def __init__(self, copies: Copies, task: Task) -> None:
        self.copies = copies
        self.task = task
        self.switches = copies.switches
        self.sent = 0
        self.came = bytearray()  # what was fetched
        self.size = 0  # of the file that is fetched
        self.shown: Upload | None = None  # the file while it grows
        self.began = time.monotonic()
        self.verdict = ""
        self._is_cancelled = False
        self._done = threading.Event()
        self._socket: socket.socket | None = None

    def run(self) -> None:
        """Copy, whoever listens."""
        try:
            if self.task.is_pull:
                self._pull()
            else:
                self._push()
            self.verdict = "success: Created"
        except Failure as failure:
            self.verdict = f"failure: {failure}"
        except (OSError, http.client.HTTPException) as problem:
            self.verdict = f"failure: {type(problem).__name__}: {problem}".replace("\n", " ")
        if self.task.is_pull and self.verdict.startswith("failure"):
            self._leave_behind()
        self.copies.running.discard(self)
        self._done.set()

    def cancel(self) -> None:
        self._is_cancelled = True
        if self._socket:
            with suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def marks(self, client: Connection) -> Iterator[bytes]:
        """A mark now and then, and the verdict; without a reader dCache gives up."""
        told = 0
        try:
            while not self._done.wait(self.switches.marker_interval):
                self._hold(client, told)
                told += 1
                yield self._mark()
            self._hold(client, told)
            yield f"{self.verdict}\n".encode()
        finally:
            if not self._done.is_set() and not self.switches.copies_outlive:
                self.cancel()

    def _hold(self, client: Connection, told: int) -> None:
        """Say nothing more, if the marks have stopped, until nobody listens."""
        if told >= self.switches.copy_marks:
            left(client, PATIENCE)
            raise ConnectionAbortedError("nobody waits")

    def _mark(self) -> bytes:
        stripe = f"    Stripe Index: 0\n    Stripe Bytes Transferred: {self.sent}\n    Total Stripe Count: 1\n"
        if self.switches.words == "dcache":
            far = "" if not self.sent else f"    RemoteConnections: tcp:{urlsplit(self.task.url).netloc}\n"
            state = "Mover running" if self.sent else "Requesting mover"
            stripe = f"    State: {state}\n{stripe}{far}"
        return f"Perf Marker\n    Timestamp: {int(time.time())}\n{stripe}End\n".encode()

    def _leave_behind(self) -> None:
        """What a fetch that failed leaves under the name."""
        there = self.copies.tree.find(self.task.path)
        if self.shown and there is not self.shown:
            return  # it was removed meanwhile
        if self.switches.copy_leaves == "nothing":
            if there:
                self.copies.tree.remove(self.task.path)
            return
        rest = {"empty": b"", "part": bytes(self.came), "whole": bytes(self.came).ljust(self.size, b"\0")}
        self.copies.uploads.put(self.task.path, rest[self.switches.copy_leaves], checksums=())

    def _count(self, piece: bytes | memoryview, size: int) -> None:
        while not self._is_cancelled and self.switches.copy_rate:
            rest = self.began + (self.sent + len(piece)) / self.switches.copy_rate - time.monotonic()
            if rest <= 0:
                break
            time.sleep(min(rest, TICK))
        self.sent += len(piece)
        if self._is_cancelled:
            raise Failure("client went away")
        if self.switches.copy_fails and self.sent >= size / 2:
            raise Failure(self.switches.copy_fails)

    # == Fetch ==========================================================================================

    def _pull(self) -> None:
        if self.copies.tree.find(self.task.path):
            self.copies.tree.remove(self.task.path)
        wish = {"Want-Digest": "adler32"}
        if self.switches.copy_grows:
            self.shown = self.copies.uploads.put(self.task.path, b"", checksums=())
        with closing(self._followed("GET", wish)) as response:
            self.size = int(response.headers.get("Content-Length") or 0)
            if self.copies.uploads.used + self.size > self.switches.quota:
                raise Failure(FULL)
            while piece := response.read1(PIECE):
                self.came += piece
                self._show()
                self._count(piece, self.size)
        if self.size and len(self.came) != self.size:
            raise Failure(f"the other end has sent {len(self.came)} bytes of {self.size}")
        theirs = response.headers.get("Digest", "")
        if not theirs and self.switches.copies_are_verified:
            with closing(self._followed("HEAD", wish)) as response:
                theirs = response.headers.get("Digest", "")
        self._verify(f"{zlib.adler32(self.came):08x}", theirs)
        if not self.shown or self.copies.tree.find(self.task.path) is self.shown:
            self.copies.uploads.put(self.task.path, bytes(self.came))

    def _show(self) -> None:
        """What has come so far, where it grows under the name; what was removed meanwhile stays removed."""
        if self.shown and self.copies.tree.find(self.task.path) is self.shown:
            self.shown.data, self.shown.size = bytes(self.came), len(self.came)

    def _verify(self, mine: str, theirs: str) -> None:
        kind, _, value = theirs.partition("=")
        if not value or kind.lower() != "adler32":
            if self.task.verified:
                raise Failure("checksum verification failed: the remote server has no checksum")
        elif self.switches.copies_are_verified and int(value, 16) != int(mine, 16):
            raise Failure(f"checksum verification failed: {value} != {mine}")

    def _followed(self, method: str, more: dict[str, str]) -> http.client.HTTPResponse:
        """The other end's answer with the file, wherever it sends us."""
        url, headers = self.task.url, {**more, **self.task.headers}
        for _ in range(HOPS):
            connection = self._connection(url)
            parts = urlsplit(url)
            target = parts.path + (f"?{parts.query}" if parts.query else "")
            connection.request(method, target, headers={**headers, "Connection": "close"})
            self._socket = connection.sock
            response = connection.getresponse()
            if response.status == 200:
                return response
            response.close()
            if response.status not in (301, 302, 303, 307, 308):
                raise Failure(f"rejected {method}: {response.status} {response.reason}")
            url, headers = urljoin(url, response.headers["Location"]), more
        raise Failure("too many redirects")

    def _connection(self, url: str) -> http.client.HTTPConnection:
        place = urlsplit(url)
        if place.scheme not in ("https", "davs"):
            return http.client.HTTPConnection(place.netloc, timeout=PATIENCE)
        context = ssl.create_default_context(capath=str(self.copies.pki.certificates))
        if self.task.proxy:
            context.load_cert_chain(self.task.proxy)
        return http.client.HTTPSConnection(place.netloc, timeout=PATIENCE, context=context)

    # == Bring ==========================================================================================

    def _push(self) -> None:
        file = self.copies.tree.file(self.task.path)
        self._fetch_from_tape(file)
        url, headers = self.task.url, self.task.headers
        for _ in range(HOPS):
            status, found = self._put(url, headers, file)
            if status in (200, 201, 204):
                return self._check(file)
            if status != 307:
                raise Failure(f"rejected PUT: {status} {found}")
            url, headers = urljoin(url, found), {}
        raise Failure("too many redirects")

    def _fetch_from_tape(self, file: File) -> None:
        """What is on tape alone is waited for, as long as a mover waits."""
        if file.locality in (DISK, BOTH):
            return
        restore = self.copies.robot.restore(self.task.path)
        end = time.monotonic() + self.switches.mover_timeout
        while not restore.finished and not self._is_cancelled and time.monotonic() < end:
            restore.wait(TICK)
        if file.locality not in (DISK, BOTH):
            raise Failure("locality NEARLINE: the file is not online")

    def _put(self, url: str, headers: dict[str, str], file: File) -> tuple[int, str]:
        """The status of an upload that waits for a word, and where it should go or what was said."""
        connection, parts = self._connection(url), urlsplit(url)
        with closing(connection):
            connection.connect()
            self._socket = connection.sock
            target = parts.path + (f"?{parts.query}" if parts.query else "")
            lines = [f"PUT {target} HTTP/1.1", f"Host: {parts.netloc}", f"Content-Length: {file.size}"]
            lines += [f"{name}: {value}" for name, value in headers.items()]
            waits = bool(file.size)  # with no body there is nothing to wait for
            lines += ["Expect: 100-continue"] * waits + ["Connection: close", "", ""]
            connection.sock.sendall("\r\n".join(lines).encode())
            with connection.sock.makefile("rb") as answer:
                status, reason, found = _head(answer)
                if status == 100:
                    for piece in content(file, 0, file.size):
                        for at in range(0, len(piece), PIECE):
                            connection.sock.sendall(piece[at : at + PIECE])
                            self._count(piece[at : at + PIECE], file.size)
                    status, reason, found = _head(answer)
        return status, found.get("location", "") if status == 307 else reason

    def _check(self, file: File) -> None:
        """Compare with what the other end has now, if that can be known."""
        if not self.switches.copies_are_verified or not file.checksums:
            return
        with closing(self._followed("HEAD", {"Want-Digest": "adler32"})) as response:
            self._verify(checksum(file, "adler32", self.switches), response.headers.get("Digest", ""))


def _head(stream: BinaryIO) -> tuple[int, str, dict[str, str]]:
    """Status, reason and headers of an answer."""
    words = stream.readline().decode("latin-1").split(None, 2)
    if len(words) < 2:
        raise Failure("the other end has hung up")
    _, status, *reason = words
    headers = http.client.parse_headers(stream)
    return int(status), " ".join(reason).strip(), {name.lower(): value for name, value in headers.items()}
