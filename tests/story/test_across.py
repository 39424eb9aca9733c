"""--to: what is refused before anything is sent, files on tape, keys, credentials, and what else is told."""

from __future__ import annotations

import json
import signal
import time

import pytest

from gridsync_parts.put import noted_of
from gridsync_parts.stats import lines_of
from tests.support.ships import SIZES, Real, Simulated, last_line
from tests.support.user import User, a_minute_later, wait_for, wait_until

SITES = """
[REPO]
SERVER = https://localhost:1/
ENGINE = invenio

[PORTAL]
SERVER = https://localhost:1/
ENGINE = opendata

[SSH]
SERVER = sftp://localhost:1/

[FTS]
SERVER = root://localhost:1/

[TWIN]
SERVER = {lyon}/
BASE_DIR_ON_GRID = agata
"""


@pytest.fixture
def typist(user: User, folder: str) -> User:
    """A user who has listed nothing yet, and knows sites of many kinds."""
    path = user.folder / "Grid.conf"
    path.write_text(path.read_text() + SITES.format(lyon=user.grid.door.url))
    user.set("INPUTDIR", folder, "gridsync")
    return user


LONG = [pytest.param(pair, marks=pytest.mark.long) for pair in ("through here", "xrootd")]
PAIRS = pytest.mark.parametrize("ship", ["doors", *LONG], indirect=True)
REFUSED = {
    "--to=CNAF": "--to says where files are copied; add --build_list, --start or --sync",
    "--to=CNAF --show_conf": "--to says where files are copied; add --build_list, --start or --sync",
    "--to=CNAF --doctor": "--to says where files are copied; add --build_list, --start or --sync",
    "--doctor --via_here": "--via_here means nothing without --to=SITE; add it, or leave --via_here out",
    "--to=LYON --sync": "--to=LYON is where the files are; choose another site with --from or --to",
    "--to=lyon --sync": "--to=LYON is where the files are; choose another site with --from or --to",
    "--to=TWIN --sync": "--to=TWIN is where the files are; choose another site with --from or --to",
    "--to=NOWHERE --sync": "there is no site NOWHERE in ",
    "--to=REPO --sync --via_here": "--to=REPO is a repository, whose records --put makes; choose another site",
    "--to=PORTAL --sync --via_here": "gridsync cannot send files to the site PORTAL",
    "--to=SSH --sync": "SSH with SERVER sftp://localhost:1 and ENGINE = ssh copies nothing from door to door; add --",
    "--from=FTS --to=CNAF --sync": "FTS with SERVER root://localhost:1 and ENGINE = gfal2 copies nothing from door to",
    "--to=CNAF --sync --put=x": "--to copies from site to site; run --put on a line of its own",
    "--to=CNAF --verify": "--to copies from site to site; run --verify on a line of its own",
    "--to=CNAF --repair": "--to copies from site to site; run --repair on a line of its own",
    "--to=CNAF --ls_dir": "--to copies from site to site; run --ls_dir on a line of its own",
    "--to=CNAF --sync --output_dir=x": "--output_dir means nothing for copies from site to site; leave it out",
    "--to=CNAF --sync --nochecksum": "--nochecksum means nothing for copies from site to site; leave it out",
    "--to=CNAF --sync --force": "--force means nothing for copies from site to site; leave it out",
    "--to=CNAF --sync --via_here --streams=3": "--streams means nothing where files go through this machine; leave it",
    "--to=CNAF --sync --via_here --trust_target": "--trust_target means nothing where files go through this machine",
    "--to=CNAF --sync --bwlimit=1M": "--bwlimit holds back what goes through this machine; add --via_here, or leave",
    "--to=CNAF --sync --fts=https://x --via_here": "--fts and --via_here are two ways to copy; give one of the two",
    "--to=CNAF --cancel": "--cancel ends jobs of an FTS3 server; say of which one with --fts=URL",
    "--sync --via_here": "--via_here means nothing without --to=SITE; add it, or leave --via_here out",
    "--sync --trust_target": "--trust_target means nothing without --to=SITE; add it, or leave --trust_target out",
    "--sync --fts=https://x": "--fts means nothing without --to=SITE; add it, or leave --fts out",
    "--to= --sync": "--to has no value; --to=SITE names the site that files are copied to",
    "--to=list --sync": "there is no site list in ",
    "https://localhost:1/x data --to=CNAF": "a URL and a folder are copied to this machine; leave out --to, or name",
}


