"""The records that INPUTDIR or a list names at a portal, and what its words meant before."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any, Callable

from gridsync_parts.disk import open_regular, replacing
from gridsync_parts.doors import Found, Listing, Shown
from gridsync_parts.doors.record import RECID
from gridsync_parts.errors import DiskError, GridError
from gridsync_parts.kinds import INVENIO
from gridsync_parts.recids import check_words, is_query, page_of, recid_in, tidy, words_in
from gridsync_parts.runs import Runs
from gridsync_parts.values import Entry, Locality, Scope
from gridsync_parts.words import is_path, size_text

MEANINGS = "grid_records.txt"
MOST = 1 << 28  # bytes of it


class Meanings:
    """What words meant when they were looked for, in grid_records.txt, so that not every command looks again."""

    def __init__(self, work_folder: str, site: str):
        self.path = os.path.join(work_folder, MEANINGS)
        self.site = site
        self.lines: dict[tuple[str, str], str] = {}  # by site and word: recids with blanks between them
        with contextlib.suppress(OSError, ValueError), open(open_regular(self.path), encoding="utf-8") as file:
            for line in file.read(MOST).split("\n")[:-1]:
                site, word, recids = line.split("\t")
                self.lines[site, word] = recids

    def of(self, word: str) -> list[str] | None:
        """The records that a word meant, perhaps none; None where it was not looked for."""
        recids = self.lines.get((self.site, word))
        return None if recids is None else list(filter(is_path, recids.split(" ")))

    def note(self, found: Mapping[str, Found]) -> None:
        """Keep what words mean now."""
        new = {(self.site, word): " ".join(one.records) for word, one in found.items() if word.isprintable()}
        lines = {**self.lines, **new}
        if lines != self.lines:
            self.lines = lines
            with contextlib.suppress(DiskError), replacing(self.path) as file:
                file.writelines("\t".join((*key, recids)) + "\n" for key, recids in sorted(lines.items()))


def tell_found(run: Runs, word: str, found: Found, before: list[str] | None) -> None:
    """Say what a word means, where that is not plain and was not said before."""
    names = list(found.records)
    if is_query(word) and names:
        others = f", and {found.others:,} page(s) of documentation, which have no files" if found.others else ""
        run.report.note(f"{len(names):,} record(s) are found by {word}{others}")
        if found.hidden:
            run.report.note(f"{found.hidden:,} more are on demand alone, and are found with &ondemand=true behind it")
    elif found.note and names != before:
        run.report.note(found.note)
    elif names and names not in ([word], before):
        recids = " and ".join(name.partition("/")[0] for name in names)
        where = "repository" if run.settings.site.engine == INVENIO else "portal"
        run.report.note(f"{recid_in(word) or word} is {recids} at the {where}, and has that name here, too")


def known_names(run: Runs, site: str, words: Iterable[str], meanings: Meanings) -> dict[str, list[str]]:
    """The names of the words that are not to be looked for: all but old numbers, DOIs and searches.

    Those, too, if they were looked for before and no list is to be built. At a repository any id may be that of all
    versions of a record.
    """
    is_listing = run.wishes.build_list or run.wishes.sync
    is_repository = run.settings.site.engine == INVENIO
    names: dict[str, list[str]] = {}
    folders: set[str] | None = None
    for word in words:
        recid = recid_in(word)
        is_doubtful = recid.isdecimal() or is_repository
        if is_doubtful and not is_listing:  # it may be an old number
            if folders is None:
                folders = {path.partition("/")[0] for path in run.catalog().by_path(site)}
            recid = recid if recid in folders else ""
        before = None if is_listing else meanings.of(word)
        if re.fullmatch(RECID, recid, re.ASCII) and not (is_doubtful and is_listing):
            names[word] = [word]
        elif before is not None:
            names[word] = before
    return names


def found_scope(run: Runs, scope: Scope) -> Scope:
    """The scope of the records that INPUTDIR or a list names."""
    site = run.settings.site
    chosen = words_in(run.settings.input_dir) if scope.names is None else sorted(set(map(tidy, scope.names)))
    words = check_words(chosen, site.name)
    meanings = Meanings(run.config.folder, site.name)
    names = known_names(run, scope.site, words, meanings)
    missing: dict[str, GridError] = {}
    find, asked = run.place().find if len(names) < len(words) else None, [word for word in words if word not in names]
    if find and asked:
        found = run.call(find, asked)
        for word, one in found.items():
            names[word] = list(one.records)
            tell_found(run, word, one, meanings.of(word))
            if one.error:
                missing[word] = one.error
        if len(missing) == len(words) == 1:
            raise next(iter(missing.values()))
        if not run.wishes.dry_run and not run.catalog().is_frozen:
            meanings.note(found)
    # A word that means nothing is one of the list all the same, and so it is named.
    unknown = [word for word in words if not names[word] and word not in missing]
    return scope._replace(names=frozenset().union(*names.values(), unknown), missing=missing)


def note_of(shown: Shown) -> str:
    """The title of a record, and what one asks before it is copied."""
    files = f"{shown.files:,} file(s), {size_text(shown.size)}" if shown.files else ""
    told = ", ".join(filter(None, (files, shown.tape)))
    return f"{shown.title} ({told})".lstrip() if told else shown.title


def list_records(run: Runs, show: Callable[..., None]) -> int:
    """Say what is in a record, or which records several words or a search name; the status."""
    site, place = run.settings.site, run.place()
    words = check_words(words_in(run.wishes.ls_dir), site.name)
    found = run.call(place.find, words) if place.find else {}
    records = {name: shown for one in found.values() for name, shown in one.records.items()}
    odd = [one.error for one in found.values() if one.error]
    for word, one in found.items():
        tell_found(run, word, one, None)
    listing, where = Listing(), words[0]
    notes: dict[str, str] = {}
    facts: dict[str, dict[str, Any]] = {}
    if len(words) == len(records) == 1 and not is_query(words[0]):
        where = next(iter(records))
        listing = run.call(place.lister.folder, where)
        odd += listing.odd.values()
        notes = {entry.path: "(on demand)" for entry in listing if entry.locality is Locality.NEARLINE}
    else:
        listing.extend(Entry(name, "/" not in name, shown.size, shown.mtime) for name, shown in records.items())
        notes = {name: note_of(shown) for name, shown in records.items()}
        facts = {name: {"title": shown.title, "files": shown.files} for name, shown in records.items()}
    if records:
        run.folders().remember((), {name.partition("/")[0] for name in records})
        show(page_of(site.server, where, site.engine), listing, notes, facts)
    for error in odd:
        run.report.error(error)
    return max((error.status for error in odd), default=0)
