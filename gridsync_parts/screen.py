"""What is printed: lines that stay, lines that are redrawn, and the words that have a colour."""

from __future__ import annotations

import contextlib
import enum
import functools
import os
import re
import sys
import time
from collections import deque
from typing import Any, Callable, NamedTuple, Protocol, TextIO

from gridsync_parts.bars import FileBars, bar_class
from gridsync_parts.errors import LockedError
from gridsync_parts.log import can_redraw, has_bars, log
from gridsync_parts.secrets import make_printable, secrets
from gridsync_parts.values import Outcome, Tally
from gridsync_parts.words import duration_text, size_text

REDRAW = 0.1  # seconds, on a terminal
EARLIEST, REPEAT = 1.0, 30.0  # seconds, elsewhere
RATE_SPAN = 30.0  # seconds that a rate is taken over
# What a line of progress can do without, the first one first, when the terminal is narrow.
SPARE = (
    r" current: [^,]*,",
    r" at [^;]*(?=;)",
    r", \d+ still on tape",  # of which the line above it tells
    r" total: [^,]*,",
    r" rate=[^,]*,",
    r"; disk: .*",
    r",? nothing has come [^);]*",
    r"^\w+ files: (?=\d)",
    r" \d+ folders,",
    r", \d+ remaining \.\.\.",
    r"^\S+, (?=ETA)| files ONLINE",
)


class Colour(enum.IntEnum):
    """As terminals number them."""

    NONE = 0
    RED = 31
    GREEN = 32
    YELLOW = 33
    BLUE = 34


def colour_word(text: str, colour: Colour, stream: TextIO) -> str:
    """The first word of a line in a colour, for a terminal whose user has nothing against it."""
    if not colour or "NO_COLOR" in os.environ or os.environ.get("TERM", "dumb") == "dumb" or not stream.isatty():
        return text
    return re.sub(r"^\w+", rf"\033[{colour:d}m\g<0>\033[m", text)


def silence(stream: TextIO) -> None:
    """Let what is still said on a pipe or terminal that was closed go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def fit(text: str, width: int) -> str:
    """A line of progress for a terminal of some width."""
    for spare in SPARE:
        if len(text) > width:
            text = re.sub(spare, "", text)
    return text[:width]


def flush() -> None:
    """Have on the way what was said on stdout, before stderr says more."""
    try:
        sys.stdout.flush()
    except OSError:
        silence(sys.stdout)


@functools.cache
def lines_class() -> Any:
    """tqdm's bar, made of several lines that are drawn in one go, with those of files."""

    class Lines(bar_class()):  # type: ignore[misc]
        lines: tuple[str, ...] = ()
        files: FileBars | None = None  # the bars below them
        size = 0, 0

        def display(self, msg: str | None = None, pos: int | None = None) -> None:
            """Draw the lines and go back to where they begin, or wipe them out.

            The terminal may get narrower and wrap what it shows, but the cursor stays there; so all below it is ours.
            And while the lines are drawn none is wrapped, as the terminal may just have become too narrow for them.
            """
            before, now = self.size, self.format_dict
            self.size = columns, rows = now["ncols"] or 80, now["nrows"] or 24
            wipe = "\033[J" if msg == "" or self.size != before else ""
            lines = [] if msg == "" else [f"{fit(line, columns - 1)}\033[K" for line in self.lines]
            back = "\033[A" * (len(lines) - 1)
            below = self.files.draw(len(lines), rows, columns) if self.files and lines else ""
            below += "\r" if below else ""
            self.fp.write(f"\033[?7l\r{wipe}" + "\n".join(lines) + f"\r{back}{below}\033[?7h")
            self.fp.flush()

    return Lines


