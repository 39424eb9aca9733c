"""What the comparison with an earlier gridsync makes of its figures, and what is measured of a catalog."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.before import compared, middle
from bench.catalog import Bench
from bench.measure import Run, Runs, Side

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("count", "least", "most"),
    [(1, 0, 0), (2, 0, 1), (5, 0, 4), (6, 0, 5), (9, 1, 7), (12, 2, 9), (20, 5, 14), (40, 13, 26)],
)
def test_the_median_lies_between_two_of_them_19_times_of_20(count: int, least: int, most: int):
    # As tables of the sign test have it.
    assert middle([float(number) for number in reversed(range(count))]) == (least, most)


@pytest.mark.parametrize(
    ("ratios", "verdict"),
    [
        ([1.0] * 6, "yes"),
        ([1.1] * 6, "**no**"),
        ([1.0, 1.0, 1.0, 1.0, 1.1, 1.1], "yes, but it may be otherwise"),
        ([1.0, 1.1, 1.1, 1.1, 1.1, 1.1], "**no**, but it may be otherwise"),
    ],
)
def test_a_ratio_is_within_its_bound_or_not_and_the_spread_says_how_surely(ratios: list[float], verdict: str):
    side = Side("gridsync", str, {})
    before, after = (Runs(side, [Run("", took, 0, 0) for took in some]) for some in ([1.0] * 6, ratios))
    assert compared("a row", lambda run: run.seconds, before, after).endswith(f"| 6 | 1.03 | {verdict} |")


def test_each_step_of_a_catalog_is_measured(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    Bench(tmp_path, 1000).measure(has_files=True)
    said = capfd.readouterr().out
    steps = re.findall(r"^\| (\w[^|]*) \| [\d.]+ \| [\d.]+ \| \d+ \| \d+ \|$", said, re.MULTILINE)
    assert len(steps) == 7 and steps[-1] == "gridsync.py --start, all is here"
    assert said.endswith("bytes a row\n") and len(list((tmp_path / "data").rglob("*.cdat"))) == 1000
