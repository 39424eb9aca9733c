"""Real FTP servers with TLS on loopback: proftpd, an old one, pure-ftpd and vsftpd, each for one user."""

from __future__ import annotations

import contextlib
import os
import pwd
import socket
import subprocess
import time
from pathlib import Path
from typing import Callable

from tests.grid.daemon import PATIENCE, Daemon, free_port
from tests.grid.pki import Pki, clean_environment
from tests.grid.tree import Tree

TOP = Path(__file__).resolve().parents[2]
BUILD = TOP / "build/ftpd"
LIBRARIES = BUILD / "usr/lib/x86_64-linux-gnu"
USER, PASSWORD = "beamuser", "not a secret, but long"
OWNER = "nobody"  # of the files, where root starts the server
ATTEMPTS = 3  # a free port may be taken before the server binds it
KINDS = ("proftpd", "oldftpd", "pure-ftpd", "vsftpd")
FOR_ROOT_ALONE = ("pure-ftpd", "vsftpd")

PROFTPD = """\
ServerType standalone
DefaultServer on
DefaultAddress {address}
SocketBindTight on
Port {port}
ModulePath {build}/usr/lib/proftpd
LoadModule mod_tls.c
PidFile {folder}/pid
ScoreboardFile {folder}/scoreboard
User {owner}
Group {group}
AuthUserFile {folder}/passwd
AuthOrder mod_auth_file.c
AuthPAM off
RequireValidShell off
UseReverseDNS off
DelayEngine off
WtmpLog off
Umask 022
AllowOverwrite on
AllowStoreRestart on
AllowRetrieveRestart on
MaxInstances 200
TLSEngine on
TLSRequired on
TLSVerifyClient off
TLSRSACertificateFile {folder}/host.pem
TLSRSACertificateKeyFile {folder}/host.key
TLSLog {folder}/tls.log
LogFormat said "%m %s"
ExtendedLog {folder}/said ALL said
"""

OLD = """\
TLSProtocol TLSv1.2
FactsAdvertise off
<Limit MLSD MLST>
  DenyAll
</Limit>
"""

VSFTPD = """\
listen=YES
listen_address={address}
listen_port={port}
background=NO
anonymous_enable=NO
local_enable=YES
write_enable=YES
local_umask=022
chroot_local_user=YES
allow_writeable_chroot=YES
secure_chroot_dir={folder}/empty
pam_service_name=vsftpd
ssl_enable=YES
rsa_cert_file={folder}/host.pem
rsa_private_key_file={folder}/host.key
ssl_ciphers=HIGH
vsftpd_log_file={folder}/vsftpd.log
xferlog_enable=YES
log_ftp_protocol=YES
"""

def crypted(password: str) -> str:
    """A password as servers keep it."""
    line = ["openssl", "passwd", "-6", "-stdin"]
    return subprocess.run(line, input=password, capture_output=True, text=True, check=True).stdout.strip()


