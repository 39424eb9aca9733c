"""A portal of open data at which much goes wrong, by dice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.grid import Grid
from tests.grid.portal import Portal
from tests.support import reader as support

pytestmark = pytest.mark.long
RECORDS, FILES = 16, 34
MANY, EACH = 100_000, 1000  # files of one record, and of each of its indices
MEMORY = 500  # MB that it may take


class Reader(support.Reader):
    """One who goes on until all is here."""

    def __init__(self, grid: Grid, home: Path, portal: Portal):
        super().__init__(grid, home, portal)
        self.limit = 600

    def wrong(self) -> list[str]:
        """Files that are not here, or not right; and such as are too many."""
        right = {f"{recid}/{name}" for recid, record in self.portal.records.items() for name in record.held}
        found = self.here()
        here = set(found)
        differs = {
            path for path in right & here
            if found[path] != self.portal.data(*path.split("/", 1))
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


def held(number: int) -> dict[str, Any]:
    """A file as a file index has it."""
    folder = "cms/Run2011A/DoubleElectron/AOD/12Oct2013-v1/20000"
    return {
        "key": f"X_file_index.json_{number}", "filename": f"{number:08X}.root", "size": number, "tags": {},
        "uri": f"root://eospublic.cern.ch//eos/opendata/{folder}/{number:08X}-ABCD-E311-9B5F-003048D2BDD8.root",
        "checksum": f"adler32:{number:08x}", "availability": "online", "version_id": f"v-{number}",
    }  # fmt: skip


def test_a_record_of_a_hundred_thousand_files_takes_no_more_memory_than_there_is(reader):
    indices = [
        {"key": f"{first}_file_index.json", "number_files": EACH, "files": list(map(held, range(first, first + EACH)))}
        for first in range(0, MANY, EACH)
    ]
    said = {"id": "cms-1", "metadata": {"recid": "cms-1", "_files": [], "_file_indices": indices}}
    reader.portal.add("cms-1", {})
    reader.portal.faults.add("/api/records/cms-1", "garbage", text=json.dumps(said))
    for line in ("--input_dir=cms-1 --build_list", "--inc=/record.json --start"):
        result, memory = reader.measure(line)
        print(f"{line}: {memory:.0f} MB")
        assert result.status == 0 and memory < MEMORY, result.err
    assert len(reader.catalog()) == MANY + 1
    assert len(json.loads((reader.data / "cms-1/record.json").read_bytes())["metadata"]["_file_indices"]) == MANY / EACH
