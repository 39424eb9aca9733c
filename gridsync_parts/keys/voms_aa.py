"""A membership, asked of the VO's server by ourselves, as INDIGO IAM's is asked: GET /generate-ac with the certificate.

For VOMS clients that get none there. Some know only what VOMS servers spoke before; the C++ one sends a byte before its
request that not every web server takes, and can't read most of IAM's refusals, which come with status 200 and in XML.
"""

from __future__ import annotations

import base64
import contextlib
import html
import re
from typing import TYPE_CHECKING, NamedTuple

from gridsync_parts.doors.wire import Http
from gridsync_parts.errors import GridError, brief
from gridsync_parts.keys.proxy import Holder
from gridsync_parts.table import Site
from gridsync_parts.vomses import VomsServer

if TYPE_CHECKING:
    import ssl


MOST = 1 << 20  # bytes of an answer
FIRST_BYTE, SILENCE = 30, 10  # seconds
SEQUENCE = b"\x30"  # what an attribute certificate begins with


class Applicant(Http):
    """One who shows a server the user's own certificate."""

    def __init__(self, server: VomsServer, holder: Holder):
        self.url = f"https://{server.host}:{server.port}"
        site = Site("VOMS", self.url, first_byte=FIRST_BYTE, silence=SILENCE)
        super().__init__(site, holder.certificate, None, holder.ca)
        self.holder = holder

    def context(self, with_proxy: bool) -> ssl.SSLContext:
        """What TLS trusts, and shows."""
        context = super().context(False)
        context.load_cert_chain(self.holder.certificate, self.holder.key, lambda: self.holder.pass_phrase)
        return context


class Membership(NamedTuple):
    """What the VO has signed, or what its server says instead, as the VOMS clients would have said it."""

    attribute: bytes
    said: str
    is_refused: bool = False  # another server of the VO would say the same


def membership_in(status: int, text: str, head: str) -> Membership:
    """What an answer means."""
    given = re.search("<ac>([^<]*)</ac>", text)
    with contextlib.suppress(ValueError):
        attribute = base64.b64decode(html.unescape(given[1])) if given else b""
        if status == 200 and attribute.startswith(SEQUENCE):
            return Membership(attribute, head)
    if status >= 500:  # in words that tell nothing
        return Membership(b"", f"{head}\nError: status {status}")
    refusal = re.search(r"<message>([^<]*\S[^<]*)</message>", text)
    if refusal:
        return Membership(b"", f"{head}\nError: {brief(html.unescape(refusal[1]))}", True)
    if "SSL certificate" in text:  # nginx does not know its CA, or it is over
        return Membership(b"", f"{head}\nError: SSL certificate error")
    what = f"status {status}" if status != 200 else "a web page" if "<html" in text.lower() else "nothing of use"
    return Membership(b"", f"{head}\nError: no membership: {what}")


def ask_one(server: VomsServer, vo: str, hours: int, holder: Holder) -> Membership | None:
    """What a server says; None if nothing."""
    applicant, head = Applicant(server, holder), f'Contacting {server.host}:{server.port} [{server.dn}] "{vo}"'
    url = f"{applicant.url}/generate-ac?fqans=/{vo}&lifetime={hours * 3600}"
    try:
        answer = applicant.send_with("GET", url, {}, b"", "")
    except GridError:
        return None
    body = None
    with contextlib.suppress(GridError):
        body = answer.content(MOST)
    applicant.idle.close()
    length = answer.header("Content-Length")
    if body is None or (length.isdecimal() and len(body) < int(length)):
        return Membership(b"", f"{head}\nError: broke off")
    return membership_in(answer.status, body.decode("utf-8", "replace"), head)


def ask_membership(servers: list[VomsServer], vo: str, hours: int, holder: Holder) -> Membership | None:
    """What the first of the servers says that knows an answer, else what another one says; None if nothing."""
    first = None
    for server in servers:
        membership = ask_one(server, vo, hours, holder)
        if membership and (membership.attribute or membership.is_refused):
            return membership
        first = first or membership
    return first
