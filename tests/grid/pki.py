"""The grid's own certification authority: a CA, a host certificate, the user Alice, and proxies of every kind."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path

VO = "vo.agata.org"
BASE_DN = "/DC=org/DC=agata-test"
CA_DN = f"{BASE_DN}/CN=AGATA Test CA"
HOST_DN = f"{BASE_DN}/OU=Hosts/CN=localhost"
ALICE_DN = f"{BASE_DN}/O=IJCLab/CN=Alice Physicist"
PASSPHRASE = "secret"  # of Alice's ~/.globus/userkey.pem

# What a developer's own environment may say and what must never reach a client or a server of the test grid.
FOREIGN = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "VOMS_USERCONF")
FOREIGN_FAMILIES = ("X509_", "BEARER_")

EXTENSIONS = """
[req]
distinguished_name = dn
[dn]
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[host]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature, keyEncipherment
extendedKeyUsage = serverAuth, clientAuth
subjectAltName = DNS:localhost, IP:127.0.0.1
[user]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature, keyEncipherment, dataEncipherment
extendedKeyUsage = clientAuth
"""

SIGNING_POLICY = f"""\
access_id_CA   X509    '{CA_DN}'
pos_rights     globus  CA:sign
cond_subjects  globus  '"{BASE_DN}/*"'
"""

# Options of voms-proxy-fake: lifetimes in hours, the past as hours:minutes, "-voms" is the VO of the attribute.
PROXIES = {
    "good": ["-hours", "72", "-vomslife", "72", "-voms", VO],
    "expired": ["-hours", "1", "-vomslife", "1", "-pastproxy", "5:00", "-pastac", "5:00", "-voms", VO],
    "expired_attribute": ["-hours", "72", "-vomslife", "1", "-pastac", "5:00", "-voms", VO],
    "other_vo": ["-hours", "72", "-vomslife", "72", "-voms", "other.vo"],
    "plain": [],
}


def clean_environment() -> dict[str, str]:
    """The process's environment without what it says of other certificates and credentials."""
    return {k: v for k, v in os.environ.items() if k not in FOREIGN and not k.startswith(FOREIGN_FAMILIES)}


class Pki:
    """Certificates below one folder; proxies are made when they are first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.certificates = folder / "certificates"
        self.vomsdir = folder / "vomsdir"
        self.home = folder / "home" / "alice"
        self._proxy_lock = threading.Lock()

    def create(self) -> None:
        """Make everything but the proxies; the slow part, the three keys, side by side."""
        for folder in (self.certificates, self.vomsdir / VO, self.home / ".globus", self.folder / "proxies"):
            folder.mkdir(parents=True)
        (self.folder / "openssl.cnf").write_text(EXTENSIONS)
        new_key = ["req", "-config", "openssl.cnf", "-utf8", "-sha256", "-newkey", "rsa:2048", "-nodes"]
        self._openssl(
            [*new_key, "-x509", "-days", "3650", "-extensions", "ca", *_names("ca"), "-subj", CA_DN],
            [*new_key, "-keyout", "host.key", "-out", "host.csr", "-subj", HOST_DN],
            [*new_key, "-keyout", "alice.key", "-out", "alice.csr", "-subj", ALICE_DN],
        )
        sign = ["x509", "-req", "-days", "365", "-sha256", "-CA", "ca.pem", "-CAkey", "ca.key"]
        sign += ["-extfile", "openssl.cnf"]
        user_key = str(self.home / ".globus" / "userkey.pem")
        self._openssl(
            [*sign, "-set_serial", "1", "-extensions", "host", "-in", "host.csr", "-out", "host.pem"],
            [*sign, "-set_serial", "2", "-extensions", "user", "-in", "alice.csr", "-out", "alice.pem"],
            ["rsa", "-aes256", "-passout", "env:PASSPHRASE", "-in", "alice.key", "-out", user_key],
        )
        self._publish()

    def _publish(self) -> None:
        """Fill the folders where Grid software looks: CA folder, vomsdir, Alice's ~/.globus."""
        (self.certificates / "agata-test.pem").write_bytes((self.folder / "ca.pem").read_bytes())
        (self.certificates / "agata-test.signing_policy").write_text(SIGNING_POLICY)
        for kind in ("-subject_hash", "-subject_hash_old"):  # OpenSSL and gfal2 read the new hash, Java the old
            name = self._openssl(["x509", "-noout", kind, "-in", "ca.pem"]).strip()
            (self.certificates / f"{name}.0").symlink_to("agata-test.pem")
            (self.certificates / f"{name}.signing_policy").symlink_to("agata-test.signing_policy")
        (self.vomsdir / VO / "localhost.lsc").write_text(f"{HOST_DN}\n{CA_DN}\n")
        globus = self.home / ".globus"
        (globus / "usercert.pem").write_bytes((self.folder / "alice.pem").read_bytes())
        (self.home / ".rnd").write_bytes(os.urandom(1024))  # else voms-proxy-init complains that it is missing
        for key in (globus / "userkey.pem", *self.folder.glob("*.key")):
            key.chmod(0o400)

    def proxy(self, kind: str = "good") -> Path:
        """The file of Alice's proxy of a kind of PROXIES."""
        path = self.folder / "proxies" / kind
        with self._proxy_lock:
            if not path.exists():
                self._make_proxy(PROXIES[kind], path)
        return path

    def _make_proxy(self, options: list[str], path: Path) -> None:
        tool = ["voms-proxy-init2", "-valid", "72:00"]
        if options:
            vo = options[-1]
            tool = ["voms-proxy-fake", "-newformat", *options, "-fqan", f"/{vo}/Role=NULL/Capability=NULL"]
            tool += ["-hostcert", "host.pem", "-hostkey", "host.key", "-uri", "localhost:15000"]
        tool += ["-q", "-rfc", "-bits", "2048", "-cert", "alice.pem", "-key", "alice.key"]
        self._run([*tool, "-certdir", str(self.certificates), "-out", str(path)])

    def environment(self) -> dict[str, str]:
        """The environment of a process that trusts this CA and these VOMS servers only."""
        certificates = {"X509_CERT_DIR": str(self.certificates), "X509_VOMS_DIR": str(self.vomsdir)}
        return {**clean_environment(), **certificates, "HOME": str(self.home)}

    def _openssl(self, *commands: list[str]) -> str:
        """Run openssl commands side by side; the output of the last one."""
        environment = {**clean_environment(), "PASSPHRASE": PASSPHRASE}
        started = [self._start(["openssl", *command], environment) for command in commands]
        return [_finish(process) for process in started][-1]

    def _run(self, command: list[str]) -> str:
        return _finish(self._start(command, self.environment()))

    def _start(self, command: list[str], environment: dict[str, str]) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command, cwd=self.folder, env=environment, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True
        )


def _names(name: str) -> list[str]:
    return ["-keyout", f"{name}.key", "-out", f"{name}.pem"]


def _finish(process: subprocess.Popen[str]) -> str:
    output, errors = process.communicate(timeout=60)
    if process.returncode:
        raise RuntimeError(f"{process.args!r} failed:\n{output}{errors}")
    return output
