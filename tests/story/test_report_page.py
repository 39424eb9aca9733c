"""The page of --report in a real browser: it asks for nothing, runs nothing of others', and can be read by all."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gridsync_parts.report import make_page
from gridsync_parts.stats import Line, text_of
from tests.story.report import PICTURE, draw
from tests.support import TOP
from tests.support.browser import AXE, missing, visit
from tests.support.lines import week, write_records

pytestmark = pytest.mark.long
SCRIPTS = "</script><script>window.ran = 1; alert(1)</script>"
EVILS = (
    SCRIPTS, "<img src=x onerror='window.ran = 2; alert(2)'>", '"><svg onload="window.ran = 3">',
    "\u2028window.ran = 4\u2029", "]]><!--<script>", "<a href='javascript:window.ran = 5'>x</a>", "\ud800\udc80",
    "\x00\x1b[31m\x07", "\u202egpj.exe\u200f", "%{fullData}${x}`window.ran = 6`", "'; window.ran = 8; '",
    "&lt;img src=x onerror=window.ran=7&gt;",
)  # fmt: skip
VIOLATIONS = """axe.run(document, {resultTypes: ["violations"]}).then(found => found.violations
    .filter(one => ["serious", "critical"].includes(one.impact) || one.tags.some(tag => /^wcag2a/.test(tag)))
    .map(one => one.id + ": " + one.nodes.map(node => node.html.slice(0, 200)).join(" | ")))"""
WIDTHS = "[document.documentElement.scrollWidth, innerWidth]"
FIGURES = """[...document.querySelectorAll('[data-figure]')].filter(one => one.offsetParent)
    .map(one => one.querySelectorAll('svg').length)"""
WIDER = """[...document.querySelectorAll('main *')].filter(one => one.getBoundingClientRect().right > innerWidth + 1
    && !one.closest('.plot, [aria-hidden], thead')).length"""
HOVER = """[...document.querySelectorAll('[data-figure]')]
    .filter(one => one.offsetParent && one.data[0].type === 'scatter')
    .forEach(one => one.data[0].x.forEach((x, at) => Plotly.Fx.hover(one, [{curveNumber: 0, pointNumber: at}])))"""


@pytest.fixture(scope="module", autouse=True)
def tools() -> None:
    subprocess.run(["make", "-s", "build/notebook/done", "build/axe/done", "build/plotly/done"], cwd=TOP, check=True)
    if reason := missing():
        pytest.skip(reason)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with all sections."""
    folder = tmp_path_factory.mktemp("page")
    write_records(folder)
    (folder / "s.jsonl").write_text(text_of(week(1200), as_csv=False))
    make_page(str(folder / "s.jsonl"), str(folder / "p.html"), str(folder))
    return folder / "p.html"


OPENED = {"ask": "document.querySelectorAll('details').forEach(one => { one.open = true; })"}


def seen_at(page: Path, scheme: str, *widths: int) -> dict[str, Any]:
    """What a page is at some widths, the last ones of which it is made narrower and wider to: three answers each."""
    steps = [[{"width": width}, {"ask": WIDTHS}, {"ask": FIGURES}, {"ask": WIDER}] for width in widths]
    return visit(page, OPENED, *itertools.chain(*steps), width=widths[0], scheme=scheme)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_asks_for_nothing_and_fits_every_screen(page: Path, scheme: str):
    widths = (375, 1200, 768, 320)
    seen = seen_at(page, scheme, *widths)
    assert seen["requests"] == [f"file://{page}"] and not seen["said"]
    for number, width in enumerate(widths):
        sizes, figures, wider = (seen[str(4 * number + step)] for step in (2, 3, 4))
        assert sizes == [width, width] and not wider
        assert len(figures) == (4 if width > 980 else 7) and all(figures)


