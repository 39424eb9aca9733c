"""Commands on a pseudo-terminal, for what they show only there."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import time
from collections.abc import Callable
from typing import Union

from tests.support.ready import is_readable

SIZE = (24, 120)  # lines and columns
KIND = {"TERM": "xterm"}
PATIENCE = 30  # seconds until a dialogue must be over
CTRL_C = "\x03"


def on_terminal(command: list[str], env: dict[str, str], size: tuple[int, int] = SIZE) -> tuple[int, str]:
    """Exit status and output of a command that believes to be looked at."""
    ours, theirs = _opened(size)
    with subprocess.Popen(command, env={**env, **KIND}, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        seen = b""
        try:
            while data := os.read(ours, 65536):
                seen += data
        except OSError:  # so Linux says that the other end is closed
            pass
    os.close(ours)
    return process.returncode, seen.decode().replace("\r\n", "\n")


Answers = list[tuple[str, Union[str, Callable[[], object]]]]


class Seen(str):
    """An answer that is no secret."""


def dialogue(command: list[str], env: dict[str, str], answers: Answers) -> tuple[int, str]:
    """Exit status and output of a command that is typed to: each (text in the last line of the screen, answer) in turn.

    An answer is a secret, typed once the echo is off, or Seen, or CTRL_C, or something else that is done then.
    """
    end = time.monotonic() + PATIENCE
    ours, theirs = _opened(SIZE)
    command = ["setsid", "--ctty", *command]  # who asks at /dev/tty finds this terminal there
    with subprocess.Popen(command, env={**env, **KIND}, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        try:
            seen = _converse(ours, answers, end)
            with contextlib.suppress(subprocess.TimeoutExpired):  # its status then tells that it was killed
                process.wait(max(end - time.monotonic(), 1))
        finally:
            process.kill()
            process.wait()
            os.close(ours)
    return process.returncode, seen.replace("\r\n", "\n")


def _opened(size: tuple[int, int]) -> tuple[int, int]:
    """The two ends of a new terminal."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
    return ours, theirs


def ctrl_c(command: list[str], env: dict[str, str], when: Callable[[], object]) -> tuple[int, str]:
    """Exit status and output of a command that somebody ends with Ctrl-C as soon as they have seen enough."""
    end = time.monotonic() + PATIENCE
    ours, theirs = _opened(SIZE)
    command = ["setsid", "--ctty", *command]
    with subprocess.Popen(command, env={**env, **KIND}, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        try:
            while not when():
                assert process.poll() is None and time.monotonic() < end
                time.sleep(0.01)
            os.write(ours, CTRL_C.encode())
            seen = ""
            while data := _read(ours, end):
                seen += data.decode()
            process.wait(max(end - time.monotonic(), 1))
        finally:
            process.kill()
            os.close(ours)
    return process.returncode, seen.replace("\r\n", "\n")


def _converse(terminal: int, answers: Answers, end: float) -> str:
    """Answer each prompt of (prompt, answer) in turn; all that was to see."""
    seen, begin = "", 0
    waiting = list(answers)
    while data := _read(terminal, end):
        seen += data.decode()
        if waiting and waiting[0][0] in last_states(seen[begin:]).rpartition("\n")[2]:
            answer = waiting.pop(0)[1]
            if callable(answer):
                answer()
            elif answer == CTRL_C:
                os.write(terminal, CTRL_C.encode())
            elif isinstance(answer, Seen):
                os.write(terminal, f"{answer}\n".encode())
            else:
                _wait_without_echo(terminal)
                os.write(terminal, f"{answer}\n".encode())
            begin = len(seen)
    return seen


def _read(terminal: int, end: float) -> bytes:
    """What comes next; nothing when the other end is closed or the time is over."""
    try:
        return os.read(terminal, 65536) if is_readable(terminal, end - time.monotonic()) else b""
    except OSError:
        return b""


def _wait_without_echo(terminal: int) -> None:
    for _ in range(200):
        if not termios.tcgetattr(terminal)[3] & termios.ECHO:
            return
        time.sleep(0.01)
    raise AssertionError("a secret was asked for with the echo on")


def last_states(text: str) -> str:
    """The text as it stands on the screen in the end, for what moves the cursor as progress lines do."""
    lines, row, column = [""], 0, 0
    for part in re.split("(\n|\r|\x1b\\[\\??\\d*[AJKhl])", text):
        if part == "\n":
            row, column = row + 1, 0
            lines += [""] * (row == len(lines))
        elif part == "\r":
            column = 0
        elif part == "\x1b[A":
            row = max(row - 1, 0)
        elif part in ("\x1b[J", "\x1b[K"):
            lines[row] = lines[row][:column]
            if part == "\x1b[J":
                del lines[row + 1 :]
        elif part.startswith("\x1b[?7"):
            pass  # from here on lines are wrapped, or not
        elif part:
            lines[row] = lines[row][:column].ljust(column) + part + lines[row][column + len(part) :]
            column += len(part)
    # Trailing blanks are those of a prompt, or what a shorter line has wiped of a longer one.
    return "\n".join(line if line.endswith((": ", ":")) else line.rstrip() for line in lines)
