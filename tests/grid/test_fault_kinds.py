"""Each kind of fault reaches a client of a simulated door, as often and where it was asked for."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.grid import faults
from tests.grid.faults import KINDS
from tests.grid.propfind import Upload
from tests.support.client import (
    NAMES,
    SILENCE,
    SIZE,
    Answer,
    Client,
    lasts,
    seen,
)

D, S = "dcache-10.2", "storm-1.9"


def short(user: Client, **headers: str) -> Callable[[], Answer]:
    """A reader that soon takes the door for silent."""
    return lambda: user.ask("GET", "disk", timeout=SILENCE, **headers)


def interim(user: Client) -> Any:
    """What a door without redirects begins to say, when its second word is no answer either."""
    with contextlib.closing(user.connect(user.door.url)) as connection:
        connection.request("GET", "/agata/disk")
        said = connection.sock.recv(1000)
    return SimpleNamespace(status="interim" if said.count(b"HTTP/1.1 100 ") > 1 else "answer")


def moved(answer: Answer) -> tuple[int, str]:
    """A redirect, and the end of where it leads."""
    return answer.status, "/".join((answer.headers["Location"] or "").split("/")[-2:])


def nowhere(user: Client) -> Answer:
    return user.tape("POST", "archiveinfo", {"paths": []})


def error_of(user: Client) -> Any:
    return user.tape("GET", f"stage/{user.stage()}").json["files"][0].get("error", "none")


def digest_of(user: Client) -> Any:
    listed = user.listing(names=NAMES.format("<t:Checksum/>")).properties["Checksum"]
    return user.ask("HEAD", "disk").headers["Digest"], listed


def first_differs(user: Client) -> list[int]:
    pairs = enumerate(zip(user.ask("GET", "disk").body, user.tree.expected("agata/disk")))
    return [at for at, (one, other) in pairs if one != other]


def where_to(user: Client) -> str:
    """Where a redirect leads, with names for the ports."""
    target = user.ask("GET", "disk").headers.get("Location", "").partition("?")[0]
    for name in ("url", "pool_url", "plain_url"):
        url = getattr(user.door, name)
        target = target.replace(url, name).replace(url.replace("localhost", "127.0.0.1"), f"{name} by number")
    return target


def upload(user: Client) -> Any:
    """What a client sees of an upload, and what is there then."""
    said, file = seen(lambda: user.ask("PUT", "new", b"0123", timeout=SILENCE)), user.tree.find("agata/new")
    if not isinstance(file, Upload):
        return said, None
    user.tree.remove("agata/new")
    return said, file.data


RANGE = {"Range": "bytes=10-19"}
HAPPENED: list[str] = []
# Kind and options, and what a client sees of StoRM, where the door itself sends the bytes.
SPOILT: list[tuple[Any, dict[str, Any], Callable[[Client], Any], Any]] = [
    *[(code, {}, lambda u: u.ask("GET", "disk").status, code) for code in (401, 403, 404, 416, 500, 502, 503, 507)],
    (503, {"retry_after": 7}, lambda u: u.ask("GET", "disk").headers["Retry-After"], "7"),
    (500, {"text": "no"}, lambda u: u.ask("GET", "disk").body, b"no"),
    ("meanwhile", {"happens": lambda: HAPPENED.append("it")}, lambda u: (u.ask("GET", "disk"), [*HAPPENED])[1], ["it"]),
    ("moved", {}, lambda u: moved(u.listing()), (307, "agata/disk")),
    ("moved", {"code": 301, "to": "https://x.invalid"}, lambda u: moved(u.tape("GET", "stage/x")), (301, "stage/x")),
    ("reset", {}, lambda u: seen(short(u)), "closed"),
    ("reset_in_body", {"at": 0}, lambda u: seen(short(u)), "cut"),
    ("reset_in_body", {}, lambda u: seen(short(u)), "cut"),
    ("stall", {}, lambda u: seen(short(u)), "silence"),
    ("stall", {"seconds": 0.1}, lambda u: (seen(short(u)), lasts(u, 0.1)), (200, True)),
    ("repeat", {}, lambda u: u.get(Authorization="Bearer x").body, b"Bearer x"),
    ("interim", {}, lambda u: seen(lambda: interim(u)), "interim"),
    ("cut", {}, upload, ("closed", b"01")),
    ("cut", {"at": -1}, upload, ("closed", b"012")),
    ("cut", {"seconds": 60}, lambda u: upload(u)[0], "silence"),
    ("other_bytes", {}, upload, (201, b"\xcf123")),
    ("lost", {}, upload, ("closed", b"0123")),
    ("stall_in_body", {"at": 5000}, lambda u: seen(short(u)), "silence"),
    ("stall_in_body", {"seconds": 0.1}, lambda u: (seen(short(u)), lasts(u, 0.1)), (200, True)),
    ("truncate", {}, lambda u: seen(short(u)), "cut"),
    ("truncate", {"at": 0}, lambda u: seen(lambda: u.listing()), "cut"),
    ("drip", {"speed": SIZE * 4}, lambda u: lasts(u, 0.2), True),
    ("wrong_bytes", {}, first_differs, [SIZE // 2]),
    ("wrong_bytes", {"at": 7}, first_differs, [7]),
    ("ignore_range", {}, lambda u: (lambda a: (a.status, len(a.body)))(u.get(**RANGE)), (200, SIZE)),
    ("refuse_range", {}, lambda u: u.get(**RANGE).status, 416),
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


@pytest.mark.every(7)
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


def test_a_wrong_checksum_is_wrong_in_both_headers(at):
    user = at("dcache-12.0")
    user.door.faults.add("*", "digest")
    wishes = {"Want_Digest": "adler32"}, {"Want_Repr_Digest": "adler=1"}
    said = [user.ask("HEAD", "disk", **wish).headers for wish in wishes]
    assert [said[0]["Digest"], said[1]["Repr-Digest"]] == ["adler32=0badc0de", "adler=:C63A3g==:"]


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
    address = user.ask("GET", "disk").headers["Location"]
    user.door.down("pool")
    answer = user.ask("GET", "disk")
    assert (user.listing().status, seen(lambda: user.ask("GET", address))) == (207, "refused")
    assert (answer.status, b"Route for >pool_b@poolB< not found" in answer.body) == (500, True)
    assert user.listing().properties["FileLocality"] == "ONLINE"  # nobody has told the namespace
    user.door.up("pool")
    user.door.restart()
    assert user.get().status == 200
