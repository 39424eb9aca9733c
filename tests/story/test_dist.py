"""make dist: what a release consists of, the same to the byte for whoever builds it; test_pip.py installs its wheel."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from gridsync_parts import __version__
from tests.support.release import TOP, checkout, release, tracked

pytestmark = pytest.mark.long
SDIST, IMAGE = f"gridsync-{__version__}.tar.gz", f"gridsync-image-{__version__}.tar.gz"
WHEEL = f"gridsync-{__version__}-py3-none-any.whl"
FOR_GIT = {".ci/run", ".gitignore"}
BY_SETUPTOOLS = {"PKG-INFO", "setup.cfg"}


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return release(checkout(tmp_path_factory.mktemp("first")))


def members(path: Path) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(path) as tar:
        return {info.name: info for info in tar}


def test_it_is_whole_and_its_sums_are_right(dist: Path):
    names = {path.name for path in dist.iterdir()}
    assert names == {SDIST, WHEEL, IMAGE, "gridsync.py", "SHA256SUMS"}
    sums = {name: hashlib.sha256((dist / name).read_bytes()).hexdigest() for name in names - {"SHA256SUMS"}}
    assert dist.joinpath("SHA256SUMS").read_text() == "".join(f"{sums[name]}  {name}\n" for name in sorted(sums))
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=dist, check=True)


def test_somebody_else_gets_the_same_bytes(dist: Path, tmp_path: Path):
    odd = {"UMASK": "077", "TZ": "Asia/Tokyo", "LC_ALL": "C", "SOURCE_DATE_EPOCH": "1", "PYTHONHASHSEED": "7"}
    again = release(checkout(tmp_path / "elsewhere"), **odd)
    assert {path.name: path.read_bytes() for path in again.iterdir()} == {
        path.name: path.read_bytes() for path in dist.iterdir()
    }


def test_the_source_is_what_git_has_and_nothing_else(dist: Path):
    top = f"gridsync-{__version__}/"
    found = {name.removeprefix(top) for name in members(dist / SDIST)}
    assert {name for name in found if "egg-info/" not in name} - BY_SETUPTOOLS == tracked() - FOR_GIT
    modes = {(info.mode, info.uid, info.uname) for info in members(dist / SDIST).values()}
    assert modes == {(0o644, 0, ""), (0o755, 0, "")}


def test_the_source_makes_the_same_wheel(dist: Path, tmp_path: Path):
    shutil.unpack_archive(dist / SDIST, tmp_path)
    when = str(int(members(dist / SDIST)[f"gridsync-{__version__}/setup.cfg"].mtime))
    command = [TOP / "build/dist/bin/pip", "wheel", "--quiet", "--no-build-isolation", "--no-deps", "--wheel-dir=."]
    source = tmp_path / f"gridsync-{__version__}"
    subprocess.run([*command, source], cwd=tmp_path, env={"SOURCE_DATE_EPOCH": when, "PATH": "/usr/bin"}, check=True)
    assert (tmp_path / WHEEL).read_bytes() == (dist / WHEEL).read_bytes()


def test_the_wheel_has_the_program_and_what_shells_and_man_look_for(dist: Path):
    with zipfile.ZipFile(dist / WHEEL) as wheel:
        names = {name for name in wheel.namelist() if not re.match(r"gridsync-[\d.]+\.(data|dist-info)/", name)}
    assert names == {
        "gridsync.py", "gridsync-stubs/__init__.pyi",
        *(name for name in tracked() if name.startswith("gridsync_parts/")),
    }  # fmt: skip


def test_the_one_file_is_that_of_this_folder(dist: Path, tmp_path: Path):
    subprocess.run([TOP / "tools/one_file.py", tmp_path / "gridsync.py"], check=True)
    assert (tmp_path / "gridsync.py").read_bytes() == (dist / "gridsync.py").read_bytes()
    said = subprocess.run([dist / "gridsync.py", "--version"], capture_output=True, text=True, check=True).stdout
    assert said.startswith(f"gridsync {__version__}+")


def test_the_recipe_is_what_a_build_of_the_image_may_see(dist: Path):
    let_in = re.findall(r"(?m)^!(.*)$", TOP.joinpath(".dockerignore").read_text())
    seen = {name for name in tracked() if any(name == top or name.startswith(f"{top}/") for top in let_in)}
    assert set(members(dist / IMAGE)) == seen | {"Dockerfile", ".dockerignore"}
    copied = re.findall(r"(?m)^COPY (?!--from)(.*) \S+$", TOP.joinpath("Dockerfile").read_text())
    for word in " ".join(copied).split():
        assert any(name == word or name.startswith(f"{word}/") for name in seen), word


def test_what_is_not_committed_is_not_released(dist: Path):
    path = dist.parent / "LICENSE"
    text = path.read_text()
    try:
        path.write_text(f"{text}\n")
        done = subprocess.run(["make", "dist"], cwd=dist.parent, capture_output=True, text=True, check=False)
    finally:
        path.write_text(text)
    assert done.returncode == 2 and "Commit what has changed first" in done.stderr and " M LICENSE" in done.stderr
    assert (dist / WHEEL).exists()
