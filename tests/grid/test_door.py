"""The simulated doors: each switch turns something, and what they give out opens what it should."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.grid import CHOSEN
from tests.grid import door as door_module
from tests.grid.delegation import PATH as DELEGATION
from tests.grid.door import Switches, kindly
from tests.grid.tape import WELL_KNOWN
from tests.grid.tree import BOTH
from tests.support.client import (
    BOTH_SORTS,
    SILENCE,
    SIZE,
    TAPE,
    Client,
    entries,
    lasts,
    locality,
    pin,
    seen,
    staged,
    times,
)
from tests.support.user import wait_until

# == Switches ===========================================================================================


def again(user: Client) -> Any:
    """The second reading of an address, after one of a part and without its connection."""
    address = user.ask("GET", "disk").headers["Location"]
    user.ask("GET", address)
    return user.ask("GET", address).status


def part_twice(user: Client) -> int:
    """Read a part, then another on the same connection."""
    address = urlsplit(user.ask("GET", "disk").headers["Location"])
    with contextlib.closing(user.connect(f"https://{address.netloc}")) as connection:
        for _ in "12":
            connection.request("GET", f"{address.path}?{address.query}", headers={"Range": "bytes=0-1"})
            response = connection.getresponse()
            response.read()
    return response.status


def after_a_pause(user: Client) -> Any:
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


def shown_to_pool(user: Client) -> bool:
    """Does the pool see the proxy of a client that gives it to all who ask?"""
    user.get()
    return user.door.log.matching(role="pool")[0].certificate


def occupied(user: Client) -> Any:
    """The door's answer while a first reader has not yet gone to the pool."""
    user.ask("GET", "disk")
    return user.ask("GET", "disk").status


def prefixes(user: Client) -> int:
    """How many ways there are to begin a listing."""
    return len({user.listing().body.partition(b"<d:response>")[0] for _ in range(20)})


def released(user: Client) -> int:
    """Pins after a release."""
    user.robot.go()
    request = user.stage()
    wait_until(lambda: user.door.staging.pins("agata/tape") == [request])
    user.tape("POST", f"release/{request}", {"paths": ["/agata/tape"]})
    return len(user.door.staging.pins("agata/tape"))


def duplicates(user: Client) -> int:
    return len(user.tape("POST", "archiveinfo", {"paths": ["/agata/disk"] * 3}).json)


def cancelled(user: Client) -> str:
    request = user.stage()
    user.tape("POST", f"stage/{request}/cancel", {"paths": []})
    return str(user.tape("GET", f"stage/{request}").json["files"][0]["state"])


def second_stage(user: Client) -> int:
    user.tape("POST", "stage", TAPE)
    return user.tape("POST", "stage", TAPE).status


def evicted(user: Client) -> str:
    """What StoRM says of a file that came, and is a stub again."""
    user.robot.go()
    request = user.stage()
    wait_until(lambda: user.tree.file("agata/tape").locality == BOTH)
    user.tree.file("agata/tape").locality = "NEARLINE"
    return str(user.tape("GET", f"stage/{request}").json["files"][0]["state"])


def anonymous(user: Client, method: str = "PROPFIND") -> int:
    user.tls = user.bare
    return user.ask(method, "disk").status


def digest_words(user: Client) -> tuple[str | None, str | None]:
    headers = user.get(Want_Digest="adler32", Want_Repr_Digest="sha-256=9, adler=3").headers
    return headers["Digest"], headers["Repr-Digest"]


def names_in_order(user: Client) -> list[str]:
    return re.findall(r"/agata/(\w+)</d:href>", user.listing("", depth="1").body.decode())


def hurried(user: Client) -> list[str]:
    """What some of many requests are told."""
    answers = [user.listing() for _ in range(5)]
    refused = [answer for answer in answers if answer.status == 429 and 1 <= int(answer.headers["Retry-After"]) <= 9]
    return sorted({answer.body.decode() for answer in refused})


def failing(user: Client) -> list[int]:
    """Three who fail to log in, and one who does not."""
    return [*(user.listing(token="junk").status for _ in range(3)), user.listing().status]


def accents(user: Client) -> tuple[int, int]:
    """Reading a name whose accent is a letter of its own, and how many movers that costs."""
    user.tree.add("agata/cafe\u0301", 10)
    return user.get("cafe\u0301").status, user.door.pool.leaked


def waiting(user: Client) -> str:
    """The state of a file for which there is no drive."""
    user.robot.drives = 0
    return str(staged(user, "tape")["state"])


def another(user: Client, **facts: Any) -> tuple[Client, str]:
    """A StoRM with a file, and a token that opens it."""
    other = user.make("storm-1.9")
    for name, value in facts.items():
        setattr(other.tree.file("agata/disk"), name, value)
    return other, other.macaroon("DOWNLOAD")


