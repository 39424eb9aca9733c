"""The seam: a site is a Place, whichever door speaks to it.

Paths are below BASE_DIR_ON_GRID. Every failure is a GridError; one that may pass says so, and whoever calls tries
again. No verb waits for tape.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Collection, Generator, Iterator
from typing import Any, Callable, NamedTuple, Protocol

from gridsync_parts.convoy import Asked
from gridsync_parts.errors import DoorError, FileError, GridError, NotFound
from gridsync_parts.kinds import Can
from gridsync_parts.secrets import secrets
from gridsync_parts.values import Entry, Locality, Staging, T

ODDITIES = 100  # entries of a listing that can't be right; with more of them all of it makes no sense
MISNAMED = "the entry {} cannot be right"
MISSIZED = "the size of {} cannot be right: {}"
MAX_ENTRIES = 4_000_000  # files and folders in one folder
TOO_LARGE = 10**18  # bytes; no file has as many, and the catalog no room for the number


class Listing(list[Entry]):
    """What is in a folder, and apart from it what the door says is in it and can't be right."""

    def __init__(self) -> None:
        super().__init__()
        self.odd: dict[str, FileError] = {}  # by path; that of a name that no row can have begins with a slash

    def leave_out(self, path: str, place: str, reason: object) -> None:
        """Name one of them."""
        if len(self.odd) == ODDITIES:
            raise DoorError(f"{place}: the door's listing makes no sense: {reason}, and so on", passing=True)
        self.odd[path] = FileError(f"{place}: {reason}; it is left out, ask the site")


class Body(NamedTuple):
    """The bytes of a file as they arrive."""

    chunks: Iterator[bytes | memoryview]  # each to be used before the next
    start: int  # where they begin; 0 when the door has ignored the range
    checksum: str = ""  # what the door says of the whole file
    tag: str = ""  # of this version of it at the door: a strong ETag, else its time as of HTTP; empty if it has neither
    close: Callable[[], None] = lambda: None  # lets go of the connection
    hang_up: Callable[[], None] = lambda: None  # wakes a thread that waits for bytes, if that can be done


class At(NamedTuple):
    """A file at a site, as the catalog has it."""

    path: str
    size: int
    tag: str = ""  # of an earlier body, whose version is wanted


class Lister(Protocol):
    """Says what is at a site."""

    def folder(self, path: str) -> Listing:
        """What is in a folder; for a file, the file itself."""

    def localities(self, paths: list[str], on_tape: Collection[str] = ()) -> dict[str, Locality]:
        """Where files are at a site without a tape service; one that is missing is left out.

        Some were known to be on tape.
        """


class Reader(Protocol):
    """Gives the bytes of files."""

    def read(self, at: At, start: int, stop: int) -> Body:
        """The bytes from start up to stop of a file of this size, and perhaps more.

        There is no limit on the whole, but none of them is silent for longer than allowed. With the tag of an earlier
        body they are of the same version, as far as the door tells: Changed, if it shows another one.
        """

    def checksum(self, at: At) -> str:
        """The checksum of one file, or empty when the door knows none."""


class Tape(Protocol):
    """The tape service of a site."""

    def localities(self, paths: list[str]) -> dict[str, Locality]:
        """Where files are, in few requests; one that is missing is left out."""

    def stage(self, paths: list[str], days: int) -> str:
        """Ask for at most MAX_PATHS files to be brought to disk and kept there; the request's id, at once.

        Where files are asked for by record it is for those of one record, however many; nothing keeps them there.
        """

    def stagings(self, request: str, paths: list[str]) -> dict[str, Staging]:
        """How far a request is with these of its files."""

    def release(self, request: str, paths: list[str]) -> None:
        """Give back the pins of a request on at most MAX_PATHS files."""


class Sent(NamedTuple):
    """The bytes of a file that is to be sent."""

    size: int
    chunks: Callable[[], Iterator[bytes | memoryview]]  # from the beginning, each time; each to be used before the next
    mtime: int = 0  # to be kept where the door can
    over: bool = False  # what has its name is to be replaced at once: the door can neither rename nor remove


