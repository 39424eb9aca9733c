"""The service of a hub, alone: what it answers, with a plain client."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterator

import pytest

from tests.grid import Grid, agata
from tests.grid.hub import BASE, CERTIFICATES, LOGIN, PREFIX, Hub

JSON = {"Content-Type": "application/json"}
RUN = f"e680_1to64/{agata.RUN}/Data/03A"
HOME = "lst/users/alice"


class Client:
    """Somebody with a token."""

    def __init__(self, hub: Hub, pki_folder: str):
        self.hub = hub
        context = ssl.create_default_context(capath=pki_folder)
        self.line = http.client.HTTPSConnection("localhost", hub.port, timeout=60, context=context)

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of an answer."""
        shown = {"Authorization": f"Bearer {self.hub.token}", **JSON}
        shown.update({name.replace("_", "-"): value for name, value in headers.items()})
        self.line.request(method, path, body, {name: value for name, value in shown.items() if value})  # type: ignore[arg-type]
        answer = self.line.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()


@pytest.fixture
def client(grid: Grid) -> Iterator[Client]:
    grid.hub.reset()
    yield Client(grid.hub, str(grid.pki.certificates))
    grid.hub.reset()


def test_a_folder_is_listed_with_itself_first(client):
    status, _, body = client.ask("GET", f"{PREFIX}/list/{RUN}")
    rows = json.loads(body)
    assert status == 200 and rows[0]["href"] == f"{RUN}/" and rows[0]["type"] == "directory" and "size" not in rows[0]
    small = next(row for row in rows if row["href"].endswith(agata.SMALL))
    assert small["type"] == "file"
    assert int(small["size"]) == client.hub.tree.file(f"{BASE}/{RUN}/{agata.SMALL}").size


def test_a_file_is_fetched_in_chunks_without_its_length_and_what_is_not_there_is_a_page_under_200(client):
    path = f"{RUN}/{agata.SMALL}"
    status, headers, body = client.ask("GET", f"{PREFIX}/fetch/{path}", Range="bytes=0-9")
    assert (status, headers.get("Content-Length")) == (200, None)
    assert body == client.hub.tree.expected(f"{BASE}/{path}")
    status, headers, body = client.ask("GET", f"{PREFIX}/fetch/{RUN}/nothing")
    assert status == 200 and b"not found" in body and headers["Content-Type"] == "application/octet-stream"


def test_webdav_is_the_dcache_without_lengths_and_redirects_are_the_clients(client):
    path = f"{RUN}/{agata.SMALL}"
    size = client.hub.tree.file(f"{BASE}/{path}").size
    status, headers, body = client.ask("PROPFIND", f"{PREFIX}/webdav/{path}", Depth="0")
    assert status == 207 and f"href>{PREFIX}/webdav/{path}<".encode() in body and str(size).encode() in body
    assert client.ask("HEAD", f"{PREFIX}/webdav/{path}")[1]["Content-Length"] == "0"
    status, headers, _ = client.ask("GET", f"{PREFIX}/webdav/{path}", Range="bytes=0-9")
    assert status == 302 and headers["Location"].startswith(client.hub.dcache.pool_url)
    client.hub.dcache.switches.redirect = "proxy"
    status, headers, body = client.ask("GET", f"{PREFIX}/webdav/{path}", Range="bytes=0-9")
    assert (status, headers["Content-Range"]) == (206, f"bytes 0-9/{size}")
    assert body == client.hub.tree.expected(f"{BASE}/{path}")[:10] and client.hub.largest >= 10


