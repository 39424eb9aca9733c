"""The one grid that all tests share, and a user with a work folder for each."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import signal
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from _pytest.runner import runtestprotocol

from tests.grid import Grid
from tests.grid.fts import Fts
from tests.grid.invenio import Invenio
from tests.grid.pki import WEB_PROXIES
from tests.grid.portal import Portal
from tests.grid.repository import Repository
from tests.grid.xrootd import XRootD
from tests.support import FEW_EXAMPLES
from tests.support.client import Client
from tests.support.places import OPENED
from tests.support.user import User

for name in [name for name in os.environ if name.lower() in WEB_PROXIES and "CONTRACT_SITE" not in os.environ]:
    del os.environ[name]  # the grid is on this machine

# Jobs in a shell's background ignore Ctrl-C, and so would what they start.
signal.signal(signal.SIGINT, signal.default_int_handler)


def is_short(config: pytest.Config) -> bool:
    """Whether it is make test, which leaves out what takes long."""
    return bool(config.option.markexpr == "not long")


def is_quick(config: pytest.Config) -> bool:
    """Whether it is make quick, which leaves out more."""
    return bool(config.option.markexpr == "not slow and not long")


def pytest_configure(config: pytest.Config) -> None:
    """Tell tests/support/properties.py, which is imported later, and here only by who needs it."""
    if is_short(config):
        os.environ[FEW_EXAMPLES] = "1"


def rows_played(test: pytest.Item) -> int | None:
    """How many rows of a table make test plays, or make quick; none for all, or for every n-th."""
    is_plain = test.nodeid.startswith("tests/plain/")
    if not is_short(test.config) or test.get_closest_marker("every"):
        return 1 if is_quick(test.config) and is_plain else None
    if any(map(test.get_closest_marker, ("first", "long"))) or test.nodeid.startswith(("tests/story/", "tests/night/")):
        return 1  # of one that is long none, but this is told later
    return 5 if is_plain else None


def spread(table: pytest.Mark, count: int) -> pytest.Mark:
    """A table with so many of its rows, from all over it; of those that are not long, if there are any."""
    names, rows, options = table.args[0], list(table.args[1]), dict(table.kwargs)
    short = [at for at, row in enumerate(rows) if "long" not in {mark.name for mark in getattr(row, "marks", ())}]
    short = short or [*range(len(rows))]
    kept = [short[at * len(short) // count] for at in range(min(count, len(short)))]
    if isinstance(options.get("ids"), Iterable):
        ids = list(options["ids"])
        options["ids"] = [ids[at] for at in kept]
    return pytest.mark.parametrize(names, [rows[at] for at in kept], *table.args[2:], **options).mark


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Leave out rows before they become tests, which takes longer than to play the plain ones."""
    count = rows_played(metafunc.definition)
    marks = metafunc.definition.own_markers
    for at, mark in enumerate(marks):
        if count and mark.name == "parametrize":
            marks[at], count = spread(mark, count), 1


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out rows that a fixture has made, and those of a table of which each n-th is played."""
    rows: Counter[str] = Counter()
    for item in items:
        name = item.nodeid.partition("[")[0]
        every, count = item.get_closest_marker("every"), rows_played(item)
        if (every and rows[name] % every.args[0]) or (count and rows[name] >= count):
            item.add_marker(pytest.mark.long)
        rows[name] += 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what `make test` has left out."""
    if is_short(terminalreporter.config):
        terminalreporter.write_line("the long tests were left to make test-all")


