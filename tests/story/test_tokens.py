"""Tokens: a real oidc-agent with an account at the grid's provider, and a real XRootD that takes what this signs."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.grid.openid import ANY_AUDIENCE
from tests.grid.xrootd import ELSEWHERE
from tests.support import SCRIPT
from tests.support.agent import Agent
from tests.support.user import User, write_secret

FOLDER = "e680_1to64/ReadATCA"


@pytest.fixture
def agent(user: User, tmp_path: Path) -> Iterator[Agent]:
    agent = Agent(user.grid, tmp_path)
    agent.start()
    user.env.update(agent.env)
    yield agent
    agent.stop()
    provider = user.grid.openid
    provider.life, provider.renews, provider.is_public, provider.audience = 3600, True, False, ANY_AUDIENCE


@pytest.fixture
def guest(user: User) -> User:
    """Somebody without a proxy, whose site is an XRootD that takes tokens."""
    user.env["X509_USER_PROXY"] = str(user.folder / "no_proxy")
    user.env["XDG_RUNTIME_DIR"] = str(user.folder)
    user.set("SERVER", f"{user.grid.guarded.url}/")
    return user


def say(user: User, source: str) -> None:
    user.set("TOKEN", source)


# == What a door takes ==================================================================================


def test_a_token_opens_the_door_and_files_come(guest: User):
    status, out, err = guest(f"--input_dir {FOLDER} --sync", BEARER_TOKEN=guest.grid.openid.token())
    assert status == 0 and "verified by checksum: 1" in out, err
    assert guest.files() == [f"{FOLDER}/ReadATCA.tar"]


@pytest.mark.parametrize("place", ["BEARER_TOKEN", "BEARER_TOKEN_FILE", "bt_u"])
def test_a_token_is_found_and_the_status_says_which_and_why(guest: User, place):
    token, path = guest.grid.openid.token(7200), guest.folder / f"bt_u{os.getuid()}"
    if place != "BEARER_TOKEN":
        write_secret(path, token)
    env = {"BEARER_TOKEN": {place: token}, "BEARER_TOKEN_FILE": {place: str(path)}}.get(place, {})
    status, out, err = guest("--proxy_status", **env)
    source = "env:BEARER_TOKEN" if place == "BEARER_TOKEN" else f"file:{path}"
    assert (status, err) == (0, "")
    assert re.fullmatch(
        rf"token from          : {re.escape(source)}\n"
        rf"issuer              : {guest.grid.openid.url}\n"
        r"subject             : alice\n"
        r"scopes              : openid offline_access storage\.read:/ .*\n"
        rf"audience            : {ANY_AUDIENCE}\n"
        r"token               : 1h59m left, until .*\n"
        r"shown because       : it lies where WLCG looks, and X509_USER_PROXY names no proxy\n",
        out,
    )
    assert guest("--ls_dir e680_1to64", **env).status == 0
    said = json.loads(guest("--proxy_status --json", **env).out)
    assert said["token"]["issuer"] == guest.grid.openid.url and said["token"]["audience"] == [ANY_AUDIENCE]
    assert "storage.read:/" in said["token"]["scopes"] and 7100 < said["token"]["token_left"] <= 7200
    assert token not in out + json.dumps(said) and "shown_because" in said


def test_a_proxy_that_is_named_and_exists_wins_over_a_token_that_was_found(user: User):
    user.grid.door.log.clear()
    status, out, err = user("--ls_dir e680 --proxy_status", BEARER_TOKEN=user.grid.door.token(600))
    assert status == 0, err
    assert "shown because       : X509_USER_PROXY names it, so it is shown and not the token from env:B" in out
    shown = [(record.certificate, record.token) for record in user.grid.door.log]
    assert shown and all(certificate and not token for certificate, token in shown)


@pytest.mark.parametrize(
    ("claims", "says"),
    [
        ({"aud": "https://other.example.org"}, "is your token for this door and this scope? --proxy_status shows its"),
        ({"scope": "openid"}, "is your token for this door and this scope?"),
        ({"iss": "https://nobody.example.org"}, "is your token for this door"),
    ],
)
def test_a_token_that_is_not_for_this_door_is_one_sentence(guest: User, claims, says):
    status, _, err = guest(f"--ls_dir {FOLDER}", BEARER_TOKEN=guest.grid.openid.token(**claims))
    assert status == 4 and says in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("over", "the token from {} expired 1m3"),
        ("open", "others can read your token {}; chmod 600 {}"),
        ("none", "{} gives no usable token"),
    ],
)
def test_a_token_that_is_no_use_is_named_by_where_it_was_found(guest: User, kind, says):
    path = guest.folder / f"bt_u{os.getuid()}"
    write_secret(path, "these are words" if kind == "none" else guest.grid.openid.token(-95 if kind == "over" else 600))
    path.chmod(0o644 if kind == "open" else 0o600)
    status, _, err = guest("--ls_dir")
    place = str(path) if kind == "open" else f"file:{path}"
    assert status == 3 and says.format(place, place) in err and err.count("\n") == 1


def test_nothing_is_shown_where_that_is_wished(user: User):
    user.set("CREDENTIAL", "none")
    user.grid.door.log.clear()
    status, _, err = user("--ls_dir e680", BEARER_TOKEN=user.grid.door.token(600))
    assert status == 3 and "wants to be shown something" in err and "see CREDENTIAL in Grid.conf" in err
    assert [(record.certificate, record.token) for record in user.grid.door.log] == [(False, False)]
    assert user("--proxy_status").out == (
        "The site LYON is shown nothing\nshown because       : CREDENTIAL of [LYON] is none\n"
    )


@pytest.mark.parametrize("scheme", ["root", "roots", "https"])
def test_public_data_need_nothing(guest: User, scheme):
    """With a certificate, a broken proxy and a token lying about, of which gfal2 and its libraries would make use."""
    http, root = guest.grid.public.ports
    guest.set("SERVER", f"{scheme}://localhost:{http if scheme == 'https' else root}/")
    guest.set("CREDENTIAL", "none")
    write_secret(guest.folder / "no_proxy", "none at all")
    key, certificate = guest.grid.pki.folder / "alice.key", guest.grid.pki.folder / "alice.pem"
    env = {"BEARER_TOKEN": "none at all", "X509_USER_CERT": str(certificate), "X509_USER_KEY": str(key)}
    status, out, err = guest(f"--input_dir {FOLDER} --sync --proxy_status", **env)
    assert status == 0 and "verified by checksum: 1" in out, err


def test_gfal2_shows_nothing_where_that_is_wished(user: User):
    user.set("CREDENTIAL", "none")
    user.set("ENGINE", "gfal2")
    user.grid.door.log.clear()
    key, certificate = user.grid.pki.folder / "alice.key", user.grid.pki.folder / "alice.pem"
    status, _, err = user("--ls_dir e680", X509_USER_CERT=str(certificate), X509_USER_KEY=str(key))
    assert status in (3, 4) and err.count("\n") == 1
    shown = [(record.certificate, record.token) for record in user.grid.door.log]
    assert shown and set(shown) == {(False, False)}


def test_an_old_token_file_works_as_it_is(guest: User):
    write_secret(guest.folder / ".cta_token", guest.grid.openid.token() + "\n")
    say(guest, "file:~/.cta_token")
    assert guest("--ls_dir e680_1to64", HOME=str(guest.folder)).status == 0


# == Through gfal2 ======================================================================================


@pytest.fixture
def rooted(guest: User) -> User:
    """The same by root://, with a token."""
    guest.set("SERVER", f"root://localhost:{guest.grid.guarded.ports[1]}/")
    guest.set("TOKEN", "env:MY_TOKEN")
    guest.env["MY_TOKEN"] = guest.grid.openid.token()
    del guest.env["X509_USER_PROXY"]
    return guest


