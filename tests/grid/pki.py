"""The grid's own certification authority: host certificates, users with all they keep at home, proxies of every kind.

Made when first asked for, but for what every grid needs: the CA, its host certificate, and Alice.
"""

from __future__ import annotations

import os
import subprocess
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path

VO = "vo.agata.org"
BASE_DN = "/DC=org/DC=agata-test"
CA_DN = f"{BASE_DN}/CN=AGATA Test CA"
HOST_DN = f"{BASE_DN}/OU=Hosts/CN=localhost"
PASSPHRASE = "secret"  # of everybody's ~/.globus/userkey.pem
P12_PASSWORD = "from my browser"

USERS = {
    "alice": "Alice Physicist",
    "bob": "Bob Stranger",  # not in the VO
    "carol": "Carol Ended",  # her certificate is over
    "dave": "Dave Suspended",  # by the VO
    "erin": "Erin Ending",  # hers is over tomorrow
}
VALID = {"carol": (-366, -1), "erin": (-364, 1), "future": (1, 30)}  # days from now, of people and of hosts
VALID_ELSE = (0, 365)

# Common name, DNS name and issuer; "localhost" in the certificate of another CA is nobody to trust.
HOSTS = {
    "localhost": ("localhost", "DNS:localhost, IP:127.0.0.1", "ca"),
    "other": ("other.example", "DNS:other.example", "ca"),
    "untrusted": ("localhost", "DNS:localhost, IP:127.0.0.1", "other_ca"),
    "future": ("localhost", "DNS:localhost, IP:127.0.0.1", "ca"),
}

# What a developer's own environment may say and what must never reach a client or a server of the test grid.
FOREIGN = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "JAVA_TOOL_OPTIONS")
FOREIGN_FAMILIES = ("X509_", "BEARER_", "VOMS_")
WEB_PROXIES = ("https_proxy", "http_proxy", "all_proxy", "no_proxy")  # in capitals too

CONFIG = """
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
subjectAltName = ${ENV::ALTERNATIVE}
[user]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature, keyEncipherment, dataEncipherment
extendedKeyUsage = clientAuth
[issue]
database = issued/index.txt
new_certs_dir = issued
rand_serial = yes
unique_subject = no
default_md = sha256
policy = names
[names]
domainComponent = optional
organizationName = optional
organizationalUnitName = optional
commonName = supplied
"""

SIGNING_POLICY = f"""\
access_id_CA   X509    '{CA_DN}'
pos_rights     globus  CA:sign
cond_subjects  globus  '"{BASE_DN}/*"'
"""

# Options of voms-proxy-fake: lifetimes in hours, the past as hours:minutes, "-voms" is the VO of the attribute.
PROXIES = {
    "good": ["-hours", "72", "-vomslife", "72", "-voms", VO],
    "short": ["-hours", "2", "-vomslife", "2", "-voms", VO],
    "expired": ["-hours", "1", "-vomslife", "1", "-pastproxy", "5:00", "-pastac", "5:00", "-voms", VO],
    "expired_attribute": ["-hours", "72", "-vomslife", "1", "-pastac", "5:00", "-voms", VO],
    "other_vo": ["-hours", "72", "-vomslife", "72", "-voms", "other.vo"],
    "forged": ["-hours", "72", "-vomslife", "72", "-voms", VO],  # Bob's, signed by a host that may not sign for the VO
    "new_format": ["-hours", "72", "-vomslife", "72", "-newformat", "-voms", VO],  # Java takes it for another's
    "plain": [],
}

NEW_KEY = ["req", "-config", "openssl.cnf", "-utf8", "-sha256", "-newkey", "rsa:2048", "-nodes"]


def dn(user: str) -> str:
    """The name in the certificate of a user."""
    return f"{BASE_DN}/O=IJCLab/CN={USERS[user]}"


ALICE_DN = dn("alice")


def clean_environment() -> dict[str, str]:
    """The process's environment without what it says of other certificates, credentials and ways."""
    ours = {k: v for k, v in os.environ.items() if k.lower() not in WEB_PROXIES}
    return {k: v for k, v in ours.items() if k not in FOREIGN and not k.startswith(FOREIGN_FAMILIES)}


