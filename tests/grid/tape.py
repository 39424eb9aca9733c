"""Tape behind the door: a robot that brings files to disk, staging requests that pin them there, the Tape REST API."""

from __future__ import annotations

import json
import math
import random
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from tests.grid.guests import Guest, Guests, seconds
from tests.grid.tree import BOTH, DISK, TAPE, File, Folder, Tree
from tests.grid.web import Reply, Request, json_reply
from tests.grid.words import login_failed

if TYPE_CHECKING:
    from tests.grid.door import Switches

WELL_KNOWN = "/.well-known/wlcg-tape-rest-api"
WORDS = {DISK: "DISK", TAPE: "TAPE", BOTH: "DISK_AND_TAPE"}  # for what the door calls FileLocality
NO_SUCH_FILE = "No such file or directory /{}"
WRAPPED = "CacheException(rc=10001;msg={})"  # how a staging request says it, of what fails at once
NOT_REGULAR = "Not a regular file."
NOT_ON_TAPE = "File not on tape."
NOT_ALLOWED = "File not online. Staging not allowed."
JETTY_PAGE = b"<html><head><title>Error 400 Bad Request</title></head><body><h2>HTTP ERROR 400</h2></body></html>\n"
NOT_FOUND = Reply(404, b"404 Not Found\r\n", {"Content-Type": "text/plain"})  # storm-tape's


