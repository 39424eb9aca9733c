"""Who asks a real Invenio with plain requests."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import requests

from tests.grid.invenio import Invenio

STREAM = {"Content-Type": "application/octet-stream"}
METADATA = {
    "title": "Collisions",
    "creators": [{"person_or_org": {"type": "organizational", "name": "DELPHI"}}],
    "publication_date": "1999",
    "resource_type": {"id": "dataset"},
}


class Client:
    """Somebody with a token, or nobody."""

    def __init__(self, invenio: Invenio, ca: str, user: str = "alice") -> None:
        self.invenio, self.ca = invenio, ca
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = ca
        if user:
            self.session.headers["Authorization"] = f"Bearer {invenio.tokens.get(user, user)}"

    def other(self, user: str) -> Client:
        return Client(self.invenio, self.ca, user)

    def __call__(self, method: str, path: str, status: int, document: Any = None, **more: Any) -> Any:
        """The document of an answer that has this status."""
        answer = self.answer(method, path, json=document, **more)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    def answer(self, method: str, path: str, **more: Any) -> requests.Response:
        url = path if path.startswith("https:") else f"{self.invenio.base}/api{path}"
        return self.session.request(method, url, timeout=60, allow_redirects=False, **more)

    def draft(self, title: str = METADATA["title"], **more: Any) -> str:
        """A new draft that lacks nothing but files."""
        made = self("POST", "/records", 201, {"metadata": {**METADATA, "title": title}, **more})
        assert made["is_draft"] and not made["is_published"] and "errors" not in made
        return str(made["id"])

    def announce(self, draft: str, *files: dict[str, Any]) -> dict[str, Any]:
        """What the server says of the files of a draft after these were announced."""
        entries = self("POST", f"/records/{draft}/draft/files", 201, list(files))["entries"]
        return {entry["key"]: entry for entry in entries}

    def send(self, draft: str, key: str, data: bytes) -> Any:
        """The answer to a part, or to all of a file."""
        return self("PUT", f"/records/{draft}/draft/files/{key}", 200, data=data, headers=STREAM)

    def commit(self, draft: str, key: str, status: int = 200) -> Any:
        return self("POST", f"/records/{draft}/draft/files/{quote(key)}/commit", status)

    def put(self, draft: str, key: str, data: bytes) -> Any:
        """A small file, sent and committed."""
        self.announce(draft, {"key": key})
        self.send(draft, f"{quote(key)}/content", data)
        return self.commit(draft, key)

    def files(self, draft: str) -> dict[str, str]:
        """The status of each file of a draft."""
        return {one["key"]: one["status"] for one in self("GET", f"/records/{draft}/draft/files", 200)["entries"]}

    def publish(self, draft: str, status: int = 202) -> Any:
        return self("POST", f"/records/{draft}/draft/actions/publish", status)
