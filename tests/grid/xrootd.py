"""A real door: XRootD with HTTPS and root://, open to members of the VO, serving files on disk."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

from tests.grid.daemon import Daemon
from tests.grid.pki import VO, Pki
from tests.grid.tree import Tree

EXPORT = "agata"
SPARSE_ABOVE = 16 * 1024 * 1024  # bytes; larger files are holes of the right size
ATTEMPTS = 3  # a free port may be taken before XRootD binds it

CONFIG = """\
all.export /{export}
all.adminpath {folder}/admin
all.pidpath {folder}/run
oss.localroot {folder}/data
xrd.port {root_port}
xrd.network nodnr
xrd.tls {folder}/host.pem {folder}/host.key
xrd.tlsca certdir {certificates}
xrd.protocol http:{http_port} libXrdHttp.so
http.secxtractor libXrdVoms.so
http.listingdeny no
http.desthttps yes
xrootd.chksum adler32
xrootd.seclib libXrdSec.so
sec.protocol gsi -certdir:{certificates} -cert:{folder}/host.pem -key:{folder}/host.key {gsi}
ofs.authorize 1
acc.authdb {folder}/authdb
"""
GSI = "-gmapopt:10 -vomsat:1 -vomsfun:libXrdVoms.so -vomsfunparms:certfmt=raw -crl:1"


class XRootD:
    """One xrootd process; it listens on every address of the machine, `ports` says where."""

    def __init__(self, folder: Path, pki: Pki) -> None:
        self.folder = folder
        self.pki = pki
        self.ports: tuple[int, int] = (0, 0)  # https, root
        command = ["xrootd", "-c", f"{folder}/xrootd.cfg"]
        self._server = Daemon(folder, command, pki.environment(), r"xrootd \S+ initialization completed")

    @property
    def url(self) -> str:
        return f"https://localhost:{self.ports[0]}"

    @property
    def root_url(self) -> str:
        return f"root://localhost:{self.ports[1]}/"

    @property
    def pid(self) -> int:
        return self._server.pid

    def fill(self, tree: Tree) -> None:
        """Write the files it serves."""
        tree.write(self.folder / "data", EXPORT, SPARSE_ABOVE)

    def start(self) -> None:
        """Start the process; `ready` waits for it."""
        for name in ("admin", "run"):
            (self.folder / name).mkdir()
        for name in ("host.pem", "host.key"):
            shutil.copy(self.pki.folder / name, self.folder)
        (self.folder / "authdb").write_text(f"o {VO} /{EXPORT} rl\n")
        self._spawn()

    def ready(self) -> None:
        """Wait until it serves both ports; on other ports if these were taken."""
        for _ in range(ATTEMPTS):
            if self._server.is_up():
                return
            self.stop()
            self._spawn()
        raise RuntimeError(f"XRootD does not start:\n{self._server.log.read_text()[-3000:]}")

    def stop(self) -> None:
        self._server.stop()

    def _spawn(self) -> None:
        self.ports = free_ports()
        http_port, root_port = self.ports
        values = {"http_port": http_port, "root_port": root_port, "gsi": GSI, "certificates": self.pki.certificates}
        (self.folder / "xrootd.cfg").write_text(CONFIG.format(folder=self.folder, export=EXPORT, **values))
        self._server.start()


def free_ports() -> tuple[int, int]:
    """Two ports that nobody has just now."""
    with socket.create_server(("", 0)) as one, socket.create_server(("", 0)) as other:
        return one.getsockname()[1], other.getsockname()[1]
