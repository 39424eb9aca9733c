"""What is shown at a door: files with secrets, helpers, CA folders and tokens."""

from __future__ import annotations

import base64
import json
import os
import ssl
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from gridsync_parts import keys
from gridsync_parts.errors import CredentialError, UsageError
from gridsync_parts.keys import ca_folder, folder_for_proxies, helper_env, open_secret, stamp_of, trust
from gridsync_parts.keys.login import account_for
from gridsync_parts.keys.oidc import agent_error
from gridsync_parts.keys.token import TOKEN_LIFE, TOKEN_PAUSE, Token, token_end, token_left
from gridsync_parts.table import Site
from tests.support.constants import replace
from tests.support.user import write_secret

SITE = Site("LYON", "https://a", "", "http", "auto", "", "", "", 30, 10)


@pytest.mark.parametrize(
    ("mode", "is_private"), [(0o600, True), (0o400, True), (0o640, False), (0o604, False), (0o610, False)]
)
def test_a_secret_that_others_can_read_is_none(tmp_path, mode, is_private):
    write_secret(path := tmp_path / "key", "secret")
    path.chmod(mode)
    if is_private:
        with open_secret(str(path), "your key") as file:
            assert file.read() == "secret"
        return
    with pytest.raises(CredentialError, match=r"others can read your key .*/key; chmod 600 ") as caught:
        open_secret(str(path), "your key")
    assert (caught.value.passing, caught.value.pause) == (True, 1)  # a new one may just be put there


def test_nor_is_one_of_somebody_else(tmp_path, monkeypatch):
    write_secret(path := tmp_path / "key", "secret")
    other = os.getuid() + 1
    monkeypatch.setattr(os, "getuid", lambda: other)
    with pytest.raises(CredentialError, match="belongs to another user; use one of your own"):
        open_secret(str(path), "your key")


def test_nor_is_what_is_no_file(tmp_path):
    (tmp_path / "link").symlink_to("key")
    with pytest.raises(CredentialError, match="is not a regular file; put one there"):
        open_secret(str(tmp_path), "your key")
    with pytest.raises(CredentialError, match="is a link and could lead to another user's file"):
        open_secret(str(tmp_path / "link"), "your key", os.O_NOFOLLOW)
    with pytest.raises(FileNotFoundError):
        open_secret(str(tmp_path / "nothing"), "your key")


def test_nor_is_what_is_too_large_for_one(tmp_path):
    write_secret(path := tmp_path / "key", "x")
    os.truncate(path, keys.MOST_OUTPUT + 1)
    with pytest.raises(CredentialError, match="is too large to be one; put the right file there"):
        open_secret(str(path), "your key")


def test_another_file_in_the_place_of_one_is_seen(tmp_path):
    path = tmp_path / "key"
    assert stamp_of(str(path)) == (0, 0)
    write_secret(path, "one")
    first = stamp_of(str(path))
    assert first != (0, 0) and stamp_of(str(path)) == first
    write_secret(tmp_path / "other", "two")
    (tmp_path / "other").replace(path)
    assert stamp_of(str(path)) != first


def test_helpers_get_nothing_of_what_is_typed(tmp_path):
    """As ssh would take all of it, a list of files or a pass phrase for what comes next."""
    (tmp_path / "typed").write_text("secret")
    with open(tmp_path / "typed") as typed:
        before = os.dup(0)
        try:
            os.dup2(typed.fileno(), 0)
            assert keys.output_of(["cat"]) == b"" and os.read(0, 100) == b"secret"
        finally:
            os.dup2(before, 0)
            os.close(before)


def test_helpers_see_what_they_need_and_no_secret(monkeypatch):
    for name in (
        "PATH",
        "HOME",
        "LC_ALL",
        "X509_USER_PROXY",
        "OIDC_SOCK",
        "MY_TOKEN",
        "PATHS",
        "AWS_SECRET",
        "HTTPS_PROXY",
    ):
        monkeypatch.setenv(name, name)
    found = helper_env(MORE="more")
    assert {"PATH", "HOME", "LC_ALL", "X509_USER_PROXY", "OIDC_SOCK", "MORE"} <= found.keys()
    assert not {"MY_TOKEN", "PATHS", "AWS_SECRET", "HTTPS_PROXY"} & found.keys()


