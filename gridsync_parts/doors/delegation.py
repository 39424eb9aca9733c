"""A proxy that a door gets to act with: GridSite's delegation."""

from __future__ import annotations
