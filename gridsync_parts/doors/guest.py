"""How servers are asked, whichever library carries a request.

Who sees a credential, where a redirect leads, how fast one may ask and what is said of a request that fails is decided
here; a library is told where to connect and what to show.
"""

from __future__ import annotations

import contextlib
import math
import time
from typing import TYPE_CHECKING, Union
from urllib.parse import urlsplit

from gridsync_parts import __version__
from gridsync_parts.disk import moment
from gridsync_parts.doors import Sent
from gridsync_parts.doors.answers import Answer, connection_error
from gridsync_parts.doors.refused import pause_of, redirect_target, refusal
from gridsync_parts.doors.relay import CONNECT, relay_named
from gridsync_parts.doors.throttle import HELD, Throttle, Welcome
from gridsync_parts.doors.urls import mask_url, netloc_of
from gridsync_parts.errors import CredentialError, DoorError, FileError, UsageError
from gridsync_parts.keys import stamp_in, trust
from gridsync_parts.keys.proxy import load_proxy, proxy_error
from gridsync_parts.keys.token import Token
from gridsync_parts.log import log
from gridsync_parts.machine import scarcity
from gridsync_parts.secrets import secrets
from gridsync_parts.table import Site

if TYPE_CHECKING:
    import http.client
    import ssl


Data = Union[bytes, Sent]  # what a request carries
REDIRECTS = (301, 302, 303, 307, 308)
MAX_HOPS = 5
HOPS = f"{{}}: more than {MAX_HOPS} redirects in a row"
WEAKNESS = 2  # seconds after which a proxy that was refused is shown once more