@pytest.mark.parametrize(
    ("chosen", "named", "there", "found"),
    [("mine", "named", True, "mine"), ("", "named", True, "named"), ("", "", True, "system"), ("", "", False, None)],
)
def test_where_certificates_of_cas_are(tmp_path, monkeypatch, chosen, named, there, found):
    for name in ("mine", "named", *["system"] * there):
        (tmp_path / name).mkdir()
    replace(monkeypatch, "GRID_CAS", str(tmp_path / "system"))
    monkeypatch.setenv("X509_CERT_DIR", str(tmp_path / named) if named else "")
    site = SITE._replace(ca_dir=str(tmp_path / chosen) if chosen else "")
    assert ca_folder(site) == (str(tmp_path / found) if found else None)


def test_a_folder_of_certificates_that_is_none_is_told(tmp_path):
    with pytest.raises(UsageError, match=r"the folder of CA certificates .*nowhere does not exist; correct CA_DIR or"):
        ca_folder(SITE._replace(ca_dir=str(tmp_path / "nowhere")))
    assert keys.GRID_CAS.startswith("/etc/")


def test_the_certificates_may_be_one_file_but_voms_clients_need_a_folder(tmp_path, monkeypatch):
    (tmp_path / "ca.pem").write_text("")
    (tmp_path / "folder").mkdir()
    monkeypatch.setenv("X509_CERT_DIR", str(tmp_path / "folder"))
    site = SITE._replace(ca_dir=str(tmp_path / "ca.pem"))
    assert ca_folder(site) == str(tmp_path / "ca.pem")
    assert folder_for_proxies(site) == folder_for_proxies(SITE) == str(tmp_path / "folder")
    with pytest.raises(UsageError, match=r"ca\.pem has no certificates of CAs in PEM that can be read; correct CA_DIR"):
        trust(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), str(tmp_path / "ca.pem"))


# Tokens.


def jwt(ends: float | None) -> str:
    """A token that ends then."""
    claims = json.dumps({"sub": "alice", **({"exp": ends} if ends is not None else {})})
    return f"eyJhbGciOiJSUzI1NiJ9.{base64.urlsafe_b64encode(claims.encode()).decode().rstrip('=')}.c2ln"


@pytest.mark.parametrize(
    ("token", "ends"),
    [
        (jwt(1000), 1000),
        (jwt(1000.5), 1000),
        (jwt(None), 0),
        (jwt(-5), 0),
        (jwt(1e300), 0),
        ("opaque", 0),
        ("a.b.c", 0),
        ("", 0),
        ("a." + base64.urlsafe_b64encode(b"[1]").decode() + ".c", 0),
    ],
)
def test_when_a_token_ends(token, ends):
    assert token_end(token) == ends


def token_of(path: Path, source: str = "") -> Token:
    """A token that comes from a file."""
    conf = SimpleNamespace(path="Grid.conf", file=SimpleNamespace(check_own=lambda key: None))
    return Token(source or f"file:{path}", conf)


@pytest.mark.parametrize("source", ["", "env", "env:", "vault:x", "file"])
def test_a_source_of_tokens_is_one_of_four(source):
    with pytest.raises(UsageError, match="the token's source: env:NAME, file:PATH, cmd:COMMAND or oidc:ACCOUNT"):
        token_of(Path(), source or " ")


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("env:MY_TOKEN", "from-env"),
        ("cmd:echo from-command", "from-command"),
        ("cmd:printf 'a b'", None),
        ("env:NOTHING", None),
        ("cmd:false", None),
        ("file:/nowhere", None),
        ("cmd:/no/such/program", None),
    ],
)
def test_where_tokens_come_from(monkeypatch, source, value):
    monkeypatch.setenv("MY_TOKEN", "from-env\n")
    token = token_of(Path(), source)
    if value:
        assert token.value() == value and token_left(token, 0) == "does not say when it ends"
        return
    with pytest.raises(CredentialError) as caught:
        token.value()
    assert caught.value.passing and 0 < caught.value.pause <= TOKEN_PAUSE
    assert source.partition(":")[2] in str(caught.value)


