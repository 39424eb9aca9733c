"""Listing folder by folder, at a site in memory."""

from __future__ import annotations

import pytest

from gridsync_parts.doors import Listing
from gridsync_parts.errors import (
    BadName,
    BadRequest,
    CredentialError,
    DoorError,
    FileError,
    Forbidden,
    GridError,
    NotFound,
    UsageError,
)
from gridsync_parts.values import UNFINISHED, Entry, Locality, Row
from gridsync_parts.walk import DOORS_SHUT, ROUND, Walk, judge, misspelt_error
from tests.support.calls import walk_all
from tests.support.constants import replace
from tests.support.memory import Memory

TREE = {"run/a": b"a", "run/data/b": b"bb", "run/data/deep/c": b"ccc", "run/d": b"", "other/e": b"eeeee"}


def paths(done: Walk) -> list[str]:
    """The files that a walk has found."""
    return sorted(entry.path for entry in done.entries)


def failures(done: Walk) -> dict[str, str]:
    """What a walk could not list, and why."""
    return {path: str(error) for path, error in done.failures.items()}


def test_a_walk_finds_all_files_below_a_folder():
    site = Memory(TREE)
    site.make("run/nothing")
    done = walk_all(site)
    assert paths(done) == ["run/a", "run/d", "run/data/b", "run/data/deep/c"]
    assert sorted(done.entries) == sorted(site.entry(path, path) for path in paths(done))
    assert done.folders == {"run", "run/data", "run/data/deep", "run/nothing"}
    assert (done.size, done.failures, done.empty) == (6, {}, ["run/nothing"])


def test_everything_is_below_the_topmost_folder():
    assert paths(walk_all(Memory(TREE), "")) == sorted(TREE)


def test_a_file_is_all_that_there_is_below_itself():
    assert paths(walk_all(Memory(TREE), "run/a")) == ["run/a"]


def test_each_folder_is_asked_for_once():
    site = Memory(TREE)
    walk_all(site, "")
    assert sorted(folder for (folder,) in site.calls("folder")) == ["", "other", "run", "run/data", "run/data/deep"]


def test_what_is_to_be_listed_is_known_as_soon_as_it_can_be():
    """Whoever lists may list several folders at once."""
    site, done = Memory(TREE), Walk("")
    assert list(done.todo) == [""]
    done.take(done.todo.popleft(), site.folder(""))
    assert list(done.todo) == ["other", "run"]
    for folder in ("run", "other"):  # their answers come as they come
        done.todo.remove(folder)
        done.take(folder, site.folder(folder))
    assert list(done.todo) == ["run/data"]


# What can't be listed.


@pytest.mark.parametrize("error", [Forbidden("no"), NotFound("gone"), FileError("odd"), DoorError("down")])
def test_a_folder_that_can_not_be_listed_is_noted_and_the_others_are_listed(error):
    site = Memory(TREE)
    site.order("folder", "run/data", error)
    done = walk_all(site)
    assert paths(done) == ["run/a", "run/d"] and done.failures == {"run/data": error}
    assert "run/data" not in done.folders


@pytest.mark.parametrize("error", [Forbidden("no"), NotFound("gone"), FileError("odd"), DoorError("down")])
def test_the_top_must_be_listed(error):
    site = Memory(TREE)
    site.order("folder", "run", error)
    with pytest.raises(type(error)) as caught:
        walk_all(site)
    assert caught.value is error


@pytest.mark.parametrize("error", [CredentialError("expired"), UsageError("wrong")])
def test_what_concerns_all_folders_ends_the_walk(error):
    site = Memory(TREE)
    site.order("folder", "run/data", error)
    with pytest.raises(type(error)):
        walk_all(site)


