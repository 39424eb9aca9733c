"""Each profile of the simulated doors answers as its software does."""

from __future__ import annotations

import contextlib
import http.client
import math
import re
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.grid.door import PROFILES
from tests.grid.tape import WELL_KNOWN
from tests.grid.tree import checksum
from tests.support.client import (
    BOTH_SORTS,
    NAMES,
    SILENCE,
    SIZE,
    TAPE,
    Answer,
    Client,
    entries,
    locality,
    pin,
    seen,
    staged,
    times,
)
from tests.support.user import wait_until


def challenge(answer: Answer) -> tuple[int, str, str]:
    """How somebody is turned away."""
    return answer.status, answer.reason, (answer.headers["WWW-Authenticate"] or "")[:12]


def junk(user: Client) -> list[tuple[int, str]]:
    """What a token that is none gives to one who lists, one who reads, one who asks where the tape is."""
    asked = [("PROPFIND", "disk"), ("GET", "disk"), ("GET", user.door.url + WELL_KNOWN)]
    answers = [user.ask(*words, token="junk") for words in asked]
    return [(answer.status, answer.reason if answer.status == 401 else "") for answer in answers]


def groups(user: Client, name: str) -> tuple[list[str], list[str]]:
    """The properties that a listing finds, and those that it does not, as they are written."""
    ask = NAMES.format("<resourcetype/><s:FileLocality/><t:Checksum/>").replace("<getetag/>", "<getetag/><x/>")
    found = re.findall(r"<d:propstat><d:prop>(.*?)</d:prop>", user.listing(name, ask).body.decode())
    tags = [sorted(set(re.findall(r"<(?:d:|ns\d:)?([\w:]+)[/>]", group)) - {"collection"}) for group in found]
    return tags[0], tags[1]


def bad_ranges(user: Client) -> list[tuple[int, str, Any]]:
    wishes = (f"bytes={SIZE}-", "bytes=5-2", "lines=1-2")
    answers = [user.get(Range=wish) for wish in wishes]
    return [(answer.status, answer.reason, answer.headers["Content-Range"]) for answer in answers]


def names_given(user: Client) -> dict[str, tuple[int, ...]]:
    """What PROPFIND, HEAD and GET say of awkward names."""
    found = {}
    for name in ("a b", "a%b", "a;b", "a\\b", "caf\u00e9", "a\tb", "a+b"):
        user.tree.add(f"agata/{name}", 10)
        found[name] = tuple(user.ask(method, name, Depth="0").status for method in ("PROPFIND", "HEAD", "GET"))
    return found


