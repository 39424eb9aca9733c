"""ctadata's names: what its users rely on, and what ctadata gets wrong and fails with one sentence here."""

from __future__ import annotations

import os
import pickle
import pty
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import tests.grid.hub as hub_of_grid
from gridsync_parts import ctadata
from gridsync_parts.ctadata import direct
from gridsync_parts.errors import (
    CredentialError,
    DoorError,
    FileError,
    Forbidden,
    GridError,
    Incomplete,
    NotFound,
    OnTape,
    UsageError,
)
from tests.grid import Grid
from tests.grid.hub import BASE
from tests.support import TOP
from tests.support.ctadata import DATA, FILES, HOME, LOCAL, RUN, Member, set_environment
from tests.support.user import wait_until, write_secret

TREE = {path: data for path, data in FILES.items() if path.startswith("lst/")}
SOME = "lst/some-data-dir/some-data-file"
LARGE = "lst/some-data-dir/more/another-data-file"
KEYS = ("cta", "lst", "arc")


@pytest.fixture
def member(grid: Grid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Member]:
    grid.hub.reset()
    member = Member(grid, grid.hub, tmp_path)
    set_environment(member, monkeypatch)
    yield member
    member.leave()


def fails(call: object, kind: type[GridError], says: str) -> None:
    """Expect one sentence."""
    with pytest.raises(kind) as caught:
        call()  # type: ignore[operator]
    assert says in str(caught.value) and "\n" not in str(caught.value), caught.value


# What its users rely on.


def test_an_entry_is_its_path_and_has_the_items_of_a_dict(member):
    top, *others = ctadata.list_dir(RUN)
    assert (top, top["type"], top.get("size")) == (f"{RUN}/", "directory", None)
    (entry,) = [entry for entry in others if entry.endswith(f"/{DATA}")]
    url = f"{member.hub.url}/list/{RUN}/{DATA}"
    assert dict(entry) == {
        "href": f"{RUN}/{DATA}", "size": str(len(FILES[entry])), "mtime": "Tue, 14 Nov 2023 22:13:20 GMT", "url": url,
        "type": "file",
    }  # fmt: skip
    assert entry["href"] == entry == pickle.loads(pickle.dumps(entry)) and "Run11111" in entry and entry[:3] == "cta"
    assert pickle.loads(pickle.dumps(entry))["type"] == "file" and isinstance(entry, str) and entry.items()
    assert [one["href"] for one in ctadata.list_dir(f"/{RUN}/{DATA}")] == [entry]
    assert "cta/" in ctadata.list_dir("") and "lst/" in ctadata.list_dir("/")


def test_a_file_comes_into_the_current_folder_or_under_another_name(member, tmp_path):
    assert ctadata.fetch_and_save_file(SOME) == 3000
    assert ctadata.fetch_and_save_file(f"/{SOME}", "new/folder/name") == 3000
    assert ctadata.fetch_and_save_file(SOME, save_to_fn=tmp_path / "third") == 3000
    assert member.here() == dict.fromkeys(("some-data-file", "new/folder/name", "third"), FILES[SOME])


def test_a_folder_comes_at_its_whole_path_and_directly_below_its_own_name(member):
    size = sum(map(len, TREE.values()))
    assert ctadata.fetch_and_save_file_or_dir("lst/some-data-dir/", recursive=True) == size
    assert member.here() == TREE
    shutil.rmtree("lst")
    assert direct.fetch_and_save_file_or_dir("/lst/some-data-dir", recursive=True) == size
    assert member.here() == {path[len("lst/") :]: data for path, data in TREE.items()}
    assert sorted(direct.list_dir("lst/some-data-dir")) == ["more", "some-data-file"]
    assert sorted(direct.list_dir("lst/some-data-dir", recursive=True)) == sorted(TREE)
    done = member.run("-m", "gridsync_parts.ctadata.direct", "list", "lst/some-data-dir")
    assert (done.status, done.out, done.err) == (0, "more\nsome-data-file\n", "")
    done = member.run("-m", "gridsync_parts.ctadata.direct", "list", "lst/nowhere")
    assert done.status == 2 and done.err.startswith("ctadata.direct: ") and done.err.count("\n") == 1


