"""What a dry run tells in the end: of a list, of copies, of requests."""

from __future__ import annotations

import os
from collections.abc import Iterable

from gridsync_parts.disk import free_space
from gridsync_parts.errors import FileError
from gridsync_parts.forecast import Forecast, new_folders, refuse_names, skip_unasked
from gridsync_parts.home import place_of
from gridsync_parts.kinds import asks_by_record
from gridsync_parts.plans import plan_calls, plan_requests, plan_staging
from gridsync_parts.runs import Runs
from gridsync_parts.values import Action, Entry, Locality, Row
from gridsync_parts.walk import Walk


def tell(run: Runs, forecast: Forecast, errors: Iterable[FileError] = ()) -> int:
    """Say what would be done, and why some names would be refused; the status."""
    errors = list(errors)
    for error in errors:
        run.report.error(error)
    run.report.put_dry(**forecast.document())
    for line in forecast.lines():
        run.report.line(line)
    return 1 if errors else 0


def count_requests(run: Runs, rows: list[Row]) -> int:
    """How many staging requests it takes to ask for files."""
    return len(plan_requests(rows, asks_by_record(run.settings.site)))


def left_out(run: Runs, walk: Walk | None = None) -> list[Entry | Row]:
    """The files that only the patterns leave out, as the folder was listed just now or as the catalog has them."""
    whole = run.scope._replace(include=(), exclude=())
    files: Iterable[Entry | Row] = walk.entries if walk else run.catalog().of(run.scope.site)
    return [file for file in files if whole.holds(file.path) and not run.scope.holds(file.path)]


def tell_list(run: Runs, walk: Walk) -> None:
    """Which files would be listed."""
    forecast = Forecast("list", run.catalog().matching(run.scope))
    forecast.skip("excluded", left_out(run, walk))
    forecast.skip_some("unlisted", len(walk.faults()))
    tell(run, forecast)


def tell_asking(run: Runs, on_tape: list[Row]) -> None:
    """Which files a run would ask the tape for, before it copies them."""
    if wanted := plan_staging(on_tape):
        tell(run, Forecast("ask for", wanted, requests=count_requests(run, wanted)))


def tell_copies(run: Runs, plan: dict[Action, list[Row]], walk: Walk | None = None) -> int:
    """Which files would come; the status. What is on tape comes, too, if the folder was listed for --sync."""
    top, on_tape = run.settings.output_dir, plan.pop(Action.WAIT)
    has_tape = bool(on_tape) and run.has_tape()
    if walk and has_tape:
        tell_asking(run, on_tape)
        plan[Action.COPY] += on_tape
    refused, errors = refuse_names(plan, place_of)
    folders = new_folders(plan[Action.COPY], lambda folder: os.path.isdir(os.path.join(top, folder)))
    forecast = Forecast("copy", plan[Action.COPY], folders=folders, free=free_space(top))
    forecast.skip_plan(plan)
    forecast.skip("wait" if has_tape else "no_tape", () if walk and has_tape else on_tape)
    forecast.skip("refused", refused)
    forecast.skip("excluded", left_out(run, walk))
    forecast.skip_some("unlisted", len(walk.faults()) if walk else 0)
    return tell(run, forecast, errors)


def tell_staging(run: Runs, rows: list[Row]) -> None:
    """Which of the files that may be on tape would be asked for."""
    wanted = plan_staging(rows)
    forecast = Forecast("ask for", wanted, requests=count_requests(run, wanted))
    skip_unasked(forecast, run.catalog().matching(run.scope), rows, run.target().find)
    forecast.skip("asked", [row for row in rows if row.request])
    forecast.skip("excluded", left_out(run))
    tell(run, forecast)


def tell_no_tape(run: Runs) -> None:
    """Where there is no tape service nothing is asked for."""
    forecast, rows = Forecast("ask for", (), requests=0), run.catalog().matching(run.scope)
    for row in rows:
        reason = "no_tape" if row.locality is Locality.NEARLINE else "online"
        forecast.skip("skip" if row.downloaded else reason, [row])
    tell(run, forecast)


def tell_release(run: Runs, pinned: list[Row]) -> None:
    """Which pins would be given back."""
    tell(run, Forecast("release", pinned, requests=len(plan_calls(pinned))))
