"""Server processes of the grid: without root's powers, and gone with whoever started them."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

PATIENCE = 10  # seconds until a server must be up


class Daemon:
    """One server in its folder; its own word in the log says when it serves. Root starts it as another user."""

    def __init__(
        self, folder: Path, command: list[str], environment: dict[str, str], up: str, for_root: str = "nobody"
    ) -> None:
        self.log = folder / "log"
        self._folder = folder
        self._command = command
        self._environment = environment
        self._up = re.compile(up)
        self._account = pwd.getpwnam(for_root)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process; the kernel ends it when the thread that started it ends."""
        self.log.write_bytes(b"")
        become = []
        if os.getuid() == 0:  # which some servers refuse to run as
            for path in (self._folder, *self._folder.rglob("*")):
                os.lchown(path, self._account.pw_uid, self._account.pw_gid)
            become = [f"--reuid={self._account.pw_uid}", f"--regid={self._account.pw_gid}", "--clear-groups"]
        with open(self.log, "ab") as log:  # the server may append to it by name, too
            self._process = subprocess.Popen(
                ["setpriv", *become, "--pdeathsig", "KILL", *self._command],
                cwd=self._folder, env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        """Of the process, which is started."""
        assert self._process
        return self._process.pid

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def has_crashed(self) -> bool:
        """Whether it has ended by a fault of its own."""
        return self._process is not None and self._process.poll() in (-signal.SIGSEGV, -signal.SIGABRT)

    def is_up(self) -> bool:
        """Wait for its word; a connection proves nothing: on a taken port somebody else answers."""
        end = time.monotonic() + PATIENCE
        while self.is_running() and time.monotonic() < end:
            if self._up.search(self.log.read_text(errors="replace")):
                return True
            time.sleep(0.01)
        return False

    def stop(self) -> None:
        """End the process and those it started for its connections; it keeps nothing worth a farewell."""
        if self._process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


def free_port() -> int:
    """A port that nobody has just now."""
    with socket.create_server(("", 0)) as server:
        return server.getsockname()[1]
