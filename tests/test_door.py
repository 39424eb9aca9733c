"""The simulated doors: each profile answers as its software does, each switch turns something, each fault is met."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
import math
import socket
import ssl
import subprocess
import threading
import time
import xml.etree.ElementTree as ET
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from tests.grid import Grid, faults
from tests.grid import door as door_module
from tests.grid.door import PROFILES, Door, Switches
from tests.grid.faults import KINDS
from tests.grid.tape import WELL_KNOWN, Robot
from tests.grid.tree import BOTH, Tree, checksum

SIZE = 100_000
TAPE = {"files": [{"path": "/agata/tape"}]}  # what to stage
SILENCE = 0.3  # seconds after which a client here takes an answer for silence
NAMES = """<propfind xmlns="DAV:" xmlns:s="http://srm.lbl.gov/StorageResourceManager"
xmlns:c="http://www.dcache.org/2013/webdav" xmlns:t="http://storm.italiangrid.org/2014/webdav"><prop>
<getcontentlength/><getetag/>{}</prop></propfind>"""
BOTH_SORTS = NAMES.format("<s:FileLocality/><c:Checksums/><t:Checksum/>")
DCACHE_ONLY = NAMES.format("<s:FileLocality/><c:Checksums/>")


class Answer(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def properties(self) -> dict[str, str]:
        """The properties that a listing of one resource gives."""
        stats = ET.fromstring(self.body).iter("{DAV:}propstat")
        found = [stat for stat in stats if " 200 " in stat.findtext("{DAV:}status", "")]
        return {prop.tag.rpartition("}")[2]: prop.text or "" for stat in found for prop in stat[0]}


class User:
    """Alice at a door with a small tree of its own; no redirect is followed."""

    def __init__(self, grid: Grid, profile: str) -> None:
        self.tree = Tree()
        self.tree.add("agata/disk", SIZE)
        self.tree.add("agata/tape", SIZE, tape=True)
        self.tree.add("agata/empty", 0)
        self.tree.add("agata/short", 1)  # its adler32 begins with zeros
        self.tree.add("agata/lost", 10).locality = "LOST"
        self.robot = Robot(self.tree, 4, 0)
        self.robot.hold()
        self.door = Door(self.tree, grid.pki, self.robot, profile)
        self.door.switches.mover_timeout = 0.1
        self.door.start()
        self.tls = ssl.create_default_context(capath=grid.env["X509_CERT_DIR"])
        self.tls.load_cert_chain(grid.pki.proxy("good"))
        self.bare = ssl.create_default_context(capath=grid.env["X509_CERT_DIR"])

    def connect(self, url: str, timeout: float = 5, token: str = "") -> http.client.HTTPConnection:
        parts = urlsplit(url)
        if parts.scheme == "http":
            return http.client.HTTPConnection(parts.netloc, timeout=timeout)
        return http.client.HTTPSConnection(parts.netloc, timeout=timeout, context=self.bare if token else self.tls)

    def ask(
        self, method: str, where: str, body: Any = None, timeout: float = 5, token: str = "", **headers: str
    ) -> Answer:
        """One request on a connection of its own; `where` is a URL or a name in agata/."""
        url = where if "//" in where else f"{self.door.url}/agata/{where}"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            named["Authorization"] = f"Bearer {token}"
        body = json.dumps(body) if isinstance(body, (dict, list)) else body
        with contextlib.closing(self.connect(url, timeout, token)) as connection:
            parts = urlsplit(url)
            connection.request(method, parts.path + "?" * bool(parts.query) + parts.query, body, named)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())

    def get(self, name: str = "disk", **headers: str) -> Answer:
        """Read a file wherever it is: one redirect is followed, and the wish for a digest repeated."""
        answer = self.ask("GET", name, **headers)
        return self.ask("GET", answer.headers["Location"], **headers) if answer.status == 302 else answer

    def listing(self, name: str = "disk", names: str = DCACHE_ONLY, depth: str = "0", **more: Any) -> Answer:
        return self.ask("PROPFIND", name, names, Depth=depth, **more)

    def tape(self, method: str, call: str, document: Any = None) -> Answer:
        return self.ask(method, f"{self.door.tape_url}/{call}", document)

    def stage(self, *names: str, root: str = "", **more: str) -> str:
        files = [{"path": f"{root}/agata/{name}", **more} for name in names or ("tape",)]
        return str(self.tape("POST", "stage", {"files": files}).json["requestId"])

    def stop(self) -> None:
        self.robot.go()
        self.door.stop()


@pytest.fixture
def at(grid: Grid) -> Iterator[Callable[[str], User]]:
    """Alice at a new door of a profile."""
    users: list[User] = []

    def make(profile: str = "dcache-10.2") -> User:
        users.append(User(grid, profile))
        return users[-1]

    yield make
    for user in users:
        user.stop()


def seen(call: Callable[[], Answer]) -> Any:
    """What a client sees of an answer that may not come."""
    try:
        return call().status
    except http.client.IncompleteRead:
        return "cut"
    except http.client.RemoteDisconnected:
        return "closed"
    except ConnectionResetError:
        return "reset"
    except ConnectionRefusedError:
        return "refused"
    except TimeoutError:
        return "silence"


def locality(user: User, name: str, root: str = "") -> str:
    row = user.tape("POST", "archiveinfo", {"paths": [f"{root}/agata/{name}"]}).json[0]
    return str(row.get("locality") or row["error"])


def times(user: User) -> dict[str, Any]:
    document = user.tape("GET", f"stage/{user.stage()}").json
    return {"created": len(str(document["createdAt"])), "completed": document.get("completedAt", "omitted")}


def staged(user: User, name: str) -> dict[str, Any]:
    return dict(user.tape("GET", f"stage/{user.stage(name)}").json["files"][0])


# == Profiles ===========================================================================================

# What to ask, and what dCache 9.2 and 10.2, StoRM 1.4 and 1.9 say.
PARTS: dict[str, tuple[Callable[[User], Any], list[Any]]] = {
    "server": (lambda u: u.ask("HEAD", "disk").headers["Server"], ["dCache/9.2.12", "dCache/10.2.25", None, None]),
    "read": (lambda u: u.ask("GET", "disk").status, [302, 302, 200, 200]),
    "read from tape": (
        lambda u: seen(lambda: u.ask("GET", "tape", timeout=SILENCE)), [500, 500, "silence", 415]
    ),
    "text of 404": (
        lambda u: u.ask("GET", "nowhere").body.split(b"<body>")[-1][:16],
        [b"Path not found: ", b"Path not found: ", b"<h1>404 Not Foun", b"<h1>404 Not Foun"],
    ),
    "checksum, not asked for": (
        lambda u: u.get("short").headers["Digest"], [None, None, "adler32=470047", "adler32=00470047"]
    ),
    "weak tag": (lambda u: u.ask("HEAD", "disk").headers["ETag"][:2] == "W/", [False, False, True, True]),
    "locality of HEAD": (lambda u: u.ask("HEAD", "tape").headers["Locality"], [None, None, None, "TAPE"]),
    "properties": (
        lambda u: sorted(u.listing("tape", BOTH_SORTS).properties.keys() - {"getcontentlength", "getetag"}),
        [["Checksums", "FileLocality"]] * 2 + [["Checksum"]] * 2,
    ),
    "unknown StoRM property": (
        lambda u: u.listing("disk", NAMES.format("<t:Locality/>")).status, [207, 207, 500, 500]
    ),
    "well-known": (lambda u: u.ask("GET", u.door.url + WELL_KNOWN).status, [200, 200, 404, 200]),
    "tape service": (lambda u: urlsplit(u.door.tape_url).path, ["/api/v1/tape"] * 2 + ["/api/v1"] * 2),
    "501 files": (
        lambda u: u.tape("POST", "stage", {"files": [{"path": "/agata/x"}] * 501}).status, [403, 413, 201, 201]
    ),
    "times": (times, [{"created": 13, "completed": "omitted"}] * 2 + [{"created": 10, "completed": 0}] * 2),
    "failed": (lambda u: sorted(staged(u, "x")), [["error", "finishedAt", "path", "startedAt", "state"]] * 2
               + [["path", "state"]] * 2),
    "on disk alone": (
        lambda u: (staged(u, "disk")["state"], "error" in staged(u, "disk")),
        [("FAILED", False), ("FAILED", True), ("COMPLETED", False), ("COMPLETED", False)],
    ),
    "unknown request": (
        lambda u: (lambda a: (a.headers["Content-Type"], a.json["status"]))(u.tape("GET", "stage/x")),
        [("application/json", "404")] * 2 + [("application/problem+json", 404)] * 2,
    ),
    "release of it": (lambda u: u.tape("POST", "release/x", {"paths": []}).status, [200, 200, 404, 404]),
    "foreign file": (
        lambda u: u.tape("POST", f"stage/{u.stage()}/cancel", {"paths": ["/agata/disk"]}).body[:8],
        [b"", b"", b'{"status', b'{"status'],
    ),
    "pin": (lambda u: u.door.staging.requests[u.stage(diskLifetime="P1D")].targets["agata/tape"].lifetime / 86400,
            [1, 1, 2, 2]),
    "empty file": (lambda u: locality(u, "empty"), ["NONE", "DISK", "NONE", "NONE"]),
    "lost file": (lambda u: locality(u, "lost"), ["LOST", "LOST", "UNAVAILABLE", "UNAVAILABLE"]),
    "folder": (lambda u: locality(u, ""), ["NONE", "NONE", "Is a directory", "Is a directory"]),
}  # fmt: skip


@pytest.mark.parametrize("profile", PROFILES)
def test_profiles_answer_as_their_software_does(at, profile):
    user, column = at(profile), list(PROFILES).index(profile)
    said = {part: ask(user) for part, (ask, _) in PARTS.items()}
    assert said == {part: answers[column] for part, (_, answers) in PARTS.items()}


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_serves_listings_ranges_and_tape(at, profile):
    user = at(profile)
    whole = user.tree.expected("agata/disk")
    assert user.listing().properties["getcontentlength"] == str(SIZE)
    assert user.get().body == whole
    part = user.get(Range="bytes=10-19")
    assert (part.status, part.body, part.headers["Content-Range"]) == (206, whole[10:20], f"bytes 10-19/{SIZE}")
    assert user.get(Range=f"bytes={SIZE}-").status == 416
    adler = checksum(user.tree.file("agata/disk"), "adler32").lstrip("0")
    digest = user.get(Want_Digest="adler32").headers["Digest"]
    assert digest.partition("=")[2].lstrip("0") == adler
    request = user.stage()
    assert user.tape("GET", f"stage/{request}").json["files"][0]["state"] in ("STARTED", "SUBMITTED")
    user.robot.go()
    wait_until(lambda: user.tape("GET", f"stage/{request}").json["files"][0]["state"] == "COMPLETED")
    assert locality(user, "tape") == "DISK_AND_TAPE"
    assert user.tape("POST", f"release/{request}", {"paths": ["/agata/tape"]}).status == 200
    assert user.tape("DELETE", f"stage/{request}").status == 200
    assert user.get("tape").body == user.tree.expected("agata/tape")


def test_storm_1_4_blocks_until_the_file_has_come(at):
    user = at("storm-1.4")
    threading.Timer(0.2, user.robot.go).start()
    assert user.ask("GET", "tape").body == user.tree.expected("agata/tape")


def test_what_has_not_changed_is_not_sent_again_by_storm(at):
    user = at("storm-1.9")
    tag = user.ask("HEAD", "disk").headers["ETag"]
    answer = user.ask("GET", "disk", If_None_Match=tag)
    assert (answer.status, answer.body) == (304, b"")


def wait_until(is_so: Callable[[], bool], seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.01)


# == Switches ===========================================================================================


def again(user: User) -> Any:
    """The second reading of an address, after one of a part and without its connection."""
    address = user.ask("GET", "disk").headers["Location"]
    user.ask("GET", address)
    return user.ask("GET", address).status


def part_twice(user: User) -> int:
    """Read a part, then another on the same connection."""
    address = urlsplit(user.ask("GET", "disk").headers["Location"])
    with contextlib.closing(user.connect(f"https://{address.netloc}")) as connection:
        for _ in "12":
            connection.request("GET", f"{address.path}?{address.query}", headers={"Range": "bytes=0-1"})
            response = connection.getresponse()
            response.read()
    return response.status


def after_a_pause(user: User) -> Any:
    """The second request on a connection that was silent for a while."""
    with contextlib.closing(user.connect(user.door.url)) as connection:
        for pause in (0.3, 0):
            try:
                connection.request("HEAD", "/agata/disk")
                connection.getresponse().read()
            except OSError:
                return "closed"
            time.sleep(pause)
    return "open"


def lasts(user: User, seconds: float, name: str = "disk") -> bool:
    """Does reading take so long?"""
    began = time.monotonic()
    user.get(name)
    return time.monotonic() - began > seconds


def shown_to_pool(user: User) -> bool:
    """Does the pool see the proxy of a client that gives it to all who ask?"""
    user.get()
    return user.door.log.matching(role="pool")[0].certificate


def occupied(user: User) -> Any:
    """The door's answer while a first reader has not yet gone to the pool."""
    user.ask("GET", "disk")
    return user.ask("GET", "disk").status


