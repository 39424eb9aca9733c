"""The corners of the tree, and sftp, where the awkward names are served as they are."""

from __future__ import annotations

import os
import subprocess
import time
import xml.etree.ElementTree as ET
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import pytest

from tests.grid import Grid, agata, corner
from tests.grid.tree import Tree
from tests.support.curl import PROPFIND, curl

NAMES = {corner.AWKWARD: corner.NAMES, corner.UNPRINTABLE: corner.CONTROL_NAMES}


@pytest.mark.parametrize("folder", NAMES)
def test_door_lists_every_name_as_file_and_as_folder(grid: Grid, folder: str) -> None:
    for path, slash in ((folder, ""), (f"{folder}/folders", "/")):
        status, xml, _ = curl(grid, "-X", "PROPFIND", "-H", "Depth: 1", "-d", PROPFIND, f"{grid.door.url}/{path}")
        listed = {unquote(urlsplit(href.text or "").path) for href in ET.fromstring(xml).iter("{DAV:}href")}
        assert (status, {f"/{path}/{name}{slash}" for name in NAMES[folder]} - listed) == (207, set())


def test_door_serves_every_name(grid: Grid, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grid.door.switches, "names", "right")  # else curl, too, would be led astray
    paths = [f"{corner.AWKWARD}/{path}" for name in corner.NAMES for path in (name, f"folders/{name}/{name}")]
    words = [word for path in paths for word in ("-o", "-", f"{grid.door.url}/{quote(path)}")]
    command = ["curl", "-sS", "-L", "--capath", grid.env["X509_CERT_DIR"], "--cert", str(grid.pki.proxy()), *words]
    run = subprocess.run(command, env=grid.env, capture_output=True, timeout=30)
    assert run.stdout == b"".join(grid.tree.expected(path) for path in paths)


def test_twenty_thousand_files_cost_nothing() -> None:
    tree = Tree()
    begin = time.process_time()  # others may be at work here
    corner.plant_many(tree)
    assert time.process_time() - begin < 2
    assert len(tree.folder(corner.MANY).children) == 20_000


def by_sftp(grid: Grid, command: str) -> bytes:
    """What OpenSSH's own client says to a command."""
    host = f"{grid.sshd.user}@localhost"
    run = subprocess.run(
        ["sftp", "-S", "ssh", "-q", "-b", "-", "-P", str(grid.sshd.port), host], input=command.encode(),
        env=os.environ | grid.sshd.client.env, capture_output=True, timeout=30,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return run.stdout.partition(b"\n")[2]


def test_files_are_served_by_sftp(grid: Grid, tmp_path: Path) -> None:
    file = f"agata/e680_1to64/{agata.RUN}/Data/03A/{agata.TRACES}"
    folder = urlsplit(grid.sshd.url).path
    listed = by_sftp(grid, f"ls -1 {folder}/agata/e680_1to64").decode().split()
    assert [name.rpartition("/")[2] for name in listed] == ["ReadATCA", "e680", "e680_NoTraces"]
    by_sftp(grid, f"get {folder}/{file} {tmp_path}/here")
    assert (tmp_path / "here").read_bytes() == grid.tree.expected(file)
