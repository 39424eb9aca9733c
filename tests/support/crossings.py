"""Sites in memory that copy files from and to each other."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from gridsync_parts.doors import At, Crossing, Far, Key
from gridsync_parts.errors import GridError
from tests.support.memory import Memory


class MemoryPuller:
    """How a site in memory copies from and to another one; orders are `pull` and `push`."""

    def __init__(self, site: Memory, others: dict[str, Memory], name: str):
        self.site = site
        self.others = others
        self.name = name
        self.wider = ""
        self.hung_up = threading.Event()
        self.left = 0  # bytes after which a copy stops,
        self.error: GridError | None = None  # and what is said then

    def far(self, path: str, writes: bool) -> Far:
        self.site.asked.append(("far", path, writes))
        return Far(f"{self.name}:{path}", Key("secret", wider=self.wider))

    def pull(self, path: str, far: Far, at: At, streams: int = 1) -> Crossing:
        name, _, there = far.url.partition(":")
        self.site.asked.append(("pull", path, at))
        begun = Crossing(self.copied(self.others[name], there, self.site, path), self.hung_up.set)
        return self.site.answer("pull", path, lambda: begun)  # type: ignore[no-any-return]

    def push(self, at: At, far: Far) -> Crossing:
        name, _, there = far.url.partition(":")
        self.site.asked.append(("push", at, there))
        begun = Crossing(self.copied(self.site, at.path, self.others[name], there), self.hung_up.set)
        return self.site.answer("push", at.path, lambda: begun)  # type: ignore[no-any-return]

    def copied(self, source: Memory, path: str, target: Memory, goal: str) -> Iterator[int]:
        """The bytes go, thousands at a time; with an error some of them."""
        data = source.file(path).data
        for here in range(0, len(data), 1000):
            if self.error and here >= self.left:
                raise self.error
            target.put(goal, data[: here + 1000])
            yield min(here + 1000, len(data))
        target.put(goal, data)
        if self.error:
            raise self.error
