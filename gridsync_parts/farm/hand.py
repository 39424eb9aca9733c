"""What a worker does: it knows no Dask, and keeps nothing of a run but what it is told."""

from __future__ import annotations

import math
import os
import time
from typing import Callable

from gridsync_parts.copy import Arrived, Copy, abandon, bring, give_up, settle
from gridsync_parts.doors.apart import plain_error
from gridsync_parts.errors import DoorError, FileError, GridError
from gridsync_parts.farm.fit import check_folder, fault_of, own_fault, said_by_worker, why_unfit
from gridsync_parts.farm.loads import Beat, Done, Greeting, Job, Load, Returned, Setting
from gridsync_parts.farm.marking import host, machine
from gridsync_parts.farm.shops import NO_LIMIT, Shop, shops
from gridsync_parts.partfile import LARGE
from gridsync_parts.put import Put
from gridsync_parts.values import Outcome, Seen

TOGETHER = 64  # small files that are made durable together, at most


def greet(setting: Setting) -> Greeting:
    """Say who this is, and what keeps it from the work: another gridsync, another folder, no proxy or token."""
    return Greeting(host(), machine(), os.getpid(), why_unfit(setting))


class Hand:
    """A thread with a load."""

    def __init__(self, shop: Shop, load: Load):
        self.shop = shop
        self.load = load
        self.tools = shop.open()
        self.done: list[Done] = []
        self.arrived: list[Arrived] = []  # small files that are to be made durable together
        self.took: dict[str, float] = {}  # seconds that each file has taken
        self.open: set[str] = set()  # files of which some may be at the site under another name
        self.unfit: GridError | None = None
        self.is_over = False  # what came of a file ends the run

    def labour(self) -> Returned:
        """Do one file after the other, unless nothing more can come of it."""
        self.tools.pacing.timetable = self.load.timetable or NO_LIMIT
        for job in self.load.jobs:
            if self.is_over or self.unfit or self.shop.stop.is_set():
                break
            self.move(job)
        self.settle()
        strange = self.tools.home.strange if self.tools.home else set()
        told = [strange.pop() for _ in range(len(strange))]
        return Returned(self.load.number, tuple(self.done), self.unfit, tuple(told))

    def move(self, job: Job) -> None:
        """One attempt at a file."""
        path, began, seen = job.row.path, time.monotonic(), self.shop.watch(job.row.path)
        try:
            item = self.fetch(job, seen) if isinstance(job, Copy) else self.send(job, seen)
        except Exception as error:
            self.took[path] = time.monotonic() - began
            self.fail(job, error)
            return
        self.took[path] = time.monotonic() - began
        if isinstance(item, Outcome):
            self.end(path, item)
            return
        self.arrived.append(item)
        if item.row.size > LARGE or len(self.arrived) >= TOGETHER:
            self.settle()

    def fetch(self, job: Copy, seen: Seen) -> Arrived | Outcome:
        """Have a file here, up to where it is verified."""
        assert self.tools.home
        self.tools.home.check()
        return bring(job, self.tools.place, seen, self.shop.stop, self.tools.home)

    def send(self, job: Put, seen: Seen) -> Outcome:
        """Have a file there."""
        deliverer = self.tools.deliverer
        assert deliverer
        deliverer.open.update([job.temp] if job.is_open else [])
        try:
            return Outcome(*deliverer.deliver(job, seen))
        finally:
            if job.temp in deliverer.open:
                deliverer.open.discard(job.temp)
                self.open.add(job.row.path)

    def settle(self) -> None:
        """Make what has arrived durable together, and give it its names, if the run is still there."""
        items, self.arrived = self.arrived, []
        if not items:
            return
        assert self.tools.home
        if fault := fault_of(check_folder, self.load.setting, self.shop.stop.wait):
            abandon(items, self.tools.home)
            self.unfit = self.unfit or fault
            return
        try:
            for outcome in settle(items, self.tools.home):
                # A lost worker may have taken its part name, which helps that one nothing; it can be tried again.
                is_passing = outcome.fault is not None and outcome.fault.passing
                self.end(outcome.row.path, None if is_passing else outcome, outcome.fault)
        except Exception as error:
            for item in items:
                self.fail(item.job, error)

    def fail(self, job: Job, error: Exception) -> None:
        """Say what is wrong: with a file, with this worker, or with all."""
        if isinstance(job, Copy) and self.tools.home and not isinstance(error, GridError):
            try:
                outcome = give_up(job.row, self.tools.place, error, self.shop.stop, self.tools.home)
                self.end(job.row.path, outcome)
                return
            except Exception as worse:
                error = worse
        if not self.shop.stop.is_set() and (fault := own_fault(self.load.setting, error, self.shop.stop.wait)):
            self.unfit = self.unfit or fault
            return
        self.is_over = not isinstance(error, (FileError, DoorError))
        self.end(job.row.path, None, error)

    def end(self, path: str, outcome: Outcome | None, error: Exception | None = None) -> None:
        """Note what came of a file."""
        if outcome and outcome.fault:
            outcome = outcome._replace(fault=plain_error(outcome.fault))
        fault = plain_error(error) if error and outcome is None else None
        here, moved = self.shop.files.pop(path, (0, 0))  # of many small files that are done nothing more is told
        is_open = path in self.open
        self.done.append(Done(path, outcome, fault, moved, here, time.time(), self.took[path], is_open))


def labour(load: Load, tell: Callable[[Beat], None]) -> Returned:
    """Do what a load says, file by file; it never raises."""
    try:
        with shops.visit(load, tell) as shop:
            if shop is None:
                return Returned(load.number, ())
            with shop.turn(load.hands):
                if shop.stop.is_set():
                    return Returned(load.number, ())
                fault = fault_of(check_folder, load.setting, shop.stop.wait)
                return Returned(load.number, (), fault) if fault else Hand(shop, load).labour()
    except Exception as error:
        return Returned(load.number, (), said_by_worker(error))


def halt(run: str, last: float = math.inf) -> None:
    """End what is under way for a run, up to its load of this number; others may follow."""
    shops.halt(run, last)
