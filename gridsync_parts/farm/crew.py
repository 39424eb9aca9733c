"""The workers of a run, as far as Dask knows them; nothing here is asked and waited for.

All that is said to Dask is said in one thread, which has an event loop of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import pickle
import queue
import threading
import time
from collections.abc import Coroutine
from typing import Any, Callable
from urllib.parse import urlsplit

from gridsync_parts.errors import CrewError, GridError, brief, drop_frames
from gridsync_parts.farm import hand
from gridsync_parts.farm.beside import be_quiet
from gridsync_parts.farm.calls import (
    Worker,
    back_in,
    beat_in,
    call_of,
    greet_there,
    greeted,
    labour_there,
    lost_errors,
    result_of,
    topic_of,
)
from gridsync_parts.farm.hiring import Hired, hire, read_where
from gridsync_parts.farm.loads import Back, Greeting, Heard, Joined, Left, Load, Lost, News, Returned, Setting
from gridsync_parts.farm.marking import began_of, machine
from gridsync_parts.log import log
from gridsync_parts.machine import unforeseen_error
from gridsync_parts.secrets import make_printable

POLL = 1.0  # seconds between two looks at who is there
CONNECTING = 15.0  # seconds in which a scheduler must answer at first,
ANSWERING = 30.0  # and later on
FAREWELL = 3.0  # seconds for the last words to workers and scheduler
DYING = 1.0  # seconds in which a process ends that was killed
AGAIN = "start again, nothing is lost"
greetings = itertools.count(1)


class Person:
    """A worker of the crew, as it is seen from here."""

    def __init__(self, address: str, worker: Worker):
        self.address = address
        self.worker = worker
        self.is_here = worker.machine == machine()
        self.loads: dict[int, asyncio.Task[None]] = {}  # that it has, each with who waits for it
        self.last = 0  # the last load that it was given

    def has_ended(self) -> bool:
        """Whether it surely can't write any more."""
        return self.is_here and began_of(self.worker.pid) != self.worker.began


def unfit_error(address: str, error: Exception) -> GridError:
    """The sentence for a worker that can't do what it is asked to."""
    host = urlsplit(address).hostname or address
    if isinstance(error, ModuleNotFoundError) and (error.name or "").startswith("gridsync"):
        return CrewError(f"worker {host} has no gridsync, or an older one; install the same one there")
    said = brief(make_printable(f"{type(error).__name__}: {error}"))
    return CrewError(f"worker {host} can't work with this gridsync ({said}); install the same one there")


def as_grid_error(error: Exception) -> GridError:
    """What ends the work of all, as a sentence."""
    if isinstance(error, GridError):
        return error
    log.debug("", exc_info=True)
    fault = CrewError(unforeseen_error(error)[0])
    fault.status = unforeseen_error(error)[1]
    return fault


