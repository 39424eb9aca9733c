"""One page with all in it: text, tables, figures and the script that draws them. It asks for nothing from anywhere."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from gridsync_parts import __version__
from gridsync_parts.errors import UsageError
from gridsync_parts.report.dress import SCRIPT, STYLE
from gridsync_parts.report.figures import Figure, flow_figures, usual_rates
from gridsync_parts.report.figures import durations as duration_figure
from gridsync_parts.report.figures import rates as rate_figure
from gridsync_parts.report.figures import sizes as size_figure
from gridsync_parts.report.flows import Flow
from gridsync_parts.report.gather import Gathered
from gridsync_parts.report.markup import Table, drawn, kept
from gridsync_parts.report.said import counted, moment_text, rate_text, safe, seconds_text, short_rate, width_text
from gridsync_parts.report.tables import durations, failures, flow, notes, rates, sites, sizes, slowest
from gridsync_parts.words import size_text

GENERATOR = "gridsync --report"  # by which a page of ours is known


def plotly_script() -> str:
    """plotly's own script, as its package brings it: PyPI's below the package, Debian's in /usr/share."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise UsageError(
            "--report needs plotly; on Debian: apt install python3-plotly, elsewhere: pip install plotly"
        ) from error
    try:
        text = str(get_plotlyjs())
    except (OSError, AttributeError) as error:
        raise UsageError("plotly lacks its script; install it anew: apt install --reinstall python3-plotly") from error
    # A page ends a script at the first of these, wherever it stands.
    text = text.replace("</script", "<\\/script").replace("<!--", "<\\!--")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def as_data(value: Any) -> str:
    """JSON that a page takes for nothing else."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def digest_of(script: str) -> str:
    """By which a page knows a script that it may run."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def span_text(gathered: Gathered) -> str:
    """From when to when."""
    when = gathered.when
    if when.first > when.last:
        return "no line has a time"
    return f"{moment_text(when.first)} to {moment_text(when.last)} (UTC)"


def cards(gathered: Gathered) -> Iterator[tuple[str, str, str, bool]]:
    """The totals: name, number, remark, and whether it is bad news."""
    sums = gathered.all()
    width = gathered.when.timeline.width()
    peak = max((rate for _, rate, _ in gathered.when.timeline.bins()), default=0.0)
    yield "Files moved", f"{sums.ok:,}", f"{sums.skipped:,} more were there", False
    stopped = f", {sums.interrupted:,} interrupted" if sums.interrupted else ""
    yield "Files missing", f"{sums.missing:,}", f"{counted(sums.attempts, 'attempt')} failed{stopped}", sums.missing > 0
    yield "Bytes", size_text(sums.bytes), f"in {seconds_text(sums.spans.seconds(width))}", False
    yield "Rate", rate_text(sums.rate(width)), f"at most {rate_text(peak)} over {width_text(width)}", False
    yield "Verified", f"{sums.by_checksum:,}", f"by checksum; {sums.by_size:,} by size only", False
    if states := Counter(gathered.deposits.values()):
        done, failed = states["ok"] + states["skipped"], states["failed"]
        yield "Records deposited", f"{done:,}", f"{failed:,} failed", failed > 0


