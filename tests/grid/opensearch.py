"""The search of the CERN Open Data portal: query strings, facets, counts; as the configuration of its 1.1.0 has them.

    experiment:CMS AND date_created:[2011 TO 2012] AND NOT title:"muon"        q, OpenSearch's query string
    experiment=CMS&type=Dataset::Collision&year=2011--2012                     facets, of which more values are an OR
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

Fields = dict[str, Any]  # the metadata of a record, without its files
Test = Callable[[Fields], bool]
TERMS = {
    "experiment": "experiment", "availability": "availability", "file_type": "distribution.formats",
    "collision_type": "collision_information.type", "collision_energy": "collision_information.energy",
    "keywords": "keywords", "collections": "collections", "tags": "tags", "signature": "signature",
}  # fmt: skip
NESTED = {"type": "type", "category": "categories"}  # of a primary and secondary ones
RANGES = {"year": "date_created", "number_events": "distribution.number_events"}
DATES = ("date_created", "date_published")
COUNTED = ("type", "experiment", "availability", "year", "file_type", "category", "collision_energy")
TEXTS = {  # whose words are found, and where they stand; other fields must be the same from end to end, a title, too
    "title.tokens": "title", "abstract.description": "abstract.description",
    "type.primary.primary_text": "type.primary", "type.secondary.secondary_text": "type.secondary",
}  # fmt: skip
KEYWORDS = ("title", "recid", "doi", "experiment", "keywords", "collections", "distribution.formats")
TOKEN = re.compile(
    r"""\s*(?:(?P<mark>[()])|(?P<no>[-!](?=\S))|(?P<field>[\w.\\*]+):
    |"(?P<phrase>(?:\\.|[^"\\])*)"|(?P<range>[\[{][^\]}]+\sTO\s[^\]}]+[\]}])|(?P<word>(?:\\.|[^\s()"\[\]{}])+))""",
    re.VERBOSE,
)


class NoQuery(ValueError):
    """A query string or facet that makes no sense."""


class Token(NamedTuple):
    kind: str
    text: str


def values(fields: Fields, path: str) -> list[Any]:
    """All that a record has in a field."""
    found: list[Any] = [fields]
    for name in path.split("."):
        found = [one[name] for one in found if isinstance(one, dict) and name in one]
        found = [each for one in found for each in (one if isinstance(one, list) else [one])]
    return [one for one in found if one not in (None, "")]


# == Query strings ======================================================================================


def query(text: str) -> Test:
    """What a query string asks for; nothing asks for everything."""
    if not text.strip() or text.strip() == "*":
        return lambda fields: True
    tokens = list(_tokens(text))
    test, rest = _any(tokens, "")
    if rest:
        raise NoQuery(text)
    return test


def _tokens(text: str) -> Iterator[Token]:
    at = 0
    text = text.rstrip()
    while at < len(text):
        match = TOKEN.match(text, at)
        if not match:
            raise NoQuery(text)
        assert match.lastgroup
        yield Token(match.lastgroup, match[match.lastgroup])
        at = match.end()


def _is(tokens: list[Token], *words: str) -> bool:
    return bool(tokens) and tokens[0].kind in ("word", "mark") and tokens[0].text in words


def _any(tokens: list[Token], field: str) -> tuple[Test, list[Token]]:
    one, tokens = _all(tokens, field)
    tests = [one]
    while _is(tokens, "OR", "||"):
        one, tokens = _all(tokens[1:], field)
        tests.append(one)
    return (lambda fields: any(test(fields) for test in tests)), tokens


def _all(tokens: list[Token], field: str) -> tuple[Test, list[Token]]:
    one, tokens = _one(tokens, field)
    tests = [one]
    while tokens and not _is(tokens, "OR", "||", ")"):
        one, tokens = _one(tokens[1:] if _is(tokens, "AND", "&&") else tokens, field)
        tests.append(one)
    return (lambda fields: all(test(fields) for test in tests)), tokens


def _one(tokens: list[Token], field: str) -> tuple[Test, list[Token]]:
    if not tokens or _is(tokens, "AND", "OR", "&&", "||", ")"):
        raise NoQuery("something is missing")
    first, rest = tokens[0], tokens[1:]
    if first.kind == "no" or _is(tokens, "NOT"):
        test, rest = _one(rest, field)
        return (lambda fields: not test(fields)), rest
    if first.kind == "field":
        return _one(rest, re.sub(r"\\(.)", r"\1", first.text))
    if _is(tokens, "("):
        test, rest = _any(rest, field)
        if not _is(rest, ")"):
            raise NoQuery("a bracket is missing")
        return test, rest[1:]
    return _term(field, first), rest


def _term(field: str, token: Token) -> Test:
    if token.kind == "range":
        low, _, high = token.text[1:-1].partition(" TO ")
        return _between(field, low.strip(), high.strip(), token.text[0] == "{", token.text[-1] == "}")
    if field and (match := re.fullmatch(r"([<>])(=?)(.+)", token.text)) and token.kind == "word":
        sign, same, bound = match.groups()
        return _between(field, bound if sign == ">" else "*", bound if sign == "<" else "*", not same, not same)
    text = re.sub(r"\\(.)", r"\1", token.text)
    if field == "_exists_":
        return lambda fields: bool(values(fields, text))
    if not field:
        return lambda fields: any(_says(values(fields, name), text, token.kind) for name in TEXTS.values()) or any(
            _same(str(value), text) for name in KEYWORDS for value in values(fields, name)
        )
    if field in RANGES.values():
        return _between(field, text, text, False, False)
    if field in TEXTS:
        return lambda fields: _says(values(fields, TEXTS[field]), text, token.kind)
    return lambda fields: any(_same(str(value), text) for value in values(fields, field))


def _same(value: str, wanted: str) -> bool:
    return fnmatchcase(value, wanted.replace("[", "[[]")) if re.search("[*?]", wanted) else value == wanted


def _says(found: Iterable[Any], text: str, kind: str) -> bool:
    """Does a text have this word or phrase?"""
    wanted = _words(text, "*?" if kind == "word" else "")
    for value in found:
        words = _words(str(value))
        if any(
            len(words) - at >= len(wanted) and all(map(_same, words[at:], wanted))
            for at in range(len(words))
        ):  # fmt: skip
            return bool(wanted)
    return False


def _words(text: str, more: str = "") -> list[str]:
    return re.findall(rf"[\w{more}]+", text.lower())


def _day(text: str) -> str:
    """A date, of which a missing month or day is the first: as OpenSearch has it, also of bounds."""
    return "-".join([*text.split("-"), "01", "01"][:3])


def _between(field: str, low: str, high: str, after: bool, before: bool) -> Test:
    """Is a date or number there in a range? 2012 as an upper bound is its first day."""
    order: Callable[[Any], Any] = _day if field in DATES else float

    def is_in(value: Any) -> bool:
        under = low != "*" and (value <= order(low) if after else value < order(low))
        over = high != "*" and (value >= order(high) if before else value > order(high))
        return not under and not over

    return lambda fields: any(is_in(order(value)) for value in values(fields, field))


# == Facets =============================================================================================


def facets(asked: Iterable[tuple[str, str]]) -> dict[str, Test]:
    """What the parameters of an address ask for, by their names."""
    wanted: dict[str, list[str]] = {}
    for name, value in asked:
        if name in {*TERMS, *NESTED, *RANGES}:
            wanted.setdefault(name, []).append(value)
    return {name: _facet(name, chosen) for name, chosen in wanted.items()}


def _facet(name: str, wanted: list[str]) -> Test:
    if name in TERMS:
        return lambda fields: any(str(value) in wanted for value in values(fields, TERMS[name]))
    if name in NESTED:
        top = NESTED[name]
        pairs = [tuple(value.split("::", 1)) for value in wanted]
        return lambda fields: any(
            all(part in values(fields, f"{top}.{level}") for part, level in zip(pair, ("primary", "secondary")))
            for pair in pairs
        )
    tests = []
    for value in wanted:
        if value.count("--") != 1 or value == "--":
            raise NoQuery("Invalid range format.")
        low, high = value.split("--")
        bounds = (low.lstrip(">") or "*", high.lstrip("<") or "*")
        tests.append(_between(RANGES[name], *bounds, low[:1] == ">", high[:1] == "<"))
    return lambda fields: any(test(fields) for test in tests)


def counts(found: Iterable[tuple[Fields, list[str]]]) -> dict[str, Any]:
    """How many records there are of each kind, for the boxes beside the search. With each record come the names of the
    facets that leave it out; the box of a facet shows what that facet alone leaves out, too."""
    boxes: dict[str, Counter[str]] = {name: Counter() for name in COUNTED}
    for fields, out in found:
        for name in COUNTED if not out else out if len(out) == 1 and out[0] in COUNTED else ():
            boxes[name].update(_kinds(fields, name))
    return {name: {"buckets": _buckets(name, box)} for name, box in boxes.items()}


def _kinds(fields: Fields, name: str) -> set[str]:
    if name == "year":
        return {str(value)[:4] for value in values(fields, "date_created")}
    return set(map(str, values(fields, f"{NESTED[name]}.primary" if name in NESTED else TERMS[name])))


def _buckets(name: str, box: Counter[str]) -> list[Fields]:
    if name == "year":
        return [{"key_as_string": year, "key": 0, "doc_count": n} for year, n in sorted(box.items())]
    return [{"key": kind, "doc_count": n} for kind, n in sorted(box.items())[:50]]
