"""Tokens: a real oidc-agent with an account at the grid's provider, and a real XRootD that takes what this signs."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.grid.openid import ANY_AUDIENCE, CLIENT, CLIENT_SECRET
from tests.grid.web import Reply, json_reply
from tests.grid.xrootd import ELSEWHERE, SCRATCH
from tests.support import SCRIPT
from tests.support.agent import PHRASE, Agent
from tests.support.user import User, wait_for, wait_until, write_secret

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


def test_a_token_sends_files_if_its_scopes_allow_that(guest: User):
    guest.set("BASE_DIR_ON_GRID", SCRATCH)
    (guest.folder / "results").mkdir()
    (guest.folder / "results" / "file").write_bytes(b"found")
    line = f"--put {guest.folder}/results --input_dir sent"
    status, _, err = guest(line, BEARER_TOKEN=guest.grid.openid.token(scope="storage.read:/"))
    assert status != 0 and "is your token for this door and this scope?" in err
    status, _, err = guest(line, BEARER_TOKEN=guest.grid.openid.token())
    assert status == 0, err
    assert (guest.grid.guarded.folder / "data" / SCRATCH / "sent/file").read_bytes() == b"found"


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


def test_a_token_that_was_found_is_not_for_a_server_that_a_url_names(guest: User):
    """Who sends somebody a URL to copy from would get it."""
    guest.set("SERVER", f"{guest.grid.door.url}/")
    url = f"{guest.grid.guarded.url}/agata/{FOLDER}"
    status, _, err = guest(f"{url} {guest.folder}/here", BEARER_TOKEN=guest.grid.openid.token())
    assert status == 4 and "so the door is shown nothing" in err and "CREDENTIAL in Grid.conf shows it nothing" in err


def test_the_list_of_sites_says_which_token_is_at_hand(guest: User):
    guest.set("TOKEN", "oidc:cnaf", "CNAF")
    guest.set("CREDENTIAL", "none", "XROOTD")
    lines = guest("--from=list", BEARER_TOKEN="abc", OIDC_SOCK="/x").out.splitlines()
    said = dict(line.split(maxsplit=1) for line in lines)
    assert said["LYON"] == "https     token from env:BEARER_TOKEN, does not say when it ends"
    assert said["CNAF"] == "https     token, oidc-agent is asked for one of cnaf"
    assert said["XROOTD"] == "https     nothing"


def test_the_doctor_looks_at_the_token_that_would_be_shown(guest: User):
    out = guest("--doctor", BEARER_TOKEN=guest.grid.openid.token()).out
    assert "ok    token         from env:BEARER_TOKEN, 59m" in out
    guest.set("CREDENTIAL", "token")
    status, out, _ = guest("--doctor --quiet --input_dir e680_1to64")
    assert status == 1 and "FAIL  token         no token was found in BEARER_TOKEN, BEARER_TOKEN_FILE, " in out
    assert "proxy" not in out


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


def test_the_doctor_shows_root_the_token(rooted: User):
    out = rooted(f"--doctor --input_dir {FOLDER}").out
    assert "answers, 1 entries in e680_1to64/ReadATCA" in out and "ok    token         from env:MY_TOKEN" in out, out


def test_root_says_that_a_token_is_not_for_it(rooted: User):
    token = rooted.grid.openid.token(aud="https://other.example.org")
    status, _, err = rooted(f"--ls_dir {FOLDER}", MY_TOKEN=token)
    assert status == 4 and "is your token for this door and this scope?" in err and err.count("\n") == 1


def test_a_server_that_takes_no_tokens_says_so(rooted: User):
    rooted.set("SERVER", f"root://localhost:{rooted.grid.xrootd.ports[1]}/")
    status, _, err = rooted("--ls_dir")
    assert status == 3 and "the server accepts nothing of what it can be shown" in err and err.count("\n") == 1


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


AFTERWARDS = """
import sys
from gridsync_parts.doors.contexts import Contexts
from gridsync_parts.errors import UsageError
from gridsync_parts.keys.token import Token
from gridsync_parts.settings import Config
conf = Config(sys.argv[1])
site = conf.site("LYON")
Contexts(site, "", None, None).get()
try:
    Contexts(site, "", Token(site.token, conf), None)
