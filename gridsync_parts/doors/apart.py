"""A site that a process of its own speaks to: gfal2 sets the environment of the one that it is in.

Calls and answers are plain values on a pipe. The other process ends with the pipe, however that ends.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
import threading
from collections.abc import Collection, Iterator
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Callable

from gridsync_parts.doors import At, Body, Found, Listing, Place, Tape
from gridsync_parts.doors.opening import open_place
from gridsync_parts.errors import DoorError, FileError, GridError, drop_frames
from gridsync_parts.kinds import is_portal, kind_of
from gridsync_parts.machine import unforeseen_error
from gridsync_parts.secrets import secrets
from gridsync_parts.settings import Config
from gridsync_parts.table import Site
from gridsync_parts.values import Locality, Staging

if TYPE_CHECKING:
    import subprocess
    from multiprocessing.connection import Connection

FAREWELL = 5.0  # seconds that the other process has to end
LOOK = 2.0  # seconds after which it looks whether this one is still there
THREADS = 200  # of it, each for a call
TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# It finds modules where this one does, and none in the folder that it happens to be in.
CODE = "import sys; sys.path[:] = {}; from gridsync_parts.doors.apart import serve; serve({}, {})"

# The other process.


def verbs_of(place: Place) -> dict[str, Callable[..., Any]]:
    """What can be asked for, each with an answer at once."""

    def tape() -> Any:
        return place.find_tape()

    return {
        "folder": place.lister.folder,
        "find": lambda words: place.find(words) if place.find else {},
        "whereabouts": place.lister.localities,
        "checksum": place.reader.checksum,
        "has_tape": lambda: tape() is not None,
        "localities": lambda paths: tape().localities(paths),
        "stage": lambda paths, days: tape().stage(paths, days),
        "stagings": lambda request, paths: tape().stagings(request, paths),
        "release": lambda request, paths: tape().release(request, paths),
    }


def plain_error(error: Exception) -> GridError:
    """An error as another process can have it, without what nobody may see."""
    if not isinstance(error, GridError):
        error = GridError(unforeseen_error(error)[0])
    error.args = (secrets.masked(str(error)),)
    return drop_frames(error)


class Server:
    """Answers what comes over a pipe."""

    def __init__(self, connection: Connection, place: Place):
        self.connection = connection
        self.place = place
        self.verbs = verbs_of(place)
        self.sending = threading.Lock()
        self.wishes: dict[int, SimpleQueue[str]] = {}  # of who reads a file: more, or close

    def send(self, number: int, what: str, value: Any) -> None:
        """Answer a call, or a part of it."""
        with self.sending:
            self.connection.send((number, what, value))

    def answer(self, number: int, verb: str, arguments: tuple[Any, ...]) -> None:
        """Make a call."""
        try:
            if verb == "read":
                self.read(number, *arguments)
            else:
                self.send(number, "value", self.verbs[verb](*arguments))
        except Exception as error:
            self.send(number, "error", plain_error(error))

    def read(self, number: int, at: At, start: int, stop: int) -> None:
        """Send the bytes of a file, each piece when it is wished for."""
        wishes = self.wishes[number]
        try:
            body = self.place.reader.read(at, start, stop)
            try:
                self.send(number, "value", (body.start, body.checksum, body.tag))
                while wishes.get() == "more":
                    self.send(number, "piece", bytes(next(body.chunks, b"")))
            finally:
                body.close()
        finally:
            del self.wishes[number]


def serve(descriptor: int, parent: int) -> None:
    """Speak to a site for another process, as long as there is one that wants it."""
    from concurrent.futures import ThreadPoolExecutor
    from multiprocessing.connection import Connection

    connection = Connection(descriptor)
    with contextlib.suppress(EOFError, OSError):
        site, vo, folder, proxy = connection.recv()
        try:
            server = Server(connection, open_place(site, vo, Config(folder), proxy))
            server.send(0, "value", None)
        except Exception as error:
            connection.send((0, "error", plain_error(error)))
            raise EOFError from None
        threads = ThreadPoolExecutor(THREADS)
        while os.getppid() == parent:  # another child of it may hold the pipe, too
            if not connection.poll(LOOK):
                continue
            number, verb, arguments = connection.recv()
            if verb == "end":
                break
            if verb in ("more", "close"):
                if wishes := server.wishes.get(number):
                    wishes.put(verb)
                continue
            if verb == "read":
                server.wishes[number] = SimpleQueue()
            threads.submit(server.answer, number, verb, arguments)
    os._exit(0)  # whatever a thread hangs in


# This process.


class ApartTape:
    """The tape service of a site that another process speaks to."""

    def __init__(self, call: Callable[..., Any]):
        self.call = call

    def localities(self, paths: list[str]) -> dict[str, Locality]:
        """Where files are."""
        found: dict[str, Locality] = self.call("localities", paths)
        return found

    def stage(self, paths: list[str], days: int) -> str:
        """Ask for files to be brought to disk; the request's id."""
        return str(self.call("stage", paths, days))

    def stagings(self, request: str, paths: list[str]) -> dict[str, Staging]:
        """How far a request is with these files."""
        found: dict[str, Staging] = self.call("stagings", request, paths)
        return found

    def release(self, request: str, paths: list[str]) -> None:
        """Give back the pins of a request."""
        self.call("release", request, paths)


