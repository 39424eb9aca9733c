"""Proxies, made with the real VOMS clients at a real VOMS server, and tokens: what is taken and what is said."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import stat
import subprocess
import time
from pathlib import Path

import pytest

from gridsync_parts.errors import UsageError
from gridsync_parts.keys.proxy import read_proxy
from gridsync_parts.keys.token import Token, token_end
from gridsync_parts.settings import Config
from tests.grid import Grid
from tests.grid.pki import PASSPHRASE
from tests.support import SCRIPT
from tests.support.user import CLIENTS, User, write_secret


@pytest.mark.parametrize("client", CLIENTS)
def test_a_new_proxy_is_of_the_vo_for_72_hours_and_opens_the_door(as_user, client):
    user = as_user("alice", client)
    status, out, err = user("--new_proxy", PASSPHRASE)
    port = user.grid.voms.port
    path = user.env["X509_USER_PROXY"]
    assert (status, err) == (0, "")
    assert re.fullmatch(
        rf'Contacting localhost:{port} \[/DC=.*/CN=localhost\] "vo\.agata\.org"\.\.\.\n'
        rf"Remote VOMS server contacted succesfully\.\n\n\nCreated proxy in {path}\.\n\n"
        r"Your proxy is valid until \w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d UTC \d{4}\n",
        out,
    )
    proxy = read_proxy(path)
    assert proxy.vo == "vo.agata.org"
    for ends in (proxy.ends, proxy.attribute_ends):
        assert abs(ends - time.time() - 72 * 3600) < 120
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert user("--ls_dir e680").status == 0
    shown = user("--proxy_status")
    assert shown.status == 0 and "VO                  : vo.agata.org\n" in shown.out and "71h5" in shown.out
    assert "subject             : /DC=org/DC=agata-test/O=IJCLab/CN=Alice Physicist\n" in shown.out


def old_proxy(user: User) -> bytes:
    """A proxy that is there already, and what is in it."""
    shutil.copy(user.grid.pki.proxy("good"), user.env["X509_USER_PROXY"])
    return Path(user.env["X509_USER_PROXY"]).read_bytes()


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    ("name", "typed", "says"),
    [
        ("alice", "wrong", "the pass phrase of your key is wrong; try again"),
        ("bob", PASSPHRASE, "you are not a member of vo.agata.org, or this certificate"),
        ("dave", PASSPHRASE, "vo.agata.org has suspended your membership (Membership has to be renewed)"),
        ("carol", PASSPHRASE, "your certificate expired on "),
    ],
)
def test_what_goes_wrong_is_said_and_the_old_proxy_stays(as_user, client, name, typed, says):
    user = as_user(name, client)
    before = old_proxy(user)
    status, out, err = user("--new_proxy", typed)
    assert status == 3 and says in err and err.count("\n") == 1 and "Created proxy" not in out
    assert Path(user.env["X509_USER_PROXY"]).read_bytes() == before
    assert not list(Path(user.env["X509_USER_PROXY"]).parent.glob("proxy.*"))


@pytest.mark.parametrize("client", CLIENTS)
def test_a_certificate_that_is_about_to_end_gives_a_shorter_proxy_and_a_word_about_it(as_user, client):
    status, out, err = as_user("erin", client)("--new_proxy", PASSPHRASE)
    assert status == 0 and "Your proxy is valid until" in out
    assert err == "It is shorter than PROXY_HOURS: your certificate expires then; ask your CA for a new one\n"


@pytest.mark.long
def test_an_attribute_that_the_server_cuts_short_is_said(as_user):
    user = as_user("alice")
    with user.grid.voms.at_most(hours=12):
        status, out, err = user("--new_proxy", PASSPHRASE)
    assert status == 0 and "Your proxy is valid until" in out
    assert re.fullmatch(r"Its vo\.agata\.org membership lasts 1[12]h\d\dm: the server allows no more, .*\n", err)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_server_that_can_not_be_reached_is_named(as_user, client):
    user = as_user("alice", client)
    with user.grid.voms.down():
        status, _, err = user("--new_proxy", PASSPHRASE)
    assert status == 3 and f"the VOMS server localhost:{user.grid.voms.port} cannot be reached" in err


def test_a_key_that_others_can_read_is_refused_with_the_remedy(as_user):
    user = as_user("alice")
    key = Path(user.env["HOME"], ".globus/userkey.pem")
    key.chmod(0o644)
    status, _, err = user("--new_proxy", PASSPHRASE)
    assert status == 3 and err == f"gridsync.py: others can read your key {key}; chmod 600 {key}\n"


@pytest.mark.parametrize(("command", "place"), [("./gridsync.py", SCRIPT.parent), (SCRIPT, "/"), ("gridsync", "/")])
def test_without_a_certificate_the_line_to_type_is_named(as_user, tmp_path, command, place):
    """One that can be typed there: in a copy of the repository, elsewhere, and with both programs on PATH."""
    user = as_user("alice")
    shutil.rmtree(Path(user.env["HOME"], ".globus"))
    if command == "gridsync":
        (tmp_path / "bin" / command).symlink_to(SCRIPT)
        shutil.copy(SCRIPT.with_name("gen_cert.sh"), tmp_path / "bin")
    run = {"cwd": place, "env": user.env, "capture_output": True, "text": True, "check": False}
    done = subprocess.run([command, "--new_proxy"], **run)
    remedy = re.search(r"by your browser: (\S*gen_cert\.sh) FILE\.p12\n$", done.stderr)
    assert done.returncode == 3 and remedy, done.stderr
    assert subprocess.run(["bash", "-c", remedy[1]], **run).stderr.startswith("usage: ")


def test_without_a_client_its_package_is_named(as_user, tmp_path):
    user = as_user("alice")
    status, _, err = user("--new_proxy", PASSPHRASE, PATH=str(tmp_path / "empty"))
    assert status == 3 and "voms-proxy-init is not installed; on Debian: apt install voms-clients" in err


def test_the_pass_phrase_is_neither_seen_by_ps_nor_on_the_screen(as_user):
    user = as_user("alice")
    spy = Path(user.env["PATH"].split(":")[0], "voms-proxy-init")
    spy.unlink()
    spy.write_text('#!/bin/sh\necho "$0 $*" >"$HOME/seen"; env >>"$HOME/seen"; exec voms-proxy-init2 "$@"\n')
    spy.chmod(0o755)
    status, out, err = user("--new_proxy", PASSPHRASE, BEARER_TOKEN="hush")
    seen = Path(user.env["HOME"], "seen").read_text()
    assert status == 0 and "--pwstdin" in seen
    for secret in (PASSPHRASE, "hush"):
        assert secret not in seen + out + err


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("expired", "expired "),
        ("expired_attribute", "the vo.agata.org membership in your proxy .* expired "),
        ("other_vo", "is for other.vo, not vo.agata.org"),
        ("plain", "is a plain certificate without VO membership"),
    ],
)
@pytest.mark.parametrize("line", ["--proxy_status", "--ls_dir", "--input_dir e680 --build_list"])
def test_a_proxy_that_no_door_would_take_is_seen_before_it_is_shown(user, kind, says, line):
    user.grid.door.log.clear()
    status, _, err = user(line, X509_USER_PROXY=str(user.grid.pki.proxy(kind)))
    assert status == 3 and re.search(says, err) and "make a new one with --new_proxy" in err and err.count("\n") == 1
    assert user.grid.door.log.count() == 0


@pytest.mark.parametrize("kind", ["good", "expired", "expired_attribute", "other_vo", "plain"])
def test_what_is_read_in_a_proxy_is_what_voms_proxy_info_says(grid: Grid, kind):
    path = str(grid.pki.proxy(kind))
    proxy = read_proxy(path)

    def info(option: str) -> str:
        command = ["voms-proxy-info2", "-file", path, option]
        return subprocess.run(command, env=grid.env, capture_output=True, text=True, check=False).stdout.strip()

    now = time.time()
    assert abs(max(0, proxy.ends - now) - int(info("-timeleft"))) < 5
    assert proxy.vo == info("-vo")
    assert abs(max(0, proxy.attribute_ends - now) - int(info("-actimeleft") or 0)) < 5
    assert proxy.subject == info("-subject")


@pytest.mark.every(1)
@pytest.mark.parametrize("text", ["", "garbage", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"])
def test_a_file_that_is_no_proxy_is_said_to_be_none(user, tmp_path, text):
    write_secret(tmp_path / "proxy", text)
    status, _, err = user("--ls_dir", X509_USER_PROXY=str(tmp_path / "proxy"))
    assert status == 3 and "contains no certificate" in err and err.count("\n") == 1


def jwt(seconds: float) -> str:
    """Something that looks like a token and ends then."""
    claims = base64.urlsafe_b64encode(json.dumps({"exp": time.time() + seconds}).encode()).decode().rstrip("=")
    return f"e30.{claims}.c2ln"


def test_tokens_come_from_where_grid_conf_says(tmp_path, monkeypatch):
    write_secret(tmp_path / "token", jwt(600) + "\n")
    monkeypatch.setenv("MY_TOKEN", jwt(700))
    for source, left in (("env:MY_TOKEN", 700), (f"file:{tmp_path}/token", 600), (f"cmd:cat {tmp_path}/token", 600)):
        token = Token(source, Config(str(tmp_path)))
        assert abs(token_end(token.value()) - time.time() - left) < 5


def test_a_renewed_token_is_picked_up(tmp_path):
    write_secret(tmp_path / "token", jwt(5))
    token = Token(f"file:{tmp_path}/token", Config(str(tmp_path)))
    token.value()
    (tmp_path / "token").write_text(jwt(600))
    assert token_end(token.value()) > time.time() + 500


def test_a_refused_token_is_replaced_for_every_thread_that_was_refused(tmp_path):
    write_secret(tmp_path / "token", "old")
    token = Token(f"file:{tmp_path}/token", Config(str(tmp_path)))
    refused = token.value()
    assert token.renew(refused) == ""
    (tmp_path / "token").write_text("new")
    assert [token.renew(refused), token.renew(refused)] == ["new", "new"]


@pytest.mark.every(1)
@pytest.mark.parametrize("source", ["eyJhbGciOi.the.token", "env:", "https://x", "cmd"])
def test_a_token_itself_is_refused_and_not_shown(source, tmp_path):
    with pytest.raises(UsageError) as caught:
        Token(source, Config(str(tmp_path)))
    assert "the.token" not in str(caught.value)


def test_the_status_of_a_token_site_says_where_from_and_until_when(user):
    user.set("TOKEN", "env:MY_TOKEN")
    status, out, _ = user("--proxy_status", MY_TOKEN=jwt(7200))
    assert status == 0 and "token from          : env:MY_TOKEN\n" in out and "1h59m left" in out
    status, out, err = user("--proxy_status", MY_TOKEN=jwt(-60))
    assert status == 3 and "the token from env:MY_TOKEN expired 1m" in err
    assert user("--proxy_status").status == 3
