"""root:// at a real XRootD: with a proxy, with a token, and public data; several streams, checksums, resume, errors.

The rest of tokens at root:// is in test_tokens.py: where they come from, and who is not to see them.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import time

import pytest

from tests.grid.xrootd import EXPORT, XRootD
from tests.support.user import User, wait_until

RUN = "e680_1to64/ReadATCA"
FILE = f"{RUN}/ReadATCA.tar"
LOGIN = re.compile(r"login as (.*)")
MB = 1 << 20
SIZE = 96 * MB + 17  # of a file that several streams take their pieces of
AGAIN = 16 * MB  # what may be fetched again for each stream after an interruption


def at(user: User, server: XRootD, **keys: str) -> XRootD:
    """Have this server as the site, and what it is shown."""
    user.set("SERVER", server.root_url)
    for key, value in keys.items():
        user.set(key, value)
    return server


@pytest.fixture
def member(user: User) -> User:
    """Who shows a proxy, where only members of the VO come in."""
    at(user, user.grid.xrootd)
    return user


@pytest.fixture
def holder(user: User) -> User:
    """Who shows a token, and has no proxy."""
    at(user, user.grid.guarded, TOKEN="env:MY_TOKEN")
    user.env.update(MY_TOKEN=user.grid.openid.token(), X509_USER_PROXY="/nowhere/proxy")
    return user


@pytest.fixture
def visitor(user: User) -> User:
    """Who has a proxy and a token, and shows neither."""
    at(user, user.grid.public, CREDENTIAL="none")
    user.env["BEARER_TOKEN"] = user.grid.openid.token()
    return user


@pytest.fixture(params=["member", "holder", "visitor"])
def anyone(request: pytest.FixtureRequest) -> User:
    user: User = request.getfixturevalue(request.param)
    return user


# == Each way in ========================================================================================


def test_files_come_with_a_proxy_with_a_token_and_with_nothing(anyone: User):
    status, out, err = anyone("--input_dir e680_1to64 --inc ReadATCA --build_list --check_status --start --verify")
    assert status == 0 and "verified by checksum: 1, by size only: 0" in out, err
    assert anyone.files() == [FILE]
    assert (anyone.data / FILE).read_bytes() == anyone.grid.tree.expected(f"{EXPORT}/{FILE}")
    row = anyone.catalog()[FILE]
    assert row["verified"] == "adler32" and row["checksum"].startswith("adler32:")


@pytest.mark.long
def test_a_proxy_is_shown_where_it_helps(user: User):
    server = at(user, user.grid.public)
    before = len(server.said())
    assert user("--ls_dir e680_1to64").status == 0
    assert set(LOGIN.findall(server.said()[before:])) == {"/DC=org/DC=agata-test/O=IJCLab/CN=Alice Physicist"}


def test_where_nothing_is_to_be_shown_a_server_that_asks_sees_neither_proxy_nor_token(visitor: User):
    server = visitor.grid.public
    before = len(server.said())
    assert visitor(f"--input_dir {RUN} --sync").status == 0
    logins = set(LOGIN.findall(server.said()[before:]))
    assert logins and not any("Alice" in login or "DC=" in login for login in logins)


def test_a_token_lets_in_whom_it_stands_for_and_over_tls_alone(holder: User):
    server = holder.grid.guarded
    before = len(server.said())
    assert holder(f"--input_dir {RUN} --sync").status == 0
    assert set(re.findall(r"(\S+) login as (\S+)", server.said()[before:])) == {("TLSv1.3", "alice")}


def test_the_doctor_looks_at_each_of_them(anyone: User):
    out = anyone(f"--doctor --input_dir {RUN}").out
    rows = {line.split(maxsplit=2)[1]: line for line in out.splitlines()}
    assert rows["door"].startswith("ok ") and rows["pools"].startswith("ok "), out


# == Several streams, and going on ======================================================================


class Large:
    """A large file at a server, and which of its bytes were read there."""

    def __init__(self, user: User, server: XRootD) -> None:
        self.user = user
        self.server = server
        self.data = os.urandom(MB) * (SIZE // MB) + bytes(SIZE % MB)
        self.path = f"e680_1to64/{server.kind}_large"
        self.file = server.add(f"{EXPORT}/{self.path}", self.data)
        self.before = len(server.said())

    def log(self) -> str:
        return self.server.said()[self.before :]

    def clear(self) -> None:
        self.before = len(self.server.said())

    def fetch(self, more: str = "--streams 4") -> None:
        """Copy it; it is right then."""
        status, out, err = self.user(f"--input_dir {self.path} --sync {more}")
        assert status == 0 and "verified by checksum: 1" in out, err
        assert (self.user.data / self.path).read_bytes() == self.data


@pytest.fixture(params=["holder", "visitor"])
def large(request: pytest.FixtureRequest):
    """By the servers that say what was read."""
    user: User = request.getfixturevalue(request.param)
    large = Large(user, user.grid.guarded if request.param == "holder" else user.grid.public)
    yield large
    large.file.unlink()


@pytest.mark.long
def test_streams_take_pieces_of_a_large_file_at_once(large: Large):
    large.fetch()
    log = large.log()
    handles = re.findall(r"fh=(\d+) read \d+@\d+\n", log)
    assert len({*handles}) == 4 and len({*handles[:8]}) > 1, handles  # which are read side by side
    assert large.server.read_of(log) == SIZE


@pytest.mark.long
def test_one_stream_reads_from_the_beginning_to_the_end(large: Large):
    large.fetch("--streams 1")
    starts = [int(start) for start in re.findall(r"fh=\d+ read \d+@(\d+)\n", large.log())]
    assert starts == sorted(starts) and starts[0] == 0


@pytest.mark.long
def test_what_is_here_when_a_run_is_killed_is_not_read_again(large: Large):
    line = f"--input_dir {large.path} --sync --streams 2 --bwlimit=30M"  # the disk takes what comes
    with large.user.running(line) as run:
        wait_until(lambda: large.server.read_of(large.log()) > SIZE * 2 // 3, 60)
        run.send_signal(signal.SIGKILL)
        run.wait()
    assert not (large.user.data / large.path).exists()
    at_first = large.server.read_of(large.log())
    assert at_first < SIZE, "the run was killed too late"
    large.clear()
    large.fetch("--streams 2")
    assert large.server.read_of(large.log()) <= SIZE - at_first + 2 * AGAIN < SIZE


@pytest.mark.long
def test_who_wants_several_connections_has_them(visitor: User):
    """Not by default: XRootD 5.5.3 may crash when somebody with several of them over TLS is gone in mid-file."""
    large = Large(visitor, visitor.grid.public)
    large.fetch()
    assert "dispatch new I/O path" not in large.log()
    (visitor.data / large.path).unlink()
    visitor.env["XRD_SUBSTREAMSPERCHANNEL"] = "4"
    large.fetch("--overwrite")
    large.file.unlink()
    assert len(set(re.findall(r"dispatch new I/O path (\d+)", large.log()))) > 1


# == Checksums ==========================================================================================


def test_a_file_that_is_not_as_its_checksum_says_does_not_get_its_name(anyone: User):
    """XRootD keeps a checksum beside the file, and makes it anew only if the file's time is another one."""
    servers = {server.root_url: server for server in (anyone.grid.xrootd, anyone.grid.guarded, anyone.grid.public)}
    text = (anyone.folder / "Grid.conf").read_text()
    server = next(server for url, server in servers.items() if f"SERVER = {url}" in text)
    path = "e680_1to64/spoilt"
    file = server.add(f"{EXPORT}/{path}", b"as it was sent" * 1000)
    try:
        assert anyone(f"--input_dir {path} --sync").status == 0
        (anyone.data / path).unlink()
        was = file.stat()
        file.write_bytes(b"as it has come" * 1000)
        os.utime(file, ns=(was.st_atime_ns, was.st_mtime_ns))
        status, _, err = anyone("--build_list --start")
    finally:
        file.unlink()
    assert status == 1 and re.search(rf"{path}: the door says adler32:\w+, but what arrived has adler32:\w+", err), err
    assert anyone.files() == []


