"""The test grid itself: real clients must meet a Grid there, or the other tests prove nothing."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
import zlib
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.grid import Grid, agata, xrootd
from tests.grid.__main__ import summary
from tests.grid.tree import BOTH, PERIOD, TAPE, Tree, checksum
from tests.support.curl import PROPFIND, curl
from tests.support.user import wait_until

REPOSITORY = Path(__file__).resolve().parents[2]
RUN = f"agata/e680_1to64/{agata.RUN}"

# What gridsync.py is to print of the grid, the grid itself must have.
MANUAL = (REPOSITORY / "tests/story/cases/manual.txt").read_text(encoding="utf-8")
LISTINGS = dict(re.findall(r" -- List content of folder: https://\S+?/agata/(\S*)\n((?:[^.\n].*\n)+)", MANUAL))
ADDING = "".join(re.findall(r"=> adding: .* e680/.*\n", MANUAL))

def tape(grid: Grid, method: str, call: str, document: object = None) -> tuple[int, str]:
    words = ["-X", method, "-H", "Content-Type: application/json"]
    words += ["-d", json.dumps(document)] if document is not None else []
    status, body, _ = curl(grid, *words, grid.door.tape_url + call)
    return status, body.decode()


def size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1024 or unit == "MB":
            return f"{count:.1f} {unit}"
        count /= 1024
    return ""


def listing(url: str, xml: bytes) -> str:
    """A PROPFIND answer the way the manual prints a folder."""
    rows = []
    for response in ET.fromstring(xml):
        path = unquote(urlsplit(response.findtext("{DAV:}href", "")).path).rstrip("/")
        if path == urlsplit(url).path.rstrip("/"):
            continue
        time = parsedate_to_datetime(response.findtext(".//{DAV:}getlastmodified", ""))
        folder = response.find(".//{DAV:}collection") is not None
        first = "Folder" if folder else size(int(response.findtext(".//{DAV:}getcontentlength", "")))
        name = path.rpartition("/")[2]
        rows.append((folder, time, name, f"{first:<10} {time:%d %b %Y} {name}\n"))
    return "".join(row[-1] for row in sorted(rows))


@pytest.fixture
def held(grid: Grid) -> Iterator[Grid]:
    """The grid with a robot that brings nothing to disk until told."""
    grid.robot.hold()
    yield grid
    grid.robot.go()


def on_disk(grid: Grid, path: str, seconds: float = 5) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end and grid.tree.file(path).locality == TAPE:
        time.sleep(0.01)
    return grid.tree.file(path).locality == BOTH


# == The tree ===========================================================================================


@pytest.mark.parametrize("length", [0, 1, 158, PERIOD - 1, PERIOD, PERIOD + 1, 7_654_321])
def test_checksum_without_the_content_is_zlibs(length: int) -> None:
    tree = Tree()
    file = tree.add(f"a/{length}", length)
    content = tree.expected(f"a/{length}")
    assert len(content) == length
    assert checksum(file, "adler32") == f"{zlib.adler32(content):08x}"


def test_any_range_is_a_part_of_the_whole() -> None:
    tree = Tree()
    tree.add("a", 3_000_000)
    whole = tree.expected("a")
    for start, stop in ((0, 1), (65_530, 65_550), (1_048_570, 2_500_000), (2_999_999, 3_000_000)):
        assert b"".join(tree.read("a", start, stop)) == whole[start:stop]


@pytest.mark.long
def test_a_hundred_thousand_files_cost_nothing() -> None:
    tree, took = Tree(), []
    for numbers in (range(10_000), range(10_000, 100_000)):
        begin = time.process_time()
        for i in numbers:
            tree.add(f"big/{i % 2000}/{i}", i)
        took.append(time.process_time() - begin)
    assert took[1] < 40 * took[0]  # not with the square of their number
    assert sum(1 for _ in tree.files("big")) == 100_000


@pytest.mark.parametrize("folder", LISTINGS)
@pytest.mark.parametrize("site", ["door", "xrootd"])
def test_both_doors_list_what_the_manual_prints(grid: Grid, site: str, folder: str) -> None:
    url = f"{getattr(grid, site).url}/agata/{folder}".rstrip("/")
    status, xml, _ = curl(grid, "-X", "PROPFIND", "-H", "Depth: 1", "-d", PROPFIND, url)
    rows = listing(url, xml)
    assert status == 207
    assert rows.startswith(LISTINGS[folder])
    if folder:
        assert rows == LISTINGS[folder]


def test_the_manuals_patterns_leave_its_nine_files(grid: Grid) -> None:
    run = f"agata/e680/{agata.RUN}"
    kept = [p for p in sorted(grid.tree.files(run)) if re.search(r".*/03./.*", p) and not re.search(r".*.adf", p)]
    rows = [f"=> adding: {size(grid.tree.file(p).size)} {p[len('agata/') :]}\n" for p in kept]
    assert "".join(rows) == ADDING
    assert f"{sum(grid.tree.file(p).size for p in kept) / 2**30:.1f}" == "2.9"


# == Who may come in ====================================================================================


@pytest.mark.every(5)
@pytest.mark.parametrize("site", ["door", "storm", "xrootd"])
@pytest.mark.parametrize("proxy", ["good", "plain", "other_vo", "expired_attribute", "expired"])
def test_doors_let_in_members_of_the_vo_only(grid: Grid, site: str, proxy: str) -> None:
    words = ("-X", "PROPFIND", "-H", "Depth: 0", "-d", PROPFIND, f"{getattr(grid, site).url}/agata/e680/")
    stranger = 401 if site == "door" else 403  # dCache knows nobody without a VO
    assert curl(grid, *words, proxy=proxy)[0] == {"good": 207, "expired": 0}.get(proxy, stranger)


def test_who_shows_no_certificate_is_told_in_the_doors_words(grid: Grid, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grid.door.switches, "anonymous_listing", True)
    url = f"{grid.door.url}/agata/host_adler32"
    run = subprocess.run(["curl", "-s", url, "--capath", grid.env["X509_CERT_DIR"]], env=grid.env, capture_output=True)
    assert run.stdout == b"You are not unauthorised for GET on path /agata/host_adler32\n"


# == Door and pool ======================================================================================


def test_listing_has_the_doors_warts(grid: Grid) -> None:
    grid.tree.add("agata/odd/run~1 #a:b+c&d.adf", 5, checksums=("adler32", "md5"))
    words = ("-X", "PROPFIND", "-d", PROPFIND)
    _, xml, headers = curl(grid, *words, "-H", "Depth: 1", f"{grid.door.url}/agata/odd")
    assert headers["transfer-encoding"] == "chunked"
    assert b"<d:href>/agata/odd/</d:href>" in xml
    assert b"/agata/odd/run%7E1%20%23a%3Ab%2Bc%26d.adf<" in xml
    assert re.search(rb"<ns[12]:FileLocality>ONLINE<", xml)
    assert re.search(rb"<ns[12]:Checksums>adler32=[0-9a-f]{8},md5=[A-Za-z0-9+/]{22}==<", xml)
    _, xml, _ = curl(grid, *words, "-H", "Depth: 0", f"{grid.door.url}/agata/odd")
    assert b"<FileLocality/><Checksums/>" in xml  # a folder alone: no prefix is known
    _, xml, _ = curl(grid, *words, f"{grid.door.url}/agata/e680_1to64")
    assert xml.count(b"<d:response>") > 30  # no Depth: the whole subtree


def test_file_comes_from_the_pool_whole_and_in_ranges(grid: Grid) -> None:
    path = "agata/pool/traces.cdat"
    file = grid.tree.add(path, 2_500_000)
    whole, url = grid.tree.expected(path), f"{grid.door.url}/{path}"
    grid.door.log.clear()
    status, body, headers = curl(grid, "-L", "-H", "Want-Digest: adler32", url)
    assert (status, body == whole, headers["digest"]) == (200, True, "adler32=" + checksum(file, "adler32"))
    assert "etag" not in headers and "last-modified" not in headers
    assert [(r.role, r.status, r.sent) for r in grid.door.log] == [("door", 302, 0), ("pool", 200, 2_500_000)]
    ranges = {"0-9": whole[:10], "2499990-": whole[-10:], "-7": whole[-7:], "65000-1500000": whole[65000:1500001]}
    for text, part in ranges.items():
        assert curl(grid, "-L", "-r", text, url)[:2] == (206, part)
    assert curl(grid, "-L", "-r", "2500000-", url)[0] == 416
    assert curl(grid, "-L", "-H", "Range: bytes=x", url)[0] == 400


def test_redirect_is_good_for_one_file_and_one_complete_read(grid: Grid, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "other"):
        grid.tree.add(f"agata/once/{name}", 10)
    address = curl(grid, f"{grid.door.url}/agata/once/one")[2]["location"]
    assert curl(grid, address.replace("/one?", "/other?"))[0] == 400
    address = curl(grid, f"{grid.door.url}/agata/once/one")[2]["location"]
    assert curl(grid, address)[0] == 200
    status, _, headers = curl(grid, address)
    assert (status, urlsplit(headers["location"]).netloc) == (307, urlsplit(grid.door.url).netloc)
    assert curl(grid, address.partition("&dcache-http-ref")[0])[0] == 400
    monkeypatch.setattr(grid.door.switches, "mover_life", 0)
    assert curl(grid, curl(grid, f"{grid.door.url}/agata/once/one")[2]["location"])[0] == 307


def test_reading_from_tape_waits_then_fails_and_the_restore_goes_on(
    held: Grid, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = "agata/slow/file"
    held.tree.add(path, 10, tape=True)
    monkeypatch.setattr(held.door.switches, "mover_timeout", 0.1)
    status, body, _ = curl(held, "-L", f"{held.door.url}/{path}")
    assert (status, body) == (500, b"Internal problem: Request to [>PoolManager@local] timed out.\n")
    held.robot.go()
    assert on_disk(held, path)
    assert curl(held, "-L", f"{held.door.url}/{path}")[1] == held.tree.expected(path)


# == Tape ===============================================================================================


def test_staging_goes_on_file_by_file(held: Grid) -> None:
    names = [f"/agata/stage/{name}" for name in ("a", "b", "stuck", "broken", "c")]
    for name in names:
        held.tree.add(name, 10, tape=True)
    held.robot.stuck.add("agata/stage/stuck")
    held.robot.fail["agata/stage/broken"] = "tape torn"
    files = [{"path": path, "diskLifetime": "P7D"} for path in [*names, "/agata/stage/nope"]]
    status, body = tape(held, "POST", "/stage", {"files": files})
    request = json.loads(body)["requestId"]
    assert status == 201
    held.robot.go(2)
    assert on_disk(held, names[0]) and on_disk(held, names[1]) and not on_disk(held, names[4], seconds=0.2)
    held.robot.go()
    assert on_disk(held, names[4])
    document = json.loads(tape(held, "GET", f"/stage/{request}")[1])
    states = {file["path"].rpartition("/")[2]: file["state"] for file in document["files"]}
    assert states == {
        "a": "COMPLETED", "b": "COMPLETED", "c": "COMPLETED", "stuck": "STARTED", "broken": "FAILED", "nope": "FAILED"
    }  # fmt: skip
    assert [file["error"] for file in document["files"] if file["path"] == names[3]] == ["tape torn"]
    assert document["createdAt"] > 1e12 and "completedAt" not in document
    paths = [names[0], names[2], "/agata/stage/nope", names[0]]
    answer = json.loads(tape(held, "POST", "/archiveinfo", {"paths": paths})[1])
    assert {row["path"]: row.get("locality") for row in answer} == {
        names[0]: "DISK_AND_TAPE", names[2]: "TAPE", "/agata/stage/nope": None
    }  # fmt: skip


def test_second_request_is_a_second_pin(grid: Grid, monkeypatch: pytest.MonkeyPatch) -> None:
    path = "/agata/pins/file"
    grid.tree.add(path, 10, tape=True)
    first, second = (json.loads(tape(grid, "POST", "/stage", {"files": [{"path": path}]})[1]) for _ in "12")
    assert on_disk(grid, path)
    assert sorted(grid.door.staging.pins(path)) == sorted([first["requestId"], second["requestId"]])
    monkeypatch.setattr(grid.robot, "evict", True)
    assert tape(grid, "POST", f"/release/{first['requestId']}", {"paths": [path]}) == (200, "")
    assert grid.tree.file(path).locality == BOTH
    assert tape(grid, "POST", f"/release/{second['requestId']}", {"paths": [path]}) == (200, "")
    assert grid.tree.file(path).locality == TAPE
    assert tape(grid, "POST", "/release/unknown", {"paths": [path]}) == (200, "")


def test_tape_service_refuses_as_dcache_does(held: Grid) -> None:
    held.tree.add("agata/refuse/file", 10, tape=True)
    one = {"path": "/agata/refuse/file"}
    request = json.loads(tape(held, "POST", "/stage", {"files": [one]})[1])["requestId"]
    status, body = tape(held, "POST", "/stage", {"files": [one] * 501})
    assert (status, json.loads(body)["status"]) == (413, "413")
    assert tape(held, "POST", "/stage", {"files": []})[0] == 400
    assert tape(held, "POST", "/stage", {"files": [{**one, "diskLifetime": "7 days"}]})[0] == 400
    assert tape(held, "GET", "/stage/unknown")[0] == 404
    assert tape(held, "POST", f"/stage/{request}/cancel", {"paths": ["/elsewhere"]})[0] == 400
    assert tape(held, "POST", f"/stage/{request}/cancel", {"paths": []}) == (200, "")
    assert json.loads(tape(held, "GET", f"/stage/{request}")[1])["files"][0]["state"] == "CANCELLED"
    assert tape(held, "DELETE", f"/stage/{request}") == (200, "")
    assert tape(held, "GET", f"/stage/{request}")[0] == 404


# == gfal2 and XRootD ===================================================================================

GFAL = """
import gfal2, os, sys, time
door, name = sys.argv[1:]
context = gfal2.creat_context()
context.set_opt_boolean("HTTP PLUGIN", "RETRIEVE_BEARER_TOKEN", False)
url = door.replace("https:", "davs:") + "/agata/gfal/" + name
print(context.stat(url).st_size, context.checksum(url, "ADLER32"), context.listdir(url.rpartition("/")[0]))
print(context.getxattr(url, "user.status").strip())
errors, token = context.bring_online([url], 3600, 60, True)
for _ in range(100):
    if errors == [None] and context.bring_online_poll([url], token) == [None]:
        break
    time.sleep(0.02)
