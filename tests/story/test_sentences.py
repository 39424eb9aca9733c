"""Doors that are not what Grid.conf thinks: one sentence each, the documented status, and nothing is lost."""

from __future__ import annotations

import socket

import pytest

from gridsync_parts.doors.webdav import WebDavDoor
from gridsync_parts.doors.wire import Http
from gridsync_parts.errors import DoorError
from gridsync_parts.table import Site
from tests.support.constants import replace
from tests.support.strangers import context_of, stranger
from tests.support.user import User


def answer(status: str, body: str) -> bytes:
    return f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


LISTING = '<multistatus xmlns="DAV:"><response><href>{}</href></response></multistatus>'
BOTH = LISTING.replace("<response>", "<response><href>/agata</href></response><response>", 1)


@pytest.mark.parametrize(
    ("kind", "said", "status", "says"),
    [
        (None, b"220 mail.example.org ESMTP\r\n", 4, "localhost:{port} is not an https door"),
        ("localhost", b"220 mail.example.org ESMTP\r\n", 4, "localhost:{port} is not an https door"),
        ("localhost", b"", 4, "the connection to localhost:{port} broke off"),
        ("localhost", b"HTTP/1.", 4, "the connection to localhost:{port} broke off"),
        ("other", b"", 4, "the certificate of localhost:{port} is for another host; check SERVER"),
        ("future", b"", 4, "the certificate of localhost:{port} is not valid now; is this machine's clock right ("),
        ("untrusted", b"", 4, "the certificate of localhost:{port} is not signed by any CA in"),
        ("localhost", answer("200 OK", "<html>"), 4, "the door answers 200"),
        ("localhost", answer("207 x", "<html>"), 4, "listing makes no sense: no element found"),
        ("localhost", answer("207 x", "<!DOCTYPE bomb>"), 4, "makes no sense: it defines its own entities"),
        ("localhost", answer("207 x", LISTING.format("/etc/passwd")), 4, "the requested path is not in it"),
        ("localhost", answer("207 x", BOTH.format("/etc/passwd")), 1, "the entry /etc/passwd cannot be right"),
        ("localhost", answer("207 x", BOTH.format("/agata/a/b")), 1, "the entry /agata/a/b cannot be right"),
        ("localhost", answer("207 x", BOTH.format("/agata/..")), 1, "the entry /agata/.. cannot be right"),
        ("localhost", answer("207 x", BOTH.format("/agata/a%00b")), 1, "a\\x00b cannot be right"),
        ("localhost", answer("401 Unauthorized", ""), 3, "the door does not accept your proxy or token"),
        ("localhost", answer("403 Forbidden", "no"), 4, "the door refuses (no); is your proxy for the right VO?"),
        ("localhost", answer("503 Busy", "later"), 4, "the door answers 503 (later)"),
    ],
)
def test_what_is_no_door_gets_one_sentence(user: User, kind, said, status, says):
    with stranger(said, context_of(user.grid, kind) if kind else None) as port:
        user.set("SERVER", f"https://localhost:{port}/")
        result = user("--ls_dir")
    assert says.format(port=port) in result.err and result.err.count("\n") == 1 and result.status == status


def test_a_port_that_nobody_answers_is_named(grid, monkeypatch):
    replace(monkeypatch, "CONNECT", 0.3)
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        port = deaf.getsockname()[1]
        full = [socket.socket() for _ in range(4)]  # the kernel answers no more than these
        for line in full:
            line.setblocking(False)
            line.connect_ex(("127.0.0.1", port))
        site = Site("X", f"https://localhost:{port}", "", "http", "none", "", "", "", 1, 1)
        http = Http(site, str(grid.pki.proxy("good")), None, grid.env["X509_CERT_DIR"])
        with pytest.raises(DoorError, match=f"localhost:{port} does not answer: .* firewall"):
            WebDavDoor(http, site).folder("")
        for line in full:
            line.close()


@pytest.mark.parametrize(
    ("key", "value", "status", "says"),
    [
        ("SERVER", "door.example.org", 2, "SERVER of [LYON] is 'door.example.org'; expected a URL like"),
        ("SERVER", "ftp+x", 2, "expected a URL like"),
        ("SERVER", "https://no-such-host.invalid/", 4, "no address is known for no-such-host.invalid:443"),
        ("SERVER", "https://localhost:1/", 4, "localhost:1 refuses the connection"),
        ("CA_DIR", "/nonexistent", 2, "the folder of CA certificates /nonexistent does not exist"),
        ("ENGINE", "curl", 2, "ENGINE of [LYON] is 'curl'; expected auto, http, gfal2"),
        ("FIRST_BYTE", "soon", 2, "FIRST_BYTE in [LYON] is 'soon'"),
        ("TOKEN", "secret", 2, "TOKEN must name the token's source"),
        ("BASE_DIR_ON_GRID", "../x", 2, "'../x' is not a path on the grid"),
    ],
)
def test_a_site_that_makes_no_sense_gets_one_sentence(user, key, value, status, says):
    user.set(key, value)
    result = user("--ls_dir")
    assert says in result.err and result.err.count("\n") == 1 and result.status == status


def test_gfal2_with_a_token_on_https_is_refused(user):
    user.set("ENGINE", "gfal2")
    user.set("TOKEN", "env:MY_TOKEN")
    assert "gfal2 would show the TOKEN of [LYON] to any host" in user("--ls_dir").err


def test_a_missing_gfal2_is_named_when_it_is_needed_and_not_before(user, tmp_path):
    (tmp_path / "gfal2.py").write_text("raise ImportError('not here')")
    user.env["PYTHONPATH"] = str(tmp_path)
    assert user("--ls_dir").status == 0
    user.set("ENGINE", "gfal2")
    status, _, err = user("--ls_dir")
    assert status == 2 and "apt install python3-gfal2" in err and err.count("\n") == 1


def test_a_server_of_another_ca_gets_the_same_status_through_gfal2(user):
    with stranger(b"", context_of(user.grid, "untrusted")) as port:
        user.set("SERVER", f"https://localhost:{port}/")
        user.set("ENGINE", "gfal2")
        status, _, err = user("--ls_dir")
    assert status == 4 and "the door's certificate is not accepted" in err and err.count("\n") == 1
