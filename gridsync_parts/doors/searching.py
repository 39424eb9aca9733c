"""What the words of INPUTDIR mean at a portal: old numbers, DOIs, and searches of any size."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, NamedTuple
from urllib.parse import urlencode

from gridsync_parts.doors import Found, Shown
from gridsync_parts.doors.portal import AT_ONCE, Portal
from gridsync_parts.doors.record import NAME, RECID, Record, is_record_online, text_in, time_in
from gridsync_parts.errors import BadRequest, DoorError, FileError, NotFound, UsageError, brief
from gridsync_parts.recids import FACETS, ON_DEMAND, Query, is_doi, is_query, page_of, query_of, quoted
from gridsync_parts.words import is_utf8

MOST_SHOWN = 10_000  # records that the portal shows of a search
PAGE_SIZE = 200  # of them in an answer; it divides MOST_SHOWN, or the last ones could not be shown
MOST_WORDS = 4000  # characters of a search; addresses end at twice as many, and what goes on and on ends, too
ALL = (("sort", "mostrecent"), ("skip_files", "1"))  # in an order that stays the same
WHOLLY, PARTLY = "on demand", "partly on demand"

Hits = dict[str, tuple[str, Shown]]  # recids, by the ids of what was found; empty ones of what is no record
Map = Callable[..., Iterator[Any]]  # as map, but with several calls at once


class Page(NamedTuple):
    """An answer to a search."""

    total: int  # records that it finds
    hits: Hits
    counts: dict[str, dict[str, int]]  # of what it finds, by facets and their values


def shown_of(facts: Mapping[str, Any], mtime: int) -> Shown:
    """What a search says of a record."""
    spread = facts.get("distribution")
    counts = [spread.get(name) if isinstance(spread, dict) else 0 for name in ("number_files", "size")]
    files, size = (count if isinstance(count, int) and count > 0 else 0 for count in counts)
    is_partial = text_in(facts, "availability") == "partial"
    tape = PARTLY if is_partial else "" if is_record_online(facts) else WHOLLY
    return Shown(text_in(facts, "title"), mtime, files, size, tape)


def shown_in(record: Record, name: str) -> Shown:
    """The same of a record that was looked at, or of a file in it."""
    held = [one for one in record.files.values() if (one.name == name if name else one.name != NAME)]
    cold = sum(not one.online for one in held)
    tape = "" if not cold else WHOLLY if cold == len(held) else PARTLY
    return Shown(record.title, record.mtime, 0 if name else len(held), sum(one.size for one in held), tape)


def recid_of(hit: Mapping[str, Any]) -> tuple[str, Shown]:
    """The recid of what was found, and what is said of it; empty for documentation, and for a term of the glossary."""
    facts = hit["metadata"]
    recid = facts.get("recid", "")
    text = str(recid) if isinstance(recid, (int, str)) else ""
    if text and not re.fullmatch(RECID, text, re.ASCII):
        raise ValueError(f"{brief(repr(text))} is no recid")
    return text, shown_of(facts, time_in(text_in(hit, "created")))


def records_in(hits: Hits) -> dict[str, Shown]:
    """The records among them, in the order of their recids."""
    return dict(sorted((recid, shown) for recid, shown in hits.values() if recid))


def value_of(facet: str, bucket: Mapping[str, Any]) -> str:
    """The value of a facet that a count is of, as the portal filters by it."""
    if facet != "year":
        if not is_utf8(value := str(bucket["key"])):
            raise ValueError(f"{brief(repr(value))} is no {facet}")
        return value
    year = int(str(bucket["key_as_string"])[:4])
    return f"{year:04d}--<{year + 1:04d}"  # the whole of it: without < the portal means its first day


def page_in(answer: Any) -> Page:
    """What an answer to a search says; ValueError, KeyError or TypeError if it makes no sense."""
    hits, total = answer["hits"]["hits"], answer["hits"]["total"]
    if not isinstance(total, int) or total < len(hits):
        raise ValueError(f"it has {len(hits)} of {brief(repr(total))} records")
    found = {str(hit["id"]): recid_of(hit) for hit in hits}
    counts = {
        facet: {value_of(facet, bucket): int(bucket["doc_count"]) for bucket in told["buckets"]}
        for facet, told in (answer.get("aggregations") or {}).items()
        if facet in FACETS
    }
    return Page(total, found, counts)


def years_of(given: list[str]) -> list[str]:
    """The years from one to another; none if there is one alone, or an end is open. The last is as it was given."""
    found = re.fullmatch("([0-9]{4})--([0-9]{4})", given[0]) if given else None
    first, last = (int(found[1]), int(found[2])) if found else (0, 0)
    if not first < last < first + 1000:
        return []
    return [*(f"{year:04d}--<{year + 1:04d}" for year in range(first, last)), f"{last:04d}--{last:04d}"]


def without(query: Query, facet: str, values: Iterable[str]) -> Query:
    """A search for what has none of these values of a facet."""
    if facet in ("year", "number_events"):  # of which ranges leave nothing out
        return query.with_words(f"-_exists_:{FACETS[facet]}")
    return query.with_words(f"-{FACETS[facet]}:({' OR '.join(map(quoted, values))})")


def parts_of(query: Query, page: Page) -> list[Query]:
    """Smaller searches that together find what this one does; none if it can't be split."""
    for facet in FACETS:
        given, counts = query.filters.get(facet, []), page.counts.get(facet, {})
        if len(given) > 1:
            return [query.with_filter(facet, value) for value in given]
        if years := years_of(given) if facet == "year" else []:
            return [query.with_filter(facet, year) for year in years]
        counts = {value: count for value, count in counts.items() if count}
        if not given and counts and max(counts.values()) < page.total:
            others = without(query, facet, counts)
            if len(others.words) <= MOST_WORDS:
                return [*(query.with_filter(facet, value) for value in counts), others]
    return []