except UsageError as error:
    print(error)
"""


def test_a_process_that_follows_redirects_of_root_shows_no_token(rooted: User):
    """XRootD's library has read the limit by then."""
    command = ["/usr/bin/python3", "-c", AFTERWARDS, str(rooted.folder)]
    env = {**rooted.env, "PYTHONPATH": str(SCRIPT.parent)}
    told = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True).stdout
    assert "this process has used gfal2 without a token; use another one" in told


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


@pytest.mark.long
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


@pytest.mark.long
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


def test_an_account_that_is_not_loaded_is_said(guest: User, agent: Agent):
    agent.log_in("lyon")
    agent.stop()
    agent.start()
    say(guest, "oidc:lyon")
    status, _, err = guest("--ls_dir")
    assert status == 3 and "oidc-agent has not loaded the account lyon; load it: oidc-add lyon" in err


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("env:MY_TOKEN", r"Your token is valid until .* \(9m\d\ds\); this run sees no other: it ends then"),
        ("file:~/token", r"Your token is valid until .* \(9m\d\ds\); renew it in time, even during a run"),
        ("cmd:cat token", ""),
    ],
)
def test_a_token_that_nobody_renews_is_announced(guest: User, source, says):
    token = guest.grid.openid.token(600)
    write_secret(guest.folder / "token", token)
    say(guest, source.replace(" token", f" {guest.folder}/token"))
    status, _, err = guest(f"--input_dir {FOLDER} --sync", MY_TOKEN=token, HOME=str(guest.folder))
    assert status == 0 and bool(re.search(says, err)) and ("Your token" in err) == bool(says)


# == --new_token ========================================================================================


@pytest.fixture
def newcomer(guest: User, agent: Agent) -> User:
    """Somebody whose site has a provider, and who has no account yet."""
    guest.set("ISSUER", guest.grid.openid.url)
    guest.set("CLIENT_ID", CLIENT)
    return guest


TYPED = f"{CLIENT_SECRET}\n{PHRASE}\n{PHRASE}\n"


def test_an_account_is_made_by_logging_in_and_used_from_then_on(newcomer: User, agent: Agent):
    status, out, err = newcomer("--new_token", TYPED)
    page = f"{newcomer.grid.openid.url}/device"
    assert (status, out) == (0, "Created the account lyon of oidc-agent.\n")
    assert err == (
        f"Log in with a browser, on any device, at {page} and enter the code ABCD-EFGH\n"
        "remembered: TOKEN of [LYON] = oidc:lyon\n"
    )
    assert "TOKEN = oidc:lyon\n" in (newcomer.folder / "Grid.conf").read_text()
    status, out, err = newcomer("--proxy_status --ls_dir e680_1to64")
    assert status == 0 and "token from          : oidc:lyon\n" in out, err
    assert newcomer("--new_token", TYPED).status == 0  # once the login is over


def test_neither_secret_nor_phrase_is_seen_or_kept(newcomer: User, agent: Agent):
    log = newcomer.folder / "log"
    status, out, err = newcomer(f"--new_token --log_file={log} --debug", TYPED)
    texts = [out, err, log.read_text(), agent.typed.read_text(), (newcomer.folder / "Grid.conf").read_text()]
    texts += [path.read_text() for path in (agent.home / ".oidc-agent").iterdir()]
    refreshing = newcomer.grid.openid.refreshing
    assert status == 0 and refreshing
    assert not [text for text in texts for secret in (CLIENT_SECRET, PHRASE, *refreshing) if secret in text]
    assert {path.stat().st_mode & 0o077 for path in (agent.home / ".oidc-agent").iterdir()} == {0}


