"""The service on a hub that keeps a user's proxy, with which the hub then reads at the door behind it."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import unquote

from gridsync_parts.doors.answers import Answer
from gridsync_parts.doors.hubwire import HubWire, words_of
from gridsync_parts.doors.refused import refusal
from gridsync_parts.doors.urls import mask_url
from gridsync_parts.errors import CredentialError, DoorError, UsageError, brief
from gridsync_parts.keys import open_secret
from gridsync_parts.keys.proxy import proxy_of
from gridsync_parts.secrets import secrets
from gridsync_parts.words import day_text, duration_text

LONGEST = 8 * 86400  # seconds; the service takes seven days, counted by the calendar
REMEDY = "make a new proxy with gridsync.py --new_proxy"
REFUSED = "{place}: the hub has not kept {path} ({said}); " + REMEDY
SENSELESS = "{place}: the hub does not say whether it has kept {path}; try again later"


def read_certificate(path: str, now: float) -> str:
    """The proxy in a file, if it is one to be handed out: what lasts long is not to leave the machine."""
    try:
        with open_secret(path, "your certificate") as file:
            text = file.read()
        ends = proxy_of(path, text).ends
    except FileNotFoundError as error:
        raise UsageError(f"there is no {path}; name the file of your proxy") from error
    except (OSError, ValueError) as error:
        raise CredentialError(f"{path} cannot be sent: {error}; {REMEDY}") from error
    for key in re.findall("(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----(.*?)-----END", text):
        secrets.note(key)
    if ends <= now:
        raise CredentialError(f"{path} expired {duration_text(now - ends)} ago and is not sent; {REMEDY}")
    if ends > now + LONGEST:
        day = day_text(int(ends))
        raise CredentialError(f"{path} is good until {day}, and the hub takes seven days alone; {REMEDY}")
    return text


def judge(answer: Answer, url: str, path: str) -> dict[str, Any]:
    """What the service says of a certificate that it has kept; one that it refuses comes under 200, too."""
    place = mask_url(unquote(url))
    if answer.status in (400, 500):  # a chain that leads to no CA, or a key of a name that there is not
        raise CredentialError(REFUSED.format(place=place, path=path, said=words_of(answer.drain())))
    if answer.status != 200:
        raise refusal(answer, url)
    try:
        found = answer.json()
        validity = found["validity"]
    except (ValueError, KeyError, TypeError) as error:
        raise DoorError(SENSELESS.format(place=place, path=path)) from error
    if not isinstance(validity, str):
        said = validity[0] if isinstance(validity, list) and validity else validity
        raise CredentialError(REFUSED.format(place=place, path=path, said=brief(str(said))))
    return dict(found)


def send_certificate(wire: HubWire, service: str, verb: str, path: str, document: dict[str, Any]) -> dict[str, Any]:
    """Have the service keep what a document has."""
    url = f"{service}/{verb}"
    return judge(wire.ask("POST", url, data=json.dumps(document).encode()), url, path)
