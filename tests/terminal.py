"""Commands on a pseudo-terminal, for what they show only there."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time

SIZE = (24, 120)  # lines and columns
PATIENCE = 30  # seconds until a dialogue must be over


def on_terminal(command: list[str], env: dict[str, str], size: tuple[int, int] = SIZE) -> tuple[int, str]:
    """Exit status and output of a command that believes to be looked at."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
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


def dialogue(command: list[str], env: dict[str, str], answers: list[tuple[str, str]]) -> tuple[int, str]:
    """Exit status and output of a command that asks for secrets; each prompt is answered once the echo is off."""
    end = time.monotonic() + PATIENCE
    ours, theirs = pty.openpty()
    command = ["setsid", "--ctty", *command]  # who asks at /dev/tty finds this terminal there
    with subprocess.Popen(command, env=env, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        try:
            seen = _converse(ours, answers, end)
            process.wait(max(end - time.monotonic(), 1))
        finally:
            process.kill()
            os.close(ours)
    return process.returncode, seen.replace("\r\n", "\n")


def _converse(terminal: int, answers: list[tuple[str, str]], end: float) -> str:
    """Answer each prompt of (prompt, answer) in turn; all that was to see."""
    seen, begin = "", 0
    waiting = list(answers)
    while data := _read(terminal, end):
        seen += data.decode()
        if waiting and seen[begin:].rstrip().endswith(waiting[0][0]):
            _wait_without_echo(terminal)
            os.write(terminal, waiting.pop(0)[1].encode() + b"\n")
            begin = len(seen)
    return seen


def _read(terminal: int, end: float) -> bytes:
    """What comes next; nothing when the other end is closed or the time is over."""
    try:
        ready, _, _ = select.select([terminal], [], [], max(end - time.monotonic(), 0))
        return os.read(terminal, 65536) if ready else b""
    except OSError:
        return b""


def _wait_without_echo(terminal: int) -> None:
    for _ in range(200):
        if not termios.tcgetattr(terminal)[3] & termios.ECHO:
            return
        time.sleep(0.01)
    raise AssertionError("a secret was asked for with the echo on")


def last_states(text: str) -> str:
    """The text as it stands on the screen in the end: of a redrawn line only what was drawn last."""
    lines = []
    for line in text.split("\n"):
        states = [state.rstrip() for state in line.split("\r") if state.strip()]
        lines.append(states[-1] if states else "")
    return "\n".join(lines)
