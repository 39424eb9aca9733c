"""The real VOMS server, and a stand-in of IAM: what they give to whom, by both clients, and what doors make of it."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.grid import Grid
from tests.grid.iam import Iam
from tests.grid.pki import PASSPHRASE, VO, dn
from tests.support import TOP

REPOSITORY = TOP
CLIENTS = {
    "c++": ["voms-proxy-init2"],
    "java": ["voms-proxy-init3", "--enable_legacy_protocol"],  # Debian's server speaks no other
}
HOUR = 3600


class Try(NamedTuple):
    """How an attempt to get a proxy ended."""

    status: int
    errors: str
    seconds: int  # of the proxy; 0 for none
    attribute_seconds: int


def new_proxy(grid: Grid, folder: Path, client: str, user: str = "alice", line: str = "") -> Try:
    """What a client makes of the VOMS server, or of the one that a vomses line names."""
    grid.voms  # noqa: B018  # it starts when asked for
    env, globus, proxy = grid.pki.environment(user), grid.pki.user(user) / ".globus", folder / "proxy"
    command = [*CLIENTS[client], "-pwstdin", "-voms", VO, "-valid", "72:00", "-out", proxy]
    command += ["-cert", globus / "usercert.pem", "-key", globus / "userkey.pem"]
    if line:
        (folder / "vomses").write_text(f"{line}\n")
        command += ["-vomses", folder / "vomses"]
        env["HOME"] = str(folder)  # the C++ client reads ~/.glite/vomses, too
    run = subprocess.run(command, env=env, input=PASSPHRASE + "\n", text=True, capture_output=True, timeout=30)
    if not proxy.exists():
        return Try(run.returncode, run.stderr, 0, 0)
    command = ["voms-proxy-info2", "-file", proxy, "-identity", "-timeleft", "-vo", "-actimeleft"]
    info = subprocess.run(command, env=env, text=True, capture_output=True, timeout=30).stdout.splitlines()
    assert (info[0], info[2]) == (dn(user), VO)
    return Try(run.returncode, run.stderr, int(info[1]), int(info[3]))


def listing(grid: Grid, url: str, proxy: Path) -> int:
    """The status of a door's answer to who wants to list agata/."""
    command = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-X", "PROPFIND", "-H", "Depth: 0"]
    command += ["--capath", grid.env["X509_CERT_DIR"], "--cert", proxy, "--key", proxy, f"{url}/agata/"]
    return int(subprocess.run(command, env=grid.env, text=True, capture_output=True, timeout=30).stdout)


@pytest.mark.every(2)
@pytest.mark.parametrize("client", CLIENTS)
def test_member_gets_a_proxy_and_an_attribute_for_72_hours(grid: Grid, tmp_path: Path, client: str) -> None:
    result = new_proxy(grid, tmp_path, client)
    assert result.status == 0, result.errors
    assert min(result.seconds, result.attribute_seconds) > 72 * HOUR - 60
    assert max(result.seconds, result.attribute_seconds) <= 72 * HOUR
    for door in (grid.door, grid.xrootd):
        assert listing(grid, door.url, tmp_path / "proxy") == 207


REFUSED = {
    ("bob", "c++"): "vo.agata.org: User unknown to this VO.",
    ("bob", "java"): "vo.agata.org: User unknown to this VO.",
    ("dave", "c++"): "User is currently suspended!\nSuspension reason: Membership has to be renewed",
    ("dave", "java"): "User is currently suspended!\nSuspension reason: Membership has to be renewed",
    ("carol", "c++"): "None of the contacted servers",  # why, it says only sometimes, and then something else
    ("carol", "java"): "Certificate validation error: Certificate has expired on: ",
}


@pytest.mark.long
@pytest.mark.parametrize(("user", "client"), REFUSED)
def test_others_get_none(grid: Grid, tmp_path: Path, user: str, client: str) -> None:
    result = new_proxy(grid, tmp_path, client, user)
    assert (result.status, result.seconds) == (1, 0)
    assert REFUSED[user, client] in result.errors


@pytest.mark.long
@pytest.mark.parametrize(("client", "status"), [("c++", 1), ("java", 0)])
def test_proxy_ends_with_the_certificate(grid: Grid, tmp_path: Path, client: str, status: int) -> None:
    result = new_proxy(grid, tmp_path, client, "erin")
    assert result.status == status
    assert 23 * HOUR < result.seconds <= 24 * HOUR < result.attribute_seconds


@pytest.mark.long
def test_server_may_give_shorter_attributes(grid: Grid, tmp_path: Path) -> None:
    with grid.voms.at_most(hours=12):
        result = new_proxy(grid, tmp_path, "c++")
    assert (result.status, result.seconds > 71 * HOUR, result.attribute_seconds <= 12 * HOUR) == (0, True, True)
    assert "The validity of this VOMS AC in your proxy is shortened to 43200 seconds!" in result.errors
    assert new_proxy(grid, tmp_path, "c++").attribute_seconds > 71 * HOUR


@pytest.mark.every(2)
@pytest.mark.parametrize(("client", "words"), [("c++", "Error during SSL handshake"), ("java", "Connection refused")])
def test_server_may_be_down(grid: Grid, tmp_path: Path, client: str, words: str) -> None:
    with grid.voms.down():
        result = new_proxy(grid, tmp_path, client)
    assert (result.status, result.seconds, words in result.errors) == (1, 0, True)


