"""What is said of copies from door to door that fail, tried at real and simulated doors."""

from __future__ import annotations

import re
import socket
import ssl
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gridsync_parts.doors import At, Far, Key, Place, Puller, Sent, Writer
from gridsync_parts.errors import (
    BadName,
    CredentialError,
    DoorError,
    Exists,
    FileError,
    Forbidden,
    Full,
    GridError,
    NoCrossing,
    NotFound,
    PoolError,
    Unfinished,
    Unreached,
)
from gridsync_parts.segments import SHORTEST
from gridsync_parts.table import Site
from tests.grid import Grid
from tests.grid.door import PROFILES, Door
from tests.grid.xrootd import SCRATCH, XRootD, keep_checksum
from tests.support.client import Client
from tests.support.places import opened, place_at
from tests.support.user import wait_until

D, S, X = "dcache-10.2", "storm-1.9", "xrootd"
DATA = b"some bytes" * 10_000
JUNK = Key("not-the-key-of-anybody")
REFUSED = [(FileError, True), (Forbidden, False), (DoorError, True)]  # some doors say 401, 403, or 500
SECRET = re.compile(f"{JUNK.bearer}|MDA|eyJ")


class End(NamedTuple):
    """A door, and where files are there."""

    place: Place
    url: str  # of the folder below which its paths begin
    client: Client | None = None  # of a simulated one
    disk: Path | None = None  # of a real one

    @property
    def puller(self) -> Puller:
        assert self.place.puller
        return self.place.puller

    @property
    def writer(self) -> Writer:
        assert self.place.writer
        return self.place.writer

    @property
    def door(self) -> Door:
        assert self.client
        return self.client.door

    @property
    def host(self) -> str:
        return self.url.split("/")[2]

    def url_of(self, name: str) -> str:
        return f"{self.url}/{name}"

    def listens(self) -> bool:
        try:
            self.place.lister.folder("")
        except Unreached:
            return False
        return True

    def put(self, name: str, data: bytes = DATA) -> At:
        self.writer.write(name, Sent(len(data), lambda: iter([data])))
        if self.disk and (self.disk / name).exists():
            keep_checksum(self.disk / name, zlib.adler32(data))
        return At(name, len(data))

    def size(self, name: str) -> int:
        return self.writer.stored(name).size


Ends = Callable[..., End]


@pytest.fixture
def end(grid: Grid, at: Callable[..., Client], copiers: tuple[XRootD, XRootD], tmp_path: Path) -> Ends:
    made: list[str] = []

    def make(kind: str, silence: int = 10) -> End:
        made.append(kind)
        site = Site("HERE", "", "agata", "http", first_byte=30, silence=silence)
        if kind == X:
            server, folder = copiers[made.count(X) % 2], f"{tmp_path.name}-{len(made)}"
            site = site._replace(server=server.url, base=SCRATCH)
            End(place_at(grid, site), server.url).writer.folder(folder)
            place = place_at(grid, site._replace(base=f"{SCRATCH}/{folder}"))
            return End(place, f"{server.scratch}/{folder}", disk=server.folder / "data" / SCRATCH / folder)
        client = at(kind)
        client.door.switches.marker_interval = 0.05
        return End(place_at(grid, site._replace(server=client.door.url)), f"{client.door.url}/agata", client)

    return make


