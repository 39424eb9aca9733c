"""The flow of records: how many there are of each year, category, type and so on, as their record.json files say."""

from __future__ import annotations

import json
import math
import os
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

from gridsync_parts.disk import open_regular
from gridsync_parts.words import is_name

TIERS = ("Year", "Category", "Type", "Energy", "Format", "Events", "Files", "Size")
NAME = "record.json"
LARGEST = 64 << 20  # bytes of a record that is read
MOST_NODES = 7  # in a tier; the rarest are one
UNKNOWN, OTHER = "not said", "others"
Bounds = tuple[tuple[float, str], ...]
COUNTS: Bounds = (
    (1e3, "below 1,000"), (1e5, "up to 100,000"), (1e6, "up to 1M"), (1e7, "up to 10M"),
    (1e8, "up to 100M"), (math.inf, "above 100M"),
)  # fmt: skip
FILES: Bounds = (
    (2, "1"), (11, "2 to 10"), (101, "11 to 100"), (1001, "101 to 1,000"), (10_001, "up to 10,000"),
    (math.inf, "above 10,000"),
)  # fmt: skip
SIZES: Bounds = (
    (1 << 20, "below 1 MB"), (100 << 20, "1 to 100 MB"), (1 << 30, "100 MB to 1 GB"), (10 << 30, "1 to 10 GB"),
    (100 << 30, "10 to 100 GB"), (1 << 40, "100 GB to 1 TB"), (10 << 40, "1 to 10 TB"), (math.inf, "above 10 TB"),
)  # fmt: skip
BOUNDS = {"Events": COUNTS, "Files": FILES, "Size": SIZES}


class Flow(NamedTuple):
    """Records, by tiers."""

    records: int
    tiers: list[list[tuple[str, int]]]  # of each tier the nodes, with how many records each has
    links: list[tuple[int, int, int, int]]  # tier, node there, node in the next tier, records


def text_of(value: Any) -> str:
    """A word of a record, from what may be a list."""
    while isinstance(value, list):
        value = value[0] if value else ""
    return str(value)[:60].strip() if isinstance(value, (str, int)) else ""


def part(value: Any, *names: str) -> Any:
    """What stands there in a record, if it is as it should be."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def number_of(value: Any) -> int:
    """A count of a record; -1 for what is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else -1


def bucket(number: int, bounds: Bounds) -> str:
    """The words for about so many."""
    return next(words for bound, words in bounds if number < bound) if number >= 0 else UNKNOWN


def path_of(metadata: dict[str, Any]) -> tuple[str, ...]:
    """What a record is, tier by tier."""
    years = [text_of(metadata.get("date_created")), text_of(metadata.get("date_published"))]
    year = next((found[0] for text in years if (found := re.search(r"\b(?:19|20)\d\d\b", text))), "")
    secondary = text_of(part(metadata, "type", "secondary")) or text_of(part(metadata, "type", "primary"))
    spread = metadata.get("distribution")
    return tuple(
        word or UNKNOWN
        for word in (
            year,
            text_of(part(metadata, "categories", "primary")),
            secondary,
            text_of(part(metadata, "collision_information", "energy")),
            text_of(part(spread, "formats")),
            bucket(number_of(part(spread, "number_events")), COUNTS),
            bucket(number_of(part(spread, "number_files")), FILES),
            bucket(number_of(part(spread, "size")), SIZES),
        )
    )


def record_at(folder: str, recid: str) -> tuple[str, ...] | None:
    """What a record is whose file is here; None if there is none that makes sense."""
    if not is_name(recid):
        return None
    try:
        with open(open_regular(os.path.join(folder, recid, NAME)), "rb") as file:
            found = json.loads(file.read(LARGEST))
    except (OSError, ValueError, RecursionError):
        return None
    metadata = part(found, "metadata")
    return path_of(metadata) if isinstance(metadata, dict) else None


def order_of(tier: int, word: str) -> tuple[bool, float, str]:
    """Where a node stands in its tier: buckets by what they mean, numbers by their size, others by their names."""
    words = [words for _, words in BOUNDS.get(TIERS[tier], ())]
    number = re.match(r"\d{1,9}(?:\.\d{1,9})?", word)
    place = words.index(word) if word in words else float(number[0]) if number else 0.0
    return word == UNKNOWN, place * (1000 if "TeV" in word else 1), word


def flow_of(folder: str, recids: Iterable[str]) -> Flow:
    """The flow of the records of which there is a file below a folder."""
    paths = Counter(path for recid in recids if (path := record_at(folder, recid)))
    tiers: list[list[tuple[str, int]]] = []
    nodes: list[dict[str, int]] = []
    for tier in range(len(TIERS)):
        counts: Counter[str] = Counter()
        for path, records in paths.items():
            counts[path[tier]] += records
        named = [word for word, _ in counts.most_common(MOST_NODES + (len(counts) == MOST_NODES + 1))]
        words = sorted(named, key=lambda word: order_of(tier, word))
        rest = sum(counts.values()) - sum(counts[word] for word in words)
        tiers.append([(word, counts[word]) for word in words] + [(OTHER, rest)] * bool(rest))
        nodes.append({word: number for number, word in enumerate(words)})
    links: Counter[tuple[int, int, int]] = Counter()
    for path, records in paths.items():
        places = [nodes[tier].get(word, len(nodes[tier])) for tier, word in enumerate(path)]
        links.update({(tier, *pair): records for tier, pair in enumerate(zip(places, places[1:]))})
    return Flow(sum(paths.values()), tiers, [(*link, records) for link, records in sorted(links.items())])
