"""What a run with workers is made of."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Callable, Protocol

from gridsync_parts.errors import UsageError
from gridsync_parts.farm.crew import Crew
from gridsync_parts.farm.field import Way
from gridsync_parts.farm.hiring import caution, check_where, read_where
from gridsync_parts.farm.lane import FarLane
from gridsync_parts.farm.loads import News
from gridsync_parts.farm.marking import check_paths, setting_for
from gridsync_parts.kinds import is_repository
from gridsync_parts.mover import Mover
from gridsync_parts.pacing import Pacing
from gridsync_parts.putter import Putter
from gridsync_parts.runs import Runs
from gridsync_parts.table import Site

if TYPE_CHECKING:
    from collections.abc import Collection

    from gridsync_parts.values import Wishes


class Master(Runs, Protocol):
    """A run that can have workers."""

    @property
    def pacing(self) -> Pacing | None: ...


def refuse_workers(wishes: Wishes, actions: Collection[str], site: Site) -> None:
    """Refuse workers that make no sense, or have nothing to do on this line."""
    if not {"start", "sync", "repair", "put"}.intersection(actions):
        raise UsageError("--workers says who copies; add --start, --sync, --repair or --put")
    if wishes.to:
        raise UsageError("--workers means nothing for copies from site to site; leave it out")
    if wishes.put and is_repository(site):
        raise UsageError(f"--workers means nothing for records of the repository {site.name}; leave it out")
    check_where(wishes.workers)
    check_paths(site)


def lane_of(run: Master, mover: Mover) -> FarLane:
    """Who moves the files of a run: workers."""
    writes = isinstance(mover, Putter)
    folder = mover.deliverer.top if isinstance(mover, Putter) else run.settings.output_dir
    setting = setting_for(run.settings.site, run.settings.vo, run.config, os.path.abspath(folder), writes)
    threads, pacing = run.settings.threads, run.pacing
    way = Way(setting, threads, pacing.timetable if pacing else None, run.stats)
    where = run.wishes.workers
    if warning := caution(read_where(where)):
        run.report.note(warning)

    def hire(tell: Callable[[News], None]) -> Crew:
        return Crew(where, setting, threads, tell, run.config.folder)

    return FarLane(mover, hire, way, run.loop.pool.news.set)
