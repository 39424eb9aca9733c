"""OpenSSH's own client as a child: how it is called, where it asks, and what it means when it ends.

So the user's configuration, agent, keys and whatever else ssh can ask for count here as they do for ssh. What is not
left to the configuration: the host's key must be known, and nothing is forwarded.
"""

from __future__ import annotations

import contextlib
import enum
import os
import re
import secrets
import shlex
import signal
import stat
import subprocess
import time
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from gridsync_parts.doors.answers import connection_error
from gridsync_parts.doors.relay import CONNECT
from gridsync_parts.errors import CredentialError, DoorError, GridError, Saying, Unreached, UsageError, brief, error_for
from gridsync_parts.log import log
from gridsync_parts.secrets import make_printable
from gridsync_parts.table import Site

# What ssh, and what it calls for the user (a proxy command, an agent, a ticket), have to know.
SSH_ENV = (
    "PATH|HOME|USER|LOGNAME|SHELL|LANG|LC_.*|TZ|TMPDIR|TERM|SSH_AUTH_SOCK|SSH_ASKPASS|SSH_ASKPASS_REQUIRE|DISPLAY|"
    "WAYLAND_DISPLAY|XAUTHORITY|XDG_RUNTIME_DIR|DBUS_SESSION_BUS_ADDRESS|KRB5.*|GPG_TTY"
)
# Whatever the configuration says. As for sftp(1) nothing is forwarded and no other command is run.
ALWAYS = (
    "StrictHostKeyChecking=yes", "NoHostAuthenticationForLocalhost=no", "VerifyHostKeyDNS=no",
    "ClearAllForwardings=yes", "ForwardAgent=no", "ForwardX11=no", "PermitLocalCommand=no", "Tunnel=no",
    "RequestTTY=no", "ControlPersist=no", "LogLevel=INFO", f"ConnectTimeout={CONNECT}",
)  # fmt: skip
ASKING = 300  # seconds that a user has to answer what ssh asks
LAST_WORDS = 2.0  # seconds that ssh has to end by itself
MOST_SAID = 20_000  # bytes of what it says that are kept
QUIET = 0.3  # seconds after which what it says is no last word, and is for the user
LONGEST_SOCKET = 80  # characters of the folder of its socket, of 108 with what ssh adds

UNKNOWN = (
    "the key of {host} is not known here; type  {line}  and compare the fingerprint that it shows with that which the "
    "site tells"
)
# What ssh says when it ends.
SAYINGS = (
    Saying(r"host key for \S+ has changed|host identification has changed", DoorError,
           "the key of {host} is another one than in {known}: somebody may pretend to be it; only if the site says "
           "that it has a new key, type  {forget}  and then  {line}"),
    Saying(r"host key is known for|host key verification failed", DoorError, UNKNOWN),
    Saying(r"revoked", DoorError, "the key of {host} was revoked; ask the site"),
    Saying(r"(administratively prohibited|session open refused|session request failed)", DoorError,
           "{host} opens no more sessions", passing=True),
    Saying(r"subsystem request failed", DoorError, "{host} lets you in, but has no sftp; ask the site"),
    Saying(r"too many authentication failures", CredentialError,
           "{host} does not let you in: it was shown too many keys; name the right one in ~/.ssh/config (IdentityFile, "
           "IdentitiesOnly yes)"),
    Saying(r"permission denied \([^)]*(keyboard|password)", CredentialError,
           "{host} does not let you in ({said}); {ask}"),
    Saying(r"permission denied|no more authentication methods", CredentialError,
           "{host} does not let you in ({said}); try  {line}  and see that user name and key are right"),
    Saying(r"bad configuration option|bad owner or permissions|configuration option|config.* line \d+", UsageError,
           "ssh cannot use its configuration: {said}"),
    Saying(r"unable to negotiate|no matching", DoorError,
           "{host} and the ssh of this machine have no algorithm in common ({said}); ask the site"),
    Saying(r"could not resolve|name or service not known|name resolution", Unreached,
           "no address is known for {host}; check SERVER in Grid.conf and your network", passing=True),
    Saying(r"connection refused", Unreached,
           "{host} refuses the connection: down, or blocked by a firewall", passing=True),
    Saying(r"unreachable|no route", Unreached, "there is no route to {host}; check your network", passing=True),
    Saying(r"timed out", Unreached, "{host} does not answer: overloaded, or blocked by a firewall", passing=True),
    Saying(r"", DoorError, "the connection to {host} broke off ({said}); try again", passing=True),
)  # fmt: skip


