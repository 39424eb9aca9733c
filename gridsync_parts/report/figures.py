"""The figures, as plotly takes them; colours are names of the page's own, as they are others in the dark."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from gridsync_parts.report.flows import TIERS, Flow
from gridsync_parts.report.gather import PER_DECADE, Sizes, middle
from gridsync_parts.report.said import (
    counted,
    label_text,
    rate_text,
    seconds_text,
    short_rate,
    short_size,
    size_range,
    stamp,
)
from gridsync_parts.report.times import Timeline
from gridsync_parts.words import size_text

Figure = dict[str, Any]
Ends = tuple[float, float]
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'DejaVu Sans', sans-serif"
CLEAR = "rgba(0,0,0,0)"
DURATIONS = (
    (0.001, "1 ms"), (0.01, "10 ms"), (0.1, "0.1 s"), (1, "1 s"), (10, "10 s"), (60, "1 min"), (600, "10 min"),
    (3600, "1 h"), (36000, "10 h"), (86400, "1 day"), (864000, "10 days"),
)  # fmt: skip
LEAST_BINS = 24  # for which an axis of time has room: one bar is no block
PAD, THICK = 12, 10  # pixels between nodes, and of one
PIECES = ((0, 3), (2, 5), (4, 7), (6, 8))  # tiers of the flow that a narrow page shows beside each other


def axis(**more: Any) -> dict[str, Any]:
    """An axis that is quiet and stays as it is."""
    return {
        "fixedrange": True, "gridcolor": "var(--line)", "zeroline": False, "linecolor": "var(--line)",
        "automargin": True, "tickfont": {"color": "var(--soft)"}, **more,
    }  # fmt: skip


def named(text: str) -> dict[str, Any]:
    """The title of an axis."""
    return {"text": text, "font": {"color": "var(--soft)", "size": 12}, "standoff": 8}


def figure(traces: list[dict[str, Any]], height: int, **layout: Any) -> Figure:
    """A figure that looks like the others."""
    return {
        "data": traces,
        "layout": {
            "height": height, "autosize": True, "margin": {"l": 8, "r": 8, "t": 10, "b": 8}, "paper_bgcolor": CLEAR,
            "plot_bgcolor": CLEAR, "font": {"family": FONT, "size": 12, "color": "var(--ink)"}, "showlegend": False,
            "dragmode": False, "hovermode": "closest", "bargap": 0.08,
            "hoverlabel": {"bgcolor": "var(--card)", "bordercolor": "var(--line)", "font": {"color": "var(--ink)"}},
            **layout,
        },
    }  # fmt: skip


def step_of(most: float, steps: int) -> int:
    """A round number that so many steps reach as far with."""
    power = 1
    while most > 10 * power * steps:
        power *= 10
    return next(power * step for step in (1, 2, 5, 10) if most <= power * step * steps)


def ticks_of(most: float) -> tuple[list[float], list[str]]:
    """Where an axis of bytes a second has its numbers."""
    unit = 1.0
    while most >= 1024 * unit:
        unit *= 1024
    step = unit * step_of(most / unit, 5)
    marks = [step * n for n in range(int(most // step) + 1)]
    return marks, [short_rate(mark) if mark else "0" for mark in marks]


def bars_of(timeline: Timeline, amounts: Sequence[float], said: Sequence[str], colour: str) -> dict[str, Any]:
    """A bar for each bin of time."""
    width, bins = timeline.width(), timeline.bins()
    return {
        "type": "bar", "x": [stamp(start + width / 2, 3) for start, _, _ in bins], "y": list(amounts),
        "width": [1000 * width] * len(bins), "marker": {"color": colour, "line": {"width": 0}},
        "text": [f"{stamp(start)} UTC<br>{text}" for (start, _, _), text in zip(bins, said)], "textposition": "none",
        "hovertemplate": "%{text}<extra></extra>",
    }  # fmt: skip


def rates(timeline: Timeline) -> Figure:
    """Bytes a second over time, and below it the attempts that have failed."""
    speeds, failed = [rate for _, rate, _ in timeline.bins()], [count for _, _, count in timeline.bins()]
    most = max(speeds, default=0)
    marks, texts = ticks_of(most)
    spare = timeline.width() * max(0, LEAST_BINS - len(speeds)) / 2
    ends = timeline.bins()
    across = [stamp(ends[0][0] - spare, 3), stamp(ends[-1][0] + timeline.width() + spare, 3)]
    traces = [bars_of(timeline, speeds, [rate_text(rate) for rate in speeds], "var(--blue)")]
    layout: Figure = {
        "xaxis": axis(
            type="date", range=across, showgrid=False, title=named("time (UTC)"), nticks=5, tickangle=0,
            automargin=False,
        ),
        "margin": {"l": 8, "r": 24, "t": 10, "b": 62},
        "yaxis": axis(tickvals=marks, ticktext=texts, range=[0, most * 1.05 or 1]),
        "bargap": 0,
    }
    if any(failed):
        traces.append(bars_of(timeline, [*map(float, failed)], [f"{count:,} failed" for count in failed], "var(--red)"))
        traces[1]["yaxis"] = "y2"
        layout["yaxis"]["domain"] = [0.34, 1]
        steps = {"dtick": step_of(max(failed), 2), "tickformat": ",d", "rangemode": "tozero"}
        layout["yaxis2"] = axis(domain=[0, 0.2], title=named("failed"), **steps)
        layout["xaxis"]["anchor"] = "y2"
    return figure(traces, 340 if any(failed) else 280, **layout)


def sizes(found: Sizes) -> Figure:
    """How many files are of which size."""
    bits = sorted(found.by_size)
    low, high = min((b for b in bits if b), default=1), max(bits, default=1)
    step = 10 if high - low > 18 else 5 if high - low > 8 else 2
    marks = [float(mark) for mark in range(0, high + 9, step) if low - 5 <= mark]
    texts = [short_size(2**mark) for mark in marks]
    if 0 in bits:
        marks, texts = [low - 2.5, *marks], ["empty", *texts]
    trace = {
        "type": "bar", "x": [b - 0.5 if b else low - 2.5 for b in bits], "y": [found.by_size[b] for b in bits],
        "marker": {"color": "var(--blue)"}, "text": [size_range(b) for b in bits], "textposition": "none",
        "hovertemplate": "%{text}<br>%{y:,} files<extra></extra>", "width": 0.92,
    }  # fmt: skip
    spare = max(0.0, (8 - high + low) / 2)  # a few bars are no wider than many
    ends = [(low - 3.5 if 0 in bits else low - 1.2) - spare, high + 0.2 + spare]
    across = axis(tickvals=marks, ticktext=texts, showgrid=False, title=named("size of the file"), range=ends)
    up = axis(title=named("files"), tickformat=",d", dtick=step_of(max(found.by_size.values(), default=1), 5))
    return figure([trace], 260, xaxis=across, yaxis=up)


def between(marks: Iterable[tuple[float, str]], low: float, high: float) -> tuple[list[float], list[str]]:
    """Those marks of an axis with a logarithm that are on it."""
    kept = [(math.log10(mark), text) for mark, text in marks if low <= math.log10(mark) <= high]
    return [at for at, _ in kept], [text for _, text in kept]


def points_of(found: Sizes) -> dict[str, Any]:
    """A point for each file."""
    files = found.points
    sizes = (f"{size_text(file.size)}, {seconds_text(file.seconds)}" for file in files)
    return {
        "type": "scatter", "mode": "markers", "x": [round(math.log10(file.size), 3) for file in files],
        "y": [round(math.log10(file.seconds), 3) for file in files],
        "marker": {"color": "var(--blue)", "size": 6, "opacity": 0.55},
        "text": [f"{label_text(file.key[-60:])}<br>{said}" for file, said in zip(files, sizes)],
        "hovertemplate": "%{text}<extra></extra>",
    }  # fmt: skip


def density_of(found: Sizes) -> dict[str, Any]:
    """A square for files that are alike, the darker the more they are."""
    cells = sorted(found.cells)
    most = math.log10(max(found.cells.values()) + 1)
    return {
        "type": "scatter", "mode": "markers", "x": [round((x + 0.5) / PER_DECADE, 3) for x, _ in cells],
        "y": [round((y + 0.5) / PER_DECADE, 3) for _, y in cells],
        "marker": {
            "color": "var(--blue)", "symbol": "square", "size": 9,
            "opacity": [round(0.12 + 0.88 * math.log10(found.cells[cell] + 1) / most, 2) for cell in cells],
        },
        "text": [counted(found.cells[cell], "file") for cell in cells], "hovertemplate": "%{text}<extra></extra>",
    }  # fmt: skip


def usual_rates(found: Sizes) -> list[float]:
    """Three rates, each ten times the one before, of which the middle one is near that of most files."""
    speeds = [1024.0**unit * ten for unit in range(5) for ten in (1, 10, 100)]
    rates: Counter[int] = Counter()
    for (size, seconds), count in found.cells.items():
        rates[size - seconds] += count
    usual = middle(rates) / PER_DECADE
    nearest = min(range(1, len(speeds) - 1), key=lambda n: abs(math.log10(speeds[n]) - usual))
    return speeds[nearest - 1 : nearest + 2]


def slope(rate: float, low: Ends, high: Ends) -> dict[str, Any]:
    """The line on which all files come at the same rate, given as a logarithm."""
    start, end = max(low[0], low[1] + rate), min(high[0], high[1] + rate)
    line = {"color": "var(--soft)", "width": 1, "dash": "dot"}
    ends = {"x": [start, end], "y": [start - rate, end - rate]} if start < end else {"x": [], "y": []}
    return {"type": "scatter", "mode": "lines", **ends, "line": line, "hoverinfo": "skip"}


def spread(marks: Sequence[Any]) -> Sequence[Any]:
    """So few of the marks of an axis that a narrow one has room for them."""
    return marks[:: max(1, -(-len(marks) // 5))]


def ends_of(values: Sequence[float]) -> Ends:
    """Where an axis begins and ends; not too near to each other."""
    low, high = min(values) - 0.3, max(values) + 0.3
    spare = max(0.0, (2 - high + low) / 2)
    return low - spare, high + spare


def durations(found: Sizes) -> Figure:
    """How long files of which size take."""
    trace = points_of(found) if found.has_points() else density_of(found)
    ends = [ends_of(trace[name]) for name in "xy"]
    low, high = (ends[0][0], ends[1][0]), (ends[0][1], ends[1][1])
    marks = ((1024.0**unit * ten, short_size(1024.0**unit * ten)) for unit in range(6) for ten in (1, 10, 100))
    across, texts = between(marks, low[0], high[0])
    up, names = between(DURATIONS, low[1], high[1])
    lines = [slope(math.log10(rate), low, high) for rate in usual_rates(found)]
    ticks = {"tickvals": spread(across), "ticktext": spread(texts), "tickangle": 0}
    side = axis(tickvals=up, ticktext=names, range=[low[1], high[1]], title=named("duration"))
    below = axis(range=[low[0], high[0]], title=named("size of the file"), **ticks)
    return figure([trace, *lines], 400, xaxis=below, yaxis=side)


def cut(text: str, width: int) -> str:
    """A name that fits beside its node."""
    return label_text(text if len(text) <= width else f"{text[: width - 1]}…")


def marked(x: float, y: float, text: str, **more: Any) -> dict[str, Any]:
    """A word in the flow."""
    return {
        "x": x,
        "y": y,
        "text": text,
        "xref": "paper",
        "yref": "paper",
        "showarrow": False,
        "xanchor": "left",
        "bgcolor": "var(--veil)",
        "borderpad": 1,
        **more,
    }


def places_of(counts: Sequence[Sequence[int]], height: float) -> list[list[float]]:
    """Where the middle of each node is, from the top, tier by tier: as they come, and each tier in the middle."""
    unit = (height - PAD * (max(map(len, counts)) - 1)) / max(map(sum, counts))
    places: list[list[float]] = []
    for tier in counts:
        top = (height - PAD * (len(tier) - 1) - unit * sum(tier)) / 2
        places.append([])
        for count in tier:
            places[-1].append((top + unit * count / 2) / height)
            top += unit * count + PAD
    return places


def flow_figure(flow: Flow, first: int, after: int, width: int) -> Figure:
    """The records on their way through some of the tiers; names have so many letters."""
    tiers = range(first, after)
    nodes = [(tier, word, count) for tier in tiers for word, count in flow.tiers[tier]]
    starts = {tier: sum(len(flow.tiers[before]) for before in range(first, tier)) for tier in tiers}
    links = [link for link in flow.links if first <= link[0] < after - 1]
    height = 60 + 42 * max(len(flow.tiers[tier]) for tier in tiers)
    places = places_of([[count for _, count in flow.tiers[tier]] for tier in tiers], height)
    down = [place for tier in places for place in tier]
    across = [(tier - first) / (after - first - 1) for tier, _, _ in nodes]
    trace = {
        "type": "sankey", "arrangement": "snap", "textfont": {"color": CLEAR, "size": 1},
        "node": {
            "x": [min(max(x, 0.001), 0.999) for x in across], "y": [min(max(y, 0.001), 0.999) for y in down],
            "label": [label_text(word) for _, word, _ in nodes], "pad": PAD, "thickness": THICK, "color": "var(--blue)",
            "customdata": [
                f"{TIERS[tier]}: {label_text(word)}<br>{counted(count, 'record')}" for tier, word, count in nodes
            ],
            "hovertemplate": "%{customdata}<extra></extra>", "line": {"width": 0},
        },
        "link": {
            "source": [starts[tier] + node for tier, node, _, _ in links],
            "target": [starts[tier + 1] + node for tier, _, node, _ in links],
            "value": [records for _, _, _, records in links], "color": "var(--flow)",
            "hovertemplate": "%{source.label} → %{target.label}<br>%{value:,} records<extra></extra>",
        },
    }  # fmt: skip
    near = {"yanchor": "middle", "font": {"size": 11, "color": "var(--ink)"}}
    words = [
        marked(x, 1 - y, cut(word, width + 3 * (tier == after - 1)), **near, xshift=THICK * (1 - x) + 4)
        for (tier, word, _), x, y in zip(nodes, across, down)
    ]
    soft = {"yanchor": "bottom", "yshift": 8, "font": {"size": 12, "color": "var(--soft)"}}
    words += [marked((tier - first) / (after - first - 1), 1, TIERS[tier], **soft) for tier in tiers]
    margin = {"l": 2, "r": 104, "t": 34, "b": 8}
    return figure([trace], height + 42, annotations=words, margin=margin)


def flow_figures(flow: Flow) -> Sequence[Figure]:
    """The whole flow, and the same in pieces for a narrow page."""
    return [flow_figure(flow, 0, len(TIERS), 15), *(flow_figure(flow, *piece, 13) for piece in PIECES)]
