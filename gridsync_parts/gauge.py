"""How far something is, for programs: a line of text, or a bar in a notebook."""

from __future__ import annotations

from typing import Any

from gridsync_parts.errors import UsageError
from gridsync_parts.secrets import make_printable


class Gauge:
    """A bar for many files together."""

    def __init__(self, name: str, files: int, size: int):
        try:
            from tqdm.auto import tqdm
        except ImportError as error:
            raise UsageError(
                "progress=True needs tqdm, which is not installed; on Debian: apt install python3-tqdm"
            ) from error

        class Bar(tqdm):  # type: ignore[type-arg]
            monitor_interval = 0  # it needs no thread of its own

        self.files = files
        self.bar: Any = Bar(total=size, desc=make_printable(name), unit="B", unit_scale=True, unit_divisor=1024)
        self.show(0, 0)

    def show(self, files: int, size: int) -> None:
        """So many files are here, and so many bytes."""
        self.bar.set_postfix_str(f"{files}/{self.files} files", refresh=False)
        self.bar.update(size - self.bar.n)

    def close(self) -> None:
        """It stays as it is."""
        self.bar.refresh()
        self.bar.close()
