"""Small disks for tests: in memory, to be full, read-only or gone; in a file, to lose what was not made durable."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

MB = 1 << 20
ROOM = 48  # MB of the disk


class Disk:
    """A small filesystem in a namespace of its own, for programs that have the words `before` in front of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder  # as it is called there
        script = 'mount -t tmpfs -o size="$1"m tmpfs "$2" && echo ready && exec cat'
        command = ["unshare", "-rm", "sh", "-c", script, "sh", str(ROOM), str(folder)]
        self.holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.inside = Path(f"/proc/{self.holder.pid}/root{folder}")  # as it is called here
        self.before = ("nsenter", "--preserve-credentials", "-U", "-m", "-t", str(self.holder.pid))

    def expect(self) -> None:
        """Wait until it is there; where it can't be, the test has nothing to say."""
        assert self.holder.stdout
        if self.holder.stdout.readline() != "ready\n":
            pytest.skip("this system lets its users have no mounts of their own")

    def remount(self, options: str) -> None:
        """Make it larger, or read-only."""
        subprocess.run([*self.before, "mount", "-o", f"remount,{options}", str(self.folder)], check=True)

    def fill(self, leave: int = 0) -> None:
        """Somebody else's file takes all the room but so many bytes."""
        with open(self.inside / "hog", "ab", buffering=0) as hog:
            with contextlib.suppress(OSError):
                while True:
                    hog.write(bytes(MB))
            with contextlib.suppress(OSError):
                while True:
                    hog.write(bytes(4096))
            if leave:
                hog.truncate(hog.seek(0, 2) - leave)

    def make_room(self) -> None:
        (self.inside / "hog").unlink()

    def mount(self) -> None:
        """Have another one there, an empty one."""
        subprocess.run([*self.before, "mount", "-t", "tmpfs", "tmpfs", str(self.folder)], check=True)

    def pull(self) -> None:
        """Take it away, whoever uses it."""
        subprocess.run([*self.before, "umount", "--lazy", str(self.folder)], check=True)

    def close(self) -> None:
        self.holder.kill()
        self.holder.communicate()


class Image:
    """An ext4 filesystem in a file, which can be looked at as a power failure would leave it; for root alone."""

    def __init__(self, folder: Path, file: Path, size: int) -> None:
        self.folder = folder
        self.file = file
        folder.mkdir()
        with open(file, "wb") as image:
            image.truncate(size)
        for command in (["mkfs.ext4", "-q", "-F", str(file)], ["mount", "-o", "loop", str(file), str(folder)]):
            subprocess.run(command, check=True, capture_output=True)

    def written(self) -> str:
        """What was written to it so far, as the kernel counts."""
        number = self.folder.stat().st_dev
        return Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}/stat").read_text()

    def snapshot(self, file: Path) -> bool:
        """Copy what is on it, but for what is in memory alone; whether nothing came to it meanwhile."""
        before = self.written()
        shutil.copyfile(self.file, file)
        return self.written() == before

    @contextlib.contextmanager
    def found(self, file: Path) -> Iterator[Path]:
        """A snapshot, as the machine finds it when it is on again."""
        folder = file.with_name(f"{file.name}.found")
        folder.mkdir()
        subprocess.run(["mount", "-o", "loop", str(file), str(folder)], check=True)
        try:
            yield folder
        finally:
            subprocess.run(["umount", str(folder)], check=True)

    def close(self) -> None:
        subprocess.run(["umount", str(self.folder)], check=True)
