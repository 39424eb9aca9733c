"""Kinds of sites: every row of the table is there to be used, and what has no row yet is told when it is needed."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from gridsync_parts.errors import UsageError
from gridsync_parts.kinds import KINDS, Credential, find_kind, kind_of, needs_proxy
from gridsync_parts.settings import Config
from gridsync_parts.table import Site


def site_in(folder: Path, server: str, more: str = "") -> Site:
    (folder / "Grid.conf").write_text(f"[gridsync]\nSITE = A\nVO =\n[A]\nSERVER = {server}\n{more}\n")
    return Config(str(folder)).settings().site


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.engine}-{kind.schemes[0]}")
def test_every_row_names_a_door_that_opens_places_and_packages_that_there_are(kind):
    door = importlib.import_module(f"gridsync_parts.doors.{kind.module}")
    assert callable(door.open_place)
    for package in kind.packages:
        importlib.import_module(package)
    assert bool(kind.packages) == bool(kind.remedy) and kind.what


def test_a_row_is_chosen_by_its_scheme_and_engine():
    for kind in KINDS:
        for scheme in kind.schemes:
            assert find_kind(kind.engine, scheme) is kind
    assert len({(kind.engine, scheme) for kind in KINDS for scheme in kind.schemes}) == sum(
        len(kind.schemes) for kind in KINDS
    )


@pytest.mark.parametrize(
    ("server", "more", "engine", "is_shown_a_proxy"),
    [
        ("https://a/", "", "http", True),
        ("davs://a/", "ENGINE = auto", "http", True),
        ("https://a/", "TOKEN = env:A", "http", False),
        ("https://a/", "ENGINE = gfal2", "gfal2", True),
        ("root://a/", "", "gfal2", True),
        ("sftp://a/", "", "ssh", False),
        ("file:///a", "", "gfal2", False),
        ("https://hub/services/downloadservice/webdav/", "ENGINE = hub", "hub", False),
        ("ftps://a/", "", "ftps", False),
        ("https://a/", "ENGINE = opendata", "opendata", False),
        ("https://a/", "ENGINE = invenio", "invenio", False),
        ("https://a/", "ENGINE = invenio\nTOKEN = env:A", "invenio", False),
    ],
)
def test_auto_is_the_first_engine_that_speaks_the_scheme(tmp_path, server, more, engine, is_shown_a_proxy):
    site = site_in(tmp_path, server, more)
    assert (site.engine, needs_proxy(site)) == (engine, is_shown_a_proxy)


def test_what_is_shown_hangs_on_the_scheme():
    shown = {scheme: kind.credential for kind in KINDS for scheme in kind.schemes if kind.engine != "http"}
    assert (shown["sftp"], shown["file"], shown["root"]) == (Credential.KEYS, Credential.NONE, Credential.ANY)


@pytest.mark.parametrize(("server", "more"), [("root://a/", "ENGINE = http"), ("ftps://a/", "ENGINE = gfal2")])
def test_an_engine_that_does_not_speak_the_scheme_is_refused(tmp_path, server, more):
    with pytest.raises(UsageError, match=r"ENGINE = \w+ cannot speak to \w+:// of .A.; set it to auto"):
        site_in(tmp_path, server, more)


@pytest.mark.parametrize("engine", ["hub", "opendata", "invenio"])
def test_an_engine_that_wants_tls_says_so(tmp_path, engine):
    with pytest.raises(UsageError, match=rf"ENGINE = {engine} cannot speak to http:// of .A.; write https:// there"):
        site_in(tmp_path, "http://portal/", f"ENGINE = {engine}")


@pytest.mark.parametrize("more", ["TOKEN = env:A", "CREDENTIAL = proxy", "CREDENTIAL = token"])
def test_a_portal_is_shown_nothing(tmp_path, more):
    with pytest.raises(UsageError, match=r".A. is shown nothing; remove TOKEN and CREDENTIAL there"):
        site_in(tmp_path, "https://portal/", f"ENGINE = opendata\n{more}")
    assert site_in(tmp_path, "https://portal/", "ENGINE = opendata\nCREDENTIAL = none").credential == "none"


def test_where_bytes_come_from_is_said_of_portals_alone(tmp_path):
    assert site_in(tmp_path, "https://portal/", "ENGINE = opendata\nBYTES = root").bytes_by == "root"
    with pytest.raises(UsageError, match=r"BYTES of .A. is for ENGINE = opendata alone; remove it"):
        site_in(tmp_path, "https://portal/", "BYTES = root")
    with pytest.raises(UsageError, match=r"BYTES of .A. is 'ftp'; expected https or root"):
        site_in(tmp_path, "https://portal/", "ENGINE = opendata\nBYTES = ftp")


@pytest.mark.parametrize("more", ["", "ENGINE = http\nTOKEN = env:A", "ENGINE = gfal2"])
@pytest.mark.parametrize("server", ["https://hub/services/downloadservice/webdav/", "https://hub/x/services/a/webdav"])
def test_a_hubs_service_wants_its_own_engine(tmp_path, server, more):
    with pytest.raises(UsageError, match="SERVER of the site A is a service of a hub; set ENGINE = hub in its section"):
        kind_of(site_in(tmp_path, server, more))