def test_xrootd_refuses_the_forged_proxy(grid: Grid) -> None:
    forged = grid.pki.proxy("forged")
    words = ["voms-proxy-info2", "-file", forged, "-vo", "-acissuer"]
    info = subprocess.run(words, env=grid.env, text=True, capture_output=True, timeout=30).stdout
    assert VO in info and "CN=other.example" in info
    assert listing(grid, grid.xrootd.url, forged) == 403


def test_grid_tells_of_the_servers_open_port(grid: Grid) -> None:
    assert grid.voms.port in grid.open_ports


# == INDIGO IAM, which is a stand-in ====================================================================


@pytest.fixture
def iam(grid: Grid) -> Iterator[Iam]:
    yield grid.iam
    grid.iam.reset()


@pytest.mark.every(2)
@pytest.mark.parametrize("client", CLIENTS)
def test_iam_gives_members_an_attribute_that_doors_take(grid: Grid, iam: Iam, tmp_path: Path, client: str) -> None:
    result = new_proxy(grid, tmp_path, client, line=iam.line)
    assert result.status == 0, result.errors
    assert result.seconds > 71 * HOUR and 11 * HOUR < result.attribute_seconds <= 12 * HOUR
    assert "The validity of this VOMS AC in your proxy is shortened to 43200 seconds" in result.errors
    for door in (grid.door, grid.storm, grid.xrootd):
        assert listing(grid, door.url, tmp_path / "proxy") == 207


UNCLEAR = "Server Answer was incorrectly formatted."
FROM_IAM = {
    ("stranger", "c++"): UNCLEAR,
    ("stranger", "java"): "User unknown to this VO: 'CN=Alice Physicist,O=IJCLab,",
    ("groupless", "c++"): "User is not authorized to request attribute '/vo.agata.org'",
    ("groupless", "java"): "User is not authorized to request attribute '/vo.agata.org'",
    ("suspended", "c++"): "User 'CN=Alice Physicist,O=IJCLab,",
    ("suspended", "java"): "User 'CN=Alice Physicist,O=IJCLab,",
    ("unsigned", "c++"): "Error decoding AC.",
    ("unsigned", "java"): "User alice.1 needs to sign AUP for this organization in order to proceed.",
}


@pytest.mark.long
@pytest.mark.parametrize(("standing", "client"), FROM_IAM)
def test_iam_refuses_and_the_cpp_client_does_not_always_know_why(
    grid: Grid, iam: Iam, tmp_path: Path, standing: str, client: str
) -> None:
    with iam.seeing("alice", standing):
        result = new_proxy(grid, tmp_path, client, line=iam.line)
    assert (result.status, result.seconds) == (1, 0)
    assert FROM_IAM[standing, client] in result.errors


@pytest.mark.every(2)
@pytest.mark.parametrize(("client", "is_heard"), [("c++", False), ("java", True)])
def test_a_plain_nginx_does_not_understand_the_cpp_client(
    grid: Grid, iam: Iam, tmp_path: Path, client: str, is_heard: bool
) -> None:
    iam.httpg = False
    result = new_proxy(grid, tmp_path, client, line=iam.line)
    assert (result.seconds > 0, UNCLEAR in result.errors) == (is_heard, not is_heard)


def test_iam_is_asked_by_others_too(grid: Grid, iam: Iam) -> None:
    def ask(*words: object) -> str:
        command = ["curl", "-s", "--capath", grid.pki.certificates, "-w", " %{http_code} %{content_type}", *words]
        return subprocess.run(command, text=True, capture_output=True, timeout=30, check=True).stdout

    url = f"https://localhost:{iam.port}/generate-ac"
    assert ask(url) == (
        '<?xml version="1.0" encoding="UTF-8" standalone="no"?><voms><error><code>1006</code>'
        "<message>Client is not authenticated.</message></error></voms> 400 text/xml;charset=utf-8"
    )
    shown = ["--cert", grid.pki.folder / "alice.pem", "--key", grid.pki.folder / "alice.key"]
    given = re.search(r"<voms><ac>((?:[\w+/=]{1,64}&#13;\n)+)</ac></voms> 200 ", ask(*shown, f"{url}?lifetime=3600"))
    assert given
    attribute = base64.b64decode(given[1].replace("&#13;", ""))
    assert attribute[:1] == b"\x30" and b"Alice Physicist" in attribute[:300]  # the subject, not the issuer
    refusal = ask(*shown, f"{url}?fqans=/{VO}/nosuch")
    assert "<code>1007</code>" in refusal and " 200 text/xml" in refusal
    assert " 404 " in ask(f"https://localhost:{iam.port}/")


ALONE = """
from tests.grid import Grid
with Grid() as grid:
    print(grid.folder, grid.voms.port, grid.sshd.port, flush=True)
    input()
"""


@pytest.mark.long
def test_nothing_runs_on_after_a_killed_grid() -> None:
    command = [sys.executable, "-c", ALONE]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=REPOSITORY, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout
        folder, *ports = process.stdout.readline().split()
        assert processes_in(folder) >= {"mariadbd", "voms"}
        assert all(is_open(int(port)) for port in ports)
        process.kill()
    end = time.monotonic() + 5
    while (processes_in(folder) or any(is_open(int(port)) for port in ports)) and time.monotonic() < end:
        time.sleep(0.02)
    assert processes_in(folder) == set()
    assert not any(is_open(int(port)) for port in ports)
    shutil.rmtree(folder)


def processes_in(folder: str) -> set[str]:
    """The names of the processes whose working folder is below this one."""
    names = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended meanwhile, or is somebody else's
            if os.readlink(process / "cwd").startswith(folder):
                names.add((process / "comm").read_text().strip())
    return names


def is_open(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0
