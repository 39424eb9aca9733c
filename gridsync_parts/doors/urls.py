"""URLs: what of them may be shown, and where they lead."""

from __future__ import annotations

import functools
import re
from urllib.parse import unquote, urlsplit

from gridsync_parts.conf import PORTS
from gridsync_parts.errors import FileError

KEPT = "!#$%&'()*+,/:;=?@[]~"  # of what a server names as a URL; all else is not for a request line
# What stands before the path: all servers that a run speaks to are few, and to take a whole URL apart takes long.
ORIGIN = re.compile("[a-z]+://[A-Za-z0-9.:-]+(?=/)")


def mask_url(url: str) -> str:
    """A URL that may be shown: its query is a credential on pools."""
    return url.partition("?")[0] + ("?..." if "?" in url else "")


@functools.lru_cache(maxsize=256)  # it is asked for several times a request
def address_of(url: str) -> tuple[str, int]:
    """Host and port of a URL, or of what its path stands behind."""
    try:
        parts = urlsplit(url)
        return parts.hostname or "", parts.port or PORTS.get(parts.scheme, 80)
    except ValueError as error:
        raise FileError(f"{mask_url(url)} is not a URL: {error}") from error


def netloc_of(url: str) -> tuple[str, int]:
    """The same, which is looked up by what stands before the path."""
    plain = ORIGIN.match(url)
    return address_of(plain[0] if plain else url)


def target_of(url: str) -> str:
    """What a URL asks its server for."""
    plain = ORIGIN.match(url)
    if plain and "#" not in url:
        return url[plain.end() :]
    return urlsplit(url)._replace(scheme="", netloc="", fragment="").geturl()


def compose(path: str) -> str:
    """A path with each letter and its accents as one character, as far as there is one."""
    import unicodedata

    return unicodedata.normalize("NFC", unquote(path, errors="surrogateescape"))


def own_path(url: str, target: str) -> str:
    """Where a redirect leads, but by the name that was asked for: dCache composes accents, its pools refuse that."""
    asked, named = urlsplit(url).path, urlsplit(target)
    if asked == named.path or compose(asked) != compose(named.path):
        return target
    return named._replace(path=asked).geturl()
