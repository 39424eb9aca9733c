"""Tokens, pool addresses and proxies: who never sees them, and with which rights state is written."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import shutil
import socket
import ssl
import stat
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, unquote

import pytest

from gridsync_parts.doors import At
from gridsync_parts.doors.refused import gfal_error
from gridsync_parts.doors.webdav import WebDavDoor
from gridsync_parts.doors.wire import Http
from gridsync_parts.errors import GridError
from gridsync_parts.keys.token import Token
from gridsync_parts.secrets import Secrets
from gridsync_parts.settings import Config
from gridsync_parts.table import Site
from tests.grid.door import Switches
from tests.grid.pki import PASSPHRASE
from tests.grid.web import Log, Reply, Server
from tests.support.places import opened
from tests.support.user import CLIENTS, User, wait_until, write_secret

MB = 1 << 20
UUID = re.compile(r"uuid=|\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")


def written(folder: Path) -> str:
    """All that is in files below a folder, but for the token's own and what a spy has noted."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name not in ("secret", "seen", "memory")]
    return "\n".join(path.read_text("utf-8", "replace") for path in paths if path.stat().st_size < MB)


# == Tokens =============================================================================================

SPY = """#!/bin/sh
{ tr '\\0' '\\n' </proc/$$/cmdline; tr '\\0' '\\n' </proc/$$/environ; tr '\\0' '\\n' </proc/$PPID/cmdline; } >>"$0.seen"
exec %s
"""


def spy(path: Path, then: str) -> Path:
    """A program that notes beside it what it and who called it are given, and then runs another."""
    path.write_text(SPY % then)
    path.chmod(0o755)
    return path


@pytest.fixture(params=["env", "file", "cmd"])
def bearer(request: pytest.FixtureRequest, user: User, folder: str) -> tuple[User, str]:
    """A user with a token, which comes from there, and a file to fetch."""
    token = user.grid.door.token(3600)
    write_secret(user.folder / "secret", token)
    program = spy(user.folder / "oidc-token", f"cat {user.folder}/secret")
    place = {"env": "MY_TOKEN", "file": f"{user.folder}/secret", "cmd": str(program)}[request.param]
    if request.param == "env":
        user.env["MY_TOKEN"] = token
    user.set("TOKEN", f"{request.param}:{place}")
    (user.folder / "Grid.conf").chmod(0o600)
    user.grid.tree.add(f"agata/{folder}/a", 3 * MB)
    user.grid.tree.add(f"agata/{folder}/tape", 10, tape=True)
    return user, token


def test_a_token_is_nowhere_to_be_seen(bearer, folder):
    """Not on the screen, in the log, in a file, nor, while it is used, by ps."""
    user, token = bearer
    shown = ""
    build = f"--input_dir {folder} --build_list --verbose"
    for line in (build, "--sync --json", "--proxy_status", "--ls_dir nothing", "--release"):
        done = user(f"{line} --debug --log_file={user.folder / 'log'}")
        assert done.status == (2 if "nothing" in line else 0), done.err
        shown += done.out + done.err
    assert (user.data / folder / "a").exists()
    for part in (token, *token.split(".")[1:]):  # the head of all tokens is the same
        assert part not in shown + written(user.folder)
    seen = user.folder / "oidc-token.seen"
    assert not seen.exists() or token not in seen.read_text()


def test_a_token_is_not_in_the_arguments_of_any_process(bearer, folder):
    user, token = bearer
    user(f"--input_dir {folder} --build_list")
    door = user.grid.door
    door.switches.bandwidth = 4 * MB
    seen: set[bytes] = set()
    try:
        with user.running("--start") as run:

            def looked() -> bool:
                for process in Path("/proc").glob("[0-9]*"):
                    try:
                        seen.add((process / "cmdline").read_bytes())
                        if (process / "stat").read_text().rpartition(")")[2].split()[1] == str(run.pid):
                            seen.add((process / "environ").read_bytes())
                    except OSError:  # it has ended
                        continue
                return run.poll() is not None

            wait_until(looked)
    finally:
        door.switches.bandwidth = 0
    assert run.returncode == 1  # one file waits on tape
    assert any(b"--start" in line for line in seen) and not any(token.encode() in line for line in seen)


