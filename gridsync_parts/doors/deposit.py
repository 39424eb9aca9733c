"""Files that are sent to a repository, into drafts: whole, or in parts where they are large.

It compares nothing with what it was told to expect, and says of bytes that it has not taken that all is well. So what
counts is the checksum that it has of them in the end.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from gridsync_parts.doors import Sent, Stored
from gridsync_parts.doors.drafts import Drafts, Entry, deposited, part_size_of
from gridsync_parts.doors.plain import TAKEN
from gridsync_parts.doors.repository import complaints_in, complaints_text
from gridsync_parts.errors import BadName, DoorError, Exists, FileError, Forbidden, GridError, NotFound
from gridsync_parts.pace import PACE, Backoff

LIGHT, HEAVY = 1, 5  # what a file that is sent whole weighs, and one in parts
SEND_TRIES = 3  # at a part, and at a commit
LOOKS = Backoff(1, 15)  # at a file that is not ready yet
STUCK = 120.0  # seconds for which it may not be ready
UNSUMMED = 10.0  # seconds for which it may have no checksum
STAYS_PENDING = "{}: the repository has all of it, but does not get it ready; it is sent again"
NOT_TAKEN = "{}: the repository has not taken it ({})"
NO_RENAMING = "{}: a repository renames nothing; ask the site"


class Parts:
    """The bytes of a file, part after part, read in one pass unless one has to be sent again."""

    def __init__(self, sent: Sent):
        self.sent = sent
        self.source: Iterator[bytes | memoryview] = iter(())
        self.waiting = memoryview(b"")  # read, but not used yet
        self.at = -1  # where that begins

    def part(self, start: int, size: int) -> Sent:
        """One of them."""
        return Sent(size, functools.partial(self.chunks, start, start + size))

    def chunks(self, start: int, stop: int) -> Iterator[memoryview]:
        """The bytes from start up to stop; behind the last of them more, if there is more than there was to be."""
        if self.at != start:
            self.source, self.waiting, self.at = iter(self.sent.chunks()), memoryview(b""), 0
        is_last = stop == self.sent.size
        while self.at < stop or is_last:
            if not self.waiting:
                piece = next(self.source, None)
                if piece is None:
                    return
                self.waiting = memoryview(piece)
            count = len(self.waiting)
            if self.at < start:
                count = min(count, start - self.at)
            elif not is_last:
                count = min(count, stop - self.at)
            piece, self.waiting, before = self.waiting[:count], self.waiting[count:], self.at
            self.at += count
            if before >= start:
                yield piece


def time_in(text: Any) -> int:
    """A time as JSON has it; 0 if it is none."""
    with contextlib.suppress(ValueError, TypeError):
        return int(datetime.fromisoformat(str(text).replace("Z", "+00:00")).timestamp())
    return 0


def stored_of(entry: Entry) -> Stored:
    """A file that is there."""
    found = deposited(entry)
    return Stored(found.size, found.checksum, time_in(entry.get("updated") or entry.get("created")))


def split(path: str) -> tuple[str, str]:
    """The record and the name of a file in it."""
    record, _, name = path.partition("/")
    if not record or not name:
        raise BadName(f"{path or '/'}: a file of a repository is in a record; name it as ID/NAME")
    return record, name


class DepositWriter:
    """A repository that takes files, into drafts."""

    def __init__(self, drafts: Drafts):
        self.drafts = drafts
        self.service = drafts.service
        self.has_sums = True  # it tells the md5 of files, sooner or later

    def folder(self, path: str) -> bool:
        """Nothing: a draft has no folders, though names may have slashes."""
        return False

    def write(self, path: str, sent: Sent) -> Stored:
        """Send a new file; Exists if something has its name. When it fails, some of it may be there."""
        record, name = split(path)
        self.drafts.check_open(record)
        entry = self.awaited(path, sent.size)
        try:
            if (entry.get("transfer") or {}).get("type") == "M":
                with self.service.load.hold(HEAVY):
                    is_sent = self.send_parts(path, entry, sent)
                if is_sent:
                    return self.commit(path)
                self.drafts.remove(record, name)
                self.drafts.init(record, {name: sent.size})
            with self.service.load.hold(LIGHT):
                url = f"{self.drafts.file_url(record, name)}/content"
                self.check(path, self.service.send(url, sent, path))
            return self.commit(path)
        finally:
            with self.drafts.lock:
                self.drafts.known.get(record, {}).pop(name, None)

    def awaited(self, path: str, size: int) -> Entry:
        """What the repository says of a file that it waits for; it is told of it, if it does not."""
        record, name = split(path)
        entry = self.drafts.known.get(record, {}).get(name)
        if entry is None:
            with contextlib.suppress(NotFound):
                entry = self.drafts.file(record, name)
        if not entry or not self.drafts.is_as_wanted(entry, size):
            if entry:
                self.drafts.remove(record, name)
            self.drafts.init(record, {name: size})
            entry = self.drafts.known.get(record, {}).get(name) or self.drafts.file(record, name)
        if deposited(entry).is_whole:  # bytes that are sent to it would make the repository forget it
            raise Exists(TAKEN.format(place=path))
        return entry

    def check(self, path: str, document: Any) -> None:
        """Refuse the answer to bytes that were not taken, which is 200 all the same."""
        if complaints := complaints_in(document):
            raise FileError(NOT_TAKEN.format(path, complaints_text(complaints)), passing=True)

    def send_parts(self, path: str, entry: Entry, sent: Sent) -> bool:
        """Send a file in parts, one after the other; False if the repository refuses parts."""
        # Two at once would be 1.6 times as fast on a line of 30 ms, for a file alone; but THREADS files go at once, and
        # each would have to be read twice.
        step, parts = entry["transfer"].get("part_size") or part_size_of(sent.size), Parts(sent)
        named = (entry.get("links") or {}).get("parts")
        links = [one for one in named if isinstance(one, dict)] if isinstance(named, list) else []
        urls = {one["part"]: one["url"] for one in links if (type(one.get("part")), type(one.get("url"))) == (int, str)}
        numbers = range(1, -(-sent.size // step) + 1)
        for number in numbers:
            start = (number - 1) * step
            part = parts.part(start, min(step, sent.size - start))
            record, name = split(path)
            url = urls.get(number) or f"{self.drafts.file_url(record, name)}/content/{number}"
            try:
                self.send_part(path, url, part)
            except Forbidden:
                self.drafts.refuse_parts()
                return False
        return True

    def send_part(self, path: str, url: str, part: Sent) -> None:
        """Send a part, again if the line breaks: all others would have to go again, too."""
        for attempt in range(1, SEND_TRIES + 1):
            try:
                return self.check(path, self.service.send(url, part, path))
            except DoorError as error:
                if not error.passing or attempt == SEND_TRIES:
                    raise
                self.service.budget.wait(max(error.pause, PACE.call.pause(attempt)))
        return None

    def commit(self, path: str) -> Stored:
        """Say that all of a file was sent; what the repository has then."""
        record, name = split(path)
        url = f"{self.drafts.file_url(record, name)}/commit"
        for attempt in range(1, SEND_TRIES + 1):
            try:
                entry = self.service.ask("POST", url, place=path)
                break
            except (NotFound, DoorError) as error:  # it may have done so all the same, or not have noticed the bytes
                if isinstance(error, DoorError) and not error.passing:
                    raise
                if found := self.look(path, error):
                    entry = found
                    break
                if attempt == SEND_TRIES:
                    raise FileError(str(error), passing=True, pause=error.pause) from error
                self.service.budget.wait(max(error.pause, PACE.call.pause(attempt)))
        self.check(path, entry)
        return self.summed(path, self.ready(path, entry))

    def look(self, path: str, error: GridError) -> Entry | None:
        """A file of which a commit has failed, if it is there all the same."""
        try:
            entry = self.drafts.file(*split(path))
        except NotFound:
            raise FileError(NOT_TAKEN.format(path, error), passing=True) from error
        return entry if deposited(entry).is_whole else None

    def ready(self, path: str, entry: Entry) -> Entry:
        """A file that is committed, once the repository has it ready."""
        waited, looks = 0.0, 0
        while not deposited(entry).is_whole:
            if waited >= STUCK:
                raise FileError(STAYS_PENDING.format(path), passing=True)
            looks += 1
            waited += self.rest(looks)
            entry = self.drafts.file(*split(path))
        return entry

    def summed(self, path: str, entry: Entry) -> Stored:
        """The same with its checksum, if it comes to have one before long."""
        waited, looks, limit = 0.0, 0, UNSUMMED if self.has_sums else 0.0
        while not deposited(entry).checksum and waited < limit:
            looks += 1
            waited += self.rest(looks)
            entry = self.drafts.file(*split(path))
        self.has_sums = bool(deposited(entry).checksum)
        return stored_of(entry)

    def rest(self, looks: int) -> float:
        """Wait before the next look; for how long."""
        seconds = LOOKS.pause(looks)
        self.service.budget.wait(seconds)
        return seconds

    def stored(self, path: str) -> Stored:
        """What is there under a name; NotFound if nothing, or not all of it."""
        record, name = split(path)
        if record not in self.drafts.state:
            self.drafts.look(record)
        entry = self.drafts.file(record, name)
        if not deposited(entry).is_whole:
            raise NotFound(f"{path}: the repository waits for it still")
        return stored_of(entry)

    def rename(self, path: str, target: str, replace: bool) -> None:
        """Refuse it."""
        raise FileError(NO_RENAMING.format(path))

    def remove(self, path: str) -> bool:
        """Remove a file of a draft; whether it was there."""
        return self.drafts.remove(*split(path))