@pytest.mark.long
@pytest.mark.parametrize("path", ["your-folder/", "your-folder/latest", "a/b/c/", "", "/"])
def test_a_path_that_ends_with_a_slash_gets_the_name_of_the_file(member, path):
    own = path.strip("/") if path.endswith("/latest") else f"{path}latest".strip("/")
    went = {"path": f"{HOME}/{own}", "status": "uploaded", "total_written": len(LOCAL["latest"])}
    assert ctadata.upload_file("latest", path) == went
    assert member.there() == {own: LOCAL["latest"]}
    if path.strip("/"):
        assert direct.upload_file("latest", path) == {**went, "path": own}
        assert member.there("")[own] == LOCAL["latest"]


def test_a_folder_goes_with_the_folders_in_it(member):
    """ctadata drops the folder that it is to go into, wherever there is a folder in a folder."""
    for name in ("mine/a", "mine/sub/deep/b"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(name)
    went = ctadata.upload_dir("mine", "results/1")
    assert [one["path"] for one in went] == [f"{HOME}/results/1/a", f"{HOME}/results/1/sub/deep/b"]
    assert member.there() == {"results/1/a": b"mine/a", "results/1/sub/deep/b": b"mine/sub/deep/b"}
    assert [one["path"] for one in direct.upload_dir("mine", "new")] == ["new/a", "new/sub/deep/b"]


def test_what_is_shared_can_be_fetched_by_its_path(member):
    path = ctadata.upload_file("latest", "filelists/")["path"]
    assert ctadata.fetch_and_save_file(path, "back") == len(LOCAL["latest"])
    assert member.here() == {"back": LOCAL["latest"]}


def test_who_may_not_write_below_the_first_folder_writes_below_the_other(member):
    member.hub.faults.add("*/webdav/lst/*", 403, method="MKCOL")
    assert ctadata.upload_file("latest", "x")["path"] == "cta/users/alice/x"
    member.hub.faults.add("*/webdav/cta/*", 403, method="MKCOL")
    for top in ("lst", "cta"):
        member.hub.tree.folder(f"{BASE}/{top}/users").children.clear()
    says = "the hub takes your files below lst/users/alice/ or cta/users/alice/ alone; ask CTA for the right to it"
    fails(lambda: ctadata.upload_file("latest", "x"), Forbidden, says)


def test_environment_and_keywords_count_at_the_call(member, monkeypatch):
    monkeypatch.setenv("CTADS_URL", "https://localhost:1/services/downloadservice/")
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "")
    fails(lambda: ctadata.list_dir("cta"), CredentialError, "env:JUPYTERHUB_API_TOKEN gives no usable token")
    fails(lambda: ctadata.list_dir("cta", token="some-token"), DoorError, "localhost:1 refuses the connection")
    given = {"token": member.hub.token, "downloadservice": member.hub.url, "chunk_size": 1000}
    assert ctadata.list_dir(RUN, **given)[0] == f"{RUN}/"
    assert ctadata.fetch_and_save_file(SOME, **given) == 3000
    assert ctadata.upload_file("latest", "x", **given)["path"] == f"{HOME}/x"
    with pytest.raises(TypeError, match="chunksize"):
        ctadata.list_dir(RUN, chunksize=1000)
    monkeypatch.setenv("CTADS_URL", member.hub.url)
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", member.hub.token)
    assert ctadata.list_dir(RUN)[0] == f"{RUN}/"


def test_without_ctads_url_it_is_the_site_of_grid_conf_with_its_token(member, monkeypatch):
    monkeypatch.delenv("CTADS_URL")
    monkeypatch.delenv("JUPYTERHUB_API_TOKEN")
    write_secret(member.folder / "hubs", member.hub.token)
    section = f"[CTA]\nSERVER = {member.hub.server}\nTOKEN = file:{member.folder}/hubs\n"
    with open("Grid.conf", "a") as file:
        file.write(f"\n{section}BASE_DIR_ON_GRID = cta\nENGINE = hub\n")
    assert ctadata.list_dir(RUN)[0] == f"{RUN}/"
    monkeypatch.setenv("CTADS_URL", member.hub.url)  # and no token of Grid.conf goes where that leads
    fails(lambda: ctadata.list_dir(RUN), CredentialError, "env:JUPYTERHUB_API_TOKEN gives no usable token")


