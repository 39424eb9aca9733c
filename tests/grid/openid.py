"""An OpenID provider on loopback: signed tokens, keys to check them by, the device flow, and tokens renewed.

What oidc-agent and libscitokens, which are real, ask of one; pages for a browser it has not: whoever opens the address
that the device flow names has said yes.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import sqlite3
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

from tests.grid.guests import Guests
from tests.grid.pki import Pki
from tests.grid.web import Log, Reply, Request, Server, json_reply

ANY_AUDIENCE = "https://wlcg.cern.ch/jwt/v1/any"
CLIENT = "agata-tool"  # which is registered at the provider
CLIENT_SECRET = "only the provider knows"
SCOPES = "openid offline_access storage.read:/ storage.stage:/ storage.create:/ storage.modify:/"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
KEY = "k1"
DAY = 86400


def encoded(data: bytes | dict[str, Any]) -> str:
    """Bytes, or a document, as a token has them."""
    data = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class Calm:
    """A line that nothing is wrong with."""

    server, handshake, idle_close, latency, bandwidth = "openid", "", 60.0, 0.0, 0.0


class OpenId:
    """One provider; what it gives out can be turned at any time."""

    def __init__(self, folder: Path, pki: Pki) -> None:
        self.folder = folder
        self.life = 3600  # seconds of a new token
        self.audience = ANY_AUDIENCE
        self.is_public = False  # clients have no secret
        self.is_agreed = True  # by the user in the browser,
        self.patience = 600  # within so many seconds
        self._odd: dict[str, Reply] = {}  # answers that have nothing to do with what is asked, by path
        self.renews = True
        self.log = Log()
        self._devices: set[str] = set()
        self._made: set[str] = set()
        self.refreshing: set[str] = set()
        folder.mkdir(parents=True)
        self._key = folder / "issuer.key"
        self._openssl("genrsa", "-out", str(self._key), "2048")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*pki.host())
        self._server = Server("openid", lambda: context, self.log, Calm(), self._answer)
        self.url = self._server.url

    def start(self) -> None:
        self._server.start()
        Guests.issuers[self.url] = self._made.__contains__  # the simulated doors check no signature

    def stop(self) -> None:
        self._server.stop()
        Guests.issuers.pop(self.url, None)

    def down(self) -> None:
        """Refuse connections until the next start."""
        self._server.down()

    def token(self, seconds: float = 3600, key: Path | None = None, **claims: Any) -> str:
        """A token of Alice's that is good for so long; other claims on demand, and perhaps another's signature."""
        now = int(time.time())
        mine = {"iss": self.url, "sub": "alice", "aud": self.audience, "scope": SCOPES, "wlcg.ver": "1.0"}
        mine.update(iat=now - 5, nbf=now - 5, exp=int(now + seconds), jti=secrets.token_hex(8))
        text = f"{encoded({'alg': 'RS256', 'typ': 'JWT', 'kid': KEY})}.{encoded({**mine, **claims})}"
        made = f"{text}.{encoded(self._openssl('dgst', '-sha256', '-sign', str(key or self._key), data=text.encode()))}"
        if key is None:
            self._made.add(made)
        return made

    def keys(self) -> dict[str, Any]:
        """What its tokens are checked by."""
        modulus = self._openssl("rsa", "-noout", "-modulus", "-in", str(self._key)).decode().strip().partition("=")[2]
        numbers = {"n": encoded(bytes.fromhex(modulus)), "e": encoded(b"\x01\x00\x01")}
        return {"keys": [{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": KEY, **numbers}]}

    def fill_cache(self, folder: Path) -> None:
        """Put its keys where libscitokens remembers them: it would take them by the system's CAs alone."""
        (folder / "scitokens").mkdir(parents=True)
        known = {"jwks": self.keys(), "next_update": int(time.time()) + DAY, "expires": int(time.time()) + 7 * DAY}
        with sqlite3.connect(folder / "scitokens" / "scitokens_cpp.sqllite") as cache:
            cache.execute("CREATE TABLE keycache (issuer text UNIQUE PRIMARY KEY NOT NULL, keys text NOT NULL)")
            cache.execute("INSERT INTO keycache VALUES (?, ?)", (self.url, json.dumps(known)))
        cache.close()

    def _openssl(self, *command: str, data: bytes = b"") -> bytes:
        env = {"PATH": os.environ["PATH"]}
        return subprocess.run(["openssl", *command], input=data, env=env, capture_output=True, check=True).stdout

    # == What it answers ====================================================================================

    def _answer(self, request: Request) -> Reply:
        places = {
            "/.well-known/openid-configuration": self._configuration,
            "/jwks": lambda _: json_reply(200, self.keys()),
            "/devicecode": self._begin,
            "/device": self._agree,
            "/token": self._give,
        }
        return self._odd.get(request.path) or places.get(request.path, lambda _: Reply(404))(request)

    @contextlib.contextmanager
    def saying(self, path: str, reply: Reply) -> Iterator[None]:
        """Answer always the same there."""
        self._odd[path] = reply
        yield
        self._odd.clear()

    def _configuration(self, _: Request) -> Reply:
        url = self.url
        grants = [DEVICE, "refresh_token", "authorization_code"]
        return json_reply(200, {
            "issuer": url, "jwks_uri": f"{url}/jwks", "token_endpoint": f"{url}/token",
            "authorization_endpoint": f"{url}/authorize", "device_authorization_endpoint": f"{url}/devicecode",
            "grant_types_supported": grants, "response_types_supported": ["code"],
            "scopes_supported": SCOPES.split(), "token_endpoint_auth_methods_supported": ["client_secret_basic"],
        })  # fmt: skip

    def _client(self, request: Request) -> dict[str, str] | None:
        """What a client asks for, if it is the one that is registered."""
        asked = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        name, secret = asked.get("client_id", ""), asked.get("client_secret", "")
        kind, _, basic = request.headers.get("authorization", "").partition(" ")
        if kind == "Basic":
            name, _, secret = base64.b64decode(basic).decode().partition(":")
        is_good = (unquote(name), unquote(secret)) == (CLIENT, "" if self.is_public else CLIENT_SECRET)
        return asked if is_good else None

    def _begin(self, request: Request) -> Reply:
        asked = self._client(request) if not self.is_public else {}
        if asked is None:
            return json_reply(401, {"error": "invalid_client", "error_description": "Bad client credentials"})
        device, user = secrets.token_hex(16), "ABCD-EFGH"
        self._devices.add(device)
        page = f"{self.url}/device"
        return json_reply(200, {
            "device_code": device, "user_code": user, "expires_in": self.patience, "interval": 1,
            "verification_uri": page, "verification_uri_complete": f"{page}?user_code={user}",
        })  # fmt: skip

    def _agree(self, _: Request) -> Reply:
        self.is_agreed = True
        return Reply(200, b"Thank you")

    def _give(self, request: Request) -> Reply:
        asked = self._client(request)
        if asked is None:
            return json_reply(401, {"error": "invalid_client", "error_description": "Bad client credentials"})
        grant = asked.get("grant_type")
        if grant == DEVICE and asked.get("device_code") in self._devices:
            if not self.is_agreed:
                return json_reply(400, {"error": "authorization_pending"})
        elif not (grant == "refresh_token" and self.renews and asked.get("refresh_token") in self.refreshing):
            return json_reply(400, {"error": "invalid_grant", "error_description": "grant request is invalid"})
        refreshing = asked.get("refresh_token") or secrets.token_hex(32)
        self.refreshing.add(refreshing)
        claims = {"aud": asked["audience"]} if "audience" in asked else {}
        return json_reply(200, {
            "access_token": self.token(self.life, scope=asked.get("scope", SCOPES), **claims), "token_type": "Bearer",
            "expires_in": self.life, "refresh_token": refreshing, "scope": SCOPES,
        })  # fmt: skip
