"""The folders at a site that files are sent into: each is listed, or made, before its files go."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from gridsync_parts.doors import LISTINGS, Lister, Listing, Writer
from gridsync_parts.errors import DoorError, FileError, GridError, NotFound
from gridsync_parts.loop import Answer
from gridsync_parts.outbox import Local, Outbox
from gridsync_parts.put import make_folder
from gridsync_parts.runs import Runs
from gridsync_parts.sending import Sending
from gridsync_parts.service import Service
from gridsync_parts.survey import QUEUED, Survey
from gridsync_parts.walk import DOORS_SHUT, list_folder


class Prepared(NamedTuple):
    """A folder at the site."""

    listing: Listing
    is_new: bool


def prepare(lister: Lister, writer: Writer | None, path: str, is_new: bool) -> Prepared:
    """A folder that files are to be sent into; without a writer it is only looked at."""
    if not is_new:
        try:
            listing = list_folder(lister, path)
        except NotFound:
            pass
        else:
            if any(entry.path == path and not entry.is_folder for entry in listing):
                raise FileError(f"{path}: is a file at the site, and a folder here; move one of them away")
            return Prepared(listing, False)
    if writer:
        make_folder(writer, path)
    return Prepared(Listing(), True)


class Ground(Survey):
    """The folders that files are sent into."""

    def __init__(self, run: Runs, service: Service, sending: Sending, outbox: Outbox):
        super().__init__(run, service)
        self.sending = sending
        self.outbox = outbox
        self.below = outbox.below()
        self.todo = deque([("", False)])  # folders, and whether they can't be there yet
        self.sending.beyond = outbox.files(), outbox.size()

    def target(self, path: str) -> str:
        """Where a path is at the site."""
        return "/".join(filter(None, (self.run.scope.folder, path)))

    def files(self, folder: str) -> list[tuple[Local, str]]:
        """The files of a folder, and their paths at the site."""
        return [(local, self.target(local.path)) for local in self.outbox.folders[folder]]

    def is_open(self, now: float) -> bool:
        """Whether folders are still to be prepared."""
        return bool(self.todo) or self.run.loop.pending("folders") > 0

    def is_waited_for(self) -> bool:
        """Whether the site is to be asked nothing else just now."""
        return False

    def give(self, is_asked: bool, now: float) -> bool:
        """Have folders prepared."""
        loop, place = self.run.loop, self.run.place()
        while self.todo and loop.pending("folders") < QUEUED * LISTINGS:
            folder, is_new = self.todo.popleft()
            loop.ask("folders", folder, prepare, place.lister, place.writer, self.target(folder), is_new)
        return False

    def take(self, answer: Answer, now: float) -> None:
        """Take in a folder that is there, or why it is not."""
        folder = answer.about
        if answer.error:
            self.refuse(folder, answer.error)
            return
        self.trouble = self.trouble._replace(failures=0)
        prepared: Prepared = answer.value
        self.sending.plan_folder(self.files(folder), prepared.listing, now)
        self.todo += [(below, prepared.is_new) for below in self.below.get(folder, ())]

    def refuse(self, folder: str, error: GridError) -> None:
        """Leave what is in a folder; without the first one, or when it is the door, nothing can be sent."""
        failures = self.trouble.failures + 1 if isinstance(error, DoorError) else 0
        self.trouble = self.trouble._replace(failures=failures)
        if not folder or failures >= DOORS_SHUT or not isinstance(error, (FileError, DoorError)):
            raise error
        todo = [folder]
        for folder in todo:
            todo += self.below.get(folder, ())
        self.sending.refuse_folder([file for folder in todo for file in self.files(folder)], error)

    def show(self) -> None:
        """It has no line of its own."""
