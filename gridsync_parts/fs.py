"""fsspec's grid://SITE/path: what fsspec can open, pandas, uproot and others can read.

fsspec loads this by its entry point, or when gridsync is imported.
"""

from __future__ import annotations

import os
from typing import Any

from fsspec.spec import AbstractFileSystem

from gridsync_parts.errors import NotFound, UsageError
from gridsync_parts.face import OpenSite, open_site
from gridsync_parts.reading import BLOCK, RemoteFile, Source
from gridsync_parts.values import Entry


class GridFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """The sites of a Grid.conf; the first part of a path is the name of one."""

    protocol = "grid"
    root_marker = ""

    def __init__(self, conf: str | None = None, proxy: str | None = None, token: str | None = None, **more: Any):
        super().__init__(**more)
        self.shown = {"conf": conf, "proxy": proxy, "token": token}
        self.opened: dict[str, OpenSite] = {}
        self.entries: dict[str, Entry] = {}  # of files that were looked at

    def site(self, path: str) -> tuple[OpenSite, str]:
        """The site of a path, and the path there."""
        name, _, below = self._strip_protocol(path).partition("/")
        if not name:
            raise UsageError("grid:// needs the name of a site: grid://LYON/path")
        if name not in self.opened or self.opened[name].process != os.getpid():  # after a fork, as workers are made
            self.opened[name] = open_site(name, **self.shown)
        return self.opened[name], below

    def entry(self, path: str) -> Entry:
        """A file, which is looked at once."""
        path = self._strip_protocol(path)
        if path not in self.entries:
            site, below = self.site(path)
            try:
                self.entries[path] = site.entry(below)
            except NotFound as error:
                raise FileNotFoundError(str(error)) from error
        return self.entries[path]

    def invalidate_cache(self, path: str | None = None) -> None:
        """Look at files anew."""
        self.entries.clear()
        super().invalidate_cache(path)

    def ls(self, path: str, detail: bool = True, **more: Any) -> list[Any]:
        """What is in a folder; for a file, the file itself."""
        site, below = self.site(path)
        try:
            listing = site.ls(below)
        except NotFound as error:
            raise FileNotFoundError(str(error)) from error
        name = self._strip_protocol(path).partition("/")[0]
        found = [
            {
                "name": f"{name}/{entry.path}", "size": None if entry.is_folder else entry.size,
                "type": "directory" if entry.is_folder else "file", "mtime": entry.mtime, "checksum": entry.checksum,
            }
            for entry in listing
        ]  # fmt: skip
        return found if detail else [entry["name"] for entry in found]

    def info(self, path: str, **more: Any) -> dict[str, Any]:
        """What there is under a name."""
        path = self._strip_protocol(path)
        found: list[dict[str, Any]] = self.ls(path)
        is_file = len(found) == 1 and found[0]["name"] == path
        return found[0] if is_file else {"name": path, "size": None, "type": "directory"}

    def _open(self, path: str, mode: str = "rb", block_size: int | None = None, **more: Any) -> RemoteFile:
        if mode != "rb":
            self.refuse(path)
        site, _ = self.site(path)
        return site.open(self.entry(path), block_size or BLOCK)

    def refuse(self, path: str, *_more: Any, **_others: Any) -> Any:
        """Refuse to change something; fsspec's own would do nothing, or not say why."""
        raise UsageError(f"{path}: grid:// is for reading alone; put of gridsync.open_site() sends files")

    mkdir = makedirs = rmdir = rm_file = _rm = cp_file = refuse

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **more: Any) -> bytes:
        """The bytes from start up to end, in one range; all of a file are verified."""
        entry = self.entry(path)
        start, stop, _ = slice(start, end).indices(entry.size)
        if (start, stop) == (0, entry.size):
            with self._open(path) as file:
                return file.read()
        site, _ = self.site(path)
        return Source(site.use, entry, site.settings.retries).read(start, stop)
