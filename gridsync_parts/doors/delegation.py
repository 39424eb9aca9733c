"""A proxy that a door gets to act with: GridSite's delegation.

The door makes a key, of which it shows a request; what is signed for that goes back. With it, the door may do whatever
the user may, so it goes nowhere but to the machine of the door.
"""

from __future__ import annotations

import html
import os
import re
from urllib.parse import urlsplit

from gridsync_parts.doors.urls import mask_url, netloc_of
from gridsync_parts.doors.wire import Http
from gridsync_parts.errors import CredentialError, DoorError, brief
from gridsync_parts.keys.signing import sign
from gridsync_parts.secrets import secrets

HERE = "--via_here copies through this machine"
HOURS = 12  # for which a door may act; a copy may wait that long for its turn
MAX_ANSWER = 1 << 20  # bytes
SPACE = "http://www.gridsite.org/namespaces/delegation-"
# What is asked for, by GridSite's version, where in the answer it is, and whether the client names the delegation.
CALLS = (
    ("2", "getNewProxyReq", "proxyRequest", False),
    ("2", "getProxyReq", "getProxyReqReturn", True),
    ("1", "getNewProxyReq", "proxyRequest", False),
)
ENVELOPE = (
    '<?xml version="1.0" encoding="UTF-8"?><e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/" '
    'xmlns:d="{space}"><e:Body><d:{call}>{values}</d:{call}></e:Body></e:Envelope>'
)


def value_in(text: str, name: str) -> str:
    """What an answer says under a name; empty if nothing."""
    found = re.search(rf"<(?:\w+:)?{name}\b[^>]*>\s*(?:<!\[CDATA\[)?([^<\]]*)", text)
    return html.unescape(found[1]).strip() if found else ""


class Service:
    """The delegation service of a door."""

    def __init__(self, door: Http, where: str):
        self.url = where
        self.http = Http(door.site._replace(server=where), door.proxy, None, door.ca)
        self.space = ""

    def call(self, name: str, space: str, **values: str) -> str:
        """What it answers to a call; empty if it knows none of this name."""
        inner = "".join(f"<{key}>{html.escape(value)}</{key}>" for key, value in values.items())
        text = ENVELOPE.format(space=space, call=name, values=inner)
        headers = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": f'"{space}"'}
        answer = self.http.ask("POST", self.url, headers=headers, data=text.encode())
        return answer.content(MAX_ANSWER).decode("utf-8", "replace") if answer.status in (200, 500) else ""

    def request(self) -> tuple[str, str]:
        """A request for a proxy, and the name of the delegation."""
        said = ""
        for version, call, where, own in CALLS:
            self.space, values = SPACE + version, {"delegationID": os.urandom(16).hex()} if own else {}
            text = self.call(call, self.space, **values)
            asked, name = value_in(text, where), values.get("delegationID") or value_in(text, "delegationID")
            if asked and name:
                return asked, name
            said = said or value_in(text, "faultstring")
        raise self.error(said)

    def put(self, name: str, chain: bytes) -> None:
        """Give it the proxy."""
        text = self.call("putProxy", self.space, delegationID=name, proxy=chain.decode())
        if "putProxyResponse" not in text:
            raise self.error(value_in(text, "faultstring"))

    def error(self, said: str) -> CredentialError:
        """The sentence for a service that takes no proxy."""
        reason = brief(secrets.masked(" ".join(said.split()))) or "no reason"
        return CredentialError(f"{mask_url(self.url)}: the door takes no proxy to act with ({reason}); {HERE}")


def delegate(http: Http, where: str) -> None:
    """Give a door a proxy to act with for some hours, at one of the addresses that it names."""
    door = netloc_of(http.site.server)[0]
    places = [place for place in where.split() if urlsplit(place).scheme == "https" and netloc_of(place)[0] == door]
    if not places:
        said = f"{door} wants a proxy to be given to {mask_url(where)}, which is another machine, or not encrypted"
        raise DoorError(f"{said}; none is; {HERE}")
    service = Service(http, places[0])
    try:
        asked, name = service.request()
        service.put(name, sign(asked.encode(), http.proxy, HOURS))
    finally:
        service.http.idle.close()
