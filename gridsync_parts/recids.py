"""What names the records of a portal: the words of INPUTDIR and of lists, and the pages that people copy."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from gridsync_parts.errors import UsageError, brief
from gridsync_parts.kinds import INVENIO, OPEN_DATA, is_portal
from gridsync_parts.words import bare, grid_path, is_url, is_utf8, nearest

DOI = r"10\.[0-9]{4,9}/[^\s?#]+"
DOI_HOSTS = ("doi.org", "www.doi.org", "dx.doi.org")
# What the portal filters by, as its search page names it, and the field of a record that it looks at.
FACETS = {
    "experiment": "experiment",
    "year": "date_created",
    "type": "type.primary",
    "category": "categories.primary",
    "file_type": "distribution.formats",
    "collision_energy": "collision_information.energy",
    "collision_type": "collision_information.type",
    "number_events": "distribution.number_events",
    "keywords": "keywords",
    "stripping_stream": "stripping.stream",
    "stripping_version": "stripping.version",
    "magnet_polarity": "magnet_polarity",
    "signature": "signature",
    "availability": "availability",
    "tags": "tags",
    "collections": "collections",
}
BELOW = {"subtype": "type", "subcategory": "category"}  # facets of facets
ON_DEMAND = "ondemand"  # a search finds records on demand alone with ondemand=true
OF_PAGES = frozenset(("p", "s", "l", "order", "sort", "size", "page", "ln", "skip_files", "facets"))  # mean no records


def is_query(word: str) -> bool:
    """Whether a word is a search."""
    return word.startswith("?")


def is_doi(word: str) -> bool:
    """Whether a word is a DOI."""
    return bool(re.fullmatch(DOI, word))


def recid_in(word: str) -> str:
    """The record that a word names; empty for a DOI and a search."""
    return "" if is_query(word) or is_doi(word) else word.partition("/")[0]


def quoted(text: str) -> str:
    """A text between quotes, as searches have it."""
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


def tidy(word: str) -> str:
    """A word without what means nothing: a recid, or a path in a record, a DOI, or a search as it stands."""
    word = word.strip()
    if is_query(word):
        return word
    doi = re.sub(r"(?i)^doi:\s*", "", word)
    return doi if is_doi(doi) else grid_path(word)


def words_in(text: str) -> list[str]:
    """The words of an INPUTDIR, which stand between colons; a search goes on to the end, or to the next ?."""
    head, *queries = re.split(r"(?:^|:)\s*(?=\?)", text.strip())
    parts = re.split(r":(?!\s*10\.)|(?<!doi):", head, flags=re.IGNORECASE)
    return [word for word in map(tidy, [*parts, *queries]) if word]


def check_words(words: Iterable[str], site: str) -> list[str]:
    """The words, which must be some, and in UTF-8 as a URL has them."""
    words = list(words)
    for word in words:
        if not is_utf8(word):
            raise UsageError(f"{brief(word)}: is not UTF-8, as all that a portal is asked; write it anew")
    if words:
        return words
    raise UsageError(
        f"no record of {site} is chosen; give one with --input_dir=5500, a DOI, several with : between them, or "
        '"?words" of a search'
    )


def hint_of(word: str) -> str:
    """What may be meant by a word that is no option: a record, or a pattern that the shell has seen."""
    if not re.match(rf"[0-9]{{1,7}}$|[a-z]+-[0-9]+$|\?.|(?i:doi:\s*)?{DOI}", word):
        return " (did you forget to quote a pattern?)"
    return f"; records of open data are named with --input_dir={shlex.quote(word)}, or as URL DIR"


# Pages.


def is_doi_url(url: str) -> bool:
    """Whether a URL is that of a DOI."""
    parts = urlsplit(url)
    return parts.hostname in DOI_HOSTS and is_doi(unquote(parts.path).strip("/"))


def is_page_of(server: str, url: str) -> bool:
    """Whether a URL is at a portal, with or without TLS."""
    (there, found), ports = map(urlsplit, (server, url)), {"http": 80, "https": 443}
    at = [(parts.hostname, parts.port or ports.get(parts.scheme)) for parts in (there, found)]
    return at[0] == at[1] or (at[0] == (found.hostname, 443) and at[1][1] == 80)


def is_likely(server: str, doi: str) -> bool:
    """Whether a DOI has the name of a site's host in it, as 10.5281/zenodo.17."""
    labels = (urlsplit(server).hostname or "").split(".")
    return any(part and part in labels for part in re.split("[/.]", doi.lower())[2:])


def portal_of(sections: Mapping[str, Mapping[str, str]], url: str, chosen: str) -> str:
    """The site that is a portal which a URL is a page of, or that has the record of a DOI; empty for other URLs."""
    servers = {name: keys.get("SERVER", "") for name, keys in sections.items() if is_portal(keys.get("ENGINE", ""))}
    servers = {name: server for name, server in servers.items() if is_url(server)}
    fitting = [name for name, server in servers.items() if is_page_of(server, url)]
    if not fitting and is_doi_url(url):
        fitting = sorted(servers, key=lambda name: not is_likely(servers[name], urlsplit(url).path.strip("/")))
    return chosen if chosen in fitting else next(iter(fitting), "")


