"""A machine with ssh, as its users meet it: a real OpenSSH, its keys and questions, and what may be wrong with it."""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import re
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gridsync_parts.disk import MARK
from tests.grid import Grid
from tests.grid.sshd import ASKING, PASSWORD, SHELL, Sshd
from tests.grid.tree import Tree
from tests.support.terminal import CTRL_C, dialogue
from tests.support.user import HASTY, Result, User, wait_for, wait_until

ROOT = os.geteuid() == 0
SIZES = {"empty": 0, "small": 20_000, "sub/large": 5_000_011, "sub/deep/odd name": 300_000, "sub/deep/cafe\u0301": 7}
NUMBERS = itertools.count()


class Guest(User):
    """Somebody who has files on such a machine."""

    def __init__(self, grid: Grid, home: Path, sshd: Sshd):
        super().__init__(grid, home)
        self.sshd = sshd
        self.runtime = sshd.folder / f"run{next(NUMBERS)}"  # a short path, as that of a socket has to be
        self.runtime.mkdir(mode=0o700)
        self.env = {**self.env, **sshd.client.env, "XDG_RUNTIME_DIR": str(self.runtime)}
        self.set("SERVER", sshd.url)
        self.set("BASE_DIR_ON_GRID", "scratch")
        self.set("THREADS", "4", "gridsync")
        self.set("INPUTDIR", "run", "gridsync")
        self.there = sshd.data / "scratch"
        for name, size in SIZES.items():
            self.put_there(f"run/{name}", os.urandom(size))

    def put_there(self, path: str, data: bytes) -> Path:
        """A file on that machine, of some day in the past."""
        file = self.there / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        os.utime(file, (1_434_000_000, 1_434_000_000))
        self.sshd.own()
        return file

    def wrong(self) -> list[str]:
        """Files that are not here as they are there."""
        here, there = self.data / "run", self.there / "run"
        return [name for name in SIZES if (here / name).read_bytes() != (there / name).read_bytes()]

    def typed(self, line: str, *answers: str) -> tuple[int, str]:
        """The same on a terminal, where a question is answered each time."""
        ends = [(": ", answer) for answer in answers]
        return dialogue(self.command(line), self.env, ends)  # type: ignore[arg-type]


def daemon_id() -> int:
    return pwd.getpwnam("daemon").pw_uid


