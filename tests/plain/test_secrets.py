"""What was shown at a door, kept out of what is said."""

from __future__ import annotations

import base64
import hashlib

import pytest

from gridsync_parts.secrets import MANY_ROWS, Secrets, make_printable
from tests.support.constants import replace


def test_a_text_that_repeats_nothing_stays_as_it_is():
    secrets = Secrets()
    secrets.note("https://pool:1/agata/e680/run_0001/a.root?path=/agata/e680/run_0001/a.root&uuid=0123456789abcdef")
    secrets.note("https://pool.example.org:1/a?ref=https%3A%2F%2Fdoor.example.org%3A2880%2F&left=86400")
    secrets.note("abcdefgh-IJKLMNOP.qrstuvwx")
    for text in (
        "https://door.example.org:2880/agata/e680/run_0001/a.root: has 10 bytes now, but 11 in the catalog",
        "=> adding: 19.5 kB e680/Bearer/eyJ/100%/a?b=c.root", "token from env:MY_TOKEN", "abcdefgh qrstuvwx",
    ):  # fmt: skip
        assert secrets.masked(text) == text
    assert secrets.masked("no 0123456789abcdef") == "no ..."
    assert secrets.masked("(ABCDEFGHIJKLMNOPqr) abcdefghIJKLMNOP") == "(ABCDEFGHIJKLMNOPqr) ..."


def test_of_many_secrets_the_latest_are_known():
    secrets = Secrets()
    for number in range(5000):
        secrets.note("token-of-the-user-1234567890")
        secrets.note(f"https://pool/a?uuid={number:032d}")
        if number % 10 == 0:
            assert secrets.masked(f"no {number:032d}!") == "no ...!"
    assert secrets.masked("token-of-the-user-1234567890") == "..."
    assert len(secrets.rows) + len(secrets.older) < 3 * MANY_ROWS and len(secrets.noted) <= 512


TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        # What looks like a secret, whoever has made it.
        (f"got {TOKEN}!", "got ...!"),
        ("eyJabc", "eyJabc"),  # too short for one
        ("MDAx" + "a" * 40, "..."),
        ("MDAx" + "a" * 35, "MDAx" + "a" * 35),
        ("https://a/b?authz=abcdefgh&c=d e", "https://a/b?... e"),
        ("https://a/b?x=1", "https://a/b?..."),
        ("https://a/b", "https://a/b"),
        ("Authorization: Bearer abcdefghijkl", "Authorization: Bearer ..."),
        ("bearer%20abcdefghijkl", "bearer%20..."),
        ("BEARER+abcdefghijkl,x", "BEARER+...,x"),
        ("Bearer abcdefghijk", "Bearer abcdefghijk"),  # eleven letters are a word
        ('{"access_token": "abcdefghijkl"}', '{"access_token": "..."}'),
        ("refresh_token=abcdefghijkl&x", "refresh_token=...&x"),
        ("id_token%3Dabcdefghijkl", "id_token%3D..."),
        ("token abcdefghijkl", "token abcdefghijkl"),
    ],
)
def test_what_looks_like_a_secret_is_not_shown(text, shown):
    assert Secrets().masked(text) == shown


SECRET = "0123456789-abcdefGHIJ"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"it is {SECRET}.", "it is ...."),
        (f"it is {SECRET[5:17]}.", f"it is {SECRET[5:17]}."),  # eleven letters and digits in a row are chance
        (f"it is {SECRET[5:18]}.", "it is ...."),
        ("it is 0123456789abcdefGHIJ.", "it is ...."),  # whatever stands between
        ("it is 0123 4567 89ab cdef GHIJ.", "it is ...."),
        ("it is 0123456789%2Dabcdef%47HIJ.", "it is ...."),
        ("it is 0123456789%252Dabcdef%2547HIJ.", "it is ...."),
        ("it is 0123456789\\u002dabcdef\\u0047HIJ.", "it is ...."),
        ("it is 0123456789\\nabcdefGHIJ.", "it is ...."),
        ("it is 0123456789&amp;abcdefGHIJ.", "it is ...."),
        ("it is 0123456789ABCDEFghij.", "it is 0123456789ABCDEFghij."),  # another one
        (f"{SECRET} {SECRET}", "... ..."),
        (f"{SECRET} and {SECRET}", "... and ..."),
        (base64.b64encode(SECRET.encode()).decode(), "..."),
        (base64.b64encode(b"me:" + SECRET.encode()).decode()[4:], "..."),
        ("it is 0123456789%E9abcdefGHIJ.", "it is ...."),
        ("89abcdefGHIJ", "..."),
        ("9abcdefGHIJ", "9abcdefGHIJ"),
        ("nothing of it", "nothing of it"),
        ("", ""),
    ],
)
def test_what_was_shown_at_a_door_is_not_shown_again(text, shown):
    secrets = Secrets()
    secrets.note(SECRET)
    assert secrets.masked(text) == shown
    assert secrets.are_in(text) is (shown != text)


def test_of_a_url_the_query_is_secret_and_the_place_is_not():
    secrets = Secrets()
    secrets.note(
        "https://pool.example.org:1/agata/run_0001_of_e680?uuid=0123456789abcdef&back=https://door.example.org/x"
    )
    for text in ("pool.example.org:1/agata/run_0001_of_e680", "https://door.example.org/x", "uuid="):
        assert secrets.masked(text) == text
    for text in ("uuid is {}", "uuid={}"):
        assert secrets.masked(text.format("0123456789abcdef")) == text.format("...")
    secrets.note("https://pool.example.org:1/agata?abcdef0123456789")
    assert secrets.masked("(abcdef0123456789)") == "(...)"
    assert not Secrets().are_in("nobody has shown anything")


def test_a_token_that_is_known_is_not_taken_apart_again():
    secrets = Secrets()
    for _ in range(3):
        secrets.note(SECRET)
        assert secrets.are_in(SECRET)
    assert secrets.tokens == {SECRET} and not secrets.noted


def test_older_secrets_stay_known_for_a_while(monkeypatch):
    replace(monkeypatch, "MANY_ROWS", 50)
    secrets = Secrets()
    tokens = [hashlib.md5(bytes(number)).hexdigest() for number in range(8)]
    for token in tokens:
        secrets.note(token)
        assert secrets.are_in(token)
    assert [secrets.are_in(token) for token in tokens] == [False] * 6 + [True] * 2
    assert [secrets.masked(token) == "..." for token in tokens] == [False] * 6 + [True] * 2


@pytest.mark.parametrize(
    ("text", "shown"),
    [("plain ä", "plain ä"), ("a\x1b[31mb", "a\\x1b[31mb"), ("a\nb\tc", "a\\nb\\tc"), ("a\u202eb", "a\\u202eb"),
     ("a\udcffb", "a\\udcffb"), (f"{TOKEN}\x07", "...\\x07")],
)  # fmt: skip
def test_what_a_terminal_would_obey_is_written_out(text, shown):
    assert make_printable(text) == shown
