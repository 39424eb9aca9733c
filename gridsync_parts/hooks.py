"""ON_DONE: a command of the user's for each file that is here and verified.

That it is owed is noted in the file's row before it runs, and goes from there once it has succeeded: whatever ends a
run, the next one does what is left. So it may run twice for a file, but never not at all.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import select
import signal
import threading
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Callable, NamedTuple

from gridsync_parts.errors import UsageError, brief
from gridsync_parts.log import log
from gridsync_parts.runs import Runs
from gridsync_parts.secrets import make_printable, secrets
from gridsync_parts.table import SITE_KEYS
from gridsync_parts.values import OWED, Row, is_owed, with_error
from gridsync_parts.words import duration_text

if TYPE_CHECKING:
    import subprocess

FAREWELL = 1.0  # seconds that one has to end when it is told to
LOOK = 0.2  # seconds between two looks at whether it is to be told
PATIENCE = 5.0  # seconds until it is said that this is waited for
LANE = "done"
KEPT = 4 << 10  # bytes of what one writes, from its end
SECRET_NAMES = "(?i).*(token|secret|passw|passphrase|_pwd|credential|api_?key|cookie).*"
REMEDY = "give a program of this machine with its full path, or empty ON_DONE"


class Ran(NamedTuple):
    """What became of the command for a file."""

    path: str
    error: str  # why it is still owed; empty if it is not


def environment(names: Iterable[str]) -> dict[str, str]:
    """What the command may know: all but secrets, whether they have a telling name, one of these, or were shown."""
    names = set(names)
    return {
        name: value
        for name, value in os.environ.items()
        if not (name in names or re.fullmatch(SECRET_NAMES, name) or secrets.are_in(value))
    }


def names_in(sources: Iterable[str]) -> list[str]:
    """The names of the environment where TOKEN of some site finds its token."""
    return [source[len("env:") :] for source in sources if source.startswith("env:")]


def words_of(command: str, folder: str) -> list[str]:
    """The words of a command, whose program is there; one with a slash in it is found from the work folder."""
    import shlex
    import shutil

    program, *others = shlex.split(command)
    found = os.path.abspath(os.path.join(folder, program)) if "/" in program else program
    if not shutil.which(found):
        raise UsageError(f"ON_DONE: the program {brief(program)} is not there or cannot be run; {REMEDY}")
    return [found, *others]


def start(words: list[str], env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a command, in a session of its own: Ctrl-C is for gridsync, which then ends it."""
    import subprocess

    blocked = signal.pthread_sigmask(signal.SIG_SETMASK, ())  # gfal2 blocks signals, also for whom we start
    try:
        return subprocess.Popen(
            words, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a command, with all that it has started."""
    import subprocess

    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(FAREWELL)
            return


class Command:
    """What is run for each file, in threads."""

    def __init__(self, words: list[str], output_dir: str, env: Mapping[str, str], threads: int, limit: float):
        self.words = words
        self.output_dir = os.path.abspath(output_dir)
        self.env = env
        self.threads = threads  # commands at once
        self.limit = limit  # seconds that one may take
        self.stop = threading.Event()
        self.hung = False  # one has taken too long: no other begins

    def run(self, row: Row) -> Ran:
        """Run it for a file, in a thread; nothing of that begins once the run ends."""
        if self.stop.is_set() or self.hung:
            return Ran(row.path, OWED)
        try:
            process = start([*self.words, os.path.join(self.output_dir, row.path)], self.env)
        except (OSError, ValueError) as error:  # ValueError: a name that the locale can't write
            return Ran(row.path, f"ON_DONE cannot be run: {getattr(error, 'strerror', None) or error}")
        assert process.stdout
        with process.stdout as output:
            said, was_ended = self.watch(process, output.fileno())
        text = said.decode("utf-8", "replace").strip()
        log.debug("ON_DONE for %s: %s; it says: %s", row.path, process.returncode, text)
        if was_ended:
            late = f"ON_DONE had not ended after {duration_text(self.limit)} and was ended"
            return Ran(row.path, OWED if self.stop.is_set() else late)
        if process.returncode == 0:
            return Ran(row.path, "")
        last = make_printable(brief(text.splitlines()[-1].strip())) if text else "nothing"
        how = f"status {process.returncode}" if process.returncode > 0 else f"signal {-process.returncode}"
        return Ran(row.path, f"ON_DONE failed with {how}; it says: {last}")

    def watch(self, process: subprocess.Popen[bytes], output: int) -> tuple[bytes, bool]:
        """The end of what a command writes, and whether it had to be ended; its children's words are not waited for."""
        import subprocess

        ends, said, is_open, poll = time.monotonic() + self.limit, b"", True, select.poll()
        os.set_blocking(output, False)
        poll.register(output, select.POLLIN)
        while process.poll() is None:
            if self.stop.is_set() or time.monotonic() > ends:
                self.hung = self.hung or not self.stop.is_set()
                end(process)
                return said, True
            if not is_open:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(LOOK)
            elif poll.poll(LOOK * 1000):
                data = self.read(output)
                said, is_open = (said + data)[-KEPT:], bool(data)
        return (said + self.read(output))[-KEPT:], False

    def read(self, output: int) -> bytes:
        """What is there to read."""
        try:
            return os.read(output, 64 << 10)
        except BlockingIOError:
            return b""


class Hooks:
    """The command in a run: for how many files it is owed, and what is noted and said of it."""

    def __init__(self, run: Runs, command: Command | None):
        self.run = run
        self.command = command  # None where there is none
        self.owed = 0  # files for which it has not succeeded,
        self.failed = 0  # and those of them for which it has failed
        self.since = 0.0  # when it was all that is waited for

    def add(self, rows: Iterable[Row]) -> None:
        """Have it run for files."""
        if self.command is None:
            return
        pool = self.run.loop.pool
        for row in rows:
            if LANE not in pool.lanes:
                pool.open(LANE, self.command.run, self.command.threads)
            self.owed += 1
            pool.add(LANE, row)

    def is_open(self) -> bool:
        """Whether it is still to end for some file."""
        return self.owed > 0 and self.run.loop.pool.pending(LANE) > 0

    def note(self, results: Iterable[Ran]) -> None:
        """Note for which files it has run, and say for which it has failed."""
        catalog = self.run.catalog()
        rows = catalog.by_path(self.run.scope.site)
        for path, error in results:
            self.owed -= not error
            if error not in ("", OWED):
                self.failed += 1
                self.run.report.error(f"{path}: {error}; the file is here, and the next run tries again")
            row = rows.get(path)
            if row and is_owed(row):  # else it is another version of the file by now
                catalog.put([with_error(row, error)])

    def tell_wait(self, is_busy: Callable[[], bool]) -> None:
        """Say once that nothing else has been waited for for a while."""
        if not self.is_open() or is_busy():
            return
        now = self.run.loop.clock()
        self.since = self.since or now
        if now >= self.since + PATIENCE:
            self.since = math.inf
            self.run.report.note(f"Waiting for ON_DONE, for {self.owed - self.failed} file(s)")

    def close(self) -> None:
        """End what runs, and say for how many files it has not."""
        if self.command is None:
            return
        self.command.stop.set()
        if LANE in self.run.loop.pool.lanes:
            self.note(self.run.loop.pool.shut(LANE))
        if left := self.owed - self.failed:
            self.run.report.note(f"ON_DONE has still to run for {left} file(s); the next run does that")


def hooks_of(run: Runs) -> Hooks:
    """The command, if there is one; only a Grid.conf that nobody else can write may name it."""
    settings, config = run.settings, run.config
    if not settings.on_done:
        return Hooks(run, None)
    config.file.check_own("ON_DONE")
    words = words_of(settings.on_done, config.folder)
    sources = [config.value(name, SITE_KEYS["TOKEN"]) for name in config.sites()]
    processors = len(getattr(os, "sched_getaffinity", lambda _: {0})(0))
    env = environment(names_in([*sources, settings.site.token]))
    threads = min(settings.threads, processors)
    return Hooks(run, Command(words, settings.output_dir, env, threads, run.loop.pace.command))