REDIRECTED = dict.fromkeys(("a b", "a%b", "a;b", "a\\b", "caf\u00e9", "a\tb", "a+b"), (207, 200, 302))
RIGHT, NEVER = (207, 200, 200), (400, 400, 400)
POOLS_TEXT = "Invalid (empty) list of valid ranges"
NOT_SATISFIABLE = (416, "Requested Range Not Satisfiable", f"bytes */{SIZE}")
# What to ask, and what dCache and StoRM say; versions that say something else.
PARTS: dict[str, tuple[Callable[[Client], Any], dict[str, Any]]] = {
    "server": (
        lambda u: u.ask("HEAD", "disk").headers["Server"],
        {"dcache": "dCache/10.2.25", "dcache-9.2": "dCache/9.2.12", "dcache-11.2": "dCache/11.2.5",
         "dcache-12.0": "dCache/12.0.3", "storm": None},
    ),
    "date, cookie, tag": (
        lambda u: [h in u.ask("HEAD", "disk").headers for h in ("Date", "Set-Cookie", "ETag", "Vary")],
        {"dcache": [True, False, True, False], "storm": [False, True, False, False]},
    ),
    "nobody": (
        lambda u: challenge((setattr(u, "tls", u.bare), u.listing())[1]),
        {"dcache": (401, "login failed", "Basic realm="), "storm": (401, "Unauthorized", "")},
    ),
    "an old token": (
        lambda u: challenge(u.listing(token=u.door.token(-60))),
        {"dcache": (401, "login failed", "Basic realm="), "storm": (401, "Unauthorized", "Bearer error")},
    ),
    "junk for a token": (
        junk, {"dcache": [(401, "login failed"), (401, "login failed"), (200, "")],
               "storm": [(500, ""), (401, "Unauthorized"), (401, "Unauthorized")]},
    ),
    "another area": (lambda u: u.ask("GET", f"{u.door.url}/nosuch/a").status, {"dcache": 404, "storm": 403}),
    "read": (lambda u: u.ask("GET", "disk").status, {"dcache": 302, "storm": 200}),
    "head of a folder": (lambda u: u.ask("HEAD", "").status, {"dcache": 200, "storm": 200}),
    "without the slash": (lambda u: u.ask("HEAD", f"{u.door.url}/agata").status, {"dcache": 302, "storm": 200}),
    "read from tape": (
        lambda u: seen(lambda: u.ask("GET", "tape", timeout=SILENCE)),
        {"dcache": 500, "storm": 415, "storm-1.6": "silence"},
    ),
    "text of 404": (
        lambda u: u.ask("GET", "nowhere").body.split(b"<body>")[-1][:16],
        {"dcache": b"Path not found: ", "storm": b"<h1>404 Not Foun"},
    ),
    "text of 500": (
        lambda u: (setattr(u.door.switches, "nearline_get", "500"), u.ask("GET", "tape").reason)[1],
        {"dcache": "Server Error", "storm": "Internal Server Error"},
    ),
    "other methods": (
        lambda u: [u.ask(m, "disk").status for m in ("POST", "LOCK", "PATCH")],
        {"dcache": [501, 501, 501], "storm": [405, 501, 501]},
    ),
    "DAV": (lambda u: [a.headers["DAV"] for a in (u.ask("OPTIONS", ""), u.listing())],
            {"dcache": ["1, 2"] * 2, "storm": ["1"] * 2}),
    "checksum, not asked for": (
        lambda u: u.get("short").headers["Digest"], {"dcache": None, "storm": "adler32=00470047"}
    ),
    "checksum of today": (
        lambda u: u.get("short", Want_Repr_Digest="adler=5").headers["Repr-Digest"],
        {"dcache": None, "dcache-12.0": "adler=:AEcARw==:", "storm": None},
    ),
    "checksum with a refusal": (
        lambda u: "Digest" in (u.ask("GET", "tape", timeout=5).headers if u.door.profile == "storm-1.9" else {}),
        {"dcache": False, "storm": False, "storm-1.9": True},
    ),
    "locality of HEAD": (
        lambda u: [u.ask("HEAD", name).headers["Locality"] for name in ("tape", "disk")],
        {"dcache": [None, None], "storm": [None, None], "storm-1.9": ["TAPE", "DISK"]},
    ),
    "bad ranges": (
        bad_ranges,
        {"dcache": [(416, POOLS_TEXT, None)] * 2 + [(400, "Invalid definition of ranges", None)],
         "storm": [NOT_SATISFIABLE] * 3},
    ),
    "names": (
        names_given,
        {"dcache": REDIRECTED,
         "storm-1.6": {"a b": RIGHT, "a%b": NEVER, "a;b": NEVER, "a\\b": NEVER, "caf\u00e9": RIGHT,
                       "a\tb": (207, 500, 500), "a+b": RIGHT},
         "storm-1.9": {"a b": (207, 404, 404), "a%b": NEVER, "a;b": NEVER, "a\\b": NEVER, "caf\u00e9": (207, 200, 404),
                       "a\tb": NEVER, "a+b": RIGHT}},
    ),
    "twice a slash": (lambda u: u.ask("HEAD", f"{u.door.url}/agata//disk").status, {"dcache": 200, "storm": 400}),
    "address in a listing": (
        lambda u: re.findall("<d:href>(https://)?", u.listing().body.decode()), {"dcache": [""], "storm": ["https://"]}
    ),
    "whole at once": (
        lambda u: [u.listing().headers[h] for h in ("Transfer-Encoding",)], {"dcache": ["chunked"], "storm": [None]}
    ),
    "lines of XML": (lambda u: u.listing("", depth="1").body.count(b"\n"), {"dcache": 0, "storm": 0}),
    "a file's properties": (
        lambda u: groups(u, "disk"),
        {"dcache": (["FileLocality", "getcontentlength", "getetag"], ["Checksum", "resourcetype", "x"]),
         "storm": (["Checksum", "getcontentlength", "getetag", "resourcetype"], ["FileLocality", "x"])},
    ),
    "a folder's": (
        lambda u: groups(u, ""),
        {"dcache": (["getetag", "resourcetype"], ["Checksum", "FileLocality", "getcontentlength", "x"]),
         "storm": (["getcontentlength", "getetag", "resourcetype"], ["Checksum", "FileLocality", "x"])},
    ),
    "a tag": (lambda u: u.listing().properties["getetag"][:5], {"dcache": '"0000', "storm": '"/sto'}),
    "all properties of a folder": (
        lambda u: u.listing("", "<propfind xmlns='DAV:'><allprop/></propfind>").properties["getcontenttype"],
        {"dcache": "text/html; charset=utf-8", "storm": "text/html; charset=utf-8"},
    ),
    "no checksum": (
        lambda u: (setattr(u.tree.file("agata/disk"), "checksums", ()),
                   u.listing("disk", BOTH_SORTS).properties.get("Checksum"))[1],
        {"dcache": None, "storm": ""},
    ),
    "unknown StoRM property": (
        lambda u: u.listing("disk", NAMES.format("<t:Locality/>")).status, {"dcache": 207, "storm": 207}
    ),
    "malformed": (lambda u: len(u.listing("disk", "<").properties) > 4, {"dcache": True, "storm": True}),
    "the folder above all": (
        lambda u: seen(lambda: u.ask("PROPFIND", f"{u.door.url}/", Depth="0")), {"dcache": 207, "storm": "cut"}
    ),
    "an unreadable folder": (
        lambda u: (setattr(u.door.switches, "unreadable", {"agata"}), entries(u))[1],
        {"dcache": (207, 1), "storm": (403, 0), "storm-1.6": (500, 0)},
    ),
    "an unreadable file": (
        lambda u: (setattr(u.door.switches, "unreadable", {"agata/disk"}),
                   [u.ask(method, "disk", Depth="0").status for method in ("PROPFIND", "HEAD", "GET")])[1],
        {"dcache": [207, 200, 403], "storm": [207, 200, 403]},
    ),
    "well-known": (lambda u: u.ask("GET", u.door.url + WELL_KNOWN).status, {"dcache": 200, "storm": 200}),
    "tape service": (lambda u: urlsplit(u.door.tape_url).path, {"dcache": "/api/v1/tape", "storm": "/api/v1"}),
    "its slash": (
        lambda u: (lambda a: (a.status, len(a.body) == 15))(u.tape("POST", "archiveinfo/", {"paths": []})),
        {"dcache": (200, False), "storm": (404, True)},
    ),
    "nobody at it": (
        lambda u: challenge((setattr(u, "tls", u.bare), u.tape("POST", "archiveinfo", {"paths": []}))[1]),
        {"dcache": (401, "login failed", "Basic realm="), "storm": (200, "OK", "")},
    ),
    "without Content-Type": (
        lambda u: u.ask("POST", f"{u.door.tape_url}/archiveinfo", {"paths": []}).status, {"dcache": 415, "storm": 200}
    ),
    "501 files": (
        lambda u: u.tape("POST", "stage", {"files": [{"path": "/agata/x"}] * 501}).status,
        {"dcache": 413, "dcache-9.2": 403, "storm": 201},
    ),
    "times": (times, {"dcache": {"created": 13, "completed": "omitted"}, "storm": {"created": 10, "completed": 0}}),
    "failed": (
        lambda u: sorted(staged(u, "x")),
        {"dcache": ["error", "finishedAt", "path", "startedAt", "state"], "storm": ["path", "state"]},
    ),
    "why": (
        lambda u: [staged(u, name).get("error") for name in ("x", "")],
        {"dcache": ["CacheException(rc=10001;msg=No such file or directory /agata/x)", "Not a regular file."],
         "storm": [None, None]},
    ),
    "on disk alone": (
        lambda u: (staged(u, "disk")["state"], "error" in staged(u, "disk")),
        {"dcache": ("FAILED", True), "dcache-9.2": ("FAILED", False), "storm": ("COMPLETED", False)},
    ),
    "untidy paths": (
        lambda u: [f["path"] for f in u.tape("GET", "stage/" + u.tape("POST", "stage", {"files": [
            {"path": path} for path in ("//agata//tape", "agata/tape", "/agata/x")]}).json["requestId"]).json["files"]],
        {"dcache": ["/agata/tape", "/agata/x"], "storm": ["/agata/x", "/agata/tape"]},
    ),
    "their lifetime": (
        lambda u: pin(u, root="/", diskLifetime="P1D") / 86400, {"dcache": 2, "storm": 2}
    ),
    "unknown request": (
        lambda u: (lambda a: (a.headers["Content-Type"][12:], a.json["status"], a.json.get("detail")))(
            u.tape("GET", "stage/x")),
        {"dcache": ("json", "404", "request x not found"), "storm": ("problem+json", 404, None)},
    ),
    "release of it": (lambda u: u.tape("POST", "release/x", {"paths": []}).status, {"dcache": 200, "storm": 404}),
    "foreign file": (
        lambda u: (lambda a: (a.headers["title"], a.body[:7]))(
            u.tape("POST", f"stage/{u.stage()}/cancel", {"paths": ["/agata/disk"]})),
        {"dcache": ("File missing from stage request", b"<html><"), "storm": (None, b'{"statu')},
    ),
    "pin": (lambda u: pin(u, diskLifetime="P1D") / 86400, {"dcache": 1, "storm": 2}),
    "empty file": (lambda u: locality(u, "empty"), {"dcache": "DISK", "dcache-9.2": "NONE", "storm": "NONE"}),
    "empty file on tape": (
        lambda u: (setattr(u.tree.file("agata/empty"), "locality", "NEARLINE"), locality(u, "empty"))[1],
        {"dcache": "DISK_AND_TAPE", "dcache-9.2": "NONE", "storm": "NONE"},
    ),
    "lost file": (lambda u: locality(u, "lost"), {"dcache": "LOST", "storm": "UNAVAILABLE"}),
    "folder": (lambda u: locality(u, ""), {"dcache": "NONE", "storm": "Is a directory"}),
    "nothing": (
        lambda u: locality(u, "x"),
        {"dcache": "No such file or directory /agata/x", "storm": "No such file or directory"},
    ),
    "another's eyes": (
        lambda u: (setattr(u.door.switches, "unreadable", {"agata/tape"}), locality(u, "tape"))[1],
        {"dcache": "Access denied: /agata/tape", "dcache-11.2": "TAPE", "dcache-12.0": "TAPE", "storm": "TAPE"},
    ),
    "bad JSON": (
        lambda u: (u.tape("POST", "archiveinfo", "[").json.get("detail") or "")[:32],
        {"dcache": "badly formed json object '[': or", "storm": ""},
    ),
    "how it is written": (
        lambda u: u.tape("POST", "stage", TAPE).body.partition(b"requestId")[2][:4],
        {"dcache": b'" : ', "storm": b'": "'},
    ),
    "limits": (
        lambda u: (u.door.switches.requests_a_second, u.door.switches.failures_allowed),
        {"dcache": (math.inf,) * 2, "dcache-11.2": (250, 3), "dcache-12.0": (250, 3), "storm": (math.inf,) * 2},
    ),
}  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("profile", PROFILES)
def test_profiles_answer_as_their_software_does(at, profile):
    said, expected = {}, {}
    for part, (ask, answers) in PARTS.items():
        user = at(profile)
        said[part] = ask(user)
        expected[part] = answers.get(profile, answers.get(profile.partition("-")[0]))
        user.stop()
    assert said == expected


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_serves_listings_ranges_and_tape(at, profile):
    user = at(profile)
    whole = user.tree.expected("agata/disk")
    assert user.listing().properties["getcontentlength"] == str(SIZE)
    assert user.get().body == whole
    part = user.get(Range="bytes=10-19")
    assert (part.status, part.body, part.headers["Content-Range"]) == (206, whole[10:20], f"bytes 10-19/{SIZE}")
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


