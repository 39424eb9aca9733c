"""A real OpenSSH server on loopback: AGATA's files by sftp, for whoever has its one key."""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import subprocess
from pathlib import Path

from tests.grid.daemon import Daemon, free_port
from tests.grid.pki import clean_environment
from tests.grid.tree import Tree

FOR_ROOT = "daemon"
ATTEMPTS = 3  # a free port may be taken before the server binds it

# Of several lines about the same the first one counts.
CONFIG = """\
{more}
ListenAddress 127.0.0.1
Port {port}
PidFile none
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
AuthenticationMethods publickey
StrictModes no
UsePAM no
Subsystem sftp internal-sftp
ForceCommand internal-sftp
DisableForwarding yes
"""


WRAPPER = """\
#!/bin/sh
exec /usr/bin/ssh -F "$HOME/.ssh/config" "$@"
"""


def children_of(pid: int) -> list[int]:
    """The processes that one has started, and those that they have."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    own = [int(word) for task in tasks for word in task.read_text().split()]
    return [*own, *(below for child in own for below in children_of(child))]


class Client:
    """The home of a user of ssh, and an ssh that takes it for one: ssh itself asks the system, not HOME."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / ".ssh/config"
        self.known_hosts = folder / ".ssh/known_hosts"
        self.env = {"HOME": str(folder), "PATH": f"{folder}/bin:{os.environ['PATH']}"}

    def make(self, key: Path | None = None, more: str = "") -> None:
        """Write it: with a key, and more lines of configuration."""
        for name in (".ssh", "bin"):
            (self.folder / name).mkdir(parents=True, mode=0o700)
        if key:
            for file in (key, key.with_suffix(".pub")):
                (self.folder / ".ssh" / f"id_ed25519{file.suffix}").symlink_to(file)
        ssh = self.folder / "bin/ssh"
        ssh.write_text(WRAPPER)
        ssh.chmod(0o755)
        lines = [more, f"UserKnownHostsFile {self.known_hosts}", "GlobalKnownHostsFile none"]
        lines += [f"IdentityFile {self.folder}/.ssh/id_ed25519", "IdentityAgent SSH_AUTH_SOCK"]
        self.config.write_text("\n".join(lines) + "\n")

    def meet(self, port: int, key: Path) -> None:
        """Know a server by its key."""
        with open(self.known_hosts, "a") as file:
            file.write(f"[localhost]:{port} {key.read_text()}")


# Root's servers, which want a folder. One asks as PAM does, for the password of an account that only it sees.
BY_ROOT = "mount -t tmpfs none /run && mkdir /run/sshd && exec /usr/sbin/sshd -D -e -f {folder}/sshd_config"
WITH_PAM = "mount --bind {folder}/pam /etc/pam.d/sshd && mount --bind {folder}/shadow /etc/shadow && " + BY_ROOT
PAM = "auth required pam_unix.so\naccount required pam_permit.so\nsession required pam_permit.so\n"
PASSWORD = "a secret that is typed"
ASKING = "UsePAM yes\nAuthenticationMethods keyboard-interactive"
SHELL = "PermitRootLogin yes"  # the accounts of services have no shell to run a command by


class Sshd:
    """One sshd; `url` is the folder that holds agata/, `key` the file of the private key that opens it.

    More lines of its configuration go before the usual ones. With ASKING in them it is one that root alone can start;
    with SHELL it runs commands.
    """

    def __init__(self, folder: Path, more: str = "") -> None:
        self.more = more
        self.folder = folder
        self.port = 0
        self.key = folder / "key"
        self.client = Client(folder / "client")
        # A server without root's powers lets in only who it runs as, and not the user nobody, whose account is locked.
        self.user = FOR_ROOT if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
        command = ["/usr/sbin/sshd", "-D", "-e", "-f", f"{folder}/server/sshd_config"]
        is_by_root = os.getuid() == 0 and (ASKING in more or SHELL in more)
        if is_by_root:
            line = WITH_PAM if ASKING in more else BY_ROOT
            command = ["unshare", "--mount", "sh", "-c", line.format(folder=folder / "server")]
        if is_by_root and SHELL in more:
            self.user = "root"
        who = "root" if is_by_root else FOR_ROOT
        self._server = Daemon(folder / "server", command, clean_environment(), "Server listening on", who)

    @property
    def url(self) -> str:
        return f"sftp://{self.user}@localhost:{self.port}{self.folder}/server/data"

    def start(self, tree: Tree, folders: tuple[str, ...], sparse_above: int) -> None:
        """Write these folders of the tree and serve them."""
        self.folder.mkdir()
        self.folder.chmod(0o755)  # whatever the umask: the server may run as another user
        server = self.folder / "server"
        for folder in folders:
            tree.write(server / "data", folder, sparse_above)
        (server / "data/scratch").mkdir(parents=True)
        if ASKING in self.more:
            made = subprocess.run(["openssl", "passwd", "-6", PASSWORD], check=True, capture_output=True, text=True)
            (server / "shadow").write_text(f"{self.user}:{made.stdout.strip()}:20000:0:99999:7:::\n")
            (server / "pam").write_text(PAM)
            self.own()
        for key in (self.key, server / "host_key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True, timeout=60)
        (server / "authorized_keys").write_bytes(self.key.with_suffix(".pub").read_bytes())
        self.client.make(self.key)
        for _ in range(ATTEMPTS):
            self.port = free_port()
            (server / "sshd_config").write_text(CONFIG.format(port=self.port, folder=server, more=self.more))
            self._server.start()
            if self._server.is_up():
                self.client.meet(self.port, server / "host_key.pub")
                return
            self._server.stop()
        raise RuntimeError(f"sshd does not start:\n{self._server.log.read_text()[-3000:]}")

    @property
    def log(self) -> str:
        """What it has said."""
        return self._server.log.read_text(errors="replace")

    @property
    def data(self) -> Path:
        """The folder that it serves."""
        return self.folder / "server/data"

    def own(self) -> None:
        """Have all that it serves belong to who it lets in."""
        for path in (self.data, *self.data.rglob("*")) if os.getuid() == 0 else ():
            os.lchown(path, pwd.getpwnam(self.user).pw_uid, -1)

    def take_key(self) -> None:
        """Show another key of its own from now on."""
        key = self.folder / "server/host_key"
        for path in (key, key.with_suffix(".pub")):
            path.unlink()
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True, timeout=60)
        self._server.stop()
        self._server.start()
        assert self._server.is_up()

    def tell(self, number: signal.Signals, pids: list[int] | None = None) -> list[int]:
        """Send a signal to what serves connections, which SIGKILL ends and SIGSTOP lets hang; who that was."""
        found = children_of(self._server.pid) if pids is None else pids
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        return found

    def stop(self) -> None:
        self._server.stop()
