"""Keys that a door gives out, for another door to use."""

from __future__ import annotations