def prefixes(user: User) -> int:
    """How many ways there are to begin a listing."""
    return len({user.listing().body.partition(b"<d:response>")[0] for _ in range(20)})


def released(user: User) -> int:
    """Pins after a release."""
    user.robot.go()
    request = user.stage()
    wait_until(lambda: user.door.staging.pins("agata/tape") == [request])
    user.tape("POST", f"release/{request}", {"paths": ["/agata/tape"]})
    return len(user.door.staging.pins("agata/tape"))


def duplicates(user: User) -> int:
    return len(user.tape("POST", "archiveinfo", {"paths": ["/agata/disk"] * 3}).json)


def cancelled(user: User) -> str:
    request = user.stage()
    user.tape("POST", f"stage/{request}/cancel", {"paths": []})
    return str(user.tape("GET", f"stage/{request}").json["files"][0]["state"])


def second_stage(user: User) -> int:
    user.tape("POST", "stage", TAPE)
    return user.tape("POST", "stage", TAPE).status


def evicted(user: User) -> str:
    """What StoRM says of a file that came, and is a stub again."""
    user.robot.go()
    request = user.stage()
    wait_until(lambda: user.tree.file("agata/tape").locality == BOTH)
    user.tree.file("agata/tape").locality = "NEARLINE"
    return str(user.tape("GET", f"stage/{request}").json["files"][0]["state"])


