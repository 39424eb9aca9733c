"""A new proxy, which a VOMS client makes; why it makes none is told, as exit codes and texts of the clients differ.

The clients ask the VO's server, old servers too. Where they get nothing and do not know why, gridsync asks itself, as
INDIGO IAM's server is asked (keys/voms_aa); what that gives goes into a proxy, again by the client.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import sys
from typing import Callable, NamedTuple

from gridsync_parts.errors import CredentialError, GridError, Saying, brief, error_for
from gridsync_parts.keys import CA_REMEDY, CLIENT_LIMIT, helper_env
from gridsync_parts.keys.proxy import Holder, Proxy, gen_cert, proxy_file, read_proxy, user_certificate
from gridsync_parts.vomses import VOMS_SERVERS, servers_of, voms_server

PRIVATE = ".gridsync-"  # what the name of a folder begins with in which a proxy is made
LONG_AGO = 3600  # seconds after which no run can be in it any more
# What the clients (C++ or Java) say when they make no proxy, and know why;
CLEAR = (
    (r"bad decrypt|wrong password|error decrypting|mac verify", "the pass phrase of your key is wrong; try again"),
    (r"don't match|not matching|no supported data|no credentials found",
     "your key cannot be read, or is not that of your certificate; make both anew: {gen_cert} FILE.p12"),
    (r"user unknown to this vo", "you are not a member of {vo}, or this certificate is not linked there; {join}"),
    (r"not authorized to request attribute",
     "you have an account at the INDIGO IAM of {vo}, but you are not in its group {vo}; ask {contact}"),
    (r"sign aup", "{vo} asks you to sign its terms of use (AUP) again; log in to its INDIGO IAM page and sign"),
    (r"suspended|is not active", "{vo} has suspended your membership{reason}; ask {contact}"),
    (r"revoked", "your certificate was revoked; ask your CA"),
    (r"outdated crl|signature of a crl", "the revocation lists of the CAs are too old; run fetch-crl as root"),
    (r"not known|no voms server", "no VOMS server is known for {vo}; ask {contact} for its line and put it into "
     "~/.glite/vomses: \"{vo}\" \"HOST\" \"PORT\" \"DN OF THE HOST\" \"{vo}\""),
)  # fmt: skip
# and what they, or a server that gridsync has asked itself, say else.
UNCLEAR = (
    (r"incorrectly formatted|error decoding ac",
     "the VOMS server {server} refuses you, and voms-proxy-init cannot tell why; "
     "check on your VO's page that you are a member, this certificate is linked, and its terms of use are signed"),
    (r"client is not authenticated|ssl certificate error",
     "the VOMS server {server} does not accept your certificate; is its CA known there? Ask {contact}"),
    (r"error: status 5", "the VOMS server {server} fails ({said}); try again later"),
    (r"error: no membership",
     "the VOMS server {server} answers with something else ({said}); is its line in vomses right? Ask {contact}"),
    (r"error while reading ac", "the VOMS server {server} gives a membership that cannot be read; ask {contact}"),
    (r"error: broke off", "the VOMS server {server} broke off its answer; try again"),
    (r"unrecognized option: -*includeac",
     "your VOMS client cannot use what the VOMS server {server} gives; on Debian: apt install voms-clients"),
    (r"certificate verify failed|self-signed certificate|no trusted ca",
     f"the certificate of the VOMS server, or yours, is not signed by any CA in {{ca}}; {CA_REMEDY}"),
    (r"refused|error during ssl handshake|timed out|timeout reached|no route|unreachable",
     "the VOMS server {server} cannot be reached: down, or blocked by a firewall; try again later"),
    (r"unknown ?host|contacting [^\n]* failed(?!(?s:.)*error:)",  # the C++ client says no more
     "no address is known for the VOMS server {server}; check your network"),
    (r"", "the VOMS client made no proxy; it says: {said}"),
)  # fmt: skip
CLIENT_ERRORS = tuple(Saying(pattern, CredentialError, sentence) for pattern, sentence in CLEAR + UNCLEAR)


def client_error(text: str, vo: str, ca: str) -> GridError:
    """The sentence for a VOMS client that made no proxy."""
    server = re.search(r"Contacting +(\S+)", text)
    reason = re.search(r"Suspension reason: *(.+)", text)
    lines = text.splitlines() or ["nothing"]
    said = next((line for line in lines if re.search("error|fail", line, re.IGNORECASE)), lines[-1]).strip()
    said = brief(re.sub("^Error: ", "", said))
    known = VOMS_SERVERS.get(vo)
    contact = known.contact if known else "the VO's administrators"
    named = {"server": server[1] if server else f"of {vo}", "reason": f" ({reason[1]})" if reason else ""}
    named["join"] = f"join at its INDIGO IAM page (help: {contact})" if known else f"ask {contact}"
    named["gen_cert"] = gen_cert()
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


def ask_pass_phrase(prompt: str = "Enter GRID pass phrase for this identity:") -> str:
    """A pass phrase, of the user's key if nothing else is said, typed without echo; from a pipe, its next line."""
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


