"""A server below HTTP: what it sends is what a test says, byte by byte."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Callable, Iterable


def is_whole(request: bytes) -> bool:
    """Whether a request has come to its end; what is none is whole as it comes."""
    if not re.match(rb"[A-Z]+ ", request):
        return True
    head, end, body = request.partition(b"\r\n\r\n")
    length = re.search(rb"\r\ncontent-length: *([0-9]+)", head, re.IGNORECASE)
    return bool(end) and len(body) >= int(length[1] if length else 0)


class Raw:
    """A server that sends these pieces to whatever is asked, and again to the next request on the same connection."""

    def __init__(self, answer: Callable[[], Iterable[bytes]], patience: float = 30) -> None:
        self.answer = answer  # an OSError of it ends the connection
        self.patience = patience  # seconds for the next request
        self.sent = self.connections = 0
        self.heard = b""
        self.open: set[socket.socket] = set()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://localhost:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def stop(self) -> None:
        """Listen no more; connections end with their clients."""
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)  # wakes who waits there
        self.listener.close()

    def accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                line = self.listener.accept()[0]
                self.connections += 1
                threading.Thread(target=self.serve, args=[line], daemon=True).start()

    def serve(self, line: socket.socket) -> None:
        self.open.add(line)
        with contextlib.suppress(OSError), line:
            line.settimeout(self.patience)
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            request = b""
            while heard := line.recv(65536):
                self.heard += heard
                request += heard
                if not is_whole(request):  # the body of a POST may come by itself
                    continue
                request = b""
                for piece in self.answer():
                    line.sendall(piece)
                    self.sent += len(piece)
        self.open.discard(line)
