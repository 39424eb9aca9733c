"""Keys that a door gives out, for another door to use.

A macaroon carries what it is good for in itself, and doors are asked for one that opens a single file. What comes is
looked at all the same: StoRM calls a token so that opens everything.
"""

from __future__ import annotations

import base64
import binascii
import json
import time
from urllib.parse import unquote, urlsplit

from gridsync_parts.doors import Key
from gridsync_parts.doors.answers import MAX_JSON, Answer
from gridsync_parts.doors.refused import doubt_of, refusal
from gridsync_parts.doors.urls import mask_url
from gridsync_parts.doors.wire import Http
from gridsync_parts.errors import FileError, Forbidden
from gridsync_parts.keys.token import claims_of
from gridsync_parts.secrets import secrets
from gridsync_parts.words import duration_text

LIFE = "PT2H"  # it is looked at when the bytes begin to go
READS = "DOWNLOAD,LIST"  # dCache counts the checksum as LIST
WRITES = "UPLOAD,LIST,DELETE"  # XRootD wants DELETE as well as UPLOAD for any PUT
READ_SCOPES = ("storage.read", "storage.stage")
HARMLESS = {"READ_METADATA"}  # XRootD adds it
NONE_THERE = (400, 403, 404, 405, 415, 500, 501)  # of doors that give none, each in its way
AGAIN = (400, 500)  # of these doors say the one of much, and the other for once, too
PACKET = 4  # hexadecimal digits that say how long a packet of a macaroon is


def caveats_of(macaroon: str) -> list[str]:
    """What a macaroon says that it is good for; nothing of one that can't be read."""
    caveats = []
    try:
        data = base64.urlsafe_b64decode(macaroon + "=" * (-len(macaroon) % 4))
        while data:
            length = int(data[:PACKET], 16)
            name, _, value = data[PACKET:length].rstrip(b"\n").partition(b" ")
            if name == b"cid":
                caveats.append(value.decode("utf-8", "surrogateescape"))
            data = data[max(length, PACKET) :]
    except (ValueError, binascii.Error):
        return []
    return caveats


def is_of_file(path: str, url: str) -> bool:
    """Whether a path, which may be below some folder of the door's, means the file of a URL alone."""
    whole = unquote(urlsplit(url).path, errors="surrogateescape")
    name = whole.rpartition("/")[2]
    return f"{whole}/".endswith(f"/{path.strip('/')}/") and path.rstrip("/").rpartition("/")[2] == name


def rights_in(caveats: list[str]) -> set[str] | None:
    """What a macaroon is good for: what all its caveats allow; None if none says anything of that."""
    lists = [set(caveat.partition(":")[2].split(",")) for caveat in caveats if caveat.startswith("activity:")]
    return set.intersection(*lists) if lists else None


def is_narrow(bearer: str, url: str, writes: bool) -> bool:
    """Whether a macaroon, or a token, opens one file alone, for reading or for writing alone."""
    if caveats := caveats_of(bearer):
        paths = [caveat.partition(":")[2] for caveat in caveats if caveat.startswith("path:")]
        rights, asked = rights_in(caveats), {*(WRITES if writes else READS).split(","), *HARMLESS}
        return any(is_of_file(path, url) for path in paths) and rights is not None and rights <= asked
    scopes = [scope.partition(":") for scope in claims_of(bearer).scopes.split()]
    found = [(name, path) for name, _, path in scopes if name.startswith("storage.")]
    is_for_that = writes or all(name in READ_SCOPES for name, _ in found)
    return bool(found) and is_for_that and all(is_of_file(path, url) for _, path in found)


def opened_by(bearer: str, url: str, writes: bool) -> str:
    """What else a key opens, as users are told; empty if it opens one file alone."""
    if is_narrow(bearer, url, writes):
        return ""
    ends = claims_of(bearer).ends
    left = f", for {duration_text(ends - time.time())}" if ends else ""
    return f"everything that you may do at {urlsplit(url).netloc}{left}"


def own_key(http: Http, url: str, writes: bool) -> Key:
    """What the user shows, where a door gives out no keys."""
    if http.token:
        bearer = http.token.value()
        return Key(bearer, wider=opened_by(bearer, url, writes))
    if http.proxy:
        return Key(is_proxy=True, wider="everything that you may do at every site, as long as your proxy lasts")
    return Key()


def ask(http: Http, url: str, writes: bool) -> Answer:
    """Ask a door for a macaroon, which ends no later than the token that it is asked with."""
    wish: dict[str, object] = {"caveats": [f"activity:{WRITES if writes else READS}"], "validity": LIFE}
    headers = {"Content-Type": "application/macaroon-request"}
    answer = http.ask("POST", url, headers=headers, data=json.dumps(wish).encode())
    if answer.status in AGAIN:
        answer.drain()
        # dCache refuses what would outlast the token, and without a wish takes the end of that; XRootD wants a wish.
        if answer.status == 400:
            del wish["validity"]
        answer = http.ask("POST", url, headers=headers, data=json.dumps(wish).encode())
    return answer


def hand_out(http: Http, url: str, writes: bool) -> Key:
    """A key to a file at a door, to read it or to write it; Forbidden if the user has no right to that there."""
    if not (http.token or http.proxy):
        return Key()
    answer = ask(http, url, writes)
    if answer.status in NONE_THERE and not http.gives_keys:  # one that does and now says no gets nothing else handed on
        answer.drain()
        return own_key(http, url, writes)
    if answer.status != 200:
        raise refusal(answer, url)
    place = mask_url(unquote(url))
    try:
        made = json.loads(answer.content(MAX_JSON))["macaroon"]
        if not (made and isinstance(made, str) and made.isascii() and made.isprintable() and " " not in made):
            raise ValueError(made)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise FileError(f"{place}: the key that the door gives makes no sense") from error
    secrets.note(made)
    rights = rights_in(caveats_of(made))
    if rights is not None and ("UPLOAD" if writes else "DOWNLOAD") not in rights:
        if http.token:  # which XRootD does not look at when it makes one
            return own_key(http, url, writes)
        verb = "write" if writes else "read"
        raise Forbidden(f"{place}: the door gives you no key to {verb} it; {doubt_of(http.site)}")
    http.gives_keys = True
    return Key(made, wider=opened_by(made, url, writes))
