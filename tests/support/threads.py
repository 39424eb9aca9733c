"""What many threads get that ask at the same time."""

from __future__ import annotations

import threading
from typing import Callable

from gridsync_parts.errors import GridError

THREADS = 16


def ask_at_once(call: Callable[[], object], count: int = THREADS) -> list[str]:
    """What each of so many is told: what was raised, or the text that came; empty for anything else."""
    told: list[str] = []
    start = threading.Barrier(count)

    def ask() -> None:
        start.wait()
        try:
            came = call()
            told.append(came if isinstance(came, str) else "")
        except GridError as error:
            told.append(str(error))

    threads = [threading.Thread(target=ask) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(told) == count
    return told
