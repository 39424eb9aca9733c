"""What single doors promise beside the contract: names, checksums, versions, tape, and what they are not to see."""

from __future__ import annotations

import hashlib
import os
import re
import threading
import zlib
from dataclasses import replace
from pathlib import Path

import pytest

from gridsync_parts.doors import MAX_QUERY, At, Place
from gridsync_parts.errors import Changed, CredentialError, DoorError, FileError, Forbidden, GridError, NotFound
from gridsync_parts.table import Site
from gridsync_parts.values import Locality
from tests.grid import Grid, agata
from tests.grid.door import Door
from tests.grid.pool import OTHER_FILE
from tests.grid.words import FORBIDDEN, composed, gives
from tests.support.places import (
    DCACHES,
    OTHERS,
    WITH_CREDENTIALS,
    WITH_TAPE,
    WITHOUT_TAPE,
    door_of,
    opened,
    place_at,
    received,
    site_of,
    with_engines,
)
from tests.support.user import wait_until

RUN = f"e680_1to64/{agata.RUN}"
FILE = f"{RUN}/Data/03A/{agata.SMALL}"


@pytest.fixture(params=WITH_TAPE)
def taped(grid: Grid, request: pytest.FixtureRequest) -> Place:
    return place_at(grid, site_of(grid, request.param))


@pytest.fixture(params=DCACHES)
def dcache(grid: Grid, request: pytest.FixtureRequest) -> Door:
    """A simulated dCache."""
    return door_of(grid, request.param)


@pytest.fixture
def direct(grid: Grid, dcache: Door) -> Place:
    """It without gfal2, for what gfal2 can't do."""
    return place_at(grid, site_of(grid, f"http {dcache.profile}"))


@pytest.mark.parametrize("value", ["zzz", "0123456789", "+1"])
@pytest.mark.parametrize("pair", ["http dcache", "gfal2 dcache"])
def test_a_checksum_that_is_none_is_as_good_as_none(grid, pair, value):
    grid.door.faults.add("*", "digest", value=value)
    try:
        assert place_at(grid, site_of(grid, pair)).reader.checksum(At(FILE, 0)) == ""
    finally:
        grid.door.faults.clear()


@pytest.mark.parametrize("pair", [*with_engines("dcache", "storm", *OTHERS)[::2], "http xrootd"])
def test_the_checksum_comes_along_with_the_bytes(grid, pair):
    place = place_at(grid, site_of(grid, pair))
    grid.tree.file(f"agata/{FILE}").locality = "ONLINE"
    size = grid.tree.file(f"agata/{FILE}").size
    body = place.reader.read(At(FILE, size), 0, size)
    body.close()
    assert body.checksum == place.reader.checksum(At(FILE, 0))


@pytest.mark.first
@pytest.mark.parametrize("pair", WITH_CREDENTIALS)
@pytest.mark.parametrize("proxy", ["plain", "other_vo", "expired_attribute"])
def test_a_proxy_without_the_vo_is_refused(grid, pair, proxy):
    # dCache knows nobody whom no VO vouches for; the others know him, and refuse.
    says = "--proxy_status" if "dcache" in pair else "for the right VO"
    with pytest.raises(CredentialError if "dcache" in pair else Forbidden, match=says):
        place_at(grid, site_of(grid, pair), proxy).lister.folder("")


@pytest.mark.first
@pytest.mark.parametrize("pair", WITH_CREDENTIALS)
def test_an_expired_proxy_is_a_matter_of_credentials(grid, pair):
    # TLS 1.3 tells the client late: it may see the alert, or only that the line is dead.
    with pytest.raises((CredentialError, DoorError), match=r"does not accept|is your proxy|cannot be reached"):
        place_at(grid, site_of(grid, pair), "expired").lister.folder("")


@pytest.mark.parametrize("pair", ["http dcache", "gfal2 dcache"])
def test_a_certificate_of_another_ca_is_named(grid, tmp_path, pair):
    with pytest.raises(DoorError, match=r"is not signed by any CA in|certificate is not accepted"):
        place_at(grid, site_of(grid, pair), ca=str(tmp_path)).lister.folder("")


@pytest.mark.parametrize("engine", ["http", "gfal2"])
@pytest.mark.parametrize("server", ["https://localhost:1", "https://no-such-host.invalid:2880"])
def test_a_door_that_can_not_be_reached_is_named(grid, engine, server):
    site = site_of(grid, "http dcache")._replace(engine=engine, server=server)
    host = server.rpartition("/")[2]
    says = rf"{host} refuses the connection|no address is known for {host}|{host}/agata: the door cannot be reached"
    with pytest.raises(DoorError, match=says) as caught:
        place_at(grid, site).lister.folder("")
    assert caught.value.passing


