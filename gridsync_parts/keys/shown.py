"""Which credential a site is shown, and why: what Grid.conf names, or what lies where WLCG looks for tokens."""

from __future__ import annotations

import os
from collections.abc import Iterator

from gridsync_parts.errors import CredentialError, GridError
from gridsync_parts.keys.proxy import proxy_file
from gridsync_parts.keys.token import Token
from gridsync_parts.kinds import KEEPING, Credential, find_kind
from gridsync_parts.settings import Config
from gridsync_parts.sites import KNOWN
from gridsync_parts.table import Site
from gridsync_parts.words import scheme_of

TMP = "/tmp"
PLACES = "BEARER_TOKEN, BEARER_TOKEN_FILE, $XDG_RUNTIME_DIR/bt_u{0} and /tmp/bt_u{0}"  # in WLCG's order


def is_filled(path: str) -> bool:
    """Whether there is something in a file; not behind a link, which anybody could have put into /tmp."""
    try:
        return not os.path.islink(path) and os.stat(path).st_size > 0
    except OSError:
        return False


def places_of() -> Iterator[str]:
    """Where a token may lie for the user: each as a source, if there is anything."""
    if os.environ.get("BEARER_TOKEN", "").strip():
        yield "env:BEARER_TOKEN"
    named = os.environ.get("BEARER_TOKEN_FILE", "")
    if named and is_filled(os.path.realpath(named)):
        yield f"file:{named}"
    for folder in (os.environ.get("XDG_RUNTIME_DIR", ""), TMP):
        path = os.path.join(folder, f"bt_u{os.getuid()}")
        if folder and is_filled(path):
            yield f"file:{path}"


def stands(site: Site, conf: Config) -> bool:
    """Whether it is a site of Grid.conf or of gridsync itself, and not one that somebody has just been told of."""
    sections = conf.file.parsed()
    servers = {sections[name].get("SERVER", "") for name in sections.sections()}
    servers |= {known.keys["SERVER"] for known in KNOWN.values()}
    return site.server in {server.rstrip("/") for server in servers}


def takes_tokens(site: Site) -> bool:
    """Whether it can be shown one that was found; servers that speak root:// would seldom take it."""
    scheme = scheme_of(site.server)
    kind = find_kind(site.engine, scheme)
    schemes = ("https", "davs", *(KEEPING if site.credential == "token" else ()))
    return bool(kind and kind.credential is Credential.ANY and scheme in schemes)


def fault_of(source: str, conf: Config) -> GridError | None:
    """Why a token that was found is no use."""
    try:
        Token(source, conf).value()
    except GridError as error:
        return error
    return None


def settled(site: Site, conf: Config) -> tuple[Site, str]:
    """The site with the token that is shown there, if any; and why it is that, or a proxy, where there is a choice."""
    if site.token:
        return site, f"TOKEN of [{site.name}] names it"
    if site.credential not in ("auto", "token"):
        return site, f"CREDENTIAL of [{site.name}] is {site.credential}"
    kind = find_kind(site.engine, scheme_of(site.server))
    if kind and kind.token and stands(site, conf):
        return site._replace(token=kind.token), "it is the one that such sites give their users"
    source = next(places_of(), "")
    if not (source and takes_tokens(site) and stands(site, conf)):
        return site, ""
    if site.credential == "token":
        return site._replace(token=source), f"CREDENTIAL of [{site.name}] is token, and it lies there"
    named = os.environ.get("X509_USER_PROXY", "")
    if os.path.exists(named):
        return site, f"X509_USER_PROXY names it, so it is shown and not the token from {source}"
    fault = fault_of(source, conf)
    if fault and os.path.exists(proxy_file()):
        return site, f"the token that was found is not used: {fault}"
    return site._replace(token=source), "it lies where WLCG looks, and X509_USER_PROXY names no proxy"


def token_of(site: Site, conf: Config) -> Token | None:
    """What a site is shown that is settled, unless that is a proxy or nothing."""
    if site.credential == "token" and not site.token:
        places = PLACES.format(os.getuid())
        raise CredentialError(f"no token was found in {places}; renew yours, or set TOKEN of [{site.name}]")
    return Token(site.token, conf) if site.token else None


def usable(token: Token | None) -> tuple[Token | None, str]:
    """A token that a site can do without, if there is one to show; else why there is none."""
    try:
        if token:
            token.value()
    except CredentialError as error:
        return None, str(error)
    return token, ""