def copied(user: Client, **facts: Any) -> bytes:
    """What is said of a copy from another door."""
    other, token = another(user, **facts)
    other.door.switches.latency = 0.05
    return user.copy("new", other, token).body


def delegated(user: Client) -> int:
    """What is said to who asks for nothing where a proxy would be delegated."""
    return user.ask("POST", f"{user.door.url}{DELEGATION}").status


def left_behind(user: Client) -> tuple[int, int]:
    """What a copy leaves that fails in the middle: the status of a question for it, and how long it is."""
    user.door.switches.copy_fails = "why not"
    copied(user)
    answer = user.ask("HEAD", "new")
    return answer.status, int(answer.headers["Content-Length"] or 0) if answer.status == 200 else 0


def silent(user: Client) -> Any:
    """What a client sees of a copy whose marks come fast."""
    user.door.switches.marker_interval = 0.01
    user.door.switches.copy_rate = SIZE * 4
    other, token = another(user)
    return seen(lambda: user.copy("new", other, token, timeout=0.5))


def is_slow(user: Client, seconds: float) -> bool:
    """Does a copy take so long?"""
    began = time.monotonic()
    user.copy("new", *another(user))
    return time.monotonic() - began > seconds


def grows(user: Client) -> bool:
    """Is some of a file there while it is copied, and does it stay away if it is removed then?"""
    user.door.switches.copy_rate = SIZE
    other, token = another(user)
    copy = threading.Thread(target=lambda: user.copy("new", other, token, timeout=30))
    copy.start()
    wait_until(lambda: user.door.copies.running)
    wait_until(lambda: user.tree.find("agata/new") or not user.door.copies.running)
    is_early = bool(user.door.copies.running)
    user.ask("DELETE", "new")
    copy.join()
    return is_early and user.tree.find("agata/new") is None


def left_alone(user: Client) -> bool:
    """Does a copy go on when its client has left?"""
    other, token = another(user)
    other.door.switches.bandwidth = SIZE * 2
    user.door.switches.marker_interval = 0.02
    with contextlib.suppress(TimeoutError):
        user.copy("new", other, token, timeout=SILENCE / 3, patient=False)
    wait_until(lambda: not user.door.copies.running)
    return user.tree.find("agata/new") is not None


def plain(user: Client) -> str:
    return urlsplit(user.ask("GET", "disk").headers["Location"] or "").scheme


def open_range(user: Client) -> int:
    user.door.switches.redirect = "proxy"
    return len(user.get(Range="bytes=10-").body)