def test_storm_cuts_off_who_stops_reading(at):
    user = at("storm-1.9")
    user.tree.add("agata/long", 64 << 20)
    user.door.switches.idle_close = 0.2
    with contextlib.closing(user.connect(user.door.url)) as connection:
        connection.request("GET", "/agata/long")
        response = connection.getresponse()
        response.read(10)
        time.sleep(0.5)
        with pytest.raises((http.client.IncompleteRead, OSError)):
            response.read()


def test_a_dcache_that_reads_its_pools_itself_stumbles_over_ranges(at):
    user = at()
    user.door.switches.redirect = "proxy"
    whole = user.tree.expected("agata/disk")
    for wish, start in (("bytes=7-9", 7), (f"bytes={SIZE - 3}-", SIZE - 3)):
        answer = user.get(Range=wish)
        assert (answer.status, answer.body, "ETag" in answer.headers) == (206, whole[start : start + 3], True)
    for wish, mark in (("bytes=5-2", "5-2"), ("bytes=9999999-", f"9999999-{SIZE - 1}")):
        answer = user.get(Range=wish)
        assert (answer.status, answer.body, answer.headers["Content-Range"]) == (206, b"", f"bytes {mark}/{SIZE}")
    assert user.get(Range="lines=1-2").status == 200
    with pytest.raises(http.client.IncompleteRead) as last:
        user.get(Range="bytes=-50")
    assert (last.value.partial, last.value.expected) == (whole[:50], 1)


