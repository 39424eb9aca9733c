"""A user of an FTP server of the grid."""

from __future__ import annotations

import os
import re
from pathlib import Path

from tests.grid import Grid
from tests.grid.ftpd import PASSWORD, USER, Ftpd
from tests.support.user import User, write_secret

NETRC = 'machine localhost login {} password "{}"\n'


def home_with_login(home: Path) -> dict[str, str]:
    """The environment of somebody at a home where ~/.netrc has the password."""
    home.mkdir(exist_ok=True)
    write_secret(home / ".netrc", NETRC.format(USER, PASSWORD))
    return {"HOME": str(home)}


class Member(User):
    """Somebody with a site BEAM at a server, and the password for it in ~/.netrc."""

    def __init__(self, grid: Grid, folder: Path, server: Ftpd, top: str) -> None:
        super().__init__(grid, folder)
        self.server = server
        self.env = {**self.env, "HOME": str(folder), "GRIDSYNC_DIR": str(folder), "PYTHON_KEYRING_BACKEND": "none"}
        self.top = top  # a folder of their own there
        (server.data / top).mkdir(parents=True, exist_ok=True)
        server.give(server.data / top)
        section = f"\n[BEAM]\nSERVER = {server.url}/\nBASE_DIR_ON_GRID = {top}\nFIRST_BYTE = 20\nSILENCE = 10\n"
        conf = (folder / "Grid.conf").read_text().replace("SITE = LYON", "SITE = BEAM")
        (folder / "Grid.conf").write_text(conf + section)
        self.know()

    def know(self, user: str = USER, password: str = PASSWORD) -> None:
        """Write ~/.netrc."""
        write_secret(self.folder / ".netrc", NETRC.format(user, password))

    def lay(self, path: str, data: bytes, mtime: int = 0) -> Path:
        """Put a file into the folder at the server."""
        file = self.server.data / self.top / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        if mtime:
            os.utime(file, (mtime, mtime))
        self.server.give(self.server.data / self.top)
        return file

    def there(self) -> dict[str, bytes]:
        """All files in the folder at the server."""
        top = self.server.data / self.top
        return {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}


def folder_of(name: str) -> str:
    """A folder for a test alone."""
    return "tests/" + re.sub(r"\W", "_", name)