@pytest.fixture(autouse=True)
def signals_are_heard() -> None:
    """gfal2 blocks signals in a thread that makes a context, and so in all that this thread starts later."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


@pytest.fixture(autouse=True)
def places_are_closed() -> Iterator[None]:
    """What a test has opened ends with it."""
    before = len(OPENED)  # of fixtures for several tests
    yield
    while len(OPENED) > before:
        OPENED.pop().close()


FAILED: set[pytest.Item] = set()
NUMBERS = itertools.count()  # of folders


@pytest.fixture
def tmp_path(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A folder that stays only if the test fails: ten thousand of them take long to write, and to look through."""
    name = re.sub(r"\W", "_", request.node.name)[:30]
    path = tmp_path_factory.getbasetemp() / f"{name}{next(NUMBERS)}"
    path.mkdir(mode=0o700)
    yield path
    if request.node not in FAILED and str(path) not in Path("/proc/self/mounts").read_text():
        shutil.rmtree(path, ignore_errors=True)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Note the tests that fail."""
    outcome = yield
    if outcome.get_result().failed:
        FAILED.add(item)


GRIDS: list[Grid] = []  # the one, once it is there


@pytest.fixture(scope="session")
def grid() -> Iterator[Grid]:
    with Grid() as grid:
        GRIDS.append(grid)
        yield grid
        GRIDS.remove(grid)


def fallen(item: pytest.Item) -> list[XRootD]:
    """The servers that have ended by a fault of their own; if a test has failed also those that hang.

    If it was one of XRootD all count as such: after some checksums it never answers for one file, and does for others.
    """
    servers = [server for grid in GRIDS for server in vars(grid).values() if isinstance(server, XRootD)]
    if item in FAILED and "xrootd" in item.name:
        return servers
    return [server for server in servers if server.has_crashed() or (item in FAILED and not server.answers())]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool:
    """Play a test that fails once more if a server has crashed or hangs: XRootD 5.5.3 does, in one of several runs."""
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    reports = runtestprotocol(item, log=False, nextitem=nextitem)
    servers = fallen(item)
    for server in servers:
        server.revive()
    if servers and item in FAILED:
        warnings.warn(f"XRootD may have crashed, or hang, under {item.nodeid}, which is played once more", stacklevel=1)
        FAILED.remove(item)
        reports = runtestprotocol(item, log=False, nextitem=nextitem)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


@pytest.fixture
def portal(grid: Grid) -> Iterator[Portal]:
    """The portal of open data, empty and as at first; one for the session."""
    grid.portal.reset()
    yield grid.portal
    grid.portal.reset()


@pytest.fixture
def invenio(grid: Grid) -> Invenio:
    """A real repository, one for the session; each test makes records of its own."""
    if not Invenio.is_built():
        pytest.skip("the venv is not there; make build/invenio/done makes it")
    return grid.invenio


@pytest.fixture
def repository(grid: Grid) -> Iterator[Repository]:
    """The stand-in for a repository, empty and as at first; one for the session."""
    grid.repository.reset()
    yield grid.repository
    grid.repository.reset()


@pytest.fixture
def fts(grid: Grid) -> Iterator[Fts]:
    """The stand-in for an FTS3 server, as at first; one for the session."""
    grid.fts.reset()
    yield grid.fts
    grid.fts.reset()


@pytest.fixture(autouse=True)
def nobody_is_locked_out(request: pytest.FixtureRequest) -> None:
    """What others have done wrong at a door that counts it is not held against a test."""
    if "grid" in request.fixturenames:
        for door in request.getfixturevalue("grid").doors.values():
            door.let_in_again()


@pytest.fixture(autouse=True)
def no_server_hangs(request: pytest.FixtureRequest) -> None:
    """What others have done to the XRootD that takes files is not held against a test."""
    if "grid" in request.fixturenames and "xrootd" in request.node.name:
        grid = request.getfixturevalue("grid")
        for name in {"copier", "second"} & grid.__dict__.keys():
            getattr(grid, name).mend()


@pytest.fixture
def copiers(grid: Grid) -> tuple[XRootD, XRootD]:
    """Two real XRootD servers that copy from and to each other."""
    grid.copier.mend()
    grid.second.mend()
    return grid.copier, grid.second


@pytest.fixture
def at(grid: Grid) -> Iterator[Callable[..., Client]]:
    """Alice at a new door of a profile, which is just as it says."""
    clients: list[Client] = []

    def make(profile: str = "dcache-10.2", proxy: str = "good") -> Client:
        clients.append(Client(grid, profile, proxy, make))
        return clients[-1]

    yield make
    for client in clients:
        client.stop()


@pytest.fixture
def user(grid: Grid, tmp_path: Path) -> User:
    return User(grid, tmp_path)


@pytest.fixture
def folder(grid: Grid, request: pytest.FixtureRequest) -> Iterator[str]:
    """A folder on the simulated door for one test alone; its path is below agata/."""
    name = "tests/" + re.sub(r"\W", "_", request.node.name)  # gfal2 tells tape services awkward names wrong
    grid.tree.folder(f"agata/{name}")
    yield name
    grid.tree.remove(f"agata/{name}")


@pytest.fixture
def mixed(user: User, folder: str) -> User:
    """A user whose folder has five files on tape and four on disk, one of them empty."""
    for number in range(5):
        user.grid.tree.add(f"agata/{folder}/tape/{number}", 100_000 + number, tape=True)
    for number, size in enumerate((0, 10, 200_000, 3_000_000)):
        user.grid.tree.add(f"agata/{folder}/disk/{number}", size)
    assert user(f"--input_dir {folder}").status == 0
    return user
