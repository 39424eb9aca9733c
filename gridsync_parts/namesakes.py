"""Names that are one and the same on some disks: those of macOS and of Windows do not tell `A` from `a`.

The first file keeps the name, and no other one takes it: two files of a site must not become one here.
"""

from __future__ import annotations

import contextlib
import os
import threading
import unicodedata
from collections.abc import Iterable

from gridsync_parts.disk import MARK
from gridsync_parts.values import SAME_NAME, Row

NFC, NFD = "\u00c9", "E\u0301"  # a letter with an accent, written in two ways


def ignored_by(folder: str) -> tuple[bool, bool]:
    """Whether names that differ by case are the same on the disk of a folder; and by how their accents are written."""
    probe, found = f"{NFC}{os.getpid()}{MARK}", (False, False)
    with contextlib.suppress(OSError, ValueError):  # whoever can't write there, or write so, will hear of it otherwise
        path = os.path.join(folder, probe)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        try:
            others = probe.lower(), probe.replace(NFC, NFD)
            by_case, by_form = (os.path.lexists(os.path.join(folder, other)) for other in others)
            found = by_case, by_form
        finally:
            os.unlink(path)
    return found


class Namesakes:
    """Who has which name in OUTPUTDIR."""

    def __init__(self, folder: str, rows: Iterable[Row]):
        self.ignores_case, self.ignores_form = ignored_by(folder)
        self.owners: dict[str, str] = {}
        self.one = threading.Lock()
        if self.ignores_case or self.ignores_form:
            self.owners = {self.key(row.path): row.path for row in rows if row.downloaded or row.verified}

    def key(self, path: str) -> str:
        """What the disk makes of a path."""
        path = unicodedata.normalize("NFD", path) if self.ignores_form else path
        return path.lower() if self.ignores_case else path

    def fault(self, path: str) -> str:
        """Why a file can't have its name here; or nothing, and from then on it is the one that has it."""
        if not (self.ignores_case or self.ignores_form):
            return ""
        with self.one:
            owner = self.owners.setdefault(self.key(path), path)
        if owner == path:
            return ""
        return f"{path}: {SAME_NAME} {owner}; leave one of them out (--exc), or choose another --output_dir for it"
