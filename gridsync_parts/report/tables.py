"""The numbers of a report as tables: what a screen reader reads, and what is there without scripts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from gridsync_parts.report.flows import TIERS, Flow
from gridsync_parts.report.gather import PER_DECADE, Gathered, Moved, Sizes, Sums, middle
from gridsync_parts.report.markup import Table, cells, measured, words
from gridsync_parts.report.reasons import Reason
from gridsync_parts.report.said import moment_text, rate_text, seconds_text, short_size, size_range, stamp, width_text
from gridsync_parts.report.times import Timeline, moment_of
from gridsync_parts.words import size_text

MOST_REASONS = 12


def sites(found: dict[tuple[str, str], Sums], width: float) -> Table:
    """A row for each site and direction."""
    rows = []
    for (site, direction), sums in sorted(found.items()):
        counts = cells(sums.ok, sums.skipped, sums.missing, size_text(sums.bytes), rate_text(sums.rate(width)))
        rows.append([words(f"{site}, {direction}" if direction else site), *counts])
    return Table("By site and direction", ("site", "moved", "were there", "missing", "bytes", "rate"), rows)


def rates(timeline: Timeline) -> Table:
    """A row for each time in which something happened."""
    bins = [row for row in timeline.bins() if row[1] or row[2]]
    rows = [[words(stamp(start)), *cells(rate_text(rate), failed)] for start, rate, failed in bins]
    return Table(f"Each row is {width_text(timeline.width())}", ("from (UTC)", "rate", "failed attempts"), rows)


def sizes(found: Sizes) -> Table:
    """A row for each size."""
    rows = [
        [words(size_range(bits)), *cells(found.by_size[bits], size_text(found.bytes[bits]))]
        for bits in sorted(found.by_size)
    ]
    return Table("Files by size", ("size", "files", "bytes in all"), rows)


def durations(found: Sizes) -> Table:
    """A row for each power of ten of the size."""
    decades: dict[int, Counter[int]] = {}
    for (size, seconds), count in found.cells.items():
        decades.setdefault(size // PER_DECADE, Counter())[seconds] += count
    rows = []
    for decade, counts in sorted(decades.items()):
        ends = (10.0 ** ((value + 1) / PER_DECADE) for value in (middle(counts), max(counts)))
        name = f"{short_size(10.0**decade)} to {short_size(10.0 ** (decade + 1))}"
        rows.append([words(name), *cells(sum(counts.values()), *map(seconds_text, ends))])
    heads = ("size", "files", "half of them take at most", "all of them at most")
    return Table("How long files take, roughly", heads, rows)


def failures(found: Sequence[Reason]) -> Table:
    """A row for each reason, the rarest in one."""
    shown = found if len(found) <= MOST_REASONS + 1 else found[:MOST_REASONS]
    rows = []
    for one in shown:
        name = measured(one.text, one.attempts, found[0].attempts, f"such as: {one.example}")
        rows.append([name, *cells(one.attempts, one.files)])
    if rest := found[len(shown) :]:
        sums = cells(sum(one.attempts for one in rest), sum(one.files for one in rest))
        rows.append([words(f"{len(rest):,} more reasons"), *sums])
    caption = "In a reason … stands for names, paths and hosts, and N for numbers"
    return Table(caption, ("reason", "failed attempts", "files that are missing"), rows, "red")


def began(start: str) -> str:
    """When an attempt began, as a page has times."""
    return moment_text(moment_of(start)) if moment_of(start) else "at a time that makes no sense"


def slowest(found: Sequence[Moved]) -> Table:
    """A row for each of the files that took longest."""
    rows = []
    for file in found:
        more = f"{file.site}, began {began(file.start)}"
        if file.bytes < file.size:
            more += f"; the rest of {size_text(file.size)} was here"
        name = measured(file.key, file.seconds, found[0].seconds, more)
        rows.append([name, *cells(seconds_text(file.seconds), size_text(file.bytes), rate_text(file.rate))])
    return Table("The longest comes first", ("file", "duration", "moved", "rate"), rows)


def flow(found: Flow) -> Table:
    """A row for each node."""
    named = ((TIERS[tier], node) for tier, nodes in enumerate(found.tiers) for node in nodes)
    rows = [[words(tier), words(word), *cells(count)] for tier, (word, count) in named]
    return Table("Records by what they are", ("what", "which", "records"), rows)


def notes(gathered: Gathered) -> Iterator[str]:
    """What a reader should know of the lines."""
    when = gathered.when
    if gathered.left_out:
        yield f"{gathered.left_out:,} line(s) left out: a run that was killed may leave half a line."
    if when.senseless:
        yield f"{when.senseless:,} line(s) with times that make no sense: they are not in the rates."
    if when.backwards:
        yield f"{when.backwards:,} line(s) end before they begin, as a clock was set: they count where they end."
