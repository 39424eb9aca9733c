"""Writing at the simulated doors, as it was measured at real ones: what is kept, what is refused, and how."""

from __future__ import annotations

import contextlib
import subprocess
import zlib

import pytest

from tests.grid.tree import TAPE, Folder
from tests.support.client import NAMES, Client, seen
from tests.support.user import wait_until

D, S = "dcache-10.2", "storm-1.9"
MINE = b"mine" * 5000
ADLER = f"{zlib.adler32(MINE):08x}"
CHECKSUM = NAMES.format("<c:Checksums/><t:Checksum/>")


def asking(user: Client, name: str, data: bytes, cut: int | None = None, **headers: str) -> list[int]:
    """The statuses that a PUT meets whose client waits for a word, and leaves after some of its bytes."""
    with contextlib.closing(user.connect(user.door.url)) as connection:
        connection.putrequest("PUT", f"/agata/{name}")
        for header, value in {"Content-Length": str(len(data)), "Expect": "100-continue", **headers}.items():
            connection.putheader(header, value)
        connection.endheaders()
        statuses = []
        with connection.sock.makefile("rb") as answer:
            while line := answer.readline():
                statuses.append(int(line.split()[1]))
                while answer.readline().strip():
                    pass
                if statuses[-1] != 100:
                    break
                connection.sock.sendall(data[:cut])
                if cut is not None:
                    break
    return statuses


def content(user: Client, name: str) -> bytes:
    return user.get(name).body


def digest(user: Client, name: str) -> str | None:
    return user.ask("HEAD", name, Want_Digest="adler32").headers["Digest"]


# == dCache =============================================================================================


def test_an_upload_goes_to_the_pool_or_straight_to_the_door(at, grid, tmp_path):
    user, file = at(), tmp_path / "file"
    file.write_bytes(MINE)
    proxy = str(grid.pki.proxy("good"))
    curl = ["curl", "-sS", "-L", "--capath", grid.env["X509_CERT_DIR"], "--cert", proxy, "-H", "Want-Digest: adler32"]
    told = []
    for where, expect in (("redirected", "Expect: 100-continue"), ("direct", "Expect:")):
        words = ["-i", "-H", expect, "-T", str(file), f"{user.door.url}/agata/new/{where}"]
        told.append(subprocess.run([*curl, *words], env=grid.env, capture_output=True).stdout.decode())
    at_door, _, at_pool = told[0].partition("\r\n\r\n")
    assert at_door.startswith("HTTP/1.1 307") and "Connection: close" in at_door
    assert "HTTP/1.1 100 Continue" in at_pool and "HTTP/1.1 201 Created" in at_pool
    assert f"Location: {user.door.url}/agata/new/redirected\r\n" in at_pool and f"Digest: adler32={ADLER}" in at_pool
    assert "Content-Length: 24\r\n" in at_pool and at_pool.endswith("20000 bytes uploaded\r\n\r\n")
    assert told[1].count("HTTP/1.1") == 1 and "ETag: " in told[1] and f"Digest: adler32={ADLER}" in told[1]
    assert [(r.role, r.status) for r in user.door.log.matching(method="PUT")] == [
        ("door", 307), ("pool", 201), ("door", 201)
    ]  # fmt: skip
    for name in ("new/redirected", "new/direct"):
        assert user.get(name, Range="bytes=1-4").body == b"inem"
        assert digest(user, name) == f"adler32={ADLER}"
        assert user.listing(name, CHECKSUM).properties["Checksums"] == f"adler32={ADLER}"


def test_what_dcache_takes_and_refuses(at):
    user = at()
    assert user.ask("PUT", "a/b/c/file", MINE, X_OC_Mtime="1433851200").status == 201  # with all that is missing above
    assert user.tree.file("agata/a/b/c/file").mtime == 1433851200
    assert [user.ask("PUT", "disk", b"new").status, content(user, "disk")] == [201, b"new"]
    folder = user.ask("PUT", "a", b"x")
    assert (folder.status, folder.body) == (405, b"Method PUT is not allowed.\n")
    assert user.ask("PUT", "disk/below", b"x").status == 409
    missing = user.ask("MKCOL", "missing/folder")
    assert (missing.status, b"<h1>Conflict</h1>" in missing.body) == (409, True)
    assert [user.ask("MKCOL", name).status for name in ("new", "new", "disk")] == [201, 405, 405]
    assert user.ask("PUT", "file", b"x", token=user.door.token(60, scope="storage.read:/")).status == 403
    assert [user.ask("PUT", "empty", b"").status, digest(user, "empty")] == [201, "adler32=00000001"]
    assert [user.ask("DELETE", name).status for name in ("disk", "disk", "a", "new")] == [204, 404, 409, 204]
    user.tree.add("agata/x", 10)
    assert user.ask("MOVE", "x", Destination=f"{user.door.url}/agata/y").status == 201
    assert user.ask("GET", "x").status == 404 and content(user, "y") == user.tree.expected("agata/y")
    odd = user.ask("PUT", "cafe\u0301", b"x")  # an accent that stands for itself
    assert (odd.status, odd.body) == (400, b"Received a bad PUT request.\n")


def test_an_upload_that_is_cut_off_leaves_nothing_at_dcache(at):
    user = at()
    user.door.switches.redirect = "proxy"
    for name in ("new", "disk"):
        assert asking(user, name, MINE, cut=5000) == [100]
        wait_until(lambda name=name: user.tree.find(f"agata/{name}") is None)


