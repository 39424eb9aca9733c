"""Processes of Dask's beside this one: in one they would slow each other down.

They hang on a pipe, and end with it, however the run ends. They serve no page: Dask opens a port for one in any case,
here on the loopback, with nothing behind it.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from typing import Any

from gridsync_parts.errors import CrewError, UsageError, brief
from gridsync_parts.farm.tls import Keys
from gridsync_parts.keys import helper_env
from gridsync_parts.log import log
from gridsync_parts.secrets import make_printable

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # or the zip that all is in
STARTING = 60  # seconds until a scheduler of the run's own must be up, on a machine that has much to do
FAREWELL = 2.0  # seconds that processes have to end
# Dask's own settings for what is started here: nothing is served, and nothing kept or measured that nobody looks at.
PLAIN = {
    "DASK_DISTRIBUTED__SCHEDULER__HTTP__ROUTES": "[]",
    "DASK_DISTRIBUTED__WORKER__HTTP__ROUTES": "[]",
    "DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION": "True",
    "DASK_DISTRIBUTED__SCHEDULER__WORK_STEALING": "False",
    "DASK_DISTRIBUTED__SCHEDULER__EVENTS_LOG_LENGTH": "100",
    "DASK_DISTRIBUTED__SCHEDULER__TRANSITION_LOG_LENGTH": "100",
    "DASK_DISTRIBUTED__ADMIN__LOW_LEVEL_LOG_LENGTH": "100",  # the two above, since 2023
    "DASK_DISTRIBUTED__ADMIN__SYSTEM_MONITOR__GIL__ENABLED": "False",
    "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
}
# What the libraries go by with which this process, too, speaks to sites.
NEEDED = (
    "LD_.*|PYTHON(?:HOME|USERBASE|UTF8)|SSL_CERT_.*|OPENSSL_.*|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|(?i:[a-z]+_proxy)|"
    "XRD_.*|XrdSec.*|GFAL_.*|GLOBUS_.*|KRB5.*|SSH_AUTH_SOCK|XAUTHORITY|DBUS_SESSION_BUS_ADDRESS"
)
UNASKED = {  # what Dask would find out in this process: the source of who asks, and all about all workers, all the time
    "distributed.diagnostics.computations.ignore-modules": [".*"],
    "distributed.client.scheduler-info-interval": "1h",
}
NO_PAGE = ["--no-dashboard", "--dashboard-address", "127.0.0.1:0"]
# It finds modules where this process does, and none in the folder that it happens to be in.
CODE = "import sys; sys.path[:] = {}; from gridsync_parts.farm.beside import serve; serve({!r}, {!r}, {!r})"


def need(module: str) -> Any:
    """A package that --workers needs."""
    # dask_jobqueue has Ctrl-C end the program on the spot, and can be loaded by the main thread alone for it.
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.replace("_", "-")
        debian = f"on Debian: apt install python3-{package}, or " if module == "distributed" else ""
        raise UsageError(
            f"--workers needs {package}, which is not installed; {debian}pip install 'gridsync[workers]'"
        ) from error
    except ValueError as error:
        said = brief(make_printable(" ".join(str(error).split())))
        raise UsageError(f"Dask cannot read its configuration ({said}); correct that file") from error
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is not handler:
                signal.signal(number, handler)


class Whispers(logging.Handler):
    """What Dask says, for whoever looks for a fault."""

    def emit(self, record: logging.LogRecord) -> None:
        log.debug("dask: %s", record.getMessage())


def be_quiet() -> None:
    """Have Dask's words in the log alone, and nothing sent along that nobody looks at."""
    import dask.config

    need("distributed")  # which would have them on the screen
    dask.config.set(UNASKED)
    logging.captureWarnings(True)
    for name in ("distributed", "distributed.client", "tornado", "tornado.application", "asyncio", "py.warnings"):
        logger = logging.getLogger(name)
        logger.handlers[:] = [Whispers()]
        logger.propagate = False


# In such a process.


def hang_on(folder: str) -> None:
    """End this process when the one that has started it does, and remove the keys of the run if that did not."""
    import shutil

    while os.read(0, 1):
        pass
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)  # whatever a thread hangs in


def serve(program: str, arguments: list[str], folder: str) -> None:
    """Be Dask's scheduler or a worker, as its command line would."""
    threading.Thread(target=hang_on, args=[folder], daemon=True).start()
    import dask.config

    dask.config.refresh(paths=[], env=PLAIN)  # what the user has set is for clusters of the user's own
    command = importlib.import_module(f"distributed.cli.dask_{program}").main
    command(arguments)


# Here.


def environment() -> dict[str, str]:
    """What a worker of this machine needs to do what this process would; it is shown tokens and proxies by a path."""
    more = {name: value for name, value in os.environ.items() if re.fullmatch(NEEDED, name)}
    return helper_env(**more, **PLAIN)


class Child:
    """A process of Dask's on this machine."""

    def __init__(self, program: str, arguments: list[str], folder: str, name: str):
        self.log = os.path.join(folder, f"{name}.log")
        paths = [path for path in (*sys.path, TOP) if path]
        with open(self.log, "wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-c", CODE.format(paths, program, arguments, folder)], start_new_session=True,
                cwd=folder, env=environment(), stdin=subprocess.PIPE, stdout=file, stderr=file,
            )  # fmt: skip
        self.began = time.monotonic()

    def has_ended(self) -> bool:
        """Whether it has."""
        return self.process.poll() is not None

    def last_words(self) -> str:
        """The last line that it wrote."""
        with contextlib.suppress(OSError), open(self.log, encoding="utf-8", errors="replace") as file:
            lines = [line.strip() for line in file if line.strip()]
            return brief(make_printable(lines[-1])) if lines else "it said nothing"
        return "it said nothing"

    def let_go(self) -> None:
        """Have it end by itself."""
        if self.process.stdin:
            with contextlib.suppress(OSError):
                self.process.stdin.close()

    def end(self, deadline: float) -> None:
        """See that it has ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(max(0.0, deadline - time.monotonic()))
        self.process.kill()
        self.process.wait()


def end_all(children: list[Child]) -> None:
    """Have processes end, those that hang, too."""
    for child in children:
        child.let_go()
    deadline = time.monotonic() + FAREWELL
    for child in children:
        child.end(deadline)


def tls_words(keys: Keys) -> list[str]:
    """As Dask's command lines are told."""
    return ["--tls-ca-file", keys.certificate, "--tls-cert", keys.certificate, "--tls-key", keys.key]


class Scheduler:
    """A scheduler of the run's own."""

    def __init__(self, keys: Keys, options: list[str]):
        told = os.path.join(keys.folder, "scheduler.json")
        words = ["--port", "0", *options, "--protocol", "tls", "--scheduler-file", told, *NO_PAGE, *tls_words(keys)]
        self.child = Child("scheduler", words, keys.folder, "scheduler")
        self.address = ""
        deadline = time.monotonic() + STARTING
        try:
            while not self.address:
                self.look()
                if time.monotonic() > deadline:
                    raise CrewError("Dask's scheduler does not start; see whether this machine has too much to do")
                time.sleep(0.05)
                with contextlib.suppress(OSError, ValueError, KeyError), open(told, encoding="utf-8") as file:
                    self.address = json.load(file)["address"]
        except BaseException:
            end_all([self.child])
            raise

    def look(self) -> None:
        """CrewError if it has ended."""
        if self.child.has_ended():
            raise CrewError(f"Dask's scheduler has ended ({self.child.last_words()}); start again, nothing is lost")