@pytest.mark.parametrize(
    "name", ["MY_TOKEN", "BEARER_TOKEN", "USER_TOKEN", "HOMEPAGE_TOKEN", "PATH_TOKEN", "OIDC_TOKEN"]
)
def test_a_helper_gets_what_it_needs_of_the_environment_and_no_token(user, name):
    program = spy(user.folder / "oidc-token", f"cat {user.folder}/secret")
    write_secret(user.folder / "secret", user.grid.door.token(3600))
    user.set("TOKEN", f"cmd:{program}")
    (user.folder / "Grid.conf").chmod(0o600)
    given = {name: "hush-hush", "LC_ALL": "C", "OIDC_SOCK": "/run/oidc", "TMPDIR": str(user.folder)}
    status, out, err = user("--proxy_status --debug", **given)
    seen = (user.folder / "oidc-token.seen").read_text()
    assert status == 0, err
    assert "OIDC_SOCK=/run/oidc" in seen and "LC_ALL=C" in seen and f"TMPDIR={user.folder}" in seen and "PATH=/" in seen
    assert "hush-hush" not in seen + out + err


def test_a_command_that_gives_no_token_is_quoted_but_not_what_it_has_printed(user):
    program = user.folder / "oidc-token"
    program.write_text("#!/bin/sh\necho half-a-secret; echo no such account >&2; exit 1\n")
    program.chmod(0o755)
    user.set("TOKEN", f"cmd:{program}")
    (user.folder / "Grid.conf").chmod(0o600)
    status, out, err = user(f"--ls_dir --debug --log_file={user.folder / 'log'}")
    assert status == 3 and "no such account" in err
    assert "half-a-secret" not in out + err + (user.folder / "log").read_text()


def test_a_token_that_a_command_complains_with_is_nowhere_to_be_seen(user):
    token = user.grid.door.token(3600)
    program = user.folder / "oidc-token"
    program.write_text(f"#!/bin/sh\necho '{token} has no scope, nor has opaque-secret-0123456789abcdef' >&2; exit 1\n")
    program.chmod(0o755)
    user.set("TOKEN", f"cmd:{program}")
    status, out, err = user(f"--ls_dir --debug --log_file={user.folder / 'log'}")
    shown = out + err + (user.folder / "log").read_text()
    assert status == 3 and "gives no token" in err
    assert not has_repeated(shown, token) and "0123456789abcdef" not in shown


def test_a_command_is_done_when_it_has_ended_whatever_its_children_hold(user):
    program = user.folder / "oidc-token"
    program.write_text(f"#!/bin/sh\nsleep 25 & echo {user.grid.door.token(3600)}\n")
    program.chmod(0o755)
    user.set("TOKEN", f"cmd:{program}")
    user.limit = 15
    status, _, err = user("--ls_dir e680")
    assert status == 0, err


@pytest.mark.parametrize("what", ["cat /dev/zero", "sleep 30", "sh -c 'sleep 30 & exec sleep 30'"])
def test_a_command_without_end_is_given_up(user, what):
    user.set("TOKEN", f"cmd:{what}")
    user.limit = 15
    status, _, err = user("--ls_dir e680", changed="CLIENT_LIMIT = 1")
    assert status == 3 and "cmd:" in err, err