def anonymous(user: User, method: str = "PROPFIND") -> int:
    user.tls = user.bare
    return user.ask(method, "disk").status


def pin(user: User, **more: str) -> float:
    return user.door.staging.requests[user.stage(**more)].targets["agata/tape"].lifetime


def plain(user: User) -> str:
    return urlsplit(user.ask("GET", "disk").headers["Location"] or "").scheme


def open_range(user: User) -> int:
    user.door.switches.redirect = "proxy"
    return len(user.get(Range="bytes=10-").body)


def digest_words(user: User) -> tuple[str | None, str | None]:
    headers = user.get(Want_Digest="adler32", Want_Repr_Digest="sha-256=9, adler=3").headers
    return headers["Digest"], headers["Repr-Digest"]


# Profile, switch, its new value, what is asked before and after, and the answers.
D, S = "dcache-10.2", "storm-1.9"
TURNED: list[tuple[str, str, Any, Callable[[User], Any], Any, Any]] = [
    (D, "anonymous_listing", True, anonymous, 401, 207),
    (D, "turn_away", "anonymous", lambda u: u.ask("GET", "disk").body[:16], b"", b"You are not unau"),
    (D, "turn_away", "stranger", lambda u: (u.listing().status, u.listing().body[:3]), (207, b"<?x"), (401, b"")),
    (D, "turn_away", "forbidden", lambda u: u.tape("GET", "stage/x").status, 404, 403),
    (S, "turn_away", "stranger", lambda u: u.listing().headers["WWW-Authenticate"], None,
     'Bearer error="invalid_token",error_description="Unauthenticated"'),
    (D, "unreadable", {"agata/disk"}, lambda u: u.listing().status, 207, 403),
    (D, "unreadable_status", 500, lambda u: (setattr(u.door.switches, "unreadable", {"agata/disk"}),
                                            u.listing().status)[1], 403, 500),
    (D, "server", "Jetty", lambda u: u.listing().headers["Server"], "dCache/10.2.25", "Jetty"),
    (D, "words", "storm", lambda u: u.tape("GET", "stage/x").json["status"], "404", 404),
    (D, "checksum_prop", "empty", lambda u: u.listing().properties["Checksums"][:8], "adler32=", ""),
    (D, "checksum_prop", "absent", lambda u: "Checksums" in u.listing().properties, True, False),
    (D, "checksum_prop", "storm", lambda u: u.listing(names=BOTH_SORTS).properties.get("Checksum", "")[:3], "", "6cd"),
    (D, "adler_no_padding", True, lambda u: u.listing("short").properties["Checksums"],
     "adler32=00470047", "adler32=470047"),
    (D, "locality_props", False, lambda u: u.listing().properties.get("FileLocality"), "ONLINE", None),
    (D, "ns_prefix_shuffle", False, prefixes, 2, 1),
    (D, "unprefixed_404_props", False, lambda u: b"<Checksums/>" in u.listing("").body, True, False),
    (D, "silent_empty_dir", {"agata"}, lambda u: u.listing("", depth="1").body.count(b"<d:response>"), 6, 1),
    (D, "weak_etag", True, lambda u: u.listing().properties["getetag"][:2], '"0', "W/"),
    (D, "redirect", "pool302-http", plain, "https", "http"),
    (D, "redirect", "proxy", lambda u: u.ask("GET", "disk").status, 302, 200),
    (S, "redirect", "pool302", lambda u: u.ask("GET", "disk").status, 200, 302),
    (D, "bounce", 400, again, 307, 400),
    (D, "mover_life", 0, lambda u: u.get().status, 200, 307),
    (D, "mover_once", True, part_twice, 206, 307),
    (D, "mover_slots", 1, occupied, 302, 500),
    (D, "mover_busy", 507, lambda u: (setattr(u.door.switches, "mover_slots", 0), u.get().status)[1], 500, 507),
    (D, "mover_timeout", 0.3, lambda u: lasts(u, 0.3, "tape"), False, True),
    (D, "pool_asks", True, shown_to_pool, False, True),
    (D, "handshake", "reset", lambda u: seen(lambda: u.listing(timeout=SILENCE)), 207, "reset"),
    (D, "handshake", "silent", lambda u: seen(lambda: u.listing(timeout=SILENCE)), 207, "silence"),
    (D, "proxy_open_range_empty", True, open_range, SIZE - 10, 0),
    (D, "digest_needs_want", False, lambda u: "Digest" in u.ask("HEAD", "disk").headers, False, True),
    (D, "digest_words", "rfc9530", digest_words, ("adler32=6cd7d5a6", None), (None, "adler=:bNfVpg==:")),
    (D, "digest_words", "both", digest_words, ("adler32=6cd7d5a6", None), ("adler32=6cd7d5a6", "adler=:bNfVpg==:")),
    (D, "digest_list_fails", True, lambda u: u.ask("HEAD", "disk", Want_Digest="adler32, md5").status, 200, 500),
    (S, "if_range", True, lambda u: u.get(Range="bytes=1-2", If_Range='"another"').status, 206, 200),
    (D, "locality_header", True, lambda u: u.ask("HEAD", "disk").headers["Locality"], None, "DISK"),
    *[(D, "nearline_get", str(way), lambda u: u.get("tape").status, 500, way) for way in (500, 403, 415)],
    (D, "nearline_get", "hang", lambda u: seen(lambda: u.ask("GET", "tape", timeout=SILENCE)), 500, "silence"),
    (D, "idle_close", 0.1, after_a_pause, "open", "closed"),
    (D, "latency", 0.1, lambda u: lasts(u, 0.3), False, True),
    (D, "bandwidth", SIZE * 4, lambda u: lasts(u, 0.2), False, True),
    (D, "tape_root", "/pnfs", lambda u: locality(u, "disk", "/pnfs")[:4], "Cach", "DISK"),
    (D, "tape_root", "/pnfs", lambda u: locality(u, "disk")[-18:], "DISK", " /pnfs/agata/disk)"),
    (D, "wellknown", "404", lambda u: u.ask("GET", u.door.url + WELL_KNOWN).status, 200, 404),
    (D, "wellknown", "https://x", lambda u: b"//x" in u.ask("GET", u.door.url + WELL_KNOWN).body, False, True),
    (D, "pin_lifetime", 60, pin, 2 * 86400, 60),
    (D, "lifetime_ignored", True, lambda u: pin(u, diskLifetime="PT5M"), 300, 2 * 86400),
    (D, "stage_limit", 0, second_stage, 201, 413),
    (D, "over_limit_status", 403, lambda u: u.tape("POST", "release/x", {"paths": ["/a"] * 501}).status, 413, 403),
    (D, "max_requests", 1, second_stage, 201, 429),
    (D, "request_retention", 0, lambda u: u.tape("GET", f"stage/{u.stage()}").status, 200, 404),
    (D, "tape_time_unit", "s", lambda u: times(u)["created"], 13, 10),
    (D, "tape_unset", "null", lambda u: times(u)["completed"], "omitted", None),
    (D, "tape_unset", "0", lambda u: times(u)["completed"], "omitted", 0),
    (D, "tape_error_text", False, lambda u: "error" in staged(u, "nowhere"), True, False),
    (D, "skipped_is_failed", True, lambda u: "error" in staged(u, "disk"), True, False),
    (D, "state_at_poll", True, evicted, "COMPLETED", "FAILED"),
    (D, "release_unknown", 404, lambda u: u.tape("POST", "release/x", {"paths": []}).status, 200, 404),
    (D, "release_delay", 60, released, 0, 1),
    (D, "release_delay", math.inf, released, 0, 1),
    (D, "cancel_foreign", "problem",
     lambda u: u.tape("POST", f"stage/{u.stage()}/cancel", {"paths": ["/x"]}).body[:1], b"", b"{"),
    (D, "cancel_empty", "none", cancelled, "CANCELLED", "STARTED"),
    (D, "archiveinfo_order", "kept", duplicates, 1, 3),
    (S, "archiveinfo_limit", 2, duplicates, 3, 2),
    (D, "empty_file_is_none", True, lambda u: locality(u, "empty"), "DISK", "NONE"),
]  # fmt: skip


