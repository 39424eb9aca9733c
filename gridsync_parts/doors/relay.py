"""The web proxy of the environment, through which https servers are reached."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit

from gridsync_parts import __version__
from gridsync_parts.errors import DoorError, Saying, Unreached, UsageError, error_for
from gridsync_parts.machine import scarcity
from gridsync_parts.secrets import secrets

if TYPE_CHECKING:
    import http.client


CONNECT = 30  # seconds to reach a server

# What the libraries say when a web proxy gives no way to a server.
RELAY_ERRORS = (
    Saying(r"failed: 40[17]", DoorError, "the web proxy {relay} of HTTPS_PROXY asks for a password ({error}); "
           "write HTTPS_PROXY=http://NAME:PASSWORD@{relay}"),
    Saying(r"failed: 4", DoorError, "the web proxy {relay} of HTTPS_PROXY blocks {host} ({error}); "
           "ask its administrators, or name that host in NO_PROXY"),
    Saying(r"failed: ", Unreached, "the web proxy {relay} of HTTPS_PROXY cannot reach {host} ({error}); "
           "that host is down, or the web proxy is not allowed to go there", passing=True),
    Saying(r"", Unreached, "the web proxy {relay} of HTTPS_PROXY cannot be reached ({error}); "
           "check HTTPS_PROXY, or name {host} in NO_PROXY", passing=True),
)  # fmt: skip


class Relay(NamedTuple):
    """The web proxy through which https servers are reached; it passes on what it can't read."""

    host: str
    port: int
    headers: dict[str, str]  # that it wants to see
    settings: dict[str, str]  # all of the environment, of which NO_PROXY is one

    def is_for(self, host: str, port: int) -> bool:
        """Whether a server is reached through it, and is not in NO_PROXY."""
        from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

        names = (host, f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        return not any(proxy_bypass_environment(name, self.settings) for name in names)

    def connect(self, host: str, port: int) -> http.client.HTTPConnection:
        """A connection that leads through it to a server, with which TLS is still to be begun."""
        import http.client

        connection = http.client.HTTPConnection(self.host, self.port, timeout=CONNECT)
        connection.default_port = 443  # of the server, which is what requests are to name
        connection.set_tunnel(host, port, self.headers)
        try:
            connection.connect()
        except (OSError, ValueError, http.client.HTTPException) as error:
            connection.close()
            code = re.search("failed: ([0-9]{3})", str(error))  # the rest is the proxy's own words
            said = code[1] if code else getattr(error, "strerror", "") or type(error).__name__
            words = {"relay": f"{self.host}:{self.port}", "host": f"{host}:{port}", "error": said}
            raise scarcity(error) or error_for(RELAY_ERRORS, str(error), **words) from error
        return connection


RELAYED = {"https_proxy", "HTTPS_PROXY"}  # where it stands


def relay_named() -> Relay | None:
    """The web proxy of the environment, if it names one."""
    if not RELAYED & os.environ.keys():  # as to load what reads it takes a while
        return None
    import base64
    import urllib.request

    settings = urllib.request.getproxies_environment()
    url = settings.get("https", "")
    if not url:
        return None
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port, is_right = parts.hostname, parts.port or 80, parts.scheme == "http" and parts.path in ("", "/")
    except ValueError:
        host, port, is_right = "", 0, False
    if not host or not is_right:  # it is not shown, as there may be a password in it
        raise UsageError("HTTPS_PROXY does not name a web proxy that gridsync can use; expected http://HOST:PORT")
    headers = {"User-Agent": f"gridsync/{__version__}"}
    if parts.username:
        known_by = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        secrets.note(known_by)
        headers["Proxy-Authorization"] = "Basic " + base64.b64encode(known_by.encode()).decode()
    return Relay(host, port, headers, settings)