@pytest.mark.every(5)
@pytest.mark.parametrize("line", REFUSED)
def test_what_means_nothing_is_refused_before_anything_is_asked(typist, line):
    before = (typist.folder / "Grid.conf").read_text()
    for door in (typist.grid.door, typist.grid.storm):
        door.log.clear()
    done = typist(line)
    assert done.status == 2, done
    errors = [text for text in done.err.splitlines() if text.startswith("gridsync.py: ")]
    assert len(errors) == 1 and errors[0].startswith(f"gridsync.py: {REFUSED[line]}"), done
    assert (typist.folder / "Grid.conf").read_text() == before
    assert not (typist.folder / "grid_summary.csv").exists() and not (typist.folder / "grid_uploads.csv").exists()
    assert not list(typist.grid.door.log.matching()) and not list(typist.grid.storm.log.matching())


def test_a_target_inside_what_is_copied_is_refused(typist, folder):
    """Each --sync would copy what the last one has made, a folder deeper."""
    typist.set("BASE_DIR_ON_GRID", f"agata/{folder}/inside", "TWIN")
    done = typist("--to=TWIN --sync --via_here")
    assert done.status == 2, done
    said = f"/agata/{folder}/inside/{folder}/ of TWIN is in the folder that is copied, /agata/{folder}/; choose"
    assert said in done.err
    typist.set("BASE_DIR_ON_GRID", f"agata/{folder}-2", "TWIN")
    assert "is in the folder" not in typist("--to=TWIN --sync --via_here").err


@pytest.mark.long
def test_the_target_is_not_remembered(simulated):
    assert simulated.list_and_start().status == 0
    assert "CNAF" not in (simulated.folder / "Grid.conf").read_text().partition("[LYON]")[0]
    assert simulated("--build_list --start").status == 0 and len(simulated.files()) == len(SIZES)


@pytest.fixture
def wide(simulated: Simulated) -> Simulated:
    """A user whose sites are both StoRM, which gives out keys to all that its user may do."""
    simulated.source, simulated.target = "CNAF", "OTHER"
    simulated.set("BASE_DIR_ON_GRID", "agata", "CNAF")
    simulated.set("SERVER", f"{simulated.grid.at('storm-1.6').url}/", "OTHER")
    simulated.set("BASE_DIR_ON_GRID", simulated.mirror, "OTHER")
    simulated.set("SITE", "CNAF", "gridsync")
    return simulated


@pytest.mark.parametrize("action", [pytest.param("--start", marks=pytest.mark.long), "--sync"])
@pytest.mark.parametrize("tape", [pytest.param(False, marks=pytest.mark.long), True])
def test_a_key_that_opens_more_than_its_file_is_handed_on_only_to_a_target_that_is_trusted(wide, action, tape):
    for name in [name for name, size in SIZES.items() if size] if tape else []:
        wide.add(name, SIZES[name], tape=True)
    assert wide("--build_list --to=OTHER").status == 0
    conf, doors = (wide.folder / "Grid.conf").read_text(), (wide.grid.storm, wide.grid.at("storm-1.6"))
    for door in doors:
        door.log.clear()
    if tape and action == "--start":
        done = wide(f"{action} --to=OTHER")
        assert done.status == 2 and "--trust_target" in done.err, done  # there is one that is empty, and on disk
    done = wide(f"{action} --to=OTHER --threads=3")
    assert done.status == 2, done
    (said,) = done.err.splitlines()
    assert said.startswith("gridsync.py: tests/") and ": the key to it that CNAF gives out opens " in said
    assert "and OTHER would get it; add --trust_target if you trust that site so far, or --via_here" in said
    assert not wide.there() and (wide.folder / "Grid.conf").read_text() == conf
    assert not (wide.folder / "grid_uploads.csv").exists()
    assert not any(door.log.count(method=method) for door in doors for method in ("COPY", "PUT", "MKCOL"))
    assert not wide.pinned()
    dry = wide(f"{action} --to=OTHER --dry_run")
    assert dry.status == 2 and "--trust_target" in dry.err
    dry = wide(f"{action} --to=OTHER --dry_run --trust_target")
    assert dry.status == 0 and "from CNAF to OTHER, from door to door; OTHER would get a key that opens" in dry.out
    done = wide(f"{action} --to=OTHER --trust_target")
    if action == "--sync" or not tape:
        assert done.status == 0 and wide.there() == wide.sent(), done


