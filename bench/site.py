"""What is copied from: files on disk behind a real XRootD that asks for proxies, and what each tool needs to get in."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.grid.pki import Pki
from tests.grid.xrootd import XRootD

MB = 1 << 20
SETS: dict[str, list[int]] = {  # sizes of the files of each folder
    "small": [20_000] * 2000,
    "large": [2048 * MB],
    "far": [1024 * MB],
    "mixed": [80_000] * 200 + [60 * MB] * 20 + [500 * MB] * 2,
}
EACH = 200  # files of a folder at the most


class Site:
    """A CA, a proxy of Alice's, and an XRootD with the folders that were asked for."""

    def __init__(self, sets: set[str]) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="gridsync-bench-"))
        self.pki = Pki(self.folder / "pki")
        self.xrootd = XRootD(self.folder / "xrootd", self.pki)
        self.sets = sets

    def __enter__(self) -> Site:
        mask = os.umask(0o022)
        self.folder.chmod(0o755)
        self.pki.create()
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
            "GFAL_PYTHONBIN": "/usr/bin/python3",
            "NO_COLOR": "1",
        }
        self.xrootd.ready()
        self._make_checksums()
        return self

    def __exit__(self, *_: object) -> None:
        self.xrootd.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def source(self, name: str) -> Path:
        """Where the files of a set are on the server's disk."""
        return self.folder / "xrootd" / "data" / "agata" / name

    def paths(self, name: str) -> list[str]:
        """The files of a set, below it."""
        source = self.source(name)
        return sorted(str(path.relative_to(source)) for path in source.rglob("*") if path.is_file())

    def _plant(self, name: str) -> None:
        dice = random.Random(name)
        block = dice.randbytes(MB)
        for number, size in enumerate(SETS[name]):
            path = self.source(name) / f"{number // EACH:02d}" / f"{number:05d}.cdat"
            path.parent.mkdir(parents=True, exist_ok=True)
            start = dice.randrange(MB)
            with open(path, "wb") as file:
                for at in range(0, size, MB):
                    piece = block[start:] + block[:start] if at % (16 * MB) else dice.randbytes(MB)
                    file.write(piece[: min(MB, size - at)])

    def _make_checksums(self) -> None:
        """XRootD makes them when first asked, and then forgets to answer now and then: not while the clock runs."""
        for name in self.sets:
            lines = [f"url = {self.xrootd.url}/agata/{name}/{path}\noutput = /dev/null" for path in self.paths(name)]
            (self.folder / "heads").write_text("\n".join(lines))
            command = ["curl", "-sf", "-I", "-Z", "--parallel-max", "4", "-H", "Want-Digest: adler32"]
            command += ["--max-time", "20", "--retry", "5", "--retry-all-errors"]
            command += ["--cert", self.proxy, "--key", self.proxy, "--cacert", self.ca]
            command += ["-K", str(self.folder / "heads")]
            subprocess.run(command, env=self.env, check=True, capture_output=True)
