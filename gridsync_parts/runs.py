"""What a command line is about, as far as its flow needs it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Callable, Protocol

from gridsync_parts.catalog import Catalog, Folders
from gridsync_parts.doors import Place
from gridsync_parts.fetching import Goal
from gridsync_parts.loop import Loop
from gridsync_parts.plans import without_request
from gridsync_parts.pool import Hands, Settling
from gridsync_parts.screen import Output
from gridsync_parts.settings import Config
from gridsync_parts.table import Settings
from gridsync_parts.values import Locality, Row, Scope, T, Wishes

if TYPE_CHECKING:
    from gridsync_parts.attempts import Attempts
    from gridsync_parts.mover import Mover
    from gridsync_parts.rereader import Rereader


class Book(Protocol):
    """Where it is noted what has come of files."""

    def put(self, rows: Iterable[Row], durable: bool = False) -> None: ...


class Runs(Protocol):
    """A run."""

    wishes: Wishes
    config: Config
    settings: Settings
    opened: Place | None
    stats: Attempts | None  # what --stats is told of

    @property
    def scope(self) -> Scope: ...

    @property
    def report(self) -> Output: ...

    @property
    def loop(self) -> Loop: ...

    def note_slow(self) -> None: ...

    def call(self, verb: Callable[..., T], *arguments: Any) -> T: ...

    def place(self) -> Place: ...

    def has_tape(self) -> bool: ...

    def catalog(self) -> Catalog: ...

    def folders(self) -> Folders: ...

    def target(self) -> Goal: ...

    def copier(self, wishes: Wishes) -> tuple[Mover, Settling | None]: ...

    def far_lane(self, worker: Mover | Rereader) -> Hands | None: ...  # workers of other processes, if they do it


def online_rows(run: Runs, rows: Iterable[Row]) -> list[Row]:
    """The rows of a site without tape, where nobody can be asked: all its files are on disk."""
    rows = list(rows)
    run.catalog().put(row._replace(locality=Locality.ONLINE) for row in rows if row.locality is Locality.UNKNOWN)
    return [run.catalog().row(row) for row in rows]


def unpin_rows(run: Runs, unpinned: list[tuple[str, str]]) -> None:
    """Note which requests hold which files no longer."""
    if unpinned:
        rows = run.catalog().by_path(run.scope.site)
        run.catalog().put(without_request(rows[path], request) for path, request in unpinned if path in rows)
