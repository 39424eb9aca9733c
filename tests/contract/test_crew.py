"""Workers, reached through Dask: those of this machine, and those of a scheduler. Their work is played."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import ssl
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gridsync_parts.errors import CrewError
from gridsync_parts.farm.hiring import Known
from gridsync_parts.farm.loads import Back, Heard, Joined, Left, Lost
from gridsync_parts.farm.tls import make_keys
from tests.grid.farm import Farm
from tests.support import TOP
from tests.support.constants import replace
from tests.support.crew import LONG, PATIENCE, Team
from tests.support.line import Line

dask = pytest.importorskip("distributed").dask

@pytest.fixture
def team() -> Iterator[Callable[..., Team]]:
    """Makes crews, and lets go of them."""
    teams: list[Team] = []

    def make(where: str = "local:1", *arguments: object) -> Team:
        teams.append(Team(where, *arguments))
        teams[-1].crew.start()
        return teams[-1]

    yield make
    for one in teams:
        one.crew.close()


def wait_for(holds: Callable[[], bool]) -> None:
    """Until it holds."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_there(pid: int) -> bool:
    """Whether a process is."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "(zombie)" not in Path(f"/proc/{pid}/status").read_text()


def test_workers_of_this_machine_come_work_tell_how_far_they_are_and_end(team):
    crew = team("local:2", "0", 5)
    workers = [crew.next(Joined), crew.next(Joined)]
    assert [worker.threads for worker in workers] == [3, 3]
    pids = [worker.greeting.pid for worker in workers]
    for worker in workers:
        number = crew.give(worker.worker, "1")
        assert crew.next(Heard).beat.files == {"näme\udcff": (1, 2)}
        back = crew.next(Back)
        assert (back.worker, back.returned.number, back.returned.unfit) == (worker.worker, number, None)
    folder = crew.crew.hired.keys.folder
    crew.crew.close()
    assert not any(map(is_there, [*pids, crew.crew.hired.scheduler.child.process.pid]))
    assert not os.path.exists(folder)


def test_a_worker_that_is_killed_at_work_is_known_to_have_ended_and_another_comes(team):
    crew = team()
    worker = crew.next(Joined)
    crew.give(worker.worker, LONG)
    crew.next(Heard)
    os.kill(worker.greeting.pid, signal.SIGKILL)
    assert crew.next(Left) == Left(worker.worker, has_ended=True)
    other = crew.next(Joined)
    crew.give(other.worker)
    assert crew.next(Back).worker == other.worker


def test_a_worker_that_is_busy_hears_that_it_is_to_stop(team):
    crew = team("local:1", "0", 1)
    worker = crew.next(Joined).worker
    number = crew.give(worker, LONG)
    crew.next(Heard)
    crew.crew.halt()
    assert crew.next(Back).returned.number == number


def test_a_worker_that_hangs_is_dropped_and_another_one_comes(team):
    crew = team()
    worker = crew.next(Joined)
    crew.give(worker.worker, LONG)
    crew.next(Heard)
    os.kill(worker.greeting.pid, signal.SIGSTOP)
    crew.crew.drop(worker.worker)
    crew.give(worker.worker)
    news = crew.next((Joined, Left, Back))
    assert isinstance(news, Joined) and news.greeting.pid != worker.greeting.pid


def test_a_worker_that_was_given_up_comes_anew_once_it_has_heard_of_it(team, known, tmp_path):
    with Farm(tmp_path) as farm:
        known(farm)
        worker = farm.hire(1)
        crew = team(farm.address)
        joined = crew.next(Joined)
        crew.give(joined.worker, LONG)
        crew.next(Heard)
        os.kill(worker.pid, signal.SIGSTOP)
        crew.crew.drop(joined.worker)
        time.sleep(3)
        assert not [news for news in crew.heard() if not isinstance(news, Heard)]
        os.kill(worker.pid, signal.SIGCONT)
        assert crew.next((Joined, Left, Back)) == joined
        crew.give(joined.worker)
        crew.next(Back)


def test_a_worker_that_dies_of_each_load_is_told_each_time_and_none_is_tried_elsewhere(team):
    crew = team("local:2")
    workers = {crew.next(Joined).worker, crew.next(Joined).worker}
    for _ in range(2):
        worker = workers.pop()
        crew.give(worker, "die")
        assert crew.next(Left) == Left(worker, has_ended=True)
        workers.add(crew.next(Joined).worker)
    assert len(workers) == 2


def test_what_goes_wrong_in_a_worker_is_a_sentence(team):
    crew = team()
    worker = crew.next(Joined)
    number = crew.give(worker.worker, "raise")
    returned = crew.next(Back).returned
    assert returned.number == number
    assert str(returned.unfit) == (
        "worker 127.0.0.1 can't work with this gridsync (TypeError: another shape); install the same one there"
    )
    fault = team("local:1", "strange").next(Joined).greeting.fault
    assert "can't work with this gridsync" in str(fault)


def test_that_the_scheduler_is_gone_is_told_at_once(team):
    crew = team()
    crew.next(Joined)
    crew.crew.hired.scheduler.child.process.kill()
    error = crew.next(Lost).error
    assert isinstance(error, CrewError)
    assert re.fullmatch("Dask's scheduler has ended .*; start again, nothing is lost", str(error))


def test_that_the_scheduler_hangs_is_told_in_bounded_time(team, monkeypatch):
    replace(monkeypatch, "ANSWERING", 1)
    crew = team()
    crew.next(Joined)
    os.kill(crew.crew.hired.scheduler.child.process.pid, signal.SIGSTOP)
    assert "does not answer any more" in str(crew.next(Lost).error)
    began = time.monotonic()
    crew.crew.close()
    assert time.monotonic() - began < PATIENCE
    assert not is_there(crew.crew.hired.scheduler.child.process.pid)


def test_the_keys_of_a_run_are_for_nobody_else_and_it_listens_on_this_machine_alone(team):
    crew = team("local:2")
    crew.next(Joined)
    folder = Path(crew.crew.hired.keys.folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE((folder / name).stat().st_mode) for name in ("key.pem", "certificate.pem")} == {0o600}
    pids = [child.process.pid for child in [*crew.crew.hired.workers, crew.crew.hired.scheduler.child]]
    listening = [line for line in sockets() if re.search(rf"pid=({'|'.join(map(str, pids))}),", line)]
    addresses = [line.split()[3] for line in listening]
    assert len(addresses) == 6 and all(address.startswith("127.0.0.1:") for address in addresses)
    pages = {answer for address in addresses for answer in [page(address)] if answer}
    assert pages == {404}  # the port that Dask has for pages has none


def sockets() -> list[str]:
    """Where processes of this machine listen."""
    return subprocess.run(["ss", "-Htlnp"], capture_output=True, text=True, check=True).stdout.splitlines()


def page(address: str) -> int:
    """What an address answers to who asks for its pages, and for a worker's end; 0 if it speaks no HTTP."""
    found = set()
    pages = (("/status", None), ("/", None), ("/info/main/workers.html", None), ("/api/v1/retire_workers", b""))
    for path, data in pages:
        try:
            urllib.request.urlopen(f"http://{address}{path}", data, timeout=PATIENCE).close()
            found.add(200)
        except urllib.error.HTTPError as error:
            found.add(error.code)
        except (OSError, http.client.HTTPException):
            found.add(0)
    assert len(found) == 1, f"{address}: {found}"
    return found.pop()


