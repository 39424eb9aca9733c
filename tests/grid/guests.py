"""Who comes in: proxies with the VO's attribute, tokens of the grid's issuer, and what doors give out themselves.

Real doors use Java, which takes the holder of an attribute for the subject of the user's certificate: an attribute in
the new format, which names the issuer there, is nobody's. dCache lets such a user not in at all (401), nor one without
the VO; StoRM knows him, and refuses (403).
"""

from __future__ import annotations

import base64
import hmac
import json
import os
import re
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.grid.pki import HOST_DN, VO, Pki, dn
from tests.grid.web import Reply, Request, json_reply

if TYPE_CHECKING:
    from tests.grid.door import Switches

ISSUER = "https://tokens.agata-test.org/"
SCOPES = "storage.read:/ storage.stage:/ storage.create:/ storage.modify:/"
SECRET = os.urandom(32)  # the issuer's, known to all doors of this process
MACAROON = "MDA"  # how all of dCache's begin
ACTIVITIES = {  # of a macaroon, and what they are called in a token; others are passed over
    "DOWNLOAD": "storage.read", "LIST": "storage.list", "STAGE": "storage.stage", "UPLOAD": "storage.create",
    "DELETE": "storage.modify", "MANAGE": "storage.modify",
}  # fmt: skip
MACAROON_LIFE = 7 * 86400
DEFAULT_LIFE = 86400
OWN_TOKEN_LIFE = 12 * 3600
ATTRIBUTE = bytes.fromhex("060a2b06010401be45646405")  # the identifier of the VO's attribute in a certificate
COMMON_NAME = bytes.fromhex("0603550403")


class Guest(NamedTuple):
    """Who is behind a certificate or a token, until when the VO vouches for him, and what the token is good for."""

    dn: str
    member_until: float
    scopes: str = SCOPES
    path: str = "/"  # and what is below it

    def may(self, scope: str, path: str = "") -> bool:
        """Whether what he shows is good for that, there or anywhere; who may read may list."""
        scopes = (scope, "storage.read") if scope == "storage.list" else (scope,)
        is_below = not path or f"{path.rstrip('/')}/".startswith(f"{self.path.rstrip('/')}/")
        return is_below and any(f"{one}:" in self.scopes for one in scopes)


class BadToken(Exception):
    """One that is over ("over"), or not one of an issuer whom the door trusts ("junk")."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind


def token(seconds: float, **claims: Any) -> str:
    """A bearer token of Alice's that is good for so many seconds; other claims on demand."""
    now = int(time.time())
    mine = {"iss": ISSUER, "sub": "alice", "aud": "https://wlcg.cern.ch/jwt/v1/any", "wlcg.ver": "1.0", "scope": SCOPES}
    head, body = ({"alg": "HS256", "typ": "JWT"}, {**mine, "iat": now, "exp": now + seconds, **claims})
    text = ".".join(_base64(json.dumps(part).encode()) for part in (head, body))
    return f"{text}.{_signature(text)}"


def _signature(text: str) -> str:
    return _base64(hmac.digest(SECRET, text.encode("utf-8", "replace"), "sha256"))


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _parts(token: str) -> tuple[str, str, str]:
    """What of a JWT is signed, the signature, and what it says."""
    text, _, signature = token.rpartition(".")
    return text, signature, _text(text.partition(".")[2])


def _text(part: str) -> str:
    try:
        return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)).decode()
    except ValueError:
        return ""


def _packed(identifier: str, *caveats: str) -> str:
    """A macaroon as libmacaroons writes it: packets, each with its length; the signature is the last."""
    packets = ["location agata", f"identifier {identifier}", *(f"cid {caveat}" for caveat in caveats)]
    text = "".join(f"{len(packet.encode()) + 5:04x}{packet}\n" for packet in packets)
    signature = f"signature {_signature(text)}"
    return _base64(f"{text}{len(signature) + 5:04x}{signature}\n".encode())


def _unpacked(macaroon: str) -> tuple[str, str, str]:
    """What of a macaroon is signed, the signature, and the identifier, which says it all here."""
    text, _, signature = _text(macaroon).rpartition("signature ")
    found = re.search(r"identifier (.*)\n", text)
    return text[:-4], signature.strip(), found[1] if found else ""


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


