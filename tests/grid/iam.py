"""A stand-in of INDIGO IAM's VOMS endpoint: its answers are those of indigo-iam 1.12's source, behind nginx.

It is not IAM; what is real are TLS, the attribute certificates and the clients that ask. IAM knows nothing of the
protocol that VOMS servers spoke before: what comes that way is a bad request. So is all that the C++ client says to
an nginx without the patch for it (seen with 1.22.1). The holder of an attribute certificate is named by the user's
subject, as its Java does it: what voms-api-java 3.3.4 writes differs in the serial number alone.
"""

from __future__ import annotations

import base64
import contextlib
import re
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path

from tests.grid.faults import Faults
from tests.grid.pki import CA_DN, HOST_DN, VO, Pki, dn
from tests.grid.web import Log, Reply, Request, Server

PATH = "/generate-ac"
OLD_CLIENT = "voms APIs 2.0"  # the C++ one's name; to it IAM says some errors in the words of the old protocol
LIMIT = 12  # hours of an attribute certificate, unless its administrators choose more
ATTRIBUTE = bytes.fromhex("060a2b06010401be45646405")  # the identifier of the extension that holds it
BAD = b"<html>\r\n<head><title>400 Bad Request</title></head>\r\n</html>\r\n"
NOT_FOUND = b"<html>\r\n<head><title>404 Not Found</title></head>\r\n</html>\r\n"


@dataclass
class Wire:
    """How its connections are."""

    server: str = "nginx"
    handshake: str = "served"
    idle_close: float = 60.0
    latency: float = 0.0
    bandwidth: float = 0.0


@dataclass
class Refusal:
    """An answer without a certificate: most come with status 200."""

    code: int
    words: str
    status: int = 200
    is_old: bool = True  # so that the C++ client gets it in the words of the old protocol


UNKNOWN = "User unknown to this VO: '{subject}' (issued by '{issuer}')"
REFUSALS = {
    "stranger": Refusal(1001, UNKNOWN, 403, False),  # no account has this certificate
    "groupless": Refusal(  # one has, which is not in the VO's group
        1007, "User is not authorized to request attribute '{asked}' or attribute does not exist."
    ),
    "suspended": Refusal(1004, "User '{subject}, {issuer}' is not active."),
    "unsigned": Refusal(1004, "User alice.1 needs to sign AUP for this organization in order to proceed.", 200, False),
    "anonymous": Refusal(1006, "Client is not authenticated.", 400, False),
}
SHORTENED = (
    "WARNING: {vo} : The validity of this VOMS AC in your proxy is shortened to {seconds} seconds, "
    "which is the maximum allowed by this VOMS server configuration."
)
STANDINGS = {"alice": "member", "erin": "member", "dave": "suspended"}  # of others no account has the certificate


