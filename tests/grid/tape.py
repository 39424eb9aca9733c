"""Tape behind the door: a robot that brings files to disk, and staging requests that pin them there."""

from __future__ import annotations

import math
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.grid.tree import BOTH, TAPE, File, Folder, Tree

NO_SUCH_FILE = "CacheException(rc=10001;msg=No such file or directory /{})"
NOT_REGULAR = "CacheException(rc=666;msg=Not a regular file.)"
NOT_ON_TAPE = "CacheException(rc=666;msg=File not on tape.)"


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
    front); `evict` sends a file back to tape as soon as its last pin is gone, while dCache waits for need of room.
    """

    def __init__(self, tree: Tree, drives: int, seconds: float) -> None:
        self.tree = tree
        self.drives = drives
        self.seconds = seconds
        self.fail: dict[str, str] = {}
        self.stuck: set[str] = set()
        self.evict = False
        self._passes = math.inf  # files that may still come off the drives
        self._asked: dict[str, Restore] = {}
        self._waiting: deque[Restore] = deque()
        self._mounted: deque[Restore] = deque()
        self._wake = threading.Condition()
        self._stopped = False

    def start(self) -> None:
        threading.Thread(target=self._run, daemon=True, name="robot").start()

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

    def restore(self, path: str) -> Restore:
        """Ask for a file; whoever asks for it meanwhile shares the same restore."""
        path = path.strip("/")
        with self._wake:
            node = self.tree.find(path)
            if not isinstance(node, File):
                return Restore(path).finish(NOT_REGULAR if isinstance(node, Folder) else NO_SUCH_FILE.format(path))
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
                self._mount()
                pause = self._pause()
                if pause is None or pause > 0:
                    self._wake.wait(pause)
                else:
                    self._finish(self._mounted.popleft())

    def _mount(self) -> None:
        while self._waiting and len(self._mounted) < self.drives:
            restore = self._waiting.popleft()
            restore.started = time.time()
            if restore.path in self.stuck:
                del self._asked[restore.path]  # lost without an error, as happens; the next request begins anew
            else:
                self._mounted.append(restore)

    def _pause(self) -> float | None:
        """Seconds until the next file is read; None while there is nothing to do."""
        if not self._mounted or self._passes < 1:
            return None
        return (self._mounted[0].started or 0) + self.seconds - time.time()

    def _finish(self, restore: Restore) -> None:
        self._passes -= 1
        del self._asked[restore.path]
        node = self.tree.find(restore.path)
        error = self.fail.get(restore.path)
        if isinstance(node, File) and not error:
            node.locality = BOTH
        restore.finish(error)


@dataclass
class Target:
    """One file of a staging request, and its pin once it is on disk."""

    path: str  # as the client wrote it
    restore: Restore
    lifetime: float
    cancelled: float | None = None
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

    def stage(self, owner: str, files: Iterable[tuple[str, float]]) -> str:
        """Ask the robot for files, each with the lifetime of its pin; the id of the request."""
        targets = {path.strip("/"): Target(path, self.robot.restore(path), life) for path, life in files}
        request = StageRequest(str(uuid.uuid4()), owner, targets)
        self.requests[request.id] = request
        for path, target in targets.items():
            self._targets.setdefault(path, {})[request.id] = target
        return request.id

    def cancel(self, request: StageRequest, paths: Iterable[str]) -> None:
        """Give up what is not done yet; the restore itself goes on, as at a real tape library."""
        for path in paths:
            target = request.targets[path.strip("/")]
            if not target.ended:
                target.cancelled = time.time()

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