@pytest.mark.parametrize(("left", "is_asked"), [(TOKEN_LIFE + 10, False), (TOKEN_LIFE - 10, True), (None, False)])
def test_a_token_is_asked_for_again_when_it_is_about_to_end(tmp_path, left, is_asked):
    path = tmp_path / "token"
    first, second = jwt(left and time.time() + left), jwt(time.time() + 9000)
    write_secret(path, first)
    token = token_of(path)
    assert token.value() == first
    write_secret(path, second)
    token.rest = 0  # the last attempt is long ago
    assert token.value() == (second if is_asked else first)


def test_a_source_without_news_is_left_alone_for_a_while(tmp_path):
    path = tmp_path / "token"
    first = jwt(time.time() + TOKEN_LIFE - 10)
    write_secret(path, first)
    token = token_of(path)
    assert token.value() == token.value() == first and token.rest > time.monotonic()
    write_secret(path, jwt(time.time() + 9000))
    assert token.value() == first  # it is good still, so nobody minds


def test_an_expired_token_is_not_shown_to_anybody(tmp_path):
    path = tmp_path / "token"
    write_secret(path, jwt(time.time() - 100))
    with pytest.raises(CredentialError, match=r"the token from file:.* expired 1m4\ds ago; renew it"):
        token_of(path).value()


def test_a_token_that_a_door_has_refused_is_replaced_once_the_source_has_another(tmp_path):
    path = tmp_path / "token"
    write_secret(path, "first")
    token = token_of(path)
    refused = token.value()
    assert token.renew(refused) == ""
    write_secret(path, "second")
    assert token.renew(refused) == "second" == token.value()
    assert token.renew(refused) == "second"  # as another thread has asked for it


@pytest.mark.parametrize(
    ("said", "means"),
    [
        ("Error: No account configured with that short name", "oidc-agent has no account lyon; --new_token makes one"),
        ("Error: account not loaded", "oidc-agent has not loaded the account lyon; load it: oidc-add lyon"),
        ("Error: did not receive any response", "oidc-agent does not run here; start it"),
        ("Error: invalid_grant: grant request is invalid\nMost likely the refresh token expired.", "the login of"),
        ("Error: the other party disconnected", "https://iam/ cannot be reached, or is none that logs in users"),
        ("Error: Could not get token endpoint from the configuration endpoint.", "https://iam/ cannot be reached"),
        ("Error: invalid_client: Bad client credentials", "https://iam/ does not take the client tool"),
        ("Error: invalid_request: client_secret must be provided in the Authorization header", "https://iam/ does not"),
        ("Error: invalid_scope: Invalid scopes: storage.read:/", "https://iam/ does not give the client"),
        ("Error: reached maximum number of tries", "the pass phrase of lyon is wrong; try again"),
        ("Error: access_denied", "nobody has agreed in the browser (access_denied); try again"),
        ("Error: new words", "oidc-agent gives no token for the account lyon; it says: new words"),
        ("", "oidc-agent gives no token for the account lyon; it says: nothing"),
    ],
)
def test_what_oidc_agent_says_and_what_it_means(said, means):
    site = SITE._replace(issuer="https://iam/", client_id="tool")
    error = agent_error(said, "lyon", site)
    assert isinstance(error, CredentialError) and str(error).startswith(means)


def test_what_oidc_agent_says_shows_no_token():
    assert "eyJhbGciOiJSUzI1NiJ9" not in str(agent_error("Error: odd eyJhbGciOiJSUzI1NiJ9.eyJzdWIi.c2ln", "lyon"))


@pytest.mark.parametrize(("name", "token", "account"), [
    ("LYON", "", "lyon"), ("My Site", "", "my_site"), ("-f", "", "_f"), ("LYON", "oidc:mine", "mine"),
    ("LYON", "file:~/.cta_token", "lyon"),
])  # fmt: skip
def test_the_account_of_a_site(name, token, account):
    assert account_for(SITE._replace(name=name, token=token)) == account
