"""The settings: a site, and all that Grid.conf and the command line say."""

from __future__ import annotations

from typing import NamedTuple


class Site(NamedTuple):
    """A section of Grid.conf."""

    name: str
    server: str
    base: str
    engine: str
    tape_api: str
    tape_base: str
    ca_dir: str
    token: str
    first_byte: int
    silence: int
    min_rate: int = 100


class Settings(NamedTuple):
    """Grid.conf and the command line together."""

    site: Site
    input_dir: str
    output_dir: str
    include: str
    exclude: str
    threads: int
    streams: int
    vo: str
    proxy_hours: int
    pin_days: int
    retries: int
