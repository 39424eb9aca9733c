"""Delegation to a simulated dCache: GridSite's, by SOAP. It makes a key, the client signs a proxy for it.

gfal2 is satisfied with it, which asks for the version first. No real service was seen.
"""

from __future__ import annotations

import html
import re
import ssl
import subprocess
import threading
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from tests.grid.guests import Guest
from tests.grid.pki import Pki
from tests.grid.web import Reply, Request

if TYPE_CHECKING:
    from tests.grid.door import Switches

PATH = "/delegation/gridsite"
SPACE = "http://www.gridsite.org/namespaces/delegation-"
ENVELOPE = """<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>{}</soapenv:Body></soapenv:Envelope>
"""
FAULT = "<soapenv:Fault><faultcode>soapenv:Server</faultcode><faultstring>{}</faultstring></soapenv:Fault>"


def said(status: int, body: str) -> Reply:
    return Reply(status, ENVELOPE.format(body).encode(), {"Content-Type": "text/xml;charset=utf-8"})


def fault(words: str) -> Reply:
    return said(500, FAULT.format(html.escape(words)))


class Delegations:
    """The keys that a door has made, and the proxies that it has got for them."""

    def __init__(self, switches: Switches, pki: Pki) -> None:
        self.switches = switches
        self.pki = pki
        self.held: dict[str, Path] = {}  # by the name of the user
        self.made = 0  # proxies that it has got
        self._asked: dict[str, Path] = {}  # keys by the name of a delegation
        self._lock = threading.Lock()

    def answer(self, request: Request, guest: Guest) -> Reply:
        """One call."""
        if not guest.dn:
            return Reply(401)
        if self.switches.delegation == "none":
            return Reply(404)
        text = request.body.decode("utf-8", "replace")
        call = re.search(r"(?s)<[^>]*Body>\s*<(\w+):(\w+)", text)
        if not call:
            return Reply(400)
        version = re.search(rf'xmlns:{call[1]}="{SPACE}(\d)"', text)
        if not version or version[1] != self.switches.delegation[:1]:
            return fault(f"No such operation '{call[2]}'")
        with self._lock:
            if call[2] == "getInterfaceVersion":
                return self._returns(version[1], call[2], version[1])
            if call[2] == "getNewProxyReq" and "named" not in self.switches.delegation:
                return self._ask(version[1], call[2], uuid.uuid4().hex)
            named = re.search(r"<(?:\w+:)?delegationID\b[^>]*>([^<]+)<", text)
            if call[2] == "getProxyReq" and named and version[1] == "2":
                return self._ask(version[1], call[2], named[1])
            if call[2] == "putProxy":
                return self._take(text, guest)
        return fault(f"No such operation '{call[2]}'")

    def _returns(self, version: str, call: str, inner: str) -> Reply:
        whole = f"<{call}Return>{inner}</{call}Return>"
        return said(200, f'<ns1:{call}Response xmlns:ns1="{SPACE}{version}">{whole}</ns1:{call}Response>')

    def _ask(self, version: str, call: str, name: str) -> Reply:
        folder = self.pki.folder / "delegated"
        folder.mkdir(exist_ok=True)
        key, csr = (folder / f"{uuid.uuid4().hex}.{kind}" for kind in ("key", "csr"))
        words = ["req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=dcache", "-keyout", key, "-out", csr]
        subprocess.run(["openssl", *words], check=True, capture_output=True)
        self._asked[name] = key
        asked = html.escape(csr.read_text()).replace("\n", "&#xd;\n")
        both = f"<proxyRequest>{asked}</proxyRequest><delegationID>{name}</delegationID>"
        return self._returns(version, call, both if call == "getNewProxyReq" else asked)

    def _take(self, text: str, guest: Guest) -> Reply:
        values = dict(re.findall(r"(?s)<(?:\w+:)?(delegationID|proxy)\b[^>]*>(.*?)</", text))
        key = self._asked.pop(values.get("delegationID", ""), None)
        if key is None:
            return fault("Delegation request unknown")
        if self.switches.delegation.endswith("refused"):
            return fault("Proxy is not acceptable")
        chain = html.unescape(values.get("proxy", ""))
        first, end, rest = chain.partition("-----END CERTIFICATE-----\n")
        path = key.with_suffix(".pem")
        path.touch(mode=0o600)
        path.write_text(first + end + key.read_text() + rest)
        verify = ["openssl", "verify", "-allow_proxy_certs", "-CApath", str(self.pki.certificates)]
        subject = ["openssl", "x509", "-in", str(path), "-noout", "-subject", "-nameopt", "compat"]
        try:
            ssl.create_default_context().load_cert_chain(path)
            subprocess.run([*verify, "-untrusted", path, path], check=True, capture_output=True)
            name = subprocess.run(subject, check=True, capture_output=True, text=True).stdout
        except (OSError, subprocess.CalledProcessError) as error:
            return fault(f"Proxy is not acceptable: {error}")
        if guest.dn not in name:
            return fault("Proxy is of another user")
        self.held[guest.dn] = path
        self.made += 1
        return said(200, f'<ns1:putProxyResponse xmlns:ns1="{SPACE}{self.switches.delegation[:1]}"/>')