def test_workers_of_this_machine_have_no_secret_in_their_environment(team, monkeypatch):
    monkeypatch.setenv("BEARER_TOKEN", "a-secret-of-the-run")
    monkeypatch.setenv("https_proxy", "http://relay:3128")
    crew = team()
    pids = [crew.next(Joined).greeting.pid, crew.crew.hired.scheduler.child.process.pid]
    texts = [Path(f"/proc/{pid}/environ").read_bytes() for pid in pids]
    assert not any(b"a-secret" in text for text in texts)
    assert b"https_proxy=http://relay:3128" in texts[0]


def hears_nothing(context: ssl.SSLContext, line: socket.socket) -> bool:
    """Whether the other side refuses what it is shown; with TLS 1.3 that comes in place of its first bytes."""
    line.settimeout(PATIENCE)
    try:
        with context.wrap_socket(line) as tls:
            return not tls.recv(1)
    except TimeoutError:
        return False
    except OSError:
        return True


def test_who_has_no_keys_is_let_in_nowhere(team, tmp_path):
    crew = team()
    worker = crew.next(Joined)
    for address in (crew.crew.hired.address, worker.worker):
        host, port = address.removeprefix("tls://").split(":")
        foreign = make_keys(str(tmp_path))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        for keys in (None, foreign):
            if keys:
                context.load_cert_chain(keys.certificate, keys.key)
            with socket.create_connection((host, int(port))) as line:
                assert hears_nothing(context, line)


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Farm], None]]:
    """Has Dask's configuration here name the keys of a scheduler."""

    def know(farm: Farm) -> None:
        for name, value in farm.environment.items():
            monkeypatch.setenv(name, value)
        dask.config.refresh()

    yield know
    monkeypatch.undo()
    dask.config.refresh()


