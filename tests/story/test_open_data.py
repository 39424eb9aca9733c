"""The CERN Open Data portal as a site: what a user types, sees and finds, and what its own client gets wrong."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import pytest

from tests.grid import Grid
from tests.grid.portal import Portal
from tests.support.user import User

LAST = "Copied: {}, skipped: {}, failed: {}, waiting on tape: {};"
SMALL, LARGE = b"small\n" * 20, bytes(range(256)) * 12_000
FILES = {"a.txt": SMALL, "b.root": LARGE, "c.root": b"", "list/d.txt": b"d"}


class Reader(User):
    """Somebody without a certificate, whose site is the portal."""

    def __init__(self, grid: Grid, home: Path, portal: Portal):
        super().__init__(grid, home)
        self.portal = portal
        for name in ("X509_USER_PROXY", "X509_USER_CERT", "X509_USER_KEY"):
            self.env.pop(name, None)
        self.env["HOME"] = str(home)
        section = f"[OPEN]\nSERVER = {portal.server}\nENGINE = opendata\nSILENCE = 10\n"
        text = f"[gridsync]\nSITE = OPEN\nOUTPUTDIR = {self.data}\nRETRIES = 1\n\n{section}"
        (home / "Grid.conf").write_text(text)

    def here(self) -> dict[str, bytes]:
        """The data that are here, without records."""
        return {path: (self.data / path).read_bytes() for path in self.files() if not path.endswith("/record.json")}

    def asked(self, recid: str) -> int:
        """How often a record was asked for."""
        return len(self.portal.asked(method="GET", path=f"/api/records/{recid}"))


@pytest.fixture
def reader(grid: Grid, portal: Portal, tmp_path: Path) -> Reader:
    return Reader(grid, tmp_path, portal)


def last(copied: int = 0, skipped: int = 0, failed: int = 0, waiting: int = 0) -> str:
    return LAST.format(copied, skipped, failed, waiting)


def adler(data: bytes) -> str:
    return f"adler32:{zlib.adler32(data):08x}"


# Fetching.


def test_a_record_comes_with_its_metadata_and_is_verified(reader):
    reader.portal.add("cms-5500", FILES, index=["b.root", "c.root"], doi="10.7483/X")
    status, out, err = reader("--input_dir=cms-5500 --sync")
    assert (status, last(copied=5) in out) == (0, True), out + err
    names = {"cms-5500/" + name.rpartition("/")[2]: data for name, data in FILES.items()}
    assert reader.here() == names
    rows = reader.catalog()
    assert {path: rows[path]["checksum"] for path in names} == {path: adler(data) for path, data in names.items()}
    assert {path for path, row in rows.items() if row["verified"] != "adler32"} == {"cms-5500/c.root"}  # it is empty
    text = (reader.data / "cms-5500/record.json").read_bytes()
    assert rows["cms-5500/record.json"]["checksum"] == adler(text)
    assert json.loads(text)["metadata"]["doi"] == "10.7483/X"
    assert reader.asked("cms-5500") == 1
    reader.portal.requests.clear()
    assert last(skipped=5) in reader("--sync").out
    assert len(reader.portal.requests) == 1
