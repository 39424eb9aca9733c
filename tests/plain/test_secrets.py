"""What was shown at a door, kept out of what is said."""

from __future__ import annotations

from gridsync_parts.secrets import MANY_ROWS, Secrets


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