@pytest.mark.parametrize(
    ("failing", "is_shut"),
    [
        ("d" * (DOORS_SHUT - 1), False),
        ("d" * DOORS_SHUT, True),
        ("f" * DOORS_SHUT, False),
        ("d" * (DOORS_SHUT - 1) + "f" + "d", False),  # another failure in between
        ("d" * (DOORS_SHUT - 1) + "." + "d", False),  # a folder that is listed in between
        ("f" + "d" * (DOORS_SHUT - 1), False),
        ("." + "d" * (DOORS_SHUT - 1), False),
        ("f." + "d" * DOORS_SHUT, True),
    ],
)
def test_a_door_that_fails_again_and_again_is_shut(failing, is_shut):
    site = Memory()
    for number, kind in enumerate(failing):
        site.put(f"run/{number:02d}/file")
        if kind != ".":
            site.order("folder", f"run/{number:02d}", DoorError("down") if kind == "d" else Forbidden("no"))
    if is_shut:
        with pytest.raises(DoorError, match="down"):
            walk_all(site)
    else:
        assert len(walk_all(site).failures) == len(failing) - failing.count(".")


def test_what_is_kept_of_a_failure_keeps_nothing_that_was_read():
    def fail(found: Listing) -> Listing:
        raise FileError("odd") from ValueError(found)

    site = Memory(TREE)
    site.order("folder", "run/data", fail)
    error = walk_all(site).failures["run/data"]
    assert (error.__cause__, error.__context__, error.__traceback__) == (None, None, None)


# What a listing has in it that can't be taken.


def listed(site: Memory, folder: str, *entries: Entry) -> None:
    """Let a listing have these besides what there is."""

    def more(found: Listing) -> Listing:
        found.extend(entries)
        return found

    site.order("folder", folder, more)


def test_a_file_that_is_still_written_is_left_for_later():
    site = Memory(TREE)
    listed(site, "run", Entry("run/new", False, UNFINISHED, 1000))
    done = walk_all(site)
    assert failures(done) == {"run/new": "run/new: is still being written; list it later"}
    assert len(done.entries) == 4 and done.size == 6


def test_what_can_not_be_right_is_noted():
    site = Memory(TREE)

    def odd(found: Listing) -> Listing:
        found.leave_out("run/odd", "run", "no")
        return found

    site.order("folder", "run", odd)
    assert failures(walk_all(site)) == {"run/odd": "run: no; it is left out, ask the site"}


def test_a_base_folder_that_is_a_file_is_a_matter_of_the_settings():
    site = Memory()
    site.put("", b"x")
    with pytest.raises(UsageError, match="BASE_DIR_ON_GRID is a file"):
        walk_all(site, "")


@pytest.mark.parametrize(("depth", "found"), [(3, True), (4, False)])
def test_folders_have_a_depth(monkeypatch, depth, found):
    replace(monkeypatch, "DEEPEST", 4)
    site = Memory({"/".join(["d"] * depth + ["file"]): b""})
    done = walk_all(site, "d")
    assert bool(done.entries) is found
    too_deep = {"d/d/d/d/file": "d/d/d/d/file...: is more than 4 folders deep; ask the site"}
    assert failures(done) == ({} if found else too_deep)


@pytest.mark.parametrize(
    ("limit", "most", "ends"), [("MOST_FOLDERS", 3, False), ("MOST_FOLDERS", 2, True), ("MOST_FILES", 4, False),
                                ("MOST_FILES", 3, True)]
)  # fmt: skip
def test_a_listing_without_end_is_ended(monkeypatch, limit, most, ends):
    replace(monkeypatch, limit, most)
    if not ends:
        assert len(walk_all(Memory(TREE)).entries) == 4
        return
    with pytest.raises(DoorError, match=r"^run\S*: there are more than .* so far; choose a smaller folder"):
        walk_all(Memory(TREE))


def test_nor_has_the_topmost_one(monkeypatch):
    replace(monkeypatch, "MOST_FOLDERS", 1)
    with pytest.raises(DoorError, match=r"^/: there are more than 1 folders"):
        walk_all(Memory(TREE), "")


# Folders that are in themselves.


