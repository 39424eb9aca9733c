"""The table of README.md, from RESULTS.md: `python3 -m bench.summary` writes it anew, between two comments."""

from __future__ import annotations

import re
import sys
from typing import NamedTuple

from bench.measure import figure
from bench.site import TOP
from bench.tools import CHECKSUM

README = TOP / "README.md"
RESULTS = TOP / "bench" / "RESULTS.md"
BETWEEN = re.compile(r"(?<=<!-- bench -->\n).*?(?=<!-- /bench -->)", re.DOTALL)
SHOWN = {  # row and the words above its table: what a physicist calls it
    ("small", "4 connections"): "2,000 files of 20 kB, 4 at once",
    ("small", "16 connections"): "the same, 16 at once",
    ("small-far", "16 connections"): "the same over a line of 30 ms",
    ("large", "1 connection"): "a file of 2 GiB",
    ("large", "4 connections"): "the same in 4 streams",
    ("mixed", "16 connections"): "222 files, small to 500 MB; 2.4 GB",
    ("put-small", "4 connections"): "10,000 files of 20 kB sent, 4 at once",
    ("put-large", "to XRootD"): "a file of 2 GiB sent to XRootD",
    ("put-large", "to WsgiDAV"): "the same to WsgiDAV, which knows no checksums",
    ("site-to-site", "2,000 files of 20 kB, copied by the doors"): "2,000 files of 20 kB from site to site, 4 at once",
    ("site-to-site", "4 files of 512 MiB, copied by the doors"): "4 files of 512 MiB from site to site",
    ("walk", "8 connections"): "a listing of 100,000 files, 10 ms",
    ("status", "one after the other"): "where 10,000 files on tape are",
}

NO_PEERS = ("bare Python", "the first gridsync")
SAID = """\
The time ends when all bytes are on disk: tools that leave them in memory are followed by `sync -f`. Below 1 the other
one is faster. gridsync.py compares each file's checksum where the server has one, and so do those with a *; the others
compare its size, or nothing."""


class Line(NamedTuple):
    """What a table says of a tool."""

    tool: str
    seconds: float
    verified: str
    ratio: float  # times as long as gridsync, made durable like its files


def lines(results: str, row: str, words: str) -> list[Line]:
    """A table of RESULTS.md: that of a row below some words."""
    found = re.search(rf"(?ms)^## {row}:.*?^{words}[^\n]*:\n\n([^\n]+)\n[^\n]+\n((?:\|[^\n]+\n)+)", results)
    if not found or "\n## " in found[0]:
        return []
    heads, *rows = ([cell.strip() for cell in row.strip("|").split("|")] for row in [found[1], *found[2].splitlines()])
    cells = [dict(zip(heads, row)) for row in rows]
    return [
        Line(at["tool"], float(at["seconds, median"]), at.get("verified", "-"), float(at["times as long as gridsync"]))
        for at in cells
    ]


def summary(results: str) -> str:
    text = "| | gridsync.py | others, times as long |\n|---|---|---|\n"
    for (row, words), what in SHOWN.items():
        ours, *others = lines(results, row, words) or [None]
        if ours:
            peers = sorted((line for line in others if line.tool not in NO_PEERS), key=lambda line: line.ratio)
            said = ", ".join(
                f"{line.tool}{'*' * (line.verified == CHECKSUM)} {figure(line.ratio, 2)}" for line in peers
            )
            text += f"| {what} | {figure(ours.seconds)} s | {said} |\n"
    return f"{text}\n{SAID}\n[Measured](bench/RESULTS.md) by `make bench`.\n{several(results)}"


def several(results: str) -> str:
    """One machine against several; how many times as fast is that of runs side by side, not of the medians."""
    crews = lines(results, "workers", "scheduler, door and gridsync on one machine")
    if not crews:
        return ""
    faster = dict(re.findall(r"(?m)^\| (\d+ workers): times as fast as 1 \|[^|]*\| ([\d.]+) \|", results))
    rows = (
        ("one machine against several", [crew.tool for crew in crews]),
        ("---", ["---"] * len(crews)),
        ("seconds for 256 files of 2 MB, each on a line of 20 Mbit/s", [figure(crew.seconds) for crew in crews]),
        ("times as fast", [figure(float(faster.get(crew.tool, 1))) for crew in crews]),
    )
    text = "".join(f"| {what} | {' | '.join(cells)} |\n" for what, cells in rows)
    costs = re.findall(r"(?m)^\| (\d+) workers? \| ([\d.]+) \|", results.partition("\n| CPU milliseconds a file |")[2])
    cost = ", ".join(f"{milliseconds} ms with {count}" for count, milliseconds in costs)
    said = f"\nCPU time of the machine where you type, for each file: {cost} workers.\n" if cost else ""
    return f"\n{text}{said}"


def main() -> int:
    readme = README.read_text(encoding="utf-8")
    table = summary(RESULTS.read_text(encoding="utf-8"))
    if not BETWEEN.search(readme):
        print(f"README.md has no <!-- bench --> and <!-- /bench -->; between them there would be:\n\n{table}")
        return 0
    README.write_text(BETWEEN.sub(lambda _: table, readme), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