def test_no_wide_key_is_handed_on_where_a_narrow_one_does(grid, tmp_path, folder, busy_marks):
    ship = Simulated(grid, tmp_path, folder, "CNAF")
    done = ship("--sync --to=LYON")
    assert done.status == 0 and ship.there() == ship.sent(), done
    assert grid.storm.log.count(method="COPY") and not grid.door.log.count(method="COPY")


@pytest.mark.parametrize("source", ["LYON", "CNAF"])
@pytest.mark.parametrize("more", ["", "--via_here"])
def test_sync_stages_copies_and_releases_what_is_on_tape(grid, tmp_path, folder, busy_marks, source, more):
    ship = Simulated(grid, tmp_path, folder, source)
    for number in range(5):
        ship.add(f"tape/{number}", 100_000 + number, tape=True)
    done = ship(f"--sync --to={ship.target} {more}")
    assert (done.status, done.err.count("gridsync.py:")) == (0, 0), done
    assert last_line(copied=len(SIZES) + 5)[:20] in done.out
    assert ship.there() == ship.sent()
    assert source == "CNAF" or not ship.pinned()
    assert all(row["downloaded"] == "yes" and not row["request"] for row in ship.rows().values())


@pytest.mark.long
def test_start_leaves_what_is_on_tape(simulated):
    for number in range(2):
        simulated.add(f"tape/{number}", 100_000, tape=True)
    done = simulated.list_and_start()
    assert done.status == 1 and f"Copied: {len(SIZES)}, skipped: 0, failed: 0, waiting on tape: 2;" in done.out, done
    brought = simulated.ship("--bring_online")
    assert brought.status == 0 and "Staging launched for 2 file(s)" in brought.out, brought
    wait_until(lambda: "NEARLINE=0" in simulated.ship("--check_status").out)
    assert len(simulated.pinned()) == 2
    left = simulated("--release")
    assert "No file is pinned" in left.out
    assert "2 file(s) stay pinned for copies to CNAF; --release --to=CNAF releases them\n" in left.err, left
    assert len(simulated.pinned()) == 2
    done = simulated.ship("--start")
    assert done.status == 0 and "Copied: 2," in done.out, done
    assert not simulated.pinned() and simulated.there() == simulated.sent()


def test_release_gives_back_pins_of_files_that_were_not_copied(simulated):
    simulated.add("tape/1", 100_000, tape=True)
    assert simulated.ship("--build_list").status == 0
    assert simulated.ship("--bring_online").status == 0
    wait_until(simulated.pinned)
    done = simulated.ship("--release")
    assert done.status == 0 and "Release accepted for 4 file(s)" in done.out, done
    assert not simulated.pinned()


def test_who_forgets_the_target_is_told_so(simulated):
    assert simulated.ship("--build_list").status == 0
    done = simulated("--start")
    assert done.status == 2 and "to look for new ones, or add --to=CNAF for the copies there\n" in done.err, done
    looked = simulated("--doctor")
    assert ", 0 files in the list, 0 of them here, and 4 for copies from site to site\n" in looked.out, looked


@pytest.mark.long
def test_a_target_that_lets_nobody_write_says_so(simulated):
    done = simulated("--to=XROOTD --build_list --start")
    assert done.status == 1 and "failed: 4," in done.out and "there is no such file" not in done.err, done
    assert "the door refuses" in done.err, done


def test_a_target_without_its_base_is_one_sentence(simulated):
    simulated.set("BASE_DIR_ON_GRID", "agata/nope/deeper", "CNAF")
    assert simulated.ship("--build_list").status == 0
    simulated.grid.storm.log.clear()
    for line in ("--start", "--sync", "--start --dry_run", "--start --via_here"):
        done = simulated.ship(line)
        errors = [text for text in done.err.splitlines() if text.startswith("gridsync.py: ")]
        assert done.status == 2 and len(errors) == 1, done
        assert errors[0].startswith("gridsync.py: BASE_DIR_ON_GRID of CNAF is not there: https://"), done
    assert not simulated.grid.storm.log.count(method="MKCOL")