def test_the_pool_says_what_it_sends(at):
    user = at()
    user.tree.add("agata/caf\u00e9", 10)
    named = [user.get(name).headers["Content-Disposition"] for name in ("disk", "caf\u00e9")]
    assert named == ["attachment;filename=disk", "attachment;filename*=UTF-8''caf%C3%A9"]
    part = user.get(Range="bytes=1-2")
    said = [part.headers[name] for name in ("Content-Disposition", "Content-Location")]
    assert said == [None, f"{user.door.url}/agata/disk"]
    address = user.ask("GET", "disk").headers["Location"]
    bare = user.ask("GET", address.partition("?")[0])
    assert (bare.status, bare.reason) == (400, "Query string does not include any UUID.")
    user.ask("GET", address)
    over = user.ask("GET", address)
    assert (over.status, over.reason, over.headers["Location"]) == (
        307, "Request is no longer valid", f"{user.door.url}/agata/disk"
    )  # fmt: skip


def test_a_name_whose_accent_stands_alone_costs_a_mover_unless_the_client_keeps_it(at):
    user = at()
    user.tree.add("agata/cafe\u0301", 10)
    address = user.ask("GET", "cafe\u0301").headers["Location"]
    assert "caf%C3%A9?" in address  # composed
    kept = address.replace("caf%C3%A9?", "cafe%CC%81?")
    assert (user.ask("GET", kept).status, user.door.pool.leaked) == (200, 0)
    user.door.switches.mover_slots = 2
    for _ in range(2):
        answer = user.get("cafe\u0301")
        assert (answer.status, answer.reason) == (400, "The file you specified does not match the UUID you specified!")
    answer = user.ask("GET", "disk")
    assert (answer.status, answer.body[:47]) == (500, b"Internal problem: No redirect from mover on poo")
    user.door.down("pool")
    user.door.up("pool")
    assert user.get("disk").status == 200