class Iam:
    """One endpoint on loopback; `line` is what it stands with in a vomses file."""

    def __init__(self, pki: Pki, host: str = "localhost") -> None:
        """One of HOSTS has its certificate."""
        self.pki = pki
        self.wire, self.log, self.faults = Wire(), Log(), Faults()
        self.standings = dict(STANDINGS)
        self.hours = LIMIT
        self.httpg = True  # the C++ client says 0 before all else, which a plain nginx takes for a bad request
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*map(str, pki.host(host)))
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_verify_locations(capath=str(pki.certificates))
        self._server = Server("iam", lambda: context, self.log, self.wire, self.faults.around(self._answer))
        self.port = self._server.port
        self.start, self.stop = self._server.start, self._server.stop

    @property
    def line(self) -> str:
        return f'"{VO}" "localhost" "{self.port}" "{HOST_DN}" "{VO}"'

    @contextlib.contextmanager
    def seeing(self, user: str, standing: str) -> Iterator[None]:
        """For a while a user is somebody else to it: one of REFUSALS, or a member."""
        before = self.standings.get(user, "stranger")
        self.standings[user] = standing
        try:
            yield
        finally:
            self.standings[user] = before

    def reset(self) -> None:
        """Be as at first, with nothing in the log."""
        self.standings = dict(STANDINGS)
        self.faults.clear()
        self.log.clear()
        self.hours, self.httpg = LIMIT, True

    def _answer(self, request: Request) -> Reply:
        if request.method.removeprefix("0" * self.httpg) != "GET":
            request.headers["connection"] = "close"
            return Reply(400, BAD, {"Content-Type": "text/html"})
        if request.path != PATH:
            return Reply(404, NOT_FOUND, {"Content-Type": "text/html"})
        user = self._user(request)
        asked = request.query.get("fqans", f"/{VO}")
        standing = self.standings.get(user, "stranger") if user else "anonymous"
        if standing == "member" and asked != f"/{VO}":
            standing = "groupless"
        if standing == "member":
            return self._certified(user, int(request.query.get("lifetime", 0)))
        refusal = REFUSALS[standing]
        words = refusal.words.format(subject=_comma(dn(user)) if user else "", issuer=_comma(CA_DN), asked=asked)
        is_old = refusal.is_old and request.headers.get("user-agent") == OLD_CLIENT
        return _document(_old_error(refusal.code, words) if is_old else _error(refusal.code, words), refusal.status)

    def _user(self, request: Request) -> str:
        """Who has shown a certificate, by the last of its name; empty for nobody."""
        assert isinstance(request.connection, ssl.SSLSocket)
        shown = request.connection.getpeercert()
        if not shown:
            return ""
        names = dict(pair for part in shown["subject"] for pair in part)  # type: ignore[misc, str-bytes-safe]
        return str(names["commonName"]).split()[0].lower()

    def _certified(self, user: str, lifetime: int) -> Reply:
        """An attribute certificate, as IAM writes it: in lines, of which XML escapes the ends."""
        seconds = min(lifetime or self.hours * 3600, self.hours * 3600)
        text = base64.encodebytes(self.certificate(user, max(1, seconds // 3600))).decode()
        lines = re.sub(r"(.{64})(?=.)", r"\1&#13;\n", text.replace("\n", "")) + "&#13;\n"
        warning = ""
        if lifetime > seconds:
            warning = f"<warning>{SHORTENED.format(vo=VO, seconds=seconds)}</warning>"
        return _document(f"<voms><ac>{lines}</ac>{warning}</voms>")

    def certificate(self, user: str, hours: int) -> bytes:
        """What the VO signs, taken out of a proxy."""
        self.pki.user(user)
        with tempfile.TemporaryDirectory() as folder:
            proxy = Path(folder, "proxy")
            command = ["voms-proxy-fake", "-q", "-rfc", "-voms", VO, "-fqan", f"/{VO}"]
            command += ["-uri", f"localhost:{self.port}", "-hours", str(hours), "-vomslife", str(hours)]
            command += ["-cert", f"{user}.pem", "-key", f"{user}.key", "-hostcert", "host.pem", "-hostkey", "host.key"]
            command += ["-certdir", str(self.pki.certificates), "-out", str(proxy)]
            run = {"cwd": self.pki.folder, "env": self.pki.environment(), "capture_output": True, "timeout": 30}
            subprocess.run(command, check=True, **run)  # type: ignore[call-overload]
            return attribute_in(proxy)


def attribute_in(proxy: Path) -> bytes:
    """What a VO has signed: in its extension an OCTET STRING, and there a SEQUENCE of SEQUENCEs."""
    leaf = ssl.PEM_cert_to_DER_cert(re.findall("(?s)-+BEGIN CERT.*?-+END CERTIFICATE-+", proxy.read_text())[0])
    extension, at = leaf[leaf.index(ATTRIBUTE) + len(ATTRIBUTE) :], 0
    for _ in range(3):
        at += 2 + (extension[at + 1] & 0x7F if extension[at + 1] & 0x80 else 0)
    count = extension[at + 1] & 0x7F
    return extension[at : at + 2 + count + int.from_bytes(extension[at + 2 : at + 2 + count], "big")]


def _comma(name: str) -> str:
    """A name as Java writes it, the last part first."""
    return ",".join(reversed(name.strip("/").split("/")))


def _error(code: int, words: str) -> str:
    return f"<voms><error><code>{code}</code><message>{escape(words, quote=False)}</message></error></voms>"


def _old_error(code: int, words: str) -> str:
    item = f"<item><number>{code}</number><message>{escape(words, quote=False)}</message></item>"
    return f"<vomsans><version>3</version><error>{item}</error><ac>QQ==\n</ac></vomsans>"


def _document(body: str, status: int = 200) -> Reply:
    head = '<?xml version="1.0" encoding="UTF-8" standalone="no"?>'
    return Reply(status, f"{head}{body}".encode(), {"Content-Type": "text/xml;charset=utf-8"})
