"""The corners of the tree, and sftp, where the awkward names are served as they are."""

from __future__ import annotations

import json
import subprocess
import time
import xml.etree.ElementTree as ET
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


SFTP = """
import gfal2, json, sys
key, base, file = sys.argv[1:]
context = gfal2.creat_context()
context.set_opt_string("SFTP PLUGIN", "PRIVKEY", key)
names = context.listdir(base)
handle = context.open(base + "/" + file, "r")
print(json.dumps([sorted(set(names) - {".", ".."}), context.stat(base + "/" + file).st_size]))
sys.stdout.flush()
sys.stdout.buffer.write(handle.read_bytes(1000) + handle.pread_bytes(5000, 1000))
"""


def by_sftp(grid: Grid, folder: str, file: str) -> tuple[list[str], int, bytes]:
    """What gfal2 lists in a folder, and of a file there the size and twice 1000 bytes."""
    base = f"{grid.sshd.url}/{folder}"
    run = subprocess.run(
        ["/usr/bin/python3", "-c", SFTP, str(grid.sshd.key), base, file], env=grid.env, capture_output=True, timeout=30
    )
    assert run.returncode == 0, run.stderr
    line, _, parts = run.stdout.partition(b"\n")
    return (*json.loads(line), parts)


def test_gfal2_reads_by_sftp(grid: Grid) -> None:
    file = f"{agata.RUN}/Data/03A/{agata.TRACES}"
    whole = grid.tree.expected(f"agata/e680_1to64/{file}")
    listed, size, parts = by_sftp(grid, "agata/e680_1to64", file)
    assert (listed, size) == (["ReadATCA", "e680", "e680_NoTraces"], len(whole))
    assert parts == whole[:1000] + whole[5000:6000]


def test_gfal2_lists_awkward_names_by_sftp(grid: Grid) -> None:
    listed, size, _ = by_sftp(grid, corner.AWKWARD, "two words")  # not quoted: gfal2 would ask for that very name
    assert (set(listed), size) == ({*corner.NAMES, "folders"}, 100)
