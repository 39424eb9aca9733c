"""The files of a run on their way from site to site, and one attempt at each."""

from __future__ import annotations