class Page:
    """A page as it grows."""

    def __init__(self, gathered: Gathered, flow: Flow, name: str, now: float):
        self.gathered, self.flow, self.name, self.now = gathered, flow, name, now
        self.figures: list[Figure] = []
        self.headings = 0

    def plot(self, figure: Figure, said: str, style: str = "plot") -> str:
        """Where a figure is drawn, and what is read in its place."""
        self.figures.append(figure)
        return (
            f'<div class="{style}" role="img" aria-label="{safe(said)}" style="height:{figure["layout"]["height"]}px" '
            f'data-figure="{len(self.figures) - 1}"></div>'
        )

    def section(self, title: str, said: str, body: str, table: Table | None = None, style: str = "") -> str:
        """A section with a heading, a sentence, a figure and the table that says the same."""
        self.headings += 1
        name = f"part{self.headings}"
        if table:
            head = f"<summary>{safe(title)} as a table</summary>"
            body += f"<details>{head}{drawn(table)}</details>"
        return (
            f'<section class="{style}" aria-labelledby="{name}"><h2 id="{name}">{safe(title)}</h2>'
            f'<p class="soft">{safe(said)}</p>{body}</section>\n'
        )

    def totals(self) -> str:
        """The first section."""
        shown = "".join(
            f'<div class="{"bad" * is_bad}"><dt>{safe(name)}</dt>'
            f"<dd>{safe(number)}<small>{safe(remark)}</small></dd></div>"
            for name, number, remark, is_bad in cards(self.gathered)
        )
        body = f'<dl class="cards">{shown}</dl>'
        body += drawn(sites(self.gathered.sites, self.gathered.when.timeline.width())) if self.gathered.sites else ""
        body += "".join(f'<p class="note">{safe(note)}</p>' for note in notes(self.gathered))
        said = (
            "Each file counts once. It is missing if the last attempt at it did not end well. "
            "Pauses of more than 10 seconds are not in the rate."
        )
        return self.section("Totals", said, body)

    def rates(self) -> str:
        """When something moved."""
        timeline = self.gathered.when.timeline
        said = f"Each bar is {width_text(timeline.width())}; bytes of a file are spread over the time that it took."
        plot = self.plot(rate_figure(timeline), f"Bars: bytes a second over time, {span_text(self.gathered)}")
        return self.section("Rate over time", said, plot, rates(timeline))

    def failures(self) -> str:
        """Why attempts have failed."""
        sums = self.gathered.all()
        found = self.gathered.failures()
        missing = counted(sum(reason.files for reason in found), "file")
        said = f"{counted(sums.attempts, 'attempt')} failed; missing because of it: {missing}."
        if sums.interrupted:
            said += f" {counted(sums.interrupted, 'attempt')} more ended by Ctrl-C or a time limit: no failure."
        return self.section("Failures by reason", said, drawn(failures(found)), style="long")

    def sizes(self) -> str:
        """How many files are of which size."""
        found = self.gathered.sizes
        plot = self.plot(size_figure(found), "Bars: how many files are of which size")
        said = "Of the files that were moved; each bar covers sizes up to twice those of the last."
        return self.section("Sizes", said, plot, sizes(found))

    def durations(self) -> str:
        """How long files take."""
        found = self.gathered.sizes
        if found.has_points():
            said = f"{counted(found.timed, 'file')}, each of them a point."
        else:
            said = f"{counted(found.timed, 'file')}: a square stands for those that are alike, the darker the more."
        said += f" Dotted lines are rates: {', '.join(map(short_rate, usual_rates(found)))}."
        plot = self.plot(duration_figure(found), "Points: duration of files against their size, both in powers of ten")
        return self.section("Duration against size", said, plot, durations(found))

    def slowest(self) -> str:
        """Which files took longest."""
        table = slowest(self.gathered.slowest())
        said = "Those that took longest, whatever their size."
        return self.section("Slowest files", said, drawn(table), style="long")

    def records(self) -> str:
        """The flow of records."""
        whole, *pieces = flow_figures(self.flow)
        said = f"{counted(self.flow.records, 'record')} of which record.json is here, by what it says of them."
        label = "Flow of records by year, category, type, energy, format, events, files and size"
        parts = "".join(self.plot(piece, f"{label}, in part") for piece in pieces)
        body = self.plot(whole, label, "plot whole") + f'<div class="pieces">{parts}</div>'
        return self.section("Records", said, body, flow(self.flow))

    def sections(self) -> str:
        """All of them, as far as there is something to show."""
        gathered = self.gathered
        timeline = gathered.when.timeline
        shown = (
            (self.totals, True), (self.rates, timeline.bytes or timeline.failed),
            (self.failures, gathered.reasons.numbers), (self.sizes, gathered.sizes.by_size),
            (self.durations, gathered.sizes.cells), (self.slowest, gathered.slow), (self.records, self.flow.records),
        )  # fmt: skip
        return "".join(section() for section, has in shown if has)

    def head(self, plotly: str) -> str:
        """What stands above what is seen; nothing but our two scripts may run, and nothing may be asked for."""
        policy = (
            f"default-src 'none'; script-src {digest_of(plotly)} {digest_of(SCRIPT)}; style-src 'unsafe-inline'; "
            "img-src data:; base-uri 'none'; form-action 'none'"
        )
        return (
            f'<meta charset="utf-8">\n<meta name="generator" content="{GENERATOR} {__version__}">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
            f"<title>Transfers: {safe(self.name)}</title>\n<style>{STYLE}</style>"
        )

    def text(self) -> str:
        """The whole page."""
        plotly, sections = plotly_script(), self.sections()
        about = f"{counted(self.gathered.lines, 'line')} of {self.name}"
        lines = f"{safe(about)}<br>{kept(safe(span_text(self.gathered)))}"
        made = f"Made at {moment_text(self.now)} (UTC) by gridsync {__version__}. Nothing here comes from elsewhere."
        made += " 1 kB is 1024 bytes, and 1 MB is 1024 kB."
        return (
            f'<!DOCTYPE html>\n<html lang="en">\n<head>\n{self.head(plotly)}</head>\n<body>\n'
            '<a class="skip" href="#main">Skip to the numbers</a>\n'
            f'<header><h1>Transfers</h1><p class="soft">{lines}</p></header>\n'
            f'<main id="main" tabindex="-1">\n{sections}</main>\n<footer><p>{safe(made)}</p>'
            "<noscript><p>Figures need JavaScript; the tables have the same numbers.</p></noscript></footer>\n"
            f'<script type="application/json" id="figures">{as_data(self.figures)}</script>\n'
            f"<script>{plotly}</script>\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
        )