# Checksums: the strongest that the door has, in whatever words, and none that it would have to make.

KINDS = {"adler32": "adler32", "md5": "md5", "sha-256": "sha256"}


def hashed(grid: Grid, path: str, kind: str) -> str:
    data = grid.tree.expected(f"agata/{path}")
    return f"{kind}:{zlib.adler32(data):08x}" if kind == "adler32" else f"{kind}:{hashlib.new(kind, data).hexdigest()}"


@pytest.mark.parametrize("stored", [("adler32",), ("adler32", "md5"), ("sha-256", "adler32", "md5"), ("md5",)])
def test_a_listing_gives_the_strongest_of_several_checksums(grid, direct, folder, stored):
    grid.tree.add(f"agata/{folder}/a", 1000, checksums=stored)
    (entry,) = direct.lister.folder(folder)
    assert entry.checksum == hashed(grid, f"{folder}/a", max(KINDS[kind] for kind in stored))


@pytest.mark.parametrize("words", ["old", "rfc9530", "both"])
@pytest.mark.parametrize("redirect", ["pool302", "proxy"])
def test_a_checksum_comes_along_in_old_words_and_in_those_of_rfc_9530(
    grid, direct, folder, monkeypatch, words, redirect
):
    monkeypatch.setattr(grid.door.switches, "digest_words", words)
    monkeypatch.setattr(grid.door.switches, "redirect", redirect)
    grid.tree.add(f"agata/{folder}/a", 1000, checksums=("adler32", "sha-256"))
    body = direct.reader.read(At(f"{folder}/a", 1000), 0, 1000)
    body.close()
    assert body.checksum == direct.reader.checksum(At(f"{folder}/a", 0)) == hashed(grid, f"{folder}/a", "adler32")


@pytest.mark.parametrize("words", ["old", "rfc9530"])
@pytest.mark.parametrize("stored", [("sha-256",), ("md5",), ("sha-256", "md5")])
def test_a_door_without_adler32_is_asked_for_what_it_has(grid, direct, folder, monkeypatch, words, stored):
    monkeypatch.setattr(grid.door.switches, "digest_words", words)
    grid.tree.add(f"agata/{folder}/a", 1000, checksums=stored)
    assert direct.reader.checksum(At(f"{folder}/a", 0)) == hashed(grid, f"{folder}/a", KINDS[stored[0]])


def test_a_wish_for_one_of_several_that_earns_a_500_is_one_for_adler32_alone(grid, direct, folder, monkeypatch):
    monkeypatch.setattr(grid.door.switches, "digest_list_fails", True)
    grid.tree.add(f"agata/{folder}/a", 1000)
    assert direct.reader.checksum(At(f"{folder}/a", 0)) == hashed(grid, f"{folder}/a", "adler32")


# Versions: bytes of two of them are never taken for one file.

PROXYING = ["http dcache", "http storm"]