def test_root_takes_a_token(rooted: User):
    status, out, err = rooted(f"--input_dir {FOLDER} --sync")
    assert status == 0 and "verified by checksum: 1" in out, err
    assert rooted.files() == [f"{FOLDER}/ReadATCA.tar"]


def test_root_says_that_a_token_is_not_for_it(rooted: User):
    token = rooted.grid.openid.token(aud="https://other.example.org")
    status, _, err = rooted(f"--ls_dir {FOLDER}", MY_TOKEN=token)
    assert status == 4 and "is your token for this door and this scope?" in err and err.count("\n") == 1


def test_a_token_that_was_found_is_not_for_root(guest: User):
    guest.set("SERVER", f"root://localhost:{guest.grid.guarded.ports[1]}/")
    status, _, err = guest("--ls_dir", BEARER_TOKEN=guest.grid.openid.token())
    assert status == 3 and "there is no proxy at" in err
    guest.set("CREDENTIAL", "token")
    assert guest("--ls_dir e680_1to64", BEARER_TOKEN=guest.grid.openid.token()).status == 0


OPENED = """
import sys
from gridsync_parts.doors import contexts
from gridsync_parts.doors.refused import gfal_error
from gridsync_parts.keys.token import Token
from gridsync_parts.settings import Config
if sys.argv[3] == "free":
    contexts.os.environ = {**contexts.os.environ}  # what is set there has no effect
    contexts.os.environ.pop("XRD_REDIRECTLIMIT", None)
conf = Config(sys.argv[1])
site = conf.site("LYON")
here = contexts.Contexts(site, "", Token(site.token, conf), None)
try:
    here.get().open(sys.argv[2], "r")
except here.gfal2.GError as error:
    print(gfal_error(error, sys.argv[2], site))
"""


