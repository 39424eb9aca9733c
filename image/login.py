"""At login Grid.conf is made, and a line says how long the proxy lasts, which folder is set, what to type next."""

from __future__ import annotations

import contextlib
import glob
import os
import shlex
import time

from gridsync_parts.errors import GridError
from gridsync_parts.keys.proxy import valid_proxy
from gridsync_parts.secrets import printable
from gridsync_parts.settings import Config
from gridsync_parts.words import duration_text

with open("/proc/self/mounts", encoding="utf-8") as mounts:
    mounted = {line.split()[1] for line in mounts}
home, work, now = os.path.expanduser("~"), os.environ["GRIDSYNC_DIR"], time.time()
lost = [folder for folder in (home, work) if folder not in mounted]
if lost:
    print(f"None of your folders is mounted at {' and '.join(lost)}: files there are lost when this container ends.")
try:
    config = Config(work)
    settings = config.settings()
    if not config.saved:
        with contextlib.suppress(GridError, OSError):  # the first command that needs it says why it can't be
            config.save({})
    folder = settings.input_dir or "none"
    try:
        found = valid_proxy(settings.vo, now)
        proxy = f"{duration_text(min(found.ends, found.attribute_ends) - now)} left"
        todo = "GridDataSync.py --sync" if settings.input_dir else "GridDataSync.py --ls_dir"
    except GridError:
        proxy, todo = "not valid", "GridDataSync.py --new_proxy"
        if not os.path.lexists(f"{home}/.globus"):
            exports = [*glob.glob(f"{glob.escape(home)}/*.p12"), f"{home}/FILE.p12"]
            todo = f"./gen_cert.sh {shlex.quote(exports[0])}"
    print(printable(f"Proxy: {proxy}. Folder: {folder}. Next: {todo}"))
except GridError as error:
    print(printable(f"gridsync: {error}"))
