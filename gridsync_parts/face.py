"""Sites for Python programs: what is there, its bytes, and what is on tape, promised as on the command line.

Nothing here changes the process that it is in: no environment, signal, folder, limit or output; several sites, with
other credentials, and several threads do not mix.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import weakref
from collections.abc import Iterable, Sequence
from typing import Any, Callable, Union

from gridsync_parts.copier import Copier
from gridsync_parts.copy import Arrived
from gridsync_parts.disk import Target
from gridsync_parts.doors import MAX_QUERY, NO_TAPE, Listing, Place, Tape
from gridsync_parts.doors.opening import open_place
from gridsync_parts.errors import FileError, GridError, Incomplete, NotFound, OnTape, UsageError
from gridsync_parts.gauge import Gauge
from gridsync_parts.haul import LEFT_ALONE, ON_TAPE, UNSETTLED, Found, Haul, list_all, prepare, stage_all
from gridsync_parts.keys.token import SOURCES
from gridsync_parts.kinds import asks_by_record, is_portal, needs_gfal2
from gridsync_parts.outbox import Outbox
from gridsync_parts.pace import insist
from gridsync_parts.parcel import Parcel, Uploaded
from gridsync_parts.plans import new_row, plan_calls, plan_copies, plan_staged, plan_staging, without_request
from gridsync_parts.pool import Settling, Stop
from gridsync_parts.reading import BLOCK, RemoteFile, Source
from gridsync_parts.recids import check_words, is_query, words_in
from gridsync_parts.settings import Config, compile_patterns
from gridsync_parts.table import Settings
from gridsync_parts.telling import speaking_plainly
from gridsync_parts.uploads import Upload
from gridsync_parts.values import Action, Entry, Locality, Row, Scope, Wishes, batches, place_row, with_error
from gridsync_parts.walk import Walk
from gridsync_parts.words import grid_path

Wanted = Union[str, Entry, Row, Iterable[Union[str, Entry, Row]]]  # paths, or what ls and the others give
FilePath = Union[str, "os.PathLike[str]"]


def close_place(place: Place, process: int) -> None:
    """Let go of a place, in the process that has opened it."""
    if os.getpid() == process:
        place.close()


def check_path(path: str) -> None:
    """Refuse what a program has named that is no path at a site."""
    try:
        path.encode(errors="surrogateescape")
    except (AttributeError, UnicodeError) as error:
        raise UsageError(f"{path!r} is not a path on the grid; give a text, as entries have it in .path") from error


def local_path(path: FilePath) -> str:
    """A path of this machine that a program has named."""
    try:
        return os.path.expanduser(os.fsdecode(path))
    except TypeError as error:
        raise UsageError(f"{path!r} is not a path of this machine; give a text or a pathlib.Path") from error


def several(wanted: Wanted) -> list[str | Entry | Row]:
    """What is meant, one by one."""
    is_one = isinstance(wanted, (str, Entry, Row)) or not isinstance(wanted, Iterable)
    some: list[Any] = [wanted] if is_one else list(wanted)
    for item in some:
        if not isinstance(item, (str, Entry, Row)):
            raise UsageError(f"{item!r} names no files; give paths, or what ls() and find() give")
    return some


def check_number(number: int, name: str) -> None:
    """Refuse what does not count anything."""
    if not isinstance(number, int) or number < 1:
        raise UsageError(f"{name}={number!r} is not a whole number from 1 on; correct it")


def patterns_in(include: str, exclude: str) -> tuple[tuple[re.Pattern[str], ...], tuple[re.Pattern[str], ...]]:
    """The patterns that a program gives."""
    for name, text in (("include", include), ("exclude", exclude)):
        if not isinstance(text, str):
            raise UsageError(f"{name}={text!r} is not a text; separate patterns by ':'")
    return compile_patterns(include, "include"), compile_patterns(exclude, "exclude")


class OpenSite:
    """A site that is open: made by open_site()."""

    def __init__(self, settings: Settings, place: Place, path_of: Callable[[str], str] = grid_path):
        self.settings = settings
        self.path_of = path_of  # below BASE_DIR_ON_GRID, of what a program names
        self.name = settings.site.name
        self.place = place
        self.process = os.getpid()
        self.is_open = True
        self.end = weakref.finalize(self, close_place, place, self.process)

    def __repr__(self) -> str:
        return f"<gridsync site {self.name}, {'open' if self.is_open else 'closed'}>"

    def __enter__(self) -> OpenSite:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of its connections."""
        self.is_open = False
        self.end()

    def use(self) -> Place:
        """The place, as long as it can be used."""
        if not self.is_open:
            raise UsageError(f"the site {self.name} is closed; open it again")
        if os.getpid() != self.process:  # its connections lead to the other one
            raise UsageError(f"the site {self.name} was opened in another process; open it in this one, too")
        return self.place

    def ask(self, verb: Callable[..., Any], *arguments: Any) -> Any:
        """What a verb gives, tried again where that may help."""
        return insist(verb, *arguments, retries=self.settings.retries)

    def below(self, path: str) -> str:
        """A path below BASE_DIR_ON_GRID, of what a program has named."""
        check_path(path)
        return self.path_of(path)

    def named(self, texts: Sequence[str]) -> tuple[dict[str, Entry], list[GridError]]:
        """The folders or files that texts name, at a portal of records, by their paths; and what names none."""
        paths = list(map(self.below, texts))
        if not (find := self.use().find):
            return {path: Entry(path, True, 0, 0) for path in paths}, []
        words = [word for path in paths for word in words_in(path)]
        found = self.ask(find, check_words(words, self.name)) if paths else {}
        failures = [one.error for one in found.values() if one.error]
        if len(failures) == len(words) == 1:
            raise failures[0]
        records = {name: shown for one in found.values() for name, shown in one.records.items()}
        return {name: Entry(name, "/" not in name, 0, shown.mtime) for name, shown in records.items()}, failures

    def ls(self, path: str = "") -> Listing:
        """What is in a folder: files and folders; for a file, the file itself; of a search, the records it finds."""
        with speaking_plainly():
            found, (named, failures) = Listing(), self.named([path])
            if len(named) == 1 and not failures and not is_query(path):
                found = self.ask(self.use().lister.folder, *named)
            else:
                found.extend(named.values())
                found.odd.update((str(failure), FileError(str(failure))) for failure in failures)
            found.sort(key=lambda entry: entry.path)
            return found

    def find(self, wanted: Wanted, include: str = "", exclude: str = "") -> list[Row]:
        """The files that are meant: themselves, and all below folders; with patterns, as on the command line."""
        with speaking_plainly():
            rows, failures = self.walk(wanted, include, exclude)
            self.judge(rows, failures)
            return rows

    def walk(self, wanted: Wanted, include: str, exclude: str) -> tuple[list[Row], list[GridError]]:
        """The same, and what could not be listed."""
        some, patterns = several(wanted), patterns_in(include, exclude)
        found: dict[str, Row] = {}
        for item in some:
            if isinstance(item, Row):
                if item.site != self.name:
                    raise UsageError(f"{item.path} is a file of {item.site}, not of {self.name}")
                found[item.path] = item._replace(error="")
            elif isinstance(item, Entry) and not item.is_folder:
                found[item.path] = new_row(item, self.name)
        named, failures = self.named([item for item in some if isinstance(item, str)])
        tops = [*named, *(self.below(item.path) for item in some if isinstance(item, Entry))]
        walks = [Walk(path) for path in tops if path not in found]
        list_all(walks, self.use().lister, self.settings.retries)
        for walk in walks:
            found.update((entry.path, new_row(entry, self.name)) for entry in walk.entries)
            failures += walk.failures.values()
        scope = Scope(self.name, "", *patterns)
        return [row for path, row in sorted(found.items()) if scope.holds(path)], failures

    def locate(self, rows: Iterable[Row], tape: Tape | None) -> list[Row]:
        """The rows with where their files are now; where nobody can be asked they are on disk."""
        rows, found = list(rows), {}
        asked = [row.path for row in rows if row.size and (tape or row.locality is Locality.NEARLINE)]
        for some in batches(asked, MAX_QUERY):
            if tape:
                found.update(self.ask(tape.localities, some))
            else:
                found.update(self.ask(self.use().lister.localities, some, some))
        usual = {} if tape else {Locality.UNKNOWN: Locality.ONLINE}
        there = [found.get(row.path, row.locality) for row in rows]
        return [place_row(row, usual.get(locality, locality)) for row, locality in zip(rows, there)]

    def judge(self, rows: Sequence[Row | Upload], failures: Sequence[GridError]) -> None:
        """Raise what says how many files are not as they should be."""
        failed = [row for row in rows if row.error]
        on_tape = [row for row in failed if row.error.endswith(ON_TAPE)]
        parts = [f"{len(failed)} of {len(rows)} files failed"] if len(failed) > len(on_tape) else []
        parts += [f"{len(on_tape)} of {len(rows)} files are on tape, stage() asks for them"] if on_tape else []
        parts += [f"{len(failures)} folders or files could not be read"] if failures else []
        if parts:
            first = next((row.error for row in failed if row not in on_tape), "") or next(map(str, failures), "")
            raise Incomplete(f"{'; '.join(parts)}{f': {first}' if first else ''}", rows)

    def status(self, wanted: Wanted) -> list[Row]:
        """Where files are now; of rows that stage() has given also whether that has failed."""
        with speaking_plainly():
            rows, failures = self.walk(wanted, "", "")
            tape = self.ask(self.use().find_tape)
            rows = self.locate(rows, tape)
            known = {row.path: row for row in rows}
            for request, some in plan_calls(row for row in rows if tape and row.is_staging()):
                stagings = self.ask(tape.stagings, request, [row.path for row in some])
                ended = [(row, stagings[row.path]) for row in some if row.path in stagings]
                known.update((row.path, plan_staged(row, how)) for row, how in ended if not how.is_waiting())
            self.judge([], failures)
            return [known[row.path] for row in rows]

    def stage(self, wanted: Wanted, days: int | None = None) -> list[Row]:
        """Ask for files to be brought from tape to disk and kept there; their rows name the requests, so keep them."""
        with speaking_plainly():
            if days is not None:
                check_number(days, "days")
            rows, failures = self.walk(wanted, "", "")
            tape = self.ask(self.use().find_tape)
            rows = self.locate(rows, tape)
            if not tape and any(row.locality is Locality.NEARLINE for row in rows):
                raise UsageError(f"{self.name}: files are {NO_TAPE}")
            known = {row.path: row for row in rows}
            if tape:
                stage, by_record = functools.partial(self.ask, tape.stage), asks_by_record(self.settings.site)
                wanted = plan_staging(rows, by_record)
                known.update(stage_all(wanted, stage, days or self.settings.pin_days, by_record))
            rows = list(known.values())
            self.judge(rows, failures)
            return rows

    def release(self, rows: Iterable[Row]) -> list[Row]:
        """Give back the pins of rows that stage() has given."""
        with speaking_plainly():
            known = {}
            for row in several(rows):
                if not isinstance(row, Row):
                    raise UsageError(f"{row!r} is no row; give rows that stage() has given")
                known[row.path] = row
            tape = self.ask(self.use().find_tape)
            for request, some in plan_calls(known.values() if tape else []):
                with contextlib.suppress(NotFound):  # it has ended by itself
                    self.ask(tape.release, request, [row.path for row in some])
                known.update((row.path, without_request(known[row.path], request)) for row in some)
            return list(known.values())

    def get(
        self, wanted: Wanted, folder: FilePath, *, include: str = "", exclude: str = "", overwrite: bool = False,
        checksum: bool = True, progress: bool = False,
    ) -> list[Row]:  # fmt: skip
        """Copy files into a folder of this machine, each at its path below it, verified; what is there goes on."""
        with speaking_plainly():
            rows, failures = self.walk(wanted, include, exclude)
            settings = self.settings._replace(output_dir=local_path(folder) or os.curdir)
            find = Target(settings.output_dir).find
            known = {row.path: row for row in rows}
            missing = self.locate([row for row in rows if overwrite or not find(row)], self.ask(self.use().find_tape))
            known.update((row.path, row) for row in missing)
            plan = plan_copies(known.values(), find, overwrite, False)
            for action, reason in LEFT_ALONE.items():
                known.update((row.path, with_error(row, f"{row.path}: {reason}")) for row in plan[action])
            work = [(row, action is Action.ADOPT) for action in (Action.ADOPT, Action.COPY) for row in plan[action]]
            if work:
                prepare(settings.output_dir, plan[Action.COPY])
                wishes = Wishes(overwrite=overwrite, nochecksum=not checksum)
                gauge = Gauge(self.name, len(work), sum(row.size for row, _ in work)) if progress else None
                copier = Copier(self.use(), settings, wishes, Found({self.name: known}), Stop())
                haul = Haul(copier, settings, gauge, Settling(copier.settle, UNSETTLED, Arrived))
                known.update(haul.go(sorted(work, key=lambda pair: -pair[0].size)))
            rows = list(known.values())
            self.judge(rows, failures)
            return rows

    def put(
        self, local: FilePath, folder: str = "", *, include: str = "", exclude: str = "", overwrite: bool = False,
        progress: bool = False,
    ) -> Uploaded:  # fmt: skip
        """Send a local file, or what is in a local folder, into a folder of the site, verified; as --put does."""
        with speaking_plainly():
            outbox = Outbox(local_path(local), Scope(self.name, "", *patterns_in(include, exclude)))
            parcel = Parcel(self.use(), self.settings, outbox, self.below(folder), overwrite)
            outbox.collect()
            uploads = parcel.send(progress)
            self.judge(uploads, list(outbox.faults))
            return uploads

    def open(self, wanted: str | Entry | Row, block: int = BLOCK) -> RemoteFile:
        """A file at the site, to be read; bytes come in ranges of so many."""
        with speaking_plainly():
            check_number(block, "block")
            source = Source(self.use, self.entry(wanted), self.settings.retries)
            return RemoteFile(source, block)

    def entry(self, wanted: str | Entry | Row) -> Entry:
        """A file that is on disk at the site."""
        if isinstance(wanted, Row):
            found = Entry(wanted.path, False, wanted.size, wanted.mtime, wanted.checksum, wanted.locality)
        elif isinstance(wanted, Entry):
            found = wanted
        else:
            named, _ = self.named([wanted])
            path = next(iter(named)) if len(named) == 1 else wanted
            found = next((entry for entry in self.ls(path) if entry.path == path), Entry(path, True, 0, 0))
        if found.is_folder:
            raise FileError(f"{found.path or '/'}: is a folder; ls() shows what is in it")
        if found.locality is not Locality.ONLINE and found.size:
            (row,) = self.locate([new_row(found, self.name)], self.ask(self.use().find_tape))
            found = found._replace(locality=row.locality)
        if found.size and found.locality is Locality.NEARLINE:
            raise OnTape(f"{found.path}: {ON_TAPE}")
        if found.size and found.locality is Locality.OFFLINE:
            raise FileError(f"{found.path}: {Action.LOST.value}")
        return found


