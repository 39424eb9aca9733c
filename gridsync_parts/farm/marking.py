"""What a worker has to know of a run, and the mark by which it sees that a folder is the same one."""

from __future__ import annotations

from gridsync_parts.farm.loads import Setting
from gridsync_parts.settings import Config
from gridsync_parts.table import Site


def setting_for(site: Site, vo: str, conf: Config, folder: str, writes: bool) -> Setting:
    """What workers have to know of a run; UsageError if what the site is shown has no path."""
    raise NotImplementedError


def lay_mark(setting: Setting) -> None:
    """Put the mark into OUTPUTDIR."""
    raise NotImplementedError


def lift_mark(setting: Setting) -> None:
    """Take it away."""
    raise NotImplementedError
