"""Which credential a site is shown: the keys of Grid.conf, WLCG's places in their order, and a proxy that is named."""

from __future__ import annotations

import base64
import json
import os
import time
from pathlib import Path

import pytest

from gridsync_parts.errors import CredentialError, UsageError
from gridsync_parts.keys import shown
from gridsync_parts.keys.shown import places_of, settled, token_of
from gridsync_parts.keys.token import Claims, claims_of
from gridsync_parts.kinds import needs_proxy
from gridsync_parts.settings import Config
from gridsync_parts.table import Site
from tests.support.user import write_secret

NAMES = ("BEARER_TOKEN", "BEARER_TOKEN_FILE", "XDG_RUNTIME_DIR", "X509_USER_PROXY")


def jwt(**claims: object) -> str:
    """A token that says this."""
    return f"e30.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.c2ln"


@pytest.fixture
def here(tmp_path: Path, monkeypatch) -> Path:
    """A folder that stands for a machine without tokens and proxies."""
    for name in NAMES:
        monkeypatch.setenv(name, "")  # so that it is put back
        monkeypatch.delenv(name)
    monkeypatch.setattr(shown, "TMP", str(tmp_path / "tmp"))
    monkeypatch.setattr(shown, "proxy_file", lambda: os.environ.get("X509_USER_PROXY") or str(tmp_path / "x509up"))
    for folder in ("tmp", "run"):
        (tmp_path / folder).mkdir()
    return tmp_path


def lying(here: Path, *places: str, text: str = "opaque") -> dict[str, str]:
    """Put a token into some of WLCG's places; the sources that they are, by the names of the places."""
    user = os.getuid()
    paths = {"file": here / "token", "run": here / f"run/bt_u{user}", "tmp": here / f"tmp/bt_u{user}"}
    os.environ["XDG_RUNTIME_DIR"] = str(here / "run")
    if "env" in places:
        os.environ["BEARER_TOKEN"] = text
    if "file" in places:
        os.environ["BEARER_TOKEN_FILE"] = str(paths["file"])
    for name in set(places) & {*paths}:
        write_secret(paths[name], text)
    return {"env": "env:BEARER_TOKEN", **{name: f"file:{path}" for name, path in paths.items()}}


def site_in(here: Path, more: str = "", server: str = "https://a/") -> tuple[Site, Config]:
    """A site of a Grid.conf."""
    write_secret(here / "Grid.conf", f"[gridsync]\nSITE = A\n[A]\nSERVER = {server}\n{more}\n")
    conf = Config(str(here))
    return conf.site("A"), conf


@pytest.mark.parametrize(
    "places", [("env", "file", "run", "tmp"), ("file", "run", "tmp"), ("run", "tmp"), ("tmp",)], ids="/".join
)
def test_tokens_are_looked_for_in_the_order_of_wlcg(here, places):
    sources = lying(here, *places)
    assert list(places_of()) == [sources[name] for name in places]


def test_a_place_with_nothing_in_it_is_passed_over(here, monkeypatch):
    lying(here, "run", "tmp")
    monkeypatch.setenv("BEARER_TOKEN", " ")
    monkeypatch.setenv("BEARER_TOKEN_FILE", str(here / "nowhere"))
    (here / f"run/bt_u{os.getuid()}").write_text("")
    assert list(places_of()) == [f"file:{here}/tmp/bt_u{os.getuid()}"]


def test_a_link_in_tmp_is_nobodys_token(here):
    lying(here)
    write_secret(here / "secret", "mine")
    (here / f"tmp/bt_u{os.getuid()}").symlink_to(here / "secret")
    assert list(places_of()) == []


@pytest.mark.parametrize(
    ("proxy", "more", "expected", "why"),
    [
        ("", "", "token", "it lies where WLCG looks, and X509_USER_PROXY names no proxy"),
        ("default", "", "token", "it lies where WLCG looks"),
        ("named", "", "proxy", "X509_USER_PROXY names it, so it is shown and not the token from env:BEARER_TOKEN"),
        ("gone", "", "token", "it lies where WLCG looks"),
        ("named", "CREDENTIAL = token", "token", "CREDENTIAL of [A] is token"),
        ("", "CREDENTIAL = proxy", "proxy", "CREDENTIAL of [A] is proxy"),
        ("named", "CREDENTIAL = none", "nothing", "CREDENTIAL of [A] is none"),
        ("named", "TOKEN = env:MINE", "own", "TOKEN of [A] names it"),
        ("", "ENGINE = gfal2", "proxy", ""),
    ],
)
def test_what_is_shown_and_why(here, monkeypatch, proxy, more, expected, why):
    lying(here, "env")
    write_secret(here / ("x509up" if proxy == "default" else "proxy"), "a proxy")
    if proxy in ("named", "gone"):
        monkeypatch.setenv("X509_USER_PROXY", str(here / ("proxy" if proxy == "named" else "nowhere")))
    site, conf = site_in(here, more)
    site, told = settled(site, conf)
    token = token_of(site, conf)
    assert told.startswith(why) and bool(told) == bool(why)
    assert (token.source if token else None) == {"token": "env:BEARER_TOKEN", "own": "env:MINE"}.get(expected)
    assert needs_proxy(site) == (expected == "proxy")
    assert settled(site, conf)[0] == site