# What is the same, what is another one, and what breaks off.


def test_a_file_that_is_here_is_compared_and_another_one_of_its_name_is_replaced(member):
    assert ctadata.fetch_and_save_file_or_dir("lst/some-data-dir", recursive=True)
    member.hub.log.clear()
    assert ctadata.fetch_and_save_file_or_dir("lst/some-data-dir", recursive=True) == sum(map(len, TREE.values()))
    assert not member.hub.log.count(method="GET")
    Path(SOME).write_bytes(b"x" * 3000)
    Path(LARGE).write_bytes(b"short")
    ctadata.fetch_and_save_file_or_dir("lst/some-data-dir", recursive=True)
    assert member.here() == TREE and member.hub.log.count(method="GET") == 2


def test_a_file_at_the_hub_is_replaced_and_one_that_is_the_same_is_not_sent_again(member):
    for data, sent in ((b"first", 1), (b"second", 2), (b"second", 2), (b"third!", 3)):
        Path("mine").write_bytes(data)
        assert ctadata.upload_file("mine", "x")["total_written"] == len(data)
        assert member.there() == {"x": data} and member.hub.log.count(method="PUT") == sent


def test_a_file_that_breaks_off_goes_on_and_never_has_its_name_before(member):
    member.hub.dcache.switches.redirect = "proxy"
    member.hub.faults.add("*/another-data-file", "truncate", method="GET", count=1, at=1_000_000)
    member.hub.faults.add("*/another-data-file", "truncate", method="GET", at=0)
    fails(lambda: ctadata.fetch_and_save_file(LARGE, "mine"), Incomplete, "of 3000000 bytes arrived")
    (left,) = member.here()
    assert left == "mine.gridsync-part"
    member.hub.faults.clear()
    member.hub.log.clear()
    assert ctadata.fetch_and_save_file(LARGE, "mine") == 3_000_000 and member.here() == {"mine": FILES[LARGE]}
    (record,) = member.hub.log.matching(method="GET")
    assert not record.range.startswith("bytes=0-")


def test_a_name_that_a_folder_or_link_has_here_is_left_alone(member):
    Path("some-data-file").mkdir()
    fails(lambda: ctadata.fetch_and_save_file(SOME), Incomplete, "what has this name here is no file; move it away")
    Path("link").symlink_to("latest")
    fails(lambda: ctadata.fetch_and_save_file(SOME, "link"), Incomplete, "what has this name here is no file")
    assert Path("latest").read_bytes() == LOCAL["latest"]
    fails(lambda: ctadata.fetch_and_save_file(SOME, "sub/"), UsageError, "'sub/' names no file")


# What ctadata gets wrong.


@pytest.mark.parametrize("login", ["right", "way", "page"])
def test_a_login_page_is_never_taken_for_data(member, login):
    member.hub.switches.login = login
    says = "the door does not accept your token ("
    for call in (
        lambda: ctadata.list_dir("cta", token="another-token"),
        lambda: ctadata.fetch_and_save_file(SOME, token="another-token"),
        lambda: ctadata.fetch_and_save_file_or_dir("lst/some-data-dir", recursive=True, token="another-token"),
        lambda: ctadata.upload_file("latest", "x", token="another-token"),
        lambda: ctadata.upload_certificate("yourcertificate.crt", token="another-token"),
    ):
        with pytest.raises(GridError) as caught:
            call()
        is_upload = "does not say who you are" in str(caught.value)
        assert is_upload or (caught.value.status == 3 and says in str(caught.value)), caught.value
        assert "another-token" not in str(caught.value)
    assert member.here() == {} and member.there() == {} and not member.hub.certificates


