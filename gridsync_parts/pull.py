"""One file from site to site, from its first byte until it has its name there, verified."""

from __future__ import annotations