def test_an_account_that_was_not_made_for_the_site_is_not_replaced(newcomer: User, agent: Agent):
    agent.log_in("lyon")
    before = (agent.home / ".oidc-agent/lyon").read_bytes()
    status, out, err = newcomer("--new_token", TYPED)
    assert (status, out) == (3, "") and (agent.home / ".oidc-agent/lyon").read_bytes() == before
    assert "oidc-agent has an account lyon already; to use it write TOKEN = oidc:lyon into [LYON], where" in err


def test_a_client_may_have_no_secret(newcomer: User, agent: Agent):
    newcomer.grid.openid.is_public = True
    status, out, err = newcomer("--new_token", f"\n{PHRASE}\n{PHRASE}\n")
    assert status == 0 and "Created the account lyon" in out, err


def test_a_token_that_is_set_stays(newcomer: User, agent: Agent):
    say(newcomer, "file:~/.cta_token")
    status, _, err = newcomer("--new_token", TYPED)
    assert status == 0 and "TOKEN of [LYON] stays file:~/.cta_token; to use the account, make it oidc:lyon\n" in err


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        (f"wrong\n{PHRASE}\n{PHRASE}\n", "does not take the client agata-tool with this secret (invalid_client: Bad"),
        (f"{CLIENT_SECRET}\n{PHRASE}\nother\n", "the pass phrase is empty, or not the same twice; nothing has changed"),
        (f"{CLIENT_SECRET}\n\n", "the pass phrase is empty"),
        ("", "no pass phrase was given on standard input; nothing has changed"),
        (f"{'x' * 100_000}\n{PHRASE}\n{PHRASE}\n", "the secret or the pass phrase is much too long; nothing has"),
    ],
)
def test_what_is_typed_wrong_is_said_and_nothing_is_remembered(newcomer: User, agent: Agent, typed, says):
    before = (newcomer.folder / "Grid.conf").read_text()
    status, out, err = newcomer("--new_token", typed)
    assert (status, out) == (3, "") and says in err and err.count("\n") == 1
    assert (newcomer.folder / "Grid.conf").read_text() == before


def test_what_the_account_needs_is_looked_at_before_anything_is_asked(newcomer: User, agent: Agent):
    def said(**env: str) -> tuple[int, str]:
        status, _, err = newcomer("--new_token", **env)
        assert err.count("\n") == 1
        return status, err

    assert "oidc-agent does not run here" in said(OIDC_SOCK="")[1]
    assert "oidc-gen is not installed, which asks oidc-agent for tokens" in said(PATH=str(newcomer.folder))[1]
    newcomer.set("CREDENTIAL", "proxy")
    status, err = said()
    assert status == 2 and "[LYON] has two credentials, TOKEN and CREDENTIAL = proxy; remove one\n" in err
    newcomer.set("CREDENTIAL", "auto")
    newcomer.set("CLIENT_ID", "")
    assert "[LYON] lacks CLIENT_ID; ask the site, or register a client at the page of the VO's INDIGO IAM" in said()[1]
    newcomer.set("ISSUER", "")
    assert "[LYON] lacks ISSUER and CLIENT_ID" in said()[1]
    (newcomer.folder / "Grid.conf").chmod(0o666)
    assert "ISSUER is not used because others can write" in said()[1]


def test_a_provider_that_is_none_is_said(newcomer: User, agent: Agent):
    newcomer.set("ISSUER", "https://localhost:1/")
    status, _, err = newcomer("--new_token", TYPED)
    assert status == 3 and "https://localhost:1/ cannot be reached, or is none that logs in users" in err


DENIED = {"error": "unauthorized_client", "error_description": "no \x1b[31mdevice flow"}
NO_LOGIN = "has no login by a code for the client agata-tool (unauthorized_client: no \\x1b[31mdevice flow); ask who"