@pytest.mark.parametrize(("profile", "switch", "value", "ask", "before", "after"), TURNED)
def test_each_switch_turns_something(at, profile, switch, value, ask, before, after):
    assert ask(at(profile)) == before
    user = at(profile)
    setattr(user.door.switches, switch, value)
    assert ask(user) == after


def test_every_switch_is_turned_above_and_explained_at_the_head_of_door():
    switches = {field.name for field in dataclasses.fields(Switches)}
    assert switches == {row[1] for row in TURNED}
    assert [name for name in switches if name not in (door_module.__doc__ or "")] == []
    with pytest.raises(AttributeError, match="there is no switch bouncing"):
        Switches().bouncing = 400


def test_a_release_takes_effect_later(at):
    user = at()
    user.door.switches.release_delay = 0.1
    assert released(user) == 1
    wait_until(lambda: user.door.staging.pins("agata/tape") == [])


def test_whoever_waits_for_a_slot_gets_it_last_come_first(at):
    user = at()
    user.door.switches.mover_slots, user.door.switches.mover_timeout = 1, 5
    address = user.ask("GET", "disk").headers["Location"]
    came: list[str] = []
    readers = [threading.Thread(target=lambda n=n: (user.get(n), came.append(n))) for n in ("short", "empty")]
    for number, reader in enumerate(readers, 1):
        reader.start()
        wait_until(lambda number=number: len(user.door.pool._waiting) == number)
    user.ask("GET", address)
    for reader in readers:
        reader.join(5)
    assert came == ["empty", "short"]


