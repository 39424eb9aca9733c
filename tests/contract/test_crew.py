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

from gridsync_parts.errors import CrewError, UsageError
from gridsync_parts.farm.hiring import Known, check_where
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


@pytest.fixture(scope="module")
def pair() -> Iterator[Team]:
    """A crew of two that several tests share, each with two threads; the run has a secret in its environment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BEARER_TOKEN", "a-secret-of-the-run")
        patch.setenv("https_proxy", "http://relay:3128")
        one = Team("local:2", "0", 3)
        one.crew.start()
    one.here = [one.next(Joined), one.next(Joined)]
    yield one
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


def test_workers_of_this_machine_come_work_and_tell_how_far_they_are(pair):
    assert [joined.threads for joined in pair.here] == [2, 2]
    for joined in pair.here:
        number = pair.give(joined.worker, "0.5")
        assert pair.next(Heard).beat.files == {"näme\udcff": (1, 2)}
        back = pair.next(Back)
        assert (back.worker, back.returned.number, back.returned.unfit) == (joined.worker, number, None)


@pytest.mark.long
def test_a_worker_that_is_killed_at_work_is_known_to_have_ended_and_another_comes(pair):
    gone = pair.here.pop()
    pair.give(gone.worker, LONG)
    pair.next(Heard)
    os.kill(gone.greeting.pid, signal.SIGKILL)
    assert pair.next(Left) == Left(gone.worker, has_ended=True)
    pair.here.append(pair.next(Joined))
    pair.give(pair.here[-1].worker)
    assert pair.next(Back).worker == pair.here[-1].worker


def test_a_worker_that_is_busy_hears_that_it_is_to_stop(pair):
    worker = pair.here[0].worker
    numbers = {pair.give(worker, LONG), pair.give(worker, LONG)}  # both of its threads
    pair.next(Heard)
    time.sleep(1)  # so that the other one has begun, too
    pair.crew.halt()
    assert {pair.next(Back).returned.number, pair.next(Back).returned.number} == numbers


@pytest.mark.long
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


@pytest.mark.long
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


@pytest.mark.long
def test_who_is_dropped_takes_no_results_of_others_along(team, known, tmp_path):
    """Dask gathers results together, and who does not wait any more must not end that for all."""
    with Farm(tmp_path) as farm:
        known(farm)
        farm.hire()
        farm.hire()
        crew = team(farm.address)
        stays, goes = crew.next(Joined).worker, crew.next(Joined).worker
        for _ in range(3):
            numbers = set()
            for _ in range(40):
                crew.give(goes)
                numbers.add(crew.give(stays))
            numbers.discard(crew.next(Back).returned.number)
            crew.crew.drop(goes)
            came_back = False
            while numbers or not came_back:
                news = crew.next((Back, Joined, Left))
                assert not isinstance(news, Left), news
                came_back = came_back or isinstance(news, Joined)
                numbers -= {news.returned.number} if isinstance(news, Back) else set()


@pytest.mark.long
def test_a_worker_that_dies_of_each_load_is_told_each_time_and_none_is_tried_elsewhere(team):
    crew = team("local:2")
    workers = {crew.next(Joined).worker, crew.next(Joined).worker}
    for _ in range(2):
        worker = workers.pop()
        crew.give(worker, "die")
        assert crew.next(Left) == Left(worker, has_ended=True)
        workers.add(crew.next(Joined).worker)
    assert len(workers) == 2


def test_what_goes_wrong_in_a_worker_is_a_sentence(pair):
    number = pair.give(pair.here[0].worker, "raise")
    returned = pair.next(Back).returned
    assert returned.number == number
    assert str(returned.unfit) == (
        "worker 127.0.0.1 can't work with this gridsync (TypeError: another shape); install the same one there"
    )


@pytest.mark.long
def test_a_worker_that_can_not_say_who_it_is_has_a_fault(team):
    fault = team("local:1", "strange").next(Joined).greeting.fault
    assert "can't work with this gridsync" in str(fault)


@pytest.mark.long
def test_workers_that_end_at_once_are_not_started_for_ever(team, monkeypatch):
    replace(monkeypatch, "RESTARTS", 1)
    monkeypatch.setattr("gridsync_parts.farm.hiring.NO_PAGE", ["--nthreads", "x"])
    said = str(team().next(Lost).error)
    assert re.fullmatch(r"Dask's workers end as soon as they start \(Error: .*'x'.*\); install distributed anew", said)


@pytest.mark.long
def test_a_worker_whose_result_is_lost_has_left_stops_and_comes_anew(team):
    crew = team()
    joined = crew.next(Joined)
    crew.give(joined.worker, LONG)
    crew.next(Heard)
    line = crew.crew.line
    person = line.people[joined.worker]
    line.people[joined.worker].worker = person.worker._replace(pid=1)  # as if it had been another process
    crew.give(joined.worker)
    assert crew.next((Joined, Left, Back)) == Left(joined.worker, has_ended=True)
    assert crew.next((Joined, Left, Back)) == joined
    numbers = {crew.give(joined.worker), crew.give(joined.worker), crew.give(joined.worker), crew.give(joined.worker)}
    assert {crew.next(Back).returned.number for _ in numbers} == numbers  # no thread is busy any more


@pytest.mark.long
def test_a_worker_that_its_nanny_starts_again_is_another_one(team, known, tmp_path):
    with Farm(tmp_path) as farm:
        known(farm)
        farm.hire(nanny=True)
        crew = team(farm.address)
        worker = crew.next(Joined)
        crew.give(worker.worker, LONG)
        crew.next(Heard)
        os.kill(worker.greeting.pid, signal.SIGKILL)
        assert crew.next(Left) == Left(worker.worker, has_ended=True)
        other = crew.next(Joined)
        assert other.greeting.pid != worker.greeting.pid
        crew.give(other.worker)
        crew.next(Back)


@pytest.mark.long
def test_that_the_scheduler_is_gone_is_told_at_once(team):
    crew = team()
    crew.next(Joined)
    crew.crew.hired.scheduler.child.process.kill()
    error = crew.next(Lost).error
    assert isinstance(error, CrewError)
    assert re.fullmatch("Dask's scheduler has ended .*; start again, nothing is lost", str(error))


@pytest.mark.long
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


def test_the_keys_of_a_run_are_for_nobody_else_and_it_listens_on_this_machine_alone(pair):
    folder = Path(pair.crew.hired.keys.folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE((folder / name).stat().st_mode) for name in ("key.pem", "certificate.pem")} == {0o600}
    hired = pair.crew.hired
    pids = [child.process.pid for child in [*hired.workers, hired.scheduler.child]]
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


def test_workers_of_this_machine_have_no_secret_in_their_environment(pair):
    pids = [pair.here[0].greeting.pid, pair.crew.hired.scheduler.child.process.pid]
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


def test_who_has_no_keys_is_let_in_nowhere(pair, tmp_path):
    for address in (pair.crew.hired.address, pair.here[0].worker):
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


@pytest.mark.long
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


@pytest.mark.long
@pytest.mark.parametrize("tls", [True, pytest.param(False, marks=pytest.mark.long)])
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


@pytest.mark.long
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


@pytest.mark.long
def test_who_forgets_tls_hears_how_the_address_may_begin(tmp_path, monkeypatch):
    replace(monkeypatch, "CONNECTING", 1)
    with Farm(tmp_path) as farm, pytest.raises(CrewError, match="check the address, which begins with tls where the"):
        Team(farm.address.replace("tls", "tcp")).crew.start()


def test_an_address_with_tls_needs_keys_of_the_users():
    with pytest.raises(UsageError, match=r"Dask's configuration names no keys for tls://localhost:8786; write those"):
        check_where("tls://localhost:8786")


@pytest.mark.long
def test_who_has_other_keys_hears_that_no_scheduler_answers(known, tmp_path, monkeypatch):
    replace(monkeypatch, "CONNECTING", 1)
    with Farm(tmp_path) as farm:
        farm.keys = make_keys(str(tmp_path))
        known(farm)
        with pytest.raises(CrewError, match=r"no scheduler of Dask answers at tls://.*the keys that distributed"):
            Team(farm.address).crew.start()


@pytest.mark.long
def test_a_worker_without_gridsync_is_told_by_its_name(team, known, tmp_path):
    with Farm(tmp_path) as farm:
        known(farm)
        farm.hire(PYTHONPATH="")
        fault = team(farm.address).next(Joined).greeting.fault
        assert str(fault) == "worker 127.0.0.1 has no gridsync, or an older one; install the same one there"


@pytest.mark.long
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


@pytest.mark.long
@pytest.mark.parametrize(
    "how, closes",
    [
        ("kill", False),
        pytest.param("interrupt", True, marks=pytest.mark.long),
        pytest.param("interrupt", False, marks=pytest.mark.long),
        pytest.param("no scheduler", True, marks=pytest.mark.long),
    ],
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