@pytest.fixture
def direct_reading(grid: Grid, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dCache that sends the bytes by its own hand."""
    monkeypatch.setattr(grid.door.switches, "redirect", "proxy")


def tag_of(place: Place, path: str, start: int = 0, tag: str = "") -> str:
    body = place.reader.read(At(path, 1000, tag), start, 1000)
    body.close()
    return body.tag


@pytest.mark.parametrize("pair", [*PROXYING, "gfal2 dcache", "gfal2 storm", "gfal2 file"])
def test_a_file_that_has_changed_has_another_tag_and_is_not_read_on(grid, pair, folder, tmp_path, direct_reading):
    site = site_of(grid, pair)
    if pair == "gfal2 file":
        file = tmp_path / "a"
        file.write_bytes(b"x" * 1000)
        site = site._replace(server="file:///", base=str(tmp_path).strip("/"))
        path, change = "a", lambda: os.utime(file, (5000, 5000))
    else:
        known = grid.tree.add(f"agata/{folder}/a", 1000)
        path, change = f"{folder}/a", lambda: setattr(known, "mtime", known.mtime + 5000)
    place = place_at(grid, site)
    tag = tag_of(place, path)
    assert tag and tag_of(place, path, 10, tag) == tag == tag_of(place, path, 0, tag)
    change()
    for start in (10, 0):
        with pytest.raises(Changed, match="changed at the site while it was being copied") as caught:
            tag_of(place, path, start, tag)
        assert caught.value.passing
    assert tag_of(place, path, 10) != tag


def test_the_tag_is_a_strong_one_or_else_the_time(grid, folder, direct_reading):
    grid.tree.add(f"agata/{folder}/a", 1000, mtime=1433851200)
    http, storm, gfal2 = (place_at(grid, site_of(grid, pair)) for pair in (*PROXYING, "gfal2 storm"))
    assert tag_of(http, f"{folder}/a")[0] == '"'
    assert tag_of(storm, f"{folder}/a") == tag_of(gfal2, f"{folder}/a") == "Tue, 09 Jun 2015 12:00:00 GMT"


def test_what_a_pool_says_of_a_version_is_not_compared(grid, direct, folder):
    grid.tree.add(f"agata/{folder}/a", 1000)
    assert tag_of(direct, f"{folder}/a", 10, '"of the door"') == ""


def test_tags_of_two_kinds_are_not_compared(grid, folder, direct_reading):
    grid.tree.add(f"agata/{folder}/a", 1000)
    for pair, tag in zip(PROXYING, ("Tue, 09 Jun 2014 12:00:00 GMT", '"strong"')):
        assert tag_of(place_at(grid, site_of(grid, pair)), f"{folder}/a", 10, tag)


def test_a_door_that_compares_is_asked_for_the_range_of_this_version_alone(grid, folder, direct_reading, monkeypatch):
    monkeypatch.setattr(grid.door.switches, "if_range", True)
    grid.tree.add(f"agata/{folder}/a", 1000)
    place = place_at(grid, site_of(grid, "http dcache"))
    assert place.reader.read(At(f"{folder}/a", 1000, tag_of(place, f"{folder}/a")), 10, 1000).start == 10
    assert place.reader.read(At(f"{folder}/a", 1000, "Tue, 09 Jun 2014 12:00:00 GMT"), 10, 1000).start == 0


# What only a door with tape can show.


def test_a_listing_says_where_files_are_and_what_their_checksums_are(grid, direct, folder):
    grid.tree.add(f"agata/{folder}/tape", 10, tape=True)
    grid.tree.add(f"agata/{folder}/both", 10).locality = "ONLINE_AND_NEARLINE"
    grid.tree.add(f"agata/{folder}/lost", 10, checksums=()).locality = "LOST"
    found = {entry.path.rpartition("/")[2]: entry for entry in direct.lister.folder(folder)}
    assert {name: entry.locality.value for name, entry in found.items()} == {
        "tape": "NEARLINE",
        "both": "ONLINE",
        "lost": "OFFLINE",
    }
    assert found["tape"].checksum == f"adler32:{zlib.adler32(grid.tree.expected(f'agata/{folder}/tape')):08x}"
    assert found["lost"].checksum == ""


AWKWARD = ["a b", "a#b", "a?b", "a%41b", "a+b", "a&b", "a;b=c", "'a'", '"a"', "ü", "u\u0308", "a~b", "(a)", "x" * 200]


@pytest.mark.first
def test_awkward_names_survive_listing_and_reading(grid, taped, folder, request):
    for name in AWKWARD:
        grid.tree.add(f"agata/{folder}/{name}/{name}", 20)
    assert sorted(entry.path for entry in taped.lister.folder(folder)) == sorted(f"{folder}/{name}" for name in AWKWARD)
    kind = door_of(grid, request.node.callspec.params["taped"]).switches.names  # StoRM lists what it does not give
    for name in (name for name in AWKWARD if not set(FORBIDDEN.get(kind, "")) & set(name)):
        path = f"{folder}/{name}/{name}"
        assert [entry.path for entry in taped.lister.folder(f"{folder}/{name}")] == [path]
        is_refused = "gfal2" in request.node.name and composed(path, kind) != path
        if gives(path, "GET", kind) == 200 and not is_refused:
            assert received(taped, path, 0, 20) == grid.tree.expected(f"agata/{path}")


APART = "cafe\u0301/e\u0301 a?b"  # accents that are characters of their own, as macOS writes them


def test_a_name_that_the_door_composes_is_read_by_its_own_and_costs_no_mover(grid, dcache, direct, folder):
    grid.tree.add(f"agata/{folder}/{APART}", 1000)
    whole, leaked = grid.tree.expected(f"agata/{folder}/{APART}"), dcache.pool.leaked
    for start in (0, 10):
        assert received(direct, f"{folder}/{APART}", start, 1000) == whole[start:]
    assert dcache.pool.leaked == leaked


def test_what_a_pool_takes_for_another_file_is_not_asked_for_again(grid, dcache, direct, folder):
    grid.tree.add(f"agata/{folder}/a", 1000)
    dcache.faults.add(f"*/{folder}/a", 400, role="pool", count=1, reason=OTHER_FILE)
    with pytest.raises(FileError, match="each try would cost the site a mover") as caught:
        received(direct, f"{folder}/a", 0, 1000)
    assert not caught.value.passing


@pytest.mark.first
@pytest.mark.parametrize("text, is_gone", [("Could not run read request.", False), ("Unable to open a", True)])
def test_what_xrootd_fails_at_is_not_taken_for_gone_though_it_answers_404(grid, dcache, direct, folder, text, is_gone):
    grid.tree.add(f"agata/{folder}/a", 1000)
    dcache.faults.add(f"*/{folder}/a", 404, role="door", count=1, text=text)
    with pytest.raises(GridError, match="no such file" if is_gone else "answers 404 .Could not run") as caught:
        received(direct, f"{folder}/a", 0, 1000)
    assert isinstance(caught.value, NotFound) is is_gone and caught.value.passing is not is_gone
    assert received(direct, f"{folder}/a", 0, 1000) == grid.tree.expected(f"agata/{folder}/a")


def test_a_name_that_gfal2_can_not_get_from_dcache_is_tried_once(grid, dcache, folder):
    grid.tree.add(f"agata/{folder}/{APART}", 1000)
    with pytest.raises(FileError, match="ENGINE = http can") as caught:
        received(place_at(grid, site_of(grid, f"gfal2 {dcache.profile}")), f"{folder}/{APART}", 0, 1000)
    assert not caught.value.passing


ODD = ["..", ".", "a/b", "../other"]


def test_a_name_that_can_not_be_right_costs_only_itself(grid, taped, folder):
    grid.tree.add(f"agata/{folder}/first", 10)
    for name in ODD:
        grid.tree.folder(f"agata/{folder}").children[name] = replace(grid.tree.file(f"agata/{folder}/first"), name=name)
    grid.tree.add(f"agata/{folder}/last", 10)
    found = taped.lister.folder(folder)
    assert sorted(entry.path for entry in found) == [f"{folder}/first", f"{folder}/last"]
    assert len(found.odd) == len(ODD) and all(path.startswith("/") for path in found.odd), found.odd
    assert all("cannot be right; it is left out" in str(error) for error in found.odd.values())


@pytest.mark.parametrize("size", [10**18, 10**19])
def test_a_size_that_no_file_has_costs_only_that_file(grid, taped, folder, size):
    grid.tree.add(f"agata/{folder}/a", 10, checksums=()).size = size
    grid.tree.add(f"agata/{folder}/b", 10)
    for asked, listed in ((folder, [f"{folder}/b"]), (f"{folder}/a", [])):
        found = taped.lister.folder(asked)
        assert [entry.path for entry in found] == listed
        assert f"the size of {folder}/a cannot be right: 1000000000" in str(found.odd[f"{folder}/a"])


def test_a_name_that_gfal2_can_not_read_costs_only_itself(tmp_path):
    for name in (b"good", b"bad\xff"):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).touch()
    site = Site("LYON", f"file://{tmp_path.parent}", "", "gfal2", "auto", "", "", "", 5, 5)
    found = opened(site).lister.folder(tmp_path.name)
    assert [entry.path for entry in found] == [f"{tmp_path.name}/good"]
    assert "gfal2 cannot ask for " in str(*found.odd.values())


def test_localities_of_many_take_one_request_for_500(grid, dcache, direct, folder):
    paths = [f"{folder}/{number:04d}" for number in range(MAX_QUERY + 1)]
    for number, path in enumerate(paths):
        grid.tree.add(f"agata/{path}", 10, tape=number % 2 == 1)
    direct.find_tape()
    dcache.log.clear()
    found = direct.locate([*paths, f"{folder}/gone"])
    assert dcache.log.count() == 2
    assert [found[path] for path in paths[:2]] == [Locality.ONLINE, Locality.NEARLINE]
    assert sorted(found) == paths


@pytest.mark.every(5)
@pytest.mark.parametrize("pair", WITHOUT_TAPE)
def test_a_door_without_tape_has_everything_on_disk(grid, pair):
    place = place_at(grid, site_of(grid, pair))
    assert not place.find_tape()
    assert place.locate([FILE, "e680/gone"]) == {FILE: Locality.ONLINE}


def test_a_connection_is_kept_for_whoever_asks_next(grid, dcache, direct, folder):
    grid.tree.add(f"agata/{folder}/a", 10)
    dcache.log.clear()
    for _ in range(3):
        thread = threading.Thread(target=direct.lister.folder, args=[folder])
        thread.start()
        thread.join()
    assert (dcache.log.count(), len({record.port for record in dcache.log})) == (3, 1)


@pytest.mark.parametrize(("pair", "listings"), [("http dcache", 3), ("http storm", 1)])
def test_a_door_that_tells_of_no_file_where_it_is_is_asked_once(grid, pair, listings, folder):
    place = place_at(grid, site_of(grid, pair)._replace(tape_api="none"))
    paths = [f"{folder}/{name}/file" for name in "abc"]
    for path in paths:
        grid.tree.add(f"agata/{path}", 10, tape=path == paths[2])
    log = door_of(grid, pair).log
    log.clear()
    found = place.locate([*paths, f"{folder}/a/gone"])
    where = Locality.NEARLINE if listings > 1 else Locality.ONLINE  # StoRM's listings do not tell
    assert found == {**dict.fromkeys(paths[:2], Locality.ONLINE), paths[2]: where}
    assert log.count() == listings


def test_where_the_first_folder_fails_the_others_tell(grid, folder):
    place = place_at(grid, site_of(grid, "http storm")._replace(tape_api="none"))
    for name in "abc":
        grid.tree.add(f"agata/{folder}/{name}/file", 10)
    grid.storm.faults.add(f"*/{folder}/a", 500, method="PROPFIND", count=1)
    found = place.locate([f"{folder}/a/file", f"{folder}/b/file", f"{folder}/c/gone"])
    assert found == {f"{folder}/b/file": Locality.ONLINE}


def test_a_tape_service_can_be_named_or_denied(grid):
    site = site_of(grid, "http dcache")
    assert not place_at(grid, site._replace(tape_api="none")).find_tape()
    named = place_at(grid, site._replace(tape_api=grid.door.tape_url + "/api/v1/tape/"))
    assert named.find_tape().url() == grid.door.tape_url + "/api/v1/tape"


def test_staging_asks_and_returns_and_the_file_is_there_and_pinned(grid, taped, folder, request):
    path = f"{folder}/tape"
    grid.tree.add(f"agata/{path}", 10, tape=True)
    grid.robot.hold()
    try:
        token = taped.find_tape().stage([path, f"{folder}/missing"], 3)
        waiting = taped.find_tape().stagings(token, [path, f"{folder}/missing"])
    finally:
        grid.robot.go()
    assert not waiting[path].done and not waiting[path].failure
    assert re.search("No such file|failed", waiting[f"{folder}/missing"].failure)  # StoRM gives no reason
    wait_until(lambda: taped.find_tape().stagings(token, [path])[path].done)
    assert taped.locate([path]) == {path: Locality.ONLINE}
    pins = door_of(grid, request.node.callspec.params["taped"]).staging.pins
    assert pins(f"agata/{path}") == [token]


def test_a_pin_that_is_given_back_is_gone(grid, taped, folder, request):
    path = f"{folder}/tape"
    grid.tree.add(f"agata/{path}", 10, tape=True)
    token = taped.find_tape().stage([path], 3)
    wait_until(lambda: taped.find_tape().stagings(token, [path])[path].done)
    taped.find_tape().release(token, [path])
    assert door_of(grid, request.node.callspec.params["taped"]).staging.pins(f"agata/{path}") == []


def test_a_pin_lasts_as_long_as_was_asked(grid, dcache, direct, folder):
    grid.tree.add(f"agata/{folder}/tape", 10, tape=True)
    request = direct.find_tape().stage([f"{folder}/tape"], 3)
    targets = dcache.staging.requests[request].targets
    assert [target.lifetime for target in targets.values()] == [3 * 86400]


def test_the_pool_never_sees_the_proxy_even_if_it_asks(grid, dcache, direct, folder, monkeypatch):
    monkeypatch.setattr(dcache.switches, "pool_asks", True)
    grid.tree.add(f"agata/{folder}/a", 10)
    dcache.log.clear()
    received(direct, f"{folder}/a", 0, 10)
    seen = [(record.role, bool(record.certificate)) for record in dcache.log.matching(method="GET")]
    assert seen == [("door", True), ("pool", False)]


@pytest.mark.parametrize("engine", ["http", "gfal2"])
def test_every_verb_fails_as_a_grid_error(grid, engine):
    dead = "https://localhost:1"
    place = place_at(grid, site_of(grid, f"{engine} dcache")._replace(server=dead, tape_api=dead))
    for verb in (
        lambda: place.lister.folder("a"),
        lambda: place.reader.read(At("a", 1), 0, 1),
        lambda: place.reader.checksum(At("a", 0)),
        lambda: place.find_tape().stage(["a"], 1),
        lambda: place.find_tape().stagings("r", ["a"]),
        lambda: place.find_tape().release("r", ["a"]),
    ):
        with pytest.raises(GridError):
            verb()