class Ftpd:
    """One server of a kind; `url` is the folder that holds agata/, `data` the same on the disk."""

    def __init__(self, folder: Path, pki: Pki, kind: str, more: str = "", address: str = "127.0.0.1") -> None:
        """`more` stands in the server's configuration, or for pure-ftpd on its command line."""
        self.folder = folder
        self.pki = pki
        self.kind = kind
        self.more = more
        self.address = address
        self.port = 0
        self.host = "localhost"  # whose certificate it has
        self.owner = pwd.getpwnam(OWNER) if os.getuid() == 0 else pwd.getpwuid(os.getuid())
        self._server: Daemon | None = None

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def pid(self) -> int:
        assert self._server
        return self._server.pid

    @property
    def url(self) -> str:
        is_whole = self.kind in ("proftpd", "oldftpd")  # only root may shut a user into a folder
        return f"ftps://{USER}@localhost:{self.port}{self.data if is_whole else ''}"

    def start(self, tree: Tree | None = None, folders: tuple[str, ...] = (), sparse_above: int = 0) -> None:
        """Write these folders of the tree and serve them."""
        subprocess.run(["make", "-s", "build/ftpd/done"], cwd=TOP, check=True, stderr=subprocess.DEVNULL)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        for name in ("data", "empty"):
            (self.folder / name).mkdir(exist_ok=True)
        for folder in folders:
            assert tree
            tree.write(self.data, folder, sparse_above)
        certificate, key = self.pki.host(self.host)
        for name, text in (("host.pem", certificate.read_text()), ("host.key", key.read_text())):
            self.keep(name, text, 0o600)
        self.keep("both.pem", certificate.read_text() + key.read_text(), 0o600)
        prepare: Callable[[], list[str]] = getattr(self, f"_{self.kind.replace('-', '_')}")
        environment = {**clean_environment(), "LD_LIBRARY_PATH": str(LIBRARIES)}
        for _ in range(ATTEMPTS):
            self.port = free_port()
            for_root = "root" if self.kind in FOR_ROOT_ALONE else OWNER
            self._server = Daemon(self.folder, prepare(), environment, "", for_root)
            self._server.start()
            self.give(self.data)
            if self.is_up():
                return
            self._server.stop()
        raise RuntimeError(f"{self.kind} does not start:\n{self.log.read_text()[-3000:]}")

    def give(self, top: Path) -> None:
        """Let the user have all that is below a folder."""
        if os.getuid() == 0:
            for path in (top, *top.rglob("*")):
                os.lchown(path, self.owner.pw_uid, self.owner.pw_gid)

    def is_up(self) -> bool:
        """Wait for its greeting; it ends if somebody else has the port."""
        assert self._server
        ends = time.monotonic() + PATIENCE
        while self._server.is_running() and time.monotonic() < ends:
            with contextlib.suppress(OSError), socket.create_connection((self.address, self.port), 5) as line:
                if line.recv(100).startswith(b"220"):
                    return self._server.is_running()
            time.sleep(0.02)
        return False

    def stop(self) -> None:
        if self._server:
            self._server.stop()

    def tries(self) -> int:
        """How often somebody has shown it a password so far; proftpd alone says so."""
        return (self.folder / "said").read_text().count("PASS")

    def keep(self, name: str, text: str, mode: int = 0o644) -> Path:
        """Write one of its files."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.touch(mode=mode)
        path.write_text(text)
        return path

    def configured(self, text: str) -> Path:
        """Its configuration."""
        import grp

        words = {"address": self.address, "port": self.port, "folder": self.folder, "build": BUILD}
        group = grp.getgrgid(self.owner.pw_gid).gr_name
        return self.keep("conf", text.format(**words, owner=self.owner.pw_name, group=group) + self.more)

    def _proftpd(self, text: str = PROFTPD) -> list[str]:
        owner = self.owner
        line = f"{USER}:{crypted(PASSWORD)}:{owner.pw_uid}:{owner.pw_gid}::{self.data}:/bin/false\n"
        self.keep("passwd", line, 0o600)
        return [f"{BUILD}/usr/sbin/proftpd", "-n", "-c", str(self.configured(text))]

    def _oldftpd(self) -> list[str]:
        return self._proftpd(PROFTPD + OLD)

    def _pure_ftpd(self) -> list[str]:
        owner, base = self.owner, self.folder / "base"
        fields = f"{USER}:{crypted(PASSWORD)}:{owner.pw_uid}:{owner.pw_gid}::{self.data}/./" + ":" * 12
        passwd = self.keep("passwd", fields + "\n", 0o600)
        base.unlink(missing_ok=True)
        subprocess.run([f"{BUILD}/usr/bin/pure-pw", "mkdb", base, "-f", passwd], check=True, capture_output=True)
        line = [f"{BUILD}/usr/sbin/pure-ftpd", "-S", f"{self.address},{self.port}", "-Y", "2"]
        line += ["-2", f"{self.folder}/both.pem", "-l", f"puredb:{base}", "-A", "-E", "-H", "-u", "1"]
        return [*line, "-c", "100", "-C", "100", "-L", "10000:8", "-U", "022:022", *self.more.split()]

    def _vsftpd(self) -> list[str]:
        """It asks PAM alone, and lets in who this machine knows, so it is shown other files in /etc."""
        owner, line = self.owner, f"{USER}:{crypted(PASSWORD)}:20000:0:99999:7:::"
        known = f"{USER}:x:{owner.pw_uid}:{owner.pw_gid}::{self.data}:/bin/sh"
        self.keep("etc/passwd", f"{known}\n{Path('/etc/passwd').read_text()}")
        self.keep("etc/shadow", f"{line}\n", 0o600)
        rules = ["auth required pam_unix.so", "account required pam_permit.so", "session required pam_permit.so"]
        self.keep("etc/pam.d/vsftpd", "\n".join([*rules, ""]))
        shown = [f"mount --bind {self.folder}/etc/{name} /etc/{name}" for name in ("passwd", "shadow", "pam.d")]
        command = " && ".join([*shown, f"exec {BUILD}/usr/sbin/vsftpd {self.configured(VSFTPD)}"])
        return ["unshare", "--mount", "sh", "-c", command]
