"""Lines of a stats file as a week at a portal leaves them, and the records that they are about; each time the same."""

from __future__ import annotations

import heapq
import json
import random
from collections.abc import Iterator
from pathlib import Path

from gridsync_parts.stats import Line, moment_text

BEGIN = 1795730400.0  # 26 Nov 2026, 22:00:00 UTC
THREADS = 6
REASONS = (
    "{key}: the door says 503 Service Unavailable; try again later",
    "{key}: https://eospublic.cern.ch:8443/eos/{key} has sent nothing for 60 s",
    "{key}: the bytes that came have the checksum adler32:{digest:08x}, not adler32:{other:08x}",
    "{key}: st-096-{pool}.cern.ch:1095 cannot be reached: Connection refused",
)
ENERGIES = ("7TeV", "8TeV", "13TeV")
KINDS = ("Collision", "Simulated", "Derived")
CATEGORIES = ("Higgs Physics", "Exotica", "Standard Model Physics", "Top physics")


def attempt(key: str, chance: random.Random, start: float, size: int, is_bad: bool, tries: int) -> Line:
    """A line about a file that has come, or not."""
    rate = 10 ** chance.gauss(7.4, 0.25)
    seconds = chance.uniform(0.2, 60) if is_bad else 0.05 + size / rate
    moved = size // 10 if is_bad else size
    digits = {"digest": chance.randrange(1 << 32), "other": chance.randrange(1 << 32), "pool": chance.randrange(90)}
    error = chance.choice(REASONS).format(key=key, **digits) if is_bad else ""
    checksum, verified = ("", "") if is_bad else ("adler32:01020304", "adler32")
    return Line(
        key, "CERN_OPENDATA", "get", "failed" if is_bad else "ok", moved, size, moment_text(start),
        moment_text(start + seconds), round(seconds, 3), round(moved / seconds, 1), tries, error, checksum, verified,
        "node1",
    )  # fmt: skip


def week(files: int, records: int = 60) -> Iterator[Line]:
    """What happens with so many files; for a while the door has trouble."""
    chance = random.Random(1)
    free = [BEGIN] * THREADS  # when each thread has time
    for number in range(files):
        recid = f"cms-{5000 + number * records // files}"
        key, size = f"{recid}/file_{number:06}.root", int(10 ** chance.gauss(7.6, 0.9))
        is_bad = files // 3 < number < files // 3 + files // 20
        for tries in range(1, 4):
            has_failed = chance.random() < (0.4 if is_bad else 0.015)
            start = heapq.heappop(free)
            line = attempt(key, chance, start, size, has_failed, tries)
            heapq.heappush(free, start + line.duration_s + 0.02)
            yield line
            if not has_failed:
                break


def write_records(folder: Path, records: int = 60) -> None:
    """Their record.json files."""
    chance = random.Random(2)
    for number in range(records):
        year = chance.choice([2010, 2011, 2011, 2012, 2012, 2015, 2016])
        energy = ENERGIES[(year > 2011) + (year > 2012)]
        metadata = {
            "recid": f"cms-{5000 + number}", "date_created": [str(year)], "collision_information": {"energy": energy},
            "type": {"primary": "Dataset", "secondary": [chance.choice(KINDS)]},
            "categories": {"primary": chance.choice(CATEGORIES)},
            "distribution": {
                "formats": [chance.choice(["aod", "miniaod", "nanoaod"][: 1 + (year > 2012) * 2])],
                "number_events": int(10 ** chance.uniform(3, 8)), "number_files": int(10 ** chance.uniform(0, 3.5)),
                "size": int(10 ** chance.uniform(7, 13)),
            },
        }  # fmt: skip
        place = folder / str(metadata["recid"])
        place.mkdir(parents=True)
        (place / "record.json").write_text(json.dumps({"id": metadata["recid"], "metadata": metadata}))
