"""What comparisons with others and with an earlier gridsync make of figures, and what is measured of a catalog."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench import __main__ as bench
from bench.before import compared, middle
from bench.catalog import Bench
from bench.measure import AFTERWARDS, Goal, Run, Runs, Side, best, ratio, table, timed
from bench.summary import summary

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


def sides() -> dict[str, Runs]:
    """gridsync, a peer that verifies, one that leaves all in memory, and what is no peer."""
    return {
        name: Runs(
            Side(name, str, {}, verifies=verifies, durable=durable, is_peer=name != "bare"), runs, is_slow=not runs[1:]
        )
        for name, verifies, durable, runs in (
            ("gridsync", "adler32", "each file", [Run("gridsync", 1.0, 0.5, 30), Run("gridsync", 4.0, 0.5, 30)]),
            ("careful", "adler32", "each file", [Run("careful", 3.0, 1.5, 30)]),
            ("quick", "nothing", AFTERWARDS, [Run("quick", 0.5, 0.25, 9, 0.2), Run("quick", 3.0, 0.25, 9, 0.3)]),
            ("bare", "adler32", AFTERWARDS, [Run("bare", 0.1, 0.1, 9, 0.1), Run("bare", 0.1, 0.1, 9, 0.1)]),
        )
    }


def test_the_best_peer_is_the_fastest_or_the_fastest_that_verifies():
    done = sides()
    assert (best(done).side.name, best(done, "adler32").side.name) == ("quick", "careful")
    assert ratio(done["quick"], done["gridsync"]) == 0.625  # of the rounds' ratios, 0.5 and 0.75
    assert ratio(done["careful"], done["gridsync"]) == 1.2  # it ran once


def test_a_table_says_what_was_verified_and_durable_and_how_long_it_takes_without():
    lines = table(sides(), {"quick": "QUICK"}).splitlines()
    assert lines[0].startswith(
        "| tool | seconds, median | least to most | without sync | CPU s | peak MB | verified | durable |"
    )
    assert lines[3] == "| careful | 3 | once | - | 1.5 | 30 | adler32 | each file | 1.20 |"
    assert lines[4] == f"| QUICK | 1.75 | 0.5 to 3 | 0.25 | 0.25 | 9 | nothing | {AFTERWARDS} | 0.62 |"
    assert lines[7:] == ["    gridsync", "    careful", "    QUICK", "    bare"]


def test_the_clock_goes_on_until_all_is_synced(tmp_path: Path):
    run = timed("sleep 0.01", {}, tmp_path, sync="sleep 0.1")
    assert run.alone + 0.1 <= run.seconds and run.line == "sleep 0.01 && sleep 0.1"


@pytest.mark.parametrize(
    ("goal", "said"),
    [
        (Goal("a", 1.0, 1.0), "| a | ≥ 1 | 1 | reached |"),
        (Goal("a", 3.899, 3.9), "| a | ≥ 3.9 | 3.899 | **not reached** |"),
        (Goal("a", 120.0, 120, at_most=True), "| a | ≤ 120 | 120 | reached |"),
        (Goal("a", 2.51, 2.5, at_most=True), "| a | ≤ 2.5 | 2.51 | **not reached** |"),
    ],
)
def test_a_goal_is_reached_or_not(goal: Goal, said: str):
    assert goal.row() == said


def test_a_row_that_is_measured_anew_leaves_the_others_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bench, "RESULTS", tmp_path / "RESULTS.md")
    bench.write("# Results\n\nof one run", {"small": "four", "large": "five"})
    head, done = bench.sections()
    bench.write(head, {**done, "large": "six"})
    text = (tmp_path / "RESULTS.md").read_text()
    assert (
        re.sub("(?m)^(## [a-z]+):.*", r"\1", text) == "# Results\n\nof one run\n\n## small\n\nfour\n\n## large\n\nsix\n"
    )


def test_the_table_of_readme_has_ratios_and_a_star_for_who_verifies():
    def of(verified: str, ratio: str) -> str:
        return f"1 | {verified} | {ratio} |\n"

    text = "## small: many\n\n4 connections:\n\n"
    text += "| tool | seconds, median | verified | times as long as gridsync |\n|---|---|---|---|\n"
    text += "| gridsync | " + of("size and adler32", "1.00") + "| gfal-copy | " + of("size and adler32", "129.74")
    text += "| curl | " + of("nothing", "0.45") + "| bare Python | " + of("adler32", "0.4")
    assert "| 2,000 files of 20 kB, 4 at once | 1 s | curl 0.45, gfal-copy* 130 |\n" in summary(text)


@pytest.mark.long
def test_each_step_of_a_catalog_is_measured(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    Bench(tmp_path, 1000).measure(has_files=True)
    said = capfd.readouterr().out
    steps = re.findall(r"^\| (\w[^|]*) \| [\d.]+ \| [\d.]+ \| \d+ \| \d+ \|$", said, re.MULTILINE)
    assert len(steps) == 7 and steps[-1] == "gridsync.py --start, all is here"
    assert said.endswith("bytes a row\n") and len(list((tmp_path / "data").rglob("*.cdat"))) == 1000
