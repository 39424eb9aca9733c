"""Sizes, times, paths and names as text, and back."""

from __future__ import annotations

import datetime
import time

import pytest

from gridsync_parts.errors import UsageError
from gridsync_parts.secrets import secrets
from gridsync_parts.words import (
    LONGEST,
    day_text,
    duration_text,
    grid_path,
    is_name,
    is_path,
    left_text,
    moment_text,
    nearest,
    sane_time,
    seconds_of,
    size_text,
    time_text,
)

KB, NOON = 1024, 1433851200  # 9 June 2015


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0.0 B"),
        (158, "158.0 B"),
        (1023, "1023.0 B"),
        (1023.96, "1.0 kB"),  # never 1024.0 of anything
        (1024, "1.0 kB"),
        (20_000, "19.5 kB"),
        (1024 * KB - 1, "1.0 MB"),
        (KB**2, "1.0 MB"),
        (2.9 * KB**3, "2.9 GB"),
        (KB**4, "1.0 TB"),
        (KB**5, "1.0 PB"),
        (5000 * KB**5, "5000.0 PB"),
    ],
)
def test_sizes_are_in_units_of_1024(size, text):
    assert size_text(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0m00s"), (0.9, "0m00s"), (59, "0m59s"), (60, "1m00s"), (102, "1m42s"), (3599, "59m59s"), (3600, "1h00m"),
     (7500, "2h05m"), (360_000, "100h00m")],
)  # fmt: skip
def test_durations_are_in_minutes_and_from_an_hour_on_in_hours(seconds, text):
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (NOON, "2015-06-09T12:00:00Z"),
        (951782400, "2000-02-29T00:00:00Z"),
        (253402300799, "9999-12-31T23:59:59Z"),
        (-62135596800, "0001-01-01T00:00:00Z"),
        (-30610224001, "0999-12-31T23:59:59Z"),
    ],
)
def test_a_time_is_written_and_read(seconds, text):
    assert time_text(seconds) == text
    assert seconds_of(text) == seconds


def test_every_day_is_read_as_it_is():
    for year in (1600, 1899, 1900, 1970, 2000, 2001, 2004, 2100):
        day = datetime.datetime(year, 1, 1, 23, 59, 58, tzinfo=datetime.timezone.utc)
        while day.year == year:
            assert seconds_of(day.strftime("%Y-%m-%dT%H:%M:%SZ")) == day.timestamp()
            day += datetime.timedelta(days=1)


@pytest.mark.parametrize(
    "text",
    ["", "2015-06-09", "2015-06-09 12:00:00Z", "2015-06-09T12:00:00 ", "2015-06-09T12:00:00+", "2015-06-09T12:00:00.5Z",
     "2015-00-09T12:00:00Z", "2015-13-09T12:00:00Z", "2015-06-00T12:00:00Z", "2015-06-32T12:00:00Z",
     "2015-06-09T24:00:00Z", "2015-06-09T12:60:00Z", "yyyy-06-09T12:00:00Z"],
)  # fmt: skip
def test_what_is_no_time_is_refused(text):
    with pytest.raises(ValueError):
        seconds_of(text)


@pytest.mark.parametrize(
    ("seconds", "kept"),
    [(0, 0), (1.9, 1), (NOON, NOON), (253402300799, 253402300799), (253402300800, 0), (-1, 0), (float("nan"), 0)],
)
def test_a_time_that_no_catalog_can_hold_is_none(seconds, kept):
    assert sane_time(seconds) == kept


def test_days_and_moments_are_in_english_and_utc(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert day_text(NOON) == "09 Jun 2015" and day_text(1419984000) == "31 Dec 2014"
        assert moment_text(NOON) == "Tue Jun  9 12:00:00 UTC 2015"
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("ends", "text"),
    [
        (NOON + 102, "1m42s left, until Tue Jun  9 12:01:42 UTC 2015"),
        (NOON + 1, "0m01s left, until Tue Jun  9 12:00:01 UTC 2015"),
        (NOON, "expired 0m00s ago"),
        (NOON - 7500, "expired 2h05m ago"),
    ],
)
def test_how_long_something_is_valid(ends, text):
    assert left_text(ends, NOON) == text


@pytest.mark.parametrize("text", ["..", "a/../b", "a/..", "a\0b"])
def test_no_path_leads_up(text):
    with pytest.raises(UsageError, match="is not a path on the grid"):
        grid_path(text)


@pytest.mark.parametrize(
    ("path", "is_one"),
    [("a", True), ("a/b", True), ("a..b/...", True), (" ", True), ("a\nb", True), ("", False), ("/a", False),
     ("a/", False), ("a//b", False), ("a/./b", False), ("a/../b", False), ("..", False), ("a\0", False)],
)  # fmt: skip
def test_what_is_a_path_of_the_catalog(path, is_one):
    assert is_path(path) is is_one


TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("name", "is_one"),
    [("a", True), ("a b", True), ("x" * LONGEST, True), ("x" * (LONGEST + 1), False), ("a/b", False), ("", False),
     (".", False), ("..", False), ("a\0", False), ("a." + TOKEN[5:40], False)],
)  # fmt: skip
def test_what_is_a_name_in_a_folder(monkeypatch, name, is_one):
    noted, rows = type(secrets.noted)(secrets.noted), set(secrets.rows)
    secrets.note(TOKEN)
    try:
        assert is_name(name) is is_one
    finally:
        secrets.noted, secrets.rows = noted, rows
        secrets.tokens.discard(TOKEN)


@pytest.mark.parametrize(
    ("word", "before", "more"),
    [
        ("LYON", "", "; did you mean LYON"),
        ("lyon", "", "; did you mean LYON"),
        ("LION", "", "; did you mean LYON"),
        ("L", "", "; did you mean LYON"),  # the beginning is enough
        ("KRAKOW", "", ""),
        ("LYONzzzzz", "", "; did you mean LYON"),
        ("cnaff", "", ""),  # capitals count but for the whole word
        ("run 00", "", "; did you mean 'run 001'"),  # as it is typed
        ("--jsom", "", "; did you mean --json"),
        ("--y", "", ""),
        ("--jason", "", "; did you mean --json"),
        ("--zzon", "", ""),  # an option has to be nearer than a name
        ("LION", "e680/", "; did you mean e680/LYON"),
    ],
)
def test_what_is_nearest_to_a_misspelt_word(word, before, more):
    assert nearest(word, ["CNAF", "LYON", "run 001", "--json", "--xml-output"], before) == more