class Stored(NamedTuple):
    """A file as the door has it."""

    size: int  # UNFINISHED where it does not say
    checksum: str = ""  # empty where it names none
    mtime: int = 0  # 0 where it does not say, to the second


class Writer(Protocol):
    """Takes files."""

    def folder(self, path: str) -> bool:
        """Make a folder in one that is there; whether it was not there yet. Exists if a file has its name."""

    def write(self, path: str, sent: Sent) -> Stored:
        """Send a new file; Exists if something has its name. When it fails, some of it may be there.

        What its chunks raise ends the request at once; Changed, if they are not as many bytes as they were to be.
        """

    def stored(self, path: str) -> Stored:
        """What is there under a name; NotFound if nothing."""

    def rename(self, path: str, target: str, replace: bool) -> None:
        """Give a file its name; Exists if something has it that is not to be replaced."""

    def remove(self, path: str) -> bool:
        """Remove a file; whether it was there."""


class Shown(NamedTuple):
    """What a portal says of a record in short."""

    title: str = ""
    mtime: int = 0
    files: int = 0  # and bytes of them, both 0 where it does not say so
    size: int = 0
    tape: str = ""  # whether they are on demand, or some of them


class Found(NamedTuple):
    """The records that a word names at a portal."""

    records: dict[str, Shown]  # by recid; perhaps with the path of a file in it
    others: int = 0  # what else a search finds, which is no record
    hidden: int = 0  # records that it would find with ondemand=true
    error: GridError | None = None  # why there is none
    note: str = ""  # what is to be said of it


class Deposited(NamedTuple):
    """A file of a record, as its repository has it."""

    size: int  # UNFINISHED where it does not say
    checksum: str = ""  # empty where it names none
    is_whole: bool = False  # it was committed


class Draft(NamedTuple):
    """A record of a repository, which is not published yet, or is."""

    id: str
    is_published: bool = False
    page: str = ""  # for people
    files: dict[str, Deposited] = {}  # by name
    complaints: dict[str, str] = {}  # what the repository says against its metadata, by field
    title: str = ""


class Repository(Protocol):
    """Makes records; the bytes of their files go by the Writer, to `<id>/<name>`."""

    def create(self, key: str) -> Draft:
        """Make a draft, whose title is a key at first, by which it can be found."""

    def find(self, key: str) -> list[Draft] | None:
        """The drafts of the user that have a key for their title; None where they can't be searched."""

    def look(self, record: str) -> Draft:
        """A record as it is now, with its files: its draft, if it has one; NotFound if there is none."""

    def describe(self, record: str, body: dict[str, Any]) -> dict[str, str]:
        """Give a draft its metadata; what the repository says against them, by field."""

    def announce(self, record: str, files: dict[str, int]) -> None:
        """Say which files a draft is to have, by name, and their sizes: all in one request."""

    def publish(self, record: str) -> Draft:
        """Publish a draft, whose files are there and verified."""

    def renew(self, record: str) -> Draft:
        """The draft of a new version of a published record, with the files of that."""


class Key(NamedTuple):
    """What a door that copies shows to another one for a file there."""

    bearer: str = ""  # a macaroon, or a token; without one it shows a proxy that is delegated to it, if at all
    is_proxy: bool = False  # it acts as the user, by a proxy that is made for it
    wider: str = ""  # what else it opens, as users are told; empty if it opens this file alone, for this alone


class Far(NamedTuple):
    """A file at another door, as the one that copies is told of it."""

    url: str
    key: Key


class Crossing(NamedTuple):
    """A copy from door to door, under way."""

    marks: Iterator[int]  # bytes that are there so far; they end with the verdict, which is raised if it is a failure
    hang_up: Callable[[], None] = lambda: None  # wakes a thread that waits for the next one; the door may go on


class Puller(Protocol):
    """Has a door copy files from and to other ones, without this machine between them."""

    def far(self, path: str, writes: bool) -> Far:
        """A file of this site as another door is told of it, with a key to read it, or to write it.

        The key is as narrow as the door can make it.
        """

    def pull(self, path: str, far: Far, at: At, streams: int = 1) -> Crossing:
        """Fetch a file from another door; NoCrossing where this one never does, Exists if something has its name.

        When it fails, or is given up, some of it may be there, or still come. `at` is the file at the other door. Some
        doors take several streams for a large one.
        """

    def push(self, at: At, far: Far) -> Crossing:
        """Bring a file to another door, where nothing has its name; NoCrossing where this one never does."""


