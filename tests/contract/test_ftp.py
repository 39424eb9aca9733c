"""An FTP server that fails, lies, hangs or is odd: a sentence, and an end to it, whatever it does."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gridsync_parts.doors import At, Place, Sent
from gridsync_parts.doors.ftpwire import end_data, reach
from gridsync_parts.errors import BadName, CredentialError, DoorError, FileError, Full, GridError
from gridsync_parts.log import log
from gridsync_parts.table import Site
from tests.grid import Grid
from tests.grid.ftpd import KINDS, Ftpd
from tests.support.constants import replace
from tests.support.ftp import home_with_login
from tests.support.oddftp import Answer, OddFtp, Talk
from tests.support.places import opened, received
from tests.support.user import wait_until

DATA = os.urandom(100_000)
LARGE = 40 << 20


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", home_with_login(tmp_path)["HOME"])


Odd = Callable[..., tuple[OddFtp, Place]]


def place_at(grid: Grid, url: str, first_byte: int = 2, silence: int = 2) -> Place:
    site = Site("BEAM", url, "", "ftps", "auto", "", "", "", first_byte, silence, 0)
    return opened(site, ca=str(grid.pki.certificates))


@pytest.fixture
def odd(grid: Grid) -> Iterator[Odd]:
    servers: list[OddFtp] = []

    def serve(greeting: str = "220 hello", **answers: Answer) -> tuple[OddFtp, Place]:
        servers.append(OddFtp(grid.pki, answers, greeting))
        return servers[-1], place_at(grid, servers[-1].url)

    yield serve
    for server in servers:
        server.stop()


@pytest.fixture
def run(grid: Grid) -> Iterator[Callable[..., Ftpd]]:
    """A real server with something else in its configuration."""
    servers: list[Ftpd] = []

    def start(kind: str = "proftpd", more: str = "", address: str = "127.0.0.1", host: str = "localhost") -> Ftpd:
        folder = Path(tempfile.mkdtemp(prefix="ftpd-"))  # below none that only root may enter
        server = Ftpd(folder, grid.pki, kind, more, address)
        server.host = host
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.stop()
        shutil.rmtree(server.folder)


def lay(server: Ftpd, name: str, data: bytes) -> None:
    (server.data / name).write_bytes(data)
    server.give(server.data)


def top(server: Ftpd, grid: Grid, **more: int) -> Place:
    return place_at(grid, server.url, **more)


# What it is before it is logged in to.


@pytest.mark.every(5)
@pytest.mark.parametrize(("answers", "error", "says"), [
    ({"AUTH": "502 no TLS here"}, DoorError, r"does not begin TLS \(502 no TLS here\), so no password is sent there"),
    ({"greeting": "SSH-2.0-OpenSSH_9.2"}, DoorError, "is not an FTP server that gridsync can use; check SERVER"),
    ({"greeting": "421 too many users"}, DoorError, "the server ends the connection .421 too many users"),
    ({"greeting": "120 wait a while"}, DoorError, "is not an FTP server that gridsync can use"),
    ({"AUTH": lambda talk: talk.line.close()}, DoorError, "broke off"),
    ({"AUTH": lambda talk: talk.say("234 go on\r\nnonsense")}, DoorError, "localhost:[0-9]+"),
    ({"AUTH": lambda talk: None}, DoorError, "does not answer"),
    ({"USER": "530 not you"}, CredentialError, r"refuses the login of beamuser .*\(530 not you\); it was tried once"),
    ({"PASS": "530 Login incorrect."}, CredentialError, r"\(530 Login incorrect\.\); it was tried once"),
    ({"PASS": "332 and the account"}, CredentialError, r"\(332 and the account\)"),
    ({"PASS": "530 Sorry, the maximum number of clients (3) for this user"}, DoorError, "takes no more connections"),
    ({"PASS": "421 Service not available"}, DoorError, "the server ends the connection"),
    ({"PROT": "534 no"}, DoorError, r"does not protect data by TLS \(534 no\)"),
])
def test_a_server_that_is_not_as_it_should_be_gets_a_sentence(odd, answers, error, says):
    server, place = odd(**answers)
    with pytest.raises(error, match=says):
        place.lister.folder("raw")
    if "AUTH" in answers or "greeting" in answers:  # nobody was told the password
        assert not any(command.startswith(("USER", "PASS")) for command in server.heard)


@pytest.mark.parametrize("answers", [{"PASS": "530 Login incorrect."}, {"USER": "530 not you"}])
def test_a_refused_login_is_tried_once_however_many_threads_there_are(odd, answers):
    server, place = odd(**answers)
    said: list[GridError] = []

    def look() -> None:
        with pytest.raises(CredentialError) as caught:
            place.lister.folder("raw")
        said.append(caught.value)

    threads = [threading.Thread(target=look) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(said) == 12 and len(set(map(str, said))) == 1 and not any(error.passing for error in said)
    assert sum(command.startswith("USER") for command in server.heard) == 1


def test_a_user_name_with_a_line_end_is_no_second_command(odd, tmp_path, monkeypatch):
    server, place = odd()
    place.lister.lines.visitor.login = place.lister.lines.visitor.login._replace(user="a\r\nDELE b")
    with pytest.raises(GridError):
        place.lister.folder("raw")
    assert not any(command.startswith("DELE") for command in server.heard)


@pytest.mark.parametrize("code", [500, 421])
def test_a_server_that_repeats_the_password_is_not_quoted_with_it(odd, monkeypatch, code):
    said: list[str] = []
    monkeypatch.setattr(log, "debug", lambda text, *values: said.append(text % values))
    _, place = odd(PASS=lambda talk: talk.say(f"{code} '{' '.join(talk.words)}' not understood"))
    place.lister.lines.visitor.login = place.lister.lines.visitor.login._replace(password="hush5")
    with pytest.raises(GridError, match=r"'PASS \.\.\.' not understood") as caught:
        place.lister.folder("raw")
    assert "hush5" not in str([str(caught.value), *said]) and "not understood" in str(said)


def test_a_password_with_a_line_end_is_neither_sent_nor_shown(odd):
    """As a keyring has it that was given one with echo."""
    server, place = odd()
    place.lister.lines.visitor.login = place.lister.lines.visitor.login._replace(password="hush\n")
    with pytest.raises(CredentialError, match=r"the password of .* has a line end in it") as caught:
        place.lister.folder("raw")
    assert "hush" not in str(caught.value) and not any("hush" in command for command in server.heard)


@pytest.mark.every(3)
@pytest.mark.parametrize(("host", "says"), [
    ("other", "the certificate of localhost:[0-9]+ is for another host; check SERVER"),
    ("untrusted", "is not signed by any CA in"),
    ("future", r"is not valid now; is this machine's clock right"),
])
def test_a_certificate_that_is_not_right_gets_a_sentence_and_no_password(grid, run, host, says):
    server = run(host=host)
    with pytest.raises(DoorError, match=says):
        top(server, grid).lister.folder("")
    assert server.tries() == 0


@pytest.mark.parametrize(("kind", "more"), [("pure-ftpd", "-Y 0"), ("vsftpd", "ssl_enable=NO\n")])
def test_a_server_without_tls_gets_no_password(grid, run, kind, more):
    place = top(run(kind, more), grid)
    with pytest.raises(DoorError, match=r"the server does not begin TLS \(5.*\), so no password is sent there"):
        place.lister.folder("")


def test_what_is_said_before_tls_is_not_believed(odd):
    server, place = odd(AUTH="234 go on\r\n230 you are in")
    place.lister.folder("raw")
    assert [command.split()[0] for command in server.heard[:3]] == ["AUTH", "USER", "PASS"]


# Listings.


@pytest.mark.parametrize("line", ["01-18-26  03:25PM       <DIR>          pub", "what\x07ever", "-rw-r--r-- 1 a b c d"])
def test_a_listing_in_an_unknown_format_gets_a_sentence(odd, line):
    _, place = odd(LIST=f"{line}\r\n".encode())
    with pytest.raises(DoorError, match="lists it in a format that gridsync does not know") as caught:
        place.lister.folder("raw")
    assert not caught.value.passing


def test_a_listing_that_was_cut_short_by_the_server_is_not_believed(odd):
    line = b"drwxr-xr-x 2 a b 4096 Mar 16 13:58 sub\r\n"
    _, place = odd(LIST=lambda talk: talk.send(line, "226-Options: -a -l\r\n226 Output truncated to 1 matches"))
    with pytest.raises(DoorError, match=r"lists only the first 1 of what is there \(226 Output truncated"):
        place.lister.folder("raw")
    _, place = odd(LIST=lambda talk: talk.send(line, "451 the disk fails"))
    with pytest.raises(DoorError, match=r"cannot do it now \(451 the disk fails\)"):
        place.lister.folder("raw")


def test_pure_ftpd_lists_no_more_than_it_may_and_that_is_seen(grid, run):
    server = run("pure-ftpd", "-L 5:2")
    for number in range(9):
        lay(server, str(number), b"")
    with pytest.raises(DoorError, match=r"the server lists only the first .* ask the site to raise its limit"):
        top(server, grid).lister.folder("")


def test_a_server_that_knows_no_options_of_list_is_asked_without(odd):
    line = b"drwxr-xr-x 2 a b 4096 Mar 16 13:58 sub\r\n"

    def listing(talk: Talk) -> None:
        talk.send(line) if talk.words == ["LIST"] else talk.say("501 no options")

    _, place = odd(LIST=listing)
    assert [entry.path for entry in place.lister.folder("raw")] == ["raw/sub"]


@pytest.mark.first
@pytest.mark.parametrize("kind", ["vsftpd", "oldftpd"])
def test_many_files_of_a_listing_without_times_are_asked_about_together(grid, run, kind):
    server = run(kind)
    for number in range(300):
        lay(server, f"{number:04}-{'x' * 200}", bytes(number))
    entries = top(server, grid, first_byte=20).lister.folder("")
    assert [entry.size for entry in sorted(entries)] == list(range(300))
    assert all(abs(entry.mtime - time.time()) < 600 for entry in entries)


def test_a_name_that_ends_a_line_is_asked_for_in_vain(odd):
    server, place = odd()
    for verb in (place.lister.folder, place.writer.stored, place.writer.folder, place.writer.remove):
        with pytest.raises(BadName, match="FTP cannot ask for a name with a line end in it; rename it"):
            verb("a\r\nDELE b")
    assert not any(command.startswith("DELE b") for command in server.heard)


LONG_NAME = b"drwxr-xr-x 2 a b 4096 Mar 16 13:58 sub\r\nand\r\nso\r\non\r\n"


@pytest.mark.parametrize("line", [b"\r\n", b"total 12\r\n", LONG_NAME])
def test_a_listing_without_end_has_one(odd, monkeypatch, line):
    replace(monkeypatch, "MAX_ENTRIES", 1000)
    _, place = odd(LIST=line * 2000)
    with pytest.raises(DoorError, match="lists it in a format that gridsync does not know"):
        place.lister.folder("raw")


# Data.

FILE: dict[str, Answer] = {"SIZE": f"213 {len(DATA)}", "MDTM": "213 20260316135800"}


def cut(talk: Talk) -> None:
    with talk.channel() as channel:
        channel.sendall(DATA[:50_000])
    talk.say("426 it broke")


def hang(talk: Talk) -> None:
    with talk.channel() as channel:
        channel.sendall(DATA[:50_000])
        talk.line.recv(1)  # until the client is gone


def more(talk: Talk) -> None:
    talk.send(DATA + b"more")


@pytest.mark.every(5)
@pytest.mark.parametrize(("retr", "says"), [
    (cut, "426 it broke"),
    (hang, "does not answer"),
    (more, "sends more bytes than the file has"),
    (lambda talk: talk.line.close(), "broke off"),
    (lambda talk: talk.send(DATA, "451 the disk fails"), r"could not send all of it \(451 the disk fails\)"),
    ("425 no channel", r"makes no channel for data \(425 no channel\)"),
    ("550 Permission denied", r"the door refuses \(550 Permission denied\)"),
    ("550 Failed to open file.", r"the server refuses \(550 Failed to open file\.\); if this continues, ask the site"),
    (lambda talk: (talk.passive.accept()[0].close(), talk.say("150 yes"), talk.say("425 no TLS")), "425 no TLS|broke"),
])
def test_bytes_that_do_not_all_come_are_no_file(odd, retr, says):
    _, place = odd(**{**FILE, "RETR": retr})
    with pytest.raises((FileError, DoorError), match=says):
        received(place, "raw/a", 0, len(DATA))


def test_data_come_from_the_server_whatever_it_says(odd):
    _, place = odd(**{**FILE, "RETR": DATA, "PASV": lambda talk: talk.open("192,0,2,1")})
    assert received(place, "raw/a", 0, len(DATA)) == DATA


@pytest.mark.first
@pytest.mark.parametrize("pasv", ["227 (127,0,0,1,0,1)", "227 somewhere", "500 no", "227 (1,1,1,1,999,999)",
                                  f"227 (1,1,1,1,{10**30},1)"])
def test_a_channel_that_cannot_be_had_gets_a_sentence(odd, pasv):
    _, place = odd(**{**FILE, "PASV": pasv})
    with pytest.raises((FileError, DoorError)) as caught:
        received(place, "raw/a", 0, len(DATA))
    assert "localhost" in str(caught.value)


def test_a_server_that_wants_to_see_the_session_sees_it_or_says_no(grid, run, monkeypatch):
    server = run()
    lay(server, "a", DATA)
    place = top(server, grid)
    assert received(place, "a", 0, len(DATA)) == DATA
    line = place.lister.lines.idle[0]
    wrap = line.context.wrap_socket
    monkeypatch.setattr(line.context, "wrap_socket", lambda sock, session=None, **more: wrap(sock, **more))
    with pytest.raises(FileError, match=r"makes no channel for data \(425 Unable to build data connection"):
        received(place, "a", 0, len(DATA))
    monkeypatch.undo()
    assert received(place, "a", 0, len(DATA)) == DATA


def test_a_file_that_changes_while_it_comes_is_noticed(odd):
    moments = iter(["213 20260316135800", "213 20260316135801"])
    data = DATA * 50
    _, place = odd(SIZE=f"213 {len(data)}", MDTM=lambda talk: talk.say(next(moments)), RETR=data)
    with pytest.raises(FileError, match="changed at the site while it was being copied"):
        received(place, "raw/a", 0, len(data))


def test_who_waits_for_bytes_can_be_woken(grid, odd):
    server, _ = odd(**{**FILE, "RETR": hang})
    place = place_at(grid, server.url, silence=300)
    body = place.reader.read(At("raw/a", len(DATA)), 0, len(DATA))
    said: list[BaseException] = []

    def read() -> None:
        try:
            for _ in body.chunks:
                pass
        except BaseException as error:
            said.append(error)
        body.close()

    thread = threading.Thread(target=read)
    thread.start()
    time.sleep(0.5)  # until it waits
    body.hang_up()
    thread.join(60)
    assert not thread.is_alive()
    assert isinstance(said[0], FileError) and said[0].passing


def children(server: Ftpd) -> list[int]:
    done = subprocess.run(["pgrep", "-P", str(server.pid)], capture_output=True, text=True, check=False)
    return [int(pid) for pid in done.stdout.split()]


@pytest.mark.every(2)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_server_that_dies_or_stands_still_in_the_middle_gets_a_sentence_and_another_try_works(grid, run, number):
    server = run()
    lay(server, "a", os.urandom(1 << 20) * 40)
    place = top(server, grid)
    body = place.reader.read(At("a", LARGE), 0, LARGE)
    next(body.chunks)
    for child in children(server):
        os.kill(child, number)
    with pytest.raises(FileError) as caught:
        for _ in body.chunks:
            pass
    body.close()
    assert caught.value.passing
    for child in children(server):
        os.kill(child, signal.SIGKILL)
    assert len(received(place, "a", 0, LARGE)) == LARGE


# Lines.


@pytest.mark.long
@pytest.mark.parametrize(("kind", "more"), [
    ("proftpd", "TimeoutIdle 3\n"), ("vsftpd", "idle_session_timeout=3\n"), ("proftpd", ""),
])
def test_a_line_that_died_of_old_age_is_not_noticed(grid, run, kind, more):
    server = run(kind, more)
    lay(server, "a", DATA)
    place = top(server, grid, first_byte=20)
    for _ in range(3):
        assert received(place, "a", 0, len(DATA)) == DATA
        if more:
            wait_until(lambda: place.lister.lines.idle[0].is_dead())
        for child in [] if more else children(server):
            os.kill(child, signal.SIGKILL)


def test_a_line_that_dies_with_the_next_command_is_not_noticed(odd):
    ends = {"number": 0}

    def size(talk: Talk) -> None:
        ends["number"] += 1
        talk.line.close() if ends["number"] == 2 else talk.say(f"213 {len(DATA)}")

    _, place = odd(SIZE=size, MDTM="213 20260316135800", CWD="550 no")
    assert place.writer.stored("a").size == place.writer.stored("a").size == len(DATA)
    assert ends["number"] == 3


@pytest.mark.long
@pytest.mark.parametrize(("kind", "more"), [
    ("proftpd", "MaxClientsPerHost 2\n"), ("pure-ftpd", "-C 2"), ("vsftpd", "max_per_ip=2\n"),
    ("proftpd", "MaxClientsPerUser 2\n"),
])
def test_a_server_that_takes_few_lines_gets_few(grid, run, kind, more):
    server = run(kind, more)
    for number in range(20):
        lay(server, str(number), DATA)
    place = top(server, grid, first_byte=30)
    came: list[bytes] = []

    def read(number: int) -> None:
        came.append(received(place, str(number), 0, len(DATA)))

    threads = [threading.Thread(target=read, args=[number]) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert came == [DATA] * 20


def test_a_free_line_is_waited_for_as_long_as_a_file_moves_on_the_others(grid, run):
    server = run("proftpd", "MaxClientsPerHost 1\n")
    lay(server, "a", os.urandom(1 << 20) * 40)
    place = top(server, grid)
    body = place.reader.read(At("a", LARGE), 0, LARGE)
    next(body.chunks)
    with pytest.raises(DoorError, match=r"no connection has become free|takes no more connections"):
        place.lister.folder("")  # as nothing moves
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.extend(entry.path for entry in place.lister.folder("")))
    thread.start()
    for _ in body.chunks:  # for much longer than FIRST_BYTE
        time.sleep(0.04)
    body.close()
    thread.join(60)
    assert found == ["a"]


def test_an_answer_without_end_has_one(odd):
    def endless(talk: Talk) -> None:
        while True:
            talk.say("211-and so on")

    for answer in (endless, lambda talk: talk.line.sendall(b"x" * 100_000)):
        _, place = odd(CWD=answer)
        with pytest.raises(DoorError):
            place.lister.folder("raw")


def test_an_address_that_does_not_answer_gives_way_to_one_that_does(monkeypatch):
    """As of DESY's server, whose IPv6 was out of reach for many."""
    found = [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("100::1", 0, 0, 0)),  # where all is thrown away
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0)),
    ]
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with_port = [(*one[:4], (one[4][0], port, *one[4][2:])) for one in found]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: with_port)
        with reach("psftp.example.org", port) as line:
            assert line.getpeername() == ("127.0.0.1", port)
    with pytest.raises(OSError, match=r"refused|reach"):
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: with_port[2:])
        reach("psftp.example.org", port)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: with_port[1:2])
    replace(monkeypatch, "CONNECT", 1)
    with pytest.raises(OSError):
        reach("psftp.example.org", port)


