"""The row about REST services: what requests costs where a tape service is asked with it, beside http.client.

The same program is run in both ways: TapeRest is handed what asks the door, which promises the same.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from bench.measure import PYTHON, Goal, Refused, Side, figure, goals, ratio, side_by_side, table, timed
from bench.site import TOP, Site
from tests.grid import Grid

FILES, ASKED, STAGED = 3000, 500, 200  # of a run; of a question where files are; of a staging request
CALLS, IMPORTS = 40, 20  # of each kind
OVER_HTTP = (
    "from gridsync_parts.doors.rest import Rest; from gridsync_parts.doors.wire import Http; "
    "Rest.beside, Http.close = staticmethod(lambda http: http), lambda http: None; "
)
RUN = "import gridsync; gridsync.script()"
# http.client and ssl are loaded anyway.
LOAD = "import http.client, ssl, time; began = time.process_time(); import requests; print(time.process_time() - began)"


def rest(site: Site, folder: Path) -> str:
    """a tape service asked over requests, and over http.client; a simulated dCache"""
    both, text = {}, ""
    with Grid(drives=100, seconds=0.2) as grid:
        text += "\none process, in turns, without the first calls:\n\n" + calls(grid)
        for words in ("--check_status", "--sync"):
            sides = [running(grid, "requests", "", words), running(grid, "http.client", OVER_HTTP, words)]
            both[words] = side_by_side(sides, folder / words.strip("-"))
            text += f"\n{words} of {FILES:,} files on tape:\n\n"
            text += table(both[words], {f"{TOP}/": "", str(folder): "DIR"})
    more = [(words, done["requests"].cpu - done["http.client"].cpu) for words, done in both.items()]
    slower = ratio(both["--sync"]["requests"], both["--sync"]["http.client"])
    return text + goals(
        *(Goal(f"{words}: CPU seconds more than over http.client", cpu, 0.15, at_most=True) for words, cpu in more),
        Goal("--sync: times as long as over http.client", slower, 1.1, at_most=True),
    )


def running(grid: Grid, name: str, code: str, words: str) -> Side:
    """gridsync.py with files of its own that are still on tape."""
    env = {**grid.env, "NO_COLOR": "1", "PYTHONPATH": str(TOP)}

    def before(place: Path) -> None:
        top = f"bench/{words.strip('-')}/{place.name}"
        for number in range(FILES):
            grid.tree.add(f"agata/{top}/{number // 100:02d}/{number % 100:02d}", 10, tape=True)
        text = grid.conf(place / "data").replace("[gridsync]\n", f"[gridsync]\nINPUTDIR = {top}\n", 1)
        (place / "Grid.conf").write_text(text)
        timed(f"{PYTHON} {TOP}/gridsync.py --workdir {place} --build_list --quiet", env, place)

    def check(place: Path) -> None:
        here = sum(path.stat().st_size == 10 for path in (place / "data").rglob("*") if path.is_file())
        if words == "--sync" and here != FILES:
            raise Refused(f"{name}: {here} of {FILES} files are here")

    command = shlex.join([PYTHON, "-c", code + RUN, words, "--quiet", "--workdir"])
    return Side(name, lambda place: f"{command} {place}", env, before, check)


def calls(grid: Grid) -> str:
    """What loading it takes, and each kind of call over both."""
    loads = [subprocess.run([PYTHON, "-c", LOAD], capture_output=True, text=True, check=True) for _ in range(IMPORTS)]
    for number in range(ASKED):
        grid.tree.add(f"agata/bench/calls/{number}", 10, tape=True)
    command = [PYTHON, "-m", "bench.services", grid.door.url, str(grid.pki.proxy("good")), grid.env["X509_CERT_DIR"]]
    told = subprocess.run(command, cwd=TOP, env=grid.env, capture_output=True, text=True, check=True).stdout
    first = f"| loading it, once a run | {1000 * median(float(load.stdout) for load in loads):.0f} | - |\n"
    return "| milliseconds, median | requests | http.client |\n|---|---|---|\n" + first + told


def main(url: str, proxy: str, ca: str) -> None:
    """Call the tape service of a door in turns over requests and http.client."""
    from gridsync_parts.doors.tape import TapeRest
    from gridsync_parts.doors.wire import Http
    from gridsync_parts.table import Site as Place

    place = Place("LYON", url, "agata", "http", "auto", "", "", "", 30, 10)
    over = {name: TapeRest(Http(place, proxy, None, ca), place, url) for name in ("requests", "http.client")}
    over["http.client"].rest = over["http.client"].http  # type: ignore[assignment]
    took: dict[tuple[str, str], list[float]] = {}

    def clocked(name: str, what: str, call: Callable[..., Any], *given: object) -> Any:
        began = time.perf_counter()
        found = call(*given)
        took.setdefault((what, name), []).append(time.perf_counter() - began)
        return found

    paths = [f"bench/calls/{number}" for number in range(ASKED)]
    some, known = paths[:STAGED], f"{url}/.well-known/wlcg-tape-rest-api"
    for turn in range(CALLS + 1):
        for name in list(over)[:: 1 if turn % 2 else -1]:
            tape = over[name]
            clocked(name, f"where {ASKED} files are", tape.localities, paths)
            clocked(name, "the least that can be asked", lambda rest=tape.rest: rest.ask("GET", known).drain())
            request = clocked(name, f"staging {STAGED} files", tape.stage, some, 1)
            clocked(name, f"how far a request of {STAGED} files is", tape.stagings, request, some)
            clocked(name, f"giving back {STAGED} files", tape.release, request, some)
    for what in dict.fromkeys(what for what, _ in took):
        figures = (figure(1000 * median(took[what, name][1:])) for name in over)
        print(f"| {what} | {' | '.join(figures)} |")


if __name__ == "__main__":
    main(*sys.argv[1:])
