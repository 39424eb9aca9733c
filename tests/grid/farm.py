"""Dask's own scheduler and workers, as users start them on their machines."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from gridsync_parts.farm.tls import make_keys
from tests.grid.daemon import Daemon
from tests.support import TOP


class Farm:
    """A scheduler, and workers as they are hired, over TLS unless told otherwise. They end with who made it.

    with Farm(tmp_path) as farm: farm.hire(); User(...)(f"--workers={farm.address} ...", env=farm.environment)
    """

    def __init__(self, folder: Path, tls: bool = True, host: str = "127.0.0.1", python: str = sys.executable):
        self.folder = folder
        self.host = host
        self.python = python
        self.tls = tls
        self.keys = make_keys(str(folder)) if tls else None
        self.workers: list[Daemon] = []
        self.address = ""

    @property
    def _tls_words(self) -> list[str]:
        if not self.keys:
            return []
        return ["--tls-ca-file", self.keys.certificate, "--tls-cert", self.keys.certificate, "--tls-key", self.keys.key]

    @property
    def environment(self) -> dict[str, str]:
        """Dask's configuration for who wants to speak to the scheduler, as variables."""
        if not self.keys:
            return {}
        begin = "DASK_DISTRIBUTED__COMM__TLS__"
        return {
            f"{begin}CA_FILE": self.keys.certificate,
            f"{begin}CLIENT__CERT": self.keys.certificate,
            f"{begin}CLIENT__KEY": self.keys.key,
        }

    def _daemon(
        self, name: str, words: Sequence[str], up: str, prefix: Sequence[str] = (), **env: str
    ) -> Daemon:
        folder = self.folder / name
        folder.mkdir()
        around = {**os.environ, "PYTHONPATH": str(TOP), "HOME": str(folder), **env}
        page = ["--no-dashboard", "--dashboard-address", "127.0.0.1:0"]
        daemon = Daemon(folder, [*prefix, self.python, "-m", *words, *page, *self._tls_words], around, up, "root")
        daemon.start()
        assert any(daemon.is_up() for _ in range(4) if daemon.is_running()), daemon.log.read_text()
        return daemon

    def start(self) -> Farm:
        up = r"Scheduler at: +(\S+)"
        words = ["distributed.cli.dask_scheduler", "--host", self.host, "--port", "0"]
        self.scheduler = self._daemon("scheduler", [*words, "--protocol", "tls" if self.tls else "tcp"], up)
        self.address = re.search(up, self.scheduler.log.read_text())[1]
        return self

    def hire(
        self, threads: int = 2, nanny: bool = False, prefix: Sequence[str] = (),
        more: Sequence[str] = ("--host", "127.0.0.1"), **env: str,
    ) -> Daemon:  # fmt: skip
        """A worker, once it has come; prefix may put it into another network, say."""
        name = f"worker{len(self.workers)}"
        words = ["distributed.cli.dask_worker", self.address, "--nthreads", str(threads), "--memory-limit", "0"]
        words += ["--nanny" if nanny else "--no-nanny", "--death-timeout", "60", *more]
        words += ["--local-directory", str(self.folder / name)]
        worker = self._daemon(name, words, "Registered to", prefix, **env)
        self.workers.append(worker)
        return worker

    def stop(self) -> None:
        for daemon in [*self.workers, self.scheduler]:
            daemon.stop()

    def __enter__(self) -> Farm:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
