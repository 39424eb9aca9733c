"""How an installed gridsync starts: what it loads for --help, and how long that takes."""

from __future__ import annotations

import os
import re
import statistics
import subprocess

HEAVY = {"gfal2", "requests", "ssl", "tqdm"}  # they take longer than all the rest, and --help needs none
PAIRS = 20


def loaded(*command: object) -> set[str]:
    """The modules that --help loads; the command begins with its Python."""
    python, *words = map(str, command)
    run = [python, "-X", "importtime", *words, "--help"]
    told = subprocess.run(run, capture_output=True, text=True, check=True).stderr
    return set(re.findall(r"(?m)^import time:.*\| +(\S+)$", told))


def times_bare(*command: object) -> float:
    """How many times the CPU seconds of that Python alone with optparse, in pairs, as speed may vary."""
    python, *words = map(str, command)
    bare, helping = [python, "-c", "import optparse"], [python, *words, "--help"]
    return statistics.median(seconds(helping) / seconds(bare) for _ in range(PAIRS))


def seconds(command: list[str]) -> float:
    """CPU seconds of a command."""
    silent = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    _, status, usage = os.wait4(os.posix_spawn(command[0], command, os.environ, file_actions=silent), 0)
    assert status == 0
    return usage.ru_utime + usage.ru_stime
