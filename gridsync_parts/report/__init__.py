"""A stats file as one page to look at, and its sums."""

from __future__ import annotations

import os
import time

from gridsync_parts.disk import open_regular, replacing
from gridsync_parts.errors import DiskError, UsageError
from gridsync_parts.report.flows import flow_of
from gridsync_parts.report.gather import Gathered, gather
from gridsync_parts.report.page import GENERATOR, Page, plotly_script
from gridsync_parts.stats import lines_of

ENDINGS = (".html", ".htm")
HEAD = 400  # bytes of a page in which it says what it is


def is_ours(page: str) -> bool:
    """Whether a file is a page that an earlier --report has made."""
    try:
        with open(open_regular(page), "rb") as file:
            return f'<meta name="generator" content="{GENERATOR} '.encode() in file.read(HEAD)
    except (OSError, ValueError):
        return False


def check_page(stats: str, page: str) -> None:
    """Refuse a page that can't be made, before anything is done."""
    stats, page = os.path.expanduser(stats), os.path.expanduser(page)
    if not stats:
        raise UsageError("--report makes a page of a stats file; name it with --stats=FILE on the same line")
    folder = os.path.dirname(page) or os.curdir
    if not page or os.path.isdir(page) or page.endswith("/"):
        inside = os.path.join(page, "report.html")
        raise UsageError(f"--report={page}: is a folder; name a file in it, such as {inside}")
    if os.path.realpath(page) == os.path.realpath(stats):
        raise UsageError(f"--report={page}: is the stats file itself; name another file")
    if not page.lower().endswith(ENDINGS):
        raise UsageError(f"--report={page}: ends neither in .html nor in .htm, and is a page; name it PAGE.html")
    if not os.path.isdir(folder):
        raise UsageError(f"--report={page}: there is no folder {folder}; make it, or name another one")
    if os.path.lexists(page) and not is_ours(page):
        raise UsageError(f"--report={page}: is there and is no page of --report; name another file, or remove it")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise DiskError(f"--report={page} cannot be written: {folder} is not yours to write into; name another file")
    plotly_script()


def make_page(stats: str, page: str, output_dir: str, dry_run: bool = False) -> Gathered:
    """Make the page of a stats file, in one step, or see only what it would tell; what that is."""
    check_page(stats, page)
    gathered = gather(lines_of(os.path.expanduser(stats)))
    flow = flow_of(output_dir, gathered.records)
    text = Page(gathered, flow, os.path.basename(stats), time.time()).text()
    if not dry_run:
        with replacing(os.path.expanduser(page)) as file:
            file.write(text)
    return gathered
