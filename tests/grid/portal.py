"""The CERN Open Data portal on loopback, in the shapes of its version 1.1.0, with its files at an XRootD, too.

    GET  /api/records/<recid, or an old number>       {id, created, updated, links, metadata}
    GET  /api/records?q=...&page=1&size=10            opensearch.py says how; at most 10,000 can be paged through. What
                                                      is all on demand is found with ondemand=true only, a page of the
                                                      documentation (it has a slug and no recid) as well as a record
    GET  /record/<recid>                              a page for people
    GET  /record/<recid>/file_index/<key>             an index as JSON; with .txt for .json the uris
    GET, HEAD /eos/opendata/...                       bytes; 404 with a page for what is on tape alone
    POST /record/<recid>/stage                        {"email": "", "file": "X_file_index.json"} -> OK
    GET  /transfer_requests_content?record=...        what became of it

    portal.add("cms-5500", {"a.root": b"...", "list.txt": b""}, aliases=["5500"], on_demand=["a.root"], doi="10.7483/X")
    portal.many(25_000)                               records that are computed
    portal.alter("cms-5500", "a.root", size="1.2 GB") what the portal says wrongly about a file; None: nothing
    portal.odd("cms-5500", "a.root", "bare checksum") the same, by a name of ODD
    portal.goes_wrong("502 once")                     what went wrong in production, by a name of WRONG
    portal.finish("cms-5500")                         tape has done what was asked; or names=[...] of it
    portal.asked_by_other("cms-5500", "started")      somebody else has asked for a record; its times are to be set
    portal.eos = portal.xrootd.root_url               where uris lead; production's host else

Switches
    stage_seconds     until files are there that were asked for; inf: until `finish`
    completes         what is told at the end of a request: "right"; "cold" (`completed`, and files stay on demand:
                      portal#378)
    may_stage         else 403 (portal#405)
    bytes_at          "here", or "elsewhere": the second server, under another name of this machine
    ties              are records that match alike in the same order for each page? "steady", "shuffled"
    max_results       how far one can page (10,000)
    latency, ...      as at a door: `portal.switches.latency = 2` is a slow portal

What else goes wrong is added to `portal.faults` (faults.py); roles are portal, plain (its http) and elsewhere.
"""

from __future__ import annotations

import json
import math
import random
import shutil
import ssl
import threading
import time
import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any, NamedTuple, Union
from urllib.parse import parse_qsl

from tests.grid import opensearch
from tests.grid.faults import Faults
from tests.grid.opensearch import Fields, NoQuery
from tests.grid.pki import Pki
from tests.grid.records import CREATED, EOS, ON_DEMAND, ONLINE, UPDATED, Held, Many, Page, Record
from tests.grid.web import Log, Pieces, Reply, Request, Server, json_reply, ranged, spans_of
from tests.grid.xrootd import XRootD

MAX_RESULTS = 10_000
PIECE = 256 * 1024
TOP = "/eos/opendata/"
COOKIE = "session=0badcafe; Secure; HttpOnly; Path=/; SameSite=Lax"
SECRET = ("authorization", "cookie", "proxy-authorization")  # headers that are for the portal alone
PAGE = "<!DOCTYPE html>\n<html lang=en>\n<title>{title}</title>\n<h1>{title}</h1>\n<p>{text}</p>\n</html>\n"
HTML = {"Content-Type": "text/html; charset=utf-8"}