async def end_others() -> None:
    """End what Dask still has begun, which would complain when the program ends."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    if others:
        await asyncio.wait(others, timeout=FAREWELL)


class Line:
    """What is said to Dask, in the thread of an event loop."""

    hired: Hired

    def __init__(self, setting: Setting, hands: Any, tell: Callable[[News], None]):
        self.setting = setting
        self.hands = hands  # what they do
        self.tell = tell
        self.client: Any = None
        self.people: dict[str, Person] = {}  # those who are at work, by address
        self.coming: dict[str, asyncio.Task[None]] = {}  # those who have not answered yet, and who waits for that
        self.leaving: set[str] = set()  # those who are gone, which is not told yet
        self.failure: BaseException | None = None  # of what is done beside the rest
        self.tasks: set[asyncio.Task[None]] = set()  # nobody else holds them

    async def connect(self, hired: Hired) -> None:
        """Reach the scheduler; CrewError if that takes too long."""
        from distributed import Client, Security

        self.hired = hired
        keys, address = self.hired.keys, self.hired.address
        security = keys and Security(
            tls_ca_file=keys.certificate, tls_client_cert=keys.certificate, tls_client_key=keys.key,
            require_encryption=True,
        )  # fmt: skip
        try:
            self.client = Client(
                address, security=security, asynchronous=True, set_as_default=False, timeout=CONNECTING, name="gridsync"
            )
            await asyncio.wait_for(self.client, 2 * CONNECTING)
        except Exception as error:
            log.debug("", exc_info=True)
            self.hired.look()  # it knows better
            said = brief(make_printable(str(error)))
            other = ", and the keys that distributed.comm.tls of Dask's configuration names"
            if address.startswith("tcp:"):
                other = ", which begins with tls where the scheduler has TLS"
            raise CrewError(f"no scheduler of Dask answers at {address} ({said}); check the address{other}") from None
        self.client.subscribe_topic(topic_of(self.setting.run), self.hear)

    def ask(self, address: str, key: str, call: bytes) -> Any:
        """Have a worker make a call; `result_of` it can be waited for."""
        return self.client.submit(
            pickle.loads, call, key=f"gridsync-{self.setting.run}-{key}", workers=[address], allow_other_workers=False,
            pure=False, retries=0,
        )  # fmt: skip

    def hear(self, event: tuple[float, bytes]) -> None:
        """A worker says how far it is."""
        address, beat = beat_in(event[1])
        if address in self.people:
            self.tell(Heard(address, beat))

    def begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do something beside the rest."""
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.end)
        return task

    def end(self, task: asyncio.Task[None]) -> None:
        """What was done has ended, as it should or not."""
        self.tasks.discard(task)
        if not task.cancelled():
            self.failure = self.failure or task.exception()

    def act(self, act: Callable[..., object], *arguments: Any) -> None:
        """Do something for the run."""
        try:
            act(*arguments)
        except Exception as error:
            self.failure = self.failure or error

    async def watch(self) -> None:
        """See workers come and go, until there is nobody to hear from; then CrewError."""
        link, last = self.client.scheduler_comm, time.monotonic()
        while True:
            if self.failure:
                raise self.failure
            self.hired.look()
            if self.client.status != "running" or self.client.scheduler_comm is not link:
                raise CrewError(f"the connection to the scheduler {self.hired.address} broke off; {AGAIN}")
            try:
                threads = await asyncio.wait_for(self.client.scheduler.ncores(), ANSWERING)
            except (OSError, asyncio.TimeoutError):
                self.hired.look()
                raise CrewError(f"the scheduler {self.hired.address} does not answer any more; {AGAIN}") from None
            self.compare(threads)
            if self.people:
                last = time.monotonic()
            elif self.hired.patience and time.monotonic() - last > self.hired.patience:
                raise CrewError(f"the scheduler {self.hired.address} has no worker that answers; {self.hired.remedy}")
            await asyncio.sleep(POLL)

    def compare(self, threads: dict[str, int]) -> None:
        """Greet who is new, and miss who is gone."""
        for address in [*self.people, *self.coming]:
            if address not in threads:
                self.miss(address)
        for address in threads.keys() - self.people.keys() - self.coming.keys() - self.leaving:
            self.coming[address] = self.begin(self.greet(address, threads[address]))

    async def greet(self, address: str, threads: int) -> None:
        """Ask a new worker who it is."""
        call = call_of(greet_there, self.hands.greet, self.setting)
        try:
            worker, greeting = greeted(await result_of(self.ask(address, f"greeting-{next(greetings)}", call)))
        except lost_errors():
            self.coming.pop(address, None)
            return
        except Exception as error:
            worker, greeting = Worker("", 0, ""), Greeting("", "", 0, unfit_error(address, error))
        del self.coming[address]
        self.people[address] = Person(address, worker)
        self.tell(Joined(address, threads, greeting))

    def give(self, address: str, load: Load) -> None:
        """Give a worker some files; if it is gone, that is told already."""
        if person := self.people.get(address):
            person.last = load.number
            call = call_of(labour_there, self.hands.labour, load, address, person.worker)
            future = self.ask(address, str(load.number), call)
            person.loads[load.number] = self.begin(self.bring_back(person, load.number, future))

    async def bring_back(self, person: Person, number: int, future: Any) -> None:
        """Wait for what comes of a load."""
        try:
            returned = back_in(await result_of(future))
        except lost_errors() as error:
            log.debug("load %d of %s is lost: %r", number, person.address, error)
            returned = None
        except Exception as error:
            returned = Returned(number, (), unfit=unfit_error(person.address, error))
        if self.people.get(person.address) is not person:
            return
        person.loads.pop(number, None)
        if returned is None:
            self.miss(person.address)
        else:
            self.tell(Back(person.address, returned))

    def miss(self, address: str) -> None:
        """A worker is gone."""
        if task := self.coming.pop(address, None):
            task.cancel()
        if person := self.forget(address):
            self.leaving.add(address)
            self.begin(self.mourn(person))

    async def mourn(self, person: Person) -> None:
        """Tell that a worker is gone, a moment later: one that is killed is not gone at once."""
        deadline = time.monotonic() + DYING
        while person.is_here and not person.has_ended() and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        self.tell(Left(person.address, person.has_ended()))
        self.leaving.discard(person.address)
        self.coming[person.address] = self.begin(self.call_off(person))  # if it is there

    def forget(self, address: str) -> Person | None:
        """Wait for nothing more from a worker."""
        person = self.people.pop(address, None)
        for task in person.loads.values() if person else ():
            task.cancel()
        return person

    def drop(self, address: str) -> None:
        """Have nothing more to do with a worker, unless it comes to itself again."""
        if person := self.forget(address):
            self.coming[address] = self.begin(self.call_off(person))
            if person.is_here:
                self.hired.end(person.worker.pid)

    def tell_to_halt(self, addresses: list[str], last: float) -> Any:
        """Tell workers to end their loads up to this one. This gets through where all their threads are busy."""
        call = call_of(self.hands.halt, self.setting.run, last)
        return self.client.run(pickle.loads, call, workers=addresses, on_error="ignore")

    def halt(self) -> None:
        """Tell that to all."""
        if self.people:
            self.begin(self.say_last(self.tell_to_halt(list(self.people), math.inf)))

    async def call_off(self, person: Person) -> None:
        """Have a worker hear that it is to end what it was given; then it may come anew, and be given more."""
        heard = None
        while not heard:
            try:
                heard = await self.tell_to_halt([person.address], person.last)
            except Exception:
                log.debug("", exc_info=True)
            await asyncio.sleep(POLL)
        del self.coming[person.address]

    async def say_last(self, words: Any) -> None:
        """Say something that may well not be heard any more."""
        try:
            await asyncio.wait_for(words, FAREWELL)
        except Exception:
            log.debug("", exc_info=True)

    async def close(self) -> None:
        """Have the last words said, and nothing more."""
        if any(person.loads for person in self.people.values()):
            self.halt()
        for address in list(self.people):
            self.forget(address)
        for task in self.coming.values():
            task.cancel()
        if self.tasks:
            await asyncio.wait(self.tasks, timeout=FAREWELL)
        if self.client:
            await self.say_last(self.client.close())
            self.client.status = "closed"  # also if that has hung: it would complain when it is thrown away


