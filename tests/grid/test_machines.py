"""Machines with lines of their own: each line carries what it is to carry, and nothing of them is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.grid import machines
from tests.grid.machines import NAME, Machines, NoMachines, call
from tests.support import TOP
from tests.support.user import wait_until

BYTES = 2_500_000  # a second of a line
FETCH = ("curl", "-s", "-o", "/dev/null", "-w", "%{http_code} %{size_download} %{time_total}")
KILLED = f"""
import sys, time
sys.path.insert(0, {str(TOP)!r})
from tests.grid.machines import Machines
with Machines(1) as some:
    print("there", flush=True)
    time.sleep(600)
"""


class Bytes(BaseHTTPRequestHandler):
    """Sends a second of a line, and takes what comes."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(BYTES))
        self.end_headers()
        self.wfile.write(bytes(BYTES))

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(201)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@pytest.fixture(scope="module")
def some() -> Iterator[Machines]:
    try:
        with Machines(4) as some:
            yield some
    except NoMachines as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def url(some: Machines) -> Iterator[str]:
    server = ThreadingHTTPServer((some.gate, 0), Bytes)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://{some.gate}:{server.server_port}/"
    server.shutdown()
    server.server_close()


def seconds_of(some: Machines, numbers: list[int], *words: str) -> list[float]:
    """How long curl takes at each of some machines, all at once."""
    pipe = subprocess.PIPE
    runs = [subprocess.Popen(some.command(number, *words), stdout=pipe, text=True) for number in numbers]
    said = [run.communicate(timeout=60)[0].split() for run in runs]
    assert {code for code, *_ in said} <= {"200", "201"}
    return [float(seconds) for *_, seconds in said]


def test_a_line_is_held_to_its_rate_in_both_directions(some, url, tmp_path):
    (tmp_path / "sent").write_bytes(bytes(BYTES))
    (fetched,) = seconds_of(some, [0], *FETCH, url)
    (sent,) = seconds_of(some, [0], *FETCH, "-T", str(tmp_path / "sent"), url)
    assert fetched > 0.95 and sent > 0.95  # what may go at once after a rest is not waited for


def test_each_has_a_line_of_its_own(some, url):
    (alone,) = seconds_of(some, [1], *FETCH, url)
    together = seconds_of(some, [0, 1, 2, 3], *FETCH, url)
    assert max(together) < 2 * alone, "four on one line would take four times as long"


@pytest.mark.skipif(os.getuid() != 0, reason="machines with lines of their own need root")
def test_a_killed_run_leaves_nothing_that_the_next_one_does_not_remove(some):
    pids = call(f"ip netns pids {NAME}0").split()
    assert not pids
    left = subprocess.Popen(some.command(0, "sleep", "600"))
    wait_until(lambda: call(f"ip netns pids {NAME}0").split() == [str(left.pid)])
    machines.remove_all()  # as at the beginning of the next one
    assert left.wait(20) == -signal.SIGKILL
    assert NAME not in call("ip -br link") and NAME not in call("ip netns list")


def test_only_one_run_has_machines_and_a_killed_one_has_none(some, monkeypatch):
    monkeypatch.setattr(machines, "PATIENCE", 0.1)
    with pytest.raises(NoMachines, match="another run has machines"), Machines(1):
        pass
    os.close(some.lock)
    try:
        with subprocess.Popen([sys.executable, "-c", KILLED], stdout=subprocess.PIPE, text=True) as other:
            assert other.stdout and other.stdout.readline() == "there\n"
            with pytest.raises(NoMachines, match="another run has machines"):
                machines.take_lock()
            other.kill()
        monkeypatch.setattr(machines, "PATIENCE", 20)
        began = time.monotonic()
        with Machines(2) as again:
            assert again.gate and time.monotonic() - began < 20
    finally:
        some.lock = machines.take_lock()


def test_whoever_is_not_root_is_told_so(monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    with pytest.raises(NoMachines, match="need root"), Machines(1):
        pass


def test_without_iproute2_it_is_named(monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: 0)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(NoMachines, match="need ip and tc: apt install iproute2"), Machines(1):
        pass
