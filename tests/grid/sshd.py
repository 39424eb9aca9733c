"""A real OpenSSH server on loopback: AGATA's files by sftp, for whoever has its one key."""

from __future__ import annotations

import os
import pwd
import subprocess
from pathlib import Path

from tests.grid.daemon import Daemon, free_port
from tests.grid.pki import clean_environment
from tests.grid.tree import Tree

FOR_ROOT = "daemon"
ATTEMPTS = 3  # a free port may be taken before the server binds it

CONFIG = """\
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


class Sshd:
    """One sshd; `url` is the folder that holds agata/, `key` the file of the private key that opens it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 0
        self.key = folder / "key"
        self.client = Client(folder / "client")
        # A server without root's powers lets in only who it runs as, and not the user nobody, whose account is locked.
        self.user = FOR_ROOT if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
        command = ["/usr/sbin/sshd", "-D", "-e", "-f", f"{folder}/server/sshd_config"]
        self._server = Daemon(folder / "server", command, clean_environment(), "Server listening on", FOR_ROOT)

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
        (server / "data/scratch").mkdir()
        for key in (self.key, server / "host_key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True, timeout=60)
        (server / "authorized_keys").write_bytes(self.key.with_suffix(".pub").read_bytes())
        self.client.make(self.key)
        for _ in range(ATTEMPTS):
            self.port = free_port()
            (server / "sshd_config").write_text(CONFIG.format(port=self.port, folder=server))
            self._server.start()
            if self._server.is_up():
                self.client.meet(self.port, server / "host_key.pub")
                return
            self._server.stop()
        raise RuntimeError(f"sshd does not start:\n{self._server.log.read_text()[-3000:]}")

    def stop(self) -> None:
        self._server.stop()
