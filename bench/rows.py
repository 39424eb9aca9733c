"""The rows, and the files that each needs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bench import between, chores, copies, farm, machines, sends, services
from bench.site import Site


class Row(NamedTuple):
    measure: Callable[[Site, Path], str]
    sets: tuple[str, ...] = ()


ROWS = {
    "small": Row(copies.small, ("small",)),
    "small-far": Row(copies.small_far, ("small",)),
    "large": Row(copies.large, ("large",)),
    "large-far": Row(copies.large_far, ("far",)),
    "mixed": Row(copies.mixed, ("mixed",)),
    "put-small": Row(sends.put_small, ("sent",)),
    "put-large": Row(sends.put_large, ("large",)),
    "ftps": Row(machines.ftps, machines.SETS),
    "sftp": Row(machines.sftp, machines.SETS),
    "site-to-site": Row(between.site_to_site, (between.SMALL, between.LARGE)),
    "workers": Row(farm.workers, ("shared",)),
    "workers-cpu": Row(farm.workers_cpu, ("many",)),
    "gfal2": Row(copies.gfal2, ("small", "large")),
    "walk": Row(chores.walk, ("many",)),
    "status": Row(chores.status),
    "stage": Row(chores.stage),
    "rest": Row(services.rest),
    "start-up": Row(chores.start_up),
    "memory": Row(copies.memory, ("many",)),
    "nothing-to-do": Row(chores.nothing_to_do),  # the last: its million files slow down whoever makes files next
}
