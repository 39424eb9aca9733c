"""What a run and its workers hand to each other: plain values, without any secret."""

from __future__ import annotations

from typing import NamedTuple, Union

from gridsync_parts.copy import Copy
from gridsync_parts.errors import GridError
from gridsync_parts.pacing import Timetable
from gridsync_parts.put import Put
from gridsync_parts.table import Site
from gridsync_parts.values import Outcome

Job = Union[Copy, Put]


class Setting(NamedTuple):
    """What a worker has to know of a run. What is shown at the door it finds by a path, or not at all."""

    run: str  # its id, which no other run has
    version: str  # of gridsync, and of its code
    site: Site  # settled: what its TOKEN names is a file; its CA_DIR is the one that this run goes by
    proxy: str  # the file of it; empty where none is shown
    folder: str  # OUTPUTDIR, or what is sent, from the root on
    mark: str  # a file there by which a worker sees that it is the same folder; empty where files are sent
    writes: bool = False  # files are sent
    vo: str = ""  # that the proxy is for


class Load(NamedTuple):
    """Some files that a worker is given together; one of its threads does one after the other."""

    number: int
    setting: Setting
    jobs: tuple[Job, ...]
    hands: int  # loads that may be under way at this worker at once; others wait there for their turn
    timetable: Timetable | None = None  # its share of --bwlimit


class Done(NamedTuple):
    """What came of one file: its outcome if that is clear, else the error; the run knows whether it is tried again."""

    path: str
    outcome: Outcome | None
    error: GridError | None = None
    moved: int = 0  # bytes that went over the line in this attempt
    here: int = 0  # bytes of it that are there now
    ended: float = 0.0  # seconds since the epoch
    seconds: float = 0.0
    is_open: bool = False  # some of it may be at the site under its temporary name


class Returned(NamedTuple):
    """What came of a load."""

    number: int
    done: tuple[Done, ...]  # files that it says nothing of were not begun
    unfit: GridError | None = None  # why this worker can do no more; others perhaps can
    strange: tuple[str, ...] = ()  # local files of which it is not clear whose they are


class Beat(NamedTuple):
    """How far the files of a worker are; told each second, also when nothing has moved."""

    files: dict[str, tuple[int, int]]  # bytes that are there, and bytes that came in this attempt, by path


class Greeting(NamedTuple):
    """What a worker says of itself."""

    host: str
    machine: str  # the same for all processes that see each other's numbers
    pid: int
    fault: GridError | None = None  # why it is of no use


# What happens with workers, for whoever hands out files.


class Joined(NamedTuple):
    """A worker is there."""

    worker: str
    threads: int
    greeting: Greeting


class Left(NamedTuple):
    """A worker is not there any more; its files may be written on, unless it surely has ended."""

    worker: str
    has_ended: bool


class Back(NamedTuple):
    """What came of a load."""

    worker: str
    returned: Returned


class Heard(NamedTuple):
    """A worker is alive."""

    worker: str
    beat: Beat


class Lost(NamedTuple):
    """Nobody hears from any worker any more: the scheduler is gone, say."""

    error: GridError


News = Union[Joined, Left, Back, Heard, Lost]