# What the portal says wrongly of a file, and where that is known from.
ODD: dict[str, Fields] = {
    "size no number": {"size": "1.2 GB"},  # written by hand into fixtures; no schema forbids it
    "negative size": {"size": -1},
    "no size": {"size": None},
    "bare checksum": {"checksum": "0badcafe"},  # scripts/fix_bare_checksums.py of the portal
    "short checksum": {"checksum": "adler32:badcafe"},  # no zero in front: cernopendata-client before 1.0.2
    "no checksum": {"checksum": None},
    "md5": {"checksum": "md5:d41d8cd98f00b204e9800998ecf8427e"},  # Invenio's own kind
    "wrong checksum": {"checksum": "adler32:0badcafe"},
    "uri outside": {"uri": "root://eospublic.cern.ch//eos/user/o/other/secret.root"},
    "uri above": {"uri": "root://eospublic.cern.ch//eos/opendata/../user/secret.root"},
    "uri of another host": {"uri": "https://example.org/eos/opendata/x.root"},
    "no uri": {"uri": None},
    "uri of a folder": {"uri": "root://eospublic.cern.ch//eos/opendata/cms/cms-1/"},
    "name with a slash": {"key": "other/place.root", "filename": "other/place.root"},
    "name with dots": {"key": "../../etc/passwd", "filename": "../../etc/passwd"},
}

# What went wrong in production: what is added to `faults`, and where it is known from.
WRONG: dict[str, dict[str, Any]] = {
    # While it is mended, and behind its proxy: cernopendata-client saves such pages (its DOWNLOAD_ERROR_PAGE).
    "html instead of JSON": {"path": "/api/*", "what": 200, "text": PAGE.format(title="CERN Open Data", text="Soon")},
    "502 once": {"path": "*", "what": 502, "count": 1, "text": PAGE.format(title="502 Bad Gateway", text="nginx")},
    "404 page": {"path": f"{TOP}*", "what": 404, "text": PAGE.format(title="404", text="Not found")},
    "404 page under 200": {"path": f"{TOP}*", "what": 200, "text": PAGE.format(title="404", text="Not found")},
    "range refused": {"path": f"{TOP}*", "what": "refuse_range"},  # 416 from an old gateway of EOS
    "no range": {"path": f"{TOP}*", "what": "ignore_range"},  # what the client's resume appends
    "truncated JSON": {"path": "/api/*", "what": "garbage", "text": '{"id": "cms-1", "metadata": {"files": [{"key": '},
    "cut JSON": {"path": "/api/*", "what": "truncate"},
    "slow search": {"path": "/api/records", "what": "stall", "seconds": 3},
    "429": {"path": "/api/*", "what": 429, "count": 1, "retry_after": 1},  # Invenio's limiter
    "cut in the middle": {"path": f"{TOP}*", "what": "truncate", "count": 1},
    "reset in the middle": {"path": f"{TOP}*", "what": "reset_in_body", "count": 1},
    "wrong bytes": {"path": f"{TOP}*", "what": "wrong_bytes"},
}


@dataclass
class Switches:
    """As the portal is."""

    stage_seconds: float = math.inf
    completes: str = "right"
    may_stage: bool = True
    bytes_at: str = "here"
    ties: str = "steady"
    max_results: int = MAX_RESULTS
    server: str = "nginx"
    handshake: str = "served"
    idle_close: float = 60.0
    latency: float = 0.0
    bandwidth: float = 0.0


class Asked(NamedTuple):
    """A request, as it came."""

    role: str
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]  # names in lower case
    body: bytes
    time: float  # monotonic
    in_flight: int  # requests that are being answered, this one among them: for records and searches, bytes, others


@dataclass
class Transfer:
    """A request to bring a record, or an index of it, from tape."""

    id: int
    recid: str
    file: str | None
    hot: int | None
    cold: int | None
    files: int
    size: int
    created: float  # times as of time.time()
    started: float | None = None
    completed: float | None = None
    failed: int = 0  # transfers of the record, ever
    is_held: bool = False  # it stands as it is until `finish`

    @property
    def status(self) -> str:
        return "completed" if self.completed else "started" if self.started else "submitted"

    def said(self) -> Fields:
        times = {"created_at": self.created, "started_at": self.started, "completed_at": self.completed}
        return {
            "id": str(self.id), "recid": self.recid, "action": "stage", "status": self.status, "file": self.file,
            "num_transfers": self.cold or 0 if self.started else 0, "size": self.size if self.started else 0,
            **{name: iso(time) for name, time in times.items()}, "num_hot_files": self.hot,
            "num_cold_files": self.cold, "num_record_files": self.files, "record_size": self.size,
            "num_failed_transfers": self.failed,
        }  # fmt: skip


