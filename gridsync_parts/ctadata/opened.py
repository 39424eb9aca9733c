"""The sites that ctadata's names are about, as environment and Grid.conf have them at the call."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from gridsync_parts.doors.opening import open_shown
from gridsync_parts.errors import CredentialError, GridError, UsageError
from gridsync_parts.face import OpenSite, conf_of
from gridsync_parts.keys.shown import settled, token_of
from gridsync_parts.keys.token import Token
from gridsync_parts.kinds import kind_of
from gridsync_parts.settings import Config
from gridsync_parts.table import Settings
from gridsync_parts.words import bare, grid_path, has_scheme, is_url

HUB, DCACHE = "CTA", "CTA_DCACHE"  # of the sites in Grid.conf, or of those that gridsync knows
TOKEN = "env:JUPYTERHUB_API_TOKEN"
OF_HUB = "; set JUPYTERHUB_API_TOKEN to one of the hub's (Token, in its menu)"
SAID = {  # remedies that are others here
    "ls() shows what there is": "list_dir() shows what there is",
    "is a folder; ls() shows what is in it": "is a folder; recursive=True fetches all that is in it",
    "a different local file has this name; overwrite=True replaces it": "what has this name here is no file; "
    "move it away",
}
SAID_OF_HUB = {
    **SAID,
    "is on tape; stage() asks for it": "is on tape, and the hub brings nothing from there; ask CTA",
    "; stage() asks for it": ", and the hub brings nothing from there; ask CTA",
    "are on tape, stage() asks for them": "are on tape, and the hub brings nothing from there; ask CTA",
    "name a folder there with --input_dir": "ask CTA for the right to it",
    "your proxy or token": "your token",
    "; see --proxy_status": OF_HUB,
    "; renew it, or correct TOKEN in Grid.conf": OF_HUB,
    "correct SERVER in Grid.conf, as https://HUB/services/downloadservice/webdav/": "correct CTADS_URL and CTACS_URL, "
    "as https://HUB/services/downloadservice/",
}


class Speaking:
    """Has errors in the words of who uses ctadata's names."""

    def __init__(self, words: dict[str, str]):
        self.words = words

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _frames: object) -> None:
        if isinstance(error, GridError):
            said = str(error)
            for theirs, ours in self.words.items():
                said = said.replace(theirs, ours)
            error.args = (said,)


class Given(NamedTuple):
    """What a call is given by name; else the environment says it."""

    token: str | None = None
    downloadservice: str | None = None
    certificateservice: str | None = None
    chunk_size: int | None = None  # means nothing any more


class GivenToken(Token):
    """A token that a program has handed over, and not where there is one."""

    def __init__(self, text: str, conf: Config):
        super().__init__(TOKEN, conf)
        self.source = "token="
        self.given = text

    def fetch(self, is_refused: bool) -> str:
        """That one, each time."""
        if not re.fullmatch(r"[!-~]+", self.given):
            raise CredentialError("token= is no usable token (one word, without Bearer); give another one")
        return self.given


def service_in(url: str, name: str) -> str:
    """Where a service is, as a variable or a keyword says."""
    if not (is_url(url) and url.startswith("https://")):
        raise UsageError(f"{name} is {bare(url)!r}; it must be as https://HUB/services/downloadservice/")
    return bare(url).rstrip("/")


def path_in(text: str) -> str:
    """A path as ctadata has them, from the root of the service."""
    if has_scheme(text):
        raise UsageError(f"{bare(text)} is a URL; give a path, as list_dir() gives them")
    return grid_path(text)


def config_of(name: str) -> Config:
    """The settings that the command line would have for a site."""
    config = conf_of(None)
    config.change({"SITE": name, "INPUTDIR": "", "INCLUDE": "", "EXCLUDE": ""})
    return config


class HubAccess(NamedTuple):
    """The services of a hub, and what is shown there."""

    settings: Settings
    token: Token | None

    def service(self) -> str:
        """Where the downloadservice is."""
        return self.settings.site.server.partition("/webdav")[0]

    def open(self) -> OpenSite:
        """The downloadservice as a site."""
        site = self.settings.site
        place = open_shown(site, "", self.token)
        return OpenSite(self.settings, place, path_in)


def hub_access(given: Given) -> HubAccess:
    """The hub that CTADS_URL names, else the site CTA; its token is that of the environment, or of the section."""
    config = config_of(HUB)
    settings = config.settings()
    site = settings.site._replace(base="")
    url, name = given.downloadservice, "downloadservice"
    if url is None:
        url, name = os.environ.get("CTADS_URL", ""), "CTADS_URL"
    if url:  # and no token of Grid.conf goes there
        server = f"{service_in(url, name)}/webdav"
        site = site._replace(server=server, engine="hub", token=TOKEN, credential="auto")
    if kind_of(site).module != "hub":
        raise UsageError(f"{config.path}: the site {HUB} is no hub; set ENGINE = hub, or name one with CTADS_URL")
    token = GivenToken(given.token, config) if given.token else token_of(settled(site, config)[0], config)
    if token:
        token.value()
        site = site._replace(token=site.token or TOKEN)
    return HubAccess(settings._replace(site=site), token)


def certificates_in(given: Given, access: HubAccess) -> str:
    """Where the certificateservice is: where CTACS_URL says, else at the same hub, as it is shown the same token."""
    url, name = given.certificateservice, "certificateservice"
    if url is None:
        url, name = os.environ.get("CTACS_URL", ""), "CTACS_URL"
    if url:
        return service_in(url, name)
    return f"{access.service().rpartition('/services/')[0]}/services/certificateservice"