class AheadReader(Protocol):
    """Reads files whose requests go ahead of the answers."""

    def is_ready(self) -> bool:
        """Whether a request can go at once."""

    def read_ahead(self, at: At, start: int, stop: int) -> Generator[Asked, None, Body]:
        """The bytes from start up to stop of a file, step by step: what is yielded is to be waited for."""


class AheadWriter(Protocol):
    """Takes files as a writer does, step by step where requests can go ahead of the answers."""

    def write_ahead(self, path: str, sent: Sent) -> Generator[Asked, None, Stored]: ...

    def stored_ahead(self, path: str) -> Generator[Asked, None, Stored]: ...

    def rename_ahead(self, path: str, target: str, replace: bool) -> Generator[Asked, None, None]: ...


class Late:
    """What is made when a first attribute of it is looked at, by whichever thread."""

    def __init__(self, make: Callable[[], Any]):
        self._make = make
        self._made: Any = None
        self._one = threading.Lock()

    def thing(self) -> Any:
        """What is made."""
        with self._one:
            self._made = self._made or self._make()
        return self._made

    def __getattr__(self, name: str) -> Any:
        return getattr(self.thing(), name)


def late(make: Callable[[], T]) -> T:
    """What `make` gives, once it is used: few runs need what it loads."""
    return Late(make)  # type: ignore[return-value]


class Place(NamedTuple):
    """A site, opened: what it has, by what can be done with it."""

    can: Can
    lister: Lister
    reader: Reader
    find_tape: Callable[[], Tape | None]  # asks the door at its first call; None where there is no tape service
    expires: Callable[[], float] = lambda: 0.0  # when the token that it is shown ends; 0 if none does, or none says
    close: Callable[[], None] = lambda: None  # lets go of its connections
    writer: Writer | None = None  # None where it takes no files
    readers: str = ""  # who can read what is sent there, where users should be told
    check_name: Callable[[str], None] = lambda path: None  # BadName where it would take none at a path, if it knows
    find: Callable[[list[str]], dict[str, Found]] | None = None  # what words mean; None where INPUTDIR is a path
    puller: Puller | None = None  # copies files from door to door; None where it can't
    ahead: AheadReader | None = None  # reads small files whose requests go ahead; None where each is waited for
    ahead_writer: AheadWriter | None = None  # the same of what is sent
    repository: Repository | None = None  # makes records of what is sent; None where files are sent into folders

    def locate(self, paths: list[str], on_tape: Collection[str] = ()) -> dict[str, Locality]:
        """Where files are: the tape service knows, else the listings tell."""
        tape = self.find_tape()
        return tape.localities(paths) if tape else self.lister.localities(paths, on_tape)


MAX_PATHS = 200  # of a staging or release request
MAX_QUERY = 500  # of a question where files are
LISTINGS = 8  # folders listed at once
NO_TAPE = "on tape, but the site names no tape service; ask the site, or see TAPE_API"
BITE = 192 << 10  # bytes of one read from the line
HASTE = 64 << 10  # bytes of a file that are sent unasked: they have left before a word could come back


def resized_error(place: str, found: object, size: int) -> FileError:
    """The sentence for a file that is not the one of the catalog any more."""
    return FileError(f"{place}: has {found} bytes now, but {size} in the catalog; run --build_list again")


def read_twice(reader: Reader, at: At, start: int, stop: int, wait: Callable[[float], object]) -> Body:
    """The bytes from start up to stop; XRootD says now and then that there is no file whose sum it is making."""
    try:
        return reader.read(at, start, stop)
    except NotFound:
        wait(1)
        return reader.read(at, start, stop)


REQUEST = r"\w[!-~]{0,199}"


def is_request(name: str) -> bool:
    """Whether this may be the name of a staging request, which the catalog keeps."""
    return bool(re.fullmatch(REQUEST, name)) and secrets.masked(name) == name
