"""A command on a terminal that is typed to as it goes on."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import time
from collections.abc import Callable

from tests.support.ready import is_readable
from tests.support.terminal import SIZE, last_states

PATIENCE = 120  # seconds until what is waited for must be there
CONTROLS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\a")


class Shell:
    """`seen` is what has been on the screen since the last keys."""

    def __init__(self, command: list[str], env: dict[str, str]) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", *SIZE, 0, 0))
        command = ["setsid", "--ctty", "--wait", *command]
        self._process = subprocess.Popen(command, env=env, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        self._raw = b""

    @property
    def seen(self) -> str:
        return last_states(CONTROLS.sub("", self._raw.decode(errors="replace")).replace("\r\n", "\n"))

    def type(self, keys: str) -> None:
        """Press these keys."""
        self._raw = b""
        os.write(self._ours, keys.encode())

    def until(self, end: str) -> str:
        """Wait until what is to be seen ends so; all of it."""
        self.wait(lambda: self.seen.rstrip(" ").endswith(end.rstrip(" ")))
        return self.seen

    def wait(self, is_so: Callable[[], object]) -> None:
        """Look at the screen until something is so."""
        ends = time.monotonic() + PATIENCE
        while not is_so():
            if time.monotonic() > ends or not self._look():
                raise SystemExit(f"waited in vain; the screen shows:\n{self.seen}")

    def status(self) -> int:
        """Look on until the command has ended; its status."""
        ends = time.monotonic() + PATIENCE
        while self._look() and time.monotonic() < ends:
            pass
        try:
            return self._process.wait(max(ends - time.monotonic(), 1))
        finally:
            self.close()

    def close(self) -> None:
        """End the command if it still runs; closing its terminal tells all that it has started."""
        self._process.kill()
        self._process.wait()
        if self._ours >= 0:
            os.close(self._ours)
        self._ours = -1

    def _look(self) -> bool:
        """Take in what comes next, if it comes soon; False once the other end is closed."""
        try:
            if is_readable(self._ours, 0.1):
                data = os.read(self._ours, 65536)
                self._raw += data
                return bool(data)
        except OSError:
            return False
        return True