class Searching:
    """Finds records of a portal."""

    def __init__(self, portal: Portal):
        self.portal = portal

    def find(self, words: list[str]) -> dict[str, Found]:
        """The records that words name; a word for a record that the portal does not have names none."""
        with ThreadPoolExecutor(AT_ONCE) as pool:  # as many as the portal is asked at once
            named = [word for word in words if not is_query(word)]
            found = dict(zip(named, pool.map(self.named, named)))
            found.update((word, self.search(word, pool.map)) for word in words if is_query(word))
        return found

    def named(self, word: str, tries: int = 2) -> Found:
        """The record that a word names; the others go on where there is none."""
        try:
            return self.with_doi(word) if is_doi(word) else self.with_recid(word)
        except FileError as error:
            return self.named(word, tries - 1) if error.passing and tries > 1 else Found({}, error=error)

    def with_recid(self, word: str) -> Found:
        """The record by what the portal calls it, or has called it, with the file in it that may be named."""
        recid, slash, name = word.partition("/")
        if not re.fullmatch(RECID, recid, re.ASCII):
            way = "several stand with : between them, words to look for behind a ?"
            raise NotFound(f"{brief(word)}: is no record; {way}")
        record = self.portal.record(recid)
        return Found({f"{record.recid}{slash}{name}": shown_in(record, name)})

    def with_doi(self, doi: str) -> Found:
        """The record with a DOI."""
        for spelt in dict.fromkeys((doi, doi.upper())):  # the portal takes its letters as they are
            hits = self.page(Query(f'doi:"{spelt}"', {ON_DEMAND: ["true"]}), 1, doi).hits
            if records := records_in(hits):
                return Found(records)
        raise NotFound(f"{doi}: the portal has no record with this DOI; see {page_of('', doi)}")

    def search(self, word: str, each: Map) -> Found:
        """The records that a search finds, in slices that the portal can show."""
        query, hidden = query_of(word), 0
        hits = self.collect(query, self.page(query, 1, word), word, each)
        records = records_in(hits)
        others = len(hits) - len(records)
        if ON_DEMAND not in query.filters:
            hidden = self.page(query.with_filter(ON_DEMAND, "true"), 1, word, size=1).total - len(hits)
        error = None
        if not records:
            what = "pages of documentation alone, which have no files" if others else "no record"
            more = f"add &{ON_DEMAND}=true for {hidden:,} on demand alone, or " if hidden > 0 else ""
            seen = f"{self.portal.server}/search"
            error = FileError(f"{brief(word)}: the search finds {what}; {more}try other words or facets at {seen}")
        return Found(records, others, max(hidden, 0), error)

    def collect(self, query: Query, first: Page, word: str, each: Map, below: float = math.inf) -> Hits:
        """All that a query finds, whose first page is here; it is to be less than before it was split."""
        if first.total <= MOST_SHOWN:
            numbers = range(2, -(-first.total // PAGE_SIZE) + 1)
            found = [page.hits for page in each(lambda number: self.page(query, number, word), numbers)]
        else:
            parts = parts_of(query, first) if first.total < below else []
            if not parts:
                many, few = f"{first.total:,}", f"{MOST_SHOWN:,}"
                raise UsageError(
                    f"{brief(word)}: the search finds {many} records that no facet tells apart, and the portal shows "
                    f"{few} of them; add words or a facet to it"
                )
            firsts = list(each(lambda part: self.page(part, 1, word), parts))
            found = [self.collect(*of, word, each, first.total) for of in zip(parts, firsts)]
        hits = {name: hit for some in (first.hits, *found) for name, hit in some.items()}
        if len(hits) < first.total:
            sentence = f"{brief(word)}: the portal shows {len(hits):,} of the {first.total:,} records that it finds"
            raise DoorError(f"{sentence}; try later, or with more words", passing=True)
        return hits

    def page(self, query: Query, number: int, word: str, size: int = 0) -> Page:
        """One answer to a search."""
        params = urlencode([*query.params(), *ALL, ("size", str(size or PAGE_SIZE)), ("page", str(number))])
        try:
            return page_in(self.portal.ask("GET", f"api/records/?{params}"))
        except BadRequest as error:
            if number > 1:
                raise
            raise UsageError(f"{brief(word)}: the portal cannot make sense of the search; correct its words") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            reason = f" ({brief(str(error))})" if isinstance(error, ValueError) else ""
            sentence = f"{brief(word)}: the portal's answer to the search makes no sense{reason}; try again later"
            raise DoorError(sentence, passing=True) from error
