"""A file on its way from site to site through this machine; nothing of it is kept."""

from __future__ import annotations