def test_check_status_is_about_the_target_and_the_others_about_this_machine(simulated):
    assert simulated.list_and_start().status == 0
    there = simulated.ship("--check_status")
    assert f"total: {len(SIZES)}, downloaded: {len(SIZES)}, remaining: 0" in there.out, there
    assert simulated("--build_list").status == 0
    here = simulated("--check_status")
    assert f"total: {len(SIZES)}, downloaded: 0, remaining: {len(SIZES)}" in here.out, here
    assert f"downloaded: {len(SIZES)}," in simulated.ship("--check_status").out


@pytest.mark.long
@PAIRS
def test_the_stats_file_has_both_sites(ship):
    path = ship.folder / "s.jsonl"
    done = ship.ship("--sync", f"--stats={path}")
    assert done.status == 0, done
    every = list(lines_of(str(path)))
    assert {(line.site, line.direction) for line in every} == {(f"{ship.source}>{ship.target}", "copy")}
    lines = [line for line in every if line.status == "ok"]  # XRootD forgets an answer now and then
    assert {(line.key[len(ship.top) + 1 :], line.bytes, line.size) for line in lines} == {
        (name, size, size) for name, size in SIZES.items()
    }
    page = ship.folder / "page.html"
    told = ship(f"--stats={path} --report={page}")
    assert told.status == 0 and f"{ship.source}&gt;{ship.target}" in page.read_text(), told


def test_a_file_for_which_no_key_is_given_out_is_no_obstacle_for_the_others(simulated):
    assert simulated.ship("--build_list").status == 0
    faults = simulated.grid.door.faults
    faults.add("*/sub/deep/big", 423, method="POST")
    try:
        done = simulated.ship("--start")
    finally:
        faults.clear()
    assert done.status == 1 and "Copied: 3, skipped: 0, failed: 1," in done.out, done
    assert simulated.ship("--start").status == 0 and simulated.there() == simulated.sent()


@pytest.mark.long
def test_two_runs_at_once_are_none(simulated):
    assert simulated.ship("--build_list").status == 0
    simulated.grid.storm.switches.latency = 0.1
    try:
        with simulated.running(f"--start --to=CNAF {simulated.more}") as run:
            wait_until((simulated.folder / "grid_uploads.csv").exists)
            assert simulated.ship("--start").status == 6
            assert wait_for(run).status == 0
    finally:
        simulated.grid.storm.switches.latency = 0
    assert simulated.there() == simulated.sent()


@PAIRS
def test_files_from_names_the_files(ship):
    names = ship.folder / "names"
    names.write_text(f"{ship.top}/sub\n{ship.top}/empty\n")
    done = ship.ship("--sync", f"--files_from={names}")
    assert done.status == 0, done
    assert set(ship.there()) == {"empty", "sub/mid", "sub/deep/big"}


def test_without_a_proxy_nothing_begins(simulated, tmp_path):
    assert simulated.ship("--build_list").status == 0
    simulated.env["X509_USER_PROXY"] = str(tmp_path / "none")
    done = simulated.ship("--start")
    assert done.status == 3 and "proxy" in done.err, done
    assert not simulated.there()


@pytest.mark.parametrize("end", ["source", "target"])
@pytest.mark.parametrize("more", ["", "--via_here"])
def test_a_token_that_is_over_is_named_with_its_site(simulated, end, more, tmp_path):
    token = tmp_path / "token"
    token.touch(mode=0o600)
    token.write_text(simulated.grid.storm.token(-10))
    site = getattr(simulated, end)
    assert simulated.ship("--build_list").status == 0
    simulated.set("TOKEN", f"file:{token}", site)
    done = simulated(f"--start --to={simulated.target} {more}")
    assert done.status == 3 and site in done.err and "Traceback" not in done.err, done
    assert not simulated.there()


