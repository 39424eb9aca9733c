"""A stand-in for an FTS3 server, after its documented REST API and the source of fts-rest-flask 3.13.

It is not FTS3: what is real are TLS, the delegation of proxies, and the copies, which it makes itself (GET here, PUT
there, with what it was handed) where FTS3 has the doors copy. Files of a job with `bring_online` are staged first, and
released in the end, through the tape service of their site. Names of jobs are made as FTS3 makes them, and none is
taken twice.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import re
import ssl
import subprocess
import tempfile
import threading
import time
import uuid
import zlib
from collections import deque
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from tests.grid.door import ALLOW_PROXY_CERTS
from tests.grid.faults import Faults
from tests.grid.pki import VO, Pki
from tests.grid.web import Log, Reply, Request, Server, json_reply, left

BASE_ID = uuid.UUID("01874efb-4735-4595-bc9c-591aef8240c9")
PATIENCE = 30  # seconds for a door
HOPS = 5
WORKERS = 4  # copies at once
TERMINAL = ("FINISHED", "FAILED", "CANCELED")
STAGE_LOOK = 0.05  # seconds between two looks at a staging request
NAMES = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 409: "Conflict"}
NAMES |= {405: "Method Not Allowed", 413: "Request Entity Too Large", 419: "Authentication Timeout"}


class Failure(Exception):
    """Why a copy did not succeed, as `reason` says it."""


@dataclass
class Wire:
    """How its connections are."""

    server: str = "Apache"
    handshake: str = "served"
    idle_close: float = 60.0
    latency: float = 0.0
    bandwidth: float = 0.0


@dataclass
class Transfer:
    """A file of a job."""

    job: FtsJob
    file_index: int
    source_surl: str
    dest_surl: str
    checksum: str
    tokens: tuple[str, str] | None
    file_state: str = "SUBMITTED"
    reason: str = ""
    tx_duration: float | None = None


@dataclass
class FtsJob:
    """A job."""

    job_id: str
    user: str
    params: dict[str, Any]
    files: list[Transfer] = field(default_factory=list)


class Fts:
    """One server on loopback; `url` is what --fts names."""

    def __init__(self, pki: Pki, folder: Path) -> None:
        self.pki = pki
        self.folder = folder
        folder.mkdir()
        self.wire, self.log, self.faults = Wire(), Log(), Faults()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*map(str, pki.host()))
        context.verify_mode = ssl.CERT_OPTIONAL
        context.verify_flags |= ALLOW_PROXY_CERTS
        context.load_verify_locations(capath=str(pki.certificates))
        self._server = Server("fts", lambda: context, self.log, self.wire, self.faults.around(self._answer))
        self.url = self._server.url
        self._turn = threading.Condition()
        self._queue: deque[Transfer] = deque()
        self._is_over = False
        self.reset()

    def reset(self) -> None:
        """Be as at first, with nothing in the log; what it has of proxies is gone."""
        self.faults.clear()
        self.log.clear()
        with self._turn:
            self.jobs: dict[str, FtsJob] = {}
            self.credentials: dict[str, tuple[str, Path]] = {}  # when they end, and where they are, by user
            self.requests: dict[str, Path] = {}  # folders with a key and a request for it
            self._queue.clear()
            self.is_held = False  # files stay SUBMITTED, or STAGING
            self.failing: dict[str, str] = {}  # reasons, by patterns of sources
            self.wrong: str = ""  # a pattern of sources that arrive with other bytes
            self.lifetime = 0  # seconds that it says a delegated proxy is good for; 0: as long as it is
            self.is_silent = False  # a job that is submitted is taken, and not answered
            self.most = 0  # bytes of a request; 0: any

    def start(self) -> None:
        self._server.start()
        for _ in range(WORKERS):
            threading.Thread(target=self._work, daemon=True).start()

    def stop(self) -> None:
        self._server.stop()
        with self._turn:
            self._is_over = True
            self._turn.notify_all()

    def hold(self) -> None:
        """Begin with no file from now on."""
        self.is_held = True

    def go(self) -> None:
        """Begin with those that wait."""
        with self._turn:
            self.is_held = False
            self._turn.notify_all()

    def forget(self) -> None:
        """Know no job any more, as after a week."""
        with self._turn:
            for job in self.jobs.values():
                self._cancel(job)
            self.jobs.clear()

    def states(self) -> list[str]:
        """Those of all files."""
        return [file.file_state for job in list(self.jobs.values()) for file in job.files]

    # == What is asked ==================================================================================

    def _answer(self, request: Request) -> Reply:
        user, method = self._user(request)
        if not user:
            return _error(401, "Unauthenticated access is not allowed")
        words = request.path.strip("/").split("/")
        if (request.method, words) == ("GET", [""]):
            version = {"major": 3, "minor": 13, "patch": 4}
            return json_reply(200, {"api": version, "core": version, "schema": {"major": 8, "minor": 2, "patch": 0}})
        if (request.method, words) == ("GET", ["whoami"]):
            return json_reply(200, self._whoami(user, method))
        if words[0] == "delegation" and len(words) in (2, 3):
            return self._delegation(request, user, words[1:])
        if (request.method, words) == ("POST", ["jobs"]):
            return self._submit(request, user, method)
        if words[0] == "jobs" and len(words) in (2, 3):
            job = self.jobs.get(words[1])
            if job is None:
                return _error(404, f'No job with the id "{words[1]}" has been found')
            if job.user != user:
                return _error(403, f'Not enough permissions to check the job "{words[1]}"')
            if (request.method, words[2:]) == ("GET", ["files"]):
                return json_reply(200, [_shown(file) for file in job.files])
            if (request.method, words[2:]) == ("GET", ["dm"]):
                return json_reply(200, [])
            if (request.method, words[2:]) == ("GET", []):
                return json_reply(200, {"job_id": job.job_id, "job_state": _state(job), "http_status": "200 Ok"})
            if (request.method, words[2:]) == ("DELETE", []):
                with self._turn:
                    self._cancel(job)
                return json_reply(200, {"job_id": job.job_id, "job_state": _state(job), "http_status": "200 Ok"})
        return _error(404, "The requested URL was not found on the server")

    def _user(self, request: Request) -> tuple[str, str]:
        """Who asks, and how that is known; empty for nobody."""
        shown = request.headers.get("authorization", "").partition("Bearer ")[2]
        if shown:
            return f"token-{hashlib.sha1(shown.encode()).hexdigest()[:8]}", "oauth2"
        assert isinstance(request.connection, ssl.SSLSocket)
        certificate = request.connection.getpeercert()
        if not certificate:
            return "", ""
        names = [value for part in certificate["subject"] for _, value in part]  # type: ignore[misc]
        return "/".join(str(name) for name in names if not str(name).isdecimal() and name != "proxy"), "certificate"

    def _whoami(self, user: str, method: str) -> dict[str, Any]:
        id = hashlib.sha1(user.encode()).hexdigest()[:16]
        return {
            "user_dn": user, "method": method, "delegation_id": id, "base_id": str(BASE_ID), "vos": [VO],
            "vos_id": [str(uuid.uuid5(BASE_ID, VO))], "dn": [user], "voms_cred": [f"/{VO}"], "is_root": False,
        }  # fmt: skip

    def _delegation(self, request: Request, user: str, words: list[str]) -> Reply:
        if words[0] != self._whoami(user, "")["delegation_id"]:
            return _error(403, "The requested ID and the credentials ID do not match")
        asked = request.method, words[1:]
        if asked == ("GET", []):
            ends = self.credentials.get(user, ("",))[0]
            if ends and self.lifetime:
                ends = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() + self.lifetime))
            return json_reply(200, {"termination_time": ends, "voms_attrs": [f"/{VO}"]} if ends else None)
        if asked == ("GET", ["request"]):
            return Reply(200, (self._requested(user) / "csr.pem").read_bytes(), {"Content-Type": "text/plain"})
        if asked == ("PUT", ["credential"]):
            return self._take_proxy(user, request.body.decode())
        return _error(405, "The method is not allowed for the requested URL")

    def _requested(self, user: str) -> Path:
        """A folder with a new key of the server's, and a request to sign it."""
        if user not in self.requests:
            folder = Path(tempfile.mkdtemp(dir=self.folder))
            command = ["openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-sha256", "-subj", "/O=Dummy"]
            command += ["-keyout", "key.pem", "-out", "csr.pem"]
            subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=60)
            self.requests[user] = folder
        return self.requests[user]

    def _take_proxy(self, user: str, text: str) -> Reply:
        """A signed proxy, which must fit the key and be signed by the one behind it."""
        if user not in self.requests:
            return _error(400, "No credential cache found")
        folder = self.requests.pop(user)
        chain = re.findall("(?s)-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n?", text)
        if len(chain) < 2:
            return _error(400, "Could not process the proxy: Malformed proxy")
        path = folder / "proxy.pem"
        path.write_text(chain[0] + (folder / "key.pem").read_text() + "".join(chain[1:]))
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(str(path))
            names = [_said(piece, "-subject", "-issuer", "-nameopt", "RFC2253") for piece in chain[:2]]
            if not re.fullmatch(r"CN=[^,+]*," + re.escape(names[1][0]), names[0][0]) or names[0][1] != names[1][0]:
                return _error(400, f"Could not process the proxy: The subject and the issuer do not match: {names}")
            ends = min(time.strptime(_said(p, "-enddate")[0], "%b %d %H:%M:%S %Y %Z") for p in chain)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            return _error(400, f"Could not process the proxy: {error}")
        self.credentials[user], self.lifetime = (time.strftime("%Y-%m-%dT%H:%M:%S", ends), path), 0
        return Reply(201)

    def _submit(self, request: Request, user: str, method: str) -> Reply:
        if self.most and len(request.body) > self.most:
            return _error(413, "The data value transmitted exceeds the capacity limit.")
        if method == "certificate" and (user not in self.credentials or 0 < self.lifetime < 3600):
            return _error(419, f'No delegation found for "{user}"')
        try:
            document = json.loads(request.body)
            params = document["params"]
            is_told = params.get("id_generator") == "deterministic"
            id = str(uuid.uuid5(uuid.uuid5(BASE_ID, VO), params["sid"]) if is_told else uuid.uuid1())
            job = FtsJob(id, user, params)
            is_staged = max(params.get("bring_online") or 0, params.get("copy_pin_lifetime") or 0) > 0
            for index, file in enumerate(document["files"]):
                job.files.append(_transfer(job, index, file, method))
                job.files[-1].file_state = "STAGING" if is_staged else "SUBMITTED"
        except (KeyError, TypeError, ValueError) as error:
            return _error(400, f"Missing parameter: {error}")
        if method == "oauth2" and is_staged:
            return _error(400, "Requests to retrieve from tape using token authentication are not supported")
        with self._turn:
            if id in self.jobs:
                return _error(409, "The sid provided by the user is duplicated")
            self.jobs[id] = job
            self._queue.extend(job.files)
            self._turn.notify_all()
        while self.is_silent and not left(request.connection, 0.05):
            pass
        return json_reply(200, {"job_id": id})

    def _cancel(self, job: FtsJob) -> None:
        for file in job.files:
            if file.file_state not in TERMINAL:
                file.file_state, file.reason = "CANCELED", "Job canceled by the user"

    # == What is done ===================================================================================

    def _work(self) -> None:
        while True:
            with self._turn:
                while not self._is_over and (self.is_held or not self._queue):
                    self._turn.wait()
                if self._is_over:
                    return
                file = self._queue.popleft()
            began = time.monotonic()
            try:
                self._copy(file)
                self._end(file, "FINISHED", "", time.monotonic() - began)
            except Failure as failure:
                self._end(file, "FAILED", str(failure))
            except (OSError, http.client.HTTPException) as problem:
                self._end(file, "FAILED", f"TRANSFER [5] {type(problem).__name__}: {problem}")

    def _end(self, file: Transfer, state: str, reason: str, seconds: float | None = None) -> None:
        with self._turn:
            if file.file_state not in TERMINAL:
                file.file_state, file.reason, file.tx_duration = state, reason, seconds

    def _begin(self, file: Transfer, state: str) -> None:
        with self._turn:
            if file.file_state in TERMINAL:
                raise Failure("it was cancelled")
            file.file_state = state

    def _copy(self, file: Transfer) -> None:
        visit, pin = Visit(self, file), ""
        if file.file_state == "STAGING":
            self._begin(file, "STARTED")
            pin = visit.stage(file.source_surl, int(file.job.params["copy_pin_lifetime"]))
        self._begin(file, "ACTIVE")
        for pattern, reason in self.failing.items():
            if fnmatchcase(unquote(file.source_surl), pattern):
                raise Failure(reason)
        status, _, _ = visit.ask("HEAD", file.dest_surl, 1)
        if status == 200 and not file.job.params.get("overwrite"):
            raise Failure("DESTINATION [17] Destination file exists and overwrite is not enabled")
        if status == 200:
            visit.ask("DELETE", file.dest_surl, 1)
        status, _, data = visit.ask("GET", file.source_surl, 0)
        if status != 200:
            raise Failure(f"SOURCE [2] HTTP {status} : the source cannot be read")
        made = f"{zlib.adler32(data):08x}"
        if file.checksum and file.checksum.partition(":")[2] not in ("", made):
            raise Failure("TRANSFER CHECKSUM MISMATCH User defined checksum and source checksum do not match")
        if self.wrong and fnmatchcase(unquote(file.source_surl), self.wrong):
            data = bytes(len(data))
        visit.send(file.dest_surl, data)
        if pin:
            visit.release(file.source_surl, pin)


