"""PROPFIND answers as dCache's and StoRM's doors write them, warts included; and what both know about files."""

from __future__ import annotations

import base64
import hashlib
import mimetypes
import random
import xml.etree.ElementTree as ET
import zlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from email.utils import formatdate
from functools import lru_cache
from typing import NamedTuple, Optional, Protocol
from urllib.parse import quote
from xml.sax.saxutils import escape

from tests.grid import tree
from tests.grid.tree import TAPE, File, Folder, Node

DAV = "DAV:"
SRM = "http://srm.lbl.gov/StorageResourceManager"
DCACHE = "http://www.dcache.org/2013/webdav"
STORM = "http://storm.italiangrid.org/2014/webdav"
DAV_HEADER = {"dcache": "1, 2", "storm": "1"}
ROOT = (
    '<?xml version="1.0" encoding="utf-8" ?><d:multistatus xmlns:cal="urn:ietf:params:xml:ns:caldav" '
    'xmlns:cs="http://calendarserver.org/ns/" xmlns:card="urn:ietf:params:xml:ns:carddav" {}xmlns:d="DAV:">'
)
CREATED = "2026-02-01T08:30:00Z"  # all of it, whatever mtime says

Name = tuple[str, str]  # namespace and local name
Value = Optional[str]  # XML inside the property; None: the resource does not have it


class Resource(NamedTuple):
    href: str
    path: str
    node: Node


class Style(Protocol):
    """How a door writes; Switches has these fields."""

    words: str
    digest_words: str
    digest_needs_want: bool
    checksum_prop: str
    adler_no_padding: bool
    locality_props: bool
    ns_prefix_shuffle: bool
    unprefixed_404_props: bool
    silent_empty_dir: Collection[str]
    listing_is_sorted: bool
    unreadable: Collection[str]


Getter = Callable[[Resource, Style], Value]


# == Files ==============================================================================================


@dataclass
class Upload(File):
    """A file that a client has written; its bytes stand here, in memory. Its checksum may be that of others."""

    data: bytes = b""
    adler32: str = ""

    def checksum(self, kind: str) -> str:
        if kind == "adler32":
            return self.adler32 or f"{zlib.adler32(self.data):08x}"
        return base64.b64encode(hashlib.new(kind.replace("-", ""), self.data).digest()).decode()


def content(file: File, start: int, stop: int) -> Iterator[memoryview]:
    """The bytes [start, stop) of any file."""
    if isinstance(file, Upload):
        return iter([memoryview(file.data)[start:stop]])
    return tree.content(file, start, stop)


def checksum(file: File, kind: str, style: Style) -> str:
    """A checksum as doors write it: adler32 in hex digits, 8 unless zeros in front get lost; md5 in base64."""
    value = file.checksum(kind) if isinstance(file, Upload) else tree.checksum(file, kind)
    return f"{int(value, 16):x}" if kind == "adler32" and style.adler_no_padding else value


def etag(path: str, mtime: float, style: Style) -> str:
    """dCache's: the PNFSID and Java's hash of the date, which may be negative. StoRM's shows where on its disk a file
    is, and stands in listings alone."""
    stamp = int(mtime * 1000)
    hashed = (stamp ^ stamp >> 32) & 0xFFFFFFFF
    hashed = hashed - (1 << 32) if hashed >> 31 else hashed
    if style.words == "storm":
        return f'"/storage/{path.strip("/")}_{hashed}"'
    pnfsid = hashlib.md5(path.encode("utf-8", "surrogateescape")).hexdigest().upper().rjust(36, "0")
    return f'"{pnfsid}_{hashed}"'


def wishes(headers: dict[str, str]) -> dict[str, dict[str, float]]:
    """The checksums that a reader wants, by our names, and how much: in the old words and in those of RFC 9530."""
    found: dict[str, dict[str, float]] = {}
    for words, header, mark in (("old", "want-digest", ";q="), ("rfc9530", "want-repr-digest", "=")):
        for wish in filter(None, headers.get(header, "").lower().split(",")):
            kind, _, weight = wish.strip().partition(mark)
            found.setdefault(words, {})["adler32" if kind == "adler" else kind] = float(weight or 1)
    return found


