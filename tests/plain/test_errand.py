"""Which site a URL on the command line means, and what of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gridsync_parts.errand import errand_of
from gridsync_parts.errors import UsageError
from gridsync_parts.settings import Config
from gridsync_parts.table import Site

CONF = """\
[gridsync]
SITE = FAR
INPUTDIR = elsewhere
INCLUDE = x
[NEAR]
SERVER = https://a.example.org:2880/
BASE_DIR_ON_GRID = agata/e680/
[FAR]
SERVER = davs://a.example.org:2880/
BASE_DIR_ON_GRID = agata/
TOKEN = env:MY_TOKEN
[TWIN]
SERVER = https://a.example.org:2880/agata/
[SSH]
SERVER = sftp://bob@s.example.org/
[PLAIN]
SERVER = http://h.example.org/
[ROOT]
SERVER = root://r.example.org/
[DAV]
SERVER = https://d.example.org/web%20dav/
BASE_DIR_ON_GRID = vo/
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.setenv("X509_USER_PROXY", str(tmp_path / "proxy"))
    (tmp_path / "Grid.conf").write_text(CONF)
    return Config(str(tmp_path))


@pytest.mark.parametrize(
    ("url", "site", "folder"),
    [
        ("https://a.example.org:2880/agata/e680/run", "NEAR", "run"),  # the longest base
        ("https://a.example.org:2880/agata/e690/run", "FAR", "e690/run"),  # of two that fit the chosen one
        ("davs://A.example.org:2880/agata/e690/", "FAR", "e690"),
        ("https://a.example.org:2880/agata/e680", "NEAR", "/"),
        ("https://d.example.org:443/web%20dav/vo/a", "DAV", "a"),
        ("root://r.example.org:1094//data/a", "ROOT", "data/a"),
        ("sftp://bob@s.example.org:22/home/bob", "SSH", "home/bob"),
        ("sftp://s.example.org/home/bob", "SSH", "home/bob"),
        ("https://xfer-archive.cr.cnaf.infn.it:8443/agata/a%2520b%20c", "CNAF", "a%20b c"),  # known without a section
    ],
)
def test_a_site_that_is_known(config: Config, url, site, folder):
    given, _ = errand_of([url, "here"], ["sync"], {"THREADS": "2", "INCLUDE": "y"}, config)
    here = given.pop("OUTPUTDIR")
    assert given == {"SITE": site, "INPUTDIR": folder, "INCLUDE": "y", "EXCLUDE": "", "THREADS": "2"}
    assert here.endswith("/here") and not config.made


@pytest.mark.parametrize(
    ("url", "server", "base", "folder"),
    [
        ("https://a.example.org/agata/e680/run", "https://a.example.org", "agata/e680", "run"),  # another port
        ("https://door.example.org:2880/run/", "https://door.example.org:2880", "", "run"),
        ("https://Door.example.org/", "https://door.example.org", "", "/"),
        ("http://r.example.org/data/a", "http://r.example.org", "data", "a"),  # ROOT is on another port
        ("sftp://h.example.org/data/a", "sftp://h.example.org", "data", "a"),
        ("sftp://alice@s.example.org/home/a%20b/c", "sftp://alice@s.example.org", "home/a b", "c"),  # not bob
        ("https://[::1]:2880/a/b", "https://[::1]:2880", "a", "b"),
        ("file:///data/a/b", "file:", "data/a", "b"),
    ],
)
def test_a_site_is_made_for_one_that_is_not(config: Config, url, server, base, folder):
    given, _ = errand_of([url, "here"], ["sync"], {}, config)
    name = given["SITE"]
    site = config.site(name)
    assert (site.server, site.base, site.token, given["INPUTDIR"]) == (server, base, "", folder)
    assert [*config.made] == [name] and name not in config.own_sites()


def test_what_is_known_of_a_server_holds_beside_its_base(config: Config):
    given, _ = errand_of(["https://a.example.org:2880/other/run", "here"], [], {}, config)
    site: Site = config.site(given["SITE"])
    assert (site.server, site.base, given["INPUTDIR"]) == ("https://a.example.org:2880", "other", "run")
    assert given["SITE"] == "https://a.example.org:2880/other"


def test_a_token_does_not_go_unencrypted(config: Config):
    (Path(config.folder) / "Grid.conf").write_text(CONF.replace("[NEAR]", "[NEAR]\nTOKEN = env:MY_TOKEN"))
    config = Config(config.folder)
    given, _ = errand_of(["http://a.example.org:2880/other/run", "here"], [], {}, config)
    with pytest.raises(UsageError, match="the TOKEN would go to"):
        config.site(given["SITE"])


def test_what_is_made_is_not_saved(config: Config):
    errand_of(["https://door.example.org/a/b", "here"], [], {}, config)
    before = config.file.text
    config.save({"THREADS": "3"})
    assert Path(config.path).read_text() == before.replace("INCLUDE = x\n", "INCLUDE = x\nTHREADS = 3\n")


@pytest.mark.parametrize(
    ("url", "credential"),
    [
        ("https://door.example.org/a", "none"),
        ("root://door.example.org/a", "none"),
        ("file:///data/a", "auto"),
        ("sftp://s2.example.org/a", "auto"),
        ("https://a.example.org:2880/other/run", "auto"),  # what holds for the server may need a token
    ],
)
def test_without_a_proxy_an_unknown_door_is_shown_nothing(config: Config, url, credential):
    given, remarks = errand_of([url, "here"], [], {}, config)
    assert config.site(given["SITE"]).credential == credential
    says = f"There is no proxy at {config.folder}/proxy, so the door is shown nothing; --new_proxy makes one"
    assert remarks == ([says] if credential == "none" else [])


def test_with_a_proxy_it_is_shown_that(config: Config):
    (Path(config.folder) / "proxy").touch()
    given, remarks = errand_of(["https://door.example.org/a", "here"], [], {}, config)
    assert config.site(given["SITE"]).credential == "auto" and remarks == [] and "VO" not in given
