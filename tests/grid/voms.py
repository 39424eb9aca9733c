"""A real VOMS server for the VO: it signs attributes for those in its database, a MariaDB without network."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from tests.grid.daemon import Daemon, free_port
from tests.grid.pki import CA_DN, HOST_DN, VO, Pki, dn

HOURS = 72  # of an attribute at most; the server's own default would be 24
ATTEMPTS = 3  # a free port may be taken before the server binds it
MEMBERS = ("alice", "carol", "dave", "erin")
SUSPENDED = {"dave": "Membership has to be renewed"}

# All that the server's plugin reads. MariaDB takes one statement a line.
SCHEMA = f"""\
CREATE DATABASE voms;
USE voms;
CREATE TABLE version (version INT);
CREATE TABLE seqnumber (seq VARCHAR(255));
CREATE TABLE ca (cid INT, subject_string VARCHAR(255));
CREATE TABLE usr (userid INT);
CREATE TABLE certificate (usr_id INT, ca_id INT, subject_string VARCHAR(255), suspended BIT, suspended_reason TEXT);
CREATE TABLE groups (gid INT, dn VARCHAR(255));
CREATE TABLE roles (rid INT, role VARCHAR(255));
CREATE TABLE m (userid INT, gid INT, rid INT);
CREATE TABLE attributes (a_id INT, a_name VARCHAR(255));
CREATE TABLE usr_attrs (a_id INT, u_id INT, a_value VARCHAR(255));
CREATE TABLE group_attrs (a_id INT, g_id INT, a_value VARCHAR(255));
CREATE TABLE role_attrs (a_id INT, g_id INT, r_id INT, a_value VARCHAR(255));
INSERT INTO version VALUES (3);
INSERT INTO seqnumber VALUES ('00');
INSERT INTO ca VALUES (1, '{CA_DN}');
INSERT INTO groups VALUES (1, '/{VO}');
"""

# In an empty folder, without accounts: whoever can enter the folder of its socket may do everything.
DATABASE = """\
/usr/sbin/mariadbd --no-defaults --datadir=. --socket=socket --pid-file=pid --init-file=schema.sql
--skip-networking --skip-grant-tables --skip-innodb --default-storage-engine=Aria
"""

# With --debug it stays the process that was started. The last line that counts is of level 5.
CONFIG = """\
--debug
--vo={vo}
--port={port}
--uri=localhost:{port}
--timeout={seconds}
--socktimeout=10
--sqlloc=/usr/lib/voms/libvomsmysql.so
--mysql-socket={database}/socket
--passfile={folder}/password
--logfile={folder}/log
--loglevel=5
--x509_cert_dir={certificates}
--x509_user_cert={folder}/host.pem
--x509_user_key={folder}/host.key
"""


class Voms:
    """MariaDB and voms; the latter listens on every address of the machine, `port` says where."""

    def __init__(self, folder: Path, pki: Pki) -> None:
        self.folder = folder
        self.pki = pki
        self.port = 0
        environment = pki.environment()
        self._database = Daemon(folder / "db", DATABASE.split(), environment, "ready for connections")
        command = ["/usr/sbin/voms", "--conf", str(folder / "server" / "voms.conf")]
        self._server = Daemon(folder / "server", command, environment, r"Opened Socket: \d")

    def start(self) -> None:
        """Start both and tell all users of the server."""
        for folder, mode in ((self.folder, 0o755), (self.folder / "db", 0o700), (self.folder / "server", 0o700)):
            folder.mkdir()
            folder.chmod(mode)  # whatever the umask: the servers may run as another user
        (self.folder / "db" / "schema.sql").write_text(SCHEMA + _members())
        for name in ("host.pem", "host.key"):
            shutil.copy(self.pki.folder / name, self.folder / "server")
        password = self.folder / "server" / "password"
        password.write_text("none is asked for\n")
        password.chmod(0o640)  # the server insists
        try:
            self._spawn()
        except BaseException:
            self.stop()
            raise
        self.pki.vomses.write_text(f'"{VO}" "localhost" "{self.port}" "{HOST_DN}" "{VO}"\n')

    def stop(self) -> None:
        self._server.stop()
        self._database.stop()

    @contextlib.contextmanager
    def down(self) -> Iterator[None]:
        """For a while nobody listens on its port."""
        self._server.stop()
        try:
            yield
        finally:
            self._again(HOURS)

    @contextlib.contextmanager
    def at_most(self, hours: int) -> Iterator[None]:
        """For a while no attribute is given for longer."""
        self._again(hours)
        try:
            yield
        finally:
            self._again(HOURS)

    def _spawn(self) -> None:
        self._database.start()
        if not self._database.is_up():
            raise RuntimeError(f"MariaDB does not start:\n{self._database.log.read_text()[-3000:]}")
        for _ in range(ATTEMPTS):
            self.port = free_port()
            if self._serve(HOURS):
                return
        raise RuntimeError(f"VOMS does not start:\n{self._server.log.read_text()[-3000:]}")

    def _again(self, hours: int) -> None:
        self._server.stop()
        if not self._serve(hours):
            raise RuntimeError(f"VOMS does not start again:\n{self._server.log.read_text()[-3000:]}")

    def _serve(self, hours: int) -> bool:
        """Start the server on its port; is it up?"""
        folder, database = self.folder / "server", self.folder / "db"
        values = {"vo": VO, "port": self.port, "seconds": hours * 3600, "certificates": self.pki.certificates}
        (folder / "voms.conf").write_text(CONFIG.format(folder=folder, database=database, **values))
        self._server.start()
        return self._server.is_up()


def _members() -> str:
    lines = []
    for number, user in enumerate(MEMBERS):
        reason = SUSPENDED.get(user, "")
        lines.append(f"INSERT INTO usr VALUES ({number});")
        lines.append(f"INSERT INTO certificate VALUES ({number}, 1, '{dn(user)}', {bool(reason):d}, '{reason}');")
        lines.append(f"INSERT INTO m VALUES ({number}, 1, NULL);")
    return "\n".join([*lines, ""])