class Server(NamedTuple):
    """Who is to be called."""

    url: str
    user: str  # empty where the configuration names one, or it is the same as here
    host: str
    port: int  # 0 where the configuration names one

    def name(self) -> str:
        """For people, and as the URLs of its files begin."""
        return f"{self.host}:{self.port}" if self.port else self.host

    def words(self) -> list[str]:
        """As ssh is told; the host, which comes last, can be no option."""
        user = ["-l", self.user] if self.user else []
        return [*user, *(["-p", str(self.port)] if self.port else [])]

    def line(self) -> str:
        """What a user types to see it."""
        port = f"-p {self.port} " if self.port else ""
        return f"ssh {port}{shlex.quote(f'{self.user}@{self.host}' if self.user else self.host)}"


def server_of(site: Site) -> Server:
    """The server of a site; nothing that ssh, or a shell of its configuration, could take for something else."""
    parts = urlsplit(site.server)
    user, host = unquote(parts.username or ""), unquote(parts.hostname or "")
    for name, what in ((user, "user name"), (host, "host")):
        if name.startswith("-"):
            raise UsageError(f"the {what} {name!r} in SERVER begins with -, as options of ssh do; correct it")
    if not re.fullmatch(r"[\w.@+~-]*", user):
        raise UsageError(f"the user name {user!r} in SERVER has a character that ssh cannot be given; correct it")
    if not re.fullmatch(r"[\w.:%-]+", host):
        raise UsageError(f"the host {host!r} in SERVER has a character that ssh cannot be given; correct it")
    return Server(site.server, user, host, parts.port or 0)


def ssh_env() -> dict[str, str]:
    """Its environment: what it needs, and no secret of ours."""
    return {name: value for name, value in os.environ.items() if re.fullmatch(SSH_ENV, name)}


def settings_of(server: Server) -> dict[str, str]:
    """What the configuration says of a server."""
    command = ["ssh", "-G", *server.words(), "--", server.host]
    try:
        done = subprocess.run(
            command, env=ssh_env(), stdin=subprocess.DEVNULL, capture_output=True, timeout=CONNECT, check=False
        )
    except FileNotFoundError as error:
        raise UsageError("ssh is not installed; on Debian: apt install openssh-client") from error
    except subprocess.TimeoutExpired as error:
        raise UsageError(f"ssh takes too long over its configuration for {server.name()}; see ~/.ssh/config") from error
    said = done.stderr.decode("utf-8", "replace")
    if done.returncode:
        raise UsageError(f"ssh cannot use its configuration: {brief(' '.join(said.split()))}")
    lines = (line.partition(" ") for line in done.stdout.decode("utf-8", "replace").splitlines())
    return {name: value for name, _, value in lines}


def check_socket_folder(folder: str) -> None:
    """Refuse a folder in which somebody else could put a socket that ssh would take for its own."""
    found = os.lstat(folder)
    is_private = found.st_uid == os.getuid() and not found.st_mode & 0o022
    if not stat.S_ISDIR(found.st_mode) or not is_private:
        raise UsageError(
            f"{folder} is to hold sockets of ssh, but another user may write there; remove it, or set XDG_RUNTIME_DIR "
            "to a folder of yours alone"
        )


def clear_sockets(folder: str) -> None:
    """Remove what runs have left that were killed: ssh leaves its socket where the other end has died first."""
    for name in os.listdir(folder):
        number = name.partition("-")[0]
        try:
            if number.isdecimal():
                os.kill(int(number), 0)
        except (ProcessLookupError, OverflowError):
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(folder, name))
        except PermissionError:  # another user's process has the number now
            pass