class Visit:
    """What is asked of the doors for one file."""

    def __init__(self, fts: Fts, file: Transfer) -> None:
        self.fts = fts
        self.tokens = file.tokens
        self.context = ssl.create_default_context(capath=str(fts.pki.certificates))
        self.context.post_handshake_auth = True
        if not file.tokens:
            self.context.load_cert_chain(str(fts.credentials[file.job.user][1]))
        self.plain = ssl.create_default_context(capath=str(fts.pki.certificates))

    def ask(
        self, method: str, url: str, side: int, headers: dict[str, str] | None = None, data: bytes | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """The last answer, wherever a door sends us; to another host goes no credential."""
        first, more = urlsplit(url).netloc, {"Connection": "close", **(headers or {})}
        for _ in range(HOPS):
            place = urlsplit(url)
            is_own = place.netloc == first
            shown = {"Authorization": f"Bearer {self.tokens[side]}"} if self.tokens and is_own else {}
            with contextlib.closing(self._connection(url, is_own)) as connection:
                target = place.path + (f"?{place.query}" if place.query else "")
                connection.request(method, target, body=data, headers={**more, **shown})
                response = connection.getresponse()
                found = {name.lower(): value for name, value in response.headers.items()}
                body = response.read()
            if response.status not in (301, 302, 303, 307, 308):
                return response.status, found, body
            url = urljoin(url, found["location"])
        raise Failure("TRANSFER [5] too many redirects")

    def _connection(self, url: str, is_own: bool) -> http.client.HTTPConnection:
        place = urlsplit(url)
        if place.scheme == "http":
            return http.client.HTTPConnection(place.netloc, timeout=PATIENCE)
        context = self.context if is_own else self.plain
        return http.client.HTTPSConnection(place.netloc, timeout=PATIENCE, context=context)

    def tape(self, url: str) -> tuple[str, str, dict[str, str]]:
        """The tape service of a file's site, the file's path there, and what goes with each request."""
        place = urlsplit(url)
        known = self.ask("GET", f"https://{place.netloc}/.well-known/wlcg-tape-rest-api", 0)[2]
        tape = json.loads(known)["endpoints"][0]["uri"].rstrip("/")
        return tape, unquote(place.path), {"Content-Type": "application/json"}

    def release(self, url: str, id: str) -> None:
        """Give back the pin on a file; that this fails is no failure of the copy."""
        tape, path, kind = self.tape(url)
        self.ask("POST", f"{tape}/release/{id}", 0, kind, json.dumps({"paths": [path]}).encode())

    def stage(self, url: str, seconds: int) -> str:
        """Have a file brought to disk, through the tape service of its site; the request's id."""
        tape, path, kind = self.tape(url)
        wish = {"files": [{"path": path, "diskLifetime": f"PT{seconds}S"}]}
        status, _, body = self.ask("POST", f"{tape}/stage", 0, kind, json.dumps(wish).encode())
        if status not in (200, 201):
            raise Failure(f"STAGING [5] the tape service answers {status}")
        id, ends = str(json.loads(body)["requestId"]), time.monotonic() + PATIENCE
        while time.monotonic() < ends:
            found = json.loads(self.ask("GET", f"{tape}/stage/{id}", 0)[2])["files"][0]
            if found.get("error"):
                raise Failure(f"STAGING [5] {found['error']}")
            if found.get("onDisk") or found.get("state") == "COMPLETED":
                return id
            time.sleep(STAGE_LOOK)
        raise Failure("STAGING [110] bring-online timeout has been exceeded")

    def send(self, url: str, data: bytes) -> None:
        """Put a file, in folders that are made before."""
        status, _, _ = self.ask("PUT", url, 1, {"Content-Type": "application/octet-stream"}, data)
        if status in (400, 404, 409):
            parts = urlsplit(url).path.split("/")
            for count in range(2, len(parts)):
                self.ask("MKCOL", urljoin(url, "/".join(parts[:count])), 1)
            status, _, _ = self.ask("PUT", url, 1, {"Content-Type": "application/octet-stream"}, data)
        if status not in (200, 201, 204):
            raise Failure(f"DESTINATION [5] HTTP {status} : the destination cannot be written")


def _transfer(job: FtsJob, index: int, file: dict[str, Any], method: str) -> Transfer:
    """A file as it was submitted."""
    source, target = file["sources"][0], file["destinations"][0]
    if not all(urlsplit(url).hostname and len(urlsplit(url).path) > 1 for url in (source, target)):
        raise ValueError(f"Missing host or path ({source}, {target})")
    tokens = (file["source_tokens"][0], file["destination_tokens"][0]) if method == "oauth2" else None
    return Transfer(job, index, source, target, file.get("checksum") or "", tokens)


def _shown(file: Transfer) -> dict[str, Any]:
    """A file as it is told of; FTS3 says more."""
    names = ("file_index", "source_surl", "dest_surl", "checksum", "file_state", "reason", "tx_duration")
    return {"job_id": file.job.job_id, **{name: getattr(file, name) for name in names}}


def _state(job: FtsJob) -> str:
    """That of a job, by those of its files."""
    states = {file.file_state for file in job.files}
    if states - set(TERMINAL):
        return next(state for state in ("ACTIVE", "STAGING", "SUBMITTED") if state in states or state == "SUBMITTED")
    return states.pop() if len(states) == 1 else "CANCELED" if "CANCELED" in states else "FINISHEDDIRTY"


def _said(certificate: str, *what: str) -> list[str]:
    """What openssl says of a certificate, without its own words."""
    command = ["openssl", "x509", "-noout", *what]
    done = subprocess.run(command, input=certificate, text=True, capture_output=True, check=True, timeout=30)
    return [line.partition("=")[2].strip() for line in done.stdout.splitlines()]


def _error(status: int, message: str) -> Reply:
    reply = json_reply(status, {"status": f"{status} {NAMES[status]}", "message": message})
    reply.reason = NAMES[status]
    return reply