@pytest.mark.parametrize("width", [375, 1200])
def test_it_is_for_all_who_read(page: Path, width: int):
    look = {"ask": VIOLATIONS, "load": str(AXE)}
    bad = {"ask": "document.querySelectorAll('p').forEach(one => { one.style.color = '#999'; })"}
    dark = {"scheme": "dark"}
    seen = visit(page, OPENED, look, dark, {"ask": "matchMedia('(prefers-color-scheme: dark)').matches"}, look, bad,
                 {"scheme": "light"}, look, width=width)  # fmt: skip
    assert seen["1"] == [] and seen["3"] is True and seen["4"] == []
    assert "color-contrast" in str(seen["7"])  # it sees what is bad


def test_it_can_be_used_without_a_mouse(page: Path):
    focus = {"ask": "document.activeElement.id || document.activeElement.className || document.activeElement.tagName"}
    ring = {"ask": "getComputedStyle(document.activeElement).outlineStyle"}
    place = {"ask": "document.activeElement.getBoundingClientRect().top >= 0"}
    is_open = {"ask": "document.activeElement.parentNode.open"}
    tab, enter = {"key": "Tab"}, {"key": "Enter"}
    seen = visit(page, tab, focus, place, ring, enter, focus, tab, focus, ring, enter, is_open)
    assert (seen["1"], seen["2"], seen["3"]) == ("skip", True, "solid")
    assert (seen["5"], seen["7"], seen["8"], seen["10"]) == ("main", "SUMMARY", "solid", True)


def test_figures_are_of_the_day_or_the_night_and_on_paper_of_the_day(page: Path, tmp_path: Path):
    ink = "getComputedStyle(document.querySelector('[data-figure] .xtick text')).fill"
    watch = {"ask": f"window.addEventListener('beforeprint', () => {{ window.printed = [{ink}, {FIGURES}]; }})"}
    pdf = {"pdf": str(tmp_path / "page.pdf")}
    day = visit(page, {"ask": ink}, watch, pdf, {"ask": "printed"}, {"ask": ink})
    night = visit(page, {"ask": ink}, watch, pdf, {"ask": "printed"}, {"ask": ink}, {"ask": WIDTHS}, scheme="dark")
    assert day["0"] == day["4"] == day["3"][0] == night["3"][0] and night["0"] == night["4"] != day["0"]
    assert len(night["3"][1]) == 7 and all(night["3"][1]) and night["5"] == [1200, 1200]
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", (tmp_path / "page.pdf").read_bytes())) <= 9


def test_without_scripts_the_numbers_are_there(page: Path):
    seen = visit(page, {"ask": "document.body.innerText"}, scripts=False)
    assert "Figures need JavaScript" in seen["0"] and "1,2" in seen["0"] and "503 Service Unavailable" in seen["0"]


@pytest.mark.parametrize("bypass_csp", [False, True])
def test_names_errors_and_records_run_nothing(tmp_path: Path, bypass_csp: bool):
    lines: list[Line] = []
    for number, (line, evil) in enumerate(zip(week(1000), EVILS * 3)):
        about = {"key": f"cms-{number % 9}/{evil}", "site": evil, "direction": evil, "host": evil, "verified": evil}
        lines.append(line._replace(**about, error=evil, status="failed" if number % 3 else "ok"))
    for number, evil in enumerate(EVILS[:9]):
        (tmp_path / f"cms-{number}").mkdir()
        metadata = {
            "title": evil, "date_created": [f"20{10 + number}"], "categories": {"primary": evil},
            "type": {"primary": evil}, "collision_information": {"energy": evil},
            "distribution": {"formats": [evil]},
        }  # fmt: skip
        (tmp_path / f"cms-{number}/record.json").write_text(json.dumps({"metadata": metadata}))
    stats = tmp_path / f"{SCRIPTS.replace('/', '')}.jsonl"
    stats.write_text(text_of(lines, as_csv=False), encoding="utf-8", errors="surrogateescape")
    make_page(str(stats), str(tmp_path / "p.html"), str(tmp_path))
    ran = {"ask": "[window.ran, document.scripts.length, document.images.length]"}
    strange = {"ask": "document.querySelectorAll('main a, main [onerror], main [onload]').length"}
    steps = [{"ask": HOVER}, ran, strange, {"ask": FIGURES}]
    seen = visit(tmp_path / "p.html", *steps, {"width": 375}, *steps, bypass_csp=bypass_csp)
    assert seen["1"] == seen["6"] == [None, 3, 0] and seen["2"] == seen["7"] == 0 and all(seen["3"] + seen["8"])
    assert not seen["dialogs"] and not seen["said"] and len(seen["requests"]) == 1