def test_a_user_writes_into_one_folder_alone(client):
    assert client.ask("MKCOL", f"{PREFIX}/webdav/{HOME}/")[0] == 201
    assert client.ask("PUT", f"{PREFIX}/webdav/{HOME}/a", b"bytes")[0] == 201
    assert client.ask("PUT", f"{PREFIX}/webdav/{HOME}/a", b"other", If_None_Match="*")[0] == 412
    assert client.ask("GET", f"{PREFIX}/fetch/{HOME}/a")[2] == b"bytes"
    assert client.ask("PUT", f"{PREFIX}/webdav/cta/DL1/a", b"bytes")[0] == 403
    assert client.ask("MKCOL", f"{PREFIX}/webdav/{HOME}")[0] == 403
    for method in ("DELETE", "MOVE"):
        assert client.ask(method, f"{PREFIX}/webdav/{HOME}/a")[0] == 405
    status, _, body = client.ask("POST", f"{PREFIX}/upload/b", b"bytes")
    assert (status, json.loads(body)) == (200, {"status": "uploaded", "path": f"{HOME}/b", "total_written": 5})
    assert client.ask("POST", f"{PREFIX}/upload/new/b", b"bytes")[0] == 200
    client.hub.switches.makes_folders = False
    assert client.ask("POST", f"{PREFIX}/upload/newer/b", b"bytes")[0] == 409


@pytest.mark.parametrize("login", ["right", "way", "page"])
def test_a_token_that_nobody_has_gives_what_the_switch_says(client, login):
    client.hub.switches.login = login
    status, headers, body = client.ask("GET", f"{PREFIX}/list/", Authorization="Bearer nobodys")
    if login == "page":
        assert status == 200 and b"Sign in" in body
    elif login == "way":
        assert status == 302 and headers["Location"].startswith(LOGIN)
    else:
        assert (status, json.loads(body)) == (401, {"message": "Invalid or missing Bearer token"})
    if login == "right":
        assert client.ask("GET", f"{PREFIX}/list/", Authorization="Bearer nobodys", Content_Type="")[0] == 302
        assert client.ask("GET", f"{PREFIX}/list/", Authorization="Bearer guests-token-0123456789abcdef")[0] == 403


def test_a_name_that_means_something_in_a_url_becomes_another_one(client):
    tree = client.hub.tree
    for name in ("a#b", "a?b", "aAb"):
        tree.add(f"{BASE}/odd/{name}", 10)
    assert client.ask("PROPFIND", f"{PREFIX}/webdav/odd/a%23b", Depth="0")[0] == 404
    status, _, body = client.ask("PROPFIND", f"{PREFIX}/webdav/odd/a%2541b", Depth="0")
    assert status == 207 and b"/odd/aAb<" in body
    client.hub.switches.mangles = False
    assert client.ask("PROPFIND", f"{PREFIX}/webdav/odd/a%23b", Depth="0")[0] == 207
    tree.remove(f"{BASE}/odd")


def test_what_looks_like_a_listing_is_replaced_in_files_too(client):
    client.hub.dcache.switches.redirect = "proxy"
    text = f"<d:href>/{BASE}/x</d:href>".encode()
    client.ask("MKCOL", f"{PREFIX}/webdav/{HOME}/")
    client.ask("PUT", f"{PREFIX}/webdav/{HOME}/page", text)
    assert client.ask("GET", f"{PREFIX}/webdav/{HOME}/page")[2] == f"<d:href>{PREFIX}/webdav/x</d:href>".encode()
    assert client.ask("GET", f"{PREFIX}/fetch/{HOME}/page")[2] == text


def upload(client: Client, text: str, key: str = "cta") -> tuple[int, bytes]:
    asked = json.dumps({"certificate": text, "certificate_key": key, "user": None})
    status, _, body = client.ask("POST", f"{CERTIFICATES}/certificate", asked)
    return status, body


def test_a_certificate_is_judged_by_its_validity(client, grid):
    good = grid.pki.proxy("good").read_text()
    status, body = upload(client, good)
    assert status == 200 and isinstance(json.loads(body)["validity"], str)
    assert list(client.hub.certificates) == ["alice__cta.crt"]
    client.hub.certificates.clear()
    for text in (grid.pki.proxy("expired").read_text(), (grid.pki.folder / "alice.pem").read_text()):
        status, body = upload(client, text)
        assert status == 200 and json.loads(body)["validity"][1] == 400
    assert upload(client, "nothing")[0] == 400 and upload(client, good, "other")[0] == 500
    assert upload(client, grid.pki.host("untrusted")[0].read_text())[0] in (200, 400)
    status, _, _ = client.ask("POST", f"{CERTIFICATES}/main-certificate", json.dumps({"certificate": good}))
    assert status == 401 and not client.hub.certificates
