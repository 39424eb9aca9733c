"""Local files that are to be sent, and what is not."""

from __future__ import annotations

import os
import re

import pytest

from gridsync_parts.errors import UsageError
from gridsync_parts.outbox import Outbox
from gridsync_parts.values import Scope

ALL = Scope("LYON", "", (), ())


def collected(top: object, scope: Scope = ALL) -> Outbox:
    outbox = Outbox(str(top), scope)
    outbox.collect()
    return outbox


def paths(outbox: Outbox) -> list[str]:
    return sorted(local.path for some in outbox.folders.values() for local in some)


@pytest.fixture
def top(tmp_path):
    for name in ("b", "sub/a", "sub/deep/er/c"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "empty/er").mkdir(parents=True)
    return tmp_path


def test_what_is_in_a_folder_is_found_with_the_folders_it_is_in(top):
    outbox = collected(top)
    assert paths(outbox) == ["b", "sub/a", "sub/deep/er/c"]
    assert list(outbox.folders) == ["", "sub", "sub/deep", "sub/deep/er"]  # each after the one it is in; no empty one
    assert (outbox.files(), outbox.size()) == (3, len("bsub/asub/deep/er/c"))
    (local,) = outbox.folders[""]
    found = os.stat(top / "b")
    assert local == ("b", str(top / "b"), found.st_size, int(found.st_mtime), "")


@pytest.mark.slow
def test_folders_without_files_are_not_made(tmp_path):
    for number in range(3000):
        (tmp_path / f"{number % 50}/{number}").mkdir(parents=True)
    (tmp_path / "7/57/a").touch()
    assert list(collected(tmp_path).folders) == ["", "7", "7/57"]


def test_a_file_alone_keeps_its_name(top):
    assert [(local.path, local.file) for local in collected(top / "sub/a").folders[""]] == [("a", str(top / "sub/a"))]
    (top / "link").symlink_to("b")
    (linked,) = collected(top / "link").folders[""]  # the user has named it
    assert (linked.path, linked.file) == ("link", str(top / "b"))


def test_a_url_is_no_file_here_and_what_may_be_secret_in_it_is_not_shown():
    with pytest.raises(UsageError) as caught:
        collected("https://me:secret@door/a?authz=secret")
    assert str(caught.value) == "--put https://door/a: is a URL; name a file or folder of this machine"


@pytest.mark.parametrize("name", ["Grid.conf", "grid_uploads.csv", "data.cdat.gridsync-part"])
def test_a_file_of_gridsync_s_own_is_not_sent_when_it_is_named(top, name):
    (top / name).touch()
    with pytest.raises(UsageError, match=rf"--put {top / name}: is one of gridsync's own files and is not sent"):
        collected(top / name)


def test_patterns_that_keep_no_file_are_a_mistake(top):
    for what in (top, top / "b"):
        with pytest.raises(UsageError, match=rf"none of the \d files of {what} passes --inc and --exc; change them"):
            collected(what, ALL._replace(include=(re.compile("zzz"),)))
    assert collected(top / "empty", ALL._replace(include=(re.compile("zzz"),))).files() == 0


def test_patterns_are_tried_on_the_path_below(top):
    outbox = collected(top, ALL._replace(include=(re.compile("^sub/"),), exclude=(re.compile("c$"),)))
    assert paths(outbox) == ["sub/a"] and outbox.left_out == 2 and list(outbox.folders) == ["", "sub"]
    assert outbox.remarks() == ["--inc and --exc leave out 2 file(s)"]


def test_links_own_files_and_what_is_no_file_are_named(top):
    (top / "link").symlink_to("b")
    (top / "sub/broken").symlink_to("nowhere")
    (top / "round").symlink_to(".")
    for name in ("Grid.conf", "grid_summary.csv", "sub/grid_uploads.csv", "x.gridsync-part"):
        (top / name).touch()
    os.mkfifo(top / "pipe")
    outbox = collected(top)
    assert paths(outbox) == ["b", "sub/a", "sub/deep/er/c"]
    assert sorted(outbox.links) == sorted(str(top / name) for name in ("link", "round", "sub/broken"))
    assert len(outbox.own) == 4 and len(outbox.remarks()) == 7
    assert [str(fault) for fault in outbox.faults] == [f"{top}/pipe: is not a regular file and cannot be sent"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_cannot_be_read_is_named(top):
    (top / "sub").chmod(0)
    try:
        outbox = collected(top)
    finally:
        (top / "sub").chmod(0o755)
    assert paths(outbox) == ["b"]
    assert [str(fault) for fault in outbox.faults] == [
        f"{top}/sub: cannot be read: Permission denied; nothing in it is sent"
    ]


@pytest.mark.parametrize("name", ["gone", "pipe", "nu\0l"])
def test_what_cannot_be_sent_at_all_is_a_wrong_command_line(tmp_path, name):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match=r"^--put "):
        collected(f"{tmp_path}/{name}")


@pytest.mark.parametrize("name", ["tab\tbed", "line\nbreak", "bell\a"])
def test_a_name_with_a_control_character_is_named(top, name):
    (top / name).touch()
    outbox = collected(top)
    says = f"{top}/{name}: has a control character in its name, which doors change or refuse; rename it"
    assert paths(outbox) == ["b", "sub/a", "sub/deep/er/c"] and [str(fault) for fault in outbox.faults] == [says]
