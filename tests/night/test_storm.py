"""What StoRM does and dCache does not, at doors that are just as their profiles say; and doors that give nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.grid import Grid
from tests.grid.door import PROFILES, Door, Switches
from tests.grid.tape import Robot
from tests.support.user import User, count_rows

ENGINES = ("http", "gfal2")
STORMS = ("storm-1.9", "storm-1.6")


@pytest.fixture(scope="module")
def strict(grid: Grid) -> Iterator[Callable[[str], Door]]:
    """The door of a profile as it is, without kindness."""
    doors: dict[str, Door] = {}

    def door(profile: str) -> Door:
        if profile not in doors:
            robot = Robot(grid.tree, drives=4, seconds=0.05)  # its own, as it ends with the door
            doors[profile] = Door(grid.tree, grid.pki, robot, profile)
            doors[profile].start()
        return doors[profile]

    yield door
    for one in doors.values():
        one.stop()


@pytest.fixture
def at_door(user: User, folder: str, strict: Callable[[str], Door]) -> Iterator[Callable[..., Door]]:
    """Put the user before a door, with a folder chosen; afterwards it is as it was."""
    used: list[Door] = []

    def put(profile: str = "storm-1.9", engine: str = "http", **keys: str) -> Door:
        used.append(strict(profile))
        for key, value in {"SERVER": f"{used[0].url}/", "ENGINE": engine, **keys}.items():
            user.set(key, value)
        user.set("INPUTDIR", folder, "gridsync")
        used[0].log.clear()
        return used[0]

    yield put
    for door in used:
        door.faults.clear()
        vars(door.switches).update(vars(Switches(**PROFILES[door.profile])))


def sentences(err: str) -> list[str]:
    return [line for line in err.splitlines() if line.startswith("gridsync.py: ")]


# == Names ==============================================================================================

SERVED = {"storm-1.9": {"good", "a+b"}, "storm-1.6": {"good", "a+b", "a b", "caf\u00e9", "why?"}}
NAMES = ("good", "a+b", "a b", "a%b", "a;b", "caf\u00e9", "why?")


@pytest.mark.parametrize("line", ["--start", "--sync"])
@pytest.mark.parametrize(("profile", "engine"), [("storm-1.9", "http"), ("storm-1.9", "gfal2"), ("storm-1.6", "http")])
def test_a_name_that_is_listed_and_not_given_is_said_to_be_one_that_the_door_cant_serve(
    user, folder, at_door, profile, engine, line
):
    door = at_door(profile, engine, TAPE_API="none")
    for name in NAMES:
        user.grid.tree.add(f"agata/{folder}/{name}", 10)
    assert user("--build_list").status == 0
    status, out, err = user(f"{line} --threads 8")
    assert status == 1 and f"Copied: {len(SERVED[profile])}, " in out
    bad = sorted(set(NAMES) - SERVED[profile])
    told = [f"gridsync.py: {folder}/{name}: the door lists this name but cannot serve it; " for name in bad]
    assert sorted(sentence.partition("ask the site")[0] for sentence in sentences(err)) == sorted(told)
    assert door.log.count(path=f"/agata/{folder}/a%b", method="GET") <= 1


@pytest.mark.parametrize("engine", ENGINES)
def test_a_folder_that_no_method_takes_is_named_so_too(user, folder, at_door, engine):
    at_door("storm-1.9", engine, TAPE_API="none")
    for path in ("a%b/x", "good/x"):
        user.grid.tree.add(f"agata/{folder}/{path}", 10)
    status, _, err = user("--build_list")
    assert status == 1 and list(user.catalog()) == [f"{folder}/good/x"]
    (sentence,) = sentences(err)
    assert f"{folder}/a%b: the door lists this name but cannot serve it" in sentence


def test_a_file_that_has_gone_is_not_said_to_have_a_bad_name(user, folder, at_door):
    at_door()
    user.grid.tree.add(f"agata/{folder}/a b", 10)
    assert user("--build_list").status == 0
    user.grid.tree.remove(f"agata/{folder}/a b")
    status, _, err = user("--start")
    assert status == 1 and "such names" not in err


def test_through_gfal2_a_name_with_percent_signs_is_what_storm_says(user, folder, at_door):
    at_door("storm-1.9", "gfal2", TAPE_API="none")
    for size, name in enumerate(("A", "%41", "%2Fetc", "100%"), 10):
        user.grid.tree.add(f"agata/{folder}/{name}", size)
    assert user("--build_list").status == 0
    sizes = {path[len(folder) + 1 :]: row["size"] for path, row in user.catalog().items()}
    assert sizes == {"A": "10", "%41": "11", "%2Fetc": "12", "100%": "13"}


# == Tokens =============================================================================================


@pytest.mark.parametrize("line", ["--ls_dir", "--build_list", "--sync"])
@pytest.mark.parametrize("issuer", [None, "https://nobody.example"])
@pytest.mark.parametrize("profile", STORMS)
def test_a_token_of_which_storm_says_500_is_a_matter_of_credentials(user, at_door, line, issuer, profile):
    door = at_door(profile, TOKEN="env:MY_TOKEN")
    token = door.token(600, iss=issuer) if issuer else "a.b.c"
    status, _, err = user(line, MY_TOKEN=token)
    assert status == 3 and len(sentences(err)) == 1 and "does not accept your proxy or token" in err
    assert door.log.count(status=401) == 1


def test_a_500_that_is_none_of_the_tokens_doing_stays_one(user, at_door):
    door = at_door(TOKEN="env:MY_TOKEN")
    door.faults.add("/agata/*", 500, method="PROPFIND")
    status, _, err = user("--ls_dir", MY_TOKEN=door.token(600))
    assert status == 4 and "the door answers 500" in err and door.log.count(status=401) == 0


# == Tape ===============================================================================================


@pytest.mark.parametrize("engine", ENGINES)
def test_without_a_tape_service_a_file_on_tape_waits_with_its_reason(user, folder, at_door, engine):
    door = at_door("storm-1.9", engine, TAPE_API="none")
    user.grid.tree.add(f"agata/{folder}/tape", 10, tape=True)
    user.grid.tree.add(f"agata/{folder}/disk", 10)
    assert user("--build_list").status == 0
    for expected in (1, 0):  # and no GET when that is known
        door.log.clear()
        status, out, err = user("--start")
        assert status == 1 and "waiting on tape: 1" in out and "names no tape service" in err, out + err
        assert "--bring_online" not in err
        assert door.log.count(path=f"/agata/{folder}/tape", method="GET") == expected
        assert user("--check_status").status == 0
        assert user.catalog()[f"{folder}/tape"]["locality"] == "NEARLINE"
    status, out, err = user("--bring_online")
    assert status == 1 and "1 file(s) are on tape, but the site names no tape service" in err
    assert "on disk already" not in out
    user.grid.tree.file(f"agata/{folder}/tape").locality = "ONLINE_AND_NEARLINE"
    if engine == "http":  # which asks where it is
        assert "Copied: 1, skipped: 1" in user("--start").out


@pytest.mark.parametrize("engine", ENGINES)
def test_without_a_tape_service_a_sync_has_an_end(user, folder, at_door, engine):
    door = at_door("storm-1.9", engine, TAPE_API="none")
    user.grid.tree.add(f"agata/{folder}/tape", 10, tape=True)
    user.grid.tree.add(f"agata/{folder}/disk", 10)
    status, out, err = user("--sync")
    assert status == 1 and "Copied: 1, skipped: 0, failed: 1" in out
    (sentence,) = sentences(err)
    assert f"{folder}/tape: is on tape, but the site names no tape service" in sentence
    assert door.log.count(path=f"/agata/{folder}/tape", method="GET") == 1


@pytest.mark.parametrize("line", ["--build_list", "--check_status", "--bring_online", "--start", "--sync"])
def test_a_tape_service_that_refuses_gfal2_is_named(user, folder, at_door, line):
    user.grid.tree.add(f"agata/{folder}/tape", 10, tape=True)
    at_door("storm-1.9")
    assert user("--build_list").status == 0
    at_door("storm-1.9", "gfal2")
    status, _, err = user(line)
    (sentence,) = sentences(err)
    assert status == 4 and "gfal2 adds a slash to addresses of the tape service" in sentence
    assert "ENGINE = http" in sentence


@pytest.mark.parametrize("engine", ENGINES)
def test_an_xrootd_that_takes_all_for_a_wish_for_macaroons_has_no_tape(user, tmp_path, engine):
    copier = user.grid.copier
    for key, value in {"SERVER": f"{copier.url}/", "BASE_DIR_ON_GRID": "scratch", "ENGINE": engine}.items():
        user.set(key, value)
    place = copier.folder / "data/scratch" / tmp_path.name
    place.mkdir()
    (place / "a").write_bytes(b"0123456789")
    status, out, err = user(f"--input_dir {tmp_path.name} --build_list --start")
    assert (status, sentences(err)) == (0, []) and "Copied: 1" in out


# == Places =============================================================================================


@pytest.mark.parametrize("line", ["--ls_dir", "--input_dir / --build_list", "--input_dir / --sync"])
@pytest.mark.parametrize(("base", "status"), [("/", 2), ("nosuch", 4)])
@pytest.mark.parametrize("engine", ENGINES)
def test_a_base_that_storm_has_not_is_named(user, at_door, engine, base, status, line):
    at_door("storm-1.9", engine, BASE_DIR_ON_GRID=base)
    result = user(line)
    (sentence,) = sentences(result.err)
    assert result.status == status and sentence.endswith("is BASE_DIR_ON_GRID in Grid.conf right?")


def test_a_folder_below_a_base_that_storm_has_not_names_it_too(user, at_door):
    at_door(BASE_DIR_ON_GRID="nosuch")
    assert "is BASE_DIR_ON_GRID in Grid.conf right?" in user("--ls_dir x").err


@pytest.mark.parametrize("engine", ENGINES)
def test_a_folder_that_is_forbidden_has_nothing_to_do_with_it(user, folder, at_door, engine):
    door = at_door("storm-1.9", engine)
    door.switches.unreadable = {f"agata/{folder}"}
    status, _, err = user(f"--ls_dir {folder}")
    assert status == 4 and "right VO?" in err and "BASE_DIR_ON_GRID" not in err


# == Doors that give nothing ============================================================================


def refuse(door: Door, folder: str) -> None:
    """By 403, or by a redirect to plain http, as each kind of door may."""
    if door.profile.startswith("dcache"):
        door.switches.redirect = "pool302-http"
    else:
        door.faults.add(f"*/{folder}/*", 403, method="GET")


@pytest.fixture
def many(user: User, folder: str) -> User:
    """A user who wants 30 files."""
    for number in range(30):
        user.grid.tree.add(f"agata/{folder}/{number:02}", 1000)
    user.grid.tree.add(f"agata/{folder}/empty", 0)  # which takes no bytes
    return user


@pytest.mark.parametrize("line", ["--build_list --start", "--sync"])
@pytest.mark.parametrize(
    ("profile", "engine"), [("dcache-10.2", "http"), ("storm-1.9", "http"), ("storm-1.9", "gfal2")]
)
def test_a_door_that_refuses_all_ends_the_run_with_one_sentence(many, folder, at_door, profile, engine, line):
    door = at_door(profile, engine, TAPE_API="none")
    refuse(door, folder)
    status, out, err = many(line)
    (sentence,) = sentences(err)
    assert status == 4 and "Copied: " in out and "the door refused the first 16 files and delivered none" in sentence
    assert 16 <= len({record.path for record in door.log.matching(method="GET") if folder in record.path}) < 24
    assert count_rows(many, "error") >= 16 and ("--sync" in line or "failed: 0" not in out)
    door.faults.clear()
    door.switches.redirect = "pool302" if profile.startswith("dcache") else "none"
    assert many(line).status == 0


@pytest.mark.parametrize("line", ["--build_list --start", "--sync"])
def test_a_door_that_has_given_a_file_may_refuse_as_many_as_it_likes(many, folder, at_door, line):
    door = at_door()
    door.faults.add(f"*/{folder}/[12]*", 403, method="GET")
    status, out, err = many(line)
    assert status == 1 and "Copied: 11, skipped: 0, failed: 20" in out
    assert len(sentences(err)) == 20 and "none" not in err


@pytest.mark.parametrize("line", ["--build_list --start", "--sync"])
def test_fewer_files_that_are_refused_are_named_each(user, folder, at_door, line):
    door = at_door()
    for number in range(15):
        user.grid.tree.add(f"agata/{folder}/{number:02}", 1000)
    refuse(door, folder)
    status, out, err = user(line)
    assert status == 1 and "Copied: 0, skipped: 0, failed: 15" in out and len(sentences(err)) == 15