def socket_folder() -> str:
    """A folder of the user's alone, for the sockets by which connections are shared."""
    base = os.environ.get("XDG_RUNTIME_DIR", "")
    folder = os.path.join(base, "gridsync") if base else ""
    is_plain = re.fullmatch(r"[\w/.,:@+-]+", folder) and len(folder) <= LONGEST_SOCKET  # else ssh makes more of it
    if not is_plain or not os.access(base, os.W_OK | os.X_OK):
        folder = f"/tmp/gridsync-{os.getuid()}"
    try:
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder, 0o700)
        check_socket_folder(folder)
        clear_sockets(folder)
    except OSError as error:
        raise UsageError(f"{folder} cannot hold sockets of ssh: {error.strerror}; set XDG_RUNTIME_DIR") from error
    return folder


def shared_socket(server: Server, settings: dict[str, str]) -> str:
    """The socket of a connection that the user has opened, if there is one; what is not theirs is refused."""
    path = os.path.expanduser(settings.get("controlpath", "none"))
    if path == "none" or not os.path.exists(path):
        return ""
    found = os.lstat(path)
    if found.st_uid != os.getuid() or not stat.S_ISSOCK(found.st_mode):
        raise UsageError(f"{path}, the ControlPath of ssh for {server.name()}, is not a socket of yours; correct it")
    command = ["ssh", "-O", "check", "-o", f"ControlPath={path}", *server.words(), "--", server.host]
    with contextlib.suppress(subprocess.TimeoutExpired):
        quiet = subprocess.DEVNULL
        done = subprocess.run(command, env=ssh_env(), stdin=quiet, capture_output=True, timeout=CONNECT, check=False)
        if done.returncode == 0:
            return path
    return ""


def terminal() -> int | None:
    """A descriptor of the terminal, if there is one and this process may ask there."""
    try:
        tty = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return None
    if os.tcgetpgrp(tty) == os.getpgrp():
        return tty
    os.close(tty)
    return None


def let_interrupts_be() -> None:
    """What ends a run on the terminal is for gridsync, which then ends ssh."""
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)


class Part(enum.Enum):
    """What one ssh has to do with a connection that several share."""

    MASTER = "yes"  # it makes it
    GUEST = "no"  # it uses the user's, and makes one of its own if that is full
    FURTHER = "-"  # it uses the one that there is, and never another one


class Way(NamedTuple):
    """How a server is reached."""

    settings: dict[str, str]  # of the user's, for it
    socket: str  # by which a connection is shared,
    is_theirs: bool  # perhaps one that the user has opened

    def leave(self) -> None:
        """Its connection is over."""
        if not self.is_theirs:
            with contextlib.suppress(OSError):  # ssh itself removes it, unless the other end has died first
                os.unlink(self.socket)


def way_to(server: Server) -> Way:
    """How a server is reached: by a connection that the user has opened, if there is one."""
    settings = settings_of(server)
    theirs = shared_socket(server, settings)
    own = theirs or os.path.join(socket_folder(), f"{os.getpid()}-{secrets.token_hex(4)}")
    return Way(settings, own, bool(theirs))


def command_of(server: Server, way: Way, part: Part, tty: int | None) -> list[str]:
    """How ssh is called for a channel; it may ask on a terminal."""
    settings = way.settings
    options = [*ALWAYS, f"BatchMode={'yes' if tty is None else 'no'}", f"ControlPath={way.socket}"]
    options.append(f"ControlMaster={'yes' if part is Part.MASTER else 'no'}")
    options += ["ProxyCommand=false"] if part is Part.FURTHER else []  # else a refused one would log in
    # What not every version of ssh knows is said only where it has to be.
    hard = {"knownhostscommand": "KnownHostsCommand=none", "remotecommand": "RemoteCommand=none"}
    options += [option for name, option in hard.items() if settings.get(name, "none") != "none"]
    flags = {"stdinnull": "StdinNull=no", "forkafterauthentication": "ForkAfterAuthentication=no"}
    options += [option for name, option in flags.items() if settings.get(name, "no") != "no"]
    words = [word for option in options for word in ("-o", option)]
    return ["ssh", *words, *server.words(), "-s", "--", server.host, "sftp"]