def test_an_error_page_under_200_is_not_saved(member):
    member.hub.switches.pools = "dead"
    page = "<html><head><title>502 Bad Gateway</title></head></html>"
    member.hub.dcache.faults.add("*/some-data-file", 502, text=page, method="GET", role="pool")
    says = "the hub sends 56 bytes in place of 3000, and calls that a success: 502 Bad Gateway; try again later"
    fails(lambda: ctadata.fetch_and_save_file(SOME), Incomplete, says)
    done = member(f"get {SOME}")
    assert done.status == 1 and says in done.err and done.out == "" and done.err.count("\n") == 1
    assert member.here() == {}


@pytest.mark.parametrize("way", ["pool302", "proxy"])
def test_bytes_that_are_not_those_of_the_file_are_not_taken(member, way):
    member.hub.dcache.switches.redirect = way
    member.hub.dcache.faults.add("*/some-data-file", "wrong_bytes", method="GET", at=1500)
    fails(lambda: ctadata.fetch_and_save_file(SOME), Incomplete, "but what arrived has adler32:")
    assert not Path("some-data-file").exists()


def test_a_file_of_another_size_than_was_listed_is_not_taken(member):
    def grow() -> None:
        member.hub.dcache.uploads.put(f"{BASE}/{SOME}", b"s" * 4000)

    member.hub.faults.add("*/some-data-file", "meanwhile", method="GET", count=1, happens=grow)
    fails(lambda: ctadata.fetch_and_save_file(SOME), Incomplete, "has 4000 bytes now, but 3000 when it was listed")
    assert member.here() == {}


def test_a_server_that_nobody_vouches_for_is_not_spoken_to(member, monkeypatch, tmp_path):
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("X509_CERT_DIR", str(tmp_path / "empty"))
    member.hub.log.clear()
    for call in (lambda: ctadata.list_dir("cta"), lambda: ctadata.upload_certificate("yourcertificate.crt")):
        with pytest.raises(DoorError, match="certificate"):
            call()
    with pytest.raises(DoorError, match="certificate"):
        direct.list_dir("cta")
    assert not list(member.hub.log) and not list(member.hub.dcache.log)


@pytest.mark.parametrize(
    ("line", "status", "says"),
    [
        ("list cta/nowhere", 2, "there is no such file or folder; list shows what there is"),
        ("get cta/nowhere", 2, "there is no such file or folder; list shows what there is"),
        ("get --recursive cta/nowhere", 2, "there is no such file or folder"),
        ("get lst/some-data-dir", 1, "lst/some-data-dir: is a folder; --recursive fetches all that is in it"),
        ("put nothing x", 2, "nothing: No such file or directory; name a file or folder of this machine"),
        ("put . x", 2, ". is a folder; put --recursive sends all that is in it"),
        ("put --recursive latest x", 2, "latest is not a folder; put sends a file"),
        ("put latest ../bob/x", 2, "is not a path on the grid; leave out '..'"),
        ("get", 2, "the following arguments are required: path; --help shows what there is"),
        ("fetch x", 2, "invalid choice: 'fetch'"),
        ("list cta --json", 2, "unrecognized arguments: --json"),
        ("", 2, "the following arguments are required: VERB"),
    ],
)
def test_a_line_that_fails_is_one_sentence_and_its_status_says_so(member, line, status, says):
    done = member(line)
    assert (done.status, done.out) == (status, "") and says in done.err and done.err.count("\n") == 1, done
    assert done.err.startswith("ctadata: ") and member.here() == {} and member.there() == {}


@pytest.mark.long
def test_the_status_also_tells_of_token_and_door(member):
    for line in ("list cta", f"get {SOME}"):
        done = member(line, JUPYTERHUB_API_TOKEN="another-token")
        assert done.status == 3 and "set JUPYTERHUB_API_TOKEN to one of the hub's" in done.err, done
        assert member(line, JUPYTERHUB_API_TOKEN="guests-token-0123456789abcdef").status == 4
        assert member(line, CTADS_URL="https://localhost:1/services/downloadservice/").status == 4
        done = member(line, CTADS_URL=f"{member.hub.root}/services/nothing/")
        assert done.status == 4 and "correct CTADS_URL and CTACS_URL" in done.err, done
        done = member(line, CTADS_URL="http://hub:5000/services/downloadservice/?token=secret")
        assert done.status == 2 and "it must be as https://HUB/services/downloadservice/" in done.err
        assert "secret" not in done.err