# == What may be wrong ==================================================================================


@pytest.mark.long
def test_what_is_not_there_is_named(anyone: User):
    status, _, err = anyone("--ls_dir e680_1to64/nothing")
    assert (status, err.count("\n")) == (2, 1) and "there is no such file or folder" in err
    status, _, err = anyone("--input_dir e680_1to64/ReadATCB --sync")
    assert (status, err.count("\n")) == (2, 1) and "there is no such file or folder" in err
    assert anyone.files() == []


def test_who_has_no_proxy_is_told_before_the_server_is_asked(member: User):
    status, _, err = member("--ls_dir", X509_USER_PROXY="/nowhere/proxy")
    assert status == 3 and err == "gridsync.py: there is no proxy at /nowhere/proxy; make a new one with --new_proxy\n"


@pytest.mark.parametrize(
    ("proxy", "says"),
    [("expired", "expired"), ("plain", "without VO membership"), ("other_vo", "is for other.vo, not vo.agata.org")],
)
def test_a_proxy_that_is_no_use_is_told_before_too(member: User, proxy, says):
    status, _, err = member("--ls_dir", X509_USER_PROXY=str(member.grid.pki.proxy(proxy)))
    assert status == 3 and says in err and err.count("\n") == 1


def test_a_server_that_asks_for_members_lets_nobody_in_who_shows_nothing(member: User):
    member.set("CREDENTIAL", "none")
    status, _, err = member("--ls_dir")
    assert status == 3 and "the server accepts nothing of what it can be shown" in err and err.count("\n") == 1
    assert "CREDENTIAL in Grid.conf" in err


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("words", "env:MY_TOKEN gives no usable token"),
        ("over", "the token from env:MY_TOKEN expired"),
        ("elsewhere", "is your token for this door and this scope?"),
        ("nobody's", "the server accepts nothing of what it can be shown"),
    ],
)
def test_a_token_that_is_no_use_is_one_sentence(holder: User, kind, says):
    provider = holder.grid.openid
    token = {
        "words": lambda: "these are words",
        "over": lambda: provider.token(-95),
        "elsewhere": lambda: provider.token(aud="https://other.example.org"),
        "nobody's": lambda: provider.token(iss="https://nobody.example.org"),
    }[kind]()
    status, out, err = holder(f"--input_dir {RUN} --sync", MY_TOKEN=token)
    assert err.count("\n") == 1 and token not in out + err
    assert (status, says in err) == (4 if kind == "elsewhere" else 3, True), err
    assert holder.files() == []


