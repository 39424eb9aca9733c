"""What answers mean that are errors or lead elsewhere, and what gfal2 says when something fails."""

from __future__ import annotations

import errno
import re
from urllib.parse import quote, unquote, urljoin, urlsplit

from gridsync_parts.doors.answers import Answer
from gridsync_parts.doors.urls import KEPT, compose, mask_url, netloc_of, own_path
from gridsync_parts.errors import (
    SENTENCE,
    BadRequest,
    CredentialError,
    DoorError,
    FileError,
    Forbidden,
    GridError,
    NotFound,
    OnTape,
    PoolError,
    Saying,
    TooFast,
    TooMany,
    brief,
    error_for,
)
from gridsync_parts.kinds import WEB
from gridsync_parts.secrets import secrets
from gridsync_parts.table import Site

FAILED = "Could not run "  # XRootD says so under 404, of files that are there; 5.5 does now and then over new checksums


def pause_of(answer: Answer) -> float:
    """For how many seconds a server wants to be left alone."""
    after = answer.header("Retry-After")
    return min(float(after), 900) if after.isdecimal() else 60 if answer.status == 429 else 0


def doubt_of(site: Site | None) -> str:
    """What may be wrong with what was shown to who knows the user and refuses."""
    if site and site.token:
        return "is your token for this door and this scope? --proxy_status shows its audience and scopes"
    if site and site.credential == "none":
        return "CREDENTIAL in Grid.conf shows it nothing"
    return "is your proxy for the right VO?"


def message_in(content: bytes) -> str:
    """What an answer in JSON says; empty if it is none."""
    import json

    try:
        found = json.loads(content)
        return str(found.get("message") or "") if isinstance(found, dict) else ""
    except (ValueError, RecursionError):
        return ""


def refusal(answer: Answer, url: str) -> GridError:
    """The sentence for an answer that is an error; its body is read."""
    content = answer.drain()
    said = message_in(content) or content[:SENTENCE].decode("utf-8", "replace").strip()
    if not said or said.startswith("<"):
        said = answer.response.reason
    said = brief(said)
    place = mask_url(unquote(url))
    who = "the door" if netloc_of(url) == netloc_of(answer.watch.site.server) else "the tape service"
    site = answer.watch.site
    if answer.status == 401 and site.credential == "none":
        return CredentialError(f"{place}: {who} wants to be shown something ({said}); see CREDENTIAL in Grid.conf")
    if answer.status == 401:
        return CredentialError(f"{place}: {who} does not accept your proxy or token ({said}); see --proxy_status")
    if answer.status == 403:
        return Forbidden(f"{place}: {who} refuses ({said}); {doubt_of(site)}")
    if answer.status == 404 and said.startswith(FAILED):
        return DoorError(f"{place}: {who} answers 404 ({said})", passing=True)
    if answer.status == 404:
        return NotFound(f"{place}: there is no such file or folder; --ls_dir shows what there is")
    if answer.status == 415:  # StoRM's for a GET of what has no copy on disk
        return OnTape(f"{place}: is on tape only; --bring_online brings it to disk")
    if answer.status == 413:
        return TooMany(f"{place}: {who} does not take a request of this size ({said})")
    if 400 <= answer.status < 500 and answer.status != 429:
        kind = BadRequest if answer.status == 400 else FileError
        return kind(f"{place}: {who} answers {answer.status} ({said}); if this continues, ask the site")
    passing = answer.status >= 500 or answer.status == 429
    return DoorError(f"{place}: {who} answers {answer.status} ({said})", passing, pause_of(answer))


def redirect_target(answer: Answer, url: str) -> str:
    """Where an answer sends a request; its body is read."""
    answer.drain()
    try:
        target = quote(urljoin(url, answer.header("Location")), KEPT, "latin-1", "replace")  # a header's bytes
        target = own_path(url, target)
    except ValueError as error:
        raise FileError(f"{mask_url(url)} redirects to an invalid URL ({error}); ask the site") from error
    if urlsplit(url).scheme == "https" and urlsplit(target).scheme != "https":
        raise Forbidden(f"{mask_url(url)} redirects to {mask_url(target)}, which is not encrypted; ask the site")
    secrets.note(target)
    return target


OTHER_FILE = "does not match the UUID"  # a pool of dCache, whose mover then runs until the pool restarts

# What dCache's doors tell readers when they are well, and what has the file is not.
INTERNAL_PROBLEMS = (
    Saying(r"No redirect from mover", PoolError, "{place}: the pool of this file already serves too many readers; "
           "try again later, or with fewer --threads", passing=True),
    Saying(r"Failed to deliver Pool|Route for .* not found", PoolError,
           "{place}: the pool of this file is down; try again later, or ask the site", passing=True),
    Saying(r"File has been removed", PoolError,
           "{place}: its copy on disk is being removed; try again later", passing=True),
    Saying(r"", DoorError, "{sentence}", passing=True),
)  # fmt: skip


