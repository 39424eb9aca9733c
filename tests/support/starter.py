"""A process that has loaded the program and forks for each run, which else takes several times as long.

Runs that are watched, killed or measured start by themselves (User.running), and so do those of the cases.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from functools import cache
from pathlib import Path
from typing import Any

from tests.support import SCRIPT, TOP
from tests.support.constants import all_modules, change

AT_START = "LC_.*|LANG.*|PYTHON.*|LD_.*|COVERAGE_.*"  # what a process looks at when it starts, and later no more
LARGEST = 1 << 20  # bytes of what one run is told
PID = 9  # bytes of its number
STARTING = threading.Lock()


class Endless(subprocess.TimeoutExpired):
    """A gridsync that does not end in time, and what it has said until then."""

    def __str__(self) -> str:
        return f"{super().__str__()}; it has said: {self.output} {self.stderr}"


class Starter:
    """The process as the tests see it."""

    def __init__(self) -> None:
        self.ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (self.ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LARGEST)
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.starter", str(theirs.fileno())],
                cwd=TOP, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            )  # fmt: skip
        atexit.register(self.close)

    def close(self) -> None:
        """End it, with our end of the line."""
        self.ours.close()
        self.process.wait()

    def run(
        self, words: list[str], changed: str, typed: str, env: dict[str, str], limit: float
    ) -> tuple[int, str, str]:  # fmt: skip
        """The exit status, stdout and stderr of gridsync.py with these words."""
        with contextlib.ExitStack() as stack:
            files = [stack.enter_context(open(os.memfd_create(name), "w+b")) for name in ("in", "out", "err")]
            files[0].write(typed.encode())
            files[0].seek(0)
            answers, theirs = socket.socketpair()
            with answers:
                told = {"words": words, "changed": changed, "env": env, "cwd": os.getcwd(), "mask": umask()}
                with theirs:
                    ends = [*(file.fileno() for file in files), theirs.fileno()]
                    socket.send_fds(self.ours, [json.dumps(told).encode()], ends)
                answers.settimeout(limit)
                pid = int(answers.recv(PID))
                try:
                    status: int | None = int(answers.recv(20))
                except TimeoutError:
                    os.kill(pid, signal.SIGKILL)
                    status = None
            for file in files:
                file.seek(0)
            out, err = (file.read().decode(errors="replace").replace("\r\n", "\n") for file in files[1:])
            if status is None:
                raise Endless(words, limit, out, err)
            return status, out, err


def umask() -> int:
    """The mask of this process, which other threads may make files with meanwhile."""
    return int(re.search(r"^Umask:\s*(\d+)", Path("/proc/self/status").read_text(), re.MULTILINE)[1], 8)  # type: ignore


@cache
def starter_of(pid: int) -> Starter:
    """The one of a process."""
    return Starter()


def starter() -> Starter:
    """The one of this process, also if several threads ask for it first."""
    with STARTING:
        return starter_of(os.getpid())


def can_run(env: dict[str, str]) -> bool:
    """Whether a run in this environment is the same if it is forked."""
    names = {name for name in {*env, *os.environ} if re.fullmatch(AT_START, name)}
    return all(env.get(name) == os.environ.get(name) for name in names)


def load() -> None:
    """Load what most runs need, and later runs need not."""
    all_modules()
    for name in ("gfal2", "requests", "tqdm", "http.client", "ssl", "subprocess", "tempfile", "configparser"):
        importlib.import_module(name)


def become(told: dict[str, Any], files: list[int]) -> None:
    """Be the process that runs gridsync.py."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number, file in enumerate(files):
        os.dup2(file, number)
    os.closerange(3, 256)
    os.environ.clear()
    os.environ.update(told["env"])
    time.tzset()
    os.chdir(told["cwd"])
    os.umask(told["mask"])
    sys.argv = [str(SCRIPT), *told["words"]]
    change(f"EARLIEST = 10; {told['changed']}")  # on a slow machine a short run tells no more than on a fast one


def serve(line: socket.socket) -> None:
    """Fork for each run that is asked for; in such a process, return."""
    import gc
    import selectors

    woken, wake = os.pipe()
    for end in (woken, wake):
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    waiting: dict[int, int] = {}  # the line to who asked, by process
    with selectors.DefaultSelector() as selector:
        selector.register(line, selectors.EVENT_READ)
        selector.register(woken, selectors.EVENT_READ)
        gc.freeze()
        while True:
            ready = {key.fileobj for key, _ in selector.select()}
            if woken in ready:
                os.read(woken, 1000)
            for pid in list(waiting):
                done, status = os.waitpid(pid, os.WNOHANG)
                if done:
                    answer = waiting.pop(pid)
                    with contextlib.suppress(BrokenPipeError):  # who asked waits no more
                        os.write(answer, b"%d" % os.waitstatus_to_exitcode(status))
                    os.close(answer)
            if line in ready:
                message, files, _, _ = socket.recv_fds(line, LARGEST, 4)
                if not message:
                    os._exit(0)
                pid = os.fork()
                if not pid:
                    return become(json.loads(message), files[:3])
                waiting[pid] = files[3]
                os.write(files[3], b"%-*d" % (PID, pid))
                for file in files[:3]:
                    os.close(file)


def run() -> None:
    """Run gridsync.py, and end as Python does, but without tidying up memory that goes with the process anyway."""
    import traceback

    import gridsync

    status: object = 1
    try:
        gridsync.script()
    except SystemExit as end:
        status = end.code
    except BaseException:
        traceback.print_exc()
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for file in (sys.stdout, sys.stderr):
        file.flush()
    os._exit(int(str(status)))


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    sys.path[0] = str(SCRIPT.parent)
    load()
    serve(socket.socket(fileno=int(sys.argv[1])))
    run()