print(context.getxattr(url, "user.status").strip())
print(len(context.open(url, "r").read_bytes(100000)), context.release([url], token))
"""


def test_gfal2_lists_stages_reads_and_releases(grid: Grid) -> None:
    file = grid.tree.add("agata/gfal/file", 5000, tape=True)
    command = [sys.executable, "-c", GFAL, grid.door.url, "file"]
    run = subprocess.run(command, env=grid.env, capture_output=True, text=True, timeout=30)
    assert run.stdout.splitlines() == [
        f"5000 {checksum(file, 'adler32')} ['file']",
        "NEARLINE",
        "ONLINE_AND_NEARLINE",
        "5000 [None]",
    ], run.stderr
    assert grid.door.staging.pins("agata/gfal/file") == []


def test_xrootd_serves_the_trees_content(grid: Grid) -> None:
    path = f"{RUN}/Data/03A/{agata.TRACES}"
    status, body, _ = curl(grid, f"{grid.xrootd.url}/{path}")
    assert (status, body == grid.tree.expected(path)) == (200, True)
    _, _, headers = curl(grid, "-I", "-H", "Want-Digest: adler32", f"{grid.xrootd.url}/{path}")
    assert headers["digest"] == f"adler32={zlib.adler32(body):08x}"


@pytest.mark.long
def test_xrootd_goes_elsewhere_when_its_port_is_taken(grid: Grid, monkeypatch: pytest.MonkeyPatch) -> None:
    second = xrootd.XRootD(grid.folder / "elsewhere", grid.pki)
    second.fill(grid.tree)
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken, (free, root) = other.getsockname()[1], xrootd.free_ports()
        offers = iter([(taken, root), (free, root)])
        monkeypatch.setattr(xrootd, "free_ports", lambda: next(offers))
        second.start()
        second.ready()
    assert second.ports == (free, root)
    assert curl(grid, f"{second.url}/agata/host_adler32")[0] == 200
    second.stop()


def test_an_xrootd_that_has_crashed_is_known_and_started_again(grid: Grid) -> None:
    server, sent = grid.copier, grid.copier.folder / "data" / xrootd.SCRATCH / "sent"
    sent.mkdir()
    os.kill(server.pid, signal.SIGKILL)
    wait_until(lambda: not server.answers())
    assert not server.has_crashed() and server.mend() and sent.exists()
    os.kill(server.pid, signal.SIGSEGV)
    wait_until(server.has_crashed)
    server.revive()
    assert server.answers() and not server.has_crashed() and not sent.exists()


@pytest.mark.long
def test_an_xrootd_that_does_not_start_says_why(grid: Grid, monkeypatch: pytest.MonkeyPatch) -> None:
    third = xrootd.XRootD(grid.folder / "third", grid.pki)
    third.fill(grid.tree)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        monkeypatch.setattr(xrootd, "free_ports", lambda: (port, port))
        third.start()
        with pytest.raises(xrootd.NotUp, match=f"^XRootD does not start: .*to port {port}; address already in use$"):
            third.ready()
    third.stop()


# == The grid as a program ==============================================================================


def test_what_the_grid_says_of_itself_fits_on_a_screen(grid: Grid) -> None:
    lines = summary(grid).splitlines()
    assert [line for line in lines if len(line) > 80] == [] and len(lines) < 24


@pytest.mark.long
def test_nothing_runs_on_after_a_killed_grid() -> None:
    command = [sys.executable, "-m", "tests.grid"]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        text = "".join(iter(process.stdout.readline, "# Ctrl-C ends the grid\n"))
        process.kill()
    shutil.rmtree(Path(re.findall("export GRIDSYNC_DIR=(.*)", text)[0]).parent)
    ports = [int(port) for port in re.findall(r"\d+", re.findall("ports (.*)", text)[0])]
    end = time.monotonic() + 5
    while any(is_open(port) for port in ports) and time.monotonic() < end:
        time.sleep(0.02)
    assert not any(is_open(port) for port in ports)


# A machine that does not know its own name; inside, root stays root for setpriv, and others need be root for nothing.
NAMELESS = ["unshare", *([] if os.getuid() == 0 else ["--map-current-user", "--keep-caps"]), "--uts", "sh", "-c"]


@pytest.mark.long
@pytest.mark.every(2)
@pytest.mark.parametrize("program", ["tests.story.demo", "tests.grid"])
def test_a_machine_without_a_name_is_told_what_to_do(program: str) -> None:
    inside = 'hostname no-such-name || exit 77; exec "$@"'
    command = [*NAMELESS, inside, "sh", sys.executable, "-m", program]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("a test can give no name of its own to this machine")
    remedy = 'as root, tell this machine its own name: echo "127.0.1.1 $(hostname)" >> /etc/hosts'
    assert done.returncode == 1
    reason = "XRootD does not start: .*Unable to determine host name.*; "
    assert re.fullmatch(f".*{reason}{re.escape(remedy)}\n", done.stderr), done.stderr


SIGNS = {"tests.story.demo": "A test grid is up", "tests.grid": "# Ctrl-C ends"}


@pytest.mark.long
@pytest.mark.parametrize(("program", "sign"), SIGNS.items())
def test_ctrl_c_ends_it_without_a_traceback(program: str, sign: str) -> None:
    command = [sys.executable, "-m", program]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout and process.stderr
        next(line for line in process.stdout if sign in line)
        process.send_signal(signal.SIGINT)
        errors = process.stderr.read()
    assert "Traceback" not in errors
    assert process.returncode == (130 if program == "tests.story.demo" else 0)


def is_open(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0
