"""Ten thousand files in three hundred records of open data: what is asked of the portal for them, and a portal at which
much goes wrong."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.grid import Grid
from tests.grid.portal import Portal
from tests.support.user import User

pytestmark = pytest.mark.long
RECORDS, FILES = 300, 34
AT_ONCE = 4  # requests for records and searches


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


    def fill(self, records: int) -> None:
        """Put so many records into the portal; half of the files of each are in an index."""
        names = [f"{number}.root" for number in range(FILES)]
        for number in range(records):
            files = {name: f"{number}/{name}\n".encode() * (7 * number + 1) for name in names}
            self.portal.add(f"lhcb-{number}", files, aliases=[str(number)], index=names[FILES // 2 :])


@pytest.fixture
def reader(grid: Grid, portal: Portal, tmp_path: Path) -> Reader:
    return Reader(grid, tmp_path, portal)


def test_a_record_costs_one_request_and_four_run_at_a_time(reader):
    reader.fill(RECORDS)
    portal = reader.portal
    portal.faults.add("/api/records/*", "stall", seconds=0.05)  # so that they meet
    result = reader("--input_dir '?experiment:LHCB' --build_list --start")
    assert result.status == 0, result.err[-2000:]
    assert reader.wrong() == [] and len(reader.files()) == RECORDS * (FILES + 1)
    asked = Counter(one.path for one in portal.requests if one.path.startswith("/api/records/lhcb"))
    assert asked == {f"/api/records/lhcb-{number}": 1 for number in range(RECORDS)}
    assert max(one.in_flight for one in portal.requests if one.path.startswith("/api/")) == AT_ONCE
    bytes_of = Counter(one.path for one in portal.requests if one.path.startswith("/eos/"))
    assert len(bytes_of) == sum(bytes_of.values()) == RECORDS * FILES
    assert {row["verified"] for row in reader.catalog().values()} == {"adler32"}
    portal.requests.clear()
    assert reader("--start").status == 0 and reader("--verify").status == 0
    assert portal.requests == []


def test_a_portal_at_which_much_goes_wrong_gives_every_file_in_the_end(reader):
    reader.fill(RECORDS // 8)
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
