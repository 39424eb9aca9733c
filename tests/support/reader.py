"""Somebody whose site is the Open Data portal, and what their command lines end with."""

from __future__ import annotations

from pathlib import Path

from tests.grid import Grid
from tests.grid.portal import Portal
from tests.support.user import HASTY, User, contents

LAST = "Copied: {}, skipped: {}, failed: {}, waiting on tape: {};"


class Reader(User):
    """Somebody without a certificate, whose site is the portal."""

    def __init__(self, grid: Grid, folder: Path, portal: Portal):
        super().__init__(grid, folder)
        self.portal = portal
        self.changed = HASTY
        for name in ("X509_USER_PROXY", "X509_USER_CERT", "X509_USER_KEY"):
            self.env.pop(name, None)
        self.env["HOME"] = str(folder)
        section = f"[OPEN]\nSERVER = {portal.server}\nENGINE = opendata\nSILENCE = 10\n"
        text = f"[gridsync]\nSITE = OPEN\nOUTPUTDIR = {self.data}\nRETRIES = 1\n\n{section}"
        (folder / "Grid.conf").write_text(text)

    def here(self) -> dict[str, bytes]:
        """The data that are here, without records."""
        return {name: data for name, data in contents(self.data).items() if not name.endswith("/record.json")}


def last(copied: int = 0, skipped: int = 0, failed: int = 0, waiting: int = 0) -> str:
    return LAST.format(copied, skipped, failed, waiting)
