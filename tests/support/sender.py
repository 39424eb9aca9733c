"""Somebody who sends local files to a simulated door."""

from __future__ import annotations

import os
from pathlib import Path

from tests.grid import Grid
from tests.grid.propfind import content
from tests.support.user import Result, User, contents

DOORS = {"dcache": "LYON", "storm": "CNAF"}
LAST = r"Sent: {sent}, skipped: {skipped}, failed: {failed}; .*; verified by checksum: {checked}, by size only: 0\n"


def last_line(sent: int = 0, skipped: int = 0, failed: int = 0) -> str:
    """A pattern of the last line of such a run."""
    return LAST.format(sent=sent, skipped=skipped, failed=failed, checked=sent + skipped) + "$"


class Sender(User):
    """A user with results to send, into a folder of a site where others have files, too."""

    def __init__(self, grid: Grid, home: Path, folder: str, door: str):
        super().__init__(grid, home)
        self.site, self.door = DOORS[door], {"dcache": grid.door, "storm": grid.storm}[door]
        self.results, self.target = home / "results", f"{folder}/users/me"
        for name, size in (("a", 10), ("sub/b", 200_000), ("sub/deep/c", 3_000_000), ("empty", 0)):
            self.fill(name, os.urandom(size))
        self.door.log.clear()

    def fill(self, name: str, data: bytes) -> Path:
        """A local file."""
        path = self.results / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def put(self, more: str = "", what: str = "") -> Result:
        """Send it."""
        return self(self.line(more, what))

    def line(self, more: str = "", what: str = "") -> str:
        return f"--put {what or self.results} --from={self.site} --input_dir {self.target} {more}"

    def there(self) -> dict[str, bytes]:
        """The files in the folder of the site."""
        top = f"agata/{self.target}"
        found = {path: self.grid.tree.file(path) for path in self.grid.tree.files(top)}
        return {path[len(top) + 1 :]: b"".join(content(file, 0, file.size)) for path, file in found.items()}

    def here(self) -> dict[str, bytes]:
        """The files that are to be sent."""
        return contents(self.results)

    def count(self, **wanted: object) -> int:
        """Requests at the door."""
        return self.door.log.count(**wanted)
