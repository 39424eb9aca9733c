"""Bytes that drip: MIN_RATE of a site, whatever they come by."""

from __future__ import annotations

from gridsync_parts.table import Site

RATED = 60.0  # seconds over which MIN_RATE counts, at least


class Drip:
    """What has come, and how long somebody waited for it; only seconds count in which more was asked for."""

    def __init__(self, site: Site):
        self.site = site
        self.came, self.waited = 0, 0.0

    def take(self, count: int, seconds: float) -> None:
        """Bytes that have come after so many seconds; TimeoutError if they are too few."""
        self.came += count
        self.waited += seconds
        if self.waited >= max(RATED, self.site.silence):
            if self.came < self.site.min_rate * self.waited:
                raise TimeoutError("too slow")
            self.came, self.waited = 0, 0.0
