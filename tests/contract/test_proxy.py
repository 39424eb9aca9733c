"""A network with a web proxy: a real tinyproxy, with a password, through which the doors can be reached."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.grid import Grid
from tests.grid.daemon import free_port
from tests.grid.pki import dn
from tests.grid.relay import NAME, PASSWORD, Relay
from tests.support.user import User


def port_of(url: str) -> int:
    return int(re.findall(":([0-9]+)", url)[0])


@pytest.fixture(scope="session")
def session_relay(grid: Grid) -> Iterator[Relay]:
    doors = (grid.door, grid.storm)
    ports = [port_of(url) for door in doors for url in (door.url, door.pool_url, door.tape_url)]
    relay = Relay(grid.folder / "relay", [*ports, 1])
    relay.start()
    yield relay
    relay.stop()


@pytest.fixture
def relay(session_relay: Relay) -> Relay:
    session_relay.forget()
    return session_relay


ALL = "--build_list --bring_online --sync --release"


def parts(user: User) -> set[str]:
    """Host and port of door, pool and tape service."""
    door = user.grid.door
    return {f"localhost:{port_of(url)}" for url in (door.url, door.pool_url, door.tape_url)}


@pytest.mark.every(2)
@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy"])
def test_door_pools_and_tape_service_are_reached_through_it(mixed, relay, name):
    door = mixed.grid.door
    door.log.clear()
    result = mixed(ALL, **{name: relay.url})
    assert result.status == 0 and len(mixed.files()) == 9, result
    assert set(relay.asked) == parts(mixed)
    assert {record.role: record.certificate for record in door.log} == {"door": True, "pool": False, "tape": True}
    assert {record.client for record in door.log.matching(method="PROPFIND")} == {dn("alice")}


def test_the_small_name_wins_and_an_empty_one_is_none(mixed, relay):
    assert mixed("--build_list", https_proxy="", HTTPS_PROXY=f"http://127.0.0.1:{free_port()}").status == 0
    assert mixed("--build_list", https_proxy=relay.url, HTTPS_PROXY="http://127.0.0.1:1").status == 0
    assert relay.asked


def test_a_proxy_without_scheme_is_one_all_the_same(mixed, relay):
    assert mixed("--build_list", https_proxy=relay.url.removeprefix("http://")).status == 0 and relay.asked


@pytest.mark.first
@pytest.mark.parametrize(
    ("no_proxy", "kinds"),
    [
        ("", "door pool tape"),
        ("other.example", "door pool tape"),
        ("host", "door pool tape"),  # a part of a name is no domain
        ("localhost", ""),
        ("other.example, LOCALHOST", ""),
        (".localhost", ""),
        ("*", ""),
        ("127.0.0.1", "door pool tape"),  # names alone are compared
        ("localhost:{door}", "pool tape"),
        ("localhost:{pool},localhost:{tape}", "door"),
    ],
)
@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
def test_what_no_proxy_names_is_reached_without_it(mixed, relay, name, no_proxy, kinds):
    door = mixed.grid.door
    ports = {"door": port_of(door.url), "pool": port_of(door.pool_url), "tape": port_of(door.tape_url)}
    env = {"HTTPS_PROXY": relay.url, name: no_proxy.format(**ports)}
    assert mixed("--build_list --start", **env).status == 1  # as some are on tape
    assert set(relay.asked) == {f"localhost:{ports[kind]}" for kind in kinds.split()}


def test_certificates_are_checked_behind_it(mixed, relay, tmp_path):
    (tmp_path / "ca").mkdir()
    mixed.set("CA_DIR", str(tmp_path / "ca"))
    mixed.grid.door.log.clear()
    result = mixed("--build_list", HTTPS_PROXY=relay.url)
    door = f"localhost:{port_of(mixed.grid.door.url)}"
    assert result.status == 4 and f"the certificate of {door} is not signed by any CA in" in result.err
    assert relay.asked and not list(mixed.grid.door.log)


def dead(user: User, relay: Relay) -> str:
    user.set("SERVER", "https://localhost:1/")
    return relay.url


def shut(user: User, relay: Relay) -> str:
    user.set("SERVER", f"{user.grid.xrootd.url}/")
    return relay.url


FAILURES = {
    "refused": (lambda user, relay: f"http://{NAME}:{PASSWORD}@127.0.0.1:1", "cannot be reached (Connection refused)"),
    "no name": (lambda user, relay: f"http://{NAME}:{PASSWORD}@no.invalid:3128", "cannot be reached (Name or service"),
    "no proxy": (lambda user, relay: user.grid.door.plain_url, "cannot reach localhost:{door} (501)"),
    "tls": (lambda user, relay: user.grid.door.url.replace("https", "http"), "cannot be reached ("),
    "407": (lambda user, relay: f"http://{relay.place}", "asks for a password (407)"),
    "wrong password": (lambda user, relay: f"http://{NAME}:{PASSWORD}2@{relay.place}", "asks for a password"),
    "403": (shut, "blocks localhost:{xrootd} (403)"),
    "500": (dead, "cannot reach localhost:1 (500)"),
}


@pytest.mark.first
@pytest.mark.parametrize("what", FAILURES)
def test_what_it_fails_at_is_a_sentence_that_names_it(mixed, relay, what):
    url, sentence = FAILURES[what]
    proxy = url(mixed, relay)
    result = mixed("--build_list --debug", HTTPS_PROXY=proxy)
    ports = {"door": port_of(mixed.grid.door.url), "xrootd": mixed.grid.xrootd.ports[0]}
    place = proxy.rpartition("@")[2].removeprefix("http://")
    said = next(line for line in result.err.splitlines() if line.startswith("gridsync.py: "))
    assert result.status == 4 and f"the web proxy {place} of HTTPS_PROXY {sentence.format(**ports)}" in said, result.err
    assert PASSWORD not in result.out + result.err


def test_a_pool_that_it_does_not_reach_is_a_matter_of_the_file(mixed, relay):
    assert mixed("--build_list").status == 0
    mixed.grid.door.faults.add("*/disk/1", "redirect", role="door", to=mixed.grid.xrootd.url)
    try:
        result = mixed("--start", HTTPS_PROXY=relay.url)
    finally:
        mixed.grid.door.faults.clear()
    assert result.status == 1 and "disk/1: its pool cannot be reached: the web proxy 127" in result.err
    assert "disk/2" in " ".join(mixed.files())


@pytest.mark.first
@pytest.mark.parametrize("value", ["https://{}", "socks5://{}", "http://", "http://{}x", "http://u:pass/word@{}", "://"])
def test_what_names_no_web_proxy_is_refused_and_not_shown(mixed, relay, value):
    result = mixed("--build_list --debug", HTTPS_PROXY=value.format(relay.place))
    assert result.status == 2 and "HTTPS_PROXY does not name a web proxy that gridsync can use" in result.err, result
    assert "pass/word" not in result.out + result.err and relay.asked == []


def test_its_password_is_nowhere(mixed, relay, tmp_path):
    """Not if a door repeats it, either."""
    basic = "YWxpY2U6b3BlbnNlc2FtZTRldmVy"
    assert base64.b64decode(basic).decode() == f"{NAME}:{PASSWORD}"
    mixed.grid.door.faults.add("*", 500, role="door", text=f"{basic} {NAME}:{PASSWORD}")
    try:
        result = mixed(f"--build_list --debug --log_file {tmp_path / 'log'}", HTTPS_PROXY=relay.url)
    finally:
        mixed.grid.door.faults.clear()
    everything = result.out + result.err + "".join(
        path.read_text(errors="replace") for path in Path(tmp_path).rglob("*") if path.is_file()
    )
    assert result.status == 4 and "the door answers 500" in result.err
    assert PASSWORD not in everything and basic not in everything


def test_gfal2_passes_it_over(mixed):
    """As docs/doors.md says: davix knows SOCKS alone, and nobody tells it."""
    mixed.set("ENGINE", "gfal2")
    assert mixed("--build_list", HTTPS_PROXY="http://127.0.0.1:1", https_proxy="http://127.0.0.1:1").status == 0
