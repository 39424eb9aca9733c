"""At login Grid.conf is made, and a line says how long the proxy lasts, which folder is set, what to type next."""

from __future__ import annotations

import glob
import json
import os
import shlex
import subprocess
from typing import Any


def asked(*more: str) -> dict[str, Any]:
    """What gridsync says of Grid.conf, which it makes if there is none, and of the proxy."""
    command = ["gridsync.py", "--show_conf", "--proxy_status", "--json", *more]
    return dict(json.loads(subprocess.run(command, capture_output=True, check=False).stdout))


def duration_text(seconds: int) -> str:
    minutes = seconds // 60
    return f"{minutes // 60}h{minutes % 60:02d}m" if minutes >= 60 else f"{minutes}m{seconds % 60:02d}s"


with open("/proc/self/mounts", encoding="utf-8") as mounts:
    mounted = {line.split()[1] for line in mounts}
home, work = os.path.expanduser("~"), os.environ["GRIDSYNC_DIR"]
lost = [folder for folder in (home, work) if folder not in mounted]
if lost:
    print(f"None of your folders is mounted at {' and '.join(lost)}: files there are lost when this container ends.")
found = asked()
if "configuration" not in found:  # where Grid.conf can't be made, the first command that needs it says why
    found = asked("--dry_run")
if "configuration" in found:
    folder = found["configuration"]["INPUTDIR"]
    if found["status"]:
        credential, left, todo = "Proxy", "not valid", "GridDataSync.py --new_proxy"
        if not os.path.lexists(f"{home}/.globus"):
            exports = [*glob.glob(f"{glob.escape(home)}/*.p12"), f"{home}/FILE.p12"]
            todo = f"./gen_cert.sh {shlex.quote(exports[0])}"
    else:
        credential, about = ("Token", found["token"]) if "token" in found else ("Proxy", found["proxy"])
        lasting = [seconds for name, seconds in about.items() if name.endswith("_left") and seconds is not None]
        left = f"{duration_text(min(lasting))} left" if lasting else "valid"
        todo = f"GridDataSync.py {'--sync' if folder else '--ls_dir'}"
    line = f"{credential}: {left}. Folder: {folder or 'none'}. Next: {todo}"
else:
    line = f"gridsync: {found['errors'][0]}"
print("".join(char if char.isprintable() else "?" for char in line))
