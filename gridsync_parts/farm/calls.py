"""What a worker is asked through Dask: calls, as bytes that make them when they are unpickled.

So the scheduler need not know gridsync, and reads none of it.
"""

from __future__ import annotations

import asyncio
import os
import pickle
from typing import Any, Callable, NamedTuple, cast

from gridsync_parts.farm.loads import Beat, Greeting, Load, Returned, Setting
from gridsync_parts.farm.marking import began_of, machine

NOBODY = pickle.dumps(None)  # the answer of who was not meant
Labour = Callable[[Load, Callable[[Beat], None]], Returned]


class Call(NamedTuple):
    """What makes a call when it is unpickled."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]

    def __reduce__(self) -> Any:
        return self.function, self.arguments


def call_of(function: Callable[..., Any], *arguments: Any) -> bytes:
    """A call as bytes; whoever unpickles them gets what it returns."""
    return pickle.dumps(Call(function, arguments))


class Worker(NamedTuple):
    """A process, which no other can be taken for."""

    machine: str
    pid: int
    began: str


def this_worker() -> Worker:
    """The process that asks."""
    return Worker(machine(), os.getpid(), began_of(os.getpid()))


def topic_of(run: str) -> str:
    """Where workers tell how far they are."""
    return f"gridsync-{run}"


def greet_there(greet: Callable[[Setting], Greeting], setting: Setting) -> bytes:
    """What a worker says of itself."""
    return pickle.dumps((this_worker(), greet(setting)))


def labour_there(labour: Labour, load: Load, address: str, worker: Worker) -> bytes:
    """What comes of a load at a worker; nothing if it is not any more who was meant, with the same address."""
    from distributed import get_worker

    if this_worker() != worker:
        return NOBODY
    topic, dask_worker = topic_of(load.setting.run), get_worker()

    def tell(beat: Beat) -> None:
        dask_worker.log_event(topic, pickle.dumps((address, beat)))

    return pickle.dumps(labour(load, tell))


async def result_of(future: Any) -> Any:
    """What a worker returns. Dask fetches many results at once, which goes on for the others if this is cancelled."""
    waiting = asyncio.ensure_future(future.result())
    try:
        return await asyncio.shield(waiting)
    except asyncio.CancelledError:
        future.release()  # the scheduler need not wait any more, either
        raise


def lost_errors() -> tuple[type[BaseException], ...]:
    """What a load ends with whose worker is gone, or whose result."""
    import concurrent.futures

    from distributed import KilledWorker

    return KilledWorker, OSError, asyncio.CancelledError, concurrent.futures.CancelledError, asyncio.TimeoutError


# What comes of it: who sends something else is not the gridsync that it says it is, or its memory fails.


def said_in(answer: bytes, *kinds: type) -> Any:
    """What a worker has sent; TypeError if it is of another kind."""
    said = pickle.loads(answer)
    parts = said if isinstance(said, tuple) and len(kinds) > 1 else (said,)
    if tuple(map(type, parts)) != kinds:
        raise TypeError("it answers something else than it is asked")
    return said


def greeted(answer: bytes) -> tuple[Worker, Greeting]:
    """Who a worker is, and what it says of itself."""
    found: tuple[Worker, Greeting] = said_in(answer, Worker, Greeting)
    return found


def back_in(answer: bytes) -> Returned | None:
    """What came of a load."""
    return None if answer == NOBODY else cast(Returned, said_in(answer, Returned))


def beat_in(message: bytes) -> tuple[str, Beat]:
    """How far files are, and whose."""
    found: tuple[str, Beat] = said_in(message, str, Beat)
    if not all(type(count) is int for pair in found[1].files.values() for count in pair):
        raise TypeError("it tells of something else than files")
    return found
