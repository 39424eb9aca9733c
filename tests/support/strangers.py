"""Servers that are no door, or none that can be trusted."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.grid import Grid


@contextmanager
def stranger(answer: bytes, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """The port of something that is no door: it gives everybody the same answer."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    line, _ = server.accept()
                except OSError:  # closed: the test is over
                    return
                try:
                    with context.wrap_socket(line, server_side=True) if context else line as talk:
                        talk.settimeout(5)
                        talk.recv(65536)
                        talk.sendall(answer)
                        while answer and talk.recv(65536):  # a close before all is read would be a reset
                            pass
                except OSError:  # the client does not like the certificate
                    line.close()

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def context_of(grid: Grid, kind: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*map(str, grid.pki.host(kind)))
    return context
