"""Commands on a pseudo-terminal, for what they show only there."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import termios

SIZE = (24, 120)  # lines and columns


def on_terminal(command: list[str], env: dict[str, str]) -> tuple[int, str]:
    """Exit status and output of a command that believes to be looked at."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", *SIZE, 0, 0))
    with subprocess.Popen(command, env=env, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        seen = b""
        try:
            while data := os.read(ours, 65536):
                seen += data
        except OSError:  # so Linux says that the other end is closed
            pass
    os.close(ours)
    return process.returncode, seen.decode().replace("\r\n", "\n")


def last_states(text: str) -> str:
    """The text as it stands on the screen in the end: of a redrawn line only what was drawn last."""
    lines = []
    for line in text.split("\n"):
        states = [state.rstrip() for state in line.split("\r") if state.strip()]
        lines.append(states[-1] if states else "")
    return "\n".join(lines)
