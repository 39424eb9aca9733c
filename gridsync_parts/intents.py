"""What grid_uploads.csv says of deposits: a row for each record that was meant, before the site is asked for it."""

from __future__ import annotations

import os
import re
import time
import uuid
from typing import Callable

from gridsync_parts.doors import Draft, Repository
from gridsync_parts.errors import FileError, Unreached
from gridsync_parts.pool import Stop
from gridsync_parts.uploads import Upload, Uploads

KEY = re.compile("gridsync-[0-9a-f]{32}")
DRAFT, PUBLISHED = "draft", "published"  # what such a row says in the column `verified`, once all files are there
YOUNG = 60.0  # seconds in which a search may not know a draft yet
LOOKS = (0.0, 1.0, 2.0, 3.0, 4.0)  # seconds before each look for one


def place_of(folder: str) -> str:
    """Where a folder lies, by whatever links it is named; a link to a file is a file of that name."""
    above, name = os.path.split(os.path.abspath(folder))
    return os.path.realpath(folder) if os.path.isdir(folder) else os.path.join(os.path.realpath(above), name)


class Intents:
    """The rows of deposits; a new one for each version."""

    def __init__(self, uploads: Uploads, site: str, clock: Callable[[], float] = time.time):
        self.uploads = uploads
        self.site = site
        self.clock = clock
        self.known: dict[str, list[Upload]] = {}  # by folder
        for upload in uploads.of(site):
            if KEY.fullmatch(upload.target):
                self.known.setdefault(upload.path, []).append(upload)
        for some in self.known.values():
            some.sort(key=lambda upload: (upload.mtime, upload.verified != PUBLISHED))

    def latest(self, folder: str) -> Upload | None:
        """The last one for a folder."""
        some = self.known.get(place_of(folder))
        return some[-1] if some else None

    def published(self, folder: str) -> Upload | None:
        """The last one for a folder that became a published record."""
        some = self.known.get(place_of(folder), [])
        return next((upload for upload in reversed(some) if upload.verified == PUBLISHED), None)

    def begin(self, folder: str, size: int) -> Upload:
        """Note that a draft is to be made, before it is asked for."""
        before = self.latest(folder)
        now = max(int(self.clock()), before.mtime + 1 if before else 0)
        key = f"gridsync-{uuid.uuid4().hex}"
        return self.put(Upload(place_of(folder), size, now, "", "", self.site, key, "", ""))

    def has(self, folder: str, record: str) -> bool:
        """Whether a folder is known to belong to a record."""
        return any(upload.record == record for upload in self.known.get(place_of(folder), []))

    def adopt(self, folder: str, record: str) -> None:
        """Note a published record that a folder belongs to, as the user says."""
        if not self.has(folder, record):
            upload = self.begin(folder, 0)
            self.put(upload._replace(record=record, verified=PUBLISHED))

    def put(self, upload: Upload) -> Upload:
        """Note a row, in a way that outlives a power failure."""
        self.uploads.put([upload], durable=True)
        some = self.known.setdefault(upload.path, [])
        some[:] = [other for other in some if other.target != upload.target] + [upload]
        return upload


class Creation:
    """The making of a draft: where one may have been made before, it is looked for first."""

    def __init__(self, repository: Repository, key: str, stop: Stop, asked: float | None = None):
        self.repository = repository
        self.key = key
        self.stop = stop
        self.asked = asked  # when it may have been asked for, so that there may be one
        self.others: list[Draft] = []  # further ones of its key
        self.doubt = ""  # why nobody can tell whether there is one

    def __call__(self) -> Draft:
        """The draft."""
        if self.asked is not None and (found := self.search(self.asked)):
            self.others = found[1:]
            return found[0]
        before, self.asked = self.asked, time.time()
        try:
            return self.repository.create(self.key)
        except Unreached:
            self.asked = before
            raise

    def search(self, asked: float) -> list[Draft]:
        """The drafts that have its key; the repository's index may be behind."""
        is_young = abs(time.time() - asked) < YOUNG
        for pause in LOOKS if is_young else LOOKS[:1]:
            if self.stop.wait(pause):
                raise FileError("interrupted")
            found = self.repository.find(self.key)
            if found is None:
                self.doubt = "the site cannot be searched for drafts"
                return []
            if found:
                return found
        self.doubt = "a search does not know yet what was asked for a moment ago" if is_young else ""
        return []
