"""What comes from outside, mutated for as long as one likes: `make fuzz`, or `make fuzz FUZZ_SECONDS=3600`.

The first byte of an input chooses who reads the rest. Each reader may refuse it with a GridError; any other exception,
and whatever `assert` below forbids, is a find: atheris stops there and leaves the input in a file crash-*, which
`build/fuzz/bin/python -m tests.night.fuzz crash-*` plays again.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import atheris

with atheris.instrument_imports(include=["gridsync", "gridsync_parts"]):
    from gridsync_parts.catalog import COLUMNS, Catalog, checksum_in
    from gridsync_parts.checksums import Checksum
    from gridsync_parts.conf import default_conf, with_setting
    from gridsync_parts.disk import NAME_MAX, part_name
    from gridsync_parts.doors import ODDITIES, At
    from gridsync_parts.doors.answers import Answer
    from gridsync_parts.doors.digests import digest_of
    from gridsync_parts.doors.ftplist import Unknown, read_listing
    from gridsync_parts.doors.ftpnames import Found
    from gridsync_parts.doors.ftps import FtpsDoor
    from gridsync_parts.doors.listing import (
        ADLER_PROPERTY,
        CHECKSUMS_PROPERTY,
        MTIME,
        SIZE,
        entry_of,
        listing_of,
    )
    from gridsync_parts.doors.marks import MAX_STRIPES, Ends
    from gridsync_parts.doors.marks import Told as Marks
    from gridsync_parts.doors.opendata import tree_of
    from gridsync_parts.doors.record import lacking, record_of
    from gridsync_parts.doors.refused import refusal
    from gridsync_parts.doors.urls import netloc_of
    from gridsync_parts.doors.webdav import WebDavDoor
    from gridsync_parts.doors.wire import Http, Line
    from gridsync_parts.errors import FileError, GridError
    from gridsync_parts.home import Home
    from gridsync_parts.keys.client import client_error
    from gridsync_parts.keys.proxy import attribute_of, end_of, read_proxy, subject_of
    from gridsync_parts.keys.signing import public_key
    from gridsync_parts.keys.token import token_end
    from gridsync_parts.keys.voms_aa import membership_in
    from gridsync_parts.machine import CONNECTIONS
    from gridsync_parts.partfile import PartFile
    from gridsync_parts.plans import new_row, plan_staged
    from gridsync_parts.report.flows import NAME, flow_of
    from gridsync_parts.report.gather import gather
    from gridsync_parts.report.page import Page, as_data
    from gridsync_parts.report.telling import document, summary
    from gridsync_parts.secrets import make_printable
    from gridsync_parts.settings import Config, scope_of
    from gridsync_parts.stats import lines_of
    from gridsync_parts.table import GENERAL, Site
    from gridsync_parts.values import UNFINISHED, Entry, Locality, Row
    from gridsync_parts.vomses import server_in
    from gridsync_parts.words import day_text, grid_path, is_path, moment_text, size_text, time_text
    from tests.support.raw import Raw

FOLDER = tempfile.mkdtemp(prefix="fuzz-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
SITE = Site("LYON", "https://door.example.org:2880", "agata", "http", "https://tape.example.org", "", "", "", 1, 1)
ROW = Row("run/a", 100, 1000, "", Locality.ONLINE, False, "", "", "LYON", "")
PATHS = ["run/a", "run/b"]
URL = "https://door.example.org/agata/run"


class Said(Answer):
    """An answer with these bytes."""

    def __init__(self, data: bytes) -> None:
        self.status, self.data, self.beginning = 200, data, None
        self.response = self  # type: ignore[assignment]
        self.reason = self.url = URL
        self.watch = SimpleNamespace(site=SITE)  # type: ignore[assignment]

    def chunks(self, awaited: int, surplus: GridError | None = None) -> Iterator[bytes]:
        yield self.data

    def header(self, name: str) -> str:
        return self.data.decode("latin-1")

    def close(self) -> None:
        """As of a response."""


class Wired(Http):
    """The server of these answers, which is asked over a socket; wherever else a redirect leads, nobody answers."""

    def line(self, url: str, is_new: bool = False) -> Line:
        if netloc_of(url) != netloc_of(self.site.server):
            raise ConnectionRefusedError("refused")
        return super().line(url, is_new)


class Told(Http):
    """A site that answers everything with these bytes."""

    def __init__(self, data: bytes) -> None:
        super().__init__(SITE, "", None, None)
        self.data = data

    def send(self, method: str, url: str, **_: object) -> Answer:
        return Said(self.data)


def door(data: bytes, site: Site = SITE) -> WebDavDoor:
    found = WebDavDoor(Told(data), site)
    found.tape.rest = found.http  # type: ignore[assignment]
    return found


def kept(entry: Entry) -> None:
    """What a door lists must be readable in the catalog, printable, and below OUTPUTDIR here."""
    if entry.path and entry.size != UNFINISHED:
        row = new_row(entry, "LYON")
        assert COLUMNS.row_of(COLUMNS.cells_of(row)) == row
        assert size_text(row.size) and time_text(row.mtime) and day_text(row.mtime)
        placed(row.path)
    assert make_printable(entry.path).isprintable()


def placed(path: str) -> None:
    """Refused, or below OUTPUTDIR, and beside no file that is on its way."""
    with contextlib.suppress(FileError):
        folder, name = Home(FOLDER).place(path)
        assert os.path.normpath(os.path.join(FOLDER, folder, name)).startswith(FOLDER + "/")
        assert len(os.fsencode(part_name(name))) <= NAME_MAX


def listing(data: bytes) -> None:
    found = listing_of([data], "/agata", "run", URL)
    for entry in found:
        kept(entry)
    assert len(found.odd) <= ODDITIES


def ftp(data: bytes) -> None:
    """What a server lists by MLSD, or as ls does."""
    door = FtpsDoor.__new__(FtpsDoor)
    door.server, door.root = "ftps://door.example.org", "/agata"
    door.facts_about = lambda line, paths: [Found(False, 1, 1) for _ in paths]  # type: ignore[method-assign]
    lines = [line.rstrip(b"\r").decode("utf-8", "surrogateescape") for line in data[1:].split(b"\n")]
    with contextlib.suppress(Unknown):
        found = list(read_listing(lines, bool(data[:1] < b"L")))
        for entry in door.listing_of(None, "run", found):  # type: ignore[arg-type]
            kept(entry)


GAP = b"\0\0"  # between two answers on the line
answers: list[bytes] = []


def answer() -> Iterator[bytes]:
    """The next of the answers; with the last one the connection ends."""
    yield answers.pop(0) if answers else b""
    if not answers:
        raise OSError


server = Raw(answer, patience=0.005)
WIRED = SITE._replace(server=server.url, tape_api=server.url)


def wire(data: bytes) -> None:
    """Answers as they come over the line, to one request after another; a connection is kept where it can be."""
    answers[:] = data.split(GAP)[:6]
    http = Wired(WIRED, "", None, None)
    found = WebDavDoor(http, WIRED)

    def read() -> None:
        for start, stop in ((0, 100), (10, 60)):
            body = found.read(At("run/a", 100), start, stop)
            try:
                assert body.start in (0, start) and sum(map(len, body.chunks)) <= stop - body.start
            finally:
                body.close()

    for verb in (
        lambda: found.folder("run"), read, lambda: found.checksum(At("run/a", 100)),
        lambda: found.tape.localities(PATHS),
    ):  # fmt: skip
        with contextlib.suppress(GridError):
            verb()
    assert len(http.idle.lines) <= CONNECTIONS
    found.close()


def record(data: bytes) -> None:
    """What the portal says of a record, and an answer about an index of it."""
    import json

    texts = data.split(GAP)
    with contextlib.suppress(ValueError, TypeError, RecursionError):  # whoever asks takes them for GridErrors
        said = json.loads(texts[0])
        found = record_of(said, more=dict.fromkeys(lacking(said), json.loads(texts[-1])))
        for entries in tree_of("cms-1", found).values():
            assert len({entry.path for entry in entries}) == len(entries)
            for entry in entries:
                kept(entry)
        assert json.loads(found.text)["id"] == found.recid and len(found.odd) <= ODDITIES


def properties(data: bytes) -> None:
    names = (MTIME, SIZE, CHECKSUMS_PROPERTY, ADLER_PROPERTY)
    values = data.decode("utf-8", "replace").split("\n")
    with contextlib.suppress(ValueError):  # listing_of takes it for a GridError
        kept(entry_of("run/a", False, dict(zip(names, values))))


def digest(data: bytes) -> None:
    found = digest_of(data.decode("latin-1"))
    checksum_in(found)
    assert not found or len(Checksum(found.partition(":")[0]).text()) == len(found)


def localities(data: bytes) -> None:
    assert set(door(data).tape.localities(PATHS)) <= set(PATHS)


def staging(data: bytes) -> None:
    request = door(data).tape.stage(PATHS, 7)
    assert request.split() == [request] and request.isprintable()


def stagings(data: bytes) -> None:
    for staged in door(data).tape.stagings("1", PATHS).values():
        row = plan_staged(ROW._replace(locality=Locality.NEARLINE), staged)
        assert row.error.isprintable() and len(row.error) <= 500
        if 0 < staged.since < 4e9:
            moment_text(staged.since)


def well_known(data: bytes) -> None:
    url = door(data, SITE._replace(tape_api="auto")).tape.url()
    assert url.startswith("https://")


def refused(data: bytes) -> None:
    said = Said(data[1:])
    said.status = 400 + data[0] if data else 500
    error = refusal(said, URL)
    assert len(str(error)) < 1000 and error.pause <= 900


def catalog(data: bytes) -> None:
    Path(FOLDER, "grid_summary.csv").write_bytes(data)
    found = Catalog(FOLDER)
    rows = sorted(found.all(), key=str)
    found.is_stale = True
    found.save()
    assert found.is_foreign or sorted(Catalog(FOLDER).all(), key=str) == rows


def conf(data: bytes) -> None:
    Path(FOLDER, "Grid.conf").write_bytes(data)
    read = Config(FOLDER)
    before = {(name, key): value for name in read.values.sections() for key, value in read.values[name].items()}
    Path(FOLDER, "Grid.conf").write_bytes(with_setting(read.file.text, GENERAL, "INPUTDIR", "run").encode())
    now = Config(FOLDER)
    after = {(name, key): value for name in now.values.sections() for key, value in now.values[name].items()}
    assert after == {**before, (GENERAL, "INPUTDIR"): "run"}
    read.change({"INPUTDIR": "run"})
    scope_of(read.settings())


def names(data: bytes) -> None:
    path = data.decode("utf-8", "surrogateescape")
    assert make_printable(path).isprintable()
    placed(path)
    found = grid_path(path)
    assert not found or is_path(found)


def proxy(data: bytes) -> None:
    path = os.path.join(FOLDER, "proxy")
    Path(path).touch(mode=0o600)
    Path(path).write_bytes(data)
    with contextlib.suppress(ValueError):
        read_proxy(path)
    for part_of in (attribute_of, subject_of, end_of):
        with contextlib.suppress(ValueError, IndexError):
            part_of(data)


def token(data: bytes) -> None:
    import base64

    token_end(data.decode("latin-1"))
    token_end(f"e30.{base64.urlsafe_b64encode(data).decode()}.c2ln")


def membership(data: bytes) -> None:
    found = membership_in(200, data.decode("utf-8", "replace"), 'Contacting v.x:443 [/CN=x] "x.vo"')
    assert found.attribute or "v.x:443" in str(client_error(found.said, "x.vo", "")) or found.is_refused


def copied(data: bytes) -> None:
    """What a door says of a copy to another one, in two pieces; and a verdict."""
    cut, told = data[:1], Marks()
    for piece in (data[1 : 1 + cut[0]], data[1 + cut[0] :]) if cut else ():
        told.take(piece)
    told.end()
    assert not told.rest
    assert told.moved() >= 0
    assert len(told.stripes) <= MAX_STRIPES
    said = str(Ends("https://a/f", "https://b/f", bool(data[:1])).failure(told.failure or data.decode("latin-1")))
    assert len(said) < 1000


def asked(data: bytes) -> None:
    """What a server asks a proxy for."""
    with contextlib.suppress(ValueError, IndexError):
        public_key(data)


def vomses(data: bytes) -> None:
    server = server_in(data.decode("latin-1"))
    assert server is None or server_in(server.line("x.vo")) == server


def part(data: bytes) -> None:
    Path(FOLDER, part_name("a")).write_bytes(data)
    Path(FOLDER, "a.part").write_bytes(data)
    with PartFile(Home(FOLDER), ROW, "adler32") as found:
        found.resume(2)
        assert 0 <= found.received() <= ROW.size


def report(data: bytes) -> None:
    """A stats file and a record, as a page and on the screen."""
    import json

    lines, _, record = data.partition(GAP)
    stats, place = Path(FOLDER, "s.csv" if lines.startswith(b"key") else "s.jsonl"), Path(FOLDER, "cms-1", NAME)
    place.parent.mkdir(exist_ok=True)
    stats.write_bytes(lines)
    place.write_bytes(record)
    found = gather(lines_of(str(stats)))
    page = Page(found, flow_of(FOLDER, [*found.records, "cms-1"]), "s", 0)
    text = page.sections() + as_data(page.figures)
    assert text.isprintable() or {*filter(lambda char: not char.isprintable(), text)} <= {"\n"}
    assert "<script" not in text and "<img" not in text
    said = list(summary(found, "s", "p"))
    assert len(said) <= 24 and all(len(one) <= 80 and one.isprintable() for one in said)
    json.dumps(document(found, "p"), allow_nan=False)


READERS: tuple[Callable[[bytes], None], ...] = (
    listing, wire, properties, digest, localities, staging, stagings, well_known, refused, catalog, conf, names, proxy,
    token, part, membership, vomses, ftp, record, report, copied, asked,
)  # fmt: skip
LISTED = (
    '<d:multistatus xmlns:d="DAV:"><d:response><d:href>/agata/run/</d:href><d:propstat><d:prop><d:resourcetype>'
    "<d:collection/></d:resourcetype></d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response>"
    "<d:response><d:href>/agata/run/%C3%A9.adf</d:href><d:propstat><d:prop><d:getcontentlength>10</d:getcontentlength>"
    "<d:getlastmodified>Tue, 09 Jun 2015 12:00:00 GMT</d:getlastmodified></d:prop><d:status>HTTP/1.1 200 OK</d:status>"
    "</d:propstat></d:response></d:multistatus>"
)
CHUNKED = "HTTP/1.1 207 x\r\nTransfer-Encoding: chunked\r\n\r\n"
SENT = (
    "HTTP/1.1 100 Continue\r\n\r\n" + CHUNKED + f"{len(LISTED):x};a=b\r\n{LISTED}\r\n0\r\nX: y\r\n\r\n",
    "HTTP/1.1 302 x\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n",
    f"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nRepr-Digest: adler=:AAAAAA==:\r\n\r\n{'x' * 100}",
    f'HTTP/1.1 206 x\r\nContent-Range: bytes 10-59/100\r\nContent-Length: 50\r\nETag: "x"\r\n\r\n{"x" * 50}',
    "HTTP/1.1 103 x\r\n\r\nHTTP/1.0 200 OK\r\nConnection: keep-alive\r\nDigest: md5=x\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n[]",
)
SEEDS = {
    listing: (LISTED, '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'),
    wire: ("\0\0".join(SENT), "\0\0".join(reversed(SENT))),
    record: (
        '{"id": "1", "created": "2026-06-01T10:00:00", "metadata": {"recid": "cms-1", "_files": [{"size": 1, '
        '"uri": "root://eospublic.cern.ch//eos/opendata/x/a", "checksum": "adler32:1", "availability": "on demand"}], '
        '"_file_indices": [{"key": "X_file_index.json", "number_files": 1}]}}\0\0{"files": [{"size": 2, '
        '"uri": "root://eospublic.cern.ch//eos/opendata/y/a"}]}',
    ),
    report: (
        '{"key": "cms-1/a", "site": "L", "direction": "get", "status": "ok", "bytes": 9, "size": 9, "start": '
        '"2026-11-27T22:18:03.123Z", "end": "2026-11-27T22:18:04.123Z", "duration_s": 1.0, "rate_Bps": 9.0}\n'
        '{"key": "b", "site": "L", "direction": "put", "status": "failed", "error": "b: 503 of 10 <b>"}\n\0\0'
        '{"metadata": {"date_created": ["2011"], "type": {"secondary": ["x"]}, '
        '"distribution": {"formats": ["a"], "size": 9}}}',
        "key,site,direction,status,bytes,size,start,end,duration_s,rate_Bps\na,L,get,ok,1,1,x,y,1.5,2\n",
    ),
    properties: ("Tue, 09 Jun 2015 12:00:00 +0200\n10\nadler32=03da0195,md5=1B2M2Y8AsgTpgAmY7PhCfg==\n03da0195",),
    digest: ("adler32=03da0195,md5=1B2M2Y8AsgTpgAmY7PhCfg==", "SHA-256=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="),
    localities: ('[{"path": "/agata/run/a", "locality": "TAPE"}, {"path": "/agata/run/b", "error": "no"}]',),
    staging: ('{"requestId": "9b4f5b1e-55a7"}',),
    stagings: ('{"startedAt": 1433851200000, "files": [{"path": "/agata/run/a", "state": "FAILED", "error": "x"}]}',),
    well_known: ('{"endpoints": [{"uri": "https://tape.example.org:8443/api/v1", "version": "v1"}]}',),
    refused: ("dno such file", "<html>"),
    catalog: (
        ",".join(Row._fields) + '\nrun/a,10,2015-06-09T08:22:00Z,adler32:00000001,ONLINE,no,,,LYON,,\n"b ""c",1,'
        "2015-06-09T08:22:00Z,,NEARLINE,yes,size,r1 r2,LYON,why,adler32:00000001\n",
    ),
    conf: (
        default_conf("./data/"),
        "[gridsync]\nSITE = A\n  INPUTDIR = x\n\n[A]\nSERVER = https://a:1/\nBASE_DIR_ON_GRID = b\n",
    ),
    names: ("run/a", "../a", "/etc//passwd", "a/./b\x1b[2J"),
    proxy: ("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",),
    token: ('{"exp": 1433851200}',),
    membership: (
        "<voms><ac>MIIB&#13;\n</ac><warning>x</warning></voms>",
        "<voms><error><code>1004</code><message>User &apos;a&apos; needs to sign AUP</message></error></voms>",
        "<html>400 The SSL certificate error",
    ),
    vomses: ('"x.vo" "https://v.x/" "443" "/DC=x/CN=v.x" "x.vo" "24"',),
    ftp: (
        "Llrwxrwxrwx 1 a b 5 Nov 27 18:57 a -> b\r\n-rw-r--r-- 1 a b 5 Nov 27  2026 c d\r\nmore\r\n",
        "Ftype=file;size=5;modify=20261127185700; a b\r\ntype=OS.unix=slink:;size=1; c\r\n",
    ),
    copied: (
        "\x10Perf Marker\n  Stripe Index: 0\n  Stripe Bytes Transferred: 5\nEnd\nsuccess: Created",
        "\x10Perf Marker\nState: Requesting mover\nfailure: rejected GET: 401 login failed\n",
    ),
    asked: ("-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n-----END CERTIFICATE REQUEST-----\n",),
    part: ("x" * 10, "x" * 100 + "\0" * 24 + "d" + "\0" * 31 + "gridsync"),
}
WORDS = (
    "<!DOCTYPE", "<!ENTITY", "<![CDATA[", "&#x1b;", "xmlns=", "DAV:", "../", "%2e%2e/", "%00", "%2F", "\\u0000",
    "1e999", "NaN", "Infinity", "null", "[[[[", "adler32=", "md5=", "sha-256=", "path", "state", "[gridsync]",
    "TOKEN = cmd:", "THREADS = ", "INPUTDIR", "\r\n", '\\"', "ONLINE", "NEARLINE", "2015-06-09T08:22:00Z",
    "-----BEGIN CERTIFICATE-----", "HTTP/1.1 100 Continue\r\n\r\n", "Transfer-Encoding: chunked", "Content-Length: ",
    "Connection: close", "\0\0", "0\r\n\r\n", "Content-Range: bytes ", "Content-Encoding: gzip", "Repr-Digest: ",
    "Location: /", "root://eospublic.cern.ch//eos/opendata/", '{"metadata": {', '"_files": [{', '"availability": "on',
)  # fmt: skip


def read(data: bytes) -> None:
    """One input."""
    if data:
        with contextlib.suppress(GridError):
            READERS[data[0] % len(READERS)](data[1:])


def seeded(folder: Path) -> Path:
    """The folder of the corpus, with an example of everything."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, reader in enumerate(READERS):
        for count, text in enumerate(SEEDS[reader]):
            (folder / f"{reader.__name__}-{count}").write_bytes(bytes([number]) + text.encode())
    quoted = ("".join(char if char.isalnum() else f"\\x{ord(char):02x}" for char in word) for word in WORDS)
    folder.with_suffix(".dict").write_text("".join(f'"{word}"\n' for word in quoted))
    return folder


def main() -> None:
    if len(sys.argv) == 1 or sys.argv[1].startswith("-"):
        corpus = seeded(Path("build/fuzz/corpus"))
        sys.argv += ["-max_len=4096", "-timeout=20", "-rss_limit_mb=2048"]
        sys.argv += [f"-dict={corpus.with_suffix('.dict')}", str(corpus)]
    atheris.Setup(sys.argv, read)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