@pytest.mark.parametrize("way", ["kept", "free"])
def test_no_server_that_root_redirects_to_hears_of_a_token(rooted: User, way):
    url = f"root://localhost:{rooted.grid.guarded.ports[1]}//{ELSEWHERE}/file"
    env = {**rooted.env, "PYTHONPATH": str(SCRIPT.parent)}
    if way == "free":
        env.update(BEARER_TOKEN=rooted.env["MY_TOKEN"], XrdSecPROTOCOL="ztn")
    with socket.create_server(("localhost", rooted.grid.guarded.elsewhere)) as target:
        command = ["/usr/bin/python3", "-c", OPENED, str(rooted.folder), url, way]
        with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as run:
            try:
                target.settimeout(0.2)
                is_asked = False
                while not is_asked and run.poll() is None:
                    with contextlib.suppress(socket.timeout):
                        target.accept()[0].close()
                        is_asked = True
                if way == "kept":
                    told = run.communicate(timeout=30)[0]
            finally:
                run.kill()
    assert is_asked == (way == "free")  # so gridsync.py's limit it is that keeps it
    if way == "kept":
        assert "the door redirects to other servers, to which a token is not sent" in told


SHOWN = """
import os, sys, gfal2
context = gfal2.creat_context()
context.set_opt_boolean("HTTP PLUGIN", "RETRIEVE_BEARER_TOKEN", False)
context.cred_set(sys.argv[1], context.cred_new("BEARER", os.environ["MY_TOKEN"]))
context.open(sys.argv[1] + sys.argv[2], "r").read_bytes(10)
"""


@pytest.mark.parametrize("scheme", ["https", "davs"])
def test_gfal2_would_show_a_token_for_the_door_to_a_pool(user: User, folder: str, scheme):
    """Why gridsync.py refuses TOKEN with gfal2 there, though gfal2 is told that the token is the door's alone."""
    user.grid.tree.add(f"agata/{folder}/file", 100)
    user.grid.door.log.clear()
    server = f"{user.grid.door.url}/".replace("https", scheme)
    env = {**user.env, "MY_TOKEN": user.grid.door.token(600), "X509_USER_PROXY": ""}
    subprocess.run(["/usr/bin/python3", "-c", SHOWN, server, f"agata/{folder}/file"], env=env, check=True)
    assert user.grid.door.log.count(role="pool", token=True) > 0
    user.set("ENGINE", "gfal2")
    user.set("TOKEN", "env:MY_TOKEN")
    status, _, err = user("--ls_dir")
    assert status == 2 and "gfal2 would show the TOKEN of [LYON] to any host, or not at all; set ENGINE = auto" in err


# == oidc-agent =========================================================================================


def test_an_account_of_oidc_agent_gives_tokens(guest: User, agent: Agent):
    agent.log_in("lyon")
    say(guest, "oidc:lyon")
    status, out, err = guest("--proxy_status --ls_dir e680_1to64")
    assert status == 0 and "token from          : oidc:lyon\n" in out and "59m" in out, err
    assert "shown because       : TOKEN of [LYON] names it\n" in out


def test_what_goes_wrong_with_oidc_agent_is_said(guest: User, agent: Agent):
    say(guest, "oidc:lyon")

    def said(**env: str) -> str:
        status, _, err = guest("--ls_dir", **env)
        assert status == 3 and err.count("\n") == 1
        return err

    assert "oidc-agent has no account lyon; --new_token makes one, or correct TOKEN in Grid.conf" in said()
    agent.log_in("lyon")
    guest.grid.openid.renews, guest.grid.openid.life = False, 3600
    say(guest, "cmd:oidc-token --force-new lyon")
    assert "invalid_grant" in said() or "oidc-gen lyon --reauthenticate" in said()
    say(guest, "oidc:lyon")
    assert "oidc-agent does not run here; start it, and set its variables: eval $(oidc-agent-service use)" in said(
        OIDC_SOCK=""
    )
    assert "oidc-agent does not run here" in said(OIDC_SOCK=str(guest.folder / "nowhere"))
    remedy = "oidc-token is not installed, which asks oidc-agent for tokens; on Debian: apt install oidc-agent-cli"
    assert remedy in said(PATH=str(guest.folder))


def test_a_login_that_is_over_is_said(guest: User, agent: Agent):
    guest.grid.openid.life = 30  # so that a new one is asked for at once
    agent.log_in("lyon")
    guest.grid.openid.renews = False
    say(guest, "oidc:lyon")
    status, _, err = guest("--ls_dir")
    assert status == 3 and "the login of the account lyon is over; renew it with --new_token" in err


def test_a_provider_that_is_down_is_said(guest: User, agent: Agent):
    guest.grid.openid.life = 30
    agent.log_in("lyon")
    say(guest, "oidc:lyon")
    guest.grid.openid.down()
    try:
        status, _, err = guest("--ls_dir")
    finally:
        guest.grid.openid.start()
    assert status == 3 and "the provider of the account lyon cannot be reached" in err and err.count("\n") == 1


@pytest.mark.parametrize("account", ["--help", "a b", "-f"])
def test_an_account_is_no_option(guest: User, account):
    say(guest, f"oidc:{account}")
    status, _, err = guest("--ls_dir")
    assert status == 2 and f"TOKEN = oidc:{account} names no account" in err
