"""gridsync.py and its peers, side by side on one machine, in alternation; bench/RESULTS.md is what comes of it.

make bench measures all rows, in about an hour; make bench ROW=small one, and leaves the others as they are. With
BENCH_ROUNDS=1 a row is only tried: so many rounds, without one to warm up, and what comes of it is printed alone.
"""

from __future__ import annotations

import os
import platform
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from bench.measure import TRIAL, Failed, Refused
from bench.rows import ROWS
from bench.site import TOP, Site, disk
from bench.tools import TOOLS

RESULTS = Path(__file__).with_name("RESULTS.md")
HEAD = "# Results\n\nMade by `make bench`; README.md in this folder says how to read them.\n\n"
ATTEMPTS = 2  # at a row: a server that hangs is replaced once


def now() -> str:
    """When it is measured, and which gridsync."""
    commit = told(f"git -C {TOP} describe --always --dirty=' with changes'") or "of no repository"
    return f"{time.strftime('%Y-%m-%d %H:%M')}, gridsync {commit}"


def machine(began: str) -> str:
    """What all rows were measured on, when, and with which versions."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    lines = [f"All rows come from one run, but for those that say otherwise: begun {began}."]
    lines += [f"{os.cpu_count()} processors ({model[1] if model else '?'}), {platform.system()} {platform.release()};"]
    lines += [f"copies are on a block device ({disk()}).\n"]
    lines += [f"- {told(tool.version)}" for tool in TOOLS.values() if tool.version]
    lines += [f"- {told(line)}" for line in ("lftp --version | head -1", "ssh -V 2>&1")]
    lines += [f"- server: XRootD {told('xrootd -v 2>&1 | head -1')}"]
    return "\n".join(lines)


def told(line: str) -> str:
    env = {**os.environ, "GFAL_PYTHONBIN": "/usr/bin/python3"}
    said = subprocess.run(["/bin/sh", "-c", line], env=env, capture_output=True, text=True, check=False).stdout
    return " ".join(said.split())


def sections() -> tuple[str, dict[str, str]]:
    """RESULTS.md as it is: what stands above the rows, and each row."""
    head, *parts = re.split(r"(?m)^## (\S+):.*\n", RESULTS.read_text(encoding="utf-8"))
    return head, dict(zip(parts[::2], parts[1::2]))


def write(head: str, done: dict[str, str]) -> None:
    text = f"{head.strip()}\n"
    for name in ROWS:
        if name in done:
            text += f"\n## {name}: {ROWS[name].measure.__doc__}\n\n{done[name].strip()}\n"
    RESULTS.write_text(text, encoding="utf-8")


def measured(name: str, site: Site) -> tuple[str, bool]:
    """What goes below the heading of a row, and whether it was measured."""
    for attempt in range(1, ATTEMPTS + 1):
        folder = site.folder / "out" / f"{name}-{attempt}"
        folder.mkdir(parents=True)
        try:
            return ROWS[name].measure(site, folder), True
        except Refused as error:
            return f"Refused: {error}.", False
        except Failed as error:
            print(f"  {error}", file=sys.stderr, flush=True)
            reason = str(error).splitlines()[0].replace(str(site.folder), "DIR")
        site.restart()
    return f"Not measured, {ATTEMPTS} times: {reason}", False


def main(names: list[str]) -> int:
    is_part, names = bool(names), names or list(ROWS)
    if unknown := [name for name in names if name not in ROWS]:
        raise SystemExit(f"there is no row {unknown[0]}; there are {', '.join(ROWS)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # servers end, and what was written goes
    began, status = now(), 0
    head, done = HEAD + machine(began), {}
    if is_part and RESULTS.exists():
        head, done = sections()
    with Site({which for name in names for which in ROWS[name].sets}) as site:
        for name in names:
            print(f"# {name}: {ROWS[name].measure.__doc__}", flush=True)
            at = time.monotonic()
            text, is_good = measured(name, site)
            print(f"  in {time.monotonic() - at:.0f} s", flush=True)
            status = status if is_good else 1
            done[name] = f"Measured by itself: {began}.\n\n{text.strip()}" if is_part else text
            if TRIAL:
                print(text)
            else:
                write(head, done)  # so that a later row can't lose it
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
