"""A portal of open data at which much goes wrong, by dice."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.grid import Grid
from tests.grid.portal import Portal
from tests.support.user import User

pytestmark = pytest.mark.long
RECORDS, FILES = 40, 34


class Reader(User):
    """Somebody without a certificate, whose site is the portal."""

    def __init__(self, grid: Grid, home: Path, portal: Portal):
        super().__init__(grid, home)
        self.portal = portal
        self.limit = 600
        self.env.pop("X509_USER_PROXY")
        section = f"[OPEN]\nSERVER = {portal.server}\nENGINE = opendata\n"
        (home / "Grid.conf").write_text(f"[gridsync]\nSITE = OPEN\nOUTPUTDIR = {self.data}\nTHREADS = 8\n\n{section}")

    def wrong(self) -> list[str]:
        """Files that are not here, or not right; and such as are too many."""
        right = {f"{recid}/{name}" for recid, record in self.portal.records.items() for name in record.held}
        here = {path for path in self.files() if not path.endswith("/record.json")}
        differs = {
            path for path in right & here
            if (self.data / path).read_bytes() != self.portal.data(*path.split("/", 1))
        }  # fmt: skip
        return sorted(right ^ here | differs)


@pytest.fixture
def reader(grid: Grid, portal: Portal, tmp_path: Path) -> Reader:
    """Somebody at a portal with some records; half of the files of each are in an index."""
    names = [f"{number}.root" for number in range(FILES)]
    for number in range(RECORDS):
        files = {name: f"{number}/{name}\n".encode() * (7 * number + 1) for name in names}
        portal.add(f"lhcb-{number}", files, index=names[FILES // 2 :])
    return Reader(grid, tmp_path, portal)


def test_a_portal_at_which_much_goes_wrong_gives_every_file_in_the_end(reader):
    for seed, what in enumerate(("502 once", "429", "cut in the middle", "404 page under 200", "wrong bytes")):
        reader.portal.goes_wrong(what, count=None, rate=0.02, seed=seed)
    reader("--input_dir '?experiment:LHCB' --build_list --start")
    for _ in range(5):
        result = reader("--start")
        if result.status == 0:
            break
    assert result.status == 0, result.err[-2000:]
    assert reader.wrong() == []
    assert {record.fault for record in reader.portal.log} >= {"status", "truncate", "wrong_bytes"}
