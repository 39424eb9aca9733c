"""pip: the wheel of a release is installed, and all that it brings works from where it then is."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from gridsync_parts import __version__
from tests.grid import Grid, agata
from tests.support import SCRIPT
from tests.support.release import checkout, release
from tests.support.shell import SHELLS, Shell
from tests.support.start_up import HEAVY, loaded, times_bare

pytestmark = pytest.mark.long
TOP = SCRIPT.parent


@pytest.fixture(scope="module")
def venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A venv that sees Debian's gfal2 and has the wheel of make dist."""
    folder = tmp_path_factory.mktemp("pip")
    dist, venv = release(checkout(folder / "source")), folder / "venv"
    subprocess.run(["/usr/bin/python3", "-m", "venv", "--system-site-packages", venv], check=True)
    for line in (
        ["install", "--ignore-installed", "--requirement", TOP / "tools" / "pip.txt"],
        ["install", "--no-index", "--find-links", dist, "gridsync"],
    ):
        subprocess.run([venv / "bin" / "pip", line[0], "--quiet", *line[1:]], check=True, timeout=300)
    return venv


def test_nothing_else_comes_with_it(venv: Path):
    here = {str(path.relative_to(venv)) for path in (venv / "share").rglob("*") if path.is_file()}
    assert here == {
        "share/gridsync/vomses/vo.agata.org-voms-agata.ijclab.in2p3.fr",
        "share/gridsync/vomsdir/vo.agata.org/voms-agata.ijclab.in2p3.fr.lsc",
        "share/gridsync/do_grid_completion.sh", "share/man/man1/gridsync.1", "share/zsh/site-functions/_gridsync",
        *(f"share/bash-completion/completions/{name}" for name in ("gridsync", "gridsync.py", "GridDataSync.py")),
    }  # fmt: skip


def test_it_is_this_version(venv: Path):
    said = subprocess.run([venv / "bin" / "gridsync", "--version"], capture_output=True, text=True, check=True).stdout
    assert said == f"gridsync {__version__}\n"


@pytest.mark.parametrize("engine", ["http", "gfal2"])
@pytest.mark.parametrize("name", ["gridsync", "GridDataSync.py"])
def test_the_commands_work_under_their_names(venv: Path, grid: Grid, tmp_path: Path, name: str, engine: str):
    (tmp_path / "Grid.conf").write_text(grid.conf("data").replace("[LYON]\n", f"[LYON]\nENGINE = {engine}\n"))
    run = {"cwd": tmp_path, "env": grid.env, "capture_output": True, "text": True, "check": False}
    done = subprocess.run([venv / "bin" / name, "--ls_dir", "e680"], **run)
    assert done.returncode == 0 and "e680_NoTraces" in done.stdout, done.stderr
    assert subprocess.run([venv / "bin" / name, "--star"], **run).stderr.startswith(f"{name}: no such option")


def test_it_brings_what_it_needs_and_gfal2_if_that_is_wished(venv: Path):
    code = "from importlib.metadata import requires; print(*sorted(requires('gridsync')), sep='\\n')"
    told = subprocess.run([venv / "bin" / "python3", "-c", code], capture_output=True, text=True, check=True).stdout
    assert re.sub("['\" ]|[<>]=[0-9.]+", "", told).splitlines() == [
        "dask-jobqueue;extra==workers", "distributed;extra==workers", "gfal2-python;extra==gfal2",
        "plotly;extra==report", "requests", "tqdm",
    ]  # fmt: skip


