"""README.md and the pages that it leads to: each command is run, here or where TRIED says, or the text says that it was
not tested and why. README.md is short, has its sections in order, and no link leads nowhere.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.grid import Grid
from tests.grid.portal import Portal
from tests.grid.shelf import plant
from tests.support import SCRIPT
from tests.support.sections import take_over
from tests.support.stage import on_stage

DOCS = SCRIPT.with_name("docs")
README = SCRIPT.with_name("README.md").read_text(encoding="utf-8")
PROGRAM = [SCRIPT, *SCRIPT.with_name("gridsync_parts").rglob("*.py")]
SECTIONS = [
    "Install", "Your first transfer", "Overnight", "Other doors", "Trouble", "What you can rely on", "Limits",
    "Container", "Where to read on", "Benchmarks",
]  # fmt: skip
WORDS = 1500
GENERATED = r"(?s)<!-- bench -->.*<!-- /bench -->|<!-- doors -->.*<!-- end of doors -->"
# README.md and the pages with lines to type; docs/first-hour.md has a test of its own.
NAMES = ("recipes", "install", "container", "exit-status")
PAGES = [SCRIPT.with_name("README.md"), *(DOCS / f"{name}.md" for name in NAMES)]
KINDS = ("*.md", "docs/*.md", "docs/*.ipynb", "bench/*.md")
LINKING = [page for kind in KINDS for page in sorted(SCRIPT.parent.glob(kind))]
TEXTS = [page.read_text(encoding="utf-8") for page in PAGES]
INSTALL = TEXTS[2]
TRIED = {  # by what else
    "make demo": "test_the_demo_works below",
    "make test": ".ci/run",
    "gen_cert.sh alice_grid.p12": "tests/story/test_first_hour.py",
    "docker build": "make image-test",
    "docker run": "make image-test",
    "export CERTIF_DIR=": "make image-test",
    "0 * * * * docker run": "make image-test",
}
UNTRIED = ("dnf ", "brew ", "pip3 ")  # where the page says so


def commands(text: str) -> list[str]:
    """What stands in code blocks, without comments and without what is shown."""
    lines = re.findall(r"(?m)^    (\S.*)$", text)
    lines = [re.sub(r"\s+# .*", "", line) for line in lines]
    return [line for line in lines if not line.startswith("Copied")]


CRON = "*/10 * * * * $HOME/bin/"
COMMANDS = [line for text in TEXTS for line in commands(text)]
GRIDSYNC = [line for line in COMMANDS if line.startswith((CRON, "gridsync.py", "mkdir -p run"))]
OTHERS = [line for line in COMMANDS if line not in GRIDSYNC]
PIP = [line for line in commands(INSTALL[INSTALL.index("## With pip") : INSTALL.index("## EL9")]) if "apt " not in line]


def test_it_is_short_and_in_order():
    assert re.findall("(?m)^## (.*)", README) == SECTIONS
    assert len(re.sub(GENERATED, "", README).split()) < WORDS


def anchors(page: Path) -> set[str]:
    """What a link may have behind its #: headings, as GitHub writes them."""
    headings = re.findall("(?m)^#+ (.*)", page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.every(1)
@pytest.mark.parametrize("page", LINKING, ids=lambda page: str(page.relative_to(SCRIPT.parent)))
def test_every_link_leads_somewhere(page: Path):
    lost = []
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):  # of a notebook, too
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        if "://" not in link and not (target.exists() and (not anchor or anchor in anchors(target))):
            lost.append(link)
    assert lost == []


@pytest.mark.long
def test_the_lines_of_gridsync_all_work_one_after_the_other(grid: Grid, portal: Portal, tmp_path: Path):
    """At 1/64 of the size, with a folder called data for the disk, and with the portal of the grid."""
    plant(portal)
    with on_stage(grid, tmp_path) as stage:
        stage.configure("http")
        take_over(stage, {"https://opendata.cern.ch": portal.base})
        (stage.work / "results").mkdir()
        (stage.work / "results/fit.log").write_text("done")
        (stage.work / "wanted.txt").write_text("e680_1to64/e680/run_0003.dat.11-05-15_09h55m42s/Conf\n")
        for line in GRIDSYNC:
            line = line.removeprefix(CRON).replace("e680/e680/", "e680_1to64/e680/")
            line = line.replace('"$HOME/e680', '"$PWD').replace("/data2", "data2")
            if "data2" in line:
                (stage.work / "data").rename(stage.work / "data2")
            text = stage.run(line)
            assert "(status" not in text, f"$ {line}\n{text}"
            if line.endswith("--start"):
                assert "failed: 0, waiting on tape: 0" in text, f"$ {line}\n{text}"


