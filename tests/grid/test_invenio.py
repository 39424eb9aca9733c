"""What the real Invenio answers, with plain requests: each of its dangers first, then what others build on."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.grid import Grid
from tests.grid.invenio import MOST_FILES, QUOTA, TOP, Invenio
from tests.support.rdm import METADATA, STREAM, Client

pytestmark = pytest.mark.long
FAILED = ["File upload transfer failed."]


@pytest.fixture
def client(grid: Grid, invenio: Invenio) -> Client:
    return Client(invenio, str(grid.pki.folder / "ca.pem"))


def md5(data: bytes) -> str:
    return f"md5:{hashlib.md5(data).hexdigest()}"


def multipart(key: str, size: int, part: int) -> dict[str, Any]:
    return {"key": key, "size": size, "transfer": {"type": "M", "parts": -(-size // part), "part_size": part}}


def complaints(answer: dict[str, Any]) -> dict[str, str]:
    return {one["field"]: " ".join(one["messages"]) for one in answer.get("errors", [])}


# The dangers.


def test_a_declared_size_and_checksum_mean_nothing(client):
    draft = client.draft()
    client.announce(draft, {"key": "a", "size": 10, "checksum": f"md5:{'0' * 32}"})
    client.send(draft, "a/content", b"x" * 2500)
    done = client.commit(draft, "a")
    assert (done["status"], done["size"], done["checksum"]) == ("completed", 2500, md5(b"x" * 2500))


def test_a_refused_part_is_told_under_200_and_a_file_of_zeros_is_completed(client):
    draft = client.draft()
    client.announce(draft, multipart("m", 25, 10))
    for part in (1, 4):
        assert client.send(draft, f"m/content/{part}", b"x" * 9)["errors"] == FAILED
    done = client.commit(draft, "m")
    assert done["status"] == "completed" and done["checksum"] == md5(bytes(25))


def test_the_length_of_the_last_part_is_not_looked_at(client):
    draft = client.draft()
    client.announce(draft, multipart("m", 15, 10))
    client.send(draft, "m/content/1", b"x" * 10)
    assert "errors" not in client.send(draft, "m/content/2", b"x" * 9)
    assert client.commit(draft, "m")["checksum"] == md5(b"x" * 19)
    assert client("GET", f"/records/{draft}/draft/files/m", 200)["size"] == 15


def test_a_key_is_announced_once_and_one_that_is_there_spoils_all_of_a_list(client):
    draft = client.draft()
    client.announce(draft, {"key": "a"})
    refused = client("POST", f"/records/{draft}/draft/files", 400, [{"key": "new"}, {"key": "a"}])
    assert refused["message"] == "File with key a already exists." and client.files(draft) == {"a": "pending"}


def test_a_commit_without_bytes_is_the_servers_error(client):
    draft = client.draft()
    client.announce(draft, {"key": "a"})
    assert client.commit(draft, "a", 500)["status"] == 500
    assert client.commit(draft, "b", 404)["message"] == f"Record '{draft}' has no file 'b'."


def test_nothing_is_published_while_a_file_is_pending_or_where_there_is_none(client):
    draft = client.draft()
    assert "Missing uploaded files" in complaints(client.publish(draft, 400))["files.enabled"]
    client.put(draft, "a", b"a")
    client.announce(draft, {"key": "b"})
    assert "have not completed" in complaints(client.publish(draft, 400))["files"]
    client("DELETE", f"/records/{draft}/draft/files/b", 204)
    assert client.publish(draft)["is_published"]


def test_a_range_is_not_heard(client):
    draft = client.draft()
    client.put(draft, "a", b"0123456789")
    client.publish(draft)
    answer = client.answer("GET", f"/records/{draft}/files/a/content", headers={"Range": "bytes=1-3"})
    assert (answer.status_code, answer.content) == (200, b"0123456789")
    assert f"md5:{answer.headers['Content-MD5']}" == md5(b"0123456789")


@pytest.mark.parametrize("kind", ["L", "M"])
def test_bytes_that_come_again_or_in_one_go_for_parts_remove_the_file(client, kind):
    draft = client.draft()
    if kind == "L":
        client.put(draft, "a", b"right")
    else:
        client.announce(draft, multipart("a", 25, 10))
    assert client.send(draft, "a/content", b"again")["errors"] == FAILED
    assert client.files(draft) == {}
    assert client.put(draft, "a", b"right")["checksum"] == md5(b"right")


# What is built on.


def test_a_draft_keeps_what_is_right_and_names_the_rest_by_field(client):
    made = client("POST", "/records", 201, {"metadata": {"title": "gridsync-key"}})
    assert made["metadata"] == {"title": "gridsync-key"}
    assert set(complaints(made)) == {"metadata.creators", "metadata.publication_date", "metadata.resource_type"}
    bad = {**METADATA, "energy": 1, "creators": [{"person_or_org": {"type": "personal", "given_name": "A"}}]}
    told = complaints(client("PUT", f"/records/{made['id']}/draft", 200, {"metadata": bad}))
    assert told["metadata.energy"] == "Unknown field." and "files.enabled" in told
    assert told["metadata.creators.0.person_or_org.family_name"] == "Family name cannot be blank."
    client.put(made["id"], "a", b"a")
    assert set(complaints(client.publish(made["id"], 400))) == {"metadata.creators"}
    assert complaints(client("PUT", f"/records/{made['id']}/draft", 200, {"metadata": METADATA})) == {}
    record = client.publish(made["id"])
    assert record["metadata"] == METADATA and record["id"] == made["id"]
    assert client("GET", f"/records/{record['id']}", 200)["is_published"]
    client("GET", f"/records/{record['id']}/draft", 404)


def test_a_file_comes_in_parts_in_any_order(client):
    draft, data = client.draft(), bytes(range(256)) * 100
    entry = client.announce(draft, multipart("deep/a b.root", len(data), 10_000))["deep/a b.root"]
    assert entry["status"] == "pending" and "content" not in entry["links"]
    for one in reversed(entry["links"]["parts"]):
        start = 10_000 * (one["part"] - 1)
        told = client("PUT", one["url"], 200, data=data[start : start + 10_000], headers=STREAM)
        assert "errors" not in told and told["status"] == "pending"
    done = client("POST", entry["links"]["commit"], 200)
    assert (done["status"], done["checksum"]) == ("completed", md5(data))
    client.publish(draft)
    assert client.other("").answer("GET", f"/records/{draft}/files/deep/a%20b.root/content").content == data


def test_a_draft_is_removed_and_nothing_of_it_is_left(client):
    draft = client.draft()
    client.put(draft, "a", b"a")
    client("DELETE", f"/records/{draft}/draft", 204)
    for method, path in (("GET", "draft"), ("GET", "draft/files"), ("DELETE", "draft")):
        client(method, f"/records/{draft}/{path}", 404)


def test_a_new_version_takes_the_files_of_the_old_one_and_leaves_it_alone(client):
    old = client.draft()
    client.put(old, "same", b"same")
    client.put(old, "other", b"old")
    client.publish(old)
    new = client("POST", f"/records/{old}/versions", 201)
    assert new["versions"]["index"] == 2 and client("POST", f"/records/{old}/versions", 201)["id"] == new["id"]
    assert client.files(new["id"]) == {}
    client("POST", f"/records/{new['id']}/draft/actions/files-import", 201)
    assert client.files(new["id"]) == {"same": "completed", "other": "completed"}
    client("DELETE", f"/records/{new['id']}/draft/files/other", 204)
    client.put(new["id"], "other", b"new")
    client.publish(new["id"])
    contents = {id_: client.answer("GET", f"/records/{id_}/files/other/content").content for id_ in (old, new["id"])}
    assert contents == {old: b"old", new["id"]: b"new"}
    latest = client.answer("GET", f"/records/{old}/versions/latest")
    assert latest.status_code == 301 and latest.headers["Location"].endswith(f"/api/records/{new['id']}")


def test_files_of_a_published_record_stay(client):
    record = client.draft()
    client.put(record, "a", b"a")
    client.publish(record)
    client("POST", f"/records/{record}/draft", 201)
    locked = client("DELETE", f"/records/{record}/draft/files/a", 403)
    assert locked["message"] == "Bucket is locked for modifications."


def test_members_of_an_archive_are_listed_and_sent(client):
    members = {"a.txt": b"hello", "deep/b ü#.txt": b"world" * 9}
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    record = client.draft()
    client.put(record, "all.zip", written.getvalue())
    client.put(record, "spoilt.zip", b"no archive")
    client.put(record, "a.txt", b"a")
    client.publish(record)
    anybody = client.other("")
    files = {one["key"]: one for one in anybody("GET", f"/records/{record}/files", 200)["entries"]}
    listed = anybody("GET", files["all.zip"]["links"]["container"], 200)
    assert not listed["truncated"] and listed["total"] == 2
    for entry in listed["entries"]:
        data = members[entry["key"]]
        assert (entry["size"], entry["crc"]) == (len(data), zlib.crc32(data))
        assert anybody.answer("GET", entry["links"]["content"]).content == data
    anybody("GET", f"/records/{record}/files/all.zip/container/none", 404)
    anybody("GET", f"/records/{record}/files/a.txt/container", 400)
    anybody("GET", f"/records/{record}/files/spoilt.zip/container", 500)


def test_only_its_owner_reads_a_restricted_record(client):
    record = client.draft(access={"record": "restricted", "files": "restricted"})
    client.put(record, "a", b"secret")
    client.publish(record)
    for user, status in (("", 403), ("bob", 403), ("nobodys", 403), ("alice", 200), ("reader", 200)):
        for path in (f"/records/{record}", f"/records/{record}/files", f"/records/{record}/files/a/content"):
            assert client.other(user).answer("GET", path).status_code == status, (user, path)


@pytest.mark.parametrize("user", ["", "nobodys", "reader", "bob"])
def test_who_may_not_write_is_refused(client, user):
    draft, other = client.draft(), client.other(user)
    if user != "bob":
        assert other("POST", "/records", 403, {"metadata": METADATA})["message"] == "Permission denied."
    other("PUT", f"/records/{draft}/draft", 403, {"metadata": METADATA})
    other("POST", f"/records/{draft}/draft/files", 403, [{"key": "a"}])
    other("POST", f"/records/{draft}/draft/actions/publish", 403)
    other("DELETE", f"/records/{draft}/draft", 403)
    assert client("GET", f"/records/{draft}/draft", 200)["metadata"] == METADATA
    assert other.answer("GET", f"/records/{draft}/draft").status_code == (200 if user == "reader" else 403)


def test_a_record_has_its_most_files_and_its_quota(client):
    draft = client.draft()
    refused = client("POST", f"/records/{draft}/draft/files", 400, [{"key": str(n)} for n in range(MOST_FILES + 1)])
    assert "exceeding the max amount" in refused["message"] and client.files(draft) == {}
    client.announce(draft, *({"key": str(number)} for number in range(MOST_FILES)))
    path, half = f"/records/{draft}/draft/files", bytes(QUOTA // 2 + 1)
    client.send(draft, "0/content", half)
    refused = client("PUT", f"{path}/1/content", 400, data=half, headers=STREAM)
    assert refused["message"] == "Bucket quota exceeded." and client.files(draft)["1"] == "pending"


def test_users_find_what_is_theirs_by_words_of_titles(client):
    title = f"gridsync-{os.urandom(16).hex()}"
    draft = client.draft(title)
    for text in (title, f'"{title}"', f'metadata.title:"{title}"'):
        told = client("GET", "/user/records", 200, params={"q": text})
        assert told["hits"]["total"] == 1 and told["hits"]["hits"][0]["id"] == draft
    assert client.other("bob")("GET", "/user/records", 200, params={"q": title})["hits"]["total"] == 0
    client.put(draft, "a", b"a")
    client.publish(draft)
    (hit,) = client("GET", "/user/records", 200, params={"q": title})["hits"]["hits"]
    assert hit["is_published"] and client.other("")("GET", "/records", 200, params={"q": title})["hits"]["total"] == 1
    for number in range(3):
        client.draft(f"pages {title} {number}")
    told = client("GET", "/user/records", 200, params={"q": f"pages {title}", "size": 2, "page": 2})
    assert told["hits"]["total"] == 3 and len(told["hits"]["hits"]) == 1


START = """
import json, sys, time
from pathlib import Path
from tests.grid.invenio import Invenio
from tests.grid.pki import Pki
pki = Pki(Path(sys.argv[1]) / "pki")
pki.create()
invenio = Invenio(Path(sys.argv[1]) / "invenio", pki)
invenio.start()
print(invenio._server.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that the server reaches, which may be another user: those of pytest are closed."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_it_ends_with_whoever_started_it(invenio, open_folder):
    starter = subprocess.Popen(
        [sys.executable, "-c", START, str(open_folder)], cwd=TOP, stdout=subprocess.PIPE, text=True
    )  # fmt: skip
    try:
        server = int(starter.stdout.readline())
        os.kill(server, 0)
        starter.send_signal(signal.SIGKILL)
        end = time.monotonic() + 30
        while is_there(server) and time.monotonic() < end:
            time.sleep(0.1)
        assert not is_there(server)
    finally:
        starter.kill()
        starter.wait()


def is_there(pid: int) -> bool:
    """Whether a process runs; one that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