def test_another_root_of_the_tape_service_leads_to_the_same_files(at):
    user = at()
    user.door.switches.tape_root = "/pnfs/data"
    request = user.stage("tape", root="/pnfs/data")
    user.robot.go()
    wait_until(lambda: user.door.staging.pins("agata/tape") == [request])
    assert user.tape("GET", f"stage/{request}").json["files"][0]["path"] == "/pnfs/data/agata/tape"
    assert user.tape("POST", f"release/{request}", {"paths": ["/pnfs/data/agata/tape"]}).status == 200
    assert user.door.staging.pins("agata/tape") == []


# == Tokens =============================================================================================


@pytest.mark.parametrize("profile", [D, S])
def test_a_token_is_as_good_as_a_proxy_and_goes_nowhere_else(at, profile):
    user = at(profile)
    token = user.door.token(60)
    assert user.listing(token=token).status == 207
    answer = user.ask("GET", "disk", token=token)
    if answer.status == 302:
        user.ask("GET", answer.headers["Location"])
    assert user.ask("POST", f"{user.door.tape_url}/stage", TAPE, token=token).status == 201
    assert {r.role for r in user.door.log.matching(token=True)} == {"door", "tape"}
    assert not any(token in repr(record) for record in user.door.log)
    user.ask("GET", f"{user.door.pool_url}/agata/disk", token=token)
    assert [r.path for r in user.door.log.matching(role="pool", token=True)] == ["/agata/disk"]


