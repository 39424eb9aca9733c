"""Users whom several stories begin with."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.grid import Grid
from tests.grid.xrootd import XRootD
from tests.support.ships import Real, Shipper, Simulated, ThroughHere
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


@pytest.fixture
def busy_marks(grid: Grid) -> Iterator[None]:
    """The simulated doors tell at once how far copies from door to door are."""
    doors = grid.door, grid.storm
    before = [door.switches.marker_interval for door in doors]
    for door in doors:
        door.switches.marker_interval = 0.05
    yield
    for door, interval in zip(doors, before):
        door.switches.marker_interval = interval


@pytest.fixture(params=["doors", "through here", "xrootd"])
def ship(
    request: pytest.FixtureRequest, grid: Grid, tmp_path: Path, folder: str, copiers: tuple[XRootD, XRootD],
    busy_marks: None,
) -> Shipper:  # fmt: skip
    """A user who copies a folder to another site."""
    if request.param == "xrootd":
        return Real(grid, tmp_path, folder, copiers)
    return {"doors": Simulated, "through here": ThroughHere}[request.param](grid, tmp_path, folder)


@pytest.fixture
def simulated(grid: Grid, tmp_path: Path, folder: str, busy_marks: None) -> Simulated:
    """The one whose sites are simulated."""
    return Simulated(grid, tmp_path, folder)


@pytest.fixture
def real(grid: Grid, tmp_path: Path, folder: str, copiers: tuple[XRootD, XRootD]) -> Real:
    """The one whose sites are real."""
    return Real(grid, tmp_path, folder, copiers)
