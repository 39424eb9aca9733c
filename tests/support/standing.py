"""A worker as a process of its own, at a site in memory whose bytes take their time: it can be made to stand still."""

from __future__ import annotations

import pickle
import random
import sys
import time
from typing import Any

from tests.support.constants import change
from tests.support.memory import Memory

SIZE, PIECE = 3_000_017, 30_000
WORDS = "SHORTEST = 500_000; NOTE = 100_000; BEAT = 0.05; PATIENCE = 1"
READY = b"ready\n"


def data() -> bytes:
    """The bytes of the file."""
    return random.Random(3).randbytes(SIZE)


def slowly(pause: float) -> Any:
    """A fault that is none: the bytes take their time."""

    def pieces(body: Any) -> Any:
        def chunks() -> Any:
            for chunk in body.chunks:
                time.sleep(pause)
                yield chunk

        return body._replace(chunks=chunks())

    return pieces


def site_of(checksums: bool, pause: float = 0) -> Memory:
    """The site, with one file."""
    site = Memory({"run/a": data()})
    site.piece, site.knows_checksums = PIECE, checksums
    if pause:
        site.order("read", "run/a", *[slowly(pause)] * 9)
    return site


def main() -> None:
    """Do a load that comes on standard input."""
    change(WORDS)
    from gridsync_parts.farm import shops
    from gridsync_parts.farm.hand import labour

    load, checksums, pause = pickle.load(sys.stdin.buffer)
    shops.opened = lambda setting: site_of(checksums, pause).place
    sys.stdout.buffer.write(READY)
    sys.stdout.buffer.flush()
    sys.stdout.buffer.write(pickle.dumps(labour(load, lambda beat: None)))


if __name__ == "__main__":
    main()
