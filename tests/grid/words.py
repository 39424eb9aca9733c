"""What doors say: errors in the words of dCache and StoRM, and names that they stumble over."""

from __future__ import annotations

import unicodedata
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import quote

from tests.grid.web import Reply, Request

if TYPE_CHECKING:
    from tests.grid.door import Switches

BASIC = {"WWW-Authenticate": 'Basic realm="AGATA test grid"'}
NOT_ASKED = "You are not unauthorised for {method} on path {path}"  # dCache's own words
POOL_BUSY = "Internal problem: Request to [>PoolManager@local] timed out."
POOL_GONE = (
    "Internal problem: Failed to deliver PoolDeliverFileMessage message <1732610000000:1> to [>pool_b@poolB]: "
    "Route for >pool_b@poolB< not found at >dCacheDomain<"
)
MOVER_BUSY = {
    500: "Internal problem: No redirect from mover on pool PoolName=pool_a PoolAddress=pool_a@poolA after 8 s",
    507: "Insufficient storage: SER_DISK_FULL",
}
ERRORS = {
    "dcache": {
        400: "Received a bad {method} request.",
        403: "Permission denied for {method} on path {path}",
        404: "Path not found: {path}",
        405: "Method {method} is not allowed.",
        409: "<html><body><h1>Conflict</h1></body></html>",
        500: "Internal problem: unreadable",
        501: "Method {method} is not implemented.",
        507: "Insufficient storage: SER_QUOTA_EXCEEDED",
    },
    "storm": {403: "Permission denied."},
}  # what is missing is a page in HTML

# Of StoRM's versions: what no method takes (400), what is listed and not given (404), what readers can't have (500).
FORBIDDEN = {"storm-1.6": "%;\\", "storm-1.9": "%;\\\t"}
NOT_GIVEN = {"storm-1.6": "", "storm-1.9": ' #?|<>[]"'}
NOT_READ = {"storm-1.6": "\t", "storm-1.9": ""}


def error(
    request: Request, status: int, switches: Switches, headers: dict[str, str] | None = None, text: str = ""
) -> Reply:
    """An error in the words of dCache or StoRM."""
    phrase = HTTPStatus(status).phrase
    text = text or ERRORS[switches.words].get(status, f"<html><body><h1>{status} {phrase}</h1></body></html>")
    if "{" in text:
        text = text.format(method=request.method, path=request.path)
    kind = "text/html" if text.startswith("<") else "text/plain"
    headers = {"Content-Type": f"{kind};charset=utf-8", **(headers or {})}
    reason = "Server Error" if switches.words == "dcache" and status == 500 else ""
    return Reply(status, f"{text}\n".encode("utf-8", "surrogateescape"), headers, reason)


def login_failed() -> Reply:
    """dCache's answer to everybody whom it does not know, at the door and at the tape service."""
    return Reply(401, headers=BASIC, reason="login failed")


def stumbles(request: Request, names: str) -> int:
    """The status that a name costs StoRM, whether the file is there or not; 0 for most."""
    if names not in FORBIDDEN:
        return 0
    if "//" in request.target or ".." in request.target.split("/"):
        return 400
    return 400 if set(FORBIDDEN[names]) & set(request.path) else 0


def gives(path: str, method: str, names: str) -> int:
    """The status of a file that is there, for a reader; StoRM lists names that it can't give."""
    if names not in FORBIDDEN:
        return 200
    if set(NOT_READ[names]) & set(path):
        return 500
    if set(NOT_GIVEN[names]) & set(path) or (method == "GET" and NOT_GIVEN[names] and not path.isascii()):
        return 404
    return 200


def composed(path: str, names: str) -> str:
    """A path as dCache writes it into a Location: letters and their accents become one."""
    return unicodedata.normalize("NFC", path) if names == "composed" else path


def encoded(path: str) -> str:
    return quote(path, errors="surrogateescape")
