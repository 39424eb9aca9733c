"""The log: requests on the screen, if they are wanted there, and all that is said in a file."""

from __future__ import annotations

import io
import os
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, TextIO

from gridsync_parts.errors import DiskError
from gridsync_parts.secrets import make_printable, secrets

if TYPE_CHECKING:
    import logging


def nothing(*_: object, **__: object) -> None:
    """What is done until there is more to do."""


log = SimpleNamespace(debug=nothing, info=nothing)  # until start_logging, as to load it is a tenth of --help


def can_redraw(stream: TextIO) -> bool:
    """Whether a stream is a terminal whose cursor can be moved."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def has_bars() -> bool:
    """Whether tqdm is installed; without it progress is told in plain lines."""
    try:
        from tqdm import tqdm  # noqa: F401 - a folder that is left of it can be imported, too
    except ImportError:
        return False
    return True


def start_logging(debug: bool, log_file: str | None) -> None:
    """Log requests to the screen, if they are wanted there, and all that is said to a file."""
    import logging

    class Plain(logging.Formatter):
        """Lines with nothing in them that a terminal would obey."""

        def format(self, record: logging.LogRecord) -> str:
            return "\n".join(map(make_printable, secrets.masked(super().format(record)).split("\n")))

    logging.raiseExceptions = False  # a log that can't be written holds up no work
    logger = logging.getLogger("gridsync")
    logger.setLevel(logging.DEBUG if debug else logging.INFO)
    log.debug, log.info = logger.debug, logger.info
    if debug:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(line_buffering=True)  # what comes first is said first
        screen = logging.StreamHandler()
        screen.setFormatter(Plain())
        screen.terminator = "\033[J\n" if can_redraw(sys.stderr) else "\n"  # over the progress
        screen.addFilter(lambda record: record.levelno == logging.DEBUG)
        logger.addHandler(screen)
    if log_file:
        try:
            file = logging.FileHandler(os.path.expanduser(log_file), encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise DiskError(f"the log file {log_file} cannot be written: {error.strerror}") from error
        file.setFormatter(Plain("%(asctime)s %(message)s"))
        logger.addHandler(file)
