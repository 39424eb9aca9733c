"""URLs, and the web proxy on the way to them."""

from __future__ import annotations

import base64

import pytest

from gridsync_parts.doors.relay import Relay, relay_named
from gridsync_parts.doors.urls import compose, mask_url, netloc_of, own_path
from gridsync_parts.errors import FileError, UsageError


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://a/b", "https://a/b"),
        ("https://a/b?x=1", "https://a/b?..."),
        ("https://a/b?x?y", "https://a/b?..."),
        ("https://a/b?", "https://a/b?..."),
        ("", ""),
    ],
)
def test_the_query_of_a_url_is_not_shown(url, shown):
    assert mask_url(url) == shown


@pytest.mark.parametrize(
    ("url", "netloc"),
    [
        ("https://a/b", ("a", 443)),
        ("davs://A:1/b", ("a", 1)),
        ("davs://a", ("a", 443)),
        ("http://a", ("a", 80)),
        ("https://[::1]:2/b", ("::1", 2)),
        ("https://me@a/b", ("a", 443)),
        ("/b", ("", 80)),
    ],
)
def test_where_a_url_leads(url, netloc):
    assert netloc_of(url) == netloc


@pytest.mark.parametrize("url", ["https://a:99999/b?secret", "https://a:x/", "https://[::1/"])
def test_a_url_that_is_none_is_told_without_its_query(url):
    with pytest.raises(FileError, match="is not a URL: ") as caught:
        netloc_of(url)
    assert "secret" not in str(caught.value)


APART, TOGETHER = "u%CC%88", "%C3%BC"  # both are an umlaut


@pytest.mark.parametrize(
    ("target", "followed"),
    [
        (f"https://pool:1/a/{TOGETHER}?x=1", f"https://pool:1/a/{APART}?x=1"),  # by the name that was asked for
        (f"https://pool:1/a/{APART}?x=1", f"https://pool:1/a/{APART}?x=1"),
        ("https://pool:1/other?x=1", "https://pool:1/other?x=1"),  # it is elsewhere
    ],
)
def test_a_pool_is_asked_by_the_name_that_the_door_was_asked_by(target, followed):
    assert own_path(f"https://door/a/{APART}", target) == followed
    assert compose(APART) == compose(TOGETHER) == "\u00fc"


# The web proxy of the environment.


@pytest.fixture
def environment(monkeypatch):
    """An environment that names these."""

    def make(**names: str) -> None:
        for name in ("https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY", "all_proxy", "http_proxy"):
            monkeypatch.delenv(name, raising=False)
        for name, value in names.items():
            monkeypatch.setenv(name, value)

    return make


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("http://relay:3128", ("relay", 3128)),
        ("relay:3128", ("relay", 3128)),
        ("http://relay/", ("relay", 80)),
        ("relay", ("relay", 80)),
        ("http://me:secret@relay:1", ("relay", 1)),
    ],
)
def test_a_web_proxy_is_named_by_the_environment(environment, url, place):
    environment(HTTPS_PROXY=url)
    relay = relay_named()
    assert relay and (relay.host, relay.port) == place
    known_by = base64.b64encode(b"me:secret").decode()
    assert relay.headers.get("Proxy-Authorization") == (f"Basic {known_by}" if "me:" in url else None)


@pytest.mark.parametrize("names", [{}, {"HTTPS_PROXY": ""}, {"http_proxy": "http://relay"}])
def test_there_may_be_none(environment, names):
    environment(**names)
    assert relay_named() is None


@pytest.mark.parametrize(
    "url", ["https://relay", "socks5://relay", "http://relay/path", "http://:1", "http://[::1", "http://a:x"]
)
def test_one_that_can_not_be_used_is_told_and_not_shown(environment, url):
    environment(HTTPS_PROXY=url)
    with pytest.raises(UsageError, match="HTTPS_PROXY does not name a web proxy that gridsync can use") as caught:
        relay_named()
    assert url not in str(caught.value)


@pytest.mark.parametrize(
    ("without", "host", "is_for"),
    [
        ("", "door.example.org", True),
        ("example.org", "door.example.org", False),
        ("door.example.org:2880", "door.example.org", False),
        ("door.example.org:1", "door.example.org", True),
        ("other.org", "door.example.org", True),
        ("*", "a", False),
    ],
)
def test_some_hosts_are_reached_without_it(without, host, is_for):
    assert Relay("relay", 1, {}, {"no": without}).is_for(host, 2880) is is_for
