"""The user's proxy, and the certificate that it is made of: what they say, and whether they can be shown."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple, TextIO

from gridsync_parts.errors import CredentialError
from gridsync_parts.keys import open_secret
from gridsync_parts.words import day_text, duration_text, seconds_of

if TYPE_CHECKING:
    import ssl


AC_SEQUENCE = bytes.fromhex("2b06010401be45646405")  # the OID of the extension that holds what the VO has signed
NAME_PARTS = {
    "550403": "CN", "550406": "C", "550407": "L", "550408": "ST", "55040a": "O", "55040b": "OU",
    "0992268993f22c640119": "DC", "0992268993f22c640101": "UID", "2a864886f70d010901": "emailAddress",
}  # fmt: skip


class Proxy(NamedTuple):
    """What a file with a chain of certificates says: of whom, and until when."""

    path: str
    subject: str  # of its first certificate
    ends: float  # when the first of the chain ends
    vo: str = ""
    attribute_ends: float = 0.0  # until when the VO vouches


def der(data: bytes) -> list[tuple[int, bytes]]:
    """The tags and contents that stand side by side in some DER."""
    found, at = [], 0
    while at < len(data):
        tag, size, at = data[at], data[at + 1], at + 2
        if size >= 0x80:
            count = size - 0x80
            size, at = int.from_bytes(data[at : at + count], "big"), at + count
        found.append((tag, data[at : at + size]))
        at += size
    return found


def inner(data: bytes, depth: int) -> bytes:
    """The first content, so many levels down."""
    for _ in range(depth):
        data = der(data)[0][1]
    return data


def sequences(data: bytes) -> list[bytes]:
    """Those of the parts that are a SEQUENCE."""
    return [content for tag, content in der(data) if tag == 0x30]


def time_in(tag: int, text: bytes) -> float:
    """The time that some DER means."""
    digits = text.decode() if tag == 0x18 else f"20{text.decode()}"
    return seconds_of(re.sub(r"(....)(..)(..)(..)(..)(..)Z", r"\1-\2-\3T\4:\5:\6Z", digits))


def end_of(validity: bytes) -> float:
    """When a validity ends."""
    return time_in(*der(validity)[1])


def subject_of(name: bytes) -> str:
    """A distinguished name as /DC=org/CN=Alice."""
    text = ""
    for _, relative in der(name):
        (_, kind), (_, value) = der(inner(relative, 1))
        text += f"/{NAME_PARTS.get(kind.hex(), 'OID')}={value.decode('utf-8', 'replace')}"
    return text


def attribute_of(certificate: bytes) -> tuple[str, float]:
    """The VO that vouches in a proxy's extensions, and until when."""
    for _, extension in der(inner(der(certificate)[-1][1], 1)):
        (_, kind), *_, (_, value) = der(extension)
        if kind == AC_SEQUENCE:
            _, _, validity, attributes, *_ = sequences(inner(value, 4))
            vo = re.search(rb"\x04[^\x80-\xff]/([\w.-]+)", attributes, re.DOTALL)  # the first of /VO/group/Role=...
            return vo[1].decode() if vo else "", end_of(validity)
    return "", 0.0


def open_proxy(path: str) -> TextIO:
    """The user's proxy, to be read; a link in its place may be anybody's."""
    return open_secret(path, "your proxy", os.O_NOFOLLOW)


def proxy_of(path: str, text: str) -> Proxy:
    """What a text of certificates says; ValueError if it says nothing."""
    import ssl

    texts = re.findall("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", text, re.DOTALL)
    try:
        # Version, serial number, then as sequences: algorithm, issuer, validity, subject.
        chain = [inner(ssl.PEM_cert_to_DER_cert(text), 2) for text in texts]
        ends = min(end_of(sequences(certificate)[2]) for certificate in chain)
        return Proxy(path, subject_of(sequences(chain[0])[3]), ends, *attribute_of(chain[0]))
    except (IndexError, ValueError) as error:
        raise ValueError(f"{path} contains no certificate") from error


def read_proxy(path: str) -> Proxy:
    """What the user's proxy says; OSError or ValueError if it says nothing."""
    with open_proxy(path) as file:
        return proxy_of(path, file.read())


