"""A real door: XRootD with HTTPS and root://, open to members of the VO, serving files on disk.

One that copies has a folder to write in, makes third-party copies, and gives macaroons out. One with an issuer takes
its tokens, too, on both ports. A public one lets in everybody, and takes a proxy from whoever shows one; so
does the one of the open data. These three say in their log who came in how, and which bytes were read.
"""

from __future__ import annotations

import base64
import http.client
import os
import re
import shutil
import signal
import socket
import ssl
import struct
import zlib
from pathlib import Path

from tests.grid.daemon import Daemon
from tests.grid.openid import ANY_AUDIENCE, OpenId
from tests.grid.pki import VO, Pki
from tests.grid.tree import Tree

EXPORT = "agata"
OPEN_DATA = "eos/opendata"
SCRATCH = "scratch"  # where members may write
ELSEWHERE = "elsewhere"  # what one with an issuer says is at another port
SPARSE_ABOVE = 16 * 1024 * 1024  # bytes; larger files are holes of the right size
PATIENCE = 10  # seconds for an answer of one that does not hang
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
"""
SHOWN = """\
xrootd.seclib libXrdSec.so
sec.protocol gsi -certdir:{certificates} -cert:{folder}/host.pem -key:{folder}/host.key {gsi}
"""
MEMBERS = f"""\
{SHOWN}ofs.authorize 1
acc.authdb {{folder}}/authdb
"""
COPIES = """\
all.export /{scratch}
all.sitename AGATA-TEST
http.exthandler xrdtpc libXrdHttpTPC.so
http.exthandler xrdmacaroons libXrdMacaroons.so
http.header2cgi Authorization authz
macaroons.secretkey {folder}/macaroons
ofs.authlib libXrdMacaroons.so
"""
TOKENS = """\
all.export /{scratch}
http.header2cgi Authorization authz
sec.protocol ztn
xrootd.tls capable all
all.export /{elsewhere_path}
xrootd.redirect localhost:{elsewhere} /{elsewhere_path}
ofs.authlib ++ libXrdAccSciTokens.so config={folder}/scitokens.cfg
"""
SCITOKENS = """\
[Global]
audience = https://localhost:{http_port}, {any}
onmissing = passthrough

