"""What is copied from: files on disk behind a real XRootD that asks for proxies, and what each tool needs to get in."""

from __future__ import annotations

import copy
import filecmp
import os
import random
import shutil
import subprocess
import tempfile
import zlib
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

from bench.measure import PYTHON, Refused, cpu_of
from tests.grid.machines import GATES
from tests.grid.pki import Pki
from tests.grid.xrootd import XRootD, keep_checksum

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
FIRST = "ca1f6ec"  # gridsync 0.1.0 when its bench was whole for the first time, before files were made durable


def install(top: Path, folder: Path) -> Path:
    """Put gridsync into a folder as README.md does from a copy of the repository; long ago it was the script alone."""
    folder.mkdir(parents=True)
    path = folder / "gridsync.py"
    if (top / "tools" / "one_file.py").exists():
        subprocess.run([PYTHON, top / "tools" / "one_file.py", path], check=True)
    else:
        shutil.copy(top / "gridsync.py", path)
    return path


def disk() -> str:
    """The block device of the temporary folder, and its file system; memory would make copies durable by itself."""
    line = ["df", "--output=source,fstype", tempfile.gettempdir()]
    device, kind = subprocess.run(line, capture_output=True, text=True, check=True).stdout.split()[-2:]
    if not device.startswith("/dev/"):
        raise SystemExit(f"{tempfile.gettempdir()} is on {device} ({kind}), no block device; set TMPDIR to one")
    return f"{device}, {kind}"


class Site:
    """A CA, a proxy of Alice's, an XRootD with the folders that were asked for, and gridsync, installed."""

    def __init__(self, sets: set[str]) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="gridsync-bench-"))
        self.pki = Pki(self.folder / "pki", *GATES)
        self.xrootd = XRootD(self.folder / "xrootd", self.pki)
        self.sets = sets
        self.checksums: dict[Path, str] = {}

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

    def at(self, rev: str) -> Site:
        """The same with gridsync as it was."""
        source = self.folder / rev / "source"
        source.mkdir(parents=True)
        with subprocess.Popen(["git", "-C", TOP, "archive", rev], stdout=subprocess.PIPE) as archive:
            subprocess.run(["tar", "-x", "-C", source], stdin=archive.stdout, check=True)
        earlier = copy.copy(self)
        earlier.gridsync = install(source, self.folder / "before")
        return earlier

    @cached_property
    def first(self) -> Site:
        """The same with the first gridsync."""
        return self.at(FIRST)

    def shown(self, certificate: str, key: str, ca: str) -> str:
        """Proxy and CA, by a tool's names for these options."""
        return f"{certificate} {self.proxy} {key} {self.proxy} {ca} {self.ca}"

    def line(self, work: Path, words: str) -> str:
        """A line for sh that calls gridsync."""
        return f"{PYTHON} {self.gridsync} --workdir {work} {words}"

    def source(self, name: str) -> Path:
        """Where the files of a set are on the server's disk."""
        return self.folder / "xrootd" / "data" / "agata" / name

    def paths(self, name: str, part: int = 1) -> list[str]:
        """The files of a set, or of a part of it, below its folder."""
        each = EACH.get(name, 200)
        return [f"{number // each:02d}/{number:05d}.cdat" for number in range(0, len(SETS[name]), part)]

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
        for below, size in zip(self.paths(name), SETS[name]):
            path = self.source(name) / below
            path.parent.mkdir(parents=True, exist_ok=True)
            start, checksum = dice.randrange(MB), 1
            with open(path, "wb") as file:
                for at in range(0, size, MB):
                    piece = block[start : start + MB] if at % (16 * MB) or size < MB else dice.randbytes(MB)
                    piece = piece[: min(MB, size - at)]
                    checksum = zlib.adler32(piece, checksum)
                    file.write(piece)
            self.checksums[path] = f"{checksum:08x}"
            keep_checksum(path, checksum)


def refuse_unless_same(tool: str, wanted: Iterable[Path], there: Path) -> None:
    """A tool whose files are not those of the source has no time; their names say which they are."""
    found = {path.name: path for path in there.rglob("*.cdat")}
    source = {path.name: path for path in wanted}
    wrong = sorted(found.keys() ^ source.keys()) + sorted(
        name for name in found.keys() & source.keys() if not filecmp.cmp(found[name], source[name], shallow=False)
    )
    if wrong:
        raise Refused(f"{tool}: {len(wrong)} of {len(source)} files are not those of the source, as {wrong[0]}")