@pytest.mark.parametrize(
    ("make", "status"),
    [
        (lambda door: door.token(-60), 401),
        (lambda door: door.token(60, iss="https://elsewhere.org/"), 401),
        (lambda door: door.token(60)[:-3] + "abc", 401),
        (lambda door: "garbage", 401),
        (lambda door: door.token(60, scope="storage.read:/"), 403),
    ],
)
def test_a_token_that_is_over_forged_or_too_weak_is_refused(at, make, status):
    user = at()
    stage = f"{user.door.tape_url}/stage"
    assert user.ask("POST", stage, TAPE, token=make(user.door)).status == status
    answer = user.listing(token=make(user.door))
    assert (answer.status, len(answer.body) > 0) == ((207, True) if status == 403 else (401, False))


def test_who_stages_with_a_token_may_go_on_with_the_proxy(at):
    user = at()
    request = user.ask("POST", f"{user.door.tape_url}/stage", TAPE, token=user.door.token(60)).json["requestId"]
    assert user.tape("GET", f"stage/{request}").status == 200


# == Writing ============================================================================================


def test_an_upload_goes_to_the_pool_or_straight_to_the_door(at, grid, tmp_path):
    user, file = at(), tmp_path / "file"
    file.write_bytes(b"mine" * 5000)
    adler = f"{zlib.adler32(file.read_bytes()):08x}"
    proxy = str(grid.pki.proxy("good"))
    curl = ["curl", "-sS", "-L", "--capath", grid.env["X509_CERT_DIR"], "--cert", proxy, "-w", "%{http_code}"]
    statuses = []
    for where, expect in (("new/redirected", "Expect: 100-continue"), ("new/direct", "Expect:")):
        for words in (["-X", "MKCOL", f"{user.door.url}/agata/new"], ["-H", expect, "-T", str(file), where]):
            words = [f"{user.door.url}/agata/{word}" if word == where else word for word in words]
            statuses.append(subprocess.run([*curl, *words], env=grid.env, capture_output=True, text=True).stdout[-3:])
    assert statuses == ["201", "201", "405", "201"]
    assert [(r.role, r.status) for r in user.door.log.matching(method="PUT")] == [
        ("door", 307), ("pool", 201), ("door", 201)
    ]  # fmt: skip
    for name in ("new/redirected", "new/direct"):
        assert user.get(name, Range="bytes=1-4").body == b"inem"
        assert user.get(name, Want_Digest="adler32").headers["Digest"] == "adler32=" + adler


def test_what_can_not_be_written_is_refused(at):
    user = at()
    assert user.ask("PUT", "missing/file", b"x").status == 409
    assert user.ask("MKCOL", "missing/folder").status == 409
    assert user.ask("PUT", "", b"x").status in (405, 409)
    assert user.ask("PUT", "file", b"x", token=user.door.token(60, scope="storage.read:/")).status == 403


# == Faults =============================================================================================


def short(user: User, **headers: str) -> Callable[[], Answer]:
    """A reader that soon takes the door for silent."""
    return lambda: user.ask("GET", "disk", timeout=SILENCE, **headers)


