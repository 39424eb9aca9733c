"""The kinds of sites: which of them ENGINE or the scheme of SERVER means, what it needs and what it can."""

from __future__ import annotations

import enum
import re
from typing import NamedTuple

from gridsync_parts.errors import UsageError
from gridsync_parts.sites import blank_of
from gridsync_parts.table import Site
from gridsync_parts.words import nearest, scheme_of


class Credential(enum.Enum):
    """What a site is shown."""

    ANY = "proxy, or TOKEN"
    PROXY = "proxy"
    TOKEN = "TOKEN"
    MAYBE_TOKEN = "TOKEN, or nothing"
    KEYS = "keys of ssh"
    PASSWORD = "user name and password"
    NONE = "nothing"


class Can(NamedTuple):
    """What a kind of site can do, as far as no verb shows it."""

    checksums: tuple[str, ...]  # that it may name
    tape: bool  # there may be a tape service
    writes: bool = False  # it takes files,
    renames: bool = False  # gives one another name,
    removes: bool = True  # and takes one away again
    copies: bool = False  # it copies from and to other doors
    by_record: bool = False  # its tape is asked for a record at a time, gives no number, and pins nothing for anybody


class Kind(NamedTuple):
    """A row of KINDS."""

    engine: str  # the value of ENGINE
    schemes: tuple[str, ...]  # of SERVER
    what: str  # there may be at the other end
    module: str  # in doors/, whose open_place() opens such a site
    credential: Credential
    can: Can
    packages: tuple[str, ...] = ()  # of Python, which it needs,
    remedy: str = ""  # and how to get them
    token: str = ""  # where its token lies, unless TOKEN says it


OPEN_DATA, INVENIO = "opendata", "invenio"  # engines of sites whose INPUTDIR names records
UNTRIED = "not tested"
WEB = ("https", "davs", "http", "dav")
STRONG = ("sha512", "sha256", "sha1", "md5", "adler32")
KEEPING = ("root", "roots", "xroot", "xroots")  # with gfal2 they keep a token from hosts that it is not for
GFAL2 = Kind(
    "gfal2", KEEPING, "XRootD, dCache", "gfal", Credential.PROXY,
    Can(("adler32", "md5"), tape=False), ("gfal2",),
    "on Debian: apt install python3-gfal2 gfal2-plugin-http gfal2-plugin-xrootd xrootd-plugins",
)  # fmt: skip
# ENGINE = auto means the first with the scheme.
KINDS = (
    Kind(
        "http", WEB, "WebDAV: dCache, StoRM, XRootD", "webdav", Credential.ANY,
        Can(STRONG, tape=True, writes=True, renames=True, copies=True),
    ),
    GFAL2._replace(schemes=WEB, what="the same through gfal2", can=GFAL2.can._replace(tape=True)),
    GFAL2._replace(credential=Credential.ANY),
    Kind(
        "ssh", ("sftp",), "a machine with ssh", "ssh", Credential.KEYS,
        Can((), tape=False, writes=True, renames=True),
    ),
    Kind(
        "ftps", ("ftps",), "FTP with TLS: proftpd, pure-ftpd, vsftpd", "ftps", Credential.PASSWORD,
        Can((), tape=False, writes=True, renames=True),
    ),
    GFAL2._replace(schemes=("file",), what="a folder of this machine", credential=Credential.NONE),
    GFAL2._replace(schemes=("srm",), what=f"SRM, {UNTRIED}", can=GFAL2.can._replace(tape=True)),
    GFAL2._replace(schemes=("gsiftp", "dcap", "gsidcap"), what=UNTRIED),
    Kind(
        "hub", ("https",), "CTA's download service on a JupyterHub", "hub", Credential.TOKEN,
        Can(STRONG, tape=False, writes=True, removes=False), token="env:JUPYTERHUB_API_TOKEN",
    ),
    Kind(
        OPEN_DATA, ("https",), "the CERN Open Data portal", "opendata", Credential.NONE,
        Can(("adler32",), tape=True, by_record=True), ("requests",),
        "on Debian: apt install python3-requests",
    ),
    Kind(
        INVENIO, ("https",), "a repository of Invenio's kind: Zenodo, NRP", "invenio", Credential.MAYBE_TOKEN,
        Can(("md5",), tape=False, writes=True), ("requests",),
        "on Debian: apt install python3-requests",
    ),
)  # fmt: skip
ENGINES = tuple(dict.fromkeys(kind.engine for kind in KINDS))
SCHEMES = tuple(dict.fromkeys(scheme for kind in KINDS for scheme in kind.schemes))


def is_tried(kind: Kind) -> bool:
    """Whether tests try it at a real server."""
    return UNTRIED not in kind.what


def is_portal(engine: str) -> bool:
    """Whether INPUTDIR of such a site names records, and no folder."""
    return engine in (OPEN_DATA, INVENIO)


def find_kind(engine: str, scheme: str) -> Kind | None:
    """What an ENGINE, or auto, and a scheme of SERVER mean; None for nothing that is known."""
    return next((kind for kind in KINDS if engine in ("auto", kind.engine) and scheme in kind.schemes), None)


ALIKE = {"scp": "sftp", "ssh": "sftp"}  # what people write who mean it


def scheme_error(scheme: str) -> str:
    """What is wrong with a scheme that there is no kind for."""
    if scheme in ALIKE:
        return f"{scheme}:// is not known; did you mean {ALIKE[scheme]}://"
    if scheme == "ftp":
        return "ftp:// would send passwords and data for all to read; use ftps://, if the server has it"
    known = ", ".join(dict.fromkeys(kind.schemes[0] for kind in KINDS if is_tried(kind)))
    return f"{scheme}:// is not known" + (nearest(scheme, SCHEMES) or f"; gridsync speaks {known}")


def kind_of(site: Site) -> Kind:
    """The kind of a site that is to be spoken to."""
    kind = find_kind(site.engine, scheme_of(site.server))
    if blank := blank_of(site):
        raise UsageError(
            f"SERVER of the site {site.name} is not complete; write {blank} in its section of Grid.conf, which "
            f"--from={site.name} without an action makes"
        )
    if site.engine != "hub" and re.search("/services/[^/]+/webdav(/|$)", f"{site.server}/{site.base}"):
        raise UsageError(
            f"SERVER of the site {site.name} is a service of a hub; set ENGINE = hub in its section of Grid.conf, and "
            "SERVER = https://HUB/services/downloadservice/webdav/"
        )
    assert kind  # else Grid.conf was refused
    return kind


def asks_by_record(site: Site) -> bool:
    """Whether the tape of a site is asked for a record at a time."""
    kind = find_kind(site.engine, scheme_of(site.server))
    return bool(kind and kind.can.by_record)


def is_repository(site: Site) -> bool:
    """Whether what a site is sent becomes records."""
    return site.engine == INVENIO


def needs_token(site: Site) -> bool:
    """Whether a site with TOKEN can do nothing without one."""
    return kind_of(site).credential is not Credential.MAYBE_TOKEN


def needs_gfal2(site: Site) -> bool:
    """Whether gfal2 speaks to a site, or brings its bytes."""
    return site.engine == GFAL2.engine or site.bytes_by == "root"


def needs_proxy(site: Site) -> bool:
    """Whether a site is shown a proxy."""
    takes_one = kind_of(site).credential in (Credential.ANY, Credential.PROXY)
    return takes_one and not site.token and site.credential in ("auto", "proxy")
