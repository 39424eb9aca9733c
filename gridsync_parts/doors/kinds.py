"""Which door speaks to a site, loaded when it is needed."""

from __future__ import annotations

import time
from urllib.parse import urlsplit

from gridsync_parts.doors import Storage
from gridsync_parts.keys import ca_folder
from gridsync_parts.keys.proxy import valid_proxy
from gridsync_parts.settings import Config
from gridsync_parts.table import Site


def needs_proxy(site: Site) -> bool:
    """Whether a site is shown a proxy."""
    return not site.token and urlsplit(site.server).scheme not in ("file", "sftp")


def storage_of(site: Site, vo: str, conf: Config) -> Storage:
    """A site by its engine, once there is a credential to show it."""
    from gridsync_parts.keys.token import Token

    token = Token(site.token, conf) if site.token else None
    proxy = valid_proxy(vo, time.time()).path if needs_proxy(site) else ""
    if token:
        token.value()
    if site.engine == "gfal2":
        from gridsync_parts.doors.gfal import Gfal2Storage

        return Gfal2Storage(site, proxy, ca_folder(site))
    from gridsync_parts.doors.webdav import HttpStorage
    from gridsync_parts.doors.wire import Http

    return HttpStorage(Http(site, proxy, token, ca_folder(site)), site)