def read_refusal(answer: Answer, url: str) -> GridError:
    """The same for a reader."""
    error = refusal(answer, url)
    if answer.status != 500:
        return error
    said = answer.drain().decode("utf-8", "replace")
    return error_for(INTERNAL_PROBLEMS, said, place=mask_url(unquote(url)), sentence=str(error))


UNREACHABLE = (
    errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ECONNREFUSED, errno.ETIMEDOUT, errno.ECOMM,
    errno.ENOTSOCK, errno.ESTALE,  # so XRootD's library says that there is no way to a host, and that an answer is late
)  # fmt: skip

# What gfal2 says, behind the name of its error number.
GFAL_ERRORS = (
    Saying(r"413", TooMany, "{place}: the door does not take a request of this size ({text})"),
    Saying(r"(HTTP|received) 429", TooFast, "{place}: the door takes no more requests now ({text})", passing=True),
    Saying(r"HTTP 401", CredentialError,
           "{place}: the door does not accept your proxy ({text}); see --proxy_status", passing=True),
    Saying(r"(archive polling|expected 201).*received 404", DoorError,
           "{place}: gfal2 adds a slash to addresses of the tape service, and this one does not know them; "
           "set ENGINE = http in Grid.conf, or TAPE_API = none to do without it"),
    Saying(r"HTTP 400", BadRequest, "{place}: the door answers 400 ({text}); if this continues, ask the site"),
    Saying(r"HTTP 415", OnTape, "{place}: is on tape only; --bring_online brings it to disk"),
    Saying(r"^ENOENT|received 404", NotFound,
           "{place}: there is no such file or folder; --ls_dir shows what there is"),
    Saying(r"handshake failed: (unexpected eof|connection (timed out|reset))", DoorError,
           "{place}: the door ends the TLS handshake ({text}); is your proxy valid (--proxy_status)?", passing=True),
    Saying(r"^(EPERM|EACCES)", Forbidden, "{place}: the door refuses ({text}); {doubt}"),
    Saying(r"^EBADE", CredentialError,
           "{place}: the server accepts nothing of what it can be shown ({text}); see --proxy_status and "
           "CREDENTIAL in Grid.conf", passing=True),
    Saying(r"^ELOOP", DoorError,
           "{place}: the door redirects to other servers, to which a token is not sent ({text}); set "
           "CREDENTIAL = proxy in Grid.conf, or use an https door of the site"),
    Saying(r"alert certificate expired|auth failed", CredentialError,
           "{place}: the door does not accept your proxy; make a new one with --new_proxy"),
    Saying(r"certificate", DoorError,
           "{place}: the door's certificate is not accepted ({text}); see CA_DIR in Grid.conf"),
    Saying(r"HTTP 500 .*while +read", PoolError,  # which readers alone are told
           "{place}: the pool of this file is down or serves too many readers, or the door fails ({text}); "
           "try again later, or ask the site", passing=True),
    Saying(r"^(ENETRESET|EAGAIN.*Resource temporarily)", DoorError,  # with no CAs, with others
           "{place}: there is no TLS connection to the door ({text}); is there its CA in CA_DIR of Grid.conf?",
           passing=True),
    Saying(r"^ESTALE", DoorError, "{place}: the door has not answered in time ({text})", passing=True),
    Saying(r"^(" + "|".join(errno.errorcode[code] for code in UNREACHABLE) + r")|(received|HTTP) 5\d\d", DoorError,
           "{place}: the door cannot be reached, or fails ({text})", passing=True),
    Saying(r"bad server answer|malformed", DoorError,
           "{place}: the door's answer makes no sense ({text}){way}", passing=True),
    Saying(r"", FileError, "{place}: gfal2 says: {text}{way}", passing=True),
)  # fmt: skip


def gfal_error(error: Exception, url: str, site: Site | None = None) -> GridError:
    """The sentence for what gfal2 says."""
    text = re.sub(r"\?\S+", "?...", str(error).strip())
    way = "; for https doors there is also ENGINE = http" if url.startswith(WEB) else ""
    name = errno.errorcode.get(getattr(error, "code", 0), "")
    if "HTTP 400" in text and compose(url) != unquote(url, errors="surrogateescape"):
        return FileError(f"{unquote(url)}: gfal2 cannot fetch names with separate accents; ENGINE = http can")
    return error_for(GFAL_ERRORS, f"{name} {text}", text=brief(text), place=unquote(url), way=way, doubt=doubt_of(site))