[Issuer grid]
issuer = {issuer}
base_path = /
map_subject = false
default_user = alice
"""
PUBLIC = "sec.protocol unix\n"
TRACE = "xrootd.trace login fsio\n"
GSI = "-gmapopt:10 -vomsat:1 -vomsfun:libXrdVoms.so -vomsfunparms:certfmt=raw -crl:1"


class NotUp(RuntimeError):
    """XRootD does not start: a sentence, made of its log."""

    def __init__(self, log: str) -> None:
        lines = [line for line in log.splitlines() if line.strip()] or ["its log is empty"]
        telling = [line for line in lines if re.search("unable|cannot|error", line, re.IGNORECASE)]
        reason = re.sub(r"^\d+ \S+ \d+ |[ ;]*execution terminated\.$", "", (telling or lines)[-1])
        if "host name" in reason:
            reason += '; as root, tell this machine its own name: echo "127.0.1.1 $(hostname)" >> /etc/hosts'
        super().__init__(f"XRootD does not start: {re.sub(' *; *', '; ', reason)}")


def keep_checksum(path: Path, checksum: int) -> None:
    """Write it where XRootD keeps it, in its XrdCksData; asked to make many, XRootD forgets answers, or ends."""
    made = struct.pack(">16sqihbB64s", b"adler32", int(path.stat().st_mtime), 1, 0, 0, 4, struct.pack(">I", checksum))
    os.setxattr(path, "user.XrdCks.adler32", made)


class XRootD:
    """One xrootd process; it listens on every address of the machine, `ports` says where."""

    def __init__(self, folder: Path, pki: Pki, kind: str = "plain", issuer: OpenId | None = None) -> None:
        self.kind = kind  # plain, copier, guarded (by an issuer), public or opendata
        self.issuer = issuer
        self.folder = folder
        self.pki = pki
        self.ports: tuple[int, int] = (0, 0)  # https, root
        self.elsewhere = free_ports()[0]
        command = ["xrootd", "-c", f"{folder}/xrootd.cfg"]
        env = {**pki.environment(), "XDG_CACHE_HOME": f"{folder}/cache"}
        self._server = Daemon(folder, command, env, r"xrootd \S+ initialization completed")

    @property
    def url(self) -> str:
        return f"https://localhost:{self.ports[0]}"

    @property
    def scratch(self) -> str:
        """Where members may write."""
        return f"{self.url}/{SCRATCH}"

    @property
    def root_url(self) -> str:
        return f"root://localhost:{self.ports[1]}/"

    @property
    def pid(self) -> int:
        return self._server.pid

    def said(self) -> str:
        """Its log."""
        return self._server.log.read_text(errors="replace")

    @staticmethod
    def read_of(log: str) -> int:
        """Bytes that were read by root://, as a part of the log of one with TRACE says."""
        return sum(map(int, re.findall(r"fh=\d+ read (\d+)@", log)))

    def add(self, path: str, data: bytes) -> Path:
        """Give it one more file while it runs, as if it had come by the door, with its checksum noted."""
        file = self.folder / "data" / path
        file.write_bytes(data)
        owner = file.parent.stat()
        os.chown(file, owner.st_uid, owner.st_gid)
        keep_checksum(file, zlib.adler32(data))
        return file

    def fill(self, tree: Tree) -> None:
        """Write the files it serves; it has the checksums of all that are not holes."""
        tree.write(self.folder / "data", EXPORT, SPARSE_ABOVE)
        for path in (self.folder / "data" / EXPORT).rglob("*"):
            if path.is_file() and path.stat().st_size <= SPARSE_ABOVE:
                keep_checksum(path, zlib.adler32(path.read_bytes()))

    def start(self) -> None:
        """Start the process; `ready` waits for it."""
        for name in ("admin", "run", *([f"data/{SCRATCH}"] if self.kind in ("copier", "guarded") else [])):
            (self.folder / name).mkdir(parents=True)
        for name in ("host.pem", "host.key"):
            shutil.copy(self.pki.folder / name, self.folder)
        (self.folder / "authdb").write_text(f"o {VO} /{EXPORT} rl /{SCRATCH} a\n")
        if self.issuer:
            self.issuer.fill_cache(self.folder / "cache")
        secret = self.folder / "macaroons"
        secret.write_bytes(base64.encodebytes(os.urandom(64)))
        secret.chmod(0o600)
        self._spawn()

    def ready(self) -> None:
        """Wait until it serves both ports; on other ports if these were taken."""
        for attempt in range(ATTEMPTS):
            if attempt:
                self.stop()
                self._spawn()
            if self._server.is_up():
                return
        raise NotUp(self.said())

    def answers(self) -> bool:
        """Whether it still lists and reads for a member; one that hangs may go on saying who it is and what it can."""
        context = ssl.create_default_context(cafile=str(self.pki.folder / "ca.pem"))
        context.load_cert_chain(self.pki.proxy())
        for method in ("PROPFIND", "HEAD"):
            line = http.client.HTTPSConnection("localhost", self.ports[0], timeout=PATIENCE, context=context)
            try:
                line.request(method, f"/{SCRATCH}/", headers={"Depth": "1"})
                line.getresponse().read()
            except (OSError, http.client.HTTPException):
                return False
            finally:
                line.close()
        return True

    def mend(self) -> bool:
        """Start it again, where it was, if it has crashed or hangs: 5.5.3 may if clients are killed while they send."""
        if self._server.is_running() and self.answers():
            return False
        self.renew()
        return True

    def renew(self) -> None:
        """Start it anew, where it was."""
        self._server.stop()
        self._server.start()
        if not self._server.is_up():
            raise NotUp(self.said())

    def has_crashed(self) -> bool:
        """Whether it has ended by a fault of its own."""
        return self._server.has_crashed()

    def revive(self) -> None:
        """Start it again after a crash, without what was sent to it."""
        for path in (self.folder / "data" / SCRATCH).glob("*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        self.renew()

    def pause(self, way: str) -> None:
        """Have it stopped, or hang."""
        if way == "stops":
            self._server.stop()
        else:
            os.kill(self.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Have it serve again, where it was."""
        if self._server.is_running():
            os.kill(self.pid, signal.SIGCONT)
            return
        self._server.start()
        if not self._server.is_up():
            raise NotUp(self.said())

    def stop(self) -> None:
        self._server.stop()

    def _spawn(self) -> None:
        self.ports = free_ports()
        http_port, root_port = self.ports
        values = {"http_port": http_port, "root_port": root_port, "gsi": GSI, "certificates": self.pki.certificates}
        kinds = {
            "plain": MEMBERS,
            "copier": MEMBERS + COPIES,
            "guarded": MEMBERS + TOKENS + TRACE,
            "public": SHOWN + PUBLIC + TRACE,
            "opendata": SHOWN + PUBLIC + TRACE,
        }
        text = CONFIG + kinds[self.kind]
        values.update(folder=self.folder, export=OPEN_DATA if self.kind == "opendata" else EXPORT, scratch=SCRATCH)
        values.update(elsewhere=self.elsewhere, elsewhere_path=ELSEWHERE)
        (self.folder / "xrootd.cfg").write_text(text.format(**values))
        if self.issuer:
            trusted = SCITOKENS.format(http_port=http_port, any=ANY_AUDIENCE, issuer=self.issuer.url)
            (self.folder / "scitokens.cfg").write_text(trusted)
        self._server.start()


def free_ports() -> tuple[int, int]:
    """Two ports that nobody has just now."""
    with socket.create_server(("", 0)) as one, socket.create_server(("", 0)) as other:
        return one.getsockname()[1], other.getsockname()[1]
