"""Searches of a portal that find more than it shows: how they are split, and what answers make sense."""

from __future__ import annotations

from typing import Any

import pytest

from gridsync_parts.doors import Shown
from gridsync_parts.doors.searching import Page, page_in, parts_of, without
from gridsync_parts.recids import Query

ALL = Query("", {})


def page(total: int, **counts: dict[str, int]) -> Page:
    return Page(total, {}, counts)


def test_it_is_split_by_the_first_facet_that_tells_some_apart():
    found = page(20_000, experiment={"CMS": 20_000}, year={"2010--<2011": 12_000, "2011--<2012": 9_000})
    assert parts_of(ALL, found) == [
        Query("", {"year": ["2010--<2011"]}),
        Query("", {"year": ["2011--<2012"]}),
        Query("-_exists_:date_created", {}),
    ]


def test_what_has_none_of_the_values_is_a_part_too():
    query = Query("muon OR electron", {"experiment": ["CMS"]})
    found = page(20_000, experiment={"CMS": 20_000, "ATLAS": 7}, type={"Dataset": 15_000, 'So"ft\\ware': 3})
    assert parts_of(query, found) == [
        Query("muon OR electron", {"experiment": ["CMS"], "type": ["Dataset"]}),
        Query("muon OR electron", {"experiment": ["CMS"], "type": ['So"ft\\ware']}),
        Query(r'(muon OR electron) -type.primary:("Dataset" OR "So\"ft\\ware")', {"experiment": ["CMS"]}),
    ]


def test_several_values_of_a_facet_are_looked_for_one_by_one():
    query = Query("", {"experiment": ["CMS", "DELPHI"], "type": ["Dataset"]})
    assert parts_of(query, page(20_000, type={"Dataset": 10_000})) == [
        Query("", {"experiment": ["CMS"], "type": ["Dataset"]}),
        Query("", {"experiment": ["DELPHI"], "type": ["Dataset"]}),
    ]


@pytest.mark.parametrize(
    ("query", "counts"),
    [
        (ALL, {}),
        (ALL, {"experiment": {}}),
        (ALL, {"experiment": {"CMS": 20_000}}),
        (ALL, {"experiment": {"CMS": 20_000, "ATLAS": 0}}),
        (Query("", {"experiment": ["CMS"]}), {"experiment": {"CMS": 15_000, "ATLAS": 5_000}}),
    ],
)
def test_a_search_that_can_not_be_split(query, counts):
    assert parts_of(query, page(20_000, **counts)) == []


def test_ranges_leave_out_only_what_has_no_value():
    assert without(ALL, "number_events", ["0--999"]).words == "-_exists_:distribution.number_events"


def hit(name: object, **metadata: object) -> dict[str, object]:
    return {"id": name, "metadata": metadata}


def test_an_answer_with_records_and_others():
    boxes: dict[str, Any] = {
        "experiment": {"buckets": [{"key": "CMS", "doc_count": 2}]},
        "year": {"buckets": [{"key": 1262304000000, "key_as_string": "2010", "doc_count": 2}]},
        "new facet": {"what": "ever"},
    }
    hits = [hit("cms-1", recid="cms-1", title="One"), hit("7", recid=7), hit("cms-guide", slug="cms-guide")]
    found = {"cms-1": ("cms-1", Shown("One")), "7": ("7", Shown()), "cms-guide": ("", Shown())}
    counts = {"experiment": {"CMS": 2}, "year": {"2010--<2011": 2}}
    assert page_in({"hits": {"hits": hits, "total": 12}, "aggregations": boxes}) == Page(12, found, counts)


@pytest.mark.parametrize(
    "answer",
    [
        "a page",
        None,
        [],
        {},
        {"hits": {}},
        {"hits": {"hits": [], "total": "many"}},
        {"hits": {"hits": [], "total": {"value": 3}}},
        {"hits": {"hits": [hit("a", recid="cms-1")], "total": 0}},
        {"hits": {"hits": [hit("a", recid="../cms-1")], "total": 1}},
        {"hits": {"hits": [hit("a", recid="a\nb")], "total": 1}},
        {"hits": {"hits": ["cms-1"], "total": 1}},
        {"hits": {"hits": [{"id": "cms-1"}], "total": 1}},
        {"hits": {"hits": [], "total": 0}, "aggregations": {"year": {"buckets": [{"key_as_string": "x"}]}}},
        {"hits": {"hits": [], "total": 0}, "aggregations": {"type": {"buckets": 3}}},
    ],
)
def test_an_answer_that_makes_no_sense(answer):
    with pytest.raises((ValueError, KeyError, TypeError, AttributeError)):
        page_in(answer)