@pytest.mark.long
def test_the_demo_of_doors_visits_each_kind_in_two_minutes():
    done = subprocess.run(
        ["make", "demo-doors"], cwd=SCRIPT.parent, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    fetched, sent = re.findall(r"(\d+) files fetched, (\d+) sent", done.stdout)[0]
    assert done.stdout.count("\nCopied: 1,") == int(fetched) >= 10 and done.stdout.count("\nSent: 1,") == int(sent) >= 4


@pytest.mark.long
def test_the_demo_of_open_data_ends_with_its_page_in_two_minutes():
    command = ["env", "--unset=DISPLAY", "--unset=WAYLAND_DISPLAY", "make", "demo-open-data"]
    done = subprocess.run(command, cwd=SCRIPT.parent, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"(?m)^34 files of 5 records, .* are verified, in \d+ s\.\n.*open-data\.html$", done.stdout)
    assert "Chromium has opened the page" in done.stdout or not Path("/usr/bin/chromium").exists()


@pytest.mark.long
def test_the_demo_of_a_repository_ends_with_published_records_in_three_minutes():
    command = ["make", "demo-repository"]
    done = subprocess.run(command, cwd=SCRIPT.parent, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "A stand-in for a repository is up" in done.stdout
    assert re.search(r"Verified: 7, damaged: 0; .* verified by checksum: 7, by size only: 0", done.stdout)
    assert re.search(r"(?m)^3 published records, .* no draft left over, in \d+ s\.$", done.stdout)


@pytest.mark.long
def test_the_demo_from_site_to_site_ends_with_all_files_there_in_two_minutes():
    command = ["make", "demo-site-to-site"]
    done = subprocess.run(command, cwd=SCRIPT.parent, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"(?m)^Killed\n", done.stdout)
    assert re.search(r"(?m)^7 files copied .*, all verified, nothing left over, in \d+ s\.$", done.stdout)


@pytest.mark.long
def test_the_demo_of_workers_ends_with_all_files_here_in_two_minutes():
    command = ["make", "demo-workers"]
    done = subprocess.run(command, cwd=SCRIPT.parent, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"(?m)^72 files copied .*, of which one was killed, all verified, in \d+ s\.$", done.stdout)


@pytest.mark.long
def test_the_demo_works():
    done = subprocess.run(["make", "demo"], cwd=SCRIPT.parent, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0 and "9 of 9 files verified and released" in done.stdout, done.stderr


@pytest.mark.long
@pytest.mark.parametrize("line", [line for line in OTHERS if line.startswith("apt install")])
def test_debian_has_the_packages(line: str):
    done = subprocess.run(["apt-get", "--simulate", *line.split()[1:]], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_copy_of_the_file_works_alone(grid: Grid, tmp_path: Path):
    (tmp_path / "Grid.conf").write_text(grid.conf("data"))
    env = {**grid.env, "HOME": str(tmp_path)}
    lines = [line for line in commands(README) if line.startswith(("mkdir -p ~", "export PATH="))]
    assert len(lines) == 2
    command = ["bash", "-c", " && ".join([*lines, 'cd "$HOME"', "gridsync.py --ls_dir e680"])]
    done = subprocess.run(command, cwd=SCRIPT.parent, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "e680_NoTraces" in done.stdout, done.stderr


@pytest.mark.long
def test_the_lines_for_pip_work_one_after_the_other(grid: Grid, tmp_path: Path):
    """In a copy without what is built here, with an empty home; the venv sees Debian's gfal2."""
    not_built_from = shutil.ignore_patterns("build", ".git", "tests", "*.egg-info")
    shutil.copytree(SCRIPT.parent, tmp_path / "source", ignore=not_built_from)
    (tmp_path / "Grid.conf").write_text(grid.conf("data").replace("[LYON]\n", "[LYON]\nENGINE = gfal2\n"))
    env = {**grid.env, "HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "GRIDSYNC_DIR": str(tmp_path)}
    lines = [*PIP, "gridsync --ls_dir e680", "GridDataSync.py --ls_dir e680", "complete -p gridsync"]
    command = ["bash", "-ec", "\n".join(lines)]
    done = subprocess.run(command, cwd=tmp_path / "source", env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout.count("e680_NoTraces") == 2, done.stderr


def test_no_other_command_is_left_untried():
    tested = ("apt install", "mkdir ", "export PATH=", *PIP, *TRIED)
    assert [line for line in OTHERS if not line.startswith((*tested, *UNTRIED))] == []
    for line in filter(lambda line: line.startswith(UNTRIED), OTHERS):
        (text,) = (text for text in TEXTS if line in text)
        before = text[: text.index(line)].rpartition(":\n")[0].rpartition("\n\n")[2]
        assert "(not tested" in before, line
    assert all(any(line.startswith(known) for line in OTHERS) for known in TRIED)


def sentences() -> list[str]:
    """What docs/trouble.md quotes of the screen, in the parts between dots."""
    table = DOCS.joinpath("trouble.md").read_text(encoding="utf-8")
    return re.findall(r"`([^`]+)`", "\n".join(row.split("|")[1] for row in table.splitlines() if row.startswith("| `")))


def test_the_sentences_of_trouble_are_those_of_the_screen():
    source = re.sub(r'"\s+f?"', "", "".join(map(Path.read_text, PROGRAM)))
    shown = SCRIPT.with_name("docs").joinpath("first-hour.md").read_text(encoding="utf-8")
    assert len(sentences()) > 15
    assert [text for text in sentences() if text not in source and text not in shown] == []