def conf_of(conf: FilePath | None) -> Config:
    """The settings in a Grid.conf, or in that of a folder; those of the command line if none is named."""
    path = local_path(conf) if conf else os.environ.get("GRIDSYNC_DIR") or os.curdir
    folder = os.path.dirname(path) or os.curdir if os.path.basename(path) == "Grid.conf" else path
    if conf and not os.path.isfile(os.path.join(folder, "Grid.conf")):
        raise UsageError(f"{path} is neither a Grid.conf nor a folder with one; leave conf out for the sites that "
                         "gridsync knows")  # fmt: skip
    return Config(folder)


def open_site(
    name: str, conf: FilePath | None = None, *, proxy: FilePath | None = None, token: str | None = None
) -> OpenSite:
    """Open a site by its name in Grid.conf, which is shown the user's proxy or its TOKEN, or what is given here.

    A token is named by its source, as TOKEN is in Grid.conf. Close it, or open it by `with`.
    """
    with speaking_plainly():
        if not (name and isinstance(name, str)):
            raise UsageError(f"{name!r} is not the name of a site; give one that stands in Grid.conf")
        if not isinstance(token or "", str):
            kind = type(token).__name__  # and not the token itself, should it be one
            raise UsageError(f"a token of the type {kind} is not a text; name the token's source: {SOURCES}")
        if proxy and token:
            raise UsageError(f"{name} is to be shown a proxy and a token; give one of them")
        config = conf_of(conf)
        config.change({"SITE": name, "INPUTDIR": "", "INCLUDE": "", "EXCLUDE": ""})
        settings = config.settings()
        site = settings.site
        if proxy or token:
            site = site._replace(token=token or "", credential="token" if token else "proxy")
            config.engine(site)  # which may refuse a token
        shown = local_path(proxy) if proxy else ""
        if needs_gfal2(site):
            from gridsync_parts.doors.apart import open_apart

            place = open_apart(site, settings.vo, config, shown)
        else:
            place = open_place(site, settings.vo, config, shown)
        tidy = str.strip if is_portal(site.engine) else grid_path
        return OpenSite(settings._replace(site=site), place, lambda text: tidy(config.path_of(text, site.name)))