def test_lines_print_paths_alone_and_what_is_left_out_beside(member):
    Path("mine").mkdir()
    Path("mine/a").write_text("a")
    Path("mine/link").symlink_to("a")
    done = member("put -r mine results/")
    assert (done.status, done.out) == (0, f"{HOME}/results/a\n")
    assert "mine/link: is a link or one of gridsync's own files and is not sent\n" in done.err
    assert done.err.endswith("What was sent can be read by all CTAO members and all users of the hub.\n")
    with pytest.warns(UserWarning, match="mine/link: is a link"):
        ctadata.upload_dir("mine", "results")
    assert member(f"list {HOME}").out == f"{HOME}/results/\n"
    assert member(f"get {HOME}/results/a").out == "a\n" and Path("a").read_text() == "a"
    assert member("--help").status == member("get --help").status == 0


def test_a_terminal_shows_how_far_it_is(member):
    terminal, end = pty.openpty()
    words = [sys.executable, "-m", "gridsync_parts.ctadata", "get", "-r", "lst/some-data-dir"]
    done = subprocess.run(words, cwd=member.folder, env=member.env, stdout=subprocess.PIPE, stderr=end, text=True)
    os.close(end)
    shown = os.read(terminal, 1 << 16).decode()
    os.close(terminal)
    assert (done.returncode, done.stdout) == (0, "".join(f"{path}\n" for path in sorted(TREE)))
    assert "CTA: 100%" in shown and "2/2 files" in shown