def run_client(command: list[str], pass_phrase: str, env: dict[str, str]) -> str:
    """All that a VOMS client writes; a proxy of its own, which it leaves in /tmp when it is killed, goes with it."""
    import subprocess

    ends = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    text = {"encoding": "utf-8", "errors": "replace"}
    with subprocess.Popen(command, env=helper_env(**env), umask=0o077, **ends, **text) as process:  # type: ignore[call-overload]
        try:
            return "".join(process.communicate(f"{pass_phrase}\n", timeout=CLIENT_LIMIT))
        except subprocess.TimeoutExpired:
            return "timed out"
        finally:
            process.kill()
            process.wait()
            with contextlib.suppress(OSError):
                os.unlink(f"/tmp/tmp_x509up_u{os.getuid()}_{process.pid}")


class Maker(NamedTuple):
    """A VOMS client that makes a proxy in a private folder, and what it is to know."""

    client: str
    private: str
    holder: Holder
    hours: int
    env: dict[str, str]

    @property
    def path(self) -> str:
        """Where the proxy comes to be."""
        return os.path.join(self.private, "proxy")

    def run(self, client: str, words: list[str]) -> str:
        """Have a client make the proxy; what it says."""
        options = ["--valid", f"{self.hours}:00", "--cert", self.holder.certificate, "--key", self.holder.key]
        command = [client, *words, *options, "--pwstdin", "--out", self.path]
        return run_client(command, self.holder.pass_phrase, {"X509_CERT_DIR": self.holder.ca, **self.env})

    def ask(self, vo: str, places: list[str]) -> str:
        """The same with what the client gets from the VO's servers."""
        java = os.path.realpath(self.client).endswith("3")  # whose servers before VOMS 2.1 know no other protocol
        return self.run(self.client, ["--voms", vo, *places, *(["--enable_legacy_protocol"] if java else [])])

    def include(self, attribute: bytes) -> str:
        """The same with what the VO has signed already."""
        import base64
        import shutil

        path = os.path.join(self.private, "attribute")
        with open(path, "w", encoding="ascii") as file:
            lines = base64.encodebytes(attribute).decode()
            file.write(f"-----BEGIN ATTRIBUTE CERTIFICATE-----\n{lines}-----END ATTRIBUTE CERTIFICATE-----\n")
        return self.run(shutil.which("voms-proxy-init2") or self.client, ["--includeac", path])

    def made(self, vo: str, now: float) -> Proxy | None:
        """The proxy, if the VO vouches for it."""
        with contextlib.suppress(OSError, ValueError):
            proxy = read_proxy(self.path)
            return proxy if proxy.vo == vo and proxy.attribute_ends > now else None
        return None


def make_proxy(maker: Maker, vo: str, places: list[str], now: float) -> tuple[Proxy, str]:
    """A proxy in the maker's folder, and what was said for it."""
    text = maker.ask(vo, places)
    proxy = maker.made(vo, now)
    if not proxy and not any(re.search(pattern, text, re.IGNORECASE) for pattern, _ in CLEAR):
        from gridsync_parts.keys.voms_aa import ask_membership

        membership = ask_membership(servers_of(vo, maker.client), vo, maker.hours, maker.holder)
        if membership:
            text = membership.said
        if membership and membership.attribute:
            text += "\n" + maker.include(membership.attribute)
            proxy = maker.made(vo, now)
            if not proxy and os.path.exists(maker.path):
                text = f"{membership.said}\nError: no membership: that of another VO, or one that is over"
    if not proxy:
        raise client_error(text, vo, maker.holder.ca)
    return proxy, text


def sweep(folder: str, now: float) -> None:
    """Remove what killed runs have left in their private folders: perhaps a proxy."""
    import shutil

    with contextlib.suppress(OSError):
        for found in os.scandir(folder):
            about = found.stat(follow_symlinks=False)
            is_own = stat.S_ISDIR(about.st_mode) and about.st_uid == os.getuid()
            if found.name.startswith(PRIVATE) and is_own and about.st_mtime < now - LONG_AGO:
                shutil.rmtree(found.path, ignore_errors=True)


def new_proxy(vo: str, hours: int, pass_phrase: Callable[[], str], ca: str | None, now: float) -> tuple[Proxy, str]:
    """A new proxy in place of the old one, and the VOMS server's line."""
    import tempfile

    certificate, key, is_encrypted = user_certificate(now)
    client, path = voms_client(), proxy_file()
    if not ca:
        raise no_cas()
    if os.path.isdir(path) or not os.access(os.path.dirname(path) or ".", os.W_OK):
        raise CredentialError(f"the proxy cannot be written to {path}; see X509_USER_PROXY")
    sweep(os.path.dirname(path) or ".", now)
    holder = Holder(certificate, key, pass_phrase() if is_encrypted else "", ca)
    try:
        # Java's client lets all read the file before it narrows that: so nobody else can enter the folder.
        with tempfile.TemporaryDirectory(prefix=PRIVATE, dir=os.path.dirname(path) or ".") as private:
            places, env = voms_server(vo, client, private)
            maker = Maker(client, private, holder, hours, env)
            proxy, text = make_proxy(maker, vo, places, now)
            os.replace(maker.path, path)
    except OSError as error:
        raise CredentialError(f"the proxy cannot be made at {path}: {error}; see X509_USER_PROXY") from error
    contacted = re.findall(r'Contacting +(\S+ \[.*\] ".*?")', text)
    return proxy._replace(path=path), contacted[-1] if contacted else f'"{vo}"'
