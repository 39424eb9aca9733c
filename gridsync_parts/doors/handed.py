"""Keys that a door gives out, for another door to use."""

from __future__ import annotations

import json
from urllib.parse import unquote

from gridsync_parts.doors import Key
from gridsync_parts.doors.answers import MAX_JSON
from gridsync_parts.doors.refused import refusal
from gridsync_parts.doors.urls import mask_url
from gridsync_parts.doors.wire import Http
from gridsync_parts.errors import FileError
from gridsync_parts.secrets import secrets

LIFE = "PT6H"
READS = "DOWNLOAD,LIST"
WRITES = "UPLOAD,DOWNLOAD,LIST,DELETE,MANAGE"


def hand_out(http: Http, url: str, writes: bool) -> Key:
    """A key to a file at a door, to read it or to write it."""
    wish = {"caveats": [f"activity:{WRITES if writes else READS}"], "validity": LIFE}
    headers = {"Content-Type": "application/macaroon-request"}
    answer = http.ask("POST", url, headers=headers, data=json.dumps(wish).encode())
    if answer.status != 200:
        raise refusal(answer, url)
    try:
        made = str(json.loads(answer.content(MAX_JSON))["macaroon"])
    except (ValueError, KeyError, TypeError) as error:
        raise FileError(f"{mask_url(unquote(url))}: the door's answer makes no sense; ask the site") from error
    secrets.note(made)
    return Key(made)