class Guest:
    """Requests with the user's proxy or token, to the servers that are meant to see it."""

    def __init__(self, site: Site, proxy: str, token: Token | None, ca: str | None):
        self.site = site
        self.proxy = proxy
        self.token = token
        self.ca = ca
        self.trusted = {netloc_of(site.server)}
        self.welcomes: dict[object, Welcome] = {}  # of those
        self.contexts: dict[object, ssl.SSLContext] = {}  # of TLS, by what is shown
        self.relay = relay_named()
        self.throttles: dict[tuple[str, int], Throttle] = {}  # of servers
        self.gives_keys = False  # for other doors; it has given one

    def carry(self, method: str, url: str, headers: dict[str, str], data: Data) -> Answer:
        """One request, as the library carries it; an error of Python's own if there is no answer."""
        raise NotImplementedError

    def shown_to(self, netloc: tuple[str, int]) -> object:
        """What TLS shows to a server: None, or the proxy as it is now."""
        return self.stamp() if self.proxy and netloc in self.trusted else None

    def stamp(self) -> object:
        """What changes with the proxy."""
        return stamp_in(self.proxy, moment())

    def connection(self, netloc: tuple[str, int], is_secure: bool, shown: object) -> http.client.HTTPConnection:
        """A new connection to a server, which is made by the first request, or through the web proxy at once."""
        import http.client

        if not is_secure:
            return http.client.HTTPConnection(*netloc, timeout=CONNECT)
        context = self.contexts.get(shown) or self.contexts.setdefault(shown, self.context(shown is not None))
        if not (self.relay and self.relay.is_for(*netloc)):
            return http.client.HTTPSConnection(*netloc, timeout=CONNECT, context=context)
        connection = self.relay.connect(*netloc)
        connection.sock = context.wrap_socket(connection.sock, server_hostname=netloc[0])
        return connection

    def context(self, with_proxy: bool) -> ssl.SSLContext:
        """What TLS trusts, and shows."""
        import ssl

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.post_handshake_auth = True
        trust(context, self.ca)
        if with_proxy:
            try:
                load_proxy(self.proxy, context)
            except (OSError, ValueError) as error:
                raise scarcity(error) or proxy_error(self.proxy, error) from error
        return context

    def send(self, method: str, url: str, *, headers: dict[str, str] | None = None, data: Data = b"") -> Answer:
        """One request; the answer's body is still to be read."""
        place = netloc_of(url)
        if place not in self.trusted or not (self.token or self.proxy):
            return self.send_throttled(method, url, headers or {}, data, "")
        if (welcome := self.welcomes.get(place)) is None:
            welcome = self.welcomes.setdefault(place, Welcome(math.inf if self.token else WEAKNESS))
        while True:
            token = self.token.value() if self.token else ""
            shown = token or self.stamp()
            if not welcome.is_turn(shown):
                continue
            try:
                answer = self.verdict(self.send_throttled(method, url, headers or {}, data, token), method, url, token)
                if answer.status != 401:
                    if answer.status < 500 and answer.status != 429:  # else it has not looked at what was shown
                        welcome.take(shown)
                    return answer
                words = str(refusal(answer, url))
                if welcome.refuse(shown, words) and self.token and not self.token.renew(token):
                    welcome.words, self.token.text = words, ""  # should anybody go on, it is asked for anew
                    raise CredentialError(words)
            finally:
                welcome.leave()

    def accepted_headers(self, url: str, headers: dict[str, str]) -> dict[str, str] | None:
        """The headers of a request that its server takes, as it seems; None where that is still to be seen."""
        place, token = netloc_of(url), ""
        if place in self.trusted and (self.token or self.proxy):
            token, welcome = self.token.value() if self.token else "", self.welcomes.get(place)
            if not welcome or welcome.taken != (token or self.stamp()):
                return None
        throttle = self.throttles.get(place)
        if not throttle or throttle.gap or not throttle.is_open:
            return None
        return self.headers_with(token, url, headers)

    def headers_with(self, token: str, url: str, headers: dict[str, str]) -> dict[str, str]:
        """The headers of a request, with a token if there is one."""
        headers = {**headers, "User-Agent": f"gridsync/{__version__}"}
        if token:
            if urlsplit(url).scheme != "https":
                raise UsageError(f"the TOKEN is not sent to {mask_url(url)}, which is not encrypted; correct Grid.conf")
            secrets.note(token)
            headers["Authorization"] = f"Bearer {token}"
        return headers

    def send_throttled(self, method: str, url: str, headers: dict[str, str], data: Data, token: str) -> Answer:
        """One request as fast as its server lets it go; what this has not looked at goes again, unless too late."""
        place, ends = netloc_of(url), time.monotonic() + HELD
        throttle = self.throttles.get(place) or self.throttles.setdefault(place, Throttle())
        while True:
            began = throttle.go()
            answer = self.send_with(method, url, headers, data, token)
            if answer.status != 429:
                throttle.take()
                return answer
            if not answer.header("Retry-After").isdecimal() or throttle.slow(began, pause_of(answer)) > ends:
                return answer
            answer.drain()

    def verdict(self, answer: Answer, method: str, url: str, token: str) -> Answer:
        """The answer, or the 401 of a HEAD: to all else StoRM says 500 of a token that is none."""
        if token and answer.status == 500 and method not in ("GET", "HEAD"):
            with contextlib.suppress(DoorError):
                other = self.send_with("HEAD", url, {}, b"", token)
                if other.status == 401:
                    answer, other = other, answer
                other.close()
        return answer

    def send_with(self, method: str, url: str, headers: dict[str, str], data: Data, token: str) -> Answer:
        """One request with a token, or else with the proxy if the host is meant to see it."""
        import http.client

        headers = self.headers_with(token, url, headers)
        try:
            answer = self.carry(method, url, headers, data)
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise scarcity(error) or connection_error(error, url, self.ca) from error
        log.debug("%s %s -> %d", method, mask_url(url), answer.status)
        return answer

    def ask(self, method: str, url: str, *, headers: dict[str, str] | None = None, data: Data = b"") -> Answer:
        """One request to the door or tape service, also where it sends it to itself."""
        for _hop in range(MAX_HOPS):
            answer = self.send(method, url, headers=headers, data=data)
            # Of 301 and 302 browsers make a GET, which would ask something else; 303 says that all is done already.
            if answer.status not in REDIRECTS or (answer.status == 303 and method != "GET"):
                return answer
            try:
                target = redirect_target(answer, url)
                is_ours = netloc_of(target) in self.trusted
            except FileError as error:  # it concerns all files
                raise DoorError(str(error)) from error
            if not is_ours:
                way = ("your credentials are not sent there, " if self.token or self.proxy else "") + "ask the site"
                raise DoorError(f"{mask_url(url)} redirects to another server, {mask_url(target)}; {way}")
            url = target
        raise DoorError(HOPS.format(mask_url(url)), passing=True)
