"""A real WsgiDAV over https, for everybody: plain WebDAV, which knows no checksums and no tape."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import time
from pathlib import Path

from tests.grid.daemon import PATIENCE, Daemon, free_port
from tests.grid.pki import Pki

TOP = Path(__file__).resolve().parents[2]
VENV = TOP / "build/wsgidav"
ATTEMPTS = 3  # a free port may be taken before the server binds it


class WsgiDav:
    """One server; what it has is in `data`."""

    def __init__(self, folder: Path, pki: Pki) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.pki = pki
        self.port = 0
        command = [f"{VENV}/bin/python", "-m", "wsgidav.server.server_cli", "--config", f"{folder}/wsgidav.json"]
        self._server = Daemon(folder, command, pki.environment(), "Serving on")

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    @property
    def pid(self) -> int:
        return self._server.pid

    def start(self) -> None:
        """Start it, and wait until it serves."""
        subprocess.run(["make", "-s", "build/wsgidav/done"], cwd=TOP, check=True)
        self.data.mkdir(parents=True)
        for name in ("host.pem", "host.key"):
            shutil.copy(self.pki.folder / name, self.folder)
        for _ in range(ATTEMPTS):
            self.port = free_port()
            settings = {
                "host": "127.0.0.1", "port": self.port, "server": "cheroot", "verbose": 3,
                "provider_mapping": {"/": str(self.data)}, "simple_dc": {"user_mapping": {"*": True}},
                "ssl_certificate": str(self.folder / "host.pem"), "ssl_private_key": str(self.folder / "host.key"),
            }  # fmt: skip
            (self.folder / "wsgidav.json").write_text(json.dumps(settings))
            self._server.start()
            if self._server.is_up() and self._listens():
                return
            self._server.stop()
        raise RuntimeError(f"WsgiDAV does not start:\n{self._server.log.read_text()[-3000:]}")

    def _listens(self) -> bool:
        """Wait until it does: it says that it serves a moment before. It ends if somebody else has the port."""
        ends = time.monotonic() + PATIENCE
        while self._server.is_running() and time.monotonic() < ends:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return self._server.is_running()
            time.sleep(0.01)
        return False

    def stop(self) -> None:
        self._server.stop()