class Apart:
    """A site that another process speaks to; it is a Lister and a Reader."""

    def __init__(self, site: Site, vo: str, conf: Config, proxy: str):
        import subprocess
        from multiprocessing import Pipe

        self.site = site
        self.connection, theirs = Pipe()
        paths = [path for path in (*sys.path, TOP) if path]
        code = CODE.format(paths, theirs.fileno(), os.getpid())
        self.process: subprocess.Popen[bytes] = subprocess.Popen(
            [sys.executable, "-c", code], pass_fds=[theirs.fileno()], start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        theirs.close()
        self.numbers = itertools.count(1)
        self.sending = threading.Lock()
        self.answers: dict[int, SimpleQueue[tuple[str, Any]]] = {0: SimpleQueue()}
        self.is_gone = False
        self.listener = threading.Thread(target=self.listen, daemon=True)
        self.listener.start()
        try:
            self.connection.send((site, vo, conf.folder, proxy))
            self.wait(0)
        except BaseException as error:
            self.close()
            if isinstance(error, OSError):
                raise self.gone_error() from error
            raise

    def gone_error(self) -> DoorError:
        """The sentence for a process that has ended."""
        return DoorError(f"the process that speaks to {self.site.name} has ended; open the site again")

    def listen(self) -> None:
        """Hand over what the other process says."""
        with contextlib.suppress(EOFError, OSError, TypeError):  # TypeError: it was closed just now
            while True:
                number, *said = self.connection.recv()
                if queue := self.answers.get(number):
                    queue.put((said[0], said[1]))
        self.is_gone = True
        for queue in list(self.answers.values()):
            queue.put(("error", self.gone_error()))

    def send(self, number: int, verb: str, arguments: tuple[Any, ...] = ()) -> None:
        """Ask for something."""
        try:
            with self.sending:
                self.connection.send((number, verb, arguments))
        except OSError as error:
            raise self.gone_error() from error
        if self.is_gone:
            raise self.gone_error()

    def wait(self, number: int) -> Any:
        """An answer, once it is there."""
        what, value = self.answers[number].get()
        if what == "error":
            raise value
        return value

    @contextlib.contextmanager
    def asking(self, verb: str, *arguments: Any) -> Iterator[int]:
        """The number of a call, while answers to it are waited for."""
        number = next(self.numbers)
        self.answers[number] = SimpleQueue()
        try:
            self.send(number, verb, arguments)
            yield number
        finally:
            del self.answers[number]

    def call(self, verb: str, *arguments: Any) -> Any:
        """What a verb gives."""
        with self.asking(verb, *arguments) as number:
            return self.wait(number)

    def folder(self, path: str) -> Listing:
        """What is in a folder; for a file, the file itself."""
        found: Listing = self.call("folder", path)
        return found

    def find(self, words: list[str]) -> dict[str, Found]:
        """The records that words name at a portal."""
        found: dict[str, Found] = self.call("find", words)
        return found

    def localities(self, paths: list[str], on_tape: Collection[str] = ()) -> dict[str, Locality]:
        """Where files are at a site without a tape service."""
        found: dict[str, Locality] = self.call("whereabouts", paths, list(on_tape))
        return found

    def checksum(self, at: At) -> str:
        """The checksum of one file, or empty when the door knows none."""
        return str(self.call("checksum", at))

    def read(self, at: At, start: int, stop: int) -> Body:
        """The bytes from start up to stop of a file of this size."""
        held = contextlib.ExitStack()
        number = held.enter_context(self.asking("read", at, start, stop))
        try:
            begins, checksum, tag = self.wait(number)
        except BaseException:
            held.close()
            raise
        queue = self.answers[number]

        def close() -> None:
            with contextlib.suppress(GridError):
                if number in self.answers:
                    self.send(number, "close")
            held.close()

        def hang_up() -> None:
            queue.put(("error", FileError(f"{at.path}: interrupted")))

        return Body(self.pieces(number), begins, checksum, tag, close, hang_up)

    def pieces(self, number: int) -> Iterator[bytes]:
        """The pieces of a file; the next one comes while one is used."""
        self.send(number, "more")
        while piece := self.wait(number):
            self.send(number, "more")
            yield piece

    def find_tape(self) -> Tape | None:
        """The tape service, if there is one."""
        return ApartTape(self.call) if self.call("has_tape") else None

    def close(self) -> None:
        """End the other process, and then all talk with it: what is closed under who uses it is soon another's file."""
        import socket
        import subprocess

        if self.process.returncode is not None:
            return
        with contextlib.suppress(GridError):
            self.send(0, "end")
        try:
            self.process.wait(FAREWELL)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(self.connection.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)  # another child of this process may hold the pipe, too
        if threading.current_thread() is not self.listener:  # which may be the one that finds a site forgotten
            self.listener.join()
        with self.sending:
            self.connection.close()


def open_apart(site: Site, vo: str, conf: Config, proxy: str) -> Place:
    """A site, in a process of its own, once there is a credential to show it."""
    apart = Apart(site, vo, conf, proxy)
    find = apart.find if is_portal(site.engine) else None
    return Place(kind_of(site).can, apart, apart, apart.find_tape, close=apart.close, find=find)
