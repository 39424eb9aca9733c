"""What an FTP server says of a folder: by MLSD, in words that a standard has, or by LIST, as ls writes it."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from gridsync_parts.words import sane_time, seconds_of


class What(enum.Enum):
    """What has a name."""

    FILE = "file"
    FOLDER = "folder"
    LINK = "link"
    OTHER = "neither file nor folder"
    SELF = "the folder itself, or the one above"


class Named(NamedTuple):
    """A line of a listing."""

    name: str
    what: What
    size: int = 0
    mtime: int = 0  # 0: it does not say it to the second


class Unknown(ValueError):
    """The listing is in no format that is known here; its text is the line."""


FACTS = re.compile(r"((?:[^;= ]+=[^;]*;)*) (.+)", re.DOTALL)
# Mode, links, owner and group, size, date, name. The date is in the server's own time, and to the minute at the best.
DATE = r"(?:[^\W\d]\S* +\d{1,2} +(?:\d{1,2}:\d\d|\d{4})|\d{4}-\d\d-\d\d +\d\d:\d\d)"
LS = re.compile(rf"([-a-zA-Z])[-rwxsStTlL]{{9}}[+.@]? +\d+ +\S.*? (?:(\d+)|\d+, *\d+) +{DATE} (.+)", re.DOTALL)
KINDS = {"-": What.FILE, "d": What.FOLDER, "l": What.LINK}
TYPES = {"file": What.FILE, "dir": What.FOLDER, "cdir": What.SELF, "pdir": What.SELF}


def moment_of(text: str) -> int:
    """The time that MDTM or MLSD names, as 20260316135800; 0 if it is none."""
    if not re.fullmatch(r"\d{14}(\.\d*)?", text):
        return 0
    day, time = f"{text[:4]}-{text[4:6]}-{text[6:8]}", f"{text[8:10]}:{text[10:12]}:{text[12:14]}"
    try:
        return sane_time(seconds_of(f"{day}T{time}Z"))
    except ValueError:
        return 0


def facts_of(line: str) -> tuple[dict[str, str], str] | None:
    """Facts and name of a line of MLSD or MLST; None if it is none."""
    found = FACTS.fullmatch(line)
    if not found:
        return None
    pairs = (fact.partition("=") for fact in found[1].split(";") if fact)
    return {key.lower(): value for key, _, value in pairs}, found[2]


def by_facts(line: str) -> Named | None:
    """What a line of MLSD says."""
    found = facts_of(line)
    if not found or "type" not in found[0]:
        return None
    facts, name = found
    kind = facts["type"].lower()
    what = TYPES.get(kind, What.LINK if re.match(r"os\.unix=s(ym)?link", kind) else What.OTHER)
    if what is What.FILE and not re.fullmatch(r"\d{1,18}", facts.get("size", "")):
        what = What.LINK  # whose size and time are asked for
    size = int(facts["size"]) if what is What.FILE else 0
    return Named(name, what, size, moment_of(facts.get("modify", "")))


def by_columns(line: str) -> Named | None:
    """What a line of ls says."""
    found = LS.fullmatch(line)
    if not found:
        return None
    what, name = KINDS.get(found[1], What.OTHER), found[3]
    if what is What.LINK:
        name = name.rpartition(" -> ")[0] or name
    if name in (".", ".."):
        what = What.SELF
    return Named(name, what, int(found[2] or 0) if what is What.FILE else 0)


def read_listing(lines: Iterable[str], by_mlsd: bool) -> Iterator[Named | str]:
    """What is in a folder, and the names with line ends in them; Unknown if the lines are none of a listing."""
    last: Named | None = None
    broken = ""
    for line in lines:
        if not line or (last is None and not by_mlsd and re.fullmatch(r"\S+ \d+", line)):  # total 12
            continue
        found = by_facts(line) if by_mlsd else by_columns(line)
        if found is None and last is None:
            raise Unknown(line)
        if found is None:  # the rest of a name
            assert last
            broken = f"{broken or last.name}\n{line}"
            continue
        if broken:
            yield broken
        elif last:
            yield last
        last, broken = found, ""
    if broken or last:
        yield broken or last  # type: ignore[misc]