class LiveLine:
    """Lines that are redrawn on a terminal, perhaps with bars of files below them.

    Elsewhere they are printed after a second and then every half minute.
    """

    def __init__(
        self,
        is_terminal: bool,
        quiet: bool,
        files: FileBars | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.is_terminal = is_terminal and (quiet or has_bars())
        self.quiet = quiet
        self.files = files if self.is_terminal and not quiet else None
        self.clock = clock
        self.due = clock() + (0 if self.is_terminal else EARLIEST)
        self.log_due = clock() + 1
        self.bar: Any = None

    def is_seen(self) -> bool:
        """Whether somebody looks at it just now, on the screen or in the log."""
        return not self.quiet or self.clock() >= self.log_due

    def show(self, *texts: str) -> None:
        """Put new texts on the lines, if it is time."""
        now = self.clock()
        if now >= self.log_due:
            self.log_due = now + REPEAT
            for text in texts:
                log.info("%s", text)
        if self.quiet or now < self.due:
            return
        self.due = now + (REDRAW if self.is_terminal else REPEAT)
        flush()
        try:
            if self.is_terminal:
                self.draw(texts)
            else:
                print(*texts, sep="\n", file=sys.stderr, flush=True)
        except OSError:
            silence(sys.stderr)

    def draw(self, texts: tuple[str, ...]) -> None:
        """Draw the lines on the terminal."""
        if self.bar is None:
            self.bar = lines_class()(file=sys.stderr, leave=False, dynamic_ncols=True, disable=False)
        self.bar.lines, self.bar.files = texts, self.files
        self.bar.refresh()

    def clear(self) -> None:
        """Make room for another line."""
        if self.bar is not None and self.bar.lines:
            self.bar.lines = ()
            with contextlib.suppress(OSError):
                self.bar.display("")
        if self.files:
            self.due = 0  # they are to be seen again at once

    def close(self, *texts: str) -> None:
        """End the lines; on a terminal their last texts stay."""
        texts = tuple(filter(None, texts if self.is_terminal and not self.quiet else ()))
        if self.files:
            self.clear()
            self.files.close()
            self.files = None
        with contextlib.suppress(OSError):
            if texts:
                self.draw(texts)
                print("\n" * len(texts), end="", file=sys.stderr, flush=True)
            if self.bar is not None:
                self.bar.close()
        self.bar = None


def program_name() -> str:
    """The name that gridsync was called by."""
    name = os.path.basename(sys.argv[0])
    return "gridsync.py" if name in ("", "-", "-c") else name


class Output:
    """What is said: lines on stdout and stderr and in the log, or one JSON document."""

    def __init__(self, quiet: bool = False, verbose: bool = False, as_json: bool = False):
        self.quiet = quiet or as_json
        self.verbose = verbose
        self.document: dict[str, Any] | None = {} if as_json else None
        self.is_terminal = sys.stderr.isatty()
        self.last_error = ""
        self.live: LiveLine | None = None

    def put(self, **parts: object) -> None:
        """Parts of the document."""
        if self.document is not None:
            self.document.update(parts)

    def put_dry(self, **parts: object) -> None:
        """Parts of what would be done."""
        if self.document is not None:
            self.document.setdefault("dry_run", {}).update(parts)

    def finish(self, status: int) -> None:
        """Print the document."""
        import json

        try:
            if self.document is not None:
                print(json.dumps({**self.document, "status": status}, indent=1, default=list))
            sys.stdout.flush()
        except OSError:
            silence(sys.stdout)

    def data(self, text: str, colour: Colour = Colour.NONE) -> None:
        """A line that was asked for."""
        self.say(None if self.document is not None else sys.stdout, text, colour)

    def line(self, text: str = "", colour: Colour = Colour.NONE) -> None:
        """A line that goes along."""
        self.say(None if self.quiet else sys.stdout, text, colour)

    def note(self, text: str) -> None:
        """Something good to know, which is no data."""
        self.say(None if self.quiet else sys.stderr, text)

    def warn(self, text: str) -> None:
        """Something that nobody may miss, also with --quiet."""
        if self.document is not None:
            self.document.setdefault("warnings", []).append(secrets.masked(text))
        self.say(sys.stderr, text)

    def error(self, error: object) -> None:
        """A sentence about what went wrong, but once; that another run is at work cron need not hear of."""
        if f": {self.last_error}".endswith(f": {error}"):  # first of a file, and then of the run
            return
        self.last_error = str(error)
        if self.document is not None:
            self.document.setdefault("errors", []).append(secrets.masked(str(error)))
        stream = None if self.quiet and isinstance(error, LockedError) else sys.stderr
        self.say(stream, f"{program_name()}: {error}", Colour.RED)

    def say(self, stream: TextIO | None, text: str, colour: Colour = Colour.NONE) -> None:
        """Print, unless to no stream, and log; when nobody reads any more, the work goes on without words."""
        text = make_printable(text)
        log.info("%s", text)
        if stream is None:
            return
        if self.live:
            self.live.clear()
        if stream is sys.stderr:
            flush()
        try:
            print(colour_word(text, colour, stream), file=stream, flush=stream is sys.stderr)
        except OSError:
            silence(stream)

    def tell_landed(self, outcome: Outcome) -> None:
        """A file that is here now."""
        if self.verbose:
            row = outcome.row
            self.line(f"=> {outcome.done}: {size_text(row.size)} {row.path} (verified by {row.verified})")

    def follow(self, files: FileBars | None = None) -> LiveLine:
        """A line for progress, which others may be printed above; with --verbose also the bars of files, below it."""
        self.live = LiveLine(can_redraw(sys.stderr), self.quiet, files if self.verbose else None)
        return self.live


class Rate:
    """Bytes a second over the last half minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self.clock = clock
        self.seen: deque[tuple[float, int]] = deque([(clock(), 0)])
        self.last = 0.0  # as it was asked for last

    def at(self, total: int) -> float:
        """The rate now that so many bytes have come."""
        now = self.clock()
        if now - self.seen[-1][0] >= 0.2:
            self.seen.append((now, total))
        while len(self.seen) > 2 and now - self.seen[1][0] > RATE_SPAN:
            self.seen.popleft()
        then, before = self.seen[0]
        self.last = max(total - before, 0) / max(now - then, 0.001)
        return self.last


def percent_text(part: int, whole: int, is_all: bool) -> str:
    """How much of the whole is here; 100% is for the end."""
    percent = 100 if is_all else min(99, 100 * part // whole) if whole else 0
    return f"{percent}%"


class Todo(NamedTuple):
    """What a run still has to do, as its progress tells."""

    files: int = 0
    size: int = 0  # bytes of them
    lost_files: int = 0  # that were given up
    lost: int = 0  # bytes of those
    tape: int = 0  # files on tape, if they decide when all is here
    above: str = ""  # a line above that of the progress
    beside: str = ""  # what else there is to count


class Bringing(Protocol):
    """What brings files, or reads them, and keeps these up to date."""

    flying: dict[str, int]  # bytes so far of each file on its way,
    received: dict[str, int]  # and those of them that came in this run


class Progress:
    """The manual's line while files are copied."""

    def __init__(
        self, live: LiveLine, tally: Tally, bringing: Bringing, verb: str = "Copied",
        clock: Callable[[], float] = time.monotonic,
    ):  # fmt: skip
        self.live = live
        self.verb = verb
        self.tally = tally
        self.bringing = bringing
        self.rate = Rate(clock)
        self.done = 0  # files that are here,
        self.bytes = 0  # and bytes of them
        self.moved = 0, clock()  # bytes that were here, and when they last grew
        self.texts: tuple[str, ...] = ()

    def count(self, outcome: Outcome) -> None:
        """One file more is here."""
        if outcome.is_here():
            self.done += 1
            self.bytes += outcome.row.size

    def show(self, todo: Todo) -> None:
        """Redraw the line."""
        flying, now = self.bringing.flying, self.rate.clock()
        current = sum(list(flying.values()))
        total, size = self.bytes + current, self.bytes + todo.size
        speed = self.rate.at(self.tally.received + sum(list(self.bringing.received.values())))
        left = max(0, size - total)
        if self.moved[0] != total or not flying:
            self.moved = total, now
        silent = now - self.moved[1]
        is_known = not todo.tape and (speed >= 1 or not left)
        eta, why = duration_text(left / max(speed, 1)) if is_known else "?", ""
        if silent > RATE_SPAN:
            eta, why = "?", f", nothing has come for {duration_text(silent)}"
        elif todo.tape:
            why = f", {todo.tape} still on tape"
        files = self.done + todo.files + todo.lost_files
        percent = percent_text(total, size + todo.lost, self.done >= files)
        text = (
            f"{self.verb} files: {self.done}/{files}, current: {size_text(current)}, "
            f"total: {size_text(total)}/{size_text(size)}, rate={size_text(speed)}/s, "
            f"ETA={eta} ({percent}{why})" + (f", {todo.beside}" if todo.beside else "")
        )
        self.texts = tuple(filter(None, (todo.above, text)))
        self.live.show(*self.texts)

    def close(self) -> None:
        """Leave the line as it was last seen."""
        self.live.close(*self.texts)


def walk_text(folders: int, files: int, size: int) -> str:
    """The line while folders are listed."""
    return f"Listing: {folders} folders, {files} files, {size_text(size)}"


def silence_text(silent: float) -> str:
    """That nothing has come for so many seconds, once it is long."""
    return f"nothing has come for {duration_text(silent)}" if silent > RATE_SPAN else ""


def staging_text(turn: int, online: int, of: int, silent: float = 0) -> str:
    """The manual's spinner while files come from tape."""
    sign = "|/-\\"[turn % 4]
    return f" [{sign}] ... {online} files ONLINE over {of}, {of - online} remaining ... {silence_text(silent)}".rstrip()
