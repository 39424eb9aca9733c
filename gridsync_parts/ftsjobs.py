"""The jobs of an FTS3 server: which files are in them, and what became of each."""

from __future__ import annotations