@pytest.mark.parametrize(
    ("loops", "most"),
    [(["run/loop"], 20), (["run/data/up", "run/data/again"], 260), (["run/loop", "run/data/up"], 150)],
)
def test_a_folder_in_itself_is_named_once_and_its_files_are_found(loops, most):
    site = Memory(TREE)
    for loop in loops:
        site.link(loop, "run")
    done = walk_all(site)
    assert set(paths(done)) >= {"run/a", "run/d", "run/data/b", "run/data/deep/c"}
    (said,) = failures(done).values()
    assert said.endswith(": contains itself through a link; its files are already listed")
    assert len(done.folders) <= most


def test_it_is_named_where_it_is_too_much():
    site = Memory({"run/a": b"a"})
    site.link("run/loop", "run")
    where = "run" + "/loop" * ROUND
    assert list(walk_all(site).failures) == [where]


@pytest.mark.parametrize(("count", "is_one"), [(ROUND, False), (ROUND + 1, True)])
def test_folders_that_look_the_same_one_in_the_other_are_one_if_they_are_many(count, is_one):
    site = Memory()
    for depth in range(1, count + 1):
        site.put("/".join(["d"] * depth + ["file"]), b"x")
    site.make("/".join(["d"] * (count + 1)))  # the last one has a folder in it, too
    assert bool(walk_all(site, "d").failures) is is_one


@pytest.mark.parametrize("other", [
    lambda site, folder: site.put(f"{folder}/file", b"longer"),
    lambda site, folder: site.put(f"{folder}/file", b"x", mtime=2000),
    lambda site, folder: site.put(f"{folder}/more", b"x"),
    lambda site, folder: site.make(f"{folder}/e"),
])  # fmt: skip
def test_those_that_differ_are_not(other):
    site = Memory()
    for depth in range(1, 2 * ROUND):
        folder = "/".join(["d"] * depth)
        site.put(f"{folder}/file", b"x")
        if depth % 2:
            other(site, folder)
    assert not walk_all(site, "d").failures


def test_folders_that_look_the_same_side_by_side_are_many():
    site = Memory({f"run/{number}/sub/file": b"x" for number in range(2 * ROUND)})
    done = walk_all(site)
    assert len(done.entries) == 2 * ROUND and not done.failures


# What was there and is not any more.


@pytest.mark.parametrize(
    ("path", "downloaded", "is_noted"),
    [("run/gone/a", False, True), ("run/gone/a", True, False), ("run/a", False, False), ("elsewhere/a", False, False)],
)
def test_a_folder_that_is_empty_now_keeps_the_files_that_are_to_come(path, downloaded, is_noted):
    site = Memory(TREE)
    site.make("run/gone")
    done = walk_all(site)
    done.note_emptied([Row(path, 1, 0, "", Locality.ONLINE, downloaded, "", "", "LYON", "")])
    reason = "run/gone: is empty now; the catalog keeps its earlier files, see --ls_dir or ask the site"
    assert failures(done) == ({"run/gone": reason} if is_noted else {})


def test_the_topmost_folder_has_a_name_in_sentences():
    done = walk_all(Memory(), "")
    done.note_emptied([Row("a", 1, 0, "", Locality.ONLINE, False, "", "", "LYON", "")])
    assert failures(done)[""].startswith("/: is empty now;")


# Names that a door lists and can't serve.


@pytest.mark.parametrize(
    ("name", "error", "listing", "is_name"),
    [
        ("run/ä", NotFound("no"), None, True),
        ("run/ä", BadRequest("what?"), None, True),
        ("run/ä", NotFound("no"), BadRequest("what?"), True),  # not even in a question
        ("run/ä", NotFound("no"), NotFound("no"), False),  # it has gone
        ("run/ä", NotFound("no"), DoorError("down"), False),
        ("run/ä", Forbidden("no"), None, False),
        ("run/ä", DoorError("down"), None, False),
        ("run/a", NotFound("no"), None, False),  # nothing is difficult in it
        ("run/%41", NotFound("no"), None, True),
        ("run/\udcff", NotFound("no"), None, True),
        ("run/folder ü", NotFound("no"), None, False),  # what is listed is in it, and not it
    ],
)
def test_a_name_that_a_door_lists_and_can_not_serve_is_a_matter_for_the_site(name, error, listing, is_name):
    site = Memory({name: b"x"} if "folder" not in name else {f"{name}/x": b""})
    if listing:
        site.order("folder", name, listing)
    found = judge(site, name, error)
    if is_name:
        assert isinstance(found, BadName)
        assert str(found) == f"{name}: the door lists this name but cannot serve it; ask the site to rename it"
    else:
        assert found is error


