"""make site: the pages as a website that asks nobody for anything, in which each link leads somewhere."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support import browser
from tests.support.release import TOP, tracked

pytestmark = pytest.mark.long
PYTHON = TOP / "build/sphinx/bin/python"
FROM_ELSEWHERE = r"<(?:script|img|iframe|link)\b[^>]*(?:src|href)=[\"'](?:https?:)?//|@import|url\([\"']?(?:https?:)?//"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    subprocess.run(["make", "--silent", "build/sphinx/done"], cwd=TOP, check=True)
    target = tmp_path_factory.mktemp("site") / "site"
    subprocess.run([PYTHON, TOP / "tools/site.py", target], check=True)
    return target


def pages(site: Path) -> set[str]:
    return {str(path.relative_to(site)) for path in site.rglob("*.html")}


def test_each_page_is_there_and_in_its_order(site: Path):
    named = {name for name in tracked() if re.fullmatch(r"((docs|bench)/)?[\w-]+\.md", name)} - {"README.md"}
    assert {f"{name[:-3]}.html" for name in named} | {"index.html", "docs/man.html"} <= pages(site)
    front = (site / "index.html").read_text(encoding="utf-8")
    order = re.findall(r'class="reference internal" href="([^"#]+)"', front[: front.index("<article")])
    assert order[0] == "docs/install.html" and len(order) == len(named) + 1
    assert "--proxy_status" in (site / "docs/man.html").read_text(encoding="utf-8")


def test_nothing_comes_from_elsewhere(site: Path):
    texts = {path: path.read_text(encoding="utf-8") for path in site.rglob("*") if path.suffix in (".html", ".css")}
    assert len(texts) > 30
    found = {path.name: re.findall(FROM_ELSEWHERE, text) for path, text in texts.items()}
    assert {name: what for name, what in found.items() if what} == {}


def test_links_to_other_hosts_are_listed(site: Path):
    links = (site / "links.txt").read_text().splitlines()
    assert "https://keepachangelog.com/en/1.1.0/" in links and all(link.startswith("http") for link in links)


@pytest.mark.parametrize(
    ("planted", "said"),
    [
        ("[a page](nowhere.md)", "'nowhere.md'"),
        ("[a heading](options.md#no-such-heading)", "'no-such-heading'"),
        ("[a heading here](#none)", "'none'"),
        ("<https://bad_host/page>", "https://bad_host/page is no address"),
    ],
)
def test_what_leads_nowhere_ends_it(site: Path, tmp_path: Path, planted: str, said: str):
    for name in tracked():
        if not name.startswith("tests/"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(TOP / name, tmp_path / name)
    with open(tmp_path / "docs/words.md", "a", encoding="utf-8") as file:
        file.write(f"\n{planted}\n")
    command = [PYTHON, tmp_path / "tools/site.py", tmp_path / "site"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and said in done.stderr


@pytest.mark.skipif(bool(browser.missing()), reason=browser.missing() or "-")
@pytest.mark.parametrize("width", [390, 1400])
@pytest.mark.parametrize("page", ["index.html", "docs/doors.html", "docs/man.html"])
def test_it_is_read_on_wide_and_narrow_windows(site: Path, page: str, width: int):
    seen = browser.visit(site / page, {"ask": "document.documentElement.scrollWidth"}, width=width, ready="article")
    assert seen["0"] <= width and seen["said"] == []
    assert [url for url in seen["requests"] if not url.startswith("file://")] == []
