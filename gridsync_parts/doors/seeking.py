"""What the words of INPUTDIR mean at a repository of Invenio's kind: ids, DOIs and searches."""

from __future__ import annotations

import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from gridsync_parts.doors import Found, Shown
from gridsync_parts.doors.archive import Archive
from gridsync_parts.doors.entries import Record, dict_in, dois_of, id_in, senseless, title_of
from gridsync_parts.doors.portal import AT_ONCE
from gridsync_parts.doors.record import RECID, text_in, time_in
from gridsync_parts.errors import BadRequest, FileError, Forbidden, NotFound, UsageError, brief
from gridsync_parts.recids import is_doi, is_query, page_of, quoted

PAGE_SIZE = 25  # records in an answer; Zenodo shows no more to who has no token
MOST_SHOWN = 10_000  # records that a repository shows of a search
OF_PAGES = frozenset(("page", "size", "p", "s", "l", "layout", "sort"))


def shown_in(record: Record, name: str) -> Shown:
    """What is said of a record in short, or of a file in it."""
    held = [one for one in record.files.values() if (one.name == name if name else one.uri)]
    title = record.title + (" (a draft)" if record.is_draft else "")
    return Shown(title, record.mtime, 0 if name else len(held), sum(one.size for one in held))


def shown_of(hit: Mapping[str, Any]) -> Shown:
    """The same of what a search has found."""
    files = dict_in(hit, "files")
    counts = [files.get(name) for name in ("count", "total_bytes")]
    count, size = (number if isinstance(number, int) and number > 0 else 0 for number in counts)
    return Shown(title_of(hit), time_in(text_in(hit, "created")), count, size)


def hits_in(answer: Any) -> tuple[list[Any], int]:
    """What an answer to a search has, and how many there are in all."""
    hits = answer["hits"]["hits"]
    total = answer["hits"]["total"]
    total = total["value"] if isinstance(total, dict) else total
    if not isinstance(hits, list) or not isinstance(total, int):
        raise ValueError("it has no list of records")
    return hits, total


class Seeking:
    """Finds records of a repository."""

    def __init__(self, archive: Archive):
        self.archive = archive

    def find(self, words: list[str]) -> dict[str, Found]:
        """The records that words name; a word for a record that the repository does not have names none."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return dict(zip(words, pool.map(self.meaning, words)))

    def meaning(self, word: str, tries: int = 2) -> Found:
        """The records that a word names; the others go on where there is none."""
        try:
            if is_query(word):
                return self.search(word)
            return self.with_doi(word) if is_doi(word) else self.with_id(word)
        except FileError as error:
            return self.meaning(word, tries - 1) if error.passing and tries > 1 else Found({}, error=error)

    def with_id(self, word: str) -> Found:
        """The record with an id, with the file in it that may be named; of an id of all versions, the latest."""
        id, slash, name = word.partition("/")
        if not re.fullmatch(RECID, id, re.ASCII):
            way = "several stand with : between them, words of a search behind a ?"
            raise NotFound(f"{brief(word)}: is no record; {way}")
        try:
            record = self.archive.record(id)
        except NotFound as error:
            record = self.latest(id, error)
        note = ""
        if record.id != id:
            note = f"{id} stands for all versions of a record; {record.id} is the latest, and has that name here"
        elif record.is_draft:
            note = f"{id} is a draft of yours, which is not published"
        return Found({f"{record.id}{slash}{name}": shown_in(record, name)}, note=note)

    def latest(self, id: str, missing: NotFound) -> Record:
        """The latest version of a record, by the id that all of them share; or that there is no record."""
        if "has removed" in str(missing):
            raise missing
        for root in self.archive.roots():
            for way in (f"{quote(id)}/versions/latest", f"?{urlencode({'q': f'parent.id:{quoted(id)}', 'size': 1})}"):
                try:
                    answer = self.archive.ask(f"{root}/{way}" if way[0] != "?" else root + way, id)
                    hits = hits_in(answer)[0] if way[0] == "?" else [answer]
                    for hit in hits[:1]:
                        if text_in(dict_in(hit, "parent"), "id") == id or text_in(hit, "conceptrecid") == id:
                            return self.archive.record(id_in(hit))
                except (KeyError, TypeError, ValueError, AttributeError):
                    continue
                except (NotFound, Forbidden, BadRequest):
                    continue
        raise missing

    def with_doi(self, doi: str) -> Found:
        """The record with a DOI: most repositories end theirs with the id, else they can be searched."""
        last = doi.partition("/")[2].rpartition("/")[2]
        for id in dict.fromkeys((last, last.rpartition(".")[2])):
            if not re.fullmatch(RECID, id, re.ASCII):
                continue
            try:
                found = self.with_id(id)
            except (NotFound, Forbidden):
                continue
            if any(doi.lower() in self.archive.record(name).dois for name in found.records):
                return found._replace(note=found.note if id not in found.records else "")
        for field in ("pids.doi.identifier", "doi", "metadata.doi"):
            try:
                hits = self.page(f"{field}:{quoted(doi)}", 1)[0]
            except (NotFound, BadRequest):
                continue
            records = {id_in(hit): shown_of(hit) for hit in hits if doi.lower() in dois_of(hit)}
            if records:
                return Found(records)
        raise NotFound(f"{doi}: the repository has no record with this DOI; see {page_of('', doi)}")

    def search(self, word: str) -> Found:
        """The records that a search finds."""
        pairs = parse_qsl(word[1:], keep_blank_values=True)
        given = dict(pairs) if any(name == "q" for name, _ in pairs) else {"q": word[1:]}
        others = [name for name in given if name != "q" and name not in OF_PAGES]
        if others:
            raise UsageError(f"{brief(word)}: a repository is searched by words alone; leave out {', '.join(others)}")
        records: dict[str, Shown] = {}
        number, total = 1, 1
        while len(records) < total:
            try:
                hits, total = self.page(given["q"], number)
            except BadRequest as error:
                raise UsageError(f"{brief(word)}: the repository cannot make sense of the search ({error})") from error
            if total > MOST_SHOWN:
                raise UsageError(
                    f"{brief(word)}: the search finds {total:,} records, and the repository shows {MOST_SHOWN:,} of "
                    "them; add words to it"
                )
            records.update((id_in(hit), shown_of(hit)) for hit in hits)
            number += 1
            if not hits:
                break
        failure = None
        if not records:
            seen = f"{self.archive.server}/search"
            failure = FileError(f"{brief(word)}: the search finds no record; try other words at {seen}")
        return Found(dict(sorted(records.items())), error=failure)

    def page(self, words: str, number: int) -> tuple[list[Any], int]:
        """One answer to a search of all models."""
        params = urlencode({"q": words, "size": PAGE_SIZE, "page": number, "sort": "oldest"})
        found, all_of_them = [], 0
        for root in self.archive.roots():
            try:
                hits, total = hits_in(self.archive.ask(f"{root}?{params}", f"the search {brief(words)}"))
            except NotFound:
                continue
            except (KeyError, TypeError, ValueError) as error:
                raise senseless(brief(words), error) from error
            found += [hit for hit in hits if isinstance(hit, dict)]
            all_of_them += total
        return found, all_of_them