class Guests:
    """Reads tokens and client certificates, these once each for all doors, with voms-proxy-info."""

    issuers: dict[str, Callable[[str], bool]] = {}  # besides the grid's own: what tells their tokens
    _known: dict[bytes, Guest] = {}
    _lock = threading.Lock()

    def __init__(self, pki: Pki, switches: Switches) -> None:
        self._pki = pki
        self._switches = switches
        self.url = ""  # of the door, which is the issuer of what it gives out

    def standing(self, request: Request, scope: str, path: str = "") -> tuple[Guest, str]:
        """Who asks, and why they may not, as in the switch turn_away; empty if they may."""
        guest, objection = Guest("", 0), self._switches.turn_away
        kind, _, value = request.headers.get("authorization", "").partition(" ")
        try:
            guest = self._by_token(value.strip()) if kind.lower() == "bearer" else self._by_certificate(request)
        except BadToken as error:
            return guest, f"{error.kind}: {error}"
        request.record.client = guest.dn or None
        if not objection and not guest.dn:
            objection = "anonymous"
        if not objection and time.time() >= guest.member_until:
            objection = "stranger" if self._switches.words == "dcache" else "forbidden"
        if not objection and not guest.may(scope, path):
            objection = "forbidden"
        return guest, objection

    def _by_token(self, token: str) -> Guest:
        """Whom a token stands for; the site knows whose certificate is its subject's."""
        is_macaroon = token.startswith(MACAROON)
        text, signature, body = _unpacked(token) if is_macaroon else _parts(token)
        is_ours = hmac.compare_digest(signature.encode("utf-8", "replace"), _signature(text).encode())
        if not is_ours and not any(is_theirs(token) for is_theirs in self.issuers.values()):
            raise BadToken("junk", "Not a token of a known issuer")
        claims = json.loads(body)
        if claims["iss"] not in (ISSUER, self.url, *self.issuers):
            raise BadToken("junk", f"Unknown issuer {claims['iss']}")
        if claims["exp"] < time.time():
            when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(claims["exp"]))
            raise BadToken("over", f"An error occurred while attempting to decode the Jwt: Jwt expired at {when}")
        return Guest(claims.get("dn") or dn(claims["sub"]), claims["exp"], claims["scope"], claims.get("path", "/"))

    def _by_certificate(self, request: Request) -> Guest:
        # The leaf alone is the key: a resumed TLS session no longer has the rest of the chain.
        assert isinstance(request.connection, ssl.SSLSocket)
        leaf = request.connection.getpeercert(binary_form=True)
        if not leaf:
            return Guest("", 0)
        with self._lock:
            if leaf not in self._known:
                self._known[leaf] = self._read(request.connection, leaf)
        return self._known[leaf]

    def _read(self, connection: ssl.SSLSocket, leaf: bytes) -> Guest:
        chain = connection._sslobj.get_unverified_chain()  # type: ignore[attr-defined]  # public from 3.13 on
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
            texts = [certificate.public_bytes() for certificate in chain]
            file.write("".join(texts))
            file.flush()
            command = ["voms-proxy-info2", "-file", file.name, "-identity", "-vo", "-acissuer", "-actimeleft"]
            run = subprocess.run(command, env=self._pki.environment(), capture_output=True, text=True, timeout=30)
        subject, *attribute = [*run.stdout.splitlines(), "", "", "", ""][:4]
        subject = re.sub(r"(/CN=\d+)+$", "", subject)  # of a proxy that was made of another one
        # Neither of them does voms-proxy-info ask, which is C++: who has signed it, and who is its holder.
        is_his = subject.rpartition("/CN=")[2] in [holder(ssl.PEM_cert_to_DER_cert(text)) for text in texts]
        vouches = attribute[:2] == [VO, HOST_DN] and is_his
        return Guest(subject, time.time() + int(attribute[2]) if vouches else 0)

    # == What doors give out ============================================================================

    def macaroon(self, request: Request, guest: Guest) -> Reply:
        """A token for whoever asks with a proxy: dCache's for some activities below a path; StoRM's is good for all
        that the user may do, whatever was asked."""
        if not self._switches.gives_macaroons:
            return Reply(405, reason="Method Not Allowed")
        try:
            wish = json.loads(request.body)
            life = seconds(wish["validity"]) if "validity" in wish else 0
            caveats = dict(caveat.split(":", 1) for caveat in wish.get("caveats", ()))
        except (ValueError, AttributeError):
            return Reply(400, reason="Bad macaroon request")
        if self._switches.words == "storm":
            return json_reply(200, {"macaroon": self._own(guest, life or DEFAULT_LIFE)})
        # What a token was good for ends with it, and nothing that is asked for may outlast it.
        left = guest.member_until - time.time() if "authorization" in request.headers else max(life, DEFAULT_LIFE)
        if life > left:
            return Reply(400, reason="Bad requested caveat: before: cannot extend session lifetime")
        life = life or min(left, DEFAULT_LIFE)
        if life > MACAROON_LIFE:
            said = "before: requested duration beyond maximum allowed (PT168H)"
            return Reply(400, reason=f"Bad requested caveat: {said}")
        asked = caveats.get("activity", ",".join(ACTIVITIES)).split(",")
        scopes = sorted({f"{ACTIVITIES[one]}:/" for one in asked if one in ACTIVITIES})
        path = caveats.get("path", request.path)
        claims = {"iss": self.url, "dn": guest.dn, "exp": int(time.time() + life), "scope": " ".join(scopes)}
        identifier = json.dumps({**claims, "path": path})
        made = _packed(identifier, f"path:{path}", f"activity:{','.join(asked)}", f"before:{_moment(claims['exp'])}")
        target, base = request.origin + request.target, f"{request.origin}/"
        uris = {"targetWithMacaroon": f"{target}?authz={made}", "baseWithMacaroon": f"{base}?authz={made}"}
        return json_reply(200, {"macaroon": made, "uri": {**uris, "target": target, "base": base}})

    def own_token(self, request: Request, guest: Guest) -> Reply:
        """What StoRM's own token service gives, for twelve hours, whatever was asked."""
        if "grant_type=client_credentials" not in request.body.decode("latin-1"):
            return json_reply(400, {"error": "unsupported_grant_type"})
        made = self._own(guest, OWN_TOKEN_LIFE)
        return json_reply(200, {"access_token": made, "token_type": "Bearer", "expires_in": OWN_TOKEN_LIFE})

    def _own(self, guest: Guest, life: float) -> str:
        return token(life, iss=self.url, sub=guest.dn, dn=guest.dn)


def holder(chain: bytes) -> str:
    """The last name of whom the attribute in a proxy says it is for; empty if there is none."""
    _, _, attribute = chain.partition(ATTRIBUTE)
    _, _, name = attribute.partition(COMMON_NAME)  # the holder is the first whom an attribute names
    return name[2 : 2 + name[1]].decode("utf-8", "replace") if name else ""


def seconds(duration: str) -> float:
    """An ISO 8601 duration such as P7D or PT12H."""
    match = re.fullmatch(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?", duration)
    if not match or duration.endswith(("P", "T")):
        raise ValueError(f"Text '{duration}' cannot be parsed to a Duration")
    days, hours, minutes, rest = (int(number or 0) for number in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + rest
