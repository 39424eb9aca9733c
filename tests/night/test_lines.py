"""Workers on machines with lines of their own, to a real door: all lines are used, and one may be cut."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.grid import Grid
from tests.grid.farm import Farm
from tests.grid.machines import Machines, NoMachines, call, name_of
from tests.support.user import Result, User, wait_until

pytest.importorskip("distributed")
pytestmark = pytest.mark.long

SHOWN = ("X509_CERT_DIR", "X509_USER_PROXY")
FILES, SIZE = 60, 500_000
RATE = "4mbit"  # of each line
COUNT = 3


class Campus(User):
    """A user of some machines, with a worker at each, and what is to come."""

    machines: Machines
    farm: Farm
    wanted: dict[str, bytes]

    def line(self) -> str:
        return f"--sync --threads=6 --workers={self.farm.address}"

    def is_complete(self, run: subprocess.Popen[str]) -> Result:
        """All have come, and are right."""
        out, err = run.communicate(timeout=400)
        assert run.returncode == 0 and f"Copied: {FILES}, skipped: 0, failed: 0" in out, out + err
        here = {path: (self.data / path).read_bytes() for path in self.files() if not path.startswith("workers-")}
        assert here == self.wanted
        return Result(run.returncode, out, err)


@pytest.fixture
def campus(grid: Grid, tmp_path: Path) -> Iterator[Campus]:
    campus, dice = Campus(grid, tmp_path), random.Random(1)
    top = f"lines-{tmp_path.name}"
    place = grid.xrootd.folder / "data" / "agata" / top
    place.mkdir()
    campus.wanted = {f"{top}/{number:02d}": dice.randbytes(SIZE + number) for number in range(FILES)}
    for path, data in campus.wanted.items():
        grid.xrootd.add(f"agata/{path}", data)
    try:
        (tmp_path / "farm").mkdir()
        with Machines(COUNT, RATE) as campus.machines:
            url = grid.xrootd.url.replace("localhost", campus.machines.gate)
            campus.set("SERVER", url, "XROOTD")
            campus.set("SITE", "XROOTD", "gridsync")
            campus.set("INPUTDIR", top, "gridsync")
            with Farm(tmp_path / "farm", host=campus.machines.gate) as campus.farm:
                env = {name: campus.env[name] for name in SHOWN}
                for number, address in enumerate(campus.machines.addresses):
                    campus.farm.hire(2, prefix=campus.machines.command(number), more=("--host", address), **env)
                yield campus
    except NoMachines as error:
        pytest.skip(str(error))


def turn(number: int, way: str) -> None:
    """Cut a line, or mend it."""
    call(f"ip link set {name_of(number)} {way}")


def came_over(number: int) -> int:
    """Bytes that a line has brought to its machine."""
    return int(Path(f"/sys/class/net/{name_of(number)}/statistics/tx_bytes").read_text())


def test_the_bytes_of_files_go_over_the_lines_of_all_workers_and_not_over_the_run_s(campus):
    before = [came_over(number) for number in range(COUNT)]
    with campus.running(campus.line(), **campus.farm.environment) as run:
        campus.is_complete(run)
    came = [came_over(number) - there for number, there in enumerate(before)]
    assert sum(came) > FILES * SIZE and max(came) < 1.5 * min(came), came


def test_a_line_that_is_cut_for_a_while_delays_nobody_else(campus):
    with campus.running(campus.line(), "SILENT = 3.0", **campus.farm.environment) as run:
        wait_until(lambda: len(campus.files()) > 6, 60)
        turn(0, "down")
        time.sleep(8)
        turn(0, "up")
        result = campus.is_complete(run)
    assert "nothing is heard of it; other workers copy its files" in result.out + result.err, result


def test_a_line_that_stays_cut_costs_its_worker_alone(campus):
    with campus.running(campus.line(), "SILENT = 3.0", **campus.farm.environment) as run:
        wait_until(lambda: len(campus.files()) > 6, 60)
        turn(1, "down")
        result = campus.is_complete(run)
    assert "nothing is heard of it; other workers copy its files" in result.out + result.err, result
