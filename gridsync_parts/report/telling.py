"""What the page tells, in a screen of a terminal."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from gridsync_parts.report import make_page
from gridsync_parts.report.gather import Gathered
from gridsync_parts.report.page import cards, span_text
from gridsync_parts.report.said import counted, rate_text, seconds_text
from gridsync_parts.report.tables import notes
from gridsync_parts.runs import Runs
from gridsync_parts.secrets import make_printable
from gridsync_parts.words import size_text

WIDTH = 79  # columns
REASONS, SLOW = 5, 5  # lines of each


def cut(text: str, width: int, is_name: bool = False) -> str:
    """Text that fits; of a name the end says more."""
    text = make_printable(text)
    if len(text) <= width:
        return text
    return f"...{text[3 - width :]}" if is_name else f"{text[: width - 3]}..."


def summary(gathered: Gathered, name: str, page: str) -> Iterator[str]:
    """The lines: at most 24."""
    yield cut(f"Transfers in {name}: {counted(gathered.lines, 'line')}", WIDTH)
    yield span_text(gathered)
    for title, number, remark, _ in cards(gathered):
        yield f"  {title:<18}{number:>14}   {remark}"
    if failures := gathered.failures():
        yield "Failures by reason (attempts)"
        yield from (f"{reason.attempts:>8,}  {cut(reason.text, WIDTH - 10)}" for reason in failures[:REASONS])
    if slowest := gathered.slowest():
        yield "Slowest files"
        for file in slowest[:SLOW]:
            rate = rate_text(file.rate)
            yield f"{seconds_text(file.seconds):>10} {size_text(file.bytes):>10} {rate:>12}  {cut(file.key, 43, True)}"
    yield from list(notes(gathered))[:3]
    yield f"Page: {make_printable(page)}"


def document(gathered: Gathered, page: str) -> dict[str, Any]:
    """The same for programs."""
    sums, when = gathered.all(), gathered.when
    width = when.timeline.width()
    sites = [
        {"site": site, "direction": direction, "ok": one.ok, "skipped": one.skipped, "missing": one.missing,
         "failed_attempts": one.attempts, "interrupted_attempts": one.interrupted, "bytes": one.bytes,
         "rate": one.rate(width)}
        for (site, direction), one in sorted(gathered.sites.items())
    ]  # fmt: skip
    return {
        "page": page, "lines": gathered.lines, "left_out": gathered.left_out, "ok": sums.ok, "skipped": sums.skipped,
        "missing": sums.missing, "failed_attempts": sums.attempts, "interrupted_attempts": sums.interrupted,
        "by_checksum": sums.by_checksum, "by_size": sums.by_size, "bytes": sums.bytes,
        "deposited": sum(status != "failed" for status in gathered.deposits.values()),
        "seconds": sums.spans.seconds(width), "rate": sums.rate(width),
        "first": when.first if when.first <= when.last else None,
        "last": when.last if when.first <= when.last else None, "sites": sites,
        "failures": [reason._asdict() for reason in gathered.failures()],
        "slowest": [file._asdict() for file in gathered.slowest()],
    }  # fmt: skip


def tell_report(run: Runs) -> None:
    """Make the page that the line names, and tell what is in it."""
    wishes = run.wishes
    gathered = make_page(wishes.stats, wishes.report, run.settings.output_dir, wishes.dry_run)
    run.report.put(report=document(gathered, wishes.report))
    page = f"would be {wishes.report}" if wishes.dry_run else wishes.report
    for line in summary(gathered, os.path.basename(wishes.stats), page):
        run.report.line(line)
