"""OUTPUTDIR and the folders below it."""

from __future__ import annotations

import os

import pytest

from gridsync_parts.disk import MARK
from gridsync_parts.errors import DiskError, FileError
from gridsync_parts.home import Home


@pytest.mark.parametrize(
    "path", ["../a", "a/../../b", "/etc/passwd", "", "a//b", "a/./b", "..", "a\0b", "a/", f"a{MARK}", f"a{MARK}/b"]
)
def test_a_name_that_leaves_outputdir_or_is_like_ours_is_refused(tmp_path, path):
    with pytest.raises(FileError, match="refused"):
        Home(str(tmp_path)).place(path)


def test_a_planted_link_is_refused_and_a_linked_outputdir_is_not(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "out").symlink_to("real")
    home = Home(str(tmp_path / "out"))
    assert os.path.samestat(os.fstat(home.folder("a/b").fd), os.stat(tmp_path / "real/a/b"))
    (tmp_path / "real/c").symlink_to("/etc")
    with pytest.raises(FileError, match="a link in OUTPUTDIR leads to /etc"):
        home.folder("c/d")


def test_a_folder_on_a_disk_that_has_gone_ends_the_run(tmp_path, monkeypatch):
    home = Home(str(tmp_path))
    home.folder("sub")
    home.held.clear()
    home.devices["sub"] += 1  # as if another disk had been mounted there
    with pytest.raises(DiskError, match=r"the disk of .*/sub is gone"):
        home.folder("sub")
