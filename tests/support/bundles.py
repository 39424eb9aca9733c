"""A deposit whose zip is built, read back and interrupted."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

from gridsync_parts.bundle import Room, bundle, clear
from gridsync_parts.disk import MARK
from gridsync_parts.outbox import Local, Outbox
from gridsync_parts.pool import Stop
from gridsync_parts.values import Scope
from tests.support import TOP

BUILDER = """
import sys
from gridsync_parts.bundle import Room, bundle
from gridsync_parts.outbox import Outbox
from gridsync_parts.pool import Stop
from gridsync_parts.values import Scope
outbox = Outbox(sys.argv[1], Scope("", "", (), ()))
outbox.collect()
files = [local for some in outbox.folders.values() for local in some]
print("begun", flush=True)
print(bundle("5500", sys.argv[1], files, Room(), Stop(), lambda here, came: None).checksum, flush=True)
"""
OLD = 1_600_000_000  # seconds: long before any zip was built
ALL = Scope("", "", (), ())
CONTENTS = {"a": b"one", "in/b": b"", "in/deep/é": b"x" * 3_000_001, "B": b"another"}


class Deposit:
    """A folder, and the zip of it."""

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.file = folder.with_name("5500_bundle.zip")
        self.part = Path(f"{self.file}{MARK}")
        self.room = Room()
        self.stop = Stop()
        for name, data in {**CONTENTS, "record.json": b"{}"}.items():
            self.add(name, data)

    def add(self, name: str, data: bytes, mtime: int = OLD) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, (mtime, mtime))
        return path

    def files(self) -> list[Local]:
        outbox = Outbox(str(self.folder), ALL)
        outbox.collect()
        return [local for some in outbox.folders.values() for local in some]

    def make(self, seen: Callable[[int, int], None] = lambda here, came: None) -> Local:
        return bundle("5500", str(self.folder), self.files(), self.room, self.stop, seen)

    def again(self) -> Local:
        """What a further run has."""
        self.room.free(str(self.file))
        self.room = Room()
        return self.make()

    def members(self) -> dict[str, bytes]:
        with zipfile.ZipFile(self.file) as archive:
            assert archive.testzip() is None
            return {name: archive.read(name) for name in archive.namelist()}

    def beside(self) -> list[str]:
        return sorted(path.name for path in self.folder.parent.iterdir())

    def inode(self) -> int:
        return self.file.stat().st_ino


def kill_builders(deposit: Deposit, rounds: int) -> None:
    """Kill some who build its zip: it is finished, or gone in the next run."""
    for number in range(40):
        deposit.add(f"many/{number}", os.urandom(400_000))
    before = {local: Path(local.file).read_bytes() for local in deposit.files()}
    began = time.monotonic()
    wanted = deposit.make().checksum
    taken = time.monotonic() - began
    clear(str(deposit.file), deposit.room)
    found: set[tuple[str, ...]] = set()
    for number in range(rounds):
        line = [sys.executable, "-c", BUILDER, str(deposit.folder)]
        with subprocess.Popen(line, cwd=TOP, stdout=subprocess.PIPE, text=True) as builder:
            assert builder.stdout
            assert builder.stdout.readline() == "begun\n"
            time.sleep(2 * taken * number / rounds)
            builder.kill()
        found.add(tuple(deposit.beside()[1:]))
        if deposit.file.exists():
            assert f"md5:{hashlib.md5(deposit.file.read_bytes()).hexdigest()}" == wanted
        if number % 4 == 3:  # now and then a run comes to its end
            assert deposit.make().checksum == wanted and deposit.beside() == ["5500", "5500_bundle.zip"]
            clear(str(deposit.file), deposit.room)
    assert (deposit.part.name,) in found  # it was killed at work
    assert deposit.make().checksum == wanted and deposit.beside() == ["5500", "5500_bundle.zip"]
    assert {local: Path(local.file).read_bytes() for local in deposit.files()} == before
