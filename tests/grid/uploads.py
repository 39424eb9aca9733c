"""Writing at the doors: PUT, MKCOL, MOVE, DELETE, and StoRM's COPY within itself, each as dCache or StoRM do it.

dCache takes an upload whole or not at all (what was under the name is gone then), at a pool if the client waits with
its body. StoRM writes in place: an upload that was cut off stays as it is, one over a longer file leaves its end.
Read, not met: what dCache says to a move onto what is there, and to a PUT with If-None-Match onto it. Inferred: what it
says to the end of a folder that is not empty; that a file which is removed while StoRM writes it stays removed.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from tests.grid.propfind import Upload, checksum, content, digest_header, etag
from tests.grid.tree import DISK, TAPE, File, Folder, Node, Tree
from tests.grid.web import Cut, Reply, Request
from tests.grid.words import composed, error

if TYPE_CHECKING:
    from tests.grid.door import Switches

ADLER = ("adler32",)


class Uploads:
    """What changes the tree."""

    def __init__(self, tree: Tree, switches: Switches) -> None:
        self.tree = tree
        self.switches = switches
        self.to_pool: Callable[[Request], Reply] | None = None  # where dCache sends who waits with a body
        self.used = 0  # bytes of the quota

    def answer(self, request: Request, node: Node | None) -> Reply:
        methods = {"PUT": self._put, "MKCOL": self._mkcol, "MOVE": self._move, "DELETE": self._delete}
        return methods[request.method](request, node)

    def _put(self, request: Request, node: Node | None) -> Reply:
        storm = self.switches.words == "storm"
        if isinstance(node, Folder):
            if storm:  # which has told the client to go on before it looks
                _ = request.body
            return error(request, 405, self.switches)
        if isinstance(self._above(request.path), File):
            return error(request, 409, self.switches)
        if self._is_full(request):
            return error(request, 507, self.switches)
        if storm:
            return self._in_place(request, node)
        if node and request.headers.get("if-none-match") == "*":
            return error(request, 412, self.switches)
        if request.expects and self.to_pool and self.switches.redirect.startswith("pool"):
            return self.to_pool(request)
        if composed(request.path, self.switches.names) != request.path:
            return error(request, 400, self.switches)
        reply = self.keep(request, request.path)
        file = self.tree.file(request.path)
        digest = digest_header(request.headers, file, self.switches)
        return replace(reply, headers={"ETag": etag(request.path, file.mtime, self.switches), **digest})

    def keep(self, request: Request, path: str) -> Reply:
        """Take an upload whole; its name is free as soon as it begins."""
        if self.tree.find(path):
            self.tree.remove(path)
        data = b"".join(request.pieces())
        stamp = request.headers.get("x-oc-mtime", "")
        self.put(path, data, int(stamp) if stamp.isdecimal() else None)
        return Reply(201)

    def put(
        self, path: str, data: bytes, mtime: float | None = None, checksums: tuple[str, ...] = ADLER, adler: str = ""
    ) -> Upload:
        """A file on disk, and the folders above it."""
        parent, _, name = path.rstrip("/").rpartition("/")
        file = Upload(name, len(data), int(time.time()) if mtime is None else mtime, DISK, checksums, 0, data, adler)
        self.tree.folder(parent).children[name] = file
        self.used += len(data)
        return file

    def _in_place(self, request: Request, node: File | None) -> Reply:
        """StoRM's PUT: over what is there, byte for byte as they come."""
        refusal = self._precondition(request, node)
        if refusal:
            return error(request, refusal, self.switches)
        if "content-range" in request.headers:  # which it does not understand
            _ = request.body
            return error(request, 500, self.switches) if node else self._empty(request.path)
        data = bytearray(b"".join(content(node, 0, node.size)) if node else b"")
        file = node or self.put(request.path, b"", checksums=())  # it is there from the beginning
        came, adler = 0, 1
        try:
            for piece in request.pieces():
                data[came : came + len(piece)] = piece
                came, adler = came + len(piece), zlib.adler32(piece, adler)
        except (Cut, OSError):
            old = checksum(node, "adler32", self.switches) if node and node.checksums else ""
            if self.tree.find(request.path) is file:
                self.put(request.path, bytes(data), checksums=node.checksums if node else (), adler=old)
            raise
        if node and not came:
            return error(request, 500, self.switches)
        if self.tree.find(request.path) is file:  # else it was removed meanwhile
            self.put(request.path, bytes(data), adler=f"{adler:08x}")
        return Reply(204 if node else 201)

    def _empty(self, path: str) -> Reply:
        self.put(path, b"")
        return Reply(201)

    def _precondition(self, request: Request, node: File | None) -> int:
        """What If-None-Match and If-Match say, and whether a file on tape is in the way; 0 if nothing is."""
        if node and node.locality == TAPE:
            return 415
        if request.headers.get("if-none-match") == "*" and node:
            return 412
        tag = request.headers.get("if-match")
        known = etag(request.path, node.mtime, self.switches) if node else ""
        return 412 if tag is not None and tag not in ("*" if node else "", known) else 0

    def _is_full(self, request: Request) -> bool:
        length = request.headers.get("content-length", "")
        return self.used + (int(length) if length.isdecimal() else 0) > self.switches.quota

    def _above(self, path: str) -> Node | None:
        """The nearest thing above a path that is there."""
        path = path.strip("/")
        while "/" in path:
            path = path.rpartition("/")[0]
            if node := self.tree.find(path):
                return node
        return self.tree.root

    def has_parent(self, path: str) -> bool:
        return isinstance(self.tree.find(path.rstrip("/").rpartition("/")[0]), Folder)

    def _mkcol(self, request: Request, node: Node | None) -> Reply:
        if node or not self.has_parent(request.path):
            return error(request, 405 if node else 409, self.switches)
        self.tree.folder(request.path, mtime=time.time())
        return Reply(201)

    def _move(self, request: Request, node: Node | None) -> Reply:
        target = unquote(urlsplit(request.headers.get("destination", "")).path, errors="surrogateescape")
        if not node:
            return error(request, 404, self.switches)
        if isinstance(node, File) and node.locality == TAPE and self.switches.words == "storm":
            return error(request, 415, self.switches)
        if not target.strip("/") or not self.has_parent(target):
            return error(request, 409, self.switches)
        replaced = self.tree.find(target)
        if replaced:
            if request.headers.get("overwrite") != "T":
                return error(request, 412, self.switches)
            self.tree.remove(target)
        self.tree.remove(request.path)
        parent, _, node.name = target.rstrip("/").rpartition("/")
        self.tree.folder(parent).children[node.name] = node
        return Reply(204 if replaced and self.switches.words == "dcache" else 201)

    def _delete(self, request: Request, node: Node | None) -> Reply:
        if not node:
            return error(request, 404, self.switches)
        if isinstance(node, Folder) and node.children:
            text = f"Directory is not empty: {node.name}"
            return error(request, 412 if self.switches.words == "storm" else 409, self.switches, text=text)
        self.tree.remove(request.path)
        if isinstance(node, Upload):
            self.used -= node.size
        return Reply(204)

    def copy(self, request: Request, node: Node | None, target: str) -> Reply:
        """StoRM's COPY within itself, which forgets the checksum."""
        if not isinstance(node, File):
            return error(request, 404, self.switches)
        if self.tree.find(target) and request.headers.get("overwrite") == "F":
            return error(request, 412, self.switches)
        if not self.has_parent(target):
            return error(request, 409, self.switches)
        self.put(target, b"".join(content(node, 0, node.size)), checksums=())
        return Reply(201)
