"""An FTP server that answers what a test wants it to."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Union

from tests.grid.pki import Pki

Answer = Union[str, bytes, Callable[["Talk"], object]]  # a reply; data with a reply around; or whatever is done
USUAL: dict[str, Answer] = {
    "AUTH": "234 go on", "USER": "331 and the password", "PASS": "230 welcome",
    "PBSZ": "200 yes", "PROT": "200 yes", "TYPE": "200 yes", "FEAT": "211-Features:\r\n MDTM\r\n SIZE\r\n211 End",
    "CWD": "250 yes", "SIZE": "550 no such file", "MDTM": "550 no such file", "LIST": b"", "REST": "350 yes",
}  # fmt: skip


class Talk:
    """One connection to it."""

    def __init__(self, server: OddFtp, line: socket.socket) -> None:
        self.server = server
        self.line = line
        self.passive = socket.create_server(("127.0.0.1", 0))
        self.words: list[str] = []

    def say(self, text: str) -> None:
        self.line.sendall(text.encode() + b"\r\n")

    def run(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self.say(self.server.greeting)
            buffer = b""
            while data := self.line.recv(4096):
                buffer += data
                while b"\r\n" in buffer:
                    command, _, buffer = buffer.partition(b"\r\n")
                    self.answer(command.decode())
        self.line.close()
        self.passive.close()

    def answer(self, command: str) -> None:
        self.server.heard.append(command)
        self.words = command.split(" ", 1)
        verb = self.words[0]
        answers = {**USUAL, "PASV": Talk.open, **self.server.answers}
        answer = answers.get(verb, "500 what?")
        if callable(answer):
            answer(self)
        elif isinstance(answer, bytes):
            self.send(answer)
        else:
            self.say(answer)
            if verb == "AUTH" and answer.startswith("234"):
                self.line = self.server.context.wrap_socket(self.line, server_side=True)

    def open(self, host: str = "127,0,0,1") -> None:
        self.passive.close()
        self.passive = socket.create_server(("127.0.0.1", 0))
        port = self.passive.getsockname()[1]
        self.say(f"227 Entering Passive Mode ({host},{port >> 8},{port & 255})")

    def channel(self) -> ssl.SSLSocket:
        """The channel for data, once it is there."""
        self.say("150 here it comes")
        return self.server.context.wrap_socket(self.passive.accept()[0], server_side=True)

    def send(self, data: bytes, reply: str = "226 that was all") -> None:
        """Send data as a server does that is well."""
        with self.channel() as channel:
            channel.sendall(data)
            with contextlib.suppress(OSError):
                channel.unwrap()
        self.say(reply)


class OddFtp:
    """A server on loopback with the grid's certificate; `answers` go before those that are usual."""

    def __init__(self, pki: Pki, answers: dict[str, Answer] | None = None, greeting: str = "220 hello") -> None:
        self.answers = answers or {}
        self.greeting = greeting
        self.heard: list[str] = []  # commands
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(*pki.host())
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.run, daemon=True).start()

    @property
    def url(self) -> str:
        return f"ftps://localhost:{self.listener.getsockname()[1]}"

    def run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                line = self.listener.accept()[0]
                threading.Thread(target=Talk(self, line).run, daemon=True).start()

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
