"""A bar for each file on its way, drawn by tqdm below the line of the manual."""

from __future__ import annotations

import functools
import sys
import time
from typing import Any, Callable

from gridsync_parts.secrets import make_printable

LONG = 0.5  # seconds after which a file on its way gets a bar; those of small files would but flicker
# What tqdm draws from so many columns on, and how many of them it needs besides the name.
SHAPES = (
    (100, "{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_noinv_fmt}]", 60),
    (60, "{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} {rate_noinv_fmt}", 40),
    (30, "{desc} {percentage:3.0f}% {rate_noinv_fmt}", 15),
    (0, "{desc} {percentage:3.0f}%", 6),
)


def cells(text: str) -> int:
    """How many columns a text takes, as tqdm counts them."""
    from tqdm.utils import disp_len

    return int(disp_len(text))


def shorten(name: str, width: int) -> str:
    """The end of a name, which says more than its beginning."""
    if cells(name) <= width:
        return name
    most = max(width - 3, 1)
    end = name[-most:]
    while cells(end) > most and len(end) > 1:
        end = end[1:]
    return f"...{end}"


@functools.cache
def bar_class() -> Any:
    """tqdm's bar."""
    from tqdm import tqdm

    class Bar(tqdm):  # type: ignore[type-arg]
        monitor_interval = 0  # it needs no thread of its own

    return Bar


class Canvas:
    """Looks like the terminal to tqdm, and keeps what it draws, to be written in one go."""

    def __init__(self) -> None:
        self.encoding = sys.stderr.encoding
        self.text = ""

    def fileno(self) -> int:
        return sys.stderr.fileno()

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None:
        """Nothing of it is to be seen before all is drawn."""

    def take(self) -> str:
        """What was drawn since it was last asked for."""
        text, self.text = self.text, ""
        return text


class FileBars:
    """A bar for each file that is on its way for longer; one that is done leaves its place to the next."""

    def __init__(
        self,
        flying: dict[str, int],
        size_of: Callable[[str], int],
        clock: Callable[[], float] = time.monotonic,
    ):
        self.flying = flying  # bytes so far of each file on its way; others keep it up to date
        self.size_of = size_of
        self.clock = clock
        self.since: dict[str, float] = {}  # when each of them was first seen
        self.bars: dict[str, Any] = {}
        self.canvas = Canvas()

    def draw(self, above: int, lines: int, columns: int) -> str:
        """What is to be written at the first of so many lines, to have the bars below them as they are now.

        A line of the window is left for what is said above them all.
        """
        now, flying = self.clock(), dict(self.flying)
        self.since = {path: self.since.get(path, now) for path in flying}
        places = set(range(above, lines - 1))
        for path, bar in list(self.bars.items()):
            if path not in flying or abs(bar.pos) not in places:
                bar.close()
                del self.bars[path]
        free = sorted(places - {abs(bar.pos) for bar in self.bars.values()})
        for path, done in flying.items():
            if free and path not in self.bars and now - self.since[path] >= LONG:
                self.bars[path] = self.begin(path, done, free.pop(0))
        if len(self.bars) == len(flying):
            self.close_ranks(free)
        self.update(flying, columns)
        return self.canvas.take()

    def begin(self, path: str, done: int, place: int) -> Any:
        """A new bar, so many lines below the cursor."""
        return bar_class()(
            total=self.size_of(path), initial=done, position=place,
            file=self.canvas, leave=False, dynamic_ncols=True, disable=False, mininterval=0, miniters=0,
            bar_format=" ",  # it is drawn at once, before it has a name
            unit="B", unit_scale=True, unit_divisor=1024,
        )  # fmt: skip

    def close_ranks(self, free: list[int]) -> None:
        """Move the last bars to free places above them, as no other file will soon take these."""
        for bar in sorted(self.bars.values(), key=lambda bar: bar.pos):
            if free and free[0] < abs(bar.pos):
                bar.clear()
                bar.pos = -free.pop(0)

    def update(self, flying: dict[str, int], columns: int) -> None:
        """Have all bars drawn as they are now, their names in one column."""
        shape, others = next((shape, others) for least, shape, others in SHAPES if columns >= least)
        names = {path: shorten(make_printable(path), columns - others) for path in self.bars}
        width = max(map(cells, names.values()), default=0)
        for path, bar in self.bars.items():
            name = names[path]
            bar.desc, bar.bar_format = name + " " * (width - cells(name)), shape
            if more := flying[path] - bar.n:
                bar.update(more)
            else:  # to count nothing as time would show a rate that is too high when more comes a second later
                bar.refresh()

    def close(self) -> None:
        """Draw none any more."""
        for bar in self.bars.values():
            bar.close()
        self.bars.clear()
        self.canvas.take()