def nowhere(user: User) -> Answer:
    return user.tape("POST", "archiveinfo", {"paths": []})


def error_of(user: User) -> Any:
    return user.tape("GET", f"stage/{user.stage()}").json["files"][0].get("error", "none")


def digest_of(user: User) -> Any:
    listed = user.listing(names=NAMES.format("<t:Checksum/>")).properties["Checksum"]
    return user.ask("HEAD", "disk").headers["Digest"], listed


def first_differs(user: User) -> list[int]:
    pairs = enumerate(zip(user.ask("GET", "disk").body, user.tree.expected("agata/disk")))
    return [at for at, (one, other) in pairs if one != other]


def where_to(user: User) -> str:
    """Where a redirect leads, with names for the ports."""
    target = user.ask("GET", "disk").headers.get("Location", "").partition("?")[0]
    for name in ("url", "pool_url", "plain_url"):
        url = getattr(user.door, name)
        target = target.replace(url, name).replace(url.replace("localhost", "127.0.0.1"), f"{name} by number")
    return target


def interim(user: User) -> Any:
    """What a door without redirects begins to say, when its second word is no answer either."""
    with contextlib.closing(user.connect(user.door.url)) as connection:
        connection.request("GET", "/agata/disk")
        said = connection.sock.recv(1000)
    return SimpleNamespace(status="interim" if said.count(b"HTTP/1.1 100 ") > 1 else "answer")


RANGE = {"Range": "bytes=10-19"}
HAPPENED: list[str] = []
# Kind and options, and what a client sees of StoRM, where the door itself sends the bytes.
SPOILT: list[tuple[Any, dict[str, Any], Callable[[User], Any], Any]] = [
    *[(code, {}, lambda u: u.ask("GET", "disk").status, code) for code in (401, 403, 404, 416, 500, 502, 503, 507)],
    (503, {"retry_after": 7}, lambda u: u.ask("GET", "disk").headers["Retry-After"], "7"),
    (500, {"text": "no"}, lambda u: u.ask("GET", "disk").body, b"no"),
    ("meanwhile", {"happens": lambda: HAPPENED.append("it")}, lambda u: (u.ask("GET", "disk"), [*HAPPENED])[1], ["it"]),
    ("reset", {}, lambda u: seen(short(u)), "closed"),
    ("reset_in_body", {"at": 0}, lambda u: seen(short(u)), "cut"),
    ("reset_in_body", {}, lambda u: seen(short(u)), "cut"),
    ("stall", {}, lambda u: seen(short(u)), "silence"),
    ("stall", {"seconds": 0.1}, lambda u: (seen(short(u)), lasts(u, 0.1)), (200, True)),
    ("repeat", {}, lambda u: u.get(Authorization="Bearer x").body, b"Bearer x"),
    ("interim", {}, lambda u: seen(lambda: interim(u)), "interim"),
    ("stall_in_body", {"at": 5000}, lambda u: seen(short(u)), "silence"),
    ("stall_in_body", {"seconds": 0.1}, lambda u: (seen(short(u)), lasts(u, 0.1)), (200, True)),
    ("truncate", {}, lambda u: seen(short(u)), "cut"),
    ("truncate", {"at": 0}, lambda u: seen(lambda: u.listing()), "cut"),
    ("drip", {"speed": SIZE * 4}, lambda u: lasts(u, 0.2), True),
    ("wrong_bytes", {}, first_differs, [SIZE // 2]),
    ("wrong_bytes", {"at": 7}, first_differs, [7]),
    ("ignore_range", {}, lambda u: (lambda a: (a.status, len(a.body)))(u.get(**RANGE)), (200, SIZE)),
    ("other_range", {}, lambda u: u.get(**RANGE).headers["Content-Range"], f"bytes 9-19/{SIZE}"),
    ("empty_206", {}, lambda u: (lambda a: (a.status, a.body))(u.get(**RANGE)), (206, b"")),
    ("digest", {}, digest_of, ("adler32=0badc0de", "0badc0de")),
    ("digest", {"value": ""}, digest_of, (None, "")),
    ("redirect", {"to": "itself"}, where_to, "url/agata/disk"),
    ("redirect", {"to": "http"}, where_to, "plain_url/agata/disk"),
    ("redirect", {"to": "elsewhere"}, where_to, "pool_url by number/agata/disk"),
    ("redirect", {"to": "dead"}, lambda u: seen(lambda: u.get()), "refused"),
    ("redirect", {"to": "https://foreign.invalid"}, where_to, "https://foreign.invalid/agata/disk"),
    ("garbage", {}, lambda u: u.listing().body[:16], b"<d:multistatus x"),
    ("garbage", {"text": "<"}, lambda u: nowhere(u).body, b"<"),
    ("other_json", {"document": {"files": 7}}, lambda u: nowhere(u).json, {"files": 7}),
    ("null_error", {}, error_of, None),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "options", "ask", "answer"), SPOILT)
def test_each_fault_reaches_the_client(at, kind, options, ask, answer):
    user = at(S)
    assert ask(user) != answer
    fault = user.door.faults.add("*", kind, **options)
    assert ask(user) == answer
    assert fault.hits
    name = "status" if isinstance(kind, int) else kind
    assert {record.fault for record in user.door.log} >= {name}
    user.door.faults.clear()
    assert user.ask("GET", "disk").body == user.tree.expected("agata/disk")


def test_every_kind_of_fault_is_met_above_and_named_at_the_head_of_faults():
    assert {"status" if isinstance(row[0], int) else row[0] for row in SPOILT} == KINDS.keys()
    assert [name for name in KINDS if name not in (faults.__doc__ or "")] == []


@pytest.mark.parametrize("to", ["itself", "http", "elsewhere", "dead"])
def test_a_redirect_of_dcache_goes_astray_with_its_mover(at, to):
    user = at()
    user.door.faults.add("*", "redirect", to=to)
    answer = user.ask("GET", "disk").headers["Location"]
    assert ("dcache-http-uuid" in answer) == (to != "itself")
    if to in ("http", "elsewhere"):
        assert user.ask("GET", answer).body == user.tree.expected("agata/disk")
        assert user.door.log.count(role="plain") == (to == "http")


@pytest.mark.parametrize(("kind", "options"), [("reset", {}), ("reset_in_body", {"at": 0}), ("reset_in_body", {})])
def test_a_reset_is_one(at, kind, options):
    user = at()
    user.door.switches.redirect = "pool302-http"  # Python's TLS makes no difference to an end
    user.door.faults.add("*", kind, role="plain", **options)
    assert seen(user.get) == "reset"


def test_a_body_cut_short_ends_as_a_server_ends_it(at):
    user = at(S)
    user.door.faults.add("*", "truncate", at=10)
    user.tls.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    port = urlsplit(user.door.url).port
    plain = socket.create_connection(("localhost", port), timeout=5)
    with user.tls.wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=False) as line:
        line.sendall(b"GET /agata/disk HTTP/1.1\r\nHost: localhost\r\n\r\n")
        sent = b"".join(iter(lambda: line.recv(10_000), b""))  # raises if TLS is not told that this is the end
    assert sent.partition(b"\r\n\r\n")[2] == user.tree.expected("agata/disk")[:10]