@contextlib.contextmanager
def mounted(folder: Path, size: str) -> Iterator[None]:
    """A small disk in a folder."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)], check=True, timeout=30)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True, timeout=30)


def is_begun(folder: Path) -> bool:
    """Whether some of a large file has come there."""
    with contextlib.suppress(FileNotFoundError):
        return any(path.stat().st_blocks > 4000 and MARK in path.name for path in folder.rglob("*"))
    return False


@pytest.fixture
def serve(grid: Grid, tmp_path: Path) -> Iterator[Callable[..., Guest]]:
    """A server of its own for somebody."""
    servers: list[Sshd] = []

    def make(more: str = "") -> Guest:
        sshd = Sshd(grid.folder / f"ssh{next(NUMBERS)}", more)
        servers.append(sshd)
        sshd.start(Tree(), (), 1 << 30)
        return Guest(grid, tmp_path, sshd)

    yield make
    for sshd in servers:
        sshd.stop()
        shutil.rmtree(sshd.folder, ignore_errors=True)


@pytest.fixture
def guest(serve) -> Guest:
    return serve()


def refused(result: Result, status: int, *says: str) -> None:
    """One sentence, and this status."""
    assert result.status == status, result
    assert result.err.count("\n") == 1 and "Traceback" not in result.err, result.err
    for some in says:
        assert some in result.err, result.err


# There and back.


def test_a_folder_comes_verified_by_size_with_its_times_and_once(guest):
    status, out, err = guest("--sync")
    assert (status, guest.wrong()) == (0, []), err
    assert "Copied: 5, skipped: 0, failed: 0" in out and "by size only: 5" in out
    assert {int((guest.data / "run" / name).stat().st_mtime) for name in SIZES} == {1_434_000_000}
    rows = guest.catalog()
    assert {row["verified"] for row in rows.values()} == {"size"}
    assert {row["locality"] for row in rows.values()} == {"ONLINE"}
    assert "Copied: 0, skipped: 5, failed: 0" in guest("--sync").out
    assert guest.sshd.log.count("Accepted publickey") == 2  # once a run, whatever the number of threads


def test_nothing_of_ssh_is_left_when_a_run_is_over(guest):
    assert guest("--sync").status == 0
    assert os.listdir(guest.runtime / "gridsync") == []
    assert stat.S_IMODE((guest.runtime / "gridsync").stat().st_mode) == 0o700
    wait_until(lambda: "Disconnected" in guest.sshd.log or "Connection closed" in guest.sshd.log)


@pytest.mark.long
def test_several_streams_and_a_resumed_file(guest):
    guest.set("STREAMS", "3", "gridsync")
    guest.put_there("run/huge", os.urandom(150 << 20))
    guest.set("THREADS", "1", "gridsync")
    with guest.running("--sync") as run:
        wait_until(lambda: is_begun(guest.data))
        run.send_signal(signal.SIGINT)
        assert wait_for(run).status == 130
    assert guest("--sync").status == 0
    assert (guest.data / "run/huge").read_bytes() == (guest.there / "run/huge").read_bytes() and guest.wrong() == []


def test_a_folder_goes_there_under_its_names_and_once(guest):
    results = guest.folder / "results"
    for name, data in {"a": b"mine", "sub/b": os.urandom(3_000_000), "sub/empty": b""}.items():
        (results / name).parent.mkdir(parents=True, exist_ok=True)
        (results / name).write_bytes(data)
        os.utime(results / name, (1_500_000_000, 1_500_000_000))
    line = f"--put {results} --input_dir run/mine"
    first = guest(line)
    assert first.status == 0 and "Sent: 3, skipped: 0, failed: 0" in first.out and "by size only: 3" in first.out, first
    there = guest.there / "run/mine"
    found = sorted(str(path.relative_to(there)) for path in there.rglob("*") if path.is_file())
    assert found == ["a", "sub/b", "sub/empty"]
    assert (there / "sub/b").read_bytes() == (results / "sub/b").read_bytes()
    assert int((there / "a").stat().st_mtime) == 1_500_000_000
    assert "Sent: 0, skipped: 3, failed: 0" in guest(line).out
    (results / "a").write_bytes(b"MINE")  # as long as the one there, and newer
    assert guest(line).status == 1 and (there / "a").read_bytes() == b"mine"
    assert guest(f"{line} --overwrite").status == 0 and (there / "a").read_bytes() == b"MINE"


@pytest.mark.long
@pytest.mark.parametrize("more", ["", "ForceCommand internal-sftp -P posix-rename,fsync,limits"])
def test_an_older_server_takes_and_replaces_files_too(serve, more):
    guest = serve(more)
    assert guest("--sync").status == 0 and guest.wrong() == []
    local = guest.folder / "small"
    local.write_bytes(b"another one")
    assert guest(f"--put {local} --input_dir run").status == 1
    assert guest(f"--put {local} --input_dir run --overwrite").status == 0
    assert (guest.there / "run/small").read_bytes() == b"another one"
    assert not list(guest.there.rglob(f"*{MARK}"))


# What is not a file.


def test_links_are_followed_and_what_is_neither_file_nor_folder_is_named(guest):
    run = guest.there / "run"
    (run / "to file").symlink_to("small")
    (run / "to folder").symlink_to("sub/deep")
    (run / "nowhere").symlink_to("gone")
    os.mkfifo(run / "pipe")
    (run / "no files").mkdir()
    guest.sshd.own()
    status, out, err = guest("--sync")
    assert status == 1 and "Copied: 8" in out and guest.wrong() == []
    assert "run/nowhere is a link that leads nowhere; it is left out" in err
    assert "run/pipe is neither file nor folder; it is left out" in err
    here = guest.data / "run"
    assert not (here / "to file").is_symlink()
    assert (here / "to file").read_bytes() == (run / "small").read_bytes()
    assert (here / "to folder/odd name").read_bytes() == (run / "sub/deep/odd name").read_bytes()
    assert not (here / "no files").exists() and not (here / "pipe").exists()


def test_a_link_to_a_folder_above_ends(guest):
    (guest.there / "run/sub/up").symlink_to("..")
    guest.sshd.own()
    status, _, err = guest("--sync")
    assert status == 1 and "contains itself through a link; its files are already listed" in err
    assert guest.wrong() == []


def test_modes_are_those_of_who_gets_the_files(guest):
    (guest.there / "run/small").chmod(0o700)
    assert guest("--sync").status == 0
    assert stat.S_IMODE((guest.data / "run/small").stat().st_mode) & 0o111 == 0


@pytest.mark.long
def test_a_file_that_may_not_be_read_is_named_and_the_others_come(guest):
    (guest.there / "run/small").chmod(0)
    with guest.running("--sync", HASTY) as run:
        status, out, err = wait_for(run)
    assert status == 1 and "Copied: 4" in out and "failed: 1" in out
    assert "small: the door refuses (Permission denied)" in err


# Keys of hosts.


def test_an_unknown_host_is_refused_with_the_line_to_type(guest):
    guest.sshd.client.known_hosts.unlink()
    with open(guest.sshd.client.config, "a") as file:
        file.write("StrictHostKeyChecking no\nNoHostAuthenticationForLocalhost yes\nVerifyHostKeyDNS yes\n")
    port = guest.sshd.port
    refused(
        guest("--sync"), 4, f"the key of localhost:{port} is not known here; type  ssh -p {port} daemon@localhost  and "
    )  # fmt: skip
    assert not guest.sshd.client.known_hosts.exists() and "Accepted" not in guest.sshd.log


def test_a_host_with_another_key_is_refused_with_the_line_to_type(guest):
    guest.sshd.take_key()
    port, known = guest.sshd.port, guest.sshd.client.known_hosts
    result = guest("--sync")
    refused(result, 4, "is another one than in", f"{known}, line 1", "somebody may pretend to be it")
    line = re.search(r"type  (ssh-keygen .*?)  and then", result.err)
    assert line and f"[localhost]:{port}" in line[1]
    before = known.read_text()
    subprocess.run(["sh", "-c", line[1]], check=True, capture_output=True, timeout=30)
    assert before.strip() not in known.read_text()
    refused(guest("--sync"), 4, "is not known here")
    assert "Accepted" not in guest.sshd.log


# Who may in.


def test_a_key_that_is_not_taken_is_shown_once(guest):
    (guest.sshd.folder / "server/authorized_keys").write_text("")
    refused(guest("--sync"), 3, f"localhost:{guest.sshd.port} does not let you in (", "Permission denied (publickey)")
    assert guest.sshd.log.count("Connection closed by authenticating user") == 1


@pytest.mark.parametrize(
    ("server", "says"),
    [
        ("sftp://-oProxyCommand=touch%20x@h/", "the user name '-oProxyCommand=touch x' in SERVER begins with -"),
        ("sftp://me@-oProxyCommand.example.org/", "begins with -"),
        ("sftp://me;touch%20x@h/", "has a character that ssh cannot be given"),
        ("sftp://$(touch x)@h/", "has a character that ssh cannot be given"),
        ("sftp://me@h$x/", "expected a URL"),
    ],
)
def test_a_name_that_is_more_than_one_is_refused_before_ssh_is_called(guest, server, says):
    guest.set("SERVER", server)
    (guest.folder / "local").write_text("mine")
    for line in ("--sync", "--ls_dir", f"--put {guest.folder}/local"):
        refused(guest(line), 2, says)
    assert not (guest.folder / "x").exists()


def test_names_of_files_are_names_alone(guest):
    names = ["$(touch x)", "`touch x`", "-rf", "a;b", "new\nline", "back\\slash", 'q"uote', "star*", "#?%41"]
    for name in names:
        guest.put_there(f"run/{name}", name.encode())
    assert guest("--sync").status == 0
    local = guest.data / "run"
    assert [name for name in names if (local / name).read_bytes() != name.encode()] == []
    names.remove("new\nline")  # which is named and not sent, wherever to
    assert guest(f"--put {local} --input_dir other").status == 1
    assert [name for name in names if (guest.there / "other" / name).read_bytes() != name.encode()] == []
    assert not list(guest.folder.rglob("x")) and not list(guest.there.rglob("x"))


def test_ssh_is_told_nothing_that_it_need_not_know(guest):
    wrapper = guest.sshd.client.folder / "bin/ssh"
    wrapper.write_text(wrapper.read_text().replace("exec", f"env >>{guest.folder}/seen\nexec"))
    assert guest("--sync", BEARER_TOKEN="a-token", MY_SECRET="b", SSH_AUTH_SOCK="/nowhere").status == 0
    seen = {line.partition("=")[0] for line in (guest.folder / "seen").read_text().splitlines()}
    assert {"HOME", "PATH", "SSH_AUTH_SOCK"} <= seen
    assert not {"BEARER_TOKEN", "MY_SECRET", "X509_USER_PROXY", "GRIDSYNC_DIR"} & seen


def lock_key(guest: Guest) -> None:
    """Have the user's key, a link to the one that all tests share, want the pass phrase "phrase of mine"."""
    key = guest.sshd.client.folder / ".ssh/id_ed25519"
    data = key.read_bytes()
    key.unlink()
    key.write_bytes(data)
    key.chmod(0o600)
    subprocess.run(["ssh-keygen", "-q", "-p", "-N", "phrase of mine", "-f", key], check=True, timeout=60)


