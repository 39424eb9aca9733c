"""Hands that play what a worker does, for tests of the way to it; how they do it says the folder of the setting."""

from __future__ import annotations

import os
import threading
import time
from typing import Callable

from gridsync_parts.farm.loads import Beat, Greeting, Load, Returned, Setting

stop = threading.Event()


def greet(setting: Setting) -> Greeting:
    """Say who this is."""
    if setting.folder == "strange":
        raise TypeError("another shape")
    return Greeting("a-host", "a-machine", os.getpid())


def labour(load: Load, tell: Callable[[Beat], None]) -> Returned:
    """Work for as many seconds as the site's name says, or until told to stop."""
    what = load.setting.folder
    if what == "die":
        os._exit(1)
    if what == "raise":
        raise TypeError("another shape")
    stop.clear()
    end = time.monotonic() + float(what)
    while not stop.is_set() and time.monotonic() < end:
        tell(Beat({"näme\udcff": (1, 2)}))
        stop.wait(0.1)
    return Returned(load.number, ())


def halt(run: str, last: float) -> None:
    """End it."""
    stop.set()