def test_a_tape_service_is_asked_with_the_requests_of_pip(venv: Path, grid: Grid, tmp_path: Path):
    (tmp_path / "Grid.conf").write_text(grid.conf("data"))
    grid.door.log.clear()
    words = ["--input_dir", f"e680_1to64/{agata.RUN}/Conf", "--build_list", "--check_status"]
    command = [venv / "bin" / "gridsync", *words]
    done = subprocess.run(command, cwd=tmp_path, env=grid.env, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and grid.door.log.count(role="tape", method="POST"), done.stderr
    assert "Warning" not in done.stderr


def test_programs_read_from_the_grid_without_an_import(venv: Path, grid: Grid, tmp_path: Path):
    (tmp_path / "Grid.conf").write_text(grid.conf("data"))
    grid.tree.file("agata/host_adler32").locality = "ONLINE"
    read = "len(fsspec.open('grid://LYON/host_adler32').open().read())"
    code = f"import fsspec, sys; print({read}, 'gridsync' in sys.modules)"
    command = [venv / "bin" / "python3", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=grid.env, capture_output=True, text=True, check=False)
    assert done.stdout == "158 False\n", done.stderr


def test_lines_and_names_of_ctadata_are_there(venv: Path, grid: Grid, tmp_path: Path):
    grid.hub.reset()
    env = {**grid.env, "CTADS_URL": f"{grid.hub.url}/", "JUPYTERHUB_API_TOKEN": grid.hub.token}
    listing = "from gridsync_parts import ctadata; print(*map(str, ctadata.list_dir('lst')))"
    lines = {("-c", listing): "lst/ lst/users/\n", ("-m", "gridsync_parts.ctadata", "list", "lst"): "lst/users/\n"}
    for words, out in lines.items():
        command = [venv / "bin" / "python3", *words]
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, out, "")


def test_programs_are_checked_against_the_types_that_come_with_it(venv: Path, tmp_path: Path):
    subprocess.run(["make", "-s", "build/lint/done"], cwd=TOP, check=True)
    program = shutil.copy(TOP / "tests/story/typed.py", tmp_path)
    mypy = [TOP / "build/lint/bin/mypy", "--strict", "--python-executable", venv / "bin/python3", "--cache-dir=mypy"]
    done = subprocess.run([*mypy, program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    with open(program, "a", encoding="utf-8") as file:
        file.write("\n\nwrong: int = gridsync.open_site(3)\ngridsync.nothing\n")
    said = subprocess.run([*mypy, program], cwd=tmp_path, capture_output=True, text=True, check=False).stdout
    assert "has incompatible type" in said and 'has no attribute "nothing"' in said


def test_help_loads_nothing_heavy_and_is_there_at_once(venv: Path):
    command = (venv / "bin" / "python3", venv / "bin" / "gridsync")
    modules = loaded(*command)
    assert "optparse" in modules and not modules & HEAVY
    assert times_bare(*command) <= 2.5


@pytest.mark.parametrize("is_on_path", [True, False])
def test_the_remedy_finds_gen_cert(venv: Path, tmp_path: Path, is_on_path: bool):
    path = f"{venv / 'bin'}:" * is_on_path + "/usr/bin:/bin"
    env = {"HOME": str(tmp_path), "GRIDSYNC_DIR": str(tmp_path), "PATH": path}
    run = {"env": env, "capture_output": True, "text": True, "check": False}
    done = subprocess.run([venv / "bin" / "gridsync", "--new_proxy"], **run)
    remedy = done.stderr.rpartition(": ")[2].strip()
    assert remedy == f"{'gen_cert.sh' if is_on_path else venv / 'bin' / 'gen_cert.sh'} FILE.p12"
    done = subprocess.run(["bash", "-c", remedy], **run)
    assert (done.returncode, done.stderr) == (2, "FILE.p12 is not a readable file.\n")


def test_the_manual_page_is_shown(venv: Path):
    done = subprocess.run(
        ["groff", "-man", "-Tascii", venv / "share/man/man1/gridsync.1"], capture_output=True, text=True, check=True
    )
    assert "--proxy_status" in re.sub(".\b", "", done.stdout)  # what is bold is struck twice


@pytest.mark.parametrize("name", ["gridsync", "gridsync.py", "GridDataSync.py"])
@pytest.mark.parametrize("shell", SHELLS)
def test_tab_completes_without_a_line_in_the_users_own_files(venv: Path, tmp_path: Path, shell: str, name: str):
    share = venv / "share"
    loading = {
        "bash": f"XDG_DATA_HOME='{share}'; . /usr/share/bash-completion/bash_completion",
        "zsh": f"fpath=('{share}/zsh/site-functions' $fpath); autoload -Uz compinit; compinit -u -D",
    }
    here = Shell(shell, tmp_path, loading=loading[shell])
    try:
        assert here.line(f"{name} --rel\t").rstrip() == f"{name} --release"
        assert here.line(f"{name} --from=CN\t").rstrip() == f"{name} --from=CNAF"
    finally:
        here.close()
