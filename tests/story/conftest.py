"""Users whom several stories begin with."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.user import BIG, CLIENTS, User


@pytest.fixture
def three(user: User, folder: str) -> User:
    """A user who has listed a folder of three files on disk: empty, small and big."""
    for name, size in (("empty", 0), ("small", 20_000), ("sub/big", BIG)):
        user.grid.tree.add(f"agata/{folder}/{name}", size)
    assert user(f"--input_dir {folder} --build_list").status == 0
    return user


@pytest.fixture
def as_user(user: User, tmp_path: Path):
    """Turn the user into one of the grid's people, with one of the VOMS clients first on PATH."""

    def become(name: str, client: str = "C++") -> User:
        user.grid.voms  # noqa: B018 - it is up from here on
        programs = tmp_path / "bin"
        programs.mkdir(exist_ok=True)
        (programs / "voms-proxy-init").unlink(missing_ok=True)
        (programs / "voms-proxy-init").symlink_to(shutil.which(CLIENTS[client]) or "missing")
        home = tmp_path / "home"
        shutil.copytree(user.grid.pki.user(name), home, symlinks=True, dirs_exist_ok=True)
        user.env.update(user.grid.pki.environment(name, home))
        user.env.update(
            PATH=f"{programs}:{user.env['PATH']}", X509_USER_PROXY=str(tmp_path / "proxy"), GRIDSYNC_DIR=str(tmp_path)
        )
        return user

    return become