def test_a_server_whose_certificate_is_of_nobody_known_is_named(holder: User):
    cas = holder.folder / "cas"
    cas.mkdir()
    status, _, err = holder("--ls_dir", X509_CERT_DIR=str(cas))
    assert status == 4 and "there is no TLS connection to the door" in err and err.count("\n") == 1, err


def test_a_server_that_is_down_is_named_at_once(visitor: User):
    """XRootD's library alone would try for ten minutes."""
    visitor.set("SERVER", "root://localhost:1/")
    status, _, err = visitor("--ls_dir")
    assert status == 4 and "the door cannot be reached, or fails" in err and err.count("\n") == 1


@pytest.mark.long
def test_a_server_that_does_not_answer_is_named_in_the_end(visitor: User):
    """XRootD's library waits for the connection and for the answer; which of the two it gives up first is luck."""
    said = ("the door cannot be reached, or fails", "the door has not answered in time")
    visitor.set("FIRST_BYTE", "2")
    with socket.create_server(("localhost", 0)) as silent:
        visitor.set("SERVER", f"root://localhost:{silent.getsockname()[1]}/")
        status, _, err = visitor("--ls_dir", XRD_CONNECTIONWINDOW="2")
    assert status == 4 and any(sentence in err for sentence in said), err


@pytest.mark.long
@pytest.mark.parametrize("way", ["stops", "hangs"])
def test_a_server_that_leaves_in_mid_file_and_comes_back_is_waited_for(visitor: User, way):
    large = Large(visitor, visitor.grid.public)
    server = large.server
    visitor.set("FIRST_BYTE", "5")
    with visitor.running(f"--input_dir {large.path} --sync") as run:
        wait_until(lambda: server.read_of(large.log()) > SIZE // 4, 60)
        server.pause(way)
        time.sleep(7)
        server.go_on()
        _, err = run.communicate(timeout=120)
    assert run.returncode == 0 and (visitor.data / large.path).read_bytes() == large.data, err
    large.file.unlink()


def test_nothing_can_be_sent_by_root(member: User):
    (member.folder / "results").mkdir()
    (member.folder / "results" / "a").write_bytes(b"a")
    status, _, err = member(f"--put {member.folder}/results --input_dir scratch")
    assert status == 2 and err.count("\n") == 1, err
