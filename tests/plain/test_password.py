"""Where the login of a site comes from that wants user name and password."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from gridsync_parts.errors import CredentialError
from gridsync_parts.keys import password
from gridsync_parts.keys.password import Login, find_login, host_and_user, login_in_keyring, login_in_netrc
from gridsync_parts.table import Site
from tests.support.user import write_secret

HOST = "ftp.example.org"


def site(server: str) -> Site:
    return Site("BEAM", server)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "keyring", None)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: False))


@pytest.mark.parametrize(("text", "user", "found"), [
    (f"machine {HOST} login me password hush", "", Login("me", "hush", "~/.netrc")),
    (f"machine {HOST} login me password hush", "me", Login("me", "hush", "~/.netrc")),
    (f"machine {HOST} login me", "", None),  # whoever tried it would lose one of few attempts
    (f"machine {HOST} login me password hush", "other", None),
    (f'machine {HOST}\n  login me\n  password "two words"\n', "", Login("me", "two words", "~/.netrc")),
    ("machine other.example.org login me password hush", "", None),
    ("default login anonymous password me@example.org", "", None),
    (f"machine {HOST} password hush", "", None),
    ("", "", None),
])
def test_a_login_is_that_of_the_host_and_user(tmp_path, text, user, found):
    write_secret(tmp_path / ".netrc", text)
    assert login_in_netrc(HOST, user) == found


def test_a_netrc_that_makes_no_sense_is_told_without_a_word_of_it(tmp_path):
    write_secret(tmp_path / ".netrc", f"machine {HOST} login me\nhush hush\n")
    with pytest.raises(CredentialError, match=r"\.netrc: line 2 cannot be understood; correct it$"):
        login_in_netrc(HOST, "")


def test_a_netrc_that_others_can_read_is_refused(tmp_path):
    write_secret(tmp_path / ".netrc", f"machine {HOST} login me password hush")
    (tmp_path / ".netrc").chmod(0o640)
    with pytest.raises(CredentialError, match=r"others can read the file of passwords .*\.netrc; chmod 600"):
        find_login(site(f"ftps://{HOST}/"))


def test_a_keyring_without_one_or_that_fails_gives_nothing(monkeypatch):
    def fail(*_: object) -> None:
        raise RuntimeError("it is locked")

    assert login_in_keyring(HOST, "me") is None
    for get in (fail, lambda *_: None, lambda *_: SimpleNamespace(username=None, password="hush")):
        monkeypatch.setitem(sys.modules, "keyring", SimpleNamespace(get_credential=get))
        assert login_in_keyring(HOST, "") is None
    assert login_in_keyring(HOST, "me") == Login("me", "hush", "the keyring")


def test_who_is_at_no_terminal_is_told_what_to_do():
    with pytest.raises(CredentialError, match=rf"`machine {HOST} login NAME password PASSWORD` .* write NAME@ before"):
        find_login(site(f"ftps://{HOST}/"))
    with pytest.raises(CredentialError, match=rf"login me password .* `keyring set {HOST} me`, or call"):
        find_login(site(f"ftps://me@{HOST}/"))


def test_what_is_typed_is_asked_for_once_until_it_was_wrong(monkeypatch):
    asked: list[str] = []
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr(password, "password_typed", lambda prompt: asked.append(prompt) or "hush")
    beam = site(f"ftps://m%40e@{HOST}:2121/")
    assert host_and_user(beam) == (HOST, "m@e")
    for _ in range(2):
        assert find_login(beam) == Login("m@e", "hush", "the prompt")
    assert asked == [f"Password of m@e at {HOST}: "]
    password.forget_typed(beam)
    assert find_login(beam).password == "hush" and len(asked) == 2
    password.forget_typed(beam)
