"""What can go wrong: the sentence is written where it is known, the class carries the exit status."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

SENTENCE = 5000  # characters; a path may have 4096
WORDS = 200  # characters of what others say


def brief(said: str) -> str:
    """What another program says, as far as it fits a sentence."""
    return said if len(said) <= WORDS else f"{said[:WORDS]}..."


class GridError(Exception):
    """One sentence for the user: the thing, the reason, the remedy."""

    status = 1

    def __init__(self, sentence: str, passing: bool = False, pause: float = 0):
        super().__init__(sentence if len(sentence) <= SENTENCE else f"{sentence[:SENTENCE]}...")
        self.passing = passing  # the same call may succeed a little later,
        self.pause = pause  # after so many seconds at least


def drop_frames(error: GridError) -> GridError:
    """An error that is to be kept, without what had led to it: it would hold files, folders and answers."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


class OutOfTime(GridError):
    """The run may take no longer; what is done is kept."""


class UsageError(GridError):
    status = 2


class CredentialError(GridError):
    status = 3


class DoorError(GridError):
    status = 4


class Unreached(DoorError):
    """Nothing of the request has come to the door."""


class Full(DoorError):
    """It has no room for more."""


class NoCrossing(DoorError):
    """It copies nothing from or to other doors."""


class TooFast(DoorError):
    """It takes no more requests just now."""


class CrewError(GridError):
    """There are no workers, or nobody hears from them."""

    status = 4


class DiskError(GridError):
    status = 5


class LockedError(GridError):
    status = 6

    def __init__(self, who: str):
        super().__init__(f"{who}; try again later")
        self.who = who  # is at work


class FileError(GridError):
    """One file or folder of many; the others go on."""


class Incomplete(GridError):
    """Some files of several are not as they should be."""

    def __init__(self, sentence: str, rows: Sequence[Any] = ()):
        super().__init__(sentence)
        self.rows = list(rows)  # all of them, each with its error if it has one


class NoRoom(FileError):
    """This disk can't hold what is to be built for it."""

    status = 5


class NotFound(FileError):
    status = 2  # counts where the user has named the folder


class Forbidden(FileError):
    status = 4


class Mismatch(FileError):
    """The bytes that arrived are not those that the door's checksum is of."""


class Changed(FileError):
    """It has changed at the site while it was copied."""


class NoRanges(FileError):
    """The door sends all of it, whatever part is asked for."""


class OnTape(FileError):
    """It has no copy on disk, or no longer one."""


class PoolError(FileError):
    """What has it on disk fails, and soon may not; others go on meanwhile."""


class BadRequest(FileError):
    """The door can't make sense of what it is asked for."""


class BadName(FileError):
    """The door can't serve such names, though it may list them, or can't take them."""


class Exists(FileError):
    """Something has this name already."""


class Unfinished(FileError):
    """Nobody knows how it went: a door may still be at it."""


class TooMany(FileError):
    """A request about more files than the door takes at once."""


class Saying(NamedTuple):
    """What another program says when something fails, and what it means."""

    pattern: str
    kind: type[GridError]
    sentence: str
    passing: bool = False


def error_for(sayings: Iterable[Saying], said: str, /, **words: str) -> GridError:
    """The error that the first fitting saying stands for; the last one fits all."""
    saying = next(saying for saying in sayings if re.search(saying.pattern, said, re.IGNORECASE))
    return saying.kind(saying.sentence.format(**words), saying.passing)