def widen(descriptor: int) -> None:
    """Have a pipe take more at once: fewer wakes for the same bytes."""
    import fcntl

    with contextlib.suppress(OSError):
        fcntl.fcntl(descriptor, getattr(fcntl, "F_SETPIPE_SZ", 1031), 1 << 20)


class Client:
    """One ssh, which carries a channel."""

    def __init__(self, server: Server, command: list[str], tty: int | None):
        self.server = server
        self.tty = tty  # where it may ask
        self.words = b""  # of it
        self.told = 0  # how many of them the user has seen,
        self.heard = time.monotonic()  # and when the last came
        log.debug("%s", shlex.join(command))
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command, env=ssh_env(), stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0,
            start_new_session=tty is None, preexec_fn=None if tty is None else let_interrupts_be,
        )  # fmt: skip
        streams = (self.process.stdin, self.process.stdout, self.process.stderr)
        self.to_server, self.from_server, self.said = (stream.fileno() for stream in streams if stream)
        widen(self.to_server)
        widen(self.from_server)
        os.set_blocking(self.to_server, False)
        os.set_blocking(self.said, False)

    def hear(self) -> None:
        """Take in what it says."""
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self.said, MOST_SAID):
                self.words = (self.words + data)[-MOST_SAID:]
                self.heard = time.monotonic()

    def show(self) -> None:
        """Show the user what is said while ssh may ask for something: what the site wants, its greeting."""
        if self.tty is None or len(self.words) == self.told or time.monotonic() < self.heard + QUIET:
            return
        text = self.words[self.told :].decode("utf-8", "replace")
        self.told = len(self.words)
        lines = "".join(f"{make_printable(line)}\r\n" for line in text.splitlines())
        with contextlib.suppress(OSError):
            os.write(self.tty, lines.encode())

    def failure(self, error: Exception) -> GridError:
        """What it means that it is of no use any more."""
        if isinstance(error, TimeoutError):
            return connection_error(error, self.server.url, None)
        if isinstance(error, ValueError):
            said = brief(make_printable(" ".join(str(error).split())))
            return DoorError(
                f"what {self.server.name()} sends is not SFTP but {said!r}: perhaps what your shell prints at each "
                "login there; see ~/.bashrc on that machine, or ask the site"
            )
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(LAST_WORDS)
        self.hear()
        return self.meaning()

    def meaning(self) -> GridError:
        """What its last words mean."""
        text = re.sub(r"[\r\n]+", "\n", self.words.decode("utf-8", "replace")).strip()
        log.debug("ssh: %s", text)
        lines = [line for line in text.split("\n") if not re.match(r"$|[@\s]|\*\*|warning: permanently", line, re.I)]
        known = re.search(r"(?m)^offending .* key in (.+):(\d+)", text, re.I)
        name = re.search(r"host key for (\S+) has changed", text, re.I)
        forget = ["ssh-keygen", *(["-f", known[1]] if known else []), "-R", name[1] if name else self.server.host]
        ask = "is the answer right?" if self.tty is not None else (
            "it would ask, but there is no terminal: open a connection by hand first, see docs/doors.md"
        )  # fmt: skip
        said = brief(make_printable(lines[-1] if lines else f"ssh ends with status {self.process.poll()}"))
        words = {"host": self.server.name(), "line": self.server.line(), "said": said, "ask": ask}
        known_name = f"{known[1]}, line {known[2]}" if known else "known_hosts"
        return error_for(SAYINGS, text, known=known_name, forget=shlex.join(forget), **words)

    def hang_up(self) -> None:
        """Say no more to it, which ends it."""
        if self.process.stdin:
            with contextlib.suppress(OSError):
                self.process.stdin.close()

    def end(self, seconds: float) -> None:
        """Have it end in so many seconds, or when it is told to: then it gives the terminal back as it was."""
        for tell, patience in ((self.process.terminate, max(0.0, seconds)), (self.process.kill, LAST_WORDS)):
            try:
                self.process.wait(patience)
                return
            except subprocess.TimeoutExpired:
                tell()
        self.process.wait()