# Profile, switch, its new value, what is asked before and after, and the answers.
D, S = "dcache-10.2", "storm-1.9"
TURNED: list[tuple[str, str, Any, Callable[[Client], Any], Any, Any]] = [
    (D, "anonymous_listing", True, anonymous, 401, 207),
    (D, "anonymous_listing", True, lambda u: (setattr(u, "tls", u.bare), u.ask("GET", "disk"))[1].body[:16],
     b"", b"You are not unau"),
    (D, "turn_away", "anonymous", lambda u: u.ask("GET", "disk").reason, "Found", "login failed"),
    (D, "turn_away", "stranger", lambda u: (u.listing().status, u.listing().body[:3]), (207, b"<?x"), (401, b"")),
    (D, "turn_away", "forbidden", lambda u: u.tape("GET", "stage/x").status, 404, 403),
    (S, "turn_away", "forbidden", lambda u: u.listing().body[:18], b'<?xml version="1.0', b"Permission denied."),
    (D, "unreadable", {"agata/disk"}, lambda u: u.ask("GET", "disk").status, 302, 403),
    (D, "unreadable", {"agata"}, entries, (207, 6), (207, 1)),
    (D, "unreadable_status", 403, lambda u: (setattr(u.door.switches, "unreadable", {"agata"}), entries(u))[1],
     (207, 1), (403, 0)),
    (S, "junk_token_status", 401, lambda u: u.listing(token="junk").status, 500, 401),
    (D, "requests_a_second", 2, hurried, [], ["Server is busy. Please try again later."]),
    (D, "failures_allowed", 2, failing, [401, 401, 401, 207], [401, 401, 429, 429]),
    (D, "server", "Jetty", lambda u: u.listing().headers["Server"], "dCache/10.2.25", "Jetty"),
    (D, "words", "storm", lambda u: u.tape("GET", "stage/x").json["status"], "404", 404),
    (D, "names", "right", accents, (400, 1), (200, 0)),
    (D, "names", "storm-1.9", lambda u: u.listing("a%b").status, 404, 400),
    (D, "checksum_prop", "empty", lambda u: u.listing().properties["Checksums"][:8], "adler32=", ""),
    (D, "checksum_prop", "absent", lambda u: "Checksums" in u.listing().properties, True, False),
    (D, "checksum_prop", "storm", lambda u: u.listing(names=BOTH_SORTS).properties.get("Checksum", "")[:3], "", "6cd"),
    (D, "adler_no_padding", True, lambda u: u.listing("short").properties["Checksums"],
     "adler32=00470047", "adler32=470047"),
    (D, "locality_props", False, lambda u: u.listing().properties.get("FileLocality"), "ONLINE", None),
    (D, "ns_prefix_shuffle", False, prefixes, 2, 1),
    (D, "unprefixed_404_props", False, lambda u: b"<Checksums/>" in u.listing("").body, True, False),
    (D, "silent_empty_dir", {"agata"}, lambda u: u.listing("", depth="1").body.count(b"<d:response>"), 6, 1),
    (D, "listing_is_sorted", True, lambda u: names_in_order(u)[:2], ["disk", "lost"], ["disk", "tape"]),
    (D, "redirect", "pool302-http", plain, "https", "http"),
    (D, "redirect", "proxy", lambda u: u.ask("GET", "disk").status, 302, 200),
    (S, "redirect", "pool302", lambda u: u.ask("GET", "disk").status, 200, 302),
    (D, "bounce", 400, again, 307, 400),
    (D, "mover_life", 0, lambda u: u.get().status, 200, 307),
    (D, "mover_once", True, part_twice, 206, 307),
    (D, "mover_slots", 1, occupied, 302, 500),
    (D, "mover_busy", 507, lambda u: (setattr(u.door.switches, "mover_slots", 0), u.get().status)[1], 500, 507),
    (D, "mover_timeout", 1, lambda u: lasts(u, 1, "tape"), False, True),
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
    (D, "may_stage", False, lambda u: (u.get("tape").status, staged(u, "tape").get("error")),
     (500, None), (403, "File not online. Staging not allowed.")),
    (D, "quota", 10, lambda u: u.ask("PUT", "new", b"x" * 11).status, 201, 507),
    (D, "marker_interval", 0.01, lambda u: b"Perf Marker" in copied(u), False, True),
    (D, "copy_status", 201, lambda u: u.copy("new", *another(u)).status, 202, 201),
    (D, "copy_marks", 2, silent, 202, "silence"),
    (D, "copy_rate", SIZE, lambda u: is_slow(u, 0.9), False, True),
    (D, "copy_grows", True, grows, False, True),
    (D, "copy_leaves", "empty", left_behind, (404, 0), (200, 0)),
    (S, "copy_leaves", "whole", left_behind, (200, 0), (200, SIZE)),
    (D, "copy_fails", "no space left", lambda u: copied(u)[-24:], b"success: Created\n", b"failure: no space left\n"),
    (D, "copies_outlive", True, left_alone, False, True),
    (D, "delegation", "none", delegated, 400, 404),
    (D, "delegate_to", "https://elsewhere", lambda u: u.ask("COPY", "new", Source="https://x/y").headers["X-Delegate-To"][-20:],
     "/delegation/gridsite", "https://elsewhere"),
    (D, "gives_macaroons", False,
     lambda u: u.ask("POST", "disk", {}, Content_Type="application/macaroon-request").status, 200, 405),
    (D, "copies_are_verified", False, lambda u: copied(u, checksums=())[:7], b"failure", b"success"),
    (D, "nearline_get", "hang", lambda u: seen(lambda: u.ask("GET", "tape", timeout=SILENCE)), 500, "silence"),
    (D, "idle_close", 0.1, after_a_pause, "open", "closed"),
    (D, "latency", 0.35, lambda u: lasts(u, 1), False, True),
    (D, "bandwidth", SIZE, lambda u: lasts(u, 0.9), False, True),
    (D, "tape_asks_who", False, lambda u: (setattr(u, "tls", u.bare), u.tape("GET", "stage/x"))[1].status, 401, 404),
    (D, "tape_slash", 404, lambda u: u.tape("POST", "archiveinfo/", {"paths": []}).status, 200, 404),
    (D, "tape_root", "/pnfs", lambda u: locality(u, "disk", "/pnfs")[:4], "No s", "DISK"),
    (D, "tape_root", "/pnfs", lambda u: locality(u, "disk")[-17:], "DISK", " /pnfs/agata/disk"),
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
    (D, "started_at_once", False, waiting, "STARTED", "SUBMITTED"),
    (D, "release_unknown", 404, lambda u: u.tape("POST", "release/x", {"paths": []}).status, 200, 404),
    (D, "release_delay", 60, released, 0, 1),
    (D, "release_delay", math.inf, released, 0, 1),
    (D, "cancel_foreign", "problem",
     lambda u: u.tape("POST", f"stage/{u.stage()}/cancel", {"paths": ["/x"]}).body[:1], b"<", b"{"),
    (D, "cancel_empty", "none", cancelled, "CANCELLED", "STARTED"),
    (D, "archiveinfo_order", "kept", duplicates, 1, 3),
    (S, "archiveinfo_limit", 2, duplicates, 3, 2),
    (D, "archiveinfo_reads", False, lambda u: (setattr(u.door.switches, "unreadable", {"agata/disk"}),
                                               locality(u, "disk")[:6])[1], "Access", "DISK"),
    (D, "empty_file_is_none", True, lambda u: locality(u, "empty"), "DISK", "NONE"),
]  # fmt: skip


