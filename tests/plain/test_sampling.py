"""Some files of many, chosen at random."""

from __future__ import annotations

import pytest

from gridsync_parts.errors import UsageError
from gridsync_parts.sampling import check_sample, percent_of, sample_of
from tests.support.constants import replace


@pytest.mark.parametrize(
    ("text", "percent"),
    [("5", 5), ("5%", 5), ("0.5", 0.5), ("100", 100), ("100%", 100), ("007", 7), ("0.000000001", 1e-9)],
)
def test_what_a_number_means(text, percent):
    assert percent_of(text) == pytest.approx(percent)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "0.0",
        "0%",
        "-5",
        "+5",
        "101",
        "100.1",
        "5%%",
        "%",
        "five",
        "nan",
        "inf",
        "1e1",
        "5,5",
        ".5",
        "5.",
        " 5",
        "\u0665",
    ],
)
def test_what_is_no_number_is_refused(text):
    with pytest.raises(UsageError, match=r"--sample: '.*' is no part of 100; give a number above 0, like 5 or 0.5$"):
        percent_of(text)


@pytest.mark.parametrize(
    ("actions", "is_refused"), [({"verify"}, False), ({"start", "verify"}, False), ({"start"}, True), (set(), True)]
)
def test_only_what_reads_takes_a_sample(actions, is_refused):
    if is_refused:
        with pytest.raises(UsageError, match="--sample means nothing without --verify; add it, or leave --sample out"):
            check_sample("5", actions)
    else:
        check_sample("5", actions)


@pytest.mark.parametrize(
    ("count", "percent", "chosen"),
    [
        (0, "5", 0),
        (1, "0.5", 1),
        (20, "5", 1),
        (21, "5", 2),
        (199, "1", 2),
        (200, "1", 2),
        (1000, "0.5", 5),
        (10, "100", 10),
    ],
)
def test_it_is_so_many_per_cent_and_at_least_one(count, percent, chosen):
    files = list(range(count))
    some = sample_of(files, percent)
    assert len(some) == chosen and some == sorted(set(some)) and set(some) <= set(files)


def test_it_is_another_one_each_time_and_each_file_gets_its_turn(monkeypatch):
    files = list(range(40))
    some = [tuple(sample_of(files, "5")) for _ in range(1000)]
    assert len(set(some)) > 100 and {file for files in some for file in files} == set(files)
    replace(monkeypatch, "SEED", 1)
    assert sample_of(files, "5") == sample_of(files, "5") != sample_of(files[::-1], "5")
