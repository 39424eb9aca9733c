"""Tokens, pool addresses and proxies: who never sees them, and with which rights state is written."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import gridsync
from tests.conftest import User, wait_until, write_secret
from tests.grid.door import Switches
from tests.grid.pki import PASSPHRASE
from tests.grid.web import Log, Reply, Server
from tests.test_credentials import CLIENTS, as_user  # noqa: F401 - a fixture

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


@pytest.fixture
def elsewhere() -> Iterator[tuple[Server, Log, Server]]:
    """A site that sends everybody to another one, and the log of that one."""
    log = Log()
    other = Server("other", None, log, Switches(), lambda request: Reply(200, b"[]"))
    away = lambda request: Reply(307, headers={"Location": other.url + request.target})  # noqa: E731
    site = Server("site", None, Log(), Switches(), away)
    for server in (other, site):
        server.start()
    yield site, log, other
    for server in (other, site):
        server.stop()


def test_no_verb_takes_a_token_along_to_where_it_is_sent(elsewhere, tmp_path, monkeypatch):
    monkeypatch.setenv("MY_TOKEN", "hush")
    server, log, _ = elsewhere
    site = gridsync.Site("X", server.url, "agata", "http", f"{server.url}/tape", "", "", "env:MY_TOKEN", 5, 5)
    token = gridsync.Token(site.token, gridsync.Config(str(tmp_path)))
    storage = gridsync.HttpStorage(gridsync.Http(site, "", token, None), site)
    discovering = gridsync.HttpStorage(storage.http, site._replace(tape_api="auto"))
    for verb in (
        lambda: storage.entries("a"), lambda: storage.checksum("a"), lambda: list(storage.read("a", 0, 1, 2).chunks),
        lambda: storage.localities(["a"]), lambda: storage.stage(["a"], 1), lambda: storage.stagings("1", ["a"]),
        lambda: storage.release("1", ["a"]), discovering.has_tape,
    ):  # fmt: skip
        try:
            verb()
        except gridsync.GridError as error:
            assert "hush" not in str(error)
    assert log.count() > 0 and not [record for record in log if record.token]


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
    assert "gridsync: " in shown or kind == "none"


def test_an_address_in_what_gfal2_says_is_masked():
    said = "Result (Neon): could not read https://pool:1/a?dcache-http-uuid=5f3c&ref=x : timed out after 3 s"
    text = str(gridsync.gfal_error(RuntimeError(said), "https://door/a"))
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
def test_a_proxy_is_the_users_alone_whatever_the_umask(as_user, client, mask):  # noqa: F811
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


def test_a_pass_phrase_is_nowhere_to_be_seen(as_user):  # noqa: F811
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
