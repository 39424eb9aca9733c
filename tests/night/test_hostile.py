"""What comes from outside is anything: each of these readers takes it or refuses it with a sentence.

tests/night/fuzz.py goes on from here for as long as one likes: `make fuzz`.
"""

from __future__ import annotations

import configparser
import contextlib
import html
import itertools
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gridsync_parts.catalog import COLUMNS, Catalog
from gridsync_parts.conf import with_setting
from gridsync_parts.disk import MARK
from gridsync_parts.doors import ODDITIES, At, Listing, Place
from gridsync_parts.doors.digests import digest_of
from gridsync_parts.doors.listing import listing_of
from gridsync_parts.errors import DiskError, DoorError, FileError, GridError, UsageError
from gridsync_parts.home import Home
from gridsync_parts.keys.token import token_end
from gridsync_parts.partfile import PartFile
from gridsync_parts.plans import new_row, plan_catalog
from gridsync_parts.secrets import make_printable
from gridsync_parts.segments import MAGIC, TABLE_END, TABLE_ROW
from gridsync_parts.settings import Config, scope_of
from gridsync_parts.table import Site
from gridsync_parts.values import UNFINISHED, Entry, Locality, Row, Scope
from gridsync_parts.words import day_text, grid_path, is_name, is_path, size_text
from tests.grid.door import Switches
from tests.grid.web import Log, Reply, Request, Server, Stream
from tests.support.calls import walk_all
from tests.support.places import opened
from tests.support.properties import OFTEN, PROPERTY

MB = 1 << 20
MEMORY = 300  # MB that a run may take, whatever it is sent
ENDLESS = 500 * MB  # so that one who swallows it all is noticed, and no machine is brought down

TEXT = st.text(st.characters(blacklist_categories=["Cs"]))
NAMES = st.binary(min_size=1, max_size=30).map(lambda name: name.decode("utf-8", "surrogateescape"))
NAMES = NAMES.filter(is_name)
ODD = st.sampled_from(
    ["..", ".", "...", ".\n", "..\n", "\x1b[2J", "a\rb", '"', ",", "%2e%2e", "\ufeff", "\u2028", "~", "-"]
)
PATHS = st.lists(NAMES | ODD.filter(is_name), min_size=1, max_size=4).map("/".join)
KINDS = st.sampled_from(["adler32", "md5", "sha", "sha-256", "sha-512"])
URL = "https://door.example.org/agata/run"