class Crew:
    """Workers, and the way to them."""

    def __init__(
        self,
        where: str,
        setting: Setting,
        threads: int,
        tell: Callable[[News], None],
        home: str = "",
        hands: Any = hand,
    ):
        self.where = read_where(where)
        self.threads = threads  # of all workers together
        self.home = home  # a folder that workers of other machines see, for the keys of the run
        self.line = Line(setting, hands, tell)  # news are told by a thread of the crew
        self.hired: Hired | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.thread = threading.Thread(target=self.live, daemon=True)
        self.started: queue.SimpleQueue[GridError | None] = queue.SimpleQueue()
        self.course: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Have workers, and tell of each; UsageError or CrewError if there can be none."""
        try:
            self.hired = hire(self.where, self.threads, self.home)
            be_quiet()
            self.loop = asyncio.new_event_loop()
            self.thread.start()
            if error := self.started.get():
                raise error
        except BaseException:
            self.close()
            raise

    def live(self) -> None:
        """What the thread does."""
        assert self.loop
        asyncio.set_event_loop(self.loop)
        self.loop.set_exception_handler(lambda _, context: log.debug("dask: %s", context.get("message")))
        try:
            self.loop.run_until_complete(self.keep_in_touch())
            self.loop.run_until_complete(end_others())
        except Exception:
            log.debug("", exc_info=True)
        self.loop.close()

    async def reach(self) -> None:
        """Reach the workers, and stay with them as long as that goes."""
        assert self.hired
        await self.line.connect(self.hired)
        self.started.put(None)
        await self.line.watch()

    async def keep_in_touch(self) -> None:
        """Do that, and tell how it ends."""
        self.course = asyncio.ensure_future(self.reach())
        try:
            await self.course
        except asyncio.CancelledError:
            self.started.put(CrewError("the run has let go of its workers"))
        except Exception as error:
            fault = drop_frames(as_grid_error(error))
            self.started.put(fault)
            self.line.tell(Lost(fault))
        await self.line.close()

    def soon(self, act: Callable[..., object], *arguments: Any) -> None:
        """Have the thread do something; when it has ended there is nobody to do it to."""
        with contextlib.suppress(RuntimeError):
            if self.loop:
                self.loop.call_soon_threadsafe(self.line.act, act, *arguments)

    def give(self, worker: str, load: Load) -> None:
        """Give a worker some files."""
        self.soon(self.line.give, worker, load)

    def drop(self, worker: str) -> None:
        """Have nothing more to do with a worker: what it is at is called off, as far as it still hears."""
        self.soon(self.line.drop, worker)

    def halt(self) -> None:
        """Tell all workers to end what they are at; what came of it still comes back."""
        self.soon(self.line.halt)

    def close(self) -> bool:
        """Let go of them; those that were started for this run end. Whether surely none is left."""
        if self.course:
            self.soon(self.course.cancel)
            self.thread.join(3 * FAREWELL)
        return self.hired is None or self.hired.close()
