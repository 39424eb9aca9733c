"""The workers of a run, as far as Dask knows them; nothing here is asked and waited for."""

from __future__ import annotations

from typing import Callable

from gridsync_parts.farm.loads import Load, News, Setting


class Crew:
    """Workers, and the way to them."""

    def __init__(self, where: str, setting: Setting, threads: int, tell: Callable[[News], None]):
        self.where = where  # as --workers says it
        self.setting = setting
        self.threads = threads  # of all workers together
        self.tell = tell  # is told what happens, by any thread

    def start(self) -> None:
        """Have workers, and tell of each; UsageError or CrewError if there can be none."""
        raise NotImplementedError

    def give(self, worker: str, load: Load) -> None:
        """Give a worker some files."""
        raise NotImplementedError

    def drop(self, worker: str) -> None:
        """Have nothing more to do with a worker: what it is at is called off, as far as it still hears."""
        raise NotImplementedError

    def halt(self) -> None:
        """Tell all workers to end what they are at; what came of it still comes back."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of them; those that were started for this run end."""
        raise NotImplementedError