@pytest.mark.parametrize(("profile", "text"), [(D, b"SER_QUOTA_EXCEEDED"), (S, b"507")])
def test_a_full_store_says_so_before_the_bytes_come(at, profile, text):
    user = at(profile)
    user.door.switches.quota = 30_000
    assert user.ask("PUT", "one", MINE).status == 201
    assert asking(user, "two", MINE) == [507]
    assert text in user.ask("PUT", "two", MINE).body
    user.ask("DELETE", "one")
    assert user.ask("PUT", "two", MINE).status == 201


# == StoRM ==============================================================================================


def test_what_storm_takes_and_refuses(at):
    user = at(S)
    assert asking(user, "a/b/new", MINE) == [100, 201]
    assert (digest(user, "a/b/new"), content(user, "a/b/new")) == (f"adler32={ADLER}", MINE)
    assert asking(user, "a/b/new", MINE) == [100, 204]
    assert asking(user, "a/b", MINE) == [100, 405]
    assert user.ask("PUT", "with a blank", b"x").status == 201 and user.ask("GET", "with a blank").status == 404
    assert user.ask("PUT", "100%", b"x").status == 400
    assert user.ask("PUT", "right", b"x", Digest="adler32=ffffffff").status == 201  # nobody compares
    pieces = iter([b"2\r\nab\r\n", b"2\r\ncd\r\n", b"0\r\n\r\n"])
    chunks = user.ask("PUT", "chunks", pieces, Transfer_Encoding="chunked")
    assert (chunks.status, content(user, "chunks")) == (201, b"abcd")
    assert [user.ask("MKCOL", name).status for name in ("new/", "new", "disk", "missing/new")] == [201, 405, 405, 409]
    full = user.ask("DELETE", "a")
    assert (full.status, full.body) == (412, b"Directory is not empty: a\n")
    assert [user.ask("DELETE", name).status for name in ("new", "new")] == [204, 404]
    assert user.ask("PATCH", "disk", b"x").status == 501
    stranger = at(S, "plain")
    assert asking(stranger, "file", MINE) == [403]


def test_storm_writes_over_a_file_in_place(at):
    user = at(S)
    user.ask("PUT", "file", b"0123456789")
    assert user.ask("PUT", "file", b"abc").status == 204
    assert (content(user, "file"), digest(user, "file")) == (b"abc3456789", f"adler32={zlib.adler32(b'abc'):08x}")
    assert user.ask("PUT", "file", b"").status == 500
    assert user.ask("PUT", "file", b"x", If_None_Match="*").status == 412
    assert asking(user, "file", b"x", **{"If-None-Match": "*"}) == [412]
    assert user.ask("PUT", "other", b"x", If_None_Match="*").status == 201
    tag = user.listing("file").properties["getetag"]
    assert [user.ask("PUT", "file", b"x", If_Match=value).status for value in ('"wrong"', tag)] == [412, 204]
    assert user.ask("PUT", "ranges", b"abc", Content_Range="bytes 0-2/6").status == 201
    assert content(user, "ranges") == b""
    assert user.ask("PUT", "ranges", b"def", Content_Range="bytes 3-5/6").status == 500
    user.tree.file("agata/file").locality = TAPE
    assert user.ask("PUT", "file", b"x").status == 415
    assert user.ask("MOVE", "file", Destination="/agata/y").status == 415


def test_an_upload_that_is_cut_off_stays_as_it_is_at_storm(at):
    user = at(S)
    assert asking(user, "new", MINE, cut=5000) == [100]
    wait_until(lambda: user.tree.find("agata/new") is not None)
    assert (content(user, "new"), digest(user, "new")) == (MINE[:5000], None)
    before, old = content(user, "disk"), digest(user, "disk")
    assert asking(user, "disk", MINE, cut=5000) == [100]
    wait_until(lambda: content(user, "disk") != before)
    assert (content(user, "disk"), digest(user, "disk")) == (MINE[:5000] + before[5000:], old)


@pytest.mark.parametrize(("profile", "replaced"), [(D, 204), (S, 201)])
def test_a_move_takes_no_place_that_is_taken(at, profile, replaced):
    user = at(profile)
    user.ask("PUT", "part", MINE)
    to = f"{user.door.url}/agata/disk"
    statuses = [user.ask("MOVE", "part", Destination=to, **more).status for more in ({}, {"Overwrite": "F"})]
    assert [*statuses, user.ask("MOVE", "part", Destination=to, Overwrite="T").status] == [412, 412, replaced]
    assert (content(user, "disk"), digest(user, "disk")) == (MINE, f"adler32={ADLER}")
    assert user.ask("MOVE", "disk", Destination=f"{user.door.url}/agata/missing/disk").status == 409
    assert user.ask("MOVE", "gone", Destination=to).status == 404
    user.ask("MKCOL", "folder")
    assert user.ask("MOVE", "folder", Destination="/agata/renamed").status == 201
    assert isinstance(user.tree.find("agata/renamed"), Folder)


def test_a_door_that_hangs_up_in_mid_upload(at):
    user = at(S)
    user.door.faults.add("*/new", "reset", method="PUT")
    assert seen(lambda: user.ask("PUT", "new", MINE)) in ("closed", "reset")
    assert user.tree.find("agata/new") is None
