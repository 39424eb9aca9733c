"""Searches of a portal that find more than it shows: how they are split, and what answers make sense."""

from __future__ import annotations

from typing import Any

import pytest

from gridsync_parts.doors import Shown
from gridsync_parts.doors.searching import Page, Searching, page_in, parts_of, without
from gridsync_parts.errors import DoorError, UsageError
from gridsync_parts.recids import Query
from tests.support.constants import replace

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


def test_what_goes_on_and_on_ends():
    """A portal that has always one value more, and one record less."""
    query, most = Query("muon", {}), 0
    while parts := parts_of(query, Page(20_000, {}, {"keywords": {f"a value {most}": 1}})):
        query, most = parts[-1], most + 1
    assert 50 < most < 200


@pytest.mark.parametrize(
    ("given", "years"),
    [
        ("2010--2012", ["2010--<2011", "2011--<2012", "2012--2012"]),
        ("2010--2010", []),
        ("2010--", []),
        ("--2012", []),
        ("2012--2010", []),
        ("0001--9999", []),
    ],
)
def test_years_are_split_one_by_one(given, years):
    query = Query("", {"year": [given]})
    assert parts_of(query, page(20_000)) == [Query("", {"year": [year]}) for year in years]


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
        {"hits": {"hits": [], "total": 0}, "aggregations": {"type": {"buckets": [{"key": "\ud800", "doc_count": 1}]}}},
    ],
)
def test_an_answer_that_makes_no_sense(answer):
    with pytest.raises((ValueError, KeyError, TypeError, AttributeError)):
        page_in(answer)


class Telling:
    """A portal that answers a search for a page with what is in `pages`."""

    def __init__(self, total: int, *pages: list[str]):
        self.total, self.pages = total, pages

    def ask(self, _method: str, path: str) -> object:
        number = int(path.rpartition("page=")[2])
        hits = [hit(name, recid=name) for name in self.pages[number - 1]]
        return {"hits": {"hits": hits, "total": self.total}, "aggregations": {}}


def found(*pages: list[str], total: int) -> list[str]:
    portal: Any = Telling(total, *pages)
    searching = Searching(portal)
    return sorted(searching.collect(ALL, searching.page(ALL, 1, "?q="), "?q=", map))


@pytest.fixture
def small_pages(monkeypatch):
    replace(monkeypatch, "PAGE_SIZE", 2)
    replace(monkeypatch, "MOST_SHOWN", 4)


def test_all_pages_are_looked_at(small_pages):
    assert found(["a-1", "a-2"], ["a-3"], total=3) == ["a-1", "a-2", "a-3"]


def test_fewer_than_it_counts_are_never_taken_for_all(small_pages):
    with pytest.raises(DoorError, match="the portal shows 3 of the 4 records that it finds; try later") as raised:
        found(["a-1", "a-2"], ["a-2", "a-3"], total=4)
    assert raised.value.passing


def test_more_than_it_shows_that_can_not_be_split_are_refused(small_pages):
    with pytest.raises(UsageError, match="the search finds 5 records that no facet tells apart, and the po"):
        found(["a-1", "a-2"], total=5)
