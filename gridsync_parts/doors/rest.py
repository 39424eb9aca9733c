"""Requests over the library requests, for REST services: few of them, and large.

It keeps connections and knows HTTP. Where it connects and what it shows there is a guest's affair, as is all that it
would take from the environment by itself: web proxy, CAs, .netrc, redirects, cookies.
"""

from __future__ import annotations

import threading
import warnings
from typing import TYPE_CHECKING, Any, Callable, TypeVar

from gridsync_parts.doors.answers import Answer, Watch, response_class
from gridsync_parts.doors.guest import Data, Guest
from gridsync_parts.doors.relay import CONNECT
from gridsync_parts.doors.urls import netloc_of
from gridsync_parts.errors import UsageError, brief
from gridsync_parts.keys.token import Token
from gridsync_parts.table import Site

if TYPE_CHECKING:
    import requests

T = TypeVar("T")
R = TypeVar("R", bound="Rest")

LOADING = threading.Lock()
KEPT_IDLE = 8  # connections to one service at the most
REMEDY = "on Debian: apt install python3-requests"


def load_requests(site: Site) -> Any:
    """The library, which says nothing by itself, or the sentence that it is missing."""
    import logging

    try:
        with LOADING, warnings.catch_warnings():  # it judges the versions of what it uses, which no user can help
            warnings.simplefilter("ignore")
            import requests
            import requests.adapters  # a folder that is left of it can be imported, too
    except Exception as error:  # of what it loads in turn, versions may not fit together
        is_there = getattr(error, "name", "") != "requests"
        why = f"cannot be loaded ({brief(str(error))})" if is_there else "is not installed"
        raise UsageError(f"the site {site.name} needs requests, which {why}; {REMEDY}") from error
    logging.getLogger("urllib3").propagate = False  # it warns of odd headers, with the whole URL
    return requests


def unwrap(error: Exception) -> Exception:
    """The error of Python's own that the libraries have wrapped; where they keep it differs."""
    import http.client

    import requests
    import urllib3

    found: list[BaseException] = [error]
    for one in found:
        is_theirs = isinstance(one, (requests.RequestException, urllib3.exceptions.HTTPError))
        if isinstance(one, (OSError, ValueError, http.client.HTTPException)) and not is_theirs:
            return one
        behind = (one.__cause__, one.__context__, *one.args)
        found += [inner for inner in behind if isinstance(inner, BaseException) and inner not in found]
    return OSError(type(error).__name__)


def call_unwrapped(call: Callable[[], T]) -> T:
    """What a call to the libraries gives, or its bare error."""
    import requests
    import urllib3

    try:
        return call()
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        inner = unwrap(error)
    raise inner  # not where the other one is caught, or each would be the reason of the other


def connection_class(guest: Guest, shown: object, base: type) -> type:
    """urllib3's connections, but made by a guest, and watched."""

    class Connection(base):  # type: ignore[misc]
        def connect(self) -> None:
            is_secure = self.default_port == 443
            made = guest.connection((self.host, self.port or self.default_port), is_secure, shown)
            if made.sock is None:
                made.connect()
            self.sock, self.is_verified = made.sock, True

        def response_class(self, sock: Any, *_: object, method: str) -> Any:
            """http.client's, whose bytes are watched."""
            watch = Watch(sock, guest.site)
            watch.hold = sock.makefile("rb", buffering=0)
            response = response_class()(watch, method=method)
            response.watch = watch
            return response

    return Connection


def session_of(guest: Guest, shown: object) -> requests.Session:
    """A session that may be used by all threads, as it remembers nothing but connections."""
    from http.cookiejar import DefaultCookiePolicy

    requests = load_requests(guest.site)
    import urllib3
    from urllib3 import connection

    class Plain(urllib3.HTTPConnectionPool):  # type: ignore[misc]
        ConnectionCls = connection_class(guest, shown, connection.HTTPConnection)

    class Secure(urllib3.HTTPSConnectionPool):  # type: ignore[misc]
        ConnectionCls = connection_class(guest, shown, connection.HTTPSConnection)

    class Adapter(requests.adapters.HTTPAdapter):  # type: ignore[misc,name-defined]
        def init_poolmanager(self, *args: Any, **options: Any) -> None:
            super().init_poolmanager(*args, **options)
            self.poolmanager.pool_classes_by_scheme = {"http": Plain, "https": Secure}

        def cert_verify(self, *_: object) -> None:
            """The guest's context checks certificates; this would look for the CAs of a browser."""

    class Session(requests.Session):  # type: ignore[misc,name-defined]
        def get_redirect_target(self, _: object) -> None:
            """The guest follows; this would read the whole body before."""

    session = Session()
    session.trust_env = False
    session.headers.clear()
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    for scheme in ("http://", "https://"):
        session.mount(scheme, Adapter(pool_maxsize=KEPT_IDLE))
    return session


class RestAnswer(Answer):
    """A response of requests."""

    def __init__(self, response: requests.Response, url: str):
        super().__init__(response, response.status_code, response.raw._original_response.watch, url)
        response.raw.enforce_content_length = False  # whoever reads sees that there is too little
        if self.status < 200:  # behind an interim answer comes another
            self.close()

    def read_into(self, buffer: memoryview) -> int:
        """Bytes of the body, as many as fit."""
        return int(call_unwrapped(lambda: self.response.raw.readinto(buffer)))

    def close(self) -> None:
        """Let go of the connection, which can be used again if the body was read."""
        self.response.close()


class Rest(Guest):
    """A guest whose requests go over requests."""

    def __init__(self, site: Site, proxy: str, token: Token | None, ca: str | None):
        super().__init__(site, proxy, token, ca)
        self.sessions: dict[object, requests.Session] = {}  # the last one in which a proxy was shown, and one without

    @classmethod
    def beside(cls: type[R], other: Guest) -> R:
        """One who knows of servers what another guest knows, and tells it."""
        rest = cls(other.site, other.proxy, other.token, other.ca)
        rest.trusted, rest.welcomes = other.trusted, other.welcomes
        rest.contexts, rest.throttles = other.contexts, other.throttles
        return rest

    def session(self, url: str) -> requests.Session:
        """The session for a server, which sees the proxy if it is meant to; a new one for a new proxy."""
        shown = self.shown_to(netloc_of(url))
        session = self.sessions.get(shown)
        if session is None:
            session = self.sessions.setdefault(shown, session_of(self, shown))
            for old in self.sessions.keys() - {shown, None} if shown else ():
                self.sessions.pop(old, None)  # not closed, as other threads may be using it
        return session

    def close(self) -> None:
        """Let go of the connections that wait."""
        while self.sessions:
            self.sessions.popitem()[1].close()

    def carry(self, method: str, url: str, headers: dict[str, str], data: Data) -> Answer:
        """One request in a session."""
        session = self.session(url)
        waits = (CONNECT, self.site.first_byte)
        response = call_unwrapped(
            lambda: session.request(
                method, url, headers=headers, data=data or None, stream=True, allow_redirects=False, timeout=waits
            )
        )
        return RestAnswer(response, url)