@pytest.mark.parametrize("end", ["source", "target"])
def test_a_token_that_ends_soon_is_announced_with_its_site(simulated, end, tmp_path):
    token = tmp_path / "token"
    token.touch(mode=0o600)
    token.write_text(simulated.grid.storm.token(3000))
    site = getattr(simulated, end)
    simulated.set("TOKEN", f"file:{token}", site)
    done = simulated.ship("--sync")
    assert done.status == 0 and done.err.count(f"Your token for {site} is valid until ") == 1, done


@pytest.mark.parametrize("more", ["", "--via_here"])
def test_each_site_is_shown_what_is_its_own(simulated, more, tmp_path):
    token = tmp_path / "token"
    token.touch(mode=0o600)
    token.write_text(simulated.grid.storm.token(3600 * 24))
    simulated.set("TOKEN", f"file:{token}", "CNAF")
    done = simulated(f"--sync --to={simulated.target} {more}")
    assert done.status == 0 and simulated.there() == simulated.sent(), done


@PAIRS
def test_the_configuration_names_the_target(ship):
    done = ship.ship("--sync", "--dry_run")
    lines = [line for line in done.out.splitlines() if line.startswith(("Copied to", "OUTPUTDIR"))]
    assert len(lines) == 1 and f"({ship.target})" in lines[0], done
    said = json.loads(ship.ship("--sync", "--dry_run --json").out)
    assert said["configuration"]["Copied to"].startswith("https://") and said["dry_run"]["copy"] == len(SIZES), said


@pytest.mark.parametrize("grows", [True, False])
def test_one_that_was_killed_in_the_middle_of_a_copy_is_gone_on_with(grid, tmp_path, folder, busy_marks, grows):
    """StoRM goes on with a copy whose client is gone: what comes of it is taken, and not copied again.

    What is not to be seen until it is whole is copied again, and goes when it comes.
    """
    ship, storm = Simulated(grid, tmp_path, folder), grid.storm
    ship.add("large", 4_000_000)
    storm.switches.copy_rate, storm.switches.copy_grows = 2_000_000, grows
    try:
        with ship.running(f"--sync --to=CNAF {ship.more}") as run:
            ends = time.monotonic() + 40
            while not any(one.sent for one in list(storm.copies.running)):
                assert run.poll() is None and time.monotonic() < ends
                time.sleep(0.01)
            run.kill()
            wait_for(run)
        done = ship.ship("--sync")
    finally:
        storm.switches.copy_rate, storm.switches.copy_grows = 0, False
    assert done.status == 0 and ship.open(), done  # what a door begins with late is looked for by another run
    copied = [noted_of(record.path) for record in storm.log.matching(method="COPY")]
    assert (len(copied) == len(set(copied))) == grows
    wait_until(lambda: not storm.copies.running)
    a_minute_later(ship.folder)
    for _ in range(1 if grows else 2):  # the first of two removes what has come
        assert ship.ship("--sync").status == 0
    assert ship.there() == ship.sent() and not ship.open()


@pytest.mark.long
def test_a_folder_that_can_not_be_listed_there_is_no_obstacle_for_what_is_there(simulated):
    ship = simulated
    assert ship.list_and_start().status == 0
    there = f"{ship.mirror}/{ship.top}/sub"
    ship.add("sub/new", 5)
    ship.grid.storm.switches.unreadable = (there,)
    try:
        assert ship.ship("--build_list").status == 0
        done = ship.ship("--start")
    finally:
        ship.grid.storm.switches.unreadable = ()
    assert done.status == 1 and "CNAF has there is seen when each file is copied" in done.err, done
    assert f"Copied: 0, skipped: {len(SIZES)}, failed: 1," in done.out and f"{ship.top}/sub/new: " in done.err, done
    done = ship.ship("--start")
    assert done.status == 0 and ship.there() == ship.sent(), done


@PAIRS
def test_a_file_in_place_of_a_folder_is_named_and_the_others_are_copied(ship):
    ship.put_there("sub", b"a file")
    done = ship.list_and_start()
    assert done.status == 1 and "Copied: 2, skipped: 0, failed: 2," in done.out, done
    errors = sorted(line for line in done.err.splitlines() if line.startswith("gridsync.py: "))
    ends = f": {ship.top}/sub is a file at {ship.target}; move it away"
    assert errors == [f"gridsync.py: {ship.top}/{name}{ends}" for name in ("sub/deep/big", "sub/mid")], done
    assert ship.there()["sub"] == b"a file" and "small" in ship.there()