def digest_header(headers: dict[str, str], file: File, style: Style) -> dict[str, str]:
    """The one stored checksum that is wanted most, of several md5 before adler32; StoRM asks for no wish."""
    found = {}
    for words in ("old", "rfc9530") if style.digest_words == "both" else (style.digest_words,):
        wanted = wishes(headers).get(words, {}) if style.digest_needs_want else {"adler32": 1.0}
        stored = [(weight, kind) for kind, weight in wanted.items() if kind in file.checksums and weight]
        if not stored:
            continue
        kind = max(stored)[1]
        value = checksum(file, kind, style)
        if words == "old":
            found["Digest"] = f"{kind}={value}"
        elif kind == "adler32":
            found["Repr-Digest"] = f"adler=:{base64.b64encode(int(value, 16).to_bytes(4, 'big')).decode()}:"
        else:
            found["Repr-Digest"] = f"{kind}=:{value}:"
    return found


@lru_cache(maxsize=100000)
def http_date(seconds: float) -> str:
    return formatdate(seconds, usegmt=True)


def walk(resource: Resource, depth: int, style: Style) -> Iterator[Resource]:
    """A resource and what is below it; what cannot be read looks empty."""
    yield resource
    if not isinstance(resource.node, Folder) or depth == 0:
        return
    if resource.path.strip("/") in {*style.silent_empty_dir, *style.unreadable}:
        return
    children = list(resource.node.children.values())
    if not style.listing_is_sorted:
        children.sort(key=lambda child: zlib.crc32(child.name.encode("utf-8", "surrogateescape")))
    for child in children:
        slash = "/" if isinstance(child, Folder) else ""
        href = resource.href + encode(child.name) + slash
        yield from walk(Resource(href, f"{resource.path}/{child.name}", child), depth - 1, style)


# == Properties =========================================================================================


def _of_file(value: Callable[[File], Value]) -> Getter:
    """A property that folders do not have."""
    return lambda resource, style: value(resource.node) if isinstance(resource.node, File) else None


def _etag(resource: Resource, style: Style) -> Value:
    return escape(etag(resource.path, resource.node.mtime, style))


def _type(resource: Resource, style: Style) -> Value:
    """dCache calls a file's null."""
    if isinstance(resource.node, Folder):
        return "<d:collection/>"
    return None if style.words == "dcache" else ""


def _content_type(resource: Resource, style: Style) -> Value:
    is_file = isinstance(resource.node, File)
    return mimetypes.guess_type(resource.node.name)[0] if is_file else "text/html; charset=utf-8"


def _length(resource: Resource, style: Style) -> Value:
    """StoRM's folders have one, which is empty."""
    if isinstance(resource.node, File):
        return str(resource.node.size)
    return "" if style.words == "storm" else None


def _checksums(resource: Resource, style: Style) -> Value:
    """dCache's list of all that are stored."""
    file = resource.node
    if not isinstance(file, File):
        return None
    return ",".join(f"{kind}={checksum(file, kind, style)}" for kind in file.checksums) or None


def _checksum(resource: Resource, style: Style) -> Value:
    """StoRM's bare adler32, empty where none is stored."""
    file = resource.node
    if not isinstance(file, File):
        return None
    return checksum(file, "adler32", style) if "adler32" in file.checksums else ""