@pytest.mark.long
def test_a_pass_phrase_is_asked_for_once_for_all_threads(guest):
    lock_key(guest)
    status, seen = guest.typed("--sync", "phrase of mine")
    assert (status, guest.wrong()) == (0, []), seen
    assert seen.count("Enter passphrase") == 1 and "Copied: 5" in seen
    refused(guest("--ls_dir"), 3, "does not let you in")


def test_ctrl_c_before_ssh_asks_leaves_none_that_does_and_the_terminal_as_it_was(guest):
    lock_key(guest)
    line = shlex.join(guest.command("--sync"))
    script = f"trap : INT; {line}; echo it ends with $?; stty -a; ps -o comm= -t $(tty)"
    _, seen = dialogue(["sh", "-c", script], {**os.environ, **guest.env}, [("Listing: ", CTRL_C)])
    after = seen.partition("it ends with 130")[2]
    assert re.search(r"\secho\s", after) and not re.search(r"(?m)^ssh$", after), seen


@pytest.mark.long
def test_a_key_of_rsa_and_an_agent_open_it_too(guest, tmp_path):
    key = tmp_path / "rsa"
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-N", "", "-f", key], check=True, timeout=60)
    (guest.sshd.folder / "server/authorized_keys").write_text(key.with_suffix(".pub").read_text())
    refused(guest("--ls_dir"), 3, "does not let you in")
    agent = subprocess.run(["ssh-agent", "-s"], check=True, capture_output=True, text=True, timeout=30).stdout
    found = dict(re.findall(r"(SSH_\w+)=([^;]+)", agent))
    try:
        env = {"SSH_AUTH_SOCK": found["SSH_AUTH_SOCK"]}
        subprocess.run(["ssh-add", "-q", key], check=True, env={**os.environ, **env}, timeout=30)
        assert guest("--ls_dir", **env).status == 0
    finally:
        os.kill(int(found["SSH_AGENT_PID"]), 15)
    guest.sshd.client.config.write_text(f"IdentityFile {key}\n{guest.sshd.client.config.read_text()}")
    assert guest("--sync").status == 0 and guest.wrong() == []


