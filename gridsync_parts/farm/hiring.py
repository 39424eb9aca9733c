"""Workers: those of this machine, of a batch system, or of a scheduler that is there."""

from __future__ import annotations

import ipaddress
import re
import time
from typing import NamedTuple, Protocol

from gridsync_parts.errors import CrewError, UsageError
from gridsync_parts.farm.batch import CLUSTERS, Batch
from gridsync_parts.farm.beside import NO_PAGE, STARTING, Child, Scheduler, end_all, need, tls_words
from gridsync_parts.farm.tls import Keys, make_keys

FORMS = "local:N, slurm:N, htcondor:N, or a scheduler's address such as tls://HOST:8786"
ADDRESS = re.compile(r"(?P<scheme>tls|tcp)://(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+):(?P<port>\d{1,5})", re.ASCII)
COUNTED = re.compile(r"(?P<kind>local|slurm|htcondor):(?P<number>[1-9]\d{0,2})", re.ASCII)
MOST = 64  # workers of this machine: no more loads than that are under way at once
RESTARTS = 5  # of a worker that never worked; one that did is started again without an end
SETTLED = 20.0  # seconds after which one has worked


class Where(NamedTuple):
    """What --workers says."""

    kind: str  # local, slurm, htcondor; tls, tcp
    address: str  # of a scheduler that is there
    number: int


def is_loopback(host: str) -> bool:
    """Whether what is said there stays on this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def read_where(text: str) -> Where:
    """What --workers says; UsageError if that makes no sense, or others could listen."""
    if found := COUNTED.fullmatch(text):
        if found["kind"] == "local" and int(found["number"]) > MOST:
            raise UsageError(f"--workers={text} are too many; give at most local:{MOST}")
        return Where(found["kind"], "", int(found["number"]))
    found = ADDRESS.fullmatch(text)
    if not found or not 0 < int(found["port"]) < 65536:
        raise UsageError(f"--workers={text} names no workers; give {FORMS}")
    if found["scheme"] == "tcp" and not is_loopback(found["host"]):
        raise UsageError(
            f"{text} has no TLS: whoever hears or reaches it could have your workers do anything; "
            "start Dask's scheduler and workers with --tls-ca-file, --tls-cert and --tls-key, and give tls://"
        )
    return Where(found["scheme"], text, 0)


def check_keys(where: Where) -> None:
    """UsageError if Dask's configuration names no keys for a scheduler with TLS."""
    import dask.config

    names = ("distributed.comm.tls.client.cert", "distributed.client.security-loader")
    if where.kind == "tls" and not any(dask.config.get(name, None) for name in names):
        raise UsageError(
            f"Dask's configuration names no keys for {where.address}; write those of its scheduler into "
            "~/.config/dask/gridsync.yaml, as distributed.comm.tls"
        )


def check_where(text: str) -> None:
    """UsageError if --workers makes no sense, or something that it needs is not installed."""
    where = read_where(text)
    need("distributed")
    check_keys(where)
    if where.kind in CLUSTERS:
        need("dask_jobqueue")


def caution(where: Where) -> str:
    """What the user should know of it, if anything."""
    if where.kind != "tcp":
        return ""
    return (
        f"{where.address} has no TLS: every user of this machine could have its workers, and this run, do anything "
        "as you"
    )


class Hired(Protocol):
    """Workers, as far as they can be known before they come."""

    @property
    def address(self) -> str:
        """That of their scheduler."""

    @property
    def keys(self) -> Keys | None:
        """Those of the run; None where Dask's configuration names them."""

    @property
    def patience(self) -> float:
        """Seconds in which one of them must come, and again when all are gone; 0 without an end."""

    @property
    def remedy(self) -> str:
        """What to do if none has come."""

    def look(self) -> None:
        """Start again whoever has ended, each second or so; CrewError if that does not help."""

    def end(self, pid: int) -> None:
        """End a worker that hangs, if it is the run's; another one comes."""

    def close(self) -> bool:
        """End what was started for the run; whether no worker of it is left then, as surely as can be."""


class Local:
    """Processes of this machine."""

    patience = 120.0
    remedy = "see whether this machine has too much to do, and try again"

    def __init__(self, count: int, threads: int):
        self.keys = make_keys()
        self.workers: list[Child] = []
        self.futile = 0  # starts of workers that ended at once
        self.threads = -(-threads // count)  # of each
        try:
            self.scheduler = Scheduler(self.keys, ["--host", "127.0.0.1"])
            self.address = self.scheduler.address
            self.workers = [self.start(number) for number in range(count)]
        except BaseException:
            self.close()
            raise

    def start(self, number: int) -> Child:
        """A worker; it needs no nanny, as this process starts it again."""
        words = [
            self.address, "--host", "127.0.0.1", "--no-nanny", "--nthreads", str(self.threads), "--memory-limit", "0",
            "--death-timeout", str(STARTING), "--local-directory", self.keys.folder, *NO_PAGE, *tls_words(self.keys),
        ]  # fmt: skip
        return Child("worker", words, self.keys.folder, f"worker{number}")

    def look(self) -> None:
        """Start again whoever has ended."""
        self.scheduler.look()
        for number, worker in enumerate(self.workers):
            if worker.has_ended():
                # One that is killed may have worked; if all are, each time, nobody comes, which is noticed elsewhere.
                has_failed = worker.process.returncode > 0 and time.monotonic() - worker.began < SETTLED
                self.futile = self.futile + 1 if has_failed else 0
                if self.futile > RESTARTS * len(self.workers):
                    said = worker.last_words()
                    raise CrewError(f"Dask's workers end as soon as they start ({said}); install distributed anew")
                worker.let_go()
                self.workers[number] = self.start(number)

    def end(self, pid: int) -> None:
        """End a worker that hangs."""
        for worker in self.workers:
            if worker.process.pid == pid:
                worker.process.kill()

    def close(self) -> bool:
        """End them all."""
        scheduler = [self.scheduler.child] if hasattr(self, "scheduler") else []
        end_all([*self.workers, *scheduler])
        self.keys.remove()
        return True


class Known:
    """Those of a scheduler that is there."""

    keys = None
    patience = 60.0
    remedy = "start some"

    def __init__(self, address: str):
        self.address = address

    def look(self) -> None:
        """They are the user's."""

    def end(self, pid: int) -> None:
        """They are the user's."""

    def close(self) -> bool:
        """They are the user's."""
        return False


def hire(where: Where, threads: int, home: str) -> Hired:
    """Workers; UsageError or CrewError if there can be none. Keys for other machines are put below home."""
    need("distributed")
    if where.kind == "local":
        return Local(where.number, threads)
    if where.kind in CLUSTERS:
        return Batch(where.kind, where.number, threads, home)
    return Known(where.address)
