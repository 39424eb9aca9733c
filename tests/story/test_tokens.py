"""Tokens: a real oidc-agent with an account at the grid's provider, and a real XRootD that takes what this signs."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.grid.openid import ANY_AUDIENCE
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


def test_an_old_token_file_works_as_it_is(guest: User):
    write_secret(guest.folder / ".cta_token", guest.grid.openid.token() + "\n")
    say(guest, "file:~/.cta_token")
    assert guest("--ls_dir e680_1to64", HOME=str(guest.folder)).status == 0


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
