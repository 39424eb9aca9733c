"""ctadata's names: a script changes its import, and its files come and go verified.

    from gridsync_parts import ctadata

Where the services are and what they are shown is read at each call: CTADS_URL, CTACS_URL, JUPYTERHUB_API_TOKEN, or the
keywords token, downloadservice and certificateservice. What fails is a GridError.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import Any

import gridsync_parts.ctadata.direct as direct
from gridsync_parts.ctadata.opened import SAID_OF_HUB, Given, HubAccess, Speaking, certificates_in, hub_access
from gridsync_parts.ctadata.verbs import HubVerbs, Listed, shared, warn_of
from gridsync_parts.doors.hubcert import read_certificate, send_certificate
from gridsync_parts.doors.hubwire import HubWire
from gridsync_parts.errors import UsageError
from gridsync_parts.face import FilePath, local_path
from gridsync_parts.keys import ca_folder

__all__ = [
    "direct", "fetch_and_save_file", "fetch_and_save_file_or_dir", "list_dir", "upload_certificate", "upload_dir",
    "upload_file", "upload_personal_certificate", "upload_shared_certificate", "webdav4_client",
]  # fmt: skip
VERBS = HubVerbs()
WEBDAV4 = "webdav4_client() needs webdav4, which is not installed; pip install webdav4"


def list_dir(path: str, **given: Any) -> list[Listed]:
    """A folder and what is in it: each is its path, and has href, type, size, mtime and url as items."""
    return VERBS.listed(path, Given(**given))


def fetch_and_save_file(path: str, save_to_fn: FilePath | None = None, **given: Any) -> int:
    """Have a file in the current folder, or under another name; its size in bytes."""
    return VERBS.get(path, False, save_to_fn, Given(**given))[0].size


def fetch_and_save_file_or_dir(path: str, recursive: bool = False, **given: Any) -> int:
    """Have a file in the current folder, or all below a folder at their paths in it; how many bytes that is."""
    return sum(row.size for row in VERBS.get(path, recursive, None, Given(**given)))


def upload_file(local_fn: FilePath, path: str, **given: Any) -> dict[str, Any]:
    """Send a file to a path below your folder, or into a folder if that ends with a slash; the path to share."""
    return shared(VERBS.put(local_fn, path, False, Given(**given)))[0]


def upload_dir(local_dir: FilePath, path: str, **given: Any) -> list[dict[str, Any]]:
    """Send what is in a folder into another one below your folder; the paths to share."""
    gone = VERBS.put(local_dir, path, True, Given(**given))
    warn_of(gone.left_out)
    return shared(gone)


def wire_of(access: HubAccess) -> HubWire:
    """Requests to the services of a hub."""
    return HubWire(access.settings.site, access.token, ca_folder(access.settings.site))


def hand_over(path: FilePath, verb: str, documents: list[dict[str, Any]], given: Given) -> dict[str, Any]:
    """Have the certificateservice keep a proxy."""
    with Speaking(SAID_OF_HUB):
        file, said = local_path(path), {}
        certificate = read_certificate(file, time.time())
        access = hub_access(given)
        service = certificates_in(given, access)
        site = access.settings.site._replace(server=service)
        wire = wire_of(access._replace(settings=access.settings._replace(site=site)))
        with contextlib.closing(wire.idle):
            for document in documents:
                said = send_certificate(wire, service, verb, file, {"certificate": certificate, **document})
        return said


def upload_certificate(
    certificate_file_path: FilePath, certificate_key: str | None = None, user: str | None = None, **given: Any
) -> dict[str, Any]:
    """Have the hub keep your proxy, with which it then reads; for all kinds of data unless one is named."""
    known = [key for key in os.environ.get("CTACS_ALLOWED_CERT_KEYS", "cta,lst,arc").split(",") if key]
    if certificate_key is not None and certificate_key not in known:
        raise UsageError(f"{certificate_key!r} is not a key of certificates; give {', '.join(known)}")
    keys = known if certificate_key is None else [certificate_key]
    documents = [{"certificate_key": key, "user": user} for key in keys]
    return hand_over(certificate_file_path, "certificate", documents, Given(**given))


def upload_personal_certificate(
    certificate_file_path: FilePath, certificate_key: str, user: str | None = None, **given: Any
) -> dict[str, Any]:
    """The same for one kind of data."""
    return upload_certificate(certificate_file_path, certificate_key, user, **given)


def upload_shared_certificate(certificate_file_path: FilePath, **given: Any) -> dict[str, Any]:
    """Have the hub keep a proxy for all who have none of their own; it lets its administrators alone do that."""
    return hand_over(certificate_file_path, "main-certificate", [{}], Given(**given))


def webdav4_client(**given: Any) -> Any:
    """A Client of webdav4 for the hub's WebDAV, which shows the token there; what it moves is not verified."""
    try:
        from webdav4.client import Client
    except ImportError as error:
        raise UsageError(WEBDAV4) from error
    with Speaking(SAID_OF_HUB):
        access = hub_access(Given(**given))
        token, wire = access.token, wire_of(access)

        def show(request: Any) -> Any:
            if token:
                request.headers["Authorization"] = f"Bearer {token.value()}"
            return request

        return Client(f"{access.service()}/webdav/", auth=show, verify=wire.context(False))
