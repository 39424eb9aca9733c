"""A table as HTML."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from gridsync_parts.report.said import safe

MOMENT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:[\d.]+")


class Cell(NamedTuple):
    """What stands in a table, as HTML."""

    text: str
    is_number: bool = True


class Table(NamedTuple):
    """A table; the first cell of each row names it."""

    caption: str
    heads: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    style: str = ""  # of its bars


def kept(text: str) -> str:
    """HTML whose times no narrow page breaks at a hyphen."""
    return MOMENT.sub(r'<span class="moment">\g<0></span>', text)


def cells(*values: object) -> list[Cell]:
    """Cells of numbers."""
    return [Cell(f"{value:,}" if isinstance(value, int) else safe(value)) for value in values]


def words(text: object) -> Cell:
    """A cell of words."""
    return Cell(kept(safe(text)), is_number=False)


def measured(name: str, part: float, whole: float, more: str) -> Cell:
    """A name with a bar below it that is as long as a part of a whole, and what else there is to say."""
    bar = f'<i style="width:{100 * part / whole if whole else 0:.1f}%"></i>'
    where = kept(safe(more))
    text = f'{safe(name)}<span class="meter" aria-hidden="true">{bar}</span><span class="where">{where}</span>'
    return Cell(text, is_number=False)


def tag(name: str, role: str, cell: Cell, more: str = "") -> str:
    """A cell in its tags; with its role, which it would lose on a narrow page, where a table is a list."""
    number = ' class="number"' if cell.is_number else ""
    return f'<{name} role="{role}"{number}{more}>{cell.text}</{name}>'


def drawn(table: Table) -> str:
    """A table as HTML."""
    first = table.rows[0] if table.rows else [Cell("")] * len(table.heads)
    heads = "".join(
        tag("th", "columnheader", Cell(safe(head), cell.is_number), ' scope="col"')
        for head, cell in zip(table.heads, first)
    )
    lines = []
    for row in table.rows:
        line = tag("th", "rowheader", row[0], ' scope="row"')
        for head, cell in zip(table.heads[1:], row[1:]):
            line += tag("td", "cell", cell, f' data-head="{safe(head)}"')
        lines.append(f'<tr role="row">{line}</tr>')
    return (
        f'<table class="{table.style}" role="table"><caption>{safe(table.caption)}</caption>'
        f'<thead role="rowgroup"><tr role="row">{heads}</tr></thead>'
        f'<tbody role="rowgroup">{"".join(lines)}</tbody></table>'
    )