COMMON: dict[Name, Getter] = {
    (DAV, "creationdate"): lambda r, style: CREATED,
    (DAV, "getlastmodified"): lambda r, style: http_date(r.node.mtime),
    (DAV, "displayname"): lambda r, style: escape(r.node.name),
    (DAV, "resourcetype"): _type,
    (DAV, "getcontenttype"): _content_type,
    (DAV, "getcontentlength"): _length,
    (DAV, "getetag"): _etag,
}
LOCALITY: dict[Name, Getter] = {
    (SRM, "AccessLatency"): _of_file(lambda file: "NEARLINE" if file.locality.endswith(TAPE) else "ONLINE"),
    (SRM, "RetentionPolicy"): _of_file(lambda file: "CUSTODIAL" if file.locality.endswith(TAPE) else "REPLICA"),
    (SRM, "FileLocality"): _of_file(lambda file: file.locality),
}
CHECKSUM: dict[str, dict[Name, Getter]] = {
    "dcache": {(DCACHE, "Checksums"): _checksums},
    "storm": {(STORM, "Checksum"): _checksum},
    "empty": {(DCACHE, "Checksums"): _of_file(lambda file: "")},
    "absent": {},
}


def _properties(style: Style) -> dict[Name, Getter]:
    return {**COMMON, **(LOCALITY if style.locality_props else {}), **CHECKSUM[style.checksum_prop]}


def encode(name: str) -> str:
    """A name in an href: only letters, digits and -_.* stay as they are."""
    return quote(name, safe="*", errors="surrogateescape").replace("~", "%7E")


def _wanted(body: bytes, known: dict[Name, Getter]) -> tuple[list[Name], bool]:
    """The properties a request asks for, and whether to name those that are missing (404)."""
    try:
        request = ET.fromstring(body)
    except ET.ParseError:
        return list(COMMON), True
    if request.find("{DAV:}allprop") is not None:
        return list(known), False
    names = [_name(element.tag) for element in request.findall("{DAV:}prop/*")]
    return names or list(COMMON), True


def _name(tag: str) -> Name:
    namespace, _, local = tag.rpartition("}")
    return namespace.lstrip("{"), local


def multistatus(resources: list[Resource], body: bytes, style: Style) -> bytes:
    """The whole answer; all of it stands in memory before the first byte leaves, as at the real door."""
    known = _properties(style)
    names, with_missing = _wanted(body, known)
    getters = [known.get(name, lambda resource, style: None) for name in names]
    rows = [[getter(resource, style) for getter in getters] for resource in resources]
    used = {name[0] for row in rows for name, value in zip(names, row) if value is not None}
    prefixes = _prefixes(used if style.unprefixed_404_props else {ns for ns, _ in names}, style)
    # A namespace that no known property has gets no prefix: its missing properties are in no namespace.
    tags = [f"{prefixes[ns]}:{local}" if ns in prefixes else local for ns, local in names]
    declared = "".join(f'xmlns:{prefix}="{ns}" ' for ns, prefix in prefixes.items() if ns != DAV)
    responses = [_response(r.href, tags, row, with_missing) for r, row in zip(resources, rows)]
    text = ROOT.format(declared) + "".join(responses) + "</d:multistatus>"
    return text.encode("utf-8", "surrogateescape")


def _prefixes(namespaces: set[str], style: Style) -> dict[str, str]:
    others = sorted(namespaces - {DAV, ""})
    if style.ns_prefix_shuffle:
        random.shuffle(others)
    return {DAV: "d", **{namespace: f"ns{i}" for i, namespace in enumerate(others, 1)}}


def _response(href: str, tags: list[str], row: list[Value], with_missing: bool) -> str:
    found = [f"<{t}>{v}</{t}>" if v else f"<{t}/>" for t, v in zip(tags, row) if v is not None]
    missing = [f"<{t}/>" for t, v in zip(tags, row) if v is None] if with_missing else []
    groups = _propstat(found, "200 OK") + _propstat(missing, "404 Not Found")
    return f"<d:response><d:href>{escape(href)}</d:href>{groups}</d:response>"


def _propstat(properties: list[str], status: str) -> str:
    if not properties:
        return ""
    inner = "".join(properties)
    return f"<d:propstat><d:prop>{inner}</d:prop><d:status>HTTP/1.1 {status}</d:status></d:propstat>"
