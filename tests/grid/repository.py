"""A stand-in for a repository of Invenio's kind: NRP's of CESNET, or a plain InvenioRDM. It is not the real one: what
it takes and says was read in the source of invenio-records-resources 11.1.2 and measured there; test_repository.py
compares it with that, where it runs. It does what the real one can't be made to do: run out of room, lose answers.

    GET  /.well-known/repository                        links.api, links.models (their list); 404 at a plain RDM
    POST /api/<model>                                   a draft; a plain RDM's model is `records`
    GET, PUT, DELETE .../<id>/draft                     and draft/files, draft/files/<key>/content, .../<part>, commit
    POST .../<id>/draft/actions/publish                 and draft/actions/files-import, versions, draft (edit)
    GET  .../<id>, files, files/<key>, content, files-archive, files/<key>/container, .../<member>
    GET  /api/user/<model>?q=&sort=&size=&page=         the user's, drafts among them
    GET  /api/<model>?q=...                             what all can see

    repository.base, .token                             of Grid.conf; .reader can't write, .guest is another user
    repository.records                                  {id: Record}: what it has, drafts and published; drafts.py
    repository.published, .drafts                       lists of those
    repository.requests, .asked(method="PUT")           what came, with the requests and the weight in flight
    repository.add("Title", {"a.root": b"..."})         a published record; access="restricted"
    repository.goes_wrong("500s", count=3)              what went wrong in production, by a name of WRONG
    repository.faults                                   whatever else goes wrong (faults.py)

What can be turned is in Switches, each with its comment.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import re
import ssl
import time
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from tests.grid import opensearch
from tests.grid.drafts import BROKEN, INVALID, LOCKED, Fields, Held, Record, Refused, Shelf, complaint, expiration, iso
from tests.grid.faults import Faults
from tests.grid.opensearch import NoQuery
from tests.grid.pki import Pki
from tests.grid.web import Log, Reply, Request, Server, Stream, json_reply, ranged, spans_of

MODEL = "particles"
WEIGHTS = {"L": 1, "M": 5}
MAX_RESULTS = 10_000
DENIED = "Permission denied."
MISSING = "Missing data for required field."
PENDING = "One or more files have not completed their transfer, please wait."
NO_FILES = "Missing uploaded files. To disable files for this record please mark it as metadata-only."
PAGE = "<!DOCTYPE html>\n<html>\n<head>{head}<title>{title}</title></head>\n<h1>{title}</h1>\n<p>{text}</p>\n</html>\n"
GENERATOR = '<meta name="generator" content="InvenioRDM 13.0.0"/>'
HTML = {"Content-Type": "text/html; charset=utf-8"}
ALICE, READER, GUEST = "alices-token-0123456789", "alices-reading-token-01", "guests-token-0123456789"

# What went wrong in production: what is added to `faults`.
WRONG: dict[str, dict[str, Any]] = {
    "429": {"path": "/api/*", "what": 429, "count": 1, "retry_after": 1},
    "429 without a time": {"path": "/api/*", "what": 429, "count": 1},
    "500s": {"path": "/api/*", "what": 500, "count": 5, "text": '{"status": 500, "message": "Internal Server Error"}'},
    "503": {"path": "/api/*", "what": 503, "count": 1, "retry_after": 1},
    "html instead of JSON": {
        "path": "/api/*",
        "what": 200,
        "text": PAGE.format(head="", title="Maintenance", text="Soon"),
    },
    "commit 404": {"path": "*/commit", "what": 404, "count": 1, "text": '{"status": 404, "message": "Not found."}'},
    "draft lost": {"path": "/api/*", "what": "lost", "method": "POST", "count": 1},
    "init lost": {"path": "*/draft/files", "what": "lost", "method": "POST", "count": 1},
    "content lost": {"path": "*/content*", "what": "lost", "method": "PUT", "count": 1},
    "commit lost": {"path": "*/commit", "what": "lost", "method": "POST", "count": 1},
    "publish lost": {"path": "*/actions/publish", "what": "lost", "method": "POST", "count": 1},
    "describe lost": {"path": "*/draft", "what": "lost", "method": "PUT", "count": 1},
    "cut in the middle": {"path": "*/content*", "what": "cut", "method": "PUT", "count": 1},
    "other bytes": {"path": "*/content*", "what": "other_bytes", "method": "PUT", "count": 1},
    "wrong bytes": {"path": "*/content", "what": "wrong_bytes", "method": "GET", "count": 1},
}


@dataclass
class Switches:
    """As the repository is."""

    kind: str = "nrp"  # or "rdm": no /.well-known/repository, a front page that says InvenioRDM
    required: tuple[str, ...] = ("title", "creators", "publication_date")  # of the metadata, to publish
    known: tuple[str, ...] = ()  # fields that metadata may have; none named: any
    refuses: dict[str, str] = field(default_factory=dict)  # what it says of a field, at each PUT and at publish
    parts: str = "right"  # "refused": 403 to each part; "refused at init": 403 there; "unknown": 400 there
    max_files: int = 100
    max_size: float = math.inf  # of a file in bytes; else 413
    quota: float = math.inf  # bytes of a record, without files in parts that are on their way; else 400
    quota_at: str = "content"  # or "init", where sizes are declared
    rate: int = 0  # requests a window of one user; 0: any
    window: float = 60.0  # seconds
    says_when: bool = True  # 429 comes with Retry-After
    commit_polls: float = 0  # how often a file is `pending` after its commit; inf: for ever
    checksum: str | None = "md5"  # of what is committed: "md5", "multipart", or None
    spoils: int = 0  # so many files that come will be other than they were
    search: str = "right"  # "missing": 404; "forbidden": 403
    index_seconds: float = 0.0  # until searches find what is new or changed
    deletes_at: str = ""  # "init", "content", "part", "commit", "publish": somebody deletes the draft before that
    create_seconds: float = 0.0  # how long the making of a draft takes
    unknown_token: int = 403  # the status for a token that is nobody's; others say 401
    old_form: bool = False  # records in Zenodo's own old form, for who does not name that of InvenioRDM
    containers: bool = True  # are there routes into zips?
    bytes_at: str = "here"  # or "elsewhere": content is redirected to a storage, which wants no token
    ranges: bool = False  # are ranges served here? The storage does always
    server: str = "nginx"
    handshake: str = "served"
    idle_close: float = 60.0
    latency: float = 0.0
    bandwidth: float = 0.0


NEW_FORM = "application/vnd.inveniordm.v1+json"


def old_form(reply: Reply) -> Reply:
    """A record as Zenodo shows it in JSON of no kind: among other things its id is a number."""
    with contextlib.suppress(ValueError, TypeError, KeyError):
        document = json.loads(reply.body) if isinstance(reply.body, bytes) else {}
        if "revision_id" in document:
            return json_reply(reply.status, {**document, "id": zlib.crc32(document["id"].encode())})
    return reply


class Asked(NamedTuple):
    """A request, as it came."""

    role: str
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]  # names in lower case
    body: bytes  # of JSON only
    time: float  # monotonic
    in_flight: int  # requests that are being answered, this one among them
    weight: int  # 1 for each file that is on its way in one piece, 5 for each in parts


class Who(NamedTuple):
    name: str = ""
    may_write: bool = False


class Repository:
    """The repository, and the storage that it may send readers to."""

    token, reader, guest = ALICE, READER, GUEST

    def __init__(self, pki: Pki) -> None:
        self.pki = pki
        self.shelf = Shelf()
        self.switches, self.log, self.faults = Switches(), Log(), Faults()
        self.tokens = {ALICE: Who("alice", True), READER: Who("alice"), GUEST: Who("guest", True)}
        self.requests: list[Asked] = []
        self._lock = self.shelf.lock
        self._in_flight = 0
        self._sending: list[tuple[str, str]] = []  # what is on its way, a row for each request: file, kind
        self._windows: dict[str, tuple[float, int]] = {}
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*map(str, pki.host()))
        answer = self._noted(self.faults.around(self._answer))
        self._server = Server("repository", lambda: tls, self.log, self.switches, answer)
        self._storage = Server("storage", lambda: tls, self.log, self.switches, answer)
        self.base = self._server.url
        self.storage = self._storage.url.replace("localhost", "127.0.0.1")

    @property
    def server(self) -> str:
        """What goes into Grid.conf."""
        return f"{self.base}/"

    @property
    def records(self) -> dict[str, Record]:
        return self.shelf.records

    @property
    def published(self) -> list[Record]:
        return [one for one in list(self.records.values()) if one.is_published]

    @property
    def drafts(self) -> list[Record]:
        return [one for one in list(self.records.values()) if one.is_draft]

    def start(self) -> None:
        self._server.start()
        self._storage.start()

    def stop(self) -> None:
        self._server.stop()
        self._storage.stop()

    def down(self) -> None:
        """Refuse all connections, until `up`."""
        self._server.down()

    def up(self) -> None:
        self._server.start()

    def reset(self) -> None:
        """Be empty and as at first, with nothing in the logs."""
        with self._lock:
            for name, value in vars(Switches()).items():
                setattr(self.switches, name, value)
            self.shelf.clear()
            self.faults.clear()
            self.log.clear()
            self.requests.clear()
            self._windows.clear()

    def add(
        self,
        title: str,
        files: Mapping[str, bytes],
        owner: str = "alice",
        access: str = "public",
        doi: str = "",
        **more: Any,
    ) -> Record:
        """One more record, published."""
        metadata = {"title": title, "creators": [], "publication_date": "2026", **more}
        body = {"metadata": metadata, "access": {"record": access, "files": access}, "files": {"enabled": bool(files)}}
        with self._lock:
            record = self.shelf.create(owner, self.model, body)
            record.files = {key: Held(key, data=data, is_whole=True) for key, data in files.items()}
            record.doi = doi
            self.shelf.publish(record)
        return record

    def retract(self, id: str) -> None:
        """What was published is taken back; who asks for it hears that it is gone."""
        self.records[id].is_gone = True

    def delete(self, id: str) -> None:
        """Somebody else deletes a draft."""
        with self._lock:
            self.shelf.discard(self.records[id])

    def goes_wrong(self, what: str, **options: Any) -> None:
        """What a name of WRONG says happens from now on; options are those of `faults.add`."""
        self.faults.add(**{**WRONG[what], **options})

    def asked(self, **wanted: object) -> list[Asked]:
        """The requests with these values."""
        return [one for one in list(self.requests) if all(getattr(one, name) == is_ for name, is_ in wanted.items())]

    def secrets_elsewhere(self) -> list[str]:
        """Headers that the storage should never have seen."""
        secret = ("authorization", "cookie", "proxy-authorization")
        return [name for one in self.requests if one.role == "storage" for name in secret if name in one.headers]

    @property
    def model(self) -> str:
        return MODEL if self.switches.kind == "nrp" else "records"

    # == Who asks, and how much =============================================================================

    def _noted(self, answer: Callable[[Request], Reply]) -> Callable[[Request], Reply]:
        """Answers whose requests are noted."""

        def noting(request: Request) -> Reply:
            sent = self._sent(request)
            with self._lock:
                self._in_flight += 1
                self._sending += sent
                weight = sum(WEIGHTS[kind] for _, kind in set(self._sending))
                came = (time.monotonic(), self._in_flight, weight)
            try:
                is_json = "json" in request.headers.get("content-type", "")
                body = request.body if is_json and request.method in ("POST", "PUT") else b""
                said = (request.record.role, request.method, request.path, dict(request.query), dict(request.headers))
                self.requests.append(Asked(*said, body, *came))
                reply = answer(request)
                if isinstance(reply.body, bytes) and reply.body[:15].lower() == b"<!doctype html>":
                    reply.headers.setdefault("Content-Type", HTML["Content-Type"])
                if isinstance(reply.body, bytes) and reply.body[:1] == b"{":
                    reply.headers.setdefault("Content-Type", "application/json")
                return reply
            finally:
                with self._lock:
                    self._in_flight -= 1
                    for one in sent:
                        self._sending.remove(one)

        return noting

    def _sent(self, request: Request) -> list[tuple[str, str]]:
        """The file whose bytes a request brings, and how it comes."""
        match = re.fullmatch(r"(.*/draft/files/.+)/content(/\d+)?", request.path)
        return [(match[1], "M" if match[2] else "L")] if match and request.method == "PUT" else []

    def _answer(self, request: Request) -> Reply:
        if request.record.role == "storage":
            return self._stored(request)
        try:
            over, headers = self._counted(request)
            reply = over or self._routed(request)
            if self.switches.old_form and NEW_FORM not in request.headers.get("accept", ""):
                reply = old_form(reply)
        except Refused as error:
            reply = json_reply(error.status, error.document)
        reply.headers.update(headers)
        return reply

    def _counted(self, request: Request) -> tuple[Reply | None, dict[str, str]]:
        """Is it too much? What flask-limiter does: fixed windows, a header for each answer."""
        rate, now = self.switches.rate, time.time()
        if not rate:
            return None, {}
        token = request.headers.get("authorization", "")
        with self._lock:
            begun, count = self._windows.get(token, (now, 0))
            if now >= begun + self.switches.window:
                begun, count = now, 0
            self._windows[token] = (begun, count + 1)
        reset = begun + self.switches.window
        headers = {
            "X-RateLimit-Limit": str(rate),
            "X-RateLimit-Remaining": str(max(rate - count - 1, 0)),
            "X-RateLimit-Reset": str(math.ceil(reset)),
        }
        if self.switches.says_when:
            headers["Retry-After"] = str(max(math.ceil(reset - now), 1))
        if count < rate:
            return None, headers
        return page(429, "429 Too Many Requests", f"{rate} per 1 minute"), headers

    def _who(self, request: Request) -> Who:
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        token = token if kind == "Bearer" else request.query.get("access_token", "")
        if not token:
            return Who()
        if token not in self.tokens:
            said = DENIED if self.switches.unknown_token == 403 else UNAUTHORIZED
            raise Refused(self.switches.unknown_token, said)
        return self.tokens[token]

    def _who_or_nobody(self, request: Request) -> Who:
        """The same; where a token that is nobody's is no error."""
        try:
            return self._who(request)
        except Refused as error:
            if error.status == 403:
                return Who()
            raise

    # == Ways ===============================================================================================

    def _routed(self, request: Request) -> Reply:
        path = request.path.rstrip("/") or "/"
        if path == "/":
            return page(200, "Repository", "", GENERATOR if self.switches.kind == "rdm" else "")
        if path.startswith("/.well-known/repository") and self.switches.kind == "nrp":
            return self._well_known(path)
        model, user, models = self.model, f"/api/user/{self.model}", f"/api/{self.model}"
        if path == user and request.method == "GET":
            return self._users(request)
        if path == models:
            if request.method == "GET":
                return self._search(request, lambda one: one.is_published and one.is_open_to_all)
            if request.method == "POST":
                return self._create(request)
            return page(405, "405 Method Not Allowed")
        found = re.fullmatch(rf"/api/{model}/([^/]+)(?:/(.+))?", path)
        if not found:
            return page(404, "404 Not Found") if not path.startswith("/api") else _not_found()
        return self._record(request, found[1], found[2] or "")

    def _record(self, request: Request, id: str, rest: str) -> Reply:
        who, method = self._who(request), request.method
        if method == "GET" and not rest and id not in self.records and any(one.parent == id for one in self.published):
            return _moved(self._at(self.shelf.newest(id), False))
        is_draft = rest == "draft" or rest.startswith("draft/")
        verbs = {
            ("GET", ""): self._read, ("POST", "versions"): self._renew, ("GET", "files"): self._files,
            ("GET", "versions"): self._versions, ("GET", "versions/latest"): self._latest,
            ("GET", "files-archive"): self._archive, ("GET", "draft"): self._read_draft,
            ("PUT", "draft"): self._describe, ("DELETE", "draft"): self._discard, ("POST", "draft"): self._edit,
            ("GET", "draft/files"): self._files, ("POST", "draft/files"): self._init,
            ("DELETE", "draft/files"): self._remove_all, ("POST", "draft/actions/publish"): self._publish,
            ("POST", "draft/actions/files-import"): self._import,
        }  # fmt: skip
        if (method, rest) in verbs:
            if rest == "draft/actions/publish" and id in self.records and not self.records[id].is_draft:
                raise Refused(404, "Not found.")
            record = self._allowed(who, id, method, is_draft and rest + method != "draftPOST")
            return verbs[method, rest](request, record)
        found = re.fullmatch(r"(?:draft/)?files/(.+?)(?:/(content|commit|container)(?:/(.+))?)?", rest)
        if not found:
            return _not_found()
        key, verb, more = found[1], found[2] or "", found[3] or ""
        record = self._allowed(who, id, method, is_draft)
        if method == "GET" and not verb:
            return json_reply(200, self._told(record, self._polled(record, key), is_draft))
        if method == "GET" and verb == "content" and not more:
            return self._content(request, self.shelf.file(record, key))
        if method == "GET" and verb == "container" and self.switches.containers:
            return self._container(record, self.shelf.file(record, key), more, is_draft)
        if is_draft and (method, verb) in (("PUT", "content"), ("POST", "commit"), ("DELETE", "")):
            name = {"PUT": "part" if more else "content", "POST": "commit", "DELETE": "remove"}[method]
            return self._change(request, record, key, name, more)
        return page(405, "405 Method Not Allowed")

    def _allowed(self, who: Who, id: str, method: str, is_draft: bool) -> Record:
        """The record, if it may be seen or changed by who asks."""
        with self._lock:
            record = self.shelf.draft(id) if is_draft else self.shelf.find(id)
            is_owner = who.name == record.owner
            if not is_draft and method == "GET" and not record.is_published:
                raise Refused(404, "The persistent identifier is not registered.")
            if method != "GET" and not (is_owner and who.may_write):
                raise Refused(403, DENIED)
            if is_draft and not is_owner:
                raise Refused(403, DENIED)
            if not is_owner and not record.is_open_to_all:
                raise Refused(403, DENIED)
            return record

    def _meddled(self, record: Record, name: str) -> None:
        """Somebody deletes the draft right now, if the switch says so."""
        if self.switches.deletes_at == name:
            self.switches.deletes_at = ""
            self.delete(record.id)
            raise Refused(404, "The persistent identifier does not exist.")

    # == The repository itself ==============================================================================

    def _well_known(self, path: str) -> Reply:
        links = {
            "self": f"{self.base}/.well-known/repository", "api": f"{self.base}/api",
            "records": f"{self.base}/api/records", "drafts": f"{self.base}/api/user/records",
            "models": f"{self.base}/.well-known/repository/models",
        }  # fmt: skip
        if path == "/.well-known/repository/models":
            return json_reply(200, [self._model()])
        document = {
            "schema": "local://introspection-v1.0.0.json", "name": "Stand-in", "description": "",
            "version": "local development",
            "invenio_version": "13.0.0", "transfers": ["L", "M"], "links": links,
            "default_model": self.model, "features": ["drafts", "files"],
        }  # fmt: skip
        return json_reply(200, document)

    def _model(self) -> Fields:
        links = {
            "html": f"{self.base}/{MODEL}/", "records": f"{self.base}/api/{MODEL}",
            "deposit": f"{self.base}/api/{MODEL}",
            "drafts": f"{self.base}/api/user/{MODEL}", "model": f"{self.base}/.well-known/repository/models/{MODEL}",
        }  # fmt: skip
        return {
            "type": MODEL, "schema": f"local://{MODEL}-v1.0.0.json", "name": MODEL, "description": "",
            "version": "1.0.0",
            "features": ["drafts", "files", "requests"], "links": links, "content_types": [], "metadata": True,
        }  # fmt: skip

    def _create(self, request: Request) -> Reply:
        who = self._who(request)
        if not who.may_write:
            raise Refused(403, DENIED)
        body = _json(request)
        time.sleep(self.switches.create_seconds)
        record = self.shelf.create(who.name, self.model, _kept(body))
        self._indexed(record)
        complained = self._complained(record)
        complained["errors"] = [one for one in complained.get("errors", ()) if one["field"] != "files.enabled"]
        return json_reply(201, complained if complained["errors"] else self._shown(record, True))

    def _indexed(self, record: Record) -> None:
        record.due = time.monotonic() + self.switches.index_seconds

    def _read(self, request: Request, record: Record) -> Reply:
        return json_reply(200, self._shown(record, False))

    def _read_draft(self, request: Request, record: Record) -> Reply:
        return json_reply(200, self._shown(record, True))

    def _describe(self, request: Request, record: Record) -> Reply:
        self._meddled(record, "describe")
        record.body = _kept(_json(request))
        record.revision, record.updated = record.revision + 1, time.time()
        self._indexed(record)
        return json_reply(200, self._complained(record))

    def _discard(self, request: Request, record: Record) -> Reply:
        with self._lock:
            self.shelf.discard(record)
        return Reply(204)

    def _edit(self, request: Request, record: Record) -> Reply:
        self.shelf.edit(record)
        return json_reply(201, self._shown(record, True))

    def _renew(self, request: Request, record: Record) -> Reply:
        with self._lock:
            draft = self.shelf.renew(record)
        self._indexed(draft)
        return json_reply(201, self._shown(draft, True))

    def _versions(self, request: Request, record: Record) -> Reply:
        who = self._who(request)
        return self._search(
            request,
            lambda one: (
                one.parent == record.parent and one.is_published and (one.is_open_to_all or who.name == one.owner)
            ),
        )

    def _latest(self, request: Request, record: Record) -> Reply:
        return _moved(self._at(self.shelf.newest(record.parent), False))

    def _import(self, request: Request, record: Record) -> Reply:
        self.shelf.import_files(record)
        return self._files(request, record, 201)

    def _publish(self, request: Request, record: Record) -> Reply:
        self._meddled(record, "publish")
        with self._lock:
            errors = self._errors(record)
            if any(held.status != "completed" for held in record.files.values()):
                errors.append(complaint("files", PENDING))
            if errors:
                raise Refused(400, INVALID, errors)
            self.shelf.publish(record)
        self._indexed(record)
        return json_reply(202, self._shown(record, False))

    def _errors(self, record: Record) -> list[Fields]:
        """What is wrong with the metadata of a draft."""
        if "metadata" not in record.body:
            return [complaint("metadata", MISSING)]
        said = record.body["metadata"]
        errors = [complaint(f"metadata.{name}", MISSING) for name in self.switches.required if not said.get(name)]
        if self.switches.known:
            errors += [
                complaint(f"metadata.{name}", "Unknown field.") for name in said if name not in self.switches.known
            ]
        if record.has_files and not record.files:
            errors.append(complaint("files.enabled", NO_FILES))
        return errors + [complaint(name, text) for name, text in self.switches.refuses.items()]

    # == Files ==============================================================================================

    def _files(self, request: Request, record: Record, status: int = 200) -> Reply:
        is_draft = "/draft/" in request.path
        self._readable(request, record)
        with self._lock:
            rows = [self._told(record, self._polled(record, key), is_draft) for key in record.files]
        where = self._at(record, is_draft)
        document: Fields = {"enabled": record.has_files}
        document["links"] = {"self": f"{where}/files", "archive": f"{where}/files-archive"}
        if record.has_files:
            document.update(entries=rows, default_preview=None, order=[])
        return json_reply(status, document)

    def _readable(self, request: Request, record: Record) -> None:
        if record.is_restricted and self._who(request).name != record.owner:
            raise Refused(403, DENIED)

    def _polled(self, record: Record, key: str) -> Held:
        """A file that somebody looks at; one that is stuck may be so for some looks."""
        held = self.shelf.file(record, key)
        if held.is_whole and held.polls > 0:
            held.polls -= 1
        return held

    def _init(self, request: Request, record: Record) -> Reply:
        self._meddled(record, "init")
        asked = _json(request, list)
        rows = [row for row in asked if isinstance(row, dict)]
        in_parts = any((row.get("transfer") or {}).get("type") == "M" for row in rows)
        if in_parts and self.switches.parts == "refused at init":
            raise Refused(403, DENIED)
        if in_parts and self.switches.parts == "unknown":
            raise Refused(400, INVALID, [complaint("transfer.type", "Unsupported value: M")])
        more = sum(row.get("size") or 0 for row in rows if isinstance(row.get("size"), int))
        with self._lock:
            if self.switches.quota_at == "init":
                self._room(record, more)
            self.shelf.init(record, asked, self.switches.max_files)
        return self._files(request, record, 201)

    def _room(self, record: Record, more: int) -> None:
        used = sum(len(held.data or b"") for held in record.files.values() if held.kind == "L" or held.is_whole)
        if used + more > self.switches.quota:
            raise Refused(400, "Bucket quota exceeded.")

    def _change(self, request: Request, record: Record, key: str, name: str, more: str) -> Reply:
        if name in ("content", "part"):
            return self._taken(request, record, key, name, more)
        self._meddled(record, name)
        if record.is_published:
            raise Refused(403, LOCKED)
        with self._lock:
            held = self.shelf.file(record, key)
            if name == "remove":
                del record.files[key]
                return Reply(204)
            self.shelf.commit(held)
            held.polls, held.shown = self.switches.commit_polls, self.switches.checksum
            told = self._told(record, held, True)
            if held.kind == "M":
                told.pop("size", None)
            if held.key.endswith(".zip"):
                held.metadata = {"zip_toc_position": 0}
            return json_reply(200, told)

    def _taken(self, request: Request, record: Record, key: str, name: str, more: str) -> Reply:
        """Bytes of a file, all or a part."""
        if record.is_published:
            raise Refused(403, LOCKED)
        held = self.shelf.file(record, key)
        length = int(request.headers.get("content-length", 0))
        if length > self.switches.max_size or (held.size_said or 0) > self.switches.max_size:
            return page(413, "413 Request Entity Too Large", "The data value transmitted exceeds the capacity limit.")
        if name == "part" and self.switches.parts == "refused":
            raise Refused(403, DENIED)
        data = b"".join(request.pieces())
        self._meddled(record, name)
        with self._lock:
            held = self.shelf.file(record, key)
            if self.switches.quota_at == "content":
                self._room(record, len(data) if name == "content" else 0)  # parts are not counted
            if self.switches.spoils and data:
                self.switches.spoils -= 1
                data = bytes([data[0] ^ 0xFF]) + data[1:]
            told = self._told(record, held, True)
            if name == "content":
                is_taken = self.shelf.take(record, held, data)
            else:
                is_taken = self.shelf.take_part(held, int(more) if more.isdigit() else 0, data)
            return json_reply(200, told if is_taken else {**told, "errors": ["File upload transfer failed."]})

    def _remove_all(self, request: Request, record: Record) -> Reply:
        if record.is_published:
            raise Refused(403, LOCKED)
        record.files.clear()
        return Reply(204)

    # == Reading ============================================================================================

    def _content(self, request: Request, held: Held) -> Reply:
        record = next(one for one in self.records.values() if held in one.files.values())
        self._readable(request, record)
        if held.status != "completed":
            raise Refused(404, f"Record '{record.id}' has no file '{held.key}'.")
        if self.switches.bytes_at == "elsewhere":
            signed = urlencode({"X-Amz-Signature": "0badcafe", "X-Amz-Expires": 60})
            return Reply(302, b"", {"Location": f"{self.storage}/bucket/{held.id}?{signed}"})
        headers = {"Content-MD5": held.md5, "ETag": f'"md5:{held.md5}"'}
        return _bytes(request, held.data or b"", self.switches.ranges, headers)

    def _stored(self, request: Request) -> Reply:
        """What the storage answers; a token beside its own signature is an error to it, as S3 has it."""
        if "authorization" in request.headers:
            return Reply(400, b"<Error><Code>InvalidArgument</Code></Error>", {"Content-Type": "application/xml"})
        with self._lock:
            held = {held.id: held for one in self.records.values() for held in one.files.values()}
        id = request.path.rpartition("/")[2]
        if id not in held or "X-Amz-Signature" not in request.query:
            return Reply(403, b"<Error><Code>AccessDenied</Code></Error>", {"Content-Type": "application/xml"})
        return _bytes(request, held[id].data or b"", True, {"ETag": f'"{held[id].md5}"'})

    def _archive(self, request: Request, record: Record) -> Reply:
        self._readable(request, record)
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w") as archive:
            for key, held in record.files.items():
                archive.writestr(key, held.data or b"")
        name = {"Content-Type": "application/zip", "Content-Disposition": f"attachment; filename={record.id}.zip"}
        return Reply(200, made.getvalue(), name)

    def _container(self, record: Record, held: Held, member: str, is_draft: bool) -> Reply:
        """What is in a zip, or one of it."""
        if not held.key.endswith(".zip"):
            raise Refused(400, f"No extractor found for the file '{held.key}'.")
        try:
            archive = zipfile.ZipFile(io.BytesIO(held.data or b""))
        except zipfile.BadZipFile:
            raise Refused(500, BROKEN) from None
        with archive:
            if member:
                if member not in archive.namelist():
                    raise Refused(404, f"Record '{record.id}' has no file '{member}'.")
                return Reply(200, archive.read(member), {"Content-Type": "application/octet-stream"}, chunked=True)
            where = f"{self._at(record, is_draft)}/files/{quote(held.key)}/container"
            entries, folders = [], []
            for info in archive.infolist():
                links = {"content": f"{where}/{quote(info.filename.rstrip('/'))}"}
                if info.is_dir():
                    name = info.filename.rstrip("/")
                    inside = [one for one in archive.namelist() if one.rpartition("/")[0] == name and one[-1:] != "/"]
                    folders.append({"key": name, "links": links, "entries": inside})
                    continue
                row = {"key": info.filename, "size": info.file_size, "compressed_size": info.compress_size}
                entries.append({**row, "mimetype": "application/octet-stream", "crc": info.CRC, "links": links})
        return json_reply(200, {"entries": entries, "truncated": False, "total": len(entries), "directories": folders})

    # == Searches ===========================================================================================

    def _users(self, request: Request) -> Reply:
        if self.switches.search == "missing":
            return _not_found()
        if self.switches.search == "forbidden":
            raise Refused(403, DENIED)
        who = self._who_or_nobody(request)
        return self._search(request, lambda one: one.owner == who.name)

    def _search(self, request: Request, wanted: Callable[[Record], bool]) -> Reply:
        try:
            number, size = int(request.query.get("page", 1)), int(request.query.get("size", 25))
            test = opensearch.query(re.sub(r"metadata\.title:", "title.tokens:", request.query.get("q", "")))
        except NoQuery:
            raise Refused(400, "Invalid query string syntax.") from None
        except ValueError:
            raise Refused(400, "Invalid querystring parameters.") from None
        if number < 1 or size < 1 or number * size > MAX_RESULTS:
            raise Refused(400, "Invalid querystring parameters.")
        with self._lock:
            rows = [one for one in self.records.values() if wanted(one) and one.due <= time.monotonic()]
            rows = [one for one in rows if test(self._searched(one))]
            order = request.query.get("sort", "newest")
            rows.sort(key=lambda one: one.updated if order.startswith("updated") else one.created)
            rows = rows if order in ("oldest", "updated-asc") else rows[::-1]
            hits = [self._shown(one, one.is_draft) for one in rows[(number - 1) * size : number * size]]
        links = {"self": self._again(request, number)}
        if number * size < len(rows):
            links["next"] = self._again(request, number + 1)
        if number > 1:
            links["prev"] = self._again(request, number - 1)
        found = {"hits": hits, "total": len(rows)}
        return json_reply(200, {"hits": found, "sortBy": order, "page": number, "links": links})

    def _again(self, request: Request, number: int) -> str:
        return f"{self.base}{request.path}?{urlencode({**request.query, 'page': number})}"

    def _searched(self, record: Record) -> Fields:
        flags = {"is_published": str(record.is_published).lower(), "is_draft": str(record.is_draft).lower()}
        return {**record.metadata, "metadata": record.metadata, "id": record.id, **flags}

    # == Shapes =============================================================================================

    def _at(self, record: Record, is_draft: bool) -> str:
        return f"{self.base}/api/{record.model}/{record.id}" + ("/draft" if is_draft else "")

    def _shown(self, record: Record, is_draft: bool) -> Fields:
        """A record or its draft."""
        body = record.body if is_draft else record.published or {}
        here, top = self._at(record, is_draft), self._at(record, False)
        kind = "uploads" if is_draft else "records" if self.switches.kind == "rdm" else record.model
        links = {
            "self": here, "self_html": f"{self.base}/{kind}/{record.id}", "files": f"{here}/files",
            "archive": f"{here}/files-archive", "versions": f"{top}/versions", "latest": f"{top}/versions/latest",
        }  # fmt: skip
        if is_draft:
            links.update(publish=f"{top}/draft/actions/publish", record=top)
        else:
            links.update(draft=f"{top}/draft")
        document: Fields = {
            "id": record.id, "created": iso(record.created), "updated": iso(record.updated), "links": links,
            "revision_id": record.revision, "parent": {"id": record.parent}, "is_published": record.is_published,
            "is_draft": is_draft, "versions": self._version(record), "metadata": body.get("metadata") or {},
            "access": {"record": "public", "files": "public", **(body.get("access") or {})},
            "files": self._summary(record),
        }  # fmt: skip
        if record.doi:
            document["pids"] = {"doi": {"identifier": record.doi, "provider": "external"}}
        return document

    def _complained(self, record: Record) -> Fields:
        """A draft, with what is wrong with it."""
        errors = self._errors(record)
        return {**self._shown(record, True), **({"errors": errors} if errors else {})}

    def _version(self, record: Record) -> Fields:
        return {
            "index": record.index,
            "is_latest": not record.has_next and record.is_published,
            "is_latest_draft": not record.has_next,
        }

    def _summary(self, record: Record) -> Fields:
        """Of a record's files; those that are not whole are not among them."""
        sizes = [held.size or 0 for held in record.files.values() if held.status == "completed"]
        counts = {"count": len(sizes), "total_bytes": sum(sizes)}
        return {"enabled": record.has_files, "default_preview": None, "order": [], **counts}

    def _told(self, record: Record, held: Held, is_draft: bool) -> Fields:
        """A file."""
        where = f"{self._at(record, is_draft)}/files/{quote(held.key, safe='')}"
        links: Fields = {"self": where, "content": f"{where}/content"}
        if is_draft:
            links["commit"] = f"{where}/commit"
        if held.key.endswith(".zip") and held.is_whole and self.switches.containers:
            links["container"] = f"{where}/container"
        transfer: Fields = {"type": "L"}
        if held.kind == "M" and not held.is_whole:
            transfer = {"type": "M", "parts": held.parts, "part_size": held.part_size}
            numbers = range(1, held.parts + 1)
            links["parts"] = [
                {"part": one, "url": f"{where}/content/{one}", "expiration": expiration()} for one in numbers
            ]
            del links["content"]
        told: Fields = {
            "created": iso(held.created), "updated": iso(held.updated), "key": held.key,
            "metadata": held.metadata, "access": {"hidden": False}, "links": links,
            "transfer": transfer, "status": held.status,
        }  # fmt: skip
        if held.is_whole:
            told.update(mimetype="application/octet-stream", version_id=held.id, file_id=held.id, bucket_id=record.id)
        if held.is_whole or held.kind == "M":
            told["storage_class"] = "L"
        for name in ("size", "checksum"):
            if getattr(held, name) is not None or "storage_class" in told:
                told[name] = getattr(held, name)
        return told


