"""Sizes, times, paths and names as text, and back: inside, sizes are bytes and times are seconds."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable

from gridsync_parts.errors import UsageError
from gridsync_parts.secrets import secrets


def size_text(size: float) -> str:
    """Bytes in units of 1024, as 158.0 B or 2.9 GB."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if float(f"{size:.1f}") < 1024:
            return f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} PB"


def duration_text(seconds: float) -> str:
    """Seconds as 1m42s, from an hour on as 2h05m."""
    minutes, rest = divmod(int(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60}h{minutes % 60:02d}m"
    return f"{minutes}m{rest:02d}s"


def time_text(when: int) -> str:
    """Seconds since the epoch as ISO 8601 in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(when)).rjust(20, "0")  # years before 1000, too


MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def day_text(when: int) -> str:
    """The day as 09 Jun 2015, in English whatever the locale."""
    year, month, day = time.gmtime(when)[:3]
    return f"{day:02d} {MONTHS[month - 1]} {year}"


def seconds_of(text: str) -> int:
    """The time that an ISO 8601 text in UTC means; ValueError if it means none."""
    if len(text) != 20 or text[10] != "T" or text[19] != "Z":
        raise ValueError(text)
    # Slices, as strptime takes ten times as long and a catalog has up to a million of them.
    month, day, hour, minute = int(text[5:7]), int(text[8:10]), int(text[11:13]), int(text[14:16])
    if not (1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60):
        raise ValueError(text)
    year, month = (int(text[:4]), month) if month > 2 else (int(text[:4]) - 1, month + 12)  # a leap day comes last
    days = 365 * year + year // 4 - year // 100 + year // 400 + (153 * month - 457) // 5 + day - 719469
    return ((days * 24 + hour) * 60 + minute) * 60 + int(text[17:19])


def sane_time(seconds: float) -> int:
    """A time that a catalog can hold, up to the year 9999; 0 for any other."""
    return int(seconds) if 0 <= seconds < 253402300800 else 0


def moment_text(when: float) -> str:
    """A moment as Mon Oct 20 14:55:27 UTC 2025."""
    day, year = time.asctime(time.gmtime(when)).rsplit(" ", 1)  # in English whatever the locale
    return f"{day} UTC {year}"


def left_text(ends: float, now: float) -> str:
    """How long something still is valid."""
    if ends <= now:
        return f"expired {duration_text(now - ends)} ago"
    return f"{duration_text(ends - now)} left, until {moment_text(ends)}"


CONTROL = "[\0-\x1f\x7f-\x9f]"  # characters that no name should have


def grid_path(text: str) -> str:
    """A path as the catalog writes it: no slash around it, none doubled; "/" gives the empty path."""
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if ".." in parts or "\0" in text:
        raise UsageError(f"{text!r} is not a path on the grid; leave out '..'")
    return "/".join(parts)


NO_NAMES = frozenset(("", ".", ".."))


def is_path(path: str) -> bool:
    """Whether a path is written as the catalog writes it."""
    return NO_NAMES.isdisjoint(path.split("/")) and "\0" not in path


LONGEST = 1000  # characters of a name; filesystems take 255 bytes


def is_name(name: str) -> bool:
    """Whether a door may list something by this name in a folder."""
    return is_path(name) and "/" not in name and len(name) <= LONGEST and not secrets.are_in(name)


def is_utf8(text: str) -> bool:
    """Whether a text has no halves of characters, which JSON and a command line can have and no URL takes."""
    try:
        text.encode()
    except UnicodeError:
        return False
    return True


def nearest(word: str, words: Iterable[str], before: str = "") -> str:
    """The remedy for a misspelt word, or nothing when none is near."""
    known = sorted(words)
    import difflib
    import shlex

    found = [name for name in known if name.lower() == word.lower()] or [n for n in known if n.startswith(word)]
    found = found or difflib.get_close_matches(word, known, n=1, cutoff=0.7 if word.startswith("--") else 0.6)
    return f"; did you mean {shlex.quote(before + found[0])}" if found else ""  # it may be a stranger's, and is pasted


def scheme_of(url: str) -> str:
    """What stands before :// of a URL."""
    from urllib.parse import urlsplit

    return urlsplit(url).scheme


def has_scheme(text: str) -> bool:
    """Whether a text begins as a URL does, and is no path."""
    return bool(re.match(r"\s*[A-Za-z][\w+.-]*://", text))


def bare(url: str) -> str:
    """A URL without what may be a secret in it."""
    return re.split("[?#]", re.sub("//.*@", "//", url))[0]


def is_url(text: str) -> bool:
    """Whether this is a URL of a host that there may be."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(text)
        host = (parts.hostname or "").encode("idna").decode()
        has_host = re.fullmatch(r"[\w.:%-]+", host) or parts.scheme == "file"
        return bool(parts.scheme and has_host and parts.port != 0)
    except ValueError:
        return False


NAMED = 5  # things that are named in a sentence


def names_text(names: list[str]) -> str:
    """Some names, not too many."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
