"""What a WebDAV door says of the files in a folder: their checksums, times and sizes."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from typing import Any, Callable
from urllib.parse import unquote, urlsplit

from gridsync_parts.doors import MAX_ENTRIES, MISNAMED, MISSIZED, Listing
from gridsync_parts.doors.digests import digest_of
from gridsync_parts.doors.urls import mask_url
from gridsync_parts.errors import DoorError
from gridsync_parts.log import nothing
from gridsync_parts.values import LOCALITIES, UNFINISHED, Entry, Locality
from gridsync_parts.words import LONGEST, MONTHS, is_name, sane_time, seconds_of

PADDING = 1 << 20  # bytes of a listing beside its entries
PADDED = 16 << 10  # bytes of an entry, on average; a path has at most 4096, each of which may be written as three
NESTED = 100  # elements in elements of a listing
TERMS = 1000  # names of elements, attributes and namespaces in a listing
TOKEN = 1 << 20  # bytes of a tag or a comment
# Names in listings, as the parser writes them: namespace, brace, name.
RESPONSE, HREF, PROPSTAT, STATUS = "DAV:}response", "DAV:}href", "DAV:}propstat", "DAV:}status"
TYPE, COLLECTION, SIZE, MTIME = "DAV:}resourcetype", "DAV:}collection", "DAV:}getcontentlength", "DAV:}getlastmodified"
LOCALITY_PROPERTY = "http://srm.lbl.gov/StorageResourceManager}FileLocality"
CHECKSUMS_PROPERTY = "http://www.dcache.org/2013/webdav}Checksums"
ADLER_PROPERTY = "http://storm.italiangrid.org/2014/webdav}Checksum"
PROPERTIES = {SIZE, MTIME, LOCALITY_PROPERTY, CHECKSUMS_PROPERTY, ADLER_PROPERTY}
PLAIN = re.compile(r"/(?!/)[^?#\s]*")  # of the hrefs that are paths
PROPFIND = b"""<?xml version="1.0"?>
<propfind xmlns="DAV:" xmlns:s="http://srm.lbl.gov/StorageResourceManager" xmlns:c="http://www.dcache.org/2013/webdav"
 xmlns:t="http://storm.italiangrid.org/2014/webdav"><prop><resourcetype/><getcontentlength/><getlastmodified/>