@pytest.mark.parametrize("address", [("fe80::1", 0, 0, 0), None])
def test_an_address_to_which_there_is_no_way_from_here_gives_way_too(monkeypatch, address):
    """As one of IPv6 where there is none: connect() fails at once, or even socket()."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = [
            (socket.AF_INET6 if address else 9999, socket.SOCK_STREAM, 6, "", address),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", server.getsockname()),
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        with reach("psftp.example.org", 21) as line:
            assert line.getpeername() == server.getsockname()
        found.pop()
        with pytest.raises(OSError, match=r"Invalid argument|not supported"):
            reach("psftp.example.org", 21)


def test_ipv6_is_spoken(grid, run, monkeypatch):
    server = run(address="::1")
    lay(server, "a", DATA)
    found = [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", server.port, 0, 0))]
    real = socket.getaddrinfo

    def look_up(host: str, *more: object, **named: object) -> object:
        return found if host == "localhost" else real(host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    place = top(server, grid)
    assert received(place, "a", 0, len(DATA)) == DATA
    assert place.lister.lines.idle[0].passive() == "EPSV"


# What is sent.


@pytest.mark.first
@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_is_said_and_nothing_has_its_name(grid, run, kind):
    if os.geteuid():
        pytest.skip("only root can give a server a small disk")
    server = run(kind)
    inside = ["nsenter", "--mount", f"--target={server.pid}"]
    subprocess.run([*inside, "mount", "-t", "tmpfs", "-o", "size=1m,mode=777", "tmpfs", server.data], check=True)
    try:
        place = top(server, grid, first_byte=20)
        sent = Sent(3 << 20, lambda: iter([bytes(1 << 18)] * 12))
        with pytest.raises(GridError, match=r"has no room for it|could not write it .*; its disk may be full"):
            place.writer.write("a.gridsync-part", sent)
        place.writer.remove("a.gridsync-part")
        place.writer.write("b", Sent(10, lambda: iter([b"0123456789"])))
        assert place.writer.stored("b").size == 10
    finally:
        subprocess.run([*inside, "umount", "--lazy", server.data], check=True)


@pytest.mark.parametrize(("reply", "error"), [
    ("452 no space left", Full), ("552 quota exceeded", Full), ("553 name not allowed", BadName),
    ("550 Permission denied", FileError),
])
def test_what_is_not_taken_is_told_by_its_reason(odd, reply, error):
    _, place = odd(STOR=reply, CWD=lambda talk: talk.say("250 yes" if talk.words[1] == "/raw" else "550 no"))
    with pytest.raises(error):
        place.writer.write("raw/a", Sent(10, lambda: iter([b"0123456789"])))


def test_a_server_that_does_not_replace_files_by_itself_is_helped(odd):
    there = {"/a", "/b"}

    def rename(talk: Talk) -> None:
        if talk.words[1] in there:
            talk.say("553 it is there")
        else:
            there.add(talk.words[1])
            talk.say("250 done")

    def remove(talk: Talk) -> None:
        there.discard(talk.words[1])
        talk.say("250 done")

    def size(talk: Talk) -> None:
        talk.say("213 1" if talk.words[1] in there else "550 no")

    server, place = odd(RNFR="350 go on", RNTO=rename, DELE=remove, SIZE=size, CWD="550 no")
    place.writer.rename("a", "b", replace=True)
    done = [command for command in server.heard if command[:2] in ("RN", "DE")]
    assert done == ["RNFR /a", "RNTO /b", "DELE /b", "RNFR /a", "RNTO /b"] and "/b" in there


def test_a_reply_too_many_is_not_taken_for_that_to_the_next_command(odd):
    """As of servers that say 426 and 226 of data that nobody wanted any more."""
    _, place = odd(DELE="250 gone\r\n250 and gone", SIZE="213 5", MDTM="213 20260316135800")
    assert place.writer.remove("raw/a")
    assert place.writer.stored("raw/b").size == 5


@pytest.fixture
def many_open_files() -> Iterator[None]:
    """A program with so many that the next one has a number which select() can't take."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), max(hard, 2048)))
    with contextlib.ExitStack() as files:
        while files.enter_context(open(os.devnull)).fileno() < 1100:
            pass
        yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_channel_that_is_full_ends_in_a_program_with_many_open_files(grid: Grid, many_open_files):
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(*grid.pki.host())
    client = ssl.create_default_context(cafile=None, capath=str(grid.pki.certificates))
    ours, theirs = socket.socketpair()
    with theirs:
        done: list[ssl.SSLSocket] = []
        thread = threading.Thread(target=lambda: done.append(server.wrap_socket(theirs, server_side=True)))
        thread.start()
        with client.wrap_socket(ours, server_hostname="localhost") as data:
            thread.join()
            data.setblocking(False)
            with pytest.raises(ssl.SSLWantWriteError):
                while data.send(bytes(1 << 14)):
                    pass
            end_data(data, 0.2)
            with pytest.raises(OSError):  # there will be no more
                data.send(b"x")
        done[0].close()
