"""Copies from door to door: a COPY, its marks and its verdict."""

from __future__ import annotations