class Restore:
    """One file on its way from tape to disk."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.started: float | None = None
        self.finished: float | None = None
        self.error: str | None = None
        self._done = threading.Event()

    def finish(self, error: str | None = None) -> Restore:
        self.started = self.started or time.time()
        self.finished, self.error = time.time(), error
        self._done.set()
        return self

    def wait(self, seconds: float) -> None:
        self._done.wait(seconds)


class Robot:
    """Drives that restore files in the order asked; a test can hold it and let files through one by one.

    `fail[path] = message` makes a restore fail, a path in `stuck` starts and never ends (both without a slash in
    front); `again` is after how many seconds one that failed is tried again, without end and without a word, as dCache
    does (30) unless the failure has disabled the pool: `disable(message)`, and all that wait for it fail. `evict` sends
    a file back to tape as soon as its last pin is gone, while dCache waits for need of room.
    """

    def __init__(self, tree: Tree, drives: int, seconds: float) -> None:
        self.tree = tree
        self.drives = drives
        self.seconds = seconds
        self.fail: dict[str, str] = {}
        self.stuck: set[str] = set()
        self.evict = False
        self.again = math.inf
        self._later: list[tuple[float, Restore]] = []  # when each is tried again
        self._passes = math.inf  # files that may still come off the drives
        self._asked: dict[str, Restore] = {}
        self._waiting: deque[Restore] = deque()
        self._mounted: deque[Restore] = deque()
        self._wake = threading.Condition()
        self._started = self._stopped = False

    def start(self) -> None:
        """Begin to work; doors may share a robot, and each starts it."""
        with self._wake:
            if not self._started:
                threading.Thread(target=self._run, daemon=True, name="robot").start()
            self._started = True

    def stop(self) -> None:
        with self._wake:
            self._stopped = True
            self._wake.notify()

    def hold(self) -> None:
        """Let nothing more come to disk."""
        with self._wake:
            self._passes = 0

    def go(self, files: float = math.inf) -> None:
        """Let some more files come to disk, or all."""
        with self._wake:
            self._passes += files
            self._wake.notify()

    def disable(self, message: str) -> None:
        """Let everything fail that is under way."""
        with self._wake:
            for restore in self._asked.values():
                restore.finish(message)
            for queue in (self._asked, self._waiting, self._mounted, self._later):
                queue.clear()

    def restore(self, path: str) -> Restore:
        """Ask for a file; whoever asks for it meanwhile shares the same restore."""
        path = path.strip("/")
        with self._wake:
            node = self.tree.find(path)
            if not isinstance(node, File):
                gone = WRAPPED.format(NO_SUCH_FILE.format(path))
                return Restore(path).finish(NOT_REGULAR if isinstance(node, Folder) else gone)
            if node.locality != TAPE:
                return Restore(path).finish(None if node.locality == BOTH else NOT_ON_TAPE)
            if path not in self._asked:
                self._asked[path] = Restore(path)
                self._waiting.append(self._asked[path])
                self._wake.notify()
            return self._asked[path]

    def _run(self) -> None:
        with self._wake:
            while not self._stopped:
                now = time.time()
                self._waiting.extend(restore for when, restore in self._later if when <= now)
                self._later = [(when, restore) for when, restore in self._later if when > now]
                self._mount()
                pause = self._pause()
                if pause is None or pause > 0:
                    self._wake.wait(pause)
                elif self._mounted and self._passes >= 1:
                    self._finish(self._mounted.popleft())

    def _mount(self) -> None:
        while self._waiting and len(self._mounted) < self.drives:
            restore = self._waiting.popleft()
            restore.started = restore.started or time.time()
            if restore.path in self.stuck:
                del self._asked[restore.path]  # lost without an error, as happens; the next request begins anew
            else:
                self._mounted.append(restore)

    def _pause(self) -> float | None:
        """Seconds until the next file is read or tried again; None while there is nothing to do."""
        ends = [when for when, _ in self._later]
        if self._mounted and self._passes >= 1:
            ends.append((self._mounted[0].started or 0) + self.seconds)
        return min(ends) - time.time() if ends else None

    def _finish(self, restore: Restore) -> None:
        self._passes -= 1
        error = self.fail.get(restore.path)
        if error and self.again < math.inf:
            self._later.append((time.time() + self.again, restore))
            return
        del self._asked[restore.path]
        node = self.tree.find(restore.path)
        if isinstance(node, File) and not error:
            node.locality = BOTH
        restore.finish(error)


@dataclass
class Target:
    """One file of a staging request, and its pin once it is on disk."""

    path: str  # as the service shows it
    restore: Restore
    lifetime: float
    cancelled: float | None = None
    whole: bool = False  # was all of the request cancelled?
    released: bool = False

    @property
    def state(self) -> str:
        if self.cancelled:
            return "CANCELLED"
        if self.restore.finished:
            return "FAILED" if self.restore.error else "COMPLETED"
        return "STARTED" if self.restore.started else "SUBMITTED"

    @property
    def ended(self) -> float | None:
        return self.cancelled or self.restore.finished

    @property
    def pins(self) -> bool:
        """Does it keep its file on disk? The lifetime counts from the arrival on disk, not from the request."""
        alive = time.time() < (self.restore.finished or 0) + self.lifetime
        return alive and self.state == "COMPLETED" and not self.released


@dataclass
class StageRequest:
    """A staging request; `targets` by path without the slash in front."""

    id: str
    owner: str
    targets: dict[str, Target]
    created: float = field(default_factory=time.time)

    @property
    def completed(self) -> float | None:
        ends = [target.ended for target in self.targets.values()]
        return max(end or 0 for end in ends) if all(ends) else None


class Staging:
    """All staging requests and the pins they left."""

    def __init__(self, robot: Robot) -> None:
        self.robot = robot
        self.requests: dict[str, StageRequest] = {}
        self._targets: dict[str, dict[str, Target]] = {}  # path -> request id -> target; outlives the request

    def stage(self, owner: str, files: Iterable[tuple[str, str, float]], refused: str = "") -> str:
        """Ask the robot for files: path as the service shows it, path in the tree, pin lifetime; the request's id.

        Refused is why none that is on tape may come.
        """
        targets: dict[str, Target] = {}
        for path, place, life in files:
            node = self.robot.tree.find(place)
            on_tape = isinstance(node, File) and node.locality == TAPE
            restore = Restore(place).finish(refused) if refused and on_tape else self.robot.restore(place)
            targets.setdefault(place.strip("/"), Target(path, restore, life))
        request = StageRequest(str(uuid.uuid4()), owner, targets)
        self.requests[request.id] = request
        for path, target in targets.items():
            self._targets.setdefault(path, {})[request.id] = target
        return request.id

    def cancel(self, request: StageRequest, paths: Iterable[str], whole: bool = True) -> None:
        """Give up what is not done yet; the restore itself goes on, as at a real tape library."""
        for path in paths:
            target = request.targets[path.strip("/")]
            if not target.ended:
                target.cancelled, target.whole = time.time(), whole

    def release(self, request_id: str, paths: Iterable[str]) -> None:
        """Take off the pins of one request; what has none is passed over silently."""
        for path in paths:
            target = self._targets.get(path.strip("/"), {}).get(request_id)
            if target:
                target.released = True
        self.sweep()

    def pins(self, path: str) -> list[str]:
        """The ids of the requests that keep a file on disk."""
        return [i for i, target in list(self._targets.get(path.strip("/"), {}).items()) if target.pins]

    def sweep(self) -> None:
        """With an evicting robot, send back to tape what was pinned and no longer is."""
        if not self.robot.evict:
            return
        for path, targets in list(self._targets.items()):
            if any(not target.ended for target in targets.values()) or self.pins(path):
                continue
            node = self.robot.tree.find(path)
            if isinstance(node, File) and node.locality == BOTH:
                node.locality = TAPE
            self._targets.pop(path, None)


# == Tape REST API ======================================================================================


class BadRequest(Exception):
    """A request that is refused with a status and a sentence."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class TapeService:
    """The Tape REST API, version 1, in the manners of dCache's frontend or of StoRM Tape."""

    def __init__(self, tree: Tree, guests: Guests, staging: Staging, switches: Switches) -> None:
        self.tree = tree
        self.guests = guests
        self.staging = staging
        self.switches = switches
        self.url = ""
        self.api = ""  # its path

    def answer(self, request: Request) -> Reply:
        if request.path == WELL_KNOWN:
            return self.well_known()
        call, arguments = self._route(request)
        if request.target.endswith("/") and self.switches.tape_slash == 404:
            return NOT_FOUND
        if not call:
            return NOT_FOUND if self.switches.words == "storm" else self._problem(404, "Not Found")
        guest, refusal = self._let_in(request, "storage.stage" if call == self._stage else "storage.list")
        if refusal:
            return refusal
        if self.switches.words == "dcache" and request.method == "POST" and not _is_json(request):
            return self._problem(415, "Unsupported Media Type")
        self.staging.sweep()
        try:
            return call(request, guest, *arguments)
        except BadRequest as error:
            return self._problem(error.status, str(error))

    def _let_in(self, request: Request, scope: str) -> tuple[Guest, Reply | None]:
        """Who asks, and why not."""
        guest, objection = self.guests.standing(request, scope)
        if not self.switches.tape_asks_who:
            return Guest("", math.inf), None
        if objection and objection != "forbidden":
            return guest, login_failed()
        return guest, self._problem(403, "Forbidden") if objection else None

    def well_known(self) -> Reply:
        """Where this service is, as doors tell without asking who wants to know."""
        if self.switches.wellknown == "404":
            return Reply(404)
        uri = self.url if self.switches.wellknown == "present" else self.switches.wellknown
        endpoint = {"uri": uri, "version": "v1", "metadata": {}}
        description = "Tape of the AGATA test grid"
        return json_reply(200, {"sitename": "AGATA-TEST", "description": description, "endpoints": [endpoint]})

    def _route(self, request: Request) -> tuple[Callable[..., Reply] | None, list[str]]:
        """The call a request means, and the request id in its path."""
        if not request.path.startswith(self.api + "/"):
            return None, []
        verb, *rest = request.path[len(self.api) + 1 :].strip("/").split("/")
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
        document = self._document(request)
        if set(document) - {"files"}:
            raise BadRequest(400, "unrecognized payload element(s)")
        files = document.get("files")
        if not files:
            raise BadRequest(400, "request contains no files.")
        self._within_limits(guest, files)
        rows = [(_normal(path), self._place(_normal(path)), life) for path, life in self._lifetimes(files)]
        name = self.staging.stage(guest.dn, rows, "" if self.switches.may_stage else NOT_ALLOWED)
        return self._document_reply(201, {"requestId": name}, {"location": f"{self.url}/stage/{name}"})

    def _lifetimes(self, files: list[dict[str, str]]) -> Iterable[tuple[str, float]]:
        """Each path as it was written, and its pin's lifetime; dCache loses that of a path that it has to tidy."""
        for i, file in enumerate(files):
            path = file.get("path")
            if not path:
                raise BadRequest(400, f"file object {i} has no path.")
            life = self.switches.pin_lifetime
            if "diskLifetime" in file and not self.switches.lifetime_ignored:
                try:
                    asked = seconds(file["diskLifetime"])
                except ValueError as error:
                    raise BadRequest(400, str(error)) from error
                life = asked if path == _normal(path) else life
            yield path, life

    def _show(self, request: Request, guest: Guest, name: str) -> Reply:
        stage = self._own(guest, name)
        times = {"createdAt": stage.created, "startedAt": stage.created, "completedAt": stage.completed}
        files = [self._target(stage, target) for target in stage.targets.values()]
        if self.switches.state_at_poll:
            files.sort(key=lambda file: file["state"])
        return self._document_reply(200, {"id": name, **self._times(times), "files": files})

    def _document_reply(self, status: int, document: Any, headers: dict[str, str] | None = None) -> Reply:
        """dCache's documents are for people, too."""
        if self.switches.words == "storm":
            return json_reply(status, document, headers)
        text = json.dumps(document, indent=2, separators=(",", " : "))
        return Reply(status, text.encode(), {"Content-Type": "application/json", **(headers or {})})

    def _target(self, stage: StageRequest, target: Target) -> dict[str, Any]:
        """One file of a staging request."""
        shown: dict[str, Any] = {"path": target.path, "state": self._state(target)}
        if not self.switches.tape_error_text:
            return shown
        started = stage.created + 0.001 if self.switches.started_at_once else target.restore.started
        shown.update(self._times({"startedAt": started, "finishedAt": target.ended}))
        error = target.restore.error if target.restore.finished and not target.cancelled else None
        if target.cancelled and not target.whole:
            error = "null::1183: CANCELLED"
        if error and not (self.switches.skipped_is_failed and error == NOT_ON_TAPE):
            shown["error"] = error
        return shown

    def _state(self, target: Target) -> str:
        """StoRM looks at the file itself each time: is it there, or still a stub and no longer on its way?"""
        node = self.tree.find(target.restore.path)
        if not self.switches.state_at_poll or target.cancelled or not isinstance(node, File):
            return "STARTED" if self.switches.started_at_once and target.state == "SUBMITTED" else target.state
        if node.locality in (DISK, BOTH):
            return "COMPLETED"
        return "FAILED" if target.restore.finished else target.state

    def _times(self, times: dict[str, float | None]) -> dict[str, int | None]:
        """Times in the door's unit; what is not set is left out, null or 0."""
        scale = {"ms": 1000, "s": 1}[self.switches.tape_time_unit]
        unset = {"omitted": None, "null": None, "0": 0}[self.switches.tape_unset]
        shown = {key: int(time * scale) if time else unset for key, time in times.items()}
        return {key: time for key, time in shown.items() if time is not None or self.switches.tape_unset != "omitted"}

    def _cancel(self, request: Request, guest: Guest, name: str) -> Reply:
        stage = self._own(guest, name)
        paths = self._paths(request)
        places = list(map(self._place, paths))
        if not paths and self.switches.cancel_empty == "all":
            places = list(stage.targets)
        refusal = self._foreign(stage, paths)
        if refusal:
            return refusal
        self.staging.cancel(stage, places, not paths)
        return Reply(200)

    def _delete(self, request: Request, guest: Guest, name: str) -> Reply:
        stage = self._own(guest, name)
        self.staging.cancel(stage, stage.targets)
        del self.staging.requests[name]
        return Reply(200)

    def _release(self, request: Request, guest: Guest, name: str) -> Reply:
        """dCache accepts everything, unknown ids and foreign paths too; StoRM looks, then does nothing."""
        paths = self._paths(request)
        self._within_limits(guest, paths)
        if self.switches.release_unknown == 404:
            refusal = self._foreign(self._own(guest, name), paths)
            if refusal:
                return refusal
        places = list(map(self._place, paths))
        if self.switches.release_delay == 0:
            self.staging.release(name, places)
        elif self.switches.release_delay < math.inf:
            later = threading.Timer(self.switches.release_delay, self.staging.release, (name, places))
            later.daemon = True
            later.start()
        return Reply(200)

    def _archiveinfo(self, request: Request, guest: Guest) -> Reply:
        paths = self._paths(request)[: self.switches.archiveinfo_limit]
        if self.switches.archiveinfo_order == "shuffled":
            paths = list(set(paths))
            random.shuffle(paths)
        rows = [{"path": path, **self._locality(path, guest)} for path in paths]
        return self._document_reply(200, rows)

    def _locality(self, path: str, guest: Guest) -> dict[str, str]:
        place = self._place(path)
        node = self.tree.find(place)
        storm = self.switches.words == "storm"
        if node is None:
            return {"error": "No such file or directory" if storm else NO_SUCH_FILE.format(place.strip("/"))}
        is_read = place.strip("/") not in self.switches.unreadable and guest.may("storage.read", place)
        if self.switches.archiveinfo_reads and not storm and not is_read:
            return {"error": f"Access denied: {path}"}
        if isinstance(node, Folder):
            return {"error": "Is a directory"} if storm else {"locality": "NONE"}
        if node.size == 0 and self.switches.empty_file_is_none:
            return {"locality": "NONE"}
        word = "UNAVAILABLE" if storm and node.locality == "LOST" else node.locality
        if node.size == 0 and word == TAPE:  # nothing has to be brought
            word = BOTH
        return {"locality": WORDS.get(word, word)}

    def _place(self, path: str) -> str:
        """Where in the tree a path of this service is; one not below its root becomes one that does not exist."""
        root = self.switches.tape_root.rstrip("/")
        return path[len(root) :] if path.startswith(root + "/") else f"{root}/{path.lstrip('/')}"

    def _own(self, guest: Guest, name: str) -> StageRequest:
        stage = self.staging.requests.get(name)
        if stage is None or time.time() > stage.created + self.switches.request_retention:
            raise BadRequest(404, f"request {name} not found" if self.switches.words == "dcache" else "Stage not found")
        if stage.owner != guest.dn:
            raise BadRequest(403, "Forbidden")
        return stage

    def _foreign(self, stage: StageRequest, paths: list[str]) -> Reply | None:
        """The refusal of paths that are not of the request: dCache says it in headers, StoRM in a document."""
        foreign = [path for path in paths if self._place(path).strip("/") not in stage.targets]
        if not foreign:
            return None
        said = {"title": "File missing from stage request", "detail": "HTTP 400 Bad Request"}
        if self.switches.cancel_foreign == "headers":
            return Reply(400, JETTY_PAGE, {**said, "Content-Type": "text/html;charset=iso-8859-1"})
        return self._problem(400, said["title"])

    def _within_limits(self, guest: Guest, files: list[Any]) -> None:
        if len(files) > self.switches.stage_limit:
            raise BadRequest(self.switches.over_limit_status, HTTPStatus(self.switches.over_limit_status).phrase)
        mine = [stage for stage in list(self.staging.requests.values()) if stage.owner == guest.dn]
        if sum(not stage.completed for stage in mine) >= self.switches.max_requests:
            raise BadRequest(429, "Too Many Requests")

    def _document(self, request: Request) -> dict[str, Any]:
        try:
            document = json.loads(request.body)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            text = request.body.decode("utf-8", "replace")
            said = "A JSONObject text must begin with '{' at 1 [character 2 line 1]"
            bad = f"badly formed json object '{text}': org.json.JSONException: {said}"
            raise BadRequest(400, bad if self.switches.words == "dcache" else "Invalid JSON")
        return document

    def _paths(self, request: Request) -> list[str]:
        paths = self._document(request).get("paths")
        if paths is None:
            raise BadRequest(400, "request had no paths.")
        return list(paths)

    def _problem(self, status: int, detail: str, headers: dict[str, str] | None = None) -> Reply:
        """An error; dCache gives its status as a string, against the standard."""
        if self.switches.words == "storm":
            kind = {"Content-Type": "application/problem+json"}
            return json_reply(status, {"status": status, "title": detail}, {**kind, **(headers or {})})
        document = {"status": str(status), "title": HTTPStatus(status).phrase, "detail": detail}
        return json_reply(status, document, headers)


def _normal(path: str) -> str:
    """A path without what is not needed in it."""
    return "/" + "/".join(part for part in path.split("/") if part not in ("", "."))


def _is_json(request: Request) -> bool:
    return request.headers.get("content-type", "").startswith("application/json")
