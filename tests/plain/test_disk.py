"""Local files and disks."""

from __future__ import annotations

import errno
import os

import pytest

from gridsync_parts.disk import disk_error, free_space, local_file
from gridsync_parts.errors import DiskError, FileError


@pytest.mark.parametrize("number", [errno.EEXIST, errno.ENOTDIR, errno.EACCES, errno.ENAMETOOLONG])
def test_what_is_wrong_with_one_file_ends_no_run(number):
    assert type(disk_error("/d/a", OSError(number, "x"))) is FileError


def test_a_full_disk_is_a_matter_of_the_disk_and_a_long_name_of_the_file():
    assert type(disk_error("/d/a", OSError(errno.ENOSPC, "x"))) is DiskError
    assert type(disk_error("/d/a", OSError(errno.ENAMETOOLONG, "x"))) is FileError


def test_free_space_is_looked_for_in_vain_but_not_for_ever(monkeypatch):
    def unreachable(*_: object) -> bool:
        return False

    monkeypatch.setattr(os.path, "isdir", unreachable)
    for folder in ("./data/", "data", "/nowhere/data", ""):
        assert free_space(folder) > 0  # of the folder where the search ends


@pytest.mark.parametrize("number", [13, 40, 127])
def test_who_may_not_look_does_not_know_whether_a_file_is_here(monkeypatch, number):
    def refused(path: str) -> None:
        raise OSError(number, os.strerror(number), path)

    monkeypatch.setattr(os, "lstat", refused)
    with pytest.raises(DiskError, match="cannot be used"):
        local_file("data/run/a")