def odd_lines() -> dict[str, list[Line]]:
    """Lines of which figures could be made that are none."""
    first, *others = week(40)
    failed = [line._replace(status="failed", bytes=0, error="broken") for line in others]
    years = "2001" + first.start[4:]
    return {
        "one": [first], "failed": failed, "none": [], "empty": [first._replace(size=0, bytes=0)],
        "instants": [line._replace(end=line.start, duration_s=0.0, rate_Bps=0.0) for line in others],
        "huge": [line._replace(size=10**17, bytes=10**17, duration_s=1e-6, rate_Bps=9e17) for line in others],
        "years": [first._replace(start=years, end=years), *others], "skipped": [first._replace(status="skipped")],
        "alike": [first._replace(key=str(n)) for n in range(2000)],
    }  # fmt: skip


@pytest.mark.parametrize("name", odd_lines())
def test_figures_of_odd_lines_are_drawn(tmp_path: Path, name: str):
    lines = odd_lines()[name]
    (tmp_path / "s.jsonl").write_text(text_of(lines, as_csv=False))
    make_page(str(tmp_path / "s.jsonl"), str(tmp_path / "p.html"), str(tmp_path))
    seen = visit(tmp_path / "p.html", {"ask": FIGURES}, {"ask": "document.body.innerText"}, {"ask": WIDTHS}, width=375)
    assert all(seen["0"]) and not seen["said"] and not re.search("NaN|undefined|Infinity", seen["1"])
    assert seen["2"] == [375, 375]


def test_the_policy_of_the_page_holds_what_an_escape_would_miss(page: Path, tmp_path: Path):
    inside = f"<main>{SCRIPTS}<img src='https://example.org/x.png' onerror='window.ran = 1'>"
    (tmp_path / "p.html").write_text(page.read_text().replace("<main", inside, 1))
    seen = visit(tmp_path / "p.html", {"ask": "window.ran"})
    assert "0" not in seen or seen["0"] is None
    assert not seen["dialogs"] and "Content Security Policy" in str(seen["said"])


def test_the_picture_of_the_readme_is_drawn_by_a_command_and_small(tmp_path: Path):
    draw(tmp_path, tmp_path / "one.png")
    for picture in (tmp_path / "one.png", PICTURE):
        assert picture.read_bytes()[:4] == b"\x89PNG" and 50_000 < picture.stat().st_size < 300_000


def test_the_plotly_of_pypi_draws_the_same(page: Path, tmp_path: Path):
    code = "import sys; from gridsync_parts.report import make_page; make_page(*sys.argv[1:])"
    folder = page.parent
    words = [TOP / "build/plotly/bin/python", "-c", code, folder / "s.jsonl", tmp_path / "p.html", folder]
    subprocess.run(words, cwd=TOP, check=True)
    assert (tmp_path / "p.html").stat().st_size < page.stat().st_size - (2 << 20)  # it is smaller
    look = {"ask": VIOLATIONS, "load": str(AXE)}
    steps = [{"ask": WIDTHS}, {"ask": FIGURES}]
    seen = visit(tmp_path / "p.html", *steps, look, {"width": 375}, *steps, {"scheme": "dark"}, look)
    assert seen["0"] == [1200, 1200] and seen["4"] == [375, 375] and len(seen["requests"]) == 1 and not seen["said"]
    assert len(seen["1"]) == 4 and len(seen["5"]) == 7 and all(seen["1"] + seen["5"]) and seen["2"] == seen["7"] == []
