"""The rows about workers: each with a line of its own, and what many of them cost the run that hands out files."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from statistics import median

from bench.copies import short
from bench.measure import PYTHON, Goal, Refused, Side, cpu_of, figure, goals, ratio, side_by_side, table
from bench.site import Site, refuse_unless_same
from bench.tools import CHECKSUM, EACH_FILE, Job, fresh, work_of
from tests.grid.farm import Farm
from tests.grid.machines import Machines, NoMachines

HANDS = 2  # of each worker: one fetches while the other makes durable
ON_LINES = (1, 4, 8)
HERE = (1, 4, 16)
PART = 2  # half of the many files
LIMIT = 900  # seconds of a run: a worker alone takes long, which is what is measured
SHOWN = ("X509_CERT_DIR", "X509_USER_PROXY")  # what workers find at a path, as their environment says


class Team:
    """Workers of a scheduler, hired anew for each run; where there are machines, each is at one of them."""

    def __init__(self, site: Site, farm: Farm, job: Job, machines: Machines | None = None) -> None:
        self.site, self.farm, self.job, self.machines = site, farm, job, machines
        self.copying: dict[int, list[float]] = {}  # seconds from the first byte to the last, by workers
        self.scheduler: dict[int, list[float]] = {}  # CPU seconds of it,
        self.workers: dict[int, list[float]] = {}  # and of all workers together
        self.before = 0.0

    def hire(self, count: int) -> None:
        """Have so many workers."""
        env = {name: self.site.env[name] for name in SHOWN}
        for number in range(count):
            if self.machines:
                host = ("--host", self.machines.addresses[number])
                self.farm.hire(HANDS, prefix=self.machines.command(number), more=host, **env)
            else:
                self.farm.hire(HANDS, **env)
        self.before = cpu_of(self.farm.scheduler.pid)

    def note(self, count: int, folder: Path) -> None:
        """Note what a run has taken."""
        self.scheduler.setdefault(count, []).append(cpu_of(self.farm.scheduler.pid) - self.before)
        taken = sum(cpu_of(worker.pid) for worker in self.farm.workers if worker.is_running())
        self.workers.setdefault(count, []).append(taken)
        lines = [json.loads(line) for line in stats_of(folder).read_text().splitlines()]
        begins, ends = (min(line["start"] for line in lines), max(line["end"] for line in lines))
        span = datetime.fromisoformat(ends) - datetime.fromisoformat(begins)
        self.copying.setdefault(count, []).append(span.total_seconds())

    def let_go(self) -> None:
        for worker in self.farm.workers:
            worker.stop()

    def side(self, count: int) -> Side:
        """gridsync with so many of them."""

        def before(folder: Path) -> None:
            fresh(self.job, folder)
            self.let_go()  # of a run that has failed
            self.hire(count)

        def command(folder: Path) -> str:
            words = f"--start --quiet --workers={self.farm.address} --stats={stats_of(folder)}"
            return self.site.line(work_of(self.job, folder), words)

        def check(folder: Path) -> None:
            self.note(count, folder)
            self.let_go()
            source = self.site.source(self.job.name)
            refuse_unless_same(name_of(count), (source / path for path in self.job.paths()), folder)

        env = {**self.site.env, **self.farm.environment}
        return Side(
            name_of(count), command, env, before, check, CHECKSUM, EACH_FILE, server=self.site.cpu, limit=LIMIT
        )  # fmt: skip


def stats_of(folder: Path) -> Path:
    """Where a run tells when each file came."""
    return folder.with_suffix(".jsonl")


def name_of(count: int) -> str:
    return f"{count} worker{'s' * (count > 1)}"


def names(site: Site, farm: Farm) -> dict[str, str]:
    """Short names for what is another one at each run."""
    return {**short(site), farm.address: "tls://SCHEDULER"}


def workers(site: Site, folder: Path) -> str:
    """256 files of 2 MB; each worker on a machine with a line of its own, held to 20 Mbit/s"""
    most, place = max(ON_LINES), made(folder / "farm")
    hands = HANDS * most
    try:
        with Machines(most) as machines, Farm(place, host=machines.gate, python=PYTHON) as farm:
            door = site.xrootd.url.replace("localhost", machines.gate)
            team = Team(site, farm, Job(site, "shared", door, hands), machines)
            try:
                done = side_by_side([team.side(count) for count in ON_LINES], folder, 1, warm=False)
            finally:
                team.let_go()
            text = table(done, names(site, farm))
    except NoMachines as error:
        raise Refused(str(error)) from error
    one, *others = (done[name_of(count)] for count in ON_LINES)
    aims = [
        Goal(f"{name}: times as fast as 1", ratio(one, other), aim)
        for name, other, aim in zip(map(name_of, ON_LINES[1:]), others, (3.8, 7.0))
    ]
    spare = ", ".join(figure(done[name_of(n)].seconds - median(team.copying[n])) for n in ON_LINES)
    return (
        f"\nscheduler, door and gridsync on one machine, {HANDS} threads each, {hands} files at once at most:\n"
        f"\n{text}\nStart-up and end, when no file is on its way, take {spare} s of these.\n" + goals(*aims)
    )


def workers_cpu(site: Site, folder: Path) -> str:
    """50,000 files of 1 kB; what each costs the run itself, with few workers and with many"""
    with Farm(made(folder / "farm"), python=PYTHON) as farm:
        team = Team(site, farm, Job(site, "many", site.xrootd.url, HANDS * max(HERE), part=PART))
        try:
            done = side_by_side([team.side(count) for count in HERE], folder, 1, warm=False)
        finally:
            team.let_go()
        text = table(done, names(site, farm))
    files = len(team.job.paths())
    head = "\n| CPU milliseconds a file | gridsync itself | the scheduler | the workers |\n|---|---|---|---|\n"
    each = {count: 1000 * done[name_of(count)].cpu / files for count in HERE}
    rows = "".join(
        f"| {name_of(count)} | {figure(each[count])} | {figure(1000 * median(team.scheduler[count]) / files)} "
        f"| {figure(1000 * median(team.workers[count]) / files)} |\n"
        for count in HERE
    )
    ratios = {name_of(count): each[count] / each[1] for count in HERE[1:]}
    aims = [
        Goal(f"{name}: CPU of gridsync, times that with 1", some, 1.1, at_most=True) for name, some in ratios.items()
    ]
    return f"\none machine, {HANDS} threads of each worker:\n\n{text}{head}{rows}" + goals(*aims)


def made(folder: Path) -> Path:
    folder.mkdir()
    return folder
