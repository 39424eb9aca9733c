"""A checkout of this folder as it is now, committed, in which make dist makes a release."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.support import SCRIPT

TOP = SCRIPT.parent
DAY = "2026-02-03T04:05:06+00:00"
WHO = {f"GIT_{whose}_{what}": "test" for whose in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


def tracked() -> set[str]:
    """The names that git knows here."""
    told = subprocess.run(["git", "ls-files", "-z"], cwd=TOP, stdout=subprocess.PIPE, text=True, check=True).stdout
    return {name for name in told.split("\0") if name and (TOP / name).is_file()}


def checkout(folder: Path) -> Path:
    """What git knows here, committed there."""
    for name in tracked():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(TOP / name, folder / name, follow_symlinks=False)  # older than the venv, as here
    (folder / "build").symlink_to(TOP / "build")
    env = {**os.environ, **WHO, "GIT_AUTHOR_DATE": DAY, "GIT_COMMITTER_DATE": DAY}
    for words in (["init", "--quiet"], ["add", "--all", ":!build"], ["commit", "--quiet", "--message=All"]):
        subprocess.run(["git", *words], cwd=folder, env=env, check=True)
    return folder


def release(folder: Path, **env: str) -> Path:
    """What make dist makes in a checkout."""
    subprocess.run(["make", "--silent", "build/dist/done"], cwd=TOP, check=True)
    command = ["bash", "-c", f"umask {env.pop('UMASK', '022')}; make --silent dist"]
    subprocess.run(command, cwd=folder, env={**os.environ, **env}, stdout=subprocess.PIPE, check=True)
    return folder / "dist"
