"""Files that an FTS3 server is to copy: which they are, as planned, and which come to be meanwhile."""

from __future__ import annotations

from typing import Any, Callable

from gridsync_parts.across import Across, Crosses
from gridsync_parts.doors import NO_TAPE
from gridsync_parts.errors import BadName, DoorError, FileError
from gridsync_parts.fts import TAPE
from gridsync_parts.ftsfiles import Results
from gridsync_parts.pace import DAY, Trouble
from gridsync_parts.put import NO_FILE, TAKEN
from gridsync_parts.values import Action, Row, why_left

Relist = Callable[[], dict[Action, list[Row]]]


def reason_of(run: Crosses, across: Across, row: Row, action: Action) -> str:
    """Why a file is left alone."""
    found = across.there.find(row)
    if action is Action.KEEP:
        return f"{row.path}: {TAKEN if found and found.is_file else NO_FILE}"
    return why_left(row, action, run.wishes.overwrite)


def params_of(run: Crosses, across: Across, on_tape: bool) -> dict[str, Any]:
    """What a job is to heed; where it fetches files from tape they stay on disk for as long as pins do."""
    kinds = [place.can.checksums for place in (run.place(), across.place)]
    return {
        "verify_checksum": "both" if all("adler32" in some for some in kinds) else "none",
        "overwrite": run.wishes.overwrite,
        "retry": run.settings.retries or -1,
        "bring_online": TAPE if on_tape else -1,
        "copy_pin_lifetime": int(run.settings.pin_days * DAY) if on_tape else -1,
    }


class News:
    """Files that come to be at the source while others are copied."""

    def __init__(self, run: Crosses, relist: Relist | None):
        self.run = run
        self.relist = relist  # lists the folder anew, and plans what to do; None where nobody waits for more
        self.known: set[str] = set()  # paths of files that this run has to do with
        self.trouble = Trouble()
        self.due = run.loop.clock() + run.loop.pace.list

    def is_due(self, now: float) -> bool:
        """Whether it is time to look for more."""
        return self.relist is not None and now >= self.due

    def new(self, plan: dict[Action, list[Row]]) -> dict[Action, list[Row]]:
        """Those of the files that are new to this run."""
        found = {action: [row for row in rows if row.path not in self.known] for action, rows in plan.items()}
        self.known.update(row.path for rows in plan.values() for row in rows)
        return found

    def look(self) -> dict[Action, list[Row]]:
        """What is new; nothing, if that can't be seen just now."""
        assert self.relist
        loop = self.run.loop
        try:
            plan = self.new(self.relist())
        except (DoorError, FileError) as error:
            self.trouble = self.trouble.after(loop.pace.chore, loop.clock())
            self.due = self.trouble.until
            self.run.report.error(error)
            return self.new({})
        self.trouble, self.due = Trouble(), loop.clock() + loop.pace.list
        return plan


def sift(run: Crosses, across: Across, results: Results, plan: dict[Action, list[Row]]) -> tuple[list[Row], list[Row]]:
    """The files that are to be copied, those on disk and those on tape; of the others it is said why not."""
    on_disk, on_tape = plan.get(Action.COPY, []), plan.get(Action.WAIT, [])
    if on_tape and not run.has_tape():
        for row in on_tape:
            results.refuse(row, f"{row.path}: {NO_TAPE}")
        on_tape = []
    for action in (Action.KEEP, Action.UNSURE, Action.LOST):
        for row in plan.get(action, ()):
            results.refuse(row, reason_of(run, across, row, action))
    bad: set[str] = set()
    for row in [*on_disk, *on_tape]:
        try:
            across.place.check_name(row.path)
        except BadName as error:
            results.give_up(row, error)
            bad.add(row.path)
    return [row for row in on_disk if row.path not in bad], [row for row in on_tape if row.path not in bad]