@pytest.mark.parametrize(
    ("path", "reply", "says"),
    [
        ("/devicecode", json_reply(400, DENIED), NO_LOGIN),
        ("/devicecode", Reply(200, b"<html>Log in</html>"), "cannot be reached, or is none that logs in users"),
        ("/devicecode", Reply(500), "cannot be reached, or is none that logs in users"),
        ("/devicecode", json_reply(200, {}), "the login of the account lyon is over"),
        ("/token", Reply(200, b"<html>Log in</html>"), "cannot be reached, or is none that logs in users"),
        ("/token", json_reply(400, {"error": "expired_token"}), "nobody has agreed in the browser (expired_token)"),
    ],
)
def test_what_a_provider_refuses_is_said(newcomer: User, agent: Agent, path, reply, says):
    with newcomer.grid.openid.saying(path, reply):
        status, out, err = newcomer("--new_token", TYPED)
    assert (status, out) == (3, "") and says in err.splitlines()[-1], err
    assert err.count("Log in with a browser") == err.count("\n") - 1 == (path == "/token")


def test_a_code_that_is_over_is_said(newcomer: User, agent: Agent):
    newcomer.grid.openid.is_agreed, newcomer.grid.openid.patience = False, 1
    try:
        status, _, err = newcomer("--new_token", TYPED)
    finally:
        newcomer.grid.openid.is_agreed, newcomer.grid.openid.patience = True, 600
    assert status == 3 and "nobody has agreed in the browser (Device code is not valid any more!); try again" in err


def test_ctrl_c_while_nobody_logs_in_leaves_nothing_behind(newcomer: User, agent: Agent):
    newcomer.grid.openid.is_agreed = False
    newcomer.grid.openid.log.clear()
    try:
        read, write = os.pipe()
        os.write(write, TYPED.encode())
        os.close(write)
        with subprocess.Popen(
            newcomer.command("--new_token"), env=newcomer.env, stdin=read, stdout=-1, stderr=-1, text=True
        ) as run:
            os.close(read)
            wait_until(lambda: newcomer.grid.openid.log.count(path="/token"))
            run.send_signal(signal.SIGINT)
            result = wait_for(run, 10)
        assert result.status == 130 and "interrupted" in result.err
        left = subprocess.run(["pgrep", "-f", f"{agent.home.parent}/agent_bin"], stdout=subprocess.PIPE, check=False)
        assert not left.stdout and not (agent.home / ".oidc-agent" / "lyon").exists()
    finally:
        newcomer.grid.openid.is_agreed = True


@pytest.mark.parametrize("account", ["--help", "a b", "-f"])
def test_an_account_is_no_option(guest: User, account):
    say(guest, f"oidc:{account}")
    status, _, err = guest("--ls_dir")
    assert status == 2 and f"TOKEN = oidc:{account} names no account" in err


# == Renewal ============================================================================================


@pytest.mark.long
def test_a_token_of_70_seconds_is_replaced_in_a_run_that_takes_longer(user: User, agent: Agent, folder: str):
    """By oidc-agent, before its end: the door never says 401."""
    provider = user.grid.openid
    provider.life = 70
    agent.log_in("lyon")
    user.set("TOKEN", "oidc:lyon")
    user.grid.tree.add(f"agata/{folder}/tape", 20_000, tape=True)
    user.grid.robot.hold()
    provider.log.clear()
    user.grid.door.log.clear()
    try:
        with user.running(f"--input_dir {folder} --sync") as run:
            time.sleep(80)
            assert run.poll() is None
            user.grid.robot.go()
            result = wait_for(run, 60)
    finally:
        user.grid.robot.go()
    assert result.status == 0 and user.files() == [f"{folder}/tape"], result.err
    assert provider.log.count(path="/token", status=200) >= 2
    assert user.grid.door.log.count(token=True) > 0 and user.grid.door.log.count(status=401) == 0


def test_a_token_that_the_door_refuses_is_asked_for_anew(user: User, agent: Agent):
    """oidc-agent still takes it for good, and is told that it is not."""
    agent.log_in("lyon")
    user.set("TOKEN", "oidc:lyon")
    user.grid.openid.log.clear()
    user.grid.door.faults.add("*", 401, count=1)
    try:
        status, _, err = user("--ls_dir e680")
    finally:
        user.grid.door.faults.clear()
    assert status == 0, err
    assert user.grid.openid.log.count(path="/token", status=200) == 1
