"""A run from site to site: what it is made of."""

from __future__ import annotations
