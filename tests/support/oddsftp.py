"""An SFTP server that does what a test wants it to, behind a program that is called as ssh is."""

from __future__ import annotations

import os
import struct
import sys
import time
from pathlib import Path

VERSION, OPEN, READ, LSTAT, FSTAT, OPENDIR, READDIR, REMOVE, STAT = 2, 3, 5, 7, 8, 11, 12, 13, 17
STATUS, HANDLE, DATA, NAME, ATTRS = 101, 102, 103, 104, 105
DONE, END, FAILED = 0, 1, 4
BYTES = bytes(range(256)) * 400  # of its one file
MTIME = 1_434_000_000

SSH = """#!/bin/sh
case " $* " in *" -G "*) exit 0;; esac
exec {python} {script} {what}
"""


def text(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def attributes(mode: int, size: int) -> bytes:
    return struct.pack(">IQIII", 1 | 4 | 8, size, mode, MTIME, MTIME)


def status(code: int, said: str = "") -> tuple[int, bytes]:
    return STATUS, struct.pack(">I", code) + text(said.encode()) + text(b"")


def names(*given: bytes) -> tuple[int, bytes]:
    entries = (text(name) + text(name) + attributes(0o100644, len(BYTES)) for name in given)
    return NAME, struct.pack(">I", len(given)) + b"".join(entries)


class Odd:
    """One that is well, but for what it is told."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.count = 0  # of names

    def reply(self, kind: int, about: bytes) -> tuple[int, bytes]:
        if kind in (OPEN, OPENDIR):
            return HANDLE, text(b"h")
        if kind in (STAT, LSTAT, FSTAT):
            return ATTRS, attributes(0o100644, len(BYTES))
        if kind == READDIR:
            return self.listed()
        if kind == READ:
            start, count = struct.unpack_from(">QI", about, 5)
            count += 1000 * (self.what == "more")
            data = BYTES[start : start + count]
            return (DATA, text(data)) if data else status(END)
        if kind == REMOVE and self.what == "words":
            return status(FAILED, "no\n" * 60_000)
        return status(DONE)

    def listed(self) -> tuple[int, bytes]:
        self.count += 1
        if self.what == "endless":
            return names(*(b"%d" % (self.count * 1000 + number) for number in range(1000)))
        if self.what == "same":
            return names(b"again")
        if self.what == "nothing":
            return names()
        return names(b"a") if self.count == 1 else status(END)

    def run(self) -> None:
        if self.what == "hang":
            time.sleep(600)
        while head := sys.stdin.buffer.read(5):
            length, kind = struct.unpack(">IB", head)
            body = sys.stdin.buffer.read(length - 1)
            if kind == 1:
                self.send(VERSION, struct.pack(">I", 3))
            else:
                answer, about = self.reply(kind, body[4:])
                self.send(answer, body[:4] + about)

    def send(self, kind: int, about: bytes) -> None:
        sys.stdout.buffer.write(struct.pack(">IB", len(about) + 1, kind) + about)
        sys.stdout.buffer.flush()


def lay_ssh(folder: Path, what: str) -> None:
    """Have such a program in a folder."""
    program = folder / "ssh"
    program.write_text(SSH.format(python=sys.executable, script=os.path.abspath(__file__), what=what))
    program.chmod(0o755)


if __name__ == "__main__":
    Odd(sys.argv[1]).run()