Found = Union[Record, Page, tuple[Many, str]]


class Portal:
    """The portal, its http (`plain`), and a second server that bytes may be redirected to."""

    def __init__(self, folder: Path, pki: Pki) -> None:
        self.folder = folder
        self.pki = pki
        self.eos = EOS
        self.switches, self.log, self.faults = Switches(), Log(), Faults()
        self.requests: list[Asked] = []
        self.records: dict[str, Record] = {}
        self.pages: dict[str, Page] = {}
        self.transfers: list[Transfer] = []
        self._many: list[Many] = []
        self._found: dict[object, tuple[list[Found], Fields]] = {}
        self._lock = threading.RLock()
        self._in_flight: Counter[str] = Counter()
        self._bytes = folder / "eos/data/eos/opendata"  # what is on disk; XRootD serves it, too
        self._tape = folder / "tape"
        self._bytes.mkdir(parents=True, exist_ok=True)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*map(str, pki.host()))
        answer = self._noted(self.faults.around(self._answer))
        self._server = Server("portal", lambda: tls, self.log, self.switches, answer)
        self._plain = Server("plain", None, self.log, self.switches, answer)
        self._elsewhere = Server("elsewhere", lambda: tls, self.log, self.switches, answer)
        self.base = self._server.url
        self.plain = self._plain.url
        self.elsewhere = self._elsewhere.url.replace("localhost", "127.0.0.1")

    @property
    def server(self) -> str:
        """What goes into Grid.conf."""
        return f"{self.base}/"

    def start(self) -> None:
        for server in (self._server, self._plain, self._elsewhere):
            server.start()

    def stop(self) -> None:
        for server in (self._server, self._plain, self._elsewhere):
            server.stop()
        if "xrootd" in self.__dict__:
            self.xrootd.stop()

    @cached_property
    def xrootd(self) -> XRootD:
        """A real one with the files that are on disk, for everybody; started when first asked for."""
        xrootd = XRootD(self.folder / "eos", self.pki, "opendata")
        xrootd.start()
        xrootd.ready()
        return xrootd

    def reset(self) -> None:
        """Be empty and as at first, with nothing in the logs."""
        with self._lock:
            for name, value in vars(Switches()).items():
                setattr(self.switches, name, value)
            for folder in (self._bytes, self._tape):
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True)
            for one in (self.records, self.pages, self.transfers, self._many, self._found, self.requests):
                one.clear()
            self.faults.clear()
            self.log.clear()
            self.eos = EOS

    # == What is in it ======================================================================================

    def add(
        self,
        recid: str,
        files: Mapping[str, bytes],
        *,
        aliases: Collection[str] = (),
        doi: str = "",
        on_demand: Collection[str] = (),
        index: Collection[str] | Mapping[str, Collection[str]] = (),
        shape: str = "new",
        at: str = "",
        **metadata: Any,
    ) -> Record:
        """One more record; its files lie in a folder `at` below /eos/opendata/, those of `index` are in one index, or
        in several by their keys. None in metadata takes away what there would be."""
        experiment = recid.partition("-")[0] if "-" in recid else "cms"
        at = at or f"{experiment}/{recid}"
        keyed = index if isinstance(index, Mapping) else {f"{recid.upper()}_file_index.json": index}
        keys = {name: key for key, names in keyed.items() for name in names}
        record = Record(recid, tuple(aliases), doi, shape, metadata)
        for name, data in files.items():
            held = Held(name, f"{at}/{name}", len(data), f"adler32:{zlib.adler32(data):08x}", keys.get(name, ""))
            if name in on_demand:
                held.availability, held.is_archived = ON_DEMAND, True
            path = self._file(held)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            record.held[name] = held
        with self._lock:
            self.records[recid] = record
            self._found.clear()
        return record

    def add_page(self, slug: str, **metadata: Any) -> None:
        """A page of the documentation, which searches find."""
        self.pages[slug] = Page(slug, metadata)
        self._found.clear()

    def many(self, count: int, first: int = 100_000, **same: Any) -> Many:
        """So many records that are computed, all with the same of something."""
        self._many.append(Many(count, first, same))
        self._found.clear()
        return self._many[-1]

    def remove(self, recid: str) -> None:
        """The record is there no more."""
        with self._lock:
            for held in self.records.pop(recid).held.values():
                self._file(held).unlink(missing_ok=True)
            self._found.clear()

    def alter(self, recid: str, name: str, **said: Any) -> None:
        """What the portal says about a file is other from now on; None: it says nothing."""
        self.records[recid].held[name].odd.update(said)

    def odd(self, recid: str, name: str, what: str) -> None:
        """The same, by a name of ODD."""
        self.alter(recid, name, **ODD[what])

    def goes_wrong(self, what: str, **options: Any) -> None:
        """What a name of WRONG says happens from now on; options are those of `faults.add`."""
        self.faults.add(**{**WRONG[what], **options})

    def data(self, recid: str, name: str) -> bytes:
        """The right bytes of a file."""
        for many in self._many:
            if recid in many:
                return many.data(recid)
        return self._file(self.records[recid].held[name]).read_bytes()

    def _file(self, held: Held) -> Path:
        return (self._bytes if held.availability == ONLINE else self._tape) / held.path

    # == Tape ===============================================================================================

    def finish(self, recid: str, names: Collection[str] | None = None) -> None:
        """Files of a record are on disk now, all of them by default; then what was asked for is completed."""
        with self._lock:
            record = self.records[recid]
            for name in record.held if names is None else names:
                self._move(record.held[name], ONLINE)
            for transfer in self.transfers:
                if transfer.recid == recid and not self._cold(transfer):
                    transfer.started = transfer.started or time.time()
                    transfer.completed = transfer.completed or time.time()
            self._settle(record)

    def evict(self, recid: str, names: Collection[str] | None = None) -> None:
        """Files are on tape alone again."""
        with self._lock:
            record = self.records[recid]
            for name in record.held if names is None else names:
                self._move(record.held[name], ON_DEMAND)
            self._settle(record)

    def asked_by_other(
        self, recid: str, status: str = "submitted", file: str | None = None, age: float = 60
    ) -> Transfer:
        """Somebody else has asked for a record so many seconds ago; it stays so until `finish`."""
        with self._lock:
            transfer = self._ask(self.records[recid], file, age)
            transfer.is_held = True
            transfer.started = transfer.created + 1 if status in ("started", "completed") else None
            transfer.completed = transfer.created + 2 if status == "completed" else None
            self._settle(self.records[recid])
            return transfer

    def stagings(self, recid: str = "") -> int:
        """How often a record, or any, was asked for over the line."""
        where = f"/record/{recid or '*'}/stage"
        return sum(one.method == "POST" and (one.path == where or not recid) for one in self.requests)

    def _move(self, held: Held, availability: str) -> None:
        before = self._file(held)
        held.availability, held.is_archived = availability, True
        if before != self._file(held):
            self._file(held).parent.mkdir(parents=True, exist_ok=True)
            before.rename(self._file(held))
        self._found.clear()

    def _ask(self, record: Record, file: str | None, age: float = 0) -> Transfer:
        counts = record.counts()
        size = sum(held.size for held in record.held.values())
        numbers = (counts.get(ONLINE), counts.get(ON_DEMAND), len(record.held), size)
        transfer = Transfer(len(self.transfers) + 1, record.recid, file, *numbers, created=time.time() - age)
        self.transfers.append(transfer)
        record.is_requested = True
        self._touch(record)
        return transfer

    def _cold(self, transfer: Transfer) -> list[Held]:
        """What a request is still to bring."""
        held = self.records[transfer.recid].held.values() if transfer.recid in self.records else ()
        return [one for one in held if one.availability == ON_DEMAND and transfer.file in (None, one.index)]

    def _tick(self) -> None:
        """Let tape go on as time has passed."""
        with self._lock:
            for transfer in self.transfers:
                age = (time.time() - transfer.created) / max(self.switches.stage_seconds, 1e-9)
                if transfer.completed or transfer.is_held or transfer.recid not in self.records:
                    continue
                if age >= 1:
                    if self.switches.completes == "right":
                        for held in self._cold(transfer):
                            self._move(held, ONLINE)
                    transfer.started = transfer.started or time.time()
                    transfer.completed = time.time()
                    self._settle(self.records[transfer.recid])
                elif age >= 0.3:
                    transfer.started = transfer.started or time.time()

    def _touch(self, record: Record) -> None:
        """The portal takes what tape does for changes of a record."""
        record.updated = f"{iso(time.time())}+00:00"
        self._found.clear()

    def _settle(self, record: Record) -> None:
        """A record is `requested` as long as a request for it is open."""
        record.is_requested = any(one.recid == record.recid and not one.completed for one in self.transfers)
        self._touch(record)

    # == What it answers ====================================================================================

    def _noted(self, answer: Any) -> Any:
        """Answers whose requests are noted."""

        def noting(request: Request) -> Reply:
            kind = request.path[: request.path.find("/", 1)]
            with self._lock:
                self._in_flight[kind] += 1
                came = (time.monotonic(), self._in_flight[kind])
            try:
                body = request.body if request.method == "POST" else b""
                with self._lock:
                    role, query = request.record.role, dict(request.query)
                    self.requests.append(
                        Asked(role, request.method, request.path, query, dict(request.headers), body, *came)
                    )
                reply = answer(request)
                if isinstance(reply.body, bytes) and reply.body.startswith(b"<!DOCTYPE"):
                    reply.headers.setdefault("Content-Type", HTML["Content-Type"])
                if role == "portal":
                    reply.headers.setdefault("Set-Cookie", COOKIE)
                return reply
            finally:
                with self._lock:
                    self._in_flight[kind] -= 1

        return noting

    def secrets_elsewhere(self) -> list[str]:
        """Headers that the second server should never have seen."""
        return [name for one in self.requests if one.role == "elsewhere" for name in SECRET if name in one.headers]

    def asked(self, **wanted: object) -> list[Asked]:
        """The requests with these values: asked(method="GET", path="/api/records/cms-1")."""
        return [one for one in list(self.requests) if all(getattr(one, name) == is_ for name, is_ in wanted.items())]

    def _answer(self, request: Request) -> Reply:
        self._tick()
        path = request.path
        if path.startswith(TOP):
            return self._eos(request, path[len(TOP) :])
        if request.record.role == "elsewhere":
            return page(404)
        is_stage = path.startswith("/record/") and path.endswith("/stage")
        if request.method not in (("POST",) if is_stage else ("GET", "HEAD")):
            return page(405)
        if path in ("/api/records", "/api/records/"):
            return self._search(request)
        if path.startswith("/api/records/"):
            return self._record(request, path[len("/api/records/") :].rstrip("/"))
        if path == "/transfer_requests_content":
            return self._transfers(request)
        if path.startswith("/record/"):
            recid, _, rest = path[len("/record/") :].partition("/")
            record = self.find(recid)
            return self._of_record(request, record, rest) if record else page(404)
        if path == "/":
            return page(200, "CERN Open Data Portal")
        return page(404) if not path.startswith("/api/") else json_reply(404, {"status": 404, "message": "Not Found"})

    def find(self, recid: str) -> Record | None:
        """The record of this name or alias."""
        with self._lock:
            if recid in self.records:
                return self.records[recid]
            for record in self.records.values():
                if recid in record.aliases:
                    return record
        return next((many.record(recid) for many in self._many if recid in many), None)

    def _shown(self, found: Found, name: str = "", files: bool = True) -> Fields:
        """A record as it is shown under a name, its own or an alias."""
        one = found[0].record(found[1]) if isinstance(found, tuple) else found
        metadata = one.document(self.eos, files)
        name = name or (one.slug if isinstance(one, Page) else one.recid)
        where = f"{self.base}/api/{'docs' if isinstance(one, Page) else 'records'}/{name}"
        updated = one.updated if isinstance(one, Record) else UPDATED
        return {"id": name, "created": CREATED, "updated": updated, "links": {"self": where}, "metadata": metadata}

    def _record(self, request: Request, recid: str) -> Reply:
        record = self.find(recid)
        if not record:
            return json_reply(404, {"status": 404, "message": "PID does not exist."})
        with self._lock:
            return json_reply(200, self._shown(record, recid))

    def _of_record(self, request: Request, record: Record, rest: str) -> Reply:
        if rest == "":
            title = str(record.fields().get("title", "Untitled record"))
            return page(200, f"{title} | CERN Open Data Portal")
        if rest == "stage":
            return self._stage(request, record)
        kind, _, key = rest.partition("/")
        name = key[: -len(".txt")] + ".json" if key.endswith(".txt") else key
        if kind == "file_index" and name in record.indices():
            with self._lock:
                index = record.index(name, self.eos)
            if request.query.get("qos") == "online":
                index["files"] = [one for one in index["files"] if "hot_deleted" not in one.get("tags", {})]
            if key == name:
                return json_reply(200, index)
            uris = "".join(f"{one['uri']}\n" for one in index["files"])
            return Reply(200, uris.encode(), {"Content-Type": "text/plain"})
        return page(404)

    def _stage(self, request: Request, record: Record) -> Reply:
        if not self.switches.may_stage:
            return page(403)
        try:
            asked = json.loads(request.body)
            file = asked.get("file")
        except (ValueError, AttributeError):
            return page(400)
        if "@" not in str(asked.get("email") or "@"):
            return Reply(400, b"Invalid email address: An email address must have an @-sign.", HTML)
        with self._lock:
            if record.recid not in self.records:
                return page(404)
            self._ask(record, file or None)
        return Reply(200, b"OK", HTML)

    def _transfers(self, request: Request) -> Reply:
        asked = parse_qsl(request.asked)
        wanted = {name: {value for other, value in asked if other == name} for name, _ in asked}
        try:
            number, size = int(request.query.get("page", 1)), int(request.query.get("per_page", 10))
        except ValueError:
            return page(422)
        with self._lock:
            rows = [one.said() for one in sorted(self.transfers, key=lambda one: (-one.created, -one.id))]
            if "record" in wanted:
                record = self.find(request.query["record"])
                rows = [row for row in rows if record and row["recid"] == record.recid]
        for name in {"status", "action"} & wanted.keys():
            rows = [row for row in rows if row[name] in wanted[name]]
        summary: dict[str, Fields] = {}
        for row in rows:
            told = summary.setdefault(row["status"], {"status": row["status"], "action": "stage"})
            for name, more in {"count": 1, "files": row["num_transfers"], "size": row["size"]}.items():
                told[name] = told.get(name, 0) + more
        pagination = {"total": len(rows), "pages": -(-len(rows) // size), "current_page": number, "per_page": size}
        rows = rows[(number - 1) * size : number * size]
        return json_reply(200, {"summary": list(summary.values()), "details": rows, "pagination": pagination})

    def _eos(self, request: Request, path: str) -> Reply:
        if request.method not in ("GET", "HEAD"):
            return page(405)
        if self.switches.bytes_at == "elsewhere" and request.record.role != "elsewhere":
            return Reply(302, b"", {"Location": self.elsewhere + request.target})
        parts = path.split("/")
        computed = [many for many in self._many if len(parts) == 3 and parts[0] == "many" and parts[1] in many]
        return self._bytes_of(request, self._bytes / path, computed[0].data(parts[1]) if computed else None)

    def _bytes_of(self, request: Request, file: Path, data: bytes | None) -> Reply:
        if data is None and (".." in file.parts or not file.is_file()):
            return page(404)
        size = file.stat().st_size if data is None else len(data)
        headers = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes"}

        def content(start: int, stop: int) -> Pieces:
            if data is not None:
                yield data[start:stop]
                return
            with open(file, "rb") as source:
                source.seek(start)
                while start < stop and (piece := source.read(min(PIECE, stop - start))):
                    start += len(piece)
                    yield piece

        spans = spans_of(request.headers["range"], size) if "range" in request.headers else None
        if spans == []:
            return Reply(416, b"", {"Content-Range": f"bytes */{size}"})
        return ranged(spans, size, content, headers)

    # == Searches ===========================================================================================

    def _search(self, request: Request) -> Reply:
        asked = parse_qsl(request.asked)
        try:
            number, size = int(request.query.get("page", 1)), int(request.query.get("size", 10))
            if number < 1 or size < 1:
                raise NoQuery("Invalid pagination.")
            if number * size > self.switches.max_results:
                raise NoQuery(f"Maximum number of {self.switches.max_results} results have been reached.")
            found, boxes = self._matching(request, asked)
        except NoQuery as error:
            said = str(error) if str(error).startswith(("Max", "Invalid")) else "Invalid query syntax."
            return json_reply(400, {"status": 400, "message": said})
        except ValueError:
            return json_reply(400, {"status": 400, "message": "Validation error."})
        files = "skip_files" not in request.query
        shown = found[(number - 1) * size : number * size]
        with self._lock:
            hits = [self._shown(one, files=files) for one in shown]
        links = {"self": f"{self.base}/api/records?{request.asked}"}
        if number * size < min(len(found), self.switches.max_results):
            links["next"] = f"{self.base}/api/records?page={number + 1}&size={size}"
        document = {"aggregations": boxes, "hits": {"hits": hits, "total": len(found)}, "links": links}
        return json_reply(200, document)

    def _matching(self, request: Request, asked: list[tuple[str, str]]) -> tuple[list[Found], Fields]:
        """What a search finds, in its order; found once for all its pages."""
        others = {"page", "size", "skip_files"}
        key = tuple(sorted(pair for pair in asked if pair[0] not in others))
        with self._lock:
            if key not in self._found:
                self._found[key] = self._match(request, asked)
            found, boxes = self._found[key]
        if self.switches.ties == "shuffled" and "sort" not in request.query:
            found = random.sample(found, len(found))
        return found, boxes

    def _match(self, request: Request, asked: list[tuple[str, str]]) -> tuple[list[Found], Fields]:
        is_wanted, chosen = opensearch.query(request.query.get("q", "")), opensearch.facets(asked)
        shows_all = request.query.get("ondemand") in ("true", "ondemand")
        rows: list[tuple[Fields, Found]] = []
        told: list[tuple[Fields, list[str]]] = []
        for fields, found in self._all():
            if not shows_all and fields.get("distribution", {}).get("availability") == "ondemand":
                continue
            if is_wanted(fields):
                out = [name for name, test in chosen.items() if not test(fields)]
                told.append((fields, out))
                if not out:
                    rows.append((fields, found))
        order = request.query.get("sort") or ("bestmatch" if request.query.get("q") else "mostrecent")
        name, is_turned = order.lstrip("-"), order.startswith("-")
        if name == "mostrecent":
            rows.sort(key=lambda row: (str(row[0].get("date_published", "")), str(row[0].get("recid", ""))))
            rows = rows if is_turned else rows[::-1]
        elif name.startswith("title"):
            rows.sort(key=lambda row: str(row[0].get("title", "")), reverse=is_turned)
        return [found for _, found in rows], opensearch.counts(told)

    def _all(self) -> Iterable[tuple[Fields, Found]]:
        for one in (*self.records.values(), *self.pages.values()):
            yield one.fields(), one
        for many in self._many:
            for recid in many:
                yield many.fields(recid), (many, recid)


def iso(seconds: float | None) -> str | None:
    """A time as the portal writes it: UTC, without a word of that."""
    return None if seconds is None else datetime.fromtimestamp(seconds, timezone.utc).replace(tzinfo=None).isoformat()


def page(status: int, title: str = "") -> Reply:
    """What the portal says to people."""
    words = {400: "Bad request", 403: "Forbidden", 404: "Page not found", 405: "Method not allowed"}
    title = title or f"{status} {words.get(status, 'Error')}"
    return Reply(status, PAGE.format(title=escape(title), text="CERN Open Data Portal").encode(), dict(HTML))
