"""Files that a list names: what is asked of the site for them, and what is found."""

from __future__ import annotations

import io

import pytest

from gridsync_parts.errors import DoorError, Forbidden, GridError, UsageError
from gridsync_parts.named import ALONE, NamedWalk, lacking, paths_in, walk_of
from gridsync_parts.values import UNFINISHED, Locality, Row, Scope, is_below
from gridsync_parts.walk import DOORS_SHUT, Walk, list_folder
from tests.support.memory import Memory

TREE = {"run/a": b"a", "run/data/b": b"bb", "run/data/deep/c": b"ccc", "run/d": b"", "other/e": b"eeeee"}


def walk_named(site: Memory, *names: str) -> NamedWalk:
    """What these names stand for, asked for one after the other."""
    walk = NamedWalk(frozenset(names))
    while walk.todo:
        asked = walk.todo.popleft()
        try:
            walk.take(asked, list_folder(site, asked))
        except GridError as error:
            walk.fail(asked, error)
    return walk


def found(walk: Walk) -> list[str]:
    return sorted(entry.path for entry in walk.entries)


def asked(site: Memory) -> list[str]:
    return sorted(folder for (folder,) in site.calls("folder"))


@pytest.mark.parametrize(
    ("path", "folders", "is_so"),
    [
        ("run/a", {"run"}, True),
        ("run/a/b/c", {"run/a"}, True),
        ("run/a", {"run/a"}, True),
        ("run", {"run/a"}, False),
        ("run2/a", {"run"}, False),
        ("run/a", {"a"}, False),
        ("run/a", {""}, True),
        ("", {""}, True),
        ("", {"run"}, False),
        ("run/a", set(), False),
    ],
)
def test_what_is_below_a_folder(path, folders, is_so):
    assert is_below(path, folders) is is_so


def test_a_scope_holds_what_a_list_names_and_what_is_below():
    scope = Scope("LYON", "", (), (), frozenset(("run/a", "other")))
    assert [path for path in TREE if scope.holds(path)] == ["run/a", "other/e"]
    assert not Scope("LYON", "run", (), (), frozenset(("other/e",))).holds("other/e")
    assert not Scope("LYON", "", (), (), frozenset()).holds("run/a")


def test_what_lists_a_scope():
    assert type(walk_of(Scope("LYON", "run", (), ()))) is Walk
    assert isinstance(walk_of(Scope("LYON", "", (), (), frozenset(("a",)))), NamedWalk)


def test_few_files_are_asked_for_one_by_one():
    site = Memory(TREE)
    walk = walk_named(site, "run/a", "run/d", "other/e")
    assert found(walk) == asked(site) == ["other/e", "run/a", "run/d"] and not walk.faults()


def test_of_many_files_the_folder_is_listed_and_nothing_else_of_it_is_taken():
    site = Memory()
    files = [f"many/{number}" for number in range(ALONE + 1)]
    for path in [*files, "many/more", "many/sub/deep"]:
        site.put(path, b"")
    walk = walk_named(site, *files)
    assert found(walk) == files and asked(site) == ["many"] and not walk.faults()
    walk_named(site, *files[1:])
    assert asked(site) == ["many", *files[1:]]


@pytest.mark.long
@pytest.mark.slow
def test_ten_thousand_files_of_a_hundred_folders_are_a_hundred_listings():
    names = [f"run/{folder}/{number}" for folder in range(100) for number in range(100)]
    site = Memory(dict.fromkeys(names, b""))
    walk = walk_named(site, *names)
    assert len(asked(site)) == 100 and found(walk) == sorted(names) and not walk.faults()


def test_a_folder_means_all_that_is_below():
    site = Memory(TREE)
    site.make("run/nothing")
    walk = walk_named(site, "run", "run/data", "run/data/b", "run/nothing")
    assert found(walk) == ["run/a", "run/d", "run/data/b", "run/data/deep/c"] and not walk.faults()
    assert asked(site) == ["run", "run/data", "run/data/deep", "run/nothing"]


def test_a_folder_among_many_files_means_all_that_is_below():
    site = Memory({**TREE, **{f"run/{number}": b"" for number in range(ALONE)}})
    walk = walk_named(site, "run/data", *(f"run/{number}" for number in range(ALONE)))
    assert "run/data/deep/c" in found(walk) and "run/a" not in found(walk) and not walk.faults()


def test_what_is_not_there_is_told_and_is_no_failure_of_what_is_known():
    site = Memory(TREE)
    walk = walk_named(site, "run/a", "run/z", "gone/y", "run/a/x", *(f"none/{number}" for number in range(9)))
    missing = sorted(["run/z", "gone/y", "run/a/x", *(f"none/{number}" for number in range(9))])
    assert found(walk) == ["run/a"] and list(walk.faults()) == missing and not walk.failures
    assert str(walk.faults()["run/z"]) == "run/z: is not at the site; --ls_dir shows what there is"


