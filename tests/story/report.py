"""docs/report.png: parts of the page that --report makes of a week at a portal, in a browser.

make picture       draws it anew, which takes ten seconds
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from gridsync_parts.report import make_page
from gridsync_parts.stats import text_of
from tests.support import TOP
from tests.support.browser import missing, visit
from tests.support.lines import week, write_records

PICTURE = TOP / "docs/report.png"
SHOWN = ("Totals", "Rate over time", "Records")  # its other parts would make it too high
HIDE = """document.querySelectorAll('main > section').forEach(one => {
    one.hidden = !%s.includes(one.querySelector('h2').innerText); });
    document.querySelectorAll('footer, .soft, details').forEach(one => { one.hidden = true; })"""


def draw(folder: Path, picture: Path) -> None:
    """Draw it, in a folder of its own."""
    write_records(folder)
    stats, page = folder / "transfers.jsonl", folder / "page.html"
    stats.write_text(text_of(week(2400), as_csv=False))
    make_page(str(stats), str(page), str(folder))
    visit(page, {"ask": HIDE % list(SHOWN)}, {"screenshot": str(picture), "whole": True}, width=1000, height=600)


if __name__ == "__main__":
    if reason := missing():
        raise SystemExit(reason)
    with tempfile.TemporaryDirectory() as name:
        draw(Path(name), PICTURE)
    print(f"{PICTURE.relative_to(TOP)}: {PICTURE.stat().st_size:,} bytes")
