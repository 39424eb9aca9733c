"""A program of a user's, with types: `make lint` and the tests of pip check it as strictly as mypy can."""

from __future__ import annotations

import sys
from pathlib import Path

import gridsync
from gridsync_parts import ctadata


def sizes(site: gridsync.OpenSite, folder: str) -> dict[str, int]:
    """The sizes of the files in a folder."""
    return {entry.path: entry.size for entry in site.ls(folder) if not entry.is_folder}


def bring(site: gridsync.OpenSite, folder: str, here: Path) -> list[gridsync.Row]:
    """Copy a folder, as far as it is on disk; the files that are on tape are asked for."""
    try:
        rows = site.get(folder, here, include=r"\.cdat", progress=True)
    except gridsync.Incomplete as error:
        print(error, file=sys.stderr)
        rows = error.rows
    waiting = [row for row in rows if row.locality is gridsync.Locality.NEARLINE]
    return site.stage(waiting, days=3) if waiting else rows


def head(site: gridsync.OpenSite, entry: gridsync.Entry) -> bytes:
    """The first bytes of a file."""
    with site.open(entry) as file:
        first: bytes = file.read(16)
        verified: str = file.verified
    return first or verified.encode()


def send(site: gridsync.OpenSite, here: Path) -> list[str]:
    """Send results; where they are then."""
    uploads: list[gridsync.Upload] = site.put(here, "users/me", exclude=r"\.log$")
    return [upload.target for upload in uploads if upload.verified]


def move_over(folder: str) -> tuple[int, str]:
    """What a script does that came from ctadata."""
    files = [entry for entry in ctadata.list_dir(folder, chunk_size=1 << 20) if entry["type"] == "file"]
    size: int = sum(ctadata.fetch_and_save_file(path, save_to_fn=Path(path).name) for path in files)
    path: str = ctadata.upload_file("latest", "filelists/")["path"]
    return size + ctadata.direct.fetch_and_save_file_or_dir(folder, recursive=True), path


def main() -> int:
    with gridsync.open_site("LYON", conf=Path("Grid.conf"), proxy="/tmp/proxy") as site:
        for path, size in sizes(site, "e680").items():
            print(path, size)
        rows = bring(site, "e680", Path("data"))
        released: list[gridsync.Row] = site.release(site.status(rows))
        print(*send(site, Path("results")))
    return len(released)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except gridsync.GridError as error:
        sys.exit(error.status)