@pytest.mark.long
def test_a_line_that_is_interrupted_says_so_and_goes_on(member):
    member.hub.dcache.switches.redirect = "proxy"
    member.hub.faults.add("*/another-data-file", "drip", method="GET", count=1, speed=400_000)
    words = [sys.executable, "-m", "gridsync_parts.ctadata", "get", LARGE]
    run = {"cwd": member.folder, "env": member.env, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(words, **run) as line:
        try:
            part = member.folder / "another-data-file.gridsync-part"
            wait_until(lambda: part.exists() and part.stat().st_size)
            line.send_signal(signal.SIGINT)
            out, err = line.communicate(timeout=60)
        finally:
            line.kill()
    assert (line.returncode, out) == (130, "")
    assert err == "ctadata: interrupted; what is done is kept, and the same line goes on from here\n"
    assert not (member.folder / "another-data-file").exists()
    assert member(f"get {LARGE}").out == "another-data-file\n"
    assert member.here() == {"another-data-file": FILES[LARGE]}


@pytest.mark.long
def test_names_that_the_service_changes_are_told_and_not_listed(member):
    member.hub.tree.add(f"{BASE}/{RUN}/odd#name", 10)
    with pytest.warns(UserWarning, match="odd#name: the hub makes another name of it"):
        assert f"{RUN}/odd#name" not in ctadata.list_dir(RUN)
    done = member(f"list {RUN}")
    assert done.status == 1 and done.out.count("\n") == 3 and "odd#name" in done.err
    done = member(f"get -r {RUN}")
    assert done.status == 1 and "odd#name" in done.err and len(member.here()) == 3


def test_the_token_is_never_in_a_query_an_output_or_an_error(member):
    ctadata.list_dir("cta")
    ctadata.fetch_and_save_file_or_dir("lst/some-data-dir", recursive=True)
    ctadata.upload_file("latest", "x")
    assert not member.hub.in_queries and all(record.token for record in member.hub.log)
    assert not [record for record in member.hub.dcache.log if record.token]
    member.hub.faults.add("*/cta", 500, text=f"no: {member.hub.token}")
    done = member("list cta")
    assert done.status == 4 and member.hub.token not in done.err


def test_a_file_on_tape_is_said_to_be_there(member):
    member.hub.tree.add(f"{BASE}/{RUN}/taped", 10, tape=True)
    says = "is on tape, and the hub brings nothing from there; ask CTA"
    fails(lambda: ctadata.fetch_and_save_file(f"{RUN}/taped"), OnTape, says)
    fails(lambda: ctadata.fetch_and_save_file_or_dir(RUN, recursive=True), Incomplete, "1 of 4 files are on tape, and")
    assert len(member.here()) == 3
    fails(lambda: direct.fetch_and_save_file(f"{RUN}/taped"), OnTape, "is on tape; stage() asks for it")


def test_wrong_words_of_programs_are_told(member):
    fails(lambda: ctadata.fetch_and_save_file("lst/some-data-dir"), FileError, "is a folder; recursive=True fetches")
    fails(lambda: direct.fetch_and_save_file("lst/some-data-dir"), FileError, "is a folder; recursive=True fetches")
    fails(lambda: ctadata.list_dir("cta/nowhere"), NotFound, "there is no such file or folder; list_dir() shows")
    fails(lambda: ctadata.list_dir(member.hub.url), UsageError, "is a URL; give a path, as list_dir() gives them")
    fails(lambda: ctadata.upload_file("latest", "https://a/b"), UsageError, "is a URL; give a path")
    fails(lambda: ctadata.upload_file("latest", "a\nb"), UsageError, "has a control character in it")
    fails(lambda: ctadata.list_dir(None), UsageError, "None is not a path on the grid")
    fails(lambda: ctadata.list_dir("cta", token="two words"), CredentialError, "token= is no usable token")
    member.hub.faults.add("/hub/api/user", 403)
    fails(lambda: ctadata.upload_file("latest", "x"), UsageError, "the hub does not say who you are")


# Certificates.


@pytest.mark.long
def test_a_proxy_is_handed_over_for_all_kinds_of_data_or_one(member, grid):
    proxy = Path("yourcertificate.crt").read_text()
    said = ctadata.upload_certificate("yourcertificate.crt")
    assert said["message"] == "Certificate stored" and re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} .* GMT", said["validity"])
    assert member.hub.certificates == {f"alice__{key}.crt": proxy for key in KEYS}
    member.hub.certificates.clear()
    assert ctadata.upload_personal_certificate("yourcertificate.crt", "lst", user="bob")["validity"] == said["validity"]
    assert member.hub.certificates == {"bob__lst.crt": proxy}
    done = member("upload-personal-certificate yourcertificate.crt cta")
    assert done.status == 0 and done.out.startswith("upload-personal-certificate: kept until ") and not done.err
    assert "alice__cta.crt" in member.hub.certificates
    fails(lambda: ctadata.upload_shared_certificate("yourcertificate.crt"), CredentialError, "(access denied)")
    assert "main.crt" not in member.hub.certificates


@pytest.mark.long
def test_where_certificates_go_is_read_at_the_call_and_else_is_at_the_same_hub(member, monkeypatch):
    monkeypatch.setenv("CTACS_URL", "https://localhost:1/services/certificateservice/")
    fails(lambda: ctadata.upload_certificate("yourcertificate.crt"), DoorError, "localhost:1 refuses the connection")
    given = {"certificateservice": member.hub.certificates_url}
    assert ctadata.upload_certificate("yourcertificate.crt", **given) and len(member.hub.certificates) == 3
    member.hub.certificates.clear()
    monkeypatch.delenv("CTACS_URL")
    assert ctadata.upload_certificate("yourcertificate.crt") and len(member.hub.certificates) == 3


def test_a_refusal_under_200_is_one(member, monkeypatch):
    monkeypatch.setattr(hub_of_grid, "LONGEST", 0)
    says = "the hub has not kept yourcertificate.crt (certificate validity too long, please generate a short-lived"
    fails(lambda: ctadata.upload_certificate("yourcertificate.crt"), CredentialError, says)
    done = member("upload-personal-certificate yourcertificate.crt cta")
    assert done.status == 3 and says in done.err and done.out == "" and not member.hub.certificates


@pytest.mark.parametrize("answer", ['{"message": "Certificate stored"}', "[]", "<html>", '{"validity": ["x", 400]}'])
def test_only_a_time_under_validity_is_a_success(member, answer):
    member.hub.faults.add("*/certificate", "garbage", text=answer)
    with pytest.raises(GridError) as caught:
        ctadata.upload_certificate("yourcertificate.crt")
    assert "yourcertificate.crt" in str(caught.value)