@pytest.mark.skipif(not ROOT, reason="only root can start a server that asks for passwords")
def test_a_machine_that_asks_is_answered_once_for_all_threads(serve):
    guest = serve(ASKING)
    status, seen = guest.typed("--sync", PASSWORD)
    assert (status, guest.wrong()) == (0, []), seen
    assert seen.count("Password:") == 1 and "Copied: 5" in seen and PASSWORD not in seen
    assert guest.sshd.log.count("Accepted keyboard-interactive/pam") == 1


@pytest.mark.long
@pytest.mark.skipif(not ROOT, reason="only root can start a server that asks for passwords")
def test_where_nobody_can_be_asked_a_sentence_says_so_and_a_connection_opened_by_hand_is_used(serve, tmp_path):
    guest = serve(ASKING)
    client = guest.sshd.client
    refused(guest("--sync"), 3, "it would ask, but there is no terminal: open a connection by hand first")
    client.config.write_text(f"{client.config.read_text()}ControlPath {tmp_path}/%p\n")
    port, user = str(guest.sshd.port), f"{guest.sshd.user}@localhost"
    # A shell is there until ssh has left the terminal, as it is for users.
    by_hand = ["sh", "-c", f"ssh -fNM -p {port} {user} && until ssh -O check -p {port} {user}; do sleep 0.1; done"]
    status, seen = dialogue(by_hand, {**os.environ, **client.env}, [("Password:", PASSWORD)])
    assert status == 0, seen
    try:
        assert guest("--sync").status == 0 and guest.wrong() == []
        assert guest.sshd.log.count("Accepted") == 1
    finally:
        closed = ["ssh", "-O", "exit", "-p", port, user]
        subprocess.run(closed, env={**os.environ, **client.env}, check=True, capture_output=True, timeout=30)
    refused(guest("--ls_dir"), 3, "there is no terminal")


