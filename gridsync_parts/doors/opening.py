"""A site, opened by its kind, whose module is loaded then."""

from __future__ import annotations

import importlib
import time

from gridsync_parts.doors import Place
from gridsync_parts.errors import UsageError
from gridsync_parts.keys import ca_folder
from gridsync_parts.keys.proxy import valid_proxy
from gridsync_parts.keys.shown import settled, token_of
from gridsync_parts.keys.token import Token
from gridsync_parts.kinds import GFAL2, kind_of, needs_gfal2, needs_proxy, needs_token
from gridsync_parts.settings import Config
from gridsync_parts.table import Site


def check_packages(site: Site) -> None:
    """Refuse a site for which something is not installed."""
    for kind in (kind_of(site), *((GFAL2,) if needs_gfal2(site) else ())):
        for package in kind.packages:
            try:
                importlib.import_module(package)
            except ImportError as error:
                reason = f"the site {site.name} needs {package}, which is not installed; {kind.remedy}"
                raise UsageError(reason) from error


def open_shown(site: Site, proxy: str, token: Token | None) -> Place:
    """A site that is shown these, as far as there are any."""
    check_packages(site)
    kind = kind_of(site)
    door = importlib.import_module(f"gridsync_parts.doors.{kind.module}")
    place: Place = door.open_place(site, kind.can, proxy, token, ca_folder(site))
    return place


def open_place(site: Site, vo: str, conf: Config, proxy: str = "") -> Place:
    """A site, once there is a credential to show it: the user's proxy, unless another one is named."""
    site, _ = settled(site, conf)
    proxy = valid_proxy(vo, time.time(), proxy).path if needs_proxy(site) else ""
    token = token_of(site, conf)
    if token and needs_token(site):
        token.value()
    return open_shown(site, proxy, token)