<s:FileLocality/><c:Checksums/><t:Checksum/></prop></propfind>"""


def time_of(text: str) -> int:
    """The time that a header or property names; 0 if it is none."""
    try:
        if text[16:17] == " " and text[25:] == " GMT":  # as all doors write it; the library takes four times as long
            month = MONTHS.index(text[8:11]) + 1
            return sane_time(seconds_of(f"{text[12:16]}-{month:02d}-{text[5:7]}T{text[17:25]}Z"))
        import email.utils

        when = email.utils.parsedate_tz(text)
        return sane_time(email.utils.mktime_tz(when)) if when else 0
    except (TypeError, ValueError, OverflowError):
        return 0


def entry_of(path: str, is_folder: bool, properties: dict[str, str]) -> Entry:
    """An entry from its properties."""
    mtime = time_of(properties.get(MTIME, ""))
    if is_folder:
        return Entry(path, True, 0, mtime)
    size = properties.get(SIZE, "")
    checksums = properties.get(CHECKSUMS_PROPERTY, "")
    if properties.get(ADLER_PROPERTY):
        checksums = f"adler32={properties[ADLER_PROPERTY]}"
    if size and not re.fullmatch("[0-9]{1,18}", size):
        raise ValueError(MISSIZED.format(path, size[:100]))
    return Entry(
        path,
        False,
        int(size or UNFINISHED),
        mtime,
        digest_of(checksums),
        LOCALITIES.get(properties.get(LOCALITY_PROPERTY, ""), Locality.UNKNOWN),
    )


def refuse(*_: object) -> None:
    raise ValueError("it defines its own entities")


def new_parser(begin: Callable[..., None], end: Callable[[str], None], text: list[str], terms: dict[str, str]) -> Any:
    """A parser that tells of each tag, and keeps the text in between and the terms."""
    from xml.parsers import expat

    parser = expat.ParserCreate(None, "}", terms)
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = begin, end, text.append
    parser.StartDoctypeDeclHandler, parser.StartNamespaceDeclHandler = refuse, nothing  # so that these count as terms
    return parser


def parse(
    xml: Iterable[bytes | memoryview], parser: Any, text: list[str], terms: dict[str, str], taken: Callable[[], int]
) -> None:
    """Parse an answer as it comes, as long as it grows no more than what was taken of it is worth."""
    came = 0
    for chunk in xml:
        parser.Parse(chunk)
        came += len(chunk)
        if came - parser.CurrentByteIndex > TOKEN or sum(map(len, text)) > TOKEN:
            raise ValueError("it has an endless tag or text")
        if len(terms) > TERMS or came > PADDING + PADDED * taken():
            raise ValueError("it is full of things that are not files")
    parser.Parse(b"", True)


def take_responses(xml: Iterable[bytes | memoryview], take: Callable[[str, dict[str, str]], int]) -> None:
    """Read the answer to a PROPFIND as it comes: the href of each response is taken, and the properties that it has.

    ValueError if it makes no sense, or is longer than what was taken is worth, of which take says the number.
    """
    text: list[str] = []  # since the last tag
    href, is_found, depth, taken = "", False, 0, 0
    properties: dict[str, str] = {}  # of this propstat
    found: dict[str, str] = {}  # of all that were found

    def begin(name: str, attributes: object) -> None:
        nonlocal depth
        depth += 1
        if depth > NESTED:
            raise ValueError(f"its elements are nested more than {NESTED} deep")
        text.clear()

    def end(name: str) -> None:
        nonlocal href, is_found, depth, taken, properties, found
        depth -= 1
        if name in PROPERTIES:
            properties[name] = "".join(text).strip()
        elif name == STATUS:
            is_found = " 200 " in "".join(text) + " "
        elif name == PROPSTAT:
            if is_found:
                found.update(properties)
            properties, is_found = {}, False
        elif name == HREF:
            href = href or "".join(text).strip()
        elif name == RESPONSE:
            taken = take(href, found)
            href, found = "", {}
        elif name == COLLECTION:
            properties[TYPE] = "folder"

    terms: dict[str, str] = {}
    parse(xml, new_parser(begin, end, text, terms), text, terms, lambda: taken)


def path_of(href: str) -> str:
    """The path that a listing names, without the slash of a folder; of what is no URL, all of it."""
    with contextlib.suppress(ValueError):
        path = href if PLAIN.fullmatch(href) else urlsplit(href).path
        return unquote(path, errors="surrogateescape").rstrip("/")
    return href.rstrip("/")


def listing_of(xml: Iterable[bytes | memoryview], root: str, folder: str, url: str) -> Listing:
    """The entries in the answer to a PROPFIND."""
    from xml.parsers import expat

    asked = f"{root}/{folder}".rstrip("/")
    entries, is_there, place = Listing(), False, mask_url(unquote(url))

    def take(href: str, properties: dict[str, str]) -> int:
        nonlocal is_there
        path = path_of(href)
        is_folder = TYPE in properties
        is_there = is_there or path == asked
        if path == asked and is_folder:
            return 0
        ours, name = path[len(root) + 1 :], path[len(asked) + 1 :]
        if path != asked and not (path.startswith(asked + "/") and is_name(name)):
            entries.leave_out(f"/{path}", place, MISNAMED.format(path[:LONGEST]))
            return len(entries)
        if len(entries) >= MAX_ENTRIES:
            raise ValueError(f"it has more than {MAX_ENTRIES} entries")
        try:
            entries.append(entry_of(ours, is_folder, properties))
        except ValueError as error:
            entries.leave_out(ours, place, error)
        return len(entries)

    try:
        take_responses(xml, take)
        if not is_there:
            raise ValueError("the requested path is not in it")
    except (expat.ExpatError, LookupError, ValueError) as error:
        raise DoorError(
            f"{place}: the door's listing makes no sense: {error}; "
            "try ENGINE = gfal2 in Grid.conf",
            passing=True,
        ) from error
    return entries