class Pki:
    """Certificates below one folder."""

    def __init__(self, folder: Path, *also: str) -> None:
        """The certificate of this host is good for other addresses of it, too."""
        self.folder = folder
        self.alternative = ", ".join([HOSTS["localhost"][1], *(f"IP:{address}" for address in also)])
        self.certificates = folder / "certificates"
        self.vomsdir = folder / "vomsdir"
        self.vomses = folder / "vomses"  # the VOMS server writes it, once it runs
        self.home = folder / "home" / "alice"
        self._lock = threading.RLock()

    def create(self) -> None:
        """Make what every grid needs; the slow part, the three keys, side by side."""
        for folder in (self.certificates, self.vomsdir / VO, self.folder / "proxies", self.folder / "issued"):
            folder.mkdir(parents=True)
        (self.folder / "openssl.cnf").write_text(CONFIG)
        (self.folder / "issued" / "index.txt").touch()
        host, alice = _request("host", HOST_DN), _request("alice", dn("alice"))
        self._openssl(_authority("ca", CA_DN), host, alice)
        self._sign("host", "host", alternative=self.alternative)
        self._settle("alice", self.home)
        self._publish()

    def user(self, name: str) -> Path:
        """The home of one of USERS."""
        home = self.folder / "home" / name
        with self._lock:
            if not home.exists():
                self._openssl(_request(name, dn(name)))
                self._settle(name, home)
        return home

    def furnish(self, home: Path) -> Path:
        """Make the home of somebody who has no certificate there yet."""
        (home / ".glite").mkdir(parents=True)
        (home / ".glite" / "vomses").symlink_to(self.vomses)
        (home / ".rnd").write_bytes(os.urandom(1024))  # else voms-proxy-init complains that it is missing
        return home

    def p12(self, user: str = "alice", old: bool = False) -> Path:
        """What the browser of a user exports, with the CA inside; old ones encrypt as OpenSSL 3 no longer likes to."""
        path = self.user(user) / f"{user}_grid{'_old' if old else ''}.p12"
        with self._lock:
            if not path.exists():
                name = f"Certificat de {USERS[user]} pour l'accès à la grille"
                command = ["pkcs12", "-export", *(["-legacy"] if old else []), "-name", name]
                command += ["-in", f"{user}.pem", "-inkey", f"{user}.key", "-certfile", "ca.pem"]
                self._openssl([*command, "-passout", "env:P12_PASSWORD", "-out", str(path)])
        return path

    def host(self, kind: str = "localhost") -> tuple[Path, Path]:
        """Certificate and key of one of HOSTS."""
        name = "host" if kind == "localhost" else f"{kind}_host"
        path = self.folder / f"{name}.pem"
        with self._lock:
            if not path.exists():
                common_name, alternative, issuer = HOSTS[kind]
                if not (self.folder / f"{issuer}.pem").exists():
                    self._openssl(_authority(issuer, "/DC=org/DC=other-test/CN=Other Test CA"))
                self._openssl(_request(name, f"{BASE_DN}/OU=Hosts/CN={common_name}"))
                self._sign(name, "host", *VALID.get(kind, VALID_ELSE), issuer, alternative)
        return path, path.with_suffix(".key")

    def proxy(self, kind: str = "good") -> Path:
        """The file of a proxy of a kind of PROXIES, Alice's but for the forged one."""
        path = self.folder / "proxies" / kind
        with self._lock:
            if not path.exists():
                self._make_proxy(kind, path)
        return path

    def environment(self, user: str = "alice", home: Path | None = None) -> dict[str, str]:
        """The environment of a process of this user that trusts this CA and these VOMS servers only."""
        home = home or (self.home if user == "alice" else self.user(user))
        return {
            **clean_environment(),
            "X509_CERT_DIR": str(self.certificates),
            "X509_VOMS_DIR": str(self.vomsdir),
            "HOME": str(home),
            # Java asks passwd, not HOME, where home is.
            "VOMS_CLIENTS_JAVA_OPTIONS": f"-XX:+UseSerialGC -Xmx64m -Duser.home={home}",
        }

    def _settle(self, user: str, home: Path) -> None:
        """Sign the request of a user and make their home, where Grid software looks."""
        start, end = VALID.get(user, VALID_ELSE)
        self._sign(user, "user", start, end)
        globus = self.furnish(home) / ".globus"
        globus.mkdir(mode=0o700)
        certificate, key = globus / "usercert.pem", globus / "userkey.pem"
        certificate.write_bytes((self.folder / f"{user}.pem").read_bytes())
        certificate.chmod(0o644)  # whatever the umask: the clients refuse what a group may write
        self._openssl(["rsa", "-aes256", "-passout", "env:PASSPHRASE", "-in", f"{user}.key", "-out", str(key)])
        key.chmod(0o400)

    def _publish(self) -> None:
        """Fill the folders that tell whom to trust."""
        (self.certificates / "agata-test.pem").write_bytes((self.folder / "ca.pem").read_bytes())
        (self.certificates / "agata-test.signing_policy").write_text(SIGNING_POLICY)
        for kind in ("-subject_hash", "-subject_hash_old"):  # OpenSSL and gfal2 read the new hash, Java the old
            name = self._openssl(["x509", "-noout", kind, "-in", "ca.pem"]).strip()
            (self.certificates / f"{name}.0").symlink_to("agata-test.pem")
            (self.certificates / f"{name}.signing_policy").symlink_to("agata-test.signing_policy")
        (self.vomsdir / VO / "localhost.lsc").write_text(f"{HOST_DN}\n{CA_DN}\n")

    def _make_proxy(self, kind: str, path: Path) -> None:
        options, user, host = PROXIES[kind], "alice", "localhost"
        if kind == "forged":
            user, host = "bob", "other"
            self.user(user)
        tool = ["voms-proxy-init2", "-valid", "72:00"]
        if options:
            vo, (host_certificate, host_key) = options[-1], self.host(host)
            tool = ["voms-proxy-fake", *options, "-fqan", f"/{vo}/Role=NULL/Capability=NULL"]
            tool += ["-hostcert", str(host_certificate), "-hostkey", str(host_key), "-uri", "localhost:15000"]
        tool += ["-q", "-rfc", "-bits", "2048", "-cert", f"{user}.pem", "-key", f"{user}.key"]
        command = [*tool, "-certdir", str(self.certificates), "-out", str(path)]
        _finish(self._start(command, self.environment()))

    def _sign(
        self,
        name: str,
        extensions: str,
        start: int = VALID_ELSE[0],
        end: int = VALID_ELSE[1],
        issuer: str = "ca",
        alternative: str = HOSTS["localhost"][1],
    ) -> None:
        """Make NAME.pem of NAME.csr, valid from so many days after now until so many."""
        command = ["ca", "-batch", "-config", "openssl.cnf", "-name", "issue", "-notext", "-preserveDN"]
        command += ["-startdate", _date(start), "-enddate", _date(end), "-extensions", extensions]
        command += ["-cert", f"{issuer}.pem", "-keyfile", f"{issuer}.key", "-in", f"{name}.csr", "-out", f"{name}.pem"]
        self._openssl(command, ALTERNATIVE=alternative)
        (self.folder / f"{name}.key").chmod(0o400)

    def _openssl(self, *commands: list[str], **variables: str) -> str:
        """Run openssl commands side by side; the output of the last one."""
        environment = {"ALTERNATIVE": "", "PASSPHRASE": PASSPHRASE, "P12_PASSWORD": P12_PASSWORD, **variables}
        environment = {**clean_environment(), **environment}
        started = [self._start(["openssl", *command], environment) for command in commands]
        return [_finish(process) for process in started][-1]

    def _start(self, command: list[str], environment: dict[str, str]) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command, cwd=self.folder, env=environment, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True
        )


def _authority(name: str, subject: str) -> list[str]:
    """The command that makes NAME.pem and NAME.key of a CA."""
    names = ["-keyout", f"{name}.key", "-out", f"{name}.pem"]
    return [*NEW_KEY, "-x509", "-days", "3650", "-extensions", "ca", *names, "-subj", subject]


def _request(name: str, subject: str) -> list[str]:
    """The command that makes NAME.key and NAME.csr, what a CA signs."""
    return [*NEW_KEY, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", subject]


def _date(days: int) -> str:
    """A moment so many days from now, as openssl ca reads it."""
    return (datetime.now(timezone.utc) + timedelta(days=days)).strftime("%Y%m%d%H%M%SZ")


def _finish(process: subprocess.Popen[str]) -> str:
    output, errors = process.communicate(timeout=60)
    if process.returncode:
        raise RuntimeError(f"{process.args!r} failed:\n{output}{errors}")
    return output