def test_a_failed_restore_is_tried_again_without_a_word_unless_the_pool_is_disabled(at):
    user = at()
    user.robot.fail["agata/tape"], user.robot.again = "tape 007 is torn", 0.1
    user.robot.go()
    request = user.stage()
    time.sleep(0.3)
    assert user.tape("GET", f"stage/{request}").json["files"][0]["state"] == "STARTED"
    user.robot.fail.clear()
    wait_until(lambda: user.tape("GET", f"stage/{request}").json["files"][0]["state"] == "COMPLETED")
    user.robot.hold()
    for name in ("one", "two"):
        user.tree.add(f"agata/{name}", 10, tape=True)
    request = user.stage("one", "two")
    user.robot.disable("pool is disabled")
    files = user.tape("GET", f"stage/{request}").json["files"]
    assert {(file["state"], file["error"]) for file in files} == {("FAILED", "pool is disabled")}


def test_one_file_of_a_request_is_cancelled_with_an_error_and_all_without(at):
    user = at()
    user.tree.add("agata/other", 10, tape=True)
    requests = user.stage("tape", "other"), user.stage("tape", "other")
    for request, paths in zip(requests, (["/agata/tape"], [])):
        assert user.tape("POST", f"stage/{request}/cancel", {"paths": paths}).status == 200
    one, all_of_them = ({file["path"]: file for file in user.tape("GET", f"stage/{r}").json["files"]} for r in requests)
    assert (one["/agata/tape"]["state"], one["/agata/tape"]["error"]) == ("CANCELLED", "null::1183: CANCELLED")
    assert one["/agata/other"]["state"] == "STARTED"
    assert [(file["state"], "error" in file) for file in all_of_them.values()] == [("CANCELLED", False)] * 2


def test_the_limiters_of_11_2_turn_away_the_hasty_and_who_fails_to_log_in(at):
    user = at("dcache-11.2")
    with contextlib.closing(user.connect(user.door.url)) as connection:
        statuses = []
        began = time.monotonic()
        while 429 not in statuses and time.monotonic() < began + 10:
            connection.request("HEAD", "/agata/disk")
            response = connection.getresponse()
            response.read()
            statuses.append(response.status)
    if 429 in statuses:  # a slow machine never gets there
        assert statuses.index(429) >= 250 and 1 <= int(response.headers["Retry-After"]) <= 9
    user.door.let_in_again()
    assert [user.listing(token="junk").status for _ in range(3)] == [401] * 3
    answer = user.listing()
    assert (answer.status, answer.body) == (429, b"Server is busy. Please try again later.")
    assert 8 <= int(answer.headers["Retry-After"]) <= 10
    assert user.tape("GET", "stage/x").status == 404  # which has a limiter of its own


def test_storm_1_6_blocks_until_the_file_has_come(at):
    user = at("storm-1.6")
    threading.Timer(0.2, user.robot.go).start()
    assert user.ask("GET", "tape").body == user.tree.expected("agata/tape")
