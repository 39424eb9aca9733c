"""Some files of many, chosen at random."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Collection

from gridsync_parts.errors import UsageError, brief
from gridsync_parts.values import T

SEED: int | None = None  # of the choice; None: it is another one each time


def percent_of(text: str) -> float:
    """How many per cent a text like 5, 0.5 or 5% means."""
    number = float(text.removesuffix("%")) if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?%?", text) else 0.0
    if not 0 < number <= 100:
        raise UsageError(f"--sample: {brief(repr(text))} is no part of 100; give a number above 0, like 5 or 0.5")
    return number


def check_sample(text: str, actions: Collection[str]) -> None:
    """Refuse a sample that makes no sense, or of which nothing is read."""
    if "verify" not in actions:
        raise UsageError("--sample means nothing without --verify; add it, or leave --sample out")
    percent_of(text)


def sample_of(files: list[T], text: str) -> list[T]:
    """So many per cent of the files, in their order: at least one, if there is any."""
    count = math.ceil(len(files) * percent_of(text) / 100)
    chosen = random.Random(SEED).sample(range(len(files)), count)
    return [files[number] for number in sorted(chosen)]
