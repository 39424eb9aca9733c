"""A record of a repository of Invenio's kind: its files, as its JSON tells of them, and what of that is kept."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from gridsync_parts.checksums import Checksum
from gridsync_parts.doors import MISSIZED, ODDITIES, TOO_LARGE
from gridsync_parts.doors.record import NAME, Held, folders_of, list_in, text_in, time_in
from gridsync_parts.errors import DoorError, FileError, brief
from gridsync_parts.words import is_name, is_utf8

OWN_NAME = "repository.json"  # the record itself, where one of its files has the usual name
LEFT_OUT = "{place}: {reason}; it is left out, ask the repository"
SENSELESS = "{place}: the repository's answer makes no sense ({reason}); try again later, or ask the repository"
WHOLE = "fetch the whole zip, as one of the files of its record"
CHECKSUM = re.compile("(?:md5:[0-9a-f]{32}|sha1:[0-9a-f]{40}|sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})")
# What a repository says of a record that changes by itself, or says the same in other words.
CHANGING = frozenset((
    "links", "stats", "revision_id", "revision", "updated", "modified", "versions", "errors", "expires_at", "is_draft",
    "is_published", "status", "state", "submitted", "ui", "swh", "recid", "conceptrecid", "owners", "media_files",
    "deletion_status", "permissions",
))  # fmt: skip
Made = Callable[[Mapping[str, Any], str], str]  # the URL that a file has, by what is told of it and by its name


class Record(NamedTuple):
    """What a repository says of a record."""

    id: str  # as the repository calls it, whatever it was asked for
    title: str
    dois: frozenset[str]  # in small letters
    mtime: int
    is_draft: bool
    files: dict[str, Held]  # by their names, the record itself among them
    zips: dict[str, str]  # of its files, those whose members the repository can list, and where it does
    odd: dict[str, FileError]  # what can't be right, by name; one that no row can have begins with a slash
    text: bytes  # the record itself


class Members(NamedTuple):
    """What is in a zip of a record."""

    files: dict[str, Held]
    odd: dict[str, FileError]


def senseless(place: str, reason: object) -> DoorError:
    """The sentence for what can't be a record."""
    return DoorError(SENSELESS.format(place=place, reason=brief(str(reason))), passing=True)


def id_in(document: Any) -> str:
    """What the repository calls a record."""
    found = document.get("id") if isinstance(document, dict) else None
    text = str(found) if isinstance(found, int) and not isinstance(found, bool) else found
    if not isinstance(text, str) or not re.fullmatch(r"[A-Za-z0-9][\w.-]{0,99}", text, re.ASCII):
        raise ValueError("it has no id")
    return text


def link_in(facts: Mapping[str, Any], name: str) -> str:
    """One of its links, or empty."""
    links = facts.get("links")
    return text_in(links, name) if isinstance(links, dict) else ""


def dict_in(facts: Mapping[str, Any], name: str) -> dict[str, Any]:
    """An object in it, which may be missing."""
    found = facts.get(name)
    return found if isinstance(found, dict) else {}


def dois_of(document: Mapping[str, Any]) -> set[str]:
    """The DOIs of a record, and of all its versions together, in small letters."""
    found = {text_in(document, "doi"), text_in(document, "conceptdoi"), text_in(dict_in(document, "metadata"), "doi")}
    for facts in (document, dict_in(document, "parent")):
        found.add(text_in(dict_in(dict_in(facts, "pids"), "doi"), "identifier"))
    return {doi.lower() for doi in found if doi}


def title_of(document: Mapping[str, Any]) -> str:
    """Its title."""
    return text_in(dict_in(document, "metadata"), "title") or text_in(document, "title")


def has_files(document: Mapping[str, Any]) -> bool:
    """Whether it has files, and not metadata alone."""
    return dict_in(document, "files").get("enabled") is not False


# Its files.


def checksum_in(facts: Mapping[str, Any]) -> str:
    """Its checksum; empty where it has none, or one of the parts in which it came."""
    found = text_in(facts, "checksum").lower()
    return found if CHECKSUM.fullmatch(found) else ""


def crc_in(facts: Mapping[str, Any]) -> str:
    """The CRC of a member of a zip; empty where none is told."""
    crc = facts.get("crc")
    is_one = isinstance(crc, int) and not isinstance(crc, bool) and 0 <= crc < 1 << 32
    return f"crc32:{crc:08x}" if is_one else ""


