"""A record of the CERN Open Data portal: its files, as its JSON tells of them, and what of that is kept.

What tape changes stands in `_files` and `_file_indices`; where files are says `files` as it was once, and never again.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from gridsync_parts.checksums import Checksum
from gridsync_parts.doors import MISSIZED, ODDITIES, TOO_LARGE, Listing
from gridsync_parts.errors import DoorError, FileError, brief
from gridsync_parts.values import Entry, Locality
from gridsync_parts.words import is_name, is_utf8, sane_time, seconds_of

NAME = "record.json"  # the record itself, among its files
TOP = "eos/opendata"  # what all of the portal's files are below
STORE = "eospublic.cern.ch"  # the server that has them
RECID = r"[A-Za-z0-9][\w.-]{0,99}"
URI = re.compile(r"(?:x?roots?|https?)://([^/@?#]*)/(.*)", re.DOTALL | re.IGNORECASE)
ADLER = re.compile("(?:adler32:)?([0-9a-f]{1,8})", re.IGNORECASE)
LEFT_OUT = "{recid}: {reason}; it is left out, ask the portal"
SENSELESS = "{recid}: the portal's answer about it makes no sense ({reason}); try again later, or ask the portal"
WRITER = json.JSONEncoder(ensure_ascii=False, sort_keys=True)
# What the portal writes anew when a file goes to tape or comes from there.
CHANGING = frozenset(("availability", "_availability_details"))


class Held(NamedTuple):
    """A file of a record."""

    name: str  # below the folder of the record; with folders of its uri where other files have the same name
    uri: str
    size: int
    checksum: str  # empty where the record has none
    online: bool  # it is on disk
    index: str = ""  # type: ignore[assignment] # the key of the file index that it stands in, if any


class Record(NamedTuple):
    """What the portal says of a record."""

    recid: str  # as the portal calls it, whatever it was asked for
    title: str
    doi: str
    mtime: int
    files: dict[str, Held]  # by their names, the record itself among them
    odd: dict[str, FileError]  # what can't be right, by name; one that no row can have begins with a slash
    text: bytes  # record.json


class Index(NamedTuple):
    """A list of files of a record, which has a name of its own."""

    key: str
    files: list[Any] | None  # None where they are to be asked for
    number: int  # of files, as far as it is said
    online: bool  # what is on disk, where files do not say it


def senseless(recid: str, reason: object) -> DoorError:
    """The sentence for what can't be a record."""
    return DoorError(SENSELESS.format(recid=recid, reason=brief(str(reason))), passing=True)