# Sockets.


def test_what_a_killed_run_has_left_is_removed_by_the_next(guest):
    with subprocess.Popen(["true"]) as gone:
        pass
    (guest.runtime / "gridsync").mkdir(mode=0o700)
    for name in (f"{gone.pid}-0123abcd", f"{os.getpid()}-0123abcd"):
        (guest.runtime / "gridsync" / name).touch()
    assert guest("--ls_dir").status == 0
    assert os.listdir(guest.runtime / "gridsync") == [f"{os.getpid()}-0123abcd"]


def test_a_folder_for_sockets_that_others_can_write_is_refused(guest):
    (guest.runtime / "gridsync").mkdir()
    (guest.runtime / "gridsync").chmod(0o777)
    refused(guest("--sync"), 2, f"{guest.runtime}/gridsync is to hold sockets of ssh, but another user may write there")


@pytest.mark.parametrize("name", ["of mine", "100%done", 'quo"ted'])
def test_a_folder_for_sockets_that_ssh_would_take_for_another_is_not_used(guest, name):
    (guest.runtime / name).mkdir()
    assert guest("--ls_dir", XDG_RUNTIME_DIR=str(guest.runtime / name)).status == 0
    assert os.listdir(guest.runtime / name) == []


@pytest.mark.skipif(not ROOT, reason="only root can give things to others")
def test_a_socket_of_somebody_else_is_refused(guest, tmp_path):
    with socket.socket(socket.AF_UNIX) as theirs:
        theirs.bind(f"{tmp_path}/theirs")
        os.chown(f"{tmp_path}/theirs", daemon_id(), 0)
        guest.sshd.client.config.write_text(f"ControlPath {tmp_path}/theirs\n{guest.sshd.client.config.read_text()}")
        refused(guest("--sync"), 2, f"{tmp_path}/theirs, the ControlPath of ssh for", "is not a socket of yours")


@pytest.mark.long
def test_a_server_that_opens_one_session_gives_all_files_by_it(serve):
    guest = serve("MaxSessions 1")
    guest.put_there("run/more", os.urandom(30 << 20))
    assert guest("--sync --threads 8").status == 0
    assert guest.wrong() == [] and guest.sshd.log.count("Accepted") == 1
    assert guest(f"--put {guest.data}/run --input_dir again --threads 8").status == 0


# What goes wrong.


def test_a_server_that_says_nothing_is_left(guest):
    with socket.create_server(("localhost", 0)) as silent:
        port = silent.getsockname()[1]
        guest.set("SERVER", f"sftp://me@localhost:{port}/")
        began = time.monotonic()
        with guest.running("--ls_dir", "CONNECT = 1") as run:
            found = wait_for(run)
    refused(found, 4, f"localhost:{port} does not answer: overloaded, or blocked by a firewall")
    assert time.monotonic() - began < 40  # it waits for 30 s unless told otherwise, each of two times


def test_a_server_that_is_down_is_named(guest):
    guest.sshd.stop()
    refused(guest("--ls_dir"), 4, f"localhost:{guest.sshd.port} refuses the connection")


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("echo Welcome to the machine; exec /usr/lib/openssh/sftp-server", "not SFTP but 'Welcome to the machine"),
        ("echo Hi", "not SFTP but 'Hi'"),
        ("/nonexistent/sftp-server", "broke off (ssh ends with status 127); try again"),
        ("exit 3", "broke off (ssh ends with status 3); try again"),
    ],
)
def test_what_speaks_no_sftp_is_named(serve, more, says):
    refused(serve(f"{SHELL}\nForceCommand {more}")("--ls_dir"), 4, says)