def test_a_token_that_was_found_is_only_for_servers_that_the_user_has_chosen(here):
    lying(here, "env")
    site, conf = site_in(here)
    told_of = site._replace(name="evil.example.org", server="https://evil.example.org")
    assert settled(told_of, conf)[0] == told_of
    known = site._replace(name="LYON", server="https://ccdavegee.in2p3.fr:2880")
    assert settled(known, conf)[0].token == "env:BEARER_TOKEN"


@pytest.mark.parametrize("server", ["http://a/", "root://a/", "sftp://a/", "file:///a"])
def test_a_token_that_was_found_goes_nowhere_else(here, server):
    lying(here, "env")
    site, conf = site_in(here, server=server)
    assert settled(site, conf) == (site, "")


@pytest.mark.parametrize("has_proxy", [True, False])
@pytest.mark.parametrize("kind", ["over", "open", "none", "doubt"])
def test_a_token_that_is_no_use_is_named_unless_there_is_a_proxy(here, kind, has_proxy):
    text = {"over": jwt(exp=time.time() - 90), "none": "two words"}.get(kind, "opaque")
    source = lying(here, "tmp", text=text)
    site, conf = site_in(here)
    path = here / f"tmp/bt_u{os.getuid()}"
    if kind == "open":
        path.chmod(0o644)
    if kind == "doubt":
        (here / "Grid.conf").chmod(0o666)
        conf = Config(str(here))
    says = {
        "over": f"the token from {source['tmp']} expired 1m3",
        "open": f"others can read your token {path}; chmod 600 {path}",
        "none": f"{source['tmp']} gives no usable token",
        "doubt": f"TOKEN is not used because others can write {here}/Grid.conf",
    }[kind]
    if has_proxy:
        write_secret(here / "x509up", "a proxy")
        settled_site, why = settled(site, conf)
        assert settled_site == site and why.startswith(f"the token that was found is not used: {says}")
        return
    with pytest.raises(UsageError if kind == "doubt" else CredentialError) as caught:
        token_of(settled(site, conf)[0], conf).value()
    assert str(caught.value).startswith(says)


def test_where_a_token_must_be_and_there_is_none_the_places_are_named(here):
    site, conf = settled(*site_in(here, "CREDENTIAL = token"))[0], Config(str(here))
    assert not needs_proxy(site)
    with pytest.raises(CredentialError) as caught:
        token_of(site, conf)
    user = os.getuid()
    assert str(caught.value) == (
        f"no token was found in BEARER_TOKEN, BEARER_TOKEN_FILE, $XDG_RUNTIME_DIR/bt_u{user} and /tmp/bt_u{user}; "
        "renew yours, or set TOKEN of [A]"
    )


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("TOKEN = env:A\nCREDENTIAL = proxy", r"\[A\] has two credentials, TOKEN and CREDENTIAL = proxy; remove one"),
        ("TOKEN = env:A\nCREDENTIAL = none", r"\[A\] has two credentials, TOKEN and CREDENTIAL = none; remove one"),
        ("CREDENTIAL = all", r"CREDENTIAL of \[A\] is 'all'; expected auto, proxy, token or none"),
        ("ISSUER = http://iam/", r"ISSUER of \[A\] is 'http://iam/'; it must be an https URL"),
        ("ISSUER = iam", r"ISSUER of \[A\] is 'iam'; expected a URL"),
        ("ENGINE = gfal2\nCREDENTIAL = token", "gfal2 would show the TOKEN of .A. to any host"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(here, more, says):
    with pytest.raises(UsageError, match=says):
        site_in(here, more)


def test_what_a_token_says_of_itself():
    full = jwt(iss="https://iam/", sub="alice", scope="storage.read:/ openid", aud=["https://a", "b"], exp=1000)
    assert claims_of(full) == Claims("https://iam/", "alice", "storage.read:/ openid", "https://a b", 1000)
    assert claims_of(jwt(aud="a", exp="soon", sub=7, scope=None)) == Claims(audience="a")
    assert claims_of("opaque") == claims_of(jwt()) == Claims()