def test_an_address_is_a_scheduler_with_workers_of_its_own(team, known, tmp_path):
    with Farm(tmp_path) as farm:
        known(farm)
        crew = team(farm.address)
        farm.hire(3)
        worker = crew.next(Joined)
        assert worker.threads == 3
        crew.give(worker.worker, "0.5")
        crew.next(Heard)
        crew.next(Back)
        crew.crew.close()
        assert farm.workers[0].is_running()  # it is the user's


@pytest.mark.parametrize("tls", [True, False])
def test_nobody_on_the_way_hears_what_is_said_over_tls(tls, team, known, tmp_path):
    with Farm(tmp_path, tls) as farm:
        known(farm)
        scheme, host, port = farm.address.split(":")
        line = Line(int(port), hears=True)
        crew = team(f"{scheme}:{host}:{line.port}")
        farm.hire()
        crew.give(crew.next(Joined).worker, "0.5")
        crew.next(Heard)
        crew.next(Back)
        line.close()
    heard = b"".join(line.heard)
    words = [b"labour_there", b"a-host", "näme".encode()]  # what is asked, what a worker answers, what it tells
    assert [word in heard for word in words] == [not tls] * len(words)


def test_a_line_to_the_scheduler_that_breaks_ends_the_crew(team, known, tmp_path):
    with Farm(tmp_path) as farm:
        known(farm)
        line = Line(int(farm.address.rpartition(":")[2]))
        crew = team(f"tls://127.0.0.1:{line.port}")
        farm.hire()
        crew.give(crew.next(Joined).worker, LONG)
        crew.next(Heard)
        farm.scheduler.stop()
        said = str(crew.next(Lost).error)
        assert re.fullmatch(r"the (connection to the )?scheduler tls://.*; start again, nothing is lost", said)
        line.close()


def test_who_has_other_keys_hears_that_no_scheduler_answers(known, tmp_path, monkeypatch):
    replace(monkeypatch, "CONNECTING", 1)
    with Farm(tmp_path) as farm:
        farm.keys = make_keys(str(tmp_path))
        known(farm)
        with pytest.raises(CrewError, match=r"no scheduler of Dask answers at tls://.*the keys that distributed"):
            Team(farm.address).crew.start()


def test_a_worker_without_gridsync_is_told_by_its_name(team, known, tmp_path):
    with Farm(tmp_path) as farm:
        known(farm)
        farm.hire(PYTHONPATH="")
        fault = team(farm.address).next(Joined).greeting.fault
        assert str(fault) == "worker 127.0.0.1 has no gridsync, or an older one; install the same one there"


def test_a_scheduler_without_workers_is_told_in_bounded_time(known, tmp_path, monkeypatch, team):
    monkeypatch.setattr(Known, "patience", 1.0)
    with Farm(tmp_path) as farm:
        known(farm)
        crew = team(farm.address)
        assert str(crew.next(Lost).error) == f"the scheduler {farm.address} has no worker that answers; start some"


RUN = """
import queue, sys, time
from gridsync_parts.farm.crew import Crew
from gridsync_parts.farm.loads import Heard, Joined, Load, Lost
from tests.support.crew import LONG, setting
from tests.support import hands

news = queue.Queue()
crew = Crew("local:2", setting(), 4, news.put, hands=hands)
try:
    crew.start()
    for number, joined in enumerate([news.get(), news.get()]):
        print(joined.greeting.pid, flush=True)
        crew.give(joined.worker, Load(number, setting(LONG), (), 2))
    print(*[child.process.pid for child in [*crew.hired.workers, crew.hired.scheduler.child]], flush=True)
    print(crew.hired.keys.folder, flush=True)
    while not isinstance(news.get(), Lost):
        pass
    print("lost", flush=True)
except KeyboardInterrupt:
    print("stopped", flush=True)
if sys.argv[1] == "closes":
    crew.close()
"""


@pytest.mark.parametrize(
    "how, closes", [("kill", False), ("interrupt", True), ("interrupt", False), ("no scheduler", True)]
)
def test_all_that_was_started_ends_with_the_run_however_it_ends(how, closes, tmp_path):
    command = [sys.executable, "-c", RUN, "closes" if closes else "ends"]
    with subprocess.Popen(command, cwd=TOP, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        pids = {int(run.stdout.readline()) for _ in range(2)}
        *workers, scheduler = map(int, run.stdout.readline().split())
        folder = run.stdout.readline().strip()
        if how == "no scheduler":
            os.kill(scheduler, signal.SIGKILL)
        else:
            run.send_signal(signal.SIGKILL if how == "kill" else signal.SIGINT)
        out, err = run.communicate(timeout=PATIENCE)
    assert (out, err) == ({"kill": "", "interrupt": "stopped\n", "no scheduler": "lost\n"}[how], "")
    assert pids == set(workers)
    wait_for(lambda: not any(map(is_there, [*workers, scheduler])))
    wait_for(lambda: not os.path.exists(folder))
