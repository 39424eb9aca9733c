"""A copy from door to door, asked for by gridsync's own COPY and by gfal2, side by side: `python3 -m bench.crossing`.

The doors and what they do are the same, so what differs is what it costs to ask. gfal2's copies have no checksums here,
as ours have none: who compares them asks once more at each door.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, NamedTuple

from bench.relay import Relay
from gridsync_parts.doors import At, Place, Puller, Sent
from gridsync_parts.doors.webdav import open_place
from gridsync_parts.keys.token import Token
from gridsync_parts.kinds import KINDS
from gridsync_parts.table import Site
from tests.grid import Grid
from tests.grid.guests import token
from tests.grid.xrootd import SCRATCH

SMALL, FILES = 10_000, 40  # bytes, and how many
LARGE = {"XRootD": 512 << 20, "simulated": 32 << 20}  # these are Python, and keep it in memory
ROUNDS = 3
DELAY, RATE = 0.03, 40e6  # seconds of a round trip, and bytes a second of a connection
Copy = Callable[[str, str, int], None]  # of a name, to another one, of a file of this size


class End(NamedTuple):
    """A door, and what it is shown."""

    name: str
    place: Place
    url: str

    @property
    def puller(self) -> Puller:
        assert self.place.puller
        return self.place.puller

    def put(self, name: str, size: int) -> None:
        """A file there."""
        block = bytes(range(256)) * 4096

        def chunks() -> Iterator[bytes]:
            for at in range(0, size, len(block)):
                yield block[: size - at]

        assert self.place.writer
        self.place.writer.write(name, Sent(size, chunks))

    def remove(self, name: str) -> None:
        """No file there any more."""
        assert self.place.writer
        self.place.writer.remove(name)


class Shown(Token):
    """A token that is there."""

    def __init__(self, text: str):
        self.source, self.kind, self.text, self.ends = "env:A", "env", text, 0.0

    def value(self) -> str:
        return self.text


def own(source: End, target: End, way: str) -> Copy:
    """A copy by gridsync's own request."""

    def copy(name: str, goal: str, size: int) -> None:
        at = At(name, size)
        if way == "pull":
            marks = target.puller.pull(goal, source.puller.far(name, False), at).marks
        else:
            marks = source.puller.push(at, target.puller.far(goal, True)).marks
        for _ in marks:
            pass

    return copy


def by_gfal2(source: End, target: End, way: str, text: str) -> Copy:
    """A copy by gfal2's filecopy."""
    import gfal2

    context = gfal2.creat_context()
    context.set_opt_string("HTTP PLUGIN", "DEFAULT_COPY_MODE", f"3rd {way}")
    context.set_opt_boolean("HTTP PLUGIN", "ENABLE_FALLBACK_TPC_COPY", False)
    for end in (source, target) if text else ():
        context.cred_set(end.url, context.cred_new("BEARER", text))

    def copy(name: str, goal: str, size: int) -> None:
        wishes = context.transfer_parameters()
        wishes.timeout = 300
        context.filecopy(wishes, f"{source.url}/{name}", f"{target.url}/{goal}")

    return copy


def seconds(copy: Copy, target: End, name: str, size: int, count: int, threads: int) -> float:
    """How long so many copies of a file take."""
    goals = [f"copy-{number}" for number in range(count)]
    with ThreadPoolExecutor(threads) as pool:
        began = time.monotonic()
        list(pool.map(lambda goal: copy(name, goal, size), goals))
        took = time.monotonic() - began
    for goal in goals:
        target.remove(goal)
    return took


def row(source: End, target: End, way: str, text: str, large: int) -> str:
    """A line of the table: of each the median, in alternation."""
    ways = {"own": own(source, target, way), "gfal2": by_gfal2(source, target, way, text)}
    cells = []
    for name, size, count, threads in (("small", SMALL, FILES, 1), ("small", SMALL, FILES, 4), ("large", large, 1, 1)):
        took: dict[str, list[float]] = {"own": [], "gfal2": []}
        said = {}
        for _ in range(ROUNDS):
            for which, copy in ways.items():
                try:
                    took[which].append(seconds(copy, target, name, size, count, threads))
                except Exception as error:  # gfal2's own, or ours
                    said[which] = " ".join(f"{type(error).__name__} {error}".split())[:100]
        for which, found in took.items():
            if which in said:
                cells.append(said[which])
            elif name == "small":
                cells.append(f"{1000 * statistics.median(found) / count:.1f}")
            else:
                cells.append(f"{size / 1e6 / statistics.median(found):.0f}")
    return " | ".join([f"{source.name} to {target.name}", "token" if text else "proxy", way, *cells])


def pairs(grid: Grid) -> Iterator[tuple[End, End, str, int]]:
    """Two doors, and the token that they are shown, if they are."""
    can = next(kind.can for kind in KINDS if kind.module == "webdav")
    proxy, ca = grid.env["X509_USER_PROXY"], grid.env["X509_CERT_DIR"]

    def end(name: str, server: str, base: str, text: str) -> End:
        site = Site("HERE", server, base, "http", first_byte=60, silence=60)
        shown: Any = Shown(text) if text else None
        return End(name, open_place(site, can, "" if text else proxy, shown, ca), f"{server}/{base}")

    yield end("XRootD", grid.copier.url, SCRATCH, ""), end("XRootD", grid.second.url, SCRATCH, ""), "", LARGE["XRootD"]
    for text in ("", token(3600)):
        doors = {name: grid.at(name) for name in ("dcache-10.2", "storm-1.9")}
        dcache, storm = (end(name, door.url, "agata", text) for name, door in doors.items())
        yield dcache, storm, text, LARGE["simulated"]
        yield storm, dcache, text, LARGE["simulated"]


def streams(grid: Grid, source: End, target: End) -> str:
    """What several streams bring where each connection is held to a rate."""
    parts = []
    with Relay(grid.copier.ports[0], DELAY, RATE) as relay:
        for count in (1, 4, 8):
            far = source.puller.far("large", False)
            far = far._replace(url=far.url.replace(f":{grid.copier.ports[0]}/", f":{relay.port}/"))
            began = time.monotonic()
            for _ in target.puller.pull("copy", far, At("large", LARGE["XRootD"]), count).marks:
                pass
            parts.append(f"{count} streams {LARGE['XRootD'] / 1e6 / (time.monotonic() - began):.0f} MB/s")
            target.remove("copy")
    return f"XRootD to XRootD, {DELAY * 1000:.0f} ms away, {RATE / 1e6:.0f} MB/s a connection: {', '.join(parts)}"


def main() -> int:
    """Print the table: milliseconds a small file, by one thread and by four, and MB/s of a large one."""
    print("from, to | shown | way | small: own | gfal2 | 4 threads: own | gfal2 | large: own | gfal2")
    with Grid() as grid:
        os.environ.update(grid.env)
        for source, target, text, large in pairs(grid):
            source.put("small", SMALL)
            source.put("large", large)
            for way in ("pull", "push"):
                print(row(source, target, way, text, large), flush=True)
            if source.name == target.name:
                print(streams(grid, source, target), flush=True)
            for name in ("small", "large"):
                source.remove(name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
