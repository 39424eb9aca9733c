"""The listing of a folder while other things go on: how far it is, what it brings, and when it is made again."""

from __future__ import annotations

import math

from gridsync_parts.doors import LISTINGS
from gridsync_parts.errors import DoorError, FileError, GridError
from gridsync_parts.loop import Answer
from gridsync_parts.named import walk_of
from gridsync_parts.pace import Trouble
from gridsync_parts.plans import plan_catalog, plan_vanished
from gridsync_parts.runs import Runs
from gridsync_parts.screen import LiveLine, walk_text
from gridsync_parts.service import Service
from gridsync_parts.walk import Walk, list_folder

QUEUED = 4  # folders that are given to a thread, so that it has one when it is done with another


class Survey:
    """The listing of a folder."""

    def __init__(self, run: Runs, service: Service):
        self.run = run
        self.service = service
        self.walk: Walk | None = None
        self.live: LiveLine | None = None
        self.due = math.inf  # when it is made again
        self.trouble = Trouble()
        self.blind = Trouble()  # folders that can't be listed, and perhaps soon can
        self.unread: dict[str, GridError] = {}  # folders that could not be listed
        self.is_listed = False  # all folders are, and pins of files that are gone are being given back

    def is_open(self, now: float) -> bool:
        """Whether it goes on, or there is a folder that could not be listed, and perhaps soon can."""
        is_blind = self.blind.failures > 0 and not self.blind.is_over(self.run.loop.pace.blind, now)
        return self.walk is not None or is_blind

    def is_waited_for(self) -> bool:
        """Whether the site is to be asked nothing else just now."""
        return self.walk is not None and not self.is_listed

    def begin(self) -> Walk:
        """List the folder."""
        self.walk, self.is_listed = walk_of(self.run.scope), False
        return self.walk

    def give(self, is_asked: bool, now: float) -> bool:
        """Have folders listed; whether there is another list now. Nothing else is asked of the site meanwhile."""
        loop, walk = self.run.loop, self.walk
        if walk is None:
            if now >= self.due and not is_asked:
                self.begin()
            return False
        while walk.todo and loop.pending("folders") < QUEUED * LISTINGS:
            folder = walk.todo.popleft()
            loop.ask("folders", (walk, folder), list_folder, self.run.place().lister, folder)
        if not self.is_listed and not walk.todo and not loop.pending("folders"):
            self.end(walk, now)
        if self.walk and self.is_listed and not is_asked and not self.service.todo:
            self.apply(walk)
            return True
        return False

    def take(self, answer: Answer, now: float) -> None:
        """Take in a folder that was listed, or why it could not be."""
        walk: Walk
        walk, folder = answer.about
        if walk is not self.walk:  # another folder has failed, and it was given up
            return
        try:
            if answer.error:
                walk.fail(folder, answer.error)
            else:
                walk.take(folder, answer.value)
        except (FileError, DoorError) as error:
            self.fail(error, now)

    def fail(self, error: GridError, now: float) -> None:
        """It has failed, and is made again later."""
        self.trouble = self.service.told.rest(self.trouble, error, now)
        self.walk, self.due = None, self.trouble.until

    def end(self, walk: Walk, now: float) -> None:
        """All folders are listed: pins of files that are gone are given back before these are forgotten."""
        run = self.run
        rows, top = run.catalog().matching(run.scope), run.scope.folder
        if any(entry.path == top for entry in walk.entries) and any(row.path != top for row in rows):
            # gfal2 says so of one that it may not list.
            sentence = f"{top}: is a file at the site now, no longer a folder; see --ls_dir"
            self.fail(FileError(sentence, passing=True), now)
            return
        walk.note_emptied(rows)
        self.is_listed = True
        if not run.wishes.dry_run:
            if run.scope.names is None:  # else there may be more in these folders
                run.folders().remember(walk.folders, walk.folders)
            self.service.release(plan_vanished(rows, walk.entries, walk.failures))

    def apply(self, walk: Walk) -> None:
        """Have the catalog say what is there."""
        catalog = self.run.catalog()
        catalog.replace(plan_catalog(catalog.all(), walk.entries, self.run.scope, walk.failures))
        self.walk = None

    def note(self, walk: Walk, now: float) -> list[GridError]:
        """Take down what could not be listed, and when that is tried again; what is new of it."""
        pace = self.run.loop.pace
        faults = walk.faults()
        told = [error for folder, error in faults.items() if str(self.unread.get(folder)) != str(error)]
        self.trouble, self.unread = Trouble(), faults
        self.service.forget()
        may_pass = any(failure.passing for failure in self.unread.values())
        self.blind = self.blind.after(pace.blind, now) if may_pass else Trouble()
        self.due = self.blind.until if self.is_open(now) else now + pace.list
        return told

    def show(self) -> None:
        """Redraw its line."""
        if self.live and (walk := self.walk):
            self.live.show(walk_text(len(walk.folders), len(walk.entries), walk.size))