def load_proxy(path: str, context: ssl.SSLContext | None = None) -> None:
    """Have TLS show the user's proxy; OSError or ValueError if that can't be done without asking anybody."""
    import ssl

    if context is None:  # for a look alone
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.set_ciphers("ALL:@SECLEVEL=0")
    with open_proxy(path) as file:  # and what was opened is what is shown, whatever stands there by now
        same = f"/proc/self/fd/{file.fileno()}"
        context.load_cert_chain(same if os.path.exists(same) else path, password=lambda: "")


def proxy_error(path: str, error: Exception) -> CredentialError:
    """The sentence for a proxy that can't be used."""
    import ssl

    remedy = "make a new one with --new_proxy"
    if isinstance(error, FileNotFoundError):
        return CredentialError(f"there is no proxy at {path}; {remedy}", passing=True, pause=1)
    reason = "its key is missing, wrong or encrypted" if isinstance(error, ssl.SSLError) else error
    return CredentialError(f"the proxy {path} cannot be read ({reason}); {remedy}", passing=True, pause=1)


def proxy_file() -> str:
    """Where the user's proxy is, or would be."""
    return os.environ.get("X509_USER_PROXY") or f"/tmp/x509up_u{os.getuid()}"


def valid_proxy(vo: str, now: float, named: str = "") -> Proxy:
    """The user's proxy, or the one that is named; it has not ended, and its VO still vouches."""
    path = named or proxy_file()
    remedy = "make a new one with --new_proxy"
    try:
        proxy = read_proxy(path)
        load_proxy(path)
    except (OSError, ValueError) as error:
        raise proxy_error(path, error) from error
    if proxy.ends <= now:
        raise CredentialError(f"your proxy {path} expired {duration_text(now - proxy.ends)} ago; {remedy}")
    if not proxy.vo:
        raise CredentialError(f"your proxy {path} is a plain certificate without VO membership; {remedy}")
    if proxy.vo != vo:
        raise CredentialError(f"your proxy {path} is for {proxy.vo}, not {vo}; {remedy}, or correct VO in Grid.conf")
    if proxy.attribute_ends <= now:
        ago = duration_text(now - proxy.attribute_ends)
        raise CredentialError(f"the {vo} membership in your proxy {path} expired {ago} ago; {remedy}")
    return proxy


def user_files() -> tuple[str, str]:
    """Where the user's certificate and key are, or would be."""
    globus = os.path.expanduser("~/.globus")
    certificate = os.environ.get("X509_USER_CERT") or f"{globus}/usercert.pem"
    return certificate, os.environ.get("X509_USER_KEY") or f"{globus}/userkey.pem"


def gen_cert() -> str:
    """gen_cert.sh, as it can be typed here."""
    import shlex
    import shutil

    name, folder = "gen_cert.sh", os.path.dirname(os.path.realpath(sys.argv[0]))
    path = os.path.join(folder, name)
    if shutil.which(name) or not os.path.isfile(path):
        return name
    return f"./{name}" if folder == os.getcwd() else shlex.quote(path)


@contextlib.contextmanager
def reading_from(path: str) -> Iterator[None]:
    """What can't be read of the user's certificate or key is a CredentialError."""
    if not os.path.isfile(path):
        raise CredentialError(
            f"there is no {path}; make it from the file exported by your browser: {gen_cert()} FILE.p12"
        )
    try:
        yield
    except (OSError, ValueError) as error:
        raise CredentialError(f"your certificate cannot be read: {error}; see {gen_cert()}") from error


def end_of_certificate(path: str, now: float) -> float:
    """When the user's certificate ends, which is one that a VOMS client takes."""
    import shlex

    with reading_from(path), open(path, encoding="latin-1") as file:
        if os.fstat(file.fileno()).st_mode & 0o022:
            raise CredentialError(f"others can write your certificate {path}; chmod 644 {shlex.quote(path)}")
        ends = proxy_of(path, file.read()).ends
    if ends <= now:
        raise CredentialError(f"your certificate expired on {day_text(int(ends))}; ask your CA for a new one")
    return ends


def has_phrase(path: str) -> bool:
    """Whether the user's key has a pass phrase."""
    with reading_from(path), open_secret(path, "your key") as file:
        return "ENCRYPTED" in file.read()


class Holder(NamedTuple):
    """What proves who the user is, and whom the user trusts."""

    certificate: str
    key: str
    pass_phrase: str
    ca: str


def user_certificate(now: float) -> tuple[str, str, bool]:
    """The files of the user's certificate and key, fit for a VOMS client, and whether the key has a pass phrase."""
    certificate, key = user_files()
    end_of_certificate(certificate, now)
    return certificate, key, has_phrase(key)