UNAUTHORIZED = (
    "The server could not verify that you are authorized to access the URL requested. You either supplied the wrong "
    "credentials (e.g. a bad password), or your browser doesn't understand how to supply the credentials required."
)


NOT_FOUND = (
    "The requested URL was not found on the server. If you entered the URL manually please check your spelling and try "
    "again."
)


def _json(request: Request, kind: type = dict) -> Any:
    try:
        body = json.loads(request.body or b"{}") if kind is dict else json.loads(request.body or b"[]")
    except ValueError:
        raise Refused(400, "Unable to decode JSON data in request body.") from None
    if kind is dict and not isinstance(body, dict):
        raise Refused(400, INVALID, [complaint("_schema", "Invalid input type.")])
    return body if kind is dict or isinstance(body, list) else [body]


def _kept(body: Fields) -> Fields:
    """What a draft keeps of what it is told."""
    kept = {name: body[name] for name in ("metadata", "access", "files") if isinstance(body.get(name), dict)}
    if "metadata" in kept:
        kept["metadata"] = {name: value for name, value in kept["metadata"].items() if value not in ("", [])}
    return kept


def _bytes(request: Request, data: bytes, has_ranges: bool, headers: dict[str, str]) -> Reply:
    headers = {"Content-Type": "application/octet-stream", **headers}
    if not has_ranges:
        return Reply(200, Stream(len(data), [data]), headers)
    spans = spans_of(request.headers["range"], len(data)) if "range" in request.headers else None
    if spans == []:
        return Reply(416, b"", {"Content-Range": f"bytes */{len(data)}"})
    return ranged(spans, len(data), lambda start, stop: [data[start:stop]], {**headers, "Accept-Ranges": "bytes"})


def _moved(where: str) -> Reply:
    return json_reply(301, {"status": 301, "message": "Moved Permanently.", "location": where}, {"Location": where})


def _not_found() -> Reply:
    return json_reply(404, {"status": 404, "message": NOT_FOUND})


def page(status: int, title: str, text: str = "", head: str = "") -> Reply:
    """What the repository says to people."""
    return Reply(status, PAGE.format(head=head, title=title, text=text).encode(), dict(HTML))