@pytest.mark.parametrize("end", ["source", "target"])
def test_a_door_that_is_gone_is_one_sentence(simulated, end):
    assert simulated.ship("--build_list").status == 0
    simulated.set("SERVER", "https://localhost:1/", getattr(simulated, end))
    for action in ("--start", "--sync"):
        done = simulated.ship(action)
        errors = [line for line in done.err.splitlines() if line.startswith("gridsync.py: ")]
        assert done.status == 4 and len(errors) == 1 and "localhost:1" in errors[0], done


@pytest.mark.long
@PAIRS
def test_ctrl_c_keeps_what_is_done_and_a_further_run_goes_on(ship):
    big = 40_000_000 if isinstance(ship, Real) else 3_000_000
    for number in range(3):
        ship.add(f"large/{number}", big)
    assert ship.ship("--build_list").status == 0
    doors = (ship.grid.door, ship.grid.storm)
    for door in doors:
        door.switches.copy_rate, door.switches.bandwidth = 500_000, 500_000
    try:
        with ship.running(f"--start --to={ship.target} {ship.more} --threads=2") as run:
            wait_until((ship.folder / "grid_uploads.csv").exists)
            time.sleep(0.5)
            run.send_signal(signal.SIGINT)
            done = wait_for(run)
    finally:
        for door in doors:
            door.switches.copy_rate, door.switches.bandwidth = 0, 0
    assert done.status == 130 or isinstance(ship, Real), done
    if done.status == 130:
        assert "interrupted; what is done is kept, and the same command goes on from here" in done.err, done
    assert "Traceback" not in done.err
    a_minute_later(ship.folder)
    done = ship.ship("--start")
    assert done.status == 0 and ship.there() == ship.sent(), done
    assert not ship.open()


def test_what_waits_on_tape_is_asked_for_with_the_target(simulated):
    simulated.add("tape/1", 100_000, tape=True)
    done = simulated.list_and_start()
    assert "1 file(s) are on tape: --bring_online --to=CNAF asks for them, --sync also waits for them" in done.err, done


@pytest.mark.long
@pytest.mark.parametrize("more", ["", "--via_here"])
def test_a_run_that_may_take_so_long_ends_with_what_is_done(simulated, more):
    for number in range(3):
        simulated.add(f"large/{number}", 3_000_000)
    assert simulated.ship("--build_list").status == 0
    doors = simulated.grid.door, simulated.grid.storm
    for door in doors:
        door.switches.copy_rate = door.switches.bandwidth = 400_000
    try:
        done = simulated(f"--start --to=CNAF --threads=1 --max_duration=2s {more}")
    finally:
        for door in doors:
            door.switches.copy_rate = door.switches.bandwidth = 0
    assert done.status == 1 and "what is done is kept, and the same command goes on from here" in done.err, done
    a_minute_later(simulated.folder)
    done = simulated(f"--start --to=CNAF {more}")
    assert done.status == 0 and simulated.there() == simulated.sent(), done
    assert not simulated.open()


@pytest.mark.long
def test_a_proxy_that_ends_on_the_way_ends_the_run_and_a_further_one_goes_on(simulated, tmp_path):
    proxy = tmp_path / "proxy"
    proxy.touch(mode=0o600)
    proxy.write_bytes(simulated.grid.pki.proxy("good").read_bytes())
    simulated.env["X509_USER_PROXY"] = str(proxy)
    simulated.add("large", 3_000_000)
    assert simulated.ship("--build_list").status == 0
    simulated.grid.storm.switches.copy_rate = 1_000_000
    try:
        with simulated.running(f"--start --to=CNAF --threads=1 {simulated.more}", "check = 0.2") as run:
            wait_until((simulated.folder / "grid_uploads.csv").exists)
            proxy.write_bytes(simulated.grid.pki.proxy("expired").read_bytes())
            done = wait_for(run)
    finally:
        simulated.grid.storm.switches.copy_rate = 0
    assert done.status == 3 and "your proxy" in done.err and "expired" in done.err, done
    proxy.write_bytes(simulated.grid.pki.proxy("good").read_bytes())
    done = simulated.ship("--start")
    assert done.status == 0 and simulated.there() == simulated.sent(), done
