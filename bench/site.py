"""What is copied from: files on disk behind a real XRootD that asks for proxies, and what each tool needs to get in."""

from __future__ import annotations

import os
import random
import shutil
import struct
import subprocess
import tempfile
import zlib
from pathlib import Path

from bench.measure import PYTHON, cpu_of
from tests.grid.machines import GATES
from tests.grid.pki import Pki
from tests.grid.xrootd import XRootD

TOP = Path(__file__).resolve().parents[1]
MB = 1 << 20
SETS: dict[str, list[int]] = {  # sizes of the files of each folder
    "small": [20_000] * 2000,
    "sent": [20_000] * 10_000,
    "large": [2048 * MB],
    "far": [1024 * MB],
    "crossed": [512 * MB] * 4,
    "mixed": [80_000] * 200 + [60 * MB] * 20 + [500 * MB] * 2,
    "many": [1000] * 100_000,
    "shared": [2_000_000] * 256,
}
EACH = {"many": 50}  # files of a folder, if not 200


def install(top: Path, folder: Path) -> Path:
    """Put gridsync into a folder as README.md does from a copy of the repository; long ago it was the script alone."""
    folder.mkdir(parents=True)
    path = folder / "gridsync.py"
    if (top / "tools" / "one_file.py").exists():
        subprocess.run([PYTHON, top / "tools" / "one_file.py", path], check=True)
    else:
        shutil.copy(top / "gridsync.py", path)
    return path


class Site:
    """A CA, a proxy of Alice's, an XRootD with the folders that were asked for, and gridsync, installed."""

    def __init__(self, sets: set[str]) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="gridsync-bench-"))
        self.pki = Pki(self.folder / "pki", *GATES)
        self.xrootd = XRootD(self.folder / "xrootd", self.pki)
        self.sets = sets

    def __enter__(self) -> Site:
        mask = os.umask(0o022)
        self.folder.chmod(0o755)
        self.pki.create()
        self.source("").mkdir(parents=True)
        for name in self.sets:
            self._plant(name)
        self.xrootd.start()
        os.umask(mask)
        self.proxy = str(self.pki.proxy("good"))
        self.ca = str(self.pki.folder / "ca.pem")
        self.env = {
            **self.pki.environment(),
            "X509_USER_PROXY": self.proxy,
            "SSL_CERT_FILE": self.ca,  # else gfal2 reads all CAs of the system for each request
            "GFAL_PYTHONBIN": PYTHON,
            "NO_COLOR": "1",
        }
        self.xrootd.ready()
        self.gridsync = install(TOP, self.folder / "now")
        return self

    def __exit__(self, *_: object) -> None:
        self.xrootd.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def line(self, work: Path, words: str) -> str:
        """A line for sh that calls gridsync."""
        return f"{PYTHON} {self.gridsync} --workdir {work} {words}"

    def source(self, name: str) -> Path:
        """Where the files of a set are on the server's disk."""
        return self.folder / "xrootd" / "data" / "agata" / name

    def paths(self, name: str) -> list[str]:
        """The files of a set, below it."""
        each = EACH.get(name, 200)
        return [f"{number // each:02d}/{number:05d}.cdat" for number in range(len(SETS[name]))]

    def cpu(self) -> float:
        """CPU seconds that the server has taken."""
        return cpu_of(self.xrootd.pid)

    def restart(self) -> None:
        """A server that hangs is replaced, on another port."""
        self.xrootd.stop()
        self.xrootd.ready()

    def _plant(self, name: str) -> None:
        dice = random.Random(name)
        block = memoryview(dice.randbytes(MB) * 2)
        each = EACH.get(name, 200)
        for number, size in enumerate(SETS[name]):
            path = self.source(name) / f"{number // each:02d}" / f"{number:05d}.cdat"
            path.parent.mkdir(parents=True, exist_ok=True)
            start, checksum = dice.randrange(MB), 1
            with open(path, "wb") as file:
                for at in range(0, size, MB):
                    piece = block[start : start + MB] if at % (16 * MB) or size < MB else dice.randbytes(MB)
                    piece = piece[: min(MB, size - at)]
                    checksum = zlib.adler32(piece, checksum)
                    file.write(piece)
            keep_checksum(path, checksum)


def keep_checksum(path: Path, checksum: int) -> None:
    """Write it where XRootD keeps it, in its XrdCksData; asked to make many, XRootD forgets answers now and then."""
    made = struct.pack(">16sqihbB64s", b"adler32", int(path.stat().st_mtime), 1, 0, 0, 4, struct.pack(">I", checksum))
    os.setxattr(path, "user.XrdCks.adler32", made)
