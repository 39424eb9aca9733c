"""The contexts of gfal2, and what it shows at a door."""

from __future__ import annotations

import os
import threading
from typing import Any

from gridsync_parts.doors.relay import CONNECT
from gridsync_parts.errors import UsageError
from gridsync_parts.keys import stamp_of
from gridsync_parts.keys.proxy import load_proxy, proxy_error
from gridsync_parts.keys.token import Token
from gridsync_parts.kinds import WEB
from gridsync_parts.machine import scarcity
from gridsync_parts.secrets import secrets
from gridsync_parts.table import Site
from gridsync_parts.words import scheme_of

ROOT = {  # what XRootD's library is told; the user's own environment goes before
    "XRD_CONNECTIONWINDOW": str(CONNECT),  # it would try for ten minutes to reach a server,
    "XRD_CONNECTIONRETRY": "1",
    "XRD_STREAMERRORWINDOW": "0",  # and for half an hour not again, which is for us to decide
}
LIMITS: list[str] = []  # of redirects, for each context; XRootD's library goes by that of the first


def load_gfal2() -> Any:
    """The module, which says nothing by itself."""
    import logging

    import gfal2

    gfal_log = logging.getLogger("gfal2")
    gfal_log.propagate = False
    gfal_log.addHandler(logging.NullHandler())
    return gfal2


def show(proxy: str, is_web: bool) -> None:
    """Have gfal2 show a proxy, or nothing that it could find by itself."""
    for name in ("BEARER_TOKEN", "BEARER_TOKEN_FILE"):  # which would be shown to whatever host a door names
        os.environ.pop(name, None)
    os.environ["X509_USER_PROXY"] = proxy  # if empty, davix looks no further
    os.environ["XrdSecPROTOCOL"] = "gsi,unix" if proxy else "unix"  # noqa: SIM112 - XRootD's ztn looks in folders, too
    if not proxy:
        for name in ("X509_USER_CERT", "X509_USER_KEY", *([] if is_web else ["X509_USER_PROXY"])):
            os.environ.pop(name, None)


class Contexts:
    """The contexts of gfal2, one for each thread; the rest of what it is told is the whole process's."""

    def __init__(self, site: Site, proxy: str, token: Token | None, ca: str | None):
        show(proxy, scheme_of(site.server) in WEB)
        is_file = bool(ca) and os.path.isfile(ca or "")
        if is_file and scheme_of(site.server) not in WEB:
            raise UsageError(f"CA_DIR of {site.name} is the file {ca}; for this SERVER gfal2 needs a folder of CAs")
        if ca:
            os.environ["X509_CERT_DIR"] = os.path.dirname(ca) if is_file else ca
        if token:
            if LIMITS and LIMITS[0] != "0":
                raise UsageError(f"{site.server}: this process has used gfal2 without a token; use another one")
            # XRootD's ztn shows it to servers with TLS alone, but to each that a redirect names: so none is followed.
            os.environ["XrdSecPROTOCOL"] = "ztn"  # noqa: SIM112
            os.environ["XRD_REDIRECTLIMIT"] = "0"
        # davix would else read the system's CA bundle at every request, and remember redirects to dead pools.
        os.environ["SSL_CERT_FILE"] = ca if ca and is_file else os.devnull
        os.environ["DAVIX_DISABLE_REDIRECT_CACHING"] = "1"
        for name, value in {**ROOT, "XRD_REQUESTTIMEOUT": str(site.first_byte)}.items():
            os.environ.setdefault(name, value)
        self.gfal2 = load_gfal2()
        self.proxy = proxy
        self.token = token
        self.timeout = site.first_byte
        self.local = threading.local()

    def shown(self) -> object:
        """What is shown now: a token, or the proxy as it is."""
        return self.token.value() if self.token else stamp_of(self.proxy)

    def get(self) -> Any:
        """The context of this thread: options and credentials are its own; a new one for what is new to show."""
        stamp = self.shown()
        if getattr(self.local, "stamp", None) != stamp:
            if self.proxy:
                try:  # else it would ask without one
                    load_proxy(self.proxy)
                except (OSError, ValueError) as error:
                    raise scarcity(error) or proxy_error(self.proxy, error) from error
            if self.token:
                secrets.note(str(stamp))
                os.environ["BEARER_TOKEN"] = str(stamp)
            self.local.stamp = stamp
            LIMITS.append(os.environ.get("XRD_REDIRECTLIMIT", ""))
            context = self.gfal2.creat_context()
            context.set_opt_boolean("HTTP PLUGIN", "RETRIEVE_BEARER_TOKEN", False)
            context.set_opt_integer("HTTP PLUGIN", "OPERATION_TIMEOUT", self.timeout)
            self.local.context = context
        return self.local.context
