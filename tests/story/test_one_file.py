"""make one-file: what it builds runs wherever it is copied to, shows what gridsync.py shows, and is always the same."""

from __future__ import annotations

import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.grid import Grid
from tests.support import SCRIPT
from tests.support.stage import difference, on_stage, played
from tests.support.start_up import HEAVY, loaded, times_bare
from tests.support.user import User

TOOL = SCRIPT.parent / "tools" / "one_file.py"
PYTHON = "/usr/bin/python3"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file, alone in a folder."""
    path = tmp_path_factory.mktemp("alone") / "gridsync.py"
    subprocess.run([PYTHON, TOOL, path], check=True)
    return path


def said(*command: object) -> str:
    done = subprocess.run(list(map(str, command)), cwd="/", capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.long
def test_it_is_the_same_whenever_and_wherever_it_is_built(built: Path, tmp_path: Path):
    top = tmp_path / "another checkout"
    shutil.copytree(TOOL.parent, top / "tools")
    shutil.copytree(SCRIPT.with_name("gridsync_parts"), top / "gridsync_parts", copy_function=shutil.copyfile)
    shutil.copyfile(SCRIPT, top / "gridsync.py")
    (top / "gridsync_parts" / "__pycache__").mkdir(exist_ok=True)
    (top / "gridsync_parts" / "__pycache__" / "errors.cpython-311.pyc").write_bytes(b"stale")
    env = {"PATH": "/usr/bin", "TZ": "Asia/Tokyo", "LC_ALL": "C", "PYTHONHASHSEED": "7", "PYTHONOPTIMIZE": "2"}
    subprocess.run(["bash", "-c", f"umask 077; {PYTHON} tools/one_file.py"], cwd=top, env=env, check=True)
    again = top / "dist" / "gridsync.py"
    assert again.read_bytes() == built.read_bytes() and again.stat().st_mode & 0o777 == 0o755


def test_it_says_which_build_it_is(built: Path):
    assert re.fullmatch(r"gridsync [\d.]+\+[0-9a-f]{8}\n", said(built, "--version"))


@pytest.mark.parametrize("how", [[], [PYTHON], [PYTHON, "-I"], [PYTHON, "-P"]], ids=" ".join)
def test_it_helps_as_the_script_does(built: Path, how: list[str]):
    assert said(*how, built, "--help") == said(PYTHON, SCRIPT, "--help")


def test_another_python_takes_the_sources(built: Path, tmp_path: Path):
    path = tmp_path / "gridsync.py"
    with zipfile.ZipFile(built) as whole, zipfile.ZipFile(path, "w") as other:
        for name in whole.namelist():
            data = whole.read(name)
            other.writestr(name, b"\0\0\r\n" + data[4:] if name.endswith(".pyc") else data)  # Python's own number
    assert said(PYTHON, path, "--help") == said(PYTHON, SCRIPT, "--help")


def is_fit(python: str) -> bool:
    """Whether there is such a Python, and gridsync can run on it."""
    command = [python, "-c", "import sys; sys.exit(sys.version_info < (3, 9))"]
    return bool(shutil.which(python)) and not subprocess.run(command, capture_output=True, check=False).returncode


@pytest.mark.long
def test_all_pythons_of_this_machine_run_it(built: Path):
    pythons = filter(is_fit, ["python3", *(f"python3.{minor}" for minor in range(9, 20))])
    assert {said(python, built, "--version") for python in pythons} == {said(PYTHON, built, "--version")}


def test_it_needs_no_home_and_writes_nothing_where_it_is(built: Path, tmp_path: Path):
    folder, work, link = tmp_path / "bin", tmp_path / "work", tmp_path / "GridDataSync.py"
    folder.mkdir()
    work.mkdir()
    shutil.copy(built, folder)
    (folder / "gridsync.py").chmod(0o555)
    link.symlink_to(folder / "gridsync.py")
    folder.chmod(0o555)
    run = {"env": {"GRIDSYNC_DIR": str(work)}, "cwd": "/", "capture_output": True, "text": True, "check": False}
    done = subprocess.run([link, "--show_conf"], **run)
    assert (done.returncode, done.stderr) == (0, "") and "SERVER" in done.stdout
    assert subprocess.run([link, "--star"], **run).stderr.startswith("GridDataSync.py: no such option: --star; did you")
    assert [path.name for path in folder.iterdir()] == ["gridsync.py"]


@pytest.mark.long
def test_help_loads_nothing_heavy_and_is_there_at_once(built: Path):
    modules = loaded(PYTHON, built)
    assert "optparse" in modules and not modules & HEAVY
    assert times_bare(PYTHON, built) <= 2.5


@pytest.mark.long
def test_it_plays_the_manuals_example(built: Path, grid: Grid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shutil.copy(SCRIPT.with_name("gen_cert.sh"), built.parent)
    monkeypatch.setattr("tests.support.stage.SCRIPT", built)
    told = (Path(__file__).parent / "cases" / "manual.txt").read_text(encoding="utf-8")
    with on_stage(grid, tmp_path) as stage:
        stage.configure("http")
        text = played(stage, told, "http")
    assert difference(told, text, "tests/story/cases/manual.txt", "of the one file") == ""


@pytest.mark.long
def test_its_workers_run_it_too(built: Path, mixed: User, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tests.support.user.SCRIPT", built)
    result = mixed("--sync --workers=local:2")
    assert result.status == 0 and "Copied: 9" in result.out, result


def test_the_script_alone_says_what_to_copy(tmp_path: Path):
    shutil.copy(SCRIPT, tmp_path)
    done = subprocess.run([PYTHON, tmp_path / "gridsync.py", "--help"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("gridsync: gridsync.py cannot find its folder gridsync_parts; copy dist/gridsync.py ")
    assert len(done.stderr.splitlines()) == 1