@pytest.fixture
def stranger(grid: Grid) -> Iterator[str]:
    """The URL of a server whose certificate no site knows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*grid.pki.host("untrusted"))
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                line = listener.accept()[0]
            except OSError:
                return
            line.settimeout(5)
            try:
                context.wrap_socket(line, server_side=True).close()
            except OSError:
                line.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"https://localhost:{listener.getsockname()[1]}"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(10)


def crossed(call: Callable[[], Any]) -> tuple[list[int], GridError | None]:
    """The marks of a copy, and what is said in the end."""
    seen: list[int] = []
    try:
        seen.extend(call().marks)
    except GridError as error:
        return seen, error
    return seen, None


PAIRS = [(X, X), (D, S), (S, D), (D, D), (X, D), (S, X)]
OTHERS = [name for name in PROFILES if name not in (D, S)]
PAIRS += [pytest.param(*pair, marks=pytest.mark.long) for name in OTHERS for pair in ((name, X), (X, name))]


@pytest.mark.first
@pytest.mark.parametrize(("acts", "far"), PAIRS)
def test_a_door_fetches_from_another_and_brings_to_another(end, acts, far):
    here, there = end(acts), end(far)
    first, second = ("a+b", "c=d") if "storm" in acts + far else ("a b#1", "c d#%1")
    at = there.put(first)
    seen, error = crossed(lambda: here.puller.pull(second, there.puller.far(first, False), at))
    assert (error, here.size(second)) == (None, len(DATA)), error
    assert all(0 <= count <= len(DATA) for count in seen)
    seen, error = crossed(lambda: here.puller.push(At(second, len(DATA)), there.puller.far("back", True)))
    assert (error, there.size("back")) == (None, len(DATA)), error


@pytest.mark.long
def test_xrootd_takes_several_streams_for_a_large_file(end):
    """It says what came when it has several."""
    here, there = end(X), end(X)
    for size, streams, counts in ((2 * SHORTEST, 4, True), (2 * SHORTEST - 1, 4, False), (2 * SHORTEST, 1, False)):
        at = there.put("large", bytes(range(256)) * (size // 256) + bytes(size % 256))
        crossing = here.puller.pull("large", there.puller.far("large", False), at, streams)
        assert (list(crossing.marks)[-1] == size) == counts
        assert (here.writer.stored("large").checksum, here.size("large")) == (there.place.reader.checksum(at), size)
        assert here.writer.remove("large")
        assert there.writer.remove("large")


def test_a_name_that_xrootd_would_decode_twice_is_refused(end):
    here, there = end(X), end(D)
    at = there.put("a%41")
    error = said(lambda: here.puller.pull("a%41", there.puller.far("a%41", False), at))
    assert (type(error), "would take its name for another one" in str(error)) == (BadName, True)
    here.put("a%41")
    error = said(lambda: here.puller.push(at, there.puller.far("b", True)))
    assert type(error) is BadName
    assert crossed(lambda: there.puller.pull("b%41", here.puller.far("a%41", False), at)) == ([], None)
    assert there.size("b%41") == len(DATA)


# == What a door says before a copy =====================================================================

LONG_S = pytest.param(S, marks=pytest.mark.long)  # of the simulated ones, one is enough at each change
BOTH = pytest.mark.parametrize("acts", [X, D, LONG_S])


def said(call: Callable[[], Any]) -> GridError:
    """The error of a copy that fails, at once or in its last line."""
    error = crossed(call)[1]
    assert error
    assert "\n" not in str(error)
    assert not SECRET.search(str(error)), error
    return error


@pytest.mark.first
@BOTH
def test_what_is_there_is_left_alone(end, acts):
    here, there = end(acts), end(D)
    at, far = there.put("new"), there.puller.far("new", False)
    here.put("old", b"older")
    here.writer.folder("folder")
    for name in ("old", "folder"):
        error = said(lambda name=name: here.puller.pull(name, far, at))
        assert (type(error), str(error)) == (Exists, f"{here.url_of(name)}: there is something of this name already")
    assert here.size("old") == 5


@pytest.mark.first
@BOTH
def test_a_folder_that_is_missing_is_named(end, acts):
    here, there = end(acts), end(D)
    at, far = there.put("new"), there.puller.far("new", False)
    error = said(lambda: here.puller.pull("no/such/new", far, at))
    assert (type(error), str(error)) == (NotFound, f"{here.url_of('no/such/new')}: the folder for it is not there")


@pytest.mark.first
@BOTH
def test_a_file_that_is_missing_is_named(end, acts):
    here, there = end(acts), end(D)
    error = said(lambda: here.puller.pull("new", there.puller.far("gone", False), At("gone", 5)))
    assert isinstance(error, (NotFound, Forbidden)), error
    assert there.host in str(error)
    error = said(lambda: here.puller.push(At("gone", 5), there.puller.far("new", True)))
    assert (type(error), here.url_of("gone") in str(error)) == (NotFound, True)


@pytest.mark.long
@BOTH
def test_a_key_that_is_none_is_the_other_site_s_matter(end, acts):
    for far in (D, S, X):
        here, there = end(acts), end(far)
        at = there.put("old")
        error = said(lambda here=here, there=there, at=at: here.puller.pull("new", Far(there.url_of("old"), JUNK), at))
        assert there.host in str(error)
        assert here.host in str(error)
        assert (type(error), error.passing) in REFUSED, error
        here.put("mine")
        where = Far(there.url_of("brought"), JUNK)
        error = said(lambda here=here, where=where: here.puller.push(At("mine", len(DATA)), where))
        assert there.host in str(error)
        assert (type(error), error.passing) in REFUSED, error


@pytest.mark.long
@BOTH
def test_what_was_not_to_be_replaced_at_the_other_site_may_be_there(end, acts):
    """A folder has the name: a file would be replaced by some doors."""
    here, there = end(acts), end(S)
    there.writer.folder("taken")
    here.put("mine")
    error = said(lambda: here.puller.push(At("mine", len(DATA)), there.puller.far("taken", True)))
    assert there.host in str(error)


@pytest.mark.long
@BOTH
def test_the_other_site_may_not_be_reached(end, acts):
    here = end(acts)
    error = said(lambda: here.puller.pull("new", Far("https://localhost:1/agata/f", JUNK), At("f", 5)))
    assert (type(error), error.passing) == (DoorError, True)
    assert f"{here.host} cannot reach localhost:1 " in str(error)
    assert "--via_here" in str(error)


@pytest.mark.long
@BOTH
def test_the_other_site_s_certificate_may_be_nobody_s(end, acts, stranger):
    here = end(acts)
    error = said(lambda: here.puller.pull("new", Far(f"{stranger}/agata/f", JUNK), At("f", 5)))
    assert (type(error), error.passing) == (DoorError, False)
    assert f"{here.host} does not accept the certificate of {stranger[8:]} " in str(error)


@pytest.mark.first
@BOTH
def test_a_door_has_no_copies_to_itself(end, acts):
    here = end(acts)
    at = here.put("old")
    error = said(lambda: here.puller.pull("new", here.puller.far("old", False), at))
    assert (type(error), "both sites are at" in str(error)) == (NoCrossing, True)


@pytest.mark.first
@pytest.mark.parametrize("acts", [X, S])
def test_a_door_that_takes_no_proxy_says_so(end, acts):
    here, there = end(acts), end(D)
    at = there.put("old")
    error = said(lambda: here.puller.pull("new", Far(there.url_of("old"), Key(is_proxy=True, wider="all")), at))
    assert (type(error), f"{here.host} copies nothing" in str(error)) == (NoCrossing, True)


@pytest.mark.parametrize("kind", ["plain", pytest.param("wsgidav", marks=pytest.mark.long)])
def test_doors_that_never_copy_say_so(end, grid, kind):
    there = end(D)
    at, far = there.put("old"), there.puller.far("old", False)
    server, base = (grid.xrootd.url, "agata") if kind == "plain" else (grid.wsgidav.url, "")
    here = End(place_at(grid, Site("HERE", server, base, "http", first_byte=30, silence=10)), server)
    wait_until(here.listens)  # WsgiDAV says that it serves a moment before it does
    error = said(lambda: here.puller.pull("new", far, at))
    assert (type(error), f"{here.host} copies nothing from or to other sites" in str(error)) == (NoCrossing, True)
    mine = "ReadATCA.tar" if kind == "plain" else here.put("mine").path
    error = said(lambda: here.puller.push(At(mine, 5), there.puller.far("brought", True)))
    assert (type(error), "--via_here" in str(error)) == (NoCrossing, True)


# == What may go wrong later ============================================================================


@pytest.mark.first
@pytest.mark.parametrize("acts", [D, LONG_S])
@pytest.mark.parametrize(
    ("why", "kind"),
    [("No space left on device", Full), ("rejected GET: 503 Busy", DoorError), ("out of luck", FileError)],
)
def test_the_last_line_of_an_answer_is_believed(end, acts, why, kind):
    here, there = end(acts), end(D)
    at = there.put("old")
    here.door.switches.copy_fails = why
    error = said(lambda: here.puller.pull("new", there.puller.far("old", False), at))
    assert (type(error), why in str(error)) == (kind, True)


@pytest.mark.every(3)
@pytest.mark.parametrize("acts", [D, LONG_S])
@pytest.mark.parametrize(
    ("fault", "options"),
    [
        ("truncate", {"at": 200}), ("reset_in_body", {"at": 200}), ("stall_in_body", {"at": 200}),
        ("truncate", {"at": 0}), pytest.param("stall_in_body", {"at": 0}, marks=pytest.mark.long),
    ],
)  # fmt: skip
def test_marks_that_end_or_stop_leave_it_open_how_the_copy_went(end, acts, fault, options):
    here, there = end(acts, silence=1), end(S)
    at = there.put("old")
    there.door.switches.latency = 0.3
    here.door.faults.add("*/new", fault, method="COPY", **options)
    error = said(lambda: here.puller.pull("new", there.puller.far("old", False), at))
    assert (type(error), error.passing) == (Unfinished, True)
    assert "the copy may go on" in str(error) or "it may go on" in str(error)


@pytest.mark.parametrize("acts", [D, LONG_S])
@pytest.mark.parametrize("fault", ["lost", 504])
def test_an_answer_that_is_lost_leaves_it_open_whether_the_copy_goes_on(end, acts, fault):
    here, there = end(acts), end(S)
    at = there.put("old")
    here.door.faults.add("*/new", fault, method="COPY")
    error = said(lambda: here.puller.pull("new", there.puller.far("old", False), at))
    assert (type(error), error.passing) == (Unfinished, True)


@pytest.mark.parametrize("acts", [D, LONG_S])
def test_who_waits_for_marks_is_woken_when_the_line_is_hung_up(end, acts):
    here, there = end(acts, silence=60), end(S)
    at = there.put("old")
    here.door.faults.add("*/new", "stall_in_body", method="COPY", at=0)
    crossing = here.puller.pull("new", there.puller.far("old", False), at)
    timer = threading.Timer(0.3, crossing.hang_up)
    timer.start()
    with pytest.raises(Unfinished):
        list(crossing.marks)
    timer.join()


@pytest.mark.first
@pytest.mark.parametrize("acts", [D, LONG_S])
@pytest.mark.parametrize(
    ("status", "kind", "passing"),
    [
        (401, CredentialError, False), (403, Forbidden, False), (405, NoCrossing, False), (413, FileError, False),
        (429, DoorError, True), (500, PoolError, True), (501, NoCrossing, False), (502, DoorError, True),
        (503, DoorError, True), (507, Full, False),
    ],
)  # fmt: skip
def test_each_status_of_the_door_that_acts_has_its_sentence(end, acts, status, kind, passing):
    here, there = end(acts), end(D)
    at, far = there.put("old"), there.puller.far("old", False)
    here.put("mine")
    here.door.faults.add("*", status, method="COPY")
    for call in (lambda: here.puller.pull("new", far, at), lambda: here.puller.push(At("mine", len(DATA)), far)):
        error = said(call)
        if not (status in (413, 507) and here.url_of("mine") in str(error)):  # who only reads is not told so
            assert (type(error), error.passing) == (kind, passing), error
        assert here.host in str(error)


def test_a_key_goes_to_another_host_only_if_it_is_narrow(end, raw):
    """As where the machines of a cluster copy."""
    words = b"HTTP/1.1 201 Created\r\nContent-Length: 16\r\n\r\nsuccess: Created"
    elsewhere = raw(lambda: [words])
    sends_on = f"HTTP/1.1 307 x\r\nContent-Length: 0\r\nLocation: {elsewhere.url}/f?authz=x\r\n\r\n"
    first = raw(lambda: [sends_on.encode()])
    place = opened(Site("HERE", first.url, "", "http", credential="none", first_byte=5, silence=5))
    far = Far("https://localhost:1/f", Key("the-key-of-a-file"))
    assert crossed(lambda: place.puller.pull("new", far, At("f", 5))) == ([], None)
    assert b"Bearer the-key-of-a-file" in elsewhere.heard
    elsewhere.heard = b""
    for key in (Key("the-key-of-all", wider="all"), Key(is_proxy=True, wider="all")):
        error = said(lambda key=key: place.puller.pull("new", far._replace(key=key), At("f", 5)))
        assert isinstance(error, (DoorError, NoCrossing))
    assert elsewhere.heard == b""