def test_so_is_a_folder_of_such_a_name():
    site = Memory({"run/ä/file": b"x", "run/b": b"x"})
    site.order("folder", "run/ä", BadRequest("what?"), BadRequest("what?"))
    done = walk_all(site)
    assert paths(done) == ["run/b"] and isinstance(done.failures["run/ä"], BadName)


# Folders that are not given rightly.

IS_BASE_RIGHT = " is BASE_DIR_ON_GRID in Grid.conf right?"


@pytest.mark.parametrize(
    ("folder", "kind", "more"),
    [
        ("rum", NotFound, "; did you mean run"),
        ("RUN", NotFound, "; did you mean run"),
        ("run/dat", NotFound, "; did you mean run/data"),
        ("run/data/deeep", NotFound, "; did you mean run/data/deep"),
        ("rum/data", NotFound, "; did you mean run"),  # where it goes astray
        ("zzz", NotFound, ""),
        ("run/zzz", NotFound, ""),
        ("run/data", NotFound, ""),  # all of it is there
        ("run/data", Forbidden, ""),
        ("rum", Forbidden, "; did you mean run"),
    ],
)
def test_a_misspelt_folder_is_told_with_what_is_nearest(folder, kind, more):
    error = kind(f"{folder}: no")
    found = misspelt_error(Memory(TREE).folder, "agata", "--ls_dir", folder, error)
    assert str(found) == f"{folder}: no{more}"
    assert isinstance(found, Forbidden) is (kind is Forbidden and not more)


@pytest.mark.parametrize("kind", [NotFound, Forbidden])
@pytest.mark.parametrize(("said", "joined"), [("no", f";{IS_BASE_RIGHT}"), ("is it?", f" And{IS_BASE_RIGHT}")])
def test_where_nothing_can_be_listed_the_base_may_be_wrong(kind, said, joined):
    site = Memory(TREE)
    site.order("folder", "", NotFound("no"))
    found = misspelt_error(site.folder, "agata", "--ls_dir", "run", kind(f"run: {said}"))
    assert type(found) is kind and str(found) == f"run: {said}{joined}"


@pytest.mark.parametrize(
    ("folder", "remedy"),
    [
        ("agata/run/data", "--input_dir run/data"),
        ("agata/", "--input_dir /"),
        ("agata", "--input_dir /"),
        ("agata/it's", """--input_dir 'it'"'"'s'"""),
    ],
)
def test_who_gives_the_base_too_is_told_so(folder, remedy):
    site = Memory({**TREE, "it's/a": b""})
    found = misspelt_error(site.folder, "agata", "--input_dir", folder, NotFound(f"{folder}: no"))
    said = f"there is no {folder} below BASE_DIR_ON_GRID agata/; paths begin below it: {remedy}"
    assert isinstance(found, NotFound) and str(found) == said


@pytest.mark.parametrize(
    ("folder", "kind"), [("agata/zzz", NotFound), ("agatas/run", NotFound), ("agata/run", Forbidden)]
)
def test_but_not_if_it_is_something_else(folder, kind):
    found = misspelt_error(Memory(TREE).folder, "agata", "--input_dir", folder, kind(f"{folder}: no"))
    assert str(found) == f"{folder}: no"


def test_a_hint_never_fails():
    site = Memory(TREE)
    site.order("folder", "run", GridError("down"))
    assert str(misspelt_error(site.folder, "", "--ls_dir", "run/dat", NotFound("run/dat: no"))) == "run/dat: no"
