"""What is asked over requests is asked as over http.client, and says the same when it fails."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import shutil
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridsync_parts.disk import moment
from gridsync_parts.doors import BITE
from gridsync_parts.doors.guest import Guest
from gridsync_parts.doors.rest import Rest
from gridsync_parts.doors.urls import netloc_of
from gridsync_parts.doors.wire import Http
from gridsync_parts.errors import DiskError, GridError
from gridsync_parts.keys.token import Token
from gridsync_parts.settings import Config
from gridsync_parts.table import Site
from tests.grid import Grid
from tests.grid.daemon import free_port
from tests.grid.pki import dn
from tests.support.places import place_at, site_of
from tests.support.properties import OFTEN
from tests.support.raw import Raw
from tests.support.threads import ask_at_once
from tests.support.user import User, wait_until, write_secret

OK = b"HTTP/1.1 200 OK\r\n"
EMPTY = OK + b"Content-Length: 0\r\n\r\n"
HEAVY = {"requests", "urllib3", "gfal2", "tqdm", "ssl"}


def guests(url: str, proxy: str = "", ca: str | None = None) -> tuple[Http, Rest]:
    """One over each library, who know nothing of each other."""
    site = Site("LYON", url, "agata", "http", url, "", "", "", 1, 1)
    return Http(site, proxy, None, ca), Rest(site, proxy, None, ca)


def failure(guest: Guest, url: str) -> tuple[type, str, bool]:
    """How a request fails."""
    with pytest.raises(GridError) as caught:
        guest.ask("GET", url).content(100)
    return type(caught.value), str(caught.value), caught.value.passing


# == What is sent =======================================================================================


SURPRISES = {
    "REQUESTS_CA_BUNDLE": "/nonexistent",
    "CURL_CA_BUNDLE": "/nonexistent",
    "HTTP_PROXY": "http://127.0.0.1:1",
    "ALL_PROXY": "http://127.0.0.1:1",
}


def test_a_request_is_the_same_and_nothing_comes_from_elsewhere(raw, tmp_path, monkeypatch):
    for name, value in {**SURPRISES, "HOME": str(tmp_path), "NETRC": str(tmp_path / ".netrc")}.items():
        monkeypatch.setenv(name, value)
    write_secret(tmp_path / ".netrc", "machine localhost login me password hush")
    heard = []
    for library in (0, 1):
        server = raw(lambda: [OK + b"Set-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"])
        guest = guests(server.url)[library]
        for _ in range(2):
            guest.ask("POST", f"{server.url}/a%2Fb/c~d?e=f", headers={"Content-Type": "x/y"}, data=b"{}").drain()
            guest.ask("GET", f"{server.url}/").drain()
        text = server.heard.replace(server.url.partition("//")[2].encode(), b"HOST")
        heard.append([sorted(part.split(b"\r\n")) for part in re.split(rb"(?=GET |POST )", text)])
    assert heard[0] == heard[1]


def test_https_takes_nothing_from_elsewhere_either(grid: Grid, folder, tmp_path, monkeypatch):
    for name, value in {**SURPRISES, "HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    write_secret(tmp_path / ".netrc", "machine localhost login me password hush")
    grid.tree.add(f"agata/{folder}/a", 10)
    tape = place_at(grid, site_of(grid, "http dcache")).find_tape()
    grid.door.log.clear()
    assert list(tape.localities([f"{folder}/a"])) == [f"{folder}/a"]
    (record,) = grid.door.log.matching(role="tape")
    assert record.client == dn("alice") and not record.token


def test_threads_share_a_few_connections(raw):
    server = raw(lambda: [EMPTY])
    rest = guests(server.url)[1]

    def ask() -> None:
        for _ in range(20):
            rest.ask("GET", f"{server.url}/").drain()

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert server.connections <= 8 and server.heard.count(b"GET /") == 160
    assert len(rest.sessions) == 1


def test_what_is_closed_has_no_connections_left(raw):
    server = raw(lambda: [EMPTY])
    rest = guests(server.url)[1]
    rest.ask("GET", f"{server.url}/").drain()
    assert len(server.open) == 1
    rest.close()
    wait_until(lambda: not server.open)
    assert rest.ask("GET", f"{server.url}/").status == 200  # it can go on


def test_what_has_not_come_to_its_end_is_not_used_again(raw):
    server = raw(lambda: [OK + b"Content-Length: 300000\r\n\r\n" + bytes(300000)])
    rest = guests(server.url)[1]
    for _ in range(3):
        assert len(rest.ask("GET", f"{server.url}/").drain()) == BITE
    assert server.connections == 3


@pytest.mark.parametrize("library", [0, 1])
def test_behind_an_answer_that_is_none_the_connection_is_another(raw, library):
    def later() -> Iterable[bytes]:
        yield b"HTTP/1.1 101 x\r\n\r\n"
        time.sleep(0.2)
        yield EMPTY

    server = raw(later)
    guest = guests(server.url)[library]
    for _ in range(2):
        assert guest.ask("GET", f"{server.url}/").drain() == b""
    assert server.connections == 2


def test_a_new_proxy_is_shown_as_soon_as_it_is_there(grid: Grid, folder, tmp_path):
    proxy = tmp_path / "proxy"
    shutil.copy(grid.pki.proxy("good"), proxy)
    grid.tree.add(f"agata/{folder}/a", 10)
    tape = place_at(grid, site_of(grid, "http dcache"), path=str(proxy)).find_tape()
    for _ in range(2):
        tape.localities([f"{folder}/a"])
    os.replace(shutil.copy(grid.pki.proxy("forged"), tmp_path / "new"), proxy)
    before = moment()
    wait_until(lambda: moment() > before)  # in which it was looked at
    grid.door.log.clear()
    for _ in range(2):
        with contextlib.suppress(GridError):
            tape.localities([f"{folder}/a"])
    clients = [record.client for record in grid.door.log.matching(role="tape")]
    assert clients and dn("alice") not in clients
    assert len(tape.rest.sessions) == 1


# == What fails =========================================================================================


def hangs_up() -> Iterable[bytes]:
    raise OSError


def ends_early() -> Iterable[bytes]:
    yield OK + b"Content-Length: 9\r\n\r\nab"
    raise OSError


def silent() -> Iterable[bytes]:
    time.sleep(3)
    return [EMPTY]


FAILING: dict[str, tuple[Iterable[bytes] | Callable[[], Iterable[bytes]], str]] = {
    "at once": (hangs_up, "broke off"),
    "silence": (silent, "does not answer"),
    "no http": ([b"SSH-2.0-x\r\n"], "is not an https door"),
    "an endless head": ([OK + b"X: y\r\n" * 99 + b"Z: " + b"z" * 70000], "broke off"),
    "many heads": ([b"HTTP/1.1 102 x\r\n\r\n" * 99999], "sends an endless answer"),
    "a body that ends early, in chunks": ([OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab"], "does not answer"),
    "a body that ends early": (ends_early, ""),
    "a body that stops": ([OK + b"Content-Length: 9\r\n\r\nab"], "does not answer"),
    "a wrong chunk": ([OK + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n"], "broke off"),
    "too long": ([OK + b"Content-Length: 101\r\n\r\n" + bytes(101)], "the answer is much too long"),
    "another protocol": ([b"HTTP/1.1 101 x\r\n\r\n" + EMPTY], ""),
    "elsewhere": ([b"HTTP/1.1 302 x\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 9\r\n\r\nab"], ""),
    "nowhere": ([b"HTTP/1.1 302 x\r\nLocation: http://[x\r\nContent-Length: 0\r\n\r\n"], "redirects to an invalid URL"),
    "zipped": ([OK + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\nab"], ""),
}


def outcome(guest: Guest, url: str) -> object:
    """How a request ends: what comes, or how it fails."""
    try:
        answer = guest.ask("GET", url)
        return answer.status, answer.header("X"), answer.content(100)
    except GridError as error:
        return type(error), re.sub(r"broke off \(\w+\)", "broke off", str(error)), error.passing


@pytest.mark.every(5)
@pytest.mark.parametrize("what", FAILING)
def test_what_a_server_sends_means_the_same(raw, what):
    answer, says = FAILING[what]
    server = raw(answer if callable(answer) else lambda: answer)
    http, rest = (outcome(guest, f"{server.url}/x?secret=5") for guest in guests(server.url))
    assert http == rest
    assert says in str(http) and "secret" not in str(http)


STATUS = (
    b"HTTP/1.1 200 OK|HTTP/1.0 200 OK|HTTP/1.1 404 No|HTTP/1.1 204 x|HTTP/1.1 304 x|HTTP/1.1 999 x|HTTP/1.1 20 x|"
    b"HTTP/2 200|HTTP/1.1 100 x\r\n\r\nHTTP/1.1 200 x|HTTP/1.1 103 x\r\nX: y\r\n\r\nHTTP/1.1 200 x|x"
).split(b"|")
HEADS = (
    b"Content-Length: 5|Content-Length: 0|Transfer-Encoding: chunked|Transfer-Encoding: gzip, chunked|"
    b"Connection: close|Connection: keep-alive|Content-Encoding: gzip|Content-Encoding: deflate|"
    b"X: a|X: \xe4|no colon|: empty|Set-Cookie: a=b"
).split(b"|")
BODIES = (b"5\r\nabcde\r\n", b"0\r\n\r\n", b"5;x=y\r\nabcde\r\n", b"-5\r\n", b"\r\n", b"abcde", b"\0", b"{}")
ANSWERS = st.builds(
    lambda status, heads, bodies: b"\r\n".join([status, *heads, b"", b"".join(bodies)]),
    st.sampled_from(STATUS),
    st.lists(st.sampled_from(HEADS), max_size=4).filter(lambda heads: len(set(heads) & set(HEADS[:2])) < 2),
    st.lists(st.sampled_from(BODIES), max_size=4),
)


@OFTEN
@given(ANSWERS)
def test_any_answer_means_the_same(sent):
    def answer() -> Iterable[bytes]:
        yield sent
        raise OSError

    server = Raw(answer)
    try:
        http, rest = (outcome(guest, f"{server.url}/x") for guest in guests(server.url))
    finally:
        server.stop()
    assert http == rest


def test_where_nobody_answers_the_sentence_is_the_same(grid: Grid, raw, tmp_path):
    good, ca = str(grid.pki.proxy("good")), grid.env["X509_CERT_DIR"]
    (tmp_path / "none").mkdir()
    cases = {
        "refuses the connection": (f"https://localhost:{free_port()}", good, ca),
        "no address is known": ("https://no.such.host.invalid", good, ca),
        "is for another host": (grid.door.tape_url.replace("localhost", "127.1"), good, ca),
        f"is not signed by any CA in {tmp_path / 'none'};": (grid.door.tape_url, good, str(tmp_path / "none")),
        "is not signed by any CA in the system;": (grid.door.tape_url, good, None),
        "is not an https door": (raw(lambda: [EMPTY]).url.replace("http:", "https:"), good, ca),
        "cannot be read (its key is missing, wrong or encrypted)": (grid.door.tape_url, str(tmp_path / "bad"), ca),
        "there is no proxy at": (grid.door.tape_url, str(tmp_path / "gone"), ca),
    }
    certificate = re.findall("-----BEGIN CERTIFICATE.*?END CERTIFICATE-----\n", Path(good).read_text(), re.DOTALL)[0]
    write_secret(tmp_path / "bad", certificate)
    for says, (url, proxy, folder) in cases.items():
        http, rest = (failure(guest, f"{url}/x") for guest in guests(url, proxy, folder))
        assert http == rest
        assert says in http[1]


def test_too_few_open_files_are_a_matter_of_this_machine(raw):
    server = raw(lambda: [EMPTY])
    http, rest = guests(server.url)
    rest.ask("GET", f"{server.url}/").drain()  # it is loaded
    rest.close()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        for guest in (http, rest):
            with pytest.raises(DiskError, match="too many files are open"):
                guest.ask("GET", f"{server.url}/")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# == What a service takes ===============================================================================


def test_a_service_that_takes_no_proxy_is_asked_twice_however_many_threads_there_are(grid: Grid, folder):
    tape = place_at(grid, site_of(grid, "http dcache")).find_tape()
    fault = grid.door.faults.add("*", 401, role="tape")
    try:
        told = ask_at_once(lambda: tape.localities([f"{folder}/a"]))
    finally:
        grid.door.faults.clear()
    assert all("the tape service does not accept your proxy" in text for text in told), told
    assert fault.hits <= 2


def test_a_token_that_ends_in_mid_run_is_read_again(grid: Grid, folder, tmp_path):
    grid.tree.add(f"agata/{folder}/a", 10)
    place = tmp_path / "token"
    write_secret(place, grid.door.token(600, iss="https://nobody.example"))
    token = Token(f"file:{place}", Config(str(tmp_path)))
    rest = Rest(site_of(grid, "http dcache"), "", token, grid.env["X509_CERT_DIR"])
    rest.trusted.add(netloc_of(grid.door.tape_url))
    token.value()
    write_secret(place, grid.door.token(600))
    grid.door.log.clear()
    answer = rest.ask("POST", f"{grid.door.tape_url}/archiveinfo", data=b'{"paths": ["/agata/x"]}')
    answer.drain()
    assert [record.status for record in grid.door.log] == [401, answer.status] != [401, 401]
    assert not any(record.certificate for record in grid.door.log)


def test_a_service_that_is_asked_too_fast_is_left_alone_for_as_long_as_it_says(raw):
    answers = [b"HTTP/1.1 429 Slowly\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"]
    server = raw(lambda: [answers.pop() if answers else EMPTY])
    rest = guests(server.url)[1]
    began = time.monotonic()
    assert rest.ask("GET", f"{server.url}/").status == 200
    assert 1 <= time.monotonic() - began < 5 and server.heard.count(b"GET /") == 2


# == When it is loaded ==================================================================================


def loaded(user: User, line: str, **env: str) -> tuple[int, set[str]]:
    """The exit status of a line, and which of the heavy modules it has loaded."""
    result = user(line, PYTHONPROFILEIMPORTTIME="1", **env)
    return result.status, HEAVY & set(re.findall(r"\| +(\w+)$", result.err, re.MULTILINE))


@pytest.mark.first
@pytest.mark.parametrize("line", ["--help", "--version", "--show_conf", "--input_dir tests"])
def test_what_asks_no_site_loads_none_of_the_heavy(user, line):
    assert loaded(user, line) == (0, set())


def test_a_door_without_tape_service_is_asked_without_requests(mixed):
    assert mixed("--build_list").status == 0
    mixed.grid.door.switches.wellknown = "404"
    try:
        status, found = loaded(mixed, "--start")
    finally:
        mixed.grid.door.switches.wellknown = "present"
    assert (status, found) == (1, {"ssl"})  # as some are on tape


def test_a_tape_service_is_asked_with_requests(mixed):
    assert mixed("--build_list").status == 0
    assert loaded(mixed, "--start") == (1, {"ssl", "requests", "urllib3"})


@pytest.mark.long
@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("raise ModuleNotFoundError('no', name='requests')", "is not installed"),
        ("", "cannot be loaded (No module named 'requests.adapters'; 'requests' is not a package)"),
        ("raise ImportError('not here')", "cannot be loaded (not here)"),
        ("raise AttributeError('module X509_V_FLAG')", "cannot be loaded (module X509_V_FLAG)"),
    ],
)
def test_without_requests_a_sentence_says_how_to_get_it(mixed, tmp_path, text, why):
    assert mixed("--build_list").status == 0
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/requests.py").write_text(text)
    for line in ("--start", "--bring_online", "--sync"):
        result = mixed(line, PYTHONPATH=str(tmp_path / "lib"))
        says = f"the site LYON needs requests, which {why}; on Debian: apt install python3-requests"
        assert result.status == 2 and says in result.err and result.err.count("apt install") == 1, result
    mixed.set("TAPE_API", "none")
    assert mixed("--build_list --start", PYTHONPATH=str(tmp_path / "lib")).status in (0, 1)
