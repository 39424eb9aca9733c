"""ctadata's `direct`: the same names, straight to the dCache behind the hub, with a token of OpenID Connect.

It is the site CTA_DCACHE: as gridsync knows it, or as Grid.conf has it. Paths are from its root, also those of uploads.
"""

from __future__ import annotations

from typing import Any

from gridsync_parts.ctadata.verbs import NOTHING, Verbs, shared, warn_of
from gridsync_parts.face import FilePath

__all__ = ["fetch_and_save_file", "fetch_and_save_file_or_dir", "list_dir", "upload_dir", "upload_file"]
VERBS = Verbs()


def list_dir(path: str, recursive: bool = False, n_threads: int = 2) -> list[str]:
    """The names of what is in a folder, or the paths of all files below it."""
    if recursive:
        return [row.path for row in VERBS.find(path, NOTHING)]
    found = VERBS.look(path, NOTHING)
    warn_of([f"{error}; it is left out" for error in found.odd.values()])
    return [VERBS.shown(entry) for entry in found]


def fetch_and_save_file(path: str, save_to_fn: FilePath | None = None) -> int:
    """Have a file in the current folder, or under another name; its size in bytes."""
    return VERBS.get(path, False, save_to_fn)[0].size


def fetch_and_save_file_or_dir(path: str, recursive: bool = False) -> int:
    """Have a file in the current folder, or a folder with all below it; how many bytes that is."""
    return sum(row.size for row in VERBS.get(path, recursive))


def upload_file(local_fn: FilePath, path: str) -> dict[str, Any]:
    """Send a file to a path, or into a folder if that ends with a slash."""
    return shared(VERBS.put(local_fn, path, False))[0]


def upload_dir(local_dir: FilePath, path: str) -> list[dict[str, Any]]:
    """Send what is in a folder into another one."""
    gone = VERBS.put(local_dir, path, True)
    warn_of(gone.left_out)
    return shared(gone)
