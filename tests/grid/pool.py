"""dCache's pools, all in one: they send and take the bytes, for whoever has the address of a mover."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

from tests.grid.propfind import content, digest_header
from tests.grid.tree import File, Tree
from tests.grid.web import Connection, Pieces, Reply, Request, ranged, spans_of

if TYPE_CHECKING:
    from tests.grid.door import Switches

OVER = "Request is no longer valid"
OTHER_FILE = "The file you specified does not match the UUID you specified!"


@dataclass
class Mover:
    """One permission to read or write one file, whose UUID is all the credential the pool wants."""

    path: str
    digest_wanted: bool
    writes: bool
    opened: float = field(default_factory=time.time)
    connections: set[Connection] = field(default_factory=set)
    leaked: bool = False  # it runs until the pool restarts


class Pool:
    """Where the bytes come from."""

    def __init__(self, tree: Tree, switches: Switches, keep: Callable[[Request, str], Reply]) -> None:
        self.tree = tree
        self.switches = switches
        self.urls: dict[str, str] = {}  # by what the switch redirect says
        self.is_gone = False  # down, and all the door knows is that there is no way to it
        self._keep = keep  # takes an upload
        self._movers: dict[str, Mover] = {}
        self._waiting: list[str] = []
        self._free = threading.Condition()

    @property
    def leaked(self) -> int:
        """Movers that no client will end."""
        return sum(mover.leaked for mover in list(self._movers.values()))

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

    def _is_over(self, mover: Mover) -> bool:
        """Has nobody come in time?"""
        return not (mover.connections or mover.leaked) and time.time() > mover.opened + self.switches.mover_life

    def _is_next(self, name: str) -> bool:
        for old, mover in list(self._movers.items()):
            if self._is_over(mover):
                del self._movers[old]
        return self._waiting[-1] == name and len(self._movers) < self.switches.mover_slots

    def forget(self) -> None:
        """End all movers, as a restart does."""
        with self._free:
            self._movers.clear()
            self._free.notify_all()

    def _end(self, name: str) -> None:
        with self._free:
            mover = self._movers.get(name)
            if mover and not mover.leaked:
                del self._movers[name]
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
            return Reply(400, reason="Query string does not include any UUID.")
        mover = self._join(name, request)
        if mover is None:
            return self._back_to_door(request)
        if mover.path != request.path or mover.writes != (request.method == "PUT"):
            mover.leaked = True  # its channel is taken and never given back
            return Reply(400, reason=OTHER_FILE)
        return self._receive(request, name, mover) if mover.writes else self._send(request, name, mover)

    def _join(self, name: str, request: Request) -> Mover | None:
        with self._free:
            mover = self._movers.get(name)
            if mover and self._is_over(mover):
                mover = self._movers.pop(name) and None
            if mover:
                mover.connections.add(request.connection)
            return mover

    def _back_to_door(self, request: Request) -> Reply:
        door = request.query.get("dcache-http-ref")
        if not door or self.switches.bounce == 400:
            return Reply(400, reason=f"{OVER}. Please resubmit to door.")
        return Reply(307, headers={"Location": door + request.target}, reason=OVER)

    def _receive(self, request: Request, name: str, mover: Mover) -> Reply:
        try:
            reply = self._keep(request, mover.path)
        finally:
            self._end(name)
        file = self.tree.file(mover.path)
        digest = digest_header(request.headers, file, self.switches) if mover.digest_wanted else {}
        where = {"Location": request.query.get("dcache-http-ref", "") + request.target}
        said = f"{file.size} bytes uploaded\r\n\r\n".encode()
        return Reply(reply.status, said, {**where, **digest, "X-OC-MTime": "accepted"})

    def _send(self, request: Request, name: str, mover: Mover) -> Reply:
        file = self.tree.file(mover.path)
        wish = request.headers.get("range")
        spans = spans_of(wish, file.size) if wish is not None else []
        if spans is None:
            return Reply(400, reason="Invalid definition of ranges")
        if wish is not None and not spans:
            return Reply(416, reason="Invalid (empty) list of valid ranges")
        headers = {
            "Accept-Ranges": "bytes",
            "Content-Location": request.query.get("dcache-http-ref", "") + request.target,
            **(digest_header(request.headers, file, self.switches) if mover.digest_wanted else {}),
            **({} if spans else {"Content-Disposition": _disposition(file)}),
        }

        def pieces(start: int, stop: int) -> Pieces:
            yield from content(file, start, stop)
            if wish is None or self.switches.mover_once:
                self._end(name)

        return ranged(spans or None, file.size, pieces, headers)


def _disposition(file: File) -> str:
    if file.name.isascii():
        return f"attachment;filename={file.name}"
    return f"attachment;filename*=UTF-8''{quote(file.name, errors='surrogateescape')}"