@pytest.fixture(scope="module")
def outputdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An OUTPUTDIR in which somebody has planted links."""
    folder = tmp_path_factory.mktemp("out")
    for name, target in {"etc": "/etc", "up": "..", "root": "/", "here": ".", "loop": "loop"}.items():
        (folder / name).symlink_to(target)
    return folder


# == Listings ===========================================================================================

FOLDER = (
    "<response><href>/agata/run/</href><propstat><status>HTTP/1.1 200 OK</status><prop><resourcetype><collection/>"
    "</resourcetype></prop></propstat></response>"
)


def listing(*responses: str) -> bytes:
    return f'<multistatus xmlns="DAV:">{FOLDER}{"".join(responses)}</multistatus>'.encode("utf-8", "replace")


def response(href: str, size: str = "1", time: str = "", checksum: str = "") -> str:
    properties = {"getcontentlength": size, "getlastmodified": time}
    inner = "".join(f"<{name}>{html.escape(text)}</{name}>" for name, text in properties.items())
    inner += f'<c:Checksums xmlns:c="http://www.dcache.org/2013/webdav">{html.escape(checksum)}</c:Checksums>'
    return (
        f"<response><href>{html.escape(href)}</href><propstat><status>HTTP/1.1 200 OK</status>"
        f"<prop>{inner}</prop></propstat></response>"
    )


def kept(entries: Iterable[Entry], outputdir: Path) -> None:
    """What was listed: the catalog gives it back as it is, the screen shows it, and no file of it is elsewhere."""
    for entry in entries:
        row = new_row(entry, "LYON")
        assert row.size == UNFINISHED or COLUMNS.row_of(COLUMNS.cells_of(row)) == row
        assert size_text(row.size) and day_text(row.mtime)
        below(outputdir, row.path)


def below(outputdir: Path, path: str) -> None:
    """Refused, or below OUTPUTDIR, wherever links lead."""
    with contextlib.suppress(FileError):
        home = Home(str(outputdir))
        place, name = home.place(path)
        assert name == path.rpartition("/")[2] not in ("", ".", "..") and "\0" not in path
        with contextlib.suppress(OSError):  # a name that is too long
            folder = home.folder(place)
            found = os.readlink(f"/proc/self/fd/{folder.fd}")
            assert f"{found}/".startswith(f"{outputdir.resolve()}/")


ANYTHING = st.one_of(
    st.binary(max_size=500),
    st.lists(st.builds(response, TEXT | PATHS.map(lambda path: quote(f"/agata/run/{path}", errors="surrogateescape")),
                       *[TEXT | st.integers().map(str)] * 3)).map(lambda responses: listing(*responses)),
    TEXT.map(lambda text: listing(text)),
)  # fmt: skip


@PROPERTY
@given(xml=ANYTHING)
def test_any_answer_to_a_listing_is_entries_or_a_sentence(outputdir, xml):
    with contextlib.suppress(GridError):
        kept(listing_of([xml], "/agata", "run", URL), outputdir)


@PROPERTY
@given(name=NAMES | ODD)
def test_any_name_is_listed_as_it_is_or_left_out(outputdir, name):
    named, good = (response(quote(f"/agata/run/{name}", errors="surrogateescape")) for name in (name, "good"))
    found = listing_of([listing(named, good)], "/agata", "run", URL)
    paths = [f"run/{name}", "run/good"] if is_name(name) else ["run/good"]
    assert [entry.path for entry in found] == paths and len(found) + len(found.odd) == 2
    kept(found, outputdir)


@pytest.mark.every(1)
@pytest.mark.parametrize(
    "href", "/agata/run/..,/agata/run/a/b,/agata/run/a%2Fb,/agata/other/a,/agata,/,run/a,,/x,https://[/".split(",")
)
def test_what_is_not_in_the_folder_is_named_and_costs_no_other_file_its_row(href):
    found = listing_of([listing(response(href), response("/agata/run/good"))], "/agata", "run", URL)
    (left_out,) = found.odd.values()
    assert [entry.path for entry in found] == ["run/good"]
    assert str(left_out).endswith("cannot be right; it is left out, ask the site")
    rows = [new_row(entry._replace(path=f"{folder}/gone"), "LYON")
            for entry in found for folder in ("run", "run/a", "run/a/b", "other/a")]  # fmt: skip
    assert plan_catalog(rows, [], Scope("LYON", "", (), ()), found.odd) == []


def test_a_listing_with_too_many_of_them_makes_no_sense():
    many = [response(f"/agata/other/{number}") for number in range(ODDITIES + 1)]
    assert len(listing_of([listing(*many[1:])], "/agata", "run", URL).odd) == ODDITIES
    with pytest.raises(GridError, match="makes no sense"):
        listing_of([listing(*many)], "/agata", "run", URL)


@PROPERTY
@given(size=TEXT | st.integers().map(str), time=TEXT, checksum=TEXT | st.builds("{}={}".format, KINDS, TEXT))
def test_any_property_of_a_file_is_understood_or_left_out_or_refused(outputdir, size, time, checksum):
    assume(size.strip())
    with contextlib.suppress(GridError):
        kept(
            listing_of([listing(response("/agata/run/a", size, time, checksum))], "/agata", "run", URL),
            outputdir,
        )


@pytest.mark.every(1)
@pytest.mark.parametrize("size", ["9" * 19, "9" * 400, "9" * 5000, "-1", "1e3", "٣"], ids=lambda size: size[:4])
def test_a_file_with_a_size_that_none_has_is_left_out_and_keeps_its_row(size):
    xml = listing(response("/agata/run/a", size), response("/agata/run/b"))
    found = listing_of([xml], "/agata", "run", URL)
    assert [entry.path for entry in found] == ["run/b"] and "the size of run/a cannot be" in str(found.odd["run/a"])
    row = new_row(found[0]._replace(path="run/a"), "LYON")
    assert plan_catalog([row], [], Scope("LYON", "", (), ()), found.odd) == [row]


@pytest.mark.every(1)
@pytest.mark.parametrize(
    "checksum", ["md5=", "md5==", "md5=AAAA", f"md5={'A' * 10_000}", "sha=AAAA", "adler32=123456789"], ids=range(6)
)
def test_a_checksum_that_is_none_counts_for_nothing(checksum):
    assert digest_of(checksum) == ""


BOMB = '<!DOCTYPE x [<!ENTITY a "{}">]>'.format("a" * 1000)


@pytest.mark.every(1)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize(
    "before", ["", " " * 2000, f"<!--{'x' * 2000}-->", "<?x?>"], ids=["first", "blanks", "comment", "word"]
)
def test_a_listing_that_defines_entities_is_refused_in_every_encoding(encoding, before):
    text = listing(response("/agata/run/x")).decode().replace("run/x", "run/&a;&a;&a;")
    with pytest.raises(GridError, match="makes no sense"):
        listing_of([f"{before}{BOMB}{text}".encode(encoding)], "/agata", "run", URL)


def test_a_base_folder_that_is_a_file_is_said_and_leaves_a_catalog_that_opens(user, folder):
    user.grid.tree.add(f"agata/{folder}/a", 10)
    user.set("BASE_DIR_ON_GRID", f"agata/{folder}/a")
    status, _, err = user("--input_dir / --build_list")
    assert status in (1, 2, 4) and err.count("gridsync.py: ") == 1 and "BASE_DIR_ON_GRID" in err
    Catalog(str(user.folder))


# == Doors ==============================================================================================


class Odd:
    """A door without TLS that gives everybody the same reply."""

    def __init__(self) -> None:
        self.reply = Reply(200)
        self.asked = 0

    def __call__(self, request: Request) -> Reply:
        self.asked += 1
        return self.reply


@pytest.fixture(scope="module")
def odd() -> Iterator[tuple[Odd, str]]:
    door = Odd()
    server = Server("odd", None, Log(), Switches(), lambda request: door(request))
    server.start()
    yield door, server.url
    server.stop()


def place_at(url: str) -> Place:
    site = Site("LYON", url, "agata", "http", url, "", "", "", 5, 5)
    return opened(site)


def verbs(place: Place) -> list[Callable[[], object]]:
    return [
        lambda: place.locate(["run/a", "run/b"]),
        lambda: place.find_tape().stage(["run/a", "run/b"], 1),
        lambda: place.find_tape().stagings("1", ["run/a", "run/b"]),
        lambda: place.find_tape().release("1", ["run/a"]),
        lambda: opened(place.lister.site._replace(tape_api="auto")).find_tape(),
        lambda: place.lister.folder("run"),
        lambda: place.reader.checksum(At("run/a", 0)),
        lambda: b"".join(map(bytes, place.reader.read(At("run/a", 10), 0, 5).chunks)),
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT | st.just(10**400)
    | st.sampled_from(["/agata/run/a", "FAILED", "COMPLETED", "TAPE", "v1", "https://x:y/", "https://[/"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        TEXT | st.sampled_from(["files", "path", "state", "error", "startedAt", "locality", "requestId", "endpoints",
                                "uri", "version"]), inner, max_size=5),
    max_leaves=12,
)  # fmt: skip
# What the service could say, but for one value.
NEARLY = st.one_of(
    st.builds(lambda x: [{"path": "/agata/run/a", "locality": x}], JSON),
    st.builds(lambda x: {"requestId": x}, JSON),
    st.builds(lambda x: {"files": [{"path": "/agata/run/a", "state": "FAILED", "error": x}]}, JSON),
    st.builds(lambda x: {"files": [{"path": "/agata/run/a", "startedAt": x}]}, JSON),
    st.builds(lambda x: {"endpoints": [{"uri": x, "version": "v1"}]}, JSON),
)
BODIES = st.one_of(
    st.binary(max_size=300), (JSON | NEARLY).map(lambda document: json.dumps(document).encode()), ANYTHING
)


@OFTEN
@given(body=BODIES)
@pytest.mark.parametrize("verb", range(5))
def test_any_answer_of_a_tape_service_is_understood_or_a_sentence(odd, verb, body):
    odd[0].reply = Reply(200, body)
    with contextlib.suppress(GridError):
        verbs(place_at(odd[1]))[verb]()


@pytest.mark.every(1)
@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"files":' * 50_000, b"9" * 100_000, b"\xff\xfe", b"NaN"], ids=range(5)
)
def test_a_document_without_sense_is_a_sentence(odd, body):
    odd[0].reply = Reply(200, body)
    for verb in verbs(place_at(odd[1]))[:3]:
        with pytest.raises(GridError):
            verb()


@pytest.mark.every(1)
@pytest.mark.parametrize("name", ["null", "true", "[1]", '{"a": 1}', "1.5", '""'])
def test_a_request_has_a_string_or_a_whole_number_for_a_name(odd, name):
    odd[0].reply = Reply(200, b'{"requestId": %s}' % name.encode())
    with pytest.raises(DoorError, match="is not a valid name for a request"):
        place_at(odd[1]).find_tape().stage(["run/a"], 1)
    odd[0].reply = Reply(200, b'{"requestId": 17}')
    assert place_at(odd[1]).find_tape().stage(["run/a"], 1) == "17"


@pytest.mark.every(1)
@pytest.mark.parametrize("url", ["https://localhost:99999/", "https://[::1", "https://", "https://a..b/", "ftp://a/"])
def test_a_door_that_names_a_tape_service_by_no_url_makes_no_sense(odd, url):
    odd[0].reply = Reply(200, json.dumps({"endpoints": [{"uri": url, "version": "v1"}]}).encode())
    place = place_at(odd[1])
    with pytest.raises(DoorError, match=r"set TAPE_API in Grid.conf to another service, or to none"):
        opened(place.lister.site._replace(tape_api="auto")).find_tape()


@pytest.mark.every(1)
@pytest.mark.parametrize("verb", range(2))
def test_a_tape_service_that_is_none_is_no_missing_file(odd, verb):
    odd[0].reply = Reply(404)
    with pytest.raises(DoorError, match=r"set TAPE_API in Grid.conf to another service, or to none") as caught:
        verbs(place_at(odd[1]))[verb]()
    assert not caught.value.passing


@pytest.mark.every(1)
@pytest.mark.parametrize("status", [401, 403, 409, 413, 500])
def test_a_tape_service_that_refuses_is_not_called_the_door(odd, status):
    odd[0].reply = Reply(status)
    place = place_at(odd[1])
    elsewhere = opened(place.lister.site._replace(tape_api=odd[1].replace("localhost", "127.0.0.1")))
    for verb in verbs(elsewhere)[:4]:
        with pytest.raises(GridError, match="tape service") as caught:
            verb()
        assert "the door" not in str(caught.value)


LONG = b"x" * 3_000_000


@pytest.mark.parametrize("body", [
    b'{"requestId": "%s"}' % LONG,
    b'{"files": [{"path": "/agata/run/a", "state": "FAILED", "error": "%s"}]}' % LONG,
    b'{"endpoints": [{"uri": "%s", "version": "v1"}]}' % LONG,
    LONG,
], ids=range(4))  # fmt: skip
@pytest.mark.parametrize("status", [200, 403, 500])
def test_no_sentence_is_longer_than_somebody_reads(odd, body, status):
    odd[0].reply = Reply(status, body)
    for verb in verbs(place_at(odd[1])):
        try:
            found = verb()
        except GridError as error:
            found = error
        assert len(str(found)) < 1000


def test_a_long_reason_is_shown_in_part_and_so_is_a_long_redirect(odd):
    odd[0].reply = Reply(409, b"", reason="x" * 60_000)
    with pytest.raises(GridError, match=r"x\.\.\.\); if this continues") as caught:
        place_at(odd[1]).lister.folder("run")
    assert len(str(caught.value)) < 500
    odd[0].reply = Reply(302, b"", {"Location": "https://a" + "b" * 60_000 + "/"})
    with pytest.raises(GridError) as caught:
        place_at(odd[1]).reader.checksum(At("run/a", 0))
    assert len(str(caught.value)) < 6000


VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=255, blacklist_characters="\x7f\x85"), max_size=60)
HEADERS = st.fixed_dictionaries({
    "Location": VALUES | st.sampled_from(["//", "http://[", "https://a:b/", "/\x1b[2J", "file:///etc/passwd", "https://\u00e9/"]),
    "Content-Range": VALUES | st.sampled_from([f"bytes {'9' * 5000}-9/10", "bytes 0-4/٣", "bytes -/", "bytes 0-4/10"]),
    "Digest": VALUES, "Retry-After": VALUES | st.sampled_from(["9" * 400, "-1", "²"]), "Content-Type": VALUES,
    "Set-Cookie": VALUES, "Content-Encoding": VALUES | st.just("gzip"),
})  # fmt: skip


@pytest.mark.long
@OFTEN
@given(status=st.sampled_from([200, 206, 207, 302, 307, 400, 401, 403, 404, 413, 415, 429, 500, 503]), headers=HEADERS)
@pytest.mark.parametrize("verb", [1, 5, 6, 7])
def test_any_headers_are_understood_or_a_sentence(odd, verb, status, headers):
    odd[0].reply = Reply(status, b"0123456789", headers)
    try:
        verbs(place_at(odd[1]))[verb]()
    except GridError as error:
        assert error.pause <= 900


@pytest.mark.parametrize("status", [200, 207, 404, 503])
@pytest.mark.parametrize(
    "line", ["--ls_dir", "--input_dir run --build_list", "--input_dir run --check_status", "--release"]
)
def test_an_answer_without_end_does_not_fill_the_memory(user, odd, line, status):
    pinned = Row("run/a", 10, 0, "", Locality.NEARLINE, False, "", "1", "LYON", "")
    Catalog(str(user.folder)).replace([pinned])
    piece = b"[" + b"1," * (MB // 2)
    odd[0].reply = Reply(status, Stream(ENDLESS, (piece for _ in range(ENDLESS // len(piece)))))
    for key, value in {"SERVER": odd[1], "TAPE_API": f"{odd[1]}/tape"}.items():
        user.set(key, value)
    result, most = user.measure(line)
    assert most < MEMORY and "Traceback" not in result.err and result.err.count("gridsync.py: ") <= 1, result.err


def numbered(text: str) -> Iterator[bytes]:
    """A text again and again, each time with another number."""
    for some in itertools.count(step=1000):
        yield "".join(text.format(number) for number in range(some, some + 1000)).encode()


# What a listing can be full of, after a beginning as it should be: how each begins, and what follows it for ever.
FILLINGS: dict[str, tuple[bytes, Callable[[], Iterable[bytes]]]] = {
    "elements": (b"", lambda: itertools.repeat(b"<a/>" * 30_000)),
    "elements in elements": (b"", lambda: itertools.repeat(b"<a>" * 30_000)),
    "elements of many names": (b"", lambda: numbered("<a{}/>")),
    "attributes of many names": (b"", lambda: numbered('<a a{}=""/>')),
    "prefixes": (b"", lambda: numbered('<a xmlns:p{0}="{0}"/>')),
    "a tag with many attributes": (b"<a", lambda: numbered(' a{}=""')),
    "a long attribute": (b'<a b="', lambda: itertools.repeat(b"x" * 100_000)),
    "a long text": (b"<response><href>", lambda: itertools.repeat(b"x" * 100_000)),
    "a long text of many pieces": (b"<response><href>", lambda: itertools.repeat(b"x&lt;" * 20_000)),
    "a comment": (b"<!--", lambda: itertools.repeat(b"x" * 100_000)),
    "a response without end": (b"<response>", lambda: itertools.repeat(b"<href>/agata/run/a</href>" * 4000)),
    "many properties": (
        b"<response>", lambda: itertools.repeat(b"<propstat><prop><getcontentlength>1</getcontentlength></prop>" * 2000)
    ),
}  # fmt: skip


class Filled:
    """A door whose topmost folder has eight others, each of which is full of something."""

    def __init__(self, filling: str) -> None:
        self.begin, self.ever = FILLINGS[filling]

    def __call__(self, request: Request) -> Reply:
        path = request.path.rstrip("/")
        if path == "/agata/run":
            folders = [FOLDER.replace("/agata/run/", f"/agata/run/{number}/") for number in range(8)]
            return Reply(207, listing(*folders))
        head = f'<multistatus xmlns="DAV:">{FOLDER.replace("/agata/run/", path)}'.encode() + self.begin
        return Reply(207, Stream(ENDLESS, itertools.chain([head], self.ever())))


@pytest.mark.long
@pytest.mark.parametrize("filling", FILLINGS)
def test_listings_full_of_something_do_not_fill_the_memory(user, odd, monkeypatch, filling):
    door = Filled(filling)
    monkeypatch.setattr(Odd, "__call__", lambda self, request: door(request))
    user.set("SERVER", odd[1])
    result, most = user.measure("--input_dir run --build_list")
    assert most < MEMORY and "makes no sense" in result.err, (most, result.err[:2000])


class Nested:
    """A door that lists two folders in every folder, for ever."""

    def __call__(self, request: Request) -> Reply:
        if request.method != "PROPFIND":
            return Reply(404)
        path = request.path.rstrip("/")
        names = ["a"] if path.count("/") < 8 else ["a", "b"] if path.count("/") < 10 else ["a"]
        hrefs = [path, *(f"{path}/{name}" for name in names)]
        folders = [FOLDER.replace("/agata/run/", html.escape(quote(href)) + "/") for href in hrefs]
        return Reply(207, f'<multistatus xmlns="DAV:">{"".join(folders)}</multistatus>'.encode())


def test_a_folder_that_is_in_itself_ends_with_a_sentence(user, odd, monkeypatch):
    monkeypatch.setattr(Odd, "__call__", lambda self, request: Nested()(request))
    user.set("SERVER", odd[1])
    status, _, err = user("--input_dir run --build_list")
    said = [line for line in err.splitlines() if line.startswith("gridsync.py: ")]
    assert status == 1 and len(said) == 1 and "contains itself through a link" in said[0], err[:2000]


class Linked:
    """A door with a file and two folders in every folder, for ever; folders have the names that they are given."""

    def __init__(self, name: Callable[[str, int], str]) -> None:
        self.name = name
        self.asked = 0

    def __call__(self, request: Request) -> Reply:
        if request.method != "PROPFIND":
            return Reply(404)
        self.asked += 1
        path = request.path.rstrip("/")
        folders = [
            FOLDER.replace("/agata/run/", f"{path}/{name}") for name in ("", *(self.name(path, n) for n in (1, 2)))
        ]
        return Reply(207, listing(*folders, response(f"{path}/file")).replace(FOLDER.encode(), b"", 1))


@pytest.mark.parametrize("between", [False, True], ids=["at once", "by way of another"])
def test_two_links_that_lead_back_up_end_with_a_sentence(user, odd, monkeypatch, between):
    def name(path: str, number: int) -> str:
        return f"x{number}/" if between and path.rpartition("/")[2] in ("1", "2") else f"{number}/"

    door = Linked(name)
    monkeypatch.setattr(Odd, "__call__", lambda self, request: door(request))
    user.set("SERVER", odd[1])
    user.limit = 100
    status, _, err = user("--input_dir run --build_list --quiet")
    said = [line for line in err.splitlines() if line.startswith("gridsync.py: ")]
    assert status == 1 and len(said) in (1, 2) and "contains itself" in said[0] and door.asked < 10_000, err[:2000]


@pytest.mark.parametrize("limit", ["MOST_FOLDERS", "MOST_FILES"])
def test_folders_that_look_different_and_have_no_end_end_with_a_sentence(user, odd, monkeypatch, limit):
    door = Linked(lambda path, number: f"{len(path)}-{number}/")
    monkeypatch.setattr(Odd, "__call__", lambda self, request: door(request))
    user.set("SERVER", odd[1])
    with user.running("--input_dir run --build_list --quiet", f"{limit} = 300") as run:
        _, err = run.communicate(timeout=60)
    assert run.returncode == 4 and err.count("gridsync.py: ") == 1 and "links form a loop" in err, err[:2000]
    assert door.asked < 1000


def test_an_honest_tree_of_folders_with_the_same_names_is_listed_whole():
    """Folders by the digits of a number, all made at once, and files at the bottom."""

    def entries(folder: str) -> Listing:
        found = Listing()
        if folder.count("/") >= 6:
            found.append(Entry(f"{folder}/file", False, 10, 1000))
        else:
            found += [Entry(f"{folder}/{digit}", True, 0, 1000) for digit in "01"]
        return found

    walk = walk_all(SimpleNamespace(folder=entries))
    assert not walk.failures and len(walk.entries) == 64


def test_nothing_that_a_terminal_would_obey_reaches_the_screen_or_the_log(user, folder):
    """Names, reasons and redirects of the door have colours, titles and cursor movements in them."""
    door, escape = user.grid.door, "\x1b]0;x\x07\x1b[2J\r\x9b31m"
    for name in (f"a{escape}", f"fails{escape}", f"moved{escape}"):
        user.grid.tree.add(f"agata/{folder}/{name}", 10)
    door.faults.add("*/fails*", "status", code=404, text=f"no{escape}", role="pool")
    door.faults.add("*/moved*", "redirect", to=f"https://localhost:1/{escape.replace(chr(13), '')}", role="door")
    door.faults.add("*/archiveinfo", "status", code=400, text=f"no{escape}", count=1)
    log = user.folder / "log"
    shown = ""
    try:
        for line in (
            f"--input_dir {folder} --build_list",
            "--build_list --verbose --start",
            "--check_status",
            "--verify",
        ):
            _, out, err = user(f"{line} --debug --log_file={log}")
            shown += out + err
        shown += user("--build_list --json").out + user(f"--ls_dir {folder}").out
    finally:
        door.faults.clear()
    assert "a\\x1b]0;x" in shown
    for text in (shown, log.read_text()):
        assert not [line for line in text.split("\n") if not line.isprintable()]


# == Files ==============================================================================================

SUMS = st.just("") | st.binary(min_size=4, max_size=4).map(lambda value: f"adler32:{value.hex()}")
ROWS = st.builds(
    Row, PATHS, st.integers(0, 10**18 - 1), st.integers(0, 253402300799), SUMS,
    st.sampled_from(Locality), st.booleans(), st.sampled_from(["", "size", "adler32", "md5"]),
    st.just("") | st.from_regex(r"\w[!-~]{0,20}", fullmatch=True), st.sampled_from(["LYON", "CNAF"]),
    TEXT.map(lambda text: make_printable(text)[:500]), SUMS,
)  # fmt: skip
LINES = st.lists(ROWS, max_size=5, unique_by=lambda row: (row.site, row.path))


def written(rows: Iterable[Row]) -> tuple[str, bytes]:
    """A work folder with these rows, and the catalog in it."""
    folder = tempfile.mkdtemp(dir=os.environ["HOSTILE"])
    Catalog(folder).replace(rows)
    return folder, Path(folder, "grid_summary.csv").read_bytes()


@pytest.fixture(autouse=True)
def hostile(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOSTILE", str(tmp_path_factory.mktemp("hostile")))


@pytest.mark.long
@OFTEN
@given(rows=LINES)
def test_any_rows_are_the_same_after_writing_and_reading(rows):
    folder, _ = written(rows)
    assert sorted(Catalog(folder).all()) == sorted(rows)


@OFTEN
@given(rows=LINES, data=st.data())
def test_any_damage_to_a_catalog_is_read_or_refused_with_its_line(rows, data):
    folder, text = written(rows)
    at = data.draw(st.integers(0, len(text)))
    damage = data.draw(st.binary(max_size=5) | st.sampled_from([b'"', b"\n", b"\r", b",", b"\0", b'"\n"', b"\xff"]))
    Path(folder, "grid_summary.csv").write_bytes(text[:at] + damage + text[at + data.draw(st.integers(0, 5)) :])
    try:
        found = Catalog(folder)
    except DiskError as error:
        assert "grid_summary.csv, line " in str(error) or "cannot be read" in str(error)
        return
    before = sorted(found.all())
    found.is_stale = True
    found.save()
    assert found.is_foreign or sorted(Catalog(folder).all()) == before


@OFTEN
@given(data=st.binary(max_size=300) | TEXT.map(str.encode) | TEXT.map(lambda text: f"path{text}".encode()))
def test_any_file_in_place_of_the_catalog_is_set_aside_or_refused(data):
    folder = tempfile.mkdtemp(dir=os.environ["HOSTILE"])
    Path(folder, "grid_summary.csv").write_bytes(data)
    with contextlib.suppress(DiskError):
        assert Catalog(folder).is_foreign or not data.strip(b"\xef\xbb\xbf")


# Lines as people write them; any of them may be further in than the one before.
INI = st.lists(
    st.tuples(
        st.sampled_from(["", "", " ", "  ", "\t"]),
        st.sampled_from([
            "[gridsync]", "[LYON]", "[other]", "SITE = LYON", "INPUTDIR = x", "inputdir=a=b", "THREADS = 2", "more",
            "SERVER = https://a:1/", "# INPUTDIR = c", "# [x]", "", "#", "a\u2028INPUTDIR = d", "INPUTDIRS = e",
            "TAPE_API = ftp", "BASE_DIR_ON_GRID = ../x", "INCLUDE = (", "OUTPUTDIR = \0",
        ]),
        st.sampled_from(["\n", "\n", "\n", "\r\n"]),
    ).map("".join),
    max_size=12,
).map("".join)  # fmt: skip


def values(text: str) -> dict[tuple[str, str], str]:
    parser = configparser.ConfigParser(interpolation=None, delimiters="=", comment_prefixes="#")
    parser.optionxform = str.upper
    parser.read_string(text)
    return {(name, key): value for name in parser.sections() for key, value in parser[name].items()}


@pytest.mark.long
@settings(PROPERTY, max_examples=500)
@given(text=INI | TEXT.map("[gridsync]\nSITE = LYON\n{}\n".format), value=st.from_regex(r"[!-~]{0,10}", fullmatch=True))
def test_a_setting_is_changed_and_no_other_whatever_stands_around_it(text, value):
    try:
        before = values(text)
    except configparser.Error:
        assume(False)
    changed = with_setting(text, "gridsync", "INPUTDIR", value)
    assert values(changed) == {**before, ("gridsync", "INPUTDIR"): value}
    comments = [line.strip() for line in text.split("\n") if line.strip().startswith("#")]
    assert [line.strip() for line in changed.split("\n") if line.strip().startswith("#")] == comments


@pytest.mark.long
@OFTEN
@given(data=INI.map(str.encode) | st.binary(max_size=200) | TEXT.map(lambda text: f"[gridsync]\n{text}".encode()))
def test_any_grid_conf_is_read_or_refused(data):
    folder = tempfile.mkdtemp(dir=os.environ["HOSTILE"])
    Path(folder, "Grid.conf").write_bytes(data)
    with contextlib.suppress(UsageError):
        config = Config(folder)
        config.change({"INPUTDIR": "run"})
        scope_of(config.settings())


# == Names ==============================================================================================


@PROPERTY
@given(
    path=PATHS | TEXT | st.lists(NAMES | ODD | st.sampled_from(["", "etc", "up", "root", "here", "loop"])).map("/".join)
)
def test_no_path_leads_out_of_outputdir(outputdir, path):
    below(outputdir, path)
    with contextlib.suppress(UsageError):
        assert not grid_path(path) or is_path(grid_path(path))


@pytest.mark.long
@PROPERTY
@given(path=PATHS)
def test_a_path_of_the_grid_is_written_as_the_catalog_has_it(path):
    assert is_path(path) and grid_path(path) == path


@PROPERTY
@given(text=st.text())
def test_what_is_printed_is_printable_and_says_the_same(text):
    shown = make_printable(text)
    assert shown.isprintable() and (shown == text) == text.isprintable()


@OFTEN
@given(data=st.binary(max_size=200), cut=st.integers(0, 200), tag=st.binary(max_size=9))
def test_any_part_file_is_gone_on_from_or_begun_anew(data, cut, tag):
    """Of a table as of none: what it says is here must be here."""
    folder = tempfile.mkdtemp(dir=os.environ["HOSTILE"])
    end = TABLE_END.pack(50, 1000, 1, len(tag), MAGIC)
    Path(folder, f"a{MARK}").write_bytes((data + TABLE_ROW.pack(0, 50, 20) + tag + end)[cut:])
    row = Row("a", 50, 1000, "", Locality.ONLINE, False, "", "", "L", "")
    with PartFile(Home(folder), row, "adler32") as part:
        part.resume(2)
        assert 0 <= part.received() <= 50


@pytest.mark.every(1)
@pytest.mark.parametrize(
    "claims", ['{"exp": 1%s}' % ("0" * 400), "[" * 100_000, '{"exp": 1e999}', '{"exp": "x"}', "[]", "\0"], ids=range(6)
)
def test_a_token_of_any_content_has_an_end_or_none(claims):
    import base64

    token = f"e30.{base64.urlsafe_b64encode(claims.encode()).decode().rstrip('=')}.c2ln"
    assert token_end(token) == 0
