"""What a process has open for the runs that it works for, and how far their files are."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Collection, Iterator
from typing import Callable, NamedTuple

from gridsync_parts.doors import Place
from gridsync_parts.doors.apart import open_apart
from gridsync_parts.doors.opening import check_packages, open_shown
from gridsync_parts.farm.fit import NO_FOLDER, token_of
from gridsync_parts.farm.loads import Beat, Load, Setting
from gridsync_parts.home import Home
from gridsync_parts.kinds import needs_gfal2
from gridsync_parts.log import log
from gridsync_parts.pacing import Pacing, Timetable, paced
from gridsync_parts.partfile import LARGE
from gridsync_parts.pool import Stop
from gridsync_parts.put import Deliverer, kind_at
from gridsync_parts.settings import Config
from gridsync_parts.values import Seen

BEAT = 1.0  # seconds between two words on how far files are
IDLE = 600.0  # seconds without a load after which a run is forgotten: it may have been killed
OVER = 1000  # runs of which it is remembered what they have called off
NO_LIMIT = Timetable(((0, math.inf),))


class Tools(NamedTuple):
    """What files are moved with."""

    place: Place
    pacing: Pacing
    home: Home | None
    deliverer: Deliverer | None


def opened(setting: Setting) -> Place:
    """The site; gfal2, which sets the environment of its process, gets one for each run."""
    if needs_gfal2(setting.site):
        check_packages(setting.site)
        return open_apart(setting.site, setting.vo, Config(NO_FOLDER), setting.proxy)
    return open_shown(setting.site, setting.proxy, token_of(setting))


def tools_for(setting: Setting, stop: Stop) -> Tools:
    """All of it."""
    home = None if setting.writes else Home(setting.folder)
    bare, pacing = opened(setting), Pacing(NO_LIMIT)
    place = paced(bare, pacing, stop)
    deliverer = None
    if setting.writes and place.writer:
        deliverer = Deliverer(place.writer, place.can.renames, stop, place.can.removes, kind_at(place.can))
        deliverer.top = setting.folder
    return Tools(place, pacing, home, deliverer)


class Shop:
    """A run, as this process has it: its loads under way, and what they share."""

    def __init__(self, setting: Setting, first: int):
        self.setting = setting
        self.first = first  # the number of the load that it was opened for
        self.stop = Stop()
        self.news = threading.Condition()
        self.busy = 0  # loads that are under way
        self.loads: dict[object, Callable[[Beat], None]] = {}  # those, and who waits; each with whom it is told
        self.files: dict[str, tuple[int, int]] = {}  # how far each of their files is
        self.used = time.monotonic()
        self.opening = threading.Lock()
        self.tools: Tools | None = None

    def open(self) -> Tools:
        """What files are moved with, opened by the first load."""
        with self.opening:
            if self.tools is None:
                self.tools = tools_for(self.setting, self.stop)
            return self.tools

    def close(self) -> None:
        """Let go of it."""
        with self.opening:
            tools, self.tools = self.tools, None
        if tools:
            with contextlib.suppress(Exception):
                tools.place.close()

    @contextlib.contextmanager
    def turn(self, hands: int) -> Iterator[None]:
        """A turn, once fewer loads than hands are under way; at once if the run ends."""
        with self.news:
            self.news.wait_for(lambda: self.busy < max(1, hands) or self.stop.is_set())
            self.busy += 1
        try:
            yield
        finally:
            with self.news:
                self.busy -= 1
                self.news.notify_all()

    def watch(self, path: str) -> Seen:
        """What is told how far a file is."""
        self.files[path] = (0, 0)

        def seen(here: int, came: int) -> None:
            self.files[path] = here, max(came, self.files.get(path, (0, 0))[1])

        return seen

    def wake(self) -> None:
        """Wake those that wait: its state has changed."""
        with self.news:
            self.news.notify_all()

    def beat(self) -> None:
        """Tell how far all files are, unless loads of small files have just come back, which says it, too."""
        is_news = time.monotonic() - self.used >= BEAT
        if not is_news and all(here < LARGE for here, _ in list(self.files.values())):
            return
        for tell in list(self.loads.values())[:1]:
            try:
                tell(Beat(dict(self.files)))
            except Exception as error:  # nobody hears; the load ends by itself
                log.debug("nobody is told how far files are: %s", error)


class Shops:
    """All runs that this process works for."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.by_run: dict[str, Shop] = {}
        self.over: dict[str, float] = {}  # runs that have called off loads, and the last of these

    def enter(self, load: Load, key: object, tell: Callable[[Beat], None]) -> Shop | None:
        """Begin with a load; None if it is called off."""
        run = load.setting.run
        with self.lock:
            if load.number <= self.over.get(run, -math.inf):
                return None
            shop = self.by_run.get(run)
            if shop is None:
                shop = Shop(load.setting, load.number)
                threading.Thread(target=self.keep, args=[shop], daemon=True).start()
                self.by_run[run] = shop
            shop.loads[key] = tell
            return shop

    def leave(self, shop: Shop, load: object, files: Collection[str]) -> None:
        """End with a load, of whose files nothing more is told."""
        with self.lock:
            del shop.loads[load]
            shop.used = time.monotonic()
            for path in files:
                shop.files.pop(path, None)
        shop.wake()

    @contextlib.contextmanager
    def visit(self, load: Load, tell: Callable[[Beat], None]) -> Iterator[Shop | None]:
        """What there is for a load, as long as it is under way; None if it is called off."""
        key = object()
        shop = self.enter(load, key, tell)
        try:
            yield shop
        finally:
            if shop:
                self.leave(shop, key, [job.row.path for job in load.jobs])

    def halt(self, run: str, last: float) -> None:
        """End a run's loads up to this number, as it is over or has given them to others; nobody waits for that."""
        with self.lock:
            self.over[run] = max(last, self.over.pop(run, last))  # those that were heard of last come last
            if len(self.over) > OVER:
                del self.over[next(iter(self.over))]
            shop = self.by_run.get(run)
            if not shop or shop.first > last:  # this may be heard late, when there are new ones
                return
            del self.by_run[run]
        shop.stop.set()
        shop.wake()

    def keep(self, shop: Shop) -> None:
        """Tell how far files are as long as there are loads; forget a run of which nothing is heard."""
        while True:
            with shop.news:
                shop.news.wait_for(lambda: shop.stop.is_set() and not shop.loads, BEAT)
            shop.beat()
            with self.lock:
                if shop.loads or not (shop.stop.is_set() or time.monotonic() - shop.used >= IDLE):
                    continue
                if self.by_run.get(shop.setting.run) is shop:
                    del self.by_run[shop.setting.run]
            shop.close()
            return


shops = Shops()
