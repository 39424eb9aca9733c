"""The user's proxy: a VOMS client makes it, and what is in it tells, as exit codes and texts of the clients differ."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Callable, NamedTuple, TextIO

from gridsync_parts.errors import CredentialError, GridError, Saying, error_for
from gridsync_parts.keys import CA_REMEDY, CLIENT_LIMIT, helper_env, open_secret
from gridsync_parts.vomses import VOMS_SERVERS, voms_server
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


def user_certificate(now: float) -> tuple[str, str, bool]:
    """The files of the user's certificate and key, fit for a VOMS client, and whether the key has a pass phrase."""
    certificate, key = user_files()
    end_of_certificate(certificate, now)
    return certificate, key, has_phrase(key)


# What the clients write (C++ or Java) when they make no proxy.
CLIENT_ERRORS = tuple(
    Saying(pattern, CredentialError, sentence)
    for pattern, sentence in (
        (r"bad decrypt|wrong password|error decrypting|mac verify", "the pass phrase of your key is wrong; try again"),
        (r"user unknown to this vo",
         "you are not a member of {vo}, or this certificate is not linked there; {join}"),
        (r"sign aup", "{vo} asks you to sign its terms of use (AUP) again; log in to its INDIGO IAM page and sign"),
        (r"suspended|is not active", "{vo} has suspended your membership{reason}; ask {contact}"),
        (r"incorrectly formatted", "the VOMS server {server} refuses you, and voms-proxy-init cannot tell why; "
         "check on your VO's page that you are a member, this certificate is linked, and its terms of use are signed"),
        (r"revoked", "your certificate was revoked; ask your CA"),
        (r"outdated crl|signature of a crl", "the revocation lists of the CAs are too old; run fetch-crl as root"),
        (r"not known|no voms server", "no VOMS server is known for {vo}; ask {contact} for its line and put it into "
         "~/.glite/vomses: \"{vo}\" \"HOST\" \"PORT\" \"DN OF THE HOST\" \"{vo}\""),
        (r"certificate verify failed|self-signed certificate|no trusted ca",
         f"the certificate of the VOMS server, or yours, is not signed by any CA in {{ca}}; {CA_REMEDY}"),
        (r"refused|error during ssl handshake|timed out|no route|unreachable",
         "the VOMS server {server} cannot be reached: down, or blocked by a firewall; try again later"),
        (r"unknown ?host|contacting [^\n]* failed(?!(?s:.)*error:)",  # the C++ client says no more
         "no address is known for the VOMS server {server}; check your network"),
        (r"", "the VOMS client made no proxy; it says: {said}"),
    )
)  # fmt: skip


def client_error(text: str, vo: str, ca: str) -> GridError:
    """The sentence for a VOMS client that made no proxy."""
    server = re.search(r"Contacting +(\S+)", text)
    reason = re.search(r"Suspension reason: *(.+)", text)
    lines = text.splitlines() or ["nothing"]
    said = next((line for line in lines if re.search("error|fail", line, re.IGNORECASE)), lines[-1]).strip()
    known = VOMS_SERVERS.get(vo)
    contact = known.contact if known else "the VO's administrators"
    named = {"server": server[1] if server else f"of {vo}", "reason": f" ({reason[1]})" if reason else ""}
    named["join"] = f"join at its INDIGO IAM page (help: {contact})" if known else f"ask {contact}"
    return error_for(CLIENT_ERRORS, text, vo=vo, ca=ca, said=said, contact=contact, **named)


def no_cas() -> CredentialError:
    """The sentence for a machine without the Grid's CAs."""
    return CredentialError(f"no CA certificates of the Grid are installed; {CA_REMEDY}")


def voms_client() -> str:
    """The program that makes proxies."""
    import shutil

    clients = ("voms-proxy-init", "voms-proxy-init2", "voms-proxy-init3")
    client = next(filter(None, map(shutil.which, clients)), None)
    if not client:
        raise CredentialError("voms-proxy-init is not installed; on Debian: apt install voms-clients")
    return client


def ask_pass_phrase() -> str:
    """The pass phrase of the user's key, typed without echo; from a pipe, its first line."""
    prompt = "Enter GRID pass phrase for this identity:"
    if sys.stdin.isatty():
        import getpass

        try:
            return getpass.getpass(prompt)
        except EOFError as error:
            raise CredentialError("no pass phrase was typed; nothing has changed") from error
    line = sys.stdin.readline()
    if not line:
        raise CredentialError("no pass phrase was given on standard input; nothing has changed")
    return line.rstrip("\r\n")


def new_proxy(vo: str, hours: int, pass_phrase: Callable[[], str], ca: str | None, now: float) -> tuple[Proxy, str]:
    """A new proxy in place of the old one, and the VOMS server's line."""
    import subprocess
    import tempfile

    certificate, key, is_encrypted = user_certificate(now)
    client, path = voms_client(), proxy_file()
    if not ca:
        raise no_cas()
    if os.path.isdir(path) or not os.access(os.path.dirname(path) or ".", os.W_OK):
        raise CredentialError(f"the proxy cannot be written to {path}; see X509_USER_PROXY")
    command = [client, "--voms", vo, "--valid", f"{hours}:00", "--cert", certificate, "--key", key, "--pwstdin"]
    if os.path.realpath(client).endswith("3"):
        command.append("--enable_legacy_protocol")  # Java's client: servers before VOMS 2.1 know no other
    phrase = pass_phrase() if is_encrypted else ""
    try:
        # Java's client lets all read the file before it narrows that: so nobody else can enter the folder.
        with tempfile.TemporaryDirectory(prefix=".gridsync-", dir=os.path.dirname(path) or ".") as private:
            beside = os.path.join(private, "proxy")
            options, env = voms_server(vo, client, private)
            done = subprocess.run(
                [*command, *options, "--out", beside], input=f"{phrase}\n", umask=0o077,
                env=helper_env(X509_CERT_DIR=ca, **env),
                capture_output=True, encoding="utf-8", errors="replace", timeout=CLIENT_LIMIT, check=False,
            )  # fmt: skip
            text = done.stdout + done.stderr
            try:
                proxy = read_proxy(beside)
            except (OSError, ValueError):
                raise client_error(text, vo, ca) from None
            if proxy.vo != vo or proxy.attribute_ends <= now:
                raise client_error(text, vo, ca)
            os.replace(beside, path)
    except subprocess.TimeoutExpired as error:
        raise client_error("Contacting timed out", vo, "") from error
    except OSError as error:
        raise CredentialError(f"the proxy cannot be made at {path}: {error}; see X509_USER_PROXY") from error
    contacted = re.search(r'Contacting +(\S+ \[.*\] ".*?")', text)
    return proxy._replace(path=path), contacted[1] if contacted else f'"{vo}"'