def record_word(url: str, path: str, query: str) -> str:
    """The word for what a page of a repository shows, also one of a model, or of its interface for programs."""
    if re.fullmatch(r"search|api/records|([^/]+/)?records", path):
        return f"?{query}"
    found = re.fullmatch(r"(?:[^/]+/)?(?:records?|uploads|deposit)/([^/]+)(?:/(.*))?", path)
    found = found or re.fullmatch(r"api/[^/]+/([^/]+)(?:/(.*))?", path)
    found = found or re.fullmatch(r"[^/]+/([0-9a-z]{5}-[0-9a-z]{5})(?:/(.*))?", path)  # of a model
    if not found:
        parts = urlsplit(url)
        like = f"{parts.scheme}://{parts.netloc}/records/ID"
        raise UsageError(f"{brief(bare(url))} is no page of a record or a search; give one like {like}")
    rest = re.fullmatch("(?:draft/)?(?:files|preview)/(.+?)(?:/content)?", found[2] or "")
    return tidy(f"{found[1]}/{rest[1]}" if rest else found[1])


def word_of(url: str, engine: str = OPEN_DATA) -> str:
    """The word for what a page of a portal, or of doi.org, shows."""
    parts = urlsplit(url.strip())
    path = "/".join(filter(None, unquote(parts.path).split("/")))
    if is_doi_url(url):
        return path
    if engine == INVENIO:
        return record_word(url, path, parts.query)
    found = re.fullmatch(r"(?:api/records|record)/([^/]+)(?:/(.*))?", path)
    if found:
        name = (found[2] or "").partition("files/")
        return tidy(f"{found[1]}/{name[2]}" if name[1] and not name[0] else found[1])
    if path in ("search", "api/records"):
        return f"?{parts.query}"
    raise UsageError(
        f"{brief(bare(url))} is no page of a record or a search; give one like {parts.scheme}://{parts.netloc}/record/1"
    )


def page_of(server: str, word: str, engine: str = OPEN_DATA) -> str:
    """The page of a portal that shows what a word names; of a search itself, as it may be long."""
    if is_query(word):
        return word
    kind = "records" if engine == INVENIO else "record"
    return f"https://doi.org/{word}" if is_doi(word) else f"{server}/{kind}/{quote(recid_in(word))}"


# Searches.


class Query(NamedTuple):
    """A search: words, and what is filtered by."""

    words: str
    filters: Mapping[str, list[str]]  # by facets; a record has one value of each

    def with_filter(self, facet: str, value: str) -> Query:
        """The same with one more filter."""
        return self._replace(filters={**self.filters, facet: [value]})

    def with_words(self, more: str) -> Query:
        """The same with more words."""
        return self._replace(words=f"({self.words}) {more}" if self.words.strip() else more)

    def params(self) -> list[tuple[str, str]]:
        """What the portal is asked."""
        return [("q", self.words), *((facet, value) for facet, some in self.filters.items() for value in some)]


def check_facet(name: str) -> str:
    """The name of a facet, which must be one: the portal would ignore others."""
    if name in FACETS or name == ON_DEMAND:
        return name
    known = ", ".join(FACETS)
    raise UsageError(f"the portal does not filter by {brief(repr(name))}, but by {known}{nearest(name, FACETS)}")


def filter_in(text: str) -> tuple[str, str] | None:
    """The facet and the value that facet:value means, perhaps with +subfacet:value; None for what is none of these."""
    facet, colon, value = text.partition(":")
    if not colon or facet.strip() not in FACETS:
        return None
    value = re.sub(r"[+ ]+sub\w+:", "::", value)
    return facet.strip(), value.strip().strip('"')


def years_in(text: str) -> str:
    """A year, or several with -- between the first and the last, as the portal wants them."""
    if not re.fullmatch(r"[0-9]{4}|>?([0-9]{4})?(-[0-9]{2}){0,2}--<?([0-9]{4})?(-[0-9]{2}){0,2}", text):
        raise UsageError(f"{brief(repr(text))} is no year; write year=2011 or year=2010--2012")
    return text if "--" in text else f"{text}--{text}"


def is_filter(item: str) -> bool:
    """Whether facet:value, as people write it, is just that, and no words in the language of the portal's search."""
    facet, value = filter_in(item) or ("", "AND")
    is_long = facet == "experiment" and " " in value  # no experiment has two words
    return not is_long and not re.search(r"\b(AND|OR|NOT)\b|&&|\|\||^[(\[{<>]|(?<!:):(?!:)", value)


def pairs_in(text: str) -> list[tuple[str, str]]:
    """What stands between the & of a search: of an address, or as people write it."""
    found = []
    for item in text.split("&"):
        name = item.partition("=")[0]
        if "=" in item and re.fullmatch(r"[\w.]+", name):
            found += parse_qsl(item, keep_blank_values=True)
        elif item.strip():
            item = unquote(item).strip()
            found.append(("f" if is_filter(item) else "q", item))
    return found


def query_of(word: str) -> Query:
    """The search that a word means: words and facets as the page of the portal has them in its address."""
    pairs = pairs_in(word[1:])
    names = [name for name, _ in pairs]
    words: list[str] = []
    filters: dict[str, list[str]] = {}
    below: dict[str, list[str]] = {}
    for name, value in pairs:
        if name == "q" or (name == "p" and "q" not in names and not value.isdecimal()):
            words += [value.strip()] if value.strip() else []
        elif name == "f":
            facet, told = filter_in(value) or (check_facet(value.partition(":")[0]), "")
            filters.setdefault(facet, []).append(told)
        elif name in BELOW:
            below.setdefault(BELOW[name], []).append(value)
        elif name not in OF_PAGES:
            filters.setdefault(check_facet(name), []).append(value)
    for facet, some in below.items():
        if facet not in filters:
            raise UsageError(f"{brief(word)}: a sub{facet} stands beside its {facet}; add &{facet}=...")
        filters[facet] = [f"{value}::{lower}" for value in filters[facet] for lower in some]
    filters["year"] = list(map(years_in, filters.get("year", [])))
    return Query(" ".join(words), {facet: some for facet, some in filters.items() if some})