class Names:
    """Files by their names, while they are read; those that can't be right are named."""

    def __init__(self, place: str):
        self.place = place
        self.files: dict[str, Held] = {}
        self.odd: dict[str, FileError] = {}

    def leave_out(self, name: str, reason: str) -> None:
        """Name one that can't be right."""
        if len(self.odd) == ODDITIES:
            raise ValueError(f"{reason}, and so on")
        is_plain = name not in self.files and is_utf8(name) and all(map(is_name, name.split("/")))
        self.odd[name if is_plain else f"/{name}"] = FileError(LEFT_OUT.format(place=self.place, reason=reason))

    def take(self, facts: Mapping[str, Any], url: str, checksum: str) -> bool:
        """Take in what is said of one; whether it can be right."""
        name, size = text_in(facts, "key"), facts.get("size")
        if not name or not is_utf8(name) or not all(map(is_name, name.split("/"))):
            self.leave_out(name, f"the name {brief(repr(name))} cannot be right")
        elif text_in(facts, "status") not in ("", "completed"):
            self.leave_out(name, f"{name} has not come to the repository wholly")
        elif not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < TOO_LARGE:
            self.leave_out(name, MISSIZED.format(name, brief(repr(size))))
        elif name in self.files:
            self.leave_out(f"/{name}", f"{name} is listed twice")
            del self.files[name]
        else:
            self.files[name] = Held(name, url, size, checksum, True)
            return True
        return False

    def end(self) -> None:
        """Leave out those whose name is the folder of another one, and put the others into order."""
        for name in sorted(folders_of(self.files) & self.files.keys()):
            del self.files[name]
            self.leave_out(f"/{name}", f"{name} is a file, and a folder of other files as well")
        self.files = dict(sorted(self.files.items()))


def members_of(answer: Any, place: str, url: Made) -> Members:
    """What is in a zip, as the repository lists it."""
    names = Names(place)
    try:
        entries = list_in(answer, "entries")
        if answer.get("truncated"):
            total, some = answer.get("total", "more"), len(entries)
            raise FileError(f"{place}: has {total} members, of which the repository lists {some}; {WHOLE}")
        for facts in entries:
            names.take(facts, url(facts, text_in(facts, "key")), crc_in(facts))
        names.end()
    except (ValueError, TypeError, AttributeError) as error:
        raise senseless(place, error) from error
    return Members(names.files, names.odd)


# The record itself.


def kept_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of it: all but what changes by itself, and the list of its files, which is told apart."""
    kept = {key: value for key, value in document.items() if key not in CHANGING}
    parent = dict_in(document, "parent")
    for name, value in (("parent", {"id": parent.get("id")} if parent else None), ("files", None)):
        kept.pop(name, None)
        if value:
            kept[name] = value
    kept["files"] = {"enabled": has_files(document)}
    return kept


def record_text(document: Mapping[str, Any]) -> bytes:
    """The record as a file: it stays the same as long as the record does, and can go out again as metadata."""
    text = json.dumps(kept_of(document), ensure_ascii=False, sort_keys=True, indent=1)
    return text.encode("utf-8", "backslashreplace") + b"\n"  # a half of a character as JSON can have it


def with_itself(files: Mapping[str, Held], text: bytes) -> dict[str, Held]:
    """The files and the record itself, which gives way to a file that has its name."""
    above = {name.partition("/")[0] for name in files}
    name = next((name for name in (NAME, OWN_NAME) if name not in above), "")
    made = Checksum("md5")
    made.update(text)
    own = {name: Held(name, "", len(text), made.text(), True)} if name else {}
    return dict(sorted({**files, **own}.items()))


def record_of(document: Any, entries: Iterable[dict[str, Any]], place: str, url: Made, is_draft: bool) -> Record:
    """A record from what the repository answers about it, and about its files."""
    try:
        id, names, zips = id_in(document), Names(place), {}
        for facts in entries:
            if names.take(facts, url(facts, text_in(facts, "key")), checksum_in(facts)):
                zips[text_in(facts, "key")] = link_in(facts, "container")
        names.end()
        text = record_text(document)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise senseless(place, error) from error
    zips = {name: link for name, link in zips.items() if link and name in names.files}
    mtime = time_in(text_in(document, "created"))
    files, dois = with_itself(names.files, text), frozenset(dois_of(document))
    return Record(id, title_of(document), dois, mtime, is_draft, files, zips, names.odd, text)


def entries_in(answer: Any) -> Iterator[dict[str, Any]]:
    """The files in an answer: a list of them, or by their names."""
    found = answer.get("entries") if isinstance(answer, dict) else None
    if isinstance(found, dict):
        found = [{"key": key, **facts} for key, facts in found.items() if isinstance(facts, dict)]
    yield from list_in({"entries": found}, "entries")
