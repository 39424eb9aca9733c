"""How fast files go from site to site through this machine, beside each of the two directions alone, in turns.

    /usr/bin/python3 -m bench.through [--files 4] [--mb 256] [--rounds 5] [--rate 50] [--up 50] [--delay 0.03]

Two real XRootD are the sites; they keep their files in memory. With --rate and --up (MB a second that a connection to a
site brings and takes) or --delay (seconds of a round trip) a relay stands before each of them.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from statistics import median

from bench.measure import cpu_of
from bench.relay import Relay
from gridsync_parts.checksums import Checksum
from gridsync_parts.doors import At, Place
from gridsync_parts.doors.webdav import open_place
from gridsync_parts.kinds import KINDS
from gridsync_parts.pool import Stop
from gridsync_parts.pull import Carrier
from gridsync_parts.put import Deliverer, Put
from gridsync_parts.table import Site
from gridsync_parts.through import Stream
from gridsync_parts.values import Locality, Row
from tests.grid.pki import Pki
from tests.grid.xrootd import SCRATCH, XRootD

MB = 1 << 20


class Sites:
    """Two XRootD, and the files of one of them."""

    def __init__(self, folder: Path, options: argparse.Namespace):
        self.folder = folder
        self.pki = Pki(folder / "pki")
        self.pki.create()
        self.servers = [XRootD(folder / name, self.pki, "copier") for name in ("source", "target")]
        self.options = options
        self.runs = 0

    def start(self, stack: contextlib.ExitStack) -> None:
        """Have both serve, and files at the first."""
        places = []
        for server in self.servers:
            server.start()
            stack.callback(server.stop)
            server.ready()
            port = server.ports[0]
            if self.options.rate or self.options.up or self.options.delay:
                relay = Relay(port, self.options.delay, self.options.rate * MB, self.options.up * MB)
                port = stack.enter_context(relay).port
            places.append(self.place(port))
        self.source, self.target = places
        block = random.Random(1).randbytes(MB)
        for number in range(self.options.files):
            with (self.servers[0].folder / "data" / SCRATCH / f"{number}").open("wb") as file:
                for at in range(self.options.mb):
                    file.write(block[at:] + block[:at])
        self.rows = [self.row(f"{number}") for number in range(self.options.files)]

    def place(self, port: int) -> Place:
        """One of them, opened."""
        site = Site("SITE", f"https://localhost:{port}", SCRATCH, "http", tape_api="none")
        site = site._replace(first_byte=60, silence=60)
        os.environ.update(self.pki.environment())
        ca = self.pki.environment()["X509_CERT_DIR"]
        return open_place(site, KINDS[0].can, str(self.pki.proxy("good")), None, ca)

    def row(self, name: str) -> Row:
        """A file as a catalog has it."""
        size = self.options.mb * MB
        row = Row(name, size, 1000, "", Locality.ONLINE, False, "", "", "SITE", "")
        for _ in range(3):  # XRootD may lose its first answer
            with contextlib.suppress(Exception):
                return row._replace(checksum=self.source.reader.checksum(At(name, size)))
        raise SystemExit("the source makes no checksum")

    # What is compared.

    def read(self, row: Row) -> None:
        """A file comes, and its checksum is made."""
        running = Checksum("adler32")
        for piece in Stream(self.source.reader, row.path, row.size).pieces():
            running.update(piece)
        assert running.text() == row.checksum

    def send(self, row: Row) -> None:
        """A local file goes."""
        local = str(self.servers[0].folder / "data" / SCRATCH / row.path)
        assert self.target.writer
        self.deliver(Deliverer(self.target.writer, True, Stop()), row, local)

    def through(self, row: Row) -> None:
        """A file goes from one to the other."""
        assert self.target.writer
        carrier = Carrier(self.source, self.target, self.target.writer, Stop())
        self.deliver(carrier, row, "")

    def deliver(self, deliverer: Deliverer, row: Row, source: str) -> None:
        """Bring it under a name of this run."""
        name = f"{self.runs}-{row.path}"
        if source:
            job = Put(row._replace(path=name), source, f"{name}.gridsync-part")
            deliverer.deliver(job, lambda here, came: None)
        else:
            job = Put(row, "", f"{name}.gridsync-part")
            new, _ = deliverer.deliver(job, lambda here, came: None)
            assert new.verified == "adler32"

    def clear(self) -> None:
        """Have nothing at the target."""
        self.runs += 1
        there = self.servers[1].folder / "data" / SCRATCH
        for path in there.iterdir():
            path.unlink()
        assert self.target.writer
        self.target.writer.names.ends.clear()  # type: ignore[attr-defined]

    def timed(self, what: Callable[[Row], None]) -> tuple[float, ...]:
        """MB a second of all files at once; seconds of processor of this process, and of both servers."""
        self.clear()
        servers = [cpu_of(server.pid) for server in self.servers]
        began, cpu = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
        with futures.ThreadPoolExecutor(len(self.rows)) as threads:
            list(threads.map(what, self.rows))
        seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
        used = after.ru_utime + after.ru_stime - cpu.ru_utime - cpu.ru_stime
        return self.options.mb * self.options.files / seconds, used, *(
            cpu_of(server.pid) - had for server, had in zip(self.servers, servers)
        )


@contextlib.contextmanager
def opened(options: argparse.Namespace) -> Iterator[Sites]:
    """The sites, until the end."""
    folder = Path(tempfile.mkdtemp(prefix="through-", dir="/dev/shm"))
    folder.chmod(0o755)
    os.umask(0o022)
    try:
        with contextlib.ExitStack() as stack:
            sites = Sites(folder, options)
            sites.start(stack)
            yield sites
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Measure in turns, and say how they compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("files", 1), ("mb", 512), ("rounds", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    for name in ("rate", "up", "delay"):
        parser.add_argument(f"--{name}", type=float, default=0.0)
    options = parser.parse_args()
    with opened(options) as sites:
        found: dict[str, list[tuple[float, ...]]] = {"read": [], "send": [], "through": []}
        for _ in range(options.rounds + 1):
            for name, results in found.items():
                results.append(sites.timed(getattr(sites, name)))
        ratios = []
        for read, send, through in zip(*(results[1:] for results in found.values())):
            ratios.append(through[0] / min(read[0], send[0]))
        for name, results in found.items():
            speed, *cpu = (median(result[which] for result in results[1:]) for which in range(4))
            print(f"{name:8} {speed:8.1f} MB/s, seconds of processor: {', '.join(f'{one:.2f}' for one in cpu)}")
        print(f"through / the slower alone: {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