def test_what_is_no_short_lived_proxy_does_not_leave_the_machine(member, grid):
    globus = grid.pki.user("alice") / ".globus"
    key = "".join((globus / name).read_text() for name in ("usercert.pem", "userkey.pem"))
    write_secret(member.folder / "long.pem", key)
    write_secret(member.folder / "old.pem", grid.pki.proxy("expired").read_text())
    write_secret(member.folder / "none.pem", "no certificate")
    shutil.copy("yourcertificate.crt", "open.pem")
    os.chmod("open.pem", 0o644)
    for name, kind, says in (
        ("long.pem", CredentialError, "and the hub takes seven days alone"),
        ("old.pem", CredentialError, "is not sent"),
        ("none.pem", CredentialError, "contains no certificate"),
        ("nothing.pem", UsageError, "there is no nothing.pem"),
        ("open.pem", CredentialError, "others can read your certificate open.pem; chmod 600 open.pem"),
    ):
        fails(lambda name=name: ctadata.upload_certificate(name), kind, says)
    fails(lambda: ctadata.upload_certificate("yourcertificate.crt", "mine"), UsageError, "give cta, lst, arc")
    assert not member.hub.log.count(method="POST")


def test_a_proxy_of_another_ca_is_refused_and_its_key_is_in_no_error(member, grid):
    forged = grid.pki.proxy("forged").read_text()
    member.hub.pki, pki = grid.pki.__class__(member.folder), member.hub.pki  # a hub that trusts nobody
    try:
        says = "the hub has not kept yourcertificate.crt (invalid certificate verification chain)"
        fails(lambda: ctadata.upload_certificate("yourcertificate.crt"), CredentialError, says)
    finally:
        member.hub.pki = pki
    assert forged
    lines = Path("yourcertificate.crt").read_text().partition("PRIVATE KEY-----\n")[2].splitlines()
    member.hub.faults.add("*/certificate", 500, text=f"cannot read {lines[0]}")
    done = member("upload-personal-certificate yourcertificate.crt cta")
    assert done.status == 3 and lines[0] not in done.err


# WebDAV.


def test_without_webdav4_it_says_so(member, monkeypatch):
    monkeypatch.setitem(sys.modules, "webdav4.client", None)
    fails(ctadata.webdav4_client, UsageError, "needs webdav4, which is not installed; pip install webdav4")


@pytest.mark.long
def test_webdav4_shows_the_token_to_no_pool_and_files_come(member):
    subprocess.run(["make", "-s", "build/webdav4/done"], cwd=TOP, check=True)
    member.python = [str(TOP / "build/webdav4/bin/python")]
    fetch = f"from gridsync_parts import ctadata; ctadata.webdav4_client().download_file('{LARGE}', 'mine')"
    done = member.run("-c", fetch)
    assert done.status == 0 and member.here() == {"mine": FILES[LARGE]}, done
    assert member.hub.dcache.log.count(role="pool") == 1
    assert not [record for record in member.hub.dcache.log if record.token] and not member.hub.in_queries


# A real hub.


@pytest.mark.long
def test_all_of_it_works_behind_a_real_hub(grid, tmp_path):
    grid.jupyter.reset()
    member = Member(grid, grid.jupyter, tmp_path)
    try:
        assert member(f"list {RUN}").out.count("\n") == 3
        assert member("get --recursive lst/some-data-dir").status == 0 and member.here() == TREE
        assert member("put latest results/").out == f"{HOME}/results/latest\n"
        assert member.there() == {"results/latest": LOCAL["latest"]}
        assert member("upload-personal-certificate yourcertificate.crt cta").status == 0
        assert [*member.hub.certificates] == ["alice__cta.crt"]
        assert member("list cta", JUPYTERHUB_API_TOKEN="another-token").status == 3
        assert member("list cta", JUPYTERHUB_API_TOKEN=member.hub.guests_token).status == 4
        assert not member.hub.in_queries
    finally:
        member.leave()