@pytest.fixture
def elsewhere(grid) -> Iterator[tuple[Server, Log, Server]]:
    """A site that sends everybody to another one, and the log of that one."""
    log, tls = Log(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(grid.pki.folder / "host.pem", grid.pki.folder / "host.key")
    other = Server("other", lambda: tls, log, Switches(), lambda request: Reply(200, b"[]"))
    away = lambda request: Reply(307, headers={"Location": other.url + request.target})  # noqa: E731
    site = Server("site", lambda: tls, Log(), Switches(), away)
    for server in (other, site):
        server.start()
    yield site, log, other
    for server in (other, site):
        server.stop()


def test_no_verb_takes_a_token_along_to_where_it_is_sent(grid, elsewhere, tmp_path, monkeypatch):
    monkeypatch.setenv("MY_TOKEN", "hush")
    server, log, _ = elsewhere
    site = Site("X", server.url, "agata", "http", f"{server.url}/tape", "", "", "env:MY_TOKEN", 5, 5)
    token = Token(site.token, Config(str(tmp_path)))
    place = opened(site, token=token, ca=grid.env["X509_CERT_DIR"])
    tape, auto = place.find_tape(), site._replace(tape_api="auto")
    discovering = opened(auto, token=token, ca=grid.env["X509_CERT_DIR"])
    for verb in (
        lambda: place.lister.folder("a"), lambda: place.reader.checksum(At("a", 1)),
        lambda: list(place.reader.read(At("a", 2), 0, 1).chunks), lambda: tape.localities(["a"]),
        lambda: tape.stage(["a"], 1), lambda: tape.stagings("1", ["a"]), lambda: tape.release("1", ["a"]),
        discovering.find_tape,
    ):  # fmt: skip
        try:
            verb()
        except GridError as error:
            assert "hush" not in str(error)
    assert log.count() > 0 and not [record for record in log if record.token]


def answered(connection: socket.socket, tls: ssl.SSLContext, sent: list[bytes]) -> None:
    """Be an XRootD that wants a token, and note what a client sends."""
    with contextlib.suppress(OSError), contextlib.closing(connection.makefile("rb")) as file:
        connection.settimeout(20)
        file.read(20)
        connection.sendall(struct.pack("!2sHiii", b"", 0, 8, 0x500, 1))
        while header := file.read(24):
            stream, kind, size = header[:2], *struct.unpack("!H", header[2:4]), *struct.unpack("!i", header[20:])
            sent.append(file.read(size))
            if kind == 3006:  # kXR_protocol
                connection.sendall(struct.pack("!2sHiiI", stream, 0, 8, 0x520, 0xCC000001))
                connection = tls.wrap_socket(connection, server_side=True)
                file = connection.makefile("rb")
            elif kind == 3007:  # kXR_login
                wanted = b"&P=ztn,0:4096:\0"
                connection.sendall(struct.pack("!2sHi", stream, 0, 16 + len(wanted)) + bytes(16) + wanted)
            else:
                connection.sendall(struct.pack("!2sHii", stream, 4003, 9, 3010) + b"nope\0")


@pytest.fixture
def wanting(grid) -> Iterator[tuple[int, list[bytes]]]:
    """The port of an XRootD that asks for a token, and what it was sent."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(grid.pki.folder / "host.pem", grid.pki.folder / "host.key")
    sent: list[bytes] = []

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=answered, args=(connection, tls, sent), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1], sent
        listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture(params=["BEARER_TOKEN", "BEARER_TOKEN_FILE", "XDG_RUNTIME_DIR"])
def lying_about(request: pytest.FixtureRequest, grid, tmp_path) -> tuple[str, dict[str, str]]:
    """A token that is where programs look for one, though TOKEN does not name it, and the environment that says so."""
    token = grid.door.token(3600)
    write_secret(tmp_path / f"bt_u{os.getuid()}", token)
    places = {"BEARER_TOKEN_FILE": str(tmp_path / f"bt_u{os.getuid()}"), "XDG_RUNTIME_DIR": str(tmp_path)}
    return token, {request.param: places.get(request.param, token)}


def test_gfal2_shows_no_token_that_lies_about_to_a_door_or_where_it_leads(user, folder, lying_about):
    user.grid.tree.add(f"agata/{folder}/a", 10)
    user.set("ENGINE", "gfal2")
    user.grid.door.log.clear()
    status, _, err = user(f"--input_dir {folder} --build_list --start", **lying_about[1])
    assert status == 0, err
    assert user.grid.door.log.count(role="pool") and not [record for record in user.grid.door.log if record.token]


def test_no_token_that_lies_about_is_shown_to_an_xrootd_that_asks_for_one(user, wanting, lying_about):
    port, sent = wanting
    token, env = lying_about
    user.set("SERVER", f"root://localhost:{port}//")
    status, _, _ = user("--ls_dir", **env)
    assert status and sent and token.encode() not in b"".join(sent)


@pytest.mark.every(1)
@pytest.mark.parametrize("scheme", ["http", "dav", "ftp"])
def test_a_token_never_goes_over_a_line_that_is_not_encrypted(tmp_path, monkeypatch, scheme):
    """Whatever has led there."""
    monkeypatch.setenv("MY_TOKEN", "hush")
    log = Log()
    server = Server("plain", None, log, Switches(), lambda request: Reply(200, b"[]"))
    server.start()
    url = server.url.replace("http", scheme, 1)
    site = Site("X", url, "agata", "http", url, "", "", "env:MY_TOKEN", 5, 5)
    door = WebDavDoor(Http(site, "", Token(site.token, Config(str(tmp_path))), None), site)
    try:
        for verb in (lambda: door.folder("a"), lambda: door.tape.localities(["a"])):
            with pytest.raises(GridError, match=r"the TOKEN is not sent to .*, which is not encrypted"):
                verb()
    finally:
        server.stop()
    assert log.count() == 0


def test_a_tape_service_may_be_named_by_davs_and_is_spoken_to_in_tls(user, folder):
    write_secret(user.folder / "secret", user.grid.door.token(3600))
    user.set("TOKEN", f"file:{user.folder}/secret")
    user.set("TAPE_API", user.grid.door.tape_url.replace("https", "davs", 1))
    user.grid.tree.add(f"agata/{folder}/a", 10, tape=True)
    status, _, err = user(f"--input_dir {folder} --sync")
    assert status == 0, err


# == What is repeated ===================================================================================


def has_repeated(text: str, secret: str) -> bool:
    """Whether 16 letters and digits of a secret are in a text in a row, however they are escaped, quoted or encoded."""
    text = unquote(unquote(text))
    text = re.sub(r"\\+u00(..)", lambda found: chr(int(found[1], 16)), text)
    decoded = ""
    for word in re.findall(r"[\w+/-]{24,}", text):
        for begin in range(4):
            some = word[begin:].translate(str.maketrans("-_", "+/"))
            decoded += base64.b64decode(some[: len(some) // 4 * 4], validate=False).decode("latin-1")
    bare = [re.sub("[^0-9A-Za-z]", "", one) for one in (text, decoded, secret)]
    rows = {bare[2][at : at + 16] for at in range(len(bare[2]) - 15)}
    return any(row in bare[0] + "|" + bare[1] for row in rows)


EMBEDDED: dict[str, Callable[[str], str]] = {
    "as it is": lambda said: f"no right for {said}!",
    "cut": lambda said: f"no right for {said[30:90]}",
    "for a URL": lambda said: f"/login?next={quote(said, safe='')}",
    "for a URL, all of it": lambda said: "".join(f"%{ord(letter):02X}" for letter in said[:50]),
    "for a URL, twice": lambda said: "".join(f"%25{ord(letter):02x}" for letter in said[:40]),
    "in JSON": lambda said: json.dumps({"error": said, "more": f'"{said}"'}),
    "in JSON in JSON": lambda said: json.dumps({"error": json.dumps({"token": said[:120]})}),
    "in JSON, all of it": lambda said: "".join(f"\\u{ord(letter):04x}" for letter in said[:33]),
    "in base64": lambda said: base64.b64encode(said[:140].encode()).decode(),
    "in pieces": lambda said: '" + "'.join(re.findall(".{1,9}", said[:100])),
}
HOWS = [pytest.param(how, marks=() if how in ("as it is", "in JSON") else pytest.mark.long) for how in EMBEDDED]
MADE_UP = [  # by the door
    "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbGljZSIsImV4cCI6MTl9.c2lnbmF0dXJlLW9mLWl0",
    "MDAxY2xvY2F0aW9uIE9wdGlvbmFsLmVtcHR5CjAwMThpZGVudGlmaWVyIFdaY2FsbGVyCg",
    "https://pool:1/a?authz=c2VjcmV0LW9mLXRoZS1kb29yLWFsb25l",
    "see https://pool:1/a?x.uuid=0a1b2c3d4e5f60718293 (gone)",
    "Authorization: Bearer c2VjcmV0LW9mLXRoZS1kb29yLWFsb25l",
    '{"access_token": "c2VjcmV0LW9mLXRoZS1kb29yLWFsb25l"}',
    r"{\"access_token\":\"c2VjcmV0LW9mLXRoZS1kb29yLWFsb25l\"}",
    "authz=Bearer%20c2VjcmV0LW9mLXRoZS1kb29yLWFsb25l",
]


@pytest.fixture
def shown(user: User, folder: str) -> tuple[User, str]:
    """A user with a token and a list of files, one of them on tape."""
    token = user.env["MY_TOKEN"] = user.grid.door.token(3600)
    user.set("TOKEN", "env:MY_TOKEN")
    user.set("RETRIES", "0", "gridsync")
    (user.folder / "Grid.conf").chmod(0o600)
    user.grid.tree.add(f"agata/{folder}/a", 100)
    user.grid.tree.add(f"agata/{folder}/tape", 10, tape=True)
    assert user(f"--input_dir {folder} --build_list").status == 0
    return user, token


def said_of(user: User, *lines: str) -> str:
    """All that some commands show, log and note."""
    said = ""
    try:
        for line in lines:
            more = f"--stats={user.folder / 's.jsonl'}" if line.startswith(("--start", "--sync")) else ""
            done = user(f"{line} {more} --debug --log_file={user.folder / 'log'}")
            said += done.out + done.err
    finally:
        user.grid.door.faults.clear()
    return said + written(user.folder)


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("role", ["door", "tape"])
def test_a_token_that_a_site_repeats_is_nowhere_to_be_seen(shown, folder, role, how):
    user, token = shown
    user.grid.door.faults.add("*", "repeat", role=role, said=EMBEDDED[how])
    lines = ("--bring_online", "--check_status --json", "--sync") if role == "tape" else ("--ls_dir", "--start --json")
    said = said_of(user, *lines)
    assert "answers 403" in said or "refuses" in said
    assert not has_repeated(said, token)


@pytest.mark.parametrize("how", [how for how in HOWS if how.values not in (("cut",), ("in base64",))])
def test_the_address_that_a_pool_repeats_is_nowhere_to_be_seen(user, folder, how):
    user.set("RETRIES", "0", "gridsync")
    user.grid.tree.add(f"agata/{folder}/a", 100)
    assert user(f"--input_dir {folder} --build_list").status == 0
    heard: list[str] = []

    def said(text: str) -> str:
        heard.append(text)
        return EMBEDDED[how](text)

    user.grid.door.faults.add("*/a", "repeat", role="pool", said=said)
    shown = said_of(user, "--start", "--start --json")
    assert "the pool answers 403" in shown and len(heard) == 2
    for values in heard:
        assert UUID.match(values) and not has_repeated(shown, values.split()[0])


@pytest.mark.parametrize("secret", MADE_UP, ids=range(len(MADE_UP)))  # a folder has the name of its test
def test_a_secret_that_a_door_makes_up_is_nowhere_to_be_seen(shown, folder, secret):
    user, _ = shown
    user.grid.door.faults.add("*", 403, role="door", text=f"no: {secret}")
    said = said_of(user, "--ls_dir", "--start --json")
    assert "refuses (no: " in said
    assert not re.search("c2VjcmV0|c2lnbmF0|MDAxY2x|0a1b2c3d", said)


def test_a_token_in_a_place_or_document_is_nowhere_to_be_seen(shown, folder):
    user, token = shown
    faults = user.grid.door.faults
    said = ""
    for place in (f"https://[{token}", f"http://{token}/", f"https://example.org:{token}/", f"no//{token}?{token}"):
        faults.add("*/a", "redirect", to=place)
        said += said_of(user, "--start")
    for text in (f"<a>&{token};</a>", f'<d:multistatus xmlns:d="DAV:"><d:{token}', f"<{token}></b>"):
        faults.add("*", "garbage", role="door", text=text)
        said += said_of(user, "--build_list")
    for document in ({"requestId": token}, {"requestId": f"x-{token}"[:150]}, {token: 1}, [token], token):
        faults.add("*", "other_json", role="tape", document=document)
        said += said_of(user, "--bring_online", "--check_status --json")
    assert said.count("makes no sense") > 5
    assert not has_repeated(said, token)


def test_a_token_in_the_reason_of_a_staging_that_failed_is_nowhere_to_be_seen(shown, folder):
    user, token = shown
    user.grid.robot.fail[f"agata/{folder}/tape"] = f"no right for {token}"
    said = said_of(user, "--bring_online", "--sync --json")
    assert "could not be brought online: no right for ..." in said
    assert "no right for ..." in user.catalog()[f"{folder}/tape"]["error"]
    assert not has_repeated(said, token)


def test_a_name_that_holds_a_token_is_not_listed(shown, folder):
    """Neither here nor for the TAB key: it could not be asked for without being written down."""
    user, token = shown
    user.grid.tree.add(f"agata/{folder}/x{token[20:60]}/b", 1)
    said = said_of(user, "--build_list", f"--ls_dir {folder}")
    assert not has_repeated(said, token)


@pytest.mark.long
def test_a_long_text_is_soon_looked_through():
    secrets = Secrets()
    secrets.note("abcdefgh-IJKLMNOP.qrstuvwx")
    took = []
    for size in (20_000, 200_000):
        began = time.monotonic()
        for beginning in ("://", "://a?", "eyJ", "Bearer ", "Bearer+", "authz=", "%25", "\\", "&", "a", "abcdefghijkl"):
            secrets.masked(beginning * (size // len(beginning)))
        took.append(time.monotonic() - began)
    assert took[1] < 40 * took[0]  # not with the square of its length


# == Pools ==============================================================================================

QUICK = (503, "none")
FAULTS = (*QUICK, 403, 500, "reset", "reset_in_body", "truncate", "wrong_bytes", "gone")


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=() if kind in QUICK else pytest.mark.long) for kind in FAULTS]
)
@pytest.mark.parametrize("engine", ["http", "gfal2"])
def test_the_address_at_a_pool_is_nowhere_to_be_seen(user, folder, engine, kind):
    """Who has it can read the file: not in what the run says, logs and notes, whatever goes wrong at the pool."""
    user.set("ENGINE", engine)
    user.set("RETRIES", "0", "gridsync")
    user.grid.tree.add(f"agata/{folder}/a", MB)
    assert user(f"--input_dir {folder} --build_list").status == 0
    if kind == "gone":  # an address of the pool at a port where nobody is
        user.grid.door.faults.add("*/a", "redirect", role="door", to="dead")
    elif kind != "none":
        user.grid.door.faults.add("*/a", kind, role="pool")
    shown = ""
    try:
        for more in ("--verbose", "--json"):
            done = user(f"--start --debug {more} --log_file={user.folder / 'log'}")
            shown += done.out + done.err
    finally:
        user.grid.door.faults.clear()
    assert (user.data / folder / "a").exists() == (kind == "none")
    everywhere = shown + written(user.folder)
    assert not UUID.search(everywhere), UUID.search(everywhere)
    assert "gridsync.py: " in shown or kind == "none"


def test_an_address_in_what_gfal2_says_is_masked():
    said = "Result (Neon): could not read https://pool:1/a?dcache-http-uuid=5f3c&ref=x : timed out after 3 s"
    text = str(gfal_error(RuntimeError(said), "https://door/a"))
    assert "5f3c" not in text and "ref=" not in text and "timed out after 3 s" in text


# == Rights =============================================================================================


@pytest.mark.parametrize("mask", ["077", "027", "022"])
def test_state_is_written_with_the_rights_that_the_umask_leaves(user, folder, mask):
    user.grid.tree.add(f"agata/{folder}/a", 10)
    fresh = user.folder / "fresh"
    fresh.mkdir()
    user.before = ("sh", "-c", f'umask {mask}; exec "$@"', "sh")
    conf = (user.folder / "Grid.conf").read_text()
    assert user(f"--show_conf --workdir {fresh}").status == 0  # makes Grid.conf
    rights = stat.S_IMODE((fresh / "Grid.conf").stat().st_mode)
    (fresh / "Grid.conf").write_text(conf)  # keeps its rights
    line = f"--workdir {fresh} --input_dir {folder} --build_list --start --log_file={fresh / 'log'}"
    assert user(line).status == 0
    files = [*fresh.iterdir(), *(path for path in user.data.rglob("a"))]
    found = {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in files if path.is_file()}
    state = {"Grid.conf", "Grid.conf.lock", "grid_summary.csv", "grid_summary.csv.lock", "grid_folders.txt"}
    assert set(found) == {*state, "log", "a"}
    assert set(found.values()) == {oct(rights)} == {oct(0o666 & ~int(mask, 8))}


@pytest.mark.parametrize("mask", ["000", pytest.param("077", marks=pytest.mark.long)])
@pytest.mark.parametrize("client", CLIENTS)
def test_a_proxy_is_the_users_alone_whatever_the_umask(as_user, client, mask):
    user = as_user("alice", client)
    path = Path(user.env["X509_USER_PROXY"])
    user.before = ("sh", "-c", f'umask {mask}; exec "$@"', "sh")
    rights: set[int] = set()
    is_over = threading.Event()
    known = set(os.listdir(path.parent))

    def watch() -> None:
        """Who opens it while it still is empty reads the key when it comes; Java's client makes it as 0666."""
        while not is_over.is_set():
            for name in os.listdir(path.parent):
                if name not in known:
                    with contextlib.suppress(OSError):
                        mode = os.stat(f"{path.parent}/{name}").st_mode
                        rights.add(stat.S_IMODE(mode) & (0o077 if stat.S_ISDIR(mode) else 0o777))
                        rights.add(stat.S_IMODE(os.stat(f"{path.parent}/{name}/proxy").st_mode))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        status, _, err = user("--new_proxy", PASSPHRASE)
    finally:
        is_over.set()
        watcher.join()
    assert status == 0, err
    rights.add(stat.S_IMODE(path.stat().st_mode))
    assert rights <= {0o600, 0} and 0 in rights  # nobody else has any in the folder


def test_a_pass_phrase_is_nowhere_to_be_seen(as_user):
    user = as_user("alice")
    programs = Path(user.env["PATH"].split(":")[0])
    (programs / "voms-proxy-init").unlink()
    spy(programs / "voms-proxy-init", f'{shutil.which("voms-proxy-init2")} "$@"')
    log = user.folder / "log"
    for typed in (PASSPHRASE, f"{PASSPHRASE}-not-quite"):
        status, out, err = user(f"--new_proxy --debug --log_file={log}", typed, MY_TOKEN="hush-hush")
        assert status == (0 if typed == PASSPHRASE else 3), err
        seen = (programs / "voms-proxy-init.seen").read_text()
        for secret in (PASSPHRASE, "hush-hush"):
            assert secret not in out + err + log.read_text() + seen
