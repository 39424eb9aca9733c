"""Requests to the services of a hub, and what the hub says in place of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote, urljoin, urlsplit

from gridsync_parts.doors.answers import Answer
from gridsync_parts.doors.guest import REDIRECTS
from gridsync_parts.doors.urls import mask_url, netloc_of
from gridsync_parts.doors.wire import Http
from gridsync_parts.errors import DoorError, brief
from gridsync_parts.keys.token import Token
from gridsync_parts.table import Site

if TYPE_CHECKING:
    import ssl

SIGN_IN = b"it wants you to log in with a browser"
OF_HUB = "X-JupyterHub-Version"  # in the answers of the hub itself
# A service takes who sends JSON for a program: only then is it told in a word that a token is none.
JSON = {"Content-Type": "application/json"}


def words_of(page: bytes) -> str:
    """What a page says: its title, or else its text without tags."""
    text = page.decode("utf-8", "replace")
    title = re.search("<title>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
    return brief(" ".join((title[1] if title else re.sub("<[^>]*>", " ", text)).split())) or "nothing"


def is_page(answer: Answer) -> bool:
    """Whether an answer is a page for people."""
    return answer.header("Content-Type").strip().lower().startswith("text/html")


class HubWire(Http):
    """A guest of a hub, who is known by a token."""

    def __init__(self, site: Site, token: Token | None, ca: str | None):
        super().__init__(site, "", token, ca)
        # A door behind it would send whoever waits with a body to a pool, and the service does not go there.
        self.silent.add(netloc_of(site.server))

    def context(self, with_proxy: bool) -> ssl.SSLContext:
        """What TLS trusts: the CAs of the grid, for pools, and those of browsers, as a hub is made for them."""
        context = super().context(with_proxy)
        if not self.site.ca_dir:
            context.load_default_certs()
        return context

    def headers_with(self, token: str, url: str, headers: dict[str, str]) -> dict[str, str]:
        """The headers of a request, as a program sends it."""
        headers = {**headers, **JSON} if netloc_of(url) in self.trusted else headers
        return super().headers_with(token, url, headers)

    def verdict(self, answer: Answer, method: str, url: str, token: str) -> Answer:
        """The answer; the way to a login page is a 401, and so is that page itself."""
        is_hubs, target = bool(answer.header(OF_HUB)), ""
        if answer.status in REDIRECTS:
            goal = urljoin(url, answer.header("Location"))
            target = urlsplit(goal).path if netloc_of(goal) == netloc_of(url) else ""
        if is_hubs and (answer.status in (404, 405) or target.endswith(f"/hub{urlsplit(url).path}")):
            answer.drain()
            raise DoorError(
                f"{mask_url(unquote(url))}: the hub has no such service; correct SERVER in Grid.conf, as "
                "https://HUB/services/downloadservice/webdav/"
            )
        if "/hub/" in target or (is_hubs and answer.status == 200 and is_page(answer)):
            answer.drain()
            answer.status, answer.beginning = 401, SIGN_IN
        if method == "PROPFIND" and answer.status == 200:
            place, said = mask_url(unquote(url)), words_of(answer.drain())
            raise DoorError(f"{place}: the hub sends a page ({said}) and no listing; try again later", passing=True)
        return answer