def test_what_can_not_be_listed_is_told_as_it_is():
    site = Memory(TREE)
    site.order("folder", "run/data", Forbidden("no"))
    site.order("folder", "other/e", Forbidden("never"))
    walk = walk_named(site, "run/a", "run/data", "run/data/b", "other/e")
    assert {path: str(error) for path, error in walk.faults().items()} == {"run/data": "no", "other/e": "never"}


def test_a_door_that_fails_for_one_of_them_is_noted():
    site = Memory(TREE)
    site.order("folder", "run/d", DoorError("busy"))
    walk = walk_named(site, "run/a", "run/d")
    assert found(walk) == ["run/a"] and list(walk.faults()) == ["run/d"]


@pytest.mark.parametrize("count", [1, 3, DOORS_SHUT + 5])
def test_a_door_that_fails_for_all_of_them_is_said_once(count):
    site, names = Memory(), [f"{number}/a" for number in range(count)]
    for name in names:
        site.order("folder", name, DoorError("down"))
    with pytest.raises(DoorError, match="down"):
        walk_named(site, *names)


def test_an_empty_listing_takes_nothing_from_the_catalog():
    names = [f"run/{number}" for number in range(ALONE + 1)]
    walk, site = NamedWalk(frozenset(names)), Memory()
    site.make("run")
    walk.take(walk.todo.popleft(), site.folder("run"))
    rows = [Row(name, 1, 1, "", Locality.ONLINE, False, "", "", "LYON", "") for name in names]
    walk.note_emptied(rows)
    assert list(walk.faults()) == ["run"] and "is empty now" in str(walk.faults()["run"])


def test_a_listing_with_none_of_the_names_is_not_empty():
    walk = NamedWalk(frozenset(f"run/{number}" for number in range(ALONE + 1)))
    walk.take(walk.todo.popleft(), Memory(TREE).folder("run"))
    assert walk.empty == [] and len(walk.faults()) == ALONE + 1


def test_a_file_that_is_still_being_written_is_not_missing():
    walk = NamedWalk(frozenset(("run/a",)))
    (entry,) = Memory(TREE).folder("run/a")
    found = Memory(TREE).folder("run/a")
    found[0] = entry._replace(size=UNFINISHED)
    walk.take(walk.todo.popleft(), found)
    assert [str(error) for error in walk.faults().values()] == ["run/a: is still being written; list it later"]


def test_what_others_of_the_folder_are_called_is_no_concern():
    names = [f"run/{number}" for number in range(ALONE + 1)]
    walk, listing = NamedWalk(frozenset(names)), Memory(dict.fromkeys(names, b"")).folder("run")
    listing.leave_out("run/odd", "run/odd", "odd")
    listing.leave_out("run/1", "run/1", "odd, too")
    walk.take(walk.todo.popleft(), listing)
    assert list(walk.faults()) == ["run/1"]


def test_what_a_list_lacks():
    assert lacking(["a", "b/c", "d", "e"], ["a/x/y", "b/c", "e2"]) == ["d", "e"]


READ = {
    b"a/b\n": ["a/b"],
    b"a\r\n\r\n b \n\t\nc": ["a", " b ", "c"],
    b"\xef\xbb\xbfa\n#b\n": ["a", "#b"],
    b"a//b/\n./c\n": ["a/b", "c"],
    b"https://door/x\n": ["site/x"],
    "ü\u00a0x\n".encode(): ["ü\u00a0x"],
}


@pytest.mark.parametrize("data", READ)
def test_the_paths_in_a_list(data):
    assert list(paths_in(io.BytesIO(data), "list", "", lambda url: url.replace("https://door", "site"))) == READ[data]


def test_comments_in_a_list_are_left_out_where_no_name_begins_with_their_sign():
    lines = io.BytesIO("\ufeff# muons\n5500\n  # more\n5501/a#b\n#\n".encode())
    assert list(paths_in(lines, "list", "", str, comments=True)) == ["5500", "5501/a#b"]


def test_paths_below_the_folder_of_a_url():
    lines = io.BytesIO(b"a\nhttps://door/top/b\n")
    assert list(paths_in(lines, "list", "top", lambda url: url[len("https://door/") :])) == ["top/a", "top/b"]
    for line, says in ((b"https://door/other\n", "is not in the folder of the URL"), (b".", "means the whole folder")):
        with pytest.raises(UsageError, match=says):
            list(paths_in(io.BytesIO(line), "list", "top", lambda url: url[len("https://door/") :]))
