"""A real Invenio: records, drafts and files of its own libraries from PyPI, as invenio_app puts them together.

`tokens` has three: Alice's, Bob's, and `reader`, another one of Alice's that may not write. A record may have 100 files
and QUOTA bytes. What is in it stays until it ends: each test makes records of its own.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.grid.daemon import Daemon, free_port
from tests.grid.pki import Pki

TOP = Path(__file__).resolve().parents[2]
VENV = TOP / "build/invenio"
ATTEMPTS = 3  # a free port may be taken before the server binds it
PATIENCE = 6  # times that a daemon is waited for; the libraries take ten seconds to be read, on a busy machine more
QUOTA = 100_000_000
MOST_FILES = 100
USERS = {"alice": "1", "bob": "2", "reader": "1"}


class Invenio:
    """One server over https; what it has is below `data`."""

    def __init__(self, folder: Path, pki: Pki) -> None:
        self.folder = folder
        self.pki = pki
        self.port = 0
        self.tokens = {user: f"{user}s-token-0123456789abcdef" for user in USERS}
        # The instance's folder is its own: it would be below the venv.
        env = {**pki.environment(), "PYTHONPATH": str(TOP), "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(folder)}
        env.update(SETTINGS=str(folder / "settings.json"), INVENIO_INSTANCE_PATH=str(folder))
        command = [f"{VENV}/bin/python", "-W", "ignore", "-m", "tests.grid.invenio_app"]
        self._server = Daemon(folder, command, env, "Running on")

    @property
    def base(self) -> str:
        """What goes into Grid.conf."""
        return f"https://localhost:{self.port}"

    @property
    def data(self) -> Path:
        """Where the bytes of the files are."""
        return self.folder / "data"

    @property
    def log(self) -> Path:
        """What was asked, a line each."""
        return self._server.log

    @staticmethod
    def is_built() -> bool:
        return (VENV / "done").exists()

    def start(self) -> None:
        """Start it, and wait until it serves."""
        self.folder.mkdir(parents=True)
        for name in ("host.pem", "host.key"):
            shutil.copy(self.pki.folder / name, self.folder)
        for _ in range(ATTEMPTS):
            self.port = free_port()
            tokens = {self.tokens[user]: {"user": id_, "writes": user != "reader"} for user, id_ in USERS.items()}
            settings = {"port": self.port, "quota": QUOTA, "most_files": MOST_FILES, "tokens": tokens}
            (self.folder / "settings.json").write_text(json.dumps(settings))
            for path in self.folder.glob("records.sqlite*"):
                path.unlink()
            self._server.start()
            if any(self._server.is_up() for _ in range(PATIENCE)):
                return
            said = self._server.log.read_text()[-3000:]
            self._server.stop()
        raise RuntimeError(f"Invenio does not start:\n{said}")

    def stop(self) -> None:
        self._server.stop()
