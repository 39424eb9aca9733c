"""A line to a real server that breaks when a test wants it."""

from __future__ import annotations

import contextlib
import math
import selectors
import socket
import struct
import threading

PIECE = 65536


class Line:
    """A port of ours that leads to another one; its next connections are reset after so many bytes, in and out."""

    def __init__(self, port: int, hears: bool = False):
        self.target = port
        self.heard: list[bytes] | None = [] if hears else None  # what has gone over it
        self.breaks: list[int] = []
        self.broken = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        with contextlib.suppress(OSError):  # it is closed
            while True:
                near, _ = self.listener.accept()
                threading.Thread(target=self.serve, args=[near], daemon=True).start()

    def serve(self, near: socket.socket) -> None:
        """Hand over what comes on either side, until it breaks or one of them has had enough."""
        left = self.breaks.pop(0) if self.breaks else math.inf
        with (
            contextlib.suppress(OSError), near, socket.create_connection(("127.0.0.1", self.target)) as far,
            selectors.DefaultSelector() as selector,
        ):  # fmt: skip
            for side, other in ((near, far), (far, near)):
                selector.register(side, selectors.EVENT_READ, other)
            while left > 0:
                for key, _ in selector.select():
                    data = key.fileobj.recv(int(min(PIECE, left)))
                    if not data:
                        return
                    if self.heard is not None:
                        self.heard.append(data)
                    key.data.sendall(data)
                    left -= len(data)
                    if left <= 0:
                        break
            self.broken += 1
            for side in (near, far):
                side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