def list_in(facts: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """A list of objects, which may be missing."""
    found = facts.get(key)
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise ValueError(f"{key} is no list of objects")
    return found


def text_in(facts: Mapping[str, Any], key: str) -> str:
    """A text, or empty."""
    found = facts.get(key)
    return found if isinstance(found, str) else ""


def is_online(facts: Mapping[str, Any], otherwise: bool) -> bool:
    """Whether something is on disk, as it says; the portal spells on demand in two ways."""
    word = text_in(facts, "availability")
    return word == "online" if word else otherwise


def is_record_online(metadata: Mapping[str, Any]) -> bool:
    """Whether its files are on disk, where neither they nor their index say it."""
    distribution = metadata.get("distribution")
    once = text_in(distribution, "availability") if isinstance(distribution, dict) else ""
    word = text_in(metadata, "availability") or once  # which was written once
    return word.replace(" ", "") != "ondemand"


def metadata_of(answer: Any) -> dict[str, Any]:
    """What an answer says of a record."""
    found = answer.get("metadata") if isinstance(answer, dict) else None
    if not isinstance(found, dict):
        raise ValueError("it has no metadata")
    return found


def recid_of(answer: Any) -> str:
    """What the portal calls a record: its own word, not the old number that it may have been asked for."""
    for found in (metadata_of(answer).get("recid"), answer.get("id")):
        text = str(found) if isinstance(found, int) and not isinstance(found, bool) else found
        if isinstance(text, str) and re.fullmatch(RECID, text, re.ASCII):
            return text
    raise ValueError("it has no recid")


# Where its files are listed.


def is_index(facts: Mapping[str, Any]) -> bool:
    """Whether what stands among files is a list of files."""
    names = [text_in(facts, key) for key in ("key", "filename", "uri")]
    is_named = any(name.endswith(("_file_index.json", "_file_index.txt")) for name in names)
    return is_named or text_in(facts, "type") in ("index.json", "index.txt")


def old_indices(metadata: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The indices among the files of an older record; each is there as text, too."""
    found = {}
    for name in ("_files", "files", "index_files"):
        for facts in filter(is_index, list_in(metadata, name)):
            key = text_in(facts, "key") or text_in(facts, "uri").rpartition("/")[2]
            if key.endswith(".json"):
                found[key] = {**facts, "key": key}
    return list(found.values())


def indices_of(metadata: Mapping[str, Any]) -> list[Index]:
    """Its lists of files that have names; older records have them among the files."""
    record_online = is_record_online(metadata)
    found = []
    for facts in list_in(metadata, "_file_indices") or old_indices(metadata):
        files, counts = facts.get("files"), facts.get("availability")
        online = bool(counts.get("online")) or not counts if isinstance(counts, dict) else record_online
        number = facts.get("number_files")
        number = number if isinstance(number, int) else 0
        is_whole = isinstance(files, list) and len(files) >= number
        found.append(Index(text_in(facts, "key"), files if is_whole else None, number, online))
    return found


def lacking(answer: Any) -> list[str]:
    """The keys of its indices whose files are not in the answer."""
    keys = [index.key for index in indices_of(metadata_of(answer)) if index.files is None]
    for key in keys:
        if not is_utf8(key):
            raise ValueError(f"a file index is called {brief(repr(key))}")
    return keys


def listed(metadata: Mapping[str, Any], more: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], str, bool]]:
    """Its files, the index that each stands in, and whether it is on disk."""
    indices = indices_of(metadata)
    record_online = is_record_online(metadata)
    own = list_in(metadata, "_files")
    is_told = bool(own or (metadata.get("_files") is not None and indices))
    for facts in own if is_told else list_in(metadata, "files"):
        if not is_index(facts):
            yield facts, "", is_online(facts, record_online)
    for index in indices:
        files = {"files": index.files} if index.files is not None else more.get(index.key)
        found = list_in(files if isinstance(files, dict) else {}, "files")
        if len(found) < index.number:
            raise ValueError(f"the file index {index.key} has {len(found)} of {index.number} files")
        for facts in found:
            yield facts, index.key, is_online(facts, index.online)


# What each of them is.


@functools.lru_cache(maxsize=1024)  # of the folders of a record, which are few
def folder_of(uri: str, hosts: tuple[str, ...]) -> str:
    """The path of a folder's uri at the portal's store; ValueError with the reason if it is none of the portal's."""
    found = URI.fullmatch(uri)
    if not found:
        raise ValueError("is no uri of a file")
    parts = [part for part in found[2].split("/") if part]
    where = "/".join(parts)
    if not f"{where}/".startswith(f"{TOP}/"):
        raise ValueError(f"is not below /{TOP}/")
    if hosts and re.sub(":[0-9]*$", "", found[1]).lower() not in hosts:
        raise ValueError("is at another host")
    if not all(map(is_name, parts)):
        raise ValueError("cannot be right")
    return where


def path_of(uri: str, hosts: tuple[str, ...] = ()) -> str:
    """The path of a file's uri there; ValueError with the reason."""
    try:
        uri.encode()  # JSON can have what no name has
        folder, _, name = uri.rpartition("/")
        where = folder_of(folder, hosts)
        if not is_name(name):
            raise ValueError("cannot be right")
    except UnicodeError:
        raise ValueError(f"{brief(uri)!r} cannot be right") from None
    except ValueError as error:
        raise ValueError(f"{brief(uri)!r} {error}") from None
    return f"{where}/{name}"


def checksum_in(facts: Mapping[str, Any]) -> str:
    """Its adler32, of which older records have fewer digits or no name; empty if there is none."""
    found = ADLER.fullmatch(text_in(facts, "checksum").strip())
    return f"adler32:{int(found[1], 16):08x}" if found else ""


def folders_of(names: Iterable[str]) -> set[str]:
    """The folders that there must be for files with these names."""
    found: set[str] = set()
    for name in names:
        while "/" in name and (name := name.rpartition("/")[0]) not in found:
            found.add(name)
    return found


def names_of(paths: Iterable[str]) -> dict[str, str]:
    """The names of files by their paths: the last part, and before it the folders that it takes to tell them apart.

    They hang on the paths alone, not on their order. A path whose name would be the folder of another one has none.
    """
    groups: dict[str, list[str]] = {}
    for path in paths:
        groups.setdefault(path.rpartition("/")[2], []).append(path)
    names: dict[str, str] = {}
    for last, some in groups.items():
        depth = 1 + (last == NAME)
        if len(some) == 1 and last != NAME:
            names[some[0]] = last
            continue
        split = {path: path.split("/")[2:] for path in some}  # below TOP
        while len({"/".join(parts[-depth:]) for parts in split.values()}) < len(some):
            depth += 1
        names.update((path, "/".join(parts[-depth:])) for path, parts in split.items())
    folders = folders_of(names.values())
    if NAME in folders or not folders.isdisjoint(names.values()):
        names = {path: path[len(TOP) + 1 :] for path in names}
        folders = folders_of(names.values())
    return {path: name for path, name in names.items() if name not in folders and name.split("/")[0] != NAME}


class Files:
    """The files of a record, while they are read."""

    def __init__(self, recid: str):
        self.recid = recid
        self.found: dict[str, Held] = {}  # by their paths
        self.left: list[tuple[str, str]] = []  # uris that can't be right, and why

    def leave_out(self, uri: str, reason: str) -> None:
        """Name one that can't be right."""
        if len(self.left) == ODDITIES:
            raise ValueError(f"{reason}, and so on")
        self.left.append((uri, reason))

    def odd(self, named: Mapping[str, Held]) -> dict[str, FileError]:
        """What can't be right, by names that nothing else has."""
        found: dict[str, FileError] = {}
        for uri, reason in self.left:
            name = uri.rpartition("/")[2]
            name = name if is_name(name) and name != NAME and not {name} & (named.keys() | found.keys()) else f"/{uri}"
            found[name] = FileError(LEFT_OUT.format(recid=self.recid, reason=reason))
        return found

    def take(self, facts: Mapping[str, Any], index: str, online: bool, hosts: tuple[str, ...]) -> None:
        """Take in what is said of one."""
        uri, size = text_in(facts, "uri"), facts.get("size")
        try:
            path = path_of(uri, hosts)
        except ValueError as error:
            said = uri or text_in(facts, "key")
            self.leave_out(said, f"the uri {error}" if uri else f"the file {brief(said)!r} has no uri")
            return
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < TOO_LARGE:
            self.leave_out(uri, MISSIZED.format(path.rpartition("/")[2], brief(repr(size))))
            return
        held = Held("", uri, size, checksum_in(facts), online, index)
        known = self.found.setdefault(path, held)
        if (known.size, known.checksum) != (held.size, held.checksum):
            self.found[path] = known._replace(size=-1)

    def named(self) -> dict[str, Held]:
        """All of them by their names."""
        for path, held in list(self.found.items()):
            if held.size < 0:
                self.leave_out(held.uri, f"{brief(held.uri)!r} is listed twice, and each time as another file")
                del self.found[path]
        names = names_of(self.found)
        for path, held in self.found.items():
            if path not in names:
                self.leave_out(held.uri, f"{brief(held.uri)!r} has a name that something else has, too")
        found = sorted((names[path], held) for path, held in self.found.items() if path in names)
        return {name: held._replace(name=name) for name, held in found}


# The record itself.


def lines_of(value: Any, margin: str = "") -> str:
    """What is said of a record or of what is in it, without what tape changes, and each file in a line of its own."""
    if isinstance(value, dict) and value:
        is_file = "uri" in value
        kept = {key: value[key] for key in sorted(value) if key not in CHANGING and not (is_file and key == "tags")}
        if is_file:
            return WRITER.encode(kept)
        items = [f"{WRITER.encode(key)}: {lines_of(item, margin + ' ')}" for key, item in kept.items()]
    elif isinstance(value, list) and value:
        items = [lines_of(item, margin + " ") for item in value]
    else:
        return WRITER.encode(value)
    first, last = "{}" if isinstance(value, dict) else "[]"
    inside = ",".join(f"\n{margin} {item}" for item in items)
    return f"{first}{inside}\n{margin}{last}"


def record_text(answer: Mapping[str, Any], recid: str) -> bytes:
    """record.json: it stays the same while files go to tape and come from there, whatever name was asked for.

    What the portal writes around a record hangs on both.
    """
    text = lines_of({"id": recid, "created": answer.get("created"), "metadata": answer["metadata"]})
    # A half of a character is written as JSON can have it.
    return text.encode("utf-8", "backslashreplace") + b"\n"


def time_in(text: str) -> int:
    """The time of a moment as the portal writes it; 0 if it is none."""
    try:
        return sane_time(seconds_of(f"{text[:19]}Z"))
    except ValueError:
        return 0


def adler_of(data: bytes) -> str:
    """The checksum of some bytes."""
    made = Checksum("adler32")
    made.update(data)
    return made.text()


def record_of(
    answer: Any, host: str = "", more: Mapping[str, Any] | None = None, recid: str = "the record"
) -> Record:
    """A record from what the portal answers, and from its answers about the indices that this lacks.

    Its files are at the portal's store, or at the host that the portal itself is at. It was asked for by this recid.
    """
    try:
        metadata, recid = metadata_of(answer), recid_of(answer)
        files, hosts = Files(recid), (STORE, host)
        for facts, index, online in listed(metadata, more or {}):
            files.take(facts, index, online, hosts)
        named, text = files.named(), record_text(answer, recid)
    except (ValueError, TypeError, RecursionError) as error:
        raise senseless(recid, error) from error
    named[NAME] = Held(NAME, "", len(text), adler_of(text), True)
    created = time_in(text_in(answer, "created"))
    title, doi = text_in(metadata, "title"), text_in(metadata, "doi")
    return Record(recid, title, doi, created, named, files.odd(named), text)


def tree_of(top: str, files: Iterable[Held], mtime: int) -> dict[str, list[Entry]]:
    """What is in each folder of a record."""
    found: dict[str, list[Entry]] = {top: []}
    for held in files:
        path = f"{top}/{held.name}"
        where = Locality.ONLINE if held.online else Locality.NEARLINE
        entry = Entry(path, False, held.size, mtime, held.checksum, where)
        while True:
            folder = entry.path.rpartition("/")[0]
            is_known = folder in found
            found.setdefault(folder, []).append(entry)
            if is_known:
                break
            entry = Entry(folder, True, 0, mtime)
    return found


def listing_in(tree: dict[str, list[Entry]], path: str, top: str, odd: Mapping[str, FileError]) -> Listing:
    """What is in a folder of a record, or one file; at its top also what can't be fetched, and why."""
    listing, above = Listing(), tree.get(path.rpartition("/")[0], [])
    listing.extend(tree.get(path) or (entry for entry in above if entry.path == path))
    if path == top:
        for name, error in odd.items():
            listing.odd[f"/{top}{name}" if name.startswith("/") else f"{top}/{name}"] = error
    return listing