@pytest.mark.first
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
    readers = [threading.Thread(target=user.get, args=(name,)) for name in ("short", "empty")]
    for number, reader in enumerate(readers, 1):
        reader.start()
        wait_until(lambda number=number: len(user.door.pool._waiting) == number)
    user.ask("GET", address)
    for reader in readers:
        reader.join(20)
    served = [record.path.rpartition("/")[2] for record in user.door.log if record.role == "pool"]
    assert served == ["disk", "empty", "short"]


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
    assert user.tape("POST", "stage", TAPE, token).status == 201
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
    assert user.tape("POST", "stage", TAPE, make(user.door)).status == status
    answer = user.listing(token=make(user.door))
    assert (answer.status, len(answer.body) > 0) == ((207, True) if status == 403 else (401, False))


def test_who_stages_with_a_token_may_go_on_with_the_proxy(at):
    user = at()
    request = user.tape("POST", "stage", TAPE, user.door.token(60)).json["requestId"]
    assert user.tape("GET", f"stage/{request}").status == 200


def test_a_macaroon_of_dcache_opens_what_it_names_for_as_long_as_a_week(at):
    user = at()
    token = user.macaroon("DOWNLOAD", "LIST", "STAGE", "NO_SUCH_ACTIVITY")
    assert user.ask("GET", "disk", token=token).status == 302
    assert user.listing("", token=token).status == 207
    assert user.tape("POST", "stage", TAPE, token).status == 201
    assert user.ask("PUT", "new", b"x", token=token).status == 403
    below = {"caveats": ["activity:DOWNLOAD", "path:/agata/odd"], "validity": "P1D"}
    kind = {"Content_Type": "application/macaroon-request"}
    narrow = user.ask("POST", user.door.url, below, **kind).json["macaroon"]
    assert user.ask("GET", "disk", token=narrow).status == 403
    long = user.ask("POST", user.door.url, {"validity": "P8D"}, **kind)
    assert (long.status, long.reason) == (
        400, "Bad requested caveat: before: requested duration beyond maximum allowed (PT168H)"
    )  # fmt: skip
    assert at().ask("GET", "disk", token=token).status == 401  # another door's


def test_what_storm_gives_out_is_good_for_all_that_its_user_may_do(at):
    user = at(S)
    token = user.macaroon("DOWNLOAD")
    assert user.ask("PUT", "new", b"x", token=token).status == 201
    answer = user.ask("POST", f"{user.door.url}/.storm-webdav/oauth/token", "grant_type=client_credentials&lifetime=1")
    assert answer.json["expires_in"] == 43200
    assert user.ask("DELETE", "new", token=answer.json["access_token"]).status == 204
    assert at(S).listing(token=token).status == 500


@pytest.mark.every(5)
@pytest.mark.parametrize(("profile", "status"), [(D, 401), (S, 403)])
@pytest.mark.parametrize("proxy", ["new_format", "plain", "other_vo", "expired_attribute", "forged"])
def test_java_lets_in_nobody_without_the_vo_in_its_own_format(at, grid, profile, status, proxy):
    assert at(profile, proxy).listing().status == status
    if proxy == "new_format":  # which is right by the letter, and XRootD takes it
        assert at(profile, proxy).ask("GET", f"{grid.xrootd.url}/agata/host_adler32").status == 200


# == In the grid ========================================================================================


def test_the_grid_has_a_storm_over_the_same_tree(grid):
    assert f"[CNAF]\nSERVER = {grid.storm.url}/" in grid.conf(Path("/data"))
    assert grid.storm.switches == kindly(CHOSEN["storm"])
    assert (grid.at("dcache-9.2").switches, grid.at("dcache-9.2").tree) == (kindly("dcache-9.2"), grid.tree)
    assert grid.at(CHOSEN["dcache"]) is grid.door