def test_a_fault_happens_as_often_as_asked_where_asked(at):
    user = at()
    user.door.faults.add("*/disk", "truncate", count=2)
    user.door.faults.add("*", 500, role="tape", method="GET")
    reads = [lambda name=name: user.get(name) for name in ("disk", "short", "disk", "disk")]
    assert [seen(read) for read in reads] == ["cut", 200, "cut", 200]
    assert user.tape("GET", "stage/x").status == 500
    assert user.tape("POST", "archiveinfo", {"paths": []}).status == 200
    with pytest.raises(TypeError, match="second"):
        user.door.faults.add("*", "stall", second=3)
    with pytest.raises(KeyError):
        user.door.faults.add("*", "stal")


def test_dice_fall_alike_for_the_same_seed(at):
    def throw(seed: int) -> list[int]:
        user = at()
        user.door.faults.add("*", 500, rate=0.3, seed=seed)
        with contextlib.closing(user.connect(user.door.url)) as connection:
            statuses = []
            for _ in range(50):
                connection.request("HEAD", "/agata/disk")
                response = connection.getresponse()
                response.read()
                statuses.append(response.status)
        return statuses

    assert throw(1) == throw(1) != throw(2)
    assert 5 < throw(3).count(500) < 25


def test_a_door_goes_down_and_comes_back_on_its_ports(at):
    user = at()
    address = user.ask("GET", "disk").headers["Location"]
    request = user.stage()
    with contextlib.closing(user.connect(user.door.url)) as connection:
        connection.request("HEAD", "/agata/disk")
        connection.getresponse().read()
        user.door.down()
        assert seen(lambda: user.listing()) == "refused"
        with pytest.raises((OSError, http.client.HTTPException)):
            connection.request("HEAD", "/agata/disk")
            connection.getresponse()
    user.door.up()
    assert user.listing().status == 207
    assert user.ask("GET", address).status == 307  # a new pool knows nothing of old movers
    assert user.tape("GET", f"stage/{request}").status == 200
    user.door.down("pool")
    assert (user.listing().status, seen(lambda: user.get())) == (207, "refused")
    user.door.up("pool")
    user.door.restart()
    assert user.get().status == 200


# == In the grid ========================================================================================


def test_the_grid_has_a_storm_over_the_same_tree(grid):
    assert f"[CNAF]\nSERVER = {grid.storm.url}/" in grid.conf(Path("/data"))
    assert grid.storm.switches == Switches(**PROFILES["storm-1.9"])