def test_a_server_without_the_subsystem_is_named(serve):
    guest = serve("Subsystem other internal-sftp\nForceCommand none")
    text = (guest.sshd.folder / "server/sshd_config").read_text().replace("Subsystem sftp internal-sftp\n", "")
    (guest.sshd.folder / "server/sshd_config").write_text(text)
    guest.sshd.take_key()
    guest.sshd.client.known_hosts.unlink()
    guest.sshd.client.meet(guest.sshd.port, guest.sshd.folder / "server/host_key.pub")
    refused(guest("--ls_dir"), 4, "lets you in, but has no sftp; ask the site")


@pytest.mark.long
def test_a_server_that_ends_connections_in_mid_file_is_asked_again(guest):
    guest.put_there("run/huge", os.urandom(200 << 20))
    guest.set("THREADS", "2", "gridsync")
    with guest.running("--sync", HASTY) as run:
        wait_until(lambda: is_begun(guest.data))
        assert guest.sshd.tell(signal.SIGKILL)
        found = wait_for(run)
    assert found.status == 0 and guest.wrong() == [], found
    assert (guest.data / "run/huge").read_bytes() == (guest.there / "run/huge").read_bytes()
    assert guest.sshd.log.count("Accepted") == 2 and os.listdir(guest.runtime / "gridsync") == []


@pytest.mark.long
def test_a_server_that_ends_in_mid_upload_leaves_nothing_that_seems_whole(guest):
    local = guest.folder / "huge"
    local.write_bytes(os.urandom(200 << 20))
    with guest.running(f"--put {local} --input_dir run", HASTY) as run:
        wait_until(lambda: is_begun(guest.there))
        assert not (guest.there / "run/huge").exists()
        assert guest.sshd.tell(signal.SIGKILL)
        found = wait_for(run)
    assert found.status == 0, found
    assert (guest.there / "run/huge").read_bytes() == local.read_bytes()
    assert not list(guest.there.rglob(f"*{MARK}"))


@pytest.mark.long
def test_a_server_that_hangs_in_mid_file_is_left_after_silence(guest):
    guest.put_there("run/huge", os.urandom(200 << 20))
    guest.set("SILENCE", "2")
    guest.set("FIRST_BYTE", "5")
    with guest.running("--sync", HASTY) as run:
        wait_until(lambda: is_begun(guest.data))
        stopped = guest.sshd.tell(signal.SIGSTOP)
        try:
            wait_until(lambda: guest.sshd.log.count("Accepted") > 1, 60)
        finally:
            guest.sshd.tell(signal.SIGCONT, stopped)
        found = wait_for(run)
    assert found.status == 0 and guest.wrong() == [], found
    assert (guest.data / "run/huge").read_bytes() == (guest.there / "run/huge").read_bytes()


@pytest.mark.skipif(not ROOT, reason="only root can mount a small disk")
def test_a_full_disk_there_is_said_and_nothing_is_left(guest):
    local = guest.folder / "local"
    local.mkdir()
    for number in range(3):
        (local / str(number)).write_bytes(os.urandom(3 << 20))
    (guest.there / "tiny").mkdir()
    with mounted(guest.there / "tiny", "2M"):
        guest.sshd.own()
        status, _, err = guest(f"--put {local} --input_dir tiny")
        assert os.listdir(guest.there / "tiny") == []
    assert status in (1, 4) and "the door has no room for it, or your quota is used up (Failure)" in err


def test_a_configuration_that_ssh_cannot_use_is_named(guest):
    guest.sshd.client.config.write_text("Nonsense yes\n")
    refused(guest("--ls_dir"), 2, "ssh cannot use its configuration", "line 1: Bad configuration option: nonsense")


def test_ssh_that_is_not_installed_is_named(guest, tmp_path):
    (tmp_path / "bin").mkdir()
    says = "ssh is not installed; on Debian: apt install openssh-client"
    refused(guest("--ls_dir", PATH=str(tmp_path / "bin")), 2, says)


@pytest.mark.long
def test_ctrl_c_ends_ssh_too(guest):
    guest.put_there("run/huge", os.urandom(300 << 20))
    with guest.running("--sync") as run:
        wait_until(lambda: is_begun(guest.data))
        run.send_signal(signal.SIGINT)
        assert wait_for(run).status == 130
    with contextlib.suppress(FileNotFoundError):
        assert os.listdir(guest.runtime / "gridsync") == []
