"""PROPFIND answers as dCache's door writes them, warts included: shuffled prefixes, properties without a namespace."""

from __future__ import annotations

import hashlib
import mimetypes
import random
import xml.etree.ElementTree as ET
from collections.abc import Callable
from email.utils import formatdate
from functools import lru_cache
from time import gmtime, strftime
from typing import NamedTuple, Optional
from urllib.parse import quote
from xml.sax.saxutils import escape

from tests.grid.tree import TAPE, File, Node, checksum

DAV = "DAV:"
SRM = "http://srm.lbl.gov/StorageResourceManager"
DCACHE = "http://www.dcache.org/2013/webdav"
HEADERS = {"Content-Type": "application/xml; charset=utf-8", "DAV": "1,2"}
ROOT = (
    '<?xml version="1.0" encoding="utf-8" ?>\n<d:multistatus xmlns:cal="urn:ietf:params:xml:ns:caldav" '
    'xmlns:cs="http://calendarserver.org/ns/" xmlns:card="urn:ietf:params:xml:ns:carddav" {}xmlns:d="DAV:">\n'
)

Name = tuple[str, str]  # namespace and local name
Value = Optional[str]  # XML inside the property; None: the resource does not have it


class Resource(NamedTuple):
    href: str
    path: str
    node: Node


def etag(path: str, mtime: float) -> str:
    """dCache's: the PNFSID and Java's hash of the date, which may be negative."""
    pnfsid = hashlib.md5(path.encode("utf-8", "surrogateescape")).hexdigest().upper().rjust(36, "0")
    stamp = int(mtime * 1000)
    hashed = (stamp ^ stamp >> 32) & 0xFFFFFFFF
    return f'"{pnfsid}_{hashed - (1 << 32) if hashed >> 31 else hashed}"'


@lru_cache(maxsize=100000)
def http_date(seconds: float) -> str:
    return formatdate(seconds, usegmt=True)


def _of_file(value: Callable[[File], Value]) -> Callable[[Resource], Value]:
    """A property that folders do not have."""
    return lambda resource: value(resource.node) if isinstance(resource.node, File) else None


def _etag(resource: Resource) -> Value:
    return escape(etag(resource.path, resource.node.mtime)) if isinstance(resource.node, File) else None


def _checksums(file: File) -> Value:
    return ",".join(f"{kind}={checksum(file, kind)}" for kind in file.checksums) or None


PROPERTIES: dict[Name, Callable[[Resource], Value]] = {
    (DAV, "creationdate"): lambda r: strftime("%Y-%m-%dT%H:%M:%SZ", gmtime(r.node.mtime)),
    (DAV, "getlastmodified"): lambda r: http_date(r.node.mtime),
    (DAV, "displayname"): lambda r: escape(r.node.name),
    (DAV, "resourcetype"): lambda r: "" if isinstance(r.node, File) else "<d:collection/>",
    (DAV, "getcontenttype"): _of_file(lambda file: mimetypes.guess_type(file.name)[0]),
    (DAV, "getcontentlength"): _of_file(lambda file: str(file.size)),
    (DAV, "getetag"): _etag,
    (SRM, "AccessLatency"): _of_file(lambda file: "NEARLINE" if file.locality.endswith(TAPE) else "ONLINE"),
    (SRM, "RetentionPolicy"): _of_file(lambda file: "CUSTODIAL" if file.locality.endswith(TAPE) else "REPLICA"),
    (SRM, "FileLocality"): _of_file(lambda file: file.locality),
    (DCACHE, "Checksums"): _of_file(_checksums),
}
DEFAULTS = [name for name in PROPERTIES if name[0] == DAV]


def encode(name: str) -> str:
    """A name in an href: only letters, digits and -_.* stay as they are."""
    return quote(name, safe="*", errors="surrogateescape").replace("~", "%7E")


def wanted(body: bytes) -> tuple[list[Name], bool]:
    """The properties a request asks for, and whether to name those that are missing (404)."""
    try:
        request = ET.fromstring(body)
    except ET.ParseError:
        return DEFAULTS, True
    if request.find("{DAV:}allprop") is not None:
        return list(PROPERTIES), False
    names = [_name(element.tag) for element in request.findall("{DAV:}prop/*")]
    return names or DEFAULTS, True


def _name(tag: str) -> Name:
    namespace, _, local = tag.rpartition("}")
    return namespace.lstrip("{"), local


def multistatus(resources: list[Resource], body: bytes) -> bytes:
    """The whole answer; all of it stands in memory before the first byte leaves, as at the real door."""
    names, with_missing = wanted(body)
    getters = [PROPERTIES.get(name, lambda resource: None) for name in names]
    rows = [[getter(resource) for getter in getters] for resource in resources]
    prefixes = _prefixes({name[0] for row in rows for name, value in zip(names, row) if value is not None})
    # A namespace that no known property has gets no prefix: its missing properties are in no namespace.
    tags = [f"{prefixes[ns]}:{local}" if ns in prefixes else local for ns, local in names]
    declared = "".join(f'xmlns:{prefix}="{ns}" ' for ns, prefix in prefixes.items() if ns != DAV)
    responses = [_response(r.href, tags, row, with_missing) for r, row in zip(resources, rows)]
    text = ROOT.format(declared) + "".join(responses) + "</d:multistatus>\n"
    return text.encode("utf-8", "surrogateescape")


def _prefixes(namespaces: set[str]) -> dict[str, str]:
    others = sorted(namespaces - {DAV})
    random.shuffle(others)
    return {DAV: "d", **{namespace: f"ns{i}" for i, namespace in enumerate(others, 1)}}


def _response(href: str, tags: list[str], row: list[Value], with_missing: bool) -> str:
    found = [f"<{t}>{v}</{t}>" if v else f"<{t}/>" for t, v in zip(tags, row) if v is not None]
    missing = [f"<{t}/>" for t, v in zip(tags, row) if v is None] if with_missing else []
    groups = _propstat(found, "200 OK") + _propstat(missing, "404 Not Found")
    return f"<d:response>\n<d:href>{escape(href)}</d:href>\n{groups}</d:response>\n"


def _propstat(properties: list[str], status: str) -> str:
    if not properties:
        return ""
    inner = "".join(properties)
    return f"<d:propstat><d:prop>\n{inner}\n</d:prop><d:status>HTTP/1.1 {status}</d:status></d:propstat>\n"
